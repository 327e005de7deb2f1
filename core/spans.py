"""The span: one segment or subsegment of a trace, and its way from an X-Ray segment document and back.

What has a column is taken out of the freshly decoded document, and whatever is left of it is the span's `detail`.
So a field that nobody thought of is kept, and so is a value of a type that its column can't hold.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from core.errors import MalformedSegment
from core.lenient_json import Note, dumps, loads
from core.segment_fields import (
    Fields,
    drop_repeated,
    end_time,
    seconds_since_1970,
    shown,
    take_annotations,
    take_flag,
    take_http,
    take_identity,
    take_subsegments,
    take_text,
    take_times,
    truth,
)

__all__ = ["MAX_DOCUMENT_BYTES", "Span", "canonical_trace_id", "derived", "document", "parse", "xray_trace_id"]

MAX_DOCUMENT_BYTES = 64 * 1024  # AWS X-Ray: "Segment documents can be up to 64 kB in size"

_TRACE_ID = re.compile(r"[0-9a-fA-F]{32}|1-[0-9a-fA-F]{8}-[0-9a-fA-F]{24}")
_DAY_S = 86_400.0


class Span(NamedTuple):
    """One row of the store, unique by `(source, trace_id, span_id)`."""

    source: str
    trace_id: str  # 32 lower-case hex digits
    span_id: str
    parent_id: str | None
    kind: str  # "segment" or "subsegment"
    service: str | None  # of an independent subsegment: null until its segment arrives
    name: str
    namespace: str | None
    started_at: datetime  # naive UTC, microseconds
    duration_ms: float | None  # null while in progress, or when the span ends before it starts
    error: bool
    fault: bool
    throttle: bool
    http_method: str | None
    http_url: str | None
    http_status: int | None
    numbers: dict[str, float]
    texts: dict[str, str]
    booleans: dict[str, bool]
    failed: bool  # error or fault, or the annotation "error" read as a real boolean
    latency_ms: float | None  # annotation "processing_time_ms", else duration_ms; null while in progress
    data_volume_bytes: float | None
    price_usd: float | None
    detail: str | None  # JSON: everything else of the document
    in_progress: bool  # the document had no end_time


def parse(
    document: bytes | str | Fields, source: str, now: datetime, note: Note, *, max_bytes: int = MAX_DOCUMENT_BYTES
) -> list[Span]:
    """The spans of one X-Ray segment document: the root first, each before the subsegments embedded in it.

    A document that `lenient_json.strict` has decoded is taken apart, and its size is not looked at.
    `now` (naive UTC) bounds the start. What is refused raises `MalformedSegment` with one of the reasons `too_large`,
    `not_json`, `not_an_object`, `too_deep`, `bad_trace_id`, `bad_span_id`, `bad_name`, `bad_start_time`,
    `bad_end_time`. Of a document that is taken, `note` gets once for each occurrence:

    | reason | what becomes of it |
    |---|---|
    | `number_not_finite` | NaN, Infinity and numbers beyond any double are read as null |
    | `lone_surrogate`, `invalid_utf8` (once a document) | what is no character is replaced by U+FFFD |
    | `annotation_not_scalar`, `annotations_not_an_object` | kept in `detail` |
    | `clock_skew` | the span ends before it starts: stored without a duration |
    | `subsegment_not_an_object` | left out |
    | `subsegment_` and a reason from above, `subsegment_id_twice` | left out; subsegments inside it move up one level |
    """
    noted: list[str] = []
    spans = _spans(_object(document, noted.append, max_bytes), source, now, noted.append)
    for reason in noted:  # only now: a refused document is counted once, as refused
        note(reason)
    return spans


def document(spans: Sequence[Span]) -> list[Fields]:
    """The segment documents that `spans` came from; a parent stands before its subsegments, as `parse` has them.

    A subsegment that was independent, or whose parent is not before it in `spans`, is a document of its own.
    Each document equals the one that was sent, but for these forms:
    - trace ids are `1-xxxxxxxx-…` in lower case; numeric annotations are doubles, and so may be times sent as
      integers; an HTTP status such as 200.0 is an integer
    - `in_progress` is there, and true, where there was no `end_time`; `error`, `fault` and `throttle` where true
    - empty `annotations`, `http`, `http.request`, `http.response` and `subsegments` are left out, and so are
      `trace_id`, `type` and `parent_id` of embedded subsegments where they repeat what their place says
    - what `parse` noted as replaced or left out stays so
    """
    documents: list[Fields] = []
    earlier: dict[tuple[str, str, str | None], Fields] = {}
    for span in spans:
        detail: Fields = loads(span.detail.encode(), _not_odd) if span.detail else {}
        fields = _overlaid(_columns(span, detail), detail)
        embedded = span.kind == "subsegment" and detail.get("type") != "subsegment"
        enclosing = earlier.get((span.source, span.trace_id, span.parent_id)) if embedded else None
        if enclosing is None:
            documents.append(fields)
            _stand_alone(fields, span)
        else:
            enclosing.setdefault("subsegments", []).append(fields)
        earlier[span.source, span.trace_id, span.span_id] = fields
    return documents


def canonical_trace_id(text: object) -> str:
    """The 32 lower-case hex digits of a trace id sent as 32 hex digits (W3C) or as `1-8-24` (X-Ray), in either case.

    Raises `MalformedSegment` (`bad_trace_id`) for anything else.
    """
    if not isinstance(text, str) or _TRACE_ID.fullmatch(text) is None:
        raise MalformedSegment(
            "bad_trace_id", f"The trace id is {shown(text)}: expected 32 hex digits, or 1-8-24 of them."
        )
    digits = text.lower()
    return digits if len(digits) == 32 else digits[2:10] + digits[11:]


def xray_trace_id(canonical: str) -> str:
    """`1-xxxxxxxx-xxxxxxxxxxxxxxxxxxxxxxxx` of a canonical trace id."""
    return f"1-{canonical[:8]}-{canonical[8:]}"


def derived(
    numbers: dict[str, float],
    texts: dict[str, str],
    booleans: dict[str, bool],
    duration_ms: float | None,
    *,
    flagged: bool,
    in_progress: bool,
) -> tuple[bool, float | None, float | None, float | None]:
    """`failed`, `latency_ms`, `data_volume_bytes`, `price_usd`: the same for one request, whichever door it came by.

    `flagged`: it has the flag `error` or `fault`.
    """
    failed = flagged or truth(booleans.get("error", texts.get("error", numbers.get("error"))))
    measured = numbers.get("processing_time_ms")
    latency_ms = duration_ms if measured is None or measured < 0 else measured
    return failed, None if in_progress else latency_ms, numbers.get("data_volume_bytes"), numbers.get("price_usd")


def _object(document: bytes | str | Fields, note: Note, max_bytes: int) -> Fields:
    if isinstance(document, dict):
        return document
    raw = document if isinstance(document, bytes) else document.encode("utf-8", "surrogatepass")
    if len(raw) > max_bytes:
        raise MalformedSegment("too_large", f"The document has {len(raw)} bytes: at most {max_bytes} are accepted.")
    fields = loads(raw, note)
    if not isinstance(fields, dict):
        raise MalformedSegment("not_an_object", f"The document is {shown(fields)}: expected one JSON object.")
    return fields


def _spans(fields: Fields, source: str, now: datetime, note: Note) -> list[Span]:
    sent_trace_id = fields.pop("trace_id", None)
    trace_id = canonical_trace_id(sent_trace_id)
    latest = _latest(now)
    independent = fields.get("type") == "subsegment"  # stays in detail, where it tells independent from embedded
    kind = "subsegment" if independent else "segment"
    service = None if independent else fields.get("name")
    embedded = take_subsegments(fields)
    root = _span(fields, source, trace_id, take_text(fields, "parent_id"), kind, service, latest, note)
    if not embedded:
        return [root]

    spans, seen = [root], {root.span_id}
    pending = [(child, root.span_id) for child in embedded]
    for child, parent_id in pending:  # grows as it goes, level by level: no recursion, so no limit to the depth
        if not isinstance(child, dict):
            note("subsegment_not_an_object")
            continue
        embedded = take_subsegments(child)
        drop_repeated(child, sent_trace_id, parent_id)
        try:
            span = _span(child, source, trace_id, parent_id, "subsegment", service, latest, note)
            if span.span_id in seen:
                raise MalformedSegment("id_twice", f"Two spans of one segment have the id {shown(span.span_id)}.")
        except MalformedSegment as refusal:
            note(f"subsegment_{refusal.reason}")
            enclosing = parent_id
        else:
            spans.append(span)
            seen.add(span.span_id)
            enclosing = span.span_id
        if embedded:
            pending += [(grandchild, enclosing) for grandchild in embedded]
    return spans


@lru_cache(maxsize=16)
def _latest(now: datetime) -> float:
    """The last start accepted, seconds since 1970."""
    return seconds_since_1970(now) + _DAY_S


def _span(
    fields: Fields,
    source: str,
    trace_id: str,
    parent_id: str | None,
    kind: str,
    service: str | None,
    latest: float,
    note: Note,
) -> Span:
    """Takes out of `fields` what has a column; `latest`: the last start accepted, seconds since 1970."""
    span_id, name = take_identity(fields)
    started_at, duration_ms, in_progress = take_times(fields, latest, note)
    # What most spans lack is asked for here: each call takes its time.
    error = "error" in fields and take_flag(fields, "error")
    fault = "fault" in fields and take_flag(fields, "fault")
    throttle = "throttle" in fields and take_flag(fields, "throttle")
    http_method, http_url, http_status = take_http(fields) if "http" in fields else (None, None, None)
    numbers, texts, booleans = take_annotations(fields, note) if "annotations" in fields else ({}, {}, {})
    namespace = take_text(fields, "namespace") if "namespace" in fields else None
    failed, latency_ms, data_volume_bytes, price_usd = derived(
        numbers, texts, booleans, duration_ms, flagged=error or fault, in_progress=in_progress
    )
    return Span(  # by position, in the order of the columns: by keyword it takes 2 µs more
        source,
        trace_id,
        span_id,
        parent_id,
        kind,
        service,
        name,
        namespace,
        started_at,
        duration_ms,
        error,
        fault,
        throttle,
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
        dumps(fields) if fields else None,
        in_progress,
    )


def _columns(span: Span, detail: Fields) -> Fields:
    """What the columns say; the end is counted from `start_time` as sent where `started_at` doesn't give it back."""
    started = seconds_since_1970(span.started_at)
    fields: Fields = {"id": span.span_id, "name": span.name, "start_time": started}
    if span.in_progress:
        fields["in_progress"] = True
    elif span.duration_ms is not None:
        fields["end_time"] = end_time(detail.get("start_time", started), span.duration_ms)
    for flag, raised in (("error", span.error), ("fault", span.fault), ("throttle", span.throttle)):
        if raised:
            fields[flag] = True
    if span.namespace is not None:
        fields["namespace"] = span.namespace
    http = (
        ("request", "method", span.http_method),
        ("request", "url", span.http_url),
        ("response", "status", span.http_status),
    )
    for part, key, value in http:
        if value is not None:
            fields.setdefault("http", {}).setdefault(part, {})[key] = value
    annotations = span.booleans | span.numbers | span.texts  # a text that reads as a number is in both: it was a text
    if annotations:
        fields["annotations"] = annotations
    return fields


def _overlaid(fields: Fields, detail: Fields) -> Fields:
    """`fields` with what `detail` has beside or instead of it, objects merged."""
    for key, kept in detail.items():
        said = fields.get(key)
        fields[key] = _overlaid(said, kept) if isinstance(said, dict) and isinstance(kept, dict) else kept
    return fields


def _stand_alone(fields: Fields, span: Span) -> None:
    """Say what an embedded subsegment's place says."""
    fields["trace_id"] = xray_trace_id(span.trace_id)
    if span.parent_id is not None:
        fields["parent_id"] = span.parent_id
    if span.kind == "subsegment":
        fields["type"] = "subsegment"


def _not_odd(reason: str) -> None:
    raise MalformedSegment(reason, f"A stored detail should be plain JSON, and has this in it: {reason}.")
