//! The settings of the gateway as plain sections, handed down to the parts that need them.
//!
//! Owns what a setting means, its default and its name in every notation; the modules below read
//! settings from the command line, a TOML file and the environment. Knows nothing of what the rest
//! of the gateway does with them.

use std::collections::BTreeMap;
use std::time::Duration;

use host::Host;
use ipnet::IpNet;
use serde::Deserialize;

use crate::message::Excerpt;

pub mod access;
pub mod address;
mod build;
pub mod duration;
pub mod external_url;
pub mod fitting;
pub mod flags;
mod hidden;
pub mod host;
mod layers;
pub mod limits;
mod list;
pub mod memory;
mod network;
pub mod regular;
pub mod web;

pub use access::Access;
pub use build::{BuildInfo, build_info};
pub use fitting::Fitting;
pub use limits::Limits;

/// Every setting. In TOML each field is a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table of settings")]
pub struct Config {
    /// `[web]`
    pub web: Web,
    /// `[persistence]`
    pub persistence: Persistence,
    /// `[push]`
    pub push: Push,
    /// `[aggregation]`
    pub aggregation: Aggregation,
    /// `[exposition]`
    pub exposition: Exposition,
    /// `[telemetry]`
    pub telemetry: Telemetry,
    /// `[access]`
    pub access: Access,
    /// `[limits]`
    pub limits: Limits,
    /// `[log]`
    pub log: Log,
    /// The TOML file that was read (`--config.file`), empty if none.
    #[serde(skip)]
    pub config_file: String,
    /// What was chosen because the system limits the memory; none where it does not.
    #[serde(skip)]
    pub fitting: Option<Fitting>,
}

/// Where and how the gateway is reached.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table of settings")]
pub struct Web {
    /// `host:port` to listen on, one or more.
    #[serde(deserialize_with = "address::deserialize_list")]
    pub listen_address: Vec<String>,
    /// The exporter-toolkit file with TLS and users, empty for none.
    pub config_file: String,
    /// Take listening sockets from systemd instead.
    pub systemd_socket: bool,
    /// The path of the metrics below the route prefix, as given; [`Web::metrics_path`] joins them.
    pub telemetry_path: String,
    /// The URL by which users reach the gateway, as given; only its path has an effect.
    #[serde(deserialize_with = "address::deserialize_url")]
    pub external_url: String,
    /// The prefix of all routes, computed: empty, or beginning with a slash and not ending in one.
    pub route_prefix: String,
    /// Whether `/-/quit` stops the gateway.
    pub enable_lifecycle: bool,
    /// Whether `/api/v1/admin/` answers.
    pub enable_admin_api: bool,
    /// The largest body of a push, before and after decompression.
    pub max_body_bytes: u64,
    /// How long requests in flight may take when the gateway stops.
    #[serde(deserialize_with = "duration::deserialize")]
    pub shutdown_timeout: Duration,
    /// The proxies that are believed when they say who sent a request.
    #[serde(deserialize_with = "network::deserialize_list")]
    pub trusted_proxies: Vec<IpNet>,
    /// The hosts that requests may be for, empty for all.
    #[serde(deserialize_with = "host::deserialize_list")]
    pub allowed_hosts: Vec<Host>,
}

/// What is kept on disk.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table of settings")]
pub struct Persistence {
    /// The file that holds the store, empty for memory only.
    pub file: String,
    /// How often to write the file with [`Sync::Interval`].
    #[serde(deserialize_with = "duration::deserialize")]
    pub interval: Duration,
    /// What an answered push is worth.
    pub sync: Sync,
}

/// When a push is on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Sync {
    /// Before it is answered.
    #[default]
    Push,
    /// Within the interval, as in the stock gateway.
    Interval,
}

/// What pushes may hold and do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table of settings")]
pub struct Push {
    /// Store pushes without checking them against what is there.
    pub disable_consistency_check: bool,
    /// Allow any UTF-8 in metric and label names.
    pub enable_utf8_names: bool,
    /// What PUT does to the metrics of a group.
    pub put: PutMode,
    /// How long an idempotency key is remembered.
    #[serde(deserialize_with = "duration::deserialize")]
    pub idempotency_window: Duration,
    /// How many idempotency keys are remembered.
    pub idempotency_keys: u64,
    /// Refuse text bodies whose last line has no line feed.
    pub require_final_newline: bool,
}

/// What PUT does to the metrics of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum PutMode {
    /// Replaces all of them.
    #[default]
    Replace,
    /// Adds those that add and replaces the rest.
    Aggregate,
}

/// Whether pushes add up.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table of settings")]
pub struct Aggregation {
    /// On: counters and histograms are summed. Off: the stock gateway to the letter.
    pub enabled: bool,
}

/// What scrapes show, and in which formats.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table of settings")]
pub struct Exposition {
    /// Whether only the formats of the stock gateway are offered and read; see
    /// [`Config::has_stock_formats`].
    pub stock_formats: Option<bool>,
    /// Whether OpenMetrics text has the start times of series, as series of their own.
    pub created_series: bool,
    /// How long newborn series that add up are shown as 0.
    #[serde(deserialize_with = "duration::deserialize")]
    pub zero_lead: Duration,
}

/// What the gateway shows of itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table of settings")]
pub struct Telemetry {
    /// Whether the gateway has metrics `process_*`. Without them jobs may push these names with any type.
    pub process_metrics: bool,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { process_metrics: true }
    }
}

/// What is logged, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table of settings")]
pub struct Log {
    /// The least severe level that is logged.
    pub level: LogLevel,
    /// The form of a line.
    pub format: LogFormat,
}

/// How severe a log line is, least first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub enum LogLevel {
    /// For whoever looks into one request.
    Debug,
    /// What an operator wants to know.
    #[default]
    Info,
    /// What may need attention.
    Warn,
    /// What went wrong.
    Error,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum LogFormat {
    /// `ts=… level=… caller=… msg=…`
    #[default]
    Logfmt,
    /// The same keys as one object.
    Json,
}

impl Default for Web {
    fn default() -> Self {
        Self {
            listen_address: vec![":9091".to_owned()],
            config_file: String::new(),
            systemd_socket: false,
            telemetry_path: "/metrics".to_owned(),
            external_url: String::new(),
            route_prefix: String::new(),
            enable_lifecycle: false,
            enable_admin_api: false,
            max_body_bytes: 64 << 20,
            shutdown_timeout: Duration::from_secs(20),
            trusted_proxies: Vec::new(),
            allowed_hosts: Vec::new(),
        }
    }
}

impl Default for Persistence {
    fn default() -> Self {
        Self { file: String::new(), interval: Duration::from_secs(5 * 60), sync: Sync::default() }
    }
}

impl Default for Push {
    fn default() -> Self {
        Self {
            disable_consistency_check: false,
            enable_utf8_names: false,
            put: PutMode::default(),
            idempotency_window: Duration::from_secs(60 * 60),
            idempotency_keys: 1_000_000,
            require_final_newline: false,
        }
    }
}

impl Default for Aggregation {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Web {
    /// The path that serves the metrics: route prefix and telemetry path joined and cleaned.
    #[must_use]
    pub fn metrics_path(&self) -> String {
        address::join(&self.route_prefix, &self.telemetry_path)
    }

    /// The prefix of links that users follow: the path of the external URL, whatever the routes are.
    #[must_use]
    pub fn external_prefix(&self) -> String {
        address::route_prefix("", &self.external_url).unwrap_or_default()
    }
}

impl LogLevel {
    /// The name in settings and log lines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl LogFormat {
    /// The name in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Logfmt => "logfmt",
            Self::Json => "json",
        }
    }
}

impl TryFrom<String> for LogLevel {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let levels = [Self::Debug, Self::Info, Self::Warn, Self::Error];
        choose(&name.to_lowercase(), &levels.map(|level| (level.name(), level)))
    }
}

impl TryFrom<String> for LogFormat {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        choose(&name, &[Self::Logfmt, Self::Json].map(|format| (format.name(), format)))
    }
}

impl TryFrom<String> for Sync {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        choose(&name, &[("push", Self::Push), ("interval", Self::Interval)])
    }
}

impl TryFrom<String> for PutMode {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        choose(&name, &[("replace", Self::Replace), ("aggregate", Self::Aggregate)])
    }
}

/// The one of `choices` that is called `name`, or a message that lists them.
fn choose<T: Copy>(name: &str, choices: &[(&str, T)]) -> Result<T, String> {
    choices.iter().find(|(known, _)| *known == name).map(|(_, choice)| *choice).ok_or_else(|| {
        let known: Vec<String> = choices.iter().map(|(known, _)| format!("{known:?}")).collect();
        format!("unknown value {:?}, expected {}", Excerpt::of(name), known.join(" or "))
    })
}

impl Config {
    /// Whether scrapes are offered the formats and compressions of the stock gateway and no others. Where
    /// that is not set, it goes with whether the gateway replaces as the stock gateway does.
    #[must_use]
    pub fn has_stock_formats(&self) -> bool {
        self.exposition.stock_formats.unwrap_or(!self.aggregation.enabled)
    }

    /// What `/api/v1/status` shows as `flags`: every flag but those that make the program print
    /// something and stop, with the value in force.
    #[must_use]
    pub fn startup_flags(&self) -> BTreeMap<String, String> {
        let Self {
            web,
            persistence,
            push,
            aggregation,
            exposition: _,
            telemetry: _,
            access: _,
            limits: _,
            log,
            config_file,
            fitting: _,
        } = self;
        [
            ("config.file", config_file.clone()),
            ("web.systemd-socket", web.systemd_socket.to_string()),
            ("web.listen-address", web.listen_address.join(",")),
            ("web.config.file", web.config_file.clone()),
            ("web.telemetry-path", web.telemetry_path.clone()),
            ("web.external-url", web.external_url.clone()),
            ("web.route-prefix", web.route_prefix.clone()),
            ("web.enable-lifecycle", web.enable_lifecycle.to_string()),
            ("web.enable-admin-api", web.enable_admin_api.to_string()),
            ("persistence.file", persistence.file.clone()),
            ("persistence.interval", duration::format(persistence.interval)),
            ("push.disable-consistency-check", push.disable_consistency_check.to_string()),
            ("push.enable-utf8-names", push.enable_utf8_names.to_string()),
            ("push.aggregate", aggregation.enabled.to_string()),
            ("log.level", log.level.name().to_owned()),
            ("log.format", log.format.name().to_owned()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
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
