"""The report as a reader sees it, in a real browser.

Longer than other files, because one browser and one report serve all of its tests.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.chromium import browser, errors_of, needs_browser, requests_of, screenshot, violations, visit
from helpers.synthetic_records import METHODS, make_records, with_classifier

from rpe2d_bench.report import render, render_comparison
from rpe2d_bench.storage.records import read

pytestmark = [needs_browser, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
EVIL = "<script>window.hacked = 1</script>"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("store")
    methods = {name: METHODS[name] for name in ("extrapolation", "interpolation", "yarn", "rpe2d")} | {
        EVIL: {"model": "rope"}
    }
    records = make_records(store, seeds=(0, 1), tests=[(16, 16), (32, 32), (64, 64), (32, 64)], methods=methods)
    records = [
        r.model_copy(update={"metrics": {k: v for k, v in r.metrics.items() if k != "fd_glyphnet"}})
        for r in records
        if not (r.method == "rpe2d" and r.test_resolution == (16, 16))
    ]
    records = with_classifier(records, store)
    return render(records, store, tmp_path_factory.mktemp("reports") / "synthetic")


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browser(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def shown(window: Any, page: Path) -> Any:
    window.get("about:blank")
    requests_of(window)
    errors_of(window)
    visit(window, page.as_uri())
    return window


def unfold(window: Any) -> None:
    window.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")


def test_opens_offline_without_complaint(shown: Any, page: Path, tmp_path: Path) -> None:
    assert set(requests_of(shown)) == {page.as_uri()}
    assert errors_of(shown) == []
    assert shown.execute_script("return document.querySelector('h1').innerText") == "synthetic"
    screenshot(shown, "report", tmp_path)


def test_headline_table_is_filled(shown: Any) -> None:
    unfold(shown)
    rows = shown.execute_script(
        "return [...document.querySelectorAll('#table-kid_glyphnet_train_32 tbody tr')]"
        ".map(row => [...row.cells].map(cell => cell.innerText))"
    )
    assert [row[0].split(" (")[0] for row in rows] == ["extrapolation", "interpolation", "yarn", "rpe2d", EVIL]
    assert all(all(cell.strip() for cell in row) for row in rows)
    assert rows[3][1] == "missing"
    assert all("±" in cell for cell in rows[0][1:])


def test_every_image_is_loaded_and_described(shown: Any) -> None:
    images = shown.execute_script("return [...document.images].map(image => [image.naturalWidth, image.alt])")
    # A strip per cell and seed, but for the missing cell; real images; in the head
    assert len(images) == 2 * (5 * 4 - 1) + 4 + 4
    assert all(width > 0 and alt for width, alt in images)
    drawn = shown.execute_script(
        "return [...document.querySelectorAll('svg.figure')].map(f => [f.getAttribute('aria-label'),"
        " f.querySelectorAll('path').length])"
    )
    assert len(drawn) >= 4
    assert all(label and paths > 5 for label, paths in drawn)


def test_names_are_text_not_code(shown: Any) -> None:
    assert shown.execute_script("return window.hacked") is None
    assert EVIL in shown.execute_script("return document.querySelector('.legend').innerText")


def test_strips_switch_between_all_sizes_and_one(shown: Any, tmp_path: Path) -> None:
    unfold(shown)
    count = "return [...document.querySelectorAll('#samples thead th[data-column]')].filter(x => x.offsetWidth).length"
    assert shown.execute_script(count) == 4
    width = "return document.querySelectorAll('#samples tbody tr:nth-child(2) .window:not([hidden])')[arguments[0]]"
    width += ".offsetWidth"
    assert [shown.execute_script(width, i) for i in range(4)] == [32, 64, 128, 128]  # zoom 2: true relative sizes
    shown.execute_script("document.querySelector('input[value=one]').click()")
    assert shown.execute_script(count) == 1
    slide = "const s = document.querySelector(arguments[0]); s.value = arguments[1];"
    slide += "s.dispatchEvent(new Event('input', {bubbles: true})); return s.nextElementSibling.value"
    assert shown.execute_script(slide, ".size", 2) == "64 px (2×)"
    assert shown.execute_script("return document.querySelector('#samples th.shown').innerText").startswith("64")
    screenshot(shown, "report-one-size", tmp_path, "#samples")


MAIN = "#table-kid_glyphnet_train_32"
COLUMN = "return [...document.querySelectorAll(arguments[0] + ' tbody tr')].map(r => r.cells[arguments[1]].innerText)"


def test_a_header_sorts_by_numbers_and_keeps_every_word(shown: Any) -> None:
    unfold(shown)
    names, cells = (shown.execute_script(COLUMN, MAIN, column) for column in (0, 1))
    header = shown.find_element("css selector", f"{MAIN} thead th:nth-child(2)")
    button = header.find_element("css selector", ".sort")
    values = {name: float(cell.split(" ±")[0]) for name, cell in zip(names, cells, strict=True) if cell != "missing"}
    for direction, reverse in (("ascending", False), ("descending", True)):
        shown.execute_script("arguments[0].click()", button)
        assert header.get_attribute("aria-sort") == direction
        expected = sorted(values, key=values.__getitem__, reverse=reverse)
        assert shown.execute_script(COLUMN, MAIN, 0) == [*expected, "rpe2d"]  # what is missing comes last
        assert sorted(shown.execute_script(COLUMN, MAIN, 1)) == sorted(cells)
    shown.execute_script("arguments[0].click()", button)
    assert header.get_attribute("aria-sort") is None
    assert shown.execute_script(COLUMN, MAIN, 0) == names
    assert "floor" in shown.execute_script(f"return document.querySelector('{MAIN}').tFoot.rows[0].innerText")


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["3.2 h", "–", "45 s"], ["45 s", "3.2 h", "–"]),
        (["1.2 TFLOP, 9 ms", "missing", "18.3 GFLOP"], ["18.3 GFLOP", "1.2 TFLOP, 9 ms", "missing"]),
        (["−0.02 [−1, 3]", "−0.3 ≈", "0.1 ± 3"], ["−0.3 ≈", "−0.02 [−1, 3]", "0.1 ± 3"]),
        (["worse", "better", "seed 10"], ["better", "seed 10", "worse"]),
        (["seed 10", "seed 9", ""], ["seed 9", "seed 10", ""]),
    ],
)
def test_cells_sort_as_they_are_meant(shown: Any, cells: list[str], expected: list[str]) -> None:
    unfold(shown)
    write = "[...document.querySelector('#table-training_cost').tBodies[0].rows].forEach("
    shown.execute_script(write + "(row, i) => { row.cells[2].textContent = arguments[0][i]; })", cells)
    shown.execute_script("document.querySelector('#table-training_cost thead th:nth-child(3) .sort').click()")
    assert shown.execute_script(COLUMN, "#table-training_cost", 2) == expected


@pytest.mark.parametrize("clipboard", [True, False])
def test_every_table_can_be_copied_and_linked_to(shown: Any, page: Path, clipboard: bool) -> None:
    unfold(shown)
    allowed = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    shown.execute_cdp_cmd("Browser.grantPermissions", allowed)
    missing = """return [...document.querySelectorAll("table:not(.images)")].filter(table => !(
        table.caption.querySelector(`a[href="#${table.id}"]`) && table.closest(".table").querySelector("button.copy"))
        ).map(table => table.id)"""
    assert shown.execute_script(missing) == []
    shown.execute_script("window.kept = navigator.clipboard; kept.writeText('nothing')")
    if not clipboard:
        shown.execute_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    button = shown.find_element("css selector", f".table:has({MAIN}) button.copy")
    shown.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", button)
    button.click()
    text = shown.execute_async_script("const done = arguments[0]; setTimeout(() => kept.readText().then(done), 100)")
    lines = [line.split("\t") for line in text.rstrip("\n").split("\n")]
    assert lines[0] == ["method", "16 (0.5×)", "32 (1×)", "64 (2×)", "32×64 (1×·2×)"]
    assert {len(line) for line in lines} == {5}
    assert [line[0] for line in lines[1:6]] == ["extrapolation", "interpolation", "yarn (reference)", "rpe2d", EVIL]
    assert lines[4][1] == "missing"
    assert "±" in lines[1][1]
    assert set(requests_of(shown)) == {page.as_uri()}


def test_pointing_at_a_figure_says_the_value(shown: Any, tmp_path: Path) -> None:
    from selenium.webdriver import ActionChains

    marks = shown.find_elements("css selector", "#answer svg.figure circle.value")
    assert len(marks) == 5 * 4 - 1 + 4  # methods by sizes, but for the missing one; the floor
    tip = shown.find_element("css selector", ".tip")
    assert not tip.is_displayed()
    ActionChains(shown).move_to_element(marks[0]).perform()
    assert tip.is_displayed()
    cell = shown.execute_script(f"return document.querySelector('{MAIN} td').textContent")
    assert tip.text == f"extrapolation, 16 px (0.5×): {cell.removesuffix(' ≈')}, n = 2"
    screenshot(shown, "report-hover", tmp_path)
    ActionChains(shown).move_to_element(shown.find_element("css selector", "h1")).perform()
    assert not tip.is_displayed()


def test_without_scripts_everything_is_there(page: Path, tmp_path: Path) -> None:
    with browser(tmp_path / "profile") as plain:
        plain.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        plain.get(page.as_uri())
        count = "return document.querySelectorAll(arguments[0]).length"
        assert plain.execute_script(count, "button.copy, button.sort, dialog") == 0
        assert plain.execute_script(count, "circle.value > title") > 20
        assert plain.execute_script(count, "a.anchor") > 10
        assert not plain.execute_script("return document.querySelector('.controls').checkVisibility()")
        hidden = "return [...document.querySelectorAll('.window[hidden]')].every(w => w.dataset.seed === '1')"
        assert plain.execute_script(hidden)


def test_another_seed_swaps_the_samples_and_leaves_real_images(shown: Any) -> None:
    unfold(shown)
    images = "return [...document.querySelectorAll('#samples tbody tr')].map(r => [...r.querySelectorAll("
    images += "'.window:not([hidden]) img')].map(i => i.src))"
    before = shown.execute_script(images)
    choose = "const s = document.querySelector('#samples .seed'); s.value = '1';"
    shown.execute_script(choose + "s.dispatchEvent(new Event('input', {bubbles: true}))")
    after = shown.execute_script(images)
    assert before[0] == after[0]
    assert [len(row) for row in before[1:]] == [len(row) for row in after[1:]] == [4, 4, 4, 3, 4]
    assert not {image for row in before[1:] for image in row} & {image for row in after[1:] for image in row}


def test_images_are_enlarged_with_what_the_classifier_sees(shown: Any, tmp_path: Path) -> None:
    from selenium.webdriver import ActionChains, Keys

    unfold(shown)
    framed = "return [...document.querySelectorAll('#samples tr:nth-child(4) .window:not([hidden]) i')]"
    framed += ".map(i => i.style.getPropertyValue('--at'))"
    assert shown.execute_script(framed) == ["0", "4"] * 4  # with seed 0 classes 0 and 4 are taken for the next
    assert shown.execute_script("return document.querySelectorAll('#samples tr:nth-child(1) i').length") == 0
    assert "Framed: glyphjudge sees another class" in shown.find_element("id", "samples").text
    view = shown.find_elements("css selector", "#samples tr:nth-child(4) .window:not([hidden])")[2]
    shown.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", view)
    view.click()
    words = shown.find_element("css selector", "dialog p")
    assert words.text.startswith("yarn at 64 px (2×), seed 0: asked for class ")
    keys = ActionChains(shown)
    keys.send_keys(*[Keys.ARROW_LEFT] * 8).perform()
    assert words.text == "yarn at 64 px (2×), seed 0: asked for class 0; glyphjudge sees class 1."
    large = shown.find_element("css selector", "dialog .view")
    assert large.size["width"] == large.size["height"] > 64 * 4
    screenshot(shown, "report-enlarged", tmp_path, "#samples")
    keys.send_keys(Keys.ARROW_RIGHT).perform()
    assert words.text == "yarn at 64 px (2×), seed 0: asked for class 1; glyphjudge sees class 1."
    change = "const s = document.querySelector(`dialog select[name=${arguments[0]}]`); s.value = arguments[1];"
    change += "s.dispatchEvent(new Event('input', {bubbles: true}))"
    shown.execute_script(change, "column", "1")
    shown.execute_script(change, "seed", "1")
    shown.execute_script(change, "place", "3")
    assert words.text == "yarn at 32 px (1×), seed 1: asked for class 3; glyphjudge sees class 4."
    keys.send_keys(Keys.ARROW_UP * 4).perform()
    assert words.text == "real images at 32 px (1×): class 3; glyphjudge sees class 3."
    assert violations(shown) == []
    keys.send_keys(Keys.ESCAPE).perform()
    assert not words.is_displayed()


def test_picking_a_method_highlights_it_everywhere(shown: Any) -> None:
    shown.execute_script("document.querySelector('[data-pick=\"2\"]').click()")
    dim = "return [...document.querySelectorAll('svg [data-series]')].map(e => [e.dataset.series,"
    dim += " Number(getComputedStyle(e).opacity)])"
    found = shown.execute_script(dim)
    assert {opacity for series, opacity in found if series == "2"} == {1}
    assert {opacity for series, opacity in found if series != "2"} == {0.12}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_accessible_in_both_themes(shown: Any, theme: str, tmp_path: Path) -> None:
    shown.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
    shown.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
    assert violations(shown) == []
    levels = shown.execute_script("return [...document.querySelectorAll('h1,h2,h3')].map(h => h.tagName)")
    assert levels[0] == "H1"
    assert levels.count("H1") == 1
    screenshot(shown, f"report-{theme}", tmp_path)


def test_fits_a_phone(tmp_path: Path, page: Path) -> None:
    with browser(tmp_path / "profile", 500, 900) as phone:
        emulate = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
        phone.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", emulate)
        visit(phone, page.as_uri())
        assert phone.execute_script("return document.documentElement.scrollWidth") <= 390
        screenshot(phone, "report-phone", tmp_path)


def test_prints(shown: Any) -> None:
    pdf = base64.b64decode(shown.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})["data"])
    assert pdf.startswith(b"%PDF")
    assert 1 <= pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") <= 4  # abridged


def test_the_head_of_the_main_experiment_shows_all_its_sizes(window: Any, tmp_path: Path) -> None:
    published = read(ROOT / "reports" / "res_generalization")
    window.set_window_size(1440, 900)
    visit(window, render(published, tmp_path, tmp_path / "main").as_uri())
    table = window.find_element("css selector", "#answer .table .scroll")
    assert len(table.find_elements("css selector", "thead th")) == 2 + 5  # method, cost
    wide, seen = (window.execute_script(f"return arguments[0].{side}Width", table) for side in ("scroll", "client"))
    assert wide <= seen


def test_the_head_fits_on_one_screen_and_all_else_is_folded(shown: Any, tmp_path: Path) -> None:
    shown.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                          {"width": 1440, "height": 900, "deviceScaleFactor": 1, "mobile": False})  # fmt: skip
    try:
        head = "return document.querySelector('#answer').getBoundingClientRect().bottom + scrollY"
        assert shown.execute_script(head) <= 900
        assert "nothing may be concluded: two seeds" in shown.find_element("id", "answer").text
        cells = "return [...document.querySelectorAll('#answer table.numbers tbody tr')].map(r => r.cells.length)"
        assert shown.execute_script(cells) == [1 + 4 + 1] * 5  # a label, the sizes, the cost
        assert shown.execute_script("return document.querySelectorAll('#answer figure svg').length") == 1
        assert shown.execute_script("return document.querySelectorAll('#answer .images img').length") == 4
        assert shown.execute_script("return document.querySelectorAll('details.part[open]').length") == 0
        screenshot(shown, "report-head", tmp_path)
    finally:
        shown.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_every_table_and_figure_can_be_taken_away(shown: Any) -> None:
    """Tables as CSV and LaTeX, figures as SVG and PNG: the links stand right after them and hold the thing itself."""
    script = """const kinds = box => box ? [...box.querySelectorAll('.downloads a')].map(a => a.text.trim()) : [];
    const after = table => { let e = table.closest('.scroll').nextElementSibling;
      return e && e.matches('.downloads') ? [...e.querySelectorAll('a')].map(a => a.textContent.trim()) : kinds(e); };
    return [[...document.querySelectorAll('table:not(.images)')].map(t => [t.caption.textContent, after(t)]),
            [...document.querySelectorAll('figure')].map(f => [f.id, kinds(f)])]"""
    tables, figures = shown.execute_script(script)
    assert len(tables) > 6
    assert [caption for caption, kinds in tables if not {"CSV", "LaTeX"} <= set(kinds)] == []
    assert [name for name, kinds in figures if not {"SVG", "PNG"} <= set(kinds)] == []
    latex = base64.b64decode(
        shown.execute_script("return document.querySelector('a[download=\"training_cost.tex\"]').href").split(",")[1]
    ).decode()
    assert r"\toprule" in latex
    assert latex.count(r"\\") == 1 + 3  # the head and three models


def test_sections_fold_and_links_unfold_them(shown: Any) -> None:
    visible = "return document.querySelector('#cost table').checkVisibility()"
    assert not shown.execute_script(visible)
    shown.execute_script("document.querySelector('#cost summary').click()")
    assert shown.execute_script(visible)
    shown.execute_script("document.querySelector('#cost summary').click()")
    assert not shown.execute_script(visible)
    shown.execute_script("document.querySelector('nav a[href=\"#cost\"]').click()")
    give_up = time.monotonic() + 10
    while not shown.execute_script(visible):
        assert time.monotonic() < give_up


@pytest.fixture(scope="module")
def versus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, the second worse and with a method that the first lacks, both with images."""
    stores = [tmp_path_factory.mktemp("store") for _ in range(2)]
    tests = [(32, 32), (64, 64)]
    methods = {name: METHODS[name] for name in ("interpolation", "yarn", "rpe2d")} | {EVIL: {"model": "rope"}}
    first = make_records(stores[0], tests=tests, methods=methods)
    second = make_records(stores[1], tests=tests, methods=METHODS, run="run1", shift=3.0)
    return render_comparison(first, second, *stores, tmp_path_factory.mktemp("reports") / "versus")


def test_comparison_opens_offline_and_is_accessible(window: Any, versus: Path, tmp_path: Path) -> None:
    window.get("about:blank")
    requests_of(window)
    errors_of(window)
    visit(window, versus.as_uri())
    assert set(requests_of(window)) == {versus.as_uri()}
    assert errors_of(window) == []
    answer = window.find_element("id", "answer").text
    assert "5 cells are in both runs, which share 3 training seeds. 5 shared training seeds are asked for" in answer
    assert window.execute_script("return window.hacked") is None
    window.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
    for theme in ("light", "dark"):
        window.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
        assert violations(window) == []
        screenshot(window, f"comparison-{theme}", tmp_path)


def test_comparison_says_what_changed_in_few_lines(window: Any, versus: Path) -> None:
    visit(window, versus.as_uri())
    unfold(window)
    rows = window.execute_script(
        "return [...document.querySelectorAll('#table-settings tbody tr')].map(r => [...r.cells].map(c => c.innerText))"
    )
    output = {row[0]: row[1:] for row in rows}
    assert output["methods.ntk"] == ["–", "model: rope, frequencies: {kind: ntk}"]
    assert output[f"methods.{EVIL}"] == ["model: rope", "–"]
    assert len(rows) == 4  # extrapolation, ntk, yarn_crops and the one that only the first has


def test_comparison_shows_images_of_both_runs(window: Any, versus: Path, tmp_path: Path) -> None:
    visit(window, versus.as_uri())
    unfold(window)
    rows = window.execute_script(
        "return [...document.querySelectorAll('.images tbody tr')].map(row => [row.querySelector('th').innerText,"
        " [...row.querySelectorAll('img')].map(image => [image.naturalWidth, image.alt, image.offsetWidth])])"
    )
    names = [name for name, _ in rows]
    assert len(rows) == 3 * 2
    assert names[0].startswith("interpolation synthetic (run0")
    assert names[1].startswith("interpolation synthetic (run1")
    for name, images in rows:
        assert [width for width, _, _ in images] == [8 * 33 - 1, 8 * 65 - 1]
        assert [shown for _, _, shown in images] == [2 * (8 * 33 - 1), 2 * (8 * 65 - 1)]
        assert all(name.split()[0] in alt and "classes [0, 1, 2" in alt for _, alt, _ in images)
    window.execute_script("document.querySelector('input[value=one]').click()")
    count = "return [...document.querySelectorAll('.images thead th[data-column]')].filter(x => x.offsetWidth).length"
    assert window.execute_script(count) == 1
    screenshot(window, "comparison-images", tmp_path, "#samples")


def test_comparison_fits_a_phone(window: Any, tmp_path: Path, versus: Path) -> None:
    emulate = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    window.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", emulate)
    try:
        visit(window, versus.as_uri())
        unfold(window)
        assert window.execute_script("return document.documentElement.scrollWidth") <= 390
        screenshot(window, "comparison-phone", tmp_path)
    finally:
        window.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
