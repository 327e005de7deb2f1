"""The whole program in a real Chromium, end to end: one process with its pipeline, and visitors of their own."""

import csv
import io
import json
import os
import re
import shutil
import threading
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.error import HTTPError
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import expect, sync_playwright

from core.view.text import NBSP, amount, spread
from tests.price_server import PriceServer
from tests.running import PATIENCE_S, running, status

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PAGES = ("Overview", "Forecast", "Anomalies", "Price", "Sources")
HOUR = r"(?:today|tomorrow) \d\d:00"

pytestmark = pytest.mark.browser
expect.set_options(timeout=1000 * PATIENCE_S)


@pytest.fixture(scope="module")
def chromium():
    if CHROMIUM is None:
        reason = "no Chromium found: install the package chromium to run the tests in a browser"
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        yield playwright.chromium


@pytest.fixture(scope="module")
def browser(chromium, tmp_path_factory):
    """One that keeps what it compiled of Streamlit's scripts, and so opens a page in two thirds of the time."""
    folder = tmp_path_factory.mktemp("browser")
    kept = chromium.launch_persistent_context(folder, executable_path=CHROMIUM, timezone_id="UTC")
    yield kept
    kept.close()


@pytest.fixture(scope="module")
def address(browser, tmp_path_factory):
    """The program, with its pipeline asking a loopback stand-in for the price every second."""
    with (
        PriceServer() as prices,
        running(tmp_path_factory.mktemp("home"), PRICE_API=prices.url, PRICE_INTERVAL_S="1") as started,
    ):
        yield started


@pytest.fixture(scope="module")
def without_pipeline(browser, tmp_path_factory):
    with running(tmp_path_factory.mktemp("quiet"), PIPELINE="off") as started:
        yield started


@pytest.fixture
def quiet(without_pipeline):
    """The program without its pipeline, for tests that change what is stored: `live` is empty before and after."""
    yield without_pipeline
    with suppress(HTTPError):  # there is nothing to remove
        urlopen(Request(f"{without_pipeline}/api/v1/sources/live", method="DELETE"), timeout=30).close()


@pytest.fixture
def visitor(chromium, browser):
    """Opens pages, each for a visitor of its own. An error in any of their consoles fails the test."""
    closing, errors = ExitStack(), []

    def hear(message):
        # Opened below its root, Streamlit's own page asks there for its server before it asks at the root.
        asked = message.location["url"].endswith(("/_stcore/health", "/_stcore/host-config"))
        if message.type == "error" and not asked:
            errors.append(message.text)

    def visit(address, page="", width=1440, elsewhere=False, **link):
        """`elsewhere`: with another browser, that shares nothing with the first."""
        if elsewhere:
            other = chromium.launch(executable_path=CHROMIUM)
            closing.callback(other.close)
        visited = other.new_page(timezone_id="UTC") if elsewhere else browser.new_page()
        closing.callback(visited.close)
        visited.set_viewport_size({"width": width, "height": 1200})
        visited.set_default_timeout(1000 * PATIENCE_S)
        visited.on("console", hear)
        visited.on("pageerror", lambda error: errors.append(str(error)))
        visited.goto(f"{address}/?{urlencode(link)}" if link else address)
        expect(visited.locator("h1")).to_be_visible()
        if page:
            go(visited, page)
        return visited

    with closing:
        yield visit
    assert errors == []


def go(page, name):
    """Click the page's name in the navigation; a page is open when its name stands above its sentence."""
    page.get_by_test_id("stSidebarNav").get_by_text(name, exact=True).click()
    expect(page.locator("strong", has_text=re.compile(f"^{name}$"))).to_be_visible()
    expect(page.locator("h1")).to_be_visible()


def open_more(page):
    page.get_by_test_id("stExpander").locator("summary").click()
    expect(page.get_by_label("Fixed start (UTC)")).to_be_visible()


def set_threshold(page, value):
    page.get_by_label("Threshold (ms)", exact=True).fill(value)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text(f"{value}{NBSP}ms")


def sentence(page):
    return page.locator("h1").inner_text().replace(NBSP, " ")


def line(page):
    """The line under the sentence, without its small print, which says when it was said."""
    text = page.locator("h1 >> xpath=following::p[1]").inner_text()
    return text.replace(NBSP, " ").partition("Mean latency of")[0]


def chart(page, says):
    """The text of the chart for who does not see it."""
    found = page.locator(f"[data-testid=stVegaLiteChart][aria-label*='{says}']")
    expect(found).to_be_visible()
    return found.get_attribute("aria-label").replace(NBSP, " ")


def card(page, label):
    """The number of the card that is called so."""
    return (
        page.get_by_test_id("stMetric").filter(has=page.get_by_text(label, exact=True)).get_by_test_id("stMetricValue")
    )


def rows(address, link):
    with urlopen(urljoin(address, link), timeout=30) as answer:
        return list(csv.DictReader(io.TextIOWrapper(answer, "utf-8")))


def links(page):
    """The fixed and the moving link, as "Copy link" shows them."""
    page.get_by_text("Copy link").click()
    codes = page.get_by_test_id("stPopoverBody").get_by_test_id("stCode")
    expect(codes).to_have_count(2)
    return [codes.nth(at).inner_text().strip() for at in range(2)]


def test_what_one_visitor_sees_another_gets_by_the_link_and_by_csv(address, visitor):
    first = visitor(address, "Forecast")
    before = sentence(first)
    assert re.search(rf"cross 150 ms by {HOUR}", before)

    set_threshold(first, "143.5")
    after = sentence(first)
    assert after != before
    assert "threshold=143.5" in first.url
    csv_link = first.get_by_role("link", name="Download CSV").get_attribute("href")
    fixed, _ = links(first)

    second = visitor(fixed, elsewhere=True)
    assert sentence(second) == after
    assert line(second) == line(first)
    main, again = chart(first, "Threshold"), chart(second, "Threshold")
    assert main == again

    hours = rows(address, csv_link)
    assert len(hours) == 24
    assert {hour["threshold"] for hour in hours} == {"143.5"}
    numbers = {name: [float(hour[name]) for hour in hours] for name in ("yhat", "yhat_lower", "yhat_upper", "p_above")}
    forecast = spread(min(numbers["yhat"]), max(numbers["yhat"]), "ms").replace(NBSP, " ")
    interval = spread(min(numbers["yhat_lower"]), max(numbers["yhat_upper"]), "ms").replace(NBSP, " ")
    assert f"Forecast {forecast}, 95 % interval {interval}." in main
    assert f"Highest: {round(100 * max(numbers['p_above']))} %" in chart(first, "Chance of each hour")


def test_the_number_on_the_card_is_the_number_in_the_csv(address, visitor):
    page = visitor(address)

    shown = card(page, "Latency").inner_text()

    hours = rows(address, page.get_by_role("link", name="Download CSV").get_attribute("href"))
    complete = [hour for hour in hours if hour["complete"] == "true"]
    assert shown == amount(float(complete[-1]["latency_avg"]), "ms")


def test_every_page_keeps_what_was_set(address, visitor):
    page = visitor(address, range="7d")
    set_threshold(page, "161")

    for name in PAGES[1:] + PAGES[:1]:
        go(page, name)

        assert "range=7d" in page.url
        assert re.search(r"threshold=161(&|$)", page.url)  # not 161.0
        expect(page.get_by_label("Threshold (ms)", exact=True)).to_have_value("161")


def test_the_live_source_shows_its_first_traces_and_moves_by_itself(address, visitor):
    page = visitor(address, source="live")
    expect(page.locator("h1")).to_contain_text("No forecast yet: 24 full hours needed")
    open_more(page)
    page.get_by_label("Fixed start (UTC)").type("2026-")
    element = page.get_by_test_id("stVegaLiteChart").first
    element.evaluate("element => { element.here = true }")
    seen = traces(page)

    expect(card(page, "Traces")).not_to_have_text(f"{seen:,}")

    assert traces(page) > seen
    assert element.evaluate("element => element.here")
    expect(page.get_by_label("Fixed start (UTC)")).to_have_value("2026-")
    expect(page.get_by_label("Fixed start (UTC)")).to_be_focused()


def traces(page):
    return int(card(page, "Traces").inner_text().replace(",", ""))


def test_what_is_set_inside_more_stands_in_its_label_and_leaves_it_open(address, visitor):
    page = visitor(address)
    open_more(page)

    page.get_by_label("Times shown in").click()
    page.keyboard.type("Tokyo")
    page.keyboard.press("Enter")

    expect(page.get_by_test_id("stExpander").get_by_text("More (1 set)")).to_be_visible()
    expect(page.get_by_text("times in Tokyo")).to_be_visible()
    expect(page.get_by_label("Fixed start (UTC)")).to_be_visible()
    assert "tz=Asia%2FTokyo" in page.url


def test_other_buckets_begin_at_their_own_horizon(address, visitor):
    page = visitor(address, "Forecast", horizon="48")
    expect(page.get_by_text(f"Within 48{NBSP}h")).to_be_visible()

    page.get_by_test_id("stSidebar").get_by_label("Buckets").click()
    page.get_by_role("option", name="daily").click()

    expect(page.get_by_text(f"Within 7{NBSP}d")).to_be_visible()
    assert "horizon" not in page.url


def test_a_bad_link_is_said_and_the_page_works(address, visitor):
    page = visitor(address, threshold="abc", range="7d")

    expect(page.get_by_text("Ignored in the link:")).to_be_visible()
    assert re.search(r"cross 150 ms", sentence(page))
    assert "threshold" not in page.url


def test_a_phone_gets_the_whole_sentence(address, visitor):
    page = visitor(address, width=390)

    assert re.search(rf"150 ms by {HOUR}", sentence(page))
    expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def drawing(page, says):
    """Where the chart that says so is drawn."""
    chart(page, says)
    marks = page.locator(f"[data-testid=stVegaLiteChart][aria-label*='{says}'] svg.marks")
    expect(marks).to_be_visible()
    return marks


def test_a_click_on_an_hour_leads_to_its_traces_and_the_way_back_stays_open(address, visitor):
    page = visitor(address)
    marks = drawing(page, "Forecast")
    page.wait_for_timeout(500)  # until what is drawn first is replaced by what fits the width
    box = marks.bounding_box()
    marks.click(position={"x": box["width"] / 2, "y": 100})

    expect(page.locator("strong", has_text=re.compile("^Traces$"))).to_be_visible()
    asked = dict(parse_qsl(urlsplit(page.url).query))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:00:00Z", asked["bucket"])
    expect(page.locator("h1")).to_contain_text("traces")
    expect(page.get_by_text("In the hour")).to_be_visible()

    go(page, "Overview")
    expect(page.locator("h1")).to_contain_text("150")
    assert "bucket" not in page.url


def test_a_click_on_a_dot_opens_its_trace(quiet, visitor):
    post(quiet, segment("checkout"))
    page = visitor(quiet, source="live")
    drawing(page, "1 trace").locator(".records_marks path").first.click()

    expect(page.locator("strong", has_text=re.compile("^Traces$"))).to_be_visible()
    trace = dict(parse_qsl(urlsplit(page.url).query))["trace"]
    expect(page.get_by_text(re.compile(f"1-{trace[:8]}-{trace[8:]}|{trace}")).first).to_be_visible()


def test_a_source_is_removed_after_it_was_asked_twice(quiet, visitor):
    post(quiet, segment("checkout"))
    assert "live" in status(quiet)["sources"]
    page = visitor(quiet, "Sources")

    page.get_by_text("Remove", exact=True).click()
    expect(page.get_by_text("will be gone for good")).to_contain_text("1 span of live")
    page.get_by_role("button", name="Remove it").click()

    expect(page.get_by_text("live is being removed.")).to_be_visible()
    for _ in range(100 * PATIENCE_S):
        if "live" not in (left := status(quiet)["sources"]):
            break
        page.wait_for_timeout(10)
    assert list(left) == ["sample"]


class Witness(HTTPServer):
    """Answers nothing, and remembers who asked for what."""

    def __init__(self):
        asked = self.asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                self.send_error(404)

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)


def test_text_from_traces_is_fetched_by_nobody(quiet, visitor):
    witness = Witness()
    threading.Thread(target=witness.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    address = f"http://127.0.0.1:{witness.server_address[1]}"
    text = f"![x]({address}/image) <img src={address}/tag> [link]({address}/link) {address}/bare"
    post(quiet, segment(text, {"flag": text, text: text, f"{text} ms": 1.5, "price_usd": 60000}))
    post(quiet, f'{{"name": "{text}"}}', refused=1)

    page = visitor(quiet, source="live", service=text, by=text, measure=f"{text} ms", start=text)
    open_more(page)
    for name in PAGES[1:] + PAGES[:1]:
        expect(page.get_by_label("Split by")).to_have_value(text)
        page.wait_for_load_state("networkidle")
        go(page, name)
    page.wait_for_load_state("networkidle")
    witness.shutdown()
    witness.server_close()

    assert witness.asked == []


def segment(name, annotations=None, at=1):
    end = datetime.now(UTC).timestamp() - 30
    document = {
        "name": name,
        "id": f"{at:016x}",
        "trace_id": f"1-{int(end):08x}-{at:024x}",
        "start_time": end - 0.2,
        "end_time": end,
        "annotations": annotations or {"processing_time_ms": 120.5},
    }
    return json.dumps(document)


def post(address, document, refused=0):
    body = json.dumps({"TraceSegmentDocuments": [document]}).encode()
    with urlopen(Request(f"{address}/TraceSegments", body, {"Content-Type": "application/json"}), timeout=10) as answer:
        assert len(json.load(answer)["UnprocessedTraceSegments"]) == refused
