//! Delimited protobuf: a stream of length-prefixed `io.prometheus.client.MetricFamily` messages.
//!
//! <https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto>. The schema is small
//! and frozen, so the code is written by hand: reading borrows from the body, and no message is built on the way.

mod content_type;
mod cost;
mod natives;
mod read;
mod shape;
mod wire;
mod write;

pub(super) use content_type::{CONTENT_TYPE, MEDIA_TYPE, are_delimited_families, is_body};
pub(super) use cost::cost;
pub use read::parse;
pub(super) use read::read;
pub use shape::{Shape, shape};
pub use write::ProtobufWriter;

/// Appends a message with its length prefix.
pub fn delimit(out: &mut Vec<u8>, message: &[u8]) {
    wire::put_varint(out, message.len() as u64);
    out.extend_from_slice(message);
}

/// Splits the message of a family into messages with one series each. Empty if it can't be read.
pub fn single_series(message: &[u8]) -> Vec<Vec<u8>> {
    let mut family = Vec::new();
    let mut metrics = Vec::new();
    let read = wire::fields(message, |number, field| {
        match (number, field) {
            (4, wire::Field::Bytes(metric)) => metrics.push(metric),
            (_, wire::Field::Bytes(bytes)) => put_bytes(&mut family, number, bytes),
            (_, wire::Field::Varint(value)) => {
                wire::put_varint(&mut family, number << 3);
                wire::put_varint(&mut family, value);
            }
            // A family has no other fields.
            _ => {}
        }
        Ok::<(), wire::WireError>(())
    });
    if read.is_err() {
        return Vec::new();
    }
    let single = |metric: &&[u8]| {
        let mut message = family.clone();
        put_bytes(&mut message, 4, metric);
        message
    };
    metrics.iter().map(single).collect()
}

fn put_bytes(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    wire::put_varint(out, number << 3 | 2);
    delimit(out, bytes);
}

/// The first message of a stream, without its length prefix. Empty if the stream ends within it.
pub fn undelimited(mut stream: &[u8]) -> &[u8] {
    wire::delimited(&mut stream).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bumpalo::Bump;

    #[test]
    fn a_family_is_split_into_its_series() {
        let mut message = Vec::new();
        put_bytes(&mut message, 1, b"m");
        message.extend([3 << 3, 1]);
        for value in [1.0f64, 2.0] {
            let mut metric = vec![2 << 3 | 2, 9, 1 << 3 | 1];
            metric.extend(value.to_le_bytes());
            put_bytes(&mut message, 4, &metric);
        }
        let single = single_series(&message);
        assert_eq!(single.len(), 2);
        for message in single {
            let mut stream = Vec::new();
            delimit(&mut stream, &message);
            let arena = Bump::new();
            let body = parse(&stream, &arena).unwrap();
            assert_eq!((body.families[0].name, body.series_count()), ("m", 1));
        }
        assert!(single_series(&[0xff]).is_empty());
    }
}
