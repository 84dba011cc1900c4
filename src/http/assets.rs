//! The files of the page: scripts, style and picture, built into the program.
//!
//! Each has the path `static/VERSION/NAME`, where the version is a hash of all files. Browsers may keep these for
//! good, and never mix the files of two versions of the program. `static/NAME`, or another version, gives the same
//! file, but browsers must ask for it again each time.

mod bundle;

use std::sync::LazyLock;

use actix_web::http::{StatusCode, header};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::compress::{self, Body};
use super::{State, answer};

/// A file as it is sent, plain and compressed.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    plain: Bytes,
    gzip: Bytes,
    hash: u128,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! modules {
    ($($name:literal)*) => {
        [$(($name, include_str!(concat!("assets/", $name)))),*]
    };
}

/// The modules that make up `page.js`.
static MODULES: [bundle::Module; 24] = modules![
    "address.js" "api.js" "axis.js" "card.js" "confirm.js" "copy.js" "dom.js" "exemplars.js" "format.js" "group.js"
    "groups.js" "health.js" "histogram.js" "keyboard.js" "labels.js" "page.js" "row.js" "series.js" "sources.js"
    "sparkline.js" "storage.js" "theme-switch.js" "title.js" "value-row.js"
];

/// The modules that make up `status.js`, which browsers load when the status is looked at. They use those above.
static LATER: [bundle::Module; 7] =
    modules!["limits.js" "refusals.js" "replicas.js" "rules.js" "settings.js" "status.js" "tables.js"];

static ASSETS: LazyLock<[Asset; 5]> = LazyLock::new(|| {
    let style = include_str!("assets/page.css");
    let early = include_str!("assets/early.js");
    let icon = include_str!("assets/favicon.svg");
    [
        Asset::of("page.css", "text/css; charset=utf-8", bundle::without_comments(style)),
        Asset::of("favicon.svg", "image/svg+xml", icon.into()),
        Asset::of("early.js", SCRIPT, bundle::without_comments(early)),
        Asset::of("page.js", SCRIPT, bundle::bundle(&MODULES)),
        Asset::of("status.js", SCRIPT, bundle::later(&LATER, "status.js")),
    ]
});

impl Asset {
    fn of(name: &'static str, content_type: &'static str, content: String) -> Asset {
        let gzip = compress::gzip(content.as_bytes(), flate2::Compression::best()).into();
        Asset { name, content_type, gzip, hash: xxh3_128(content.as_bytes()), plain: content.into() }
    }

    fn tag(&self, is_gzip: bool) -> String {
        let encoding = if is_gzip { "-gzip" } else { "" };
        format!("\"{:032x}{encoding}\"", self.hash)
    }
}

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Xxh3::new();
    for asset in ASSETS.iter() {
        hash.update(asset.name.as_bytes());
        hash.update(&asset.plain);
    }
    format!("{:016x}", hash.digest())
});

/// The part of a path that names this version of all files.
pub(super) fn version() -> &'static str {
    &VERSION
}

/// Answers a request for the file at `path`, which is what follows `static/`.
pub(super) fn file(state: &State, request: &HttpRequest, path: &str) -> HttpResponse {
    let answer = answer_to(path, if_none_match(request), compress::takes_gzip(request));
    state.gateway.telemetry().request("static", request.method().as_str(), answer.status().as_u16());
    answer
}

fn if_none_match(request: &HttpRequest) -> Option<&str> {
    request.headers().get(header::IF_NONE_MATCH)?.to_str().ok()
}

fn answer_to(path: &str, known: Option<&str>, takes_gzip: bool) -> HttpResponse {
    let (version, name) = path.split_once('/').unwrap_or(("", path));
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return answer::error(StatusCode::NOT_FOUND, "404 page not found");
    };
    let tag = asset.tag(takes_gzip);
    let is_known =
        known.is_some_and(|tags| tags.split(',').map(str::trim).any(|one| one == "*" || one.ends_with(&tag)));
    let mut answer = HttpResponse::build(if is_known { StatusCode::NOT_MODIFIED } else { StatusCode::OK });
    let caching = if version == *VERSION { "max-age=31536000, immutable" } else { "no-cache" };
    answer.insert_header((header::ETAG, tag)).insert_header((header::CACHE_CONTROL, caching));
    if is_known {
        return answer.finish();
    }
    answer.content_type(asset.content_type);
    let body = if takes_gzip { &asset.gzip } else { &asset.plain };
    Body::ready(body.clone(), takes_gzip).send(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header_of(answer: &HttpResponse, name: header::HeaderName) -> &str {
        answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[test]
    fn a_versioned_file_is_kept_and_a_plain_one_is_asked_for_again() {
        let versioned = answer_to(&format!("{}/page.js", version()), None, false);
        assert_eq!(versioned.status(), 200);
        assert!(header_of(&versioned, header::CACHE_CONTROL).contains("immutable"));
        assert_eq!(header_of(&versioned, header::CONTENT_TYPE), SCRIPT);
        for path in ["page.js", "0000000000000000/page.js"] {
            let plain = answer_to(path, None, false);
            assert_eq!(plain.status(), 200, "{path}");
            assert_eq!(header_of(&plain, header::CACHE_CONTROL), "no-cache", "{path}");
        }
    }

    #[test]
    fn a_known_file_is_not_sent_again() {
        let tag = header_of(&answer_to("page.css", None, true), header::ETAG).to_owned();
        assert_ne!(tag, header_of(&answer_to("page.css", None, false), header::ETAG));
        for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
            assert_eq!(answer_to("page.css", Some(&known), true).status(), 304, "{known}");
        }
        assert_eq!(answer_to("page.css", Some("\"other\""), false).status(), 200);
    }

    #[test]
    fn there_is_nothing_but_the_files() {
        for path in ["", "/", "page", "dom.js", "page.html", "a/b/page.js", "../page.rs", "page.js/"] {
            assert_eq!(answer_to(path, None, false).status(), 404, "{path}");
        }
    }

    /// Finds a module that is missing, or in a circle, before a user's browser does.
    #[test]
    fn every_module_and_its_imports_are_in_a_script() {
        let (script, later) = (bundle::bundle(&MODULES), bundle::later(&LATER, "status.js"));
        let all = || MODULES.iter().chain(&LATER);
        for (name, text) in all() {
            let is_in = |script: &str| script.contains(&format!("\nmodules[\"{name}\"] = (() => {{\n"));
            assert!(is_in(&script) != is_in(&later), "{name} is in none, or in both");
            for import in bundle::imports(text) {
                let known = if is_in(&script) {
                    MODULES.iter().any(|(other, _)| *other == import)
                } else {
                    all().any(|(other, _)| *other == import)
                };
                assert!(known, "{name}: {import}");
            }
        }
        // A text that spans lines would lose its indentation.
        let is_whole = |line: &str| line.matches('`').count().is_multiple_of(2);
        assert!(all().all(|(_, text)| text.lines().all(is_whole)));
        let is_left = |line: &&str| line.starts_with("import ") || line.starts_with("export ");
        let left = |script: &str| script.lines().filter(is_left).count();
        assert_eq!((left(&script), left(&later)), (1, 2));
    }

    /// On a slow network each kilobyte of these is time until the first group is seen.
    #[test]
    fn what_the_list_needs_stays_small() {
        let size =
            |name: &str| ASSETS.iter().find(|asset| asset.name == name).map_or(0, |asset| asset.gzip.len());
        let all: usize = ["page.css", "early.js", "page.js"].into_iter().map(size).sum();
        assert!(all < 30 * 1024, "{all} bytes");
    }
}
