//! Delimited protobuf: a stream of length-prefixed `io.prometheus.client.MetricFamily` messages.
//!
//! <https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto>. The
//! schema is small and frozen, so it is read and written by hand: reading borrows from the body, and
//! no message is built on the way.

mod read;
mod shape;
mod wire;
mod write;

pub use read::{ParseError, parse, parse_within};
pub use shape::{Shape, shape};
pub use write::ProtobufWriter;

/// Appends a message with its length in front.
pub fn delimit(out: &mut Vec<u8>, message: &[u8]) {
    wire::put_varint(out, message.len() as u64);
    out.extend_from_slice(message);
}

/// The first message of a stream, without its length; nothing where the stream ends within it.
pub fn undelimited(mut stream: &[u8]) -> &[u8] {
    wire::delimited(&mut stream).unwrap_or_default()
}
