//! A link to a group: in which order its Sentinels are asked, what becomes of one that lies, and
//! how a failover is heard of. Servers and Sentinels are a few lines each, known by their ports.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{Either, select};
use tenure_core::{NodeId, Refusal, Reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::broadcast;

use crate::link::group::GroupAddress;
use crate::link::interface::{LinkStatus, Target, Work};
use crate::link::spawn_link;
use crate::link::tests::hub::{FakeHub, PausedClock};
use crate::link::tests::mocked::one_node;
use crate::link::tests::reconnect::{Answers, but, command, primary};
use crate::protocol::testing::acquires;
use crate::runtime::{BoxFuture, ByteStream, Connector, Endpoint, OsEntropy, Seams, TokioSpawner};

/// The servers of the group.
const FIRST: u16 = 1_000;
const SECOND: u16 = 1_001;

/// What happens to who connects.
#[derive(Clone)]
enum Host {
    Answers(Answers),
    Refuses,
    Hangs,
}

/// All that can be connected to, by its port.
struct Town {
    hosts: Mutex<BTreeMap<u16, Host>>,
    /// The ports that were connected to, in this order.
    dialled: Mutex<Vec<u16>>,
    /// What the Sentinels push on each of their connections. Text that is empty ends them.
    pushes: broadcast::Sender<&'static str>,
}

impl std::fmt::Debug for Town {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Town")
    }
}

impl Connector for Town {
    fn connect<'a>(
        &'a self,
        endpoint: &'a Endpoint,
    ) -> BoxFuture<'a, io::Result<Box<dyn ByteStream>>> {
        let Endpoint::Tcp { port, .. } = endpoint else {
            panic!("nobody listens there: {endpoint:?}");
        };
        self.dialled.lock().expect("no panic").push(*port);
        let host = self.hosts.lock().expect("no panic")[port].clone();
        Box::pin(async move {
            match host {
                Host::Answers(answers) => {
                    let (ours, theirs) = tokio::io::duplex(1 << 20);
                    tokio::spawn(serve(theirs, answers, self.pushes.subscribe()));
                    Ok(Box::new(ours) as Box<dyn ByteStream>)
                }
                Host::Refuses => Err(io::ErrorKind::ConnectionRefused.into()),
                Host::Hangs => pending().await,
            }
        })
    }
}

/// Answers commands, until there is no answer. Pushes to whoever has subscribed.
async fn serve(
    mut stream: DuplexStream,
    answers: Answers,
    mut pushes: broadcast::Receiver<&'static str>,
) {
    let mut bytes = Vec::new();
    let mut listens = false;
    loop {
        while let Some((words, used)) = command(&bytes) {
            bytes.drain(..used);
            listens |= words[0] == "SUBSCRIBE";
            let Some(answer) = answers(&words) else {
                return;
            };
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
        let push = match select(pin!(stream.read_buf(&mut bytes)), pin!(pushes.recv())).await {
            Either::Left((Ok(1..), _)) => continue,
            Either::Left(_) => return,
            Either::Right((push, _)) => push.expect("it is heard in time"),
        };
        if listens && push.is_empty() {
            return;
        }
        if listens && stream.write_all(push.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A Sentinel that names the server at this port, and knows one name only.
fn sentinel(names: &Arc<AtomicU16>) -> Host {
    let names = Arc::clone(names);
    Host::Answers(Arc::new(move |words| {
        Some(match words[0].as_str() {
            "HELLO" => "%1\r\n+proto\r\n:3\r\n".to_owned(),
            "SUBSCRIBE" => ">3\r\n+subscribe\r\n$14\r\n+switch-master\r\n:1\r\n".to_owned(),
            "SENTINEL" if words[2] == "orders" => {
                let port = names.load(Ordering::SeqCst).to_string();
                format!("*2\r\n$8\r\n10.0.0.9\r\n${}\r\n{port}\r\n", port.len())
            }
            "SENTINEL" => "_\r\n".to_owned(),
            _ => "+OK\r\n".to_owned(),
        })
    }))
}

/// What a Sentinel pushes when a group with this name has another primary.
const SWITCHED: &str =
    ">3\r\n+message\r\n$14\r\n+switch-master\r\n+orders 10.0.0.9 1000 10.0.0.9 1001\r\n";

fn replica() -> Host {
    let says = |words: &[String]| {
        let asked = words[0] == "INFO" && words[1] == "replication";
        asked.then_some(Some("$10\r\nrole:slave\r\n"))
    };
    Host::Answers(but(says, primary("c", 1)))
}

struct Rig {
    hub: Arc<FakeHub>,
    town: Arc<Town>,
    _link: crate::link::handle::LinkHandle,
}

impl Rig {
    /// A link to the group of this name, whose Sentinels are at the ports from one on. Both servers
    /// would serve.
    fn new(name: &str, sentinels: impl IntoIterator<Item = Host>) -> Self {
        let mut hosts: BTreeMap<u16, Host> = (1..).zip(sentinels).collect();
        let mut address = GroupAddress::parse(&format!("redis://{name}")).expect("a name");
        for port in hosts.keys() {
            address.add(&format!("redis://s:{port}")).expect("a URL");
        }
        hosts.insert(FIRST, Host::Answers(primary("a", 1)));
        hosts.insert(SECOND, Host::Answers(primary("b", 1)));
        let town = Arc::new(Town {
            hosts: Mutex::new(hosts),
            dialled: Mutex::default(),
            pushes: broadcast::channel(16).0,
        });
        let seams = Seams {
            connector: Arc::clone(&town) as Arc<dyn Connector>,
            clock: Arc::new(PausedClock::new()),
            spawner: Arc::new(TokioSpawner::current().expect("a runtime")),
            entropy: Arc::new(OsEntropy),
        };
        let hub = Arc::new(FakeHub::default());
        let work = Arc::clone(&hub) as Arc<dyn Work>;
        let target = Target::Group(address);
        let link = spawn_link(NodeId::new(0), target, one_node(), work, &seams);
        Self {
            hub,
            town,
            _link: link,
        }
    }

    fn put(&self, port: u16, host: Host) {
        let mut hosts = self.town.hosts.lock().expect("no panic");
        hosts.insert(port, host);
    }

    fn dialled(&self) -> Vec<u16> {
        self.town.dialled.lock().expect("no panic").clone()
    }

    /// The ports that are connected to from now on, until this one is.
    async fn until_dialled(&self, port: u16) -> Vec<u16> {
        let before = self.dialled().len();
        let since = || self.dialled()[before..].to_vec();
        self.hub.until(|| since().contains(&port)).await;
        since()
    }

    fn status(&self) -> LinkStatus {
        let statuses = self.hub.statuses.lock().expect("no panic");
        statuses.last().cloned().unwrap_or(LinkStatus::Connecting)
    }

    async fn up(&self) {
        let is_up = || matches!(self.status(), LinkStatus::Up(_));
        self.hub.until(is_up).await;
    }

    /// The words with which the link is not up.
    async fn not_up(&self) -> LinkStatus {
        let is_down = || {
            let status = self.status();
            matches!(
                status,
                LinkStatus::Down { .. } | LinkStatus::Rejected { .. }
            )
        };
        self.hub.until(is_down).await;
        self.status()
    }

    fn push(&self, text: &'static str) {
        self.town.pushes.send(text).expect("somebody listens");
    }
}

fn names(port: u16) -> Arc<AtomicU16> {
    Arc::new(AtomicU16::new(port))
}

/// Time passes in steps.
async fn pass(span: Duration) {
    let step = Duration::from_millis(10);
    for _ in 0..span.as_millis() / step.as_millis() {
        tokio::time::advance(step).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_answered_is_asked_first_the_next_time() {
    let first = names(FIRST);
    let sentinels = [
        Host::Hangs,
        Host::Refuses,
        sentinel(&first),
        sentinel(&first),
    ];
    let rig = Rig::new("orders", sentinels);
    rig.up().await;
    assert_eq!(rig.dialled(), [1, 2, 3, FIRST]);
    rig.push(SWITCHED);
    pass(Duration::from_secs(1)).await;
    assert_eq!(rig.dialled(), [1, 2, 3, FIRST], "it is the primary still");
    first.store(SECOND, Ordering::SeqCst);
    rig.push(SWITCHED);
    assert_eq!(rig.until_dialled(SECOND).await, [3, SECOND]);
}

#[tokio::test(start_paused = true)]
async fn a_sentinel_that_names_a_replica_comes_last_the_next_time() {
    let read_only = but(
        |words: &[String]| match words[0].as_str() {
            "INFO" => Some(Some("-NOPERM no permissions to run 'info'\r\n")),
            "SET" => Some(Some("-READONLY You can't write against a replica.\r\n")),
            _ => None,
        },
        primary("c", 1),
    );
    for replica in [replica(), Host::Answers(read_only)] {
        let (lies, knows) = (names(SECOND), names(FIRST));
        let rig = Rig::new("orders", [sentinel(&lies), sentinel(&knows)]);
        rig.put(SECOND, replica);
        let LinkStatus::Down { why } = rig.not_up().await else {
            panic!("{:?}", rig.status());
        };
        let words = why.as_str();
        for part in ["replica", "10.0.0.9:1001", "s:1"] {
            assert!(words.contains(part), "{words}");
        }
        rig.up().await;
        assert_eq!(rig.dialled(), [1, SECOND, 2, FIRST]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failover_is_followed_although_the_former_primary_serves() {
    let known = names(FIRST);
    let rig = Rig::new("orders", [sentinel(&known)]);
    rig.up().await;
    known.store(SECOND, Ordering::SeqCst);
    let clock = PausedClock::new();
    rig.push(SWITCHED);
    assert_eq!(rig.until_dialled(SECOND).await, [1, SECOND]);
    let took = crate::runtime::Clock::now(&clock);
    let soon = tenure_core::Instant::ORIGIN + Duration::from_secs(1);
    assert!(took < soon, "by the push: {took:?}");
    rig.up().await;
    let request = acquires(1).remove(0);
    rig.hub.ask([request.clone()]);
    let reply = rig.hub.answered(&request).await;
    assert!(matches!(reply, Reply::Applied(_)), "{reply:?}");
}

/// A push may be lost, and not every user may listen.
#[tokio::test(start_paused = true)]
async fn a_failover_that_nobody_pushes_is_found_within_ten_seconds() {
    let refused = "-NOPERM this user has no permissions to run the 'subscribe' command\r\n";
    for says in [None, Some(Some(refused))] {
        let known = names(FIRST);
        let Host::Answers(answers) = sentinel(&known) else {
            panic!("it answers");
        };
        let listens = move |words: &[String]| says.filter(|_| words[0] == "SUBSCRIBE");
        let rig = Rig::new("orders", [Host::Answers(but(listens, answers))]);
        rig.up().await;
        pass(Duration::from_secs(60)).await;
        assert_eq!(rig.dialled(), [1, FIRST], "nothing has changed");
        known.store(SECOND, Ordering::SeqCst);
        pass(Duration::from_secs(11)).await;
        assert_eq!(rig.dialled()[2..], [1, SECOND]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sentinel_that_is_lost_is_replaced_and_the_session_goes_on() {
    let (gone, stays) = (names(FIRST), names(FIRST));
    let rig = Rig::new("orders", [sentinel(&gone), sentinel(&stays)]);
    rig.up().await;
    rig.put(1, Host::Refuses);
    rig.push("");
    assert_eq!(rig.until_dialled(2).await, [1, 2]);
    pass(Duration::from_secs(60)).await;
    assert_eq!(rig.dialled(), [1, FIRST, 1, 2], "the session lives");
    stays.store(SECOND, Ordering::SeqCst);
    rig.push(SWITCHED);
    assert_eq!(rig.until_dialled(SECOND).await, [2, SECOND]);
}

/// Its connection lives, and tells nothing.
#[tokio::test(start_paused = true)]
async fn a_sentinel_that_stands_still_is_replaced_when_it_is_asked() {
    let known = names(FIRST);
    let Host::Answers(answers) = sentinel(&known) else {
        panic!("it answers");
    };
    let stands_still = Arc::new(AtomicBool::new(false));
    let is_silent = Arc::clone(&stands_still);
    let asked = move |words: &[String]| {
        let silent = words[0] == "SENTINEL" && is_silent.load(Ordering::SeqCst);
        silent.then_some(Some(""))
    };
    let rig = Rig::new(
        "orders",
        [Host::Answers(but(asked, answers)), sentinel(&known)],
    );
    rig.up().await;
    stands_still.store(true, Ordering::SeqCst);
    pass(Duration::from_secs(15)).await;
    assert_eq!(rig.dialled(), [1, FIRST, 1, 2]);
}

/// What happened while nobody listened is found out when somebody does again.
#[tokio::test(start_paused = true)]
async fn a_failover_while_the_sentinel_is_lost_is_found_by_the_next() {
    let (gone, knows) = (names(FIRST), names(SECOND));
    let rig = Rig::new("orders", [sentinel(&gone), sentinel(&knows)]);
    rig.up().await;
    rig.put(1, Host::Hangs);
    rig.push("");
    pass(Duration::from_secs(3)).await;
    assert_eq!(
        rig.dialled(),
        [1, FIRST, 1, 2, 2, SECOND],
        "before it is asked again"
    );
}

#[tokio::test(start_paused = true)]
async fn sentinels_that_die_are_not_asked_in_a_storm() {
    let known = names(FIRST);
    let rig = Rig::new("orders", [sentinel(&known), sentinel(&known)]);
    rig.up().await;
    rig.put(1, Host::Refuses);
    rig.put(2, Host::Refuses);
    rig.push("");
    pass(Duration::from_secs(60)).await;
    let dials = rig.dialled().len();
    assert!((60..=150).contains(&dials), "{dials}");
    assert!(matches!(rig.status(), LinkStatus::Up(_)));
}

/// A proxy in front of it may do so.
#[tokio::test(start_paused = true)]
async fn a_sentinel_that_hangs_up_once_it_has_answered_meets_no_storm() {
    let rig = Rig::new("orders", [sentinel(&names(FIRST))]);
    rig.up().await;
    for _ in 0..3_000 {
        rig.push("");
        pass(Duration::from_millis(20)).await;
    }
    let dials = rig.dialled().len();
    assert!((30..=75).contains(&dials), "{dials}");
    assert!(matches!(rig.status(), LinkStatus::Up(_)));
}

#[tokio::test(start_paused = true)]
async fn a_name_that_no_sentinel_knows_is_rejected_in_words() {
    let known = names(FIRST);
    let rig = Rig::new("other", [sentinel(&known), sentinel(&known)]);
    let request = acquires(1).remove(0);
    rig.hub.ask([request.clone()]);
    let Reply::NotApplied(Refusal::Rejected(words)) = rig.hub.answered(&request).await else {
        panic!("{:?}", rig.hub.reply(&request));
    };
    for part in ["s:1", "s:2", "no primary of the name other"] {
        assert!(words.as_str().contains(part), "{words}");
    }
}

/// One that cannot be asked may know it.
#[tokio::test(start_paused = true)]
async fn a_name_that_some_sentinels_do_not_know_is_an_outage() {
    for other in [Host::Refuses, Host::Hangs] {
        let rig = Rig::new("other", [other, sentinel(&names(FIRST))]);
        let LinkStatus::Down { why } = rig.not_up().await else {
            panic!("{:?}", rig.status());
        };
        assert!(
            why.as_str().contains("no primary of the name other"),
            "{why}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn sentinels_that_do_not_answer_are_an_outage_that_names_each() {
    let rig = Rig::new("orders", [Host::Hangs, Host::Refuses]);
    let LinkStatus::Down { why } = rig.not_up().await else {
        panic!("{:?}", rig.status());
    };
    let words = why.as_str();
    for part in ["s:1: it did not answer in time", "s:2: ", "refused"] {
        assert!(words.contains(part), "{words}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_cannot_be_connected_to_is_told_with_who_named_it() {
    for (host, says) in [(Host::Refuses, "refused"), (Host::Hangs, "in time")] {
        let rig = Rig::new("orders", [sentinel(&names(FIRST))]);
        rig.put(FIRST, host);
        let LinkStatus::Down { why } = rig.not_up().await else {
            panic!("{:?}", rig.status());
        };
        let words = why.as_str();
        for part in [says, "10.0.0.9:1000, which Sentinel s:1 names"] {
            assert!(words.contains(part), "{words}");
        }
    }
}
