"""The picture side of CLIP [Radford et al. 2021, arXiv:2103.00020], which Make-A-Video's prior and decoder share."""

from collections.abc import Callable
from typing import Annotated, Self

import torch
from pydantic import Field

from zoetrope.pictures import EncodePictures, PictureEncoder
from zoetrope.pretrained import expect_usable, find_folder, fingerprint, is_local, read, reading
from zoetrope.video.resample import resize

MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of the channels of pictures in [0, 1], by which CLIP was trained."""


class CLIPPictures(PictureEncoder):
    """The projected embedding of a CLIP picture encoder: a hub id or a local folder, from safetensors alone.

    The folder may hold the whole CLIP; only its picture side is read. Pictures are resized to a square, not cropped.

    Attributes:
        model: a hub id, or a local folder with config.json and safetensors; "./NAME": in the model's own folder.
        revision: branch, tag or commit on the hub; None is its main branch. Of no meaning for a folder.
        width: of an embedding, after CLIP's projection: 768 for ViT-L/14, 512 for ViT-B/32.
        pixels: height and width of the pictures that it sees.
    """

    model: str = "openai/clip-vit-large-patch14"
    revision: str | None = None
    width: Annotated[int, Field(ge=1, le=2**19)] = 768
    pixels: Annotated[int, Field(ge=1, le=4096)] = 224

    @property
    def size(self) -> tuple[int, int]:
        """See `PictureEncoder`."""
        return self.pixels, self.pixels

    @property
    def identity(self) -> str:
        """See `PictureEncoder`."""
        return f"clip {fingerprint(self.model, self.revision)} {super().identity}"

    @property
    def local(self) -> bool:
        """See `PictureEncoder`."""
        return is_local(self.model)

    def renamed(self, change: Callable[[str], str]) -> Self:
        """See `PictureEncoder`."""
        return self.with_(model=change(self.model))

    def load(self) -> EncodePictures:
        """See `PictureEncoder`."""
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

        folder = find_folder(self.model, self.revision)
        expect_usable(folder)
        with reading(folder):
            config = CLIPVisionConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        for name, own, there in (
            ("width", self.width, config.projection_dim),
            ("pixels", self.pixels, config.image_size),
        ):
            if own != there:
                raise ValueError(f"{name}: expected {there}, that of {folder}, got {own}")
        types = ("clip", "clip_vision_model")
        network = read(CLIPVisionModelWithProjection, types, folder, config.hidden_size, "cpu", torch.float32)
        mean, deviation = (torch.tensor(values)[:, None, None] for values in (MEAN, DEVIATION))

        def encode(pictures: torch.Tensor) -> torch.Tensor:
            sized = resize(pictures[:, :, None], *self.size)[:, :, 0]
            made: torch.Tensor = network(pixel_values=((sized + 1) / 2 - mean) / deviation).image_embeds
            return made

        return encode
