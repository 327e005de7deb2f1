"""The HTTP side, over a real socket: CSV and JSON out, segments in through the real boto3 client."""

import gzip
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pandas as pd
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

from core import activity, api, queries
from core.question import Question, parse
from core.spans import canonical_trace_id

NOW = datetime.now(UTC).replace(tzinfo=None, minute=0, second=0, microsecond=0)
HOUR = timedelta(hours=1)


pytestmark = pytest.mark.usefixtures("fresh")


def segment(number: int = 0, start: datetime = NOW - HOUR, latency_ms: float = 100.0, **fields) -> dict[str, Any]:
    """A segment of one annotated subsegment."""
    began = start.replace(tzinfo=UTC).timestamp()
    return {
        "name": "shop",
        "id": f"{number:016x}",
        "trace_id": f"1-{int(began):08x}-{number:024x}",
        "start_time": began,
        "end_time": began + 1,
        "subsegments": [
            {
                "name": "pay",
                "id": f"{number + 2**32:016x}",
                "start_time": began,
                "end_time": began + 1,
                "annotations": {"processing_time_ms": latency_ms, "flag": "low"},
            }
        ],
        **fields,
    }


def xray(address: str, **options):
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any", **options}
    config = Config(retries={"total_max_attempts": 1})
    return boto3.client("xray", endpoint_url=address, region_name="us-east-1", config=config, **keys)


def put(address: str, *documents: dict[str, Any] | str) -> list[dict[str, Any]]:
    texts = [one if isinstance(one, str) else json.dumps(one) for one in documents]
    answer = xray(address).put_trace_segments(TraceSegmentDocuments=texts)
    unprocessed: list[dict[str, Any]] = answer["UnprocessedTraceSegments"]
    return unprocessed


def table(address: str, name: str, **params: str) -> pd.DataFrame:
    answer = requests.get(f"{address}/api/v1/{name}.csv", params={"source": "live", **params}, timeout=30)
    assert answer.status_code == 200, answer.text
    return pd.read_csv(io.StringIO(answer.text))


def test_what_boto3_puts_is_in_the_next_answer(address):
    assert put(address, segment(1, latency_ms=100.0), segment(2, latency_ms=300.0)) == []

    hourly = table(address, "hourly", range="3d")

    assert hourly["latency_avg"].dropna().to_list() == [200.0]
    assert hourly.loc[hourly["request_count"] > 0, "bucket"].to_list() == [f"{(NOW - HOUR).isoformat()}Z"]


def test_a_refused_document_is_named_and_the_others_are_stored(address):
    refused = put(address, segment(1), "no json", segment(2, start=datetime(1971, 1, 1), trace_id="1-2-3"))

    assert [one.get("Id") for one in refused] == [None, f"{2:016x}"]
    assert all(one["ErrorCode"] and one["Message"].endswith(".") for one in refused)
    assert table(address, "records")["trace_id"].size == 1
    counted = requests.get(f"{address}/api/v1/status", timeout=5).json()["collector"]
    assert (counted["received"], counted["stored"], sum(counted["rejected"].values())) == (3, 1, 2)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"TraceSegmentDocuments": "x"}',
        b'{"TraceSegmentDocuments": [1]}',
        b"\xff\xfe",
        b"[" * 10**5,
    ],
    ids=["empty", "list", "object", "text", "number", "bytes", "deep"],
)
def test_a_body_that_is_no_put_trace_segments_is_a_400_in_one_sentence(address, body):
    answer = requests.post(f"{address}/TraceSegments", data=body, timeout=5)

    assert answer.status_code == 400
    assert answer.json()["error"] == 'The body must be JSON: {"TraceSegmentDocuments": ["…", …]}, each a text.'


def test_boto3_raises_the_exception_that_the_xray_api_documents(address, monkeypatch):
    monkeypatch.setattr(api, "MAX_SEGMENTS_BYTES", 10)
    with pytest.raises(ClientError) as refusal:
        put(address, segment(1))

    assert refusal.value.response["Error"]["Code"] == "InvalidRequestException"


def test_a_gzipped_body_is_taken_and_a_bomb_is_not(address):
    body = json.dumps({"TraceSegmentDocuments": [json.dumps(segment(1))]}).encode()
    gzipped = {"Content-Encoding": "gzip"}
    post = f"{address}/TraceSegments"

    assert requests.post(post, gzip.compress(body), headers=gzipped, timeout=5).json() == {
        "UnprocessedTraceSegments": []
    }
    assert requests.post(post, gzip.compress(bytes(2**24)), headers=gzipped, timeout=5).status_code == 413
    assert requests.post(post, gzip.compress(body)[:-9], headers=gzipped, timeout=5).status_code == 400
    assert requests.post(post, body, headers=gzipped, timeout=5).status_code == 400
    assert requests.post(post, body, headers={"Content-Encoding": "br"}, timeout=5).status_code == 400


def test_while_the_store_takes_nothing_a_sender_is_told_when_to_come_again(address, store):
    store.close()

    answer = requests.post(
        f"{address}/TraceSegments", json={"TraceSegmentDocuments": [json.dumps(segment(1))]}, timeout=5
    )

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert answer.json()["error"] == "The store is closed."


def test_a_trace_is_told_by_its_id_in_either_form(address):
    document = segment(7, metadata={"default": {"deep": [1, {"x": None}]}})
    put(address, document)
    plain = canonical_trace_id(document["trace_id"])

    answers = [
        requests.get(f"{address}/api/v1/traces/{form}.json", timeout=5).json() for form in (document["trace_id"], plain)
    ]

    assert answers[0] == answers[1]
    assert answers[0]["trace_id"] == plain
    root, child = sorted(answers[0]["spans"], key=lambda span: span["kind"])
    assert (root["service"], root["annotations"], root["source"]) == ("shop", {}, "live")
    assert root["detail"]["metadata"] == {"default": {"deep": [1, {"x": None}]}}
    assert child["annotations"] == {"processing_time_ms": 100.0, "flag": "low"}
    assert child["parent_id"] == root["span_id"]
    assert child["started_at"] == f"{(NOW - HOUR).isoformat()}Z"
    assert child["detail"] is None


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/traces/xyz.json", 400),
        (f"/api/v1/traces/{'0' * 32}.json", 404),
        ("/api/v1/nothing.csv", 404),
        ("/api/v2/hourly.csv", 404),
        ("/api/v1/hourly.csv?threshold=abc", 400),
        ("/api/v1/hourly.csv?range=24h&range=7d", 400),
        ("/api/v1/hourly.csv?colour=red", 400),
    ],
)
def test_a_bad_request_gets_one_sentence(address, path, status):
    answer = requests.get(f"{address}{path}", timeout=5)

    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert answer.json()["error"].endswith(".")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_every_table_of_an_empty_source_is_its_header(address):
    for name in ("hourly", "daily", "forecast", "anomalies", "price", "records"):
        assert table(address, name).empty, name
    assert len(table(address, "crossings")) == 1


def test_the_csv_and_the_page_answer_with_the_same_numbers(address):
    for hour in range(60):
        put(address, segment(hour, NOW - (hour + 1) * HOUR, 100.0 + hour % 24))
    params = {"source": "live", "end": f"{NOW.isoformat()}Z", "start": f"{(NOW - 60 * HOUR).isoformat()}Z"}

    downloaded = table(address, "forecast", **params)

    page = queries.forecast(parse(params), NOW)
    assert len(downloaded) == 24
    assert downloaded["yhat"].to_list() == page["yhat"].to_list()
    assert downloaded["p_above"].to_list() == page["p_above"].to_list()
    assert downloaded["ds"].iloc[0] == f"{NOW.isoformat()}Z"


def test_a_download_names_its_source_range_threshold_and_table(address):
    asked = "source=file:a.json&start=2026-11-01&end=2026-11-02T12:30"
    answer = requests.get(f"{address}/api/v1/hourly.csv?{asked}", timeout=5)

    name = "tracecast-file-a.json-20261101T0000-20261102T1230-150ms-hourly.csv"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"


def test_a_removed_source_is_gone(address):
    put(address, segment(1))

    assert requests.delete(f"{address}/api/v1/sources/live", timeout=5).json() == {"removed": 2}
    assert requests.delete(f"{address}/api/v1/sources/live", timeout=5).status_code == 404
    assert queries.metrics(Question(source="live"), NOW).empty


def test_a_foreign_page_may_neither_write_nor_read(address):
    headers = {"Origin": "http://evil.example"}

    assert requests.delete(f"{address}/api/v1/sources/live", headers=headers, timeout=5).status_code == 403
    assert requests.get(f"{address}/api/v1/status", headers={"Host": "evil.example"}, timeout=5).status_code == 403


def test_with_a_token_boto3_writes_when_its_access_key_id_is_the_token(address, monkeypatch):
    monkeypatch.setenv("TRACECAST_API_TOKEN", "open-sesame")

    with pytest.raises(ClientError, match="token"):
        xray(address).put_trace_segments(TraceSegmentDocuments=[json.dumps(segment(1))])
    answer = xray(address, aws_access_key_id="open-sesame").put_trace_segments(
        TraceSegmentDocuments=[json.dumps(segment(1))]
    )

    assert answer["UnprocessedTraceSegments"] == []


def test_the_status_keeps_details_of_errors_from_strangers(address, monkeypatch):
    activity.fail("pipeline", "Coinbase answered 429.")

    near = requests.get(f"{address}/api/v1/status", timeout=5).json()
    far = requests.get(f"{address}/api/v1/status", headers={"X-Forwarded-For": "1.2.3.4"}, timeout=5).json()

    assert near["pipeline"]["last_error"] == "Coinbase answered 429."
    assert far["pipeline"]["last_error"] is None
    assert set(near) == {"version", "healthy", "sources", "collector", "otlp", "pipeline", "pulls", "imports"}
