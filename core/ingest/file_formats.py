"""What one value of a file is, told by its content, and the spans that it stands for.

| value | read as |
|---|---|
| a segment document, also as text, also behind the header of a packet | its spans |
| a trace of BatchGetTraces, or one segment of it, `Document` as text or object | the spans of its documents |
| a summary of GetTraceSummaries | the span `summary` of its trace |
| OTLP in JSON, whole or one `resourceSpans` | its spans |
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from core.errors import MalformedSegment
from core.ingest import otlp, xray_summaries
from core.ingest.json_stream import Value, no_json
from core.lenient_json import Note, dumps, loads
from core.segment_fields import Fields, shown
from core.spans import Span, parse

__all__ = ["read"]

# X-Ray may have put a trace's documents together of several that were sent, up to 500 KB.
# https://docs.aws.amazon.com/general/latest/gr/xray.html
MAX_DOCUMENT_BYTES = 1 << 20

_OTLP_KEYS = ("resourceSpans", "resource_spans")
_ENVELOPES = frozenset({"Traces", "TraceSummaries", "TraceSegmentDocuments", *_OTLP_KEYS})
_LISTED = frozenset({*_ENVELOPES, None})  # values elsewhere in an envelope are no traces
Read = Iterable[Span | MalformedSegment]


def read(value: Value, source: str, now: datetime, note: Note) -> Read:
    """The spans of `value`, and in the place of each part of it that is refused its refusal.

    Besides the reasons of `spans.parse` and `otlp.read` there are `not_a_trace`, `bad_trace`, `bad_summary`,
    `summary_tells_too_little`, `unprocessed_trace_id`, `smart_quotes` and `trailing_comma`. `note` gets what
    `spans.parse` notes, and `trace_limit_exceeded` for a trace of which X-Ray has kept only a part.
    """
    try:
        return _read(value, source, now, note)
    except MalformedSegment as refusal:
        return [no_json(value.raw) if refusal.reason == "not_json" else refusal]


def _read(value: Value, source: str, now: datetime, note: Note) -> Read:
    raw = value.raw
    if value.within == "UnprocessedTraceIds":
        raise MalformedSegment("unprocessed_trace_id", "X-Ray did not return this trace; ask it for it once more.")
    if value.within not in _LISTED:
        return []
    if value.within in _OTLP_KEYS:
        return otlp.read(b'{"resourceSpans":[' + raw + b"]}", otlp.JSON, source, now, note)
    if value.decoded is not None:
        return _decoded(value.decoded, raw, source, now, note)
    if b'"trace_id"' in raw and b'"Document"' not in raw:  # as most are: decoded only once
        return parse(raw, source, now, note, max_bytes=MAX_DOCUMENT_BYTES)
    return _decoded(loads(raw, note), raw, source, now, note)


def _decoded(found: Any, raw: bytes, source: str, now: datetime, note: Note) -> Read:
    if isinstance(found, str):
        return _document(found, source, now, note)
    if not isinstance(found, dict):
        raise _no_trace(found)
    if "Segments" in found:
        return _trace(found, source, now, note)
    if "Document" in found:
        return _document(found["Document"], source, now, note)
    if "trace_id" in found:
        document = found if len(raw) <= MAX_DOCUMENT_BYTES else raw
        return parse(document, source, now, note, max_bytes=MAX_DOCUMENT_BYTES)
    if "Id" in found and ("Annotations" in found or "ResponseTime" in found or "HasFault" in found):
        return [_summary(found, source)]
    if any(found.get(key) for key in _OTLP_KEYS):
        return otlp.read(dumps(found).encode(), otlp.JSON, source, now, note)
    if found.keys() & _ENVELOPES or found.keys() == {"format", "version"}:  # an empty answer, a packet's header
        return []
    raise _no_trace(found)


def _document(document: object, source: str, now: datetime, note: Note) -> list[Span]:
    """The spans of a segment document in text or already decoded."""
    text = document if isinstance(document, str) else dumps(document)
    return parse(text, source, now, note, max_bytes=MAX_DOCUMENT_BYTES)


def _trace(trace: Fields, source: str, now: datetime, note: Note) -> Read:
    segments = trace["Segments"]
    if not isinstance(segments, list):
        raise MalformedSegment("bad_trace", f"The Segments of a trace are {shown(segments)}: expected a list.")
    if trace.get("LimitExceeded") is True:
        note("trace_limit_exceeded")
    found: list[Span | MalformedSegment] = []
    for segment in segments:
        if not isinstance(segment, dict) or "Document" not in segment:
            sentence = f"A segment of a trace is {shown(segment)}: it has no Document."
            found.append(MalformedSegment("bad_trace", sentence))
            continue
        try:
            found += _document(segment["Document"], source, now, note)
        except MalformedSegment as refusal:
            found.append(refusal)
    return found


def _summary(summary: Fields, source: str) -> Span:
    try:
        told = {key: _seconds(sent) if key == "StartTime" else sent for key, sent in summary.items()}
        kind = xray_summaries.kind(told)
        span = xray_summaries.span(told, kind, xray_summaries.unverified(kind), source) if kind else None
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError):  # whatever is not as it says
        raise MalformedSegment("bad_summary", "A summary does not have the fields of GetTraceSummaries.") from None
    if span is None:
        sentence = "This summary can't tell what its trace holds: export the trace with batch-get-traces."
        raise MalformedSegment("summary_tells_too_little", sentence)
    return span


def _seconds(sent: object) -> float:
    """A time as the command line writes it, ISO 8601 or seconds since 1970, in seconds."""
    if not isinstance(sent, str):
        return float(str(sent))
    time = datetime.fromisoformat(sent)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _no_trace(found: object) -> MalformedSegment:
    sentence = f"Expected segments, traces or summaries of X-Ray, or OTLP, and found {shown(found)}."
    return MalformedSegment("not_a_trace", sentence)
