//! Commands about the server as a whole: its clock, size and role, and deleting everything.

use crate::server::reply::Reply;
use crate::server::state::{Ctx, Outcome, Reject, State};

pub(super) fn time(_: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let part = |n: u64| Reply::bulk(n.to_string());
    Ok(Reply::Array(vec![
        part(ctx.now_us / 1_000_000),
        part(ctx.now_us % 1_000_000),
    ]))
}

pub(super) fn dbsize(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    Ok(Reply::Int(state.keys.len(ctx.db) as i64))
}

fn check_flush(ctx: &Ctx<'_>) -> Result<(), Reject> {
    match (ctx.argv.len(), ctx.word(1).as_str()) {
        (1, _) | (2, "sync" | "async") => Ok(()),
        _ => Err(Reject::syntax()),
    }
}

pub(super) fn flushall(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    check_flush(ctx)?;
    state.keys.clear_all();
    Ok(Reply::ok())
}

pub(super) fn flushdb(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    check_flush(ctx)?;
    state.keys.clear(ctx.db);
    Ok(Reply::ok())
}

/// So many replicas acknowledge as the test says. A real server waits for the timeout before it
/// says that they are too few.
pub(super) fn wait(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    ctx.int(1)?;
    let timeout = ctx
        .argv
        .get(2)
        .and_then(|n| crate::server::number::parse_i64(n));
    match timeout {
        None => Err(Reject::new("ERR timeout is not an integer or out of range")),
        Some(n) if n < 0 => Err(Reject::new("ERR timeout is negative")),
        Some(_) => Ok(Reply::Int(state.faults.replicas)),
    }
}

pub(super) fn role(state: &mut State, _: &mut Ctx<'_>) -> Outcome {
    Ok(Reply::Array(if state.faults.readonly {
        vec![
            Reply::bulk("slave"),
            Reply::bulk("127.0.0.1"),
            Reply::Int(6379),
            Reply::bulk("connected"),
            Reply::Int(0),
        ]
    } else {
        vec![
            Reply::bulk("master"),
            Reply::Int(0),
            Reply::Array(Vec::new()),
        ]
    }))
}
