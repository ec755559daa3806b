"""Tiny random pipelines in the layout of Stable Diffusion 1.5, made by diffusers."""

import json
from pathlib import Path
from typing import Any

import torch

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WIDTH, LIMIT = 16, 12


def parts(seed: int = 0, **unet: Any) -> dict[str, Any]:
    """The components of a text-to-image pipeline."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(seed)
    names = len(_vocabulary())
    text = CLIPTextConfig(
        vocab_size=names,
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=LIMIT,
        bos_token_id=names - 2,
        eos_token_id=names - 1,
        pad_token_id=names - 1,
    )
    sizes = {
        "block_out_channels": (8, 16),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "attention_head_dim": 2,
        "cross_attention_dim": WIDTH,
        "sample_size": 8,
    }
    made = {
        "unet": UNet2DConditionModel(**{**sizes, **unet}),
        "vae": AutoencoderKL(
            block_out_channels=(4, 8),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            layers_per_block=1,
            norm_num_groups=2,
            latent_channels=4,
            sample_size=16,
            scaling_factor=0.25,
        ),
        "text_encoder": CLIPTextModel(text),
        "scheduler": DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
    }
    return made


def _vocabulary() -> list[str]:
    return [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]


def tokenizer(folder: Path) -> Any:
    """A CLIP tokenizer whose vocabulary is the letters, also written to `folder`."""
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({name: number for number, name in enumerate(_vocabulary())}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    made = CLIPTokenizer.from_pretrained(folder, model_max_length=LIMIT)
    made.save_pretrained(folder)
    return made


def pipeline(folder: Path, **changed: Any) -> Any:
    """A StableDiffusionPipeline, also saved to `folder`; `changed` are other components."""
    from diffusers import StableDiffusionPipeline

    own = {**parts(), "tokenizer": tokenizer(folder / "words"), **changed}
    made = StableDiffusionPipeline(
        **own, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )
    made.set_progress_bar_config(disable=True)
    made.save_pretrained(folder / "pipeline")
    return made
