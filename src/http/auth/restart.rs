//! Changes of the web configuration that need a restart.
//!
//! A file that was cut short, for example because the disk is full, is often a valid file with fewer restrictions.
//! So a change that lets in clients that were kept out is taken for a mistake until the gateway is restarted.

/// The change that needs a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NeedsRestart {
    /// TLS is turned on or off.
    #[error("tls_server_config can't be added or taken away while the gateway runs: restart it")]
    Tls,
    /// All users are removed.
    #[error("basic_auth_users can't lose all its users while the gateway runs: if that is meant, restart it")]
    Users,
    /// Clients would be accepted without a certificate, or with one that was refused before.
    #[error("client_auth_type can't become weaker while the gateway runs: if that is meant, restart it")]
    ClientAuth,
    /// The rate limit is removed.
    #[error("rate_limit can't be taken away while the gateway runs: if that is meant, restart it")]
    RateLimit,
    /// Client certificates for other names would be accepted.
    #[error("client_allowed_sans can't be taken away while the gateway runs: if that is meant, restart it")]
    ClientNames,
}
