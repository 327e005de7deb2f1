"""The source `otlp`: requests to export traces, as OpenTelemetry's exporters and collector send them.

https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from core import activity
from core.errors import MalformedSegment
from core.ingest import otlp_json, otlp_protobuf
from core.ingest.batches import PATIENCE, Batch, Submit, batches, outcome
from core.ingest.otlp_fields import Shared, shared, translate
from core.lenient_json import Note
from core.segment_fields import seconds_since_1970
from core.spans import Span
from core.store import Store

__all__ = ["JSON", "PROTOBUF", "SOURCE", "Rejected", "answer", "encoding", "failure", "read", "take"]

T = TypeVar("T")

SOURCE = "otlp"
JSON, PROTOBUF = "application/json", "application/x-protobuf"

_DECODERS: dict[str, ModuleType] = {JSON: otlp_json, PROTOBUF: otlp_protobuf}
_DAY_S = 86_400
_CHUNK = 5_000  # spans a commit: a body of 64 MiB may hold a million, of 1 to 2 KB each
_STAGE = 256  # spans that are decoded before the first of them is taken apart
_SENT = range(32 << 10, 2 << 20)  # bytes of a body that a process of the pool reads: 7 to 400 ms


class Rejected(NamedTuple):
    """How many spans of a request were not stored, and a sentence why; 0 and "" when all were."""

    spans: int
    message: str


def encoding(content_type: str | None) -> str | None:
    """`JSON` or `PROTOBUF`; None for what is neither."""
    media_type = (content_type or "").partition(";")[0].strip().lower()
    return media_type if media_type in _DECODERS else None


def take(body: bytes, encoding: str, now: datetime, store: Store, submit: Submit) -> Rejected:
    """Store the spans of one request, count every one, and tell how many were refused. `now`: naive UTC.

    What is not refused is durable on return. Raises `MalformedSegment` when the body is no request at all, and
    `StoreError`; of a large request spans may be stored then, and when it is sent again they are found stored.
    """
    refused: Counter[str] = Counter()
    messages: dict[str, str] = {}
    try:
        found = _read_elsewhere(body, encoding, now, submit) if len(body) in _SENT else _read(body, encoding, now)
    except MalformedSegment as error:
        activity.refuse(SOURCE, error.reason, message=str(error))
        raise
    for batch in found:
        appended = store.append(batch.spans)
        activity.count(SOURCE, "received", len(batch.spans) + len(batch.refused))
        activity.count(SOURCE, "stored", appended.stored + appended.replaced)
        activity.count(SOURCE, "duplicate", appended.duplicates)
        for reason, message, _ in batch.refused:
            activity.refuse(SOURCE, reason, message=message)
            refused[reason] += 1
            messages[reason] = message
        for reason, n in batch.noted.items():
            activity.alter(SOURCE, reason, n)
    return Rejected(refused.total(), " ".join(f"{reason} ({n}): {messages[reason]}" for reason, n in refused.items()))


def _read_elsewhere(body: bytes, encoding: str, now: datetime, submit: Submit) -> Iterable[Batch]:
    """By a process of the pool."""
    arguments = body, encoding, now
    return outcome(submit(_read_all, *arguments, patience=PATIENCE), _read_all, *arguments)


def _read_all(body: bytes, encoding: str, now: datetime) -> list[Batch]:
    return [batch.packed() for batch in _read(body, encoding, now)]


def _read(body: bytes, encoding: str, now: datetime) -> Iterable[Batch]:
    noted: Counter[str] = Counter()
    found = read(body, encoding, SOURCE, now, lambda reason: noted.update((reason,)))
    return batches(((one, 0) for one in found), noted, _CHUNK)


def read(body: bytes, encoding: str, source: str, now: datetime, note: Note) -> Iterator[Span | MalformedSegment]:
    """The request's spans in the order sent, in the place of each that is refused its refusal.

    Raises `MalformedSegment`, before the first span is asked for, when the body is no request. `note` as in
    `spans.parse`.
    """
    decoder = _DECODERS[encoding]
    groups = [(shared(resource, scope), spans) for resource, scope, spans in decoder.groups(body, note)]
    latest = int((seconds_since_1970(now) + _DAY_S) * 1e9)
    return chain.from_iterable(
        _spans(decoder, spans[at : at + _STAGE], of, source, latest, note)
        for of, spans in groups
        for at in range(0, len(spans), _STAGE)
    )


def _spans(
    decoder: ModuleType, encoded: Sequence[object], of: Shared, source: str, latest: int, note: Note
) -> list[Span | MalformedSegment]:
    """In two steps over all: a tenth less time than span by span, for the code of each stays in the processor."""
    oddities: list[list[str]] = [[] for _ in encoded]
    plain = [_tried(decoder.plain, span, odd.append) for span, odd in zip(encoded, oddities, strict=True)]
    found: list[Span | MalformedSegment] = []
    for sent, odd in zip(plain, oddities, strict=True):
        known = sent if isinstance(sent, MalformedSegment) else _tried(translate, sent, of, source, latest, odd.append)
        found.append(known)
        if isinstance(known, Span):  # a refused span is counted once, as refused
            for reason in odd:
                note(reason)
    return found


def _tried(step: Callable[..., T], *arguments: Any) -> T | MalformedSegment:
    try:
        return step(*arguments)
    except MalformedSegment as refusal:
        return refusal
    except RecursionError:
        return MalformedSegment("too_deep", "An attribute is nested deeper than can be read.")


def answer(rejected: Rejected, encoding: str) -> bytes:
    """The body of a success: an `ExportTraceServiceResponse`, with `partial_success` when spans were refused."""
    if encoding == JSON:
        partial = {"rejectedSpans": str(rejected.spans), "errorMessage": rejected.message}
        return orjson.dumps({"partialSuccess": partial} if rejected.spans else {})
    response = ExportTraceServiceResponse()
    if rejected.spans:
        response.partial_success.rejected_spans = rejected.spans
        response.partial_success.error_message = rejected.message
    return response.SerializeToString()


def failure(sentence: str, encoding: str) -> bytes:
    """The body of a refusal: a `google.rpc.Status` with the sentence as its message; in JSON as our `error`, too."""
    if encoding == JSON:
        return orjson.dumps({"error": sentence, "message": sentence})
    # The trace's own Status has its message under the same number, 2, and is here without another dependency.
    return Status(message=sentence).SerializeToString()
