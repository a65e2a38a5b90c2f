//! The machine: its clocks, its processors, and what it calls itself.

use std::fs;
use std::process::Command;
use std::time::Duration;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, Timespec};

/// The time that has passed, and the time that a processor worked for this process, up to now.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// On the wall.
    pub passed: Duration,
    /// Of a processor.
    pub worked: Duration,
}

impl Clocks {
    /// What they show now.
    #[must_use]
    pub fn now() -> Self {
        Self {
            passed: now(),
            worked: read(ClockId::ProcessCPUTime),
        }
    }

    /// What has passed since then.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            passed: self.passed - before.passed,
            worked: self.worked - before.worked,
        }
    }
}

/// The time by a clock that all processes of the machine share.
#[must_use]
pub fn now() -> Duration {
    read(ClockId::Monotonic)
}

#[allow(
    clippy::disallowed_methods,
    reason = "a bench measures with the machine's clocks"
)]
fn read(clock: ClockId) -> Duration {
    let Timespec { tv_sec, tv_nsec } = rustix::time::clock_gettime(clock);
    let secs = u64::try_from(tv_sec).unwrap_or_default();
    Duration::new(secs, u32::try_from(tv_nsec).unwrap_or_default())
}

/// Keeps this process's main thread and these processes on one core. Dropped, they may go where
/// the main thread was allowed to go before.
pub struct Pinned {
    pids: Vec<Option<Pid>>,
    before: CpuSet,
}

impl Pinned {
    /// None, with a word on standard error, if the system does not let us.
    #[must_use]
    pub fn to_one_core(pids: &[u32]) -> Option<Self> {
        let ids = pids.iter().map(|pid| Pid::from_raw(pid.cast_signed()));
        let pids: Vec<_> = [None].into_iter().chain(ids).collect();
        let before = sched_getaffinity(None).ok()?;
        let core = (0..CpuSet::MAX_CPU).find(|core| before.is_set(*core))?;
        let mut one = CpuSet::new();
        one.set(core);
        let pinned = Self { pids, before };
        if pinned.allow(&one) {
            return Some(pinned);
        }
        eprintln!("not pinned to one core: what depends on who runs first will vary");
        None
    }

    fn allow(&self, cores: &CpuSet) -> bool {
        let set = |pid: &Option<Pid>| sched_setaffinity(*pid, cores).is_ok();
        self.pids.iter().all(set)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        self.allow(&self.before);
    }
}

/// How many processors there are, their name, and the kernel.
#[must_use]
pub fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = processor.lines().find_map(|line| {
        let (field, value) = line.split_once(':')?;
        (field.trim() == "model name").then(|| value.trim().to_owned())
    });
    let name = name.unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    format!("{cores} cores of {name}, {}", said("uname", &["-sr"]))
}

/// The first line that a program says, or a question mark.
#[must_use]
pub fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&output);
    text.lines().next().unwrap_or("?").to_owned()
}

/// The version of a package that the benches were built with.
#[must_use]
pub fn version_of(package: &str) -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let name = format!("name = \"{package}\"\nversion = \"");
    let version = lock.split_once(&name).map(|(_, rest)| rest);
    version
        .and_then(|rest| rest.split('"').next())
        .unwrap_or("?")
}

/// The commit that is measured, and whether files were changed since.
#[must_use]
pub fn commit() -> String {
    let here = ["-C", env!("CARGO_MANIFEST_DIR")];
    let git = |rest: &[&str]| said("git", &[&here, rest].concat());
    let hash = git(&["rev-parse", "--short=8", "HEAD"]);
    let changed = git(&["status", "--porcelain", "--untracked-files=no", "../.."]);
    match &*changed {
        "?" => hash,
        _ => format!("{hash} and changes"),
    }
}
