"""Write docs/fields.md and docs/python.md from the code: `python docs/_reference.py`. A test compares both with it."""

import importlib
import inspect
import re
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from zoetrope.config import Config, Kind
from zoetrope.schemes import SamplingScheme
from zoetrope.training.spec import Recipe

DOCS = Path(__file__).parent

# What people import, in the order in which they meet it. A module gives its public classes and functions, a name alone.
MODULES = (
    "zoetrope.models.cascade",
    "zoetrope.models.long",
    "zoetrope.models.opening",
    "zoetrope.video",
    "zoetrope.video.resample",
    "zoetrope.channels",
    "zoetrope.scales",
    "zoetrope.fields",
    "zoetrope.cascade.spec",
    "zoetrope.cascade.tuning",
    "zoetrope.cascade.start",
    "zoetrope.cascade.sample",
    "zoetrope.cascade.execution.layout",
    "zoetrope.conditioning",
    "zoetrope.inputs",
    "zoetrope.inputs.text",
    "zoetrope.inputs.low_res",
    "zoetrope.shapes",
    "zoetrope.diffusion.tensors",
    "zoetrope.diffusion.level",
    "zoetrope.schedules",
    "zoetrope.schedules.cosine",
    "zoetrope.schedules.karras",
    "zoetrope.diffusion.process",
    "zoetrope.diffusion.prediction",
    "zoetrope.diffusion.augmentation",
    "zoetrope.diffusion.denoise",
    "zoetrope.diffusion.loss",
    "zoetrope.diffusion.distillation",
    "zoetrope.guidance",
    "zoetrope.guidance.text",
    "zoetrope.guidance.oscillating",
    "zoetrope.samplers",
    "zoetrope.routines",
    "zoetrope.interpolators",
    "zoetrope.schemes",
    "zoetrope.networks",
    "zoetrope.layers.fused",
    "zoetrope.text",
    "zoetrope.data",
    "zoetrope.metrics.psnr",
    "zoetrope.metrics.ssim",
    "zoetrope.metrics.flicker",
    "zoetrope.metrics.lead_time",
    "zoetrope.metrics.crps",
    "zoetrope.metrics.spread_skill",
    "zoetrope.metrics.rank_histogram",
    "zoetrope.metrics.csi",
    "zoetrope.metrics.spectrum",
    "zoetrope.metrics.frechet",
    "zoetrope.metrics.recogniser",
    "zoetrope.recipes",
    "zoetrope.training.spec",
    "zoetrope.training.objectives",
    "zoetrope.training.times",
    "zoetrope.training.loop",
    "zoetrope.planning.plan",
    "zoetrope.config",
    "zoetrope.config.foreign",
)

FIELDS_HEAD = """# Fields of recipes and models

Every value that a `recipe.json`, a `cascade.json`, `--set` or `--scheme` may hold: its type, its default and its
meaning.
`--set STAGE.FIELD=VALUE` reaches into a stage (`base.sampling.steps=8`, `base.network.levels.0.width=64`,
`base.training.seed=1`). A *kind* is chosen by `"type"`, as in `{"type": "ddim"}`.

This page is written by `python docs/_reference.py` from the code.
"""

PYTHON_HEAD = """# Python reference

The public names of the modules below. Videos are tensors (B, C, F, H, W) in [-1, 1]; B is batch, C channels, F frames,
H height, W width, L text tokens, D features. A wrong argument raises `ValueError`.

This page is written by `python docs/_reference.py` from the docstrings.
"""


def configs() -> list[type[Config]]:
    """The recipe, the scheme of a long video, and all values in them, each after the one that holds it.

    Kinds come as their interfaces.
    """
    found: list[type[Config]] = [Recipe, SamplingScheme]
    for config in found:  # which grows meanwhile
        owners = config.every() if is_interface(config) else [config]
        for owner in owners:
            for field in owner.model_fields.values():
                found += [value for value in values_in(field.annotation) if value not in found]
    return found


def is_interface(config: type[Config]) -> bool:
    """Whether a value comes in kinds."""
    return issubclass(config, Kind) and "folder" in vars(config)


def values_in(annotation: Any) -> Iterator[type[Config]]:
    """The configs that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, Config):
        yield annotation
    for part in get_args(annotation):
        yield from values_in(part)


def fields_page() -> str:
    """The text of docs/fields.md."""
    return "\n".join([FIELDS_HEAD, *(line for config in configs() for line in section(config))]).rstrip() + "\n"


def section(config: type[Config]) -> Iterator[str]:
    """The heading, first sentence and table of a value, or of each kind of it."""
    yield f"## {title(config)}\n"
    yield summary(config) + "\n"
    if not is_interface(config):
        yield from table(config)
        return
    for kind in config.every():
        yield f"### `{kind.kind()}`\n"
        yield summary(kind) + "\n"
        yield from table(kind)


def title(config: type[Config]) -> str:
    """A heading: the class, and the folder of its kinds."""
    return f"{config.__name__}, one of `{config.folder}`" if is_interface(config) else config.__name__  # type: ignore[attr-defined]


def table(config: type[Config]) -> Iterator[str]:
    """A row for each field."""
    told = meanings(config)
    if config.model_fields:
        yield "| field | type | default | meaning |\n|---|---|---|---|"
        for name, field in config.model_fields.items():
            meaning = re.sub(r"\bNone\b", "`null`", told.get(name, ""))
            cells = (f"`{name}`", type_of(field.annotation, field.metadata), default_of(field), meaning)
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        yield ""


def meanings(config: type[Config]) -> dict[str, str]:
    """What the docstrings of a config, and of those that it inherits from, say of its fields."""
    told: dict[str, str] = {}
    for owner in reversed(config.__mro__):
        told |= attributes(inspect.cleandoc(owner.__dict__.get("__doc__") or ""))
    return {name: text for name, text in told.items() if name in config.model_fields}


def attributes(doc: str) -> dict[str, str]:
    """The entries under "Attributes:" of a docstring: "name: text", "one, other: text", or several with ";"."""
    listed = doc.partition("Attributes:\n")[2]
    entries = re.findall(r"^    (\S.*(?:\n     +\S.*)*)", listed.split("\n\n")[0], re.MULTILINE)
    told: dict[str, str] = {}
    for entry in entries:
        for part in re.split(r"[;.] (?=\w+(?:, \w+)*: )", " ".join(entry.split())):
            names, colon, text = part.partition(": ")
            if colon:
                told |= dict.fromkeys(names.split(", "), text.rstrip(".") + ".")
    return told


BOUNDS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def type_of(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """A type as people say it, with its bounds."""
    origin, parts = get_origin(annotation), get_args(annotation)
    named = ((item, name, sign) for item in metadata for name, sign in BOUNDS.items() if hasattr(item, name))
    limits = ", ".join(f"{sign} {plain_number(getattr(item, name))}" for item, name, sign in named)
    if origin is Annotated:
        text = type_of(parts[0], unpacked(parts[1:]))
    elif origin in (Union, types.UnionType):
        text = " or ".join(type_of(part) for part in parts)
    elif origin is Literal:
        text = " or ".join(f"`{part!r}`".replace("'", '"') for part in parts)
    elif origin is tuple and not parts:
        text = "empty list"
    elif origin is tuple:
        text = f"list of {type_of(parts[0])}" if parts[1:] == (...,) else f"list of {len(parts)}: {type_of(parts[0])}"
    elif origin is dict:
        text = f"{type_of(parts[1])} for each name"
    elif annotation is type(None):
        text = "null"
    else:
        text = {int: "integer", float: "number", str: "text", bool: "true or false"}.get(annotation, "")
        text = text or f"[{annotation.__name__}](#{anchor(annotation)})"
    return f"{text} {limits}" if limits else text


def plain_number(number: float) -> str:
    """A bound, without an exponent."""
    return str(int(number)) if number == int(number) and abs(number) < 1e16 else f"{number:g}"


def unpacked(metadata: Iterable[Any]) -> Iterator[Any]:
    """Bounds, also those inside a Field."""
    for item in metadata:
        yield from item.metadata if isinstance(item, FieldInfo) else [item]


def anchor(config: type) -> str:
    """Where a value's section begins, as web pages of Markdown name their headings."""
    heading = title(config) if issubclass(config, Config) else config.__name__
    return re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-")


def default_of(field: FieldInfo) -> str:
    """What a field is if nothing is said."""
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "must be given"
    if isinstance(value, Kind):
        return f"`{value.kind()}`"
    if isinstance(value, Config) or (isinstance(value, tuple) and value and isinstance(value[0], Config)):
        return "its defaults"
    text = {None: "null", True: "true", False: "false"}.get(value) if value is None or isinstance(value, bool) else None
    return f"`{text or (list(value) if isinstance(value, tuple) else value)}`".replace("'", '"')


def python_page() -> str:
    """The text of docs/python.md."""
    modules = {name: importlib.import_module(name) for name in MODULES}
    index = [f"- [`{name}`](#{name.replace('.', '')}): {lead(found)}" for name, found in modules.items()]
    return "\n".join([PYTHON_HEAD, *index, "", *(line for name in modules for line in module(name))]).rstrip() + "\n"


def module(name: str) -> Iterator[str]:
    """The classes and functions that a module gives."""
    found = importlib.import_module(name)
    yield f"## {name}\n"
    for key, value in public(found):
        if inspect.isclass(value):
            yield from entry(key, value, "###")
            yield from (line for own, member in members(value) for line in entry(f"{key}.{own}", member, "####"))
        else:
            yield from entry(key, value, "###")


def public(found: types.ModuleType) -> Iterator[tuple[str, Any]]:
    """What a module defines, or of a package what it says that it gives, in the order of its text."""
    listed = getattr(found, "__all__", None)
    for key, value in vars(found).items():
        own = key in listed if listed else getattr(value, "__module__", None) == found.__name__
        if own and not key.startswith("_") and (inspect.isclass(value) or inspect.isfunction(value)):
            yield key, value


def members(owner: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties that a class itself defines and documents."""
    for key, value in vars(owner).items():
        called = isinstance(value, classmethod | staticmethod | property) or inspect.isfunction(value)
        if called and (not key.startswith("_") or key == "__call__") and inspect.getdoc(unwrapped(value)):
            yield key, value


def unwrapped(value: Any) -> Any:
    """The function behind a method or property."""
    return value.fget if isinstance(value, property) else getattr(value, "__func__", value)


def entry(name: str, value: Any, mark: str) -> Iterator[str]:
    """One heading, the signature, and the docstring."""
    yield f"{mark} {name}\n"
    if shown := signature(name, value):
        yield f"```text\n{shown}\n```\n"
    yield prose(inspect.getdoc(unwrapped(value)) or "") + "\n"


def signature(name: str, value: Any) -> str:
    """How it is called; of configs and properties nothing, their fields and types stand elsewhere."""
    known_by_fields = inspect.isclass(value) and (issubclass(value, Config) or inspect.isabstract(value))
    if known_by_fields or isinstance(value, property):
        return ""
    try:
        found = inspect.signature(unwrapped(value))
    except (TypeError, ValueError):
        return ""
    parts = [str(part) for key, part in found.parameters.items() if key not in ("self", "cls")]
    marks = [part.kind for key, part in found.parameters.items() if key not in ("self", "cls")]
    if inspect.Parameter.KEYWORD_ONLY in marks and inspect.Parameter.VAR_POSITIONAL not in marks:
        parts.insert(marks.index(inspect.Parameter.KEYWORD_ONLY), "*")
    parts = [plain(part) for part in parts]
    result = found.return_annotation
    end = "" if result is inspect.Signature.empty or inspect.isclass(value) else f" -> {plain(typed(result))}"
    line = f"{name}({', '.join(parts)}){end}"
    return line if len(line) <= 110 else f"{name}(\n    " + ",\n    ".join(parts) + f",\n){end}"


def typed(annotation: Any) -> str:
    """The name of a type."""
    return inspect.formatannotation(annotation)


PACKAGES = re.compile(
    r"\b(?:zoetrope|numpy|collections|pathlib|typing|fractions|torch(?=\.(?:nn|Tensor)))(?:\.\w+)*\.(?=\w)"
)


def plain(text: str) -> str:
    """Types without the modules that they come from, and no addresses."""
    return re.sub(r" at 0x[0-9a-f]+", "", PACKAGES.sub("", text)).replace("'", '"')


def prose(doc: str) -> str:
    """A docstring as Markdown: the attributes become a list."""
    before, found, listed = doc.partition("Attributes:\n")
    if not found:
        return doc
    after = listed.partition("\n\n")[2]
    rows = [f"- `{name}`: {text}" for name, text in attributes(doc).items()]
    return "\n\n".join(part for part in (before.strip(), "\n".join(rows), inspect.cleandoc(after)) if part)


def summary(config: type[Config]) -> str:
    """The text of a docstring up to its attributes, without line breaks."""
    text = inspect.cleandoc(config.__dict__.get("__doc__") or "").partition("Attributes:\n")[0]
    return "\n\n".join(" ".join(part.split()) for part in text.strip().split("\n\n"))


def lead(found: types.ModuleType) -> str:
    """The first sentence of a module's docstring."""
    return " ".join((found.__doc__ or "").split("\n\n")[0].split())


PAGES = {"fields.md": fields_page, "python.md": python_page}

if __name__ == "__main__":
    for page, make in PAGES.items():
        (DOCS / page).write_text(make(), "utf-8")
