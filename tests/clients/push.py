"""One short job with the official Python client, for tests/clients/mod.rs.

Usage: push.py add|add-gzip|replace|delete URL JOB GROUPINGS-AS-JSON AMOUNT

push.mjs and push.go do the same work and push the same series; only this one has Info and Enum.
"""

import json
import sys

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Enum,
    Gauge,
    Histogram,
    Info,
    Summary,
    delete_from_gateway,
    push_to_gateway,
    pushadd_to_gateway,
)

mode, url, job, groupings, amount = sys.argv[1:]
groupings, amount = json.loads(groupings), int(amount)

registry = CollectorRegistry()
tasks = Counter("tasks", 'Tasks "done" \\ failed.', ["result"], registry=registry)
last_amount = Gauge("last_amount", "Amount of the latest run.", registry=registry)
seconds = Histogram("task_seconds", "Time per task.", buckets=(0.25, 1), registry=registry)
size = Summary("task_bytes", "Size of a run.", registry=registry)
build = Info("job_build", "What ran.", registry=registry)
state = Enum("job_state", "How it went.", states=["odd", "even"], registry=registry)

tasks.labels(result="ok").inc(amount)
tasks.labels(result="failed").inc()
last_amount.set(amount)
for value in [0.125] * amount + [0.5, 2]:
    seconds.observe(value)
size.observe(100 * amount)
build.info({"version": "1.2"})
state.state("even" if amount % 2 == 0 else "odd")

if mode == "add":
    pushadd_to_gateway(url, job, registry, groupings)
elif mode == "add-gzip":
    pushadd_to_gateway(url, job, registry, groupings, compression="gzip")
elif mode == "replace":
    push_to_gateway(url, job, registry, groupings)
elif mode == "delete":
    delete_from_gateway(url, job, groupings)
else:
    sys.exit(f"unknown mode {mode}")
