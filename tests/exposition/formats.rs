//! Every format in, every format out: how each construct of the specifications is shown.
//!
//! Text 0.0.4: <https://prometheus.io/docs/instrumenting/exposition_formats/>; OpenMetrics 1.0:
//! <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>; protobuf:
//! `metrics.proto` of client_model.

use crate::support::formats::{
    OPENMETRICS, PROTOBUF, TEXT, protobuf_of, push, scrape, text_of, with_created_series, without_now,
};
use crate::support::protobuf::{
    exemplar, family, in_words, integer, message, metric, number, signed, timestamp, unit,
};

/// A body, and its form in each format.
struct Case {
    what: &'static str,
    content_type: &'static str,
    body: Vec<u8>,
    text: &'static str,
    openmetrics: &'static str,
    protobuf: &'static str,
}

#[track_caller]
fn check(flags: &[&str], cases: Vec<Case>) {
    for case in cases {
        let gateway = with_created_series(flags);
        push(&gateway, "/metrics/job/a", case.content_type, &case.body);
        assert_eq!(text_of(&gateway, TEXT), case.text, "{} in text", case.what);
        let openmetrics = without_now(&gateway, &text_of(&gateway, OPENMETRICS));
        assert_eq!(openmetrics, format!("{}# EOF\n", case.openmetrics), "{} in OpenMetrics", case.what);
        let protobuf = without_now(&gateway, &protobuf_of(&gateway));
        assert_eq!(protobuf, case.protobuf, "{} in protobuf", case.what);
    }
}

/// The examples of the specification of OpenMetrics, and its types one by one.
#[test]
fn openmetrics_in() {
    let case = |what, body: &'static str, text, openmetrics, protobuf| Case {
        what,
        content_type: OPENMETRICS,
        body: format!("{body}# EOF\n").into_bytes(),
        text,
        openmetrics,
        protobuf,
    };
    check(
        &[],
        vec![
            case(
                "a counter",
                "# TYPE acme_http_router_request_seconds counter\n# UNIT acme_http_router_request_seconds seconds\n# HELP acme_http_router_request_seconds Latency though all of ACME's HTTP request router.\nacme_http_router_request_seconds_total 0.7\nacme_http_router_request_seconds_created 1605281325.0\n",
                "# HELP acme_http_router_request_seconds_total Latency though all of ACME's HTTP request router.\n# TYPE acme_http_router_request_seconds_total counter\nacme_http_router_request_seconds_total{instance=\"\",job=\"a\"} 0.7\n",
                "# HELP acme_http_router_request_seconds Latency though all of ACME's HTTP request router.\n# TYPE acme_http_router_request_seconds counter\n# UNIT acme_http_router_request_seconds seconds\nacme_http_router_request_seconds_total{instance=\"\",job=\"a\"} 0.7\nacme_http_router_request_seconds_created{instance=\"\",job=\"a\"} NOW\n",
                "acme_http_router_request_seconds_total help=\"Latency though all of ACME's HTTP request router.\" COUNTER unit=\"seconds\"\n  {instance=\"\",job=\"a\"} counter 0.7 start=NOW\n",
            ),
            case(
                "a counter with an exemplar",
                "# TYPE foo counter\nfoo_total 17.0 # {trace_id=\"KOO5S4vxi0o\"} 0.67 1520879607.789\n",
                "# TYPE foo_total counter\nfoo_total{instance=\"\",job=\"a\"} 17\n",
                "# TYPE foo counter\nfoo_total{instance=\"\",job=\"a\"} 17.0 # {trace_id=\"KOO5S4vxi0o\"} 0.67 1520879607.789\nfoo_created{instance=\"\",job=\"a\"} NOW\n",
                "foo_total COUNTER\n  {instance=\"\",job=\"a\"} counter 17 #{trace_id=\"KOO5S4vxi0o\"}0.67@1520879607.789000000 start=NOW\n",
            ),
            case(
                "a gauge",
                "# TYPE x_cpu_temperature_celsius gauge\n# UNIT x_cpu_temperature_celsius celsius\nx_cpu_temperature_celsius -3.25\n",
                "# TYPE x_cpu_temperature_celsius gauge\nx_cpu_temperature_celsius{instance=\"\",job=\"a\"} -3.25\n",
                "# TYPE x_cpu_temperature_celsius gauge\n# UNIT x_cpu_temperature_celsius celsius\nx_cpu_temperature_celsius{instance=\"\",job=\"a\"} -3.25\n",
                "x_cpu_temperature_celsius GAUGE unit=\"celsius\"\n  {instance=\"\",job=\"a\"} gauge -3.25\n",
            ),
            case(
                "an info",
                "# TYPE build info\n# HELP build What runs.\nbuild_info{version=\"8.2.7\"} 1\n",
                "# HELP build_info What runs.\n# TYPE build_info gauge\nbuild_info{instance=\"\",job=\"a\",version=\"8.2.7\"} 1\n",
                "# HELP build What runs.\n# TYPE build info\nbuild_info{instance=\"\",job=\"a\",version=\"8.2.7\"} 1.0\n",
                "build_info help=\"What runs.\" GAUGE\n  {instance=\"\",job=\"a\",version=\"8.2.7\"} gauge 1\n",
            ),
            case(
                "a stateset",
                "# TYPE mood stateset\nmood{mood=\"happy\"} 1\nmood{mood=\"sad\"} 0\n",
                "# TYPE mood gauge\nmood{instance=\"\",job=\"a\",mood=\"happy\"} 1\nmood{instance=\"\",job=\"a\",mood=\"sad\"} 0\n",
                "# TYPE mood stateset\nmood{instance=\"\",job=\"a\",mood=\"happy\"} 1.0\nmood{instance=\"\",job=\"a\",mood=\"sad\"} 0.0\n",
                "mood GAUGE\n  {instance=\"\",job=\"a\",mood=\"happy\"} gauge 1\n  {instance=\"\",job=\"a\",mood=\"sad\"} gauge 0\n",
            ),
            case(
                "a histogram with exemplars",
                "# TYPE foo histogram\nfoo_bucket{le=\"0.01\"} 0\nfoo_bucket{le=\"0.1\"} 8 # {} 0.054\nfoo_bucket{le=\"1\"} 11 # {trace_id=\"KOO5S4vxi0o\"} 0.67\nfoo_bucket{le=\"10.0\"} 17 # {trace_id=\"oHg5SJYRHA0\"} 9.8 1520879607.789\nfoo_bucket{le=\"+Inf\"} 17\nfoo_count 17\nfoo_sum 324789.3\nfoo_created 1520430000.123\n",
                "# TYPE foo histogram\nfoo_bucket{instance=\"\",job=\"a\",le=\"0.01\"} 0\nfoo_bucket{instance=\"\",job=\"a\",le=\"0.1\"} 8\nfoo_bucket{instance=\"\",job=\"a\",le=\"1\"} 11\nfoo_bucket{instance=\"\",job=\"a\",le=\"10\"} 17\nfoo_bucket{instance=\"\",job=\"a\",le=\"+Inf\"} 17\nfoo_sum{instance=\"\",job=\"a\"} 324789.3\nfoo_count{instance=\"\",job=\"a\"} 17\n",
                "# TYPE foo histogram\nfoo_bucket{instance=\"\",job=\"a\",le=\"0.01\"} 0\nfoo_bucket{instance=\"\",job=\"a\",le=\"0.1\"} 8 # {} 0.054 NOW\nfoo_bucket{instance=\"\",job=\"a\",le=\"1.0\"} 11 # {trace_id=\"KOO5S4vxi0o\"} 0.67 NOW\nfoo_bucket{instance=\"\",job=\"a\",le=\"10.0\"} 17 # {trace_id=\"oHg5SJYRHA0\"} 9.8 1520879607.789\nfoo_bucket{instance=\"\",job=\"a\",le=\"+Inf\"} 17\nfoo_sum{instance=\"\",job=\"a\"} 324789.3\nfoo_count{instance=\"\",job=\"a\"} 17\nfoo_created{instance=\"\",job=\"a\"} NOW\n",
                "foo HISTOGRAM\n  {instance=\"\",job=\"a\"} histogram count=17 sum=324789.3 le0.01=0 le0.1=8 #{}0.054@NOW le1=11 #{trace_id=\"KOO5S4vxi0o\"}0.67@NOW le10=17 #{trace_id=\"oHg5SJYRHA0\"}9.8@1520879607.789000000 leinf=17 start=NOW\n",
            ),
            case(
                "a gaugehistogram",
                "# TYPE foo gaugehistogram\nfoo_bucket{le=\"0.01\"} 20.0\nfoo_bucket{le=\"+Inf\"} 42.0 # {a=\"b\"} 7 1.5\nfoo_gcount 42.0\nfoo_gsum 3289.3\n",
                "# TYPE foo histogram\nfoo_bucket{instance=\"\",job=\"a\",le=\"0.01\"} 20\nfoo_bucket{instance=\"\",job=\"a\",le=\"+Inf\"} 42\nfoo_sum{instance=\"\",job=\"a\"} 3289.3\nfoo_count{instance=\"\",job=\"a\"} 42\n",
                "# TYPE foo gaugehistogram\nfoo_bucket{instance=\"\",job=\"a\",le=\"0.01\"} 20\nfoo_bucket{instance=\"\",job=\"a\",le=\"+Inf\"} 42 # {a=\"b\"} 7.0 1.5\nfoo_gsum{instance=\"\",job=\"a\"} 3289.3\nfoo_gcount{instance=\"\",job=\"a\"} 42\n",
                "foo GAUGE_HISTOGRAM\n  {instance=\"\",job=\"a\"} histogram count=42 sum=3289.3 le0.01=20 leinf=42 #{a=\"b\"}7@1.500000000\n",
            ),
            case(
                "a summary",
                "# TYPE foo summary\nfoo{quantile=\"0.95\"} 123.7\nfoo{quantile=\"1\"} 150.0\nfoo_count 17.0\nfoo_sum 324789.3\nfoo_created 1520430000.123\n",
                "# TYPE foo summary\nfoo{instance=\"\",job=\"a\",quantile=\"0.95\"} 123.7\nfoo{instance=\"\",job=\"a\",quantile=\"1\"} 150\nfoo_sum{instance=\"\",job=\"a\"} 324789.3\nfoo_count{instance=\"\",job=\"a\"} 17\n",
                "# TYPE foo summary\nfoo{instance=\"\",job=\"a\",quantile=\"0.95\"} 123.7\nfoo{instance=\"\",job=\"a\",quantile=\"1.0\"} 150.0\nfoo_sum{instance=\"\",job=\"a\"} 324789.3\nfoo_count{instance=\"\",job=\"a\"} 17\nfoo_created{instance=\"\",job=\"a\"} NOW\n",
                "foo SUMMARY\n  {instance=\"\",job=\"a\"} summary count=17 sum=324789.3 q0.95=123.7 q1=150 start=NOW\n",
            ),
            case(
                "unknown types",
                "# TYPE foo unknown\nfoo 1e-10\nbar NaN\nbaz +inf\n",
                "# TYPE bar untyped\nbar{instance=\"\",job=\"a\"} NaN\n# TYPE baz untyped\nbaz{instance=\"\",job=\"a\"} +Inf\n# TYPE foo untyped\nfoo{instance=\"\",job=\"a\"} 1e-10\n",
                "# TYPE bar unknown\nbar{instance=\"\",job=\"a\"} NaN\n# TYPE baz unknown\nbaz{instance=\"\",job=\"a\"} +Inf\n# TYPE foo unknown\nfoo{instance=\"\",job=\"a\"} 1e-10\n",
                "bar UNTYPED\n  {instance=\"\",job=\"a\"} untyped NaN\nbaz UNTYPED\n  {instance=\"\",job=\"a\"} untyped inf\nfoo UNTYPED\n  {instance=\"\",job=\"a\"} untyped 0.0000000001\n",
            ),
            case(
                "escapes",
                "# TYPE a gauge\n# HELP a he\\n\\\\l\\\"p \\z\na{b=\"c\\n\\\"\\\\\\d\"} 1\n",
                "# HELP a he\\n\\\\l\"p \\\\z\n# TYPE a gauge\na{b=\"c\\n\\\"\\\\\\\\d\",instance=\"\",job=\"a\"} 1\n",
                "# HELP a he\\n\\\\l\\\"p \\\\z\n# TYPE a gauge\na{b=\"c\\n\\\"\\\\\\\\d\",instance=\"\",job=\"a\"} 1.0\n",
                "a help=\"he\\n\\\\l\\\"p \\\\z\" GAUGE\n  {b=\"c\\n\\\"\\\\\\\\d\",instance=\"\",job=\"a\"} gauge 1\n",
            ),
        ],
    );
}

/// Constructs that only the text format has, or that have another name in OpenMetrics.
#[test]
fn text_in() {
    let case = |what, body: &str, text, openmetrics, protobuf| Case {
        what,
        content_type: TEXT,
        body: body.into(),
        text,
        openmetrics,
        protobuf,
    };
    check(
        &[],
        vec![
            case(
                "a counter that is not called so",
                "# TYPE jobs counter\njobs 3\n",
                "# TYPE jobs counter\njobs{instance=\"\",job=\"a\"} 3\n",
                "# TYPE jobs unknown\njobs{instance=\"\",job=\"a\"} 3.0\n",
                "jobs COUNTER\n  {instance=\"\",job=\"a\"} counter 3 start=NOW\n",
            ),
            case(
                "an untyped counter",
                "jobs_total 3\n",
                "# TYPE jobs_total untyped\njobs_total{instance=\"\",job=\"a\"} 3\n",
                "# TYPE jobs_total unknown\njobs_total{instance=\"\",job=\"a\"} 3.0\n",
                "jobs_total UNTYPED\n  {instance=\"\",job=\"a\"} untyped 3\n",
            ),
            case(
                "a gauge beside a counter of that name",
                "# TYPE jobs gauge\njobs 1\n# TYPE jobs_total counter\njobs_total 3\n",
                "# TYPE jobs gauge\njobs{instance=\"\",job=\"a\"} 1\n# TYPE jobs_total counter\njobs_total{instance=\"\",job=\"a\"} 3\n",
                "# TYPE jobs gauge\njobs{instance=\"\",job=\"a\"} 1.0\n# TYPE jobs_total unknown\njobs_total{instance=\"\",job=\"a\"} 3.0\n",
                "jobs GAUGE\n  {instance=\"\",job=\"a\"} gauge 1\njobs_total COUNTER\n  {instance=\"\",job=\"a\"} counter 3 start=NOW\n",
            ),
            case(
                "float counts",
                "# TYPE h histogram\nh_bucket{le=\"1\"} 1.5\nh_bucket{le=\"+Inf\"} 3\nh_sum 2\nh_count 3\n",
                "# TYPE h histogram\nh_bucket{instance=\"\",job=\"a\",le=\"1\"} 1.5\nh_bucket{instance=\"\",job=\"a\",le=\"+Inf\"} 3\nh_sum{instance=\"\",job=\"a\"} 2\nh_count{instance=\"\",job=\"a\"} 3\n",
                "# TYPE h_bucket unknown\nh_bucket{instance=\"\",job=\"a\",le=\"1.0\"} 1.5\nh_bucket{instance=\"\",job=\"a\",le=\"+Inf\"} 3.0\n# TYPE h_count unknown\nh_count{instance=\"\",job=\"a\"} 3.0\n# TYPE h_sum unknown\nh_sum{instance=\"\",job=\"a\"} 2.0\n",
                "h HISTOGRAM\n  {instance=\"\",job=\"a\"} histogram count=3.0 sum=2 le1=1.5 leinf=3.0 start=NOW\n",
            ),
            case(
                "a gauge histogram with sum and count of OpenMetrics, which are other metrics here",
                "# TYPE h gaugehistogram\nh_bucket{le=\"1\"} 1\nh_gcount 2\nh_gsum 3\n",
                "# TYPE h histogram\nh_bucket{instance=\"\",job=\"a\",le=\"1\"} 1\nh_bucket{instance=\"\",job=\"a\",le=\"+Inf\"} 0\nh_sum{instance=\"\",job=\"a\"} 0\nh_count{instance=\"\",job=\"a\"} 0\n# TYPE h_gcount untyped\nh_gcount{instance=\"\",job=\"a\"} 2\n# TYPE h_gsum untyped\nh_gsum{instance=\"\",job=\"a\"} 3\n",
                "# TYPE h_bucket unknown\nh_bucket{instance=\"\",job=\"a\",le=\"1.0\"} 1.0\nh_bucket{instance=\"\",job=\"a\",le=\"+Inf\"} 0.0\n# TYPE h_count unknown\nh_count{instance=\"\",job=\"a\"} 0.0\n# TYPE h_sum unknown\nh_sum{instance=\"\",job=\"a\"} 0.0\n# TYPE h_gcount unknown\nh_gcount{instance=\"\",job=\"a\"} 2.0\n# TYPE h_gsum unknown\nh_gsum{instance=\"\",job=\"a\"} 3.0\n",
                "h GAUGE_HISTOGRAM\n  {instance=\"\",job=\"a\"} histogram count=0 sum=0 le1=1\nh_gcount UNTYPED\n  {instance=\"\",job=\"a\"} untyped 2\nh_gsum UNTYPED\n  {instance=\"\",job=\"a\"} untyped 3\n",
            ),
        ],
    );
}

/// Native histograms, exemplars, start times and units in the form that only protobuf has.
#[test]
fn protobuf_in() {
    let case = |what, body: Vec<u8>, text, openmetrics, protobuf| Case {
        what,
        content_type: PROTOBUF,
        body,
        text,
        openmetrics,
        protobuf,
    };
    let native = |fields: &[Vec<u8>]| family("h", 4, &[metric(&[], 7, fields)]);
    let spans = |field| message(field, &[signed(1, 1), integer(2, 2)]);
    check(
        &[],
        vec![
            case(
                "a counter with everything",
                family(
                    "c_bytes_total",
                    0,
                    &[
                        unit("bytes"),
                        metric(
                            &[("x", "y")],
                            3,
                            &[
                                number(1, 3.0),
                                exemplar(2, &[("trace_id", "t"), ("a", "\\")], 1.0, Some((1_520_879_607, 5))),
                                timestamp(3, (1_520_430_000, 0)),
                            ],
                        ),
                    ],
                ),
                "# TYPE c_bytes_total counter\nc_bytes_total{instance=\"\",job=\"a\",x=\"y\"} 3\n",
                "# TYPE c_bytes counter\n# UNIT c_bytes bytes\nc_bytes_total{instance=\"\",job=\"a\",x=\"y\"} 3.0 # {a=\"\\\\\",trace_id=\"t\"} 1.0 1520879607.000000005\nc_bytes_created{instance=\"\",job=\"a\",x=\"y\"} NOW\n",
                "c_bytes_total COUNTER unit=\"bytes\"\n  {instance=\"\",job=\"a\",x=\"y\"} counter 3 #{a=\"\\\\\",trace_id=\"t\"}1@1520879607.000000005 start=NOW\n",
            ),
            case(
                "a unit that the name does not have",
                family("g", 1, &[unit("bytes"), metric(&[], 2, &[number(1, 1.0)])]),
                "# TYPE g gauge\ng{instance=\"\",job=\"a\"} 1\n",
                "# TYPE g gauge\ng{instance=\"\",job=\"a\"} 1.0\n",
                "g GAUGE\n  {instance=\"\",job=\"a\"} gauge 1\n",
            ),
            case(
                "an integer native histogram with an exemplar",
                native(&[
                    integer(1, 5),
                    number(2, 10.0),
                    signed(5, 3),
                    number(6, 0.001),
                    integer(7, 1),
                    spans(12),
                    signed(13, 1),
                    signed(13, 2),
                    exemplar(16, &[("trace_id", "t")], 1.1, Some((1_520_879_607, 0))),
                    exemplar(16, &[("trace_id", "u")], 1.2, None),
                ]),
                "# TYPE h histogram\nh_bucket{instance=\"\",job=\"a\",le=\"+Inf\"} 5\nh_sum{instance=\"\",job=\"a\"} 10\nh_count{instance=\"\",job=\"a\"} 5\n",
                "# TYPE h histogram\nh_bucket{instance=\"\",job=\"a\",le=\"+Inf\"} 5\nh_sum{instance=\"\",job=\"a\"} 10.0\nh_count{instance=\"\",job=\"a\"} 5\nh_created{instance=\"\",job=\"a\"} NOW\n",
                "h HISTOGRAM\n  {instance=\"\",job=\"a\"} histogram count=5 sum=10 schema=3 threshold=0.001 zero=1 +span(1,2) delta=1 delta=2 start=NOW #{trace_id=\"t\"}1.1@1520879607.000000000 #{trace_id=\"u\"}1.2@NOW\n",
            ),
            case(
                "a float native histogram beside classic buckets",
                native(&[
                    number(4, 3.5),
                    number(2, 10.0),
                    message(3, &[number(4, 1.5), number(2, 1.0), exemplar(3, &[], 0.5, Some((1, 0)))]),
                    signed(5, 0),
                    number(6, 0.5),
                    number(8, 0.5),
                    spans(9),
                    number(11, 1.0),
                    number(11, 2.0),
                ]),
                "# TYPE h histogram\nh_bucket{instance=\"\",job=\"a\",le=\"1\"} 1.5\nh_bucket{instance=\"\",job=\"a\",le=\"+Inf\"} 3.5\nh_sum{instance=\"\",job=\"a\"} 10\nh_count{instance=\"\",job=\"a\"} 3.5\n",
                "# TYPE h_bucket unknown\nh_bucket{instance=\"\",job=\"a\",le=\"1.0\"} 1.5\nh_bucket{instance=\"\",job=\"a\",le=\"+Inf\"} 3.5\n# TYPE h_count unknown\nh_count{instance=\"\",job=\"a\"} 3.5\n# TYPE h_sum unknown\nh_sum{instance=\"\",job=\"a\"} 10.0\n",
                "h HISTOGRAM\n  {instance=\"\",job=\"a\"} histogram count=3.5 sum=10 le1=1.5 #{}0.5@1.000000000 schema=0 threshold=0.5 zero=0.5 -span(1,2) population=1.0 population=2.0 start=NOW\n",
            ),
            case(
                "a gauge histogram with native buckets",
                family(
                    "h",
                    5,
                    &[metric(
                        &[],
                        7,
                        &[
                            integer(1, 3),
                            number(2, 1.0),
                            signed(5, 0),
                            integer(7, 0),
                            spans(12),
                            signed(13, 1),
                            signed(13, 1),
                        ],
                    )],
                ),
                "# TYPE h histogram\nh_bucket{instance=\"\",job=\"a\",le=\"+Inf\"} 3\nh_sum{instance=\"\",job=\"a\"} 1\nh_count{instance=\"\",job=\"a\"} 3\n",
                "# TYPE h gaugehistogram\nh_bucket{instance=\"\",job=\"a\",le=\"+Inf\"} 3\nh_gsum{instance=\"\",job=\"a\"} 1.0\nh_gcount{instance=\"\",job=\"a\"} 3\n",
                "h GAUGE_HISTOGRAM\n  {instance=\"\",job=\"a\"} histogram count=3 sum=1 schema=0 threshold=0 zero=0 +span(1,2) delta=1 delta=1\n",
            ),
        ],
    );
}

/// Names that only newer versions support, under each escaping scheme and in each format.
#[test]
fn utf8_names_in_and_out() {
    let gateway = with_created_series(&["--push.enable-utf8-names"]);
    let body = "# TYPE \"http.status\" counter\n# HELP \"http.status\" By code.\n\
                {\"http.status_total\",\"status.code\"=\"200\"} 1 # {\"trace.id\"=\"t\"} 0.5 1.0\n# EOF\n";
    push(&gateway, "/metrics/job/a", OPENMETRICS, body);
    push(&gateway, "/metrics/job/a/U__region_2e_id/eu", TEXT, "{\"数量\",\"l\"=\"1\"} 2\n");
    let out = |format: &str, escaping: &str| {
        without_now(&gateway, &text_of(&gateway, &format!("{format};escaping={escaping}")))
    };
    let openmetrics = "application/openmetrics-text;version=1.0.0";
    assert_eq!(
        out(openmetrics, "allow-utf-8"),
        "# HELP \"http.status\" By code.\n# TYPE \"http.status\" counter\n\
         {\"http.status_total\",instance=\"\",job=\"a\",\"status.code\"=\"200\"} 1.0 # {\"trace.id\"=\"t\"} 0.5 1.0\n\
         {\"http.status_created\",instance=\"\",job=\"a\",\"status.code\"=\"200\"} NOW\n\
         # TYPE \"数量\" unknown\n{\"数量\",instance=\"\",job=\"a\",l=\"1\",\"region.id\"=\"eu\"} 2.0\n# EOF\n"
    );
    assert_eq!(
        out(openmetrics, "underscores"),
        "# HELP http_status By code.\n# TYPE http_status counter\n\
         http_status_total{instance=\"\",job=\"a\",status_code=\"200\"} 1.0 # {trace_id=\"t\"} 0.5 1.0\n\
         http_status_created{instance=\"\",job=\"a\",status_code=\"200\"} NOW\n\
         # TYPE __ unknown\n__{instance=\"\",job=\"a\",l=\"1\",region_id=\"eu\"} 2.0\n# EOF\n"
    );
    for (escaping, name, label) in [
        ("dots", "http_dot_status__total", "status_dot_code"),
        ("values", "U__http_2e_status__total", "U__status_2e_code"),
    ] {
        let line = format!("{name}{{instance=\"\",job=\"a\",{label}=\"200\"}} 1");
        for format in ["text/plain;version=0.0.4", "text/plain;version=1.0.0", openmetrics] {
            let text = out(format, escaping);
            assert!(text.contains(&line), "{format} {escaping}: {text}");
        }
        let protobuf = scrape(&gateway, &format!("{PROTOBUF};escaping={escaping}"));
        let words = in_words(&protobuf.body).join("\n");
        assert!(words.contains(&format!("{name} help")) && words.contains(&format!("{label}=")), "{words}");
    }
    let text = out("text/plain;version=1.0.0", "allow-utf-8");
    assert!(
        text.contains("{\"http.status_total\",instance=\"\",job=\"a\",\"status.code\"=\"200\"} 1\n"),
        "{text}"
    );
}
