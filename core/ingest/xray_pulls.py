"""What is asked of AWS, worked off region by region: pulls, estimates, and the newest minutes read again."""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from core import activity, ledger, pulls
from core.errors import TracecastError
from core.ingest.xray import Progress, Reading, unfinished_traces
from core.ingest.xray_client import Flow, XRay
from core.ingest.xray_errors import Denied
from core.ingest.xray_estimate import density
from core.ledger import SETTLING, Stretch
from core.pulls import Pull
from core.settings import Settings
from core.store import Store

__all__ = ["Puller"]

_TICK_S = 0.25
_STOP_S = 3.0
_ON_SCREEN = timedelta(minutes=15)
_REFRESH = timedelta(minutes=5)
_JOINED = 2 * SETTLING  # what is read again begins where the last reading had settled, if that is not longer ago
_CHECK = timedelta(minutes=15)
_CHECK_AGAIN = timedelta(minutes=1)  # after one that failed

_log = logging.getLogger(__name__)


class Puller:
    """Works from `start` to `stop`: each allowed region does one thing at a time, beside the other regions.

    What it learns of a region is reported as the component named like the source: `indexed_share` (0 to 1, null without
    Transaction Search), `unknown` (why that is not known), `traces_per_hour`, `scanned_per_hour` (an estimate),
    `read_at` (the newest minutes), `last_error`.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._stopping = threading.Event()
        self._kept: set[str] = set()  # pulls that the ledger knows
        self._workers: dict[str, threading.Thread] = {}
        self._due: dict[tuple[str, str], datetime] = {}  # when a source may be refreshed or checked next
        self._thread = threading.Thread(target=self._run, name="pulls", daemon=True)

    def start(self) -> None:
        """Take up what an earlier process left unfinished, and wait for more."""
        for left in ledger.unfinished(self._store):
            pulls.ask(left.source, left.start, left.end, left.id)
            self._kept.add(left.id)
        self._thread.start()

    def stop(self) -> None:
        """Let the calls in flight end, and leave the rest for the next start."""
        self._stopping.set()
        self._thread.join()
        for worker in self._workers.values():
            worker.join(_STOP_S)
        self._attempt("pulls", self._keep)

    def _run(self) -> None:
        while not self._stopping.wait(_TICK_S):
            self._attempt("pulls", self._keep)
            for region in self._settings.aws_regions:
                source = f"aws:{region}"
                if source in self._workers and self._workers[source].is_alive():
                    continue
                work = self._work(region, source, _now())
                if work:
                    worker = threading.Thread(target=self._attempt, args=(source, work), name=source, daemon=True)
                    self._workers[source] = worker
                    worker.start()

    def _work(self, region: str, source: str, now: datetime) -> Callable[[], None] | None:
        """What `source` is to do next."""
        if pull := pulls.begin(source):
            return lambda: self._pull(region, pull)
        if wanted := pulls.take_estimate(source):
            return lambda: self._estimate(region, source, wanted)
        seen = pulls.seen(source)
        if seen is None or now - seen > _ON_SCREEN:
            return None
        if self._is_due("check", source, now, _CHECK_AGAIN):
            return lambda: self._check(region, source)
        if self._is_due("refresh", source, now, _REFRESH):
            return lambda: self._refresh(region, source)
        return None

    def _is_due(self, what: str, source: str, now: datetime, again: timedelta) -> bool:
        if now < self._due.get((what, source), now):
            return False
        self._due[what, source] = now + again
        return True

    def _keep(self) -> None:
        """Have the ledger know the pulls that are to go on after a restart, and no others."""
        active = {pull.id: pull for pull in pulls.everything() if pull.state in pulls.ACTIVE}
        for pull in active.values():
            region = pull.source.removeprefix("aws:")
            if region not in self._settings.aws_regions:
                refusal = f"The region {region} is not allowed here: add it to TRACECAST_AWS_REGION."
                pulls.update(pull.id, state="failed", error=refusal)
            elif pull.id not in self._kept:
                ledger.keep_pull(self._store, ledger.Unfinished(pull.id, pull.source, pull.start, pull.end))
                self._kept.add(pull.id)
        for ended in self._kept - active.keys():
            ledger.forget_pull(self._store, ended)
            self._kept.discard(ended)

    def _pull(self, region: str, pull: Pull) -> None:
        state, error = "failed", None
        try:
            state, error = self._read_pull(region, pull)
        except TracecastError as failure:
            error = str(failure)
            if self._stopping.is_set():
                return  # the store may be closed, and the next start goes on
            _log.error("%s: %s", pull.source, error)
        except Exception:  # the thread's edge: the pull is shown as failed, and the log says of what
            _log.exception("The pull of %s failed.", pull.source)
            error = "Pulling failed inside Tracecast; the log says where."
        if self._stopping.is_set() and state != "done":
            return
        pulls.update(pull.id, state=state, error=error)

    def _read_pull(self, region: str, pull: Pull) -> tuple[str, str | None]:
        """The state in which it ended, and why."""
        now = _now().replace(microsecond=0)
        start, end = max(pull.start, now - ledger.RETENTION), min(pull.end, now)
        slices = ledger.cut(self._lacking(pull.source, start, end))[::-1]  # the newest are of use first
        pulls.update(pull.id, slices_total=len(slices))
        self._attempt(pull.source, self._check, region, pull.source)

        def tell(progress: Progress) -> None:
            pulls.update(
                pull.id,
                slices_done=progress.slices_done,
                traces=progress.traces,
                calls=progress.calls,
                cost_usd=ledger.cost_usd(progress.billed),
            )

        def stopping() -> bool:
            return self._stopping.is_set() or pulls.is_stopping(pull.id)

        limited = self._read(region, slices, stopping, tell)
        if stopping():
            return "stopped", None
        if limited:
            most = f"{self._settings.pull_max_traces_per_day:,}"
            return "stopped", (
                f"Today's limit of {most} traces is reached: read the rest tomorrow (UTC), "
                "or raise TRACECAST_PULL_MAX_TRACES_PER_DAY."
            )
        return "done", None

    def _read(
        self, region: str, slices: list[Stretch], stopping: Callable[[], bool], tell: Callable[[Progress], None]
    ) -> bool:
        """Read `slices`; whether the day's limit ended it before they were all read."""
        last = Progress(0, len(slices), 0, 0, 0)

        def follow(progress: Progress) -> None:
            nonlocal last
            last = progress
            tell(progress)

        reading = Reading(
            region,
            self._settings,
            self._store,
            slices,
            most_per_day=self._settings.pull_max_traces_per_day,
            stopping=stopping,
            tell=follow,
            again=unfinished_traces(self._store, f"aws:{region}", _now()),
        )
        reading.run()
        return reading.limited and last.slices_done < last.slices_total

    def _refresh(self, region: str, source: str) -> None:
        """Read the newest minutes again: only of a source that somebody chose to pull."""
        now = _now().replace(microsecond=0)
        done = ledger.finished(self._store, source, self._settings.xray_filter or "")
        if not done:
            return
        settled = max(one.end for one in done)
        start = settled if now - settled <= _JOINED else now - SETTLING
        self._read(region, ledger.cut([(start, now)]), self._stopping.is_set, lambda _progress: None)
        activity.report(source, read_at=now, last_error=None)

    def _estimate(self, region: str, source: str, wanted: Stretch) -> None:
        try:
            start, end = max(wanted[0], _now() - ledger.RETENTION), min(wanted[1], _now())
            gaps = self._lacking(source, start, end)
            if gaps:
                found = density(XRay(region, self._settings, Flow()), gaps)
                ledger.bill(self._store, source, _now().date(), found.billed)
                activity.report(source, traces_per_hour=found.found, scanned_per_hour=found.scanned)
        finally:
            pulls.take_estimate(source, done=True)

    def _check(self, region: str, source: str) -> None:
        """Whether AWS can be read at all, and whether Transaction Search is on; costs nothing."""
        unknown = share = None
        try:
            share = XRay(region, self._settings, Flow()).indexed_share()
        except Denied as error:  # of what is good to know, but not needed
            unknown = str(error)
        activity.report(source, indexed_share=share, unknown=unknown, last_error=None)
        self._due["check", source] = _now() + _CHECK

    def _lacking(self, source: str, start: datetime, end: datetime) -> list[Stretch]:
        done = ledger.finished(self._store, source, self._settings.xray_filter or "")
        return ledger.lacking([(one.start, one.end) for one in done], start, end)

    def _attempt(self, source: str, work: Callable[..., None], *args: object) -> None:
        try:
            work(*args)
        except TracecastError as error:
            if not self._stopping.is_set():
                _log.error("%s: %s", source, error)
                activity.fail(source, str(error))
        except Exception:  # the thread goes on with other work; the last error is shown, and the log says of what
            _log.exception("Work for %s failed.", source)
            activity.fail(source, "Reading AWS failed inside Tracecast; the log says where.")


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
