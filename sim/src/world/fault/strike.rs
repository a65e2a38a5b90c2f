//! When which fault strikes, and what it does.

use super::ongoing::{Impairment, Ongoing, Prepared, Undo};
use crate::choice::{Draws, Subject};
use crate::observe::fact::fault::Process;
use crate::observe::fact::{Fact, Fault, Record};
use crate::world::engine::{Phase, World};
use crate::world::queue::Event;

/// How often a fault strikes, of a thousand times that it may.
const STRIKES: u32 = 970;

impl World<'_> {
    /// Plans when a fault may strike next. The calm choice is late.
    pub(in crate::world) fn plan_strike(&mut self, index: u32) {
        let (fault, every) = self.drawn.faults[index as usize];
        let span = 1 + self.draws(fault).below_calmly(2 * every);
        self.schedule(self.now + span, Event::Strike(index));
    }

    /// A fault may strike now, and will again later.
    pub(in crate::world) fn strike(&mut self, index: u32) {
        if self.phase != Phase::Faulty {
            return;
        }
        self.plan_strike(index);
        let (fault, _) = self.drawn.faults[index as usize];
        // The calm choice is that it does not.
        if !self.draws(fault).chance(STRIKES) {
            return;
        }
        let (clients, servers) = (self.drawn.clients as u64, self.drawn.servers as u64);
        let client = self.draws(fault).below(clients) as u8;
        let server = self.draws(fault).below(servers) as u8;
        self.begin(fault, client, server);
    }

    /// Begins a fault: the one place that says what each does. An [`Undo`] says how it ends.
    fn begin(&mut self, fault: Fault, client: u8, server: u8) {
        match fault {
            Fault::CutOut => self.cut_one(fault, client, [true, false]),
            Fault::CutIn => self.cut_one(fault, client, [false, true]),
            Fault::Cut => self.cut_one(fault, client, [true, true]),
            Fault::Isolate => self.isolate(client, server),
            // These are drawn for each message when it is sent.
            Fault::LostRequest | Fault::LostReply => {}
            Fault::Reset => self.reset(client),
            Fault::Forgotten => self.forget(client),
            Fault::Slow => self.impair(fault, server, Impairment::Slow),
            Fault::Loading => self.impair(fault, server, Impairment::Loading),
            Fault::ReadOnly => self.impair(fault, server, Impairment::ReadOnly),
            Fault::OutOfMemory => self.impair(fault, server, Impairment::Full),
            Fault::Refusal => self.impair(fault, server, Impairment::Refusing),
            // What is written from now until it strikes will be forgotten.
            Fault::CrashStale => self.prepare(fault, server, Prepared::Crash),
            Fault::Failover => self.prepare(fault, server, Prepared::Failover),
            Fault::Replaced => self.prepare(fault, server, Prepared::Replacement),
            Fault::CrashKept => self.crash(fault, server),
            // A durable node has everything on its disk.
            Fault::CrashEmpty if self.nodes[usize::from(server)].model.durable => {}
            Fault::CrashEmpty => {
                if self.nodes[usize::from(server)].up {
                    self.nodes[usize::from(server)].model.forget();
                    self.crash(fault, server);
                }
            }
            Fault::Deleted => self.delete(server),
            Fault::Overwritten => self.overwrite(server),
            Fault::Persisted => self.persist(server),
            // It strikes when an owner's release arrives.
            Fault::Robbed => self.nodes[usize::from(server)].robs = true,
            Fault::Flushed => {
                if self.nodes[usize::from(server)].up {
                    self.nodes[usize::from(server)].model.forget();
                    self.tell_fault(fault, None, Some(server), None);
                    self.tell_keys(server, true);
                    self.alarm(server);
                }
            }
            Fault::LostPush | Fault::StrayPush | Fault::DoubledPush => {}
            Fault::QueueDeleted => self.lose_queue(server),
            Fault::QueueSpoiled => self.spoil_queue(server),
            Fault::ForeignLock => self.lock_foreign(server),
            Fault::Unwatched => {
                if self.all_touched(server) {
                    self.tell_fault(fault, None, Some(server), None);
                }
            }
            Fault::FalseAlarm => {
                if self.nodes[usize::from(server)].up && self.alarm(server) {
                    self.tell_fault(fault, None, Some(server), None);
                }
            }
            Fault::ScriptsFlushed => {
                self.nodes[usize::from(server)].scripts = false;
                self.tell_fault(fault, None, Some(server), None);
            }
            Fault::ClientCrash => self.crash_client(client),
            Fault::Pause | Fault::Stall => self.pause(client, fault),
            Fault::Freeze => self.freeze(client),
            Fault::ClientStep => self.step_client(client),
            Fault::NodeStep => self.step_node(server),
        }
    }

    /// A fault that was prepared strikes.
    pub(in crate::world) fn struck(&mut self, index: u32) {
        let Ongoing { fault, undo, .. } = self.ongoing[index as usize];
        let Undo::Forget { server, what } = undo else {
            return;
        };
        let Some(stale) = self.nodes[usize::from(server)].stale.take() else {
            return;
        };
        // A node that is down already comes back with what it knew.
        if self.phase != Phase::Faulty || !self.nodes[usize::from(server)].up {
            return;
        }
        self.nodes[usize::from(server)].model.memory = stale;
        match what {
            Prepared::Crash => self.crash(fault, server),
            Prepared::Failover => self.failover(server),
            Prepared::Replacement => self.replaced(server),
        }
    }

    /// The decisions about a fault.
    pub(super) const fn draws(&mut self, fault: Fault) -> Draws<'_> {
        self.choices.about(Subject::Fault(fault))
    }

    /// Notes a fault that has begun or was prepared, and returns its place in the list.
    pub(super) fn note(&mut self, fault: Fault, undo: Undo) -> u32 {
        self.ongoing.push(Ongoing {
            fault,
            undo,
            over: false,
        });
        (self.ongoing.len() - 1) as u32
    }

    /// A process stands still or dies, depending on the fault. Returns what ends that.
    pub(super) fn stop_process(&mut self, fault: Fault, client: u8) -> Undo {
        let how: Process = fault.row().process;
        let state = &mut self.clients[usize::from(client)];
        state.away = Some(how);
        state.away_since = self.now;
        Undo::Wake { client, how }
    }

    pub(super) fn tell_fault(
        &mut self,
        fault: Fault,
        client: Option<u8>,
        node: Option<u8>,
        key: Option<u8>,
    ) {
        self.count_fault(fault);
        let record = Record {
            client,
            node,
            key,
            ..Record::new(self.now, Fact::Fault(fault))
        };
        self.tell(&record);
    }
}
