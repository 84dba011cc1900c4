//! Runs the server on its sockets.
//!
//! Connections are built here and not by actix-web. Each one is counted, watched, and encrypted under the TLS
//! configuration of that moment, while actix-web uses one configuration for good.

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

/// How long a connection may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How often the gateway checks whether it can prepare the next scrape.
const PREPARE_INTERVAL: Duration = Duration::from_millis(250);

/// Serves on these sockets, with TLS if it is configured, until the server is stopped. Requests in flight then get
/// `shutdown_timeout` to finish.
///
/// # Errors
///
/// If a socket can't be used.
pub fn serve(
    state: Arc<State>,
    listeners: Vec<TcpListener>,
    shutdown_timeout: Duration,
) -> std::io::Result<Server> {
    actix_web::rt::spawn(prepare_scrapes(state.clone()));
    if state.guard.as_ref().is_some_and(auth::Guard::reads_files) {
        actix_web::rt::spawn(auth::watch(state.clone()));
    }
    // The limit on connections should be reached before this one, because it sends an answer.
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

/// Serves the connections that `admit` accepts on this socket.
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
        // One handler for everything. `route` finds the endpoint by the stock gateway's rules, which actix's router
        // does not have.
        let data = web::Data::from(state.clone());
        let app = App::new().app_data(data).default_service(web::to(dispatch));
        let (requests, connections) = (stopping.clone(), stopping.clone());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = requests.clone();
                async move { stopping.notified().await }
            })
            // `connection` limits the time for every head, and for being idle.
            .keep_alive(KeepAlive::Os)
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
                    // A refused connection has been counted and answered already.
                    admitted = admit(state, stream) => admitted,
                    // A connection without a request must not hold up the shutdown.
                    () = stopping.notified() => Err(()),
                }
            }
        })
        .and_then(http.map_err(|_| ()))
    })
}

/// Sorts new series for the next scrape while the store is quiet.
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
