//! Manual pages and completions, generated from the declarations of the flags.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, Resettable};
use clap::{Arg, ArgAction, Args, Command, ValueEnum, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::{definition, help};
use crate::config::{build_info, flags};

/// The maximum length of a line of a manual page. Only a longer word exceeds it.
const LINE_BYTES: usize = 78;

/// The command line of `tallygate man`.
#[derive(Args, Debug)]
pub struct ManArguments {
    /// Folder to write the pages to
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// The command line of `tallygate completions`.
#[derive(Args, Debug)]
pub struct CompletionArguments {
    /// Shell that the completions are for
    shell: SupportedShell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SupportedShell {
    Bash,
    Fish,
    Zsh,
}

/// A manual page can't be written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub(super) struct WriteError {
    path: PathBuf,
    source: io::Error,
}

impl ManArguments {
    pub(super) fn run(self) -> Result<(), WriteError> {
        for (name, text) in pages() {
            let path = self.folder.join(name);
            write(&path, &text).map_err(|source| WriteError { path, source })?;
        }
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}

impl CompletionArguments {
    pub(super) fn run(self) -> io::Result<()> {
        let shell = match self.shell {
            SupportedShell::Bash => Shell::Bash,
            SupportedShell::Fish => Shell::Fish,
            SupportedShell::Zsh => Shell::Zsh,
        };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut whole(), env!("CARGO_PKG_NAME"), &mut script);
        io::Write::write_all(&mut io::stdout(), &script)
    }
}

/// The whole command line: the commands, and the flags for serving.
fn whole() -> Command {
    let flags = flags::documented().map(|flag| {
        let argument = Arg::new(flag.name).long(flag.name).help(flag.help).short(flag.short);
        match flag.value {
            None => argument.action(ArgAction::SetTrue),
            Some(value) => {
                let hint = if value == "FILE" { ValueHint::FilePath } else { ValueHint::Other };
                let argument = argument.value_name(value).value_hint(hint);
                let argument = if flag.values.is_empty() {
                    argument
                } else {
                    argument.value_parser(PossibleValuesParser::new(flag.values))
                };
                if flag.default.is_empty() { argument } else { argument.default_value(flag.default) }
            }
        }
    });
    definition()
        .subcommand_required(false)
        .disable_help_flag(true)
        .args(flags)
        .version(build_info().version)
        .disable_version_flag(true)
}

/// A manual page and the name of its file.
fn page(command: Command, notes: &Roff) -> (String, String) {
    let name = format!("{}.1", command.get_name());
    let title = command.get_name().to_uppercase();
    // These have sections of their own.
    let man = Man::new(command.after_help(Resettable::Reset));
    let source = format!("{} {}", env!("CARGO_PKG_NAME"), build_info().version);
    let man = man.title(title).source(source).date(date(build_info().build_date));
    let mut text = Vec::new();
    // Writing to memory can't fail.
    let _ = man.render(&mut text);
    text.extend(notes.to_roff().into_bytes());
    (name, tidy(&String::from_utf8_lossy(&text)))
}

/// The sections on durations and exit codes.
fn notes(command: &Command) -> Roff {
    let mut roff = Roff::new();
    if let Some(duration) = help::duration(command) {
        roff.control("SH", ["DURATIONS"]).text([roman(duration.replace('\n', " "))]);
    }
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in help::exit_codes(command.get_name()) {
        roff.control("TP", []).text([bold(*code)]).text([roman(*meaning)]);
    }
    roff
}

/// The day of a build, as manual pages have it.
fn date(build_date: &str) -> String {
    match (build_date.get(..4), build_date.get(4..6), build_date.get(6..8)) {
        (Some(year), Some(month), Some(day)) if year.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{year}-{month}-{day}")
        }
        // A manual page needs a date, also if that of the build is not known.
        _ => "1970-01-01".to_owned(),
    }
}

/// The same page in a form that `mandoc -Tlint` accepts.
fn tidy(text: &str) -> String {
    // An empty line between two breaks becomes a request for vertical space.
    let text = text.replace(".br\n\n.br\n", ".sp\n");
    let mut out = String::new();
    text.lines().for_each(|line| wrap(line.trim_end(), &mut out));
    out
}

/// Wraps a line of text so that no new line looks like a request. A request is not wrapped.
fn wrap(line: &str, out: &mut String) {
    let mut length = 0;
    let is_request = line.starts_with(['.', '\'']);
    for word in line.split(' ') {
        let fits = length + 1 + word.len() <= LINE_BYTES;
        match length {
            0 => {}
            _ if fits || is_request || word.starts_with(['.', '\'']) || word.is_empty() => {
                out.push(' ');
                length += 1;
            }
            _ => {
                out.push('\n');
                length = 0;
            }
        }
        out.push_str(word);
        length += word.len();
    }
    out.push('\n');
}

/// The manual pages, with the names of their files.
fn pages() -> Vec<(String, String)> {
    let mut whole = whole();
    whole.build();
    let name = whole.get_name().to_owned();
    let commands = whole
        .get_subcommands()
        .map(|command| page(command.clone().name(format!("{name}-{}", command.get_name())), &notes(command)));
    let mut pages: Vec<_> = commands.collect();
    let notes = notes(&whole);
    pages.push(page(whole, &notes));
    pages
}
