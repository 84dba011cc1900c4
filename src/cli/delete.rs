//! `tallygate delete`: removes a group.

use std::io::Write;

use clap::Args;

use super::CommandError;
use super::client::{Client, Key, Request};
use super::connection::ConnectionArguments;
use super::group::{Group, GroupArguments};

/// The command line.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    group: GroupArguments,
    /// Print what would be requested, and request nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), CommandError> {
        let group = Group::new(&self.group.job, &self.group.labels)?;
        let client = Client::new(&self.connection)?;
        if self.dry_run {
            return writeln!(std::io::stdout(), "DELETE {}{}", client.url(), group.path())
                .map_err(CommandError::Stdout);
        }
        Ok(client.send(&Request::delete(&group, Key::random()?))?)
    }
}
