"""Parses an exposition on standard input with the official Python client, for tests/exposition/parsers.rs.

Usage: parse.py text|openmetrics

Prints a JSON object: for each sample its value, by name and labels, and the types of the families.
"""

import json
import sys

from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client import parser as text_parser

parse = {
    "text": text_parser.text_string_to_metric_families,
    "openmetrics": openmetrics_parser.text_string_to_metric_families,
}[sys.argv[1]]

samples, types, exemplars = {}, {}, {}
for family in parse(sys.stdin.read()):
    types[family.name] = family.type
    for sample in family.samples:
        labels = dict(sample.labels)
        for bound in ("le", "quantile"):
            if bound in labels:
                labels[bound] = str(float(labels[bound]))
        name = sample.name + json.dumps(labels, sort_keys=True)
        if name in samples:
            sys.exit(f"twice: {name}")
        samples[name] = str(float(sample.value))
        if sample.exemplar:
            exemplars[name] = [sample.exemplar.labels, sample.exemplar.value, str(sample.exemplar.timestamp)]
print(json.dumps({"samples": samples, "types": types, "exemplars": exemplars}))
