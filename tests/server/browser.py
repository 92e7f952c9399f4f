"""
A real browser: Debian's chromium without a window, driven by selenium.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

# It runs as root and in containers, and asks nobody on the internet for anything.
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def browsing(chromium: str, driver: str, profile: Path, *, width: int = 1200, height: int = 900) -> Iterator[Chrome]:
    """
    Run a browser.

    @param chromium: the path of the browser.
    @param driver: the path of its chromedriver.
    @param profile: a directory for what it keeps.
    @param width: that of the page, in pixels.
    @param height: the same.
    """
    options = ChromeOptions()
    options.binary_location = chromium
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # With both paths given, selenium looks for nothing and downloads nothing.
    browser = Chrome(options, Service(driver, log_output=subprocess.DEVNULL))
    try:
        browser.set_page_load_timeout(20)
        browser.set_script_timeout(20)
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        yield browser
    finally:
        browser.quit()


def setColours(browser: Chrome, scheme: str) -> None:
    """
    Have the user prefer C{"light"} or C{"dark"}.
    """
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def consoleErrors(browser: Chrome) -> list[Any]:
    """
    What has been written to the console since the last time that is worse than information.
    """
    return [entry for entry in browser.get_log("browser") if entry["level"] in ("WARNING", "SEVERE")]
