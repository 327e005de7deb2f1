"""One request, every door: whichever way it came, it has the same latency, annotations, error and bucket."""

import gzip
import io
import json
import socket
import time
from datetime import UTC, datetime, timedelta

import boto3
import pandas as pd
import pytest
import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, set_span_in_context

from core import activity
from core.ingest.collector import Collector
from core.settings import Settings

pytestmark = pytest.mark.usefixtures("fresh")

# The last microsecond of an hour, so that a door which loses a digit puts it into the next one.
START = datetime(2024, 11, 24, 12, 59, 59, 999999)
TOOK = timedelta(microseconds=250_001)
WORKED = timedelta(microseconds=123_456)
ANNOTATIONS = {
    "flag": "low",
    "price_usd": 91234.5,
    "shard_id": "coinbase",
    "data_volume_bytes": "1834",
    "retried": True,
}


def seconds(moment):
    return moment.replace(tzinfo=UTC).timestamp()


def nanoseconds(moment):
    return (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1) * 1000


def document(status, annotations):
    """The request as an X-Ray segment `shop` with the annotated subsegment `pay`."""
    begun = {"start_time": seconds(START)}
    pay = {
        "id": "00f067aa0ba902b7",
        "name": "pay",
        **begun,
        "end_time": seconds(START + WORKED),
        "annotations": annotations,
    }
    return json.dumps(
        {
            "name": "shop",
            "id": "eee19b7ec3c1b174",
            "trace_id": "1-5b8efff7-98038103d269b633813fc60c",
            **begun,
            "end_time": seconds(START + TOOK),
            "http": {"request": {"method": "GET", "url": "http://shop/cart"}, "response": {"status": status}},
            "error": 400 <= status < 500,
            "throttle": status == 429,
            "fault": status >= 500,
            "subsegments": [pay],
        }
    )


def by_udp(address, store, status, annotations):
    collector = Collector(Settings(udp_port=0), store)
    collector.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b'{"format":"json","version":1}\n' + document(status, annotations).encode(), collector.address)
    end = time.monotonic() + 10
    while not activity.snapshot()["counts"].get("live", {}).get("stored") and time.monotonic() < end:
        time.sleep(0.01)
    collector.stop()
    return "live"


def by_put_trace_segments(address, store, status, annotations):
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
    xray = boto3.client("xray", endpoint_url=address, region_name="us-east-1", **keys)
    xray.put_trace_segments(TraceSegmentDocuments=[document(status, annotations)])
    return "live"


def by_otlp(address, store, status, annotations):
    sdk = TracerProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"{address}/v1/traces", compression=Compression.Gzip)
    sdk.add_span_processor(SimpleSpanProcessor(exporter))
    tracer, begun = sdk.get_tracer("tests"), {"start_time": nanoseconds(START)}
    http = {"http.request.method": "GET", "url.full": "http://shop/cart", "http.response.status_code": status}
    shop = tracer.start_span("GET /cart", kind=SpanKind.SERVER, attributes=http, **begun)
    pay = tracer.start_span("pay", set_span_in_context(shop), attributes=annotations, **begun)
    pay.end(nanoseconds(START + WORKED))
    shop.end(nanoseconds(START + TOOK))
    sdk.shutdown()
    return "otlp"


def by_file(address, store, status, annotations):
    sent = json.loads(document(status, annotations))
    trace = {"Id": sent["trace_id"], "Segments": [{"Id": sent["id"], "Document": json.dumps(sent)}]}
    exported = gzip.compress(json.dumps({"Traces": [trace], "UnprocessedTraceIds": []}, indent=4).encode())
    report = requests.post(f"{address}/api/v1/import?name=exported", data=exported, timeout=30).json()
    assert (report["state"], report["stored"]) == ("done", 2)
    return "file:exported"


DOORS = [by_udp, by_put_trace_segments, by_otlp, by_file]


@pytest.fixture(params=DOORS, ids=[door.__name__ for door in DOORS])
def told(request, address, store):
    """Sends the request through a door; what a table says of it then, without the columns in which doors differ."""

    def send(status=200, **annotations):
        source = request.param(address, store, status, ANNOTATIONS | annotations)

        def table(name, **params):
            asked = {"source": source, "start": "2024-11-24", "end": "2024-11-25", **params}
            answer = requests.get(f"{address}/api/v1/{name}.csv", params=asked, timeout=30)
            frame = pd.read_csv(io.StringIO(answer.text))
            return frame.drop(columns=["source", "trace_id", "span_id"], errors="ignore")

        return table

    return send


def test_a_request_is_the_same_record_whichever_door_it_came_by(told):
    (record,) = told()("records").to_dict("records")

    assert json.loads(record.pop("annotations")) == ANNOTATIONS
    del record["hour_str"]  # nobody sent one
    assert record == {
        "measure": "latency_ms",
        "unit": "ms",
        "service": "shop",
        "name": "pay",
        "timestamp": "2024-11-24T12:59:59.999999Z",
        "latency_ms": 123.456,
        "data_volume_bytes": 1834.0,
        "price_usd": 91234.5,
        "flag": "low",
        "shard_id": "coinbase",
        "error": False,
    }


def test_a_request_is_in_the_same_bucket_whichever_door_it_came_by(told):
    hourly = told(processing_time_ms=99)("hourly")

    assert hourly.loc[hourly["request_count"] > 0, ["bucket", "request_count", "latency_avg", "error_rate"]].to_dict(
        "records"
    ) == [{"bucket": "2024-11-24T12:00:00Z", "request_count": 1, "latency_avg": 99.0, "error_rate": 0.0}]


@pytest.mark.parametrize(("status", "failed"), [(200, False), (404, True), (429, True), (503, True)])
def test_a_segment_has_the_same_latency_and_error_whichever_door_it_came_by(told, store, status, failed):
    (record,) = told(status)("records", scope="segments").to_dict("records")

    assert (record["service"], record["latency_ms"], record["error"]) == ("shop", 250.001, failed)
    columns = "error, fault, throttle, http_method, http_url, http_status"
    assert store.query(f"SELECT {columns} FROM spans WHERE kind = 'segment'").to_dict("records") == [
        {
            "error": 400 <= status < 500,
            "fault": status >= 500,
            "throttle": status == 429,
            "http_method": "GET",
            "http_url": "http://shop/cart",
            "http_status": status,
        }
    ]


@pytest.mark.parametrize(("sent", "failed"), [(True, True), ("False", False), ("true", True), (0, False), (1.5, True)])
def test_the_annotation_error_is_read_alike_whichever_door_it_came_by(told, sent, failed):
    (record,) = told(error=sent)("records").to_dict("records")

    assert record["error"] == failed
    assert json.loads(record["annotations"])["error"] == sent
