//! The files of the page: scripts, style and picture, built into the program.
//!
//! Each has the path `static/VERSION/NAME`, where the version is a hash of all files. Browsers may keep these for
//! good, and never mix the files of two versions of the program. `static/NAME`, or another version, gives the same
//! file, but browsers must ask for it again each time.

use std::fmt::Write;
use std::sync::LazyLock;

use actix_web::http::{StatusCode, header};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::compress::{self, Body};
use super::{State, answer};

struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static str,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! script {
    ($name:literal) => {
        Asset { name: $name, content_type: SCRIPT, content: include_str!(concat!("assets/", $name)) }
    };
}

static ASSETS: [Asset; 21] = [
    Asset {
        name: "page.css",
        content_type: "text/css; charset=utf-8",
        content: include_str!("assets/page.css"),
    },
    Asset { name: "favicon.svg", content_type: "image/svg+xml", content: include_str!("assets/favicon.svg") },
    script!("address.js"),
    script!("api.js"),
    script!("confirm.js"),
    script!("copy.js"),
    script!("dom.js"),
    script!("format.js"),
    script!("group.js"),
    script!("groups.js"),
    script!("health.js"),
    script!("histogram.js"),
    script!("keyboard.js"),
    script!("page.js"),
    script!("refusals.js"),
    script!("row.js"),
    script!("series.js"),
    script!("sources.js"),
    script!("storage.js"),
    script!("theme-switch.js"),
    script!("theme.js"),
];

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Xxh3::new();
    for asset in &ASSETS {
        hash.update(asset.name.as_bytes());
        hash.update(asset.content.as_bytes());
    }
    format!("{:016x}", hash.digest())
});

/// The files, compressed; in the same order.
static COMPRESSED: LazyLock<Vec<Bytes>> = LazyLock::new(|| {
    let gzip = |asset: &Asset| compress::gzip(asset.content.as_bytes(), flate2::Compression::best());
    ASSETS.iter().map(|asset| gzip(asset).into()).collect()
});

/// Links that let a browser load all modules at once, and not one after the other as it finds their imports.
pub(super) fn preloads(folder: &str) -> String {
    let modules = ASSETS.iter().filter(|asset| asset.content_type == SCRIPT && asset.name != "theme.js");
    modules.fold(String::new(), |mut html, asset| {
        let _ = writeln!(html, "<link rel=\"modulepreload\" href=\"{folder}/{}\">", asset.name);
        html
    })
}

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
    let Some((at, asset)) = ASSETS.iter().enumerate().find(|(_, asset)| asset.name == name) else {
        return answer::error(StatusCode::NOT_FOUND, "404 page not found");
    };
    let tag = etag(asset, takes_gzip);
    let is_known =
        known.is_some_and(|tags| tags.split(',').map(str::trim).any(|one| one == "*" || one.ends_with(&tag)));
    let mut answer = HttpResponse::build(if is_known { StatusCode::NOT_MODIFIED } else { StatusCode::OK });
    let caching = if version == *VERSION { "max-age=31536000, immutable" } else { "no-cache" };
    answer.insert_header((header::ETAG, tag)).insert_header((header::CACHE_CONTROL, caching));
    if is_known {
        return answer.finish();
    }
    answer.content_type(asset.content_type);
    let plain = || Bytes::from_static(asset.content.as_bytes());
    Body::ready(if takes_gzip { COMPRESSED[at].clone() } else { plain() }, takes_gzip).send(answer)
}

fn etag(asset: &Asset, is_gzip: bool) -> String {
    let encoding = if is_gzip { "-gzip" } else { "" };
    format!("\"{:032x}{encoding}\"", xxh3_128(asset.content.as_bytes()))
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
        for path in ["", "/", "page", "page.html", "a/b/page.js", "../page.rs", "page.js/"] {
            assert_eq!(answer_to(path, None, false).status(), 404, "{path}");
        }
    }

    /// Finds a module that can't be fetched before a user's browser does.
    #[test]
    fn every_import_is_a_file() {
        for asset in &ASSETS {
            for line in asset.content.lines().filter(|line| line.starts_with("import ")) {
                let name = line.rsplit('"').nth(1).unwrap();
                let name = name.strip_prefix("./").unwrap();
                assert!(ASSETS.iter().any(|other| other.name == name), "{}: {name}", asset.name);
            }
        }
    }
}
