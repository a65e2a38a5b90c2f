//! Whether the nodes are set up for locks: what a check found, what each finding risks, and what to
//! do about it.

use std::fmt;
use std::time::Duration;

use tenure_core::{Instant, Words};

use crate::api::locks::Locks;
use crate::error::{Ended, SilentNode};
use crate::link::handle::NoAnswer;
use crate::protocol::health::{Health, Setting, is_alone, keeps_writes};

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
const CONFIG: &str = "CONFIG GET";

/// Below this, ten thousand waiters that are told at once may be too many for a connection.
const SMALL_OUTPUT_BUFFER: u64 = 1 << 20;

/// Below this, a client with a few thousand guards that are awaited fills the table alone.
const SMALL_TRACKING_TABLE: u64 = 10_000;

impl Concern {
    /// How grave it is.
    #[must_use]
    pub const fn gravity(&self) -> Gravity {
        match self {
            Self::Silent { .. } | Self::Evicts { .. } | Self::ClocksApart { .. } => Gravity::Danger,
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
            Self::NoPushes => "use RESP3, connect by address, and give the user +subscribe and \
                               its channels"
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
            Self::AheadOfReplicas { least: 0, .. } => "set min-replicas-to-write, which narrows \
                                                       the gap, or use several nodes, which close \
                                                       it"
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

/// What a node answered to a check.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) node: String,
    pub(crate) pushes: bool,
    /// When it was asked and when it had answered, by this client's clock.
    pub(crate) asked: [Instant; 2],
    pub(crate) health: Result<Health, NoAnswer>,
}

/// What a check must know of its client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) quarantine: bool,
    pub(crate) max_ttl: Duration,
}

impl Check {
    pub(crate) fn of(client: Client, answers: &[Answered]) -> Self {
        let mut findings = Vec::new();
        for answer in answers {
            let concerns = match &answer.health {
                Ok(health) => concerns(client, answer.pushes, health),
                Err(error) => vec![Concern::Silent {
                    why: error.why.as_str().to_owned(),
                }],
            };
            findings.extend(concerns.into_iter().map(|concern| Finding {
                node: answer.node.clone(),
                concern,
            }));
        }
        findings.extend(clocks(client, answers));
        // Of one gravity they keep the order of the nodes.
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.gravity()));
        let nodes = answers.iter().map(|answer| {
            let health = answer.health.as_ref().ok();
            let version = health.and_then(version);
            CheckedNode {
                node: answer.node.clone(),
                version: version.map(str::to_owned),
                answered: health.is_some(),
                pushes: health.is_some() && answer.pushes,
            }
        });
        Self {
            nodes: nodes.collect(),
            findings,
        }
    }
}

/// Valkey says with which Redis it is compatible, and its own version beside it.
fn version(health: &Health) -> Option<&str> {
    let own = health.field("valkey_version");
    own.or_else(|| health.field("redis_version"))
}

/// What is to be said of a node alone.
fn concerns(client: Client, pushes: bool, health: &Health) -> Vec<Concern> {
    let mut found = Vec::new();
    let untold = |asked, words: &Words| Concern::Untold {
        asked,
        words: words.as_str().to_owned(),
    };
    match &health.info {
        Ok(_) => found.extend(told(client, health)),
        Err(words) => found.push(untold("INFO", words)),
    }
    if let Err(words) = health.setting(Setting::OutputBuffers) {
        found.push(untold(CONFIG, words));
    }
    if !pushes {
        found.push(Concern::NoPushes);
    }
    let refused = health.refused.iter();
    found.extend(refused.map(|(right, without, words)| Concern::NoRight {
        right,
        without,
        words: words.as_str().to_owned(),
    }));
    let limit = health.setting(Setting::OutputBuffers).ok().flatten();
    if let Some(limit) = limit.and_then(pubsub_limit)
        && limit > 0
        && limit < SMALL_OUTPUT_BUFFER
    {
        found.push(Concern::SmallOutputBuffer { limit });
    }
    let keys = health.setting(Setting::TrackingTable).ok().flatten();
    if let Some(keys) = keys.and_then(|keys| keys.parse().ok())
        && keys > 0
        && keys < SMALL_TRACKING_TABLE
    {
        found.push(Concern::SmallTrackingTable { keys });
    }
    found
}

/// What `INFO` tells.
fn told(client: Client, health: &Health) -> Vec<Concern> {
    let mut found = Vec::new();
    // 0: as much as there is.
    let bounded = health.number("maxmemory").is_some_and(|most| most > 0);
    if let Some(policy) = health.field("maxmemory_policy")
        && policy != "noeviction"
        && bounded
    {
        found.push(Concern::Evicts {
            policy: policy.to_owned(),
        });
    }
    let info = |name: &str| health.field(name);
    // Where a setting is not told, nothing is said of what it may be.
    let fsync = health
        .setting(Setting::AppendFsync)
        .unwrap_or(Some("always"));
    let rests = health.setting(Setting::FsyncRests).unwrap_or(Some("no"));
    let keeps = keeps_writes(info, fsync, rests);
    if client.quarantine && !(keeps && is_alone(info)) {
        found.push(Concern::RestsAfterRestart);
    } else if !keeps {
        found.push(Concern::Forgets);
    }
    let replicas = health.number("connected_slaves").unwrap_or(0);
    if let Ok(least) = health.setting(Setting::MinReplicas)
        && replicas > 0
    {
        let least = least.and_then(|least| least.parse().ok()).unwrap_or(0);
        found.push(Concern::AheadOfReplicas { replicas, least });
    }
    found
}

/// The hard limit of the class `pubsub`, in bytes: `normal 0 0 0 slave … pubsub HARD SOFT SECONDS`.
fn pubsub_limit(limits: &str) -> Option<u64> {
    let mut words = limits.split_whitespace();
    words.find(|word| *word == "pubsub")?;
    words.next()?.parse().ok()
}

/// Over several nodes: whose clock is too far from that of the first which told its time. How long
/// answers took is in favour of the clocks.
fn clocks(client: Client, answers: &[Answered]) -> Option<Finding> {
    // What fences need: `guarantees::fencing`.
    let bound = client.max_ttl / 10 * 9;
    // A server's clock less this client's lies between the two.
    let offsets = answers.iter().filter_map(|answer| {
        let time = answer.health.as_ref().ok()?.time?;
        let time = i128::from(time.as_micros()) * 1_000;
        let of = |at: Instant| time - i128::from(at.as_nanos());
        let [asked, answered] = answer.asked;
        Some((&answer.node, of(answered), of(asked)))
    });
    let offsets: Vec<_> = offsets.collect();
    let ahead = offsets.iter().max_by_key(|(_, least, _)| *least)?;
    let behind = offsets.iter().min_by_key(|(.., most)| *most)?;
    let apart = u64::try_from(ahead.1 - behind.2).ok()?;
    let by = Duration::from_nanos(apart);
    (by > bound).then(|| Finding {
        node: ahead.0.clone(),
        concern: Concern::ClocksApart {
            by,
            other: behind.0.clone(),
            bound,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::health::{commands, health};
    use redis::Value;

    const ONE: Client = Client {
        quarantine: false,
        max_ttl: Duration::from_secs(10),
    };
    const SEVERAL: Client = Client {
        quarantine: true,
        ..ONE
    };
    const GOOD: &str = "redis_version:7.0.15\r\naof_enabled:1\r\naof_last_write_status:ok\r\n\
                        aof_last_bgrewrite_status:ok\r\nmaxmemory:0\r\n\
                        maxmemory_policy:noeviction\r\nrole:master\r\nconnected_slaves:0\r\n\
                        master_replid2:0000\r\n";

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn error(line: &str) -> Value {
        let line = format!("-{line}\r\n");
        redis::parse_redis_value(line.as_bytes()).expect("an error reply is a value")
    }

    fn pair(value: &str) -> Value {
        Value::Array(vec![text("its name"), text(value)])
    }

    /// What a server answers that is set up as it should be, to each command.
    fn good() -> Vec<Value> {
        let settings = [
            "always",
            "no",
            "0",
            "normal 0 0 0 pubsub 33554432 8388608 60",
            "1000000",
        ];
        let mut values = vec![text(GOOD)];
        values.extend(settings.map(pair));
        values.resize(commands(b"unused").len() - 1, Value::Okay);
        values.push(Value::Array(vec![text("1700000000"), text("0")]));
        values
    }

    fn answered(values: Vec<Value>) -> Answered {
        Answered {
            node: "redis://a".to_owned(),
            pushes: true,
            asked: [Instant::ORIGIN; 2],
            health: Ok(health(values.into_iter().map(Ok).collect())),
        }
    }

    fn found(client: Client, values: Vec<Value>) -> Vec<Concern> {
        let check = Check::of(client, &[answered(values)]);
        check
            .findings
            .into_iter()
            .map(|finding| finding.concern)
            .collect()
    }

    /// With another line of `INFO` in the place of the one of this name.
    fn informed(name: &str, line: &str) -> Vec<Value> {
        let lines = GOOD
            .lines()
            .filter(|known| !known.starts_with(&format!("{name}:")));
        let info: String = lines
            .chain([line])
            .map(|line| format!("{line}\r\n"))
            .collect();
        let mut values = good();
        values[0] = text(&info);
        values
    }

    #[test]
    fn nothing_is_found_at_a_server_that_is_set_up_well() {
        for client in [ONE, SEVERAL] {
            assert_eq!(found(client, good()), []);
        }
        let check = Check::of(ONE, &[answered(good())]);
        assert_eq!(check.nodes[0].version.as_deref(), Some("7.0.15"));
        assert!(check.nodes[0].answered && check.nodes[0].pushes);
        assert_eq!(
            (check.worst(), check.to_string()),
            (None, "nothing was found".to_owned())
        );
    }

    #[test]
    fn a_node_that_evicts_is_found_only_if_its_memory_is_bounded() {
        let mut values = informed("maxmemory_policy", "maxmemory_policy:allkeys-lru");
        assert_eq!(found(ONE, values.clone()), []);
        let Value::BulkString(info) = &values[0] else {
            unreachable!("it is a text")
        };
        let info = String::from_utf8_lossy(info).replace("maxmemory:0", "maxmemory:1000");
        values[0] = text(&info);
        let policy = "allkeys-lru".to_owned();
        assert_eq!(found(ONE, values), [Concern::Evicts { policy }]);
    }

    #[test]
    fn what_may_forget_is_grave_without_quarantine() {
        let no_file = informed("aof_enabled", "aof_enabled:0");
        let mut each_second = good();
        each_second[1] = pair("everysec");
        let mut rests = good();
        rests[2] = pair("yes");
        let full = informed("aof_last_write_status", "aof_last_write_status:err");
        for values in [no_file, each_second, rests, full] {
            assert_eq!(found(ONE, values.clone()), [Concern::Forgets]);
            assert_eq!(found(SEVERAL, values), [Concern::RestsAfterRestart]);
        }
        assert!(Concern::Forgets.gravity() > Concern::RestsAfterRestart.gravity());
    }

    #[test]
    fn replicas_that_are_not_waited_for_are_found() {
        let mut values = informed("connected_slaves", "connected_slaves:2");
        let found_with = |least, values: &Vec<Value>| {
            let expected = Concern::AheadOfReplicas { replicas: 2, least };
            assert_eq!(found(ONE, values.clone()), std::slice::from_ref(&expected));
            // With quarantine, such a node rests after a restart.
            let several = [Concern::RestsAfterRestart, expected.clone()];
            assert!(
                found(SEVERAL, values.clone())
                    .iter()
                    .all(|one| several.contains(one))
            );
            expected.gravity()
        };
        assert_eq!(found_with(0, &values), Gravity::Warning);
        values[3] = pair("1");
        assert_eq!(found_with(1, &values), Gravity::Note);
    }

    #[test]
    fn small_buffers_and_tables_are_found() {
        let mut values = good();
        values[4] = pair("normal 0 0 0 slave 1 1 1 pubsub 1000 500 60");
        values[5] = pair("100");
        let small = [
            Concern::SmallOutputBuffer { limit: 1_000 },
            Concern::SmallTrackingTable { keys: 100 },
        ];
        assert_eq!(found(ONE, values.clone()), small);
        // 0: without a limit.
        values[4] = pair("pubsub 0 0 0");
        values[5] = pair("0");
        assert_eq!(found(ONE, values), []);
    }

    #[test]
    fn what_a_node_does_not_tell_is_said_in_its_words() {
        let refused = "NOPERM this user has no permissions to run the 'info' command";
        let mut values = good();
        values[0] = error(refused);
        values[1..6].fill(error(refused));
        let words = || refused.to_owned();
        let untold = ["INFO", "CONFIG GET"].map(|asked| Concern::Untold {
            asked,
            words: words(),
        });
        assert_eq!(found(ONE, values), untold);
    }

    /// Before Redis 7, `CLIENT KILL ID 0` ends all other connections.
    #[test]
    fn no_command_of_a_check_names_a_client_to_kill() {
        for command in commands(b"unused") {
            let words: Vec<_> = command
                .args_iter()
                .filter_map(|word| match word {
                    redis::Arg::Simple(word) => Some(word.to_vec()),
                    _ => None,
                })
                .collect();
            if words.iter().any(|word| word == b"KILL") {
                assert_eq!(words[2..], [b"ID".to_vec(), b"NONE".to_vec()]);
            }
        }
    }

    #[test]
    fn what_several_servers_answer_together_is_not_taken_for_an_answer() {
        let mut values = good();
        values[0] = Value::Map(vec![(text("127.0.0.1:1"), text(GOOD))]);
        let found = found(ONE, values);
        assert!(
            matches!(&found[..], [Concern::Untold { asked: "INFO", .. }]),
            "{found:?}"
        );
    }

    #[test]
    fn a_missing_right_is_told_and_a_wrong_argument_is_not() {
        let mut values = good();
        // `CLIENT KILL`: first of the rights.
        values[7] = error("NOPERM this user has no permissions to run the 'client|kill' command");
        values[10] = error("ERR syntax error");
        let found = found(ONE, values);
        let [Concern::NoRight { right, .. }] = &found[..] else {
            panic!("one right is missing: {found:?}");
        };
        assert_eq!(*right, "client|kill");
    }

    #[test]
    fn clocks_are_compared_with_what_the_answers_took_in_their_favour() {
        let at = |seconds: u64, took: u64| {
            let mut values = good();
            *values.last_mut().expect("it has the time") =
                Value::Array(vec![text(&seconds.to_string()), text("0")]);
            let mut answered = answered(values);
            answered.asked[1] = Instant::ORIGIN + Duration::from_secs(took);
            answered
        };
        let apart = |one, two| {
            let findings = Check::of(SEVERAL, &[one, two]).findings;
            findings
                .into_iter()
                .map(|finding| finding.concern)
                .collect::<Vec<_>>()
        };
        assert_eq!(apart(at(100, 0), at(109, 0)), []);
        assert_eq!(apart(at(100, 0), at(111, 2)), []);
        let found = apart(at(111, 1), at(100, 0));
        let [Concern::ClocksApart { by, .. }] = &found[..] else {
            panic!("they are far apart: {found:?}");
        };
        assert_eq!(*by, Duration::from_secs(10));
    }

    #[test]
    fn the_gravest_finding_comes_first() {
        let silent = Answered {
            health: Err(NoAnswer::now(Words::fixed("it did not answer in time"))),
            ..answered(good())
        };
        let forgets = answered(informed("aof_enabled", "aof_enabled:0"));
        let check = Check::of(ONE, &[forgets, silent]);
        let graves: Vec<_> = check.findings.iter().map(Finding::gravity).collect();
        assert_eq!(graves, [Gravity::Danger, Gravity::Warning]);
        assert_eq!(check.worst(), Some(Gravity::Danger));
        let told = check.to_string();
        assert!(
            told.starts_with("danger: redis://a: no answer: it did not answer in time"),
            "{told}"
        );
        assert_eq!(told.lines().count(), 2);
    }
}
