//! Accepts TLS connections.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_web::rt::net::TcpStream;
use rustls::ServerConfig;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::unlimited::longest;
use crate::gateway::Client;
use crate::http::State;
use crate::http::connection::Admitted;
use crate::http::connection::{Watched, turn_away};

/// The first byte of a handshake.
const HANDSHAKE_RECORD: u8 = 22;

/// The answer of Go's server to a request without TLS.
const NOT_ENCRYPTED: &[u8] = b"HTTP/1.0 400 Bad Request\r\nX-Content-Type-Options: nosniff\r\n\
    Cross-Origin-Resource-Policy: same-origin\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// Why the TLS handshake failed.
#[derive(Debug, thiserror::Error)]
enum AcceptError {
    /// The handshake failed, or the connection did.
    #[error("{0}")]
    Handshake(#[from] io::Error),
    /// The client sent a request without TLS, and was told.
    #[error("client sent an HTTP request to an HTTPS server")]
    NotEncrypted,
    /// The client sent nothing, or not the whole handshake.
    #[error("the handshake took longer than limits.head_timeout")]
    TimedOut,
}

/// Accepts a connection after its handshake, under the current configuration, unless there are too many. A client
/// that is too slow gets no answer, because it would take it for a broken handshake.
pub(in crate::http) async fn admit(
    state: Arc<State>,
    stream: TcpStream,
) -> Result<Admitted<TlsStream<TcpStream>>, ()> {
    let share = state.connections.take(1).ok_or(())?;
    let peer = stream.peer_addr().ok();
    let config = state.guard.as_ref().and_then(|guard| guard.rules().tls.clone()).ok_or(())?;
    match accept(stream, config, longest(state.limits.head_timeout)).await {
        Ok(stream) => Ok((Watched::new(&state, stream, peer, share), peer)),
        Err(error) => {
            state.gateway.telemetry().web().handshake_failed();
            tracing::debug!(source = %Client::from(peer), err = %error, "TLS handshake error");
            Err(())
        }
    }
}

/// Does the handshake.
async fn accept(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    longest: Duration,
) -> Result<TlsStream<TcpStream>, AcceptError> {
    let handshake = async {
        let mut first = [0];
        stream.peek(&mut first).await?;
        if first[0] != HANDSHAKE_RECORD && first[0].is_ascii_alphabetic() {
            turn_away(stream, NOT_ENCRYPTED).await;
            return Err(AcceptError::NotEncrypted);
        }
        Ok(TlsAcceptor::from(config).accept(stream).await?)
    };
    timeout(longest, handshake).await.unwrap_or(Err(AcceptError::TimedOut))
}
