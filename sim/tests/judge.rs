//! The judge hears small histories. It finds each broken law, and accuses no lawful history.
#![forbid(unsafe_code)]

use tenure_core::OpKind;

use tenure_sim::judge::{Judge, Law, Rules};
use tenure_sim::observe::fact::{
    Answer, Cause, Fact, Fault, Freed, Holder, Link, Loss, Outcome, Record, Why,
};

const RULES: Rules = Rules {
    nodes: 1,
    quorum: 1,
    max_ttl: 1_000,
    exclusion: true,
    promises: true,
    prompt: true,
    quarantine: false,
    excuses: true,
    fencing: true,
    late_expiry: 50,
    told_within: 5,
    asked_while_stalled: false,
    granted_within: Some(5_000),
    pace: 100,
    renewals: 2,
    kills: true,
    freed_within: 200,
    bare_releases: false,
    recalled_within: 5,
    acknowledged: 0,
    idle_within: Some(3_000),
    hold: 100,
    doubted_within: 50,
};

/// A history of one key at one node, told to a judge.
struct History(Judge);

impl History {
    fn new() -> Self {
        Self::under(RULES)
    }

    fn under(rules: Rules) -> Self {
        Self(Judge::new(rules))
    }

    /// A fact of a lease. Leases with even numbers belong to client 0, the others to client 1.
    fn tell(&mut self, at: u64, lease: u32, fact: Fact) -> &mut Self {
        self.0.hear(&Record {
            client: Some((lease % 2) as u8),
            node: Some(0),
            key: Some(0),
            lease: Some(lease),
            ..Record::new(at, fact)
        });
        self
    }

    /// A fact that need not be about a lease.
    fn happens(&mut self, at: u64, record: Record) -> &mut Self {
        self.0.hear(&Record { at, ..record });
        self
    }

    /// A lease is wanted, and the node grants it the key. The application is not told yet.
    fn asks(&mut self, at: u64, lease: u32, until: u64) -> &mut Self {
        let (ask, serial) = (OpKind::Acquire, 1);
        let answer = Answer::Granted(at);
        let outcome = Outcome::Answered(answer);
        self.tell(at, lease, Fact::Wanted { ttl: 1_000 });
        self.tell(
            at,
            lease,
            Fact::Sent {
                ask,
                attempt: 1,
                serial,
            },
        );
        self.tell(
            at,
            lease,
            Fact::Did {
                ask,
                serial,
                answer,
                until: Some(until),
                late: false,
            },
        );
        self.tell(
            at,
            lease,
            Fact::Heard {
                ask,
                serial,
                outcome,
            },
        )
    }

    /// The same, and the application is told.
    fn grant(&mut self, at: u64, lease: u32, fence: u64, until: u64) -> &mut Self {
        self.asks(at, lease, until);
        self.tell(at, lease, Fact::Granted { fence, until })
    }

    /// The client hears so many replicas acknowledge.
    fn acknowledged(&mut self, at: u64, lease: u32, replicas: u32) -> &mut Self {
        let fact = Fact::Heard {
            ask: OpKind::Acknowledge,
            serial: 2,
            outcome: Outcome::Answered(Answer::Acknowledged(replicas)),
        };
        self.tell(at, lease, fact)
    }

    fn broken(&self) -> Option<Law> {
        self.0.violation().map(|violation| violation.law)
    }
}

fn until(until: u64) -> Fact {
    Fact::Until {
        until,
        why: Why::Clock,
    }
}

fn fault(fault: Fault) -> Record {
    Record {
        node: Some(0),
        key: Some(0),
        ..Record::new(0, Fact::Fault(fault))
    }
}

/// Where two replicas must acknowledge grants.
#[test]
fn a_grant_that_too_few_replicas_acknowledged_is_no_honest_validity() {
    let rules = Rules {
        acknowledged: 2,
        promises: false,
        ..RULES
    };
    let granted = Fact::Granted {
        fence: 10,
        until: 900,
    };
    for (replicas, broken) in [
        (None, Some(Law::HonestValidity)),
        (Some(1), Some(Law::HonestValidity)),
        (Some(2), None),
        (Some(3), None),
    ] {
        let mut history = History::under(rules.clone());
        history.asks(10, 0, 1_010);
        if let Some(replicas) = replicas {
            history.acknowledged(20, 0, replicas);
        }
        history.tell(30, 0, granted);
        assert_eq!(history.broken(), broken, "{replicas:?}");
    }
    // What was said of an earlier attempt does not count for this one.
    let mut history = History::under(rules.clone());
    history.asks(10, 0, 1_010).acknowledged(20, 0, 2);
    let again = Fact::Sent {
        ask: OpKind::Acquire,
        attempt: 2,
        serial: 3,
    };
    history.tell(300, 0, again).tell(310, 0, granted);
    assert_eq!(history.broken(), Some(Law::HonestValidity));
}

#[test]
fn one_holder_after_the_other_is_lawful() {
    let mut history = History::new();
    history.grant(10, 0, 7, 900).tell(500, 0, Fact::Release);
    history.grant(510, 1, 8, 1_400);
    assert_eq!(history.broken(), None);
}

#[test]
fn two_valid_leases_break_exclusion() {
    let mut history = History::new();
    history.grant(10, 0, 7, 900).grant(899, 1, 8, 1_800);
    assert_eq!(history.broken(), Some(Law::Exclusion));
}

#[test]
fn a_validity_that_a_clock_step_lengthens_breaks_exclusion() {
    let mut history = History::new();
    history.grant(10, 0, 7, 900).tell(20, 0, until(300));
    history.grant(301, 1, 8, 1_200);
    assert_eq!(history.broken(), None);
    history.tell(302, 0, until(320));
    assert_eq!(history.broken(), Some(Law::Exclusion));
}

#[test]
fn a_deleted_key_excuses_two_holders_for_one_ttl_and_no_longer() {
    let mut history = History::new();
    history.grant(10, 0, 7, 900);
    history.happens(100, fault(Fault::Deleted));
    history.grant(200, 1, 8, 1_150);
    assert_eq!(history.broken(), None);
    history.tell(300, 0, until(890));
    assert_eq!(history.broken(), None);

    let mut history = History::under(Rules {
        promises: false,
        ..RULES
    });
    history.grant(10, 0, 7, 900);
    history.happens(100, fault(Fault::Deleted));
    history.grant(200, 1, 8, 1_150).tell(300, 0, until(1_120));
    assert_eq!(history.broken(), Some(Law::Exclusion));
}

#[test]
fn a_restart_excuses_nothing_over_several_nodes_with_quarantine() {
    let rules = Rules {
        nodes: 3,
        quorum: 2,
        quarantine: true,
        promises: false,
        ..RULES
    };
    let mut history = History::under(rules);
    history.grant(10, 0, 7, 900);
    history.happens(100, fault(Fault::CrashEmpty));
    history.grant(200, 1, 8, 1_150);
    assert_eq!(history.broken(), Some(Law::Exclusion));
}

#[test]
fn a_node_that_forgets_prolongs_the_excuse_of_a_deletion_by_one_ttl() {
    let rules = Rules {
        nodes: 3,
        quorum: 2,
        quarantine: true,
        promises: false,
        ..RULES
    };
    let history = |excused: &[(u64, Fault)]| {
        let mut history = History::under(rules.clone());
        history.grant(10, 0, 7, 900);
        for (at, fault_) in excused {
            history.happens(*at, fault(*fault_));
        }
        history.grant(800, 1, 8, 1_700);
        history.tell(850, 0, until(1_750));
        history.broken()
    };
    let (deleted, forgot) = (Fault::Deleted, Fault::Flushed);
    assert_eq!(history(&[(100, deleted), (750, forgot)]), None);
    assert_eq!(history(&[(100, deleted)]), Some(Law::Exclusion));
    assert_eq!(history(&[(750, forgot)]), Some(Law::Exclusion));
}

#[test]
fn a_fence_that_does_not_grow_breaks_fencing() {
    let mut history = History::new();
    history.grant(10, 0, 7, 90).tell(80, 0, Fact::Release);
    history.grant(100, 1, 6, 200);
    assert_eq!(history.broken(), Some(Law::Fencing));
}

#[test]
fn an_acquire_sent_before_a_larger_fence_was_told_may_get_a_smaller_one() {
    let mut history = History::new();
    history.asks(10, 0, 900).grant(95, 1, 7, 190);
    history.tell(96, 1, Fact::Release);
    history.tell(
        97,
        0,
        Fact::Granted {
            fence: 6,
            until: 900,
        },
    );
    assert_eq!(history.broken(), None);
}

/// A take of a lease sets the key.
fn takes(history: &mut History, at: u64, lease: u32) {
    let key = Fact::Key {
        from: Holder::Nobody,
        to: Holder::Lease(lease),
        until: Some(at + 900),
    };
    history.tell(at, lease, Fact::Wanted { ttl: 1_000 });
    history.tell(at, lease, key);
}

/// Its fence is drawn.
fn draws(history: &mut History, at: u64, lease: u32, fence: u64) {
    let drawn = Fact::Did {
        ask: OpKind::Take,
        serial: 1,
        answer: Answer::Granted(fence),
        until: Some(at + 900),
        late: false,
    };
    history.tell(at, lease, drawn);
}

/// What a lease had is deleted, by itself or by somebody else.
fn vanishes(history: &mut History, at: u64, lease: u32, by: Option<u32>) {
    let fact = Fact::Key {
        from: Holder::Lease(lease),
        to: Holder::Nobody,
        until: None,
    };
    let record = Record {
        node: Some(0),
        key: Some(0),
        lease: by,
        ..Record::new(at, fact)
    };
    history.happens(at, record);
}

#[test]
fn a_fence_below_that_of_a_grant_that_had_ended_breaks_fencing() {
    for (fence, broken) in [(6, Some(Law::Fencing)), (7, Some(Law::Fencing)), (8, None)] {
        let mut history = History::new();
        takes(&mut history, 10, 0);
        draws(&mut history, 11, 0, 7);
        vanishes(&mut history, 20, 0, Some(0));
        takes(&mut history, 30, 1);
        draws(&mut history, 31, 1, fence);
        assert_eq!(history.broken(), broken, "{fence}");
    }
}

#[test]
fn a_take_whose_key_is_deleted_before_its_fence_is_drawn_is_excused() {
    for (by, broken) in [(None, None), (Some(1), Some(Law::Fencing))] {
        let mut history = History::new();
        takes(&mut history, 10, 0);
        draws(&mut history, 11, 0, 7);
        vanishes(&mut history, 20, 0, Some(0));
        takes(&mut history, 30, 1);
        if by.is_none() {
            vanishes(&mut history, 31, 1, None);
        }
        draws(&mut history, 32, 1, 6);
        assert_eq!(history.broken(), broken);
    }
}

#[test]
fn one_node_that_lost_its_last_writes_may_draw_a_fence_again() {
    for replaced in [false, true] {
        let mut history = History::new();
        takes(&mut history, 10, 0);
        draws(&mut history, 11, 0, 7);
        if replaced {
            history.happens(20, fault(Fault::Replaced));
        }
        vanishes(&mut history, 20, 0, None);
        takes(&mut history, 30, 1);
        draws(&mut history, 31, 1, 7);
        assert_eq!(history.broken(), (!replaced).then_some(Law::Fencing));
    }
}

#[test]
fn a_fence_drawn_after_its_grant_had_ended_is_no_floor_for_others() {
    let mut history = History::new();
    takes(&mut history, 10, 0);
    vanishes(&mut history, 20, 0, None);
    takes(&mut history, 30, 1);
    draws(&mut history, 31, 1, 6);
    draws(&mut history, 32, 0, 7);
    assert_eq!(history.broken(), None);
}

#[test]
fn a_fence_told_twice_breaks_fencing() {
    let mut history = History::new();
    history.asks(10, 0, 900).grant(95, 1, 7, 190);
    history.tell(96, 1, Fact::Release);
    history.tell(
        97,
        0,
        Fact::Granted {
            fence: 7,
            until: 900,
        },
    );
    assert_eq!(history.broken(), Some(Law::Fencing));
}

#[test]
fn a_write_over_one_that_was_not_read_breaks_fencing() {
    let write = |value| Fact::Wrote {
        fence: 7,
        accepted: true,
        value,
    };
    let mut history = History::new();
    history.grant(10, 0, 7, 90).tell(80, 0, Fact::Release);
    history.tell(85, 0, write(1));
    history.grant(100, 1, 8, 200).tell(101, 1, write(1));
    assert_eq!(history.broken(), Some(Law::Fencing));
}

#[test]
fn a_request_that_changes_the_key_of_another_breaks_ownership() {
    let mut history = History::new();
    history.grant(10, 0, 7, 90).tell(
        50,
        1,
        Fact::Key {
            from: Holder::Lease(0),
            to: Holder::Nobody,
            until: None,
        },
    );
    assert_eq!(history.broken(), Some(Law::Ownership));
}

#[test]
fn validity_beyond_what_the_node_promised_is_not_honest() {
    let mut history = History::new();
    history.asks(10, 0, 900).tell(
        20,
        0,
        Fact::Granted {
            fence: 7,
            until: 901,
        },
    );
    assert_eq!(history.broken(), Some(Law::HonestValidity));
}

#[test]
fn a_lease_that_ended_and_is_held_again_is_a_resurrection() {
    for end in [
        Fact::Release,
        Fact::Cancel,
        Fact::Lost(Loss::Gone),
        Fact::Failed {
            cause: Cause::Outage,
            gave_up: true,
        },
    ] {
        let mut history = History::new();
        history.asks(10, 0, 900).tell(20, 0, end);
        assert_eq!(history.broken(), None);
        history.tell(
            30,
            0,
            Fact::Granted {
                fence: 7,
                until: 900,
            },
        );
        assert_eq!(history.broken(), Some(Law::NoResurrection), "{end:?}");
    }
}

#[test]
fn a_lease_that_is_renewed_after_its_validity_had_ended_is_a_resurrection() {
    let mut history = History::new();
    history.grant(10, 0, 7, 90).tell(
        90,
        0,
        Fact::Until {
            until: 190,
            why: Why::Renewed,
        },
    );
    assert_eq!(history.broken(), Some(Law::NoResurrection));
}

#[test]
fn a_renewal_of_what_ended_is_a_resurrection_and_its_release_is_not() {
    let sent = |ask| Fact::Sent {
        ask,
        attempt: 1,
        serial: 2,
    };
    let mut history = History::new();
    history.grant(10, 0, 7, 900).tell(20, 0, Fact::Cancel);
    history.tell(21, 0, sent(OpKind::Release));
    assert_eq!(history.broken(), None);
    history.tell(22, 0, sent(OpKind::Renew));
    assert_eq!(history.broken(), Some(Law::NoResurrection));
}

#[test]
fn a_loss_that_is_not_told_is_found_unless_the_process_stands_still() {
    let client = |fact| Record {
        client: Some(0),
        ..Record::new(0, fact)
    };
    let mut history = History::new();
    history.grant(10, 0, 7, 90);
    history.happens(50, client(Fact::Fault(Fault::Pause)));
    history.happens(300, client(Fact::Mended(Fault::Pause)));
    assert_eq!(history.broken(), None);
    history.happens(306, client(Fact::Full));
    assert_eq!(history.broken(), Some(Law::LossIsTold));
}

/// A guard that is asked reads its own clock, even if no task of its client gets to run.
#[test]
fn a_loss_is_told_while_the_client_stands_still_if_its_guards_are_asked() {
    let client = |fact| Record {
        client: Some(0),
        ..Record::new(0, fact)
    };
    for (asked_while_stalled, broken) in [(false, None), (true, Some(Law::LossIsTold))] {
        let mut history = History::under(Rules {
            asked_while_stalled,
            ..RULES
        });
        history.grant(10, 0, 7, 90);
        history.happens(50, client(Fact::Fault(Fault::Stall)));
        history.happens(300, client(Fact::Full));
        assert_eq!(history.broken(), broken);
    }
}

#[test]
fn a_loss_that_is_told_too_late_is_found() {
    let mut history = History::new();
    history.grant(10, 0, 7, 90);
    history.tell(95, 0, Fact::Lost(Loss::Expired));
    assert_eq!(history.broken(), None);

    let mut history = History::new();
    history.grant(10, 0, 7, 90);
    history.tell(96, 0, Fact::Lost(Loss::Expired));
    assert_eq!(history.broken(), Some(Law::LossIsTold));
}

#[test]
fn an_end_that_is_told_twice_is_a_resurrection() {
    let mut history = History::new();
    history.grant(10, 0, 7, 90);
    history.tell(50, 0, Fact::Lost(Loss::Gone));
    history.tell(60, 0, Fact::Lost(Loss::Expired));
    assert_eq!(history.broken(), Some(Law::NoResurrection));
}

#[test]
fn a_crash_excuses_from_its_beginning_and_not_from_its_end() {
    let mut history = History::new();
    history.happens(100, fault(Fault::CrashEmpty));
    history.happens(500, Record::new(0, Fact::Mended(Fault::CrashEmpty)));
    history.grant(600, 0, 7, 1_500);
    history.grant(700, 1, 8, 1_600);
    assert_eq!(history.broken(), Some(Law::Exclusion));
}

#[test]
fn a_wanted_key_that_is_not_granted_after_the_faults_breaks_progress() {
    let mut history = History::new();
    history.tell(10, 0, Fact::Wanted { ttl: 1_000 });
    history.happens(1_000, Record::new(0, Fact::Healed));
    history.0.finish(6_000);
    assert_eq!(history.broken(), None);
    history.0.finish(6_001);
    assert_eq!(history.broken(), Some(Law::Progress));
}

#[test]
fn a_key_that_a_living_client_leaves_behind_is_an_orphan() {
    let key = Fact::Key {
        from: Holder::Nobody,
        to: Holder::Lease(0),
        until: Some(900),
    };
    for dies in [false, true] {
        let mut history = History::new();
        history.tell(10, 0, Fact::Wanted { ttl: 1_000 });
        history.tell(11, 0, key).tell(12, 0, Fact::Cancel);
        if dies {
            let client = Some(0);
            let crash = Record::new(0, Fact::Fault(Fault::ClientCrash));
            history.happens(13, Record { client, ..crash });
        }
        history.happens(200, Record::new(0, Fact::Swept));
        assert_eq!(history.broken(), (!dies).then_some(Law::NoOrphan));
        history.0.finish(899);
        assert_eq!(history.broken(), Some(Law::NoOrphan));
    }
}

#[test]
fn counters_and_markers_kept_for_longer_than_a_day_are_orphans() {
    const DAY: u64 = 86_400_000_000_000;
    // Over one node there is a stream, which is kept for two.
    for (nodes, days) in [(1, 2), (3, 1)] {
        let kept = |until| {
            let mut history = History::under(Rules { nodes, ..RULES });
            history.happens(10, Record::new(0, Fact::Beside { until }));
            history.broken()
        };
        assert_eq!(kept(Some(10 + days * DAY)), None);
        assert_eq!(kept(Some((days + 1) * DAY)), Some(Law::NoOrphan));
        assert_eq!(kept(None), Some(Law::NoOrphan));
    }
}

#[test]
fn a_key_at_a_node_after_its_lease_is_settled_is_an_orphan() {
    let key = Fact::Key {
        from: Holder::Nobody,
        to: Holder::Lease(0),
        until: Some(900),
    };
    let landed = |late| Fact::Did {
        ask: OpKind::Acquire,
        serial: 1,
        answer: Answer::Granted(1),
        until: Some(900),
        late,
    };
    for late in [false, true] {
        let mut history = History::new();
        history.tell(10, 0, Fact::Wanted { ttl: 1_000 });
        history.tell(11, 0, landed(late)).tell(11, 0, key);
        history.tell(12, 0, Fact::Cancel);
        assert_eq!(history.broken(), None);
        history.tell(13, 0, Fact::Settled);
        assert_eq!(history.broken(), (!late).then_some(Law::NoOrphan));
        // A key that landed late may linger for one TTL, and no longer.
        history.happens(500, Record::new(0, Fact::Swept));
        assert_eq!(history.broken(), (!late).then_some(Law::NoOrphan));
        history.0.finish(899);
        assert_eq!(history.broken(), Some(Law::NoOrphan));
    }
}

#[test]
fn a_key_that_may_linger_at_one_node_may_not_at_another() {
    let key = |node| Record {
        node: Some(node),
        key: Some(0),
        client: Some(0),
        lease: Some(0),
        ..Record::new(
            0,
            Fact::Key {
                from: Holder::Nobody,
                to: Holder::Lease(0),
                until: Some(900),
            },
        )
    };
    let refused = Fact::Heard {
        ask: OpKind::Release,
        serial: 2,
        outcome: Outcome::Answered(Answer::Rejected),
    };
    for (node, broken) in [(0, None), (1, Some(Law::NoOrphan))] {
        let mut history = History::under(Rules {
            nodes: 3,
            quorum: 2,
            ..RULES
        });
        history.tell(10, 0, Fact::Wanted { ttl: 1_000 });
        history.happens(11, key(node)).tell(12, 0, Fact::Cancel);
        history.tell(13, 0, refused).tell(14, 0, Fact::Settled);
        history.happens(500, Record::new(0, Fact::Swept));
        assert_eq!(history.broken(), broken, "at node {node}");
    }
}

#[test]
fn a_second_request_in_flight_and_a_storm_are_unbounded_work() {
    let sent = |ask, serial| Fact::Sent {
        ask,
        attempt: 1,
        serial,
    };
    let mut history = History::new();
    history.tell(10, 0, Fact::Wanted { ttl: 1_000 });
    history.tell(10, 0, sent(OpKind::Acquire, 1));
    history.tell(10, 0, sent(OpKind::Release, 2));
    assert_eq!(history.broken(), None);
    history.tell(10, 0, sent(OpKind::Release, 3));
    assert_eq!(history.broken(), Some(Law::BoundedWork));

    let mut history = History::new();
    history.tell(10, 0, Fact::Wanted { ttl: 1_000 });
    for serial in 1..100 {
        history.tell(10, 0, sent(OpKind::Acquire, serial));
        history.tell(
            10,
            0,
            Fact::Heard {
                ask: OpKind::Acquire,
                serial,
                outcome: Outcome::NotSent,
            },
        );
    }
    assert_eq!(history.broken(), Some(Law::BoundedWork));
}

#[test]
fn failures_without_a_pause_are_a_storm() {
    let mut history = History::new();
    history.grant(10, 0, 7, 900);
    for _ in 0..20 {
        history.tell(20, 0, Fact::Suspect);
    }
    assert_eq!(history.broken(), None);
    for _ in 0..20 {
        history.tell(20, 0, Fact::Suspect);
    }
    assert_eq!(history.broken(), Some(Law::BoundedWork));
}

/// A renewal is sent at this time, and the node does it.
fn renew(history: &mut History, at: u64, serial: u32) {
    let (ask, attempt) = (OpKind::Renew, 1);
    let outcome = Outcome::Answered(Answer::Done);
    history.tell(
        at,
        0,
        Fact::Sent {
            ask,
            attempt,
            serial,
        },
    );
    history.tell(
        at,
        0,
        Fact::Heard {
            ask,
            serial,
            outcome,
        },
    );
}

/// A lease that may be renewed so often within its TTL is granted.
fn granted_for_renewals(renewals: u64) -> History {
    let mut history = History::under(Rules {
        pace: 0,
        renewals,
        ..RULES
    });
    history.grant(0, 0, 7, 1_000_000);
    history
}

/// The rules allow two renewals within a TTL. The judge accepts twice as many, and four more that
/// are early.
#[test]
fn renewals_that_are_due_are_bounded_work() {
    let mut history = History::under(Rules {
        promises: false,
        ..RULES
    });
    history.grant(0, 0, 7, 1_000_000);
    for time in 1..=200 {
        renew(&mut history, 250 * time, 1 + time as u32);
    }
    assert_eq!(history.broken(), None);
}

#[test]
fn renewals_before_they_are_due_are_unbounded_work() {
    let mut history = granted_for_renewals(2);
    (1..=4).for_each(|serial| renew(&mut history, 100, 1 + serial));
    assert_eq!(history.broken(), None);
    // A renewal that fails, and one by hand, allow one more each.
    history
        .tell(101, 0, Fact::Suspect)
        .tell(101, 0, Fact::Renew);
    (5..=6).for_each(|serial| renew(&mut history, 102, 1 + serial));
    assert_eq!(history.broken(), None);
    renew(&mut history, 103, 8);
    assert_eq!(history.broken(), Some(Law::BoundedWork));

    let mut history = granted_for_renewals(0);
    (1..=100).for_each(|serial| renew(&mut history, 100, 1 + serial));
    assert_eq!(history.broken(), None, "zero: it is not demanded");
}

/// It asks once, and once more if the node was not ready.
#[test]
fn each_doubt_since_the_grant_allows_two_more_renewals() {
    let mut history = granted_for_renewals(1);
    for serial in 1..=4 {
        renew(&mut history, 100, serial);
    }
    history.tell(101, 0, Fact::Doubted);
    renew(&mut history, 102, 5);
    renew(&mut history, 103, 6);
    assert_eq!(history.broken(), None);
    renew(&mut history, 104, 7);
    assert_eq!(history.broken(), Some(Law::BoundedWork));
}

#[test]
fn failures_before_the_grant_allow_no_more_renewals() {
    let mut history = History::under(Rules {
        pace: 0,
        renewals: 2,
        ..RULES
    });
    history.asks(0, 0, 1_000_000);
    for _ in 0..9 {
        history.tell(1, 0, Fact::Waiting(Cause::Contended));
    }
    history.tell(
        2,
        0,
        Fact::Granted {
            fence: 7,
            until: 1_000_000,
        },
    );
    (1..=5).for_each(|serial| renew(&mut history, 100, 1 + serial));
    assert_eq!(history.broken(), Some(Law::BoundedWork));
}

#[test]
fn no_request_may_land_late_once_the_next_connection_serves() {
    let link = |link| Record {
        client: Some(0),
        node: Some(0),
        ..Record::new(0, Fact::Link(link))
    };
    let landed = Fact::Did {
        ask: OpKind::Renew,
        serial: 2,
        answer: Answer::Done,
        until: Some(900),
        late: true,
    };
    for (serves, kills) in [(false, true), (true, false), (true, true)] {
        let mut history = History::under(Rules { kills, ..RULES });
        history.happens(1, link(Link::Up)).grant(10, 0, 7, 900);
        history.happens(20, link(Link::Cut(1)));
        if serves {
            history.happens(30, link(Link::Up));
        }
        history.tell(40, 0, landed);
        assert_eq!(
            history.broken(),
            (serves && kills).then_some(Law::NoOrphan),
            "{serves} {kills}"
        );
    }
}

#[test]
fn a_release_that_failed_is_sent_again_soon_after_the_link_serves() {
    let link = |at, link| Record {
        client: Some(0),
        node: Some(0),
        ..Record::new(at, Fact::Link(link))
    };
    let release = Fact::Sent {
        ask: OpKind::Release,
        attempt: 1,
        serial: 2,
    };
    let unknown = Fact::Heard {
        ask: OpKind::Release,
        serial: 2,
        outcome: Outcome::Unknown,
    };
    let key = Fact::Key {
        from: Holder::Nobody,
        to: Holder::Lease(0),
        until: Some(1_010),
    };
    for (at, late) in [(600, false), (601, true)] {
        let mut history = History::new();
        history.happens(1, link(1, Link::Up));
        history.grant(10, 0, 7, 900).tell(10, 0, key);
        history.tell(100, 0, Fact::Release).tell(100, 0, release);
        history.happens(150, link(150, Link::Cut(1)));
        history.tell(150, 0, unknown);
        history.happens(400, link(400, Link::Up));
        history.tell(at, 0, release);
        assert_eq!(history.broken(), late.then_some(Law::NoOrphan), "{at}");
    }
    // A release that is never sent again is found when the lease is settled.
    let mut history = History::new();
    history.happens(1, link(1, Link::Up));
    history.grant(10, 0, 7, 900).tell(10, 0, key);
    history.tell(100, 0, Fact::Release).tell(100, 0, release);
    history
        .tell(150, 0, unknown)
        .tell(160, 0, Fact::Released(Freed::Unknown));
    history.tell(1_050, 0, Fact::Settled);
    assert_eq!(history.broken(), Some(Law::NoOrphan));
}

/// A request of lease 0 deletes its token.
const FREED: Fact = Fact::Key {
    from: Holder::Lease(0),
    to: Holder::Nobody,
    until: None,
};

/// The outcome of a release of lease 0.
fn heard(outcome: Outcome) -> Fact {
    Fact::Heard {
        ask: OpKind::Release,
        serial: 2,
        outcome,
    }
}

/// Lease 0 is granted and given back, then this happens, and its owner is told that it freed the
/// lock. Says what is broken, and how often the judge believed what is not so.
fn told_as_released(facts: &[Fact]) -> (Option<Law>, u64) {
    let mut history = History::new();
    history.grant(10, 0, 7, 900).tell(100, 0, Fact::Release);
    for fact in facts {
        history.tell(101, 0, *fact);
    }
    history.tell(102, 0, Fact::Released(Freed::Released));
    (history.broken(), history.0.checks().in_doubt)
}

#[test]
fn an_owner_that_is_told_it_freed_the_lock_must_have_held_it() {
    let [done, gone] = [Answer::Done, Answer::Gone].map(|said| heard(Outcome::Answered(said)));
    let unknown = heard(Outcome::Unknown);
    assert_eq!(told_as_released(&[FREED, done]), (None, 0));
    assert_eq!(told_as_released(&[gone]), (Some(Law::LossIsTold), 0));
    assert_eq!(
        told_as_released(&[FREED, unknown, gone]),
        (None, 0),
        "the earlier release freed it"
    );
    let mut history = History::new();
    history.asks(10, 0, 900).tell(20, 0, unknown);
    let granted = Fact::Granted {
        fence: 7,
        until: 900,
    };
    history.tell(30, 0, granted).tell(100, 0, Fact::Release);
    history
        .tell(101, 0, gone)
        .tell(102, 0, Fact::Released(Freed::Released));
    assert_eq!(
        history.broken(),
        Some(Law::LossIsTold),
        "the release of an earlier attempt did not free it"
    );
}

/// What the node did counts, and not what it answered.
#[test]
fn an_answer_that_frees_nothing_is_no_release() {
    let done = heard(Outcome::Answered(Answer::Done));
    assert_eq!(told_as_released(&[done]), (Some(Law::LossIsTold), 0));
}

/// The key was gone, and the reply of the release that found none was lost. Both are needed, and
/// the token must not be there still.
#[test]
fn one_double_fault_excuses_that_a_lost_lock_is_told_as_released() {
    let taken = heard(Outcome::Answered(Answer::Taken));
    let unknown = heard(Outcome::Unknown);
    assert_eq!(told_as_released(&[unknown, taken]), (None, 1));
    let deleted = Fact::Fault(Fault::Deleted);
    let broken = (Some(Law::LossIsTold), 0);
    assert_eq!(told_as_released(&[deleted, taken]), broken);
    assert_eq!(told_as_released(&[unknown]), broken);
    let held = Fact::Key {
        from: Holder::Nobody,
        to: Holder::Lease(0),
        until: Some(900),
    };
    assert_eq!(told_as_released(&[held, unknown, taken]), broken);
}

#[test]
fn a_lock_key_is_kept_for_its_ttl_and_no_longer() {
    let key = |until| Fact::Key {
        from: Holder::Nobody,
        to: Holder::Lease(0),
        until,
    };
    let kept = |until| {
        let mut history = History::new();
        history.tell(10, 0, Fact::Wanted { ttl: 1_000 });
        history.tell(10, 0, key(until)).broken()
    };
    assert_eq!(kept(Some(1_010)), None);
    assert_eq!(kept(Some(1_002_000)), Some(Law::NoOrphan));
    assert_eq!(kept(None), Some(Law::NoOrphan));
}

#[test]
fn a_loss_that_is_not_told_is_found_when_the_run_ends() {
    let mut history = History::new();
    history.grant(10, 0, 7, 900);
    history.0.finish(906);
    assert_eq!(history.broken(), Some(Law::LossIsTold));
}

#[test]
fn an_unseen_loss_excuses_holders_and_fences_for_one_ttl() {
    let rules = Rules {
        nodes: 3,
        quarantine: true,
        ..RULES
    };
    for replaced in [false, true] {
        let mut history = History::under(rules.clone());
        history.grant(10, 0, 7, 900);
        if replaced {
            history.happens(20, fault(Fault::Replaced));
        }
        history.grant(30, 1, 6, 910);
        assert_eq!(history.broken(), (!replaced).then_some(Law::Fencing));
        history
            .tell(40, 0, Fact::Release)
            .tell(40, 1, Fact::Release);
        history.grant(1_021, 2, 5, 1_500);
        assert_eq!(history.broken(), Some(Law::Fencing));
    }
}

#[test]
fn a_node_that_forgets_prolongs_the_excuse_of_an_unseen_loss() {
    let rules = Rules {
        nodes: 3,
        quarantine: true,
        fencing: false,
        ..RULES
    };
    for again in [false, true] {
        let mut history = History::under(rules.clone());
        history.happens(20, fault(Fault::Replaced));
        if again {
            history.happens(900, fault(Fault::CrashEmpty));
        }
        history.grant(950, 0, 7, 1_800).grant(960, 1, 8, 1_810);
        assert_eq!(history.broken(), (!again).then_some(Law::Exclusion));
    }
}

#[test]
fn an_owner_that_releases_is_told_once_what_came_of_it() {
    let done = heard(Outcome::Answered(Answer::Done));
    let told = |facts: &[Fact]| {
        let mut history = History::new();
        history.grant(10, 0, 7, 900).tell(100, 0, Fact::Release);
        history.tell(100, 0, FREED);
        for fact in facts {
            history.tell(101, 0, *fact);
        }
        history.broken()
    };
    let [released, lost, unknown] =
        [Freed::Released, Freed::Lost, Freed::Unknown].map(Fact::Released);
    assert_eq!(told(&[done, released, Fact::Settled]), None);
    assert_eq!(told(&[unknown, done, Fact::Settled]), None);
    assert_eq!(
        told(&[done, lost]),
        Some(Law::LossIsTold),
        "it was not lost"
    );
    let rejected = Fact::Released(Freed::Rejected);
    let refused = heard(Outcome::Answered(Answer::Rejected));
    assert_eq!(told(&[refused, rejected, Fact::Settled]), None);
    assert_eq!(
        told(&[done, rejected]),
        Some(Law::LossIsTold),
        "no server refused"
    );
    assert_eq!(
        told(&[done, Fact::Settled]),
        Some(Law::LossIsTold),
        "no answer"
    );
    assert_eq!(told(&[done, Fact::Cancel, Fact::Settled]), None);
    assert_eq!(
        told(&[done, released, released]),
        Some(Law::NoResurrection),
        "a second end"
    );
    // The node freed what an earlier attempt left. Then the lease was granted, and lost.
    let mut history = History::new();
    let gone = Fact::Lost(Loss::Gone);
    history.tell(9, 0, done).asks(10, 0, 900);
    let granted = Fact::Granted {
        fence: 7,
        until: 900,
    };
    history.tell(12, 0, granted).tell(100, 0, gone);
    history.tell(101, 0, Fact::Release).tell(102, 0, lost);
    assert_eq!(history.broken(), None, "the same end again");
}

/// A held lease whose renewal failed at 400, and whose node comes up at 500.
fn suspect_at_up() -> History {
    let mut history = History::new();
    history.asks(100, 0, 1_100).grant(110, 0, 100, 1_000);
    let node = Record {
        client: Some(0),
        node: Some(0),
        ..Record::new(0, Fact::Quiet)
    };
    let link = |link| Record {
        fact: Fact::Link(link),
        ..node
    };
    history.happens(150, link(Link::Up));
    history.happens(300, link(Link::Down));
    history.tell(400, 0, Fact::Suspect);
    history.happens(500, link(Link::Up));
    history
}

#[test]
fn a_suspect_lease_is_tried_again_as_soon_as_its_node_comes_up() {
    let mut history = suspect_at_up();
    renew(&mut history, 505, 2);
    assert_eq!(history.broken(), None);
    let mut history = suspect_at_up();
    renew(&mut history, 506, 2);
    assert_eq!(history.broken(), Some(Law::Progress));
    // It was not tried at all.
    let mut history = suspect_at_up();
    history.tell(1_000, 0, Fact::Lost(Loss::Expired));
    assert_eq!(history.broken(), Some(Law::Progress));
    // One that its owner drops in time need not be renewed.
    let mut history = suspect_at_up();
    history.tell(503, 0, Fact::Cancel);
    assert_eq!(history.broken(), None);
}

#[test]
fn a_renewal_that_failed_after_its_node_came_up_may_pause() {
    let mut history = suspect_at_up();
    renew(&mut history, 502, 2);
    history.tell(600, 0, Fact::Suspect);
    renew(&mut history, 900, 3);
    assert_eq!(history.broken(), None);
}

#[test]
fn a_process_that_stands_still_need_not_try_again() {
    let mut history = suspect_at_up();
    let paused = Record {
        client: Some(0),
        ..Record::new(0, Fact::Fault(Fault::Pause))
    };
    history.happens(501, paused);
    let woken = Record {
        fact: Fact::Mended(Fault::Pause),
        ..paused
    };
    history.happens(700, woken);
    renew(&mut history, 705, 2);
    assert_eq!(history.broken(), None);
}

/// That a key expires is no fault, and its owner knows the time.
#[test]
fn a_key_that_expired_before_its_release_is_not_told_as_released() {
    let unknown = heard(Outcome::Unknown);
    let of = |from, to, until| Fact::Key { from, to, until };
    let held = of(Holder::Nobody, Holder::Lease(0), Some(101));
    let other = of(Holder::Nobody, Holder::Lease(1), Some(1_101));
    let [gone, taken] = [Answer::Gone, Answer::Taken].map(|said| heard(Outcome::Answered(said)));
    let broken = (Some(Law::LossIsTold), 0);
    assert_eq!(told_as_released(&[held, unknown, gone]), broken);
    // A stranger's change is another thing.
    let deleted = of(Holder::Lease(0), Holder::Nobody, None);
    let mut history = History::new();
    history.grant(10, 0, 7, 900).tell(11, 0, held);
    let (node, key) = (Some(0), Some(0));
    let at = Record::new(50, deleted);
    history.happens(50, Record { node, key, ..at });
    history.tell(100, 0, Fact::Release).tell(101, 0, unknown);
    history.tell(101, 0, gone);
    history.tell(102, 0, Fact::Released(Freed::Released));
    assert_eq!((history.broken(), history.0.checks().in_doubt), (None, 1));
    // Somebody else has the key since.
    let mut history = History::new();
    history.grant(10, 0, 7, 900).tell(11, 0, held);
    history.tell(100, 0, Fact::Release).tell(100, 0, unknown);
    history.tell(102, 1, other).tell(103, 0, taken);
    history.tell(104, 0, Fact::Released(Freed::Released));
    assert_eq!(history.broken(), Some(Law::LossIsTold));
}

// ---- queues ----

fn place(until: u64) -> Fact {
    let (until, channel) = (Some(until), false);
    Fact::Place { until, channel }
}

fn pushed_place(until: u64) -> Fact {
    let (until, channel) = (Some(until), true);
    Fact::Place { until, channel }
}

const GONE: Fact = Fact::Place {
    until: None,
    channel: false,
};

impl History {
    /// A lease is wanted, and enters a place.
    fn enters(&mut self, at: u64, lease: u32, place: Fact) -> &mut Self {
        self.tell(at, lease, Fact::Wanted { ttl: 1_000 });
        let sent = Fact::Sent {
            ask: OpKind::Wait,
            attempt: 1,
            serial: 1,
        };
        self.tell(at, lease, sent);
        self.did_wait(at, lease, 1, Answer::Waiting);
        self.tell(at, lease, place)
    }

    fn did_wait(&mut self, at: u64, lease: u32, serial: u32, answer: Answer) -> &mut Self {
        let did = Fact::Did {
            ask: OpKind::Wait,
            serial,
            answer,
            until: None,
            late: false,
        };
        self.tell(at, lease, did)
    }

    fn heard_wait(&mut self, at: u64, lease: u32, serial: u32) -> &mut Self {
        let heard = Fact::Heard {
            ask: OpKind::Wait,
            serial,
            outcome: Outcome::Answered(Answer::Waiting),
        };
        self.tell(at, lease, heard)
    }

    /// A request of the first lease hands the key on to the second.
    fn hands_on(&mut self, at: u64, by: u32, next: u32, until: u64) -> &mut Self {
        let fence = at;
        self.tell(at, next, Fact::HandedOn { fence, until });
        let key = Fact::Key {
            from: Holder::Lease(by),
            to: Holder::Lease(next),
            until: Some(until),
        };
        self.tell(at, by, key).tell(at, next, GONE)
    }

    /// A lease holds the key.
    fn holds(&mut self, at: u64, lease: u32, until: u64) -> &mut Self {
        let key = Fact::Key {
            from: Holder::Nobody,
            to: Holder::Lease(lease),
            until: Some(until),
        };
        self.grant(at, lease, at, until).tell(at, lease, key)
    }

    /// Lease 0 holds the key until 900, and leases 1, 2 and 3 wait. Nobody is told of its loss.
    fn line() -> Self {
        Self::line_under(RULES)
    }

    fn line_under(mut rules: Rules) -> Self {
        rules.told_within = u64::MAX / 2;
        let mut history = Self::under(rules);
        history.holds(10, 0, 900);
        for lease in 1..4 {
            history.enters(20 + u64::from(lease), lease, place(950));
        }
        history
    }

    fn channel(&mut self, at: u64, client: u8, heard: bool) -> &mut Self {
        let channel = Record {
            client: Some(client),
            node: Some(0),
            ..Record::new(at, Fact::Channel { heard })
        };
        self.happens(at, channel)
    }
}

#[test]
fn a_lock_that_is_handed_to_the_first_in_line_is_lawful() {
    let mut history = History::line();
    history.hands_on(100, 0, 1, 950).hands_on(200, 1, 2, 950);
    assert_eq!(history.broken(), None);
    assert_eq!(history.0.checks().turns, 3);
}

#[test]
fn a_lock_that_is_handed_to_the_second_breaks_fairness() {
    let mut history = History::line();
    history.hands_on(100, 0, 2, 950);
    assert_eq!(history.broken(), Some(Law::Fairness));
}

#[test]
fn a_release_gives_up_the_own_place_and_a_request_for_the_lock_does_not() {
    let hands_on = |asks| {
        let mut history = History::line();
        history.tell(50, 1, GONE);
        // Lease 2 has the key, by a request that came late, and its place.
        history.tell(60, 0, Fact::Release);
        let key = Fact::Key {
            from: Holder::Nobody,
            to: Holder::Lease(2),
            until: Some(950),
        };
        history.tell(60, 2, key);
        if asks {
            history.did_wait(100, 2, 2, Answer::Waiting);
        }
        history.hands_on(100, 2, 3, 950);
        history.broken()
    };
    assert_eq!(hands_on(false), None);
    assert_eq!(hands_on(true), Some(Law::Fairness));
}

#[test]
fn who_gives_the_key_to_nobody_must_have_been_refused_a_release() {
    let refused = Fact::Heard {
        ask: OpKind::Release,
        serial: 2,
        outcome: Outcome::Answered(Answer::Unavailable),
    };
    let freed = Fact::Key {
        from: Holder::Lease(0),
        to: Holder::Nobody,
        until: None,
    };
    let frees = |bare_releases, is_refused| {
        let mut history = History::line_under(Rules {
            bare_releases,
            ..RULES
        });
        history.tell(50, 0, Fact::Release);
        if is_refused {
            history.tell(60, 0, refused);
        }
        history.tell(100, 0, freed);
        history.broken()
    };
    assert_eq!(frees(true, true), None);
    assert_eq!(frees(true, false), Some(Law::Fairness));
    assert_eq!(frees(false, true), Some(Law::Fairness));
}

#[test]
fn a_dead_place_is_passed_over() {
    let mut history = History::line();
    history.tell(90, 2, place(990)).hands_on(960, 0, 2, 990);
    assert_eq!(history.broken(), None);
}

#[test]
fn a_place_that_was_entered_again_stands_behind_the_others() {
    let mut history = History::line();
    history.tell(50, 1, GONE).tell(60, 1, place(950));
    history.hands_on(100, 0, 2, 950).hands_on(200, 2, 1, 950);
    assert_eq!(history.broken(), Some(Law::Fairness), "3 is before 1");
}

#[test]
fn a_lock_for_which_nobody_keeps_a_place_is_an_orphan() {
    let mut history = History::line();
    history.hands_on(960, 0, 1, 950);
    assert_eq!(history.broken(), Some(Law::NoOrphan));
    let mut history = History::line();
    history.tell(50, 4, Fact::Wanted { ttl: 1_000 });
    history.hands_on(100, 0, 4, 950);
    assert_eq!(history.broken(), Some(Law::NoOrphan));
}

#[test]
fn a_lock_is_handed_on_until_the_end_of_the_reservation_and_no_longer() {
    let mut history = History::line();
    history.hands_on(100, 0, 1, 950 + 3_000_000);
    assert_eq!(history.broken(), Some(Law::NoOrphan));
}

#[test]
fn a_place_whose_channel_nobody_hears_is_passed_over() {
    let line = || {
        let mut history = History::new();
        history.holds(10, 0, 900).channel(15, 1, true);
        history.enters(20, 1, pushed_place(950));
        history.enters(21, 2, place(950));
        history.channel(30, 1, false);
        history
    };
    let mut history = line();
    history.hands_on(100, 0, 2, 950).hands_on(200, 2, 1, 950);
    assert_eq!(history.broken(), None);
    let mut history = line();
    history.hands_on(100, 0, 1, 950);
    assert_eq!(history.broken(), Some(Law::Fairness));
    let mut history = line();
    history.channel(40, 1, true).hands_on(100, 0, 2, 950);
    assert_eq!(history.broken(), Some(Law::Fairness));
}

/// The key is free, and a request of this lease takes it: by its place, or as a newcomer.
fn takes_what_is_free(history: &mut History, at: u64, lease: u32, by_place: bool) {
    if by_place {
        history.did_wait(at, lease, 2, Answer::Granted(at));
    }
    let key = Fact::Key {
        from: Holder::Nobody,
        to: Holder::Lease(lease),
        until: Some(at + 900),
    };
    history.tell(at, lease, key);
}

#[test]
fn a_free_key_may_go_to_a_newcomer_but_not_to_the_second_in_line() {
    let mut history = History::line();
    history.tell(905, 4, Fact::Wanted { ttl: 1_000 });
    takes_what_is_free(&mut history, 910, 4, false);
    assert_eq!(history.broken(), None);
    let mut history = History::line();
    takes_what_is_free(&mut history, 910, 1, true);
    assert_eq!(history.broken(), None);
    let mut history = History::line();
    takes_what_is_free(&mut history, 910, 2, true);
    assert_eq!(history.broken(), Some(Law::Fairness));
}

#[test]
fn a_request_that_takes_the_key_from_another_lease_is_no_hand_off() {
    let mut history = History::line();
    let key = Fact::Key {
        from: Holder::Lease(0),
        to: Holder::Lease(1),
        until: Some(950),
    };
    history.tell(100, 2, key);
    assert_eq!(history.broken(), Some(Law::Ownership));
}

#[test]
fn a_release_that_hands_nothing_on_breaks_fairness_while_somebody_waits() {
    let freed = |at| {
        let mut history = History::line();
        let (from, to, until) = (Holder::Lease(0), Holder::Nobody, None);
        history.tell(at, 0, Fact::Key { from, to, until });
        history.broken()
    };
    assert_eq!(freed(960), None, "all places are dead");
    assert_eq!(freed(100), Some(Law::Fairness));
}

#[test]
fn a_fence_that_is_drawn_for_the_next_in_line_is_larger() {
    let mut history = History::line();
    let (fence, until) = (10, 950);
    history.tell(100, 1, Fact::HandedOn { fence, until });
    assert_eq!(history.broken(), Some(Law::Fencing));
}

#[test]
fn a_lease_that_is_granted_by_a_push_is_valid_as_long_as_its_reservation() {
    let granted = |until| {
        let mut history = History::line();
        history.hands_on(100, 0, 1, 950);
        history.tell(105, 0, Fact::Release);
        history.tell(110, 1, Fact::Pushed { fence: 100 });
        history.tell(110, 1, Fact::Granted { fence: 100, until });
        history.broken()
    };
    assert_eq!(granted(940), None);
    assert_eq!(granted(960), Some(Law::HonestValidity));
}

#[test]
fn a_push_of_an_earlier_hand_off_promises_nothing() {
    let mut history = History::line();
    history.hands_on(100, 0, 1, 950);
    history.tell(105, 0, Fact::Release);
    history.tell(110, 1, Fact::Pushed { fence: 99 });
    let (fence, until) = (99, 940);
    history.tell(110, 1, Fact::Granted { fence, until });
    assert_eq!(history.broken(), Some(Law::HonestValidity));
}

/// It went back to old data, so it handed on twice. The client hears of the first.
#[test]
fn a_push_of_a_hand_off_that_a_node_has_forgotten_promises_what_it_said() {
    let granted = |until| {
        let mut history = History::line();
        history.hands_on(100, 0, 1, 950);
        history.tell(105, 0, Fact::Release);
        let (fence, later) = (101, 980);
        history.tell(
            107,
            1,
            Fact::HandedOn {
                fence,
                until: later,
            },
        );
        history.tell(110, 1, Fact::Pushed { fence: 100 });
        history.tell(110, 1, Fact::Granted { fence: 100, until });
        history.broken()
    };
    assert_eq!(granted(940), None);
    assert_eq!(granted(960), Some(Law::HonestValidity));
}

/// The node has forgotten that the lease holds the lock, and knows its place again.
#[test]
fn a_holder_that_is_handed_the_lock_again_cannot_know_that_it_expires() {
    let of = |from, to, until| Fact::Key { from, to, until };
    let told = |forgets: bool| {
        let mut history = History::under(RULES);
        history.holds(10, 0, 900);
        let until = if forgets { 900 } else { 90 };
        history.tell(12, 0, of(Holder::Lease(0), Holder::Lease(0), Some(until)));
        if forgets {
            let lost = Record {
                node: Some(0),
                key: Some(0),
                ..Record::new(50, of(Holder::Lease(0), Holder::Nobody, None))
            };
            history.happens(50, lost).tell(50, 0, place(90));
        }
        history.enters(55, 1, place(950));
        if forgets {
            let again = of(Holder::Nobody, Holder::Lease(0), Some(90));
            history.tell(60, 1, again).tell(60, 0, GONE);
        }
        let taken = of(Holder::Nobody, Holder::Lease(1), Some(950));
        history.tell(100, 1, taken).tell(100, 1, GONE);
        history.tell(101, 0, Fact::Release);
        history.tell(102, 0, heard(Outcome::Unknown));
        history.tell(103, 0, heard(Outcome::Answered(Answer::Taken)));
        history.tell(104, 0, Fact::Released(Freed::Released));
        history.broken()
    };
    assert_eq!(told(true), None);
    assert_eq!(told(false), Some(Law::LossIsTold));
}

#[test]
fn who_hears_that_it_waits_after_the_hand_off_has_lost_the_lock() {
    let heard = |did| {
        let mut history = History::line();
        history.did_wait(did, 1, 2, Answer::Waiting);
        history.hands_on(100, 0, 1, 950);
        history.tell(105, 0, Fact::Release);
        history.tell(110, 1, Fact::Pushed { fence: 100 });
        history.heard_wait(115, 1, 2);
        let (fence, until) = (100, 940);
        history.tell(120, 1, Fact::Granted { fence, until });
        history.broken()
    };
    assert_eq!(heard(90), None, "it was answered before");
    let mut history = History::line();
    history.hands_on(100, 0, 1, 950);
    history.tell(105, 0, Fact::Release);
    history.tell(110, 1, Fact::Pushed { fence: 100 });
    history.did_wait(112, 1, 2, Answer::Waiting);
    history.heard_wait(115, 1, 2);
    let (fence, until) = (100, 940);
    history.tell(120, 1, Fact::Granted { fence, until });
    assert_eq!(history.broken(), Some(Law::HonestValidity));
}

#[test]
fn a_place_of_a_lease_that_is_settled_is_an_orphan() {
    let mut history = History::line();
    history.tell(100, 1, Fact::Cancel).tell(110, 1, GONE);
    history.tell(120, 1, Fact::Settled);
    assert_eq!(history.broken(), None);
    history
        .tell(130, 2, Fact::Cancel)
        .tell(140, 2, Fact::Settled);
    assert_eq!(history.broken(), Some(Law::NoOrphan));
}

#[test]
fn a_place_that_nobody_wants_is_found_at_the_end() {
    let quiet = |until| {
        let mut history = History::new();
        history.enters(20, 1, place(until));
        history.tell(30, 1, Fact::Cancel);
        history.happens(200, Record::new(200, Fact::Swept));
        history.broken()
    };
    assert_eq!(quiet(150), None);
    assert_eq!(quiet(250), Some(Law::NoOrphan));
}

#[test]
fn a_place_is_kept_for_a_ttl_and_no_longer() {
    let mut history = History::new();
    history.enters(20, 1, place(20 + 1_500 + 2_000_001));
    assert_eq!(history.broken(), Some(Law::NoOrphan));
}

impl History {
    /// All faults are healed, and both clients are connected.
    fn healed(&mut self, at: u64) -> &mut Self {
        for client in 0..2 {
            let up = Record {
                client: Some(client),
                node: Some(0),
                ..Record::new(at, Fact::Link(Link::Up))
            };
            self.happens(at, up);
        }
        self.happens(at, Record::new(at, Fact::Healed))
    }
}

#[test]
fn a_key_that_nobody_knows_to_hold_breaks_progress_while_somebody_waits() {
    let idle = |span: u64| {
        let mut history = History::line();
        history.healed(50).hands_on(100, 0, 1, 950);
        history.tell(105, 0, Fact::Release);
        for at in (500..100 + span).step_by(500) {
            history.tell(at, 3, place(at + 950));
        }
        history.tell(100 + span, 3, place(100 + span + 950));
        history.broken()
    };
    assert_eq!(idle(3_000), None);
    assert_eq!(idle(3_200), Some(Law::Progress));
}

#[test]
fn a_place_that_has_died_waits_for_nothing() {
    let mut history = History::line();
    history.healed(50).hands_on(100, 0, 1, 950);
    history.tell(105, 0, Fact::Release).tell(4_500, 2, GONE);
    assert_eq!(history.broken(), None);
}

#[test]
fn a_waiter_that_does_not_get_its_turn_breaks_progress() {
    // The bound: three turns of 3,100 for two that are ahead and itself, and a max TTL.
    let waits = |span: u64| {
        let mut rules = RULES;
        rules.granted_within = None;
        rules.told_within = u64::MAX / 2;
        rules.exclusion = false;
        let mut history = History::under(rules);
        history.holds(10, 0, 900);
        for lease in 1..4 {
            history.enters(20 + u64::from(lease), lease, place(950));
        }
        history.healed(50);
        history.tell(50 + span, 3, Fact::Cancel);
        history.broken()
    };
    assert_eq!(waits(10_300), None);
    assert_eq!(waits(10_301), Some(Law::Progress));
}

// ---- doubts ----

/// A lease is watched, its key is deleted, and the node says so.
fn doubted() -> History {
    let mut history = History::new();
    history.holds(10, 0, 900).tell(20, 0, Fact::Watched);
    let (ask, serial) = (OpKind::Watch, 9);
    let outcome = Outcome::Answered(Answer::Done);
    let watched = Fact::Heard {
        ask,
        serial,
        outcome,
    };
    history.tell(30, 0, watched);
    history.happens(100, fault(Fault::Deleted));
    let (from, to, until) = (Holder::Lease(0), Holder::Nobody, None);
    let key = Record {
        node: Some(0),
        key: Some(0),
        ..Record::new(100, Fact::Key { from, to, until })
    };
    history.happens(100, key).tell(110, 0, Fact::Doubted);
    history
}

#[test]
fn a_loss_that_a_node_has_pushed_is_told_within_the_bound() {
    let mut history = doubted();
    history.tell(160, 0, Fact::Lost(Loss::Gone));
    assert_eq!(history.broken(), None);
    assert_eq!(history.0.checks().doubts, 1);
    let mut history = doubted();
    history.tell(161, 0, Fact::Lost(Loss::Gone));
    assert_eq!(history.broken(), Some(Law::LossIsTold));
}

#[test]
fn a_doubt_of_all_leases_is_a_doubt_of_each() {
    let mut history = History::new();
    history
        .holds(10, 0, 900)
        .happens(100, fault(Fault::Flushed));
    let (from, to, until) = (Holder::Lease(0), Holder::Nobody, None);
    let key = Record {
        node: Some(0),
        key: Some(0),
        ..Record::new(100, Fact::Key { from, to, until })
    };
    let all = Record {
        client: Some(0),
        node: Some(0),
        ..Record::new(110, Fact::DoubtOfAll)
    };
    history.happens(100, key).happens(110, all);
    history.tell(161, 0, Fact::Lost(Loss::Gone));
    assert_eq!(history.broken(), Some(Law::LossIsTold));
}

#[test]
fn a_doubt_that_was_none_or_that_nobody_can_answer_demands_nothing() {
    let mut history = History::new();
    history.holds(10, 0, 900).tell(110, 0, Fact::Doubted);
    history.tell(500, 0, Fact::Suspect);
    assert_eq!(history.broken(), None, "the key is there");
    let mut history = doubted();
    let cut = Record {
        client: Some(0),
        node: Some(0),
        ..Record::new(120, Fact::Link(Link::Cut(0)))
    };
    history.happens(120, cut).tell(500, 0, Fact::Suspect);
    assert_eq!(history.broken(), None, "the connection was lost");
}
