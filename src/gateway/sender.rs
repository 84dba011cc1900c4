//! What the headers of a push say of its sender, where a rule lets them count.

use std::time::Duration;

use crate::config::{Temporality, duration};
use crate::message::quote;

/// The longest name of a source, in bytes.
const MAX_SOURCE_BYTES: usize = 1024;

/// The headers as they came.
#[derive(Clone, Copy, Debug, Default)]
pub struct SenderHeaders<'a> {
    /// `X-Push-Source`: who pushes.
    pub source: Option<&'a [u8]>,
    /// `X-Push-TTL`: after how long without a push what it pushes goes. It can only shorten what the rule says.
    pub ttl: Option<&'a [u8]>,
    /// `X-Push-Temporality`: what its values count from.
    pub temporality: Option<&'a [u8]>,
}

/// A header that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header {name} is {value}: expected {expected}")]
pub struct BadHeader {
    name: &'static str,
    value: String,
    expected: &'static str,
}

/// What they say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sender {
    pub(super) source: Option<Box<str>>,
    pub(super) ttl: Option<Duration>,
    pub(super) temporality: Option<Temporality>,
}

impl SenderHeaders<'_> {
    /// Reads them.
    pub(super) fn read(&self) -> Result<Sender, BadHeader> {
        let source = read(self.source, "X-Push-Source", "1 to 1024 bytes of UTF-8", |source| {
            (1..=MAX_SOURCE_BYTES).contains(&source.len()).then(|| source.into())
        })?;
        let ttl = read(self.ttl, "X-Push-TTL", "a duration longer than 0, such as 10m", |ttl| {
            duration::parse(ttl).ok().filter(|ttl| !ttl.is_zero())
        })?;
        let temporality =
            read(self.temporality, "X-Push-Temporality", "delta, cumulative or auto", |temporality| {
                Temporality::try_from(temporality.to_owned()).ok()
            })?;
        Ok(Sender { source, ttl, temporality })
    }
}

fn read<T>(
    header: Option<&[u8]>,
    name: &'static str,
    expected: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, BadHeader> {
    let Some(bytes) = header else { return Ok(None) };
    let parsed = std::str::from_utf8(bytes).ok().and_then(|text| parse(text.trim()));
    let bad = || BadHeader { name, value: quote(bytes), expected };
    parsed.map(Some).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_or_refused() {
        let headers =
            SenderHeaders { source: Some(b" pod-7 "), ttl: Some(b"90s"), temporality: Some(b"cumulative") };
        let sender = headers.read().unwrap();
        assert_eq!(sender.source.as_deref(), Some("pod-7"));
        assert_eq!(sender.ttl, Some(Duration::from_secs(90)));
        assert_eq!(sender.temporality, Some(Temporality::Cumulative));
        assert_eq!(SenderHeaders::default().read(), Ok(Sender::default()));
        for (headers, message) in [
            (
                SenderHeaders { source: Some(b""), ..SenderHeaders::default() },
                "the header X-Push-Source is \"\": expected 1 to 1024 bytes of UTF-8",
            ),
            (
                SenderHeaders { source: Some(b"\xff"), ..SenderHeaders::default() },
                "the header X-Push-Source is \"\\xff\": expected 1 to 1024 bytes of UTF-8",
            ),
            (
                SenderHeaders { ttl: Some(b"0s"), ..SenderHeaders::default() },
                "the header X-Push-TTL is \"0s\": expected a duration longer than 0, such as 10m",
            ),
            (
                SenderHeaders { temporality: Some(b"totals"), ..SenderHeaders::default() },
                "the header X-Push-Temporality is \"totals\": expected delta, cumulative or auto",
            ),
        ] {
            assert_eq!(headers.read().unwrap_err().to_string(), message);
        }
    }
}
