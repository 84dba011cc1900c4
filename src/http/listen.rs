//! Listening sockets.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

use listenfd::ListenFd;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::config::address::split_host_port;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Why the gateway can't listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// It can't listen on an address.
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
    /// A socket from systemd can't be used.
    #[error("socket {number} from systemd can't be listened on: {reason}")]
    Activated {
        /// Its number, from 1.
        number: usize,
        /// What is wrong.
        reason: String,
    },
}

/// The listening sockets from systemd. Can be called once.
///
/// # Errors
///
/// If there are none, or one is not a listening TCP socket.
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

/// Listens on `host:port`. Without a host, listens on all IPv6 and IPv4 addresses of the machine.
///
/// # Errors
///
/// If the address is malformed or unknown, or another process listens on it.
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
            // On a machine without IPv6 the second candidate works.
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
    // Accepted connections inherit it. Otherwise the last, short segment of an answer would wait until the client
    // acknowledges the one before, which takes up to 40 ms.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
