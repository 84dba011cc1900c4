//! `/api/v1/status`: the stock gateway's build, flags and start, and what this gateway does at the moment.
//!
//! Who may not see the configuration gets no flags and settings, and of rules and files only whether all is well. Nor do
//! pages of other sites, but for the flags, which the stock gateway gives them too.

use std::collections::BTreeMap;
use std::time::SystemTime;

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::json;
use super::json::success_json;
use super::limits::LimitState;
use crate::config::{EffectiveSetting, Origin, build_info};
use crate::http::auth::{Guard, Identity, Visitor};
use crate::http::loaded::Reading;
use crate::http::{State, compress};
use crate::persistence::engine::Replica;
use crate::rules::RuleName;

/// The most rules of each list that are named.
const NAMED_RULES: usize = 500;

static NO_FLAGS: BTreeMap<String, String> = BTreeMap::new();

/// Answers with the status, as far as the visitor may see it.
pub(in crate::http) fn status(state: &State, request: &HttpRequest) -> HttpResponse {
    state.gateway.telemetry().request("api/v1/status", request.method().as_str(), 200);
    let visitor = Visitor::of(request);
    // A page of another site may read the answer, in whoever's browser it is.
    let is_visitors_own = !state.is_asked_by_another_site(request);
    let body = success_json(&Status::of(state, &visitor, is_visitors_own));
    compress::Body::of(body, compress::takes_gzip(request)).send(json())
}

/// A time with all its digits, which also tells one start of the gateway from another.
pub(in crate::http) fn started_at(state: &State) -> String {
    humantime::format_rfc3339_nanos(state.started_at).to_string()
}

fn second(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

#[derive(Serialize)]
struct Status<'a> {
    build_information: BTreeMap<&'static str, &'static str>,
    /// Empty for those who may not see them.
    flags: &'a BTreeMap<String, String>,
    start_time: String,
    /// The name of this gateway among those that share its database. Null if it uses none.
    replica: Option<&'a str>,
    access: Access<'a>,
    persistence: PersistenceState<'a>,
    /// The gateways that share the database. Null if there is none, or the visitor may not see them.
    replicas: Option<Vec<ReplicaState>>,
    limits: Vec<LimitState>,
    rules: Rules,
    web_config: WebConfig,
    /// Null if the visitor may not see them, as the path below.
    settings: Option<Vec<Setting<'a>>>,
    config_file: Option<&'a str>,
}

impl<'a> Status<'a> {
    fn of(state: &'a State, visitor: &'a Visitor, is_visitors_own: bool) -> Status<'a> {
        let build = build_info();
        let sees_flags = visitor.sees_configuration();
        let sees_all = sees_flags && is_visitors_own;
        Status {
            build_information: BTreeMap::from([
                ("branch", build.branch),
                ("buildDate", build.build_date),
                ("buildUser", build.build_user),
                ("goVersion", build.rust_version),
                ("revision", build.revision),
                ("version", build.version),
            ]),
            flags: if sees_flags { &state.startup_flags } else { &NO_FLAGS },
            start_time: started_at(state),
            replica: state.replica.as_deref(),
            access: Access::of(state, visitor),
            persistence: PersistenceState::of(state, sees_all),
            replicas: if sees_all { ReplicaState::all(state) } else { None },
            limits: LimitState::all(state),
            rules: Rules::of(state, sees_all),
            web_config: WebConfig::of(state, sees_all),
            settings: sees_all
                .then(|| state.settings.iter().map(|setting| Setting::of(state, setting)).collect()),
            config_file: sees_all.then_some(&*state.config_file),
        }
    }
}

/// Who asks, and what they may do.
#[derive(Serialize)]
struct Access<'a> {
    /// `anonymous`, `user` or `token`.
    kind: &'static str,
    /// The name of the user or the token.
    name: Option<&'a str>,
    may: Vec<&'static str>,
    /// Whether there are users or tokens.
    has_logins: bool,
    has_tls: bool,
}

impl<'a> Access<'a> {
    fn of(state: &State, visitor: &'a Visitor) -> Access<'a> {
        let (kind, name) = match &visitor.identity {
            Identity::Anonymous => ("anonymous", None),
            Identity::User(name) => ("user", Some(&**name)),
            Identity::Token(_, name) => ("token", Some(&**name)),
        };
        Access {
            kind,
            name,
            may: visitor.may.names().collect(),
            has_logins: state.guard.as_ref().is_some_and(Guard::has_logins),
            has_tls: state.guard.as_ref().is_some_and(Guard::has_tls),
        }
    }
}

/// Whether and when pushes go to disk.
#[derive(Serialize)]
struct PersistenceState<'a> {
    /// `push` or `interval`; null if the store is in memory only.
    sync: Option<&'static str>,
    file: Option<&'a str>,
    /// The database without the secrets of its address, if it has no file of its own.
    database: Option<String>,
    failing: Option<Trouble>,
    /// When something was kept last since the start.
    kept_at: Option<String>,
    commits: u64,
    failed_commits: u64,
    /// Requests that wait for the next commit.
    waiting: u64,
}

impl<'a> PersistenceState<'a> {
    fn of(state: &'a State, sees_all: bool) -> PersistenceState<'a> {
        let (gateway, settings) = (state.gateway(), &state.persistence);
        let (commits, failed_commits) = gateway.telemetry().commits().counts();
        PersistenceState {
            sync: settings.keeps().then(|| settings.sync.name()),
            file: (!settings.file.is_empty() && sees_all).then_some(&*settings.file),
            database: (settings.has_database() && sees_all).then(|| gateway.kept_in().to_owned()),
            failing: gateway.failure().map(|reason| Trouble {
                since: second(gateway.failing_since().unwrap_or(state.started_at)),
                reason: Some(format!("pushes can't be kept: {reason}")),
            }),
            kept_at: gateway.kept_at().map(second),
            commits,
            failed_commits,
            waiting: gateway.telemetry().queue().waiting(),
        }
    }
}

/// A gateway that shares the database.
#[derive(Serialize)]
struct ReplicaState {
    name: String,
    version: String,
    start_time: String,
    /// How many seconds ago it noted in the database that it is there.
    seen_seconds_ago: f64,
    /// How many commits it did not have then that there are by now.
    behind_commits: u64,
    /// Whether it answers this.
    is_this_one: bool,
}

impl ReplicaState {
    fn all(state: &State) -> Option<Vec<ReplicaState>> {
        let of = |replica: Replica| ReplicaState {
            start_time: second(replica.started),
            seen_seconds_ago: replica.quiet.as_secs_f64(),
            behind_commits: replica.behind,
            is_this_one: replica.is_self,
            name: replica.name,
            version: replica.version,
        };
        Some(state.gateway().replicas()?.into_iter().map(of).collect())
    }
}

/// What is wrong, and since when.
#[derive(Serialize)]
struct Trouble {
    since: String,
    /// Null for those who may not see it.
    reason: Option<String>,
}

impl Trouble {
    fn of(reading: &Reading, sees_all: bool) -> Option<Trouble> {
        let problem = reading.problem.as_ref()?;
        let reason = sees_all.then(|| problem.reason.clone());
        Some(Trouble { since: second(problem.since), reason })
    }
}

/// The rules in force.
#[derive(Serialize)]
struct Rules {
    group_rules: usize,
    metric_rules: usize,
    /// When they were read.
    loaded_at: String,
    /// Why the file as it was read last is not in force.
    problem: Option<Trouble>,
    /// The SHA-256 hash of the file that they come from.
    fingerprint: Option<String>,
    /// The first rules of each list. Null for those who may not see them.
    groups: Option<Vec<Rule>>,
    metrics: Option<Vec<Rule>>,
}

/// What a rule is known by.
#[derive(Serialize)]
struct Rule {
    selector: String,
    line: usize,
}

impl Rules {
    fn of(state: &State, sees_all: bool) -> Rules {
        let (rules, reading) = (state.gateway().rules(), state.rules_loaded.reading());
        let of_groups = rules.as_ref().map_or(&[][..], |rules| rules.group_rules());
        let of_metrics = rules.as_ref().map_or(&[][..], |rules| rules.metric_rules());
        let named = |rules: &[RuleName]| {
            let rule = |rule: &RuleName| Rule { selector: rule.selector.to_string(), line: rule.place.line };
            sees_all.then(|| rules.iter().take(NAMED_RULES).map(rule).collect())
        };
        Rules {
            group_rules: of_groups.len(),
            metric_rules: of_metrics.len(),
            loaded_at: second(reading.at),
            problem: Trouble::of(&reading, sees_all),
            groups: named(of_groups),
            metrics: named(of_metrics),
            fingerprint: sees_all.then_some(reading.fingerprint).filter(|hash| !hash.is_empty()),
        }
    }
}

/// The web configuration and the files that it names.
#[derive(Serialize)]
struct WebConfig {
    /// When it was read. Null if there is none.
    loaded_at: Option<String>,
    problem: Option<Trouble>,
}

impl WebConfig {
    fn of(state: &State, sees_all: bool) -> WebConfig {
        let reading = state.guard.as_ref().filter(|guard| guard.reads_files()).map(Guard::reading);
        WebConfig {
            problem: reading.as_ref().and_then(|reading| Trouble::of(reading, sees_all)),
            loaded_at: reading.map(|reading| second(reading.at)),
        }
    }
}

/// A setting, and where its value comes from.
#[derive(Serialize)]
struct Setting<'a> {
    key: &'static str,
    value: String,
    /// `default`, `memory`, `file`, `environment` or `flag`.
    origin: &'static str,
    /// The line of the file, the variable or the flag.
    place: Option<Place<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Place<'a> {
    Line(usize),
    Name(&'a str),
}

impl<'a> Setting<'a> {
    fn of(state: &State, setting: &'a EffectiveSetting) -> Setting<'a> {
        let value = match setting.key {
            // Its default depends on the users in the web configuration.
            "access.anonymous" => anonymous(state),
            _ => setting.value.clone(),
        };
        let place = match &setting.origin {
            Origin::Default | Origin::Memory => None,
            Origin::File { line } => Some(Place::Line(*line)),
            Origin::Environment { variable } => Some(Place::Name(variable)),
            Origin::Flag { name } => Some(Place::Name(name)),
        };
        Setting { key: setting.key, value, origin: setting.origin.name(), place }
    }
}

fn anonymous(state: &State) -> String {
    let Some(guard) = &state.guard else { return "everything".to_owned() };
    let names: Vec<&str> = guard.anonymous().names().collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join("+") }
}
