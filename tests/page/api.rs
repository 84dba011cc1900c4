//! `/api/v1/groups`, with the requests of the page.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::thread;

use serde_json::{Value, json};

use crate::support::protobuf::{CONTENT_TYPE, GAUGE_HISTOGRAM, HISTOGRAM, Histogram, Native};
use crate::support::{self, Directory, Gateway};

/// The data of an answer, which must be 200.
#[track_caller]
fn data(gateway: &Gateway, path: &str) -> Value {
    let response = gateway.get(path);
    assert_eq!(response.status, 200, "GET {path} answered {:?}", response.text());
    let mut answer: Value = serde_json::from_slice(&response.body).expect("JSON");
    assert_eq!(answer["status"], "success");
    answer["data"].take()
}

/// Status, kind and sentence of an error.
#[track_caller]
fn error(gateway: &Gateway, path: &str) -> (u16, String, String) {
    let response = gateway.get(path);
    assert_eq!(response.header("content-type"), Some("application/json"), "{}", response.text());
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    let answer: Value = serde_json::from_slice(&response.body).expect("JSON");
    assert_eq!(answer["status"], "error");
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    (response.status, text("errorType"), text("error"))
}

/// The only group that has a label of this value.
#[track_caller]
fn group_with(gateway: &Gateway, value: &str) -> Value {
    let groups = data(gateway, "/api/v1/groups?limit=500");
    let groups = groups["groups"].as_array().unwrap();
    let has_it = |group: &&Value| group["labels"].as_array().unwrap().iter().any(|label| label[1] == value);
    let mut found = groups.iter().filter(has_it);
    let group = found.next().unwrap_or_else(|| panic!("no group with {value:?}"));
    assert!(found.next().is_none(), "several groups with {value:?}");
    group.clone()
}

fn pushes(gateway: &Gateway, value: &str) -> u64 {
    group_with(gateway, value)["pushes"].as_u64().unwrap()
}

/// Encodes `text` for a query.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        write!(out, "%{byte:02X}").unwrap();
        out
    })
}

/// Series of a family, without what every series has beside its labels and values.
#[track_caller]
fn series(gateway: &Gateway, group: &Value, family: &str, more: &str) -> Value {
    let mut page = whole_series(gateway, group, family, more);
    for series in page["series"].as_array_mut().unwrap() {
        let fields = series.as_object_mut().unwrap();
        let start = fields.remove("started_at").unwrap();
        assert!(start.is_null() || is_time(&start), "{start}");
        assert_eq!(fields.remove("exemplars"), Some(json!([])));
    }
    page
}

#[track_caller]
fn whole_series(gateway: &Gateway, group: &Value, family: &str, more: &str) -> Value {
    let id = group["id"].as_str().unwrap();
    data(gateway, &format!("/api/v1/groups/{id}/series?family={}{more}", encoded(family)))
}

/// The values of a label in a list of series.
fn values(page: &Value, label: usize) -> Vec<&str> {
    page["series"].as_array().unwrap().iter().map(|one| one["labels"][label][1].as_str().unwrap()).collect()
}

// Lists of groups.

/// The jobs of a list, in its order.
#[track_caller]
fn jobs(gateway: &Gateway, query: &str) -> Vec<String> {
    let page = data(gateway, &format!("/api/v1/groups?{query}"));
    let groups = page["groups"].as_array().unwrap();
    groups.iter().map(|group| group["labels"][0][1].as_str().unwrap().to_owned()).collect()
}

fn is_time(value: &Value) -> bool {
    value.as_str().is_some_and(|time| time.len() >= 20 && time.starts_with("20") && time.ends_with('Z'))
}

#[test]
fn nothing_is_there() {
    let gateway = Gateway::start(&[]);
    let nothing = json!({ "total": 0, "matching": 0, "total_series": 0, "series": 0, "groups": [] });
    assert_eq!(data(&gateway, "/api/v1/groups"), nothing);
    assert_eq!(data(&gateway, "/api/v1/groups?q=x&sort=size&order=desc&offset=5&limit=0"), nothing);
}

#[test]
fn a_group_has_all_fields() {
    let gateway = Gateway::start(&[]);
    gateway.push("/metrics/job/a/instance/x", "m{l=\"1\"} 1\nm{l=\"2\"} 1\nn 1\n");
    gateway.refused("/metrics/job/failed", "m 1 1000\n");
    let page = data(&gateway, "/api/v1/groups");
    let without_groups = |name: &str| page[name].as_u64().unwrap();
    assert_eq!(["total", "matching", "total_series", "series"].map(without_groups), [2, 2, 3, 3]);

    let mut good = group_with(&gateway, "a");
    assert!(is_time(&good["pushed_at"].take()));
    let expected = json!({
        "id": "e2luc3RhbmNlPSJ4Iixqb2I9ImEifQ", "labels": [["job", "a"], ["instance", "x"]],
        "path": "job@base64/YQ=/instance@base64/eA=", "pushed_at": null, "failed_at": null,
        "last_push_successful": true, "failed": false, "last_refusal": null, "suspected_running_totals": false,
        "pushes": 1, "families": 2, "series": 3
    });
    assert_eq!(good, expected);
    let mut failed = group_with(&gateway, "failed");
    assert!(is_time(&failed["failed_at"].take()));
    assert_eq!(failed["pushed_at"], Value::Null);
    assert_eq!(
        ["last_push_successful", "failed", "pushes", "families", "series"].map(|name| failed[name].clone()),
        [json!(false), json!(true), json!(0), json!(0), json!(0)]
    );

    let mut whole = data(&gateway, "/api/v1/groups/e2luc3RhbmNlPSJ4Iixqb2I9ImEifQ");
    let families = whole.as_object_mut().unwrap().remove("families_list").unwrap();
    assert!(is_time(&whole["pushed_at"].take()));
    assert_eq!(whole.as_object_mut().unwrap().remove("sources"), Some(json!(0)));
    assert_eq!(whole, expected);
    let names: Vec<&Value> = families.as_array().unwrap().iter().map(|family| &family["name"]).collect();
    assert_eq!(names, ["m", "n"]);

    gateway.refused("/metrics/job/a/instance/x", "m -\n");
    // A body that can't be parsed does not count as a push of the group.
    let unread = group_with(&gateway, "a");
    assert_eq!([&unread["last_push_successful"], &unread["failed"]], [true, true]);
    gateway.refused("/metrics/job/a/instance/x", "# TYPE m counter\nm{l=\"1\"} -1\n");
    assert_eq!(group_with(&gateway, "a")["last_push_successful"], false);
    assert_eq!(pushes(&gateway, "a"), 1);
}

#[test]
fn groups_are_sorted_and_cut() {
    let gateway = Gateway::start(&[]);
    for (job, series, pushes) in [("b", 3, 1), ("d", 1, 3), ("a", 2, 2), ("c", 2, 2)] {
        let body: String = (0..series).map(|at| format!("m{{l=\"{at}\"}} 1\n")).collect();
        (0..pushes).for_each(|_| gateway.push(&format!("/metrics/job/{job}"), &body));
    }
    for (query, expected) in [
        ("", "abcd"),
        ("sort=name&order=desc", "dcba"),
        ("sort=pushed", "bdac"),
        ("sort=pushed&order=desc", "cadb"),
        ("sort=size", "dacb"),
        ("sort=size&order=desc", "bacd"),
        ("sort=pushes", "bacd"),
        ("sort=pushes&order=desc", "dacb"),
        ("limit=2", "ab"),
        ("limit=2&offset=1", "bc"),
        ("limit=2&offset=3", "d"),
        ("offset=4", ""),
        ("offset=18446744073709551615&limit=500", ""),
        ("limit=0", ""),
        ("limit=99999999999", "abcd"),
        ("sort=size&order=desc&offset=1&limit=2", "ac"),
    ] {
        assert_eq!(jobs(&gateway, query).concat(), expected, "{query}");
        let page = data(&gateway, &format!("/api/v1/groups?{query}"));
        assert_eq!((&page["total"], &page["matching"]), (&json!(4), &json!(4)), "{query}");
        assert_eq!((&page["total_series"], &page["series"]), (&json!(8), &json!(8)), "{query}");
    }
}

#[test]
fn there_is_a_usual_and_a_largest_page() {
    let gateway = Gateway::start(&[]);
    for job in 0..510 {
        gateway.push(&format!("/metrics/job/{job:03}"), "m 1\n");
    }
    assert_eq!(jobs(&gateway, "").len(), 50);
    assert_eq!(jobs(&gateway, "limit=1000").len(), 500);
    let last: Vec<String> = (500..510).map(|job| job.to_string()).collect();
    assert_eq!(jobs(&gateway, "offset=500"), last);
}

#[test]
fn groups_are_filtered() {
    let gateway = Gateway::start(&[]);
    gateway.push("/metrics/job/Backup/instance/db-1", "backup_size 1\nlast_run 1\n");
    gateway.push("/metrics/job/backup-check/instance/db-2", "checks_total 1\n");
    gateway.push("/metrics/job/report/zone/backup", "rows 1\nrows_sum 1\n");
    gateway.push("/metrics/job/%C3%9Cbung", "size 1\n");
    for (words, expected) in [
        ("backup", "backup-check Backup report"),
        ("BACKUP db", "backup-check Backup"),
        ("backup rows", "report"),
        ("job=backup", "backup-check Backup"),
        ("job=backup-", "backup-check"),
        ("JOB=BACKUP family:size", "Backup"),
        ("family:backup", "Backup"),
        ("zone=", "report"),
        ("zone", "report"),
        ("instance=db- checks", "backup-check"),
        ("instance=1", ""),
        ("family:s", "backup-check Backup report Übung"),
        ("\u{fc}bung", "Übung"),
        ("nothing", ""),
        ("<script>", ""),
        ("\t report \n", "report"),
    ] {
        let found = jobs(&gateway, &format!("q={}", encoded(words)));
        let expected: Vec<&str> = expected.split_whitespace().collect();
        let mut sorted: Vec<&str> = found.iter().map(String::as_str).collect();
        sorted.sort_by_key(|job| job.to_lowercase().replace("backup-", "!"));
        assert_eq!(sorted, expected, "{words}");
    }
    let page = data(&gateway, "/api/v1/groups?q=job%3Dbackup&limit=1");
    let number = |name: &str| page[name].as_u64().unwrap();
    assert_eq!(["total", "matching", "total_series", "series"].map(number), [4, 2, 6, 3]);
}

#[test]
fn what_is_not_understood_is_refused() {
    let gateway = Gateway::start(&[]);
    gateway.push("/metrics/job/a", "m 1\n");
    let id = group_with(&gateway, "a")["id"].as_str().unwrap().to_owned();
    for path in [
        "/api/v1/groups?sort=age".to_owned(),
        "/api/v1/groups?order=down".to_owned(),
        "/api/v1/groups?offset=-1".to_owned(),
        "/api/v1/groups?limit=ten".to_owned(),
        format!("/api/v1/groups?q={}", "w+".repeat(33)),
        format!("/api/v1/groups/{id}/series"),
        format!("/api/v1/groups/{id}/series?family="),
        format!("/api/v1/groups/{id}/series?family=m&limit=1.5"),
    ] {
        let (status, kind, sentence) = error(&gateway, &path);
        assert_eq!((status, &*kind), (400, "bad_data"), "{path}");
        assert!(sentence.starts_with("invalid parameter \""), "{path}: {sentence}");
    }
    let (_, _, sentence) = error(&gateway, "/api/v1/groups?sort=age");
    assert_eq!(sentence, r#"invalid parameter "sort": "age" is none of name, pushed, size, pushes"#);
    for path in [
        "/api/v1/groups/e30".to_owned(),
        "/api/v1/groups/%zz".replace("%zz", "$"),
        format!("/api/v1/groups/{id}x"),
        format!("/api/v1/groups/{id}="),
        "/api/v1/groups/e30/series?family=m".to_owned(),
        format!("/api/v1/groups/{id}/series?family=absent"),
        format!("/api/v1/groups/{id}/series?family=push_time_seconds"),
    ] {
        let (status, kind, _) = error(&gateway, &path);
        assert_eq!((status, &*kind), (404, "not_found"), "{path}");
    }
}

#[test]
fn the_endpoints_answer_as_the_others() {
    let gateway = Gateway::start(&["--web.route-prefix=/p"]);
    gateway.push("/p/metrics/job/a", "m 1\n");
    let id = group_id_below(&gateway, "/p");
    for path in ["groups".to_owned(), format!("groups/{id}"), format!("groups/{id}/series")] {
        let full = format!("/p/api/v1/{path}");
        let asked = format!("{full}?family=m");
        let get = gateway.get(&asked);
        assert_eq!(get.status, 200, "{}", get.text());
        let head = gateway.request("HEAD", &asked, &[], b"");
        assert_eq!((head.status, head.body.len()), (200, 0));
        for name in ["content-type", "cache-control", "access-control-allow-origin", "content-length"] {
            assert!(get.header(name).is_some(), "{name}");
            assert_eq!(get.header(name), head.header(name), "{name}");
        }
        assert_eq!(gateway.request("OPTIONS", &full, &[], b"").status, 200);
        for method in ["POST", "PUT", "DELETE"] {
            let answer = gateway.request(method, &full, &[], b"");
            assert_eq!(
                (answer.status, answer.header("allow")),
                (405, Some("GET, HEAD, OPTIONS")),
                "{method} {full}"
            );
        }
        let slash = gateway.get(&format!("{full}/?limit=1"));
        let location = format!("{full}?limit=1");
        assert_eq!((slash.status, slash.header("location")), (301, Some(&*location)));
        assert_eq!(gateway.get(&format!("/api/v1/{path}")).status, 404);
    }
    for path in ["group", "groups/x/y", "groups/x/series/y", "groups/a%2Fseries"] {
        assert_eq!(gateway.get(&format!("/p/api/v1/{path}")).status, 404, "{path}");
    }
}

fn group_id_below(gateway: &Gateway, prefix: &str) -> String {
    let page = data(gateway, &format!("{prefix}/api/v1/groups"));
    page["groups"][0]["id"].as_str().unwrap().to_owned()
}

// Names with special characters.

#[test]
fn odd_groups_are_found_and_deleted_by_their_path() {
    let gateway = Gateway::start(&["--push.enable-utf8-names", "--web.route-prefix=/p"]);
    let odd = [
        "/p/metrics/job/plain",
        "/p/metrics/job/%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "/p/metrics/job/a%2Fb/path/%2Fvar%2Flog",
        "/p/metrics/job/quote/l/%22%5C%0A'%60",
        "/p/metrics/job/empty/l@base64/=",
        "/p/metrics/job/space/l/a+b%20c",
        "/p/metrics/job/%F0%9F%90%98/U__gr_f6__df_e/%C3%BC",
        "/p/metrics/job/slash/U__a_2f_b/x",
        "/p/metrics/job/encoded/U__x_40_base64/x",
        "/p/metrics/job/escaped/U__U____x/x",
        "/p/metrics/job/percent/U___25_41/%2541",
    ];
    for path in odd {
        gateway.push(path, "m 1\n");
    }
    let page = data(&gateway, "/p/api/v1/groups");
    let groups = page["groups"].as_array().unwrap();
    assert_eq!(groups.len(), odd.len());
    let mut left = odd.len();
    for group in groups {
        let id = group["id"].as_str().unwrap();
        let whole = data(&gateway, &format!("/p/api/v1/groups/{id}"));
        assert_eq!(whole["labels"], group["labels"]);
        let m = data(&gateway, &format!("/p/api/v1/groups/{id}/series?family=m"));
        assert_eq!(m["series"][0]["value"], "1", "{group}");
        let path = group["path"].as_str().unwrap();
        assert!(path.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-=@/".contains(&b)), "{path}");
        assert_eq!(gateway.delete(&format!("/p/metrics/{path}")).status, 202);
        left -= 1;
        assert_eq!(data(&gateway, "/p/api/v1/groups")["total"], left, "{path} did not delete its group");
        assert_eq!(error(&gateway, &format!("/p/api/v1/groups/{id}")).0, 404);
    }
}

#[test]
fn labels_are_given_as_they_are() {
    let gateway = Gateway::start(&["--push.enable-utf8-names", "--no-push.aggregate"]);
    let labels = r#"{"a.b"="dot",empty="",html="<b>&amp;",q="\"\\\n","über"="Ä/ö"}"#;
    gateway.push("/metrics/job/a/zone/eu", &format!("{{\"odd name\",{}\n", &format!("{labels} 1")[1..]));
    let group = group_with(&gateway, "a");
    let answer = series(&gateway, &group, "odd name", "");
    assert_eq!(
        answer["series"][0]["labels"],
        json!([["a.b", "dot"], ["empty", ""], ["html", "<b>&amp;"], ["q", "\"\\\n"], ["über", "Ä/ö"]])
    );
    for (words, is_there) in [
        ("a.b=dot", true),
        ("<B>&AMP;", true),
        ("Ä/Ö", true),
        ("q=\"\\\"", true),
        ("eu", false),
        ("zone", false),
        ("job", false),
        ("odd", false),
        ("instance", false),
        ("dot nothing", false),
    ] {
        let found = series(&gateway, &group, "odd name", &format!("&q={}", encoded(words)));
        assert_eq!(found["matching"], u64::from(is_there), "{words}");
        assert_eq!(found["series"].as_array().unwrap().len(), usize::from(is_there), "{words}");
    }
    // HTML is escaped in JSON, as in the other endpoints.
    let id = group["id"].as_str().unwrap();
    let text = gateway.get(&format!("/api/v1/groups/{id}/series?family=odd+name")).text();
    assert!(text.contains("\\u003cb\\u003e\\u0026amp;") && !text.contains('<'), "{text}");
}

#[test]
fn an_instance_that_was_pushed_is_shown() {
    let gateway = Gateway::start(&[]);
    gateway.push("/metrics/job/a", "m{instance=\"i\"} 1\nm 2\n");
    gateway.push("/metrics/job/b/instance/i", "m{instance=\"other\"} 3\n");
    let of_a = series(&gateway, &group_with(&gateway, "a"), "m", "");
    assert_eq!(
        of_a["series"],
        json!([{ "labels": [], "value": "2" }, { "labels": [["instance", "i"]], "value": "1" }])
    );
    let of_b = series(&gateway, &group_with(&gateway, "b"), "m", "");
    assert_eq!(of_b["series"], json!([{ "labels": [], "value": "3" }]));
}

// Families and values.

const TYPES: &str = "\
# HELP c_total What \\\\ counts.
# TYPE c_total counter
c_total{path=\"/a\"} 0.5
# TYPE g gauge
g{l=\"nan\"} NaN
g{l=\"inf\"} -Inf
g{l=\"big\"} 1e30
# TYPE s summary
s{quantile=\"0.5\"} 7
s{quantile=\"0.99\"} NaN
s_sum 8.25
s_count 9
# TYPE h histogram
h_bucket{le=\"0.1\"} 1
h_bucket{le=\"2\"} 2
h_sum 4.5
h_count 3
u -0
";

#[test]
fn values_of_every_type() {
    let gateway = Gateway::start(&[]);
    gateway.push("/metrics/job/a", TYPES);
    let group = group_with(&gateway, "a");
    let id = group["id"].as_str().unwrap();
    let mut families = data(&gateway, &format!("/api/v1/groups/{id}"))["families_list"].take();
    for family in families.as_array_mut().unwrap() {
        assert!(is_time(&family["pushed_at"].take()));
    }
    let family = |name: &str, kind: &str, help: &str, series: u64| {
        json!({
            "name": name, "type": kind, "help": help, "unit": "", "pushed_at": null, "series": series
        })
    };
    assert_eq!(
        families,
        json!([
            family("c_total", "counter", "What \\ counts.", 1),
            family("g", "gauge", "", 3),
            family("h", "histogram", "", 1),
            family("s", "summary", "", 1),
            family("u", "untyped", "", 1),
        ])
    );
    for (name, expected) in [
        ("c_total", json!([{ "labels": [["path", "/a"]], "value": "0.5" }])),
        (
            "g",
            json!([
                { "labels": [["l", "big"]], "value": "1e+30" },
                { "labels": [["l", "inf"]], "value": "-Inf" },
                { "labels": [["l", "nan"]], "value": "NaN" },
            ]),
        ),
        ("u", json!([{ "labels": [], "value": "-0" }])),
        (
            "s",
            json!([{
                "labels": [], "count": "9", "sum": "8.25", "quantiles": [["0.5", "7"], ["0.99", "NaN"]],
            }]),
        ),
        (
            "h",
            json!([{
                "labels": [], "count": "3", "sum": "4.5", "quantiles": [["0.5", "1.05"], ["0.9", "2"], ["0.99", "2"]],
                "buckets": [["0.1", "1"], ["2", "2"], ["+Inf", "3"]], "native": null,
            }]),
        ),
    ] {
        let mut page = series(&gateway, &group, name, "");
        assert!(is_time(&page["family"]["pushed_at"].take()));
        assert_eq!(page["series"], expected, "{name}");
        let known = families.as_array().unwrap().iter().find(|family| family["name"] == name);
        assert_eq!(Some(&page["family"]), known);
    }
}

#[test]
fn openmetrics_types_and_units() {
    let gateway = Gateway::start(&[]);
    let body = "# TYPE t_seconds gauge\n# UNIT t_seconds seconds\n# HELP t_seconds Time.\nt_seconds 1\n\
                # TYPE build info\nbuild_info{version=\"1\"} 1\n# EOF\n";
    let headers = [("Content-Type", "application/openmetrics-text; version=1.0.0")];
    let answer = gateway.request("POST", "/metrics/job/a", &headers, body.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let group = group_with(&gateway, "a");
    let id = group["id"].as_str().unwrap();
    let families = data(&gateway, &format!("/api/v1/groups/{id}"))["families_list"].take();
    let of = |at: usize| ["name", "type", "help", "unit"].map(|name| families[at][name].as_str().unwrap());
    assert_eq!(of(0), ["build_info", "gauge", "", ""]);
    assert_eq!(of(1), ["t_seconds", "gauge", "Time.", "seconds"]);
    let info = series(&gateway, &group, "build_info", "");
    assert_eq!(info["series"], json!([{ "labels": [["version", "1"]], "value": "1" }]));
}

/// Pushes a histogram and returns its form in the API.
#[track_caller]
fn shown(kind: u64, histogram: &Histogram) -> Value {
    let gateway = Gateway::start(&[]);
    let headers = [("Content-Type", CONTENT_TYPE)];
    let answer = gateway.request("POST", "/metrics/job/a", &headers, &histogram.body(kind));
    assert_eq!(answer.status, 200, "{}", answer.text());
    series(&gateway, &group_with(&gateway, "a"), "h", "")["series"][0].take()
}

#[test]
fn native_histograms_have_their_buckets_in_order() {
    let native = Native {
        schema: 0,
        zero_threshold: 0.001,
        zero_count: 1.0,
        negative: vec![(0, 2.0), (2, 3.0)],
        positive: vec![(1, 4.0)],
    };
    let buckets = json!([["-4", "-2", "3"], ["-1", "-0.5", "2"], ["-0.001", "0.001", "1"], ["1", "2", "4"]]);
    let part = json!({ "schema": 0, "zero_threshold": "0.001", "buckets": buckets });
    let quantiles = json!([["0.5", "-0.001"], ["0.9", "1.681792830507429"], ["0.99", "1.9656411970905021"]]);
    let alone = Histogram::native(2.5, native);
    assert_eq!(
        shown(HISTOGRAM, &alone),
        json!({ "labels": [], "count": "10", "sum": "2.5", "quantiles": quantiles, "buckets": null, "native": part })
    );
    let both = Histogram { classic: vec![(1.0, 6.0)], ..alone.clone() };
    assert_eq!(
        shown(HISTOGRAM, &both),
        json!({
            "labels": [], "count": "10", "sum": "2.5", "quantiles": quantiles,
            "buckets": [["1", "6"], ["+Inf", "10"]], "native": part
        })
    );
    let floats = Histogram { is_float: true, ..both };
    assert_eq!(shown(GAUGE_HISTOGRAM, &floats)["buckets"], json!([["1", "6"], ["+Inf", "10"]]));
}

#[test]
fn float_histograms_have_counts_with_fractions() {
    let classic = vec![(1.0, 0.5), (f64::INFINITY, 2.5)];
    let histogram = Histogram { count: 2.5, sum: 4.0, classic, is_float: true, ..Histogram::default() };
    assert_eq!(
        shown(HISTOGRAM, &histogram),
        json!({
            "labels": [], "count": "2.5", "sum": "4", "quantiles": [["0.5", "1"], ["0.9", "1"], ["0.99", "1"]],
            "buckets": [["1", "0.5"], ["+Inf", "2.5"]], "native": null
        })
    );
}

#[test]
fn series_have_their_start_and_their_latest_exemplars() {
    let gateway = Gateway::start(&[]);
    let buckets: String = (1..=12)
        .map(|n| {
            format!("h_bucket{{le=\"{n}.0\"}} {n} # {{trace_id=\"t{n}\"}} {n}.0 {}\n", 1_700_000_000 + n)
        })
        .collect();
    let body = format!(
        "# TYPE c counter\nc_total 2 # {{trace_id=\"<b>\",b=\"\\\"\"}} 0.5\nc_created 1700000000.25\n\
         # TYPE g gauge\ng 1\n\
         # TYPE h histogram\n{buckets}h_bucket{{le=\"+Inf\"}} 12\nh_sum 78\nh_count 12\n# EOF\n"
    );
    let headers = [("Content-Type", "application/openmetrics-text; version=1.0.0")];
    let answer = gateway.request("POST", "/metrics/job/a", &headers, body.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let group = group_with(&gateway, "a");
    let first = |family: &str| whole_series(&gateway, &group, family, "")["series"][0].take();
    let mut counter = first("c_total");
    assert!(is_time(&counter["started_at"]), "{counter}");
    // The gateway knows when an exemplar without a time was pushed.
    assert!(is_time(&counter["exemplars"][0]["at"].take()));
    assert_eq!(
        counter["exemplars"],
        json!([{ "labels": [["b", "\""], ["trace_id", "<b>"]], "value": "0.5", "at": null }])
    );
    let gauge = first("g");
    assert_eq!((&gauge["started_at"], &gauge["exemplars"]), (&Value::Null, &json!([])));
    let histogram = first("h");
    let exemplars = histogram["exemplars"].as_array().unwrap();
    // Twelve buckets have one each; the newest ten are shown.
    assert_eq!(exemplars.len(), 10);
    for (exemplar, n) in exemplars.iter().zip((3..=12).rev()) {
        let seconds = 20 + n;
        assert_eq!(
            *exemplar,
            json!({ "labels": [["trace_id", format!("t{n}")]], "value": n.to_string(), "at": format!("2023-11-14T22:13:{seconds}Z") })
        );
    }
}

// Pages of series.

fn numbered(numbers: impl Iterator<Item = usize>) -> String {
    numbers.map(|number| format!("m{{n=\"{number:05}\",parity=\"{}\"}} {number}\n", number % 2)).collect()
}

#[test]
fn series_are_in_the_order_of_a_scrape_and_cut() {
    let gateway = Gateway::start(&[]);
    // So many series that their order is kept. They are pushed in another order, and another group has series
    // between them.
    gateway.push("/metrics/job/a", &numbered((0..6000).rev().step_by(2)));
    gateway.push("/metrics/job/b", &numbered(0..3000));
    gateway.push("/metrics/job/a", &numbered((0..6000).step_by(2)));
    let group = group_with(&gateway, "a");
    let check = |from: usize, to: usize| {
        let page = series(&gateway, &group, "m", "");
        assert_eq!((page["matching"].as_u64(), values(&page, 0).len()), (Some(to as u64), 100));
        for (offset, limit, expected) in [
            (0, 3, 0..3),
            (2999, 1000, 2999..3999),
            (5000, 5000, 5000..to.min(6000)),
            (to - 1, 7, to - 1..to),
            (to, 7, 0..0),
        ] {
            let page = series(&gateway, &group, "m", &format!("&offset={offset}&limit={limit}"));
            let expected: Vec<String> = expected.map(|number| format!("{number:05}")).collect();
            assert_eq!(values(&page, 0), expected, "from {offset}, {from}");
        }
        let odd = series(&gateway, &group, "m", "&q=parity%3D1&offset=2500&limit=2");
        assert_eq!(
            (odd["matching"].as_u64(), values(&odd, 0)),
            (Some(to as u64 / 2), vec!["05001", "05003"])
        );
        let one = series(&gateway, &group, "m", "&q=04711");
        assert_eq!((one["matching"].as_u64(), values(&one, 0)), (Some(1), vec!["04711"]));
        assert_eq!(one["series"][0]["value"], "4711");
        let none = series(&gateway, &group, "m", "&q=04711+parity%3D0");
        assert_eq!((none["matching"].as_u64(), values(&none, 0).len()), (Some(0), 0));
    };
    check(0, 6000);
    // A few new series are inserted, even after a scrape has sorted the others.
    gateway.scrape();
    gateway.push("/metrics/job/a", &numbered(6000..6010));
    check(1, 6010);
    // Replaced series are not mistaken for the old ones.
    assert_eq!(gateway.put("/metrics/job/a", &numbered((0..6020).rev())).status, 200);
    check(2, 6020);
}

#[test]
fn small_families_are_sorted_too() {
    let gateway = Gateway::start(&[]);
    gateway.push("/metrics/job/a", "m{b=\"2\"} 1\nm{a=\"1\",b=\"1\"} 2\nm{z=\"1\"} 3\nm{a=\"0\"} 4\n");
    let page = series(&gateway, &group_with(&gateway, "a"), "m", "");
    let shown: Vec<&str> =
        page["series"].as_array().unwrap().iter().map(|one| one["value"].as_str().unwrap()).collect();
    let scrape = gateway.pushed();
    let scraped: Vec<&str> = scrape
        .lines()
        .filter(|line| line.starts_with("m{"))
        .map(|line| line.rsplit_once(' ').unwrap().1)
        .collect();
    assert_eq!(shown, scraped);
    assert_eq!(shown, ["3", "4", "1", "2"]);
}

#[test]
fn a_family_that_was_emptied_has_no_series() {
    let gateway = Gateway::start(&[]);
    let empty = support::protobuf::family("m", 1, &[]);
    let headers = [("Content-Type", CONTENT_TYPE)];
    assert_eq!(gateway.request("POST", "/metrics/job/a", &headers, &empty).status, 200);
    let group = group_with(&gateway, "a");
    assert_eq!((&group["families"], &group["series"]), (&json!(1), &json!(0)));
    let page = series(&gateway, &group, "m", "&q=x");
    assert_eq!((&page["matching"], &page["series"]), (&json!(0), &json!([])));
    assert_eq!(series(&gateway, &group, "m", "")["matching"], 0);
}

// How often a group was pushed to.

const COUNTER: &str = "# TYPE c_total counter\nc_total 1\n";

#[test]
fn accepted_pushes_are_counted_and_nothing_else() {
    let folder = Directory::new();
    let file = format!("--persistence.file={}", folder.path_of("store"));
    let in_memory: &[&str] = &[];
    for flags in [in_memory, &[&file], &["--no-push.aggregate"]] {
        let gateway = Gateway::start(flags);
        gateway.push("/metrics/job/a", COUNTER);
        gateway.push("/metrics/job/a", COUNTER);
        assert_eq!(gateway.put("/metrics/job/a", COUNTER).status, 200);
        gateway.push("/metrics/job/a", "");
        assert_eq!(gateway.put("/metrics/job/a", "").status, 200);
        gateway.push("/metrics/job/a", COUNTER);
        assert_eq!(pushes(&gateway, "a"), 6, "{flags:?}");
        let keyed = |body: &str| {
            gateway.request("POST", "/metrics/job/a", &[("Idempotency-Key", "k")], body.as_bytes()).status
        };
        assert_eq!([keyed(COUNTER), keyed(COUNTER), keyed("c_total 2\n")], [200, 200, 422]);
        gateway.post("/metrics/job/a", "c_total{\n");
        gateway.post("/metrics/job/a", "c_total 1 1000\n");
        assert_eq!(pushes(&gateway, "a"), 7, "{flags:?}");
        gateway.push("/metrics/job/a/l/other", "other 1\n");
        assert_eq!(pushes(&gateway, "other"), 1);
        assert_eq!(gateway.delete("/metrics/job/a").status, 202);
        assert_eq!(gateway.delete("/metrics/job/a/l/other").status, 202);
        assert_eq!(data(&gateway, "/api/v1/groups")["total"], 0);
        gateway.push("/metrics/job/a", COUNTER);
        assert_eq!(pushes(&gateway, "a"), 1, "{flags:?}");
    }
}

#[test]
fn no_push_is_missed_or_counted_twice() {
    const CLIENTS: u64 = 8;
    const PUSHES: u64 = 50;
    let folder = Directory::new();
    let file = format!("--persistence.file={}", folder.path_of("store"));
    let in_memory: &[&str] = &[];
    for flags in [in_memory, &[&file]] {
        let gateway = Gateway::start(flags);
        thread::scope(|scope| {
            for client in 0..CLIENTS {
                let gateway = &gateway;
                // Every second push adds a new series.
                let body = move |push| format!("{COUNTER}m{{client=\"{client}\",push=\"{}\"}} 1\n", push / 2);
                scope.spawn(move || (0..PUSHES).for_each(|push| gateway.push("/metrics/job/a", &body(push))));
            }
        });
        assert_eq!(pushes(&gateway, "a"), CLIENTS * PUSHES, "{flags:?}");
        assert_eq!(gateway.sample("c_total{instance=\"\",job=\"a\"}"), Some((CLIENTS * PUSHES) as f64));
    }
}

#[test]
fn pushes_are_remembered_across_restarts() {
    let folder = Directory::new();
    let store = folder.path_of("store");
    let file = format!("--persistence.file={store}");
    for (round, interval) in (1u64..).zip([false, true, false]) {
        let config = if interval { "[persistence]\nsync = \"interval\"\n" } else { "" };
        let gateway = Gateway::start_with_config(config, &[&file]);
        gateway.push("/metrics/job/small", COUNTER);
        gateway.push("/metrics/job/large", &numbered(0..500));
        gateway.refused("/metrics/job/small", "c_total -1\n");
        let seen = ["small", "large"].map(|job| pushes(&gateway, job));
        assert_eq!(seen, [round, round], "interval: {interval}");
        gateway.signal("TERM");
        assert_eq!(gateway.wait().status.code(), Some(0));
    }
    // A kill does not lose counts.
    let gateway = Gateway::start(&[&file]);
    gateway.push("/metrics/job/small", COUNTER);
    drop(gateway);
    let gateway = Gateway::start(&[&file]);
    assert_eq!(["small", "large"].map(|job| pushes(&gateway, job)), [4, 3]);
}

#[test]
fn groups_of_a_stock_gateway_come_without_pushes() {
    let folder = Directory::new();
    let store = folder.path_of("store");
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/persistence-samples/2-classic.gob");
    fs::copy(sample, &store).unwrap();
    let gateway = Gateway::start(&[&format!("--persistence.file={store}")]);
    let page = data(&gateway, "/api/v1/groups");
    let groups = page["groups"].as_array().unwrap();
    assert!(groups.len() > 1);
    assert!(groups.iter().all(|group| group["pushes"] == 0), "{page}");
}
