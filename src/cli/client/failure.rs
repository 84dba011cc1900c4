//! How a request fails.

use ureq::http::StatusCode;

use crate::cli::Exit;

/// Why a request was not done, as one sentence.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The gateway has answered, and would answer the same again.
    #[error("{url}: {status}{}{}", said(.reason), advice(*.status))]
    Refused {
        /// Where the gateway is.
        url: String,
        /// The status of the answer.
        status: StatusCode,
        /// What the answer says.
        reason: String,
    },
    /// It was not done, or can be sent again whether it was or not.
    #[error("{url}: {reason}{}", after(*.attempts))]
    Unavailable {
        /// Where the gateway is.
        url: String,
        /// The latest trouble.
        reason: String,
        /// How often the gateway was tried.
        attempts: u32,
    },
    /// A push may have been counted or not. Another with another key may be counted twice.
    #[error("{url}: {reason}{}; the push may have been counted or not{}", after(*.attempts), why(*.is_forgotten))]
    Unclear {
        /// Where the gateway is.
        url: String,
        /// The latest trouble.
        reason: String,
        /// How often the gateway was tried.
        attempts: u32,
        /// Whether it was not sent again since the gateway does not remember its key.
        is_forgotten: bool,
    },
}

impl Failure {
    /// The exit code of a command that ends with this.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Failure::Refused { .. } => Exit::Refused,
            Failure::Unavailable { .. } => Exit::Unavailable,
            Failure::Unclear { .. } => Exit::Unclear,
        }
    }
}

/// What an answer says, behind its status.
pub(in crate::cli) fn said(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

fn advice(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => " (log in with --user and --password-file, or with --token-file)",
        StatusCode::NOT_FOUND => " (the URL is to be that of the gateway, with its path prefix)",
        status if status.is_redirection() => " (name the URL that the gateway redirects to)",
        _ => "",
    }
}

fn after(attempts: u32) -> String {
    if attempts > 1 { format!(" (after {attempts} attempts)") } else { String::new() }
}

fn why(is_forgotten: bool) -> &'static str {
    if is_forgotten {
        ", and was not sent again, as this gateway does not remember idempotency keys"
    } else {
        ""
    }
}
