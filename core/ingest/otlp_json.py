"""OTLP in JSON: a request's spans in plain values.

https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: ids are hex, enumerations integers, integers of 64
bits texts or numbers, keys in lowerCamelCase, unknown keys ignored. Read as well: snake_case keys and the names of
enumerations, for what is ignored would be lost without a word.
"""

import math
import re
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from core.errors import MalformedSegment
from core.ingest.otlp_fields import Group, Sent, present
from core.lenient_json import Note, loads
from core.segment_fields import Fields, number, shown

__all__ = ["groups", "plain"]

# All keys of OTLP's objects are names of fields; those of attributes are values. So a key with "_" is snake_case.
_snake_key = re.compile(rb'_[a-z]+"\s*:').search
_next_word = re.compile("_([a-z])")
_digits = re.compile("-?[0-9]{1,20}", re.ASCII).fullmatch


def groups(body: bytes, note: Note) -> list[Group[object]]:
    """The request's spans by resource and scope; what is wrong above a span is wrong with the request.

    Raises `MalformedSegment` (`not_json`, `too_deep`, `not_otlp`, `bad_field`, `bad_attribute`).
    """
    request = loads(body, note)
    try:
        if _snake_key(body):
            request = _camel_case(request)
        if not isinstance(request, dict) or (request and "resourceSpans" not in request):
            raise MalformedSegment("not_otlp", 'The body is no OTLP traces in JSON: expected {"resourceSpans": […]}.')
        return [
            Group(_resource(sent, note), _scope(part, note), _list(part, "spans"))
            for sent in _objects(request, "resourceSpans")
            for part in _objects(sent, "scopeSpans")
        ]
    except RecursionError:
        raise MalformedSegment("too_deep", "The body is nested deeper than it can be read.") from None


def plain(span: object, note: Note) -> Sent:
    """One span; its ids and times are unchecked. Raises `MalformedSegment`."""
    if not isinstance(span, dict):
        raise MalformedSegment("span_not_an_object", f"A span is {shown(span)}: expected an object.")
    status = _object(span, "status")
    return Sent(
        _text(span, "traceId", "bad_trace_id"),
        _text(span, "spanId", "bad_span_id"),
        _text(span, "parentSpanId", "bad_parent_id"),
        _text(span, "name", "bad_name"),
        _enumerated(span, "kind", Span.SpanKind),
        _unsigned(span, "startTimeUnixNano", "bad_start_time"),
        _unsigned(span, "endTimeUnixNano", "bad_end_time"),
        _attributes(_list(span, "attributes"), note),
        _enumerated(status, "code", Status.StatusCode),
        _text(status, "message"),
        [_event(event, note) for event in _objects(span, "events")],
        [_link(link, note) for link in _objects(span, "links")],
        present(
            trace_state=_text(span, "traceState"),
            flags=_unsigned(span, "flags"),
            dropped_attributes_count=_unsigned(span, "droppedAttributesCount"),
            dropped_events_count=_unsigned(span, "droppedEventsCount"),
            dropped_links_count=_unsigned(span, "droppedLinksCount"),
        ),
    )


def _event(event: Fields, note: Note) -> Fields:
    return present(
        time_unix_nano=_unsigned(event, "timeUnixNano"),
        name=_text(event, "name"),
        attributes=_attributes(_list(event, "attributes"), note),
        dropped_attributes_count=_unsigned(event, "droppedAttributesCount"),
    )


def _link(link: Fields, note: Note) -> Fields:
    return present(
        trace_id=_text(link, "traceId").lower(),
        span_id=_text(link, "spanId").lower(),
        trace_state=_text(link, "traceState"),
        flags=_unsigned(link, "flags"),
        attributes=_attributes(_list(link, "attributes"), note),
        dropped_attributes_count=_unsigned(link, "droppedAttributesCount"),
    )


def _resource(sent: Fields, note: Note) -> Fields:
    resource = _object(sent, "resource")
    return present(
        attributes=_attributes(_list(resource, "attributes"), note),
        entity_refs=[
            present(
                schema_url=_text(ref, "schemaUrl"),
                type=_text(ref, "type"),
                id_keys=_list(ref, "idKeys"),
                description_keys=_list(ref, "descriptionKeys"),
            )
            for ref in _objects(resource, "entityRefs")
        ],
        schema_url=_text(sent, "schemaUrl"),
        dropped_attributes_count=_unsigned(resource, "droppedAttributesCount"),
    )


def _scope(sent: Fields, note: Note) -> Fields:
    scope = _object(sent, "scope")
    return present(
        name=_text(scope, "name"),
        version=_text(scope, "version"),
        attributes=_attributes(_list(scope, "attributes"), note),
        schema_url=_text(sent, "schemaUrl"),
        dropped_attributes_count=_unsigned(scope, "droppedAttributesCount"),
    )


def _attributes(sent: list[Any], note: Note) -> Fields:
    attributes: Fields = {}
    for attribute in sent:
        if not isinstance(attribute, dict):
            raise MalformedSegment("bad_attribute", f"An attribute is {shown(attribute)}: expected an object.")
        key = _text(attribute, "key", "bad_attribute")
        if key in attributes:
            note("attribute_twice")
        attributes[key] = _value(attribute.get("value"), key, note)
    return attributes


def _value(sent: Any, key: str, note: Note) -> Any:
    """The plain value of an `AnyValue` object; `key` is that of its attribute, for the sentence."""
    if sent is None:
        return None
    if not isinstance(sent, dict):
        raise _bad_value(key, sent)
    given = [(kind, value) for kind, value in sent.items() if kind in _KINDS and value is not None]
    if not given:
        return None
    if len(given) > 1:
        raise MalformedSegment("bad_attribute", f"The attribute {shown(key)} has {len(given)} values: expected one.")
    kind, value = given[0]
    if kind == "stringValue" and isinstance(value, str):
        return value
    if kind == "boolValue" and isinstance(value, bool):
        return value
    if kind == "intValue" and (integer := _integer(value)) is not None and -(2**63) <= integer < 2**63:
        return integer
    if kind == "doubleValue" and (double := _double(value)) is not None:
        if math.isfinite(double):
            return double
        note("number_not_finite")
        return None
    if kind == "arrayValue" and isinstance(value, dict):
        return [_value(item, key, note) for item in _list(value, "values", "bad_attribute")]
    if kind == "kvlistValue" and isinstance(value, dict):
        return _attributes(_list(value, "values", "bad_attribute"), note)
    if kind == "bytesValue" and isinstance(value, str):
        return {"bytesValue": value}
    raise _bad_value(key, value)


_KINDS = frozenset(("stringValue", "boolValue", "intValue", "doubleValue", "arrayValue", "kvlistValue", "bytesValue"))


def _bad_value(key: str, value: object) -> MalformedSegment:
    return MalformedSegment(
        "bad_attribute", f"The attribute {shown(key)} is {shown(value)}: expected an AnyValue of OTLP."
    )


def _integer(sent: object) -> int | None:
    """An integer sent as a number or as its decimal digits."""
    if type(sent) is int:
        return sent
    if isinstance(sent, str) and _digits(sent):
        return int(sent)
    return int(sent) if isinstance(sent, float) and sent.is_integer() else None


def _double(sent: object) -> float | None:
    """A double sent as a number or as its text; protobuf's JSON has the texts `NaN`, `Infinity` and `-Infinity`."""
    if sent in ("NaN", "Infinity", "-Infinity"):
        return math.nan
    if isinstance(sent, str):
        return number(sent)
    return float(sent) if isinstance(sent, int | float) and not isinstance(sent, bool) else None


# Fields of an object; one that is missing or null has its default, as in protobuf


def _text(fields: Fields, key: str, reason: str = "bad_field") -> str:
    sent = fields.get(key)
    if sent is None:
        return ""
    if not isinstance(sent, str):
        raise MalformedSegment(reason, f"The field {key} is {shown(sent)}: expected a text.")
    return sent


def _unsigned(fields: Fields, key: str, reason: str = "bad_field") -> int:
    sent = fields.get(key)
    read = 0 if sent is None else _integer(sent)
    if read is None or not 0 <= read < 2**64:
        raise MalformedSegment(reason, f"The field {key} is {shown(sent)}: expected an unsigned integer.")
    return read


def _enumerated(fields: Fields, key: str, names: Any) -> int:
    """An enumeration's number; `names` is the enumeration in protobuf."""
    sent = fields.get(key)
    if isinstance(sent, str) and sent in names.keys():  # noqa: SIM118 (no mapping: it has no `in` of its own)
        return int(names.Value(sent))
    return _unsigned(fields, key, f"bad_{key}")


def _object(fields: Fields, key: str) -> Fields:
    sent = fields.get(key)
    if sent is None:
        return {}
    if not isinstance(sent, dict):
        raise MalformedSegment("bad_field", f"The field {key} is {shown(sent)}: expected an object.")
    return sent


def _list(fields: Fields, key: str, reason: str = "bad_field") -> list[Any]:
    sent = fields.get(key)
    if sent is None:
        return []
    if not isinstance(sent, list):
        raise MalformedSegment(reason, f"The field {key} is {shown(sent)}: expected a list.")
    return sent


def _objects(fields: Fields, key: str) -> list[Fields]:
    sent = _list(fields, key)
    for item in sent:
        if not isinstance(item, dict):
            raise MalformedSegment("bad_field", f"The field {key} holds {shown(item)}: expected objects.")
    return sent


def _camel_case(value: Any) -> Any:
    if isinstance(value, dict):
        return {_next_word.sub(lambda found: found[1].upper(), key): _camel_case(item) for key, item in value.items()}
    return [_camel_case(item) for item in value] if isinstance(value, list) else value
