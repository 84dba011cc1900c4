//! The rules: what the web configuration and the table `[access]` say, with the files that they name read.

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

/// A token may have no fewer characters: unlike passwords, tokens are checked as fast as they come.
const SHORTEST_TOKEN: usize = 16;

/// Nor more: no request could carry it.
const LONGEST_TOKEN: usize = 4096;

/// Why there are no rules. One sentence that says which file, where and what.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The web configuration file.
    #[error(transparent)]
    WebConfig(#[from] WebConfigError),
    /// What it says of TLS.
    #[error("web config file {path:?}: {error}")]
    Tls {
        /// The web configuration file.
        path: PathBuf,
        /// What is wrong.
        error: TlsError,
    },
    /// The file of a token.
    #[error("access.tokens: token {name:?}: {reason}")]
    Token {
        /// The name of the token.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A change that needs a restart.
    #[error("web config file {path:?}: {change}")]
    NeedsRestart {
        /// The web configuration file.
        path: PathBuf,
        /// What has changed.
        change: NeedsRestart,
    },
    /// The system has no randomness for the key of remembered passwords.
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
    /// Nothing where there is nothing to read and no rule.
    pub(super) fn of(config: &Config) -> Option<Sources> {
        let file = &config.web.config_file;
        let web_config = (!file.is_empty()).then(|| PathBuf::from(file));
        let access = config.access.clone();
        (web_config.is_some() || access != Access::default()).then_some(Sources { web_config, access })
    }

    /// Whether there is anything to read.
    pub(super) fn has_files(&self) -> bool {
        let mut tokens = self.access.tokens.iter();
        self.web_config.is_some() || tokens.any(|token| matches!(token.source, TokenSource::File(_)))
    }

    /// Reads all files while `old` rules are in force, which some changes would open to too many.
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
        // Where users have permissions but the file with the users is not there, nothing is open.
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
    /// What works, but hardly as it was meant.
    fn warnings(&self, web: &WebConfig) -> Vec<Warning> {
        let strangers = self.access.users.keys().filter(|name| !web.users.contains_key(*name));
        let slow = web.slow_users().map(|(user, cost)| Warning::SlowUser { user: user.to_owned(), cost });
        // Paths of token files are not named: one may be the token by mistake.
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

/// Something in the rules that works, but hardly as it was meant.
#[derive(Debug)]
enum Warning {
    /// There are permissions for a user who is not there.
    UnknownUser(String),
    /// Each login of this user takes long, and those of all others wait for it.
    SlowUser { user: String, cost: u32 },
    /// Every user of the machine can read the file of this secret.
    Public(String),
}

/// A value is bytes to us, as it is to Go.
fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    Some((name, HeaderValue::from_bytes(value.as_bytes()).ok()?))
}

/// No error names the file: it may be the token by mistake.
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

/// Who may do what, how often, and under which headers.
#[derive(Debug)]
pub(in crate::http) struct Rules {
    headers: Vec<(HeaderName, HeaderValue)>,
    accounts: Accounts,
    tokens: Vec<Token>,
    permissions: BTreeMap<String, Permissions>,
    anonymous: Permissions,
    limiter: Option<Arc<Limiter>>,
    /// Which certificates clients must show.
    pub(super) client_auth: ClientAuth,
    /// Whether these must be for certain names.
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

    /// Whether there is anything that a request could prove to be.
    pub(super) fn has_logins(&self) -> bool {
        self.has_users() || self.has_tokens()
    }

    pub(super) fn rate_limit(&self) -> Option<RateLimit> {
        self.limiter.as_ref().map(|limiter| limiter.limit)
    }

    pub(super) fn allows_another(&self) -> bool {
        self.limiter.as_ref().is_none_or(|limiter| limiter.allows(Instant::now()))
    }

    /// Says in the log what works, but hardly as it was meant. To be called once the rules are in force.
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

    /// Goes on counting where the limit has not changed.
    fn with_limiter_of(mut self, old: &Rules) -> Rules {
        if self.rate_limit() == old.rate_limit() {
            self.limiter = old.limiter.clone();
        }
        self
    }

    /// Whose token this is. All are compared, in full.
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

    /// What somebody may do.
    pub(super) fn permissions_of(&self, identity: &Identity) -> Permissions {
        match identity {
            Identity::Anonymous => self.anonymous,
            Identity::User(_) if self.permissions.is_empty() => Permissions::ALL,
            Identity::User(name) => self.permissions.get(name).copied().unwrap_or_default(),
            Identity::Token(at, _) => self.tokens.get(*at).map(|token| token.allow).unwrap_or_default(),
        }
    }

    /// Whether somebody may do something, or anything if nothing particular is asked for. Health may be asked for
    /// by everybody with a login, and without one by those who may do anything else.
    pub(super) fn permits(&self, identity: &Identity, needed: Option<Permission>) -> bool {
        let permissions = self.permissions_of(identity);
        let (is_anonymous, may_something) =
            (*identity == Identity::Anonymous, permissions != Permissions::NONE);
        match needed {
            Some(Permission::Health) => !is_anonymous || may_something,
            Some(needed) => permissions.include(needed),
            // What is nowhere is not for those who may only ask for health.
            None => !is_anonymous || (may_something && permissions != Permissions::HEALTH),
        }
    }
}

/// Whether the way from `old` to `new` rules needs a restart.
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

/// More keeps more clients out. Those who may leave their certificate out are kept out by nothing.
fn strictness(auth: ClientAuth) -> u8 {
    match auth {
        ClientAuth::None | ClientAuth::Request | ClientAuth::VerifyIfGiven => 0,
        ClientAuth::RequireAny => 1,
        ClientAuth::RequireAndVerify => 2,
    }
}
