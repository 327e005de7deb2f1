"""Sources in AWS on the pages: what is said of what lacks, of a pull, and of what stands in the way."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from core import activity, ledger, pulls, settings
from core.ingest.xray import Reading
from core.lacking import Lack
from core.ledger import Slice
from core.pulls import Pull
from core.view import pull_words
from core.view.text import NBSP
from tests.test_pages import title, use, visit, words
from tests.xray_double import shop

SOURCE = "aws:eu-west-1"
DAY = timedelta(days=1)


def now():
    return datetime.now(UTC).replace(tzinfo=None)


@pytest.fixture(autouse=True)
def _told(double, store, monkeypatch):
    """One region may be read, by a visitor who types the token."""
    monkeypatch.setenv("TRACECAST_AWS_REGION", "eu-west-1")
    monkeypatch.setenv("TRACECAST_XRAY_ENDPOINT", double.url)
    monkeypatch.setenv("TRACECAST_API_TOKEN", "sesame")
    settings.current.cache_clear()
    use(store)
    yield
    settings.current.cache_clear()


def read(double, store, *segments, days=2.0, until_days_ago=0.0):
    """What a pull of these days does."""
    double.add(*segments)
    end = (now() - until_days_ago * DAY).replace(microsecond=0)
    Reading(
        "eu-west-1", settings.current(), store, ledger.cut([(end - days * DAY, end)]),
        most_per_day=10**6, stopping=lambda: False, tell=lambda _: None,
    ).run()  # fmt: skip


def shops(count=400, days=1.9):
    start = time.time() - days * 86_400
    return [shop(n, start + n * days * 86_400 / count, latency_ms=100.0 + n % 20) for n in range(count)]


def button(app, label):
    return next(one for one in app.button if one.label == label)


def labels(app):
    return [one.label for one in app.button]


# Nothing is here


@pytest.mark.parametrize("page", ["overview", "forecast", "anomalies", "accuracy"])
def test_a_range_of_which_nothing_is_here_is_named_with_what_to_do(page):
    app = visit(page, source=SOURCE)

    assert title(app) == "14 of 14 days are not here yet"
    assert "can be estimated by 24 looks at a few minutes each, for under 0.01 USD." in words(app)
    assert labels(app) == ["Estimate", "Read them"]
    assert not app.error


def test_each_allowed_region_can_be_chosen():
    app = visit()

    assert SOURCE in app.selectbox(key="source").options


def test_an_estimate_is_asked_for_by_a_button_and_told():
    app = visit(source=SOURCE)
    next(one for one in app.text_input if one.label == "Token").set_value("sesame")
    button(app, "Estimate").click().run()
    assert pulls.estimate_asked(SOURCE)
    assert button(app, "Estimate").disabled

    pulls.take_estimate(SOURCE, done=True)
    activity.report(SOURCE, traces_per_hour=122.0, scanned_per_hour=122.0)
    app.run()

    assert "About 41,000 traces, at most 0.05 USD." in words(app)
    assert labels(app) == ["Read them"]


def test_a_click_asks_for_a_pull_whose_progress_shows_and_which_can_be_stopped():
    app = visit(source=SOURCE, range="3d")
    next(one for one in app.text_input if one.label == "Token").set_value("sesame")

    button(app, "Read them").click().run()

    [pull] = pulls.everything()
    assert (pull.source, pull.state) == (SOURCE, "queued")
    assert timedelta(days=3) <= pull.end - pull.start < timedelta(days=3, hours=1)
    assert title(app) == "Reading from X-Ray in eu\\-west\\-1"

    pulls.begin(SOURCE)
    pulls.update(pull.id, slices_done=12, slices_total=28, traces=34_100, calls=420, cost_usd=0.018)
    app.run()
    assert "12 of 28 slices, 34,100 traces, 420 calls, 0.02 USD" in str(app.get("progress")[0].proto).replace(NBSP, " ")

    button(app, "Stop").click().run()
    assert pulls.is_stopping(pull.id)


@pytest.mark.parametrize("label", ["Estimate", "Read them"])
def test_nobody_without_the_token_can_spend_money(label):
    app = visit(source=SOURCE)

    button(app, label).click().run()

    assert app.error[0].value == "Type the token first: it is what TRACECAST_API_TOKEN says."
    assert pulls.everything() == []
    assert not pulls.estimate_asked(SOURCE)


def test_a_link_alone_asks_for_nothing(double):
    visit(source=SOURCE, range="all")

    assert pulls.everything() == []
    assert double.calls.total() == 0


def test_a_region_that_may_not_be_read_says_what_to_set():
    app = visit(source="aws:us-east-1")

    assert "The region us\\-east\\-1 may not be read here: add it to `TRACECAST_AWS_REGION`" in words(app)
    assert labels(app) == []


def test_a_failed_pull_says_why(monkeypatch):
    monkeypatch.setattr("core.view.removal.told", lambda: True)
    pull = pulls.ask(SOURCE, now() - DAY, now())
    pulls.update(pull.id, state="failed", error="No AWS credentials were found: set AWS_PROFILE.")

    app = visit(source=SOURCE)

    assert "No AWS credentials were found\\: set AWS\\_PROFILE\\." in words(app)
    assert "Read them" in labels(app)


def test_a_stranger_is_not_told_why():
    activity.fail(SOURCE, "No AWS credentials were found: set AWS_PROFILE.")

    app = visit(source=SOURCE)

    assert "AWS_PROFILE" not in words(app)
    assert "AWS could not be read; why is told to who may write here" in words(app).replace("\\", "")


def test_all_was_read_and_there_was_nothing(double, store):
    read(double, store, days=15)

    app = visit(source=SOURCE)

    assert title(app) == "X-Ray has no traces in this range in eu\\-west\\-1"


# Some is here


def test_what_lacks_stands_above_what_is_here(double, store):
    read(double, store, *shops())

    app = visit(source=SOURCE)

    assert "**12 of 14 days are not here yet**" in words(app)
    assert "traces, under 0.01 USD. :gray[The first million traces a month are free.]" in words(app)
    assert title(app).startswith(("Not expected", "About", "May cross", "Expected", "No traces since"))
    assert "Read them" in labels(app)


def test_a_range_that_is_here_asks_for_nothing_and_says_what_it_is_known_by(double, store):
    read(double, store, *shops(), days=3.1)

    app = visit(source=SOURCE, range="3d")

    assert "not here yet" not in words(app)
    assert "95.0 % of these records come from trace summaries, the rest from whole traces." in words(app)
    assert "Read them" not in labels(app)


def test_segments_that_were_not_read_are_told(double, store):
    read(double, store, *shops(), days=3.1)

    app = visit(source=SOURCE, range="3d", scope="segments")

    assert "Of 95.0 % of the annotated traces only the summary was read: no segments of them." in words(app)


def test_transaction_search_is_told_with_its_share_and_what_to_do(double, store):
    read(double, store, *shops(), days=3.1)
    activity.report(SOURCE, indexed_share=0.01)

    app = visit(source=SOURCE, range="3d")

    assert "Transaction Search is on in this account: X-Ray indexes 1.0 % of the spans" in app.info[0].value.replace(
        NBSP, " "
    )
    assert "Send the spans here as well (see Sources)" in app.info[0].value


def test_whoever_has_the_source_on_screen_is_noticed_unless_the_end_is_fixed():
    visit(source=SOURCE, end="2026-01-02")
    assert pulls.seen(SOURCE) is None

    visit(source="sample")
    assert pulls.seen(SOURCE) is None

    visit(source=SOURCE)
    assert now() - pulls.seen(SOURCE) < timedelta(seconds=60)


def test_sources_lists_the_pulls_and_what_was_read_today(store):
    pull = pulls.ask(SOURCE, datetime(2026, 11, 3), datetime(2026, 11, 4))
    pulls.update(pull.id, state="done", slices_done=24, slices_total=24, traces=1000, calls=40, cost_usd=0.0005)
    ledger.bill(store, SOURCE, now().date(), 1020)

    app = visit("sources")

    row = app.dataframe[-1].value.iloc[0]
    assert (row["source"], row["state"], row["slices"], row["traces"]) == (SOURCE, "done", "24 of 24", 1000)
    assert "1,020 traces scanned or read today" in words(app)
    assert "A day's limit, for all regions together, is 200,000 traces" in words(app)


# The words


def lack(lacks, asked=timedelta(days=14), traces=None, most_usd=None):
    return Lack(datetime(2026, 11, 10), datetime(2026, 11, 24), lacks, asked, traces, most_usd)


@pytest.mark.parametrize(
    ("lacks", "asked", "sentence"),
    [
        (timedelta(days=3), timedelta(days=14), "3 of 14 days are not here yet"),
        (timedelta(days=14, hours=1), timedelta(days=14, minutes=50), "14 of 14 days are not here yet"),
        (timedelta(hours=8), timedelta(days=14), "8 hours of 14 days are not here yet"),
        (timedelta(hours=20), timedelta(hours=24), "20 of 24 hours are not here yet"),
        (timedelta(minutes=61), timedelta(hours=6), "61 minutes of 6 hours are not here yet"),
        (timedelta(minutes=40), timedelta(hours=1), "40 of 60 minutes are not here yet"),
    ],
)
def test_what_lacks_is_said_in_the_largest_fitting_unit(lacks, asked, sentence):
    assert pull_words.lacks(lack(lacks, asked)) == sentence


DAYS = ", so that it takes several."


@pytest.mark.parametrize(
    ("traces", "usd", "sentence"),
    [
        (41_234, 0.0412, "About 41,000 traces, at most 0.05 USD."),
        (120, 0.00012, "About 120 traces, under 0.01 USD."),
        (0, 0.0, "About 0 traces, at no cost."),
        (1_234_567, 1.2, f"About 1,200,000 traces, at most 1.20 USD. A day's limit is 200,000{DAYS}"),
    ],
)
def test_what_it_takes_is_rounded_up_in_money(traces, usd, sentence):
    assert pull_words.takes(lack(DAY, traces=traces, most_usd=usd), 200_000).replace(NBSP, " ") == sentence


def test_a_pull_that_waits_has_no_numbers_yet():
    assert pull_words.progress(Pull("1", SOURCE, now(), now())) == "It begins in a moment."


def test_a_slice_of_another_filter_does_not_count(store, monkeypatch):
    ledger.finish(store, Slice(SOURCE, 'service("a")', now() - 15 * DAY, now(), 1, 1, 0))

    assert title(visit(source=SOURCE)) == "14 of 14 days are not here yet"


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (1.0, "All of these records come from trace summaries."),
        (0.25, f"25.0{NBSP}% of these records come from trace summaries, the rest from whole traces."),
        (0.0, ""),
        (None, ""),
    ],
)
def test_which_records_are_known_by_summaries(share, said):
    assert pull_words.known_by(share, share, "annotated") == said
