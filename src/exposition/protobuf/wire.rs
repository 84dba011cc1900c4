//! The protobuf wire format: varints, tags and fields.
//!
//! <https://protobuf.dev/programming-guides/encoding/>

/// Why bytes are not a protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WireError {
    /// The bytes end within a field.
    Truncated,
    /// A varint has more than 64 bits.
    Overflow,
    /// A field has a type that doesn't exist, or one that its number doesn't have.
    Invalid,
}

/// One field of a message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

impl<'a> Field<'a> {
    pub(super) fn bytes(self) -> Result<&'a [u8], WireError> {
        match self {
            Field::Bytes(bytes) => Ok(bytes),
            _ => Err(WireError::Invalid),
        }
    }

    pub(super) fn double(self) -> Result<f64, WireError> {
        match self {
            Field::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(WireError::Invalid),
        }
    }

    pub(super) fn varint(self) -> Result<u64, WireError> {
        match self {
            Field::Varint(value) => Ok(value),
            _ => Err(WireError::Invalid),
        }
    }
}

/// Reads a varint from the front of `bytes`.
#[inline]
pub(super) fn varint(bytes: &mut &[u8]) -> Result<u64, WireError> {
    let mut value = 0u64;
    for at in 0..10 {
        let byte = *bytes.get(at).ok_or(WireError::Truncated)?;
        if at == 9 && byte > 1 {
            return Err(WireError::Overflow);
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            *bytes = &bytes[at + 1..];
            return Ok(value);
        }
    }
    Err(WireError::Overflow)
}

/// Decodes the zigzag encoding of a signed integer.
pub(super) fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn take<'a>(bytes: &mut &'a [u8], length: u64) -> Result<&'a [u8], WireError> {
    let length = usize::try_from(length).map_err(|_| WireError::Truncated)?;
    let (taken, rest) = bytes.split_at_checked(length).ok_or(WireError::Truncated)?;
    *bytes = rest;
    Ok(taken)
}

/// Reads bytes with a length prefix from the front of `bytes`.
#[inline]
pub(super) fn delimited<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], WireError> {
    let length = varint(bytes)?;
    take(bytes, length)
}

/// Calls `each` with the number and content of every field of `message`.
#[inline]
pub(super) fn fields<'a, E: From<WireError>>(
    message: &'a [u8],
    mut each: impl FnMut(u64, Field<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let mut rest = message;
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        let field = match tag & 7 {
            0 => Field::Varint(varint(&mut rest)?),
            1 => {
                let bytes = take(&mut rest, 8)?;
                Field::Fixed64(u64::from_le_bytes(bytes.try_into().map_err(|_| WireError::Truncated)?))
            }
            2 => Field::Bytes(delimited(&mut rest)?),
            5 => {
                take(&mut rest, 4)?;
                Field::Fixed32
            }
            _ => return Err(WireError::Invalid.into()),
        };
        let number = tag >> 3;
        if number == 0 {
            return Err(WireError::Invalid.into());
        }
        each(number, field)?;
    }
    Ok(())
}

/// Appends a varint.
#[inline]
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes a varint takes.
#[inline]
pub(super) fn varint_bytes(value: u64) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        _ => (64 - value.leading_zeros() as usize).div_ceil(7),
    }
}

/// Appends an integer field.
pub(super) fn put_uint(out: &mut Vec<u8>, number: u64, value: u64) {
    put_varint(out, number << 3);
    put_varint(out, value);
}

/// Appends a signed integer field.
pub(super) fn put_sint(out: &mut Vec<u8>, number: u64, value: i64) {
    put_uint(out, number, (value << 1 ^ value >> 63) as u64);
}

/// Appends a double field.
#[inline]
pub(super) fn put_double(out: &mut Vec<u8>, number: u64, value: f64) {
    put_varint(out, number << 3 | 1);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

/// Appends a string field.
#[inline]
pub(super) fn put_string(out: &mut Vec<u8>, number: u64, value: &str) {
    put_varint(out, number << 3 | 2);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value.as_bytes());
}

/// Appends a message field, whose content `fill` writes.
#[inline]
pub(super) fn put_message(out: &mut Vec<u8>, number: u64, fill: impl FnOnce(&mut Vec<u8>)) {
    put_varint(out, number << 3 | 2);
    // Nearly every message here is shorter than 128 bytes, so one byte is reserved for its length.
    let length_at = out.len();
    out.push(0);
    fill(out);
    let length = out.len() - length_at - 1;
    if length < 0x80 {
        out[length_at] = length as u8;
    } else {
        let mut prefix = Vec::with_capacity(5);
        put_varint(&mut prefix, length as u64);
        out.splice(length_at..=length_at, prefix);
    }
}
