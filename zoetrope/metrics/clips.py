"""What is judged: sets of clips that are read one at a time, and what a network has seen in them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from zoetrope.data.toybox.scene import Script
from zoetrope.metrics.features import ClipNetwork, FeatureNetwork
from zoetrope.shapes import VideoShape


@dataclass(frozen=True, eq=False)
class Clips:
    """`count` videos of one shape.

    Attributes:
        read: number to video (3, F, H, W) in [-1, 1], the same at every call.
        origin: where they come from, in words.
    """

    shape: VideoShape
    count: int
    read: Callable[[int], Tensor]
    origin: str = ""

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Tensor]:
        return (self.read(number) for number in range(self.count))

    def frames(self, stride: int = 1) -> int:
        """How many frames of each clip are there if every `stride`-th is looked at."""
        return -(-self.shape.frames // stride)


@dataclass
class Seen:
    """What networks have seen in sets of clips, so that several measures look but once."""

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
    """All that a measure may be given.

    Attributes:
        made: what is judged; real: what it is compared with, if anything.
        prompts: what each made clip should show.
        scripts: what toybox tells of that, if it is a toybox prompt.
        paired: whether clip n of `real` is what clip n of `made` should have become.
        stride: every how many frames are looked at.
        seed: of the noise that `made` was made from.
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
        """What made clips belong together by, their prompts; None if each is a sample of its own.

        Videos of one prompt resemble each other. Of a single prompt all that is asked is how its own videos scatter.
        """
        return self.prompts if 1 < len(set(self.prompts)) < len(self.prompts) else None
