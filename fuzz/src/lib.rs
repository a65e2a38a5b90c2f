//! What the fuzz targets do with their input.
//!
//! The targets themselves are a line each. What they check is here, so that it compiles on a stable
//! compiler. `cargo test --manifest-path fuzz/Cargo.toml --lib` runs it on bytes from a small
//! generator, and `cargo test --workspace` on the inputs in `seeds`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod config;
pub mod manager_ops;
pub mod replies;
pub mod resp;
pub mod scenarios;

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeSet;

    use arbitrary::{Arbitrary, Unstructured};

    /// Runs a target's body on `rounds` inputs of pseudo-random bytes.
    fn on_random_bytes<T: for<'a> Arbitrary<'a>>(rounds: u64, check: impl Fn(&T)) {
        for seed in 1..=rounds {
            let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let len = 64 + seed as usize % 4096;
            let bytes: Vec<u8> = std::iter::repeat_with(|| {
                // xorshift64
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .take(len)
            .collect();
            if let Ok(input) = T::arbitrary(&mut Unstructured::new(&bytes)) {
                check(&input);
            }
        }
    }

    #[test]
    fn the_manager_keeps_its_promises_whatever_happens_to_it() {
        let told = RefCell::new(BTreeSet::new());
        on_random_bytes(3_000, |history| {
            told.borrow_mut().extend(crate::manager_ops::check(history));
        });
        // Every kind of event was told, so the histories came to the rare ones.
        let told = told.take();
        assert_eq!(told.len(), 8, "{told:?}");
    }

    #[test]
    fn a_configuration_that_is_accepted_can_work() {
        on_random_bytes(20_000, crate::config::check);
    }

    #[test]
    fn no_law_is_broken_in_a_world_of_any_bytes() {
        let grants = Cell::new(0);
        on_random_bytes(20, |bytes: &Vec<u8>| {
            grants.set(grants.get() + crate::scenarios::check(bytes).grants);
        });
        assert!(grants.get() > 20, "{grants:?}");
    }

    #[test]
    fn a_server_that_talks_nonsense_does_no_lasting_harm() {
        let held = Cell::new(0);
        on_random_bytes(200, |nonsense| {
            held.set(held.get() + u32::from(crate::replies::check(nonsense)));
        });
        assert!(held.get() > 10, "{held:?}");
    }

    #[test]
    fn no_bytes_bring_the_embedded_server_down() {
        on_random_bytes(2_000, crate::resp::check);
    }
}
