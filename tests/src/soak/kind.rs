//! Of which kind the servers of a soak are: what may strike them, and what is promised there.

use std::fmt;
use std::time::Duration;

use super::TTL;

/// The key of the fences, if one node draws them.
const STREAM: &str = "tenure:fence";
/// The key by which one of several nodes is known not to have forgotten.
const MARKER: &str = "tenure:node";
/// What follows the lock key in the name of its fence counter, if there are several nodes. Behind
/// it may stand what brings both into one slot of a cluster.
const COUNTER: &str = ":tenure:fence";

/// The servers that have the locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One server is the only node.
    One,
    /// So many servers, each of which is a node.
    Several(usize),
    /// A primary and its replica are the only node, as Sentinels say.
    Group,
}

/// A server that a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Only,
    Node(usize),
    /// Whichever is the primary then.
    Primary,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only => f.write_str("the server"),
            Self::Node(index) => write!(f, "server {index}"),
            Self::Primary => f.write_str("the primary"),
        }
    }
}

impl Kind {
    /// One of its servers, drawn among so many numbers from zero.
    pub(super) fn host(self, draw: impl FnOnce(usize) -> usize) -> Host {
        match self {
            Self::One => Host::Only,
            Self::Several(count) => Host::Node(draw(count)),
            Self::Group => Host::Primary,
        }
    }

    /// How long the first lock may have to wait.
    pub(super) fn warms_up(self) -> Duration {
        match self {
            Self::One | Self::Group => Duration::ZERO,
            // Nodes that are new are in quarantine.
            Self::Several(_) => TTL,
        }
    }

    /// Whether a node that may have forgotten a lock is in quarantine until it is over. Else two
    /// may hold it then.
    // Law: Exclusion
    pub(super) fn quarantines(self) -> bool {
        match self {
            Self::One | Self::Group => false,
            Self::Several(_) => true,
        }
    }

    /// Whether a replica is there to acknowledge what is granted.
    pub(super) fn has_replicas(self) -> bool {
        match self {
            Self::One | Self::Several(_) => false,
            Self::Group => true,
        }
    }

    /// Whether who waits is served in turn. Over several nodes there is no order: somebody is
    /// served, and whoever is patient may starve.
    // Law: Fairness
    pub(super) fn serves_in_turn(self) -> bool {
        match self {
            Self::One | Self::Group => true,
            Self::Several(_) => false,
        }
    }

    /// Whether this key may stay when all locks are free.
    // Law: No orphan
    pub(super) fn keeps(self, key: &str) -> bool {
        match self {
            Self::One | Self::Group => key == STREAM,
            Self::Several(_) => key == MARKER || is_counter(key),
        }
    }

    /// Which keys may stay, in words.
    pub(super) fn kept(self) -> &'static str {
        match self {
            Self::One | Self::Group => "the fence stream",
            Self::Several(_) => "markers and counters",
        }
    }
}

/// Whether a lock draws its fences from this key.
fn is_counter(key: &str) -> bool {
    let Some((lock, rest)) = key.split_once(COUNTER) else {
        return false;
    };
    let number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    rest.is_empty() || rest == format!(":{{{lock}}}") || rest.strip_prefix(':').is_some_and(number)
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn what_may_stay_is_what_the_next_grants_need() {
        for kind in [Kind::One, Kind::Group] {
            assert!(kind.keeps("tenure:fence"));
            for key in ["k1", "k1:tenure:fence", "k1:tenure:queue", "tenure:node"] {
                assert!(!kind.keeps(key), "{key}");
            }
        }
        let kind = Kind::Several(3);
        for end in ["", ":{k1}", ":0", ":12"] {
            assert!(kind.keeps(&format!("k1:tenure:fence{end}")), "{end}");
        }
        assert!(kind.keeps("tenure:node"));
        for end in [":{k2}", ":", ":x", "0"] {
            assert!(!kind.keeps(&format!("k1:tenure:fence{end}")), "{end}");
        }
        for key in ["k1", "k1:tenure:queue", "tenure:fence"] {
            assert!(!kind.keeps(key), "{key}");
        }
    }
}
