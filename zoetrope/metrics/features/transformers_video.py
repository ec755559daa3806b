"""Video networks of transformers, such as VideoMAE [Tong et al. 2022, arXiv:2203.12602], TimeSformer or ViViT."""

from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from zoetrope.config.errors import shown
from zoetrope.files.plain import read_json
from zoetrope.metrics.features import ClipNetwork, Extractor
from zoetrope.metrics.features._files import digest, find_model
from zoetrope.metrics.features._sizes import to_size

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class TransformersVideo(Extractor):
    """The mean over all tokens of the last hidden state of a model that takes `pixel_values` (N, F, 3, H, W).

    Clips are as long and as large as its config says; they are squashed to its size and normalised as its
    preprocessor_config.json says, or else as ImageNet's models are.

    Attributes:
        model: a local folder or a hub id, such as MCG-NJU/videomae-base; its weights in safetensors.
    """

    model: str

    @classmethod
    def at(cls, where: str) -> Self:
        """See `Extractor`."""
        return cls(model=where)

    def open(self, device: torch.device | str = "cpu") -> ClipNetwork:
        """See `Extractor`. Code that a model brings along is never run."""
        from transformers import AutoConfig, AutoModel

        from zoetrope.pretrained import reading, with_weights

        folder = find_model(self.model, "name the folder of a video model of transformers, or be online")
        with reading(folder):
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        frames, size = getattr(config, "num_frames", None), getattr(config, "image_size", None)
        if not isinstance(frames, int) or not isinstance(size, int):
            raise ValueError(
                f"{self.model}: expected a video model with num_frames and image_size, got {type(config).__name__}"
            )
        network, _ = with_weights(AutoModel, config, folder, spare="pooler")
        network = network.to(device)
        mean, std = _normalisation(folder)

        def of_clips(clips: Tensor) -> Tensor:
            pictures = (to_size(clips.transpose(1, 2).flatten(0, 1), (size, size)) + 1) / 2
            values = ((pictures - mean) / std).unflatten(0, (len(clips), -1))
            return network(pixel_values=values.to(device)).last_hidden_state.mean(1).cpu()

        layer = f"mean token of the last hidden state of {self.model}"
        checksum = digest(*sorted(folder.glob("*.safetensors")))
        resize = f"{size}x{size} bicubic, proportions given up"
        return ClipNetwork(self.kind(), checksum, layer, config.hidden_size, frames, frames, of_clips, resize)


def _normalisation(folder: Path) -> tuple[Tensor, Tensor]:
    """Mean and deviation of the channels, in [0, 1], that the model was trained with."""
    file = folder / "preprocessor_config.json"
    value = read_json(file) if file.is_file() else {}
    if not isinstance(value, dict):
        raise ValueError(f"{file}: expected an object, got {shown(value)}")
    mean, std = value.get("image_mean", MEAN), value.get("image_std", STD)
    if not (_are_three(mean) and _are_three(std) and 0 not in std):
        raise ValueError(f"{file}: expected image_mean and image_std of three numbers each, got {mean} and {std}")
    return torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)


def _are_three(values: Any) -> bool:
    return isinstance(values, list | tuple) and len(values) == 3 and all(isinstance(x, int | float) for x in values)
