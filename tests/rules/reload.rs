//! Rules are read again on SIGHUP and on `POST /-/reload`; wrong ones leave the old ones in force.

use crate::support::{Directory, Gateway, run};

const DROPS_POD: &str =
    "[[groups]]\nmatch = '{job=\"a\"}'\nrelabel = [{ action = \"labeldrop\", regex = \"pod\" }]\n";

fn start(folder: &Directory, text: &str, flags: &[&str]) -> Gateway {
    let flag = format!("--config.file={}", folder.write("tallygate.toml", text));
    let mut all = vec![&*flag];
    all.extend(flags);
    Gateway::start(&all)
}

#[test]
fn rules_are_read_again_when_asked_for() {
    let folder = Directory::new();
    let gateway = start(&folder, DROPS_POD, &["--web.enable-lifecycle"]);
    let push = || gateway.push("/metrics/job/a/pod/p", "# TYPE c counter\nc 1\n");
    let totals = || {
        let of = |labels: &str| gateway.sample(&format!("c{{{labels}}}"));
        (of("instance=\"\",job=\"a\""), of("instance=\"\",job=\"a\",pod=\"p\""))
    };
    push();
    assert_eq!(totals(), (Some(1.0), None));
    folder.write("tallygate.toml", "");
    push();
    assert_eq!(totals(), (Some(2.0), None), "nobody has asked for it yet");
    let answer = gateway.request("POST", "/-/reload", &[], b"");
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    push();
    // What was there stays.
    assert_eq!(totals(), (Some(2.0), Some(1.0)));
    folder.write("tallygate.toml", DROPS_POD);
    gateway.signal("HUP");
    gateway.wait_for_log("received SIGHUP");
    // Requests to reload wait for each other, so this one comes after the signal or does its work.
    assert_eq!(gateway.request("PUT", "/-/reload", &[], b"").status, 200);
    push();
    assert_eq!(totals(), (Some(3.0), Some(1.0)));
    assert_eq!(gateway.sample("tallygate_rules_last_reload_successful"), Some(1.0));
    assert_eq!(gateway.sample("tallygate_rules_reloads_total{result=\"failure\"}"), Some(0.0));
    assert!(gateway.sample("tallygate_rules_reloads_total{result=\"success\"}") >= Some(2.0));
}

#[test]
fn wrong_rules_leave_the_old_ones_in_force() {
    let folder = Directory::new();
    let gateway = start(&folder, DROPS_POD, &["--web.enable-lifecycle"]);
    for (text, message) in [
        ("[[groups]]\nmatch = '{job=}'\n", "line 2, column"),
        ("[[groups]]\nmatch = '{job=\"a\"}'\nttl = \"soon\"\n", "line 3, column"),
        ("[[groups]]\nmach = '{job=\"a\"}'\n", "unknown field `mach`"),
        ("[[metrics]]\nmatch = 'm'\nmerge = \"product\"\n", "line 3, column"),
        ("[[metrics]]\nmatch = 'm'\nrelabel = [{ regex = \"(\" }]\n", "line 3, column"),
        ("[web]\nenable_lifecycle = 3\n", "line 2, column"),
        (
            "[[groups]]\nmatch = '{job=\"a\"}'\nmax_series = 9223372036854775808\n",
            "line 3, column 14, key groups.max_series: the number is too large",
        ),
        ("[[groups]]\nmatch = '{job=\"a\"}'\nsource = \"header\"\n", "has no effect without headers = true"),
        (
            "[[metrics]]\nmatch = 'm'\ntemporality = \"auto\"\nrelabel = [{ action = \"labeldrop\", regex = \"pid\" }]\n",
            "line 3, column 15, key metrics.temporality: it contradicts relabel",
        ),
    ] {
        let file = folder.write("tallygate.toml", text);
        let answer = gateway.request("POST", "/-/reload", &[], b"");
        assert_eq!(answer.status, 500, "{text}");
        let said = answer.text();
        assert!(said.starts_with("failed to reload config: ") && said.contains(message), "{said}");
        assert!(said.contains(&file) && said.lines().count() == 1, "{said}");
        assert_eq!(gateway.sample("tallygate_rules_last_reload_successful"), Some(0.0));
        gateway.push("/metrics/job/a/pod/p", "m 1\n");
        assert_eq!(gateway.sample("m{instance=\"\",job=\"a\"}"), Some(1.0), "the old rules hold");
        // A gateway with such rules does not start, and the check says the same.
        let flag = format!("--config.file={file}");
        for flags in [vec![&*flag, "--web.listen-address=127.0.0.1:0"], vec![&*flag, "--config.check"]] {
            let ended = run(&flags);
            assert_eq!(ended.status.code(), Some(1), "{text}");
            assert!(ended.stderr.contains(message), "{}", ended.stderr);
        }
    }
    assert_eq!(gateway.sample("tallygate_rules_reloads_total{result=\"failure\"}"), Some(9.0));
    gateway.wait_for_log("the rules can't be read; the old ones stay in force");
}

#[test]
fn a_put_without_rules_replaces_what_senders_contributed_under_rules() {
    let rules = |job: &str| {
        let named = "source = \"header\"\nheaders = true\n";
        format!(
            "[[groups]]\nmatch = '{{job=\"{job}\"}}'\n{named}[[metrics]]\nmatch = 'depth'\nmerge = \"sum\"\n"
        )
    };
    let depth = |value: u32| format!("# TYPE depth gauge\ndepth {value}\n");
    for put in ["replace", "aggregate"] {
        let folder = Directory::new();
        let file = format!("--persistence.file={}", folder.path_of("state"));
        let flags = ["--web.enable-lifecycle", &file];
        let with_put = |rules: &str| format!("[push]\nput = \"{put}\"\n{rules}");
        let mut gateway = start(&folder, &with_put(&rules("b")), &flags);
        let reload = |gateway: &Gateway, rules: &str| {
            folder.write("tallygate.toml", with_put(rules));
            assert_eq!(gateway.request("POST", "/-/reload", &[], b"").status, 200);
        };
        let send = |gateway: &Gateway, method: &str, source: &str, body: &str| {
            let headers = [("X-Push-Source", source)];
            let answer = gateway.request(method, "/metrics/job/b", &headers, body.as_bytes());
            assert_eq!(answer.status, 200);
        };
        let shown = |gateway: &Gateway| {
            ["depth", "x"].map(|name| gateway.sample(&format!("{name}{{instance=\"\",job=\"b\"}}")))
        };
        send(&gateway, "POST", "s", &depth(5));
        assert_eq!(gateway.put("/metrics/job/b", &depth(7)).status, 200);
        assert_eq!(shown(&gateway), [Some(12.0), None]);
        // As long as there are rules, a PUT is about what its sender contributed, even if they are for other groups.
        reload(&gateway, &rules("other"));
        assert_eq!(gateway.put("/metrics/job/b", "x 1\n").status, 200);
        assert_eq!(shown(&gateway), [Some(5.0), Some(1.0)], "{put}");
        // Without rules what was contributed stays, until a PUT replaces the group.
        reload(&gateway, "");
        assert_eq!(shown(&gateway), [Some(5.0), Some(1.0)], "{put}");
        gateway.kill();
        let mut gateway = start(&folder, &with_put(""), &flags);
        assert_eq!(shown(&gateway), [Some(5.0), Some(1.0)], "{put}");
        assert_eq!(gateway.put("/metrics/job/b", "x 2\n").status, 200);
        assert_eq!(shown(&gateway), [None, Some(2.0)], "{put}");
        gateway.kill();
        // Nor does it come back with the rules.
        let gateway = start(&folder, &with_put(&rules("b")), &flags);
        assert_eq!(shown(&gateway), [None, Some(2.0)], "{put}");
        send(&gateway, "POST", "t", &depth(1));
        assert_eq!(shown(&gateway), [Some(1.0), Some(2.0)], "{put}");
    }
}

#[test]
fn reload_needs_the_lifecycle_api() {
    let folder = Directory::new();
    let gateway = start(&folder, "", &[]);
    let answer = gateway.request("POST", "/-/reload", &[], b"");
    assert_eq!((answer.status, answer.text().as_str()), (403, "Lifecycle API is not enabled."));
    assert_eq!(gateway.get("/-/reload").status, 405);
}
