//! The protocol with a node: how requests are written as calls of the scripts, and what the replies
//! mean.

pub(crate) mod acknowledge;
pub(crate) mod batch;
pub(crate) mod breaking;
pub(crate) mod decode;
#[cfg(test)]
mod decode_tests;
pub(crate) mod encode;
pub(crate) mod health;
pub(crate) mod inspection;
pub(crate) mod key;
pub(crate) mod marker;
pub(crate) mod push;
pub(crate) mod scan;
pub(crate) mod scripts;
pub(crate) mod sentinel;
pub(crate) mod stream;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod words;
