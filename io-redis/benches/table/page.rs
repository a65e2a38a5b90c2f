//! The tables as Markdown.

use support::clients::Who;
use support::page::{median, number, ratio};

use crate::locks;
use crate::pairs::{Cost, Row};

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
    let ratio = |to: Who| ratio(of(Who::Tenure).zip(of(to)));
    let middle = |who: Who| number(median(of(who).collect()));
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
