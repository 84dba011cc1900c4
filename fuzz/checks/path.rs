//! Request paths: every path leads to a route, and every grouping has a path that leads back to it.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use tallygate::exposition::text::Names;
use tallygate::http::path;
use tallygate::http::route::{Endpoint, Route, Routes};
use tallygate::model::grouping::Grouping;
use tallygate::model::labels::EmptyLabels;
use tallygate::model::name::is_legacy_label_name;

const METHODS: [&str; 6] = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];

/// The longest chain of redirects.
const MAX_REDIRECTS: usize = 3;

/// The input is a byte that chooses the method and the settings, and then a path.
pub fn path(input: &[u8]) {
    let Some((&choice, path)) = input.split_first() else { return };
    let Ok(path) = std::str::from_utf8(path) else { return };
    let method = METHODS[usize::from(choice) % METHODS.len()];
    let prefix = if choice & 0x40 == 0 { "" } else { "/prefix" };
    let routes = Routes {
        prefix: prefix.to_owned(),
        metrics_path: format!("{prefix}/metrics"),
        has_admin_api: true,
        default_job: if choice & 0x20 == 0 { String::new() } else { "default".to_owned() },
    };
    let names = if choice & 0x80 == 0 { Names::Legacy } else { Names::Utf8 };
    follow(&routes, method, path);
    if let Route::Endpoint(endpoint @ Endpoint::Group { .. }) = routes.route(method, path)
        && let Some(grouping) = grouping(&routes, endpoint, names)
    {
        check_grouping(&routes, &grouping, names);
    }
}

fn follow(routes: &Routes, method: &str, path: &str) {
    let mut path = path.to_owned();
    for _ in 0..MAX_REDIRECTS {
        let location = match routes.route(method, &path) {
            Route::Redirect { location, .. } => location,
            Route::Misspelt { right } => {
                assert!(
                    matches!(routes.route(method, &right), Route::Endpoint(_)),
                    "{method} {path}: {right}"
                );
                return;
            }
            _ => return,
        };
        assert!(!matches!(method, "POST" | "PUT" | "DELETE"), "{method} {path}: redirected to {location}");
        assert_ne!(location, path);
        path = location;
    }
    panic!("{path}: too many redirects");
}

fn grouping(routes: &Routes, endpoint: Endpoint<'_>, names: Names) -> Option<Grouping<'static>> {
    let Endpoint::Group { encoding, job, labels } = endpoint else { return None };
    match path::group(encoding, job, labels, &routes.default_job, names, EmptyLabels::Kept) {
        Ok(named) => Some(named.grouping.to_static()),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

fn check_grouping(routes: &Routes, grouping: &Grouping<'_>, names: Names) {
    let labels = grouping.labels();
    assert!(labels.iter().any(|label| label.name == "job" && !label.value.is_empty()), "{}", grouping.key());
    assert!(labels.is_sorted_by(|a, b| a.name < b.name), "{}", grouping.key());
    assert!(names == Names::Utf8 || labels.iter().all(|label| is_legacy_label_name(&label.name)));
    // The gateway would unescape a name that looks escaped.
    if names == Names::Utf8 && labels.iter().any(|label| label.name.starts_with("U__")) {
        return;
    }
    let mut path = format!("{}/metrics", routes.prefix);
    let job = labels.iter().position(|label| label.name == "job").unwrap_or_default();
    for label in [&labels[job]].into_iter().chain(labels.iter().filter(|label| label.name != "job")) {
        path.push('/');
        for byte in label.name.bytes() {
            write!(path, "%{byte:02x}").unwrap();
        }
        let value = URL_SAFE.encode(label.value.as_bytes());
        write!(path, "@base64/{}", if value.is_empty() { "=" } else { &value }).unwrap();
    }
    let Route::Endpoint(endpoint) = routes.route("POST", &path) else { panic!("{path} is no group") };
    assert_eq!(
        self::grouping(routes, endpoint, names).as_ref().map(Grouping::key),
        Some(grouping.key()),
        "{path}"
    );
}
