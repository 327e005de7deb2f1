"""The HTTP side: tables as CSV, one trace, the status, doors for X-Ray, OTLP and files, and the guard before them all.

Answers are computed by the same functions as the pages', in threads of our own: those that Starlette offers are shared
with Streamlit's static files.
"""

import functools
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TypeVar

import anyio
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core import (
    access,
    activity,
    body,
    export,
    lacking,
    ledger,
    markers,
    pulls,
    queries,
    settings,
    store,
    workers,
)
from core.downloads import TABLES
from core.errors import AccessDenied, BodyRefused, MalformedSegment, NotFound, QuestionError, StoreError, TracecastError
from core.ingest import files, otlp, segments
from core.question import Question, parse
from core.spans import canonical_trace_id

__all__ = ["MAX_OTLP_BYTES", "MAX_SEGMENTS_BYTES", "VERSION", "middleware", "routes"]

VERSION = "0.1.0"
MAX_SEGMENTS_BYTES = 8 * 2**20  # a body of `POST /TraceSegments`, after decompression
MAX_MARKER_BYTES = 2**16
MAX_OTLP_BYTES = 64 * 2**20  # of `POST /v1/traces`, likewise

_log = logging.getLogger(__name__)
_queries = anyio.CapacityLimiter(8)
_writes = anyio.CapacityLimiter(32)  # waiting for a shared commit costs no processor
XRAY_DOOR = "/TraceSegments"
OTLP_DOOR = "/v1/traces"
RETRY_AFTER_S = 30

T = TypeVar("T")


async def table(request: Request) -> Response:
    """`GET /api/v1/<table>.csv`: the table that the page shows for the same parameters."""
    name = request.path_params["table"]
    if name not in TABLES:
        raise NotFound(f"There is no table {name[:40]}; the tables are {', '.join(TABLES)}.")
    question = _question(request)
    now = _now()
    chunks = export.csv(await _in_thread(TABLES[name], question, now))
    # The first chunk before the answer begins, so that an error still becomes a status.
    first = await _in_thread(next, chunks, b"")
    stem = await _in_thread(queries.file_stem, question, now)
    headers = {"Content-Disposition": f'attachment; filename="{stem}-{name}.csv"'}
    return StreamingResponse(_streamed(first, chunks), media_type="text/csv; charset=utf-8", headers=headers)


async def trace(request: Request) -> Response:
    """`GET /api/v1/traces/<id>.json`: the spans of one trace, id in either form."""
    try:
        trace_id = canonical_trace_id(request.path_params["trace_id"])
    except MalformedSegment as error:
        raise QuestionError(str(error)) from error
    question = _question(request)
    named = question.source if "source" in request.query_params else None
    frame = await _in_thread(queries.trace, trace_id, named)
    return JSONResponse({"trace_id": trace_id, "spans": [export.span(row) for row in frame.to_dict("records")]})


async def status(request: Request) -> Response:
    """`GET /api/v1/status`: what is stored and what is going on; details of errors only to who is trusted."""
    facts = await _in_thread(queries.status)
    told = access.is_trusted(access.caller(request.headers), settings.current())
    return JSONResponse(_status(facts, told))


async def put_trace_segments(request: Request) -> Response:
    """`POST /TraceSegments`: X-Ray's PutTraceSegments. What the answer does not name is stored durably."""
    try:
        sent = json.loads(await body.read(request, MAX_SEGMENTS_BYTES, "live"))
        documents = sent["TraceSegmentDocuments"]
        if not isinstance(documents, list) or not all(isinstance(document, str) for document in documents):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        activity.refuse("live", "not_put_trace_segments")
        raise QuestionError('The body must be JSON: {"TraceSegmentDocuments": ["…", …]}, each a text.') from None
    refusals = await _in_thread(segments.take, documents, "live", _now(), store.current(), limiter=_writes)
    unprocessed = [{"Id": one.id, "ErrorCode": one.reason, "Message": one.message} for one in refusals]
    return JSONResponse({"UnprocessedTraceSegments": unprocessed})


async def export_traces(request: Request) -> Response:
    """`POST /v1/traces`: OTLP. What the answer does not count as rejected is stored durably."""
    encoding = otlp.encoding(request.headers.get("content-type"))
    if encoding is None:
        sentence = f"Content-Type must be {otlp.PROTOBUF} or {otlp.JSON}."
        raise body.refused(otlp.SOURCE, 415, "content_type", sentence)
    sent = await body.read(request, MAX_OTLP_BYTES, otlp.SOURCE)
    try:
        rejected = await _in_thread(otlp.take, sent, encoding, _now(), store.current(), workers.submit, limiter=_writes)
    except MalformedSegment as error:
        raise BodyRefused(400, str(error)) from error
    return Response(otlp.answer(rejected, encoding), media_type=encoding)


async def ask_pull(request: Request) -> Response:
    """`POST /api/v1/pull`: read from X-Ray what a range lacks, in the background; 200 when it lacks nothing."""
    question, now = _question(request), _now()
    if not lacking.is_allowed(question.source):
        raise QuestionError(f"{question.source} can't be pulled here: TRACECAST_AWS_REGION names the regions that can.")
    if question.end and question.end <= now - ledger.RETENTION:
        raise QuestionError("X-Ray keeps traces for 30 days: nothing of this range is left there.")
    lack = await _in_thread(lacking.lack, question, now)
    if lack is None:
        return JSONResponse({"id": None})
    return JSONResponse({"id": pulls.ask(question.source, lack.start, lack.end).id}, 202)


async def stop_pull(request: Request) -> Response:
    """`DELETE /api/v1/pull/<id>`: stop a pull; what it has read stays."""
    pull = pulls.stop(request.path_params["id"])
    if pull is None:
        raise NotFound("There is no pull with this id since the process started.")
    return JSONResponse({"id": pull.id, "state": pull.state})


async def import_file(request: Request) -> Response:
    """`POST /api/v1/import?name=<name>`: a file's bytes become the source `file:<name>`; the answer is the report.

    What it counts as stored is stored durably, also where it says that the file could not be read to its end.
    """
    name = request.query_params.get("name", "")
    try:
        parse({"source": f"file:{name}"})
    except QuestionError:
        sentence = "name must be 1 to 80 of the characters A-Z a-z 0-9 . _ and -: the source will be file:<name>."
        raise QuestionError(sentence) from None
    with files.Import(name, _now(), store.current(), settings.current().import_max_bytes, workers.submit) as running:
        piece = bytearray()
        async for chunk in request.stream():
            piece += chunk
            if len(piece) >= files.PIECE_BYTES:
                await _in_thread(running.feed, bytes(piece), limiter=_writes)
                piece.clear()
            if running.failed:
                break
        await _in_thread(running.feed, bytes(piece), limiter=_writes)
        report = await _in_thread(running.finish, limiter=_writes)
    status = 413 if "file_too_large" in report.rejected else 400
    return JSONResponse(report.as_json(), 200 if report.error is None else status)


async def set_marker(request: Request) -> Response:
    """`POST /api/v1/markers`: keep a deployment or an incident; 201 with its id."""
    sent = await body.read(request, MAX_MARKER_BYTES)
    try:
        asked = json.loads(sent)
    except (ValueError, RecursionError):
        asked = None
    id_ = await _in_thread(markers.add, markers.read(asked), limiter=_writes)
    return JSONResponse({"id": id_}, 201)


async def remove_marker(request: Request) -> Response:
    """`DELETE /api/v1/markers/<id>`: forget a marker."""
    id_ = request.path_params["id"]
    await _in_thread(markers.remove, id_, limiter=_writes)
    return JSONResponse({"id": id_})


async def remove_source(request: Request) -> Response:
    """`DELETE /api/v1/sources/<source>`: forget everything that came from it."""
    source = parse({"source": request.path_params["source"]}).source
    removed = await _in_thread(_remove, source, limiter=_writes)
    if not removed:
        raise NotFound(f"Nothing of the source {source} is stored.")
    return JSONResponse({"removed": removed})


async def unknown(request: Request) -> Response:
    """Whatever else is asked for below `/api/`."""
    raise NotFound("There is nothing at this address; README.md lists what there is, under HTTP.")


def answered(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """`handler`, with what it raises told in one sentence and the right status."""

    @functools.wraps(handler)
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except QuestionError as error:
            return _refusal(request.scope, 400, str(error))
        except NotFound as error:
            return _refusal(request.scope, 404, str(error))
        except BodyRefused as error:
            return _refusal(request.scope, error.status, str(error))
        except StoreError as error:  # 503, so that senders keep what they have and come again
            _log.error("%s %s: %s", request.method, request.url.path, error)
            return _refusal(request.scope, 503, str(error))
        except Exception as error:  # the edge of the process: whatever it is, it is logged and told in one sentence
            _log.exception("%s %s", request.method, request.url.path)
            known = isinstance(error, TracecastError)
            sentence = str(error) if known else "This could not be answered; the log says why."
            return _refusal(request.scope, 500, sentence)

    return answer


class Guard:
    """ASGI middleware: who may do what, before any handler; `nosniff` on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
        except AccessDenied as denied:
            refuse: ASGIApp = _refusal(scope, denied.status, str(denied))
            await refuse(scope, receive, _unsniffed(send))
            return
        await self._app(scope, receive, _unsniffed(send))

    @staticmethod
    def _check(scope: Scope) -> None:
        who = access.caller({name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]})
        told = settings.current()
        ours = scope["type"] == "http" and scope["path"].startswith(("/api/", XRAY_DOOR, OTLP_DOOR))
        if not ours:
            access.check_host(who, told)
        elif scope["method"] in ("GET", "HEAD", "OPTIONS"):
            access.check_read(who, told)
        else:
            access.check_write(who, told, xray=scope["path"] == XRAY_DOOR)


def _unsniffed(send: Send) -> Send:
    async def with_header(message: Message) -> None:
        if message["type"] == "http.response.start":
            message.setdefault("headers", [])
            message["headers"] = [*message["headers"], (b"x-content-type-options", b"nosniff")]
        await send(message)

    return with_header


def _question(request: Request) -> Question:
    for name in request.query_params:
        if len(request.query_params.getlist(name)) > 1:
            raise QuestionError(f"{name[:40]} is given more than once; give it once.")
    return parse(request.query_params, settings.current().source)


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


async def _in_thread(call: Callable[..., T], *args: Any, limiter: anyio.CapacityLimiter = _queries) -> T:
    return await anyio.to_thread.run_sync(call, *args, limiter=limiter)


async def _streamed(first: bytes, rest: Iterator[bytes]) -> AsyncIterator[bytes]:
    chunk = first
    while chunk:
        yield chunk
        chunk = await _in_thread(next, rest, b"")


def _refusal(scope: Scope, status: int, sentence: str) -> Response:
    """`{"error": sentence}`; at the X-Ray door also what makes boto3 raise the exception that its API documents, at
    that of OTLP in the encoding of the request.
    """
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else {}
    if scope["path"] == OTLP_DOOR and (encoding := otlp.encoding(Headers(scope=scope).get("content-type"))):
        return Response(otlp.failure(sentence, encoding), status, headers, media_type=encoding)
    if scope["path"] != XRAY_DOOR:
        return JSONResponse({"error": sentence}, status, headers)
    code = {401: "AccessDeniedException", 403: "AccessDeniedException", 503: "ThrottledException"}
    headers["x-amzn-errortype"] = code.get(status, "InvalidRequestException")
    return JSONResponse({"error": sentence, "message": sentence}, status, headers)


def _remove(source: str) -> int:
    pulls.halt(source)  # else it would go on filling what is emptied here
    activity.forget(source)
    return store.current().remove(source)


def _pull(pull: pulls.Pull, told: bool) -> dict[str, Any]:
    facts = {name: export.plain(value) for name, value in asdict(pull).items()}
    return facts if told else facts | {"error": None}


def _status(facts: dict[str, Any], told: bool) -> dict[str, Any]:
    components, counts = facts["components"], facts["counts"].get("live", {})
    collector, pipeline = components.get("collector", {}), components.get("pipeline", {})
    return {
        "version": VERSION,
        "healthy": True,
        "sources": {
            row["source"]: {name: export.plain(row[name]) for name in ("rows", "oldest", "newest")}
            for row in facts["sources"].to_dict("records")
        },
        "collector": {
            "address": collector.get("address"),
            "state": collector.get("state", "off"),
            "buffer_bytes": collector.get("buffer_bytes"),
            **_door(facts, "live", told),
            "sampling": {
                "rate": collector.get("sampling_rate"),
                "requests": counts.get("requests", 0),
                "traced": counts.get("traced", 0),
            },
        },
        "otlp": {
            "duplicates": facts["counts"].get(otlp.SOURCE, {}).get("duplicate", 0),
            **_door(facts, otlp.SOURCE, told),
        },
        "pipeline": {
            "state": pipeline.get("state", "off"),
            "last_price": pipeline.get("last_price"),
            "last_at": export.plain(pipeline.get("last_at")),
            "last_error": pipeline.get("last_error") if told else None,
        },
        "pulls": [_pull(pull, told) for pull in pulls.everything()],
        "imports": [_import(one, told) for one in facts["imports"]],
    }


def _door(facts: dict[str, Any], source: str, told: bool) -> dict[str, Any]:
    """What came in as `source` since the process started, and what became of it; sentences only to who is trusted."""
    counts = facts["counts"].get(source, {})
    answer: dict[str, Any] = {
        "received": counts.get("received", 0),
        "stored": counts.get("stored", 0),
        "dropped": sum(facts["dropped"].get(source, {}).values()),
        "rejected": {**facts["altered"].get(source, {}), **facts["refused"].get(source, {})},
    }
    if told:
        answer["messages"] = facts["messages"].get(source, {})
    return answer


def _import(facts: dict[str, Any], told: bool) -> dict[str, Any]:
    """One import; sentences about its content only to who is trusted."""
    shown = dict(facts) if told else {key: value for key, value in facts.items() if key != "error"}
    kept = ("n", "first_line", "message") if told else ("n", "first_line")
    shown["rejected"] = {reason: {key: refused[key] for key in kept} for reason, refused in facts["rejected"].items()}
    return shown


routes = [
    Route("/api/v1/{table:str}.csv", answered(table), methods=["GET"]),
    Route("/api/v1/traces/{trace_id:str}.json", answered(trace), methods=["GET"]),
    Route("/api/v1/status", answered(status), methods=["GET"]),
    Route("/api/v1/pull", answered(ask_pull), methods=["POST"]),
    Route("/api/v1/pull/{id:str}", answered(stop_pull), methods=["DELETE"]),
    Route("/api/v1/import", answered(import_file), methods=["POST"]),
    Route("/api/v1/markers", answered(set_marker), methods=["POST"]),
    Route("/api/v1/markers/{id:str}", answered(remove_marker), methods=["DELETE"]),
    Route("/api/v1/sources/{source:str}", answered(remove_source), methods=["DELETE"]),
    Route(XRAY_DOOR, answered(put_trace_segments), methods=["POST"]),
    Route(OTLP_DOOR, answered(export_traces), methods=["POST"]),
    Route("/api/{rest:path}", answered(unknown), methods=["GET", "POST", "DELETE", "PUT", "PATCH"]),
]
middleware = [Middleware(Guard)]
