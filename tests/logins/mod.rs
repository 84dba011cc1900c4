//! Users of the web configuration, and how they log in.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::Directory;

/// A hash that costs little.
fn hash(password: &str) -> String {
    bcrypt::hash(password, 4).unwrap()
}

pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// A web configuration of this text.
pub(crate) fn web_config(folder: &Directory, text: &str) -> String {
    format!("--web.config.file={}", folder.write("web.yml", text))
}

pub(crate) fn users(users: &[(&str, &str)]) -> String {
    users.iter().fold("basic_auth_users:\n".to_owned(), |text, (user, password)| {
        format!("{text}  {user:?}: {}\n", hash(password))
    })
}
