"""CLIP for measures: features of length 1 of pictures and of texts, from safetensors weights at hand."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoetrope.pictures import embed
from zoetrope.pictures.clip import CLIPPictures
from zoetrope.pretrained import expect_usable, find_folder, read, reading, tokenizer


def expect_clip(model: str) -> None:
    """Raise ValueError unless the folder, or the hub, has a CLIP."""
    _config(find_folder(model))


def at_ends(pictures: np.ndarray) -> np.ndarray:
    """The first, the middle and the last of pictures (N, H, W, 3)."""
    return pictures[[0, len(pictures) // 2, len(pictures) - 1]]


def features_of_pictures(model: str, pictures: np.ndarray) -> Tensor:
    """Features (N, D) of pictures (N, H, W, 3) uint8, which are resized to a square."""
    folder = find_folder(model)
    config = _config(folder)
    encoder = CLIPPictures(model=str(folder), width=config.projection_dim, pixels=config.vision_config.image_size)
    scaled = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    return torch.nn.functional.normalize(embed(encoder, scaled), dim=-1)


@lru_cache(maxsize=256)
def features_of_texts(model: str, texts: tuple[str, ...]) -> Tensor:
    """Features (N, D) of texts, which are cut to CLIP's limit."""
    words, network = _reader(model)
    limit = network.config.max_position_embeddings
    given = words(list(texts), padding=True, truncation=True, max_length=limit, return_tensors="pt")
    with torch.no_grad():
        found: Tensor = network(input_ids=given.input_ids, attention_mask=given.attention_mask).text_embeds
    return torch.nn.functional.normalize(found, dim=-1)


@lru_cache(maxsize=2)
def _reader(model: str) -> tuple[Any, Any]:
    """The tokenizer and the text side."""
    from transformers import CLIPTextModelWithProjection

    folder = find_folder(model)
    width = _config(folder).text_config.hidden_size
    words = tokenizer(folder, ("tokenizer.json", "vocab.json"))
    return words, read(CLIPTextModelWithProjection, folder, width, "cpu", torch.float32)


def _config(folder: Path) -> Any:
    """The config of a whole CLIP. Raises ValueError for another model."""
    from transformers import AutoConfig

    expect_usable(folder)
    with reading(folder):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if config.model_type != "clip":
        raise ValueError(f"{folder}: expected a CLIP model, got one of type {config.model_type}")
    return config
