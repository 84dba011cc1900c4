//! Serving encrypted connections.
//!
//! The same service as for plain ones, behind a stage that does the handshake. It is put together here, and
//! not by actix-web, because actix-web binds a socket to one TLS configuration for good.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_http::HttpService;
use actix_server::{Server, ServerBuilder};
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::rt::net::TcpStream;
use actix_web::{App, web};

use super::accept::accept;
use crate::http::{HEAD_TIMEOUT, KEEP_ALIVE, State, dispatch};

/// How long a connection may take to close, as with plain ones.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// As [`crate::http::serve`].
pub(in crate::http) fn serve(
    state: Arc<State>,
    listeners: Vec<TcpListener>,
    shutdown_timeout: Duration,
) -> std::io::Result<Server> {
    let mut builder =
        ServerBuilder::new().shutdown_timeout(shutdown_timeout.as_secs().max(1)).disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    for listener in listeners {
        let address = listener.local_addr()?;
        let (state, stopping) = (state.clone(), stopping.clone());
        builder = builder.listen(format!("https-{address}"), listener, move || {
            state.pulses.beat_on_this_thread();
            let data = web::Data::from(state.clone());
            let app = App::new().app_data(data).default_service(web::to(dispatch));
            let (stopping, accepting) = (stopping.clone(), stopping.clone());
            let http = HttpService::build()
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    async move { stopping.notified().await }
                })
                .keep_alive(KEEP_ALIVE)
                .client_request_timeout(HEAD_TIMEOUT)
                .client_disconnect_timeout(CLOSE_TIMEOUT)
                .local_addr(address)
                .h1(map_config(app.into_factory(), |()| AppConfig::default()));
            let (state, stopping) = (state.clone(), accepting.clone());
            // Failures have been counted and answered; the server has no use for them.
            fn_service(move |stream: TcpStream| {
                let (state, stopping) = (state.clone(), stopping.clone());
                async move {
                    tokio::select! {
                        encrypted = encrypted(state, stream) => encrypted,
                        // Who has not even said what for must not hold up the stop.
                        () = stopping.notified() => Err(()),
                    }
                }
            })
            .and_then(http.map_err(|_| ()))
        })?;
    }
    Ok(builder.run())
}

/// The connection after its handshake, with the configuration that is in force now.
async fn encrypted(
    state: Arc<State>,
    stream: TcpStream,
) -> Result<(tokio_rustls::server::TlsStream<TcpStream>, Option<std::net::SocketAddr>), ()> {
    let peer = stream.peer_addr().ok();
    let config = state.guard.as_ref().and_then(|guard| guard.rules().tls.clone()).ok_or(())?;
    match accept(stream, config).await {
        Ok(stream) => Ok((stream, peer)),
        Err(error) => {
            state.gateway.telemetry().web().handshake_failed();
            let peer = peer.map(|peer| peer.to_string()).unwrap_or_default();
            tracing::debug!(client = %peer, err = %error, "TLS handshake error");
            Err(())
        }
    }
}
