//! Parses listen addresses, the route prefix and the path of the metrics.
//!
//! Works on text alone; `http` binds the sockets.

use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use thiserror::Error;

use super::external_url::{self, UrlError};
use crate::message::Excerpt;

/// Paths of the gateway itself, below the route prefix, that no other path may take.
const OWN_PATHS: [&str; 5] = ["/", "/status", "/-/healthy", "/-/ready", "/-/quit"];

/// The gateway itself serves every path that begins with one of these.
const OWN_TREES: [&str; 2] = ["/static/", "/api/v1/"];

/// Why a text is not a listen address, with Go's message.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("address {address}: {reason}")]
pub struct AddressError {
    address: Excerpt,
    reason: &'static str,
}

/// Why the metrics can't be served at the configured path.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("path {path:?} {reason}")]
pub struct TelemetryPathError {
    path: Excerpt,
    reason: &'static str,
}

/// Splits `host:port`, `[v6]:port` or `:port`. An empty port is 0: the system picks one.
///
/// # Errors
///
/// If the port is missing or not a number up to 65535, or the brackets do not match.
pub fn split_host_port(address: &str) -> Result<(&str, u16), AddressError> {
    let error = |reason| AddressError { address: Excerpt::of(address), reason };
    let (host, port) = if let Some(inner) = address.strip_prefix('[') {
        let (host, after) = inner.split_once(']').ok_or_else(|| error("missing ']' in address"))?;
        (host, after.strip_prefix(':').ok_or_else(|| error("missing port in address"))?)
    } else {
        let (host, port) = address.rsplit_once(':').ok_or_else(|| error("missing port in address"))?;
        if host.contains(':') {
            return Err(error("too many colons in address"));
        }
        (host, port)
    };
    if host.contains(['[', ']']) || port.contains(['[', ']']) {
        return Err(error("unexpected bracket in address"));
    }
    match port {
        "" => Ok((host, 0)),
        _ if port.bytes().all(|digit| digit.is_ascii_digit()) => {
            port.parse().map(|port| (host, port)).map_err(|_| error("invalid port"))
        }
        _ => Err(error("invalid port")),
    }
}

/// Whether `address` names a virtual machine socket (`vsock://:9091`).
pub(super) fn is_vsock(address: &str) -> bool {
    address.starts_with("vsock://")
}

/// Checks the form of a listen address. Accepts `vsock://`, which `layers` refuses with a message of its own.
pub(super) fn check_listen_address(address: &str) -> Result<(), AddressError> {
    if is_vsock(address) { Ok(()) } else { split_host_port(address).map(|_| ()) }
}

/// The prefix of all routes, as the stock gateway computes it: `prefix`, or the path of the
/// external URL if `prefix` is empty; `/` means no prefix.
pub(super) fn route_prefix(prefix: &str, external_url: &str) -> Result<String, UrlError> {
    let prefix = match prefix {
        "/" => return Ok(String::new()),
        "" => external_url::path(external_url)?,
        _ => prefix.to_owned(),
    };
    let rooted = if prefix.starts_with('/') { prefix } else { format!("/{prefix}") };
    Ok(rooted.strip_suffix('/').map(str::to_owned).unwrap_or(rooted))
}

/// `prefix` and `path` as one clean path, as Go's `path.Join` makes it.
pub(super) fn join(prefix: &str, path: &str) -> String {
    let whole = match (prefix, path) {
        ("", _) => path.to_owned(),
        (_, "") => prefix.to_owned(),
        _ => format!("{prefix}/{path}"),
    };
    let mut segments: Vec<&str> = Vec::new();
    for segment in whole.split('/') {
        match segment {
            "" | "." => {}
            ".." => _ = segments.pop(),
            _ => segments.push(segment),
        }
    }
    let root = if whole.starts_with('/') { "/" } else { "" };
    format!("{root}{}", segments.join("/"))
}

/// Refuses a telemetry path with which the stock gateway panics at start or serves no metrics.
pub(super) fn check_telemetry_path(route_prefix: &str, path: &str) -> Result<(), TelemetryPathError> {
    let error = |reason| Err(TelemetryPathError { path: Excerpt::of(path), reason });
    let joined = join(route_prefix, path);
    if !joined.starts_with('/') {
        return error("must begin with \"/\"");
    }
    if path.contains('*') || path.contains("/:") {
        return error("must not contain \"*\" or begin a segment with \":\"");
    }
    let below = joined.strip_prefix(route_prefix).unwrap_or_default();
    if OWN_PATHS.contains(&below) || OWN_TREES.iter().any(|tree| below.starts_with(tree)) {
        return error("is taken by the gateway itself");
    }
    Ok(())
}

/// For `#[serde(deserialize_with)]`: a list of listen addresses, or one text with commas, because
/// an environment variable can't hold a list.
pub(super) fn deserialize_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct List;

    impl<'de> Visitor<'de> for List {
        type Value = Vec<String>;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("a list of addresses such as [\":9091\"]")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            checked(text.split(',').map(|address| address.trim().to_owned()).collect())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
            let mut addresses = Vec::new();
            while let Some(address) = sequence.next_element::<String>()? {
                addresses.push(address);
            }
            checked(addresses)
        }
    }

    fn checked<E: serde::de::Error>(addresses: Vec<String>) -> Result<Vec<String>, E> {
        if addresses.is_empty() {
            return Err(E::invalid_length(0, &List));
        }
        for address in &addresses {
            check_listen_address(address)
                .map_err(|error| E::custom(format_args!("{error}, expected \"host:port\" or \":port\"")))?;
        }
        Ok(addresses)
    }

    deserializer.deserialize_any(List)
}

/// For `#[serde(deserialize_with)]`: an external URL, kept as written.
pub(super) fn deserialize_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let url: String = serde::Deserialize::deserialize(deserializer)?;
    external_url::path(&url).map_err(D::Error::custom)?;
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_host_and_port() {
        for (address, expected) in [
            (":9091", ("", 9091)),
            ("127.0.0.1:0", ("127.0.0.1", 0)),
            ("localhost:9091", ("localhost", 9091)),
            ("[::1]:9091", ("::1", 9091)),
            ("[fe80::1%eth0]:1", ("fe80::1%eth0", 1)),
            ("host:", ("host", 0)),
        ] {
            assert_eq!(split_host_port(address), Ok(expected));
        }
    }

    #[test]
    fn refuses_what_is_no_address() {
        for (address, reason) in [
            ("x", "missing port in address"),
            ("", "missing port in address"),
            ("[::1]", "missing port in address"),
            ("[::1", "missing ']' in address"),
            ("::1:9091", "too many colons in address"),
            (":9091,:9092", "too many colons in address"),
            ("a]:1", "unexpected bracket in address"),
            (":99999", "invalid port"),
            (":+1", "invalid port"),
            (":http", "invalid port"),
        ] {
            assert_eq!(
                split_host_port(address).unwrap_err().to_string(),
                format!("address {address}: {reason}")
            );
        }
    }

    /// Recorded from the stock gateway 1.11.2 (debug log line `path prefix for internal routing`).
    #[test]
    fn computes_the_route_prefix_of_stock() {
        for (prefix, url, expected) in [
            ("", "", ""),
            ("p", "", "/p"),
            ("/p/", "", "/p"),
            ("//x//", "", "//x/"),
            ("/", "http://x/pg", ""),
            ("", "http://x/pg/", "/pg"),
            ("", "http://x/", ""),
            ("", "ex.com/pg", "/ex.com/pg"),
            ("/q", "http://x/pg/", "/q"),
            ("/a/../b", "", "/a/../b"),
        ] {
            assert_eq!(route_prefix(prefix, url).as_deref(), Ok(expected), "{prefix} {url}");
        }
    }

    #[test]
    fn joins_as_go_joins() {
        for (prefix, path, expected) in [
            ("", "/metrics", "/metrics"),
            ("/p", "/metrics", "/p/metrics"),
            ("/p", "m", "/p/m"),
            ("/p", "", "/p"),
            ("/p", "/", "/p"),
            ("", "//x/./y/../z/", "/x/z"),
            ("/p", "../x", "/x"),
            ("", "/../x", "/x"),
            ("", "", ""),
            ("", "m", "m"),
        ] {
            assert_eq!(join(prefix, path), expected, "{prefix} {path}");
        }
    }

    /// The paths of the first list make the stock gateway 1.11.2 panic at start. It accepts `/api/v1/…` and then
    /// never serves it.
    #[test]
    fn refuses_a_telemetry_path_that_is_taken() {
        for path in [
            "m",
            "",
            "/",
            "/status",
            "/-/ready",
            "/-/healthy",
            "/-/healthy/",
            "/-/quit",
            "/static/x",
            "/:a",
            "/*x",
            "/a*b",
            "/x/../status",
            "/status/",
            "/a/:",
        ] {
            assert!(check_telemetry_path("", path).is_err(), "{path}");
        }
        assert!(check_telemetry_path("/p", "status").is_err());
        assert!(check_telemetry_path("", "/api/v1/status").is_err());
    }

    #[test]
    fn takes_other_telemetry_paths() {
        for path in ["/metrics", "/static", "/stat", "/-/", "/a b", "/a:b", "/metrics/job", "//x", "/api/v1"]
        {
            assert_eq!(check_telemetry_path("", path), Ok(()), "{path}");
        }
        for path in ["m", "", "/", "../x"] {
            assert_eq!(check_telemetry_path("/p", path), Ok(()), "{path}");
        }
    }
}
