//! What a connection to a cluster does with what its servers answer: against two that answer as the
//! test says.

use std::collections::VecDeque;
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use redis::{Pipeline, RedisError, Value};
use tenure_core::{Instant, NodeId};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

use crate::client::testing::SetClock;
use crate::link::cluster::{Cluster, ClusterAddress};
use crate::link::connect::Connected;
use crate::link::credentials::{Credentials, Source};
use crate::link::interface::Target;
use crate::link::shards::Pace;
use crate::link::spawn_link;
use crate::link::tests::hub::FakeHub;
use crate::link::tests::mocked::one_node;
use crate::runtime::{BootClock, Clock, Seams};

/// The words of a server that starts.
const LOADING: &str = "LOADING Redis is loading the dataset in memory";

/// What a server does when it is asked for a key.
enum Act {
    /// Answers, in the words of the protocol.
    Says(String),
    /// Closes the connection.
    HangsUp,
    /// Answers, closes the connection, and is gone.
    SaysLast(String),
    /// Nothing at all.
    IsSilent,
}

/// A server that listens, and what it was asked, but for what makes a connection.
#[derive(Clone)]
struct Server {
    addr: SocketAddr,
    acts: Arc<Mutex<VecDeque<Act>>>,
    asked: watch::Sender<Vec<String>>,
    /// How often it was asked whether it lives, as at the end of each greeting.
    pings: watch::Sender<u32>,
    /// The answer to `CLUSTER SLOTS`. If it is empty, the server closes the connection as if it had
    /// been restarted, and says after that that it starts.
    slots: Arc<Mutex<String>>,
    /// Its tasks end with this.
    tasks: Arc<Mutex<JoinSet<io::Result<()>>>>,
    /// The one of them that accepts connections.
    listens: AbortHandle,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let addr = listener.local_addr().expect("bound");
        let (sender, mut streams) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        let listens = tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                sender.send(stream).map_err(io::Error::other)?;
            }
            Ok(())
        });
        let server = Self {
            addr,
            acts: Arc::default(),
            asked: watch::Sender::default(),
            pings: watch::Sender::default(),
            slots: Arc::default(),
            tasks: Arc::new(Mutex::new(tasks)),
            listens,
        };
        let this = server.clone();
        let serves = async move {
            while let Some(stream) = streams.recv().await {
                let serves = this.clone().serve(stream);
                this.tasks.lock().expect("no panic").spawn(serves);
            }
            Ok(())
        };
        server.tasks.lock().expect("no panic").spawn(serves);
        server
    }

    /// It is gone: nobody listens, and its connections end.
    async fn stop(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock().expect("no panic"));
        tasks.shutdown().await;
    }

    /// It says from now on that this server has all slots.
    fn names(&self, owner: &Self) {
        self.says_of_slots(&format!("*1\r\n{}", owner.has(0, 16_383)));
    }

    /// It says from now on that the first has the lower half of the slots, the other the upper one.
    fn names_both(&self, lower: &Self, upper: &Self) {
        let halves = [lower.has(0, 8_191), upper.has(8_192, 16_383)].concat();
        self.says_of_slots(&format!("*2\r\n{halves}"));
    }

    /// These slots are its own, in the words of the protocol.
    fn has(&self, first: u32, last: u32) -> String {
        let port = self.addr.port();
        format!("*3\r\n:{first}\r\n:{last}\r\n*2\r\n$9\r\n127.0.0.1\r\n:{port}\r\n")
    }

    /// It answers so from now on when it is asked who has which slots.
    fn says_of_slots(&self, answer: &str) {
        answer.clone_into(&mut self.slots.lock().expect("no panic"));
    }

    fn acts(&self, act: Act) -> &Self {
        self.acts.lock().expect("no panic").push_back(act);
        self
    }

    fn asked(&self) -> Vec<String> {
        self.asked.borrow().clone()
    }

    async fn serve(self, stream: TcpStream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let words = command(&mut stream).await?;
            let answer = match words[0].as_str() {
                "HELLO" if words.len() > 1 => "%1\r\n+proto\r\n:3\r\n".to_owned(),
                "CLIENT" => "+OK\r\n".to_owned(),
                "PING" => {
                    self.pings.send_modify(|pings| *pings += 1);
                    "+PONG\r\n".to_owned()
                }
                "CLUSTER" => {
                    let mut slots = self.slots.lock().expect("no panic");
                    if slots.is_empty() {
                        *slots = format!("-{LOADING}\r\n");
                        return Ok(());
                    }
                    slots.clone()
                }
                "ASKING" => {
                    self.asked.send_modify(|asked| asked.push(words.join(" ")));
                    "+OK\r\n".to_owned()
                }
                _ => {
                    let act = self.acts.lock().expect("no panic").pop_front();
                    self.asked.send_modify(|asked| asked.push(words.join(" ")));
                    match act {
                        Some(Act::Says(answer)) => answer,
                        Some(Act::HangsUp) => return Ok(()),
                        Some(Act::SaysLast(answer)) => {
                            self.listens.abort();
                            return stream.write_all(answer.as_bytes()).await;
                        }
                        Some(Act::IsSilent) => continue,
                        None if words[1..] != ["k"] => "+OK\r\n".to_owned(),
                        None => panic!("it is asked no more than the test says"),
                    }
                }
            };
            stream.write_all(answer.as_bytes()).await?;
        }
    }

    fn says(&self, answer: &str) -> &Self {
        self.acts(Act::Says(format!("{answer}\r\n")))
    }
}

/// Reads one command.
async fn command(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<String>> {
    let count = number(stream).await?;
    let mut words = Vec::new();
    for _ in 0..count {
        let mut word = vec![0; number(stream).await? + 2];
        stream.read_exact(&mut word).await?;
        word.truncate(word.len() - 2);
        words.push(String::from_utf8_lossy(&word).into_owned());
    }
    Ok(words)
}

/// The number behind the first character of a line.
async fn number(stream: &mut BufReader<TcpStream>) -> io::Result<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let digits = line.get(1..).unwrap_or_default().trim_end();
    digits
        .parse()
        .map_err(|_| io::ErrorKind::UnexpectedEof.into())
}

/// Two servers, of which the first has all slots, and a connection to them.
async fn two() -> (Server, Server, Connected) {
    let (one, other) = (Server::start().await, Server::start().await);
    one.names(&one);
    other.names(&one);
    let connected = connected(&one).await;
    (one, other, connected)
}

async fn connected(server: &Server) -> Connected {
    dialled(server, None, Arc::new(BootClock::new())).await
}

async fn dialled(server: &Server, credentials: Option<Source>, clock: Arc<dyn Clock>) -> Connected {
    let mut address = ClusterAddress::default();
    let url = format!("redis://{}", server.addr);
    address.add(&url).expect("an address");
    let long = Duration::from_secs(60);
    let pace = Pace {
        connect: long,
        answer: long,
    };
    let dialled = Cluster::new(address, credentials, clock).dial(pace).await;
    dialled.unwrap_or_else(|why| panic!("{why:?}"))
}

async fn get(connected: &Connected) -> Result<Value, RedisError> {
    let mut values = connected.connection.send(asks()).await?;
    assert_eq!(values.len(), 1);
    Ok(values.remove(0))
}

fn asks() -> Pipeline {
    let mut commands = Pipeline::new();
    commands.cmd("GET").arg("k");
    commands
}

/// Why the connection is of no use any more, if it is said.
fn over(connected: &mut Connected) -> Option<String> {
    let lookout = connected.lookout.as_mut().expect("it was dialled");
    let why = lookout.now_or_never()?;
    Some(why.as_str().to_owned())
}

fn moved_to(server: &Server) -> String {
    format!("-MOVED 7629 {}", server.addr)
}

#[tokio::test]
async fn a_request_whose_connection_is_lost_is_unknown_and_not_repeated() {
    let (one, other, mut connected) = two().await;
    // Were it asked again, this would look as if nothing had been done.
    let moved = moved_to(&other);
    one.acts(Act::HangsUp).says(&moved).says(&moved);
    let error = get(&connected).await.expect_err("it is lost");
    assert_eq!(error.code(), None, "{error}");
    assert!(!error.is_connection_refusal(), "{error}");
    assert_eq!(one.asked(), ["GET k"]);
    // The connection is replaced by redis-rs.
    assert_eq!(over(&mut connected), None);
}

#[tokio::test]
async fn a_key_that_has_moved_is_asked_for_where_it_is() {
    let (one, other, connected) = two().await;
    one.says(&moved_to(&other));
    one.names(&other);
    other.says("+there");
    other.names(&other);
    let value = get(&connected).await.expect("an answer");
    assert_eq!(value, Value::SimpleString("there".to_owned()));
    assert_eq!(other.asked(), ["GET k"]);
}

#[tokio::test]
async fn a_key_that_is_nowhere_is_asked_for_twice() {
    let (one, other, mut connected) = two().await;
    let moved = moved_to(&other);
    one.says(&moved).says(&moved);
    let error = get(&connected).await.expect_err("it is nowhere");
    assert_eq!(error.code(), Some("MOVED"));
    assert_eq!(one.asked().len(), 2);
    assert_eq!(over(&mut connected), None);
}

/// Where each of many locks of a shard that is gone is asked for, again and again.
#[tokio::test]
async fn a_server_that_is_gone_is_not_asked_for_twice_by_each_request() {
    let (one, other) = (Server::start().await, Server::start().await);
    one.names(&one);
    let clock = Arc::new(SetClock::default());
    let connected = dialled(&one, None, Arc::clone(&clock) as _).await;
    // To the same server right after it, to another one, to the first again, and after a while.
    for (millis, to, times) in [
        (0, &other, 2),
        (999, &other, 1),
        (999, &one, 2),
        (999, &other, 1),
        (999, &one, 1),
        (2_000, &one, 2),
        (2_000, &other, 2),
    ] {
        clock.set(Instant::from_nanos(0) + Duration::from_millis(millis));
        let before = one.asked().len();
        for _ in 0..times {
            one.says(&moved_to(to));
        }
        let error = get(&connected).await.expect_err("it is nowhere");
        assert_eq!(error.code(), Some("MOVED"));
        assert_eq!(one.asked().len() - before, times, "{millis}");
    }
}

/// It must not be another command that the server takes for the one that was announced.
#[tokio::test]
async fn a_key_that_is_moving_is_asked_for_right_behind_the_asking() {
    let (one, other, connected) = two().await;
    let ask = format!("-ASK 7629 {}", other.addr);
    one.says(&ask).says(&ask);
    other.says("+there").says("-TRYAGAIN not yet");
    let value = get(&connected).await.expect("an answer");
    assert_eq!(value, Value::SimpleString("there".to_owned()));
    let value = get(&connected).await.expect("an answer");
    assert!(matches!(value, Value::ServerError(_)), "{value:?}");
    assert_eq!(other.asked(), ["ASKING", "GET k", "ASKING", "GET k"]);
}

/// It accepts connections and answers nothing. What is at other servers must not wait for it, since
/// what is given up has all connections replaced.
#[tokio::test]
async fn who_asks_a_silent_server_that_imports_delays_nobody_else() {
    let (one, other, mut connected) = two().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let place = silent.local_addr().expect("bound");
    one.says(&format!("-ASK 7629 {place}"));
    let waits = tokio::spawn(connected.connection.send(asks()));
    let (mut stream, _) = silent.accept().await.expect("it is connected to");
    stream.read_u8().await.expect("a greeting");
    one.says(&format!("-ASK 7629 {}", other.addr));
    other.says("+there");
    let value = get(&connected).await.expect("an answer");
    assert_eq!(value, Value::SimpleString("there".to_owned()));
    assert!(!waits.is_finished());
    // It hangs up.
    drop(stream);
    let refused = waits.await.expect("no panic").expect_err("it is not there");
    assert_eq!(refused.code(), Some("ASK"));
    assert_eq!(over(&mut connected), None);
}

/// All who are sent there wait for one try, and for a while nobody tries again.
#[tokio::test]
async fn a_server_that_imports_and_is_gone_is_connected_to_once_a_second() {
    let one = Server::start().await;
    one.names(&one);
    let clock = Arc::new(SetClock::default());
    let connected = dialled(&one, None, Arc::clone(&clock) as _).await;
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let ask = format!("-ASK 7629 {}", gone.local_addr().expect("bound"));
    let tries = watch::Sender::new(0);
    let (counts, hangs_up) = (tries.clone(), Arc::new(Semaphore::new(0)));
    let may = Arc::clone(&hangs_up);
    let accepts = tokio::spawn(async move {
        while let Ok((stream, _)) = gone.accept().await {
            counts.send_modify(|tries| *tries += 1);
            may.acquire().await.expect("it is open").forget();
            drop(stream);
        }
    });
    for (millis, expected) in [(0, 1), (999, 1), (1_000, 2)] {
        clock.set(Instant::from_nanos(0) + Duration::from_millis(millis));
        let before = one.asked().len();
        let mut four = JoinSet::new();
        for _ in 0..4 {
            one.says(&ask);
            four.spawn(connected.connection.send(asks()));
        }
        let mut asked = one.asked.subscribe();
        let seen = asked.wait_for(|asked| asked.len() == before + 4).await;
        drop(seen.expect("they are asked"));
        // What is answered behind them says that they have their answers.
        one.says("+here");
        get(&connected).await.expect("an answer");
        hangs_up.add_permits(4);
        for answer in four.join_all().await {
            assert_eq!(answer.expect_err("it is gone").code(), Some("ASK"));
        }
        assert_eq!(*tries.borrow(), expected, "{millis}");
        hangs_up.forget_permits(4);
    }
    accepts.abort();
}

#[tokio::test]
async fn what_is_refused_for_now_is_left_to_the_core_to_ask_again() {
    let (one, _, connected) = two().await;
    for words in ["TRYAGAIN not yet", "CLUSTERDOWN down", "READONLY it"] {
        one.says(&format!("-{words}"));
        let error = get(&connected).await.expect_err("it is refused");
        assert_eq!(error.code(), words.split(' ').next());
    }
    assert_eq!(one.asked().len(), 3);
}

/// redis-rs would go on to try without a pause, and only with whom it knows.
#[tokio::test]
async fn a_cluster_of_which_nobody_is_left_is_said_to_be_gone() {
    let (one, other, mut connected) = two().await;
    one.stop().await;
    other.stop().await;
    // The first finds that its connection is lost, unless redis-rs has found that before.
    let mut why = None;
    for _ in 0..4 {
        let error = get(&connected).await.expect_err("there is nobody");
        assert_eq!(error.code(), None, "{error}");
        assert!(!error.is_connection_refusal(), "{error}");
        why = why.or_else(|| over(&mut connected));
    }
    let why = why.expect("it is said");
    assert!(why.contains("can be used"), "{why}");
}

/// As it is with a task of redis-rs' that has ended, which does not say so.
#[tokio::test]
async fn a_connection_that_loses_what_is_asked_again_and_again_is_of_no_use() {
    let (one, _, mut connected) = two().await;
    for _ in 0..3 {
        let mut pings = one.pings.subscribe();
        pings.mark_unchanged();
        one.acts(Act::HangsUp);
        let error = get(&connected).await.expect_err("it is lost");
        assert_eq!(error.code(), None, "{error}");
        pings.changed().await.expect("it is connected to again");
    }
    let why = over(&mut connected).expect("it is said");
    assert!(why.contains("can be used"), "{why}");
}

/// Whatever else redis-rs has in flight then hears that a connection was refused.
#[tokio::test]
async fn what_is_in_flight_when_the_cluster_is_gone_is_unknown() {
    let (one, other, mut connected) = two().await;
    let last = format!("{}\r\n", moved_to(&other));
    one.acts(Act::SaysLast(last));
    let error = get(&connected).await.expect_err("there is nobody");
    assert_eq!(error.code(), None, "{error}");
    assert!(!error.is_connection_refusal(), "{error}");
    let why = over(&mut connected).expect("it is said");
    assert!(why.contains("can be used"), "{why}");
}

/// The rights of the user were changed, or all servers start. redis-rs would ask again and again.
#[tokio::test]
async fn a_cluster_that_does_not_say_any_more_who_has_what_is_told() {
    for (words, requests) in [
        (
            "NOPERM this user has no permissions to run the 'cluster|slots' command",
            1,
        ),
        (LOADING, 3),
        ("MASTERDOWN Link with MASTER is down", 3),
    ] {
        let (one, other, mut connected) = two().await;
        one.says(&moved_to(&other));
        one.says_of_slots(&format!("-{words}\r\n"));
        for _ in 0..requests {
            assert_eq!(over(&mut connected), None, "{words}");
            let error = get(&connected).await.expect_err("nobody says where it is");
            assert_eq!(error.code(), None, "{error}");
        }
        assert_eq!(one.asked().len(), 1, "{words}");
        let why = over(&mut connected).expect("it is said");
        let said = words.split_once(' ').expect("a code").1;
        assert!(why.contains("can be used") && why.contains(said), "{why}");
    }
}

/// It was written to a server that died. redis-rs hears that another one starts.
#[tokio::test]
async fn what_was_written_is_unknown_when_nobody_says_who_has_what() {
    let (one, other) = (Server::start().await, Server::start().await);
    one.names_both(&one, &other);
    other.names_both(&one, &other);
    let connected = connected(&one).await;
    one.acts(Act::IsSilent);
    let mut asked = one.asked.subscribe();
    let written = tokio::spawn(connected.connection.send(asks()));
    let seen = asked.wait_for(|asked| !asked.is_empty()).await;
    drop(seen.expect("it is written"));
    one.says_of_slots("");
    other.says_of_slots(&format!("-{LOADING}\r\n"));
    other.says(&format!("-MOVED 12182 {}", one.addr));
    let mut beside = Pipeline::new();
    beside.cmd("GET").arg("foo");
    let error = connected.connection.send(beside).await;
    error.expect_err("nobody says where it is");
    let told = written.await.expect("no panic");
    let error = told.expect_err("nobody has answered");
    assert_eq!(error.code(), None, "{error}");
    assert_eq!(one.asked(), ["GET k"]);
}

/// Nobody asks whether it is one: the answer might be lost. And this one says that it is none.
#[tokio::test]
async fn a_cluster_by_url_has_a_stream_for_each_slot_whatever_it_says() {
    let one = Server::start().await;
    one.names(&one);
    let mut address = ClusterAddress::default();
    let url = format!("redis://{}", one.addr);
    address.add(&url).expect("an address");
    let hub = Arc::new(FakeHub::default());
    let (work, seams) = (Arc::clone(&hub), Seams::tokio().expect("a runtime"));
    let (node, target) = (NodeId::new(0), Target::Cluster(address));
    let _link = spawn_link(node, target, one_node(), work, &seams);
    let mut asked = one.asked.subscribe();
    let stream = |asked: &String| {
        let mut words = asked.split(' ').map(str::to_owned);
        words.find(|word| word.starts_with("tenure:fence"))
    };
    let seen = asked.wait_for(|asked| asked.iter().any(|asked| stream(asked).is_some()));
    let asked = seen.await.expect("it is tried").clone();
    hub.finish();
    for tried in asked.iter().filter_map(stream) {
        assert!(tried.starts_with("tenure:fence:{"), "{tried}");
    }
    assert!(!asked.contains(&"HELLO".to_owned()), "it need not be asked");
}

/// A server of the cluster is connected to with the login of the dial, which may be no more.
#[tokio::test]
async fn where_a_server_is_missing_another_login_may_help_after_a_while() {
    for (refusal, hops) in [("MOVED", 2), ("ASK", 1)] {
        let (one, other) = (Server::start().await, Server::start().await);
        one.names(&one);
        other.stop().await;
        let clock = Arc::new(SetClock::default());
        let asked = Source::new(|| ready(Ok::<_, io::Error>(Credentials::new("app", "word"))));
        let mut connected = dialled(&one, Some(asked), Arc::clone(&clock) as _).await;
        for (seconds, is_over) in [(1, false), (9, false), (10, true)] {
            clock.set(Instant::from_nanos(0) + Duration::from_secs(seconds));
            for _ in 0..hops {
                one.says(&format!("-{refusal} 7629 {}", other.addr));
            }
            let error = get(&connected).await.expect_err("it is nowhere");
            assert_eq!(error.code(), Some(refusal));
            let said = over(&mut connected).is_some();
            assert_eq!(said, is_over, "{refusal}, {seconds} s");
        }
    }
}

/// What is given up was not answered in time.
#[tokio::test]
async fn a_connection_on_which_nothing_answers_is_of_no_use_any_more() {
    let (one, _, mut connected) = two().await;
    one.acts(Act::IsSilent);
    let mut asked = one.asked.subscribe();
    let request = connected.connection.send(asks());
    let seen = asked.wait_for(|asked| !asked.is_empty());
    let first = futures_util::future::select(request, Box::pin(seen)).await;
    assert!(matches!(first, futures_util::future::Either::Right(_)));
    assert_eq!(over(&mut connected), None);
    drop(first);
    let why = over(&mut connected).expect("it is said");
    assert!(why.contains("does not answer"), "{why}");
}
