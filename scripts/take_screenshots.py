"""Take the images of docs/mlflow.md from the MLflow UI of a store: python scripts/take_screenshots.py STORE [SIZE].

SIZE is the test resolution of the images, such as 48. Needs selenium, chromium and chromedriver.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver

from rpe2d_bench.tracking import ENVIRONMENT, ui_address, ui_command

PORT = 5171
IMAGES = Path(__file__).parents[1] / "docs" / "images"
PATIENCE = 60.0
# An image in the documentation shows no path of the machine it was taken on.
HIDE_PATHS = """for (const e of document.body.querySelectorAll('*')) for (const t of e.childNodes)
  if (t.nodeType === 3 && t.data.includes('file:///')) t.data = t.data.replace(/file:.*?mlflow-artifacts/, '…');"""


def wait(ready: Callable[[], object]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not ready():
        if time.monotonic() > give_up:
            raise SystemExit("the MLflow UI does not show what it should")
        time.sleep(0.5)


def keep(window: WebDriver, name: str) -> None:
    time.sleep(3)  # charts and images fade in
    window.execute_script(HIDE_PATHS)
    IMAGES.mkdir(exist_ok=True)
    image = Image.open(io.BytesIO(window.get_screenshot_as_png())).convert("RGB")
    image.quantize(128, dither=Image.Dither.NONE).save(IMAGES / f"mlflow-{name}.png", optimize=True)


def opened(window: WebDriver, address: str, ready: str) -> None:
    """Go to a page of the UI, wait for what it must show, and close MLflow's assistant, a quarter of the window."""
    window.get(address)
    wait(lambda: window.find_elements(By.CSS_SELECTOR, ready))
    for close in window.find_elements(By.CSS_SELECTOR, "[data-component-id='mlflow.assistant.chat_panel.close']"):
        close.click()


def curves(window: WebDriver, store: Path, size: str) -> None:
    opened(window, ui_address(store, PORT), ".plotly .scatterlayer path")


def best_at_a_size(window: WebDriver, store: Path, size: str) -> None:
    opened(window, ui_address(store, PORT), ".plotly .scatterlayer path")
    window.find_element(By.CSS_SELECTOR, "input[placeholder='Search metric charts']").send_keys(f"size {size}px/")
    wait(lambda: window.find_elements(By.CSS_SELECTOR, ".plotly .barlayer path"))


def training(window: WebDriver, store: Path, size: str) -> None:
    expand = "[data-component-id*='runnamecellrenderer']"
    opened(window, ui_address(store, PORT).replace("mean", "train"), expand)
    time.sleep(3)
    window.find_element(By.CSS_SELECTOR, expand).click()
    wait(lambda: window.find_elements(By.CSS_SELECTOR, ".plotly"))


def images(window: WebDriver, store: Path, size: str) -> None:
    runs = ui_address(store, PORT).partition("?")[0]
    run = images_run(runs.split("/experiments/")[1].split("/")[0], store, size)
    opened(
        window,
        f"{runs}/{run}/artifacts/samples.png?workflowType=machine_learning",
        "img[src^='blob'], .image-outer-container, canvas",
    )


def images_run(experiment: str, store: Path, size: str) -> str:
    from mlflow import MlflowClient

    from rpe2d_bench.tracking import default_uri

    client = MlflowClient(tracking_uri=default_uri(store))
    where = f"tags.stage = 'measure' and tags.test_resolution = '{size}' and tags.seed = '0'"
    found = client.search_runs([experiment], where)
    if not found:
        raise SystemExit(f"no cell at {size} px in {store}")
    return str(found[0].info.run_id)


def main(store: Path, size: str = "48") -> None:
    """Serve the UI, look at it, and end it."""
    server = subprocess.Popen(
        ui_command(store, PORT), env=os.environ | ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip

    def healthy() -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{PORT}/health", timeout=2) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "hide-scrollbars", "window-size=1400,860"):
        options.add_argument("--" + flag)
    try:
        wait(healthy)
        for take in (curves, best_at_a_size, training, images):
            # A window of its own: MLflow remembers searches, and what was folded.
            window = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
            try:
                take(window, store, size)
                keep(window, take.__name__.replace("_", "-"))
            finally:
                window.quit()
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:3])
