"""Captions by picture-captioning models of transformers, after Stable Video Diffusion (2311.15127, section 3.1)."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field

from zoetrope.config import Config
from zoetrope.pretrained import expect_usable, find_folder, reading, with_weights


class Captioner(Config):
    """A model of transformers that describes a picture, such as BLIP: one that AutoModelForImageTextToText reads.

    Attributes:
        model: a hub id, or a local folder with config, safetensors weights, tokenizer and picture processor.
        revision: branch, tag or commit on the hub; None is its main branch.
        prompt: how the caption begins, for models that continue a text.
        longest: the most tokens that it writes.
    """

    model: str
    revision: str | None = None
    prompt: str = ""
    longest: Annotated[int, Field(ge=1, le=512)] = 40


def expect_captioner(captioner: Captioner) -> None:
    """Raise ValueError, in one line, if its weights are not at hand, or are not those of a captioner."""
    _loaded(captioner)


def captions(captioners: Sequence[Captioner], pictures: np.ndarray) -> str:
    """What the captioners say of the middle one of pictures (N, H, W, 3) uint8, merged; "" if none says anything."""
    return merged([_told(captioner, pictures[len(pictures) // 2]) for captioner in captioners])


def merged(texts: Sequence[str]) -> str:
    """Several captions of one scene as one: each a sentence, without those whose words another has too."""
    kept: list[str] = []
    for text in (" ".join(text.split()).strip(" .") for text in texts):
        if not text or any(_words(text) <= _words(other) for other in kept):
            continue
        kept = [other for other in kept if not _words(other) <= _words(text)] + [text]
    return ". ".join(kept)


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def _told(captioner: Captioner, picture: np.ndarray) -> str:
    processor, network = _loaded(captioner)
    asked = {"text": captioner.prompt} if captioner.prompt else {}
    given = processor(images=picture, return_tensors="pt", **asked)
    with torch.no_grad():
        written = network.generate(**given, max_new_tokens=captioner.longest, do_sample=False)
    return str(processor.batch_decode(written, skip_special_tokens=True)[0])


@lru_cache(maxsize=4)
def _loaded(captioner: Captioner) -> tuple[Any, Any]:
    """The processor and the frozen network."""
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING as KNOWN

    try:
        folder = find_folder(captioner.model, captioner.revision)
    except ValueError as error:
        raise ValueError(f"captioner: {error}") from None
    expect_usable(folder)
    with reading(folder):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if type(config) not in KNOWN:
        raise ValueError(f"{folder}: expected a model that describes pictures, got one of type {config.model_type}")
    with reading(folder):
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    network, _ = with_weights(AutoModelForImageTextToText, config, folder, dtype="auto")
    return processor, network
