"""What is going on: counters by reason, component states, last errors, imports, requests to the service. Memory only.

What comes in is counted in segment documents, what OpenTelemetry sends and what files hold in spans, so that
received = stored + duplicates + refused + what is still on its way. A body that can't be read is one refusal.
Beside the totals since the process started stand those of each hour, by when it came; the service moves them into the
store from time to time.
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
    "forget",
    "hours",
    "refuse",
    "report",
    "report_import",
    "reset",
    "sampled",
    "settle",
    "snapshot",
    "take_imports",
    "take_removals",
]

_lock = threading.Lock()
_counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
_refused: defaultdict[str, Counter[str]] = defaultdict(Counter)
_altered: defaultdict[str, Counter[str]] = defaultdict(Counter)
_dropped: defaultdict[str, Counter[str]] = defaultdict(Counter)
_hours: defaultdict[tuple[str, datetime], Counter[str]] = defaultdict(Counter)
_rules: dict[tuple[str, datetime], tuple[str, float]] = {}
_messages: dict[str, dict[str, str]] = defaultdict(dict)
_components: defaultdict[str, dict[str, Any]] = defaultdict(dict)
_removals: list[str] = []
_files: list[tuple[str, BinaryIO]] = []
_imports: dict[str, dict[str, Any]] = {}
_IMPORTS_KEPT = 20
_CUT_SHORT = "trace_limit_exceeded"  # X-Ray has kept only a part of a trace


def count(source: str, outcome: str, n: int = 1) -> None:
    """Add `n` documents (or spans) of `source` to `outcome`: `received`, `stored` or `duplicate`."""
    with _lock:
        _counts[source][outcome] += n
        _hours[source, _hour()][outcome] += n


def refuse(source: str, reason: str, n: int = 1, message: str | None = None) -> None:
    """Count `n` documents of `source` that were refused; the last `message` of each reason is kept to be shown."""
    with _lock:
        _refused[source][reason] += n
        _hours[source, _hour()]["refused"] += n
        if message:
            _messages[source][reason] = message


def alter(source: str, reason: str, n: int = 1) -> None:
    """Count `n` values that were left out or mended while their document was kept."""
    with _lock:
        _altered[source][reason] += n
        if reason == _CUT_SHORT:
            _hours[source, _hour()]["cut_short"] += n


def drop(source: str, reason: str, n: int = 1) -> None:
    """Count `n` packets of `source` that were lost before they could be read (kernel buffer, our own queue)."""
    with _lock:
        _dropped[source][reason] += n
        _hours[source, _hour()]["dropped"] += n


def sampled(source: str, rule: str, rate: float, requests: int = 0, traced: int = 0) -> None:
    """Count `requests` of which senders say that they traced so many, by a sampling rule of that rate (0 to 1)."""
    with _lock:
        key = source, _hour()
        for counts in (_counts[source], _hours[key]):
            counts.update(requests=requests, traced=traced)
        _rules[key] = rule, rate


def hours() -> dict[tuple[str, datetime], dict[str, Any]]:
    """What is counted and not settled yet, by source and UTC hour of arrival (naive): `received`, `stored`,
    `duplicate`, `refused`, `dropped`, `cut_short` (traces), `requests` and `traced` as far as they were counted, and
    the last `rule` and `rate` by which was sampled.
    """
    with _lock:
        found: dict[tuple[str, datetime], dict[str, Any]] = {key: dict(counts) for key, counts in _hours.items()}
        for key, (rule, rate) in _rules.items():
            found[key] |= {"rule": rule, "rate": rate}
    return found


def settle(kept: dict[tuple[str, datetime], dict[str, Any]]) -> None:
    """Take off what was `kept` elsewhere, of an answer of `hours`."""
    with _lock:
        for key, counts in kept.items():
            left = Counter({name: n - counts.get(name, 0) for name, n in _hours.pop(key, Counter()).items()})
            if any(left.values()):
                _hours[key] = left
            else:
                _rules.pop(key, None)


def forget(source: str) -> None:
    """Forget what is not settled of `source`, which is being removed."""
    with _lock:
        for key in [key for key in _hours if key[0] == source]:
            del _hours[key]
            _rules.pop(key, None)


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
        for table in (_counts, _refused, _altered, _dropped, _hours, _rules, _messages, _components, _imports):
            table.clear()
        _files.clear()
        _removals.clear()


def _hour() -> datetime:
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0, tzinfo=None)
