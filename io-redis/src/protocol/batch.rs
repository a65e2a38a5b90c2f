//! Requests that are written together, and what their replies mean.

use redis::{Pipeline, RedisError, Value};
use tenure_core::{Key, OpKind, Request, RequestId, Token};

use crate::protocol::decode::{self, Beside, CommandResult, Meaning, miscounted};
use crate::protocol::encode::{self, Encoder};
use crate::protocol::scripts::Script;

/// How many locks one call may have. A longer script would keep other clients of the server
/// waiting.
// Law: Bounded work
pub(crate) const LOCKS_PER_CALL: usize = 128;

/// The place of a command within its batch: a smaller number is written earlier. Locks are released
/// before others are acquired, so that someone who drops a guard and takes the same key again does
/// not meet their own lock. A release that follows a request of its own lease stays behind it.
// Law: No orphan
fn place(request: &Request, before: Option<&Request>) -> u8 {
    match request.op.kind() {
        // The core hands out the requests of one lease one after the other.
        OpKind::Release | OpKind::Stay
            if before.is_some_and(|r| r.id.lease == request.id.lease) =>
        {
            4
        }
        OpKind::Release | OpKind::Stay => 0,
        OpKind::Renew => 1,
        // Behind the renewal that it follows.
        OpKind::Watch => 2,
        OpKind::Confirm | OpKind::Repair => 2,
        // Asked over another connection; here it would stand behind what it follows.
        OpKind::Acknowledge => 4,
        OpKind::Take | OpKind::Acquire | OpKind::Wait => 3,
    }
}

/// How a request is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// By a script.
    Called(Script),
    /// By a plain command. One that draws a fence follows.
    Plain,
    /// By one that reads the keys of all, behind those that let the node watch what it reads.
    Watched,
}

/// The requests behind one write, in the order of their commands.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    ids: Vec<RequestId>,
    /// In the order of the commands.
    calls: Vec<Call>,
    /// The requests in the order in which they are written, each with what decides it: its place,
    /// whether it shares no call, its way, and its number among those that were given.
    order: Vec<(u8, bool, Way, usize)>,
    digests: Vec<u64>,
    /// The tokens that the keys should hold that are watched, in the order of their calls.
    tokens: Vec<Token>,
    /// The results of the plain commands of a call, until its fence is known.
    taken: Vec<CommandResult>,
}

/// A command for some requests; or a plain one for each, and one that draws a fence for all.
#[derive(Debug)]
struct Call {
    way: Way,
    /// How many of the requests it carries.
    count: usize,
    /// The key, if it carries one request only.
    key: Option<Key>,
}

impl Call {
    /// How many commands it is.
    const fn commands(&self) -> usize {
        match self.way {
            Way::Called(_) => 1,
            Way::Plain => self.count + 1,
            Way::Watched => encode::WATCH,
        }
    }
}

impl Batch {
    /// About how many commands these requests are: only takes have one each.
    pub(crate) fn commands(requests: &[Request]) -> usize {
        let takes = |request: &&Request| request.op.kind() == OpKind::Take;
        requests.iter().filter(takes).count() + 8
    }

    /// Encodes the requests as `commands`. Those of one kind share calls, if they may, and bare
    /// releases name their lock alone. The requests of one lease keep their order.
    pub(crate) fn encode(
        &mut self,
        requests: &[Request],
        may_share: impl Fn(&Request) -> bool,
        is_bare: impl Fn(&Request) -> bool,
        encoder: &mut Encoder,
        commands: &mut Pipeline,
    ) {
        self.ids.clear();
        self.calls.clear();
        self.tokens.clear();
        self.order.clear();
        let mut before = None;
        for (number, request) in requests.iter().enumerate() {
            let kind = request.op.kind();
            let bare = kind.frees() && is_bare(request);
            let script = if bare {
                Script::Release
            } else {
                Script::asking(kind, encoder.fences())
            };
            let shares = kind == OpKind::Watch || script.layout().answers.shares_calls();
            // What is said to a bare release is noted for its key.
            let alone = bare || !(shares && may_share(request));
            let way = match kind {
                OpKind::Take if !alone && encoder.takes_natively() => Way::Plain,
                OpKind::Watch => Way::Watched,
                _ => Way::Called(script),
            };
            self.order
                .push((place(request, before), alone, way, number));
            before = Some(request);
        }
        self.order.sort_unstable();
        let order = std::mem::take(&mut self.order);
        for of_a_kind in
            order.chunk_by(|one, next| (one.0, one.1, one.2) == (next.0, next.1, next.2))
        {
            let (_, alone, way, _) = of_a_kind[0];
            let mut rest = of_a_kind;
            while !rest.is_empty() {
                let most = if alone { 1 } else { LOCKS_PER_CALL };
                let count = self.of_different_keys(requests, &rest[..most.min(rest.len())], way);
                let (call, behind) = rest.split_at(count);
                rest = behind;
                let call = call.iter().map(|(.., number)| &requests[*number]);
                self.add(way, call, encoder, commands);
            }
        }
        self.order = order;
    }

    /// Writes these requests, in one call or each by a plain command.
    fn add<'a>(
        &mut self,
        way: Way,
        requests: impl ExactSizeIterator<Item = &'a Request> + Clone,
        encoder: &mut Encoder,
        commands: &mut Pipeline,
    ) {
        self.ids.extend(requests.clone().map(|request| request.id));
        let count = requests.len();
        let key = requests.clone().next().filter(|_| count == 1);
        let key = key.map(|request| request.key.clone());
        self.calls.push(Call { way, count, key });
        match way {
            Way::Called(script) => {
                commands.add_command(encoder.call(script, requests));
            }
            Way::Plain => {
                for request in requests {
                    commands.add_command(encoder.take(request));
                }
                commands.add_command(encoder.draw());
            }
            Way::Watched => {
                let tokens = requests.clone().map(|request| request.token.clone());
                self.tokens.extend(tokens);
                for command in encode::watch(requests) {
                    commands.add_command(command);
                }
            }
        }
    }

    /// How many of these, from the first, may have one draw of the stream: those before the first
    /// that asks for the same key as another. Two grants of a key never share a fence.
    // Law: Fencing
    fn of_different_keys(
        &mut self,
        requests: &[Request],
        asked: &[(u8, bool, Way, usize)],
        way: Way,
    ) -> usize {
        // Of those that wait for one key, a call grants it to one at most.
        if asked.len() == 1 || !matches!(way, Way::Plain | Way::Called(Script::AcquireOne)) {
            return asked.len();
        }
        self.digests.clear();
        let of = |(.., number): &(u8, bool, Way, usize)| digest(&requests[*number].key);
        self.digests.extend(asked.iter().map(of));
        self.digests.sort_unstable();
        if self.digests.windows(2).all(|two| two[0] != two[1]) {
            return asked.len();
        }
        let key = |at: usize| &requests[asked[at].3].key;
        let repeats = |at: &usize| (0..*at).any(|other| key(other) == key(*at));
        (1..asked.len()).find(repeats).unwrap_or(asked.len())
    }

    /// Reads the results: `each` is called once for every request, with its key if its call had no
    /// other. Returns false if the node was to watch keys and does not.
    pub(crate) fn read(
        &mut self,
        result: Result<Vec<Value>, RedisError>,
        ours: Beside<'_>,
        mut each: impl FnMut(RequestId, Option<&Key>, Meaning),
    ) -> bool {
        let commands: usize = self.calls.iter().map(Call::commands).sum();
        let result = match result {
            Ok(values) if values.len() != commands => Err(miscounted()),
            result => result,
        };
        let (mut values, error) = match result {
            Ok(values) => (values.into_iter(), None),
            Err(error) => (Vec::new().into_iter(), Some(error)),
        };
        let mut watches = true;
        let mut ids = self.ids.drain(..);
        for Call { way, count, key } in self.calls.drain(..) {
            let mut next = || match &error {
                Some(error) => Err(error.clone()),
                None => values.next().ok_or_else(miscounted),
            };
            let mut answer = |meaning| {
                if let Some(id) = ids.next() {
                    each(id, key.as_ref(), meaning);
                }
            };
            match way {
                Way::Called(script) => decode::replies(script, next(), count, ours, answer),
                Way::Plain => {
                    self.taken.clear();
                    self.taken.extend((0..count).map(|_| next()));
                    let drawn = decode::drawn(&next());
                    self.taken
                        .drain(..)
                        .for_each(|result| answer(decode::taken(result, drawn.as_ref())));
                }
                Way::Watched => {
                    let results = std::array::from_fn(|_| next());
                    let tokens = self.tokens.drain(..count);
                    watches &= decode::watched(results, tokens, answer);
                }
            }
        }
        watches
    }

    /// Gives up what has no reply: `each` is called once for every request.
    pub(crate) fn abandon(&mut self, each: impl FnMut(RequestId)) {
        self.calls.clear();
        self.tokens.clear();
        self.ids.drain(..).for_each(each);
    }
}

/// Tells most keys apart, for little time. Where it does not, they are compared.
fn digest(key: &Key) -> u64 {
    let mix = |digest: u64, part: &[u8]| {
        let mut word = [0; 8];
        word[..part.len()].copy_from_slice(part);
        // The multiplier of rustc's own hash tables.
        (digest.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(0x517c_c1b7_2722_0a95)
    };
    key.as_bytes()
        .chunks(8)
        .fold(key.as_bytes().len() as u64, mix)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tenure_core::{Answer, Fence, Op, Refusal, Reply, ServerTime};

    use super::*;

    /// Encodes requests of which none is a bare release, and which share calls or do not.
    fn encode(
        batch: &mut Batch,
        requests: &[Request],
        share: bool,
        encoder: &mut Encoder,
        commands: &mut Pipeline,
    ) {
        batch.encode(requests, |_| share, |_| false, encoder, commands);
    }
    use crate::protocol::decode::Signal;
    use crate::protocol::testing::acquires;

    const TTL: Duration = Duration::from_secs(1);

    fn takes(count: usize) -> Vec<Request> {
        let mut requests = acquires(count);
        for request in &mut requests {
            request.op = Op::Take { ttl: TTL };
        }
        requests
    }

    fn one_node() -> Encoder {
        let mut encoder = Encoder::new(Some(Arc::default()));
        encoder.natively = true;
        encoder
    }

    /// The first word of each command.
    fn names(commands: &Pipeline) -> Vec<String> {
        let name = |cmd: &redis::Cmd| match cmd.args_iter().next() {
            Some(redis::Arg::Simple(word)) => String::from_utf8_lossy(word).into_owned(),
            _ => "?".to_owned(),
        };
        commands.cmd_iter().map(name).collect()
    }

    fn meanings(batch: &mut Batch, values: Vec<Value>) -> Vec<Meaning> {
        let mut meanings = Vec::new();
        batch.read(Ok(values), Beside::default(), |_, _, meaning| {
            meanings.push(meaning)
        });
        meanings
    }

    fn granted(ms: u64, seq: u64) -> Reply {
        Reply::Applied(Answer::Granted {
            fence: Fence::new(2_000 * ms + seq).expect("not zero"),
            server_time: ServerTime::from_micros(1_000 * ms),
        })
    }

    fn error(text: &str) -> Value {
        let line = format!("-{text}\r\n");
        redis::parse_redis_value(line.as_bytes()).expect("an error reply is a value")
    }

    fn id(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    /// What two watched leases are told, and whether it is of use to ask for more, where the node
    /// answers so to the three commands; or one of them, alone.
    fn watched(answers: [Value; encode::WATCH], leases: usize) -> (Vec<Meaning>, bool) {
        let mut requests = acquires(leases);
        for request in &mut requests {
            request.op = Op::Watch;
        }
        let mut batch = Batch::default();
        encode(
            &mut batch,
            &requests,
            true,
            &mut one_node(),
            &mut Pipeline::new(),
        );
        let mut meanings = Vec::new();
        let watches = batch.read(Ok(answers.into()), Beside::default(), |_, _, meaning| {
            meanings.push(meaning)
        });
        (meanings, watches)
    }

    #[test]
    fn keys_whose_read_is_refused_for_one_of_them_are_read_one_by_one() {
        let key = "NOPERM this user has no permissions to access one of the keys used as arguments";
        let command = "NOPERM this user has no permissions to run the 'mget' command";
        let slots = "CROSSSLOT Keys in request don't hash to the same slot";
        for (words, signal) in [
            (key, Signal::DoNotBatch),
            (command, Signal::DoNotBatch),
            (slots, Signal::CrossSlot),
        ] {
            let (meanings, watches) = watched([Value::Okay, Value::Okay, error(words)], 2);
            let again = (Reply::NotApplied(Refusal::Again), Some(signal));
            assert_eq!(meanings, [again.clone(), again], "{words}");
            assert!(watches, "{words}");
        }
        for (words, of_use) in [(key, true), (command, false), ("LOADING it is", true)] {
            let (meanings, watches) = watched([Value::Okay, Value::Okay, error(words)], 1);
            assert!(
                matches!(&meanings[..], [(Reply::NotApplied(_), _)]),
                "{words}"
            );
            assert_eq!(watches, of_use, "{words}");
        }
        let deaf = error("ERR Client tracking can be enabled only in RESP3");
        let (_, watches) = watched([deaf, Value::Okay, Value::Array(vec![Value::Nil])], 1);
        assert!(!watches);
    }

    #[test]
    fn a_call_handles_128_locks_at_most_however_many_are_given() {
        let acquire = Op::Acquire {
            ttl: TTL,
            proposal: None,
            place: None,
        };
        for op in [
            acquire,
            Op::Release {
                place: None,
                hints: false,
            },
            Op::Renew { ttl: TTL },
            Op::Watch,
        ] {
            let each = if op == Op::Watch { encode::WATCH } else { 1 };
            let mut requests = acquires(300);
            for request in &mut requests {
                request.op = op;
            }
            for mut encoder in [one_node(), Encoder::new(None)] {
                let mut commands = Pipeline::new();
                let mut batch = Batch::default();
                encode(&mut batch, &requests, true, &mut encoder, &mut commands);
                let counts: Vec<_> = batch.calls.iter().map(|call| call.count).collect();
                assert_eq!(counts, [128, 128, 44], "{op:?}");
                assert_eq!(commands.len(), 3 * each);
                encode(&mut batch, &requests, false, &mut encoder, &mut commands);
                assert_eq!(batch.calls.len(), 300, "one by one");
            }
        }
    }

    #[test]
    fn a_bare_release_names_its_lock_alone_and_shares_no_call() {
        let mut requests = acquires(2);
        for request in &mut requests {
            request.op = Op::Release {
                place: None,
                hints: false,
            };
        }
        let mut encoder = one_node();
        for (bare, script, counts) in [
            (false, Script::ReleaseOne, &[2][..]),
            (true, Script::Release, &[1, 1]),
        ] {
            let mut batch = Batch::default();
            batch.encode(
                &requests,
                |_| true,
                |_| bare,
                &mut encoder,
                &mut Pipeline::new(),
            );
            assert_eq!(batch.calls[0].way, Way::Called(script));
            let said: Vec<_> = batch.calls.iter().map(|call| call.count).collect();
            assert_eq!(said, counts);
        }
    }

    #[test]
    fn all_locks_that_are_taken_in_one_write_have_one_draw() {
        let mut requests = takes(3);
        requests.push(acquires(4).swap_remove(3));
        requests[3].op = Op::Release {
            place: None,
            hints: false,
        };
        let mut commands = Pipeline::new();
        let mut batch = Batch::default();
        encode(&mut batch, &requests, true, &mut one_node(), &mut commands);
        let written = names(&commands);
        assert_eq!(written, ["EVALSHA", "SET", "SET", "SET", "XADD"]);
        let released = Value::Array(Vec::new());
        let values = vec![released, Value::Okay, Value::Nil, Value::Okay, id("1700-3")];
        let replies = meanings(&mut batch, values);
        let replies: Vec<_> = replies.into_iter().map(|(reply, _)| reply).collect();
        let busy = Reply::Applied(Answer::Busy);
        let done = Reply::Applied(Answer::Done);
        let fence = granted(1700, 3);
        assert_eq!(replies, [done, fence.clone(), busy, fence]);
    }

    #[test]
    fn a_lock_without_a_usable_fence_is_unfenced() {
        let unusable = [
            Value::Nil,
            id("1700-1800"),
            id("4503599627370-0"),
            id("nonsense"),
            error("WRONGTYPE not a stream"),
        ];
        for drawn in unusable {
            let mut batch = Batch::default();
            let mut commands = Pipeline::new();
            encode(&mut batch, &takes(2), true, &mut one_node(), &mut commands);
            let values = vec![Value::Okay, Value::Nil, drawn];
            let replies = meanings(&mut batch, values);
            assert_eq!(replies[0].0, Reply::Applied(Answer::Unfenced));
            assert_eq!(replies[1].0, Reply::Applied(Answer::Busy));
        }
    }

    // Law: Fencing
    #[test]
    fn two_takes_of_one_key_in_one_write_have_a_draw_each() {
        let mut requests = takes(4);
        requests[2].key = requests[0].key.clone();
        requests[3].key = requests[0].key.clone();
        let mut commands = Pipeline::new();
        let mut batch = Batch::default();
        encode(&mut batch, &requests, true, &mut one_node(), &mut commands);
        let written = names(&commands);
        let expected = ["SET", "SET", "XADD", "SET", "XADD", "SET", "XADD"];
        assert_eq!(written, expected);
        // The first is gone before the second comes.
        let values = vec![
            Value::Okay,
            Value::Okay,
            id("1700-0"),
            Value::Okay,
            id("1700-1"),
            Value::Nil,
            id("1700-2"),
        ];
        let replies = meanings(&mut batch, values);
        assert_eq!(replies[0].0, granted(1700, 0));
        assert_eq!(replies[2].0, granted(1700, 1));
        // Nor is one called twice for a key.
        for request in &mut requests {
            request.op = Op::Acquire {
                ttl: TTL,
                proposal: None,
                place: None,
            };
        }
        encode(&mut batch, &requests, true, &mut one_node(), &mut commands);
        let counts: Vec<_> = batch.calls.iter().map(|call| call.count).collect();
        assert_eq!(counts, [2, 1, 1]);
    }

    #[test]
    fn what_shares_no_commands_is_taken_by_script() {
        let mut commands = Pipeline::new();
        let mut batch = Batch::default();
        encode(&mut batch, &takes(2), false, &mut one_node(), &mut commands);
        assert_eq!(names(&commands), ["EVALSHA", "EVALSHA"]);
        let mut commands = Pipeline::new();
        let mut unordered = one_node();
        unordered.natively = false;
        encode(&mut batch, &takes(2), true, &mut unordered, &mut commands);
        assert_eq!(names(&commands), ["EVALSHA"]);
        let left = Value::Array(vec![id("granted 1700-3"), id("held 9 1700000 0000000a")]);
        let replies = meanings(&mut batch, vec![left]);
        assert_eq!(replies[0].0, granted(1700, 3));
        let held = matches!(&replies[1].0, Reply::Applied(Answer::Held { .. }));
        assert!(held, "{replies:?}");
    }

    #[test]
    fn a_refused_command_takes_nothing_and_a_lost_write_is_unknown() {
        let mut batch = Batch::default();
        let mut commands = Pipeline::new();
        encode(&mut batch, &takes(1), true, &mut one_node(), &mut commands);
        let misconf = error("MISCONF Redis is configured to save RDB snapshots");
        let replies = meanings(&mut batch, vec![misconf, id("1700-3")]);
        let refused = matches!(&replies[0].0, Reply::NotApplied(Refusal::Unavailable(_)));
        assert!(refused, "{replies:?}");
        // Whether the key is held is not known then: acquire finds out.
        encode(&mut batch, &takes(1), true, &mut one_node(), &mut commands);
        let oom = error("OOM command not allowed when used memory > 'maxmemory'.");
        let replies = meanings(&mut batch, vec![oom.clone(), oom]);
        assert_eq!(replies[0].0, Reply::Applied(Answer::Busy));
        encode(&mut batch, &takes(1), true, &mut one_node(), &mut commands);
        let replies = meanings(&mut batch, vec![Value::Okay]);
        assert!(matches!(&replies[0].0, Reply::Unknown(_)), "{replies:?}");
    }
}
