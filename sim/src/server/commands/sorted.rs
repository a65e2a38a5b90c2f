//! Sorted sets: as much as queues need.

use crate::server::keyspace::{Entry, Sorted, Value};
use crate::server::number::parse_i64;
use crate::server::reply::Reply;
use crate::server::state::{Ctx, Outcome, Reject, State};

fn sorted<'s>(state: &'s mut State, ctx: &Ctx<'_>) -> Result<Option<&'s mut Sorted>, Reject> {
    match state
        .lookup(ctx, &ctx.argv[1])
        .map(|entry| &mut entry.value)
    {
        None => Ok(None),
        Some(Value::Sorted(sorted)) => Ok(Some(sorted)),
        Some(_) => Err(Reject::wrong_type()),
    }
}

/// A score as Redis reads it, in the notations that programs use.
fn float(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let lower = text.to_ascii_lowercase();
    match lower.trim_start_matches(['+', '-']) {
        "inf" | "infinity" if lower.starts_with('-') => return Some(f64::NEG_INFINITY),
        "inf" | "infinity" => return Some(f64::INFINITY),
        "nan" => return None,
        _ => {}
    }
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    // Nothing is a score of 0, and minus nothing is none.
    plain.then(|| text.parse::<f64>().ok())?.map(|n| n + 0.0)
}

/// The options of `ZADD`.
#[derive(Default)]
struct Options {
    new_only: bool,
    old_only: bool,
    greater: bool,
    less: bool,
    changed: bool,
    /// Where the first score stands.
    at: usize,
}

fn options(ctx: &Ctx<'_>) -> Result<Options, Reject> {
    let mut found = Options {
        at: 2,
        ..Options::default()
    };
    loop {
        let flag = match ctx.word(found.at).as_str() {
            "nx" => &mut found.new_only,
            "xx" => &mut found.old_only,
            "gt" => &mut found.greater,
            "lt" => &mut found.less,
            "ch" => &mut found.changed,
            _ => break,
        };
        *flag = true;
        found.at += 1;
    }
    let rest = ctx.argv.len().saturating_sub(found.at);
    if rest == 0 || !rest.is_multiple_of(2) {
        return Err(Reject::syntax());
    }
    if found.new_only && found.old_only {
        return Err(Reject::new(
            "ERR XX and NX options at the same time are not compatible",
        ));
    }
    if [found.greater, found.less, found.new_only]
        .into_iter()
        .filter(|flag| *flag)
        .count()
        > 1
    {
        return Err(Reject::new(
            "ERR GT, LT, and/or NX options at the same time are not compatible",
        ));
    }
    Ok(found)
}

pub(super) fn zadd(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let options = options(ctx)?;
    let mut pairs = Vec::new();
    for pair in ctx.argv[options.at..].chunks_exact(2) {
        let score = float(&pair[0]).ok_or_else(|| Reject::new("ERR value is not a valid float"))?;
        pairs.push((score, &pair[1]));
    }
    if sorted(state, ctx)?.is_none() {
        if options.old_only {
            return Ok(Reply::Int(0));
        }
        let entry = Entry {
            value: Value::Sorted(Sorted::default()),
            expires_at: None,
        };
        state.keys.insert(ctx.db, &ctx.argv[1], entry);
    }
    let Some(sorted) = sorted(state, ctx)? else {
        return Ok(Reply::Int(0));
    };
    let (mut added, mut changed) = (0, 0);
    for (score, member) in pairs {
        match sorted.score(member) {
            None if options.old_only => {}
            None => {
                sorted.put(member, score);
                added += 1;
            }
            Some(before) => {
                let skipped = options.new_only
                    || (options.greater && score <= before)
                    || (options.less && score >= before);
                if !skipped && score != before {
                    sorted.put(member, score);
                    changed += 1;
                }
            }
        }
    }
    if added + changed > 0 {
        state.keys.touch(&ctx.argv[1]);
    }
    Ok(Reply::Int(if options.changed {
        added + changed
    } else {
        added
    }))
}

pub(super) fn zrem(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let Some(sorted) = sorted(state, ctx)? else {
        return Ok(Reply::Int(0));
    };
    let removed = ctx.argv[2..]
        .iter()
        .filter(|member| sorted.take(member))
        .count();
    if sorted.len() == 0 {
        // A set without members is no key at all.
        state.keys.remove(ctx.db, &ctx.argv[1], ctx.now_ms());
    }
    if removed > 0 {
        state.keys.touch(&ctx.argv[1]);
    }
    Ok(Reply::Int(removed as i64))
}

fn score(sorted: Option<&Sorted>, member: &[u8]) -> Reply {
    let found = sorted.and_then(|sorted| sorted.score(member));
    found.map_or(Reply::Null, Reply::Double)
}

pub(super) fn zscore(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    Ok(score(sorted(state, ctx)?.map(|it| &*it), &ctx.argv[2]))
}

pub(super) fn zmscore(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let sorted = sorted(state, ctx)?.map(|it| &*it);
    let scores = ctx.argv[2..].iter().map(|member| score(sorted, member));
    Ok(Reply::Array(scores.collect()))
}

pub(super) fn zcard(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    Ok(Reply::Int(
        sorted(state, ctx)?.map_or(0, |it| it.len()) as i64
    ))
}

pub(super) fn zrank(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let rank = sorted(state, ctx)?.and_then(|it| it.members().position(|(m, _)| *m == ctx.argv[2]));
    Ok(rank.map_or(Reply::Null, |rank| Reply::Int(rank as i64)))
}

/// One end of a range of scores: the score, and whether it is outside.
fn end(text: &[u8]) -> Result<(f64, bool), Reject> {
    let (number, open) = match text.strip_prefix(b"(") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let bad = || Reject::new("ERR min or max is not a float");
    // Unlike a score, an end may be empty: it is 0.
    let score = if number.is_empty() {
        0.0
    } else {
        float(number).ok_or_else(bad)?
    };
    Ok((score, open))
}

fn within(score: f64, least: (f64, bool), most: (f64, bool)) -> bool {
    let above = if least.1 {
        score > least.0
    } else {
        score >= least.0
    };
    let below = if most.1 {
        score < most.0
    } else {
        score <= most.0
    };
    above && below
}

pub(super) fn zcount(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let (least, most) = (end(&ctx.argv[2])?, end(&ctx.argv[3])?);
    let count = sorted(state, ctx)?.map_or(0, |it| {
        it.members()
            .filter(|(_, score)| within(*score, least, most))
            .count()
    });
    Ok(Reply::Int(count as i64))
}

/// The options of `ZRANGE`.
#[derive(Default)]
struct Range {
    by_score: bool,
    reversed: bool,
    with_scores: bool,
    /// How many to skip, and how many to give at most.
    limit: Option<(i64, i64)>,
}

fn range(ctx: &Ctx<'_>) -> Result<Range, Reject> {
    let mut found = Range::default();
    let mut i = 4;
    while i < ctx.argv.len() {
        match (ctx.word(i).as_str(), ctx.argv.len() - 1 - i) {
            ("withscores", _) => found.with_scores = true,
            ("byscore", _) if !found.by_score => found.by_score = true,
            ("rev", _) if !found.reversed => found.reversed = true,
            ("limit", 2..) => {
                let number =
                    |at: usize| parse_i64(&ctx.argv[at]).ok_or_else(Reject::not_an_integer);
                found.limit = Some((number(i + 1)?, number(i + 2)?));
                i += 2;
            }
            _ => return Err(Reject::syntax()),
        }
        i += 1;
    }
    if found.limit.is_some_and(|(_, most)| most != -1) && !found.by_score {
        return Err(Reject::new(
            "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
        ));
    }
    Ok(found)
}

pub(super) fn zrange(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let range = range(ctx)?;
    let (first, last) = (&ctx.argv[2], &ctx.argv[3]);
    let scores = match (range.by_score, range.reversed) {
        (false, _) => None,
        (true, false) => Some((end(first)?, end(last)?)),
        (true, true) => Some((end(last)?, end(first)?)),
    };
    let ranks = match scores {
        Some(_) => (0, 0),
        None => (ctx.int(2)?, ctx.int(3)?),
    };
    let Some(sorted) = sorted(state, ctx)? else {
        return Ok(Reply::Array(Vec::new()));
    };
    let mut members: Vec<_> = sorted.members().collect();
    if range.reversed {
        members.reverse();
    }
    match scores {
        Some((least, most)) => {
            members.retain(|(_, score)| within(*score, least, most));
            let (skip, most) = range.limit.unwrap_or((0, -1));
            let skip = usize::try_from(skip)
                .unwrap_or(usize::MAX)
                .min(members.len());
            members.drain(..skip);
            members.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        }
        None => {
            let len = members.len() as i64;
            let from_end = |n: i64| if n < 0 { n.saturating_add(len) } else { n };
            let first = from_end(ranks.0).clamp(0, len);
            let behind = from_end(ranks.1).saturating_add(1).clamp(first, len);
            members.truncate(behind as usize);
            members.drain(..first as usize);
        }
    }
    let members = members.into_iter();
    Ok(if range.with_scores {
        Reply::Pairs(
            members
                .map(|(member, score)| (Reply::bulk(member), Reply::Double(score)))
                .collect(),
        )
    } else {
        Reply::Array(members.map(|(member, _)| Reply::bulk(member)).collect())
    })
}
