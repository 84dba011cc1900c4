//! The address of a client, as log lines show it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Who sent a request, if known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Client {
    address: Option<IpAddr>,
    port: Option<u16>,
}

impl Client {
    /// The client with this address. A port that is not known is left out.
    #[must_use]
    pub fn new(address: IpAddr, port: Option<u16>) -> Client {
        // A dual-stack socket reports IPv4 addresses as IPv6 ones (`::ffff:1.2.3.4`).
        Client { address: Some(address.to_canonical()), port }
    }

    /// The address, if it is known.
    #[must_use]
    pub fn address(self) -> Option<IpAddr> {
        self.address
    }
}

impl From<Option<SocketAddr>> for Client {
    fn from(peer: Option<SocketAddr>) -> Client {
        peer.map_or_else(Client::default, |peer| Client::new(peer.ip(), Some(peer.port())))
    }
}

impl fmt::Display for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.port) {
            (Some(address), Some(port)) => SocketAddr::new(address, port).fmt(formatter),
            (Some(address), None) => address.fmt(formatter),
            (None, _) => formatter.write_str("unknown"),
        }
    }
}
