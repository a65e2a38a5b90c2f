//! Keys of any type.

use crate::server::glob;
use crate::server::reply::Reply;
use crate::server::state::{Ctx, Outcome, Reject, State};

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

/// Where a key stands in a scan, whatever other keys there are: so one that is there all the time
/// is found by every scan. Zero is the beginning, and the end.
fn place(key: &[u8]) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    key.iter().fold(0xcbf2_9ce4_8422_2325, mix).max(1)
}

/// The cursor is the place of the next key. Keys at one place are found together.
pub(super) fn scan(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let cursor: u64 = match &ctx.argv[1][..] {
        b"" => 0,
        digits => std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| Reject::new("ERR invalid cursor"))?,
    };
    let (mut pattern, mut count, mut kind) = (None, 10, None);
    for at in (2..ctx.argv.len()).step_by(2) {
        let value = ctx.argv.get(at + 1).ok_or_else(Reject::syntax)?;
        match ctx.word(at).as_str() {
            "count" => {
                count = usize::try_from(ctx.int(at + 1)?).map_err(|_| Reject::syntax())?;
                if count == 0 {
                    return Err(Reject::syntax());
                }
            }
            "match" => pattern = Some(value.clone()),
            "type" => kind = Some(ctx.word(at + 1)),
            _ => return Err(Reject::syntax()),
        }
    }
    let all = state.keys.keys(ctx.db, ctx.now_ms());
    let mut rest: Vec<_> = all.map(|key| (place(key), key.clone())).collect();
    rest.retain(|(place, _)| *place >= cursor);
    rest.sort_unstable();
    let last = rest.get(count - 1).map(|(place, _)| *place);
    let seen = last.map_or(rest.len(), |last| {
        rest.partition_point(|(place, _)| *place <= last)
    });
    let next = rest.get(seen).map_or(0, |(place, _)| *place);
    let mut found = Vec::new();
    for (_, key) in rest.drain(..seen) {
        let fits = pattern
            .as_ref()
            .is_none_or(|pattern| glob::matches(pattern, &key));
        let entry = state.lookup(ctx, &key).filter(|_| fits);
        let is_of = |name: &str| kind.as_ref().is_none_or(|kind| kind == name);
        if entry.is_some_and(|entry| is_of(entry.value.type_name())) {
            found.push(Reply::bulk(&key));
        }
    }
    Ok(Reply::Array(vec![
        Reply::bulk(next.to_string()),
        Reply::Array(found),
    ]))
}
