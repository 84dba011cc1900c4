//! The page and its files over plain HTTP.

use std::io::Read as _;

use crate::support::Gateway;

/// The URL of a file in the page.
fn linked(page: &str, name: &str) -> String {
    let end = page.find(name).unwrap_or_else(|| panic!("no {name} in the page")) + name.len();
    let start = page[..end].rfind('"').unwrap() + 1;
    page[start..end].to_owned()
}

#[test]
fn the_page_allows_its_own_files_only() {
    let gateway = Gateway::start(&[]);
    for path in ["/", "/status"] {
        let page = gateway.get(path);
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        let types = "require-trusted-types-for 'script'; trusted-types 'none'";
        assert!(policy.ends_with(types), "{policy}");
        let html = page.text();
        assert!(html.contains("<meta name=\"robots\" content=\"noindex,nofollow\">"));
        assert!(!html.contains("<style") && !html.contains(" style=") && !html.contains("://"), "{html}");
        assert!(!html.contains("id=\"wipe\""));
    }
    let head = gateway.request("HEAD", "/", &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    let gateway = Gateway::start(&["--web.enable-admin-api"]);
    assert!(gateway.get("/").text().contains("id=\"wipe\""));
}

/// A browser that finds modules only in other modules waits for one answer after the other. What is only for the status
/// comes when somebody looks at it.
#[test]
fn the_page_has_one_script_beside_its_colours() {
    let gateway = Gateway::start(&[]);
    let page = gateway.get("/").text();
    assert_eq!(page.matches("<script").count(), 2, "{page}");
    let path = linked(&page, "page.js").replacen('.', "", 1);
    let (script, later) =
        (gateway.get(&path).text(), gateway.get(&path.replace("page.js", "status.js")).text());
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/assets");
    let names =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    for name in names.filter(|name| name.ends_with(".js") && name != "early.js") {
        let is_in = |script: &str| script.contains(&format!("\nmodules[\"{name}\"]"));
        assert!(is_in(&script) != is_in(&later), "{name} is in no script, or in both");
    }
    assert!(!script.contains("\nimport ") && !later.contains("import \"./dom.js\""));
    assert!(
        script.contains("import(statusTries++ === 0 ? \"./status.js\""),
        "nothing loads the other script"
    );
}

#[test]
fn the_files_are_kept_by_browsers_and_counted() {
    let gateway = Gateway::start(&["--web.route-prefix=/p"]);
    let page = gateway.get("/p/").text();
    for (name, kind) in
        [("page.js", "text/javascript"), ("page.css", "text/css"), ("favicon.svg", "image/svg+xml")]
    {
        let link = linked(&page, name);
        let path = format!("/p/{}", link.strip_prefix("./").expect("a relative address"));
        let file = gateway.get(&path);
        assert_eq!(file.status, 200, "{path}");
        assert!(file.header("content-type").unwrap().starts_with(kind));
        assert!(file.header("cache-control").unwrap().contains("immutable"));
        let tag = file.header("etag").unwrap();
        assert_eq!(gateway.request("GET", &path, &[("If-None-Match", tag)], b"").status, 304);
        let head = gateway.request("HEAD", &path, &[], b"");
        assert_eq!((head.status, head.header("content-length")), (200, Some(&*file.body.len().to_string())));
    }
    let link = linked(&page, "page.js").replacen('.', "/p", 1);
    let compressed = gateway.request("GET", &link, &[("Accept-Encoding", "gzip, br")], b"");
    assert_eq!(
        (compressed.header("content-encoding"), compressed.header("vary")),
        (Some("gzip"), Some("Accept-Encoding"))
    );
    let mut plain = String::new();
    flate2::read::GzDecoder::new(&compressed.body[..]).read_to_string(&mut plain).unwrap();
    assert_eq!(plain, gateway.get(&link).text());
    assert_eq!(gateway.get("/p/static/nothing").status, 404);
    assert_eq!(gateway.get("/static/page.js").status, 404);
    assert_eq!(gateway.post("/p/static/page.js", "").status, 405);
    let metrics = gateway.get("/p/metrics").text();
    for (code, method, count) in [(200, "get", 5), (304, "get", 3), (200, "head", 3), (404, "get", 1)] {
        let line = format!(
            "pushgateway_http_requests_total{{code=\"{code}\",handler=\"static\",method=\"{method}\"}} {count}\n"
        );
        assert!(metrics.contains(&line), "no {line}");
    }
}
