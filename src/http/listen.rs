//! Listening sockets.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

use listenfd::ListenFd;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::config::address::split_host_port;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Why there is no socket to listen on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// An address can't be listened on.
    #[error("listen tcp {address}: {reason}")]
    Address {
        /// The address as given.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// systemd has passed no sockets.
    #[error("no socket activation file descriptors found")]
    NothingActivated,
    /// systemd has passed something else.
    #[error("socket {number} from systemd can't be listened on: {reason}")]
    Activated {
        /// Which one, from 1.
        number: usize,
        /// What is wrong.
        reason: String,
    },
}

/// The sockets that systemd listens on for the gateway. Can be asked once.
///
/// # Errors
///
/// When there are none, or one is no TCP socket that listens.
pub fn activated() -> Result<Vec<TcpListener>, ListenError> {
    let mut passed = ListenFd::from_env();
    if passed.len() == 0 {
        return Err(ListenError::NothingActivated);
    }
    let count = passed.len();
    let mut take = |at| -> io::Result<TcpListener> {
        let missing = || io::Error::other("it is not there");
        let listener = passed.take_tcp_listener(at)?.ok_or_else(missing)?;
        let socket = SockRef::from(&listener);
        if socket.peer_addr().is_ok() {
            return Err(io::Error::other("it is a connection, as with Accept=yes; use Accept=no"));
        }
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        Ok(listener)
    };
    let reason =
        |at: usize, error: io::Error| ListenError::Activated { number: at + 1, reason: error.to_string() };
    (0..count).map(|at| take(at).map_err(|error| reason(at, error))).collect()
}

/// Listens on `host:port`. Without a host that is every address of the machine, of IPv6 and IPv4.
///
/// # Errors
///
/// When the address is malformed or unknown, or another process has it.
pub fn listen(address: &str) -> Result<TcpListener, ListenError> {
    let error = |reason: String| ListenError::Address { address: address.to_owned(), reason };
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
