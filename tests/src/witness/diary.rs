//! What the application of one client tells: what it asks for, what it is told, what it does.

use std::sync::Arc;
use std::time::Duration;

use tenure_core::{Instant, OpKind};
use tenure_redis::seams::Clock as _;
use tenure_redis::{Guard, LockError, Locks, Lost, ReleaseError};
use tenure_sim::memory_net::SimClock;
use tenure_sim::observe::fact::{Cause, Fact, Freed, Loss, Record};

use super::wire::Asked;
use super::{Held, Resource, State, Witness, names, nanos};

/// The diary of one life of a client. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Diary {
    witness: Witness,
    client: u8,
    life: u32,
    clock: SimClock,
}

/// A lease as its owner knows it.
#[derive(Clone, Copy, Debug)]
struct Lease {
    label: u32,
    key: u8,
}

/// A lease that was asked for. Dropped before its outcome is told, it is cancelled.
#[derive(Debug)]
pub struct Wanted {
    diary: Diary,
    lease: Lease,
    open: bool,
}

/// A guard, in the diary. Dropped, it is released in the background.
#[derive(Debug)]
pub struct Holding {
    diary: Diary,
    lease: Lease,
    guard: Option<Arc<Guard>>,
    fence: u64,
}

impl Witness {
    pub(super) fn node(&self, name: &str) -> Option<u8> {
        let state = self.lock();
        let at = state.nodes.iter().position(|node| node.is(name))?;
        u8::try_from(at).ok()
    }

    pub(super) fn key(&self, name: &[u8]) -> Option<u8> {
        let at = self.keys.iter().position(|key| key.as_bytes() == name)?;
        u8::try_from(at).ok()
    }
}

impl Diary {
    pub(super) const fn new(witness: Witness, client: u8, life: u32, clock: SimClock) -> Self {
        Self {
            witness,
            client,
            life,
            clock,
        }
    }

    /// The observer.
    #[must_use]
    pub const fn witness(&self) -> &Witness {
        &self.witness
    }

    /// An application begins, or has come to its end.
    pub fn busy(&self, busy: bool) {
        let mut state = self.witness.lock();
        if self.is_alive(&state) {
            let count = state.busy.entry(self.client).or_default();
            *count = if busy { *count + 1 } else { *count - 1 };
        }
    }

    /// Whether nobody wants anything new.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.witness.lock().quiet
    }

    /// Begins a lease on a key, by its number: gives the handle to ask with, which writes its label
    /// into its tokens, and the name of the key.
    ///
    /// # Panics
    /// If the options of the handle cannot work.
    #[must_use]
    pub fn wants(&self, locks: &Locks, key: usize, ttl: Duration) -> (Wanted, Locks, String) {
        let lease = Lease {
            label: self.witness.lock().names.begin(nanos(ttl)),
            key: u8::try_from(key).expect("few keys"),
        };
        let label = names::label(lease.label);
        let locks = locks
            .with(|options| options.ttl(ttl).label(label))
            .expect("the options work");
        self.tell(lease, Fact::Wanted { ttl: nanos(ttl) });
        let wanted = Wanted {
            diary: self.clone(),
            lease,
            open: true,
        };
        (wanted, locks, self.witness.keys[key].clone())
    }

    /// A request is written: whose it is, and its number.
    pub(super) fn sent(
        &self,
        node: u8,
        key: u8,
        ask: OpKind,
        asked: &Asked<'_>,
    ) -> Option<(u32, u32)> {
        let mut state = self.witness.lock();
        let token = asked.token;
        let named = state.names.name(token)?;
        let lease = named.lease;
        if let Some(before) = named.instead_of {
            let of = |lease, fact| Record {
                lease: Some(lease),
                key: Some(key),
                ..Record::new(0, fact)
            };
            self.write(of(before, Fact::Cancel), &mut state);
            self.write(of(lease, Fact::Wanted { ttl: named.ttl }), &mut state);
        }
        let serial = state.names.send(lease, node, ask);
        state.names.keep((lease, key), serial, asked);
        let fact = Fact::Sent {
            ask,
            attempt: named.attempt,
            serial,
        };
        let record = self.dated(Record {
            node: Some(node),
            key: Some(key),
            lease: Some(lease),
            ..Record::new(0, fact)
        });
        let record = match ask {
            OpKind::Renew | OpKind::Watch | OpKind::Repair => state.names.keep_back(token, record),
            OpKind::Take
            | OpKind::Acquire
            | OpKind::Wait
            | OpKind::Confirm
            | OpKind::Acknowledge
            | OpKind::Release
            | OpKind::Stay => Some(record),
        };
        if let Some(record) = record {
            self.write(record, &mut state);
        }
        Some((lease, serial))
    }

    /// The client listens to this channel from now on.
    pub(super) fn listens(&self, channel: &[u8]) {
        let mut state = self.witness.lock();
        if self.is_alive(&state) {
            state.channels.insert(self.client, channel.to_vec());
        }
    }

    /// A push says that a node has handed the lock on to the place with this name.
    pub(super) fn pushed(&self, node: u8, place: &[u8], fence: u64) {
        let mut state = self.witness.lock();
        let Some((lease, key)) = state.names.lease_at(place) else {
            return;
        };
        let record = Record {
            node: Some(node),
            key: Some(key),
            lease: Some(lease),
            ..Record::new(0, Fact::Pushed { fence })
        };
        self.write(record, &mut state);
    }

    /// A push says that the lock is free for which the place with this name waits.
    pub(super) fn hinted(&self, node: u8, place: &[u8]) {
        let mut state = self.witness.lock();
        let Some((lease, key)) = state.names.lease_at(place) else {
            return;
        };
        let record = Record {
            node: Some(node),
            key: Some(key),
            lease: Some(lease),
            ..Record::new(0, Fact::Hinted)
        };
        self.write(record, &mut state);
    }

    pub(super) fn tell_record(&self, record: Record) {
        self.write(record, &mut self.witness.lock());
    }

    fn tell(&self, lease: Lease, fact: Fact) {
        self.tell_in(lease, fact, &mut self.witness.lock());
    }

    fn tell_in(&self, lease: Lease, fact: Fact, state: &mut State) {
        let record = Record {
            key: Some(lease.key),
            lease: Some(state.names.lease(lease.label)),
            ..Record::new(0, fact)
        };
        self.write(record, state);
    }

    /// A record of this client, now. A process that has crashed tells nothing.
    fn write(&self, record: Record, state: &mut State) {
        if self.is_alive(state) {
            let record = self.dated(record);
            state.told.push(record);
        }
    }

    fn dated(&self, record: Record) -> Record {
        Record {
            at: self.witness.now(),
            local: Some(self.clock.now()),
            client: Some(self.client),
            ..record
        }
    }

    fn is_alive(&self, state: &State) -> bool {
        state.lives.get(&self.client) == Some(&self.life)
    }
}

impl Wanted {
    /// What came of it.
    ///
    /// # Panics
    /// If it failed in a way that no fault explains.
    #[must_use]
    pub fn answered(mut self, answer: Result<Guard, LockError>) -> Option<Holding> {
        self.open = false;
        // All other guards are looked at first, since this grant is judged against their validity
        // now.
        self.diary.witness.look();
        match answer {
            Ok(guard) => Some(self.granted(guard)),
            Err(error) => {
                let cause = cause(&error);
                let gave_up = !matches!(cause, Cause::Rejected | Cause::Misuse);
                self.diary.tell(self.lease, Fact::Failed { cause, gave_up });
                None
            }
        }
    }

    fn granted(&self, guard: Guard) -> Holding {
        let Diary {
            witness,
            client,
            clock,
            ..
        } = &self.diary;
        let fence = guard.fence();
        let guard = Arc::new(guard);
        let until: Instant = clock.now() + guard.remaining();
        let told = nanos(clock.true_time_of(until));
        let mut state = witness.lock();
        let early = state.names.granted(self.lease.label);
        let fact = Fact::Granted { fence, until: told };
        self.diary.tell_in(self.lease, fact, &mut state);
        for record in early {
            self.diary.write(record, &mut state);
        }
        let held = Held {
            guard: Arc::clone(&guard),
            clock: clock.clone(),
            client: *client,
            key: self.lease.key,
            until,
            told,
            over: false,
            expired: false,
        };
        state.held.insert(self.lease.label, held);
        drop(state);
        Holding {
            diary: self.diary.clone(),
            lease: self.lease,
            guard: Some(guard),
            fence,
        }
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        if self.open {
            self.diary.tell(self.lease, Fact::Cancel);
        }
    }
}

impl Holding {
    /// The guard.
    ///
    /// # Panics
    /// Never: the guard is taken only when the holding ends.
    pub fn guard(&self) -> &Guard {
        self.guard.as_ref().expect("it is held")
    }

    /// Asks the guard whether it is valid, as one does before each step that must not overlap.
    ///
    /// # Panics
    /// If it says yes after the end that it had told.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.diary.witness.look();
        let said = self.guard().is_valid();
        let over = self.with_held(|held| held.over);
        assert!(
            !(said && over),
            "{:?}: the guard is valid after the end of its validity",
            self.lease
        );
        said
    }

    /// The guard says that it is lost.
    ///
    /// # Panics
    /// If it gives a reason that nothing here causes, such as a closed client.
    pub fn lost(mut self, lost: &Lost) {
        self.diary.witness.look();
        // A loss by expiry was told already, when the clock showed it.
        if !self.with_held(|held| held.expired) {
            let loss = match &lost.loss {
                tenure_redis::Loss::Expired => Loss::Expired,
                tenure_redis::Loss::Taken => Loss::Taken,
                tenure_redis::Loss::Gone => Loss::Gone,
                tenure_redis::Loss::Rejected(_) => Loss::Rejected,
                tenure_redis::Loss::Capped => Loss::Capped,
                other => panic!("{:?}: lost by {other}, which nobody did", self.lease),
            };
            self.diary.tell(self.lease, Fact::Lost(loss));
        }
        self.forget();
        self.guard = None;
    }

    /// Announces itself at the resource behind the lock, and reads its value; none if it is
    /// refused.
    #[must_use]
    pub fn read(&self) -> Option<u64> {
        let mut state = self.diary.witness.lock();
        let resource = &mut state.resources[usize::from(self.lease.key)];
        let accepted = self.fence >= resource.fence;
        resource.fence = resource.fence.max(self.fence);
        let (fence, value) = (self.fence, resource.value);
        let fact = Fact::Read {
            fence,
            accepted,
            value,
        };
        self.diary.tell_in(self.lease, fact, &mut state);
        accepted.then_some(value)
    }

    /// Writes one more than it had read to the resource behind the lock.
    pub fn write(&self, read: u64) {
        let mut state = self.diary.witness.lock();
        let resource = &mut state.resources[usize::from(self.lease.key)];
        let accepted = self.fence >= resource.fence;
        let (fence, value) = (self.fence, read + 1);
        if accepted {
            *resource = Resource { fence, value };
        }
        let fact = Fact::Wrote {
            fence,
            accepted,
            value,
        };
        self.diary.tell_in(self.lease, fact, &mut state);
    }

    /// Renews by hand.
    pub async fn renew(&self) {
        self.diary.tell(self.lease, Fact::Renew);
        // The guard tells what came of it.
        let _ = self.guard().renew().await;
    }

    /// Releases, and waits for the answer.
    ///
    /// # Panics
    /// If the runtime has ended: it has not.
    pub async fn release(mut self) {
        self.forget();
        let guard = self.guard.take().and_then(Arc::into_inner);
        let guard = guard.expect("it is held, and the witness has let go of it");
        self.diary.tell(self.lease, Fact::Release);
        let freed = match guard.release().await {
            Ok(()) => Freed::Released,
            Err(ReleaseError::Lost(_)) => Freed::Lost,
            // The link may refuse by itself, which the wire does not show. So the judge is not
            // asked whether a server did.
            Err(ReleaseError::Unknown { .. } | ReleaseError::Rejected { .. }) => Freed::Unknown,
            Err(error) => panic!("{error}"),
        };
        self.diary.tell(self.lease, Fact::Released(freed));
    }

    fn with_held<T>(&self, look: impl FnOnce(&Held) -> T) -> T {
        let state = self.diary.witness.lock();
        look(state.held.get(&self.lease.label).expect("it is held"))
    }

    /// The witness lets go of the guard, after a last look.
    fn forget(&self) {
        if self.diary.is_alive(&self.diary.witness.lock()) {
            self.diary.witness.look();
        }
        let held = self.diary.witness.lock().held.remove(&self.lease.label);
        drop(held);
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if self.guard.is_some() {
            self.forget();
            self.diary.tell(self.lease, Fact::Cancel);
        }
    }
}

fn cause(error: &LockError) -> Cause {
    match error {
        LockError::Contended { .. } => Cause::Contended,
        LockError::QueueFull { .. } => Cause::QueueFull,
        LockError::Foreign { .. } => Cause::Foreign,
        LockError::WrongType { .. } => Cause::WrongType,
        LockError::Quarantined { .. } => Cause::Quarantined,
        LockError::Outage { .. } => Cause::Outage,
        LockError::Unacknowledged { .. } => Cause::Unacknowledged,
        LockError::Rejected { .. } => Cause::Rejected,
        LockError::Misconfigured { .. } => Cause::Misuse,
        error => panic!("no fault explains it: {error}"),
    }
}
