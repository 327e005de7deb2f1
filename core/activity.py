"""What is going on: counters by reason, component states, last errors, imports, requests to the service. Memory only.

What comes in is counted in segment documents, what OpenTelemetry sends and what files hold in spans, so that
received = stored + duplicates + refused + what is still on its way. A body that can't be read is one refusal.
"""

import threading
from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import Any, BinaryIO

__all__ = [
    "alter",
    "ask_import",
    "ask_removal",
    "count",
    "drop",
    "fail",
    "refuse",
    "report",
    "report_import",
    "reset",
    "snapshot",
    "take_imports",
    "take_removals",
]

_lock = threading.Lock()
_counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
_refused: defaultdict[str, Counter[str]] = defaultdict(Counter)
_altered: defaultdict[str, Counter[str]] = defaultdict(Counter)
_dropped: defaultdict[str, Counter[str]] = defaultdict(Counter)
_messages: dict[str, dict[str, str]] = defaultdict(dict)
_components: defaultdict[str, dict[str, Any]] = defaultdict(dict)
_removals: list[str] = []
_files: list[tuple[str, BinaryIO]] = []
_imports: dict[str, dict[str, Any]] = {}
_IMPORTS_KEPT = 20


def count(source: str, outcome: str, n: int = 1) -> None:
    """Add `n` documents (or spans) of `source` to `outcome`: `received`, `stored` or `duplicate`."""
    with _lock:
        _counts[source][outcome] += n


def refuse(source: str, reason: str, n: int = 1, message: str | None = None) -> None:
    """Count `n` documents of `source` that were refused; the last `message` of each reason is kept to be shown."""
    with _lock:
        _refused[source][reason] += n
        if message:
            _messages[source][reason] = message


def alter(source: str, reason: str, n: int = 1) -> None:
    """Count `n` values that were left out or mended while their document was kept."""
    with _lock:
        _altered[source][reason] += n


def drop(source: str, reason: str, n: int = 1) -> None:
    """Count `n` packets of `source` that were lost before they could be read (kernel buffer, our own queue)."""
    with _lock:
        _dropped[source][reason] += n


def report(component: str, **facts: Any) -> None:
    """Merge `facts` into the shown state of `component` (`collector`, `pipeline`, `sample`)."""
    with _lock:
        _components[component].update(facts)


def fail(component: str, sentence: str) -> None:
    """Remember the last error of `component`, with its time."""
    report(component, last_error=sentence, last_error_at=datetime.now(UTC).replace(tzinfo=None))


def ask_removal(source: str) -> None:
    """Ask the service to remove `source` from the store."""
    with _lock:
        if source not in _removals:
            _removals.append(source)


def take_removals() -> list[str]:
    """The sources whose removal was asked for since the last call, oldest first."""
    with _lock:
        asked = list(_removals)
        _removals.clear()
    return asked


def report_import(**facts: Any) -> None:
    """Set the shown state of one import, by its `id`; the last 20 are kept."""
    with _lock:
        _imports[facts["id"]] = facts
        for oldest in list(_imports)[:-_IMPORTS_KEPT]:
            del _imports[oldest]


def ask_import(name: str, file: BinaryIO) -> None:
    """Ask the service to import an open file as the source `file:<name>`."""
    with _lock:
        _files.append((name, file))


def take_imports() -> list[tuple[str, BinaryIO]]:
    """Names and files whose import was asked for since the last call, oldest first."""
    with _lock:
        asked = list(_files)
        _files.clear()
    return asked


def snapshot() -> dict[str, Any]:
    """A copy of everything: `counts`, `refused`, `altered`, `dropped`, `messages` by source, `components`, and
    `imports`, oldest first.
    """
    with _lock:
        return {
            "counts": {source: dict(counter) for source, counter in _counts.items()},
            "refused": {source: dict(counter) for source, counter in _refused.items()},
            "altered": {source: dict(counter) for source, counter in _altered.items()},
            "dropped": {source: dict(counter) for source, counter in _dropped.items()},
            "messages": {source: dict(messages) for source, messages in _messages.items()},
            "components": {name: dict(facts) for name, facts in _components.items()},
            "imports": list(_imports.values()),
        }


def reset() -> None:
    """Forget everything: each test starts from nothing."""
    with _lock:
        for table in (_counts, _refused, _altered, _dropped, _messages, _components, _imports):
            table.clear()
        _files.clear()
        _removals.clear()
