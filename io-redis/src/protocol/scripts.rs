//! The Lua texts, and what is common to all calls of them.
//!
//! # The wire
//!
//! A request is part of one `EVALSHA`: acquires that are due together share one, and so do releases
//! and renewals; most of what a call costs a server is the same for one lock and for many. `now` is
//! the server's time in microseconds, spans are milliseconds.
//!
//! | script | keys | arguments | answers |
//! |---|---|---|---|
//! | acquire | lock, counter for each [, marker] | token, TTL, proposal or 0 for each [, run id, replication id, max TTL, nodes, name] | a string for each: `granted FENCE NOW`, `held LEFT NOW`, `taken` (a newer attempt of the same lease is there), `foreign`, `unmarked`, `quarantine LEFT`, `misuse MAX-TTL NODES NAME` or `misuse` (the marker is unreadable), `-` and the text of an error |
//! | confirm | lock, counter | token, fence | `done`, `gone`, `taken`, `foreign` |
//! | renew, release | locks | token, TTL for each; token for each | the failures only: `[index, why, …]`, why being `gone`, `taken`, `foreign` or the text of an error |
//! | repair | lock, counter | token, TTL, fence | `done`, `taken`, `foreign` |
//! | inspect | lock, counter | | `[seen, value or nil, PTTL, counter or nil, now]`, `foreign` |
//! | mark | marker | run id, replication id, durable, max TTL, nodes, name | `[marked, left]`, `[misuse, …]` as above |
//!
//! A token is `label:hex32:attempt` or `hex32:attempt`. Two are of one lease if all but the attempt is
//! equal. A fence counter is kept for a day after the time that its value stands for, and a proposal
//! more than a minute ahead of the server's time is ignored.
//!
//! The lock key is read with `GETEX` without options. That is `GET`, but it counts as a write: a
//! replica refuses it with `READONLY` instead of answering a "no" that is not its to give, and what
//! else forbids writes (`MISCONF`, `NOREPLICAS`) does so before anything is written. It is allowed
//! when the server is out of memory, and after it so is the rest of the script: renewal and release
//! work then. Acquire begins with a `SET NX`, which is a write likewise, and is refused out of memory.

use std::sync::LazyLock;

use redis::{Cmd, RedisWrite};

/// One of the texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    Acquire,
    Confirm,
    Renew,
    Repair,
    Release,
    Inspect,
    Mark,
}

impl Script {
    pub(crate) const ALL: [Self; 7] = [
        Self::Acquire,
        Self::Confirm,
        Self::Renew,
        Self::Repair,
        Self::Release,
        Self::Inspect,
        Self::Mark,
    ];

    /// The Lua text.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Acquire => include_str!("lua/acquire.lua"),
            Self::Confirm => include_str!("lua/confirm.lua"),
            Self::Renew => include_str!("lua/renew.lua"),
            Self::Repair => include_str!("lua/repair.lua"),
            Self::Release => include_str!("lua/release.lua"),
            Self::Inspect => include_str!("lua/inspect.lua"),
            Self::Mark => include_str!("lua/mark.lua"),
        }
    }

    /// The name that `EVALSHA` knows it by.
    pub(crate) fn sha(self) -> &'static str {
        static SHAS: LazyLock<[String; Script::ALL.len()]> = LazyLock::new(|| {
            Script::ALL.map(|script| redis::Script::new(script.text()).get_hash().to_owned())
        });
        &SHAS[self as usize]
    }

    /// The command that teaches it to the server.
    pub(crate) fn load(self) -> Cmd {
        let mut cmd = redis::cmd("SCRIPT");
        cmd.arg("LOAD").arg(self.text());
        cmd
    }

    /// The beginning of a call with this many keys and arguments, of about `size` bytes together.
    pub(crate) fn call(self, keys: usize, args: usize, size: usize) -> Cmd {
        let mut cmd = Cmd::with_capacity(3 + keys + args, size + 56);
        cmd.write_arg(b"EVALSHA");
        cmd.write_arg(self.sha().as_bytes());
        cmd.arg(keys);
        cmd
    }
}
