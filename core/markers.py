"""Markers: deployments and incidents on the time axis, of all sources alike; kept in the store's file."""

import functools
import secrets
import unicodedata
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pandas as pd

from core import store
from core.asked import headed
from core.errors import NotFound, QuestionError
from core.question import Question, bucket_end, bucket_start, moment

__all__ = ["KINDS", "MAX_TEXT", "Marker", "add", "everything", "listed", "read", "remove", "table"]

KINDS = ("deployment", "incident")
MAX_TEXT = 500  # characters
_PARTS = ("kind", "start", "end", "text")
_TIME = "an ISO 8601 date or date-time of the years 1970 to 2200, for example 2026-02-03T04:00Z"


class Marker(NamedTuple):
    """One deployment or incident; `end` is its `start` where it is a moment. Times are naive UTC."""

    kind: str
    start: datetime
    end: datetime
    text: str  # untrusted
    id: str = ""

    def touches(self, start: datetime, end: datetime) -> bool:
        """Whether any of it is in `[start, end)`."""
        return self.start < end and (self.end > start or self.start >= start)

    @property
    def hours(self) -> tuple[datetime, datetime]:
        """The whole hours it touches, `[start, end)`: what is left out of a fit with it."""
        last = max(self.start, self.end - timedelta(microseconds=1))
        return bucket_start(self.start, "hourly"), bucket_end(last, "hourly")


def read(sent: Any) -> Marker:
    """A marker from JSON: `kind`, `start`, and where wanted `end` and `text`.

    Runs of blanks and line breaks in the text become one blank. Raises `QuestionError` for anything else than that, a
    text of over `MAX_TEXT` characters, or an end before its start.
    """
    if not isinstance(sent, dict) or not {"kind", "start"} <= sent.keys() <= set(_PARTS):
        raise QuestionError('A marker is JSON: {"kind": "deployment" or "incident", "start": …, "end": …, "text": …}.')
    if sent["kind"] not in KINDS:
        raise QuestionError(f"kind must be {' or '.join(KINDS)}.")
    start = _time("start", sent["start"])
    end = start if sent.get("end") in (None, "") else _time("end", sent["end"])
    if end < start:
        raise QuestionError("end is before start: it must be the same or later.")
    text = sent.get("text")
    text = "" if text is None else text
    if not isinstance(text, str) or len(text) > MAX_TEXT:
        raise QuestionError(f"text must be a text of up to {MAX_TEXT} characters.")
    text = " ".join(text.split())
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise QuestionError("text must not hold control characters.")
    return Marker(sent["kind"], start, end, text)


def add(marker: Marker) -> str:
    """Keep `marker`; the id that it gets. Durable when this returns."""
    marker = marker._replace(id=secrets.token_hex(8))
    store.current().write(
        "INSERT INTO markers (kind, start_at, end_at, text, id) VALUES (?, ?, ?, ?, ?)",
        marker,
    )
    _listed.cache_clear()
    return marker.id


def remove(id_: str) -> None:
    """Forget a marker. Raises `NotFound` where there is none with this id."""
    if id_ not in [marker.id for marker in listed()]:
        raise NotFound("There is no marker with this id.")
    store.current().write("DELETE FROM markers WHERE id = ?", [id_])
    _listed.cache_clear()


def everything() -> pd.DataFrame:
    """All markers, by start: `id, kind, start, end, text`."""
    return store.current().query(
        'SELECT id, kind, start_at AS "start", end_at AS "end", text FROM markers ORDER BY start_at, id'
    )


def table(question: Question) -> pd.DataFrame:
    """`source, measure, unit` of `question`, and all markers, whatever it asks."""
    return headed(question, everything())


def listed() -> tuple[Marker, ...]:
    """The same, one by one."""
    return _listed(store.current())


@functools.lru_cache(maxsize=1)  # each page asks twice, and nobody else writes them
def _listed(_stored: store.Store) -> tuple[Marker, ...]:
    return tuple(
        Marker(row.kind, row.start.to_pydatetime(), row.end.to_pydatetime(), row.text, row.id)
        for row in everything().itertuples()
    )


def _time(name: str, text: Any) -> datetime:
    try:
        time = moment(text) if isinstance(text, str) else None
    except (ValueError, OverflowError):
        time = None
    if time is None:
        raise QuestionError(f"{name} must be {_TIME}.")
    return time
