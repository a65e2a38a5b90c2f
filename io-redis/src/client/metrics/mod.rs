//! What a client tells the `metrics` facade: all that it counts and measures, or nothing, if the
//! feature is off.

#[cfg(not(feature = "metrics"))]
mod off;
#[cfg(feature = "metrics")]
mod on;

#[cfg(not(feature = "metrics"))]
pub(crate) use self::off::Metrics;
#[cfg(feature = "metrics")]
pub(crate) use self::on::Metrics;
