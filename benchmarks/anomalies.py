"""What is found unusual against labelled incidents: how many are found, and how many alarms are one.

`python -m benchmarks.anomalies [folder]`, the folder holding `series/*.csv` (`timestamp,value`) and
`series/labels.json`: for each file its incidents, as windows (NAB: Lavin & Ahmad 2015, "Evaluating real-time anomaly
detection algorithms") or as points (cloud monitoring latency). Without one, two simulated services with four incidents
each. Causal: a fit each midnight to what came before it.

Recall: labelled windows touched by an alarm (points of consecutive hours are a window); precision: alarms that touch
one; F1: their harmonic mean. The peer is a threshold at the 99th percentile of all that came before each midnight.
"""

import json
import logging
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.forecast import hourly, simulated
from core.analysis import anomalies
from core.analysis.forecast import fit

HOUR = pd.Timedelta(hours=1)


def found(series):
    """Ours and the peer's alarms in one series (`ds`, `y`, a full hourly grid), each as (first hour, last hour)."""
    ours, fixed = [], []
    for midnight in pd.date_range(series["ds"].iloc[0].ceil("D"), series["ds"].iloc[-1], freq="D"):
        known = series[series["ds"] < midnight]
        day = pd.DataFrame({"bucket": pd.date_range(midnight, periods=24, freq="h", unit="us")})
        came = series.set_index("ds")["y"].reindex(day["bucket"]).to_numpy()
        model = fit(known, "hourly", midnight.to_pydatetime())
        if len(expected := anomalies.day_ahead(model)):
            judged = expected.assign(value=came, strangeness=anomalies.strangeness(model, came))
            ours.append(judged)
            fixed.append(day.assign(value=came - np.nanquantile(known["y"], 0.99)))
    mine = anomalies.observed_unusual(pd.concat(ours), "hourly")
    peers = anomalies.observed_threshold(pd.concat(fixed), 0, HOUR)
    return [list(zip(runs["start"], runs["end"] - HOUR, strict=True)) for runs in (mine, peers)]


def windows(labels):
    """Labelled windows and points as (first hour, last hour), consecutive hours as one."""
    spans = [label if isinstance(label, list) else [label, label] for label in labels]
    hours = sorted(tuple(pd.Timestamp(moment).tz_localize(None).floor("h") for moment in span) for span in spans)
    joined: list[tuple[pd.Timestamp, pd.Timestamp]] = []
    for first, last in hours:
        if joined and first - joined[-1][1] <= HOUR:
            joined[-1] = joined[-1][0], max(last, joined[-1][1])
        else:
            joined.append((first, last))
    return joined


def touched(these, those):
    """How many of `these` overlap with one of `those`."""
    return sum(any(first <= end and start <= last for start, end in those) for first, last in these)


def load(data: Path | None):
    """Kind, series and labels."""
    if data is None:
        return [("simulated", *with_incidents(seed)) for seed in (1, 2)]
    labels = json.loads((data / "series" / "labels.json").read_text("utf-8"))
    return [
        (
            "latency points" if file.name.startswith("latency") else "windows",
            hourly(
                pd.read_csv(file).assign(timestamp=lambda rows: rows["timestamp"].str.strip()), "timestamp", "value"
            ),
            windows(labels.get(file.name, [])),
        )
        for file in sorted((data / "series").glob("*.csv"))
    ]


def with_incidents(seed):
    """A simulated service with four labelled incidents of some hours, in each of which latency triples."""
    series = simulated(seed)
    random = np.random.default_rng(seed)
    labelled = []
    for begin in 24 * np.array([16, 21, 29, 36]) + random.integers(0, 18, 4):
        hours = slice(begin, begin + random.integers(2, 6))
        series.loc[series.index[hours], "y"] *= 3
        labelled.append((series["ds"].iloc[hours].iloc[0], series["ds"].iloc[hours].iloc[-1]))
    return series, labelled


def run(data: Path | None) -> None:
    """Print a line for each kind of series and each way of finding."""
    logging.disable(logging.ERROR)  # Prophet and cmdstanpy report every fit
    rows = []
    for kind, series, labelled in load(data):
        for name, alarms in zip(("ours", "fixed threshold"), found(series), strict=True):
            weeks = len(series) / 168
            counts = len(alarms), touched(alarms, labelled), len(labelled), touched(labelled, alarms)
            rows.append((kind, name, weeks, *counts))
    total = pd.DataFrame(rows, columns=["kind", "name", "weeks", "alarms", "right", "labelled", "hit"])
    print("kind            found by           F1  precision  recall  alarms  a week")
    for (kind, name), sums in total.groupby(["kind", "name"], sort=False).sum().iterrows():
        precision, recall = sums["right"] / max(sums["alarms"], 1), sums["hit"] / max(sums["labelled"], 1)
        f1 = 2 * precision * recall / max(precision + recall, 1e-9)
        print(
            f"{kind:15} {name:16} {f1:5.2f} {precision:10.2f} {recall:7.2f}"
            f" {sums['alarms']:7.0f} {sums['alarms'] / sums['weeks']:7.2f}"
        )


if __name__ == "__main__":
    run(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
