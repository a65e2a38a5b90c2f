//! Any replies to the adapter: through redis-rs, into the real link and its handles. A server that
//! talks nonsense may make it refuse, wait or believe a lie, but never panic, never hang, and never
//! hold for longer than a TTL; and once the server is itself again, locks are granted.

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use tenure_redis::{Guard, Locks};
use tenure_sim::kit::{self, Kit};
use tenure_sim::server::Reply;

/// What is answered, and what is asked meanwhile.
#[derive(Debug)]
pub struct Nonsense {
    /// Planted before the client connects.
    first: Option<(u8, Reply)>,
    /// The reply that is planted before each step. Without one the server answers truly.
    then: Vec<(Step, Option<Reply>)>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Step {
    Lock,
    Renew,
    Release,
    Drop,
    Inspect,
    Pass,
}

/// What a client asks as it connects.
const ASKED: &[&str] = &["hello", "client", "info", "config", "script", "evalsha"];
/// What it asks for a lock, first by plain commands.
const LOCKING: &[&str] = &["set", "xadd", "evalsha"];

/// What errors begin with.
const ERRORS: &[&str] = &[
    "ERR",
    "NOSCRIPT",
    "LOADING",
    "BUSY",
    "READONLY",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "MOVED 1 a:1",
    "ASK 1 a:1",
    "TRYAGAIN",
    "OOM",
    "MISCONF",
    "NOREPLICAS",
    "NOAUTH",
    "WRONGPASS",
    "NOPERM",
    "CROSSSLOT",
    "WRONGTYPE",
    "EXECABORT",
    "TENURE",
    "",
];

/// What the scripts answer, and what looks similar.
const WORDS: &[&str] = &[
    "held 900 1767225600000000 0badf00d",
    "quarantine 500",
    "-NOPERM text",
    "-LOADING text",
    "-text",
    "-",
    "misuse 1 2 3",
    "stream -NOPERM text",
    "stream text",
    "unmarked",
    "foreign",
    "wrong key hash",
    "wrong counter string",
    "wrong stream hash",
    "1767225600124-0",
    "wrong",
    "held",
    "granted",
    "done",
    "gone",
    "taken",
    "OK",
    "master",
    "run_id:x\r\nmaster_replid:y",
];

impl<'a> Arbitrary<'a> for Nonsense {
    /// By hand, since a derived `Vec` draws after each element whether to end, and stays short.
    fn arbitrary(bytes: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let first = match bytes.arbitrary::<u8>()? {
            0..128 => None,
            which => Some((which, reply(bytes, 3)?)),
        };
        let mut then = Vec::new();
        while !bytes.is_empty() && then.len() < 24 {
            let step = bytes.arbitrary()?;
            let lies = bytes.arbitrary::<bool>()?;
            let reply = lies.then(|| reply(bytes, 3)).transpose()?;
            then.push((step, reply));
        }
        Ok(Self { first, then })
    }
}

fn reply(bytes: &mut Unstructured<'_>, depth: u32) -> arbitrary::Result<Reply> {
    let most = if depth == 0 { 8 } else { 10 };
    Ok(match bytes.int_in_range(0..=most)? {
        0 => Reply::Null,
        1 => Reply::Int(bytes.int_in_range(-3..=12)?),
        2 => Reply::Int(bytes.arbitrary()?),
        3 => Reply::Status(word(bytes, WORDS)?),
        4 => Reply::Error(format!("{} text", word(bytes, ERRORS)?)),
        5 => Reply::Bulk(word(bytes, WORDS)?.into_bytes()),
        6 => Reply::Bulk(bytes.arbitrary::<[u8; 5]>()?.to_vec()),
        7 => Reply::Double(f64::from(bytes.arbitrary::<i32>()?) / 8.0),
        8 => {
            let (ms, seq) = (bytes.arbitrary::<u64>()?, bytes.arbitrary::<u64>()?);
            let shift = bytes.arbitrary::<u8>()? % 64;
            let id = format!("{}-{}", ms >> shift, seq >> shift);
            let word = if shift.is_multiple_of(2) {
                "granted "
            } else {
                ""
            };
            Reply::Bulk(format!("{word}{id}").into_bytes())
        }
        9 => {
            let count = bytes.int_in_range(0..=5)?;
            let each = (0..count).map(|_| reply(bytes, depth - 1));
            Reply::Array(each.collect::<Result<_, _>>()?)
        }
        _ => Reply::Map(vec![(reply(bytes, depth - 1)?, reply(bytes, depth - 1)?)]),
    })
}

fn word(bytes: &mut Unstructured<'_>, words: &[&str]) -> arbitrary::Result<String> {
    Ok((*bytes.choose(words)?).to_owned())
}

/// Plants the replies, one before each step, and checks what comes of it. Says whether a lock was
/// held at any time before the end.
///
/// # Panics
/// If it does not end well.
pub fn check(nonsense: &Nonsense) -> bool {
    kit::run(async |kit| {
        let server = kit.node().server();
        if let Some((which, reply)) = &nonsense.first {
            let asked = ASKED[usize::from(*which) % ASKED.len()];
            server.answer_next(asked, reply.clone());
        }
        let locks = match kit.builder().connect().await {
            Ok(locks) => locks,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                return false;
            }
        };
        let ttl = Duration::from_secs(10);
        let mut guard: Option<Guard> = None;
        let mut held = false;
        for (number, (step, reply)) in nonsense.then.iter().enumerate() {
            if let Some(reply) = reply {
                let asked = match step {
                    Step::Lock => LOCKING[number % LOCKING.len()],
                    _ => "evalsha",
                };
                server.answer_next(asked, reply.clone());
            }
            match (*step, guard.take()) {
                (Step::Release, Some(old)) => {
                    let _ = old.release().await;
                }
                (Step::Drop, old) => drop(old),
                (Step::Lock, None) => guard = locks.try_lock("k").await.ok(),
                (step, old) => {
                    if let (Step::Renew, Some(guard)) = (step, &old) {
                        let _ = guard.renew().await;
                    }
                    guard = old;
                    kit.advance(Duration::from_secs(3)).await;
                }
            }
            if let Some(guard) = &guard {
                held = true;
                assert!(guard.remaining() < ttl, "{:?}", guard.remaining());
            }
        }
        drop(guard);
        end(&kit, &locks).await;
        held
    })
}

/// The server answers truly again. After two minutes nothing that it said before matters.
async fn end(kit: &Kit, locks: &Locks) {
    kit.node().server().clear_planted();
    kit.advance(Duration::from_secs(120)).await;
    let guard = locks.try_lock("k").await.expect("the key is free");
    assert!(guard.is_valid());
    guard.release().await.expect("nobody took it");
    assert_eq!(kit.node().server().peek("k"), None);
}
