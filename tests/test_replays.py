"""Past forecasts of a source: replayed once, scored, and the same in whatever process they were made."""

import os
import re
import subprocess
import sys
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests
import streamlit as st

from core import queries, replays, workers
from core import store as stores
from core.analysis.accuracy import by_horizon
from core.analysis.backtest import MODELS, known_at, outcomes, said
from core.analysis.forecast import fit, predict
from core.analysis.reliability import chances
from core.errors import WorkerLost
from core.ingest import segments
from core.question import Question

ROOT = Path(__file__).resolve().parent.parent
NOW = datetime(2026, 3, 9, 10, 25)
END = datetime(2026, 3, 9, 10)
MIDNIGHT = datetime(2026, 3, 9)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LIVE = Question(source="live", end=END)


def latency(hours, seed=0):
    random = np.random.default_rng(seed)
    return 100 * np.exp(0.3 * np.sin(2 * np.pi * np.arange(hours) / 24) + 0.1 * random.standard_normal(hours))


def series(hours=154, seed=0):
    """Hours up to END."""
    starts = [END - back * HOUR for back in range(hours, 0, -1)]
    return pd.DataFrame({"ds": pd.Series(starts, dtype="M8[us]"), "y": latency(hours, seed)})


def fill(store, hours=154, shards=("a",)):
    """One request an hour and shard up to END, from the source live; latencies as in `series`."""
    documents = []
    for seed, shard in enumerate(shards):
        for number, row in enumerate(series(hours, seed).itertuples()):
            began = row.ds.replace(tzinfo=UTC).timestamp()
            documents.append(
                f'{{"name": "shop", "id": "{number:08x}{seed:08x}", "trace_id": "1-{int(began):08x}-{seed:024x}", '
                f'"start_time": {began}, "end_time": {began + 1}, '
                f'"annotations": {{"processing_time_ms": {row.y!r}, "shard_id": "{shard}"}}}}'
            )
    assert segments.take(documents, "live", NOW, store) == []


@pytest.fixture(autouse=True)
def _nothing_cached():
    """Queries remember by the version of a source, which is that of one store."""
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def filled(store):
    fill(store)
    return store


@pytest.fixture
def forgetful():
    """Nothing is kept from other tests, nor for them."""
    replays._kept.clear()
    yield
    replays._kept.clear()


def plan(history=None, origins=2, horizon=24):
    cutoffs = [MIDNIGHT - back * DAY for back in range(origins, 0, -1)]
    return replays.plan(series() if history is None else history, "hourly", "avg", cutoffs, horizon)


def nothing():
    pass


# A backtest


def test_a_backtest_holds_what_each_model_said_at_each_origin_beside_what_came():
    replayed = replays.replays(plan())
    rows = replayed.rows()

    assert (replayed.done, replayed.total, replayed.failed) == (8, 8, [])
    assert rows.groupby(["model", "cutoff"], sort=False).size().to_list() == [24] * 8
    assert list(dict.fromkeys(rows["model"])) == list(MODELS)
    for model in MODELS:
        cutoff = MIDNIGHT - DAY
        mine = rows[(rows["model"] == model) & (rows["cutoff"] == cutoff)]

        expected = said(model, known_at(series(), cutoff), "hourly", cutoff, 24).frame
        assert mine["yhat"].to_list() == expected["yhat"].to_list()
        assert mine["y"].to_list() == outcomes(series(), "hourly", cutoff, 24).tolist()


@pytest.mark.usefixtures("forgetful")
def test_what_was_replayed_is_not_made_again_whatever_the_horizon(monkeypatch):
    first = replays.replays(plan())
    monkeypatch.setattr(workers, "submit", None)
    second = replays.replays(plan(horizon=6))

    assert second.said == first.said
    assert second.rows().groupby("model").size().to_list() == [12] * 4


@pytest.mark.usefixtures("forgetful")
def test_a_history_that_changed_is_replayed_from_where_it_did():
    first = replays.replays(plan())
    changed = series()
    changed.loc[changed["ds"] == MIDNIGHT - DAY - HOUR, "y"] = 250.0
    second = replays.replays(plan(changed))

    assert second.said["last_value"][0] is first.said["last_value"][0]
    assert second.said["last_value"][1] is not first.said["last_value"][1]


@pytest.mark.usefixtures("forgetful")
def test_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(replays, "MOST_KEPT", 8)
    oldest = replays.replays(plan())
    replays.replays(plan(series(seed=1)))

    assert len(replays._kept) == 8
    assert not set(map(id, oldest.said["original"])) & set(map(id, replays._kept.values()))


@pytest.mark.usefixtures("forgetful")
def test_a_forecast_that_fails_is_told_and_tried_again_for_who_waits(monkeypatch):
    def lost(*_, **__):
        raise WorkerLost("A process ended.")

    with monkeypatch.context() as patched:
        patched.setattr(replays, "said", lost)
        failing = replays.replays(plan())
        with pytest.raises(WorkerLost):
            failing.wait()

        assert failing.failed == ["A process ended."] * 8
        assert failing.rows().empty
        assert replays.replays(plan()).failed == failing.failed
    again = replays.replays(plan(), again=True)
    again.wait()

    assert again.failed == []


# In workers


@pytest.mark.usefixtures("forgetful")
def test_workers_say_the_same_to_the_last_digit():
    here = replays.replays(plan()).rows()
    replays._kept.clear()
    workers.start(nothing)
    try:
        running = replays.replays(plan())
        at_first = running.complete
        running.wait()
        there = running.rows()
    finally:
        workers.stop()

    assert at_first == []
    pd.testing.assert_frame_equal(there, here, check_exact=True)


ALL_TABLES = """
import sys
from datetime import datetime
from pathlib import Path
from core import export, store
from core.downloads import TABLES
from core.question import parse

def answers(end):
    question = parse({"source": "live", "end": end})
    for name in ("hourly", "daily", "forecast", "crossings", "anomalies", "accuracy"):
        yield from export.csv(TABLES[name](question, datetime.fromisoformat(end)))

if __name__ == "__main__":
    with store.Store(Path(sys.argv[1])) as opened:
        store.use(opened)
        sys.stdout.buffer.write(b"".join(answers(sys.argv[2])))
"""


@pytest.mark.usefixtures("forgetful")
def test_another_process_answers_the_same_link_with_the_same_bytes(tmp_path):
    with stores.Store(tmp_path / "tracecast.duckdb") as opened:
        stores.use(opened)
        fill(opened, hours=106)
        here: dict[str, Any] = {"__name__": "here"}
        exec(ALL_TABLES, here)  # noqa: S102 (what the other process runs)
        answer = b"".join(here["answers"](END.isoformat()))
    other = subprocess.run(
        [sys.executable, "-c", ALL_TABLES, str(tmp_path / "tracecast.duckdb"), END.isoformat()],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": "1"},
        capture_output=True,
        check=True,
    )

    assert other.stdout == answer
    assert answer.count(b"seasonal_naive") == 4
    assert not re.search("Prophet|cmdstan", other.stderr.decode())


# What is asked of it


def test_accuracy_is_told_by_model_and_by_how_far_ahead(filled):
    table = queries.accuracy(LIVE, NOW)
    cutoffs = [MIDNIGHT - back * DAY for back in (4, 3, 2, 1)]  # the history begins six days before
    expected = by_horizon(replays.replays(replays.plan(series(), "hourly", "avg", cutoffs, 24)).rows(), "hourly")

    assert list(table.columns[:3]) == ["source", "measure", "unit"]
    pd.testing.assert_frame_equal(table.iloc[:, 3:], expected)
    assert table.loc[table["horizon"] == "all", "n"].to_list() == [96] * 4


@pytest.mark.usefixtures("fresh")
def test_the_csv_waits_until_all_is_replayed(store, address):
    fill(store, hours=90)
    answer = requests.get(f"{address}/api/v1/accuracy.csv?source=live&end={END.isoformat()}Z", timeout=120)

    assert answer.status_code == 200
    assert answer.text.splitlines()[0] == "source,measure,unit,model,horizon,n,mase,wis,coverage_80,coverage_95"
    assert len(answer.text.splitlines()) == 17


def test_a_history_of_two_days_has_no_accuracy_but_its_columns(store):
    fill(store, hours=50)
    table = queries.accuracy(LIVE, NOW)

    assert table.empty
    assert list(table) == [
        *("source", "measure", "unit", "model", "horizon", "n", "mase", "wis", "coverage_80", "coverage_95")
    ]


def test_a_split_has_an_accuracy_for_each_group(store):
    fill(store, hours=90, shards=("a", "b"))
    question = Question(source="live", end=END, by="shard_id")
    table = queries.accuracy(question, NOW)

    assert table.groupby("group").size().to_dict() == {"a": 16, "b": 16}
    one = queries.backtest(question, NOW, "b")
    pd.testing.assert_frame_equal(table[table["group"] == "b"].iloc[:, 4:].reset_index(drop=True), one.by_horizon)


def test_an_excluded_range_is_neither_learnt_from_nor_held_against_a_forecast(filled):
    calm = queries.accuracy(LIVE, NOW)
    left_out = queries.accuracy(
        Question(source="live", end=END, exclude=((MIDNIGHT - 30 * HOUR, MIDNIGHT - 20 * HOUR),)), NOW
    )

    assert left_out.loc[left_out["horizon"] == "all", "n"].to_list() == [86] * 4
    assert calm.loc[calm["horizon"] == "all", "n"].to_list() == [96] * 4


def test_a_backtest_is_told_with_what_came_before_and_after_its_forecasts(filled):
    told = queries.backtest(LIVE, NOW)
    observed = told.observed.set_index("bucket")["value"]

    assert told.cutoffs == [MIDNIGHT - back * DAY for back in (4, 3, 2, 1)]
    assert (told.done, told.total, told.failed) == (16, 16, [])
    assert list(dict.fromkeys(told.by_horizon["model"])) == list(MODELS)
    assert len(told.by_origin) == 16
    assert observed.index[0] == MIDNIGHT - 6 * DAY
    assert observed.dropna().to_list() == series().set_index("ds")["y"][: MIDNIGHT - HOUR].to_list()


def test_chances_of_the_threshold_and_of_each_origins_levels_are_held_against_what_came(filled):
    told = queries.reliability(Question(source="live", end=END, threshold=140.0, p=0.1), NOW)
    warned, came = 0, []
    for cutoff in [MIDNIGHT - back * DAY for back in (4, 3, 2, 1)]:
        model = fit(known_at(series(), cutoff), "hourly", cutoff)
        after = outcomes(series(), "hourly", cutoff, 24)
        if chances(model, 24, after, [140.0])["said"].iloc[0] > 0.1:
            warned += 1
            came.append((after > 140).any())

    assert (told.warnings, told.came_true) == (warned, sum(came))
    assert told.said == told.bins["n"].sum() == 16


def test_before_the_forecasts_are_there_no_chance_is_told(filled, monkeypatch):
    replays._kept.clear()
    monkeypatch.setattr(workers, "submit", lambda *_, **__: Future())
    waiting = queries.backtest(LIVE, NOW)
    told = queries.reliability(LIVE, NOW)
    replays._kept.clear()

    assert (waiting.done, waiting.total) == (0, 16)
    assert waiting.by_horizon.empty
    assert told.bins.empty
    assert told.skill is None


def test_what_held_is_of_the_forecasts_a_day_ahead(filled):
    record = queries.held(LIVE, NOW)
    assert record is not None
    inside, ours, naive, n = 0, 0.0, 0.0, 0
    history = series().set_index("ds")["y"]
    for midnight in [MIDNIGHT - back * DAY for back in (4, 3, 2, 1, 0)]:
        said_then = predict(fit(known_at(series(), midnight), "hourly", midnight), 24)
        for row in said_then.itertuples():
            if row.ds in history.index and not np.isnan(row.yhat_lower):
                n += 1
                inside += row.yhat_lower <= history[row.ds] <= row.yhat_upper
                ours += abs(row.yhat - history[row.ds])
                naive += abs(history[row.ds - DAY] - history[row.ds])

    assert (record.n, record.days) == (n, 5)
    assert record.share == pytest.approx(inside / n)
    assert record.advantage == pytest.approx(1 - ours / naive if ours < naive else naive / ours - 1)


def test_nothing_held_before_there_is_an_interval(store):
    fill(store, hours=40)

    assert queries.held(LIVE, NOW) is None


def test_what_held_is_told_once_it_is_known_and_nobody_waits_for_it(store):
    fill(store, hours=90)
    replays._kept.clear()
    workers.start(nothing)
    try:
        first = queries.held(LIVE, NOW)
        queries.anomalies(LIVE, NOW)
        then = queries.held(LIVE, NOW)
    finally:
        workers.stop()

    assert first is None
    assert then is not None


def test_anomalies_and_the_record_share_their_forecasts(filled, monkeypatch):
    queries.anomalies(LIVE, NOW)
    monkeypatch.setattr(workers, "submit", None)

    assert queries.held(LIVE, NOW) is not None
