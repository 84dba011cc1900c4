"""Push from a short Python job with the official client.

    pip install prometheus_client
    GATEWAY=http://localhost:9091 python push.py

`pushadd_to_gateway` sends a POST, which adds: every run of this job raises the counter and the
histogram that all runs share. `push_to_gateway` sends a PUT, which replaces everything that the
group (here: job "import_orders") has pushed so far.
"""

import os
import random
import time
import uuid

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, pushadd_to_gateway
from prometheus_client.exposition import default_handler

gateway = os.environ.get("GATEWAY", "http://localhost:9091")

# A registry of its own, so that only what is named below is pushed. The default registry also
# has figures of this process, which are meaningless once it has ended.
registry = CollectorRegistry()
orders = Counter("orders_imported", "Orders imported.", ["shop"], registry=registry)
seconds = Histogram(
    "order_import_seconds", "Time to import one order.", buckets=(0.1, 0.5, 1, 5), registry=registry
)
last_success = Gauge("import_last_success_timestamp_seconds", "When an import last ended well.", registry=registry)

# The job starts its counters at 0 and counts its own work only: the gateway keeps the total.
for _ in range(20):
    orders.labels(shop=random.choice(["berlin", "paris"])).inc()
    seconds.observe(random.random())
last_success.set_to_current_time()  # a gauge is not added: the latest push stays


def retrying_handler(url, method, timeout, headers, data):
    """Sends a push again until it is answered. All tries have one key, so that it counts once."""
    key = ("Idempotency-Key", str(uuid.uuid4()))
    push = default_handler(url, method, timeout, [*headers, key], data)

    def handle():
        for wait in (1, 2, 4, 8, 16):
            try:
                return push()
            except OSError as error:  # of urllib, with a code if there was an answer
                if getattr(error, "code", 503) < 500:
                    raise
                time.sleep(wait)
        return push()

    return handle


# No label such as a process id in the grouping key: each value would be a group of its own, and
# nothing would add up.
pushadd_to_gateway(gateway, job="import_orders", registry=registry, handler=retrying_handler)
print(f"pushed to {gateway}")
