//! The address of a database, which may hold a password.

use std::fmt;

use serde::Deserialize;

use super::flag::Shown;

/// A connection URL. Its password is shown nowhere.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The whole URL, empty for none.
    pub fn get(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What of it is no secret: the scheme, the user, the hosts and the name of the database. Nothing if it is no URL.
    fn without_secrets(&self) -> String {
        let Some((scheme, rest)) = self.0.split_once("://") else { return String::new() };
        let place = rest.split_once('?').map_or(rest, |(place, _)| place);
        match place.rsplit_once('@') {
            Some((login, place)) => {
                let user = login.split_once(':').map_or(login, |(user, _)| user);
                format!("{scheme}://{user}@{place}")
            }
            None => format!("{scheme}://{place}"),
        }
    }
}

impl From<&str> for DatabaseUrl {
    fn from(url: &str) -> DatabaseUrl {
        DatabaseUrl(url.to_owned())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.without_secrets())
    }
}

impl Shown for DatabaseUrl {
    fn shown(&self) -> String {
        self.without_secrets()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        for (url, shown) in [
            ("", ""),
            ("hunter2", ""),
            ("postgres://ci:hunter2@h:1/d?sslmode=require&password=hunter2", "postgres://ci@h:1/d"),
            ("postgres://ci:hunter2@hunter2@h/d", "postgres://ci@h/d"),
            ("postgres://h", "postgres://h"),
        ] {
            let url = DatabaseUrl::from(url);
            assert_eq!((url.shown().as_str(), format!("{url:?}").as_str()), (shown, shown));
        }
    }
}
