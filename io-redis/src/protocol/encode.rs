//! How requests are written: as calls of the scripts, or as plain commands.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, RedisWrite};
use tenure_core::{Fence, Key, LockName, Op, PlaceId, Request};

use crate::protocol::breaking::Seen;
use crate::protocol::key;
use crate::protocol::marker::Marker;
use crate::protocol::scripts::{DRAW, Fences, Layout, LockArg, LockKey, MarkerArg, Script};
use crate::protocol::stream::FenceStream;

/// Requests that share a call.
pub(crate) trait Requests<'a>:
    IntoIterator<Item = &'a Request, IntoIter: Clone + ExactSizeIterator>
{
}

impl<'a, T: IntoIterator<Item = &'a Request, IntoIter: Clone + ExactSizeIterator>> Requests<'a>
    for T
{
}

/// A marker, and what acquires say of it.
#[derive(Debug)]
struct Known {
    marker: Marker,
    text: String,
}

/// Writes requests as commands. Keeps buffers, and the marker that acquires are compared with.
#[derive(Debug)]
pub(crate) struct Encoder {
    /// That draws the fences of the node, if one does.
    stream: Option<Arc<FenceStream>>,
    marker: Option<Known>,
    /// Whether scripts are sent as texts, to a server that does not keep them.
    pub(crate) by_text: bool,
    /// Whether locks may be taken by plain commands, which the connection keeps in order.
    pub(crate) natively: bool,
    /// The slots of a cluster from whose streams fences were drawn lately.
    used: BTreeSet<u16>,
    /// Where this client listens to pushes, if it does.
    pub(crate) channel: Option<Arc<[u8]>>,
    name: Vec<u8>,
    token: Vec<u8>,
    place: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new(stream: Option<Arc<FenceStream>>) -> Self {
        Self {
            stream,
            marker: None,
            by_text: false,
            natively: false,
            used: BTreeSet::new(),
            channel: None,
            name: Vec::new(),
            token: Vec::new(),
            place: Vec::new(),
        }
    }

    /// Sets the marker that acquires are compared with from now on.
    pub(crate) fn set_marker(&mut self, marker: Marker) {
        let text = marker.text();
        self.marker = Some(Known { marker, text });
    }

    /// Where the fences of the node come from.
    pub(crate) const fn fences(&self) -> Fences {
        match self.stream {
            Some(_) => Fences::Stream,
            None => Fences::Counters,
        }
    }

    /// Whether locks may be taken by plain commands now: not over a cluster, where they share none.
    pub(crate) fn takes_natively(&self) -> bool {
        self.natively && self.stream.is_some() && !self.is_split()
    }

    /// Whether each slot of a cluster has a stream of its own.
    pub(crate) fn is_split(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.is_split())
    }

    /// One call of a script for all of these requests. With a stream they are of one slot.
    pub(crate) fn call<'a>(&mut self, script: Script, requests: impl Requests<'a>) -> Cmd {
        let requests = requests.into_iter();
        let layout = script.layout();
        // A name that belongs to a key is less than 40 bytes longer than twice that.
        let named = layout.lock_keys.len() - 1;
        let size_of =
            |request: &Request| (1 + 2 * named) * request.key.as_bytes().len() + 40 * named + 120;
        let mut size = requests.clone().map(size_of).sum();
        let is_marked = self.marker.is_some() && !layout.marker_args.is_empty();
        if let Some(known) = self.marker.as_ref().filter(|_| is_marked) {
            size += known.marker.key.len() + known.text.len() + 40;
        }
        let mut cmd = script.call(self.by_text, requests.len(), is_marked, size);
        for request in requests.clone() {
            write_keys(&mut cmd, layout, &request.key, &mut self.name);
        }
        if layout.stream
            && let Some(stream) = &self.stream
            && let Some(first) = requests.clone().next()
        {
            let key = first.key.as_bytes();
            if stream.is_split() {
                self.used.insert(key::slot(key));
            }
            stream.write_for(key, &mut self.name);
            cmd.write_arg(&self.name);
        }
        if let Some(known) = self.marker.as_ref().filter(|_| is_marked) {
            cmd.write_arg(&known.marker.key);
        }
        for request in requests {
            self.write_args(&mut cmd, layout, request);
        }
        if let Some(Known { marker, text }) = self.marker.as_ref().filter(|_| is_marked) {
            write_marker(&mut cmd, layout, marker, text);
        }
        cmd
    }

    /// Writes the arguments of one lock.
    fn write_args(&mut self, cmd: &mut Cmd, layout: &Layout, request: &Request) {
        let (ttl, fence) = match request.op {
            Op::Take { ttl } | Op::Wait { ttl, .. } | Op::Renew { ttl } | Op::Stay { ttl, .. } => {
                (Some(ttl), None)
            }
            Op::Acquire { ttl, proposal, .. } => (Some(ttl), proposal),
            Op::Confirm { fence } => (None, Some(fence)),
            Op::Repair { ttl, fence } => (Some(ttl), Some(fence)),
            Op::Release { .. } | Op::Watch | Op::Acknowledge => (None, None),
        };
        let (place, serial) = match request.op {
            Op::Wait { place, serial, .. } => (Some(place), serial.get()),
            Op::Stay { place, .. } => (Some(place), 0),
            Op::Acquire { place, .. } | Op::Release { place, .. } => (place, 0),
            Op::Take { .. } | Op::Confirm { .. } | Op::Renew { .. } => (None, 0),
            Op::Watch | Op::Repair { .. } | Op::Acknowledge => (None, 0),
        };
        let hints = matches!(request.op, Op::Release { hints: true, .. });
        self.token.clear();
        request.token.write(&mut self.token);
        for arg in layout.lock_args {
            match arg {
                LockArg::Token => cmd.write_arg(&self.token),
                LockArg::Ttl => {
                    // A renewal with a TTL of 0 would delete the key.
                    debug_assert!(ttl.is_some(), "{:?} has no TTL", request.op);
                    cmd.arg(ttl.map_or(0, millis));
                }
                LockArg::Proposal => {
                    cmd.arg(fence.map_or(0, Fence::get));
                }
                LockArg::Fence => {
                    debug_assert!(fence.is_some(), "{:?} has no fence", request.op);
                    cmd.arg(fence.map_or(0, Fence::get));
                }
                LockArg::Place => {
                    self.place.clear();
                    if let Some(place) = place {
                        let channel = self.channel.as_deref().filter(|_| place.pushed);
                        let channel = channel.unwrap_or_default();
                        let first;
                        let token = match self.stream {
                            Some(_) => &self.token,
                            None => {
                                first = of_first_attempt(&self.token);
                                &first
                            }
                        };
                        write_place(place.id, token, channel, &mut self.place);
                    }
                    cmd.write_arg(&self.place);
                }
                LockArg::Serial => {
                    cmd.arg(serial);
                }
                LockArg::Hints => {
                    cmd.arg(u8::from(hints));
                }
                LockArg::Seen => debug_assert!(false, "no lease breaks a lock"),
            }
        }
    }

    /// The command that takes a lock if its key is free.
    // Law: Ownership
    pub(crate) fn take(&mut self, request: &Request) -> Cmd {
        let Op::Take { ttl } = request.op else {
            debug_assert!(false, "{:?} takes nothing by a plain command", request.op);
            return Cmd::new();
        };
        self.token.clear();
        request.token.write(&mut self.token);
        let key = request.key.as_bytes();
        let mut cmd = Cmd::with_capacity(6, key.len() + self.token.len() + 32);
        cmd.write_arg(b"SET");
        cmd.write_arg(key);
        cmd.write_arg(&self.token);
        cmd.arg("NX").arg("PX").arg(millis(ttl));
        cmd
    }

    /// The command that draws a fence for the locks that were taken before it.
    pub(crate) fn draw(&self) -> Cmd {
        let stream = self.stream.as_deref().map_or(&[][..], FenceStream::name);
        let mut cmd = Cmd::with_capacity(2 + DRAW.len(), stream.len() + 32);
        cmd.write_arg(b"XADD");
        cmd.write_arg(stream);
        cmd.arg(DRAW);
        cmd
    }

    /// The call that keeps the stream of a node, or of a slot of a cluster.
    pub(crate) fn keep(&mut self, slot: Option<u16>) -> Option<Cmd> {
        let stream = self.stream.as_ref()?;
        match slot {
            Some(slot) => stream.write_in(slot, &mut self.name),
            None => stream.write_for(b"", &mut self.name),
        }
        let mut cmd = Script::Keep.call(self.by_text, 0, false, self.name.len());
        cmd.write_arg(&self.name);
        Some(cmd)
    }

    /// The slots from whose streams fences were drawn since this was last asked.
    pub(crate) fn take_used(&mut self) -> BTreeSet<u16> {
        std::mem::take(&mut self.used)
    }

    /// The call that inspects a key.
    pub(crate) fn inspect(&mut self, key: &Key) -> Cmd {
        let script = match self.fences() {
            Fences::Stream => Script::InspectOne,
            Fences::Counters => Script::InspectSeveral,
        };
        let size = 3 * key.as_bytes().len() + 40;
        let mut cmd = script.call(self.by_text, 1, false, size);
        write_keys(&mut cmd, script.layout(), key, &mut self.name);
        cmd
    }

    /// The call that breaks a lock whose value is the one that was seen.
    // Law: Ownership
    pub(crate) fn break_lock(&mut self, key: &Key, seen: &Seen) -> Cmd {
        let script = match self.fences() {
            Fences::Stream => Script::BreakOne,
            Fences::Counters => Script::BreakSeveral,
        };
        let size = 3 * key.as_bytes().len() + 160;
        let mut cmd = script.call(self.by_text, 1, false, size);
        write_keys(&mut cmd, script.layout(), key, &mut self.name);
        if let Some(stream) = self.stream.as_ref().filter(|_| script.layout().stream) {
            if stream.is_split() {
                self.used.insert(key::slot(key.as_bytes()));
            }
            stream.write_for(key.as_bytes(), &mut self.name);
            cmd.write_arg(&self.name);
        }
        cmd.write_arg(seen.as_str().as_bytes());
        cmd
    }
}

/// How many commands let a node watch keys.
pub(crate) const WATCH: usize = 3;

/// The commands that let a node watch the keys of these requests: one that says that it watches
/// what it is asked for, and not what this connection itself does to that; one that asks for what
/// the next command reads; and one that reads the keys.
pub(crate) fn watch<'a>(requests: impl Requests<'a>) -> [Cmd; WATCH] {
    let watch = words(&["CLIENT", "TRACKING", "ON", "OPTIN", "NOLOOP"]);
    let next = words(&["CLIENT", "CACHING", "YES"]);
    let requests = requests.into_iter();
    let keys = requests.clone().map(|request| request.key.as_bytes());
    let size = keys.clone().map(<[u8]>::len).sum::<usize>();
    let mut read = Cmd::with_capacity(1 + requests.len(), 4 + size);
    read.write_arg(b"MGET");
    keys.for_each(|key| read.write_arg(key));
    [watch, next, read]
}

/// A command of these words, whose buffers do not grow while it is written.
fn words(words: &[&str]) -> Cmd {
    let size = words.iter().map(|word| word.len()).sum();
    let mut cmd = Cmd::with_capacity(words.len(), size);
    words.iter().for_each(|word| cmd.write_arg(word.as_bytes()));
    cmd
}

/// The commands that look at a key without a script, for a user who may only read: what it holds,
/// for how long, and of what type it is; and if it has a counter, what that holds and its type.
pub(crate) fn looks_at(key: &Key, fences: Fences) -> Vec<Cmd> {
    let of = |name: &str, key: &Key| {
        let mut cmd = redis::cmd(name);
        cmd.arg(key.as_bytes());
        cmd
    };
    let mut commands = vec![of("GET", key), of("PTTL", key), of("TYPE", key)];
    if fences == Fences::Counters {
        let counter = key::named(key, LockName::Counter, None);
        commands.extend([of("GET", &counter), of("TYPE", &counter)]);
    }
    commands
}

/// The call that writes or refreshes the marker of a node.
pub(crate) fn mark(marker: &Marker, by_text: bool) -> Cmd {
    let mut cmd = Script::Mark.call(by_text, 0, true, marker.key.len() + 160);
    cmd.write_arg(&marker.key);
    write_marker(&mut cmd, Script::Mark.layout(), marker, "");
    cmd
}

/// Writes the keys of one lock.
fn write_keys(cmd: &mut Cmd, layout: &Layout, lock: &Key, name: &mut Vec<u8>) {
    for key in layout.lock_keys {
        match key {
            LockKey::Lock => cmd.write_arg(lock.as_bytes()),
            LockKey::Counter => {
                key::counter(lock.as_bytes(), name);
                cmd.write_arg(name);
            }
            LockKey::Queue => {
                key::queue(lock.as_bytes(), name);
                cmd.write_arg(name);
            }
        }
    }
}

/// Writes what stands in a queue for a lease. All of it stays the same for as long as that waits.
fn write_place(id: PlaceId, token: &[u8], channel: &[u8], out: &mut Vec<u8>) {
    debug_assert!(token.len() < 1_000, "a token has at most some 180 bytes");
    // The format, and the demand: exclusive.
    out.extend_from_slice(b"Ax");
    let digit = |n: u64| b"0123456789abcdef"[(n & 0xf) as usize];
    out.extend((0..16).rev().map(|at| digit(id.get() >> (4 * at))));
    let length = token.len() as u64;
    out.extend([length / 100, length / 10 % 10, length % 10].map(digit));
    out.extend_from_slice(token);
    out.extend_from_slice(channel);
}

/// The token of the first attempt of a lease: over several nodes its place stays the same from one
/// attempt to the next.
fn of_first_attempt(token: &[u8]) -> Vec<u8> {
    let digits = token.iter().rev().take_while(|it| it.is_ascii_digit());
    let mut token = token[..token.len() - digits.count()].to_vec();
    token.push(b'1');
    token
}

/// Writes what the script is told of a marker, whose text this is.
fn write_marker(cmd: &mut Cmd, layout: &Layout, marker: &Marker, text: &str) {
    for arg in layout.marker_args {
        match arg {
            MarkerArg::RunId => cmd.write_arg(marker.run_id.as_bytes()),
            MarkerArg::ReplicationId => cmd.write_arg(marker.replication_id.as_bytes()),
            MarkerArg::Durable => {
                cmd.arg(u8::from(marker.durable));
            }
            MarkerArg::MaxTtl => {
                cmd.arg(marker.max_ttl_ms);
            }
            MarkerArg::Nodes => {
                cmd.arg(marker.nodes);
            }
            MarkerArg::Name => cmd.write_arg(marker.name.as_bytes()),
            MarkerArg::Over => {
                cmd.arg(marker.over());
            }
            MarkerArg::Text => cmd.write_arg(text.as_bytes()),
        }
    }
}

/// A span as scripts and markers write it.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use tenure_core::{Label, Place, Secret, Serial};

    use super::*;
    use crate::protocol::testing::request;

    fn words(cmd: &Cmd) -> Vec<String> {
        cmd.args_iter()
            .map(|arg| match arg {
                redis::Arg::Simple(bytes) => bytes.escape_ascii().to_string(),
                _ => "?".to_owned(),
            })
            .collect()
    }

    fn encoder(fences: Fences) -> Encoder {
        Encoder::new(match fences {
            Fences::Stream => Some(Arc::default()),
            Fences::Counters => None,
        })
    }

    fn acquire() -> (Request, String) {
        let op = Op::Acquire {
            ttl: Duration::from_secs(5),
            proposal: Fence::new(77),
            place: None,
        };
        let mut request = request(0, op);
        request.token.label = Some(Label::new("billing").expect("a label"));
        request.token.secret = Secret::new([0xa0; 16]);
        (request, format!("billing:{}:1", "a0".repeat(16)))
    }

    fn marker() -> Marker {
        Marker {
            key: key::marker(b"app:"),
            run_id: "run".into(),
            replication_id: "replication".into(),
            durable: false,
            since: 1_700,
            max_ttl_ms: 9,
            nodes: 3,
            name: "a set".into(),
        }
    }

    #[test]
    fn an_acquire_carries_the_token_the_ttl_and_the_proposal() {
        let mut encoder = encoder(Fences::Counters);
        let (request, token) = acquire();
        let words_of = words(&encoder.call(Script::AcquireSeveral, [&request]));
        assert_eq!(words_of[0], "EVALSHA");
        let (counter, queue) = (
            "lock-0:tenure:fence:{lock-0}",
            "lock-0:tenure:queue:{lock-0}",
        );
        let rest = ["3", "lock-0", counter, queue, &token, "5000", "77", ""];
        assert_eq!(words_of[2..], rest);
        encoder.set_marker(marker());
        let words_of = words(&encoder.call(Script::AcquireSeveral, [&request]));
        assert_eq!(words_of[2], "4");
        assert_eq!(words_of[6], "app:tenure:node");
        let text = "run replication 0 1700 9 3 a set";
        assert_eq!(words_of[11..], ["1709", text]);
    }

    #[test]
    fn over_one_node_an_acquire_names_the_stream_behind_the_locks() {
        let mut encoder = encoder(Fences::Stream);
        let (first, token) = acquire();
        let second = request(1, first.op);
        let words_of = words(&encoder.call(Script::AcquireOne, [&first, &second]));
        assert_eq!(words_of[2..6], ["3", "lock-0", "lock-1", "tenure:fence"]);
        assert_eq!(words_of[6..8], [&token, "5000"]);
        assert_eq!(words_of.len(), 10);
        encoder.set_marker(marker());
        let words_of = words(&encoder.call(Script::AcquireOne, [&first]));
        assert_eq!(
            words_of[2..6],
            ["3", "lock-0", "tenure:fence", "app:tenure:node"]
        );
    }

    #[test]
    fn a_place_is_the_same_in_the_wait_that_enters_it_and_in_the_release() {
        let mut encoder = encoder(Fences::Stream);
        encoder.channel = Some(b"app:tenure:push:7"[..].into());
        let (mut request, token) = acquire();
        let mut place = Place {
            id: PlaceId::new(0x0123_4567_89ab_cdef),
            pushed: true,
        };
        request.op = Op::Wait {
            ttl: Duration::from_secs(5),
            place,
            serial: Serial::of(64 + 9),
        };
        let wait = words(&encoder.call(Script::WaitOne, [&request]));
        let queue = "lock-0:tenure:queue:{lock-0}";
        let member = format!("Ax0123456789abcdef042{token}app:tenure:push:7");
        assert_eq!(wait[2..6], ["3", "lock-0", queue, "tenure:fence"]);
        assert_eq!(wait[6..], [&token[..], "5000", &member, "9"]);
        request.op = Op::Release {
            place: Some(place),
            hints: false,
        };
        let release = words(&encoder.call(Script::ReleaseOne, [&request]));
        assert_eq!(release[2..6], ["3", "lock-0", queue, "tenure:fence"]);
        assert_eq!(release[6..], [&token[..], &member]);
        // Who does not listen has no channel, and who does not wait has no place.
        place.pushed = false;
        request.op = Op::Release {
            place: Some(place),
            hints: false,
        };
        let release = words(&encoder.call(Script::ReleaseOne, [&request]));
        assert_eq!(release[7], format!("Ax0123456789abcdef042{token}"));
        request.op = Op::Release {
            place: None,
            hints: false,
        };
        let release = words(&encoder.call(Script::ReleaseOne, [&request]));
        assert_eq!(release[7], "");
    }

    #[test]
    fn over_several_nodes_a_place_is_the_same_in_each_attempt() {
        let mut encoder = encoder(Fences::Counters);
        encoder.channel = Some(b"app:tenure:push:7"[..].into());
        let (mut request, token) = acquire();
        let ttl = Duration::from_secs(5);
        let place = Place {
            id: PlaceId::new(0x0123_4567_89ab_cdef),
            pushed: true,
        };
        let member = format!("Ax0123456789abcdef042{token}app:tenure:push:7");
        request.token.attempt = 7;
        request.op = Op::Acquire {
            ttl,
            proposal: None,
            place: Some(place),
        };
        let acquire = words(&encoder.call(Script::AcquireSeveral, [&request]));
        assert_eq!(acquire[9..], [&member[..]]);
        request.op = Op::Stay { ttl, place };
        let stay = words(&encoder.call(Script::Stay, [&request]));
        assert_eq!(stay[6..], ["5000", &member]);
        for (hints, said) in [(true, "1"), (false, "0")] {
            request.op = Op::Release {
                place: Some(place),
                hints,
            };
            let release = words(&encoder.call(Script::ReleaseSeveral, [&request]));
            assert_eq!(release[6..], [&member[..], said]);
        }
    }

    #[test]
    fn a_lock_is_taken_by_one_command_and_another_draws_for_all() {
        let mut encoder = encoder(Fences::Stream);
        let (mut request, token) = acquire();
        let ttl = Duration::from_millis(1500);
        request.op = Op::Take { ttl };
        let take = words(&encoder.take(&request));
        assert_eq!(take, ["SET", "lock-0", &token, "NX", "PX", "1500"]);
        let draw = words(&encoder.draw());
        let rest = ["NOMKSTREAM", "MAXLEN", "0", "*", "", ""];
        assert_eq!(draw[..2], ["XADD", "tenure:fence"]);
        assert_eq!(draw[2..], rest);
    }

    #[test]
    fn over_a_cluster_the_streams_of_slots_that_were_used_are_kept() {
        let stream = Arc::new(FenceStream::default());
        let mut encoder = Encoder::new(Some(Arc::clone(&stream)));
        encoder.natively = true;
        assert!(encoder.takes_natively());
        let (request, _) = acquire();
        encoder.call(Script::AcquireOne, [&request]);
        assert!(encoder.take_used().is_empty(), "there is one stream");
        stream.split();
        assert!(!encoder.takes_natively());
        let words_of = words(&encoder.call(Script::AcquireOne, [&request]));
        let used = encoder.take_used();
        assert!(used.contains(&key::slot(b"lock-0")) && used.len() == 1);
        let slot = used.first().copied();
        let kept = words(&encoder.keep(slot).expect("there is a stream"));
        assert_eq!(kept[2..], ["1", &words_of[4]]);
        assert!(encoder.take_used().is_empty());
    }

    #[test]
    fn renewals_share_a_call_with_all_keys_before_all_tokens() {
        let renew = Op::Renew {
            ttl: Duration::from_millis(1500),
        };
        let requests = [request(0, renew), request(1, renew)];
        let words = words(&encoder(Fences::Stream).call(Script::Renew, &requests));
        assert_eq!(words[2..5], ["2", "lock-0", "lock-1"]);
        assert_eq!(words[5], format!("{}:1", "00".repeat(16)));
        assert_eq!(words[6], "1500");
        assert_eq!(words.len(), 9);
    }
}
