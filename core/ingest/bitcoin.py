"""The built-in traced service: asks what a bitcoin costs, classifies, annotates and stores the price."""

import logging
import math
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from core import activity
from core.errors import SettingError, SourceUnavailable, TracecastError
from core.ingest import prices
from core.ingest.candles import Backfill
from core.settings import Settings
from core.store import Price, Store

__all__ = ["SERVICE", "Pipeline", "flag"]

SERVICE = "btc-pipeline"
MAX_BACK_OFF_S = 300.0
BACKFILL_PAUSE_S = 1.0  # Coinbase allows ten requests a second; history can wait
HISTORY = timedelta(days=30)  # what a price is classified against
MIN_HOURS = 24

# Hours, not rows: sixty live prices of an hour count as much as one candle.
_TRAILING = """
SELECT count(*) AS hours, quantile_cont(price_usd, [0.025, 0.25, 0.75, 0.975]) AS quantiles
FROM (SELECT avg(price_usd) AS price_usd FROM prices WHERE time >= ? AND time < ? GROUP BY date_trunc('hour', time))
"""

_log = logging.getLogger(__name__)


def flag(price_usd: float, quantiles: list[float]) -> str:
    """Where a price stands in its trailing history, of which `quantiles` are the 2.5, 25, 75 and 97.5 per cent ones.

    Outside the outer two it is `extreme`, below the inner two `low`, above them `high`, else `average`.
    """
    lowest, low, high, highest = quantiles
    if not lowest <= price_usd <= highest:
        return "extreme"
    if price_usd < low:
        return "low"
    return "high" if price_usd > high else "average"


@dataclass
class _Patience:
    """How somebody who failed is spared: the wait doubles with each failure in a row, up to a cap."""

    failures: int = 0
    ask_again_at: float = 0.0  # on the monotonic clock

    def failed(self, began: float, interval_s: float, retry_after_s: float) -> None:
        self.failures += 1
        back_off_s = min(interval_s * 2.0 ** min(self.failures - 1, 30), MAX_BACK_OFF_S)
        self.ask_again_at = began + max(back_off_s, retry_after_s)

    def answered(self) -> None:
        self.failures, self.ask_again_at = 0, 0.0


@dataclass
class _Run:
    """What one run knows so far; `received_bytes` counts the bodies of all answers, the useless ones too."""

    began: float
    received_bytes: int = 0
    exchange: str | None = None  # the API that answered
    quote: prices.Quote | None = None
    flag: str | None = None
    failure: TracecastError | None = None

    def annotations(self, now: datetime) -> dict[str, str | float | bool]:
        """The annotations of this run, as far as they are known: a price that nobody told is not made up.

        `processing_time_ms` is the time from the first question to the classified price.
        """
        known: dict[str, str | float | bool | None] = {
            "flag": self.flag,
            "price_usd": self.quote.price_usd if self.quote else None,
            "processing_time_ms": (time.perf_counter() - self.began) * 1000,
            "shard_id": self.exchange,
            "error": self.failure is not None,
            "hour_str": f"{now:%Y-%m-%dT%H}",
            "data_volume_bytes": self.received_bytes,
        }
        return {key: value for key, value in known.items() if value is not None}


class Pipeline:
    """Runs the traced price job every `price_interval_s` in a thread of its own, and back-fills the price history.

    Each run is one trace: segment `btc-pipeline` with the subsegments `fetch` (in it one for each API that was asked),
    `classify`, `annotate` (which carries the annotations) and `store`, sent by UDP to the collector. Nothing that an
    API, the store or the tracing does ends the thread; the last error stands in `activity`.
    """

    def __init__(self, settings: Settings, store: Store, collector: tuple[str, int]) -> None:
        """`collector`: host and port where it receives segments."""
        self._settings = settings
        self._collector = collector
        self._store = store
        self._patience = {api.name: _Patience() for api in prices.APIS}
        self._backfill: Backfill | None = None
        self._backfill_patience = _Patience()
        self._recorder: Any = None  # made in the thread: importing the SDK takes a third of a second
        self._well = "running"  # the state that is told while prices come
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._main, name="pipeline", daemon=True)

    def start(self) -> None:
        """Begin, and return at once."""
        activity.report("pipeline", state="starting")
        self._thread.start()

    def stop(self) -> None:
        """End within a second. A request that still waits is left behind, and its answer thrown away."""
        self._stopping.set()
        self._thread.join(timeout=1.0)
        activity.report("pipeline", state="stopped")

    def _main(self) -> None:
        try:
            self._recorder = self._make_recorder()
        except SettingError as error:
            activity.report("pipeline", state="failed")
            activity.fail("pipeline", str(error))
            return
        next_run = next_fill = time.monotonic()
        while not self._stopping.wait(max(min(next_run, next_fill) - time.monotonic(), 0.0)):
            began = time.monotonic()
            try:
                if next_run <= began:
                    next_run = began + self._settings.price_interval_s
                    self._run(began)
                    next_run = max(next_run, min(patience.ask_again_at for patience in self._patience.values()))
                else:
                    next_fill = began + self._settings.price_interval_s
                    next_fill = self._fill(began)
            except TracecastError as error:
                activity.fail("pipeline", str(error))
            except Exception as error:
                # A fault of our own does not end the job either: it is shown, and the job tried again.
                _log.exception("The price pipeline failed.")
                activity.fail("pipeline", f"The price pipeline failed: {error!r}.")
        self._recorder.emitter.close()

    def _make_recorder(self) -> Any:
        """A recorder that sends to our collector; raises `SettingError` when the environment keeps the SDK from it."""
        try:
            from core.ingest import tracing

            recorder = tracing.recorder(*self._collector)
        except Exception as error:
            # The SDK raises its own exception out of the very import that the exception's class would come from.
            raise SettingError(
                f"The pipeline can't be traced: {error} Check AWS_XRAY_DAEMON_ADDRESS and TRACECAST_UDP_ADDRESS."
            ) from error
        if not tracing.enabled():
            self._well = "untraced"
            activity.fail("pipeline", "AWS_XRAY_SDK_ENABLED is false: prices are stored, but no traces are sent.")
        return recorder

    def _run(self, began: float) -> None:
        """One run of the job, one trace. Raises `StoreError` when the price could not be stored."""
        run = _Run(time.perf_counter())
        step = self._recorder.in_subsegment
        with self._recorder.in_segment(SERVICE) as segment:
            try:
                with step("fetch"):
                    run.exchange, run.quote = self._fetch(run, began)
                with step("classify"):
                    run.flag = self._classify(run.quote)
            except TracecastError as error:
                run.failure = error
                segment.add_fault_flag()
            if self._stopping.is_set():
                segment.sampled = False  # cut off by our own end, this is neither a fault nor a measurement
                return
            with step("annotate") as annotated:
                for key, value in run.annotations(_now()).items():
                    annotated.put_annotation(key, value)
            if run.quote and run.exchange:
                with step("store"):
                    self._store.append_prices([Price(run.quote.time, run.quote.price_usd, run.exchange, "live")])
        if run.failure:
            activity.report("pipeline", state="retrying")
            activity.fail("pipeline", str(run.failure))
        elif run.quote:
            activity.report("pipeline", state=self._well, last_price=run.quote.price_usd, last_at=run.quote.time)

    def _fetch(self, run: _Run, began: float) -> tuple[str, prices.Quote]:
        """The first believable quote of the APIs that are not being spared, and whose it is.

        Raises `SourceUnavailable` with what each of them did when there is none.
        """
        failures: list[str] = []
        for api in prices.APIS:
            patience = self._patience[api.name]
            if patience.ask_again_at > began or self._stopping.is_set():
                continue
            try:
                quote = self._ask(api, run)
            except prices.PriceUnavailable as error:
                patience.failed(began, self._settings.price_interval_s, error.retry_after_s)
                failures.append(f"{api.name}: {error}")
                activity.fail("pipeline", failures[-1])
                continue
            patience.answered()
            return api.name, quote
        raise SourceUnavailable(" ".join(["No price.", *failures]))

    def _ask(self, api: prices.Api, run: _Run) -> prices.Quote:
        url = prices.address(api.url, self._settings.price_api)
        stand_in = self._settings.price_api is not None
        with self._recorder.in_subsegment(f"fetch {api.name}", namespace="remote") as call:
            call.put_http_meta("method", "GET")
            call.put_http_meta("url", url)
            answer = prices.get(url, direct=stand_in)
            call.put_http_meta("status", answer.status)
            run.received_bytes += len(answer.body)
            return api.quote(answer, _now(), recorded=stand_in)

    def _classify(self, quote: prices.Quote) -> str:
        """The flag of a price among the hourly mean prices of the `HISTORY` before it; `average` under `MIN_HOURS`."""
        history = self._store.query(_TRAILING, [quote.time - HISTORY, quote.time])
        hours, quantiles = history.loc[0, "hours"], history.loc[0, "quantiles"]
        return "average" if hours < MIN_HOURS else flag(quote.price_usd, list(quantiles))

    def _fill(self, began: float) -> float:
        """One step of the price history; returns when the next is due, on the monotonic clock."""
        if self._backfill is None:
            self._backfill = Backfill(self._store, self._settings.price_api, _now())
        if self._backfill.done:
            return math.inf
        try:
            self._backfill.step()
        except prices.PriceUnavailable as error:
            self._backfill_patience.failed(began, self._settings.price_interval_s, error.retry_after_s)
            activity.fail("pipeline", f"Price history: {error}")
            return self._backfill_patience.ask_again_at
        self._backfill_patience.answered()
        return began + BACKFILL_PAUSE_S


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
