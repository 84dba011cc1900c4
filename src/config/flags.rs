//! The command line: every flag of the stock gateway with its spelling and default, and Tallygate's
//! own flags.
//!
//! Turns arguments and environment into an [`Invocation`]. Never prints and never exits. `settings` declares the
//! flags of settings, `grammar` splits the arguments, and `layers` reads the file and the environment.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::LazyLock;

use config::Value;
use thiserror::Error;

use super::address::{self, AddressError};
use super::build::build_info;
use super::choices::{LogFormat, LogLevel};
use super::duration::{self, DurationError};
use super::external_url::{self, UrlError};
use super::flag::{Flag, Kind};
use super::layers::{self, CONFIG_FILE_VARIABLE, Override};
use super::memory::Allowance;
use super::settings::{self, Config, SettingFlag};
use grammar::{Given, Parsed};

pub use super::layers::ConfigError;
pub use grammar::GrammarError;

mod grammar;
mod help;

const HELP: &str = "help";
const HELP_LONG: &str = "help-long";
const HELP_MAN: &str = "help-man";
const COMPLETION: &str = "completion-bash";
const SCRIPT_BASH: &str = "completion-script-bash";
const SCRIPT_ZSH: &str = "completion-script-zsh";
const VERSION: &str = "version";
pub(super) const CONFIG_FILE: &str = "config.file";
const CONFIG_CHECK: &str = "config.check";
const SYSTEMD_SOCKET: &str = "web.systemd-socket";

/// A flag that is not a setting.
const fn program_flag(name: &'static str, kind: Kind, help: &'static str) -> Flag {
    Flag { name, short: None, kind, key: "", default: String::new(), help }
}

/// All flags, in the order of the help.
static FLAGS: LazyLock<Vec<Flag>> = LazyLock::new(|| {
    let switch = |name, help| program_flag(name, Kind::Switch, help);
    let before = [
        Flag {
            short: Some('h'),
            ..switch(HELP, "Show context-sensitive help (also try --help-long and --help-man).")
        },
        switch(HELP_LONG, ""),
        switch(HELP_MAN, ""),
        switch(COMPLETION, ""),
        switch(SCRIPT_BASH, ""),
        switch(SCRIPT_ZSH, ""),
        program_flag(
            CONFIG_FILE,
            Kind::Text,
            "TOML file with settings. The environment (TALLYGATE_...) goes over it, flags go over both.",
        ),
        switch(CONFIG_CHECK, "Check all settings, say whether they are valid, and exit."),
    ];
    let after = [switch(VERSION, "Show application version.")];
    before.into_iter().chain(of_settings()).chain(after).collect()
});

/// The flags of settings, in the order of the settings. The flag for systemd comes first, because
/// the exporter toolkit, from which the stock gateway takes its web flags, shows it first.
fn of_settings() -> Vec<Flag> {
    let defaults = Config::default();
    let mut flags: Vec<Flag> = settings::FLAGS
        .iter()
        .map(|&SettingFlag { name, kind, help, key, value }| {
            let default = value(&defaults).as_default();
            Flag { name, short: None, kind, key, default, help }
        })
        .collect();
    flags.sort_by_key(|flag| flag.name != SYSTEMD_SOCKET);
    flags
}

/// A flag as manual pages and completions show it.
#[derive(Clone, Debug)]
pub struct Documented {
    /// The name, without dashes.
    pub name: &'static str,
    /// Its one letter.
    pub short: Option<char>,
    /// What it does.
    pub help: &'static str,
    /// The placeholder for its value, if it has one.
    pub value: Option<&'static str>,
    /// The values to choose from; empty if any text may be one.
    pub values: &'static [&'static str],
    /// The value if the flag is not given.
    pub default: &'static str,
}

/// The flags that the help shows.
pub fn documented() -> impl Iterator<Item = Documented> {
    FLAGS.iter().filter(|flag| !flag.help.is_empty()).map(|flag| {
        let &Flag { name, short, kind, ref default, help, .. } = flag;
        let value = match kind {
            Kind::Switch => None,
            Kind::Addresses => Some("ADDRESS"),
            Kind::Url => Some("URL"),
            Kind::Duration => Some("DURATION"),
            Kind::LogLevel => Some("LEVEL"),
            Kind::LogFormat => Some("FORMAT"),
            Kind::Text if name.ends_with("file") => Some("FILE"),
            Kind::Text => Some("PATH"),
        };
        Documented { name, short, help, value, values: kind.values(), default }
    })
}

/// What the program is asked to do.
#[derive(Debug)]
pub enum Invocation {
    /// Serve with these settings.
    Run(Box<Config>),
    /// The settings are valid. Check the files that they name, then print this on stdout and exit with 0.
    Check {
        /// The settings.
        config: Box<Config>,
        /// What to print.
        text: String,
    },
    /// Print this on stdout and exit with 0.
    Print(String),
}

/// Why the program does not start. The text is the whole line for stderr, without its end.
#[derive(Debug, Error)]
pub enum StartError {
    /// The command line is wrong.
    #[error("{program}: error: {cause}, try --help")]
    Usage {
        /// The name by which the program was called.
        program: String,
        /// What is wrong.
        #[source]
        cause: UsageError,
    },
    /// A setting from a flag, the environment or the file is wrong.
    #[error("{program}: error: {cause}")]
    Config {
        /// The name by which the program was called.
        program: String,
        /// What is wrong.
        #[source]
        cause: ConfigError,
    },
}

impl StartError {
    /// The exit code of the program; kingpin's for a wrong command line.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        1
    }
}

/// What is wrong with a command line, with the messages of the stock gateway.
#[derive(Debug, Error)]
pub enum UsageError {
    /// A flag is unknown, or lacks its value.
    #[error(transparent)]
    Grammar(#[from] GrammarError),
    /// A flag that may be given only once was given again.
    #[error("flag '{0}' cannot be repeated")]
    Repeated(&'static str),
    /// The value of `--log.level`.
    #[error("unrecognized log level {0}")]
    LogLevel(String),
    /// The value of `--log.format`.
    #[error("unrecognized log format {0}")]
    LogFormat(String),
    /// The value of a flag for a duration.
    #[error(transparent)]
    Duration(#[from] DurationError),
    /// The value of `--web.external-url`.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// A value of `--web.listen-address`.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Settings are text, so a file name that is not UTF-8 can't be kept.
    #[error("argument {0:?} is not valid UTF-8")]
    NotText(OsString),
}

/// Reads arguments, the program's name first, and environment variables. Limits that are not set follow the memory
/// that the system allows.
///
/// # Errors
///
/// If the command line or any setting is wrong.
pub fn invocation(
    args: impl Iterator<Item = OsString>,
    env: impl Iterator<Item = (String, String)>,
    allowance: Option<Allowance>,
) -> Result<Invocation, StartError> {
    let mut args = args;
    let program = args
        .next()
        .as_deref()
        .map(Path::new)
        .and_then(Path::file_name)
        .map_or_else(|| env!("CARGO_PKG_NAME").to_owned(), |name| name.to_string_lossy().into_owned());
    let usage = |cause| StartError::Usage { program: program.clone(), cause };
    let arguments = args
        .map(|argument| argument.into_string().map_err(UsageError::NotText))
        .collect::<Result<Vec<_>, _>>()
        .map_err(usage)?;
    let Parsed { given, error } = grammar::parse(&FLAGS, arguments.clone());
    if let Some(text) = text_before_errors(&program, &given, &arguments) {
        return Ok(Invocation::Print(text));
    }
    if let Some(error) = error {
        return Err(usage(error.into()));
    }
    if is_given(&given, HELP) {
        return Ok(Invocation::Print(help::usage(&program, &FLAGS)));
    }
    let overrides = overrides(&given).map_err(usage)?;
    let environment: HashMap<String, String> = env.collect();
    let file = config_file(&given, &environment);
    match layers::load(&file, &environment, overrides, allowance) {
        Err(cause) => Err(StartError::Config { program, cause }),
        Ok(config) if check_only(&given) => {
            Ok(Invocation::Check { config: Box::new(config), text: format!("{}\n", valid(&file)) })
        }
        Ok(config) => Ok(Invocation::Run(Box::new(config))),
    }
}

/// The output of the first flag that kingpin obeys even if the rest of the command line is wrong.
fn text_before_errors(program: &str, given: &[Given], arguments: &[String]) -> Option<String> {
    if is_given(given, COMPLETION)
        && !given.iter().any(|flag| flag.flag.name == COMPLETION && flag.value == "false")
    {
        let words = arguments.iter().skip_while(|argument| *argument != "--completion-bash").skip(1);
        let words: Vec<String> = words.skip_while(|word| *word == "--").cloned().collect();
        return Some(help::completion(&FLAGS, &words));
    }
    given.iter().find_map(|given| match given.flag.name {
        // The long help also shows commands, of which there are none.
        HELP_LONG => Some(help::usage(program, &FLAGS)),
        HELP_MAN => Some(help::manual(program, &FLAGS, &build_info())),
        SCRIPT_BASH => Some(help::bash_script(program)),
        SCRIPT_ZSH => Some(help::zsh_script(program)),
        VERSION => Some(help::version(&build_info())),
        _ => None,
    })
}

fn is_given(given: &[Given], name: &str) -> bool {
    given.iter().any(|given| given.flag.name == name)
}

fn check_only(given: &[Given]) -> bool {
    given.iter().any(|given| given.flag.name == CONFIG_CHECK && given.value == "true")
}

fn valid(file: &str) -> String {
    if file.is_empty() {
        "OK: settings are valid".to_owned()
    } else {
        format!("OK: settings are valid, with {file}")
    }
}

fn config_file(given: &[Given], environment: &HashMap<String, String>) -> String {
    match given.iter().find(|given| given.flag.name == CONFIG_FILE) {
        Some(given) => given.value.clone(),
        None => environment.get(CONFIG_FILE_VARIABLE).cloned().unwrap_or_default(),
    }
}

/// The settings among the given flags; the first wrong one is the error, as with kingpin.
fn overrides(given: &[Given]) -> Result<Vec<Override>, UsageError> {
    let mut overrides: Vec<Override> = Vec::new();
    let mut addresses: Vec<String> = Vec::new();
    for (position, Given { flag, value }) in given.iter().enumerate() {
        if flag.kind == Kind::Addresses {
            address::check_listen_address(value)?;
            addresses.push(value.clone());
            continue;
        }
        if is_given(&given[..position], flag.name) {
            return Err(UsageError::Repeated(flag.name));
        }
        check_value(flag.kind, value)?;
        if !flag.key.is_empty() {
            overrides.push((flag.key, Value::from(value.as_str())));
        }
    }
    if !addresses.is_empty() {
        overrides.push(("web.listen_address", Value::from(addresses)));
    }
    Ok(overrides)
}

fn check_value(kind: Kind, value: &str) -> Result<(), UsageError> {
    match kind {
        Kind::Switch | Kind::Text | Kind::Addresses => {}
        Kind::Url => _ = external_url::path(value)?,
        Kind::Duration => _ = duration::parse(value)?,
        Kind::LogLevel => {
            LogLevel::try_from(value.to_owned()).map_err(|_| UsageError::LogLevel(value.to_owned()))?;
        }
        Kind::LogFormat => {
            LogFormat::try_from(value.to_owned()).map_err(|_| UsageError::LogFormat(value.to_owned()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
