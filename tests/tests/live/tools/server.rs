//! The servers: each option is what the server says it is, and each way to end one is real.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use tenure_tests::live::server::connect;
use tenure_tests::live::{Fsync, Options, RedisServer, eventually, servers_available, within};
use tokio::net::TcpStream;

async fn refuses_connections(addr: std::net::SocketAddr) -> bool {
    TcpStream::connect(addr).await.is_err()
}

#[tokio::test]
async fn a_server_serves_on_its_port_and_its_socket_until_it_is_dropped() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let addr = server.addr();
    let mut link = server.connect().await;
    redis::cmd("SET")
        .arg("k")
        .arg("v")
        .exec_async(&mut link)
        .await
        .expect("SET over TCP");
    let value: String = server.cmd(&["GET", "k"]).await;
    assert_eq!(
        value, "v",
        "the socket leads to the same server as the port"
    );
    assert_eq!(
        server.info("process_id").await,
        Some(server.pid().to_string())
    );
    assert_eq!(server.info("aof_enabled").await.as_deref(), Some("0"));
    drop(server);
    assert!(refuses_connections(addr).await);
}

#[tokio::test]
async fn many_servers_start_side_by_side() {
    if !servers_available() {
        return;
    }
    let start = || async { RedisServer::start(Options::new()).await };
    let (a, b, c, d, e) = tokio::join!(start(), start(), start(), start(), start());
    let mut ids = Vec::new();
    for server in [&a, &b, &c, &d, &e] {
        ids.push(server.info("run_id").await.expect("a run id"));
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 5);
}

#[tokio::test]
async fn a_killed_server_comes_back_empty_or_with_its_data_as_it_is_told() {
    if !servers_available() {
        return;
    }
    let mut server = RedisServer::start(Options::new().append_only(Fsync::Always)).await;
    let addr = server.addr();
    let first_life = server.info("run_id").await;
    server.cmd::<()>(&["SET", "k", "v"]).await;

    server.kill();
    assert!(refuses_connections(addr).await);
    server.restart_with_data().await;
    assert_eq!(server.addr(), addr);
    assert_ne!(server.info("run_id").await, first_life);
    assert_eq!(
        server.cmd::<Option<String>>(&["GET", "k"]).await.as_deref(),
        Some("v")
    );

    server.restart_empty().await;
    assert_eq!(server.addr(), addr);
    assert_eq!(server.cmd::<u64>(&["DBSIZE"]).await, 0);
}

#[tokio::test]
async fn a_server_without_an_append_only_file_loses_everything_when_killed() {
    if !servers_available() {
        return;
    }
    let mut server = RedisServer::start(Options::new()).await;
    server.cmd::<()>(&["SET", "k", "v"]).await;
    server.restart_with_data().await;
    assert_eq!(server.cmd::<u64>(&["DBSIZE"]).await, 0);
}

#[tokio::test]
async fn options_reach_the_server() {
    if !servers_available() {
        return;
    }
    let options = Options::new()
        .append_only(Fsync::EverySecond)
        .max_memory("10mb", "noeviction")
        .config("lazyfree-lazy-user-del yes");
    let server = RedisServer::start(options).await;
    for (name, value) in [
        ("appendonly", "yes"),
        ("appendfsync", "everysec"),
        ("save", ""),
        ("maxmemory", "10485760"),
        ("maxmemory-policy", "noeviction"),
        ("lazyfree-lazy-user-del", "yes"),
    ] {
        let (_, said): (String, String) = server.cmd(&["CONFIG", "GET", name]).await;
        assert_eq!(said, value, "{name}");
    }
}

#[tokio::test]
async fn a_password_and_acl_users_let_in_who_knows_them_and_nobody_else() {
    if !servers_available() {
        return;
    }
    let options = Options::new()
        .password("secret")
        .user("alice on >wonder ~a:* &* +@all -eval");
    let server = RedisServer::start(options).await;
    connect(&server.url()).await;

    let mut alice = connect(&server.url_with("alice", "wonder", 1)).await;
    redis::cmd("SET")
        .arg("a:k")
        .arg("v")
        .exec_async(&mut alice)
        .await
        .expect("her key");
    let size: String = server.info("db1").await.expect("database 1 has keys");
    assert!(size.starts_with("keys=1,"), "{size}");
    for refused in [
        redis::cmd("GET").arg("k"),
        redis::cmd("EVAL").arg("return 1").arg(0),
    ] {
        let error = refused
            .exec_async(&mut alice)
            .await
            .expect_err("not allowed to her");
        assert_eq!(error.code(), Some("NOPERM"), "{error}");
    }

    let wrong = redis::Client::open(server.url_with("alice", "under", 0)).expect("a URL");
    let error = wrong
        .get_multiplexed_async_connection()
        .await
        .expect_err("a wrong password");
    assert_eq!(
        error.kind(),
        redis::ErrorKind::AuthenticationFailed,
        "{error}"
    );
    let nobody = redis::Client::open(format!("redis://{}/", server.addr())).expect("a URL");
    let mut nobody = nobody
        .get_multiplexed_async_connection()
        .await
        .expect("no password asked");
    let error = redis::cmd("GET")
        .arg("k")
        .exec_async(&mut nobody)
        .await
        .expect_err("no password");
    assert_eq!(error.code(), Some("NOAUTH"), "{error}");
}

#[tokio::test]
async fn a_paused_server_answers_nothing_keeps_everything_and_its_clock_goes_on() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let mut link = server.connect().await;
    redis::cmd("SET")
        .arg("k")
        .arg("v")
        .arg("PX")
        .arg(300)
        .exec_async(&mut link)
        .await
        .expect("SET");
    server.cmd::<()>(&["SET", "stays", "v"]).await;

    server.pause();
    let mut asked = link.clone();
    let mut command = redis::cmd("PING");
    let mut pong = std::pin::pin!(command.arg("x").query_async::<String>(&mut asked));
    #[allow(
        clippy::disallowed_methods,
        reason = "that nothing comes can only be seen for a while"
    )]
    let silent = tokio::time::timeout(Duration::from_millis(400), &mut pong).await;
    assert!(silent.is_err(), "a paused server answered {silent:?}");

    server.resume();
    assert_eq!(
        within("the reply after the pause", pong)
            .await
            .expect("a reply"),
        "x"
    );
    assert_eq!(
        server.cmd::<u64>(&["EXISTS", "k"]).await,
        0,
        "expired while it was paused"
    );
    assert_eq!(server.cmd::<u64>(&["EXISTS", "stays"]).await, 1);
}

#[tokio::test]
async fn a_paused_server_can_be_killed_restarted_and_dropped() {
    if !servers_available() {
        return;
    }
    let mut server = RedisServer::start(Options::new()).await;
    server.pause();
    server.restart_empty().await;
    server.pause();
    let addr = server.addr();
    drop(server);
    assert!(refuses_connections(addr).await);
}

#[tokio::test]
async fn a_replica_follows_its_primary_and_refuses_writes_until_it_is_promoted() {
    if !servers_available() {
        return;
    }
    let options = Options::new().password("secret");
    let primary = RedisServer::start(options.clone()).await;
    primary.cmd::<()>(&["SET", "k", "v"]).await;
    let replica = RedisServer::start(options.replica_of(primary.addr())).await;
    replica.in_sync().await;
    assert_eq!(
        replica
            .cmd::<Option<String>>(&["GET", "k"])
            .await
            .as_deref(),
        Some("v")
    );
    let refused = replica
        .try_cmd::<()>(&["SET", "k", "w"])
        .await
        .expect_err("a replica");
    assert_eq!(refused.code(), Some("READONLY"), "{refused}");
    replica.cmd::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    replica.cmd::<()>(&["SET", "k", "w"]).await;
}

/// Not a test by itself: the process that the test below kills.
#[tokio::test]
#[ignore = "runs for ever; the test below starts and kills it"]
async fn holds_a_server_until_it_is_killed() {
    let server = RedisServer::start(Options::new()).await;
    // Not `println!`, which libtest captures.
    writeln!(std::io::stdout().lock(), "\nserver: {}", server.addr()).expect("a pipe to the test");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_server_does_not_outlive_a_test_process_that_was_killed() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let tied = std::env::split_paths(&path).any(|folder| folder.join("setpriv").is_file());
    // Without that program servers are not tied to the test process.
    if !servers_available() || !tied {
        return;
    }
    // A process that is killed cannot remove the server's folder, so that lies in ours.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut owner = Command::new(std::env::current_exe().expect("this test's own program"))
        .args([
            "tools::server::holds_a_server_until_it_is_killed",
            "--exact",
            "--ignored",
        ])
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test's own program runs");
    let lines = BufReader::new(owner.stdout.take().expect("its output")).lines();
    let addr = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("server: ").map(str::to_owned))
        .expect("it says where its server is");
    let addr = addr.parse().expect("an address");
    assert!(!refuses_connections(addr).await);
    owner.kill().expect("our own child can be killed");
    owner.wait().expect("our own child can be waited for");
    eventually("the orphaned server is gone", || refuses_connections(addr)).await;
}
