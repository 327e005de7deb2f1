"""The sources `file:<name>`: a file's bytes as they come in, unpacked, cut into values, read and stored bit by bit.

Nothing holds the whole file: of one of 1 GiB a few MiB are in memory at any time. Where a file is values of one
indentation, one below another, runs of them are read by the processes of the pool; the rest is read here.
"""

import codecs
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import Any, BinaryIO, NamedTuple, Self
from uuid import uuid4

import pyarrow as pa

from core import activity
from core.errors import MalformedSegment, TracecastError
from core.ingest import file_formats
from core.ingest.batches import PATIENCE, Batch, Refusal, Submit, batches, outcome
from core.ingest.json_runs import parts
from core.ingest.json_stream import Broken, Run, Splitter, Value
from core.spans import Span
from core.store import Appended, Store

__all__ = ["PIECE_BYTES", "Import", "Refused", "Report", "load"]

PIECE_BYTES = 1 << 20
_BATCH, _BATCH_BYTES = 10_000, 8 << 20  # spans a commit, and their bytes
_RUNS = 4  # at a time: one for each process, and one more that waits for it

_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # PowerShell writes what a command prints so


class Refused(NamedTuple):
    """How often a reason was met, the line of the file where it was first, and a sentence."""

    n: int
    first_line: int
    message: str


class Report(NamedTuple):
    """What became of a file, so far."""

    id: str
    name: str
    state: str  # "running", "done", or "failed": then it was not read to its end, or there was nothing in it
    bytes: int  # read, after decompression
    stored: int  # spans
    duplicates: int  # spans that were stored before, as they are
    rejected: dict[str, Refused]  # by reason
    altered: dict[str, int]  # by reason: values that were left out or mended while their document was kept
    error: str | None  # why it failed

    def as_json(self) -> dict[str, Any]:
        """For an answer over HTTP."""
        return {**self._asdict(), "rejected": {reason: told._asdict() for reason, told in self.rejected.items()}}


class Import:
    """One file on its way into the store: `feed` it, then `finish` it. Used by one thread at a time.

    `feed` and `finish` raise `StoreError`. Whatever is wrong with the file stands in the report; where that forbids to
    read on, `failed` is true from then on, and what was read before is stored.
    """

    def __init__(self, name: str, now: datetime, store: Store, max_bytes: int, submit: Submit) -> None:
        self._id, self._name, self._source = uuid4().hex[:12], name, f"file:{name}"
        self._now, self._store, self._max_bytes, self._submit = now, store, max_bytes, submit
        self._unpack: Any = None
        self._decoder: codecs.IncrementalDecoder | None = None
        self._head: bytes | None = b""  # None once it is known what the file is
        self._bytes = self._stored = self._duplicates = 0
        self._splitter = Splitter()
        self._runs: deque[tuple[Run, Future[list[Batch] | None]]] = deque()  # that are being read
        self._spans: list[pa.Table] = []  # to be stored next
        self._rejected: dict[str, Refused] = {}
        self._altered: Counter[str] = Counter()
        self._error: str | None = None
        self._state = "running"
        self._storing: Future[Appended] | None = None  # the batch before, stored while the next one is read
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=self._source)
        self._tell()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: object) -> None:
        if error is not None:
            known = isinstance(error, TracecastError)
            self._fail(str(error) if known else "The file did not arrive completely: send it again.")
        self._thread.shutdown(wait=False)

    @property
    def failed(self) -> bool:
        """Whether nothing more is read of it."""
        return self._error is not None

    def feed(self, piece: bytes) -> None:
        """The next bytes of the file."""
        try:
            if not self.failed:
                self._read(piece)
        except MalformedSegment as fault:
            self._refuse(Refusal(fault.reason, str(fault), 1))
            self._fail(str(fault))
        self._tell()

    def finish(self) -> Report:
        """The file has ended: what became of it. What is stored is durable."""
        try:
            if not self.failed:
                self._end()
        except MalformedSegment as fault:
            self._refuse(Refusal(fault.reason, str(fault), 1))
            self._fail(str(fault))
        if self.failed:  # what came before stays
            self._read_here(lambda: self._splitter.feed(b""))
        self._flush()
        self._settle()
        if not (self.failed or self._stored or self._duplicates):
            self._fail(self._nothing())
        self._state = "failed" if self.failed else "done"
        self._tell()
        return self.report()

    def report(self) -> Report:
        """What became of the file so far."""
        return Report(
            self._id,
            self._name,
            self._state,
            self._bytes,
            self._stored,
            self._duplicates,
            dict(self._rejected),
            dict(self._altered),
            self._error,
        )

    def _read(self, piece: bytes) -> None:
        if self._head is not None:
            self._head += piece
            if len(self._head) < len(_ZIP):
                return
            piece, self._head = self._head, None
            self._recognise(piece)
        for part in self._unpacked(piece):
            self._take(part)

    def _end(self) -> None:
        if self._head is not None:
            piece, self._head = self._head, None
            if not piece:
                raise MalformedSegment("empty", "The file is empty.")
            self._take(piece)
        if self._unpack is not None:
            self._take(self._unpack.flush())
        self._read_here(lambda: self._splitter.finish())  # of the one that there is by then
        if self._unpack is not None and not self._unpack.eof:
            raise MalformedSegment("gzip_cut_short", "The gzip file is cut short: what could be unpacked was read.")

    def _recognise(self, head: bytes) -> None:
        if head.startswith(_ZIP):
            raise MalformedSegment("zip", "The file is a zip: unpack it, and send what is in it.")
        if head.startswith(_GZIP):
            self._unpack = zlib.decompressobj(wbits=31)

    def _unpacked(self, piece: bytes) -> Iterator[bytes]:
        """In parts of at most `PIECE_BYTES`, however much is packed into a few bytes."""
        if self._unpack is None:
            yield piece
            return
        try:
            while piece:
                if self._unpack.eof:
                    if not piece.startswith(_GZIP[: len(piece)]):
                        return  # padding behind the end
                    self._unpack = zlib.decompressobj(wbits=31)
                yield self._unpack.decompress(piece, PIECE_BYTES)
                piece = self._unpack.unconsumed_tail or self._unpack.unused_data
        except zlib.error:
            raise MalformedSegment("bad_gzip", "The gzip file is damaged: what came before was read.") from None

    def _take(self, part: bytes) -> None:
        is_first = not self._bytes
        self._bytes += len(part)
        if self._bytes > self._max_bytes:
            raise MalformedSegment(
                "file_too_large", f"The file has more than {_size(self._max_bytes)}: the rest is not read."
            )
        if is_first:
            part = self._text(part)
        if self._decoder:
            part = self._decoder.decode(part).encode()
        if len(self._runs) >= _RUNS:  # before another is cut off, which would be missing where this one goes back
            self._take_run()
        if run := self._splitter.run(part):
            self._runs.append((run, self._submit(_read_run, run, self._source, self._now, patience=PATIENCE)))
        else:
            self._read_here(lambda: self._splitter.feed(b""))

    def _text(self, beginning: bytes) -> bytes:
        """The first bytes without a mark that says how the text is encoded."""
        if beginning.startswith(_UTF_16):
            self._decoder = codecs.getincrementaldecoder("utf-16")(errors="replace")
        elif b"\0" in beginning:
            raise MalformedSegment("not_text", "The file is no text: expected JSON, or JSON packed with gzip.")
        return beginning.removeprefix(codecs.BOM_UTF8)

    def _take_run(self) -> None:
        """Take in what was read of the oldest run."""
        run, reading = self._runs.popleft()
        if (read := outcome(reading, _read_run, run, self._source, self._now)) is None:
            self._go_back(run)
        else:
            self._add(read)

    def _go_back(self, run: Run) -> None:
        """Read `run`, which ends within a value, with all that was cut off after it."""
        later = [run.raw for run, reading in self._runs]
        self._runs.clear()
        rest = b"".join([run.raw, *later, self._splitter.rest])
        self._splitter = Splitter(run.line, run.stack)
        self._add(_read(self._splitter.feed(rest), self._source, self._now))

    def _read_here(self, found: Callable[[], list[Value | Broken]]) -> None:
        """Take in what is found, after what was found before."""
        while self._runs:
            self._take_run()
        self._add(_read(found(), self._source, self._now))

    def _add(self, read: Iterable[Batch]) -> None:
        for batch in read:
            for refusal in batch.refused:
                self._refuse(refusal)
            for reason, n in batch.noted.items():
                self._altered[reason] += n
                activity.alter(self._source, reason, n)
            self._spans.append(batch.spans)
            if sum(map(len, self._spans)) >= _BATCH or sum(table.nbytes for table in self._spans) >= _BATCH_BYTES:
                self._flush()

    def _flush(self) -> None:
        """Have the spans stored, as soon as those before are."""
        self._settle()
        if self._spans:
            self._storing = self._thread.submit(self._store.append, pa.concat_tables(self._spans))
        self._spans = []

    def _settle(self) -> None:
        storing, self._storing = self._storing, None
        if storing is None:
            return
        appended = storing.result()
        self._stored += appended.stored + appended.replaced
        self._duplicates += appended.duplicates
        activity.count(self._source, "received", sum(appended))
        activity.count(self._source, "stored", appended.stored + appended.replaced)
        activity.count(self._source, "duplicate", appended.duplicates)

    def _refuse(self, refusal: Refusal) -> None:
        reason, message, line = refusal
        earlier = self._rejected.get(reason, Refused(0, line, message))
        self._rejected[reason] = earlier._replace(n=earlier.n + 1)
        activity.count(self._source, "received")
        activity.refuse(self._source, reason, message=message)

    def _fail(self, sentence: str) -> None:
        self._error, self._state = self._error or sentence, "failed"
        self._tell()

    def _nothing(self) -> str:
        first = next(iter(self._rejected.values()), None)
        if first is None:
            return "There is no trace in the file."
        return f"There is no trace in the file that could be read; line {first.first_line}: {first.message}"

    def _tell(self) -> None:
        activity.report_import(**self.report().as_json())


def load(file: BinaryIO, name: str, now: datetime, store: Store, max_bytes: int, submit: Submit) -> Report:
    """Import an open file. Raises `StoreError`."""
    with Import(name, now, store, max_bytes, submit) as running:
        while not running.failed and (piece := file.read(PIECE_BYTES)):
            running.feed(piece)
        return running.finish()


def _read_run(run: Run, source: str, now: datetime) -> list[Batch] | None:
    """What is in a run, for whoever can take it; None where it ends within a value."""
    found = parts(run)
    return None if found is None else list(_read(found, source, now))


def _read(found: Iterable[Value | Broken], source: str, now: datetime) -> Iterator[Batch]:
    noted = Counter[str]()

    def note(reason: str) -> None:
        noted[reason] += 1

    def read() -> Iterator[tuple[Span | MalformedSegment, int]]:
        for value in found:
            if isinstance(value, Broken):
                yield value.refusal, value.line
            else:
                for one in file_formats.read(value, source, now, note):
                    yield one, value.line

    return (batch.packed() for batch in batches(read(), noted, _BATCH))


def _size(n: int) -> str:
    return f"{n / 2**30:.3g} GiB" if n >= 2**30 else f"{n / 2**20:.3g} MiB"
