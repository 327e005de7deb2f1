"""Pulls of AWS sources: asked for by pages and routes, worked off by the service, and how far they are. Memory only.

Also what else is asked of those who read AWS: an estimate of what a stretch holds, and which source is on screen.
"""

import threading
import time
import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

__all__ = [
    "ACTIVE",
    "Pull",
    "ask",
    "ask_estimate",
    "begin",
    "estimate_asked",
    "everything",
    "halt",
    "is_stopping",
    "latest",
    "queued",
    "reset",
    "see",
    "seen",
    "stop",
    "take_estimate",
    "update",
]

ACTIVE = ("queued", "running")
_KEPT = 50  # pulls, of those that came to their end


@dataclass(frozen=True)
class Pull:
    """One pull of `[start, end)` (naive UTC), and how far it is."""

    id: str
    source: str
    start: datetime
    end: datetime
    state: str = "queued"  # then running; at last done, stopped or failed
    slices_done: int = 0
    slices_total: int = 0
    traces: int = 0
    calls: int = 0
    cost_usd: float = 0.0
    error: str | None = None


_lock = threading.Lock()
_pulls: dict[str, Pull] = {}  # oldest first
_stopping: set[str] = set()
_estimates: dict[str, tuple[datetime, datetime]] = {}
_seen: dict[str, datetime] = {}


def ask(source: str, start: datetime, end: datetime, pull_id: str | None = None) -> Pull:
    """Ask the service to pull a stretch; one that was asked for and is not finished is not asked for twice."""
    with _lock:
        for pull in _pulls.values():
            if (pull.source, pull.start, pull.end) == (source, start, end) and pull.state in ACTIVE:
                return pull
        pull = Pull(pull_id or uuid.uuid4().hex[:12], source, start, end)
        _pulls[pull.id] = pull
        ended = [one.id for one in _pulls.values() if one.state not in ACTIVE]
        for old in ended[: max(0, len(ended) - _KEPT)]:
            del _pulls[old]
        return pull


def begin(source: str) -> Pull | None:
    """The pull of `source` that was asked for first, now running."""
    with _lock:
        for pull in _pulls.values():
            if pull.source == source and pull.state == "queued":
                _pulls[pull.id] = replace(pull, state="running")
                return _pulls[pull.id]
    return None


def update(pull_id: str, **facts: Any) -> None:
    """Change what is known of a pull."""
    with _lock:
        _pulls[pull_id] = replace(_pulls[pull_id], **facts)
        if _pulls[pull_id].state not in ACTIVE:
            _stopping.discard(pull_id)


def stop(pull_id: str) -> Pull | None:
    """Ask for a pull to be stopped: at once while it waits, after the calls in flight while it runs. None: unknown."""
    with _lock:
        pull = _pulls.get(pull_id)
        if pull is None:
            return None
        if pull.state == "queued":
            _pulls[pull_id] = replace(pull, state="stopped")
        elif pull.state == "running":
            _stopping.add(pull_id)
        return _pulls[pull_id]


def halt(source: str, timeout_s: float = 10.0) -> None:
    """Stop all pulls of `source`, and wait until they have."""
    until = time.monotonic() + timeout_s
    for pull in everything():
        if pull.source == source:
            stop(pull.id)
    while time.monotonic() < until and any(one.source == source and one.state in ACTIVE for one in everything()):
        time.sleep(0.02)


def is_stopping(pull_id: str) -> bool:
    """Whether the pull is to stop."""
    return pull_id in _stopping


def everything() -> list[Pull]:
    """All pulls of this process, the last asked for last."""
    with _lock:
        return list(_pulls.values())


def queued() -> list[Pull]:
    """The pulls that wait."""
    return [pull for pull in everything() if pull.state == "queued"]


def latest(source: str) -> Pull | None:
    """The pull of `source` that runs, else the one that waits, else the last that ended."""
    order = {"running": 2, "queued": 1}
    own = [pull for pull in everything() if pull.source == source]
    return max(reversed(own), key=lambda pull: order.get(pull.state, 0), default=None)


def ask_estimate(source: str, start: datetime, end: datetime) -> None:
    """Ask the service how many traces a stretch of `source` has, by a look at small parts of it."""
    with _lock:
        _estimates[source] = start, end


def estimate_asked(source: str) -> bool:
    """Whether an estimate is being made, or is about to be."""
    return source in _estimates


def take_estimate(source: str, *, done: bool = False) -> tuple[datetime, datetime] | None:
    """The stretch that is to be estimated; it counts as asked for until it is `done`."""
    with _lock:
        return _estimates.pop(source, None) if done else _estimates.get(source)


def see(source: str, now: datetime) -> None:
    """Somebody has `source` on screen."""
    _seen[source] = now


def seen(source: str) -> datetime | None:
    """When somebody last had `source` on screen, naive UTC."""
    return _seen.get(source)


def reset() -> None:
    """Forget everything: each test starts from nothing."""
    with _lock:
        for table in (_pulls, _stopping, _estimates, _seen):
            table.clear()
