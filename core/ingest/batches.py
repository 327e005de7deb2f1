"""Spans on their way into the store, batch by batch, with what was refused and what was noted on the way.

To read a batch takes several times as long as to store it. So the processes of the pool read where there is much, and
this one stores; who knows them passes `workers.submit`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa

from core.errors import MalformedSegment, StoreError, WorkerLost
from core.merge import Spans
from core.schema import rows
from core.spans import Span

__all__ = ["PATIENCE", "Batch", "Refusal", "Submit", "batches", "outcome"]

T = TypeVar("T")

Submit = Callable[..., Future[Any]]
PATIENCE = 1  # among the calls of the pool: what a visitor waits for comes first
_BEGUN_S, _DONE_S = 0.02, 1.0  # undisturbed, a process takes 0.1 s for a MiB


class Refusal(NamedTuple):
    """What was refused, why, and where it stood."""

    reason: str
    message: str
    line: int  # of a file


class Batch(NamedTuple):
    """What was read."""

    spans: Spans
    refused: list[Refusal]
    noted: dict[str, int]  # by reason: values that were left out or mended while their document was kept

    def packed(self) -> "Batch":
        """With the spans as a table, which is sent to another process in a fiftieth of the time.

        Raises `StoreError` when one of them can't be stored.
        """
        try:
            return self._replace(spans=rows(self.spans))
        except (pa.ArrowException, OverflowError, UnicodeEncodeError) as error:
            raise StoreError(f"The store could not write: {error}") from error


def batches(found: Iterable[tuple[Span | MalformedSegment, int]], noted: Counter[str], size: int) -> Iterator[Batch]:
    """What was found, each with its line, in batches of at most `size`; `noted` is counted up by who finds it."""
    spans: list[Span] = []
    refused: list[Refusal] = []
    for one, line in found:
        if isinstance(one, Span):
            spans.append(one)
        else:
            refused.append(Refusal(one.reason, str(one), line))
        if len(spans) + len(refused) >= size:
            yield Batch(spans, refused, dict(noted))
            spans, refused = [], []
            noted.clear()
    if spans or refused or noted:
        yield Batch(spans, refused, dict(noted))


def outcome(future: Future[T], function: Callable[..., T], *arguments: Any) -> T:
    """What `function` returns, whose call a process was asked for as `future`.

    It is called here where no process begins with it, for all may be at something long, where one does not come to its
    end, for they stand back behind all else that runs on the machine, and where one was lost.
    """
    wait([future], _BEGUN_S)
    if not future.cancel():
        with suppress(TimeoutError, WorkerLost):
            return future.result(_DONE_S)
    return function(*arguments)
