//! Finds out whether a client has closed its connection without reading from it.

use std::future::Future;
use std::task::{Context, Poll};

use actix_web::rt::net::TcpStream;
use tokio::io::Interest;
use tokio_rustls::server::TlsStream;

/// A connection that can tell whether its peer has closed it, without consuming data.
pub(super) trait Closing {
    /// Whether the client has closed its sending side.
    fn is_closed(&self, context: &mut Context<'_>) -> bool;
}

impl Closing for TcpStream {
    fn is_closed(&self, context: &mut Context<'_>) -> bool {
        let ready = std::pin::pin!(self.ready(Interest::READABLE)).poll(context);
        matches!(ready, Poll::Ready(Ok(ready)) if ready.is_read_closed())
    }
}

impl Closing for TlsStream<TcpStream> {
    fn is_closed(&self, context: &mut Context<'_>) -> bool {
        self.get_ref().0.is_closed(context)
    }
}
