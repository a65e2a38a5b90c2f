//! The models of a node against what they are models of: the adapter's Lua texts in the embedded
//! server. The same requests at the same times to both, and the same answers and keys from both. One
//! model is that of the worlds; the other, which knows less, is that of the model checker and of the
//! transcripts.
#![forbid(unsafe_code)]

#[path = "../../core/tests/support/node.rs"]
#[allow(dead_code, reason = "it also helps to set scenes")]
mod small;

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use tenure_core::{
    Answer, Fence, Instant, Key, Op, Refusal, Reply, Secret, ServerTime, Token, Words,
};
use tenure_sim::node::probe::{Held, ModelNode, Question, Stranger};
use tenure_sim::server::{ManualClock, Reply as Wire, Server};
use tenure_tests::scripts;

const BEGIN_US: u64 = 1_767_225_600_123_456;
const KEYS: [&str; 2] = ["k", "l"];
const MAX_TTL_MS: u64 = 10_000;

#[derive(Clone, Debug)]
enum Step {
    Ask {
        key: u8,
        lease: u32,
        attempt: u32,
        op: Op,
        /// Of an acquire: whether it names the node, and whether it believes to ask its present life.
        named: Option<bool>,
    },
    Mark,
    Restart {
        forgets: bool,
        durable: bool,
    },
    Full(bool),
    Stranger(u8, Stranger),
    Advance(u64),
    Clock(i64),
}

fn op() -> impl Strategy<Value = Op> {
    let ttl = || select(&[1, 250, 1_000, 10_000][..]).prop_map(Duration::from_millis);
    // Past, near, and further ahead than a node follows.
    let fence = || {
        select(
            &[
                -3_600_000_000_i64,
                -1,
                0,
                1,
                1_000,
                2_000_000,
                59_000_000,
                90_000_000_000,
            ][..],
        )
        .prop_map(|us| Fence::new(BEGIN_US.saturating_add_signed(us)).expect("not zero"))
    };
    prop_oneof![
        6 => (ttl(), prop::option::of(fence())).prop_map(|(ttl, proposal)| Op::Acquire { ttl, proposal }),
        2 => fence().prop_map(|fence| Op::Confirm { fence }),
        4 => ttl().prop_map(|ttl| Op::Renew { ttl }),
        2 => (ttl(), fence()).prop_map(|(ttl, fence)| Op::Repair { ttl, fence }),
        3 => Just(Op::Release),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let ask = (
        0..2_u8,
        0..2_u32,
        select(&[1, 2, 10][..]),
        op(),
        prop::option::of(prop::bool::weighted(0.8)),
    )
        .prop_map(|(key, lease, attempt, op, named)| Step::Ask {
            key,
            lease,
            attempt,
            op,
            named,
        });
    let stranger = prop_oneof![
        2 => Just(Stranger::Deletes),
        2 => select(&[Some(1), Some(1_000), None][..]).prop_map(Stranger::Overwrites),
        1 => Just(Stranger::Mistakes),
        2 => Just(Stranger::Persists),
    ];
    prop_oneof![
        20 => ask,
        3 => Just(Step::Mark),
        1 => any::<(bool, bool)>().prop_map(|(forgets, durable)| Step::Restart { forgets, durable }),
        1 => prop::bool::weighted(0.3).prop_map(Step::Full),
        2 => (0..2_u8, stranger).prop_map(|(key, stranger)| Step::Stranger(key, stranger)),
        6 => select(&[1, 999, 1_000, 1_001, 250_000, 999_999, 1_000_000, 10_000_000, 86_400_500_000][..]).prop_map(Step::Advance),
        1 => select(&[-2_000_000, -1_000, -1, 1, 1_000, 2_000_000][..]).prop_map(Step::Clock),
    ]
}

/// The embedded server, asked as the adapter asks.
struct Real {
    server: Server,
    clock: ManualClock,
    life: u32,
    durable: bool,
}

fn token(lease: u32, attempt: u32) -> String {
    format!("{lease:032x}:{attempt}")
}

impl Real {
    fn beginning(at_us: u64) -> Self {
        let clock = ManualClock::new(at_us);
        Self {
            server: Server::new(clock.clone()),
            clock,
            life: 0,
            durable: false,
        }
    }

    fn call(&self, script: &str, keys: &[&str], args: &[String]) -> Wire {
        let mut argv = vec!["EVAL".to_owned(), script.to_owned(), keys.len().to_string()];
        argv.extend(keys.iter().map(|key| (*key).to_owned()));
        argv.extend_from_slice(args);
        self.server.call(&argv)
    }

    fn ids(life: u32) -> [String; 2] {
        [format!("run{life}"), format!("replication{life}")]
    }

    fn mark(&self) {
        let [run, replication] = Self::ids(self.life);
        let durable = u8::from(self.durable).to_string();
        let args = [
            run,
            replication,
            durable,
            MAX_TTL_MS.to_string(),
            "3".to_owned(),
            String::new(),
        ];
        self.call(scripts::MARK, &["tenure:node"], &args);
    }

    fn ask(&self, question: &Question) -> Reply {
        let key = KEYS[usize::from(question.key)];
        let counter = counter(key);
        let token = token(question.lease, question.attempt);
        let ms = |ttl: Duration| ttl.as_millis().to_string();
        let reply = match question.op {
            Op::Acquire { ttl, proposal } => {
                let proposal = proposal.map_or(0, Fence::get).to_string();
                let mut args = vec![token, ms(ttl), proposal];
                let mut keys = vec![key, &counter];
                if let Some(life) = question.life {
                    keys.push("tenure:node");
                    args.extend(Self::ids(life));
                    args.extend([MAX_TTL_MS.to_string(), "3".to_owned(), String::new()]);
                }
                return acquired(&self.call(scripts::ACQUIRE, &keys, &args));
            }
            Op::Confirm { fence } => {
                let args = [token, fence.to_string()];
                self.call(scripts::CONFIRM, &[key, &counter], &args)
            }
            Op::Renew { ttl } => why(self.call(scripts::RENEW, &[key], &[token, ms(ttl)])),
            Op::Repair { ttl, fence } => {
                let args = [token, ms(ttl), fence.to_string()];
                self.call(scripts::REPAIR, &[key, &counter], &args)
            }
            Op::Release => why(self.call(scripts::RELEASE, &[key], &[token])),
        };
        word(&reply).map_or_else(|| refused(&reply), Reply::Applied)
    }

    fn stranger(&self, key: u8, stranger: Stranger) {
        let key = KEYS[usize::from(key)];
        match stranger {
            Stranger::Deletes => drop(self.server.call(&["DEL", key])),
            Stranger::Overwrites(Some(ms)) => {
                drop(
                    self.server
                        .call(&["SET", key, "a stranger's", "PX", &ms.to_string()]),
                );
            }
            Stranger::Overwrites(None) => drop(self.server.call(&["SET", key, "a stranger's"])),
            Stranger::Mistakes => {
                self.server.call(&["DEL", key]);
                self.server.call(&["HSET", key, "f", "v"]);
            }
            Stranger::Persists => drop(self.server.call(&["PERSIST", key])),
        }
    }

    fn restart(&mut self, forgets: bool, durable: bool) {
        if forgets {
            self.server.call(&["FLUSHALL"]);
        }
        self.life += 1;
        self.durable = durable;
    }

    /// As [`ModelNode::holds`] says it.
    fn holds(&self, key: u8) -> Option<Held> {
        let key = KEYS[usize::from(key)];
        let token = match self.server.peek(key) {
            Some(value) => {
                let text = String::from_utf8(value).expect("text");
                let split = text.split_once(':');
                split.map(|(lease, attempt)| {
                    let lease = u32::from_str_radix(lease, 16).expect("a lease");
                    (lease, attempt.parse().expect("an attempt"))
                })
            }
            None if self.server.keys().contains(&key.as_bytes().to_vec()) => None,
            None => return None,
        };
        Some((token, self.server.peek_expiry_ms(key)))
    }

    /// As [`ModelNode::counter`] says it.
    fn counter(&self, key: u8) -> Option<(i64, i64)> {
        let key = counter(KEYS[usize::from(key)]);
        let value = String::from_utf8(self.server.peek(&key)?).expect("text");
        let until = self
            .server
            .peek_expiry_ms(key)
            .expect("a counter has an expiry");
        Some((value.parse().expect("a number"), until))
    }
}

fn counter(key: &str) -> String {
    format!("{key}:tenure:fence:{{{key}}}")
}

fn text(reply: &Wire) -> Option<String> {
    match reply {
        Wire::Bulk(bytes) => String::from_utf8(bytes.clone()).ok(),
        _ => None,
    }
}

fn word(reply: &Wire) -> Option<Answer> {
    match text(reply)?.as_str() {
        "done" => Some(Answer::Done),
        "gone" => Some(Answer::Gone),
        "taken" => Some(Answer::Taken),
        "foreign" => Some(Answer::Foreign),
        _ => None,
    }
}

/// Not applied; only the kind is compared.
fn refused(reply: &Wire) -> Reply {
    let said = match reply {
        Wire::Error(said) => said.clone(),
        other => text(other).unwrap_or_else(|| format!("{other:?}")),
    };
    assert!(said.contains("OOM"), "no answer of a script: {said}");
    Reply::NotApplied(Refusal::Unavailable)
}

/// The answer to one lock of a call that answers its failures only.
fn why(reply: Wire) -> Wire {
    match reply {
        Wire::Array(failures) if failures.is_empty() => Wire::bulk("done"),
        Wire::Array(failures) => failures[1].clone(),
        other => other,
    }
}

fn acquired(reply: &Wire) -> Reply {
    let Wire::Array(answers) = reply else {
        return refused(reply);
    };
    let said = text(&answers[0]).expect("a string for each lock");
    let mut words = said.split(' ');
    let first = words.next().unwrap_or_default();
    let numbers: Vec<u64> = words.flat_map(str::parse).collect();
    match (first, &numbers[..]) {
        ("granted", [fence, now]) => Reply::Applied(Answer::Granted {
            fence: Fence::new(*fence).expect("not zero"),
            server_time: ServerTime::from_micros(*now),
        }),
        ("held", [left, now]) => Reply::Applied(Answer::Held {
            left: Duration::from_millis(*left),
            server_time: ServerTime::from_micros(*now),
        }),
        ("quarantine", [left]) => Reply::Applied(Answer::Quarantined {
            left: Duration::from_millis(*left),
        }),
        ("unmarked", []) => Reply::NotApplied(Refusal::Rejected(Words::new("unmarked"))),
        _ => word(&answers[0]).map_or_else(|| refused(&answers[0]), Reply::Applied),
    }
}

fn agree(steps: &[Step]) -> Result<(), TestCaseError> {
    let mut real = Real::beginning(BEGIN_US);
    let begin = i64::try_from(BEGIN_US).expect("in range");
    let max_ttl = i64::try_from(MAX_TTL_MS).expect("in range");
    let mut model = ModelNode::new(begin, KEYS.len(), max_ttl, 3);
    for (at, step) in steps.iter().enumerate() {
        match *step {
            Step::Ask {
                key,
                lease,
                attempt,
                op,
                named,
            } => {
                let life = named.map(|now| if now { model.life() } else { model.life() + 1 });
                let question = Question {
                    key,
                    lease,
                    attempt,
                    op,
                    life,
                };
                prop_assert_eq!(
                    model.ask(&question),
                    real.ask(&question),
                    "step {}: {:?}",
                    at,
                    step
                );
            }
            Step::Mark => {
                model.mark();
                real.mark();
            }
            Step::Restart { forgets, durable } => {
                model.restart(forgets, durable);
                real.restart(forgets, durable);
            }
            Step::Full(full) => {
                model.set_full(full);
                real.server.set_oom(full);
            }
            Step::Stranger(key, stranger) => {
                // A stranger is refused, too.
                model.set_full(false);
                real.server.set_oom(false);
                model.stranger(key, stranger);
                real.stranger(key, stranger);
            }
            Step::Advance(us) => {
                model.advance(us);
                real.clock.advance(Duration::from_micros(us));
            }
            Step::Clock(us) => {
                model.step(us);
                let span = Duration::from_micros(us.unsigned_abs());
                if us < 0 {
                    real.clock.step_back(span);
                } else {
                    real.clock.advance(span);
                }
            }
        }
        // What has expired goes now: whether a look removes it is not what is compared.
        model.expire();
        real.server.expire_now();
        let marked = real.server.peek_expiry_ms("tenure:node");
        prop_assert_eq!(model.marked_until(), marked, "step {}: {:?}", at, step);
        for key in 0..2 {
            prop_assert_eq!(model.holds(key), real.holds(key), "step {}: {:?}", at, step);
            prop_assert_eq!(
                model.counter(key),
                real.counter(key),
                "step {}: {:?}",
                at,
                step
            );
        }
    }
    Ok(())
}

/// What the small model knows of: leases and their attempts, and keys that are no locks. Its time is in
/// whole milliseconds, and nothing is asked in the one in which a key ends.
#[derive(Clone, Debug)]
enum SmallStep {
    OpKind(u8, u32, u32, Op),
    Foreign(u8),
    Deleted(u8),
    Advance(u64),
}

fn small_step() -> impl Strategy<Value = SmallStep> {
    let ask = (0..2_u8, 0..2_u32, select(&[1, 2, 10][..]), op());
    let ask = ask.prop_filter("it ends between two instants", |(.., op)| match op {
        Op::Acquire { ttl, .. } | Op::Renew { ttl } | Op::Repair { ttl, .. } => {
            ttl.as_millis() >= 250
        }
        Op::Confirm { .. } | Op::Release => true,
    });
    prop_oneof![
        20 => ask.prop_map(|(key, lease, attempt, op)| SmallStep::OpKind(key, lease, attempt, op)),
        1 => (0..2_u8).prop_map(SmallStep::Foreign),
        3 => (0..2_u8).prop_map(SmallStep::Deleted),
        6 => select(&[1, 251, 1_001, 10_001][..]).prop_map(SmallStep::Advance),
    ]
}

fn agree_small(steps: &[SmallStep]) -> Result<(), TestCaseError> {
    let begin_us = BEGIN_US.next_multiple_of(1_000);
    let real = Real::beginning(begin_us);
    let mut model = small::Node {
        wall_ahead: begin_us,
        ..small::Node::default()
    };
    let key = |key: u8| Key::new(KEYS[usize::from(key)].as_bytes());
    let mut now = Instant::ORIGIN;
    for (at, step) in steps.iter().enumerate() {
        match *step {
            SmallStep::OpKind(asked, lease, attempt, op) => {
                let question = Question {
                    key: asked,
                    lease,
                    attempt,
                    op,
                    life: None,
                };
                let token = Token {
                    label: None,
                    secret: Secret::new(u128::from(lease).to_be_bytes()),
                    attempt,
                };
                let answer = model.perform(now, &key(asked), &token, &op);
                prop_assert_eq!(
                    Reply::Applied(answer),
                    real.ask(&question),
                    "step {}: {:?}",
                    at,
                    step
                );
            }
            SmallStep::Foreign(of) => {
                model.locks.remove(&key(of));
                model.foreign.insert(key(of));
                real.stranger(of, Stranger::Mistakes);
            }
            SmallStep::Deleted(of) => {
                model.locks.remove(&key(of));
                model.foreign.remove(&key(of));
                real.stranger(of, Stranger::Deletes);
            }
            SmallStep::Advance(ms) => {
                now = now + Duration::from_millis(ms);
                real.clock.advance(Duration::from_millis(ms));
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_model_of_a_node_answers_as_the_scripts_do(steps in prop::collection::vec(step(), 1..60)) {
        agree(&steps)?;
    }

    #[test]
    fn the_small_model_of_a_node_answers_as_the_scripts_do(steps in prop::collection::vec(small_step(), 1..60)) {
        agree_small(&steps)?;
    }
}
