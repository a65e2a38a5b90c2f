//! What a check makes of the answers of the nodes: which findings there are.

use std::time::Duration;

use tenure_core::{Instant, Words};

use crate::api::check::{CONFIG, Check, CheckedNode, Concern, Finding};
use crate::link::handle::NoAnswer;
use crate::protocol::health::{Health, Setting, is_alone, keeps_writes};

/// Below this, a client with a few thousand guards that are awaited fills the table alone.
const SMALL_TRACKING_TABLE: u64 = 10_000;

/// Below this, ten thousand waiters that are told at once may be too many for a connection.
const SMALL_OUTPUT_BUFFER: u64 = 1 << 20;

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
    pub(crate) acknowledged_by: u32,
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
    found.extend(health.cannot_wait.iter().map(|words| Concern::CannotWait {
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
    let demanded = client.acknowledged_by;
    let told = health.number("connected_slaves");
    let replicas = told.unwrap_or(0);
    // A proxy may leave the number out.
    if told.is_some() && replicas < u64::from(demanded) {
        found.push(Concern::FewReplicas { replicas, demanded });
    }
    if let Ok(least) = health.setting(Setting::MinReplicas)
        && replicas > u64::from(demanded)
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
    use crate::api::check::Gravity;
    use crate::protocol::health::{commands, health};
    use redis::Value;

    const ONE: Client = Client {
        quarantine: false,
        acknowledged_by: 0,
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
        values.resize(commands(b"unused", false).len() - 1, Value::Okay);
        values.push(Value::Array(vec![text("1700000000"), text("0")]));
        values
    }

    fn answered(values: Vec<Value>) -> Answered {
        Answered {
            node: "redis://a".to_owned(),
            pushes: true,
            asked: [Instant::ORIGIN; 2],
            health: Ok(health(values.into_iter().map(Ok).collect(), false)),
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
            let found = found(SEVERAL, values.clone());
            assert!(found.contains(&expected), "{found:?}");
            assert!(found.contains(&Concern::RestsAfterRestart), "{found:?}");
            expected.gravity()
        };
        assert_eq!(found_with(0, &values), Gravity::Warning);
        values[3] = pair("1");
        assert_eq!(found_with(1, &values), Gravity::Note);
    }

    #[test]
    fn too_few_replicas_and_no_right_to_wait_for_them_are_found() {
        let demands = Client {
            acknowledged_by: 2,
            ..ONE
        };
        let with =
            |replicas: u64| informed("connected_slaves", &format!("connected_slaves:{replicas}"));
        let few = Concern::FewReplicas {
            replicas: 1,
            demanded: 2,
        };
        assert_eq!(found(demands, with(1)), [few]);
        assert_eq!(found(demands, with(2)), [], "all must acknowledge");
        let ahead = Concern::AheadOfReplicas {
            replicas: 3,
            least: 0,
        };
        assert_eq!(found(demands, with(3)), [ahead]);
        let refused = "NOPERM this user has no permissions to run the 'wait' command";
        for (answer, finds) in [(refused, true), ("ERR value is not an integer", false)] {
            let mut values = with(2);
            values.insert(values.len() - 1, error(answer));
            let mut answered = answered(good());
            answered.health = Ok(health(values.into_iter().map(Ok).collect(), true));
            let check = Check::of(demands, &[answered]);
            let words = refused.to_owned();
            let expected = finds.then_some(Concern::CannotWait { words });
            let found = check.findings.into_iter().map(|finding| finding.concern);
            assert!(found.eq(expected), "{answer}");
        }
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
        for command in commands(b"unused", true) {
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
