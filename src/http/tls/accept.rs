//! From a connection to an encrypted one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_web::rt::net::TcpStream;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a client may take for the handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How much is read of a request that was not encrypted, and how long: closing a connection with something
/// unread would take the answer from the client.
const DRAINED_BYTES: usize = 64 * 1024;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// The first byte of a handshake.
const HANDSHAKE_RECORD: u8 = 22;

/// What Go's server answers to a request without TLS.
const NOT_ENCRYPTED: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// Why there is no encrypted connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum AcceptError {
    /// The handshake failed, or the connection did.
    #[error("{0}")]
    Handshake(#[from] io::Error),
    /// The client sent a request in the clear, and has been told.
    #[error("client sent an HTTP request to an HTTPS server")]
    NotEncrypted,
    /// The client sent nothing, or not all.
    #[error("the handshake took more than {} s", HANDSHAKE_TIMEOUT.as_secs())]
    TimedOut,
}

/// Does the handshake.
pub(super) async fn accept(
    stream: TcpStream,
    config: Arc<ServerConfig>,
) -> Result<TlsStream<TcpStream>, AcceptError> {
    let handshake = async {
        let mut first = [0];
        stream.peek(&mut first).await?;
        if first[0] != HANDSHAKE_RECORD && first[0].is_ascii_alphabetic() {
            refuse(stream).await;
            return Err(AcceptError::NotEncrypted);
        }
        Ok(TlsAcceptor::from(config).accept(stream).await?)
    };
    timeout(HANDSHAKE_TIMEOUT, handshake).await.unwrap_or(Err(AcceptError::TimedOut))
}

/// Says that the request should have been encrypted. What goes wrong then is the client's loss.
async fn refuse(mut stream: TcpStream) {
    let mut unread = vec![0; 4096];
    let exchange = async {
        stream.write_all(NOT_ENCRYPTED).await?;
        stream.shutdown().await?;
        let mut drained = 0;
        while drained < DRAINED_BYTES {
            match stream.read(&mut unread).await? {
                0 => break,
                count => drained += count,
            }
        }
        io::Result::Ok(())
    };
    let _ = timeout(DRAIN_TIMEOUT, exchange).await;
}
