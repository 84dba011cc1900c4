//! The access rules from the web configuration and the table `[access]`, with the files that they name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use actix_web::http::header::{HeaderName, HeaderValue};
use ring::digest::{SHA256, digest};
use rustls::ServerConfig;
use subtle::{Choice, ConstantTimeEq};

use super::accounts::Accounts;
use super::limiter::Limiter;
use super::login::Identity;
use super::reload::Watched;
use super::restart::NeedsRestart;
use crate::config::access::{Permission, Permissions, TokenSource};
use crate::config::regular::{self, Links};
use crate::config::web::{ClientAuth, RateLimit, WebConfig, WebConfigError, seconds, system_reason};
use crate::config::{Access, Config};
use crate::http::tls::{self, TlsError};

/// The minimum length of a token. Unlike passwords, tokens are checked quickly, so a short one could be guessed.
const SHORTEST_TOKEN: usize = 16;

/// The maximum length of a token: no request could carry a longer one.
const LONGEST_TOKEN: usize = 4096;

/// Why the rules can't be read, in one sentence that names the file, the place and the problem.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The web configuration file can't be used.
    #[error(transparent)]
    WebConfig(#[from] WebConfigError),
    /// Its TLS settings can't be used.
    #[error("web config file {path:?}: {error}")]
    Tls {
        /// The web configuration file.
        path: PathBuf,
        /// What is wrong.
        error: TlsError,
    },
    /// The file of a token can't be used.
    #[error("access.tokens: token {name:?}: {reason}")]
    Token {
        /// The name of the token.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A change needs a restart.
    #[error("web config file {path:?}: {change}")]
    NeedsRestart {
        /// The web configuration file.
        path: PathBuf,
        /// What has changed.
        change: NeedsRestart,
    },
    /// The system gives no random bytes for the key of cached passwords.
    #[error("the system has no randomness")]
    NoRandomness,
}

/// Where the rules come from.
#[derive(Debug)]
pub(super) struct Sources {
    web_config: Option<PathBuf>,
    access: Access,
}

impl Sources {
    /// `None` if there is neither a web configuration file nor a setting in `[access]`.
    pub(super) fn of(config: &Config) -> Option<Sources> {
        let file = &config.web.config_file;
        let web_config = (!file.is_empty()).then(|| PathBuf::from(file));
        let access = config.access.clone();
        (web_config.is_some() || access != Access::default()).then_some(Sources { web_config, access })
    }

    /// Whether there are files to read.
    pub(super) fn has_files(&self) -> bool {
        let mut tokens = self.access.tokens.iter();
        self.web_config.is_some() || tokens.any(|token| matches!(token.source, TokenSource::File(_)))
    }

    /// Reads all files to replace the `old` rules. Refuses changes that need a restart.
    pub(super) fn read_after(&self, old: &Rules) -> Result<Rules, LoadError> {
        let rules = self.read()?;
        match needs_restart(old, &rules) {
            Some(change) => {
                Err(LoadError::NeedsRestart { path: self.web_config.clone().unwrap_or_default(), change })
            }
            None => Ok(rules.with_limiter_of(old)),
        }
    }

    /// Reads all files.
    pub(super) fn read(&self) -> Result<Rules, LoadError> {
        let mut files: Vec<Watched> = self.web_config.iter().map(|path| Watched::new(path)).collect();
        let web = match &self.web_config {
            Some(path) => WebConfig::load(path)?,
            None => WebConfig::default(),
        };
        files.extend(web.files().into_iter().map(Watched::new));
        let tls =
            web.tls.as_ref().map(tls::server_config).transpose().map_err(|error| LoadError::Tls {
                path: self.web_config.clone().unwrap_or_default(),
                error,
            })?;
        let client_auth = web.tls.as_ref().map_or(ClientAuth::None, |tls| tls.client_auth);
        let names_clients = web.tls.as_ref().is_some_and(|tls| !tls.client_allowed_sans.is_empty());
        let mut tokens = Vec::new();
        for token in &self.access.tokens {
            let hash = match &token.source {
                TokenSource::Sha256(hash) => *hash,
                TokenSource::File(path) => {
                    files.push(Watched::new(path));
                    hash_of_file(path)
                        .map_err(|reason| LoadError::Token { name: token.name.clone(), reason })?
                }
            };
            tokens.push(Token { name: token.name.clone(), hash, allow: token.allow });
        }
        // If permissions name users but no user exists, anonymous requests may do nothing.
        let has_logins = !(web.users.is_empty() && tokens.is_empty() && self.access.users.is_empty());
        let for_all = if has_logins { Permissions::NONE } else { Permissions::ALL };
        Ok(Rules {
            warnings: self.warnings(&web),
            headers: web.headers.iter().filter_map(|(name, value)| header(name, value)).collect(),
            accounts: Accounts::new(web.users),
            tokens,
            permissions: self.access.users.clone(),
            anonymous: self.access.anonymous.unwrap_or(for_all),
            limiter: web.rate_limit.map(|limit| Arc::new(Limiter::new(limit, Instant::now()))),
            client_auth,
            names_clients,
            tls,
            files,
        })
    }
}

impl Sources {
    /// Problems that do not make the rules invalid.
    fn warnings(&self, web: &WebConfig) -> Vec<Warning> {
        let strangers = self.access.users.keys().filter(|name| !web.users.contains_key(*name));
        let slow = web.slow_users().map(|(user, cost)| Warning::SlowUser { user: user.to_owned(), cost });
        // The path of a token file is not logged, because it may be the token by mistake.
        let tokens = self.access.tokens.iter().filter_map(|token| match &token.source {
            TokenSource::File(path) => Some((path.as_path(), format!("token {:?}", token.name))),
            TokenSource::Sha256(_) => None,
        });
        let key = web.key_file().map(|path| (path, path.display().to_string()));
        let secrets = tokens.chain(key).filter(|(path, _)| regular::is_public(path));
        let strangers = strangers.map(|user| Warning::UnknownUser(user.clone()));
        strangers.chain(slow).chain(secrets.map(|(_, secret)| Warning::Public(secret))).collect()
    }
}

/// A problem that does not make the rules invalid.
#[derive(Debug)]
enum Warning {
    /// Permissions are given to a user who does not exist.
    UnknownUser(String),
    /// Each login of this user takes long, and all others have to wait for it.
    SlowUser { user: String, cost: u32 },
    /// Every user of the machine can read the file of this secret.
    Public(String),
}

/// A header value may hold any bytes, as in Go.
fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    Some((name, HeaderValue::from_bytes(value.as_bytes()).ok()?))
}

/// The SHA-256 hash of a token in a file. No error names the file, because its name may be the token by mistake.
fn hash_of_file(path: &Path) -> Result<[u8; 32], String> {
    let content = regular::read(path, Links::Followed)
        .map_err(|error| format!("its file can't be read: {}", system_reason(&error)))?;
    let token = content.trim_ascii();
    let is_long_enough = (SHORTEST_TOKEN..=LONGEST_TOKEN).contains(&token.len());
    if !is_long_enough || !token.iter().all(u8::is_ascii_graphic) {
        return Err(format!(
            "expected in its file a token of at least {SHORTEST_TOKEN} visible ASCII characters, and no more than \
             {LONGEST_TOKEN}"
        ));
    }
    Ok(sha256(token))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// The access rules: permissions, rate limit, headers and TLS.
#[derive(Debug)]
pub(in crate::http) struct Rules {
    headers: Vec<(HeaderName, HeaderValue)>,
    accounts: Accounts,
    tokens: Vec<Token>,
    permissions: BTreeMap<String, Permissions>,
    anonymous: Permissions,
    limiter: Option<Arc<Limiter>>,
    /// Which certificate a client must show.
    pub(super) client_auth: ClientAuth,
    /// Whether client certificates must be for certain names.
    pub(super) names_clients: bool,
    /// TLS, if it is on.
    pub(in crate::http) tls: Option<Arc<ServerConfig>>,
    /// All files that were read.
    pub(super) files: Vec<Watched>,
    warnings: Vec<Warning>,
}

#[derive(Debug)]
struct Token {
    name: String,
    hash: [u8; 32],
    allow: Permissions,
}

impl Rules {
    pub(super) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    pub(super) fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    pub(super) fn has_users(&self) -> bool {
        !self.accounts.is_empty()
    }

    pub(super) fn has_tokens(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// Whether there are users or tokens.
    pub(super) fn has_logins(&self) -> bool {
        self.has_users() || self.has_tokens()
    }

    pub(super) fn rate_limit(&self) -> Option<RateLimit> {
        self.limiter.as_ref().map(|limiter| limiter.limit)
    }

    pub(super) fn allows_another(&self) -> bool {
        self.limiter.as_ref().is_none_or(|limiter| limiter.allows(Instant::now()))
    }

    /// Logs the problems that do not make the rules invalid. Call it once the rules are in force.
    pub(super) fn warn(&self) {
        for warning in &self.warnings {
            match warning {
                Warning::UnknownUser(user) => {
                    tracing::warn!(%user, "access.users names a user who is not in the web configuration file");
                }
                Warning::SlowUser { user, cost } => tracing::warn!(
                    %user,
                    cost,
                    seconds = seconds(*cost),
                    "a login of this user takes about so many seconds, while other logins wait: make a new hash with a \
                     cost of 10 to 12"
                ),
                Warning::Public(secret) => tracing::warn!(
                    %secret,
                    "every user of this machine can read the file of a secret: take that from them (chmod o-r)"
                ),
            }
        }
    }

    /// Keeps the count of requests if the rate limit has not changed.
    fn with_limiter_of(mut self, old: &Rules) -> Rules {
        if self.rate_limit() == old.rate_limit() {
            self.limiter = old.limiter.clone();
        }
        self
    }

    /// The holder of this token. Compares all tokens in full, so that the time reveals nothing.
    pub(super) fn token(&self, token: &[u8]) -> Option<Identity> {
        let hash = sha256(token);
        let mut found = None;
        for (at, known) in self.tokens.iter().enumerate() {
            let is_it: Choice = known.hash.ct_eq(&hash);
            if bool::from(is_it) && found.is_none() {
                found = Some(Identity::Token(at, known.name.clone()));
            }
        }
        found
    }

    /// The permissions of an identity.
    pub(super) fn permissions_of(&self, identity: &Identity) -> Permissions {
        match identity {
            Identity::Anonymous => self.anonymous,
            Identity::User(_) if self.permissions.is_empty() => Permissions::ALL,
            Identity::User(name) => self.permissions.get(name).copied().unwrap_or_default(),
            Identity::Token(at, _) => self.tokens.get(*at).map(|token| token.allow).unwrap_or_default(),
        }
    }

    /// Whether an identity has the needed permission. Everybody with a login may ask for health; so may anonymous
    /// clients with any other permission.
    pub(super) fn permits(&self, identity: &Identity, needed: Option<Permission>) -> bool {
        let permissions = self.permissions_of(identity);
        let (is_anonymous, may_something) =
            (*identity == Identity::Anonymous, permissions != Permissions::NONE);
        match needed {
            Some(Permission::Health) => !is_anonymous || may_something,
            Some(needed) => permissions.include(needed),
            // The permission to ask for health alone does not show whether a path exists.
            None => !is_anonymous || (may_something && permissions != Permissions::HEALTH),
        }
    }
}

/// Whether the change from `old` to `new` rules needs a restart, and why.
fn needs_restart(old: &Rules, new: &Rules) -> Option<NeedsRestart> {
    if old.tls.is_some() != new.tls.is_some() {
        Some(NeedsRestart::Tls)
    } else if old.has_users() && !new.has_users() {
        Some(NeedsRestart::Users)
    } else if strictness(new.client_auth) < strictness(old.client_auth) {
        Some(NeedsRestart::ClientAuth)
    } else if old.rate_limit().is_some() && new.rate_limit().is_none() {
        Some(NeedsRestart::RateLimit)
    } else if old.names_clients && !new.names_clients {
        Some(NeedsRestart::ClientNames)
    } else {
        None
    }
}

/// A larger number keeps out more clients. A policy that allows clients without a certificate keeps out none.
fn strictness(auth: ClientAuth) -> u8 {
    match auth {
        ClientAuth::None | ClientAuth::Request | ClientAuth::VerifyIfGiven => 0,
        ClientAuth::RequireAny => 1,
        ClientAuth::RequireAndVerify => 2,
    }
}
