//! The client of a request: the peer of the connection, or the client that a trusted proxy names.
//!
//! A proxy appends the address of its peer to a list. Only entries from trusted proxies can be believed. Earlier
//! entries may be anything that the client has sent, and are ignored.

use std::net::{IpAddr, SocketAddr};

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap};
use ipnet::IpNet;

use super::State;
use crate::gateway::Client;

impl State {
    /// The client that sent a request.
    pub(super) fn client(&self, request: &HttpRequest) -> Client {
        let peer = Client::from(request.peer_addr());
        if self.trusted_proxies.is_empty() {
            return peer;
        }
        let [forwarded, list] =
            [header::FORWARDED, header::X_FORWARDED_FOR].map(|name| text(request.headers(), &name));
        behind(peer, forwarded.as_deref(), list.as_deref(), &self.trusted_proxies)
    }
}

/// The client that trusted proxies name in `Forwarded` and `X-Forwarded-For`, if `peer` is a trusted proxy. If the
/// two headers disagree, one of them may come from the client itself, past a proxy that knows only the other
/// header. Then neither counts.
#[must_use]
pub fn behind(peer: Client, forwarded: Option<&str>, list: Option<&str>, trusted: &[IpNet]) -> Client {
    let is_trusted = |client: Client| {
        client.address().is_some_and(|address| trusted.iter().any(|network| network.contains(&address)))
    };
    if !is_trusted(peer) {
        return peer;
    }
    // The hops are ordered from the nearest to the farthest. The search ends at one that can't be parsed.
    let first_untrusted = |hops: Vec<Option<Client>>| {
        let mut client = peer;
        for hop in hops.into_iter().rev() {
            let Some(hop) = hop else { break };
            client = hop;
            if !is_trusted(hop) {
                break;
            }
        }
        client
    };
    let forwarded = forwarded
        .map(|text| first_untrusted(unquoted(text, ',').map(|element| node(for_of(element)?)).collect()));
    let list = list.map(|text| first_untrusted(text.split(',').map(|entry| node(entry.trim())).collect()));
    match (forwarded, list) {
        (Some(one), Some(other)) if one.address() != other.address() => peer,
        (one, other) => one.or(other).unwrap_or(peer),
    }
}

/// The values of a header, joined to one list.
fn text(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    let mut values = headers.get_all(name).peekable();
    values.peek()?;
    let values: Vec<_> = values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    Some(values.join(","))
}

/// Splits a text at separators outside quotes.
fn unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |c| {
        is_quoted ^= c == '"' && !is_escaped;
        is_escaped = c == '\\' && is_quoted && !is_escaped;
        c == separator && !is_quoted
    })
}

/// The value of `for=` in an element of `Forwarded` (RFC 7239). Each element is one hop.
fn for_of(element: &str) -> Option<&str> {
    let node = unquoted(element, ';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim())
    })?;
    Some(node.strip_prefix('"').and_then(|node| node.strip_suffix('"')).unwrap_or(node))
}

/// Parses an address with or without a port. An IPv6 address may be in brackets.
fn node(text: &str) -> Option<Client> {
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Some(Client::from(Some(socket)));
    }
    let address = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    address.parse::<IpAddr>().ok().map(|address| Client::new(address, None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};

    fn client(peer: &str, headers: &[(&str, &str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "::1/128"].iter().map(|net| net.parse().unwrap()).collect();
        let (forwarded, list) = (text(&map, &header::FORWARDED), text(&map, &header::X_FORWARDED_FOR));
        behind(Client::from(Some(peer.parse().unwrap())), forwarded.as_deref(), list.as_deref(), &trusted)
            .to_string()
    }

    #[test]
    fn the_first_address_that_no_trusted_proxy_has() {
        let list = |value| client("10.0.0.1:5", &[("x-forwarded-for", value)]);
        for (value, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7:99", "192.0.2.7:99"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:99", "[2001:db8::7]:99"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            // Earlier entries may be forged.
            ("198.51.100.1, 192.0.2.7", "192.0.2.7"),
            ("198.51.100.1,192.0.2.7 , 10.1.1.1, ::1", "192.0.2.7"),
            // If all are proxies, the farthest one counts.
            ("10.2.2.2, 10.1.1.1", "10.2.2.2"),
            // An entry that can't be parsed ends the search at the last known hop.
            ("192.0.2.7, unknown, 10.1.1.1", "10.1.1.1"),
            ("unknown", "10.0.0.1:5"),
            ("", "10.0.0.1:5"),
            ("192.0.2.7,", "10.0.0.1:5"),
        ] {
            assert_eq!(list(value), expected, "{value}");
        }
        let lines = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "192.0.2.7")];
        assert_eq!(client("10.0.0.1:5", &lines), "192.0.2.7");
        assert_eq!(client("[::ffff:10.0.0.1]:5", &lines), "192.0.2.7");
        assert_eq!(client("[::1]:5", &lines), "192.0.2.7");
    }

    #[test]
    fn a_stranger_is_not_believed() {
        let headers = [("x-forwarded-for", "192.0.2.7"), ("forwarded", "for=192.0.2.7")];
        assert_eq!(client("192.0.2.1:5", &headers), "192.0.2.1:5");
        assert_eq!(client("[::ffff:192.0.2.1]:5", &headers), "192.0.2.1:5");
        assert_eq!(client("[::2]:5", &headers), "[::2]:5");
        assert_eq!(client("10.0.0.1:5", &[]), "10.0.0.1:5");
    }

    #[test]
    fn forwarded_elements() {
        let forwarded = |value| client("10.0.0.1:5", &[("forwarded", value)]);
        for (value, expected) in [
            ("for=192.0.2.7", "192.0.2.7"),
            ("For=192.0.2.7;proto=https;by=10.0.0.1", "192.0.2.7"),
            ("proto=https; for=\"192.0.2.7:99\"", "192.0.2.7:99"),
            ("for=\"[2001:db8::7]:99\"", "[2001:db8::7]:99"),
            ("for=198.51.100.1, for=192.0.2.7, for=10.1.1.1", "192.0.2.7"),
            ("for=192.0.2.7;host=\"a,b;for=1.1.1.1\\\",\"", "192.0.2.7"),
            ("for=_hidden", "10.0.0.1:5"),
            ("for=192.0.2.7, for=unknown, for=10.1.1.1", "10.1.1.1"),
            ("proto=https", "10.0.0.1:5"),
        ] {
            assert_eq!(forwarded(value), expected, "{value}");
        }
    }

    #[test]
    fn headers_that_disagree_do_not_count() {
        let both = |one, other| client("10.0.0.1:5", &[("forwarded", one), ("x-forwarded-for", other)]);
        assert_eq!(both("for=192.0.2.7", "192.0.2.7"), "192.0.2.7");
        assert_eq!(both("for=198.51.100.1", "192.0.2.7"), "10.0.0.1:5");
    }
}
