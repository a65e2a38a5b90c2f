//! When keys end: the commands about expiry, and how an expiry is written.

use crate::server::number::parse_i64;
use crate::server::reply::Reply;
use crate::server::state::{Ctx, Outcome, Reject, State};

/// How a command writes an expiry: from now or from the epoch, in seconds or in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Deadline {
    Ex,
    Px,
    ExAt,
    PxAt,
}

impl Deadline {
    pub(super) fn named(word: &str) -> Option<Self> {
        match word {
            "ex" => Some(Self::Ex),
            "px" => Some(Self::Px),
            "exat" => Some(Self::ExAt),
            "pxat" => Some(Self::PxAt),
            _ => None,
        }
    }

    /// Milliseconds since the epoch, or `None` if that does not fit.
    fn at(self, n: i64, now_ms: i64) -> Option<i64> {
        match self {
            Self::Ex => n.checked_mul(1000)?.checked_add(now_ms),
            Self::Px => n.checked_add(now_ms),
            Self::ExAt => n.checked_mul(1000),
            Self::PxAt => Some(n),
        }
    }
}

fn invalid(command: &str) -> Reject {
    Reject::new(format!("ERR invalid expire time in '{command}' command"))
}

/// The instant that an option of `SET` or `GETEX` names; zero and less are refused.
pub(super) fn deadline(
    ctx: &Ctx<'_>,
    command: &str,
    kind: Deadline,
    n: &[u8],
) -> Result<i64, Reject> {
    let n = parse_i64(n).ok_or_else(Reject::not_an_integer)?;
    kind.at(n, ctx.now_ms())
        .filter(|_| n > 0)
        .ok_or_else(|| invalid(command))
}

pub(super) fn expire(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    change(state, ctx, "expire", Deadline::Ex)
}

pub(super) fn pexpire(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    change(state, ctx, "pexpire", Deadline::Px)
}

pub(super) fn expireat(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    change(state, ctx, "expireat", Deadline::ExAt)
}

pub(super) fn pexpireat(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    change(state, ctx, "pexpireat", Deadline::PxAt)
}

#[derive(Default)]
struct Conditions {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

fn conditions(ctx: &Ctx<'_>) -> Result<Conditions, Reject> {
    let mut found = Conditions::default();
    for (i, arg) in ctx.argv.iter().enumerate().skip(3) {
        match ctx.word(i).as_str() {
            "nx" => found.nx = true,
            "xx" => found.xx = true,
            "gt" => found.gt = true,
            "lt" => found.lt = true,
            _ => {
                let given = String::from_utf8_lossy(arg).into_owned();
                return Err(Reject::new(format!("ERR Unsupported option {given}")));
            }
        }
    }
    if found.nx && (found.xx || found.gt || found.lt) {
        return Err(Reject::new(
            "ERR NX and XX, GT or LT options at the same time are not compatible",
        ));
    }
    if found.gt && found.lt {
        return Err(Reject::new(
            "ERR GT and LT options at the same time are not compatible",
        ));
    }
    Ok(found)
}

fn change(state: &mut State, ctx: &Ctx<'_>, command: &str, kind: Deadline) -> Outcome {
    let conditions = conditions(ctx)?;
    let n = ctx.int(2)?;
    let at = kind.at(n, ctx.now_ms()).ok_or_else(|| invalid(command))?;
    let key = &ctx.argv[1];
    let Some(entry) = state.lookup(ctx, key) else {
        return Ok(Reply::Int(0));
    };
    // For GT and LT, a key without an expiry ends at infinity.
    let refused = match entry.expires_at {
        Some(before) => {
            conditions.nx || (conditions.gt && at <= before) || (conditions.lt && at >= before)
        }
        None => conditions.xx || conditions.gt,
    };
    if refused {
        return Ok(Reply::Int(0));
    }
    entry.expires_at = Some(at);
    if at <= ctx.now_ms() {
        state.keys.remove(ctx.db, key, ctx.now_ms());
    }
    state.keys.touch(key);
    Ok(Reply::Int(1))
}

pub(super) fn persist(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let had = state
        .lookup(ctx, &ctx.argv[1])
        .and_then(|entry| entry.expires_at.take());
    if had.is_some() {
        state.keys.touch(&ctx.argv[1]);
    }
    Ok(Reply::Int(i64::from(had.is_some())))
}

pub(super) fn ttl(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let now = ctx.now_ms();
    told(state, ctx, |at| {
        rounded_seconds(at.saturating_sub(now).max(0))
    })
}

pub(super) fn pttl(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let now = ctx.now_ms();
    told(state, ctx, |at| at.saturating_sub(now).max(0))
}

pub(super) fn expiretime(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    told(state, ctx, rounded_seconds)
}

pub(super) fn pexpiretime(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    told(state, ctx, |at| at)
}

/// -2 for no key, -1 for a key without an expiry.
fn told(state: &mut State, ctx: &Ctx<'_>, say: impl Fn(i64) -> i64) -> Outcome {
    let entry = state.lookup(ctx, &ctx.argv[1]);
    Ok(Reply::Int(
        entry.map_or(-2, |entry| entry.expires_at.map_or(-1, say)),
    ))
}

/// To the nearest second.
fn rounded_seconds(ms: i64) -> i64 {
    // Wider than the sum: the largest expiry rounds up, as the server's own arithmetic has it.
    ((i128::from(ms) + 500) / 1000) as i64
}
