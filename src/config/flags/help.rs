//! What the program prints about itself: help, manual page, completion, version.

use crate::config::build::BuildInfo;
use crate::config::flag::{Flag, Kind};

const WIDTH: usize = 80;
const INDENT: usize = 2;
const GAP: usize = 2;

/// A longer name gets a line of its own, so that the help texts need less indentation.
const LONGEST_NAME: usize = 29;

const ABOUT: &str = concat!(env!("CARGO_PKG_DESCRIPTION"), ".");

/// The commands of the program. Each of them declares its own flags.
const COMMANDS: &str = "Commands: push, delete, healthcheck, run, install, copy, export, rules,\n\
                        completions, man.\n\
                        Each has a --help of its own.";

/// The answer to `--help`.
pub(super) fn usage(program: &str, flags: &[Flag]) -> String {
    let rows: Vec<(String, &str)> = flags
        .iter()
        .filter(|flag| !flag.help.is_empty())
        .map(|flag| (left_column(flag), flag.help))
        .collect();
    let left =
        rows.iter().map(|(name, _)| name.len()).filter(|length| *length <= LONGEST_NAME).max().unwrap_or(0);
    let about = wrap(ABOUT, WIDTH).join("\n");
    let mut text = format!("usage: {program} [<flags>]\n\n{about}\n\n{COMMANDS}\n\nFlags:\n");
    for (name, help) in rows {
        let start = " ".repeat(INDENT + left + GAP);
        let mut lines = wrap(help, WIDTH - start.len()).into_iter();
        if name.len() > left {
            text.push_str(&format!("{:INDENT$}{name}\n", ""));
        } else {
            let first = lines.next().unwrap_or_default();
            text.push_str(&format!("{:INDENT$}{name:left$}{:GAP$}{first}\n", "", ""));
        }
        for line in lines {
            text.push_str(&format!("{start}{line}\n"));
        }
    }
    text.push('\n');
    text
}

fn left_column(flag: &Flag) -> String {
    let short = flag.short.map_or("    ".to_owned(), |short| format!("-{short}, "));
    let repeat = if flag.kind == Kind::Addresses { " ..." } else { "" };
    format!("{short}--{}{repeat}", name_and_default(flag))
}

fn name_and_default(flag: &Flag) -> String {
    match flag.kind {
        Kind::Switch => format!("[no-]{}", flag.name),
        Kind::Text => format!("{}={:?}", flag.name, flag.default),
        _ => format!("{}={}", flag.name, flag.default),
    }
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The answer to `--help-man`: a page for `man`.
pub(super) fn manual(program: &str, flags: &[Flag], build: &BuildInfo) -> String {
    let mut text = format!(
        ".TH {program} 1 \"\" \"{program} {}\"\n.SH \"NAME\"\n{program}\n.SH \"SYNOPSIS\"\n.TP\n\
         \\fB{program} [<flags>]\\fR\n.SH \"DESCRIPTION\"\n{ABOUT}\n.SH \"OPTIONS\"\n",
        build.version
    );
    for flag in flags.iter().filter(|flag| !flag.help.is_empty()) {
        let short = flag.short.map(|short| format!("-{short}, ")).unwrap_or_default();
        let entry = format!("{short}--{}", name_and_default(flag)).replace('-', "\\-");
        text.push_str(&format!(".TP\n\\fB{entry}\\fR\n{}\n", flag.help.replace('-', "\\-")));
    }
    text
}

/// The answer to `--completion-bash`: possible completions of the last of `words`.
pub(super) fn completion(flags: &[Flag], words: &[String]) -> String {
    let (before, last) = match words {
        [.., before, last] => (before.as_str(), last.as_str()),
        [last] => ("", last.as_str()),
        [] => ("", ""),
    };
    let name = last.strip_prefix("--").or_else(|| before.strip_prefix("--")).unwrap_or_default();
    let kind = flags.iter().find(|flag| flag.name == name).map(|flag| flag.kind);
    let choices: Vec<String> = match kind {
        Some(Kind::Switch) | None if last.is_empty() || last.starts_with('-') => {
            flags.iter().filter(|flag| !flag.help.is_empty()).map(|flag| format!("--{}", flag.name)).collect()
        }
        Some(kind) => kind.values().iter().map(|value| (*value).to_owned()).collect(),
        None => Vec::new(),
    };
    choices.join("\n") + "\n"
}

/// The answer to `--completion-script-bash`.
pub(super) fn bash_script(program: &str) -> String {
    format!(
        r#"
_{program}_bash_autocomplete() {{
    local cur opts
    COMPREPLY=()
    cur="${{COMP_WORDS[COMP_CWORD]}}"
    opts=$( "${{COMP_WORDS[0]}}" --completion-bash -- "${{COMP_WORDS[@]:1:$COMP_CWORD}}" )
    COMPREPLY=( $(compgen -W "${{opts}}" -- "${{cur}}") )
    return 0
}}
complete -F _{program}_bash_autocomplete -o default {program}
"#
    )
}

/// The answer to `--completion-script-zsh`.
pub(super) fn zsh_script(program: &str) -> String {
    format!(
        "#compdef {program}\nautoload -U compinit && compinit\nautoload -U bashcompinit && bashcompinit\n{}",
        bash_script(program)
    )
}

/// The answer to `--version`.
pub(super) fn version(build: &BuildInfo) -> String {
    let BuildInfo { version, branch, revision, build_user, build_date, rust_version, os, arch, tags } = build;
    format!(
        "tallygate, version {version} (branch: {branch}, revision: {revision})\n\
         \x20 build user:       {build_user}\n\
         \x20 build date:       {build_date}\n\
         \x20 rust version:     {rust_version}\n\
         \x20 platform:         {os}/{arch}\n\
         \x20 tags:             {tags}\n"
    )
}
