//! Delimited protobuf: a stream of length-prefixed `io.prometheus.client.MetricFamily` messages.
//!
//! <https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto>. The
//! schema is small and frozen, so it is read and written by hand: reading borrows from the body, and
//! no message is built on the way.

mod read;
mod wire;
mod write;

pub use read::{ParseError, parse};
pub use write::ProtobufWriter;
