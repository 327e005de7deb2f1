"""PutTraceSegments: segment documents that come by HTTP, each stored or named with the reason why not."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import orjson

from core import activity
from core.errors import MalformedSegment
from core.spans import Span, parse
from core.store import Store

__all__ = ["Refusal", "take"]


class Refusal(NamedTuple):
    """A document that was not stored: its segment id where one could be read, the reason and a sentence."""

    id: str | None
    reason: str
    message: str


def take(documents: Sequence[str | bytes], source: str, now: datetime, store: Store) -> list[Refusal]:
    """Store what can be read of `documents`, count every one, and tell which were refused.

    What is not refused is durable on return. Raises `StoreError` (nothing of this call was stored, nothing counted).
    """
    spans: list[Span] = []
    refusals: list[Refusal] = []
    altered: list[str] = []
    for document in documents:
        try:
            spans += parse(document, source, now, altered.append)
        except MalformedSegment as error:
            refusals.append(Refusal(_id(document), error.reason, str(error)))
    store.append(spans)
    activity.count(source, "received", len(documents))
    activity.count(source, "stored", len(documents) - len(refusals))
    for refusal in refusals:
        activity.refuse(source, refusal.reason, message=refusal.message)
    for reason in altered:
        activity.alter(source, reason)
    return refusals


def _id(document: str | bytes) -> str | None:
    try:
        found = orjson.loads(document)
    except orjson.JSONDecodeError:
        return None
    named = found.get("id") if isinstance(found, dict) else None
    return named[:64] if isinstance(named, str) else None
