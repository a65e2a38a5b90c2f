//! A link over a mocked connection, with the real core behind it: what the core is told when a
//! request fails in one way or another, and what is written then.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::Value;
use tenure_core::{
    Config, Key, LeaseOptions, Manager, NodeId, Op, Reply, Request, RequestId, Secret,
};
use tokio::sync::mpsc;

use crate::client::driver::drive;
use crate::client::hub::Hub;
use crate::link::bell::Bell;
use crate::link::tests::hub::PausedClock;
use crate::link::tests::mocked::{
    Write, connection, done, error, failed, granted, loaded, loads, one_node, word,
};
use crate::link::{
    handle::LinkHandle,
    interface::{LinkStatus, Target, Work},
    spawn_link,
};
use crate::protocol::inspection::KeyHolder;
use crate::protocol::push::Push;
use crate::runtime::{Clock, OsEntropy, Seams, TokioConnector, TokioSpawner};

/// The hub, with a record of what it is told.
struct RecordingHub {
    hub: Arc<Hub>,
    asked: Mutex<BTreeMap<RequestId, &'static str>>,
    told: Mutex<Vec<String>>,
}

impl RecordingHub {
    /// What the hub was told since the last call.
    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().expect("no panic"))
    }
}

impl Work for RecordingHub {
    fn poll(&self, node: NodeId, max: usize, out: &mut Vec<Request>) {
        let from = out.len();
        self.hub.poll(node, max, out);
        let mut asked = self.asked.lock().expect("no panic");
        for request in &out[from..] {
            let name = match request.op {
                Op::Acquire { .. } => "acquire",
                Op::Release { .. } => "release",
                _ => "something else",
            };
            asked.insert(request.id, name);
        }
    }

    fn reply(&self, replies: &mut Vec<(RequestId, Reply)>) {
        let asked = self.asked.lock().expect("no panic");
        let notes = replies
            .iter()
            .map(|(id, reply)| format!("{}: {reply:?}", asked[id]));
        self.told.lock().expect("no panic").extend(notes);
        self.hub.reply(replies);
    }

    fn pushed(&self, node: NodeId, pushes: &mut Vec<Push>) {
        self.hub.pushed(node, pushes);
    }

    fn status(&self, node: NodeId, status: LinkStatus) {
        let name = match &status {
            LinkStatus::Connecting => "connecting",
            LinkStatus::Up(_) => "up",
            LinkStatus::Down { .. } => "down",
            LinkStatus::Rejected { .. } => "rejected",
        };
        self.told.lock().expect("no panic").push(name.to_owned());
        self.hub.status(node, status);
    }

    fn wake(&self, node: NodeId) -> Arc<Bell> {
        self.hub.wake(node)
    }

    fn shortest_ttl(&self) -> Option<Duration> {
        self.hub.shortest_ttl()
    }

    fn finished(&self) -> bool {
        Work::finished(&*self.hub)
    }
}

/// A connection without replies is replaced after this time.
const SILENCE: Duration = Duration::from_secs(1);

/// What a new connection is asked.
fn set_up() -> Vec<&'static str> {
    let probes = [
        "GETEX",
        "GET",
        "PTTL",
        "TYPE",
        "TIME",
        "SET",
        "PEXPIRE",
        "PEXPIREAT",
        "DEL",
        "XADD",
        "EXISTS",
        "ZADD",
        "ZREM",
        "ZRANGE",
        "ZRANK",
        "ZCARD",
        "ZMSCORE",
        "Inspect",
        "Keep",
    ];
    [&loads()[..], &probes, &["CLIENT", "INFO", "INFO"]].concat()
}

/// The answer to an inspection of a key that does not exist.
fn unseen() -> Value {
    let nobody = [Value::Int(0), Value::Array(Vec::new()), Value::Nil];
    let parts = [&[word("seen"), Value::Nil, Value::Int(-2)][..], &nobody].concat();
    Value::Array(parts)
}

struct CoreRig {
    link: LinkHandle,
    work: Arc<RecordingHub>,
    written: mpsc::UnboundedReceiver<Write>,
}

impl CoreRig {
    fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(PausedClock::new());
        let config = Config::builder(1).request_timeout(Duration::from_millis(500));
        let manager = Manager::new(config.build().expect("it can work"), 1);
        let hub = Arc::new(Hub::new(
            manager,
            vec!["node".to_owned()],
            Arc::clone(&clock),
        ));
        tokio::spawn(drive(Arc::clone(&hub)));
        let seams = Seams {
            connector: Arc::new(TokioConnector),
            clock,
            spawner: Arc::new(TokioSpawner::current().expect("a runtime")),
            entropy: Arc::new(OsEntropy),
        };
        let work = Arc::new(RecordingHub {
            hub,
            asked: Mutex::default(),
            told: Mutex::default(),
        });
        let (connection, written) = connection(true);
        let link = spawn_link(
            NodeId::new(0),
            Target::Connection(Arc::new(connection)),
            one_node(),
            Arc::clone(&work) as Arc<dyn Work>,
            &seams,
        );
        Self {
            link,
            work,
            written,
        }
    }

    /// The next write. It must consist of these commands.
    #[allow(
        clippy::disallowed_methods,
        reason = "paused time: it says at once that nothing will be written any more"
    )]
    async fn next(&mut self, names: &[&str]) -> Write {
        let written = tokio::time::timeout(Duration::from_secs(60), self.written.recv()).await;
        let write = written
            .unwrap_or_else(|_| panic!("waited for {names:?}"))
            .expect("the link lives");
        assert_eq!(write.names(), names);
        write
    }

    /// The next write sets a new connection up. The answers are those of one server, to a client
    /// with this id.
    async fn connected(&mut self, client: i64) {
        let asked = self.next(&set_up()).await;
        let mut answers = loaded();
        answers.extend([
            Value::Nil,
            Value::Nil,
            Value::Int(-2),
            Value::SimpleString("none".to_owned()),
            Value::Array(vec![word("5"), word("6")]),
            Value::Nil,
            Value::Int(0),
            Value::Int(0),
            Value::Int(0),
            Value::Nil,
            Value::Int(0),
            Value::Int(0),
            Value::Int(0),
            Value::Array(Vec::new()),
            Value::Nil,
            Value::Int(0),
            Value::Array(vec![Value::Nil]),
            unseen(),
            word("1700-0"),
            Value::Int(client),
            word("run_id:a\r\nredis_mode:standalone\r\n"),
            word("role:master\r\n"),
        ]);
        asked.answer(answers);
    }

    /// The next write kills this client's connection.
    async fn kills(&mut self, client: i64) {
        let kill = self.next(&["CLIENT"]).await;
        let client = client.to_string();
        assert_eq!(kill.commands[0], ["CLIENT", "KILL", "ID", &client]);
        kill.answer([Value::Int(1)]);
    }

    /// Asks for a lock, once.
    fn ask(&self) {
        let options = LeaseOptions::builder()
            .attempts(Some(1))
            .build(self.work.hub.config())
            .expect("they can work");
        let asked =
            self.work
                .hub
                .acquire(Key::new(*b"lock"), Secret::new([0; 16]), Arc::new(options));
        assert!(asked.is_ok());
    }
}

/// Each failure is told to the core as what it is, and the release that is owed is sent again after
/// it.
#[tokio::test(start_paused = true)]
async fn a_timeout_noscript_and_a_reset_do_not_stop_the_release() {
    let mut rig = CoreRig::new();
    rig.ask();
    rig.connected(1).await;

    // A timeout. The core ends the round and owes a release, which follows on the same connection.
    // No reply comes: both requests are unknown, and the connection is replaced.
    let acquire = rig.next(&["Acquire"]).await;
    let behind = rig.next(&["Release"]).await;
    rig.connected(2).await;
    assert_eq!(
        rig.work.told(),
        [
            "connecting",
            "up",
            "acquire: Unknown(Silent)",
            "release: Unknown(Silent)",
            "connecting"
        ]
    );
    acquire.answer([granted()]);
    behind.answer([done()]);
    // The old connection is closed first, so that nothing on it is executed after the release.
    rig.kills(1).await;
    let release = rig.next(&["Release"]).await;
    assert_eq!(
        rig.work.told(),
        ["up"],
        "replies that come later are nobody's"
    );

    // NOSCRIPT: the server forgot the scripts. The request is not applied; the scripts are loaded,
    // and the core asks again.
    release.answer([error("NOSCRIPT No matching script. Please use EVAL.")]);
    let load = rig.next(&loads()).await;
    assert_eq!(rig.work.told(), ["release: NotApplied(Again)"]);
    load.answer(loaded());

    // A reset. The release may have been applied or not, so it is still owed. The core asks again
    // at once, but there is no connection.
    rig.next(&["Release"]).await.fail();
    rig.connected(3).await;
    let told = rig.work.told();
    assert!(told[0].starts_with("release: Unknown(Broken("), "{told:?}");
    assert_eq!(told[1], "down");
    assert!(
        told[2..]
            .iter()
            .all(|note| note.starts_with("release: NotApplied(Unavailable(")),
        "{told:?}"
    );
    rig.kills(2).await;
    rig.next(&["Release"]).await.answer([failed("gone")]);

    // It is answered at last, and nothing is owed any more. The client closes and writes nothing
    // else.
    rig.work.hub.close(None);
    rig.work.hub.finished().await;
    let told = rig.work.told();
    assert_eq!(
        told.last().map(String::as_str),
        Some("release: Applied(Gone)")
    );
    assert!(rig.written.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_inspection_without_scripts_is_asked_again() {
    let mut rig = CoreRig::new();
    rig.connected(1).await;
    let forgotten = || error("NOSCRIPT No matching script. Please use EVAL.");
    let link = rig.link.clone();
    let look = tokio::spawn(async move { link.inspect(Key::new(*b"lock")).await });
    rig.next(&["Inspect"]).await.answer([forgotten()]);
    rig.next(&loads()).await.answer(loaded());
    rig.next(&["Inspect"]).await.answer([unseen()]);
    let look = look.await.expect("no panic").expect("it was seen");
    assert_eq!(look.holder, KeyHolder::Free);

    // If something removes the scripts again and again, they are sent as texts.
    tokio::time::advance(Duration::from_secs(2)).await;
    let link = rig.link.clone();
    let look = tokio::spawn(async move { link.inspect(Key::new(*b"lock")).await });
    rig.next(&["Inspect"]).await.answer([forgotten()]);
    rig.next(&loads()).await.answer(loaded());
    rig.next(&["Inspect"]).await.answer([forgotten()]);
    let by_text = rig.next(&["Inspect by its text"]).await;
    by_text.answer([unseen()]);
    look.await.expect("no panic").expect("it was seen");
}

/// It was asked on a connection that was dead already.
#[tokio::test(start_paused = true)]
async fn an_inspection_on_a_connection_that_breaks_is_asked_again() {
    let mut rig = CoreRig::new();
    rig.connected(1).await;
    let link = rig.link.clone();
    let look = tokio::spawn(async move { link.inspect(Key::new(*b"lock")).await });
    rig.next(&["Inspect"]).await.fail();
    rig.connected(2).await;
    rig.kills(1).await;
    rig.next(&["Inspect"]).await.answer([unseen()]);
    look.await.expect("no panic").expect("it was seen");

    // The caller gets an error when this happens again and again, and does not wait for ever.
    tokio::time::advance(Duration::from_secs(3)).await;
    let link = rig.link.clone();
    let look = tokio::spawn(async move { link.inspect(Key::new(*b"lock")).await });
    for client in 2..4 {
        rig.next(&["Inspect"]).await.fail();
        rig.connected(client + 1).await;
        rig.kills(client).await;
    }
    rig.next(&["Inspect"]).await.fail();
    let refused = look.await.expect("no panic").expect_err("no connection");
    assert!(refused.to_string().contains("reset"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_look_at_a_node_that_says_nothing_ends_in_bounded_time() {
    let mut rig = CoreRig::new();
    rig.connected(1).await;
    let asked = rig.work.hub.clock().now();
    let link = rig.link.clone();
    let look = tokio::spawn(async move { link.inspect(Key::new(*b"lock")).await });
    let _unanswered = rig.next(&["Inspect"]).await;
    let ended = look.await.expect("no panic").expect_err("no answer");
    assert!(ended.to_string().contains("does not answer"), "{ended}");
    let took = rig.work.hub.clock().now().saturating_since(asked);
    assert!(took <= SILENCE + Duration::from_millis(10), "{took:?}");

    // The next one waits for the next connection. Its wait is bounded by the time for connecting,
    // not by silence.
    let asked = rig.work.hub.clock().now();
    let link = rig.link.clone();
    let look = tokio::spawn(async move { link.inspect(Key::new(*b"lock")).await });
    let _unanswered = rig.next(&set_up()).await;
    look.await.expect("no panic").expect_err("no connection");
    let took = rig.work.hub.clock().now().saturating_since(asked);
    assert!(took <= Duration::from_millis(2_010), "{took:?}");
}
