//! See `tenure_fuzz::config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|calls: tenure_fuzz::config::Calls| {
    tenure_fuzz::config::check(&calls);
});
