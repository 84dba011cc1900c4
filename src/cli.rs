//! The commands: `tallygate push`, `tallygate delete` and so on.
//!
//! They are small clients of a gateway and use nothing of the server. The first argument alone says whether there is
//! a command. Without one the gateway starts, with the flags of [`crate::config::flags`].
//!
//! A command prints nothing on success. On failure it prints one sentence on stderr, and its exit code is that of
//! [`Exit`].
//!
//! A new command is a variant of [`Command`] with its [`clap::Args`] in a module of its own. It talks to a gateway by
//! [`client::Client`], which [`connection::ConnectionArguments`] sets up.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::message::bounded;
use client::Failure;
use connection::ConnectionError;
use copy::CopyError;
use export::ExportError;
use group::GroupError;
use healthcheck::SettingsError;
use push::BodyError;

pub mod client;
pub mod connection;
mod copy;
mod delete;
mod documents;
mod export;
pub mod group;
mod healthcheck;
mod help;
mod install;
mod push;
mod rules;
mod run;
pub mod samples;
mod serving;
mod tls;

/// The command whose exit code is that of the program that it runs.
const RUN: &str = "run";

/// The exit code of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The command has done what it was told.
    Done = 0,
    /// The gateway has refused the request, or is not healthy, or there is nothing to export or copy. The same call will end
    /// so again.
    Refused = 1,
    /// The command line is wrong, or a file that it names. Nothing was sent.
    Usage = 2,
    /// The gateway can't be reached, or can't do it now. A later call may succeed, and counts once.
    Unavailable = 3,
    /// There was no answer, and the push may have been counted. A later call may count it again.
    Unclear = 4,
}

/// The command line of the commands, without the notes of [`definition`].
#[derive(Parser, Debug)]
#[command(name = env!("CARGO_PKG_NAME"), disable_help_subcommand = true, about = env!("CARGO_PKG_DESCRIPTION"))]
pub struct CommandLine {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What stands in front of flags.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Push metrics to a group
    Push(push::Arguments),
    /// Delete a group
    Delete(delete::Arguments),
    /// Ask whether a gateway is healthy
    Healthcheck(healthcheck::Arguments),
    /// Run a program, and push how that went
    Run(run::Arguments),
    /// Copy this program to another place
    Install(install::Arguments),
    /// Bring what is kept from one file or database to another
    Copy(copy::Arguments),
    /// Write what is kept as the file of a stock Pushgateway
    Export(export::Arguments),
    /// Show what the rules of a configuration file make of a push
    Rules(rules::Arguments),
    /// Print completions for a shell
    Completions(documents::CompletionArguments),
    /// Write the manual pages
    Man(documents::ManArguments),
}

/// Why a command has failed, as one sentence.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error(transparent)]
    Group(#[from] GroupError),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("the gateway is not healthy: {0}")]
    NotHealthy(String),
    #[error(transparent)]
    Request(#[from] Failure),
    #[error("stdout: {0}")]
    Stdout(#[from] io::Error),
    #[error(transparent)]
    Install(#[from] install::InstallError),
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error(transparent)]
    Rules(#[from] rules::RulesError),
    #[error(transparent)]
    Write(#[from] documents::WriteError),
}

impl CommandError {
    fn exit(&self) -> Exit {
        match self {
            CommandError::Request(failure) => failure.exit(),
            CommandError::NotHealthy(_) => Exit::Refused,
            CommandError::Export(ExportError::Settings(_)) => Exit::Usage,
            CommandError::Copy(CopyError::Settings(_)) => Exit::Usage,
            CommandError::Copy(_)
            | CommandError::Export(_)
            | CommandError::Rules(rules::RulesError::Refused(_)) => Exit::Refused,
            _ => Exit::Usage,
        }
    }
}

/// The commands with all that their help says. Manual pages and completions are made from it, too.
#[must_use]
pub fn definition() -> clap::Command {
    let names: Vec<_> =
        CommandLine::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
    names.into_iter().fold(CommandLine::command(), |all, name| all.mut_subcommand(name, help::with_notes))
}

/// Runs the command that the arguments name (the program's name comes first) and returns the exit
/// code. `None` if the first argument is not a command.
#[must_use]
pub fn run(arguments: &[OsString]) -> Option<u8> {
    let (program, first) = (arguments.first()?, arguments.get(1)?);
    let mut commands = definition();
    let name = commands.find_subcommand(first)?.get_name().to_owned();
    let line = commands
        .try_get_matches_from_mut(arguments)
        .and_then(|matches| CommandLine::from_arg_matches(&matches));
    let program = std::path::Path::new(program).file_name().unwrap_or(program).to_string_lossy();
    let complain = |error: &dyn Display| {
        let _ = writeln!(io::stderr(), "{program} {name}: {}", bounded(error));
    };
    Some(match line.map(|line| line.command.run()) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            complain(&error);
            if name == RUN { run::NOT_TRIED } else { error.exit() as u8 }
        }
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp) => {
            let _ = write!(io::stdout(), "{}", error.render());
            Exit::Done as u8
        }
        Err(error) => {
            complain(&format_args!("{}, try --help", sentence(&error.render().to_string())));
            if name == RUN { run::NOT_TRIED } else { Exit::Usage as u8 }
        }
    })
}

impl Command {
    /// Runs the command and returns the exit code.
    fn run(self) -> Result<u8, CommandError> {
        match self {
            Command::Run(arguments) => return Ok(arguments.run()?),
            Command::Push(arguments) => arguments.run()?,
            Command::Healthcheck(arguments) => arguments.run()?,
            Command::Delete(arguments) => arguments.run()?,
            Command::Install(arguments) => arguments.run()?,
            Command::Copy(arguments) => arguments.run()?,
            Command::Export(arguments) => arguments.run()?,
            Command::Rules(arguments) => arguments.run()?,
            Command::Completions(arguments) => arguments.run()?,
            Command::Man(arguments) => arguments.run()?,
        }
        Ok(Exit::Done as u8)
    }
}

/// Clap's message of several lines as one, without the usage that it adds.
fn sentence(text: &str) -> String {
    let first = text.split("\n\n").next().unwrap_or_default();
    let first = first.strip_prefix("error: ").unwrap_or(first);
    first.split_whitespace().collect::<Vec<_>>().join(" ")
}
