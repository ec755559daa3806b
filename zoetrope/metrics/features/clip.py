"""CLIP, which sees pictures and reads texts in one space [Radford et al. 2021, arXiv:2103.00020]."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from zoetrope.metrics.features import Extractor, Matcher
from zoetrope.metrics.features._files import digest, find_model
from zoetrope.metrics.features._sizes import PictureFit, to_size

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class CLIP(Extractor):
    """The image and text features of a transformers CLIPModel, as they are compared: of length 1.

    Attributes:
        model: a local folder or a hub id, such as openai/clip-vit-large-patch14; its weights in safetensors.
        fit: how pictures come to its square: "crop" cuts out their middle, as CLIP was trained; "squash" shows all.
    """

    model: str
    fit: PictureFit = "crop"

    @classmethod
    def at(cls, where: str) -> Self:
        """See `Extractor`."""
        return cls(model=where)

    def open(self, device: torch.device | str = "cpu") -> Matcher:
        """See `Extractor`. Texts longer than its limit are cut, as it was trained."""
        from transformers import CLIPConfig, CLIPModel

        from zoetrope.pretrained import reading, tokenizer, with_weights

        folder = find_model(self.model, "name the folder of a CLIP model, or be online")
        with reading(folder):
            config = CLIPConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        network, _ = with_weights(CLIPModel, config, folder)
        network = network.to(device)
        words = tokenizer(folder, ("tokenizer.json", "vocab.json"))
        size, limit = int(network.vision_model.config.image_size), network.text_model.config.max_position_embeddings
        mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)

        def of_pictures(pictures: Tensor) -> Tensor:
            seen = (to_size(pictures, (size, size), self.fit) + 1) / 2
            pooled = network.vision_model(pixel_values=((seen - mean) / std).to(device)).pooler_output
            return _unit(network.visual_projection(pooled))

        def of_texts(texts: Sequence[str]) -> Tensor:
            read = words(list(texts), padding=True, truncation=True, max_length=limit, return_tensors="pt").to(device)
            pooled = network.text_model(input_ids=read.input_ids, attention_mask=read.attention_mask).pooler_output
            return _unit(network.text_projection(pooled))

        return Matcher(
            self.kind(),
            digest(*sorted(folder.glob("*.safetensors"))),
            f"projected image and text features of {self.model}, normalised",
            network.visual_projection.out_features,
            of_pictures,
            f"{size}x{size} bicubic, {'middle cut out' if self.fit == 'crop' else 'proportions given up'}",
            of_texts=of_texts,
        )


def _unit(features: Tensor) -> Tensor:
    return (features / features.norm(dim=-1, keepdim=True)).cpu()
