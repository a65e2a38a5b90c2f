//! The application of a client: tasks that acquire locks, write to the resource behind them, and
//! release them.

use std::sync::Arc;

use tenure_core::{Key, LeaseId};

use super::state::Stage;
use crate::observe::fact::{Fact, Fault, MS, Nanos};
use crate::world::drawn::nanos;
use crate::world::engine::{LeaseInfo, Phase, World};
use crate::world::queue::Event;

impl World<'_> {
    /// The application's next step, after some time.
    fn next(&mut self, client: u8, slot: u8, stage: Stage, after: Nanos) {
        let state = &mut self.clients[usize::from(client)].slots[usize::from(slot)];
        state.step += 1;
        state.stage = stage;
        let step = state.step;
        self.schedule(self.now + after, Event::App { client, slot, step });
    }

    pub(in crate::world) fn think(&mut self, client: u8, slot: u8) {
        self.clients[usize::from(client)].slots[usize::from(slot)].lease = None;
        let [least, more] = match self.phase {
            Phase::Faulty => self.drawn.think,
            _ => self.drawn.think_healthy,
        };
        // The calm choice is a long pause. Otherwise a short input would be a long run.
        let thought = self.application().below_calmly(more);
        self.next(client, slot, Stage::Idle, least + thought);
    }

    /// The lease was granted. The task reads from the resource, and holds the lock for a while.
    pub(in crate::world) fn holds(&mut self, client: u8, slot: u8, lease: u32) {
        let drawn = self.drawn;
        let delay = self.application().below(4 * MS);
        self.schedule(self.now + delay, Event::Store { lease, write: None });
        let [least, more] = match self.phase {
            Phase::Faulty => drawn.hold,
            _ => [0, 30 * MS],
        };
        let hold = least + self.application().below(more);
        self.next(client, slot, Stage::Holding, hold);
        if self.application().chance(drawn.renewed_by_hand) {
            let step = self.clients[usize::from(client)].slots[usize::from(slot)].step;
            let after = self.application().below(hold);
            self.schedule(self.now + after, Event::Hand { client, slot, step });
        }
        if self.application().chance(drawn.watched) {
            self.watch_lease(client, lease);
        }
        if self.phase == Phase::Faulty && self.application().chance(drawn.pause_after_grant) {
            self.pause(client, Fault::Pause);
        }
    }

    pub(in crate::world) fn app(&mut self, client: u8, slot: u8, step: u32) {
        let state = self.clients[usize::from(client)].slots[usize::from(slot)];
        if state.step != step {
            return;
        }
        match (state.stage, state.lease) {
            (Stage::Idle, _) => self.want(client, slot),
            (_, None) => {}
            // It waited long enough for a grant, or for the answer to a release.
            (Stage::Wanting | Stage::Releasing, Some((id, lease))) => {
                let release = state.stage == Stage::Wanting && self.application().chance(300);
                self.let_go(client, id, lease, release);
                self.think(client, slot);
            }
            (Stage::Holding, Some((id, lease))) => {
                let cancelled = self.drawn.cancelled;
                let release = !self.application().chance(cancelled);
                self.let_go(client, id, lease, release);
                if release {
                    self.await_release(client, slot);
                } else {
                    self.think(client, slot);
                }
            }
        }
        self.settle(client);
    }

    /// A release is answered by an event. Some tasks do not wait for it.
    fn await_release(&mut self, client: u8, slot: u8) {
        let cancelled = self.drawn.cancelled;
        let impatient = self.application().chance(cancelled / 2);
        let after = if impatient {
            self.application().below(20 * MS)
        } else {
            Nanos::MAX / 4
        };
        self.next(client, slot, Stage::Releasing, after);
    }

    fn want(&mut self, client: u8, slot: u8) {
        if self.phase == Phase::Quiet {
            return;
        }
        let drawn = self.drawn;
        let key = self.application().below(drawn.keys as u64) as u8;
        let now = self.local(client);
        let healthy = self.phase == Phase::Healthy;
        let last = self.clients[usize::from(client)].options().len() - 1;
        let index = if healthy {
            last
        } else {
            self.application().below(last as u64) as usize
        };
        let options = Arc::clone(&self.clients[usize::from(client)].options()[index]);
        let ttl = nanos(options.ttl());
        let lease = self.leases.len() as u32;
        self.report.events += 1;
        let state = &mut self.clients[usize::from(client)];
        let Some(id) = state.acquire(now, Key::new([b'k', key]), lease, options) else {
            self.tell_of(Some(client), None, Fact::Full);
            return self.think(client, slot);
        };
        state.slots[usize::from(slot)].lease = Some((id, lease));
        self.leases.push(LeaseInfo {
            client,
            slot,
            key,
            fence: 0,
            watched: false,
        });
        self.tell_of_lease(lease, None, Fact::Wanted { ttl });
        let impatient = !healthy && self.application().chance(drawn.cancelled);
        let after = if impatient {
            self.application().below(drawn.max_ttl)
        } else {
            Nanos::MAX / 4
        };
        self.next(client, slot, Stage::Wanting, after);
    }

    /// The owner waits to be told of the loss.
    fn watch_lease(&mut self, client: u8, lease: u32) {
        let state = &self.clients[usize::from(client)];
        let Some(held) = state.held.iter().find(|held| held.lease == lease) else {
            return;
        };
        let (id, now) = (held.id, self.local(client));
        self.leases[lease as usize].watched = true;
        self.tell_of_lease(lease, None, Fact::Watched);
        self.clients[usize::from(client)]
            .manager
            .watch(now, id, true);
    }

    fn let_go(&mut self, client: u8, id: LeaseId, lease: u32, release: bool) {
        let now = self.local(client);
        let state = &mut self.clients[usize::from(client)];
        state.held.retain(|held| held.lease != lease);
        self.report.events += 1;
        if release {
            self.tell_of_lease(lease, None, Fact::Release);
            self.clients[usize::from(client)].manager.release(now, id);
        } else {
            self.tell_of_lease(lease, None, Fact::Cancel);
            self.clients[usize::from(client)].manager.cancel(now, id);
        }
    }

    /// Whether the owner of a lease releases it and waits for the answer.
    pub(in crate::world) fn awaits_release(&self, lease: u32) -> bool {
        let LeaseInfo { client, slot, .. } = self.leases[lease as usize];
        let state = self.clients[usize::from(client)].slots[usize::from(slot)];
        let its = state.lease.is_some_and(|(_, other)| other == lease);
        its && state.stage == Stage::Releasing
    }

    pub(in crate::world) fn renew_by_hand(&mut self, client: u8, slot: u8, step: u32) {
        let state = self.clients[usize::from(client)].slots[usize::from(slot)];
        let (true, Some((id, lease))) = (
            state.step == step && state.stage == Stage::Holding,
            state.lease,
        ) else {
            return;
        };
        let now = self.local(client);
        self.tell_of_lease(lease, None, Fact::Renew);
        self.report.events += 1;
        self.clients[usize::from(client)].manager.renew(now, id);
        self.settle(client);
    }

    /// The application drops or releases all that it has.
    pub(in crate::world) fn drop_all(&mut self, client: u8) {
        for slot in 0..self.drawn.slots as u8 {
            let state = self.clients[usize::from(client)].slots[usize::from(slot)];
            if let Some((id, lease)) = state.lease
                && state.stage != Stage::Releasing
            {
                let release = self.application().chance(500);
                self.let_go(client, id, lease, release);
            }
        }
        self.settle(client);
    }

    /// Idle tasks want a lock soon. So the leases that are dropped next are in every state.
    pub(in crate::world) fn rush(&mut self, client: u8) {
        for slot in 0..self.drawn.slots as u8 {
            let state = self.clients[usize::from(client)].slots[usize::from(slot)];
            if state.stage == Stage::Idle {
                let after = self.application().below(100 * MS);
                self.next(client, slot, Stage::Idle, after);
            }
        }
    }

    /// After the faults, tasks that hold a lock release it soon, and idle ones want one at once.
    pub(in crate::world) fn hurry(&mut self, client: u8) {
        for slot in 0..self.drawn.slots as u8 {
            let state = self.clients[usize::from(client)].slots[usize::from(slot)];
            if state.stage == Stage::Holding {
                let after = self.application().below(100 * MS);
                self.next(client, slot, Stage::Holding, after);
            } else if state.stage == Stage::Idle {
                self.next(client, slot, Stage::Idle, MS);
            }
        }
    }
}
