//! A recorder is code of the program, as a subscriber of the log is: if it panics, that ends there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use tenure_sim::memory_net::World;

use crate::support::{Outcome, builder};

/// Panics whenever it is told something.
#[derive(Default)]
struct Panics(Arc<Told>);

#[derive(Default)]
struct Told(AtomicUsize);

impl Told {
    fn tell(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("of the recorder");
    }
}

impl CounterFn for Told {
    fn increment(&self, _: u64) {
        self.tell();
    }
    fn absolute(&self, _: u64) {}
}

impl GaugeFn for Told {
    fn increment(&self, _: f64) {
        self.tell();
    }
    fn decrement(&self, _: f64) {
        self.tell();
    }
    fn set(&self, _: f64) {}
}

impl HistogramFn for Told {
    fn record(&self, _: f64) {
        self.tell();
    }
}

impl Recorder for Panics {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
        self.0.tell();
    }
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::clone(&self.0))
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        panic!("of the recorder, asked for a gauge");
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::clone(&self.0))
    }
}

#[test]
fn a_recorder_that_panics_harms_no_lock() -> Outcome {
    let panics = Panics::default();
    let told = Arc::clone(&panics.0);
    metrics::with_local_recorder(&panics, || {
        World::run(1, async |world| {
            world.node("a");
            let one = world.client("one");
            let locks = builder(&one).connect().await?;
            let guard = locks.lock("k").await?;
            locks.try_lock("k").await.expect_err("it is held");
            guard.renewed().await?;
            one.link("a").cut();
            guard.renewed().await?;
            guard.release().await?;
            let guard = locks.lock("k").await?;
            one.link("a").stall();
            guard.lost().await;
            one.link("a").heal();
            locks.lock("k").await?.release().await?;
            locks.close().await;
            Ok::<(), Box<dyn std::error::Error>>(())
        })
    })?;
    assert!(told.0.load(Ordering::SeqCst) >= 8);
    Ok(())
}
