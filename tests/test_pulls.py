"""Pulls of AWS sources as a whole: asked for over HTTP, worked off by the service, gone on with after a restart."""

import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import requests

from core import activity, lacking, ledger, pulls, settings
from core.ingest.xray_pulls import Puller
from core.ledger import Slice
from core.question import Question
from core.settings import Settings
from tests.xray_double import DENIED, shop

REGION = "eu-west-1"
SOURCE = f"aws:{REGION}"
HOUR = timedelta(hours=1)


def now():
    return datetime.now(UTC).replace(tzinfo=None)


@pytest.fixture
def told(double, monkeypatch):
    """The settings of this process: one region, whose X-Ray is the double."""
    monkeypatch.setenv("TRACECAST_AWS_REGION", REGION)
    monkeypatch.setenv("TRACECAST_XRAY_ENDPOINT", double.url)
    monkeypatch.delenv("TRACECAST_API_TOKEN", raising=False)
    settings.current.cache_clear()
    yield settings.current()
    settings.current.cache_clear()


@contextmanager
def pulling(told, store):
    puller = Puller(told, store)
    puller.start()
    try:
        yield puller
    finally:
        puller.stop()


def until(true, seconds=20.0):
    """Wait for something to be so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "This took too long."
        time.sleep(0.02)


def shops(count, days=1.9):
    start = time.time() - days * 86_400
    return [shop(n, start + n * (days - 0.1) * 86_400 / count, latency_ms=100.0 + n % 20) for n in range(count)]


def ask(address, days=2.0, **params):
    asked = {"source": SOURCE, "start": f"{(now() - timedelta(days=days)).isoformat()}Z", **params}
    return requests.post(f"{address}/api/v1/pull", params=asked, timeout=10)


def status(address, **headers):
    return requests.get(f"{address}/api/v1/status", headers=headers, timeout=10).json()["pulls"]


def ended(pull_id):
    return lambda: next(one for one in pulls.everything() if one.id == pull_id).state not in pulls.ACTIVE


def records(store):
    return int(store.query("SELECT count(*) AS n FROM records WHERE annotated")["n"].iloc[0])


def stretches_asked(double):
    return [(request["StartTime"], request["EndTime"]) for name, request in double.asked if name == "GetTraceSummaries"]


# Over HTTP


def test_a_pull_reads_what_the_range_lacks_and_a_second_one_finds_nothing_to_do(double, told, store, address):
    double.add(*shops(400))
    with pulling(told, store):
        answer = ask(address)
        until(ended(answer.json()["id"]))

        again = ask(address)

    [seen] = status(address)
    assert (answer.status_code, again.status_code, again.json()) == (202, 200, {"id": None})
    assert seen["state"] == "done"
    assert seen["slices_done"] == seen["slices_total"] > 8
    assert (seen["traces"], seen["error"]) == (400, None)
    assert seen["calls"] == double.calls["GetTraceSummaries"] + double.calls["BatchGetTraces"]
    assert seen["cost_usd"] == pytest.approx(420 * 0.5e-6)
    assert records(store) == 400
    assert ledger.unfinished(store) == []


def test_the_status_tells_of_pulls_what_the_contract_says(told, store, address):
    pulls.ask(SOURCE, datetime(2026, 11, 3), datetime(2026, 11, 4), "abc")

    assert status(address) == [
        {
            "id": "abc",
            "source": SOURCE,
            "start": "2026-11-03T00:00:00Z",
            "end": "2026-11-04T00:00:00Z",
            "state": "queued",
            "slices_done": 0,
            "slices_total": 0,
            "traces": 0,
            "calls": 0,
            "cost_usd": 0.0,
            "error": None,
        }
    ]


def test_the_same_range_is_not_pulled_twice_at_once(told):
    first, second = (pulls.ask(SOURCE, datetime(2026, 11, 3), datetime(2026, 11, 4)) for _ in range(2))

    assert first.id == second.id


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"source": "sample"}, "sample can't be pulled here: TRACECAST_AWS_REGION names the regions that can."),
        ({"source": "aws:us-east-1"}, "aws:us-east-1 can't be pulled here: TRACECAST_AWS_REGION names the regions"),
        ({"start": "2026-01-01", "end": "2026-01-02"}, "X-Ray keeps traces for 30 days: nothing of this range"),
        ({"start": "soon"}, "start=soon can't be used: an ISO 8601 date"),
    ],
)
def test_what_can_not_be_pulled_is_a_400_in_one_sentence(told, store, address, params, sentence):
    answer = ask(address, **params)

    assert answer.status_code == 400
    assert answer.json()["error"].startswith(sentence)
    assert pulls.everything() == []


def test_a_pull_from_elsewhere_needs_the_token(told, store, address):
    answer = requests.post(f"{address}/api/v1/pull?source={SOURCE}", headers={"X-Forwarded-For": "1.2.3.4"}, timeout=5)

    assert answer.status_code == 403
    assert pulls.everything() == []


def test_a_stopped_pull_keeps_what_it_has_and_the_next_goes_on_from_there(double, told, store, address):
    double.add(*shops(500, days=11.9))
    double.latency_s = 0.1
    with pulling(told, store):
        first = ask(address, days=12.0).json()["id"]
        until(lambda: len(ledger.finished(store, SOURCE, "")) > 3)

        stopped = requests.delete(f"{address}/api/v1/pull/{first}", timeout=5)
        until(ended(first))
        done = [(one.start, one.end) for one in ledger.finished(store, SOURCE, "")]
        before, double.latency_s = len(double.asked), 0.0
        second = ask(address, days=12.0).json()["id"]
        until(ended(second))

    assert stopped.status_code == 200
    assert [one["state"] for one in status(address)] == ["stopped", "done"]
    assert records(store) == 500
    again = stretches_asked(double)[len([1 for name, _ in double.asked[:before] if name == "GetTraceSummaries"]) :]
    assert not [asked for asked in again if any(overlap(asked, one) for one in done)]


def overlap(asked, done):
    start, end = (datetime.fromtimestamp(time_s, UTC).replace(tzinfo=None) for time_s in asked)
    return start < done[1] and done[0] < end


def test_a_pull_that_nobody_knows_can_not_be_stopped(told, store, address):
    assert requests.delete(f"{address}/api/v1/pull/none", timeout=5).status_code == 404


def test_a_pull_that_waits_is_stopped_at_once(told, store, address):
    pull_id = ask(address).json()["id"]

    answer = requests.delete(f"{address}/api/v1/pull/{pull_id}", timeout=5)

    assert answer.json() == {"id": pull_id, "state": "stopped"}


# Restarts, limits, failures


def test_a_pull_goes_on_after_a_restart_and_reads_no_finished_slice_again(double, told, store, address):
    double.add(*shops(500, days=11.9))
    double.latency_s = 0.1
    with pulling(told, store):
        pull_id = ask(address, days=12.0).json()["id"]
        until(lambda: len(ledger.finished(store, SOURCE, "")) > 3)
    done = [(one.start, one.end) for one in ledger.finished(store, SOURCE, "")]
    assert records(store) < 500
    pulls.reset()
    double.asked.clear()
    double.latency_s = 0.0

    with pulling(told, store):
        until(lambda: records(store) == 500)
        until(ended(pull_id))

    assert not [asked for asked in stretches_asked(double) if any(overlap(asked, one) for one in done)]
    assert ledger.unfinished(store) == []


def test_a_pull_of_a_region_that_is_not_allowed_any_more_is_not_gone_on_with(double, told, store):
    ledger.keep_pull(store, ledger.Unfinished("old", "aws:us-east-1", now() - HOUR, now()))

    with pulling(told, store):
        until(lambda: pulls.everything() and ended("old")())
        until(lambda: not ledger.unfinished(store))

    [pull] = pulls.everything()
    assert (pull.state, double.calls.total()) == ("failed", 0)
    assert pull.error == "The region us-east-1 is not allowed here: add it to TRACECAST_AWS_REGION."


def test_the_limit_of_a_day_holds_over_several_pulls_and_is_named(double, told, store, address, monkeypatch):
    monkeypatch.setenv("TRACECAST_PULL_MAX_TRACES_PER_DAY", "300")
    settings.current.cache_clear()
    double.add(*shops(2000))
    with pulling(settings.current(), store):
        for _ in range(2):
            until(ended(ask(address).json()["id"]))

    first, second = status(address)
    assert (first["state"], second["state"]) == ("stopped", "stopped")
    assert first["error"].startswith("Today's limit of 300 traces is reached: ")
    assert "TRACECAST_PULL_MAX_TRACES_PER_DAY" in first["error"]
    assert second["traces"] == 0
    assert sum(ledger.billed(store, now().date()).values()) < 300 + 9 * 100


def test_a_failed_pull_says_why_to_who_may_know(double, told, store, address):
    double.fail("GetTraceSummaries", *[DENIED] * 50)
    with pulling(told, store):
        until(ended(ask(address).json()["id"]))

    [near], [far] = status(address), status(address, **{"X-Forwarded-For": "1.2.3.4"})
    assert (near["state"], far["state"]) == ("failed", "failed")
    assert near["error"] == ("AWS denied GetTraceSummaries: allow the IAM action xray:GetTraceSummaries in eu-west-1.")
    assert far["error"] is None


def test_a_removed_source_stops_its_pull_and_is_lacking_again(double, told, store, address):
    double.add(*shops(500, days=11.9))
    double.latency_s = 0.1
    with pulling(told, store):
        pull_id = ask(address, days=12.0).json()["id"]
        until(lambda: len(ledger.finished(store, SOURCE, "")) > 3)
        requests.delete(f"{address}/api/v1/sources/{SOURCE}", timeout=15)

        assert ended(pull_id)()
        assert records(store) == 0
        assert ledger.finished(store, SOURCE, "") == []


# What a range lacks, and what it would take


def question(**fields):
    return Question(source=SOURCE, **fields)


def lack(asked, at):
    found = lacking.lack(asked, at)
    assert found
    return found


def finished(store, start, end, traces=100, scanned=100):
    ledger.finish(store, Slice(SOURCE, "", start, end, traces, scanned, 0))


def test_a_range_of_which_nothing_was_read_lacks_all_and_nothing_is_known_of_it(told, store):
    found = lack(question(range="3d"), datetime(2026, 11, 24, 12, 30))

    assert (found.start, found.end) == (datetime(2026, 11, 21, 12), datetime(2026, 11, 24, 12, 30))
    assert (found.traces, found.most_usd) == (None, None)
    assert timedelta(days=3) - HOUR < found.lacks <= found.asked


def test_what_was_read_tells_how_many_traces_the_rest_has_and_what_they_cost_at_most(told, store):
    at = datetime(2026, 11, 24, 12)
    finished(store, at - 24 * HOUR, at - 12 * HOUR, traces=1200, scanned=2400)

    found = lack(question(range="24h"), at)

    assert found.lacks == 12 * HOUR - timedelta(minutes=20)
    assert found.traces == pytest.approx(100 * 11.667, abs=1)
    assert found.most_usd == pytest.approx(300 * 11.667 * 0.5e-6, rel=0.01)


@pytest.mark.parametrize(
    ("fields", "hours"),
    [
        pytest.param({"range": "60d"}, 30 * 24, id="what X-Ray keeps"),
        pytest.param({"range": "all"}, 30 * 24, id="all"),
        pytest.param({"range": "24h", "granularity": "daily"}, 36, id="whole days"),
        pytest.param({"start": datetime(2026, 11, 24, 6), "end": datetime(2026, 11, 24, 8)}, 2, id="fixed"),
        pytest.param({"start": datetime(2026, 11, 24, 6), "end": datetime(2026, 12, 24)}, 6, id="up to now"),
        pytest.param({"start": datetime(2026, 10, 1), "end": datetime(2026, 10, 2)}, 0, id="too long ago"),
        pytest.param({"range": "1h"}, 1, id="short"),
    ],
)
def test_what_is_asked_for_is_as_much_as_x_ray_can_have(told, store, fields, hours):
    at = datetime(2026, 11, 24, 12)
    found = lacking.lack(question(**fields), at)

    asked = found.lacks / HOUR if found else 0
    assert asked == pytest.approx(hours, abs=1.5)


def test_the_last_minutes_do_not_count_as_lacking(told, store):
    at = datetime(2026, 11, 24, 12)
    finished(store, at - 24 * HOUR, at - timedelta(minutes=19))

    assert lacking.lack(question(range="24h"), at) is None


def test_other_sources_lack_nothing(told, store):
    assert lacking.lack(Question(source="live"), now()) is None


def test_an_estimate_comes_from_a_few_looks(double, told, store):
    double.add(*shops(3000, days=1.95))
    asked = question(range="24h")
    with pulling(told, store):
        before = lack(asked, now())
        pulls.ask_estimate(SOURCE, before.start, before.end)
        until(lambda: not pulls.estimate_asked(SOURCE))

    after = lack(asked, now())
    assert before.traces is None
    assert after.traces == pytest.approx(3000 * 24 / (1.85 * 24), rel=0.15)
    assert double.calls["GetTraceSummaries"] == 24
    assert sum(ledger.billed(store, now().date()).values()) < 1000


def test_an_estimate_of_many_traces_reads_first_pages_only(double, told, store):
    double.add(*shops(10_000, days=0.5))
    with pulling(told, store):
        pulls.ask_estimate(SOURCE, now() - 8 * HOUR, now() - 4 * HOUR)
        until(lambda: not pulls.estimate_asked(SOURCE))

    facts = activity.snapshot()["components"][SOURCE]
    assert facts["traces_per_hour"] == pytest.approx(10_000 / 9.6, rel=0.1)
    assert double.calls["GetTraceSummaries"] == 24


def test_the_share_of_records_that_come_from_summaries(double, told, store, address):
    double.add(*shops(200))
    with pulling(told, store):
        until(ended(ask(address).json()["id"]))

    assert lacking.summary_share(question(range="3d"), now()) == 0.9
    assert lacking.summary_share(Question(source="live"), now()) is None


# While somebody looks


def test_the_newest_minutes_are_read_again_while_the_source_is_on_screen(double, told, store, address):
    double.add(*shops(50))
    with pulling(told, store):
        until(ended(ask(address).json()["id"]))
        double.add(shop(999, time.time() - 60))
        before = double.calls.total()
        time.sleep(0.3)
        assert double.calls.total() == before  # nobody looks

        pulls.see(SOURCE, now())
        until(lambda: records(store) == 51)
        until(lambda: "read_at" in activity.snapshot()["components"][SOURCE])
        after = double.calls.total()
        time.sleep(0.3)

    assert double.calls.total() == after  # not again before five minutes have passed
    assert len(pulls.everything()) == 1


def test_a_source_that_was_on_screen_long_ago_is_not_read(double, told, store):
    finished(store, now() - 2 * HOUR, now() - HOUR)
    pulls.see(SOURCE, now() - timedelta(minutes=16))

    with pulling(told, store):
        time.sleep(0.3)

    assert double.calls.total() == 0


def test_a_source_of_which_nothing_was_pulled_is_checked_and_not_read(double, told, store):
    double.indexed_percentage = 1.0
    pulls.see(SOURCE, now())

    with pulling(told, store):
        until(lambda: SOURCE in activity.snapshot()["components"])
        time.sleep(0.2)

    assert activity.snapshot()["components"][SOURCE]["indexed_share"] == 0.01
    assert set(double.calls) == {"GetTraceSegmentDestination", "GetIndexingRules"}


def test_what_is_not_needed_may_be_denied(double, told, store, address):
    double.add(*shops(30))
    double.fail("GetTraceSegmentDestination", *[DENIED] * 50)

    with pulling(told, store):
        until(ended(ask(address).json()["id"]))

    facts = activity.snapshot()["components"][SOURCE]
    assert "xray:GetTraceSegmentDestination" in facts["unknown"]
    assert facts["last_error"] is None
    assert records(store) == 30


def test_missing_credentials_are_told_as_soon_as_somebody_looks(double, told, store, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    pulls.see(SOURCE, now())

    with pulling(told, store):
        until(lambda: activity.snapshot()["components"].get(SOURCE, {}).get("last_error"))

    assert activity.snapshot()["components"][SOURCE]["last_error"].startswith("No AWS credentials were found: ")


def test_regions_are_worked_off_beside_each_other(double, told, store, monkeypatch):
    monkeypatch.setenv("TRACECAST_AWS_REGION", f"{REGION},us-east-1")
    settings.current.cache_clear()
    double.add(*shops(40))
    with pulling(settings.current(), store):
        both = [pulls.ask(f"aws:{name}", now() - 48 * HOUR, now()) for name in (REGION, "us-east-1")]
        for pull in both:
            until(ended(pull.id))

    assert store.sources()["source"].to_list() == ["aws:eu-west-1", "aws:us-east-1"]


def test_settings_without_a_region_allow_none(store, monkeypatch):
    monkeypatch.setattr(settings, "current", Settings)

    assert not lacking.is_allowed(SOURCE)
