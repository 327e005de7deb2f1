"""What a chart says under the pointer: one invisible cell a bucket, full height, with ready-made texts."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import altair as alt
import pandas as pd

from core.view.axis import aware, meaning, x
from core.view.text import NBSP, Terms, amount, chance, clock, date, exactly, spread, zone_name

__all__ = ["Row", "cells", "forecast_rows", "history_rows", "moment"]


class Row(NamedTuple):
    """One cell: its time (naive UTC) and what it says, label to text, in this order."""

    time: datetime
    says: dict[str, str]


def history_rows(terms: Terms, past: pd.DataFrame, found: pd.DataFrame | None = None) -> list[Row]:
    """Cells of complete buckets; `past`: `t` (aware UTC), `y`, `complete`. Buckets in `found` say what was expected."""
    rows = []
    for each in past[past["complete"]].itertuples():
        time = each.t.tz_localize(None)
        says = {"Time": moment(time, terms)}
        says["Observed"] = "no traces" if pd.isna(each.y) else amount(each.y, terms.unit)
        rows.append(Row(time, says))
    if found is None:
        return rows
    for anomaly in found[found["kind"] != "predicted"].itertuples():
        for row in rows:
            if anomaly.start <= row.time < anomaly.end:
                row.says["Expected"] = spread(anomaly.lower, anomaly.upper, terms.unit)
    return rows


def forecast_rows(terms: Terms, forecast: pd.DataFrame, past: pd.DataFrame | None = None) -> list[Row]:
    """Cells of the buckets ahead; the first is the one that still runs, and says what came so far."""
    running = {} if past is None else past[~past["complete"]].dropna(subset=["y"]).set_index("t")["y"].to_dict()
    rows = []
    for each in forecast.itertuples():
        says = {"Time": moment(each.ds, terms)}
        so_far = running.pop(each.ds.tz_localize("UTC"), None)
        if so_far is not None:
            says["So far"] = amount(so_far, terms.unit)
        if not pd.isna(each.yhat):
            says["Forecast"] = amount(each.yhat, terms.unit)
        if not pd.isna(each.yhat_lower):
            says[f"{terms.interval}{NBSP}% interval"] = spread(each.yhat_lower, each.yhat_upper, terms.unit)
        if not pd.isna(each.p_above):
            says[f"Chance above {exactly(terms.threshold, terms.unit)}"] = chance(each.p_above)
        rows.append(Row(each.ds, says))
    alone = [
        Row(time.tz_localize(None), {"Time": moment(time.tz_localize(None), terms), "So far": amount(y, terms.unit)})
        for time, y in running.items()
    ]
    return alone + rows


def moment(time: datetime, terms: Terms, *, granularity: str | None = None) -> str:
    """`Tue 24 Nov 13:00 UTC`; of days `Tue 24 Nov UTC`; of `seconds` `… 13:00:07 UTC`. That of `terms` unless said."""
    fineness = granularity or terms.granularity
    if fineness == "daily":
        return f"{date(time, ZoneInfo('UTC'))} UTC"
    hour = clock(time, terms.zone, seconds=fineness == "seconds")
    return f"{date(time, terms.zone)} {hour} {zone_name(terms.zone, time)}"


def cells(rows: Sequence[Row], width: timedelta, *, shift: timedelta = timedelta()) -> list[alt.Chart]:
    """A layer for each set of labels among `rows`; a cell is as wide as `width`, around its time moved by `shift`."""
    kinds: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        kinds.setdefault(tuple(row.says), []).append(row)
    return [
        _layer(f"cells_{number}", labels, kind, width, shift) for number, (labels, kind) in enumerate(kinds.items())
    ]


def _layer(name: str, labels: tuple[str, ...], rows: list[Row], width: timedelta, shift: timedelta) -> alt.Chart:
    times = aware(pd.Series([row.time for row in rows]).astype("datetime64[us]")) + shift
    texts = pd.DataFrame({f"says_{index}": [row.says[label] for row in rows] for index, label in enumerate(labels)})
    data = pd.concat([pd.DataFrame({"t": times - width / 2, "end": times + width / 2}), texts], axis=1)
    # Named by hand: Altair counts its own names up, so that a chart would change with each run of the page.
    pointed = alt.selection_point(name=f"{name}_pointed", on="pointerover", clear="pointerout", empty=False)
    layer: alt.Chart = (
        alt.Chart(data, name=name)
        .mark_rect(clip=True)
        .encode(
            x=x(),
            x2="end",
            color=meaning("marker"),
            opacity=alt.condition(pointed, alt.value(0.14), alt.value(0)),
            tooltip=[alt.Tooltip(f"says_{index}:N", title=label) for index, label in enumerate(labels)],
        )
        .add_params(pointed)
    )
    return layer
