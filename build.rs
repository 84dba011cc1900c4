//! Collects the build information for `--version` from the environment, or else from git.
//!
//! `BUILD_REVISION`, `BUILD_BRANCH`, `BUILD_USER`, `BUILD_DATE` and `BUILD_RUST_VERSION` take
//! precedence. Without `BUILD_DATE` the date is `SOURCE_DATE_EPOCH` or that of the commit, so that
//! the same source gives the same program. Without git, as in a source archive, the rest is
//! unknown.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    let of_git = |arguments: &[&str]| output("git", arguments);
    // A folder further up may be the repository of another project.
    let is_own = of_git(&["rev-parse", "--show-prefix"]).is_none_or(|prefix| prefix.is_empty())
        && Path::new(".git").exists();
    let git = |arguments: &[&str]| if is_own { of_git(arguments) } else { None };
    let seconds = variable("SOURCE_DATE_EPOCH")
        .or_else(|| git(&["show", "--no-patch", "--format=%ct"]))
        .and_then(|seconds| seconds.parse().ok());
    let compiler = || output(&env::var("RUSTC").ok()?, &["--version"]);
    for (name, value) in [
        ("BUILD_REVISION", git(&["rev-parse", "HEAD"])),
        ("BUILD_BRANCH", git(&["rev-parse", "--abbrev-ref", "HEAD"])),
        ("BUILD_DATE", seconds.map(date)),
        ("BUILD_RUST_VERSION", compiler().and_then(|text| Some(text.split(' ').nth(1)?.to_owned()))),
        ("BUILD_USER", None),
    ] {
        println!("cargo::rerun-if-env-changed={name}");
        if let Some(value) = variable(name).or(value) {
            println!("cargo::rustc-env={name}={value}");
        }
    }
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo::rerun-if-changed=build.rs");
    // In a release build, a new commit runs this script again, so that the program names its
    // commit. In other builds it does not, so that a commit rebuilds nothing.
    if env::var("PROFILE").is_ok_and(|profile| profile == "release") && is_own {
        for path in ["HEAD", "logs/HEAD"] {
            if let Some(path) =
                git(&["rev-parse", "--git-path", path]).filter(|path| Path::new(path).exists())
            {
                println!("cargo::rerun-if-changed={path}");
            }
        }
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// What a program prints, without the line end. `None` if the program is missing or fails.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// The time in UTC in promu's format.
fn date(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Converts days to a date of the Gregorian calendar, in eras of 400 years that begin on 1
    // March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}{month:02}{day:02}-{hour:02}:{minute:02}:{second:02}")
}
