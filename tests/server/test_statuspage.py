"""
The status page in a real browser: that its figures live, and that it says when they don't.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp

import pytest
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.processes import ROOT, Process, freePort, running, waitUntil
from tests.server.browser import browsing, consoleErrors, setColours
from tests.support import needsTool

SERVER = [sys.executable, str(ROOT / "tests" / "server" / "statusserver.py")]

# As the page writes them: a minus sign and a dash.
MINUTE_AGO, FIVE_AGO, NONE = "\u221260 s", "\u22125 min", "\u2013"

SERIES = ("requests", "client", "server", "p50", "p90", "p99", "p99.9", "open", "inFlight", "received", "sent")


class Page:
    """
    What a user sees of the page.
    """

    def __init__(self, browser: Chrome) -> None:
        self.browser = browser

    def find(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """
        The texts of all that fit, as of one moment: the page makes its tables anew each second.
        """
        script = "return [...document.querySelectorAll(arguments[0])].map((each) => each.textContent)"
        return list(self.browser.execute_script(script, selector))

    @property
    def state(self) -> str:
        return self.find("#state").text

    @property
    def uptime(self) -> str:
        return self.texts("#figures dd")[-1]

    def points(self) -> dict[str, int]:
        """
        How many points each line has.
        """
        script = (
            "return Object.fromEntries([...document.querySelectorAll('path')]"
            ".map((path) => [path.dataset.series, path.getAttribute('d').split(/[ML]/).length - 1]))"
        )
        return dict(self.browser.execute_script(script))

    def waitForState(self, state: str) -> None:
        waitUntil(lambda: self.state.startswith(state), f"the page is {state}")

    def waitForPoints(self, count: int) -> None:
        waitUntil(lambda: self.points().get("p99.9", 0) >= count, f"{count} points")


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    chromium, driver = needsTool("chromium"), needsTool("chromedriver")
    with browsing(chromium, driver, tmp_path / "profile") as browser:
        yield Page(browser)


@pytest.fixture
def port() -> int:
    return freePort()


@pytest.fixture
def serve(tmp_path: Path, port: int) -> Iterator[Callable[[], Process]]:
    """
    Starts the server, the second time anew.
    """
    with ExitStack() as stack:

        def start() -> Process:
            process = stack.enter_context(running([*SERVER, str(port)], Path(mkdtemp(dir=tmp_path))))
            process.waitForPorts(port)
            return process

        yield start


def test_live(page: Page, port: int, serve: Callable[[], Process]) -> None:
    """
    The figures come and change, in all charts and tables, and the browser has nothing to complain about.
    """
    serve()
    page.browser.get(f"http://127.0.0.1:{port}/")
    page.waitForState("live")
    page.waitForPoints(3)
    assert page.find("h1").text == page.browser.title == "example.org"
    assert re.search("version .+, (compiled|pure Python: .)", page.find("#about").text)

    before = page.texts("#figures dd")
    waitUntil(lambda: page.uptime > before[-1], "the uptime grows")
    for label, value in zip(page.texts("#figures dt"), page.texts("#figures dd"), strict=True):
        assert any(digit in value for digit in "0123456789"), (label, value)

    points = page.points()
    assert set(points) == set(SERIES)
    assert min(points.values()) >= 3, points
    assert "NaN" not in page.browser.page_source
    for chart in page.browser.find_elements(By.CSS_SELECTOR, "#charts svg"):
        assert chart.get_attribute("role") == "img"
        assert any(digit in (chart.accessible_name or "") for digit in "0123456789"), chart.accessible_name
    assert [text for text in page.texts("#charts svg text") if text == "now"] == ["now"] * 4

    assert "200" in page.texts("#statuses tbody th")
    waitUntil(lambda: "head timeout" in page.texts("#refused td"), "a refusal is shown")
    assert page.texts("#limits tr:last-child > *") == ["maxConnections", "none"]
    assert "8,192" in page.texts("#limits td")
    assert page.browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    assert consoleErrors(page.browser) == []

    # What isn't the page's own script doesn't run; and the console does tell what the tests expect not to see.
    page.browser.execute_script(
        "const script = document.createElement('script'); script.textContent = 'window.foreign = 1';"
        "document.body.append(script)"
    )
    assert page.browser.execute_script("return window.foreign === undefined")
    (error,) = consoleErrors(page.browser)
    assert "Content Security Policy" in error["message"]


def test_quiet(page: Page, port: int, tmp_path: Path) -> None:
    """
    A server that nobody has asked anything: counts of nothing, latencies of nobody, and no nonsense.
    """
    with running([*SERVER, str(port), "quiet"], tmp_path) as process:
        process.waitForPorts(port)
        page.browser.get(f"http://127.0.0.1:{port}/")
        page.waitForState("live")
        waitUntil(lambda: page.points().get("requests", 0) >= 2, "two rates")
        figures = dict(zip(page.texts("#figures dt"), page.texts("#figures dd"), strict=True))
        figures.pop("Uptime")
        latencies = [f"{percentile}, last 10 s" for percentile in ("p50", "p99", "p99.9")]
        nothing = {"Requests per second": "0", "In flight": "0", "Open connections": "0"}
        assert figures == nothing | dict.fromkeys(latencies, NONE)
        assert page.points()["p50"] == 0
        assert page.texts("#statuses tbody *") == page.texts("#refused tbody *")
        assert not page.find("#workers").is_displayed()
        assert "none so far" in page.texts("#statuses td")
        totals = dict(zip(page.texts("#totals th"), page.texts("#totals td"), strict=True))
        totals.pop("started")
        assert {value.replace("\u202f", " ") for value in totals.values()} == {"0", "0 B", NONE}, totals
        shown = page.browser.execute_script("return document.body.outerHTML")
        script = page.browser.execute_script("return document.querySelector('script').outerHTML")
        for nonsense in ("NaN", "Infinity", "undefined", "null"):
            assert nonsense not in shown.replace(script, ""), nonsense
        assert consoleErrors(page.browser) == []


def test_workers(page: Page, port: int, tmp_path: Path) -> None:
    """
    A server of several processes has a table of these, and one process has none.
    """
    with running([*SERVER, str(port), "workers"], tmp_path) as process:
        process.waitForPorts(port)
        page.browser.get(f"http://127.0.0.1:{port}/")
        page.waitForPoints(3)
        rows = [row.replace("\u202f", " ") for row in page.texts("#workers tbody tr > *")]
        first, second, third = (rows[start : start + 9] for start in (0, 9, 18))
        assert first[:3] == ["1", "4711", "ready"]
        assert first[7:] == ["50 %", "54 MB"]
        assert float(first[5]) > 0
        assert second[:3] == ["2", "4712", "draining"]
        assert third[:3] == ["2", NONE, "starting"]
        assert third[5:] == ["0", "0", "0 %", NONE]
        assert page.find("#workers").is_displayed()
        assert page.browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        assert consoleErrors(page.browser) == []


def test_buttons(page: Page, port: int, serve: Callable[[], Process]) -> None:
    """
    Pause holds the page, and loses nothing; the windows change the time axes. All by keyboard too. And the pointer.
    """
    serve()
    page.browser.get(f"http://127.0.0.1:{port}/")
    page.waitForPoints(2)
    pause = page.find("#pause")
    pause.click()
    assert (page.state, pause.text) == ("paused", "Resume")
    held, count = page.texts("dd, td"), page.points()["open"]
    asked = "return performance.getEntriesByName(new URL('status.json', location), 'resource').length"
    begin = page.browser.execute_script(asked)
    waitUntil(lambda: page.browser.execute_script(asked) >= begin + 3, "it goes on asking")
    assert page.texts("dd, td") == held
    assert page.points()["open"] == count
    pause.click()
    assert (page.state, pause.text) == ("live", "Pause")
    assert page.points()["open"] >= count + 3
    assert page.texts("dd, td") != held

    one, five = (page.find(f"[data-window='{seconds}']") for seconds in (60, 300))
    assert MINUTE_AGO in page.texts("svg text")
    five.click()
    assert (one.get_attribute("aria-pressed"), five.get_attribute("aria-pressed")) == ("false", "true")
    assert page.texts("svg text").count(FIVE_AGO) == 4
    assert MINUTE_AGO not in page.texts("svg text")
    # Back by keyboard: shift and tab to the button before, and space.
    ActionChains(page.browser).key_down(Keys.SHIFT).send_keys(Keys.TAB).key_up(Keys.SHIFT).send_keys(" ").perform()
    assert (one.get_attribute("aria-pressed"), five.get_attribute("aria-pressed")) == ("true", "false")
    assert page.texts("svg text").count(MINUTE_AGO) == 4
    ActionChains(page.browser).send_keys(Keys.TAB, Keys.TAB, Keys.ENTER).perform()
    assert page.state == "paused"

    # The pointer asks for the figures of a moment, in all charts; the first moment has no rates yet.
    shown = page.texts(".legend b")
    ActionChains(page.browser).move_to_element_with_offset(page.find("#charts svg"), 0, 0).perform()
    assert page.texts(".legend b")[:3] == [NONE] * 3
    assert len(page.browser.find_elements(By.CSS_SELECTOR, ".cursor")) == 4
    ActionChains(page.browser).move_to_element(page.find("h1")).perform()
    assert page.texts(".legend b") == shown
    assert page.browser.find_elements(By.CSS_SELECTOR, ".cursor") == []
    assert consoleErrors(page.browser) == []


def test_lost(page: Page, port: int, serve: Callable[[], Process]) -> None:
    """
    A server that has gone is shown as lost, paused or not; another in its place begins anew.
    """
    process = serve()
    page.browser.get(f"http://127.0.0.1:{port}/")
    page.waitForPoints(4)
    assert consoleErrors(page.browser) == []
    process.stop()
    page.waitForState("lost since ")
    points = page.points()["open"]
    assert page.browser.title == "lost: example.org"
    held = page.texts("#figures dd")
    # The last figures stay, and are faint.
    assert held[-1] != NONE
    assert float(page.find("#charts").value_of_css_property("opacity")) < 0.9
    page.find("#pause").click()
    assert page.state.startswith("lost since ")
    page.find("#pause").click()
    assert page.texts("#figures dd") == held

    serve()
    page.waitForState("live")
    assert page.points()["open"] < points
    page.waitForPoints(1)
    assert page.browser.title == "example.org"
    # Nothing but that it couldn't be reached.
    assert all("ERR_CONNECTION" in error["message"] for error in consoleErrors(page.browser))


def test_appearance(page: Page, port: int, serve: Callable[[], Process], tmp_path: Path) -> None:
    """
    Dark where the user prefers that, and on a narrow screen without a horizontal scroll bar.
    """
    serve()
    page.browser.get(f"http://127.0.0.1:{port}/")
    page.waitForPoints(2)
    grounds = []
    for scheme in ("light", "dark"):
        setColours(page.browser, scheme)
        grounds.append(page.find("body").value_of_css_property("background-color"))
        path = tmp_path / f"{scheme}.png"
        assert page.browser.save_screenshot(str(path))
        assert path.stat().st_size > 20_000
    assert grounds == ["rgba(246, 247, 249, 1)", "rgba(18, 22, 28, 1)"]
    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    waitUntil(lambda: page.browser.execute_script("return innerWidth") == 390, "the narrow screen")
    page.waitForPoints(page.points()["p99.9"] + 1)
    assert page.browser.execute_script("return document.documentElement.scrollWidth") <= 390
    page.browser.save_screenshot(str(tmp_path / "narrow.png"))
    assert consoleErrors(page.browser) == []
