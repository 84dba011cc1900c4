//! Listening sockets.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

use socket2::{Domain, Protocol, Socket, Type};

use crate::config::address::split_host_port;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// An address that can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("listen tcp {address}: {reason}")]
pub struct ListenError {
    address: String,
    reason: String,
}

/// Listens on `host:port`. Without a host that is every address of the machine, of IPv6 and IPv4.
///
/// # Errors
///
/// When the address is malformed or unknown, or another process has it.
pub fn listen(address: &str) -> Result<TcpListener, ListenError> {
    let error = |reason: String| ListenError { address: address.to_owned(), reason };
    let (host, port) = split_host_port(address).map_err(|e| error(e.to_string()))?;
    let candidates: Vec<SocketAddr> = if host.is_empty() {
        vec![(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()]
    } else {
        (host, port).to_socket_addrs().map_err(|e| error(format!("lookup {host}: {e}")))?.collect()
    };
    let mut reason = "no such host".to_owned();
    for candidate in candidates {
        match bind(candidate) {
            Ok(listener) => return Ok(listener),
            // A machine without IPv6 has the second candidate.
            Err(e) => reason = format!("bind: {e}"),
        }
    }
    Err(error(reason))
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Connections inherit it. The last, short segment of an answer must not wait for the client to
    // acknowledge the one before, which takes clients up to 40 ms.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
