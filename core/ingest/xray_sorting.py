"""Which traces of a reading are told by their summaries and which must be read in full, decided as they come in.

A trace whose summary can't tell is read. Of each other kind the first 20 are read; when the annotations of all sit on
one span, the summaries of that kind tell the rest, else the rest is read too.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from core.ingest.xray_summaries import Kind, Placement, Summary, kind, placement, span, unverified
from core.spans import Span, canonical_trace_id

__all__ = ["PROBES", "OpenSlice", "Sorter", "Wanted"]

PROBES = 20


@dataclass(eq=False)
class OpenSlice:
    """How many traces of a slice were found, and how many of them are not settled yet: held, or still to be read."""

    found: set[str] = field(default_factory=set)
    whole: set[str] = field(default_factory=set)  # stored in full: a summary does not bring them up to date
    open: int = 0
    read: int = 0  # in full


@dataclass(eq=False)
class Wanted:
    """A trace that may have to be read in full; one that is read again for its own sake has nothing but its id."""

    trace_id: str
    slice: OpenSlice = field(default_factory=OpenSlice)
    summary: Summary = field(default_factory=dict)
    kind: Kind | None = None
    is_probe: bool = False
    tries: int = 0


@dataclass(eq=False)
class _Sample:
    """What is known of a kind of traces."""

    asked: int = 0
    answered: int = 0
    seen: list[Placement | None] = field(default_factory=list)
    held: list[Wanted] = field(default_factory=list)
    settled: bool = False
    placement: Placement | None = None  # None, once settled: summaries don't tell


class Sorter:
    """Takes summaries and traces read in full, in any order, and says what becomes of them.

    `told`: spans made of summaries, for the caller to take. `wanted`: traces for the caller to read; `urgent` when
    others wait for what they will show. Used by one thread at a time.
    """

    def __init__(self, source: str) -> None:
        self.told: list[Span] = []
        self.wanted: deque[Wanted] = deque()
        self.urgent = False
        self._source = source
        self._samples: dict[Kind, _Sample] = {}

    def sort(self, summary: Summary, of: OpenSlice) -> None:
        """A summary was found; one that comes twice counts once. Raises `MalformedSegment` for a bad trace id."""
        trace_id = summary["Id"]
        canonical_trace_id(trace_id)
        if trace_id in of.found:
            return
        of.found.add(trace_id)
        wanted = Wanted(trace_id, of, summary, None if trace_id in of.whole else kind(summary))
        if wanted.kind is None:
            self._read(wanted)
            return
        sample = self._samples.setdefault(wanted.kind, _Sample())
        if sample.settled:
            self._settle(wanted, sample)
        elif sample.asked < PROBES:
            sample.asked += 1
            wanted.is_probe = True
            self._read(wanted)
        else:
            sample.held.append(wanted)
            of.open += 1
            self.urgent = True

    def take(self, most: int) -> list[Wanted]:
        """The traces to be read next, in one call."""
        taken = [self.wanted.popleft() for _ in range(min(most, len(self.wanted)))]
        self.urgent = self.urgent and bool(self.wanted)
        return taken

    def put_back(self, wanted: Wanted) -> None:
        """It was not read: to be tried again, after the others."""
        wanted.tries += 1
        self.wanted.append(wanted)
        self.urgent = self.urgent or wanted.is_probe

    def was_read(self, wanted: Wanted, spans: Sequence[Span], *, cut: bool) -> None:
        """A trace was read in full; one that is `cut` shows nothing about its kind."""
        wanted.slice.open -= 1
        wanted.slice.read += 1
        if wanted.is_probe and wanted.kind is not None:
            sample = self._samples[wanted.kind]
            if not cut:
                sample.seen.append(placement(wanted.summary, wanted.kind, spans))
            self._answered(wanted.kind, sample)

    def can_not_be_read(self, wanted: Wanted) -> bool:
        """X-Ray does not have the trace; whether its summary tells enough to stand for it."""
        wanted.slice.open -= 1
        if wanted.kind is None:
            return False
        sample = self._samples[wanted.kind]
        at = sample.placement if sample.settled else unverified(wanted.kind)
        told = span(wanted.summary, wanted.kind, at, self._source) if at else None
        if told:
            self.told.append(told)
        if wanted.is_probe:
            self._answered(wanted.kind, sample)
        return told is not None

    def _read(self, wanted: Wanted) -> None:
        wanted.slice.open += 1
        self.wanted.append(wanted)

    def _settle(self, wanted: Wanted, sample: _Sample) -> None:
        at = sample.placement
        told = span(wanted.summary, wanted.kind, at, self._source) if at and wanted.kind else None
        if told:
            self.told.append(told)
        else:
            self._read(wanted)

    def _answered(self, of: Kind, sample: _Sample) -> None:
        """One more probe is settled; when it was the last, or one that decides, so are all that were held."""
        sample.answered += 1
        if sample.settled or (None not in sample.seen and sample.answered < PROBES):
            return
        sample.settled, sample.placement = True, _common(sample.seen) if sample.seen else unverified(of)
        held, sample.held = sample.held, []
        for wanted in held:
            wanted.slice.open -= 1
            self._settle(wanted, sample)


def _common(seen: Sequence[Placement | None]) -> Placement | None:
    """The one placement that all have, but perhaps for the name."""
    first = seen[0]
    if first is None or any(one is None or one[:2] != first[:2] for one in seen):
        return None
    return first if all(one == first for one in seen) else first._replace(name=None)
