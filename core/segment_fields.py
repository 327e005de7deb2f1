"""The fields of an X-Ray segment document: one function each, from what was sent to what the span's columns hold.

Each `take_…` removes from the document what it returns and leaves what no column can hold, to be kept as it is.
"""

import math
import re
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from core.errors import MalformedSegment
from core.lenient_json import Note

__all__ = [
    "Fields",
    "drop_repeated",
    "end_time",
    "number",
    "seconds_since_1970",
    "shown",
    "take_annotations",
    "take_flag",
    "take_http",
    "take_identity",
    "take_subsegments",
    "take_text",
    "take_times",
    "truth",
]

Fields = dict[str, Any]

_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_YEAR_10000_S = 253_402_300_800.0  # where `datetime` ends
_LONG_S = 1e8  # a duration up to this gives its end back, whatever the start
# `float` would read `1_000` and digits of other scripts too, and its exceptions cost three times as much.
_number_in = re.compile(r"\s*+[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?\s*+", re.ASCII).fullmatch
_FALSE_TEXTS = frozenset({"", "false", "no", "off", "none", "null", "nan"})


def take_identity(fields: Fields) -> tuple[str, str]:
    """`span_id`, `name`. Raises `MalformedSegment` (`bad_span_id`, `bad_name`)."""
    span_id, name = fields.pop("id", None), fields.pop("name", None)
    if not isinstance(span_id, str) or not 1 <= len(span_id) <= 64:
        raise MalformedSegment("bad_span_id", f"The id is {shown(span_id)}: expected a text of 1 to 64 characters.")
    if not isinstance(name, str):
        raise MalformedSegment("bad_name", f"The name of {shown(span_id)} is {shown(name)}: expected a text.")
    return span_id, name


def take_times(fields: Fields, latest: float, note: Note) -> tuple[datetime, float | None, bool]:
    """`started_at`, `duration_ms`, `in_progress`; a time that these don't give back to the digit stays in `fields`.

    `latest`: the last start accepted, seconds since 1970. A span that ends before it starts has no duration, and
    `clock_skew` is noted. Raises `MalformedSegment` (`bad_start_time`, `bad_end_time`).
    """
    sent_start, sent_end = fields.get("start_time"), fields.get("end_time")
    if (
        type(sent_start) is float
        and type(sent_end) is float
        and 0.0 <= sent_start <= latest
        and sent_start <= sent_end < _YEAR_10000_S
        and sent_end - sent_start < _LONG_S
    ):
        start_ticks, end_ticks = _ticks(sent_start), _ticks(sent_end)
        microseconds = (start_ticks + 5) // 10
        if microseconds / 1_000_000 == sent_start:
            del fields["start_time"]
        if end_ticks / 10_000_000 == sent_end:
            del fields["end_time"]
        if fields.get("in_progress") is False:
            del fields["in_progress"]
        return _EPOCH + _MICROSECOND * microseconds, (end_ticks - start_ticks) / 10_000, False
    start = _seconds(sent_start)
    if start is None or not 0.0 <= start <= latest:
        raise MalformedSegment(
            "bad_start_time", f"The start_time is {shown(sent_start)}: expected seconds between 1970 and one day ahead."
        )
    start_ticks = _ticks(float(start))
    microseconds = (start_ticks + 5) // 10
    started_at = _EPOCH + _MICROSECOND * microseconds
    if sent_start == microseconds / 1_000_000:
        del fields["start_time"]

    in_progress = sent_end is None
    if fields.get("in_progress") is in_progress:
        del fields["in_progress"]
    if in_progress:
        return started_at, None, True

    end = _seconds(sent_end)
    if end is None or end >= _YEAR_10000_S:
        raise MalformedSegment(
            "bad_end_time", f"The end_time is {shown(sent_end)}: expected seconds before the year 10000."
        )
    if end < start:
        note("clock_skew")
        return started_at, None, False
    if isinstance(start, float) and isinstance(end, float):
        duration_ms = (_ticks(end) - start_ticks) / 10_000
    else:
        duration_ms = float((Decimal(str(end)) - Decimal(str(start))) * 1000)
    if sent_end == _ended(start_ticks, duration_ms):
        del fields["end_time"]
    return started_at, duration_ms, False


def end_time(start_time: float | str, duration_ms: float) -> float:
    """Seconds since 1970, from `start_time` as it was sent."""
    return _ended(_ticks(float(start_time)), duration_ms)


def seconds_since_1970(time: datetime) -> float:
    """Of a naive UTC time; the double nearest to its microseconds."""
    return (time - _EPOCH).total_seconds()


def _seconds(sent: object) -> float | Decimal | None:
    """A time, to the last digit where it was sent as text; None when it is no number."""
    if type(sent) is float:
        return sent
    if type(sent) is int:
        return float(sent)
    if isinstance(sent, str) and _number_in(sent):
        try:
            return Decimal(sent.strip())
        except InvalidOperation:  # more digits of exponent than `Decimal` reads
            return None
    return None


def _ticks(seconds: float) -> int:
    """The decimal that a time was most likely sent as, in tenths of a microsecond.

    Doubles near today lie 0.24 µs apart, so their plain difference makes 0.19431114 of a span of 0.1943 ms, and
    99.9999 of one of 100 ms. Hence whole microseconds where they give this very double, else the nearest tick. The
    fraction is taken apart from the whole, for their ticks together need more than the 53 bits of a double.
    """
    microseconds = round(seconds * 1_000_000)
    if microseconds / 1_000_000 == seconds:
        return microseconds * 10
    whole = int(seconds)
    return whole * 10_000_000 + round((seconds - whole) * 10_000_000)


def _ended(start_ticks: int, duration_ms: float) -> float:
    return (start_ticks + round(duration_ms * 10_000)) / 10_000_000


def take_flag(fields: Fields, key: str) -> bool:
    """`error`, `fault` or `throttle`; one that is no boolean is read as the one it means, and stays in `fields`."""
    if key not in fields:
        return False
    sent = fields[key]
    if isinstance(sent, bool):
        del fields[key]
    return truth(sent)


def truth(value: object) -> bool:
    """The boolean that somebody meant: `"False"`, `"0"`, 0, null and the like are false."""
    if not isinstance(value, str):
        return bool(value)
    read = number(value)
    return value.strip().lower() not in _FALSE_TEXTS if read is None else read != 0


def number(text: str) -> float | None:
    """The finite number that a text reads as."""
    if not _number_in(text):
        return None
    read = float(text)
    return read if math.isfinite(read) else None


def take_text(fields: Fields, key: str) -> str | None:
    """A text; anything else stays in `fields`."""
    sent = fields.get(key)
    if not isinstance(sent, str):
        return None
    del fields[key]
    return sent


def take_http(fields: Fields) -> tuple[str | None, str | None, int | None]:
    """`http_method`, `http_url`, `http_status`."""
    http = fields.get("http")
    if not isinstance(http, dict):
        return None, None, None
    request, response = http.get("request"), http.get("response")
    method = url = status = None
    if isinstance(request, dict):
        method, url = take_text(request, "method"), take_text(request, "url")
        if not request:
            del http["request"]
    if isinstance(response, dict):
        status = _take_status(response)
        if not response:
            del http["response"]
    if not http:
        del fields["http"]
    return method, url, status


def _take_status(response: Fields) -> int | None:
    """A status as an integer of 32 bits; one sent as text stays in `response` too."""
    sent = response.get("status")
    if type(sent) is int and -(2**31) < sent < 2**31:
        del response["status"]
        return sent
    read: Any = number(sent) if isinstance(sent, str) else sent
    if not isinstance(read, int | float) or isinstance(read, bool) or abs(read) >= 2**31 or read != int(read):
        return None
    if read is sent:
        del response["status"]
    return int(read)


def take_annotations(fields: Fields, note: Note) -> tuple[dict[str, float], dict[str, str], dict[str, bool]]:
    """`numbers`, `texts`, `booleans`; a text that reads as a finite number is in `numbers` too.

    Nulls stay in `fields`, lists and objects too, noted as `annotation_not_scalar`.
    """
    numbers: dict[str, float] = {}
    texts: dict[str, str] = {}
    booleans: dict[str, bool] = {}
    sent = fields.get("annotations")
    if not isinstance(sent, dict):
        if sent is not None:
            note("annotations_not_an_object")
        return numbers, texts, booleans

    others = {}
    for key, value in sent.items():
        kind = type(value)
        if kind is str:
            texts[key] = value
            if not value.isalpha() and _number_in(value) and math.isfinite(read := float(value)):
                numbers[key] = read
        elif kind is float or kind is int:
            numbers[key] = float(value)
        elif kind is bool:
            booleans[key] = value
        else:
            others[key] = value
            if value is not None:
                note("annotation_not_scalar")
    if others:
        fields["annotations"] = others
    else:
        del fields["annotations"]
    return numbers, texts, booleans


def take_subsegments(fields: Fields) -> list[Any]:
    """What is embedded, as sent: not all of it need be an object."""
    sent = fields.pop("subsegments", None) or []
    return sent if isinstance(sent, list) else [sent]


def drop_repeated(fields: Fields, trace_id: object, parent_id: str) -> None:
    """Take out of an embedded subsegment what its place says already; the X-Ray SDKs repeat it."""
    if fields.get("trace_id") == trace_id:
        del fields["trace_id"]
    if fields.get("parent_id") == parent_id:
        del fields["parent_id"]
    if fields.get("type") == "subsegment":
        del fields["type"]


def shown(value: object) -> str:
    """A value for a sentence: a text cut short, and only the type of a list or object, which may be endless."""
    if isinstance(value, str):
        return repr(value if len(value) <= 80 else f"{value[:79]}…")
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return "missing or null" if value is None else repr(value)[:80]
