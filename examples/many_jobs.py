"""Many short jobs, one total: what Tallygate is for.

    pip install prometheus_client
    GATEWAY=http://localhost:9091 python many_jobs.py [--jobs 100] [--parallel 8]

Runs many short Python processes, several at a time. Each counts its own work from 0, pushes once
and ends. All push to the same group, with no label that tells them apart, so that the gateway
adds them up: it sums the counters and the buckets of the histogram. That takes a POST
(`pushadd_to_gateway`); a PUT (`push_to_gateway`) would replace what the other jobs have pushed,
and the stock Pushgateway replaces even on POST.

At the end it prints what the gateway's totals rose by beside what the jobs pushed, and exits with
status 1 when they differ. Nobody else may push to the job "many_jobs" meanwhile.
"""

import argparse
import concurrent.futures
import json
import os
import random
import subprocess
import sys
import urllib.request
from collections import Counter as Totals

from prometheus_client import CollectorRegistry, Counter, Histogram, pushadd_to_gateway
from prometheus_client.parser import text_string_to_metric_families

GATEWAY = os.environ.get("GATEWAY", "http://localhost:9091")
JOB = "many_jobs"
# The series that add up. The client also pushes when each was created, which doesn't.
COUNTED = ("rows_processed_total", "row_seconds_bucket", "row_seconds_count", "row_seconds_sum")


def one_job():
    """What each process does: work, count, push, say what it pushed."""
    registry = CollectorRegistry()
    rows = Counter("rows_processed", "Rows processed.", ["result"], registry=registry)
    seconds = Histogram("row_seconds", "Time per row.", buckets=(0.25, 0.5, 1, 2), registry=registry)
    for _ in range(random.randint(1, 50)):
        rows.labels(result="failed" if random.random() < 0.1 else "ok").inc()
        # Eighths of a second: they add without rounding, so totals can be compared exactly.
        seconds.observe(random.randint(0, 24) / 8)

    pushadd_to_gateway(GATEWAY, job=JOB, registry=registry)
    print(json.dumps(list(series_of(registry.collect()).items())))


def series_of(families):
    """The values of the counted series, by name and own labels."""
    values = {}
    for family in families:
        for sample in family.samples:
            if sample.name in COUNTED:
                own = {k: v for k, v in sample.labels.items() if k not in ("job", "instance")}
                if "le" in own:  # the client writes 1.0 where the gateway writes 1
                    own["le"] = float(own["le"])
                values[f"{sample.name} {json.dumps(own)}"] = sample.value
    return values


def totals_in_gateway():
    """The same series as the gateway shows them to Prometheus."""
    with urllib.request.urlopen(f"{GATEWAY}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    families = list(text_string_to_metric_families(text))
    for family in families:
        family.samples = [sample for sample in family.samples if sample.labels.get("job") == JOB]
    return Totals(series_of(families))


def run_job():
    """One process from start to end; what it pushed."""
    done = subprocess.run([sys.executable, __file__, "--one-job"], stdout=subprocess.PIPE, check=True)
    return dict(json.loads(done.stdout))


def main():
    parser = argparse.ArgumentParser(description="Run many short jobs and compare the gateway's totals.")
    parser.add_argument("--jobs", type=int, default=100, help="processes in all (default: 100)")
    parser.add_argument("--parallel", type=int, default=8, help="processes at a time (default: 8)")
    parser.add_argument("--one-job", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one_job:
        return one_job()

    before = totals_in_gateway()
    pushed = Totals()
    with concurrent.futures.ThreadPoolExecutor(arguments.parallel) as pool:
        for job in [pool.submit(run_job) for _ in range(arguments.jobs)]:
            pushed.update(job.result())
    after = totals_in_gateway()

    wrong = 0
    print(f"{arguments.jobs} jobs, {arguments.parallel} at a time\n")
    print(f"{'pushed':>12} {'gateway':>12}")
    for series in sorted(pushed, key=lambda name: (name.split(" ")[0], pushed[name])):
        rose = after[series] - before[series]
        equal = rose == pushed[series]
        wrong += not equal
        print(f"{pushed[series]:>12g} {rose:>12g}  {series}{'' if equal else '   <-- differs'}")
    if wrong or not pushed:
        sys.exit(f"\n{wrong} of {len(pushed)} totals differ from what was pushed")
    print("\nall totals are what was pushed")


if __name__ == "__main__":
    main()
