//! What the core says, in the words of facts.

use tenure_core::{AcquireFailure, Answer, Loss as Lost, Op, Refusal, Reply, Request};

use crate::fact::{self, Ask, Cause, Loss, Outcome};

pub(super) const fn cause_of(cause: &AcquireFailure) -> Cause {
    match cause {
        AcquireFailure::Contended { foreign: true, .. } => Cause::Foreign,
        AcquireFailure::Contended { .. } => Cause::Contended,
        AcquireFailure::Quarantined { .. } => Cause::Quarantined,
        AcquireFailure::Outage { .. } => Cause::Outage,
        AcquireFailure::Rejected { .. } => Cause::Rejected,
        AcquireFailure::Misuse { .. } => Cause::Misuse,
    }
}

pub(super) const fn loss_of(loss: &Lost) -> Loss {
    match loss {
        Lost::Expired => Loss::Expired,
        Lost::Taken => Loss::Taken,
        Lost::Gone => Loss::Gone,
        Lost::Rejected(_) => Loss::Rejected,
        Lost::Capped => Loss::Capped,
    }
}

pub(super) const fn answer_of(answer: &Answer) -> fact::Answer {
    match answer {
        Answer::Granted { fence, .. } => fact::Answer::Granted(fence.get()),
        Answer::Held { .. } => fact::Answer::Held,
        Answer::Foreign => fact::Answer::Foreign,
        Answer::Quarantined { .. } => fact::Answer::Quarantined,
        Answer::Done => fact::Answer::Done,
        Answer::Gone => fact::Answer::Gone,
        Answer::Taken => fact::Answer::Taken,
    }
}

/// The lease that asks: its number is what its secret begins with.
pub(super) fn lease_of(request: &Request) -> u32 {
    let secret = request.token.secret.expose();
    u32::from_le_bytes([secret[0], secret[1], secret[2], secret[3]])
}

pub(super) const fn ask_of(op: &Op) -> Ask {
    match op {
        Op::Acquire { .. } => Ask::Acquire,
        Op::Confirm { .. } => Ask::Confirm,
        Op::Renew { .. } => Ask::Renew,
        Op::Repair { .. } => Ask::Repair,
        Op::Release => Ask::Release,
    }
}

pub(super) fn outcome_of(reply: &Reply) -> Outcome {
    Outcome::Answered(match reply {
        Reply::Applied(answer) => answer_of(answer),
        Reply::NotApplied(Refusal::Again) => fact::Answer::Again,
        Reply::NotApplied(Refusal::Unavailable) => fact::Answer::Unavailable,
        Reply::NotApplied(Refusal::Rejected(_)) => fact::Answer::Rejected,
        Reply::NotApplied(Refusal::Misuse(_)) => fact::Answer::Misuse,
        Reply::Unknown => return Outcome::Unknown,
    })
}
