//! Keeps secrets out of messages about settings.
//!
//! A user may write a token or a password in the wrong place, so messages quote no value below `access`, nor the address
//! of a database. The key is enough to find it.

use super::{access, settings};

/// Messages show no value of this table.
const TABLE: &str = "access";

/// Nor the value of this key.
const DATABASE: &str = "persistence.postgres";

/// Whether messages must not show the value of a dotted key. An empty key is one that is not known.
pub(super) fn is_hidden(key: &str) -> bool {
    key.is_empty()
        || key == DATABASE
        || key.strip_prefix(TABLE).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The part of a hidden key that consists of known names. An unknown name may be a secret itself.
pub(super) fn known_part(key: &str) -> &str {
    if key.is_empty() || key == DATABASE {
        return key;
    }
    let mut parts = key.split('.').skip(1);
    match (parts.next(), parts.next()) {
        (Some("tokens"), Some(name)) if !access::TOKEN_KEYS.contains(&name) => "access.tokens",
        (Some(name), _) if settings::KEYS.contains(&&*format!("{TABLE}.{name}")) => key,
        _ => TABLE,
    }
}

/// Removes the value that a message of serde quotes. Our own messages quote none.
pub(super) fn without_value(message: &str) -> String {
    // The last "expected" is serde's, because no description of what is expected has this word.
    let (found, expected) = match message.rsplit_once(", expected ") {
        Some((found, expected)) => (found, format!(", expected {expected}")),
        None => (message, String::new()),
    };
    for start in ["invalid type: ", "invalid value: "] {
        if let Some(value) = found.strip_prefix(start) {
            let kind = value.split(['"', '`', '\'']).next().unwrap_or_default().trim_end();
            return format!("{start}{kind}{expected}");
        }
    }
    if found.starts_with("unknown field ") { format!("unknown key{expected}") } else { message.to_owned() }
}

/// The value of a setting as it may be shown: without the user and the password of a URL, and not at all if it has a
/// password elsewhere.
pub(super) fn without_login(value: String) -> String {
    if value.to_ascii_lowercase().replace(' ', "").contains("password=") {
        return HIDDEN.to_owned();
    }
    let Some((scheme, rest)) = value.split_once("://") else { return value };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rfind('@') {
        Some(at) => format!("{scheme}://{HIDDEN}{}", &rest[at..]),
        // The password may itself have one of these characters.
        None if rest.contains('@') => format!("{scheme}://{HIDDEN}"),
        None => value,
    }
}

const HIDDEN: &str = "(hidden)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_without_logins() {
        for (value, shown) in [
            ("/var/lib/a@b", "/var/lib/a@b"),
            ("http://x/p", "http://x/p"),
            ("postgres://u:hunter2@db:5432/t?a=b", "postgres://(hidden)@db:5432/t?a=b"),
            ("postgres://u:hunter@2@db/t", "postgres://(hidden)@db/t"),
            ("postgres://u:hunter/2@db/t", "postgres://(hidden)"),
            ("postgres://db/t?user=u&password=hunter2", "(hidden)"),
            ("host=db user=u Password = hunter2", "(hidden)"),
            ("/etc/passwords/web.yml", "/etc/passwords/web.yml"),
        ] {
            assert_eq!(without_login(value.to_owned()), shown);
        }
    }

    #[test]
    fn keys_are_hidden_by_their_table() {
        for key in ["", "access", "access.tokens", "access.users.ci", "persistence.postgres"] {
            assert!(is_hidden(key), "{key}");
        }
        for key in ["web", "accessory", "web.access", "persistence.postgres_file"] {
            assert!(!is_hidden(key), "{key}");
        }
        assert_eq!(known_part("access.users.ci"), "access.users.ci");
        assert_eq!(known_part("access.tokens.sha256"), "access.tokens.sha256");
        assert_eq!(known_part("access.tokens.hunter2"), "access.tokens");
        assert_eq!(known_part("access.hunter2"), "access");
        assert_eq!((known_part("access"), known_part("")), ("access", ""));
    }

    #[test]
    fn values_are_taken_out() {
        for (message, shown) in [
            ("invalid type: string \"hunter2\", expected a list", "invalid type: string, expected a list"),
            (
                "invalid type: string \"x, expected hunter2, expected y\", expected a map for key `access`",
                "invalid type: string, expected a map for key `access`",
            ),
            ("invalid value: integer `-17`, expected u64", "invalid value: integer, expected u64"),
            ("invalid type: floating point `1.5`, expected a", "invalid type: floating point, expected a"),
            ("invalid type: map, expected a sequence", "invalid type: map, expected a sequence"),
            ("unknown field `hunter2`, expected one of `a`, `b`", "unknown key, expected one of `a`, `b`"),
            ("unknown field `hunter2`, there are no fields", "unknown key"),
            ("missing field `allow`", "missing field `allow`"),
            ("token \"a\" needs either file or sha256", "token \"a\" needs either file or sha256"),
        ] {
            assert_eq!(without_value(message), shown);
        }
    }
}
