"""JSON as traced programs write it: what a strict parser refuses a whole document for is mended and noted."""

import json
import math
import re
from collections.abc import Callable
from typing import Any

import orjson

from core.errors import MalformedSegment

__all__ = ["Note", "dumps", "loads", "strict", "strict_for"]

Note = Callable[[str], None]  # takes the short name under which an oddity is counted

# A pair of surrogate escapes; a lone one; any other escape, so that `\\ud800` is read as a backslash and five
# characters; a lone surrogate that stands there as a character.
_SURROGATE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.|([\ud800-\udfff])"
)
# What may stand before a number becomes a comma, each digit a zero; 2**64 has twenty of them.
_SHAPE = bytes.maketrans(b"123456789 \t\n\r:[", b"000000000,,,,,,")
_LONG_INTEGER, _LONG_NEGATIVE = b"," + b"0" * 20, b",-" + b"0" * 20


def loads(raw: bytes, note: Note) -> Any:
    """The value of a JSON text; of duplicate keys the last counts.

    Noted, once for each: `number_not_finite` (NaN, Infinity and numbers beyond any double are read as null),
    `lone_surrogate` and, once a text, `invalid_utf8` (what is no character is replaced by U+FFFD).
    Raises `MalformedSegment` (`not_json`, `too_deep`).
    """
    try:
        return strict(raw)
    except ValueError:  # for no JSON at all, or for one NaN, 1e400 or lone surrogate
        return _mended(_text(raw, note), note)


def strict(raw: bytes) -> Any:
    """The value of a JSON text that has nothing odd in it. Raises `ValueError` for any other."""
    if _has_long_integer(raw):
        raise ValueError("an integer beyond 64 bits")
    return orjson.loads(raw)


def strict_for(raw: bytes) -> Callable[[bytes], Any]:
    """What does as `strict` does for each part of `raw`, and looks for long integers in all of it at once."""
    return strict if _has_long_integer(raw) else orjson.loads


def dumps(value: Any) -> str:
    """JSON text without spaces. Raises `MalformedSegment` (`too_deep`)."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        pass  # for an integer beyond 64 bits, or for more than 254 levels
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        raise MalformedSegment("too_deep", "The document is nested deeper than JSON can be written.") from None


def _has_long_integer(raw: bytes) -> bool:
    """Whether there may be an integer beyond 64 bits, of which orjson would make a double."""
    shape = b"," + raw.translate(_SHAPE)  # 2 µs a segment; the pattern [0-9]{20} takes 18
    return _LONG_INTEGER in shape or _LONG_NEGATIVE in shape


def _text(raw: bytes, note: Note) -> str:
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        note("invalid_utf8")
        return raw.decode("utf-8", "replace")


def _mended(text: str, note: Note) -> Any:
    def character(found: re.Match[str]) -> str:
        if found[1] is None and found[2] is None:
            return found[0]
        note("lone_surrogate")
        return "\ufffd"

    def finite(digits: str) -> float | None:
        number = float(digits)
        if math.isfinite(number):
            return number
        note("number_not_finite")
        return None

    def integer(digits: str) -> int | None:
        return None if finite(digits) is None else int(digits)

    text = _SURROGATE.sub(character, text)
    try:
        return json.loads(text, parse_float=finite, parse_int=integer, parse_constant=finite)
    except RecursionError:
        raise MalformedSegment("too_deep", "The document is nested deeper than JSON can be read.") from None
    except ValueError as error:
        raise MalformedSegment("not_json", f"The document is no JSON: {error}.") from None
