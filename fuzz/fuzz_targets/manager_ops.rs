//! See `tenure_fuzz::manager_ops`.
#![no_main]

libfuzzer_sys::fuzz_target!(|history: tenure_fuzz::manager_ops::History| {
    let _ = tenure_fuzz::manager_ops::check(&history);
});
