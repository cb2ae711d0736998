"""What a bare machine may lack and a prepared job does not need in full: pydantic, safetensors, an installed package.

A job was checked where it was prepared, so the stand-in for pydantic checks nothing: it fills in defaults. The one for
safetensors reads and writes the format as published (an 8-byte length, a JSON header, the tensors).
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import inspect
import json
import math
import struct
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

DISTRIBUTION = "rpe2d-bench"
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
REQUIRED = object()


def provide(folder: Path) -> list[str]:
    """Put a stand-in wherever something is missing; returns their names. folder is for the package's description."""
    missing = []
    for name, build in (("pydantic", _pydantic), ("safetensors", _safetensors)):
        try:
            importlib.import_module(name)
        except ImportError:
            build()
            missing.append(name)
    try:
        importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        _describe_package(folder)
    return missing


def _describe_package(folder: Path) -> None:
    """Name and entry points of the repository, as installing it would write them: methods are found by these."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in points.items()), ""]
    described = folder.resolve() / f"rpe2d_bench-{project['version']}.dist-info"
    described.mkdir(parents=True, exist_ok=True)
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: {project['version']}\n")
    (described / "entry_points.txt").write_text("\n".join(lines))
    sys.path.append(str(described.parent))
    importlib.invalidate_caches()


class _Field:
    def __init__(self, default: Any = REQUIRED, **options: Any) -> None:
        self.default = options["default_factory"]() if "default_factory" in options else default


class _Model:
    """Fields from annotations, defaults filled in, lists as tuples, nothing checked."""

    model_fields: dict[str, _Field] = {}  # noqa: RUF012

    def __init_subclass__(cls, **options: Any) -> None:
        names = [name for name in inspect.get_annotations(cls) if name != "model_config"]
        own = {name: cls.__dict__.get(name, REQUIRED) for name in names}
        fields = {name: value if isinstance(value, _Field) else _Field(value) for name, value in own.items()}
        cls.model_fields = cls.model_fields | fields

    def __init__(self, **values: Any) -> None:
        for name, field in type(self).model_fields.items():
            setattr(self, name, _tuples(values.get(name, field.default)))

    @classmethod
    def model_validate(cls, values: dict[str, Any]) -> Any:
        return cls(**values)

    def model_dump(self, **options: Any) -> dict[str, Any]:
        return {name: getattr(self, name) for name in type(self).model_fields}

    def model_copy(self, *, update: dict[str, Any]) -> Any:
        return type(self)(**{**self.model_dump(), **update})


class _Adapter:
    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def validate_python(self, value: Any) -> Any:
        if dataclasses.is_dataclass(self._kind) and isinstance(value, dict):
            return self._kind(**{name: _tuples(part) for name, part in value.items()})  # type: ignore[operator]
        return _tuples(value)


def _pydantic() -> None:
    def unchanged(*arguments: Any, **options: Any) -> Any:
        return lambda function: function

    module: Any = ModuleType("pydantic")
    module.BaseModel, module.Field, module.TypeAdapter, module.ConfigDict = _Model, _Field, _Adapter, dict
    module.ValidationInfo = object
    module.field_validator = module.model_validator = unchanged
    module.BeforeValidator = module.AfterValidator = lambda function: function
    module.ValidationError = type("ValidationError", (ValueError,), {})
    sys.modules["pydantic"] = module


def _tuples(value: Any) -> Any:
    return tuple(_tuples(part) for part in value) if isinstance(value, list) else value


def _safetensors() -> None:
    module, tensors = ModuleType("safetensors"), ModuleType("safetensors.torch")
    module.SafetensorError = type("SafetensorError", (Exception,), {})  # type: ignore[attr-defined]
    tensors.load_file, tensors.save_file = load_file, save_file  # type: ignore[attr-defined]
    sys.modules["safetensors"], sys.modules["safetensors.torch"] = module, tensors


def save_file(weights: dict[str, Tensor], path: str | Path, metadata: dict[str, str] | None = None) -> None:
    """Write tensors by name, and what is said of them."""
    names = {dtype: name for name, dtype in DTYPES.items()}
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    end = 0
    for name, value in weights.items():
        start, end = end, end + value.nbytes
        header[name] = {"dtype": names[value.dtype], "shape": list(value.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with Path(path).open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for value in weights.values():
            file.write(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())


def load_file(path: str | Path) -> dict[str, Tensor]:
    """Tensors by name."""
    content = bytearray(Path(path).read_bytes())
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    weights = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype, (start, _) = DTYPES[entry["dtype"]], entry["data_offsets"]
        count = math.prod(entry["shape"])
        flat = (
            torch.frombuffer(content, dtype=dtype, count=count, offset=8 + length + start)
            if count
            else torch.empty(0, dtype=dtype)
        )
        weights[name] = flat.clone().reshape(entry["shape"])
    return weights
