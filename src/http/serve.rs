//! From sockets to requests.
//!
//! Connections are put together here, and not by actix-web: each goes through a stage that counts and watches
//! it, and encrypts it under the configuration of that moment, where actix-web binds a socket to one for good.

use std::future::Future;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_http::HttpService;
use actix_server::{Server, ServerBuilder};
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::http::KeepAlive;
use actix_web::rt::net::TcpStream;
use actix_web::{App, web};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::MissedTickBehavior;

use super::closing::Closing;
use super::connection::{self, Admitted, Watched};
use super::{State, auth, dispatch, tls};
use crate::config::unlimited::longest;

/// How long a connection may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How often the gateway looks whether the next scrape can be prepared.
const PREPARE_INTERVAL: Duration = Duration::from_millis(250);

/// Serves on these sockets, with TLS if that is configured, until the server is told to stop; requests in
/// flight then have `shutdown_timeout` to end.
///
/// # Errors
///
/// When a socket can't be used.
pub fn serve(
    state: Arc<State>,
    listeners: Vec<TcpListener>,
    shutdown_timeout: Duration,
) -> std::io::Result<Server> {
    actix_web::rt::spawn(prepare_scrapes(state.clone()));
    if state.guard.as_ref().is_some_and(auth::Guard::reads_files) {
        actix_web::rt::spawn(auth::watch(state.clone()));
    }
    // More connections wait to be accepted, but the count should be reached first: it answers.
    let mut builder = ServerBuilder::new()
        .workers(state.descriptors.workers())
        .max_concurrent_connections(state.descriptors.per_worker())
        .shutdown_timeout(shutdown_timeout.as_secs().max(1))
        .disable_signals();
    let has_tls = state.guard.as_ref().is_some_and(auth::Guard::has_tls);
    for listener in listeners {
        builder = if has_tls {
            listen(builder, &state, listener, tls::admit)?
        } else {
            listen(builder, &state, listener, connection::admit)?
        };
    }
    Ok(builder.run())
}

/// Serves on this socket what `admit` lets in.
fn listen<S, A>(
    builder: ServerBuilder,
    state: &Arc<State>,
    listener: TcpListener,
    admit: fn(Arc<State>, TcpStream) -> A,
) -> std::io::Result<ServerBuilder>
where
    S: AsyncRead + AsyncWrite + Closing + Unpin + 'static,
    A: Future<Output = Result<Admitted<S>, ()>> + 'static,
{
    let address = listener.local_addr()?;
    let (state, stopping) = (state.clone(), builder.graceful_shutdown_signal());
    builder.listen(address.to_string(), listener, move || {
        state.heartbeats.beat_on_this_thread();
        // One handler for everything: which endpoint answers is decided in `route`, where the stock
        // gateway's rules are, and not by a router with rules of its own.
        let data = web::Data::from(state.clone());
        let app = App::new().app_data(data).default_service(web::to(dispatch));
        let (requests, connections) = (stopping.clone(), stopping.clone());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = requests.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(KeepAlive::Timeout(longest(state.limits.idle_timeout)))
            // The connection has a time for every head.
            .client_request_timeout(Duration::ZERO)
            .client_disconnect_timeout(CLOSE_TIMEOUT)
            .local_addr(address)
            .on_connect_ext(|connection: &Watched<S>, data| {
                data.insert(connection.watch().clone());
            })
            .h1(map_config(app.into_factory(), |()| AppConfig::default()));
        let state = state.clone();
        fn_service(move |stream: TcpStream| {
            let (state, stopping) = (state.clone(), connections.clone());
            async move {
                tokio::select! {
                    // What fails has been counted and answered; the server has no use for it.
                    admitted = admit(state, stream) => admitted,
                    // Who has not even said what for must not hold up the stop.
                    () = stopping.notified() => Err(()),
                }
            }
        })
        .and_then(http.map_err(|_| ()))
    })
}

/// Keeps the order of the series up to date while nothing else happens.
async fn prepare_scrapes(state: Arc<State>) {
    let pulse = state.heartbeats.add();
    let mut ticks = tokio::time::interval(PREPARE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        pulse.beat();
        let state = state.clone();
        if web::block(move || state.gateway.prepare_scrape()).await.is_err() {
            return;
        }
    }
}
