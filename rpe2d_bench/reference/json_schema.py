"""The experiment file as a JSON schema, for editors: the fields of experiment.py and the options of every table.

`python -m rpe2d_bench.reference docs` writes experiment.schema.json and its page experiment_file.md into the folder.
What is installed decides: methods of other packages join when they are.
"""

from __future__ import annotations

import ast
import functools
import inspect
import io
import json
import textwrap
import tokenize
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter

from rpe2d_bench.config.experiment import (
    NEW_NAMES,
    Evaluate,
    Experiment,
    MethodEntry,
    Model,
    ModelEntry,
    Sampler,
    Train,
)

Schema = dict[str, Any]
SCHEMA_FILE, PAGE_FILE = "experiment.schema.json", "experiment_file.md"


def schema() -> Schema:
    """The JSON schema (draft 2020-12) of an experiment file."""
    made: Schema = _squares(Experiment.model_json_schema())
    parts: Schema = made["$defs"]
    for part in (Experiment, *_parts()):
        where = made if part is Experiment else parts[part.__name__]
        for name, comment in comments(part).items():
            if name in where["properties"]:
                where["properties"][name].setdefault("description", comment)
    for part_name, names in NEW_NAMES.items():
        properties = parts[part_name]["properties"]
        properties |= {new: properties[old] | {"description": f"the same as {old}"} for new, old in names.items()}
    parts["ModelEntry"]["properties"]["checkpoint"]["anyOf"].insert(0, {"type": "string"})  # a path alone
    _what_models_say_themselves(made)
    for part in (Train, Model, Sampler):  # what an entry replaces: the same keys, none required
        parts[f"{part.__name__}Changes"] = {k: v for k, v in parts[part.__name__].items() if k != "required"}
    parts |= _tables()
    _point(parts["ModelEntry"], encoding="encoding", crops="crops", train="TrainChanges", model="ModelChanges")
    _point(parts["MethodEntry"], positions="positions", frequencies="frequencies", logit_scale="logit_scale")
    _point(parts["MethodEntry"], sampler="SamplerChanges")
    _point(made, data="data", autoencoder="autoencoder")
    _names(parts)
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "rpe2d-bench experiment"}
    made = _untitled(made)
    return dialect | made


def _what_models_say_themselves(made: Schema) -> None:
    """Size and recipe are required unless every entry is a pipeline, or every entry is weights in another's layout."""
    from rpe2d_bench.models.foreign import LAYOUTS

    layout = {"type": "object", "properties": {"format": {"enum": list(LAYOUTS)}}, "required": ["format"]}
    saying: list[Schema] = [
        {"required": ["pipeline"]},
        {"properties": {"checkpoint": layout}, "required": ["checkpoint"]},
    ]
    made["$defs"]["ModelEntry"]["anyOf"] = [{"required": ["encoding"]}, *saying]
    made["required"] = [name for name in made["required"] if name not in ("model", "train")]
    made["if"] = {"properties": {"models": {"anyOf": [{"additionalProperties": each} for each in saying]}}}
    made["else"] = {"required": ["model", "train"]}


@functools.cache
def comments(cls: type) -> dict[str, str]:
    """Field -> the comment at the end of its line in the class body, which is where this project describes fields."""
    source = textwrap.dedent(inspect.getsource(cls))
    sentence = {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT and "noqa" not in token.string
    }
    found = {}
    for node in ast.parse(source).body[0].body:  # type: ignore[attr-defined]
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            if text := " ".join(sentence[line] for line in lines if line in sentence):
                found[node.target.id] = text
    return found


def kinds() -> dict[str, dict[str, Schema]]:
    """Part of the file -> name -> schema of its options, from every table of kinds."""
    from rpe2d_bench import autoencoders, data, encodings
    from rpe2d_bench.data.crops import CROPS

    rules: dict[str, Mapping[str, Any]] = {
        "positions": encodings.POSITIONS,
        "frequencies": encodings.FREQUENCIES,
        "logit_scale": encodings.LOGIT_SCALES,
        "bias": encodings.LOGIT_BIASES,
    }
    found = {"data": _each(data.DATASETS, _dataclass), "crops": _each(CROPS, _dataclass)}
    found["autoencoder"] = _each(autoencoders.AUTOENCODERS, _dataclass)
    found["encoding"] = _each(encodings.ENCODINGS, _encoding)
    return found | {part: _each(table, _dataclass) for part, table in rules.items()}


def key_of(part: str) -> str:
    """The key that names the kind."""
    return "name" if part == "data" else "kind"


def _parts() -> Iterable[type]:
    from rpe2d_bench.config import experiment

    return (experiment.Model, Train, ModelEntry, Sampler, MethodEntry, experiment.Pair, Evaluate, experiment.Resources,
            experiment.Report, experiment.Search, experiment.Range, experiment.Init, experiment.Checkpoint,
            experiment.Mixed, experiment.ReferenceStatistics)  # fmt: skip


def _each(table: Mapping[str, Any], build: Callable[[Any], Schema]) -> dict[str, Schema]:
    return {name: build(table[name]) for name in sorted(table)}


def _described(cls: Any, properties: Schema, required: list[str]) -> Schema:
    text = " ".join((inspect.getdoc(cls) or "").split()).partition(" Raises UserError")[0]
    return {"type": "object", "description": text, "properties": properties, "required": required}


def _dataclass(cls: Any) -> Schema:
    """Options of a rule, a data set or crops: the fields of a frozen dataclass."""
    made = _untitled(TypeAdapter(cls).json_schema())
    sentence = comments(cls)
    properties = {
        name: option | ({"description": sentence[name]} if name in sentence else {})
        for name, option in made.get("properties", {}).items()
    }
    return _described(cls, properties, made.get("required", []))


def _encoding(cls: Any) -> Schema:
    """Options of an encoding: the parameters of its __init__ that are not the model's."""
    from rpe2d_bench.encodings.spec import FROM_MODEL, RULES
    from rpe2d_bench.encodings.spec import schema as parameters_of

    parts = {rule: table.kind for rule, table in RULES.items()}
    properties, required = {}, []
    for name, parameter in parameters_of(cls).items():
        if name in FROM_MODEL:
            continue
        annotation, default = parameter.annotation, parameter.default
        if annotation in parts:
            properties[name] = {"$ref": f"#/$defs/{parts[annotation]}"}
            default = {"kind": next(k for k, rule in RULES[annotation].items() if rule is type(default))}
        else:
            properties[name] = _untitled(TypeAdapter(annotation).json_schema())
        if default is parameter.empty:
            required.append(name)
        else:
            properties[name]["default"] = default
    return _described(cls, properties, required)


def _tables() -> Schema:
    """A definition per part: one of its kinds, each with its own options and no others."""
    found = {}
    for part, entries in kinds().items():
        key = key_of(part)
        branches = []
        for name, entry in entries.items():
            options = {key: {"const": name, "description": entry["description"]}, **entry["properties"]}
            required = [key, *entry["required"]]
            branches.append(entry | {"properties": options, "required": required, "additionalProperties": False})
        found[part] = {
            "type": "object",
            "properties": {key: {"enum": list(entries)}},
            "required": [key],
            "oneOf": branches,
        }
    return found


def _names(parts: Schema) -> None:
    """Names that tables know, as enumerations."""
    from rpe2d_bench import diffusion, metrics
    from rpe2d_bench.models import SIZES

    evaluate = parts["Evaluate"]["properties"]
    judges = [name for name, net in metrics.FEATURE_NETS.items() if net.classifies]
    for part in ("Train", "TrainChanges"):
        parts[part]["properties"]["path"]["enum"] = list(diffusion.PATHS)
    for part in ("Sampler", "SamplerChanges"):
        parts[part]["properties"]["kind"]["enum"] = list(diffusion.SAMPLERS)
    for part in ("Model", "ModelChanges"):
        parts[part]["properties"]["preset"]["pattern"] = f"^({'|'.join(SIZES)})/[1-9][0-9]*$"
    evaluate["metrics"]["items"]["enum"] = list(metrics.METRICS)
    evaluate["features"]["enum"] = list(metrics.FEATURE_NETS)
    evaluate["judge"]["anyOf"][0]["enum"] = judges


def _point(definition: Schema, **targets: str) -> None:
    """Let properties refer to a definition; description and default stay."""
    for name, target in targets.items():
        written = definition["properties"][name]
        kept = {key: written[key] for key in ("description", "default") if key in written}
        definition["properties"][name] = {"$ref": f"#/$defs/{target}", **kept}


def _squares(node: Any) -> Any:
    """The same schema in which a single number stands for a square, as config.values.WrittenSize reads it."""
    if isinstance(node, list):
        return [_squares(item) for item in node]
    if not isinstance(node, dict):
        return node
    sides = node.get("prefixItems")
    if sides and all(side.get("exclusiveMinimum") == 0 for side in sides):
        return {"anyOf": [sides[0], node]}
    return {key: _squares(value) for key, value in node.items()}


def _untitled(node: Any) -> Any:
    """Without the titles that pydantic makes of names."""
    if isinstance(node, dict):
        return {key: _untitled(value) for key, value in node.items() if not (key == "title" and isinstance(value, str))}
    return [_untitled(item) for item in node] if isinstance(node, list) else node


def text() -> str:
    """The schema as it is written."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
