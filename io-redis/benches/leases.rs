//! What a lease costs the core over its life: acquire, granted, one renewal, release, while as many
//! as 100,000 others live.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tenure_core::{
    Answer, Config, Fence, Instant, Key, LeaseId, LeaseOptions, Manager, NodeId, Op, Reply,
    Request, Secret, ServerTime,
};

/// How many live at a time.
const LEASES: u32 = 100_000;

/// How many requests a link takes at a time.
const BATCH: usize = 256;

struct Client {
    manager: Manager,
    options: Arc<LeaseOptions>,
    keys: Vec<Key>,
    leases: Vec<LeaseId>,
    batch: Vec<Request>,
    fence: u64,
    secret: u128,
}

impl Client {
    fn new(nodes: usize) -> Self {
        let config = Config::builder(nodes).build().unwrap();
        Self {
            options: Arc::new(LeaseOptions::builder().build(&config).unwrap()),
            manager: Manager::new(config, 1),
            keys: (0..LEASES)
                .map(|number| Key::new(number.to_be_bytes()))
                .collect(),
            leases: Vec::with_capacity(LEASES as usize),
            batch: Vec::with_capacity(BATCH),
            fence: 0,
            secret: 0,
        }
    }

    /// The links write all that is queued, and all nodes do what they are asked.
    fn answer(&mut self, now: Instant) {
        for node in self.manager.poll_ready().iter().collect::<Vec<NodeId>>() {
            while self.manager.poll_requests(node, BATCH, &mut self.batch) > 0 {
                for request in self.batch.drain(..) {
                    let answer = match request.op {
                        Op::Acquire { proposal, .. } => {
                            self.fence += 1;
                            let drawn = Fence::new(self.fence);
                            Answer::Granted {
                                fence: proposal.or(drawn).unwrap(),
                                server_time: ServerTime::from_micros(1),
                            }
                        }
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

    fn acquire(&mut self, now: Instant) {
        for number in 0..self.keys.len() {
            self.secret += 1;
            let secret = Secret::new(self.secret.to_be_bytes());
            let lease =
                self.manager
                    .acquire(now, self.keys[number].clone(), secret, self.options.clone());
            self.leases.push(lease.unwrap());
            if self.leases.len().is_multiple_of(BATCH) {
                self.answer(now);
            }
        }
        self.answer(now);
    }

    fn renew(&mut self) -> Instant {
        let now = self.manager.poll_timeout().unwrap();
        while self.manager.poll_timeout() <= Some(now) {
            self.manager.handle_timeout(now);
            self.answer(now);
        }
        now
    }

    fn release(&mut self, now: Instant) {
        for (number, lease) in std::mem::take(&mut self.leases).into_iter().enumerate() {
            self.manager.release(now, lease);
            if number.is_multiple_of(BATCH) {
                self.answer(now);
            }
        }
        self.answer(now);
        assert!(self.manager.is_empty());
    }
}

fn lives(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("100,000 leases");
    group.throughput(Throughput::Elements(u64::from(LEASES)));
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(5));
    for nodes in [1, 3] {
        let whole = format!("acquire, renew, release on {nodes} node(s)");
        group.bench_function(whole, |bench| {
            bench.iter_batched_ref(
                || Client::new(nodes),
                |client| {
                    client.acquire(Instant::ORIGIN);
                    let now = client.renew();
                    client.release(now);
                },
                BatchSize::PerIteration,
            );
        });
        let held = || {
            let mut client = Client::new(nodes);
            client.acquire(Instant::ORIGIN);
            client
        };
        group.bench_function(format!("renew on {nodes} node(s)"), |bench| {
            bench.iter_batched_ref(held, Client::renew, BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, lives);
criterion_main!(benches);
