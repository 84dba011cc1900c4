//! A real Prometheus that scrapes a gateway with the files of `config/`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::programs::{self, ask_until};
use crate::support::{self, Connection, Directory, Gateway};

/// A Prometheus that scrapes one gateway every second. It is killed when dropped.
pub(crate) struct Prometheus {
    process: Child,
    address: SocketAddr,
    _folder: Directory,
}

impl Prometheus {
    /// Starts it with the files of `config/`, changed only in target and intervals.
    pub(crate) fn start(program: &Path, gateway: &Gateway) -> Prometheus {
        Prometheus::start_with(program, gateway, &[], "")
    }

    /// As [`Prometheus::start`], with native histograms enabled: by a flag in older versions, by a setting since
    /// 3.8.
    pub(crate) fn start_for_native_histograms(program: &Path, gateway: &Gateway) -> Prometheus {
        Prometheus::start_with_features(program, gateway, "native-histograms", "")
    }

    /// The same with more features, including native histograms, and more lines in the section `global`.
    pub(crate) fn start_with_features(
        program: &Path,
        gateway: &Gateway,
        features: &str,
        global: &str,
    ) -> Prometheus {
        let flag = format!("--enable-feature={features}");
        let is_setting = version_of(program) >= (3, 8);
        let global = [if is_setting { "  scrape_native_histograms: true\n" } else { "" }, global].concat();
        Prometheus::start_with(program, gateway, &[&flag], &global)
    }

    /// The same with more flags and more lines in the section `global`.
    pub(crate) fn start_with(program: &Path, gateway: &Gateway, flags: &[&str], global: &str) -> Prometheus {
        Prometheus::start_with_jobs(program, gateway, flags, global, "")
    }

    /// The same with more jobs in the section `scrape_configs`.
    pub(crate) fn start_with_jobs(
        program: &Path,
        gateway: &Gateway,
        flags: &[&str],
        global: &str,
        jobs: &str,
    ) -> Prometheus {
        Prometheus::start_for(program, gateway.port(), flags, global, jobs)
    }

    /// Starts it for whatever listens on a port.
    #[cfg(feature = "postgres")]
    pub(crate) fn start_at(program: &Path, port: u16) -> Prometheus {
        Prometheus::start_for(program, port, &[], "", "")
    }

    fn start_for(program: &Path, port: u16, flags: &[&str], global: &str, jobs: &str) -> Prometheus {
        let folder = Directory::new();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        let mut config = std::fs::read_to_string(shipped.join("prometheus.yml")).unwrap();
        let target = format!("127.0.0.1:{port}");
        for (from, to) in [
            ("scrape_interval: 15s", "scrape_interval: 1s"),
            ("evaluation_interval: 15s", "evaluation_interval: 1s"),
            ("localhost:9091", target.as_str()),
        ] {
            assert!(config.contains(from), "no {from:?} in config/prometheus.yml");
            config = config.replace(from, to);
        }
        for (section, more) in [("global:\n", global), ("scrape_configs:\n", jobs)] {
            config = config.replace(section, &format!("{section}{more}"));
        }
        let config = folder.write("prometheus.yml", &config);
        folder.write("alerts.yml", std::fs::read_to_string(shipped.join("alerts.yml")).unwrap());

        let log = folder.path().join("log");
        let process = programs::command(program)
            .arg(format!("--config.file={config}"))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .args(flags)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut prometheus = Prometheus { process, address: ([127, 0, 0, 1], 0).into(), _folder: folder };
        prometheus.address = ask_until("the port of Prometheus", || {
            let log = std::fs::read_to_string(&log).unwrap();
            let line = log.lines().find(|line| line.contains("Listening on") && line.contains("address="));
            let address = line.and_then(|line| line.rsplit_once("address=")?.1.parse().ok());
            address.ok_or(log)
        });
        prometheus
    }

    /// The value of an expression that returns exactly one.
    pub(crate) fn value(&self, expression: &str) -> Result<f64, String> {
        let answer = self.query(expression, None)?;
        match answer.as_array().map(Vec::as_slice) {
            Some([one]) => Ok(number(&one["value"][1])),
            _ => Err(format!("{expression} is {answer}")),
        }
    }

    /// The result of an expression, now or at a time in seconds.
    pub(crate) fn query(&self, expression: &str, time: Option<f64>) -> Result<Value, String> {
        let time = time.map_or_else(String::new, |time| format!("&time={time:.3}"));
        let mut data = self.get(&format!("/api/v1/query?query={}{time}", percent_encoded(expression)))?;
        Ok(data["result"].take())
    }

    /// The exemplars of some series, of any time.
    pub(crate) fn exemplars(&self, selector: &str) -> Result<Value, String> {
        let path = format!("/api/v1/query_exemplars?start=0&end=4e9&query={}", percent_encoded(selector));
        self.get(&path)
    }

    /// The data of an answer of the API.
    fn get(&self, path: &str) -> Result<Value, String> {
        let mut connection = Connection::open(self.address).map_err(|error| error.to_string())?;
        connection
            .send(&support::encode_request("GET", path, &[], b""))
            .map_err(|error| error.to_string())?;
        let response = connection.read_response("GET").map_err(|error| error.to_string())?;
        if response.status != 200 {
            return Err(response.text());
        }
        let mut answer: Value = serde_json::from_slice(&response.body).map_err(|error| error.to_string())?;
        Ok(answer["data"].take())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Major and minor version.
fn version_of(program: &Path) -> (u32, u32) {
    let version = programs::text_of(&programs::command(program).arg("--version").output().unwrap());
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// A Prometheus version whose scrape protocols can be configured.
pub(crate) fn prometheus_3() -> Option<PathBuf> {
    let program = programs::prometheus()?;
    let version = version_of(&program);
    programs::new_enough("Prometheus", version, (3, 0)).then_some(program)
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Prometheus writes values as strings.
pub(crate) fn number(value: &Value) -> f64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no number: {value}"))
}
