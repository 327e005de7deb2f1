"""The tabs Drivers, Service map and Compare as a visitor of the page Traces gets them, without a browser."""

import pytest

from core.view.text import NBSP
from tests.test_pages import empty, now, sample, sampled, send, visit  # noqa: F401 (fixtures)
from tests.test_traces_page import document

MARKUP = "![x](http://evil/x.png) <b>bold</b>"


def opened(tab, **params):
    """The page with that tab open, as after a click on it."""
    app = visit("traces", **params)
    app.session_state["tab"] = tab
    app.run()
    assert not app.exception
    assert not app.error
    return app


def test_the_drivers_of_the_sample_are_said_and_the_step_that_holds_the_time(sample):  # noqa: F811
    app = opened("Drivers")

    assert app.subheader[0].value.startswith("In ")
    assert app.dataframe[0].value["significant"].iloc[0] == "Yes"
    assert app.dataframe[1].value["step"].iloc[0] == "fetch"


def test_a_link_opens_the_tab_that_it_names_and_the_first_where_there_is_no_such_tab(sample):  # noqa: F811
    named, unknown = visit("traces", tab="Drivers"), visit("traces", tab="Nothing")

    assert named.subheader[0].value.startswith("In ")
    assert not named.info  # that the link holds what is no parameter
    assert unknown.text_input(key="traces_text").placeholder.startswith("Trace id")


def test_failed_records_are_looked_at_by_a_click_or_with_the_error_rate(sample):  # noqa: F811
    app = opened("Drivers", stat="error_rate")

    assert "failed records" in app.subheader[0].value
    app.segmented_control(key="drivers_of").set_value("slow").run()
    assert "slow records" in app.subheader[0].value


def test_the_service_map_has_the_services_and_links_to_their_forecasts(sample):  # noqa: F811
    app = opened("Service map")

    assert app.subheader[0].value == "1 service, 1 kind of call"
    assert app.dataframe[0].value["forecast"].iloc[0].startswith("/forecast?source=sample&")
    assert app.dataframe[1].value[["caller", "callee"]].iloc[0].to_list() == ["btc-pipeline", "fetch"]


def test_the_range_is_compared_with_the_one_before(sample):  # noqa: F811
    app = opened("Compare", range="3d")

    assert app.subheader[0].value.startswith("Median latency")
    assert list(app.dataframe[0].value["what"])[:4] == ["Records", "Failed", "Mean", "Median"]
    assert "significant" not in app.dataframe[1].value


def test_a_link_with_a_range_to_compare_with_opens_the_comparison(sample):  # noqa: F811
    app = visit("traces", range="24h", start2="2026-01-01", end2="2026-01-02")

    assert app.text_input(key="compare_start2").value == "2026-01-01"
    assert app.subheader[0].value in ("No records to compare with", "No records in this range")


def test_only_the_open_tab_is_computed(sample):  # noqa: F811
    app = visit("traces")

    assert len(app.get("vega_lite_chart")) == 0
    assert [one.key for one in app.segmented_control] == ["traces_order"]


@pytest.mark.parametrize("tab", ["Drivers", "Service map", "Compare"])
def test_markup_of_traces_stays_text_in_each_tab(empty, tab):  # noqa: F811
    fields = {
        "annotations": {"text": MARKUP, "size": 1},
        "subsegments": [
            {
                "name": MARKUP,
                "id": "2" * 16,
                "namespace": "remote",
                "start_time": 1_795_000_000.1,
                "end_time": 1_795_000_000.2,
            }
        ],
    }
    send(empty, document(MARKUP, **fields))

    app = opened(tab, source="live", range="all", service=MARKUP)

    shown = " ".join([one.value for kind in (app.markdown, app.subheader, app.title) for one in kind])
    assert "![x](" not in shown.replace(NBSP, " ")


@pytest.mark.parametrize(("typed", "sentences"), [("2026-01-01", 0), ("bad", 1)])
def test_the_comparison_stays_open_whatever_is_typed(sample, typed, sentences):  # noqa: F811
    app = opened("Compare", range="3d")

    app.text_input(key="compare_start2").input(typed).run()

    assert app.text_input(key="compare_start2").value == typed
    assert len(app.info) == sentences
