//! Changes of the web configuration that a running gateway does not make.
//!
//! A file that was cut short, for example by a disk that is full, is often a valid file that asks for less. So
//! whatever would open the gateway to those it kept out is taken for a mistake until it is started again.

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
