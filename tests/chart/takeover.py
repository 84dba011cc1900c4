"""An upgrade of a release of the stock chart to this one, before a server that has that release's objects."""

import json
import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

APPS = {"groupVersion": "apps/v1", "version": "v1"}
SERVICES = "/api/v1/namespaces/default/services/"
def resources(group, *kinds):
    entries = [{"name": f"{kind.lower()}s", "singularName": kind.lower(), "namespaced": True, "kind": kind,
                "verbs": ["get"]} for kind in kinds]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": entries}


def service(release):
    labels = {"app.kubernetes.io/name": "prometheus-pushgateway", "app.kubernetes.io/instance": release}
    name = f"{release}-prometheus-pushgateway"
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": labels}}


class Cluster(BaseHTTPRequestHandler):
    """As much of Kubernetes as a look-up asks for."""

    def do_GET(self):
        path = self.path.split("?")[0]
        answers = {
            "/version": {"major": "1", "minor": "35", "gitVersion": "v1.35.0"},
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [{
                "name": "apps", "versions": [APPS], "preferredVersion": APPS,
            }]},
            "/api/v1": resources("v1", "Service", "ServiceAccount"),
            "/apis/apps/v1": resources("apps/v1", "Deployment"),
            SERVICES + "old-prometheus-pushgateway": service("old"),
        }
        body = json.dumps(answers.get(path, {"kind": "Status", "status": "Failure", "code": 404})).encode()
        self.send_response(200 if path in answers else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def check(helm, chart, fail):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Cluster)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "kubeconfig")
        config.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {}}],
        }))

        def upgrade(release, *options):
            command = [helm, "template", release, chart, "--is-upgrade", "--dry-run=server", "--disable-openapi-validation",
                       "--namespace", "default", "--kubeconfig", config, *options]
            result = subprocess.run(command, capture_output=True, text=True, timeout=60)
            return result.returncode, result.stderr

        code, message = upgrade("old")
        if code == 0 or "release old is of the chart prometheus-pushgateway" not in message:
            fail("takeover", f"an upgrade that would delete the volume claim is not refused: {code} {message}")
        for release, *options in [("old", "--set=nameOverride=prometheus-pushgateway"), ("new",)]:
            code, message = upgrade(release, *options)
            if code:
                fail("takeover", f"the upgrade of {release} with {options} is refused: {message}")
    server.shutdown()
