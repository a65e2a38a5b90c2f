//! What is drawn before a world runs: how many clients, nodes and keys there are, which faults
//! exist and how often they strike, how long locks are held, how wrong clocks are.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{Backoff, Config, ConfigBuilder, Drift, LeaseOptions, RenewalPolicy};

use crate::choice::{Choices, Draws, Subject};
use crate::counted::counted;
use crate::judge::Rules;
use crate::listed::listed;
use crate::observe::fact::fault::Hits;
use crate::observe::fact::{Fault, MS, Nanos, SEC};

listed! {
    /// What the laws assume. A world may break one of these while the judge is told that all are
    /// kept: then the judge must find a law broken. One that cannot is blind.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum Assumption {
        /// The clients' clocks keep the drift bound. Broken: they are too slow.
        ClientClocks,
        /// The servers' clocks keep the drift bound. Broken: they are too fast.
        ServerClocks,
        /// A node that restarted empty is in quarantine. Broken: it is counted at once.
        Quarantine,
        /// All clients use the same nodes. Broken: half of them use another set.
        NodeSet,
        /// All clients agree on the largest TTL. Broken: they do not.
        MaxTtl,
        /// Nobody deletes a lock key. Broken: strangers do.
        NoDeletion,
        /// The servers' wall clocks differ by less than Fencing allows. Broken: by more, and nodes
        /// forget.
        ServersAgree,
    }
}

impl Assumption {
    /// Its name on a command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClientClocks => "client-clocks",
            Self::ServerClocks => "server-clocks",
            Self::Quarantine => "quarantine",
            Self::NodeSet => "node-set",
            Self::MaxTtl => "max-ttl",
            Self::NoDeletion => "no-deletion",
            Self::ServersAgree => "servers-agree",
        }
    }
}

/// All that was drawn; see the module.
#[derive(Clone, Debug)]
pub struct Drawn {
    pub(super) nodes: usize,
    /// How many servers there are: more than a client uses only where sets of nodes differ.
    pub(super) servers: usize,
    pub(super) clients: usize,
    pub(super) keys: usize,
    pub(super) slots: usize,
    pub(super) max_ttl: Nanos,
    pub(super) config: Config,
    /// The options of leases. The last is for the time after the faults.
    pub(super) options: Vec<Arc<LeaseOptions>>,
    /// What odd clients use instead, where clients do not agree.
    pub(super) other: Option<(Config, Vec<Arc<LeaseOptions>>)>,
    pub(super) quarantine: bool,
    pub(super) durable: Vec<bool>,
    pub(super) may_kill: bool,
    /// How far the rates of clocks may be wrong, in millionths; and the largest step.
    pub(super) client_ppm: u64,
    pub(super) node_ppm: u64,
    pub(super) step_max: Nanos,
    /// How far a server's clock may be from true time, where the servers must agree.
    pub(super) wall_bound: Option<Nanos>,
    pub(super) steps_back: bool,
    /// By client and node, there and back.
    pub(super) latency: Vec<[Nanos; 2]>,
    /// Which faults strike from time to time, and each how often.
    pub(super) faults: Vec<(Fault, Nanos)>,
    /// How often all of them together strike, about; and for how long one lasts, at most.
    fault_every: Nanos,
    pub(super) fault_length: Nanos,
    /// Of a thousand requests or replies.
    pub(super) lost: [u32; 2],
    pub(super) spike: u32,
    /// Of a thousand replies, those that are handed to the core twice, or after it was told
    /// *unknown*.
    pub(super) repeated: u32,
    pub(super) pause_after_grant: u32,
    pub(super) pause_before_send: u32,
    /// While there are faults: at least, and how much more at most.
    pub(super) hold: [Nanos; 2],
    /// Between two locks: at least, and how much more at most; then the same after the faults.
    pub(super) think: [Nanos; 2],
    pub(super) think_healthy: [Nanos; 2],
    /// Of a thousand leases.
    pub(super) cancelled: u32,
    pub(super) renewed_by_hand: u32,
    pub(super) faulty: Nanos,
    pub(super) healthy: Nanos,
    pub(super) sweep: Nanos,
    /// Each client is cut off from another node until the faults heal.
    pub(super) apart: bool,
    pub(super) broken: Option<Assumption>,
    /// Whether links send takes in native commands. If not, they ask by the script of acquire.
    pub(super) native: bool,
    /// Of a thousand takes in native commands, those that the node reads in two parts.
    pub(super) torn: u32,
    /// Whether leases wait in queues.
    pub(super) queues: bool,
    /// Of a thousand connections, those that hear no pushes.
    pub(super) deaf: u32,
    /// Of a thousand leases, those whose owner waits to be told of a loss.
    pub(super) watched: u32,
    /// How many places a queue may have.
    pub(super) most_places: usize,
    /// Of a thousand pushes, those that are lost, go astray, and are doubled.
    pub(super) pushes: [u32; 3],
    /// Whether two holders are a broken law.
    pub(super) exclusion: bool,
    /// Of a thousand grants that replicas must acknowledge, those that one too few does.
    pub(super) lagging: u32,
}

/// How many nodes there are; the first is the calmest.
pub(super) const NODES: [usize; 8] = [1, 3, 1, 3, 3, 5, 2, 4];

impl Drawn {
    /// How many keys there are.
    #[must_use]
    pub const fn keys(&self) -> usize {
        self.keys
    }

    /// Draws a world. Each step draws in the order in which it stands here: another order gives
    /// seeds another meaning.
    pub(super) fn draw(choices: &mut Choices, broken: Option<Assumption>) -> Self {
        let mut drawn = Self::sized(&mut choices.about(Subject::World), broken);
        drawn.draw_clocks(&mut choices.about(Subject::World));
        drawn.draw_faults(choices);
        drawn.break_assumption();
        drawn.draw_links(&mut choices.about(Subject::World));
        drawn.draw_habits(&mut choices.about(Subject::World));
        drawn.draw_crowd(&mut choices.about(Subject::World));
        drawn.draw_takes(&mut choices.about(Subject::World));
        drawn.draw_queues(&mut choices.about(Subject::World));
        drawn.draw_replicas(&mut choices.about(Subject::World));
        drawn
    }

    /// How many there are of each, and with which options. Nothing goes wrong yet.
    fn sized(c: &mut Draws<'_>, broken: Option<Assumption>) -> Self {
        let nodes = match broken {
            Some(Assumption::NodeSet) => 3,
            Some(Assumption::Quarantine | Assumption::MaxTtl | Assumption::ServersAgree) => 3,
            _ => c.pick(&NODES),
        };
        let servers = nodes + usize::from(broken == Some(Assumption::NodeSet));
        let clients = c.within(if broken.is_some() { 2 } else { 1 }, 4) as usize;
        let keys = c.pick(&[1, 1, 2, 3]);
        let slots = c.within(1, 3) as usize;

        let max_ttl = c.spread(150, 2_400) * MS;
        // Where clients do not agree, the odd ones use a quarter of it.
        let max_ttl = if broken == Some(Assumption::MaxTtl) {
            4 * max_ttl
        } else {
            max_ttl
        };
        let ppm = c.pick(&[5_000, 1_000, 20_000, 100_000]);
        let most = c.pick(&[100, 100, 4, 2]);
        let config = config(nodes, max_ttl, ppm, most);
        let options = options(c, &config);
        let other = (broken == Some(Assumption::MaxTtl)).then(|| {
            let config = self::config(nodes, max_ttl / 4, ppm, most);
            let options = self::options(c, &config);
            (config, options)
        });
        Self {
            nodes,
            servers,
            clients,
            keys,
            slots,
            max_ttl,
            other,
            quarantine: nodes > 1,
            // The clocks of several nodes agree within one max TTL, less the lead of proposed
            // fences.
            wall_bound: (nodes > 1).then(|| (max_ttl / 2 * 4 / 5).saturating_sub(20 * MS)),
            faulty: 36 * SEC,
            healthy: granted_within(max_ttl) + 6 * SEC,
            broken,
            ..Self::calm(config, options)
        }
    }

    /// A world of nobody, in which nothing goes wrong.
    const fn calm(config: Config, options: Vec<Arc<LeaseOptions>>) -> Self {
        Self {
            nodes: 0,
            servers: 0,
            clients: 0,
            keys: 0,
            slots: 0,
            max_ttl: 0,
            config,
            options,
            other: None,
            quarantine: false,
            durable: Vec::new(),
            may_kill: false,
            client_ppm: 0,
            node_ppm: 0,
            step_max: 0,
            wall_bound: None,
            steps_back: false,
            latency: Vec::new(),
            faults: Vec::new(),
            fault_every: 0,
            fault_length: 0,
            lost: [0; 2],
            spike: 0,
            repeated: 0,
            pause_after_grant: 0,
            pause_before_send: 0,
            hold: [0; 2],
            think: [0; 2],
            think_healthy: [0; 2],
            cancelled: 0,
            renewed_by_hand: 0,
            faulty: 0,
            healthy: 0,
            sweep: 0,
            apart: false,
            broken: None,
            native: true,
            torn: 0,
            queues: false,
            deaf: 0,
            watched: 0,
            most_places: MANY_PLACES,
            pushes: [0; 3],
            exclusion: true,
            lagging: 0,
        }
    }

    /// How wrong clocks are.
    fn draw_clocks(&mut self, c: &mut Draws<'_>) {
        let ppm = u64::from(self.config.drift().ppm());
        let shortest = self
            .options
            .iter()
            .map(|options| nanos(options.ttl()))
            .min();
        let shortest = shortest.unwrap_or(self.max_ttl);
        // Rates and steps share the drift bound: each pair is a part for either, in percent.
        let [rate, step] = c.pick(&[[0, 0], [100, 0], [50, 50], [0, 100], [100, 0]]);
        self.client_ppm = ppm * rate / 100;
        self.node_ppm = self.client_ppm;
        // A little less, since clocks show whole nanoseconds, and servers whole milliseconds.
        self.step_max = (shortest * ppm / 1_000_000 * step / 100).saturating_sub(MS / 10);
    }

    /// Which faults exist, and how often they strike.
    fn draw_faults(&mut self, choices: &mut Choices) {
        let c = &mut choices.about(Subject::World);
        let share = c.pick(&[0, 100, 250, 500]);
        self.fault_every = c.spread(40, 8_000) * MS;
        self.faults = self.kinds_of_faults(choices, share);
        let mut kinds = self.faults.iter();
        let forgets = kinds.any(|(fault, _)| fault.row().loses.memory());
        let c = &mut choices.about(Subject::World);
        for _ in 0..self.servers {
            // A durable node has every write on its disk, and says so.
            self.durable.push(c.chance(if forgets { 150 } else { 300 }));
        }
        // If a single server forgets, fences rely on its clock, which must not go back.
        self.steps_back = self.nodes > 1 || !forgets;
    }

    /// Draws the kinds of faults. Each exists in some worlds only. Those that strike from time to
    /// time are returned, and each how often. How many of a thousand messages are hit is noted.
    fn kinds_of_faults(&mut self, choices: &mut Choices, share: u32) -> Vec<(Fault, Nanos)> {
        let (broken, every) = (self.broken, self.fault_every);
        let mut faults = Vec::new();
        for &fault in Fault::ALL {
            let c = &mut choices.about(Subject::Fault(fault));
            let wanted = match broken {
                Some(Assumption::Quarantine | Assumption::MaxTtl | Assumption::ServersAgree) => {
                    matches!(fault, Fault::CrashEmpty | Fault::Flushed)
                }
                _ => false,
            };
            // A broken assumption must not be excused by a fault.
            let unwanted = broken.is_some() && fault.row().loses.unseen();
            if !(c.chance(share) || wanted) || unwanted {
                continue;
            }
            match fault.row().hits {
                Hits::Message(way) => self.lost[way] = c.pick(&[5, 40]),
                Hits::Push(way) => self.pushes[way] = c.pick(&[50, 400]),
                Hits::Link | Hits::Either | Hits::Node | Hits::Key | Hits::Client => {
                    let weight = c.spread(1, 64) * if wanted { 10 } else { 1 };
                    faults.push((fault, every * USUAL_WEIGHTS / weight));
                }
            }
        }
        faults
    }

    /// Changes the world so that the assumption is broken.
    fn break_assumption(&mut self) {
        let too_wrong = 3 * u64::from(self.config.drift().ppm()) + 20_000;
        match self.broken {
            Some(Assumption::ClientClocks) => {
                (self.client_ppm, self.node_ppm) = (too_wrong, 0);
            }
            Some(Assumption::ServerClocks) => {
                (self.client_ppm, self.node_ppm) = (0, too_wrong);
            }
            Some(Assumption::Quarantine) => self.quarantine = false,
            Some(Assumption::NoDeletion) => self.faults.push((Fault::Deleted, self.fault_every)),
            Some(Assumption::ServersAgree) => self.wall_bound = None,
            // Quarantine lasts a quarter of it, and fences lead by up to a tenth of the whole.
            Some(Assumption::MaxTtl) => {
                self.wall_bound = Some((self.max_ttl / 16).saturating_sub(20 * MS));
            }
            Some(Assumption::NodeSet) | None => {}
        }
    }

    /// How long messages travel.
    fn draw_links(&mut self, c: &mut Draws<'_>) {
        let round = self.options.iter().map(|it| nanos(it.round_timeout()));
        let round = round.min().unwrap_or(self.max_ttl);
        self.sweep = round + 60 * MS;
        let usual = c.spread(round / 400, round / 12);
        for _ in 0..self.clients * self.servers {
            // A quarter of the links is much faster or slower.
            let mut one = || match c.below(8) {
                6 => usual / 10,
                7 => round / 7,
                _ => usual,
            };
            self.latency.push([one(), one()]);
        }
    }

    /// What applications do, and what goes wrong often.
    fn draw_habits(&mut self, c: &mut Draws<'_>) {
        let ttl = self.max_ttl;
        self.hold = [0, c.pick(&[ttl / 4, ttl, ttl / 20, 3 * ttl, 8 * ttl])];
        self.may_kill = c.chance(800);
        self.fault_length = c.spread(10, 4_000) * MS;
        self.spike = c.pick(&[0, 0, 5, 50]);
        self.repeated = c.pick(&[0, 0, 10, 300]);
        self.pause_after_grant = c.pick(&[0, 0, 50, 200]);
        self.pause_before_send = c.pick(&[0, 0, 5, 30]);
        self.think = [MS, c.spread(200, 8_000) * MS];
        self.think_healthy = [MS, if c.chance(80) { SEC / 5 } else { 4 * SEC }];
        self.cancelled = c.pick(&[0, 100, 400]);
        self.renewed_by_hand = c.pick(&[0, 200]);
        self.apart = self.nodes > 2 && c.chance(350);
    }

    /// Some worlds have many locks that are held for long, and one node that restarts: then many
    /// leases of a client are suspect when it comes up.
    fn draw_crowd(&mut self, c: &mut Draws<'_>) {
        if !c.chance(CROWDED) || self.broken.is_some() || self.config.max_leases() < 100 {
            return;
        }
        let ttl = self.max_ttl;
        self.slots = c.within(10, 20) as usize;
        self.keys = self.clients * self.slots * 2;
        self.hold = [2 * ttl, 10 * ttl];
        self.think = [MS, ttl];
        self.faults.retain(|(fault, _)| *fault != Fault::CrashKept);
        self.faults.push((Fault::CrashKept, c.within(2, 4) * ttl));
        self.fault_length = c.within(ttl / 8, ttl / 2);
    }

    /// How links and nodes handle takes.
    fn draw_takes(&mut self, c: &mut Draws<'_>) {
        self.native = !c.chance(150);
        self.torn = c.pick(&[0, 0, 20, 200]);
    }

    /// In some worlds leases wait in queues. More of them want the same key then.
    fn draw_queues(&mut self, c: &mut Draws<'_>) {
        if self.broken.is_some() || !c.chance(QUEUED) {
            return;
        }
        self.deaf = c.pick(&[0, 0, 200, 600]);
        self.watched = c.pick(&[0, 300, 1_000]);
        self.most_places = c.pick(&[MANY_PLACES, MANY_PLACES, MANY_PLACES, 2]);
        if c.chance(700) && self.slots < 10 {
            self.keys = 1;
            self.slots = c.within(1, 5) as usize;
            self.think = [MS, c.spread(20, 2_000) * MS];
        }
        if c.chance(400) {
            let tries = LeaseOptions::builder().ttl(self.config.max_ttl());
            let tries = tries.attempts(Some(1)).build(&self.config);
            let tries = tries.expect("they are good options");
            self.options.insert(0, Arc::new(tries));
        }
        self.quarantine |= self.nodes == 1 && c.chance(200);
        self.wait_in_queues();
    }

    /// Leases wait in the queue of the only node, or in those of several that hint.
    pub(super) fn wait_in_queues(&mut self) {
        self.queues = true;
        let ppm = u64::from(self.config.drift().ppm());
        let most = self.config.max_leases();
        let config = config_builder(self.nodes, self.max_ttl, ppm, most).queues(true);
        // As the adapter has it: the marker is compared by scripts that acquire only.
        let grants = !self.quarantine;
        self.config = checked(config.takes(grants).pushes_grant(grants));
    }

    /// In some worlds replicas of the only node must acknowledge each grant.
    fn draw_replicas(&mut self, c: &mut Draws<'_>) {
        if self.broken.is_some() || self.nodes > 1 || !c.chance(ACKNOWLEDGED) {
            return;
        }
        self.lagging = c.pick(&[0, 50, 400]);
        let demanded = c.pick(&[1, 1, 2]);
        let ppm = u64::from(self.config.drift().ppm());
        let most = self.config.max_leases();
        let config = config_builder(self.nodes, self.max_ttl, ppm, most).queues(self.queues);
        let config = config
            .takes(self.config.takes())
            .pushes_grant(self.config.pushes_grant());
        self.config = checked(config.acknowledged_by(demanded));
    }

    pub(super) fn rules(&self) -> Rules {
        let shortest = self.options.iter().map(|options| {
            let first = options.contention_backoff().first();
            let pause = nanos(first.min(options.backoff().first())) / 2;
            pause.min(nanos(options.round_timeout()) / 8)
        });
        let of = |span: Nanos| span * u64::from(self.config.drift().ppm()) / 1_000_000;
        Rules {
            nodes: self.servers,
            quorum: self.config.quorum(),
            max_ttl: self.max_ttl,
            exclusion: self.exclusion,
            promises: self.broken.is_none(),
            prompt: true,
            quarantine: self.quarantine || self.broken == Some(Assumption::Quarantine),
            excuses: self.broken != Some(Assumption::NoDeletion),
            fencing: true,
            // (1 + r) / (1 - r) is 1 + 2r and two r squared, a little more for the largest r.
            late_expiry: 2 * MS + of(of(self.max_ttl)) * 9 / 4,
            told_within: MS,
            asked_while_stalled: false,
            granted_within: self.exclusion.then(|| granted_within(self.max_ttl)),
            pace: shortest.min().unwrap_or(MS),
            // A quarter of the TTL is the shortest that is drawn.
            renewals: 4,
            kills: self.may_kill && self.broken.is_none(),
            freed_within: if self.broken.is_none() {
                FREED_WITHIN
            } else {
                0
            },
            bare_releases: false,
            recalled_within: MS,
            idle_within: self
                .queues
                .then(|| idle_within(self.max_ttl, self.quarantine)),
            hold: 200 * MS,
            doubted_within: if self.queues {
                4 * nanos(self.config.request_timeout())
            } else {
                0
            },
            acknowledged: self.config.acknowledged_by(),
        }
    }
}

/// Of a thousand worlds, those with many locks.
const CROWDED: u32 = 20;

/// Of a thousand worlds, those in which leases wait in queues.
const QUEUED: u32 = 650;

/// Of a thousand worlds with one node, those in which replicas must acknowledge grants.
const ACKNOWLEDGED: u32 = 250;

/// As many places as no world enters.
const MANY_PLACES: usize = 10_000;

/// A release is sent again after a second at most, on a clock that may be slow.
const FREED_WITHIN: Nanos = 5 * SEC / 4;

/// Within this a wanted key is granted after the faults. It is the rest of quarantine, of the TTL
/// of a dead holder, and of the pauses of a link and of an acquire; then some holds of others. Over
/// several nodes rivals may split the vote a few times.
const fn granted_within(max_ttl: Nanos) -> Nanos {
    2 * max_ttl + 9 * SEC
}

/// So long at most, after the faults, somebody waits in a queue although nobody knows that it holds
/// the key: while a place is reserved whose process has died, until the next in line asks, and on
/// clocks that are wrong. One without a channel asks by backoff. Quarantine comes on top.
const fn idle_within(max_ttl: Nanos, quarantine: bool) -> Nanos {
    let quarantined = if quarantine { max_ttl } else { 0 };
    2 * max_ttl + SEC / 2 + quarantined
}

fn config(nodes: usize, max_ttl: Nanos, ppm: u64, max_leases: usize) -> Config {
    checked(config_builder(nodes, max_ttl, ppm, max_leases))
}

fn config_builder(nodes: usize, max_ttl: Nanos, ppm: u64, max_leases: usize) -> ConfigBuilder {
    Config::builder(nodes)
        .max_ttl(Duration::from_nanos(max_ttl))
        .drift(Drift::from_ppm(ppm as u32))
        .max_leases(max_leases)
        .takes(true)
}

fn checked(config: ConfigBuilder) -> Config {
    let config = config.build();
    config.expect("a TTL of 150 ms and more has validity left")
}

fn options(c: &mut Draws<'_>, config: &Config) -> Vec<Arc<LeaseOptions>> {
    let max_ttl = config.max_ttl();
    let mut all = Vec::new();
    for _ in 0..c.within(1, 3) {
        let ttl = c
            .pick(&[max_ttl, max_ttl, max_ttl / 2, max_ttl / 16])
            .max(Duration::from_millis(120));
        let builder = LeaseOptions::builder()
            .ttl(ttl.min(max_ttl))
            .renewal(c.pick(&[
                RenewalPolicy::TwoThirds,
                RenewalPolicy::TwoThirds,
                RenewalPolicy::After(ttl / 4),
                RenewalPolicy::Off,
            ]))
            .give_up_after(c.pick(&[None, Some(max_ttl), Some(max_ttl / 4)]))
            .attempts(c.pick(&[None, None, Some(1), Some(3)]))
            .max_hold(c.pick(&[None, None, None, Some(max_ttl * 2), Some(max_ttl / 2)]))
            .backoff(c.pick(&[
                Backoff::DEFAULT,
                Backoff::new(Duration::from_millis(10), Duration::from_millis(200)),
            ]));
        all.push(Arc::new(
            builder.build(config).expect("they are good options"),
        ));
    }
    let patient = LeaseOptions::builder().ttl(max_ttl).build(config);
    all.push(Arc::new(patient.expect("they are good options")));
    all
}

/// The usual sum of the weights of all faults in a world. Divided by it, all of them together
/// strike about as often as was drawn.
const USUAL_WEIGHTS: u64 = 100;

pub(super) const fn nanos(span: Duration) -> Nanos {
    span.as_nanos() as Nanos
}

impl fmt::Display for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |nanos: Nanos| nanos / MS;
        writeln!(
            f,
            "{}, {} with {} each, {}; max TTL {} ms, drift bound {} ppm; locks held for up to {} \
             ms, {} ms between them",
            counted(self.nodes, "node"),
            counted(self.clients, "client"),
            counted(self.slots, "task"),
            counted(self.keys, "key"),
            ms(self.max_ttl),
            self.config.drift().ppm(),
            ms(self.hold[0] + self.hold[1]),
            ms(self.think[0] + self.think[1]),
        )?;
        writeln!(
            f,
            "clocks: clients within {} ppm, servers within {} ppm, steps of up to {} us; \
             quarantine {}",
            self.client_ppm,
            self.node_ppm,
            self.step_max / 1_000,
            if self.quarantine { "on" } else { "off" },
        )?;
        writeln!(
            f,
            "of 1000: {} requests lost, {} replies lost, {} late; paused after {} grants and \
             before {} messages",
            self.lost[0], self.lost[1], self.spike, self.pause_after_grant, self.pause_before_send,
        )?;
        if self.queues {
            writeln!(
                f,
                "leases wait in queues; of 1000: {} connections hear no pushes, {} leases are \
                 watched; {} pushes lost, {} astray, {} doubled",
                self.deaf, self.watched, self.pushes[0], self.pushes[1], self.pushes[2],
            )?;
        }
        if self.config.acknowledged_by() > 0 {
            let replicas = counted(self.config.acknowledged_by() as usize, "replica");
            let lagging = self.lagging;
            writeln!(
                f,
                "{replicas} must acknowledge a grant; of 1000, {lagging} lag"
            )?;
        }
        if self.faults.is_empty() {
            writeln!(f, "no other faults")?;
        } else {
            let length = ms(self.fault_length);
            write!(f, "for up to {length} ms, and usually every so many ms:")?;
            for (index, (fault, every)) in self.faults.iter().enumerate() {
                let comma = if index == 0 { "" } else { "," };
                write!(f, "{comma} {fault} {}", ms(*every))?;
            }
            writeln!(f)?;
        }
        if self.apart {
            writeln!(f, "each client is cut off from another node")?;
        }
        if let Some(broken) = self.broken {
            writeln!(f, "broken assumption: {}", broken.name())?;
        }
        Ok(())
    }
}
