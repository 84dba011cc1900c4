#!/usr/bin/env python3
"""Record what a stock Pushgateway 1.11 answers to the cases in cases/*.toml.

    tests/conformance/record.py STOCK_BINARY [NAME ...]

Writes recorded/NAME.json for the named case files, or for all. tests/conformance/mod.rs replays the
cases on our own binary and compares; it never needs the stock one. Only the Python standard
library is used (3.11 or later). Each file is recorded three times, and a case whose answers vary
is reported: mark what varies with one of the keys below.

The stock binary runs with GODEBUG=httpmuxgo121=0, so that a build made without Go modules
(Debian's) routes as the releases do.

A case file:

    flags = ["--push.enable-utf8-names"]   # more flags for both gateways
    prefix = "/p"                          # where these flags move the API to
    telemetry = "/p/metrics"               # where these flags move the exposition to
    aggregation = "off"                    # as in a case, for all of them

    [[case]]
    name = "..."
    aggregation = "off"        # replay only with --no-push.aggregate; otherwise with both
    state = false              # do not compare /metrics (stock's answer varies)
    api = false                # do not compare /api/v1/metrics

    [[case.step]]
    request = "POST /metrics/job/a"
    headers = { "Content-Type" = "text/plain" }
    body = "m 1\\n"            # or body_base64; gzip = true compresses it
    answer = false             # compare only the status of this step
    ours = { status = 400 }    # a deliberate difference: stock's answer is recorded, ours is this

`ours` takes status, and body, headers and exposition to compare. The state after the step must
be as recorded from stock, unless `ours` says stored = false (nothing may have changed) or gives
`metrics`, the lines of the pushed part of /metrics. Then the states differ, so each following
step of the case needs one of the two as well.

Recorded per step: status (0: the connection was closed without an answer), for steps without
`ours` also the headers listed in HEADERS and the body where it is short and depends on the
request alone, and `metrics` and `api`
where they changed. Push times become "set" or "0", and the gateway's own families are left out.
`metrics` and `api` leave out what every group has alike: the HELP and TYPE lines of the push
times and all of their JSON but the value (a GET step records them whole).
"""

import base64
import gzip
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib

HERE = os.path.dirname(os.path.abspath(__file__))
ROUNDS = 3
HEADERS = (
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "allow",
    "cache-control",
    "content-encoding",
    "content-type",
    "location",
    "x-content-type-options",
)
OWN = ("go_", "process_", "promhttp_", "pushgateway_", "tallygate_")
LONGEST_BODY = 2000
CHECK_FAILED = "pushed metrics are invalid or inconsistent with existing metrics: "
PUSH_TIMES = {
    "push_time_seconds": "Last Unix time when changing this group in the Pushgateway succeeded.",
    "push_failure_time_seconds": "Last Unix time when changing this group in the Pushgateway failed.",
}
PUSH_TIME_LINES = {f"# HELP {name} {text}" for name, text in PUSH_TIMES.items()} | {
    f"# TYPE {name} gauge" for name in PUSH_TIMES
}


class Gone(Exception):
    """The gateway closed the connection without an answer."""


class Stock:
    """The stock gateway, restarted when a case has killed it."""

    def __init__(self, binary, document):
        self.argv = [
            binary,
            "--web.listen-address=127.0.0.1:0",
            "--web.enable-admin-api",
            "--persistence.file=",
            *document.get("flags", []),
        ]
        self.prefix = document.get("prefix", "")
        self.telemetry = document.get("telemetry", self.prefix + "/metrics")
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            self.argv,
            env={**os.environ, "GODEBUG": "httpmuxgo121=0"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for line in self.process.stderr:
            found = re.search(rb'msg="Listening on" address=127\.0\.0\.1:(\d+)', line)
            if found:
                self.port = int(found[1])
                break
        else:
            raise SystemExit(f"{self.argv} did not start")
        # Nobody reads the rest of the log; a full pipe must not block the gateway.
        subprocess.Popen(["cat"], stdin=self.process.stderr, stdout=subprocess.DEVNULL)

    def recover(self):
        """Starts it again if it has ended, which takes a moment to print all its stacks."""
        try:
            self.process.wait(1)
            self.start()
        except subprocess.TimeoutExpired:
            pass

    def stop(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def request(self, method, path, headers=None, body=b""):
        """The response to a request whose path is sent byte for byte."""
        headers = dict(headers or {})
        given = {name.lower() for name in headers}
        head = f"{method} {path} HTTP/1.1\r\n"
        if "host" not in given:
            head += "Host: gateway.test\r\n"
        if (body or method in ("POST", "PUT")) and not given & {"content-length", "transfer-encoding"}:
            head += f"Content-Length: {len(body)}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(head.encode() + b"\r\n" + body)
            response = http.client.HTTPResponse(connection, method=method)
            try:
                response.begin()
                return response, response.read()
            except (http.client.BadStatusLine, ConnectionError):
                raise Gone from None

    def wipe(self):
        response, _ = self.request("PUT", self.prefix + "/api/v1/admin/wipe")
        assert response.status == 202, response.status
        self.settle()
        _, body = self.request("GET", self.prefix + "/api/v1/metrics")
        assert json.loads(body)["data"] == [], body

    def settle(self):
        """202 is answered before the request is applied."""
        time.sleep(0.03)


def pushed_lines(exposition):
    """The exposition without the gateway's own families; push times become "set" or "0"."""
    lines = []
    for line in exposition.decode("utf-8", "replace").split("\n")[:-1]:
        comment = re.match("# (?:HELP|TYPE) (.*)", line)
        if (comment[1] if comment else line).startswith(OWN) and (comment or 'job="' not in line):
            continue
        if line.startswith(("push_time_seconds{", "push_failure_time_seconds{")):
            series, _, value = line.rpartition(" ")
            line = f"{series} {value if value == '0' else 'set'}"
        lines.append(line)
    return lines


def state_lines(exposition):
    return [line for line in pushed_lines(exposition) if line not in PUSH_TIME_LINES]


def in_order(labels):
    """What conformance.rs sorts by: compact JSON with its keys in order."""
    return json.dumps(labels, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def api_groups(body):
    """The groups of /api/v1/metrics in a stable order and without times."""
    groups = json.loads(body)["data"]
    for group in groups:
        for name, family in group.items():
            if not isinstance(family, dict) or "metrics" not in family:
                continue
            family["time_stamp"] = "T"
            family["metrics"].sort(key=lambda metric: in_order(metric["labels"]))
            if name in PUSH_TIMES:
                value = "0" if family["metrics"] and family["metrics"][0].get("value") == "0" else "set"
                labels = {"instance": ""} | group["labels"]
                alike = {"time_stamp": "T", "type": "GAUGE", "help": PUSH_TIMES[name]}
                if family | {"metrics": []} == alike | {"metrics": []} and len(family["metrics"]) == 1:
                    if family["metrics"][0]["labels"] == labels:
                        group[name] = value
    groups.sort(key=lambda group: in_order(group["labels"]))
    return groups


def answer_of(stock, path, response, body):
    """What is compared of an answer besides its status."""
    content_type = response.getheader("content-type", "")
    answer = {}
    headers = {name: response.getheader(name) for name in HEADERS if response.getheader(name) is not None}
    if headers:
        answer["headers"] = headers
    plain = gzip.decompress(body) if response.getheader("content-encoding") == "gzip" else body
    if content_type.startswith("text/plain") and path.partition("?")[0] == stock.telemetry and response.status == 200:
        answer["exposition"] = pushed_lines(plain)
    elif content_type == "application/json" and path.endswith("/metrics"):
        text = re.sub(r'"time_stamp":"[^"]*"', '"time_stamp":"T"', plain.decode())
        push_time = r'("push_(?:failure_)?time_seconds":\{[^\[]*\[\{"labels":\{[^}]*\},"value":)"(?!0")[^"]*"'
        answer["body"] = re.sub(push_time, r'\1"set"', text)
    elif content_type.startswith(("text/plain", "text/html; charset=utf-8")) or not content_type:
        if len(plain) <= LONGEST_BODY:
            text = plain.decode().replace("\u00a0", " ")
            # Protobuf text, whose blanks depend on the build, and which names either of two series.
            answer["body"] = re.sub(r"\{.*\}", "{}", text) if text.startswith(CHECK_FAILED) else text
    return answer


def body_of(step):
    body = base64.b64decode(step["body_base64"]) if "body_base64" in step else step.get("body", "").encode()
    return gzip.compress(body, mtime=0) if step.get("gzip") else body


def record_case(stock, case):
    stock.wipe()
    steps = []
    metrics, groups = [], []
    diverged = False
    for step in case["step"]:
        method, _, path = step["request"].partition(" ")
        recorded = {"request": step["request"]}
        try:
            response, body = stock.request(method, path, step.get("headers"), body_of(step))
            recorded["status"] = response.status
            if step.get("answer", True) and not step.get("ours"):
                recorded |= answer_of(stock, path, response, body)
            if response.status == 202:
                stock.settle()
        except Gone:
            recorded["status"] = 0
            stock.recover()
        response, body = stock.request("GET", stock.telemetry)
        if case.get("state", True):
            now = state_lines(body) if response.status == 200 else [f"answered {response.status}"]
            if now != metrics:
                recorded["metrics"] = metrics = now
            if response.status != 200 and "ours" not in step:
                raise SystemExit(f"{case['name']}: stock's /metrics answers {response.status}, say what `ours` is")
        if case.get("api", True):
            try:
                _, body = stock.request("GET", stock.prefix + "/api/v1/metrics")
                now = api_groups(body)
            except Gone:
                now = "closed without an answer"
            if now != groups:
                recorded["api"] = groups = now
        ours = step.get("ours", {})
        own_state = "metrics" in ours or not ours.get("stored", True)
        if diverged and not own_state:
            raise SystemExit(f"{case['name']}: the state of {step['request']} is no longer stock's")
        diverged = own_state
        steps.append(recorded)
    return steps


def formatted(value, depth=0):
    """JSON for reviewers: a line per case, step, key, exposition line and group."""
    if isinstance(value, dict) and depth < 6:
        pairs = [f"{json.dumps(key, ensure_ascii=False)}: {formatted(item, depth + 1)}" for key, item in value.items()]
        opening, closing = "{}"
    elif isinstance(value, list) and depth < 6:
        pairs = [formatted(item, depth + (3 if depth == 4 else 1)) for item in value]
        opening, closing = "[]"
    else:
        return json.dumps(value, ensure_ascii=False)
    if not pairs or depth == 5:
        return opening + ", ".join(pairs) + closing
    indent = "\n" + " " * (depth + 1)
    return opening + indent + ("," + indent).join(pairs) + indent[:-1] + closing


def record_file(binary, name):
    with open(os.path.join(HERE, "cases", name + ".toml"), "rb") as file:
        document = tomllib.load(file)
    names = [case["name"] for case in document["case"]]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise SystemExit(f"{name}: names used twice: {sorted(twice)}")
    stock = Stock(binary, document)
    try:
        rounds = [{case["name"]: record_case(stock, case) for case in document["case"]} for _ in range(ROUNDS)]
    finally:
        stock.stop()
    varying = [case for case in names if any(recorded[case] != rounds[0][case] for recorded in rounds)]
    for case in varying:
        print(f"{name}: {case}: the answers vary:")
        for steps in zip(*(recorded[case] for recorded in rounds)):
            for key in {key for step in steps for key in step}:
                seen = {json.dumps(step.get(key), ensure_ascii=False) for step in steps}
                if len(seen) > 1:
                    print(f"    {steps[0]['request']} {key}:", *(text[:400] for text in seen), sep="\n      ")
    if varying:
        raise SystemExit(1)
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    recording = {"recorded_from": version.partition("\n")[0] + ", GODEBUG=httpmuxgo121=0", "cases": rounds[0]}
    with open(os.path.join(HERE, "recorded", name + ".json"), "w", encoding="utf-8") as file:
        file.write(formatted(recording) + "\n")
    print(f"{name}: {len(names)} cases")


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        raise SystemExit(__doc__)
    files = [name.removesuffix(".toml") for name in sorted(os.listdir(os.path.join(HERE, "cases")))]
    for name in sys.argv[2:] or files:
        record_file(sys.argv[1], name)


main()
