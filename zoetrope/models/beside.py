"""What decides a model's videos: beside its description and the weights of its networks, a codec and encoders."""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.codecs import CodecNetwork, identity
from zoetrope.inputs.picture import Picture
from zoetrope.inputs.text import TEXT
from zoetrope.models.opening import OpenModel

if TYPE_CHECKING:
    from zoetrope.models.cascade import Cascade


def beside(spec: CascadeSpec, stages: Sequence[StageSpec], codec: Callable[[], CodecNetwork] | None) -> dict[str, str]:
    """The identities, by name, of what stages read that their description does not identify; {}: it says all.

    That are the codec of those that make latents, which `codec` loads, and encoders whose files are on this machine.
    """
    found = dict[str, str]()
    if codec is not None and any(stage.codec.encodes for stage in stages):
        found["codec"] = identity(codec())
    if spec.text is not None and spec.text.local and any(TEXT in stage.network.reads for stage in stages):
        found["text"] = spec.text.identity
    pictured = ((stage, each) for stage in stages for each in stage.inputs)
    for stage, each in pictured:
        if isinstance(each, Picture) and each.encoder.local:
            found[f"{stage.name}.{each.name}"] = each.encoder.identity
    return found


def of_cascade(cascade: "Cascade", stages: Sequence[StageSpec]) -> dict[str, str]:
    """`beside`, of stages that a cascade runs."""
    return beside(cascade.spec, stages, cascade._codec)


def left_open(model: OpenModel, stages: Sequence[StageSpec]) -> dict[str, str]:
    """What the descriptions of stages and of the text encoder, and the stages' weights, leave open of their videos.

    {}: nothing, so that a name made of these stays as it is. The scheme of noise is told unless it is the usual one.
    """
    usual = CascadeSpec.model_fields["noise"].default
    noise = {} if model.spec.noise == usual else {"noise": model.spec.noise}
    return {**beside(model.spec, stages, model.codec), **noise}


def key_of(model: OpenModel, stages: Sequence[StageSpec], device: torch.device, dtype: torch.dtype) -> str:
    """16 letters that identify all of a model that determines its videos, with the type of device and the dtype."""
    total = hashlib.sha256()
    encoder = model.spec.text
    for value in (encoder and encoder.to_json(), *(stage.to_json() for stage in stages), device.type):
        total.update(json.dumps(value, sort_keys=True).encode())
    total.update(str(dtype).encode())
    for stage in stages:
        with model.file(stage).open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    if more := left_open(model, stages):
        total.update(json.dumps(more, sort_keys=True).encode())
    return total.hexdigest()[:16]
