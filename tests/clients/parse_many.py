"""Parses expositions in OpenMetrics with the official Python client, for tests/exposition/strict_parsers.rs.

Reads them from standard input, each behind a line with its length in bytes. Prints a line for each that is
refused: its number, from 0, and why.
"""

import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

number = 0
while length := sys.stdin.buffer.readline():
    exposition = sys.stdin.buffer.read(int(length)).decode()
    try:
        samples = [(s.name, *sorted(s.labels.items())) for f in text_string_to_metric_families(exposition) for s in f.samples]
        if len(samples) != len(set(samples)):
            raise ValueError("a sample stands twice")
    except Exception as fault:
        print(number, repr(fault).replace("\n", " "))
    number += 1
