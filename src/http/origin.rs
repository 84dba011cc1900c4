//! Refuses requests that a page of another site makes a browser send.
//!
//! A browser reaches gateways that the other site can't reach. It also adds the login or the certificate of its
//! user to every request, whoever causes it. Other programs do not send the headers that are checked here. The
//! rules are those of `CrossOriginProtection` in Go's `net/http`.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName};
use actix_web::{HttpRequest, HttpResponse};

use super::{State, answer, auth};
use crate::config::access::Permission;
use crate::telemetry::web::Denial;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

const OTHER_SITE: &str = "Forbidden: the browser says that another site sent this request. If it was the page itself, \
    behind a proxy, set --web.external-url to the address that the browser shows, or let the proxy pass Host on";

impl State {
    /// The answer to a request that changes something, if the browser says that another site has caused it.
    pub(super) fn refuse_other_site(
        &self,
        request: &HttpRequest,
        needed: Option<Permission>,
    ) -> Option<HttpResponse> {
        let changes = matches!(needed, Some(Permission::Push | Permission::Delete | Permission::Admin));
        if !changes || !self.is_asked_by_another_site(request) {
            return None;
        }
        auth::note_denial(self, request, Denial::OtherSite, "another site sent the request");
        Some(answer::error(StatusCode::FORBIDDEN, OTHER_SITE))
    }

    /// Whether a browser says that another site has caused a request.
    pub(super) fn is_asked_by_another_site(&self, request: &HttpRequest) -> bool {
        is_from_another_site(request.headers(), &self.external_url)
    }
}

/// Whether a browser says that another site has caused a request. `external_url` is where users see the page.
fn is_from_another_site(headers: &HeaderMap, external_url: &str) -> bool {
    // Fetch Metadata (W3C). Browsers send it over TLS and to localhost.
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return !matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let Ok(origin) = origin.to_str() else { return true };
    let Some((_, host)) = origin.split_once("://") else { return true };
    // A page of another site can't make a browser send X-Forwarded-Host, because the gateway would have to allow
    // it.
    let is_in = |name: HeaderName| {
        headers.get(name).is_some_and(|known| known.as_bytes().eq_ignore_ascii_case(host.as_bytes()))
    };
    !(is_in(header::HOST) || is_in(X_FORWARDED_HOST) || is_origin_of(origin, external_url))
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
