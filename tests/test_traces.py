"""The list of traces: which, in which order, by which conditions, as frames and as CSV."""

from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pandas as pd
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from core import conditions, traces
from core.analysis.traces import identified
from core.conditions import Condition
from core.errors import QuestionError
from core.question import Question, parse, to_params
from core.spans import Span

T0 = datetime(2026, 11, 24, 13)
DAY: dict[str, Any] = {"source": "live", "start": datetime(2026, 11, 24), "end": datetime(2026, 11, 25)}


def span(trace, span_id="a", parent=None, at_s=0.0, ms=100.0, *, name="checkout", **columns):
    values: dict[str, Any] = {
        "source": "live",
        "trace_id": f"{trace:032x}",
        "span_id": span_id,
        "parent_id": parent,
        "kind": "subsegment" if parent else "segment",
        "service": "shop",
        "name": name,
        "started_at": T0 + timedelta(seconds=at_s),
        "duration_ms": ms,
        "error": False,
        "fault": False,
        "throttle": False,
        "numbers": {},
        "texts": {},
        "booleans": {},
        "failed": False,
        "in_progress": ms is None,
    }
    return Span._make({**values, **columns}.get(field) for field in Span._fields)


@pytest.fixture
def shop(fresh, store):
    """Trace 1: quick; 2: slow, its subsegment a fault; 3: its root was lost, an hour later; 4: of another service."""
    store.append(
        [
            span(1, ms=50, texts={"flag": "high"}, numbers={"items": 3.0}, http_status=200),
            span(2, ms=900, at_s=60, booleans={"vip": True}),
            span(2, "b", "a", 60.1, 700, name="charge", fault=True, failed=True, http_url="https://pay.example/c"),
            span(3, "b", "gone", 3600, 400, name="orphan", texts={"flag": "low, or not", "items": "3"}),
            span(4, ms=200, at_s=120, service="stock", name="count", detail='{"cause": {"message": "Boom"}}'),
        ]
    )
    return store


def numbers(question, now=T0):
    return [int(trace_id, 16) for trace_id in traces.first(question, now)["trace_id"]]


def asked(**params):
    return Question(**DAY, **params)


@pytest.mark.parametrize(
    ("sort", "expected"), [(None, [2, 3, 4, 1]), ("newest", [3, 4, 2, 1]), ("error", [2, 3, 4, 1])]
)
def test_traces_stand_in_the_order_asked_for(shop, sort, expected):
    assert numbers(asked(sort=sort)) == expected


def test_a_row_is_of_its_first_root_and_of_all_its_spans(shop):
    row = traces.first(asked(), T0).iloc[0]

    assert (row["name"], row["service"], row["span_count"], row["duration_ms"]) == ("checkout", "shop", 2, 900)
    assert (bool(row["fault"]), bool(row["failed"]), bool(row["error"])) == (True, True, False)


def test_totals_are_of_the_whole_list(shop):
    assert traces.totals(asked(), T0) == traces.Totals(4, 1, 900.0)
    assert traces.totals(asked(q="nowhere"), T0) == traces.Totals(0, 0, None)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"service": "stock"}, [4]),
        ({"q": "PAY.example"}, [2]),
        ({"q": "boom"}, [4]),
        ({"q": f"{3:032x}"}, [3]),
        ({"q": "1-00000000-000000000000000000000003"}, [3]),
        ({"bucket": "2026-11-24T14:10"}, [3]),
        ({"bucket": "2026-11-24T14:10", "granularity": "daily"}, [2, 3, 4, 1]),
        ({"where": "flag=high"}, [1]),
        ({"where": 'flag="low, or not"'}, [3]),
        ({"where": "flag!=high"}, [3]),
        ({"where": "flag~LOW"}, [3]),
        ({"where": "items=3"}, [3, 1]),
        ({"where": "items>2,items<=3"}, [1]),
        ({"where": "vip=true"}, [2]),
        ({"where": "status=fault"}, [2]),
        ({"where": "status=failed"}, [2]),
        ({"where": "status=ok"}, [3, 4, 1]),
        ({"where": "status!=ok"}, [2]),
        ({"where": "status!=failed"}, [3, 4, 1]),
        ({"where": "name=charge"}, [2]),
        ({"where": "name!=checkout"}, [2, 3, 4]),
        ({"where": "http_status=200"}, [1]),
        ({"where": "duration_ms>=400"}, [2, 3]),
        ({"where": "duration_ms<200"}, [1]),
        ({"where": "duration_ms<=200"}, [4, 1]),
        ({"where": "name>3"}, []),
        ({"where": "unknown=1"}, []),
        ({"where": "'; DROP TABLE spans; --=1"}, []),
    ],
    ids=str,
)
def test_traces_are_narrowed_alike_on_the_page_and_in_the_csv(shop, address, params, expected):
    question = parse({"source": "live", "start": "2026-11-24", "end": "2026-11-25", **params})

    answer = requests.get(f"{address}/api/v1/traces.csv", params=to_params(question), timeout=30)

    assert numbers(question) == expected
    assert traces.totals(question, T0).traces == len(expected)
    table = pd.read_csv(StringIO(answer.text), dtype={"trace_id": str})
    assert [int(trace_id, 16) for trace_id in table["trace_id"]] == expected


def test_the_csv_has_the_columns_of_the_contract(shop, address):
    answer = requests.get(
        f"{address}/api/v1/traces.csv?source=live&start=2026-11-24&end=2026-11-25&where=flag%3Dhigh", timeout=30
    )

    assert "tracecast-live-20261124T0000-20261125T0000-150ms-traces.csv" in answer.headers["content-disposition"]
    assert answer.text.splitlines() == [
        "source,measure,unit,trace_id,started_at,duration_ms,service,name,error,fault,throttle,http_status,span_count",
        f"live,latency_ms,ms,{1:032x},2026-11-24T13:00:00Z,50.0,shop,checkout,false,false,false,200,1",
    ]


def test_a_trace_belongs_to_the_range_in_which_a_span_of_it_started_and_is_told_whole(shop, store):
    store.append([span(9, at_s=-1, ms=5_000, name="before"), span(9, "b", "a", 1, 10)])
    later = Question(source="live", start=T0, end=T0 + timedelta(minutes=1))

    row = traces.first(later, T0).iloc[0]

    assert (row["name"], row["span_count"], row["duration_ms"]) == ("before", 2, 5_000)


def test_one_trace_of_thousands_of_spans_does_not_hide_the_others(fresh, store):
    store.append([span(1, f"{n}", "root", n / 1000, 10_000) for n in range(9_000)] + [span(2), span(3)])

    assert numbers(asked()) == [1, 2, 3]


def test_the_whole_list_is_what_is_scrolled(shop):
    rows = traces.everything(asked(), T0)

    assert rows["trace"].iloc[0] == "1-00000000-000000000000000000000002"
    assert rows["status"].to_list() == ["Fault", "OK", "OK", "OK"]


@pytest.mark.parametrize(
    "text",
    [
        "6b06415fe9c3bb8e755276968c38412b",
        " 6B06415FE9C3BB8E755276968C38412B ",
        "1-6b06415f-e9c3bb8e755276968c38412b",
        "Root=1-6b06415f-e9c3bb8e755276968c38412b;Parent=53995c3f42cd8ad8;Sampled=1",
        "00-6b06415fe9c3bb8e755276968c38412b-00f067aa0ba902b7-01",
    ],
)
def test_an_id_is_known_in_each_form(text):
    assert identified(text) == "6b06415fe9c3bb8e755276968c38412b"


@pytest.mark.parametrize("text", [None, "", "checkout", "6b06415f", "1-6b06415f-e9c3"])
def test_other_text_is_no_id(text):
    assert identified(text) is None


@given(
    st.lists(
        st.builds(
            Condition,
            st.text(min_size=1, max_size=8).filter(
                lambda key: key.strip() not in ("status", "duration_ms", "http_status")
            ),
            st.sampled_from(["=", "!=", "~"]),
            st.text(max_size=8),
        ),
        max_size=3,
    )
)
def test_conditions_survive_being_written(given):
    assert conditions.parse(conditions.written(given)) == tuple(given)


@pytest.mark.parametrize(
    "where", ["flag", "=high", "flag>many", "status=fine", "status>ok", "duration_ms=slow", 'a="b']
)
def test_conditions_that_mean_nothing_are_refused(where):
    with pytest.raises(QuestionError, match="where="):
        parse({"where": where})
