"""Many series at once: each group is forecast, by the workers where they run, and what is left out is counted."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from core import queries, workers
from core.analysis import forecast as forecasting
from core.ingest import segments
from core.question import Question

END = datetime(2026, 3, 9, 10)
NOW = END + timedelta(minutes=20)
HOUR = timedelta(hours=1)
BY_SHARD = Question(source="live", end=END, by="shard_id")


def latency(hours, seed):
    random = np.random.default_rng(seed)
    return 100 + 20 * seed + 20 * np.sin(2 * np.pi * np.arange(hours) / 24) + random.standard_normal(hours)


def send(store, hours, shards):
    """One request an hour and shard up to END, and another of the first shard."""
    documents = []
    for seed, shard in enumerate(shards):
        for number, y in enumerate(latency(hours, seed)):
            began = (END - (hours - number) * HOUR).replace(tzinfo=UTC).timestamp()
            documents += [
                f'{{"name": "shop", "id": "{number:08x}{copy}{seed:07x}", "trace_id": "1-{int(began):08x}-{seed:024x}",'
                f' "start_time": {began}, "end_time": {began + 1},'
                f' "annotations": {{"processing_time_ms": {float(y)}, "shard_id": "{shard}"}}}}'
                for copy in range(2 if seed == 0 else 1)
            ]
    for start in range(0, len(documents), 50):
        assert segments.take(documents[start : start + 50], "live", NOW, store) == []


def test_each_group_is_forecast_as_if_it_were_alone_with_workers_too(store):
    send(store, 60, ["a", "b"])
    workers.start(forecasting.warm)
    try:
        frame = queries.forecast(BY_SHARD, NOW)
    finally:
        workers.stop()

    assert frame["group"].unique().tolist() == ["a", "b"]
    for seed, shard in enumerate("ab"):
        hours = pd.DataFrame({"ds": [END - back * HOUR for back in range(60, 0, -1)], "y": latency(60, seed)})
        alone = forecasting.predict(forecasting.fit(hours, "hourly", END), 24)
        mine = frame[frame["group"] == shard]
        assert mine["yhat"].to_list() == alone["yhat"].to_list()
        assert mine["yhat_upper"].to_list() == alone["yhat_upper"].to_list()


def test_a_fit_that_was_lost_is_made_when_it_is_asked_for_again(store, monkeypatch):
    send(store, 60, ["a", "b"])

    def lost(*_, **__):
        raise OSError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(forecasting, "fit", lost)
        with pytest.raises(OSError, match="gone"):
            queries.forecast(BY_SHARD, NOW)

    assert len(queries.forecast(BY_SHARD, NOW)) == 48


def test_the_200_largest_groups_are_forecast_and_the_others_counted(store):
    send(store, 1, [f"shard {number:03}" for number in range(203)])

    assert len(queries.crossings(BY_SHARD, NOW)) == 200
    assert queries.crossings(BY_SHARD, NOW)["group"].iloc[0] == "shard 000"
    assert queries.left_out(BY_SHARD, NOW) == 3
    assert queries.left_out(Question(source="live", end=END), NOW) == 0


def test_the_group_that_will_cross_first_has_the_highest_chance(store):
    send(store, 72, ["a", "b", "c"])
    chances = queries.crossings(Question(source="live", end=END, by="shard_id", threshold=155.0), NOW)

    assert chances.set_index("group")["probability"].idxmax() == "c"
