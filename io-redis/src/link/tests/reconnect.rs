//! A link against nodes of a few lines each, over streams in memory: what a new connection is
//! asked, and what happens to requests while there is no connection.

use std::collections::VecDeque;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{Either, select};
use tenure_core::{Answer, Doubt, Key, NodeId, Refusal, Reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::link::address::Address;
use crate::link::handle::LinkHandle;
use crate::link::tests::hub::{FakeHub, PausedClock};
use crate::link::tests::mocked::one_node;
use crate::link::{
    interface::{LinkStatus, Target},
    spawn_link,
};
use crate::protocol::inspection::KeyHolder;
use crate::protocol::scripts::Script;
use crate::protocol::testing::acquires;
use crate::runtime::{
    BoxFuture, ByteStream, Clock, Connector, Endpoint, OsEntropy, Seams, TokioSpawner,
};

/// What a node answers to a command, as the bytes of a reply. None if it answers nothing any more.
pub(crate) type Answers = Arc<dyn Fn(&[String]) -> Option<String> + Send + Sync>;

/// Connects to the nodes one after another. After the last, connecting fails.
struct Nodes {
    left: Mutex<VecDeque<io::Result<Answers>>>,
    /// After how long without a command each closes its connection.
    idle: Duration,
    /// Every command of every connection, in order; connections are separated by `---`.
    heard: Arc<Mutex<Vec<String>>>,
}

impl std::fmt::Debug for Nodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nodes")
    }
}

impl Connector for Nodes {
    fn connect<'a>(&'a self, _: &'a Endpoint) -> BoxFuture<'a, io::Result<Box<dyn ByteStream>>> {
        let next = self.left.lock().expect("no panic").pop_front();
        let next = next.unwrap_or_else(|| Err(io::ErrorKind::ConnectionRefused.into()));
        Box::pin(async move {
            let answers = next?;
            let (ours, theirs) = tokio::io::duplex(1 << 20);
            let heard = Arc::clone(&self.heard);
            heard.lock().expect("no panic").push("---".to_owned());
            let node = node(theirs, answers, heard, self.idle);
            tokio::spawn(node);
            Ok(Box::new(ours) as Box<dyn ByteStream>)
        })
    }
}

/// Reads commands and answers them, until `answers` returns none or no command comes for so long.
async fn node(
    mut stream: DuplexStream,
    answers: Answers,
    heard: Arc<Mutex<Vec<String>>>,
    idle: Duration,
) {
    let clock = PausedClock::new();
    let mut bytes = Vec::new();
    loop {
        while let Some((words, used)) = command(&bytes) {
            bytes.drain(..used);
            let said = words.iter().take(4).cloned().collect::<Vec<_>>().join(" ");
            heard.lock().expect("no panic").push(said);
            let Some(answer) = answers(&words) else {
                return;
            };
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
        let closes = clock.sleep_until(clock.now() + idle);
        match select(pin!(stream.read_buf(&mut bytes)), closes).await {
            Either::Left((Ok(1..), _)) => {}
            _ => return,
        }
    }
}

/// The first complete command in the bytes, and its length.
pub(crate) fn command(bytes: &[u8]) -> Option<(Vec<String>, usize)> {
    let line = |from: usize| {
        let end = bytes[from..].windows(2).position(|two| two == b"\r\n")?;
        let number = std::str::from_utf8(&bytes[from + 1..from + end]).ok()?;
        Some((number.parse::<usize>().ok()?, from + end + 2))
    };
    let (count, mut at) = line(0)?;
    let mut words = Vec::new();
    for _ in 0..count {
        let (len, start) = line(at)?;
        let word = bytes.get(start..start + len)?;
        bytes.get(start + len..start + len + 2)?;
        words.push(String::from_utf8_lossy(word).into_owned());
        at = start + len + 2;
    }
    Some((words, at))
}

/// A primary with this run id and client id that grants everything.
pub(crate) fn primary(run: &'static str, client: u32) -> Answers {
    Arc::new(move |words| {
        let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
        Some(
            match (words[0].as_str(), words.get(1).map(String::as_str)) {
                ("HELLO", _) => "%1\r\n+proto\r\n:3\r\n".to_owned(),
                ("INFO", Some("server")) => bulk(&format!(
                    "# Server\r\nrun_id:{run}\r\nredis_mode:standalone\r\n"
                )),
                ("INFO", _) => bulk("# Replication\r\nrole:master\r\nmaster_replid:abc\r\n"),
                ("TIME", _) => "*2\r\n$1\r\n5\r\n$1\r\n6\r\n".to_owned(),
                ("CLIENT", Some("ID")) => format!(":{client}\r\n"),
                ("SCRIPT", _) => bulk("sha"),
                ("EVALSHA", _) => "*1\r\n$11\r\ngranted 7-7\r\n".to_owned(),
                _ => "+OK\r\n".to_owned(),
            },
        )
    })
}

/// The name of the script that takes locks.
fn acquire() -> &'static str {
    Script::AcquireOne.sha()
}

/// Not so a call that only tries whether scripts may be called.
fn asks_for_locks(words: &[String]) -> bool {
    words[0] == "EVALSHA" && words[1] == acquire()
}

/// `first` if it answers, else `otherwise`.
pub(crate) fn but(
    first: impl Fn(&[String]) -> Option<Option<&'static str>> + Send + Sync + 'static,
    otherwise: Answers,
) -> Answers {
    Arc::new(move |words| match first(words) {
        Some(answer) => answer.map(str::to_owned),
        None => otherwise(words),
    })
}

struct LinkRig {
    hub: Arc<FakeHub>,
    link: LinkHandle,
    heard: Arc<Mutex<Vec<String>>>,
}

impl LinkRig {
    fn new(nodes: impl IntoIterator<Item = io::Result<Answers>>) -> Self {
        Self::at("redis://node", nodes)
    }

    fn at(url: &str, nodes: impl IntoIterator<Item = io::Result<Answers>>) -> Self {
        Self::with(url, nodes, Duration::from_secs(1_000_000))
    }

    /// Of one healthy node that closes each connection on which it hears nothing for so long.
    fn idle(idle: Duration) -> Self {
        Self::with(
            "redis://node",
            (0..1_000).map(|_| Ok(primary("a", 1))),
            idle,
        )
    }

    fn with(
        url: &str,
        nodes: impl IntoIterator<Item = io::Result<Answers>>,
        idle: Duration,
    ) -> Self {
        let heard = Arc::default();
        let connector = Nodes {
            left: Mutex::new(nodes.into_iter().collect()),
            idle,
            heard: Arc::clone(&heard),
        };
        let seams = Seams {
            connector: Arc::new(connector),
            clock: Arc::new(PausedClock::new()),
            spawner: Arc::new(TokioSpawner::current().expect("a runtime")),
            entropy: Arc::new(OsEntropy),
        };
        let hub = Arc::new(FakeHub::default());
        let target = Target::Address(Address::parse(url).expect("an address"));
        let config = one_node();
        let work = Arc::clone(&hub) as Arc<dyn crate::link::Work>;
        let link = spawn_link(NodeId::new(0), target, config, work, &seams);
        Self { hub, link, heard }
    }

    /// The commands of the `index`-th connection.
    fn connection(&self, index: usize) -> Vec<String> {
        let heard = self.heard.lock().expect("no panic");
        let mut connections = heard.split(|said| said == "---");
        connections.nth(1 + index).unwrap_or_default().to_vec()
    }

    /// How many connections there were.
    fn connections(&self) -> usize {
        let heard = self.heard.lock().expect("no panic");
        heard.iter().filter(|said| *said == "---").count()
    }

    fn statuses(&self) -> Vec<&'static str> {
        let statuses = self.hub.statuses.lock().expect("no panic");
        let name = |status: &LinkStatus| match status {
            LinkStatus::Connecting => "connecting",
            LinkStatus::Up(_) => "up",
            LinkStatus::Down { .. } => "down",
            LinkStatus::Rejected { .. } => "rejected",
        };
        statuses.iter().map(name).collect()
    }
}

fn refused() -> io::Result<Answers> {
    Err(io::ErrorKind::ConnectionRefused.into())
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_the_first_connection_and_is_then_served() {
    let rig = LinkRig::new([Ok(primary("a", 1))]);
    let request = acquires(1).remove(0);
    rig.hub.ask([request.clone()]);
    let reply = rig.hub.answered(&request).await;
    assert!(
        matches!(reply, Reply::Applied(Answer::Granted { .. })),
        "{reply:?}"
    );
    assert_eq!(rig.statuses(), ["connecting", "up"]);
    let asked = rig.connection(0);
    assert!(asked[0].starts_with("HELLO 3"), "{asked:?}");
    assert_eq!(
        asked
            .iter()
            .filter(|said| said.starts_with("SCRIPT LOAD"))
            .count(),
        9
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_connection_requests_are_refused_at_once() {
    let rig = LinkRig::new([refused(), refused(), Ok(primary("a", 1))]);
    let requests = acquires(2);
    rig.hub.ask([requests[0].clone()]);
    let reply = rig.hub.answered(&requests[0]).await;
    assert!(matches!(reply, Reply::NotApplied(Refusal::Unavailable(_))));
    rig.hub.until(|| rig.statuses().last() == Some(&"up")).await;
    rig.hub.ask([requests[1].clone()]);
    let reply = rig.hub.answered(&requests[1]).await;
    assert!(
        matches!(reply, Reply::Applied(Answer::Granted { .. })),
        "{reply:?}"
    );
    assert_eq!(rig.statuses(), ["connecting", "down", "down", "up"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_hangs_as_it_is_connected_to_is_down_after_the_dial_timeout() {
    let silent: Answers = but(
        |words| (words[0] == "SCRIPT").then_some(Some("")),
        primary("a", 1),
    );
    let rig = LinkRig::new([Ok(silent)]);
    let request = acquires(1).remove(0);
    rig.hub.ask([request.clone()]);
    let reply = rig.hub.answered(&request).await;
    assert!(matches!(reply, Reply::NotApplied(Refusal::Unavailable(_))));
    assert_eq!(rig.statuses()[..2], ["connecting", "down"]);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_told_to_the_caller_in_the_servers_words() {
    let wrong = || {
        but(
            |words| (words[0] == "HELLO").then_some(Some("-WRONGPASS invalid pair\r\n")),
            primary("a", 1),
        )
    };
    let rig = LinkRig::new([Ok(wrong())]);
    let request = acquires(1).remove(0);
    rig.hub.ask([request.clone()]);
    match rig.hub.answered(&request).await {
        Reply::NotApplied(Refusal::Rejected(words)) => {
            assert_eq!(words.as_str(), "WRONGPASS invalid pair");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(rig.statuses()[..2], ["connecting", "rejected"]);
    let heard = rig.heard.lock().expect("no panic").join(" ");
    assert_eq!(heard.matches("---").count(), 1, "asked once: {heard}");
}

/// A primary that lets its user read, and nothing else, until it hangs up.
fn for_readers(hangs_up: bool) -> Answers {
    but(
        move |words| match words[0].as_str() {
            "SCRIPT" => Some(Some("-NOPERM this user may not run 'script|load'\r\n")),
            "GET" if words[1] == "held" => match hangs_up {
                true => Some(None),
                false => Some(Some("$7\r\nsomeone\r\n")),
            },
            "GET" => Some(Some("$-1\r\n")),
            "PTTL" if words[1] == "held" => Some(Some(":1500\r\n")),
            "PTTL" => Some(Some(":-2\r\n")),
            _ => None,
        },
        primary("a", 1),
    )
}

/// Each connection that is refused is kept until the next. When it ends, the caller is told.
#[tokio::test(start_paused = true)]
async fn a_user_who_may_only_read_can_inspect() {
    let readable = [false, false, true].map(|hangs_up| Ok(for_readers(hangs_up)));
    let rig = LinkRig::new(readable);
    let look = |key: &'static [u8]| {
        let link = rig.link.clone();
        async move { link.inspect(Key::new(key)).await }
    };
    let seen = look(b"held").await.expect("it may be read");
    assert_eq!((seen.holder, seen.from_primary), (KeyHolder::Other, false));
    let seen = look(b"free").await.expect("it may be read");
    assert_eq!(seen.holder, KeyHolder::Free);
    let request = acquires(1).remove(0);
    rig.hub.ask([request.clone()]);
    let reply = rig.hub.answered(&request).await;
    let told =
        matches!(&reply, Reply::NotApplied(Refusal::Rejected(w)) if w.as_str().contains("NOPERM"));
    assert!(told, "{reply:?}");
    rig.hub.until(|| rig.connection(2).len() > 5).await;
    look(b"held").await.expect_err("it hangs up");
    look(b"held").await.expect_err("there is no connection");
}

/// A node that greets nobody who speaks RESP3, and answers this instead. With none it hangs up.
fn old(says: Option<&'static str>) -> Answers {
    but(
        move |words| (words[0] == "HELLO").then_some(says),
        primary("a", 1),
    )
}

/// Whether HELLO was sent on the connection.
fn greeted(commands: &[String]) -> bool {
    commands.iter().any(|said| said.starts_with("HELLO"))
}

#[tokio::test(start_paused = true)]
async fn where_resp3_is_refused_in_any_words_resp2_is_spoken() {
    for says in [
        Some("-ERR unknown command 'HELLO'\r\n"),
        Some("-unsupported command 'HELLO'\r\n"),
        Some("-NOPROTO unsupported protocol version\r\n"),
        Some("-NOPERM this user has no permissions to run the 'hello' command\r\n"),
        Some("-ERR Protocol error: what is this?\r\n"),
        None,
    ] {
        let rig = LinkRig::new([Ok(old(says)), Ok(old(says))]);
        let request = acquires(1).remove(0);
        rig.hub.ask([request.clone()]);
        let reply = rig.hub.answered(&request).await;
        assert!(
            matches!(reply, Reply::Applied(Answer::Granted { .. })),
            "{says:?}: {reply:?}"
        );
        assert_eq!(rig.statuses(), ["connecting", "up"], "{says:?}");
        assert!(greeted(&rig.connection(0)) && !greeted(&rig.connection(1)));
    }
}

/// The name may lead to a newer server by then.
#[tokio::test(start_paused = true)]
async fn a_later_dial_begins_with_resp3_again() {
    let dies = but(
        |words| asks_for_locks(words).then_some(None),
        old(Some("-ERR unknown command 'HELLO'\r\n")),
    );
    let rig = LinkRig::new([Ok(old(None)), Ok(dies), Ok(primary("b", 1))]);
    let requests = acquires(2);
    rig.hub.ask([requests[0].clone()]);
    rig.hub.answered(&requests[0]).await;
    rig.hub.ask([requests[1].clone()]);
    rig.hub.answered(&requests[1]).await;
    let greeted = [0, 1, 2].map(|index| greeted(&rig.connection(index)));
    assert_eq!(greeted, [true, false, true]);
}

#[tokio::test(start_paused = true)]
async fn the_protocol_that_the_url_names_is_the_only_one_spoken() {
    let rig = LinkRig::at("redis://node?protocol=resp2", [Ok(primary("a", 1))]);
    rig.hub.until(|| rig.statuses().last() == Some(&"up")).await;
    assert!(!greeted(&rig.connection(0)));
    let nodes = [Ok(old(None)), Ok(primary("a", 1))];
    let rig = LinkRig::at("redis://node?protocol=resp3", nodes);
    rig.hub.until(|| rig.statuses().len() >= 2).await;
    assert_eq!(rig.statuses()[..2], ["connecting", "down"]);
}

#[tokio::test(start_paused = true)]
async fn the_old_connection_is_killed_first_but_only_in_the_same_run() {
    let dies = |run, client| {
        but(
            |words| asks_for_locks(words).then_some(None),
            primary(run, client),
        )
    };
    let rig = LinkRig::new([Ok(dies("a", 7)), Ok(primary("a", 8))]);
    let requests = acquires(2);
    rig.hub.ask([requests[0].clone()]);
    assert!(matches!(
        rig.hub.answered(&requests[0]).await,
        Reply::Unknown(_)
    ));
    rig.hub.ask([requests[1].clone()]);
    rig.hub.answered(&requests[1]).await;
    let second = rig.connection(1);
    let killed = second.iter().position(|said| said == "CLIENT KILL ID 7");
    let served = second.iter().position(|said| said.contains(acquire()));
    assert!(killed.is_some() && killed < served, "{second:?}");
    assert_eq!(rig.statuses(), ["connecting", "up", "connecting", "up"]);

    let rig = LinkRig::new([Ok(dies("a", 7)), Ok(primary("b", 3))]);
    rig.hub.ask([requests[0].clone()]);
    assert!(matches!(
        rig.hub.answered(&requests[0]).await,
        Reply::Unknown(_)
    ));
    rig.hub.ask([requests[1].clone()]);
    rig.hub.answered(&requests[1]).await;
    let second = rig.connection(1);
    // In another run of the server, the id may belong to somebody else.
    assert!(
        !second.iter().any(|said| said.starts_with("CLIENT KILL")),
        "{second:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_lost_again_and_again_is_not_replaced_in_a_storm() {
    let dies = || {
        but(
            |words| asks_for_locks(words).then_some(None),
            primary("a", 7),
        )
    };
    let rig = LinkRig::new((0..100).map(|_| Ok(dies())));
    let requests = acquires(40);
    for request in &requests {
        rig.hub.ask([request.clone()]);
        rig.hub.answered(request).await;
        tokio::time::advance(Duration::from_millis(25)).await;
    }
    // Forty requests in a second: without a backoff, forty connections.
    let connections = rig.connections();
    assert!((2..=12).contains(&connections), "{connections}");
}

/// Time passes in steps of a millisecond.
async fn pass(millis: u64) {
    for _ in 0..millis {
        tokio::time::advance(Duration::from_millis(1)).await;
    }
}

/// Such as with `timeout 1` in the configuration of a server.
#[tokio::test(start_paused = true)]
async fn a_node_that_closes_what_is_idle_serves_what_comes_at_any_instant() {
    for idle in [300, 1_000] {
        let rig = LinkRig::idle(Duration::from_millis(idle));
        let clock = PausedClock::new();
        let mut requests = acquires(90).into_iter();
        for after in 0..30 {
            // From before the end of an idle connection until after it.
            pass(idle - 15 + after).await;
            let mut tries = 0;
            loop {
                let mut request = requests.next().expect("enough");
                request.deadline = clock.now() + Duration::from_millis(200);
                rig.hub.ask([request.clone()]);
                match rig.hub.answered(&request).await {
                    Reply::Applied(Answer::Granted { .. }) => break,
                    // It was written as the node closed the connection.
                    Reply::Unknown(Doubt::Broken(_)) if tries == 0 => tries += 1,
                    reply => panic!("{idle} {after}: {reply:?}"),
                }
            }
        }
        assert!(!rig.statuses().contains(&"down"), "{:?}", rig.statuses());
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_closes_what_is_idle_is_connected_to_once_a_second() {
    for idle in [1, 300, 1_000] {
        let rig = LinkRig::idle(Duration::from_millis(idle));
        pass(60_000).await;
        assert!(
            (50..=62).contains(&rig.connections()),
            "{idle}: {}",
            rig.connections()
        );
        assert!(!rig.statuses().contains(&"down"), "{:?}", rig.statuses());
    }
    // What is asked meanwhile has not to wait so long, nor does it make a storm.
    let rig = LinkRig::idle(Duration::from_millis(1));
    let clock = PausedClock::new();
    for request in acquires(100) {
        rig.hub.ask([request.clone()]);
        let asked = clock.now();
        let _served_or_lost = rig.hub.answered(&request).await;
        let took = clock.now().saturating_since(asked);
        assert!(took <= Duration::from_millis(60), "{took:?}");
        pass(5).await;
    }
    let (span, count) = (
        clock.now().saturating_since(tenure_core::Instant::ORIGIN),
        rig.connections(),
    );
    assert!(
        count as u128 <= 2 + span.as_millis() / 50,
        "{count} in {span:?}"
    );
}

/// Else a wrong password would be tried up to thirty times a second, for ever.
#[tokio::test(start_paused = true)]
async fn a_password_that_is_refused_is_not_tried_more_often_for_a_short_ttl() {
    let wrong = || {
        let refused = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
        but(
            move |words| (words[0] == "HELLO").then_some(Some(refused)),
            primary("a", 1),
        )
    };
    let rig = LinkRig::at("redis://:x@node", (0..1_000).map(|_| Ok(wrong())));
    *rig.hub.shortest_ttl.lock().expect("no panic") = Some(Duration::from_secs(1));
    pass(20_000).await;
    assert_eq!(rig.statuses().last(), Some(&"rejected"));
    assert!(
        (10..=30).contains(&rig.connections()),
        "{}",
        rig.connections()
    );
}

/// How often a link tries to connect in ten seconds to a node that refuses it.
async fn tries(shortest_ttl: Duration) -> usize {
    let rig = LinkRig::new([]);
    *rig.hub.shortest_ttl.lock().expect("no panic") = Some(shortest_ttl);
    for _ in 0..10_000 {
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    rig.statuses().iter().filter(|it| **it == "down").count()
}

#[tokio::test(start_paused = true)]
async fn the_pause_between_two_dials_is_a_sixteenth_of_the_shortest_ttl_at_most() {
    // The longest pause is 100 ms, or the 50 ms that it is at least, or 2 s; half of it at least.
    let tries_of = async |millis| tries(Duration::from_millis(millis)).await;
    let counts = [
        tries_of(1_600).await,
        tries_of(100).await,
        tries_of(60_000).await,
    ];
    assert!((100..=210).contains(&counts[0]), "{counts:?}");
    assert!((200..=410).contains(&counts[1]), "{counts:?}");
    assert!((8..=20).contains(&counts[2]), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_replica_is_down_until_it_is_a_primary() {
    let replica = but(
        |words| {
            let asked = words[0] == "INFO" && words[1] == "replication";
            asked.then_some(Some("$10\r\nrole:slave\r\n"))
        },
        primary("a", 1),
    );
    let rig = LinkRig::new([Ok(replica), Ok(primary("a", 2))]);
    let request = acquires(1).remove(0);
    rig.hub.ask([request.clone()]);
    assert!(matches!(
        rig.hub.answered(&request).await,
        Reply::NotApplied(Refusal::Unavailable(_))
    ));
    rig.hub
        .until(|| rig.statuses() == ["connecting", "down", "up"])
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_when_the_work_is_finished_also_without_a_connection() {
    for nodes in [vec![], vec![Ok(primary("a", 1))]] {
        let rig = LinkRig::new(nodes);
        rig.hub.until(|| rig.statuses().len() >= 2).await;
        rig.hub.finish();
        // The link drops its hub.
        rig.hub.until(|| Arc::strong_count(&rig.hub) == 1).await;
    }
}
