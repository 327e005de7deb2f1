"""The values of a run of lines that was cut off a stream of JSON, read without the rest of the stream."""

from collections.abc import Sequence

from core.ingest.json_stream import ENVELOPE_KEYS, Broken, Run, Splitter, Value
from core.lenient_json import strict_for

__all__ = ["parts"]

_BETWEEN = b" \t\r\n,"  # what may stand between two values


def parts(run: Run) -> Sequence[Value | Broken] | None:
    """The values of a run; None when it ends within one, so that only the stream as a whole can be read."""
    if values := _plain_values(run):
        return values
    splitter, beginning = Splitter(run.line, run.stack), b'{"'
    found = splitter.feed(run.raw + run.indent + beginning)
    return found if (splitter.stack, splitter.rest) == (run.stack, beginning) else None


def _plain_values(run: Run) -> list[Value] | None:
    """The values of a run where each begins a line as the first does, as in most files; None where one does not.

    A strict parser says so: what it reads from such a line to the next is a value, whatever is in it.
    """
    opening = run.indent + b"{"
    loads = strict_for(run.raw)
    within = run.stack[-1] if run.stack else None
    values, line = [], run.line
    for lines in run.raw.removeprefix(opening).split(b"\n" + opening):
        raw = b"{" + lines.rstrip(_BETWEEN)
        try:
            decoded = loads(raw)
        except ValueError:
            return None
        if not ENVELOPE_KEYS.isdisjoint(decoded):  # to be gone into
            return None
        values.append(Value(raw, line, within, decoded))
        line += lines.count(b"\n") + 1
    return values
