//! The host names under which the gateway answers.
//!
//! A page of another site can let its own name point to the address of the gateway (DNS rebinding). The browser
//! then takes both for the same site, and only the host name in the request shows the difference.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};

use super::{State, answer, auth};
use crate::config::host::Host;
use crate::telemetry::web::Denial;

/// 421 (RFC 9110, 15.5.20), not 403, because no login would help.
const MISDIRECTED: StatusCode = StatusCode::MISDIRECTED_REQUEST;

impl State {
    /// The answer to a request for a host that is not in `web.allowed_hosts`.
    pub(super) fn refuse_host(&self, request: &HttpRequest) -> Option<HttpResponse> {
        if self.allowed_hosts.is_empty() {
            return None;
        }
        // A full URL in the request line takes precedence over the header (RFC 9112, 3.2.2).
        let named = match request.uri().authority() {
            Some(authority) => Some(authority.as_str()),
            None => request.headers().get(header::HOST).and_then(|host| host.to_str().ok()),
        };
        let host = named.and_then(Host::parse);
        if host.is_some_and(|host| self.allowed_hosts.iter().any(|allowed| allowed.allows(&host))) {
            return None;
        }
        auth::note_denial(self, request, Denial::OtherHost, "the host is none of web.allowed_hosts");
        Some(answer::error(
            MISDIRECTED,
            "Misdirected Request: the gateway does not answer under the name in the Host header: use another one, or \
             add it to web.allowed_hosts",
        ))
    }
}
