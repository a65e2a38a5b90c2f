//! What faults do to clients: their processes stop and die, their clocks are stepped.

use crate::observe::fact::fault::Process;
use crate::observe::fact::{Fact, Fault, MS, Nanos, SEC};
use crate::world::engine::World;
use crate::world::queue::Event;

impl World<'_> {
    /// The client's process stands still for a while, or only its driver and links do.
    pub(in crate::world) fn pause(&mut self, client: u8, fault: Fault) {
        if self.clients[usize::from(client)].away.is_some() {
            return;
        }
        let undo = self.stop_process(fault, client);
        self.tell_fault(fault, Some(client), None, None);
        let most = 2 * self.drawn.max_ttl;
        let span = self.draws(fault).spread(MS, most);
        let index = self.note(fault, undo);
        self.schedule(self.now + span, Event::End(index));
    }

    /// It stands still, and its clock with it.
    pub(super) fn freeze(&mut self, client: u8) {
        let Some(span) = self.step_of_client(Fault::Freeze, client) else {
            return;
        };
        let undo = self.stop_process(Fault::Freeze, client);
        self.tell_fault(Fault::Freeze, Some(client), None, None);
        let index = self.note(Fault::Freeze, undo);
        self.schedule(self.now + span, Event::End(index));
    }

    /// Its clock is stepped forward.
    pub(super) fn step_client(&mut self, client: u8) {
        let Some(by) = self.step_of_client(Fault::ClientStep, client) else {
            return;
        };
        let state = &mut self.clients[usize::from(client)];
        state.clock.step(self.now, by as i64);
        self.tell_fault(Fault::ClientStep, Some(client), None, None);
        self.clock_changed(client);
    }

    /// By how much its clock may be stepped, if it may be now.
    fn step_of_client(&mut self, fault: Fault, client: u8) -> Option<Nanos> {
        let drawn = self.drawn;
        let state = &self.clients[usize::from(client)];
        if !may_step(state.stepped, self.now, drawn.max_ttl) || state.away.is_some() {
            return None;
        }
        let by = self.draws(fault).below(drawn.step_max);
        if by == 0 {
            return None;
        }
        self.clients[usize::from(client)].stepped = self.now;
        Some(by)
    }

    /// The process dies, and another begins later.
    pub(super) fn crash_client(&mut self, client: u8) {
        let fault = Fault::ClientCrash;
        if self.clients[usize::from(client)].away.is_some() {
            return;
        }
        self.tell_fault(fault, Some(client), None, None);
        self.client_dies(client);
        let undo = self.stop_process(fault, client);
        self.ends(fault, undo);
    }

    /// The process goes on with the events that came meanwhile, or a new one begins.
    pub(super) fn wake(&mut self, fault: Fault, client: u8, how: Process) {
        let (now, state) = (self.now, &mut self.clients[usize::from(client)]);
        state.away = None;
        let slept = now - state.away_since;
        if how == Process::Freezes {
            state.clock.step(now, -(slept as i64));
        }
        self.tell_of(Some(client), None, Fact::Mended(fault));
        self.clock_changed(client);
        if how == Process::Dies {
            self.clients[usize::from(client)].inbox.clear();
            return self.start_client(client);
        }
        // A driver may look at its timer first, or at the events.
        let timers_first = self.draws(fault).chance(500);
        let inbox = std::mem::take(&mut self.clients[usize::from(client)].inbox);
        if timers_first {
            self.look_at_the_clock(client);
        }
        for event in inbox {
            // It may stand still again.
            if self.clients[usize::from(client)].away.is_some() {
                self.clients[usize::from(client)].inbox.push(event);
            } else {
                self.handle(client, event);
            }
        }
        self.look_at_the_clock(client);
        if self.clients[usize::from(client)].away.is_none() {
            self.pump_all(client);
        }
    }

    fn look_at_the_clock(&mut self, client: u8) {
        let now = self.local(client);
        let state = &mut self.clients[usize::from(client)];
        if state.away.is_none() {
            self.report.events += 1;
            state.manager.handle_timeout(now);
            self.settle(client);
        }
    }
}

/// The drift bound allows one step within a TTL.
pub(super) const fn may_step(last: Nanos, now: Nanos, max_ttl: Nanos) -> bool {
    now >= last + 2 * max_ttl && now > SEC / 10
}
