//! A recorder that keeps what clients tell the `metrics` facade, for tests to read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

/// The labels of a series, each with its value.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// What the clients told that were built on this thread.
pub struct Meter {
    recorder: DebuggingRecorder,
    snapshotter: Snapshotter,
    series: Mutex<BTreeMap<String, Series>>,
}

/// All that was told of one name with one set of labels.
#[derive(Debug, Default)]
struct Series {
    name: String,
    labels: Vec<(String, String)>,
    /// Of a counter or a gauge.
    total: f64,
    /// Of a histogram, in the order in which they were told.
    values: Vec<f64>,
}

impl Default for Meter {
    fn default() -> Self {
        let recorder = DebuggingRecorder::new();
        Self {
            snapshotter: recorder.snapshotter(),
            recorder,
            series: Mutex::default(),
        }
    }
}

impl Meter {
    /// Runs it. The clients that it builds on this thread tell this meter, for as long as they
    /// live.
    pub fn run<T>(&self, run: impl FnOnce() -> T) -> T {
        metrics::with_local_recorder(&self.recorder, run)
    }

    /// What a counter or a gauge shows now. Zero if nobody told it.
    pub fn total(&self, name: &str, labels: Labels<'_>) -> f64 {
        self.read(name, labels, |series| series.total)
    }

    /// What a histogram was told so far.
    pub fn values(&self, name: &str, labels: Labels<'_>) -> Vec<f64> {
        self.read(name, labels, |series| series.values.clone())
    }

    /// The names of which something was told.
    pub fn told(&self) -> BTreeSet<String> {
        self.collect();
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let told = |one: &&Series| one.total != 0.0 || !one.values.is_empty();
        let told = series.values().filter(told);
        told.map(|one| one.name.clone()).collect()
    }

    /// The values of a label that clients have handles for.
    pub fn values_of(&self, label: &str) -> BTreeSet<String> {
        self.collect();
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let labels = series.values().flat_map(|one| &one.labels);
        let named = labels.filter(|(name, _)| name == label);
        named.map(|(_, value)| value.clone()).collect()
    }

    /// The units and the meanings that the recorder was told, by name.
    pub fn described(&self) -> BTreeMap<String, (String, String)> {
        let snapshot = self.snapshotter.snapshot().into_vec();
        let described = snapshot.into_iter().map(|(key, unit, meaning, value)| {
            self.add(&key, value);
            let unit = unit.map(|unit| unit.as_str().to_owned());
            let meaning = meaning.map(|meaning| meaning.to_string());
            let of = (unit.unwrap_or_default(), meaning.unwrap_or_default());
            (key.key().name().to_owned(), of)
        });
        described.collect()
    }

    fn read<T: Default>(
        &self,
        name: &str,
        labels: Labels<'_>,
        read: impl FnOnce(&Series) -> T,
    ) -> T {
        self.collect();
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        series.get(&id(name, labels)).map(read).unwrap_or_default()
    }

    /// Adds what was told since the last time: a snapshot sets everything to zero.
    fn collect(&self) {
        for (key, _, _, value) in self.snapshotter.snapshot().into_vec() {
            self.add(&key, value);
        }
    }

    fn add(&self, key: &metrics_util::CompositeKey, value: DebugValue) {
        let name = key.key().name();
        let labels = key.key().labels();
        let labels: Vec<_> = labels.map(|label| (label.key(), label.value())).collect();
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let series = series.entry(id(name, &labels)).or_default();
        name.clone_into(&mut series.name);
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        series.labels = labels.iter().map(owned).collect();
        match value {
            DebugValue::Counter(more) => series.total += more as f64,
            DebugValue::Gauge(more) => series.total += more.into_inner(),
            DebugValue::Histogram(more) => {
                let more = more.into_iter().map(|value| value.into_inner());
                series.values.extend(more);
            }
        }
    }
}

fn id(name: &str, labels: Labels<'_>) -> String {
    let labels: Vec<_> = labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    format!("{name}{{{}}}", labels.join(","))
}
