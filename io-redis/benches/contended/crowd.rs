//! Ten thousand tasks of one process that wait for one key, while another process holds it: what
//! that takes, and how soon all are served in turn once it is freed.

use std::time::Duration;

use support::machine::now;

use crate::child::{Job, Times, wait_until};
use crate::clients::{PARTIES, Who};
use crate::parties::{Commands, Party, SOON};
use crate::{Effort, key};

pub(crate) const WAITERS: u64 = 10_000;
/// As people write it.
pub(crate) const LABEL: &str = "10,000 waiters";

/// How one of them did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    /// In a second, while the key is held.
    pub(crate) commands: f64,
    /// Per cent of a core that the waiters' process takes while the key is held.
    pub(crate) cpu: f64,
    /// How many were served in the time that they had.
    pub(crate) served: u64,
    /// Seconds from the release to the last of these.
    pub(crate) took: f64,
}

/// Measures all of them in turns. The rounds are in the order of [`Who::ALL`].
pub(crate) async fn measure(url: &str, effort: Effort) -> Vec<[Crowd; PARTIES]> {
    let mut rounds = Vec::new();
    for round in 0..effort.crowds {
        let mut crowds = [None; PARTIES];
        for turn in 0..PARTIES {
            let at = (round + turn) % PARTIES;
            crowds[at] = Some(crowd(url, Who::ALL[at], effort).await);
        }
        rounds.push(crowds.map(|crowd| crowd.expect("everybody had a turn")));
    }
    rounds
}

async fn crowd(url: &str, who: Who, effort: Effort) -> Crowd {
    let holder = Job {
        who,
        url: url.to_owned(),
        key: key(),
        tasks: 1,
        // Until nothing slows the server down any more.
        held: SOON + effort.settled + effort.idle + SOON,
        between: Duration::ZERO,
        once: true,
    };
    let waiters = Job {
        tasks: WAITERS,
        held: Duration::ZERO,
        ..holder.clone()
    };
    let (mut holding, mut waiting) = (Party::start(&holder), Party::start(&waiters));
    let held = now() + SOON;
    let begin = held + SOON;
    let idle = [begin + effort.settled, begin + effort.settled + effort.idle];
    let (watched, end) = (idle, idle[1] + SOON + effort.served);
    holding.tell(Times {
        begin: held,
        watched,
        end,
    });
    waiting.tell(Times {
        begin,
        watched,
        end,
    });
    wait_until(idle[0]).await;
    let commands = Commands::of(url);
    wait_until(idle[1]).await;
    let sent = commands.count();
    let (held, waited) = (holding.report(), waiting.report());
    let released = held.waits.first().and_then(|wait| wait.got);
    let [_, released] = released.expect("the holder has had it");
    let served = || waited.waits.iter().filter_map(|wait| wait.got);
    let last = served().map(|[granted, _]| granted).max();
    Crowd {
        commands: sent as f64 / effort.idle.as_secs_f64(),
        cpu: waited.cpu * 100.0,
        served: served().count() as u64,
        took: last.unwrap_or(end).saturating_sub(released).as_secs_f64(),
    }
}
