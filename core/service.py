"""The process's own work: it opens the store, then starts and stops the collector, pipeline, workers and upkeep."""

import contextlib
import gc
import logging
import threading
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd

from core import activity, pulls, queries, settings, store, tallies, workers
from core.analysis import forecast
from core.errors import TracecastError
from core.ingest import files
from core.ingest.bitcoin import Pipeline
from core.ingest.collector import Collector
from core.ingest.sample import Sample
from core.ingest.xray_pulls import Puller
from core.question import Question

__all__ = ["keep_counts", "lifespan", "prepare"]

_KEEP_S = 60  # so much of the counts is lost when the process is killed

_log = logging.getLogger(__name__)


def prepare() -> None:
    """Read the settings and open the store; once per process.

    Raises `SettingError`, `StoreInUse` or `StoreError`, each a sentence that says what to do.
    """
    told = settings.current()
    # Texts as Python's own: with Arrow's, to find a column of a small frame all its names are turned into Python first.
    pd.set_option("mode.string_storage", "python")
    logging.basicConfig(level=told.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if not store.is_open():
        store.use(store.Store(told.home / "tracecast.duckdb"))


@contextlib.asynccontextmanager
async def lifespan(_app: Any) -> AsyncIterator[None]:
    """Everything that runs beside the visitors. The doors open first: nothing that is traced may find them shut."""
    told, stored = settings.current(), store.current()
    collector = Collector(told, stored)
    collector.start()
    # Without our own collector the address may be somebody else's: nothing is sent there.
    pipeline = Pipeline(told, stored, collector.address) if told.pipeline and collector.address else None
    if pipeline:
        pipeline.start()
    puller = Puller(told, stored) if told.aws_regions else None
    if puller:
        puller.start()
    stopping = threading.Event()
    threads = [
        threading.Thread(target=_upkeep, args=(stored, told.retention_days, stopping), name="upkeep"),
        threading.Thread(target=_import_files, args=(stored, told.import_max_bytes, stopping), daemon=True),
        threading.Thread(target=_warm_up, args=(stopping,), name="warm-up", daemon=True),
    ]
    for thread in threads:
        thread.start()
    workers.start(forecast.warm)
    try:
        yield
    finally:
        stopping.set()
        workers.stop()
        if puller:
            puller.stop()
        if pipeline:
            pipeline.stop()
        collector.stop()
        threads[0].join()
        _attempt("counts", keep_counts, stored)
        stored.close()


def _upkeep(stored: store.Store, retention_days: int, stopping: threading.Event) -> None:
    """Once a second the removals that pages asked for; once a minute the counts, and the hours that finished; at each
    full hour the sample's next one, and retention.
    """
    sample = Sample(stored, _now())
    due, keep_due = datetime.min, _now() + timedelta(seconds=_KEEP_S)
    while not stopping.is_set():
        now = _now()
        for source in activity.take_removals():
            pulls.halt(source)  # else it would go on filling what is emptied here
            activity.forget(source)
            _attempt("removal", stored.remove, source)
        if now >= keep_due:
            keep_due = now + timedelta(seconds=_KEEP_S)
            _attempt("counts", keep_counts, stored)
            _attempt("hours", queries.keep_hours, now)
        if now >= due:
            due = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
            _attempt("sample", sample.refresh, now)
            if retention_days:
                _attempt("retention", stored.retain, retention_days, now)
        stopping.wait(1.0)


def keep_counts(stored: store.Store) -> None:
    """Move what was counted by the hour into the store; what can't be kept now is tried again."""
    counted = activity.hours()
    tallies.keep(stored, counted)
    activity.settle(counted)


def _import_files(stored: store.Store, max_bytes: int, stopping: threading.Event) -> None:
    """The files that were given to the Sources page, one after another."""
    while not stopping.wait(0.5):
        for name, file in activity.take_imports():
            _attempt("import", files.load, file, name, _now(), stored, max_bytes, workers.submit)


def _attempt(component: str, work: Callable[..., object], *args: object) -> None:
    try:
        work(*args)
    except TracecastError as error:
        _log.error("%s: %s", component, error)
        activity.fail(component, str(error))


def _warm_up(stopping: threading.Event) -> None:
    """Import Prophet and forecast what the first visitor sees, while nobody waits for it."""
    forecast.warm()
    first_view = Question(source=settings.current().source)
    while queries.metrics(first_view, _now()).empty and not stopping.wait(0.1):
        pass  # the sample is still being made; other sources may stay empty until the end

    def answer(ask: Callable[[Question, datetime], object]) -> None:
        try:
            ask(first_view, _now())
        except TracecastError:
            if not stopping.is_set():  # else its workers were ended in the middle of it, which is no fault
                raise

    _attempt("forecast", answer, queries.forecast)
    _attempt("forecast", answer, queries.anomalies)
    gc.freeze()  # what is here now stays: no collection needs to look through Prophet and pandas again


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
