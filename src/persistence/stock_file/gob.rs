//! The primitives of gob: integers, strings of bytes, messages and struct fields.

use super::{Fault, StockFileError};

/// A position in the file, and the end of what may be read from there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    /// The file up to that end.
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(file: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes: file, at: 0 }
    }

    fn left(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.left().is_empty()
    }

    /// A fault at this position.
    pub(super) fn error(&self, fault: Fault) -> StockFileError {
        StockFileError { offset: self.at, fault }
    }

    /// Reads an unsigned integer: one byte if it is below 128. Otherwise the first byte is the negated number of
    /// bytes that follow, most significant first.
    pub(super) fn uint(&mut self) -> Result<u64, StockFileError> {
        let Some((&first, rest)) = self.left().split_first() else { return Err(self.error(Fault::Ended)) };
        if first < 0x80 {
            self.at += 1;
            return Ok(first.into());
        }
        let length = usize::from(first.wrapping_neg());
        if length > size_of::<u64>() {
            return Err(self.error(Fault::Integer));
        }
        let bytes = rest.get(..length).ok_or_else(|| self.error(Fault::Ended))?;
        self.at += 1 + length;
        Ok(bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    /// Reads a signed integer. Its lowest bit says whether the other bits are complemented.
    pub(super) fn int(&mut self) -> Result<i64, StockFileError> {
        let bits = self.uint()?;
        // After the shift the value fits a signed integer.
        let value = (bits >> 1) as i64;
        Ok(if bits & 1 == 0 { value } else { !value })
    }

    /// Reads a string, or another value with a length prefix.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], StockFileError> {
        let start = *self;
        let length = self.uint()?;
        let left = self.left();
        let taken = usize::try_from(length).ok().and_then(|length| left.get(..length));
        let taken = taken.ok_or_else(|| start.error(Fault::Length { length, left: left.len() }))?;
        self.at += taken.len();
        Ok(taken)
    }

    /// Reads the number of entries of a map or list. Each entry has at least one byte.
    pub(super) fn count(&mut self) -> Result<usize, StockFileError> {
        let start = *self;
        let count = self.uint()?;
        let left = self.left().len();
        let possible = usize::try_from(count).ok().filter(|&count| count <= left);
        possible.ok_or_else(|| start.error(Fault::Count { count, left }))
    }

    /// Reads the next message, which is not empty.
    pub(super) fn message(&mut self) -> Result<Cursor<'a>, StockFileError> {
        let start = *self;
        if self.is_at_end() {
            return Err(self.error(if self.at == 0 { Fault::Empty } else { Fault::NoValue }));
        }
        let length = self.uint()?;
        let left = self.left().len();
        let possible = usize::try_from(length).ok().filter(|&length| length <= left);
        let length = possible.ok_or_else(|| start.error(Fault::CutOff { length, left }))?;
        let content = Cursor { bytes: self.bytes.get(..self.at + length).unwrap_or_default(), at: self.at };
        self.at += length;
        Ok(content)
    }

    /// Reads a struct. Calls `each` for every field that it has, with the number of the field.
    pub(super) fn fields(
        &mut self,
        mut each: impl FnMut(&mut Cursor<'a>, usize) -> Result<(), StockFileError>,
    ) -> Result<(), StockFileError> {
        let mut next = 0usize;
        loop {
            let start = *self;
            let delta = self.uint()?;
            // Each field comes with the distance to the field before. The first field (number 0) has distance 1. 0
            // ends the struct.
            let Some(skipped) = delta.checked_sub(1) else { return Ok(()) };
            let number = usize::try_from(skipped).ok().and_then(|skipped| next.checked_add(skipped));
            let number = number.filter(|&number| number < usize::MAX);
            let number = number.ok_or_else(|| start.error(Fault::FieldNumber))?;
            each(self, number)?;
            next = number + 1;
        }
    }
}

/// Appends an unsigned integer.
pub(super) fn put_uint(out: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        out.push(value as u8);
        return;
    }
    let unused = value.leading_zeros() / 8;
    out.push(((8 - unused) as u8).wrapping_neg());
    out.extend(value.to_be_bytes().iter().skip(unused as usize));
}

/// Appends a signed integer.
pub(super) fn put_int(out: &mut Vec<u8>, value: i64) {
    let complemented = if value < 0 { !value } else { value };
    put_uint(out, (complemented as u64) << 1 | u64::from(value < 0));
}

/// Appends the number of entries of a map or list.
pub(super) fn put_count(out: &mut Vec<u8>, count: usize) {
    put_uint(out, count as u64);
}

/// Appends a string, or another value with a length prefix.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_as_go_writes_them() {
        for (value, bytes) in [
            (0, &[0][..]),
            (127, &[127]),
            (128, &[0xff, 128]),
            (256, &[0xfe, 1, 0]),
            (u64::MAX, &[0xf8, 255, 255, 255, 255, 255, 255, 255, 255]),
        ] {
            let mut out = Vec::new();
            put_uint(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(Cursor::new(bytes).uint(), Ok(value));
        }
        for (value, bytes) in [(0, &[0][..]), (-1, &[1]), (65, &[0xff, 130]), (-65, &[0xff, 129])] {
            let mut out = Vec::new();
            put_int(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(Cursor::new(bytes).int(), Ok(value));
        }
        // Longer than needed, but Go accepts it.
        assert_eq!(Cursor::new(&[0xfe, 0, 5]).uint(), Ok(5));
    }

    /// The fault of reading something after one byte, with its position.
    fn fault<T: std::fmt::Debug>(
        bytes: &'static [u8],
        take: impl Fn(&mut Cursor<'static>) -> Result<T, StockFileError>,
    ) -> Fault {
        let mut cursor = Cursor::new(bytes);
        assert_eq!(cursor.uint(), Ok(1));
        let error = take(&mut cursor).unwrap_err();
        assert_eq!(error.offset, 1);
        error.fault
    }

    #[test]
    fn what_is_too_long_is_refused_where_it_begins() {
        assert_eq!(fault(&[1], Cursor::uint), Fault::Ended);
        assert_eq!(fault(&[1, 0xfe, 1], Cursor::uint), Fault::Ended);
        assert_eq!(fault(&[1, 0xf7, 1, 1, 1, 1, 1, 1, 1, 1, 1], Cursor::uint), Fault::Integer);
        assert_eq!(fault(&[1, 0x80], Cursor::uint), Fault::Integer);
        assert_eq!(fault(&[1, 3, 0, 0], Cursor::bytes), Fault::Length { length: 3, left: 2 });
        let most = &[1, 0xf8, 255, 255, 255, 255, 255, 255, 255, 255, 0];
        assert_eq!(fault(most, Cursor::count), Fault::Count { count: u64::MAX, left: 1 });
        assert_eq!(fault(most, Cursor::bytes), Fault::Length { length: u64::MAX, left: 1 });
        assert_eq!(fault(most, Cursor::message), Fault::CutOff { length: u64::MAX, left: 1 });
        assert_eq!(fault(&[1], Cursor::message), Fault::NoValue);
        assert_eq!(Cursor::new(&[]).message().unwrap_err().fault, Fault::Empty);
    }

    #[test]
    fn a_message_ends_where_it_says() {
        let mut file = Cursor::new(&[1, 7, 2, 8, 9]);
        let mut first = file.message().unwrap();
        let mut second = file.message().unwrap();
        assert_eq!((first.uint(), second.uint(), second.uint()), (Ok(7), Ok(8), Ok(9)));
        assert!(first.is_at_end() && second.is_at_end() && file.is_at_end());
        assert_eq!(first.uint(), Err(StockFileError { offset: 2, fault: Fault::Ended }));
    }

    #[test]
    fn fields_are_counted_from_zero() {
        let mut seen = Vec::new();
        let mut cursor = Cursor::new(&[1, 10, 1, 11, 3, 14, 0, 99]);
        cursor
            .fields(|cursor, number| {
                seen.push((number, cursor.uint()?));
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, [(0, 10), (1, 11), (4, 14)]);
        assert_eq!(cursor.uint(), Ok(99));

        let far = [1, 0xf8, 255, 255, 255, 255, 255, 255, 255, 255, 0];
        let fault = Cursor::new(&far).fields(|_, _| Ok(())).unwrap_err();
        assert_eq!(fault, StockFileError { offset: 1, fault: Fault::FieldNumber });
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(uint: u64, shift in 0..64u32, int: i64, bytes: Vec<u8>) {
            let mut out = Vec::new();
            put_uint(&mut out, uint >> shift);
            put_int(&mut out, int >> shift);
            put_bytes(&mut out, &bytes);
            let mut cursor = Cursor::new(&out);
            prop_assert_eq!(cursor.uint(), Ok(uint >> shift));
            prop_assert_eq!(cursor.int(), Ok(int >> shift));
            prop_assert_eq!(cursor.bytes(), Ok(&bytes[..]));
            prop_assert!(cursor.is_at_end());
        }
    }
}
