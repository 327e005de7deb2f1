"""The page Traces as a visitor gets it, without a browser: the list, one trace, and links that hold odd values."""

import json
import re

import pytest

from core import traces
from tests.test_pages import empty, now, sample, sampled, send, title, visit, words  # noqa: F401 (fixtures)

ODD = "1-00000001-abababababababababababab"
MARKUP = "![x](http://evil/x.png) <b>bold</b>"


def document(name="shop", span_id="1", at_s=0.0, ms=1000.0, **fields):
    start = 1_795_000_000 + at_s
    return json.dumps(
        {
            "name": name,
            "id": span_id * 16,
            "trace_id": ODD,
            "start_time": start,
            "end_time": start + ms / 1000,
            **fields,
        }
    )


@pytest.fixture
def odd(empty):  # noqa: F811
    """One trace with markup for a name, an exception, a lost parent, a loop, and a child before its parent."""
    exception = {"id": "e", "type": "Timeout", "message": "no **answer**", "stack": [{"path": "a.py", "line": 3}]}
    piece = {"type": "subsegment"}
    send(
        empty,
        document(
            MARKUP,
            fault=True,
            cause={"exceptions": [exception]},
            annotations={"number": 12, "text": "<i>", "yes": True},
            metadata={"default": {"size": [1, {"x": None}]}},
            subsegments=[
                {"name": "N" * 10_000, "id": "2" * 16, "start_time": 1_794_999_999.5, "end_time": 1_795_000_000.2}
            ],
            sql={"sanitized_query": "SELECT 1"},
        ),
        document("lost", "5", parent_id="9" * 16, **piece),
        document("ring a", "6", parent_id="7" * 16, **piece),
        document("ring b", "7", parent_id="6" * 16, **piece),
    )
    return empty


def test_the_list_is_said_in_a_sentence_and_shown_slowest_first(sample):  # noqa: F811
    app = visit("traces")

    assert re.fullmatch(r"[\d,]+ traces, \d+ failed, the slowest \d+ ms", title(app))
    rows = app.dataframe[0].value
    assert rows["duration_ms"].is_monotonic_decreasing
    assert len(rows) == traces.FIRST
    assert app.toggle[0].label.startswith("Scroll through all")


def test_all_traces_are_scrolled_where_that_is_wanted(sample):  # noqa: F811
    app = visit("traces")
    app.toggle[0].set_value(True).run()

    assert not app.exception
    assert f"{len(app.dataframe[0].value):,} traces" in title(app)


def test_order_text_and_conditions_come_from_the_link(sample):  # noqa: F811
    app = visit("traces", sort="newest", where="flag=high,status=ok", q="KRAKEN")

    assert app.dataframe[0].value["started_at"].is_monotonic_decreasing
    assert set(app.dataframe[0].value["status"]) == {"OK"}
    assert app.multiselect[0].value == ["flag=high", "status=ok"]
    assert app.text_input(key="traces_text").value == "KRAKEN"


def test_a_trace_id_in_the_search_box_opens_that_trace(sample):  # noqa: F811
    app = visit("traces")
    trace = app.dataframe[0].value["trace"].iloc[3]

    app.text_input(key="traces_text").input(f"  {trace}  ").run()

    assert app.query_params["trace"] in (trace, [trace])
    assert "btc" in app.subheader[0].value
    assert "Annotations" in [tab.label for tab in app.tabs]
    assert len(app.get("vega_lite_chart")) == 1


def test_a_condition_is_taken_away_by_its_chip(sample):  # noqa: F811
    app = visit("traces", where="flag=high,status=ok")

    app.multiselect[0].unselect("status=ok").run()

    assert app.query_params["where"] in ("flag=high", ["flag=high"])


def open_tab(app, name):
    app.session_state["of_trace"] = name
    app.run()
    assert not app.exception


def test_what_is_odd_about_a_trace_is_marked_and_nothing_is_interpreted(odd):
    app = visit("traces", source="live", range="1h", trace=ODD)

    said = words(app)
    assert "1 span whose parent is not here" in said
    assert "1 loop of parents, cut here" in said
    assert "1 span starts before its parent" in said
    assert MARKUP not in said
    assert MARKUP not in app.subheader[0].value
    annotations = app.dataframe[0].value
    assert dict(zip(annotations["Key"], annotations["Value"], strict=True)) == {
        "number": "12",
        "text": "<i>",
        "yes": "true",
    }
    open_tab(app, "Errors")
    assert any(code.value == "Timeout: no **answer**\n  a.py:3" for code in app.code)
    open_tab(app, "JSON")
    assert json.loads(app.code[-1].value)["spans"][0]["source"] == "live"
    open_tab(app, "Details")
    details = dict(zip(app.dataframe[-1].value["What"], app.dataframe[-1].value["Value"], strict=True))
    assert details["metadata.default.size.1.x"] == "null"
    assert details["sql.sanitized_query"] == "SELECT 1"


def test_a_trace_is_found_by_its_id_whatever_the_range_and_source(odd):
    app = visit("traces", source="otlp", range="1h", trace=ODD.replace("-", "")[1:])

    assert "from live" in words(app)


def test_only_a_summary_is_shown_as_such(empty):  # noqa: F811
    send(empty, document(span_id="s").replace("s" * 16, "summary"))

    assert "Only its summary was read from X-Ray" in words(visit("traces", source="live", trace=ODD))


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ({"trace": ODD}, "It may still be on its way"),
        ({"q": "no such text"}, "Take a condition away"),
        ({"where": "flag=none"}, "Take a condition away"),
    ],
)
def test_where_there_is_nothing_the_page_says_what_to_do(sample, link, said):  # noqa: F811
    assert said in words(visit("traces", **link))


@pytest.mark.parametrize("link", [{"sort": "fast"}, {"where": "flag"}, {"bucket": "noon"}])
def test_what_a_link_can_not_mean_is_named(sample, link):  # noqa: F811
    app = visit("traces", **link)

    [(name, value)] = link.items()
    assert any(f"{name}={value}" in notice.value.replace("\\", "") for notice in app.info)
    assert len(app.dataframe[0].value) == traces.FIRST


def test_what_is_no_id_is_said(sample):  # noqa: F811
    assert any("is no trace id" in notice.value for notice in visit("traces", trace="hello").info)
