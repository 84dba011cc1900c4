//! The flags that all commands share: which gateway they talk to, and how.
//!
//! Errors hold no password, no token, and no URL that may hold one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use ureq::http::Uri;

use crate::config::duration;
use crate::config::web::system_reason;
use crate::http::path::decode;

/// The variables that name the gateway; the first one that is set counts. Scripts for other gateways use the second.
pub const URL_VARIABLES: [&str; 2] = ["TALLYGATE_URL", "PUSHGATEWAY_URL"];

/// The gateway if neither a flag nor a variable names one.
const DEFAULT_URL: &str = "http://localhost:9091";

const URL_HELP: &str = "URL of the gateway, with its path prefix if it has one [default: $TALLYGATE_URL, else \
                        $PUSHGATEWAY_URL, else http://localhost:9091]";

/// The flag for the time that a command may take, in most commands.
pub(super) const TIMEOUT: &str = "--timeout";

/// The flags that all commands share.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Gateway")]
pub struct ConnectionArguments {
    /// URL of the gateway.
    #[arg(long, value_name = "URL", help = URL_HELP)]
    pub url: Option<String>,
    /// Name of the user to log in as
    #[arg(long, value_name = "NAME", requires = "password_file")]
    pub user: Option<String>,
    /// File with the password of the user
    #[arg(long, value_name = "FILE", requires = "user")]
    pub password_file: Option<PathBuf>,
    /// File with a token to log in with
    #[arg(long, value_name = "FILE", conflicts_with = "user")]
    pub token_file: Option<PathBuf>,
    /// File with the certificates (PEM) to trust, in place of those that the system trusts
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,
    /// File with a client certificate (PEM) and those between it and its root
    #[arg(long, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// File with the private key (PEM) of the client certificate [default: that of --cert]
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Longest time for all attempts together
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = positive)]
    pub timeout: Duration,
    /// What the flag for that is called, for messages.
    #[arg(skip = TIMEOUT)]
    pub timeout_flag: &'static str,
    /// How often to try again where that is safe
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub retries: u32,
}

pub(super) fn positive(text: &str) -> Result<Duration, String> {
    match duration::parse_with_days(text) {
        Ok(Duration::ZERO) => Err("it must be longer than 0s".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => {
            Err(format!("{error}; a duration is a number and its unit, as in 300ms, 30s, 1h30m or 2d"))
        }
    }
}

/// Why a command can't talk to any gateway.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The URL can't be used. The message does not show it, because it may hold a password.
    #[error("{from}: {reason}")]
    Url {
        /// Where it comes from.
        from: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// Two logins were given.
    #[error("the URL has a user, and so has --user or --token-file: leave one out")]
    TwoLogins,
    /// A file can't be read.
    #[error("{flag}: {}: {reason}", .path.display())]
    File {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The name of the user can't be sent.
    #[error("--user: no user can have a : in its name")]
    Colon,
    /// The system has no certificates of authorities.
    #[error("the system has no certificates to trust: name a file of them with --cacert")]
    NoAuthorities,
    /// The library can't do it.
    #[error("TLS can't be used: {0}")]
    Tls(String),
    /// There is no randomness, so no idempotency key.
    #[error("the system gives no random bytes")]
    NoRandomness,
}

/// The base URL of a gateway, without a slash at its end, and the login that was in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) url: String,
    pub(super) login: Option<String>,
    pub(super) is_https: bool,
}

/// Parses the URL from the flag or from a variable. `environment` looks up a variable.
pub(super) fn target(
    flag: Option<&str>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Target, ConnectionError> {
    let given = flag.map(|url| ("--url", url.to_owned()));
    let in_environment = || {
        let values = URL_VARIABLES.into_iter().filter_map(|name| Some((name, environment(name)?)));
        values.into_iter().find(|(_, value)| !value.is_empty())
    };
    let (from, text) = given.or_else(in_environment).unwrap_or(("--url", DEFAULT_URL.to_owned()));
    parse(&text).map_err(|reason| ConnectionError::Url { from, reason })
}

fn parse(text: &str) -> Result<Target, &'static str> {
    // `localhost:9091` alone works with the Python client, too.
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let uri: Uri = text.parse().map_err(|_| "it is no URL, such as http://localhost:9091")?;
    let is_https = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err("its scheme is neither http nor https"),
    };
    if uri.query().is_some() || text.contains('#') {
        return Err("it has a query or a fragment, but is to be the URL that the gateway is reached at");
    }
    let authority = uri.authority().ok_or("it names no host")?.as_str();
    let (login, host) = match authority.rsplit_once('@') {
        Some((login, host)) => (Some(login), host),
        None => (None, authority),
    };
    if host.is_empty() || host.starts_with(':') {
        return Err("it names no host");
    }
    let login = login.map(|login| {
        let login = decode(login).ok_or("its user or password has a malformed percent escape")?;
        Ok::<_, &'static str>(format!("Basic {}", STANDARD.encode(login)))
    });
    let scheme = if is_https { "https" } else { "http" };
    let url = format!("{scheme}://{host}{}", uri.path().trim_end_matches('/'));
    Ok(Target { url, login: login.transpose()?, is_https })
}

/// The value of the header `Authorization`, if there is a login.
pub(super) fn authorization(
    arguments: &ConnectionArguments,
    in_url: Option<String>,
) -> Result<Option<String>, ConnectionError> {
    let given = match (&arguments.user, &arguments.password_file, &arguments.token_file) {
        (Some(user), Some(file), _) => {
            if user.contains(':') {
                return Err(ConnectionError::Colon);
            }
            let password = secret("--password-file", file)?;
            Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
        }
        (_, _, Some(file)) => {
            let token = secret("--token-file", file)?;
            if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                let reason = "a token is one word of visible ASCII characters".to_owned();
                return Err(ConnectionError::File { flag: "--token-file", path: file.clone(), reason });
            }
            Some(format!("Bearer {token}"))
        }
        _ => None,
    };
    match (given, in_url) {
        (Some(_), Some(_)) => Err(ConnectionError::TwoLogins),
        (given, in_url) => Ok(given.or(in_url)),
    }
}

/// The text of a file without the final line end that editors add.
fn secret(flag: &'static str, path: &Path) -> Result<String, ConnectionError> {
    let wrong = |reason| ConnectionError::File { flag, path: path.to_owned(), reason };
    let mut text = fs::read_to_string(path).map_err(|error| wrong(system_reason(&error)))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target_of(flag: Option<&str>, variables: &[(&str, &str)]) -> Result<Target, String> {
        let value = |name: &str| {
            variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| value.to_string())
        };
        target(flag, value).map_err(|error| error.to_string())
    }

    fn url(text: &str) -> Result<String, String> {
        target_of(Some(text), &[]).map(|target| target.url)
    }

    #[test]
    fn the_flag_goes_over_the_variables() {
        let both = [("TALLYGATE_URL", "http://a"), ("PUSHGATEWAY_URL", "b:1")];
        let found = |flag, variables: &[_]| target_of(flag, variables).map(|target| target.url).unwrap();
        assert_eq!(found(Some("http://c"), &both), "http://c");
        assert_eq!(found(None, &both), "http://a");
        assert_eq!(found(None, &both[1..]), "http://b:1");
        assert_eq!(found(None, &[("TALLYGATE_URL", ""), both[1]]), "http://b:1");
        assert_eq!(found(None, &[]), "http://localhost:9091");
    }

    #[test]
    fn urls() {
        for (text, right) in [
            ("localhost:9091", "http://localhost:9091"),
            ("HTTP://h:1/", "http://h:1"),
            ("https://h/prefix//", "https://h/prefix"),
            ("http://[::1]:9091", "http://[::1]:9091"),
            ("http://u:p@h/x", "http://h/x"),
        ] {
            assert_eq!(url(text).as_deref(), Ok(right), "{text}");
        }
        for text in [
            "",
            "http://",
            "http://:9091",
            "http://u:secret@",
            "http://se cret",
            "ftp://secret",
            "http://h/?secret",
            "http://h/#secret",
            "http://%zz:secret@h",
        ] {
            let error = url(text).unwrap_err();
            assert!(error.starts_with("--url: it") && !error.contains("secret"), "{text}: {error}");
        }
    }

    #[test]
    fn a_login_in_the_url_is_basic() {
        let target = target_of(Some("https://us%40er:p%3Aw@h"), &[]).unwrap();
        assert_eq!(target.login.as_deref(), Some("Basic dXNAZXI6cDp3"));
        assert!(target.is_https);
    }
}
