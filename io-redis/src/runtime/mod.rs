//! What the adapter needs of its surroundings, and what production gives it.

pub(crate) mod clock;
pub mod seams;
