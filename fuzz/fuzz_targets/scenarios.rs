//! See `tenure_fuzz::scenarios`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = tenure_fuzz::scenarios::check(bytes);
});
