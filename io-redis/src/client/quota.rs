//! How many lines of one kind are logged. What thousands of leases meet at once is said a few times
//! a second, with a count of what was left out.

use std::collections::BTreeMap;
use std::time::Duration;

use tenure_core::{Instant, NodeId};

/// Each kind has its lines anew after this time.
const WINDOW: Duration = Duration::from_secs(1);

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LineKind {
    Connected,
    Deaf,
    NotConnected,
    Refused,
    WaitingInQuarantine,
    WaitingInOutage,
    WaitingForReplicas,
    WaitingForForeign,
    WaitingForItself,
    Shortened,
    Suspect,
    RenewalRefused,
    NotReleased,
    Lost,
}

impl LineKind {
    /// How many lines of it that name the same node are written in a window. A loss is told to its
    /// guard in any case, and may be looked for in the log by its key.
    const fn most(self) -> u64 {
        match self {
            Self::Lost => 100,
            _ => 3,
        }
    }

    /// Its words.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Deaf => "connected, but the server pushes nothing",
            Self::NotConnected => "not connected",
            Self::Refused => "the server refuses to serve",
            Self::WaitingInQuarantine => "waiting: the node is not counted yet",
            Self::WaitingInOutage => "waiting: not enough nodes answer",
            Self::WaitingForReplicas => "waiting: too few replicas have acknowledged the grant",
            Self::WaitingForForeign => "waiting: the key has no expiry",
            Self::WaitingForItself => "waiting for a key that the same task holds",
            Self::Shortened => "a node lost its copy",
            Self::Suspect => "suspect: the renewal was not confirmed",
            Self::RenewalRefused => "suspect: the server refuses the renewal",
            Self::NotReleased => "not released",
            Self::Lost => "lost",
        }
    }
}

/// A kind, and the node that its lines name. If they name several, the first.
pub(crate) type Line = (LineKind, Option<NodeId>);

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Written,
    /// It is counted.
    LeftOut {
        /// The first of its window, so the count must be told when the window ends.
        first: bool,
    },
}

/// How many lines were written lately, and how many left out. Its size is bounded by the number of
/// kinds and nodes.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    windows: BTreeMap<Line, Window>,
}

#[derive(Debug)]
struct Window {
    begun: Instant,
    written: u64,
    left_out: u64,
}

impl Quota {
    /// Whether this line is written now. What an earlier window left out must be
    /// [taken](Self::take_over) first.
    pub(crate) fn admit(&mut self, now: Instant, line: Line) -> Verdict {
        let window = self.windows.entry(line).or_insert(Window {
            begun: now,
            written: 0,
            left_out: 0,
        });
        if now >= window.begun + WINDOW && window.left_out == 0 {
            window.begun = now;
            window.written = 0;
        }
        if window.written < line.0.most() {
            window.written += 1;
            return Verdict::Written;
        }
        window.left_out += 1;
        Verdict::LeftOut {
            first: window.left_out == 1,
        }
    }

    /// When a count is to be told. None if nothing was left out.
    pub(crate) fn due(&self) -> Option<Instant> {
        let counted = self.windows.values().filter(|window| window.left_out > 0);
        counted.map(|window| window.begun + WINDOW).min()
    }

    /// What was left out in windows that are over; in all of them, if it is the end.
    pub(crate) fn take_over(&mut self, now: Instant, end: bool) -> Vec<(Line, u64)> {
        let mut counts = Vec::new();
        for (line, window) in &mut self.windows {
            if window.left_out > 0 && (end || now >= window.begun + WINDOW) {
                counts.push((*line, window.left_out));
                *window = Window {
                    begun: now,
                    written: 0,
                    left_out: 0,
                };
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTAGE: LineKind = LineKind::WaitingInOutage;

    fn at(millis: u64) -> Instant {
        Instant::ORIGIN + Duration::from_millis(millis)
    }

    fn line(kind: LineKind, node: usize) -> Line {
        (kind, Some(NodeId::new(node)))
    }

    /// How many of so many lines are written.
    fn written(quota: &mut Quota, now: Instant, line: Line, lines: usize) -> usize {
        (0..lines)
            .filter(|_| quota.admit(now, line) == Verdict::Written)
            .count()
    }

    #[test]
    fn the_first_lines_are_written_at_once_and_the_others_counted() {
        let mut quota = Quota::default();
        assert_eq!(written(&mut quota, at(0), line(OUTAGE, 0), 2_000), 3);
        assert_eq!(quota.due(), Some(at(1_000)));
        assert_eq!(written(&mut quota, at(999), line(OUTAGE, 0), 500), 0);
        assert_eq!(quota.take_over(at(999), false), []);
        let counts = quota.take_over(at(1_000), false);
        assert_eq!(counts, [(line(OUTAGE, 0), 2_497)]);
        assert_eq!(quota.due(), None);
        assert_eq!(written(&mut quota, at(1_000), line(OUTAGE, 0), 9), 3);
        assert_eq!(quota.due(), Some(at(2_000)));
    }

    #[test]
    fn another_kind_or_node_has_lines_of_its_own() {
        let mut quota = Quota::default();
        assert_eq!(written(&mut quota, at(0), line(OUTAGE, 0), 9), 3);
        assert_eq!(written(&mut quota, at(0), line(OUTAGE, 1), 9), 3);
        assert_eq!(written(&mut quota, at(0), line(LineKind::Suspect, 0), 9), 3);
        assert_eq!(quota.windows.len(), 3);
    }

    #[test]
    fn the_losses_of_a_hundred_leases_are_all_written() {
        let mut quota = Quota::default();
        let lost = (LineKind::Lost, None);
        assert_eq!(written(&mut quota, at(0), lost, 100), 100);
        assert_eq!(quota.due(), None);
        assert_eq!(written(&mut quota, at(500), lost, 100_000), 0);
        assert_eq!(quota.take_over(at(1_500), false), [(lost, 100_000)]);
    }

    #[test]
    fn a_quiet_second_gives_the_lines_back() {
        let mut quota = Quota::default();
        assert_eq!(written(&mut quota, at(0), line(OUTAGE, 0), 3), 3);
        assert_eq!(written(&mut quota, at(1_000), line(OUTAGE, 0), 3), 3);
        assert_eq!(quota.due(), None);
    }

    #[test]
    fn at_the_end_every_count_is_told() {
        let mut quota = Quota::default();
        written(&mut quota, at(0), line(OUTAGE, 0), 10);
        assert_eq!(quota.take_over(at(1), true), [(line(OUTAGE, 0), 7)]);
    }
}
