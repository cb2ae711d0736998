"""The report folder: complete, honest about what is absent, and not drawn again without need."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from helpers.synthetic_records import METHODS, asking, make_records
from PIL import Image

from rpe2d_bench.analysis.palette import COLOURS
from rpe2d_bench.analysis.quality import findings
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.vocabulary import describe
from rpe2d_bench.errors import UserError
from rpe2d_bench.report import load_frame, render, render_comparison
from rpe2d_bench.report.chosen_images import choose, real_strips, rows_of, strips
from rpe2d_bench.report.drawing import with_palette
from rpe2d_bench.report.figures import files_of, metric_curve, svg_text
from rpe2d_bench.report.sections.encodings import ramps, realised
from rpe2d_bench.report.sections.results import curve
from rpe2d_bench.report.sections.training import read_curve, smooth
from rpe2d_bench.storage.record_parts import Artifacts
from rpe2d_bench.storage.records import Record, read

TRAIN = (32, 32)
SIZES = [(16, 16), (32, 32), (32, 64)]
SOME = {name: METHODS[name] for name in ("yarn", "rpe2d")}


def small(store: Path | None = None) -> list[Record]:
    """A complete small run with one metric, so that it is drawn quickly."""
    return [
        r.model_copy(update={"metrics": {k: v for k, v in r.metrics.items() if k != "fd_glyphnet" and "al_" not in k}})
        for r in make_records(store, seeds=(0, 1), tests=SIZES, methods=SOME)
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    store = tmp_path_factory.mktemp("store")
    out = tmp_path_factory.mktemp("reports") / "synthetic"
    render(small(store), store, out)
    return store, out


def test_folder_has_every_format_and_its_sources(made: tuple[Path, Path]) -> None:
    _, out = made
    for path in ("index.html", "report.md", "results.csv", "records.jsonl", "report.json",
                 "tables/kid_glyphnet_train_32.tex", "tables/kid_glyphnet_train_32.csv",
                 "tables/kid_glyphnet_train_32_against_yarn.md", "figures/kid_glyphnet_train_32.svg",
                 "figures/kid_glyphnet_train_32.pdf", "figures/samples_train_32.png",
                 "strips/samples_train_32_test_32x64.png"):  # fmt: skip
        assert (out / path).stat().st_size > 100, path
    manifest = json.loads((out / "report.json").read_text())
    assert manifest["records_sha256"] == Results(read(out / "records.jsonl")).digest
    with (out / "results.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(load_frame(read(out / "records.jsonl")))


def test_pdf_embeds_its_font_and_holds_no_date(made: tuple[Path, Path]) -> None:
    pdf = (made[1] / "figures" / "kid_glyphnet_train_32.pdf").read_bytes()
    assert b"/FontFile2" in pdf
    assert b"CreationDate" not in pdf


def test_page_asks_for_nothing_outside(made: tuple[Path, Path]) -> None:
    page = (made[1] / "index.html").read_text()
    addresses = set(re.findall(r'(?:src|href)="([^"#][^"]*)"', page))
    assert addresses
    assert all(address.startswith("data:") for address in addresses)
    assert "url(http" not in page
    assert "@import" not in page
    identifiers = re.findall(r'\sid="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers))
    targets = set(re.findall(r'href="#([^"]+)"', page))
    assert targets <= set(identifiers)


def test_the_same_report_is_not_drawn_again(made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    store, out = made
    records = read(out / "records.jsonl")
    monkeypatch.setattr("rpe2d_bench.report.folder._write", lambda *_: pytest.fail("drawn again"))
    assert render(records, store, out) == out / "index.html"
    with pytest.raises(pytest.fail.Exception, match="drawn again"):
        render([*records[:-1]], store, out)
    assert (out / "index.html").is_file()  # what was there stays when drawing fails
    assert [path.name for path in out.parent.iterdir()] == ["synthetic"]


def test_a_run_that_only_trained_has_a_report(tmp_path: Path) -> None:
    records = [record for record in small() if record.stage == "train"]
    page = render(records, tmp_path, tmp_path / "out").read_text()
    assert "Nothing has been measured yet; 6 models are trained." in page
    assert "asked for, not in the records" in page


def test_a_file_that_names_no_reference_and_no_resizing_has_a_report(tmp_path: Path) -> None:
    records = [asking(record, report={"main_metric": "kid"}) for record in small()]
    page = render(records, tmp_path, tmp_path / "out").read_text()
    assert "No reference method is named in the file (report: reference_method)" in page
    assert "correction over each method against" not in page  # there is none to be against


def test_strips_show_the_same_images_of_every_method(tmp_path: Path) -> None:
    results = Results(small(tmp_path))
    found = strips(results, tmp_path, TRAIN, SIZES)[0]
    assert set(found) == {(method, test) for method in SOME for test in SIZES}
    for (method, test), strip in found.items():
        record = next(r for r in results.cell(method, TRAIN, test) if r.seed == 0)
        with np.load(tmp_path / record.artifacts.samples) as samples:
            picked = choose(samples["labels"])
            assert np.array_equal(strip.images_NCHW, samples["pictures"][picked])
        assert strip.labels == list(range(8))
        assert strip.image.size == (8 * (test[1] + 1) - 1, test[0])
    assert set(real_strips(results, tmp_path, TRAIN, SIZES)) == set(SIZES)
    broken = tmp_path / results.cell("yarn", TRAIN, (16, 16))[0].artifacts.samples
    broken.write_bytes(b"PK torn")
    assert ("yarn", (16, 16)) not in strips(results, tmp_path, TRAIN, SIZES)[0]


def test_further_seeds_are_shown_as_far_as_a_page_can_carry_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = Results(small(tmp_path))
    assert list(strips(results, tmp_path, TRAIN, SIZES, 2)) == [0, 1]
    row = rows_of(results, tmp_path, TRAIN, SIZES, seeds=2)[1]
    assert [strip[32, 32].seed for strip in (row.strips, *row.more)] == [0, 1]
    assert not np.array_equal(row.strips[32, 32].images_NCHW, row.more[0][32, 32].images_NCHW)
    monkeypatch.setattr("rpe2d_bench.report.chosen_images.PIXELS", 1000)
    assert list(strips(results, tmp_path, TRAIN, SIZES, 2)) == [0]


def test_values_lie_on_the_points_that_are_drawn_and_in_no_file() -> None:
    results = Results(small())
    metric = results.main_metric
    assert metric is not None
    drawn = curve(results, metric, TRAIN)
    number, text = r"[\d.]+", str(drawn.shown)
    marks = re.findall(rf'cx="({number})" cy="({number})" r="5" data-series="0"><title>([^<]+)<', text)
    words = [mark[2].split(": ") for mark in marks]
    assert [where for where, _ in words] == ["yarn, 16 px (0.5×)", "yarn, 32 px (1×)", "yarn, 32×64 px (1×·2×)"]
    found = results.estimate("yarn", TRAIN, (16, 16), metric)
    assert found is not None
    assert float(words[0][1].split(" ± ")[0]) == pytest.approx(found.mean, rel=0.01)
    of_yarn = [part for part in text.split(' data-series="') if part.startswith("0")]
    points = [use for part in of_yarn for use in re.findall(rf'<use [^>]*x="({number})" y="({number})"', part)]
    assert len(points) == len(marks) == 3
    for (x, y, _), (drawn_x, drawn_y) in zip(marks, points, strict=True):
        assert (float(x), float(y)) == pytest.approx((float(drawn_x), float(drawn_y)), abs=0.06)
    assert all(b"yarn, 16" not in content and b"<circle" not in content for content in drawn.files.values())


def test_chosen_images_are_the_first_of_each_class() -> None:
    assert choose(np.array([3, 3, 1, 0, 1, 3]), 5) == [3, 2, 0, 4, 1]


def test_repeated_and_torn_lines_of_a_curve(tmp_path: Path) -> None:
    lines = ['{"step": 1, "loss": 9}', '{"step": 2, "loss": 8}', '{"step": 2, "loss": 7}', '{"step": 3, "lo']
    (tmp_path / "curve.jsonl").write_text("\n".join(lines))
    record = small()[0].model_copy(update={"artifacts": Artifacts(curve="curve.jsonl")})
    assert [(entry["step"], entry["loss"]) for entry in read_curve(record, tmp_path)] == [(1, 9), (2, 7)]
    assert smooth([(step, 2.0 * step) for step in range(1, 7)], windows=3) == [(1.5, 3.0), (3.5, 7.0), (5.5, 11.0)]


def test_figures_wear_the_page_s_colours_and_log_axes_only_where_needed() -> None:
    results = Results(make_records())
    figure = metric_curve(results, describe("fd_glyphnet"), TRAIN)
    assert figure.axes[0].get_yscale() == "log"
    assert metric_curve(results, describe("accuracy_glyphjudge"), TRAIN).axes[0].get_yscale() == "linear"
    text = svg_text(figure)
    assert all(COLOURS[index][0] in text for index in range(len(METHODS)))


def test_pngs_of_drawings_are_small_and_look_the_same() -> None:
    figure = metric_curve(Results(small()), describe("kid_glyphnet"), TRAIN)
    whole = files_of(figure, ("png",))["png"]
    few = with_palette(whole)
    assert len(few) < len(whole) / 2
    before, after = (np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), int) for png in (whole, few))
    assert before.shape == after.shape
    assert np.abs(before - after).mean() < 0.2  # of 255
    lines = [(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)]
    assert all((before == line).all(-1).sum() == (after == line).all(-1).sum() > 100 for line in lines)


def test_colours_are_readable_on_their_ground() -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for light, dark in COLOURS:  # WCAG 2.1, 1.4.11: 3:1 for graphics
        assert 1.05 / (luminance(light) + 0.05) >= 3
        assert (luminance(dark) + 0.05) / (luminance("#14171b") + 0.05) >= 3


def test_small_kernel_distances_are_scaled_and_large_ones_are_not() -> None:
    assert Results(small()).main_metric == describe("kid_glyphnet")
    large = [r.model_copy(update={"metrics": {k: v * 1000 for k, v in r.metrics.items()}}) for r in small()]
    metric = Results(large).main_metric
    assert metric is not None
    assert metric.factor == 1.0
    assert "1000" not in metric.heading


def test_quality_control_names_what_went_wrong() -> None:
    records = small()
    target = next(i for i, r in enumerate(records) if r.method == "yarn" and r.test_resolution == (16, 16))
    records[target] = records[target].model_copy(update={"metrics": {"kid_glyphnet": float("nan")}})
    failed = next(i for i, r in enumerate(records) if r.method == "rpe2d" and r.test_resolution == (32, 64))
    records[failed] = records[failed].model_copy(
        update={"status": "failed", "error": "out of memory", "metrics": {}, "configuration": records[0].configuration}
    )
    dirty = records[0].provenance.model_copy(update={"dirty": True, "commit": "f" * 40})
    records[0] = records[0].model_copy(
        update={"configuration": records[0].configuration.model_copy(update={"provenance": dirty})}
    )
    found = {finding.kind: finding for finding in findings(Results(records))}
    assert found["failed"].why == "out of memory"
    assert "yarn 32 → 16 px" in found["diverged"].what
    assert "provenance" in found
    kinds = [finding.kind for finding in findings(Results(small()))]
    assert kinds == []


def test_ramps_show_what_rules_do() -> None:
    results = Results(make_records())
    pi, plain, yarn = (realised(results, m, TRAIN, (64, 64)) for m in ("interpolation", "extrapolation", "yarn"))
    assert pi is not None
    assert plain is not None
    assert yarn is not None
    ratios = {name: [c.frequency / c.base for c in found.channels if c.axis == "height"]
              for name, found in (("pi", pi), ("plain", plain), ("yarn", yarn))}  # fmt: skip
    assert ratios["pi"] == pytest.approx([0.5] * 8)
    assert ratios["plain"] == pytest.approx([1.0] * 8)
    assert ratios["yarn"][0] > ratios["yarn"][-1]
    assert yarn.logit_scale > 1
    assert plain.positions["height"] == list(range(16))
    drawn = ramps(results, TRAIN)
    assert drawn is not None
    assert "64 px" in drawn.title
    lacking = [r.model_copy(update={"training": None}) if r.stage == "train" else r for r in make_records(seeds=(0,))]
    assert ramps(Results(lacking), TRAIN) is None


def test_comparison_tells_noise_from_change(tmp_path: Path) -> None:
    first, second = make_records(tests=SIZES, methods=SOME), make_records(tests=SIZES, methods=SOME, run="run1")
    out = render_comparison(first, second, tmp_path, tmp_path, tmp_path / "same")
    page = out.read_text()
    assert "6 cells are in both runs, which share 3 training seeds. 5 shared training seeds are asked for" in page
    assert "moved by more than noise in" not in page
    assert "Nothing: same settings, same code, same machine." in page
    other = [
        r.model_copy(update={"metrics": {k.replace("glyphnet", "other"): v for k, v in r.metrics.items()}})
        for r in second
        if r.stage == "measure"
    ]
    other = [r.model_copy(update={"metrics": {"kid_other": r.metrics["kid_other"]}}) for r in other]
    with pytest.raises(UserError, match="share no metric"):
        render_comparison(first, other, tmp_path, tmp_path, tmp_path / "none")
    assert not (tmp_path / "none").exists()
