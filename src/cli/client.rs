//! The HTTP client of the commands: sends one request, and again if that is safe, within a bounded time.
//!
//! ```no_run
//! use clap::Parser;
//! use tallygate::cli::client::{Client, Key, Request, TEXT};
//! use tallygate::cli::connection::ConnectionArguments;
//! use tallygate::cli::group::Group;
//!
//! #[derive(Parser)]
//! struct Arguments {
//!     #[command(flatten)]
//!     connection: ConnectionArguments,
//! }
//!
//! let client = Client::new(&Arguments::parse().connection)?;
//! let group = Group::new("backup", &[])?;
//! // The gateway counts what comes with one key once: a key for each push, not one for the process.
//! let pushed = client.send(&Request::post(&group, TEXT, b"files_total 12\n", Key::random()?));
//! if let Err(failure) = pushed {
//!     // One sentence, which is never long and holds no password.
//!     eprintln!("{failure}");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Client::send`] blocks for no longer than `--timeout`, pauses included. Callers need not retry: it knows what it may
//! send again.
//!
//! * A request that found no connection, or that the gateway has put off (429, or 503 with `Retry-After`), has changed
//!   nothing. The client sends it again.
//! * After any other failure, such as a broken connection or a timeout, the request may have been applied. The client
//!   asks the gateway at `/-/healthy` how long it remembers idempotency keys. If that is long enough, it sends the
//!   request again with its key, and it counts once.
//! * A gateway that does not mention keys is a stock one or another that ignores them. Then the client repeats PUT and
//!   DELETE, which have the same effect when repeated, but not POST.
//!
//! All other answers are final.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use ureq::http::{self, Method, Response, StatusCode};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectionDetails, Connector, TcpConnector, Transport};
use ureq::{Agent, AsSendBody, Body};

use super::connection::{self, ConnectionArguments, ConnectionError};
use super::group::Group;
use super::tls;
use crate::config::duration;
use crate::gateway::idempotency::{self, BadKey, WINDOW_HEADER};
use crate::message::{MESSAGE_BYTES, printable};
pub use failure::Failure;
pub(super) use failure::said;
use transport::Secure;

mod failure;
mod transport;

/// The content type of a body in the text format.
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The content type of a body in OpenMetrics.
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The first pause before a request is sent again; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// An attempt may take one third of the whole time, so that time is left for others.
const SHARE_OF_ATTEMPT: u32 = 3;

/// An idempotency key: requests with the same key count once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// A new random key.
    ///
    /// # Errors
    ///
    /// If the system gives no random bytes.
    pub fn random() -> Result<Key, ConnectionError> {
        let mut bytes = [0; 16];
        SystemRandom::new().fill(&mut bytes).map_err(|_| ConnectionError::NoRandomness)?;
        Ok(Key(format!("{:032x}", u128::from_ne_bytes(bytes))))
    }
}

impl std::str::FromStr for Key {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Key, BadKey> {
        let key = idempotency::parse(text.as_bytes())?;
        Ok(Key(String::from_utf8_lossy(key).into_owned()))
    }
}

/// A request of a command.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    method: Method,
    path: &'a str,
    body: Option<(&'static str, &'a [u8])>,
    key: Key,
}

impl<'a> Request<'a> {
    /// Adds to a group.
    #[must_use]
    pub fn post(group: &'a Group, content_type: &'static str, body: &'a [u8], key: Key) -> Request<'a> {
        Request { method: Method::POST, path: group.path(), body: Some((content_type, body)), key }
    }

    /// Replaces a group.
    #[must_use]
    pub fn put(group: &'a Group, content_type: &'static str, body: &'a [u8], key: Key) -> Request<'a> {
        Request { method: Method::PUT, ..Request::post(group, content_type, body, key) }
    }

    /// Deletes a group.
    #[must_use]
    pub fn delete(group: &'a Group, key: Key) -> Request<'a> {
        Request { method: Method::DELETE, path: group.path(), body: None, key }
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.method.as_str()
    }

    /// Whether sending the request twice has the same effect as once, with a gateway that treats keys so.
    fn may_repeat(&self, keys: Keys) -> bool {
        match keys {
            Keys::Honoured => true,
            Keys::Unknown => self.method != Method::POST,
            // Such a gateway may be set to add with PUT.
            Keys::Ignored => self.method == Method::DELETE,
        }
    }
}

/// What a gateway does with idempotency keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keys {
    /// It counts requests with the same key once.
    Honoured,
    /// It remembers keys, but not for as long as the client may repeat a request.
    Ignored,
    /// It does not mention them.
    Unknown,
}

/// Why an attempt has failed.
#[derive(Debug)]
enum AttemptError {
    /// Another attempt would fail too.
    Final(Failure),
    /// Another attempt may succeed.
    Retryable {
        reason: String,
        /// Whether the request may have been applied nevertheless.
        is_unclear: bool,
        /// How long the gateway asks to wait.
        retry_after: Option<Duration>,
    },
}

/// Sends requests to one gateway.
pub struct Client {
    agent: Agent,
    /// Whether the latest attempt has got a connection.
    is_connected: Arc<AtomicBool>,
    url: String,
    authorization: Option<String>,
    timeout: Duration,
    timeout_flag: &'static str,
    retries: u32,
}

impl fmt::Debug for Client {
    /// Leaves out the login.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Client {
    /// Reads the files that the flags name. Does not connect yet.
    ///
    /// # Errors
    ///
    /// If a flag, a variable or a file can't be used.
    pub fn new(arguments: &ConnectionArguments) -> Result<Client, ConnectionError> {
        let variable = |name: &str| std::env::var(name).ok();
        let target = connection::target(arguments.url.as_deref(), variable)?;
        let config = Agent::config_builder()
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .proxy(None)
            .http_status_as_error(false)
            // A redirected POST would become a GET and seem to succeed.
            .max_redirects(0)
            .max_redirects_will_error(false)
            // The gateway may have closed a kept connection by the time it is used again.
            .max_idle_connections(0);
        let tls = if target.is_https { Some(tls::config(arguments)?) } else { None };
        let is_connected = Arc::new(AtomicBool::new(false));
        let connector = Connector::<()>::chain(TcpConnector::default(), Secure(tls));
        let connector = connector.chain(ConnectionWitness(is_connected.clone()));
        Ok(Client {
            agent: Agent::with_parts(config.build(), connector, DefaultResolver::default()),
            is_connected,
            authorization: connection::authorization(arguments, target.login)?,
            url: target.url,
            timeout: arguments.timeout,
            timeout_flag: arguments.timeout_flag,
            retries: arguments.retries,
        })
    }

    /// The base URL of the gateway, without a login.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends a request, and again if need be, until the gateway has applied it.
    ///
    /// # Errors
    ///
    /// If the gateway refuses it, or has not applied it in time.
    pub fn send(&self, request: &Request<'_>) -> Result<(), Failure> {
        let deadline = Instant::now() + self.timeout;
        // The latest error after which the request may have been applied.
        let mut unclear: Option<String> = None;
        let mut attempts = 1;
        loop {
            let result = match &unclear {
                None => self.attempt(request, deadline),
                Some(reason) => match self.keys(deadline) {
                    Ok(keys) if request.may_repeat(keys) => self.attempt(request, deadline),
                    Ok(_) => {
                        let (url, reason) = (self.url.clone(), reason.clone());
                        return Err(Failure::Unclear { url, reason, attempts: 1, is_forgotten: true });
                    }
                    Err(error) => Err(error),
                },
            };
            let (reason, retry_after) = match result {
                Ok(()) => return Ok(()),
                Err(AttemptError::Final(failure)) => return Err(failure),
                Err(AttemptError::Retryable { reason, is_unclear: true, retry_after }) => {
                    unclear = Some(reason.clone());
                    (reason, retry_after)
                }
                Err(AttemptError::Retryable { reason, is_unclear: false, retry_after }) => {
                    (reason, retry_after)
                }
            };
            let pause = pause(attempts).max(retry_after.unwrap_or_default());
            if attempts > self.retries || pause >= deadline.saturating_duration_since(Instant::now()) {
                let url = self.url.clone();
                return Err(if unclear.is_some() && !request.may_repeat(Keys::Unknown) {
                    Failure::Unclear { url, reason, attempts, is_forgotten: false }
                } else {
                    Failure::Unavailable { url, reason, attempts }
                });
            }
            thread::sleep(pause);
            attempts += 1;
        }
    }

    /// Sends one GET for a path below the URL.
    ///
    /// # Errors
    ///
    /// If the status is not 2xx, or there is no answer.
    pub fn ask(&self, path: &str) -> Result<(), Failure> {
        let deadline = Instant::now() + self.timeout;
        let answer = self.exchange(self.head(Method::GET, path).body(()), deadline);
        answer.and_then(|answer| self.check(answer)).map_err(|error| match error {
            AttemptError::Final(failure) => failure,
            AttemptError::Retryable { reason, .. } => {
                Failure::Unavailable { url: self.url.clone(), reason, attempts: 1 }
            }
        })
    }

    fn attempt(&self, request: &Request<'_>, deadline: Instant) -> Result<(), AttemptError> {
        let mut head =
            self.head(request.method.clone(), request.path).header("Idempotency-Key", &request.key.0);
        if let Some((content_type, _)) = request.body {
            head = head.header(CONTENT_TYPE, content_type);
        }
        let answer = match request.body {
            Some((_, body)) => self.exchange(head.body(body), deadline)?,
            None => self.exchange(head.body(()), deadline)?,
        };
        self.check(answer)
    }

    /// Asks the gateway what it does with idempotency keys.
    fn keys(&self, deadline: Instant) -> Result<Keys, AttemptError> {
        let answer = self.exchange(self.head(Method::GET, "/-/healthy").body(()), deadline)?;
        let window = answer.headers().get(WINDOW_HEADER).and_then(|value| value.to_str().ok()?.parse().ok());
        match window.map(Duration::from_secs) {
            Some(window) if window >= self.timeout => Ok(Keys::Honoured),
            Some(_) => Ok(Keys::Ignored),
            None => match self.check(answer) {
                Err(error @ AttemptError::Retryable { .. }) => Err(error),
                _ => Ok(Keys::Unknown),
            },
        }
    }

    fn head(&self, method: Method, path: &str) -> http::request::Builder {
        let head = http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        match &self.authorization {
            Some(login) => head.header(AUTHORIZATION, login),
            None => head,
        }
    }

    fn exchange(
        &self,
        request: http::Result<http::Request<impl AsSendBody>>,
        deadline: Instant,
    ) -> Result<Response<Body>, AttemptError> {
        let share = if self.retries == 0 { self.timeout } else { self.timeout / SHARE_OF_ATTEMPT };
        let left = deadline.saturating_duration_since(Instant::now());
        let limit = share.min(left).max(Duration::from_millis(1));
        self.is_connected.store(false, Ordering::Relaxed);
        let answer = request.map_err(ureq::Error::from).and_then(|request| {
            self.agent.run(self.agent.configure_request(request).timeout_global(Some(limit)).build())
        });
        answer.map_err(|error| self.attempt_error(&error, &self.time(share, left)))
    }

    /// The time that an attempt had, in terms of what was asked for: its share, or what was left of the whole.
    fn time(&self, share: Duration, left: Duration) -> String {
        let flag = self.timeout_flag;
        if left <= share {
            return format!("the {} of {flag}", duration::format(self.timeout));
        }
        let share = Duration::from_millis(share.as_micros().div_ceil(1000) as u64);
        format!("{}, a third of {flag}", duration::format(share))
    }

    fn attempt_error(&self, error: &ureq::Error, limit: &str) -> AttemptError {
        let is_connected = self.is_connected.load(Ordering::Relaxed);
        if let Some(reason) = final_reason(error, is_connected) {
            return AttemptError::Final(Failure::Unavailable { url: self.url.clone(), reason, attempts: 1 });
        }
        let reason = match error {
            ureq::Error::Timeout(_) if is_connected => format!("no answer within {limit}"),
            ureq::Error::Timeout(_) => format!("no connection within {limit}"),
            ureq::Error::HostNotFound => "there is no host of this name".to_owned(),
            ureq::Error::Io(error) => io_reason(error),
            other => other.to_string(),
        };
        AttemptError::Retryable { reason, is_unclear: is_connected, retry_after: None }
    }

    /// Turns an answer without success into an error.
    fn check(&self, mut answer: Response<Body>) -> Result<(), AttemptError> {
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let retry_after =
            answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let mut text = Vec::new();
        // If the body can't be read, the message lacks it.
        let _ = answer.body_mut().as_reader().take(MESSAGE_BYTES as u64).read_to_end(&mut text);
        let reason = first_line(&String::from_utf8_lossy(&text));
        let is_unclear = match status {
            StatusCode::TOO_MANY_REQUESTS => false,
            StatusCode::SERVICE_UNAVAILABLE => retry_after.is_none(),
            StatusCode::REQUEST_TIMEOUT
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::GATEWAY_TIMEOUT => true,
            _ => {
                let url = self.url.clone();
                return Err(AttemptError::Final(Failure::Refused { url, status, reason }));
            }
        };
        Err(AttemptError::Retryable {
            reason: format!("{status}{}", said(&reason)),
            is_unclear,
            retry_after: retry_after.map(Duration::from_secs),
        })
    }
}

/// The first line of an answer, as a terminal may show it.
pub(super) fn first_line(text: &str) -> String {
    printable(text.trim().lines().next().unwrap_or_default()).into_owned()
}

/// How long to wait after this many attempts. The length is partly random, so that jobs that started in the same second
/// do not all come back in the same second.
fn pause(attempts: u32) -> Duration {
    let mut byte = [0];
    // If there are no random bytes, `Key::random` has failed before.
    let _ = SystemRandom::new().fill(&mut byte);
    let jitter = 0.75 + f64::from(byte[0]) / 512.0;
    FIRST_PAUSE.mul_f64(jitter) * 2u32.saturating_pow(attempts - 1)
}

/// The message of an error that another attempt can't overcome.
fn final_reason(error: &ureq::Error, is_connected: bool) -> Option<String> {
    let error = match error {
        ureq::Error::Io(error) => tls_error(error)?,
        ureq::Error::Tls(reason) => return Some((*reason).to_owned()),
        ureq::Error::Http(_) | ureq::Error::BadUri(_) => return Some(error.to_string()),
        _ => return None,
    };
    let is_final = match error {
        // With TLS 1.3 the client hears this when it believes that it is connected.
        rustls::Error::AlertReceived(alert) if tls::is_about_client(*alert) => true,
        _ => !is_connected,
    };
    is_final.then(|| tls::reason(error))
}

/// The error of TLS, if it is one.
pub(super) fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// What the system says, without its number, or what is wrong with TLS.
pub(super) fn io_reason(error: &io::Error) -> String {
    if let Some(error) = tls_error(error) {
        return tls::reason(error);
    }
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_owned()
}

/// The last connector of the chain: notes whether the ones before have made a connection.
#[derive(Debug)]
struct ConnectionWitness(Arc<AtomicBool>);

impl<In: Transport> Connector<In> for ConnectionWitness {
    type Out = In;

    fn connect(&self, _: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<In>, ureq::Error> {
        self.0.store(chained.is_some(), Ordering::Relaxed);
        Ok(chained)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        connection: ConnectionArguments,
    }

    #[test]
    fn times_are_those_that_were_asked_for() {
        let client =
            Client::new(&Line::parse_from(["", "--timeout=10s", "--url=http://h"]).connection).unwrap();
        let (share, left) = (client.timeout / SHARE_OF_ATTEMPT, Duration::from_millis(3400));
        assert_eq!(client.time(share, left), "3.334s, a third of --timeout");
        assert_eq!(client.time(share, Duration::from_millis(660)), "the 10s of --timeout");
        assert_eq!(client.time(client.timeout, Duration::from_secs(9)), "the 10s of --timeout");
    }
}
