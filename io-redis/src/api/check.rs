//! Whether the nodes are set up for locks: what a check found, what each finding risks, and what to
//! do about it.

use std::fmt;
use std::time::Duration;

use tenure_core::{Instant, Words};

use crate::api::assess::{Answered, Client};
use crate::api::locks::Locks;
use crate::error::{Ended, SilentNode};
use crate::link::handle::NoAnswer;

/// What [`Locks::check`](crate::Locks::check) found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Check {
    /// The nodes, in the order of the builder.
    pub nodes: Vec<CheckedNode>,
    /// What was found, the gravest first.
    pub findings: Vec<Finding>,
}

/// A node as a check saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckedNode {
    /// The node: its address without secrets.
    pub node: String,
    /// The version of its server, such as `7.0.15`. None if it did not say.
    pub version: Option<String>,
    /// Whether it answered.
    pub answered: bool,
    /// Whether it pushes to this client: then nobody who waits there has to poll.
    pub pushes: bool,
}

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Gravity {
    /// Locks are safe; something costs more than it must, or is not known.
    Note,
    /// A fault that happens now and then costs more than it must: locks that cannot be taken for
    /// some time, or two holders for up to one TTL after a node lost data.
    Warning,
    /// Although no server has lost data: two may hold a lock, fences may not grow, or a node grants
    /// nothing.
    Danger,
}

/// One thing that a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The node that it is about: its address without secrets.
    pub node: String,
    /// What was found.
    pub concern: Concern,
}

/// What a check can find.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Concern {
    /// The node did not answer.
    Silent {
        /// Why, as far as that is known.
        why: String,
    },
    /// The node does not say how it is set up, so not all of this list could be looked for.
    Untold {
        /// What it was asked: `INFO`, for example.
        asked: &'static str,
        /// Its words.
        words: String,
    },
    /// The user has not a right that locks work without.
    NoRight {
        /// The right, as an ACL names it.
        right: &'static str,
        /// What happens without it.
        without: &'static str,
        /// The node's words.
        words: String,
    },
    /// The user has not the right to `WAIT`, by which replicas acknowledge grants, as
    /// [`Builder::acknowledged_by`](crate::Builder::acknowledged_by) demands.
    CannotWait {
        /// The node's words.
        words: String,
    },
    /// The node has fewer replicas than must acknowledge a grant.
    FewReplicas {
        /// How many are connected.
        replicas: u64,
        /// How many must acknowledge.
        demanded: u32,
    },
    /// The node does not push to this client.
    NoPushes,
    /// The node may forget locks when it restarts, and quarantine is off.
    Forgets,
    /// The node may forget locks when it restarts: quarantine then lets it grant nothing for one
    /// max TTL.
    RestsAfterRestart,
    /// When its memory is full, the node evicts keys that have an expiry, which all locks have.
    Evicts {
        /// Its `maxmemory-policy`.
        policy: String,
    },
    /// The node has replicas, and answers before they have a write: after a failover, locks may be
    /// missing.
    AheadOfReplicas {
        /// How many replicas are connected.
        replicas: u64,
        /// How many must be for it to serve: its `min-replicas-to-write`. It does not wait for
        /// these either.
        least: u64,
    },
    /// The clock of the node is so far from that of another.
    ClocksApart {
        /// By so much at least.
        by: Duration,
        /// The other node.
        other: String,
        /// So far apart they may be: a part of max TTL.
        bound: Duration,
    },
    /// The node closes connections that are pushed to when so little waits to be read.
    SmallOutputBuffer {
        /// The hard limit of the class `pubsub`, in bytes.
        limit: u64,
    },
    /// The node watches so few keys for all of its clients.
    SmallTrackingTable {
        /// Its `tracking-table-max-keys`.
        keys: u64,
    },
}

/// How settings are asked.
pub(crate) const CONFIG: &str = "CONFIG GET";

impl Concern {
    /// How grave it is.
    #[must_use]
    pub const fn gravity(&self) -> Gravity {
        match self {
            Self::Silent { .. } | Self::Evicts { .. } | Self::ClocksApart { .. } => Gravity::Danger,
            Self::CannotWait { .. } | Self::FewReplicas { .. } => Gravity::Danger,
            Self::Forgets | Self::AheadOfReplicas { least: 0, .. } => Gravity::Warning,
            Self::NoPushes
            | Self::Untold { .. }
            | Self::NoRight { .. }
            | Self::RestsAfterRestart
            | Self::AheadOfReplicas { .. }
            | Self::SmallOutputBuffer { .. }
            | Self::SmallTrackingTable { .. } => Gravity::Note,
        }
    }

    /// What it risks, as a sentence.
    #[must_use]
    pub fn risk(&self) -> String {
        match self {
            Self::Silent { .. } => "a node that does not answer grants nothing".to_owned(),
            Self::Untold { .. } => "what it does not tell was not checked".to_owned(),
            Self::NoRight { without, .. } => (*without).to_owned(),
            Self::CannotWait { .. } | Self::FewReplicas { .. } => {
                "no lock is granted, since too few replicas can acknowledge it".to_owned()
            }
            Self::NoPushes => "who waits for a lock asks for it several times a second".to_owned(),
            Self::Forgets => "after a restart, a lock that is held may be granted to another, for \
                              up to one TTL"
                .to_owned(),
            Self::RestsAfterRestart => {
                "after a restart it grants nothing for one max TTL".to_owned()
            }
            Self::Evicts { .. } => "a lock that is evicted is granted to another while its holder \
                                    works"
                .to_owned(),
            Self::AheadOfReplicas { .. } => "after a failover, a lock that is held may be granted \
                                             to another, for up to one TTL"
                .to_owned(),
            Self::ClocksApart { bound, .. } => format!(
                "fences may not grow: over several nodes clocks must agree within {bound:?}"
            ),
            Self::SmallOutputBuffer { .. } => "a connection that many waiters share may be closed \
                                               when many are told at once"
                .to_owned(),
            Self::SmallTrackingTable { .. } => "the node forgets what it watches, so that a loss \
                                                may be told at the next renewal only"
                .to_owned(),
        }
    }

    /// What to do about it, as a sentence.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Silent { .. } => "see why it does not answer".to_owned(),
            Self::Untold { asked, .. } if *asked == CONFIG => "look yourself; who may call \
                                                               CONFIG GET can read the server's \
                                                               passwords"
                .to_owned(),
            Self::Untold { asked, .. } => format!("let the user call {asked}, or look yourself"),
            Self::NoRight { right, .. } => format!("give the user +{right}"),
            Self::CannotWait { .. } => "give the user +wait".to_owned(),
            Self::FewReplicas { .. } => {
                "connect more replicas, or demand fewer with Builder::acknowledged_by".to_owned()
            }
            Self::NoPushes => "use RESP3, connect by address, and give the user +subscribe and \
                               its channels (a cluster never does); then connect again: a client \
                               does not ask twice on one connection"
                .to_owned(),
            Self::Forgets => {
                "turn quarantine on, or set appendonly yes and appendfsync always".to_owned()
            }
            Self::RestsAfterRestart => "set appendonly yes and appendfsync always, if restarts \
                                        must not cost that"
                .to_owned(),
            Self::Evicts { .. } => "set maxmemory-policy noeviction, or give locks a server of \
                                    their own"
                .to_owned(),
            Self::AheadOfReplicas { least: 0, .. } => "set min-replicas-to-write or \
                                                       Builder::acknowledged_by, which narrow the \
                                                       gap, or use several nodes, which close it"
                .to_owned(),
            Self::AheadOfReplicas { .. } => "use several nodes, if that must not happen".to_owned(),
            Self::ClocksApart { other, .. } => {
                format!("let NTP set the clocks of this node and of {other}")
            }
            Self::SmallOutputBuffer { .. } => {
                "raise client-output-buffer-limit pubsub to 32mb 8mb 60".to_owned()
            }
            Self::SmallTrackingTable { .. } => {
                "raise tracking-table-max-keys to more than all clients watch".to_owned()
            }
        }
    }
}

impl fmt::Display for Concern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent { why } => write!(f, "no answer: {why}"),
            Self::Untold { asked, words } => write!(f, "{asked} is not told: {words}"),
            Self::NoRight { right, words, .. } => write!(f, "no right to {right}: {words}"),
            Self::CannotWait { words } => {
                write!(
                    f,
                    "no right to wait, by which replicas acknowledge: {words}"
                )
            }
            Self::FewReplicas { replicas, demanded } => {
                write!(
                    f,
                    "it has {replicas} replicas, and {demanded} must acknowledge"
                )
            }
            Self::NoPushes => f.write_str("it does not push to this client"),
            Self::Forgets => f.write_str("it may forget locks when it restarts"),
            Self::RestsAfterRestart => {
                f.write_str("it may forget locks when it restarts, which quarantine covers")
            }
            Self::Evicts { policy } => write!(f, "it evicts keys: maxmemory-policy {policy}"),
            Self::AheadOfReplicas { replicas, .. } => {
                write!(f, "it does not wait for its {replicas} replicas")
            }
            Self::ClocksApart { by, other, .. } => {
                write!(f, "its clock is {by:?} from that of {other}")
            }
            Self::SmallOutputBuffer { limit } => {
                write!(f, "pushes may fill {limit} bytes at most")
            }
            Self::SmallTrackingTable { keys } => write!(f, "it watches {keys} keys at most"),
        }
    }
}

impl fmt::Display for Gravity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Danger => "danger",
        })
    }
}

impl Finding {
    /// How grave it is.
    #[must_use]
    pub const fn gravity(&self) -> Gravity {
        self.concern.gravity()
    }
}

/// In one line: how grave it is, where, what, what it risks, and what to do about it.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (concern, gravity) = (&self.concern, self.gravity());
        let (risk, remedy) = (concern.risk(), concern.remedy());
        write!(
            f,
            "{gravity}: {}: {concern}. Risk: {risk}. Remedy: {remedy}",
            self.node
        )
    }
}

/// A line for each finding.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.findings.is_empty() {
            return f.write_str("nothing was found");
        }
        for (index, finding) in self.findings.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{finding}")?;
        }
        Ok(())
    }
}

impl Check {
    /// How grave the gravest finding is; none if nothing was found.
    #[must_use]
    pub fn worst(&self) -> Option<Gravity> {
        self.findings.iter().map(Finding::gravity).max()
    }
}

impl Locks {
    /// Looks whether each node is set up for locks: before a program goes into production, or when
    /// it starts. Each [`Finding`] says what it risks, how grave that is, and what to do about it.
    ///
    /// Looked for is all that [`Concern`] lists. It changes nothing, and takes no lock. Of rights,
    /// those are looked for that locks work without; connecting fails without the others. Where a
    /// right is missing, the attempt stands in the server's `ACL LOG`. The settings are read by
    /// `INFO` and `CONFIG GET`; what the user may not read is told as [`Concern::Untold`].
    ///
    /// It ends within the time of an [`inspect`](Self::inspect). A client that was closed, or whose
    /// runtime has ended, tells all nodes as [silent](Concern::Silent).
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing.
    ///
    /// ```no_run
    /// # async fn example(locks: tenure_redis::Locks) {
    /// let check = locks.check().await;
    /// for finding in &check.findings {
    ///     eprintln!("{finding}");
    /// }
    /// assert!(check.worst() < Some(tenure_redis::Gravity::Danger), "{check}");
    /// # }
    /// ```
    pub async fn check(&self) -> Check {
        let client = self.client();
        let hub = client.hub();
        let told = client.check().await;
        let told = match told {
            Ok(Some(told)) => told
                .into_iter()
                .map(|(node, told)| {
                    let (health, asked) = match told {
                        Ok((health, asked)) => (Ok(health), asked),
                        Err(why) => (Err(why), [Instant::ORIGIN; 2]),
                    };
                    Answered {
                        node: hub.name(node).to_owned(),
                        pushes: hub.pushes(node),
                        asked,
                        health,
                    }
                })
                .collect(),
            Ok(None) => silent(hub.names(), &SilentNode::stalled_itself().why),
            Err(Ended::Closed) => silent(hub.names(), "the client is closed"),
            Err(Ended::RuntimeEnded(why)) => silent(hub.names(), &why.to_string()),
        };
        let of = Client {
            quarantine: client.is_quarantined(),
            acknowledged_by: hub.config().acknowledged_by(),
            max_ttl: hub.config().max_ttl(),
        };
        Check::of(of, &told)
    }
}

/// Nodes of which none could be asked.
fn silent(nodes: &[String], why: &str) -> Vec<Answered> {
    let why = NoAnswer::now(Words::new(why));
    let node = |node: &String| Answered {
        node: node.clone(),
        pushes: false,
        asked: [Instant::ORIGIN; 2],
        health: Err(why.clone()),
    };
    nodes.iter().map(node).collect()
}
