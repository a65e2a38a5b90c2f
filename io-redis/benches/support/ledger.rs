//! Numbers that are kept in a file, so that the next run can be compared with them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{fmt, fs};

/// Numbers by name.
#[derive(Debug, Default)]
pub struct Ledger {
    numbers: BTreeMap<String, f64>,
}

impl Ledger {
    /// Notes a number.
    pub fn note(&mut self, name: impl Into<String>, number: f64) {
        self.numbers.insert(name.into(), number);
    }

    /// Does what the arguments of the program say: `--write` writes the numbers to this file of
    /// the benches' folder, `--check` compares them with it. Without either they are only printed.
    ///
    /// # Errors
    /// With `--check`, if a number is larger than the one in the file by more than `may_grow` says
    /// of its name: as a share, and for numbers that are near zero.
    pub fn conclude(
        &self,
        file: &str,
        head: &str,
        may_grow: impl Fn(&str) -> (f64, f64),
    ) -> Result<(), String> {
        println!("{self}");
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
        if crate::asked("--write") {
            let written = fs::write(&path, format!("{head}{self}"));
            return written.map_err(|error| format!("{file}: {error}"));
        }
        if !crate::asked("--check") {
            return Ok(());
        }
        let kept = fs::read_to_string(&path).map_err(|error| format!("{file}: {error}"))?;
        let grown = self.compare(&Self::parse(&kept), may_grow);
        if grown.is_empty() {
            println!("no more than in {file}");
            return Ok(());
        }
        Err(format!("more than in {file}:\n{}", grown.join("\n")))
    }

    /// What has grown. What has become less by as much is printed: it is worth writing down.
    fn compare(&self, before: &Self, may_grow: impl Fn(&str) -> (f64, f64)) -> Vec<String> {
        let mut grown = Vec::new();
        let names = self.numbers.keys().chain(before.numbers.keys());
        for name in names.collect::<std::collections::BTreeSet<_>>() {
            let of = |ledger: &Self| ledger.numbers.get(name).copied().unwrap_or(0.0);
            let (now, then) = (of(self), of(before));
            let (share, least) = may_grow(name);
            let most = (then * share).max(least);
            let line = format!("{name}: {now:.2}, before {then:.2}");
            if now > then + most {
                grown.push(line);
            } else if now < then - most {
                println!("less than before: {line}");
            }
        }
        grown
    }

    fn parse(text: &str) -> Self {
        let mut ledger = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, number)) = line.split_once(" = ")
                && let Ok(number) = number.parse()
            {
                ledger.note(name, number);
            }
        }
        ledger
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, number) in &self.numbers {
            writeln!(f, "{name} = {number:.2}")?;
        }
        Ok(())
    }
}
