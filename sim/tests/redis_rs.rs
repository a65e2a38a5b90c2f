//! The client library redis-rs works against the embedded server: over memory and over TCP, in
//! RESP2 and in RESP3.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo, RedisError,
    Script, Value,
};
use tenure_sim::server::{ManualClock, Server};
use tokio::io::{AsyncRead, AsyncWrite};

async fn connect<S>(
    stream: S,
    protocol: ProtocolVersion,
) -> Result<MultiplexedConnection, RedisError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let info = RedisConnectionInfo::default()
        .set_protocol(protocol)
        .set_password("sesame");
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(20)));
    let (connection, driver) =
        MultiplexedConnection::new_with_config(&info, stream, config).await?;
    tokio::spawn(driver);
    Ok(connection)
}

/// Does what an adapter does: locks, renews, waits for the expiry, and kills a connection.
async fn walk(
    server: &Server,
    clock: &ManualClock,
    mut link: MultiplexedConnection,
) -> Result<(), RedisError> {
    let set: Value = redis::cmd("SET")
        .arg("k")
        .arg("token")
        .arg("NX")
        .arg("PX")
        .arg(1000)
        .query_async(&mut link)
        .await?;
    assert_eq!(set, Value::Okay);
    let again: Value = redis::cmd("SET")
        .arg("k")
        .arg("other")
        .arg("NX")
        .query_async(&mut link)
        .await?;
    assert_eq!(again, Value::Nil);

    renew(&mut link).await?;
    let left: i64 = redis::cmd("PTTL").arg("k").query_async(&mut link).await?;
    assert_eq!(left, 2000, "the clock stands still");
    clock.advance(Duration::from_millis(2001));
    let gone: Option<String> = redis::cmd("GET").arg("k").query_async(&mut link).await?;
    assert_eq!(gone, None);

    kill_itself(server, &mut link).await
}

/// Runs a script that renews the lock: before it is loaded, as the holder, and as a stranger.
async fn renew(link: &mut MultiplexedConnection) -> Result<(), RedisError> {
    let renew = Script::new(
        "if redis.call('get', KEYS[1]) == ARGV[1] then
            return redis.call('pexpire', KEYS[1], ARGV[2])
        end
        return 0",
    );
    let sha = renew.get_hash().to_owned();
    let missing: Result<Value, RedisError> = redis::cmd("EVALSHA")
        .arg(&sha)
        .arg(1)
        .arg("k")
        .arg("token")
        .arg(2000)
        .query_async(link)
        .await;
    assert_eq!(
        missing.expect_err("not loaded yet").kind(),
        redis::ErrorKind::Server(redis::ServerErrorKind::NoScript)
    );
    let renewed: i64 = renew
        .key("k")
        .arg("token")
        .arg(2000)
        .invoke_async(link)
        .await?;
    assert_eq!(renewed, 1);
    let refused: i64 = renew
        .key("k")
        .arg("stranger")
        .arg(2000)
        .invoke_async(link)
        .await?;
    assert_eq!(refused, 0);
    Ok(())
}

/// Kills its own connection by its client id.
async fn kill_itself(server: &Server, link: &mut MultiplexedConnection) -> Result<(), RedisError> {
    let id: i64 = redis::cmd("CLIENT").arg("ID").query_async(link).await?;
    let info: String = redis::cmd("INFO").arg("server").query_async(link).await?;
    assert!(
        info.contains(&format!("run_id:{}", server.run_id())),
        "{info}"
    );
    let killed: i64 = redis::cmd("CLIENT")
        .arg("KILL")
        .arg("ID")
        .arg(id)
        .arg("SKIPME")
        .arg("no")
        .query_async(link)
        .await?;
    assert_eq!(killed, 1);
    let after: Result<Value, RedisError> = redis::cmd("PING").query_async(link).await;
    assert!(
        after.is_err(),
        "a client that killed itself has no connection"
    );
    Ok(())
}

fn server() -> (Server, ManualClock) {
    let clock = ManualClock::default();
    let server = Server::with_seed(clock.clone(), 7);
    server.set_password("sesame");
    (server, clock)
}

#[tokio::test]
async fn redis_rs_works_over_memory_in_both_protocols() -> Result<(), RedisError> {
    for protocol in [ProtocolVersion::RESP2, ProtocolVersion::RESP3] {
        let (server, clock) = server();
        // A tiny pipe, so that requests and replies arrive in pieces.
        let (near, far) = tokio::io::duplex(7);
        tokio::spawn(server.serve(far));
        walk(&server, &clock, connect(near, protocol).await?).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_rs_works_over_tcp_in_both_protocols() -> Result<(), RedisError> {
    for protocol in [ProtocolVersion::RESP2, ProtocolVersion::RESP3] {
        let (server, clock) = server();
        let listening = server.listen_loopback()?;
        let info = format!("redis://:sesame@{}/", listening.address()).into_connection_info()?;
        let redis = info.redis_settings().clone().set_protocol(protocol);
        let client = redis::Client::open(info.set_redis_settings(redis))?;
        walk(
            &server,
            &clock,
            client.get_multiplexed_async_connection().await?,
        )
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_closed_listener_closes_what_it_accepted() -> Result<(), RedisError> {
    let (server, _) = server();
    let listening = server.listen_loopback()?;
    let client = redis::Client::open(format!("redis://:sesame@{}/", listening.address()))?;
    let mut link = client.get_multiplexed_async_connection().await?;
    drop(listening);
    let answer: Result<Value, RedisError> = redis::cmd("PING").query_async(&mut link).await;
    assert!(answer.is_err());
    // The task ends when the runtime gets to it.
    for _ in 0..1000 {
        if server.connections() == 0 {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
    panic!("{} connections are left", server.connections());
}
