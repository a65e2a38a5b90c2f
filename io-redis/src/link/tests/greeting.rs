//! What a dial comes to: the words with which a server refuses to greet, or hangs up, and the race
//! of several addresses until one greets.

use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::link::address::Address;
use crate::link::connect::{DialError, Dialer};
use crate::link::tests::hub::PausedClock;
use crate::link::tests::reconnect::{Answers, command, primary};
use crate::runtime::{BoxFuture, ByteStream, Clock, Connector, Endpoint};

/// What is behind an address.
#[derive(Clone)]
enum Way {
    /// It reads, and says nothing.
    Swallows,
    /// Hangs up at once, with these words or none.
    HangsUp(&'static str),
    /// Says this as soon as it has read something, and hangs up.
    Says(&'static str),
    Answers(Answers),
    /// There is no connection, and this error.
    Fails(&'static str),
}

/// Says this to every command.
fn refuses(words: &'static str) -> Way {
    Way::Answers(Arc::new(move |_| Some(format!("-{words}\r\n"))))
}

fn serves() -> Way {
    Way::Answers(primary("a", 1))
}

/// A name with these addresses. Notes which are connected to.
#[derive(Clone)]
struct Name {
    ways: Vec<Way>,
    dialled: Arc<Mutex<Vec<usize>>>,
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Name")
    }
}

impl Name {
    fn of(ways: impl IntoIterator<Item = Way>) -> Self {
        let ways = ways.into_iter().collect();
        let dialled = Arc::default();
        Self { ways, dialled }
    }

    fn dialer(&self, url: &str) -> Dialer {
        let address = Address::parse(url).expect("an address");
        Dialer::new(
            address,
            None,
            Arc::new(self.clone()),
            Arc::new(PausedClock::new()),
        )
    }

    /// Dials once, for two seconds at most. Says why it did not succeed.
    async fn refused(&self, url: &str) -> DialError {
        let mut dialer = self.dialer(url);
        let clock = PausedClock::new();
        let over = clock.sleep_until(clock.now() + Duration::from_secs(2));
        let dialled = async {
            match select(pin!(dialer.dial()), over).await {
                Either::Left((dialled, _)) => Some(dialled),
                Either::Right(_) => None,
            }
        };
        match dialled.await {
            Some(Ok(_)) => panic!("it refuses"),
            Some(Err(why)) => return why,
            None => {}
        }
        dialer.why_not().expect("it has words")
    }

    fn dialled(&self) -> Vec<usize> {
        std::mem::take(&mut self.dialled.lock().expect("no panic"))
    }
}

impl Connector for Name {
    fn addresses<'a>(&'a self, _: &'a Endpoint) -> BoxFuture<'a, io::Result<Vec<Endpoint>>> {
        let endpoint = |at: usize| Endpoint::Tcp {
            host: at.to_string(),
            port: 1,
        };
        let addresses = (0..self.ways.len()).map(endpoint).collect();
        Box::pin(std::future::ready(Ok(addresses)))
    }

    fn connect<'a>(
        &'a self,
        endpoint: &'a Endpoint,
    ) -> BoxFuture<'a, io::Result<Box<dyn ByteStream>>> {
        Box::pin(async move {
            let Endpoint::Tcp { host, .. } = endpoint else {
                panic!("it is an address of this name");
            };
            let at: usize = host.parse().expect("its number");
            self.dialled.lock().expect("no panic").push(at);
            let (ours, theirs) = tokio::io::duplex(1 << 16);
            let way = self.ways[at].clone();
            match way {
                // The other end is closed before anything is written to it.
                Way::HangsUp(words) => say(theirs, words).await,
                Way::Fails(text) => return Err(io::Error::other(text)),
                way => drop(tokio::spawn(behind(theirs, way))),
            }
            Ok(Box::new(ours) as Box<dyn ByteStream>)
        })
    }
}

async fn say(mut stream: DuplexStream, words: &str) {
    let line = match words {
        "" => String::new(),
        words => format!("-{words}\r\n"),
    };
    stream.write_all(line.as_bytes()).await.expect("it is open");
}

async fn behind(mut stream: DuplexStream, way: Way) {
    let mut bytes = Vec::new();
    while stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
        match &way {
            Way::Says(line) => {
                let _ = stream.write_all(line.as_bytes()).await;
                return;
            }
            Way::Answers(answers) => {
                while let Some((words, used)) = command(&bytes) {
                    bytes.drain(..used);
                    let answer = answers(&words).expect("it answers all");
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            }
            Way::Swallows | Way::HangsUp(_) | Way::Fails(_) => {}
        }
    }
}

/// With a password or without, in either protocol, in another database.
const URLS: [&str; 7] = [
    "redis://node",
    "redis://:pw12@node",
    "redis://user:pw12@node",
    "redis://:pw12@node?protocol=resp2",
    "redis://:pw12@node?protocol=resp3",
    "redis://node?protocol=resp2",
    "redis://node/3?protocol=resp2",
];

#[tokio::test(start_paused = true)]
async fn an_outage_during_the_login_is_an_outage_in_the_servers_words() {
    for words in [
        "LOADING Redis is loading the dataset in memory",
        "ERR max number of clients reached",
        "TRYAGAIN later",
        "BUSY Redis is busy running a script",
        "MASTERDOWN Link with MASTER is down",
        "ERR upstream failure",
    ] {
        // Without anything to log in with, what names the client may be refused.
        for url in &URLS[1..5] {
            let why = Name::of([refuses(words)]).refused(url).await;
            assert_eq!(why, DialError::unavailable(words), "{url}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_server_says_before_it_hangs_up_is_told() {
    let words = "ERR max number of clients reached";
    for url in URLS {
        for way in [
            Way::HangsUp(words),
            Way::Says("-ERR max number of clients reached\r\n"),
        ] {
            let why = Name::of([way]).refused(url).await;
            assert_eq!(why, DialError::unavailable(words), "{url}");
        }
        let denied = "DENIED Redis is running in protected mode";
        let why = Name::of([Way::HangsUp(denied)]).refused(url).await;
        assert!(matches!(&why, DialError::Rejected(w) if w.as_str() == denied));
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_refused_is_told_in_the_servers_words() {
    for words in [
        "WRONGPASS invalid username-password pair or user is disabled.",
        "NOAUTH Authentication required.",
        "ERR invalid password",
        "ERR Client sent AUTH, but no password is set",
        "ERR AUTH <password> called without any password configured for the default user.",
    ] {
        for url in &URLS[1..5] {
            let name = Name::of([refuses(words)]);
            match name.refused(url).await {
                DialError::Rejected(told) => assert_eq!(told.as_str(), words, "{url}"),
                other => panic!("{url}: {other:?}"),
            }
            assert_eq!(name.dialled(), [0], "nobody is asked twice: {url}, {words}");
        }
    }
}

/// The words of other errors may have anything in them, such as the name of a certificate.
#[tokio::test(start_paused = true)]
async fn what_no_server_said_is_no_refusal() {
    for text in [
        "certificate not valid for name \"password.example\"",
        "WRONGPASS.example: no such host, DB index or username",
    ] {
        let name = Name::of([Way::Fails(text)]);
        let why = name.refused("redis://:pw12@node").await;
        assert_eq!(why, DialError::unavailable(text));
    }
}

/// A server before 6.0 knows no users, and redis-rs asks it once more.
#[tokio::test(start_paused = true)]
async fn a_login_without_a_user_at_an_old_server_is_told_in_its_words() {
    let old: Answers = Arc::new(|words| {
        let answer = match (words[0].as_str(), words.len()) {
            ("AUTH", 3) => "-ERR wrong number of arguments for 'auth' command\r\n",
            ("AUTH", _) => "-ERR invalid password\r\n",
            ("HELLO", _) => "-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n",
            _ => "-NOAUTH Authentication required.\r\n",
        };
        Some(answer.to_owned())
    });
    for url in ["redis://user:pw12@node", "redis://user:pw12@node/3"] {
        let why = Name::of([Way::Answers(Arc::clone(&old))])
            .refused(url)
            .await;
        assert!(
            matches!(&why, DialError::Rejected(w) if w.as_str() == "ERR invalid password"),
            "{url}: {why:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_where_nobody_greets_does_not_keep_from_the_next() {
    let clock = PausedClock::new();
    for bad in [
        Way::Swallows,
        Way::HangsUp(""),
        Way::HangsUp("ERR max number of clients reached"),
        Way::Says("HTTP/1.1 400 Bad Request\r\n\r\n"),
        refuses("LOADING Redis is loading the dataset in memory"),
    ] {
        for ways in [[bad.clone(), serves()], [serves(), bad]] {
            let begun = clock.now();
            let name = Name::of(ways);
            assert!(name.dialer("redis://:pw12@node").dial().await.is_ok());
            let took = clock.now().saturating_since(begun);
            assert!(took <= Duration::from_millis(110), "{took:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_address_says_is_told_though_the_other_says_nothing() {
    let loading = "LOADING Redis is loading the dataset in memory";
    let wrong = "WRONGPASS invalid username-password pair or user is disabled.";
    let (says, denies) = (refuses(loading), refuses(wrong));
    for other in [Way::Swallows, Way::HangsUp("")] {
        for ways in [[says.clone(), other.clone()], [other.clone(), says.clone()]] {
            let why = Name::of(ways).refused("redis://:pw12@node").await;
            assert_eq!(why, DialError::unavailable(loading));
        }
        for ways in [
            vec![denies.clone(), other.clone()],
            vec![other.clone(), denies.clone(), says.clone()],
        ] {
            let why = Name::of(ways).refused("redis://:pw12@node").await;
            assert!(matches!(&why, DialError::Rejected(w) if w.as_str() == wrong));
        }
    }
}

/// Such as a replica behind the same name.
#[tokio::test(start_paused = true)]
async fn an_address_that_greets_and_does_not_serve_comes_last_at_the_next_dial() {
    let name = Name::of([serves(), serves(), serves()]);
    let mut dialer = name.dialer("redis://node");
    for at in [0, 1, 2, 0, 1] {
        assert!(dialer.dial().await.is_ok());
        assert_eq!(name.dialled(), [at]);
    }
    dialer.served();
    assert!(dialer.dial().await.is_ok());
    assert_eq!(name.dialled(), [0]);
}
