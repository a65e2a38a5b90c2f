//! **No orphan.** What is dropped is freed, and all that is written expires.
//!
//! # What is promised
//!
//! - A future of [`Locks::lock`](crate::Locks::lock) that is dropped at any point, and a guard that
//!   is dropped at any time, free their key in one round trip if the network works.
//! - A waiter that gives up or is dropped leaves its place by one request, and if the lock was
//!   handed to it meanwhile, by the same one it is handed on. So do all waiters of a client that is
//!   [closed](crate::Locks::close): they are told [`LockError::Closed`](crate::LockError::Closed).
//! - What may have been written counts as written. If the answer to an acquire never came, the node
//!   is sent a release all the same.
//! - A release that fails is sent again, after a pause of 50 ms that grows to 1 s, until a node
//!   answers it or the key has expired by itself.
//! - Over several nodes a waiter that has the lock removes the places that it left at other nodes
//!   with its first renewal, or with its release if that comes earlier.
//! - A place that nobody keeps any more ends after one TTL, and what is handed to it ends then.
//! - A process that crashes, or whose runtime ends, leaves a key for at most one TTL; so does a
//!   client one of whose tasks panics. The other tasks of such a client end at once.
//! - Everything that is written has an expiry: a key its TTL, a queue that of the last place in it
//!   and up to ten seconds more, the fence stream of one node two days, a fence counter one day,
//!   the marker of a node one day and ten max TTLs.
//!
//! # Assumptions
//!
//! - The client's tasks still run when a guard is dropped. `drop` only queues the release.
//! - A request does not reach the server after its connection was given up. When the link connects
//!   again, its first command kills the connection before it (`CLIENT KILL ID`), so that whatever
//!   still travels on it is never run.
//! - Nobody takes the expiry from a key (`PERSIST`).
//!
//! # Without them
//!
//! - **A program that ends right after a drop** may end before the release was sent. The key stays
//!   for at most one TTL.
//! - **Where `CLIENT KILL` is not permitted**, and over a [connection of your
//!   own](crate::Builder::connection), a late acquire may land after its release. The key stays for
//!   at most one TTL.
//! - **Where the user's rights or password are taken back**, a release that the node refuses is
//!   answered, and not sent again, even if the rights are given back at once. The key stays for
//!   what is left of its TTL. A place stays for what is left of it, and if the lock is handed to it
//!   meanwhile, so does the lock.
//! - **A guard that is leaked** (`std::mem::forget`) renews itself until its client is closed.
//! - **A server's clock that is set back** makes its keys live longer, by as much.
//! - **A key whose expiry was taken** stays until its holder renews it, which gives it an expiry
//!   again, or until somebody deletes it.
//!
//! # What to do
//!
//! - Before the program ends, await [`Guard::release`](crate::Guard::release) or
//!   [`Locks::close`](crate::Locks::close).
//! - Permit `CLIENT KILL` to the user, with `CLIENT ID` and `INFO`.
