//! The address of a database.

use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use crate::persistence::postgres::error::DatabaseError;
use crate::persistence::postgres::tls::{Check, Tls};

/// The variable that holds the password where the address has none, as libpq has it.
const PASSWORD_VARIABLE: &str = "PGPASSWORD";

/// How long it may take to connect.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// After this time without an answer from the other host, a connection is over.
const SILENT_FOR: Duration = Duration::from_secs(10);

/// Where a database is, and how to connect to it.
#[derive(Clone, Debug)]
pub struct Address {
    pub(super) config: Config,
    pub(super) tls: Tls,
    shown: String,
}

impl Address {
    /// Reads a connection URL as libpq has it: `postgres://user:password@host:port/database?sslmode=verify-full`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, without any part of it.
    pub fn parse(url: &str) -> Result<Address, DatabaseError> {
        let wrong = |what: &str| DatabaseError::Address(what.to_owned());
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(wrong("the address must begin with postgres://"));
        }
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut roots, mut others) = ("prefer", None, Vec::new());
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("sslmode", value)) => mode = value,
                Some(("sslrootcert", "system")) => roots = None,
                Some(("sslrootcert", path)) => roots = Some(PathBuf::from(decoded(path)?)),
                Some((name @ ("sslcert" | "sslkey" | "sslcrl" | "sslpassword"), _)) => {
                    return Err(wrong(&format!("{name} is not supported")));
                }
                _ => others.push(parameter),
            }
        }
        let (mode, check) = match mode {
            "disable" => (SslMode::Disable, Check::Nothing),
            "allow" | "prefer" => (SslMode::Prefer, Check::Nothing),
            // As libpq does it where a file of authorities is named.
            "require" if roots.is_some() => (SslMode::Require, Check::Authority),
            "require" => (SslMode::Require, Check::Nothing),
            "verify-ca" => (SslMode::Require, Check::Authority),
            "verify-full" => (SslMode::Require, Check::Host),
            _ => {
                return Err(wrong(
                    "sslmode is none of disable, allow, prefer, require, verify-ca and verify-full",
                ));
            }
        };
        let rest = if others.is_empty() { String::new() } else { format!("?{}", others.join("&")) };
        let mut config: Config =
            format!("{place}{rest}").parse().map_err(|error: tokio_postgres::Error| {
                let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
                wrong(&format!("the address can't be read{}", source.unwrap_or_default()))
            })?;
        if config.get_hosts().is_empty() {
            return Err(wrong("the address names no host"));
        }
        config.ssl_mode(mode);
        if config.get_password().is_none()
            && let Some(password) = std::env::var_os(PASSWORD_VARIABLE)
        {
            config.password(password.as_encoded_bytes());
        }
        if config.get_application_name().is_none() {
            config.application_name("tallygate");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_WITHIN);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SILENT_FOR);
        }
        let shown = shown(&config);
        Ok(Address { config, tls: Tls::new(check, roots.as_deref())?, shown })
    }

    /// The hosts and the name of the database, for messages.
    pub fn shown(&self) -> &str {
        &self.shown
    }
}

fn shown(config: &Config) -> String {
    let ports = config.get_ports();
    let port = |at: usize| ports.get(at).or(ports.first()).copied().unwrap_or(5432);
    let hosts = config.get_hosts().iter().enumerate().map(|(at, host)| match host {
        Host::Tcp(name) if name.contains(':') => format!("[{name}]:{}", port(at)),
        Host::Tcp(name) => format!("{name}:{}", port(at)),
        Host::Unix(path) => path.display().to_string(),
    });
    let hosts = hosts.collect::<Vec<_>>().join(",");
    match config.get_dbname().or(config.get_user()) {
        Some(name) => format!("{hosts}/{name}"),
        None => hosts,
    }
}

/// The text of a part of an address in which bytes stand as `%2F`.
fn decoded(text: &str) -> Result<String, DatabaseError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let byte = byte.ok_or_else(|| {
            DatabaseError::Address("a % in the address is not followed by two digits".into())
        })?;
        bytes.push(byte);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| DatabaseError::Address("the address is not UTF-8".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_their_secrets() {
        for (url, shown) in [
            ("postgres://ci:hunter2@db.example/metrics", "db.example:5432/metrics"),
            ("postgresql://ci:hunter2@a:1,b:2/m?sslmode=require", "a:1,b:2/m"),
            ("postgres://ci@[::1]:5433/m?application_name=x", "[::1]:5433/m"),
            ("postgres://ci:a%40b@%2Frun%2Fpostgresql/m", "/run/postgresql/m"),
            ("postgres://ci@h", "h:5432/ci"),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!(address.shown(), shown);
            assert!(!format!("{address:?}").contains("hunter2"), "{address:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_quoting_it() {
        for (url, what) in [
            ("host=hunter2", "the address must begin with postgres://"),
            ("postgres://h/d?sslmode=hunter2", "sslmode is none of"),
            ("postgres://h/d?sslcert=hunter2", "sslcert is not supported"),
            ("postgres:///d", "names no host"),
            ("postgres://h/d?sslmode=verify-full&sslrootcert=/hunter%2", "two digits"),
            ("postgres://h:hunter2/d", "can't be read"),
        ] {
            let error = Address::parse(url).unwrap_err().to_string();
            assert!(error.contains(what), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
