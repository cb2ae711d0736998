"""Numbers that mean nothing are refused with file, line and field, before anything is computed."""

from __future__ import annotations

from pathlib import Path

import pytest

from rpe2d_bench.errors import UserError
from rpe2d_bench.resolve.load import load_experiment

TEXT = """schema_version: 1
name: t
seeds: [SEED]
data: {name: glyphs, DATA}
model: {preset: DiT-Nano/4}
train: {steps: 8, TRAIN}
models:
  rope: {encoding: {kind: axial_rope, ENCODING}, CROPS}
methods:
  a: {model: rope, METHOD}
resolutions: [{train: 16, test: [TEST]}]
evaluate:
  sampler: {steps: 2, SAMPLER}
  num_samples: 12
  metrics: [kid]
  judge: null
report: {main_metric: kid}
"""
LINES = {"SEED": 3, "DATA": 4, "TRAIN": 6, "ENCODING": 8, "CROPS": 8, "METHOD": 10, "TEST": 11, "SAMPLER": 13}
BIG = "1.0e+39"
SENSELESS = [
    *(("ENCODING", f"theta: {value}", "theta") for value in ("0", "-5", "1", ".inf", ".nan", BIG, "true")),
    *(("ENCODING", f"scale_reference: {value}", "scale_reference") for value in ("[0, 8]", "[true, 8]", "[-1, 1]")),
    *(("ENCODING", f"positions: {{kind: random, max_grid: {value}}}", "max_grid")
      for value in ("[0, 8]", "[8, -8]", "[true, true]", "[1000000000000, 8]", "[.inf, 8]")),
    ("ENCODING", "positions: {kind: random, max_grid: [8, 8], jitter: 1.5}", "jitter"),
    ("ENCODING", "positions: {kind: random, max_grid: [8, 8], seed: -1}", "seed"),
    ("ENCODING", "positions: {kind: shift_scale_jitter, max_scale: 0.5}", "max_scale"),
    ("ENCODING", "positions: {kind: shift_scale_jitter, max_shift: .inf}", "max_shift"),
    ("METHOD", "frequencies: {kind: yarn, beta_fast: 0}", "beta_fast"),
    ("METHOD", "frequencies: {kind: yarn, beta_fast: 1, beta_slow: 32}", "beta_fast 1 is below beta_slow 32"),
    ("METHOD", "frequencies: {kind: yarn_turns, alpha: 32, beta: 1}", "alpha 32 must lie below beta 1"),
    ("METHOD", "frequencies: {kind: yarn_turns, alpha: 3, beta: 3}", "alpha 3 must lie below beta 3"),
    ("METHOD", "frequencies: {kind: ntk_by_parts, gamma_0: 1}", "gamma_0 1 is below gamma_1 2"),
    ("METHOD", "frequencies: {kind: dype_yarn, exponent: -1}", "exponent"),
    ("METHOD", "frequencies: {kind: dype_ntk, magnitude: 1.0e+9}", "magnitude"),
    ("METHOD", "frequencies: {kind: time_aware, watershed: 7}", "watershed"),
    ("METHOD", "frequencies: {kind: riflex, repetition: 0}", "repetition"),
    ("METHOD", "frequencies: {kind: dominant, rounds: 0}", "rounds"),
    ("METHOD", "logit_scale: {kind: yarn, factor: -10}", "factor"),
    ("METHOD", "logit_scale: {kind: constant, value: -1}", "value"),
    ("METHOD", "logit_scale: {kind: constant, value: .nan}", "value"),
    ("METHOD", "conditioning: [.inf, 0, 0]", "conditioning"),
    ("METHOD", f"conditioning: [{BIG}, 0, 0]", "conditioning"),
    *(("TRAIN", f"lr: {value}", "train.lr") for value in ("0", "-1", ".inf", ".nan", "1.0e+9", "1.0e+400", "'inf'")),
    ("TRAIN", "lr: true", "lr: true and false are no value here"),
    *(("TRAIN", f"betas: {value}", "betas") for value in ("[2, 2]", "[0.9, 1]", "[-0.1, 0.9]", "[true, 0.9]")),
    *(("TRAIN", f"ema: {value}", "ema") for value in ("1", "-0.1", ".nan")),
    *(("TRAIN", f"{field}: 1000000000000", field) for field in ("warmup", "batch_size", "accumulate", "num_pictures")),
    ("TRAIN", "weight_decay: .inf", "weight_decay"),
    ("TRAIN", "decay: 2", "decay"),
    ("TRAIN", "class_dropout: 1", "class_dropout"),
    ("TRAIN", "time_std: 0", "time_std"),
    ("TRAIN", f"time_mean: {BIG}", "time_mean"),
    ("TRAIN", "grad_clip: .inf", "grad_clip"),
    ("TRAIN", "batch_size: true", "batch_size"),
    *(("SAMPLER", f"shift: {value}", "shift") for value in ("0", "-2", ".nan", ".inf", BIG, "true", "[1]", "wide")),
    *(("SAMPLER", f"guidance: {value}", "guidance") for value in (".nan", BIG, "-1", "true")),
    ("SEED", "-1", "seeds"),
    ("SEED", "9223372036854775808", "64 bits"),
    ("SEED", "true", "seeds: true and false are no value here"),
    *(("TEST", value, "resolutions") for value in ("0", "-16", "1000000000000")),
    *(("TEST", value, "test: true and false are no value here") for value in ("true", "[16, true]")),
    ("TEST", "18", "not a multiple"),
    ("CROPS", "crops: {kind: resize_and_crop, max_zoom: .inf}", "max_zoom"),
    ("CROPS", "crops: {kind: resize_and_crop, uncropped_share: true}", "uncropped_share"),
    ("DATA", "channels: true", "channels"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "written", "output"), SENSELESS, ids=[row[1] for row in SENSELESS])
def test_senseless_numbers_are_refused_where_they_stand(tmp_path: Path, place: str, written: str, output: str) -> None:
    path, text = tmp_path / "t.yaml", TEXT
    for name, plain in {"SEED": "0", "TEST": "16, 32"}.items():
        text = text.replace(name, written if place == name else plain)
    for name in ("DATA", "TRAIN", "ENCODING", "CROPS", "METHOD", "SAMPLER"):
        text = text.replace(f", {name}}}", f", {written}}}" if place == name else "}")
    assert written in text
    path.write_text(text)
    with pytest.raises(UserError) as raised:
        load_experiment(path)
    message = str(raised.value)
    assert output in message
    assert message.startswith(f"{path}:{LINES[place]}: ")
    assert "\n" not in message


def test_the_text_is_fine_without_them(tmp_path: Path) -> None:
    text = TEXT.replace("SEED", "0").replace("TEST", "16, 32")
    for name in ("DATA", "TRAIN", "ENCODING", "CROPS", "METHOD", "SAMPLER"):
        text = text.replace(f", {name}}}", "}")
    (tmp_path / "t.yaml").write_text(text)
    assert load_experiment(tmp_path / "t.yaml").seeds == (0,)
