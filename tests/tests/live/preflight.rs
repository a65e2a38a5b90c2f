//! What a check of a real server finds, and what it does not find where nothing is wrong.

use std::collections::BTreeSet;

use tenure_redis::{Check, Concern, Gravity, Locks};
use tenure_tests::live::clients::{connect, connected, patient};
use tenure_tests::live::{Fsync, Options, RedisServer, servers_available, within};

async fn checked(locks: &Locks) -> Check {
    within("an answer", locks.check()).await
}

/// What is found by a client of this server.
async fn found(options: Options) -> Vec<Concern> {
    let server = RedisServer::start(options).await;
    let locks = connect(patient(), server.url()).await;
    concerns(checked(&locks).await)
}

fn concerns(check: Check) -> Vec<Concern> {
    let findings = check.findings.into_iter();
    findings.map(|finding| finding.concern).collect()
}

/// One that keeps what was written.
fn durable() -> Options {
    Options::new().append_only(Fsync::Always)
}

#[tokio::test]
async fn nothing_is_found_at_a_server_that_keeps_what_was_written() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(durable()).await;
    let locks = connect(patient(), server.url()).await;
    let check = checked(&locks).await;
    assert_eq!((&*check.findings, check.worst()), (&[][..], None));
    let node = &check.nodes[0];
    assert!(node.answered && node.pushes);
    let version = node.version.as_deref().expect("it says so");
    assert!(
        version.starts_with(|digit: char| digit.is_ascii_digit()),
        "{version}"
    );
    // It took no lock, and left no key but the stream.
    assert_eq!(server.cmd::<i64>(&["DBSIZE"]).await, 1);
}

#[tokio::test]
async fn each_setting_that_endangers_locks_is_found() {
    if !servers_available() {
        return;
    }
    assert_eq!(found(Options::new()).await, [Concern::Forgets]);
    let each_second = Options::new().append_only(Fsync::EverySecond);
    assert_eq!(found(each_second).await, [Concern::Forgets]);
    for policy in ["allkeys-lru", "volatile-ttl"] {
        let evicts = durable().max_memory("64mb", policy);
        let policy = policy.to_owned();
        assert_eq!(found(evicts).await, [Concern::Evicts { policy }]);
    }
    assert_eq!(found(durable().max_memory("64mb", "noeviction")).await, []);
    let small = durable()
        .config("client-output-buffer-limit pubsub 100kb 50kb 60")
        .config("tracking-table-max-keys 100");
    let limit = 102_400;
    let small_ones = [
        Concern::SmallOutputBuffer { limit },
        Concern::SmallTrackingTable { keys: 100 },
    ];
    assert_eq!(found(small).await, small_ones);
}

#[tokio::test]
async fn a_primary_that_does_not_wait_for_its_replica_is_found() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(durable()).await;
    let replica = RedisServer::start(Options::new().replica_of(server.addr())).await;
    replica.in_sync().await;
    let locks = connect(patient(), server.url()).await;
    let ahead = |least| {
        let replicas = 1;
        [Concern::AheadOfReplicas { replicas, least }]
    };
    assert_eq!(concerns(checked(&locks).await), ahead(0));
    let wait = ["CONFIG", "SET", "min-replicas-to-write", "1"];
    server.cmd::<()>(&wait).await;
    assert_eq!(concerns(checked(&locks).await), ahead(1));
}

/// The rights that locks need, and none of those that they only want.
#[tokio::test]
async fn each_right_that_is_only_wanted_is_found_if_it_is_missing() {
    if !servers_available() {
        return;
    }
    let rights = "locks on >pass resetchannels ~* -@all +evalsha +script|load +getex +get +pttl \
                  +type +time +set +pexpire +del +xadd +pexpireat +exists +zadd +zrem +zrange \
                  +zrank +zcard +zmscore";
    let server = RedisServer::start(durable().user(rights)).await;
    let locks = connect(patient(), server.url_with("locks", "pass", 0)).await;
    let found = concerns(checked(&locks).await);
    let mut missing = BTreeSet::new();
    let mut others = Vec::new();
    for concern in found {
        assert_eq!(concern.gravity(), Gravity::Note, "{concern}");
        match concern {
            Concern::NoRight { right, words, .. } => {
                assert!(words.contains("NOPERM"), "{words}");
                missing.insert(right);
            }
            Concern::Untold { asked, .. } => others.push(asked),
            Concern::NoPushes => others.push("pushes"),
            other => panic!("{other}"),
        }
    }
    let rights = [
        "client|caching",
        "client|id",
        "client|kill",
        "client|tracking",
        "eval",
        "mget",
        "ping",
        "publish",
        "pubsub|numsub",
    ];
    assert_eq!(missing, BTreeSet::from(rights));
    assert_eq!(others, ["INFO", "CONFIG GET", "pushes"]);
    // The check did no harm.
    let guard = within("a lock", locks.lock("k")).await.expect("it is free");
    assert!(guard.release().await.is_ok());
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_the_first_finding() {
    if !servers_available() {
        return;
    }
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push(RedisServer::start(Options::new()).await);
    }
    let urls: Vec<_> = servers.iter().map(RedisServer::url).collect();
    let locks = connected(patient().nodes(&urls)).await;
    let forgets = [const { Concern::RestsAfterRestart }; 3];
    assert_eq!(concerns(checked(&locks).await), forgets);
    servers[1].kill();
    let check = checked(&locks).await;
    assert_eq!(check.worst(), Some(Gravity::Danger));
    let [first, _, _] = &check.findings[..] else {
        panic!("one is silent, and two may forget: {check}");
    };
    assert!(matches!(first.concern, Concern::Silent { .. }), "{first}");
    assert_eq!(first.node, check.nodes[1].node);
    let answered: Vec<_> = check.nodes.iter().map(|node| node.answered).collect();
    assert_eq!(answered, [true, false, true]);
}

#[tokio::test]
async fn a_client_that_was_closed_tells_its_nodes_as_silent() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(durable()).await;
    let locks = connect(patient(), server.url()).await;
    locks.close().await;
    let why = "the client is closed".to_owned();
    assert_eq!(concerns(checked(&locks).await), [Concern::Silent { why }]);
}
