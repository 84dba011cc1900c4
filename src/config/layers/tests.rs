//! Settings from files, variables and flags, and their errors.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::config::host::Host;
use crate::config::memory::Source;
use crate::config::rules::{GroupRule, MetricRule, Place, RuleFile};
use crate::config::settings::KEYS;
use crate::config::{LogFormat, LogLevel, PutMode, RelabelAction, Sync};

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
    // Rules have no defaults, and a test of their own.
    let (of_settings, _) = sample.split_once("\n# Rules\n").unwrap();
    let is_setting = |rest: &&str| rest.starts_with(|c: char| c.is_ascii_lowercase());
    let enabled: String = of_settings
        .lines()
        .map(|line| line.strip_prefix('#').filter(is_setting).unwrap_or(line))
        .flat_map(|line| [line, "\n"])
        .collect();
    let settings = |text: &str| file::parse(text).map(|(config, _)| config);
    assert_eq!(settings(sample).unwrap(), Config::default());
    assert_eq!(settings(&enabled).unwrap(), Config::default());
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

/// The keys of a list of rules, as the error for one that is not known names them.
fn known_keys(list: &str) -> Vec<String> {
    let message = file::parse(&format!("[[{list}]]\nunknown = 1")).unwrap_err().message().to_owned();
    let (_, known) = message.split_once("expected one of ").unwrap();
    let mut keys: Vec<String> = known.split(", ").map(|key| key.trim_matches('`').to_owned()).collect();
    keys.sort();
    keys
}

#[test]
fn the_sample_file_holds_every_key_of_rules_with_its_default() {
    let sample = include_str!("../../../config/tallygate.toml");
    assert_eq!(file::parse(sample).unwrap().1, RuleFile::default());
    let mut defaults = String::new();
    for list in ["groups", "metrics"] {
        let start = format!("\n#[[{list}]]\n");
        let (_, rule) = sample.split_once(&start).unwrap_or_else(|| panic!("no list of {list}"));
        let rule = rule.split("\n#[[").next().unwrap();
        let is_key = |key: &str| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let lines = rule.lines().filter_map(|line| line.strip_prefix('#')?.split_once(" = "));
        let lines = lines.filter(|(key, _)| is_key(key.strip_prefix(' ').unwrap_or(key)));
        let mut keys: Vec<String> = lines.clone().map(|(key, _)| key.trim().to_owned()).collect();
        keys.sort();
        assert_eq!(keys, known_keys(list), "config/tallygate.toml beside the keys of {list}");
        // Those without a default have an example behind a blank.
        let with_default = lines.filter(|(key, _)| !key.starts_with(' '));
        let with_default: String = with_default.map(|(key, value)| format!("{key} = {value}\n")).collect();
        defaults += &format!("[[{list}]]\nmatch = 'x'\n{with_default}");
    }
    let (_, rules) = file::parse(&defaults).unwrap_or_else(|error| panic!("{defaults}{error}"));
    let (group, metric) = (&rules.groups[0].value, &rules.metrics[0].value);
    assert_eq!(*group, GroupRule { selector: group.selector.clone(), ..GroupRule::new("x") });
    assert_eq!(*metric, MetricRule { selector: metric.selector.clone(), ..MetricRule::new("x") });
}

#[test]
fn rules_come_from_the_file_with_their_places() {
    let text = "[web]\nroute_prefix = \"/p\"\n\n[[groups]]\nmatch = '{job=\"é\"}'\nput = \"aggregate\"\n\
                relabel = [{ action = \"LabelDrop\", regex = \"é\" }, { source_labels = [\"é\", \"b\"], \
                target_label = \"c\", separator = \"\", replacement = \"$1\", modulus = 7 }]\nttl = \"1h\"\n\
                [[groups]]\nmatch = 'x'\n  [[metrics]]\nmatch = \"m\"\nmerge = \"sum\"\n\
                temporality = \"auto\"\nobserve = { buckets = [1, 2.5] }\n";
    let file = Temporary::new("rules", text);
    let config = load(file.path(), &HashMap::new(), Vec::new(), None).unwrap();
    assert_eq!(config.web.route_prefix, "/p");
    let RuleFile { path, fingerprint, groups, metrics } = config.rules;
    assert_eq!((&*path, groups.len(), metrics.len()), (file.path(), 2, 1));
    assert_eq!(fingerprint.len(), 64);
    // Where the text is: no value is what another one is too, but for `é`.
    let at = |place: Place, text_there: &str| {
        let line = text.lines().nth(place.line - 1).unwrap();
        let rest: String = line.chars().skip(place.column - 1).collect();
        assert!(rest.starts_with(text_there), "{place:?} is {rest}, not {text_there}");
    };
    let rule = &groups[0].value;
    at(groups[0].place, "[[groups]]");
    at(rule.selector.place, "'{job=");
    assert_eq!((&*rule.selector.value, rule.put), ("{job=\"é\"}", Some(PutMode::Aggregate)));
    assert_eq!((rule.ttl, rule.source_ttl, rule.accept), (Duration::from_secs(3600), Duration::ZERO, true));
    at(rule.relabel[0].place, "{ action");
    let step = &rule.relabel[0].value;
    assert_eq!(step.action.as_ref().unwrap().value, RelabelAction::LabelDrop);
    at(step.action.as_ref().unwrap().place, "\"LabelDrop");
    at(step.regex.as_ref().unwrap().place, "\"é\" }");
    let step = &rule.relabel[1].value;
    at(rule.relabel[1].place, "{ source_labels");
    let labels = step.source_labels.as_ref().unwrap();
    at(labels.place, "[\"é\"");
    at(labels.value[0].place, "\"é\", \"b\"]");
    at(labels.value[1].place, "\"b\"]");
    at(step.target_label.as_ref().unwrap().place, "\"c\"");
    at(step.separator.as_ref().unwrap().place, "\"\", repl");
    at(step.replacement.as_ref().unwrap().place, "\"$1\"");
    at(step.modulus.as_ref().unwrap().place, "7 }");
    assert_eq!((groups[1].place.line, &*groups[1].value.selector.value), (9, "x"));
    let rule = &metrics[0].value;
    at(metrics[0].place, "[[metrics]]");
    assert_eq!((metrics[0].place.line, metrics[0].place.column), (11, 3));
    at(rule.selector.place, "\"m\"");
    at(rule.merge.as_ref().unwrap().place, "\"sum");
    at(rule.temporality.as_ref().unwrap().place, "\"auto");
    let observe = rule.observe.as_ref().unwrap();
    at(observe.place, "{ buckets");
    let buckets = observe.value.buckets.as_ref().unwrap();
    at(buckets.place, "[1, 2.5]");
    at(buckets.value[0].place, "1, 2.5");
    at(buckets.value[1].place, "2.5]");
    // What is in the environment counts beside them.
    let environment = environment(&[("TALLYGATE_PUSH__PUT", "aggregate")]);
    assert_eq!(load(file.path(), &environment, Vec::new(), None).unwrap().rules.groups.len(), 2);
}

#[test]
fn wrong_rules_are_named_with_their_place() {
    for (text, message) in [
        (
            "[[groups]]\nmatch = 'x'\n ttll = \"1h\"\n",
            "line 3, column 2, key groups.ttll: unknown field `ttll`, expected one of `match`, `relabel`, `source`, \
             `put`, `ttl`, `source_ttl`, `max_series`, `overflow`, `accept`, `headers`",
        ),
        ("[[groups]]\nttl = \"1h\"\n", "line 1, column 1, key groups: missing field `match`"),
        (
            "[[groups]]\nmatch = 1\n",
            "line 2, column 9, key groups.match: invalid type: integer `1`, expected a string",
        ),
        (
            "[[groups]]\nmatch = 'x'\nttl = \"1q\"\n",
            "line 3, column 7, key groups.ttl: time: unknown unit \"q\" in duration \"1q\", expected a duration \
             such as \"30s\", \"5m\" or \"1h30m\"",
        ),
        (
            "[[groups]]\nmatch = 'x'\nmax_series = -1\n",
            "line 3, column 14, key groups.max_series: invalid value: integer `-1`, expected u64",
        ),
        (
            "[[groups]]\nmatch = 'x'\noverflow = \"drop\"\n",
            "line 3, column 12, key groups.overflow: unknown value \"drop\", expected \"refuse\" or \"fold\"",
        ),
        (
            "[[metrics]]\nmatch = 'x'\nmerge = \"median\"\n",
            "line 3, column 9, key metrics.merge: unknown value \"median\", expected \"last\" or \"add\" or \
             \"least\" or \"greatest\" or \"sum\" or \"min\" or \"max\" or \"mean\" or \"count\"",
        ),
        (
            "[[metrics]]\nmatch = 'x'\nrelabel = [{ actoin = \"drop\" }]\n",
            "line 3, column 14, key metrics.relabel.actoin: unknown field `actoin`, expected one of `source_labels`, \
             `separator`, `regex`, `modulus`, `target_label`, `replacement`, `action`",
        ),
        (
            "[[metrics]]\nmatch = 'x'\nrelabel = { action = \"drop\" }\n",
            "line 3, column 11, key metrics.relabel: invalid type: map, expected a sequence",
        ),
        (
            "[[metrics]]\nmatch = 'x'\nobserve = { buckets = [\"1\"] }\n",
            "line 3, column 24, key metrics.observe.buckets: invalid type: string \"1\", expected f64",
        ),
        ("groups = 1\n", "line 1, column 10, key groups: invalid type: integer `1`, expected a sequence"),
        // Settings are checked first.
        (
            "[[groups]]\n[push]\nputt = 1\n",
            "line 3, column 1, key push.putt: unknown field `putt`, expected one of `disable_consistency_check`, \
             `enable_utf8_names`, `put`, `idempotency_window`, `idempotency_keys`, `require_final_newline`, \
             `default_job`, `clearmode`",
        ),
        // Readers can't hold it.
        (
            "[limits]\nseries = 9223372036854775808\n",
            "line 2, column 10, key limits.series: the number is too large, expected at most 9223372036854775807",
        ),
        (
            "[[metrics]]\nmatch = 'x'\nobserve = { buckets = [1, 0xFFFFFFFFFFFFFFFF] }\n",
            "line 3, column 27, key metrics.observe.buckets: the number is too large, expected at most \
             9223372036854775807",
        ),
    ] {
        assert_eq!(file_error("wrong-rules", text), message, "{text}");
    }
    let error = from_environment(&[("TALLYGATE_GROUPS", "x")]).unwrap_err().to_string();
    assert!(error.starts_with("environment variable TALLYGATE_GROUPS: "), "{error}");
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
