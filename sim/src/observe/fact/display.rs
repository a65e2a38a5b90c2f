//! Each fact as one line of text, as transcripts and pictures show it.

use std::fmt;

use super::{Fact, Nanos, Record};

/// Nanoseconds, shown as seconds with six decimals.
struct Secs(Nanos);

impl fmt::Display for Secs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:06}",
            self.0 / 1_000_000_000,
            self.0 / 1_000 % 1_000_000
        )
    }
}

impl fmt::Display for Record {
    /// One line: true time, the client's clock, then client, node, key and lease, then the fact.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>11}", Secs(self.at).to_string())?;
        match self.local {
            Some(local) => {
                let nanos = local.as_nanos().unsigned_abs();
                write!(f, " [{:>14}]", Secs(nanos).to_string())?;
            }
            None => write!(f, " {:16}", "")?,
        }
        let mut name = |letter, number: Option<u32>| match number {
            Some(number) => write!(f, " {letter}{number:<2}"),
            None => f.write_str("    "),
        };
        name('c', self.client.map(u32::from))?;
        name('n', self.node.map(u32::from))?;
        name('k', self.key.map(u32::from))?;
        match self.lease {
            Some(lease) => write!(f, " lease {lease:<4}")?,
            None => write!(f, " {:10}", "")?,
        }
        write!(f, " {}", self.fact)
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Wanted { ttl } => write!(f, "wanted, TTL {} s", Secs(ttl)),
            Self::Granted { fence, until } => {
                write!(f, "GRANTED with fence {fence}, valid until {}", Secs(until))
            }
            Self::Until { until, why } => write!(f, "valid until {} ({why:?})", Secs(until)),
            Self::Queued { ahead } => write!(f, "in the queue, {ahead} ahead"),
            Self::Waiting(cause) => write!(f, "round failed: {cause:?}"),
            Self::Failed { cause, gave_up } => {
                let how = if gave_up { "gave up" } else { "failed" };
                write!(f, "{how}: {cause:?}")
            }
            Self::Lost(loss) => write!(f, "LOST: {loss:?}"),
            Self::Released(freed) => write!(f, "release answered: {freed:?}"),
            Self::Sent { .. } | Self::Did { .. } | Self::Heard { .. } => of_request(f, self),
            Self::Key { from, to, until } => {
                write!(f, "key: {from:?} -> {to:?}")?;
                match until {
                    Some(until) => write!(f, " until {}", Secs(until)),
                    None => Ok(()),
                }
            }
            Self::Place { .. }
            | Self::HandedOn { .. }
            | Self::Channel { .. }
            | Self::Pushed { .. }
            | Self::Hinted
            | Self::Doubted
            | Self::DoubtOfAll => of_queue(f, self),
            Self::Beside { until } => match until {
                Some(until) => write!(f, "beside the keys: kept until {}", Secs(until)),
                None => write!(f, "beside the keys: kept for ever"),
            },
            Self::Read {
                fence,
                accepted,
                value,
            } => write!(f, "read {value} with fence {fence}: {}", verdict(accepted)),
            Self::Wrote {
                fence,
                accepted,
                value,
            } => write!(f, "wrote {value} with fence {fence}: {}", verdict(accepted)),
            Self::Link(link) => write!(f, "link: {link:?}"),
            Self::Fault(fault) => write!(f, "FAULT {fault}"),
            Self::Mended(fault) => write!(f, "mended {fault}"),
            Self::Full
            | Self::Suspect
            | Self::Renew
            | Self::Watched
            | Self::Release
            | Self::Cancel
            | Self::Settled
            | Self::Healed
            | Self::Quiet => write!(f, "{self:?}"),
            Self::Swept => write!(f, "looked for what is left"),
        }
    }
}

const fn verdict(accepted: bool) -> &'static str {
    if accepted { "accepted" } else { "refused" }
}

const fn lateness(late: bool) -> &'static str {
    if late {
        " (on a connection given up)"
    } else {
        ""
    }
}

/// What is said of requests.
fn of_request(f: &mut fmt::Formatter<'_>, fact: &Fact) -> fmt::Result {
    match *fact {
        Fact::Sent {
            ask,
            attempt,
            serial,
        } => write!(f, "#{serial} {ask:?} sent, attempt {attempt}"),
        Fact::Did {
            ask,
            serial,
            answer,
            late,
            ..
        } => {
            let late = lateness(late);
            write!(f, "#{serial} {ask:?} at the node: {answer:?}{late}")
        }
        Fact::Heard {
            ask,
            serial,
            outcome,
        } => write!(f, "#{serial} {ask:?} heard: {outcome:?}"),
        _ => Ok(()),
    }
}

/// What is said of queues and pushes.
fn of_queue(f: &mut fmt::Formatter<'_>, fact: &Fact) -> fmt::Result {
    match *fact {
        Fact::Place { until, channel } => match (until, channel) {
            (Some(until), true) => write!(f, "place kept until {}", Secs(until)),
            (Some(until), false) => write!(f, "place kept until {}, no channel", Secs(until)),
            (None, _) => write!(f, "place gone"),
        },
        Fact::HandedOn { fence, until } => {
            write!(f, "handed on with fence {fence}, until {}", Secs(until))
        }
        Fact::Channel { heard: true } => write!(f, "channel: somebody listens"),
        Fact::Channel { heard: false } => write!(f, "channel: nobody listens"),
        Fact::Pushed { fence } => write!(f, "push heard: handed on with fence {fence}"),
        Fact::Hinted => write!(f, "push heard: the lock is free"),
        Fact::Doubted => write!(f, "push heard: somebody may have touched the key"),
        Fact::DoubtOfAll => write!(f, "push heard: all keys may be lost"),
        _ => Ok(()),
    }
}
