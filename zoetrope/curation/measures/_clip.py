"""CLIP for measures: features of length 1 of pictures and of texts, from safetensors weights at hand."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoetrope.pictures.clip import DEVIATION, MEAN
from zoetrope.pretrained import expect_usable, find_folder, reading, tokenizer, with_weights
from zoetrope.video.resample import resize


def expect_clip(model: str) -> None:
    """Raise ValueError unless the folder, or the hub, has a CLIP."""
    _config(find_folder(model))


def at_ends(pictures: np.ndarray) -> np.ndarray:
    """The first, the middle and the last of pictures (N, H, W, 3)."""
    return pictures[[0, len(pictures) // 2, len(pictures) - 1]]


@torch.no_grad()
def features_of_pictures(model: str, pictures: np.ndarray) -> Tensor:
    """Features (N, D) of pictures (N, H, W, 3) uint8, which are resized to a square, not cropped."""
    network, _ = _loaded(model)
    size = network.vision_model.config.image_size
    scaled = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
    seen = (resize(scaled[:, :, None], size, size)[:, :, 0] + 1) / 2
    pooled = network.vision_model(pixel_values=(seen - mean) / deviation).pooler_output
    return torch.nn.functional.normalize(network.visual_projection(pooled), dim=-1)


@lru_cache(maxsize=256)
@torch.no_grad()
def features_of_texts(model: str, texts: tuple[str, ...]) -> Tensor:
    """Features (N, D) of texts, which are cut to CLIP's limit."""
    network, words = _loaded(model)
    limit = network.text_model.config.max_position_embeddings
    given = words(list(texts), padding=True, truncation=True, max_length=limit, return_tensors="pt")
    pooled = network.text_model(input_ids=given.input_ids, attention_mask=given.attention_mask).pooler_output
    return torch.nn.functional.normalize(network.text_projection(pooled), dim=-1)


@lru_cache(maxsize=2)
def _loaded(model: str) -> tuple[Any, Any]:
    """The frozen network and its tokenizer. Raises ValueError if it cannot be read, or lacks weights."""
    from transformers import CLIPModel

    folder = find_folder(model)
    config = _config(folder)
    words = tokenizer(folder, ("tokenizer.json", "vocab.json"))
    network, _ = with_weights(CLIPModel, config, folder)
    return network, words


def _config(folder: Path) -> Any:
    """The config of a whole CLIP. Raises ValueError for another model."""
    from transformers import AutoConfig

    expect_usable(folder)
    with reading(folder):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if config.model_type != "clip":
        raise ValueError(f"{folder}: expected a CLIP model, got one of type {config.model_type}")
    return config
