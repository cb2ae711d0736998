"""The reference of the experiment file as Markdown, from its JSON schema."""

from __future__ import annotations

import json
from typing import Any

from rpe2d_bench.reference.json_schema import Schema, key_of, kinds, schema

HEAD = """# The experiment file

Generated from the code by `python -m rpe2d_bench.reference docs`; a test keeps it current.

`rpe2d-bench validate FILE.yaml` checks a file, `--set path.to.key=VALUE` overrides a value for one command. Unknown
keys, kinds and options are errors with file, line and suggestion. A resolution is `[height, width]` in pixels; a single
number is a square.

Editors complete and check experiment files with `experiment.schema.json`. With the YAML extension of VS Code:

```json
{"yaml.schemas": {"docs/experiment.schema.json": "experiments/*.yaml"}}
```
"""
# Definition of the schema, or None for the top level -> heading, and where it stands in the file.
PARTS: tuple[tuple[str | None, str, str], ...] = (
    (None, "Top level", ""),
    ("Model", "`model`", ""),
    ("Train", "`train`", ""),
    ("ModelEntry", "`models`", "One entry per model: `NAME: {encoding: ..., ...}`. "),
    ("Init", "`models.NAME.init`", ""),
    ("Checkpoint", "`models.NAME.checkpoint`", ""),
    ("Pipeline", "`models.NAME.pipeline`", ""),
    ("Mixed", "`models.NAME.mixed`", "A list of them. "),
    ("Prompts", "`prompts`", ""),
    ("MethodEntry", "`methods`", "One entry per method: `NAME: {model: ..., ...}`. "),
    ("Pair", "`resolutions`", "A list of pairs. "),
    ("Search", "`search`", ""),
    ("Range", "Ranges of a search", "A list of values is tried as it stands. "),
    ("Evaluate", "`evaluate`", ""),
    ("Sampler", "`evaluate.sampler`", "A method's `sampler` replaces parts of it. "),
    ("ReferenceStatistics", "`evaluate.reference`", "Sizes are written `'256'`, in quotes, or `224x448`. "),
    ("Resources", "`resources`", ""),
    ("Report", "`report`", "What the report puts first. "),
)
TABLES = {
    "data": ("Data sets", "`data: {name: NAME, OPTION: VALUE}`"),
    "autoencoder": ("Autoencoders", "`autoencoder: {kind: KIND, OPTION: VALUE}`; resolutions stay pixels."),
    "crops": ("Crops", "`models.NAME.crops: {kind: KIND, OPTION: VALUE}`"),
    "encoding": ("Encodings", "`models.NAME.encoding: {kind: KIND, OPTION: VALUE}`"),
    "positions": ("Positions", "`positions` of an encoding or a method."),
    "frequencies": ("Frequencies", "`frequencies` of an encoding or a method."),
    "logit_scale": ("Logit scales", "`logit_scale` of an encoding or a method."),
    "bias": ("Biases", "`bias` of an encoding: what a distance costs."),
}


GIVEN = "a file: `evaluate.weights`, or `--weights` of `measure`"


def page() -> str:
    """The whole page."""
    made = schema()
    written = [HEAD]
    for name, heading, where in PARTS:
        part = made if name is None else made["$defs"][name]
        text = "" if name is None else part.get("description", "")
        written += [f"\n## {heading}\n", f"\n{where}{text}".rstrip() + "\n" if where or text else "", _table(part)]
    for part_name, entries in kinds().items():
        heading, where = TABLES[part_name]
        written.append(f"\n## {heading}\n\n{where}\n")
        for name, entry in entries.items():
            written.append(f"\n- **`{key_of(part_name)}: {name}`**: {entry['description']}\n")
            written += [f"  - {option}\n" for option in _options(entry)]
    written.append(_names(made))
    return "".join(written)


def _table(part: Schema) -> str:
    required = part.get("required", [])
    rows = ["\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n"]
    for name, option in part["properties"].items():
        whole = isinstance(option.get("default"), dict) and "kind" not in option["default"] and "$ref" in option
        default = "required" if name in required else "" if whole else _value(option.get("default"))
        cells = (f"`{name}`", words(option), default, option.get("description", ""))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return "".join(rows)


def _options(entry: Schema) -> list[str]:
    found = []
    for name, option in entry["properties"].items():
        default = "required" if name in entry["required"] else f"default {_value(option.get('default'))}"
        text = f": {option['description']}" if "description" in option else ""
        found.append(f"`{name}`, {words(option)}, {default}{text}")
    return found


def _names(made: Schema) -> str:
    from rpe2d_bench.metrics import FEATURE_NETS, METRICS
    from rpe2d_bench.models import SIZES

    sizes = [
        f"| `{name}` | {width} | {depth} | {heads} |\n" for name, (width, depth, heads) in SIZES.items()
    ]  # the patch is the file's to choose
    nets = [
        f"| `{net.name}` | {'yes' if net.classifies else 'no'} | {GIVEN if net.needs_weights else 'installed'} |\n"
        for net in FEATURE_NETS.values()
    ]
    scores = [f"| `{m.name}` | {m.better} | {m.view} | {m.version} | {m.citation} |\n" for m in METRICS.values()]
    return "".join(
        (
            "\n## Sizes of models\n\n`model.preset` is `NAME/PATCH`, PATCH being pixels.\n",
            "\n| name | width | depth | heads |\n| --- | ---: | ---: | ---: |\n", *sizes,
            "\n## Nets\n\n`evaluate.features`; those that classify may be `evaluate.judge`.\n",
            "\n| name | classifies | weights |\n| --- | --- | --- |\n", *nets,
            "\n## Metrics\n\nResults carry the net's name: `kid` with `glyphnet` is `kid_glyphnet`, and `fid` is `fd`"
            " with the standard Inception weights. [metrics.md](metrics.md) says what they mean.\n",
            "\n| name | better | looks at | version | source |\n| --- | --- | --- | --- | --- |\n", *scores,
        )
    )  # fmt: skip


def words(option: Schema) -> str:
    """The values of an option as people say them."""
    if "$ref" in option:
        return _link(option["$ref"].rpartition("/")[2])
    if "anyOf" in option:
        choices = [words(choice) for choice in option["anyOf"]]
        return "number or `[height, width]`" if _is_resolution(option) else " or ".join(dict.fromkeys(choices))
    if "const" in option:
        return _value(option["const"])
    if "enum" in option:
        return " or ".join(_value(value) for value in option["enum"])
    kind = option.get("type")
    if kind == "array":
        if "prefixItems" in option:
            return f"list of {len(option['prefixItems'])} {_plural(option['prefixItems'][0])}"
        return f"list of {_plural(option['items'])}"
    if kind == "object":
        inner = option.get("additionalProperties")
        if isinstance(inner, dict) and isinstance(deeper := inner.get("additionalProperties"), dict):
            return "options by path, by entry or `*` for all, each " + words(deeper)
        return "entries by name, each " + words(inner) if isinstance(inner, dict) else "mapping"
    return {"null": "`null`", "integer": "whole number", "string": "text", "boolean": "`true` or `false`"}.get(
        str(kind), str(kind)
    ) + _range(option)


def _link(definition: str) -> str:
    """A link to the heading of a definition of the schema."""
    changes = definition.endswith("Changes")
    headings = {name: heading for name, heading, _ in PARTS} | {name: heading for name, (heading, _) in TABLES.items()}
    heading = headings[definition.removesuffix("Changes")]
    anchor = heading.lower().replace("`", "").replace(".", "").replace(" ", "-")
    return f"{'any keys of ' if changes else ''}[{heading.lower()}](#{anchor})"


def _plural(option: Schema) -> str:
    if _is_resolution(option):
        return "resolutions"
    if not option:
        return "values"
    if "$ref" in option:
        return "pairs" if option["$ref"].endswith("/Pair") else "entries"
    if "enum" in option:
        return "names"
    return {"integer": "whole numbers", "string": "texts"}.get(str(option.get("type")), f"{option.get('type')}s")


def _is_resolution(option: Schema) -> bool:
    sides = [choice["prefixItems"][0] for choice in option.get("anyOf", ()) if "prefixItems" in choice]
    return any("exclusiveMinimum" in side for side in sides)


def _range(option: Schema) -> str:
    signs = {"exclusiveMinimum": "above", "minimum": "at least", "exclusiveMaximum": "below", "maximum": "at most"}
    text = [f"{word} {option[sign]:g}" for sign, word in signs.items() if sign in option]
    return ", " + " and ".join(text) if text else ""


def _value(value: Any) -> str:
    return f"`{json.dumps(value, ensure_ascii=False)}`" if not isinstance(value, str) else f"`{value}`"
