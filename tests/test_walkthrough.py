"""The walk-through: six steps on the data at hand, and lines of Python that give just what the pages show."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core import queries
from core.ingest.sample import Sample
from core.question import Question, parse
from core.view.text import NBSP, plain
from tests.test_pages import segment, send

APP = Path(__file__).resolve().parent.parent / "core" / "view" / "app.py"
NOW = datetime.now(UTC).replace(tzinfo=None)
TITLES = ["1. Load", "2. Hourly metrics", "3. Forecast", "4. Anomalies", "5. Daily", "6. Price"]

pytestmark = pytest.mark.usefixtures("fresh")


def visit(**link):
    app = AppTest.from_file(APP, default_timeout=120)
    for name, value in link.items():
        app.query_params[name] = value
    app.switch_page("../../pages/walkthrough.py")
    app.run()
    assert not app.exception
    assert not app.error
    return app


def lines(app):
    return [code.value for code in app.code if not code.value.startswith("/")]  # those are links


def words(app):
    return plain("\n".join(each.value for each in app.markdown)).replace(NBSP, " ")


def same(ours, theirs):
    """Whether two frames hold the same, but for the columns that every table begins with."""
    theirs = theirs.drop(columns=["source", "measure", "unit"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(
        ours[theirs.columns].reset_index(drop=True), theirs, check_dtype=False, check_exact=True
    )


@pytest.mark.parametrize(
    "link",
    [
        pytest.param({}, id="as it comes"),
        pytest.param(
            {
                "stat": "p95",
                "service": "storefront",
                "threshold": "180",
                "horizon": "48",
                "interval": "80",
                "range": "7d",
            },
            id="another question",
        ),
    ],
)
def test_the_lines_of_python_give_the_frames_of_the_pages(store, link, monkeypatch):
    Sample(store, NOW).refresh(NOW)
    if "service" in link:
        link = {**link, "service": queries.services("sample")[0]}
    left_out = f"{(NOW - timedelta(days=5)).isoformat()}/{(NOW - timedelta(days=4)).isoformat()}"
    link = {**link, "start": (NOW - timedelta(days=7)).isoformat(), "end": NOW.isoformat(), "exclude": left_out}
    app = visit(**link)
    asked = parse(link)
    daily = Question(**{**vars(asked), "granularity": "daily", "horizon": None})
    want = {
        "records": pd.concat(queries.record_chunks(asked, NOW)),
        "hourly": queries.metrics(asked, NOW),
        "ahead": queries.forecast(asked, NOW).drop(columns=["interval", "threshold"]),
        "found": queries.anomalies(asked, NOW),
        "daily": queries.metrics(daily, NOW),
        "week": queries.forecast(daily, NOW).drop(columns=["interval", "threshold", "p_above"]),
    }
    crossing = queries.crossings(asked, NOW).iloc[0]
    store.close()
    monkeypatch.chdir(store.path.parent)

    known: dict[str, Any] = {}
    for code in lines(app)[:-1]:
        exec(code, known)  # noqa: S102 (our own lines: that they run is what is promised)
    first = known["crossing"].first_crossing(known["model"], len(known["ahead"]), asked.threshold or 150.0)
    known["store"].close()

    for name, frame in want.items():
        same(known[name], frame)
    assert (first.probability, first.median) == (crossing["probability"], crossing["median"])


def test_each_step_has_its_number_its_picture_and_its_lines(store):
    Sample(store, NOW).refresh(NOW)
    app = visit()
    said = words(app)

    assert [each.value for each in app.subheader] == TITLES
    assert len(lines(app)) == len(app.get("vega_lite_chart")) == 6
    for number in ("records of", "hours,", "likely to cross 150 ms within 24", "ahead,", "Of the next 7 days", "USD"):
        assert number in said


def test_a_source_of_an_hour_is_walked_through_as_far_as_it_goes(store):
    send(store, *(segment(ago_s=60 * number, at=number) for number in range(1, 60)))
    app = visit(source="live")
    said = words(app)

    assert "is known, and 48 are needed" in said
    assert "No forecast of days yet" in said
    assert "No price yet" in said


def test_a_source_without_anything_says_what_to_do(store):
    app = visit(source="otlp")

    assert "Other ways to send traces" in [each.proto.label for each in app.get("page_link")]
