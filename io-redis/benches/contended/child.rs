//! A process with one client, whose tasks wait for one key. It is told when to begin and when to
//! end, notes when each task asked, was granted and gave back, and says so at its end.
//!
//! All times are by the clock that the processes of the machine share.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{join_all, select};
use support::machine::{Clocks, now};
use tenure_redis::seams::{BootClock, Clock as _};

use crate::clients::{Client, Who};

/// The first argument of such a process.
pub(crate) const CHILD: &str = "--child";
/// What it says when it is connected.
pub(crate) const READY: &str = "ready";

/// What its tasks do.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) who: Who,
    pub(crate) url: String,
    pub(crate) key: String,
    pub(crate) tasks: u64,
    pub(crate) held: Duration,
    /// From the end of a release to the next time that the task asks.
    pub(crate) between: Duration,
    /// Each task asks once, and not again and again.
    pub(crate) once: bool,
}

/// When they do it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) begin: Duration,
    /// From when to when the process's work is measured.
    pub(crate) watched: [Duration; 2],
    /// Who still waits then goes.
    pub(crate) end: Duration,
}

/// One wait of a task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    pub(crate) task: u64,
    pub(crate) asked: Duration,
    /// When it was granted, and when its release began.
    pub(crate) got: Option<[Duration; 2]>,
}

/// What a process says at its end.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) waits: Vec<Wait>,
    /// How much of a core it took while it was watched.
    pub(crate) cpu: f64,
}

impl Job {
    /// As arguments of a process.
    pub(crate) fn words(&self) -> Vec<String> {
        let [held, between] = [self.held, self.between].map(nanos);
        let (who, once) = (self.who.name().to_owned(), self.once.to_string());
        let (url, key, tasks) = (self.url.clone(), self.key.clone(), self.tasks.to_string());
        vec![CHILD.to_owned(), who, url, key, tasks, held, between, once]
    }

    /// That of this process, if it is one of these.
    pub(crate) fn of_this_process() -> Option<Self> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let [first, who, url, key, tasks, held, between, once] = &words[..] else {
            return None;
        };
        (first == CHILD).then(|| Self {
            who: Who::by_name(who).expect("one of them"),
            url: url.clone(),
            key: key.clone(),
            tasks: tasks.parse().expect("a number"),
            held: duration(held),
            between: duration(between),
            once: once.parse().expect("yes or no"),
        })
    }

    /// Does it, and says how it went.
    pub(crate) async fn run(self) {
        let client = Client::connect(self.who, &self.url).await;
        println!("{READY}");
        let line = tokio::task::spawn_blocking(|| std::io::stdin().lines().next());
        let line = line.await.expect("no panic");
        let times = Times::parse(&line.expect("a line").expect("of text"));
        wait_until(times.begin).await;
        let cpu = tokio::spawn(work_of_a_span(times.watched));
        let waits = Arc::new(Mutex::new(Vec::new()));
        let tasks = (0..self.tasks).map(|task| {
            let waits = Arc::clone(&waits);
            tokio::spawn(
                self.clone()
                    .task(client.of_task(task), task, times.end, waits),
            )
        });
        select(pin!(join_all(tasks)), pin!(wait_until(times.end))).await;
        wait_until(times.watched[1]).await;
        let cpu = cpu.await.expect("no panic");
        let waits = waits.lock().unwrap_or_else(PoisonError::into_inner);
        print!(
            "{}",
            Report {
                waits: waits.clone(),
                cpu
            }
            .text()
        );
    }

    async fn task(
        self,
        mut client: Client,
        task: u64,
        end: Duration,
        waits: Arc<Mutex<Vec<Wait>>>,
    ) {
        let waits = || waits.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let asked = now();
            if asked >= end {
                return;
            }
            let at = {
                let mut waits = waits();
                waits.push(Wait {
                    task,
                    asked,
                    got: None,
                });
                waits.len() - 1
            };
            let held = client.lock(&self.key).await;
            let granted = now();
            // Who holds it when all ends has had it, too.
            waits()[at].got = Some([granted; 2]);
            wait_until(granted + self.held).await;
            waits()[at].got = Some([granted, now()]);
            client.release(&self.key, held).await;
            if self.once {
                return;
            }
            wait_until(now() + self.between).await;
        }
    }
}

async fn work_of_a_span([from, to]: [Duration; 2]) -> f64 {
    wait_until(from).await;
    let before = Clocks::now();
    wait_until(to).await;
    let Clocks { passed, worked } = Clocks::now().since(before);
    worked.as_secs_f64() / passed.as_secs_f64()
}

/// Waits for this time of [`now`]. Does not yield if it has passed.
pub(crate) async fn wait_until(at: Duration) {
    let left = at.saturating_sub(now());
    if !left.is_zero() {
        let clock = BootClock::new();
        clock.sleep_until(clock.now() + left).await;
    }
}

impl Times {
    /// As a line that the process reads.
    pub(crate) fn line(self) -> String {
        let [from, to] = self.watched;
        [self.begin, from, to, self.end].map(nanos).join(" ") + "\n"
    }

    fn parse(line: &str) -> Self {
        let times: Vec<_> = line.split(' ').map(duration).collect();
        let [begin, from, to, end] = times[..] else {
            panic!("four times: {line}");
        };
        let watched = [from, to];
        Self {
            begin,
            watched,
            end,
        }
    }
}

impl Report {
    fn text(&self) -> String {
        let mut text = format!("{}\n", self.cpu);
        for Wait { task, asked, got } in &self.waits {
            let got = got.iter().flatten().map(|at| format!(" {}", nanos(*at)));
            let got: String = got.collect();
            text.push_str(&format!("{task} {}{got}\n", nanos(*asked)));
        }
        text
    }

    /// What the process has said after [`READY`].
    pub(crate) fn parse(mut lines: impl Iterator<Item = String>) -> Self {
        let cpu = lines.next().and_then(|line| line.parse().ok());
        let waits = lines.map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let at = |word| duration(words[word]);
            Wait {
                task: words[0].parse().expect("a number"),
                asked: at(1),
                got: (words.len() == 4).then(|| [at(2), at(3)]),
            }
        });
        Self {
            waits: waits.collect(),
            cpu: cpu.expect("the process has ended well"),
        }
    }
}

fn nanos(time: Duration) -> String {
    time.as_nanos().to_string()
}

fn duration(nanos: &str) -> Duration {
    Duration::from_nanos(nanos.parse().expect("nanoseconds"))
}
