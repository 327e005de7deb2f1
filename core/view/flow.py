"""What became of all that was sent: totals, reasons, and the state of the doors it came by, in words."""

from collections.abc import Hashable
from datetime import datetime
from typing import Any

import pandas as pd

from core import queries
from core.view.cards import Card
from core.view.text import Terms, age, amount, count, per_cent, safe

__all__ = ["cards", "collector", "pipeline", "reasons", "stamp", "total"]

_OUTCOMES = {"refused": "refused", "dropped": "dropped", "altered": "kept, a value left out"}


def stamp(status: dict[str, Any] | None = None) -> Hashable:
    """Changes when anything changes that the page of sources shows."""
    seen = status or queries.status()
    return tuple(
        str(seen[name]) for name in ("counts", "refused", "dropped", "altered", "components", "imports")
    ), tuple(seen["sources"]["rows"])


def total(status: dict[str, Any], name: str, outcome: str | None = None) -> int:
    """Of all sources: the documents of an `outcome` in `counts`, or all that were `refused` or `dropped`."""
    per_source = status[name].values()
    if outcome is not None:
        return sum(counts.get(outcome, 0) for counts in per_source)
    return sum(sum(reasons.values()) for reasons in per_source)


def cards(status: dict[str, Any]) -> list[Card]:
    """Received, stored, refused, dropped since the process started: segment documents, from OTLP and files spans."""
    twice = total(status, "counts", "duplicate")
    altered = total(status, "altered")
    return [
        Card("Received", count(total(status, "counts", "received"))),
        Card("Stored", count(total(status, "counts", "stored")), f"{count(twice)} sent twice" if twice else ""),
        Card("Refused", count(total(status, "refused")), f"{count(altered, 'value')} left out" if altered else ""),
        Card("Dropped", count(total(status, "dropped"))),
    ]


def reasons(status: dict[str, Any], *, told: bool) -> pd.DataFrame:
    """`source, outcome, reason, n, message`: one row a reason; `message`, the last one, only to who may be `told`."""
    rows = [
        (source, words, reason, n, status["messages"].get(source, {}).get(reason) if told else None)
        for name, words in _OUTCOMES.items()
        for source, counts in status[name].items()
        for reason, n in counts.items()
    ]
    return pd.DataFrame(rows, columns=["source", "outcome", "reason", "n", "message"])


def collector(facts: dict[str, Any], terms: Terms, *, told: bool) -> list[str]:
    """What the collector says of itself, one line of Markdown each."""
    lines = [
        f"{_state(facts)}, {safe(str(facts.get('address', 'no address')))}, segments by UDP, sampling rules by TCP"
    ]
    if "buffer_bytes" in facts:
        lines.append(f"Socket buffer {amount(facts['buffer_bytes'], 'bytes')}")
    if "sampling_rate" in facts:
        lines.append(f"SDKs are told to trace {per_cent(facts['sampling_rate'])} of requests")
    if "sdk_polled_at" in facts:
        lines.append(f"One asked for its sampling rules {age(facts['sdk_polled_at'], terms)}")
    return lines + _last_error(facts, terms, told=told)


def pipeline(facts: dict[str, Any], terms: Terms, *, told: bool) -> list[str]:
    """What the price pipeline says of itself, one line of Markdown each."""
    lines = [_state(facts)]
    if facts.get("last_price") is not None:
        lines.append(f"Last price {amount(facts['last_price'], 'USD')}, {age(facts['last_at'], terms)}")
    return lines + _last_error(facts, terms, told=told)


def _state(facts: dict[str, Any]) -> str:
    return f"**{safe(str(facts.get('state', 'off')).capitalize())}**"


def _last_error(facts: dict[str, Any], terms: Terms, *, told: bool) -> list[str]:
    at: datetime | None = facts.get("last_error_at")
    if at is None:
        return []
    what = f": {safe(facts['last_error'])}" if told else ""
    return [f":violet[Last error {age(at, terms)}]{what}"]
