"""What a chart says besides its marks: the legend as a line of coloured words, and the text for who does not see it."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from core.question import Window
from core.view.charts import past_of, shown, whole
from core.view.layers import marker_name, markers_in
from core.view.sentences import Crossing
from core.view.text import NBSP, Terms, amount, between, chance, count, date, exactly, safe, spread, when, zone_name

__all__ = [
    "alt_anomalies",
    "alt_chances",
    "alt_dots",
    "alt_latency_under_price",
    "alt_main",
    "alt_price",
    "alt_small",
    "alt_strip",
    "anomaly_parts",
    "legend",
    "main_parts",
]

_PARTS = {  # the name of a part, and its mark and words in Markdown; {} is filled in by `legend`
    "observed": "**━** observed",
    "running": "○ {bucket} still running",
    "forecast": ":blue[**━** forecast]",
    "interval": ":blue-background[{interval} % interval]",
    "threshold": ":orange[**╌** threshold]",
    "crossing": ":violet-background[first crossing, 8 in 10]",
    "unusual": ":violet[**○** unusual]",
    "anomaly": ":violet-background[above or unusual]",
    "record": "● one trace",
    "failed": ":red[▲ failed]",
    "price": ":green[**━** price]",
    "high": ":green[● flag high]",
    "extreme": ":green[◆ flag extreme]",
    "latency": "**━** observed latency",
    "marker": ":gray[**┊** marker]",
}
_EM_SPACE = "\u2003"


def legend(parts: Iterable[str], terms: Terms, window: Window | None = None) -> str:
    """The line of Markdown under a chart: the named parts in the given order, and the zone of its times; markers too
    where one is in the `window` that the chart shows.

    Parts: `observed running forecast interval threshold crossing unusual anomaly record failed price high extreme
    latency marker`. Each part keeps together where the line wraps.
    """
    bucket = "hour" if terms.granularity == "hourly" else "day"
    zone = zone_name(terms.shown_zone, terms.end)
    if window and markers_in(terms, window):
        parts = [*parts, "marker"]
    words = [_PARTS[part].format(bucket=bucket, interval=terms.interval) for part in parts]
    words.append(f":gray[{'times' if terms.granularity == 'hourly' else 'days'} in {safe(zone)}]")
    return f":small[{f'{_EM_SPACE} '.join(word.replace(' ', NBSP) for word in words)}]"


def main_parts(
    terms: Terms,
    history: pd.DataFrame,
    forecast: pd.DataFrame,
    crossing: Crossing,
    *,
    value: str,
    unusual: pd.DataFrame | None = None,
) -> list[str]:
    """The parts that `charts.main` of the same arguments has, for `legend`."""
    past = past_of(history, value, shown(terms, history, forecast))
    there = {
        "observed": True,
        "running": not np.isnan(past.y[~past.complete]).all(),
        "forecast": forecast["yhat"].notna().any(),
        "interval": forecast["yhat_lower"].notna().any(),
        "threshold": True,
        "crossing": crossing.earliest is not None,
        "unusual": unusual is not None and unusual["kind"].ne("predicted").any(),
    }
    return [part for part, is_there in there.items() if is_there]


def anomaly_parts(forecast: pd.DataFrame, found: pd.DataFrame) -> list[str]:
    """The parts that `charts.anomalies` of the same arguments has, for `legend`."""
    there = {
        "observed": True,
        "forecast": forecast["yhat"].notna().any(),
        "interval": forecast["yhat_lower"].notna().any(),
        "threshold": True,
        "anomaly": not found.empty,
        "unusual": found["kind"].ne("predicted").any(),
    }
    return [part for part, is_there in there.items() if is_there]


# Alt texts


def alt_main(terms: Terms, history: pd.DataFrame, forecast: pd.DataFrame, crossing: Crossing, *, value: str) -> str:
    """`Mean latency, Mon 23 to Wed 25 Nov, UTC. Observed 65 to 117 ms. Forecast 95 to 144 ms, …`."""
    window = shown(terms, history, forecast)
    parts = [
        _of(terms.name, window, terms),
        _range("Observed", past_of(history, value, window).y, terms.unit),
        _ahead(terms, forecast),
        _threshold(terms, crossing),
        _markers(terms, window),
    ]
    return " ".join(part for part in parts if part)


def alt_strip(terms: Terms, history: pd.DataFrame, forecast: pd.DataFrame, *, value: str) -> str:
    """The whole range and what of it the chart above shows."""
    window = whole(terms, history, forecast)
    seen = _range("Observed", past_of(history, value, window).y, terms.unit)
    return f"{_of(f'{terms.name} over the whole range', window, terms)} {seen} Shaded: what the chart above shows."


def alt_chances(terms: Terms, forecast: pd.DataFrame) -> str:
    """The highest chance of a bucket, and which bucket that is."""
    title = f"Chance of each {_bucket(terms)} to be above {exactly(terms.threshold, terms.unit)}."
    known = forecast.dropna(subset=["p_above"])
    if known.empty:
        return f"{title} None can be said yet."
    top = known.loc[known["p_above"].idxmax()]
    first, _ = between(top["ds"], top["ds"], terms, granularity=terms.granularity)
    return f"{title} Highest: {chance(top['p_above'])}, {first} {zone_name(terms.shown_zone, top['ds'])}."


def alt_dots(terms: Terms, records: pd.DataFrame, window: Window, *, value: str) -> str:
    """How many records, how many failed, and their values."""
    failed = int(records["failed"].astype(bool).sum())
    seen = _range("Observed", records[value], terms.unit)
    line = f"Threshold {exactly(terms.threshold, terms.unit)}."
    told = f"{_of(terms.name, window, terms)} {count(len(records), 'trace')}, {count(failed)} failed. {seen} {line}"
    return f"{told} {_markers(terms, window)}".rstrip()


def alt_anomalies(
    terms: Terms, history: pd.DataFrame, forecast: pd.DataFrame, found: pd.DataFrame, *, value: str
) -> str:
    """`alt_main` over the whole range, and how many anomalies are marked."""
    window = whole(terms, history, forecast)
    ahead = int((found["kind"] == "predicted").sum())
    parts = [
        _of(terms.name, window, terms),
        _range("Observed", past_of(history, value, window).y, terms.unit),
        _ahead(terms, forecast),
        f"Threshold {exactly(terms.threshold, terms.unit)}.",
        f"{ahead} predicted, {len(found) - ahead} observed anomalies.",
        _markers(terms, window),
    ]
    return " ".join(part for part in parts if part)


def alt_price(terms: Terms, prices: pd.DataFrame, window: Window) -> str:
    """From and to, lowest and highest."""
    if prices.empty:
        return f"{_of('Price of a Bitcoin', window, terms)} No prices yet."
    paid = prices["price_usd"]
    first, last, low, high = (amount(usd, "USD") for usd in (paid.iloc[0], paid.iloc[-1], paid.min(), paid.max()))
    told = f"{_of('Price of a Bitcoin', window, terms)} From {first} to {last}, lowest {low}, highest {high}."
    return f"{told} {_markers(terms, window)}".rstrip()


def alt_latency_under_price(terms: Terms, history: pd.DataFrame, window: Window, *, value: str) -> str:
    """What was observed in the window of the price above."""
    seen = _range("Observed", past_of(history, value, window).y, terms.unit)
    return f"{_of(terms.name, window, terms)} {seen} Threshold {exactly(terms.threshold, terms.unit)}."


def alt_small(
    terms: Terms, group: str, history: pd.DataFrame, forecast: pd.DataFrame, crossing: Crossing, *, value: str
) -> str:
    """`alt_main` of one group."""
    return f"{group}: {alt_main(terms, history, forecast, crossing, value=value)}"


def _of(name: str, window: Window, terms: Terms) -> str:
    """`Mean latency, Mon 23 to Wed 25 Nov, UTC.`"""
    first, last = date(window.start, terms.shown_zone), date(window.end, terms.shown_zone)
    same_month = first.rpartition(" ")[2] == last.rpartition(" ")[2]
    days = last if first == last else f"{first.rpartition(' ')[0] if same_month else first} to {last}"
    return f"{name}, {days}, {zone_name(terms.shown_zone, window.end)}."


def _range(what: str, numbers: ArrayLike, unit: str) -> str:
    known = np.asarray(numbers, float)
    known = known[~np.isnan(known)]
    return f"{what} {spread(known.min(), known.max(), unit)}." if len(known) else f"{what} nothing."


def _ahead(terms: Terms, forecast: pd.DataFrame) -> str:
    known = forecast.dropna(subset=["yhat"])
    if known.empty:
        return "No forecast."
    said = f"Forecast {spread(known['yhat'].min(), known['yhat'].max(), terms.unit)}"
    if known["yhat_lower"].notna().any():
        bounds = spread(known["yhat_lower"].min(), known["yhat_upper"].max(), terms.unit)
        said += f", {terms.interval}{NBSP}% interval {bounds}"
    return f"{said}."


def _threshold(terms: Terms, crossing: Crossing) -> str:
    line = f"Threshold {exactly(terms.threshold, terms.unit)}"
    if crossing.probability is None:
        return f"{line}."
    line += f", {chance(crossing.probability)} likely crossed"
    if crossing.earliest is None or crossing.latest is None:
        return f"{line}."
    first, last = between(crossing.earliest, crossing.latest, terms, granularity=terms.granularity)
    return f"{line}, first between {first} and {last}."


def _markers(terms: Terms, window: Window) -> str:
    """`Markers: deployment v42, today 14:00.`, the newest five; empty where there is none."""
    found = markers_in(terms, window)
    if not found:
        return ""
    said = "; ".join(f"{marker_name(marker)}, {when(marker.start, terms)}" for marker in found[-5:])
    return f"Markers: {said}."


def _bucket(terms: Terms) -> str:
    return "hour" if terms.granularity == "hourly" else "day"
