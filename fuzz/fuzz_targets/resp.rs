//! See `tenure_fuzz::resp`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![no_main]

libfuzzer_sys::fuzz_target!(|input: tenure_fuzz::resp::Input| {
    tenure_fuzz::resp::check(&input);
});
