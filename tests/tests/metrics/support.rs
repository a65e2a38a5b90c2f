//! What the tests share: worlds whose clients tell a meter, and time spans.

use std::time::Duration;

use tenure_redis::{Builder, ConnectError, Locks};
use tenure_sim::memory_net::{Client, World};
use tenure_tests::metered::Meter;

pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;

/// How the only node is named in labels.
pub(crate) const NODE: (&str, &str) = ("node", "redis://a:6379/0");

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Runs a world of one node, `a`, with a meter.
pub(crate) fn metered(body: impl AsyncFnOnce(World, &Meter) -> Outcome) -> Outcome {
    let meter = Meter::default();
    meter.run(|| {
        World::run(1, async |world| {
            world.node("a");
            body(world, &meter).await
        })
    })
}

/// A builder of a client whose requests and answers take 5 ms each.
pub(crate) fn builder(client: &Client) -> Builder {
    client.link("a").set_latency(ms(5), ms(5));
    client.builder()
}

/// A process, and a handle in it.
pub(crate) async fn client(world: &World, name: &str) -> Result<(Client, Locks), ConnectError> {
    let client = world.client(name);
    let locks = builder(&client).connect().await?;
    Ok((client, locks))
}

/// Values in seconds that are the same to a microsecond.
#[track_caller]
pub(crate) fn assert_seconds(values: &[f64], wanted: &[f64]) {
    let near = values.len() == wanted.len()
        && values
            .iter()
            .zip(wanted)
            .all(|(value, wanted)| (value - wanted).abs() < 1e-6);
    assert!(near, "{values:?}, and not {wanted:?}");
}
