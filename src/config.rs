//! The settings of the gateway as plain sections, handed down to the parts that need them.
//!
//! `settings` declares each of them once. The other modules read them from the command line, a TOML file and the
//! environment. Nothing here knows what the rest of the gateway does with them.

use std::collections::BTreeMap;

pub mod access;
pub mod address;
mod build;
mod choices;
pub mod database;
pub mod duration;
mod effective;
pub mod external_url;
pub mod fitting;
mod flag;
pub mod flags;
mod hidden;
pub mod host;
mod layers;
mod list;
pub mod memory;
mod network;
mod origin;
pub mod regular;
pub mod rules;
mod settings;
pub mod unlimited;
pub mod web;

pub use build::{BuildInfo, build_info};
pub use choices::{
    Buckets, LogFormat, LogLevel, NumberMerge, Overflow, PutMode, RelabelAction, SourceBy, Sync, Temporality,
};
pub use effective::EffectiveSetting;
pub use layers::{ConfigError, read_rules};
pub use memory::Fitting;
pub use origin::{Origin, Origins};
pub use settings::{Access, Aggregation, Config, Exposition, Limits, Log, Persistence, Push, Telemetry, Web};

impl Web {
    /// The path that serves the metrics: route prefix and telemetry path joined and cleaned.
    #[must_use]
    pub fn metrics_path(&self) -> String {
        address::join(&self.route_prefix, &self.telemetry_path)
    }

    /// The prefix of links that users follow: the path of the external URL. It may differ from the route prefix.
    #[must_use]
    pub fn external_prefix(&self) -> String {
        address::route_prefix("", &self.external_url).unwrap_or_default()
    }
}

impl Persistence {
    /// Whether the store is kept in a database.
    #[must_use]
    pub fn has_database(&self) -> bool {
        !self.postgres.is_empty() || !self.postgres_file.is_empty()
    }

    /// Whether the store is kept at all.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.has_database() || !self.file.is_empty()
    }

    /// Keeps the store in memory only.
    pub fn forget(&mut self) {
        *self = Persistence { sync: self.sync, interval: self.interval, ..Persistence::default() };
    }
}

impl Config {
    /// Whether scrapes are offered the formats and compressions of the stock gateway and no others. The default is
    /// yes if aggregation is off.
    #[must_use]
    pub fn has_stock_formats(&self) -> bool {
        self.exposition.stock_formats.unwrap_or(!self.aggregation.enabled)
    }

    /// The name of this gateway among those that share its database; `None` if it uses none.
    #[must_use]
    pub fn replica_name(&self) -> Option<String> {
        let Persistence { replica, .. } = &self.persistence;
        let by_default = || {
            let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
            let port = self.web.listen_address.first().and_then(|address| address.rsplit_once(':'));
            port.map_or(host.clone(), |(_, port)| format!("{host}:{port}"))
        };
        let name = if replica.is_empty() { by_default() } else { replica.clone() };
        self.persistence.has_database().then_some(name)
    }

    /// What `/api/v1/status` shows as `flags`: every flag but those that make the program print
    /// something and stop, with the value in force.
    #[must_use]
    pub fn startup_flags(&self) -> BTreeMap<String, String> {
        let shown = |flag: &settings::SettingFlag| hidden::without_login((flag.value)(self).shown());
        let in_force = |flag: &settings::SettingFlag| (flag.name.to_owned(), shown(flag));
        let file = (flags::CONFIG_FILE.to_owned(), self.config_file.clone());
        settings::FLAGS.iter().map(in_force).chain([file]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn startup_flags_show_values_as_stock_does() {
        let mut config = Config::default();
        config.web.listen_address = vec![":1".to_owned(), "[::1]:2".to_owned()];
        config.web.route_prefix = "/p".to_owned();
        config.web.external_url = "http://x/p/".to_owned();
        let flags = config.startup_flags();
        assert_eq!(flags["web.listen-address"], ":1,[::1]:2");
        assert_eq!(flags["web.route-prefix"], "/p");
        assert_eq!(flags["web.external-url"], "http://x/p/");
        assert_eq!(flags["web.systemd-socket"], "false");
        assert_eq!(flags["persistence.interval"], "5m0s");
        assert_eq!(flags["push.aggregate"], "true");
        assert_eq!(flags["log.level"], "info");
        assert_eq!(flags["log.format"], "logfmt");
        assert_eq!(flags["config.file"], "");
    }

    #[test]
    fn web_paths_follow_prefix_and_external_url() {
        let mut web = Web::default();
        assert_eq!((web.metrics_path().as_str(), web.external_prefix().as_str()), ("/metrics", ""));
        web.route_prefix = "/p".to_owned();
        web.telemetry_path = "m".to_owned();
        web.external_url = "http://x/pg/".to_owned();
        assert_eq!((web.metrics_path().as_str(), web.external_prefix().as_str()), ("/p/m", "/pg"));
    }
}
