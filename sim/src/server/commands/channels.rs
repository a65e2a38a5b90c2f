//! Channels: who listens, and what is published. No patterns, and no shards of a cluster.

use std::collections::BTreeSet;

use crate::server::reply::{Protocol, Reply};
use crate::server::state::{ConnId, Ctx, Effect, Outcome, Reject, State};

/// What a connection is told of one channel that it began or ceased to listen to.
fn told(word: &str, channel: Option<&Vec<u8>>, count: usize) -> Reply {
    Reply::Push(vec![
        Reply::bulk(word),
        channel.map_or(Reply::Null, Reply::bulk),
        Reply::Int(count as i64),
    ])
}

/// The first is the answer; the others follow it.
fn answer(state: &mut State, conn: ConnId, mut replies: Vec<Reply>) -> Outcome {
    let first = replies.remove(0);
    let rest = replies.into_iter().map(|reply| Effect::Send(conn, reply));
    state.effects.extend(rest);
    Ok(first)
}

pub(super) fn subscribe(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let conn = state.conn(ctx.conn)?;
    let mut replies = Vec::new();
    for channel in &ctx.argv[1..] {
        conn.channels.insert(channel.clone());
        replies.push(told("subscribe", Some(channel), conn.channels.len()));
    }
    answer(state, ctx.conn, replies)
}

pub(super) fn unsubscribe(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let conn = state.conn(ctx.conn)?;
    let asked: Vec<Vec<u8>> = match &ctx.argv[1..] {
        [] => conn.channels.iter().cloned().collect(),
        some => some.to_vec(),
    };
    let mut replies = Vec::new();
    for channel in &asked {
        conn.channels.remove(channel);
        replies.push(told("unsubscribe", Some(channel), conn.channels.len()));
    }
    if replies.is_empty() {
        replies.push(told("unsubscribe", None, 0));
    }
    answer(state, ctx.conn, replies)
}

/// The connections that listen to a channel, in the order in which they were opened.
fn listeners(state: &State, channel: &[u8]) -> Vec<ConnId> {
    let listens = state
        .conns
        .iter()
        .filter(|(_, conn)| conn.channels.contains(channel));
    listens.map(|(id, _)| *id).collect()
}

pub(super) fn publish(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let (channel, text) = (&ctx.argv[1], &ctx.argv[2]);
    let listeners = listeners(state, channel);
    let count = listeners.len();
    if count > 0 && state.faults.take_lost_message() {
        return Ok(Reply::Int(count as i64));
    }
    for conn in listeners {
        let message = vec![
            Reply::bulk("message"),
            Reply::bulk(channel),
            Reply::bulk(text),
        ];
        state
            .messages
            .push(Effect::Send(conn, Reply::Push(message)));
    }
    Ok(Reply::Int(count as i64))
}

pub(super) fn pubsub(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    match (ctx.word(1).as_str(), &ctx.argv[2..]) {
        ("numsub", channels) => {
            let count = |channel: &Vec<u8>| {
                let count = listeners(state, channel).len();
                [Reply::bulk(channel), Reply::Int(count as i64)]
            };
            Ok(Reply::Array(channels.iter().flat_map(count).collect()))
        }
        ("numpat", []) => Ok(Reply::Int(0)),
        ("channels", []) => {
            let all = state.conns.values().flat_map(|conn| &conn.channels);
            let all: BTreeSet<_> = all.collect();
            Ok(Reply::Array(all.into_iter().map(Reply::bulk).collect()))
        }
        (name @ ("numpat" | "channels"), _) => Err(Reject::wrong_arity(&format!("pubsub|{name}"))),
        _ => Err(Reject::unknown_subcommand("PUBSUB", &ctx.argv[1])),
    }
}

/// Whether a connection that listens may run nothing but a few commands: one that speaks RESP2,
/// where nothing tells a message from a reply.
pub(crate) fn only_listens(state: &State, conn: ConnId) -> bool {
    let listens = |conn: &crate::server::state::Conn| {
        conn.protocol == Protocol::Resp2 && !conn.channels.is_empty()
    };
    state.conns.get(&conn).is_some_and(listens)
}
