//! Finds the environment variables that are settings.

use std::collections::HashMap;

use config::Environment;

use crate::config::settings;

const PREFIX: &str = "TALLYGATE_";

/// The variable for `--config.file`.
pub(in crate::config) const CONFIG_FILE_VARIABLE: &str = "TALLYGATE_CONFIG_FILE";

/// Variables of the commands, which are not settings of the gateway.
const COMMAND_VARIABLES: [&str; 2] = ["TALLYGATE_URL", "TALLYGATE_METRICS_FILE"];

/// Variables for tests begin with this.
const TEST_PREFIX: &str = "TALLYGATE_TEST_";

/// The variables that are settings, in a fixed order.
pub(super) fn settings(environment: &HashMap<String, String>) -> Vec<(&String, &String)> {
    let mut variables: Vec<_> = environment.iter().filter(|(name, value)| is_setting(name, value)).collect();
    variables.sort();
    variables
}

/// The variable of a setting, by its dotted key.
pub(super) fn of_key(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__"))
}

/// The dotted key that a variable stands for.
pub(super) fn key_of(name: &str) -> String {
    name.strip_prefix(PREFIX).unwrap_or(name).to_lowercase().replace("__", ".")
}

/// The settings that a variable sets, or a part of them: one, but for a variable with an unknown name.
pub(super) fn keys_of(name: &str) -> impl Iterator<Item = &'static str> {
    let set = key_of(name);
    let is_set =
        move |key: &&str| set.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    settings::KEYS.iter().copied().filter(is_set)
}

/// Whether the variable is a setting. If there is a service called `tallygate`, Kubernetes sets variables such as
/// `TALLYGATE_SERVICE_HOST` and `TALLYGATE_PORT_9091_TCP_ADDR` in every container; they must not stop the start.
fn is_setting(name: &str, value: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else { return false };
    let service_link = name.contains("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || ["_TCP", "_UDP", "_SCTP"]
            .iter()
            .any(|protocol| rest.contains(protocol) && name.contains("_PORT_"))
        || (name.ends_with("_PORT") && value.contains("://"));
    !(name == CONFIG_FILE_VARIABLE
        || COMMAND_VARIABLES.contains(&name)
        || name.starts_with(TEST_PREFIX)
        || service_link && !rest.contains("__"))
}

/// A source for `config` with this variable alone.
pub(super) fn source(name: &str, value: &str) -> Environment {
    let alone = config::Map::from_iter([(name.to_owned(), value.to_owned())]);
    Environment::with_prefix("TALLYGATE").prefix_separator("_").separator("__").source(Some(alone))
}
