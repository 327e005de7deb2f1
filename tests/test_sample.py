"""The simulated source: what it shows, that it is the same however it is made, and how it gets into the store."""

from collections import Counter
from datetime import datetime, timedelta

import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.analysis import crossing, forecast
from core.ingest import sample
from core.ingest.sample import Sample, spans, table
from core.spans import Span, document, parse
from core.store import Store

ANCHOR = datetime(2026, 3, 14, 9)
HOUR = timedelta(hours=1)
SEVEN = {"flag", "price_usd", "processing_time_ms", "shard_id", "error", "hour_str", "data_volume_bytes"}


def annotations(span: Span) -> dict[str, float | str | bool]:
    return {**span.numbers, **span.texts, **span.booleans}


def hourly_latency(anchor: datetime, first: int, last: int) -> pd.Series:
    """The mean latency of the annotated spans by hour, counted from the anchor."""
    frame = table(anchor, first, last).select(["name", "started_at", "latency_ms"]).to_pandas()
    records = frame[frame["name"] == "annotate"]
    hour = (records["started_at"] - anchor) // HOUR
    return records["latency_ms"].groupby(hour).mean()


@pytest.fixture(scope="module")
def history() -> list[Span]:
    return spans(ANCHOR, -60 * 24, 0)


@pytest.fixture(scope="module")
def latency() -> pd.Series:
    return hourly_latency(ANCHOR, -60 * 24, 40 * 24)


@given(
    anchor=st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)).map(
        lambda moment: moment.replace(minute=0, second=0, microsecond=0)
    ),
    first=st.integers(-1440, 2000),
    lengths=st.tuples(st.integers(0, 12), st.integers(0, 12)),
)
@settings(max_examples=25, deadline=None)
def test_hours_made_apart_equal_the_same_hours_made_at_once(anchor, first, lengths):
    middle, last = first + lengths[0], first + sum(lengths)

    assert spans(anchor, first, middle) + spans(anchor, middle, last) == spans(anchor, first, last)


def test_the_history_has_about_twenty_traces_an_hour_and_ends_at_the_anchor(history):
    starts = [span.started_at for span in history]

    assert 140_000 < len(history) < 148_000
    assert ANCHOR - 60 * 24 * HOUR <= min(starts) < ANCHOR - 60 * 24 * HOUR + HOUR
    assert ANCHOR - HOUR <= max(starts) < ANCHOR
    assert {span.source for span in history} == {"sample"}


def test_no_two_spans_have_the_same_id(history):
    assert len({(span.trace_id, span.span_id) for span in history}) == len(history)
    assert len({span.trace_id for span in history}) * 5 == len(history)


def test_a_trace_is_a_segment_with_four_steps_that_follow_each_other(history):
    for at in range(0, len(history), 5):
        segment, fetch, classify, annotate, store = history[at : at + 5]

        assert (segment.kind, segment.parent_id, segment.name) == ("segment", None, "btc-pipeline")
        assert [step.name for step in (fetch, classify, annotate, store)] == ["fetch", "classify", "annotate", "store"]
        assert {step.parent_id for step in (fetch, classify, annotate, store)} == {segment.span_id}
        assert len({span.trace_id for span in history[at : at + 5]}) == 1
        assert segment.started_at == fetch.started_at < classify.started_at < annotate.started_at < store.started_at
        assert abs(segment.duration_ms - sum(step.duration_ms for step in (fetch, classify, annotate, store))) < 0.003


def test_one_span_of_each_trace_carries_all_seven_annotations_and_its_columns_repeat_them(history):
    for at in range(0, len(history), 5):
        annotated = [span for span in history[at : at + 5] if annotations(span)]

        assert [span.name for span in annotated] == ["annotate"]
        assert annotations(annotated[0]).keys() == SEVEN
        assert annotated[0].latency_ms == annotated[0].numbers["processing_time_ms"]
        assert annotated[0].price_usd == annotated[0].numbers["price_usd"]
        assert annotated[0].data_volume_bytes == annotated[0].numbers["data_volume_bytes"]
        assert annotated[0].failed == annotated[0].booleans["error"] == history[at].failed
        assert annotated[0].texts["hour_str"] == annotated[0].started_at.strftime("%Y-%m-%dT%H")


def test_its_traces_are_valid_x_ray_documents(history):
    for at in [*range(0, 5_000, 5), *(i - i % 5 for i, span in enumerate(history) if span.detail)]:
        trace = history[at : at + 5]
        documents = document(trace)
        read = parse(orjson.dumps(documents[0]), "sample", ANCHOR, pytest.fail)

        assert len(documents) == 1
        assert [to_the_microsecond(span) for span in read] == trace


def to_the_microsecond(span: Span) -> Span:
    """A document's times are seconds since 1970 as doubles, whose difference is off by a tenth of a microsecond."""
    assert span.duration_ms is not None
    assert span.latency_ms is not None
    return span._replace(duration_ms=round(span.duration_ms, 3), latency_ms=round(span.latency_ms, 3))


def test_a_failed_fetch_is_a_fault_with_an_exception_and_some_have_an_http_status(history):
    failed = [span for span in history if span.name == "fetch" and span.fault]
    statuses = Counter(span.http_status for span in failed)

    assert statuses.keys() == {503, 429, None}
    assert all(span.throttle == span.error == (span.http_status == 429) for span in failed)
    assert all(orjson.loads(span.detail)["cause"]["exceptions"][0]["message"] for span in failed)
    assert {span.http_status for span in history if span.name == "fetch" and not span.fault} == {200}


def test_groups_differ(history):
    records = pd.DataFrame(
        [{**annotations(span), "latency_ms": span.latency_ms} for span in history if span.name == "annotate"]
    )
    by_api = records.groupby("shard_id")["latency_ms"].mean()
    by_flag = records.groupby("flag")["latency_ms"].mean()

    assert by_api["coinbase"] * 1.1 < by_api["kraken"] < by_api["coingecko"] / 1.1
    assert by_flag["extreme"] > 1.08 * by_flag["average"]
    assert set(by_flag.index) == {"low", "average", "high", "extreme"}
    assert 0.01 < records["error"].mean() < 0.03


def test_a_gap_two_incidents_and_a_deployment_lie_in_the_history(latency):
    past = latency[latency.index < 0]
    usual = past.groupby(past.index % 24).transform("median")
    day = past.groupby((past.index - 8 + 12) // 24).mean()

    assert [hour for hour in range(-1440, 0) if hour not in past.index] == list(range(-621, -616))
    assert (past / usual)[lambda ratio: (ratio > 1.45) & (ratio.index < -48)].index.to_series().diff().gt(24).sum() == 1
    assert day.loc[-16:-5].median() / day.loc[-30:-19].median() == pytest.approx(1.1, abs=0.04)


def test_latency_crosses_150_ms_within_the_day_after_the_anchor_and_a_roll_back_ends_that(latency):
    quiet_days = latency.loc[-8 * 24 : -25]
    first_day = latency.loc[0:23]

    assert quiet_days.max() < 145
    assert (first_day > 150).sum() >= 8
    assert latency.loc[31:72].max() < 145
    assert (latency.loc[21 * 24 : 22 * 24] > 150).sum() >= 8


@pytest.mark.parametrize("anchor", [ANCHOR, datetime(2026, 11, 21, 23), datetime(2027, 2, 28, 16)], ids=str)
def test_whenever_it_starts_the_forecast_gives_the_crossing_of_the_next_day_60_to_90_per_cent(anchor):
    latency = hourly_latency(anchor, -60 * 24, 0)
    history = pd.DataFrame({"ds": [anchor + HOUR * hour for hour in latency.index], "y": latency.to_numpy()})
    model = forecast.fit(history, "hourly", anchor + timedelta(minutes=20))
    foreseen = crossing.first_crossing(model, 24, 150.0)

    assert foreseen.probability is not None
    assert foreseen.median is not None
    assert 0.6 <= foreseen.probability <= 0.9
    assert anchor + 2 * HOUR <= foreseen.median <= anchor + 12 * HOUR
    assert np.all(forecast.predict(model, 24)["yhat"] < 170)


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(sample, "HISTORY_HOURS", 48)
    with Store(tmp_path / "spans.duckdb") as store:
        yield store


def stored(store: Store) -> list[tuple[str, ...]]:
    frame = store.query(
        "SELECT trace_id, span_id, started_at, duration_ms, numbers, texts FROM spans WHERE source = 'sample'"
        " ORDER BY started_at, trace_id, span_id"
    )
    return [tuple(map(str, row)) for row in frame.itertuples(index=False)]


def test_a_restart_within_the_hour_rewrites_nothing(store):
    Sample(store, ANCHOR + timedelta(minutes=3)).refresh(ANCHOR + timedelta(minutes=3))
    version = store.version("sample")
    Sample(store, ANCHOR + timedelta(minutes=40)).refresh(ANCHOR + timedelta(minutes=40))

    assert store.version("sample") == version
    assert len(stored(store)) == len(spans(ANCHOR, -48, 0))


def test_hours_are_appended_as_they_pass_and_equal_those_made_at_once(store, tmp_path):
    source = Sample(store, ANCHOR)
    source.refresh(ANCHOR)
    source.refresh(ANCHOR + timedelta(minutes=59))
    source.refresh(ANCHOR + timedelta(hours=1, seconds=1))
    source.refresh(ANCHOR + timedelta(hours=5, seconds=1))  # a laptop that slept for four hours
    source.refresh(ANCHOR + timedelta(hours=5, minutes=30))
    with Store(tmp_path / "at_once.duckdb") as other:
        Sample(other, ANCHOR).refresh(ANCHOR + timedelta(hours=5))

        assert stored(store) == stored(other)


def test_a_later_start_replaces_the_sample_of_the_earlier_one(store):
    Sample(store, ANCHOR).refresh(ANCHOR + 2 * HOUR)
    Sample(store, ANCHOR + 3 * HOUR).refresh(ANCHOR + 3 * HOUR)
    sources = store.sources().set_index("source")

    assert sources.loc["sample", "rows"] == len(spans(ANCHOR + 3 * HOUR, -48, 0))
    assert sources.loc["sample", "oldest"] >= ANCHOR + 3 * HOUR - 48 * HOUR


def test_a_sample_that_was_removed_stays_away_until_the_next_start(store):
    source = Sample(store, ANCHOR)
    source.refresh(ANCHOR)
    store.remove("sample")
    source.refresh(ANCHOR + HOUR)

    assert "sample" not in store.sources()["source"].to_list()

    Sample(store, ANCHOR + HOUR).refresh(ANCHOR + HOUR)

    assert "sample" in store.sources()["source"].to_list()
