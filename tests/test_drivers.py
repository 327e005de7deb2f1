"""What sets slow or failed records apart: found where it was planted, and silent where there is nothing."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from core import causes
from core.analysis import drivers as analysis
from core.question import Question, Window
from tests.test_metrics import span

START = datetime(2026, 11, 24, 10)
HOUR = timedelta(hours=1)
NOW = START + HOUR
ASKED = Question(start=START, end=NOW)


def record(n, latency, *, numbers=None, texts=None, booleans=None, **changes):
    made = span(START + timedelta(milliseconds=n), latency, n=n, numbers=numbers or {}, **changes)
    return made._replace(texts=texts or {}, booleans=booleans or {})


def found(store, spans, question=ASKED):
    store.replace("sample", spans)
    return causes.drivers(question, NOW)


def row(frame, key, value):
    [one] = frame[(frame["key"] == key) & (frame["value"] == value)].to_dict("records")
    return one


def planted(count=1000, seed=0):
    """A tenth of the requests meets shard c, and is slow there; the rest is noise."""
    random = np.random.default_rng(seed)
    shards = random.choice(["a", "b", "c"], count, p=[0.5, 0.4, 0.1])
    return [
        record(
            n,
            float(random.uniform(50, 100) + (200 if shard == "c" else 0)),
            texts={"shard_id": shard, "region": str(random.choice(["eu", "us"])), "request_id": f"r{n}"},
            numbers={"size": float(random.integers(0, 1_000)), "processing_time_ms": 1.0},
            booleans={"retry": bool(random.random() < 0.3)},
        )
        for n, shard in enumerate(shards)
    ]


def test_a_planted_cause_is_found_comes_first_and_is_the_only_significant_one(store):
    frame = found(store, planted())

    first = frame.iloc[0]
    assert (first["key"], first["value"], first["significant"]) == ("shard_id", "c", True)
    assert frame["significant"].sum() == 1
    assert first["share_slow"] > 0.9


def test_shares_effect_and_p_are_what_another_computation_says(store):
    spans = planted()

    frame = found(store, spans)

    table = pd.DataFrame([{"latency": one.latency_ms, **one.texts} for one in spans])
    slow = table["latency"] >= table["latency"].nlargest(len(table) // 10).min()
    for shard in "abc":
        has = table["shard_id"] == shard
        said = row(frame, "shard_id", shard)
        assert said["share_slow"] == pytest.approx((slow & has).sum() / slow.sum())
        assert said["share_all"] == pytest.approx(has.mean())
        assert said["n"] == has.sum()
        assert said["effect_ms"] == pytest.approx(
            table.loc[has, "latency"].median() - table.loc[~has, "latency"].median()
        )
        both = pd.crosstab(~has, ~slow)
        assert said["p_value"] == pytest.approx(stats.fisher_exact(both, "greater").pvalue, rel=1e-6)


def test_chances_are_those_of_the_hypergeometric_distribution_at_any_size():
    random = np.random.default_rng(0)
    for everyone in (2, 7, 40, 900, 30_000):
        slow = int(random.integers(1, everyone))
        n = random.integers(1, everyone, 50)
        hits = stats.hypergeom.rvs(everyone, slow, n, random_state=random)

        chances = analysis._at_least(hits, everyone, slow, n)

        assert chances == pytest.approx(stats.hypergeom.sf(hits - 1, everyone, slow, n), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_without_a_cause_nothing_is_called_significant(store, seed):
    random = np.random.default_rng(seed)
    spans = [
        record(
            n,
            float(random.lognormal(4, 0.5)),
            texts={f"t{k}": str(random.integers(0, 2 + 3 * k)) + "x" for k in range(4)},
            numbers={f"n{k}": float(random.normal()) for k in range(4)},
            booleans={"b": bool(random.random() < 0.5)},
        )
        for n in range(600)
    ]

    frame = found(store, spans)

    assert len(frame) > 30
    assert not frame["significant"].any()


def test_of_two_annotations_that_go_together_the_cause_comes_before_its_shadow(store):
    random = np.random.default_rng(1)
    spans = []
    for n in range(1000):
        bad = random.random() < 0.1
        shadow = "old" if random.random() < (0.7 if bad else 0.2) else "new"
        spans.append(record(n, 100 + 200 * bad + random.random(), texts={"disk": f"d{int(bad)}", "kernel": shadow}))

    frame = found(store, spans)

    significant = frame[frame["significant"]][["key", "value"]].to_numpy().tolist()
    assert significant == [["disk", "d1"], ["kernel", "old"]]


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_of_a_few_records_nothing_is_said(store, count):
    spans = [record(n, 10.0 + 100 * (n == 0), texts={"shard_id": "ab"[n > 0]}) for n in range(count)]

    assert not found(store, spans)["significant"].any()


def test_where_all_records_are_equal_there_are_no_slow_ones(store):
    spans = [record(n, 100.0, texts={"shard_id": "ab"[n % 2]}) for n in range(100)]

    assert found(store, spans).empty


def test_of_many_equal_values_the_slow_ones_are_those_that_come_nearest_to_a_tenth(store):
    spans = [record(n, 200.0 if n < 5 else 100.0, texts={"shard_id": "ab"[n >= 5]}) for n in range(100)]

    assert row(found(store, spans), "shard_id", "a")["share_slow"] == 1


def test_what_all_records_have_is_no_driver(store):
    frame = found(store, [one._replace(texts={**one.texts, "region": "eu"}) for one in planted(300)])

    assert {"region", "service", "name"}.isdisjoint(frame["key"])


def test_neither_the_measure_nor_what_it_is_made_of_nor_a_name_of_the_record_is_a_driver(store):
    spans = [
        record(
            n,
            float(n),
            numbers={"processing_time_ms": float(n), "db_ms": float(n), "duration": float(n), "order_id": float(n)},
            texts={"request_id": f"r{n}", "hour_str": "2026-11-24T10", "shard_id": "ab"[n % 2]},
        )
        for n in range(200)
    ]

    assert set(found(store, spans)["key"]) == {"shard_id"}


def test_another_measure_is_not_its_own_driver_either(store):
    spans = [record(n, 1.0, numbers={"depth": float(n), "width": float(n % 40)}) for n in range(200)]

    frame = found(store, spans, Question(start=START, end=NOW, measure="depth"))

    assert set(frame["key"]) == {"width"}


def test_the_failed_take_the_place_of_the_slow_where_the_error_rate_is_asked_for(store):
    random = np.random.default_rng(2)
    spans = []
    for n in range(500):
        failed = n % 10 == 0
        texts = {"version": "v2" if failed or random.random() < 0.1 else "v1"}
        spans.append(record(n, 50.0 + n % 7, failed=failed, texts=texts, booleans={"error": failed}))

    frame = found(store, spans, Question(start=START, end=NOW, stat="error_rate"))

    first = frame.iloc[0]
    assert (first["key"], first["value"], first["significant"], first["share_slow"]) == ("version", "v2", True, 1.0)
    assert "error" not in set(frame["key"])


def test_shares_are_of_all_records_also_of_those_without_the_annotation(store):
    spans = [
        record(n, 300.0 if n < 10 else 100.0, texts={"coupon": "x"} if n < 12 else {"other": "y"}) for n in range(100)
    ]

    said = row(found(store, spans), "coupon", "x")

    assert (said["share_slow"], said["share_all"], said["n"], said["effect_ms"]) == (1.0, 0.12, 12, 200.0)


def test_a_key_that_holds_numbers_texts_and_booleans_is_read_value_by_value(store):
    kinds: list[dict[str, Any]] = [
        {"numbers": {"mixed": 5.0}},
        {"texts": {"mixed": "5"}, "numbers": {"mixed": 5.0}},
        {"texts": {"mixed": "none"}},
        {"booleans": {"mixed": True}},
    ]
    spans = [record(n, float(n), **kinds[n % 4]) for n in range(100)]

    frame = found(store, spans)

    assert {(one.key, one.value, one.n) for one in frame.itertuples()} == {
        ("mixed", "5", 50),
        ("mixed", "none", 25),
        ("mixed", "true", 25),
    }


def test_numbers_are_parted_into_fifths_with_readable_bounds(store):
    spans = [record(n, 500.0 if n % 1000 > 820 else 100.0, numbers={"size": float(n % 1000)}) for n in range(2000)]

    frame = found(store, spans)

    assert set(frame["value"]) == {"under 200", "200 to 400", "400 to 600", "600 to 800", "800 or more"}
    first = frame.iloc[0]
    assert (first["value"], first["share_slow"], first["significant"], first["n"]) == ("800 or more", 1.0, True, 400)


def test_numbers_that_are_mostly_one_value_stand_against_the_rest(store):
    spans = [record(n, 100.0 + n % 3, numbers={"retries": float(max(n - 280, 0))}) for n in range(300)]

    frame = found(store, spans)

    assert set(frame["value"]) == {"under 1", "1 or more"}


def test_a_step_that_only_some_traces_have_is_a_driver(store):
    spans = []
    for n in range(300):
        slow = n % 10 == 0
        spans.append(record(n, 300.0 if slow else 100.0, booleans={"seen": True}))
        names = ["fetch", "retry"] if slow else ["fetch"]
        spans += [record(n, 1.0)._replace(span_id=f"{name}{n}", name=name) for name in names]

    frame = found(store, spans)

    assert frame[["key", "value", "significant"]].to_numpy().tolist() == [["step", "retry", True]]


def test_services_and_operations_are_looked_at(store):
    spans = [
        record(n, 100.0 + n % 7, booleans={"seen": True}, service=f"s{n % 2}")._replace(name="list") for n in range(270)
    ] + [record(n, 300.0, booleans={"seen": True}, service=f"s{n % 2}") for n in range(270, 300)]

    frame = found(store, spans)

    assert frame.iloc[0][["key", "value", "significant"]].to_list() == ["name", "pay", True]
    assert set(frame["key"]) == {"name", "service"}


def test_of_a_key_with_many_values_the_most_frequent_are_looked_at(store):
    spans = [record(n, float(n), texts={"user": f"u{n % 300}"}) for n in range(1200)]

    assert len(found(store, spans)) == analysis.MOST_VALUES


def test_a_bucket_that_is_chosen_takes_the_place_of_the_range(store):
    early = [one._replace(started_at=START - HOUR, trace_id=f"e{n}") for n, one in enumerate(planted(300, seed=5))]
    store.replace("sample", early + [record(n, float(n), texts={"only": "ab"[n % 2]}) for n in range(50)])

    frame = causes.drivers(Question(range="all", bucket=START), NOW)

    assert set(frame["key"]) == {"only"}


def test_the_table_has_its_columns_and_types_without_any_record(store):
    frame = causes.drivers(ASKED, NOW)

    assert list(frame.columns) == ["source", "measure", "unit", *analysis.COLUMNS]
    assert frame["significant"].dtype == bool


def test_statements_bind_what_people_wrote():
    asked = Question(measure="x'] OR 1=1 --", service="'; DROP TABLE spans")

    statement = analysis.holders(asked, Window(START, NOW))

    assert "1=1" not in statement.sql
    assert "DROP" not in statement.sql
