"""What is said of pulling from X-Ray: what lacks, what it takes, how far it is, what stands in the way."""

import math
from datetime import timedelta

from core.lacking import Lack
from core.pulls import Pull
from core.view.text import NBSP, amount, count, per_cent, safe

__all__ = ["dollars", "known_by", "lacks", "nothing_found", "progress", "region_of", "takes", "transaction_search"]

_CENT = 0.01
_UNITS = (("day", timedelta(days=1)), ("hour", timedelta(hours=1)), ("minute", timedelta(minutes=1)))


def region_of(source: str) -> str:
    """`eu-west-1` of `aws:eu-west-1`."""
    return source.removeprefix("aws:")


def lacks(lack: Lack) -> str:
    """`3 of 14 days are not here yet`, `8 hours of 14 days are not here yet`."""
    number, unit = _time(lack.lacks)
    whole, whole_unit = _time(lack.asked)
    verb = "is" if number == 1 else "are"
    if unit == whole_unit:
        return f"{min(number, whole)} of {count(whole, unit)} {verb} not here yet"
    return f"{count(number, unit)} of {count(whole, whole_unit)} {verb} not here yet"


def takes(lack: Lack, most_per_day: int) -> str:
    """About how many traces lack, and what AWS asks for them."""
    if lack.traces is None or lack.most_usd is None:
        return "How many traces that is can be estimated by 24 looks at a few minutes each, for under 0.01 USD."
    said = f"About {count(float(f'{lack.traces:.2g}'), 'trace')}, {_at_most(lack.most_usd)}."
    if lack.traces > most_per_day:
        said += f" A day's limit is {most_per_day:,}, so that it takes several."
    return said


def _at_most(usd: float) -> str:
    if usd <= 0:
        return "at no cost"
    return dollars(usd) if usd <= _CENT else f"at most {dollars(usd)}"


def dollars(usd: float) -> str:
    """Rounded up to the cent: `0.03 USD`, `under 0.01 USD`."""
    if usd <= 0:
        return f"0{NBSP}USD"
    return amount(math.ceil(100 * usd - 1e-9) / 100, "USD") if usd > _CENT else f"under 0.01{NBSP}USD"


def progress(pull: Pull) -> str:
    """How far a pull is."""
    if pull.state == "queued":
        return "It begins in a moment."
    done = f"{pull.slices_done} of {count(pull.slices_total, 'slice')}"
    return f"{done}, {count(pull.traces, 'trace')}, {count(pull.calls, 'call')}, {dollars(pull.cost_usd)}"


def nothing_found(source: str, *, filtered: bool) -> str:
    """All was read, and there was nothing."""
    which = "no traces that TRACECAST_XRAY_FILTER lets through" if filtered else "no traces"
    return f"X-Ray has {which} in this range in {safe(region_of(source))}"


def known_by(share: float | None, annotated_share: float | None, scope: str) -> str:
    """Which share of the records come from summaries; empty where none do.

    `share`: of the records in question; `annotated_share`: of those with annotations.
    """
    if share == 1:
        return "All of these records come from trace summaries."
    if share:
        return f"{per_cent(share)} of these records come from trace summaries, the rest from whole traces."
    if scope == "segments" and annotated_share:
        return f"Of {per_cent(annotated_share)} of the annotated traces only the summary was read: no segments of them."
    return ""


def transaction_search(share: float) -> str:
    """What Transaction Search means for this source, and what to do."""
    return (
        f"Transaction Search is on in this account: X-Ray indexes {per_cent(share)} of the spans and gives no whole "
        "traces, so that counts here are of that share. Send the spans here as well (see Sources), or raise the "
        "share of indexed spans in the settings of CloudWatch."
    )


def _time(length: timedelta) -> tuple[int, str]:
    """In days from two on, in hours from two on, else in minutes."""
    for unit, width in _UNITS:
        number = round(length / width)
        if number >= 2 or unit == "minute":
            return number, unit
    raise AssertionError
