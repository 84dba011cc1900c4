//! The page: a plain list of the groups.

use std::fmt::Write;

use actix_web::HttpResponse;

use super::State;
use crate::store::GroupView;

/// Lists the groups and their families.
pub(super) fn page(state: &State, method: &str) -> HttpResponse {
    state.gateway.telemetry().request("status", method, 200);
    let groups = state.gateway.groups();
    let mut html = String::from(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"robots\" content=\"noindex,nofollow\">\n<title>Tallygate</title>\n</head>\n<body>\n<h1>Tallygate</h1>\n",
    );
    let metrics = escape(&format!("{}{}", state.external_prefix, state.telemetry_path));
    let _ =
        writeln!(html, "<p><a href=\"{metrics}\">Metrics</a></p>\n<h2>Groups: {}</h2>\n<ul>", groups.len());
    groups.iter().for_each(|group| item(&mut html, group));
    html.push_str("</ul>\n</body>\n</html>\n");
    HttpResponse::Ok().content_type("text/html; charset=utf-8").body(html)
}

fn item(html: &mut String, group: &GroupView) {
    let failed = if group.last_push_successful() { "" } else { " <strong>Last push failed!</strong>" };
    let _ = write!(html, "<li><code>{}</code>{failed}<ul>", escape(&group.labels.key));
    for family in &group.families {
        let series: usize = family.pieces.iter().map(|piece| piece.len()).sum();
        let kind = family.kind.upper_name().to_lowercase();
        let _ = write!(html, "<li><code>{}</code> ({kind}, {series} series)</li>", escape(&family.name));
    }
    html.push_str("</ul></li>\n");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;")
}
