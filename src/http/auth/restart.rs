//! Changes of the web configuration that a running gateway does not make.
//!
//! A file that was cut short, for example by a disk that is full, is often a valid file that asks for less. So
//! whatever would open the gateway to those it kept out is taken for a mistake until it is started again.

use super::rules::Rules;
use crate::config::web::ClientAuth;

/// What would need a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NeedsRestart {
    /// TLS comes or goes.
    #[error("tls_server_config can't be added or taken away while the gateway runs: restart it")]
    Tls,
    /// No user is left.
    #[error("basic_auth_users can't lose all its users while the gateway runs: if that is meant, restart it")]
    Users,
    /// Clients could do with a certificate that was refused, or without one.
    #[error("client_auth_type can't become weaker while the gateway runs: if that is meant, restart it")]
    ClientAuth,
    /// Nothing would hold guesses and floods up any more.
    #[error("rate_limit can't be taken away while the gateway runs: if that is meant, restart it")]
    RateLimit,
    /// Certificates for other names would do.
    #[error("client_allowed_sans can't be taken away while the gateway runs: if that is meant, restart it")]
    ClientNames,
}

impl NeedsRestart {
    /// Whether the way from `old` to `new` rules is such a change.
    pub(super) fn between(old: &Rules, new: &Rules) -> Option<NeedsRestart> {
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
}

/// More keeps more clients out. Those who may leave their certificate out are kept out by nothing.
fn strictness(auth: ClientAuth) -> u8 {
    match auth {
        ClientAuth::None | ClientAuth::Request | ClientAuth::VerifyIfGiven => 0,
        ClientAuth::RequireAny => 1,
        ClientAuth::RequireAndVerify => 2,
    }
}
