//! Reads the login of a request.

use std::fmt;

use actix_web::http::header::{self, HeaderMap};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The content of the header `Authorization`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Login {
    /// There is no such header.
    None,
    /// Neither of the two below.
    Unknown,
    /// A user and a password.
    Basic {
        /// The name as sent. The user may not exist.
        user: String,
        /// The password.
        password: Vec<u8>,
    },
    /// A token.
    Token(Vec<u8>),
}

impl Login {
    /// Reads the header. If it is given several times, the first one counts, as in Go.
    pub(super) fn of(headers: &HeaderMap) -> Login {
        let Some(value) = headers.get(header::AUTHORIZATION) else { return Login::None };
        let value = value.as_bytes();
        if let Some(encoded) = after(value, b"Basic ") {
            return basic(encoded).unwrap_or(Login::Unknown);
        }
        match after(value, b"Bearer ") {
            Some(token) => Login::Token(token.trim_ascii().to_vec()),
            None => Login::Unknown,
        }
    }
}

/// The text behind a scheme, whose case does not matter.
fn after<'a>(value: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let start = value.get(..scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then(|| &value[scheme.len()..])
}

fn basic(encoded: &[u8]) -> Option<Login> {
    let mut decoded = STANDARD.decode(encoded).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let password = decoded.split_off(colon + 1);
    decoded.truncate(colon);
    // A name that is not UTF-8 belongs to no user.
    Some(Login::Basic { user: String::from_utf8_lossy(&decoded).into_owned(), password })
}

/// The identity of the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) enum Identity {
    /// Somebody without a login.
    Anonymous,
    /// A user of the web configuration.
    User(String),
    /// The holder of a token: its position among the tokens, and its name.
    Token(usize, String),
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Identity::Anonymous => formatter.write_str("a request without a login"),
            Identity::User(name) => write!(formatter, "user {name:?}"),
            Identity::Token(_, name) => write!(formatter, "token {name:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    #[test]
    fn schemes_are_told_apart() {
        let basic =
            |user: &str, password: &str| Login::Basic { user: user.into(), password: password.into() };
        for (value, login) in [
            ("Basic YTpi", basic("a", "b")),
            ("bAsIc YTpi", basic("a", "b")),
            // a:b:c
            ("Basic YTpiOmM=", basic("a", "b:c")),
            ("Basic Og==", basic("", "")),
            // Without a colon, without padding, with spaces, empty.
            ("Basic YQ==", Login::Unknown),
            ("Basic YTpiOmM", Login::Unknown),
            ("Basic  YTpi", Login::Unknown),
            ("Basic ", Login::Unknown),
            ("Basic", Login::Unknown),
            ("Bearer abc", Login::Token(b"abc".to_vec())),
            ("BEARER  abc ", Login::Token(b"abc".to_vec())),
            ("Bearer", Login::Unknown),
            ("Digest x", Login::Unknown),
            ("", Login::Unknown),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            assert_eq!(Login::of(&headers), login, "{value:?}");
        }
        assert_eq!(Login::of(&HeaderMap::new()), Login::None);
    }
}
