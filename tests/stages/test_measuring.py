"""What `evaluate:` can ask for, through a whole run of the tiny experiment: weights by path, labels, a look inside."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.planned import planned

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.nets.torchvision_import import import_torchvision
from rpe2d_bench.plan.expand import Plan
from rpe2d_bench.runner import run
from rpe2d_bench.sampling.loop import labels_of
from rpe2d_bench.storage.records import Record
from rpe2d_bench.storage.store import Store


def keys(plan: Plan) -> list[str]:
    return [plan.run, *(stage.key for stage in plan.measures())]


def values(found: list[Record], metric: str) -> dict[tuple[str | None, tuple[int, int] | None], float]:
    return {(r.method, r.test_resolution): r.metrics[metric] for r in found if metric in r.metrics}


def test_attention_entropy_is_a_value_of_every_cell(tiny: Path, tmp_path: Path) -> None:
    listed = "evaluate.metrics=[kid, attention_entropy, attention_entropy_nats]"
    asked = planned(tiny, listed, "methods.upscaled={model: rope, upscale: true}")
    found = run(asked, Store(tmp_path / "runs"), engine="local")
    assert {record.error for record in found} == {None}
    relative, nats = (values(found, name) for name in ("attention_entropy", "attention_entropy_nats"))
    cells = {(r.method, r.test_resolution) for r in found if r.stage == "measure"}
    assert set(relative) == set(nats) == cells  # and of no floor: real images have no attention
    for method, size in cells:
        if size == (16, 16) or method == "upscaled":  # the train grid
            assert relative[method, size] == pytest.approx(0.0, abs=1e-6)
    more = math.log(24 * 24) - math.log(16 * 16)  # of a row that spreads over everything
    assert 0.5 * more < nats["extrapolation", (24, 24)] < 1.1 * more
    assert nats["extrapolation", (24, 24)] != nats["ntk", (24, 24)]
    record = next(r for r in found if r.method == "ntk" and r.test_resolution == (24, 24))
    inside = record.measurement.attention
    assert (inside.tokens, inside.train_tokens) == (36, 16)
    assert inside.seen.startswith("12 real images")
    assert record.metric_versions["attention_entropy"] == "1"
    # the images and what is seen of them do not depend on it
    plain = planned(tiny, "evaluate.metrics=[kid]", "methods.upscaled={model: rope, upscale: true}")
    both = [{s.generated.key for s in plan.measures()} | {s.reference.key for s in plan.measures()}
            for plan in (asked, plain)]  # fmt: skip
    assert both[0] == both[1]
    assert keys(asked) != keys(plain)


def test_labels_are_balanced_or_drawn(tiny: Path, tmp_path: Path) -> None:
    balanced, drawn = planned(tiny), planned(tiny, "evaluate.labels=iid")
    assert keys(balanced) == keys(planned(tiny, "evaluate.labels=balanced"))
    indices = np.arange(3000)
    assert labels_of("balanced", 3, indices, 10).tolist() == (indices % 10).tolist()
    iid = labels_of("iid", 3, indices, 10)
    assert (labels_of("iid", 3, indices[7:9], 10) == iid[7:9]).all()  # whatever the batch
    assert (labels_of("iid", 4, indices, 10) != iid).any()
    counts = np.bincount(iid, minlength=10)
    assert 5 < counts.std() < 30  # of independent draws: 16.4
    found = run(drawn, Store(tmp_path / "runs"), engine="local")
    measured = [r for r in found if r.stage == "measure"]
    assert all(record.measurement.labels == "iid" for record in measured)
    assert all(record.measurement.class_counts.reference == (1, 2) for record in measured)
    split_sizes = measured[0].configuration.data
    assert (split_sizes.classes, split_sizes.train, split_sizes.test) == (10, 20_000, None)
    notes = {r.stage: r.measurement.notes.get("kid_glyphnet") for r in found if r.stage != "train"}
    assert notes["measure"] == "unbiased for drawn classes and the reference's fixed counts, all pairs of 12 and 12"
    floors = {s.key for s in drawn.measures()} & {s.key for s in balanced.measures()}
    assert floors == {floor.measure.key for floor in drawn.floors}  # real images are the same either way
    files = {r.method: tmp_path / "runs" / r.artifacts.samples for r in measured if r.test_resolution == (24, 24)}
    labels = [np.load(file)["labels"].tolist() for file in files.values()]
    assert labels == [labels_of("iid", 0, np.arange(12), 10).tolist()] * 3


@pytest.fixture
def inception(tmp_path: Path) -> Path:
    """Random weights of the FID Inception net."""
    torch = pytest.importorskip("torch")
    models = import_torchvision().models
    torch.manual_seed(0)
    path = tmp_path / "inception.pth"
    torch.save(models.inception_v3(num_classes=1008, aux_logits=False, init_weights=False).state_dict(), path)
    return path


def test_a_net_by_path_is_addressed_by_its_content(tiny: Path, tmp_path: Path, inception: Path) -> None:
    overrides = ["evaluate.features=inception", "evaluate.metrics=[fid, sfid, inception_score]",
                 "report.main_metric=fid", "evaluate.num_samples=2", "resolutions.0.test=[16]"]  # fmt: skip
    with pytest.raises(UserError, match=r"evaluate.weights"):
        planned(tiny, *overrides)
    with pytest.raises(UserError, match=r"nowhere\.pth cannot be read"):
        planned(tiny, *overrides, "evaluate.weights=nowhere.pth")
    plan = planned(tiny, *overrides, f"evaluate.weights={inception}")
    copy = shutil.copy(inception, tmp_path / "copy.pth")
    assert keys(planned(tiny, *overrides, f"evaluate.weights={copy}")) == keys(plan)
    found = run(plan, Store(tmp_path / "runs"), engine="local")
    assert {record.error for record in found} == {None}
    assert all(set(r.metrics) == {"fid", "sfid", "inception_score"} for r in found if r.stage != "train")
    import torch

    state = torch.load(copy, weights_only=True)
    state["fc.bias"] = state["fc.bias"] + 1
    torch.save(state, copy)
    assert not set(keys(planned(tiny, *overrides, f"evaluate.weights={copy}"))) & set(keys(plan))


def test_generated_images_that_are_not_finite_are_counted(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import rpe2d_bench.sampling.loop as module

    store, draws = Store(tmp_path / "runs"), module.draws
    run(planned(tiny, "resolutions.0.test=[16]"), store, engine="local")  # trains

    def broken(seed: int, indices: np.ndarray, shape: tuple[int, int, int]) -> object:
        def made() -> object:
            noise = draws(seed, indices, shape)()
            noise[indices == 3, 0, 0, 0] = float("nan")
            return noise

        return made

    monkeypatch.setattr(module, "draws", broken)
    found = run(planned(tiny, "resolutions.0.test=[24]"), store, engine="local")
    warnings = [record.measurement.warnings for record in found if record.stage == "measure"]
    assert warnings == [("at least 1 of 12 images held numbers that are not finite; they count as mid-grey",)] * 3


def test_what_cannot_be_measured_is_stated_at_once(tiny: Path) -> None:
    for override, sentence in (
        ("evaluate.metrics=[kid, sfid]", "'sfid' is defined on the features of 'inception'"),
        ("evaluate.weights=glyph.pth", "brings its own weights"),
    ):
        with pytest.raises(UserError, match=sentence):
            planned(tiny, override)


def test_the_denoising_loss_is_that_of_a_perfect_guess_or_worse(tiny: Path, tmp_path: Path) -> None:
    overrides = ["evaluate.metrics=[kid, denoising_loss]", "models.rope.train={steps: 60, lr: 0.003}"]
    found = run(planned(tiny, *overrides), Store(tmp_path / "runs"), engine="local")
    loss = values(found, "denoising_loss")
    assert set(loss) == {(r.method, r.test_resolution) for r in found if r.stage == "measure"}
    # An untrained model says zero: its loss is the mean square of eps - x0, about 1 + that of the images.
    assert all(0 < value < 2.2 for value in loss.values())
    assert loss["extrapolation", (16, 16)] == loss["ntk", (16, 16)] < loss["rpe2d", (16, 16)]  # 60 steps against 8
    assert loss["extrapolation", (24, 24)] != loss["ntk", (24, 24)]
    record = next(r for r in found if r.method == "ntk" and r.test_resolution == (24, 24))
    by_time = record.measurement.denoising.by_time
    assert list(by_time)[:2] == ["0.05", "0.15"]
    assert sum(by_time.values()) / len(by_time) == pytest.approx(loss["ntk", (24, 24)], abs=1e-5)
    (attention,) = {r.measurement.attention is not None for r in found if r.stage == "measure"}
    assert not attention
