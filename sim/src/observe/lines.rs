//! The rare situations of queues, pushes and doubts, for the marks.

use tenure_core::OpKind;

use super::fact::{Answer, Fact, Outcome, Record, Why};
use super::marks::Mark;

/// What is known of the queues of the only node, and of the leases that wait there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    /// By key: the leases that have a place, and from when on each is dead.
    places: Vec<Vec<(u32, u64)>>,
    waiters: Vec<Waiter>,
}

/// What is known of a lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Waiter {
    stage: Stage,
    /// It had a place once.
    entered: bool,
    /// The node has handed the lock on to it.
    handed: bool,
    /// When a push came last that says so.
    pushed: Option<u64>,
    /// The requests of it that ask for a place and are in flight.
    asking: u32,
    /// It was granted by a push.
    by_push: bool,
    /// It was doubted, and nothing came of that yet.
    doubted: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Wanted,
    Held,
    /// Its owner released or dropped it, or it ended.
    Over,
    /// Its client died.
    Dead,
}

impl Lines {
    /// The clients's process died, with this lease.
    pub(super) fn died(&mut self, lease: u32) {
        if let Some(waiter) = self.waiters.get_mut(lease as usize) {
            waiter.stage = Stage::Dead;
        }
    }

    /// Takes note of a fact, and says which situations it shows.
    pub(super) fn hear(&mut self, record: &Record, hit: &mut impl FnMut(Mark)) {
        if record.fact == Fact::DoubtOfAll {
            hit(Mark::DoubtOfAll);
        }
        let (Some(lease), Some(key)) = (record.lease, record.key) else {
            return;
        };
        if self.waiters.len() <= lease as usize {
            self.waiters.resize(lease as usize + 1, Waiter::default());
        }
        if self.places.len() <= usize::from(key) {
            self.places.resize(usize::from(key) + 1, Vec::new());
        }
        match record.fact {
            Fact::Place { until, .. } => self.place(lease, key, until, hit),
            Fact::HandedOn { .. } => self.handed_on(record.at, lease, key, hit),
            Fact::Did { ask, answer, .. } => self.did(record.at, lease, key, (ask, answer), hit),
            _ => self.of_lease(record, lease, hit),
        }
    }

    fn place(&mut self, lease: u32, key: u8, until: Option<u64>, hit: &mut impl FnMut(Mark)) {
        let places = &mut self.places[usize::from(key)];
        let found = places.iter_mut().find(|(other, _)| *other == lease);
        match (until, found) {
            (None, _) => places.retain(|(other, _)| *other != lease),
            (Some(until), Some(place)) => place.1 = until,
            (Some(until), None) => {
                places.push((lease, until));
                let waiter = &mut self.waiters[lease as usize];
                if waiter.entered && waiter.stage == Stage::Wanted {
                    hit(Mark::EnteredAgain);
                }
                waiter.entered = true;
            }
        }
    }

    fn handed_on(&mut self, at: u64, lease: u32, key: u8, hit: &mut impl FnMut(Mark)) {
        let places = self.places[usize::from(key)].iter();
        for (_, until) in places.take_while(|(other, _)| *other != lease) {
            hit(if *until > at {
                Mark::PassedOver
            } else {
                Mark::DeadSkipped
            });
        }
        let waiter = &mut self.waiters[lease as usize];
        waiter.handed = true;
        match waiter.stage {
            Stage::Over => hit(Mark::HandOffMetCancel),
            Stage::Dead => hit(Mark::HandedToTheDead),
            Stage::Wanted | Stage::Held => {}
        }
    }

    fn did(
        &mut self,
        at: u64,
        lease: u32,
        key: u8,
        did: (OpKind, Answer),
        hit: &mut impl FnMut(Mark),
    ) {
        let places = &self.places[usize::from(key)];
        let own = places.iter().any(|(other, _)| *other == lease);
        let others = places.iter().any(|(other, until)| {
            let wants = self.waiters[*other as usize].stage == Stage::Wanted;
            *other != lease && *until > at && wants
        });
        match did {
            (OpKind::Wait, Answer::Granted(_)) if own => hit(Mark::TookOver),
            (OpKind::Take, Answer::Granted(_)) if others => hit(Mark::NewcomerTook),
            (OpKind::Wait, Answer::Full) => hit(Mark::QueueFull),
            _ => {}
        }
    }

    fn of_lease(&mut self, record: &Record, lease: u32, hit: &mut impl FnMut(Mark)) {
        let waiter = &mut self.waiters[lease as usize];
        match record.fact {
            Fact::Sent {
                ask: OpKind::Wait, ..
            } => {
                waiter.asking += 1;
                if waiter.pushed == Some(record.at) && waiter.stage == Stage::Wanted {
                    hit(Mark::PushIgnored);
                }
            }
            Fact::Heard { ask, outcome, .. } => waiter.heard(ask, outcome, hit),
            Fact::Pushed { .. } => {
                waiter.pushed = Some(record.at);
                if waiter.stage != Stage::Wanted {
                    hit(Mark::PushUnneeded);
                }
            }
            Fact::Granted { .. } => {
                waiter.by_push = waiter.pushed == Some(record.at);
                waiter.stage = Stage::Held;
                if waiter.by_push {
                    hit(Mark::GrantedByPush);
                    if waiter.asking > 0 {
                        hit(Mark::PushedBeforeReply);
                    }
                } else if waiter.handed {
                    hit(Mark::FoundByAsking);
                }
            }
            Fact::Doubted => waiter.doubted = true,
            Fact::Until {
                why: Why::Renewed, ..
            } if std::mem::take(&mut waiter.doubted) => hit(Mark::DoubtWasNone),
            Fact::Lost(_) => {
                if waiter.doubted {
                    hit(Mark::DoubtWasLoss);
                }
                waiter.stage = Stage::Over;
            }
            Fact::Failed { .. } | Fact::Release | Fact::Cancel => waiter.stage = Stage::Over,
            _ => {}
        }
    }
}

impl Waiter {
    fn heard(&mut self, ask: OpKind, outcome: Outcome, hit: &mut impl FnMut(Mark)) {
        match (ask, outcome) {
            (OpKind::Wait, _) => {
                self.asking = self.asking.saturating_sub(1);
                let waits = outcome == Outcome::Answered(Answer::Waiting);
                if waits && self.by_push && self.stage == Stage::Held {
                    hit(Mark::WaitingWhileHeld);
                }
            }
            (OpKind::Renew, Outcome::Answered(Answer::Done)) if self.doubted => {
                self.doubted = false;
                hit(Mark::DoubtWasNone);
            }
            _ => {}
        }
    }
}
