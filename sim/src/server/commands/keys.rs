//! Keys of any type.

use crate::server::glob;
use crate::server::reply::Reply;
use crate::server::state::{Ctx, Outcome, State};

pub(super) fn del(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let now = ctx.now_ms();
    let removed = ctx.argv[1..]
        .iter()
        .filter(|key| state.keys.remove(ctx.db, key, now));
    Ok(Reply::Int(removed.count() as i64))
}

/// A key that is named twice counts twice.
pub(super) fn exists(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let there = ctx.argv[1..]
        .iter()
        .filter(|key| state.lookup(ctx, key).is_some());
    Ok(Reply::Int(there.count() as i64))
}

pub(super) fn type_(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let name = state
        .lookup(ctx, &ctx.argv[1])
        .map_or("none", |entry| entry.value.type_name());
    Ok(Reply::Status(name.to_owned()))
}

pub(super) fn keys(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let all = state.keys.keys(ctx.db, ctx.now_ms());
    Ok(Reply::Array(
        all.filter(|key| glob::matches(&ctx.argv[1], key))
            .map(Reply::bulk)
            .collect(),
    ))
}
