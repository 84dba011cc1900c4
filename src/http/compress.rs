//! Answers of the page and its API, with gzip for clients that ask for it.

use std::io::Write;

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
    pub(super) fn send(self, mut answer: HttpResponseBuilder) -> HttpResponse {
        answer.insert_header((header::VARY, "Accept-Encoding"));
        if self.is_gzip {
            answer.insert_header((header::CONTENT_ENCODING, "gzip"));
        }
        answer.body(self.bytes)
    }
}

/// The bytes, compressed.
pub(super) fn gzip(bytes: &[u8], level: Level) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 3), level);
    // Writing into memory does not fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}
