//! Access control: the values of the table `[access]`.
//!
//! Users come from the web configuration file, tokens from here. Without this table every authenticated user may do
//! everything, and if there are no users everybody may, as in the stock gateway. No error quotes a value, because it
//! may be a secret.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::Deserializer;

use super::list;

/// The keys of a token.
pub(super) const TOKEN_KEYS: [&str; 4] = ["name", "file", "sha256", "allow"];

/// A bearer token, which comes in the header `Authorization: Bearer …`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "TokenTable")]
pub struct Token {
    /// Its name in answers and in the log.
    pub name: String,
    /// Where the token is known from.
    pub source: TokenSource,
    /// What it may do.
    pub allow: Permissions,
}

/// How a token is given. The settings never hold the token itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// A file that holds the token. The gateway reads it again when it changes.
    File(PathBuf),
    /// The SHA-256 hash of the token.
    Sha256([u8; 32]),
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a token such as { name = \"ci\", file = \"ci.token\", allow = [\"push\"] }"
)]
struct TokenTable {
    name: String,
    file: Option<PathBuf>,
    sha256: Option<String>,
    allow: Permissions,
}

impl TryFrom<TokenTable> for Token {
    type Error = String;

    fn try_from(table: TokenTable) -> Result<Token, String> {
        let TokenTable { name, file, sha256, allow } = table;
        let source = match (file, sha256) {
            (Some(file), None) if !file.as_os_str().is_empty() => TokenSource::File(file),
            (None, Some(hash)) => TokenSource::Sha256(hash_of(&hash).ok_or_else(|| {
                format!("token {name:?}: sha256 is no SHA-256 hash, expected 64 hexadecimal digits")
            })?),
            _ => return Err(format!("token {name:?} needs either file or sha256")),
        };
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err("the name of a token is empty or has control characters".to_owned());
        }
        Ok(Token { name, source, allow })
    }
}

fn hash_of(digits: &str) -> Option<[u8; 32]> {
    if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, at) in hash.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&digits[at..at + 2], 16).ok()?;
    }
    Some(hash)
}

/// One kind of request that needs a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Push to groups.
    Push,
    /// Scrape, and read the page and the query API.
    Scrape,
    /// Delete groups.
    Delete,
    /// Wipe everything, and stop the gateway.
    Admin,
    /// Ask whether the gateway lives and is ready.
    Health,
}

const ALL: [Permission; 5] =
    [Permission::Push, Permission::Scrape, Permission::Delete, Permission::Admin, Permission::Health];

impl Permission {
    /// The name in settings and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Permission::Push => "push",
            Permission::Scrape => "scrape",
            Permission::Delete => "delete",
            Permission::Admin => "admin",
            Permission::Health => "health",
        }
    }
}

/// A set of permissions.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Permissions(u8);

impl Permissions {
    /// No permission.
    pub const NONE: Permissions = Permissions(0);
    /// All permissions.
    pub const ALL: Permissions = Permissions((1 << ALL.len()) - 1);

    /// Only the permission to ask for health.
    pub const HEALTH: Permissions = Permissions(1 << Permission::Health as u8);

    /// Whether the set contains this permission.
    #[must_use]
    pub fn include(self, permission: Permission) -> bool {
        self.0 & bit(permission) != 0
    }

    /// The names of the permissions in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        ALL.into_iter().filter(move |permission| self.include(*permission)).map(Permission::name)
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Permissions {
        Permissions(permissions.into_iter().fold(0, |set, permission| set | bit(permission)))
    }
}

fn bit(permission: Permission) -> u8 {
    1 << permission as u8
}

impl fmt::Debug for Permissions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.names()).finish()
    }
}

impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Permissions, D::Error> {
        const WHAT: &str = "a list of permissions such as [\"push\", \"scrape\"]";
        Ok(list::deserialize(deserializer, WHAT, named)?.into_iter().collect())
    }
}

fn named(name: &str) -> Result<Permission, String> {
    // The message does not quote the name: it may be a token or a password in the wrong place.
    ALL.into_iter().find(|permission| permission.name() == name).ok_or_else(|| {
        let known = ALL.map(|permission| format!("{:?}", permission.name())).join(" or ");
        format!("unknown permission, expected {known}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Access;

    fn access(text: &str) -> Result<Access, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn everything() {
        let hash = "00".repeat(31) + "fF";
        let access = access(&format!(
            "anonymous = [\"scrape\"]\nusers = {{ ci = [\"push\"], \"b o b\" = [], all = \"push, scrape,delete,admin,health\" }}\n\
             tokens = [{{ name = \"a\", file = \"/t\", allow = [\"delete\"] }}, {{ name = \"b\", sha256 = \"{hash}\", allow = [] }}]"
        ))
        .unwrap();
        assert_eq!(access.anonymous, Some([Permission::Scrape].into_iter().collect()));
        assert_eq!(access.users["all"], Permissions::ALL);
        assert_eq!(access.users["b o b"], Permissions::NONE);
        assert!(
            access.users["ci"].include(Permission::Push) && !access.users["ci"].include(Permission::Admin)
        );
        assert_eq!(access.tokens[0].source, TokenSource::File("/t".into()));
        let TokenSource::Sha256(hash) = access.tokens[1].source else { panic!("no hash") };
        assert_eq!((hash[0], hash[31]), (0, 255));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, error) in [
            (
                "users = { ci = [\"write\"] }",
                "unknown permission, expected \"push\" or \"scrape\" or \"delete\" or \"admin\" or \
                 \"health\"",
            ),
            (
                "users = { ci = 1 }",
                "invalid type: integer `1`, expected a list of permissions such as [\"push\", \"scrape\"]",
            ),
            ("tokens = [{ name = \"a\", allow = [] }]", "token \"a\" needs either file or sha256"),
            (
                "tokens = [{ name = \"a\", file = \"\", allow = [] }]",
                "token \"a\" needs either file or sha256",
            ),
            (
                "tokens = [{ name = \"a\", file = \"x\", sha256 = \"y\", allow = [] }]",
                "token \"a\" needs either file or sha256",
            ),
            (
                "tokens = [{ name = \"a\", sha256 = \"secret\", allow = [] }]",
                "token \"a\": sha256 is no SHA-256 hash, expected 64 hexadecimal digits",
            ),
            (
                "tokens = [{ name = \"\", file = \"x\", allow = [] }]",
                "the name of a token is empty or has control characters",
            ),
            ("tokens = [{ name = \"a\", file = \"x\" }]", "missing field `allow`"),
            (
                "tokens = [{ name = \"a\", token = \"secret\", allow = [] }]",
                "unknown field `token`, expected one of `name`, `file`, `sha256`, `allow`",
            ),
        ] {
            assert_eq!(access(text).unwrap_err(), error, "{text}");
        }
    }
}
