//! The proxy again: what becomes of whole connections, and words that are rewritten for a while.

use std::io;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisResult};
use tenure_tests::live::proxy::every_second;
use tenure_tests::live::server::connect;
use tenure_tests::live::{
    Fate, Fault, Match, Proxy, Rewrite, eventually, servers_available, within,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::proxy::{closed, counter, impatient, incr, server_and_proxy};

/// Longer than a busy connection of these tests is idle, even on a busy machine.
const IDLE: Duration = Duration::from_secs(1);
/// Begins as TLS does, so the proxy passes it through unread.
const UNREAD: [u8; 2] = [0x16, 0x01];

/// A proxy before a server that sends back what it is sent. It needs no program.
async fn echo_and_proxy() -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    Proxy::start(addr).await
}

async fn dial(proxy: &Proxy) -> TcpStream {
    let dialled = TcpStream::connect(proxy.addr()).await;
    dialled.expect("the proxy accepts")
}

async fn send_and_read(stream: &mut TcpStream) -> io::Result<usize> {
    stream.write_all(&UNREAD).await?;
    stream.read(&mut [0; 2]).await
}

/// That it answers.
async fn serves(stream: &mut TcpStream) {
    let answer = within("an answer", send_and_read(stream)).await;
    assert_eq!(answer.expect("an answer"), UNREAD.len());
}

/// What the client finds when nothing more is sent.
async fn end(stream: &mut TcpStream) -> io::Result<usize> {
    within("the end of the connection", stream.read(&mut [0; 2])).await
}

fn is_reset(end: &io::Result<usize>) -> bool {
    let kind = end.as_ref().map_err(io::Error::kind);
    kind.is_err_and(|kind| kind == io::ErrorKind::ConnectionReset)
}

/// That nothing comes, which can only be seen for a while.
#[allow(
    clippy::disallowed_methods,
    reason = "that nothing comes can only be seen for a while"
)]
async fn is_silent(stream: &mut TcpStream) {
    let early = tokio::time::timeout(IDLE / 4, send_and_read(stream)).await;
    assert!(early.is_err(), "{early:?}");
}

#[tokio::test]
async fn each_fate_is_met_by_connections_that_exist_and_no_others() {
    let proxy = echo_and_proxy().await;
    for fate in [
        Fate::Closed,
        Fate::Reset,
        Fate::ResetAtNextByte,
        Fate::Swallowed,
    ] {
        let mut stream = dial(&proxy).await;
        serves(&mut stream).await;
        proxy.doom(fate);
        match fate {
            Fate::Closed => assert_eq!(end(&mut stream).await.expect("closed"), 0),
            Fate::Reset => assert!(is_reset(&end(&mut stream).await)),
            Fate::ResetAtNextByte => {
                assert_eq!(proxy.open(), 1, "nothing is to be seen of it before");
                let answer = within("a reset", send_and_read(&mut stream)).await;
                assert!(is_reset(&answer), "{answer:?}");
            }
            Fate::Swallowed => is_silent(&mut stream).await,
        }
        serves(&mut dial(&proxy).await).await;
        proxy.cut().await;
    }
    assert_eq!(proxy.commands(), [], "nothing of it can be read");
}

#[tokio::test]
async fn new_connections_meet_a_fate_until_they_are_spared_and_old_ones_do_not() {
    let proxy = echo_and_proxy().await;
    let mut old = dial(&proxy).await;
    serves(&mut old).await;
    proxy.doom_new(Some(Fate::Swallowed));
    is_silent(&mut dial(&proxy).await).await;
    proxy.doom_new(Some(Fate::Reset));
    assert!(is_reset(&end(&mut dial(&proxy).await).await));
    serves(&mut old).await;
    proxy.doom_new(None);
    serves(&mut dial(&proxy).await).await;
}

#[tokio::test]
async fn a_connection_meets_its_fate_when_it_was_idle_and_not_while_it_is_busy() {
    let proxy = echo_and_proxy().await;
    let (mut idle, mut busy) = (dial(&proxy).await, dial(&proxy).await);
    serves(&mut idle).await;
    proxy.doom_idle(IDLE, Fate::Closed);
    while proxy.open() == 2 {
        serves(&mut busy).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(end(&mut idle).await.expect("closed"), 0);
    serves(&mut busy).await;

    proxy.spare_idle();
    serves(&mut busy).await;
    proxy.doom_idle(IDLE, Fate::ResetAtNextByte);
    eventually("the last is idle for too long", async || {
        proxy.doomed() == 1
    })
    .await;
    serves(&mut dial(&proxy).await).await;
    let answer = within("an answer", send_and_read(&mut busy)).await;
    assert!(is_reset(&answer), "{answer:?}");
}

/// A client that has asked does not hear of it; one that asks again does.
#[tokio::test]
async fn a_forgotten_connection_carries_no_command_to_the_server() {
    if !servers_available() {
        return;
    }
    let (server, proxy) = server_and_proxy().await;
    let link = connect(&proxy.url()).await;
    incr(&link).await.expect("served");
    proxy.doom(Fate::ResetAtNextByte);
    let error = incr(&link).await.expect_err("forgotten");
    assert!(closed(&error), "{error}");
    assert_eq!(counter(&server).await, 1);

    let link = impatient(&proxy).await;
    proxy.doom(Fate::Swallowed);
    let error = incr(&link).await.expect_err("swallowed");
    assert!(error.is_timeout(), "{error}");
    assert_eq!(counter(&server).await, 1);
    proxy.doom(Fate::Closed);
    eventually("it is closed all the same", || async { proxy.open() == 0 }).await;
    incr(&connect(&proxy.url()).await).await.expect("a new one");
}

#[tokio::test]
async fn every_second_command_is_refused_until_that_is_stopped() {
    if !servers_available() {
        return;
    }
    let (server, proxy) = server_and_proxy().await;
    let link = connect(&proxy.url()).await;
    let refusing = proxy.rewrite(every_second("INCR", "-NOSCRIPT No matching script."));
    for _ in 0..3 {
        incr(&link).await.expect("the first of two");
        let error = incr(&link).await.expect_err("the second of two");
        assert_eq!(error.code(), Some("NOSCRIPT"), "{error}");
    }
    assert_eq!((refusing.count(), counter(&server).await), (3, 3));
    assert_eq!(proxy.count("INCR"), 6, "all are counted");
    refusing.stop();
    assert_eq!(incr(&link).await.expect("served"), 4);
    assert_eq!(incr(&link).await.expect("served"), 5);
}

async fn hello(link: &MultiplexedConnection) -> RedisResult<redis::Value> {
    Cmd::new()
        .arg("HELLO")
        .arg("2")
        .query_async(&mut link.clone())
        .await
}

#[tokio::test]
async fn a_command_can_be_unknown_to_the_server_or_make_it_hang_up() {
    if !servers_available() {
        return;
    }
    let (_server, proxy) = server_and_proxy().await;
    let link = connect(&proxy.url()).await;
    let unknown = proxy.rewrite(|command| {
        let line = "-unsupported command 'HELLO'".to_owned();
        command.is("HELLO").then_some(Rewrite::Refuse(line))
    });
    let error = hello(&link).await.expect_err("unknown");
    assert_eq!(error.code(), Some("unsupported"), "{error}");
    incr(&link).await.expect("the connection goes on");

    unknown.stop();
    let ends = proxy.rewrite(|command| command.is("HELLO").then_some(Rewrite::HangUp));
    let error = hello(&link).await.expect_err("it hangs up");
    assert!(closed(&error), "{error}");
    assert_eq!((unknown.count(), ends.count()), (1, 1));
}

/// The first rewriter that wants a command has it, and what is armed strikes what came of it.
#[tokio::test]
async fn words_and_replies_are_rewritten_together_with_all_else() {
    if !servers_available() {
        return;
    }
    let (server, proxy) = server_and_proxy().await;
    let link = connect(&proxy.url()).await;
    let twice = proxy.rewrite(|command| {
        let words: [&[u8]; 3] = [b"INCRBY", b"n", b"2"];
        command.is("INCR").then(|| Rewrite::command(words))
    });
    let never = proxy.rewrite(|command| command.is("INCR").then_some(Rewrite::HangUp));
    assert_eq!(incr(&link).await.expect("rewritten"), 2);
    twice.stop();
    never.stop();

    let more = proxy.rewrite(|command| {
        let nines = |_: Vec<u8>| b":99\r\n".to_vec();
        command.is("INCR").then(|| Rewrite::Reply(Box::new(nines)))
    });
    assert_eq!(incr(&link).await.expect("its reply is rewritten"), 99);
    assert_eq!(counter(&server).await, 3);
    let lost = proxy.on(Match::command("INCR"), Fault::LoseReplyAndClose);
    incr(&link).await.expect_err("its reply is lost moreover");
    lost.hit().await;
    more.stop();
    let answered = proxy.rewrite(|command| {
        let line = ":7".to_owned();
        command.is("INCR").then_some(Rewrite::Answer(line))
    });
    assert_eq!(incr(&connect(&proxy.url()).await).await.expect("7"), 7);
    assert_eq!((answered.count(), counter(&server).await), (1, 5));
}

#[tokio::test]
async fn a_delayed_command_reaches_the_server_late() {
    if !servers_available() {
        return;
    }
    let (server, proxy) = server_and_proxy().await;
    let link = impatient(&proxy).await;
    proxy.delay(Duration::from_millis(10));
    assert_eq!(incr(&link).await.expect("a little late"), 1);
    proxy.delay(Duration::from_secs(3_600));
    let error = incr(&link).await.expect_err("much too late");
    assert!(error.is_timeout(), "{error}");
    assert_eq!((proxy.count("INCR"), counter(&server).await), (2, 1));
}
