//! Why a request of a command has failed.

use ureq::http::StatusCode;

use crate::cli::Exit;

/// Why a request has failed, as one sentence.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The gateway has refused the request, and would refuse it again.
    #[error("{url}: {status}{}{}", said(.reason), advice(*.status))]
    Refused {
        /// Where the gateway is.
        url: String,
        /// The status of the answer.
        status: StatusCode,
        /// The first line of the answer.
        reason: String,
    },
    /// The request was not applied, or is harmless to repeat.
    #[error("{url}: {reason}{}", after(*.attempts))]
    Unavailable {
        /// Where the gateway is.
        url: String,
        /// The latest error.
        reason: String,
        /// How often the gateway was tried.
        attempts: u32,
    },
    /// It is not known whether the push was counted. If it is pushed with another key, it may count twice.
    #[error("{url}: {reason}{}; the push may have been counted or not{}", after(*.attempts), why(*.is_forgotten))]
    Unclear {
        /// Where the gateway is.
        url: String,
        /// The latest error.
        reason: String,
        /// How often the gateway was tried.
        attempts: u32,
        /// Whether the request was not repeated because the gateway does not remember its key.
        is_forgotten: bool,
    },
}

impl Failure {
    /// The exit code of a command that fails with this.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Failure::Refused { .. } => Exit::Refused,
            Failure::Unavailable { .. } => Exit::Unavailable,
            Failure::Unclear { .. } => Exit::Unclear,
        }
    }
}

/// The text of an answer, as it follows the status in a message.
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
