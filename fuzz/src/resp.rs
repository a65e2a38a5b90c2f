//! Any bytes to the embedded server: its parser and its engine answer or refuse, and never panic;
//! and the pieces in which the bytes come make no difference to what they say.

use arbitrary::{Arbitrary, Unstructured};
use tenure_sim::server::{ManualClock, RequestParser, Server};

/// What a client sends.
#[derive(Debug)]
pub struct Input {
    /// Any bytes, framed or not.
    raw: Vec<u8>,
    /// Where the bytes are cut in two.
    cut: u16,
    /// Commands that are framed well.
    commands: Vec<Command>,
}

impl<'a> Arbitrary<'a> for Input {
    /// By hand, since a derived `Vec` draws after each element whether to end, and stays short.
    fn arbitrary(bytes: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let length = bytes.int_in_range(0..=bytes.len().min(512))?;
        let raw = bytes.bytes(length)?.to_vec();
        let cut = bytes.arbitrary()?;
        let mut commands = Vec::new();
        while !bytes.is_empty() {
            let name = bytes.arbitrary()?;
            let args = (0..bytes.int_in_range(0..=6)?)
                .map(|_| bytes.arbitrary())
                .collect::<Result<_, _>>()?;
            commands.push(Command { name, args });
        }
        Ok(Self { raw, cut, commands })
    }
}

/// A command, of words that the server knows and of others.
#[derive(Debug)]
struct Command {
    name: u8,
    args: Vec<Arg>,
}

#[derive(Arbitrary, Debug)]
enum Arg {
    Word(u8),
    Number(i64),
    Bytes(Vec<u8>),
}

const NAMES: &[&str] = &[
    "GET", "SET", "GETEX", "DEL", "PEXPIRE", "PTTL", "TYPE", "EXISTS", "TIME", "INFO", "HELLO",
    "CLIENT", "CONFIG", "SCRIPT", "EVAL", "EVALSHA", "HSET", "HGET", "KEYS", "SCAN", "PING",
    "AUTH", "SELECT", "FLUSHALL", "ROLE", "PERSIST", "INCR", "MULTI",
];

const WORDS: &[&str] = &[
    "k",
    "l",
    "NX",
    "XX",
    "PX",
    "EX",
    "GET",
    "KEEPTTL",
    "LOAD",
    "KILL",
    "ID",
    "LIST",
    "SETNAME",
    "0",
    "1",
    "2",
    "3",
    "-1",
    "default",
    "server",
    "*",
    "[",
    "GT",
    "LT",
    "return redis.call('get', KEYS[1])",
    "return {1, {2, 'x'}, redis.error_reply('E x')}",
];

impl Command {
    fn frame(&self, out: &mut Vec<u8>) {
        let args: Vec<Vec<u8>> = std::iter::once(word(NAMES, self.name))
            .chain(self.args.iter().map(|arg| match arg {
                Arg::Word(index) => word(WORDS, *index),
                Arg::Number(number) => number.to_string().into_bytes(),
                Arg::Bytes(bytes) => bytes.clone(),
            }))
            .collect();
        out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
        for arg in args {
            out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            out.extend_from_slice(&arg);
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn word(words: &[&str], index: u8) -> Vec<u8> {
    words[usize::from(index) % words.len()].as_bytes().to_vec()
}

/// Sends it all to a server, and the raw bytes to two parsers, whole and in two pieces.
///
/// # Panics
/// If the parsers disagree, or the server does not answer an inside connection afterwards.
pub fn check(input: &Input) {
    let cut = usize::from(input.cut).min(input.raw.len());
    assert_eq!(
        parse(&[&input.raw]),
        parse(&[&input.raw[..cut], &input.raw[cut..]])
    );

    let server = Server::new(ManualClock::default());
    let mut framed = Vec::new();
    for command in &input.commands {
        command.frame(&mut framed);
    }
    for bytes in [&framed, &input.raw] {
        let mut session = server.remote_session();
        // A refusal is an answer.
        let _ = session.exchange(bytes);
    }
    assert_eq!(server.call(&["SET", "after", "all"]).error_code(), None);
    assert_eq!(server.peek("after").as_deref(), Some(b"all".as_slice()));
}

/// What a parser makes of the bytes: the requests, and the error that ended the stream.
fn parse(pieces: &[&[u8]]) -> (Vec<Vec<Vec<u8>>>, Option<String>) {
    let mut parser = RequestParser::new();
    let mut requests = Vec::new();
    for piece in pieces {
        parser.feed(piece);
        loop {
            match parser.next_request() {
                Ok(Some(request)) => requests.push(request),
                Ok(None) => break,
                Err(error) => return (requests, Some(error.to_string())),
            }
        }
    }
    (requests, None)
}
