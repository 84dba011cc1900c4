#!/usr/bin/env python3
"""Write cases/protobuf.toml: pushes in the delimited protobuf format, built field by field.

    tests/conformance/protobuf_cases.py

Each body is described in the comment above its step. Only the Python standard library is used.
"""

import base64
import math
import os
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
CONTENT_TYPE = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
COUNTER, GAUGE, SUMMARY, UNTYPED, HISTOGRAM, GAUGE_HISTOGRAM = range(6)


# The wire format.


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def integer(field, number):
    return varint(field << 3) + varint(number)


def signed(field, number):
    return integer(field, number << 1 if number >= 0 else (~number << 1) | 1)


def double(field, number):
    return varint(field << 3 | 1) + struct.pack("<d", number)


def packed(field, content):
    content = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(content)) + content


# io.prometheus.client, as far as it is used here.


def family(name, kind, *metrics, help=None, unit=None):
    message = b"" if name is None else packed(1, name)
    message += b"" if help is None else packed(2, help)
    message += b"" if kind is None else integer(3, kind)
    message += b"".join(packed(4, metric) for metric in metrics)
    return message + (packed(5, unit) if unit else b"")


def metric(*parts, timestamp=None):
    return b"".join(parts) + (b"" if timestamp is None else integer(6, timestamp))


def label(name, value):
    return packed(1, packed(1, name) + packed(2, value))


def gauge(value):
    return packed(2, double(1, value))


def counter(value, *more):
    return packed(3, double(1, value) + b"".join(more))


def summary(count, total, *quantiles):
    body = integer(1, count) + double(2, total)
    return packed(4, body + b"".join(packed(3, double(1, q) + double(2, v)) for q, v in quantiles))


def untyped(value):
    return packed(5, double(1, value))


def histogram(count, total, *buckets, more=b""):
    body = integer(1, count) + double(2, total)
    return packed(7, body + b"".join(packed(3, integer(1, n) + double(2, le)) for le, n in buckets) + more)


def float_histogram(count, total, *buckets):
    body = double(4, count) + double(2, total)
    return packed(7, body + b"".join(packed(3, double(4, n) + double(2, le)) for le, n in buckets))


def span(field, offset, length):
    return packed(field, signed(1, offset) + integer(2, length))


def native(count, total, schema, zero, spans, deltas):
    """A native histogram with positive buckets only."""
    body = integer(1, count) + double(2, total) + signed(5, schema) + double(6, 0.001) + integer(7, zero)
    body += b"".join(span(12, *each) for each in spans) + b"".join(signed(13, delta) for delta in deltas)
    return packed(7, body)


def any_native(*parts):
    """A native histogram of any fields."""
    return packed(7, b"".join(parts))


def zigzag(number):
    return signed(1, number)[1:]


def exemplar(value):
    return packed(2, label("trace_id", "abc") + double(2, value))


def delimited(*messages):
    return b"".join(varint(len(message)) + message for message in messages)


# The file.

OUT = [
    "# Pushes in the delimited protobuf format (spec/stock.md 2.3, 2.4, 3.3, 3.4).",
    "# Written by protobuf_cases.py; edit that.",
]


def case(name, *steps, why=None, **keys):
    OUT.extend(["", "[[case]]", f'name = "{name}"'])
    if why:
        OUT.append(f"# {why}")
    OUT.extend(f"{key} = {value}" for key, value in keys.items())
    for comment, body, *more in steps:
        request, content_type, ours, answer = "POST /metrics/job/a", CONTENT_TYPE, None, True
        for item in more:
            if item.startswith("{"):
                ours = item
            elif item.startswith(("POST ", "PUT ", "GET ")):
                request = item
            elif item == STATUS_ONLY:
                answer = False
            else:
                content_type = item
        OUT.extend(["", "[[case.step]]", f"# {comment}", f'request = "{request}"'])
        if not request.startswith("GET "):
            OUT.append(f"headers = {{ Content-Type = '{content_type}' }}")
            OUT.append(f'body_base64 = "{base64.b64encode(body).decode()}"')
        if not answer:
            OUT.append("answer = false")
        if ours:
            OUT.append(f"ours = {ours}")


STATUS_ONLY = "status only"
REFUSED = "{ status = 400, stored = false }"
# Of these the group remembers the time.
FAILED = """{ status = 400, metrics = ['push_failure_time_seconds{instance="",job="a"} set', 'push_time_seconds{instance="",job="a"} 0'] }"""
API = ("the bytes of the API", b"", "GET /api/v1/metrics")

every_type = delimited(
    family("c_total", COUNTER, metric(counter(3)), help="Things."),
    family("g", GAUGE, metric(label("l", "v"), gauge(1.5)), help="A gauge."),
    family("h", HISTOGRAM, metric(histogram(4, 2.5, (0.1, 1), (1, 3)))),
    family("s", SUMMARY, metric(summary(9, 20, (0.5, 1), (0.99, 7)))),
    family("u", UNTYPED, metric(untyped(-1))),
)
one_gauge = delimited(family("g", GAUGE, metric(gauge(1))))

case("every type", ("c_total, g, h without +Inf, s and u", every_type), API)
case(
    "content types read as protobuf",
    ("no blanks", one_gauge, CONTENT_TYPE.replace(" ", ""), "POST /metrics/job/a"),
    ("upper case", one_gauge, CONTENT_TYPE.replace("application/vnd", "Application/VND"), "POST /metrics/job/b"),
    ("quoted values", one_gauge, 'application/vnd.google.protobuf; proto="io.prometheus.client.MetricFamily"; encoding="delimited"', "POST /metrics/job/c"),
    ("another order and one more", one_gauge, "application/vnd.google.protobuf;x=y;encoding=delimited;proto=io.prometheus.client.MetricFamily", "POST /metrics/job/d"),
    ("parameter names in upper case", one_gauge, "application/vnd.google.protobuf; PROTO=io.prometheus.client.MetricFamily; Encoding=delimited", "POST /metrics/job/e"),
)
case("an empty body", ("nothing", b""))
case("no type is a counter", ("family m without a type", delimited(family("m", None, metric(counter(2))))))
case("no value is zero", ("a gauge message without fields", delimited(family("m", GAUGE, metric(packed(2, b""))))))
case("labels in any order", ("labels z and a", delimited(family("m", GAUGE, metric(label("z", "1"), label("a", "2"), gauge(1))))))
case(
    "help",
    ("empty, but there", delimited(family("m", GAUGE, metric(gauge(1)), help=""))),
    ("with characters to escape", delimited(family("n", GAUGE, metric(gauge(1)), help='a\\b\nc"d'))),
)
case(
    "a family twice",
    ("m as 1 and then as 2", delimited(family("m", GAUGE, metric(label("l", "a"), gauge(1))), family("m", GAUGE, metric(gauge(2))))),
    aggregation='"off"',
)
case(
    "a name of other characters",
    ("a.b, which the exposition escapes", delimited(family("a.b", GAUGE, metric(label("c.d", "e"), gauge(1))))),
    ("the exposition as it is", b"", "GET /metrics"),
)
case("what only protobuf carries", (
    "an exemplar, a created timestamp, a unit and an unknown field",
    delimited(family("c_total", COUNTER, metric(counter(3, exemplar(1), packed(3, integer(1, 1700000000))), integer(99, 7)), unit="things")),
))
case(
    "the member that the type needs is missing",
    ("a gauge family with a counter in it", delimited(family("m", GAUGE, metric(counter(1))))),
    ("a histogram family with nothing in it", delimited(family("m", HISTOGRAM, metric(label("l", "v"))))),
)
case("more members than the type needs", ("a gauge and a counter", delimited(family("m", GAUGE, metric(gauge(1), counter(2))))))
case("timestamps", ("a gauge of the time 0", delimited(family("m", GAUGE, metric(gauge(1), timestamp=0)))))
case(
    "label names",
    ("twice the same", delimited(family("m", GAUGE, metric(label("l", "1"), label("l", "2"), gauge(1))))),
    ("__x", delimited(family("m", GAUGE, metric(label("__x", "1"), gauge(1))))),
    ("an empty one", delimited(family("m", GAUGE, metric(label("", "1"), gauge(1)))), STATUS_ONLY),
    ("quantile in a summary", delimited(family("m", SUMMARY, metric(label("quantile", "1"), summary(1, 1))))),
)
case(
    "the same sample twice",
    ("m without labels, twice", delimited(family("m", GAUGE, metric(gauge(1)), metric(gauge(2))))),
)
case(
    "classic histograms",
    ("with +Inf", delimited(family("h", HISTOGRAM, metric(histogram(3, 1, (1, 1), (math.inf, 3))))), "POST /metrics/job/a"),
    ("without +Inf", delimited(family("h", HISTOGRAM, metric(histogram(3, 1, (1, 1), (2, 2))))), "POST /metrics/job/b"),
    ("without buckets", delimited(family("h", HISTOGRAM, metric(histogram(3, 1)))), "POST /metrics/job/c"),
    ("float counts", delimited(family("h", HISTOGRAM, metric(float_histogram(2.5, 1, (1, 0.5), (2, 1.5))))), "POST /metrics/job/d"),
    ("a count of 2^63", delimited(family("h", HISTOGRAM, metric(histogram(1 << 63, 1, (1, 1 << 62))))), "POST /metrics/job/e"),
)
case(
    "a native histogram",
    ("schema 0, buckets 1 and 3, zero bucket 2, count 6", delimited(family("h", HISTOGRAM, metric(native(6, 10, 0, 2, [(0, 2)], [1, 2]))))),
)
case(
    "native histograms of all shapes",
    (
        "both signs and gaps, deltas packed",
        delimited(
            family(
                "h",
                HISTOGRAM,
                metric(
                    any_native(
                        integer(1, 12) + double(2, 18.4),
                        signed(5, 0) + double(6, 0.001) + integer(7, 2),
                        span(9, 0, 2) + packed(10, zigzag(1) + zigzag(0)),
                        span(12, 0, 2) + span(12, 5, 2) + packed(13, zigzag(1) + zigzag(1) + zigzag(-1) + zigzag(3)),
                    )
                ),
            )
        ),
        "POST /metrics/job/a",
    ),
    (
        "floats",
        delimited(
            family(
                "h",
                HISTOGRAM,
                metric(
                    any_native(
                        double(4, 10.5) + double(2, 18.4),
                        signed(5, 1) + double(6, 0.001) + double(8, 2.5),
                        span(9, 0, 2) + double(11, 1) + double(11, 1.5),
                        span(12, 0, 2) + span(12, 2, 2) + double(14, 1) + double(14, 2.5) + double(14, 1) + double(14, 1),
                    )
                ),
            )
        ),
        "POST /metrics/job/b",
    ),
    (
        "classic buckets beside the native ones",
        delimited(
            family(
                "h",
                HISTOGRAM,
                metric(histogram(3, 4, (1, 1), (2, 3), more=signed(5, 0) + double(6, 0.001) + integer(7, 0) + span(12, 0, 1) + signed(13, 3))),
            )
        ),
        "POST /metrics/job/c",
    ),
    (
        "no observations",
        delimited(family("h", HISTOGRAM, metric(any_native(integer(1, 0) + double(2, 0), signed(5, 3) + double(6, 0) + span(12, 0, 0))))),
        "POST /metrics/job/d",
    ),
    (
        "the finest and the coarsest schema, at the ends",
        delimited(
            family(
                "h",
                HISTOGRAM,
                metric(label("s", "8"), any_native(integer(1, 3) + double(2, 1), signed(5, 8) + span(12, -274944, 1) + span(12, 537087, 2) + signed(13, 1) + signed(13, 0) + signed(13, 0))),
                metric(label("s", "-4"), any_native(integer(1, 3) + double(2, 1), signed(5, -4) + span(12, -67, 1) + span(12, 130, 2) + signed(13, 1) + signed(13, 0) + signed(13, 0))),
            )
        ),
        "POST /metrics/job/e",
    ),
    (
        "a gauge histogram",
        delimited(family("g", GAUGE_HISTOGRAM, metric(native(6, 10, 0, 2, [(0, 2)], [1, 2])))),
        "POST /metrics/job/f",
    ),
)
case(
    "native histograms without spans",
    (
        "no observations, as the Go client pushes it",
        delimited(family("h", HISTOGRAM, metric(any_native(integer(1, 0) + double(2, 0), signed(5, 3) + double(6, 2.0**-128) + integer(7, 0))))),
    ),
    (
        "the same beside classic buckets",
        delimited(family("h", HISTOGRAM, metric(histogram(0, 0, (1, 0), more=signed(5, 3) + double(6, 2.0**-128) + integer(7, 0))))),
        "POST /metrics/job/b",
    ),
    (
        "observations of zero alone",
        delimited(family("h", HISTOGRAM, metric(any_native(integer(1, 2) + double(2, 0), signed(5, 3) + double(6, 0.001) + integer(7, 2))))),
        "POST /metrics/job/c",
    ),
    (
        "floats",
        delimited(family("h", HISTOGRAM, metric(any_native(double(4, 0) + double(2, 0), signed(5, 3) + double(6, 0.001) + double(8, 0))))),
        "POST /metrics/job/d",
    ),
    why="Stock's API takes them for classic ones.",
)
case(
    "counts that are no numbers",
    ("of all observations, and of a bucket", delimited(family("h", HISTOGRAM, metric(float_histogram(math.nan, 1, (1, math.nan), (2, 1.5)))))),
    aggregation='"off"',
    why="Stock's API shows them as 0.",
)
case(
    "a gauge histogram",
    ("as a classic histogram", delimited(family("h", GAUGE_HISTOGRAM, metric(histogram(3, 1, (1, 1)))))),
    api="false",
)
case(
    "bytes that are no protobuf",
    ("text", b"m 1\n"),
    ("shorter than the length says", one_gauge[:-1]),
    ("a length alone", b"\x05"),
    ("half a length", b"\x80"),
    ("a length of eleven bytes", b"\xff" * 10 + b"\x01"),
    ("a wire type that does not exist", delimited(b"\x0f")),
    ("a field that is longer than its message", delimited(b"\x0a\x05ab")),
    ("a good family and then half of one", one_gauge + b"\x09\x0a"),
    ("field number 0", delimited(b"\x00\x00")),
)
case(
    "a huge length",
    ("32 GiB, of which none come", b"\xff\xff\xff\xff\x7f", REFUSED),
    why="Stock allocates what the length says, and dies.",
)
case(
    "no name",
    ("an empty name", delimited(family("", GAUGE, metric(gauge(1)))), REFUSED),
    ("a missing name", delimited(family(None, GAUGE, metric(gauge(1)))), REFUSED),
    why="Stock answers 200, and then its exposition is empty.",
    state="false",
    api="false",
)
case(
    "types that do not exist",
    ("type 99", delimited(family("m", 99, metric(gauge(1)))), REFUSED),
    ("a gauge histogram with a gauge in it", delimited(family("m", GAUGE_HISTOGRAM, metric(gauge(1)))), FAILED),
    why="Stock's exposition ends at such a family.",
)
case(
    "text that is not UTF-8",
    ("in the name", delimited(family(b"m\xff", GAUGE, metric(gauge(1)))), REFUSED),
    ("in a label name", delimited(family("m", GAUGE, metric(label(b"l\xff", "v"), gauge(1)))), REFUSED),
    ("in a label value", delimited(family("m", GAUGE, metric(label("l", b"\xff"), gauge(1)))), REFUSED),
    ("in a good family's neighbour", one_gauge + delimited(family("m", GAUGE, metric(label("l", b"\xff"), gauge(1)))), REFUSED),
    why="Stock refuses the labels, but takes the name.",
)
case(
    "native histograms that do not add up",
    ("two buckets in the span, one delta", delimited(family("h", HISTOGRAM, metric(native(3, 1, 0, 0, [(0, 2)], [3])))), FAILED),
    ("one bucket in the span, two deltas", delimited(family("h", HISTOGRAM, metric(native(3, 1, 0, 0, [(0, 1)], [1, 1])))), FAILED),
    ("a bucket of -1", delimited(family("h", HISTOGRAM, metric(native(3, 1, 0, 0, [(0, 2)], [1, -2])))), FAILED),
    ("schema 77", delimited(family("h", HISTOGRAM, metric(native(3, 1, 77, 0, [(0, 1)], [3])))), FAILED),
    why="Stock stores them, and then cannot render its API.",
)
case(
    "a native histogram of another count than its buckets have",
    ("5 and 6 observations", delimited(family("h", HISTOGRAM, metric(native(5, 10, 0, 2, [(0, 2)], [1, 2]))))),
    why="Prometheus drops a scrape with such a histogram; ours refuses it where it would be added.",
    aggregation='"off"',
)

with open(os.path.join(HERE, "cases", "protobuf.toml"), "w", encoding="utf-8") as file:
    file.write("\n".join(OUT) + "\n")
