//! `tallygate rules test`: shows what the rules of a configuration file make of a push.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::serving::{self, ServingError};
use crate::config::web::system_reason;
use crate::exposition::negotiation::{Format, Offers};
use crate::gateway::{
    BodyFormat, Explanation, Gateway, Method, PushError, PushRequest, SenderHeaders, StartError,
};
use crate::http::path::{self, NamedGroup, PathError};
use crate::http::route::{Endpoint, Route, Routes};
use crate::model::grouping::Grouping;
use crate::model::labels::ShownLabels;
use crate::model::merge::{Buckets, Fold, Merge, Temporality};

/// The file name that means the standard input.
const STDIN: &str = "-";

/// The command line.
#[derive(Args, Debug)]
pub struct Arguments {
    /// What to do
    action: Action,
    /// Configuration file with the rules [default: that of the environment]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Path of the push, such as /metrics/job/backup/instance/db1
    #[arg(long, value_name = "PATH")]
    path: String,
    /// File that would be pushed; - for stdin. Without it only the group is decided
    #[arg(value_name = "BODY")]
    body: Option<PathBuf>,
    /// Content type of the body [default: text]
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// Push with PUT in place of POST
    #[arg(long)]
    put: bool,
    /// Value of the header X-Push-Source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Action {
    /// Show what the rules make of a push
    Test,
}

/// Why nothing can be shown, or the push is not accepted.
#[derive(Debug, thiserror::Error)]
pub(super) enum RulesError {
    /// The settings or the rules can't be used.
    #[error(transparent)]
    Settings(#[from] ServingError),
    /// A rule is wrong.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The path is not that of a group.
    #[error("the path {0:?} is not that of a group, which is /metrics/job/JOB with labels behind it")]
    NoGroup(String),
    /// The path has labels that can't be used.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The body can't be read.
    #[error("{file}: {reason}")]
    Unreadable {
        /// Its name.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// The gateway would not accept the push.
    #[error("the push is refused: {0}")]
    Refused(#[from] PushError),
    /// The result can't be printed.
    #[error("stdout: {0}")]
    Stdout(#[from] io::Error),
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), RulesError> {
        let Action::Test = self.action;
        let flag = |file: PathBuf| {
            let mut flag = OsString::from("--config.file=");
            flag.push(file);
            flag
        };
        let mut config = serving::config(self.config.clone().map(flag).into_iter().collect(), None)?;
        // What the gateway keeps is neither read nor changed.
        config.persistence.forget();
        config.telemetry.process_metrics = false;
        let gateway = Gateway::new(&config)?;
        let routes = Routes {
            prefix: config.web.route_prefix.clone(),
            metrics_path: config.web.metrics_path(),
            has_admin_api: false,
            default_job: config.push.default_job.clone(),
        };
        let NamedGroup { grouping, has_default_job } = group(&self.path, &routes, &gateway)?;
        let body = self.read_body()?;
        let offers = if config.has_stock_formats() { Offers::Stock } else { Offers::All };
        let format = BodyFormat::of(self.content_type.as_deref().unwrap_or_default(), offers);
        let method = if self.put { Method::Put } else { Method::Post };
        let sender =
            SenderHeaders { source: self.source.as_deref().map(str::as_bytes), ..Default::default() };
        let push =
            PushRequest { sender, has_default_job, ..PushRequest::new(method, &grouping, format, &body) };
        let explanation = gateway.explain(&push)?;
        let mut out = explained(&explanation, &grouping).into_bytes();
        if self.body.is_some() && !explanation.is_dropped {
            gateway.push_blocking(&push)?;
            out.push(b'\n');
            let shown = Format::negotiate("text/plain;version=1.0.0;escaping=allow-utf-8", offers);
            // Nobody can go away here.
            let _ = gateway.scrape_pushed(shown, |chunk| {
                out.append(chunk);
                Ok(())
            });
        }
        io::stdout().write_all(&out)?;
        Ok(())
    }

    fn read_body(&self) -> Result<Vec<u8>, RulesError> {
        let Some(path) = &self.body else { return Ok(Vec::new()) };
        let is_stdin = path.as_os_str() == STDIN;
        let mut content = Vec::new();
        let read =
            if is_stdin { io::stdin().read_to_end(&mut content).map(|_| content) } else { fs::read(path) };
        read.map_err(|error| RulesError::Unreadable {
            file: if is_stdin { "stdin".to_owned() } else { path.display().to_string() },
            reason: system_reason(&error),
        })
    }
}

/// The group that a path names.
fn group<'a>(path: &'a str, routes: &'a Routes, gateway: &Gateway) -> Result<NamedGroup<'a>, RulesError> {
    match routes.route("POST", path) {
        Route::Endpoint(Endpoint::Group { encoding, job, labels }) => {
            let (default_job, names) = (&routes.default_job, gateway.names());
            Ok(path::group(encoding, job, labels, default_job, names, gateway.empty_labels())?)
        }
        _ => Err(RulesError::NoGroup(path.to_owned())),
    }
}

/// What the rules say, as text.
fn explained(explanation: &Explanation, pushed: &Grouping<'_>) -> String {
    let rule = |rule: &Option<_>| match rule {
        Some(rule) => format!("{rule}"),
        None => "no rule".to_owned(),
    };
    let mut out = format!("pushed to {}: {}\n", ShownLabels::of(pushed.key()), rule(&explanation.rule));
    if explanation.is_dropped {
        return out + "dropped: nothing changes\n";
    }
    out += &format!("group     {}\n", ShownLabels::of(explanation.target.key()));
    out += &format!("source    {}\n", ShownLabels::of(&explanation.source));
    out += &format!("PUT       {}\n", explanation.put.name());
    for family in &explanation.families {
        let name = if family.name == family.pushed_name {
            family.name.clone()
        } else {
            format!("{} (pushed as {})", family.name, family.pushed_name)
        };
        let kind = family.kind.upper_name().to_lowercase();
        let merged =
            if family.is_whole { "the latest push of all its series stays" } else { merge(family.merge) };
        let mut how = vec![merged.to_owned()];
        how.extend(temporality(family.temporality).map(str::to_owned));
        how.extend(buckets(family.buckets).map(str::to_owned));
        let by_label = match family.clear_mode {
            None => String::new(),
            Some((mode, true)) => format!(" and clearmode={:?}", mode.name()),
            Some((mode, false)) => format!(", in place of clearmode={:?}", mode.name()),
        };
        out += &format!("metric    {name}, {kind}: {}: {}{by_label}\n", how.join(", "), rule(&family.rule));
    }
    out
}

fn merge(merge: Merge) -> &'static str {
    match merge {
        Merge::Add => "added",
        Merge::Last => "the latest push stays",
        Merge::Least => "the lowest value stays",
        Merge::Greatest => "the highest value stays",
        Merge::Fold(Fold::Sum) => "the sum over the sources",
        Merge::Fold(Fold::Min) => "the lowest of the sources",
        Merge::Fold(Fold::Max) => "the highest of the sources",
        Merge::Fold(Fold::Mean) => "the mean of the sources",
        Merge::Fold(Fold::Count) => "the number of sources",
    }
}

fn temporality(temporality: Temporality) -> Option<&'static str> {
    match temporality {
        Temporality::Delta => None,
        Temporality::Cumulative => Some("pushed as running totals"),
        Temporality::Auto => Some("pushed as running totals where the push tells a start time"),
    }
}

fn buckets(buckets: Buckets) -> Option<&'static str> {
    match buckets {
        Buckets::Union => None,
        Buckets::Intersection => Some("only the common buckets stay"),
        Buckets::Reject => Some("other buckets are refused"),
    }
}
