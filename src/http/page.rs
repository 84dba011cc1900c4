//! The HTML page, before its scripts fill it.
//!
//! The markup is in `assets/page.html`, with `{{names}}` for the parts that differ between gateways.

use std::fmt::Write;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};

use super::auth::{self, Visitor};
use super::{State, api, assets, compress};
use crate::config::access::Permission;
use crate::config::build_info;

const SHELL: &str = include_str!("assets/page.html");

/// Allows only the page's own files: no inline script, no other site, no frame around it, and no text that becomes
/// markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// Deletes the groups that a filter shows, through the admin API.
const SHOWN: &str =
    "<button id=\"delete-shown\" class=\"danger\" type=\"button\" hidden>Delete these groups</button>";

/// Deletes all groups, through the admin API. Far from the filter, so that nobody takes one for the other.
const WIPE: &str = "<div class=\"scripted\">\n<h2>Deletion</h2>\n\
    <button id=\"wipe\" class=\"danger\" type=\"button\" disabled>Delete All Groups</button>\n</div>";

/// Answers with the page. It offers only what the visitor may do. The endpoints enforce that.
pub(super) fn page(state: &State, request: &HttpRequest) -> HttpResponse {
    let visitor = Visitor::of(request);
    let may_wipe = state.routes.has_admin_api && visitor.may.include(Permission::Admin);
    state.gateway.telemetry().request("status", request.method().as_str(), 200);
    // As in the stock gateway: links are below the external URL if it has a path, and relative otherwise.
    let base = if state.external_prefix.is_empty() { "." } else { &*state.external_prefix };
    let path = if request.path().ends_with("/status") { "status" } else { "" };
    let (groups, series) = state.gateway.counts();
    let values = [
        ("base", escape(base)),
        ("path", path.to_owned()),
        ("assets", escape(&format!("{base}/static/{}", assets::version()))),
        ("metrics", escape(&format!("{base}/{}", state.telemetry_path.trim_start_matches('/')))),
        ("groups", if groups == 1 { "1 group".to_owned() } else { format!("{} groups", grouped(groups)) }),
        ("series", grouped(series)),
        ("started", api::started_at(state)),
        ("may", visitor.may.names().collect::<Vec<_>>().join(" ")),
        ("delete", if visitor.may.include(Permission::Delete) { "yes" } else { "no" }.to_owned()),
        ("shown", if may_wipe { SHOWN } else { "" }.to_owned()),
        ("wipe", if may_wipe { WIPE } else { "" }.to_owned()),
        ("login", if visitor.can_log_in { login(base) } else { String::new() }),
        ("status", status(state, &visitor)),
    ];
    let mut answer = HttpResponse::Ok();
    answer
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_FRAME_OPTIONS, "DENY"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"));
    compress::Body::of(filled(SHELL, &values), compress::takes_gzip(request)).send(answer)
}

/// A link to log in, for visitors who are admitted without a login.
fn login(base: &str) -> String {
    format!("<a id=\"login\" href=\"{}/?{}\">Log in</a>", escape(base), auth::LOG_IN)
}

/// The status for browsers without scripts: the tables of the stock gateway, as far as the visitor may see them.
fn status(state: &State, visitor: &Visitor) -> String {
    let build = build_info();
    let started = humantime::format_rfc3339_seconds(state.started_at).to_string();
    let mut html = String::from("<h2 id=\"runtime\">Runtime information</h2>\n");
    table(&mut html, "runtime", [("Started", started)].into_iter());
    html.push_str("<h2 id=\"build\">Build information</h2>\n");
    let rows = [
        ("branch", build.branch),
        ("buildDate", build.build_date),
        ("buildUser", build.build_user),
        ("rustVersion", build.rust_version),
        ("revision", build.revision),
        ("version", build.version),
    ];
    table(&mut html, "build", rows.iter().map(|(name, value)| (*name, escape(value))));
    if visitor.sees_configuration() {
        html.push_str("<h2 id=\"flags\">Startup flags</h2>\n");
        table(&mut html, "flags", state.startup_flags.iter().map(|(name, value)| (&**name, escape(value))));
    }
    html
}

/// A table of names and values. The values are HTML.
fn table<'a>(html: &mut String, heading: &str, rows: impl Iterator<Item = (&'a str, String)>) {
    let _ = write!(html, "<table class=\"status\" aria-labelledby=\"{heading}\">\n<tbody>\n");
    for (name, value) in rows {
        let _ = writeln!(html, "<tr><th scope=\"row\">{}</th><td>{value}</td></tr>", escape(name));
    }
    html.push_str("</tbody>\n</table>\n");
}

/// Replaces each `{{name}}` in the template by HTML.
fn filled(template: &str, values: &[(&str, String)]) -> String {
    let mut html = String::with_capacity(template.len() + 8192);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        html.push_str(before);
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        html.push_str(values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value));
        rest = after;
    }
    html.push_str(rest);
    html
}

/// A count with its digits in groups of three, as the scripts write it.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Escapes a text for HTML, in an element or in a quoted attribute.
fn escape(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&#34;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_no_markup() {
        assert_eq!(
            escape("<script>alert(\"1\") & 'x'"),
            "&lt;script&gt;alert(&#34;1&#34;) &amp; &#39;x&#39;"
        );
        let mut html = String::new();
        table(&mut html, "flags", [("<b>", escape("<i>"))].into_iter());
        assert!(html.contains("<th scope=\"row\">&lt;b&gt;</th><td>&lt;i&gt;</td>"), "{html}");
    }

    #[test]
    fn digits_are_grouped() {
        for (count, expected) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (10_500, "10,500"), (1_048_576, "1,048,576")]
        {
            assert_eq!(grouped(count), expected);
        }
        assert_eq!(grouped(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn a_value_is_put_in_once() {
        let values = [("a", "{{b}}".to_owned()), ("b", "x".to_owned())];
        assert_eq!(filled("1{{a}}2{{b}}3", &values), "1{{b}}2x3");
    }

    #[test]
    fn every_name_in_the_page_has_a_value() {
        let known = [
            "base", "path", "assets", "metrics", "groups", "series", "delete", "shown", "wipe", "login",
            "status", "started", "may",
        ];
        let names: Vec<_> =
            SHELL.split("{{").skip(1).map(|after| after.split_once("}}").unwrap().0).collect();
        assert!(names.iter().all(|name| known.contains(name)), "{names:?}");
        assert!(known.iter().all(|name| names.contains(name)), "{names:?}");
    }
}
