//! `tallygate rules test`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::{Directory, binary};

/// Runs `tallygate rules test` with a standard input: exit code, stdout, stderr.
fn test(arguments: &[&str], body: &str) -> (i32, String, String) {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TALLYGATE") {
            command.env_remove(name);
        }
    }
    command.args(["rules", "test"]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    // It may end before it has read stdin.
    let _ = process.stdin.take().unwrap().write_all(body.as_bytes());
    let output = process.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

const RULES: &str = r#"
[[groups]]
match = '{job="worker"}'
relabel = [{ action = "labeldrop", regex = "pod" }]
put = "aggregate"

[[groups]]
match = '{job="noisy"}'
accept = false

[[metrics]]
match = 'depth'
merge = "greatest"
relabel = [{ source_labels = ["__name__"], target_label = "__name__", replacement = "max_$1" }]
"#;

#[test]
fn shows_what_the_rules_make_of_a_push() {
    let folder = Directory::new();
    let file = folder.write("rules.toml", RULES);
    let body = "# TYPE depth gauge\ndepth 3\nruns_total 1\n";
    let (code, stdout, stderr) = test(&["--config", &file, "--path", "/metrics/job/worker/pod/p", "-"], body);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(
        stdout,
        format!(
            r#"pushed to {{job="worker",pod="p"}}: the rule in {file}, line 2
group     {{job="worker"}}
source    {{job="worker",pod="p"}}
PUT       aggregate
metric    runs_total, untyped: added: no rule
metric    max_depth (pushed as depth), gauge: the highest value stays: the rule in {file}, line 11

# TYPE max_depth gauge
max_depth{{instance="",job="worker"}} 3
# TYPE runs_total untyped
runs_total{{instance="",job="worker"}} 1
"#
        )
    );
    // Without a body, only the group is decided.
    let (code, stdout, _) = test(&["--config", &file, "--path", "/metrics/job/other"], "");
    assert_eq!(code, 0);
    assert_eq!(
        stdout,
        "pushed to {job=\"other\"}: no rule\ngroup     {job=\"other\"}\nsource    {job=\"other\"}\nPUT       replace\n"
    );
}

#[test]
fn shows_what_the_label_clearmode_says() {
    let folder = Directory::new();
    let file =
        folder.write("rules.toml", format!("[push]\nclearmode = true\ndefault_job = \"faas\"\n{RULES}"));
    let body = "# TYPE g gauge\ng{clearmode=\"sum\"} 3\n# TYPE depth gauge\ndepth{clearmode=\"replace\"} 1\n\
        # TYPE c counter\nc{clearmode=\"replace\"} 2\nbuild{v=\"1\",clearmode=\"family\"} 1\n";
    let (code, stdout, stderr) = test(&["--config", &file, "--path", "/metrics/zone/a", "-"], body);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let (explained, shown) = stdout.split_once("\n\n").unwrap();
    assert_eq!(
        explained,
        format!(
            r#"pushed to {{job="faas",zone="a"}}: no rule
group     {{job="faas",zone="a"}}
source    {{job="faas",zone="a"}}
PUT       replace
metric    g, gauge: added: no rule and clearmode="aggregate"
metric    c, counter: added, pushed as running totals: no rule and clearmode="replace"
metric    build, untyped: the latest push of all its series stays: no rule and clearmode="family"
metric    max_depth (pushed as depth), gauge: the highest value stays: the rule in {file}, line 14, in place of clearmode="replace""#
        )
    );
    assert!(shown.contains("g{instance=\"\",job=\"faas\",zone=\"a\"} 3\n"), "{shown}");
    for (path, body, message) in [
        ("/metrics/job/a", "g{clearmode=\"x\"} 1\n", "clearmode=\"x\", which says nothing"),
        ("/metrics", "g{job=\"x\"} 1\n", "push.default_job would take its place"),
    ] {
        let (code, _, stderr) = test(&["--config", &file, "--path", path, "-"], body);
        assert!(code == 1 && stderr.contains(message), "{stderr}");
    }
}

#[test]
fn says_what_is_wrong() {
    let folder = Directory::new();
    let file = folder.write("rules.toml", RULES);
    let wrong = folder.write("wrong.toml", "[[groups]]\nmatch = 'x{'\n");
    for (arguments, body, code, message) in [
        (&["--config", &*file, "--path", "/metrics/job/noisy", "-"][..], "m 1\n", 1, "not accepted"),
        (&["--config", &file, "--path", "/metrics/job/a", "-"], "m x\n", 1, "the push is refused: "),
        (&["--config", &file, "--path", "/metrics/job/a", "-"], "m 1 1\n", 1, "must not have timestamps"),
        (&["--config", &file, "--path", "/nothing"], "", 2, "\"/nothing\" is not that of a group"),
        (&["--config", &wrong, "--path", "/metrics/job/a"], "", 2, "line 2, column"),
        (&["--config", "/nowhere", "--path", "/metrics/job/a"], "", 2, "/nowhere"),
        (&["--config", &file, "--path", "/metrics/job/a", "/nowhere"], "", 2, "/nowhere: "),
    ] {
        let (ended, stdout, stderr) = test(arguments, body);
        assert_eq!((ended, stdout.as_str()), (code, ""), "{arguments:?}: {stderr}");
        assert!(
            stderr.starts_with("tallygate rules: ") && stderr.contains(message),
            "{arguments:?}: {stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}
