//! Breaking a lock at all nodes: pass by pass, until its holder puts no copy back.
//!
//! Each node breaks for itself. A holder that is told by the first of them asks all, and if most
//! of the others still have its token, it repairs that copy before the others delete theirs. So one
//! pass may delete at every node and take nothing. A pass in which nothing was deleted shows that
//! these nodes were without the token all at once, as it began: only the holder puts it back, and
//! nothing but a pass takes it away.

use std::time::Duration;

use tenure_core::{Key, NodeId, Words};

use crate::client::patience::pause;
use crate::client::shared::Client;
use crate::error::Ended;
use crate::link::handle::NoAnswer;
use crate::protocol::breaking::{KeyBreak, Seen};

/// How many times the nodes are asked.
// Law: Bounded work
const PASSES_MAX: usize = 8;

/// What a node said to the pass that asked it last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    /// It took the key from the holder that was seen, who may put it back.
    Took,
    /// That holder had not got the key.
    Without,
    /// It did not answer. It is not asked again, since it would tell what it did itself.
    Silent,
}

/// What a node did in all passes.
#[derive(Clone, Debug)]
pub(crate) struct AtNode {
    node: NodeId,
    /// That it took the key, if it did in any pass. Otherwise what it said at last.
    pub(crate) answer: Result<KeyBreak, NoAnswer>,
    pub(crate) last: Last,
    /// From the last request to its answer.
    trip: Duration,
}

impl AtNode {
    pub(crate) const fn new(node: NodeId, answer: Result<KeyBreak, NoAnswer>, last: Last) -> Self {
        Self {
            node,
            answer,
            last,
            trip: Duration::ZERO,
        }
    }

    fn hear(&mut self, answer: Result<(KeyBreak, Duration), NoAnswer>) {
        self.trip = answer.as_ref().map_or(Duration::ZERO, |(_, trip)| *trip);
        let answer = answer.map(|(answer, _)| answer);
        self.last = match &answer {
            Ok(answer) if answer.took() => Last::Took,
            Ok(_) => Last::Without,
            Err(_) => Last::Silent,
        };
        let is_news = match (&self.answer, &answer) {
            (Ok(before), Ok(now)) => !before.took() || now.took(),
            (Ok(_), Err(_)) => false,
            (Err(_), _) => true,
        };
        if is_news {
            self.answer = answer;
        }
    }
}

impl Client {
    /// Takes a key from the holder that was seen, at each node, by its name. None if the client's
    /// own tasks did not run.
    pub(crate) async fn break_lock(
        &self,
        key: &Key,
        seen: Seen,
    ) -> Result<Option<Vec<(String, AtNode)>>, Ended> {
        let unasked = || Err(NoAnswer::now(Words::fixed("it was not asked")));
        let all = self
            .nodes()
            .map(|(node, _)| AtNode::new(node, unasked(), Last::Took));
        let mut told: Vec<_> = all.collect();
        if !self.pass(key, seen, &mut told).await? {
            return Ok(None);
        }
        for _ in 1..PASSES_MAX {
            let is_done = told.len() == 1 || told.iter().all(|at| at.last != Last::Took);
            // What is known is told, also if the client ends meanwhile.
            if is_done || !self.pass(key, seen, &mut told).await.unwrap_or(false) {
                break;
            }
        }
        let named = |at: AtNode| (self.hub().name(at.node).to_owned(), at);
        Ok(Some(told.into_iter().map(named).collect()))
    }

    /// Asks those that were not silent, so that all of them handle it at about one time: what
    /// happens at one time leaves the holder no quorum by which to repair. False if the client's
    /// own tasks did not run.
    async fn pass(&self, key: &Key, seen: Seen, told: &mut [AtNode]) -> Result<bool, Ended> {
        let longest = told.iter().map(|at| at.trip).max().unwrap_or_default();
        let asks = self.nodes().zip(&*told);
        let asks = asks.filter(|(_, at)| at.last != Last::Silent);
        let asks = asks.map(|((node, link), at)| {
            let early = (longest - at.trip) / 2;
            let broken = async move {
                pause(self.alarms(), early).await;
                let begun = self.hub().clock().now();
                let broken = link.break_lock(key.clone(), seen).await?;
                if broken.took() {
                    self.hub().touched(node, key);
                }
                let trip = self.hub().clock().now().saturating_since(begun);
                Ok((broken, trip))
            };
            (node, broken)
        });
        let answers = self.answers(asks).await?;
        let is_answered = answers.is_some();
        for (node, answer) in answers.into_iter().flatten() {
            told[node.index()].hear(answer);
        }
        Ok(is_answered)
    }
}
