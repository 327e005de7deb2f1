"""The price history: hourly candles of the last 60 days, as far as the store lacks them."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from core import activity
from core.ingest import prices
from core.store import Price, Store

__all__ = ["HISTORY_DAYS", "Backfill", "missing", "pieces"]

HISTORY_DAYS = 60

_HOUR = timedelta(hours=1)


def missing(known: Iterable[datetime], now: datetime) -> list[datetime]:
    """The complete hours of the `HISTORY_DAYS` before `now` that are not among the `known` ones, ascending."""
    end = now.replace(minute=0, second=0, microsecond=0)
    hours = (end - _HOUR * back for back in range(HISTORY_DAYS * 24, 0, -1))
    have = set(known)
    return [hour for hour in hours if hour not in have]


def pieces(hours: list[datetime]) -> list[tuple[datetime, datetime]]:
    """Ascending `hours` covered by ranges of `MAX_CANDLES` hours at most; both ends of a range are among `hours`."""
    ranges: list[tuple[datetime, datetime]] = []
    for hour in hours:
        if ranges and hour - ranges[-1][0] < _HOUR * prices.MAX_CANDLES:
            ranges[-1] = (ranges[-1][0], hour)
        else:
            ranges.append((hour, hour))
    return ranges


class Backfill:
    """Fetches what is missing of the price history, one request a step, newest first.

    What a step has stored stays; after a restart only the rest is asked for. An hour that nobody traded in has no
    candle and is asked for again at the next start: five requests at most.
    """

    def __init__(self, store: Store, price_api: str | None, now: datetime) -> None:
        known = store.query(
            "SELECT time FROM prices WHERE kind = 'candle' AND time >= ?", [now - _HOUR * (HISTORY_DAYS + 1) * 24]
        )
        self._store = store
        self._price_api = price_api
        self._pieces = pieces(missing(known["time"], now))

    @property
    def done(self) -> bool:
        """Whether everything was asked for that was missing."""
        return not self._pieces

    def step(self) -> None:
        """Ask Coinbase for the newest piece; when that fails, CoinGecko for all that is left.

        Raises `PriceUnavailable` when both fail; the same step can then be tried again later.
        """
        first, last = self._pieces[-1]
        try:
            found = prices.read_candles(self._get(prices.candles_url(first, last)), first, last)
            exchange, left = "coinbase", self._pieces[:-1]
        except prices.PriceUnavailable:
            first = self._pieces[0][0]
            found = prices.read_history(self._get(prices.history_url(HISTORY_DAYS)), first, last)
            exchange, left = "coingecko", []
        closes, left_out = found
        if left_out:
            activity.refuse("prices", "candle_left_out", left_out)
        self._store.append_prices([Price(hour, close, exchange, "candle") for hour, close in closes.items()])
        self._pieces = left

    def _get(self, url: str) -> prices.Answer:
        return prices.get(prices.address(url, self._price_api), direct=self._price_api is not None)
