//! The table as Markdown.

use std::array;

use support::page::{median, number, ratio};

use crate::Effort;
use crate::clients::PARTIES;
use crate::crowd::{Crowd, LABEL, WAITERS};
use crate::turns::{Measured, Spent, Turn};

/// What is asked for: of the ratio to the prototype, or of Tenure alone.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Ratio(&'static str),
    Alone(&'static str),
    Nothing,
}

/// Where they stand in what was measured, as in [`Who::ALL`](crate::clients::Who::ALL).
const PROTOTYPE: usize = 0;
const TENURE: usize = PARTIES - 1;

/// All that was measured.
pub(crate) fn table(measured: &[Measured], crowds: &[[Crowd; PARTIES]], effort: Effort) -> String {
    let mut text = String::from(
        "| | Tenure / prototype | asked | prototype | … with all commands | rslock | Tenure |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for one in measured {
        text.push_str(&scenario(one));
    }
    let label = format!("{LABEL}, key held: commands/s");
    let (few, idle) = (Asked::Alone("≤ 15"), Asked::Alone("≤ 1"));
    text.push_str(&row(&label, few, crowds, |crowd| crowd.commands));
    let label = "… client CPU, % of a core";
    text.push_str(&row(label, idle, crowds, |crowd| crowd.cpu));
    text.push_str(&served(crowds, effort));
    text
}

fn scenario(measured: &Measured) -> String {
    let (label, rounds) = (measured.scenario.label, &measured.rounds);
    let again = !measured.scenario.between.is_zero();
    let two = measured.scenario.tasks == 2;
    let of = |this: bool, asked| if this { asked } else { Asked::Nothing };
    let hand_offs = of(!again && !two, Asked::Ratio("≥ 0.8"));
    let p50 = of(again, Asked::Ratio("≤ 1.2"));
    let p99 = of(again, Asked::Ratio("≤ 1.5"));
    let longest = of(two, Asked::Alone("a turn and a round trip"));
    let label = format!("{label}: hand-offs/s");
    let commands = measured.commands.map(|count| format!("{count:.2}"));
    let grants = array::from_fn(|at| {
        let of = |value: fn(&Turn) -> u64| {
            let all = rounds.iter().map(|turns| value(&turns[at]) as f64);
            median(all.collect())
        };
        format!("{} / {}", of(|turn| turn.most), of(|turn| turn.least))
    });
    [
        row(&label, hand_offs, rounds, |turn| turn.hand_offs),
        row("… idle p50, µs", p50, rounds, |turn| turn.idle[0]),
        row("… idle p99, µs", p99, rounds, |turn| turn.idle[1]),
        line("… commands a cycle", "", "≤ 4", &commands),
        spent("… commands that the server runs", rounds, |spent| {
            spent.calls
        }),
        spent("… server CPU, µs a cycle", rounds, |spent| spent.server),
        spent("… client CPU, µs a cycle", rounds, |spent| spent.clients),
        line("… most / least grants", "", "≤ 1.05", &grants),
        row("… longest wait, ms", longest, rounds, |turn| turn.longest),
    ]
    .concat()
}

fn spent(label: &str, rounds: &[[Turn; PARTIES]], value: fn(&Spent) -> f64) -> String {
    let of = |at: usize| rounds.iter().map(move |parties| value(&parties[at].spent));
    let cells = array::from_fn(|at| number(median(of(at).collect())));
    line(label, &ratio(of(TENURE).zip(of(PROTOTYPE))), "", &cells)
}

/// How soon a crowd was served, or how much of it.
fn served(crowds: &[[Crowd; PARTIES]], effort: Effort) -> String {
    let all = |at: usize| crowds.iter().all(|crowds| crowds[at].served == WAITERS);
    let took = |at: usize| crowds.iter().map(move |crowds| crowds[at].took);
    let cells = array::from_fn(|at| {
        if all(at) {
            return format!("{:.2} s", median(took(at).collect()));
        }
        let served = crowds.iter().map(|crowds| crowds[at].served as f64);
        format!("{} in {:?}", median(served.collect()), effort.served)
    });
    let both = all(PROTOTYPE) && all(TENURE);
    let ratio = if both {
        ratio(took(TENURE).zip(took(PROTOTYPE)))
    } else {
        String::new()
    };
    line("… key freed: all served in", &ratio, "≤ 1.5", &cells)
}

/// A row of medians. The ratio is left out where nothing near zero could be divided by.
fn row<T>(label: &str, asked: Asked, rounds: &[[T; PARTIES]], value: fn(&T) -> f64) -> String {
    let of = |at: usize| rounds.iter().map(move |parties| value(&parties[at]));
    let (ratio, asked) = match asked {
        Asked::Ratio(asked) => (ratio(of(TENURE).zip(of(PROTOTYPE))), asked),
        Asked::Nothing => (ratio(of(TENURE).zip(of(PROTOTYPE))), ""),
        Asked::Alone(asked) => (String::new(), asked),
    };
    let cells = array::from_fn(|at| number(median(of(at).collect())));
    line(label, &ratio, asked, &cells)
}

fn line(label: &str, ratio: &str, asked: &str, cells: &[String; PARTIES]) -> String {
    let cells = cells.join(" | ");
    format!("| {label} | {ratio} | {asked} | {cells} |\n")
}
