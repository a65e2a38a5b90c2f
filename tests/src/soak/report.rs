//! The table at the end of a soak.

use std::fmt::Display;

/// One figure, and what is allowed.
pub(super) struct Row {
    what: String,
    figure: String,
    allowed: String,
}

impl Row {
    pub(super) fn new(what: impl Display, figure: impl Display, allowed: impl Display) -> Self {
        Self {
            what: what.to_string(),
            figure: figure.to_string(),
            allowed: allowed.to_string(),
        }
    }
}

/// Prints the figures, one below the other.
pub(super) fn print(rows: &[Row]) {
    let width = |cell: fn(&Row) -> &String| rows.iter().map(|row| cell(row).len()).max();
    let what = width(|row| &row.what).unwrap_or(0);
    let figure = width(|row| &row.figure).unwrap_or(0);
    for row in rows {
        println!(
            "{:what$} | {:>figure$} | {}",
            row.what, row.figure, row.allowed
        );
    }
}
