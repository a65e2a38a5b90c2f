//! Hashes: as much as it takes to have a key of the wrong type where a lock should be.

use crate::server::keyspace::{Entry, Value};
use crate::server::reply::Reply;
use crate::server::state::{Ctx, Outcome, Reject, State};

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn fields<'s>(state: &'s mut State, ctx: &Ctx<'_>) -> Result<Option<&'s mut Fields>, Reject> {
    match state
        .lookup(ctx, &ctx.argv[1])
        .map(|entry| &mut entry.value)
    {
        None => Ok(None),
        Some(Value::Hash(fields)) => Ok(Some(fields)),
        Some(_) => Err(Reject::wrong_type()),
    }
}

pub(super) fn hset(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    if !ctx.argv.len().is_multiple_of(2) {
        return Err(Reject::wrong_arity("hset"));
    }
    if fields(state, ctx)?.is_none() {
        let entry = Entry {
            value: Value::Hash(Vec::new()),
            expires_at: None,
        };
        state.keys.insert(ctx.db, &ctx.argv[1], entry);
    }
    let Some(fields) = fields(state, ctx)? else {
        return Ok(Reply::Int(0));
    };
    let mut added = 0;
    for pair in ctx.argv[2..].chunks_exact(2) {
        match fields.iter_mut().find(|(name, _)| *name == pair[0]) {
            Some((_, value)) => value.clone_from(&pair[1]),
            None => {
                fields.push((pair[0].clone(), pair[1].clone()));
                added += 1;
            }
        }
    }
    state.keys.touch(&ctx.argv[1]);
    Ok(Reply::Int(added))
}

pub(super) fn hget(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let found = fields(state, ctx)?.and_then(|f| f.iter().find(|(name, _)| *name == ctx.argv[2]));
    Ok(found.map_or(Reply::Null, |(_, value)| Reply::bulk(value)))
}

pub(super) fn hexists(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let there = fields(state, ctx)?.is_some_and(|f| f.iter().any(|(name, _)| *name == ctx.argv[2]));
    Ok(Reply::Int(i64::from(there)))
}

pub(super) fn hlen(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    Ok(Reply::Int(
        fields(state, ctx)?.map_or(0, |f| f.len() as i64),
    ))
}

pub(super) fn hgetall(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let pairs =
        fields(state, ctx)?.map(|f| f.iter().map(|(n, v)| (Reply::bulk(n), Reply::bulk(v))));
    Ok(Reply::Map(pairs.map_or_else(Vec::new, Iterator::collect)))
}

pub(super) fn hdel(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let Some(fields) = fields(state, ctx)? else {
        return Ok(Reply::Int(0));
    };
    let before = fields.len();
    fields.retain(|(name, _)| !ctx.argv[2..].contains(name));
    let after = fields.len();
    if after == 0 {
        // A hash without fields is no key at all.
        state.keys.remove(ctx.db, &ctx.argv[1], ctx.now_ms());
    }
    if after < before {
        state.keys.touch(&ctx.argv[1]);
    }
    Ok(Reply::Int((before - after) as i64))
}
