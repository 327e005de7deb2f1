"""What may be asked: the parameters of pages and API, their formats and defaults; URL to question and back."""

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from core import conditions
from core.errors import QuestionError

__all__ = [
    "DEFAULT_HORIZON",
    "GRANULARITIES",
    "LATENCIES",
    "MAX_HORIZON",
    "RANGES",
    "SCOPES",
    "SORTS",
    "STATS",
    "Question",
    "Window",
    "bucket_end",
    "bucket_start",
    "bucket_width",
    "horizon",
    "is_latency",
    "moment",
    "parse",
    "read",
    "to_params",
    "unit",
    "window",
]

RANGES = ("1h", "6h", "24h", "3d", "7d", "14d", "30d", "60d", "all")
SCOPES = ("annotated", "segments")
STATS = ("avg", "p50", "p90", "p95", "p99", "count", "volume", "error_rate")
SORTS = ("slowest", "newest", "error")
GRANULARITIES = ("hourly", "daily")
LATENCIES = ("latency_ms", "duration_ms")
MAX_HORIZON = {"hourly": 168, "daily": 30}
DEFAULT_HORIZON = {"hourly": 24, "daily": 7}

_SOURCE = re.compile(r"sample|live|otlp|aws:[a-z0-9-]{1,40}|file:[A-Za-z0-9._-]{1,80}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1)}


@dataclass(frozen=True)
class Question:
    """One view of the data; every field is a parameter of the URL by the same name.

    Datetimes are naive UTC. `threshold` and `horizon` are None where the default of the stat and of the granularity
    holds; see `horizon()` and `queries.threshold()`.
    """

    source: str = "sample"
    range: str = "14d"
    start: datetime | None = None
    end: datetime | None = None
    scope: str = "annotated"
    service: str | None = None
    measure: str = "latency_ms"
    stat: str = "avg"
    by: str | None = None
    granularity: str = "hourly"
    threshold: float | None = None
    horizon: int | None = None
    interval: int = 95
    exclude: tuple[tuple[datetime, datetime], ...] = ()
    p: float = 0.5
    start2: datetime | None = None
    end2: datetime | None = None
    trace: str | None = None
    bucket: datetime | None = None
    q: str | None = None
    where: str | None = None
    sort: str | None = None
    tz: str | None = None


class Window(NamedTuple):
    """A stretch of time, `[start, end)`, naive UTC."""

    start: datetime
    end: datetime


def parse(params: Mapping[str, str], default_source: str = "sample") -> Question:
    """The question that `params` ask. Raises `QuestionError` at the first unknown name or bad value."""
    question, faults = _convert(params, default_source)
    if faults:
        raise QuestionError(faults[0])
    return question


def read(params: Mapping[str, str], default_source: str = "sample") -> tuple[Question, list[str]]:
    """As `parse`, but what can't be used is left at its default; second, one sentence for each such parameter."""
    return _convert(params, default_source)


def to_params(question: Question) -> dict[str, str]:
    """The parameters that ask `question`, without those at their default (`source` always stands)."""
    values = {field.name: getattr(question, field.name) for field in fields(Question)}
    return {
        name: _written(value)
        for name, value in values.items()
        if name == "source" or value != Question.__dataclass_fields__[name].default
    }


def window(question: Question, now: datetime, oldest: datetime | None, newest: datetime | None) -> Window:
    """The stretch that `question` asks for, asked at `now`; an end without a start reaches back to the first span.

    `oldest` and `newest`: start of the source's first and last span (None without any). The end of a `file:` source is
    that of its newest bucket, since its time has stopped.
    """
    end = question.end or now
    if question.end is None and question.source.startswith("file:") and newest is not None:
        end = bucket_end(newest, question.granularity)
    if question.start is not None:
        return Window(min(question.start, end), end)
    if question.end is not None or question.range == "all":
        return Window(min(oldest or end, end), end)
    return Window(end - int(question.range[:-1]) * _UNITS[question.range[-1]], end)


def horizon(question: Question) -> int:
    """How many buckets ahead: what was asked if the granularity allows it, else its default."""
    asked = question.horizon
    if asked is None or asked > MAX_HORIZON[question.granularity]:
        return DEFAULT_HORIZON[question.granularity]
    return asked


def bucket_width(granularity: str) -> timedelta:
    """An hour or a day."""
    return timedelta(hours=1) if granularity == "hourly" else timedelta(days=1)


def bucket_start(time: datetime, granularity: str) -> datetime:
    """Start of the UTC bucket that holds `time`."""
    hour = time.hour if granularity == "hourly" else 0
    return time.replace(hour=hour, minute=0, second=0, microsecond=0)


def bucket_end(time: datetime, granularity: str) -> datetime:
    """End of the UTC bucket that holds `time`, exclusive."""
    return bucket_start(time, granularity) + bucket_width(granularity)


def is_latency(measure: str) -> bool:
    """Whether `measure` is a latency in ms, whose negative values don't count."""
    return measure in LATENCIES


def moment(text: str) -> datetime | None:
    """The time (naive UTC) that `text` names; None for an empty one.

    ISO 8601, date or date-time; no zone means UTC. A `+` of an offset that was read as a blank is mended. Raises
    `ValueError` or `OverflowError` for anything else, and for years but 1970 to 2200.
    """
    if not text:
        return None
    time = datetime.fromisoformat(re.sub(r" (\d\d:?\d\d)$", r"+\1", text) if "T" in text else text)
    time = time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time
    if not 1970 <= time.year <= 2200:
        raise ValueError(text)
    return time


def unit(measure: str, stat: str = "avg") -> str:
    """The unit of `stat` over `measure`: `ms`, `s`, `bytes`, `USD`, `requests`, `share`, or empty where unknown."""
    if stat == "count":
        return "requests"
    if stat == "volume":
        return "bytes"
    if stat == "error_rate":
        return "share"
    for suffix, name in (("_ms", "ms"), ("_s", "s"), ("_seconds", "s"), ("_bytes", "bytes"), ("_usd", "USD")):
        if measure.endswith(suffix):
            return name
    return ""


def _convert(params: Mapping[str, str], default_source: str) -> tuple[Question, list[str]]:
    values: dict[str, Any] = {"source": default_source}
    faults = []
    for name, text in params.items():
        if name not in _READERS:
            faults.append(f"{_short(name)} is no parameter; the names are {', '.join(_READERS)}.")
            continue
        convert, expected = _READERS[name]
        try:
            value = convert(text)
        except (ValueError, OverflowError):
            faults.append(f"{name}={_short(text)} can't be used: {expected} is needed.")
        else:
            if value is not None:
                values[name] = value
    faults += _contradictions(values)
    return Question(**values), faults


def _contradictions(values: dict[str, Any]) -> list[str]:
    """Sentences about values that are good alone but not together; the offending ones are taken out of `values`."""
    faults = []
    for start, end in (("start", "end"), ("start2", "end2")):
        if values.get(start) and values.get(end) and values[start] >= values[end]:
            faults.append(f"{start} is not before {end}: {start} must be earlier.")
            del values[start], values[end]
    return faults


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _written(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value.isoformat()}Z"
    if isinstance(value, tuple):
        return ",".join(f"{_written(start)}/{_written(end)}" for start, end in value)
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value)


def _text(text: str) -> str | None:
    if len(text) > 1000:
        raise ValueError(text)
    return text or None


def _one_of(options: tuple[str, ...]) -> Callable[[str], str]:
    def convert(text: str) -> str:
        if text not in options:
            raise ValueError(text)
        return text

    return convert


def _source(text: str) -> str:
    if not _SOURCE.fullmatch(text):
        raise ValueError(text)
    return text


def _float(text: str) -> float:
    """Python alone would take `1_0` and digits of other scripts too."""
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return float(text)


def _number(least: float, most: float, *, above: bool = False) -> Callable[[str], float]:
    def convert(text: str) -> float:
        value = _float(text)
        if not least <= value <= most or (above and value == least):
            raise ValueError(text)
        return value

    return convert


def _whole(least: int, most: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        value = _float(text)
        if not value.is_integer() or not least <= value <= most:
            raise ValueError(text)
        return int(value)

    return convert


def _ranges(text: str) -> tuple[tuple[datetime, datetime], ...] | None:
    if not text:
        return None
    pairs = []
    for pair in text.split(","):
        start, slash, end = pair.partition("/")
        left, right = moment(start.strip()), moment(end.strip())
        if not slash or left is None or right is None or left >= right:
            raise ValueError(text)
        pairs.append((left, right))
    return tuple(pairs)


def _conditions(text: str) -> str | None:
    found = conditions.parse(_text(text) or "")
    return conditions.written(found) or None


def _zone(text: str) -> str | None:
    try:
        return ZoneInfo(text).key if text else None
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError(text) from error


_MOMENT = "an ISO 8601 date or date-time of the years 1970 to 2200, for example 2026-02-03T04:00Z,"
_READERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "source": (_source, "sample, live, otlp, aws:<region> or file:<name>"),
    "range": (_one_of(RANGES), f"one of {' '.join(RANGES)}"),
    "start": (moment, _MOMENT),
    "end": (moment, _MOMENT),
    "scope": (_one_of(SCOPES), "annotated or segments"),
    "service": (_text, "a service's exact name of up to 1,000 characters"),
    "measure": (lambda text: _text(text) or "latency_ms", "latency_ms, duration_ms or a numeric annotation"),
    "stat": (_one_of(STATS), f"one of {' '.join(STATS)}"),
    "by": (_text, "service, name or an annotation"),
    "granularity": (_one_of(GRANULARITIES), "hourly or daily"),
    "threshold": (_number(0, 1e300, above=True), "a number above 0 and up to 1e300"),
    "horizon": (_whole(1, 168), "a whole number of buckets, 1 to 168 hours or 1 to 30 days,"),
    "interval": (_whole(50, 99), "a whole per cent from 50 to 99"),
    "exclude": (_ranges, "start/end pairs of ISO 8601 times of the years 1970 to 2200, joined by commas,"),
    "p": (_number(0.05, 0.95), "a chance from 0.05 to 0.95"),
    "start2": (moment, _MOMENT),
    "end2": (moment, _MOMENT),
    "trace": (_text, "a trace id"),
    "bucket": (moment, _MOMENT),
    "q": (_text, "a text of up to 1,000 characters"),
    "where": (_conditions, "conditions joined by commas, for example status=failed,flag=high,latency_ms>150,"),
    "sort": (lambda text: _one_of(SORTS)(text) if text else None, "slowest, newest or error"),
    "tz": (_zone, "an IANA time zone, for example Europe/Berlin,"),
}
assert list(_READERS) == [field.name for field in fields(Question) if field.default is not MISSING]  # noqa: S101
