//! What a process tells the judge, a line each. All instants are those of the machine's clock, in
//! nanoseconds.

use std::fmt;

/// One thing that happened to one lease, or to the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// `lock` is called for this key.
    Asked { lease: u64, key: u64, at: u64 },
    /// It was not granted, and who asked knows: the future was dropped, or ended with an error.
    Unserved { lease: u64, at: u64, why: Why },
    /// It was granted, as its caller was told at that instant. What replicas acknowledged they have
    /// until `acknowledged` at least; it is zero if they were not asked.
    Granted {
        lease: u64,
        key: u64,
        asked: u64,
        at: u64,
        fence: u64,
        acknowledged: u64,
    },
    /// Its guard says, after that instant, that the lock is held.
    Seen { lease: u64, at: u64 },
    /// It was lost, and its holder was told.
    Lost { lease: u64 },
    /// Its guard is not valid, and whoever awaits its loss was not told.
    Untold { lease: u64 },
    /// Its guard is valid, although its loss was told.
    Revived { lease: u64 },
    /// The store has answered a write at that instant. What it took it counts, for each key.
    Wrote {
        lease: u64,
        at: u64,
        how: Written,
        count: u64,
    },
    /// What the process needs: memory in KiB, and tasks of its runtime.
    Figures { memory: u64, tasks: u64 },
    /// All clients of the process were closed. So many tasks and locks are left.
    Closed { tasks: u64, held: u64 },
}

/// Why an acquire was not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Its future was dropped.
    Dropped,
    /// Somebody else has the lock, and one attempt was all that was wanted.
    Contended,
    /// The server did not answer or did not serve, or its replica did not acknowledge.
    Outage,
    /// Too many nodes may have forgotten who has it.
    Quarantined,
    /// Anything else, which is a failure.
    Other,
}

impl Why {
    const ALL: [Self; 5] = [
        Self::Dropped,
        Self::Contended,
        Self::Outage,
        Self::Quarantined,
        Self::Other,
    ];
}

/// What the store made of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It took it.
    Taken,
    /// It refused it for its fence. The lock was lost.
    Refused,
    /// It refused it for its fence, and behind the answer the guard still said that it is held.
    RefusedWhileHeld,
    /// Another holder has written under the same fence.
    Twice,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Asked { lease, key, at } => write!(f, "asked {lease} {key} {at}"),
            Self::Unserved { lease, at, why } => write!(f, "unserved {lease} {at} {}", why as u64),
            Self::Granted {
                lease,
                key,
                asked,
                at,
                fence,
                acknowledged,
            } => write!(
                f,
                "granted {lease} {key} {asked} {at} {fence} {acknowledged}"
            ),
            Self::Seen { lease, at } => write!(f, "seen {lease} {at}"),
            Self::Lost { lease } => write!(f, "lost {lease}"),
            Self::Untold { lease } => write!(f, "untold {lease}"),
            Self::Revived { lease } => write!(f, "revived {lease}"),
            Self::Wrote {
                lease,
                at,
                how,
                count,
            } => write!(f, "wrote {lease} {at} {} {count}", how as u64),
            Self::Figures { memory, tasks } => write!(f, "figures {memory} {tasks}"),
            Self::Closed { tasks, held } => write!(f, "closed {tasks} {held}"),
        }
    }
}

impl Event {
    /// Reads a line back. A process that was killed may have left half of one.
    pub(super) fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let name = words.next()?;
        let numbers: Vec<u64> = words.map(str::parse).collect::<Result<_, _>>().ok()?;
        let why = |number| Why::ALL.into_iter().find(|why| *why as u64 == number);
        let how = |number| {
            use Written::{Refused, RefusedWhileHeld, Taken, Twice};
            let all = [Taken, Refused, RefusedWhileHeld, Twice];
            all.into_iter().find(|how| *how as u64 == number)
        };
        Some(match (name, &numbers[..]) {
            ("asked", &[lease, key, at]) => Self::Asked { lease, key, at },
            ("unserved", &[lease, at, number]) => {
                let why = why(number)?;
                Self::Unserved { lease, at, why }
            }
            ("granted", &[lease, key, asked, at, fence, acknowledged]) => Self::Granted {
                lease,
                key,
                asked,
                at,
                fence,
                acknowledged,
            },
            ("seen", &[lease, at]) => Self::Seen { lease, at },
            ("lost", &[lease]) => Self::Lost { lease },
            ("untold", &[lease]) => Self::Untold { lease },
            ("revived", &[lease]) => Self::Revived { lease },
            ("wrote", &[lease, at, number, count]) => Self::Wrote {
                lease,
                at,
                how: how(number)?,
                count,
            },
            ("figures", &[memory, tasks]) => Self::Figures { memory, tasks },
            ("closed", &[tasks, held]) => Self::Closed { tasks, held },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, Why, Written};

    #[test]
    fn an_event_is_read_as_it_was_written() {
        let (lease, at) = (7, 9);
        let granted = Event::Granted {
            lease,
            key: 1,
            asked: 2,
            at,
            fence: 3,
            acknowledged: 4,
        };
        let mut events = vec![
            granted,
            Event::Asked { lease, key: 1, at },
            Event::Seen { lease, at },
            Event::Lost { lease },
            Event::Untold { lease },
            Event::Revived { lease },
            Event::Figures {
                memory: 4,
                tasks: 5,
            },
            Event::Closed { tasks: 6, held: 8 },
        ];
        for why in Why::ALL {
            events.push(Event::Unserved { lease, at, why });
        }
        use Written::{Refused, RefusedWhileHeld, Taken, Twice};
        for how in [Taken, Refused, RefusedWhileHeld, Twice] {
            let count = 4;
            events.push(Event::Wrote {
                lease,
                at,
                how,
                count,
            });
        }
        for event in events {
            assert_eq!(Event::read(&event.to_string()), Some(event));
        }
        assert_eq!(Event::read("seen 1"), None);
        assert_eq!(Event::read("unserved 1 2 9"), None);
    }
}
