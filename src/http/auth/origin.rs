//! Requests that a page of another site makes a browser send.
//!
//! A browser adds the login or the certificate that its user gave once to whatever it sends to the gateway,
//! whoever makes it send that, and programs send none of the headers that are looked at here. The rules are
//! those of `CrossOriginProtection` in Go's `net/http`.

use actix_web::http::header::{self, HeaderMap};

/// Whether a browser says that another site is behind a request. `external_url` is where the page is seen.
pub(super) fn is_from_another_site(headers: &HeaderMap, external_url: &str) -> bool {
    // Fetch Metadata (W3C): sent over TLS, and to the machine itself.
    if let Some(site) = headers.get("sec-fetch-site") {
        return !matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let Ok(origin) = origin.to_str() else { return true };
    let Some((_, host)) = origin.split_once("://") else { return true };
    let is_in = |name: &str| {
        headers.get(name).is_some_and(|known| known.as_bytes().eq_ignore_ascii_case(host.as_bytes()))
    };
    !(is_in("host") || is_in("x-forwarded-host") || is_origin_of(origin, external_url))
}

fn is_origin_of(origin: &str, url: &str) -> bool {
    let starts_so = url.get(..origin.len()).is_some_and(|start| start.eq_ignore_ascii_case(origin));
    starts_so && matches!(url.as_bytes().get(origin.len()), None | Some(b'/' | b'?' | b'#'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};

    fn is_foreign(headers: &[(&str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        is_from_another_site(&map, "https://metrics.example.com/push")
    }

    #[test]
    fn what_browsers_say() {
        let host = ("host", "gateway:9091");
        for (own, headers) in [
            (true, &[][..]),
            (true, &[("sec-fetch-site", "same-origin")]),
            (true, &[("sec-fetch-site", "none")]),
            (false, &[("sec-fetch-site", "cross-site")]),
            (false, &[("sec-fetch-site", "same-site")]),
            (false, &[("sec-fetch-site", "cross-site"), ("origin", "http://gateway:9091")]),
            (true, &[("origin", "http://gateway:9091")]),
            (true, &[("origin", "http://GATEWAY:9091")]),
            (false, &[("origin", "http://gateway")]),
            (false, &[("origin", "http://gateway:9091.evil.example")]),
            (false, &[("origin", "http://evil.example")]),
            (false, &[("origin", "null")]),
            (false, &[("origin", "")]),
            (true, &[("origin", "http://proxy.example"), ("x-forwarded-host", "proxy.example")]),
            (true, &[("origin", "https://metrics.example.com")]),
            (false, &[("origin", "http://metrics.example.com")]),
            (false, &[("origin", "https://metrics.example.co")]),
            (false, &[("origin", "https://metrics.example.com.evil.example")]),
        ] {
            assert_eq!(is_foreign(&[&[host], headers].concat()), !own, "{headers:?}");
        }
    }
}
