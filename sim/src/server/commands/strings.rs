//! Strings: what locks and counters are made of.

use super::expiry::{Deadline, deadline};
use crate::server::keyspace::{Entry, Value};
use crate::server::number::parse_i64;
use crate::server::reply::Reply;
use crate::server::state::{Ctx, Outcome, Reject, State, lower};

fn value_or_null(value: Option<&mut Vec<u8>>) -> Reply {
    value.map_or(Reply::Null, Reply::bulk)
}

pub(super) fn get(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    Ok(value_or_null(state.string(ctx, &ctx.argv[1])?))
}

pub(super) fn mget(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    // A key of another type is as good as none here.
    let values = ctx.argv[1..]
        .iter()
        .map(|key| state.string(ctx, key).map_or(Reply::Null, value_or_null));
    Ok(Reply::Array(values.collect()))
}

pub(super) fn strlen(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    Ok(Reply::Int(
        state
            .string(ctx, &ctx.argv[1])?
            .map_or(0, |value| value.len() as i64),
    ))
}

pub(super) fn getdel(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let reply = get(state, ctx)?;
    state.keys.remove(ctx.db, &ctx.argv[1], ctx.now_ms());
    Ok(reply)
}

pub(super) fn getset(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let reply = get(state, ctx)?;
    store(state, ctx, &ctx.argv[1], &ctx.argv[2], None);
    Ok(reply)
}

pub(super) fn setnx(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let absent = state.lookup(ctx, &ctx.argv[1]).is_none();
    if absent {
        store(state, ctx, &ctx.argv[1], &ctx.argv[2], None);
    }
    Ok(Reply::Int(i64::from(absent)))
}

pub(super) fn mset(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    if ctx.argv.len().is_multiple_of(2) {
        return Err(Reject::wrong_arity("mset"));
    }
    for pair in ctx.argv[1..].chunks_exact(2) {
        store(state, ctx, &pair[0], &pair[1], None);
    }
    Ok(Reply::ok())
}

pub(super) fn setex(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let at = deadline(ctx, "setex", Deadline::Ex, &ctx.argv[2])?;
    store(state, ctx, &ctx.argv[1], &ctx.argv[3], Some(at));
    Ok(Reply::ok())
}

pub(super) fn psetex(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let at = deadline(ctx, "psetex", Deadline::Px, &ctx.argv[2])?;
    store(state, ctx, &ctx.argv[1], &ctx.argv[3], Some(at));
    Ok(Reply::ok())
}

fn store(state: &mut State, ctx: &Ctx<'_>, key: &[u8], value: &[u8], expires_at: Option<i64>) {
    state.keys.insert(
        ctx.db,
        key,
        Entry {
            value: Value::Str(value.to_vec()),
            expires_at,
        },
    );
}

/// The options that `SET` and `GETEX` share.
#[derive(Default)]
struct Options<'a> {
    nx: bool,
    xx: bool,
    get: bool,
    keep_ttl: bool,
    persist: bool,
    deadline: Option<(Deadline, &'a [u8])>,
}

fn options<'a>(args: &'a [Vec<u8>], set: bool) -> Result<Options<'a>, Reject> {
    let mut found = Options::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let no_expiry = !found.keep_ttl && !found.persist && found.deadline.is_none();
        match lower(arg).as_str() {
            "nx" if set && !found.xx => found.nx = true,
            "xx" if set && !found.nx => found.xx = true,
            "get" if set => found.get = true,
            "keepttl" if set && (no_expiry || found.keep_ttl) => found.keep_ttl = true,
            "persist" if !set && (no_expiry || found.persist) => found.persist = true,
            word => {
                // The same kind of expiry may be given twice; the last one counts.
                let kind = Deadline::named(word).ok_or_else(Reject::syntax)?;
                if !no_expiry && found.deadline.is_none_or(|(given, _)| given != kind) {
                    return Err(Reject::syntax());
                }
                found.deadline = Some((kind, args.next().ok_or_else(Reject::syntax)?));
            }
        }
    }
    Ok(found)
}

pub(super) fn set(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let options = options(&ctx.argv[3..], true)?;
    let expires_at = options
        .deadline
        .map(|(kind, n)| deadline(ctx, "set", kind, n))
        .transpose()?;
    let key = &ctx.argv[1];
    let before = if options.get {
        Some(value_or_null(state.string(ctx, key)?))
    } else {
        None
    };
    let existing = state.lookup(ctx, key);
    if (options.nx && existing.is_some()) || (options.xx && existing.is_none()) {
        return Ok(before.unwrap_or(Reply::Null));
    }
    let kept = existing
        .and_then(|entry| entry.expires_at)
        .filter(|_| options.keep_ttl);
    store(state, ctx, key, &ctx.argv[2], expires_at.or(kept));
    Ok(before.unwrap_or_else(Reply::ok))
}

pub(super) fn getex(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let options = options(&ctx.argv[2..], false)?;
    let key = &ctx.argv[1];
    let reply = match state.string(ctx, key)? {
        None => return Ok(Reply::Null),
        Some(value) => Reply::bulk(value),
    };
    let expires_at = options
        .deadline
        .map(|(kind, n)| deadline(ctx, "getex", kind, n))
        .transpose()?;
    match expires_at {
        Some(at) if at <= ctx.now_ms() => {
            state.keys.remove(ctx.db, key, ctx.now_ms());
        }
        Some(_) | None => {
            if let Some(entry) = state.lookup(ctx, key) {
                let before = entry.expires_at;
                entry.expires_at = if options.persist {
                    None
                } else {
                    expires_at.or(before)
                };
                if expires_at.is_some() || (options.persist && before.is_some()) {
                    state.keys.touch(key);
                }
            }
        }
    }
    Ok(reply)
}

pub(super) fn append(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let (key, tail) = (&ctx.argv[1], &ctx.argv[2]);
    let length = match state.string(ctx, key)? {
        Some(value) => {
            value.extend_from_slice(tail);
            let length = value.len();
            state.keys.touch(key);
            length
        }
        None => {
            store(state, ctx, key, tail, None);
            tail.len()
        }
    };
    Ok(Reply::Int(length as i64))
}

pub(super) fn incr(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    add(state, ctx, 1)
}

pub(super) fn decr(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    add(state, ctx, -1)
}

pub(super) fn incrby(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let by = ctx.int(2)?;
    add(state, ctx, by)
}

pub(super) fn decrby(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let by = ctx.int(2)?;
    let by = by
        .checked_neg()
        .ok_or_else(|| Reject::new("ERR decrement would overflow"))?;
    add(state, ctx, by)
}

fn add(state: &mut State, ctx: &Ctx<'_>, by: i64) -> Outcome {
    let key = &ctx.argv[1];
    let existing = state.string(ctx, key)?;
    let before = match &existing {
        Some(value) => parse_i64(value).ok_or_else(Reject::not_an_integer)?,
        None => 0,
    };
    let after = before
        .checked_add(by)
        .ok_or_else(|| Reject::new("ERR increment or decrement would overflow"))?;
    match existing {
        Some(value) => {
            *value = after.to_string().into_bytes();
            state.keys.touch(key);
        }
        None => store(state, ctx, key, after.to_string().as_bytes(), None),
    }
    Ok(Reply::Int(after))
}
