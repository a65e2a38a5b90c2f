//! The tables as Markdown.

use support::clients::Who;
use support::machine::{commit, describe, said, version_of};

use crate::Effort;
use crate::locks;
use crate::pairs::{Cost, Row};

/// On what, when, and with which versions.
pub(crate) fn head(server: &str, effort: Effort) -> String {
    wrapped(&format!(
        "Measured on {}, on {}, in {} rounds of {:?}: redis-server {server}, {}, redis-rs {}, \
         rslock {}, Tenure at {}.",
        said("date", &["-u", "+%Y-%m-%d"]),
        describe(),
        effort.rounds,
        effort.turn,
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

/// What pairs cost.
pub(crate) fn pairs(rows: &[Row]) -> String {
    let mut text = String::from(
        "| | Tenure / rslock | Tenure / raw | raw | rslock | Tenure |\n|---|---|---|---|---|---|\n",
    );
    for row in rows {
        text.push_str(&line(&format!("{}: pairs/s", row.label), row, |cost| {
            cost.rate
        }));
        text.push_str(&line("… server CPU, µs", row, |cost| cost.servers));
        text.push_str(&line("… client CPU, µs", row, |cost| cost.client));
    }
    text
}

fn line(label: &str, row: &Row, value: fn(&Cost) -> f64) -> String {
    let of = |who: Who| {
        let at = Who::ALL.iter().position(|one| *one == who);
        let at = at.expect("one of all");
        row.rounds.iter().map(move |costs| value(&costs[at]))
    };
    let ratio = |to: Who| {
        let ratios = of(Who::Tenure)
            .zip(of(to))
            .map(|(ours, theirs)| ours / theirs);
        let mut ratios: Vec<f64> = ratios.collect();
        ratios.sort_by(f64::total_cmp);
        let at = |quarter: usize| ratios[(ratios.len() - 1) * quarter / 4];
        format!("{:.2} ({:.2}–{:.2})", at(2), at(1), at(3))
    };
    let middle = |who: Who| {
        let middle = median(of(who).collect());
        if middle < 1_000.0 {
            format!("{middle:.1}")
        } else {
            format!("{:.1}k", middle / 1_000.0)
        }
    };
    format!(
        "| {label} | {} | {} | {} | {} | {} |\n",
        ratio(Who::Rslock),
        ratio(Who::Raw),
        middle(Who::Raw),
        middle(Who::Rslock),
        middle(Who::Tenure),
    )
}

/// What locks cost the server.
pub(crate) fn locks(costs: &[locks::Cost]) -> String {
    let mut text = String::from(
        "| server CPU for a lock, µs | alone in its command | 125 in a command |\n|---|---|---|\n",
    );
    for locks::Cost {
        label,
        alone,
        together,
    } in costs
    {
        let middle = |all: &[f64]| match all {
            [] => String::new(),
            all => format!("{:.1}", median(all.to_vec())),
        };
        let (alone, together) = (middle(alone), middle(together));
        text.push_str(&format!("| {label} | {alone} | {together} |\n"));
    }
    text
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
