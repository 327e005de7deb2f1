"""What is seen in a browser, by the clock of its page: to Playwright and back takes 100 ms on two cores."""

import shutil
from collections.abc import Callable

from playwright.sync_api import Page

__all__ = ["CHROMIUM", "SETTLED_MS", "seen_after"]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SETTLED_MS = 2_000  # after which a page that was opened has nothing left to do

_WATCH = """([event, selector]) => {
    window.seen = new Promise(drawn => {
        let began
        document.addEventListener(event, () => { began = performance.now() }, { once: true, capture: true })
        const watch = new MutationObserver(() => {
            if (began === undefined || !document.querySelector(selector)) return
            watch.disconnect()
            requestAnimationFrame(() => requestAnimationFrame(() => drawn(performance.now() - began)))
        })
        watch.observe(document.body, { subtree: true, childList: true, attributes: true })
    })
}"""


def seen_after(page: Page, event: str, act: Callable[[], object], selector: str) -> float:
    """Milliseconds from the `event` ("click", "keydown") that `act` causes until the frame in which an element that
    `selector` finds is on screen; it must not be there before.
    """
    page.evaluate(_WATCH, [event, selector])
    act()
    return float(page.evaluate("window.seen"))
