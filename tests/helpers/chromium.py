"""A headless Chromium for tests that look at pages; tests that need it are skipped, visibly, where there is none."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

needs_browser = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="no chromium and chromedriver here (Debian: chromium, chromium-driver)"
)


@contextmanager
def browser(folder: Path, width: int = 1200, height: int = 1600) -> Iterator[Any]:
    """A window of its own; Chromium's own background traffic is off, so that every request is the page's."""
    selenium = pytest.importorskip("selenium.webdriver")
    options = selenium.ChromeOptions()
    options.binary_location = BROWSER
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "hide-scrollbars",
                 "disable-background-networking", "disable-component-update", "no-first-run"):  # fmt: skip
        options.add_argument("--" + flag)
    options.add_argument(f"--user-data-dir={folder}")
    options.add_argument(f"--window-size={width},{height}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = selenium.Chrome(options=options, service=selenium.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def requests_of(driver: Any) -> list[str]:
    """Addresses that were asked for since the last call, data: addresses left out."""
    found = []
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            found.append(message["params"]["request"]["url"])
    return [address for address in found if not address.startswith("data:")]


def errors_of(driver: Any) -> list[str]:
    """What the console complained about since the last call."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def visit(driver: Any, address: str) -> None:
    """Open a page and wait until all of it is there."""
    driver.get(address)
    give_up = time.monotonic() + 30
    ready = "return document.readyState === 'complete' && document.querySelector('footer') !== null"
    while not driver.execute_script(ready):
        assert time.monotonic() < give_up, f"{address} does not finish loading"
        time.sleep(0.05)


def screenshot(driver: Any, name: str, tmp: Path, at: str = "h1") -> None:
    """Keep an image of the window, scrolled to an element, in RPE2D_SCREENSHOTS where CI sets it."""
    driver.execute_script("document.querySelector(arguments[0]).scrollIntoView({behavior: 'instant'})", at)
    folder = Path(os.environ.get("RPE2D_SCREENSHOTS") or tmp)
    folder.mkdir(parents=True, exist_ok=True)
    assert driver.save_screenshot(str(folder / f"{name}.png"))


def violations(driver: Any) -> list[str]:
    """What axe-core finds wrong for readers with disabilities, contrast included.

    The inside of figures is left out: to assistive technology a figure is one image with a label.
    """
    axe = pytest.importorskip("axe_selenium_python")
    script = next(Path(axe.__file__).parent.rglob("axe.min.js"))
    driver.execute_script(script.read_text(encoding="utf-8"))
    found = driver.execute_async_script("axe.run({exclude: [['svg.figure']]}).then(arguments[arguments.length - 1])")
    return [f"{v['id']}: {v['help']}: {v['nodes'][0]['html'][:200]}" for v in found["violations"]]
