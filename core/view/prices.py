"""The price beside the latency: the history that was fetched, or what the traces say of it where none was."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pandas as pd

from core import queries
from core.question import Question
from core.view import sentences
from core.view.sentences import Sentence
from core.view.series import Answer
from core.view.text import age, safe

__all__ = ["Told", "nothing", "sentence", "told"]

A_DAY = timedelta(hours=24)


@dataclass(frozen=True)
class Told:
    """Prices of the window and the day before it, and of which kind they are."""

    frame: pd.DataFrame  # `time` (naive UTC), `price_usd`, in the window; ordered
    before: float | None  # USD, a day before the last
    flagged: pd.DataFrame  # `timestamp`, `price_usd`, `flag`: records whose price is that of `frame`
    exchange: str | None  # that told the last one; None where the traces did
    table: str  # the CSV that holds them


def told(question: Question, now: datetime) -> Told:
    """The stored price history; without one the hourly mean of what the records say of the price."""
    start, end = queries.window(question, now)
    wider = replace(question, by=None, start=start - A_DAY, end=end)
    frame, exchange, table = queries.price(wider, now), None, "price"
    flagged = queries.flagged(question, now)
    if frame.empty:
        hours = queries.metrics(replace(wider, granularity="hourly"), now)
        frame = hours.rename(columns={"bucket": "time", "price_usd_avg": "price_usd"})[["time", "price_usd"]].dropna()
        table = "hourly"
    else:
        exchange = frame["exchange"].iloc[-1]
        if question.source == "sample":
            flagged = flagged.head(0)  # theirs is another price
    last = frame["time"].max()
    day_before = frame.loc[frame["time"] <= last - A_DAY, "price_usd"]
    return Told(
        frame=frame[frame["time"] >= start],
        before=None if day_before.empty else float(day_before.iloc[-1]),
        flagged=flagged,
        exchange=exchange,
        table=table,
    )


def nothing() -> Sentence:
    """Neither was a price fetched, nor does a trace tell one."""
    return Sentence("No prices yet", "They come with the price pipeline; Sources shows how it is doing.")


def sentence(answer: Answer, prices: Told) -> Sentence:
    """The price, whether the latency follows it, and who says so."""
    last = prices.frame.iloc[-1]
    r = queries.price_correlation(answer.question, prices.frame, answer.now)
    ink = sentences.correlation(r, answer.time.removeprefix("the last "))
    simulated = answer.question.source == "sample"
    if prices.exchange is None:
        grey = "Simulated prices, as the traces tell them." if simulated else "Prices as the traces tell them."
    else:
        grey = f"{safe(prices.exchange.capitalize())}, {age(last['time'], answer.terms)}."
        if simulated:
            grey += " Simulated latency beside real prices."
    return Sentence(sentences.price(float(last["price_usd"]), prices.before), ink, grey)
