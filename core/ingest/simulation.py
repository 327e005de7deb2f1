"""The simulated price service: what each of its requests cost, hour by hour, as a pure function of the hour.

Hours are counted from an anchor, and so are the simulated day and week: whenever the anchor is, the story is the same.
Before it come two incidents, a gap, a deployment that shifts the level, and for two days a drift; after it the hourly
mean latency crosses 150 ms for hours, and a roll-back ends the drift, which then comes again every third week.
"""

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["APIS", "FLAGS", "HISTORY_HOURS", "Bits", "Floats", "Ints", "Requests", "requests"]

HISTORY_HOURS = 60 * 24
APIS = ("coinbase", "kraken", "coingecko")
FLAGS = ("low", "average", "high", "extreme")

_REQUESTS_AN_HOUR = 20
_BASE_MS = 100.0
_PEAK_HOUR = 8  # the busiest of each day
_WEEKEND = (3, 4)  # days after the anchor's, modulo 7
_GAP = range(-26 * 24 + 3, -26 * 24 + 8)
_INCIDENTS = ((range(-38 * 24, -38 * 24 + 5), 1.9), (range(-9 * 24 + 6, -9 * 24 + 12), 1.6))  # hours, slower by
_DEPLOYMENT, _DEPLOYED = -17 * 24, 1.1
_DRIFT, _DRIFT_MIDDLE, _DRIFT_PACE = 0.34, -10, 12  # an S-curve: height as a logarithm, its middle, hours
_ROLL_BACK, _DRIFT_AGAIN = 30, 21 * 24
_HOUR_NOISE = 0.035  # between hours, of which the standard deviation is 0.61
_TAIL = 0.15  # scale of the log-logistic noise within an hour; its logarithm's standard deviation is 0.27

_API_SHARES = np.array([0.7, 0.2, 0.1])
_API_SLOWER = np.array([0.94, 1.08, 1.26])  # 1 on average
_API_BYTES = np.array([1_400, 2_300, 700])
_FLAG_SLOWER = np.array([0.98, 1.0, 1.02, 1.1])
_FAILED_SLOWER = 1.4

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Requests:
    """One element a request, in order of time."""

    hour: Ints  # counted from the anchor
    index: Ints  # of the request within its hour, in no order
    second: Floats  # of the hour
    processing_ms: Floats
    price_usd: Floats
    flag: Ints  # in `FLAGS`
    api: Ints  # in `APIS`
    failed: npt.NDArray[np.bool_]
    volume_bytes: Floats

    def bits(self, draw: str) -> Bits:
        """64 pseudo-random bits a request, always the same for the same draw."""
        return _bits(self.hour, self.index, draw)

    def uniform(self, draw: str) -> Floats:
        """The same as numbers between 0 and 1, both excluded."""
        return _uniform(self.hour, self.index, draw)


def requests(first: int, last: int) -> Requests:
    """All requests of the hours `[first, last)`."""
    hours = np.arange(first, last)
    counts = _counts(hours)
    hour = np.repeat(hours, counts)
    index = np.arange(len(hour)) - np.repeat(np.cumsum(counts) - counts, counts)
    second = _uniform(hour, index, "second") * 3590  # the last span of a request still begins within its hour
    order = np.lexsort((second, hour))
    hour, index, second = hour[order], index[order], second[order]

    # Spread evenly over each hour: of twenty free draws the mean would wander by as much as the drift of a day.
    rank = (index + _uniform(hour, index, "latency")) / np.repeat(counts, counts)
    noise = (rank / (1 - rank)) ** _TAIL * np.sin(np.pi * _TAIL) / (np.pi * _TAIL)  # log-logistic, 1 on average
    turn = (index * 0.6180339887 + _uniform(hour, 0, "api")) % 1  # golden ratio: even, and not in step with the rank
    api = np.searchsorted(np.cumsum(_API_SHARES)[:-1], turn, side="right")

    move = _price_move(hour + second / 3600) + 0.004 * (_uniform(hour, index, "price") - 0.5)
    flag = np.select([np.abs(move) > 0.06, move < -0.025, move > 0.025], [3, 0, 2], default=1)
    failed = _uniform(hour, index, "failed") < _failing(hour)
    slower = _API_SLOWER[api] * _FLAG_SLOWER[flag] * np.where(failed, _FAILED_SLOWER, 1.0)
    return Requests(
        hour=hour,
        index=index,
        second=second,
        processing_ms=_level_ms(hour) * slower * noise,
        price_usd=np.round(61_000 * np.exp(move), 2),
        flag=flag,
        api=api,
        failed=failed,
        volume_bytes=np.floor(_API_BYTES[api] * (0.8 + 0.4 * _uniform(hour, index, "volume"))),
    )


def _bits(hour: Ints, index: Ints | int, draw: str) -> Bits:
    """64 pseudo-random bits each, a function of its hour, its index within the hour, and the name of the draw.

    They depend on nothing that was drawn before, so that an hour comes out the same alone and among others. The mixing
    is that of SplitMix64 (Steele, Lea & Flood 2014).
    """
    with np.errstate(over="ignore"):
        state = hour.astype(np.uint64) << np.uint64(32) | np.asarray(index).astype(np.uint64)
        for word in (zlib.crc32(draw.encode()), 0x9E3779B97F4A7C15):
            state = state + np.uint64(word)
            state = (state ^ state >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ state >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
            state = state ^ state >> np.uint64(31)
    return state


def _uniform(hour: Ints, index: Ints | int, draw: str) -> Floats:
    """`_bits` as numbers between 0 and 1, both excluded."""
    return ((_bits(hour, index, draw) >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53


def _level_ms(hour: Ints) -> Floats:
    """The mean latency that an hour has apart from failures and flags."""
    day = np.cos((hour - _PEAK_HOUR) / 24 * 2 * np.pi)
    level = _BASE_MS * (1 + 0.17 * day + 0.05 * day**2) * np.where(_is_weekend(hour), 0.92, 1.0)
    level = level * np.where(hour >= _DEPLOYMENT, _DEPLOYED, 1.0)
    for hours, slower in _INCIDENTS:
        level = level * np.where(np.isin(hour, hours), slower, 1.0)
    drift_hour = (hour - _ROLL_BACK) % _DRIFT_AGAIN + _ROLL_BACK - _DRIFT_AGAIN  # ends with the roll-back
    drift = _DRIFT / (1 + np.exp((_DRIFT_MIDDLE - drift_hour) / _DRIFT_PACE))
    level = level * np.exp(np.where(hour >= _ROLL_BACK - _DRIFT_AGAIN, drift, 0.0))
    skewed = (-np.log(_uniform(hour, 0, "level"))) ** (1 / 1.5)  # Weibull: quiet hours are alike, slow ones are not
    return level * (1 + _HOUR_NOISE * (skewed - 0.9027))


def _counts(hour: Ints) -> Ints:
    day = np.cos((hour - _PEAK_HOUR) / 24 * 2 * np.pi)
    busy = _REQUESTS_AN_HOUR * (1.06 + 0.45 * day) * np.where(_is_weekend(hour), 0.75, 1.0)
    counts = np.round(busy * (0.85 + 0.3 * _uniform(hour, 0, "count"))).astype(np.int64)
    return np.where(np.isin(hour, _GAP), 0, counts)


def _failing(hour: Ints) -> Floats:
    """The share of requests that fails: little, more in a few bad hours, much in incidents."""
    share = np.where(_uniform(hour, 0, "bad hour") < 0.03, 0.12, 0.012)
    for hours, _ in _INCIDENTS:
        share = np.where(np.isin(hour, hours), 0.3, share)
    return share


def _price_move(hour: Floats) -> Floats:
    """The logarithm of the price, apart from its mean: three waves that never meet again."""
    waves = ((0.05, 16.7 * 24, 0.9), (0.02, 5.3 * 24, 2.0), (0.006, 31.0, 0.0))  # height, length in hours, phase
    move = np.zeros(len(hour))
    for height, length, phase in waves:
        move += height * np.sin(2 * np.pi * hour / length + phase)
    return move


def _is_weekend(hour: Ints) -> npt.NDArray[np.bool_]:
    return np.isin((hour - _PEAK_HOUR + 12) // 24 % 7, _WEEKEND)  # a day lasts from trough to trough
