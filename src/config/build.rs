//! Information about this build, for `--version`, the log, the metrics and the API.
//!
//! The build script takes it from `BUILD_REVISION`, `BUILD_BRANCH`, `BUILD_USER`, `BUILD_DATE` and
//! `BUILD_RUST_VERSION` in the environment of cargo, or else from git. Anything that both lack is
//! `unknown`.

use std::env::consts;

const UNKNOWN: &str = "unknown";

/// Where this binary comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildInfo {
    /// The version of the package.
    pub version: &'static str,
    /// The commit it was built from.
    pub revision: &'static str,
    /// The branch it was built from.
    pub branch: &'static str,
    /// Who built it.
    pub build_user: &'static str,
    /// When it was built.
    pub build_date: &'static str,
    /// The compiler.
    pub rust_version: &'static str,
    /// The operating system, as Go names it.
    pub os: &'static str,
    /// The processor, as Go names it.
    pub arch: &'static str,
    /// The optional features that are built in.
    pub tags: &'static str,
}

/// Information about this build.
#[must_use]
pub fn build_info() -> BuildInfo {
    BuildInfo {
        version: env!("CARGO_PKG_VERSION"),
        revision: option_env!("BUILD_REVISION").unwrap_or(UNKNOWN),
        branch: option_env!("BUILD_BRANCH").unwrap_or(UNKNOWN),
        build_user: option_env!("BUILD_USER").unwrap_or(UNKNOWN),
        build_date: option_env!("BUILD_DATE").unwrap_or(UNKNOWN),
        rust_version: option_env!("BUILD_RUST_VERSION").unwrap_or(UNKNOWN),
        os: match consts::OS {
            "macos" => "darwin",
            other => other,
        },
        arch: match consts::ARCH {
            "x86_64" => "amd64",
            "x86" => "386",
            "aarch64" => "arm64",
            other => other,
        },
        tags: if cfg!(feature = "jemalloc") { "jemalloc" } else { UNKNOWN },
    }
}
