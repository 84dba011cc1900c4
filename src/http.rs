//! The HTTP server.
//!
//! Owns everything about HTTP: routes, bodies, headers, sockets, stopping. It is the only module that knows actix.
//! [`crate::gateway`] decides what a request means.

mod admin;
mod admission;
mod answer;
mod api;
mod asking;
mod assets;
pub mod auth;
mod body;
pub mod client;
mod closing;
mod compress;
mod connection;
mod delete;
mod descriptors;
mod head;
mod hints;
mod host;
mod lifecycle;
pub mod listen;
mod loaded;
pub mod notify;
mod origin;
mod page;
pub mod path;
mod push;
mod refusal;
mod refused;
mod reload;
pub mod route;
mod scrape;
mod serve;
mod stream;
mod tls;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::SystemTime;

use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderMap, HeaderName};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use ipnet::IpNet;
use tokio::sync::{Notify, Semaphore};

use crate::config::host::Host;
use crate::config::unlimited::most;
use crate::config::{Config, EffectiveSetting, Limits, Persistence};
use crate::exposition::negotiation::Offers;
use crate::gateway::{Gateway, Method};
use crate::message::Excerpt;
use crate::model::limits::Limit;
use admission::{Quota, Share};
use auth::Guard;
use connection::{Answering, Watch};
pub use descriptors::{Descriptors, TooFew};
use head::Expectation;
use loaded::Loaded;
use notify::Heartbeats;
use push::GroupPath;
pub use reload::ReloadError;
use route::{Endpoint, Route, Routes};
pub use serve::serve;

/// The state that all handlers share.
#[derive(Debug)]
pub struct State {
    gateway: Arc<Gateway>,
    routes: Routes,
    external_prefix: String,
    /// The URL at which browsers reach the gateway. Empty if not configured.
    external_url: String,
    telemetry_path: String,
    max_body_bytes: u64,
    /// The proxies that are trusted to name the client of a request.
    trusted_proxies: Vec<IpNet>,
    /// The hosts that requests may name. Empty for all.
    allowed_hosts: Vec<Host>,
    enable_lifecycle: bool,
    /// The formats and compressions that scrapes may ask for.
    offers: Offers,
    /// Whether accepted pushes are answered with 202, as the stock gateway does without the consistency check.
    answers_unchecked: bool,
    startup_flags: BTreeMap<String, String>,
    /// The name of this gateway among those that share its database.
    replica: Option<String>,
    /// Every setting, but for limits that were lowered since.
    settings: Vec<EffectiveSetting>,
    persistence: Persistence,
    idempotency_keys: u64,
    started_at: SystemTime,
    quit: Notify,
    /// The configuration file; empty if there is none.
    config_file: String,
    /// What came of reading the rules in it.
    rules_loaded: Loaded,
    /// Held while it is read again.
    reloading: Mutex<()>,
    /// Access control. `None` if it is not configured.
    guard: Option<Guard>,
    /// The heartbeats of all parts that must be alive for the gateway to serve.
    heartbeats: Arc<Heartbeats>,
    limits: Limits,
    connections: Quota,
    requests: Quota,
    scrapes: Quota,
    bodies: Quota,
    /// At most one thread per processor parses large and compressed pushes. More would not be faster, and each
    /// takes memory.
    parsing: Arc<Semaphore>,
    /// The same limit for threads that search groups and series for the API.
    finding: Arc<Semaphore>,
    /// The number of clients that are being told that there are too many connections.
    refusing: AtomicUsize,
    descriptors: Descriptors,
}

impl State {
    /// The state of a gateway with this configuration and these file descriptors.
    pub fn new(
        config: &Config,
        gateway: Arc<Gateway>,
        guard: Option<Guard>,
        descriptors: Descriptors,
    ) -> State {
        if guard.is_some() {
            gateway.telemetry().web().config_read();
        }
        let limits = &config.limits;
        let quota = |limit, value| Quota::new(limit, most(value), gateway.telemetry().limits());
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        State {
            limits: limits.clone(),
            connections: quota(Limit::Connections, descriptors.connections()),
            requests: quota(Limit::RequestsInFlight, limits.requests_in_flight),
            scrapes: quota(Limit::ScrapesInFlight, limits.scrapes_in_flight),
            bodies: quota(Limit::BodyBytesInFlight, limits.body_bytes_in_flight),
            parsing: Arc::new(Semaphore::new(processors)),
            finding: Arc::new(Semaphore::new(processors)),
            refusing: AtomicUsize::new(0),
            descriptors,
            gateway,
            guard,
            heartbeats: Arc::default(),
            routes: Routes {
                prefix: config.web.route_prefix.clone(),
                metrics_path: config.web.metrics_path(),
                has_admin_api: config.web.enable_admin_api,
                default_job: config.push.default_job.clone(),
            },
            external_prefix: config.web.external_prefix(),
            external_url: config.web.external_url.clone(),
            telemetry_path: config.web.telemetry_path.clone(),
            max_body_bytes: most(config.web.max_body_bytes),
            trusted_proxies: config.web.trusted_proxies.clone(),
            allowed_hosts: config.web.allowed_hosts.clone(),
            enable_lifecycle: config.web.enable_lifecycle,
            offers: if config.has_stock_formats() { Offers::Stock } else { Offers::All },
            answers_unchecked: config.push.disable_consistency_check,
            startup_flags: config.startup_flags(),
            replica: config.replica_name(),
            settings: config.effective(),
            persistence: config.persistence.clone(),
            idempotency_keys: most(config.push.idempotency_keys),
            started_at: SystemTime::now(),
            quit: Notify::new(),
            config_file: config.config_file.clone(),
            rules_loaded: Loaded::new(config.rules.fingerprint.clone()),
            reloading: Mutex::default(),
        }
    }

    /// The gateway that handles the requests.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Access control, if it is configured.
    pub fn guard(&self) -> Option<&Guard> {
        self.guard.as_ref()
    }

    /// The heartbeats of the parts that serve.
    pub fn heartbeats(&self) -> &Arc<Heartbeats> {
        &self.heartbeats
    }

    /// Whether there is a web configuration that can change while the gateway runs.
    pub fn has_web_config(&self) -> bool {
        self.guard.as_ref().is_some_and(Guard::reads_files)
    }

    /// Waits until a client asks the gateway to stop.
    pub async fn quit_requested(&self) {
        self.quit.notified().await;
    }
}

async fn dispatch(request: HttpRequest, payload: web::Payload, state: web::Data<State>) -> HttpResponse {
    let (state, payload) = (state.into_inner(), payload.into_inner());
    let watch = request.conn_data::<Rc<Watch>>();
    let answering = watch.map(Watch::answering);
    let (mut answer, share) = answer_within_limits(&state, &request, payload).await;
    protect(answer.headers_mut());
    if let Some(watch) = watch
        && watch.expectation() != Expectation::None
    {
        // The client was not asked for the body, so it may or may not send it.
        answer.head_mut().set_connection_type(ConnectionType::Close);
        watch.end_soon();
    }
    if answer.body().size() != BodySize::Stream {
        return answer;
    }
    answer.map_body(|_, body| Answered { body, _answering: answering, _share: share }.boxed())
}

/// Answers a request if it is for this host and within the limits. Also returns its share of the requests in
/// flight.
async fn answer_within_limits(
    state: &Arc<State>,
    request: &HttpRequest,
    payload: Payload,
) -> (HttpResponse, Option<Share>) {
    let method = request.method().as_str();
    let route = state.routes.route(method, request.uri().path());
    // Health checks are answered under any load and for any host, because probes often know only an address.
    let is_free = matches!(route, Route::Endpoint(Endpoint::Healthy | Endpoint::Ready));
    let refuse = |mut refusal: HttpResponse| {
        if let Some(guard) = &state.guard {
            auth::set_headers(&guard.rules(), refusal.headers_mut());
        }
        (refusal, None)
    };
    if !is_free && let Some(refusal) = state.refuse_host(request) {
        return refuse(refusal);
    }
    let expectation = request.conn_data::<Rc<Watch>>().map(|watch| watch.expectation());
    if expectation == Some(Expectation::Unknown) {
        return refuse(answer::error(StatusCode::EXPECTATION_FAILED, UNKNOWN_EXPECTATION));
    }
    let share = if is_free { None } else { state.requests.take(1) };
    if share.is_none() && !is_free {
        return refuse(answer::busy(state.requests.limit()));
    }
    let answer = match &state.guard {
        None => match state.refuse_other_site(request, auth::needed(&route, method)) {
            None => answer_to(route, state, request, payload).await,
            Some(refusal) => refusal,
        },
        // In a box, so that requests without access control don't pay for its size.
        Some(guard) => Box::pin(guarded(guard, route, state, request, payload)).await,
    };
    (answer, share)
}

const UNKNOWN_EXPECTATION: &str = "Expectation Failed: the Expect header has another value than 100-continue, the only one that is known here";

/// Sets headers that keep browsers from guessing the content type, and from giving the answer to pages of other
/// sites.
fn protect(headers: &mut HeaderMap) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    // If any page may read the answer with scripts, any page may also embed it.
    let is_for_all = headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN);
    let policy = if is_for_all { "cross-origin" } else { "same-origin" };
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, header::HeaderValue::from_static(policy));
}

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// A body that is still being written. Keeps the request counted as in flight.
struct Answered<B> {
    body: B,
    _answering: Option<Answering>,
    _share: Option<Share>,
}

impl<B: MessageBody + Unpin> MessageBody for Answered<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<web::Bytes, B::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}

/// Answers a request under access control.
async fn guarded(
    guard: &Guard,
    route: Route<'_>,
    state: &Arc<State>,
    request: &HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let rules = guard.rules();
    if let Some(refusal) = guard.limit(&rules, state, request) {
        return refusal;
    }
    let needed = auth::needed(&route, request.method().as_str());
    let mut answer = match guard.admit(&rules, state, request, needed).await {
        Ok(visitor) => {
            // Only these two use it.
            if matches!(route, Route::Endpoint(Endpoint::Page | Endpoint::ApiStatus)) {
                request.extensions_mut().insert(visitor);
            }
            answer_to(route, state, request, payload).await
        }
        Err(refusal) => refusal,
    };
    auth::set_headers(&rules, answer.headers_mut());
    answer
}

const DOTS: &str =
    "the path has . or .. as a component: as a value write %2E or %2E%2E, and else leave it out";

const BAD_ESCAPE: &str = "400 Bad Request: a percent sign in the path is not followed by two hexadecimal digits: \
    write it as %25";

/// Refuses a path that the client can't mean.
fn refuse_path(state: &State, request: &HttpRequest, reason: &str) -> HttpResponse {
    log_bad_path(state, request, reason);
    refused::unread(state, request, reason);
    answer::error(StatusCode::BAD_REQUEST, reason)
}

/// Logs a path that can't be read, which helps to find a client that loses its pushes.
fn log_bad_path(state: &State, request: &HttpRequest, reason: &str) {
    let (source, url) = (state.client(request), Excerpt::of(request.uri().path()));
    let method = Excerpt::of(request.method().as_str());
    tracing::debug!(%method, source = %source, %url, err = reason, "failed to parse URL");
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
            refused::unread(state, request, format_args!("this path takes only {methods}"));
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
        Route::Misspelt { right } => refuse_path(
            state,
            request,
            &format!(
                "there is nothing at this path, and what changes something is not redirected: write {}",
                Excerpt::of(&right)
            ),
        ),
        Route::Dots => refuse_path(state, request, DOTS),
        Route::BadPath => {
            let mut answer = refuse_path(state, request, BAD_ESCAPE);
            answer.head_mut().set_connection_type(ConnectionType::Close);
            answer
        }
        Route::NotFound if method == "POST" => {
            let hint = hints::of_path(request.uri().path(), request.headers());
            refused::unread(state, request, format_args!("404 page not found{hint}"));
            answer::error(StatusCode::NOT_FOUND, format!("404 page not found{hint}"))
        }
        Route::NotFound => answer::error(StatusCode::NOT_FOUND, "404 page not found"),
    }
}

/// Calls the handler of an endpoint.
async fn answer_of(
    endpoint: Endpoint<'_>,
    state: &Arc<State>,
    request: &HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let method = request.method().as_str();
    // A gap is harmless, but a step back is a reset to Prometheus.
    if shows_metrics(&endpoint)
        && let Err(reason) = state.gateway().catch_up().await
    {
        return answer::unavailable(reason);
    }
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
        Endpoint::Ready => lifecycle::ready(state, method).await,
        Endpoint::Quit => lifecycle::quit(state),
        Endpoint::Reload => lifecycle::reload(state).await,
        Endpoint::ApiStatus => api::status(state, request),
        Endpoint::ApiMetrics => api::metrics(state, request),
        Endpoint::ApiHealth => api::health(state, request).await,
        Endpoint::ApiRefusals => api::refusals(state, request),
        Endpoint::ApiWipe => admin::wipe(state).await,
        Endpoint::ApiDelete => admin::delete(state, request, payload).await,
        Endpoint::ApiGroups => api::groups(state, request).await,
        Endpoint::ApiGroup { id } => api::group(state, request, id).await,
        Endpoint::ApiSources { id } => api::sources(state, request, id).await,
        Endpoint::ApiSeries { id } => api::series(state, request, id).await,
    }
}

/// Whether the answer shows what was pushed.
fn shows_metrics(endpoint: &Endpoint<'_>) -> bool {
    matches!(
        endpoint,
        Endpoint::Metrics
            | Endpoint::ApiMetrics
            | Endpoint::ApiGroups
            | Endpoint::ApiGroup { .. }
            | Endpoint::ApiSources { .. }
            | Endpoint::ApiSeries { .. }
    )
}
