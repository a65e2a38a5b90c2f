//! The judge of a soak on histories that are lawful, and on the same with one thing wrong.

use super::super::event::{Event, Why, Written};
use super::super::kind::Kind;
use super::super::{SERVED, TTL};
use super::{Judge, MORE_MEMORY, nanos};

/// A second.
const S: u64 = 1_000_000_000;

fn granted(lease: u64, asked: u64, at: u64, fence: u64) -> Event {
    Event::Granted {
        lease,
        key: 1,
        asked,
        at,
        fence,
        acknowledged: 0,
    }
}

fn seen(lease: u64, at: u64) -> Event {
    Event::Seen { lease, at }
}

fn wrote(lease: u64, at: u64, how: Written) -> Event {
    let count = at;
    Event::Wrote {
        lease,
        at,
        how,
        count,
    }
}

/// One holder after the other, of which the second loses its lock.
fn lawful() -> Vec<Event> {
    // A replica has acknowledged the first, and its copy has expired when the second is granted.
    acknowledged(2 * S + 1)
}

/// The same, where the copy expires at that instant.
fn acknowledged(until: u64) -> Vec<Event> {
    vec![
        Event::Figures {
            memory: 10_000,
            tasks: 9,
        },
        Event::Asked {
            lease: 1,
            key: 1,
            at: S,
        },
        Event::Granted {
            lease: 1,
            key: 1,
            asked: S,
            at: 2 * S,
            fence: 10,
            acknowledged: until,
        },
        wrote(1, 2 * S, Written::Taken),
        Event::Asked {
            lease: 2,
            key: 1,
            at: 2 * S,
        },
        seen(1, 3 * S),
        granted(2, 2 * S, 4 * S, 11),
        seen(2, 5 * S),
        Event::Lost { lease: 2 },
        wrote(2, 9 * S, Written::Refused),
    ]
}

/// What is wrong with these events of one process, which closes then.
fn judged(events: Vec<Event>, tell: impl FnOnce(&mut Judge)) -> Vec<String> {
    judged_of(Kind::One, events, tell)
}

fn judged_of(kind: Kind, events: Vec<Event>, tell: impl FnOnce(&mut Judge)) -> Vec<String> {
    let mut judge = Judge::new(kind);
    for event in events {
        judge.hear(0, event);
    }
    judge.hear(0, Event::Closed { tasks: 0, held: 0 });
    tell(&mut judge);
    judge.verdict().1
}

#[track_caller]
fn wrong(more: &[Event], what: &str) {
    let mut events = lawful();
    events.extend_from_slice(more);
    let said = judged(events, |_| ());
    assert!(said.iter().any(|said| said.contains(what)), "{said:?}");
}

#[test]
fn one_holder_after_the_other_is_lawful() {
    assert_eq!(judged(lawful(), |_| ()), [""; 0]);
}

#[test]
fn two_that_hold_one_key_are_seen_and_excused_after_a_restart() {
    let both = || {
        let mut events = lawful();
        events.push(seen(1, 4 * S + 1));
        events
    };
    let said = judged(both(), |_| ());
    assert_eq!(said, ["leases 1 and 2 both hold key 1"]);
    assert_eq!(judged(both(), |judge| judge.forgot(4 * S - 1)), [""; 0]);
    assert_eq!(judged(both(), |judge| judge.forgot(4 * S + 1)).len(), 1);
    let several = judged_of(Kind::Several(3), both(), |judge| judge.forgot(4 * S - 1));
    assert_eq!(several.len(), 1, "others do not forget");
    let long_ago = 4 * S - nanos(TTL);
    assert_eq!(judged(both(), |judge| judge.forgot(long_ago)).len(), 1);
}

/// The former primary may have granted until it was told.
#[test]
fn two_that_hold_one_key_are_excused_at_a_failover_until_it_is_over() {
    let both = || {
        let mut events = lawful();
        events.push(seen(1, 4 * S + nanos(TTL)));
        events.push(seen(2, 4 * S + nanos(TTL)));
        events
    };
    let parted = |from, to| judged(both(), |judge| judge.parted(from, to));
    assert_eq!(parted(3 * S, 4 * S), [""; 0]);
    assert_eq!(parted(3 * S, 4 * S - 1).len(), 1, "for too long");
    assert_eq!(parted(4 * S + 1, 9 * S).len(), 1, "too early");
    // Two spans of which neither covers all of it are no excuse.
    let said = judged(both(), |judge| {
        judge.forgot(3 * S);
        judge.forgot(5 * S);
    });
    assert_eq!(said.len(), 1);
}

/// Its replica has what it acknowledged.
#[test]
fn who_was_acknowledged_keeps_its_lock_when_the_primary_is_replaced() {
    let both = |until, tell: fn(&mut Judge)| {
        let mut events = acknowledged(until);
        events.push(seen(1, 4 * S + 1));
        judged_of(Kind::Group, events, tell)
    };
    let excuses: [fn(&mut Judge); 2] = [
        |judge| judge.replaced(4 * S - 1),
        |judge| judge.parted(4 * S - 1, 4 * S),
    ];
    for excuse in excuses {
        assert_eq!(both(4 * S, excuse), [""; 0], "it has expired there");
        let said = both(4 * S + 1, excuse);
        assert_eq!(said, ["leases 1 and 2 both hold key 1"]);
    }
    let empty: fn(&mut Judge) = |judge| judge.forgot(4 * S - 1);
    assert_eq!(both(4 * S + 1, empty), [""; 0], "nobody has it");
}

#[test]
fn a_replica_has_what_it_acknowledged_when_its_primary_dies() {
    let died = |until, looked, keys: &[&str]| {
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        judged_of(Kind::Group, acknowledged(until), |judge| {
            judge.left(2 * S + 1, looked, &keys);
        })
    };
    let late = 4 * S;
    let said = died(late, 3 * S - 1, &["k2", "tenure:fence"]);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("lease 1 holds key 1, "), "{said:?}");
    assert_eq!(died(late, 3 * S - 1, &["k1"]), [""; 0]);
    assert_eq!(
        died(late, 3 * S, &[]),
        [""; 0],
        "it may be released by then"
    );
    assert_eq!(died(3 * S - 1, 3 * S - 1, &[]), [""; 0], "it has expired");
    assert_eq!(died(0, 3 * S - 1, &[]).len(), 1, "nothing was acknowledged");
}

#[test]
fn the_store_may_not_refuse_who_was_acknowledged_either() {
    let refused = |until| {
        let mut events = acknowledged(until);
        events.push(wrote(1, 3 * S, Written::RefusedWhileHeld));
        judged_of(Kind::Group, events, |judge| judge.replaced(3 * S - 1))
    };
    assert_eq!(refused(3 * S), [""; 0]);
    assert_eq!(
        refused(3 * S + 1),
        ["the store refuses lease 1, which holds its key"]
    );
}

#[test]
fn where_a_replica_is_nothing_was_tried_if_it_acknowledged_nothing() {
    let said = judged_of(Kind::Group, acknowledged(0), |_| ());
    assert!(said[0].contains("nothing was tried"), "{said:?}");
}

/// One of three that is excused does not hide another that is not.
#[test]
fn each_two_that_hold_one_key_are_compared() {
    let mut events = lawful();
    events.push(seen(1, 9 * S));
    events.push(Event::Granted {
        lease: 3,
        key: 1,
        asked: 4 * S,
        at: 4 * S + 2,
        fence: 12,
        acknowledged: 9 * S,
    });
    events.extend([
        seen(3, 5 * S),
        granted(4, 4 * S + 3, 4 * S + 4, 13),
        seen(4, 5 * S),
    ]);
    let said = judged_of(Kind::Group, events, |judge| judge.replaced(4 * S - 1));
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    assert!(said.contains(&"leases 3 and 4 both hold key 1"), "{said:?}");
}

/// Also if another one was granted and lost between.
#[test]
fn a_long_hold_is_compared_with_each_that_was_granted_in_it() {
    wrong(
        &[seen(1, 8 * S), granted(3, 6 * S, 7 * S, 12), seen(3, 7 * S)],
        "leases 1 and 3 both hold",
    );
}

#[test]
fn fences_grow_and_no_two_grants_share_one() {
    wrong(&[granted(3, 6 * S, 7 * S, 9)], "fence 9 after 11");
    wrong(&[granted(3, 6 * S, 7 * S, 11)], "two grants have one fence");
    wrong(&[wrote(2, S, Written::Twice)], "two wrote under the fence");
}

/// Two primaries count the milliseconds alike, and what is within one each by itself.
#[test]
fn fences_of_one_millisecond_are_excused_while_two_servers_grant() {
    let same = |fence, excuse: fn(&mut Judge)| {
        let mut events = lawful();
        events.push(granted(3, 6 * S, 7 * S, fence));
        events.push(wrote(3, 7 * S, Written::Twice));
        judged(events, excuse)
    };
    assert_eq!(same(11, |judge| judge.parted(6 * S, 8 * S)), [""; 0]);
    assert_eq!(same(9, |judge| judge.parted(6 * S, 8 * S)), [""; 0]);
    assert_eq!(same(11, |judge| judge.parted(8 * S, 9 * S)).len(), 2);
    assert_eq!(same(11, |judge| judge.forgot(6 * S)).len(), 2);
    let mut events = lawful();
    let next = [
        granted(3, 5 * S, 6 * S, 5_000),
        granted(4, 7 * S, 8 * S, 3_999),
    ];
    events.extend(next);
    let said = judged(events, |judge| judge.parted(6 * S, 8 * S));
    assert_eq!(said, ["key 1: fence 3999 after 5000"]);
}

#[test]
fn a_store_that_takes_a_smaller_fence_is_wrong_whatever_happened() {
    let mut events = lawful();
    events.extend([
        wrote(2, 5 * S, Written::Taken),
        wrote(1, 5 * S + 1, Written::Taken),
    ]);
    let said = judged(events, |judge| {
        judge.forgot(4 * S);
        judge.parted(4 * S, 6 * S);
    });
    assert_eq!(said, ["the store takes fence 10 after 11 of 1"]);
    wrong(&[wrote(9, S, Written::Taken)], "was never granted");
}

#[test]
fn a_holder_that_the_store_refuses_is_wrong_unless_excused() {
    let refused = wrote(2, 5 * S, Written::RefusedWhileHeld);
    wrong(&[refused], "the store refuses lease 2");
    let mut events = lawful();
    events.push(refused);
    assert_eq!(judged(events, |judge| judge.forgot(4 * S)), [""; 0]);
}

#[test]
fn a_loss_that_is_not_told_or_taken_back_is_wrong() {
    wrong(&[Event::Untold { lease: 2 }], "is not told");
    wrong(&[Event::Revived { lease: 2 }], "held again");
}

#[test]
fn who_waits_in_vain_or_for_ever_after_the_last_fault_is_told() {
    let asked = Event::Asked {
        lease: 3,
        key: 1,
        at: 6 * S,
    };
    wrong(&[asked], "was never served");
    let other = |why, at| Event::Unserved { lease: 3, at, why };
    wrong(&[asked, other(Why::Other, 7 * S)], "waited in vain");
    let late = 7 * S + nanos(SERVED);
    wrong(&[asked, other(Why::Outage, late)], "waited in vain");
    wrong(&[asked, granted(3, 6 * S, late, 12)], "waited for too long");
    let dropped = [asked, other(Why::Dropped, late)];
    let events = || lawful().into_iter().chain(dropped).collect();
    assert_eq!(judged(events(), |_| ()), [""; 0]);
    // During a fault anybody may wait.
    let granted = [asked, granted(3, 6 * S, late, 12)];
    let events = lawful().into_iter().chain(granted).collect();
    assert_eq!(judged(events, |judge| judge.healed(late - S)), [""; 0]);
}

/// Whoever is patient may starve there, if others are served.
#[test]
fn over_several_nodes_each_key_is_granted_in_time_and_not_each_waiter() {
    let late = 6 * S + nanos(SERVED) + S;
    let served = |kind, key, at| {
        let mut events = lawful();
        events.push(Event::Asked {
            lease: 3,
            key: 1,
            at: 6 * S,
        });
        events.push(Event::Granted {
            lease: 4,
            key,
            asked: at - S,
            at,
            fence: 12,
            acknowledged: 0,
        });
        events.push(granted(3, 6 * S, late, 13));
        judged_of(kind, events, |_| ())
    };
    let several = Kind::Several(3);
    assert_eq!(served(several, 1, 9 * S), [""; 0]);
    assert_eq!(served(several, 1, 6 * S + S / 2).len(), 1, "too early");
    assert_eq!(served(several, 2, 9 * S).len(), 1, "another key");
    for kind in [Kind::One, Kind::Group] {
        assert_eq!(served(kind, 1, 9 * S).len(), 1, "{kind:?} has turns");
    }
}

#[test]
fn nodes_that_may_have_forgotten_are_told_of_where_there_is_quarantine() {
    let told = |kind, asks: &[Event], at| {
        let mut events = lawful();
        events.extend_from_slice(asks);
        let (lease, why) = (3, Why::Quarantined);
        events.push(Event::Unserved { lease, at, why });
        judged_of(kind, events, |judge| judge.healed(6 * S))
    };
    let (lease, at) = (3, 6 * S);
    let asked = [Event::Asked { lease, key: 1, at }];
    for asks in [&asked[..], &[]] {
        assert_eq!(told(Kind::Several(3), asks, 7 * S), [""; 0]);
        for kind in [Kind::One, Kind::Group] {
            assert_eq!(told(kind, asks, 7 * S).len(), 1, "{kind:?}");
        }
    }
    let late = 7 * S + nanos(SERVED);
    assert!(!told(Kind::Several(3), &asked, late).is_empty());
}

#[test]
fn nobody_waits_where_a_process_was_killed() {
    let mut events = lawful();
    events.push(Event::Asked {
        lease: 3,
        key: 1,
        at: 6 * S,
    });
    assert_eq!(judged(events, |judge| judge.died(0)), [""; 0]);
}

#[test]
fn what_is_left_and_what_grows_is_told() {
    let grown = Event::Figures {
        memory: 10_001 + MORE_MEMORY,
        tasks: 9,
    };
    wrong(&[grown], "more and more memory");
    let mut events = lawful();
    events.push(grown);
    assert_eq!(judged(events, Judge::settled), [""; 0]);
    wrong(
        &[Event::Closed { tasks: 1, held: 0 }],
        "1 tasks and 0 locks",
    );
    wrong(
        &[Event::Closed { tasks: 0, held: 1 }],
        "0 tasks and 1 locks",
    );
    let mut judge = Judge::new(Kind::One);
    lawful().into_iter().for_each(|event| judge.hear(0, event));
    let (_, said) = judge.verdict();
    assert_eq!(said, ["process 0 did not close its clients"]);
}

#[test]
fn a_soak_in_which_nothing_happened_is_no_success() {
    let said = judged(Vec::new(), |_| ());
    assert!(said[0].contains("nothing was tried"), "{said:?}");
}
