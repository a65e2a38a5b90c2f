//! What tables have in common.

use crate::machine::{commit, describe, said, version_of};

/// On what, when, how, and with which versions.
#[must_use]
pub fn head(server: &str, how: &str) -> String {
    wrapped(&format!(
        "Measured on {}, on {}, {how}: redis-server {server}, {}, redis-rs {}, rslock {}, Tenure \
         at {}.",
        said("date", &["-u", "+%Y-%m-%d"]),
        describe(),
        said("rustc", &["--version"]),
        version_of("redis"),
        version_of("rslock"),
        commit(),
    ))
}

/// In lines of at most a hundred columns.
fn wrapped(text: &str) -> String {
    let (mut lines, mut width) = (String::new(), 0);
    for word in text.split(' ') {
        let more = word.chars().count() + 1;
        let separator = if width + more > 100 { '\n' } else { ' ' };
        width = if separator == ' ' { width + more } else { more };
        lines.push(separator);
        lines.push_str(word);
    }
    format!("{}\n", lines.trim())
}

/// The median of ratios, and their middle half.
#[must_use]
pub fn ratio(ours_and_theirs: impl Iterator<Item = (f64, f64)>) -> String {
    let ratios = ours_and_theirs.map(|(ours, theirs)| ours / theirs);
    let mut ratios: Vec<f64> = ratios.collect();
    ratios.sort_by(f64::total_cmp);
    let at = |quarter: usize| ratios[(ratios.len() - 1) * quarter / 4];
    format!("{:.2} ({:.2}–{:.2})", at(2), at(1), at(3))
}

/// The median.
#[must_use]
pub fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// A number in a table.
#[must_use]
pub fn number(value: f64) -> String {
    if value < 1_000.0 {
        format!("{value:.1}")
    } else {
        format!("{:.1}k", value / 1_000.0)
    }
}
