"""Measures of generated videos, one per file; each declares what it needs and how it was taken.

A measure never fails silently and never uses another network than its own: what cannot be measured is `Unavailable`,
with the reason and the remedy.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
from pydantic import PositiveInt

from zoetrope.channels import are_bounded, are_rgb, difference, listed
from zoetrope.config import Config, Kind
from zoetrope.metrics.clips import Clips, Material
from zoetrope.metrics.features import ClipNetwork, Extractor, FeatureNetwork, Missing
from zoetrope.metrics.intervals import Mean

Better = Literal["lower", "higher", "nearer 0", "nearer 1"]
OpenedExtractor = FeatureNetwork | ClipNetwork


class Protocol(Config):
    """How a number was taken: numbers are comparable only if all of this is equal.

    Attributes:
        extractor, sha256, layer, resize: of the network, if there is one.
        frames: how many frames of each clip were used, every `stride`-th of those that count.
        known: the numbers of the frames that were given; earlier versions did not tell them.
        made, real: how many clips of each set; shape: their grid.
        seed: of the noise that videos were sampled from.
    """

    made: int
    real: int | None = None
    shape: str
    frames: int
    stride: int
    seed: int
    known: tuple[int, ...] = ()
    extractor: str | None = None
    sha256: str | None = None
    layer: str | None = None
    resize: str | None = None


class Result(Config):
    """A measured number.

    Attributes:
        name: of the measure and its network; better: which way is good.
        value: the number; unit: such as "dB".
        interval: of 95 %, see `zoetrope.metrics.intervals`, if the measure has one; error: its half-width, if the
            number lies in the middle; samples: the number of videos.
        reference: the same measure of real clips, or between halves of them: what a perfect model would get.
        plain: what plain ways get, by name, such as persistence.
        details: further measurements; notes: what a reader of the number must know.
    """

    name: str
    title: str
    value: float
    unit: str = ""
    error: float | None = None
    interval: tuple[float, float] | None = None
    samples: int | None = None
    reference: float | None = None
    plain: dict[str, float] = {}  # noqa: RUF012 - pydantic copies it
    better: Better
    protocol: Protocol
    details: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies it
    notes: tuple[str, ...] = ()


class Unavailable(Config):
    """A measure that could not be taken: the reason and the remedy."""

    name: str
    title: str
    reason: str
    remedy: str = ""


class Measure(Kind, ABC):
    """A measure of a set of videos.

    Attributes:
        title: a short name for people; better: which way is good.
        extractors: the kinds of network that it can use, the default first; none if it needs none.
        takes: the videos that it applies to: of "rgb" alone, of channels that are all "bounded", or of "any".
        masks: whether it takes real clips with missing values.
        only_new: whether frames that were given do not count; a network of clips looks at them in any case.
        compares: whether it looks at real clips where there are some, though it does not need them.
        needs: what it compares the videos with; least: the fewest clips in each set.
        extractor: the network to use; None if there is none, or none was named.
        window: how many frames of each clip, from the first on, a network of clips uses; None for as many as it can.
    """

    folder: ClassVar[str] = "zoetrope.metrics.measures"
    title: ClassVar[str]
    better: ClassVar[Better]
    extractors: ClassVar[tuple[str, ...]] = ()
    takes: ClassVar[Literal["rgb", "bounded", "any"]] = "rgb"
    masks: ClassVar[bool] = False
    only_new: ClassVar[bool] = False
    compares: ClassVar[bool] = False
    needs: ClassVar[frozenset[Literal["real", "pairs", "members", "prompts", "scripts"]]] = frozenset()
    least: ClassVar[int] = 1
    extractor: Extractor | None = None
    window: PositiveInt | None = None

    @property
    def name(self) -> str:
        """The measure's name, with that of its network in brackets where there is a choice."""
        if len(self.extractors) < 2:
            return self.kind()
        return f"{self.kind()}[{self.extractor.kind() if self.extractor else '?'}]"

    def expect(self, material: Material) -> None:
        """Raise ValueError if this measure does not apply to these videos, before any network is opened."""
        has = {
            "prompts": material.prompts,
            "scripts": material.scripts,
            "pairs": material.paired,
            "members": material.members > 1,
        }
        wants = {
            "real": "videos to compare with",
            "prompts": "the prompts of the videos",
            "scripts": "prompts of toybox, of which is known what they should show (--data toybox)",
            "pairs": "videos made from real ones, so that each has a truth (--known FRAMES, --after STAGE)",
            "members": "several videos of each case (--members N)",
        }
        channels, real = material.made.channels, material.real
        fits = self.takes == "any" or are_rgb(channels) or (self.takes == "bounded" and are_bounded(channels))
        if not fits:
            wanted = "in red, green and blue" if self.takes == "rgb" else "whose channels all have bounds"
            raise ValueError(f"{self.name}: expected videos {wanted}, got {listed(channels)}")
        for need in sorted(self.needs):
            if not (real is not None if need == "real" else has[need]):
                raise ValueError(f"{self.name}: expected {wants[need]}, got none")
        if real is not None and "pairs" in self.needs and len(real) < material.cases:
            raise ValueError(f"{self.name}: expected the truth of each of {material.cases} cases, got {len(real)}")
        if real is not None and (wrong := difference(channels, real.channels)) is not None:
            raise ValueError(f"{self.name}: real clips: {wrong}")
        if self.only_new and not material.foretold:
            raise ValueError(f"{self.name}: expected a frame that was not given, got all of {material.made.shape}")
        for which, clips in (("generated", material.made), ("real", real if "real" in self.needs else None)):
            if clips is not None and len(clips) < self.least:
                raise ValueError(f"{self.name}: expected at least {self.least} {which} videos, got {len(clips)}")

    def expect_values(self, material: Material) -> None:
        """Raise ValueError for missing values: of real clips unless it takes them, of generated ones in any case.

        Clips have to be there.
        """
        if any(material.made.present(number) is not None for number in range(len(material.made))):
            raise ValueError(f"{self.name}: expected generated videos without missing values")
        if self.masks or material.real is None or not (self.compares or self.needs & {"real", "pairs"}):
            return
        if any(material.real.present(number) is not None for number in range(len(material.real))):
            raise ValueError(f"{self.name}: expected real clips without missing values")

    def expect_network(self, network: OpenedExtractor | None, material: Material) -> None:
        """Raise ValueError if the network cannot process these videos."""
        if not isinstance(network, ClipNetwork):
            return
        if self.window is not None and self.window < network.least:
            raise ValueError(f"{self.name}: window: {network.too_short(self.window)}")
        for clips in (material.made, *([material.real] if material.real is not None else [])):
            frames = clips.frames(material.stride)
            if frames < network.least:
                raise ValueError(network.too_short(frames))
            if self.window is not None and frames < self.window:
                raise ValueError(
                    f"{self.name}: expected clips of at least {self.window} frames, got {frames} "
                    f"(--window {frames} looks at these)"
                )
        seen = self._looked_at(network, material)
        if set(seen) <= set(material.known):
            raise ValueError(f"{self.name}: expected a frame that was not given, got the first {len(seen)}, all given")

    def open(self, device: torch.device | str = "cpu") -> OpenedExtractor | None:
        """The network, or None if none is needed. Raises `Missing` if it is unavailable."""
        if not self.extractors:
            return None
        if self.extractor is None:
            raise Missing(
                f"no {' or '.join(self.extractors)} was named", f"name one: --features {self.extractors[0]}=PATH"
            )
        return self.extractor.open(device)

    @abstractmethod
    def measure(self, material: Material, network: OpenedExtractor | None) -> Result:
        """The number. `network` is what `open` gave."""

    def result(self, material: Material, network: OpenedExtractor | None, value: float, **told: Any) -> Result:
        """A result with its protocol; `told` are the other fields of `Result`."""
        seen = self._looked_at(network, material)
        given = sum(number in material.known for number in seen)
        whole = isinstance(network, ClipNetwork) or not self.only_new
        whole_clips = [f"whole clips are measured: {given} of {len(seen)} frames of each were given"]
        protocol = Protocol(
            made=len(material.made),
            real=len(material.real) if material.real is not None and self.needs & {"real", "pairs"} else None,
            shape=str(material.made.shape),
            frames=len(seen) if whole else len(seen) - given,
            stride=material.stride,
            seed=material.seed,
            known=material.known,
            extractor=None if network is None else network.name,
            sha256=None if network is None else network.sha256,
            layer=None if network is None else network.layer,
            resize=None if network is None else network.resize,
        )
        notes = (*told.pop("notes", ()), *(whole_clips if whole and given else ()), *_differences(material))
        told = {"samples": len(material.made), "notes": notes, **told}
        return Result(name=self.name, title=self.title, value=value, better=self.better, protocol=protocol, **told)

    def _looked_at(self, network: OpenedExtractor | None, material: Material) -> range:
        """The numbers of the frames that are looked at, with those that were given."""
        frames = range(0, material.made.shape.frames, material.stride)
        return frames[: self.window][: network.most] if isinstance(network, ClipNetwork) else frames

    def averaged(
        self, material: Material, network: OpenedExtractor | None, values: Sequence[float], **told: Any
    ) -> Result:
        """A result that is the mean of one value per video, with an interval clustered by prompt."""
        mean = Mean.of(values, material.clusters)
        interval = None if mean.half is None else (mean.value - mean.half, mean.value + mean.half)
        return self.result(material, network, mean.value, error=mean.half, interval=interval, **told)


def expect_pairs(made: Clips, real: Clips | None, members: int = 1) -> Clips:
    """The truth of each made video, of which `members` have the same. Raises ValueError unless all fit."""
    if real is None or made.shape != real.shape or len(made) > members * len(real):
        got = "none" if real is None else f"{len(made)} of {made.shape} and {len(real)} of {real.shape}"
        raise ValueError(f"pairs of videos: expected as many of one shape, got {got}")
    truth = real.read
    return replace(real, count=len(made), read=lambda number: truth(number // members))


def _differences(material: Material) -> list[str]:
    """The differences between the two sets, in words."""
    made, real = material.made, material.real
    if real is None:
        return []
    notes = []
    if made.shape != real.shape:
        notes.append(f"generated videos are {made.shape}, real ones {real.shape}; each is resized as the protocol says")
    if material.paired and len(real) > material.cases:
        notes.append(f"the first {material.cases} real videos are the truth, the others a climatology alone")
    elif len(made) != len(real) * material.members:
        notes.append(f"{len(made)} generated and {len(real)} real videos: all of both are used")
    return notes
