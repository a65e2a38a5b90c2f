//! Requests that are written together, and what their replies mean.

use std::iter;

use redis::{Pipeline, RedisError, Value};
use tenure_core::{Key, OpKind, Request, RequestId};

use crate::protocol::decode::{self, Meaning, miscounted};
use crate::protocol::encode::Encoder;
use crate::protocol::marker::NodeSet;
use crate::protocol::scripts::Script;

/// How many locks one call may have. A longer script would keep other clients of the server
/// waiting.
// Law: Bounded work
pub(crate) const LOCKS_PER_CALL: usize = 128;

/// The place of a command within its batch: a smaller number is written earlier. Locks are released
/// before others are acquired, so that someone who drops a guard and takes the same key again does
/// not meet their own lock. A release that follows a request of its own lease stays behind it.
// Law: No orphan
fn place(request: &Request, before: Option<&Request>) -> u8 {
    match request.op.kind() {
        // The core hands out the requests of one lease one after the other.
        OpKind::Release if before.is_some_and(|r| r.id.lease == request.id.lease) => 4,
        OpKind::Release => 0,
        OpKind::Renew => 1,
        OpKind::Confirm | OpKind::Repair => 2,
        OpKind::Take | OpKind::Acquire => 3,
    }
}

/// The requests behind one write, in the order of their commands.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    ids: Vec<RequestId>,
    /// In the order of the commands.
    calls: Vec<Call>,
}

/// A command.
#[derive(Debug)]
struct Call {
    kind: OpKind,
    /// How many of the requests it carries.
    count: usize,
    /// The key, if it carries one request only.
    key: Option<Key>,
}

impl Batch {
    /// Encodes the requests as `commands`. Those of one kind share calls, if they may. The requests
    /// of one lease keep their order.
    pub(crate) fn encode(
        &mut self,
        requests: &[Request],
        may_share: impl Fn(&Request) -> bool,
        encoder: &mut Encoder,
        commands: &mut Pipeline,
    ) {
        self.ids.clear();
        self.calls.clear();
        let before = iter::once(None).chain(requests.iter().map(Some));
        let mut order: Vec<_> = requests
            .iter()
            .zip(before)
            .map(|(request, before)| {
                let kind = request.op.kind();
                let shares = Script::Lease(kind).layout().answers.shares_calls();
                let alone = !(shares && may_share(request));
                ((place(request, before), alone, kind), request)
            })
            .collect();
        order.sort_by_key(|((place, alone, _), _)| (*place, *alone));
        for of_a_kind in order.chunk_by(|one, next| one.0 == next.0) {
            let ((_, alone, kind), _) = of_a_kind[0];
            for call in of_a_kind.chunks(if alone { 1 } else { LOCKS_PER_CALL }) {
                let requests = call.iter().map(|(_, request)| *request);
                self.ids.extend(requests.clone().map(|request| request.id));
                let key = match call {
                    [(_, request)] => Some(request.key.clone()),
                    _ => None,
                };
                self.calls.push(Call {
                    kind,
                    count: call.len(),
                    key,
                });
                commands.add_command(encoder.call(kind, requests));
            }
        }
    }

    /// Reads the results: `each` is called once for every request, with its key if its call had no
    /// other.
    pub(crate) fn read(
        &mut self,
        result: Result<Vec<Value>, RedisError>,
        node_set: Option<&NodeSet>,
        mut each: impl FnMut(RequestId, Option<&Key>, Meaning),
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
        for Call { kind, count, key } in self.calls.drain(..) {
            let result = match &error {
                Some(error) => Err(error.clone()),
                None => values.next().ok_or_else(miscounted),
            };
            let answer = |meaning| {
                if let Some(id) = ids.next() {
                    each(id, key.as_ref(), meaning);
                }
            };
            decode::replies(kind, result, count, node_set, answer);
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

    use tenure_core::Op;

    use super::*;
    use crate::protocol::testing::acquires;

    #[test]
    fn a_call_handles_128_locks_at_most_however_many_are_given() {
        let ttl = Duration::from_secs(1);
        for op in [None, Some(Op::Release), Some(Op::Renew { ttl })] {
            let mut requests = acquires(300);
            for request in &mut requests {
                request.op = op.unwrap_or(request.op);
            }
            let mut commands = Pipeline::new();
            let mut batch = Batch::default();
            batch.encode(&requests, |_| true, &mut Encoder::new(), &mut commands);
            let counts: Vec<_> = batch.calls.iter().map(|call| call.count).collect();
            assert_eq!(counts, [128, 128, 44], "{op:?}");
            assert_eq!(commands.len(), 3);
            batch.encode(&requests, |_| false, &mut Encoder::new(), &mut commands);
            assert_eq!(batch.calls.len(), 300, "one by one");
        }
    }
}
