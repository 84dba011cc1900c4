//! Users of the web configuration, and how they log in.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::Directory;

/// A bcrypt hash that is cheap to check.
fn hash(password: &str) -> String {
    bcrypt::hash(password, 4).unwrap()
}

pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Writes a web configuration and returns the flag for it.
pub(crate) fn web_config(folder: &Directory, text: &str) -> String {
    format!("--web.config.file={}", folder.write("web.yml", text))
}

pub(crate) fn users(users: &[(&str, &str)]) -> String {
    users.iter().fold("basic_auth_users:\n".to_owned(), |text, (user, password)| {
        format!("{text}  {user:?}: {}\n", hash(password))
    })
}
