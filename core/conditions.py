"""Conditions on traces, as the parameter `where` holds them: `flag=high,processing_time_ms>150,name~GET`."""

import re
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["COMPARISONS", "STATUSES", "Condition", "parse", "written"]

COMPARISONS = ("=", "!=", ">", ">=", "<", "<=", "~")
STATUSES = ("ok", "failed", "error", "fault", "throttle")

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_CONDITION = re.compile(
    rf'\s*({_QUOTED}|[^\s"=!<>~,][^"=!<>~,]*?)\s*(!=|>=|<=|=|>|<|~)\s*({_QUOTED}|[^",]*?)\s*(?:,|$)'
)


class Condition(NamedTuple):
    """`key` is `name`, `service`, `status`, `duration_ms`, `http_status` or an annotation; `~` means contains."""

    key: str
    comparison: str
    value: str


def parse(text: str) -> tuple[Condition, ...]:
    """The conditions that `text` joins by commas; what holds one, or begins with a quote, stands in double quotes.

    Raises `ValueError` where that can't be read, for a status that is none, and for `<` or `>` and no number.
    """
    found: list[Condition] = []
    place = 0
    while place < len(text):
        match = _CONDITION.match(text, place)
        if match is None:
            raise ValueError(text)
        found.append(_checked(Condition(_plain(match[1]), match[2], _plain(match[3]))))
        place = match.end()
    return tuple(found)


def written(conditions: Iterable[Condition]) -> str:
    """`conditions` as `parse` reads them."""
    return ",".join(f"{_quoted(one.key)}{one.comparison}{_quoted(one.value)}" for one in conditions)


def _checked(condition: Condition) -> Condition:
    key, comparison, value = condition
    if key == "status" and (comparison not in ("=", "!=") or value not in STATUSES):
        raise ValueError(value)
    if comparison[0] in "<>" or (key in ("duration_ms", "http_status") and comparison != "~"):
        float(value)
    return condition


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


def _quoted(text: str) -> str:
    if text and not re.search(r'[\s"=!<>~,\\]', text):
        return text
    escaped = re.sub(r'(["\\])', r"\\\1", text)
    return f'"{escaped}"'
