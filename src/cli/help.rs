//! Notes below the flags in the help and the manual page of each command: exit codes, and what a
//! duration is.

use clap::Command;

/// The note on durations, wrapped for a terminal.
const DURATION: &str = "A DURATION is a number and its unit, or several of these: ns, us, ms, s, m, h, d (24\n\
                        hours), w (7 days) or y (365 days), as in 300ms, 30s, 1h30m or 2d.";

/// The same note for the flags of the gateway itself, which read durations as the stock gateway
/// does.
const SERVING_DURATION: &str = "A DURATION is a number and its unit, or several of these: ns, us, ms, s, m or h, as in\n\
                                300ms, 30s or 1h30m.";

const PUSH: &[(&str, &str)] = &[
    ("0", "All is done."),
    ("1", "The gateway has refused it. The same call would be refused again."),
    ("2", "The command line is wrong, or a file that it names. Nothing was sent."),
    ("3", "The gateway can't be reached, or can't do it now. Call again later."),
    ("4", "No answer came. It may have been counted or not."),
];

const HEALTHCHECK: &[(&str, &str)] = &[
    ("0", "The gateway is healthy."),
    ("1", "It is not, or can't be reached."),
    ("2", "The command line is wrong, or a setting of the gateway."),
];

const RUN: &[(&str, &str)] = &[
    ("that of the program", "It ended."),
    ("128 + N", "Signal N ended it."),
    ("124", "It took longer than --timeout."),
    ("125", "The command line is wrong. Nothing was run."),
    ("126", "The program can't be run."),
    ("127", "There is no such program."),
];

const COPY: &[(&str, &str)] = &[
    ("0", "All is copied."),
    ("1", "Nothing is copied: one of the two can't be used, or the target holds something."),
    ("2", "The command line is wrong, or a setting of the gateway."),
];

const EXPORT: &[(&str, &str)] = &[
    ("0", "The file is written."),
    ("1", "Nothing is exported: one of the files can't be read or written."),
    ("2", "The command line is wrong, or a setting of the gateway."),
];

const RULES: &[(&str, &str)] = &[
    ("0", "The result is printed."),
    ("1", "A gateway with these rules would refuse the push."),
    ("2", "The command line is wrong, or a file that it names."),
];

const OTHERS: &[(&str, &str)] =
    &[("0", "All is done."), ("2", "The command line is wrong, or the file can't be written.")];

const SERVING: &[(&str, &str)] = &[
    ("0", "It was stopped, or has printed what it was asked for."),
    ("1", "It could not start or go on, or not keep the latest changes."),
];

/// The exit codes of a command, and what each means. Any name that is not a command stands for the
/// program itself.
pub(super) fn exit_codes(command: &str) -> &'static [(&'static str, &'static str)] {
    match command {
        "push" | "delete" => PUSH,
        "healthcheck" => HEALTHCHECK,
        "run" => RUN,
        "copy" => COPY,
        "export" => EXPORT,
        "rules" => RULES,
        "install" | "completions" | "man" => OTHERS,
        _ => SERVING,
    }
}

/// The note on durations, if the command has a flag for one.
pub(super) fn duration(command: &Command) -> Option<&'static str> {
    let mut values = command.get_arguments().filter(|argument| !argument.is_hide_set());
    let has_one = values.any(|argument| {
        argument.get_value_names().is_some_and(|names| names.iter().any(|name| name == "DURATION"))
    });
    let is_serving = exit_codes(command.get_name()) == SERVING;
    has_one.then_some(if is_serving { SERVING_DURATION } else { DURATION })
}

/// The command with these notes below its flags.
pub(super) fn with_notes(command: Command) -> Command {
    let codes = exit_codes(command.get_name());
    let width = codes.iter().map(|(code, _)| code.len()).max().unwrap_or(0);
    let mut notes = "Exit codes:\n".to_owned();
    for (code, meaning) in codes {
        notes += &format!("  {code:width$}  {meaning}\n");
    }
    if let Some(duration) = duration(&command) {
        notes += &format!("\n{duration}\n");
    }
    command.after_help(notes.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Exit;

    #[test]
    fn every_exit_code_has_a_meaning() {
        let codes = [Exit::Done, Exit::Refused, Exit::Usage, Exit::Unavailable, Exit::Unclear];
        let codes = codes.map(|exit| (exit as u8).to_string());
        assert_eq!(PUSH.iter().map(|(code, _)| *code).collect::<Vec<_>>(), codes);
    }
}
