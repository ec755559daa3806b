"""What networks may be told beside text: the embedding of a picture, the frame rate, numbers, labels and actions."""

from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Optional

import torch
from torch import Tensor, nn

from zoetrope.conditioning import Conditioning, Tokens
from zoetrope.layers.embedding import sinusoid
from zoetrope.layers.zero import zero
from zoetrope.networks._given import Embed, embedded, number

if TYPE_CHECKING:
    from zoetrope.networks import NetworkConfig


class Beside(nn.Module):
    """Adds to the conditioning vector what a network is told of a picture, the frame rate, numbers, labels, actions.

    As in unCLIP's decoder the picture's embedding is mapped and added to that of the noise level [Ramesh et al. 2022,
    arXiv:2204.06125, Sec. 2.1]. The maps start at zero: a network that has learnt without starts as it was.
    """

    def __init__(self, config: "NetworkConfig", width: int):
        super().__init__()
        self.picture = None if config.picture_width is None else PictureEmbedding(config.picture_width, width)
        self.rate = RateEmbedding(width) if config.rate else None
        self.numbers = nn.ModuleDict({f"number_{name}": NumberEmbedding(width) for name in config.numbers})
        self.labels = nn.ModuleDict({f"label_{one.name}": LabelEmbedding(one.size, width) for one in config.labels})
        self.actions = nn.ModuleDict({f"action_{one.name}": ActionEmbedding(one.size, width) for one in config.actions})

    @classmethod
    def of(cls, config: "NetworkConfig", width: int) -> Optional["Beside"]:
        """What the network of a config is told, as vectors of `width`; None if nothing of it."""
        wanted = config.picture_width is not None or config.rate or config.numbers or config.labels or config.actions
        return cls(config, width) if wanted else None

    def forward(self, z: Tensor, conditioning: Conditioning, embed: Embed = embedded) -> Tensor:
        """(B, F or 1, E) for z (B, C, F, H, W). Raises ValueError for a missing number and misshapen inputs."""
        parts = list[Tensor]()
        if self.picture is not None:
            parts.append(self.picture(conditioning.tokens.get("picture"), z))
        if self.rate is not None:
            fps = number(conditioning, "fps", "the frames per second, NaN if unknown,")
            parts.append(embed("numbers['fps']", fps, z, self.rate))
        for key, embedding in (*self.numbers.items(), *self.labels.items()):
            name = key.partition("_")[2]
            parts.append(embed(f"numbers[{name!r}]", number(conditioning, name, "NaN if unknown,"), z, embedding))
        for key, embedding in self.actions.items():
            name, frames = key.partition("_")[2], z.shape[2] if embed is embedded else None
            parts.append(embedding(f"tokens[{name!r}]", conditioning.tokens.get(name), len(z), frames))
        return reduce(add, parts)


class PictureEmbedding(nn.Module):
    """An embedding of a picture as a vector, with a learnt one for the unknown picture."""

    def __init__(self, picture_width: int, width: int):
        super().__init__()
        self.enter = nn.Linear(picture_width, width)
        self.null = nn.Parameter(nn.init.normal_(torch.empty(width), std=0.02))
        self.leave = zero(nn.Linear(width, width))

    def forward(self, given: Tokens | None, z: Tensor) -> Tensor:
        """Tokens (B, 1, D), or (B, F, 1, D), as (B, F or 1, E); None: the picture is unknown."""
        if given is None:
            return self.leave(nn.functional.silu(self.null)).expand(len(z), 1, -1)
        width, shape = self.enter.in_features, tuple(given.values.shape)
        if shape not in ((len(z), 1, width), (len(z), z.shape[2], 1, width)):
            legal = f"({len(z)}, 1, {width}), or one for each of {z.shape[2]} frames"
            raise ValueError(f"tokens['picture']: expected {legal}, got {shape}: another picture encoder?")
        h = torch.where(given.mask[..., None], self.enter(given.values), self.null)
        made: Tensor = self.leave(nn.functional.silu(h))
        return made if made.ndim == 3 else made[:, :, 0]


class RateEmbedding(nn.Module):
    """Frames per second (...) -> (..., D), by way of their logarithm; NaN is unknown, with a learnt vector."""

    def __init__(self, width: int, features: int = 64):
        super().__init__()
        self.features = features
        self.enter = nn.Linear(features, width)
        self.null = nn.Parameter(nn.init.normal_(torch.empty(width), std=0.02))
        self.leave = zero(nn.Linear(width, width))

    def forward(self, fps: Tensor) -> Tensor:
        unknown = fps.isnan()
        waves = sinusoid(10 * torch.log(fps.float().masked_fill(unknown, 1)), self.features, slowest=100.0)
        h = torch.where(unknown[..., None], self.null, self.enter(waves.to(self.null.dtype)))
        return self.leave(nn.functional.silu(h))


class NumberEmbedding(nn.Module):
    """Numbers (...) of about -1 to 1 -> (..., D); NaN is unknown, with a learnt vector."""

    def __init__(self, width: int, features: int = 64):
        super().__init__()
        self.features = features
        self.enter = nn.Linear(features, width)
        self.null = nn.Parameter(nn.init.normal_(torch.empty(width), std=0.02))
        self.leave = zero(nn.Linear(width, width))

    def forward(self, values: Tensor) -> Tensor:
        unknown = values.isnan()
        waves = sinusoid(10 * values.float().masked_fill(unknown, 0), self.features, slowest=100.0)
        h = torch.where(unknown[..., None], self.null, self.enter(waves.to(self.null.dtype)))
        return self.leave(nn.functional.silu(h))


class LabelEmbedding(nn.Module):
    """Numbers of classes (...) -> (..., D); NaN is unknown, with a learnt vector."""

    def __init__(self, classes: int, width: int):
        super().__init__()
        self.enter = nn.Embedding(classes + 1, width)  # the last one is the unknown
        self.leave = zero(nn.Linear(width, width))

    def forward(self, values: Tensor) -> Tensor:
        unknown = self.enter.num_embeddings - 1
        chosen = values.float().nan_to_num(unknown).long().clamp(0, unknown)
        return self.leave(nn.functional.silu(self.enter(chosen)))


class ActionEmbedding(nn.Module):
    """A vector for each frame, each by itself, with a learnt one where it is unknown."""

    def __init__(self, entries: int, width: int):
        super().__init__()
        self.enter = nn.Sequential(nn.Linear(entries, width), nn.SiLU(), nn.Linear(width, width))
        self.entries = entries
        self.null = nn.Parameter(nn.init.normal_(torch.empty(width), std=0.02))
        self.leave = zero(nn.Linear(width, width))

    def forward(self, name: str, given: Tokens | None, videos: int, frames: int | None) -> Tensor:
        """Tokens (B, F, 1, K), or (B, 1, K) for all frames, as (B, F or 1, D), for so many videos and frames.

        None: of any number of frames. Raises ValueError for no tokens, and for another shape.
        """
        if given is not None and given.values.ndim == 3:
            given, frames = given.each(lambda value: value[:, None]), 1
        legal = f"({videos}, {frames or 'F'}, 1, {self.entries}), a vector for each frame"
        if given is None or given.values.ndim != 4:
            raise ValueError(f"{name}: expected {legal}, got {given and tuple(given.values.shape)}")
        if (got := tuple(given.values.shape)) != (videos, frames or got[1], 1, self.entries):
            raise ValueError(f"{name}: expected {legal}, got {got}")
        values, known = given.values[:, :, 0], given.mask[:, :, 0, None]
        h = torch.where(known, self.enter(values.to(self.null.dtype)), self.null)
        made: Tensor = self.leave(nn.functional.silu(h))
        return made
