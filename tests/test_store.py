"""What the store keeps of what it is sent, and who may see it when."""

import itertools
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import schema, seen
from core import store as stores
from core.errors import StoreError, StoreFull, StoreInUse
from core.seen import Seen
from core.spans import Span
from core.store import Appended, Price, Store
from core.writer import Writer

ROOT = Path(__file__).resolve().parent.parent
START = datetime(2026, 11, 24, 10)
HOUR = timedelta(hours=1)
TRACE = "5759e988bd862e3fe1be46a994272793"


def span(span_id: str = "a", **changes) -> Span:
    """A complete segment of 12 ms without annotations."""
    made = Span(
        source="live",
        trace_id=TRACE,
        span_id=span_id,
        parent_id=None,
        kind="segment",
        service="shop",
        name="shop",
        namespace=None,
        started_at=START,
        duration_ms=12.0,
        error=False,
        fault=False,
        throttle=False,
        http_method=None,
        http_url=None,
        http_status=None,
        numbers={},
        texts={},
        booleans={},
        failed=False,
        latency_ms=12.0,
        data_volume_bytes=None,
        price_usd=None,
        detail=None,
        in_progress=False,
    )
    return made._replace(**changes)


def orphan(span_id: str, parent_id: str, **changes) -> Span:
    return span(span_id, parent_id=parent_id, kind="subsegment", service=None, **changes)


def stored(store: Store, column: str = "duration_ms") -> dict[str, object]:
    """`column` by span id."""
    frame = store.query(f"SELECT span_id, {column} FROM spans ORDER BY span_id")
    return dict(zip(frame["span_id"], frame[column].astype(object).where(frame[column].notna(), None), strict=True))


def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


# What becomes of a span that comes more than once

OPEN = span(duration_ms=None, latency_ms=None, in_progress=True)
NEWER = OPEN._replace(name="newer")
DONE = span(duration_ms=7.0)
OTHER = span(duration_ms=9.0)
VERSIONS = [
    pytest.param(OPEN, DONE, "replaced", 7.0, id="in progress, then complete"),
    pytest.param(OPEN, NEWER, "replaced", None, id="in progress, then newer in progress"),
    pytest.param(DONE, OTHER, "replaced", 9.0, id="complete, then complete and different"),
    pytest.param(DONE, OPEN, "duplicates", 7.0, id="complete, then late in progress"),
    pytest.param(DONE, DONE, "duplicates", 7.0, id="complete twice"),
    pytest.param(OPEN, OPEN, "duplicates", None, id="in progress twice"),
    pytest.param(
        OPEN, DONE._replace(started_at=START + timedelta(milliseconds=3)), "replaced", 7.0, id="start a little later"
    ),
    pytest.param(OPEN, DONE._replace(started_at=START - timedelta(days=400)), "replaced", 7.0, id="start far away"),
    pytest.param(
        span(numbers={"x": 1.0}), span(numbers={"x": 1.5}, duration_ms=9.0), "replaced", 9.0, id="annotation changed"
    ),
]


@pytest.mark.parametrize(("first", "second", "outcome", "duration"), VERSIONS)
def test_a_span_is_stored_once_in_its_latest_version(store, first, second, outcome, duration):
    assert store.append([first]) == Appended(1, 0, 0)

    counts = store.append([second])

    assert counts == Appended(0, 0, 0)._replace(**{outcome: 1})
    assert stored(store) == {"a": duration}


@pytest.mark.parametrize(("first", "second", "outcome", "duration"), VERSIONS)
def test_two_versions_in_one_call_count_as_two_calls_would(store, first, second, outcome, duration):
    counts = store.append([first, second])

    assert counts == Appended(1, 0, 0)._replace(**{outcome: 1})
    assert stored(store) == {"a": duration}


@pytest.mark.parametrize(("first", "second", "outcome", "duration"), VERSIONS)
def test_a_table_of_spans_counts_and_is_stored_as_the_spans_are(store, first, second, outcome, duration):
    counts = [store.append(schema.rows([first])), store.append(schema.rows([second, span("z")]))]

    again = Appended(1, 0, 0)._replace(**{outcome: 1})
    assert counts == [Appended(1, 0, 0), again]
    assert stored(store) == {"a": duration, "z": 12.0}


@pytest.mark.parametrize(("first", "second", "outcome", "duration"), VERSIONS[::4])
def test_a_store_that_was_closed_still_knows_its_spans(tmp_path, first, second, outcome, duration):
    with Store(tmp_path / "s.duckdb") as store:
        store.append([first])

    with Store(tmp_path / "s.duckdb") as store:
        assert store.append([second]) == Appended(0, 0, 0)._replace(**{outcome: 1})
        assert stored(store) == {"a": duration}


def test_a_span_of_another_source_or_trace_is_another_span(store):
    others = [span(), span(source="otlp"), span(trace_id="0" * 32), span(trace_id=TRACE[:16] + "0" * 16)]

    assert store.append(others) == Appended(4, 0, 0)
    assert store.append(others) == Appended(0, 4, 0)
    assert len(store.query("SELECT * FROM spans")) == 4


def test_a_span_sent_again_writes_nothing(store):
    store.append([span(), orphan("b", "a")])
    before = store.version("live"), store.query("SELECT * FROM spans")

    store.append([orphan("b", "a"), span()])

    assert store.version("live") == before[0]
    pd.testing.assert_frame_equal(store.query("SELECT * FROM spans"), before[1])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.sampled_from([1.0, 2.0])), max_size=4), max_size=5
    )
)
def test_any_calls_leave_what_a_plain_loop_over_a_dictionary_leaves(store, calls):
    store.remove("live")
    latest: dict[str, Span] = {}
    for call in calls:
        spans = [span(key, in_progress=open_, duration_ms=None if open_ else ms) for key, open_, ms in call]
        expected = dict.fromkeys(Appended._fields, 0)
        for new in spans:
            old = latest.get(new.span_id)
            if old == new or (old and new.in_progress and not old.in_progress):
                expected["duplicates"] += 1
                continue
            expected["replaced" if old else "stored"] += 1
            latest[new.span_id] = new

        assert store.append(spans) == Appended(**expected)

    assert stored(store) == {key: latest[key].duration_ms for key in sorted(latest)}
    assert store.sources()["rows"].to_list() == ([len(latest)] if latest else [])


# Services

FAMILY = [span("a"), orphan("b", "a"), orphan("c", "b"), orphan("d", "c")]


@pytest.mark.parametrize(
    "order", [pytest.param(o, id="".join(s.span_id for s in o)) for o in itertools.permutations(FAMILY)]
)
def test_independent_subsegments_get_their_segments_service_in_whatever_order_they_come(store, order):
    for one in order:
        store.append([one])

    assert stored(store, "service") == dict.fromkeys("abcd", "shop")


def test_independent_subsegments_get_their_service_within_one_call(store):
    store.append(FAMILY[::-1])

    assert stored(store, "service") == dict.fromkeys("abcd", "shop")


def test_a_segment_that_comes_after_a_restart_still_names_the_service(tmp_path):
    with Store(tmp_path / "s.duckdb") as store:
        store.append([orphan("b", "a")])

    with Store(tmp_path / "s.duckdb") as store:
        store.append([span("a")])
        assert stored(store, "service") == dict.fromkeys("ab", "shop")


def test_a_replaced_source_has_its_services_too(store):
    store.append([span("z")])

    store.replace("live", FAMILY[1:])
    store.append(FAMILY[:1])

    assert stored(store, "service") == dict.fromkeys("abcd", "shop")


def test_a_service_is_not_taken_from_another_trace_or_source(store):
    store.append([orphan("b", "a")])

    store.append([span("a", trace_id="0" * 32), span("a", source="otlp"), span("x")])

    assert store.query("SELECT service FROM spans WHERE span_id = 'b'")["service"].to_list() == [None]


def test_parents_in_a_circle_stay_without_a_service(store):
    store.append([orphan("b", "c"), orphan("c", "b"), orphan("d", "d")])

    assert stored(store, "service") == {"b": None, "c": None, "d": None}


def test_a_completed_subsegment_keeps_the_service_that_was_found_for_it(store):
    store.append([span("a"), orphan("b", "a", in_progress=True, duration_ms=None)])

    store.append([orphan("b", "a", duration_ms=3.0)])

    assert stored(store, "service") == {"a": "shop", "b": "shop"}
    assert store.append([orphan("b", "a", duration_ms=3.0)]) == Appended(0, 1, 0)


# What comes out

RICH = span(
    parent_id="0011",
    namespace="remote",
    started_at=datetime(2026, 11, 24, 10, 0, 0, 123456),
    duration_ms=0.1943,
    error=True,
    throttle=True,
    http_method="GET",
    http_url="http://127.0.0.1/",
    http_status=429,
    numbers={"a key: 'odd'": 1.5, "price_usd": 60_000.0},
    texts={"flag": "low", "": "\u00e4\u4e2d\U0001f600\x00"},
    booleans={"error": True},
    failed=True,
    latency_ms=0.1943,
    data_volume_bytes=4096.0,
    price_usd=60_000.0,
    detail='{"metadata":{}}',
)


def test_a_trace_comes_back_with_all_that_was_sent(store):
    store.append([RICH, span("b")])

    found = store.trace(TRACE)

    assert [*found.columns, "in_progress"] == list(Span._fields)
    assert found["span_id"].to_list() == ["b", "a"]  # in order of start
    assert tuple(found.loc[1]) == RICH[:-1]


def test_a_trace_is_found_in_every_source_unless_one_is_named(store):
    store.append([span(), span(source="otlp"), span(trace_id=TRACE[:31] + "0")])

    assert store.trace(TRACE)["source"].to_list() == ["live", "otlp"]
    assert store.trace(TRACE, "otlp")["source"].to_list() == ["otlp"]
    assert store.trace("0" * 32).empty
    assert store.trace("not an id").empty


def test_records_are_complete_spans_with_latencies_from_zero_on(store):
    store.append(
        [
            span("a", latency_ms=0.0, numbers={"x": 1.0}),
            span("b", latency_ms=-1.0),
            span("c", duration_ms=None, latency_ms=None, in_progress=True),
        ]
    )

    records = store.query("SELECT * FROM records ORDER BY span_id")

    assert records["span_id"].to_list() == ["a", "b"]
    assert records["annotated"].to_list() == [True, False]
    assert records["latency_ms"].fillna(-9.0).to_list() == [0.0, -9.0]
    assert records.drop(columns=["numbers", "texts", "booleans"]).columns.to_list() == [
        *["source", "trace_id", "span_id", "kind", "annotated", "service", "name", "timestamp"],
        *["latency_ms", "duration_ms", "data_volume_bytes", "price_usd", "failed"],
    ]


@pytest.mark.parametrize(
    "annotation", [{"numbers": {"x": 0.0}}, {"texts": {"x": ""}}, {"booleans": {"x": False}}], ids=str
)
def test_a_span_with_an_annotation_of_any_type_is_annotated(store, annotation):
    store.append([span(**annotation)])

    assert stored(store, "annotated") == {"a": True}


def test_times_come_out_naive_in_microseconds(store):
    store.append([RICH])

    frame = store.query("SELECT timestamp, date_trunc('hour', timestamp) AS bucket FROM records")

    assert [str(kind) for kind in frame.dtypes] == ["datetime64[us]"] * 2
    assert frame.loc[0].to_list() == [pd.Timestamp(RICH.started_at), pd.Timestamp(START)]


def test_parameters_are_bound_by_place_or_by_name(store):
    store.append([RICH])

    assert store.query("SELECT numbers[?] AS x FROM records", ["a key: 'odd'"])["x"].to_list() == [1.5]
    assert store.query("SELECT numbers[$key] AS x FROM records", {"key": "price_usd"})["x"].to_list() == [60_000.0]


def test_chunks_are_the_answer_in_pieces_from_one_moment(store):
    store.replace("live", [span(f"{n:05}") for n in range(10_000)])

    chunks = store.chunks("SELECT span_id FROM spans ORDER BY span_id", rows=4096)
    first = next(chunks)
    store.remove("live")
    pieces = [first, *chunks]

    assert [len(piece) for piece in pieces] == [4096, 4096, 1808]
    assert pd.concat(pieces)["span_id"].to_list() == [f"{n:05}" for n in range(10_000)]


def test_no_rows_are_one_empty_chunk_with_columns(store):
    pieces = list(store.chunks("SELECT span_id, started_at FROM spans"))

    assert [(len(piece), list(piece.columns)) for piece in pieces] == [(0, ["span_id", "started_at"])]


def test_a_query_that_fails_says_so_and_the_next_works(store):
    with pytest.raises(StoreError, match="no_such_column"):
        store.query("SELECT no_such_column FROM spans")

    assert store.query("SELECT 1 AS one")["one"].to_list() == [1]


# Sources and their versions


def extents(store: Store) -> dict[str, tuple[int, datetime, datetime]]:
    return {row.source: (row.rows, row.oldest, row.newest) for row in store.sources().itertuples()}


def test_sources_tell_rows_oldest_and_newest(store):
    assert extents(store) == {}
    store.append([span("a"), span("b", started_at=START + HOUR), span("a", source="otlp")])
    assert extents(store) == {"live": (2, START, START + HOUR), "otlp": (1, START, START)}

    store.append([span("c", started_at=START + 2 * HOUR), span("a", duration_ms=1.0)])
    assert extents(store)["live"] == (3, START, START + 2 * HOUR)

    store.append([span("c", started_at=START + HOUR / 2)])
    assert extents(store)["live"] == (3, START, START + HOUR)

    store.replace("otlp", [span("x", source="otlp", started_at=START + 3 * HOUR)])
    assert extents(store)["otlp"] == (1, START + 3 * HOUR, START + 3 * HOUR)

    store.remove("live")
    assert extents(store) == {"otlp": (1, START + 3 * HOUR, START + 3 * HOUR)}
    assert [str(kind) for kind in store.sources().dtypes] == ["str", "int64", "datetime64[us]", "datetime64[us]"]


def test_sources_of_a_reopened_store_are_the_same(tmp_path):
    with Store(tmp_path / "s.duckdb") as store:
        store.append([span("a"), span("b", source="otlp")])
        before = extents(store)

    with Store(tmp_path / "s.duckdb") as store:
        assert extents(store) == before


def test_a_version_grows_with_each_change_of_its_source_alone(store):
    def versions() -> tuple[int, ...]:
        return store.version("live"), store.version("otlp"), store.version("prices")

    steps = [
        (lambda: store.append([OPEN]), (1, 0, 0)),
        (lambda: store.append([DONE]), (2, 0, 0)),
        (lambda: store.append([DONE, OPEN]), (2, 0, 0)),
        (lambda: store.append([span("b"), span("c", source="otlp")]), (3, 1, 0)),
        (lambda: store.replace("otlp", []), (3, 2, 0)),
        (lambda: store.append_prices([Price(START, 1.0, "kraken", "candle")]), (3, 2, 1)),
        (lambda: store.append_prices([Price(START, 1.0, "kraken", "candle")]), (3, 2, 1)),
        (lambda: store.remove("otlp"), (3, 2, 1)),
        (lambda: store.remove("live"), (4, 2, 1)),
        (lambda: store.append([span("d")]), (5, 2, 1)),
        (lambda: store.retain(1, now()), (5, 2, 1)),
        (lambda: store.retain(1, now() + timedelta(days=2)), (6, 2, 1)),
        (lambda: store.append([]), (6, 2, 1)),
    ]
    for step, expected in steps:
        step()
        assert versions() == expected


def test_retention_counts_from_when_a_span_was_stored(store):
    store.append([span("old", started_at=START - timedelta(days=900)), span("b", source="otlp")])

    assert store.retain(30, now() + timedelta(days=29)) == 0
    assert store.retain(30, now() + timedelta(days=31)) == 2
    assert extents(store) == {}
    assert store.append([span("old", started_at=START - timedelta(days=900))]) == Appended(1, 0, 0)


def test_retention_leaves_the_sample_which_nobody_sent(store):
    store.append([span("a", source="sample"), span("b")])

    assert store.retain(30, now() + timedelta(days=31)) == 1
    assert list(extents(store)) == ["sample"]


def test_removing_a_source_leaves_the_others_and_lets_it_come_again(store):
    store.append([span("a"), span("b"), span("a", source="otlp")])

    assert store.remove("live") == 2
    assert store.remove("live") == 0
    assert list(extents(store)) == ["otlp"]
    assert store.append([span("a")]) == Appended(1, 0, 0)


def test_a_source_is_replaced_as_a_whole(store):
    store.append([span("a"), span("b"), span("a", source="otlp")])

    store.replace("live", [span("b", duration_ms=1.0), span("c"), span("c", duration_ms=2.0)])

    assert store.query("SELECT source, span_id, duration_ms FROM spans ORDER BY ALL").to_numpy().tolist() == [
        ["live", "b", 1.0],
        ["live", "c", 2.0],
        ["otlp", "a", 12.0],
    ]
    assert store.append([span("c", duration_ms=2.0), span("a")]) == Appended(1, 1, 0)


def test_a_source_is_replaced_by_a_table_as_by_spans(store):
    table = schema.rows([RICH, orphan("b", "a")])

    store.replace("live", table)

    assert tuple(store.trace(TRACE).set_index("span_id", drop=False).loc["a"]) == RICH[:-1]
    assert stored(store, "service") == {"a": "shop", "b": "shop"}
    store.replace("live", pa.concat_tables([table, table]))
    assert len(store.trace(TRACE)) == 2


def test_a_source_is_not_replaced_by_spans_of_another(store):
    store.append([span("a")])

    with pytest.raises(StoreError, match="Only spans of the source live"):
        store.replace("live", [span("b"), span("c", source="otlp")])

    assert stored(store) == {"a": 12.0}


def test_prices_are_unique_by_time_exchange_and_kind(store):
    store.append_prices([Price(START, 1.0, "kraken", "candle"), Price(START, 2.0, "kraken", "live")])
    store.append_prices(
        [
            Price(START, 3.0, "kraken", "candle"),
            Price(START, 4.0, "kraken", "candle"),
            Price(START + HOUR, 5.0, "kraken", "candle"),
        ]
    )
    store.append_prices([])

    assert store.query("SELECT * FROM prices ORDER BY time, kind").to_numpy().tolist() == [
        [pd.Timestamp(START), 4.0, "kraken", "candle"],
        [pd.Timestamp(START), 2.0, "kraken", "live"],
        [pd.Timestamp(START + HOUR), 5.0, "kraken", "candle"],
    ]


# Many at once, and what goes wrong


def test_calls_of_many_threads_share_commits_and_each_gets_its_own_counts(store: Store):
    def call(n: int) -> Appended:
        return store.append([span(f"{n}-{i}") for i in range(n % 3 + 1)] + [span("shared")])

    with ThreadPoolExecutor(16) as pool:
        counts = list(pool.map(call, range(320)))

    assert sum(count.stored for count in counts) == sum(n % 3 + 1 for n in range(320)) + 1
    assert sum(count.duplicates for count in counts) == 319
    assert len(stored(store)) == sum(n % 3 + 1 for n in range(320)) + 1
    assert store.version("live") < 160


def test_a_bad_call_fails_alone_when_it_shared_a_commit():
    started, go_on, groups = threading.Event(), threading.Event(), []

    def append_all(calls):
        groups.append(len(calls))
        started.set()
        go_on.wait(5)
        if any(one.name == "bad" for call in calls for one in call):
            raise ValueError("a bad span")
        return [Appended(len(call), 0, 0) for call in calls]

    writer = Writer(append_all)
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(writer.append, [span()])
        started.wait(5)
        later = [pool.submit(writer.append, [span(name=name)]) for name in ("good", "bad", "good")]
        while writer._jobs.qsize() < len(later):
            time.sleep(0.001)
        go_on.set()
        outcomes = [one.exception() or one.result() for one in [first, *later]]
    writer.stop()

    assert groups == [1, 3, 1, 1, 1]
    assert [str(outcome) for outcome in outcomes] == [
        *[str(Appended(1, 0, 0))] * 2,
        "The store could not write: a bad span",
        str(Appended(1, 0, 0)),
    ]
    assert isinstance(outcomes[2], StoreError)


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(span("b", trace_id="not an id"), id="trace id"),
        pytest.param(span("b", name="\ud800"), id="lone surrogate"),
        pytest.param(span("b", http_status=1 << 40), id="status beyond 32 bits"),
        pytest.param(span("b", name=None), id="no name"),
    ],
)
def test_a_span_that_can_not_be_stored_fails_its_call_and_nothing_else(store, bad):
    with pytest.raises(StoreError):
        store.append([span("a"), bad])

    assert stored(store) == {}
    assert store.append([span("a")]) == Appended(1, 0, 0)


def test_readers_see_whole_commits_while_one_writes(store):
    done = threading.Event()

    def write() -> None:
        for n in range(30):
            store.append([span(f"{n}-{i}") for i in range(10)])
        done.set()

    def read() -> list[int]:
        counts = [0]
        while not done.is_set():
            counts.append(int(store.query("SELECT count(*) AS n FROM spans")["n"].iloc[0]))
        return counts

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        pool.submit(write).result()
        counts = [reader.result() for reader in readers]

    assert all(seen == sorted(seen) and all(n % 10 == 0 for n in seen) for seen in counts)
    assert len(stored(store)) == 300


def test_a_full_disk_refuses_new_spans_and_still_reads_and_removes(tmp_path):
    with Store(tmp_path / "s.duckdb") as store:
        store.append([span("a")])

    with Store(tmp_path / "s.duckdb", min_free_bytes=1 << 62) as store:
        for write in (
            lambda: store.append([span("b")]),
            lambda: store.replace("live", []),
            lambda: store.append_prices([Price(START, 1.0, "kraken", "live")]),
        ):
            with pytest.raises(StoreFull, match="set TRACECAST_HOME to another disk"):
                write()
        assert stored(store) == {"a": 12.0}
        assert store.remove("live") == 1


# The file: who holds it, its schema, its end

HOLD = """
import sys
from pathlib import Path
from core.store import Store
with Store(Path(sys.argv[1])):
    print("open", flush=True)
    sys.stdin.read()
"""
APPEND = """
import sys
from pathlib import Path
from core.store import Store
from tests.test_store import span
store = Store(Path(sys.argv[1]))
for n in range(1_000_000):
    store.append([span(f"{n}-{i}") for i in range(50)])
    print(n, flush=True)
"""


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_second_process_is_told_who_holds_the_store_and_what_to_set(tmp_path):
    path = tmp_path / "s.duckdb"
    with python(HOLD, path) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(StoreInUse) as refusal:
            Store(path)
        holder.communicate("")

    assert str(refusal.value) == (
        f"Process {holder.pid} has {path} open: stop it, or set TRACECAST_HOME to another folder."
    )
    Store(path).close()


def test_one_process_opens_a_store_once(store):
    with pytest.raises(StoreInUse, match="open already"):
        Store(store.path)

    assert store.append([span()]) == Appended(1, 0, 0)


def test_a_killed_writer_loses_no_span_that_it_was_told_is_stored(tmp_path):
    path = tmp_path / "s.duckdb"
    with python(APPEND, path) as writer:
        assert writer.stdout
        while (acknowledged := int(writer.stdout.readline())) < 20:
            pass
        writer.send_signal(signal.SIGKILL)
        acknowledged = max([acknowledged, *map(int, writer.stdout.read().split())])

    with Store(path) as store:
        kept = list(stored(store))
        assert {f"{n}-{i}" for n in range(acknowledged + 1) for i in range(50)} <= set(kept)
        assert len(kept) == len(set(kept))
        assert len(kept) % 50 == 0


def test_closing_writes_what_was_accepted_and_refuses_the_rest(tmp_path):
    path = tmp_path / "s.duckdb"
    store = Store(path)
    with ThreadPoolExecutor(20) as pool:
        calls = [pool.submit(store.append, [span(f"{n}")]) for n in range(200)]
        calls[50].result()
        store.close()
    accepted = [n for n, call in enumerate(calls) if call.exception() is None]
    refused = {str(call.exception()) for call in calls if call.exception()}

    assert len(accepted) > 50
    assert refused <= {"The store is closed."}
    assert not path.with_suffix(".duckdb.wal").exists()
    with Store(path) as store:
        assert set(stored(store)) == {str(n) for n in accepted}


def test_a_closed_store_refuses_everything_and_may_be_closed_again(tmp_path):
    store = Store(tmp_path / "s.duckdb")
    store.append([span()])
    chunks = store.chunks("SELECT * FROM range(1_000_000)")
    next(chunks)
    store.close()
    store.close()

    for call in (
        lambda: store.append([span("b")]),
        lambda: store.replace("live", []),
        lambda: store.remove("live"),
        lambda: store.retain(1, START),
        lambda: store.append_prices([Price(START, 1.0, "kraken", "live")]),
        lambda: store.query("SELECT 1"),
        lambda: store.trace(TRACE),
        lambda: store.sources(),
        lambda: next(chunks),
    ):
        with pytest.raises(StoreError, match=r"The store is closed\."):
            call()


def test_closing_interrupts_who_still_reads(tmp_path):
    store = Store(tmp_path / "s.duckdb")
    with ThreadPoolExecutor(1) as pool:
        endless = pool.submit(store.query, "SELECT count(*) FROM range(100_000_000_000) AS t(i) WHERE i % 7 = 3")
        time.sleep(0.2)
        before = time.monotonic()
        store.close()

        assert str(endless.exception()) == "The store is closed."
    assert time.monotonic() - before < 5


def test_a_store_of_a_newer_schema_is_left_alone(tmp_path, monkeypatch):
    known = len(schema.MIGRATIONS)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "ALTER TABLE prices ADD COLUMN volume DOUBLE"))
    with Store(tmp_path / "s.duckdb") as store:
        store.append([span()])
    monkeypatch.undo()

    newer = f"schema is version {known + 1} and this Tracecast knows up to {known}: upgrade Tracecast"
    with pytest.raises(StoreError, match=newer):
        Store(tmp_path / "s.duckdb")


def test_an_older_schema_is_brought_forward_with_what_it_holds(tmp_path, monkeypatch):
    with Store(tmp_path / "s.duckdb") as store:
        store.append_prices([Price(START, 1.0, "kraken", "live")])
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "ALTER TABLE prices ADD COLUMN volume DOUBLE"))

    with Store(tmp_path / "s.duckdb") as store:
        assert store.query("SELECT price_usd, volume FROM prices").fillna(-1).to_numpy().tolist() == [[1.0, -1.0]]
        assert store.query("SELECT max(version) AS v FROM schema_version")["v"].to_list() == [len(schema.MIGRATIONS)]


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    with Store(tmp_path / "s.duckdb") as store:
        store.append([span()])
    broken = "ALTER TABLE prices ADD COLUMN volume DOUBLE; ALTER TABLE no_such_table ADD COLUMN x DOUBLE"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, broken))
    with pytest.raises(StoreError, match="no_such_table"):
        Store(tmp_path / "s.duckdb")
    monkeypatch.undo()

    with Store(tmp_path / "s.duckdb") as store:
        assert "volume" not in store.query("SELECT * FROM prices").columns
        assert stored(store) == {"a": 12.0}


def test_a_file_that_is_no_store_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "s.duckdb").write_text("no database")
    with duckdb.connect(str(tmp_path / "other.duckdb")) as other:
        other.execute("CREATE TABLE spans (x INTEGER)")

    for name in ("s.duckdb", "other.duckdb", "s.duckdb/below.duckdb"):
        with pytest.raises(StoreError) as refusal:
            Store(tmp_path / name)
        assert str(tmp_path) in str(refusal.value)
        assert "\n" not in str(refusal.value)


def test_the_process_has_one_store(store, monkeypatch):
    assert stores.is_open()
    assert stores.current() is store

    monkeypatch.setattr(stores, "_current", None)
    assert not stores.is_open()
    with pytest.raises(StoreError, match="No store is open"):
        stores.current()


# The filter in memory


@settings(max_examples=30)
@given(st.lists(st.integers(0, 2**64 - 1)), st.lists(st.integers(0, 2**64 - 1)))
def test_the_filter_never_denies_what_was_added(added, others):
    filter_ = Seen(0)
    filter_.add(np.array(added, np.uint64))
    filter_.add(np.array(others, np.uint64))

    assert filter_.may_hold(np.array(added + others, np.uint64)).all()


def test_a_filter_that_is_all_but_full_takes_few_new_keys_for_stored_ones():
    keys = np.random.default_rng(1).integers(0, 2**64, 300_000, np.uint64)
    filter_ = Seen(100_000)
    assert not filter_.may_hold(keys).any()
    filter_.add(keys[:196_608])
    assert not filter_.full

    mistaken = filter_.may_hold(keys[196_608:])
    filter_.add(keys[-1:])

    assert 0 < mistaken.mean() < 0.002
    assert filter_.full


def test_a_filter_that_is_full_is_made_anew_and_duplicates_are_still_known(store, monkeypatch):
    monkeypatch.setattr(seen, "_FULL", 0)

    for _ in range(3):
        store.append([span("a"), span("b")])
    store.append([span("c")])

    assert store.append([span("a"), span("c"), span("d")]) == Appended(1, 2, 0)
    assert list(stored(store)) == ["a", "b", "c", "d"]
