//! The arithmetic and the small values: validity, quorum, backoff, fence proposals, jitter,
//! instants, sets of nodes.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use tenure_core::{
    Backoff, Drift, Fence, Instant, MAX_NODES, NodeId, NodeSet, Patience, Rng, ServerClock,
    ServerTime, Verdict, held_until, quorum, verdict,
};

fn instant() -> impl Strategy<Value = Instant> {
    prop_oneof![
        any::<i64>(),
        -5..5_i64,
        Just(i64::MIN),
        Just(i64::MAX),
        (i64::MAX - 5)..=i64::MAX
    ]
    .prop_map(Instant::from_nanos)
}

fn span() -> impl Strategy<Value = Duration> {
    prop_oneof![
        any::<Duration>(),
        (0..100_u64).prop_map(Duration::from_nanos),
        (0..100_000_u64).prop_map(Duration::from_millis),
    ]
}

/// Otherwise the estimate of a client with a fast clock, and its fences, would get further and
/// further ahead of the servers. A node that forgot such a fence could draw a smaller one after its
/// quarantine.
#[test]
fn a_server_time_is_carried_forward_only_while_drift_is_small() {
    // Half a percent of 125 s is a sixteenth of 10 s.
    for (ttl, ppm, secs) in [(10, 5_000, 125), (10, 50_000, 12), (1, 5_000, 12)] {
        let mut clock = ServerClock::new(Duration::from_secs(ttl), Drift::from_ppm(ppm));
        let time = |secs: u64| ServerTime::from_micros(1_000_000_000 + secs * 1_000_000);
        clock.observe(Instant::ORIGIN, time(0));
        let last = Instant::ORIGIN + Duration::from_secs(secs);
        assert_eq!(clock.estimate(last), Some(time(secs)));
        let later = last + Duration::from_secs(1);
        assert_eq!(clock.propose(later), None, "{ttl} s, {ppm} ppm");
        // The next server time counts, although the one before, carried forward, would be later.
        clock.observe(later, time(3));
        assert_eq!(clock.estimate(later), Some(time(3)));
    }
}

/// As long as the client's clock is within the drift bound.
#[test]
fn a_proposal_is_less_than_a_tenth_of_max_ttl_ahead_of_the_servers() {
    for max_ttl in [150, 250, 1_000, 10_000] {
        for ppm in [100, 5_000, 20_000] {
            let max_ttl = Duration::from_millis(max_ttl);
            let mut clock = ServerClock::new(max_ttl, Drift::from_ppm(ppm));
            clock.observe(Instant::ORIGIN, ServerTime::from_micros(0));
            let carried = max_ttl / 16 * 1_000_000 / ppm;
            let proposal = clock.propose(Instant::ORIGIN + carried).map(Fence::get);
            let passed = carried - carried / 1_000_000 * ppm;
            let ahead = proposal.unwrap() / 2 - passed.as_micros() as u64;
            assert!(
                ahead < max_ttl.as_micros() as u64 / 10,
                "{ahead} us of {max_ttl:?}"
            );
            assert!(
                ahead > max_ttl.as_micros() as u64 / 20,
                "it is the worst: {ahead} us"
            );
        }
    }
}

proptest! {
    #[test]
    fn held_until_is_the_quorum_th_largest_of_a_sort(
        copies in prop::collection::vec(prop::option::of(instant()), 0..=9),
        quorum in 0..=10_usize,
    ) {
        let mut sorted: Vec<Instant> = copies.iter().copied().flatten().collect();
        sorted.sort_by(|a, b| b.cmp(a));
        let expected = quorum.checked_sub(1).and_then(|at| sorted.get(at).copied());
        prop_assert_eq!(held_until(copies.iter().copied(), quorum), expected);
    }

    #[test]
    fn a_quorum_of_copies_lasts_until_held_until_and_no_longer(
        copies in prop::collection::vec(prop::option::of(instant()), 1..=9),
    ) {
        let quorum = quorum(copies.len());
        match held_until(copies.iter().copied(), quorum) {
            Some(until) => {
                prop_assert!(copies.iter().filter(|copy| **copy >= Some(until)).count() >= quorum);
                prop_assert!(copies.iter().filter(|copy| **copy > Some(until)).count() < quorum);
            }
            None => prop_assert!(copies.iter().flatten().count() < quorum),
        }
    }

    #[test]
    fn the_margin_is_twice_the_rate_and_the_granularity_rounded_up(
        ppm in 0..=Drift::MAX_PPM,
        granularity in 0..1_000_000_000_u64,
        ttl in 1..2_592_000_000_u64,
    ) {
        let drift = Drift::from_ppm(ppm).with_granularity(Duration::from_nanos(granularity));
        let ttl = Duration::from_millis(ttl);
        let exact = ttl.as_nanos() * 2 * u128::from(ppm);
        let rate = drift.margin(ttl).as_nanos() - u128::from(granularity);
        prop_assert!(rate * 1_000_000 >= exact, "never too small");
        let next = exact + 1_000_000;
        prop_assert!(rate * 1_000_000 < next, "and by less than a nanosecond too large");
    }

    #[test]
    fn the_margin_covers_two_clocks_that_are_wrong_in_opposite_directions(
        ppm in 0..=Drift::MAX_PPM,
        ttl in 1..1_000_000_u64,
    ) {
        // The holder's clock measures too little by the drift bound, and the server's as much too
        // much.
        let ttl = Duration::from_millis(ttl);
        let drift = Drift::from_ppm(ppm).with_granularity(Duration::ZERO);
        let valid_for = ttl - drift.margin(ttl);
        let error = ttl.mul_f64(f64::from(ppm) / 1e6);
        let true_end_of_validity = valid_for + error;
        let true_expiry = ttl - error;
        prop_assert!(true_end_of_validity <= true_expiry + Duration::from_nanos(2));
    }

    #[test]
    fn the_shortest_ttl_is_the_first_of_which_the_margin_leaves_anything(
        ppm in 0..=Drift::MAX_PPM,
        granularity in prop_oneof![0..20_000_000_u64, 0..u64::MAX / 2],
    ) {
        let drift = Drift::from_ppm(ppm).with_granularity(Duration::from_nanos(granularity));
        let shortest = drift.shortest_ttl();
        prop_assert!(shortest > drift.margin(shortest));
        prop_assert!(shortest.subsec_nanos().is_multiple_of(1_000_000), "whole milliseconds");
        let shorter = shortest - Duration::from_millis(1);
        prop_assert!(shorter <= drift.margin(shorter), "{shorter:?} will do");
    }

    #[test]
    fn a_margin_saturates(ttl in span(), granularity in span()) {
        let drift = Drift::from_ppm(Drift::MAX_PPM).with_granularity(granularity);
        prop_assert!(drift.margin(ttl.min(Duration::from_secs(u64::MAX / 4))) >= granularity);
        prop_assert!(drift.shortest_ttl() >= granularity.min(Duration::from_millis(u64::MAX)));
    }

    #[test]
    fn instants_saturate_and_never_wrap(start in instant(), span in span()) {
        let exact = i128::from(start.as_nanos());
        let nanos = i128::try_from(span.as_nanos()).unwrap_or(i128::MAX / 2);
        let clamp = |value: i128| value.clamp(i64::MIN.into(), i64::MAX.into());
        // A span too long for i64 is cut. The result is too early, which is safe.
        let later = i128::from((start + span).as_nanos());
        let cut = nanos > i128::from(i64::MAX);
        prop_assert!(later == clamp(exact + nanos) || (cut && later >= exact));
        prop_assert!(later <= clamp(exact + nanos));
        prop_assert!(start + span >= start && start - span <= start);
    }

    #[test]
    fn instants_are_in_the_order_of_their_nanoseconds(a in instant(), b in instant()) {
        prop_assert_eq!(a.cmp(&b), a.as_nanos().cmp(&b.as_nanos()));
        prop_assert_eq!(Instant::from_nanos(a.as_nanos()), a);
        prop_assert!(Instant::MIN <= a && a <= Instant::MAX);
        prop_assert_eq!(size_of::<Option<Instant>>(), size_of::<Instant>());
    }

    #[test]
    fn what_has_passed_is_exact_or_zero(a in instant(), b in instant()) {
        let exact = i128::from(a.as_nanos()) - i128::from(b.as_nanos());
        let passed = a.saturating_since(b).as_nanos();
        prop_assert_eq!(passed, u128::try_from(exact).unwrap_or(0));
    }

    #[test]
    fn a_pause_lies_in_the_upper_half_of_its_doubling_bound(
        first in 1..10_000_000_000_u64,
        factor in 1..1_000_u64,
        failures in 0..100_u32,
        seed in any::<u64>(),
    ) {
        let longest = Duration::from_nanos(first.saturating_mul(factor));
        let first = Duration::from_nanos(first);
        let backoff = Backoff::new(first, longest);
        let pause = backoff.pause(failures, &mut Rng::new(seed));
        let bound = (1..failures).fold(first, |bound, _| (bound * 2).min(longest));
        prop_assert!(pause <= bound && pause >= bound / 2, "{pause:?} of {bound:?}");
        prop_assert!(!pause.is_zero());
        prop_assert_eq!(pause, backoff.pause(failures, &mut Rng::new(seed)), "the seed decides");
    }

    #[test]
    fn jitter_is_below_its_bound_and_spread(bound in 1_000..1_000_000_u64, seed in any::<u64>()) {
        let mut rng = Rng::new(seed);
        let bound = Duration::from_nanos(bound);
        let drawn: Vec<Duration> = (0..64).map(|_| rng.below(bound)).collect();
        prop_assert!(drawn.iter().all(|span| *span < bound));
        prop_assert!(drawn.iter().any(|span| *span < bound / 2));
        prop_assert!(drawn.iter().any(|span| *span >= bound / 2));
        prop_assert_eq!(rng.below(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn the_server_clock_carries_the_largest_time_seen_forward(
        seen in prop::collection::vec((0..10_000_u64, 0..20_000_000_u64), 1..10),
        later in 0..10_000_u64,
    ) {
        let mut clock = ServerClock::new(Duration::from_secs(86_400), Drift::from_ppm(1_000));
        let mut now = Instant::ORIGIN;
        prop_assert_eq!(clock.propose(now), None);
        let mut notes = Vec::new();
        for (wait, time) in seen {
            now = now + Duration::from_millis(wait);
            clock.observe(now, ServerTime::from_micros(time));
            notes.push((now, time));
        }
        now = now + Duration::from_millis(later);
        let carried = |(at, time): &(Instant, u64)| {
            time + now.saturating_since(*at).as_micros() as u64
        };
        let expected = notes.iter().map(carried).max().unwrap();
        prop_assert_eq!(clock.estimate(now), Some(ServerTime::from_micros(expected)));
        // It is a little ahead, so that it is not behind the nodes' own times when it arrives.
        let proposal = clock.propose(now).map(Fence::get);
        prop_assert_eq!(proposal, Some(2 * (expected + 10_000)));
    }

    #[test]
    fn a_set_of_nodes_is_a_set(picks in prop::collection::vec((any::<bool>(), 0..9_usize), 0..40)) {
        let mut set = NodeSet::EMPTY;
        let mut reference = BTreeSet::new();
        for (insert, index) in picks {
            let node = NodeId::new(index);
            if insert {
                set.insert(node);
                reference.insert(index);
            } else {
                set.remove(node);
                reference.remove(&index);
            }
            prop_assert_eq!(set.contains(node), insert);
            prop_assert_eq!(set.len(), reference.len());
            prop_assert_eq!(set.is_empty(), reference.is_empty());
            let nodes: Vec<usize> = set.iter().map(NodeId::index).collect();
            prop_assert_eq!(nodes, reference.iter().copied().collect::<Vec<_>>());
        }
    }
}

#[test]
fn two_majorities_share_a_node_and_a_majority_is_the_fewest_that_do() {
    for nodes in 1..=9 {
        assert!(2 * quorum(nodes) > nodes);
        assert!(2 * (quorum(nodes) - 1) <= nodes);
    }
}

#[test]
fn a_verdict_is_final_when_no_open_vote_can_change_it_and_not_before() {
    for nodes in 1..=9_usize {
        for yes in 0..=nodes {
            for open in 0..=nodes - yes {
                // Found by trying all outcomes of the open votes.
                let outcomes: BTreeSet<bool> =
                    (0..=open).map(|more| yes + more >= quorum(nodes)).collect();
                let expected = match (outcomes.contains(&true), outcomes.contains(&false)) {
                    (true, false) => Verdict::Won,
                    (false, _) => Verdict::Lost,
                    _ => Verdict::Open,
                };
                assert_eq!(verdict(nodes, yes, open), expected, "{nodes} {yes} {open}");
            }
        }
    }
}

#[test]
fn a_fence_is_never_zero() {
    assert_eq!(Fence::new(0), None);
    assert_eq!(Fence::new(7).map(Fence::get), Some(7));
    assert!(Fence::new(7) < Fence::new(8));
}

#[test]
fn the_generator_is_splitmix64() {
    let mut rng = Rng::new(1_234_567);
    let drawn = [rng.next_u64(), rng.next_u64(), rng.next_u64()];
    let published = [
        6_457_827_717_110_365_317,
        3_203_168_211_198_807_973,
        9_817_491_932_198_370_423,
    ];
    assert_eq!(drawn, published);
}

#[test]
#[should_panic(expected = "at most 9")]
fn there_is_no_tenth_node() {
    let _ = NodeId::new(MAX_NODES);
}

const MS: Duration = Duration::from_millis(1);

/// With a TTL of 1 s and its request timeout: a node that is 100 ms away, each way.
#[test]
fn a_node_that_is_far_away_is_given_the_time_that_its_way_takes() {
    let ttl = 1_000 * MS;
    let mut patience = Patience::new(125 * MS);
    assert_eq!(patience.dial(ttl), 2_000 * MS, "nothing is known yet");
    assert_eq!(patience.silence(ttl), 250 * MS);
    patience.connected(200 * MS);
    assert_eq!(patience.dial(ttl), 1_600 * MS, "eight round trips");
    assert_eq!(patience.silence(ttl), 800 * MS, "four round trips");
    patience.connected(MS);
    assert_eq!(patience.dial(ttl), 250 * MS);
    assert_eq!(patience.silence(ttl), 250 * MS);
}

#[test]
fn the_shortest_ttl_in_use_decides_and_not_the_longest_that_is_allowed() {
    let mut patience = Patience::new(1_000 * MS);
    patience.connected(MS);
    let times = |ttl: u32| {
        let redial = Patience::redial(ttl * MS).longest();
        [patience.silence(ttl * MS), patience.dial(ttl * MS), redial].map(|span| span.as_millis())
    };
    assert_eq!(times(100), [200, 250, 50]);
    assert_eq!(times(800), [200, 250, 50]);
    assert_eq!(times(1_600), [400, 250, 100]);
    assert_eq!(times(4_000), [1_000, 500, 250]);
    assert_eq!(times(10_000), [2_000, 1_000, 625]);
    assert_eq!(times(60_000), [2_000, 1_000, 2_000]);
}

#[test]
fn tries_to_connect_that_run_out_of_time_give_later_ones_more() {
    let ttl = 1_000 * MS;
    let mut patience = Patience::new(125 * MS);
    patience.connected(MS);
    let mut given = |ran_out| {
        let now = patience.dial(ttl);
        patience.failed(ran_out);
        now.as_millis()
    };
    let spans = [250, 250, 250, 500, 1_000, 2_000, 2_000];
    assert_eq!([true; 7].map(&mut given), spans);
    // One that is refused at once is not far away.
    assert_eq!([false, true].map(given), [2_000, 250]);
    patience.connected(MS);
    assert_eq!(patience.dial(ttl), 250 * MS);
    // Who knows the way sets a longer request timeout.
    let far = Patience::new(3_000 * MS);
    assert_eq!(far.dial(ttl), 6_000 * MS);
    for _ in 0..100 {
        patience.failed(true);
    }
    assert_eq!(patience.dial(ttl), 2_000 * MS);
}

#[test]
fn one_answer_that_was_slow_changes_little_and_a_pause_of_the_process_too() {
    let ttl = 60_000 * MS;
    let mut patience = Patience::new(100 * MS);
    patience.measured(8 * MS);
    patience.measured(808 * MS);
    assert_eq!(patience.silence(ttl), 432 * MS, "four times 108 ms");
    assert_eq!(patience.slowest_round_trip(), 808 * MS);
    patience.measured(8 * MS);
    assert_eq!(patience.slowest_round_trip(), 606 * MS);
    for _ in 0..20 {
        patience.measured(8 * MS);
    }
    assert_eq!(patience.slowest_round_trip(), 8 * MS);
    assert_eq!(patience.silence(ttl), 200 * MS, "twice the request timeout");
    patience.connected(Duration::from_secs(8 * 60 * 60));
    assert_eq!(patience.silence(ttl), 4_000 * MS, "no way is that long");
}

proptest! {
    #[test]
    fn patience_keeps_its_floors_and_bounds(
        timeout in 1..5_000_u32,
        ttl in 1..1_000_000_u32,
        round_trips in proptest::collection::vec(0..2_000_u32, 0..4),
        late in 0..40_u32,
    ) {
        let (timeout, ttl) = (timeout * MS, ttl * MS);
        let mut patience = Patience::new(timeout);
        for (at, round_trip) in round_trips.iter().enumerate() {
            if at == 0 {
                patience.connected(*round_trip * MS);
            } else {
                patience.measured(*round_trip * MS);
            }
        }
        for _ in 0..late {
            patience.failed(true);
        }
        let most = (2 * timeout).max(2_000 * MS);
        prop_assert!(patience.dial(ttl) >= 250 * MS && patience.dial(ttl) <= most);
        prop_assert!(patience.silence(ttl) >= 50 * MS);
        prop_assert!(patience.silence(ttl) <= (2 * timeout).max(50 * MS).max(8_000 * MS));
        if let [round_trip] = round_trips[..] {
            let round_trip = (round_trip * MS).min(timeout.max(1_000 * MS));
            prop_assert!(patience.silence(ttl) >= 4 * round_trip);
            prop_assert!(patience.dial(ttl) >= (8 * round_trip).min(most));
        }
        let redial = Patience::redial(ttl);
        prop_assert_eq!(redial.first(), 50 * MS);
        prop_assert!(redial.longest() >= 50 * MS && redial.longest() <= 2_000 * MS);
        prop_assert!(redial.longest() <= (ttl / 16).max(50 * MS));
    }
}
