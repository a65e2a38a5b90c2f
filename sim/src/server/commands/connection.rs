//! Commands of a connection about itself: protocol, user, database, end.

use crate::server::VERSION;
use crate::server::keyspace::DATABASES;
use crate::server::number::parse_i64;
use crate::server::reply::{Protocol, Reply};
use crate::server::state::{Ctx, Effect, Outcome, Reject, State};

pub(super) fn ping(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    if super::channels::only_listens(state, ctx.conn) && ctx.argv.len() <= 2 {
        let text = ctx.argv.get(1).map_or(&[][..], Vec::as_slice);
        return Ok(Reply::Array(vec![Reply::bulk("pong"), Reply::bulk(text)]));
    }
    match ctx.argv {
        [_] => Ok(Reply::Status("PONG".to_owned())),
        [_, text] => Ok(Reply::bulk(text)),
        _ => Err(Reject::wrong_arity("ping")),
    }
}

pub(super) fn echo(_: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    Ok(Reply::bulk(&ctx.argv[1]))
}

pub(super) fn select(_: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let index = ctx.int(1)?;
    match usize::try_from(index) {
        Ok(index) if index < DATABASES => {
            ctx.db = index;
            Ok(Reply::ok())
        }
        _ => Err(Reject::new("ERR DB index is out of range")),
    }
}

pub(super) fn quit(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    state.effects.push(Effect::Finish(ctx.conn));
    Ok(Reply::ok())
}

pub(super) fn reset(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let open = state
        .users
        .get("default")
        .is_some_and(|user| user.password.is_none());
    let conn = state.conn(ctx.conn)?;
    conn.protocol = Protocol::Resp2;
    conn.name.clear();
    conn.channels.clear();
    conn.tracking = None;
    conn.caching = false;
    conn.user = open.then(|| "default".to_owned());
    ctx.db = 0;
    Ok(Reply::Status("RESET".to_owned()))
}

/// Checks a name and a password; right, the connection is that user's.
fn login(state: &mut State, ctx: &Ctx<'_>, name: &[u8], password: &[u8]) -> Result<(), Reject> {
    let name = String::from_utf8_lossy(name).into_owned();
    let right = state.users.get(&name).is_some_and(|user| {
        user.password
            .as_ref()
            .is_none_or(|expected| expected.as_bytes() == password)
    });
    if !right {
        return Err(Reject::new(
            "WRONGPASS invalid username-password pair or user is disabled.",
        ));
    }
    state.conn(ctx.conn)?.user = Some(name);
    Ok(())
}

pub(super) fn auth(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    match ctx.argv {
        [_, password] => {
            if state
                .users
                .get("default")
                .is_some_and(|user| user.password.is_none())
            {
                return Err(Reject::new(
                    "ERR AUTH <password> called without any password configured for the default \
                     user. Are you sure your configuration is correct?",
                ));
            }
            login(state, ctx, b"default", password)?;
        }
        [_, name, password] => login(state, ctx, name, password)?,
        _ => return Err(Reject::syntax()),
    }
    Ok(Reply::ok())
}

/// A name may hold what can be read in a `CLIENT LIST`: no spaces, no control characters.
pub(super) fn checked_name(name: &[u8]) -> Result<String, Reject> {
    if name.iter().all(|b| (b'!'..=b'~').contains(b)) {
        Ok(String::from_utf8_lossy(name).into_owned())
    } else {
        Err(Reject::new(
            "ERR Client names cannot contain spaces, newlines or special characters.",
        ))
    }
}

pub(super) fn hello(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let mut protocol = None;
    if let Some(version) = ctx.argv.get(1) {
        protocol = Some(match parse_i64(version) {
            None => {
                return Err(Reject::new(
                    "ERR Protocol version is not an integer or out of range",
                ));
            }
            Some(2) => Protocol::Resp2,
            Some(3) => Protocol::Resp3,
            Some(_) => return Err(Reject::new("NOPROTO unsupported protocol version")),
        });
    }
    let (mut credentials, mut name) = (None, None);
    let mut i = 2;
    while i < ctx.argv.len() {
        match (ctx.word(i).as_str(), ctx.argv.len() - i - 1) {
            ("auth", 2..) => {
                credentials = Some((&ctx.argv[i + 1], &ctx.argv[i + 2]));
                i += 3;
            }
            ("setname", 1..) => {
                name = Some(checked_name(&ctx.argv[i + 1])?);
                i += 2;
            }
            _ => {
                let option = String::from_utf8_lossy(&ctx.argv[i]).into_owned();
                return Err(Reject::new(format!(
                    "ERR Syntax error in HELLO option '{option}'"
                )));
            }
        }
    }
    if let Some((user, password)) = credentials {
        login(state, ctx, user, password)?;
    }
    let role = if state.faults.readonly {
        "replica"
    } else {
        "master"
    };
    let conn = state.conn(ctx.conn)?;
    if conn.user.is_none() {
        return Err(Reject::new(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
             HELLO AUTH <user> <pass> option can be used to authenticate the client and select \
             the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = name {
        conn.name = name;
    }
    conn.protocol = protocol.unwrap_or(conn.protocol);
    let proto = if conn.protocol == Protocol::Resp3 {
        3
    } else {
        2
    };
    Ok(Reply::Map(vec![
        (Reply::bulk("server"), Reply::bulk("redis")),
        (Reply::bulk("version"), Reply::bulk(VERSION)),
        (Reply::bulk("proto"), Reply::Int(proto)),
        (Reply::bulk("id"), Reply::Int(conn.client_id)),
        (Reply::bulk("mode"), Reply::bulk("standalone")),
        (Reply::bulk("role"), Reply::bulk(role)),
        (Reply::bulk("modules"), Reply::Array(Vec::new())),
    ]))
}
