//! What can go wrong with one command, which command that is, and how a test follows it.

use std::fmt;

use tokio::sync::watch;

use crate::live::wait::within;

/// A command that a client sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    connection: u64,
    words: Vec<Vec<u8>>,
}

impl Command {
    pub(super) fn new(connection: u64, words: Vec<Vec<u8>>) -> Self {
        Self { connection, words }
    }

    /// The number of the connection it came on; the proxy's first is 0.
    pub fn connection(&self) -> u64 {
        self.connection
    }

    /// Its name in capitals.
    pub fn name(&self) -> String {
        let name = self.words.first().map_or(&[][..], Vec::as_slice);
        String::from_utf8_lossy(name).to_ascii_uppercase()
    }

    /// Whether this is its name, in capitals or not.
    pub fn is(&self, name: &str) -> bool {
        self.words
            .first()
            .is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// What follows the name.
    pub fn args(&self) -> &[Vec<u8>] {
        self.words.get(1..).unwrap_or_default()
    }

    /// Whether one of its arguments is exactly this one.
    pub fn has_arg(&self, arg: impl AsRef<[u8]>) -> bool {
        self.args().iter().any(|word| word == arg.as_ref())
    }
}

impl fmt::Debug for Command {
    /// Without the arguments: a password or a token may be among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{} on {}",
            self.name(),
            self.args().len(),
            self.connection
        )
    }
}

/// Which command a fault is meant for: the first that fits, unless [`nth`](Self::nth) says another.
pub struct Match {
    fits: Box<dyn Fn(&Command) -> bool + Send>,
    skip: usize,
}

impl Match {
    /// A command of this name.
    pub fn command(name: &str) -> Self {
        let name = name.to_owned();
        Self::when(move |command| command.is(&name))
    }

    /// A command for which this is true.
    pub fn when(fits: impl Fn(&Command) -> bool + Send + 'static) -> Self {
        Self {
            fits: Box::new(fits),
            skip: 0,
        }
    }

    /// Moreover, one of its arguments is exactly this one: a key, or the hash of a script.
    pub fn arg(self, arg: impl Into<Vec<u8>>) -> Self {
        let (fits, arg) = (self.fits, arg.into());
        Self {
            fits: Box::new(move |command| fits(command) && command.has_arg(&arg)),
            ..self
        }
    }

    /// The n-th that fits, counted from 1 and from now.
    pub fn nth(mut self, n: usize) -> Self {
        self.skip = n
            .checked_sub(1)
            .expect("the first is the first, there is none before");
        self
    }
}

/// What happens to one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The server applies it, its reply is lost, and both connections are closed.
    LoseReplyAndClose,
    /// The server applies it, its reply is lost, and nothing passes on the connection any more;
    /// nothing is closed either.
    LoseReplyAndBlackHole,
    /// The server applies it; its reply, and what follows on the connection, waits for
    /// [`Rule::release`].
    HoldReply,
    /// The server applies it, but the client reads this reply instead: a line such as `-ERR no`.
    AnswerWith(&'static str),
    /// The server never sees it, and both connections are closed.
    LoseRequestAndClose,
    /// The server never sees it, and nothing passes on the connection any more.
    LoseRequestAndBlackHole,
    /// It, and what follows on the connection, reaches the server only after [`Rule::release`],
    /// even if the client has closed its connection by then.
    HoldRequest,
    /// The server never sees it, and the client reads this reply: a line such as `-LOADING wait`.
    RefuseWith(&'static str),
}

/// An armed fault, as the test sees it. When this is dropped, the fault stays armed, and what it
/// holds back is released.
#[must_use = "a fault that nobody saw happen proves nothing: await `hit`"]
#[derive(Debug)]
pub struct Rule {
    fault: Fault,
    hit: watch::Receiver<bool>,
    release: watch::Sender<bool>,
}

impl Rule {
    /// Waits until the fault has happened. For a lost, held or replaced *reply* that means that
    /// the server has applied the command.
    ///
    /// # Panics
    /// When it does not happen in time.
    #[track_caller]
    pub fn hit(&self) -> impl Future<Output = ()> {
        let (fault, mut hit) = (self.fault.clone(), self.hit.clone());
        let happened = async move { hit.wait_for(|hit| *hit).await.map(|_| ()) };
        let bounded = within(format!("{fault:?} happens"), happened);
        async move {
            assert!(
                bounded.await.is_ok(),
                "the proxy ended before {fault:?} happened"
            )
        }
    }

    /// Whether the fault has happened.
    pub fn has_hit(&self) -> bool {
        *self.hit.borrow()
    }

    /// Lets go what the fault holds back.
    pub fn release(&self) {
        self.release.send_replace(true);
    }
}

/// A fault that waits for its command.
pub(super) struct Armed {
    command: Match,
    struck: Struck,
}

/// A fault whose command has come.
pub(super) struct Struck {
    pub(super) fault: Fault,
    hit: watch::Sender<bool>,
    released: watch::Receiver<bool>,
}

pub(super) fn arm(command: Match, fault: Fault) -> (Armed, Rule) {
    let (hit, was_hit) = watch::channel(false);
    let (release, released) = watch::channel(false);
    let struck = Struck {
        fault: fault.clone(),
        hit,
        released,
    };
    (
        Armed { command, struck },
        Rule {
            fault,
            hit: was_hit,
            release,
        },
    )
}

impl Armed {
    /// Whether this is the command that the fault waits for; one that fits but comes too early is
    /// counted.
    pub(super) fn meets(&mut self, command: &Command) -> bool {
        if !(self.command.fits)(command) {
            return false;
        }
        let meets = self.command.skip == 0;
        self.command.skip = self.command.skip.saturating_sub(1);
        meets
    }

    pub(super) fn strike(self) -> Struck {
        self.struck
    }
}

impl Struck {
    pub(super) fn happened(&self) {
        self.hit.send_replace(true);
    }

    pub(super) async fn released(&mut self) {
        // An error means that the test dropped the rule: nobody is left to release it.
        let _ = self.released.wait_for(|released| *released).await;
    }
}
