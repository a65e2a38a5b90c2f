//! Asking the Sentinels of a group which server is its primary.
//!
//! They are asked in turn, each next one if the one before has no answer or takes its time, and the
//! one that answered begins the next time. One whose answer led nowhere comes last then: it may
//! have been cut off, and name a server that is no primary any more.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join;
use tenure_core::Words;

use crate::link::address::{Address, Place};
use crate::link::connect::{Connected, DialError, Dialer};
use crate::link::connection::{Connection, exchange};
use crate::protocol::sentinel::{self, Unnamed};
use crate::protocol::words::{NOT_IN_TIME, printable};
use crate::runtime::{Clock, Connector, Endpoint, race};

/// The Sentinels of one group.
pub(crate) struct Sentinels {
    name: Arc<str>,
    addresses: Arc<[Address]>,
    dialers: Vec<Dialer>,
    connector: Arc<dyn Connector>,
    clock: Arc<dyn Clock>,
    /// Which one is asked first.
    first: Arc<AtomicUsize>,
    /// Whether the last answer led to a primary.
    settled: bool,
    /// Why some have named nobody when they were asked last.
    failed: Mutex<Vec<(usize, DialError)>>,
}

/// Whom a Sentinel named.
pub(crate) struct Named {
    pub(crate) endpoint: Endpoint,
    /// Where the Sentinel listens.
    pub(crate) by: String,
    /// The connection to it, at which it pushes when that changes, if it lets us listen.
    pub(crate) connected: Connected,
}

impl Sentinels {
    pub(crate) fn new(
        name: String,
        addresses: Vec<Address>,
        connector: &Arc<dyn Connector>,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        Self::with(
            name.into(),
            addresses.into(),
            connector,
            clock,
            Arc::default(),
        )
    }

    fn with(
        name: Arc<str>,
        addresses: Arc<[Address]>,
        connector: &Arc<dyn Connector>,
        clock: &Arc<dyn Clock>,
        first: Arc<AtomicUsize>,
    ) -> Self {
        let dialer = |address: &Address| {
            let (connector, clock) = (Arc::clone(connector), Arc::clone(clock));
            Dialer::new(address.clone(), None, connector, clock)
        };
        Self {
            dialers: addresses.iter().map(dialer).collect(),
            name,
            addresses,
            connector: Arc::clone(connector),
            clock: Arc::clone(clock),
            first,
            settled: true,
            failed: Mutex::default(),
        }
    }

    /// The same Sentinels, to be asked beside this. Both know who answered last.
    pub(crate) fn again(&self) -> Self {
        Self::with(
            Arc::clone(&self.name),
            Arc::clone(&self.addresses),
            &self.connector,
            &self.clock,
            Arc::clone(&self.first),
        )
    }

    /// The name of the group.
    pub(crate) const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The last answer has led to a primary.
    pub(crate) const fn served(&mut self) {
        self.settled = true;
    }

    /// Asks each in turn, until one names the primary. The caller bounds the time.
    // Law: Progress
    pub(crate) async fn ask(&mut self) -> Result<Named, DialError> {
        let count = self.dialers.len();
        let mut first = self.first.load(Ordering::Relaxed) % count;
        if !std::mem::replace(&mut self.settled, false) {
            first = (first + 1) % count;
            self.first.store(first, Ordering::Relaxed);
        }
        self.failures().clear();
        let Self {
            dialers,
            name,
            clock,
            failed,
            ..
        } = self;
        let (name, failed) = (&**name, &*failed);
        let (last, begin) = dialers.split_at_mut(first);
        let in_turn = (first..).zip(begin).chain((0..).zip(last));
        let asks = in_turn.map(|(at, dialer)| async move {
            let by = Place(dialer.endpoint()).to_string();
            match ask_one(dialer, name).await {
                Ok((endpoint, connected)) => Ok((
                    at,
                    Named {
                        endpoint,
                        by,
                        connected,
                    },
                )),
                Err(why) => {
                    lock(failed).push((at, why));
                    Err(())
                }
            }
        });
        let pause = |span| clock.sleep_until(clock.now() + span);
        match race(asks, |ask| ask, pause).await {
            Ok((at, named)) => {
                self.first.store(at, Ordering::Relaxed);
                Ok(named)
            }
            Err(_) => Err(self.why_not()),
        }
    }

    /// Why no Sentinel has named a primary when they were asked last. Waiting does not mend it if
    /// all of them have said so.
    pub(crate) fn why_not(&self) -> DialError {
        let failed = self.failures();
        let mut said = String::from("no Sentinel names a primary");
        let mut between = ':';
        for (at, address) in self.addresses.iter().enumerate() {
            let why = failed.iter().find(|(of, _)| *of == at);
            let why = why.map_or(NOT_IN_TIME, |(_, why)| why.words().as_str());
            let why = why.trim_end_matches('.');
            said += &format!("{between} {}: {why}", Place(address.endpoint()));
            between = ';';
        }
        let is_rejected = |(_, why): &(usize, DialError)| matches!(why, DialError::Rejected(_));
        let rejected = failed.len() == self.addresses.len() && failed.iter().all(is_rejected);
        match rejected {
            true => DialError::Rejected(printable(&said)),
            false => DialError::Unavailable(printable(&said)),
        }
    }

    fn failures(&self) -> MutexGuard<'_, Vec<(usize, DialError)>> {
        lock(&self.failed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connects to one Sentinel, listens there, and asks it.
async fn ask_one(dialer: &mut Dialer, name: &str) -> Result<(Endpoint, Connected), DialError> {
    let mut connected = dialer.dial().await?;
    let connection = Arc::clone(&connected.connection);
    let asked = async {
        // It listens before it asks, so that nothing is missed between the two. Where it may not,
        // it asks now and then.
        let listens = connection.listen(sentinel::SWITCHED);
        let (_, named) = join(listens, asked(&*connection, name)).await;
        named
    };
    let named = connected.driven(asked).await;
    let ear = connected.ear.take();
    let last_words = ear.and_then(|ear| ear.take_away(dialer.password()));
    let endpoint = named.map_err(|why| why.or_said(last_words))?;
    dialer.served();
    Ok((endpoint, connected))
}

/// Asks a Sentinel that is connected to.
pub(crate) async fn asked(connection: &dyn Connection, name: &str) -> Result<Endpoint, DialError> {
    let results = exchange(connection, vec![sentinel::ask(name)]).await;
    let Some(result) = results.first() else {
        return Err(DialError::unavailable("it did not answer"));
    };
    sentinel::primary(result, name).map_err(|unnamed| match unnamed {
        Unnamed::Unavailable(words) => DialError::Unavailable(Words::new(&words)),
        Unnamed::Rejected(words) => DialError::Rejected(Words::new(&words)),
    })
}
