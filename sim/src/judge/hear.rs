//! Passes each fact to the parts of the judge that check it.

use super::state::Judge;
use crate::observe::fact::{Fact, Freed, Nanos, Record};

impl Judge {
    /// Takes note of a fact, and checks whether it breaks a law. Facts come in the order of true
    /// time. After the first violation all facts are ignored.
    pub fn hear(&mut self, record: &Record) {
        if self.violation.is_some() {
            return;
        }
        let Record {
            at, client, lease, ..
        } = *record;
        self.grow(record);
        // Before the fact, since the fact may tell a loss too late. And after it, since it may end
        // a pause or a validity.
        if let Some(client) = client {
            self.look_for_untold(at, client);
            self.look_for_doubts(at, client);
        }
        self.hear_of_world(record);
        if let Some(lease) = lease {
            self.hear_of_lease(record, lease);
        }
        if let Some(client) = client {
            self.look_for_untold(at, client);
        }
        if let Some(key) = record.key {
            self.look_for_idle(at, key);
        }
    }

    /// A fact that may be about no lease.
    fn hear_of_world(&mut self, record: &Record) {
        let at = record.at;
        match record.fact {
            Fact::Fault(fault) => self.fault(record, fault),
            Fact::Mended(fault) => self.mended(record, fault),
            Fact::Healed => self.healed(at),
            // The network has worked since everything was dropped, so every release has arrived.
            Fact::Swept => self.look_for_leftovers(at, false),
            Fact::Link(link) => {
                self.link(record, link);
                self.note_up(record, link);
            }
            Fact::Key { from, to, until } => self.key_changed(record, from, to, until),
            Fact::Channel { heard } => self.channel_changed(record, heard),
            Fact::DoubtOfAll => self.all_doubted(record),
            Fact::Beside { until } => self.kept_beside(record, until),
            _ => {}
        }
    }

    /// A fact about a lease.
    fn hear_of_lease(&mut self, record: &Record, lease: u32) {
        let at = record.at;
        match record.fact {
            Fact::Wanted { ttl } => self.wanted(record, lease, ttl),
            Fact::Granted { fence, until } => self.granted(at, lease, fence, until),
            Fact::Until { until, why } => self.valid_until(at, lease, until, why),
            Fact::Lost(_) | Fact::Failed { .. } => {
                self.look_for_uncalled(at, lease);
                self.told_after_its_end(record, lease);
                self.over(at, lease);
            }
            Fact::Release => {
                self.asks_back(lease);
                self.over(at, lease);
            }
            Fact::Cancel => {
                self.leases[lease as usize].asked_back = false;
                self.over(at, lease);
            }
            Fact::Released(freed) => {
                // An owner that releases a lost lease is told again that it was lost.
                if self.leases[lease as usize].asked_back || freed != Freed::Lost {
                    self.told_after_its_end(record, lease);
                }
                self.said_to_be_freed(record, lease, freed);
            }
            Fact::Renew => self.leases[lease as usize].by_hand += 1,
            Fact::Sent { .. } | Fact::Did { .. } | Fact::Heard { .. } => {
                self.hear_of_request(record, lease);
            }
            Fact::Waiting(_) => {
                self.told_after_its_end(record, lease);
                self.failed_once(at, lease);
            }
            Fact::Suspect => {
                self.told_after_its_end(record, lease);
                self.failed_once(at, lease);
                self.is_suspect(at, lease);
            }
            Fact::Settled => {
                self.look_for_answers(at, lease);
                self.look_for_debts(at, lease);
                self.settled(at, lease);
            }
            Fact::Read { accepted, .. } => self.count_access(accepted),
            Fact::Wrote {
                accepted, value, ..
            } => self.wrote(at, lease, accepted, value),
            _ => self.hear_of_place(record, lease),
        }
    }

    /// A fact about a request of a lease.
    fn hear_of_request(&mut self, record: &Record, lease: u32) {
        match record.fact {
            Fact::Sent {
                ask,
                attempt,
                serial,
            } => {
                self.begins_attempt(lease, ask, attempt, serial);
                self.sent(record, lease, ask, attempt);
            }
            Fact::Did {
                ask,
                serial,
                answer,
                until,
                late,
            } => {
                self.drew(record, lease, ask, answer);
                if late {
                    self.landed_late(record, lease);
                }
                self.did(record, lease, serial, until);
                self.copied(record, lease, ask, serial, until);
                self.did_by_place(record, lease, ask, serial, answer);
            }
            Fact::Heard {
                ask,
                serial,
                outcome,
            } => self.heard(record, lease, ask, serial, outcome),
            _ => {}
        }
    }

    /// A fact about a lease that has a place in a queue, or is watched.
    fn hear_of_place(&mut self, record: &Record, lease: u32) {
        match record.fact {
            Fact::Place { until, channel } => self.place_changed(record, lease, until, channel),
            Fact::HandedOn { fence, until } => self.handed_on(record, lease, fence, until),
            Fact::Pushed { fence } => self.push_heard(record, lease, fence),
            Fact::Hinted => self.hinted(lease),
            Fact::Queued { .. } => self.told_after_its_end(record, lease),
            Fact::Doubted => {
                self.doubted(record.at, record.node.unwrap_or_default(), lease, false);
            }
            _ => {}
        }
    }

    /// The run ends: checks for all that should have come before, and did not.
    pub fn finish(&mut self, at: Nanos) {
        if self.violation.is_none() {
            self.look_for_waiting(at);
            for client in 0..self.clients.len() {
                self.look_for_untold(at, client as u8);
            }
            self.look_for_turns(at);
            self.look_for_leftovers(at, true);
        }
    }
}
