//! What the examples share: where Redis is, a watch, and time that passes.
//!
//! Without `REDIS_URL` it is the embedded server of `tenure-sim`, in this process and on a free
//! port of the loopback, so the examples need nothing but a compiler.
#![allow(dead_code, reason = "each example uses its own part of this")]

use std::time::Duration;

use tenure_sim::server::{Listening, Server, SystemClock};

/// The Redis servers of an example. Embedded ones are gone when this is dropped.
pub(crate) struct Redis {
    urls: Vec<String>,
    embedded: Vec<(Server, Listening)>,
}

impl Redis {
    /// One server: `REDIS_URL`, or an embedded one.
    pub(crate) fn one() -> std::io::Result<Self> {
        Self::several(1)
    }

    /// Servers that know nothing of each other: those of `REDIS_URL`, separated by commas, or
    /// embedded ones.
    pub(crate) fn several(count: usize) -> std::io::Result<Self> {
        let named = std::env::var("REDIS_URL").unwrap_or_default();
        let urls: Vec<String> = named
            .split(',')
            .map(|url| url.trim().to_owned())
            .filter(|url| !url.is_empty())
            .take(count)
            .collect();
        if urls.len() == count {
            println!("servers of REDIS_URL: {count}");
            return Ok(Self {
                urls,
                embedded: Vec::new(),
            });
        }
        if !urls.is_empty() {
            println!("REDIS_URL names {} of {count} servers", urls.len());
        }
        println!("embedded servers: {count}; set REDIS_URL to use your own");
        let embedded = (0..count)
            .map(|seed| {
                // Each with a seed, and so with a run id, of its own: they are different servers.
                let server = Server::with_seed(SystemClock, seed as u64);
                let listening = server.listen_loopback()?;
                Ok((server, listening))
            })
            .collect::<std::io::Result<Vec<_>>>()?;
        Ok(Self {
            urls: embedded
                .iter()
                .map(|(_, listening)| format!("redis://{}", listening.address()))
                .collect(),
            embedded,
        })
    }

    /// The URL of the first server.
    pub(crate) fn url(&self) -> &str {
        &self.urls[0]
    }

    /// The URLs of all servers.
    pub(crate) fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Gives the first server another password, and closes all its connections. A server that is
    /// not ours is left alone: then this says `false`.
    pub(crate) fn set_password(&self, password: &str) -> bool {
        let server = self.embedded.first();
        if let Some((server, _)) = server {
            server.set_password(password);
            server.kill_connections();
        }
        server.is_some()
    }

    /// Takes an embedded server away. A server that is not ours is left alone: then this says
    /// `false`.
    pub(crate) fn take_down(&self, index: usize) -> bool {
        let server = self.embedded.get(index);
        if let Some((server, _)) = server {
            server.set_down(true);
        }
        server.is_some()
    }
}

/// Tells how long an example has run.
pub(crate) struct Watch(std::time::Instant);

impl Watch {
    #[allow(
        clippy::disallowed_methods,
        reason = "an example prints what a person's watch would show; nothing is decided by it"
    )]
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Prints what happened and when.
    #[allow(
        clippy::disallowed_methods,
        reason = "an example prints what a person's watch would show; nothing is decided by it"
    )]
    pub(crate) fn say(&self, what: &str, more: impl std::fmt::Display) {
        println!(
            "{what:<9} at {:5.2} s  {more}",
            self.0.elapsed().as_secs_f64()
        );
    }
}

/// Time that passes: the place of the work that a program would do.
#[allow(
    clippy::disallowed_methods,
    reason = "an example has no work to do, so it sleeps; it does not wait for anything by it"
)]
pub(crate) async fn pass(span: Duration) {
    tokio::time::sleep(span).await;
}
