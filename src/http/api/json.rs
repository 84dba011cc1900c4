//! Writes JSON as Go does, in chunks.

use std::fmt::Display;
use std::io::{self, Write};

use serde::{Serialize, Serializer};

use crate::gateway::source::ReceiverGone;
use crate::http::{compress, stream};
use crate::message::bounded;

/// How many bytes are written before they are sent.
const CHUNK_BYTES: usize = 64 * 1024;

/// A list whose items are created one by one while it is written.
pub(super) struct Each<F>(pub(super) F);

impl<I, F> Serialize for Each<F>
where
    I: IntoIterator<Item: Serialize>,
    F: Fn() -> I,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

/// The answer of the API where all is well.
#[derive(Serialize)]
pub(super) struct Success<T> {
    pub(super) status: &'static str,
    pub(super) data: T,
}

/// The answer of the API where something is wrong.
#[derive(Serialize)]
struct Failed {
    status: &'static str,
    #[serde(rename = "errorType")]
    error_type: &'static str,
    error: String,
}

/// The answer with this data.
pub(in crate::http) fn success_json(data: &impl Serialize) -> String {
    to_json(&Success { status: "success", data })
}

/// The answer to what went wrong; `kind` is the word for it that clients of Prometheus know.
pub(in crate::http) fn error_json(kind: &'static str, error: &impl Display) -> String {
    to_json(&Failed { status: "error", error_type: kind, error: bounded(error) })
}

/// JSON as Go writes it: characters that could be taken for HTML are escaped.
pub(super) fn to_json(value: &impl Serialize) -> String {
    let mut out = Vec::new();
    // Strings, booleans and maps of them can always be written.
    let _ = serde_json::to_writer(Escaping(&mut out), value);
    String::from_utf8(out).unwrap_or_default()
}

/// As [`to_json`], but `None` if it has more than `most` bytes.
pub(super) fn to_short_json(value: &impl Serialize, most: usize) -> Option<String> {
    let mut out = Short { out: Vec::new(), most };
    serde_json::to_writer(Escaping(&mut out), value).ok()?;
    String::from_utf8(out.out).ok()
}

/// As [`to_json`], but sends the output in chunks while it writes, compressed with `is_gzip`.
///
/// # Errors
///
/// If the client has gone.
pub(super) fn send_json(
    value: &impl Serialize,
    is_gzip: bool,
    send: stream::Send<'_>,
) -> Result<(), ReceiverGone> {
    let passed = compress::Chunks::new(is_gzip);
    let mut chunks = Chunks { chunk: Vec::with_capacity(CHUNK_BYTES), passed, send };
    serde_json::to_writer(Escaping(&mut chunks), value).map_err(|_| ReceiverGone)?;
    chunks.finish()
}

/// Escapes the characters that Go escapes and `serde_json` does not. `serde_json` never splits a character.
struct Escaping<W>(W);

impl<W: Write> Write for Escaping<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = 0;
        let odd = |byte: &u8| matches!(byte, b'<' | b'>' | b'&' | 0xE2);
        let mut from = 0;
        while let Some(at) = bytes[from..].iter().position(odd).map(|at| from + at) {
            let (escape, length): (&[u8], usize) = match &bytes[at..] {
                [b'<', ..] => (br"\u003c", 1),
                [b'>', ..] => (br"\u003e", 1),
                [b'&', ..] => (br"\u0026", 1),
                // U+2028 and U+2029.
                [0xE2, 0x80, 0xA8, ..] => (br"\u2028", 3),
                [0xE2, 0x80, 0xA9, ..] => (br"\u2029", 3),
                _ => {
                    from = at + 1;
                    continue;
                }
            };
            self.0.write_all(&bytes[written..at])?;
            self.0.write_all(escape)?;
            from = at + length;
            written = from;
        }
        self.0.write_all(&bytes[written..])?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

struct Short {
    out: Vec<u8>,
    most: usize,
}

impl Write for Short {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.out.len() + bytes.len() > self.most {
            return Err(io::Error::other("too long"));
        }
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Chunks<'a> {
    chunk: Vec<u8>,
    passed: compress::Chunks,
    send: stream::Send<'a>,
}

impl Chunks<'_> {
    fn send(&mut self, chunk: Vec<u8>) -> Result<(), ReceiverGone> {
        let passed = self.passed.pass(chunk.into()).map_err(|_| ReceiverGone)?;
        (self.send)(passed)
    }

    fn finish(mut self) -> Result<(), ReceiverGone> {
        let last = std::mem::take(&mut self.chunk);
        self.send(last)?;
        let end = self.passed.finish().map_err(|_| ReceiverGone)?;
        if end.is_empty() { Ok(()) } else { (self.send)(end) }
    }
}

impl Write for Chunks<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(CHUNK_BYTES - self.chunk.len())];
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() == CHUNK_BYTES {
            let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK_BYTES));
            self.send(chunk).map_err(|ReceiverGone| io::ErrorKind::BrokenPipe)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_go_writes_json() {
        assert_eq!(
            to_json(&"<a&b>\u{2028}\"\n\u{2030}"),
            "\"\\u003ca\\u0026b\\u003e\\u2028\\\"\\n\u{2030}\""
        );
    }

    /// Checks that the first bytes, or all, have come.
    fn assert_have_come(come: &[u8], whole: &str, bytes: usize) {
        assert_eq!(come, &whole.as_bytes()[..bytes.min(whole.len())]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn however_it_is_written_it_is_the_same(
            values in prop::collection::vec(("[<a\u{2028}\u{2029}é]{0,9}", 0usize..9000), 0..6),
        ) {
            let values: Vec<String> = values.iter().map(|(text, times)| text.repeat(*times)).collect();
            let (mut sent, mut largest) = (Vec::new(), 0);
            let whole = to_json(&values);
            let list = Each(|| values.iter());
            send_json(&list, false, &mut |chunk| {
                largest = largest.max(chunk.len());
                sent.extend_from_slice(&chunk);
                Ok(())
            }).unwrap();
            // Each part can be read without those that follow.
            let (mut decoder, mut parts) = (flate2::write::GzDecoder::new(Vec::new()), 0);
            send_json(&list, true, &mut |chunk| {
                decoder.write_all(&chunk).unwrap();
                decoder.flush().unwrap();
                parts += CHUNK_BYTES;
                assert_have_come(decoder.get_ref(), &whole, parts);
                Ok(())
            }).unwrap();
            prop_assert_eq!(decoder.finish().unwrap(), whole.as_bytes());
            prop_assert_eq!(&sent, whole.as_bytes());
            prop_assert!(largest <= CHUNK_BYTES);
            let short = to_short_json(&list, whole.len());
            prop_assert_eq!(short.as_ref(), Some(&whole));
            prop_assert_eq!(to_short_json(&list, whole.len() - 1), None);
            prop_assert_eq!(serde_json::from_slice::<Vec<String>>(&sent).unwrap(), values);
        }
    }
}
