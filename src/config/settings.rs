//! Every setting, declared once: its key, type and default, and the flag that sets it.
//!
//! A section is a table of the TOML file, and its fields are the keys. Messages list tables and keys in this order,
//! and the help lists the flags in it. `flags` has the flags that set nothing.
//!
//! A new setting is a field here and the code that uses it. Tests then ask for its line in config/tallygate.toml and
//! for its row in the manual.

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use super::access::{Permissions, Token};
use super::choices::{LogFormat, LogLevel, PutMode, Sync};
use super::database::DatabaseUrl;
use super::flag::{Kind, Shown};
use super::host::Host;
use super::memory::Fitting;
use super::origin::Origins;
use super::rules::RuleFile;
use super::{address, duration, host, network};

/// Declares the sections, [`Config`] with all of them, the list of keys and the list of flags.
///
/// A field is `key: type = default;`, or `key: type = default, flag Kind "name" "help";`.
macro_rules! settings {
    ($(
        $(#[$section_meta:meta])*
        $section:ident: $Section:ident {
            $(
                $(#[$key_meta:meta])*
                $key:ident: $type:ty = $default:expr $(, flag $kind:ident $flag:literal $help:literal)?;
            )*
        }
    )*) => {
        $(
            $(#[$section_meta])*
            #[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
            #[serde(default, deny_unknown_fields, expecting = "a table of settings")]
            pub struct $Section {
                $($(#[$key_meta])* pub $key: $type,)*
            }

            impl Default for $Section {
                fn default() -> Self {
                    Self { $($key: $default,)* }
                }
            }
        )*

        /// Every setting. In TOML each field is a table.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
        #[serde(default, deny_unknown_fields, expecting = "a table of settings")]
        pub struct Config {
            $(
                #[doc = concat!("`[", stringify!($section), "]`")]
                pub $section: $Section,
            )*
            /// The lists `[[groups]]` and `[[metrics]]` of the file.
            #[serde(skip)]
            pub rules: RuleFile,
            /// The TOML file that was read (`--config.file`), empty if none.
            #[serde(skip)]
            pub config_file: String,
            /// The limits that were chosen because the system limits the memory; `None` if it does not.
            #[serde(skip)]
            pub fitting: Option<Fitting>,
            /// Where the settings have their values from.
            #[serde(skip)]
            pub origins: Origins,
        }

        /// The dotted keys of all settings.
        pub(super) const KEYS: &[&str] = &[$($(concat!(stringify!($section), ".", stringify!($key)),)*)*];

        /// All settings by their keys, with the value in force.
        pub(super) const VALUES: &[(&str, fn(&Config) -> &dyn Shown)] = &[$($(
            (concat!(stringify!($section), ".", stringify!($key)), |config| &config.$section.$key),
        )*)*];

        /// The flags that set something.
        pub(super) const FLAGS: &[SettingFlag] = &[$($($(
            SettingFlag {
                name: $flag,
                kind: Kind::$kind,
                help: $help,
                key: concat!(stringify!($section), ".", stringify!($key)),
                value: |config| &config.$section.$key,
            },
        )?)*)*];
    };
}

/// A flag that sets something.
pub(super) struct SettingFlag {
    /// The long name without dashes.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    /// The dotted key of the setting.
    pub(super) key: &'static str,
    /// The value in force.
    pub(super) value: fn(&Config) -> &dyn Shown,
}

settings! {
    /// Where and how the gateway is reached.
    web: Web {
        /// `host:port` to listen on, one or more.
        #[serde(deserialize_with = "address::deserialize_list")]
        listen_address: Vec<String> = vec![":9091".to_owned()],
            flag Addresses "web.listen-address"
            "Addresses on which to expose metrics and web interface. Repeatable for multiple addresses. \
             Examples: `:9091` or `[::1]:9091` for http, `vsock://:9091` for vsock";

        /// The exporter-toolkit file with TLS and users, empty for none.
        config_file: String = String::new(),
            flag Text "web.config.file"
            "Path to configuration file that can enable TLS or authentication. See: \
             https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md";

        /// Take listening sockets from systemd instead.
        systemd_socket: bool = false,
            flag Switch "web.systemd-socket"
            "Use systemd socket activation listeners instead of port listeners (Linux only).";

        /// The path of the metrics below the route prefix, as given; [`Web::metrics_path`] joins them.
        telemetry_path: String = "/metrics".to_owned(),
            flag Text "web.telemetry-path" "Path under which to expose metrics.";

        /// The URL by which users reach the gateway, as given; only its path has an effect.
        #[serde(deserialize_with = "address::deserialize_url")]
        external_url: String = String::new(),
            flag Url "web.external-url" "The URL under which the Pushgateway is externally reachable.";

        /// The prefix of all routes, computed: empty, or beginning with a slash and not ending in one.
        route_prefix: String = String::new(),
            flag Text "web.route-prefix"
            "Prefix for the internal routes of web endpoints. Defaults to the path of --web.external-url.";

        /// Whether `/-/quit` stops the gateway.
        enable_lifecycle: bool = false,
            flag Switch "web.enable-lifecycle" "Enable shutdown via HTTP request.";

        /// Whether `/api/v1/admin/` answers.
        enable_admin_api: bool = false,
            flag Switch "web.enable-admin-api" "Enable API endpoints for admin control actions.";

        /// The largest body of a push, before and after decompression.
        max_body_bytes: u64 = 64 << 20;

        /// How long requests in flight may take when the gateway stops.
        #[serde(deserialize_with = "duration::deserialize")]
        shutdown_timeout: Duration = Duration::from_secs(20);

        /// The proxies that are believed when they say who sent a request.
        #[serde(deserialize_with = "network::deserialize_list")]
        trusted_proxies: Vec<IpNet> = Vec::new();

        /// The hosts that requests may be for, empty for all.
        #[serde(deserialize_with = "host::deserialize_list")]
        allowed_hosts: Vec<Host> = Vec::new();
    }

    /// What is kept on disk.
    persistence: Persistence {
        /// The file that holds the store, empty for memory only.
        file: String = String::new(),
            flag Text "persistence.file"
            "File to persist metrics. If empty, metrics are only kept in memory. That of a stock Pushgateway is \
             imported.";

        /// How often to write the file with [`Sync::Interval`].
        #[serde(deserialize_with = "duration::deserialize")]
        interval: Duration = Duration::from_secs(5 * 60),
            flag Duration "persistence.interval"
            "The minimum interval at which to write out the persistence file, with persistence.sync = \"interval\". \
             By default every push is on disk before it is answered.";

        /// Whether a push is answered before or after it is on disk.
        sync: Sync = Sync::default();

        /// The database that holds the store instead of a file, empty for none.
        postgres: DatabaseUrl = DatabaseUrl::default(),
            flag Text "persistence.postgres"
            "PostgreSQL database to persist metrics in instead of a file, as postgres://user@host/database. A password \
             is better given in the environment or in the file that persistence.postgres_file names.";

        /// The file that holds the address of the database, empty for none.
        postgres_file: String = String::new();

        /// The name of this gateway among those that share the database. Empty for the name of the host and the port.
        replica: String = String::new(),
            flag Text "persistence.replica"
            "Name of this gateway among those that share the PostgreSQL database; by default the name of the host and the \
             port.";
    }

    /// What pushes may hold and do.
    push: Push {
        /// Answer 202 also to pushes that fail the check against what is stored. They are still not stored.
        disable_consistency_check: bool = false,
            flag Switch "push.disable-consistency-check"
            "Answer pushes with 202 whatever the check of their consistency says. What fails it is still not stored.";

        /// Allow any UTF-8 in metric and label names.
        enable_utf8_names: bool = false,
            flag Switch "push.enable-utf8-names" "Allow UTF-8 characters in metric and label names.";

        /// What PUT does to the metrics of a group.
        put: PutMode = PutMode::default();

        /// How long an idempotency key is remembered.
        #[serde(deserialize_with = "duration::deserialize")]
        idempotency_window: Duration = Duration::from_secs(60 * 60);

        /// How many idempotency keys are remembered.
        idempotency_keys: u64 = 1_000_000;

        /// Refuse text bodies whose last line has no line feed.
        require_final_newline: bool = false;

        /// The job of pushes and deletions whose path has none, empty to refuse them.
        default_job: String = String::new();

        /// Take the label `clearmode` off pushed series, and merge them as it says.
        clearmode: bool = false;
    }

    /// Whether pushes add up.
    aggregation: Aggregation {
        /// On: counters and histograms are summed. Off: every push replaces, as in the stock gateway.
        enabled: bool = true,
            flag Switch "push.aggregate"
            "Add up counters and histograms across pushes. On by default; --no-push.aggregate makes every push \
             replace, as the stock Pushgateway does.";
    }

    /// What scrapes show, and in which formats.
    exposition: Exposition {
        /// Whether only the formats of the stock gateway are offered and read; see
        /// [`Config::has_stock_formats`].
        stock_formats: Option<bool> = None;

        /// Whether OpenMetrics text has the start times of series, as series of their own.
        created_series: bool = false;

        /// How long a new series that adds up is shown as 0.
        #[serde(deserialize_with = "duration::deserialize")]
        zero_lead: Duration = Duration::ZERO;
    }

    /// What the gateway shows of itself.
    telemetry: Telemetry {
        /// Whether the gateway has metrics `process_*`. Without them jobs may push these names with any type.
        process_metrics: bool = true;
    }

    /// Access control. Without settings here every user may do everything.
    access: Access {
        /// What each user of the web configuration file may do. Once a user is named here, those that are not may do
        /// nothing. Without any, all may do everything.
        users: BTreeMap<String, Permissions> = BTreeMap::new();

        /// Bearer tokens.
        tokens: Vec<Token> = Vec::new();

        /// What may be done without a login. The default is everything if there are no users and tokens, else
        /// nothing.
        anonymous: Option<Permissions> = None;
    }

    /// Limits of the gateway. 0 means no limit.
    limits: Limits {
        /// Open connections.
        connections: u64 = 10_000;

        /// Requests that are being answered.
        requests_in_flight: u64 = 4096;

        /// Scrapes and other large answers that are being sent.
        scrapes_in_flight: u64 = 40;

        /// Memory for reading and parsing large and compressed bodies, in bytes.
        body_bytes_in_flight: u64 = 512 << 20;

        /// How long a client may take for the head of a request.
        #[serde(deserialize_with = "duration::deserialize")]
        head_timeout: Duration = Duration::from_secs(30);

        /// How long a client may take for each 256 KiB of a body, and for the rest.
        #[serde(deserialize_with = "duration::deserialize")]
        body_timeout: Duration = Duration::from_secs(30);

        /// How long a client may take to read an answer.
        #[serde(deserialize_with = "duration::deserialize")]
        send_timeout: Duration = Duration::from_secs(2 * 60);

        /// How long a connection may be idle between requests.
        #[serde(deserialize_with = "duration::deserialize")]
        idle_timeout: Duration = Duration::from_secs(3 * 60);

        /// Samples in one push.
        samples_per_push: u64 = 1_000_000;

        /// Labels of all series in one push.
        label_pairs_per_push: u64 = 5_000_000;

        /// The length of a metric or label name in bytes.
        name_length: u64 = 1024;

        /// The length of a label value in bytes.
        label_value_length: u64 = 64 << 10;

        /// Labels of a group, the job among them.
        grouping_labels: u64 = 64;

        /// Series in all groups, a histogram or summary counted once.
        series: u64 = 10_000_000;

        /// Series in one group.
        series_per_group: u64 = 2_000_000;

        /// Groups.
        groups: u64 = 1_000_000;

        /// The size of all series, in bytes.
        store_bytes: u64 = 8 << 30;
    }

    /// What is logged, and how.
    log: Log {
        /// The least severe level that is logged.
        level: LogLevel = LogLevel::default(),
            flag LogLevel "log.level"
            "Only log messages with the given severity or above. One of: [debug, info, warn, error]";

        /// The form of a line.
        format: LogFormat = LogFormat::default(),
            flag LogFormat "log.format" "Output format of log messages. One of: [logfmt, json]";
    }
}
