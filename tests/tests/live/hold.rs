//! Holding a lock on one real server: renewal, exclusion, what it costs, and what an onlooker sees.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tenure_redis::seams::{BootClock, Clock as _};
use tenure_redis::{Builder, Guard, Holder, Inspection, LockError, Locks};
use tenure_tests::live::clients::{
    LONG, calls, connect, freed, locked, patient, refused, renewed, requests_on, value,
};
use tenure_tests::live::{
    Options, Proxy, RedisServer, eventually, eventually_some, servers_available, within,
};
use tokio::task::JoinSet;

/// The next holder has a larger fence.
#[tokio::test]
async fn a_lock_is_held_through_seven_renewals_and_then_handed_on() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let proxy = Proxy::start(server.addr()).await;
    // Seven renewals take longer than one TTL, so without them the lock would be gone.
    let ttl = Duration::from_secs(6);
    let builder = Locks::builder().ttl(ttl).options(|options| {
        options
            .renew_after(Duration::from_millis(1_200))
            .label("first")
    });
    let first = connect(builder, proxy.url()).await;
    let second = connect(patient(), server.url()).await;

    let guard = locked(&first, "demo").await;
    let token = value(&server, "demo").await;
    let refusals = Cell::new(0);
    eventually("seven renewals", || async {
        let left = refused(&second, "demo").await;
        assert!(left > Duration::ZERO && left <= ttl, "{left:?}");
        assert!(guard.is_valid() && guard.remaining() <= ttl);
        refusals.set(refusals.get() + 1);
        requests_on(&proxy, "demo").len() > 7
    })
    .await;
    assert!(refusals.get() > 0);
    assert_eq!(
        value(&server, "demo").await,
        token,
        "renewal changes no token"
    );

    let fence = guard.fence();
    guard.release().await.expect("it was held");
    let next = locked(&second, "demo").await;
    assert!(next.fence() > fence);
    assert_ne!(value(&server, "demo").await, token, "a token of its own");
    next.release().await.expect("it was held");
    freed(&server, "demo").await;
}

/// When a holder was inside its validity for certain, on the one clock of this process.
struct Interval {
    key: usize,
    fence: u64,
    from: i64,
    to: i64,
}

/// A register that refuses a fence smaller than one it has seen, for reads and writes.
async fn fenced_add(
    link: &mut MultiplexedConnection,
    register: &str,
    fence: u64,
    value: Option<u64>,
) -> Option<u64> {
    let text = "local seen = tonumber(redis.call('HGET', KEYS[1], 'fence') or 0)\n\
                if tonumber(ARGV[1]) < seen then return false end\n\
                redis.call('HSET', KEYS[1], 'fence', ARGV[1])\n\
                if ARGV[2] then redis.call('HSET', KEYS[1], 'n', ARGV[2]) end\n\
                return tonumber(redis.call('HGET', KEYS[1], 'n') or 0)";
    let script = redis::Script::new(text);
    let mut call = script.key(register);
    call.arg(fence);
    if let Some(value) = value {
        call.arg(value);
    }
    call.invoke_async(link).await.expect("the register answers")
}

/// One holder: reads, lets others run, writes. Says whether the register took the write.
async fn work(guard: &Guard, link: &mut MultiplexedConnection, register: &str) -> bool {
    let fence = guard.fence();
    let Some(seen) = fenced_add(link, register, fence, None).await else {
        return false;
    };
    tokio::task::yield_now().await;
    fenced_add(link, register, fence, Some(seen + 1))
        .await
        .is_some()
}

/// Holds a lock for some work, and with `long` beyond its first TTL, so that others find it
/// renewed. Says when it was held, and whether the register took the write.
async fn hold(
    locks: &Locks,
    key: usize,
    long: bool,
    clock: &BootClock,
    link: &mut MultiplexedConnection,
) -> (Guard, Interval, bool) {
    let guard = locked(locks, format!("shared:{key}")).await;
    let from = clock.now().as_nanos();
    let promised = from + i64::try_from(guard.remaining().as_nanos()).expect("short");
    let wrote = work(&guard, link, &format!("register:{key}")).await;
    if long {
        eventually("a renewal, or a loss", || async {
            !guard.is_valid() || clock.now().as_nanos() > promised
        })
        .await;
    }
    let before = clock.now().as_nanos();
    let to = if guard.is_valid() { before } else { promised };
    let held = Interval {
        key,
        fence: guard.fence(),
        from,
        to: to.max(from),
    };
    (guard, held, wrote)
}

/// Checks that no two of these, which are of one key, overlap or share a fence.
fn nobody_shares(key: usize, mut held: Vec<&Interval>) {
    held.sort_by_key(|interval| interval.from);
    for pair in held.windows(2) {
        assert!(
            pair[0].to <= pair[1].from,
            "two held key {key}: until {} and from {}",
            pair[0].to,
            pair[1].from,
        );
    }
    let mut fences: Vec<_> = held.iter().map(|interval| interval.fence).collect();
    fences.sort_unstable();
    fences.dedup();
    assert_eq!(fences.len(), held.len(), "no two grants share a fence");
}

/// Their TTLs are short.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_clients_with_many_tasks_never_hold_a_key_at_the_same_time() {
    const KEYS: usize = 3;
    const TASKS: usize = 5;
    const ROUNDS: usize = 6;
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    // So short that some leases are renewed, and on a busy machine some are lost: the laws hold all
    // the same.
    let busy = || -> Builder {
        Locks::builder()
            .ttl(Duration::from_millis(150))
            .options(|options| options.backoff(Duration::from_millis(2), Duration::from_millis(20)))
    };
    let clients = [
        connect(busy(), server.url()).await,
        connect(busy(), server.url()).await,
    ];
    // One clock for all, or their readings could not be compared.
    let clock = Arc::new(BootClock::new());
    let mut tasks = JoinSet::new();
    for task in 0..clients.len() * TASKS {
        let locks = clients[task % clients.len()].clone();
        let clock = Arc::clone(&clock);
        let mut link = server.connect().await;
        tasks.spawn(async move {
            let mut intervals = Vec::new();
            let mut written = [0_u64; KEYS];
            for round in 0..ROUNDS {
                let key = (task + round) % KEYS;
                let long = (task + round) % 4 == 0;
                let (guard, held, wrote) = hold(&locks, key, long, &clock, &mut link).await;
                written[key] += u64::from(wrote);
                intervals.push(held);
                if round % 2 == 0 {
                    drop(guard);
                } else {
                    // That it was lost is a valid answer here.
                    let _ = guard.release().await;
                }
            }
            (intervals, written)
        });
    }
    let mut intervals = Vec::new();
    let mut written = [0; KEYS];
    while let Some(done) = tasks.join_next().await {
        let (mine, wrote) = done.expect("a task ends well");
        intervals.extend(mine);
        for (sum, wrote) in written.iter_mut().zip(wrote) {
            *sum += wrote;
        }
    }

    assert_eq!(intervals.len(), clients.len() * TASKS * ROUNDS);
    for (key, written) in written.into_iter().enumerate() {
        nobody_shares(key, intervals.iter().filter(|i| i.key == key).collect());
        let n: u64 = server
            .cmd::<Option<u64>>(&["HGET", &format!("register:{key}"), "n"])
            .await
            .unwrap_or(0);
        assert_eq!(n, written, "no write was lost behind the fence");
        assert!(n > 0, "nobody ever wrote");
    }
}

#[tokio::test]
async fn a_free_lock_costs_two_plain_commands_and_its_release_one_call() {
    const ROUNDS: u64 = 20;
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let proxy = Proxy::start(server.addr()).await;
    let locks = connect(Locks::builder().ttl(LONG), proxy.url()).await;
    let before = (proxy.commands().len(), calls(&server, "evalsha").await);
    let mut fence = 0;
    for _ in 0..ROUNDS {
        let guard = locked(&locks, "counted").await;
        assert!(guard.fence() > fence);
        fence = guard.fence();
        guard.release().await.expect("it was held");
    }
    assert_eq!(
        calls(&server, "evalsha").await - before.1,
        ROUNDS,
        "as the server counts"
    );
    let sent = &proxy.commands()[before.0..];
    assert_eq!(sent.len() as u64, ROUNDS * 3, "and nothing else: {sent:?}");
    for sent in sent.chunks_exact(3) {
        let is = |at: usize, name| sent[at].is(name);
        assert!(
            is(0, "SET") && is(1, "XADD") && is(2, "EVALSHA"),
            "{sent:?}"
        );
    }
}

#[tokio::test]
async fn many_leases_that_are_due_together_are_renewed_by_few_commands() {
    const LEASES: usize = 500;
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let proxy = Proxy::start(server.addr()).await;
    // Renewed once in three seconds: all are taken before the first is due.
    let builder = patient().options(|options| options.renew_after(Duration::from_secs(3)));
    let locks = connect(builder, proxy.url()).await;
    let asked = (0..LEASES).map(|n| {
        let locks = locks.clone();
        async move { locked(&locks, format!("many:{n}")).await }
    });
    let guards = futures_util::future::join_all(asked).await;
    let before = proxy.count("EVALSHA");
    // All at once: whoever is looked at last has been renewed meanwhile, too.
    futures_util::future::join_all(guards.iter().map(|guard| renewed(guard, 1))).await;
    let renewals = proxy.count("EVALSHA") - before;
    assert!(
        renewals > 0 && renewals < LEASES / 5,
        "{renewals} commands renewed {LEASES} leases"
    );
    assert!(guards.iter().all(Guard::is_valid));
}

#[tokio::test]
async fn an_onlooker_sees_label_and_time_left_but_never_the_secret() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(
        patient().options(|options| options.label("billing:7")),
        server.url(),
    )
    .await;
    let onlooker = connect(patient(), server.url()).await;
    let look = async |key: &str| look(&onlooker, key).await;

    let free = look("seen").await;
    assert_eq!((free.holder(), free.left()), (&Holder::Free, None));
    assert_eq!(free.fence(), None, "never locked");

    let guard = locked(&locks, "seen").await;
    let held = look("seen").await;
    let label = Some("billing:7".to_owned());
    assert_eq!(held.holder(), &Holder::Lease { label });
    assert_eq!(held.fence(), None, "one node keeps none for a key");
    let left = held.left().expect("a lease has an expiry");
    assert!(left > Duration::ZERO && left <= LONG, "{left:?}");

    let token = value(&server, "seen").await.expect("it is held");
    let secret = token.rsplit(':').nth(1).expect("label:secret:attempt");
    assert_eq!(secret.len(), 32, "128 bits in hexadecimal: {token}");
    for text in [
        format!("{held:?}"),
        format!("{guard:?}"),
        format!("{locks:?}"),
    ] {
        assert!(!text.contains(secret), "the secret is shown: {text}");
    }

    guard.release().await.expect("it was held");
    let free = look("seen").await;
    assert_eq!(free.holder(), &Holder::Free);
}

async fn look(onlooker: &Locks, key: &str) -> Inspection {
    eventually_some("the node answers an onlooker", || async {
        onlooker.inspect(key).await.ok()
    })
    .await
}

#[tokio::test]
async fn an_onlooker_is_told_what_is_no_lock_and_changes_nothing() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let onlooker = connect(patient(), server.url()).await;
    let look = async |key: &str| look(&onlooker, key).await;
    server
        .cmd::<()>(&["SET", "other", "somebody", "PX", "600000"])
        .await;
    server.cmd::<()>(&["SET", "eternal", "somebody"]).await;
    server.cmd::<()>(&["HSET", "strange", "field", "1"]).await;
    let other = look("other").await;
    assert_eq!(other.holder(), &Holder::Other);
    assert!(other.left().is_some());
    assert_eq!(look("eternal").await.holder(), &Holder::Foreign);
    let seen = look("strange").await;
    let Holder::WrongType { name, holds, .. } = seen.holder() else {
        panic!("{seen:?}");
    };
    assert_eq!((name.as_bytes(), &holds[..]), (&b"strange"[..], "a hash"));
    let before = calls(&server, "set").await;
    look("other").await;
    assert_eq!(
        calls(&server, "set").await,
        before,
        "looking changes nothing"
    );
    assert_eq!(value(&server, "other").await.as_deref(), Some("somebody"));
}

#[tokio::test]
async fn who_gives_up_waiting_is_told_that_someone_else_holds_it() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(patient(), server.url()).await;
    let _held = locked(&locks, "wanted").await;
    let waiter = locks
        .with(|options| options.give_up_after(Duration::from_millis(300)))
        .expect("these options work");
    let answer = within("it gives up", waiter.lock("wanted")).await;
    let error = answer.expect_err("it is held");
    assert!(error.is_contention() && !error.is_outage() && !error.is_misuse());
    let LockError::Contended { left, .. } = &error else {
        panic!("{error}");
    };
    assert!(*left <= LONG, "{error}");
    assert!(error.to_string().contains("wanted"), "{error}");
}

#[tokio::test]
async fn a_waiter_is_granted_the_lock_when_the_holder_lets_go() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(patient(), server.url()).await;
    let other = connect(patient(), server.url()).await;
    let held = locked(&locks, "passed").await;
    let fence = held.fence();
    let before = calls(&server, "evalsha").await;
    let waiting = tokio::spawn(async move {
        let guard = locked(&other, "passed").await;
        guard.fence()
    });
    // The waiter has been refused at least once.
    eventually("the waiter asks", || async {
        calls(&server, "evalsha").await > before
    })
    .await;
    held.release().await.expect("it was held");
    assert!(waiting.await.expect("the waiter ends") > fence);
}
