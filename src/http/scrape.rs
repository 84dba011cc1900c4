//! `GET` on the exposition, streamed.

use std::io::Write;
use std::sync::Arc;

use actix_web::http::header::{self, HeaderMap};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::State;
use super::stream;
use crate::exposition::negotiation::{Format, wants_gzip};
use crate::gateway::Gateway;
use crate::gateway::scrape::ReceiverGone;

/// Scrapes of up to this many series are written where they were asked for: that takes less time
/// than handing them to another thread and back.
const INLINE_SERIES: u64 = 1000;

/// Level 1 compresses label text to a tenth already, at three times the speed of level 6.
const GZIP_LEVEL: Compression = Compression::fast();

/// Answers a scrape.
pub(super) fn scrape(state: &Arc<State>, request: &HttpRequest) -> HttpResponse {
    let headers = request.headers();
    let format = Format::negotiate(header_text(headers, header::ACCEPT));
    let is_gzip = wants_gzip(header_text(headers, header::ACCEPT_ENCODING));
    let mut answer = HttpResponse::Ok();
    answer.insert_header((header::CONTENT_TYPE, format.content_type()));
    if is_gzip {
        answer.insert_header((header::CONTENT_ENCODING, "gzip"));
    }
    if state.gateway.scrape_size() <= INLINE_SERIES {
        let mut body = Vec::new();
        let written = write(&state.gateway, format, is_gzip, &mut |chunk| {
            body.extend_from_slice(&chunk);
            Ok(())
        });
        debug_assert!(written.is_ok(), "a vector takes everything");
        return answer.body(body);
    }
    let state = state.clone();
    stream::answer(answer, move |send| write(&state.gateway, format, is_gzip, send))
}

fn write(
    gateway: &Gateway,
    format: Format,
    is_gzip: bool,
    send: stream::Send<'_>,
) -> Result<(), ReceiverGone> {
    if !is_gzip {
        return gateway.scrape(format, |chunk| send(Bytes::from(take_chunk(chunk))));
    }
    let mut encoder = GzEncoder::new(Vec::new(), GZIP_LEVEL);
    gateway.scrape(format, |chunk| {
        // Writing to a vector does not fail.
        encoder.write_all(chunk).map_err(|_| ReceiverGone)?;
        let compressed = std::mem::take(encoder.get_mut());
        if compressed.is_empty() { Ok(()) } else { send(Bytes::from(compressed)) }
    })?;
    send(Bytes::from(encoder.finish().map_err(|_| ReceiverGone)?))
}

/// The chunk itself, with a vector of the same size in its place.
fn take_chunk(chunk: &mut Vec<u8>) -> Vec<u8> {
    let capacity = chunk.capacity();
    std::mem::replace(chunk, Vec::with_capacity(capacity))
}

fn header_text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
