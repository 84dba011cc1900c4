//! What the operator may change while the gateway runs: the rules and the web configuration are read again.

use std::sync::{Arc, PoisonError};

use actix_web::web;

use super::{State, auth};
use crate::config::{self, ConfigError};
use crate::rules::{RuleError, RuleSet};

/// Why something is not in force as it is now. What it was before stays in force.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The configuration file can't be read or is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A rule is wrong.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// The web configuration can't be read or is wrong.
    #[error("{0}")]
    Web(String),
    /// The gateway is shutting down.
    #[error("the gateway is shutting down")]
    Closing,
}

impl State {
    /// Reads the rules and the web configuration again, and logs and counts what comes of it.
    ///
    /// # Errors
    ///
    /// What is wrong with them. The rules come into force even if the web configuration does not.
    pub async fn reload(self: &Arc<Self>) -> Result<(), ReloadError> {
        let state = self.clone();
        web::block(move || state.reload_blocking()).await.unwrap_or(Err(ReloadError::Closing))
    }

    fn reload_blocking(&self) -> Result<(), ReloadError> {
        let _reloading = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let guard = self.guard.as_ref().filter(|guard| guard.reads_files());
        let rules = if self.config_file.is_empty() { Ok(()) } else { self.reload_rules() };
        let web = guard.map_or(Ok(()), |guard| auth::read_again(self, guard).map_err(ReloadError::Web));
        rules.and(web)
    }

    fn reload_rules(&self) -> Result<(), ReloadError> {
        let telemetry = self.gateway.telemetry().rules();
        let read = || {
            let file = config::read_rules(&self.config_file)?;
            Ok((RuleSet::compile(&file)?, file.fingerprint))
        };
        match read() {
            Ok((rules, fingerprint)) => {
                self.gateway.set_rules(rules);
                self.rules_loaded.succeeded(fingerprint);
                telemetry.reloaded();
                tracing::info!(file = %self.config_file, "the rules were read again and are in force");
                Ok(())
            }
            Err(error) => {
                let error: ReloadError = error;
                telemetry.refused();
                self.rules_loaded.set_problem(Some(&error.to_string()));
                tracing::error!(err = %error, "the rules can't be read; the old ones stay in force");
                Err(error)
            }
        }
    }
}
