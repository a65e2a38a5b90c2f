//! A loss that is told at once: who waits to be told has the key watched by the server. Leases of
//! these tests are renewed after minutes, so that no renewal finds the loss.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tenure_redis::{Builder, Guard, Locks, Loss};
use tenure_tests::live::clients::{LONG, calls, connect, locked};
use tenure_tests::live::wait::nobody_asks_for;
use tenure_tests::live::{Options, Proxy, RedisServer, eventually, servers_available, within};
use tokio::task::JoinSet;

fn quiet() -> Builder {
    Locks::builder()
        .ttl(LONG)
        .request_timeout(Duration::from_secs(5))
}

/// Waits until the server watches so many keys.
pub(super) async fn watched(server: &RedisServer, count: usize) {
    eventually(format!("{count} keys are watched"), || async {
        let keys = server.info("tracking_total_keys").await;
        keys.and_then(|keys| keys.parse().ok()) == Some(count)
    })
    .await;
}

/// Waits until so many connections watch keys. The server keeps what those watched that are gone.
async fn watching(server: &RedisServer, count: usize) {
    eventually(format!("{count} connections watch"), || async {
        let clients = server.info("tracking_clients").await;
        clients.and_then(|clients| clients.parse().ok()) == Some(count)
    })
    .await;
}

/// What makes a holder lose the key `k`, and what that is told as.
type Way = (&'static [&'static [&'static str]], fn(&Loss) -> bool);

const WAYS: [Way; 4] = [
    (&[&["DEL", "k"]], |loss| *loss == Loss::Gone),
    (&[&["SET", "k", "theirs"]], |loss| *loss == Loss::Taken),
    (&[&["FLUSHALL"]], |loss| *loss == Loss::Gone),
    (
        &[
            &["MULTI"],
            &["DEL", "k"],
            &["HSET", "k", "f", "v"],
            &["EXEC"],
        ],
        |loss| *loss == Loss::Taken,
    ),
];

/// Loses the lock in each of these ways while it is waited for in this one.
async fn each_way<T>(wait: impl AsyncFn(&Guard) -> T, loss: impl Fn(T) -> Loss) {
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(quiet(), server.url()).await;
    let mut link = server.connect().await;
    for (commands, is_told) in WAYS {
        let guard = locked(&locks, "k").await;
        let lose = async {
            watched(&server, 1).await;
            for words in commands {
                let mut command = redis::cmd(words[0]);
                command.arg(&words[1..]);
                let obeyed = command.exec_async(&mut link).await;
                obeyed.expect("the server obeys");
            }
        };
        let told = within("it is told", wait(&guard));
        let (told, ()) = futures_util::future::join(told, lose).await;
        let told = loss(told);
        assert!(is_told(&told), "{commands:?} {told:?}");
        assert!(!guard.is_valid());
        drop(guard);
        server.cmd::<()>(&["FLUSHALL"]).await;
        watched(&server, 0).await;
    }
}

#[tokio::test]
async fn who_awaits_the_loss_is_told_of_it_at_once() {
    if !servers_available() {
        return;
    }
    each_way(async |guard| guard.lost().await, |lost| lost.loss).await;
}

#[tokio::test]
async fn work_is_dropped_at_once_when_its_lock_is_lost() {
    if !servers_available() {
        return;
    }
    let endless = std::future::pending::<()>;
    let told = |ran: Result<(), tenure_redis::Lost>| ran.expect_err("it never ends").loss;
    each_way(async |guard| guard.run(endless()).await, told).await;
}

/// It is found when the key is watched again.
#[tokio::test]
async fn a_loss_while_the_connection_was_cut_is_told_with_the_next_one() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let proxy = Proxy::start(server.addr()).await;
    let locks = connect(quiet(), proxy.url()).await;
    for while_cut in [true, false] {
        let guard = locked(&locks, "k").await;
        let lose = async {
            watching(&server, 1).await;
            proxy.refuse().await;
            proxy.cut().await;
            watching(&server, 0).await;
            if while_cut {
                server.cmd::<i64>(&["DEL", "k"]).await;
                proxy.accept().await;
            } else {
                proxy.accept().await;
                watching(&server, 1).await;
                server.cmd::<i64>(&["DEL", "k"]).await;
            }
        };
        let told = within("it is told", guard.lost());
        let (lost, ()) = futures_util::future::join(told, lose).await;
        assert_eq!(lost.loss, Loss::Gone);
    }
}

#[tokio::test]
async fn what_touches_the_key_and_leaves_it_is_no_loss() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(quiet(), server.url()).await;
    let guard = locked(&locks, "k").await;
    let mut lost = pin!(guard.lost());
    assert!(poll_fn(|cx| Poll::Ready(lost.as_mut().poll(cx).is_pending())).await);
    watched(&server, 1).await;
    let before = calls(&server, "evalsha").await;
    server.cmd::<()>(&["PEXPIRE", "k", "500000"]).await;
    eventually("it is asked about", || async {
        calls(&server, "evalsha").await > before
    })
    .await;
    // It is renewed by that.
    eventually("it has its time again", || async {
        server.cmd::<i64>(&["PTTL", "k"]).await > 500_000
    })
    .await;
    assert!(guard.is_valid());
    assert!(poll_fn(|cx| Poll::Ready(lost.as_mut().poll(cx).is_pending())).await);
}

/// The server forgets innocent keys then, and says so by what it says of a key that was touched.
#[tokio::test]
async fn a_server_that_can_watch_few_keys_is_not_asked_again_and_again() {
    const LEASES: u64 = 2_000;
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new().config("tracking-table-max-keys 100")).await;
    let span = Duration::from_secs(4);
    let mut waiting = JoinSet::new();
    let mut clients = Vec::new();
    for client in 0..2 {
        let builder = quiet().options(|options| options.renew_after(span));
        let locks = connect(builder, server.url()).await;
        let keys = (0..LEASES / 2).map(|number| format!("k{client}-{number}"));
        let locking = keys.map(|key| locked(&locks, key));
        for guard in futures_util::future::join_all(locking).await {
            waiting.spawn(async move { guard.lost().await });
        }
        clients.push(locks);
    }
    let count = async || {
        // A renewal by script counts what it calls, too.
        calls(&server, "evalsha").await + calls(&server, "mget").await
    };
    nobody_asks_for(span).await;
    let before = count().await;
    nobody_asks_for(3 * span).await;
    let asked = count().await - before;
    // Each lease is renewed, watched again, and doubted once, in at most four intervals.
    assert!(asked <= 4 * 3 * LEASES, "{asked}");
    println!("{asked} requests for {LEASES} leases in three intervals");
    assert!(waiting.try_join_next().is_none(), "none is lost");
}
