//! Requests that are written together, and what their replies mean.

use redis::{Pipeline, RedisError, Value};
use tenure_core::{Op, Refusal, Reply, Request, RequestId};

use crate::link::Quarantine;
use crate::link::reply::{self, Meaning, Signal};
use crate::link::script::Encoder;
use crate::link::wire::miscounted;

/// How many locks one call renews at most: a longer script would hold up the server for others.
pub(crate) const RENEWALS_PER_CALL: usize = 128;

/// How the replies of one command are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Acquire,
    Plain,
    Renew,
}

/// The requests behind one write, in the order of their commands.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    ids: Vec<RequestId>,
    /// The kind of each command, and how many of the requests it carries.
    calls: Vec<(Kind, usize)>,
}

impl Batch {
    /// Encodes the requests behind `commands`. Renewals share calls where `share` allows it; the
    /// requests of one lease keep their order.
    pub(crate) fn encode(
        &mut self,
        requests: &[Request],
        share: bool,
        encoder: &mut Encoder,
        commands: &mut Pipeline,
    ) {
        self.ids.clear();
        self.calls.clear();
        let is_renewal = |request: &Request| matches!(request.op, Op::Renew { .. });
        let mut rest = requests;
        while let Some((first, behind)) = rest.split_first() {
            if !is_renewal(first) || !share {
                let kind = match first.op {
                    Op::Acquire { .. } => Kind::Acquire,
                    Op::Renew { .. } => Kind::Renew,
                    Op::Confirm { .. } | Op::Repair { .. } | Op::Release => Kind::Plain,
                };
                self.ids.push(first.id);
                self.calls.push((kind, 1));
                commands.add_command(encoder.request(first));
                rest = behind;
                continue;
            }
            // A run of renewals. The core lets those that are due together be polled together, so
            // runs are long; what is between two runs is not overtaken.
            let run = rest.iter().take_while(|request| is_renewal(request));
            let count = run.take(RENEWALS_PER_CALL).count();
            let (run, behind) = rest.split_at(count);
            self.ids.extend(run.iter().map(|request| request.id));
            self.calls.push((Kind::Renew, count));
            commands.add_command(encoder.renew(run));
            rest = behind;
        }
    }

    /// Reads the results: `each` is called once for every request.
    pub(crate) fn read(
        &mut self,
        result: Result<Vec<Value>, RedisError>,
        quarantine: Option<&Quarantine>,
        mut each: impl FnMut(RequestId, Meaning),
    ) {
        let result = match result {
            Ok(values) if values.len() != self.calls.len() => Err(miscounted()),
            result => result,
        };
        let (mut values, error) = match result {
            Ok(values) => (values.into_iter(), None),
            Err(error) => (Vec::new().into_iter(), Some(error)),
        };
        let mut ids = self.ids.drain(..);
        for (kind, count) in self.calls.drain(..) {
            let result = match &error {
                Some(error) => Err(error.clone()),
                None => values.next().ok_or_else(miscounted),
            };
            let mut answer = |meaning| {
                if let Some(id) = ids.next() {
                    each(id, meaning);
                }
            };
            match kind {
                Kind::Acquire => answer(reply::acquire(result, quarantine)),
                Kind::Plain => answer(reply::plain(result)),
                Kind::Renew => reply::renew(result, count, |_, meaning| {
                    answer(match meaning {
                        // Nothing was touched, and the keys go one by one from now on.
                        (_, Some(Signal::CrossSlot)) if count > 1 => {
                            (Reply::NotApplied(Refusal::Again), Some(Signal::CrossSlot))
                        }
                        meaning => meaning,
                    });
                }),
            }
        }
    }

    /// Gives up what has no reply: `each` is called once for every request.
    pub(crate) fn abandon(&mut self, each: impl FnMut(RequestId)) {
        self.calls.clear();
        self.ids.drain(..).for_each(each);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::link::testing::acquires;

    #[test]
    fn a_call_renews_128_locks_at_most_however_many_are_given() {
        let mut requests = acquires(300);
        for request in &mut requests {
            let ttl = Duration::from_secs(1);
            request.op = Op::Renew { ttl };
        }
        let mut commands = Pipeline::new();
        let mut batch = Batch::default();
        batch.encode(&requests, true, &mut Encoder::new(), &mut commands);
        assert_eq!(commands.len(), 3);
        assert_eq!(
            batch
                .calls
                .iter()
                .map(|(_, count)| *count)
                .collect::<Vec<_>>(),
            [128, 128, 44]
        );
    }
}
