"""Files: every form in which traces are exported, told by content, cut up as they come in, and all that is no trace."""

import gzip
import io
import json
import threading
import time
import tracemalloc
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
import requests
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from core import activity, queries, workers
from core import store as stores
from core.ingest import files
from core.ingest.json_stream import Splitter, Value
from core.question import Question, parse
from core.service import _import_files
from core.view import imports

pytestmark = pytest.mark.usefixtures("fresh")

NOW = datetime(2026, 11, 24, 13)
START = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
LIMIT = 1 << 30
APP = Path(__file__).resolve().parent.parent / "core" / "view" / "app.py"


def segment(number=1, **fields):
    return {
        "name": "shop",
        "id": f"{number:016x}",
        "trace_id": f"1-6565656a-{number:024x}",
        "start_time": START,
        "end_time": START + 0.25,
        "annotations": {"processing_time_ms": 100.0 + number, "flag": "low"},
        **fields,
    }


def trace(number=1, **fields):
    """A trace of BatchGetTraces as the command line prints it."""
    document = json.dumps(segment(number))
    return {
        "Id": segment(number)["trace_id"],
        "Duration": 0.25,
        "LimitExceeded": False,
        "Segments": [{"Id": segment(number)["id"], "Document": document}],
        **fields,
    }


def summary(number=1, **fields):
    """A summary of GetTraceSummaries as the command line prints it."""
    services = [{"Name": "shop", "Names": ["shop"], "Type": "AWS::Lambda"}]
    annotations = {"processing_time_ms": {"NumberValue": 100.0 + number}, "flag": {"StringValue": "low"}}
    return {
        "Id": segment(number)["trace_id"],
        "StartTime": "2026-11-24T12:00:00+00:00",
        "Duration": 0.25,
        "ResponseTime": 0.25,
        "HasFault": False,
        "HasError": False,
        "HasThrottle": False,
        "Annotations": {
            key: [{"AnnotationValue": value, "ServiceIds": services}] for key, value in annotations.items()
        },
        **fields,
    }


def otlp(number=1):
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
                "scopeSpans": [
                    {
                        "spans": [
                            {
                                "traceId": f"6565656a{number:024x}",
                                "spanId": f"{number:016x}",
                                "name": "shop",
                                "startTimeUnixNano": str(int(START * 10**9)),
                                "endTimeUnixNano": str(int(START * 10**9) + 250_000_000),
                                "attributes": [
                                    {"key": "processing_time_ms", "value": {"doubleValue": 100.0 + number}},
                                    {"key": "flag", "value": {"stringValue": "low"}},
                                ],
                            }
                        ]
                    }
                ],
            }
        ]
    }


def text(*values, **options):
    return "\n".join(json.dumps(value, **options) for value in values)


def load(content, store, *, name="march", limit=LIMIT):
    raw = content.encode() if isinstance(content, str) else content
    return files.load(io.BytesIO(raw), name, NOW, store, limit, workers.submit)


def refused(report):
    """Reason to how often, and where first."""
    return {reason: told[:2] for reason, told in report.rejected.items()}


def latencies(store, source="file:march"):
    frame = store.query("SELECT latency_ms FROM records WHERE source = ? ORDER BY 1", [source])
    return frame["latency_ms"].to_list()


HEADER = {"format": "json", "version": 1}
BOTH = [segment(1), segment(2)]
FORMS = {
    "one segment": (text(segment(1)), 1),
    "one segment on many lines": (text(segment(1), indent=4), 1),
    "JSON lines": (text(*BOTH), 2),
    "JSON lines with carriage returns": (text(*BOTH).replace("\n", "\r\n") + "\r\n", 2),
    "a list": (text(BOTH), 2),
    "a list on many lines": (text(BOTH, indent=2), 2),
    "a list without indentation": (text(BOTH, indent=0), 2),
    "several lists": (text([segment(1)], [segment(2)]), 2),
    "values without anything between": (json.dumps(segment(1)) + json.dumps(segment(2)), 2),
    "packets": (text(HEADER, segment(1), HEADER, segment(2)), 2),
    "texts": (text([json.dumps(one) for one in BOTH]), 2),
    "a call of PutTraceSegments": (text({"TraceSegmentDocuments": [json.dumps(one) for one in BOTH]}), 2),
    "traces": (text({"Traces": [trace(1), trace(2)], "UnprocessedTraceIds": []}, indent=4), 2),
    "traces with sorted keys": (text({"NextToken": None, "Traces": [trace(1), trace(2)]}, sort_keys=True), 2),
    "traces in a bare list": (text([trace(1), trace(2)], indent=4), 2),
    "one trace": (text(trace(1), indent=4), 1),
    "several answers": (text({"Traces": [trace(1)]}, {"UnprocessedTraceIds": [], "Traces": [trace(2)]}, indent=4), 2),
    "documents as objects": (text({"Traces": [trace(1, Segments=[{"Id": "x", "Document": segment(1)}])]}), 1),
    "segments of a trace": (text(trace(1)["Segments"] + trace(2)["Segments"]), 2),
    "summaries": (text({"TraceSummaries": [summary(1), summary(2)], "TracesProcessedCount": 2}, indent=4), 2),
    "summaries in a bare list": (text([summary(1), summary(2)]), 2),
    "summaries with times as numbers": (text(summary(1, StartTime=START), summary(2, StartTime=START)), 2),
    "OTLP": (text(otlp(1), indent=2), 1),
    "lines of the OpenTelemetry collector": (text(otlp(1), otlp(2)), 2),
    "different ones in a row": (text(segment(1), otlp(2)), 2),
    "a byte order mark": ("\ufeff" + text(*BOTH), 2),
}


@pytest.mark.parametrize(("content", "n"), FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_each_form_is_told_by_its_content_and_gives_the_same_numbers(store, content, n, pack):
    report = load(pack(content.encode()), store)

    assert (report.state, report.stored, report.rejected, report.error) == ("done", n, {}, None)
    assert report.bytes == len(content.encode())
    assert latencies(store) == [101.0, 102.0][:n]
    [rows] = store.query("SELECT DISTINCT started_at, texts['flag'] AS flag, service FROM spans").itertuples(
        index=False
    )
    assert tuple(rows) == (datetime(2026, 11, 24, 12), "low", "shop")


def test_what_powershell_writes_is_read(store):
    assert load(text(*BOTH).encode("utf-16"), store).stored == 2


def test_several_gzips_in_one_file_are_read_to_the_end(store):
    assert load(gzip.compress(text(segment(1)).encode()) + gzip.compress(text(segment(2)).encode()), store).stored == 2


def test_a_file_is_a_source_with_its_own_time_and_the_same_name_adds_to_it(store):
    load(text(segment(1)), store)
    again = load(text(segment(1), segment(2, start_time=START - 3600)), store)

    assert (again.stored, again.duplicates) == (1, 1)
    [row] = store.sources().itertuples(index=False)
    assert tuple(row) == ("file:march", 2, datetime(2026, 11, 24, 11), datetime(2026, 11, 24, 12))
    assert store.remove("file:march") == 2


def test_half_a_file_that_is_bad_leaves_its_good_half_with_the_first_line_of_each_reason(store):
    lines = [json.dumps(segment(number)) for number in range(1, 9)]
    lines[1] = lines[1][:60]
    lines[2] = lines[2].replace('"', "“")
    lines[3] = lines[3][:-1] + ",}"
    lines[4] = lines[4].replace("1-6565656a-", "1-65-")
    lines[5] = "garbage"
    lines[6] = json.dumps({"colour": "red"})

    report = load("\n".join(lines), store)

    assert (report.state, report.stored, latencies(store)) == ("done", 2, [101.0, 108.0])
    assert refused(report) == {
        "not_json": (2, 2),
        "smart_quotes": (1, 3),
        "trailing_comma": (1, 4),
        "bad_trace_id": (1, 5),
        "not_a_trace": (1, 7),
    }
    assert all(told.message.endswith(".") for told in report.rejected.values())


@pytest.mark.parametrize("indent", [None, 2, 4])
def test_a_broken_value_in_a_list_costs_only_itself(store, indent):
    content = "[" + ",\n".join(json.dumps(segment(number)) for number in (1, 2, 3)) + "]"
    if indent:
        content = text([segment(number) for number in (1, 2, 3)], indent=indent)
    broken = content.replace('"id": "0000000000000002"', '"id": "0000000000000002', 1)

    report = load(broken, store)

    assert latencies(store) == [101.0, 103.0]
    assert report.rejected["not_json"].n == 1


def test_one_bad_document_of_a_trace_leaves_the_others(store):
    both = [{"Id": "x", "Document": "{"}, {"Id": "y"}, *trace(1)["Segments"]]

    report = load(text({"Traces": [trace(1, Segments=both)]}, indent=1), store)

    assert (report.stored, refused(report)) == (1, {"not_json": (1, 3), "bad_trace": (1, 3)})


def test_traces_that_x_ray_did_not_return_or_cut_are_counted(store):
    answer = {"Traces": [trace(1, LimitExceeded=True)], "UnprocessedTraceIds": [trace(2)["Id"], trace(3)["Id"]]}

    report = load(text(answer), store)

    assert (report.stored, refused(report)) == (1, {"unprocessed_trace_id": (2, 1)})
    assert report.altered == {"trace_limit_exceeded": 1}


def test_a_summary_that_does_not_tell_enough_is_refused_and_gives_way_to_its_trace(store):
    untold = summary(2, IsPartial=True)
    odd = summary(3, Annotations={"key": [{}]})

    report = load(text(summary(1), untold, odd), store)
    assert (report.stored, refused(report)) == (1, {"summary_tells_too_little": (1, 2), "bad_summary": (1, 3)})

    load(text(trace(1)), store)
    assert latencies(store) == [101.0]


NOTHING = "There is no trace in the file that could be read"
WRONG = {
    "empty": (b"", "empty", "The file is empty."),
    "blank": (b" \n\n", None, "There is no trace in the file."),
    "a zip": (None, "zip", "The file is a zip: unpack it, and send what is in it."),
    "a picture": (
        b"\x89PNG\r\n\x1a\n\0\0",
        "not_text",
        "The file is no text: expected JSON, or JSON packed with gzip.",
    ),
    "a table": (
        b"a,b\n1,2\n",
        "not_json",
        f"{NOTHING}; line 1: This is no JSON.",
    ),
    "other JSON": (
        b'{"a": 1}',
        "not_a_trace",
        f"{NOTHING}; line 1: Expected segments, traces or summaries of X-Ray, or OTLP, and found an object.",
    ),
    "an empty answer": (b'{"Traces": [], "UnprocessedTraceIds": []}', None, "There is no trace in the file."),
    "no gzip": (b"\x1f\x8bxxxxxxxxxx", "bad_gzip", "The gzip file is damaged: what came before was read."),
}


@pytest.mark.parametrize(("content", "reason", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_a_file_of_the_wrong_kind_gets_one_sentence_and_is_counted(store, content, reason, sentence):
    if content is None:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("traces.json", text(*BOTH))
        content = packed.getvalue()

    report = load(content, store)

    assert (report.state, report.stored, report.error) == ("failed", 0, sentence)
    assert list(report.rejected) == ([reason] if reason else [])
    assert activity.snapshot()["refused"].get("file:march", {}).keys() == set(report.rejected)


def test_a_gzip_that_is_cut_short_gives_what_can_be_unpacked(store):
    lines = [json.dumps(segment(number, metadata={"x": f"{number * 7919:x}" * 9})) for number in range(1, 500)]
    packed = gzip.compress("\n".join(lines).encode())

    report = load(packed[: len(packed) // 2], store)

    assert (report.state, report.error) == ("failed", "The gzip file is cut short: what could be unpacked was read.")
    assert 100 < report.stored < 400
    assert len(latencies(store)) == report.stored
    assert refused(report).keys() == {"cut_short", "gzip_cut_short"}


def test_a_gzip_bomb_stops_at_the_limit_in_little_memory(store):
    bomb = gzip.compress(text(segment(1)).encode() + b"\n" + b" " * (32 << 20))
    tracemalloc.start()

    report = load(bomb, store, limit=8 << 20)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (report.stored, report.error) == (1, "The file has more than 8 MiB: the rest is not read.")
    assert peak < 24 << 20


def test_of_a_file_over_the_limit_what_came_before_is_stored(store):
    content = text(*(segment(number) for number in range(1, 9000)))

    report = load(content, store, limit=3 << 19)

    assert (report.state, report.error) == ("failed", "The file has more than 1.5 MiB: the rest is not read.")
    assert refused(report) == {"file_too_large": (1, 1)}
    assert report.stored == len(latencies(store)) > 1000


def test_a_large_file_needs_no_memory_of_its_size(store):
    piece = b",".join(orjson.dumps(segment(number, metadata={"x": "y" * 9000})) for number in range(1, 500))
    tracemalloc.start()

    with files.Import("big", NOW, store, LIMIT, workers.submit) as running:
        running.feed(b"[" + piece)
        for _ in range(9):
            running.feed(b"," + piece)
        running.feed(b"]")
        report = running.finish()

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (report.stored + report.duplicates, report.rejected) == (4990, {})
    assert report.bytes > 40 << 20
    assert peak < 40 << 20


def test_what_is_going_on_can_be_watched(store):
    with files.Import("march", NOW, store, LIMIT, workers.submit) as running:
        running.feed(text(segment(1)).encode())
        [while_running] = activity.snapshot()["imports"]
        running.finish()
    [afterwards] = activity.snapshot()["imports"]

    assert (while_running["state"], while_running["name"], while_running["stored"]) == ("running", "march", 0)
    assert (afterwards["state"], afterwards["stored"], afterwards["id"]) == ("done", 1, while_running["id"])
    assert activity.snapshot()["counts"]["file:march"] == {"received": 1, "stored": 1, "duplicate": 0}


def test_a_file_that_does_not_arrive_completely_is_said_to_have_failed(store):
    class Lost(io.BytesIO):
        def read(self, size=-1):
            raise ConnectionError

    with pytest.raises(ConnectionError):
        files.load(Lost(), "march", NOW, store, LIMIT, workers.submit)

    [told] = activity.snapshot()["imports"]
    assert (told["state"], told["error"]) == ("failed", "The file did not arrive completely: send it again.")


# By HTTP


def post(address, content, name="march", **options):
    return requests.post(f"{address}/api/v1/import", data=content, params={"name": name}, timeout=30, **options)


def test_a_file_that_is_sent_is_stored_and_answered_with_its_report(address):
    answer = post(address, gzip.compress(f"{text(*BOTH)}\n{{]".encode()))

    report = answer.json()
    shown = requests.get(f"{address}/api/v1/status", timeout=5).json()
    assert answer.status_code == 200
    assert (report["name"], report["state"], report["stored"], report["duplicates"]) == ("march", "done", 2, 0)
    assert report["rejected"] == {"not_json": {"n": 1, "first_line": 3, "message": "This is no JSON."}}
    assert shown["imports"] == [report]
    assert shown["sources"]["file:march"]["rows"] == 2


def test_a_stranger_sees_that_there_was_an_import_but_no_sentence_about_its_content(address):
    post(address, b"garbage")

    far = requests.get(f"{address}/api/v1/status", headers={"X-Forwarded-For": "1.2.3.4"}, timeout=5).json()

    [told] = far["imports"]
    assert told["rejected"] == {"not_json": {"n": 1, "first_line": 1}}
    assert set(told) == {"id", "name", "state", "bytes", "stored", "duplicates", "rejected", "altered"}


def test_a_file_comes_in_pieces_of_any_size(address):
    content = text(*(segment(number) for number in range(1, 6000))).encode()

    answer = post(address, (content[at : at + 7777] for at in range(0, len(content), 7777)))

    assert (answer.json()["stored"], answer.json()["bytes"]) == (5999, len(content))


@pytest.mark.parametrize(
    ("content", "limit", "status"), [(b"", "9", 400), (b"PK\3\4", "9", 400), (b"{}" * 9, "9", 413)]
)
def test_a_file_that_can_not_be_taken_is_an_error_in_one_sentence(address, monkeypatch, content, limit, status):
    monkeypatch.setenv("TRACECAST_IMPORT_MAX_BYTES", limit)

    answer = post(address, content)

    assert answer.status_code == status
    assert answer.json()["error"].endswith(".")


@pytest.mark.parametrize("name", ["", "../etc/passwd", "a\nb", "a" * 81, "ü"])
def test_a_name_that_is_none_for_a_source_is_refused(address, store, name):
    answer = post(address, text(segment(1)), name)

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("name must be 1 to 80 of the characters")
    assert store.sources().empty


def test_a_full_disk_is_a_503_and_the_import_has_failed(address, tmp_path):
    with stores.Store(tmp_path / "full.duckdb", min_free_bytes=1 << 60) as full:
        stores.use(full)
        answer = post(address, text(segment(1)))

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    [told] = activity.snapshot()["imports"]
    assert (told["state"], told["stored"], told["error"]) == ("failed", 0, answer.json()["error"])


def test_without_the_token_nothing_is_imported(address, store, monkeypatch):
    monkeypatch.setenv("TRACECAST_API_TOKEN", "open-sesame")

    assert post(address, text(segment(1))).status_code == 401
    assert store.sources().empty
    assert post(address, text(segment(1)), headers={"Authorization": "Bearer open-sesame"}).status_code == 200


# On the Sources page


@pytest.mark.parametrize(
    ("uploaded", "name"),
    [
        ("march.json.gz", "march.json.gz"),
        ("../../etc/passwd", "passwd"),
        ("C:\\traces\\märz 2026.json", "m-rz-2026.json"),
        ("a\nb\x00![x](http:c)", "a-b-x-http-c"),
        ("", "upload"),
        ("ü/", "upload"),
        ("x" * 200, "x" * 80),
    ],
)
def test_an_uploaded_name_is_made_one_for_a_source(uploaded, name):
    assert imports.name_of(uploaded) == name
    assert parse({"source": f"file:{name}"}).source == f"file:{name}"


def test_a_file_given_to_the_page_is_imported_by_the_service_and_its_report_shown(store):
    stopping = threading.Event()
    service = threading.Thread(target=_import_files, args=(store, LIMIT, stopping))
    service.start()
    activity.ask_import("march", io.BytesIO(f"{text(*BOTH)}\ngarbage".encode()))
    end = time.monotonic() + 20
    while time.monotonic() < end and not any(one["state"] == "done" for one in activity.snapshot()["imports"]):
        time.sleep(0.02)
    stopping.set()
    service.join()

    page = AppTest.from_file(APP, default_timeout=60).run()
    page.switch_page("../../pages/sources.py").run()

    assert not page.exception
    report, reasons = (frame.value for frame in page.dataframe[-2:])
    assert report.iloc[0].to_list()[:2] == ["file:march", "read"]
    assert report.iloc[0].to_list()[3:] == [2, 0, 1, None]
    assert reasons.iloc[0].to_list() == ["file:march", "not_json", 1, 3, None]  # no sentence for a stranger


# The stream of values

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(st.text(max_size=4), JSON, max_size=3), min_size=1, max_size=4)


def pieces(content, size):
    splitter = Splitter()
    found = [part for at in range(0, len(content), size) for part in splitter.feed(content[at : at + size])]
    found += splitter.finish()
    return [part if isinstance(part, Value) else (part.line, part.refusal.reason) for part in found]


@effort(max_examples=60, deadline=None)
@given(OBJECTS, st.sampled_from([None, 0, 1, 3]), st.booleans(), st.integers(1, 60))
def test_a_stream_is_cut_into_the_values_that_were_written(values, indent, in_a_list, size):
    content = (json.dumps(values, indent=indent) if in_a_list else text(*values, indent=indent)).encode()

    found = pieces(content, size)

    assert [json.loads(value.raw) for value in found] == values
    at = 0
    for value in found:  # they come in order, each at the line that it is said to begin in
        at = content.index(value.raw, at)
        assert value.line == 1 + content.count(b"\n", 0, at)
        at += len(value.raw)


@effort(max_examples=60, deadline=None)
@given(st.text('{}[]",:\\ \n“a1', max_size=60), st.integers(1, 20))
def test_whatever_comes_is_cut_alike_in_pieces_of_any_size_and_ends(content, size):
    raw = content.encode()

    assert pieces(raw, size) == pieces(raw, len(raw) + 1)


@pytest.mark.parametrize("depth", [5, 100_000])
def test_brackets_without_end_are_no_harm(depth):
    assert pieces(b'{"a":' * depth, 1 << 16) == [(1, "cut_short")]
    assert pieces(b"[" * depth, 1 << 16) == [(1, "cut_short")]


def test_the_time_of_a_file_ends_with_its_newest_span(store):
    load(text(segment(1)), store)

    window = queries.window(Question(source="file:march", range="24h"), NOW + timedelta(days=400))
    assert window.end == datetime(2026, 11, 24, 13)
