//! The web configuration file: TLS, users, headers and the rate limit, in the format of the Prometheus
//! exporter toolkit.
//!
//! Parses the file; `http` reads the files that it names. Errors have line and column, and hold no value that may be
//! secret.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{duration, regular};
use error::Problem;
pub use error::{WebConfigError, system_error, system_reason};
pub use hash::seconds;
pub use values::{CIPHERS, ClientAuth, Curve, TlsVersion};

mod error;
mod hash;
mod values;

/// The content of a web configuration file.
#[derive(Clone, Debug, Default)]
pub struct WebConfig {
    /// TLS, if it is on.
    pub tls: Option<Tls>,
    /// Headers for every answer, with the names as Prometheus spells them.
    pub headers: Vec<(&'static str, String)>,
    /// Users and the bcrypt hashes of their passwords.
    pub users: BTreeMap<String, Secret>,
    /// The limit of requests, if there is one.
    pub rate_limit: Option<RateLimit>,
}

/// How connections are encrypted, and which clients may connect.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The certificate of the server and those between it and its root.
    pub cert: Pem,
    /// Its private key.
    pub key: Pem,
    /// The authorities that client certificates are checked against.
    pub client_ca: Option<Pem>,
    /// Which certificate a client must show.
    pub client_auth: ClientAuth,
    /// If not empty, the client's certificate must be for one of these names.
    pub client_allowed_sans: Vec<String>,
    /// The oldest version.
    pub min_version: TlsVersion,
    /// The newest version.
    pub max_version: TlsVersion,
    /// The cipher suites of TLS 1.2 by name, empty for the usual ones. Those of 1.3 are always on.
    pub cipher_suites: Vec<&'static str>,
    /// The curves, best first, empty for the usual ones.
    pub curves: Vec<Curve>,
}

/// Certificates or a key in PEM.
#[derive(Clone, Debug)]
pub enum Pem {
    /// In the configuration itself.
    Inline(Secret),
    /// In a file.
    File(PathBuf),
}

/// Allows one request per interval, and bursts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// One more request is allowed each time this has passed.
    pub interval: Duration,
    /// How many requests may come at once.
    pub burst: u32,
}

/// A text that debug output does not show.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("<secret>")
    }
}

impl WebConfig {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// If it can't be read or is not valid.
    pub fn load(path: &Path) -> Result<WebConfig, WebConfigError> {
        let text = regular::read_text(path).map_err(|error| WebConfigError::unreadable(path, &error))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        WebConfig::parse(&text, folder).map_err(|problem| WebConfigError::wrong(path, problem))
    }

    fn parse(text: &str, folder: &Path) -> Result<WebConfig, Problem> {
        let options = serde_saphyr::options! { with_snippet: false };
        let file: Option<File> = serde_saphyr::from_str_with_options(text, options)?;
        let File { tls_server_config, http_server_config, rate_limit, basic_auth_users } =
            file.unwrap_or_default();
        let users = basic_auth_users.unwrap_or_default();
        for (name, password) in &users {
            hash::check(password.value.expose()).map_err(|reason| {
                let user = if may_be_secret(name) { String::new() } else { format!("user {name:?}: ") };
                Problem::at(&password.referenced, format!("basic_auth_users: {user}{reason}"))
            })?;
        }
        let headers = http_server_config.unwrap_or_default().headers.unwrap_or_default();
        Ok(WebConfig {
            headers: headers.into_iter().map(header).collect::<Result<_, _>>()?,
            tls: tls_server_config.unwrap_or_default().settings(folder)?,
            users: users.into_iter().map(|(name, password)| (name, password.value)).collect(),
            rate_limit: rate_limit.and_then(LimitTable::limit),
        })
    }

    /// The users whose logins take several seconds, with the cost of their hashes.
    pub fn slow_users(&self) -> impl Iterator<Item = (&str, u32)> {
        self.users.iter().filter_map(|(name, hash)| Some((name.as_str(), hash::slow_cost(hash.expose())?)))
    }

    /// The file with the private key.
    pub fn key_file(&self) -> Option<&Path> {
        match &self.tls.as_ref()?.key {
            Pem::File(path) => Some(path),
            Pem::Inline(_) => None,
        }
    }

    /// The files that the configuration names.
    #[must_use]
    pub fn files(&self) -> Vec<&Path> {
        let Some(tls) = &self.tls else { return Vec::new() };
        let named = [Some(&tls.cert), Some(&tls.key), tls.client_ca.as_ref()];
        named
            .into_iter()
            .flatten()
            .filter_map(|pem| match pem {
                Pem::File(path) => Some(path.as_path()),
                Pem::Inline(_) => None,
            })
            .collect()
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
struct File {
    tls_server_config: Option<TlsTable>,
    http_server_config: Option<HttpTable>,
    rate_limit: Option<LimitTable>,
    basic_auth_users: Option<BTreeMap<String, Spanned<Secret>>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
struct TlsTable {
    cert: Option<Secret>,
    key: Option<Secret>,
    client_ca: Option<Secret>,
    cert_file: Option<String>,
    key_file: Option<String>,
    client_auth_type: Option<Spanned<String>>,
    client_ca_file: Option<String>,
    cipher_suites: Option<Vec<Spanned<String>>>,
    curve_preferences: Option<Vec<Spanned<String>>>,
    min_version: Option<Spanned<String>>,
    max_version: Option<Spanned<String>>,
    /// Has no effect, as in Go since 1.17.
    #[serde(rename = "prefer_server_cipher_suites")]
    _prefer_server_cipher_suites: Option<bool>,
    client_allowed_sans: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
struct HttpTable {
    /// Has no effect, because the gateway does not support HTTP/2.
    #[serde(rename = "http2")]
    _http2: Option<bool>,
    headers: Option<BTreeMap<String, Spanned<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
struct LimitTable {
    #[serde(default, deserialize_with = "interval")]
    interval: Duration,
    #[serde(default)]
    burst: i64,
}

impl LimitTable {
    fn limit(self) -> Option<RateLimit> {
        // A burst of 0 allows no request at all, as in the toolkit.
        let burst = u32::try_from(self.burst.max(0)).unwrap_or(u32::MAX);
        (!self.interval.is_zero()).then_some(RateLimit { interval: self.interval, burst })
    }
}

/// A duration of Go: a text, or a number of nanoseconds.
fn interval<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.parse::<u64>() {
        Ok(nanos) => Ok(Duration::from_nanos(nanos)),
        Err(_) => duration::parse(&text).map_err(serde::de::Error::custom),
    }
}

impl TlsTable {
    /// The settings, if any of them enables TLS.
    fn settings(self, folder: &Path) -> Result<Option<Tls>, Problem> {
        for (key, file, instead) in [
            ("cert_file", &self.cert_file, "cert"),
            ("key_file", &self.key_file, "key"),
            ("client_ca_file", &self.client_ca_file, "client_ca"),
        ] {
            // Somebody has put a key where its file belongs, and later errors would show it.
            if file.as_ref().is_some_and(|file| file.contains("-----BEGIN") || file.contains('\n')) {
                return Err(Problem::somewhere(&format!(
                    "{key} has the text of a file, expected the name of one; put the text under {instead}"
                )));
            }
        }
        let cert = pem(self.cert_file, self.cert, folder);
        let key = pem(self.key_file, self.key, folder);
        let client_ca = pem(self.client_ca_file, self.client_ca, folder);
        let auth_type = self.client_auth_type.filter(|name| !name.value.is_empty());
        let version = |given: Option<Spanned<String>>, default| match given {
            Some(name) => meaning(&name, TlsVersion::named),
            None => Ok(default),
        };
        let minimum = self.min_version.as_ref().map(|name| name.referenced);
        let min_version = version(self.min_version, TlsVersion::Tls12)?;
        let max_version = version(self.max_version, TlsVersion::Tls13)?;
        if let Some(location) = minimum.filter(|_| min_version > max_version) {
            return Err(Problem::at(
                &location,
                "min_version is above max_version, which leaves no version".to_owned(),
            ));
        }
        let cipher_suites = each(self.cipher_suites, values::cipher)?;
        let curves = each(self.curve_preferences, Curve::named)?;
        if cert.is_none() && key.is_none() && client_ca.is_none() && auth_type.is_none() {
            return Ok(None);
        }
        let cert = cert.ok_or_else(|| Problem::somewhere("missing one of cert or cert_file"))?;
        let key = key.ok_or_else(|| Problem::somewhere("missing one of key or key_file"))?;
        let location = auth_type.as_ref().map(|name| name.referenced);
        let auth_problem = |message: &str| match location {
            Some(location) => Problem::at(&location, message.to_owned()),
            None => Problem::somewhere(message),
        };
        let client_auth = match &auth_type {
            Some(name) => meaning(name, ClientAuth::named)?,
            None => ClientAuth::None,
        };
        match (client_auth, &client_ca) {
            (ClientAuth::None, Some(_)) => {
                return Err(auth_problem("client CA's have been configured without a Client Auth Policy"));
            }
            (ClientAuth::RequireAndVerify, None) => {
                return Err(auth_problem(
                    "RequireAndVerifyClientCert needs client_ca or client_ca_file: the authorities that client \
                     certificates are checked against",
                ));
            }
            _ => {}
        }
        if self.client_allowed_sans.is_some() && !client_auth.is_required() {
            return Err(auth_problem(
                "client_allowed_sans requires client_auth_type to be one of RequireAnyClientCert or \
                 RequireAndVerifyClientCert",
            ));
        }
        let client_allowed_sans = self.client_allowed_sans.unwrap_or_default();
        Ok(Some(Tls {
            cert,
            key,
            client_ca,
            client_auth,
            client_allowed_sans,
            min_version,
            max_version,
            cipher_suites,
            curves,
        }))
    }
}

/// A file takes precedence over PEM in the configuration itself.
fn pem(file: Option<String>, inline: Option<Secret>, folder: &Path) -> Option<Pem> {
    let file = file.filter(|file| !file.is_empty()).map(|file| Pem::File(folder.join(file)));
    file.or_else(|| inline.filter(|text| !text.expose().is_empty()).map(Pem::Inline))
}

/// Whether the name of a user may be a hash, or a name with a password behind a colon.
fn may_be_secret(name: &str) -> bool {
    name.starts_with('$') || name.contains(':')
}

/// The value that a name stands for. If it is unknown, the problem has its place.
fn meaning<T>(name: &Spanned<String>, named: impl Fn(&str) -> Result<T, String>) -> Result<T, Problem> {
    named(&name.value).map_err(|error| Problem::at(&name.referenced, error))
}

fn each<T>(
    names: Option<Vec<Spanned<String>>>,
    named: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, Problem> {
    names.unwrap_or_default().iter().map(|name| meaning(name, &named)).collect()
}

/// The headers that may be set, with their possible values if these are few.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
    ("Content-Security-Policy", &[]),
];

fn header((name, value): (String, Spanned<String>)) -> Result<(&'static str, String), Problem> {
    let problem = |message| Err(Problem::at(&value.referenced, message));
    let Some((known, values)) = HEADERS.iter().find(|(known, _)| *known == name) else {
        return problem(format!("HTTP header {name:?} can not be configured"));
    };
    if !values.is_empty() && !values.contains(&value.value.as_str()) {
        let expected: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
        let expected = expected.join(" ");
        return problem(format!(
            "invalid value for {known}. Expected one of: [{expected}], but got: {:?}",
            value.value
        ));
    }
    if value.value.bytes().any(|byte| byte < b' ' && byte != b'\t' || byte == 0x7f) {
        return problem(format!("invalid value for {known}: it has control characters such as a line feed"));
    }
    Ok((known, value.value))
}

#[cfg(test)]
mod tests;
