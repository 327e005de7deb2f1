"""A stream of JSON, cut into the values that stand in it one after another, without ever holding all of it.

What stands at the top, in a list, or in a list that is a member of an envelope, is a value of its own. After what is no
JSON the stream goes on where a value of the same kind begins: at the next line with the indentation of the broken one.

Most files are values of one indentation, one below another. Of these a `Run` can be cut off unread, to be read alone;
that it was cut where a value begins is found out then.
"""

import functools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from core.errors import MalformedSegment
from core.lenient_json import strict

__all__ = ["ENVELOPE_KEYS", "MAX_VALUE_BYTES", "Broken", "Run", "Splitter", "Value", "no_json"]

MAX_VALUE_BYTES = 64 << 20
_BETWEEN = b" \t\r,"  # what may stand between a value and the end of its line
_LOOK_AHEAD = 4096  # bytes in which an envelope must say what it is
_DEEPEST_INDENT = 64
_RUN_BYTES = 64 << 10  # at least: what is less is read sooner than sent

_STRING = rb'"(?:[^"\\\n]++|\\.)*+"'
_SCALAR = rb"[-+.\w]++"
_string = re.compile(_STRING).match
_scalar = re.compile(_SCALAR).match
_blank = re.compile(rb"[\s,]*+").match
_member = re.compile(rb"(" + _STRING + rb")\s*+:\s*+(" + _STRING + rb"|" + _SCALAR + rb"|[\[{])").match
_ENVELOPES = (b"Traces", b"TraceSummaries", b"TraceSegmentDocuments", b"resourceSpans", b"resource_spans")
ENVELOPE_KEYS = frozenset(name.decode() for name in _ENVELOPES)
_envelope = re.compile(
    rb'\{(?:\s*+"[^"\\\n]*+"\s*+:\s*+(?:"[^"\\\n]*+"|' + _SCALAR + rb"|\[\s*+\])\s*+,)*+"
    rb'\s*+"(?:' + b"|".join(_ENVELOPES) + rb')"\s*+:\s*+\['
).match

_SCALAR_BYTES = frozenset(bytes((byte,)) for byte in b"-0123456789tfn")
_trailing_comma = re.compile(rb",\s*+[}\]]").search
_SMART_QUOTES = ("“".encode(), "”".encode())

_OBJECT = "{}"  # on the stack: inside an envelope, between its members


class Value(NamedTuple):
    """An object or a text, or in a list a number, true, false or null."""

    raw: bytes  # as it stands there
    line: int  # where it begins; the first is 1
    within: str | None  # the member of the envelope that it stands in
    decoded: dict[str, Any] | None = None  # an object that had to be decoded to find its end


class Broken(NamedTuple):
    """What is no value, and where it begins."""

    line: int
    refusal: MalformedSegment  # `not_json`, `smart_quotes`, `trailing_comma`, `cut_short`, `value_too_large`


class Run(NamedTuple):
    """Whole lines, which most likely hold whole values."""

    raw: bytes
    line: int  # of the first; the first of the stream is 1
    indent: bytes  # before the first value in it, and before the one that begins in the line after it
    stack: tuple[str | None, ...]  # what they stand in


class Splitter:
    """Takes a stream in pieces of any size, and gives the values that are complete by then.

    It may begin inside a stream: in `line`, and in the lists of `stack`.
    """

    def __init__(self, line: int = 1, stack: tuple[str | None, ...] = ()) -> None:
        self._buffer = b""
        self._at = self._end = 0  # what is read of the buffer, and up to where it can be judged
        self._line, self._counted = line, 0  # the line in which the byte at `_counted` stands
        self._stack = list(stack)  # of each list the member that it is, and `_OBJECT`
        self._start = self._depth = 0  # of the value that is being read
        self._indent: bytes | None = None  # before it, when it begins a line
        self._within: str | None = None
        self._lost: Callable[..., re.Match[bytes] | None] | None = None  # finds where to go on after what is no JSON
        self._is_last = False
        self._found: list[Value | Broken] = []

    def feed(self, data: bytes) -> list[Value | Broken]:
        """The values that end in `data`."""
        self._buffer += data
        self._end = _judged(self._buffer)
        return self._parts()

    def run(self, data: bytes) -> Run | None:
        """All of the stream up to the last line in `data` that may begin a value like the next one.

        Where there is none the next `feed` gives the values that end in `data`.
        """
        begun = len(self._buffer)
        self._buffer += data
        if self._lost or (self._stack and self._stack[-1] == _OBJECT):
            return None
        start = self._start if self._depth else _after(_blank, self._buffer, self._at, len(self._buffer))
        indent = self._indent_before(start)
        if indent is None or self._buffer[start : start + 1] != b"{":
            return None
        start -= len(indent)
        end = _last_beginning(self._buffer, max(start + _RUN_BYTES, begun - _DEEPEST_INDENT - 2), indent)
        if end < 0:
            return None
        found = Run(self._buffer[start:end], self._line_at(start), indent, tuple(self._stack))
        self._line_at(end)
        self._buffer = self._buffer[end:]
        self._at = self._end = self._depth = self._start = self._counted = 0
        return found

    @property
    def rest(self) -> bytes:
        """What is not read yet."""
        return self._buffer[self._at :]

    @property
    def stack(self) -> tuple[str | None, ...] | None:
        """The lists that the next value stands in; None where it is not known that a value is next."""
        return None if self._depth or self._lost else tuple(self._stack)

    def finish(self) -> list[Value | Broken]:
        """What is left when the stream has ended."""
        self._end, self._is_last = len(self._buffer), True
        found = self._parts()
        if self._depth or (self._at < self._end and not self._lost):
            found.append(self._cut_short(self._start if self._depth else self._at))
        elif self._stack and not self._lost:
            found.append(self._cut_short(self._end))
        return found

    def _parts(self) -> list[Value | Broken]:
        self._found = []
        while self._at < self._end and self._step():
            pass
        done = max(0, (self._start if self._depth else self._at) - _DEEPEST_INDENT)
        self._line_at(max(done, self._counted))
        self._buffer = self._buffer[done:]
        self._at, self._end = self._at - done, self._end - done
        self._start, self._counted = self._start - done, self._counted - done
        return self._found

    def _step(self) -> bool:
        """Whether it came any further: if not, more of the stream is needed."""
        if self._lost:
            return self._find_again(self._lost)
        return self._scan() if self._depth else self._begin()

    def _begin(self) -> bool:
        """Between values: find out what comes next."""
        buffer, end = self._buffer, self._end
        at = self._at = _after(_blank, buffer, self._at, end)
        if at == end:
            return False
        byte = buffer[at : at + 1]
        within = self._stack[-1] if self._stack else None
        if self._stack and byte == (b"}" if within == _OBJECT else b"]"):
            self._stack.pop()
        elif within == _OBJECT:
            return self._take_member()
        elif byte == b"[":
            self._stack.append(None)
        elif byte == b"{":
            return self._begin_object()
        elif byte == b'"':
            return self._take(_string)
        elif self._stack and byte in _SCALAR_BYTES:
            return self._take(_scalar)
        else:
            return self._lose_or_wait()
        self._at += 1
        return True

    def _begin_object(self) -> bool:
        buffer, at = self._buffer, self._at
        self._within = self._stack[-1] if self._stack else None
        if self._take_at_once():
            return True
        if self._end - at < _LOOK_AHEAD and not self._is_last:
            return False
        if _envelope(buffer, at, min(self._end, at + _LOOK_AHEAD)):
            self._stack.append(_OBJECT)
            self._at += 1
            return True
        self._open()
        return True

    def _take_at_once(self) -> bool:
        """Objects, one below another, that end where those of most files do: with their line, or with the next line
        that closes a brace at their indentation. A strict parser says whether they do; that is quicker than to look at
        each bracket. Whether there was any.
        """
        buffer, at, end = self._buffer, self._at, self._end
        indent = self._indent_before(at)
        if indent is None:
            return False
        opening, closing, taken = indent + b"{", b"\n" + indent + b"}", False
        while (line_end := buffer.find(b"\n", at, end)) >= 0:
            raw = buffer[at:line_end].rstrip(_BETWEEN)
            if not raw.endswith(b"}"):
                brace = buffer.find(closing, line_end, end)
                if brace < 0:
                    break
                raw = buffer[at : brace + len(closing)]
                line_end = buffer.find(b"\n", brace + 1, end)
            try:
                decoded = strict(raw)
            except ValueError:
                break
            if not ENVELOPE_KEYS.isdisjoint(decoded):  # to be gone into
                break
            self._found.append(Value(raw, self._line_at(at), self._within, decoded))
            self._at, taken = at + len(raw), True
            below = line_end + 1
            if not (below and buffer.startswith(opening, below, end)) or buffer[self._at : line_end].strip(_BETWEEN):
                break
            at = below + len(indent)
        return taken

    def _open(self) -> None:
        self._indent = self._indent_before(self._at)
        self._start, self._depth, self._at = self._at, 1, self._at + 1

    def _indent_before(self, at: int) -> bytes | None:
        """What stands before the value that begins there, when it begins a line."""
        line = self._buffer.rfind(b"\n", max(0, at - _DEEPEST_INDENT), at) + 1
        before = self._buffer[line:at] if at - line < _DEEPEST_INDENT else b"?"
        return None if before.strip() else before

    def _take_member(self) -> bool:
        """One member of an envelope: a scalar is passed by, a list or an object is gone into."""
        member = _member(self._buffer, self._at, self._end)
        if member is None:
            return self._lose_or_wait()
        if member.end() == self._end and not self._is_last:  # a scalar may go on
            return False
        self._at = member.end() - 1
        if member[2] == b"[":
            self._stack.append(member[1][1:-1].decode("utf-8", "replace"))
        elif member[2] == b"{":
            self._within = member[1][1:-1].decode("utf-8", "replace")
            self._open()
            return True
        self._at += 1
        return True

    def _take(self, match: Callable[..., re.Match[bytes] | None]) -> bool:
        """A text, or a scalar in a list."""
        found = match(self._buffer, self._at, self._end)
        if found is None:
            return self._lose_or_wait()
        if found.end() == self._end and not self._is_last:  # a scalar may go on
            return False
        self._found.append(Value(found[0], self._line_at(self._at), self._stack[-1] if self._stack else None))
        self._at = found.end()
        return True

    def _scan(self) -> bool:
        """Go on to the end of an object."""
        token, *_ = _patterns(self._indent)
        buffer, end, at, depth = self._buffer, self._end, self._at, self._depth
        while found := token(buffer, at, end):
            at = found.end()
            kind = found[1]
            if kind in (b"}", b"]"):
                depth -= 1
                if not depth:
                    self._found.append(Value(buffer[self._start : at], self._line_at(self._start), self._within))
                    self._at, self._depth = at, 0
                    return True
            elif kind in (b"{", b"["):
                depth += 1
            elif kind == b"\n":  # where another value begins
                self._refuse(self._start, at)
                self._at, self._depth = at, 0
                return True
            elif kind == b'"' and (self._is_last or buffer.find(b"\n", at, end) >= 0):
                return self._lose(self._start, self._indent)
            else:  # the end of what is here
                at = found.start(1)
                break
        self._at, self._depth = at, depth
        if at - self._start > MAX_VALUE_BYTES:
            sentence = f"One value has more than {MAX_VALUE_BYTES >> 20} MiB: it was passed over."
            self._found.append(Broken(self._line_at(self._start), MalformedSegment("value_too_large", sentence)))
            self._depth, self._lost = 0, _patterns(self._indent)[1]
            return True
        return False

    def _lose_or_wait(self) -> bool:
        if (
            not self._is_last
            and self._buffer.find(b"\n", self._at, self._end) < 0
            and (self._end - self._at < MAX_VALUE_BYTES)
        ):
            return False
        return self._lose(self._at, None)

    def _lose(self, start: int, indent: bytes | None) -> bool:
        """What begins at `start` is no JSON; look for where to go on."""
        line_end = self._buffer.find(b"\n", self._at, self._end)
        self._refuse(start, line_end if line_end >= 0 else self._end)
        self._depth, self._lost = 0, _patterns(indent)[1]
        return True

    def _find_again(self, search: Callable[..., re.Match[bytes] | None]) -> bool:
        found = search(self._buffer, self._at, self._end)
        self._at = found.start() + 1 if found else self._end
        self._lost = None if found else self._lost
        return found is not None

    def _refuse(self, start: int, end: int) -> None:
        self._found.append(Broken(self._line_at(start), no_json(self._buffer[start:end])))

    def _cut_short(self, start: int) -> Broken:
        sentence = "The file ends before its last value is complete: it was cut short."
        return Broken(self._line_at(start), MalformedSegment("cut_short", sentence))

    def _line_at(self, at: int) -> int:
        self._line += self._buffer.count(b"\n", self._counted, at)
        self._counted = at
        return self._line


def no_json(raw: bytes) -> MalformedSegment:
    """Why `raw` is no JSON: `smart_quotes`, `trailing_comma` or `not_json`."""
    if any(quote in raw for quote in _SMART_QUOTES):
        return MalformedSegment("smart_quotes", 'There are typographic quotes (“ ”) where JSON needs plain ones (").')
    if _trailing_comma(raw):
        return MalformedSegment(
            "trailing_comma", "There is a comma before a closing bracket, which JSON does not allow."
        )
    return MalformedSegment("not_json", "This is no JSON.")


def _after(blank: Callable[..., re.Match[bytes] | None], buffer: bytes, at: int, end: int) -> int:
    found = blank(buffer, at, end)
    return found.end() if found else at


def _last_beginning(buffer: bytes, first: int, indent: bytes) -> int:
    """Where the last line after `first` begins that may begin a value behind `indent`; -1 if there is none."""
    opening, anew = b"\n" + indent + b"{", _patterns(indent)[2]
    at = len(buffer)
    while (at := buffer.rfind(opening, first, at)) >= 0:
        if anew(buffer, at):
            return at + 1
    return -1


def _judged(buffer: bytes) -> int:
    """Up to where `buffer` can be judged: a line is not before it is known how far it is indented."""
    newline = buffer.rfind(b"\n", max(0, len(buffer) - _DEEPEST_INDENT - 2))
    return newline if newline >= 0 and not buffer[newline:].strip(b" \t\r\n{") else len(buffer)


@functools.lru_cache(maxsize=64)
def _patterns(indent: bytes | None) -> tuple[Callable[..., re.Match[bytes] | None], ...]:
    """What finds the next bracket that counts in a value which stands behind `indent`; what finds the next value, and
    what tells whether it is one.

    The first passes by three levels of brackets in one go, and stops where a line begins as the value's own did:
    there a new one begins, and this one lacks its end. Not indented, the brace must not be alone in its line, for
    some write whole documents without indentation.
    """
    anew = rb"" if indent is None else re.escape(indent) + (rb"\{" if indent else rb"\{[ \t]*+[^ \t\r\n}]")
    inside = rb'[^"{}\[\]\n]++|' + _STRING + (rb"|\n" if indent is None else rb"|\n(?!" + anew + rb")")
    level = rb"(?:" + inside + rb")*+"
    for _ in range(3):
        level = rb"(?:" + inside + rb"|[{\[]" + level + rb"[}\]])*+"
    beginning = re.compile(rb"\n(?=" + anew + rb")")
    return re.compile(level + rb'([{}\[\]\n"]|\Z)').match, beginning.search, beginning.match
