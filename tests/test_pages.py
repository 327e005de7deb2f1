"""Every page as a visitor gets it, without a browser: its words and values on the sample, on nothing, on a bad link."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core import activity, settings
from core import store as module
from core.ingest import segments
from core.ingest.sample import Sample
from core.view.text import NBSP

APP = Path(__file__).resolve().parent.parent / "core" / "view" / "app.py"
PAGES = ("overview", "forecast", "anomalies", "traces", "price", "sources")
MEASURED = PAGES[:-1]  # those that are about a measure of the chosen source


def now():
    return datetime.now(UTC).replace(tzinfo=None)


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    """A store that holds the sample, and nothing else."""
    with module.Store(tmp_path_factory.mktemp("sampled") / "tracecast.duckdb") as opened:
        Sample(opened, now()).refresh(now())
        yield opened


@pytest.fixture
def sample(sampled):
    return use(sampled)


@pytest.fixture
def empty(tmp_path):
    with module.Store(tmp_path / "tracecast.duckdb") as opened:
        yield use(opened)


def use(store):
    """Make `store` the process's own, as a new process would: nothing is remembered of another."""
    activity.reset()
    if not module.is_open() or module.current() is not store:
        st.cache_data.clear()
        st.cache_resource.clear()
    module.use(store)
    return store


def visit(page="overview", **link):
    """The page as the link shows it."""
    app = AppTest.from_file(APP, default_timeout=60)
    for name, value in link.items():
        app.query_params[name] = value
    if page != "overview":
        app.switch_page(f"../../pages/{page}.py")
    app.run()
    assert not app.exception
    return app


def title(app):
    return app.title[0].value.replace(NBSP, " ")


def words(app):
    """All that is said in Markdown, with plain blanks."""
    return "\n".join(element.value for element in app.markdown).replace(NBSP, " ")


def codes(app):
    """The lines to copy."""
    return [line for code in app.code for line in code.value.splitlines()]


def send(store, *documents, source="live"):
    refused = segments.take(list(documents), source, now(), store)
    assert not refused


def segment(ago_s=30.0, name="checkout", annotations='{"processing_time_ms": 120.5, "flag": "high"}', at=0):
    """A segment document that ended `ago_s` ago."""
    end = datetime.now(UTC).timestamp() - ago_s
    return (
        f'{{"name": "{name}", "id": "{at:016x}", "trace_id": "1-{int(end):08x}-{at:024x}", '
        f'"start_time": {end - 0.2}, "end_time": {end}, "annotations": {annotations}}}'
    )


# On the sample


@pytest.mark.parametrize("page", PAGES)
def test_every_page_says_that_the_sample_is_simulated(sample, page):
    app = visit(page)

    assert f"**{page.capitalize()}**" in words(app)
    assert "Simulated data" in words(app)
    assert not app.error
    assert not app.info


@pytest.mark.parametrize("page", ["overview", "forecast"])
def test_the_sentence_says_how_likely_the_threshold_is_crossed_and_when(sample, page):
    app = visit(page)

    assert re.search(r"cross 150 ms by (today|tomorrow) \d\d:00", title(app))
    assert re.search(r"irst between \*\*.* and \*\*", words(app))
    assert "Mean latency of all services." in words(app)


def test_overview_puts_the_last_hour_beside_the_usual_one(sample):
    app = visit()

    labels = [metric.label for metric in app.metric]
    assert labels == ["Latency", "Requests per hour", "Failed", "Volume per hour"]
    assert all(re.search(r"usual|higher|lower", metric.delta) for metric in app.metric)
    assert app.dataframe[0].value["what"].iloc[0] == f"Predicted to cross 150{NBSP}ms"


def test_forecast_lists_every_hour_of_the_horizon(sample):
    app = visit("forecast", horizon="48")

    assert [metric.label.replace(NBSP, " ") for metric in app.metric] == [
        "Within 48 h", "Earliest, 1 in 10", "Middle", "Latest, 9 in 10",
    ]  # fmt: skip
    assert len(app.dataframe[0].value) == 48


def test_forecast_says_what_the_threshold_would_have_cost(sample):
    app = visit("forecast", threshold="130")

    assert "What this threshold would have cost" in [head.value for head in app.subheader]
    assert re.search(r"chance is above 50 %, over the last 14 days at \*\*130 ms\*\*:", words(app))
    assert re.search(r"\*\*[1-9]\d* warnings?\*\*, \d+ came true", words(app))
    assert re.search(r"Suggested: 1\d\d ms", words(app))


def test_forecast_by_day_lists_seven_days(sample):
    app = visit("forecast", granularity="daily")

    assert len(app.dataframe[0].value) == 7
    assert "days in UTC" in words(app)


def test_a_higher_threshold_is_less_likely_crossed(sample):
    app = visit()
    before = title(app)

    app.number_input(key="threshold").set_value(1000.0).run()

    assert before != title(app)
    assert re.fullmatch(r"Not expected to cross 1,000 ms by (today|tomorrow) \d\d:00", title(app))
    assert app.slider(key="coarse_threshold").value == 1000.0
    assert app.slider(key="coarse_threshold").max >= 1250.0


def test_the_coarse_slider_sets_the_exact_number(sample):
    app = visit(threshold="149.5")
    assert app.slider(key="coarse_threshold").value == 149.5

    app.slider(key="coarse_threshold").set_value(160.0).run()

    assert app.number_input(key="threshold").value == 160.0
    assert "160 ms" in title(app)


def test_a_threshold_far_below_what_is_measured_stands_at_the_foot_of_the_coarse_slider(empty):
    send(empty, segment(ago_s=7200.0, annotations='{"processing_time_ms": 7200000.0}'))

    app = visit(source="live")

    assert not app.error
    assert app.number_input(key="threshold").value == 150.0
    assert app.slider(key="coarse_threshold").value == app.slider(key="coarse_threshold").min > 150.0


def test_another_statistic_brings_its_own_threshold_unless_one_is_set_for_it(sample):
    app = visit(threshold="140")

    app.selectbox(key="stat").select("error_rate").run()

    assert app.number_input(key="threshold").value == 0.05
    assert visit(stat="error_rate", threshold="0.1").number_input(key="threshold").value == 0.1


def test_anomalies_counts_what_is_ahead_and_what_was(sample):
    app = visit("anomalies")

    assert re.fullmatch(r"\d+ ahead, \d+ in the last 14 days", title(app))
    ahead, behind = (int(number) for number in re.findall(r"(\d+) (?:ahead|in)", title(app)))
    assert len(app.dataframe[0].value) == ahead + behind


def test_price_of_the_sample_is_what_its_traces_say_when_none_was_fetched(sample):
    app = visit("price")

    assert re.fullmatch(r"Bitcoin at \d\d,\d\d\d USD, (up|down) \d+\.\d % in 24 hours", title(app))
    assert "Simulated prices, as the traces tell them." in words(app)
    assert app.dataframe[0].value["group"].to_list() == ["low", "average", "high", "extreme"]


def test_sources_counts_what_is_stored(sample):
    app = visit("sources")

    assert title(app) == "1 source, all traces received are stored"
    assert app.dataframe[0].value["source"].to_list() == ["sample"]
    assert "export AWS_XRAY_DAEMON_ADDRESS=127.0.0.1:2000" in [code.value for code in app.code]


def test_a_split_ranks_its_groups_by_their_chance(sample):
    app = visit(by="shard_id")

    assert re.match(r"(coinbase|kraken|coingecko) will cross first: .* % by", title(app))
    assert len(app.get("vega_lite_chart")) == 3


def test_a_short_range_shows_each_trace_as_a_dot(sample):
    app = visit(range="6h")

    assert "● one trace" in words(app)
    assert "cross 150 ms" in title(app)


# On nothing, and on little


@pytest.mark.parametrize("page", MEASURED)
def test_a_source_without_spans_says_so_and_offers_the_sample(empty, page):
    app = visit(page, source="live")

    assert title(app) == "No spans yet from live services"
    assert [button.label for button in app.button] == ["Show the sample instead"]
    assert any("put_trace_segments" in code.value for code in app.code)

    app.button[0].click().run()

    assert app.selectbox(key="source").value == "sample"
    assert title(app) == "No sample here"


@pytest.mark.parametrize("page", ["overview", "sources"])
def test_an_exporter_of_opentelemetry_is_pointed_here_with_two_lines(empty, page):
    app = visit(page, source="otlp")

    assert "export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:8501" in codes(app)
    assert "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf" in codes(app)
    assert not any("HEADERS" in line for line in codes(app))


def test_where_a_token_is_set_the_exporter_is_told_to_send_it(empty, monkeypatch):
    monkeypatch.setenv("TRACECAST_API_TOKEN", "open-sesame")
    settings.current.cache_clear()
    try:
        lines = codes(visit("sources"))
    finally:
        settings.current.cache_clear()

    assert 'export OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer%20<TRACECAST_API_TOKEN>"' in lines


def test_sources_of_an_empty_store_has_nothing_to_remove(empty):
    app = visit("sources")

    assert title(app) == "0 sources, all traces received are stored"
    assert not app.button


def test_a_source_in_its_first_minutes_shows_its_traces_and_says_when_the_forecast_comes(empty):
    send(empty, *(segment(ago_s=10.0 * at, at=at) for at in range(1, 7)))

    app = visit(source="live")

    # An hour is full when the clock says so, even if the traces began in its last minute.
    assert re.fullmatch(r"No forecast yet: 24 full hours needed, 1 (minute|hour) is here", title(app))
    assert "The first forecast comes **" in words(app)
    cards = {metric.label: metric.value.replace(NBSP, " ") for metric in app.metric}
    assert cards == {"Latency, middle so far": "120 ms", "Traces": "6", "Failed": "0 of 6", "Bitcoin": "–"}


def test_until_there_is_a_forecast_its_page_shows_each_trace_as_a_dot(empty):
    send(empty, segment(at=1), segment(at=2))

    app = visit("forecast", source="live")

    assert "Until then: every trace as a dot." in words(app)
    assert "one trace" in words(app)


def test_traces_without_annotations_can_be_measured_by_their_segments(empty):
    send(empty, segment(annotations="{}"))
    app = visit(source="live")
    assert title(app) == "These traces carry no annotations"

    next(button for button in app.button if button.label == "Measure segments").click().run()

    assert app.selectbox(key="scope").value == "segments"
    assert title(app).startswith("No forecast yet")


@pytest.mark.parametrize("page", MEASURED)
def test_a_range_without_traces_says_which_and_where_there_are_some(sample, page):
    app = visit(page, start="2020-11-03", end="2020-11-05")

    assert title(app) == "Nothing between 3 and 5 Nov 2020"
    assert re.search(r"The source has traces from \d+ \w+( \d{4})? on\.", words(app))


def test_a_range_without_traces_offers_all_there_is(sample):
    app = visit("forecast", start="2020-11-03", end="2020-11-05")

    next(button for button in app.button if button.label == "Show all there is").click().run()

    assert app.pills(key="range").value == "all"
    assert "Nothing" not in title(app)


def test_what_was_refused_is_listed_with_its_reason(empty):
    segments.take(["not json"], "live", now(), empty)

    app = visit("sources")

    assert title(app) == "1 refused, 0 dropped; reasons below"
    row = app.dataframe[0].value.iloc[0]
    assert (row["source"], row["outcome"], row["n"]) == ("live", "refused", 1)


# The link


@pytest.mark.parametrize("page", PAGES)
def test_a_bad_value_in_the_link_is_ignored_with_a_notice(sample, page):
    app = visit(page, threshold="abc", range="5d", colour="red")

    assert app.info[0].value.startswith("Ignored in the link: ")
    for part in ("threshold", "abc", "range", "5d", "colour"):
        assert part in app.info[0].value
    assert app.number_input(key="threshold").value == 150.0
    assert app.pills(key="range").value == "14d"


def test_a_notice_is_gone_once_something_else_is_asked(sample):
    app = visit(threshold="abc")
    app.query_params.clear()

    app.run()
    assert app.info

    app.number_input(key="threshold").set_value(160.0).run()
    assert not app.info


def test_the_link_sets_every_control(sample):
    link = {
        "range": "7d", "service": "btc-pipeline", "measure": "price_usd", "stat": "p90", "by": "flag", "horizon": "12",
        "threshold": "61000", "interval": "80", "p": "0.3", "tz": "Europe/Berlin", "scope": "annotated",
        "exclude": "2026-02-03/2026-02-04",
    }  # fmt: skip

    app = visit(**link)

    controls = [*app.selectbox, *app.slider, *app.number_input, *app.text_input, *app.pills]
    shown = {control.key: control.value for control in controls}
    assert {name: str(shown[name]) for name in link} == {**link, "threshold": "61000.0"}
    assert app.sidebar.expander[0].label == "More (7 set)"
    assert "times in Berlin" in words(app)


def test_the_fixed_link_asks_for_the_same_numbers(sample):
    first = visit("forecast", threshold="147")
    fixed, moving = (dict(parse_qsl(urlsplit(code.value).query)) for code in first.code)
    assert moving == {"source": "sample", "threshold": "147"}

    second = visit("forecast", **fixed)

    assert set(fixed) == {"source", "threshold", "start", "end"}
    assert title(second) == title(first)
    assert [metric.value for metric in second.metric] == [metric.value for metric in first.metric]
    assert second.dataframe[0].value.equals(first.dataframe[0].value)
    assert "As said " in words(second)


def test_a_fixed_range_can_be_let_go(sample):
    end = now() - timedelta(days=1)
    app = visit("forecast", end=end.isoformat())
    assert app.pills(key="range").disabled

    app.button(key="move").click().run()

    assert not app.pills(key="range").disabled
    assert app.text_input(key="end").value == ""


# Untrusted text, and our own faults


HOSTILE = "![x](http://127.0.0.1:9/)"


@pytest.mark.parametrize("page", PAGES)
def test_text_from_traces_is_never_markdown(empty, page):
    send(empty, segment(name=HOSTILE, annotations=f'{{"{HOSTILE}": "{HOSTILE}", "flag": "{HOSTILE}"}}'))

    app = visit(page, source="live", by=HOSTILE, service=HOSTILE)

    said = [*app.title, *app.markdown, *app.subheader, *app.metric, *app.info]
    for element in said:
        texts = (element.value, getattr(element, "label", ""), getattr(element, "delta", ""))
        assert not any("![x]" in str(text) for text in texts)


def test_a_store_that_can_not_answer_is_one_sentence(empty):
    empty.close()

    app = visit(source="live")

    assert len(app.error) == 1
    assert "closed" in app.error[0].value
