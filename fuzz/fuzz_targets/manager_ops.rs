//! See `tenure_fuzz::manager_ops`.
#![no_main]

libfuzzer_sys::fuzz_target!(|steps: Vec<tenure_fuzz::manager_ops::Step>| {
    tenure_fuzz::manager_ops::check(&steps);
});
