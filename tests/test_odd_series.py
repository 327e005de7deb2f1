"""Odd series end to end, from spans in a real store to every answer of a page: no crash, no warning, a sensible answer.

Warnings are errors in these tests.
"""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from core import queries
from core.ingest import segments
from core.question import Question

END = datetime(2026, 3, 9, 10)
NOW = END + timedelta(minutes=20)
HOUR = timedelta(hours=1)
HOURS = 5 * 24
WAVE = 1 + 0.3 * np.sin(2 * np.pi * np.arange(HOURS) / 24) + 0.05 * np.random.default_rng(0).standard_normal(HOURS)

SERIES = {
    "constant": np.full(HOURS, 100.0),
    "zero": np.zeros(HOURS),
    "intermittent": np.where(np.arange(HOURS) % 6 == 0, 40.0, 0.0),
    "one point": np.array([100.0]),
    "no values": np.full(HOURS, np.nan),
    "a week without traces": np.concatenate([100 * WAVE, np.full(7 * 24, np.nan), 110 * WAVE[:72]]),
    "negative": -100 * WAVE,
    "around zero": 100 * (WAVE - 1),
    "huge": 1e12 * WAVE,
    "tiny": 1e-6 * WAVE,
}
WITHOUT_FORECAST = {"one point", "no values"}


def send(store, values, *, empty=False):
    """One request an hour up to END with the annotation `size`; where that is not a number none, or one without it."""
    documents = []
    for back, value in zip(range(len(values), 0, -1), values, strict=True):
        if np.isnan(value) and not empty:
            continue
        began = (END - back * HOUR).replace(tzinfo=UTC).timestamp()
        size = "" if np.isnan(value) else f', "size": {float(value)!r}'
        documents.append(
            f'{{"name": "shop", "id": "{back:016x}", "trace_id": "1-{int(began):08x}-{0:024x}",'
            f' "start_time": {began}, "end_time": {began + 1}, "annotations": {{"flag": "low"{size}}}}}'
        )
    for start in range(0, len(documents), 50):
        assert segments.take(documents[start : start + 50], "live", NOW, store) == []


def asked(**more):
    return Question(source="live", end=END, measure="size", **more)


def every_answer(question):
    """All that the pages ask, by name."""
    return {
        "threshold": queries.threshold(question, NOW),
        "readiness": queries.readiness(question, NOW),
        "forecast": queries.forecast(question, NOW),
        "crossings": queries.crossings(question, NOW),
        "anomalies": queries.anomalies(question, NOW),
        "usual": queries.usual_crossing(question, NOW),
        "held": queries.held(question, NOW),
        "cost": queries.cost(question, NOW),
    }


@pytest.mark.parametrize("granularity", ["hourly", "daily"])
@pytest.mark.parametrize("name", SERIES)
def test_an_odd_series_has_an_answer_to_every_question(store, name, granularity):
    values = SERIES[name]
    send(store, values, empty=name == "no values")
    said = every_answer(asked(granularity=granularity))
    forecast, chance = said["forecast"], said["crossings"]["probability"].iloc[0]

    assert said["threshold"] > 0
    if name in WITHOUT_FORECAST:
        assert forecast.empty
        assert np.isnan(chance)
        assert said["cost"] is None
        return
    known = values[np.isfinite(values)]
    reach = 2 * np.abs(known).max()
    assert len(forecast) == {"hourly": 24, "daily": 7}[granularity]
    assert forecast["p_above"].between(0, 1).all()
    assert 0 <= chance <= 1
    middle = forecast["yhat"].dropna()
    assert len(middle) == (0 if name in ("zero", "intermittent") else len(forecast))
    assert middle.between(known.min() - reach, known.max() + reach).all()
    assert (middle <= forecast["yhat_upper"].dropna()).all()


def test_a_constant_is_forecast_as_itself_and_nothing_in_it_is_unusual(store):
    send(store, SERIES["constant"])
    said = every_answer(asked(threshold=150.0))

    assert said["forecast"]["yhat"].to_list() == pytest.approx([100.0] * 24)
    assert said["anomalies"].empty
    assert said["crossings"]["probability"].iloc[0] < 0.05
    assert said["cost"].chosen["warnings"] == 0


@pytest.mark.parametrize("scale", [1e12, 1e-6])
def test_the_unit_changes_no_chance(store, scale):
    values = np.concatenate([100 * WAVE, [240.0]])
    send(store, scale * values)
    scaled = every_answer(asked(threshold=120 * scale))
    store.remove("live")
    send(store, values)
    plain = every_answer(asked(threshold=120.0))

    assert scaled["forecast"]["p_above"].to_list() == pytest.approx(plain["forecast"]["p_above"].to_list())
    assert scaled["crossings"]["probability"].iloc[0] == pytest.approx(plain["crossings"]["probability"].iloc[0])
    assert scaled["anomalies"]["start"].to_list() == plain["anomalies"]["start"].to_list()
    assert scaled["cost"].chosen.iloc[1:5].to_list() == plain["cost"].chosen.iloc[1:5].to_list()


# What is left out


def test_an_excluded_incident_leaves_the_fit_and_is_still_there_to_see(store):
    values = 100 * WAVE
    values[-40:-30] *= 8
    send(store, values)
    incident = (END - 40 * HOUR, END - 30 * HOUR)
    with_it, without = asked(), asked(exclude=(incident,))

    assert queries.metrics(without, NOW)["value_avg"].max() > 500
    assert (queries.forecast(without, NOW)["yhat_upper"] < queries.forecast(with_it, NOW)["yhat_upper"]).all()
    assert queries.readiness(without, NOW).observed_hours == queries.readiness(with_it, NOW).observed_hours - 10


def test_an_excluded_range_counts_as_if_its_hours_had_never_come(store):
    send(store, 100 * WAVE)
    out = asked(exclude=((END - 60 * HOUR, END - 50 * HOUR),))
    excluded = queries.forecast(out, NOW)
    store.remove("live")
    values = 100 * WAVE
    values[-60:-50] = np.nan
    send(store, values)

    assert excluded["yhat"].to_list() == queries.forecast(asked(), NOW)["yhat"].to_list()
    assert excluded["p_above"].to_list() == queries.forecast(out, NOW)["p_above"].to_list()


# What a page may ask again


def test_a_moved_threshold_or_chance_fits_nothing_anew(store, monkeypatch):
    send(store, 100 * WAVE)
    first = queries.cost(asked(threshold=120.0), NOW)

    def refused(*_, **__):
        raise AssertionError("a fit was asked for")

    monkeypatch.setattr("core.workers.submit", refused)
    monkeypatch.setattr("core.analysis.forecast.fit", refused)
    moved = queries.cost(asked(threshold=110.0), NOW)
    bolder = queries.cost(asked(threshold=120.0, p=0.2), NOW)

    assert first is not None
    assert moved is not None
    assert bolder is not None
    assert moved.curve.equals(first.curve)
    assert moved.chosen.to_list() != first.chosen.to_list()
    assert bolder.curve["warnings"].sum() != first.curve["warnings"].sum()


@pytest.mark.parametrize("granularity", ["hourly", "daily"])
@pytest.mark.parametrize("silent", [0, 8])
def test_data_stopped_when_none_came_for_hours_not_when_a_day_is_running_or_hours_are_left_out(
    store, granularity, silent
):
    send(store, np.concatenate([SERIES["constant"], np.full(silent, np.nan)]))
    since = END - silent * HOUR if silent else None
    left_out = ((END - 8 * HOUR, END),)
    for question in (asked(granularity=granularity), asked(granularity=granularity, exclude=left_out)):
        assert queries.readiness(question, NOW).stopped_since == since
