"""X-Ray of one region through boto3: whole answers or an error in one sentence, and how many calls may be in flight."""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

import boto3
import orjson
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from core.errors import SourceUnavailable
from core.ingest.xray_errors import TokenRefused, explained
from core.settings import Settings

__all__ = ["BATCH", "MOST_CALLS", "Flow", "Page", "Trace", "XRay"]

BATCH = 5  # trace ids a call of BatchGetTraces
MOST_CALLS = 8  # in flight
_CLEAN_CALLS = 20
_ATTEMPTS = 4  # of boto3, for what is worth a second try; of ours, for an answer that is cut short
_USUALLY_INDEXED = 0.01  # share of spans, where no rule says it

# At DEBUG they write headers to the log, the session token among them; at INFO where each client has its keys from.
for _name in ("boto3", "botocore", "urllib3"):
    logging.getLogger(_name).setLevel(logging.WARNING)

Answer = dict[str, Any]


class Page(NamedTuple):
    """A page of summaries, newest first; `token` asks for the next, None on the last."""

    summaries: list[Answer]
    token: str | None
    scanned: int  # traces that were looked at, also those that the filter left out


class Trace(NamedTuple):
    """A trace read in full: its segment documents as text; `cut`: it was over the limit and is not all there."""

    id: str
    documents: list[str]
    cut: bool


class Flow:
    """How many calls may be in flight: half as many when X-Ray throttles, one more after 20 clean answers."""

    def __init__(self) -> None:
        self.limit = MOST_CALLS
        self.calls = 0  # made so far
        self._clean = 0  # answers since the limit changed or a call was throttled
        self._burst = 0  # answers that may still belong to the burst for which the limit was halved
        self._lock = threading.Lock()

    def answered(self, *, throttled: bool) -> None:
        """Note an answer. A burst of throttled calls halves once: as many as were in flight may belong to it."""
        with self._lock:
            self.calls += 1
            self._burst -= 1
            self._clean = 0 if throttled else self._clean + 1
            if throttled and self._burst < 0:
                self._burst = self.limit
                self.limit = max(1, self.limit // 2)
            elif self._clean >= _CLEAN_CALLS and self.limit < MOST_CALLS:
                self.limit, self._clean = self.limit + 1, 0


class XRay:
    """The calls that Tracecast makes. May be shared by threads.

    Each raises `SourceUnavailable`, and of it `Throttled` and `TokenRefused`, when boto3 has tried in vain.
    """

    def __init__(self, region: str, settings: Settings, flow: Flow) -> None:
        self.region = region
        self._settings = settings
        self._flow = flow
        self._client = self._call("GetTraceSummaries", self._connect)

    def _connect(self) -> Any:
        config = Config(
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            max_pool_connections=MOST_CALLS,
            connect_timeout=10,
            read_timeout=30,
        )
        # A session of its own: the default one is not made for threads.
        session = boto3.session.Session()
        client = session.client("xray", self.region, endpoint_url=self._settings.xray_endpoint, config=config)
        client.meta.events.register("needs-retry.xray", self._heard)
        client.meta.events.register("before-parse.xray", _read_body)
        return client

    def _heard(self, response: Any = None, **_event: Any) -> None:
        """Called by boto3 for each attempt; with no answer, `response` is None."""
        error = response[1].get("Error", {}).get("Code") if response else None
        self._flow.answered(throttled=error == "ThrottledException")

    def summaries(self, start: datetime, end: datetime, token: str | None) -> Page:
        """A page of the traces that started in `[start, end)` (naive UTC), at most 6 h."""
        # boto3 takes a naive time for one of the machine's own zone, and cuts off fractions of a second.
        times = {"StartTime": start.replace(tzinfo=UTC), "EndTime": end.replace(tzinfo=UTC)}
        asked: Answer = {**times, "TimeRangeType": "TraceId", "Sampling": False}
        if self._settings.xray_filter:
            asked["FilterExpression"] = self._settings.xray_filter
        answer = self._page("GetTraceSummaries", self._client.get_trace_summaries, asked, "TraceSummaries", token)
        found: list[Answer] = answer["TraceSummaries"]
        return Page(found, answer.get("NextToken"), answer.get("TracesProcessedCount", len(found)))

    def traces(self, ids: list[str]) -> tuple[list[Trace], list[str]]:
        """Up to `BATCH` traces in full, and the ids that X-Ray did not get to; what it does not know is in neither."""
        found: dict[str, Trace] = {}
        unprocessed: list[str] = []
        token: str | None = None
        while True:
            answer = self._page("BatchGetTraces", self._client.batch_get_traces, {"TraceIds": ids}, "Traces", token)
            for piece in answer["Traces"]:
                known = found.get(piece["Id"], Trace(piece["Id"], [], False))
                documents = [segment["Document"] for segment in piece.get("Segments", ())]
                cut = known.cut or piece.get("LimitExceeded", False)
                found[piece["Id"]] = Trace(piece["Id"], known.documents + documents, cut)
            unprocessed += answer.get("UnprocessedTraceIds", [])
            if not (token := answer.get("NextToken")):
                return list(found.values()), unprocessed

    def indexed_share(self) -> float | None:
        """The share of spans that X-Ray indexes, 0 to 1, while Transaction Search is on; None when it is off."""
        destination = self._call("GetTraceSegmentDestination", self._client.get_trace_segment_destination)
        if destination.get("Destination") != "CloudWatchLogs":
            return None
        rules = self._call("GetIndexingRules", self._client.get_indexing_rules).get("IndexingRules", [])
        shares = [rule.get("Rule", {}).get("Probabilistic", {}) for rule in rules]
        known = [share.get("ActualSamplingPercentage", share.get("DesiredSamplingPercentage")) for share in shares]
        return next((float(share) / 100 for share in known if share is not None), _USUALLY_INDEXED)

    def _page(
        self, operation: str, call: Callable[..., Answer], asked: Answer, needed: str, token: str | None
    ) -> Answer:
        """One page of an answer, whole: one that is cut short is no JSON, and so has nothing in it."""
        given = {**asked, "NextToken": token} if token else asked
        for _ in range(_ATTEMPTS):
            answer: Answer = self._call(operation, call, paging=token is not None, **given)
            if needed not in answer:
                continue
            if token and answer.get("NextToken") == token:  # the same page for ever
                raise TokenRefused(f"X-Ray in {self.region} answered with the same page again and again: start again.")
            return answer
        raise SourceUnavailable(f"X-Ray in {self.region} cut short its answer to {operation}, several times.")

    def _call(self, operation: str, call: Callable[..., Any], *, paging: bool = False, **asked: Any) -> Any:
        try:
            return call(**asked)
        except (BotoCoreError, ClientError) as error:
            raise explained(error, operation, self.region, self._settings, paging=paging) from None


def _read_body(response_dict: Answer, customized_response_dict: Answer, **_event: Any) -> None:
    """Read an answer in the place of boto3, which checks each value against its model: that takes 0.4 ms a summary.

    Times stay seconds since 1970. Errors are left to boto3.
    """
    if response_dict["status_code"] == 200:
        with suppress(orjson.JSONDecodeError):  # cut short: `_page` misses what is needed
            customized_response_dict.update(orjson.loads(response_dict["body"]))
        response_dict["body"] = b""
