//! What each reply and each error of a server means: applied, not applied or unknown.

use std::time::Duration;

use redis::Value;
use tenure_core::{Answer, Doubt, Fence, Fingerprint, LockName, Refusal, Reply, ServerTime, Words};

use crate::protocol::decode::{self, Beside, CommandResult, Meaning, Signal};
use crate::protocol::inspection::KeyHolder;
use crate::protocol::marker::NodeSet;
use crate::protocol::scripts::Script;
use crate::protocol::stream::FenceStream;

fn error(text: &str) -> Value {
    redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).expect("an error reply is a value")
}

fn word(word: &str) -> Value {
    Value::BulkString(word.as_bytes().to_vec())
}

fn of(text: &str) -> Reply {
    let (reply, _) = decode::single(Ok(error(text)));
    // Some connections give a server's error as an error, not as a value.
    let (same, _) = decode::single(error(text).extract_error());
    assert_eq!(reply, same, "{text}");
    reply
}

fn rejected(text: &str) -> String {
    match of(text) {
        Reply::NotApplied(Refusal::Rejected(words)) => words.to_string(),
        other => panic!("{text} is {other:?}"),
    }
}

#[test]
fn what_may_get_better_is_not_applied_and_worth_retrying() {
    for text in [
        "LOADING Redis is loading the dataset in memory",
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        "READONLY You can't write against a read only replica.",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "CLUSTERDOWN The cluster is down",
        "MOVED 7866 127.0.0.1:7001",
        "ASK 7866 127.0.0.1:7001",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "MISCONF Redis is configured to save RDB snapshots",
        "NOREPLICAS Not enough good replicas to write.",
        // As 6.2 wraps the error that a script met.
        "@user_script: 1: -READONLY You can't write against a read only replica.",
        "ERR Error running script (call to f_0123456789abcdef0123456789abcdef01234567): \
         @user_script:3: @user_script: 3: -OOM command not allowed when used memory > 'maxmemory'.",
        "ERR Error running script (call to f_0): @user_script:3: -NOREPLICAS Not enough good \
         replicas to write.",
    ] {
        assert!(
            matches!(of(text), Reply::NotApplied(Refusal::Unavailable(_))),
            "{text}"
        );
    }
}

#[test]
fn a_script_that_is_not_there_is_asked_again() {
    let (reply, signal) =
        decode::single(Ok(error("NOSCRIPT No matching script. Please use EVAL.")));
    assert_eq!(reply, Reply::NotApplied(Refusal::Again));
    assert_eq!(signal, Some(Signal::NoScript));
}

#[test]
fn what_will_not_get_better_is_told_in_the_servers_words() {
    for text in [
        "NOAUTH Authentication required.",
        "WRONGPASS invalid username-password pair or user is disabled.",
        "NOPERM this user has no permissions to run the 'evalsha' command",
        "CROSSSLOT Keys in request don't hash to the same slot",
        "ERR The user executing the script can't run this command or subcommand",
        "ERR The user executing the script can't access at least one of the keys mentioned in the \
         command arguments",
        // Valkey 9.
        "ERR ACL failure in script: User app has no permissions to run the 'set' command",
    ] {
        assert_eq!(rejected(text), text);
    }
    rejected(
        "ERR Error running script (call to f_0): @user_script:3: @user_script: 3: Unknown Redis \
              command called from Lua script",
    );
}

#[test]
fn words_hold_neither_arguments_nor_tokens() {
    let token = "0123456789abcdef0123456789abcdef:1";
    let text = format!("ERR unknown command 'EVALSHA', with args beginning with: 'f00' '{token}' ");
    assert_eq!(rejected(&text), "ERR unknown command 'EVALSHA'");
    let words = rejected(&format!("NOPERM no permission to access 'x:{token}'"));
    assert_eq!(words, "NOPERM no permission to access 'x:…:1'");
}

#[test]
fn an_error_without_words_is_told_as_one() {
    let words = Words::fixed("an error without words");
    for text in ["", " ", "\t"] {
        let reply = of(text);
        assert_eq!(
            reply,
            Reply::Unknown(Doubt::Said(words.clone())),
            "{text:?}"
        );
    }
}

#[test]
fn another_error_reply_is_unknown() {
    for text in [
        "ERR something else",
        "ERR OOM is not a code here",
        "UNBLOCKED",
        "EXECABORT x",
    ] {
        assert!(matches!(of(text), Reply::Unknown(_)), "{text}");
    }
}

#[test]
fn a_wrong_type_is_told_with_the_name_that_has_it_and_what_it_is() {
    let told = |name, holds| Reply::Applied(Answer::WrongType { name, holds });
    let text = "WRONGTYPE Operation against a key holding the wrong kind of value";
    let unnamed = told(LockName::Key, "a value of another type");
    assert_eq!(of(text), unnamed);
    for (said, name, holds) in [
        ("wrong key hash", LockName::Key, "a hash"),
        ("wrong key zset", LockName::Key, "a sorted set"),
        ("wrong counter stream", LockName::Counter, "a stream"),
        ("wrong stream string", LockName::Stream, "a string"),
        (
            "wrong stream stream",
            LockName::Stream,
            "a stream whose ids are too large for fences",
        ),
        (
            "wrong counter string",
            LockName::Counter,
            "a text that is no fence",
        ),
        // A module's type; and where the user may not ask for it.
        (
            "wrong key ReJSON-RL",
            LockName::Key,
            "a value of another type",
        ),
        ("wrong key ", LockName::Key, "a value of another type"),
    ] {
        let answer = told(name, holds);
        let of_many = &acquires(Ok(Value::Array(vec![word(said)])), 1, None)[0];
        assert_eq!(of_many, &(answer.clone(), None), "{said}");
        assert_eq!(decode::single(Ok(word(said))), (answer, None), "{said}");
        let seen = decode::inspection(Ok(word(said))).expect("a look");
        assert_eq!(seen.holder, KeyHolder::WrongType { name, holds }, "{said}");
    }
    let (nonsense, _) = decode::single(Ok(word("wrong door hash")));
    assert!(matches!(nonsense, Reply::Unknown(_)), "{nonsense:?}");
}

#[test]
fn a_lost_connection_is_unknown_and_said_to_be_broken() {
    let lost = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
    let (reply, signal) = decode::single(Err(lost.into()));
    assert!(matches!(reply, Reply::Unknown(_)));
    assert!(matches!(signal, Some(Signal::Broken(_))), "{signal:?}");
}

/// As a `ConnectionManager` says it of each request while it cannot connect.
#[test]
fn what_was_never_sent_for_want_of_a_connection_is_not_applied() {
    let refused = || std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into();
    let words = Words::new("connection refused");
    let not_applied = Reply::NotApplied(Refusal::Unavailable(words.clone()));
    let meaning = (not_applied, Some(Signal::Broken(words)));
    assert_eq!(decode::single(Err(refused())), meaning);
    decode::failures(Err(refused()), 2, |each| assert_eq!(each, meaning));
}

#[test]
fn the_failures_of_a_call_must_make_sense_as_a_whole() {
    let nonsense = [
        vec![Value::Int(0), word("gone")],
        vec![Value::Int(3), word("gone")],
        vec![Value::Int(2), word("gone"), Value::Int(1), word("gone")],
        vec![Value::Int(1)],
        vec![word("gone"), Value::Int(1)],
    ];
    for failures in nonsense {
        let mut replies = Vec::new();
        decode::failures(Ok(Value::Array(failures)), 2, |(reply, signal)| {
            assert!(matches!(signal, Some(Signal::Broken(_))));
            replies.push(reply);
        });
        assert!(matches!(
            replies[..],
            [Reply::Unknown(_), Reply::Unknown(_)]
        ));
    }
}

#[test]
fn a_contradicting_marker_says_both_sides_and_what_to_do() {
    let ours = NodeSet {
        prefix: b"app:".to_vec(),
        max_ttl: std::time::Duration::from_secs(30),
        nodes: 3,
        name: None,
    };
    let told = |answer| match &acquires(Ok(Value::Array(vec![word(answer)])), 1, Some(&ours))[..] {
        [(Reply::NotApplied(Refusal::Misuse(words)), None)] => words.to_string(),
        other => panic!("{other:?}"),
    };
    let words = told("misuse 10000 5 blue");
    for part in [
        "app:tenure:node",
        "10000 ms, 5 nodes, name \"blue\"",
        "30000 ms, 3 nodes",
    ] {
        assert!(words.contains(part), "{part} in {words}");
    }
    assert!(told("misuse").contains("holds something else"));
    assert!(told("misuse 10000 5 two words").contains("name \"two words\""));
}

fn acquires(result: CommandResult, count: usize, ours: Option<&NodeSet>) -> Vec<Meaning> {
    let mut meanings = Vec::new();
    let each = |meaning| meanings.push(meaning);
    let ours = Beside {
        node_set: ours,
        stream: None,
    };
    decode::replies(Script::AcquireOne, result, count, ours, each);
    meanings
}

const NOTHING: Beside<'_> = Beside {
    node_set: None,
    stream: None,
};

#[test]
fn who_waits_is_told_how_many_are_ahead_and_who_holds_the_lock() {
    let answers = [
        "waiting 7 1500 1 00ff17a0",
        "waiting 0 -1 0 00ff17a0",
        "full",
        "wrong queue list",
        "waiting 7 1500 00ff17a0",
        "waiting 7 1500 2 00ff17a0",
        "waiting -1 1500 1 00ff17a0",
        "waiting 7 -2 1 00ff17a0",
        "waiting",
    ];
    let result = Ok(Value::Array(answers.map(word).to_vec()));
    let mut meanings = Vec::new();
    decode::replies(Script::WaitOne, result, answers.len(), NOTHING, |meaning| {
        meanings.push(meaning);
    });
    let waiting = |ahead, left: Option<u64>, hands_on| Answer::Waiting {
        ahead,
        left: left.map(Duration::from_millis),
        hands_on,
        holder: Fingerprint::new(0x00ff_17a0).into(),
    };
    let expected = [
        waiting(7, Some(1500), true),
        waiting(0, None, false),
        Answer::Full,
        Answer::WrongType {
            name: LockName::Queue,
            holds: "a list",
        },
    ];
    for (meaning, answer) in meanings.iter().zip(expected) {
        assert_eq!(*meaning, (Reply::Applied(answer), None));
    }
    for meaning in &meanings[4..] {
        assert!(
            matches!(meaning, (_, Some(Signal::Broken(_)))),
            "{meaning:?}"
        );
    }
}

fn releases(script: Script, result: CommandResult, count: usize) -> Vec<Meaning> {
    let mut meanings = Vec::new();
    decode::replies(script, result, count, NOTHING, |meaning| {
        meanings.push(meaning)
    });
    meanings
}

#[test]
fn a_release_that_is_refused_is_asked_again_and_names_its_lock_alone() {
    let moves = || {
        Ok(error(
            "TRYAGAIN Multiple keys request during rehashing of slot",
        ))
    };
    let bare = (
        Reply::NotApplied(Refusal::Again),
        Some(Signal::BareReleases),
    );
    let replies = releases(Script::ReleaseOne, moves(), 1);
    assert_eq!(replies, std::slice::from_ref(&bare));
    // Nor may a right to the stream or the queue that was withdrawn keep a lock from being freed.
    // It may be back by the next release.
    let denied = Ok(error(
        "NOPERM this user has no permissions to access one of the keys",
    ));
    let bare = (Reply::NotApplied(Refusal::Again), Some(Signal::BareRelease));
    assert_eq!(releases(Script::ReleaseOne, denied, 1), [bare]);
    // First the locks of a call are asked for one by one.
    let again = (Reply::NotApplied(Refusal::Again), Some(Signal::DoNotBatch));
    assert_eq!(
        releases(Script::ReleaseOne, moves(), 2),
        [again.clone(), again]
    );
    let (reply, _) = &releases(Script::Release, moves(), 1)[0];
    assert!(matches!(reply, Reply::NotApplied(Refusal::Unavailable(_))));
}

#[test]
fn a_bare_release_that_is_refused_too_shows_that_names_were_not_to_blame() {
    let denied = error("NOPERM this user has no permissions to run the 'evalsha' command");
    let [(reply, signal)] = &releases(Script::Release, Ok(denied), 1)[..] else {
        panic!("there is one");
    };
    assert!(matches!(reply, Reply::NotApplied(Refusal::Rejected(_))));
    assert_eq!(*signal, Some(Signal::FullReleases));
    let done = Ok(Value::Array(Vec::new()));
    assert_eq!(
        releases(Script::Release, done, 1)[0].1,
        Some(Signal::Served)
    );
}

fn of_several(answers: Vec<Value>, count: usize) -> Vec<Meaning> {
    let mut meanings = Vec::new();
    let each = |meaning| meanings.push(meaning);
    let answers = Ok(Value::Array(answers));
    decode::replies(
        Script::AcquireSeveral,
        answers,
        count,
        Beside::default(),
        each,
    );
    meanings
}

#[test]
fn a_stream_that_may_not_be_used_is_named_with_what_to_allow() {
    let stream = FenceStream::new(b"app:tenure:fence".to_vec()).expect("a name");
    let told = |result, count| {
        let ours = Beside {
            node_set: None,
            stream: Some(&stream),
        };
        let mut meanings = Vec::new();
        let each = |meaning| meanings.push(meaning);
        decode::replies(Script::AcquireOne, result, count, ours, each);
        meanings.swap_remove(0)
    };
    let answer = |text: &str| Ok(Value::Array(vec![word(text)]));
    let rejected = |result, count| match told(result, count) {
        (Reply::NotApplied(Refusal::Rejected(words)), None) => words.as_str().to_owned(),
        other => panic!("{other:?}"),
    };
    let words = rejected(answer("stream -NOPERM no permissions to run 'xadd'"), 1);
    for part in [
        "NOPERM",
        "'xadd'",
        "the fence stream app:tenure:fence",
        "XADD",
    ] {
        assert!(words.contains(part), "{words}");
    }
    let key = "NOPERM this user has no permissions to access one of the keys";
    let words = rejected(Ok(error(key)), 1);
    assert!(words.starts_with(key), "{words}");
    assert!(words.contains("(~app:tenure:fence)"), "{words}");
    // An answer to one lock is about that.
    let words = rejected(answer(&format!("-{key}")), 1);
    assert_eq!(words, key);
    // What will pass needs nobody.
    let full = told(answer("stream -OOM command not allowed"), 1).0;
    let unavailable = matches!(&full, Reply::NotApplied(Refusal::Unavailable(_)));
    assert!(unavailable, "{full:?}");
}

#[test]
fn each_lock_of_a_call_has_an_answer_of_its_own() {
    let answers = [
        "granted 9-7",
        "held 1500 8 00ff17a0",
        "-OOM command not allowed",
        "wat",
        "granted 0-0",
        "held 1500 8",
        "held 1500 8 someone",
    ];
    let answers = Value::Array(answers.map(word).to_vec());
    let [granted, held, full, nonsense @ ..] = &acquires(Ok(answers), 7, None)[..] else {
        panic!("seven locks, seven answers");
    };
    let server_time = ServerTime::from_micros(9_000);
    let fence = Fence::of_stream(9, 7).expect("a fence");
    let grant = Answer::Granted { fence, server_time };
    assert_eq!(granted.0, Reply::Applied(grant));
    let by_another = Answer::Held {
        left: std::time::Duration::from_millis(1500),
        server_time: ServerTime::from_micros(8),
        holder: Fingerprint::new(0x00ff_17a0).into(),
        ahead: None,
    };
    assert_eq!(held.0, Reply::Applied(by_another));
    assert!(matches!(full.0, Reply::NotApplied(Refusal::Unavailable(_))));
    for broken in nonsense {
        assert!(matches!(
            broken,
            (Reply::Unknown(Doubt::Broken(_)), Some(Signal::Broken(_)))
        ));
    }
}

#[test]
fn over_several_nodes_fences_are_numbers_and_the_time_comes_last() {
    let held = || word("held 1500 8 00ff17a0");
    let answers = vec![Value::Int(9), held(), Value::Int(0), Value::Int(7)];
    let [granted, held, none] = &of_several(answers, 3)[..] else {
        panic!("three locks, three answers");
    };
    let server_time = ServerTime::from_micros(7);
    let fence = Fence::new(9).expect("not zero");
    let grant = Answer::Granted { fence, server_time };
    assert_eq!(granted, &(Reply::Applied(grant), None));
    let is_held = matches!(held.0, Reply::Applied(Answer::Held { .. }));
    assert!(is_held, "{held:?}");
    let nonsense = [
        vec![Value::Int(9)],
        vec![Value::Int(9), Value::Int(9), Value::Int(7)],
        vec![Value::Int(9), word("7")],
        vec![Value::Int(9), Value::Int(-7)],
        vec![],
    ];
    let nonsense = nonsense.map(|answers| of_several(answers, 1).remove(0));
    for broken in nonsense.iter().chain([none]) {
        assert!(matches!(
            broken,
            (Reply::Unknown(Doubt::Broken(_)), Some(Signal::Broken(_)))
        ));
    }
}

#[test]
fn fewer_answers_than_locks_are_believed_for_none() {
    let one = Value::Array(vec![word("granted 9-7")]);
    for meaning in acquires(Ok(one), 2, None) {
        assert!(matches!(
            meaning,
            (Reply::Unknown(Doubt::Broken(_)), Some(Signal::Broken(_)))
        ));
    }
}

#[test]
fn a_refusal_of_a_shared_call_is_asked_again_lock_by_lock() {
    let refused = || Ok(error("NOPERM No permissions to access a key"));
    let again = (Reply::NotApplied(Refusal::Again), Some(Signal::DoNotBatch));
    assert_eq!(acquires(refused(), 2, None), [again.clone(), again]);
    let alone = &acquires(refused(), 1, None)[0];
    assert!(
        matches!(alone, (Reply::NotApplied(Refusal::Rejected(_)), None)),
        "{alone:?}"
    );
}

#[test]
fn a_look_tells_the_owner_but_not_the_secret() {
    let look_at = |value: Value, left, fence: Value| {
        let parts = vec![word("seen"), value, Value::Int(left), fence];
        decode::inspection(Ok(Value::Array(parts))).expect("a look")
    };
    let look = |value, fence| look_at(value, 1500, fence);
    let token = format!("billing:{}:12", "0a".repeat(16));
    let seen = look(word(&token), word("77"));
    let label = Some("billing".to_owned());
    assert_eq!(seen.holder, KeyHolder::Lease { label, attempt: 12 });
    assert_eq!(seen.fence.map(tenure_core::Fence::get), Some(77));
    assert!(!format!("{seen:?}").contains("0a0a"));
    assert_eq!(
        look(word(&token[8..]), Value::Nil).holder,
        KeyHolder::Lease {
            label: None,
            attempt: 12
        }
    );
    let label = Some(format!("10.0.0.7:8080:{}:3", "f".repeat(32)));
    let token = format!(
        "{}:{}:12",
        label.as_deref().unwrap_or_default(),
        "0a".repeat(16)
    );
    let seen = look(word(&token), Value::Nil);
    assert_eq!(seen.holder, KeyHolder::Lease { label, attempt: 12 });
    assert_eq!(
        look(word("redsync's base64=="), Value::Nil).holder,
        KeyHolder::Other
    );
    assert_eq!(look(Value::Nil, Value::Nil).holder, KeyHolder::Free);
    // As an acquire calls it, whatever stands there.
    for text in [&token[..], "redis-py's uuid"] {
        let seen = look_at(word(text), -1, Value::Nil);
        assert_eq!((seen.holder, seen.left), (KeyHolder::Foreign, None));
    }
    for counter in ["x", "", "+7", "-1", "9007199254740991"] {
        let seen = look(Value::Nil, word(counter));
        let told = matches!(
            seen.holder,
            KeyHolder::WrongType {
                name: LockName::Counter,
                ..
            }
        );
        assert!(told && seen.fence.is_none(), "{counter}: {seen:?}");
    }
    assert!(decode::inspection(Ok(Value::Okay)).is_err());
    let of_one_node = vec![word("seen"), word(&token), Value::Int(1500)];
    let seen = decode::inspection(Ok(Value::Array(of_one_node))).expect("a look");
    assert!(matches!(seen.holder, KeyHolder::Lease { attempt: 12, .. }));
    assert_eq!(seen.fence, None);
}

#[test]
fn a_look_at_a_queue_tells_labels_in_order_and_nothing_secret() {
    let secret = "0a".repeat(16);
    let look = |waiting: i64, places: Value| {
        let parts = [
            word("seen"),
            Value::Nil,
            Value::Int(-2),
            Value::Int(waiting),
        ];
        decode::inspection(Ok(Value::Array(
            [&parts[..], &[places, Value::Nil]].concat(),
        )))
    };
    let places = Value::Array(vec![
        word(&format!("billing:7:{secret}:12")),
        Value::Int(900),
        word(&format!("{secret}:1")),
        Value::Int(0),
        word("no token"),
        Value::Int(5),
    ]);
    let seen = look(7, places).expect("a look");
    assert!(!format!("{seen:?}").contains("0a0a"));
    let queue = seen.queue.expect("it has one");
    assert_eq!(queue.waiting, 7);
    let ms = std::time::Duration::from_millis;
    assert_eq!(
        queue.first,
        [
            (Some("billing:7".to_owned()), ms(900)),
            (None, ms(0)),
            (None, ms(5))
        ]
    );
    let token = || word(&format!("{secret}:1"));
    for broken in [
        look(1, Value::Nil),
        look(-1, Value::Array(vec![])),
        look(1, Value::Array(vec![token()])),
        look(1, Value::Array(vec![token(), Value::Int(-1)])),
        look(1, Value::Array(vec![Value::Nil, Value::Int(1)])),
    ] {
        broken.expect_err("it makes no sense");
    }
}

#[test]
fn what_was_read_by_commands_is_told_as_such() {
    let look = |held, left, counter| {
        let parts = [held, Value::Int(left), word("hash"), counter, word("list")];
        decode::look(&parts.map(Ok))
    };
    let wrong_type = || error("WRONGTYPE Operation against a key holding the wrong kind of value");
    let token = format!("billing:7:{}:12", "0a".repeat(16));
    let seen = look(word(&token), 1500, word("77")).expect("a look");
    let label = Some("billing:7".to_owned());
    assert_eq!(seen.holder, KeyHolder::Lease { label, attempt: 12 });
    assert_eq!(seen.left.map(|left| left.as_millis()), Some(1500));
    assert_eq!(seen.fence.map(tenure_core::Fence::get), Some(77));
    assert!(!seen.from_primary);

    let holder = |held, left| look(held, left, Value::Nil).map(|seen| (seen.holder, seen.left));
    let free = Ok((KeyHolder::Free, None));
    assert_eq!(holder(Value::Nil, -2), free);
    assert_eq!(holder(word(&token), -2), free, "it has gone in between");
    assert_eq!(holder(Value::Nil, 9000), free, "it has come in between");
    assert_eq!(holder(word("x"), -1), Ok((KeyHolder::Foreign, None)));
    for (held, counter, name, holds) in [
        (wrong_type(), Value::Nil, LockName::Key, "a hash"),
        (Value::Nil, wrong_type(), LockName::Counter, "a list"),
    ] {
        let seen = look(held, -1, counter).expect("a look");
        assert_eq!(seen.holder, KeyHolder::WrongType { name, holds });
        assert!(!seen.from_primary);
    }
    let denied = || error("NOPERM No permissions to access a key");
    for refused in [
        look(denied(), -2, Value::Nil),
        look(Value::Nil, -2, denied()),
        decode::look(&[Value::Nil, denied(), Value::Nil, Value::Nil, Value::Nil].map(Ok)),
    ] {
        let words = refused.expect_err("it may not be read");
        assert!(words.as_str().contains("NOPERM"), "{words}");
    }
    assert!(decode::look(&[]).is_err());
    let of_one_node = [word(&token), Value::Int(1500), word("string")].map(Ok);
    let seen = decode::look(&of_one_node).expect("a look");
    assert!(matches!(seen.holder, KeyHolder::Lease { attempt: 12, .. }));
    assert_eq!(seen.fence, None);
}

/// An error that this crate does not know leaves the outcome unknown. It may have been meant for
/// one lock of the call, so for a while each request is asked alone.
#[test]
fn an_unknown_error_to_a_shared_call_ends_sharing_for_a_while() {
    let odd = || Ok(error("ERR something else"));
    let doubt = Reply::Unknown(Doubt::Said(Words::new("ERR something else")));
    let unknown = (doubt.clone(), Some(Signal::DoNotBatch));
    assert_eq!(acquires(odd(), 2, None), [unknown.clone(), unknown]);
    assert_eq!(acquires(odd(), 1, None), [(doubt, None)]);
}

#[test]
fn locks_on_both_sides_of_a_slot_that_moves_are_asked_one_by_one() {
    let moves = || {
        Ok(error(
            "TRYAGAIN Multiple keys request during rehashing of slot",
        ))
    };
    let again = (Reply::NotApplied(Refusal::Again), Some(Signal::DoNotBatch));
    assert_eq!(acquires(moves(), 2, None), [again.clone(), again]);
    let (alone, _) = &acquires(moves(), 1, None)[0];
    assert!(matches!(alone, Reply::NotApplied(Refusal::Unavailable(_))));
}

#[test]
fn keys_of_several_slots_are_told_by_whoever_stands_before_a_cluster() {
    for text in [
        "CROSSSLOT Keys in request don't hash to the same slot",
        "ERR 'EVALSHA' command keys must in same slot",
    ] {
        let again = (Reply::NotApplied(Refusal::Again), Some(Signal::CrossSlot));
        assert_eq!(acquires(Ok(error(text)), 2, None)[0], again, "{text}");
    }
}

#[test]
fn a_connection_that_may_only_listen_is_replaced() {
    let text = "ERR Can't execute 'set': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / \
                RESET are allowed in this context";
    let (reply, signal) = decode::refusal(text);
    let unavailable = matches!(reply, Reply::NotApplied(Refusal::Unavailable(_)));
    assert!(unavailable && matches!(signal, Some(Signal::Reconnect(_))));
}
