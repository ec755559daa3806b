"""Tiny random pipelines in the layout of Stable Diffusion 1.5, made by diffusers."""

import json
from pathlib import Path
from typing import Any

import torch

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
WIDTH, LIMIT = 16, 12
UNET = {
    "block_out_channels": (8, 16),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "attention_head_dim": 2,
    "cross_attention_dim": WIDTH,
}
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def unet(**changed: Any) -> Any:
    """A fresh UNet2DConditionModel."""
    from diffusers import UNet2DConditionModel

    own = {**UNET, "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"), "sample_size": 8}
    return UNet2DConditionModel(**{**own, **changed}).eval()


def controlnet(seed: int) -> Any:
    """A ControlNetModel of such a U-Net that has learnt something: its last layers do not output zeros."""
    from diffusers import ControlNetModel

    torch.manual_seed(seed)
    made = ControlNetModel(**UNET, conditioning_embedding_out_channels=(4, 8)).eval()
    with torch.no_grad():
        for weight in made.parameters():
            if not weight.any():
                weight.normal_(std=0.3)
    return made


def vae() -> Any:
    """A fresh AutoencoderKL whose latents have half the height and width of its pictures."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(4, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        norm_num_groups=2,
        latent_channels=4,
        sample_size=16,
        scaling_factor=0.25,
    ).eval()


def text_encoder() -> Any:
    """A fresh CLIPTextModel."""
    from transformers import CLIPTextConfig, CLIPTextModel

    names = len(VOCABULARY)
    return CLIPTextModel(
        CLIPTextConfig(
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
    ).eval()


def scheduler(**changed: Any) -> Any:
    """Stable Diffusion's schedule, with DDIM."""
    from diffusers import DDIMScheduler

    own = {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
    return DDIMScheduler(**{**BETAS, **own, **changed})


def tokenizer(folder: Path) -> Any:
    """A CLIP tokenizer whose vocabulary is the letters; its files are written to `folder`."""
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({name: number for number, name in enumerate(VOCABULARY)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer.from_pretrained(folder, model_max_length=LIMIT)


def pipeline(folder: Path, kind: str = "StableDiffusionPipeline", **changed: Any) -> Any:
    """A pipeline, also saved to `folder`; `changed` are other components."""
    import diffusers

    torch.manual_seed(0)
    own = {"unet": unet(), "vae": vae(), "text_encoder": text_encoder(), "scheduler": scheduler()}
    own |= {"tokenizer": tokenizer(folder.with_name(f"{folder.name}-words")), **changed}
    for name in ("safety_checker", "feature_extractor"):
        own.setdefault(name, None)
    made = getattr(diffusers, kind)(**own, requires_safety_checker=False)
    made.set_progress_bar_config(disable=True)
    made.save_pretrained(folder)
    return made
