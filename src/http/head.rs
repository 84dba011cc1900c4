//! Where in the stream of a connection heads begin and end, and what of them the HTTP library can't take.
//!
//! The library refuses targets with bytes beyond ASCII, which some clients send, and cuts them at `#`. Both are
//! escaped here before the library sees them, as the client should have done. That needs no second parser of
//! requests: whether a read begins with a head follows from the length of the body before, which the library has
//! told. Where it does not follow, behind a body in chunks and in requests that are sent ahead, nothing is changed.

/// Of a head no more is kept to look into: the library has all of it too, and there may be many.
const MOST_KEPT: usize = 16 * 1024;

/// What the next byte of a connection belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// A head begins; line ends before it do not count.
    #[default]
    Start,
    Method,
    Target,
    Version,
    /// The fields: within a line, at the beginning of one, or behind a carriage return there.
    Line,
    LineStart,
    EmptyLine,
    /// A whole head has been read, and so many bytes behind it. What they are is not known yet.
    Whole(u64),
    /// A body of which so much is to come.
    Body(u64),
    /// It can't be told.
    Unknown,
}

/// Follows the heads of a connection.
#[derive(Debug, Default)]
pub(super) struct Heads {
    place: Place,
    /// The head that is being read, as it came; the beginning of a long one.
    head: Vec<u8>,
    /// How long it is so far.
    length: usize,
}

/// What is known of a head that is not understood.
#[derive(Clone, Copy, Debug)]
pub(super) struct BadHead<'a> {
    /// It, or its beginning; empty where it was not looked at.
    pub(super) text: &'a [u8],
    /// How much of it was read.
    pub(super) length: usize,
}

impl Heads {
    /// Takes note of bytes that were read. Returns what the library is to be given in their place, if that differs.
    pub(super) fn read(&mut self, bytes: &[u8], spare: &mut Vec<u8>) -> Option<Vec<u8>> {
        match &mut self.place {
            Place::Unknown => return None,
            Place::Whole(beyond) => {
                *beyond += bytes.len() as u64;
                return None;
            }
            Place::Body(left) => {
                match (bytes.len() as u64).cmp(left) {
                    std::cmp::Ordering::Less => *left -= bytes.len() as u64,
                    std::cmp::Ordering::Equal => self.place = Place::Start,
                    std::cmp::Ordering::Greater => self.place = Place::Unknown,
                }
                return None;
            }
            Place::Start => {}
            _ => return self.read_head(bytes),
        }
        if self.head.capacity() == 0 {
            self.head = std::mem::take(spare);
        }
        self.read_head(bytes)
    }

    /// The library has understood the head, and the request has a body of this length, if it has one of a known
    /// length. The memory for the head goes to `spare`.
    pub(super) fn understood(&mut self, length: Option<u64>, spare: &mut Vec<u8>) {
        self.place = match (self.place, length) {
            (Place::Whole(beyond), Some(length)) if beyond == length => Place::Start,
            (Place::Whole(beyond), Some(length)) if beyond < length => Place::Body(length - beyond),
            _ => Place::Unknown,
        };
        self.head.clear();
        self.length = 0;
        if self.head.capacity() > spare.capacity() {
            *spare = std::mem::take(&mut self.head);
        } else {
            self.head = Vec::new();
        }
    }

    /// The head that the library does not understand if it refuses something now; nothing where it can't be that.
    pub(super) fn refused(&self) -> Option<BadHead<'_>> {
        match self.place {
            Place::Start | Place::Body(_) => None,
            _ => Some(BadHead { text: &self.head, length: self.length }),
        }
    }

    fn read_head(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut changed = Vec::new();
        // Up to where bytes have been looked at, and up to where they are in `changed`.
        let (mut at, mut copied) = (0, 0);
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let (place, length) = match self.place {
                Place::Start if matches!(rest[0], b'\r' | b'\n') => (Place::Start, 1),
                Place::Start | Place::Method => match memchr::memchr2(b' ', b'\n', rest) {
                    Some(end) => (if rest[end] == b' ' { Place::Target } else { Place::LineStart }, end + 1),
                    None => (Place::Method, rest.len()),
                },
                Place::Target => {
                    match rest
                        .iter()
                        .position(|byte| matches!(byte, b' ' | b'\n') || has_to_be_escaped(*byte))
                    {
                        Some(end) if rest[end] == b' ' => (Place::Version, end + 1),
                        Some(end) if rest[end] == b'\n' => (Place::LineStart, end + 1),
                        Some(end) => {
                            changed.extend_from_slice(&bytes[copied..at + end]);
                            changed.extend_from_slice(format!("%{:02X}", rest[end]).as_bytes());
                            copied = at + end + 1;
                            (Place::Target, end + 1)
                        }
                        None => (Place::Target, rest.len()),
                    }
                }
                Place::Version | Place::Line => match memchr::memchr(b'\n', rest) {
                    Some(end) => (Place::LineStart, end + 1),
                    None => (self.place, rest.len()),
                },
                Place::LineStart if rest[0] == b'\r' => (Place::EmptyLine, 1),
                Place::LineStart | Place::EmptyLine if rest[0] == b'\n' => {
                    at += 1;
                    self.place = Place::Whole((bytes.len() - at) as u64);
                    break;
                }
                Place::LineStart | Place::EmptyLine => (Place::Line, 0),
                Place::Whole(_) | Place::Body(_) | Place::Unknown => break,
            };
            self.place = place;
            at += length;
        }
        self.length += at;
        let room = MOST_KEPT.saturating_sub(self.head.len());
        self.head.extend_from_slice(&bytes[..at.min(room)]);
        if changed.is_empty() {
            return None;
        }
        changed.extend_from_slice(&bytes[copied..]);
        Some(changed)
    }
}

/// Whether the library would refuse a target with this byte, or cut it there, where Go's takes it.
fn has_to_be_escaped(byte: u8) -> bool {
    byte >= 0x80 || matches!(byte, b'#' | b'"' | b'<' | b'>' | b'`')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the library is given of these reads, where bodies have the lengths that follow.
    fn given(reads: &[&[u8]], lengths: &[Option<u64>]) -> Vec<u8> {
        let (mut heads, mut spare, mut lengths) = (Heads::default(), Vec::new(), lengths.iter());
        let mut given = Vec::new();
        for read in reads {
            given.extend(heads.read(read, &mut spare).unwrap_or_else(|| read.to_vec()));
            if matches!(heads.place, Place::Whole(_)) {
                heads.understood(*lengths.next().unwrap(), &mut spare);
            }
        }
        given
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
            assert_eq!(String::from_utf8_lossy(&given(&[sent.as_bytes()], &[Some(0)])), expected);
            // However it is cut.
            let single: Vec<&[u8]> = sent.as_bytes().chunks(1).collect();
            assert_eq!(String::from_utf8_lossy(&given(&single, &[Some(0)])), expected);
        }
    }

    #[test]
    fn bodies_stay_as_they_are() {
        let push = "POST /ü HTTP/1.1\r\nContent-Length: 14\r\n\r\n".as_bytes();
        let escaped = b"POST /%C3%BC HTTP/1.1\r\nContent-Length: 14\r\n\r\n".as_slice();
        let body = "GET /ü \n\n ###".as_bytes();
        assert_eq!(body.len(), 14);
        let whole = [push, body].concat();
        let expected = [escaped, body, escaped].concat();
        assert_eq!(given(&[&whole, push], &[Some(14), Some(0)]), expected);
        assert_eq!(given(&[push, &body[..5], &body[5..], push], &[Some(14), Some(0)]), expected);
        // A request that is sent ahead is not looked at, nor is anything behind it.
        let ahead = [push, body, push].concat();
        assert_eq!(given(&[&ahead, push], &[Some(14)]), [escaped, body, push, push].concat());
        assert_eq!(given(&[push, body, push], &[None]), [escaped, body, push].concat());
    }

    proptest! {
        #[test]
        fn any_bytes_only_grow_by_escapes(bytes in "[ -~\r\n#ü ]{0,200}", cut in 0_usize..200) {
            let bytes = bytes.as_bytes();
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let mut heads = Heads::default();
            let mut given = Vec::new();
            for part in [first, second] {
                given.extend(heads.read(part, &mut Vec::new()).unwrap_or_else(|| part.to_vec()));
            }
            // Undoing the escapes gives what was sent, if that had none.
            if !bytes.contains(&b'%') {
                let undone = String::from_utf8_lossy(&given)
                    .replace("%23", "#").replace("%22", "\"").replace("%3C", "<").replace("%3E", ">")
                    .replace("%60", "`").replace("%C3%BC", "ü");
                prop_assert_eq!(undone.as_bytes(), bytes);
            }
        }
    }
}
