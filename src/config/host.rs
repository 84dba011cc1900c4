//! Host names in settings.

use std::fmt;

use serde::de::Deserializer;

use super::list;

/// A host as the `Host` header names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The name or address in lower case; an IPv6 address is in brackets.
    name: String,
    /// `None` for any port.
    port: Option<u16>,
}

/// The default ports of http and https, which browsers leave out.
const DEFAULT_PORTS: [u16; 2] = [80, 443];

impl Host {
    /// Reads a name, an IPv4 address or an IPv6 address in brackets, with or without a port.
    #[must_use]
    pub fn parse(text: &str) -> Option<Host> {
        let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) if is_port(port) => (name, Some(port.parse().ok()?)),
            _ => (text, None),
        };
        let is_name = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !name.is_empty()
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
            }
        };
        // A name with a trailing dot is the same name.
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        (is_name && !name.is_empty()).then_some(Host { name, port })
    }

    /// Whether this host from the settings allows the host of a request.
    #[must_use]
    pub fn allows(&self, host: &Host) -> bool {
        self.name == host.name
            && match (self.port, host.port) {
                (None, _) => true,
                (Some(port), None) => DEFAULT_PORTS.contains(&port),
                (port, other) => port == other,
            }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)?;
        self.port.map_or(Ok(()), |port| write!(formatter, ":{port}"))
    }
}

/// For `#[serde(deserialize_with)]`: a list of hosts.
pub(super) fn deserialize_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Host>, D::Error> {
    const WHAT: &str = "a list of host names such as [\"pushgateway.example.com\", \"localhost:9091\"]";
    list::deserialize(deserializer, WHAT, |text| {
        Host::parse(text).ok_or_else(|| {
            format!(
                "{text:?} is no host, expected a name such as \"pushgateway.example.com\", with or without a port, or \
                 an address such as \"10.0.0.1\" or \"[::1]:9091\""
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_requests() {
        let allows = |ours: &str, theirs: &str| {
            Host::parse(theirs).is_some_and(|host| Host::parse(ours).unwrap().allows(&host))
        };
        for (ours, theirs) in [
            ("gateway", "gateway"),
            ("gateway", "GateWay:9091"),
            ("Gateway", "gateway.:1"),
            ("gateway:9091", "gateway:9091"),
            ("gateway:443", "gateway"),
            ("gateway:80", "gateway"),
            ("10.0.0.1", "10.0.0.1:9091"),
            ("[::1]:9091", "[::1]:9091"),
            ("[::1]", "[::1]"),
        ] {
            assert!(allows(ours, theirs), "{ours} {theirs}");
        }
        for (ours, theirs) in [
            ("gateway", "gateway.evil.example"),
            ("gateway", "evil.gateway"),
            ("gateway:9091", "gateway"),
            ("gateway:9091", "gateway:9092"),
            ("gateway", "gateway:x"),
            ("gateway", "user@gateway"),
            ("gateway", ""),
            ("[::1]", "::1"),
        ] {
            assert!(!allows(ours, theirs), "{ours} {theirs}");
        }
    }

    #[test]
    fn what_is_no_host() {
        for text in [
            "",
            ".",
            ":9091",
            "http://gateway",
            "gateway/",
            "a b",
            "*",
            "*.example",
            "[::1",
            "::1",
            "a:65536",
        ] {
            assert_eq!(Host::parse(text), None, "{text:?}");
        }
    }
}
