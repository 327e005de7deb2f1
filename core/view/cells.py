"""What a chart says under the pointer: one invisible cell a bucket, full height, with ready-made texts; a click on one
that has traces chooses it.
"""

import json
import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from core.view.layers import Past, marker_name
from core.view.text import NBSP, Terms, amount, chance, clock, date, spread, zone_name
from core.view.vega import Layer, fixed, meaning, moments
from core.view.vega import rows as rows_of
from core.view.vega import time as at

__all__ = ["CHOSEN", "Row", "cells", "forecast_rows", "history_rows", "marked", "moment"]

CHOSEN = "chosen"  # the selection of a chart that a click makes: `bucket`, ISO 8601, null where there are no traces
ABOVE = "Chance above the threshold"  # without its value: a chart whose threshold moves keeps its specification


class Row(NamedTuple):
    """One cell: its time (naive UTC), what it says, label to text, in this order, and the bucket whose traces it
    leads to.
    """

    time: datetime
    says: dict[str, str]
    bucket: datetime | None = None


def history_rows(terms: Terms, past: Past, found: pd.DataFrame | None = None) -> list[Row]:
    """Cells of complete buckets; those in `found` (of `queries.anomalies`) say what was expected."""
    done = past.where(past.complete)
    rows = []
    for time, y in zip(done.t.tolist(), done.y.tolist(), strict=True):
        observed, bucket = ("no traces", None) if math.isnan(y) else (amount(y, terms.unit), time)
        rows.append(Row(time, {"Time": moment(time, terms), "Observed": observed}, bucket))
    if found is None:
        return marked(rows, terms, terms.width)
    observed = found[found["kind"] != "predicted"]
    for start, end, low, high in zip(*(observed[name] for name in ("start", "end", "lower", "upper")), strict=True):
        for row in rows:
            if start <= row.time < end:
                row.says["Expected"] = spread(low, high, terms.unit)
    return marked(rows, terms, terms.width)


def forecast_rows(terms: Terms, forecast: pd.DataFrame, past: Past | None = None) -> list[Row]:
    """Cells of the buckets ahead; the first is the one that still runs, and says what came so far."""
    running = {}
    if past is not None:
        tail = past.where(~past.complete & ~np.isnan(past.y))
        running = dict(zip(tail.t.tolist(), tail.y.tolist(), strict=True))
    numbers = (forecast[name].astype(float).to_list() for name in ("yhat", "yhat_lower", "yhat_upper", "p_above"))
    interval = f"{terms.interval}{NBSP}% interval"
    rows = []
    for time, middle, low, high, p_above in zip(moments(forecast["ds"]).tolist(), *numbers, strict=True):
        says, bucket = {"Time": moment(time, terms)}, time if time in running else None
        if bucket:
            says["So far"] = amount(running.pop(time), terms.unit)
        if not math.isnan(middle):
            says["Forecast"] = amount(middle, terms.unit)
        if not math.isnan(low):
            says[interval] = spread(low, high, terms.unit)
        if not math.isnan(p_above):
            says[ABOVE] = chance(p_above)
        rows.append(Row(time, says, bucket))
    alone = [
        Row(time, {"Time": moment(time, terms), "So far": amount(y, terms.unit)}, time) for time, y in running.items()
    ]
    return marked(alone + rows, terms, terms.width)


def marked(rows: list[Row], terms: Terms, width: timedelta) -> list[Row]:
    """`rows`, each `width` long, that also say which markers they touch."""
    for marker in terms.markers:
        for row in rows:
            if marker.touches(row.time, row.time + width):
                said = row.says.get("Marker")
                row.says["Marker"] = f"{said}; {marker_name(marker)}" if said else marker_name(marker)
    return rows


def moment(time: datetime, terms: Terms, *, granularity: str | None = None) -> str:
    """`Tue 24 Nov 13:00 UTC`; of days `Tue 24 Nov UTC`; of `seconds` `… 13:00:07 UTC`. That of `terms` unless said."""
    fineness = granularity or terms.granularity
    zone = terms.zone if fineness != "daily" else ZoneInfo("UTC")
    hour = "" if fineness == "daily" else f" {clock(time, zone, seconds=fineness == 'seconds')}"
    return f"{date(time, zone)}{hour} {zone_name(zone, time)}"


def cells(rows: Sequence[Row], width: timedelta, *, shift: timedelta = timedelta()) -> list[Layer]:
    """One layer, none without `rows`; a cell is as wide as `width`, around its time moved by `shift`."""
    if not rows:
        return []
    labels = list(dict.fromkeys(label for row in rows for label in row.says))
    times, half = moments([row.time for row in rows]) + np.timedelta64(shift), np.timedelta64(width / 2)
    texts = {f"says_{index}": np.array([row.says.get(label) for row in rows]) for index, label in enumerate(labels)}
    buckets = np.array([None if row.bucket is None else f"{row.bucket.isoformat()}Z" for row in rows])
    # One object for all rows, with the labels that a row has: a layer for each set of them would change the chart's
    # specification, and what can be chosen in it, with each anomaly and marker that comes or goes.
    says = [
        f"datum.{field} ? {{{json.dumps(label, ensure_ascii=False)}: datum.{field}}} : {{}}"
        for field, label in zip(texts, labels, strict=True)
    ]
    params = [
        {"name": "pointed", "select": {"type": "point", "on": "pointerover", "clear": "pointerout"}},
        {"name": CHOSEN, "select": {"type": "point", "on": "click", "fields": ["bucket"], "toggle": False}},
    ]
    return [
        Layer(
            "cells",
            rows_of(t=times - half, end=times + half, bucket=buckets, **texts),
            {
                "type": "rect",
                "clip": True,
                "tooltip": {"expr": f"merge({', '.join(says)})"},
                "cursor": {"expr": "datum.bucket ? 'pointer' : 'default'"},
            },
            {
                "x": at(),
                "x2": {"field": "end"},
                "color": meaning("marker"),
                "opacity": {"condition": {"param": "pointed", "empty": False, **fixed(0.14)}, **fixed(0)},
            },
            params if any(row.bucket for row in rows) else params[:1],
        )
    ]
