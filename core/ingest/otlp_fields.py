"""An OTLP span in plain values, whichever encoding it came in, and how it becomes a span of ours.

What has no column becomes the span's `detail`, under the names of OTLP's protobuf: nothing that was sent is lost.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

import orjson

from core.errors import MalformedSegment
from core.ingest.otlp_http import http_columns
from core.lenient_json import Note
from core.segment_fields import Fields, shown, take_annotations
from core.spans import Span, derived

__all__ = ["Group", "Sent", "Shared", "present", "shared", "translate"]

T = TypeVar("T")


class Group(NamedTuple, Generic[T]):
    """Spans, still encoded, of one resource and one instrumentation scope."""

    resource: Fields
    scope: Fields
    spans: Sequence[T]


class Sent(NamedTuple):
    """One span as it was sent; what was not sent is "", 0 or empty, as in protobuf."""

    trace_id: str  # hex in either case
    span_id: str
    parent_id: str
    name: str
    kind: int
    start: int  # nanoseconds since 1970
    end: int
    attributes: Fields
    status: int
    message: str  # of the status
    events: list[Fields]
    links: list[Fields]
    others: Fields  # the rest, named as in protobuf


class Shared(NamedTuple):
    """What the spans of a group have in common, their part of `detail` encoded once."""

    service: str | None
    detail: dict[str, orjson.Fragment]


_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}
_SERVER, _CLIENT, _PRODUCER, _CONSUMER = 2, 3, 4, 5
_OK, _ERROR = 1, 2
_CODES = {_OK: "ok", _ERROR: "error"}
_hex = re.compile("[0-9a-fA-F]+").fullmatch

# Attributes `<namespace>.…` are no annotations: the semantic conventions' own, and what instrumentations write on spans
# that nobody annotated. Were `error.type` one, the annotated spans of such a service would be its failures.
_CONVENTIONS = frozenset((
    "http", "url", "net", "network", "server", "client", "db", "rpc", "messaging", "code", "thread", "exception",
    "faas", "cloud", "aws", "user_agent", "otel", "telemetry",
    "error", "peer", "service", "host", "os", "process", "container", "k8s", "tls", "dns", "enduser", "graphql",
    "feature_flag", "asgi", "aspnetcore", "celery", "express", "fastify", "hapi", "koa",
))  # fmt: skip
_LISTED = "aws.xray.annotations"  # the attribute that lists which attributes are annotations

_TOLD = ("type", "message", "stacktrace")  # of an exception, as attributes `exception.…`


def present(**fields: Any) -> Fields:
    """Those of `fields` that were sent: what has its default is not sent in protobuf."""
    return {name: value for name, value in fields.items() if value}


def shared(resource: Fields, scope: Fields) -> Shared:
    """Raises `MalformedSegment` (`too_deep`)."""
    service = resource.get("attributes", {}).get("service.name")
    parts = {name: orjson.Fragment(_encoded(part)) for name, part in (("resource", resource), ("scope", scope)) if part}
    return Shared(service if isinstance(service, str) and service else None, parts)


def translate(sent: Sent, of: Shared, source: str, latest: int, note: Note) -> Span:
    """The span; `latest`: the last start accepted, nanoseconds since 1970.

    A SERVER, CONSUMER or parentless span is a segment. Its flags: HTTP 4xx is an error (429 a throttle too), 5xx a
    fault, the status ERROR a fault unless a 4xx explains it, an exception a fault unless the status is OK.

    Raises `MalformedSegment` (`bad_trace_id`, `bad_span_id`, `bad_parent_id`, `bad_start_time`, `too_deep`); notes
    `clock_skew`, `annotation_not_scalar`, `annotation_twice` (two attributes are read as one annotation),
    `dropped_by_sender` (its SDK's limits cut attributes, events or links off; how many stands in `detail`).
    """
    trace_id = _id(sent.trace_id, 32, "trace id", "bad_trace_id")
    span_id = _id(sent.span_id, 16, "span id", "bad_span_id")
    no_parent = not sent.parent_id.strip("0")  # some exporters write eight zero bytes
    parent_id = None if no_parent else _id(sent.parent_id, 16, "parent's span id", "bad_parent_id")
    segment = no_parent or sent.kind in (_SERVER, _CONSUMER)

    detail: Fields = {}
    started_at, duration_ms, in_progress = _times(sent, latest, detail, note)
    if sent.kind:
        detail["kind"] = _KINDS.get(sent.kind, sent.kind)
    if sent.status or sent.message:
        detail["status"] = present(code=_CODES.get(sent.status, sent.status), message=sent.message)
    exceptions = _take_exceptions(sent.events, detail) if sent.events else False
    http_method, http_url, http_status, taken = http_columns(sent.attributes)
    numbers, texts, booleans = _annotations(sent.attributes, taken, detail, note)
    if sent.links:
        detail["links"] = sent.links
    if any(name.startswith("dropped_") for name in sent.others):
        note("dropped_by_sender")

    error = http_status is not None and 400 <= http_status < 500
    fault = (
        (http_status is not None and 500 <= http_status < 600)
        or (sent.status == _ERROR and not error)
        or (exceptions and sent.status != _OK)
    )
    failed, latency_ms, data_volume_bytes, price_usd = derived(
        numbers, texts, booleans, duration_ms, flagged=error or fault, in_progress=in_progress
    )
    return Span(
        source,
        trace_id,
        span_id,
        parent_id,
        "segment" if segment else "subsegment",
        of.service or ("unknown_service" if segment else None),  # the name that SDKs give to a service without one
        sent.name,
        None if segment else _namespace(sent),
        started_at,
        duration_ms,
        error,
        fault,
        http_status == 429,
        http_method,
        http_url,
        http_status,
        numbers,
        texts,
        booleans,
        failed,
        latency_ms,
        data_volume_bytes,
        price_usd,
        _encoded(detail | sent.others | of.detail).decode() if detail or sent.others or of.detail else None,
        in_progress,
    )


def _id(sent: str, digits: int, what: str, reason: str) -> str:
    if len(sent) != digits or not _hex(sent) or not sent.strip("0"):
        raise MalformedSegment(
            reason, f"The {what} is {shown(sent)}: expected {digits} hex digits, in JSON too, and not all of them 0."
        )
    return sent.lower()


def _times(sent: Sent, latest: int, detail: Fields, note: Note) -> tuple[datetime, float | None, bool]:
    """`started_at`, `duration_ms`, `in_progress`; a time that these don't give back goes to `detail`."""
    start, end = sent.start, sent.end
    if not 0 < start <= latest:
        raise MalformedSegment(
            "bad_start_time", f"The start is {start} ns: expected nanoseconds since 1970, up to one day ahead."
        )
    microseconds = (start + 500) // 1000
    if start != microseconds * 1000:
        detail["start_time_unix_nano"] = start
    started_at = _EPOCH + _MICROSECOND * microseconds
    if not end:
        return started_at, None, True
    if end < start:
        note("clock_skew")
        detail["end_time_unix_nano"] = end
        return started_at, None, False
    return started_at, (end - start) / 1_000_000, False


def _take_exceptions(events: list[Fields], detail: Fields) -> bool:
    """Put the events into `detail`: exceptions as X-Ray's `cause` has them, the others as `events`."""
    exceptions = [_exception(event) for event in events if event.get("name") == "exception"]
    if exceptions:
        detail["cause"] = {"exceptions": exceptions}
    if len(exceptions) < len(events):
        detail["events"] = [event for event in events if event.get("name") != "exception"]
    return bool(exceptions)


def _exception(event: Fields) -> Fields:
    attributes = dict(event.get("attributes", {}))
    told = {name: attributes.pop(f"exception.{name}") for name in _TOLD if f"exception.{name}" in attributes}
    rest = {name: value for name, value in event.items() if name not in ("name", "attributes")}
    return told | present(attributes=attributes) | rest


def _annotations(
    attributes: Fields, taken: list[str], detail: Fields, note: Note
) -> tuple[dict[str, float], dict[str, str], dict[str, bool]]:
    """`numbers`, `texts`, `booleans` of the annotations; `detail` gets the attributes that neither these nor columns
    hold (`taken`) to the digit, and the names of those that are read as others: "." in a name is read as "_".

    Annotations are the attributes that `aws.xray.annotations` lists, else all outside the conventions' namespaces.
    """
    listed = attributes.get(_LISTED)
    annotations: Fields = {}
    sent_as: dict[str, str] = {}
    rest: Fields = {}
    for name, value in attributes.items():
        chosen, key = _read_as(name)
        if not (name in listed if type(listed) is list else chosen):
            if name not in taken:
                rest[name] = value
        elif key == name:
            annotations[name] = value
        elif key in sent_as or key in attributes:
            note("annotation_twice")
            rest[name] = value
        else:
            annotations[key] = value
            sent_as[key] = name

    fields = {"annotations": annotations}
    numbers, texts, booleans = take_annotations(fields, note)
    for key, value in fields.get("annotations", {}).items():  # what is no scalar
        rest[sent_as.pop(key, key)] = value
    for key, value in annotations.items():
        if type(value) is int and numbers[key] != value:  # beyond 2**53
            rest[sent_as.get(key, key)] = value
    if rest:
        detail["attributes"] = rest
    if sent_as:
        detail["annotation_names"] = sent_as
    return numbers, texts, booleans


@lru_cache(maxsize=1024)  # an application has some dozens of names, and sends each of them with every span
def _read_as(name: str) -> tuple[bool, str]:
    """Whether an attribute is an annotation where none are listed, and the annotation's name."""
    namespace, dot, _ = name.partition(".")
    return bool(name) and not (dot and namespace in _CONVENTIONS), name.replace(".", "_")


def _namespace(sent: Sent) -> str | None:
    if sent.kind not in (_CLIENT, _PRODUCER):
        return None
    return "aws" if sent.attributes.get("rpc.system") == "aws-api" else "remote"


def _encoded(detail: Fields) -> bytes:
    try:
        return orjson.dumps(detail)
    except orjson.JSONEncodeError:
        raise MalformedSegment("too_deep", "An attribute is nested deeper than can be written.") from None
