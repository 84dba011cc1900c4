//! Finds the endpoint of a request: the stock gateway's router, on percent-encoded paths.
//!
//! It is a pure function of method and path, so that every oddity of the stock router (Go's `ServeMux` in front of
//! httprouter) can be tested without a server.

use std::borrow::Cow;

use crate::http::path::{JobEncoding, clean, decode, job_component};

/// An endpoint of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint<'a> {
    /// A scrape.
    Metrics,
    /// Push to a group, or delete it.
    Group {
        /// How the job is encoded.
        encoding: JobEncoding,
        /// The job, still percent-encoded.
        job: &'a str,
        /// The rest of the path with its leading slash, still percent-encoded.
        labels: &'a str,
    },
    /// The page.
    Page,
    /// A file of the page. The path behind `/static/`.
    Static(&'a str),
    /// Health.
    Healthy,
    /// Readiness.
    Ready,
    /// Stops the gateway.
    Quit,
    /// Reads rules and web configuration again.
    Reload,
    /// Build, flags and start time.
    ApiStatus,
    /// All groups as JSON.
    ApiMetrics,
    /// Deletes all groups.
    ApiWipe,
    /// Deletes the groups and series that match selectors.
    ApiDelete,
    /// What is wrong as JSON.
    ApiHealth,
    /// The latest pushes that could not be read as JSON.
    ApiRefusals,
    /// A page of groups as JSON.
    ApiGroups,
    /// One group as JSON.
    ApiGroup {
        /// Its id, still percent-encoded.
        id: &'a str,
    },
    /// A page of sources of a group as JSON.
    ApiSources {
        /// The id of the group, still percent-encoded.
        id: &'a str,
    },
    /// A page of series of a group as JSON.
    ApiSeries {
        /// The id of the group, still percent-encoded.
        id: &'a str,
    },
}

/// The result of routing a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// An endpoint answers it.
    Endpoint(Endpoint<'a>),
    /// The endpoint answers only these other methods.
    MethodNotAllowed(&'static str),
    /// `GET /-/quit`, which has an answer of its own.
    QuitNeedsPost,
    /// `OPTIONS`, with the methods of the endpoint.
    Options(&'static str),
    /// `OPTIONS` on any path below the API.
    ApiOptions,
    /// A redirect to the canonical path. It is safe, because the request changes nothing.
    Redirect {
        /// 301 or 307.
        code: u16,
        /// The path.
        location: String,
    },
    /// The path is misspelt and the request would change something. It is refused, because clients take a redirect
    /// for success.
    Misspelt {
        /// The right path.
        right: String,
    },
    /// The path of a request that would change something has `.` or `..` as a component.
    Dots,
    /// The path has a malformed escape.
    BadPath,
    /// No endpoint has this path.
    NotFound,
}

/// The paths of the endpoints.
#[derive(Clone, Debug)]
pub struct Routes {
    /// The route prefix: empty, or with a leading and without a trailing slash.
    pub prefix: String,
    /// The path of scrapes, prefix included.
    pub metrics_path: String,
    /// Whether the admin API is enabled.
    pub has_admin_api: bool,
    /// The job of groups whose path has none. If it is empty, there are no such paths.
    pub default_job: String,
}

impl Endpoint<'_> {
    /// The methods that the endpoint answers, as an `Allow` header lists them.
    fn methods(self) -> &'static str {
        match self {
            Endpoint::Group { .. } => "DELETE, OPTIONS, POST, PUT",
            Endpoint::Quit | Endpoint::Reload => "OPTIONS, POST, PUT",
            Endpoint::ApiWipe | Endpoint::ApiDelete => "OPTIONS, PUT",
            _ => "GET, HEAD, OPTIONS",
        }
    }

    fn answers(self, method: &str) -> bool {
        match self {
            Endpoint::Group { .. } => matches!(method, "POST" | "PUT" | "DELETE"),
            Endpoint::Quit | Endpoint::Reload => matches!(method, "POST" | "PUT"),
            Endpoint::ApiWipe | Endpoint::ApiDelete => method == "PUT",
            _ => matches!(method, "GET" | "HEAD"),
        }
    }
}

impl Routes {
    /// Routes a request with this method and percent-encoded path.
    pub fn route<'a>(&self, method: &str, path: &'a str) -> Route<'a> {
        match self.find(method, path) {
            // The target of `CONNECT` is not a path. `head` may have appended a suffix to the method to hide it
            // from the library.
            Route::Redirect { .. } if method.starts_with("CONNECT") => Route::NotFound,
            route => route,
        }
    }

    /// The group that a path without a job names, if there are such paths.
    fn jobless<'a>(&self, path: &'a str) -> Option<Endpoint<'a>> {
        if self.default_job.is_empty() {
            return None;
        }
        let rest = below(path, &self.prefix)?.strip_prefix('/')?;
        let (metrics, labels) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        (decode(metrics)?.as_ref() == b"metrics").then(|| Endpoint::Group {
            encoding: JobEncoding::Missing,
            job: "",
            labels: one_slash(labels).unwrap_or_default(),
        })
    }

    fn find<'a>(&self, method: &str, path: &'a str) -> Route<'a> {
        if let Some(group) = self.plain_group(path)
            && group.answers(method)
        {
            return Route::Endpoint(group);
        }
        let Some(decoded) = decode(path) else { return Route::BadPath };
        if matches!(method, "POST" | "PUT" | "DELETE") {
            return self.changing(method, path);
        }
        if let Cow::Owned(location) = clean(path) {
            return Route::Redirect { code: 307, location };
        }
        let api = format!("{}/api/v1", self.prefix);
        if decoded.strip_prefix(api.as_bytes()).is_some_and(|rest| rest.first().is_none_or(|b| *b == b'/')) {
            return self.api_route(method, path, &decoded[api.len()..]);
        }
        if let Some(endpoint) = self.endpoint(path, &decoded) {
            return self.answer(method, endpoint);
        }
        match self.better_path(method, path, &decoded) {
            Some(location) => Route::Redirect { code: if method == "GET" { 301 } else { 307 }, location },
            None => self.jobless(path).map_or(Route::NotFound, |group| self.answer(method, group)),
        }
    }

    /// Routes a request that would change something. It is never redirected.
    fn changing<'a>(&self, method: &str, path: &'a str) -> Route<'a> {
        if path.split('/').any(|component| matches!(component, "." | "..")) {
            return Route::Dots;
        }
        // Several slashes behind the prefix count as one, because a client's base URL may end with a slash.
        let Some(below) = below(path, &self.prefix) else { return Route::NotFound };
        if let Some(group) = group_below(below) {
            return Route::Endpoint(group);
        }
        let plain = format!("{}{below}", self.prefix);
        let Some(decoded) = decode(&plain) else { return Route::BadPath };
        let api = format!("{}/api/v1/", self.prefix);
        if decoded.starts_with(api.as_bytes()) {
            return match self.api_route(method, &plain, &decoded[api.len() - 1..]) {
                Route::Endpoint(Endpoint::ApiWipe) => Route::Endpoint(Endpoint::ApiWipe),
                Route::Endpoint(Endpoint::ApiDelete) => Route::Endpoint(Endpoint::ApiDelete),
                Route::MethodNotAllowed(methods) => Route::MethodNotAllowed(methods),
                _ => match plain.strip_suffix('/') {
                    Some(right)
                        if self.has_admin_api
                            && method == "PUT"
                            && ["/admin/wipe", "/admin/delete"].iter().any(|end| right.ends_with(end)) =>
                    {
                        Route::Misspelt { right: right.to_owned() }
                    }
                    _ => Route::NotFound,
                },
            };
        }
        let endpoint = self.endpoint(&plain, &decoded);
        let group =
            if matches!(endpoint, None | Some(Endpoint::Metrics)) { self.jobless(path) } else { None };
        match endpoint {
            Some(Endpoint::Quit) => self.answer(method, Endpoint::Quit),
            Some(Endpoint::Reload) => self.answer(method, Endpoint::Reload),
            Some(endpoint) => group.map_or(Route::MethodNotAllowed(endpoint.methods()), Route::Endpoint),
            None => match self.better_path(method, &plain, &decoded) {
                Some(right) => Route::Misspelt { right },
                None => group.map_or(Route::NotFound, Route::Endpoint),
            },
        }
    }

    fn answer<'a>(&self, method: &str, endpoint: Endpoint<'a>) -> Route<'a> {
        // Without a prefix, the stock router has a handler for GET on this path, which refuses it.
        let has_get_quit = endpoint == Endpoint::Quit && self.prefix.is_empty();
        let methods = match endpoint {
            Endpoint::Quit if has_get_quit => "GET, OPTIONS, POST, PUT",
            Endpoint::Metrics if self.jobless(&self.metrics_path).is_some() => {
                "DELETE, GET, HEAD, OPTIONS, POST, PUT"
            }
            _ => endpoint.methods(),
        };
        match method {
            "GET" if has_get_quit => Route::QuitNeedsPost,
            "OPTIONS" => Route::Options(methods),
            _ if endpoint.answers(method) => Route::Endpoint(endpoint),
            _ => Route::MethodNotAllowed(methods),
        }
    }

    fn api_route<'a>(&self, method: &str, path: &'a str, rest: &[u8]) -> Route<'a> {
        let endpoint = match rest {
            b"" => return Route::Redirect { code: 307, location: format!("{path}/") },
            b"/status" => Endpoint::ApiStatus,
            b"/metrics" => Endpoint::ApiMetrics,
            b"/admin/wipe" if self.has_admin_api => Endpoint::ApiWipe,
            b"/admin/delete" if self.has_admin_api => Endpoint::ApiDelete,
            b"/health" => Endpoint::ApiHealth,
            b"/refusals" => Endpoint::ApiRefusals,
            b"/groups" => Endpoint::ApiGroups,
            _ if method == "OPTIONS" => return Route::ApiOptions,
            b"/status/" | b"/metrics/" | b"/health/" | b"/refusals/" | b"/groups/" if method == "GET" => {
                return Route::Redirect { code: 301, location: path.trim_end_matches('/').to_owned() };
            }
            _ => match (group_of_api(path, rest), path.strip_suffix('/')) {
                (Some(endpoint), _) => endpoint,
                (None, Some(shorter))
                    if method == "GET" && group_of_api(shorter, &rest[..rest.len() - 1]).is_some() =>
                {
                    return Route::Redirect { code: 301, location: shorter.to_owned() };
                }
                _ => return Route::NotFound,
            },
        };
        match method {
            "OPTIONS" => Route::ApiOptions,
            _ if endpoint.answers(method) => Route::Endpoint(endpoint),
            _ => Route::MethodNotAllowed(endpoint.methods()),
        }
    }

    fn endpoint<'a>(&self, path: &'a str, decoded: &[u8]) -> Option<Endpoint<'a>> {
        if decoded == self.metrics_path.as_bytes() {
            return Some(Endpoint::Metrics);
        }
        let below = decoded.strip_prefix(self.prefix.as_bytes())?;
        match below {
            b"/" | b"/status" => Some(Endpoint::Page),
            b"/-/healthy" => Some(Endpoint::Healthy),
            b"/-/ready" => Some(Endpoint::Ready),
            b"/-/quit" => Some(Endpoint::Quit),
            b"/-/reload" => Some(Endpoint::Reload),
            _ => match self::below(path, &self.prefix)?.strip_prefix("/static/") {
                Some(file) => Some(Endpoint::Static(file)),
                None => self.group(path),
            },
        }
    }

    /// The fast path for nearly every request: a path to a group without escapes, with its fixed part in plain
    /// spelling, and without components that begin with a dot.
    fn plain_group<'a>(&self, path: &'a str) -> Option<Endpoint<'a>> {
        let rest = path.strip_prefix(&*self.prefix)?.strip_prefix("/metrics/job")?;
        let is_plain = |pair: &[u8]| pair != b"/.";
        if rest.contains('%') || !rest.as_bytes().windows(2).all(is_plain) {
            return None;
        }
        let (encoding, rest) = match rest.strip_prefix('/') {
            Some(rest) => (JobEncoding::Plain, rest),
            None => (JobEncoding::Base64, rest.strip_prefix("@base64/")?),
        };
        let (job, labels) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        (!job.is_empty()).then_some(Endpoint::Group { encoding, job, labels })
    }

    fn group<'a>(&self, path: &'a str) -> Option<Endpoint<'a>> {
        let group = group_below(below(path, &self.prefix)?)?;
        (!matches!(group, Endpoint::Group { job: "", .. })).then_some(group)
    }

    /// The path to which httprouter would redirect: without a trailing slash, or in the right case.
    fn better_path(&self, method: &str, path: &str, decoded: &[u8]) -> Option<String> {
        let has_route = |candidate: &str| {
            self.endpoint(candidate, candidate.as_bytes()).is_some_and(|endpoint| {
                endpoint.answers(method) || (endpoint == Endpoint::Quit && method == "GET")
            })
        };
        let decoded = std::str::from_utf8(decoded).ok()?;
        let trimmed = decoded.strip_suffix('/').unwrap_or(decoded);
        let fixed = [&*self.metrics_path, "/status", "/-/healthy", "/-/ready", "/-/quit", "/-/reload"];
        let fixed = fixed
            .iter()
            .enumerate()
            .map(|(at, known)| if at == 0 { (*known).to_owned() } else { format!("{}{known}", self.prefix) });
        if let Some(known) =
            fixed.into_iter().find(|known| known.eq_ignore_ascii_case(trimmed) && has_route(known))
        {
            return Some(known);
        }
        let root = format!("{}/", self.prefix);
        if !self.prefix.is_empty() && self.prefix.eq_ignore_ascii_case(trimmed) && has_route(&root) {
            return Some(root);
        }
        // The fixed part of the path of a group is in the wrong case.
        let start = format!("{}/metrics/job", self.prefix);
        let head =
            path.get(..start.len()).filter(|head| head.eq_ignore_ascii_case(&start) && *head != start)?;
        let mut tail = path[head.len()..].to_owned();
        if let Some(word) = tail.get(..BASE64.len()).filter(|word| word.eq_ignore_ascii_case(BASE64)) {
            tail.replace_range(..word.len(), BASE64);
        }
        let candidate = format!("{start}{tail}");
        (self.group(&candidate).is_some_and(|group| group.answers(method))).then_some(candidate)
    }
}

/// The group, or its series, that a path below the API names.
fn group_of_api<'a>(path: &'a str, rest: &[u8]) -> Option<Endpoint<'a>> {
    let below = rest.strip_prefix(b"/groups/")?;
    let mut components = path.rsplit('/');
    let id_before = |end: &[u8]| below.strip_suffix(end);
    let (id, endpoint): (_, fn(&'a str) -> Endpoint<'a>) =
        match (id_before(b"/series"), id_before(b"/sources")) {
            (Some(id), _) => (id, |id| Endpoint::ApiSeries { id }),
            (_, Some(id)) => (id, |id| Endpoint::ApiSources { id }),
            (None, None) => (below, |id| Endpoint::ApiGroup { id }),
        };
    if id.len() < below.len() {
        components.next();
    }
    // An id never holds a percent-encoded slash.
    let escaped = components.next().filter(|escaped| decode(escaped).as_deref() == Some(id))?;
    (!id.is_empty() && !id.contains(&b'/')).then(|| endpoint(escaped))
}

const BASE64: &str = "@base64";

/// The rest of a percent-encoded path behind `prefix`, with one leading slash, even if there are several. The
/// prefix may be percent-encoded too.
fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let mut rest = path;
    for component in prefix.split('/').filter(|component| !component.is_empty()) {
        let start = one_slash(rest)?.strip_prefix('/')?;
        let (first, _) = start.split_once('/')?;
        (decode(first)?.as_ref() == component.as_bytes()).then_some(())?;
        rest = &start[first.len()..];
    }
    one_slash(rest)
}

/// The text with only one of its leading slashes.
fn one_slash(text: &str) -> Option<&str> {
    let slashes = text.len() - text.trim_start_matches('/').len();
    text.get(slashes.checked_sub(1)?..)
}

/// The group that a path below the prefix names. Up to the job, several slashes count as one. Behind it, each
/// begins a component, which may be empty.
fn group_below(path: &str) -> Option<Endpoint<'_>> {
    let (metrics, rest) = path.strip_prefix('/')?.split_once('/')?;
    let (job_word, rest) = rest.trim_start_matches('/').split_once('/')?;
    let encoding = job_component(job_word).filter(|_| decode(metrics).as_deref() == Some(b"metrics"))?;
    // The stock gateway has no endpoint there, but the client should learn that the job is empty.
    if rest.is_empty() && encoding == JobEncoding::Base64 {
        return None;
    }
    let (job, labels) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    Some(Endpoint::Group { encoding, job, labels })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(prefix: &str) -> Routes {
        Routes {
            prefix: prefix.into(),
            metrics_path: format!("{prefix}/metrics"),
            has_admin_api: true,
            default_job: String::new(),
        }
    }

    fn redirect(code: u16, location: &str) -> Route<'static> {
        Route::Redirect { code, location: location.into() }
    }

    #[test]
    fn endpoints() {
        let routes = routes("");
        let group = |encoding, job, labels| Route::Endpoint(Endpoint::Group { encoding, job, labels });
        for (request, route) in [
            ("GET /metrics", Route::Endpoint(Endpoint::Metrics)),
            ("HEAD /metrics", Route::Endpoint(Endpoint::Metrics)),
            ("GET /", Route::Endpoint(Endpoint::Page)),
            ("GET /status", Route::Endpoint(Endpoint::Page)),
            ("GET /static/v/page.js", Route::Endpoint(Endpoint::Static("v/page.js"))),
            ("HEAD /static/", Route::Endpoint(Endpoint::Static(""))),
            ("POST /static/page.js", Route::MethodNotAllowed("GET, HEAD, OPTIONS")),
            ("OPTIONS /static/page.js", Route::Options("GET, HEAD, OPTIONS")),
            ("GET /static", Route::NotFound),
            ("PUT /metrics/job/a", group(JobEncoding::Plain, "a", "")),
            ("POST /metrics/job/a/", group(JobEncoding::Plain, "a", "/")),
            ("DELETE /metrics/job@base64/YQ/b/c", group(JobEncoding::Base64, "YQ", "/b/c")),
            ("POST /metrics/job%40base64/YQ", group(JobEncoding::Base64, "YQ", "")),
            ("POST /metrics/job/%2F", group(JobEncoding::Plain, "%2F", "")),
            ("POST /metrics/job/a/b//c/d", group(JobEncoding::Plain, "a", "/b//c/d")),
            ("PUT /metrics/job/a/.b/..c/...", group(JobEncoding::Plain, "a", "/.b/..c/...")),
            ("GET /metrics/job/a", Route::MethodNotAllowed("DELETE, OPTIONS, POST, PUT")),
            ("POST /metrics", Route::MethodNotAllowed("GET, HEAD, OPTIONS")),
            ("OPTIONS /metrics/job/a", Route::Options("DELETE, OPTIONS, POST, PUT")),
            ("GET /-/quit", Route::QuitNeedsPost),
            ("DELETE /-/quit", Route::MethodNotAllowed("GET, OPTIONS, POST, PUT")),
            ("PUT /-/quit", Route::Endpoint(Endpoint::Quit)),
            ("POST /-/reload", Route::Endpoint(Endpoint::Reload)),
            ("GET /-/reload", Route::MethodNotAllowed("OPTIONS, POST, PUT")),
            ("GET /api/v1/metrics", Route::Endpoint(Endpoint::ApiMetrics)),
            ("POST /api/v1/admin/wipe", Route::MethodNotAllowed("OPTIONS, PUT")),
            ("POST /api/v1/admin/delete", Route::MethodNotAllowed("OPTIONS, PUT")),
            ("DELETE /api/v1/admin/delete", Route::MethodNotAllowed("OPTIONS, PUT")),
            ("OPTIONS /api/v1/nope", Route::ApiOptions),
            ("GET /api/v1/nope", Route::NotFound),
            ("HEAD /api/v1/health", Route::Endpoint(Endpoint::ApiHealth)),
            ("GET /api/v1/refusals", Route::Endpoint(Endpoint::ApiRefusals)),
            ("POST /api/v1/refusals", Route::MethodNotAllowed("GET, HEAD, OPTIONS")),
            ("GET /api/v1/groups", Route::Endpoint(Endpoint::ApiGroups)),
            ("HEAD /api/v1/groups/e30", Route::Endpoint(Endpoint::ApiGroup { id: "e30" })),
            ("GET /api/v1/groups/e3%30", Route::Endpoint(Endpoint::ApiGroup { id: "e3%30" })),
            ("GET /api/v1/groups/series", Route::Endpoint(Endpoint::ApiGroup { id: "series" })),
            ("GET /api/v1/groups/e30/series", Route::Endpoint(Endpoint::ApiSeries { id: "e30" })),
            ("GET /api/v1/groups/e30/sources", Route::Endpoint(Endpoint::ApiSources { id: "e30" })),
            ("GET /api/v1/groups/series/series", Route::Endpoint(Endpoint::ApiSeries { id: "series" })),
            ("POST /api/v1/groups", Route::MethodNotAllowed("GET, HEAD, OPTIONS")),
            ("DELETE /api/v1/groups/e30", Route::MethodNotAllowed("GET, HEAD, OPTIONS")),
            ("PUT /api/v1/groups/e30/series", Route::MethodNotAllowed("GET, HEAD, OPTIONS")),
            ("OPTIONS /api/v1/groups/e30/series", Route::ApiOptions),
            ("GET /api/v1/group", Route::NotFound),
            ("GET /api/v1/groupse30", Route::NotFound),
            ("GET /api/v1/groups/e30/other", Route::NotFound),
            ("GET /api/v1/groups/e30/series/0", Route::NotFound),
            ("GET /api/v1/groups/e%2F30", Route::NotFound),
            ("GET /api/v1/groups/e30%2Fseries", Route::NotFound),
            ("POST /api/v1/groups/", Route::NotFound),
            ("POST /api/v1/groups/e30/", Route::NotFound),
            ("GET /nope", Route::NotFound),
            ("POST /metrics/jobs/x", Route::NotFound),
            ("POST /metrics/job", Route::NotFound),
            ("POST /metrics/job@base64/", Route::NotFound),
            ("GET /%zz", Route::BadPath),
        ] {
            let (method, path) = request.split_once(' ').unwrap();
            assert_eq!(routes.route(method, path), route, "{request}");
        }
    }

    #[test]
    fn redirects() {
        let routes = routes("");
        for (request, route) in [
            ("GET /status/", redirect(301, "/status")),
            ("POST /status/", Route::NotFound),
            ("GET /METRICS", redirect(301, "/metrics")),
            ("GET /-/healthy/", redirect(301, "/-/healthy")),
            ("HEAD //metrics", redirect(307, "/metrics")),
            ("PATCH //metrics/job/a", redirect(307, "/metrics/job/a")),
            ("OPTIONS //metrics/job/a", redirect(307, "/metrics/job/a")),
            ("GET /metrics/job//a", redirect(307, "/metrics/job/a")),
            ("GET /api/v1", redirect(307, "/api/v1/")),
            ("GET /static/../metrics", redirect(307, "/metrics")),
            ("GET /api/v1/metrics/", redirect(301, "/api/v1/metrics")),
            ("GET /api/v1/groups/", redirect(301, "/api/v1/groups")),
            ("GET /api/v1/groups/e30/", redirect(301, "/api/v1/groups/e30")),
            ("GET /api/v1/groups/e30/series/", redirect(301, "/api/v1/groups/e30/series")),
            ("GET /api/v1/groups//series", redirect(307, "/api/v1/groups/series")),
        ] {
            let (method, path) = request.split_once(' ').unwrap();
            assert_eq!(routes.route(method, path), route, "{request}");
        }
    }

    #[test]
    fn nothing_that_changes_something_is_redirected() {
        let group =
            |encoding, job, labels: &'static str| Route::Endpoint(Endpoint::Group { encoding, job, labels });
        let right = |path: &str| Route::Misspelt { right: path.into() };
        for (prefix, path, route) in [
            ("", "//metrics/job/a", group(JobEncoding::Plain, "a", "")),
            ("", "///metrics/job/a/b//c/d", group(JobEncoding::Plain, "a", "/b//c/d")),
            ("", "/metrics//job/a", group(JobEncoding::Plain, "a", "")),
            ("", "//metrics/job@base64/YQ/b/", group(JobEncoding::Base64, "YQ", "/b/")),
            ("", "//metrics/job/%2F%2E%2E/b/c", group(JobEncoding::Plain, "%2F%2E%2E", "/b/c")),
            ("", "/%2Fmetrics/job/a", Route::NotFound),
            ("", "/metrics/job/", group(JobEncoding::Plain, "", "")),
            ("", "/metrics/job//a", group(JobEncoding::Plain, "", "/a")),
            ("", "/metrics/job@base64//a/b", group(JobEncoding::Base64, "", "/a/b")),
            ("", "/metrics/job", Route::NotFound),
            ("", "/metrics/job@base64", Route::NotFound),
            ("", "/metrics/job@base64/", Route::NotFound),
            ("", "/metrics/job/a/b/..", Route::Dots),
            ("", "/./metrics/job/a", Route::Dots),
            ("", "/metrics/job/./b/c", Route::Dots),
            ("", "/Metrics/JOB/Abc/D/e", right("/metrics/job/Abc/D/e")),
            ("", "//Metrics/Job@Base64/YQ", right("/metrics/job@base64/YQ")),
            ("", "/status/", Route::NotFound),
            ("", "//status", Route::MethodNotAllowed("GET, HEAD, OPTIONS")),
            ("", "//api/v1/metrics", Route::MethodNotAllowed("GET, HEAD, OPTIONS")),
            ("", "/api/v1", Route::NotFound),
            ("", "/api/v1/metrics/", Route::NotFound),
            ("", "", Route::NotFound),
            ("", "*", Route::NotFound),
            ("/p/q", "//p///q//metrics/job/a", group(JobEncoding::Plain, "a", "")),
            ("/p/q", "/p/q/metrics/job/a//b/v", group(JobEncoding::Plain, "a", "//b/v")),
            ("/p/q", "/%70/q//metrics/job/a", group(JobEncoding::Plain, "a", "")),
            ("/p/q", "//metrics/job/a", Route::NotFound),
            ("/p/q", "/p/q/METRICS/job/a", right("/p/q/metrics/job/a")),
        ] {
            for method in ["POST", "PUT", "DELETE"] {
                assert_eq!(routes(prefix).route(method, path), route, "{method} {path}");
            }
        }
        for (method, path, route) in [
            ("PUT", "//-/quit", Route::Endpoint(Endpoint::Quit)),
            ("POST", "/-/quit/", right("/-/quit")),
            ("PUT", "/-/Quit", right("/-/quit")),
            ("PUT", "//-/reload", Route::Endpoint(Endpoint::Reload)),
            ("POST", "/-/reload/", right("/-/reload")),
            ("DELETE", "/-/quit/", Route::NotFound),
            ("PUT", "//api/v1/admin/wipe", Route::Endpoint(Endpoint::ApiWipe)),
            ("PUT", "/api/v1/admin/wipe/", right("/api/v1/admin/wipe")),
            ("PUT", "//api/v1/admin/delete", Route::Endpoint(Endpoint::ApiDelete)),
            ("PUT", "/api/v1/admin/delete/", right("/api/v1/admin/delete")),
            ("POST", "/api/v1/admin/wipe/", Route::NotFound),
            ("PUT", "/api/v1//admin/wipe", Route::NotFound),
        ] {
            assert_eq!(routes("").route(method, path), route, "{method} {path}");
        }
    }

    #[test]
    fn paths_without_a_job() {
        let with_job = |prefix| Routes { default_job: "default".into(), ..routes(prefix) };
        let jobless =
            |labels| Route::Endpoint(Endpoint::Group { encoding: JobEncoding::Missing, job: "", labels });
        let group =
            |labels| Route::Endpoint(Endpoint::Group { encoding: JobEncoding::Plain, job: "a", labels });
        for (prefix, path, route) in [
            ("", "/metrics", jobless("")),
            ("", "/metrics/", jobless("/")),
            ("", "//metrics//", jobless("/")),
            ("", "/metrics/domain/a", jobless("/domain/a")),
            ("", "/metrics//domain/a/b//", jobless("/domain/a/b//")),
            ("", "/%6detrics/domain/a%2Fb", jobless("/domain/a%2Fb")),
            ("", "/metrics/jobs/x", jobless("/jobs/x")),
            ("", "/metrics/job", jobless("/job")),
            ("", "/metrics/job/a/domain/b", group("/domain/b")),
            // Rather a mistake than a label of that name.
            ("", "/metrics/JOB/a", Route::Misspelt { right: "/metrics/job/a".into() }),
            ("", "/metrics/domain/..", Route::Dots),
            ("", "/metric", Route::NotFound),
            ("/p", "/p/metrics", jobless("")),
            ("/p", "/p/metrics/domain/a", jobless("/domain/a")),
            ("/p", "/metrics", Route::NotFound),
        ] {
            for method in ["POST", "PUT", "DELETE"] {
                assert_eq!(with_job(prefix).route(method, path), route, "{method} {path}");
            }
        }
        let elsewhere = Routes { metrics_path: "/scrape".into(), ..with_job("") };
        assert_eq!(elsewhere.route("POST", "/metrics"), jobless(""));
        assert_eq!(elsewhere.route("POST", "/scrape"), Route::MethodNotAllowed("GET, HEAD, OPTIONS"));
        for (request, route) in [
            ("GET /metrics", Route::Endpoint(Endpoint::Metrics)),
            ("HEAD /metrics", Route::Endpoint(Endpoint::Metrics)),
            ("GET /metrics/", redirect(301, "/metrics")),
            ("PATCH /metrics", Route::MethodNotAllowed("DELETE, GET, HEAD, OPTIONS, POST, PUT")),
            ("OPTIONS /metrics", Route::Options("DELETE, GET, HEAD, OPTIONS, POST, PUT")),
            ("GET /metrics/domain/a", Route::MethodNotAllowed("DELETE, OPTIONS, POST, PUT")),
            ("OPTIONS /metrics/domain/a", Route::Options("DELETE, OPTIONS, POST, PUT")),
        ] {
            let (method, path) = request.split_once(' ').unwrap();
            assert_eq!(with_job("").route(method, path), route, "{request}");
        }
    }

    #[test]
    fn below_a_prefix() {
        let routes = routes("/p/q");
        assert_eq!(routes.route("GET", "/p/q/"), Route::Endpoint(Endpoint::Page));
        assert_eq!(routes.route("GET", "/p/q/metrics"), Route::Endpoint(Endpoint::Metrics));
        assert_eq!(routes.route("GET", "/p/q/static/a"), Route::Endpoint(Endpoint::Static("a")));
        assert_eq!(routes.route("GET", "/static/a"), Route::NotFound);
        assert_eq!(routes.route("GET", "/metrics"), Route::NotFound);
        assert_eq!(routes.route("GET", "/p/q"), redirect(301, "/p/q/"));
        assert_eq!(routes.route("GET", "/p/q/-/quit"), Route::MethodNotAllowed("OPTIONS, POST, PUT"));
        let group = Endpoint::Group { encoding: JobEncoding::Plain, job: "a", labels: "/b/c" };
        assert_eq!(routes.route("POST", "/p/%71/metrics/job/a/b/c"), Route::Endpoint(group));
        assert_eq!(routes.route("GET", "/p/q/api/v1/status"), Route::Endpoint(Endpoint::ApiStatus));
        let series = Endpoint::ApiSeries { id: "e30" };
        assert_eq!(routes.route("GET", "/p/%71/api/v1/groups/e30/series"), Route::Endpoint(series));
        assert_eq!(routes.route("GET", "/api/v1/groups"), Route::NotFound);
    }
}
