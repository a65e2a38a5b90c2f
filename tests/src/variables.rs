//! What environment variables say to tests.

/// The number that the variable gives, if it is set.
///
/// # Panics
/// If it is no whole number. A misspelt one would otherwise run the usual, and look as if it were
/// what was asked for.
#[must_use]
#[track_caller]
pub fn number(name: &str) -> Option<u64> {
    let value = std::env::var_os(name)?;
    let number = value.to_str().and_then(|text| text.parse().ok());
    Some(number.unwrap_or_else(|| panic!("{name} must be a whole number, and is {value:?}")))
}
