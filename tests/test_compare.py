"""One range against another: statistics against numpy, drivers side by side, one table for all, and what is said."""

from dataclasses import replace
from datetime import datetime, timedelta

import altair as alt
import numpy as np
import pytest

from core import causes
from core.analysis.comparison import COLUMNS
from core.causes import PERCENTILES, Latencies
from core.question import Question, Window
from core.view import compare, text
from core.view.text import NBSP
from tests.test_drivers import planted, record
from tests.test_metrics import span

START = datetime(2026, 11, 24, 10)
HOUR = timedelta(hours=1)
NOW = START + HOUR
ASKED = Question(start=START, end=NOW)


def earlier(spans, by=HOUR):
    return [
        one._replace(started_at=one.started_at - by, trace_id=f"e{n}", latency_ms=one.latency_ms / 2)
        for n, one in enumerate(spans)
    ]


def values(latencies):
    return [record(n, value, booleans={"seen": True}) for n, value in enumerate(latencies)]


def spread(*ms):
    return Latencies(100, 0.1, float(np.mean(ms)), np.quantile(ms, np.array(PERCENTILES) / 100))


TERMS = replace(text.terms(Question(), 1.0, NOW, NOW, text.zone("UTC")), name="Latency")


def test_the_spread_is_that_of_numpy(store):
    held = np.random.default_rng(0).lognormal(4, 1, 500)
    store.replace("sample", values(held))

    found = causes.latencies(ASKED, Window(START, NOW))

    assert (found.n, found.failed) == (500, 0.0)
    assert found.mean == pytest.approx(held.mean())
    assert found.percentiles == pytest.approx(np.quantile(held, np.array(PERCENTILES) / 100))


def test_a_range_without_records_has_no_spread(store):
    found = causes.latencies(ASKED, Window(START, NOW))

    assert found.n == 0
    assert np.isnan(found.percentiles).all()


@pytest.mark.parametrize(
    ("asked", "window"),
    [
        pytest.param({}, Window(START - HOUR, START), id="just before"),
        pytest.param(
            {"start2": START - 9 * HOUR}, Window(START - 9 * HOUR, START - 8 * HOUR), id="as long from a start"
        ),
        pytest.param({"end2": START - 2 * HOUR}, Window(START - 3 * HOUR, START - 2 * HOUR), id="as long up to an end"),
        pytest.param(
            {"start2": START - 9 * HOUR, "end2": START}, Window(START - 9 * HOUR, START), id="of another length"
        ),
        pytest.param({"bucket": START - HOUR}, Window(START - 2 * HOUR, START - HOUR), id="before a bucket"),
    ],
)
def test_the_range_is_compared_with_the_one_before_or_with_what_was_asked(store, asked, window):
    assert causes.before(replace(ASKED, **asked), NOW) == window


def test_drivers_stand_side_by_side_with_numbers_parted_in_the_same_way(store):
    now, before = planted(1000), earlier(planted(600, seed=3))
    store.replace("sample", now + before)

    beside = causes.drivers_beside(ASKED, NOW)

    first = beside.iloc[0]
    assert (first["key"], first["value"], first["significant"], first["significant2"]) == ("shard_id", "c", True, True)
    assert first["effect_ms2"] == pytest.approx(first["effect_ms"] / 2, rel=0.1)
    sizes = beside[beside["key"] == "size"]
    assert len(sizes) == 5
    assert sizes[["n", "n2"]].notna().all(axis=None)


def test_a_value_that_is_only_in_one_range_is_no_driver_in_the_other(store):
    before = [one._replace(texts={"shard_id": "ab"[n % 2]}) for n, one in enumerate(earlier(planted(300)))]
    store.replace("sample", planted(300) + before)

    beside = causes.drivers_beside(ASKED, NOW).set_index(["key", "value"])

    assert beside.loc[("shard_id", "c"), ["significant", "significant2"]].to_list() == [True, False]
    assert np.isnan(beside.loc[("shard_id", "c"), "n2"])


def test_one_table_holds_all_of_it(store):
    store.replace("sample", planted(300) + earlier(planted(300)))

    frame = causes.compare(ASKED, NOW)

    assert list(frame.columns) == ["source", "measure", "unit", *COLUMNS]
    rows = frame.set_index("key")
    assert rows.loc[["count", "min", "p50", "max"], "kind"].unique().tolist() == ["statistic"]
    assert rows.loc["p50", "measured2"] == pytest.approx(rows.loc["p50", "measured"] / 2)
    assert rows.loc["p50", "change"] == pytest.approx(rows.loc["p50", "measured"] / 2)
    assert frame[frame["kind"] == "driver"].iloc[0][["key", "value"]].to_list() == ["shard_id", "c"]


def test_the_table_has_its_columns_without_any_record(store):
    assert list(causes.compare(ASKED, NOW).columns) == ["source", "measure", "unit", *COLUMNS]


@pytest.mark.parametrize(
    ("first", "second", "sentence"),
    [
        pytest.param(spread(90, 100, 110), spread(70, 80, 90), "Median latency 100 ms, 20.0 ms above", id="slower"),
        pytest.param(spread(90, 100, 110), spread(1e3, 1100, 1200), "Median latency 100 ms, 1.00 s below", id="faster"),
        pytest.param(spread(90, 100, 110), spread(90, 100, 120), "Median latency 100 ms, as in", id="the same"),
        pytest.param(
            Latencies(0, np.nan, np.nan, np.full(len(PERCENTILES), np.nan)), spread(1, 2), "No records", id="none"
        ),
        pytest.param(
            spread(1, 2), Latencies(9, 0.0, np.nan, np.full(len(PERCENTILES), np.nan)), "Nothing was", id="null"
        ),
    ],
)
def test_the_medians_are_said(first, second, sentence):
    assert compare.said(first, second, TERMS).replace(NBSP, " ").startswith(sentence)


def test_statistics_are_said_with_their_change():
    second = spread(50, 50, 50)._replace(n=80, failed=0.05)

    table = compare.statistics(spread(100, 100, 100), second, TERMS)

    said = {row.what: [cell.replace(NBSP, " ") for cell in row[2:]] for row in table.frame.itertuples()}
    assert said["Records"] == ["100", "80", "+20, +25.0 %"]
    assert said["Failed"] == ["10.0 %", "5.0 %", "+5.0 points"]
    assert said["Median"] == ["100 ms", "50.0 ms", "+50.0 ms, +100 %"]


@pytest.mark.parametrize("held", [(100, 100, 100), (1, 10, 100_000)])
def test_the_curves_are_vega_lite(held):
    chart = compare.curves(spread(*held), spread(90, 100, 300), TERMS)

    alt.LayerChart.validate({**chart, "datasets": {}})
    assert {layer["data"]["name"] for layer in chart["layer"] if "name" in layer["data"]} == set(chart["datasets"])


def test_a_range_whose_records_have_no_value_says_so(store):
    spans = [span(START, None, n=1, duration_ms=None)]
    store.replace("sample", spans)

    found = causes.latencies(ASKED, Window(START, NOW))

    assert compare.said(found, found, TERMS) == "Nothing was measured in one of the ranges"
