//! Client-side caching of the embedded server: who is told that a key has changed, and when.
//! (`tests/tests/live/tracking.rs` compares all of this with a real server.)
#![forbid(unsafe_code)]
#![warn(missing_docs)]

use tenure_sim::server::{ManualClock, Reply, Server, Session};

fn server() -> (Server, ManualClock) {
    let clock = ManualClock::default();
    (Server::with_seed(clock.clone(), 1), clock)
}

/// A connection that is told of the keys that it has read so.
fn reader(server: &Server, keys: &[&str]) -> Session {
    let mut session = server.remote_session();
    session.call(&["HELLO", "3"]);
    session.call(&["CLIENT", "TRACKING", "ON", "OPTIN", "NOLOOP"]);
    read(&mut session, keys);
    session
}

fn read(session: &mut Session, keys: &[&str]) {
    assert_eq!(session.call(&["CLIENT", "CACHING", "YES"]), Reply::ok());
    session.call(&[&["MGET"], keys].concat());
}

/// The keys that the connection was told of since it was last asked; of all of them, `*`.
fn told(session: &mut Session) -> Vec<String> {
    let written = session.exchange(b"").expect("nothing is asked");
    let written = String::from_utf8(written).expect("it is text");
    let mut pushes = written.split(">2\r\n$10\r\ninvalidate\r\n");
    assert_eq!(pushes.next(), Some(""), "{written:?}");
    let key = |push: &str| match push {
        "_\r\n" => "*".to_owned(),
        one => one
            .split("\r\n")
            .nth(2)
            .expect("an array of one")
            .to_owned(),
    };
    pushes.map(key).collect()
}

#[test]
fn who_reads_keys_is_told_once_of_each_that_another_changes() {
    let (server, _) = server();
    let mut session = reader(&server, &["k", "l", "m"]);
    for _ in 0..2 {
        server.call(&["SET", "m", "v"]);
        server.call(&["SET", "k", "v"]);
        server.call(&["SET", "n", "v"]);
    }
    assert_eq!(told(&mut session), ["m", "k"]);
    read(&mut session, &["k"]);
    server.call(&["EVAL", "return redis.call('del', 'k')", "0"]);
    assert_eq!(told(&mut session), ["k"]);
}

#[test]
fn what_changes_nothing_is_told_to_nobody() {
    let (server, _) = server();
    server.call(&["SET", "k", "v", "PX", "60000"]);
    let mut session = reader(&server, &["k", "none"]);
    for command in [
        &["SET", "k", "w", "NX"][..],
        &["GETEX", "k"],
        &["PEXPIRE", "k", "1000", "GT"],
        &["PEXPIRE", "none", "1000"],
        &["DEL", "none"],
        &["GET", "k"],
    ] {
        server.call(command);
        assert!(told(&mut session).is_empty(), "{command:?}");
    }
    server.call(&["PEXPIRE", "k", "60000"]);
    assert_eq!(told(&mut session), ["k"]);
}

#[test]
fn own_changes_are_not_told_and_end_that_the_key_is_watched() {
    let (server, _) = server();
    let mut session = reader(&server, &["k"]);
    session.call(&["SET", "k", "v"]);
    server.call(&["SET", "k", "w"]);
    assert!(told(&mut session).is_empty());
}

#[test]
fn a_key_that_expires_is_told_when_somebody_finds_out() {
    let (server, clock) = server();
    for finds_out in [
        &(|server: &Server| drop(server.call(&["GET", "k"]))) as &dyn Fn(&Server),
        &|server| server.expire_now(),
    ] {
        server.call(&["SET", "k", "v", "PX", "1000"]);
        let mut session = reader(&server, &["k"]);
        clock.set_us(10_000_000 + 2 * tenure_sim::server::ServerClock::now_us(&clock));
        assert!(told(&mut session).is_empty());
        finds_out(&server);
        assert_eq!(told(&mut session), ["k"]);
    }
}

#[test]
fn what_empties_a_server_is_told_to_all_who_asked() {
    let (server, _) = server();
    let snapshot = server.snapshot();
    let mut session = reader(&server, &["k"]);
    server.call(&["FLUSHALL"]);
    server.call(&["FLUSHDB"]);
    assert_eq!(told(&mut session), ["*", "*"]);
    // Its data is replaced, as that of a replica of another server.
    server.replace_in_place(&snapshot);
    assert_eq!(told(&mut session), ["*"]);
    session.call(&["CLIENT", "TRACKING", "OFF"]);
    server.call(&["FLUSHALL"]);
    assert!(told(&mut session).is_empty());
}

#[test]
fn an_invalidation_that_is_to_be_lost_reaches_nobody() {
    let (server, _) = server();
    let mut session = reader(&server, &["k", "l"]);
    server.lose_next_invalidation();
    server.call(&["SET", "k", "v"]);
    server.call(&["SET", "l", "v"]);
    assert_eq!(told(&mut session), ["l"]);
    read(&mut session, &["k"]);
    server.lose_next_invalidation();
    server.clear_planted();
    server.call(&["SET", "k", "v"]);
    assert_eq!(told(&mut session), ["k"]);
}

#[test]
fn who_is_gone_is_told_nothing() {
    let (server, _) = server();
    drop(reader(&server, &["k"]));
    let mut session = server.remote_session();
    session.call(&["HELLO", "3"]);
    server.call(&["SET", "k", "v"]);
    assert!(told(&mut session).is_empty());
    let mut session = reader(&server, &["k"]);
    server.restart_empty();
    let mut other = reader(&server, &[]);
    server.call(&["SET", "k", "v"]);
    assert!(session.is_closed() && told(&mut session).is_empty());
    assert!(told(&mut other).is_empty());
}
