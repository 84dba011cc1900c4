//! Idempotency keys of requests.

use std::borrow::Cow;

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::model::grouping::Grouping;
use crate::store::idempotency::Key;

/// The longest key, in bytes.
const MAX_BYTES: usize = 255;

/// Tells clients for how many seconds the gateway remembers keys, so that they know how long they may repeat a
/// request.
pub const WINDOW_HEADER: &str = "idempotency-window";

/// The key can't be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the Idempotency-Key must be 1 to {MAX_BYTES} visible ASCII characters")]
pub struct BadKey;

/// The key in a header: bare, or quoted as a structured field (draft-ietf-httpapi-idempotency-key-header).
///
/// # Errors
///
/// If it is empty, too long or has characters other than visible ASCII.
pub fn parse(header: &[u8]) -> Result<&[u8], BadKey> {
    let bare = match header {
        [b'"', inner @ .., b'"'] => inner,
        bare => bare,
    };
    let is_key = (1..=MAX_BYTES).contains(&bare.len()) && bare.iter().all(u8::is_ascii_graphic);
    if is_key { Ok(bare) } else { Err(BadKey) }
}

/// A request as its key identifies it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keyed<'a> {
    pub(super) method: &'static str,
    pub(super) grouping: &'a Grouping<'a>,
    pub(super) content_type: &'a [u8],
    pub(super) body: &'a [u8],
    /// The source that a header names, where it counts. The keys of different sources have nothing to do with each
    /// other.
    pub(super) source: Option<&'a str>,
    /// What a header says that values count from, where it counts.
    pub(super) temporality: Option<&'a str>,
}

/// Computes what identifies a request with this key. The hashes are kept on disk, so they must not change.
/// `is_known` says whether the gateway remembers a hash.
pub(super) fn identify(key: &[u8], request: &Keyed<'_>, is_known: impl Fn(&Key) -> bool) -> Key {
    let Keyed { method, grouping, content_type, body, source, temporality } = *request;
    let mut parts = [xxh3_128(content_type).to_le_bytes(), xxh3_128(body).to_le_bytes()].concat();
    parts.extend_from_slice(temporality.unwrap_or_default().as_bytes());
    let fingerprint = xxh3_128(&parts);
    let key_in = |group: &str| {
        // A label block has no line feed.
        let scope = source.map_or(Cow::Borrowed(group), |source| format!("{group}\n{source}").into());
        Key { id: identity(key, method, &scope), fingerprint }
    };
    // The key may have come while the gateway kept labels with empty values, under which the group had another key.
    let former = grouping.key_with_empty_labels().map(|group| key_in(&group)).filter(is_known);
    former.unwrap_or_else(|| key_in(grouping.key()))
}

/// The same for a deletion by selector with these parameters.
pub(super) fn identify_deletion(key: &[u8], parameters: &str) -> Key {
    // The key of a group begins with a brace.
    let scope = format!("admin/delete?{parameters}");
    Key { id: identity(key, "PUT", &scope), fingerprint: xxh3_128(b"") }
}

fn identity(key: &[u8], method: &str, group: &str) -> u128 {
    let mut id = Xxh3::new();
    for part in [method.as_bytes(), group.as_bytes()] {
        id.update(&(part.len() as u64).to_le_bytes());
        id.update(part);
    }
    id.update(key);
    id.digest128()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_visible_ascii_bare_or_quoted() {
        assert_eq!(parse(b"8e03978e-40d5"), Ok(&b"8e03978e-40d5"[..]));
        assert_eq!(parse(b"\"8e03978e\""), Ok(&b"8e03978e"[..]));
        for bad in [&b""[..], b"\"\"", b"a b", b"\xc3\xa4", b"a\tb", &[b'a'; 256]] {
            assert_eq!(parse(bad), Err(BadKey), "{bad:?}");
        }
        assert!(parse(&[b'a'; 255]).is_ok());
    }

    #[test]
    fn method_group_and_key_make_the_identity_and_type_and_body_the_fingerprint() {
        let grouping = |job: &'static str| {
            let label = crate::model::grouping::GroupingLabel { name: "job".into(), value: job.into() };
            Grouping::new(vec![label])
        };
        let sent = |method, job, key: &[u8], content_type: &[u8], body: &[u8], source, temporality| {
            let grouping = grouping(job);
            let request = Keyed { method, grouping: &grouping, content_type, body, source, temporality };
            identify(key, &request, |_| false)
        };
        let key = |method, job, key: &[u8], content_type: &[u8], body: &[u8]| {
            sent(method, job, key, content_type, body, None, None)
        };
        let first = key("POST", "a", b"k", b"", b"a 1\n");
        assert_eq!(first, key("POST", "a", b"k", b"", b"a 1\n"));
        for other in [
            key("PUT", "a", b"k", b"", b"a 1\n"),
            key("POST", "b", b"k", b"", b"a 1\n"),
            key("POST", "a", b"l", b"", b"a 1\n"),
        ] {
            assert_ne!(first.id, other.id);
        }
        let deletion = |key: &[u8], parameters| identify_deletion(key, parameters).id;
        let first = deletion(b"k", "match[]=a");
        assert_eq!(first, deletion(b"k", "match[]=a"));
        for other in [deletion(b"l", "match[]=a"), deletion(b"k", "match[]=b")] {
            assert_ne!(first, other);
        }
        let first = key("POST", "a", b"k", b"", b"a 1\n");
        let of_source = |source| sent("POST", "a", b"k", b"", b"a 1\n", Some(source), None);
        assert_eq!(of_source("x"), of_source("x"));
        assert!(of_source("x").id != first.id && of_source("x").id != of_source("y").id);
        for other in [
            key("POST", "a", b"k", b"", b"a 2\n"),
            key("POST", "a", b"k", b"text/plain", b"a 1\n"),
            sent("POST", "a", b"k", b"", b"a 1\n", None, Some("cumulative")),
        ] {
            assert_eq!(first.id, other.id);
            assert_ne!(first.fingerprint, other.fingerprint);
        }
    }
}
