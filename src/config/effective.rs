//! Every setting with the value in force, for whoever may see the configuration. No value is a secret: what could be
//! one is left out.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::access::{Permissions, Token};
use super::choices::{PutMode, Sync};
use super::flag::Shown;
use super::hidden;
use super::host::Host;
use super::origin::Origin;
use super::settings::{self, Config};

/// A setting as it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveSetting {
    /// The dotted key.
    pub key: &'static str,
    /// The value as text. Empty if there is none.
    pub value: String,
    /// Where the value is from.
    pub origin: Origin,
}

impl Config {
    /// Every setting, in the order of the manual. A default that depends on other settings is the one in force, but
    /// for `access.anonymous`, whose default depends on the web configuration.
    #[must_use]
    pub fn effective(&self) -> Vec<EffectiveSetting> {
        let shown = |&(key, value): &(&'static str, fn(&Config) -> &dyn Shown)| EffectiveSetting {
            key,
            value: match key {
                "exposition.stock_formats" => self.has_stock_formats().to_string(),
                _ => hidden::without_login(value(self).shown()),
            },
            origin: self.origins.of(key),
        };
        settings::VALUES.iter().map(shown).collect()
    }
}

impl Shown for u64 {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl<S: Shown> Shown for Option<S> {
    fn shown(&self) -> String {
        self.as_ref().map(Shown::shown).unwrap_or_default()
    }
}

impl Shown for PutMode {
    fn shown(&self) -> String {
        self.name().to_owned()
    }
}

impl Shown for Sync {
    fn shown(&self) -> String {
        self.name().to_owned()
    }
}

impl Shown for Vec<IpNet> {
    fn shown(&self) -> String {
        joined(self.iter().map(ToString::to_string))
    }
}

impl Shown for Vec<Host> {
    fn shown(&self) -> String {
        joined(self.iter().map(ToString::to_string))
    }
}

impl Shown for Permissions {
    fn shown(&self) -> String {
        let names: Vec<&str> = self.names().collect();
        if names.is_empty() { "nothing".to_owned() } else { names.join("+") }
    }
}

impl Shown for BTreeMap<String, Permissions> {
    fn shown(&self) -> String {
        joined(self.iter().map(|(user, may)| format!("{user}: {}", may.shown())))
    }
}

/// A token is neither shown nor its hash, nor its file, whose name may be the token by mistake.
impl Shown for Vec<Token> {
    fn shown(&self) -> String {
        joined(self.iter().map(|token| format!("{}: {}", token.name, token.allow.shown())))
    }
}

fn joined(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_there_in_words_of_the_file() {
        let mut config = Config::default();
        config.web.allowed_hosts = vec![Host::parse("a:1").unwrap(), Host::parse("b").unwrap()];
        config.web.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        config.aggregation.enabled = false;
        config.access = toml::from_str(
            "users = { a = [\"push\", \"scrape\"], b = [] }\n\
             tokens = [{ name = \"t\", file = \"/hunter2\", allow = [\"delete\"] }]",
        )
        .unwrap();
        let all = config.effective();
        assert_eq!(all.iter().map(|setting| setting.key).collect::<Vec<_>>(), settings::KEYS);
        let value = |key: &str| all.iter().find(|setting| setting.key == key).unwrap().value.clone();
        for (key, shown) in [
            ("web.listen_address", ":9091"),
            ("web.max_body_bytes", "67108864"),
            ("web.allowed_hosts", "a:1, b"),
            ("web.trusted_proxies", "10.0.0.0/8"),
            ("persistence.sync", "push"),
            ("push.put", "replace"),
            ("push.idempotency_window", "1h0m0s"),
            ("exposition.stock_formats", "true"),
            ("access.users", "a: push+scrape, b: nothing"),
            ("access.tokens", "t: delete"),
            ("access.anonymous", ""),
            ("log.level", "info"),
        ] {
            assert_eq!(value(key), shown, "{key}");
        }
        assert!(all.iter().all(|setting| setting.origin == Origin::Default));
    }
}
