//! Request headers: any headers lead to an answer in a format that the gateway offers.

use ipnet::IpNet;
use tallygate::exposition::negotiation::{Compression, Format, Offers, Syntax, TextVersion};
use tallygate::gateway::{Client, idempotency};
use tallygate::http::client::behind;

/// The lines of the input are `Accept`, `Accept-Encoding`, an idempotency key, `Forwarded` and
/// `X-Forwarded-For`.
pub fn headers(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let accept = String::from_utf8_lossy(line());
    for offers in [Offers::All, Offers::Stock] {
        let format = Format::negotiate(&accept, offers);
        let is_offered = match format.syntax {
            Syntax::Text(TextVersion::V0_0_4) | Syntax::Protobuf => true,
            Syntax::Text(TextVersion::V1_0_0) | Syntax::OpenMetrics(_) => offers == Offers::All,
        };
        assert!(is_offered, "{accept}: {format:?}");
        // A client that asks for exactly the negotiated content type gets it again.
        let again = Format::negotiate(&format.content_type(), offers);
        assert_eq!(again, format, "{accept}");
        if !accept.contains("openmetrics") {
            assert!(!matches!(format.syntax, Syntax::OpenMetrics(_)), "{accept}");
        }
    }
    let accept_encoding = String::from_utf8_lossy(line());
    for offers in [Offers::All, Offers::Stock] {
        let compression = Compression::negotiate(&accept_encoding, offers);
        assert!(offers == Offers::All || compression != Compression::Zstd, "{accept_encoding}");
        if let Some(name) = compression.name() {
            assert!(accept_encoding.contains(name) || accept_encoding.contains('*'), "{accept_encoding}");
            assert_eq!(Compression::negotiate(name, offers), compression);
        }
    }
    if let Ok(key) = idempotency::parse(line()) {
        assert!(!key.is_empty() && key.iter().all(u8::is_ascii_graphic));
    }
    let [forwarded, list] = [(); 2].map(|()| String::from_utf8_lossy(line()));
    let behind = |peer, trusted: &[IpNet]| behind(peer, Some(&forwarded), Some(&list), trusted);
    let [peer, stranger] = ["10.0.0.1:1", "192.0.2.1:1"].map(|peer| Client::from(peer.parse().ok()));
    let trusted: Vec<IpNet> = "10.0.0.0/8".parse().into_iter().collect();
    assert_eq!(behind(stranger, &trusted), stranger);
    assert!(!behind(peer, &trusted).to_string().is_empty());
}
