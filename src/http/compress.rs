//! Answers of the page and its API, with gzip for clients that ask for it.

use std::io::{self, Write};

use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use flate2::Compression as Level;
use flate2::write::GzEncoder;

use crate::exposition::negotiation::{Compression, Offers};

/// A shorter body fits in one packet with or without.
const WORTH_IT: usize = 1024;

/// Whether the client asks for gzip. The others that it may ask for are not worth their place in the program.
pub(super) fn takes_gzip(request: &HttpRequest) -> bool {
    let accepted = request.headers().get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    Compression::negotiate(accepted.unwrap_or_default(), Offers::Stock) == Compression::Gzip
}

/// A body, perhaps compressed.
#[derive(Debug)]
pub(super) struct Body {
    bytes: Bytes,
    is_gzip: bool,
}

impl Body {
    /// Compresses a text if the client takes that.
    pub(super) fn of(text: String, takes_gzip: bool) -> Body {
        if !takes_gzip || text.len() < WORTH_IT {
            return Body { bytes: text.into(), is_gzip: false };
        }
        Body { bytes: gzip(text.as_bytes(), Level::fast()).into(), is_gzip: true }
    }

    /// A body that was compressed before, or not.
    pub(super) fn ready(bytes: Bytes, is_gzip: bool) -> Body {
        Body { bytes, is_gzip }
    }

    /// The answer with this body.
    pub(super) fn send(self, answer: HttpResponseBuilder) -> HttpResponse {
        headed(answer, self.is_gzip).body(self.bytes)
    }
}

/// Adds the headers of a body that is compressed, or is not because the client does not ask for it.
pub(super) fn headed(mut answer: HttpResponseBuilder, is_gzip: bool) -> HttpResponseBuilder {
    answer.insert_header((header::VARY, "Accept-Encoding"));
    if is_gzip {
        answer.insert_header((header::CONTENT_ENCODING, "gzip"));
    }
    answer
}

/// Compresses a body chunk by chunk, or passes it on as it is.
pub(super) struct Chunks(Option<GzEncoder<Vec<u8>>>);

impl Chunks {
    pub(super) fn new(is_gzip: bool) -> Chunks {
        Chunks(is_gzip.then(|| GzEncoder::new(Vec::new(), Level::fast())))
    }

    /// What to send for a chunk. A client that has it has the whole chunk: nothing is held back for the next one.
    ///
    /// # Errors
    ///
    /// Never, because memory can be written to.
    pub(super) fn pass(&mut self, chunk: Bytes) -> io::Result<Bytes> {
        let Some(encoder) = &mut self.0 else { return Ok(chunk) };
        encoder.write_all(&chunk)?;
        encoder.flush()?;
        Ok(std::mem::take(encoder.get_mut()).into())
    }

    /// What to send after the last chunk.
    ///
    /// # Errors
    ///
    /// As [`Chunks::pass`].
    pub(super) fn finish(self) -> io::Result<Bytes> {
        self.0.map_or(Ok(Bytes::new()), |encoder| encoder.finish().map(Bytes::from))
    }
}

/// The bytes, compressed.
pub(super) fn gzip(bytes: &[u8], level: Level) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 3), level);
    // Writing into memory does not fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}
