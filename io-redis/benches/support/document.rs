//! The places in `docs/performance.md` that benches write.

use std::fs;
use std::path::Path;

const DOCUMENT: &str = "docs/performance.md";

/// Puts this text into the place of a bench.
///
/// # Errors
/// If the document cannot be read or written, or has no such place.
pub fn write(bench: &str, text: &str) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join(DOCUMENT);
    let told = |error| format!("{DOCUMENT}: {error}");
    let whole = fs::read_to_string(&path).map_err(told)?;
    let begin = format!("<!-- The bench `{bench}` writes from here … -->\n");
    let end = "<!-- … to here. -->\n";
    let parts = whole.split_once(&begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(end)?;
        Some((before, after))
    });
    let none = || format!("{DOCUMENT} has no place for what {bench} writes");
    let (before, after) = parts.ok_or_else(none)?;
    let text = text.trim();
    fs::write(&path, format!("{before}{begin}\n{text}\n\n{end}{after}")).map_err(told)
}
