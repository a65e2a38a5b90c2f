//! A node that is a cluster, by the addresses of its servers: three masters, where a shard fails
//! over each with a replica.

use std::convert::Infallible;
use std::future::ready;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tenure_redis::{
    AddressError, BreakOutcome, Builder, Concern, ConnectError, Credentials, Holder, LockError,
    Locks, Loss, Quarantine, ScanError,
};
use tenure_tests::live::clients::{connected, hasty, locked, patient, refused, renewed, value};
use tenure_tests::live::{
    Cluster, Options, RedisServer, eventually, eventually_some, servers_available, within,
};

/// Keys whose slots are of the three masters, in this order.
const KEYS: [&str; 3] = ["b", "c", "a"];

fn of(builder: Builder, cluster: &Cluster) -> Builder {
    builder.cluster(cluster.urls())
}

/// A master that does not answer for a second has its place taken by its replica, and until then
/// the others serve what they have.
async fn hurried() -> Cluster {
    let options = Options::new()
        .config("cluster-node-timeout 1000")
        .config("cluster-require-full-coverage no");
    let cluster = Cluster::start_with_replicas(options).await;
    for (index, key) in KEYS.iter().enumerate() {
        assert_eq!(cluster.owner(key).await, index, "{key}");
    }
    cluster
}

/// Waits until the replica of this master has all that it wrote until now. (`WAIT` would tell of
/// what its own connection wrote, which is nothing.)
async fn replicated(cluster: &Cluster, master: usize) {
    let offset = async |server: &RedisServer, field| -> u64 {
        let said = server.info(field).await.expect("it says how far it is");
        said.parse().expect("a number of bytes")
    };
    let written = offset(cluster.node(master), "master_repl_offset").await;
    eventually("the replica has it", || async {
        offset(cluster.replica(master), "slave_repl_offset").await >= written
    })
    .await;
}

async fn not_connected(builder: Builder) -> ConnectError {
    let answer = within("an answer", builder.connect()).await;
    answer.expect_err("it cannot be connected to")
}

#[tokio::test]
async fn a_cluster_by_url_serves_keys_of_all_slots_and_fences_grow() {
    if !servers_available() {
        return;
    }
    let cluster = Cluster::start(Options::new()).await;
    // One server names the others.
    let locks = connected(patient().cluster(&cluster.urls()[..1])).await;
    let keys: Vec<String> = (0..60).map(|at| format!("orders/{at}")).collect();
    let mut owners = [0; 3];
    let mut guards = Vec::new();
    for key in &keys {
        owners[cluster.owner(key).await] += 1;
        guards.push(locked(&locks, key).await);
    }
    assert!(owners.iter().all(|keys| *keys > 0), "{owners:?}");
    for (guard, key) in guards.iter().zip(&keys) {
        refused(&locks, key).await;
        renewed(guard, 1).await;
    }
    for (guard, key) in guards.into_iter().zip(&keys) {
        let fence = guard.fence();
        guard.release().await.expect("it was held all the time");
        let next = locked(&locks, key).await;
        assert!(next.fence() > fence, "{key}");
    }
    let owner = cluster.node(cluster.owner(&keys[0]).await);
    let streams: Vec<String> = owner.cmd(&["KEYS", "tenure:fence*"]).await;
    assert!(streams.len() > 1 && streams.iter().all(|name| name.contains('{')));
}

/// What is about one key is answered by its shard. Of what is about servers, it is said that there
/// are several.
#[tokio::test]
async fn what_operators_ask_is_answered_over_a_cluster() {
    if !servers_available() {
        return;
    }
    let cluster = Cluster::start(Options::new()).await;
    let locks = connected(of(patient(), &cluster)).await;
    for key in KEYS {
        let guard = locked(&locks, key).await;
        let held = locks.held();
        assert_eq!(held.len(), 1, "{held:?}");
        let seen = within("an answer", locks.inspect(key)).await;
        let seen = seen.expect("an answer");
        assert!(matches!(seen.holder(), Holder::Lease { .. }), "{seen:?}");
        let seen = seen.seen().expect("its holder");
        let broken = within("an answer", locks.break_lock(key, seen)).await;
        let outcome = &broken.expect("an answer").nodes[0].outcome;
        assert_eq!(*outcome, BreakOutcome::Deleted);
        drop(guard);
    }
    let mut scan = locks.scan("*").expect("a pattern");
    let scanned = within("an answer", scan.next()).await;
    let error = scanned.expect_err("it sees a part");
    assert!(matches!(error, ScanError::Cluster { .. }), "{error}");
    let check = within("an answer", locks.check()).await;
    let concerns: Vec<_> = check.findings.iter().map(|it| &it.concern).collect();
    let [Concern::Untold { asked, words }, Concern::NoPushes] = &concerns[..] else {
        panic!("{check}");
    };
    assert_eq!(*asked, "INFO");
    assert!(words.contains("several servers"), "{words}");
}

#[tokio::test]
async fn who_waits_over_a_cluster_is_granted_what_another_client_frees() {
    if !servers_available() {
        return;
    }
    let cluster = Cluster::start(Options::new()).await;
    let (one, other) = (of(patient(), &cluster), of(patient(), &cluster));
    let (one, other) = (connected(one).await, connected(other).await);
    let guard = locked(&one, "k").await;
    let fence = guard.fence();
    let waits = tokio::spawn(async move { other.lock("k").await });
    eventually("it is in line", || async {
        let seen = one.inspect("k").await.expect("an answer");
        seen.waiting() == 1
    })
    .await;
    guard.release().await.expect("it was held");
    let next = within("it is free", waits).await.expect("no panic");
    assert!(next.expect("it is granted").fence() > fence);
}

#[tokio::test]
async fn a_cluster_whose_servers_forget_the_scripts_is_told_them_again() {
    if !servers_available() {
        return;
    }
    let cluster = Cluster::start(Options::new()).await;
    let locks = connected(of(patient(), &cluster)).await;
    let guard = locked(&locks, "k").await;
    for index in 0..3 {
        cluster.node(index).cmd::<()>(&["SCRIPT", "FLUSH"]).await;
    }
    renewed(&guard, 1).await;
    for key in KEYS {
        drop(locked(&locks, key).await);
    }
    guard.release().await.expect("it was held all the time");
}

/// Whoever holds a lock of the slot keeps it and frees it; who waits for it is granted it where the
/// slot has gone.
#[tokio::test]
async fn a_slot_that_migrates_takes_holders_and_waiters_with_it() {
    if !servers_available() {
        return;
    }
    let cluster = Cluster::start(Options::new()).await;
    let locks = connected(of(patient(), &cluster)).await;
    let other = connected(of(patient(), &cluster)).await;
    let guard = locked(&locks, "k").await;
    let before = guard.fence();
    let waits = tokio::spawn(async move { other.lock("k").await });
    eventually("it is in line", || async {
        cluster.keys_beside("k", cluster.owner("k").await).await == 3
    })
    .await;

    let (from, to) = cluster.begin_migration("k").await;
    renewed(&guard, 1).await;
    cluster.move_keys("k", from, to).await;
    // Its old server says by now that another one has it, for the time being.
    renewed(&guard, 2).await;
    guard.release().await.expect("it was held all the time");
    cluster.end_migration("k", to).await;
    let next = within("it is granted", waits).await.expect("no panic");
    let next = next.expect("it is free");
    assert!(next.fence() > before, "the stream has moved with it");
    assert!(value(cluster.node(to), "k").await.is_some());
    next.release().await.expect("it was held");
    drop(locked(&locks, "{k}another").await);
}

/// A server without slots is in no list of those that have some. So the client hears of it when it
/// is sent there.
#[tokio::test]
async fn a_lock_is_kept_where_its_slot_moves_to_a_new_server() {
    if !servers_available() {
        return;
    }
    let mut cluster = Cluster::start(Options::new()).await;
    let locks = connected(of(patient(), &cluster)).await;
    let guard = locked(&locks, "k").await;
    let to = cluster.add_empty(Options::new()).await;
    let from = cluster.begin_migration_to("k", to).await;
    cluster.move_keys("k", from, to).await;
    renewed(&guard, 2).await;
    // A script that names the key and the stream is refused while they may be on both sides.
    let error = within("an answer", locks.try_lock("{k}another")).await;
    let error = error.expect_err("nobody may say what the slot holds");
    assert!(error.is_outage(), "{error}");
    assert!(error.to_string().contains("TRYAGAIN"), "{error}");
    guard.release().await.expect("it was held all the time");
    cluster.end_migration("k", to).await;
    let guard = locked(&locks, "{k}another").await;
    assert!(value(cluster.node(to), "{k}another").await.is_some());
    drop(guard);
}

/// The replica has what its primary had, so what is held stays held. Meanwhile no single request of
/// another shard fails.
#[tokio::test]
async fn a_shard_fails_over_and_the_others_serve_all_the_while() {
    if !servers_available() {
        return;
    }
    let mut cluster = hurried().await;
    let locks = connected(of(patient(), &cluster)).await;
    let guards = [locked(&locks, KEYS[0]).await, locked(&locks, KEYS[1]).await];
    let fence = guards[0].fence();
    replicated(&cluster, 0).await;

    let over = Arc::new(AtomicBool::new(false));
    let (stop, others) = (Arc::clone(&over), locks.clone());
    let serves = tokio::spawn(async move {
        let mut served = 0;
        while !stop.load(Ordering::Relaxed) {
            for key in ["{c}1", "{a}1"] {
                let guard = within("an answer", others.try_lock(key)).await?;
                guard.release().await.expect("it was held");
                served += 1;
            }
        }
        Ok::<_, LockError>(served)
    });
    cluster.node_mut(0).kill();
    cluster.failed_over(0).await;
    let new = eventually_some("the new primary grants", || async {
        within("an answer", locks.try_lock("{b}1")).await.ok()
    })
    .await;
    renewed(&guards[0], 2).await;
    assert!(value(cluster.replica(0), KEYS[0]).await.is_some());
    over.store(true, Ordering::Relaxed);
    let served = within("it stops", serves).await.expect("no panic");
    assert!(served.expect("each request is served") > 0);
    renewed(&guards[1], 1).await;
    new.release().await.expect("it was held");
    for guard in guards {
        guard.release().await.expect("it was held all the time");
    }
    assert!(locked(&locks, KEYS[0]).await.fence() > fence);
}

/// The replica has heard nothing of the grant. The guard is told, and not one moment both: who has
/// the lock then has the larger fence.
#[tokio::test]
async fn a_lock_that_the_replica_did_not_have_is_told_lost() {
    if !servers_available() {
        return;
    }
    let mut cluster = hurried().await;
    let locks = connected(of(patient(), &cluster)).await;
    cluster.deafen_replica(0).await;
    let guard = locked(&locks, KEYS[0]).await;
    let fence = guard.fence();
    cluster.node_mut(0).kill();
    cluster.failed_over(0).await;
    let lost = within("the loss is told", guard.lost()).await;
    assert_eq!(lost.loss, Loss::Gone);
    assert!(!guard.is_valid());
    let next = locked(&locks, KEYS[0]).await;
    assert!(next.fence() > fence, "{} is not later", next.fence());
}

/// It accepts what is sent and says nothing, which only time tells from a slow one.
#[tokio::test]
async fn a_shard_whose_primary_falls_silent_is_followed_to_the_next() {
    if !servers_available() {
        return;
    }
    let cluster = hurried().await;
    let locks = connected(of(hasty(), &cluster)).await;
    let guards = [locked(&locks, KEYS[0]).await, locked(&locks, KEYS[1]).await];
    replicated(&cluster, 0).await;
    cluster.node(0).pause();
    // The others serve, if not always at once.
    for key in ["{c}1", "{a}1"] {
        let guard = locked(&locks, key).await;
        guard.release().await.expect("it was held");
    }
    cluster.failed_over(0).await;
    for guard in &guards {
        renewed(guard, 2).await;
    }
    let new = eventually_some("the new primary grants", || async {
        within("an answer", locks.try_lock("{b}1")).await.ok()
    })
    .await;
    assert!(value(cluster.replica(0), "{b}1").await.is_some());
    drop(new);
    cluster.node(0).resume();
}

/// All of its servers, as in a power cut: what was held is on their disks.
#[tokio::test]
async fn a_cluster_that_is_restarted_as_a_whole_is_found_again() {
    if !servers_available() {
        return;
    }
    let options = Options::new().append_only(tenure_tests::live::Fsync::Always);
    let mut cluster = Cluster::start(options).await;
    let locks = connected(of(patient(), &cluster)).await;
    let guard = locked(&locks, "k").await;
    for index in 0..3 {
        cluster.node_mut(index).kill();
    }
    let error = within("an answer", locks.try_lock("other")).await;
    let error = error.expect_err("there is nobody");
    assert!(error.is_outage(), "{error}");
    for index in 0..3 {
        cluster.node_mut(index).restart_with_data().await;
    }
    cluster.whole().await;
    renewed(&guard, 1).await;
    guard.release().await.expect("it was held all the time");
}

/// What a service gives as the password of the user `app`.
#[derive(Clone)]
struct Password(Arc<Mutex<String>>);

impl Password {
    fn set(&self, word: &str) {
        word.clone_into(&mut self.0.lock().expect("no panic"));
    }
}

#[tokio::test]
async fn a_cluster_is_logged_in_to_as_the_addresses_or_the_program_say() {
    if !servers_available() {
        return;
    }
    // What `docs/redis.md` says that it must permit, and no more.
    let rights = "+evalsha +script|load +getex +get +pttl +type +time +set +pexpire +del \
                  +xadd +pexpireat +exists +zadd +zrem +zrange +zrank +zcard +zmscore \
                  +cluster|slots +asking +ping";
    let options = Options::new()
        .user(&format!("app on >hunter2 resetchannels ~* -@all {rights}"))
        .user("default off");
    let cluster = Cluster::start(options).await;
    let urls = |login: &str| {
        let addr = |index| format!("redis://{login}{}", cluster.node(index).addr());
        [0, 1, 2].map(addr)
    };
    let locks = connected(patient().cluster(urls("app:hunter2@"))).await;
    for key in KEYS {
        drop(locked(&locks, key).await);
    }
    for login in ["app:pa55word@", "app:@", ""] {
        let error = not_connected(patient().cluster(urls(login))).await;
        assert!(matches!(error, ConnectError::Rejected { .. }), "{error}");
        assert!(error.is_misuse(), "{error}");
        let text = format!("{error} {error:?}");
        assert!(!text.contains("pa55word"), "{text}");
        let place = cluster.node(0).addr().to_string();
        assert!(text.contains(&place), "{text}");
    }

    let password = Password(Arc::new(Mutex::new("hunter2".to_owned())));
    let given = password.clone();
    let builder = patient().cluster(urls("")).credentials(move || {
        let word = given.0.lock().expect("no panic").clone();
        ready(Ok::<_, Infallible>(Credentials::new("app", word)))
    });
    let locks = connected(builder).await;
    let guard = locked(&locks, "k").await;
    password.set("hunter3");
    for index in 0..3 {
        let node = cluster.node(index);
        let change = ["ACL", "SETUSER", "app", "resetpass", ">hunter3"];
        node.cmd::<()>(&change).await;
        node.cmd::<i64>(&["CLIENT", "KILL", "USER", "app"]).await;
    }
    renewed(&guard, 2).await;
    let (from, to) = cluster.begin_migration("k").await;
    cluster.move_keys("k", from, to).await;
    renewed(&guard, 2).await;
    guard.release().await.expect("it was held all the time");
    cluster.end_migration("k", to).await;
    for key in KEYS {
        drop(locked(&locks, key).await);
    }
}

#[tokio::test]
async fn a_server_that_is_no_cluster_is_said_to_be_none() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new().password("hunter2")).await;
    let error = not_connected(Locks::builder().cluster([server.url()])).await;
    assert!(matches!(error, ConnectError::Rejected { .. }), "{error}");
    let text = format!("{error} {error:?}");
    assert!(text.contains("it is no cluster"), "{text}");
    assert!(text.contains("Builder::node"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");

    let nobody = "redis://127.0.0.1:1";
    let error = not_connected(Locks::builder().cluster([nobody])).await;
    assert!(matches!(error, ConnectError::Outage { .. }), "{error}");
    assert!(error.to_string().contains("cluster 127.0.0.1:1"), "{error}");
}

/// Before anything is sent.
#[tokio::test]
async fn addresses_that_no_cluster_can_have_are_refused() {
    let refused = |urls: &[&str]| match Locks::builder().cluster(urls).connect_lazy() {
        Err(ConnectError::Address { error, address, .. }) => {
            assert!(!address.contains("hunter2"), "{address}");
            error
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&[]), AddressError::NoShards);
    for url in ["redis://app:hunter2@h/1", "h:6379", "unix:///run/r.sock"] {
        assert_eq!(
            refused(&["redis://h", url]),
            AddressError::NotAShard,
            "{url}"
        );
    }
    let alike = ["redis://app:hunter2@h", "redis://app:hunter3@h:1"];
    assert_eq!(refused(&alike), AddressError::NotAlike);
    let two = Locks::builder()
        .cluster(["redis://h"])
        .node("redis://i")
        .node("redis://j");
    let error = two.connect_lazy().expect_err("nobody watches the cluster");
    assert_eq!(error, ConnectError::QuarantineUndecided);
    let two = Locks::builder()
        .cluster(["redis://:hunter2@h", "redis://:hunter2@[::1]:7"])
        .node("redis://i")
        .quarantine(Quarantine::Off);
    let shown = format!("{two:?}");
    assert!(shown.contains("cluster h:6379, [::1]:7"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}
