//! What adds up across pushes, what is replaced, and what is refused, through the real binary.
//!
//! One section for each row of the table in the design, then the inputs and outages that other aggregating gateways
//! are known to fail on.

use crate::support::{Gateway, assert_valid_exposition, sample};

const SHARED: &str = r#"{instance="",job="a"}"#;

fn gateway() -> Gateway {
    Gateway::start(&["--web.enable-admin-api"])
}

/// A gateway whose TOML file says that PUT adds too.
fn gateway_where_put_adds() -> Gateway {
    Gateway::start_with_config("[push]\nput = \"aggregate\"\n", &[])
}

/// Checks that the pushed part of a scrape is exactly these TYPE lines and samples.
#[track_caller]
fn assert_pushed(gateway: &Gateway, expected: &str) {
    assert_eq!(gateway.pushed(), expected.trim_start());
    assert_valid_exposition(&gateway.scrape());
}

/// Checks that a push is refused and changes only the failure time of its group.
#[track_caller]
fn assert_refused(gateway: &Gateway, path: &str, body: &str) {
    let before = gateway.pushed();
    gateway.refused(path, body);
    assert_eq!(gateway.pushed(), before, "a refused push changed something:\n{body}");
    assert_valid_exposition(&gateway.scrape());
}

/// A histogram as text: its buckets, sum and count.
fn histogram(buckets: &[(&str, &str)], sum: &str, count: &str) -> String {
    let mut text = "# TYPE h histogram\n".to_owned();
    for (bound, value) in buckets {
        text += &format!("h_bucket{{le=\"{bound}\"}} {value}\n");
    }
    text + &format!("h_sum {sum}\nh_count {count}\n")
}

// Counters.

#[test]
fn counters_add_per_label_set() {
    let gateway = gateway();
    gateway.push("/metrics/job/a", "# TYPE c_total counter\nc_total 1\nc_total{l=\"x\"} 10\n");
    gateway.push("/metrics/job/a", "# TYPE c_total counter\nc_total 2\nc_total{l=\"y\"} 100\n");
    gateway.push("/metrics/job/a", "# TYPE c_total counter\nc_total{l=\"x\"} 5\n");
    assert_pushed(
        &gateway,
        r#"
# TYPE c_total counter
c_total{instance="",job="a"} 3
c_total{instance="",job="a",l="x"} 15
c_total{instance="",job="a",l="y"} 100
"#,
    );
}

#[test]
fn groups_add_apart() {
    let gateway = gateway();
    for (path, value) in [("/metrics/job/a", 1), ("/metrics/job/b", 2), ("/metrics/job/a/l/x", 4)] {
        for _ in 0..2 {
            gateway.push(path, &format!("# TYPE c_total counter\nc_total {value}\n"));
        }
    }
    assert_pushed(
        &gateway,
        r#"
# TYPE c_total counter
c_total{instance="",job="a"} 2
c_total{instance="",job="b"} 4
c_total{instance="",job="a",l="x"} 8
"#,
    );
}

#[test]
fn labels_in_any_order_are_the_same_series() {
    let gateway = gateway();
    gateway.push("/metrics/job/a", "# TYPE c counter\nc{x=\"1\",y=\"2\"} 1\n");
    gateway.push("/metrics/job/a", "# TYPE c counter\nc{y=\"2\",x=\"1\"} 2\n");
    gateway.push("/metrics/job/a", "# TYPE c counter\nc{job=\"other\",y=\"2\",instance=\"\",x=\"1\"} 4\n");
    assert_eq!(gateway.sample(r#"c{instance="",job="a",x="1",y="2"}"#), Some(7.0));
}

#[test]
fn series_of_other_label_names_live_in_one_family() {
    let gateway = gateway();
    gateway.push("/metrics/job/a", "# TYPE c counter\nc{x=\"1\"} 1\nc{y=\"1\",z=\"2\"} 2\nc 3\n");
    gateway.push("/metrics/job/a", "# TYPE c counter\nc{q=\"1\"} 4\nc 5\n");
    assert_eq!(gateway.sample(r#"c{instance="",job="a",x="1"}"#), Some(1.0));
    assert_eq!(gateway.sample(r#"c{instance="",job="a",y="1",z="2"}"#), Some(2.0));
    assert_eq!(gateway.sample(r#"c{instance="",job="a",q="1"}"#), Some(4.0));
    assert_eq!(gateway.sample(r#"c{instance="",job="a"}"#), Some(8.0));
}

#[test]
fn small_increments_to_a_large_counter_are_kept() {
    let gateway = gateway();
    for value in ["1e16", "1", "1", "1"] {
        gateway.push("/metrics/job/a", &format!("# TYPE c counter\nc {value}\n"));
    }
    assert_eq!(gateway.sample(&format!("c{SHARED}")), Some(1e16 + 3.0));
}

#[test]
fn integers_beyond_53_bits_are_exact() {
    let gateway = gateway();
    for value in ["9007199254740992", "1", "1"] {
        gateway.push("/metrics/job/a", &format!("# TYPE c counter\nc {value}\n"));
    }
    assert_eq!(gateway.sample(&format!("c{SHARED}")), Some(9_007_199_254_740_994.0));
}

#[test]
fn fractions_add_without_drift() {
    let gateway = gateway();
    for _ in 0..10 {
        gateway.push("/metrics/job/a", "# TYPE c counter\nc 0.1\n");
    }
    assert_eq!(gateway.sample(&format!("c{SHARED}")), Some(1.0));
}

#[test]
fn a_counter_never_steps_back() {
    let gateway = gateway();
    let mut last = 0.0;
    for step in 0..60 {
        let value = if step % 7 == 0 { 1e9 / f64::from(step + 1) } else { 0.1 / f64::from(step + 1) };
        gateway.push("/metrics/job/a", &format!("# TYPE c counter\nc {value:e}\n"));
        let now = gateway.sample(&format!("c{SHARED}")).unwrap();
        assert!(now >= last, "{now} after {last}");
        last = now;
    }
}

#[test]
fn counters_do_not_wrap() {
    let gateway = gateway();
    for _ in 0..2 {
        gateway.push("/metrics/job/a", "# TYPE c counter\nc 9223372036854775807\n");
    }
    assert_eq!(gateway.sample(&format!("c{SHARED}")), Some(18_446_744_073_709_551_616.0));
}

#[test]
fn counters_refuse_what_would_not_add() {
    let gateway = gateway();
    gateway.push("/metrics/job/a", "# TYPE c counter\nc 5\n");
    for value in ["-3", "-0.001", "NaN", "+Inf", "-Inf"] {
        assert_refused(&gateway, "/metrics/job/a", &format!("# TYPE c counter\nc {value}\n"));
        assert_refused(&gateway, "/metrics/job/b", &format!("# TYPE c counter\nc {value}\n"));
    }
    assert_eq!(gateway.sample(&format!("c{SHARED}")), Some(5.0));
}

#[test]
fn pushes_at_the_same_time_all_count() {
    let gateway = gateway();
    let body = format!("# TYPE c counter\nc 1\n{}", histogram(&[("1", "1"), ("+Inf", "2")], "3", "2"));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..25 {
                    gateway.push("/metrics/job/a", &body);
                }
            });
        }
    });
    let scrape = gateway.scrape();
    assert_eq!(sample(&scrape, &format!("c{SHARED}")), Some(200.0));
    assert_eq!(sample(&scrape, r#"h_bucket{instance="",job="a",le="1"}"#), Some(200.0));
    assert_eq!(sample(&scrape, &format!("h_count{SHARED}")), Some(400.0));
    assert_eq!(sample(&scrape, &format!("h_sum{SHARED}")), Some(600.0));
}

// Gauges and untyped.

#[test]
fn gauges_keep_the_latest_push_per_label_set() {
    let gateway = gateway();
    gateway.push("/metrics/job/a", "# TYPE g gauge\ng 1\ng{l=\"x\"} 10\n");
    gateway.push("/metrics/job/a", "# TYPE g gauge\ng -2\n");
    gateway.push("/metrics/job/a", "# TYPE g gauge\ng{l=\"y\"} NaN\n");
    assert_pushed(
        &gateway,
        r#"
# TYPE g gauge
g{instance="",job="a"} -2
g{instance="",job="a",l="x"} 10
g{instance="",job="a",l="y"} NaN
"#,
    );
}

#[test]
fn a_gauge_named_total_is_still_a_gauge() {
    let gateway = gateway();
    gateway.push("/metrics/job/a", "# TYPE disk_total gauge\ndisk_total 5\n");
    gateway.push("/metrics/job/a", "# TYPE disk_total gauge\ndisk_total 3\n");
    assert_eq!(gateway.sample(&format!("disk_total{SHARED}")), Some(3.0));
}

#[test]
fn untyped_keeps_the_latest_push() {
    let gateway = gateway();
    gateway.push("/metrics/job/a", "u 1\nu{l=\"x\"} 2\ntotal 1\nx_totals 1\n");
    gateway.push("/metrics/job/a", "u 5\ntotal 2\nx_totals 2\n");
    assert_eq!(gateway.sample(&format!("u{SHARED}")), Some(5.0));
    assert_eq!(gateway.sample(r#"u{instance="",job="a",l="x"}"#), Some(2.0));
    assert_eq!(gateway.sample(&format!("total{SHARED}")), Some(2.0));
    assert_eq!(gateway.sample(&format!("x_totals{SHARED}")), Some(2.0));
}

#[test]
fn untyped_total_adds() {
    let gateway = gateway();
    gateway.push("/metrics/job/a", "requests_total 1\nrequests_total{l=\"x\"} 2\n");
    gateway.push("/metrics/job/a", "# TYPE requests_total untyped\nrequests_total 10\n");
    assert_eq!(gateway.sample(&format!("requests_total{SHARED}")), Some(11.0));
    assert_eq!(gateway.sample(r#"requests_total{instance="",job="a",l="x"}"#), Some(2.0));
    assert_refused(&gateway, "/metrics/job/a", "requests_total -1\n");
    assert_refused(&gateway, "/metrics/job/a", "requests_total NaN\n");
    assert_refused(&gateway, "/metrics/job/a", "requests_total +Inf\n");
}

#[test]
fn untyped_and_typed_pushes_of_the_same_kind_of_value_go_together() {
    let gateway = gateway();
    gateway.push(
        "/metrics/job/a",
        "# TYPE requests_total counter\nrequests_total 1\n# TYPE size gauge\nsize 1\n",
    );
    gateway.push("/metrics/job/b", "requests_total 5\nsize 5\n");
    gateway.push("/metrics/job/a", "requests_total 2\nsize 2\n");
    assert_eq!(gateway.sample(&format!("requests_total{SHARED}")), Some(3.0));
    assert_eq!(gateway.sample(&format!("size{SHARED}")), Some(2.0));
    assert_eq!(gateway.sample(r#"requests_total{instance="",job="b"}"#), Some(5.0));
    assert!(gateway.scrape().contains("# TYPE requests_total counter\n"));
    assert!(gateway.scrape().contains("# TYPE size gauge\n"));
    assert_refused(
        &gateway,
        "/metrics/job/b",
        "# TYPE other counter\nother 1\n# TYPE size counter\nsize 1\n",
    );
}

#[test]
fn a_typed_push_does_not_lock_out_the_untyped_ones_of_another_group() {
    let gateway = gateway();
    gateway.push("/metrics/job/a", "size 1\n");
    gateway.push("/metrics/job/b", "# TYPE size gauge\nsize 2\n");
    gateway.push("/metrics/job/a", "size 3\n");
    assert_eq!(gateway.sample(&format!("size{SHARED}")), Some(3.0));
    // Otherwise the values of the other group would change their meaning.
    gateway.push("/metrics/job/a", "done 1\n");
    assert_refused(&gateway, "/metrics/job/b", "# TYPE done counter\ndone 1\n");
}

#[test]
fn a_latest_value_is_no_sum_to_add_to() {
    let gateway = gateway();
    gateway.push("/metrics/job/a", "done -5\nbroken NaN\n");
    gateway.push("/metrics/job/a", "# TYPE done counter\ndone 1\n# TYPE broken counter\nbroken 1\n");
    gateway.push("/metrics/job/a", "# TYPE done counter\ndone 2\n# TYPE broken counter\nbroken 2\n");
    assert_eq!(gateway.sample(&format!("done{SHARED}")), Some(3.0));
    assert_eq!(gateway.sample(&format!("broken{SHARED}")), Some(3.0));
}

#[test]
fn put_takes_the_old_help_away() {
    let gateway = gateway();
    gateway.push("/metrics/job/a", "# HELP g Old.\n# TYPE g gauge\ng 1\n");
    gateway.push("/metrics/job/a", "# TYPE g gauge\ng 2\n");
    assert!(gateway.scrape().contains("# HELP g Old.\n"));
    assert_eq!(gateway.put("/metrics/job/a", "# TYPE g gauge\ng 3\n").status, 200);
    assert!(!gateway.scrape().contains("# HELP g "));
}

#[test]
fn made_up_bounds_keep_their_totals() {
    let gateway = gateway();
    let mut last = 0.0;
    for bound in 1..100 {
        let body = format!("# TYPE h histogram\nh_bucket{{le=\"{bound}\"}} 1\nh_sum 1\nh_count 2\n");
        gateway.push("/metrics/job/a", &body);
        let fifth = gateway.sample(r#"h_bucket{instance="",job="a",le="5"}"#).unwrap_or(0.0);
        assert!(fifth >= last, "the bucket fell from {last} to {fifth}");
        last = fifth;
    }
    assert_eq!(gateway.sample(&format!("h_count{SHARED}")), Some(198.0));
    assert_eq!(gateway.sample(r#"h_bucket{instance="",job="a",le="99"}"#), Some(99.0));
    assert_eq!(gateway.sample(r#"h_bucket{instance="",job="a",le="5"}"#), Some(5.0));
}

#[test]
fn a_summary_without_a_usable_sum_is_refused() {
    let gateway = gateway();
    assert_refused(&gateway, "/metrics/job/a", "# TYPE s summary\ns_sum NaN\ns_count 1\n");
    assert_refused(&gateway, "/metrics/job/a", "# TYPE s summary\ns_sum 1\ns_count -1\n");
}

#[test]
fn names_that_a_scrape_could_not_tell_apart_are_refused() {
    let gateway = Gateway::start(&["--push.enable-utf8-names"]);
    assert_refused(&gateway, "/metrics/job/a", "m{\"a.b\"=\"1\",a_b=\"2\"} 1\n");
    gateway.push("/metrics/job/a", "m{\"a.b\"=\"1\",a_c=\"2\"} 1\n{\"my.metric\"} 1\n");
    for body in ["my_metric 1\n", "{\"my-metric\"} 1\n", "{\"a.b\"} 1\n{\"a-b\"} 1\n", "{\"c.d\"} 1\nc_d 1\n"]
    {
        assert_refused(&gateway, "/metrics/job/b", body);
    }
    gateway.delete("/metrics/job/a");
    gateway.push("/metrics/job/b", "my_metric 1\n");
    gateway.push("/metrics/job/a", "m{\"a.b\"=\"1\",a_c=\"2\"} 1\n");
    assert_eq!(gateway.sample(r#"m{a_b="1",a_c="2",instance="",job="a"}"#), Some(1.0));
}

#[test]
fn untyped_becomes_typed() {
    let gateway = gateway();
    gateway.push("/metrics/job/a", "requests_total 1\nsize 1\n");
    gateway.push(
        "/metrics/job/a",
        "# TYPE requests_total counter\nrequests_total 2\n# TYPE size gauge\nsize 2\n",
    );
    assert_pushed(
        &gateway,
        r#"
# TYPE requests_total counter
requests_total{instance="",job="a"} 3
# TYPE size gauge
size{instance="",job="a"} 2
"#,
    );
}

// Histograms.

#[test]
fn histograms_of_one_layout_add() {
    let gateway = gateway();
    gateway.push("/metrics/job/a", &histogram(&[("0.1", "1"), ("1", "3"), ("+Inf", "4")], "2.5", "4"));
    gateway.push("/metrics/job/a", &histogram(&[("0.1", "10"), ("1", "20"), ("+Inf", "50")], "-7.5", "50"));
    assert_pushed(
        &gateway,
        r#"
# TYPE h histogram
h_bucket{instance="",job="a",le="0.1"} 11
h_bucket{instance="",job="a",le="1"} 23
h_bucket{instance="",job="a",le="+Inf"} 54
h_sum{instance="",job="a"} -5
h_count{instance="",job="a"} 54
"#,
    );
}

#[test]
fn histograms_add_per_label_set() {
    let gateway = gateway();
    let push = |method: &str, count: u32| {
        let labels = format!("method=\"{method}\"");
        let body = format!(
            "# TYPE h histogram\nh_bucket{{{labels},le=\"+Inf\"}} {count}\nh_sum{{{labels}}} 1\nh_count{{{labels}}} {count}\n"
        );
        gateway.push("/metrics/job/a", &body);
    };
    push("get", 1);
    push("put", 10);
    push("get", 2);
    assert_eq!(gateway.sample(r#"h_count{instance="",job="a",method="get"}"#), Some(3.0));
    assert_eq!(gateway.sample(r#"h_count{instance="",job="a",method="put"}"#), Some(10.0));
    assert_eq!(gateway.sample(r#"h_sum{instance="",job="a",method="get"}"#), Some(2.0));
}

#[test]
fn bounds_are_numbers() {
    let gateway = gateway();
    gateway.push("/metrics/job/a", &histogram(&[("1", "1"), ("10", "2"), ("+Inf", "2")], "1", "2"));
    gateway.push("/metrics/job/a", &histogram(&[("1.0", "1"), ("1e1", "2"), ("Inf", "2")], "1", "2"));
    assert_pushed(
        &gateway,
        r#"
# TYPE h histogram
h_bucket{instance="",job="a",le="1"} 2
h_bucket{instance="",job="a",le="10"} 4
h_bucket{instance="",job="a",le="+Inf"} 4
h_sum{instance="",job="a"} 2
h_count{instance="",job="a"} 4
"#,
    );
}

#[test]
fn buckets_may_come_in_any_order() {
    let gateway = gateway();
    for _ in 0..2 {
        gateway.push("/metrics/job/a", &histogram(&[("+Inf", "9"), ("5", "7"), ("1", "2")], "1", "9"));
    }
    assert_pushed(
        &gateway,
        r#"
# TYPE h histogram
h_bucket{instance="",job="a",le="1"} 4
h_bucket{instance="",job="a",le="5"} 14
h_bucket{instance="",job="a",le="+Inf"} 18
h_sum{instance="",job="a"} 2
h_count{instance="",job="a"} 18
"#,
    );
}

#[test]
fn bounds_may_be_negative() {
    let gateway = gateway();
    for _ in 0..2 {
        gateway.push("/metrics/job/a", &histogram(&[("-5", "1"), ("0", "2"), ("+Inf", "2")], "-9", "2"));
    }
    assert_eq!(gateway.sample(r#"h_bucket{instance="",job="a",le="-5"}"#), Some(2.0));
    assert_eq!(gateway.sample(&format!("h_sum{SHARED}")), Some(-18.0));
}

#[test]
fn layouts_that_differ_are_shown_as_their_union() {
    let gateway = gateway();
    gateway.push("/metrics/job/a", &histogram(&[("1", "2"), ("5", "5"), ("+Inf", "10")], "30", "10"));
    gateway.push("/metrics/job/a", &histogram(&[("2", "3"), ("+Inf", "3")], "4", "3"));
    // At 2, the first layout contributes the 2 of its bound 1. At 5, the second contributes the 3 of its bound 2.
    assert_pushed(
        &gateway,
        r#"
# TYPE h histogram
h_bucket{instance="",job="a",le="1"} 2
h_bucket{instance="",job="a",le="2"} 5
h_bucket{instance="",job="a",le="5"} 8
h_bucket{instance="",job="a",le="+Inf"} 13
h_sum{instance="",job="a"} 34
h_count{instance="",job="a"} 13
"#,
    );
}

#[test]
fn each_layout_adds_by_itself() {
    let one = histogram(&[("1", "2"), ("5", "5"), ("+Inf", "10")], "30", "10");
    let other = histogram(&[("2", "3"), ("5", "4"), ("+Inf", "6")], "4", "6");
    let expected = r#"
# TYPE h histogram
h_bucket{instance="",job="a",le="1"} 4
h_bucket{instance="",job="a",le="2"} 13
h_bucket{instance="",job="a",le="5"} 22
h_bucket{instance="",job="a",le="+Inf"} 38
h_sum{instance="",job="a"} 72
h_count{instance="",job="a"} 38
"#;
    for order in [[&one, &other, &one, &other, &other], [&other, &other, &other, &one, &one]] {
        let gateway = gateway();
        for body in order {
            gateway.push("/metrics/job/a", body);
        }
        assert_pushed(&gateway, expected);
    }
}

#[test]
fn a_layout_of_one_more_bucket_never_lowers_a_count() {
    let gateway = gateway();
    let mut last = [0.0; 3];
    for buckets in [
        &[("1", "5"), ("10", "9"), ("+Inf", "9")][..],
        &[("1", "1"), ("5", "1"), ("10", "2"), ("+Inf", "2")],
        &[("10", "7"), ("+Inf", "8")],
        &[("0.5", "0"), ("+Inf", "1")],
    ] {
        gateway.push("/metrics/job/a", &histogram(buckets, "1", buckets[buckets.len() - 1].1));
        let scrape = gateway.scrape();
        assert_valid_exposition(&scrape);
        let now = ["1", "10", "+Inf"].map(|bound| {
            sample(&scrape, &format!("h_bucket{{instance=\"\",job=\"a\",le=\"{bound}\"}}")).unwrap()
        });
        assert!(now.iter().zip(last).all(|(now, last)| *now >= last), "{now:?} after {last:?}");
        last = now;
    }
    assert_eq!(last[2], 20.0);
}

#[test]
fn inf_bucket_and_count_fill_in_for_each_other() {
    let without_inf = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 5\nh_count 3\n";
    let without_count = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 3\nh_sum 5\n";
    for bodies in [[without_inf, without_inf], [without_count, without_count], [without_inf, without_count]] {
        let gateway = gateway();
        for body in bodies {
            gateway.push("/metrics/job/a", body);
        }
        assert_pushed(
            &gateway,
            r#"
# TYPE h histogram
h_bucket{instance="",job="a",le="1"} 2
h_bucket{instance="",job="a",le="+Inf"} 6
h_sum{instance="",job="a"} 10
h_count{instance="",job="a"} 6
"#,
        );
    }
}

#[test]
fn a_missing_sum_adds_nothing() {
    let gateway = gateway();
    gateway.push("/metrics/job/a", "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 3\nh_count 3\n");
    gateway.push("/metrics/job/a", "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 5\nh_count 1\n");
    gateway.push("/metrics/job/a", "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\n");
    assert_eq!(gateway.sample(&format!("h_sum{SHARED}")), Some(5.0));
    assert_eq!(gateway.sample(&format!("h_count{SHARED}")), Some(6.0));
}

#[test]
fn float_counts_add() {
    let gateway = gateway();
    gateway.push("/metrics/job/a", &histogram(&[("1", "0.5"), ("+Inf", "1.5")], "1", "1.5"));
    gateway.push("/metrics/job/a", &histogram(&[("1", "1"), ("+Inf", "2")], "1", "2"));
    assert_eq!(gateway.sample(r#"h_bucket{instance="",job="a",le="1"}"#), Some(1.5));
    assert_eq!(gateway.sample(r#"h_bucket{instance="",job="a",le="+Inf"}"#), Some(3.5));
    assert_eq!(gateway.sample(&format!("h_count{SHARED}")), Some(3.5));
}

#[test]
fn counts_beyond_64_bits_do_not_wrap() {
    let gateway = gateway();
    let body = histogram(
        &[("1", "6000000000000000000"), ("+Inf", "6000000000000000000")],
        "1",
        "6000000000000000000",
    );
    for expected in [6e18, 1.2e19, 1.8e19, 2.4e19] {
        gateway.push("/metrics/job/a", &body);
        assert_eq!(gateway.sample(&format!("h_count{SHARED}")), Some(expected));
        assert_eq!(gateway.sample(r#"h_bucket{instance="",job="a",le="1"}"#), Some(expected));
        assert_eq!(gateway.sample(r#"h_bucket{instance="",job="a",le="+Inf"}"#), Some(expected));
    }
}

#[test]
fn histograms_that_contradict_themselves_are_refused() {
    let gateway = gateway();
    gateway.push("/metrics/job/a", &histogram(&[("1", "1"), ("2", "2"), ("+Inf", "3")], "4", "3"));
    for (what, body) in [
        ("falling counts", histogram(&[("1", "2"), ("2", "1"), ("+Inf", "3")], "4", "3")),
        ("counts above +Inf", histogram(&[("1", "5"), ("+Inf", "3")], "4", "3")),
        ("counts above the count", histogram(&[("1", "5")], "4", "3")),
        ("the same bound twice", histogram(&[("1", "1"), ("1", "1"), ("+Inf", "3")], "4", "3")),
        ("the same bound in two ways", histogram(&[("1", "1"), ("1.0", "1"), ("+Inf", "3")], "4", "3")),
        ("+Inf twice", histogram(&[("1", "1"), ("Inf", "3"), ("+Inf", "3")], "4", "3")),
        ("a bound that is no number", histogram(&[("NaN", "1"), ("+Inf", "3")], "4", "3")),
        ("a count that is not that of +Inf", histogram(&[("1", "1"), ("+Inf", "3")], "4", "4")),
        ("neither a count nor +Inf", "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 1\n".to_owned()),
        ("a negative bucket", histogram(&[("1", "-1"), ("+Inf", "3")], "4", "3")),
        ("a negative count", histogram(&[], "4", "-3")),
        ("a sum that is no number", histogram(&[("1", "1"), ("+Inf", "3")], "NaN", "3")),
        ("a bucket that is no number", histogram(&[("1", "NaN"), ("+Inf", "3")], "4", "3")),
        ("a count that is no number", histogram(&[("1", "1"), ("+Inf", "NaN")], "4", "NaN")),
        ("a count without end", histogram(&[("1", "1"), ("+Inf", "+Inf")], "4", "+Inf")),
    ] {
        for path in ["/metrics/job/a", "/metrics/job/b"] {
            let before = gateway.pushed();
            let response = gateway.post(path, &body);
            assert_eq!(response.status, 400, "{what}: {}", response.text());
            assert_eq!(gateway.pushed(), before, "{what}");
        }
    }
}

#[test]
fn gauge_histograms_keep_the_latest_push() {
    let gateway = gateway();
    let push = |small: u32, all: u32| {
        let body = format!(
            "# TYPE q gauge_histogram\nq_bucket{{le=\"1\"}} {small}\nq_bucket{{le=\"+Inf\"}} {all}\nq_sum {all}\nq_count {all}\n"
        );
        gateway.push("/metrics/job/a", &body);
    };
    push(5, 9);
    push(2, 3);
    assert_eq!(gateway.sample(r#"q_bucket{instance="",job="a",le="1"}"#), Some(2.0));
    assert_eq!(gateway.sample(&format!("q_sum{SHARED}")), Some(3.0));
    assert_eq!(gateway.sample(&format!("q_count{SHARED}")), Some(3.0));
}

// Summaries.

#[test]
fn summaries_add_sum_and_count_and_keep_the_latest_quantiles() {
    let gateway = gateway();
    gateway.push(
        "/metrics/job/a",
        "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns{quantile=\"0.9\"} 2\ns_sum 10\ns_count 4\n",
    );
    gateway.push(
        "/metrics/job/a",
        "# TYPE s summary\ns{quantile=\"0.5\"} 7\ns{quantile=\"0.99\"} 9\ns_sum 0.5\ns_count 1\n",
    );
    assert_pushed(
        &gateway,
        r#"
# TYPE s summary
s{instance="",job="a",quantile="0.5"} 7
s{instance="",job="a",quantile="0.99"} 9
s_sum{instance="",job="a"} 10.5
s_count{instance="",job="a"} 5
"#,
    );
}

#[test]
fn summaries_without_quantiles_add() {
    let gateway = gateway();
    for _ in 0..3 {
        gateway.push("/metrics/job/a", "# TYPE s summary\ns_sum{l=\"x\"} 1.5\ns_count{l=\"x\"} 2\n");
    }
    assert_eq!(gateway.sample(r#"s_sum{instance="",job="a",l="x"}"#), Some(4.5));
    assert_eq!(gateway.sample(r#"s_count{instance="",job="a",l="x"}"#), Some(6.0));
}

// PUT and DELETE.

#[test]
fn put_replaces_the_group() {
    let gateway = gateway();
    gateway.push("/metrics/job/a", "# TYPE c counter\nc 5\nc{l=\"x\"} 6\n# TYPE g gauge\ng 1\n");
    for _ in 0..2 {
        assert_eq!(gateway.put("/metrics/job/a", "# TYPE c counter\nc 2\n").status, 200);
        assert_pushed(&gateway, "# TYPE c counter\nc{instance=\"\",job=\"a\"} 2\n");
    }
    gateway.push("/metrics/job/a", "# TYPE c counter\nc 2\n");
    assert_eq!(gateway.sample(&format!("c{SHARED}")), Some(4.0));
}

#[test]
fn put_leaves_other_groups() {
    let gateway = gateway();
    gateway.push("/metrics/job/a", "# TYPE c counter\nc 5\n");
    assert_eq!(gateway.put("/metrics/job/b", "# TYPE c counter\nc 2\n").status, 200);
    assert_eq!(gateway.sample(&format!("c{SHARED}")), Some(5.0));
}

#[test]
fn put_checks_as_post_does() {
    let gateway = gateway();
    gateway.push("/metrics/job/a", "# TYPE c counter\nc 5\n");
    for body in ["# TYPE c counter\nc -1\n", &histogram(&[("1", "2"), ("+Inf", "1")], "1", "1")] {
        assert_eq!(gateway.put("/metrics/job/a", body).status, 400, "{body}");
    }
    assert_pushed(&gateway, "# TYPE c counter\nc{instance=\"\",job=\"a\"} 5\n");
}

#[test]
fn put_adds_where_the_configuration_says_so() {
    let gateway = gateway_where_put_adds();
    let first = "# TYPE c counter\nc 1\n# TYPE kept counter\nkept 1\n# TYPE g gauge\ng 1\ng{l=\"x\"} 1\n\
                 # TYPE gone gauge\ngone 1\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n";
    assert_eq!(gateway.put("/metrics/job/a", first).status, 200);
    let second = "# TYPE c counter\nc 2\n# TYPE g gauge\ng 2\n\
                  # TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 2\nh_count 2\n";
    assert_eq!(gateway.put("/metrics/job/a", second).status, 200);
    assert_pushed(
        &gateway,
        r#"
# TYPE c counter
c{instance="",job="a"} 3
# TYPE g gauge
g{instance="",job="a"} 2
# TYPE h histogram
h_bucket{instance="",job="a",le="+Inf"} 3
h_sum{instance="",job="a"} 3
h_count{instance="",job="a"} 3
# TYPE kept counter
kept{instance="",job="a"} 1
"#,
    );
}

#[test]
fn delete_starts_from_zero() {
    let gateway = gateway();
    gateway.push("/metrics/job/a", "# TYPE c counter\nc 5\n");
    assert_eq!(gateway.delete("/metrics/job/a").status, 202);
    assert_pushed(&gateway, "");
    gateway.push("/metrics/job/a", "# TYPE c counter\nc 2\n");
    assert_eq!(gateway.sample(&format!("c{SHARED}")), Some(2.0));
}

#[test]
fn an_empty_push_only_sets_the_time() {
    let gateway = gateway();
    gateway.push("/metrics/job/a", "# TYPE c counter\nc 5\n");
    let before = gateway.sample(&format!("push_time_seconds{SHARED}")).unwrap();
    gateway.push("/metrics/job/a", "");
    assert_pushed(&gateway, "# TYPE c counter\nc{instance=\"\",job=\"a\"} 5\n");
    assert!(gateway.sample(&format!("push_time_seconds{SHARED}")).unwrap() > before);
}

#[test]
fn without_aggregation_the_last_push_counts() {
    let gateway = Gateway::start(&["--no-push.aggregate"]);
    for _ in 0..2 {
        gateway.push("/metrics/job/a", "# TYPE c counter\nc 1\nx_total 1\n");
    }
    assert_eq!(gateway.sample(&format!("c{SHARED}")), Some(1.0));
    assert_eq!(gateway.sample(&format!("x_total{SHARED}")), Some(1.0));
    gateway.push("/metrics/job/a", "# TYPE c counter\nc -1\n");
    assert_eq!(gateway.sample(&format!("c{SHARED}")), Some(-1.0));
}

// Types and help.

#[test]
fn a_type_conflict_in_the_ninth_family_applies_none_of_the_first_eight() {
    let gateway = gateway();
    gateway.push("/metrics/job/a", "# TYPE taken counter\ntaken 1\n# TYPE m1 counter\nm1 1\n");
    let mut body = String::new();
    for family in 1..=8 {
        body += &format!("# TYPE m{family} counter\nm{family} 1\n");
    }
    body += "# TYPE taken gauge\ntaken 1\n";
    for path in ["/metrics/job/a", "/metrics/job/b"] {
        assert_refused(&gateway, path, &body);
    }
    assert_eq!(gateway.sample(&format!("m1{SHARED}")), Some(1.0));
    assert_eq!(gateway.sample(&format!("m8{SHARED}")), None);
}

#[test]
fn a_bad_value_in_the_ninth_family_applies_none_of_the_first_eight() {
    let gateway = gateway();
    let mut body = String::new();
    for family in 1..=8 {
        body += &format!("# TYPE m{family} counter\nm{family} 1\n");
    }
    for ninth in ["# TYPE m9 counter\nm9 -1\n", "m9 1 1000\n", "m9{a=\"1\"} 1\nm9{a=\"1\"} 1\n", "m9 x\n"] {
        assert_refused(&gateway, "/metrics/job/a", &format!("{body}{ninth}"));
    }
}

#[test]
fn the_first_live_type_wins() {
    let gateway = gateway();
    gateway.push("/metrics/job/a", "# TYPE m counter\nm 1\n");
    for kind in ["gauge", "histogram", "summary", "gauge_histogram"] {
        let sample = if kind == "gauge" { "m 1" } else { "m_sum 1\nm_count 1" };
        for path in ["/metrics/job/a", "/metrics/job/b"] {
            assert_refused(&gateway, path, &format!("# TYPE m {kind}\n{sample}\n"));
        }
    }
    gateway.push("/metrics/job/b", "# TYPE m counter\nm 1\n");
}

#[test]
fn a_name_is_free_when_its_last_series_is_gone() {
    let gateway = gateway();
    gateway.push("/metrics/job/a", "# TYPE m counter\nm 1\n");
    gateway.push("/metrics/job/b", "# TYPE m counter\nm 1\n");
    gateway.delete("/metrics/job/a");
    assert_refused(&gateway, "/metrics/job/a", "# TYPE m gauge\nm 1\n");
    assert_eq!(gateway.put("/metrics/job/b", "").status, 200);
    gateway.push("/metrics/job/a", "# TYPE m gauge\nm 1\n");
    assert_eq!(gateway.put("/api/v1/admin/wipe", "").status, 202);
    gateway.push("/metrics/job/a", "# TYPE m histogram\nm_bucket{le=\"+Inf\"} 1\nm_sum 1\nm_count 1\n");
}

#[test]
fn a_refused_push_takes_no_name() {
    let gateway = gateway();
    assert_refused(&gateway, "/metrics/job/a", "# TYPE m gauge\nm 1\n# TYPE c counter\nc -1\n");
    gateway.push("/metrics/job/b", "# TYPE m counter\nm 1\n# TYPE c gauge\nc -1\n");
}

#[test]
fn put_may_change_a_type_that_only_its_group_has() {
    let gateway = gateway();
    gateway.push("/metrics/job/a", "# TYPE m counter\nm 1\n");
    assert_eq!(gateway.put("/metrics/job/a", "# TYPE m gauge\nm -1\n").status, 200);
    assert_pushed(&gateway, "# TYPE m gauge\nm{instance=\"\",job=\"a\"} -1\n");
    gateway.push("/metrics/job/b", "# TYPE m gauge\nm 1\n");
    assert_eq!(gateway.put("/metrics/job/a", "# TYPE m counter\nm 1\n").status, 400);
}

#[test]
fn the_newest_help_of_a_group_wins() {
    let gateway = gateway();
    for help in ["one", "two", "three"] {
        gateway.push("/metrics/job/a", &format!("# HELP c {help}\n# TYPE c counter\nc 1\n"));
        assert!(gateway.scrape().contains(&format!("# HELP c {help}\n")));
    }
    assert_eq!(gateway.sample(&format!("c{SHARED}")), Some(3.0));
}

#[test]
fn across_groups_the_help_of_the_smallest_key_wins() {
    let gateway = gateway();
    let push = |job: &str, help: &str| {
        gateway.push(&format!("/metrics/job/{job}"), &format!("# HELP c {help}\n# TYPE c counter\nc 1\n"));
    };
    let shows = |help: &str| {
        let scrape = gateway.scrape();
        assert_eq!(scrape.matches("# HELP c ").count(), 1);
        assert!(scrape.contains(&format!("# HELP c {help}\n")), "not {help:?} in\n{scrape}");
    };
    push("m", "from m");
    shows("from m");
    push("b", "from b");
    shows("from b");
    push("z", "from z");
    shows("from b");
    push("m", "again from m");
    shows("from b");
    push("b", "again from b");
    shows("again from b");
    gateway.delete("/metrics/job/b");
    shows("again from m");
}

// Inputs on which other aggregating gateways fail.

#[test]
fn odd_but_valid_text_is_accepted() {
    let gateway = gateway();
    for body in [
        "Upper_Case:with_colon 1\n",
        "# TYPE u untyped\nu 1\n",
        "# HELP q a \"quoted\" word\nq 1\n",
        "#comment\n# comment\nv 1\n",
        "\tt\t1\n  t{a = \"b\"}  1\n",
        "i Inf\n",
        "p .5\n",
        "n_count_count 1\n",
        "eof 1\n# EOF\n",
        "",
        "no_newline 1",
        "crlf 1\r\n",
    ] {
        gateway.push("/metrics/job/a", body);
    }
    for (name, value) in
        [("Upper_Case:with_colon", 1.0), ("i", f64::INFINITY), ("p", 0.5), ("no_newline", 1.0), ("crlf", 1.0)]
    {
        assert_eq!(gateway.sample(&format!("{name}{SHARED}")), Some(value));
    }
    assert_valid_exposition(&gateway.scrape());
}

#[test]
fn family_names_that_look_like_parts() {
    let gateway = gateway();
    for _ in 0..2 {
        gateway.push(
            "/metrics/job/a",
            "# TYPE n_count_count counter\nn_count_count 1\n# TYPE x_sum counter\nx_sum 1\n# TYPE y_bucket gauge\ny_bucket 1\n",
        );
    }
    assert_eq!(gateway.sample(&format!("n_count_count{SHARED}")), Some(2.0));
    assert_eq!(gateway.sample(&format!("x_sum{SHARED}")), Some(2.0));
    assert_eq!(gateway.sample(&format!("y_bucket{SHARED}")), Some(1.0));
}

#[test]
fn a_push_needs_a_job_in_its_path() {
    let gateway = gateway();
    assert_eq!(gateway.post("/metrics", "# TYPE c counter\nc 1\n").status, 405);
    assert_eq!(gateway.post("/metrics/job", "# TYPE c counter\nc 1\n").status, 404);
    assert_pushed(&gateway, "");
}

#[test]
fn encoded_paths_name_the_same_group() {
    let gateway = gateway();
    for path in [
        "/metrics/job/a%20b/path/x%2Fy",
        "/metrics/job@base64/YSBi/path@base64/eC95",
        "/metrics/job/a%20b/path@base64/eC95==",
        "/metrics/job@base64/YSBi/path/x%2fy",
    ] {
        gateway.push(path, "# TYPE c counter\nc 1\n");
    }
    assert_pushed(&gateway, "# TYPE c counter\nc{instance=\"\",job=\"a b\",path=\"x/y\"} 4\n");
}

#[test]
fn bad_label_names_in_the_path_are_refused() {
    let gateway = gateway();
    for path in
        ["/metrics/job/a/bad-name/x", "/metrics/job/a/0/x", "/metrics/job/a/__name__/x", "/metrics/job/a/b"]
    {
        assert_refused(&gateway, path, "c 1\n");
    }
}

#[test]
fn a_label_of_the_path_overrides_that_of_the_body() {
    let gateway = gateway();
    gateway.push("/metrics/job/a/l/path", "# TYPE c counter\nc{l=\"body\"} 1\n");
    gateway.push("/metrics/job/a/l/path", "# TYPE c counter\nc 1\n");
    assert_pushed(&gateway, "# TYPE c counter\nc{instance=\"\",job=\"a\",l=\"path\"} 2\n");
}

#[test]
fn a_value_in_the_path_cannot_inject_lines() {
    let gateway = gateway();
    let evil = "a%22%7D%201%0Aevil_total%7Bjob%3D%22admin%22%7D%20666%0Ay_total%7Bb%3D%22";
    gateway.push(&format!("/metrics/job/{evil}"), "# TYPE c counter\nc 1\n");
    gateway.push(&format!("/metrics/job/a/l/{evil}"), "# TYPE c counter\nc 1\n");
    let scrape = gateway.scrape();
    assert_valid_exposition(&scrape);
    assert!(!scrape.lines().any(|line| line.starts_with("evil_total")), "{scrape}");
    assert_eq!(scrape.lines().filter(|line| line.starts_with("c{")).count(), 2);
}

#[test]
fn a_value_in_the_body_cannot_inject_lines() {
    let gateway = gateway();
    gateway.push(
        "/metrics/job/a",
        "# HELP c help\\nevil_total 1\n# TYPE c counter\nc{l=\"x\\\"} 1\\nevil_total 1\"} 1\n",
    );
    let scrape = gateway.scrape();
    assert_valid_exposition(&scrape);
    assert!(!scrape.lines().any(|line| line.starts_with("evil_total")), "{scrape}");
}

#[test]
fn timestamps_and_exemplars_are_refused() {
    let gateway = gateway();
    gateway.push("/metrics/job/a", "# TYPE c counter\nc 1\n");
    for body in [
        "# TYPE c counter\nc 1 1700000000000\n",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1 # {trace_id=\"x\"} 0.5\nh_sum 1\nh_count 1\n",
    ] {
        assert_refused(&gateway, "/metrics/job/a", body);
    }
    assert_eq!(gateway.sample(&format!("c{SHARED}")), Some(1.0));
}

#[test]
fn the_same_series_twice_in_a_push_is_refused() {
    let gateway = gateway();
    assert_refused(&gateway, "/metrics/job/a", "# TYPE c counter\nc 1\nc 2\n");
    assert_refused(&gateway, "/metrics/job/a/l/x", "# TYPE c counter\nc{l=\"1\"} 1\nc{l=\"2\"} 2\n");
}

#[test]
fn a_series_of_another_group_is_refused() {
    let gateway = gateway();
    gateway.push("/metrics/job/a/l/x", "# TYPE c counter\nc 1\n");
    assert_refused(&gateway, "/metrics/job/a", "# TYPE c counter\nc{l=\"x\"} 1\n");
    gateway.push("/metrics/job/a", "# TYPE c counter\nc{l=\"y\"} 1\n");
    assert_refused(&gateway, "/metrics/job/a/l/y", "# TYPE c counter\nc 1\n");
    assert_eq!(gateway.sample(r#"c{instance="",job="a",l="x"}"#), Some(1.0));
}

#[test]
fn compressed_pushes_add() {
    use std::io::Write as _;

    let gateway = gateway();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"# TYPE c counter\nc 1\n").unwrap();
    let gzip = gzip.finish().unwrap();
    let mut snappy = snap::write::FrameEncoder::new(Vec::new());
    snappy.write_all(b"# TYPE c counter\nc 10\n").unwrap();
    let snappy = snappy.into_inner().unwrap();
    for _ in 0..2 {
        for (encoding, body) in [("gzip", &gzip), ("snappy", &snappy)] {
            let response = gateway.request("POST", "/metrics/job/a", &[("Content-Encoding", encoding)], body);
            assert_eq!(response.status, 200, "{}", response.text());
        }
    }
    assert_eq!(gateway.sample(&format!("c{SHARED}")), Some(22.0));
}

#[test]
fn protobuf_pushes_add_to_text_pushes() {
    // The counter family c with the value 1.5, delimited.
    let body = b"\x12\x0a\x01c\x18\x00\x22\x0b\x1a\x09\x09\x00\x00\x00\x00\x00\x00\xf8\x3f";
    let content_type =
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    let gateway = gateway();
    gateway.push("/metrics/job/a", "# TYPE c counter\nc 1\n");
    for _ in 0..2 {
        let response = gateway.request("POST", "/metrics/job/a", &[("Content-Type", content_type)], body);
        assert_eq!(response.status, 200, "{}", response.text());
    }
    assert_eq!(gateway.sample(&format!("c{SHARED}")), Some(4.0));
}

#[test]
fn a_histogram_grouped_by_le_cannot_break_the_exposition() {
    let gateway = gateway();
    // It may be refused, or shown in a form that parses.
    gateway.post("/metrics/job/a/le/1", &histogram(&[("1", "1"), ("+Inf", "1")], "1", "1"));
    assert_valid_exposition(&gateway.scrape());
    gateway.push("/metrics/job/b", "# TYPE c counter\nc 1\n");
}

#[test]
fn the_failure_time_is_set_by_a_refused_push_and_kept_by_the_next() {
    let gateway = gateway();
    let failure = format!("push_failure_time_seconds{SHARED}");
    gateway.push("/metrics/job/a", "# TYPE c counter\nc 1\n");
    assert_eq!(gateway.sample(&failure), Some(0.0));
    gateway.refused("/metrics/job/a", "# TYPE c counter\nc -1\n");
    let failed = gateway.sample(&failure).unwrap();
    assert!(failed > gateway.sample(&format!("push_time_seconds{SHARED}")).unwrap());
    gateway.push("/metrics/job/a", "# TYPE c counter\nc 1\n");
    assert_eq!(gateway.sample(&failure), Some(failed));
    assert_eq!(gateway.sample(&format!("c{SHARED}")), Some(2.0));
}
