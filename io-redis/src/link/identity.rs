//! Setting a new connection up: who the node is, whether locks can be renewed and released there,
//! and loading the scripts.

use futures_util::future::join;
use redis::{Cmd, Value};
use tenure_core::{Refusal, Reply, ServerTime, Words};

use crate::error::NO_REPLICAS_OF_CLUSTERS;
use crate::link::connect::DialError;
use crate::link::connection::{Connection, exchange};
use crate::link::interface::{Identity, LinkConfig};
use crate::link::streams;
use crate::log_target::{LOG_TARGET, contained};
use crate::protocol::decode::{self, CommandResult, Signal};
use crate::protocol::encode::{Encoder, mark, millis};
use crate::protocol::health::{is_alone, keeps_writes};
use crate::protocol::key;
use crate::protocol::marker::{Marker, NodeSet};
use crate::protocol::scripts::{Command, Script};
use crate::protocol::stream::FenceStream;
use crate::protocol::words::printable;

/// What a node says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NodeInfo {
    pub(crate) client_id: Option<i64>,
    pub(crate) run_id: Option<String>,
    pub(crate) replication_id: Option<String>,
    pub(crate) server_time: Option<ServerTime>,
    is_replica: bool,
    /// None if the user may not ask it.
    pub(crate) is_cluster: Option<bool>,
    durable: bool,
    /// Whether the link hears what is published at the client's channel.
    pub(crate) listens: bool,
    /// Why the server does not let it, if it refuses.
    pub(crate) deaf: Option<Words>,
}

/// Asks who the node is and loads the scripts, in one round trip; over a connection of the user's
/// in two. `served` says whether the node has served this client before.
///
/// A user who may take a lock but not free it would leave each to its TTL, and one who may not take
/// it would be told at the first lock only. So everything that locks need is tried, on a key that
/// never exists, where it does nothing. It has the prefix, so that a user who has rights under it
/// alone leaves no entry in the server's log of denials.
// Law: No orphan
pub(crate) async fn set_up(
    connection: &dyn Connection,
    config: &LinkConfig,
    served: bool,
) -> Result<NodeInfo, DialError> {
    let listens = listen(connection, config.channel.as_deref());
    let (node, listens) = join(examine(connection, config, served), listens).await;
    let mut node = node?;
    match listens {
        Ok(listens) => node.listens = listens,
        Err(why) => node.deaf = Some(why),
    }
    Ok(node)
}

async fn examine(
    connection: &dyn Connection,
    config: &LinkConfig,
    served: bool,
) -> Result<NodeInfo, DialError> {
    let mut probed = Script::commands(config.fences());
    probed.retain(|command| !command.is_optional());
    let unused = key::unused(&config.prefix);
    let mut encoder = Encoder::new(config.stream.clone());
    let stream = config.stream.as_deref();
    // A connection of the user's to a cluster sends each command to some node of it.
    if let Some(stream) = stream
        && !connection.is_own()
    {
        streams::find_cluster(connection, stream).await;
    }
    let mut commands = Vec::new();
    commands.extend(Script::of(config.fences()).map(Script::load));
    commands.extend(
        probed
            .iter()
            .map(|command| command.probe(unused.as_bytes())),
    );
    commands.push(encoder.inspect(&unused));
    let trial = stream.and_then(|stream| streams::trial(stream, &unused, &mut encoder));
    let is_tried = trial.is_some();
    commands.extend(trial);
    if connection.is_own() {
        commands.push(command(&["CLIENT", "ID"]));
    }
    commands.extend(identity_commands(config.node_set.is_some()));
    let mut results = exchange(connection, commands).await.into_iter();
    for _ in Script::of(config.fences()) {
        loaded(results.next())?;
    }
    let mut server_time = None;
    for command in probed {
        let result = results.next();
        if command == Command::Time
            && let Some(Ok(answer)) = &result
        {
            server_time = decode::time(answer);
        }
        is_primary(&result)?;
        may_call(result, &config.prefix)?;
    }
    may_call(results.next(), &config.prefix)?;
    let mut tried = is_tried.then(|| results.next()).flatten();
    let client_id = match connection.is_own().then(|| results.next()).flatten() {
        Some(Ok(Value::Int(id))) => Some(id),
        _ => None,
    };
    let mut node = identity(results.as_slice());
    node.server_time = server_time;
    node.client_id = client_id;
    node.usable()?;
    if let Some(stream) = stream {
        let whole = !stream.is_split();
        streams::known(connection, stream, node.is_cluster).await;
        has_replicas(stream, config)?;
        if whole && stream.is_split() {
            let trial = streams::trial(stream, &unused, &mut encoder);
            tried = exchange(connection, trial.into_iter().collect())
                .await
                .pop();
        }
        streams::tried(connection, tried, stream, &unused, &mut encoder, served).await?;
    }
    Ok(node)
}

/// An error for a cluster, where replicas are to acknowledge grants. Each of its servers has
/// replicas of its own, and locks go to all of them.
fn has_replicas(stream: &FenceStream, config: &LinkConfig) -> Result<(), DialError> {
    if stream.is_split() && config.acknowledged_by > 0 {
        return Err(DialError::Rejected(Words::fixed(NO_REPLICAS_OF_CLUSTERS)));
    }
    Ok(())
}

/// Listens at the channel. Returns whether the node pushes what is published there, or why the
/// server refuses. Who may not have that asks instead, so it keeps from nothing.
async fn listen(connection: &dyn Connection, channel: Option<&[u8]>) -> Result<bool, Words> {
    let Some(channel) = channel else {
        return Ok(false);
    };
    match connection.listen(channel).await {
        Ok(()) => Ok(true),
        // The server refuses it. Others cannot be pushed to, which is no surprise.
        Err(error) if error.code().is_some() => Err(printable(&decode::error_text(&error))),
        Err(_) => Ok(false),
    }
}

/// Whether a command may be called. An old server may not have it, and the user may not have the
/// right to it, or not for keys with this prefix.
fn may_call(result: Option<CommandResult>, prefix: &[u8]) -> Result<(), DialError> {
    match result.as_ref().and_then(decode::error) {
        // Without a prefix nothing is known of the keys that will be asked for: the user may have
        // the right for those.
        Some(Reply::NotApplied(Refusal::Rejected(words)))
            if !(prefix.is_empty() && decode::is_about_a_key(&words)) =>
        {
            Err(DialError::Rejected(words))
        }
        _ => Ok(()),
    }
}

/// An error for a node that refuses a write, as a replica does. It says so also to a user who may
/// not ask it who it is.
fn is_primary(result: &Option<CommandResult>) -> Result<(), DialError> {
    match result.as_ref().and_then(decode::error) {
        Some(Reply::NotApplied(Refusal::Unavailable(words)))
            if words.as_str().starts_with("READONLY") =>
        {
            Err(DialError::Unavailable(words))
        }
        _ => Ok(()),
    }
}

/// Whether a script was loaded.
pub(crate) fn loaded(result: Option<CommandResult>) -> Result<(), DialError> {
    let text = match result {
        Some(Ok(Value::ServerError(error))) => decode::server_text(&error),
        Some(Err(error)) => decode::error_text(&error),
        Some(Ok(_)) => return Ok(()),
        None => "no reply".to_owned(),
    };
    Err(match decode::refusal(&text).0 {
        Reply::NotApplied(Refusal::Rejected(words)) => DialError::Rejected(words),
        _ => DialError::unavailable(&text),
    })
}

/// The commands that ask who a node is. What the user may not ask counts as not known.
pub(crate) fn identity_commands(quarantine: bool) -> Vec<Cmd> {
    let mut commands = vec![
        command(&["INFO", "server"]),
        command(&["INFO", "replication"]),
    ];
    if quarantine {
        commands.push(command(&["INFO", "persistence"]));
        commands.push(command(&["CONFIG", "GET", "appendfsync"]));
        commands.push(command(&["CONFIG", "GET", "no-appendfsync-on-rewrite"]));
    }
    commands
}

/// The answers to [`identity_commands`].
pub(crate) fn identity(results: &[CommandResult]) -> NodeInfo {
    let text = |at: usize| match results.get(at) {
        Some(Ok(value)) => decode::bytes(value)
            .map(String::from_utf8_lossy)
            .unwrap_or_default(),
        _ => Default::default(),
    };
    let (server, replication, persistence) = (text(0), text(1), text(2));
    let setting = |at: usize| match results.get(at) {
        Some(Ok(Value::Map(pairs))) => pairs.first().map(|(_, value)| value),
        Some(Ok(Value::Array(parts))) => parts.get(1),
        _ => None,
    };
    let setting = |at| {
        setting(at)
            .and_then(decode::bytes)
            .and_then(|it| std::str::from_utf8(it).ok())
    };
    let info = |name: &str| field(&persistence, name).or_else(|| field(&replication, name));
    // Valkey has another name for it.
    let mode = field(&server, "redis_mode").or_else(|| field(&server, "server_mode"));
    // A node counts as durable only if everything about it is known, and no rewrite of the file is
    // under way.
    // Law: Exclusion
    let durable = keeps_writes(info, setting(3), setting(4))
        && is_alone(info)
        && info("aof_rewrite_in_progress") == Some("0")
        && info("aof_rewrite_scheduled") == Some("0");
    NodeInfo {
        run_id: field(&server, "run_id").map(str::to_owned),
        replication_id: field(&replication, "master_replid").map(str::to_owned),
        is_replica: field(&replication, "role") == Some("slave"),
        is_cluster: mode.map(|mode| mode == "cluster"),
        durable,
        ..NodeInfo::default()
    }
}

impl NodeInfo {
    /// What the hub is told of the node.
    pub(crate) fn identity(&self) -> Identity {
        Identity {
            run_id: self.run_id.as_deref().map(Words::new),
            server_time: self.server_time,
            listens: self.listens,
            deaf: self.deaf.clone(),
        }
    }

    /// An error for a replica, which grants nothing.
    pub(crate) fn usable(&self) -> Result<(), DialError> {
        if self.is_replica {
            return Err(DialError::unavailable(
                "the node is a replica; it serves again once it is a primary",
            ));
        }
        Ok(())
    }

    /// What the marker of this node must say.
    pub(crate) fn marker(&self, node_set: &NodeSet) -> Result<Marker, DialError> {
        let (Some(run_id), Some(replication_id)) = (&self.run_id, &self.replication_id) else {
            return Err(DialError::Rejected(Words::new(
                "over several nodes each must say who it is, so that one that forgot is not \
                 counted: allow the user INFO, and use one connection per server, not a cluster",
            )));
        };
        Ok(Marker {
            key: key::marker(&node_set.prefix),
            run_id: run_id.clone(),
            replication_id: replication_id.clone(),
            durable: self.durable,
            since: 0,
            max_ttl_ms: millis(node_set.max_ttl),
            nodes: node_set.nodes,
            name: node_set.name.clone().unwrap_or_default(),
        })
    }
}

/// What comes before the first request: closing the previous connection, so that nothing that still
/// travels on it is executed later; and the marker of the node.
// Law: No orphan
pub(crate) async fn begin(
    connection: &dyn Connection,
    node: &NodeInfo,
    previous: Option<&NodeInfo>,
    marker: Option<&mut Marker>,
) -> Result<(), DialError> {
    let mut commands = Vec::new();
    // The id of a client is unique within one run of a server. In another run it may belong to
    // somebody else.
    if let Some(previous) = previous
        && let Some(id) = previous.client_id
        && previous.run_id.is_some()
        && previous.run_id == node.run_id
    {
        commands.push(command(&["CLIENT", "KILL", "ID", &id.to_string()]));
    }
    let results = match marker {
        Some(marker) => mark_node(connection, commands, marker).await,
        None if commands.is_empty() => return Ok(()),
        None => exchange(connection, commands).await,
    };
    for result in results {
        match result {
            Ok(Value::ServerError(error)) => {
                // Not permitted, or the old connection is closed already. If the marker was not
                // written, the first acquire says so.
                let error = printable(&decode::server_text(&error));
                contained(|| tracing::debug!(target: LOG_TARGET, %error, "tolerated"));
            }
            Ok(_) => {}
            Err(error) if error.code().is_some() => {}
            Err(error) => return Err(DialError::unavailable(&error.to_string())),
        }
    }
    Ok(())
}

/// Writes the marker of a node, behind these commands, and learns since when it is. A server that
/// does not keep scripts is sent the text.
pub(crate) async fn mark_node(
    connection: &dyn Connection,
    mut commands: Vec<Cmd>,
    marker: &mut Marker,
) -> Vec<CommandResult> {
    commands.push(mark(marker, false));
    let mut results = exchange(connection, commands).await;
    let marked = results.last().and_then(decode::trouble);
    if let Some((_, Some(Signal::NoScript))) = marked {
        results.pop();
        results.extend(exchange(connection, vec![mark(marker, true)]).await);
    }
    marker.since = results.last().and_then(decode::marked).unwrap_or(0);
    results
}

fn command(words: &[&str]) -> Cmd {
    let mut cmd = Cmd::new();
    for word in words {
        cmd.arg(word);
    }
    cmd
}

/// The value of a field in the text of INFO.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .filter_map(|line| line.split_once(':'))
        .find_map(|(field, value)| (field == name).then(|| value.trim()))
        .filter(|value| !value.is_empty() && !value.contains(char::is_whitespace))
}
