"""Markers: what is taken as one, that it is kept, drawn, downloaded, left out of the fit and removed."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
import requests
from streamlit.testing.v1 import AppTest

from core import markers
from core import store as stores
from core.errors import NotFound, QuestionError
from core.ingest import segments
from core.markers import Marker
from core.question import Question, Window, parse
from core.view import captions, cells, layers, marked, text

APP = Path(__file__).resolve().parent.parent / "core" / "view" / "app.py"
NOW = datetime(2026, 11, 24, 21, 18)
HOUR = timedelta(hours=1)
AT = NOW.replace(minute=0) - 5 * HOUR
WINDOW = Window(NOW - 24 * HOUR, NOW)

pytestmark = pytest.mark.usefixtures("fresh")


def marker(start=AT, end=None, said="v42", kind="deployment"):
    return Marker(kind, start, end or start, said)


def terms(*found, **asked):
    return text.terms(Question(**asked), 150.0, NOW, NOW, text.zone("UTC"), found)


def post(address, sent):
    body = sent if isinstance(sent, bytes) else json.dumps(sent)
    return requests.post(f"{address}/api/v1/markers", data=body, timeout=5)


# What a marker is


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ({"kind": "deployment", "start": "2026-11-24T16:00Z"}, marker(said="")),
        ({"kind": "deployment", "start": "2026-11-24T17:00+01:00", "end": None, "text": "v42"}, marker()),
        (
            {"kind": "incident", "start": "2026-11-24T16:00", "end": "2026-11-24T18:00", "text": " disk\nfull\t "},
            marker(end=AT + 2 * HOUR, said="disk full", kind="incident"),
        ),
        (
            {"kind": "incident", "start": "2026-11-24T16:00", "end": "2026-11-24T16:00"},
            marker(said="", kind="incident"),
        ),
    ],
)
def test_a_marker_is_read(sent, read):
    assert markers.read(sent) == read


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        (None, "A marker is JSON"),
        ([], "A marker is JSON"),
        ({"kind": "deployment"}, "A marker is JSON"),
        ({"kind": "deployment", "start": "2026-11-24", "colour": "red"}, "A marker is JSON"),
        ({"kind": "party", "start": "2026-11-24"}, "kind must be deployment or incident"),
        ({"kind": ["deployment"], "start": "2026-11-24"}, "kind must be"),
        ({"kind": "incident", "start": "soon"}, "start must be an ISO 8601"),
        ({"kind": "incident", "start": ""}, "start must be an ISO 8601"),
        ({"kind": "incident", "start": 1764000000}, "start must be an ISO 8601"),
        ({"kind": "incident", "start": "9999-01-01"}, "years 1970 to 2200"),
        ({"kind": "incident", "start": "2026-11-24", "end": "2026-11-23"}, "end is before start"),
        ({"kind": "incident", "start": "2026-11-24", "text": 5}, "text must be a text of up to 500 characters"),
        ({"kind": "incident", "start": "2026-11-24", "text": "x" * 501}, "up to 500 characters"),
        ({"kind": "incident", "start": "2026-11-24", "text": "a\x00b"}, "control characters"),
        ({"kind": "incident", "start": "2026-11-24", "text": "a\ud800b"}, "control characters"),
    ],
)
def test_what_is_no_marker_is_refused_in_one_sentence(sent, sentence):
    with pytest.raises(QuestionError, match=sentence) as refusal:
        markers.read(sent)

    assert str(refusal.value).endswith(".")


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        (AT, AT, (AT, AT + HOUR)),
        (AT + HOUR / 2, AT + HOUR / 2, (AT, AT + HOUR)),
        (AT, AT + HOUR, (AT, AT + HOUR)),
        (AT + HOUR / 2, AT + 2 * HOUR + HOUR / 2, (AT, AT + 3 * HOUR)),
    ],
)
def test_its_hours_are_all_that_it_touches(start, end, hours):
    assert marker(start, end).hours == hours


# Kept


def test_it_is_there_after_a_restart_until_it_is_removed(store):
    late, early = markers.add(marker(said="late")), markers.add(marker(AT - HOUR, said="early"))
    store.close()
    with stores.Store(store.path) as opened:
        stores.use(opened)

        assert markers.everything()["id"].to_list() == [early, late]
        markers.remove(early)
        assert [each.text for each in markers.listed()] == ["late"]
        with pytest.raises(NotFound, match="no marker with this id"):
            markers.remove(early)


# Over HTTP


def test_what_is_posted_downloads_as_csv_and_can_be_deleted(address):
    sent = {"kind": "incident", "start": "2026-11-24T16:00Z", "end": "2026-11-24T18:30Z", "text": '=1+1,"x"'}
    answer = post(address, sent)
    assert answer.status_code == 201
    got = requests.get(f"{address}/api/v1/markers.csv", timeout=5)

    assert got.headers["content-disposition"].endswith('-markers.csv"')
    table = pd.read_csv(io.StringIO(got.text))
    assert table.to_dict("list") == {
        "source": ["sample"],
        "measure": ["latency_ms"],
        "unit": ["ms"],
        "id": [answer.json()["id"]],
        "kind": ["incident"],
        "start": ["2026-11-24T16:00:00Z"],
        "end": ["2026-11-24T18:30:00Z"],
        "text": ['\'=1+1,"x"'],
    }
    there = f"{address}/api/v1/markers/{answer.json()['id']}"
    assert requests.delete(there, timeout=5).status_code == 200
    assert requests.delete(there, timeout=5).status_code == 404
    left = requests.get(f"{address}/api/v1/markers.csv", timeout=5).text
    assert left == "source,measure,unit,id,kind,start,end,text\n"


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"\xff", 400), (b"[" * 10**5, 413), (b"[" * 10**4, 400), (b"{}", 400), (b'"x"', 400)],
)
def test_a_body_that_is_no_marker_is_refused_and_nothing_is_kept(address, body, status):
    answer = post(address, body)

    assert answer.status_code == status
    assert answer.json()["error"].endswith(".")
    assert markers.listed() == ()


def test_a_stranger_sets_no_marker(address, monkeypatch):
    monkeypatch.setenv("TRACECAST_API_TOKEN", "secret")
    sent = {"kind": "deployment", "start": "2026-11-24"}

    assert post(address, sent).status_code == 401
    assert markers.listed() == ()


# Drawn


def drawn(*found, labelled=True):
    made = layers.marker_rules(terms(*found), WINDOW, labelled=labelled)
    return {layer.name: layer.rows.to_pylist() for layer in made if layer.rows is not None}


def test_a_moment_is_a_rule_and_what_lasts_a_band_between_two():
    got = drawn(marker(), marker(AT, AT + 2 * HOUR, kind="incident"))

    assert sorted(row["t"].hour for row in got["markers"]) == [16, 16, 18]
    assert [(row["t"].hour, row["end"].hour) for row in got["marker_spans"]] == [(16, 18)]


def test_only_what_touches_the_window_is_drawn_and_no_rule_beyond_it():
    before, across = marker(WINDOW.start - HOUR), marker(WINDOW.start - HOUR, WINDOW.start + HOUR)

    assert drawn(before, marker(WINDOW.end)) == {}
    assert [row["t"].hour for row in drawn(across, labelled=False)["markers"]] == [(WINDOW.start + HOUR).hour]


def test_names_do_not_stand_on_each_other():
    got = drawn(*(marker(AT - hour * HOUR, said=f"v{hour}") for hour in (20, 2, 1, 0)))

    assert [row["says"] for row in got["marker_names"]] == ["v0"]
    assert [row["says"] for row in drawn(marker(NOW - HOUR))["marker_names_at_the_end"]] == ["v42"]


def test_the_pointer_the_legend_and_the_alternative_text_tell_it():
    told = terms(marker(said="<b>v42</b>\u202e"))
    hours = [cells.Row(AT + hour * HOUR, {}) for hour in (-1, 0, 1)]

    assert [row.says.get("Marker") for row in cells.marked(hours, told, HOUR)] == [
        None,
        "deployment: <b>v42</b>",
        None,
    ]
    assert "marker" in captions.legend(["observed"], told, WINDOW)
    assert "marker" not in captions.legend(["observed"], told, Window(NOW, NOW + HOUR))
    observed = pd.DataFrame({"trace_id": ["a"], "timestamp": [AT], "failed": [False], "value": [1.0]})
    said = captions.alt_dots(told, observed, WINDOW, value="value")
    assert said.endswith("Markers: deployment: <b>v42</b>, today 16:00.")


# Left out


def test_leaving_it_out_adds_its_hours_and_counting_it_again_takes_them_away():
    other = "2026-11-01T00:00:00Z/2026-11-02T00:00:00Z"
    asked = parse({"exclude": other})

    added = marked.without(asked, marker())

    assert added == f"{other},2026-11-24T16:00:00Z/2026-11-24T17:00:00Z"
    assert marked.without(parse({"exclude": added}), marker()) == other
    assert marked.without(replace(asked, exclude=(marker().hours,)), marker()) == ""


def fill(store, hours=60):
    """One request an hour up to this one, from the source live; a peak of six hours among them."""
    now = datetime.now(UTC)
    documents = []
    for back in range(hours, 0, -1):
        began = int((now.replace(minute=0, second=0, microsecond=0) - back * HOUR).timestamp())
        latency = 500 if 10 <= back < 16 else 100 + back % 7
        documents.append(
            f'{{"name": "shop", "id": "{back:016x}", "trace_id": "1-{began:08x}-{back:024x}", '
            f'"start_time": {began}, "end_time": {began + 1}, "annotations": {{"processing_time_ms": {latency}}}}}'
        )
    assert segments.take(documents, "live", now.replace(tzinfo=None), store) == []


def visit(**link):
    app = AppTest.from_file(APP, default_timeout=60)
    for name, value in {"source": "live", **link}.items():
        app.query_params[name] = value
    app.switch_page("../../pages/forecast.py")
    app.run()
    assert not app.exception
    return app


def pressed(app, label):
    next(button for button in app.main.button if button.label == label).click()
    app.run()
    assert not app.exception
    return app


def listing(app):
    return next(each.value for each in app.dataframe if "left_out" in each.value)


def typed(app, label, value):
    next(field for field in app.main.text_input if field.label == label).set_value(value)


def test_the_page_sets_a_marker_and_lists_it_for_who_has_the_token(store, monkeypatch):
    monkeypatch.setenv("TRACECAST_API_TOKEN", "secret")
    fill(store)
    app = visit()
    assert "None is marked yet." in "\n".join(each.value for each in app.markdown)
    typed(app, "Text", "v42 *rolled* out")
    typed(app, "Token", "wrong")
    pressed(app, "Set the marker")
    assert (len(app.error), markers.listed()) == (1, ())

    typed(app, "Text", "v42 *rolled* out")
    typed(app, "Token", "secret")
    pressed(app, "Set the marker")

    [kept] = markers.listed()
    assert (kept.kind, kept.text, kept.start == kept.end) == ("deployment", "v42 *rolled* out", True)
    assert listing(app)[["kind", "text", "left_out"]].to_numpy().tolist() == [
        ["Deployment", "v42 *rolled* out", "counts"]
    ]


def test_a_link_with_its_hours_left_out_says_so_and_forecasts_without_them(store):
    fill(store)
    now = datetime.now(UTC).replace(tzinfo=None, minute=0, second=0, microsecond=0)
    peak = marker(now - 15 * HOUR, now - 9 * HOUR, kind="incident")
    markers.add(peak)
    app = visit()
    counted = app.dataframe[0].value["middle"]
    left_out = visit(exclude=marked.without(Question(), peak))

    assert listing(left_out)["left_out"].to_list() == ["left out"]
    assert left_out.dataframe[0].value["middle"].to_list() != counted.to_list()
