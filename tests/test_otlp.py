"""OpenTelemetry traces by OTLP/HTTP: what the real SDK sends, both encodings, and all that is no OTLP."""

import base64
import gzip
import io
import json
import math
import threading
import time
import zipfile
from datetime import UTC, datetime, timedelta

import orjson
import pytest
import requests
from google.protobuf.json_format import ParseDict
from hypothesis import example, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Status as ProtobufStatus
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanContext, SpanKind

from core import activity, api, schema, workers
from core import store as stores
from core.errors import MalformedSegment
from core.ingest import otlp
from core.ingest.otlp import JSON, PROTOBUF
from core.spans import Span

pytestmark = pytest.mark.usefixtures("fresh")

NOW = datetime(2024, 11, 24, 13)
START = datetime(2024, 11, 24, 12)
START_NS = int(START.replace(tzinfo=UTC).timestamp()) * 10**9
MS = 10**6
TRACE = "5b8efff798038103d269b633813fc60c"
SHOP = Span(
    source="otlp",
    trace_id=TRACE,
    span_id="eee19b7ec3c1b174",
    parent_id=None,
    kind="segment",
    service="shop",
    name="GET /cart",
    namespace=None,
    started_at=START,
    duration_ms=250.0,
    error=False,
    fault=False,
    throttle=False,
    http_method=None,
    http_url=None,
    http_status=None,
    numbers={},
    texts={},
    booleans={},
    failed=False,
    latency_ms=250.0,
    data_volume_bytes=None,
    price_usd=None,
    detail='{"resource":{"attributes":{"service.name":"shop"}}}',
    in_progress=False,
)


def span(**fields):
    """A span in OTLP's JSON."""
    return {
        "traceId": TRACE,
        "spanId": "eee19b7ec3c1b174",
        "name": "GET /cart",
        "startTimeUnixNano": str(START_NS),
        "endTimeUnixNano": str(START_NS + 250 * MS),
        **fields,
    }


def value(plain):
    """An `AnyValue` in OTLP's JSON."""
    match plain:
        case bool():
            return {"boolValue": plain}
        case int():
            return {"intValue": str(plain)}
        case float():
            return {"doubleValue": plain if math.isfinite(plain) else "NaN"}
        case str():
            return {"stringValue": plain}
        case bytes():
            return {"bytesValue": base64.b64encode(plain).decode()}
        case list():
            return {"arrayValue": {"values": [value(item) for item in plain]}}
        case dict():
            return {"kvlistValue": {"values": attributes(plain)}}
    return {}


def attributes(plain):
    return [{"key": key, "value": value(item)} for key, item in plain.items()]


def request(*spans, service="shop"):
    resource = {"attributes": attributes({"service.name": service} if service else {})}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}


def in_protobuf(sent):
    """The same request in protobuf, by protobuf's own reading of JSON, which has ids in base64."""

    def with_base64(item):
        if isinstance(item, list):
            return [with_base64(one) for one in item]
        if not isinstance(item, dict):
            return item
        ids = ("traceId", "spanId", "parentSpanId")
        return {
            key: base64.b64encode(bytes.fromhex(one)).decode() if key in ids else with_base64(one)
            for key, one in item.items()
        }

    return ParseDict(with_base64(sent), ExportTraceServiceRequest()).SerializeToString()


def read(sent, encoding=JSON, noted=None):
    body = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    return list(otlp.read(body, encoding, "otlp", NOW, (noted if noted is not None else []).append))


def read_one(**fields):
    """The span that is read from one with these fields, and what was noted."""
    noted: list[str] = []
    (found,) = read(request(span(**fields)), noted=noted)
    assert read(in_protobuf(request(span(**fields))), PROTOBUF) == [found]
    return found, noted


def detail(found):
    kept = json.loads(found.detail)
    assert kept.pop("resource") == {"attributes": {"service.name": "shop"}}
    return kept


def post(address, body, content_type=JSON, **headers):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return requests.post(f"{address}/v1/traces", data, headers={"Content-Type": content_type, **headers}, timeout=10)


def rows(store, columns="*"):
    return store.query(f"SELECT {columns} FROM spans ORDER BY started_at, span_id").to_dict("records")


def counts(what="counts"):
    return activity.snapshot()[what].get("otlp", {})


# The real SDK


def exporter(address, **options):
    return OTLPSpanExporter(f"{address}/v1/traces", compression=Compression.Gzip, **options)


def provider(address, **options):
    made = TracerProvider(resource=Resource({"service.name": "shop", "deployment": "blue"}), shutdown_on_exit=False)
    made.add_span_processor(BatchSpanProcessor(exporter(address, **options)))
    return made


def test_what_the_sdk_exports_becomes_segments_and_subsegments(address, store):
    sdk = provider(address)
    tracer = sdk.get_tracer("tests", "1.2")
    elsewhere = SpanContext(int(TRACE, 16), 1, is_remote=True)
    with tracer.start_as_current_span(
        "GET /cart", kind=SpanKind.SERVER, links=[Link(elsewhere, {"why": "retry"})]
    ) as root:
        root.set_attributes({"http.request.method": "GET", "url.full": "http://shop/cart", "customer.tier": "gold"})
        root.set_attribute("http.response.status_code", 500)
        with pytest.raises(ValueError, match="no stock"), tracer.start_as_current_span("pay", kind=SpanKind.CLIENT):
            raise ValueError("no stock")
        root.add_event("cart emptied", {"items": 3})
    sdk.shutdown()

    segment, pay = rows(store)
    assert (segment["kind"], segment["service"], segment["name"]) == ("segment", "shop", "GET /cart")
    assert segment["trace_id"] == f"{root.get_span_context().trace_id:032x}"
    assert segment["span_id"] == f"{root.get_span_context().span_id:016x}"
    assert (segment["http_method"], segment["http_url"], segment["http_status"]) == ("GET", "http://shop/cart", 500)
    assert (segment["fault"], segment["error"], segment["failed"]) == (True, False, True)
    assert segment["texts"] == {"customer_tier": "gold"}
    assert segment["duration_ms"] == pytest.approx((root.end_time - root.start_time) / 1e6)
    kept = json.loads(segment["detail"])
    assert kept["start_time_unix_nano"] == root.start_time or root.start_time % 1000 == 0
    assert kept["kind"] == "server"
    assert kept["annotation_names"] == {"customer_tier": "customer.tier"}
    assert kept["links"][0] == kept["links"][0] | {
        "trace_id": TRACE,
        "span_id": "0000000000000001",
        "attributes": {"why": "retry"},
    }
    assert [(one["name"], one["attributes"]) for one in kept["events"]] == [("cart emptied", {"items": 3})]
    assert kept["resource"] == {"attributes": {"service.name": "shop", "deployment": "blue"}}
    assert kept["scope"] == {"name": "tests", "version": "1.2"}
    assert (pay["kind"], pay["parent_id"], pay["namespace"]) == ("subsegment", segment["span_id"], "remote")
    assert (pay["fault"], pay["error"]) == (True, False)
    kept = json.loads(pay["detail"])
    assert kept["status"] == {"code": "error", "message": "ValueError: no stock"}
    (exception,) = kept["cause"]["exceptions"]
    assert (exception["type"], exception["message"]) == ("ValueError", "no stock")
    assert "Traceback" in exception["stacktrace"]
    assert "events" not in kept


def test_a_thousand_spans_of_the_sdk_are_all_stored_and_counted(address, store):
    sdk = provider(address)
    tracer = sdk.get_tracer("tests")
    for number in range(1000):
        tracer.start_span("GET /", attributes={"number": number}).end()
    sdk.shutdown()

    assert sorted(row["numbers"]["number"] for row in rows(store)) == list(range(1000))
    assert counts() == {"received": 1000, "stored": 1000, "duplicate": 0}


def test_the_sdk_waits_as_told_and_sends_again_when_the_disk_was_full(address, tmp_path, store, monkeypatch):
    monkeypatch.setattr(api, "RETRY_AFTER_S", 1)
    with stores.Store(tmp_path / "full.duckdb", min_free_bytes=1 << 60) as full:
        stores.use(full)
        threading.Timer(0.5, stores.use, [store]).start()
        sdk = provider(address)
        sdk.get_tracer("tests").start_span("GET /").end()
        sdk.shutdown()

    assert [row["name"] for row in rows(store)] == ["GET /"]


def test_a_full_disk_is_a_503_with_the_time_to_wait_in_the_encoding_of_the_request(address, tmp_path):
    with stores.Store(tmp_path / "full.duckdb", min_free_bytes=1 << 60) as full:
        stores.use(full)
        in_json = post(address, request(span()))
        binary = post(address, in_protobuf(request(span())), PROTOBUF)

    assert (in_json.status_code, binary.status_code) == (503, 503)
    assert in_json.headers["Retry-After"] == binary.headers["Retry-After"] == "30"
    assert "MiB of disk are free" in in_json.json()["message"]
    assert ProtobufStatus.FromString(binary.content).message == in_json.json()["message"]
    assert counts() == {}


def test_with_a_token_the_sdk_writes_when_its_header_has_it(address, store, monkeypatch):
    monkeypatch.setenv("TRACECAST_API_TOKEN", "open-sesame")

    refused = post(address, in_protobuf(request(span())), PROTOBUF)
    sdk = provider(address, headers={"Authorization": "Bearer open-sesame"})
    sdk.get_tracer("tests").start_span("GET /").end()
    sdk.shutdown()

    assert refused.status_code == 401
    assert "token" in ProtobufStatus.FromString(refused.content).message
    assert [row["name"] for row in rows(store)] == ["GET /"]


# One span


def test_a_span_is_read_alike_from_json_and_from_protobuf():
    assert read_one() == (SHOP, [])


@pytest.mark.parametrize(
    ("fields", "columns"),
    [
        pytest.param({"kind": 2, "parentSpanId": "00f067aa0ba902b7"}, ("segment", None), id="server"),
        pytest.param({"kind": 5, "parentSpanId": "00f067aa0ba902b7"}, ("segment", None), id="consumer"),
        pytest.param({"kind": 3}, ("segment", None), id="client without a parent"),
        pytest.param({"kind": 1, "parentSpanId": "00f067aa0ba902b7"}, ("subsegment", None), id="internal"),
        pytest.param({"kind": 3, "parentSpanId": "00f067aa0ba902b7"}, ("subsegment", "remote"), id="client"),
        pytest.param({"kind": 4, "parentSpanId": "00f067aa0ba902b7"}, ("subsegment", "remote"), id="producer"),
        pytest.param({"parentSpanId": "00f067aa0ba902b7"}, ("subsegment", None), id="unspecified"),
        pytest.param({"parentSpanId": "0000000000000000"}, ("segment", None), id="parent of zeros"),
    ],
)
def test_server_consumer_and_parentless_spans_are_segments(fields, columns):
    found, _ = read_one(**fields)

    assert (found.kind, found.namespace) == columns


@pytest.mark.parametrize(
    ("sent", "code", "flags"),
    [
        pytest.param({}, 0, "", id="nothing"),
        pytest.param({}, 1, "", id="ok"),
        pytest.param({}, 2, "fault", id="status error"),
        pytest.param({"http.response.status_code": 200}, 0, "", id="200"),
        pytest.param({"http.response.status_code": 404}, 0, "error", id="404"),
        pytest.param({"http.response.status_code": 404}, 2, "error", id="404 of a client, which sets the status"),
        pytest.param({"http.response.status_code": 429}, 0, "error throttle", id="429"),
        pytest.param({"http.response.status_code": 503}, 0, "fault", id="503"),
        pytest.param({"http.status_code": 500}, 0, "fault", id="500 by the older convention"),
        pytest.param({"http.status_code": "500"}, 0, "fault", id="500 as a text"),
        pytest.param({"http.response.status_code": 200}, 2, "fault", id="200 with an error"),
        pytest.param({"error": True}, 0, "failed", id="annotation"),
        pytest.param({"error": "False"}, 0, "", id="annotation false"),
    ],
)
def test_flags_come_from_the_http_status_and_the_status(sent, code, flags):
    found, _ = read_one(attributes=attributes(sent), status={"code": code})

    assert " ".join(flag for flag in ("error", "fault", "throttle") if getattr(found, flag)) == flags.replace(
        "failed", ""
    )
    assert found.failed == bool(flags)


@pytest.mark.parametrize(("code", "fault"), [(0, True), (2, True), (1, False)], ids=["unset", "error", "ok"])
def test_an_exception_is_a_fault_unless_the_span_says_that_it_went_well(code, fault):
    told = {"exception.type": "IOError", "exception.message": "gone", "exception.escaped": True}
    event = {
        "timeUnixNano": str(START_NS),
        "name": "exception",
        "attributes": attributes(told),
        "droppedAttributesCount": 1,
    }
    found, _ = read_one(events=[event], status={"code": code})

    assert found.fault == found.failed == fault
    assert detail(found)["cause"] == {
        "exceptions": [
            {
                "type": "IOError",
                "message": "gone",
                "attributes": {"exception.escaped": True},
                "time_unix_nano": START_NS,
                "dropped_attributes_count": 1,
            }
        ]
    }


@pytest.mark.parametrize(
    ("sent", "columns", "kept"),
    [
        pytest.param(
            {"http.request.method": "GET", "url.full": "https://x/y", "http.response.status_code": 200},
            ("GET", "https://x/y", 200),
            {},
            id="newer",
        ),
        pytest.param(
            {"http.method": "GET", "http.url": "https://x/y", "http.status_code": 200},
            ("GET", "https://x/y", 200),
            {},
            id="older",
        ),
        pytest.param(
            {"http.method": "GET", "http.request.method": "PUT"},
            ("PUT", None, None),
            {"http.method": "GET"},
            id="both: the newer, the other kept",
        ),
        pytest.param(
            {"url.scheme": "https", "server.address": "x", "server.port": 8443, "url.path": "/y", "url.query": "a=b"},
            (None, "https://x:8443/y?a=b", None),
            {"url.scheme": "https", "server.address": "x", "server.port": 8443, "url.path": "/y", "url.query": "a=b"},
            id="a server's pieces",
        ),
        pytest.param(
            {"http.scheme": "http", "http.host": "x:8080", "net.host.port": 8080, "http.target": "/y?a=b"},
            (None, "http://x:8080/y?a=b", None),
            {"http.scheme": "http", "http.host": "x:8080", "net.host.port": 8080, "http.target": "/y?a=b"},
            id="older pieces",
        ),
        pytest.param({"http.target": "/y"}, (None, "/y", None), {"http.target": "/y"}, id="a path alone"),
        pytest.param(
            {"http.method": 5, "http.url": True, "http.status_code": "200"},
            (None, None, 200),
            {"http.method": 5, "http.url": True, "http.status_code": "200"},
            id="odd types are kept",
        ),
        pytest.param({"http.status_code": 2**40}, (None, None, None), {"http.status_code": 2**40}, id="no status"),
    ],
)
def test_http_columns_come_from_either_convention(sent, columns, kept):
    found, noted = read_one(attributes=attributes(sent))

    assert (found.http_method, found.http_url, found.http_status) == columns
    assert detail(found).get("attributes", {}) == kept
    assert (found.numbers, found.texts, noted) == ({}, {}, [])


def test_attributes_outside_the_conventions_are_annotations():
    sent = {
        "flag": "low",
        "price_usd": 91234.5,
        "processing_time_ms": 123,
        "data_volume_bytes": "1834",
        "error": False,
        "cart.items": 3,
        "db.statement": "SELECT 1",
        "error.type": "500",
        "thread.id": 7,
    }
    found, noted = read_one(attributes=attributes(sent))

    assert found.numbers == {
        "price_usd": 91234.5,
        "processing_time_ms": 123.0,
        "data_volume_bytes": 1834.0,
        "cart_items": 3.0,
    }
    assert found.texts == {"flag": "low", "data_volume_bytes": "1834"}
    assert found.booleans == {"error": False}
    assert (found.latency_ms, found.data_volume_bytes, found.price_usd) == (123.0, 1834.0, 91234.5)
    assert detail(found)["attributes"] == {"db.statement": "SELECT 1", "error.type": "500", "thread.id": 7}
    assert noted == []


def test_where_the_annotations_are_listed_no_other_attribute_is_one():
    listed = ["cart.items", "http.status_code", "missing"]
    sent = {"cart.items": 3, "flag": "low", "http.status_code": 200, "aws.xray.annotations": listed}
    found, noted = read_one(attributes=attributes(sent))

    assert found.numbers == {"cart_items": 3.0, "http_status_code": 200.0}
    assert found.texts == {}
    assert found.http_status == 200
    assert detail(found)["attributes"] == {"flag": "low", "aws.xray.annotations": listed}
    assert noted == []


def test_of_two_attributes_that_are_read_as_one_annotation_the_exact_one_is_it():
    found, noted = read_one(attributes=attributes({"cart.items": 3, "cart_items": 4, "a.b_c": 1, "a_b.c": 2}))

    assert found.numbers == {"cart_items": 4.0, "a_b_c": 1.0}
    assert detail(found)["attributes"] == {"cart.items": 3, "a_b.c": 2}
    assert noted == ["annotation_twice", "annotation_twice"]


def test_what_no_annotation_can_hold_is_kept_and_counted():
    sent = {"list": [1, "x", None], "object": {"a": {"b": b"\x00\xff"}}, "not_a_number": math.nan, "large": 2**63 - 1}
    found, noted = read_one(attributes=attributes(sent))

    assert found.numbers == {"large": 2.0**63}
    assert detail(found)["attributes"] == {
        "list": [1, "x", None],
        "object": {"a": {"b": {"bytesValue": "AP8="}}},
        "not_a_number": None,
        "large": 2**63 - 1,
    }
    assert sorted(noted) == ["annotation_not_scalar", "annotation_not_scalar", "number_not_finite"]


SCALARS = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
)
NAMES = st.text("ab_", min_size=1, max_size=2) | st.sampled_from(
    ["", "a.b", "a.a", "http.x", "http.url", "http.method", "http.status_code", "url.full", "aws.xray.annotations"]
)
PLAIN = SCALARS | st.none()
VALUES = PLAIN | st.lists(PLAIN, max_size=2) | st.dictionaries(NAMES, st.lists(PLAIN, max_size=2) | PLAIN, max_size=2)


@effort(max_examples=80, deadline=None)
@given(sent=st.dictionaries(NAMES, VALUES, max_size=6))
@example(sent={"http.url": ""})
@example(sent={"aws.xray.annotations": ["a.b", "http.url", {}], "a.b": 1, "http.url": "x"})
def test_every_attribute_is_found_again_with_its_value(sent):
    (found,) = read(request(span(attributes=attributes(sent))))
    assert read(in_protobuf(request(span(attributes=attributes(sent)))), PROTOBUF) == [found]
    assert schema.rows([found]).num_rows == 1
    kept = detail(found)
    names = kept.get("annotation_names", {})
    annotations = found.numbers | found.texts | found.booleans

    again = {names.get(key, key): item for key, item in annotations.items()} | kept.get("attributes", {})
    columns = [found.http_method, found.http_url, found.http_status]
    assert {name: again[name] for name in sent if name in again} == {name: sent[name] for name in sent if name in again}
    assert all(sent[name] in columns for name in sent if name not in again)
    assert set(again) <= set(sent)


def test_whatever_else_was_sent_is_in_the_detail():
    found, _ = read_one(
        kind=3,
        traceState="a=b",
        flags=257,
        droppedAttributesCount=1,
        droppedEventsCount=2,
        droppedLinksCount=3,
        status={"code": 1, "message": "fine"},
        events=[{"timeUnixNano": str(START_NS + 1), "name": "e", "attributes": attributes({"x": 1})}],
        links=[{"traceId": TRACE, "spanId": "00f067aa0ba902b7", "traceState": "c=d", "flags": 1}],
    )

    assert detail(found) == {
        "kind": "client",
        "status": {"code": "ok", "message": "fine"},
        "events": [{"time_unix_nano": START_NS + 1, "name": "e", "attributes": {"x": 1}}],
        "links": [{"trace_id": TRACE, "span_id": "00f067aa0ba902b7", "trace_state": "c=d", "flags": 1}],
        "trace_state": "a=b",
        "flags": 257,
        "dropped_attributes_count": 1,
        "dropped_events_count": 2,
        "dropped_links_count": 3,
    }


def test_resource_and_scope_are_kept_with_each_of_their_spans():
    sent = request(span())
    group = sent["resourceSpans"][0]
    group["schemaUrl"] = "https://schema/1"
    group["resource"] |= {"droppedAttributesCount": 4, "entityRefs": [{"type": "host", "idKeys": ["host.id"]}]}
    group["scopeSpans"][0] |= {
        "schemaUrl": "https://schema/2",
        "scope": {"name": "lib", "attributes": attributes({"a": 1})},
    }

    (found,) = read(sent)

    assert read(in_protobuf(sent), PROTOBUF) == [found]
    assert json.loads(found.detail) == {
        "resource": {
            "attributes": {"service.name": "shop"},
            "entity_refs": [{"type": "host", "id_keys": ["host.id"]}],
            "schema_url": "https://schema/1",
            "dropped_attributes_count": 4,
        },
        "scope": {"name": "lib", "attributes": {"a": 1}, "schema_url": "https://schema/2"},
    }


@pytest.mark.parametrize(
    ("start", "end", "columns", "kept"),
    [
        pytest.param(0, 1, (START, 0.000001, False), {}, id="a nanosecond"),
        pytest.param(
            1500, 2500, (START + timedelta(microseconds=2), 0.001, False), {"start_time_unix_nano": 1500}, id="between"
        ),
        pytest.param(0, 86_400 * 10**9, (START, 86_400_000.0, False), {}, id="a day"),
        pytest.param(0, -1, (START, None, False), {"end_time_unix_nano": -1}, id="ends before it starts"),
        pytest.param(0, None, (START, None, True), {}, id="has not ended"),
    ],
)
def test_times_are_kept_to_the_nanosecond(start, end, columns, kept):
    ended = {} if end is None else {"endTimeUnixNano": str(START_NS + end)}
    sent = {key: item for key, item in span(startTimeUnixNano=START_NS + start).items() if key != "endTimeUnixNano"}
    noted: list[str] = []
    (found,) = read(request(sent | ended), noted=noted)

    assert (found.started_at, found.duration_ms, found.in_progress) == columns
    assert found.latency_ms == found.duration_ms
    assert detail(found) == {key: START_NS + item for key, item in kept.items()}
    assert noted == (["clock_skew"] if end == -1 else [])


def test_a_span_that_its_sender_cut_short_is_counted():
    noted: list[str] = []
    read(request(span(droppedAttributesCount=3), span(droppedEventsCount=0)), noted=noted)

    assert noted == ["dropped_by_sender"]


def test_numbers_come_as_numbers_or_texts_and_ids_in_either_case():
    found, _ = read_one()
    (other,) = read(
        request(
            span(
                traceId=TRACE.upper(),
                spanId="EEE19B7EC3C1B174",
                startTimeUnixNano=float(START_NS),
                endTimeUnixNano=START_NS + 250 * MS,
            )
        )
    )
    (one, two) = read(
        request(
            span(attributes=[{"key": "n", "value": {"intValue": 7}}]),
            span(attributes=[{"key": "n", "value": {"intValue": "7"}}]),
        )
    )

    assert other == found
    assert one == two


def test_keys_in_snake_case_and_names_of_enumerations_are_read():
    sent = {
        "resource_spans": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"string_value": "shop"}}]},
                "scope_spans": [
                    {
                        "spans": [
                            {
                                "trace_id": TRACE,
                                "span_id": "eee19b7ec3c1b174",
                                "parent_span_id": "00f067aa0ba902b7",
                                "name": "GET /cart",
                                "kind": "SPAN_KIND_CLIENT",
                                "start_time_unix_nano": START_NS,
                                "end_time_unix_nano": START_NS + 250 * MS,
                                "attributes": [{"key": "cart_items", "value": {"int_value": "3"}}],
                                "status": {"code": "STATUS_CODE_ERROR"},
                            }
                        ]
                    }
                ],
            }
        ]
    }
    (found,) = read(sent)

    assert found._replace(detail=None) == SHOP._replace(
        parent_id="00f067aa0ba902b7",
        kind="subsegment",
        namespace="remote",
        fault=True,
        failed=True,
        numbers={"cart_items": 3.0},
        detail=None,
    )
    assert detail(found) == {"kind": "client", "status": {"code": "error"}}


def test_unknown_keys_are_ignored_as_the_protocol_demands():
    assert read(request(span(futureField={"a": 1}))) == [SHOP]


def test_a_span_of_no_named_service_has_the_name_that_sdks_give_or_that_of_its_segment(store):
    root, child = span(), span(spanId="00f067aa0ba902b7", parentSpanId="eee19b7ec3c1b174")
    otlp.take(orjson.dumps(request(child, service=None)), JSON, NOW, store, workers.submit)
    otlp.take(orjson.dumps(request(root, service="shop")), JSON, NOW, store, workers.submit)
    otlp.take(orjson.dumps(request(span(traceId="1" * 32), service=None)), JSON, NOW, store, workers.submit)

    assert [(row["kind"], row["service"]) for row in rows(store)] == [
        ("subsegment", "shop"),
        ("segment", "shop"),
        ("segment", "unknown_service"),
    ]


def test_a_child_that_comes_before_its_parent_has_its_own_service(store):
    child = span(spanId="00f067aa0ba902b7", parentSpanId="eee19b7ec3c1b174", kind=1)
    otlp.take(in_protobuf(request(child, service="stock")), PROTOBUF, NOW, store, workers.submit)
    otlp.take(in_protobuf(request(span(), service="shop")), PROTOBUF, NOW, store, workers.submit)

    assert [(row["span_id"], row["service"]) for row in rows(store)] == [
        ("00f067aa0ba902b7", "stock"),
        ("eee19b7ec3c1b174", "shop"),
    ]


# Requests


def test_a_request_that_is_sent_again_is_stored_once(address, store):
    sent = request(span(), span(spanId="00f067aa0ba902b7"))
    post(address, sent)
    before = store.version("otlp")
    answer = post(address, in_protobuf(sent), PROTOBUF)

    assert (answer.status_code, answer.content) == (200, b"")
    assert len(rows(store)) == 2
    assert store.version("otlp") == before
    assert counts() == {"received": 4, "stored": 2, "duplicate": 2}


BAD = [
    pytest.param({"traceId": ""}, "bad_trace_id", id="no trace id"),
    pytest.param({"traceId": "0" * 32}, "bad_trace_id", id="trace id of zeros"),
    pytest.param({"traceId": TRACE[:30]}, "bad_trace_id", id="short trace id"),
    pytest.param({"spanId": "0" * 16}, "bad_span_id", id="span id of zeros"),
    pytest.param({"spanId": TRACE}, "bad_span_id", id="long span id"),
    pytest.param({"parentSpanId": "00f0"}, "bad_parent_id", id="short parent"),
    pytest.param({"startTimeUnixNano": "0"}, "bad_start_time", id="no start"),
    pytest.param({"startTimeUnixNano": str(time.time_ns() + 30 * 3600 * 10**9)}, "bad_start_time", id="start ahead"),
    pytest.param({"startTimeUnixNano": str(2**64 - 1)}, "bad_start_time", id="start far ahead"),
]
BAD_JSON = [
    pytest.param({"traceId": 5}, "bad_trace_id", id="trace id a number"),
    pytest.param({"traceId": base64.b64encode(bytes.fromhex(TRACE)).decode()}, "bad_trace_id", id="base64"),
    pytest.param({"traceId": "g" * 32}, "bad_trace_id", id="no hex"),
    pytest.param({"spanId": None}, "bad_span_id", id="span id null"),
    pytest.param({"name": []}, "bad_name", id="name a list"),
    pytest.param({"kind": "CLIENT"}, "bad_kind", id="kind a text"),
    pytest.param({"kind": True}, "bad_kind", id="kind a boolean"),
    pytest.param({"startTimeUnixNano": "2026-11-24T12:00:00Z"}, "bad_start_time", id="time a date"),
    pytest.param({"startTimeUnixNano": -1}, "bad_start_time", id="time below zero"),
    pytest.param({"endTimeUnixNano": 1.5}, "bad_end_time", id="time a fraction"),
    pytest.param({"endTimeUnixNano": 2**64}, "bad_end_time", id="time over 64 bits"),
    pytest.param({"status": "OK"}, "bad_field", id="status a text"),
    pytest.param({"status": {"code": "BAD"}}, "bad_code", id="code a text"),
    pytest.param({"events": {}}, "bad_field", id="events an object"),
    pytest.param({"links": [1]}, "bad_field", id="links of numbers"),
    pytest.param({"traceState": 1}, "bad_field", id="trace state a number"),
    pytest.param({"attributes": {"a": 1}}, "bad_field", id="attributes an object"),
    pytest.param({"attributes": ["a"]}, "bad_attribute", id="an attribute a text"),
    pytest.param({"attributes": [{"key": 1}]}, "bad_attribute", id="key a number"),
    pytest.param({"attributes": [{"key": "a", "value": 1}]}, "bad_attribute", id="value bare"),
    pytest.param({"attributes": [{"key": "a", "value": {"intValue": "x"}}]}, "bad_attribute", id="integer a text"),
    pytest.param({"attributes": [{"key": "a", "value": {"intValue": 2**63}}]}, "bad_attribute", id="over 64 bits"),
    pytest.param({"attributes": [{"key": "a", "value": {"boolValue": 1}}]}, "bad_attribute", id="boolean 1"),
    pytest.param({"attributes": [{"key": "a", "value": {"doubleValue": "x"}}]}, "bad_attribute", id="double a text"),
    pytest.param(
        {"attributes": [{"key": "a", "value": {"intValue": 1, "stringValue": "1"}}]}, "bad_attribute", id="two values"
    ),
]


@pytest.mark.parametrize(("fields", "reason"), BAD)
@pytest.mark.parametrize("encoding", [JSON, PROTOBUF])
def test_a_bad_span_is_rejected_and_counted_and_the_others_are_stored(address, store, encoding, fields, reason):
    whole = request(span(spanId="1" * 16), span(**fields), span(spanId="2" * 16))

    answer = post(address, whole if encoding == JSON else in_protobuf(whole), encoding)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == encoding
    if encoding == JSON:
        told = answer.json()["partialSuccess"]
        rejected, message = int(told["rejectedSpans"]), told["errorMessage"]
    else:
        partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
        rejected, message = partial.rejected_spans, partial.error_message
    assert rejected == 1
    assert message.startswith(f"{reason} (1): The ")
    assert [row["span_id"] for row in rows(store)] == ["1" * 16, "2" * 16]
    assert counts() == {"received": 3, "stored": 2, "duplicate": 0}
    assert counts("refused") == {reason: 1}


@pytest.mark.parametrize(("fields", "reason"), BAD_JSON)
def test_a_span_with_a_value_of_the_wrong_type_is_rejected_whole(fields, reason):
    good, bad = read(request(span(), span(**fields)))

    assert good == SHOP
    assert isinstance(bad, MalformedSegment)
    assert bad.reason == reason
    assert str(bad).endswith(".")


def test_spans_that_are_no_objects_are_rejected():
    assert [str(one) for one in read(request(None, 5))] == [
        "A span is missing or null: expected an object.",
        "A span is 5: expected an object.",
    ]


@pytest.mark.parametrize("text", [b"GET /cart", b"low"], ids=["a name", "an attribute"])
def test_in_protobuf_a_text_that_is_no_utf_8_rejects_its_span_alone(text):
    body = in_protobuf(request(span(attributes=attributes({"flag": "low"})), span(name="GET /", spanId="1" * 16)))

    bad, good = read(body.replace(text, text[:-1] + b"\xff"), PROTOBUF)

    assert bad.reason == "not_a_span"
    assert good.name == "GET /"


@pytest.mark.parametrize("key", ["a", "k" * 127, "k" * 128, "ü"])
def test_in_protobuf_a_text_that_ends_like_a_number_is_a_text_and_a_number_a_number(key):
    sent = {key: "x\x12\x09\x21" + "12345678", "other": 12.5, f"{key}2": -0.0}
    [found] = read(in_protobuf(request(span(attributes=attributes(sent)))), PROTOBUF)

    assert found.texts == {key: sent[key]}
    assert found.numbers == {"other": 12.5, f"{key}2": 0.0}


def test_an_oddity_is_noted_each_time_that_its_attribute_comes():
    noted: list[str] = []
    body = in_protobuf(
        request(span(attributes=attributes({"odd": math.nan})), span(attributes=attributes({"odd": math.nan})))
    )
    read(body, PROTOBUF, noted)

    assert noted == ["number_not_finite", "number_not_finite"]


def test_what_a_rejected_span_has_of_oddities_is_not_counted():
    noted: list[str] = []
    read(request(span(spanId="", attributes=attributes({"list": [1], "nan": math.nan}))), noted=noted)

    assert noted == []


def deep(levels):
    """A request of two spans, of which the second has an attribute of lists in lists."""
    attribute = {"key": "deep", "value": "DEEP"}
    opened, closed = b'{"arrayValue":{"values":[' * levels, b"]}}" * levels
    return orjson.dumps(request(span(), span(attributes=[attribute]))).replace(b'"DEEP"', opened + b"{}" + closed)


def test_an_attribute_nested_too_deep_rejects_its_span_alone():
    good, taken = read(deep(100))
    assert good == SHOP
    assert str(detail(taken)["attributes"]["deep"]) == "[" * 100 + "None" + "]" * 100

    good, rejected = read(deep(300))
    assert good == SHOP
    assert rejected.reason == "too_deep"


ZIP = io.BytesIO()
with zipfile.ZipFile(ZIP, "w") as archive:
    archive.writestr("traces.json", json.dumps(request(span())))
GOOD = in_protobuf(request(span()))


@pytest.mark.parametrize(
    ("body", "content_type", "headers", "status", "reason"),
    [
        pytest.param(b"", JSON, {}, 400, "not_json", id="JSON: empty"),
        pytest.param(b"{", JSON, {}, 400, "not_json", id="JSON: cut short"),
        pytest.param(b"\xff\xfe{}", JSON, {}, 400, "not_json", id="JSON: no UTF-8"),
        pytest.param("{“resourceSpans”: []}".encode(), JSON, {}, 400, "not_json", id="JSON: smart quotes"),
        pytest.param(b'{"resourceSpans": [],}', JSON, {}, 400, "not_json", id="JSON: trailing comma"),
        pytest.param(b"[" * 10**5, JSON, {}, 400, "too_deep", id="JSON: deep"),
        pytest.param(b"[]", JSON, {}, 400, "not_otlp", id="JSON: a list"),
        pytest.param(b'{"resourceLogs": []}', JSON, {}, 400, "not_otlp", id="JSON: logs"),
        pytest.param(b'{"resourceSpans": {}}', JSON, {}, 400, "bad_field", id="JSON: an object for the list"),
        pytest.param(b'{"resourceSpans": [1]}', JSON, {}, 400, "bad_field", id="JSON: numbers for objects"),
        pytest.param(b'{"resourceSpans": [{"scopeSpans": 1}]}', JSON, {}, 400, "bad_field", id="JSON: a number"),
        pytest.param(GOOD, JSON, {}, 400, "not_json", id="protobuf called JSON"),
        pytest.param(json.dumps(request(span())).encode(), PROTOBUF, {}, 400, "not_otlp", id="JSON called protobuf"),
        pytest.param(b"\x00\xff garbage", PROTOBUF, {}, 400, "not_otlp", id="garbage"),
        pytest.param(b"\x50\x01", PROTOBUF, {}, 400, "not_otlp", id="fields nobody knows"),
        pytest.param(GOOD[:-5], PROTOBUF, {}, 400, "not_otlp", id="cut short"),
        pytest.param(ZIP.getvalue(), PROTOBUF, {}, 400, "not_otlp", id="a zip"),
        pytest.param(ZIP.getvalue(), "application/zip", {}, 415, "content_type", id="a zip that says so"),
        pytest.param(GOOD, "text/plain", {}, 415, "content_type", id="text"),
        pytest.param(GOOD, "", {}, 415, "content_type", id="no content type"),
        pytest.param(GOOD, PROTOBUF, {"Content-Encoding": "br"}, 400, "content_encoding", id="brotli"),
        pytest.param(GOOD, PROTOBUF, {"Content-Encoding": "gzip"}, 400, "not_gzip", id="no gzip"),
        pytest.param(gzip.compress(GOOD), PROTOBUF, {}, 400, "not_otlp", id="gzip that says nothing"),
        pytest.param(
            gzip.compress(GOOD)[:-9], PROTOBUF, {"Content-Encoding": "gzip"}, 400, "gzip_cut_short", id="gzip cut short"
        ),
        pytest.param(
            gzip.compress(GOOD) * 2, PROTOBUF, {"Content-Encoding": "gzip"}, 400, "not_gzip", id="two gzips in one"
        ),
        pytest.param(
            gzip.compress(bytes(2**20 + 1)), JSON, {"Content-Encoding": "gzip"}, 413, "body_too_large", id="gzip bomb"
        ),
        pytest.param(bytes(2**20 + 1), JSON, {}, 413, "body_too_large", id="too large"),
    ],
)
def test_what_is_no_otlp_is_refused_in_one_sentence_and_counted(
    address, store, monkeypatch, body, content_type, headers, status, reason
):
    monkeypatch.setattr(api, "MAX_OTLP_BYTES", 2**20)

    answer = post(address, body, content_type, **headers)

    assert answer.status_code == status
    if content_type == PROTOBUF:
        assert answer.headers["Content-Type"] == PROTOBUF
        sentence = ProtobufStatus.FromString(answer.content).message
    else:
        sentence = answer.json()["error"]
    assert sentence.endswith(".")
    assert counts("refused") == {reason: 1}
    assert rows(store) == []


def test_logs_sent_to_this_door_are_not_taken_for_spans(address, store):
    logs = ExportLogsServiceRequest()
    logs.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=START_NS, severity_number=9)
    answer = post(address, logs.SerializeToString(), PROTOBUF)

    assert ExportTraceServiceResponse.FromString(answer.content).partial_success.rejected_spans == 1
    assert rows(store) == []


@pytest.mark.parametrize(("body", "encoding"), [(b"", PROTOBUF), (b"{}", JSON), (b'{"resourceSpans":[]}', JSON)])
def test_an_empty_request_is_a_success(address, body, encoding):
    answer = post(address, body, f"{encoding}; charset=utf-8")

    assert answer.status_code == 200
    assert answer.content == (b"" if encoding == PROTOBUF else b"{}")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_body_of_64_mib_is_taken_and_one_byte_more_is_not(address, store):
    def padded(size):
        sent = ExportTraceServiceRequest.FromString(GOOD)
        sent.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="db.statement").value.string_value = (
            "x" * size
        )
        return sent.SerializeToString()

    limit = 64 * 2**20
    nearly = limit - 1000
    whole = padded(nearly + limit - len(padded(nearly)))

    assert (len(whole), post(address, whole, PROTOBUF).status_code) == (limit, 200)
    assert post(address, whole + b"\0", PROTOBUF).status_code == 413
    assert rows(store, "length(detail) AS n")[0]["n"] > 63 * 2**20


def test_a_large_request_is_stored_piece_by_piece(store, monkeypatch):
    monkeypatch.setattr(otlp, "_CHUNK", 3)
    spans = [span(spanId=f"{number:016x}") for number in range(8)]  # the first is refused: its id is 0

    rejected = otlp.take(orjson.dumps(request(*spans)), JSON, NOW, store, workers.submit)

    assert rejected.spans == 1
    assert len(rows(store)) == 7
    assert counts() == {"received": 8, "stored": 7, "duplicate": 0}


def nothing():
    pass


@pytest.fixture
def pool():
    workers.start(nothing)
    yield
    workers.stop()


@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize("encoding", [JSON, PROTOBUF])
def test_a_request_of_many_spans_is_read_by_another_process_and_told_as_ever(store, encoding):
    spans = [span(spanId=f"{number:016x}", startTimeUnixNano=str(START_NS * (number != 7))) for number in range(600)]
    sent = orjson.dumps(request(*spans)) if encoding == JSON else in_protobuf(request(*spans))
    assert len(sent) in otlp._SENT

    rejected = otlp.take(sent, encoding, NOW, store, workers.submit)

    assert rejected.spans == 2
    assert rejected.message.startswith("bad_span_id (1): ")
    assert "bad_start_time (1): " in rejected.message
    assert counts() == {"received": 600, "stored": 598, "duplicate": 0}
    assert len(rows(store)) == 598


@pytest.mark.usefixtures("pool")
def test_a_large_body_that_is_no_request_is_refused_by_another_process_too(store):
    with pytest.raises(MalformedSegment, match="expected") as refusal:
        otlp.take(b'{"no": "' + b"x" * 100_000 + b'"}', JSON, NOW, store, workers.submit)

    assert refusal.value.reason == "not_otlp"
    assert activity.snapshot()["refused"]["otlp"] == {"not_otlp": 1}


def test_a_foreign_page_may_not_write(address, store):
    refused = post(address, request(span()), Origin="http://evil.example")
    far = post(address, request(span()), **{"X-Forwarded-For": "1.2.3.4"})

    assert (refused.status_code, far.status_code) == (403, 403)
    assert rows(store) == []


def test_a_trace_tells_what_otlp_sent_under_its_id_in_either_form(address):
    post(address, request(span(kind=2, attributes=attributes({"cart.items": 3, "db.system": "pg"}))))

    told = requests.get(f"{address}/api/v1/traces/1-{TRACE[:8]}-{TRACE[8:]}.json", timeout=10).json()

    assert told["spans"][0]["source"] == "otlp"
    assert told["spans"][0]["annotations"] == {"cart_items": 3.0}
    assert told["spans"][0]["detail"]["attributes"] == {"db.system": "pg"}


@effort(max_examples=100, deadline=None)
@given(
    noise=st.binary(max_size=20),
    at=st.integers(0, 200),
    length=st.integers(0, 20),
    encoding=st.sampled_from([JSON, PROTOBUF]),
)
def test_damaged_requests_are_refused_or_read(noise, at, length, encoding):
    good = (
        orjson.dumps(request(span(kind=2, attributes=attributes({"a": 1, "b": ["x"]})))) if encoding == JSON else GOOD
    )
    try:
        found = read(good[:at] + noise + good[at + length :], encoding)
    except MalformedSegment as error:
        found = [error]

    assert all(isinstance(one, Span | MalformedSegment) for one in found)
