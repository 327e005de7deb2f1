"""X-Ray segment documents become spans and spans become documents, and nothing that was sent is lost."""

import json
import math
from datetime import datetime, timedelta
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import spans
from core.errors import MalformedSegment
from core.spans import MAX_DOCUMENT_BYTES, Span, canonical_trace_id, document, parse, xray_trace_id

SEGMENTS = Path(__file__).parent / "segments"
NOW = datetime(2025, 11, 25, 12)
START = datetime(2025, 11, 25)
TRACE_ID = "6924f180a006649127e371903a2de979"
X_RAY_ID = "1-6924f180-a006649127e371903a2de979"
SENT = {
    "name": "shop",
    "id": "70de5b6f19ff9a0a",
    "trace_id": X_RAY_ID,
    "start_time": 1764028800.0,
    "end_time": 1764028800.25,
}
SHOP = Span(
    source="live",
    trace_id=TRACE_ID,
    span_id="70de5b6f19ff9a0a",
    parent_id=None,
    kind="segment",
    service="shop",
    name="shop",
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
    detail=None,
    in_progress=False,
)
PAY = SHOP._replace(
    span_id="0000000000000001",
    parent_id="70de5b6f19ff9a0a",
    kind="subsegment",
    name="pay",
    duration_ms=125.0,
    latency_ms=125.0,
)
BANK = PAY._replace(span_id="0000000000000002", parent_id="0000000000000001", name="bank")
SHIP = PAY._replace(span_id="0000000000000003", name="ship", started_at=START + timedelta(milliseconds=125))


def shop(**columns):
    return [SHOP._replace(**columns)]


# The spans of each document in `segments/`, but for those that something is noted of.
AS_SENT = {
    "annotated_subsegment": [
        SHOP._replace(service="bitcoin", name="bitcoin"),
        PAY._replace(
            span_id="53995c3f42cd8ad8",
            service="bitcoin",
            name="store",
            namespace="remote",
            started_at=START + timedelta(milliseconds=50),
            duration_ms=150.0,
            numbers={"price_usd": 97123.5, "processing_time_ms": 12.25, "data_volume_bytes": 512.0},
            texts={"flag": "high", "shard_id": "coinbase", "hour_str": "2025-11-25-00"},
            booleans={"error": False},
            latency_ms=12.25,
            data_volume_bytes=512.0,
            price_usd=97123.5,
        ),
    ],
    "nested_subsegments": [
        SHOP,
        PAY._replace(fault=True, failed=True),
        SHIP,
        BANK._replace(namespace="remote", duration_ms=62.5, latency_ms=62.5),
    ],
    "embedded_subsegment_repeats_its_place": [
        SHOP._replace(
            detail='{"aws":{"xray":{"sdk":"X-Ray for Python","sdk_version":"2.15.0"}},'
            '"service":{"runtime":"CPython","runtime_version":"3.11.7"}}'
        ),
        PAY._replace(namespace="local"),
    ],
    "embedded_subsegment_contradicts_its_place": [
        SHOP,
        PAY._replace(detail='{"trace_id":"1-6924f180-000000000000000000000000","parent_id":"ffffffffffffffff"}'),
    ],
    "independent_subsegment": [
        PAY._replace(service=None, duration_ms=250.0, latency_ms=250.0, detail='{"type":"subsegment"}'),
        BANK._replace(service=None),
    ],
    "segment_with_a_parent": shop(parent_id="00000000000000aa"),
    "in_progress": shop(in_progress=True, duration_ms=None, latency_ms=None, numbers={"processing_time_ms": 12.25}),
    "end_time_is_missing": shop(in_progress=True, duration_ms=None, latency_ms=None),
    "end_time_is_null": shop(in_progress=True, duration_ms=None, latency_ms=None, detail='{"end_time":null}'),
    "in_progress_and_ended": shop(detail='{"in_progress":true}'),
    "times_are_integers": shop(duration_ms=2000.0, latency_ms=2000.0),
    "times_are_texts": shop(
        duration_ms=0.1943,
        latency_ms=0.1943,
        detail='{"start_time":"1764028800.0000001","end_time":"1764028800.0001944"}',
    ),
    "times_have_seven_decimals": shop(
        started_at=START + timedelta(microseconds=123457),
        duration_ms=0.1943,
        latency_ms=0.1943,
        detail='{"start_time":1764028800.1234567}',
    ),
    "times_in_scientific_notation": shop(duration_ms=194.3, latency_ms=194.3),
    "lasts_tenths_of_a_millisecond": shop(duration_ms=0.1943, latency_ms=0.1943),
    "lasts_for_days": shop(duration_ms=259_200_000.0, latency_ms=259_200_000.0),
    "trace_id_is_w3c": [SHOP],
    "trace_id_in_upper_case": [SHOP],
    "cause_is_an_object": shop(
        fault=True,
        failed=True,
        detail='{"cause":{"working_directory":"/srv/shop","paths":["/usr/lib"],"exceptions":[{"id":"3f7e1c5b9a2d4e60",'
        '"message":"no such order","type":"KeyError","remote":false,"truncated":1,'
        '"stack":[{"path":"orders.py","line":41,"label":"find"}]}]}}',
    ),
    "cause_is_an_id": shop(fault=True, failed=True, detail='{"cause":"3f7e1c5b9a2d4e60"}'),
    "cause_is_a_number": shop(fault=True, failed=True, detail='{"cause":42}'),
    "cause_is_null": shop(fault=True, failed=True, detail='{"cause":null}'),
    "http_of_a_throttled_request": shop(
        error=True,
        throttle=True,
        failed=True,
        http_method="GET",
        http_url="https://shop.example/orders?id=7",
        http_status=429,
        detail='{"http":{"request":{"client_ip":"192.0.2.1","user_agent":"curl/8","x_forwarded_for":true},'
        '"response":{"content_length":12}}}',
    ),
    "http_content_length_is_negative": shop(http_status=200, detail='{"http":{"response":{"content_length":-1}}}'),
    "http_content_length_is_a_text": shop(detail='{"http":{"response":{"content_length":"12"}}}'),
    "http_status_is_a_text": shop(http_status=404, detail='{"http":{"response":{"status":"404"}}}'),
    "http_status_is_no_number": shop(detail='{"http":{"response":{"status":"OK"}}}'),
    "http_status_is_a_float": shop(http_status=200),
    "http_is_a_text": shop(detail='{"http":"GET /"}'),
    "http_parts_have_wrong_types": shop(detail='{"http":{"request":["GET","/"],"response":200}}'),
    "http_is_empty": [SHOP],
    "flags_are_texts": shop(fault=True, failed=True, detail='{"error":"False","fault":"true","throttle":0}'),
    "flags_are_false": [SHOP],
    "aws_and_sql": shop(
        namespace="aws",
        detail='{"aws":{"operation":"PutItem","region":"eu-west-1",'
        '"request_id":"3AIENM5J4ELQ3SPODHKBIRVIC3VV4KQNSO5AEMVJF66Q9ASUAAJG","table_name":"orders","retries":2},'
        '"sql":{"url":"jdbc:postgresql://db.example:5432/shop","database_type":"PostgreSQL",'
        '"sanitized_query":"SELECT * FROM orders WHERE id = ?"}}',
    ),
    "metadata_and_links": shop(
        detail='{"metadata":{"default":{"cart":[1,2.5,"three",null,{"four":true}]}},'
        '"links":[{"trace_id":"1-6924f17f-000000000000000000000001","id":"00000000000000bb",'
        '"attributes":{"aws.xray.reserved.reference_type":"parent"}}]}',
    ),
    "unknown_namespace_and_fields": shop(
        namespace="pigeon",
        detail='{"user":"u-17","origin":"AWS::ECS::Container","resource_arn":"arn:aws:ecs:eu-west-1:000000000000:task/0",'
        '"service":{"version":"3.1"},"mood":{"today":["fine"]}}',
    ),
    "namespace_is_a_list": shop(detail='{"namespace":["remote"]}'),
    "annotations_are_numbers_sent_as_texts": shop(
        numbers={"amount": 12.5, "count": -3.0, "tiny": 0.001, "spaced": 7.0, "code": 7.0},
        texts={
            "amount": "12.50",
            "count": "-3",
            "tiny": "1e-3",
            "spaced": " 7 ",
            "code": "007",
            "hex": "0x10",
            "score": "1_000",
            "huge": "1e400",
            "word": "NaN",
            "date": "2025-11-25",
        },
    ),
    "annotations_are_booleans": shop(booleans={"member": True, "guest": False}),
    "annotation_is_null": shop(numbers={"items": 3.0}, detail='{"annotations":{"coupon":null}}'),
    "annotation_keys_are_odd": shop(
        numbers={"a.b-c d": 1.0, 'it\'s "quoted"]; DROP TABLE spans': 2.0, "größe": 3.0},
        texts={"": "empty", "aws:api": "s3:GetObject", "\0": "nul"},
        booleans={"😀": True},
    ),
    "annotation_error_is_the_text_false": shop(texts={"error": "False"}),
    "annotation_error_is_a_text": shop(texts={"error": "timeout"}, failed=True),
    "annotation_error_is_one": shop(numbers={"error": 1.0}, failed=True),
    "annotation_processing_time_is_negative": shop(numbers={"processing_time_ms": -1.0}),
    "annotations_are_empty": [SHOP],
    "integers_beyond_64_bits": shop(
        numbers={"wide": 36893488147419103232.0},
        detail='{"metadata":{"default":{"wide":123456789012345678901234567890,"list":[-36893488147419103233]}}}',
    ),
    "duplicate_keys": shop(numbers={"items": 5.0}),
    "subsegments_are_one_object": [SHOP, PAY],
}

# The spans of the others, what is noted, and the documents that come back.
MENDED = {
    "ends_before_it_starts": (
        shop(duration_ms=None, latency_ms=None, detail='{"end_time":1764028799.0}'),
        ["clock_skew"],
        [SENT | {"end_time": 1764028799.0}],
    ),
    "annotation_is_an_object": (
        shop(numbers={"items": 3.0}, detail='{"annotations":{"cart":{"items":3},"tags":["a","b"]}}'),
        ["annotation_not_scalar"] * 2,
        [SENT | {"annotations": {"cart": {"items": 3}, "tags": ["a", "b"], "items": 3.0}}],
    ),
    "annotation_is_not_finite": (
        shop(numbers={"items": 3.0}, detail='{"annotations":{"ratio":null,"limit":null,"floor":null,"budget":null}}'),
        ["number_not_finite"] * 4,
        [SENT | {"annotations": {"ratio": None, "limit": None, "floor": None, "budget": None, "items": 3.0}}],
    ),
    "annotations_are_a_list": (
        shop(detail='{"annotations":["items",3]}'),
        ["annotations_not_an_object"],
        [SENT | {"annotations": ["items", 3]}],
    ),
    "number_is_not_finite_in_metadata": (
        shop(detail='{"metadata":{"default":{"ratio":null,"list":[1,null,2]}}}'),
        ["number_not_finite"] * 2,
        [SENT | {"metadata": {"default": {"ratio": None, "list": [1, None, 2]}}}],
    ),
    "lone_surrogate": (
        shop(texts={"half\ufffd": "\ufffd and \\ud800 and 😀"}),
        ["lone_surrogate"] * 2,
        [SENT | {"annotations": {"half\ufffd": "\ufffd and \\ud800 and 😀"}}],
    ),
    "invalid_utf8": (
        shop(texts={"town": "M\ufffdnchen"}),
        ["invalid_utf8"],
        [SENT | {"annotations": {"town": "M\ufffdnchen"}}],
    ),
    "subsegments_are_no_objects": (
        [SHOP, PAY],
        ["subsegment_not_an_object"] * 2,
        [
            SENT
            | {
                "subsegments": [
                    {
                        "name": "pay",
                        "id": "0000000000000001",
                        "start_time": 1764028800.0,
                        "end_time": 1764028800.125,
                    }
                ]
            }
        ],
    ),
    "embedded_subsegment_has_no_id": (
        [SHOP, SHIP, BANK._replace(parent_id="70de5b6f19ff9a0a", duration_ms=62.5, latency_ms=62.5)],
        ["subsegment_bad_span_id"],
        [
            SENT
            | {
                "subsegments": [
                    {
                        "name": "ship",
                        "id": "0000000000000003",
                        "start_time": 1764028800.125,
                        "end_time": 1764028800.25,
                    },
                    {
                        "name": "bank",
                        "id": "0000000000000002",
                        "start_time": 1764028800.0,
                        "end_time": 1764028800.0625,
                    },
                ]
            }
        ],
    ),
    "embedded_subsegments_have_bad_times": (
        [SHOP, SHIP],
        ["subsegment_bad_start_time", "subsegment_bad_end_time"],
        [
            SENT
            | {
                "subsegments": [
                    {
                        "name": "ship",
                        "id": "0000000000000003",
                        "start_time": 1764028800.125,
                        "end_time": 1764028800.25,
                    }
                ]
            }
        ],
    ),
    "embedded_subsegment_has_the_id_of_its_segment": ([SHOP], ["subsegment_id_twice"], [SENT]),
}


def parsed(sent, source="live", now=NOW):
    """The spans of a document (bytes, text, or a value to be written as JSON), and what is noted."""
    noted: list[str] = []
    text = sent if isinstance(sent, bytes | str) else json.dumps(sent)
    return parse(text, source, now, noted.append), noted


def spans_or_reason(sent):
    try:
        return parsed(sent)[0], None
    except MalformedSegment as refusal:
        return [], refusal.reason


def returned(sent):
    return document(parsed(sent)[0])


def canonical(sent, *, embedded_in=None):
    """The form, of those that `document` names, in which a document comes back."""
    kept = dict(sent)
    if embedded_in is None:
        trace_id = sent["trace_id"].replace("-", "").lower()[-32:]
        kept["trace_id"] = f"1-{trace_id[:8]}-{trace_id[8:]}"
    else:
        repeated = {"trace_id": embedded_in["trace_id"], "parent_id": embedded_in["id"], "type": "subsegment"}
        kept = {key: value for key, value in kept.items() if key not in repeated or value != repeated[key]}
    ended = kept.get("end_time") is not None
    if "in_progress" not in kept and not ended:
        kept["in_progress"] = True
    if ended and kept.get("in_progress") is False:
        del kept["in_progress"]
    for flag in ("error", "fault", "throttle"):
        if kept.get(flag) is False:
            del kept[flag]
    if isinstance(kept.get("annotations"), dict):
        kept["annotations"] = {k: float(v) if type(v) is int else v for k, v in kept["annotations"].items()}
    if isinstance(kept.get("http"), dict):
        kept["http"] = {k: v for k, v in kept["http"].items() if not (k in ("request", "response") and v == {})}
        response = kept["http"].get("response")
        if isinstance(response, dict) and type(response.get("status")) is float:
            kept["http"]["response"] = response | {"status": int(response["status"])}
    if "subsegments" in kept:
        children = kept["subsegments"] if isinstance(kept["subsegments"], list) else [kept["subsegments"]]
        inside = {"trace_id": (embedded_in or sent)["trace_id"], "id": sent["id"]}
        kept["subsegments"] = [canonical(child, embedded_in=inside) for child in children]
    empty: dict[str, object] = {"annotations": {}, "http": {}, "subsegments": []}
    return {k: v for k, v in kept.items() if k not in empty or v != empty[k]}


def exact(documents):
    """A text that differs where a value is 1, 1.0 or true, but for times."""
    return json.dumps([with_float_times(segment) for segment in documents], sort_keys=True)


def with_float_times(segment):
    times = {key: float(segment[key]) for key in ("start_time", "end_time") if isinstance(segment.get(key), int)}
    children = {"subsegments": [with_float_times(child) for child in segment.get("subsegments", [])]}
    return segment | times | children


# What each oddity becomes


def test_every_document_in_the_folder_is_expected_here():
    assert sorted(path.stem for path in SEGMENTS.glob("*.json")) == sorted(AS_SENT | MENDED)


@pytest.mark.parametrize("name", AS_SENT)
def test_a_document_becomes_these_spans_and_comes_back(name):
    raw = (SEGMENTS / f"{name}.json").read_bytes()
    result, noted = parsed(raw)

    assert result == AS_SENT[name]
    assert noted == []
    assert exact(document(result)) == exact([canonical(json.loads(raw))])


@pytest.mark.parametrize("name", MENDED)
def test_an_odd_document_is_mended_and_the_oddity_noted(name):
    expected, notes, documents = MENDED[name]
    result, noted = parsed((SEGMENTS / f"{name}.json").read_bytes())

    assert result == expected
    assert noted == notes
    assert exact(document(result)) == exact(documents)


def test_bytes_and_text_are_read_alike():
    raw = (SEGMENTS / "annotation_keys_are_odd.json").read_bytes()

    assert parsed(raw.decode()) == parsed(raw)


def test_a_surrogate_that_is_already_a_character_is_replaced_and_noted():
    sent = json.dumps(SENT | {"user": "X"}).replace("X", "\ud800")

    assert parsed(sent) == (shop(detail='{"user":"\ufffd"}'), ["lone_surrogate"])


def test_the_source_is_that_of_the_caller():
    assert [span.source for span in parsed(SENT, source="file:march")[0]] == ["file:march"]


# What is refused


REFUSED = [
    pytest.param(b"", "not_json", id="nothing"),
    pytest.param(json.dumps(SENT)[:-10], "not_json", id="cut short"),
    pytest.param(json.dumps(SENT) + "}", "not_json", id="something behind it"),
    pytest.param(b"\x00\xff\xfe", "not_json", id="no text at all"),
    pytest.param([SENT], "not_an_object", id="a list"),
    pytest.param(None, "not_an_object", id="null"),
    pytest.param("[" * 5000 + "]" * 5000, "too_deep", id="nested deeper than a parser goes"),
    pytest.param({}, "bad_trace_id", id="an empty object"),
    pytest.param(SENT | {"trace_id": 7}, "bad_trace_id", id="trace id is a number"),
    pytest.param(SENT | {"trace_id": TRACE_ID[1:]}, "bad_trace_id", id="31 digits"),
    pytest.param(SENT | {"trace_id": TRACE_ID + "0"}, "bad_trace_id", id="33 digits"),
    pytest.param(SENT | {"trace_id": TRACE_ID + "\n"}, "bad_trace_id", id="a line end behind the digits"),
    pytest.param(
        SENT | {"trace_id": "1-6924f180a006-649127e371903a2de979"}, "bad_trace_id", id="digits split elsewhere"
    ),
    pytest.param(SENT | {"trace_id": "2-6924f180-a006649127e371903a2de979"}, "bad_trace_id", id="another version"),
    pytest.param(SENT | {"trace_id": "g" * 32}, "bad_trace_id", id="no hex digits"),
    pytest.param(SENT | {"id": None}, "bad_span_id", id="no id"),
    pytest.param(SENT | {"id": 5}, "bad_span_id", id="id is a number"),
    pytest.param(SENT | {"id": ""}, "bad_span_id", id="id is empty"),
    pytest.param(SENT | {"id": "a" * 65}, "bad_span_id", id="id of 65 characters"),
    pytest.param(SENT | {"name": None}, "bad_name", id="no name"),
    pytest.param(SENT | {"name": ["shop"]}, "bad_name", id="name is a list"),
    pytest.param(SENT | {"start_time": None}, "bad_start_time", id="no start"),
    pytest.param(SENT | {"start_time": True}, "bad_start_time", id="start is true"),
    pytest.param(SENT | {"start_time": "yesterday"}, "bad_start_time", id="start is a word"),
    pytest.param(SENT | {"start_time": {"s": 1}}, "bad_start_time", id="start is an object"),
    pytest.param(SENT | {"start_time": -62135596800}, "bad_start_time", id="start in year 1"),
    pytest.param(SENT | {"start_time": -0.001}, "bad_start_time", id="start before 1970"),
    pytest.param(SENT | {"start_time": 9223372036854775}, "bad_start_time", id="start in year 292278"),
    pytest.param(SENT | {"start_time": 1764028800000}, "bad_start_time", id="start in milliseconds"),
    pytest.param(SENT | {"start_time": 10**30}, "bad_start_time", id="start beyond 64 bits"),
    pytest.param(SENT | {"start_time": math.nan}, "bad_start_time", id="start is NaN"),
    pytest.param(
        SENT | {"start_time": "1e999999999999999999999"}, "bad_start_time", id="start as text beyond any number"
    ),
    pytest.param(SENT | {"end_time": 9223372036854775}, "bad_end_time", id="end in year 292278"),
    pytest.param(SENT | {"end_time": False}, "bad_end_time", id="end is false"),
    pytest.param(SENT | {"end_time": []}, "bad_end_time", id="end is a list"),
]


@pytest.mark.parametrize(("sent", "reason"), REFUSED)
def test_a_document_that_cannot_be_placed_is_refused_with_a_reason_and_a_sentence(sent, reason):
    noted: list[str] = []
    with pytest.raises(MalformedSegment) as refusal:
        parse(sent if isinstance(sent, bytes | str) else json.dumps(sent), "live", NOW, noted.append)

    assert refusal.value.reason == reason
    assert str(refusal.value).endswith(".")
    assert len(str(refusal.value)) < 250
    assert noted == []  # counted once, as refused


def test_a_segment_may_start_up_to_one_day_ahead():
    tomorrow = 1764028800.0 + 86_400
    ahead = SENT | {"start_time": tomorrow, "end_time": tomorrow + 1}

    assert parsed(ahead, now=START)[0][0].started_at == datetime(2025, 11, 26)
    with pytest.raises(MalformedSegment, match="one day ahead"):
        parsed(ahead, now=START - timedelta(microseconds=1))


def test_a_segment_may_start_in_1970():
    result, noted = parsed(SENT | {"start_time": 0, "end_time": 1})

    assert (result[0].started_at, result[0].duration_ms, noted) == (datetime(1970, 1, 1), 1000.0, [])


@pytest.mark.parametrize("length", [1, 64])
def test_a_span_id_has_1_to_64_characters(length):
    assert parsed(SENT | {"id": "a" * length})[0][0].span_id == "a" * length


@pytest.mark.parametrize("character", ["x", "é"])
def test_exactly_64_kib_are_taken_and_one_byte_more_is_not(character):
    def text(size):
        head, tail = json.dumps(SENT)[:-1] + ', "user": "', '"}'
        filling = size - len(head) - len(tail)
        return (
            head + character * (filling // len(character.encode())) + "y" * (filling % len(character.encode())) + tail
        )

    assert len(parsed(text(MAX_DOCUMENT_BYTES))[0]) == 1
    with pytest.raises(MalformedSegment) as refusal:
        parsed(text(MAX_DOCUMENT_BYTES + 1))
    assert refusal.value.reason == "too_large"


# Sizes and depths


def test_more_than_50_annotations_are_stored():
    many = {f"key_{i}": float(i) for i in range(200)}

    assert parsed(SENT | {"annotations": many}) == (shop(numbers=many), [])


def test_a_key_of_10000_characters_and_a_name_of_1000_are_stored():
    long_key, long_name = "k" * 10_000, "n" * 1000
    result, noted = parsed(SENT | {"name": long_name, "annotations": {long_key: "v"}})

    assert result == shop(name=long_name, service=long_name, texts={long_key: "v"})
    assert noted == []


def nested(levels, innermost):
    for level in range(levels, 0, -1):
        innermost = {
            "name": f"level {level}",
            "id": str(level),
            "start_time": 1764028800.0,
            "end_time": 1764028800.25,
            "subsegments": [innermost],
        }
    return SENT | {"subsegments": [innermost]}


@pytest.mark.parametrize("value", [1.5, math.nan], ids=["plain", "with NaN"])
def test_subsegments_nested_200_deep_are_all_stored(value):
    leaf = {"name": "leaf", "id": "leaf", "start_time": 1764028800.0, "end_time": 1764028800.25}
    result, _ = parsed(nested(199, leaf | {"annotations": {"x": value, "y": 1.0}}))

    assert len(result) == 201
    assert (result[-1].span_id, result[-1].parent_id, result[-1].numbers["y"]) == ("leaf", "199", 1.0)


def test_subsegments_nested_200_deep_come_back():
    leaf = {"name": "leaf", "id": "leaf", "start_time": 1764028800.0, "end_time": 1764028800.25}
    sent = nested(199, leaf)

    assert exact(returned(sent)) == exact([sent])


def test_metadata_nested_200_deep_comes_back():
    sent = SENT | {"metadata": json.loads('{"a":' * 199 + "{}" + "}" * 199)}

    assert exact(returned(sent)) == exact([sent])


@pytest.mark.parametrize("levels", [300, 500, 700, 900, 1100, 2000])
@pytest.mark.parametrize("innermost", ["1", "NaN", "123456789012345678901234567890"])
def test_any_depth_is_either_stored_or_refused(levels, innermost):
    text = json.dumps(SENT)[:-1] + ', "metadata": ' + "[" * levels + innermost + "]" * levels + "}"
    result, reason = spans_or_reason(text)

    assert reason == "too_deep" or result[0].detail.count("[") == levels


# From spans to documents


def test_a_subsegment_whose_parent_is_not_there_is_a_document_of_its_own():
    assert document([PAY, SHIP]) == [
        SENT
        | {
            "name": "pay",
            "id": "0000000000000001",
            "type": "subsegment",
            "parent_id": "70de5b6f19ff9a0a",
            "end_time": 1764028800.125,
        },
        SENT
        | {
            "name": "ship",
            "id": "0000000000000003",
            "type": "subsegment",
            "parent_id": "70de5b6f19ff9a0a",
            "start_time": 1764028800.125,
            "end_time": 1764028800.25,
        },
    ]


def test_an_independent_subsegment_stays_its_own_document_beside_its_parent_even_when_its_service_is_known():
    independent = json.loads((SEGMENTS / "independent_subsegment.json").read_bytes())
    known = [span._replace(service="shop") for span in parsed(independent)[0]]

    assert document([SHOP, *known]) == [SENT, independent]


def test_spans_whose_parents_form_a_circle_all_come_back():
    result = document([PAY._replace(parent_id=BANK.span_id), BANK])

    assert [found["id"] for found in result] == [PAY.span_id]
    assert [found["id"] for found in result[0]["subsegments"]] == [BANK.span_id]


def test_the_same_ids_in_two_sources_stay_apart():
    elsewhere = PAY._replace(source="sample")

    assert [found["id"] for found in document([SHOP, elsewhere])] == [SHOP.span_id, PAY.span_id]


# Trace ids


@pytest.mark.parametrize("text", [TRACE_ID, TRACE_ID.upper(), X_RAY_ID, X_RAY_ID.upper()])
def test_all_forms_of_a_trace_id_are_one(text):
    assert canonical_trace_id(text) == TRACE_ID


def test_a_trace_id_is_shown_in_the_form_of_x_ray():
    assert xray_trace_id(TRACE_ID) == "1-6924f180-a006649127e371903a2de979"


# Failures and latencies


@pytest.mark.parametrize(
    "value", [False, 0, 0.0, None, "False", "false", " FALSE ", "0", "0.0", "", "no", "null", "None"]
)
def test_an_error_annotation_that_says_no_is_no_failure(value):
    assert parsed(SENT | {"annotations": {"error": value}})[0][0].failed is False


@pytest.mark.parametrize("value", [True, 1, -0.5, "True", "1", "yes", "timeout"])
def test_an_error_annotation_that_says_yes_is_a_failure(value):
    assert parsed(SENT | {"annotations": {"error": value}})[0][0].failed is True


def test_throttling_alone_is_no_failure():
    assert parsed(SENT | {"throttle": True})[0] == shop(throttle=True)


@pytest.mark.parametrize(
    ("annotations", "latency_ms"),
    [
        pytest.param({"processing_time_ms": 12.5}, 12.5, id="the annotation"),
        pytest.param({"processing_time_ms": "12.5"}, 12.5, id="the annotation as text"),
        pytest.param({"processing_time_ms": 0}, 0.0, id="zero counts"),
        pytest.param({"processing_time_ms": -0.1}, 250.0, id="less than zero does not"),
        pytest.param({"processing_time_ms": True}, 250.0, id="a boolean is no number"),
        pytest.param({"processing_time_ms": "fast"}, 250.0, id="a word is no number"),
        pytest.param({"processing_time_ms": math.inf}, 250.0, id="infinity is no number"),
        pytest.param({}, 250.0, id="no annotation"),
    ],
)
def test_latency_is_the_annotation_else_the_duration(annotations, latency_ms):
    assert parsed(SENT | {"annotations": annotations})[0][0].latency_ms == latency_ms


# Any document

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
MOMENTS = st.one_of(
    st.integers(0, 1764028800),
    st.floats(0.0, 1764028800.0),
    st.integers(0, 1764028800 * 10**7).map(lambda ticks: ticks / 10**7),
    st.integers(0, 1764028800 * 10**9).map(lambda ticks: f"{ticks // 10**9}.{ticks % 10**9:09}"),
)
ANNOTATIONS = st.dictionaries(
    st.text(max_size=8),
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**70), 2**70)
    | st.text()
    | st.integers().map(str),
    max_size=5,
)
HTTP = st.fixed_dictionaries(
    {},
    optional={
        "request": JSON_VALUES
        | st.fixed_dictionaries({}, optional={"method": st.text(), "url": JSON_VALUES, "traced": JSON_VALUES}),
        "response": JSON_VALUES
        | st.fixed_dictionaries(
            {}, optional={"status": st.integers(-(2**40), 2**40) | st.text(), "content_length": JSON_VALUES}
        ),
    },
)
FIELDS = st.fixed_dictionaries(
    {"name": st.text(), "start_time": MOMENTS},
    optional={
        "end_time": MOMENTS | st.none(),
        "in_progress": st.booleans(),
        "namespace": st.sampled_from(["aws", "remote", "pigeon"]) | JSON_VALUES,
        "error": st.booleans() | JSON_VALUES,
        "fault": st.booleans(),
        "throttle": st.booleans(),
        "annotations": ANNOTATIONS,
        "metadata": JSON_VALUES,
        "cause": JSON_VALUES,
        "http": HTTP | JSON_VALUES,
        "stranger": JSON_VALUES,
    },
)


@st.composite
def segments(draw):
    """A segment, or an independent subsegment, with embedded subsegments up to three levels deep."""
    root = draw(FIELDS) | {"id": "0", "trace_id": draw(st.sampled_from([TRACE_ID, TRACE_ID.upper(), X_RAY_ID]))}
    if draw(st.booleans()):
        root |= {"type": "subsegment", "parent_id": "f"}
    places = [root]
    for number in range(1, draw(st.integers(1, 4))):
        enclosing = draw(st.sampled_from(places))
        child = draw(FIELDS) | {"id": str(number)}
        if draw(st.booleans()):
            child |= {"trace_id": root["trace_id"], "parent_id": enclosing["id"], "type": "subsegment"}
        enclosing.setdefault("subsegments", []).append(child)
        places.append(child)
    return root


@settings(max_examples=150, deadline=None)
@given(segments())
def test_any_segment_comes_back_as_it_was_sent(sent):
    assert exact(returned(sent)) == exact([canonical(sent)])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1764028800 * 10**6), st.integers(0, 10**10))
def test_a_duration_in_whole_microseconds_is_exact(start_us, duration_us):
    end_us = start_us + duration_us
    as_numbers = SENT | {"start_time": start_us / 1e6, "end_time": end_us / 1e6}
    as_texts = SENT | {
        "start_time": f"{start_us // 10**6}.{start_us % 10**6:06}",
        "end_time": f"{end_us // 10**6}.{end_us % 10**6:06}",
    }

    assert parsed(as_numbers)[0][0].duration_ms == duration_us / 1000
    assert parsed(as_texts)[0][0].duration_ms == duration_us / 1000
    assert parsed(as_numbers)[0][0].started_at == datetime(1970, 1, 1) + timedelta(microseconds=start_us)


HOSTILE = st.recursive(
    st.sampled_from(
        [None, True, -1, 0, 1e308, math.nan, math.inf, 10**400, "", "\ud800", "nan", "1e400", "-", TRACE_ID]
    )
    | st.floats()
    | st.text(st.characters(), max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(), max_size=3), inner, max_size=3)
    ),
    max_leaves=3,
)
KNOWN = [*SENT, "parent_id", "type", "in_progress", "namespace", "error", "fault", "throttle"]
KNOWN += ["annotations", "http", "subsegments", "metadata"]


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(KNOWN), HOSTILE, max_size=3))
def test_whatever_a_field_holds_the_document_is_refused_or_can_be_stored(odd):
    result, reason = spans_or_reason(json.dumps(SENT | odd))

    assert all(storable(span) for span in result)
    assert len(document(result)) == (0 if reason else 1)


def storable(span):
    json.dumps([span.trace_id, span.span_id, span.name, span.texts], ensure_ascii=False).encode()
    assert all(math.isfinite(value) for value in span.numbers.values())
    assert all(type(value) is str for value in span.texts.values())
    assert all(
        type(value) is bool for value in [*span.booleans.values(), span.error, span.fault, span.throttle, span.failed]
    )
    assert span.http_status is None or -(2**31) < span.http_status < 2**31
    assert span.duration_ms is None or span.duration_ms >= 0
    assert span.detail is None or isinstance(orjson.loads(span.detail), dict)
    return True


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 400), st.integers(0, 30))
def test_damaged_bytes_are_refused_or_can_be_stored(noise, at, length):
    raw = (SEGMENTS / "annotated_subsegment.json").read_bytes()
    result, _ = spans_or_reason(raw[:at] + noise + raw[at + length :])

    assert all(storable(span) for span in result)


def test_the_public_names_are_these():
    assert sorted(spans.__all__) == [
        "MAX_DOCUMENT_BYTES",
        "Span",
        "canonical_trace_id",
        "derived",
        "document",
        "parse",
        "xray_trace_id",
    ]
