//! What the program does with a command line.

use super::*;

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Invocation, StartError> {
    let arguments =
        std::iter::once("/usr/bin/tallygate").chain(arguments.iter().copied()).map(OsString::from);
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    invocation(arguments, environment, None)
}

fn config(arguments: &[&str]) -> Config {
    match run(arguments, &[]) {
        Ok(Invocation::Run(config)) => *config,
        other => panic!("{arguments:?}: {other:?}"),
    }
}

fn printed(arguments: &[&str]) -> String {
    match run(arguments, &[]) {
        Ok(Invocation::Print(text)) => text,
        other => panic!("{arguments:?}: {other:?}"),
    }
}

fn error(arguments: &[&str]) -> String {
    run(arguments, &[]).unwrap_err().to_string()
}

#[test]
fn no_flags_are_the_defaults() {
    assert_eq!(config(&[]), Config::default());
}

#[test]
fn the_help_shows_the_defaults_in_force() {
    let in_force = Config::default().startup_flags();
    for flag in FLAGS.iter().filter(|flag| !matches!(flag.kind, Kind::Switch | Kind::Duration)) {
        assert_eq!(in_force[flag.name], flag.default, "{}", flag.name);
    }
}

#[test]
fn startup_flags_are_all_that_do_not_make_the_program_stop() {
    let in_force = Config::default().startup_flags();
    let stopping = [HELP, HELP_LONG, HELP_MAN, COMPLETION, SCRIPT_BASH, SCRIPT_ZSH, VERSION, CONFIG_CHECK];
    let mut names: Vec<&str> =
        FLAGS.iter().map(|flag| flag.name).filter(|name| !stopping.contains(name)).collect();
    names.sort_unstable();
    assert_eq!(in_force.keys().map(String::as_str).collect::<Vec<_>>(), names);
}

#[test]
fn every_flag_reaches_its_setting() {
    let flags = config(&[
        "--web.listen-address=127.0.0.1:1",
        "--web.listen-address",
        "[::1]:2",
        "--web.telemetry-path=m",
        "--web.external-url=http://x/y",
        "--web.route-prefix=p/",
        "--web.enable-lifecycle",
        "--web.enable-admin-api",
        "--no-web.systemd-socket",
        "--web.config.file=",
        "--persistence.file=007",
        "--persistence.interval=90s",
        "--push.disable-consistency-check",
        "--push.enable-utf8-names",
        "--no-push.aggregate",
        "--log.level=WARN",
        "--log.format=json",
    ])
    .startup_flags();
    for (name, value) in [
        ("web.listen-address", "127.0.0.1:1,[::1]:2"),
        ("web.telemetry-path", "m"),
        ("web.external-url", "http://x/y"),
        ("web.route-prefix", "/p"),
        ("web.enable-lifecycle", "true"),
        ("web.enable-admin-api", "true"),
        ("web.systemd-socket", "false"),
        ("web.config.file", ""),
        ("persistence.file", "007"),
        ("persistence.interval", "1m30s"),
        ("push.disable-consistency-check", "true"),
        ("push.enable-utf8-names", "true"),
        ("push.aggregate", "false"),
        ("log.level", "warn"),
        ("log.format", "json"),
    ] {
        assert_eq!(flags[name], value, "{name}");
    }
}

/// The messages were recorded from the stock gateway 1.11.2.
#[test]
fn wrong_values_are_refused_in_the_words_of_stock() {
    for (arguments, message) in [
        (&["--persistence.file=a", "--persistence.file=a"][..], "flag 'persistence.file' cannot be repeated"),
        (
            &["--web.enable-lifecycle", "--no-web.enable-lifecycle"],
            "flag 'web.enable-lifecycle' cannot be repeated",
        ),
        (&["--log.level=INFO", "--log.level=debug"], "flag 'log.level' cannot be repeated"),
        (&["--log.level=foo"], "unrecognized log level foo"),
        (&["--log.level=warning"], "unrecognized log level warning"),
        (&["--log.level="], "unrecognized log level "),
        (&["--log.format=JSON"], "unrecognized log format JSON"),
        (&["--log.format=x", "--log.level=y"], "unrecognized log format x"),
        (&["--log.level=y", "--log.format=x"], "unrecognized log level y"),
        (&["--persistence.interval=1d"], r#"time: unknown unit "d" in duration "1d""#),
        (&["--web.external-url=::bad"], r#"invalid URL: parse "::bad": missing protocol scheme"#),
        (&["--log.level=x", "--bogus"], "unknown long flag '--bogus'"),
        (&["-p"], "unknown short flag '-p'"),
    ] {
        assert_eq!(error(arguments), format!("tallygate: error: {message}, try --help"));
    }
}

#[test]
fn wrong_settings_are_refused() {
    for (arguments, message) in [
        (
            &["--web.telemetry-path=/status"][..],
            "web.telemetry_path: path \"/status\" is taken by the gateway itself",
        ),
        (&["--web.listen-address=vsock://:9091"], "web.listen_address: vsock:// is not supported yet"),
        (&["--web.listen-address=x"], "address x: missing port in address, try --help"),
        (&["--web.listen-address=:1,:2"], "address :1,:2: too many colons in address, try --help"),
        (&["--persistence.interval=-5m"], "time: negative duration \"-5m\", try --help"),
    ] {
        assert_eq!(error(arguments), format!("tallygate: error: {message}"));
    }
    assert_eq!(run(&["--bogus"], &[]).unwrap_err().exit_code(), 1);
}

/// Orders were recorded from the stock gateway 1.11.2.
#[test]
fn printing_comes_before_or_after_errors_as_in_stock() {
    let help = printed(&["--help"]);
    for arguments in [
        &["-h"][..],
        &["--no-help"],
        &["--log.level=foo", "--help"],
        &["--help", "-h"],
        &["--help-long", "foo"],
    ] {
        assert_eq!(printed(arguments), help, "{arguments:?}");
    }
    let version = printed(&["--version"]);
    for arguments in [
        &["--version", "--bogus"][..],
        &["--help", "--version"],
        &["--log.level=foo", "--version"],
        &["--no-version"],
    ] {
        assert_eq!(printed(arguments), version, "{arguments:?}");
    }
    for arguments in [
        &["--help", "foo"][..],
        &["--help", "--bogus"],
        &["--bogus", "--version"],
        &["--no-completion-bash", "x"],
    ] {
        assert!(error(arguments).ends_with(", try --help"), "{arguments:?}");
    }
}

#[test]
fn the_help_has_the_shape_of_kingpin() {
    let help = printed(&["--help"]);
    assert!(help.starts_with("usage: tallygate [<flags>]\n\nA Prometheus Pushgateway that adds"), "{help}");
    for line in [
        "  -h, --[no-]help                Show context-sensitive help (also try",
        "      --web.listen-address=:9091 ...",
        "      --[no-]web.enable-lifecycle",
        "                                 Enable shutdown via HTTP request.",
        "      --web.config.file=\"\"       Path to configuration file that can enable TLS",
        "      --persistence.interval=5m  The minimum interval at which to write out the",
        "      --[no-]push.aggregate      Add up counters and histograms across pushes.",
        "      --[no-]version             Show application version.",
    ] {
        assert!(help.lines().any(|shown| shown == line), "{line}\n{help}");
    }
    let too_long = |line: &&str| line.len() > 80 && !line.contains("https://");
    assert_eq!(help.lines().find(too_long), None);
    assert!(!help.contains("--completion"));
}

#[test]
fn the_version_has_the_shape_of_stock() {
    let text = printed(&["--version"]);
    let lines: Vec<&str> = text.lines().collect();
    let first = format!("tallygate, version {} (branch: ", env!("CARGO_PKG_VERSION"));
    assert!(lines[0].starts_with(&first), "{text}");
    let names: Vec<&str> = lines[1..].iter().map(|line| line[..20].trim_end()).collect();
    assert_eq!(names, ["  build user:", "  build date:", "  rust version:", "  platform:", "  tags:"]);
}

#[test]
fn completion_knows_flags_and_values() {
    assert!(printed(&["--completion-bash", "--", "--web.c"]).contains("\n--web.config.file\n"));
    assert!(printed(&["--completion-bash", "--bogus"]).starts_with("--help\n"));
    assert_eq!(printed(&["--completion-bash", "--", "--log.level", ""]), "debug\ninfo\nwarn\nerror\n");
    assert_eq!(printed(&["--completion-bash", "--", "--persistence.file", ""]), "\n");
    assert!(printed(&["--completion-script-bash"]).contains("complete -F _tallygate_bash_autocomplete"));
    assert!(printed(&["--completion-script-zsh"]).starts_with("#compdef tallygate\n"));
    assert!(printed(&["--help-man"]).starts_with(".TH tallygate 1 "));
}

#[test]
fn the_check_says_whether_settings_are_valid() {
    assert!(
        matches!(run(&["--config.check"], &[]), Ok(Invocation::Check { text, .. }) if text == "OK: settings are valid\n")
    );
    assert!(matches!(run(&["--no-config.check"], &[]), Ok(Invocation::Run(_))));
    assert!(run(&["--config.check", "--web.telemetry-path=m"], &[]).is_err());
}

#[test]
fn the_file_comes_from_the_flag_or_else_from_the_environment() {
    let variable = [(CONFIG_FILE_VARIABLE, "/nonexistent/variable")];
    assert!(run(&[], &variable).unwrap_err().to_string().contains("/nonexistent/variable"));
    let flag = ["--config.file=/nonexistent/flag"];
    assert!(run(&flag, &variable).unwrap_err().to_string().contains("/nonexistent/flag"));
    assert!(run(&["--config.file="], &variable).is_ok());
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/config/tallygate.toml");
    assert_eq!(config(&["--config.file", sample]).startup_flags()["config.file"], sample);
}

#[cfg(unix)]
#[test]
fn arguments_must_be_text() {
    use std::os::unix::ffi::OsStringExt as _;

    let arguments = [OsString::from("tallygate"), OsString::from_vec(vec![0xff])];
    let error = invocation(arguments.into_iter(), std::iter::empty(), None).unwrap_err().to_string();
    assert_eq!(error, "tallygate: error: argument \"\\xFF\" is not valid UTF-8, try --help");
}
