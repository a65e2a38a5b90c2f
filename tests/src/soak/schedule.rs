//! Which faults strike, whom and when. All of it is drawn from the seed before anything begins.

use std::fmt;
use std::time::Duration;

use tenure_sim::choice::{Choices, Subject};

use super::{PROCESSES, TTL};

/// Something that goes wrong on purpose, and is mended after a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A process is killed, and another one takes its place.
    Kill { process: usize },
    /// A process stands still for longer than a TTL.
    Stop { process: usize, length: Duration },
    /// The server is killed, and has forgotten all when it is back.
    RestartEmpty,
    /// The server is killed, and has all that it acknowledged when it is back.
    RestartWithData,
    /// Every connection of a process is closed.
    Cut { process: usize },
    /// Nothing passes between a process and the server, and nothing is closed.
    Silence { process: usize, length: Duration },
    /// All that a process sends travels for so long.
    Slow {
        process: usize,
        each: Duration,
        length: Duration,
    },
    /// The server is out of memory.
    Full { length: Duration },
    /// The server closes all connections.
    ClientKill,
    /// The server forgets all scripts.
    ScriptFlush,
}

impl Fault {
    /// For how long it lasts, if it does not end by itself.
    pub(super) fn length(self) -> Duration {
        match self {
            Self::Stop { length, .. }
            | Self::Silence { length, .. }
            | Self::Slow { length, .. }
            | Self::Full { length } => length,
            Self::Kill { .. }
            | Self::RestartEmpty
            | Self::RestartWithData
            | Self::Cut { .. }
            | Self::ClientKill
            | Self::ScriptFlush => Duration::ZERO,
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
            Self::RestartEmpty => f.write_str("the server restarts, empty"),
            Self::RestartWithData => f.write_str("the server restarts, with its data"),
            Self::Cut { process } => write!(f, "the connections of process {process} are cut"),
            Self::Silence { process, length } => {
                write!(f, "nothing passes for process {process} for {length:?}")
            }
            Self::Slow {
                process,
                each,
                length,
            } => write!(f, "process {process} is {each:?} away for {length:?}"),
            Self::Full { length } => write!(f, "the server is out of memory for {length:?}"),
            Self::ClientKill => f.write_str("the server closes all connections"),
            Self::ScriptFlush => f.write_str("the server forgets its scripts"),
        }
    }
}

/// The faults, each with the pause before it. They fill so much time, and somewhat more if that is
/// too little for each kind to strike once.
pub(super) fn draw(seed: u64, fill: Duration) -> Vec<(Duration, Fault)> {
    let mut choices = Choices::from_seed(seed);
    let mut schedule = Vec::new();
    let mut filled = Duration::ZERO;
    while filled < fill {
        let mut deck = kinds(&mut choices);
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

/// What shows that something is broken on purpose: holders that lose their locks.
pub(super) fn of_broken() -> Vec<(Duration, Fault)> {
    let (process, length) = (0, TTL * 3 / 2);
    vec![(Duration::ZERO, Fault::Stop { process, length })]
}

/// One fault of each kind.
fn kinds(choices: &mut Choices) -> Vec<Fault> {
    let mut draws = choices.about(Subject::World);
    let mut process = |least: u64| {
        usize::try_from(draws.within(least, PROCESSES as u64 - 1)).expect("there are few")
    };
    // The first one lives as long as the soak, so that what leaks shows there.
    let killed = process(1);
    let [stopped, cut, silent, slow] = [process(0), process(0), process(0), process(0)];
    let mut length = |low: u32, high: u32| {
        let millis =
            |times: u32| u64::try_from((TTL * times / 10).as_millis()).expect("it is short");
        Duration::from_millis(draws.within(millis(low), millis(high)))
    };
    vec![
        Fault::Kill { process: killed },
        Fault::Stop {
            process: stopped,
            length: length(12, 20),
        },
        Fault::RestartEmpty,
        Fault::RestartWithData,
        Fault::Cut { process: cut },
        Fault::Silence {
            process: silent,
            length: length(2, 20),
        },
        Fault::Slow {
            process: slow,
            each: length(0, 2),
            length: length(5, 15),
        },
        Fault::Full {
            length: length(2, 15),
        },
        Fault::ClientKill,
        Fault::ScriptFlush,
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::mem::discriminant;
    use std::time::Duration;

    use super::super::TTL;
    use super::{Fault, draw};

    #[test]
    fn a_seed_gives_the_same_faults_again_and_each_kind_of_them() {
        let schedule = draw(7, Duration::from_secs(90));
        assert_eq!(schedule, draw(7, Duration::from_secs(90)));
        assert_ne!(schedule, draw(8, Duration::from_secs(90)));
        let mut kinds = Vec::new();
        for (_, fault) in &schedule {
            let kind = discriminant(fault);
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        assert_eq!(kinds.len(), 10);
    }

    #[test]
    fn the_first_process_is_never_killed_and_the_others_are() {
        let schedule = draw(1, Duration::from_secs(3_600));
        let killed = |(_, fault): &(Duration, Fault)| match fault {
            Fault::Kill { process } => Some(*process),
            _ => None,
        };
        let killed: BTreeSet<usize> = schedule.iter().filter_map(killed).collect();
        assert_eq!(killed, BTreeSet::from([1, 2, 3]));
    }

    #[test]
    fn a_process_stands_still_for_longer_than_a_ttl() {
        for (_, fault) in draw(1, Duration::from_secs(3_600)) {
            if let Fault::Stop { length, .. } = fault {
                assert!(length > TTL, "{length:?}");
            }
        }
    }
}
