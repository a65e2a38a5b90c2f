//! Streams: as much as it takes to draw growing ids from one that stays empty.
//!
//! Entries are counted and not kept. Trimming is exact, also where it was asked for as approximate.

use crate::server::keyspace::{Entry, Stream, StreamId, Value};
use crate::server::number::parse_i64;
use crate::server::reply::Reply;
use crate::server::state::{Ctx, Outcome, Reject, State};

fn stream<'s>(state: &'s mut State, ctx: &Ctx<'_>) -> Result<Option<&'s mut Stream>, Reject> {
    match state
        .lookup(ctx, &ctx.argv[1])
        .map(|entry| &mut entry.value)
    {
        None => Ok(None),
        Some(Value::Stream(stream)) => Ok(Some(stream)),
        Some(_) => Err(Reject::wrong_type()),
    }
}

/// The id that a request names.
#[derive(Clone, Copy)]
enum Asked {
    /// `*`.
    Next,
    /// `ms-*`.
    NextIn(u64),
    Exactly(StreamId),
}

impl Asked {
    fn parse(text: &[u8]) -> Result<Self, Reject> {
        if text == b"*" {
            return Ok(Self::Next);
        }
        let invalid = || Reject::new("ERR Invalid stream ID specified as stream command argument");
        let number = |digits: &[u8]| {
            let digits = std::str::from_utf8(digits).ok()?;
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| digits.parse().ok())?
        };
        let (ms, seq) = match text.iter().position(|byte| *byte == b'-') {
            None => (text, &b"0"[..]),
            Some(dash) => (&text[..dash], &text[dash + 1..]),
        };
        let ms = number(ms).ok_or_else(invalid)?;
        if seq == b"*" {
            return Ok(Self::NextIn(ms));
        }
        let seq = number(seq).ok_or_else(invalid)?;
        Ok(Self::Exactly(StreamId { ms, seq }))
    }

    /// The id of an entry that is added behind `last`; none if there is none that is larger.
    fn after(self, last: StreamId, now_ms: u64) -> Option<StreamId> {
        let id = match self {
            Self::Next if now_ms > last.ms => StreamId { ms: now_ms, seq: 0 },
            Self::Next => last.next()?,
            Self::NextIn(ms) if ms == last.ms => StreamId {
                ms,
                seq: last.seq.checked_add(1)?,
            },
            Self::NextIn(ms) => StreamId { ms, seq: 0 },
            Self::Exactly(id) => id,
        };
        (id > last).then_some(id)
    }
}

/// The options before the id.
#[derive(Default)]
struct Options {
    create: bool,
    max_len: Option<u64>,
    /// Where the id stands.
    at: usize,
}

fn options(ctx: &Ctx<'_>) -> Result<Options, Reject> {
    let mut found = Options {
        create: true,
        ..Options::default()
    };
    let mut i = 2;
    while i < ctx.argv.len() {
        let more = ctx.argv.len() - 1 - i;
        match ctx.word(i).as_str() {
            "maxlen" if more > 0 => {
                if found.max_len.is_some() {
                    return Err(Reject::new(
                        "ERR syntax error, MAXLEN and MINID options at the same time are not \
                         compatible",
                    ));
                }
                i += 1;
                if more >= 2 && matches!(&ctx.argv[i][..], b"~" | b"=") {
                    i += 1;
                }
                let n = parse_i64(&ctx.argv[i]).ok_or_else(Reject::not_an_integer)?;
                let n = u64::try_from(n)
                    .map_err(|_| Reject::new("ERR The MAXLEN argument must be >= 0."))?;
                found.max_len = Some(n);
            }
            "nomkstream" => found.create = false,
            _ => break,
        }
        i += 1;
    }
    found.at = i;
    Ok(found)
}

pub(super) fn xadd(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let options = options(ctx)?;
    let asked = match ctx.argv.get(options.at) {
        Some(id) => Asked::parse(id)?,
        // Only options: what ought to be the id is not there.
        None => return Err(Reject::wrong_arity("xadd")),
    };
    let fields = ctx.argv.len() - options.at - 1;
    if fields < 2 || !fields.is_multiple_of(2) {
        return Err(Reject::wrong_arity("xadd"));
    }
    if matches!(asked, Asked::Exactly(StreamId { ms: 0, seq: 0 })) {
        return Err(Reject::new(
            "ERR The ID specified in XADD must be greater than 0-0",
        ));
    }
    if stream(state, ctx)?.is_none() {
        if !options.create {
            return Ok(Reply::Null);
        }
        let entry = Entry {
            value: Value::Stream(Stream::default()),
            expires_at: None,
        };
        state.keys.insert(ctx.db, &ctx.argv[1], entry);
    }
    let now_ms = ctx.now_us / 1000;
    let Some(stream) = stream(state, ctx)? else {
        return Ok(Reply::Null);
    };
    if stream.last == StreamId::LARGEST {
        return Err(Reject::new(
            "ERR The stream has exhausted the last possible ID, unable to add more items",
        ));
    }
    let id = asked.after(stream.last, now_ms).ok_or_else(|| {
        Reject::new(
            "ERR The ID specified in XADD is equal or smaller than the target stream top item",
        )
    })?;
    stream.last = id;
    stream.len += 1;
    if let Some(most) = options.max_len {
        stream.len = stream.len.min(most);
    }
    state.keys.touch(&ctx.argv[1]);
    Ok(Reply::bulk(id.to_string()))
}

pub(super) fn xlen(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let len = stream(state, ctx)?.map_or(0, |stream| stream.len);
    Ok(Reply::Int(len as i64))
}
