//! Reads the content of a chunked body and finds its end (RFC 9112, 7.1).

use std::ops::ControlFlow;

/// What the next byte of a chunked body belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Chunks {
    /// The first digit of a size.
    #[default]
    Start,
    /// More digits of a size, with its value so far.
    Size(u64),
    /// The rest of the line behind the size of a chunk.
    Extension(u64),
    ExtensionLf(u64),
    /// The content of a chunk, with the number of bytes to come.
    Data(u64),
    /// The line end behind a chunk.
    DataCr,
    DataLf,
    /// Behind the last chunk: the start of a line, a trailer, and the line end that ends the body.
    LineStart,
    Trailer,
    TrailerLf,
    End,
}

/// The body is not chunked correctly.
#[derive(Debug)]
pub(super) struct Malformed;

impl Chunks {
    /// Reads bytes and appends the content of the chunks to `data`. If the body ends, breaks with the number of
    /// bytes that belong to it.
    pub(super) fn read(&mut self, bytes: &[u8], data: &mut Vec<u8>) -> ControlFlow<Result<usize, Malformed>> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let (next, length) = match (*self, byte) {
                (Chunks::Start, _) => match hex(byte) {
                    Some(digit) => (Chunks::Size(digit), 1),
                    None => return ControlFlow::Break(Err(Malformed)),
                },
                (Chunks::Size(size), b'\r' | b';' | b' ' | b'\t') => (Chunks::Extension(size), 0),
                (Chunks::Size(size), _) => match hex(byte).zip(size.checked_mul(16)) {
                    Some((digit, size)) => (Chunks::Size(size | digit), 1),
                    None => return ControlFlow::Break(Err(Malformed)),
                },
                (Chunks::Extension(size), _) => match line_end(&bytes[at..]) {
                    Some((end, b'\r')) => (Chunks::ExtensionLf(size), end + 1),
                    // A proxy may read a carriage return without a line feed differently, so it is refused.
                    Some(_) => return ControlFlow::Break(Err(Malformed)),
                    None => (*self, bytes.len() - at),
                },
                (Chunks::ExtensionLf(0), b'\n') => (Chunks::LineStart, 1),
                (Chunks::ExtensionLf(size), b'\n') => (Chunks::Data(size), 1),
                (Chunks::Data(left), _) => {
                    let here = bytes.len() - at;
                    let (next, length) = match usize::try_from(left) {
                        Ok(left) if left <= here => (Chunks::DataCr, left),
                        _ => (Chunks::Data(left - here as u64), here),
                    };
                    data.extend_from_slice(&bytes[at..at + length]);
                    (next, length)
                }
                (Chunks::DataCr, b'\r') => (Chunks::DataLf, 1),
                (Chunks::DataLf, b'\n') => (Chunks::Start, 1),
                (Chunks::LineStart, b'\r') => (Chunks::End, 1),
                (Chunks::LineStart, _) => (Chunks::Trailer, 0),
                (Chunks::Trailer, _) => match line_end(&bytes[at..]) {
                    Some((end, b'\r')) => (Chunks::TrailerLf, end + 1),
                    Some(_) => return ControlFlow::Break(Err(Malformed)),
                    None => (*self, bytes.len() - at),
                },
                (Chunks::TrailerLf, b'\n') => (Chunks::LineStart, 1),
                (Chunks::End, b'\n') => return ControlFlow::Break(Ok(at + 1)),
                (
                    Chunks::ExtensionLf(_)
                    | Chunks::DataCr
                    | Chunks::DataLf
                    | Chunks::TrailerLf
                    | Chunks::End,
                    _,
                ) => {
                    return ControlFlow::Break(Err(Malformed));
                }
            };
            *self = next;
            at += length;
        }
        ControlFlow::Continue(())
    }
}

/// The position and value of the first byte that can end a line.
fn line_end(bytes: &[u8]) -> Option<(usize, u8)> {
    memchr::memchr2(b'\r', b'\n', bytes).map(|at| (at, bytes[at]))
}

fn hex(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the body ends, however it is split, and its content. `None` if it does not end.
    fn read(bytes: &[u8]) -> (Option<Result<usize, ()>>, Vec<u8>) {
        let mut data = Vec::new();
        let whole = match Chunks::default().read(bytes, &mut data) {
            ControlFlow::Break(end) => Some(end.map_err(|_| ())),
            ControlFlow::Continue(()) => None,
        };
        let (mut chunks, mut same_data) = (Chunks::default(), Vec::new());
        let single =
            bytes.iter().enumerate().find_map(|(at, byte)| match chunks.read(&[*byte], &mut same_data) {
                ControlFlow::Break(end) => Some(end.map(|length| at + length).map_err(|_| ())),
                ControlFlow::Continue(()) => None,
            });
        assert_eq!((&whole, &data), (&single, &same_data), "{bytes:?}");
        (whole, data)
    }

    fn end(bytes: &[u8]) -> Option<Result<usize, ()>> {
        read(bytes).0
    }

    #[test]
    fn the_end_of_a_body() {
        for (body, behind) in [
            ("0\r\n\r\n", "GET"),
            ("4\r\nabcd\r\n0\r\n\r\n", "0\r\n\r\n"),
            ("009;x=\"y\"\r\n0\r\n\r\n0\r\n\r\r\n0 \t\r\n\r\n", "\r\n"),
            ("1\r\na\r\n0\r\nTrailer: x\r\nOther: y\r\n\r\n", ""),
        ] {
            assert_eq!(end(format!("{body}{behind}").as_bytes()), Some(Ok(body.len())), "{body:?}");
            assert_eq!(end(&body.as_bytes()[..body.len() - 1]), None, "{body:?}");
        }
        for malformed in [
            "\r\n",
            "g\r\n",
            "1x\r\n",
            "1\r\nab",
            "1\r\na\rb",
            "0\r\n\ra",
            "11111111111111111\r\n",
            "1;x\nab",
            "1;x\ry\nab",
            "0\r\nT: x\n\r\n",
        ] {
            assert_eq!(end(malformed.as_bytes()), Some(Err(())), "{malformed:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_in_the_chunks(
            chunks in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 1..40), 0..6),
            extension in "(;[a-z=\"]{0,9}| )?",
            behind in proptest::collection::vec(proptest::num::u8::ANY, 0..40),
        ) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n\r\n");
            let (end, data) = read(&[&*body, &*behind].concat());
            proptest::prop_assert_eq!((end, data), (Some(Ok(body.len())), chunks.concat()));
        }
    }
}
