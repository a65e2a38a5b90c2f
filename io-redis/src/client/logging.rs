//! Everything that is logged. No token and no password is ever logged.
//!
//! Subscribers are code of the program: no lock is held while one is called, and a panic of its
//! ends there.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure_core::{
    AcquireFailure, EventKind, Instant, Key, Label, Loss, NodeId, Release, RenewalFailure, Silence,
    Words,
};
use tracing::field::debug;
use tracing::{Level, debug, event_enabled, info, warn};

use crate::client::own_keys::Whose;
use crate::client::quota::{Line, LineKind, Quota, Verdict};
use crate::link::interface::{Identity, LinkStatus};
use crate::log_target::{LOG_TARGET, contained};
use crate::protocol::words::NOT_IN_TIME;

/// The keys without an expiry that were warned of. Who waits for one may ask for weeks, and many
/// may wait.
#[derive(Debug, Default)]
struct ForeignKeys(HashSet<Key>);

impl ForeignKeys {
    /// How many are remembered. Beyond that they are all forgotten, and warned of again.
    // Law: Bounded work
    const MOST: usize = 1_024;

    /// The warning of the key is written.
    fn mark(&mut self, key: &Key) {
        if self.0.len() >= Self::MOST {
            self.0.clear();
        }
        self.0.insert(key.clone());
    }

    /// The key was taken.
    fn forget(&mut self, key: &Key) {
        // To look for a key costs, even if there is none.
        if !self.0.is_empty() {
            self.0.remove(key);
        }
    }
}

/// What was written.
#[derive(Debug, Default)]
struct Written {
    quota: Quota,
    foreign: ForeignKeys,
}

impl Written {
    /// Whether this line is written now, which is of this key if it is of one.
    fn admit(&mut self, now: Instant, line: Line, key: Option<&Key>) -> Verdict {
        let verdict = self.quota.admit(now, line);
        if verdict == Verdict::Written
            && line.0 == LineKind::WaitingForForeign
            && let Some(key) = key
        {
            self.foreign.mark(key);
        }
        verdict
    }
}

/// The log of one client.
#[derive(Debug)]
pub(crate) struct Log {
    names: Vec<String>,
    written: Mutex<Written>,
}

impl Log {
    /// For the nodes with these names.
    pub(crate) fn new(names: Vec<String>) -> Self {
        Self {
            names,
            written: Mutex::default(),
        }
    }

    /// Logs what happened to a lease, and for how long it was held if that ended it. Like all that
    /// logs, it returns whether the [counts](Self::tell_counts) must be told later on.
    pub(crate) fn event(
        &self,
        now: Instant,
        key: &Key,
        kind: &EventKind,
        held: Option<Duration>,
    ) -> bool {
        let told = self.told(key, kind);
        let line = line(kind, told);
        let level = line.map_or(Level::DEBUG, |_| Level::WARN);
        let about = line.map(|line| (line, Some(key)));
        self.write(now, level, about, || {
            event(key, kind, told, held, |node| &self.names[node.index()]);
        })
    }

    /// Whether the event says of a key what was written of it before, since it was last taken.
    fn told(&self, key: &Key, kind: &EventKind) -> bool {
        match kind {
            EventKind::Waiting {
                cause: AcquireFailure::Foreign { .. },
                ..
            }
            | EventKind::Queued { left: None, .. } => self.written().foreign.0.contains(key),
            EventKind::Acquired { .. } => {
                self.written().foreign.forget(key);
                false
            }
            _ => false,
        }
    }

    /// Logs a loss that the holder's own clock told before the core did.
    pub(crate) fn expired(&self, now: Instant, key: &Key, held: Option<Duration>) -> bool {
        let loss = Loss::Expired;
        self.event(now, key, &EventKind::Lost { loss }, held)
    }

    /// Logs that a task asks for a key that the client holds.
    pub(crate) fn waits_for_itself(&self, now: Instant, key: &Key, whose: Whose) -> bool {
        let line = (LineKind::WaitingForItself, None);
        self.write(now, Level::WARN, Some((line, None)), || match whose {
            Whose::SameTask => warn!(
                target: LOG_TARGET,
                ?key,
                "this task holds the key already and waits for itself, unless it gave the guard \
                 to another"
            ),
            Whose::OtherTask => warn!(
                target: LOG_TARGET,
                ?key,
                "this client waits for a key that it holds itself, in another task; it is said \
                 once for the key"
            ),
        })
    }

    /// Logs a change of a link's state.
    pub(crate) fn link(&self, now: Instant, node: NodeId, status: &LinkStatus) -> bool {
        let (level, kind) = match status {
            LinkStatus::Connecting => (Level::DEBUG, None),
            LinkStatus::Up(Identity { deaf: Some(_), .. }) => (Level::WARN, Some(LineKind::Deaf)),
            LinkStatus::Up(_) => (Level::INFO, Some(LineKind::Connected)),
            LinkStatus::Down { .. } => (Level::WARN, Some(LineKind::NotConnected)),
            LinkStatus::Rejected { .. } => (Level::WARN, Some(LineKind::Refused)),
        };
        let line = kind.map(|kind| (kind, Some(node)));
        let about = line.map(|line| (line, None));
        self.write(now, level, about, || {
            link(&self.names[node.index()], status)
        })
    }

    /// When the counts are to be told. None if nothing was left out.
    pub(crate) fn counts_due(&self) -> Option<Instant> {
        self.written().quota.due()
    }

    /// Logs how many lines were left out, of each kind whose time is over; of all, if it is the
    /// end.
    pub(crate) fn tell_counts(&self, now: Instant, end: bool) {
        let counts = self.written().quota.take_over(now, end);
        for ((kind, node), left_out) in counts {
            let node = node.map(|node| &*self.names[node.index()]);
            contained(|| {
                warn!(target: LOG_TARGET, node, left_out, of = kind.name(), "lines left out");
            });
        }
    }

    /// Writes a line, if anybody listens at this level and its quota is not used up.
    fn write(
        &self,
        now: Instant,
        level: Level,
        about: Option<(Line, Option<&Key>)>,
        write: impl FnOnce(),
    ) -> bool {
        let mut left_out = false;
        contained(|| {
            if !listens(level) {
                return;
            }
            if let Some((line, key)) = about {
                // What is owed from before comes first.
                if self.counts_due().is_some_and(|due| due <= now) {
                    self.tell_counts(now, false);
                }
                let verdict = self.written().admit(now, line, key);
                if let Verdict::LeftOut { first } = verdict {
                    left_out = first;
                    return;
                }
            }
            write();
        });
        left_out
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether anybody listens at this level.
fn listens(level: Level) -> bool {
    match level {
        Level::DEBUG => event_enabled!(target: LOG_TARGET, Level::DEBUG),
        Level::INFO => event_enabled!(target: LOG_TARGET, Level::INFO),
        _ => event_enabled!(target: LOG_TARGET, Level::WARN),
    }
}

/// The kind of a line about a lease. None for what goes well, which is written whenever somebody
/// listens at DEBUG.
fn line(kind: &EventKind, told: bool) -> Option<Line> {
    let first = |silent: &[Silence]| silent.first().map(|silence| silence.node);
    match kind {
        EventKind::Waiting { cause, .. } => match cause {
            AcquireFailure::Quarantined { node, .. } => {
                Some((LineKind::WaitingInQuarantine, Some(*node)))
            }
            AcquireFailure::Outage { silent } => Some((LineKind::WaitingInOutage, first(silent))),
            AcquireFailure::Unacknowledged { node, .. } => {
                Some((LineKind::WaitingForReplicas, Some(*node)))
            }
            AcquireFailure::Foreign { node } if !told => {
                Some((LineKind::WaitingForForeign, Some(*node)))
            }
            _ => None,
        },
        EventKind::Queued {
            left: None, node, ..
        } if !told => Some((LineKind::WaitingForForeign, Some(*node))),
        EventKind::Shortened { .. } => Some((LineKind::Shortened, None)),
        EventKind::Suspect { cause, .. } => Some(match cause {
            RenewalFailure::Rejected { node, .. } => (LineKind::RenewalRefused, Some(*node)),
            RenewalFailure::Outage { silent } => (LineKind::Suspect, first(silent)),
        }),
        EventKind::Lost { .. } => Some((LineKind::Lost, None)),
        EventKind::Released {
            outcome: Release::Released,
        } => None,
        EventKind::Released { .. } => Some((LineKind::NotReleased, None)),
        EventKind::Acquired { .. }
        | EventKind::Queued { .. }
        | EventKind::Renewed { .. }
        | EventKind::Failed { .. } => None,
    }
}

/// Writes what happened to a lease.
fn event<'a>(
    key: &Key,
    kind: &EventKind,
    told: bool,
    held: Option<Duration>,
    name: impl Fn(NodeId) -> &'a str,
) {
    match kind {
        EventKind::Acquired { fence, .. } => {
            debug!(target: LOG_TARGET, ?key, fence = fence.get(), "acquired");
        }
        EventKind::Queued {
            left: None, node, ..
        } if !told => waiting(key, &AcquireFailure::Foreign { node: *node }, told, name),
        EventKind::Queued {
            ahead,
            left,
            holder,
            ..
        } => {
            let holder = holder.as_ref().map(Label::as_str);
            debug!(target: LOG_TARGET, ?key, ahead, holder, ?left, "queued");
        }
        EventKind::Waiting { cause, .. } => waiting(key, cause, told, name),
        EventKind::Failed { cause, gave_up } => {
            let outcome = "failed";
            debug!(target: LOG_TARGET, ?key, ?cause, gave_up, outcome, "not acquired");
        }
        EventKind::Renewed { .. } => {
            debug!(target: LOG_TARGET, ?key, outcome = "renewed", "renewal");
        }
        EventKind::Shortened { .. } => {
            warn!(
                target: LOG_TARGET,
                ?key,
                "a node lost its copy: validity ends earlier than was told"
            );
        }
        EventKind::Suspect {
            cause: RenewalFailure::Rejected { node, words },
            ..
        } => {
            warn!(
                target: LOG_TARGET,
                ?key,
                outcome = "rejected",
                node = name(*node),
                %words,
                "suspect: the server refuses the renewal"
            );
        }
        EventKind::Suspect {
            cause: RenewalFailure::Outage { silent },
            ..
        } => {
            warn!(
                target: LOG_TARGET,
                ?key,
                outcome = "unconfirmed",
                silent = list(silent, name),
                "suspect: the renewal was not confirmed, retrying"
            );
        }
        EventKind::Lost { loss } => lost(key, loss, held),
        EventKind::Released {
            outcome: Release::Released,
        } => debug!(target: LOG_TARGET, ?key, "released"),
        EventKind::Released { outcome } => not_released(key, outcome, name),
    }
}

fn lost(key: &Key, loss: &Loss, held: Option<Duration>) {
    let held = held.map(debug);
    warn!(target: LOG_TARGET, ?key, ?loss, held, "lost");
}

fn waiting<'a>(key: &Key, cause: &AcquireFailure, told: bool, name: impl Fn(NodeId) -> &'a str) {
    match cause {
        AcquireFailure::Quarantined { node, left } => warn!(
            target: LOG_TARGET,
            ?key,
            node = name(*node),
            ?left,
            "waiting: the node may have forgotten a lease and is not counted yet; for development, \
             `Builder::quarantine(Quarantine::Off)`"
        ),
        AcquireFailure::Outage { silent } => {
            let silent = list(silent, name);
            warn!(target: LOG_TARGET, ?key, silent, "waiting: not enough nodes answer");
        }
        AcquireFailure::Unacknowledged {
            node,
            replicas,
            demanded,
        } => warn!(
            target: LOG_TARGET,
            ?key,
            node = name(*node),
            replicas,
            demanded,
            "waiting: too few replicas of the node have acknowledged the grant"
        ),
        AcquireFailure::Foreign { node } if !told => warn!(
            target: LOG_TARGET,
            ?key,
            node = name(*node),
            "waiting: the key has no expiry. If it is the lock of another library, its holder will \
             delete it; if nobody holds it, delete it"
        ),
        AcquireFailure::Contended { .. }
        | AcquireFailure::QueueFull { .. }
        | AcquireFailure::Foreign { .. }
        | AcquireFailure::Rejected { .. }
        | AcquireFailure::WrongType { .. }
        | AcquireFailure::Misuse { .. } => {
            debug!(target: LOG_TARGET, ?key, ?cause, "waiting");
        }
    }
}

fn not_released<'a>(key: &Key, outcome: &Release, name: impl Fn(NodeId) -> &'a str) {
    match outcome {
        Release::Unknown { silent } => {
            let silent = list(silent, name);
            warn!(target: LOG_TARGET, ?key, silent, "not released: not enough nodes answer");
        }
        Release::Rejected { node, words } => {
            let node = name(*node);
            warn!(target: LOG_TARGET, ?key, node, %words, "not released: the server refuses");
        }
        Release::Lost(loss) => warn!(target: LOG_TARGET, ?key, ?loss, "not released: lost before"),
        Release::Released => {}
    }
}

/// The names of the nodes that were silent, each with what was said of it.
fn list<'a>(silent: &[Silence], name: impl Fn(NodeId) -> &'a str) -> String {
    let one = |silence: &Silence| {
        let words = silence.words.as_ref().map_or(NOT_IN_TIME, Words::as_str);
        format!("{}: {}", name(silence.node), words.trim_end_matches('.'))
    };
    silent.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Writes a change of a link's state.
fn link(node: &str, status: &LinkStatus) {
    match status {
        LinkStatus::Connecting => debug!(target: LOG_TARGET, node, "connecting"),
        LinkStatus::Up(Identity {
            deaf: Some(words), ..
        }) => warn!(
            target: LOG_TARGET,
            node,
            %words,
            "connected, but the server pushes nothing to this client, so those who wait ask now \
             and then: allow the user the channels `PREFIXtenure:client:*`"
        ),
        LinkStatus::Up(_) => info!(target: LOG_TARGET, node, "connected"),
        LinkStatus::Down { why } => warn!(target: LOG_TARGET, node, %why, "not connected"),
        LinkStatus::Rejected { words } => {
            warn!(target: LOG_TARGET, node, %words, "the server refuses to serve")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::client::hub::Turn;
    use crate::client::testing::{Says, acquire, hub, log_to, node};
    use crate::link::interface::Work;

    fn down() -> LinkStatus {
        LinkStatus::Down {
            why: tenure_core::Words::fixed("it is tried"),
        }
    }

    /// How many lines were left out, as these lines say.
    fn left_out(lines: &[String]) -> usize {
        let count = |line: &String| {
            let (_, count) = line.split_once("left_out=")?;
            count.split(' ').next()?.parse::<usize>().ok()
        };
        lines.iter().filter_map(count).sum()
    }

    #[test]
    fn a_server_that_refuses_to_push_is_told_with_its_words_and_what_to_allow() {
        let (hub, _) = hub();
        let (says, lines) = Says::lines();
        let deaf = Some(tenure_core::Words::fixed("NOPERM no such channel"));
        log_to(says, || {
            let identity = Identity {
                deaf,
                ..Identity::default()
            };
            hub.status(node(), LinkStatus::Up(identity));
        });
        let [line] = &lines.take()[..] else {
            panic!("one line");
        };
        for word in ["WARN", "NOPERM no such channel", "tenure:client:*"] {
            assert!(line.contains(word), "{line}");
        }
    }

    #[test]
    fn two_thousand_waiters_in_an_outage_are_three_lines_and_a_count() {
        const MANY: usize = 2_000;
        let (hub, clock) = hub();
        let (says, lines) = Says::lines();
        log_to(says, || {
            hub.status(node(), down());
            assert_eq!(lines.take().len(), 1, "a change of a link is told at once");
            for _ in 0..MANY {
                acquire(&hub);
            }
            let first = lines.take();
            assert_eq!(first.len(), 3, "{first:?}");
            assert!(first[0].contains("not enough nodes answer"), "{first:?}");

            // The driver tells the count when the second is over, and not before.
            let second = Instant::ORIGIN + Duration::from_secs(1);
            clock.set(Instant::from_nanos(second.as_nanos() - 1));
            hub.drive();
            let before = lines.take();
            assert_eq!(left_out(&before), 0);
            clock.set(second);
            let mut after = Vec::new();
            while hub.drive() == Turn::Again {
                after.extend(lines.take());
            }
            after.extend(lines.take());
            let told = after
                .iter()
                .position(|line| left_out(std::slice::from_ref(line)) > 0);
            assert_eq!(told, Some(0), "the count is the first of them: {after:?}");
            assert!(after[0].contains("WARN") && after[0].contains("node=\"a\""));
            assert!(left_out(&after) >= MANY - 3, "{after:?}");
            assert!(after.len() <= 5, "{after:?}");
        });
    }

    #[test]
    fn the_loss_of_each_of_a_hundred_leases_is_logged_by_its_key() {
        let (hub, _) = hub();
        let (says, lines) = Says::lines();
        log_to(says, || {
            for number in 0..100 {
                hub.log_expired(&Key::new(format!("k{number}").into_bytes()), None);
            }
        });
        let lines = lines.take();
        for number in 0..100 {
            let key = format!("key=\"k{number}\" ");
            assert!(lines.iter().any(|line| line.contains(&key)), "{key}");
        }
    }

    #[test]
    fn a_count_that_is_owed_at_the_end_is_told() {
        let (hub, _) = hub();
        let (says, lines) = Says::lines();
        log_to(says, || {
            for _ in 0..250 {
                hub.log_expired(&Key::new(*b"k"), None);
            }
            assert_eq!(lines.take().len(), 100);
            drop(hub);
        });
        assert_eq!(left_out(&lines.take()), 150);
    }
}
