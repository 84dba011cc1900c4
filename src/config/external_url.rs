//! `--web.external-url`: what Go's `url.Parse` takes, refuses (in its words) and calls the path.
//!
//! The gateway uses only the path. The `url` crate reads URLs as browsers do and refuses the
//! relative ones (`/pg`, `ex.com/pg`) that people give to the stock gateway.

use thiserror::Error;

/// Why a text is no URL, in the words of the stock gateway.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("invalid URL: parse {url:?}: {reason}")]
pub struct UrlError {
    url: String,
    reason: String,
}

/// The percent-decoded path of `url`; empty where it has none.
///
/// # Errors
///
/// When Go's `url.Parse` would refuse `url`.
pub fn path(url: &str) -> Result<String, UrlError> {
    parse(url).map_err(|reason| UrlError { url: url.to_owned(), reason })
}

fn parse(url: &str) -> Result<String, String> {
    if url.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    let (url, fragment) = url.split_once('#').unwrap_or((url, ""));
    decode(fragment)?;
    let (scheme, rest) = split_scheme(url)?;
    // An escape in the query is looked at only where the query is used.
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

/// `scheme:rest`, or an empty scheme and the whole where there is none.
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

/// Resolves percent escapes; bytes that are no UTF-8 afterwards become replacement characters.
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
            ("http://u:p@x/z#f", "/z"),
            ("HTTP://x/z", "/z"),
            ("a:b/c", ""),
            ("http://x:/c", "/c"),
            ("http://x:99999/c", "/c"),
            ("http://é/ü", "/ü"),
            ("http://[::1]:80/p", "/p"),
            ("http://a@b@c/p", "/p"),
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
            ("http://a b@c/p", r#"invalid URL: parse "http://a b@c/p": net/url: invalid userinfo"#),
            ("/a#%zz", r#"invalid URL: parse "/a#%zz": invalid URL escape "%zz""#),
            ("/a%2", r#"invalid URL: parse "/a%2": invalid URL escape "%2""#),
            ("/a\u{7f}", "invalid URL: parse \"/a\\u{7f}\": net/url: invalid control character in URL"),
        ] {
            assert_eq!(path(url).unwrap_err().to_string(), message);
        }
    }
}
