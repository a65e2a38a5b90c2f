//! `CLIENT`: connections by id and by name, and how one ends another.

use std::fmt::Write as _;

use super::connection::checked_name;
use crate::server::number::parse_i64;
use crate::server::reply::{Protocol, Reply};
use crate::server::state::{Conn, ConnId, Ctx, Effect, Outcome, Reject, State, lower};
use crate::server::tracking::{Mode, Tracking};

const SUBCOMMANDS: &[&str] = &[
    "caching", "getname", "getredir", "id", "info", "kill", "list", "no-evict", "no-touch",
    "setinfo", "setname", "tracking",
];

/// Whether there is such a subcommand, in any case of letters.
pub(crate) fn knows(subcommand: &[u8]) -> bool {
    SUBCOMMANDS.contains(&lower(subcommand).as_str())
}

pub(super) fn client(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let args = ctx.argv.len();
    match (ctx.word(1).as_str(), args) {
        ("id", 2) => Ok(Reply::Int(state.conn(ctx.conn)?.client_id)),
        ("setname", 3) => {
            state.conn(ctx.conn)?.name = checked_name(&ctx.argv[2])?;
            Ok(Reply::ok())
        }
        ("getname", 2) => {
            let name = &state.conn(ctx.conn)?.name;
            Ok(if name.is_empty() {
                Reply::Null
            } else {
                Reply::bulk(name)
            })
        }
        ("setinfo", 4) => {
            let conn = state.conn(ctx.conn)?;
            let slot = match ctx.word(2).as_str() {
                "lib-name" => &mut conn.lib_name,
                "lib-ver" => &mut conn.lib_version,
                _ => {
                    let option = String::from_utf8_lossy(&ctx.argv[2]).into_owned();
                    return Err(Reject::new(format!("ERR Unrecognized option '{option}'")));
                }
            };
            *slot = checked_name(&ctx.argv[3])?;
            Ok(Reply::ok())
        }
        ("no-evict" | "no-touch", 3) => match ctx.word(2).as_str() {
            "on" | "off" => Ok(Reply::ok()),
            _ => Err(Reject::syntax()),
        },
        ("list", _) => list(state, ctx),
        ("info", 2) => {
            let now_us = ctx.now_us;
            Ok(Reply::Text(describe(state.conn(ctx.conn)?, now_us)))
        }
        ("kill", 3..) => kill(state, ctx),
        ("tracking", 3..) => tracking(state, ctx),
        ("caching", 3) => caching(state, ctx),
        ("getredir", 2) => {
            let is_tracking = state.conn(ctx.conn)?.tracking.is_some();
            Ok(Reply::Int(if is_tracking { 0 } else { -1 }))
        }
        (name, _) if knows(name.as_bytes()) => Err(Reject::wrong_arity(&format!("client|{name}"))),
        _ => Err(Reject::unknown_subcommand("CLIENT", &ctx.argv[1])),
    }
}

fn describe(conn: &Conn, now_us: u64) -> String {
    let mut line = String::new();
    let age = now_us.saturating_sub(conn.since_us) / 1_000_000;
    let resp = if conn.protocol == Protocol::Resp3 {
        3
    } else {
        2
    };
    let (flags, redir) = match conn.tracking {
        Some(_) => ("t", 0),
        None => ("N", -1),
    };
    let user = conn.user.as_deref().unwrap_or("(none)");
    // Writing to a string cannot fail.
    let _ = writeln!(
        line,
        "id={} addr={} laddr=127.0.0.1:6379 fd=8 name={} age={age} idle=0 flags={flags} db={} \
         sub=0 psub=0 ssub=0 multi=-1 events=r cmd={} user={user} redir={redir} resp={resp} \
         lib-name={} lib-ver={}",
        conn.client_id,
        conn.address,
        conn.name,
        conn.db,
        conn.last_command,
        conn.lib_name,
        conn.lib_version,
    );
    line
}

/// `CLIENT TRACKING ON|OFF` with its options.
fn tracking(state: &mut State, ctx: &Ctx<'_>) -> Outcome {
    let (mut opt_in, mut opt_out, mut no_loop) = (false, false, false);
    for i in 3..ctx.argv.len() {
        match ctx.word(i).as_str() {
            "optin" => opt_in = true,
            "optout" => opt_out = true,
            "noloop" => no_loop = true,
            option @ ("bcast" | "prefix" | "redirect") => {
                let option = option.to_ascii_uppercase();
                let text = format!("ERR this server knows no {option} of CLIENT TRACKING");
                return Err(Reject(text));
            }
            _ => return Err(Reject::syntax()),
        }
    }
    let conn = state.conn(ctx.conn)?;
    match ctx.word(2).as_str() {
        "on" => {}
        "off" => {
            (conn.tracking, conn.caching) = (None, false);
            return Ok(Reply::ok());
        }
        _ => return Err(Reject::syntax()),
    }
    let mode = match (opt_in, opt_out) {
        (true, true) => {
            return Err(Reject::new(
                "ERR You can't specify both OPTIN mode and OPTOUT mode",
            ));
        }
        (true, false) => Mode::OptIn,
        (false, true) => Mode::OptOut,
        (false, false) => Mode::All,
    };
    let before = conn.tracking.map(|tracking| tracking.mode);
    let switched = matches!(
        (before, mode),
        (Some(Mode::OptIn), Mode::OptOut) | (Some(Mode::OptOut), Mode::OptIn)
    );
    if switched {
        return Err(Reject::new(
            "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and \
             then re-enabling it with a different mode.",
        ));
    }
    conn.tracking = Some(Tracking { mode, no_loop });
    Ok(Reply::ok())
}

/// `CLIENT CACHING YES|NO`: whether the keys of the next command are tracked.
fn caching(state: &mut State, ctx: &Ctx<'_>) -> Outcome {
    let conn = state.conn(ctx.conn)?;
    let mode = conn.tracking.map(|tracking| tracking.mode);
    let mode = mode.ok_or_else(|| {
        Reject::new(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN \
             or OPTOUT mode enabled",
        )
    })?;
    match (ctx.word(2).as_str(), mode) {
        ("yes", Mode::OptIn) | ("no", Mode::OptOut) => {
            conn.caching = true;
            Ok(Reply::ok())
        }
        ("yes", Mode::All | Mode::OptOut) => Err(Reject::new(
            "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
        )),
        ("no", Mode::All | Mode::OptIn) => Err(Reject::new(
            "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
        )),
        _ => Err(Reject::syntax()),
    }
}

fn list(state: &mut State, ctx: &Ctx<'_>) -> Outcome {
    let wanted: Option<Vec<i64>> = match (ctx.argv.len(), ctx.word(2).as_str()) {
        (2, _) => None,
        (4.., "id") => Some(
            (3..ctx.argv.len())
                .map(|i| client_id(&ctx.argv[i]))
                .collect::<Result<_, _>>()?,
        ),
        (4, "type") => None,
        _ => return Err(Reject::syntax()),
    };
    let chosen = state
        .conns
        .values()
        .filter(|c| wanted.as_ref().is_none_or(|ids| ids.contains(&c.client_id)));
    Ok(Reply::Text(
        chosen.map(|conn| describe(conn, ctx.now_us)).collect(),
    ))
}

fn client_id(text: &[u8]) -> Result<i64, Reject> {
    parse_i64(text)
        .filter(|n| *n > 0)
        .ok_or_else(|| Reject::new("ERR client-id should be greater than 0"))
}

/// `CLIENT KILL addr` (OK or an error), or filters (how many).
fn kill(state: &mut State, ctx: &Ctx<'_>) -> Outcome {
    let mut filters: Vec<Filter> = Vec::new();
    let mut skip_me = true;
    let by_address = ctx.argv.len() == 3;
    if by_address {
        filters.push(Filter::Address(
            String::from_utf8_lossy(&ctx.argv[2]).into_owned(),
        ));
        skip_me = false;
    } else if !ctx.argv.len().is_multiple_of(2) {
        return Err(Reject::syntax());
    }
    for pair in (if by_address { &[][..] } else { &ctx.argv[2..] }).chunks_exact(2) {
        let text = String::from_utf8_lossy(&pair[1]).into_owned();
        match lower(&pair[0]).as_str() {
            "id" => filters.push(Filter::Id(client_id(&pair[1])?)),
            "addr" => filters.push(Filter::Address(text)),
            "user" if state.users.contains_key(&text) => filters.push(Filter::User(text)),
            "user" => return Err(Reject::new(format!("ERR No such user '{text}'"))),
            "type" => match text.to_ascii_lowercase().as_str() {
                "normal" => {}
                "master" | "slave" | "replica" | "pubsub" => filters.push(Filter::Nobody),
                _ => return Err(Reject::new(format!("ERR Unknown client type '{text}'"))),
            },
            "skipme" => match text.to_ascii_lowercase().as_str() {
                "yes" => skip_me = true,
                "no" => skip_me = false,
                _ => return Err(Reject::syntax()),
            },
            _ => return Err(Reject::syntax()),
        }
    }
    let me = ctx.conn;
    let chosen: Vec<ConnId> = state
        .conns
        .iter()
        .filter(|(id, conn)| !(skip_me && **id == me) && filters.iter().all(|f| f.fits(conn)))
        .map(|(id, _)| *id)
        .collect();
    for id in &chosen {
        // A connection that kills itself still gets the answer.
        state.effects.push(if *id == me {
            Effect::Finish(me)
        } else {
            Effect::Kill(*id)
        });
    }
    match (by_address, chosen.len()) {
        (true, 0) => Err(Reject::new("ERR No such client")),
        (true, _) => Ok(Reply::ok()),
        (false, n) => Ok(Reply::Int(n as i64)),
    }
}

enum Filter {
    Id(i64),
    Address(String),
    User(String),
    /// Of a kind that this server never has.
    Nobody,
}

impl Filter {
    fn fits(&self, conn: &Conn) -> bool {
        match self {
            Self::Id(id) => conn.client_id == *id,
            Self::Address(address) => conn.address == *address,
            Self::User(user) => conn.user.as_ref() == Some(user),
            Self::Nobody => false,
        }
    }
}
