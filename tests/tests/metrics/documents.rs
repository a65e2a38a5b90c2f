//! The list of metrics in the documents is that of the code, and the dashboard asks for nothing
//! else.

use std::collections::BTreeSet;

use tenure_redis::metrics::{ALL, Kind, Metric};
use tenure_tests::tree;

use crate::support::{Outcome, client, metered};

const PAGE: &str = "docs/metrics.md";
const DASHBOARD: &str = "docs/grafana/tenure.json";

fn read(path: &str) -> String {
    let text = std::fs::read_to_string(tree::root().join(path));
    text.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The metric as an item of the list.
fn item(metric: &Metric) -> String {
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
        other => panic!("{other:?} has no word"),
    };
    let by = |label: &&str| format!(", by `{label}`");
    let by: String = metric.labels.iter().map(by).collect();
    let Metric {
        name,
        unit,
        meaning,
        ..
    } = metric;
    format!("- {name} ({kind}, {unit}{by}): {meaning}")
}

/// The items of the list, each as one line.
fn items(page: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        let begins = line.starts_with("- tenure_");
        inside = begins || inside && line.starts_with("  ");
        match items.last_mut() {
            _ if begins => items.push(line.to_owned()),
            Some(item) if inside => *item += &line[1..],
            _ => {}
        }
    }
    items
}

/// The names of metrics in a text. An exporter for Prometheus writes a histogram as three series.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let named = words.filter(|word| word.starts_with("tenure_") && *word != "tenure_redis");
    let without = |word: &str| {
        let parts = ["_bucket", "_count", "_sum"];
        let part = parts.iter().find_map(|part| word.strip_suffix(part));
        part.unwrap_or(word).to_owned()
    };
    named.map(without).collect()
}

fn known() -> BTreeSet<String> {
    ALL.iter().map(|metric| metric.name.to_owned()).collect()
}

#[test]
fn the_page_has_the_list_of_the_code() {
    let wanted: Vec<_> = ALL.iter().map(item).collect();
    let wanted_is = wanted.join("\n");
    assert_eq!(
        items(&read(PAGE)),
        wanted,
        "{PAGE}: the list should be\n{wanted_is}"
    );
}

/// What stands in backticks in the item of a label, but for the names of types.
fn words_of(page: &str, label: &str) -> BTreeSet<String> {
    let begin = format!("- `{label}`:");
    let (_, rest) = page.split_once(&begin).expect("the label has an item");
    let item = rest.split("\n- ").next().unwrap_or_default();
    let words = item.split('`').skip(1).step_by(2);
    let small = words.filter(|word| word.starts_with(|c: char| c.is_lowercase()));
    small.map(str::to_owned).collect()
}

#[test]
fn the_page_names_every_value_of_a_label_that_there_is() -> Outcome {
    metered(async |world, meter| {
        client(&world, "one").await?;
        let page = read(PAGE);
        for label in ["outcome", "reason"] {
            assert_eq!(words_of(&page, label), meter.values_of(label), "{label}");
        }
        Ok(())
    })
}

#[test]
fn the_dashboard_asks_for_every_metric_and_for_no_other() {
    assert_eq!(names(&read(DASHBOARD)), known());
}

#[test]
fn a_name_in_a_query_is_found_whatever_stands_around_it() {
    let query = r#"sum by (node) (rate(tenure_a_total[5m])) / x_tenure_b + le(tenure_c_bucket{})"#;
    let found: Vec<_> = names(query).into_iter().collect();
    assert_eq!(found, ["tenure_a_total", "tenure_c"]);
}

#[test]
fn names_and_units_follow_the_rules_of_prometheus() {
    for metric in ALL {
        let Metric { name, unit, .. } = metric;
        assert!(name.starts_with("tenure_"), "{name}");
        assert_eq!(
            metric.kind == Kind::Counter,
            name.ends_with("_total"),
            "{name}"
        );
        assert_eq!(*unit == "seconds", name.ends_with("_seconds"), "{name}");
        assert!(["seconds", "count"].contains(unit), "{name}");
        assert!(metric.meaning.ends_with('.'), "{name}");
    }
    assert_eq!(known().len(), ALL.len(), "each name once");
}
