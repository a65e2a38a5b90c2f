//! See `tenure_fuzz::replies`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![no_main]

libfuzzer_sys::fuzz_target!(|nonsense: tenure_fuzz::replies::Nonsense| {
    let _ = tenure_fuzz::replies::check(&nonsense);
});
