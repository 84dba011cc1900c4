//! Drives Chromium as a user would, with the `WebDriver` protocol: JSON over HTTP, sent to chromedriver.
//!
//! Every wait repeats a check until it holds. If it never does, the error shows the messages of the page. A message
//! of the browser at the end, such as a script error or a violation of the policy, fails the test.
//! `TALLYGATE_TEST_SCREENSHOTS` names a folder for screenshots.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::programs;
use crate::support::{Connection, PATIENCE, encode_request};

/// The size and kind of the screen.
#[derive(Clone, Copy)]
pub(crate) struct Screen {
    pub(crate) name: &'static str,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) is_phone: bool,
    pub(crate) is_dark: bool,
}

pub(crate) const DESKTOP: Screen =
    Screen { name: "desktop", width: 1280, height: 860, is_phone: false, is_dark: false };
pub(crate) const DESKTOP_DARK: Screen = Screen { name: "desktop-dark", is_dark: true, ..DESKTOP };
pub(crate) const PHONE: Screen =
    Screen { name: "phone", width: 360, height: 740, is_phone: true, is_dark: false };
/// A desktop on which everything is enlarged to 200 %.
pub(crate) const ZOOMED: Screen = Screen { name: "zoomed desktop", width: 640, height: 430, ..DESKTOP };
/// As narrow as a page must work without a sideways scroll: a desktop at 400 %.
pub(crate) const NARROW: Screen = Screen { name: "narrow screen", width: 320, height: 256, ..DESKTOP };
pub(crate) const PHONE_DARK: Screen = Screen { name: "phone-dark", is_dark: true, ..PHONE };

/// Keys without a character of their own, as `WebDriver` encodes them.
pub(crate) const ENTER: char = '\u{e007}';
pub(crate) const ESCAPE: char = '\u{e00c}';
pub(crate) const TAB: char = '\u{e004}';
pub(crate) const LEFT: char = '\u{e012}';
pub(crate) const UP: char = '\u{e013}';
pub(crate) const RIGHT: char = '\u{e014}';
pub(crate) const DOWN: char = '\u{e015}';
pub(crate) const DELETE: char = '\u{e017}';

/// The member of an answer that names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

pub(crate) struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    screen: Screen,
}

/// Starts chromedriver and returns it with its port. `None` if it has ended.
fn start_driver(program: &Path) -> Option<(Child, u16)> {
    let mut driver = Command::new(program)
        .arg("--port=0")
        // Chromium crashes with a library that shifts the clock.
        .env_remove(programs::CLOCK_LIBRARY)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("start chromedriver");
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
    let port = lines.find_map(|line| {
        let (_, port) = line.split_once("started successfully on port ")?;
        port.trim_end_matches('.').parse::<u16>().ok()
    });
    if port.is_none() {
        let _ = driver.kill();
        let _ = driver.wait();
    }
    Some((driver, port?))
}

impl Browser {
    /// Starts a browser. If there is none, prints why and returns `None`.
    pub(crate) fn start(screen: Screen) -> Option<Browser> {
        let program = programs::chromedriver()?;
        // chromedriver takes a port that is free for IPv4 or IPv6, and ends if another process has it for the
        // other.
        let started = (0..10).find_map(|_| start_driver(&program));
        let (driver, port) = started.expect("the port of chromedriver");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut browser = Browser { driver, address, session: String::new(), screen };
        browser.open_session();
        Some(browser)
    }

    fn open_session(&mut self) {
        let Screen { width, height, is_phone, is_dark, .. } = self.screen;
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-proxy-server",
            "--hide-scrollbars",
            &format!("--window-size={width},{height}"),
        ];
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let answer = self.ask("POST", "/session", &capabilities);
        self.session = answer["sessionId"].as_str().expect("a session").to_owned();
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            &json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone}),
        );
        self.devtools("Emulation.setTouchEmulationEnabled", &json!({"enabled": is_phone}));
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.devtools("Emulation.setEmulatedMedia", &json!({"features": features}));
    }

    /// Sends a command of Chromium's own protocol.
    pub(crate) fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.ask("POST", "/goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    /// Opens an address and waits until the page shows its groups.
    #[track_caller]
    pub(crate) fn open(&self, url: &str) {
        self.go(url);
        self.wait_for("document.documentElement.dataset.ready");
    }

    /// Opens an address.
    #[track_caller]
    pub(crate) fn go(&self, url: &str) {
        self.ask("POST", "/url", &json!({"url": url}));
    }

    #[track_caller]
    pub(crate) fn back(&self) {
        self.ask("POST", "/back", &json!({}));
    }

    #[track_caller]
    pub(crate) fn reload(&self) {
        self.ask("POST", "/refresh", &json!({}));
        self.wait_for("document.documentElement.dataset.ready");
    }

    /// The value of an expression in the page.
    #[track_caller]
    pub(crate) fn value(&self, expression: &str) -> Value {
        self.run(&format!("return {expression}"))
    }

    /// Runs a script in the page.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> Value {
        self.ask("POST", "/execute/sync", &json!({"script": script, "args": []}))
    }

    /// The visible text of the first element for this selector.
    #[track_caller]
    pub(crate) fn text(&self, selector: &str) -> String {
        let text = self.value(&format!("document.querySelector({})?.innerText", json!(selector)));
        text.as_str().unwrap_or_else(|| panic!("there is no {selector}")).to_owned()
    }

    /// The texts of all elements for this selector.
    #[track_caller]
    pub(crate) fn texts(&self, selector: &str) -> Vec<String> {
        let all =
            self.value(&format!("[...document.querySelectorAll({})].map(e => e.innerText)", json!(selector)));
        all.as_array().unwrap().iter().map(|text| text.as_str().unwrap_or_default().to_owned()).collect()
    }

    #[track_caller]
    pub(crate) fn count(&self, selector: &str) -> u64 {
        self.value(&format!("document.querySelectorAll({}).length", json!(selector))).as_u64().unwrap()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub(crate) fn wait_for(&self, condition: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !is_true(&self.value(condition)) {
            if Instant::now() > deadline {
                let messages = self.messages();
                let seen = self.value("document.body.innerText");
                panic!("waited for {condition}\nmessages: {messages:#?}\nthe page: {seen:.3000}");
            }
            // The browser does not report changes of the page.
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the first element for this selector contains this text.
    #[track_caller]
    pub(crate) fn wait_for_text(&self, selector: &str, text: &str) {
        let [selector, text] = [json!(selector), json!(text)];
        self.wait_for(&format!("document.querySelector({selector})?.innerText.includes({text})"));
    }

    /// Waits until there are this many elements for this selector.
    #[track_caller]
    pub(crate) fn wait_for_count(&self, selector: &str, count: usize) {
        self.wait_for(&format!("document.querySelectorAll({}).length === {count}", json!(selector)));
    }

    /// Clicks the first element for this selector with the mouse. It must be visible and not be covered.
    #[track_caller]
    pub(crate) fn click(&self, selector: &str) {
        let found = self.ask("POST", "/element", &json!({"using": "css selector", "value": selector}));
        let id = found[ELEMENT].as_str().expect("an element");
        // The header of the page covers elements that the browser scrolls to the upper edge.
        self.run(&format!(
            "const e = document.querySelector({}); const box = e.getBoundingClientRect();
             if (box.top < 80 || box.bottom > innerHeight) e.scrollIntoView({{block: 'center'}})",
            json!(selector)
        ));
        self.ask("POST", &format!("/element/{id}/click"), &json!({}));
    }

    /// Types keys into the element that has the focus.
    #[track_caller]
    pub(crate) fn press(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| {
                [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})]
            })
            .collect();
        let device = json!({"type": "key", "id": "keyboard", "actions": actions});
        self.ask("POST", "/actions", &json!({"actions": [device]}));
    }

    /// Writes a screenshot, if a folder for them is set.
    #[track_caller]
    pub(crate) fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("TALLYGATE_TEST_SCREENSHOTS").map(PathBuf::from) else { return };
        let answer = self.devtools("Page.captureScreenshot", &json!({"format": "png"}));
        write_base64(&folder.join(format!("{name}-{}.png", self.screen.name)), &answer["data"]);
    }

    /// The severe messages of the browser since the last call.
    pub(crate) fn messages(&self) -> Vec<String> {
        let entries = self.ask("POST", "/se/log", &json!({"type": "browser"}));
        let entries = entries.as_array().unwrap().iter();
        entries
            .filter(|entry| matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING")))
            .map(|entry| entry["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Ends the test. Fails if the browser has reported a problem.
    #[track_caller]
    pub(crate) fn finish(self) {
        let messages = self.messages();
        assert!(messages.is_empty(), "the browser complains: {messages:#?}");
    }

    /// Ends a test in which requests fail on purpose.
    #[track_caller]
    pub(crate) fn finish_with_failed_requests(self) {
        let other: Vec<_> = self
            .messages()
            .into_iter()
            .filter(|message| !message.contains("Failed to load resource"))
            .collect();
        assert!(other.is_empty(), "the browser complains: {other:#?}");
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let path = match path {
            "/session" => path.to_owned(),
            _ => format!("/session/{}{path}", self.session),
        };
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let headers = [("Host", "127.0.0.1"), ("Content-Type", "application/json"), ("Connection", "close")];
        let mut connection = Connection::open(self.address).expect("connect to chromedriver");
        connection.send(&encode_request(method, &path, &headers, body.as_bytes())).unwrap();
        let response = connection.read_response(method).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut answer: Value = serde_json::from_slice(&response.body).expect("JSON from chromedriver");
        let value = answer["value"].take();
        assert_eq!(response.status, 200, "{method} {path} {body:.500}: {:.1000}", value["message"]);
        value
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Otherwise the browser would outlive its driver.
        if !self.session.is_empty()
            && let Ok(mut connection) = Connection::open(self.address)
        {
            let path = format!("/session/{}", self.session);
            let _ = connection.send(&encode_request("DELETE", &path, &[("Host", "127.0.0.1")], b""));
            let _ = connection.read_response("DELETE");
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Whether JavaScript treats the value as true.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Number(number) => number.as_f64() != Some(0.0),
        _ => true,
    }
}

fn write_base64(path: &Path, text: &Value) {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap()).unwrap();
    std::fs::write(path, bytes).expect("write a picture");
}
