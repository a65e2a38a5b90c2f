//! Taking a lock away from its holder, by force.

use tenure_core::{Key, Verdict, verdict};

use crate::api::locks::Locks;
use crate::client::breaking::{AtNode, Last};
use crate::error::{BreakError, SilentNode};
use crate::protocol::breaking::{KeyBreak, Seen};

/// What each node did as a lock was broken.
#[must_use = "it says whether the lock was broken at all"]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakReport {
    /// The key, as it stands on the nodes.
    pub key: Key,
    /// What each node that answered did. One that deleted the key and found it put back later, or
    /// free, is told as [`Deleted`](BreakOutcome::Deleted).
    pub nodes: Vec<NodeBreak>,
    /// The nodes that did not answer, each with what is known of it, and whether it may have broken
    /// the lock all the same.
    pub silent: Vec<SilentNode>,
    /// At how many nodes that holder may have the key: it was not seen there to be without it.
    open: usize,
}

/// What one node did as a lock was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeBreak {
    /// The node.
    pub node: String,
    /// What it did.
    pub outcome: BreakOutcome,
}

/// What a node did as a lock was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BreakOutcome {
    /// It deleted the key. Who waits for it over several nodes was hinted at that.
    Deleted,
    /// It handed the lock on to the first in line.
    HandedOn,
    /// Nobody held it any more. Nothing was changed.
    Free,
    /// Another holds it than the one that was seen. Nothing was changed.
    AnotherHolder,
    /// The key holds something else than a string. Nothing was changed.
    WrongType {
        /// What it holds: `a hash`, for example.
        holds: String,
    },
}

impl BreakOutcome {
    /// Whether this call took the lock from the holder that was seen.
    const fn is_broken(&self) -> bool {
        match self {
            Self::Deleted | Self::HandedOn => true,
            Self::Free | Self::AnotherHolder | Self::WrongType { .. } => false,
        }
    }
}

impl BreakReport {
    /// Whether this call took the lock from the holder that was seen: at a node at least, and so
    /// that it [is over](Self::is_over). If it is not, a holder that lives puts back what it lost,
    /// and the call must be repeated.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.is_over() && self.nodes.iter().any(|node| node.outcome.is_broken())
    }

    /// Whether the holder that was seen has no quorum any more, by this call or by what happened
    /// before: so many nodes said as they were asked last that it has not got the key there. False
    /// if too many were silent, or if it still put back what was deleted. Then repeat the call.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let all = self.nodes.len() + self.silent.len();
        verdict(all, 0, self.open) == Verdict::Lost
    }

    fn collect(key: Key, answers: Vec<(String, AtNode)>) -> Result<Self, BreakError> {
        // A holder over one node has no other by which it would know what to put back.
        let is_one = answers.len() == 1;
        let is_open = |last| match last {
            Last::Took => !is_one,
            Last::Without => false,
            Last::Silent => true,
        };
        let open = answers.iter().filter(|(_, at)| is_open(at.last)).count();
        let mut report = Self {
            key,
            nodes: Vec::new(),
            silent: Vec::new(),
            open,
        };
        let mut refusal = None;
        for (node, at) in answers {
            match at.answer {
                Ok(answer) => {
                    let outcome = match answer {
                        KeyBreak::Deleted => BreakOutcome::Deleted,
                        KeyBreak::HandedOn => BreakOutcome::HandedOn,
                        KeyBreak::Gone => BreakOutcome::Free,
                        KeyBreak::Taken => BreakOutcome::AnotherHolder,
                        KeyBreak::WrongType(holds) => BreakOutcome::WrongType {
                            holds: holds.to_owned(),
                        },
                    };
                    report.nodes.push(NodeBreak { node, outcome });
                }
                Err(error) => {
                    let silent = SilentNode::new(node, error.to_string());
                    if error.refused {
                        refusal.get_or_insert_with(|| silent.clone());
                    }
                    report.silent.push(silent);
                }
            }
        }
        if !report.nodes.is_empty() {
            return Ok(report);
        }
        let key = report.key;
        Err(match refusal {
            Some(SilentNode { node, why: words }) => BreakError::Rejected { key, node, words },
            None => BreakError::Outage {
                key,
                nodes: report.silent,
            },
        })
    }
}

impl Locks {
    /// Takes the lock on `key` away from its holder, by force: deletes it, or hands it on to the
    /// next in line as a release does. Only from the holder that the caller was
    /// [shown](crate::NodeInspection::seen), by [`inspect`](Self::inspect) or
    /// [`scan`](Self::scan): if another holds it by now, nothing is changed, and the report says
    /// so.
    ///
    /// **This breaks [Exclusion](crate::guarantees::exclusion) on purpose. A holder that still
    /// works goes on working beside the next one until it learns of it, and only a resource that
    /// checks the [fence](crate::Guard::fence) is protected from it.** A holder that awaits the
    /// loss ([`Guard::lost`](crate::Guard::lost), `run`, `renewed`) is told at once, where the
    /// server can push; any other at its next renewal; and one whose process is paused, when it
    /// wakes. A holder whose process has died needs no force: its lock ends by itself, within one
    /// TTL. So break a lock that has no expiry ([`Holder::Foreign`](crate::Holder::Foreign)), or
    /// whose holder hangs and renews all the same, and make sure first that it does nothing more.
    ///
    /// It is one step at each node, and only a primary does it. Keys without an expiry and locks of
    /// other libraries are broken likewise, if they are strings. One that always writes the same
    /// value cannot be told from a later one that does ([`Seen`]). It needs no right that locks do
    /// not need.
    ///
    /// Over several nodes a holder that lives puts back what one node lost, as long as most of the
    /// others have the key. So the nodes are asked again and again, until none of them has had to
    /// delete anything, eight times at most. Those that are near are asked a little later than
    /// those that are far, so that it happens everywhere at one time. Where nobody puts anything
    /// back that is two requests to each node, and one where that holder has nothing. If the last
    /// of eight times still deleted something, the lock is [not over](BreakReport::is_over): repeat
    /// the call. A request of the holder that was on its way before and arrives later than all of
    /// this can still put a copy back. [`inspect`](Self::inspect) shows it.
    ///
    /// It takes as long as an [`inspect`](Self::inspect) does at most, or over several nodes each
    /// time does. A node that does not answer is not asked again by this call: if an answer is
    /// lost, it is unknown whether the lock was broken there, and that is said.
    ///
    /// # Errors
    /// [`BreakError`] if no node answers: an outage, or misuse if one refuses this client.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop what was sent: the lock may be broken or not. If this
    /// client holds it itself, it may be told of it only at the next renewal.
    ///
    /// ```no_run
    /// # async fn example(locks: tenure_redis::Locks) -> Result<(), Box<dyn std::error::Error>> {
    /// let inspection = locks.inspect("orders/42").await?;
    /// println!("{:?}", inspection.holder()); // ask the operator: is it this one?
    /// if let Some(seen) = inspection.seen() {
    ///     let report = locks.break_lock("orders/42", seen).await?;
    ///     println!("broken: {}", report.is_broken());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn break_lock(
        &self,
        key: impl AsRef<[u8]>,
        seen: Seen,
    ) -> Result<BreakReport, BreakError> {
        let key = self
            .client()
            .key(key.as_ref())
            .map_err(|(key, error)| BreakError::Key { key, error })?;
        match self.client().break_lock(&key, seen).await {
            Ok(Some(answers)) => BreakReport::collect(key, answers),
            Ok(None) => Err(BreakError::Outage {
                key,
                nodes: SilentNode::stalled(),
            }),
            Err(ended) => Err(BreakError::ended(key, ended)),
        }
    }
}

#[cfg(test)]
mod tests {
    use tenure_core::{NodeId, Words};

    use super::*;
    use crate::link::handle::NoAnswer;

    /// A node that answered so at first, and at last.
    fn at(answer: Option<KeyBreak>, last: Last) -> AtNode {
        let silent = || NoAnswer::now(Words::fixed("it did not answer in time"));
        AtNode::new(NodeId::new(0), answer.ok_or_else(silent), last)
    }

    /// What is told if the nodes answer so; none where one does not.
    fn report(nodes: &[AtNode]) -> BreakReport {
        let named = nodes.iter().map(|at| ("node".to_owned(), at.clone()));
        BreakReport::collect(Key::new(*b"k"), named.collect()).expect("a node answered")
    }

    #[test]
    fn a_lock_is_broken_where_its_holder_has_no_quorum_any_more() {
        use KeyBreak::{Deleted, Gone, HandedOn, Taken};
        use Last::{Silent, Took, Without};
        let deleted = || at(Some(Deleted), Without);
        let again = || at(Some(Deleted), Took);
        let unheard = || at(Some(Deleted), Silent);
        let silent = || at(None, Silent);
        let gone = || at(Some(Gone), Without);
        let taken = || at(Some(Taken), Without);
        for (answers, broken, over) in [
            (&[again()][..], true, true),
            (&[at(Some(HandedOn), Took)], true, true),
            (&[gone()], false, true),
            (&[taken()], false, true),
            (&[deleted(), deleted(), silent()], true, true),
            (&[deleted(), gone(), silent()], true, true),
            (&[deleted(), silent(), silent()], false, false),
            (&[taken(), gone(), taken()], false, true),
            (&[deleted(), deleted(), silent(), silent()], true, true),
            (&[again(), deleted(), gone()], true, true),
            (&[again(), again(), deleted()], false, false),
            (&[again(), deleted(), silent()], false, false),
            (&[deleted(), unheard(), unheard()], false, false),
            (&[deleted(), gone(), unheard()], true, true),
        ] {
            let report = report(answers);
            let told = (report.is_broken(), report.is_over());
            assert_eq!(told, (broken, over), "{answers:?}");
        }
    }

    #[test]
    fn a_refusal_is_misuse_and_silence_an_outage_where_no_node_answers() {
        let words = Words::fixed("NOPERM this user has no permissions to run 'evalsha'");
        let refused = NoAnswer {
            why: words,
            refused: true,
        };
        let silent = NoAnswer::now(Words::fixed("it did not answer in time"));
        let told = |answers: &[&NoAnswer]| {
            let silent = |why: &NoAnswer| Err(why.clone());
            let at = |why| AtNode::new(NodeId::new(0), silent(why), Last::Silent);
            let answers = answers.iter().map(|why| ("node".to_owned(), at(why)));
            BreakReport::collect(Key::new(*b"k"), answers.collect()).expect_err("nobody answers")
        };
        let error = told(&[&silent, &refused]);
        assert!(error.is_misuse() && !error.is_outage(), "{error}");
        assert!(error.to_string().contains("NOPERM"), "{error}");
        let error = told(&[&silent, &silent]);
        assert!(error.is_outage() && !error.is_misuse(), "{error}");
        assert!(error.to_string().contains("not known"), "{error}");
    }
}
