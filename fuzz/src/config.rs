//! Any calls of the builders: what they accept keeps every relation that the core relies on.

use std::fmt::Display;
use std::time::Duration;

use arbitrary::Arbitrary;
use tenure_core::{
    Backoff, Config, Drift, LONGEST_TTL, Label, LeaseOptions, MAX_NODES, RenewalPolicy,
};

/// What the builders are called with.
#[derive(Arbitrary, Debug)]
pub struct Calls {
    nodes: u8,
    max_ttl: Option<Span>,
    drift_ppm: Option<u32>,
    granularity: Option<Span>,
    request_timeout: Option<Span>,
    max_leases: Option<usize>,
    ttl: Option<Span>,
    renewal: Renewal,
    give_up_after: Option<Span>,
    attempts: Option<u32>,
    max_hold: Option<Span>,
    backoff: Option<(Span, Span)>,
    label: Option<String>,
    contention_backoff: Option<(Span, Span)>,
}

/// A span of time. Most are of a size that a user could mean.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Span {
    Nanos(u32),
    Micros(u32),
    Millis(u32),
    Secs(u64),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Renewal {
    TwoThirds,
    After(Span),
    Off,
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        match span {
            Span::Nanos(n) => Self::from_nanos(n.into()),
            Span::Micros(n) => Self::from_micros(n.into()),
            Span::Millis(n) => Self::from_millis(n.into()),
            Span::Secs(n) => Self::from_secs(n),
        }
    }
}

/// Builds a configuration and options for a lease, and checks what was accepted. An error must have
/// something to say.
///
/// # Panics
/// If a relation does not hold.
pub fn check(calls: &Calls) {
    let Some(config) = config(calls) else { return };
    assert!((1..=MAX_NODES).contains(&config.nodes()));
    assert!(config.quorum() * 2 > config.nodes() && config.quorum() <= config.nodes());
    assert!(config.max_ttl() >= Duration::from_millis(1) && config.max_ttl() <= LONGEST_TTL);
    assert!(config.drift().ppm() <= Drift::MAX_PPM);
    assert!(config.request_timeout() >= Duration::from_millis(1));
    assert!(config.request_timeout() <= LONGEST_TTL);
    assert!(config.max_leases() >= 1);
    if let Some(options) = options(calls, &config) {
        check_options(&options, &config);
    }
}

/// What was built. None if it was refused, with an error that has a text.
fn accepted<T, E: Display>(built: Result<T, E>) -> Option<T> {
    built
        .inspect_err(|error| assert!(!error.to_string().is_empty()))
        .ok()
}

fn config(calls: &Calls) -> Option<Config> {
    let mut builder = Config::builder(usize::from(calls.nodes));
    if let Some(span) = calls.max_ttl {
        builder = builder.max_ttl(span.into());
    }
    let mut drift = calls.drift_ppm.map_or(Drift::DEFAULT, Drift::from_ppm);
    if let Some(span) = calls.granularity {
        drift = drift.with_granularity(span.into());
    }
    builder = builder.drift(drift);
    if let Some(span) = calls.request_timeout {
        builder = builder.request_timeout(span.into());
    }
    if let Some(max_leases) = calls.max_leases {
        builder = builder.max_leases(max_leases);
    }
    accepted(builder.build())
}

fn options(calls: &Calls, config: &Config) -> Option<LeaseOptions> {
    let mut options = LeaseOptions::builder()
        .renewal(match calls.renewal {
            Renewal::TwoThirds => RenewalPolicy::TwoThirds,
            Renewal::After(span) => RenewalPolicy::After(span.into()),
            Renewal::Off => RenewalPolicy::Off,
        })
        .give_up_after(calls.give_up_after.map(Into::into))
        .attempts(calls.attempts)
        .max_hold(calls.max_hold.map(Into::into));
    if let Some(span) = calls.ttl {
        options = options.ttl(span.into());
    }
    if let Some((first, longest)) = calls.backoff {
        options = options.backoff(Backoff::new(first.into(), longest.into()));
    }
    if let Some((first, longest)) = calls.contention_backoff {
        let backoff = Backoff::new(first.into(), longest.into());
        options = options.contention_backoff(Some(backoff));
    }
    if let Some(text) = &calls.label
        && let Some(label) = accepted(Label::new(text))
    {
        assert!((1..=Label::MAX_LEN).contains(&text.len()));
        assert!(text.bytes().all(|b| (0x20..0x7f).contains(&b)));
        options = options.label(Some(label));
    }
    accepted(options.build(config))
}

fn check_options(options: &LeaseOptions, config: &Config) {
    // What goes over the wire is whole milliseconds, one at least: zero would delete the key.
    assert!(options.ttl() >= Duration::from_millis(1) && options.ttl() <= config.max_ttl());
    assert_eq!(options.ttl().subsec_nanos() % 1_000_000, 0);
    // Both clocks may be wrong by the bound, in opposite directions.
    let wrong = options.ttl().as_nanos() * u128::from(config.drift().ppm()) * 2 / 1_000_000;
    let margin = config.drift().margin(options.ttl());
    assert!(!options.valid_for().is_zero());
    assert_eq!(options.valid_for() + margin, options.ttl());
    assert!(options.valid_for().as_nanos() + wrong <= options.ttl().as_nanos());
    // A renewal has room for a retry.
    if let Some(after) = options.renew_after() {
        assert!(after > Duration::ZERO && after < options.valid_for());
    }
    assert!(options.attempt_timeout() > Duration::ZERO);
    assert!(options.attempt_timeout() <= config.request_timeout());
    assert!(options.attempt_timeout() <= options.valid_for());
    assert!(options.round_timeout() > Duration::ZERO);
    assert!(options.round_timeout() <= config.request_timeout());
    assert!(options.round_timeout() < options.valid_for());
    for backoff in [options.backoff(), options.contention_backoff()] {
        assert!(!backoff.first().is_zero() && backoff.first() <= backoff.longest());
    }
    assert_ne!(options.max_hold(), Some(Duration::ZERO));
    assert_ne!(options.attempts(), Some(0));
}
