//! The core alone: leases on nodes that do at once what they are asked.

use std::hint::black_box;
use std::sync::Arc;

use tenure_core::{
    Answer, Config, Fence, Instant, Key, LeaseId, LeaseOptions, Manager, NodeId, Op, Reply,
    Request, Secret, ServerTime,
};

/// How many requests a link takes at a time.
const BATCH: usize = 256;

/// A manager, the leases that it has, and nodes that answer.
pub struct Core {
    manager: Manager,
    options: Arc<LeaseOptions>,
    leases: Vec<LeaseId>,
    batch: Vec<Request>,
    fence: u64,
    secret: u128,
}

impl Core {
    /// Without leases, on so many nodes.
    ///
    /// # Panics
    /// If there are more nodes than the core can have.
    #[must_use]
    pub fn new(nodes: usize) -> Self {
        // As the adapter: over one node the first attempt needs no script.
        let config = Config::builder(nodes).takes(nodes == 1).build();
        let config = config.expect("the defaults");
        let options = LeaseOptions::builder().build(&config);
        Self {
            options: Arc::new(options.expect("the defaults")),
            manager: Manager::new(config, 1),
            leases: Vec::new(),
            batch: Vec::with_capacity(BATCH),
            fence: 0,
            secret: 0,
        }
    }

    /// The keys that so many leases are taken on.
    #[must_use]
    pub fn keys(count: u32) -> Vec<Key> {
        (0..count)
            .map(|number| Key::new(number.to_be_bytes()))
            .collect()
    }

    /// The links write all that is queued, and all nodes do what they are asked.
    fn answer(&mut self, now: Instant) {
        for node in self.manager.poll_ready().iter().collect::<Vec<NodeId>>() {
            while self.manager.poll_requests(node, BATCH, &mut self.batch) > 0 {
                for request in self.batch.drain(..) {
                    let answer = match request.op {
                        Op::Take { .. } => granted(&mut self.fence, None),
                        Op::Acquire { proposal, .. } => granted(&mut self.fence, proposal),
                        _ => Answer::Done,
                    };
                    let reply = Reply::Applied(answer);
                    self.manager.handle_reply(now, request.id, reply);
                    while let Some(event) = self.manager.poll_event() {
                        black_box(event);
                    }
                }
            }
        }
    }

    fn begin(&mut self, now: Instant, key: &Key) -> LeaseId {
        self.secret += 1;
        let secret = Secret::new(self.secret.to_be_bytes());
        let options = Arc::clone(&self.options);
        let lease = self.manager.acquire(now, key.clone(), secret, options);
        lease.expect("there is room")
    }

    /// Takes a lease on each key.
    pub fn acquire(&mut self, now: Instant, keys: &[Key]) {
        for key in keys {
            let lease = self.begin(now, key);
            self.leases.push(lease);
            if self.leases.len().is_multiple_of(BATCH) {
                self.answer(now);
            }
        }
        self.answer(now);
    }

    /// Renews all leases when they are due. Returns the time by then.
    ///
    /// # Panics
    /// If there is no lease.
    pub fn renew(&mut self) -> Instant {
        let now = self.manager.poll_timeout().expect("a lease is held");
        while self.manager.poll_timeout() <= Some(now) {
            self.manager.handle_timeout(now);
            self.answer(now);
        }
        now
    }

    /// Gives all leases back.
    ///
    /// # Panics
    /// If something is left of them.
    pub fn release(&mut self, now: Instant) {
        for (number, lease) in std::mem::take(&mut self.leases).into_iter().enumerate() {
            self.manager.release(now, lease);
            if number.is_multiple_of(BATCH) {
                self.answer(now);
            }
        }
        self.answer(now);
        assert!(self.manager.is_empty());
    }

    /// The whole life of one lease: acquired, granted, renewed, released.
    pub fn live(&mut self, now: Instant, key: &Key) {
        let lease = self.begin(now, key);
        self.answer(now);
        self.manager.renew(now, lease);
        self.answer(now);
        self.manager.release(now, lease);
        self.answer(now);
    }
}

/// What a node answers that grants, by the last fence that was drawn.
fn granted(last: &mut u64, proposal: Option<Fence>) -> Answer {
    *last += 1;
    Answer::Granted {
        fence: proposal.or(Fence::new(*last)).expect("not zero"),
        server_time: ServerTime::from_micros(1),
    }
}
