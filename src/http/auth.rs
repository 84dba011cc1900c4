//! Access control: every request is checked here first, if it is configured.
//!
//! The order is that of the exporter toolkit: the rate limit, the headers, the login. Then comes the permission.
//! The rules are read again when a file changes. While a file is wrong, the last good rules stay in force.

mod accounts;
mod limiter;
mod login;
mod passwords;
mod permission;
mod reload;
mod restart;
mod rules;

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};

use super::loaded::{Loaded, Reading};
use super::{State, answer};
use crate::config::Config;
use crate::config::access::{Permission, Permissions};
use crate::config::web::RateLimit;
use crate::message::Excerpt;
use crate::telemetry::web::Denial;
pub(super) use login::Identity;
use login::Login;
use passwords::{CheckResult, Passwords};
pub(super) use permission::needed;
pub(super) use reload::{read_again, watch};
pub use restart::NeedsRestart;
pub use rules::LoadError;
use rules::{Rules, Sources};

/// The query of a link to the page that requires a login. A browser asks its user for a login only after a 401.
pub(super) const LOG_IN: &str = "login";

const BUSY: &str = "too many logins are being checked: try again later";

/// The sender of an admitted request.
#[derive(Clone, Debug)]
pub(super) struct Visitor {
    /// Who the visitor is.
    pub(super) identity: Identity,
    /// What the visitor may do.
    pub(super) may: Permissions,
    /// Whether there are users and the visitor is not logged in.
    pub(super) can_log_in: bool,
}

impl Visitor {
    /// The visitor who sent this request.
    pub(super) fn of(request: &HttpRequest) -> Visitor {
        request.extensions().get().cloned().unwrap_or(Visitor::UNGUARDED)
    }

    /// The visitor of a gateway without access control.
    const UNGUARDED: Visitor =
        Visitor { identity: Identity::Anonymous, may: Permissions::ALL, can_log_in: false };

    /// Whether the visitor may see how the gateway is configured. Whoever only reads metrics need not.
    pub(super) fn sees_configuration(&self) -> bool {
        self.may.include(Permission::Admin)
    }
}

/// The rules in force, and what is needed to enforce them.
#[derive(Debug)]
pub struct Guard {
    sources: Sources,
    rules: RwLock<Arc<Rules>>,
    passwords: Passwords,
    /// What was wrong with the files when they were last looked at.
    problem: Mutex<Option<String>>,
    /// The same for whoever asks, who must not wait while the files are read.
    loaded: Loaded,
}

impl Guard {
    /// Reads the rules. `None` if there is neither a web configuration nor a table `[access]`.
    ///
    /// # Errors
    ///
    /// If the web configuration, or a file that it or the table `[access]` names, can't be used.
    pub fn load(config: &Config) -> Result<Option<Guard>, LoadError> {
        let Some(sources) = Sources::of(config) else { return Ok(None) };
        let rules = sources.read()?;
        rules.warn();
        let passwords = Passwords::new().ok_or(LoadError::NoRandomness)?;
        let (rules, problem) = (RwLock::new(Arc::new(rules)), Mutex::default());
        Ok(Some(Guard { sources, rules, passwords, problem, loaded: Loaded::new(String::new()) }))
    }

    /// Whether connections are encrypted. That does not change while the gateway runs.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.rules().tls.is_some()
    }

    /// Whether the rules can change while the gateway runs.
    pub(super) fn reads_files(&self) -> bool {
        self.sources.has_files()
    }

    /// The limit of requests, if there is one.
    #[must_use]
    pub fn rate_limit(&self) -> Option<RateLimit> {
        self.rules().rate_limit()
    }

    /// The current rules.
    pub(super) fn rules(&self) -> Arc<Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, rules: Rules) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
        self.loaded.succeeded(String::new());
    }

    /// When the rules in force were read, and what is wrong with the files.
    pub(super) fn reading(&self) -> Reading {
        self.loaded.reading()
    }

    /// What may be done without a login.
    pub(super) fn anonymous(&self) -> Permissions {
        self.rules().permissions_of(&Identity::Anonymous)
    }

    /// Whether there are users or tokens.
    pub(super) fn has_logins(&self) -> bool {
        self.rules().has_logins()
    }

    /// Admits a request that has the needed permission, or returns the answer that refuses it. A request that needs
    /// no permission still needs a login, and a login that is given must be right.
    pub(super) async fn admit(
        &self,
        rules: &Rules,
        state: &State,
        request: &HttpRequest,
        needed: Option<Permission>,
    ) -> Result<Visitor, HttpResponse> {
        let denied = |denial, reason: &str| note_denial(state, request, denial, reason);
        let identity = match Login::of(request.headers()) {
            _ if !rules.has_logins() => Some(Identity::Anonymous),
            Login::None => Some(Identity::Anonymous),
            Login::Unknown => None,
            Login::Token(token) => rules.token(&token),
            Login::Basic { user, password } => {
                match self.passwords.check(rules.accounts(), &user, password).await {
                    CheckResult::Right => Some(Identity::User(user)),
                    CheckResult::Wrong => None,
                    CheckResult::Busy => {
                        denied(Denial::Busy, BUSY);
                        return Err(answer::unavailable(BUSY));
                    }
                }
            }
        };
        let Some(identity) = identity else {
            denied(Denial::Unauthorized, "the login is wrong");
            return Err(unauthorized(rules));
        };
        let can_log_in = identity == Identity::Anonymous && rules.has_users();
        let has_to_log_in = can_log_in && request.uri().query() == Some(LOG_IN);
        if rules.permits(&identity, needed) && !has_to_log_in {
            // A browser never adds a token by itself, so a request with a token was made by somebody who knows it.
            let is_of_browser = !matches!(identity, Identity::Token(..));
            if is_of_browser && let Some(refusal) = state.refuse_other_site(request, needed) {
                return Err(refusal);
            }
            let may = rules.permissions_of(&identity);
            return Ok(Visitor { identity, may, can_log_in });
        }
        if identity == Identity::Anonymous && rules.has_logins() {
            denied(Denial::Unauthorized, "there is no login");
            return Err(unauthorized(rules));
        }
        let needed = needed.map_or("anything", Permission::name);
        let reason = format!("{identity} does not have the permission {needed:?}");
        denied(Denial::Forbidden, &reason);
        Err(answer::error(StatusCode::FORBIDDEN, format_args!("Forbidden: {reason}")))
    }

    /// The answer to a request beyond the rate limit.
    pub(super) fn limit(&self, rules: &Rules, state: &State, request: &HttpRequest) -> Option<HttpResponse> {
        if rules.allows_another() {
            return None;
        }
        note_denial(state, request, Denial::RateLimited, "there are too many requests (rate_limit)");
        Some(answer::error(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests"))
    }
}

/// Counts a denied request. Logs it at debug level only, because anybody can cause it.
pub(super) fn note_denial(state: &State, request: &HttpRequest, denial: Denial, reason: &str) {
    state.gateway.telemetry().web().denied(denial);
    let (source, url) = (state.client(request), Excerpt::of(request.uri().path()));
    let method = Excerpt::of(request.method().as_str());
    tracing::debug!(%method, source = %source, %url, err = reason, "request denied");
}

/// Sets the headers of the web configuration.
pub(super) fn set_headers(rules: &Rules, headers: &mut HeaderMap) {
    for (name, value) in rules.headers() {
        headers.insert(name.clone(), value.clone());
    }
}

fn unauthorized(rules: &Rules) -> HttpResponse {
    let mut answer = answer::error(StatusCode::UNAUTHORIZED, "Unauthorized");
    let headers = answer.headers_mut();
    if rules.has_users() {
        headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
    }
    if rules.has_tokens() {
        headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}
