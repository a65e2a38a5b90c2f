//! Everything a server knows but its scripts: keys, connections, users, configuration, statistics.

use std::collections::{BTreeMap, BTreeSet};

use super::config::Config;
use super::faults::Faults;
use super::keyspace::{Entry, Keyspace, Value};
use super::reply::{Protocol, Reply};
use super::tracking::{Table, Tracking};

/// One connection of this process's life. Never used twice, unlike the ids that clients see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnId(pub(crate) u64);

/// What a request makes the server do, in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Write a reply, or a push, to a connection.
    Send(ConnId, Reply),
    /// Close a connection once what was written has gone out.
    Finish(ConnId),
    /// Drop a connection at once, with all that it still had to send.
    Kill(ConnId),
    /// Write nothing to a connection from now on, and leave it open.
    Mute(ConnId),
}

impl Effect {
    /// The text of a message that is pushed to who listens to a channel.
    pub(super) fn message(&self) -> Option<&[u8]> {
        match self {
            Self::Send(_, Reply::Push(parts)) => match &parts[..] {
                [Reply::Bulk(kind), _, Reply::Bulk(text)] if kind == b"message" => Some(text),
                _ => None,
            },
            _ => None,
        }
    }
}

/// A command's refusal, in the server's words.
#[derive(Debug)]
pub(crate) struct Reject(pub(crate) String);

impl Reject {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
    pub(crate) fn syntax() -> Self {
        Self::new("ERR syntax error")
    }
    pub(crate) fn not_an_integer() -> Self {
        Self::new("ERR value is not an integer or out of range")
    }
    pub(crate) fn wrong_type() -> Self {
        Self::new("WRONGTYPE Operation against a key holding the wrong kind of value")
    }
    pub(crate) fn wrong_arity(command: &str) -> Self {
        Self::new(format!(
            "ERR wrong number of arguments for '{command}' command"
        ))
    }
    pub(crate) fn unknown_subcommand(container: &str, given: &[u8]) -> Self {
        let given = String::from_utf8_lossy(given).into_owned();
        Self::new(format!(
            "ERR unknown subcommand '{given}'. Try {container} HELP."
        ))
    }
}

pub(crate) type Outcome = Result<Reply, Reject>;

/// One command as its handler sees it.
pub(crate) struct Ctx<'a> {
    pub(crate) conn: ConnId,
    pub(crate) db: usize,
    pub(crate) now_us: u64,
    /// The whole command, its name first. The table has checked that enough arguments are there.
    pub(crate) argv: &'a [Vec<u8>],
}

impl Ctx<'_> {
    pub(crate) fn now_ms(&self) -> i64 {
        i64::try_from(self.now_us / 1000).unwrap_or(i64::MAX)
    }

    /// Argument `i` in lower case: for names of options and subcommands.
    pub(crate) fn word(&self, i: usize) -> String {
        lower(self.argv.get(i).map_or(&[][..], Vec::as_slice))
    }

    pub(crate) fn int(&self, i: usize) -> Result<i64, Reject> {
        self.argv
            .get(i)
            .and_then(|a| super::number::parse_i64(a))
            .ok_or_else(Reject::not_an_integer)
    }
}

pub(crate) fn lower(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).to_ascii_lowercase()
}

/// A connection as the server knows it.
#[derive(Clone)]
pub(crate) struct Conn {
    /// What `CLIENT ID` says. Starts again from one when the server restarts.
    pub(crate) client_id: i64,
    pub(crate) protocol: Protocol,
    pub(crate) db: usize,
    pub(crate) name: String,
    pub(crate) lib_name: String,
    pub(crate) lib_version: String,
    /// `None` until it has authenticated, if the server asks for that.
    pub(crate) user: Option<String>,
    pub(crate) address: String,
    pub(crate) since_us: u64,
    pub(crate) last_command: String,
    /// What it listens to.
    pub(crate) channels: BTreeSet<Vec<u8>>,
    /// Whether it is told of keys that have changed.
    pub(crate) tracking: Option<Tracking>,
    /// `CLIENT CACHING` came before the present command.
    pub(crate) caching: bool,
    /// A caller in this process, whom faults of the network do not meet.
    pub(crate) local: bool,
}

/// Who may do what. No `Debug`: it holds passwords.
#[derive(Clone, Default)]
pub(crate) struct User {
    /// `None` means that any password will do.
    pub(crate) password: Option<String>,
    pub(crate) denied: BTreeSet<String>,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct CommandStat {
    pub(crate) calls: u64,
    pub(crate) rejected: u64,
    pub(crate) failed: u64,
}

/// The names by which clients tell one life of a server from another.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    seed: u64,
    generation: u64,
    pub(crate) run_id: String,
    pub(crate) replid: String,
    pub(crate) replid2: String,
}

const NO_REPLID: &str = "0000000000000000000000000000000000000000";

impl Identity {
    pub(crate) fn new(seed: u64) -> Self {
        let mut identity = Self {
            seed,
            generation: 0,
            run_id: String::new(),
            replid: String::new(),
            replid2: NO_REPLID.to_owned(),
        };
        identity.restart();
        identity
    }

    /// A new process: both ids are new, and the old replication id is forgotten.
    pub(crate) fn restart(&mut self) {
        self.generation += 1;
        self.run_id = self.hex("run");
        self.replid = self.hex("replication");
        self.replid2 = NO_REPLID.to_owned();
    }

    /// A promotion: the replication id is new, the one before is remembered.
    pub(crate) fn promote(&mut self, replid_before: String) {
        self.generation += 1;
        self.replid = self.hex("replication");
        self.replid2 = replid_before;
    }

    fn hex(&self, what: &str) -> String {
        sha1_hex(format!("{what} {} {}", self.seed, self.generation).as_bytes())
    }
}

/// The SHA-1 of these bytes, in 40 hexadecimal digits.
pub(crate) fn sha1_hex(bytes: &[u8]) -> String {
    sha1_smol::Sha1::from(bytes).digest().to_string()
}

pub(crate) struct State {
    pub(crate) keys: Keyspace,
    pub(crate) conns: BTreeMap<ConnId, Conn>,
    pub(crate) users: BTreeMap<String, User>,
    pub(crate) config: Config,
    pub(crate) stats: BTreeMap<String, CommandStat>,
    pub(crate) identity: Identity,
    pub(crate) faults: Faults,
    /// Who is told when a key changes.
    pub(crate) table: Table,
    pub(crate) started_us: u64,
    pub(crate) effects: Vec<Effect>,
    /// What was published by the request that is executed, and what it told others of keys. It is
    /// written before the reply.
    pub(crate) messages: Vec<Effect>,
    next_conn: u64,
    next_client_id: i64,
}

impl State {
    pub(crate) fn new(seed: u64, now_us: u64) -> Self {
        Self {
            keys: Keyspace::default(),
            conns: BTreeMap::new(),
            users: BTreeMap::from([("default".to_owned(), User::default())]),
            config: Config::default(),
            stats: BTreeMap::new(),
            identity: Identity::new(seed),
            faults: Faults::default(),
            table: Table::new(seed),
            started_us: now_us,
            effects: Vec::new(),
            messages: Vec::new(),
            next_conn: 1,
            next_client_id: 1,
        }
    }

    pub(crate) fn connect(&mut self, address: String, local: bool, now_us: u64) -> ConnId {
        let id = ConnId(self.next_conn);
        self.next_conn += 1;
        let open = self
            .users
            .get("default")
            .is_some_and(|user| user.password.is_none());
        let conn = Conn {
            client_id: self.next_client_id,
            protocol: Protocol::Resp2,
            db: 0,
            name: String::new(),
            lib_name: String::new(),
            lib_version: String::new(),
            user: (open || local).then(|| "default".to_owned()),
            address,
            since_us: now_us,
            last_command: String::new(),
            channels: BTreeSet::new(),
            tracking: None,
            caching: false,
            local,
        };
        self.next_client_id += 1;
        self.conns.insert(id, conn);
        id
    }

    /// A new process in the same place: ids, scripts' statistics and connections start over.
    /// Configuration and users stay, as from a configuration file.
    pub(crate) fn restart(&mut self, now_us: u64) {
        self.identity.restart();
        self.stats.clear();
        self.started_us = now_us;
        self.next_client_id = 1;
        self.conns.clear();
        self.table.clear();
    }

    /// Sets the password of the default user; empty means none. Connections that are open stay
    /// authenticated.
    pub(crate) fn set_password(&mut self, password: &str) {
        let user = self.users.entry("default".to_owned()).or_default();
        user.password = (!password.is_empty()).then(|| password.to_owned());
        self.config.set("requirepass", password.to_owned());
    }

    pub(crate) fn conn(&mut self, id: ConnId) -> Result<&mut Conn, Reject> {
        self.conns
            .get_mut(&id)
            .ok_or_else(|| Reject::new("ERR the connection is closed"))
    }

    /// Whether `denied` has the command. Who is unknown may do nothing.
    pub(crate) fn permits(&self, conn: ConnId, command: &str) -> bool {
        let user = self
            .conns
            .get(&conn)
            .and_then(|c| c.user.as_ref())
            .and_then(|u| self.users.get(u));
        user.is_some_and(|user| !user.denied.contains(command))
    }

    pub(crate) fn lookup(&mut self, ctx: &Ctx<'_>, key: &[u8]) -> Option<&mut Entry> {
        self.keys.lookup(ctx.db, key, ctx.now_ms())
    }

    /// The string at a key; another type is an error.
    pub(crate) fn string(
        &mut self,
        ctx: &Ctx<'_>,
        key: &[u8],
    ) -> Result<Option<&mut Vec<u8>>, Reject> {
        match self.lookup(ctx, key).map(|entry| &mut entry.value) {
            None => Ok(None),
            Some(Value::Str(bytes)) => Ok(Some(bytes)),
            Some(_) => Err(Reject::wrong_type()),
        }
    }
}
