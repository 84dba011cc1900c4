//! Finds where the requests of a connection begin and end, and hides parts of their heads from the HTTP library.
//!
//! The library refuses targets with bytes beyond ASCII, which some clients send, and cuts them at `#`. Both are
//! escaped here, as the client should have done. The library takes everything behind `Upgrade: websocket` and
//! `CONNECT` for the body, closes the connection after `Connection: upgrade`, and sends `100 Continue` before
//! anybody has looked at the request. A suffix turns these words into unknown ones. It can't replace them, because
//! the beginning of a word may have been passed on before its end arrives.
//!
//! A chunked body is passed on in chunks as large as the data that was read. The library keeps each chunk
//! separately, so very small ones would take many times the memory of their content.
//!
//! Requests are passed on one at a time. The next one waits until the library has parsed the one before, so a
//! refusal is always about the last head that it was given.

mod chunks;
mod fields;

use std::ops::{ControlFlow, Range};

use chunks::Chunks;
pub(super) use fields::Expectation;
use fields::{Field, Framing, Word};

/// The part of a head that is kept for error messages. The library has all of it too, and there may be many
/// connections.
const MOST_KEPT: usize = 16 * 1024;

/// The suffix that hides a word from the library.
const IGNORED: &[u8] = b"-ignored";

/// A placeholder for the size of a chunk.
const EMPTY_CHUNK: &[u8] = b"00000000\r\n";

/// The end of a chunked body. Trailers are dropped, because nobody reads them.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A chunk that the library refuses.
const MALFORMED_CHUNK: &[u8] = b"malformed\r\n";

/// What the next byte of a connection belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// The start of a head. Line ends before it are skipped.
    #[default]
    Start,
    Method,
    Target,
    Version,
    /// The header fields: start of a line, empty line, name and value.
    LineStart,
    EmptyLine,
    Name,
    Value(Field),
    /// A body, with the number of bytes to come.
    Body(u64),
    /// A chunked body.
    Chunks(Chunks),
    /// Unknown, because the library refuses the request.
    Unknown,
}

/// Parses the requests of a connection as they arrive.
#[derive(Debug, Default)]
pub(super) struct Heads {
    place: Place,
    /// The current method, name, value or version.
    word: Word,
    framing: Framing,
    expectation: Expectation,
    is_http_1_0: bool,
    /// Whether the library has got a whole head and has not reported it as parsed yet.
    is_pending: bool,
    /// Whether a body came right before the current head.
    is_behind_body: bool,
    /// The current or pending head as sent, or the beginning of a long one.
    head: Vec<u8>,
    /// The length of the head so far.
    length: usize,
}

/// A head that the library can't parse.
#[derive(Clone, Copy, Debug)]
pub(super) struct BadHead<'a> {
    /// The head or its beginning. Empty if it was not examined.
    pub(super) text: &'a [u8],
    /// How many of its bytes were read.
    pub(super) length: usize,
    /// Whether it follows a body on the connection.
    pub(super) is_behind_body: bool,
}

/// The result of examining bytes.
#[derive(Debug)]
pub(super) struct Looked {
    /// How many of them may be passed on. The others are examined after the request before them is parsed.
    pub(super) taken: usize,
    /// The bytes to pass on instead, if they differ.
    pub(super) changed: Option<Vec<u8>>,
}

impl Heads {
    /// Whether the next request has to wait until the library has parsed the one before.
    pub(super) fn has_to_wait(&self) -> bool {
        self.is_pending && self.place == Place::Start
    }

    /// Examines bytes that were read. [`Heads::has_to_wait`] must be false.
    pub(super) fn read(&mut self, bytes: &[u8], spare: &mut Vec<u8>) -> Looked {
        let (mut at, mut changes) = (0, Changes::default());
        while at < bytes.len() && !self.has_to_wait() {
            let rest = &bytes[at..];
            at += match self.place {
                Place::Unknown => rest.len(),
                Place::Body(left) => self.read_body(left, rest),
                Place::Chunks(chunks) => self.read_chunks(chunks, bytes, at, &mut changes),
                _ => {
                    if self.head.capacity() == 0 {
                        self.head = std::mem::take(spare);
                    }
                    self.read_head(bytes, at, &mut changes)
                }
            };
        }
        Looked { taken: at, changed: changes.finish(&bytes[..at]) }
    }

    /// Notes that the library has parsed the head. Returns what the request expects. A request without a body
    /// expects no `100 Continue`. The buffer of the head goes to `spare`.
    pub(super) fn understood(&mut self, spare: &mut Vec<u8>) -> Expectation {
        self.is_pending = false;
        self.length = 0;
        self.head.clear();
        if self.head.capacity() > spare.capacity() {
            *spare = std::mem::take(&mut self.head);
        } else {
            self.head = Vec::new();
        }
        std::mem::take(&mut self.expectation)
    }

    /// The head that the library means if it refuses something now. `None` if it can't mean a head or a chunk.
    pub(super) fn refused(&self) -> Option<BadHead<'_>> {
        if !self.is_pending && matches!(self.place, Place::Start | Place::Body(_)) {
            return None;
        }
        Some(BadHead { text: &self.head, length: self.length, is_behind_body: self.is_behind_body })
    }

    fn read_body(&mut self, left: u64, rest: &[u8]) -> usize {
        self.is_behind_body = true;
        match usize::try_from(left) {
            Ok(left) if left <= rest.len() => {
                self.place = Place::Start;
                left
            }
            _ => {
                self.place = Place::Body(left - rest.len() as u64);
                rest.len()
            }
        }
    }

    fn read_chunks(&mut self, mut chunks: Chunks, bytes: &[u8], at: usize, changes: &mut Changes) -> usize {
        self.is_behind_body = true;
        let rest = &bytes[at..];
        let mut text = Vec::with_capacity(rest.len() + EMPTY_CHUNK.len() + LAST_CHUNK.len());
        text.extend_from_slice(EMPTY_CHUNK);
        let read = chunks.read(rest, &mut text);
        match text.len() - EMPTY_CHUNK.len() {
            0 => text.clear(),
            length => {
                text[..EMPTY_CHUNK.len()].copy_from_slice(format!("{length:08x}\r\n").as_bytes());
                text.extend_from_slice(b"\r\n");
            }
        }
        let (place, length) = match read {
            ControlFlow::Continue(()) => (Place::Chunks(chunks), rest.len()),
            ControlFlow::Break(Ok(end)) => {
                text.extend_from_slice(LAST_CHUNK);
                (Place::Start, end)
            }
            ControlFlow::Break(Err(chunks::Malformed)) => {
                text.extend_from_slice(MALFORMED_CHUNK);
                (Place::Unknown, rest.len())
            }
        };
        changes.rewrite(bytes, at..at + length, &text);
        self.place = place;
        length
    }

    /// Reads a head up to its end. Returns how many of the bytes belong to it.
    fn read_head(&mut self, bytes: &[u8], start: usize, changes: &mut Changes) -> usize {
        let mut at = start;
        while at < bytes.len() && !self.is_pending {
            at += self.step(bytes, at, changes);
        }
        let head = &bytes[start..at];
        self.length += head.len();
        let room = MOST_KEPT.saturating_sub(self.head.len());
        self.head.extend_from_slice(&head[..head.len().min(room)]);
        head.len()
    }

    /// Reads one part of a head. Returns its length.
    fn step(&mut self, bytes: &[u8], at: usize, changes: &mut Changes) -> usize {
        let rest = &bytes[at..];
        let (place, length) = match self.place {
            Place::Start if matches!(rest[0], b'\r' | b'\n') => (Place::Start, 1),
            Place::Start | Place::Method => {
                let end = memchr::memchr2(b' ', b'\n', rest);
                self.word.push(&rest[..end.unwrap_or(rest.len())]);
                if end.is_some() && self.word.is_exactly("CONNECT") {
                    changes.insert(bytes, at + end.unwrap_or_default(), IGNORED);
                }
                match end {
                    Some(end) => (if rest[end] == b' ' { Place::Target } else { Place::LineStart }, end + 1),
                    None => (Place::Method, rest.len()),
                }
            }
            Place::Target => match rest.iter().position(|byte| ENDS_PART_OF_TARGET[usize::from(*byte)]) {
                Some(end) if rest[end] == b' ' => {
                    self.word.clear();
                    (Place::Version, end + 1)
                }
                Some(end) if rest[end] == b'\n' => (Place::LineStart, end + 1),
                Some(end) => {
                    changes.replace(bytes, at + end, format!("%{:02X}", rest[end]).as_bytes());
                    (Place::Target, end + 1)
                }
                None => (Place::Target, rest.len()),
            },
            Place::Version => {
                let end = memchr::memchr(b'\n', rest);
                self.word.push(&rest[..end.unwrap_or(rest.len())]);
                match end {
                    Some(end) => {
                        self.is_http_1_0 = self.word.is("HTTP/1.0\r") || self.word.is("HTTP/1.0");
                        (Place::LineStart, end + 1)
                    }
                    None => (Place::Version, rest.len()),
                }
            }
            Place::Value(Field::Other | Field::Upgrade) => match memchr::memchr(b'\n', rest) {
                Some(end) => (Place::LineStart, end + 1),
                None => (self.place, rest.len()),
            },
            Place::LineStart if rest[0] == b'\r' => (Place::EmptyLine, 1),
            Place::LineStart | Place::EmptyLine if rest[0] == b'\n' => (self.end_head(), 1),
            Place::LineStart | Place::EmptyLine => {
                self.word.clear();
                (Place::Name, 0)
            }
            Place::Name => {
                let end = memchr::memchr2(b':', b'\n', rest);
                self.word.push(&rest[..end.unwrap_or(rest.len())]);
                match end {
                    Some(end) if rest[end] == b':' => {
                        let field = Field::named(&self.word);
                        if matches!(field, Field::Upgrade | Field::Expect) {
                            changes.insert(bytes, at + end, IGNORED);
                        }
                        self.word.clear();
                        (Place::Value(field), end + 1)
                    }
                    Some(end) => (Place::LineStart, end + 1),
                    None => (Place::Name, rest.len()),
                }
            }
            Place::Value(field) => self.read_value(field, bytes, at, changes),
            Place::Body(_) | Place::Chunks(_) | Place::Unknown => (self.place, rest.len()),
        };
        self.place = place;
        length
    }

    /// Reads one word of a value, and the character that ends it.
    fn read_value(&mut self, field: Field, bytes: &[u8], at: usize, changes: &mut Changes) -> (Place, usize) {
        let rest = &bytes[at..];
        let is_end = |byte: &u8| matches!(byte, b' ' | b'\t' | b',' | b'\r' | b'\n');
        let end = rest.iter().position(is_end);
        let word = &rest[..end.unwrap_or(rest.len())];
        if field == Field::Length {
            self.word.push_digits(word)
        } else {
            self.word.push(word)
        }
        let Some(end) = end else { return (Place::Value(field), rest.len()) };
        match field {
            Field::Length | Field::Coding => {
                // White space around the words does not matter.
                if rest[end] == b',' {
                    self.word.push(b",");
                } else if rest[end] == b'\n' {
                    self.framing.add(field, &self.word);
                }
            }
            Field::Connection => {
                if self.word.is("upgrade") {
                    changes.insert(bytes, at + end, IGNORED);
                }
                self.word.clear();
            }
            _ => {
                if !self.word.is_empty() {
                    self.expectation.add(&self.word);
                }
                self.word.clear();
            }
        }
        (if rest[end] == b'\n' { Place::LineStart } else { Place::Value(field) }, end + 1)
    }

    /// Ends a head. Returns what follows it.
    fn end_head(&mut self) -> Place {
        self.is_behind_body = false;
        self.is_pending = true;
        self.word.clear();
        let place = match std::mem::take(&mut self.framing) {
            Framing::Empty | Framing::Length(0) => Place::Start,
            Framing::Length(length) => Place::Body(length),
            Framing::Chunked => Place::Chunks(Chunks::default()),
            Framing::Contradictory => Place::Unknown,
        };
        // HTTP/1.0 clients do not know `100 Continue` (RFC 9110, 10.1.1).
        let asks_for_nothing = place == Place::Start || self.is_http_1_0;
        if asks_for_nothing && self.expectation == Expectation::Continue {
            self.expectation = Expectation::None;
        }
        place
    }
}

/// A changed copy of bytes.
#[derive(Debug, Default)]
struct Changes {
    text: Vec<u8>,
    /// How many of the bytes are in `text` already.
    copied: usize,
}

impl Changes {
    /// Inserts `text` before the byte at `at`.
    fn insert(&mut self, bytes: &[u8], at: usize, text: &[u8]) {
        self.text.extend_from_slice(&bytes[self.copied..at]);
        self.text.extend_from_slice(text);
        self.copied = at;
    }

    /// Replaces the byte at `at` by `text`.
    fn replace(&mut self, bytes: &[u8], at: usize, text: &[u8]) {
        self.insert(bytes, at, text);
        self.copied = at + 1;
    }

    /// Replaces these bytes by `text`.
    fn rewrite(&mut self, bytes: &[u8], range: Range<usize>, text: &[u8]) {
        self.insert(bytes, range.start, text);
        self.copied = range.end;
    }

    fn finish(mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        if self.text.is_empty() && self.copied == 0 {
            return None;
        }
        self.text.extend_from_slice(&bytes[self.copied..]);
        Some(self.text)
    }
}

/// The bytes before which a part of a target ends: behind it something follows, or the byte has to be escaped.
static ENDS_PART_OF_TARGET: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(byte as u8, b' ' | b'\n') || has_to_be_escaped(byte as u8);
        byte += 1;
    }
    table
};

/// Whether the library would refuse or cut a target at this byte, while Go's accepts it.
const fn has_to_be_escaped(byte: u8) -> bool {
    byte >= 0x80 || matches!(byte, b'#' | b'"' | b'<' | b'>' | b'`')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the library gets for these reads, if it parses every head.
    fn given(reads: &[&[u8]]) -> Vec<u8> {
        let (mut heads, mut spare, mut given) = (Heads::default(), Vec::new(), Vec::new());
        for read in reads {
            let mut rest = *read;
            while !rest.is_empty() {
                if heads.has_to_wait() {
                    heads.understood(&mut spare);
                }
                let looked = heads.read(rest, &mut spare);
                given.extend(looked.changed.unwrap_or_else(|| rest[..looked.taken].to_vec()));
                rest = &rest[looked.taken..];
            }
        }
        given
    }

    /// The same for a text. The result must not depend on how it is split, except for the size of its chunks.
    fn given_text(sent: &str) -> String {
        let whole = given(&[sent.as_bytes()]);
        let single: Vec<&[u8]> = sent.as_bytes().chunks(1).collect();
        let single = given(&[&given(&single)]);
        assert_eq!(String::from_utf8_lossy(&whole), String::from_utf8_lossy(&single));
        String::from_utf8_lossy(&whole).into_owned()
    }

    #[test]
    fn targets_are_escaped_and_nothing_else() {
        for (sent, expected) in [
            ("GET /m HTTP/1.1\r\nHost: ü#\r\n\r\n", "GET /m HTTP/1.1\r\nHost: ü#\r\n\r\n"),
            ("GET /ü HTTP/1.1\r\nA: ü\r\n\r\n", "GET /%C3%BC HTTP/1.1\r\nA: ü\r\n\r\n"),
            ("\r\n\nGET /a#b<\">` HTTP/1.1\n\n", "\r\n\nGET /a%23b%3C%22%3E%60 HTTP/1.1\n\n"),
            ("GET /a?b=ü HTTP/1.1\r\n\r\n", "GET /a?b=%C3%BC HTTP/1.1\r\n\r\n"),
            ("GËT /ü\r\nü: ü\r\n\r\n", "GËT /%C3%BC\r\nü: ü\r\n\r\n"),
        ] {
            assert_eq!(given_text(sent), expected);
        }
    }

    #[test]
    fn words_that_the_library_must_not_see_become_others() {
        for (sent, expected) in [
            ("CONNECT /m HTTP/1.1\r\n", "CONNECT-ignored /m HTTP/1.1\r\n"),
            ("\r\nCONNECT\n", "\r\nCONNECT-ignored\n"),
            ("connect /CONNECT HTTP/1.1\r\n", "connect /CONNECT HTTP/1.1\r\n"),
            ("GET / HTTP/1.1\r\nUPGRADE:x\r\n", "GET / HTTP/1.1\r\nUPGRADE-ignored:x\r\n"),
            ("GET / HTTP/1.1\r\nupgraded: upgrade\r\n", "GET / HTTP/1.1\r\nupgraded: upgrade\r\n"),
            ("GET / HTTP/1.1\r\nexpect:\texpect\n", "GET / HTTP/1.1\r\nexpect-ignored:\texpect\n"),
            (
                "GET / HTTP/1.1\r\nConnection: close,Upgrade , upgrades,upgrade\r\nConnection:UPGRADE\n",
                "GET / HTTP/1.1\r\nConnection: close,Upgrade-ignored , upgrades,upgrade-ignored\r\n\
                 Connection:UPGRADE-ignored\n",
            ),
        ] {
            assert_eq!(given_text(sent), expected);
        }
    }

    #[test]
    fn requests_are_found_behind_any_body() {
        let head = |fields: &str| format!("POST /ü HTTP/1.1\r\n{fields}\r\n");
        let escaped = |fields: &str| head(fields).replace('ü', "%C3%BC");
        // Each body looks like a head.
        for (fields, body) in [
            ("", ""),
            ("Content-Length: 0\r\n", ""),
            ("content-length:\t 14 \r\n", "GET /ü \n\n ###"),
            ("Transfer-Encoding: Chunked\r\n", "5\r\nGET /\r\n8;x\r\nü \n\n ##\r\n0\r\nA: ü\r\n\r\n"),
        ] {
            let sent = [head(fields), body.to_owned(), head(fields), body.to_owned(), head("")].concat();
            let given = match body.contains(';') {
                true => "0000000d\r\nGET /ü \n\n ##\r\n0\r\n\r\n".to_owned(),
                false => body.to_owned(),
            };
            let expected = [&escaped(fields), &given, &escaped(fields), &given, &escaped("")];
            assert_eq!(given_text(&sent), expected.map(String::as_str).concat());
        }
        // The library refuses these.
        for fields in [
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            "Content-Length: 1, 1\r\n",
            "Content-Length: +1\r\n",
            "Content-Length:\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
        ] {
            assert_eq!(given_text(&(head(fields) + &head(""))), escaped(fields) + &head(""));
        }
    }

    #[test]
    fn a_request_waits_for_the_one_before() {
        let (first, second) =
            (&b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n"[..], &b"GET / HTTP/1.1\r\n\r\n"[..]);
        let (mut heads, mut spare) = (Heads::default(), Vec::new());
        assert_eq!(heads.read(&[first, b"a"].concat(), &mut spare).taken, first.len() + 1);
        assert_eq!(heads.refused().unwrap().text, first);
        assert!(!heads.has_to_wait());
        assert_eq!(heads.read(&[b"b", second].concat(), &mut spare).taken, 1);
        assert!(heads.has_to_wait());
        assert_eq!(heads.refused().unwrap().text, first);
        heads.understood(&mut spare);
        assert!(!heads.has_to_wait() && heads.refused().is_none());
        assert_eq!(heads.read(second, &mut spare).taken, second.len());
        assert_eq!(heads.refused().unwrap().text, second);
    }

    #[test]
    fn expectations() {
        let of = |fields: &str| {
            let (mut heads, mut spare) = (Heads::default(), Vec::new());
            heads.read(format!("POST / HTTP/1.1\r\n{fields}\r\n").as_bytes(), &mut spare);
            heads.understood(&mut spare)
        };
        for (fields, expectation) in [
            ("Content-Length: 1\r\n", Expectation::None),
            ("Content-Length: 1\r\nExpect:\r\n", Expectation::None),
            ("Content-Length: 1\r\nExpect: 100-Continue\r\n", Expectation::Continue),
            ("Expect: x, 100-continue\r\nTransfer-Encoding: chunked\r\n", Expectation::Continue),
            ("Expect: 100-continue\r\n", Expectation::None),
            ("Expect: 100-continue\r\nContent-Length: 0\r\n", Expectation::None),
            ("Expect: 100-continued\r\nContent-Length: 1\r\n", Expectation::Unknown),
            ("Expect: x\r\n", Expectation::Unknown),
        ] {
            assert_eq!(of(fields), expectation, "{fields:?}");
        }
    }

    proptest! {
        #[test]
        fn bytes_only_grow_by_escapes_and_endings(
            bytes in "(CONNECT |GET /ü# |[ -~\r\n#ü]{0,9}|\r\n|upgrade: |connection:|content-length: [0-9]|0\r\n\r\n){0,30}",
            cut in 0_usize..200,
        ) {
            let bytes = bytes.as_bytes();
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let given = given(&[first, second]);
            // Undoing the changes gives the original, if that had no percent signs.
            if !bytes.contains(&b'%') {
                let undone = String::from_utf8_lossy(&given)
                    .replace("%23", "#").replace("%22", "\"").replace("%3C", "<").replace("%3E", ">")
                    .replace("%60", "`").replace("%C3", "\u{fffd}").replace("%BC", "\u{fffd}").replace("-ignored", "");
                // A split within a two-byte character leaves both halves either escaped or unchanged.
                let sent = String::from_utf8_lossy(bytes).replace('ü', "\u{fffd}\u{fffd}");
                prop_assert_eq!(undone.replace('ü', "\u{fffd}\u{fffd}"), sent);
            }
        }
    }
}
