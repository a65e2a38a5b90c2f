//! Which faults strike, whom and when. All of it is drawn from the seed before anything begins.

use std::fmt;
use std::time::Duration;

use tenure_sim::choice::{Choices, Draws, Subject};

use super::kind::{Host, Kind};
use super::servers::SENTINELS;
use super::{Broken, PROCESSES, TTL};

/// Something that goes wrong on purpose, and is mended after a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A process is killed, and another one takes its place.
    Kill { process: usize },
    /// A process stands still for longer than a TTL.
    Stop { process: usize, length: Duration },
    /// A server is killed, and has forgotten all when it is back.
    RestartEmpty { host: Host },
    /// A server is killed, and has all that it acknowledged when it is back.
    RestartWithData { host: Host },
    /// A server is killed, and comes back later, with all that it acknowledged.
    Down { host: Host, length: Duration },
    /// A server stands still.
    Stands { host: Host, length: Duration },
    /// Sentinel `by` makes the replica the primary, which was planned.
    Failover { by: usize },
    /// The primary is killed, another one is made in its place, and it is the replica then.
    PrimaryDies,
    /// The same, after its replica has heard nothing of it for so long.
    PrimaryDiesAhead { length: Duration },
    /// The primary stands still until another one is made in its place, and goes on then.
    PrimaryStands,
    /// A Sentinel is killed, and comes back later.
    SentinelDown { index: usize, length: Duration },
    /// Every connection of a process is closed.
    Cut { process: usize },
    /// Nothing passes between a process and all servers, and nothing is closed.
    Silence { process: usize, length: Duration },
    /// Nothing passes between a process and this one of several servers.
    Apart {
        process: usize,
        index: usize,
        length: Duration,
    },
    /// All that a process sends travels for so long.
    Slow {
        process: usize,
        each: Duration,
        length: Duration,
    },
    /// A server is out of memory.
    Full { host: Host, length: Duration },
    /// A server closes all connections.
    ClientKill { host: Host },
    /// A server forgets all scripts.
    ScriptFlush { host: Host },
}

/// About how long it takes until a failover is over that was planned, or that was found out by
/// itself. Until the former primary is told by the Sentinels takes most of it.
const PLANNED: Duration = Duration::from_secs(20);
const DEAD: Duration = Duration::from_secs(4);
const STANDING: Duration = Duration::from_secs(20);

impl Fault {
    /// About how long it lasts.
    pub(super) fn length(self) -> Duration {
        match self {
            Self::Stop { length, .. }
            | Self::Silence { length, .. }
            | Self::Apart { length, .. }
            | Self::Slow { length, .. }
            | Self::Down { length, .. }
            | Self::Stands { length, .. }
            | Self::SentinelDown { length, .. }
            | Self::Full { length, .. } => length,
            Self::PrimaryDiesAhead { length } => length + DEAD,
            Self::Failover { .. } => PLANNED,
            Self::PrimaryDies => DEAD,
            Self::PrimaryStands => STANDING,
            Self::Kill { .. }
            | Self::RestartEmpty { .. }
            | Self::RestartWithData { .. }
            | Self::Cut { .. }
            | Self::ClientKill { .. }
            | Self::ScriptFlush { .. } => Duration::ZERO,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill { process } => write!(f, "process {process} is killed"),
            Self::Stop { process, length } => {
                write!(f, "process {process} stands still for {length:?}")
            }
            Self::RestartEmpty { host } => write!(f, "{host} restarts, empty"),
            Self::RestartWithData { host } => write!(f, "{host} restarts, with its data"),
            Self::Down { host, length } => write!(f, "{host} is down for {length:?}"),
            Self::Stands { host, length } => write!(f, "{host} stands still for {length:?}"),
            Self::Failover { by } => write!(f, "Sentinel {by} makes the replica the primary"),
            Self::PrimaryDies => f.write_str("the primary is killed, and replaced"),
            Self::PrimaryDiesAhead { length } => write!(
                f,
                "the primary is killed, and replaced by a replica that is {length:?} behind"
            ),
            Self::PrimaryStands => f.write_str("the primary stands still, and is replaced"),
            Self::SentinelDown { index, length } => {
                write!(f, "Sentinel {index} is down for {length:?}")
            }
            Self::Cut { process } => write!(f, "the connections of process {process} are cut"),
            Self::Silence { process, length } => {
                write!(f, "nothing passes for process {process} for {length:?}")
            }
            Self::Apart {
                process,
                index,
                length,
            } => write!(
                f,
                "nothing passes between process {process} and server {index} for {length:?}"
            ),
            Self::Slow {
                process,
                each,
                length,
            } => write!(f, "process {process} is {each:?} away for {length:?}"),
            Self::Full { host, length } => write!(f, "{host} is out of memory for {length:?}"),
            Self::ClientKill { host } => write!(f, "{host} closes all connections"),
            Self::ScriptFlush { host } => write!(f, "{host} forgets its scripts"),
        }
    }
}

/// The faults, each with the pause before it. They fill so much time, and somewhat more if that is
/// too little for each kind to strike once.
pub(super) fn draw(kind: Kind, seed: u64, fill: Duration) -> Vec<(Duration, Fault)> {
    let mut choices = Choices::from_seed(seed);
    let mut schedule = Vec::new();
    let mut filled = Duration::ZERO;
    while filled < fill {
        let mut deck = kinds(kind, &mut choices);
        while !deck.is_empty() {
            let mut draws = choices.about(Subject::World);
            let pause = Duration::from_millis(draws.within(1_000, 4_000));
            let next = usize::try_from(draws.below(deck.len() as u64)).expect("it is small");
            let fault = deck.swap_remove(next);
            filled += pause + fault.length();
            schedule.push((pause, fault));
        }
    }
    schedule
}

/// What shows what is broken on purpose.
pub(super) fn of_broken(broken: Broken) -> Vec<(Duration, Fault)> {
    match broken {
        // Holders that lose their locks. One process has a few of them at a time.
        Broken::IgnoresLoss | Broken::LeaksTasks | Broken::IgnoresFences => [0, 1, 2]
            .map(|process| {
                let length = TTL * 3 / 2;
                (TTL / 2, Fault::Stop { process, length })
            })
            .to_vec(),
        // A majority of three forgets.
        Broken::NoQuarantine => [0, 1]
            .map(|index| {
                let host = Host::Node(index);
                (Duration::ZERO, Fault::RestartEmpty { host })
            })
            .to_vec(),
        // A process has a few locks at a time, most of which were granted last.
        Broken::IgnoresReplicas => {
            let length = TTL / 3;
            vec![(TTL / 2, Fault::PrimaryDiesAhead { length }); 2]
        }
    }
}

/// Whom a fault strikes and for how long.
struct Draw<'a>(Draws<'a>);

impl Draw<'_> {
    fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.0.below(count as u64)).expect("there are few")
    }

    fn process(&mut self) -> usize {
        self.index(PROCESSES)
    }

    fn host(&mut self, kind: Kind) -> Host {
        kind.host(|count| self.index(count))
    }

    /// So many tenths of a TTL.
    fn length(&mut self, low: u32, high: u32) -> Duration {
        let millis =
            |tenths: u32| u64::try_from((TTL * tenths / 10).as_millis()).expect("it is short");
        Duration::from_millis(self.0.within(millis(low), millis(high)))
    }
}

/// One fault of each kind.
fn kinds(kind: Kind, choices: &mut Choices) -> Vec<Fault> {
    let mut draw = Draw(choices.about(Subject::World));
    let mut deck = vec![
        // The first one lives as long as the soak, so that what leaks shows there.
        Fault::Kill {
            process: 1 + draw.index(PROCESSES - 1),
        },
        Fault::Stop {
            process: draw.process(),
            length: draw.length(12, 20),
        },
        Fault::Cut {
            process: draw.process(),
        },
        Fault::Silence {
            process: draw.process(),
            length: draw.length(2, 20),
        },
        Fault::Slow {
            process: draw.process(),
            each: draw.length(0, 2),
            length: draw.length(5, 15),
        },
        Fault::RestartEmpty {
            host: draw.host(kind),
        },
        Fault::RestartWithData {
            host: draw.host(kind),
        },
        Fault::Full {
            host: draw.host(kind),
            length: draw.length(2, 15),
        },
        Fault::ClientKill {
            host: draw.host(kind),
        },
        Fault::ScriptFlush {
            host: draw.host(kind),
        },
    ];
    deck.extend(own_kinds(kind, &mut draw));
    deck
}

/// One of each that strikes servers of this kind only.
fn own_kinds(kind: Kind, draw: &mut Draw<'_>) -> Vec<Fault> {
    match kind {
        Kind::One => Vec::new(),
        Kind::Several(count) => vec![
            Fault::Down {
                host: draw.host(kind),
                length: draw.length(2, 20),
            },
            Fault::Stands {
                host: draw.host(kind),
                length: draw.length(2, 20),
            },
            Fault::Apart {
                process: draw.process(),
                index: draw.index(count),
                length: draw.length(2, 20),
            },
        ],
        Kind::Group => vec![
            Fault::Failover {
                by: draw.index(SENTINELS),
            },
            Fault::PrimaryDies,
            Fault::PrimaryDiesAhead {
                length: draw.length(2, 5),
            },
            Fault::PrimaryStands,
            Fault::SentinelDown {
                index: draw.index(SENTINELS),
                length: draw.length(2, 20),
            },
        ],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::mem::discriminant;
    use std::time::Duration;

    use super::super::TTL;
    use super::super::kind::Kind;
    use super::{Fault, draw};

    #[test]
    fn a_seed_gives_the_same_faults_again_and_each_kind_of_them() {
        for (kind, count) in [(Kind::One, 10), (Kind::Several(3), 13), (Kind::Group, 15)] {
            let schedule = draw(kind, 7, Duration::from_secs(90));
            assert_eq!(schedule, draw(kind, 7, Duration::from_secs(90)));
            assert_ne!(schedule, draw(kind, 8, Duration::from_secs(90)));
            let mut kinds = Vec::new();
            for (_, fault) in &schedule {
                let kind = discriminant(fault);
                if !kinds.contains(&kind) {
                    kinds.push(kind);
                }
            }
            assert_eq!(kinds.len(), count, "{kind:?}");
        }
    }

    #[test]
    fn the_first_process_is_never_killed_and_the_others_are() {
        let schedule = draw(Kind::One, 1, Duration::from_secs(3_600));
        let killed = |(_, fault): &(Duration, Fault)| match fault {
            Fault::Kill { process } => Some(*process),
            _ => None,
        };
        let killed: BTreeSet<usize> = schedule.iter().filter_map(killed).collect();
        assert_eq!(killed, BTreeSet::from([1, 2, 3]));
    }

    #[test]
    fn each_of_several_servers_is_struck() {
        let schedule = draw(Kind::Several(3), 1, Duration::from_secs(3_600));
        let emptied = |(_, fault): &(Duration, Fault)| match fault {
            Fault::RestartEmpty { host } => Some(host.to_string()),
            _ => None,
        };
        let emptied: BTreeSet<String> = schedule.iter().filter_map(emptied).collect();
        assert_eq!(emptied.len(), 3);
    }

    #[test]
    fn a_process_stands_still_for_longer_than_a_ttl() {
        for (_, fault) in draw(Kind::One, 1, Duration::from_secs(3_600)) {
            if let Fault::Stop { length, .. } = fault {
                assert!(length > TTL, "{length:?}");
            }
        }
    }
}
