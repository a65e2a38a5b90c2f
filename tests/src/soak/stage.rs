//! The soak as a whole: servers, processes and faults begin, strike and end here.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use clap::ValueEnum as _;
use rustix::process::{Pid, Signal, kill_process};

use super::event::Event;
use super::judge::Judge;
use super::kind::Kind;
use super::report::{self, Row};
use super::schedule::{self, Fault};
use super::servers::Servers;
use super::{Broken, PROCESSES, SERVED, TTL, clock};
use crate::live::process::{bound_to_us, spawn};
use crate::live::tls::Certificates;
use crate::live::wait::pause;
use crate::live::{Options, Proxy, RedisServer};

/// The calm before the first fault and after the last one.
const CALM: Duration = Duration::from_secs(15);
/// How often it is looked whether all processes live.
const LOOK: Duration = Duration::from_millis(200);

/// What is asked for.
pub(super) struct Plan {
    /// This program.
    pub(super) program: PathBuf,
    /// Of which kind the servers are.
    pub(super) kind: Kind,
    pub(super) seed: u64,
    pub(super) broken: Option<Broken>,
    /// For how long faults strike.
    pub(super) faults: Duration,
    /// Those of the server, if its clients speak TLS.
    pub(super) certificates: Option<Certificates>,
}

/// A process that takes locks.
struct Actor {
    number: usize,
    child: Child,
    reader: JoinHandle<()>,
}

struct Stage<'a> {
    plan: &'a Plan,
    began: u64,
    servers: Servers,
    store: RedisServer,
    actors: Vec<Actor>,
    next: usize,
    told: (Sender<Told>, Receiver<Told>),
    judge: Judge,
}

/// Who told it; nothing if the line is none of ours.
type Told = (usize, Option<Event>);

/// Runs a soak, and says whether all is well.
pub(super) async fn play(plan: &Plan) -> bool {
    let (calm, schedule) = match plan.broken {
        None => (CALM, schedule::draw(plan.kind, plan.seed, plan.faults)),
        Some(broken) => (CALM / 5, schedule::of_broken(broken)),
    };
    println!("seed {}: {} faults", plan.seed, schedule.len());
    for (pause, fault) in &schedule {
        println!("  after {pause:?}: {fault}");
    }
    let mut stage = Stage::begin(plan).await;
    stage.pass(calm + plan.kind.warms_up()).await;
    stage.judge.settled();
    for (pause, fault) in schedule {
        stage.pass(pause).await;
        let now = Duration::from_nanos(clock::now() - stage.began);
        println!("{now:>8.1?} {fault}");
        stage.strike(fault).await;
    }
    stage.judge.healed(clock::now());
    stage.pass(calm).await;
    let busy = stage.servers.connections().await;
    stage.end().await;
    let mut more = stage.left_at_the_server().await;
    let most = stage.servers.most_connections();
    if busy > most {
        let what = format!("{busy} connections are open");
        stage.judge.wrong(what);
    }
    more.push(Row::new("connections at the end of the calm", busy, most));
    let judge = std::mem::replace(&mut stage.judge, Judge::new(plan.kind));
    let (mut rows, wrong) = judge.verdict();
    rows.append(&mut more);
    report::print(&rows);
    for what in &wrong {
        println!("WRONG: {what}");
    }
    let verdict = if wrong.is_empty() { "well" } else { "FAILED" };
    println!("soak with seed {}: {verdict}", plan.seed);
    wrong.is_empty()
}

impl<'a> Stage<'a> {
    async fn begin(plan: &'a Plan) -> Self {
        let mut stage = Self {
            plan,
            began: clock::now(),
            store: RedisServer::start(Options::new()).await,
            servers: Servers::start(plan.kind, plan.certificates.as_ref()).await,
            actors: Vec::new(),
            next: 1,
            told: mpsc::channel(),
            judge: Judge::new(plan.kind),
        };
        for place in 0..PROCESSES {
            let actor = stage.actor(place);
            stage.actors.push(actor);
        }
        stage
    }

    /// Starts a process that takes locks through the proxy of this place.
    fn actor(&mut self, place: usize) -> Actor {
        let number = self.next;
        self.next += 1;
        let mut command = bound_to_us(&self.plan.program);
        command.args(["--seed", &self.plan.seed.to_string()]);
        if let Some(broken) = self.plan.broken {
            let value = broken.to_possible_value().expect("none is skipped");
            command.args(["--break", value.get_name()]);
        }
        command.args(["process", "--number", &number.to_string()]);
        self.servers.reached_by(&mut command, place);
        if let Some(certificates) = &self.plan.certificates {
            command
                .arg("--authority")
                .arg(certificates.file("authority.pem"));
        }
        command
            .args(["--store", &self.store.url()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = spawn(command).expect("this program can be started again");
        let mut lines = BufReader::new(child.stdout.take().expect("it is a pipe"));
        let told = self.told.0.clone();
        let reader = std::thread::spawn(move || {
            let mut line = String::new();
            // Half a line is the last word of a process that was killed.
            while lines.read_line(&mut line).is_ok() && line.ends_with('\n') {
                let _ = told.send((number, Event::read(line.trim_end())));
                line.clear();
            }
        });
        Actor {
            number,
            child,
            reader,
        }
    }

    /// Time goes by, in which the judge hears what is told.
    async fn pass(&mut self, length: Duration) {
        let until = clock::now() + u64::try_from(length.as_nanos()).expect("no century");
        loop {
            self.hear();
            self.servers.forget_commands();
            for actor in &mut self.actors {
                if let Ok(Some(status)) = actor.child.try_wait() {
                    let number = actor.number;
                    self.judge
                        .wrong(format!("process {number} has ended by itself: {status}"));
                }
            }
            let left = Duration::from_nanos(until.saturating_sub(clock::now()));
            if left.is_zero() {
                return;
            }
            pause(left.min(LOOK)).await;
        }
    }

    fn hear(&mut self) {
        for (process, event) in self.told.1.try_iter() {
            match event {
                Some(event) => self.judge.hear(process, event),
                None => self
                    .judge
                    .wrong(format!("process {process} says what is no event")),
            }
        }
    }

    /// A fault strikes, lasts, and is mended.
    // tidy: long: each fault has a few lines of its own.
    async fn strike(&mut self, fault: Fault) {
        match fault {
            Fault::Kill { process } => self.replace(process),
            Fault::Stop { process, length } => {
                self.signal(process, Signal::STOP);
                self.pass(length).await;
                self.signal(process, Signal::CONT);
            }
            Fault::Cut { process } => {
                for proxy in self.servers.proxies(process) {
                    proxy.cut().await;
                }
            }
            Fault::Silence { process, length } => {
                self.for_each_proxy(process, Proxy::partition);
                self.pass(length).await;
                self.for_each_proxy(process, Proxy::heal);
            }
            Fault::Apart {
                process,
                index,
                length,
            } => {
                self.servers.proxies(process)[index].partition();
                self.pass(length).await;
                self.servers.proxies(process)[index].heal();
            }
            Fault::Slow {
                process,
                each,
                length,
            } => {
                self.for_each_proxy(process, |proxy| proxy.delay(each));
                self.pass(length).await;
                self.for_each_proxy(process, |proxy| proxy.delay(Duration::ZERO));
            }
            Fault::RestartEmpty { host } => {
                self.servers.restart_empty(host, &mut self.judge).await;
            }
            Fault::RestartWithData { host } => self.servers.restart_with_data(host).await,
            Fault::Down { host, length } => {
                self.servers.at_mut(host).kill();
                self.pass(length).await;
                self.servers.restart_with_data(host).await;
            }
            Fault::Stands { host, length } => {
                self.servers.at(host).pause();
                self.pass(length).await;
                self.servers.at(host).resume();
            }
            Fault::Failover { by } => self.servers.fail_over(by, &mut self.judge).await,
            Fault::PrimaryDies => self.servers.primary_dies(&mut self.judge).await,
            Fault::PrimaryDiesAhead { length } => {
                self.servers.leave_the_replica_behind().await;
                self.pass(length).await;
                self.servers.primary_dies(&mut self.judge).await;
            }
            Fault::PrimaryStands => self.servers.primary_stands(&mut self.judge).await,
            Fault::SentinelDown { index, length } => {
                self.servers.sentinel(index).kill();
                self.pass(length).await;
                self.servers.sentinel(index).restart_with_data().await;
                self.servers.settled().await;
            }
            Fault::Full { host, length } => {
                let limit = |bytes| ["CONFIG", "SET", "maxmemory", bytes];
                self.servers.at(host).cmd::<()>(&limit("1")).await;
                self.pass(length).await;
                self.servers.at(host).cmd::<()>(&limit("0")).await;
            }
            Fault::ClientKill { host } => {
                let kill = ["CLIENT", "KILL", "USER", "default"];
                self.servers.at(host).cmd::<u64>(&kill).await;
            }
            Fault::ScriptFlush { host } => {
                let flush = ["SCRIPT", "FLUSH"];
                self.servers.at(host).cmd::<()>(&flush).await;
            }
        }
    }

    fn for_each_proxy(&self, process: usize, what: impl Fn(&Proxy)) {
        self.servers.proxies(process).iter().for_each(what);
    }

    fn signal(&self, place: usize, signal: Signal) {
        let pid = Pid::from_child(&self.actors[place].child);
        kill_process(pid, signal).expect("our own child is there");
    }

    /// Kills the process at this place, and starts another one there.
    fn replace(&mut self, place: usize) {
        let next = self.actor(place);
        let Actor {
            number,
            mut child,
            reader,
        } = std::mem::replace(&mut self.actors[place], next);
        child.kill().expect("our own child can be killed");
        child.wait().expect("our own child can be waited for");
        reader.join().expect("what it told was read");
        self.hear();
        self.judge.died(number);
    }

    /// Tells all processes to end, and waits until they have.
    async fn end(&mut self) {
        let mut actors = std::mem::take(&mut self.actors);
        for Actor { child, .. } in &mut actors {
            let stdin = child.stdin.as_mut().expect("it is a pipe");
            // One that has ended by itself was told of before.
            let _ = stdin.write_all(b"end\n");
        }
        let bound = clock::now() + u64::try_from((SERVED * 2).as_nanos()).expect("no century");
        for Actor {
            number,
            mut child,
            reader,
        } in actors
        {
            while let Ok(None) = child.try_wait() {
                if clock::now() > bound {
                    self.judge.wrong(format!("process {number} does not end"));
                    child.kill().expect("our own child can be killed");
                }
                self.pass(LOOK).await;
            }
            if !child.wait().is_ok_and(|status| status.success()) {
                self.judge
                    .wrong(format!("process {number} did not end well"));
            }
            reader.join().expect("what it told was read");
        }
        self.hear();
    }

    /// One TTL after the end, nothing is left but what the next grants need.
    // Law: No orphan
    async fn left_at_the_server(&mut self) -> Vec<Row> {
        let open = self.servers.connections().await;
        if open > 0 {
            self.judge.wrong(format!("{open} connections are left"));
        }
        self.pass(TTL).await;
        let keys = self.servers.keys().await;
        for (key, left) in &keys {
            if !self.plan.kind.keeps(key) || *left < 0 {
                let what = format!("the key {key} is left, and lives for {left} ms");
                self.judge.wrong(what);
            }
        }
        vec![
            Row::new("connections after the end", open, 0),
            Row::new(
                "keys one TTL after the end",
                keys.len(),
                self.plan.kind.kept(),
            ),
        ]
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        for actor in &mut self.actors {
            let _ = actor.child.kill();
            let _ = actor.child.wait();
        }
    }
}
