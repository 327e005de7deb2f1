"""Numbers, times and untrusted text as words: three digits, a unit behind a no-break space, a time in a zone."""

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd

from core.markers import Marker
from core.question import Question, bucket_start, bucket_width, horizon, unit

__all__ = [
    "NBSP",
    "NOTHING",
    "Terms",
    "age",
    "amount",
    "between",
    "chance",
    "clock",
    "count",
    "date",
    "exactly",
    "local",
    "measure_name",
    "measure_noun",
    "offset",
    "per_cent",
    "plain",
    "safe",
    "spread",
    "terms",
    "when",
    "zone",
    "zone_name",
]

NBSP = "\u00a0"
NOTHING = "–"

_JOINER = "\u2060"  # has no width and no meaning; parts what would be read as one word
_FOUND_AFTER_PARSING = re.compile(r":(?=//|[\w+-]+:)|(?i:www)(?=\.)|@(?=[\w-])|(?<!\S)(?:<->|->|<-|--|>=|<=|~=)(?!\S)")
_LARGE = 1e15  # from here on, and for the very small, numbers are said as 1.8e+20
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NOUNS = {"latency_ms": "latency", "duration_ms": "duration", "price_usd": "price"}
_SCALES: dict[str, list[tuple[Decimal, str]]] = {
    unit: [(Decimal(size), name) for size, name in steps]
    for unit, steps in {
        "ms": [("1", "ms"), ("1000", "s"), ("60000", "min")],
        "s": [("0.001", "ms"), ("1", "s"), ("60", "min")],
        "bytes": [("1", "B"), ("1e3", "kB"), ("1e6", "MB"), ("1e9", "GB"), ("1e12", "TB")],
    }.items()
}


@dataclass(frozen=True)
class Terms:
    """What every sentence, chart and table of one page has in common. Datetimes are naive UTC."""

    now: datetime  # what "today" and "ago" are said from
    end: datetime  # up to where traces are counted, and from where the forecast looks ahead; `now` unless set earlier
    zone: ZoneInfo  # times are shown in; days are always UTC's own
    name: str  # of what is measured, `Mean latency`; raw, so `safe()` is due in Markdown
    unit: str  # as `core.question.unit` says it
    threshold: float  # in that unit
    horizon: int  # buckets ahead
    granularity: str
    interval: int  # per cent
    markers: tuple[Marker, ...] = ()  # by start, wherever they are on the time axis

    @property
    def width(self) -> timedelta:
        """Of a bucket."""
        return bucket_width(self.granularity)

    @property
    def until(self) -> datetime:
        """End of the last forecast bucket, exclusive."""
        return bucket_start(self.end, self.granularity) + self.horizon * self.width

    @property
    def shown_zone(self) -> ZoneInfo:
        """The zone of buckets: a day is from midnight to midnight UTC wherever the reader is."""
        return self.zone if self.granularity == "hourly" else ZoneInfo("UTC")


def terms(
    question: Question,
    threshold: float,
    now: datetime,
    end: datetime,
    shown: ZoneInfo,
    markers: tuple[Marker, ...] = (),
) -> Terms:
    """The terms of `question`, asked at `now`; `threshold` and `end` are those in force (`queries` says them)."""
    return Terms(
        now=now,
        end=end,
        zone=shown,
        name=measure_name(question.measure, question.stat, question.granularity),
        unit=unit(question.measure, question.stat),
        threshold=threshold,
        horizon=horizon(question),
        granularity=question.granularity,
        interval=question.interval,
        markers=markers,
    )


def measure_name(measure: str, stat: str, granularity: str) -> str:
    """What is measured, as a chart's title and a sentence begin with it, without the unit. Raw text."""
    per = "hour" if granularity == "hourly" else "day"
    wholes = {"count": f"Requests per {per}", "volume": f"Volume per {per}", "error_rate": "Share failed"}
    statistic = "Mean" if stat == "avg" else stat
    noun = _NOUNS.get(measure)
    return wholes.get(stat) or (f"{statistic} {noun}" if noun else f"{statistic} of {measure}")


def measure_noun(measure: str) -> str:
    """The measure alone: `Latency`, `Duration`, `Price`, or the annotation's own key. Raw text."""
    return _NOUNS[measure].capitalize() if measure in _NOUNS else measure


# Untrusted text


def safe(text: str) -> str:
    """`text` as Markdown that shows just these characters on one line: no link, image, icon, colour, formula or HTML.

    A backslash is enough for what the parser reads. What is found in the text after parsing (addresses, `:shortcodes:`,
    arrows) is parted by a character without width.
    """
    line = " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]", " ", text).split())
    parted = _FOUND_AFTER_PARSING.sub(rf"\g<0>{_JOINER}", line)
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", parted)


def plain(markdown: str) -> str:
    """The characters that a line of our own Markdown (bold words, and what `safe` made) shows."""
    return re.sub(r"\\(.)|\*\*", r"\1", markdown.replace(_JOINER, ""))


# Numbers


def amount(value: float | None, unit: str) -> str:
    """`value` to three digits with its unit: `95.9 ms`, `1.50 s`, `42.6 kB`, `0.8 %`, `74,060 USD`, `25`."""
    number, name = _parts(value, unit)
    return f"{number}{NBSP}{name}" if name else number


def exactly(value: float, unit: str) -> str:
    """`value` with every digit it was typed with: `149.5 ms`, `1,000 ms`, `0.5 %`, `42.613 kB`."""
    number = Decimal(repr(float(value)))
    if unit == "share":
        return f"{_plain(number * 100)}{NBSP}%"
    if unit == "bytes":
        scale, name = _scale(number, unit)
        return f"{_plain(number / scale)}{NBSP}{name}"
    return _plain(number) + (f"{NBSP}{unit}" if unit in ("ms", "s", "USD") else "")


def spread(low: float | None, high: float | None, unit: str) -> str:
    """Two values as one phrase, the unit once where both share it: `65 to 117 ms`, `606 ms to 2.31 s`.

    From 10 on they are whole, unless that makes them the same.
    """
    (left, name), (right, name_too) = _parts(low, unit), _parts(high, unit)
    whole = tuple(re.sub(r"^\d\d\.\d$", lambda found: str(round(float(found[0]))), text) for text in (left, right))
    if name == name_too and name != "%" and whole[0] != whole[1]:
        left, right = whole
    last = f"{right}{NBSP}{name_too}" if name_too else right
    if (left, name) == (right, name_too):
        return last
    return f"{left if name in ('', name_too) else f'{left}{NBSP}{name}'} to {last}"


def per_cent(share: float | None) -> str:
    """A measured share, 0 to 1, as `0.8 %`, `12.3 %`, `100 %`; smaller ones keep one digit: `0.03 %`."""
    if share is None or not math.isfinite(share):
        return NOTHING
    value = 100 * share
    if value and not 1e-6 <= abs(value) < _LARGE:
        return f"{_digits(value)}{NBSP}%"
    digits = 1 if value == 0 or abs(value) >= 0.1 else math.ceil(-math.log10(abs(value)))
    text = f"{value:,.{digits}f}".replace("-", "−")
    return f"{text.rstrip('0').rstrip('.') if value in (0, 100) else text}{NBSP}%"


def chance(probability: float | None) -> str:
    """A chance in whole per cent, never 0 or 100: `73 %`, `under 1 %`, `over 99 %`."""
    if probability is None or math.isnan(probability):
        return NOTHING
    if probability < 0.01:
        return f"under 1{NBSP}%"
    if probability > 0.99:
        return f"over 99{NBSP}%"
    return f"{round(100 * probability)}{NBSP}%"


def count(number: float, noun: str = "", plural: str | None = None) -> str:
    """A whole number with thousands parted, and what is counted: `7,214 traces`, `1 trace`."""
    if not noun:
        return f"{round(number):,}"
    return f"{round(number):,} {noun if round(number) == 1 else plural or noun + 's'}"


def _parts(value: float | None, unit: str) -> tuple[str, str]:
    """Number and unit's name, before they are joined."""
    if value is None or not math.isfinite(value):
        return NOTHING, ""
    if unit == "share":
        return per_cent(value).removesuffix(f"{NBSP}%"), "%"
    if unit == "requests":
        return _digits(round(value), 0), ""
    if unit not in _SCALES:
        digits = 2 if unit == "USD" and abs(value) < 1000 else None
        return _digits(value, digits), unit if unit == "USD" else ""
    if unit == "ms" and 1 <= value < 999.5:  # most of what is shown, and nothing to scale
        return _digits(value), "ms"
    rounded = Decimal(f"{value:.3g}")  # before the unit is chosen, so that 999.7 ms is 1.00 s
    scale, name = _scale(rounded, unit)
    if value == 0:
        return "0", name
    shown = Decimal(repr(float(value))) if abs(value) >= scale else rounded
    return _digits(float(shown / scale), 0 if name == "B" else None), name


def _scale(number: Decimal, unit: str) -> tuple[Decimal, str]:
    """Size and name of the largest step of `unit` that `number` fills; of zero, the unit's own."""
    steps = _SCALES[unit]
    if number == 0:
        return next(step for step in steps if step[0] == 1)
    return next((step for step in reversed(steps) if abs(number) >= step[0]), steps[0])


def _digits(value: float, decimals: int | None = None) -> str:
    """Three digits, more where a whole number has more: `0.194`, `95.9`, `117`, `74,060`."""
    if value and not 1e-6 <= abs(value) < _LARGE:
        return f"{value:.3g}".replace("-", "−")
    if decimals is None:
        size = math.floor(math.log10(abs(float(f"{value:.3g}")))) if value else 2
        decimals = max(0, 2 - size)
    return f"{value:,.{decimals}f}".replace("-", "−")


def _plain(number: Decimal) -> str:
    if number and not Decimal("1e-9") <= abs(number) < Decimal(_LARGE):
        return f"{float(number):g}"
    text = f"{number:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


# Times


def zone(name: str | None) -> ZoneInfo:
    """The zone of that IANA name; UTC for none, or for one that is unknown here."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def zone_name(shown: ZoneInfo, at: datetime | None = None) -> str:
    """How a sentence names the zone: `UTC`, else its city (`Berlin`), else its offset `at` that time."""
    area, slash, city = shown.key.rpartition("/")
    if shown.key in ("UTC", "Etc/UTC", "Etc/UCT", "Etc/Universal", "Etc/Zulu"):
        return "UTC"
    if slash and area != "Etc":
        return city.replace("_", " ")
    return f"UTC{offset(local(at, shown))}" if at is not None else shown.key


def local(time: datetime, shown: ZoneInfo) -> datetime:
    """Naive UTC (datetime or pandas) as an aware datetime in the zone `shown`."""
    moment = time.to_pydatetime(warn=False) if isinstance(time, pd.Timestamp) else time
    aware: datetime = moment.replace(tzinfo=UTC).astimezone(shown)
    return aware


def offset(aware: datetime) -> str:
    """Hours from UTC: `+01`, `−03`, `+05:30`."""
    minutes = round((aware.utcoffset() or timedelta()).total_seconds() / 60)
    hours, rest = divmod(abs(minutes), 60)
    return f"{'−' if minutes < 0 else '+'}{hours:02d}" + (f":{rest:02d}" if rest else "")


def clock(time: datetime, shown: ZoneInfo, seconds: bool = False) -> str:
    """`14:00` in the zone; where the clock is put back, the second of two equal hours says its offset: `02:00 +01`."""
    aware = local(time, shown)
    text = f"{aware.hour:02d}:{aware.minute:02d}" + (f":{aware.second:02d}" if seconds else "")
    return f"{text}{NBSP}{offset(aware)}" if aware.fold else text


def date(time: datetime, shown: ZoneInfo, year: bool = False) -> str:
    """`Thu 26 Nov`, with `year` also that."""
    day = local(time, shown)
    return f"{_DAYS[day.weekday()]} {day.day} {_MONTHS[day.month - 1]}" + (f" {day.year}" if year else "")


def when(time: datetime, terms: Terms, *, granularity: str = "hourly") -> str:
    """`today 14:00`, `tomorrow 09:00`, within a week `Thu 26 Nov 13:00`, else `3 Nov 13:00`; the zone is not named.

    With `granularity="daily"` the UTC day alone: `tomorrow`, `Thu 26 Nov`.
    """
    daily = granularity == "daily"
    shown = ZoneInfo("UTC") if daily else terms.zone
    day = _day(time, terms.now, shown)
    return day if daily else f"{day} {clock(time, shown)}"


def between(start: datetime, end: datetime, terms: Terms, *, granularity: str = "hourly") -> tuple[str, str]:
    """Two times as `when` says them, the second without its day where that is the first's."""
    first, second = (when(time, terms, granularity=granularity) for time in (start, end))
    if granularity == "hourly" and local(start, terms.zone).date() == local(end, terms.zone).date():
        second = clock(end, terms.zone)
    return first, second


def age(time: datetime, terms: Terms) -> str:
    """How long ago: `14 s ago`, `2 min ago`, `3 h ago`; from 6 h on the time itself."""
    seconds = max(0, (terms.now - time).total_seconds())
    if seconds < 60:
        return f"{int(seconds)}{NBSP}s ago"
    if seconds < 3600:
        return f"{int(seconds // 60)}{NBSP}min ago"
    if seconds < 6 * 3600:
        return f"{int(seconds // 3600)}{NBSP}h ago"
    return f"{when(time, terms)} {zone_name(terms.zone, time)}"


def _day(time: datetime, now: datetime, shown: ZoneInfo) -> str:
    day, today = local(time, shown).date(), local(now, shown).date()
    away = (day - today).days
    near = {-1: "yesterday", 0: "today", 1: "tomorrow"}
    if away in near:
        return near[away]
    if abs(away) <= 7:
        return date(time, shown)
    return f"{day.day} {_MONTHS[day.month - 1]}" + (f" {day.year}" if day.year != today.year else "")
