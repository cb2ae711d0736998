"""Two small nets for rendered glyphs, with weights in the package: `glyphnet` for distances, `glyphjudge` for accuracy.

They differ in architecture, input size, seed, training draws and targets. glyphnet's features answer for class, font,
textures, number and size of objects, sharpness and kinds of damage; glyphjudge knows classes only. Both saw all
resolutions from 16 to 96 px and aspect ratios up to 2, resized to their input size by the resizer of the metrics.
`python -m scripts.train_glyph_nets` trained them.

Shape suffixes: N images, C channels, H height, W width, D features, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from rpe2d_bench.errors import UserError, unknown
from rpe2d_bench.metrics.nets.inputs import INPUTS

CLASSES: tuple[str, ...] = tuple("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
DIGITS: tuple[str, ...] = CLASSES[:10]
WEIGHTS = Path(__file__).parent / "weights"


class Unit(nn.Module):
    """Convolution and ReLU; in training with batch norm between them, which `fold` absorbs afterwards."""

    norm: nn.BatchNorm2d | None

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, *, norm: bool = False, relu: bool = True
    ) -> None:
        super().__init__()
        self.relu = relu
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
        self.norm = nn.BatchNorm2d(outputs) if norm else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = x if self.norm is None else self.norm(x)
        return functional.relu(x) if self.relu else x

    def fold(self) -> None:
        if self.norm is not None:
            self.eval()
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = None


class GlyphNet(nn.Module):
    """Plain convolutions; features read every depth, so that texture and sharpness count besides shape."""

    input_size = INPUTS["glyphnet"]
    num_features = 64
    damage = 11  # see glyph_damage.KINDS

    def __init__(self, *, norm: bool = False) -> None:
        super().__init__()
        self.fine = nn.Sequential(Unit(3, 12, stride=2, norm=norm), Unit(12, 24, norm=norm))
        self.middle = nn.Sequential(Unit(24, 32, stride=2, norm=norm), Unit(32, 40, norm=norm))
        self.coarse = nn.Sequential(Unit(40, 64, stride=2, norm=norm), Unit(64, 64, norm=norm))
        self.whole = Unit(64, 96, stride=2, norm=norm)
        self.features = nn.Linear(24 + 40 + 64 + 96 * 4, self.num_features)
        self.classes = nn.Linear(self.num_features, len(CLASSES))

    def forward(self, x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.fine(x_NCHW)
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        whole = functional.avg_pool2d(self.whole(coarse), 2).flatten(1)
        pooled = [depth.mean((2, 3)) for depth in (fine, middle, coarse)]
        features_ND = self.features(torch.cat([*pooled, whole], 1))
        return features_ND, self.classes(features_ND)


class GlyphJudge(nn.Module):
    """Residual blocks with SiLU, a wide first kernel and a smaller input."""

    input_size = INPUTS["glyphjudge"]
    num_features = 96

    def __init__(self, *, norm: bool = False) -> None:
        super().__init__()
        self.stem = Unit(3, 24, kernel=5, stride=2, norm=norm, relu=False)
        self.blocks = nn.ModuleList(Unit(width, width, norm=norm, relu=False) for width in (24, 48, 96))
        self.downs = nn.ModuleList(Unit(a, b, stride=2, norm=norm, relu=False) for a, b in ((24, 48), (48, 96)))
        self.features = nn.Linear(96 * 9, self.num_features)
        self.classes = nn.Linear(self.num_features, len(CLASSES))

    def forward(self, x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        x = functional.silu(self.stem(x_NCHW))
        for stage, block in enumerate(self.blocks):
            x = functional.silu(x + block(x))
            if stage < len(self.downs):
                x = functional.silu(self.downs[stage](x))
        features_ND = self.features(functional.avg_pool2d(x, 2).flatten(1))
        return features_ND, self.classes(functional.silu(features_ND))


NETS: dict[str, type[GlyphNet] | type[GlyphJudge]] = {"glyphnet": GlyphNet, "glyphjudge": GlyphJudge}


class FeatureNet:
    """A trained net as a function of float grey levels at its input size."""

    channels = 3

    def __init__(self, name: str, version: str, net: GlyphNet | GlyphJudge, classes: tuple[str, ...]) -> None:
        self.name, self.version, self.classes = name, version, classes
        self.input_size, self.num_features = net.input_size, net.num_features
        self._net = net
        self._columns = torch.tensor([CLASSES.index(c) for c in classes])

    @torch.inference_mode()
    def features_and_logits(self, images_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        """float32 [N, 1 or 3, S, S] in [0, 255] -> features [N, D], logits [N, K] of `classes`, on the same device."""
        size = tuple(images_NCHW.shape[2:])
        if size != self.input_size or images_NCHW.shape[1] not in (1, 3):
            raise ValueError(f"{self.name} takes [N, 1 or 3, {self.input_size[0]}, {self.input_size[1]}], not {size}")
        self._net.to(images_NCHW.device)
        features_ND, logits_NK = self._net(normalise(images_NCHW))
        return features_ND, logits_NK[:, self._columns.to(logits_NK.device)]


def normalise(images_NCHW: Tensor) -> Tensor:
    """Grey levels to the nets' input: three channels, in [-1, 1]."""
    return (images_NCHW / 127.5 - 1).expand(-1, 3, -1, -1)


def load(name: str, class_names: Sequence[str] = DIGITS) -> FeatureNet:
    """A shipped net whose logits stand for the classes given, in their order; UserError for classes it never saw."""
    if name not in NETS:
        raise unknown("glyph net", name, NETS)
    strange = [c for c in class_names if c not in CLASSES]
    if strange:
        known = f"{CLASSES[0]} to {CLASSES[9]} and {CLASSES[10]} to {CLASSES[-1]}"
        raise UserError(f"{name} was trained on the classes {known}; it cannot judge {strange[0]!r}")
    path = WEIGHTS / f"{name}.safetensors"
    try:
        with safe_open(path, framework="pt") as stored:
            version = stored.metadata()["version"]
            state = {key: stored.get_tensor(key).float() for key in stored.keys()}  # noqa: SIM118 - not a mapping
    except Exception as error:
        raise UserError(f"{path}: the weights of {name} cannot be read ({error}); reinstall the package") from error
    net = NETS[name]()
    net.load_state_dict(state)
    return FeatureNet(name, version, net.eval(), tuple(class_names))


def save(net: GlyphNet | GlyphJudge, path: Path, version: str) -> None:
    """Folds the norms and writes the weights as float16."""
    for module in net.modules():
        if isinstance(module, Unit):
            module.fold()
    state = {key: value.half().contiguous() for key, value in net.state_dict().items()}
    save_file(state, path, {"version": version})
