//! Tasks that take one key again and again, in one process or in two: how often it is handed on,
//! how long it is idle between two of them, what that takes, and who gets it.

use std::time::Duration;

use support::machine::now;
use support::servers::{Servers, Told};

use crate::child::{Job, Report, Times, wait_until};
use crate::clients::{PARTIES, Who};
use crate::parties::{Commands, Party, SOON};
use crate::{Effort, key};

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) label: &'static str,
    /// In all processes.
    pub(crate) tasks: u64,
    pub(crate) processes: u64,
    pub(crate) held: Duration,
    /// From the end of a release to the next time that the task asks.
    pub(crate) between: Duration,
}

/// How one of them did in a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// How many grants, also to the task that had just released.
    pub(crate) grants: usize,
    /// How often in a second it went to another task.
    pub(crate) hand_offs: f64,
    /// Microseconds between the begin of a release and the next grant: the median, and what 99 of
    /// 100 do not exceed.
    pub(crate) idle: [f64; 2],
    /// How many grants the tasks had that had most and least.
    pub(crate) most: u64,
    pub(crate) least: u64,
    /// In milliseconds, also of who was not granted by the end.
    pub(crate) longest: f64,
    /// For a grant.
    pub(crate) spent: Spent,
}

/// What the server and the clients do for a grant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    /// Commands that the server runs, those that scripts call too.
    pub(crate) calls: f64,
    /// Microseconds of a processor, by the server.
    pub(crate) server: f64,
    /// … by all clients.
    pub(crate) clients: f64,
}

/// All that was measured of a scenario, in the order of [`Who::ALL`].
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) scenario: Scenario,
    pub(crate) rounds: Vec<[Turn; PARTIES]>,
    /// Commands that clients send for a grant.
    pub(crate) commands: [f64; PARTIES],
}

/// Measures a scenario.
pub(crate) async fn measure(servers: &mut Servers, scenario: Scenario, effort: Effort) -> Measured {
    let mut rounds = Vec::new();
    for round in 0..effort.rounds {
        let mut turns = [None; PARTIES];
        // Forwards and backwards, so that nobody is always behind the same one.
        let step = if round % 2 == 0 { 1 } else { PARTIES - 1 };
        for turn in 0..PARTIES {
            let at = (round + turn * step) % PARTIES;
            let (turn, _) = scenario
                .turn(servers, Who::ALL[at], effort.turn, false)
                .await;
            turns[at] = Some(turn);
        }
        rounds.push(turns.map(|turn| turn.expect("everybody had a turn")));
    }
    let mut commands = [0.0; PARTIES];
    for (commands, who) in commands.iter_mut().zip(Who::ALL) {
        (_, *commands) = scenario.turn(servers, who, effort.turn, true).await;
    }
    Measured {
        scenario,
        rounds,
        commands,
    }
}

impl Scenario {
    /// One turn, and how many commands were sent for each grant, if they are counted.
    async fn turn(
        self,
        servers: &mut Servers,
        who: Who,
        span: Duration,
        counted: bool,
    ) -> (Turn, f64) {
        let url = servers.urls().swap_remove(0);
        let job = Job {
            who,
            url: url.clone(),
            key: key(),
            tasks: self.tasks / self.processes,
            held: self.held,
            between: self.between,
            once: false,
        };
        let mut parties: Vec<_> = (0..self.processes).map(|_| Party::start(&job)).collect();
        let commands = counted.then(|| Commands::of(&url));
        let begin = now() + SOON;
        let end = begin + span;
        let watched = [begin, end];
        for party in &mut parties {
            party.tell(Times {
                begin,
                watched,
                end,
            });
        }
        let before = servers.ask().await;
        wait_until(end).await;
        let told = servers.ask().await.since(&before);
        let commands = commands.map_or(0, Commands::count);
        let reports: Vec<_> = parties.into_iter().map(Party::report).collect();
        let turn = Turn::of(&reports, &told, job.tasks, end, span);
        (turn, commands as f64 / turn.grants as f64)
    }
}

impl Turn {
    fn of(reports: &[Report], told: &Told, tasks: u64, end: Duration, span: Duration) -> Self {
        let (mut got, mut each, mut longest) = (Vec::new(), Vec::new(), Duration::ZERO);
        for (process, report) in reports.iter().enumerate() {
            let mut grants = vec![0; tasks as usize];
            for wait in &report.waits {
                let granted = wait.got.map_or(end, |[granted, _]| granted);
                longest = longest.max(granted.saturating_sub(wait.asked));
                if granted < end {
                    grants[wait.task as usize] += 1;
                    got.extend(wait.got.map(|times| (times, process, wait.task)));
                }
            }
            each.extend(grants);
        }
        got.sort();
        let pairs = || got.windows(2).map(|pair| (pair[0], pair[1]));
        let to_another = pairs().filter(|(one, next)| (one.1, one.2) != (next.1, next.2));
        let idle = pairs().map(|(([_, released], ..), ([granted, _], ..))| {
            assert!(granted >= released, "two had the key at once");
            (granted - released).as_secs_f64() * 1e6
        });
        let mut idle: Vec<f64> = idle.collect();
        idle.sort_by(f64::total_cmp);
        let at = |percent| idle.get(idle.len().saturating_sub(1) * percent / 100);
        let shares: f64 = reports.iter().map(|report| report.cpu).sum();
        let a_grant = |all: f64| all / got.len() as f64;
        let spent = Spent {
            calls: a_grant(told.calls.values().sum::<u64>() as f64),
            server: a_grant(told.cpu),
            clients: a_grant(shares * span.as_secs_f64() * 1e6),
        };
        Self {
            spent,
            grants: got.len(),
            hand_offs: to_another.count() as f64 / span.as_secs_f64(),
            idle: [50, 99].map(|percent| at(percent).copied().unwrap_or(f64::NAN)),
            most: each.iter().copied().max().unwrap_or(0),
            least: each.iter().copied().min().unwrap_or(0),
            longest: longest.as_secs_f64() * 1e3,
        }
    }
}
