//! **Ownership.** No request changes another owner's key, but to break it by force.
//!
//! # What is promised
//!
//! Each attempt to take a lock has a token of its own: 128 random bits and the number of the
//! attempt. The lock key holds the token of its owner. Every request compares it on the server,
//! inside one Lua script, before it writes:
//!
//! - To acquire writes only if the key is absent, or holds an earlier attempt of the same lease.
//! - To renew writes only if the key holds exactly this token.
//! - To release deletes only if the key holds this lease, in this attempt or an earlier one.
//!
//! A key without an expiry that is not ours is told as [foreign](crate::LockError::Foreign), and
//! one of another type as a [wrong type](crate::LockError::WrongType). Neither is touched.
//!
//! There is one exception, which nothing but an operator's call makes:
//! [`Locks::break_lock`](crate::Locks::break_lock). It names the token that the operator was shown,
//! by a digest, and deletes only a key that holds this one still.
//!
//! # Assumptions
//!
//! - Redis runs a script as one step.
//! - Nobody guesses 128 random bits of the operating system, and nobody finds two values of one
//!   SHA-1 digest among them.
//!
//! # Without them
//!
//! There is no Redis without the first. If the random bits can be guessed, or are copied with a
//! virtual machine's memory, two leases may have one token, and each can renew and release the
//! other.
//!
//! # What this does not cover
//!
//! It is a promise about Tenure's requests, not about those of other programs. **A program that
//! deletes a key without comparing its value takes anybody's lock away.** A hand-written `SET NX`
//! with a `DEL` behind it does so; so does goredislock. Tenure notices at the next renewal and
//! tells [`Loss::Gone`](crate::Loss::Gone), or [`Loss::Taken`](crate::Loss::Taken) if somebody else
//! has the key by then. Until then, two may hold it.
//!
//! # What to do
//!
//! - Do not share a key with a program that deletes without comparing.
//! - Use a [prefix](crate::Builder::prefix), and let an ACL keep other users from it.
//! - To see who holds a key, use [`Locks::inspect`](crate::Locks::inspect), and for all keys
//!   [`Locks::scan`](crate::Locks::scan). They change nothing.
//! - To take a key away from a holder, use [`Locks::break_lock`](crate::Locks::break_lock) and not
//!   `DEL`: it takes nobody else's, and whoever waits gets the lock at once.
