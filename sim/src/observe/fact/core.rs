//! How answers and outcomes of the core are written as facts.

use tenure_core::{AcquireFailure, Answer as Said, Loss as Lost, Refusal, Reply};

use super::{Answer, Cause, Loss, Outcome};

impl From<&AcquireFailure> for Cause {
    fn from(failure: &AcquireFailure) -> Self {
        match failure {
            AcquireFailure::Contended { .. } => Self::Contended,
            AcquireFailure::QueueFull { .. } => Self::QueueFull,
            AcquireFailure::Foreign { .. } => Self::Foreign,
            AcquireFailure::WrongType { .. } => Self::WrongType,
            AcquireFailure::Quarantined { .. } => Self::Quarantined,
            AcquireFailure::Outage { .. } => Self::Outage,
            AcquireFailure::Unacknowledged { .. } => Self::Unacknowledged,
            AcquireFailure::Rejected { .. } => Self::Rejected,
            AcquireFailure::Misuse { .. } => Self::Misuse,
        }
    }
}

impl From<&Lost> for Loss {
    fn from(loss: &Lost) -> Self {
        match loss {
            Lost::Expired => Self::Expired,
            Lost::Taken => Self::Taken,
            Lost::Gone => Self::Gone,
            Lost::Rejected(_) => Self::Rejected,
            Lost::Capped => Self::Capped,
        }
    }
}

impl From<&Said> for Answer {
    fn from(answer: &Said) -> Self {
        match answer {
            Said::Granted { fence, .. } => Self::Granted(fence.get()),
            Said::Busy => Self::Busy,
            Said::Unfenced => Self::Unfenced,
            Said::Waiting { .. } => Self::Waiting,
            Said::Full => Self::Full,
            Said::Held { .. } => Self::Held,
            Said::Foreign => Self::Foreign,
            Said::WrongType { .. } => Self::WrongType,
            Said::Quarantined { .. } => Self::Quarantined,
            Said::Done => Self::Done,
            Said::Acknowledged { replicas } => Self::Acknowledged(*replicas),
            Said::Gone => Self::Gone,
            Said::Taken => Self::Taken,
        }
    }
}

impl From<&Reply> for Outcome {
    fn from(reply: &Reply) -> Self {
        Self::Answered(match reply {
            Reply::Applied(answer) => answer.into(),
            Reply::NotApplied(Refusal::Again) => Answer::Again,
            Reply::NotApplied(Refusal::NotSent) => return Self::NotSent,
            Reply::NotApplied(Refusal::Unavailable(_)) => Answer::Unavailable,
            Reply::NotApplied(Refusal::Rejected(_)) => Answer::Rejected,
            Reply::NotApplied(Refusal::Misuse(_)) => Answer::Misuse,
            Reply::Unknown(_) => return Self::Unknown,
        })
    }
}
