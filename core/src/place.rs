//! Places in the queue of a key: by what a node names the lease that waits there, and by which
//! request it was kept last.

use core::fmt;

use crate::token::Secret;

/// By which a node names the place of a lease, in pushes and in the queue.
///
/// It comes from the secret of the lease, so it is as random. But it does not tell the secret: it
/// has half of its bits, and whoever listens to pushes still has the other half to guess.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceId(u64);

impl PlaceId {
    /// That of the lease with this secret.
    #[must_use]
    pub const fn of(secret: &Secret) -> Self {
        let bits = u128::from_be_bytes(*secret.expose());
        let (high, low) = ((bits >> 64) as u64, bits as u64);
        Self(mix(mix(high).wrapping_add(low)))
    }

    /// That of a push.
    #[must_use]
    pub const fn new(bits: u64) -> Self {
        Self(bits)
    }

    /// Its bits, as the wire has them.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for PlaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlaceId(…)")
    }
}

/// The finalizer of SplitMix64: numbers that differ in any bit are mixed to others.
const fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// The place of a lease in the queue of its key. It is the same for as long as the lease lives, but
/// that a lease which hears no pushes any more enters one without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// What the node calls it.
    pub id: PlaceId,
    /// Whether the client listened to pushes when it entered. If not, the lease asks, by backoff.
    pub pushed: bool,
}

/// By which request a place was kept last: the number of the request among those of the lease,
/// modulo [`Serial::COUNT`].
///
/// A push names it, since a place that was forgotten and entered again has the same name: only the
/// request that kept it tells from when on the node's reservation counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Serial(u8);

impl Serial {
    /// How many there are.
    pub const COUNT: u8 = 64;

    /// That of a request.
    #[must_use]
    pub const fn of(request: u32) -> Self {
        Self((request % Self::COUNT as u32) as u8)
    }

    /// Its number, below [`Serial::COUNT`].
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Whether it is of a later request than the other, if fewer than half of all lie between them.
    #[must_use]
    pub const fn is_after(self, other: Self) -> bool {
        let ahead = (self.0 + Self::COUNT - other.0) % Self::COUNT;
        ahead != 0 && ahead < Self::COUNT / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_that_differ_in_one_bit_have_other_places() {
        let mut places = alloc::collections::BTreeSet::new();
        for bit in 0..128 {
            let secret = Secret::new((1_u128 << bit).to_be_bytes());
            assert!(places.insert(PlaceId::of(&secret)), "bit {bit}");
        }
        for byte in 1..=u8::MAX {
            assert!(places.insert(PlaceId::of(&Secret::new([byte; 16]))));
        }
    }

    #[test]
    fn the_later_of_two_serials_is_told_also_where_they_begin_anew() {
        let serial = Serial::of;
        assert!(serial(5).is_after(serial(4)));
        assert!(!serial(4).is_after(serial(5)));
        assert!(!serial(4).is_after(serial(4)));
        assert!(serial(64).is_after(serial(63)));
        assert!(!serial(63).is_after(serial(64)));
    }
}
