//! Settings from files, variables and flags, and their errors.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::config::host::Host;
use crate::config::memory::Source;
use crate::config::settings::KEYS;
use crate::config::{LogFormat, LogLevel, PutMode, Sync};

/// A file that is removed at the end of the test.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tallygate-{}-{name}.toml", std::process::id()));
        std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

fn environment(variables: &[(&str, &str)]) -> HashMap<String, String> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn from_environment(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    load("", &environment(variables), Vec::new(), None)
}

/// The message for a file with this text, without the name of the file.
fn file_error(name: &str, text: &str) -> String {
    let file = Temporary::new(name, text);
    let message = load(file.path(), &HashMap::new(), Vec::new(), None).unwrap_err().to_string();
    message.strip_prefix(&format!("config file {:?}, ", file.path())).unwrap_or(&message).to_owned()
}

#[test]
fn nothing_given_is_the_defaults() {
    assert_eq!(from_environment(&[]).unwrap(), Config::default());
}

#[test]
fn the_sample_file_holds_every_setting_with_its_default() {
    let sample = include_str!("../../../config/tallygate.toml");
    let enabled: String = sample
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
                .unwrap_or(line)
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    assert_eq!(toml::from_str::<Config>(sample).unwrap(), Config::default());
    assert_eq!(toml::from_str::<Config>(&enabled).unwrap(), Config::default());
    let with_default: toml::Table = toml::from_str(&enabled).unwrap();
    let is_there =
        |key: &str| key.split_once('.').is_some_and(|(table, key)| with_default[table].get(key).is_some());
    let others: Vec<&str> = KEYS.iter().copied().filter(|key| !is_there(key)).collect();
    // The default of two settings depends on others, so their lines are examples and not the default.
    assert!(sample.contains("\n# stock_formats =") && sample.contains("\n# anonymous ="));
    assert_eq!(
        others,
        ["exposition.stock_formats", "access.anonymous"],
        "config/tallygate.toml lacks a setting"
    );
}

#[test]
fn every_setting_can_come_from_the_file() {
    let file = Temporary::new(
        "every",
        r#"
            push = { put = "aggregate", idempotency_window = "10m", enable_utf8_names = true, require_final_newline = true }
            aggregation.enabled = false
            [web]
            listen_address = ["127.0.0.1:1", "[::1]:2"]
            telemetry_path = "/m"
            external_url = "http://x/p/"
            enable_lifecycle = true
            enable_admin_api = true
            max_body_bytes = 1_000
            shutdown_timeout = "1.5s"
            trusted_proxies = ["10.0.0.0/8", "::1"]
            allowed_hosts = ["Gateway.example", "[::1]:9091"]
            [persistence]
            file = "/f"
            interval = "0"
            sync = "interval"
            [log]
            level = "WARN"
            format = "json"
        "#,
    );
    let config = load(file.path(), &HashMap::new(), Vec::new(), None).unwrap();
    assert_eq!(config.web.listen_address, ["127.0.0.1:1", "[::1]:2"]);
    assert_eq!(config.web.metrics_path(), "/p/m");
    assert!(config.web.enable_lifecycle && config.web.enable_admin_api);
    assert_eq!(
        (config.web.max_body_bytes, config.web.shutdown_timeout),
        (1_000, Duration::from_millis(1_500))
    );
    let proxies: Vec<String> = config.web.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["10.0.0.0/8", "::1/128"]);
    assert_eq!(
        config.web.allowed_hosts,
        ["gateway.example", "[::1]:9091"].map(|host| Host::parse(host).unwrap())
    );
    assert_eq!((config.persistence.file.as_str(), config.persistence.interval), ("/f", Duration::ZERO));
    assert_eq!((config.persistence.sync, config.push.put), (Sync::Interval, PutMode::Aggregate));
    assert!(config.push.enable_utf8_names && !config.push.disable_consistency_check);
    assert_eq!(config.push.idempotency_window, Duration::from_secs(600));
    assert!(config.push.require_final_newline);
    assert!(!config.aggregation.enabled);
    assert_eq!((config.log.level, config.log.format), (LogLevel::Warn, LogFormat::Json));
    assert_eq!(config.config_file, file.path());
}

#[test]
fn every_setting_can_come_from_the_environment() {
    let config = from_environment(&[
        ("TALLYGATE_WEB__LISTEN_ADDRESS", "127.0.0.1:1, [::1]:2"),
        ("TALLYGATE_WEB__TELEMETRY_PATH", "/1.50"),
        ("TALLYGATE_WEB__EXTERNAL_URL", "http://x/p"),
        ("TALLYGATE_WEB__ENABLE_LIFECYCLE", "true"),
        ("TALLYGATE_WEB__MAX_BODY_BYTES", "1000"),
        ("TALLYGATE_WEB__TRUSTED_PROXIES", "192.168.0.1, fd00::/8"),
        ("TALLYGATE_WEB__ALLOWED_HOSTS", "gateway, gateway:80"),
        ("TALLYGATE_PERSISTENCE__FILE", "007"),
        ("TALLYGATE_PERSISTENCE__INTERVAL", "1h30m"),
        ("TALLYGATE_PERSISTENCE__SYNC", "interval"),
        ("TALLYGATE_PUSH__PUT", "aggregate"),
        ("TALLYGATE_AGGREGATION__ENABLED", "false"),
        ("TALLYGATE_LOG__LEVEL", "DEBUG"),
        ("TALLYGATE_LOG__FORMAT", "json"),
    ])
    .unwrap();
    assert_eq!(config.web.listen_address, ["127.0.0.1:1", "[::1]:2"]);
    assert_eq!(config.web.metrics_path(), "/p/1.50");
    assert!(config.web.enable_lifecycle && !config.aggregation.enabled);
    assert_eq!(config.web.max_body_bytes, 1_000);
    let proxies: Vec<String> = config.web.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["192.168.0.1/32", "fd00::/8"]);
    assert_eq!(config.web.allowed_hosts, ["gateway", "gateway:80"].map(|host| Host::parse(host).unwrap()));
    assert_eq!(config.persistence.file, "007");
    assert_eq!(config.persistence.interval, Duration::from_secs(5_400));
    assert_eq!((config.persistence.sync, config.push.put), (Sync::Interval, PutMode::Aggregate));
    assert_eq!((config.log.level, config.log.format), (LogLevel::Debug, LogFormat::Json));
}

#[test]
fn flags_go_over_environment_over_file_over_defaults() {
    let file = Temporary::new(
        "layers",
        "[web]\nlisten_address = [\":1\", \":2\"]\ntelemetry_path = \"/file\"\nenable_lifecycle = true\n\
         [log]\nlevel = \"debug\"\n",
    );
    let environment = environment(&[
        ("TALLYGATE_WEB__LISTEN_ADDRESS", ":3"),
        ("TALLYGATE_WEB__TELEMETRY_PATH", "/environment"),
    ]);
    let flags = vec![("web.listen_address", Value::from(vec![":4".to_owned()]))];
    let config = load(file.path(), &environment, flags, None).unwrap();
    assert_eq!(config.web.listen_address, [":4"]);
    assert_eq!(config.web.telemetry_path, "/environment");
    assert!(config.web.enable_lifecycle);
    assert_eq!(config.log.level, LogLevel::Debug);
    assert_eq!(config.persistence, crate::config::Persistence::default());
    assert_eq!(
        load(file.path(), &environment_of_three(), Vec::new(), None).unwrap().web.listen_address,
        [":3"]
    );
}

fn environment_of_three() -> HashMap<String, String> {
    environment(&[("TALLYGATE_WEB__LISTEN_ADDRESS", ":3")])
}

#[test]
fn what_is_not_set_follows_the_memory() {
    let file = Temporary::new("memory", "[limits]\nconnections = 7\n");
    let environment = environment(&[("TALLYGATE_WEB__MAX_BODY_BYTES", "0")]);
    let allowance = Allowance { bytes: 256 << 20, source: Source::Data };
    let config = load(file.path(), &environment, Vec::new(), Some(allowance)).unwrap();
    assert_eq!((config.limits.connections, config.web.max_body_bytes), (7, 0));
    assert_eq!((config.limits.store_bytes, config.limits.samples_per_push), (23_330_816, 10_240));
    assert_eq!(config.limits.series, Config::default().limits.series);
    let fitting = config.fitting.unwrap();
    let chosen: Vec<&str> = fitting.chosen.iter().map(|(key, _)| *key).collect();
    assert!(chosen.len() == 6 && chosen.contains(&"limits.store_bytes"), "{chosen:?}");
    assert!(fitting.need > 256 << 20, "a body without a limit needs more than there is");
    assert!(fitting.settings().starts_with("limits.store_bytes = 23330816, limits.body_bytes_in_flight = "));
}

#[test]
fn file_errors_name_line_column_key_and_what_was_expected() {
    for (name, text, message) in [
        (
            "unknown-key",
            "# x\n[web]\nlistn = 1\n",
            "line 3, column 1, key web.listn: unknown field `listn`, expected one of `listen_address`, \
             `config_file`, `systemd_socket`, `telemetry_path`, `external_url`, `route_prefix`, \
             `enable_lifecycle`, `enable_admin_api`, `max_body_bytes`, `shutdown_timeout`, \
             `trusted_proxies`, `allowed_hosts`",
        ),
        (
            "unknown-table",
            "[webb]\nx = 1\n",
            "line 1, column 2, key webb: unknown field `webb`, expected one of `web`, `persistence`, `push`, \
             `aggregation`, `exposition`, `telemetry`, `access`, `limits`, `log`",
        ),
        (
            "boolean",
            "[web]\n  enable_lifecycle = \"yes\"\n",
            "line 2, column 22, key web.enable_lifecycle: invalid type: string \"yes\", expected a boolean",
        ),
        (
            "network",
            "[web]\ntrusted_proxies = [\"10.0.0.0/8\", \"proxy\"]\n",
            "line 2, column 19, key web.trusted_proxies: \"proxy\" is no network, expected an address such as \
             \"::1\" or a network such as \"10.0.0.0/8\"",
        ),
        (
            "host",
            "[web]\nallowed_hosts = [\"gateway\", \"http://gateway\"]\n",
            "line 2, column 17, key web.allowed_hosts: \"http://gateway\" is no host, expected a name such as \
             \"pushgateway.example.com\", with or without a port, or an address such as \"10.0.0.1\" or \
             \"[::1]:9091\"",
        ),
        (
            "dotted",
            "web.enable_lifecycle = 1\n",
            "line 1, column 24, key web.enable_lifecycle: invalid type: integer `1`, expected a boolean",
        ),
        (
            "inline",
            "push = { put = \"x\" }\n",
            "line 1, column 16, key push.put: unknown value \"x\", expected \"replace\" or \"aggregate\"",
        ),
        (
            "level",
            "[log]\nlevel = \"é\"\nformat = \"json\"\n",
            "line 2, column 9, key log.level: unknown value \"é\", expected \"debug\" or \"info\" or \"warn\" or \
             \"error\"",
        ),
        (
            "duration",
            "[persistence]\ninterval = \"1d\"\n",
            "line 2, column 12, key persistence.interval: time: unknown unit \"d\" in duration \"1d\", expected a \
             duration such as \"30s\", \"5m\" or \"1h30m\"",
        ),
        (
            "duration-number",
            "[persistence]\ninterval = 300\n",
            "line 2, column 12, key persistence.interval: invalid type: integer `300`, expected a \
             duration such as \"30s\", \"5m\" or \"1h30m\"",
        ),
        (
            "negative",
            "[web]\nmax_body_bytes = -1\n",
            "line 2, column 18, key web.max_body_bytes: invalid value: integer `-1`, expected u64",
        ),
        (
            "address",
            "[web]\nlisten_address = [\":1\",\n  \"x\"]\n",
            "line 2, column 18, key web.listen_address: address x: missing port in address, expected \
             \"host:port\" or \":port\"",
        ),
        (
            "no-addresses",
            "[web]\nlisten_address = []\n",
            "line 2, column 18, key web.listen_address: invalid length 0, expected a list of addresses such as \
             [\":9091\"]",
        ),
        (
            "address-number",
            "[web]\nlisten_address = 9091\n",
            "line 2, column 18, key web.listen_address: invalid type: integer `9091`, expected a list of \
             addresses such as [\":9091\"]",
        ),
        (
            "url",
            "[web]\nexternal_url = \"::bad\"\n",
            "line 2, column 16, key web.external_url: invalid URL: parse \"::bad\": missing protocol scheme",
        ),
        (
            "no-table",
            "web = 1\n",
            "line 1, column 7, key web: invalid type: integer `1`, expected a table of settings",
        ),
        ("twice", "[log]\nlevel = \"info\"\nlevel = \"warn\"\n", "line 3, column 1: duplicate key"),
    ] {
        assert_eq!(file_error(name, text), message, "{text}");
    }
    let syntax = file_error("syntax", "[web]\nlisten_address = [\":1\"\n");
    assert!(syntax.starts_with("line ") && !syntax.contains('\n'), "{syntax}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error =
        load("/nonexistent/tallygate.toml", &HashMap::new(), Vec::new(), None).unwrap_err().to_string();
    assert!(error.starts_with("config file \"/nonexistent/tallygate.toml\": "), "{error}");
}

#[test]
fn environment_errors_name_the_variable() {
    for (variable, value, message) in [
        ("TALLYGATE_WEB__LISTN", "1", "unknown field `listn`, expected one of `listen_address`"),
        ("TALLYGATE_WEB_LISTEN_ADDRESS", ":1", "unknown field `web_listen_address`, expected one of `web`"),
        ("TALLYGATE_X", "1", "unknown field `x`, expected one of `web`"),
        ("TALLYGATE_WEB", "1", "invalid type"),
        ("TALLYGATE_", "1", ""),
        ("TALLYGATE_PORT", "9091", "unknown field `port`"),
        ("TALLYGATE_WEB__ENABLE_LIFECYCLE", "maybe", "expected a boolean"),
        ("TALLYGATE_WEB__MAX_BODY_BYTES", "1MB", "expected an integer"),
        ("TALLYGATE_PERSISTENCE__INTERVAL", "1d", "time: unknown unit \"d\" in duration \"1d\""),
        ("TALLYGATE_PERSISTENCE__SYNC", "x", "unknown value \"x\", expected \"push\" or \"interval\""),
        ("TALLYGATE_WEB__LISTEN_ADDRESS", ":1,x", "address x: missing port in address"),
    ] {
        let error = from_environment(&[(variable, value)]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("environment variable {variable}: ")), "{error}");
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn variables_that_are_no_settings_are_ignored() {
    let config = from_environment(&[
        ("TALLYGATE_TEST_ALL", "1"),
        ("TALLYGATE_TEST_NODE_MODULES", "/x"),
        ("TALLYGATE_CONFIG_FILE", ""),
        ("TALLYGATE_URL", "http://localhost:9091"),
        ("TALLYGATE_METRICS_FILE", "/x"),
        ("TALLYGATE_SERVICE_HOST", "10.0.0.1"),
        ("TALLYGATE_SERVICE_PORT", "9091"),
        ("TALLYGATE_SERVICE_PORT_HTTP", "9091"),
        ("TALLYGATE_PORT", "tcp://10.0.0.1:9091"),
        ("TALLYGATE_PORT_9091_TCP", "tcp://10.0.0.1:9091"),
        ("TALLYGATE_PORT_9091_TCP_ADDR", "10.0.0.1"),
        ("TALLYGATE_MAIN_SERVICE_HOST", "10.0.0.1"),
        ("TALLYGATE_MAIN_PORT", "tcp://10.0.0.1:9091"),
        ("OTHER", "x"),
    ]);
    assert_eq!(config.unwrap(), Config::default());
}

#[test]
fn what_is_not_there_yet_is_refused() {
    let (variable, value) = ("TALLYGATE_WEB__LISTEN_ADDRESS", ":1,vsock://:9091");
    let error = from_environment(&[(variable, value)]).unwrap_err().to_string();
    assert_eq!(error, format!("environment variable {variable}: vsock:// is not supported yet"));
}

#[test]
fn settings_that_do_not_fit_together_are_refused_where_they_are() {
    assert_eq!(
        file_error("taken", "[web]\nroute_prefix = \"p/\"\ntelemetry_path = \"status\"\n"),
        "line 3, column 18, key web.telemetry_path: path \"status\" is taken by the gateway itself"
    );
    assert_eq!(
        file_error("unsupported", "web.listen_address = [\"vsock://:1\"]\n"),
        "line 1, column 22, key web.listen_address: vsock:// is not supported yet"
    );
    let flags = vec![("web.telemetry_path", Value::from("m"))];
    let error = load("", &environment(&[]), flags, None).unwrap_err().to_string();
    assert_eq!(error, "web.telemetry_path: path \"m\" must begin with \"/\"");
    let config = from_environment(&[("TALLYGATE_WEB__ROUTE_PREFIX", "p/")]).unwrap();
    assert_eq!(config.web.route_prefix, "/p");
}
