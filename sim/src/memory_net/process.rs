//! A process: its tasks, which may all or in part stand still for a while, or die together.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tenure_redis::seams::{BoxFuture, Spawner};
use tokio::task::AbortHandle;

/// A process of the simulated world. It spawns on the tokio runtime that it was made in. Clones are
/// the same process.
#[derive(Clone, Debug)]
pub struct Process {
    runtime: tokio::runtime::Handle,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    paused: bool,
    /// Only what a client has spawned stands still.
    stalled: bool,
    dead: bool,
    /// Of tasks that were woken while they could not run.
    waiting: Vec<Waker>,
    tasks: Vec<AbortHandle>,
}

impl Process {
    /// A process that runs.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn new() -> Self {
        Self {
            runtime: tokio::runtime::Handle::current(),
            state: Arc::default(),
        }
    }

    /// None of its tasks runs until [`resume`](Self::resume): a long collection of garbage, a
    /// stopped virtual machine. Its clock goes on.
    pub fn pause(&self) {
        self.lock().paused = true;
    }

    /// Those of its tasks that clients have spawned do not run until [`resume`](Self::resume), as
    /// on a runtime of theirs that is blocked. What the process [runs](Self::run) or
    /// [starts](Self::start) itself goes on.
    pub fn stall(&self) {
        self.lock().stalled = true;
    }

    /// Its tasks run again, with all that has become due meanwhile.
    pub fn resume(&self) {
        let mut state = self.lock();
        (state.paused, state.stalled) = (false, false);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// It dies: its tasks are dropped, and the kernel closes their connections. Nothing runs in it
    /// ever after.
    pub fn crash(&self) {
        let mut state = self.lock();
        state.dead = true;
        let tasks = std::mem::take(&mut state.tasks);
        drop(state);
        tasks.iter().for_each(AbortHandle::abort);
    }

    /// Whether it has [crashed](Self::crash).
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// Makes `future` a part of this process: it stands still with it, and after a crash it never
    /// ends.
    pub fn run<F: Future>(&self, future: F) -> Pausable<F> {
        Pausable {
            process: self.clone(),
            of_client: false,
            future: Some(Box::pin(future)),
        }
    }

    /// Starts a task of its own, which ends with it.
    pub fn start(&self, task: BoxFuture<'static, ()>) {
        self.begin(self.run(task));
    }

    fn begin(&self, task: Pausable<BoxFuture<'static, ()>>) {
        let task = self.runtime.spawn(task).abort_handle();
        let mut state = self.lock();
        state.tasks.retain(|task| !task.is_finished());
        state.tasks.push(task);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Process {
    fn default() -> Self {
        Self::new()
    }
}

impl Spawner for Process {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.begin(Pausable {
            of_client: true,
            ..self.run(task)
        });
    }
}

/// A future that is a part of a [`Process`].
#[derive(Debug)]
pub struct Pausable<F> {
    process: Process,
    of_client: bool,
    future: Option<Pin<Box<F>>>,
}

impl<F: Future> Future for Pausable<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let (still, dead) = {
            let mut state = self.process.lock();
            let still = state.paused || (state.stalled && self.of_client);
            if still && !state.dead {
                state.waiting.push(cx.waker().clone());
            }
            (still, state.dead)
        };
        if dead {
            self.future = None;
        }
        match &mut self.future {
            Some(future) if !still => future.as_mut().poll(cx),
            _ => Poll::Pending,
        }
    }
}
