//! Recognises metric families in protobuf.

use super::wire::{Field, WireError, delimited, fields};
use crate::model::kind::Kind;

/// How a body holds metric families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Each family has a length prefix.
    Delimited,
    /// One family without a length prefix.
    Undelimited,
}

/// The shape of a body, if it certainly holds metric families and nothing else.
pub fn shape(body: &[u8]) -> Option<Shape> {
    if is_family(body) {
        return Some(Shape::Undelimited);
    }
    let mut rest = body;
    while !rest.is_empty() {
        if !delimited(&mut rest).is_ok_and(is_family) {
            return None;
        }
    }
    (!body.is_empty()).then_some(Shape::Delimited)
}

/// Whether these are the fields of a family with a name and a metric.
fn is_family(message: &[u8]) -> bool {
    let (mut has_name, mut has_metric) = (false, false);
    let result = fields(message, |number, field| {
        match number {
            1 => {
                let name = std::str::from_utf8(field.bytes()?).map_err(|_| WireError::Invalid)?;
                has_name = !name.is_empty() && !name.contains(char::is_control);
            }
            2 | 5 => drop(field.bytes()?),
            3 => {
                let kind = i32::try_from(field.varint()?).ok().and_then(Kind::from_protobuf);
                kind.ok_or(WireError::Invalid)?;
            }
            4 => {
                check_metric(field.bytes()?)?;
                has_metric = true;
            }
            _ => return Err(WireError::Invalid),
        }
        Ok(())
    });
    result.is_ok() && has_name && has_metric
}

fn check_metric(message: &[u8]) -> Result<(), WireError> {
    fields(message, |number, field| match (number, field) {
        (1..=5 | 7, Field::Bytes(_)) | (6, Field::Varint(_)) => Ok(()),
        _ => Err(WireError::Invalid),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAMILY: &[u8] =
        b"\x0a\x04test\x18\x00\x22\x1a\x0a\x0d\x0a\x06status\x12\x03200\x1a\x09\x09\0\0\0\0\0\0\xf0\x3f";

    #[test]
    fn families_with_and_without_their_length() {
        assert_eq!(shape(FAMILY), Some(Shape::Undelimited));
        let with_length = [&[FAMILY.len() as u8], FAMILY].concat();
        assert_eq!(shape(&with_length), Some(Shape::Delimited));
        assert_eq!(shape(&with_length.repeat(3)), Some(Shape::Delimited));
    }

    #[test]
    fn other_bytes() {
        let cut = &FAMILY[..FAMILY.len() - 1];
        for body in [
            &b""[..],
            b"\x00",
            b"\n",
            b"m 1\n",
            b"# TYPE m gauge\nm 1\n",
            b"\x0a\x04test",
            cut,
            b"\x1f\x8b\x08\x00",
        ] {
            assert_eq!(shape(body), None, "{body:?}");
        }
        // A remote write: time series with labels and samples.
        let write = b"\x0a\x1c\x0a\x0d\x0a\x08__name__\x12\x01m\x12\x0b\x09\0\0\0\0\0\0\xf0\x3f\x10\x01";
        assert_eq!(shape(write), None);
    }
}
