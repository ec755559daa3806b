"""Pipelines of diffusers as models of one stage: from text to pictures, or from a picture to a video."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.codecs import FOLDER as CODEC
from zoetrope.codecs import CodecNetwork, save_codec
from zoetrope.files import whole_folder
from zoetrope.guidance.text import TextGuidance
from zoetrope.inputs.hint import HintInput
from zoetrope.inputs.text import Text
from zoetrope.interop.components import codec_of, hint_of, size_of, text_of, unet_of
from zoetrope.interop.folder import CONFIG, VIDEO_FAMILY, Component, Pipeline, find_controlnet, find_pipeline
from zoetrope.interop.schedulers import rules_of, unread
from zoetrope.interop.tensors import filled, weights_in
from zoetrope.interop.videos import video_spec, write_video_model
from zoetrope.layers.bare import bare
from zoetrope.models.folder import WEIGHTS, describe, expect_readable, replaceable
from zoetrope.models.weights import write_weights
from zoetrope.networks import Network
from zoetrope.networks.hub_controlnet import HubControlNetConfig
from zoetrope.pretrained import located
from zoetrope.shapes import VideoShape

STAGE, TEXT, TEXT_WEIGHTS, HINT = "base", "text", "model", "hint"
STEPS, GUIDANCE = 50, 6.5
"""Of the pipelines, whose guidance scale 7.5 is 1 + w."""
FPS = 4.0
"""Frames a second of a video that is made of the pictures."""
WORDS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
)


class Imported(NamedTuple):
    """What was imported: where it is, its description, and notes for people."""

    folder: Path
    spec: CascadeSpec
    notes: Sequence[str]


def import_pipeline(
    source: str | Path, out: str | Path, *, controlnets: Mapping[str, str | Path] = MappingProxyType({})
) -> Imported:
    """Make a model in the folder `out` of a pipeline: its folder, or its id on the hub, which is downloaded.

    `controlnets` are folders or ids of ControlNets for it, by the names that their inputs shall have; those of the
    pipeline itself are "hint", "hint_1" and so on. Each tensor keeps its precision of 16 or 32 bits.

    Raises ValueError without the package diffusers, for a pipeline of another family, for a component that we cannot
    read, for pickled or damaged weights, and where `out` holds something else than a model; OSError if it cannot be
    written.
    """
    folder = replaceable(Path(os.path.expanduser(out)))
    pipeline = find_pipeline(source)
    controls = _controls(pipeline, controlnets)
    if pipeline.kind == VIDEO_FAMILY:
        if controls:
            raise ValueError(f"{source}: controlnets: expected none for {VIDEO_FAMILY}, got {sorted(controls)[0]!r}")
        spec = video_spec(pipeline)
        with whole_folder(folder, over=True) as partial:
            write_video_model(pipeline, spec, partial)
        return Imported(folder, spec, unread(pipeline.part("scheduler", "scheduler_config.json")))
    spec, notes = _described(pipeline, controls)
    files = {name: weights_in(pipeline.part(name)) for name in ("unet", "vae")}
    files |= {f"controls.{name}": weights_in(part) for name, part in controls.items()}
    with whole_folder(folder, over=True) as partial:
        _copy_text(pipeline, partial / TEXT)
        (partial / STAGE).mkdir()
        write_weights(_network(spec, files, partial), partial / STAGE / WEIGHTS, dtype=None)
        save_codec(_codec(spec, files["vae"]), partial / CODEC)
        describe(partial, spec, _card(pipeline, spec, notes))
    return Imported(folder, spec, notes)


def _controls(pipeline: Pipeline, others: Mapping[str, str | Path]) -> dict[str, Component]:
    """The ControlNets by the names of their inputs. Raises ValueError for a name that two would have."""
    own = {f"{HINT}_{number}" if number else HINT: part for number, part in enumerate(pipeline.controlnets)}
    if twice := sorted(own.keys() & others.keys()):
        raise ValueError(f"controlnets: expected another name, for the pipeline has one itself, got {twice[0]!r}")
    return own | {name: find_controlnet(source) for name, source in others.items()}


def _described(pipeline: Pipeline, controls: Mapping[str, Component]) -> tuple[CascadeSpec, list[str]]:
    """The description of the model, and notes. Raises ValueError for what cannot be read."""
    rules, text, unet = rules_of(pipeline), text_of(pipeline, TEXT), unet_of(pipeline)
    height, width = size_of(pipeline)
    unet, codec = unet.with_(timesteps=rules.schedule, null=text.limit), codec_of(pipeline, unet)
    hints = [hint_of(part, unet, codec, name) for name, part in controls.items()]
    stage = StageSpec(
        name=STAGE,
        shape=VideoShape(frames=1, height=height, width=width, fps=FPS),
        inputs=(Text(), *(HintInput(label=hint.name, factor=codec.factor) for hint in hints)),
        network=HubControlNetConfig(unet=unet, hints=tuple(hints)) if hints else unet,
        codec=codec,
        sampling=SamplingSpec(
            sampler=rules.sampler, steps=STEPS, guidance=TextGuidance(weight=GUIDANCE), threshold=None
        ),
        schedule=rules.schedule,
        prediction=rules.prediction,
    )
    spec = CascadeSpec(name=pipeline.name[:200], text=text, stages=(stage,))
    expect_readable(spec)
    return spec, [*(f"{name} is left out" for name in pipeline.unused), *rules.replaced]


def _copy_text(pipeline: Pipeline, folder: Path) -> None:
    """Copy the text encoder and its tokenizer. Raises ValueError if the weights are missing or pickled."""
    encoder, words = pipeline.part("text_encoder"), pipeline.part("tokenizer", "tokenizer_config.json")
    weights = weights_in(encoder, TEXT_WEIGHTS)
    folder.mkdir()
    shutil.copyfile(encoder.inside(CONFIG), folder / CONFIG)
    shutil.copyfile(weights, folder / f"{TEXT_WEIGHTS}.safetensors")
    for name in WORDS:
        if (path := words.inside(name)).is_file():
            shutil.copyfile(path, folder / name)


def _network(spec: CascadeSpec, files: Mapping[str, Path], folder: Path) -> Network:
    """The network with its weights, in the types that they had, and the features of the empty text in float32."""
    network: Any = spec.stages[0].network.bare()
    filled(network.unet, files["unet"])
    for name, file in files.items():
        kind, _, control = name.partition(".")
        if kind == "controls":
            filled(network.controls[control], file)
    assert spec.text is not None
    network.null = spec.text.renamed(lambda model: located(model, folder)).load()([""]).text[0]
    made: Network = network
    return made


def _codec(spec: CascadeSpec, file: Path) -> CodecNetwork:
    codec: Any = spec.codec
    with bare():
        network: Any = codec.build()
    filled(network.vae, file)
    network.scale = torch.tensor(codec.scaling)
    return network


def _card(pipeline: Pipeline, spec: CascadeSpec, notes: Sequence[str]) -> str:
    """The README.md of the model."""
    made, controls = spec.stages[0].made, spec.stages[0].inputs[1:]
    lines = [
        f"# {spec.name}",
        "",
        f"Text to pictures of {made.width}x{made.height}, imported by `zoetrope import` from `{pipeline.name}`,",
        f"a {pipeline.kind} of diffusers. The weights are the same, and so is their licence: see where they come from.",
        "",
        *(f"- {each.name}: pictures that it follows, `--control {each.name}=FILE`" for each in controls),
        *(f"- {note}" for note in notes),
    ]
    return "\n".join(lines).rstrip() + "\n"
