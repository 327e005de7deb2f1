"""Reading X-Ray, through the real boto3 client from a double that is as strict as the API: what is stored, what it
costs, and what is said when it fails.
"""

import itertools
import logging
import time
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from core import activity, ledger
from core.errors import SourceUnavailable
from core.ingest import xray
from core.ingest.xray import Progress, Reading
from core.ingest.xray_client import Flow, XRay
from core.ingest.xray_errors import explained
from core.settings import Settings
from core.spans import canonical_trace_id
from tests.conftest import SECRETS
from tests.xray_double import DENIED, EXPIRED, UNKNOWN_KEY, XRayDouble, error, shop

REGION = "eu-west-1"
SOURCE = f"aws:{REGION}"
HOUR_S = 3600
NOW = time.time()
RECORD = ("service", "name", "latency_ms", "failed", "numbers", "texts", "booleans")


def naive(time_s):
    return datetime.fromtimestamp(int(time_s), UTC).replace(tzinfo=None)


def read(
    double, store, *, hours=(10, 1), parts=3, now=NOW, again=(), most_per_day=10**6, stopping=lambda: False, **settings
):
    """One reading from and to so many hours before `now`, in so many slices; how far it came."""
    first, last = (naive(now - hour * HOUR_S) for hour in hours)
    lines = [first + (last - first) * n / parts for n in range(parts + 1)]
    told: list[Progress] = []
    reading = Reading(
        REGION,
        Settings(xray_endpoint=double.url, **settings),
        store,
        [stretch for stretch in itertools.pairwise(lines) if stretch[0] < stretch[1]],
        most_per_day=most_per_day,
        stopping=stopping,
        tell=told.append,
        again=again,
    )
    reading.run()
    assert reading.limited == (told[-1].billed >= most_per_day if told else False)
    return told[-1] if told else None


def records(store):
    """What is measured of each trace, by trace id: `RECORD`."""
    found = store.query(f"SELECT trace_id, {', '.join(RECORD)} FROM records WHERE annotated ORDER BY trace_id")
    return {row[0]: row[1:] for row in found.itertuples(index=False)}


def spans(store):
    return store.query("SELECT span_id, trace_id, kind FROM spans ORDER BY trace_id, span_id")


def shops(count, *, hours=(9, 2), **fields):
    """So many requests, evenly spread from and to so many hours ago."""
    first, last = (NOW - hour * HOUR_S for hour in hours)
    return [shop(n, first + (last - first) * n / count, latency_ms=90.5 + n % 50, **fields) for n in range(count)]


# What is stored, and what it takes


def test_every_trace_is_a_record_whichever_way_it_was_read(double, store):
    made = shops(1000)
    double.add(*made)

    progress = read(double, store)

    assert len(records(store)) == 1000
    assert progress.traces == 1000
    assert progress.slices_done == progress.slices_total
    summaries = (spans(store)["span_id"] == "summary").sum()
    assert summaries == 1000 - 20
    assert double.calls["BatchGetTraces"] == 2 * 20 // 5  # two pages each


def test_a_record_from_a_summary_equals_the_one_from_the_trace(double, store, tmp_path):
    made = [shop(n, NOW - 2 * HOUR_S - n, latency_ms=80.25 + n, failed=n % 7 == 0) for n in range(120)]
    for n, segment in enumerate(made):  # a text that reads as a number, none at all, and one of each type
        extra = {"build": "12", "none": ""} | ({"canary": True} if n % 2 else {})
        segment["subsegments"][0]["annotations"] |= extra
        if n % 7 == 0:
            segment["subsegments"][0]["fault"] = segment["fault"] = n % 2 == 0
    double.add(*made)

    read(double, store)
    told = records(store)
    from_summaries = (spans(store)["span_id"] == "summary").sum()
    read(double, store, again=[segment["trace_id"] for segment in made])
    found = records(store)

    assert from_summaries == 120 - 2 * 20
    assert (spans(store)["span_id"] == "summary").sum() == 0
    assert told == found


def test_a_root_that_is_annotated_is_told_with_its_own_duration_and_flags(double, store):
    made = []
    for n in range(200):
        start, failing = NOW - 2 * HOUR_S - n, n % 10 == 0
        segment = {
            "name": "cart", "id": f"{n:016x}", "trace_id": f"1-{int(start):08x}-{n:024x}", "fault": failing,
            "start_time": round(start, 3), "end_time": round(start + 0.1 + n / 1000, 3), "annotations": {"flag": "low"},
            "http": {"request": {"method": "GET", "url": "https://cart.example/"}, "response": {"status": 500}},
        }  # fmt: skip
        made.append(segment)
    double.add(*made)

    read(double, store, hours=(4, 1))
    told = records(store)
    columns = "kind, http_status, http_url, http_method, fault, round(duration_ms, 3) AS ms"
    [of_summary] = {row[:4] for row in store.query(f"SELECT {columns} FROM spans").itertuples(index=False)}
    read(double, store, again=[segment["trace_id"] for segment in made])

    assert told == records(store)
    assert of_summary == ("segment", 500, "https://cart.example/", "GET")
    assert sum(failed for *_, failed, _, _, _ in told.values()) == 20


def test_traces_that_their_summaries_can_not_tell_are_read_in_full(double, store):
    start = NOW - 3 * HOUR_S
    two_values = shop(1, start)
    two_values["subsegments"].append({**two_values["subsegments"][0], "id": "ff", "annotations": {"flag": "extreme"}})
    partial = shop(2, start)
    del partial["subsegments"][0]["end_time"]
    failing = shop(3, start)
    failing["subsegments"][0]["fault"] = True  # caught: the segment has none
    no_latency = shop(4, start)
    del no_latency["subsegments"][0]["annotations"]["processing_time_ms"]
    many = shop(5, start)
    many["subsegments"][0]["annotations"] = {"processing_time_ms": 5.0} | {f"key_{n}": n for n in range(60)}
    long = shop(6, start)
    long["subsegments"][0]["annotations"]["flag"] = "x" * 1000
    double.add(*shops(60), two_values, partial, failing, no_latency, many, long)

    read(double, store)

    found = spans(store)
    told = set(found.loc[found["span_id"] == "summary", "trace_id"])
    odd = [two_values, partial, failing, no_latency, many, long]
    assert told.isdisjoint(canonical_trace_id(segment["trace_id"]) for segment in odd)
    assert len(told) >= 40  # `failing` is of the same kind, and may be one of its twenty
    measured = records(store)
    assert measured[canonical_trace_id(failing["trace_id"])][RECORD.index("failed")]
    assert len(dict(measured[canonical_trace_id(many["trace_id"])][RECORD.index("numbers")])) == 61


def test_two_annotated_spans_with_different_keys_are_two_records(double, store):
    made = shops(100)
    for segment in made:
        segment["subsegments"].append(
            {**segment["subsegments"][0], "id": f"{segment['id'][:-1]}f0", "annotations": {"processing_ms": 5}}
        )
    double.add(*made)

    read(double, store)

    assert (spans(store)["span_id"] == "summary").sum() == 0
    assert store.query("SELECT count(*) AS n FROM records WHERE annotated")["n"].to_list() == [200]


def test_each_service_and_set_of_keys_is_judged_for_itself(double, store):
    split = shops(60)
    for n, segment in enumerate(split):
        segment |= {"name": "split", "id": f"{n + 5000:016x}", "trace_id": f"{segment['trace_id'][:-4]}f{n:03d}"}
        segment["annotations"] = {"extra": n}
    double.add(*shops(60), *split)

    read(double, store)

    found = store.query("SELECT service, count(*) AS n FROM spans WHERE span_id = 'summary' GROUP BY 1")
    assert found.to_numpy().tolist() == [["shop", 40]]


def test_traces_without_annotations_of_one_segment_are_told_and_of_two_are_read(double, store):
    made = shops(60)
    for n, segment in enumerate(made):
        del segment["subsegments"]
        if n % 2:
            segment["name"] = "front"
            behind = {"name": "back", "parent_id": segment["id"], "id": f"{n + 9000:016x}"}
            double.add({**segment, **behind})
    double.add(*made)

    read(double, store)

    found = store.query("SELECT service, span_id = 'summary' AS told, count(*) AS n FROM spans GROUP BY ALL ORDER BY 1")
    assert sorted(map(tuple, found.to_numpy().tolist())) == [
        ("back", False, 30), ("front", False, 30), ("shop", False, 20), ("shop", True, 10),
    ]  # fmt: skip


def test_a_short_duration_is_not_taken_from_a_summary_which_rounds_it(double, store):
    made = shops(60)
    for segment in made:
        del segment["subsegments"]
        segment["end_time"] = segment["start_time"] + 0.0021
    double.add(*made)

    read(double, store)

    latencies = store.query("SELECT DISTINCT round(latency_ms, 2) AS ms FROM records")["ms"].to_list()
    assert latencies == [2.1]


def test_a_document_put_together_of_many_pieces_is_taken(double, store):
    large = shop(1, NOW - 2 * HOUR_S, metadata={"default": {"text": "x" * 200_000}})
    double.add(large)

    read(double, store)

    assert len(records(store)) == 1


def test_a_trace_over_the_limit_is_stored_as_far_as_it_goes_and_counted(double, store):
    double.limit_bytes = 1500
    whole = shops(30)
    second = {**shop(999, whole[0]["start_time"]), "id": "f" * 16, "trace_id": whole[0]["trace_id"]}
    second |= {"parent_id": whole[0]["id"], "metadata": {"x": "y" * 3000}}
    double.add(*whole, second)

    read(double, store)

    assert activity.snapshot()["altered"][SOURCE] == {"trace_limit_exceeded": 1}
    assert len(records(store)) == 30


def test_the_filter_is_passed_on_and_its_slices_are_remembered_as_such(double, store):
    double.add(*shops(10), *({**one, "name": "other", "trace_id": f"{one['trace_id'][:-4]}ffff"} for one in shops(5)))

    read(double, store, xray_filter='service("other")')

    assert store.query("SELECT DISTINCT service FROM spans")["service"].to_list() == ["other"]
    assert ledger.finished(store, SOURCE, "") == []
    slices = ledger.finished(store, SOURCE, 'service("other")')
    assert (sum(one.traces for one in slices), sum(one.scanned for one in slices)) == (5, 15)


# Slices and settling


def test_a_finished_slice_is_in_the_ledger_with_what_it_had(double, store):
    double.add(*shops(300))

    read(double, store)

    done = ledger.finished(store, SOURCE, "")
    start, end = naive(NOW - 10 * HOUR_S), naive(NOW - HOUR_S)
    assert ledger.lacking([one[2:4] for one in done], start, end) == []
    assert sum(one.traces for one in done) == 300
    assert sum(one.read for one in done) == 20
    assert sum(ledger.billed(store, datetime.now(UTC).date()).values()) == 300 + 20


def test_the_last_minutes_are_not_settled_and_what_changes_there_is_seen_by_the_next_reading(double, store):
    now = time.time()
    late = shop(1, now - 120)
    del late["end_time"], late["subsegments"]
    double.add(late, shop(2, now - 60))
    read(double, store, hours=(2, 0), now=now)
    done = [one[2:4] for one in ledger.finished(store, SOURCE, "")]
    [(start, end)] = ledger.lacking(done, naive(now - 2 * HOUR_S), naive(now))
    assert len(records(store)) == 1
    assert 570 <= (end - start).total_seconds() <= 601

    double.add(shop(1, now - 120))
    read(double, store, hours=(0.2, 0), now=now)

    assert len(records(store)) == 2


def test_a_trace_that_was_read_in_full_and_changes_is_read_in_full_again(double, store):
    now = time.time()
    double.add(*(shop(n, now - 100 - n, latency_ms=100.0) for n in range(50)))
    read(double, store, hours=(0.2, 0), now=now)
    assert (spans(store)["span_id"] == "summary").sum() == 30

    double.add(*(shop(n, now - 100 - n, latency_ms=300.0) for n in range(50)))
    read(double, store, hours=(0.2, 0), now=now)

    assert {latency for _, _, latency, *_ in records(store).values()} == {300.0}
    assert len(records(store)) == 50


def test_a_trace_that_was_in_progress_is_read_again_by_its_id(double, store):
    partial = shop(1, NOW - 2 * HOUR_S)
    del partial["subsegments"][0]["end_time"]
    double.add(partial)
    read(double, store)
    assert records(store) == {}
    double.add(shop(1, NOW - 2 * HOUR_S))

    again = xray.unfinished_traces(store, SOURCE, naive(NOW))
    read(double, store, hours=(1, 1), again=again)

    assert again == [partial["trace_id"]]
    assert len(records(store)) == 1
    assert xray.unfinished_traces(store, SOURCE, naive(NOW)) == []


def test_what_was_in_progress_long_ago_is_not_asked_for_any_more(double, store):
    partial = shop(1, NOW - 8 * HOUR_S)
    del partial["end_time"]
    double.add(partial)

    read(double, store)

    assert xray.unfinished_traces(store, SOURCE, naive(NOW)) == []


def test_a_reading_that_is_stopped_keeps_what_it_has_and_does_not_ask_twice(double, store):
    double.add(*shops(600))
    asked = []

    def stopping():
        asked.append(1)
        return double.calls.total() > 12

    first = read(double, store, parts=24, stopping=stopping)
    done = ledger.finished(store, SOURCE, "")
    assert 0 < len(done) < first.slices_total
    lacking = ledger.lacking([one[2:4] for one in done], naive(NOW - 10 * HOUR_S), naive(NOW - HOUR_S))
    before = len(double.asked)

    Reading(
        REGION, Settings(xray_endpoint=double.url), store, ledger.cut(lacking),
        most_per_day=10**6, stopping=lambda: False, tell=lambda _: None,
    ).run()  # fmt: skip

    asked_again = [
        (naive(request["StartTime"]), naive(request["EndTime"]))
        for operation, request in double.asked[before:]
        if operation == "GetTraceSummaries"
    ]
    assert len(records(store)) == 600
    assert all(end <= one.start or start >= one.end for start, end in asked_again for one in done)


def test_no_more_is_asked_when_the_limit_of_the_day_is_reached(double, store):
    double.add(*shops(1500))

    progress = read(double, store, most_per_day=500)

    assert 500 <= progress.billed < 500 + 9 * 100
    assert sum(ledger.billed(store, datetime.now(UTC).date()).values()) == progress.billed


# Calls in flight


def test_up_to_eight_calls_are_in_flight(double, store):
    with XRayDouble(latency_s=0.02) as slow:
        slow.add(*shops(800))
        read(slow, store, parts=24)

        assert 6 <= slow.most_in_flight <= 8


def test_the_flow_halves_when_throttled_and_grows_with_clean_answers():
    flow = Flow()

    def after(*answers):
        for throttled in answers:
            flow.answered(throttled=throttled)
        return flow.limit

    assert after() == 8
    assert after(True) == 4
    assert after(*[True] * 7) == 4  # of the same burst
    assert after(*[False] * 19) == 4
    assert after(False) == 5
    assert after(*[False] * 40) == 7
    assert after(True, *[False] * 6, True) == 3
    assert after(*[True] * 30) == 1
    assert flow.calls == 106


def test_throttling_in_bursts_costs_time_and_no_trace(double, store):
    double.add(*shops(400))
    double.throttle_every, double.burst = 12, 4

    read(double, store, parts=12)

    assert len(records(store)) == 400


# What goes wrong on the way


@pytest.mark.parametrize(
    "fault", ["reset", "cut", "cut character", "token", error("InternalFailure"), error("ServiceUnavailable")]
)
def test_a_page_that_fails_is_asked_for_again_and_nothing_is_lost(double, store, fault):
    double.add(*shops(450, hours=(7, 6.5)))
    double.fail("GetTraceSummaries", *["", fault, "", fault, fault])
    double.fail("BatchGetTraces", *["", fault, fault])

    read(double, store, hours=(8, 6))

    assert len(records(store)) == 450


def test_ids_that_come_back_unprocessed_are_asked_for_again(double, store):
    made = shops(30)
    double.add(*made)
    for segment in made[:12]:
        double.unprocessed[segment["trace_id"]] = 3

    read(double, store)

    assert len(records(store)) == 30
    assert activity.snapshot()["dropped"] == {}


def test_a_trace_that_never_comes_is_told_by_its_summary_or_counted(double, store):
    told, untold = shop(1, NOW - 2 * HOUR_S), shop(2, NOW - 2 * HOUR_S)
    untold["subsegments"].append({**untold["subsegments"][0], "id": "ff", "annotations": {"flag": "extreme"}})
    double.add(told, untold)
    double.unprocessed.update({segment["trace_id"]: 100 for segment in (told, untold)})

    read(double, store)

    assert len(records(store)) == 1
    assert activity.snapshot()["dropped"] == {SOURCE: {"trace_not_found": 1}}


def test_with_transaction_search_the_summaries_tell_and_the_rest_is_not_asked_for(double, store):
    double.indexed_percentage = 1.0
    double.add(*shops(400))

    read(double, store)

    assert len(records(store)) == 400
    assert double.calls["BatchGetTraces"] == 2 * 4
    assert XRay(REGION, Settings(xray_endpoint=double.url), Flow()).indexed_share() == 0.01


def test_without_transaction_search_nothing_is_said_of_it(double):
    assert XRay(REGION, Settings(xray_endpoint=double.url), Flow()).indexed_share() is None


NOBODY = "http://127.0.0.1:9"
IN = "X-Ray in eu-west-1"
OF = "GetTraceSummaries"
SENTENCES = [
    pytest.param(DENIED, f"AWS denied {OF}: allow the IAM action xray:{OF} in eu-west-1.", id="denied"),
    pytest.param(EXPIRED, "The AWS session has expired: renew the credentials, then start again.", id="expired"),
    pytest.param(UNKNOWN_KEY, "AWS does not accept these credentials in eu-west-1: ", id="unknown key"),
    pytest.param(error("ThrottledException"), f"{IN} takes fewer calls than Tracecast needs", id="throttled"),
    pytest.param(error("InvalidRequestException", "Bad\nrange"), f"X-Ray refused {OF}: Bad range", id="refused"),
    pytest.param(error("InternalFailure"), f"{IN} answered {OF} with InternalFailure", id="500"),
    pytest.param("reset", f"{IN} broke off its answer to {OF}, several times", id="reset"),
    pytest.param("cut", f"{IN} cut short its answer to {OF}, several times.", id="cut"),
]


@pytest.mark.parametrize(("fault", "sentence"), SENTENCES)
def test_a_failure_that_stays_is_one_sentence_without_credentials(double, store, fault, sentence, caplog):
    caplog.set_level(logging.DEBUG)
    double.add(shop(1, NOW - 2 * HOUR_S))
    double.fail("GetTraceSummaries", *[fault] * 500)

    with pytest.raises(SourceUnavailable) as refusal:
        read(double, store)

    said = str(refusal.value)
    assert said.startswith(sentence)
    assert "\n" not in said
    assert not any(secret in said + caplog.text for secret in [*SECRETS.values(), "arn:", "123456789012"])


def test_a_role_that_may_not_be_taken_on_is_told_apart():
    refusal = ClientError(
        {"Error": {"Code": "AccessDenied", "Message": "User: arn:aws:iam::1:user/alice"}}, "AssumeRole"
    )

    told = explained(refusal, OF, REGION, Settings(), paging=False)

    assert str(told) == "AWS denied AssumeRole: allow the IAM action sts:AssumeRole."


def test_a_token_that_is_refused_for_ever_ends_the_reading(double, store):
    double.add(*shops(500, hours=(7, 6.9)))
    double.fail("GetTraceSummaries", *["token"] * 500)

    with pytest.raises(SourceUnavailable, match=r"refused the token of a next page again and again: start again\.$"):
        read(double, store, hours=(8, 6))


def test_a_filter_that_is_refused_is_named(double, store):
    with pytest.raises(SourceUnavailable, match=r"^X-Ray refused .* TRACECAST_XRAY_FILTER: Invalid filter .*nonsense"):
        read(double, store, xray_filter="nonsense(")


def test_what_came_before_a_failure_is_kept(double, store):
    double.add(*shops(600))
    double.fail("GetTraceSummaries", *[""] * 20, *[DENIED] * 500)

    with pytest.raises(SourceUnavailable):
        read(double, store, parts=24)

    assert len(ledger.finished(store, SOURCE, "")) > 0
    assert len(records(store)) > 0


def environment(monkeypatch, tmp_path, config, **variables):
    for name in SECRETS:
        monkeypatch.delenv(name)
    (tmp_path / "config").write_text(config)
    for name, value in {
        "AWS_CONFIG_FILE": tmp_path / "config",
        "AWS_SHARED_CREDENTIALS_FILE": tmp_path / "none",
    }.items():
        monkeypatch.setenv(name, str(value))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("config", "variables", "sentence"),
    [
        pytest.param("", {}, "No AWS credentials were found: set AWS_PROFILE, or AWS_ACCESS_KEY_ID", id="none"),
        pytest.param("", {"AWS_PROFILE": "work"}, "The profile in AWS_PROFILE is not in the AWS config", id="profile"),
        pytest.param("", {"AWS_ACCESS_KEY_ID": "AKID"}, "The AWS credentials are incomplete: ", id="half"),
        pytest.param("[broken", {}, "The AWS configuration file of this machine can't be read", id="config"),
    ],
)
def test_credentials_that_are_missing_are_asked_for(double, monkeypatch, tmp_path, config, variables, sentence):
    environment(monkeypatch, tmp_path, config, **variables)

    with pytest.raises(SourceUnavailable) as refusal:
        XRay(REGION, Settings(xray_endpoint=double.url), Flow()).indexed_share()

    assert str(refusal.value).startswith(sentence)


@pytest.mark.parametrize(
    ("region", "settings", "sentence"),
    [
        pytest.param(REGION, {"xray_endpoint": NOBODY}, f"Nothing answers at {NOBODY}: correct TRACE", id="endpoint"),
        pytest.param("mars-north-1", {}, "mars-north-1 is no region that has X-Ray: correct TRACE", id="region"),
        pytest.param(REGION, {}, "X-Ray in eu-west-1 can't be reached: check the network", id="network"),
        pytest.param("-", {}, "- is no region that has X-Ray", id="no name of a region"),
    ],
)
def test_what_can_not_be_reached_is_told_apart(double, monkeypatch, region, settings, sentence):
    monkeypatch.setenv("HTTPS_PROXY", NOBODY)  # so that nothing leaves this machine

    with pytest.raises(SourceUnavailable) as refusal:
        XRay(region, Settings(**settings), Flow()).indexed_share()

    assert str(refusal.value).startswith(sentence)


def test_the_double_holds_each_request_and_answer_against_the_model(double, store):
    double.add(*shops(5))
    client = XRay(REGION, Settings(xray_endpoint=double.url), Flow())

    with pytest.raises(SourceUnavailable, match="at most 6 hours"):
        client.summaries(naive(NOW - 7 * HOUR_S), naive(NOW), None)
    with pytest.raises(SourceUnavailable, match="At most 5 trace ids"):
        client.traces(["1-00000000-000000000000000000000000"] * 6)
    with pytest.raises(AssertionError, match="not of the API"):
        double._hold_against_model({"Surprise": 1}, "BatchGetTraces")
