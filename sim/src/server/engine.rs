//! The server as a pure machine: a request, the time, and what follows. No clock, no randomness, no
//! I/O.

use super::commands::{
    self, CONTAINER, Command, DENYOOM, LISTENING, LOADING, NO_AUTH, OOM, READONLY_REPLICA, Run,
    WRITE, channels, client,
};
use super::faults::Lost;
use super::reply::Reply;
use super::script::{self, Scripts};
use super::state::{ConnId, Ctx, Effect, Reject, State, lower};

/// One server.
pub(crate) struct Engine {
    pub(crate) state: State,
    pub(crate) scripts: Scripts,
}

impl Engine {
    /// A server with no data. All that is random about it (its ids) comes from the seed.
    pub(crate) fn new(seed: u64, now_us: u64) -> Self {
        Self {
            state: State::new(seed, now_us),
            scripts: Scripts::new(),
        }
    }

    pub(crate) fn connect(&mut self, address: String, local: bool, now_us: u64) -> ConnId {
        self.state.connect(address, local, now_us)
    }

    pub(crate) fn disconnect(&mut self, conn: ConnId) {
        self.state.conns.remove(&conn);
    }

    /// Executes one request of a connection at a time; says what to send and what to close.
    pub(crate) fn exec(&mut self, conn: ConnId, argv: &[Vec<u8>], now_us: u64) -> Vec<Effect> {
        let Some(name) = argv.first().map(|name| lower(name)) else {
            return Vec::new();
        };
        let Some(local) = self.state.conns.get(&conn).map(|c| c.local) else {
            return Vec::new();
        };
        let reply = match self.state.faults.take_answer(&name) {
            Some(reply) if !local => reply,
            Some(reply) => {
                // Calls from inside this process are spared: keep the answer for the next
                // connection.
                self.state.faults.answer(&name, reply);
                self.answer(conn, argv, now_us)
            }
            None => self.answer(conn, argv, now_us),
        };
        // All but `CLIENT` itself uses `CLIENT CACHING` up, refused or not.
        let is_client = name == "client" && argv.get(1).is_some_and(|sub| client::knows(sub));
        if !is_client && let Some(conn) = self.state.conns.get_mut(&conn) {
            conn.caching = false;
        }
        let lost = if local {
            None
        } else {
            self.state.faults.take_lost(argv)
        };
        let mut effects = std::mem::take(&mut self.state.messages);
        effects.push(match lost {
            None => Effect::Send(conn, reply),
            Some(Lost::Cut) => Effect::Kill(conn),
            Some(Lost::Mute) => Effect::Mute(conn),
        });
        effects.append(&mut self.state.effects);
        effects
    }

    fn answer(&mut self, conn: ConnId, argv: &[Vec<u8>], now_us: u64) -> Reply {
        let command = match self.lookup(argv) {
            Ok(command) => command,
            Err(Reject(text)) => return Reply::Error(text),
        };
        let stat = stat_name(command, argv);
        if let Err(Reject(text)) = self.admit(conn, command, argv) {
            self.state.stats.entry(stat).or_default().rejected += 1;
            return Reply::Error(text);
        }
        let db = self.state.conns.get(&conn).map_or(0, |c| c.db);
        let mut ctx = Ctx {
            conn,
            db,
            now_us,
            argv,
        };
        if let Some(conn) = self.state.conns.get_mut(&conn) {
            conn.last_command.clone_from(&stat);
        }
        self.state.bound_table(conn);
        let outcome = match command.run {
            Run::State(run) => {
                let outcome = run(&mut self.state, &mut ctx);
                self.state.end_call(conn, command, command.keys_of(argv));
                outcome
            }
            Run::Scripts(what) => script::run(what, &mut self.state, &mut self.scripts, &ctx),
        };
        if let Some(conn) = self.state.conns.get_mut(&conn) {
            conn.db = ctx.db;
        }
        let reply = outcome.unwrap_or_else(|Reject(text)| Reply::Error(text));
        // Counted last, so that CONFIG RESETSTAT counts itself, as in Redis.
        let stat = self.state.stats.entry(stat).or_default();
        stat.calls += 1;
        stat.failed += u64::from(matches!(reply, Reply::Error(_)));
        reply
    }

    fn lookup(&self, argv: &[Vec<u8>]) -> Result<&'static Command, Reject> {
        let name = String::from_utf8_lossy(&argv[0]).into_owned();
        let Some(command) = commands::find(&argv[0]) else {
            let args: String = argv[1..]
                .iter()
                .map(|a| format!("'{}' ", String::from_utf8_lossy(a)))
                .collect();
            let short: String = args.chars().take(128).collect();
            let text = format!("ERR unknown command '{name}', with args beginning with: {short}");
            return Err(Reject(text));
        };
        if !command.accepts(argv.len()) {
            return Err(Reject::wrong_arity(command.name));
        }
        Ok(command)
    }

    /// The checks that Redis makes before it runs a command, in its order.
    fn admit(&self, conn: ConnId, command: &Command, argv: &[Vec<u8>]) -> Result<(), Reject> {
        let known = self
            .state
            .conns
            .get(&conn)
            .is_some_and(|c| c.user.is_some());
        if !known && !command.has(NO_AUTH) {
            return Err(Reject::new("NOAUTH Authentication required."));
        }
        if known && !command.has(NO_AUTH) && !self.state.permits(conn, command.name) {
            let name = stat_name(command, argv);
            let text = format!("NOPERM this user has no permissions to run the '{name}' command");
            return Err(Reject(text));
        }
        if channels::only_listens(&self.state, conn) && !command.has(LISTENING) {
            let name = command.name;
            return Err(Reject(format!(
                "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT \
                 / RESET are allowed in this context"
            )));
        }
        let faults = &self.state.faults;
        let flags = command.flags | self.scripts.declared_flags(command, argv);
        if faults.oom && flags & DENYOOM != 0 {
            return Err(Reject::new(OOM));
        }
        if flags & WRITE != 0 {
            if let Some(error) = &faults.write_error {
                return Err(Reject::new(error));
            }
            if faults.readonly {
                return Err(Reject::new(READONLY_REPLICA));
            }
        }
        if faults.loading && !command.has(LOADING) {
            return Err(Reject::new(
                "LOADING Redis is loading the dataset in memory",
            ));
        }
        Ok(())
    }
}

/// `get`, or `client|id` where subcommands count on their own.
fn stat_name(command: &Command, argv: &[Vec<u8>]) -> String {
    match argv.get(1) {
        Some(sub) if command.has(CONTAINER) => format!("{}|{}", command.name, lower(sub)),
        _ => command.name.to_owned(),
    }
}
