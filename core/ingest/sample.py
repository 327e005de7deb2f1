"""The source `sample`: the simulated service's requests as spans in the store, up to the last complete hour."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from core.ingest import simulation
from core.ingest.simulation import APIS, FLAGS, HISTORY_HOURS, Bits, Floats, Ints, Requests
from core.spans import Span
from core.store import Store

__all__ = ["SOURCE", "Sample", "spans", "table"]

SOURCE = "sample"
SERVICE = "btc-pipeline"

_HOUR = timedelta(hours=1)
_URLS = pa.array(
    (
        "https://api.exchange.coinbase.com/products/BTC-USD/ticker",
        "https://api.kraken.com/0/public/Ticker?pair=XBTUSD",
        "https://api.coingecko.com/api/v3/simple/price?ids=bitcoin&vs_currencies=usd&include_last_updated_at=true",
    )
)
_FAILURES = (  # HTTP status, exception, message
    (503, "ServiceUnavailable", "The answer is 503 Service Unavailable."),
    (429, "TooManyRequests", "The answer is 429 Too Many Requests."),
    (None, "TimeoutError", "There was no answer in time."),
)
_USUAL = {  # what most of these spans have in common, beside nulls
    "source": SOURCE,
    "kind": "subsegment",
    "service": SERVICE,
    "error": False,
    "fault": False,
    "throttle": False,
    "failed": False,
    "in_progress": False,
}


class Sample:
    """The sample of one process: its anchor is the hour in which the process started."""

    def __init__(self, store: Store, started_at: datetime) -> None:
        self._store = store
        self._anchor = started_at.replace(minute=0, second=0, microsecond=0)
        self._made = False

    def refresh(self, now: datetime) -> None:
        """Bring the store's sample up to the last hour that is complete at `now`.

        At first a sample of another anchor is replaced in one transaction, and one of this anchor kept. From then on
        new hours are appended; a sample that somebody removed meanwhile stays away.
        """
        held = self._store.sources().set_index("source")
        end = self._hour(now)
        if SOURCE in held.index and (self._made or self._hour(held.oldest[SOURCE]) == -HISTORY_HOURS):
            begin = self._hour(held.newest[SOURCE]) + 1
            if begin < end:
                self._store.append(spans(self._anchor, begin, end))
        elif not self._made:
            self._store.replace(SOURCE, table(self._anchor, -HISTORY_HOURS, end))
        self._made = True

    def _hour(self, moment: datetime) -> int:
        """The hour of a moment, counted from the anchor."""
        return (moment - self._anchor) // _HOUR


def spans(anchor: datetime, first: int, last: int) -> list[Span]:
    """The rows of `table` as spans."""
    columns = table(anchor, first, last).to_pydict()
    for name in ("numbers", "texts", "booleans"):
        columns[name] = map(dict, columns[name])
    return list(map(Span._make, zip(*(columns[field] for field in Span._fields), strict=True)))


def table(anchor: datetime, first: int, last: int) -> pa.Table:
    """The spans of the hours `[first, last)` after `anchor` (a whole hour, naive UTC), trace by trace in order of time.

    The columns are those of `Span`. A trace is the segment `btc-pipeline` with the subsegments `fetch`, `classify`,
    `annotate` and `store`, of which `annotate` carries the seven annotations. A failed fetch is a fault with a cause,
    and the simulated job then goes on with the price it knew before.
    """
    seen = simulation.requests(first, last)
    count = len(seen.hour)
    fetch_ms = seen.processing_ms * (0.78 + 0.1 * seen.uniform("fetch"))
    classify_ms = (seen.processing_ms - fetch_ms) * 0.4
    annotate_ms = seen.processing_ms - fetch_ms - classify_ms
    store_ms = 2.0 + 5.0 * seen.uniform("store")

    anchor_us = np.datetime64(anchor, "us").astype(np.int64)
    start_us = anchor_us + _microseconds((seen.hour * 3600 + seen.second) * 1000)
    # As X-Ray makes them: eight digits for the second of the start, then twenty-four of chance.
    second = (start_us // 1_000_000).astype(np.uint64)
    trace_ids = _hex(second << np.uint64(32) | seen.bits("trace") >> np.uint64(32), seen.bits("rest of the trace"))
    segment_ids = _hex(seen.bits(SERVICE))
    no_annotations = {
        "numbers": _maps([], pa.array([], pa.float64()), count),
        "texts": _maps([], pa.array([], pa.string()), count),
        "booleans": _maps([], pa.array([], pa.bool_()), count),
    }

    def step(name: str, after_ms: Floats, duration_ms: Floats, **differing: Any) -> pa.Table:
        """One span of each trace."""
        columns = {
            **_USUAL,
            **no_annotations,
            "trace_id": trace_ids,
            "span_id": _hex(seen.bits(name)),
            "parent_id": segment_ids,
            "name": name,
            "started_at": (start_us + _microseconds(after_ms)).astype("datetime64[us]"),
            "duration_ms": np.round(duration_ms, 3),
            "latency_ms": np.round(duration_ms, 3),
            **differing,
        }
        return pa.table({field: _column(columns.get(field), count) for field in Span._fields})

    nothing = np.zeros(count)
    steps = (
        step(SERVICE, nothing, seen.processing_ms + store_ms, **_segment(seen)),
        step("fetch", nothing, fetch_ms, **_fetch(seen)),
        step("classify", fetch_ms, classify_ms),
        step("annotate", fetch_ms + classify_ms, annotate_ms, **_annotations(seen, start_us)),
        step("store", seen.processing_ms, store_ms),
    )
    by_step = pa.concat_tables(steps, promote_options="default").combine_chunks()
    return by_step.take(np.arange(len(steps) * count).reshape(len(steps), count).T.ravel())


def _segment(seen: Requests) -> dict[str, Any]:
    """What a segment has of its own; it fails with its fetch."""
    return {"kind": "segment", "parent_id": None, "fault": seen.failed, "failed": seen.failed}


def _fetch(seen: Requests) -> dict[str, Any]:
    """The call of the price API: what it asked, and how some of these calls went wrong."""
    which = (seen.uniform("failure") * len(_FAILURES)).astype(int)
    throttled = seen.failed & (which == 1)
    status = np.where(seen.failed, np.array([503, 429, 0])[which], 200)
    ids = seen.bits("exception")
    details = np.full(len(which), None, object)
    for at in np.flatnonzero(seen.failed):
        _, name, message = _FAILURES[which[at]]
        exception = {"id": f"{ids[at]:016x}", "type": name, "message": message, "remote": True}
        details[at] = orjson.dumps({"cause": {"exceptions": [exception]}}).decode()
    return {
        "namespace": "remote",
        "error": throttled,
        "fault": seen.failed,
        "throttle": throttled,
        "failed": seen.failed,
        "http_method": "GET",
        "http_url": _URLS.take(seen.api),
        "http_status": pa.array(status, pa.int32(), mask=status == 0),
        "detail": pa.array(details, pa.string()),
    }


def _annotations(seen: Requests, start_us: Ints) -> dict[str, Any]:
    """The seven annotations, and the columns that follow from them."""
    count = len(start_us)
    latency = np.round(seen.processing_ms, 3)
    hours, hour = np.unique(start_us.astype("datetime64[us]").astype("datetime64[h]"), return_inverse=True)
    words = pa.array([*FLAGS, *APIS, *np.datetime_as_string(hours)])
    chosen = np.column_stack([seen.flag, seen.api + len(FLAGS), hour + len(FLAGS) + len(APIS)])
    numbers = np.column_stack([seen.price_usd, latency, seen.volume_bytes])
    return {
        "numbers": _maps(["price_usd", "processing_time_ms", "data_volume_bytes"], pa.array(numbers.ravel()), count),
        "texts": _maps(["flag", "shard_id", "hour_str"], words.take(chosen.ravel()), count),
        "booleans": _maps(["error"], pa.array(seen.failed), count),
        "failed": seen.failed,
        "latency_ms": latency,
        "data_volume_bytes": seen.volume_bytes,
        "price_usd": seen.price_usd,
    }


def _maps(keys: list[str], items: pa.Array, count: int) -> pa.MapArray:
    """`count` maps with the same keys; `items` are the values of the first map, then those of the next."""
    offsets = np.arange(count + 1, dtype=np.int32) * np.int32(len(keys))
    return pa.MapArray.from_arrays(offsets, pa.array(keys * count, pa.string()), items)


def _column(values: Any, count: int) -> pa.Array:
    """An Arrow array from one value a row, or from one value for all."""
    if isinstance(values, pa.Array):
        return values
    return pa.array(values) if isinstance(values, np.ndarray) else pa.repeat(values, count)


def _hex(*words: Bits) -> pa.Array:
    """Texts of sixteen hex digits a word."""
    digits = np.column_stack(words).astype(">u8").tobytes().hex().encode()
    offsets = np.arange(len(words[0]) + 1, dtype=np.int32) * np.int32(16 * len(words))
    return pa.StringArray.from_buffers(len(words[0]), pa.py_buffer(offsets), pa.py_buffer(digits))


def _microseconds(milliseconds: Floats) -> Ints:
    return np.rint(milliseconds * 1000).astype(np.int64)
