//! Configuration: what can be built is consistent, and every error says what is wrong.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;
use tenure_core::{
    Backoff, Config, ConfigBuilder, ConfigError, Drift, LONGEST_TTL, LeaseOptions,
    LeaseOptionsBuilder, RenewalPolicy,
};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn span() -> impl Strategy<Value = Duration> {
    prop_oneof![
        any::<Duration>(),
        (0..5_000_000_u64).prop_map(Duration::from_nanos),
        (0..60_000_u64).prop_map(Duration::from_millis),
        Just(Duration::ZERO),
        Just(LONGEST_TTL),
        Just(LONGEST_TTL + Duration::from_nanos(1)),
    ]
}

fn drift() -> impl Strategy<Value = Drift> {
    let ppm = prop_oneof![any::<u32>(), 0..=Drift::MAX_PPM];
    (ppm, prop::option::of(span())).prop_map(|(ppm, granularity)| {
        let drift = Drift::from_ppm(ppm);
        granularity.map_or(drift, |span| drift.with_granularity(span))
    })
}

prop_compose! {
    fn config_builder()(
        nodes in 0..12_usize,
        max_ttl in prop::option::of(span()),
        drift in prop::option::of(drift()),
        request_timeout in prop::option::of(span()),
        max_leases in prop::option::of(any::<usize>()),
    ) -> ConfigBuilder {
        let mut builder = Config::builder(nodes);
        if let Some(span) = max_ttl { builder = builder.max_ttl(span); }
        if let Some(drift) = drift { builder = builder.drift(drift); }
        if let Some(span) = request_timeout { builder = builder.request_timeout(span); }
        if let Some(most) = max_leases { builder = builder.max_leases(most); }
        builder
    }
}

prop_compose! {
    fn options_builder()(
        ttl in prop::option::of(span()),
        renewal in prop_oneof![
            Just(RenewalPolicy::TwoThirds),
            Just(RenewalPolicy::Off),
            span().prop_map(RenewalPolicy::After),
        ],
        give_up in prop::option::of(span()),
        attempts in prop::option::of(0..5_u32),
        max_hold in prop::option::of(span()),
        backoff in prop::option::of((span(), span())),
        contended in prop::option::of((span(), span())),
    ) -> LeaseOptionsBuilder {
        let mut builder = LeaseOptions::builder()
            .renewal(renewal)
            .give_up_after(give_up)
            .attempts(attempts)
            .max_hold(max_hold);
        if let Some(ttl) = ttl { builder = builder.ttl(ttl); }
        if let Some((first, longest)) = backoff {
            builder = builder.backoff(Backoff::new(first, longest));
        }
        let contended = contended.map(|(first, longest)| Backoff::new(first, longest));
        builder = builder.contention_backoff(contended);
        builder
    }
}

/// The values that an error carries, as its message must show them.
fn values(error: &ConfigError) -> Vec<String> {
    match *error {
        ConfigError::Nodes { nodes } => vec![nodes.to_string()],
        ConfigError::TtlTooShort { ttl, least } => {
            vec![format!("{ttl:?}"), format!("{least:?}")]
        }
        ConfigError::TtlTooLong { ttl } => vec![format!("{ttl:?}")],
        ConfigError::TtlAboveMax { ttl, max_ttl } => {
            vec![format!("{ttl:?}"), format!("{max_ttl:?}")]
        }
        ConfigError::Renewal {
            renew_after,
            most,
            valid_for,
        } => [renew_after, most, valid_for]
            .map(|span| format!("{span:?}"))
            .to_vec(),
        ConfigError::Drift { ppm } => vec![ppm.to_string(), Drift::MAX_PPM.to_string()],
        ConfigError::RequestTimeout { timeout } => vec![format!("{timeout:?}")],
        ConfigError::MaxLeases { max_leases } => vec![max_leases.to_string()],
        ConfigError::Backoff { first, longest } => {
            vec![format!("{first:?}"), format!("{longest:?}")]
        }
        _ => vec![],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_is_built_keeps_its_promises(
        config in config_builder(),
        options in options_builder(),
    ) {
        let config = match config.build() {
            Ok(config) => config,
            Err(error) => {
                let words = error.to_string();
                prop_assert!(values(&error).iter().all(|value| words.contains(value)), "{words}");
                return Ok(());
            }
        };
        prop_assert!((1..=9).contains(&config.nodes()));
        prop_assert!(2 * config.quorum() > config.nodes());
        prop_assert!((ms(1)..=LONGEST_TTL).contains(&config.max_ttl()));
        prop_assert!((ms(1)..=LONGEST_TTL).contains(&config.request_timeout()));
        prop_assert!(config.drift().ppm() <= Drift::MAX_PPM);
        prop_assert!(config.max_leases() > 0);
        let options = match options.build(&config) {
            Ok(options) => options,
            Err(error) => {
                let words = error.to_string();
                prop_assert!(values(&error).iter().all(|value| words.contains(value)), "{words}");
                return Ok(());
            }
        };
        let ttl = options.ttl();
        prop_assert!((ms(1)..=config.max_ttl()).contains(&ttl));
        prop_assert_eq!(ttl, ms(ttl.as_millis() as u64), "the node gets the same TTL");
        prop_assert_eq!(options.valid_for(), ttl - config.drift().margin(ttl));
        prop_assert!(!options.valid_for().is_zero());
        prop_assert!(!options.round_timeout().is_zero());
        prop_assert!(options.round_timeout() <= config.request_timeout());
        if let Some(renew_after) = options.renew_after() {
            prop_assert!(!renew_after.is_zero() && renew_after < options.valid_for());
            let window = options.valid_for() - renew_after;
            let round = options.round_timeout();
            prop_assert!(
                round * 2 <= window || round == Duration::from_nanos(1),
                "two rounds fit between the begin of a renewal and the end of validity"
            );
            prop_assert!(window >= ms(10).min(options.valid_for() / 4), "time for a renewal");
        }
        let attempt = options.attempt_timeout();
        prop_assert!(!attempt.is_zero() && attempt <= config.request_timeout());
        prop_assert!(attempt * 2 <= options.valid_for() || attempt == Duration::from_nanos(1));
        prop_assert!(options.attempts() != Some(0) && options.max_hold() != Some(Duration::ZERO));
        for backoff in [options.backoff(), options.contention_backoff()] {
            prop_assert!(!backoff.first().is_zero() && backoff.first() <= backoff.longest());
        }
    }
}

#[test]
fn the_defaults_are_what_the_documents_say() {
    let config = Config::builder(3).build().unwrap();
    assert_eq!(config.max_ttl(), Duration::from_secs(10));
    assert_eq!(config.request_timeout(), Duration::from_secs(1));
    let options = LeaseOptions::builder().build(&config).unwrap();
    assert_eq!(options.renew_after(), Some(Duration::from_secs(20) / 3));
    assert_eq!(options.valid_for(), ms(9_898));
    let short = Config::builder(1).max_ttl(ms(800)).build().unwrap();
    assert_eq!(short.request_timeout(), ms(100));
    let options = LeaseOptions::builder().ttl(Duration::from_secs(2));
    let renew_after = options.build(&config).unwrap().renew_after();
    assert_eq!(renew_after, Some(Duration::from_nanos(1_333_333_333)));
}

/// What is below a millisecond is cut off before anything is computed from the TTL.
#[test]
fn a_ttl_is_cut_to_milliseconds_before_it_is_used() {
    let config = Config::builder(1).build().unwrap();
    let ttl = ms(500) + Duration::from_nanos(999_999);
    let cut = LeaseOptions::builder().ttl(ttl).build(&config).unwrap();
    let even = LeaseOptions::builder().ttl(ms(500)).build(&config).unwrap();
    assert_eq!(cut, even);
}

#[test]
fn every_error_can_be_had_and_carries_the_values() {
    let config = Config::builder(3).build().unwrap();
    let client = |builder: ConfigBuilder| builder.build().unwrap_err();
    let lease = |builder: LeaseOptionsBuilder| builder.build(&config).unwrap_err();
    let options = LeaseOptions::builder;
    let long = LONGEST_TTL + ms(1);
    let all = [
        client(Config::builder(0)),
        client(Config::builder(10)),
        client(Config::builder(1).max_ttl(ms(0))),
        client(Config::builder(1).max_ttl(long)),
        client(Config::builder(1).drift(Drift::from_ppm(Drift::MAX_PPM + 1))),
        client(Config::builder(1).request_timeout(Duration::from_micros(999))),
        client(Config::builder(1).request_timeout(long)),
        client(Config::builder(1).max_leases(0)),
        lease(options().ttl(Duration::from_micros(999))),
        lease(options().ttl(long)),
        lease(options().ttl(ms(10_001))),
        lease(options().ttl(ms(2))),
        lease(options().renewal(RenewalPolicy::After(Duration::ZERO))),
        lease(options().renewal(RenewalPolicy::After(ms(9_898)))),
        lease(options().renewal(RenewalPolicy::After(ms(9_889)))),
        lease(options().max_hold(Some(Duration::ZERO))),
        lease(options().attempts(Some(0))),
        lease(options().backoff(Backoff::new(Duration::ZERO, ms(1)))),
        lease(options().backoff(Backoff::new(ms(2), ms(1)))),
        lease(options().contention_backoff(Some(Backoff::new(ms(2), ms(1))))),
    ];
    let kinds: HashSet<_> = all.iter().map(std::mem::discriminant).collect();
    assert_eq!(kinds.len(), 11, "{all:?}");
    for error in all {
        let words = error.to_string();
        for value in values(&error) {
            assert!(words.contains(&value), "{value} in {words}");
        }
        assert!(words.len() > 15, "says what to do: {words}");
    }
}

#[test]
fn the_order_in_which_values_are_set_does_not_matter() {
    let config = Config::builder(1).build().unwrap();
    let renewal = RenewalPolicy::After(Duration::from_secs(3));
    let one = LeaseOptions::builder().ttl(ms(5_000)).renewal(renewal);
    let other = LeaseOptions::builder().renewal(renewal).ttl(ms(5_000));
    assert_eq!(one.build(&config), other.build(&config));
}

#[test]
fn the_limits_themselves_are_allowed() {
    assert_eq!(LONGEST_TTL, Duration::from_secs(2_592_000), "thirty days");
    let client = |builder: ConfigBuilder| builder.build().unwrap();
    assert_eq!(client(Config::builder(9)).quorum(), 5);
    client(Config::builder(1).drift(Drift::from_ppm(Drift::MAX_PPM)));
    client(Config::builder(1).request_timeout(ms(1)));
    client(Config::builder(1).request_timeout(LONGEST_TTL));
    let most = u32::MAX as usize / 2;
    client(Config::builder(1).max_leases(most));
    let more = Config::builder(1).max_leases(most + 1).build();
    let refused = ConfigError::MaxLeases {
        max_leases: most + 1,
    };
    assert_eq!(more, Err(refused));
    client(Config::builder(1).max_ttl(ms(3)));
    let longest = client(Config::builder(1).max_ttl(LONGEST_TTL));
    let lease = |builder: LeaseOptionsBuilder| builder.build(&longest).unwrap();
    lease(LeaseOptions::builder().ttl(LONGEST_TTL));
    let exact = Drift::from_ppm(0).with_granularity(Duration::ZERO);
    let exact = client(Config::builder(1).drift(exact));
    let short = LeaseOptions::builder().ttl(ms(1)).build(&exact).unwrap();
    assert_eq!(short.valid_for(), ms(1));
    let even = Backoff::new(ms(7), ms(7));
    lease(LeaseOptions::builder().backoff(even));
    let ten = LeaseOptions::builder().ttl(ms(10_000));
    lease(ten.renewal(RenewalPolicy::After(ms(9_888))));
}

/// However late it is renewed, a lease can be acquired in the time that the client waits.
#[test]
fn how_late_a_lease_is_renewed_does_not_cut_the_time_to_acquire_it() {
    let config = Config::builder(1).build().unwrap();
    let of = |renewal| {
        let options = LeaseOptions::builder().renewal(renewal).build(&config);
        options.unwrap()
    };
    let late = of(RenewalPolicy::After(ms(9_888)));
    assert_eq!(late.attempt_timeout(), Duration::from_secs(1));
    assert_eq!(late.round_timeout(), ms(5), "a renewal and a retry fit");
    for renewal in [RenewalPolicy::TwoThirds, RenewalPolicy::Off] {
        assert_eq!(of(renewal).attempt_timeout(), Duration::from_secs(1));
    }
    let short = LeaseOptions::builder().ttl(ms(500)).build(&config).unwrap();
    assert_eq!(short.attempt_timeout(), short.valid_for() / 2);
}

#[test]
fn a_renewal_too_late_to_succeed_is_refused_with_the_longest_time() {
    let config = Config::builder(1).build().unwrap();
    let late = ms(9_898) - Duration::from_micros(50);
    let options = LeaseOptions::builder().renewal(RenewalPolicy::After(late));
    let refused = ConfigError::Renewal {
        renew_after: late,
        most: ms(9_888),
        valid_for: ms(9_898),
    };
    assert_eq!(options.build(&config), Err(refused));
    // A quarter of a short validity.
    let short = |span| {
        let options = LeaseOptions::builder().ttl(ms(20));
        options.renewal(RenewalPolicy::After(span)).build(&config)
    };
    let valid_for = ms(20) - Duration::from_micros(2_200);
    assert!(short(valid_for * 3 / 4).is_ok());
    assert!(short(valid_for * 3 / 4 + Duration::from_nanos(1)).is_err());
}

#[test]
fn an_acquire_is_over_after_its_patience_but_not_before_one_attempt() {
    let config = Config::builder(1).build().unwrap();
    let of = |give_up, attempts| {
        let options = LeaseOptions::builder().give_up_after(give_up);
        options.attempts(attempts).build(&config).unwrap()
    };
    let second = Duration::from_secs(1);
    assert_eq!(of(None, None).acquire_timeout(), None);
    assert_eq!(of(None, Some(2)).acquire_timeout(), None);
    assert_eq!(of(None, Some(1)).acquire_timeout(), Some(second));
    assert_eq!(of(Some(ms(1)), Some(1)).acquire_timeout(), Some(second));
    assert_eq!(
        of(Some(Duration::ZERO), None).acquire_timeout(),
        Some(second)
    );
    assert_eq!(of(Some(ms(1_001)), None).acquire_timeout(), Some(ms(1_001)));
    let takes = Config::builder(1).takes(true).build().unwrap();
    let options = LeaseOptions::builder().attempts(Some(1));
    let options = options.build(&takes).unwrap();
    assert_eq!(options.acquire_timeout(), Some(2 * second), "two answers");
    let shorter = of(None, None).with_give_up_after(ms(1));
    assert_eq!(shorter, of(Some(ms(1)), None));
}

/// With the default drift bound it is 3 ms.
#[test]
fn a_ttl_that_is_too_short_is_refused_with_the_shortest_that_is_not() {
    let config = Config::builder(1).build().unwrap();
    let of = |ttl| LeaseOptions::builder().ttl(ttl).build(&config);
    for ttl in [Duration::ZERO, ms(1), ms(2), Duration::from_micros(2_999)] {
        let least = ms(3);
        let refused = ConfigError::TtlTooShort { ttl, least };
        assert_eq!(of(ttl).unwrap_err(), refused);
        assert_eq!(Config::builder(1).max_ttl(ttl).build(), Err(refused));
        assert!(refused.to_string().contains("30 ms"), "{refused}");
    }
    assert!(of(ms(3)).unwrap().valid_for() < ms(1));
}

#[test]
fn a_ttl_whose_last_third_the_margin_eats_is_renewed_halfway() {
    let config = Config::builder(1).build().unwrap();
    let short = LeaseOptions::builder().ttl(ms(5)).build(&config).unwrap();
    // Validity is 5 ms less 1 % and 2 ms, and two thirds of 5 ms are more than that.
    let valid_for = Duration::from_micros(2_950);
    assert_eq!(short.valid_for(), valid_for);
    assert_eq!(short.renew_after(), Some(valid_for / 2));
    // Of 9 ms, two thirds would leave 0.9 ms of 6.9 ms.
    let nine = LeaseOptions::builder().ttl(ms(9)).build(&config).unwrap();
    assert_eq!(nine.renew_after(), Some(nine.valid_for() / 2));
    let twenty = LeaseOptions::builder().ttl(ms(20)).build(&config).unwrap();
    assert_eq!(twenty.renew_after(), Some(ms(20) * 2 / 3));
}
