//! Runs the gateway in place of the stock one, in the pods of the stock chart prometheus-pushgateway: with the
//! arguments that the chart rendered (`tests/chart/stock.json`), as its user and on its volumes. Then sends what
//! its probes send.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::programs;
use crate::support::{Connection, Directory, Gateway, binary};

/// `nobody` in the image, both user and group. Users that are not in its `/etc/passwd` get group 0.
const NOBODY: u64 = 65534;

/// The user that `OpenShift` chooses if neither the user nor the group of the volume is set.
const CHOSEN: u64 = 1_000_650_000;

/// The pod for one set of values.
struct Pod {
    name: String,
    facts: Value,
    storage: Directory,
    secret: Directory,
}

impl Pod {
    /// The pods that the stock chart renders.
    fn all() -> Vec<Pod> {
        let recorded: Value = serde_json::from_str(include_str!("../chart/stock.json")).unwrap();
        let pods = recorded["pods"].as_array().unwrap().clone();
        assert!(pods.len() > 5);
        pods.into_iter().map(Pod::new).collect()
    }

    fn new(facts: Value) -> Pod {
        let name = facts["name"].as_str().unwrap().to_owned();
        let pod = Pod { name, facts, storage: Directory::new(), secret: Directory::new() };
        // As Kubernetes mounts volumes: they belong to root and, with fsGroup, to that group.
        if runs_as_root() {
            chown(pod.storage.path(), Some(0), Some(pod.context("fsGroup").try_into().unwrap())).unwrap();
        }
        std::fs::set_permissions(pod.storage.path(), PermissionsExt::from_mode(0o2775)).unwrap();
        // A secret that the chart does not create may hold any configuration. This is the smallest one.
        let web = pod.facts["webConfiguration"].as_str().unwrap_or("{}\n");
        mount_secret(&pod.secret, "1", web);
        pod
    }

    fn context(&self, key: &str) -> u64 {
        self.facts["podSecurityContext"][key].as_u64().unwrap_or(CHOSEN)
    }

    fn probe<'a>(&'a self, which: &str) -> Option<&'a Value> {
        self.facts[which].as_object().map(|_| &self.facts[which])
    }

    fn flags(&self) -> Vec<String> {
        let storage = format!("{}/", self.facts["storage"].as_str().unwrap());
        let mut flags = vec!["--web.listen-address=127.0.0.1:0".to_owned()];
        for flag in self.facts["args"].as_array().unwrap() {
            let flag = flag.as_str().unwrap().replace("/etc/config", self.secret.path().to_str().unwrap());
            flags.push(flag.replace(&storage, &self.storage.path_of("")));
        }
        // If the probes use a prefix that the arguments lack, the gateway gets it from elsewhere.
        if self.probe("livenessProbe").is_some_and(|probe| probe["httpGet"]["path"] == "/pg/-/healthy") {
            flags.push("--web.route-prefix=/pg".to_owned());
        }
        flags
    }

    fn start(&self) -> Gateway {
        let environment = self.facts["env"].as_array().unwrap();
        let environment: Vec<_> = environment
            .iter()
            .map(|variable| (variable["name"].as_str().unwrap(), variable["value"].as_str().unwrap()))
            .collect();
        // Through a descriptor, because this user may not have access to the folder of the program.
        let script = r#"exec 3<"$1"; user=$2 group=$3 groups=$4; shift 4
            exec setpriv --reuid="$user" --regid="$group" --groups="$groups" --no-new-privs /proc/self/fd/3 "$@""#;
        let binary = binary();
        let user = self.context("runAsUser");
        let group = if user == NOBODY { NOBODY } else { 0 };
        let ids = [user, group, self.context("fsGroup")].map(|id| id.to_string());
        let flags = self.flags();
        if !runs_as_root() {
            let flags: Vec<_> = flags.iter().map(String::as_str).collect();
            return Gateway::start_exactly(&flags, &environment);
        }
        let mut command = vec!["-c", script, "sh", binary.to_str().unwrap()];
        command.extend(ids.iter().chain(&flags).map(String::as_str));
        Gateway::start_program(Path::new("sh"), &command, &environment)
    }

    fn keeps(&self) -> bool {
        self.facts["args"].to_string().contains("--persistence.file")
    }

    /// The header with which the probes log in.
    fn login(&self) -> Vec<(&str, &str)> {
        let headers = self.facts["readinessProbe"]["httpGet"]["httpHeaders"].as_array();
        headers
            .into_iter()
            .flatten()
            .map(|header| (header["name"].as_str().unwrap(), header["value"].as_str().unwrap()))
            .collect()
    }
}

/// Puts a file into a folder as Kubernetes mounts a secret: behind a link that is replaced when the secret changes.
fn mount_secret(folder: &Directory, version: &str, web: &str) {
    let own = folder.path().join(format!("..{version}"));
    std::fs::create_dir(&own).unwrap();
    std::fs::write(own.join("web-config.yaml"), web).unwrap();
    symlink(format!("..{version}"), folder.path().join("..data_tmp")).unwrap();
    std::fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
    // The link exists after the first call.
    let _ = symlink("..data/web-config.yaml", folder.path().join("web-config.yaml"));
}

fn runs_as_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Asks what kubelet asks. (It checks no certificates, and the port is that of the container, not of this test.)
fn ask(gateway: &Gateway, pod: &Pod, which: &str) {
    let Some(probe) = pod.probe(which) else { return };
    if probe.get("tcpSocket").is_some() {
        Connection::open(gateway.addresses()[0]).unwrap();
        return;
    }
    let request = &probe["httpGet"];
    let headers: Vec<_> = request["httpHeaders"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|header| (header["name"].as_str().unwrap(), header["value"].as_str().unwrap()))
        .collect();
    let response = gateway.request("GET", request["path"].as_str().unwrap(), &headers, b"");
    assert_eq!(response.status, 200, "{which} of {}: {}", pod.name, response.text());
}

#[test]
fn pods_of_the_stock_chart_run_the_gateway() {
    for pod in Pod::all() {
        let prefix = if pod.flags().iter().any(|flag| flag.ends_with("=/pg")) { "/pg" } else { "" };
        let path = format!("{prefix}/metrics/job/a");
        let gateway = pod.start();
        ask(&gateway, &pod, "livenessProbe");
        ask(&gateway, &pod, "readinessProbe");
        for _ in 0..2 {
            let response = gateway.request("POST", &path, &pod.login(), b"runs_total 1\n");
            assert_eq!(response.status, 200, "{}: {}", pod.name, response.text());
        }
        gateway.signal("TERM");
        let finished = gateway.wait();
        assert!(finished.status.success(), "{}: {}", pod.name, finished.stderr);

        let gateway = pod.start();
        ask(&gateway, &pod, "readinessProbe");
        let metrics = gateway.request("GET", &format!("{prefix}/metrics"), &pod.login(), b"").text();
        let kept = metrics.contains("runs_total{instance=\"\",job=\"a\"} 2\n");
        assert_eq!(kept, pod.keeps(), "{}: {metrics}", pod.name);
        if pod.keeps() && runs_as_root() {
            let files = std::fs::read_dir(pod.storage.path()).unwrap();
            let owners: Vec<_> =
                files.map(|file| u64::from(file.unwrap().metadata().unwrap().uid())).collect();
            assert_eq!(owners, [pod.context("runAsUser")], "{}", pod.name);
        }
    }
}

/// The chart hashes the passwords anew at each upgrade, and the pod goes on with the secret that changes below it.
#[test]
fn an_upgrade_that_changes_the_secret_needs_no_restart() {
    let pod = Pod::all().into_iter().find(|pod| pod.name == "users").unwrap();
    let gateway = pod.start();
    ask(&gateway, &pod, "livenessProbe");
    let hash = |password| bcrypt::hash(password, 4).unwrap();
    let web = format!(
        "basic_auth_users:\n  \"job\": \"{}\"\n  \"new\": \"{}\"\n",
        hash("A7ERGdgwLHnY"),
        hash("word")
    );
    mount_secret(&pod.secret, "2", &web);
    gateway.wait_for_log("the web configuration has changed and is in force");
    ask(&gateway, &pod, "livenessProbe");
    let login = format!("Basic {}", STANDARD.encode("new:word"));
    assert_eq!(gateway.request("GET", "/metrics", &[("Authorization", &login)], b"").status, 200);
}

/// The commands in the pod of the manual's way back.
fn export_of_the_manual() -> String {
    let page = include_str!("../../docs/kubernetes.md");
    let (_, pod) = page.split_once("name: tallygate-export").unwrap();
    let (_, script) = pod.split_once("        - |\n").unwrap();
    let lines = script.lines().map_while(|line| line.strip_prefix("          "));
    lines.collect::<Vec<_>>().join("\n")
}

/// A stock gateway's file goes to this gateway, and what this one has made of it to a stock gateway again.
#[test]
fn the_way_back_of_the_manual_leads_back() {
    let Some(stock) = programs::stock() else { return };
    let data = Directory::new();
    let file = format!("--persistence.file={}", data.path_of("pushgateway.data"));
    let flags = ["--web.listen-address=127.0.0.1:0", file.as_str()];
    let end = |gateway: Gateway| {
        gateway.signal("TERM");
        assert!(gateway.wait().status.success());
    };
    let push =
        |gateway: &Gateway| gateway.push("/metrics/job/a", "# TYPE runs_total counter\nruns_total 1\n");

    let first = Gateway::start_program(&stock, &flags, &[]);
    push(&first);
    end(first);
    let gateway = Gateway::start_exactly(&flags, &[]);
    push(&gateway);
    push(&gateway);
    end(gateway);

    let programs = Directory::new();
    symlink(binary(), programs.path_of("tallygate")).unwrap();
    let script = export_of_the_manual().replace("/data", data.path().to_str().unwrap());
    let path = format!("{}:{}", programs.path().display(), std::env::var("PATH").unwrap());
    let exported = Command::new("/bin/sh").args(["-ec", &script]).env("PATH", path).output().unwrap();
    assert!(exported.status.success(), "{exported:?}");

    let second = Gateway::start_program(&stock, &flags, &[]);
    assert_eq!(second.sample("runs_total{instance=\"\",job=\"a\"}"), Some(3.0));
    // And once more to this one.
    end(second);
    let gateway = Gateway::start_exactly(&flags, &[]);
    assert_eq!(gateway.sample("runs_total{instance=\"\",job=\"a\"}"), Some(3.0));
    let names = data.names();
    for kept in ["pushgateway.data.stock", "pushgateway.data.stock.1", "pushgateway.data.tallygate"] {
        assert!(names.iter().any(|name| name == kept), "{names:?}");
    }
}
