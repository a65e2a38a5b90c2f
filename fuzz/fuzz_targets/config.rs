//! See `tenure_fuzz::config`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![no_main]

libfuzzer_sys::fuzz_target!(|calls: tenure_fuzz::config::Calls| {
    tenure_fuzz::config::check(&calls);
});
