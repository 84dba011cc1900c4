//! Reads and decompresses request bodies within limits.

use std::future::poll_fn;
use std::io::{self, Read};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::{Bytes, BytesMut};
use flate2::bufread::MultiGzDecoder;
use futures_core::Stream;

use super::admission::{Quota, Share};
use super::connection::{ReadingBody, Watch};
use super::head::Expectation;

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// It is too large, before or after decompression.
    #[error("the request body is larger than {limit} bytes (web.max_body_bytes)")]
    TooLarge { limit: u64 },
    /// It came too slowly.
    #[error("the request body came too slowly (limits.body_timeout)")]
    TooSlow,
    /// Too many large bodies are being read at the moment.
    #[error("too many large pushes are being read")]
    Busy,
    /// It ended early, or the connection broke.
    #[error("unexpected EOF")]
    Incomplete(#[source] PayloadError),
    /// It can't be decompressed. The message is that of Go's decoder.
    #[error("{0}")]
    Encoding(&'static str),
}

/// The compression of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// None, or an unknown one. The body is read unchanged.
    Identity,
    /// gzip with one or more members.
    Gzip,
    /// The framed format of snappy.
    Snappy,
    /// zstd with one or more frames. A body that is not zstd is read unchanged: the stock gateway does not know
    /// zstd and reads such bodies.
    Zstd,
}

/// The initial capacity for a decompressed body, in bytes.
const INFLATED_ROOM: u64 = 64 * 1024;

/// The first bytes of a zstd frame (RFC 8878, 3.1.1).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The bytes behind the first one (0x50 to 0x5f) of a skippable zstd frame (RFC 8878, 3.1.2).
const ZSTD_SKIPPABLE_MAGIC: [u8; 3] = [0x2a, 0x4d, 0x18];

/// The largest window of a zstd frame as a power of two, which bounds the memory of the decoder (RFC 9659).
const ZSTD_WINDOW_LOG: u32 = 23;

impl Encoding {
    /// The encoding that the `Content-Encoding` header names.
    pub(super) fn of(headers: &HeaderMap) -> Encoding {
        let Some(name) = headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok()) else {
            return Encoding::Identity;
        };
        match name.trim() {
            name if name.eq_ignore_ascii_case("gzip") => Encoding::Gzip,
            name if name.eq_ignore_ascii_case("snappy") => Encoding::Snappy,
            name if name.eq_ignore_ascii_case("zstd") => Encoding::Zstd,
            _ => Encoding::Identity,
        }
    }

    /// The actual encoding of a body with this `Content-Encoding`: none if it claims zstd but is not.
    pub(super) fn in_fact(self, body: &[u8]) -> Encoding {
        if self == Encoding::Zstd && !is_zstd(body) { Encoding::Identity } else { self }
    }

    /// The name in `Content-Encoding`. `None` if the gateway does not decode the body.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Encoding::Identity => None,
            Encoding::Gzip => Some("gzip"),
            Encoding::Snappy => Some("snappy"),
            Encoding::Zstd => Some("zstd"),
        }
    }
}

/// The largest buffer that is reserved only because the body announces its length.
const ANNOUNCED_ROOM: u64 = 1 << 20;

/// How many bytes of a body have to arrive within its time limit each time.
const PROGRESS_BYTES: usize = 256 * 1024;

/// Reads a body of at most `limit` bytes. Each [`PROGRESS_BYTES`] have to arrive within the time limit of the
/// connection. Takes memory from the quota for a body that does not arrive at once.
pub(super) async fn read(
    payload: &mut Payload,
    request: &HttpRequest,
    limit: u64,
    share: &mut Option<Share>,
    quota: &Quota,
) -> Result<Bytes, BodyError> {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(BodyError::TooLarge { limit });
    }
    let watch = request.conn_data::<Rc<Watch>>();
    if watch.is_some_and(|watch| watch.expectation() == Expectation::Continue) {
        // The client is not asked for the body until there is room for it.
        let room = quota.take(announced.unwrap_or(0).min(ANNOUNCED_ROOM)).ok_or(BodyError::Busy)?;
        *share = Some(room);
    }
    let mut chunks = Chunks { payload, watch, reading: None };
    let Some(first) = chunks.next().await? else { return Ok(Bytes::new()) };
    if announced == Some(first.len() as u64) {
        return Ok(first);
    }
    let share = match share {
        Some(share) => share,
        None => share.insert(quota.take(0).ok_or(BodyError::Busy)?),
    };
    let mut body = BytesMut::new();
    let mut chunk = Some(first);
    let mut since = 0;
    while let Some(bytes) = chunk {
        let length = body.len() + bytes.len();
        if length as u64 > limit {
            return Err(BodyError::TooLarge { limit });
        }
        if length > body.capacity() {
            // Reserves the announced length first, then doubles.
            let wanted =
                announced.unwrap_or(0).min(ANNOUNCED_ROOM).max(2 * length as u64).min(limit) as usize;
            if !share.grow_to(wanted as u64) {
                return Err(BodyError::Busy);
            }
            body.reserve(wanted - body.len());
        }
        body.extend_from_slice(&bytes);
        if length - since >= PROGRESS_BYTES {
            since = length;
            chunks.next_part();
        }
        chunk = chunks.next().await?;
    }
    Ok(body.freeze())
}

/// Receives a body in parts.
struct Chunks<'a> {
    payload: &'a mut Payload,
    watch: Option<&'a Rc<Watch>>,
    /// Lets the connection read the body. Set at the first part that has to be waited for.
    reading: Option<ReadingBody>,
}

impl Chunks<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        let chunk = poll_fn(|context| match self.poll(context) {
            Poll::Pending if self.reading.as_ref().is_some_and(ReadingBody::is_late) => {
                Poll::Ready(Err(BodyError::TooSlow))
            }
            chunk => chunk.map(Ok),
        });
        chunk.await?.transpose().map_err(BodyError::Incomplete)
    }

    fn next_part(&self) {
        if let Some(reading) = &self.reading {
            reading.next_part();
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, PayloadError>>> {
        let chunk = Pin::new(&mut *self.payload).poll_next(context);
        match (&self.reading, self.watch) {
            (None, Some(watch)) if chunk.is_pending() => self.reading = Some(watch.reading_body()),
            (None, Some(watch)) => watch.body_has_come(),
            _ => {}
        }
        chunk
    }
}

/// Whether a body may be zstd, judged by its first bytes.
pub(super) fn is_zstd(body: &[u8]) -> bool {
    let is_skippable = |body: &[u8]| body[0] >> 4 == 5 && body[1..].starts_with(&ZSTD_SKIPPABLE_MAGIC);
    body.starts_with(&ZSTD_MAGIC) || (!body.is_empty() && is_skippable(body))
}

/// Decompresses a body to at most `limit` bytes.
pub(super) fn inflate(
    body: Bytes,
    encoding: Encoding,
    limit: u64,
    share: &mut Share,
) -> Result<Bytes, BodyError> {
    let mut read_all = |decoder: &mut dyn Read, words: &dyn Fn(&io::Error) -> &'static str| {
        read_all(decoder, limit, words, share)
    };
    match encoding.in_fact(&body) {
        Encoding::Identity => Ok(body),
        Encoding::Gzip if body.is_empty() => Err(BodyError::Encoding("EOF")),
        Encoding::Gzip => read_all(&mut MultiGzDecoder::new(&body[..]), &|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => "unexpected EOF",
            io::ErrorKind::InvalidInput if error.to_string().contains("header") => "gzip: invalid header",
            _ if error.to_string().contains("checksum") => "gzip: invalid checksum",
            _ => "gzip: invalid data",
        }),
        Encoding::Snappy => {
            read_all(&mut snap::read::FrameDecoder::new(&body[..]), &|_| "snappy: corrupt input")
        }
        Encoding::Zstd => {
            const UNREADABLE: &str = "zstd: corrupt input, or a window of more than 8 MiB";
            let mut decoder = zstd::stream::read::Decoder::with_buffer(&body[..])
                .map_err(|_| BodyError::Encoding(UNREADABLE))?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(|_| BodyError::Encoding(UNREADABLE))?;
            read_all(&mut decoder, &|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => "unexpected EOF",
                _ => UNREADABLE,
            })
        }
    }
}

fn read_all(
    decoder: &mut dyn Read,
    limit: u64,
    words: &dyn Fn(&io::Error) -> &'static str,
    share: &mut Share,
) -> Result<Bytes, BodyError> {
    let mut out = Vec::new();
    let mut room: u64 = INFLATED_ROOM;
    loop {
        room = room.min(limit.saturating_add(1));
        if !share.grow_by(room.saturating_sub(out.capacity() as u64)) {
            return Err(BodyError::Busy);
        }
        out.reserve_exact((room as usize).saturating_sub(out.len()));
        while (out.len() as u64) < room {
            let left = room - out.len() as u64;
            match decoder.take(left.min(INFLATED_ROOM)).read_to_end(&mut out) {
                Ok(0) => return Ok(out.into()),
                Ok(_) if out.len() as u64 > limit => return Err(BodyError::TooLarge { limit }),
                Ok(_) => {}
                Err(error) => return Err(BodyError::Encoding(words(&error))),
            }
        }
        room = room.saturating_mul(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::limits::Limit;
    use crate::telemetry::Telemetry;
    use std::io::Write;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn inflated(body: Vec<u8>, encoding: Encoding) -> Result<Vec<u8>, String> {
        let quota =
            Quota::new(Limit::BodyBytesInFlight, 1 << 20, Telemetry::new(true, None).unwrap().limits());
        let mut share = quota.take(0).unwrap();
        inflate(body.into(), encoding, 100, &mut share)
            .map(|bytes| bytes.to_vec())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn gzip_members_are_joined() {
        let body = [gzip(b"a 1\n"), gzip(b"b 2\n")].concat();
        assert_eq!(inflated(body, Encoding::Gzip).as_deref(), Ok(&b"a 1\nb 2\n"[..]));
    }

    #[test]
    fn bad_gzip_in_the_words_of_go() {
        assert_eq!(inflated(Vec::new(), Encoding::Gzip), Err("EOF".into()));
        assert_eq!(
            inflated(b"plain text, no gzip".to_vec(), Encoding::Gzip),
            Err("gzip: invalid header".into())
        );
        let mut cut = gzip(b"a 1\n");
        cut.truncate(cut.len() - 3);
        assert_eq!(inflated(cut, Encoding::Gzip), Err("unexpected EOF".into()));
        let mut wrong = gzip(b"a 1\n");
        let at = wrong.len() - 8;
        wrong[at] ^= 1;
        assert_eq!(inflated(wrong, Encoding::Gzip), Err("gzip: invalid checksum".into()));
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let error = inflated(gzip(&[0; 100_000]), Encoding::Gzip).unwrap_err();
        assert!(error.contains("larger than 100 bytes"), "{error}");
    }

    #[test]
    fn zstd_frames_are_joined_and_bounded() {
        let zstd = |text: &[u8]| zstd::encode_all(text, 1).unwrap();
        let both = [zstd(b"a 1\n"), zstd(b"b 2\n")].concat();
        assert_eq!(inflated(both, Encoding::Zstd).as_deref(), Ok(&b"a 1\nb 2\n"[..]));
        assert_eq!(inflated(b"a 1\n".to_vec(), Encoding::Zstd).as_deref(), Ok(&b"a 1\n"[..]));
        let skippable = [&b"\x5a\x2a\x4d\x18\x03\x00\x00\x00abc"[..], &zstd(b"a 1\n")].concat();
        assert_eq!(inflated(skippable, Encoding::Zstd).as_deref(), Ok(&b"a 1\n"[..]));
        let mut cut = zstd(b"a 1\n");
        cut.truncate(cut.len() - 2);
        assert_eq!(inflated(cut, Encoding::Zstd), Err("unexpected EOF".into()));
        let error = inflated(zstd(&[0; 100_000]), Encoding::Zstd).unwrap_err();
        assert!(error.contains("larger than 100 bytes"), "{error}");
        let mut wide = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        wide.window_log(27).unwrap();
        wide.write_all(&[0; 100]).unwrap();
        assert!(inflated(wide.finish().unwrap(), Encoding::Zstd).unwrap_err().contains("window"));
    }

    #[test]
    fn snappy_is_framed() {
        let mut encoder = snap::write::FrameEncoder::new(Vec::new());
        encoder.write_all(b"a 1\n").unwrap();
        assert_eq!(inflated(encoder.into_inner().unwrap(), Encoding::Snappy).as_deref(), Ok(&b"a 1\n"[..]));
        let raw = snap::raw::Encoder::new().compress_vec(b"a 1\n").unwrap();
        assert_eq!(inflated(raw, Encoding::Snappy), Err("snappy: corrupt input".into()));
    }
}
