//! See `tenure_fuzz::manager_ops`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![no_main]

libfuzzer_sys::fuzz_target!(|history: tenure_fuzz::manager_ops::History| {
    let _ = tenure_fuzz::manager_ops::check(&history);
});
