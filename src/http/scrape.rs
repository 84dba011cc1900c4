//! `GET` on the metrics path: streams a scrape.

use std::io::Write;
use std::sync::Arc;

use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use flate2::write::GzEncoder;

use super::State;
use super::stream;
use crate::exposition::negotiation::{Compression, Format};
use crate::gateway::Gateway;
use crate::gateway::source::{CHUNK_CAPACITY, ReceiverGone};
use crate::store::Seen;

/// Scrapes up to this many series are written on the worker, which is faster than using another thread.
const INLINE_SERIES: u64 = 1000;

/// The same limit in bytes, for the store and for the output: many buckets repeat long labels.
const INLINE_BYTES: usize = 256 * 1024;

/// Level 1 already compresses label text to a tenth, three times as fast as level 6.
const GZIP_LEVEL: flate2::Compression = flate2::Compression::fast();

/// The fastest regular level of zstd. It compresses better than gzip at any level.
const ZSTD_LEVEL: i32 = 1;

/// Answers a scrape.
pub(super) fn scrape(state: &Arc<State>, request: &HttpRequest) -> HttpResponse {
    let headers = request.headers();
    let format = Format::negotiate(header_text(headers, header::ACCEPT), state.offers);
    let compression = Compression::negotiate(header_text(headers, header::ACCEPT_ENCODING), state.offers);
    let mut answer = HttpResponse::Ok();
    answer.insert_header((header::CONTENT_TYPE, format.content_type()));
    if let Some(name) = compression.name() {
        answer.insert_header((header::CONTENT_ENCODING, name));
    }
    let share = match stream::share(state) {
        Ok(share) => share,
        Err(busy) => return *busy,
    };
    // Who asks for the head only sees nothing.
    let is_read = request.method() != Method::HEAD;
    if is_small(&state.gateway)
        && let Some((body, seen)) = small(&state.gateway, format, compression)
    {
        return stream::whole(state, share, answer, body, Some(seen).filter(|_| is_read));
    }
    let gateway = state.clone();
    stream::answer(state, share, answer, move |send| {
        let seen = write(&gateway.gateway, format, compression, send)?;
        Ok(Some(seen).filter(|_| is_read))
    })
}

fn is_small(gateway: &Gateway) -> bool {
    gateway.scrape_size() <= INLINE_SERIES && gateway.size_in_bytes() <= INLINE_BYTES as u64
}

/// The whole scrape. `None` if it turns out to be large.
fn small(gateway: &Gateway, format: Format, compression: Compression) -> Option<(Vec<u8>, Seen)> {
    let mut body = Vec::new();
    let written = write(gateway, format, compression, &mut |chunk| {
        // The last chunk is delivered whatever its size.
        if body.len() > 2 * INLINE_BYTES {
            return Err(ReceiverGone);
        }
        body.extend_from_slice(&chunk);
        Ok(())
    });
    Some((body, written.ok()?))
}

fn write(
    gateway: &Gateway,
    format: Format,
    compression: Compression,
    send: stream::Send<'_>,
) -> Result<Seen, ReceiverGone> {
    match compression {
        Compression::Identity => gateway.scrape(format, |chunk| send(Bytes::from(take_chunk(chunk)))),
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), GZIP_LEVEL);
            let seen = gateway.scrape(format, |chunk| {
                // Writing to a vector does not fail.
                encoder.write_all(chunk).map_err(|_| ReceiverGone)?;
                send_all(encoder.get_mut(), send)
            })?;
            send(Bytes::from(encoder.finish().map_err(|_| ReceiverGone)?))?;
            Ok(seen)
        }
        Compression::Zstd => {
            let mut encoder =
                zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL).map_err(|_| ReceiverGone)?;
            let seen = gateway.scrape(format, |chunk| {
                encoder.write_all(chunk).map_err(|_| ReceiverGone)?;
                send_all(encoder.get_mut(), send)
            })?;
            send(Bytes::from(encoder.finish().map_err(|_| ReceiverGone)?))?;
            Ok(seen)
        }
    }
}

/// Sends the finished output of a compressor, if there is any.
fn send_all(finished: &mut Vec<u8>, send: stream::Send<'_>) -> Result<(), ReceiverGone> {
    let finished = std::mem::take(finished);
    if finished.is_empty() { Ok(()) } else { send(Bytes::from(finished)) }
}

/// Takes the chunk and leaves an empty vector of the usual capacity.
fn take_chunk(chunk: &mut Vec<u8>) -> Vec<u8> {
    std::mem::replace(chunk, Vec::with_capacity(CHUNK_CAPACITY))
}

fn header_text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
