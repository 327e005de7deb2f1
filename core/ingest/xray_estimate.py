"""How many traces a stretch of time has in X-Ray, from a first page here and there in it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from core.ingest.xray_client import XRay
from core.ledger import Stretch
from core.spans import canonical_trace_id

__all__ = ["LOOKS", "Density", "density"]

LOOKS = 24
_LOOK = timedelta(minutes=10)
_GOLDEN = 0.6180339887  # steps of this ratio spread evenly, and over the hours of the day too
_EPOCH = datetime(1970, 1, 1)


class Density(NamedTuple):
    """Traces an hour, on average."""

    found: float
    scanned: float
    billed: int  # traces that the looks themselves scanned


def density(xray: XRay, stretches: Sequence[Stretch]) -> Density:
    """From 24 looks at 10 minutes each, spread over `stretches`; of each only the first page is read.

    The first page holds the newest traces, so that where there are more, it tells how long so many take.
    """
    total = sum((end - start for start, end in stretches), timedelta())
    found = scanned = 0.0
    billed = 0
    for place in range(LOOKS):
        end = _at(stretches, total * ((place * _GOLDEN) % 1))
        page = xray.summaries(end - _LOOK, end, None)
        seconds = _LOOK.total_seconds()
        if page.token and page.summaries:
            oldest = min(int(canonical_trace_id(summary["Id"])[:8], 16) for summary in page.summaries)
            seconds = max(1.0, (end - _EPOCH).total_seconds() - oldest)
        found += len(page.summaries) / seconds * 3600
        scanned += max(page.scanned, len(page.summaries)) / seconds * 3600
        billed += page.scanned
    return Density(found / LOOKS, scanned / LOOKS, billed)


def _at(stretches: Sequence[Stretch], after: timedelta) -> datetime:
    """The moment that lies so far into `stretches`, laid end to end."""
    for start, end in stretches:
        if after <= end - start:
            return (start + after).replace(microsecond=0)
        after -= end - start
    return stretches[-1][1].replace(microsecond=0)
