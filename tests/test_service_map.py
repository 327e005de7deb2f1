"""Who calls whom, counted from stored spans, and drawn left to right."""

from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import parse_qsl

import altair as alt
import pandas as pd
import pytest

from core import causes
from core.question import Question
from core.view import service_map
from core.view.map_places import places
from core.view.text import NBSP
from tests.test_metrics import span

START = datetime(2026, 11, 24, 10)
HOUR = timedelta(hours=1)
ASKED = Question(start=START, end=START + HOUR)


def segment(name, duration_ms=100.0, *, n=1, parent=None, at=START, **changes):
    made = span(at, duration_ms, n=n, kind="segment", service=name, name=name, parent_id=parent, **changes)
    return made._replace(span_id=name, texts={})


def call(name, service, duration_ms=50.0, *, n=1, parent=None, namespace="remote", at=START, **changes):
    made = span(at, duration_ms, n=n, service=service, name=name, namespace=namespace, parent_id=parent, **changes)
    return made._replace(span_id=f"{service} {name}", texts={})


def calls(store, spans, question=ASKED):
    store.replace("sample", spans)
    frame = causes.calls(question, START + HOUR)
    return {(one.caller, one.callee): one for one in frame.itertuples()}


def test_a_call_of_a_traced_service_is_what_that_service_says_of_it(store):
    spans = [
        segment("web"),
        call("bank.example", "web", 90.0, parent="web"),
        segment("bank", 70.0, parent="web bank.example", fault=True),
    ]

    found = calls(store, spans)

    assert set(found) == {("web", "bank")}
    assert (found["web", "bank"].n, found["web", "bank"].avg_ms, found["web", "bank"].failed) == (1, 70.0, 1.0)


def test_a_remote_call_without_a_traced_other_end_is_called_by_its_name(store):
    spans = [segment("web"), call("api.example", "web", parent="web"), call("DynamoDB", "web", namespace="aws")]

    found = calls(store, spans)

    assert {pair: one.namespace for pair, one in found.items()} == {
        ("web", "api.example"): "remote",
        ("web", "DynamoDB"): "aws",
    }


def test_a_call_within_a_call_counts_once_and_steps_of_a_service_not_at_all(store):
    spans = [
        segment("web"),
        call("step", "web", parent="web", namespace=None),
        call("client", "web", parent="web"),
        call("api.example", "web", parent="web client"),
    ]

    assert set(calls(store, spans)) == {("web", "api.example")}


def test_shares_and_latencies_are_of_all_calls_of_a_pair(store):
    spans = []
    for n in range(10):
        spans += [segment("web", n=n), call("api", "web", 10.0 * n, n=n, parent="web", error=n < 3)]

    [one] = calls(store, spans).values()

    assert (one.n, one.failed, one.avg_ms, one.p95_ms) == (10, pytest.approx(0.3), 45.0, pytest.approx(85.5))


def test_services_are_said_with_their_rate_over_the_stretch_that_has_spans(store):
    spans = [segment("web", n=n, at=START + n * timedelta(minutes=1), fault=n == 0) for n in range(11)]
    store.replace("sample", spans)

    [one] = causes.services(ASKED, START + HOUR).itertuples()

    assert (one.service, one.n, one.failed) == ("web", 11, pytest.approx(1 / 11))
    assert one.per_minute == pytest.approx(1.1)


def test_what_lies_outside_the_range_does_not_count_but_a_parent_just_before_it_is_known(store):
    spans = [segment("web", at=START - timedelta(seconds=1)), segment("bank", parent="web")]
    spans += [segment("web", n=2, at=START - HOUR / 2), segment("old", n=2, parent="web", at=START - HOUR / 2)]

    assert set(calls(store, spans)) == {("web", "bank")}


def test_an_empty_range_has_no_services_and_no_calls(store):
    assert causes.services(ASKED, START).empty
    assert causes.calls(ASKED, START).empty


@pytest.mark.parametrize(
    ("pairs", "columns"),
    [
        pytest.param([], {"a": 0, "b": 0, "c": 0}, id="nobody calls"),
        pytest.param(["ab", "bc"], {"a": 0, "b": 1, "c": 2}, id="a chain"),
        pytest.param(["ab", "ac", "bc"], {"a": 0, "b": 1, "c": 2}, id="right of all callers"),
        pytest.param(["ab", "bc", "ca"], {"a": 0, "b": 1, "c": 2}, id="a ring"),
        pytest.param(["aa", "bb", "ba"], {"b": 0, "a": 1, "c": 0}, id="calls itself"),
        pytest.param(["ca", "ab", "ba"], {"c": 0, "a": 1, "b": 2}, id="a ring that is entered"),
    ],
)
def test_who_is_called_stands_right_of_who_calls(pairs, columns):
    frame = pd.DataFrame([list(pair) for pair in pairs], columns=["caller", "callee"])

    found = places(frame, ["a", "b", "c"])

    assert {one.name: one.column for one in found} == columns
    assert len({(one.column, one.row) for one in found}) == 3


def test_a_chain_as_long_as_there_are_calls_is_laid_out():
    names = [f"s{n}" for n in range(300)]
    frame = pd.DataFrame({"caller": names[:-1], "callee": names[1:]})

    assert [one.column for one in places(frame, names)] == list(range(300))


def map_of(store, spans):
    store.replace("sample", spans)
    return causes.services(ASKED, START + HOUR), causes.calls(ASKED, START + HOUR)


def test_the_map_is_vega_lite_and_shows_who_fails_in_words_too(store):
    known, made = map_of(store, [segment("web"), call("api", "web", parent="web", fault=True)])

    chart = service_map.picture(known, made, ASKED)

    alt.LayerChart.validate({**chart, "datasets": {}})
    assert {layer["data"]["name"] for layer in chart["layer"] if "name" in layer["data"]} == set(chart["datasets"])
    assert "failing" not in chart["datasets"]  # it stands below what is called
    nodes = chart["datasets"]["nodes"].to_pylist()
    assert [(one["name"], one["opacity"], one["m"]) for one in nodes] == [("web", 1, "history"), ("api", 0, "fault")]
    assert nodes[1]["said"].startswith(f"100{NBSP}% failed, ")


def test_a_call_that_fails_says_so_where_its_service_has_a_rate_of_its_own(store):
    known, made = map_of(store, [segment("web"), call("api", "web", parent="web", fault=True), segment("api")])

    chart = service_map.picture(known, made, ASKED)

    assert chart["datasets"]["failing"].column("said").to_pylist() == [f"100{NBSP}% failed"]
    assert chart["datasets"]["heads"].column("head").to_pylist() == ["triangle-right"]


def test_a_service_leads_to_its_forecast_whatever_it_is_called(store):
    name = 'a&b=c "<i>" javascript:x'
    known, made = map_of(store, [segment(name)])

    [node] = service_map.picture(known, made, replace(ASKED, by="flag", threshold=200.0))["datasets"][
        "nodes"
    ].to_pylist()

    address, _, query = node["href"].partition("?")
    asked = dict(parse_qsl(query))
    assert address == "/forecast"
    assert (asked["service"], asked["scope"], asked["threshold"]) == (name, "segments", "200")
    assert "by" not in asked


def test_what_is_only_called_has_no_forecast(store):
    known, made = map_of(store, [segment("web"), call("api", "web", parent="web")])

    nodes = {one["name"]: one for one in service_map.picture(known, made, ASKED)["datasets"]["nodes"].to_pylist()}

    assert nodes["api"]["href"] == ""
    assert list(service_map.services(known, ASKED).frame["service"]) == ["web"]
    assert service_map.calls(made).frame.iloc[0][["caller", "callee"]].to_list() == ["web", "api"]


def test_a_map_of_many_names_stays_within_bounds(store):
    spans = [segment("web")] + [call(f"api{n}", "web", parent="web") for n in range(60)]
    known, made = map_of(store, spans)

    assert len(service_map.picture(known, made, ASKED)["datasets"]["nodes"]) == service_map.MOST_PLACES


def test_where_every_service_is_seldom_called_its_table_counts_by_the_hour():
    known = pd.DataFrame({"service": ["web"], "per_minute": [0.3], "failed": [0.0], "avg_ms": [9.0], "p95_ms": [9.0]})

    table = service_map.services(known, ASKED)

    assert table.columns["rate"]["label"] == "Per hour"
    assert table.frame["rate"].to_list() == [18.0]
