//! `--web.external-url`, parsed as Go's `url.Parse` does, with its messages.
//!
//! The gateway uses only the path. The `url` crate reads URLs as browsers do and refuses the
//! relative ones (`/pg`, `ex.com/pg`) that people give to the stock gateway.

use thiserror::Error;

/// Why a text can't be the external URL.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum UrlError {
    /// It is not a URL; the message is the stock gateway's.
    #[error("invalid URL: parse {url:?}: {reason}")]
    Malformed {
        /// The text.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It is not a URL, and seems to hold a password, so the message does not show it.
    #[error("invalid URL: it is malformed, and not shown as it may hold a password")]
    Hidden,
    /// It has a user, and perhaps a password.
    #[error(
        "invalid URL: it has user information such as a password, which the page and the log would show; leave out \
         what stands before the @"
    )]
    UserInformation,
}

/// The percent-decoded path of `url`, empty if it has none.
///
/// # Errors
///
/// If Go's `url.Parse` would refuse `url`, or there is user information in it.
pub fn path(url: &str) -> Result<String, UrlError> {
    if has_user(url) {
        return Err(UrlError::UserInformation);
    }
    parse(url).map_err(|reason| {
        // In a malformed URL, the text before the `@` may be a password.
        let may_hold_a_password = url.contains('@') || url.contains("%40");
        if may_hold_a_password {
            UrlError::Hidden
        } else {
            UrlError::Malformed { url: url.to_owned(), reason }
        }
    })
}

/// Whether there is user information. Also finds forms in which Go sees none, such as
/// `user:password@host`.
fn has_user(url: &str) -> bool {
    let text = url.split(['?', '#']).next().unwrap_or_default();
    let rest = split_scheme(text).map_or(text, |(_, rest)| rest);
    let authority = rest.strip_prefix("//").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let has_password = |segment: &str| segment.split_once(':').is_some_and(|(_, after)| after.contains('@'));
    authority.contains('@') || text.split('/').any(has_password)
}

fn parse(url: &str) -> Result<String, String> {
    if url.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    let (url, fragment) = url.split_once('#').unwrap_or((url, ""));
    decode(fragment)?;
    let (scheme, rest) = split_scheme(url)?;
    // Go does not check escapes in the query when it parses a URL.
    let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
    if !rest.starts_with('/') {
        if !scheme.is_empty() {
            return Ok(String::new());
        }
        if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
            return Err("first path segment in URL cannot contain colon".to_owned());
        }
    }
    match rest.strip_prefix("//") {
        Some(after) if !scheme.is_empty() || !rest.starts_with("///") => {
            let (authority, path) = after.split_at(after.find('/').unwrap_or(after.len()));
            check_authority(authority)?;
            decode(path)
        }
        _ => decode(rest),
    }
}

/// Splits `scheme:rest`. Without a scheme, the scheme is empty and the rest is the whole.
fn split_scheme(url: &str) -> Result<(&str, &str), String> {
    let end = url.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c)));
    match end {
        Some(0) if url.starts_with(':') => Err("missing protocol scheme".to_owned()),
        Some(end) if url[end..].starts_with(':') && url.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            Ok((&url[..end], &url[end + 1..]))
        }
        _ => Ok(("", url)),
    }
}

fn check_authority(authority: &str) -> Result<(), String> {
    let host = match authority.rsplit_once('@') {
        Some((user, host)) => {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
            if !user.chars().all(allowed) {
                return Err("net/url: invalid userinfo".to_owned());
            }
            decode(user)?;
            host
        }
        None => authority,
    };
    if host.starts_with('[') {
        let close = host.rfind(']').ok_or("missing ']' in host")?;
        check_port(&host[close + 1..])
    } else {
        if let Some(colon) = host.rfind(':') {
            check_port(&host[colon..])?;
        }
        check_host(host)
    }
}

fn check_port(port: &str) -> Result<(), String> {
    let valid = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
    if valid { Ok(()) } else { Err(format!("invalid port {port:?} after host")) }
}

fn check_host(host: &str) -> Result<(), String> {
    if let Some(position) = host.find('%') {
        // An escape in a host may only stand for a byte outside ASCII.
        let escape: String = host[position..].chars().take(3).collect();
        let outside_ascii = escape.as_bytes().get(1).is_some_and(|digit| *digit >= b'8');
        if !outside_ascii || decode(&escape).is_err() {
            return Err(format!("invalid URL escape {escape:?}"));
        }
    }
    match host
        .chars()
        .find(|c| c.is_ascii() && !c.is_ascii_alphanumeric() && !"-._~!$&'()*+,;=:[]<>\"%".contains(*c))
    {
        Some(c) => Err(format!("invalid character {:?} in host name", c.to_string())),
        None => Ok(()),
    }
}

/// Resolves percent escapes. Bytes that are not UTF-8 afterwards become replacement characters.
fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let value = digits
            .filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let Some(value) = value else {
            let shown = String::from_utf8_lossy(&after[..after.len().min(2)]).into_owned();
            return Err(format!("invalid URL escape {:?}", format!("%{shown}")));
        };
        bytes.push(value);
        rest = &after[2..];
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from the stock gateway 1.11.2 (debug log line `path prefix used externally`).
    #[test]
    fn finds_the_path_that_go_finds() {
        for (url, expected) in [
            ("", ""),
            ("http://x", ""),
            ("http://x/", "/"),
            ("http://x/pg/", "/pg/"),
            ("http://x/p%2Fg", "/p/g"),
            ("ex.com/pg", "ex.com/pg"),
            ("http://x/?a", "/"),
            ("mailto:x", ""),
            ("//h/p", "/p"),
            ("http://x/@z", "/@z"),
            ("u@x/z", "u@x/z"),
            ("/a?u:p@x", "/a"),
            ("HTTP://x/z", "/z"),
            ("a:b/c", ""),
            ("http://x:/c", "/c"),
            ("http://x:99999/c", "/c"),
            ("http://é/ü", "/ü"),
            ("http://[::1]:80/p", "/p"),
            ("/a?%zz", "/a"),
            ("?x", ""),
            ("http://::1/x", "/x"),
            ("http://a<b/x", "/x"),
            ("///a/b", "///a/b"),
            ("http:///a/b", "/a/b"),
            ("/é", "/é"),
            ("http://x%c3%a9/z", "/z"),
        ] {
            assert_eq!(path(url).as_deref(), Ok(expected), "{url}");
        }
    }

    /// Recorded from the stock gateway 1.11.2.
    #[test]
    fn refuses_what_go_refuses_in_its_words() {
        for (url, message) in [
            ("::bad", r#"invalid URL: parse "::bad": missing protocol scheme"#),
            ("http://a:x/", r#"invalid URL: parse "http://a:x/": invalid port ":x" after host"#),
            ("http://a b/", r#"invalid URL: parse "http://a b/": invalid character " " in host name"#),
            ("%zz", r#"invalid URL: parse "%zz": invalid URL escape "%zz""#),
            ("http://[::1", r#"invalid URL: parse "http://[::1": missing ']' in host"#),
            ("1:b/c", r#"invalid URL: parse "1:b/c": first path segment in URL cannot contain colon"#),
            ("http://x/%", r#"invalid URL: parse "http://x/%": invalid URL escape "%""#),
            ("http://x/a%zz", r#"invalid URL: parse "http://x/a%zz": invalid URL escape "%zz""#),
            ("http://x%41/", r#"invalid URL: parse "http://x%41/": invalid URL escape "%41""#),
            ("http://[::1]x/p", r#"invalid URL: parse "http://[::1]x/p": invalid port "x" after host"#),
            ("/a#%zz", r#"invalid URL: parse "/a#%zz": invalid URL escape "%zz""#),
            ("/a%2", r#"invalid URL: parse "/a%2": invalid URL escape "%2""#),
            ("/a\u{7f}", "invalid URL: parse \"/a\\u{7f}\": net/url: invalid control character in URL"),
        ] {
            assert_eq!(path(url).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn refuses_user_information_without_showing_it() {
        for url in [
            "http://u:hunter2@x/z#f",
            "http://hunter2@x",
            "http://a@hunter2@c/p",
            "http://u:hunter 2@c/p",
            "//u:hunter2@x",
            "u:hunter2@x",
            "u_v:hunter2@x",
            "http:/u:hunter2@x/p",
            "https://u:hunter%2@x:y/",
        ] {
            assert_eq!(path(url), Err(UrlError::UserInformation), "{url}");
        }
        for url in ["http://u:hunter/2@x", "http://u:hunter?2@x/p", "http://u:hunter2%40x/", "/a%zz@hunter2"]
        {
            assert_eq!(path(url), Err(UrlError::Hidden), "{url}");
        }
        for error in [UrlError::UserInformation, UrlError::Hidden] {
            assert!(error.to_string().starts_with("invalid URL: it "), "{error}");
        }
    }
}
