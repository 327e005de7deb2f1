"""Sampling and loss: counted by the hour, kept in the store, told under the counts that they affect."""

import os
import subprocess
import sys
from datetime import datetime, timedelta

import pytest
import requests

from core import activity, losses, service, tallies
from core import question as asking
from core.ingest import otlp, segments
from core.ingest.collector import Collector
from core.losses import Total
from core.question import Question
from core.settings import Settings
from core.store import Store
from core.view.losses import by_hour, words
from core.view.text import NBSP, terms, zone
from tests.test_pages import empty, now, segment, visit  # noqa: F401 (a fixture)
from tests.test_pages import words as all_words

HOUR = datetime(2026, 11, 24, 13)


def this_hour():
    return asking.bucket_start(now(), "hourly")


def counted(store, source="live", question=None):
    return losses.total(question or Question(source=source, range="24h"), now())


def total(**counts):
    return Total(**{**dict.fromkeys(Total._fields[:-3], 0), **dict.fromkeys(Total._fields[-3:]), **counts})


# By the hour


def test_what_arrives_is_counted_in_its_hour(fresh, store):
    segments.take([segment(at=1), segment(at=2), "no json"], "live", now(), store)
    activity.drop("live", "kernel", 7)
    activity.alter("live", "clock_skew")
    activity.alter("aws:eu-west-1", "trace_limit_exceeded", 2)

    assert activity.hours() == {
        ("live", this_hour()): {"received": 3, "stored": 2, "refused": 1, "dropped": 7},
        ("aws:eu-west-1", this_hour()): {"cut_short": 2},
    }


def test_counts_are_the_same_before_they_are_kept_after_and_in_the_next_process(fresh, store):
    def seen():
        return losses.hours(Question(range="24h"), now()).drop(columns="rule").fillna(-1).to_numpy().tolist()

    activity.count("live", "received", 5)
    activity.count("otlp", "duplicate", 2)
    activity.sampled("live", "Default", 0.2, 10, 3)
    before = seen()
    service.keep_counts(store)
    assert activity.hours() == {}
    activity.count("live", "received", 4)
    activity.sampled("live", "Default", 0.25, 30, 5)
    service.keep_counts(store)
    activity.reset()

    assert before == [
        ["live", this_hour(), 5, 0, 0, 0, 0, 0, 10, 3, 0.2],
        ["otlp", this_hour(), 0, 0, 2, 0, 0, 0, 0, 0, -1],
    ]
    assert seen() == [["live", this_hour(), 9, 0, 0, 0, 0, 0, 40, 8, 0.25], before[1]]


def test_what_is_counted_while_counts_are_kept_is_kept_the_next_time(fresh, store):
    activity.count("live", "received", 5)
    on_its_way = activity.hours()
    activity.count("live", "received", 2)
    tallies.keep(store, on_its_way)
    activity.settle(on_its_way)

    assert activity.hours() == {("live", this_hour()): {"received": 2}}
    assert counted(store).received == 7


def test_a_range_has_the_hours_that_begin_in_it_and_its_first(fresh, store):
    hours = {("live", HOUR + timedelta(hours=at)): {"refused": 10**at} for at in range(4)}
    tallies.keep(store, hours)
    asked = Question(source="live", start=HOUR + timedelta(minutes=90), end=HOUR + timedelta(hours=3))

    assert counted(store, question=asked).refused == 110
    assert losses.hours(asked, now())["hour"].to_list() == [HOUR + timedelta(hours=1), HOUR + timedelta(hours=2)]


@pytest.mark.parametrize(("source", "refused"), [("live", 0), ("otlp", 0), ("file:a", 3), ("aws:eu-west-1", 3)])
def test_of_what_is_read_in_hindsight_it_does_not_matter_when_it_was_read(fresh, store, source, refused):
    activity.refuse(source, "not_json", 3)

    assert (
        counted(store, question=Question(source=source, start=HOUR, end=HOUR + timedelta(hours=1))).refused == refused
    )


def test_a_removed_source_takes_its_counts_along(fresh, store, address):
    segments.take([segment()], "live", now(), store)
    service.keep_counts(store)
    activity.refuse("live", "not_json")
    activity.refuse("otlp", "not_json")

    requests.delete(f"{address}/api/v1/sources/live", timeout=5).raise_for_status()

    assert losses.hours(Question(range="24h"), now())["source"].to_list() == ["otlp"]


def test_retention_counts_for_counts_too(fresh, store):
    tallies.keep(store, {("live", HOUR): {"received": 1}, ("live", HOUR + timedelta(days=3)): {"received": 2}})

    store.retain(2, HOUR + timedelta(days=4))

    assert counted(store, question=Question(source="live", start=HOUR, end=HOUR + timedelta(days=9))).received == 2


# What senders sampled out

TRACED = """
import time
from aws_xray_sdk.core import xray_recorder

xray_recorder.configure(service="traced")
xray_recorder.begin_segment("first")  # its sampling decision starts the SDK's poller, before any rule is there
xray_recorder.end_segment()
time.sleep(0.5)
traced = 0
for _ in range(400):
    traced += xray_recorder.begin_segment("traced").sampled
    xray_recorder.end_segment()
time.sleep(0.1)
xray_recorder.sampler._target_poller._do_work()  # what it does every 10 s
print(traced)
"""


def test_requests_that_an_sdk_sampled_out_are_known_by_its_own_report(fresh, store):
    collector = Collector(Settings(udp_port=0, sampling_rate=0.2), store)
    collector.start()
    host, port = collector.address
    environment = {**os.environ, "AWS_XRAY_DAEMON_ADDRESS": f"{host}:{port}", "AWS_REGION": "eu-west-1"}
    ran = subprocess.run(
        [sys.executable, "-c", TRACED], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    collector.stop()

    told, traced = counted(store), int(ran.stdout)
    first = told.requests - 400  # 1 where the rules came in time for it
    assert first in (0, 1)
    assert traced <= told.traced <= traced + first
    assert 40 < traced < 130
    assert len(store.query("SELECT 1 FROM spans WHERE name = 'traced'")) == traced
    said = (
        f"Of {400 + first} requests {told.traced} were traced (rule Default, 20{NBSP}%): counts are of traced requests."
    )
    assert words(told, "live") == said


@pytest.mark.parametrize(
    ("document", "counts"),
    [
        ({"RequestCount": 10, "SampledCount": 2, "BorrowCount": 1}, (10, 3)),
        ({"RequestCount": 10, "SampledCount": 9, "BorrowCount": 9}, (10, 10)),
        ({"RequestCount": -1, "SampledCount": "2"}, (0, 0)),
        ({"RequestCount": 10**30}, (0, 0)),
        ({"RequestCount": 10, "RuleName": "Other"}, (0, 0)),
        ({}, (0, 0)),
    ],
    ids=["plain", "more traced than asked", "no counts", "too many", "another's rule", "nothing said"],
)
def test_a_report_counts_by_our_rule_and_only_what_can_be(fresh, store, document, counts):
    collector = Collector(Settings(udp_port=0, sampling_rate=0.2), store)
    collector.start()
    host, port = collector.address
    report = {"SamplingStatisticsDocuments": [{"RuleName": "Default", **document}]}
    requests.post(f"http://{host}:{port}/SamplingTargets", json=report, timeout=5).raise_for_status()
    collector.stop()

    assert (counted(store).requests, counted(store).traced) == counts


# In words


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (total(), ""),
        (total(received=5, stored=5, rule="Default", lowest_rate=1.0, highest_rate=1.0, requests=5, traced=5), ""),
        (
            total(requests=1200, traced=240, rule="Default", lowest_rate=0.2, highest_rate=0.2),
            "Of 1,200 requests 240 were traced (rule Default, 20 %): counts are of traced requests.",
        ),
        (
            total(requests=1, traced=0, rule="Default", lowest_rate=0.05, highest_rate=0.125),
            "Of 1 request 0 were traced (rule Default, 5 to 12.5 %): counts are of traced requests.",
        ),
        (
            total(rule="Default", lowest_rate=0.2, highest_rate=0.2),
            "SDKs are told to trace a part of the requests (rule Default, 20 %): counts are of traced requests.",
        ),
        (total(stored=5000, refused=12), "Of 5,012 that were sent, 12 were refused: counts lack them."),
        (
            total(stored=90, duplicate=1, refused=2, dropped=7),
            "Of 100 that were sent, 2 were refused and 7 were dropped: counts lack them.",
        ),
        (total(cut_short=1), "X-Ray has kept only a part of 1 trace: spans are missing there."),
    ],
)
def test_what_counts_lack_is_said_and_nothing_where_they_lack_nothing(told, said):
    assert words(told, "live").replace(NBSP, " ") == said


def test_of_aws_it_is_said_that_its_own_rules_sample(fresh, store):
    assert words(total(), "aws:eu-west-1") == (
        "X-Ray has what its own sampling rules let through: counts are of traced requests."
    )


def test_the_table_shows_requests_only_where_senders_told_of_them(fresh, store):
    tallies.keep(
        store,
        {
            ("live", HOUR): {
                "received": 240,
                "stored": 240,
                "requests": 1200,
                "traced": 240,
                "rule": "Default",
                "rate": 0.2,
            },
            ("otlp", HOUR + timedelta(hours=1)): {"received": 3, "refused": 3},
        },
    )
    end = HOUR + timedelta(hours=2)
    asked = Question(start=HOUR, end=end)
    table = by_hour(losses.hours(asked, now()), terms(asked, 150.0, now(), end, zone("UTC")))

    shown = table.frame.astype(object).where(table.frame.notna(), None)
    assert shown["source"].to_list() == ["otlp", "live"]
    assert shown[["received", "refused", "requests", "not_traced", "rate", "rule"]].to_numpy().tolist() == [
        [3, 3, None, None, None, None],
        [240, 0, 1200, 960, 20, "Default"],
    ]


@pytest.mark.parametrize(
    ("page", "link", "told"),
    [
        ("overview", {}, True),
        ("traces", {}, True),
        ("forecast", {"stat": "count"}, True),
        ("anomalies", {"stat": "volume"}, True),
        ("forecast", {}, False),
    ],
)
def test_pages_say_it_where_counts_are(empty, page, link, told):  # noqa: F811
    segments.take([segment(at=1), "no json"], "live", now(), empty)
    activity.sampled("live", "Default", 0.2, 5, 1)

    app = visit(page, source="live", range="24h", **link)

    said = "Of 5 requests 1 was traced (rule Default, 20 %): counts are of traced requests."
    lost = "Of 2 that were sent, 1 was refused: counts lack them."
    assert (f":small[:gray[{said} {lost}]]" in all_words(app)) == told


def test_sources_tell_it_hour_by_hour(empty):  # noqa: F811
    segments.take([segment(at=1), "no json"], "live", now(), empty)
    activity.sampled("live", "Default", 0.2, 5, 1)

    by_hours = visit("sources").dataframe[2].value

    assert by_hours[["source", "received", "stored", "refused", "not_traced"]].to_numpy().tolist() == [
        ["live", 2, 1, 1, 4]
    ]


# In the status


def test_the_status_counts_what_opentelemetry_sent_and_what_sdks_sampled_out(fresh, store, address):
    activity.sampled("live", "Default", 0.2, 10, 2)
    requests.post(f"{address}/v1/traces", b"\xff", headers={"Content-Type": otlp.PROTOBUF}, timeout=5)
    body = {
        "resourceSpans": [
            {
                "scopeSpans": [
                    {"spans": [{"traceId": "a" * 32, "spanId": "b" * 16, "name": "x", "startTimeUnixNano": "1"}, {}]}
                ]
            }
        ]
    }
    for _ in range(2):
        requests.post(f"{address}/v1/traces", json=body, timeout=5).raise_for_status()

    status = requests.get(f"{address}/api/v1/status", timeout=5).json()

    assert status["collector"]["sampling"] == {"rate": None, "requests": 10, "traced": 2}
    sent = status["otlp"]
    assert (sent["received"], sent["stored"], sent["duplicates"], sent["dropped"]) == (4, 1, 1, 0)
    assert sum(sent["rejected"].values()) == 3
    assert all(sentence.endswith(".") for sentence in sent["messages"].values())


def test_a_clean_stop_keeps_the_counts(tmp_path):
    with Store(tmp_path / "s.duckdb") as store:
        activity.reset()
        activity.count("live", "received", 3)
        service.keep_counts(store)
    with Store(tmp_path / "s.duckdb") as store:
        assert tallies.kept(store, HOUR, datetime(9999, 1, 1))["received"].to_list() == [3]
