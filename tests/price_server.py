"""A loopback stand-in for the three price APIs: their paths and shapes, made-up prices, and every way to fail.

By hand, to run the pipeline without a network (with `TRACECAST_PRICE_API=http://127.0.0.1:9000`):

    python -m tests.price_server [--port 9000] [--candles hourly.csv]

The CSV (`timestamp,open,high,low,close,…`, hourly) is moved in time so that its last hour is the present one.
"""

import argparse
import csv
import json
import math
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

__all__ = ["Candle", "Fault", "Market", "PriceServer", "answering", "reset", "slow", "trickling", "truncated"]

HOUR_S = 3600
MAX_CANDLES = 300


class Candle(NamedTuple):
    """One hour of trade, in USD."""

    low: float
    high: float
    open: float
    close: float


class Market:
    """What a bitcoin costs, hour by hour: the given candles, the last of them in the present hour, or made-up ones."""

    def __init__(self, candles: Sequence[Candle] = ()) -> None:
        self._candles = candles
        self._last_hour = int(time.time()) // HOUR_S

    def candle(self, hour: int) -> Candle:
        """The candle of an hour since 1970; given ones begin again after the last."""
        if self._candles:
            return self._candles[(hour - self._last_hour - 1) % len(self._candles)]
        first, last = (60_000 + 6_000 * math.sin(h / 37) + 900 * math.sin(h / 4) for h in (hour, hour + 1))
        return Candle(min(first, last) - 40, max(first, last) + 40, round(first, 2), round(last, 2))

    def price(self, time_s: float) -> float:
        """The price at a moment: on the straight way from its hour's opening to its closing price."""
        candle = self.candle(int(time_s) // HOUR_S)
        return round(candle.open + (candle.close - candle.open) * (time_s % HOUR_S) / HOUR_S, 2)


class _Handler(BaseHTTPRequestHandler):
    server: "PriceServer"

    def do_GET(self) -> None:
        """Answer as the API would whose path this is."""
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        api, status, document = self.server.document(path, query)
        self.server.asked.append(self.path)
        body = json.dumps(document).encode()
        fault = self.server.faults.get(api)
        if fault:
            fault(self, body)
        else:
            self.answer(status, body)

    def answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Send an answer; `headers` stand in for the usual ones."""
        self.send_response(status)
        usual = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        for name, value in {**usual, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet."""


class PriceServer(ThreadingHTTPServer):
    """Serves until the `with` block ends. `faults` says who fails how, `asked` has the paths and queries that came.

    The keys of `faults` are `coinbase`, `kraken` and `coingecko` for the tickers, `candles` and `history` for the past.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, market: Market | None = None, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.market = market or Market()
        self.faults: dict[str, Fault] = {}
        self.asked: list[str] = []
        self.closing = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> "PriceServer":
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up before it has its answer is what some tests are about."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def document(self, path: str, query: Mapping[str, list[str]]) -> tuple[str, int, object]:
        """Whose path it is, the status, and the answer."""
        now_s = time.time()
        price = self.market.price(now_s)
        if path == "/products/BTC-USD/ticker":
            ticker = {
                "price": f"{price:.2f}",
                "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}Z",
                "size": "0.00730812",
            }
            return "coinbase", 200, ticker
        if path == "/0/public/Ticker":
            return "kraken", 200, {"error": [], "result": {"XXBTZUSD": {"c": [f"{price:.5f}", "0.00013000"]}}}
        if path == "/api/v3/simple/price":
            return "coingecko", 200, {"bitcoin": {"usd": price, "last_updated_at": int(now_s)}}
        if path == "/products/BTC-USD/candles":
            return "candles", *self._candles(query)
        if path == "/api/v3/coins/bitcoin/market_chart":
            hours = range(int(now_s) // HOUR_S - int(query["days"][0]) * 24, int(now_s) // HOUR_S)
            points = [[(hour * HOUR_S + 150) * 1000 + 7, self.market.price(hour * HOUR_S + 150)] for hour in hours]
            return "history", 200, {"prices": points, "market_caps": [], "total_volumes": []}
        return "", 404, {"message": "NotFound"}

    def _candles(self, query: Mapping[str, list[str]]) -> tuple[int, object]:
        first, last = (int(datetime.fromisoformat(query[end][0]).timestamp()) // HOUR_S for end in ("start", "end"))
        if last - first >= MAX_CANDLES:
            return 400, {"message": "Count of aggregations requested exceeds 300"}
        last = min(last, int(time.time()) // HOUR_S)
        return 200, [[hour * HOUR_S, *self.market.candle(hour), 1.5] for hour in range(last, first - 1, -1)]


Fault = Callable[[_Handler, bytes], None]


def answering(status: int, body: bytes | str, **headers: str) -> Fault:
    """Answers with this instead; `Retry_After="7"` is the header `Retry-After`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, _: handler.answer(status, body.encode() if isinstance(body, str) else body, named)


def truncated(handler: _Handler, body: bytes) -> None:
    """Promises the whole body, sends half of it, and hangs up."""
    handler.answer(200, body[: len(body) // 2], {"Content-Length": str(len(body))})


def reset(handler: _Handler, _: bytes) -> None:
    """Resets the connection in place of an answer."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.rfile.close()


def slow(seconds: float) -> Fault:
    """Answers, but only after a while."""

    def fault(handler: _Handler, body: bytes) -> None:
        if not handler.server.closing.wait(seconds):
            handler.answer(200, body)

    return fault


def trickling(pause_s: float) -> Fault:
    """Answers at once, a byte at a time."""

    def fault(handler: _Handler, body: bytes) -> None:
        handler.answer(200, b"", {"Content-Length": str(len(body))})
        for byte in body:
            if handler.server.closing.wait(pause_s):
                return
            handler.wfile.write(bytes([byte]))

    return fault


def read_candles(path: Path) -> list[Candle]:
    """The candles of a CSV with the columns `open`, `high`, `low` and `close`, oldest first."""
    with path.open(newline="") as file:
        return [Candle(*(float(row[key]) for key in Candle._fields)) for row in csv.DictReader(file)]


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--candles", type=Path)
    options = parser.parse_args()
    server = PriceServer(Market(read_candles(options.candles) if options.candles else ()), options.port)
    print(f"TRACECAST_PRICE_API={server.url}", flush=True)  # noqa: T201 - for whoever runs it by hand
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
