"""Folders of diffusers: a pipeline with model_index.json and a folder for each component, or a component alone."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from zoetrope.config.errors import reason
from zoetrope.models.files import inside, read_json_of
from zoetrope.models.weights import PICKLES
from zoetrope.pretrained import VARIANTS, files_of

INDEX, CONFIG = "model_index.json", "config.json"
FAMILIES = (
    "StableDiffusionPipeline",
    "StableDiffusionControlNetPipeline",
    "StableDiffusionImg2ImgPipeline",
    "TextToVideoZeroPipeline",
)
"""The pipelines whose components are those of Stable Diffusion 1 and 2, from text to pictures."""
MENDED = ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline")
"""The pipelines that mend old configurations: steps_offset is 1 there, and clip_sample False, whatever they say."""
CLASSES = {
    "unet": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL",),
    "text_encoder": ("CLIPTextModel",),
    "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
}
CONTROL_PART, CONTROL, CONTROLS = "controlnet", "ControlNetModel", "MultiControlNetModel"
UNUSED = ("safety_checker", "feature_extractor", "image_encoder")
"""Components that take no part in making pictures of text."""
VIDEO_FAMILY = "StableVideoDiffusionPipeline"
"""The pipeline whose components are those of Stable Video Diffusion, from a picture to a video."""
VIDEO_CLASSES = {
    "unet": ("UNetSpatioTemporalConditionModel",),
    "vae": ("AutoencoderKLTemporalDecoder",),
    "image_encoder": ("CLIPVisionModelWithProjection",),
    "feature_extractor": ("CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPImageProcessorPil"),
}
STEM = "diffusion_pytorch_model"
STEMS = {"unet": STEM, "vae": STEM, "controlnet*": STEM, "text_encoder": "model", "image_encoder": "model"}
"""Of the files of weights, in the folders of components."""


class Component(NamedTuple):
    """A component: what it is called in messages, its folder below a `root` that no link may leave, its configuration.

    Attributes:
        below: the folder, relative to the root.
        file: of the configuration, relative to the folder.
    """

    name: str
    root: Path
    below: str
    file: str
    config: Mapping[str, Any]

    @property
    def path(self) -> Path:
        """Of the configuration."""
        return self.root / self.below / self.file

    def inside(self, name: str) -> Path:
        """The path of a file, which need not exist. Raises ValueError for a link that leads out of the root."""
        return inside(self.root, Path(self.below) / name)


class Pipeline(NamedTuple):
    """A pipeline: what it is called, its folder and class, the class of each component, and those that are unused."""

    name: str
    folder: Path
    kind: str
    classes: Mapping[str, str]
    unused: Sequence[str]

    def part(self, name: str, file: str = CONFIG) -> Component:
        """A component with its configuration. Raises ValueError, with the path, if that cannot be read."""
        return read_part(self.folder, name, name, file)

    @property
    def controlnets(self) -> list[Component]:
        """The ControlNets of the pipeline: one, or several in folders with numbers.

        The third is in controlnet_2, or in controlnet_1_2, where older versions of diffusers put it.
        """
        kind = self.classes.get(CONTROL_PART)
        names = [CONTROL_PART] if kind in (CONTROL, CONTROLS) else []
        while kind == CONTROLS:
            count = len(names)
            there = [
                name for name in (f"{CONTROL_PART}_{count}", f"{names[-1]}_{count}") if (self.folder / name).is_dir()
            ]
            if not there:
                break
            names.append(there[0])
        return [self.part(name) for name in names]


def find_pipeline(source: str | Path) -> Pipeline:
    """The pipeline in a folder, or of an id on the hub, which is downloaded, without pickles.

    Raises ValueError if there is none, if it is of another family, or if a component is not of the kind that we read.
    """
    folder = _find(source, (INDEX, "*/*.json", "tokenizer/*.txt"), STEMS)
    if not (folder / INDEX).is_file():
        more = f"; {CONFIG} is that of a component alone" if (folder / CONFIG).is_file() else ""
        raise ValueError(f"{folder}: expected the folder of a pipeline of diffusers, with {INDEX}, got none{more}")
    index = read_json_of(folder, INDEX)
    kind = index.get("_class_name") if isinstance(index, dict) else None
    if kind not in (*FAMILIES, VIDEO_FAMILY):
        wanted = f"expected a pipeline of Stable Diffusion 1 or 2 ({', '.join(FAMILIES)}) or {VIDEO_FAMILY}"
        raise ValueError(f"{folder / INDEX}: {wanted}, got {kind!r}")
    wanted_classes, unused = (VIDEO_CLASSES, ()) if kind == VIDEO_FAMILY else (CLASSES, UNUSED)
    classes = {name: _class(folder, name, value) for name, value in index.items() if _is_there(value)}
    for name, legal in wanted_classes.items():
        if classes.get(name) not in legal:
            raise ValueError(
                f"{folder / INDEX}: {name}: expected {' or '.join(legal)}, got {classes.get(name, 'none')}"
            )
    if (control := classes.get(CONTROL_PART)) not in (None, CONTROL, CONTROLS):
        raise ValueError(f"{folder / INDEX}: {CONTROL_PART}: expected {CONTROL}, got {control}")
    if unknown := sorted(classes.keys() - {*wanted_classes, *unused, "scheduler", CONTROL_PART}):
        raise ValueError(f"{folder / INDEX}: {unknown[0]}: a component that cannot be read, {classes[unknown[0]]}")
    name = folder.resolve().name if os.path.isdir(os.path.expanduser(source)) else str(source)
    return Pipeline(name, folder, kind, classes, [name for name in unused if name in classes])


def find_controlnet(source: str | Path) -> Component:
    """A ControlNet alone, in a folder or of an id on the hub. Raises ValueError if it is none."""
    folder = _find(source, (CONFIG, f"{STEM}.safetensors.index*.json"), {".": STEM})
    part = read_part(folder, ".", str(source), CONFIG)
    if (kind := part.config.get("_class_name")) != CONTROL:
        raise ValueError(f"{folder / CONFIG}: expected a {CONTROL}, got {kind!r}")
    return part


def read_part(root: Path, below: str, name: str, file: str) -> Component:
    """The component in a folder. Raises ValueError if its configuration is missing, damaged or no object."""
    path = Path(below) / file
    if not inside(root, path).is_file():
        raise ValueError(f"{root / path}: expected the configuration of {name}, got no such file")
    config = read_json_of(root, str(path))
    if not isinstance(config, dict):
        raise ValueError(f"{root / path}: expected an object, got {type(config).__name__}")
    return Component(name, root, below, file, config)


def _find(source: str | Path, patterns: Sequence[str], stems: Mapping[str, str]) -> Path:
    """A folder, or that of an id on the hub: files of these patterns, and weights by the stems of folders.

    Raises ValueError if there is neither.
    """
    path = Path(os.path.expanduser(source))
    if path.is_dir():
        return path
    if path.exists():
        pickled = "; pickles can run code and are never read" if path.suffix in PICKLES else ""
        raise ValueError(f"{path}: expected a folder of diffusers, got a file{pickled}")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        weights = [_below(below, files_of(stem, None)[0]) for below, stem in stems.items()]
        folder = Path(snapshot_download(str(source), allow_patterns=[*patterns, *weights]))
        if variants := _variants(folder, stems):
            snapshot_download(str(source), allow_patterns=variants)
        return folder
    except HFValidationError:
        why = "no such folder, and no name that the hub could have"
    except (OSError, ValueError, RuntimeError) as error:
        why = f"no such folder here; from the hub: {reason(error, path)}"
    raise ValueError(f"{source}: expected a folder or an id on the Hugging Face hub, got {why}")


def _variants(folder: Path, stems: Mapping[str, str]) -> list[str]:
    """Weights to look for in variants such as "fp16": of components that have none without a variant."""
    found = list[str]()
    for below, stem in stems.items():
        for part in (file.parent for file in folder.glob(_below(below, CONFIG))):
            if not any((part / name).is_file() for name in files_of(stem, None)):
                found += [_below(str(part.relative_to(folder)), files_of(stem, each)[0]) for each in VARIANTS]
    return found


def _below(folder: str, name: str) -> str:
    return name if folder == "." else f"{folder}/{name}"


def _is_there(value: Any) -> bool:
    """Whether an entry of the index is a component that the pipeline has."""
    return isinstance(value, list) and any(each is not None for each in value)


def _class(folder: Path, name: str, value: Sequence[Any]) -> str:
    """The class of a component. Raises ValueError unless it is [library, class] of a library that we know."""
    if len(value) != 2 or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{folder / INDEX}: {name}: expected [library, class], got {value}")
    library, kind = value
    own = [name] if name in (*UNUSED, CONTROL_PART) else []  # diffusers has modules of these names
    if library not in ("diffusers", "transformers", "stable_diffusion", *own):
        what = f"{kind} of {library!r}: a component with code of its own, which is never run"
        raise ValueError(f"{folder / INDEX}: {name}: expected a class of diffusers or transformers, got {what}")
    return str(kind)
