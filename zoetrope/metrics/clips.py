"""Sets of clips to evaluate, read one at a time, and the features that networks found in them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from zoetrope.channels import RGB, Channel
from zoetrope.data.toybox.scene import Script
from zoetrope.metrics.features import ClipNetwork, FeatureNetwork
from zoetrope.shapes import VideoShape


@dataclass(frozen=True, eq=False)
class Clips:
    """`count` videos of one shape.

    Attributes:
        read: number to video (C, F, H, W) in [-1, 1], the same at every call.
        origin: where they come from, in words.
        channels: of the videos; of others than RGB they are as networks see them.
    """

    shape: VideoShape
    count: int
    read: Callable[[int], Tensor]
    origin: str = ""
    channels: tuple[Channel, ...] = RGB

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Tensor]:
        return (self.read(number) for number in range(self.count))

    def frames(self, stride: int = 1) -> int:
        """How many frames of each clip are used with this stride."""
        return -(-self.shape.frames // stride)


@dataclass
class Seen:
    """A cache of networks' features of sets of clips, so that several measures compute them only once."""

    _features: dict[tuple[object, ...], tuple[Clips, Tensor]] = field(default_factory=dict)

    def frames(self, network: FeatureNetwork, clips: Clips, stride: int) -> Tensor:
        """The features (N, F, D) of every `stride`-th frame."""
        return self._kept("frames", network, clips, stride, lambda video: network.of_frames(video[:, :, ::stride]))

    def clips(self, network: ClipNetwork, clips: Clips, stride: int, window: int | None = None) -> Tensor:
        """The features (N, D) of the first `window` of every `stride`-th frame of each clip, None for all of them."""

        def look(video: Tensor) -> Tensor:
            return network.of_clips(network.window(video[:, :, ::stride][:, :, :window]))

        return self._kept(f"clips of {window}", network, clips, stride, look)

    def _kept(
        self,
        what: str,
        network: FeatureNetwork | ClipNetwork,
        clips: Clips,
        stride: int,
        look: Callable[[Tensor], Tensor],
    ) -> Tensor:
        key = (what, network.name, network.sha256, network.layer, id(clips), stride)
        if key not in self._features:
            made = [look(clips.read(number)[None]).float() for number in range(len(clips))]
            self._features[key] = clips, torch.cat(made)  # with the clips, so that no other set gets their id
        return self._features[key][1]


@dataclass(frozen=True)
class Material:
    """The input of a measure.

    Attributes:
        made: the generated clips; real: the clips to compare them with, if any.
        prompts: of the generated clips.
        scripts: of the prompts, if they are toybox's.
        paired: whether clip n of `real` is the ground truth of clip n of `made`.
        stride: only every `stride`-th frame is used.
        seed: of the noise that `made` was sampled from.
    """

    made: Clips
    real: Clips | None = None
    prompts: tuple[str, ...] = ()
    scripts: tuple[Script, ...] = ()
    paired: bool = False
    stride: int = 1
    seed: int = 0
    seen: Seen = field(default_factory=Seen)

    @property
    def clusters(self) -> tuple[str, ...] | None:
        """The cluster, its prompt, of each generated clip; None if all are independent.

        Videos of one prompt resemble each other. With a single prompt, only the scatter of its own videos matters.
        """
        return self.prompts if 1 < len(set(self.prompts)) < len(self.prompts) else None
