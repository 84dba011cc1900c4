#!/usr/bin/env python3
"""Renders the chart with the values of cases.yaml, and checks what comes out.

    check.py --helm HELM [--binary TALLYGATE] [--promtool PROMTOOL] [--stock CHART [--record]]

Every object is held against the schemas of Kubernetes, every value must be in a case, and with --binary the gateway
has to take the flags and files that the chart gives it.

For the cases with `stock`, the objects must be those of the chart prometheus-community/prometheus-pushgateway. What that
chart made is in stock.json: of the objects a digest, and of the pods what the gateway's own test starts it with. --stock,
a folder or an address of that chart, compares with the chart itself, and --record writes stock.json.

Needs the Python package kubernetes-validate.
"""

import argparse
import base64
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import kubernetes_validate
import yaml

import takeover

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
CHART = REPOSITORY / "deploy/chart"
RECORDED = HERE / "stock.json"
STOCK_NAME = {"nameOverride": "prometheus-pushgateway"}
# The oldest and the newest Kubernetes that there are schemas of.
KUBERNETES = ["1.25", kubernetes_validate.latest_version()]
FOREIGN = {
    "gateway.networking.k8s.io/v1": ["HTTPRoute"],
    "gateway.networking.k8s.io/v1beta1": ["HTTPRoute"],
    "monitoring.coreos.com/v1": ["PrometheusRule", "ServiceMonitor"],
    "monitoring.coreos.com/v1alpha1": ["ScrapeConfig"],
}
failures = []


def fail(case, what):
    failures.append(case)
    print(f"FAILED: {case}: {what}")


class Chart:
    """A chart, and what helm makes of it."""

    def __init__(self, helm, chart, base):
        self.helm, self.chart, self.base = helm, chart, base

    def run(self, command, values, *options):
        with tempfile.TemporaryDirectory() as folder:
            files = []
            for number, content in enumerate([self.base, values]):
                path = Path(folder, f"{number}.yaml")
                path.write_text(yaml.safe_dump(content))
                files += ["--values", path]
            command = [self.helm, *command, "rel", self.chart, "--namespace", "default", *files, *options]
            return subprocess.run(command, capture_output=True, text=True, timeout=120)

    def objects(self, values):
        """The objects, or why there are none."""
        result = self.run(["template"], values)
        if result.returncode:
            return None, result.stderr
        # The safe loader lets a key that is there twice pass, which Kubernetes does not.
        return [made for made in yaml.load_all(result.stdout, Loader=StrictLoader) if made], ""

    def notes(self, values):
        return self.run(["install"], values, "--dry-run=client").stdout.split("NOTES:")[-1]


class StrictLoader(yaml.SafeLoader):
    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key) for key, _ in node.value]
        if len(keys) != len(set(keys)):
            raise yaml.YAMLError(f"a key is there twice: {keys}")
        return super().construct_mapping(node, deep)


def step(value, part):
    """What is under a part of a path, and None if there is nothing."""
    if isinstance(value, dict):
        return value.get(part)
    if isinstance(value, list):
        if part.isdigit():
            return value[int(part)] if int(part) < len(value) else None
        return next((item for item in value if item.get("name") == part), None)
    return None


def find(objects, path):
    """What is at KIND[:NAME]/part/part; "/" within a part is "~1"."""
    first, *parts = path.replace("app.kubernetes.io/", "app.kubernetes.io~1").split("/")
    kind, _, name = first.partition(":")
    value = next(
        (made for made in objects if made["kind"] == kind and name in ("", made["metadata"]["name"])), None
    )
    for part in parts:
        value = step(value, part.replace("~1", "/"))
    return value


def holds(got, wanted):
    """Whether `got` has at least what is wanted; {} is anything but nothing."""
    if wanted == {}:
        return got is not None
    if isinstance(wanted, dict):
        return isinstance(got, dict) and all(holds(got.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(got, list) and len(got) == len(wanted) and all(map(holds, got, wanted))
    return got == wanted


def leaves(values, path=()):
    """The paths of all values: of what a map with keys holds, else of the map."""
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from leaves(value, (*path, key))
    else:
        yield path


def starts_with_any(path, others):
    return any(other[: len(path)] == path or path[: len(other)] == other for other in others)


def check_coverage(cases):
    defaults = yaml.safe_load(CHART.joinpath("values.yaml").read_text())
    schema = json.loads(CHART.joinpath("values.schema.json").read_text())
    used = {path for case in cases for path in leaves(case["values"])}
    for path in leaves(defaults):
        if not starts_with_any(path, used):
            fail("coverage", f"no case sets {'.'.join(path)}")
        below = schema
        for key in path:
            if "$ref" in below:
                below = schema["$defs"][below["$ref"].rsplit("/", 1)[-1]]
            below = below.get("properties", {}).get(key, below.get("additionalProperties"))
            if not isinstance(below, dict):
                # A free map, such as a probe, has no list of keys.
                if below is False or path[0] == key:
                    fail("coverage", f"values.schema.json does not have {'.'.join(path)}")
                break


def check_schemas(name, objects):
    for made in objects:
        if made["kind"] in FOREIGN.get(made["apiVersion"], []):
            continue
        for version in KUBERNETES:
            try:
                kubernetes_validate.validate(made, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                fail(name, f"{made['kind']} for Kubernetes {version}: {error}")
            except kubernetes_validate.SchemaNotFoundError as error:
                fail(name, f"{made['kind']}: {error}")


def check_rules(name, objects, promtool):
    for made in objects:
        if made["kind"] == "PrometheusRule":
            check_file(name, yaml.safe_dump(made["spec"]), [promtool, "check", "rules"])


def check_file(name, content, command):
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        file.write(content)
        file.flush()
        result = subprocess.run([*command, file.name], capture_output=True, text=True, timeout=60)
        if result.returncode:
            fail(name, f"{' '.join(map(str, command))}: {result.stdout}{result.stderr}")


def check_binary(name, objects, binary):
    """Has the gateway look at the flags, settings, environment and logins that the chart gives it."""
    container = gateway_of(objects)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "tokens").mkdir()
        variables = {variable["name"]: variable["value"].replace("/etc/tallygate", folder)
                     for variable in container.get("env", []) if "value" in variable}
        Path(folder, "tokens/t").write_text("a-token-of-some-length-that-nobody-guesses\n")
        arguments = [argument.replace("/etc/tallygate", folder).replace("/etc/config", folder)
                     for argument in container.get("args", [])]
        settings = find(objects, "ConfigMap:rel-prometheus-pushgateway/data/tallygate.toml")
        if settings:
            Path(folder, "tallygate.toml").write_text(settings.replace("/etc/tallygate", folder))
        users = find(objects, "Secret:rel-prometheus-pushgateway/data/web-config.yaml")
        content = base64.b64decode(users).decode() if users else "{}"
        Path(folder, "web-config.yaml").write_text(content)
        result = subprocess.run(
            [binary, "--config.check", *arguments], capture_output=True, text=True, timeout=60, env=variables
        )
        if result.returncode:
            fail(name, f"the gateway does not take {arguments}: {result.stdout}{result.stderr}")


def workload_of(objects):
    return next((made for made in objects if made["kind"] in ("Deployment", "StatefulSet")), None)


def gateway_of(objects):
    return step(workload_of(objects)["spec"]["template"]["spec"]["containers"], "pushgateway")


def comparable(made):
    """An object without what the two charts are meant to differ in."""
    made = json.loads(json.dumps(made))
    if made["kind"] == "Secret":
        # The salt of the hashes differs each time; the type is the default.
        made.pop("type", None)
        made["data"].pop("web-config.yaml", None)
    if made["kind"] in ("Deployment", "StatefulSet"):
        pod = made["spec"]["template"]["spec"]
        pod.pop("terminationGracePeriodSeconds", None)
        container = step(pod["containers"], "pushgateway")
        container.pop("startupProbe", None)
        container.pop("image")

    def clean(value):
        if isinstance(value, dict):
            kept = {key: clean(item) for key, item in value.items()
                    if key not in ("helm.sh/chart", "app.kubernetes.io/version")}
            # Some keys are there with nothing behind them.
            if kept.get("subPath") == "":
                kept.pop("subPath")
            return {key: item for key, item in kept.items() if item not in ([], None)}
        return [clean(item) for item in value] if isinstance(value, list) else value

    return clean(made)


def by_name(objects):
    return {f"{made['kind']} {made['metadata']['name']}": comparable(made) for made in objects}


def digest(objects):
    return hashlib.sha256(json.dumps(by_name(objects), sort_keys=True).encode()).hexdigest()


def check_against_stock(name, ours, theirs):
    ours, theirs = by_name(ours), by_name(theirs)
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key):
            fail(name, f"{key} differs from that of the stock chart:\n{ours.get(key)}\n{theirs.get(key)}")


def check_page(ours, path):
    """The objects and values in the manual."""
    blocks = re.findall(r"^```yaml\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)
    if not blocks:
        fail(path, "there is no YAML any more")
    for number, block in enumerate(blocks, 1):
        name = f"{path.name}, YAML {number}"
        content = yaml.load(block, Loader=StrictLoader)
        if "kind" in content:
            check_schemas(name, [content])
        else:
            objects, refusal = ours.objects(content)
            check_schemas(name, objects or [])
            if objects is None or "does not know" in (refusal := ours.notes(content)):
                fail(name, refusal)


def check_version(chart):
    version = re.search('^version = "(.*)"', REPOSITORY.joinpath("Cargo.toml").read_text(), re.MULTILINE)[1]
    described = yaml.safe_load(chart.joinpath("Chart.yaml").read_text())
    # The tag of the image has a "v", as that of the stock gateway.
    if (described["version"], described["appVersion"]) != (version, f"v{version}"):
        fail("version", f"the chart has {described['version']} and {described['appVersion']}, and Cargo.toml {version}")


def pod_facts(objects):
    """What the stock chart starts a gateway with, for the test of the gateway."""
    pod = workload_of(objects)["spec"]["template"]["spec"]
    container = gateway_of(objects)
    facts = {
        "args": container.get("args", []),
        "env": container.get("env", []),
        "livenessProbe": container.get("livenessProbe"),
        "readinessProbe": container.get("readinessProbe"),
        "podSecurityContext": pod["securityContext"],
        "securityContext": container.get("securityContext", {}),
        "storage": container["volumeMounts"][0]["mountPath"],
    }
    users = find(objects, "Secret:rel-prometheus-pushgateway/data/web-config.yaml")
    return {**facts, "webConfiguration": base64.b64decode(users).decode()} if users else facts


def record(pods, digests, version):
    """What is kept of the stock chart: each start of a gateway once."""
    seen, distinct = [], []
    for pod in pods:
        facts = {key: value for key, value in pod.items() if key not in ("name", "webConfiguration")}
        if facts not in seen:
            seen.append(facts)
            distinct.append(pod)
    return {"chart": version, "digests": digests, "pods": distinct}


def without_salt(recorded):
    pods = [{key: value for key, value in pod.items() if key != "webConfiguration"} for pod in recorded["pods"]]
    return {**recorded, "pods": pods}


def check_case(case, ours, stock, options):
    name = case["name"]
    objects, refusal = ours.objects(case["values"])
    if "refused" in case:
        if objects is not None or case["refused"] not in refusal:
            fail(name, f"refused with {refusal!r}, not with {case['refused']!r}")
        return None
    if objects is None:
        fail(name, refusal)
        return None
    for path, wanted in case.get("expect", {}).items():
        got = find(objects, path)
        if not holds(got, wanted):
            fail(name, f"{path} is {got!r}, and should be {wanted!r}")
    if "notes" in case and case["notes"] not in (notes := ours.notes(case["values"])):
        fail(name, f"the notes are {notes}")
    check_schemas(name, objects)
    check_rules(name, objects, options.promtool)
    check_binary(name, objects, options.binary)
    if stock and case.get("stock"):
        theirs, refusal = stock.objects(case["values"])
        if theirs is None:
            fail(name, f"the stock chart: {refusal}")
            return None
        check_against_stock(name, objects, theirs)
        return digest(theirs), {"name": name, **pod_facts(theirs)}
    if case.get("stock") and digest(objects) != json.loads(RECORDED.read_text())["digests"].get(name):
        fail(name, "the objects are not those of the stock chart; run this with --stock to see in what they differ")
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--helm", required=True)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--promtool", required=True)
    parser.add_argument("--stock")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()

    cases = yaml.safe_load(HERE.joinpath("cases.yaml").read_text())
    ours = Chart(options.helm, CHART, STOCK_NAME)
    stock = Chart(options.helm, options.stock, {}) if options.stock else None

    lint = subprocess.run([options.helm, "lint", "--strict", CHART], capture_output=True, text=True)
    if lint.returncode:
        fail("lint", lint.stdout + lint.stderr)
    if "does not know" in ours.notes({}):
        fail("notes", "the list of known values lacks some: " + ours.notes({}))
    check_coverage(cases)
    check_version(CHART)
    check_page(ours, REPOSITORY / "docs/kubernetes.md")
    takeover.check(options.helm, CHART, fail)
    with ThreadPoolExecutor() as pool:
        made = list(pool.map(lambda case: check_case(case, ours, stock, options), cases))

    if stock:
        digests = {case["name"]: result[0] for case, result in zip(cases, made) if result}
        shown = subprocess.run([options.helm, "show", "chart", options.stock], capture_output=True, text=True)
        version = yaml.safe_load(shown.stdout)["version"]
        recorded = record([result[1] for result in made if result], digests, version)
        if options.record:
            RECORDED.write_text(json.dumps(recorded, indent=2) + "\n")
        elif without_salt(json.loads(RECORDED.read_text())) != without_salt(recorded):
            fail("stock.json", "the stock chart makes something else by now: look at it, then use --record")
    if failures:
        sys.exit(f"{len(failures)} failures")
    print(f"{len(cases)} cases hold")


main()
