"""The span: one segment or subsegment of a trace, and its way from an X-Ray segment document and back."""

from datetime import datetime
from typing import NamedTuple

__all__ = ["MAX_DOCUMENT_BYTES", "Span"]

MAX_DOCUMENT_BYTES = 64 * 1024  # AWS X-Ray: "Segment documents can be up to 64 kB in size"


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
