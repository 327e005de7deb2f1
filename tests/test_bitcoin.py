"""The traced Bitcoin pipeline, with the real X-Ray SDK over a real UDP socket and HTTP to a loopback stand-in."""

import atexit
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aws_xray_sdk.core import xray_recorder
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core import activity
from core.errors import StoreFull
from core.ingest import bitcoin, candles, prices
from core.settings import Settings
from core.store import Price, Store
from tests.price_server import (
    Candle,
    Fault,
    Market,
    PriceServer,
    answering,
    read_candles,
    reset,
    slow,
    trickling,
    truncated,
)

# The SDK opens a socket as it is imported, and warns at the end that nobody closed it.
atexit.register(xray_recorder.emitter._socket.close)

HOUR = timedelta(hours=1)
ROOT = Path(__file__).resolve().parent.parent


def utc_now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def forget():
    activity.reset()


@pytest.fixture
def server() -> Iterator[PriceServer]:
    with PriceServer() as server:
        yield server


@pytest.fixture
def store(tmp_path) -> Iterator[Store]:
    with Store(tmp_path / "spans.duckdb") as store:
        yield store


class Listener:
    """A plain UDP socket in the collector's place."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(10)
        self.port = self.socket.getsockname()[1]

    def segment(self) -> dict[str, Any]:
        """The next segment document that arrives."""
        header, _, document = self.socket.recv(65_536).partition(b"\n")
        assert json.loads(header) == {"format": "json", "version": 1}
        segment: dict[str, Any] = json.loads(document)
        return segment


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.socket.close()


@pytest.fixture
def run(server, store, listener, tmp_path):
    """Start a pipeline whose price APIs are `server` and whose collector is `listener`; stopped with the test."""
    started = []

    def start(interval_s: float = 0.05, price_api: str | None = None) -> bitcoin.Pipeline:
        told = Settings(home=tmp_path, price_api=price_api or server.url, price_interval_s=interval_s)
        started.append(bitcoin.Pipeline(told, store, ("127.0.0.1", listener.port)))
        started[-1].start()
        return started[-1]

    yield start
    for pipeline in started:
        pipeline.stop()


def steps(segment: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """All subsegments of a document, by name."""
    found: dict[str, dict[str, Any]] = {}
    for subsegment in segment.get("subsegments", []):
        found |= {subsegment["name"]: subsegment} | steps(subsegment)
    return found


def live(store: Store) -> list[tuple[Any, ...]]:
    frame = store.query("SELECT exchange, price_usd, time FROM prices WHERE kind = 'live' ORDER BY time")
    return list(frame.itertuples(index=False, name=None))


def pipeline_state() -> dict[str, Any]:
    state: dict[str, Any] = activity.snapshot()["components"].get("pipeline", {})
    return state


# One run


def test_a_run_is_one_trace_of_fetch_classify_annotate_and_store(run, server, listener, store):
    before = time.time()
    run(interval_s=60)
    segment = listener.segment()

    assert segment["name"] == "btc-pipeline"
    assert before <= segment["start_time"] <= segment["end_time"] <= time.time()
    assert [step["name"] for step in segment["subsegments"]] == ["fetch", "classify", "annotate", "store"]
    assert "fault" not in segment

    call = steps(segment)["fetch coinbase"]
    wait_until(lambda: live(store))
    [(exchange, price_usd, moment)] = live(store)

    assert call["namespace"] == "remote"
    assert call["http"]["request"] == {"method": "GET", "url": f"{server.url}/products/BTC-USD/ticker"}
    assert call["http"]["response"]["status"] == 200
    assert (exchange, price_usd) == ("coinbase", steps(segment)["annotate"]["annotations"]["price_usd"])
    assert abs((utc_now() - moment).total_seconds()) < 10


def test_annotate_carries_all_seven_annotations_and_no_other_step_any(run, listener):
    run(interval_s=60)
    segment = listener.segment()
    annotations = steps(segment)["annotate"].pop("annotations")
    fetch = steps(segment)["fetch"]

    assert annotations.keys() == {
        "flag", "price_usd", "processing_time_ms", "shard_id", "error", "hour_str", "data_volume_bytes",
    }  # fmt: skip
    assert annotations["shard_id"] == "coinbase"
    assert annotations["error"] is False
    assert annotations["flag"] == "average"
    assert 54_000 < annotations["price_usd"] < 67_000
    assert annotations["hour_str"] == datetime.fromtimestamp(segment["start_time"], UTC).strftime("%Y-%m-%dT%H")
    assert 80 < annotations["data_volume_bytes"] < 130
    assert (fetch["end_time"] - fetch["start_time"]) * 1000 <= annotations["processing_time_ms"] + 1
    assert annotations["processing_time_ms"] < (segment["end_time"] - segment["start_time"]) * 1000 + 1
    assert not any("annotations" in step for step in steps(segment).values())


def test_it_runs_every_interval_and_the_status_tells_the_last_price(run, listener, store):
    run(interval_s=0.2)
    starts = [listener.segment()["start_time"] for _ in range(3)]
    wait_until(lambda: len(live(store)) >= 3)
    state = pipeline_state()

    assert all(0.19 < later - earlier < 1 for earlier, later in pairwise(starts))
    assert state["state"] == "running"
    assert state["last_price"] in {price for _, price, _ in live(store)}
    assert abs((utc_now() - state["last_at"]).total_seconds()) < 10
    assert "last_error" not in state


def test_the_next_api_answers_when_one_fails_and_the_failure_is_a_traced_fault(run, server, listener, store):
    server.faults["coinbase"] = answering(403, "<!DOCTYPE html><title>Access denied</title>")
    server.faults["kraken"] = answering(200, '{"error": ["EService:Unavailable"]}')
    run(interval_s=60)
    segment = listener.segment()
    found = steps(segment)
    wait_until(lambda: live(store))

    assert found["fetch coinbase"]["fault"] is True
    assert found["fetch coinbase"]["error"] is True
    assert found["fetch coinbase"]["http"]["response"]["status"] == 403
    assert found["fetch coinbase"]["cause"]["exceptions"][0]["message"] == "The answer is 403 Forbidden."
    assert found["fetch kraken"]["http"]["response"]["status"] == 200
    assert (
        found["fetch kraken"]["cause"]["exceptions"][0]["message"] == "The answer is the error 'EService:Unavailable'."
    )
    assert "fault" not in found["fetch coingecko"]
    assert "fault" not in found["fetch"]
    assert "fault" not in segment
    assert found["annotate"]["annotations"]["shard_id"] == "coingecko"
    assert found["annotate"]["annotations"]["error"] is False
    assert found["annotate"]["annotations"]["data_volume_bytes"] > 43 + 34  # the useless answers were received too
    assert [exchange for exchange, _, _ in live(store)] == ["coingecko"]
    assert pipeline_state()["last_error"] == "kraken: The answer is the error 'EService:Unavailable'."


def test_when_all_three_fail_the_trace_says_so_and_no_price_is_made_up(run, server, listener, store):
    for api in ("coinbase", "kraken", "coingecko"):
        server.faults[api] = answering(503, "")
    run(interval_s=60)
    segment = listener.segment()
    found = steps(segment)
    wait_until(lambda: pipeline_state().get("state") == "retrying")

    assert segment["fault"] is True
    assert found["fetch"]["fault"] is True
    assert [found[f"fetch {api}"]["http"]["response"]["status"] for api in ("coinbase", "kraken", "coingecko")] == [
        503
    ] * 3
    assert found["annotate"]["annotations"].keys() == {"processing_time_ms", "error", "hour_str", "data_volume_bytes"}
    assert found["annotate"]["annotations"]["error"] is True
    assert "store" not in found
    assert live(store) == []
    assert pipeline_state()["last_error"] == (
        "No price. coinbase: The answer is 503 Service Unavailable. kraken: The answer is 503 Service Unavailable."
        " coingecko: The answer is 503 Service Unavailable."
    )
    assert "last_price" not in pipeline_state()


def test_it_recovers_when_an_api_answers_again(run, server, listener, store):
    for api in ("coinbase", "kraken", "coingecko"):
        server.faults[api] = reset
    run(interval_s=0.05)
    first = listener.segment()
    server.faults.clear()
    wait_until(lambda: live(store))

    assert first["fault"] is True
    assert pipeline_state()["state"] == "running"
    assert "Connection reset by peer" in pipeline_state()["last_error"]


def test_a_failing_api_is_asked_less_and_less_often(run, server, listener):
    server.faults["coinbase"] = answering(500, "")
    run(interval_s=0.05)
    runs = [listener.segment() for _ in range(16)]
    asked = [segment["start_time"] for segment in runs if "fetch coinbase" in steps(segment)]
    waits = [later - earlier for earlier, later in pairwise(asked)]

    assert asked[0] == runs[0]["start_time"]
    assert len(asked) >= 3
    assert all(wait > 0.95 * 0.05 * 2**failures for failures, wait in enumerate(waits))


def test_retry_after_is_honoured(run, server, listener):
    server.faults["coinbase"] = answering(429, "{}", Retry_After="30")
    run(interval_s=0.02)
    runs = [steps(listener.segment()) for _ in range(10)]

    assert runs[0]["fetch coinbase"]["throttle"] is True
    assert [number for number, found in enumerate(runs) if "fetch coinbase" in found] == [0]


def test_it_stops_within_a_second_during_a_request_and_sends_no_half_trace(run, server, listener, store):
    server.faults["coinbase"] = slow(5)
    pipeline = run(interval_s=60)
    wait_until(lambda: server.asked)
    began = time.monotonic()
    pipeline.stop()

    assert time.monotonic() - began < 1.2
    assert pipeline_state()["state"] == "stopped"

    server.closing.set()  # the answer that was waited for breaks off
    listener.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        listener.segment()
    assert live(store) == []


def test_a_full_disk_is_a_traced_fault_and_the_pipeline_goes_on(run, store, listener, monkeypatch):
    def refuse(rows):
        raise StoreFull("The disk is full.")

    monkeypatch.setattr(store, "append_prices", refuse)
    run(interval_s=0.05)
    first, second = listener.segment(), listener.segment()

    assert steps(first)["store"]["fault"] is True
    assert first["fault"] is second["fault"] is True
    assert pipeline_state()["last_error"] == "The disk is full."


@pytest.mark.parametrize(
    ("environment", "state", "error"),
    [
        pytest.param(
            {"AWS_XRAY_DAEMON_ADDRESS": "[::1]:2000"}, "failed", "Check AWS_XRAY_DAEMON_ADDRESS", id="bad address"
        ),
        pytest.param({"AWS_XRAY_SDK_ENABLED": "false"}, "untraced", "AWS_XRAY_SDK_ENABLED is false", id="switched off"),
        pytest.param({"AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:9"}, "running", None, id="another daemon"),
    ],
)
def test_the_environment_of_the_sdk_neither_kills_nor_hijacks_it(environment, state, error, server, listener, tmp_path):
    script = f"""
import json, pathlib, time
from core import activity
from core.ingest.bitcoin import Pipeline
from core.settings import Settings
from core.store import Store
home = pathlib.Path({str(tmp_path)!r})
with Store(home / "spans.duckdb") as store:
    pipeline = Pipeline(Settings(home=home, price_api={server.url!r}), store, ("127.0.0.1", {listener.port}))
    pipeline.start()
    while activity.snapshot()["components"]["pipeline"]["state"] == "starting":
        time.sleep(0.01)
    print(json.dumps(activity.snapshot()["components"]["pipeline"], default=str))
    pipeline.stop()
"""
    ran = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **environment}, cwd=ROOT, capture_output=True, text=True
    )
    told = json.loads(ran.stdout)

    assert ran.returncode == 0
    assert told["state"] == state
    assert (error or "") in told.get("last_error", "")
    if error is None:
        assert listener.segment()["name"] == "btc-pipeline"


# What is believed


SHAPES: dict[str, tuple[Fault, str]] = {
    "throttled": (answering(429, "{}"), "The answer is 429 Too Many Requests."),
    "page in HTML": (answering(200, "<html>Sorry"), "The answer is no JSON: it begins with b'<html>Sorry'."),
    "redirect": (answering(302, "", Location="http://127.0.0.1:1/"), "The answer is 302 Found."),
    "unknown status": (answering(599, ""), "The answer is 599."),
    "empty": (answering(200, ""), "The answer is empty."),
    "blank": (answering(200, " \n"), "The answer is empty."),
    "cut short": (truncated, "The answer was cut short."),
    "half a JSON": (answering(200, '{"price": "61'), "The answer is no JSON: it begins with b'{\"price\": \"61'."),
    "reset": (reset, "There was no answer: Connection reset by peer."),
    "slow": (slow(5), "There was no answer in time."),
    "trickling": (trickling(0.05), "The answer took longer than 0.3 seconds."),
    "endless": (answering(200, b"1" * 1_100_000), "The answer is longer than 1,048,576 bytes."),
    "list": (answering(200, "[]"), "The answer lacks the price."),
    "no price": (answering(200, "{}"), "'None' is no price."),
    "word": (answering(200, '{"price": "n/a"}'), "'n/a' is no price."),
    "boolean": (answering(200, '{"price": true}'), "'True' is no price."),
    "zero": (answering(200, '{"price": "0.00"}'), "'0.00' is no price."),
    "negative": (answering(200, '{"price": -61000}'), "'-61000' is no price."),
    "text NaN": (answering(200, '{"price": "NaN"}'), "'NaN' is no price."),
    "NaN": (answering(200, '{"price": NaN}'), "The answer is no JSON: it begins with b'{\"price\": NaN}'."),
    "infinite": (answering(200, '{"price": "1e400"}'), "'1e400' is no price."),
    "no time": (answering(200, '{"price": "1", "time": "soon"}'), "'soon' is no time."),
    "year 292278": (answering(200, '{"price": "1", "time": 9223372036854775}'), "'9223372036854775' is no time."),
    "old": (
        answering(200, '{"price": "1", "time": "2024-03-13T11:10:41.270099Z"}'),
        "The price is an old one, of 2024-03-13 11:10 UTC.",
    ),
    "of the future": (
        answering(200, '{"price": "1", "time": "2999-01-01T00:00:00Z"}'),
        "The price is of 2999-01-01 00:00 UTC, which is still to come.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_an_answer_of_another_shape_is_refused_in_one_sentence(shape, server, monkeypatch):
    monkeypatch.setattr(prices, "READ_TIMEOUT_S", 0.3)
    monkeypatch.setattr(prices, "DEADLINE_S", 0.3)
    server.faults["coinbase"], sentence = SHAPES[shape]
    api = prices.APIS[0]
    with pytest.raises(prices.PriceUnavailable) as refused:
        api.quote(prices.get(prices.address(api.url, server.url), direct=True), utc_now())

    assert str(refused.value) == sentence


@pytest.mark.parametrize("time", ["2024-03-13T11:10:41.270099Z", "2999-01-01T00:00:00Z"])
def test_a_recorded_answer_of_another_day_is_taken_as_of_now(time):
    answer = prices.Answer(200, json.dumps({"price": "73367.8", "time": time}).encode())

    assert prices.APIS[0].quote(answer, AT_11_11, recorded=True) == prices.Quote(73367.8, AT_11_11)


def test_a_closed_port_is_refused_in_one_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(prices.PriceUnavailable, match=r"^There was no answer: Connection refused\.$"):
            prices.get(f"http://127.0.0.1:{taken.getsockname()[1]}/", direct=True)


@pytest.mark.parametrize("api", prices.APIS, ids=lambda api: api.name)
def test_each_api_gives_the_market_price(api, server):
    quote = api.quote(prices.get(prices.address(api.url, server.url), direct=True), utc_now())

    assert quote.price_usd == pytest.approx(server.market.price(time.time()), abs=1)
    assert timedelta(seconds=-1) <= utc_now() - quote.time < timedelta(seconds=3)


AT_11_11 = datetime(2026, 3, 13, 11, 11)
KRAKEN = '{"error": [], "result": {"XXBTZUSD": {"c": ["73370.10000", "0.00013000"]}}}'


@pytest.mark.parametrize(
    ("name", "body", "price_usd", "age_s"),
    [
        pytest.param("coinbase", '{"price": "7.5", "time": "2026-03-13T11:10:41.270099Z"}', 7.5, 18.729901, id="text"),
        pytest.param("coinbase", '{"price": 7, "time": "2026-03-13T11:10:41.2700991Z"}', 7, 18.729901, id="7 decimals"),
        pytest.param("coinbase", '{"price": 7, "time": "2026-03-13T12:10:41+01:00"}', 7, 19, id="another zone"),
        pytest.param("coinbase", '{"price": 7.5}', 7.5, 0, id="no time"),
        pytest.param("coinbase", '{"price": 7, "time": "2026-03-13T11:11:30Z"}', 7, 0, id="a clock 30 s ahead"),
        pytest.param("kraken", KRAKEN, 73370.1, 0, id="kraken"),
        pytest.param("coingecko", '{"bitcoin": {"usd": 7, "last_updated_at": 1773400241}}', 7, 19, id="coingecko"),
    ],
)
def test_a_price_is_read_with_its_time(name, body, price_usd, age_s):
    api = next(api for api in prices.APIS if api.name == name)
    quote = api.quote(prices.Answer(200, body.encode()), AT_11_11)

    assert quote == (price_usd, AT_11_11 - timedelta(seconds=age_s))


KEYS = ["price", "time", "error", "result", "c", "bitcoin", "usd", "prices"]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)


@given(body=st.binary(max_size=40) | json_values.map(lambda value: json.dumps(value).encode()))
@hypothesis_settings(max_examples=200)
def test_whatever_an_api_answers_is_a_positive_price_or_a_refusal(body):
    now = AT_11_11
    answer = prices.Answer(200, body)
    for api in prices.APIS:
        try:
            quote = api.quote(answer, now)
        except prices.PriceUnavailable:
            continue
        assert 0 < quote.price_usd < float("inf")
        assert now - timedelta(minutes=15) <= quote.time <= now
    for read in (prices.read_candles, prices.read_history):
        try:
            closes, left_out = read(answer, now.replace(minute=0), now.replace(minute=0))
        except prices.PriceUnavailable:
            continue
        assert closes == {}
        assert left_out >= 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), ("0", 0.0), ("99999999", 3600.0), ("-5", 0.0), ("soon", 0.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0)],
)
def test_retry_after_is_read_in_seconds_an_hour_at_most(text, seconds, server):
    server.faults["coinbase"] = answering(429, "", Retry_After=text)

    assert prices.get(f"{server.url}/products/BTC-USD/ticker", direct=True).retry_after_s == seconds


def test_a_date_in_retry_after_is_read_too(server):
    at = datetime.now(UTC) + timedelta(seconds=90)
    server.faults["coinbase"] = answering(429, "", Retry_After=at.strftime("%a, %d %b %Y %H:%M:%S GMT"))

    assert 85 < prices.get(f"{server.url}/products/BTC-USD/ticker", direct=True).retry_after_s <= 90


def test_a_stand_in_replaces_scheme_and_host_and_keeps_path_and_query():
    url = prices.address("https://api.kraken.com/0/public/Ticker?pair=XBTUSD", "http://127.0.0.1:9000")

    assert url == "http://127.0.0.1:9000/0/public/Ticker?pair=XBTUSD"
    assert prices.address("https://api.kraken.com/0", None) == "https://api.kraken.com/0"


# Classification


@pytest.mark.parametrize(
    ("price_usd", "expected"),
    [
        pytest.param(99.9, "extreme", id="below all but a fortieth"),
        pytest.param(100.0, "low", id="on the lowest"),
        pytest.param(149.9, "low", id="in the lower quarter"),
        pytest.param(150.0, "average", id="on the lower quarter"),
        pytest.param(250.0, "average", id="on the upper quarter"),
        pytest.param(250.1, "high", id="in the upper quarter"),
        pytest.param(300.1, "extreme", id="above all but a fortieth"),
    ],
)
def test_a_price_is_classified_by_the_quantiles_of_its_history(price_usd, expected):
    assert bitcoin.flag(price_usd, [100.0, 150.0, 250.0, 300.0]) == expected


@pytest.mark.parametrize(
    ("hours", "level", "expected"),
    [
        pytest.param(23, 1.0, "average", id="too little history"),
        pytest.param(24, 1.0, "extreme", id="above all of it"),
        pytest.param(400, 1.2, "low", id="in the lower quarter"),
        pytest.param(400, 2.0, "extreme", id="below all of it"),
    ],
)
def test_a_run_classifies_against_the_hours_in_the_store(hours, level, expected, run, server, listener, store):
    server.market = Market([Candle(61_000, 61_000, 61_000, 61_000)])
    end = utc_now().replace(minute=0, second=0, microsecond=0)
    past = [Price(end - HOUR * back, 50_000 * level + 10 * back, "coinbase", "candle") for back in range(hours, 0, -1)]
    store.append_prices(past)
    run(interval_s=60)

    assert steps(listener.segment())["annotate"]["annotations"]["flag"] == expected


# The price history


def candle_rows(store: Store) -> list[tuple[Any, ...]]:
    frame = store.query("SELECT time, price_usd, exchange FROM prices WHERE kind = 'candle' ORDER BY time")
    return list(frame.itertuples(index=False, name=None))


def test_sixty_days_of_hours_are_back_filled_in_five_polite_requests(run, server, store, monkeypatch):
    monkeypatch.setattr(bitcoin, "BACKFILL_PAUSE_S", 0.05)
    run(interval_s=60)
    wait_until(lambda: len(candle_rows(store)) >= 1440)
    rows = candle_rows(store)
    this_hour = utc_now().replace(minute=0, second=0, microsecond=0)

    assert [time for time, _, _ in rows] == [this_hour - HOUR * back for back in range(1440, 0, -1)]
    assert {exchange for _, _, exchange in rows} == {"coinbase"}
    assert sum("/candles?" in path for path in server.asked) == 5
    for moment, price_usd, _ in rows[::100]:
        assert price_usd == server.market.candle(int(moment.replace(tzinfo=UTC).timestamp()) // 3600).close


def test_only_what_is_missing_is_asked_for(server, store):
    now = datetime(2026, 3, 14, 9, 30)
    end = datetime(2026, 3, 14, 9)
    known = [end - HOUR * back for back in range(1, 1441) if back not in (1, 2, 3, 700)]
    hours = candles.missing(known, now)

    assert hours == [end - HOUR * 700, end - HOUR * 3, end - HOUR * 2, end - HOUR]
    assert candles.pieces(hours) == [(end - HOUR * 700, end - HOUR * 700), (end - HOUR * 3, end - HOUR)]


@given(st.sets(st.integers(0, 1439)))
@hypothesis_settings(max_examples=50)
def test_pieces_cover_all_that_is_missing_with_300_hours_each_at_most(numbers):
    hours = [datetime(2026, 1, 1) + HOUR * number for number in sorted(numbers)]
    ranges = candles.pieces(hours)

    assert all(sum(first <= hour <= last for first, last in ranges) == 1 for hour in hours)
    assert all({first, last} <= set(hours) and (last - first) / HOUR < 300 for first, last in ranges)
    assert len(ranges) <= 5


def test_a_back_fill_goes_on_where_it_was_interrupted(server, store):
    now = utc_now()
    first = candles.Backfill(store, server.url, now)
    first.step()
    first.step()
    second = candles.Backfill(store, server.url, now)
    while not second.done:
        second.step()

    assert len(server.asked) == 5
    assert len(candle_rows(store)) == 1440
    assert candles.Backfill(store, server.url, now).done


def test_coingecko_gives_the_history_when_coinbase_does_not(server, store):
    server.faults["candles"] = answering(403, "<html>")
    backfill = candles.Backfill(store, server.url, utc_now())
    backfill.step()
    rows = candle_rows(store)

    assert backfill.done
    assert len(rows) == 1440
    assert {exchange for _, _, exchange in rows} == {"coingecko"}
    assert all(moment == moment.replace(minute=0, second=0, microsecond=0) for moment, _, _ in rows)


def test_a_back_fill_that_fails_is_told_and_tried_again(run, server, store, monkeypatch):
    monkeypatch.setattr(bitcoin, "BACKFILL_PAUSE_S", 0.01)
    server.faults["candles"] = server.faults["history"] = answering(500, "")
    run(interval_s=0.05)
    wait_until(lambda: "last_error" in pipeline_state())

    assert pipeline_state()["last_error"] == "Price history: The answer is 500 Internal Server Error."
    assert candle_rows(store) == []

    server.faults.clear()
    wait_until(lambda: len(candle_rows(store)) == 1440)


def test_candles_that_can_not_be_are_left_out_and_counted(server, store):
    end = utc_now().replace(minute=0, second=0, microsecond=0)
    now_s = int(end.replace(tzinfo=UTC).timestamp())
    good = [[now_s - 3600, 1, 3, 1, 61_000.5, 9], [now_s - 3 * 3600, 1, 3, 1, "60000.25", 9]]
    bad = [
        [now_s - 2 * 3600, 1, 3, 1, None, 9],
        [now_s - 2 * 3600, 1, 3, 1, -1, 9],
        [now_s - 2 * 3600],
        [now_s - 2 * 3600 + 60, 1, 3, 1, 61_000, 9],
        [1_710_327_600, 73241.5, 73402.47, 73243.33, 73370.65, 1.5],
        [now_s + 3600, 1, 3, 1, 61_000, 9],
        ["soon", 1, 3, 1, 61_000, 9],
        "row",
        None,
    ]
    server.faults["candles"] = answering(200, json.dumps(bad + good[::-1]))
    candles.Backfill(store, server.url, utc_now()).step()

    assert candle_rows(store) == [(end - 3 * HOUR, 60_000.25, "coinbase"), (end - HOUR, 61_000.5, "coinbase")]
    assert activity.snapshot()["refused"]["prices"] == {"candle_left_out": len(bad)}


# The stand-in itself


def test_the_stand_in_refuses_more_than_300_candles_as_coinbase_does(server):
    end = utc_now().replace(minute=0, second=0, microsecond=0)
    answers = [
        prices.get(prices.address(prices.candles_url(end - HOUR * hours, end), server.url), direct=True)
        for hours in (299, 300)
    ]

    assert [answer.status for answer in answers] == [200, 400]
    assert len(json.loads(answers[0].body)) == 300


def test_the_stand_in_serves_a_csv_whose_last_hour_is_the_present_one(tmp_path):
    csv = tmp_path / "hourly.csv"
    csv.write_text(
        "timestamp,open,high,low,close\n2025-01-01T00:00:00Z,10,12,9,11\n2025-01-01T01:00:00Z,11,30,10,20\n", "utf-8"
    )
    market = Market(read_candles(csv))
    hour = int(time.time()) // 3600

    assert market.candle(hour) == Candle(low=10, high=30, open=11, close=20)
    assert market.candle(hour - 1) == Candle(low=9, high=12, open=10, close=11)
    assert market.price(hour * 3600 + 1800) == 15.5
