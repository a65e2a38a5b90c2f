//! `INFO`: who this server is, and what it has been asked.

use std::fmt::Write as _;

use crate::server::VERSION;
use crate::server::keyspace::DATABASES;
use crate::server::reply::Reply;
use crate::server::state::{Ctx, Outcome, State};

const SECTIONS: &[&str] = &[
    "server",
    "clients",
    "memory",
    "persistence",
    "stats",
    "replication",
    "commandstats",
    "cluster",
    "keyspace",
];

pub(super) fn info(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let asked: Vec<String> = (1..ctx.argv.len()).map(|i| ctx.word(i)).collect();
    let wants = |section: &str| {
        let by_default = section != "commandstats";
        (asked.is_empty() && by_default)
            || asked.iter().any(|a| match a.as_str() {
                "default" => by_default,
                "all" | "everything" => true,
                name => name == section,
            })
    };
    let parts: Vec<String> = SECTIONS
        .iter()
        .filter(|s| wants(s))
        .map(|s| section(state, ctx, s))
        .collect();
    Ok(Reply::Text(parts.join("\r\n")))
}

// tidy: long: a list of lines, one arm for each section.
fn section(state: &State, ctx: &Ctx<'_>, name: &str) -> String {
    let mut title = name.to_owned();
    title[..1].make_ascii_uppercase();
    let mut out = format!("# {title}\r\n");
    let mut line = |key: &str, value: &dyn std::fmt::Display| {
        // Writing to a string cannot fail.
        let _ = write!(out, "{key}:{value}\r\n");
    };
    match name {
        "server" => {
            let uptime = ctx.now_us.saturating_sub(state.started_us) / 1_000_000;
            line("redis_version", &VERSION);
            line("redis_mode", &"standalone");
            line("arch_bits", &64);
            line("run_id", &state.identity.run_id);
            line("tcp_port", &6379);
            line("server_time_usec", &ctx.now_us);
            line("uptime_in_seconds", &uptime);
            line("uptime_in_days", &(uptime / 86_400));
        }
        "clients" => {
            line("connected_clients", &state.conns.len());
            line("maxclients", &state.config.get("maxclients"));
            line("tracking_clients", &state.trackers());
        }
        "memory" => {
            line("used_memory", &1_000_000);
            line("maxmemory", &state.config.get("maxmemory"));
            line("maxmemory_policy", &state.config.get("maxmemory-policy"));
        }
        "persistence" => {
            line("loading", &u8::from(state.faults.loading));
            line("async_loading", &0);
            line("rdb_changes_since_last_save", &0);
            line(
                "aof_enabled",
                &u8::from(state.config.get("appendonly") == "yes"),
            );
            line("aof_rewrite_in_progress", &0);
            line("aof_rewrite_scheduled", &0);
            line("aof_last_bgrewrite_status", &"ok");
            line("aof_last_write_status", &"ok");
        }
        "stats" => {
            line(
                "total_commands_processed",
                &state.stats.values().map(|s| s.calls).sum::<u64>(),
            );
            line("evicted_keys", &0);
            line("tracking_total_keys", &state.table.keys());
            line("tracking_total_items", &state.table.items());
        }
        "replication" => {
            line(
                "role",
                &if state.faults.readonly {
                    "slave"
                } else {
                    "master"
                },
            );
            if state.faults.readonly {
                line("master_host", &"127.0.0.1");
                line("master_port", &6379);
                line("master_link_status", &"up");
                line("slave_read_only", &1);
            }
            line("connected_slaves", &0);
            line("master_failover_state", &"no-failover");
            line("master_replid", &state.identity.replid);
            line("master_replid2", &state.identity.replid2);
            line("master_repl_offset", &0);
        }
        "commandstats" => {
            for (command, stat) in &state.stats {
                let text = format!(
                    "calls={},usec=0,usec_per_call=0.00,rejected_calls={},failed_calls={}",
                    stat.calls, stat.rejected, stat.failed
                );
                line(&format!("cmdstat_{command}"), &text);
            }
        }
        "cluster" => line("cluster_enabled", &0),
        "keyspace" => {
            for db in (0..DATABASES).filter(|db| state.keys.len(*db) > 0) {
                let (keys, expires) = (state.keys.len(db), state.keys.len_expiring(db));
                line(
                    &format!("db{db}"),
                    &format!("keys={keys},expires={expires},avg_ttl=0"),
                );
            }
        }
        _ => {}
    }
    out
}
