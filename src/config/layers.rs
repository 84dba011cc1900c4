//! Reads the settings from their sources, each of which overrides the one before: defaults, TOML file, environment,
//! flags.
//!
//! The file is read twice with the same types. First `toml` checks it, because its errors know line and column. Then
//! `config` merges the sources, but does not know where values were written. Environment variables are checked one by
//! one, so that an error names the variable.

use std::collections::HashMap;

use config::builder::{ConfigBuilder, DefaultState};
use config::{Environment, Value};

use super::flag::Kind;
use super::memory::Allowance;
use super::origin::{Origin, Origins};
use super::rules::RuleFile;
use super::settings::{self, Config};
use super::{address, fitting, hidden};
use error::Problem;

pub use error::ConfigError;
pub(super) use variables::CONFIG_FILE_VARIABLE;

mod error;
mod file;
mod variables;

/// A value from a flag, with its dotted key.
pub(super) type Override = (&'static str, Value);

/// Merges the sources and checks the result. `path` is empty if there is no file. With an `allowance`, limits that are
/// not set follow the memory.
pub(super) fn load(
    path: &str,
    environment: &HashMap<String, String>,
    flags: Vec<Override>,
    allowance: Option<Allowance>,
) -> Result<Config, ConfigError> {
    let mut builder = config::Config::builder();
    let (text, rules) = if path.is_empty() { Default::default() } else { file::read_strictly(path)? };
    builder = builder.add_source(file::Settings::of(&text));
    let variables = variables::settings(environment);
    for (name, value) in &variables {
        let source = variables::source(name, value);
        check_variable(name, source.clone())?;
        builder = builder.add_source(source);
    }
    let mut origins = Origins::default();
    file::lines(&text).for_each(|(key, line)| origins.set(key, Origin::File { line }));
    for (name, _) in &variables {
        let set = variables::keys_of(name);
        set.for_each(|key| origins.set(key, Origin::Environment { variable: (*name).clone() }));
    }
    let given: Vec<&str> = flags.iter().map(|(key, _)| *key).collect();
    for (key, value) in &flags {
        origins.set(key, Origin::Flag { name: flag_of(key, value) });
    }
    for (key, value) in flags {
        builder = builder.set_override(key, value).map_err(Box::new)?;
    }
    let set = builder.clone();
    for (key, value) in allowance.iter().flat_map(|allowance| fitting::defaults(allowance.bytes)) {
        builder = builder.set_default(key, value).map_err(Box::new)?;
    }
    let mut config = build(builder).map_err(|error| Box::new(without_value(&error)))?;
    config.config_file = path.to_owned();
    config.rules = rules;
    if let Some(allowance) = allowance {
        let set = set.build().map_err(|error| Box::new(without_value(&error)))?;
        let is_set = |key: &str| set.get::<Value>(key).is_ok();
        let fitting = fitting::chosen(&config, allowance, is_set);
        fitting.chosen.iter().for_each(|(key, _)| origins.set(key, Origin::Memory));
        config.fitting = Some(fitting);
    }
    config.origins = origins;
    finish(config).map_err(|problem| {
        if given.contains(&problem.key) {
            return ConfigError::Setting(problem);
        }
        match variables.iter().find(|(name, _)| name.eq_ignore_ascii_case(&variables::of_key(problem.key))) {
            Some((name, _)) => ConfigError::Variable {
                variable: (*name).clone(),
                source: Box::new(config::ConfigError::Message(problem.message)),
            },
            None => file::placed(path, &text, problem),
        }
    })
}

/// The flag that gives a setting this value, without its dashes.
fn flag_of(key: &str, value: &Value) -> String {
    let Some(flag) = settings::FLAGS.iter().find(|flag| flag.key == key) else { return key.to_owned() };
    let is_off = flag.kind == Kind::Switch && value.clone().into_bool().is_ok_and(|is_on| !is_on);
    format!("{}{}", if is_off { "no-" } else { "" }, flag.name)
}

/// The rules of a settings file, whose settings are checked too but not used.
///
/// # Errors
///
/// When the file can't be read or is wrong.
pub fn read_rules(path: &str) -> Result<RuleFile, ConfigError> {
    file::read_strictly(path).map(|(_, rules)| rules)
}

fn build(builder: ConfigBuilder<DefaultState>) -> Result<Config, config::ConfigError> {
    builder.build()?.try_deserialize()
}

fn check_variable(name: &str, source: Environment) -> Result<(), ConfigError> {
    build(config::Config::builder().add_source(source)).map(|_| ()).map_err(|error| {
        let source =
            Box::new(if hidden::is_hidden(&variables::key_of(name)) { without_value(&error) } else { error });
        ConfigError::Variable { variable: name.to_owned(), source }
    })
}

fn without_value(error: &config::ConfigError) -> config::ConfigError {
    config::ConfigError::Message(hidden::without_value(&error.to_string()))
}

/// Computes the route prefix and checks settings that depend on each other.
fn finish(mut config: Config) -> Result<Config, Problem> {
    refuse_unsupported(&config)?;
    let web = &mut config.web;
    web.route_prefix = address::route_prefix(&web.route_prefix, &web.external_url)
        .map_err(|error| Problem { key: "web.external_url", message: error.to_string() })?;
    address::check_telemetry_path(&web.route_prefix, &web.telemetry_path)
        .map_err(|error| Problem { key: "web.telemetry_path", message: error.to_string() })?;
    Ok(config)
}

/// Refuses settings of the stock gateway that are not supported.
fn refuse_unsupported(config: &Config) -> Result<(), Problem> {
    if config.web.listen_address.iter().any(|address| address::is_vsock(address)) {
        return Err(Problem {
            key: "web.listen_address",
            message: "vsock:// is not supported yet".to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
