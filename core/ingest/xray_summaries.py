"""A trace's summary as the span `summary`: which summaries tell as much as their trace would, and what they tell.

A summary has every annotation of its trace, but not on which span it sits, nor when that span began or whether it
failed. So some traces of each kind (a service and the keys annotated in it) are read in full to see where their
annotations sit; the summaries of that kind are then read accordingly, or not at all.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from core.segment_fields import take_annotations
from core.spans import Span, canonical_trace_id, derived

__all__ = ["SUMMARY", "Kind", "Placement", "Summary", "kind", "placement", "span", "unverified"]

SUMMARY = "summary"  # the span id of a row that stands for a whole trace

# X-Ray indexes "up to 50 annotations per trace", values "up to 1,000 Unicode characters": what is at the limit may be
# cut. https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html#api-segmentdocuments-annotations
_MOST_ANNOTATIONS = 50
_MOST_CHARACTERS = 1000
# Summaries round durations to milliseconds: of a shorter one that is more than 2 %.
_SHORTEST_ROUNDED_MS = 25.0
_ROUNDING_MS = 0.5 + 1e-6

Summary = dict[str, Any]
"""A `TraceSummary` of the API as it came: times are seconds since 1970."""


class Kind(NamedTuple):
    """What traces must have in common for one to tell how another's summary is to be read."""

    service: str
    keys: frozenset[str]


class Placement(NamedTuple):
    """Where the annotations of a kind sit: on one span of each trace."""

    is_root: bool  # the trace's first segment, whose times and flags the summary has
    span_kind: str  # "segment" or "subsegment"
    name: str | None  # of the span; None where it differs from trace to trace


def kind(summary: Summary) -> Kind | None:
    """The kind of a trace; None where its summary can't tell what is in it, so that it has to be read.

    That is when it is still being written, a key has two values, several services have annotations, there are so many
    or so long ones that some may be cut, or no service is named.
    """
    annotations: dict[str, list[Summary]] = summary.get("Annotations") or {}
    services: set[str] = set()
    if summary.get("IsPartial") or len(annotations) >= _MOST_ANNOTATIONS:
        return None
    for values in annotations.values():
        if len(values) != 1:
            return None
        if len(values[0]["AnnotationValue"].get("StringValue", "")) >= _MOST_CHARACTERS:
            return None
        for service in values[0].get("ServiceIds", ()):
            services.add(service.get("Name", ""))
    if not services:
        services.add((summary.get("EntryPoint") or {}).get("Name", ""))
    if len(services) != 1 or "" in services:
        return None
    return Kind(services.pop(), frozenset(annotations))


def placement(summary: Summary, of: Kind, spans: Sequence[Span]) -> Placement | None:
    """Where the annotations of this trace sit; None when on more than one span, or when the summary tells otherwise.

    Of a trace without annotations the one segment is looked for. `spans`: the whole trace, all of it complete.
    """
    annotated = [span for span in spans if span.numbers or span.texts or span.booleans]
    candidates = annotated if of.keys else [span for span in spans if span.kind == "segment"]
    if len(candidates) != 1 or len(annotated) > 1:
        return None
    [found] = candidates
    at = Placement(found.kind == "segment" and found.parent_id is None, found.kind, found.name)
    told = span(summary, of, at, found.source)
    if told is None:  # this one's summary says too little, which is no sign that another's does
        return at
    same = (told.numbers, told.texts, told.booleans, told.failed) == (
        found.numbers,
        found.texts,
        found.booleans,
        found.failed,
    )
    return at if same and _alike(told.latency_ms, found.latency_ms) else None


def span(summary: Summary, of: Kind, at: Placement, source: str) -> Span | None:
    """The span `summary` of a trace; None where this summary can't tell its latency or whether it failed.

    Its start is that of the trace. Unless the annotations sit on the root, it has no duration, and its latency is the
    annotation `processing_time_ms`.
    """
    numbers, texts, booleans = take_annotations({"annotations": _annotations(summary)}, _not_odd)
    error, fault, throttle = (bool(summary.get(flag)) for flag in ("HasError", "HasFault", "HasThrottle"))
    duration_ms = _duration_ms(summary) if at.is_root else None
    failed, latency_ms, data_volume_bytes, price_usd = derived(
        numbers, texts, booleans, duration_ms, flagged=at.is_root and (error or fault), in_progress=False
    )
    trouble = error or fault or throttle or summary.get("FaultRootCauses") or summary.get("ErrorRootCauses")
    if latency_ms is None or (trouble and not failed and not at.is_root):
        return None
    http = (summary.get("Http") or {}) if at.is_root else {}
    return Span(
        source=source,
        trace_id=canonical_trace_id(summary["Id"]),
        span_id=SUMMARY,
        parent_id=None,
        kind=at.span_kind,
        service=of.service,
        name=at.name or of.service,
        namespace=None,
        started_at=_started_at(summary),
        duration_ms=duration_ms,
        error=error,
        fault=fault,
        throttle=throttle,
        http_method=http.get("HttpMethod"),
        http_url=http.get("HttpURL"),
        http_status=http.get("HttpStatus"),
        numbers=numbers,
        texts=texts,
        booleans=booleans,
        failed=failed,
        latency_ms=latency_ms,
        data_volume_bytes=data_volume_bytes,
        price_usd=price_usd,
        detail=None,
        in_progress=False,
    )


def unverified(of: Kind) -> Placement:
    """The likeliest place, for a kind of which no trace can be read."""
    return Placement(False, "subsegment", None) if "processing_time_ms" in of.keys else Placement(True, "segment", None)


def _annotations(summary: Summary) -> dict[str, Any]:
    """The value of each key, in the type that it was sent in; an empty value has none."""
    found: dict[str, list[Summary]] = summary.get("Annotations") or {}
    return {key: next(iter(values[0]["AnnotationValue"].values()), None) for key, values in found.items()}


def _duration_ms(summary: Summary) -> float | None:
    """How long the root took; None where it was rounded by more than 2 %."""
    if (seconds := summary.get("ResponseTime")) is None:
        return None
    duration_ms = round(seconds * 1000, 4)
    return duration_ms if duration_ms >= _SHORTEST_ROUNDED_MS or duration_ms % 1 else None


def _started_at(summary: Summary) -> datetime:
    """The start of the trace, naive UTC; where it is not said, the second that stands in the trace id."""
    start = summary.get("StartTime", int(canonical_trace_id(summary["Id"])[:8], 16))
    return datetime.fromtimestamp(start, UTC).replace(tzinfo=None)


def _alike(told_ms: float | None, found_ms: float | None) -> bool:
    if told_ms is None or found_ms is None:
        return told_ms is found_ms
    return abs(told_ms - found_ms) <= _ROUNDING_MS


def _not_odd(_reason: str) -> None:
    """Nothing to count: a summary's values are scalars."""
