//! Asking a node something through its link that is about no lease: who holds a key, which locks
//! there are, to break one, and how the node is set up.

use std::fmt;

use redis::Cmd;
use tenure_core::{Key, Words};
use tokio::sync::{mpsc, oneshot};

use crate::link::connection::Connection;
use crate::link::streams;
use crate::protocol::breaking::{self, KeyBreak, Seen};
use crate::protocol::decode::{self, CommandResult};
use crate::protocol::encode::{Encoder, looks_at};
use crate::protocol::health::{self, Health};
use crate::protocol::inspection::KeyState;
use crate::protocol::scan::{self, Page, Step};
use crate::protocol::scripts::Fences;

/// Why a node did not answer an inquiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoAnswer {
    pub(crate) why: Words,
    /// Whether it refuses, and will until somebody changes something.
    pub(crate) refused: bool,
}

impl NoAnswer {
    /// It may answer another time.
    pub(crate) const fn now(why: Words) -> Self {
        Self {
            why,
            refused: false,
        }
    }

    /// It did not answer in these words. Whether they refuse, they say themselves.
    fn said(why: Words) -> Self {
        let refused = decode::is_refusal(&why);
        Self { why, refused }
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

impl std::error::Error for NoAnswer {}

/// What one node answered to an inspection.
pub(crate) type NodeAnswer = Result<KeyState, NoAnswer>;

/// A handle to a running link.
#[derive(Clone, Debug)]
pub(crate) struct LinkHandle {
    pub(crate) inquiries: mpsc::Sender<Inquiry>,
}

/// How often a question is asked again at once.
// Law: Bounded work
const AGAIN_MAX: u8 = 3;

/// Where an answer goes.
type Answers<T> = oneshot::Sender<Result<T, NoAnswer>>;

/// One question of a [`LinkHandle`].
#[derive(Debug)]
pub(crate) struct Inquiry {
    what: What,
    /// How often it was asked before, when the scripts were not loaded or the connection broke.
    again: u8,
}

#[derive(Debug)]
enum What {
    /// Who holds a key.
    Inspect(Key, Answers<KeyState>),
    /// Which locks there are.
    Scan(Step, Answers<Page>),
    /// To take a key from the holder that was seen.
    Break(Key, Seen, Answers<KeyBreak>),
    /// How the node is set up.
    Check(Probe, Answers<Health>),
}

/// What a check tries the rights of the user with.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    /// A key that never exists.
    pub(crate) unused: Key,
    /// Whether replicas are to acknowledge grants.
    pub(crate) waits: bool,
}

impl Probe {
    fn commands(&self) -> Vec<Cmd> {
        health::commands(self.unused.as_bytes(), self.waits)
    }
}

impl Inquiry {
    fn new(what: What) -> Self {
        Self { what, again: 0 }
    }

    /// What is written for it.
    pub(crate) fn commands(&self, encoder: &mut Encoder, connection: &dyn Connection) -> Vec<Cmd> {
        match &self.what {
            What::Inspect(key, _) => vec![encoder.inspect(key)],
            What::Scan(step, _) => scans(step, connection, encoder.is_split()),
            What::Break(key, seen, _) => vec![encoder.break_lock(key, seen)],
            What::Check(probe, _) => probe.commands(),
        }
    }

    /// The plain commands by which a user who may only read has it answered; none if that cannot
    /// be.
    pub(crate) fn look(&self, fences: Fences, connection: &dyn Connection) -> Option<Vec<Cmd>> {
        match &self.what {
            What::Inspect(key, _) => Some(looks_at(key, fences)),
            What::Scan(step, _) => Some(scans(step, connection, false)),
            What::Check(probe, _) => Some(probe.commands()),
            What::Break(..) => None,
        }
    }

    /// Whether it is asked by a script that counts as a write, and can be looked at instead.
    pub(crate) const fn is_inspection(&self) -> bool {
        matches!(self.what, What::Inspect(..))
    }

    /// The same question, to be asked again: nothing was done. An error if it was asked often
    /// enough.
    pub(crate) fn once_more(self) -> Result<Self, Self> {
        if self.again >= AGAIN_MAX {
            return Err(self);
        }
        Ok(Self {
            again: self.again + 1,
            ..self
        })
    }

    /// The same question, to be asked again although it may have been answered, and nobody heard
    /// it. A lock that was broken then would look as if somebody else had ended it.
    pub(crate) fn after_unknown(self) -> Result<Self, Self> {
        match self.what {
            What::Break(..) => Err(self),
            What::Inspect(..) | What::Scan(..) | What::Check(..) => self.once_more(),
        }
    }

    /// Answers with what the node said to the commands of [`Inquiry::commands`].
    pub(crate) fn answer(self, mut results: Vec<CommandResult>) {
        if let What::Check(probe, to) = self.what {
            // The caller may have gone.
            let _ = to.send(Ok(health::health(results, probe.waits)));
            return;
        }
        let is_cluster = results.iter().flatten().any(streams::is_cluster);
        let last = results.pop().unwrap_or_else(|| Err(decode::miscounted()));
        // The caller may have gone.
        match self.what {
            What::Inspect(_, to) => {
                let _ = to.send(decode::inspection(last).map_err(NoAnswer::now));
            }
            What::Scan(step, to) => {
                let _ = to.send(match is_cluster {
                    true => Ok(Page::Cluster),
                    false => scan::page(&step, last).map_err(NoAnswer::said),
                });
            }
            What::Break(_, _, to) => {
                let _ = to.send(breaking::answer(last).map_err(NoAnswer::said));
            }
            What::Check(_, to) => drop(to),
        }
    }

    /// Answers with what the node said to the commands of [`Inquiry::look`].
    pub(crate) fn looked(self, results: Vec<CommandResult>) {
        match self.what {
            What::Inspect(_, to) => {
                let _ = to.send(decode::look(&results).map_err(NoAnswer::said));
            }
            What::Scan(..) | What::Break(..) | What::Check(..) => self.answer(results),
        }
    }

    /// Answers that the node could not be asked. The caller may have gone.
    pub(crate) fn refuse(self, why: Words) {
        self.no_answer(NoAnswer::now(why));
    }

    /// Answers that the node refuses.
    pub(crate) fn rejected(self, why: Words) {
        self.no_answer(NoAnswer { why, refused: true });
    }

    /// Answers that the node was asked, and may have done it.
    pub(crate) fn unheard(self, why: Words) {
        match self.what {
            What::Break(..) => self.refuse(breaking::unknown(&why)),
            What::Inspect(..) | What::Scan(..) | What::Check(..) => self.refuse(why),
        }
    }

    fn no_answer(self, why: NoAnswer) {
        match self.what {
            What::Inspect(_, to) => drop(to.send(Err(why))),
            What::Scan(_, to) => drop(to.send(Err(why))),
            What::Break(_, _, to) => drop(to.send(Err(why))),
            What::Check(_, to) => drop(to.send(Err(why))),
        }
    }
}

/// The commands of a step. A connection that the link made leads to one server. What another leads
/// to is asked first; where that is known to be a cluster, nothing else is.
fn scans(step: &Step, connection: &dyn Connection, is_cluster: bool) -> Vec<Cmd> {
    match (connection.is_own(), is_cluster) {
        (true, _) => vec![step.command()],
        (false, true) => vec![streams::mode_query()],
        (false, false) => vec![streams::mode_query(), step.command()],
    }
}

impl LinkHandle {
    /// Inspects a key, which changes nothing. Waits while the link connects for the first time;
    /// otherwise it is bounded by the link's own limit on silence. So do the others.
    pub(crate) async fn inspect(&self, key: Key) -> NodeAnswer {
        self.ask(|to| What::Inspect(key, to)).await
    }

    /// Looks for locks, one step further.
    pub(crate) async fn scan(&self, step: Step) -> Result<Page, NoAnswer> {
        self.ask(|to| What::Scan(step, to)).await
    }

    /// Takes a key from the holder that was seen.
    pub(crate) async fn break_lock(&self, key: Key, seen: Seen) -> Result<KeyBreak, NoAnswer> {
        self.ask(|to| What::Break(key, seen, to)).await
    }

    /// Asks how the node is set up, and tries which rights its user has.
    pub(crate) async fn check(&self, probe: Probe) -> Result<Health, NoAnswer> {
        self.ask(|to| What::Check(probe, to)).await
    }

    async fn ask<T>(&self, what: impl FnOnce(Answers<T>) -> What) -> Result<T, NoAnswer> {
        let (answer, answered) = oneshot::channel();
        let ended = || NoAnswer::now(Words::new("the link has ended"));
        let inquiry = Inquiry::new(what(answer));
        self.inquiries.send(inquiry).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}
