//! The network: requests in, answers out.
//!
//! Owns everything that is HTTP: routes, bodies, headers, sockets, stopping. The only module that
//! knows actix. What a request means is decided in [`crate::gateway`].

mod admin;
mod answer;
mod api;
mod assets;
pub mod auth;
mod body;
mod delete;
mod lifecycle;
pub mod listen;
pub mod notify;
mod page;
pub mod path;
mod push;
pub mod route;
mod scrape;
mod stream;
mod tls;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix_web::dev::{Payload, Server};
use actix_web::http::{KeepAlive, StatusCode, header};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use crate::config::Config;
use crate::exposition::negotiation::Offers;
use crate::gateway::{Gateway, Method};
use auth::Guard;
use notify::Pulses;
use push::GroupPath;
use route::{Endpoint, Route, Routes};

/// Idle connections are kept this long: longer than any usual scrape interval, so that scrapers and
/// pushers rarely meet a connection that is just being closed.
const KEEP_ALIVE: Duration = Duration::from_secs(180);

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// How often the gateway looks whether the next scrape can be prepared.
const PREPARE_INTERVAL: Duration = Duration::from_millis(250);

/// What every handler can reach.
#[derive(Debug)]
pub struct State {
    gateway: Gateway,
    routes: Routes,
    external_prefix: String,
    telemetry_path: String,
    max_body_bytes: u64,
    enable_lifecycle: bool,
    /// The formats and compressions of scrapes.
    offers: Offers,
    /// Whether accepted pushes are answered with 202, as without the consistency check.
    answers_unchecked: bool,
    startup_flags: BTreeMap<String, String>,
    started_at: SystemTime,
    quit: Notify,
    /// Who may do what; nothing where everybody may do everything.
    guard: Option<Guard>,
    /// Who has to live for the gateway to serve.
    pulses: Arc<Pulses>,
}

impl State {
    /// The state of a gateway that is configured like this.
    pub fn new(config: &Config, gateway: Gateway, guard: Option<Guard>) -> State {
        if guard.is_some() {
            gateway.telemetry().web().config_read();
        }
        State {
            gateway,
            guard,
            pulses: Arc::default(),
            routes: Routes {
                prefix: config.web.route_prefix.clone(),
                metrics_path: config.web.metrics_path(),
                has_admin_api: config.web.enable_admin_api,
            },
            external_prefix: config.web.external_prefix(),
            telemetry_path: config.web.telemetry_path.clone(),
            max_body_bytes: config.web.max_body_bytes,
            enable_lifecycle: config.web.enable_lifecycle,
            offers: if config.has_stock_formats() { Offers::Stock } else { Offers::All },
            answers_unchecked: config.push.disable_consistency_check,
            startup_flags: config.startup_flags(),
            started_at: SystemTime::now(),
            quit: Notify::new(),
        }
    }

    /// The gateway behind it.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Who may do what, if not everybody may do everything.
    pub fn guard(&self) -> Option<&Guard> {
        self.guard.as_ref()
    }

    /// The signs of life of what serves.
    pub fn pulses(&self) -> &Arc<Pulses> {
        &self.pulses
    }

    /// Waits until a client asks the gateway to stop.
    pub async fn quit_requested(&self) {
        self.quit.notified().await;
    }
}

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
    if let Some(guard) = &state.guard {
        if guard.reads_files() {
            actix_web::rt::spawn(auth::watch(state.clone()));
        }
        if guard.has_tls() {
            return tls::serve::serve(state, listeners, shutdown_timeout);
        }
    }
    let state = web::Data::from(state);
    let mut server = HttpServer::new(move || {
        state.pulses.beat_on_this_thread();
        // One handler for everything: which endpoint answers is decided in `route`, where the stock
        // gateway's rules are, and not by a router with rules of its own.
        App::new().app_data(state.clone()).default_service(web::to(dispatch))
    })
    .keep_alive(KeepAlive::Timeout(KEEP_ALIVE))
    .client_request_timeout(HEAD_TIMEOUT)
    .shutdown_timeout(shutdown_timeout.as_secs().max(1))
    .disable_signals();
    for listener in listeners {
        server = server.listen(listener)?;
    }
    Ok(server.run())
}

/// Keeps the order of the series up to date while nothing else happens.
async fn prepare_scrapes(state: Arc<State>) {
    let pulse = state.pulses.add();
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

async fn dispatch(request: HttpRequest, payload: web::Payload, state: web::Data<State>) -> HttpResponse {
    let state = state.into_inner();
    let payload = payload.into_inner();
    match &state.guard {
        None => {
            let route = state.routes.route(request.method().as_str(), request.uri().path());
            answer_to(route, &state, &request, payload).await
        }
        // In a box, so that those who need no guard don't pay for its size.
        Some(guard) => Box::pin(guarded(guard, &state, &request, payload)).await,
    }
}

/// Answers a request that may do what it asks for.
async fn guarded(guard: &Guard, state: &Arc<State>, request: &HttpRequest, payload: Payload) -> HttpResponse {
    let rules = guard.rules();
    let telemetry = state.gateway.telemetry().web();
    if let Some(refusal) = guard.limit(&rules, telemetry) {
        return refusal;
    }
    let method = request.method().as_str();
    let route = state.routes.route(method, request.uri().path());
    let mut answer = match guard.admit(&rules, telemetry, request, auth::needed(&route, method)).await {
        Ok(()) => answer_to(route, state, request, payload).await,
        Err(refusal) => refusal,
    };
    auth::set_headers(&rules, answer.headers_mut());
    answer
}

async fn answer_to(
    route: Route<'_>,
    state: &Arc<State>,
    request: &HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let method = request.method().as_str();
    match route {
        Route::Endpoint(endpoint) => answer_of(endpoint, state, request, payload).await,
        Route::MethodNotAllowed(methods) => {
            let mut answer = answer::error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
            answer.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(methods));
            answer
        }
        Route::QuitNeedsPost => lifecycle::quit_needs_post(),
        Route::Options(methods) => HttpResponse::Ok().insert_header((header::ALLOW, methods)).finish(),
        Route::ApiOptions => api::options(state),
        Route::Redirect { code, location } => {
            let query = request.uri().query().unwrap_or_default();
            answer::redirect(code, &location, query, method == "GET")
        }
        Route::BadPath => {
            let mut answer = answer::text(StatusCode::BAD_REQUEST, "400 Bad Request");
            answer.head_mut().set_connection_type(actix_web::http::ConnectionType::Close);
            answer
        }
        Route::NotFound => answer::error(StatusCode::NOT_FOUND, "404 page not found"),
    }
}

/// The endpoints and what answers them.
async fn answer_of(
    endpoint: Endpoint<'_>,
    state: &Arc<State>,
    request: &HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let method = request.method().as_str();
    match endpoint {
        Endpoint::Group { encoding, job, labels } => {
            let group = GroupPath { encoding, job, labels };
            match method {
                "DELETE" => delete::delete(state, request, group).await,
                "PUT" => push::push(state, Method::Put, request, payload, group).await,
                _ => push::push(state, Method::Post, request, payload, group).await,
            }
        }
        Endpoint::Metrics => scrape::scrape(state, request),
        Endpoint::Page => page::page(state, request),
        Endpoint::Static(file) => assets::file(state, request, file),
        Endpoint::Healthy => lifecycle::healthy(state, method),
        Endpoint::Ready => lifecycle::ready(state, method),
        Endpoint::Quit => lifecycle::quit(state),
        Endpoint::ApiStatus => api::status(state, method),
        Endpoint::ApiMetrics => api::metrics(state, method),
        Endpoint::ApiWipe => admin::wipe(state).await,
        Endpoint::ApiGroups => api::groups(state, request).await,
        Endpoint::ApiGroup { id } => api::group(state, request, id).await,
        Endpoint::ApiSeries { id } => api::series(state, request, id).await,
    }
}
