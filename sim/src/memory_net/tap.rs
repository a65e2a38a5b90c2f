//! What travelled: every byte in one digest, and every request for tests to count.

use std::time::Duration;

use super::link::Direction;
use crate::server::RequestParser;

/// A request that arrived at a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The true time, from the beginning of the world.
    pub at: Duration,
    /// Whose it is.
    pub client: String,
    /// The name under which the node was connected to.
    pub node: String,
    /// On which connection; each has a number of its own.
    pub connection: u64,
    /// The command and its arguments.
    pub argv: Vec<Vec<u8>>,
}

impl Request {
    /// Whether it is this command: its first words, in any case.
    #[must_use]
    pub fn is(&self, command: &str) -> bool {
        let mut argv = self.argv.iter();
        command.split(' ').all(|word| {
            argv.next()
                .is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
        })
    }

    /// Whether one of its arguments is this.
    #[must_use]
    pub fn names(&self, arg: impl AsRef<[u8]>) -> bool {
        self.argv.iter().any(|other| other == arg.as_ref())
    }
}

/// One way of one connection, as the tap sees it.
pub(super) struct Wire {
    connection: u64,
    client: String,
    node: String,
    direction: Direction,
    parser: RequestParser,
}

impl Wire {
    pub(super) fn new(connection: u64, client: String, node: String, direction: Direction) -> Self {
        Self {
            connection,
            client,
            node,
            direction,
            parser: RequestParser::new(),
        }
    }

    pub(super) const fn direction(&self) -> Direction {
        self.direction
    }
}

#[derive(Default)]
pub(super) struct Tap {
    digest: sha1_smol::Sha1,
    requests: Vec<Request>,
}

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut tap = f.debug_struct("Tap");
        tap.field("requests", &self.requests.len())
            .finish_non_exhaustive()
    }
}

impl Tap {
    /// Takes note of bytes that arrive.
    pub(super) fn take(&mut self, at: Duration, wire: &mut Wire, bytes: &[u8]) {
        let head = format!(
            "{at:?} {} {:?} {}\n",
            wire.connection,
            wire.direction,
            bytes.len()
        );
        self.digest.update(head.as_bytes());
        self.digest.update(bytes);
        if wire.direction == Direction::Back {
            return;
        }
        wire.parser.feed(bytes);
        while let Ok(Some(argv)) = wire.parser.next_request() {
            self.requests.push(Request {
                at,
                client: wire.client.clone(),
                node: wire.node.clone(),
                connection: wire.connection,
                argv,
            });
        }
    }

    pub(super) fn requests(&self) -> &[Request] {
        &self.requests
    }

    pub(super) fn digest(&self) -> String {
        self.digest.digest().to_string()
    }
}
