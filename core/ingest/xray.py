"""One reading of X-Ray into the store: slices of time, several calls in flight, traces in full where they must be."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from core import activity, ledger
from core.errors import MalformedSegment, SourceUnavailable, TracecastError
from core.ingest.xray_client import BATCH, MOST_CALLS, Flow, Trace, XRay
from core.ingest.xray_errors import Throttled, TokenRefused
from core.ingest.xray_sorting import OpenSlice, Sorter, Wanted
from core.ingest.xray_summaries import SUMMARY
from core.ledger import SETTLING, Slice, Stretch
from core.settings import Settings
from core.spans import Span, parse
from core.store import Store

__all__ = ["Progress", "Reading", "unfinished_traces"]

_COMMIT = 2000  # spans
_TRIES = 5  # of a trace that comes back unprocessed, and of a slice whose token is refused
_THROTTLED_IN_A_ROW = 10
_PAUSE_S = 0.25
# A trace's documents may have been put together of several that were sent, up to 500 KB.
# https://docs.aws.amazon.com/general/latest/gr/xray.html
_MAX_DOCUMENT_BYTES = 1 << 20
_IN_PROGRESS = timedelta(hours=6)  # a span that has not ended after so long is not asked for any more
_MOST_IN_PROGRESS = 100
_LONGEST = timedelta(hours=1)  # spans of a trace begin so long after it, at most
_XRAY_ID = "'1-' || left(trace_id, 8) || '-' || substr(trace_id, 9)"

_log = logging.getLogger(__name__)


class Progress(NamedTuple):
    """How far a reading is."""

    slices_done: int
    slices_total: int
    traces: int  # found so far
    calls: int
    billed: int  # traces that were scanned, or read in full


@dataclass(eq=False)
class _Slice(OpenSlice):
    """A slice that is being read."""

    start: datetime = datetime.min
    end: datetime = datetime.min
    token: str | None = None
    asked_at: datetime | None = None
    scanned: int = 0
    refusals: int = 0


class Reading:
    """Reads `stretches` of one region, each to its end, and remembers in the ledger which were.

    `stopping` is asked between calls, `tell` hears how far it is; both may be called from any of its threads. When
    `most_per_day` traces were scanned or read on this day (UTC), by whichever reading, the rest stays lacking, and
    `limited` says so.
    `again`: ids (in X-Ray's form) of traces to be read in full whatever their summaries say.
    """

    def __init__(
        self,
        region: str,
        settings: Settings,
        store: Store,
        stretches: Sequence[Stretch],
        *,
        most_per_day: int,
        stopping: Callable[[], bool],
        tell: Callable[[Progress], None],
        again: Sequence[str] = (),
    ) -> None:
        self.limited = False
        self._source = f"aws:{region}"
        self._settings = settings
        self._store = store
        self._most_per_day = most_per_day
        self._spent = sum(ledger.billed(store, _now().date()).values())  # as of the last commit
        self._stopping = stopping
        self._tell = tell
        self._flow = Flow()
        self._xray = XRay(region, settings, self._flow)
        self._sorter = Sorter(self._source)
        self._changed = threading.Condition()  # guards all that follows
        self._waiting = deque(_Slice(start=start, end=end) for start, end in stretches)
        self._pages: deque[_Slice] = deque()  # whose next page can be asked for
        self._paging = 0  # slices that have more pages
        self._active = 0  # calls in flight
        self._spans: list[Span] = []
        self._documents = 0  # that these spans came from
        self._paged: list[_Slice] = []  # all pages are here, not all traces
        self._complete: list[_Slice] = []
        self._slices_total, self._slices_done = len(stretches), 0
        self._traces = self._billed = self._unbilled = 0
        self._throttled_in_a_row = 0
        self._failure: TracecastError | None = None
        self._storing = threading.Lock()
        for trace_id in again:
            wanted = Wanted(trace_id)
            wanted.slice.open += 1
            self._sorter.wanted.append(wanted)

    def run(self) -> None:
        """Return when all is read, or `stopping`, or the allowance is used up; what came by then is stored.

        Raises `SourceUnavailable` or `StoreError`, also with what came by then stored.
        """
        with ThreadPoolExecutor(MOST_CALLS, thread_name_prefix=self._source) as threads:
            for _ in range(MOST_CALLS):
                threads.submit(self._work)
        if not isinstance(self._failure, SourceUnavailable | None):
            raise self._failure
        self._commit()
        if self._failure:
            raise self._failure

    def _work(self) -> None:
        """One thread: a call after the other, as long as there is something to ask."""
        while work := self._next():
            try:
                if isinstance(work, _Slice):
                    self._read_page(work)
                else:
                    self._read_traces(work)
                if len(self._spans) >= _COMMIT or self._complete:
                    self._commit()
            except TracecastError as error:
                self._fail(error)
            except Exception:  # the thread's edge: the pull is shown as failed, and the log says of what
                _log.exception("Reading %s failed.", self._source)
                self._fail(SourceUnavailable("Reading X-Ray failed inside Tracecast; the log says where."))
            with self._changed:
                self._active -= 1
                # Told before the lock is released: what is told later is never behind what was told before.
                self._tell(
                    Progress(self._slices_done, self._slices_total, self._traces, self._flow.calls, self._billed)
                )
                self._changed.notify_all()

    def _fail(self, error: TracecastError) -> None:
        with self._changed:
            self._failure = self._failure or error

    def _next(self) -> "_Slice | list[Wanted] | None":
        """What to ask next, as soon as one more call may be in flight; None when there is nothing more to do."""
        with self._changed:
            while not (self._failure or self._stopping() or self._limit_reached()):
                work = self._choose() if self._active < self._flow.limit else None
                if work:
                    self._active += 1
                    return work
                if not self._active:
                    return None
                self._changed.wait(0.5)  # `stopping` wakes nobody
        return None

    def _choose(self) -> "_Slice | list[Wanted] | None":
        """Traces before pages, so that little waits for them; fewer than fill a call only when no more may come."""
        more_may_come = self._paging or self._waiting
        wanted = len(self._sorter.wanted)
        if wanted >= BATCH or (wanted and (self._sorter.urgent or not more_may_come)):
            return self._sorter.take(BATCH)
        if self._pages:
            return self._pages.popleft()
        if self._waiting and self._paging < MOST_CALLS:
            self._paging += 1
            return self._waiting.popleft()
        return None

    def _limit_reached(self) -> bool:
        self.limited = self.limited or self._spent + self._unbilled >= self._most_per_day
        return self.limited

    def _read_page(self, asked: _Slice) -> None:
        if asked.asked_at is None:
            asked.asked_at = _now()
            asked.whole = self._stored_whole(asked)
        try:
            page = self._xray.summaries(asked.start, asked.end, asked.token)
        except (Throttled, TokenRefused) as error:
            asked.refusals += isinstance(error, TokenRefused)
            self._bear(error, too_often=asked.refusals >= _TRIES)
            with self._changed:
                if isinstance(error, TokenRefused):
                    asked.token = None
                self._pages.append(asked)
            return
        with self._changed:
            self._throttled_in_a_row = 0
            known = len(asked.found)
            for summary in page.summaries:
                try:
                    self._sorter.sort(summary, asked)
                except MalformedSegment as refusal:
                    activity.refuse(self._source, refusal.reason, message=str(refusal))
            self._traces += len(asked.found) - known
            asked.scanned += page.scanned
            self._count_billed(page.scanned)
            asked.token = page.token
            if page.token:
                self._pages.append(asked)
            else:
                self._paging -= 1
                self._paged.append(asked)
            self._take_settled()

    def _read_traces(self, asked: list[Wanted]) -> None:
        try:
            traces, unprocessed = self._xray.traces([wanted.trace_id for wanted in asked])
        except (Throttled, TokenRefused) as error:
            self._bear(error, too_often=max(wanted.tries for wanted in asked) >= _TRIES)
            with self._changed:
                for wanted in asked:
                    self._sorter.put_back(wanted)
            return
        found = {trace.id: (trace, self._parsed(trace)) for trace in traces}
        with self._changed:
            self._throttled_in_a_row = 0
            self._count_billed(len(found))
            for wanted in asked:
                if wanted.trace_id in found:
                    trace, spans = found[wanted.trace_id]
                    self._sorter.was_read(wanted, spans, cut=trace.cut)
                    self._spans += spans
                    self._documents += len(trace.documents)
                elif wanted.trace_id in unprocessed and wanted.tries < _TRIES:
                    self._sorter.put_back(wanted)
                elif not self._sorter.can_not_be_read(wanted):
                    activity.drop(self._source, "trace_not_found")
            self._take_settled()
        if not found and unprocessed:
            time.sleep(_PAUSE_S)

    def _bear(self, error: Throttled | TokenRefused, *, too_often: bool) -> None:
        """Wait a little after a failure that may pass; raise it when it happens too often."""
        with self._changed:
            self._throttled_in_a_row += isinstance(error, Throttled)
            if too_often or self._throttled_in_a_row >= _THROTTLED_IN_A_ROW:
                raise error
        time.sleep(_PAUSE_S)

    def _stored_whole(self, asked: _Slice) -> set[str]:
        """Ids (in X-Ray's form) of the traces of a slice that an earlier reading stored in full."""
        found = self._store.query(
            f"SELECT DISTINCT {_XRAY_ID} AS id FROM spans "  # noqa: S608 (our own columns)
            "WHERE source = ? AND span_id <> ? AND started_at >= ? AND started_at < ?",
            [self._source, SUMMARY, asked.start, asked.end + _LONGEST],
        )
        return set(found["id"])

    def _parsed(self, trace: Trace) -> list[Span]:
        """The spans of a trace; what can't be used of it is counted."""
        now = _now()
        spans: list[Span] = []
        altered: list[str] = []
        for document in trace.documents:
            try:
                spans += parse(document, self._source, now, altered.append, max_bytes=_MAX_DOCUMENT_BYTES)
            except MalformedSegment as refusal:
                activity.refuse(self._source, refusal.reason, message=str(refusal))
        for reason in altered:
            activity.alter(self._source, reason)
        if trace.cut:
            activity.alter(self._source, "trace_limit_exceeded")
        return spans

    def _take_settled(self) -> None:
        """The spans that summaries told, and then the slices of which nothing is missing any more."""
        self._spans += self._sorter.told
        self._documents += len(self._sorter.told)
        self._sorter.told.clear()
        self._complete += [done for done in self._paged if not done.open]
        self._paged = [more for more in self._paged if more.open]

    def _count_billed(self, traces: int) -> None:
        self._billed += traces
        self._unbilled += traces

    def _commit(self) -> None:
        """Store what came so far, and then remember the slices of which nothing is missing."""
        with self._storing:
            with self._changed:
                spans, self._spans = self._spans, []
                complete, self._complete = self._complete, []
                documents, self._documents = self._documents, 0
                unbilled, self._unbilled = self._unbilled, 0
            today = _now().date()
            if unbilled:
                ledger.bill(self._store, self._source, today, unbilled)
            spent = sum(ledger.billed(self._store, today).values())
            self._store.append(spans)
            for done in complete:
                self._remember(done)
            activity.count(self._source, "received", documents)
            activity.count(self._source, "stored", documents)
            with self._changed:
                self._slices_done += len(complete)
                self._spent = spent

    def _remember(self, done: _Slice) -> None:
        """Up to where its traces had settled when they were asked for: the rest is to be read once more."""
        settled = min(done.end, ((done.asked_at or done.end) - SETTLING).replace(microsecond=0))
        if settled <= done.start:
            return
        share = (settled - done.start) / (done.end - done.start)
        traces, scanned, read = (round(share * count) for count in (len(done.found), done.scanned, done.read))
        expression = self._settings.xray_filter or ""
        ledger.finish(self._store, Slice(self._source, expression, done.start, settled, traces, scanned, read))


def unfinished_traces(store: Store, source: str, now: datetime) -> list[str]:
    """Ids (in X-Ray's form) of the stored traces with a span in progress that may have ended since."""
    found = store.query(
        f"SELECT {_XRAY_ID} AS id FROM spans WHERE source = ? AND in_progress AND started_at > ? "  # noqa: S608 (as above)
        "GROUP BY trace_id ORDER BY max(started_at) DESC LIMIT ?",
        [source, now - _IN_PROGRESS, _MOST_IN_PROGRESS],
    )
    ids: list[str] = found["id"].to_list()
    return ids


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
