"""The picture side of CLIP as Stable Video Diffusion is told it: embeddings in their own length.

Pictures are resized as in diffusers' pipeline, with its own antialiasing, and whatever their shape to a square.
"""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Self

import torch
from pydantic import Field

from zoetrope.config.extras import needed, of_diffusers
from zoetrope.pictures import EncodePictures, PictureEncoder
from zoetrope.pretrained import expect_usable, find_folder, fingerprint, is_local, read, reading

PIPELINE = "diffusers.pipelines.stable_video_diffusion.pipeline_stable_video_diffusion"
_Channels = tuple[float, float, float]


class HubCLIPPictures(PictureEncoder):
    """The projected embedding of a CLIP picture encoder, in a folder or of a hub id, from safetensors alone.

    Needs the package diffusers (extra `diffusers`).

    Attributes:
        model: a hub id, or a local folder with config.json and safetensors; "./NAME": in the model's own folder.
        revision: branch, tag or commit on the hub; None is its main branch. Of no meaning for a folder.
        width: of an embedding, after CLIP's projection: 1024 for the ViT-H/14 of Stable Video Diffusion.
        pixels: height and width of the pictures that it sees.
        mean, deviation: of the channels of pictures in [0, 1], by which it was trained.
    """

    unit: ClassVar[bool] = False

    model: str = "stabilityai/stable-video-diffusion-img2vid"
    revision: str | None = None
    width: Annotated[int, Field(ge=1, le=2**19)] = 1024
    pixels: Annotated[int, Field(ge=1, le=4096)] = 224
    mean: _Channels = (0.48145466, 0.4578275, 0.40821073)
    deviation: _Channels = (0.26862954, 0.26130258, 0.27577711)

    @property
    def size(self) -> tuple[int, int]:
        """See `PictureEncoder`."""
        return self.pixels, self.pixels

    @property
    def identity(self) -> str:
        """See `PictureEncoder`."""
        return f"hub_clip {fingerprint(self.model, self.revision)} {super().identity}"

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

        what = "picture encoder hub_clip"
        of_diffusers("StableVideoDiffusionPipeline", what)
        sized: Any = needed(PIPELINE, "diffusers", what)._resize_with_antialiasing
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
        mean, deviation = (torch.tensor(values)[:, None, None] for values in (self.mean, self.deviation))

        def encode(pictures: torch.Tensor) -> torch.Tensor:
            seen = (sized(pictures, self.size) + 1) / 2
            made: torch.Tensor = network(pixel_values=(seen - mean) / deviation).image_embeds
            return made

        return encode
