"""The report: one file with the numbers of its page, that runs and fetches nothing, whatever traces are called."""

import json
import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

from streamlit.testing.v1 import AppTest

from core.ingest import segments
from core.ingest.sample import Sample
from core.question import Question
from core.view import text

SCRIPT = """
from core import queries
from core.view import controls, report, series
import streamlit as st
controls.sidebar("Overview")
question, now = controls.current()
found = queries.anomalies(question, now)
st.session_state.made = report.html(series.ask(), found, "http://127.0.0.1:8501/?source=sample").decode()
st.session_state.crossings = queries.crossings(question, now)
"""
HOSTILE = '"><script>alert(1)</script><img src=http://127.0.0.1:9/>'


def now():
    return datetime.now(UTC).replace(tzinfo=None)


def made(**link):
    app = AppTest.from_string(SCRIPT, default_timeout=60)
    for name, value in link.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def drawings(html):
    found = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    return [ElementTree.fromstring(drawing) for drawing in found]  # noqa: S314 (our own)


def texts(drawing):
    return [each.text for each in drawing.iter("{http://www.w3.org/2000/svg}text")]


def test_a_report_has_the_sentence_the_chart_and_the_hours_of_its_page(store):
    Sample(store, now()).refresh(now())
    app = made()
    html = app.session_state.made

    chance = text.chance(app.session_state.crossings["probability"].iloc[0])
    assert f"<h1>{chance} likely to cross 150{text.NBSP}ms by" in html
    (drawing,) = drawings(html)
    assert f"threshold 150{text.NBSP}ms" in texts(drawing)
    assert html[html.index("Hour by hour") :].count("<tr>") == 25
    assert "simulated data" in html
    assert "http://127.0.0.1:8501/?source=sample" in html


def test_a_report_of_groups_has_a_chart_and_a_row_for_each(store):
    Sample(store, now()).refresh(now())
    html = made(by="shard_id").session_state.made

    assert len(drawings(html)) == 3
    assert "Which crosses 150" in html
    assert all(f"<td>{shard}</td>" in html for shard in ("coinbase", "kraken", "coingecko"))


def test_text_from_traces_stays_text(store):
    hour = now().replace(minute=0, second=0, microsecond=0)
    documents = []
    for back in range(1, 60):
        start = (hour - timedelta(hours=back)).replace(tzinfo=UTC).timestamp()
        ids = {"id": f"{back:016x}", "trace_id": f"1-{int(start):08x}-{back:024x}"}
        times = {"start_time": start, "end_time": start + 0.1}
        documents.append(json.dumps({**ids, **times, "name": HOSTILE, "annotations": {"flag": HOSTILE, "n": 1.0}}))
    segments.take(documents, "live", now(), store)
    html = made(source="live", by="flag", service=HOSTILE).session_state.made

    assert "&lt;script&gt;alert(1)" in html
    assert not re.search(r"<script|<img|<link|<iframe|javascript:|\son\w+=", html)
    assert re.findall(r'(?:src|href)="(?!#)', html) == []


def test_the_words_of_a_sentence_are_those_that_markdown_shows():
    assert text.plain(f"between **today 10:00** and {text.safe('a*b_[x](http://y)')}") == (
        "between today 10:00 and a*b_[x](http://y)"
    )
    assert text.plain(text.safe(Question().source)) == "sample"
