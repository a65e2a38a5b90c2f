//! Hours in seconds: the real adapter over links in memory, whose time jumps, on one bad day after
//! the other, while the judge watches. `TENURE_SOAK_HOURS=n` runs for so many hours, and
//! `TENURE_SOAK_SEED=n` another seed.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use tenure_redis::Locks;
use tenure_sim::choice::{Choices, Subject};
use tenure_sim::judge::{Judge, Rules};
use tenure_sim::memory_net::{Client, Connecting, Direction, Forgotten, Node, SimClock, World};
use tenure_sim::observe::fact::{Fact, Nanos, Record};
use tenure_sim::turmoil_net::Memory;
use tenure_tests::chaos::{Chaos, Ground, Way};
use tenure_tests::rivals::{self, Habits};
use tenure_tests::variables::number;
use tenure_tests::witness::Witness;
use tokio::task::AbortHandle;

/// How many hours, where nothing else is said.
const HOURS: u64 = 3;
const NODES: [&str; 3] = ["a", "b", "c"];
/// Each node has two addresses. At the first of them no node is.
const DESERTED: [&str; 3] = ["a-deserted", "b-deserted", "c-deserted"];
const CLIENTS: [&str; 3] = ["one", "two", "three"];
const MAX_TTL: Duration = Duration::from_secs(10);
/// How often the observer looks. It looks before every grant and every step of a holder as well.
const LOOK: Duration = Duration::from_secs(1);

struct Soak {
    world: World,
    witness: Witness,
    nodes: Vec<Node>,
    clients: Vec<(Client, AbortHandle)>,
    habits: Habits,
    judge: Judge,
    last: VecDeque<Record>,
    grants: u64,
    choices: Choices,
}

impl Soak {
    fn new(world: World, choices: Choices) -> Self {
        let witness = Witness::new(world.time().clone(), &["k", "l"]);
        let nodes: Vec<Node> = NODES.iter().map(|name| world.node(name)).collect();
        nodes.iter().for_each(|node| witness.watch(node));
        for (node, deserted) in NODES.iter().zip(DESERTED) {
            world.row(node, &[deserted, node]);
        }
        let habits = Habits {
            workers: 1,
            max_ttl: MAX_TTL,
            hold: Duration::from_secs(40),
            pause: Duration::from_secs(60),
            gives_up: true,
        };
        let judge = Judge::new(Rules {
            nodes: NODES.len(),
            quorum: 2,
            max_ttl: nanos(MAX_TTL),
            exclusion: true,
            promises: true,
            prompt: false,
            quarantine: true,
            excuses: true,
            fencing: true,
            late_expiry: 0,
            told_within: nanos(LOOK * 3 / 2),
            asked_while_stalled: true,
            granted_within: Some(nanos(habits.hold + MAX_TTL * 4)),
            pace: nanos(Duration::from_millis(12)),
            // Failed renewals are not told here, so they cannot be counted.
            renewals: 0,
            kills: false,
            freed_within: 0,
            bare_releases: false,
            recalled_within: 0,
            acknowledged: 0,
            idle_within: None,
            hold: 0,
            doubted_within: 0,
        });
        let mut soak = Self {
            world,
            witness,
            nodes,
            clients: Vec::new(),
            habits,
            judge,
            last: VecDeque::new(),
            grants: 0,
            choices,
        };
        for client in 0..CLIENTS.len() {
            let begun = soak.begin(client);
            soak.clients.push(begun);
        }
        soak
    }

    fn begin(&mut self, client: usize) -> (Client, AbortHandle) {
        let process = self.world.client(CLIENTS[client]);
        process.clock().set_drift_ppm(
            self.choices
                .about(Subject::Clocks)
                .pick(&[0, 2_000, -2_000]),
        );
        for deserted in DESERTED {
            let c = &mut self.choices.about(Subject::Links);
            let connecting = c.pick(&[Connecting::Hangs, Connecting::Refused]);
            process.link(deserted).set_connecting(connecting);
        }
        let diary = self.witness.diary(client, process.clock());
        let builder = Locks::builder()
            .seams(self.witness.listen(&diary, process.seams()))
            .nodes(self.nodes.iter().map(Node::url));
        let choices = Choices::from_seed(self.choices.about(Subject::World).below(u64::MAX));
        let time = self.world.time().clone();
        let app = rivals::live(diary, time, builder, self.habits.clone(), choices);
        let app = process.run(async move {
            let locks = app.await;
            // The client lives on, and pays what it still owes.
            std::mem::forget(locks);
        });
        (process, tokio::spawn(app).abort_handle())
    }

    /// Turns the drift of the servers' clocks around each half hour, so that they never differ by
    /// more than one max TTL, as Fencing assumes.
    fn set_clocks(&self, half_hour: u64) {
        for (node, ppm) in self.nodes.iter().zip([2_000, -2_000, 0]) {
            let ppm = if half_hour % 2 == 1 { ppm } else { -ppm };
            node.clock().set_drift_ppm(ppm);
        }
    }

    fn hear(&mut self) {
        self.witness.look();
        for record in self.witness.take() {
            self.judge.hear(&record);
            self.grants += u64::from(matches!(record.fact, Fact::Granted { .. }));
            self.last.push_back(record);
            if self.last.len() > 300 {
                self.last.pop_front();
            }
            self.acquit();
        }
    }

    fn acquit(&self) {
        if let Some(violation) = self.judge.violation() {
            let lines: Vec<String> = self.last.iter().map(Record::to_string).collect();
            panic!("{}\n{violation}", lines.join("\n"));
        }
    }

    async fn run(&mut self, until: Duration, chaos: &mut Chaos) {
        while self.world.now() < until {
            let next = (self.world.now() + LOOK).min(chaos.due()).min(until);
            self.world.sleep_until(next).await;
            let now = self.world.now();
            chaos.act(now, self);
            self.hear();
        }
    }

    async fn rest(&mut self, span: Duration) {
        let until = self.world.now() + span;
        while self.world.now() < until {
            self.world.sleep(LOOK).await;
            self.hear();
        }
    }
}

impl Ground for Soak {
    fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    fn clients(&self) -> usize {
        self.clients.len()
    }

    fn clock(&self, client: usize) -> SimClock {
        self.clients[client].0.clock().clone()
    }

    fn close(&mut self, client: usize, node: usize, way: Way) {
        let link = self.clients[client].0.link(NODES[node]);
        match way {
            Way::Cut => {
                link.black_hole(Direction::Out);
                link.black_hole(Direction::Back);
            }
            Way::CutOut => link.black_hole(Direction::Out),
            Way::CutIn => link.black_hole(Direction::Back),
            // New connections work, and what is on the old one arrives late.
            Way::Held if client == 0 => link.stick(),
            Way::Held => link.stall(),
        }
    }

    fn open(&mut self, client: usize, node: usize, _: Way) {
        self.clients[client].0.link(NODES[node]).heal();
    }

    fn crash_node(&mut self, node: usize) {
        self.nodes[node].server().set_down(true);
    }

    fn start_node(&mut self, node: usize, memory: &Memory) {
        let server = self.nodes[node].server();
        match memory {
            Memory::Kept => server.restart_with_data(),
            Memory::Stale(snapshot) => server.restart_from(snapshot),
            Memory::Lost => server.restart_empty(),
        }
        server.set_down(false);
        self.witness.look();
    }

    fn crash_client(&mut self, client: usize) {
        let (process, app) = &self.clients[client];
        process.crash();
        app.abort();
    }

    fn start_client(&mut self, client: usize) {
        self.clients[client] = self.begin(client);
    }

    fn pause(&mut self, client: usize) {
        self.clients[client].0.pause();
    }

    fn stall(&mut self, client: usize) {
        self.clients[client].0.stall();
    }

    fn resume(&mut self, client: usize) {
        self.clients[client].0.resume();
    }

    fn forget(&mut self, client: usize, node: usize, by: Forgotten) {
        self.clients[client].0.link(NODES[node]).forget(by);
    }
}

fn nanos(span: Duration) -> Nanos {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[test]
fn no_law_is_broken_in_hours_of_bad_days() {
    let seed = number("TENURE_SOAK_SEED").unwrap_or(1);
    let hours = number("TENURE_SOAK_HOURS").unwrap_or(HOURS);
    World::run(seed, async |world| {
        let mut soak = Soak::new(world.clone(), Choices::from_seed(seed));
        let mut faults = BTreeSet::new();
        let mut chaos = None;
        for half_hour in 1..=2 * hours {
            let day = Choices::from_seed(soak.choices.about(Subject::World).below(u64::MAX));
            let mut bad = Chaos::new(day, soak.witness.clone(), Duration::from_secs(30));
            let until = Duration::from_secs(30 * 60) * u32::try_from(half_hour).expect("few");
            soak.set_clocks(half_hour);
            soak.run(until, &mut bad).await;
            faults.extend(bad.happened().iter().copied());
            bad.rest(&mut soak);
            chaos = Some(bad);
        }
        chaos.expect("there were some").heal(&mut soak);
        soak.rest(Duration::from_secs(300)).await;
        soak.witness.calm_down();
        while !soak.witness.is_idle() {
            soak.rest(LOOK).await;
        }
        soak.witness.tell(Fact::Quiet, None, None);
        soak.rest(LOOK).await;
        soak.witness.tell(Fact::Swept, None, None);
        soak.rest(MAX_TTL).await;
        soak.judge.finish(nanos(world.now()));
        soak.acquit();
        println!(
            "{} grants, {} faults, {:?}",
            soak.grants,
            faults.len(),
            soak.judge.checks()
        );
        assert!(soak.grants > 100 * hours, "{}", soak.grants);
        assert!(
            soak.judge.checks().beside > 100 * hours,
            "counters and markers were seen"
        );
        assert!(faults.len() > 15, "{faults:?}");
    });
}
