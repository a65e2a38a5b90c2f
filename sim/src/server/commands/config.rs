//! `CONFIG`: read and change the parameters of the server.

use crate::server::config::Config;
use crate::server::glob;
use crate::server::reply::Reply;
use crate::server::state::{Ctx, Outcome, Reject, State, lower};

pub(super) fn config(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    match (ctx.word(1).as_str(), ctx.argv.len()) {
        ("get", 3..) => {
            let wanted: Vec<String> = ctx.argv[2..].iter().map(|p| lower(p)).collect();
            let chosen = state.config.iter().filter(|(name, _)| {
                wanted
                    .iter()
                    .any(|pattern| glob::matches(pattern.as_bytes(), name.as_bytes()))
            });
            Ok(Reply::Map(
                chosen
                    .map(|(name, value)| (Reply::bulk(name), Reply::bulk(value)))
                    .collect(),
            ))
        }
        ("set", n) if n >= 4 && n % 2 == 0 => {
            let mut changes = Vec::new();
            for pair in ctx.argv[2..].chunks_exact(2) {
                changes.push(Config::check(&lower(&pair[0]), &pair[1]).map_err(Reject)?);
            }
            for (name, value) in changes {
                if name == "requirepass" {
                    state.set_password(&value);
                } else {
                    state.config.set(name, value);
                }
            }
            Ok(Reply::ok())
        }
        ("resetstat", 2) => {
            state.stats.clear();
            Ok(Reply::ok())
        }
        ("rewrite", 2) => Err(Reject::new(
            "ERR The server is running without a config file",
        )),
        (name @ ("get" | "set" | "resetstat" | "rewrite"), _) => {
            Err(Reject::wrong_arity(&format!("config|{name}")))
        }
        _ => Err(Reject::unknown_subcommand("CONFIG", &ctx.argv[1])),
    }
}
