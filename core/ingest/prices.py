"""The public price APIs: what to ask them, and which of their answers to believe."""

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import orjson
import requests
import urllib3

from core.errors import SourceUnavailable

__all__ = [
    "APIS",
    "MAX_CANDLES",
    "Answer",
    "Api",
    "PriceUnavailable",
    "Quote",
    "address",
    "candles_url",
    "get",
    "history_url",
    "read_candles",
    "read_history",
]

MAX_CANDLES = 300  # Coinbase Exchange refuses a request for more with 400
MAX_BODY_BYTES = 1024 * 1024  # the longest honest answer, 60 days of CoinGecko's history, has about 150 kB
CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 3.0
MOST_USD = 1e12  # more than all money there is: no price of one bitcoin
DEADLINE_S = 6.0  # for a whole answer, however slowly its pieces come
MAX_RETRY_AFTER_S = 3600.0
MAX_AGE = timedelta(minutes=15)  # of a last trade: on these pairs one happens every second
MAX_AHEAD = timedelta(minutes=1)  # what two honest clocks may differ

_HEADERS = {"User-Agent": "tracecast", "Accept": "application/json", "Accept-Encoding": "identity"}


class PriceUnavailable(SourceUnavailable):
    """A price API gave no price that can be believed; it asked to be left alone for `retry_after_s`."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Answer(NamedTuple):
    """An HTTP answer, read whole; any status."""

    status: int
    body: bytes
    retry_after_s: float = 0.0  # what `Retry-After` asks for, an hour at most


class Quote(NamedTuple):
    """What one bitcoin cost, and when (naive UTC)."""

    price_usd: float
    time: datetime


class Api(NamedTuple):
    """One price API: its name, its ticker, and how a ticker's body is read."""

    name: str
    url: str
    read: Callable[[bytes, datetime], Quote]

    def quote(self, answer: Answer, now: datetime, *, recorded: bool = False) -> Quote:
        """The quote in an answer of this API; raises `PriceUnavailable` with what is wrong with the answer.

        A time of long ago would show yesterday's price as today's, one that is ahead would hide all that come until
        then: both are refused. `recorded`: a stand-in plays answers of another day, whose prices are taken as of `now`.
        """
        quote = self.read(_ok(answer), now)
        if recorded and not now - MAX_AGE <= quote.time <= now:
            return quote._replace(time=now)
        if quote.time < now - MAX_AGE:
            raise PriceUnavailable(f"The price is an old one, of {quote.time:%Y-%m-%d %H:%M} UTC.")
        if quote.time > now + MAX_AHEAD:
            raise PriceUnavailable(f"The price is of {quote.time:%Y-%m-%d %H:%M} UTC, which is still to come.")
        return quote._replace(time=min(quote.time, now))


def address(url: str, price_api: str | None) -> str:
    """`url` with scheme and host of `price_api` in place of its own, where that is set."""
    if price_api is None:
        return url
    parts = urlsplit(url)
    return price_api + url.removeprefix(f"{parts.scheme}://{parts.netloc}")


def get(url: str, *, direct: bool = False) -> Answer:
    """Ask once, without following redirects; `direct` passes by the proxies that the environment names.

    Raises `PriceUnavailable` when there is no answer, not within the time limits, or not within `MAX_BODY_BYTES`.
    """
    deadline = time.monotonic() + DEADLINE_S
    body = bytearray()
    try:
        with requests.Session() as session:
            session.trust_env = not direct
            with session.get(
                url, headers=_HEADERS, timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S), stream=True, allow_redirects=False
            ) as response:
                # read1 returns with each piece that comes, so that the deadline holds for an answer that trickles.
                while piece := response.raw.read1(64 * 1024):
                    body += piece
                    if len(body) > MAX_BODY_BYTES:
                        raise PriceUnavailable(f"The answer is longer than {MAX_BODY_BYTES:,} bytes.")
                    if time.monotonic() > deadline:
                        raise PriceUnavailable(f"The answer took longer than {DEADLINE_S:g} seconds.")
                return Answer(
                    response.status_code, bytes(body), _retry_after_s(response.headers.get("Retry-After", ""))
                )
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise PriceUnavailable(_cause(error)) from error


def candles_url(first: datetime, last: datetime) -> str:
    """Coinbase's hourly candles from the hour `first` to the hour `last`, both included (naive UTC)."""
    query = urlencode({"granularity": 3600, "start": f"{first.isoformat()}Z", "end": f"{last.isoformat()}Z"})
    return f"https://api.exchange.coinbase.com/products/BTC-USD/candles?{query}"


def history_url(days: int) -> str:
    """CoinGecko's price history; for 2 to 90 days it is hourly."""
    return f"https://api.coingecko.com/api/v3/coins/bitcoin/market_chart?vs_currency=usd&days={days}"


def read_candles(answer: Answer, first: datetime, last: datetime) -> tuple[dict[datetime, float], int]:
    """Closing prices by hour (naive UTC), and how many rows were left out.

    `[time_s, low, high, open, close, volume]` a row, in any order; hours without a trade are absent. A row of another
    shape, outside `first` to `last` (both included), off the hour, or with an impossible price is left out.
    """
    rows = _json(_ok(answer))
    if not isinstance(rows, list):
        raise PriceUnavailable("The candles are not a list.")
    prices: dict[datetime, float] = {}
    for row in rows:
        try:
            hour, close = _utc(row[0]), _price(row[4])
        except (PriceUnavailable, LookupError, TypeError):
            continue
        if first <= hour <= last and hour == _floor(hour):
            prices.setdefault(hour, close)
    return prices, len(rows) - len(prices)


def read_history(answer: Answer, first: datetime, last: datetime) -> tuple[dict[datetime, float], int]:
    """As `read_candles`, from CoinGecko's `[time_ms, price]` points: the last point of an hour is its closing price.

    CoinGecko can't be asked for a range of hours, so that points outside of it are no fault and not counted.
    """
    document = _json(_ok(answer))
    points = document.get("prices") if isinstance(document, dict) else None
    if not isinstance(points, list):
        raise PriceUnavailable("The history has no list of prices.")
    latest: dict[datetime, Quote] = {}
    left_out = 0
    for point in points:
        try:
            quote = Quote(_price(point[1]), _utc(point[0] / 1000))
        except (PriceUnavailable, LookupError, TypeError):
            left_out += 1
            continue
        hour = _floor(quote.time)
        if first <= hour <= last and (hour not in latest or latest[hour].time <= quote.time):
            latest[hour] = quote
    return {hour: quote.price_usd for hour, quote in latest.items()}, left_out


def _read_coinbase(body: bytes, now: datetime) -> Quote:
    ticker = _object(_json(body))
    return _quote(ticker.get("price"), ticker.get("time"), now)


def _read_kraken(body: bytes, now: datetime) -> Quote:
    document = _object(_json(body))
    if errors := document.get("error"):  # Kraken says what went wrong with HTTP 200
        first = errors[0] if isinstance(errors, list) else errors
        raise PriceUnavailable(f"The answer is the error {str(first)[:100]!r}.")
    pair = next(iter(_object(document.get("result")).values()), None)
    last_trade = _object(pair).get("c")
    return _quote(last_trade[0] if isinstance(last_trade, list) and last_trade else None, None, now)


def _read_coingecko(body: bytes, now: datetime) -> Quote:
    price = _object(_object(_json(body)).get("bitcoin"))
    return _quote(price.get("usd"), price.get("last_updated_at"), now)


APIS = (
    Api("coinbase", "https://api.exchange.coinbase.com/products/BTC-USD/ticker", _read_coinbase),
    Api("kraken", "https://api.kraken.com/0/public/Ticker?pair=XBTUSD", _read_kraken),
    Api(
        "coingecko",
        "https://api.coingecko.com/api/v3/simple/price?ids=bitcoin&vs_currencies=usd&include_last_updated_at=true",
        _read_coingecko,
    ),
)


def _quote(price: object, moment: object, now: datetime) -> Quote:
    """A price and its time, each checked by itself; a price without a time is one of `now`."""
    return Quote(_price(price), now if moment is None else _utc(moment))


def _ok(answer: Answer) -> bytes:
    if answer.status != 200:
        known = answer.status in HTTPStatus._value2member_map_
        phrase = f" {HTTPStatus(answer.status).phrase}" if known else ""
        raise PriceUnavailable(f"The answer is {answer.status}{phrase}.", answer.retry_after_s)
    return answer.body


def _json(body: bytes) -> object:
    if not body.strip():
        raise PriceUnavailable("The answer is empty.")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise PriceUnavailable(f"The answer is no JSON: it begins with {body[:40]!r}.") from None


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PriceUnavailable("The answer lacks the price.")
    return value


def _price(value: object) -> float:
    """A price as number or text; `PriceUnavailable` for anything that can't be one."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            price = float(value)
        except (ValueError, OverflowError):
            price = math.nan
        if 0 < price < MOST_USD:
            return price
    raise PriceUnavailable(f"{str(value)[:40]!r} is no price.")


def _utc(moment: object) -> datetime:
    """Naive UTC from epoch seconds or from ISO 8601 text (without a zone it is UTC)."""
    try:
        if isinstance(moment, str):
            at = datetime.fromisoformat(moment)
            return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at
        if isinstance(moment, int | float) and not isinstance(moment, bool):
            return datetime.fromtimestamp(moment, UTC).replace(tzinfo=None)
    except (ValueError, OverflowError, OSError):
        pass  # the same refusal as for a value of another type
    raise PriceUnavailable(f"{str(moment)[:40]!r} is no time.")


def _floor(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _retry_after_s(text: str) -> float:
    """Seconds from a `Retry-After` header, which is a number of seconds or a date; 0 when it is neither."""
    try:
        wait_s = float(text) if text.strip().isdigit() else parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(wait_s, 0.0), MAX_RETRY_AFTER_S)


def _cause(error: BaseException) -> str:
    """One sentence for a failure on the way; the libraries' own texts are wrapped four deep around the reason."""
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError | TimeoutError):
        return "There was no answer in time."
    chain: list[BaseException] = []
    while error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__ or error
    reason = next((e.strerror for e in reversed(chain) if isinstance(e, OSError) and e.strerror), None)
    if reason is None and isinstance(chain[0], urllib3.exceptions.ProtocolError):
        return "The answer was cut short."
    return f"There was no answer: {reason or type(chain[0]).__name__}."
