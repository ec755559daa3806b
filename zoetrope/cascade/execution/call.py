"""One call of a stage's network on a window of its video: conditioning, guidance and static threshold."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning, stacked
from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.prediction import x_from
from zoetrope.diffusion.tensors import sent
from zoetrope.guidance import Share, combined
from zoetrope.inputs import WindowNoise
from zoetrope.networks import Network
from zoetrope.shapes import Window


@dataclass(frozen=True, kw_only=True)
class Calls:
    """Everything that calls of a stage's network need.

    Attributes:
        given: the conditioning of whole videos, except for inputs that are made from `video`.
        video: the source stage's video, (B, C, f, h, w), if there is one.
        noise: of the stage's videos.
        step: noise level -> number of the step, from 0; for levels (B, F) that of each frame, (B, F).
        negative: text that guidance leads away from.
        device, dtype: the type of device, and the dtype that the network computes in there.
        clips: whether x_hat is clipped for a static threshold.
    """

    stage: StageSpec
    network: Network
    given: Conditioning
    video: Tensor | None
    noise: WindowNoise
    step: Callable[[NoiseLevel], float | Tensor]
    negative: Conditioning | None = None
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    clips: bool = True

    @cached_property
    def variants(self) -> int:
        """How many variants of its conditioning each video is run with: several for guidance that is not distilled."""
        return len(self._variant_conditionings(self.given))

    def repeated(self, values: Tensor) -> Tensor:
        """Values (B, ...) repeated for every variant."""
        return torch.cat([values] * self.variants) if self.variants > 1 else values

    def conditioning(self, window: Window) -> Conditioning:
        """The conditioning of a window, all variants stacked."""
        return stacked(self._variant_conditionings(self._in_window(window)))

    def maps(self, window: Window) -> Mapping[str, Tensor]:
        """The maps of a window's conditioning, all variants stacked."""
        return self.conditioning(window).maps

    def without_maps(self, window: Window) -> Conditioning:
        """A window's conditioning without maps, which are made for each part of the video when its turn comes."""
        first = self._in_window(window._replace(frames=window.frames[:1]))
        own = replace(self.given, maps={}).window(window)
        return replace(stacked(self._variant_conditionings(first | own)), maps={})

    def at_level(self, level: NoiseLevel, count: int, conditioning: Conditioning) -> Conditioning:
        """The conditioning at a level: with the guidance weight, if the network was distilled to take it."""
        for each in self.stage.all_inputs[len(self.stage.inputs) :]:
            weights = self.stage.sampling.weights()
            weight = _value_at(self.step(level), weights)
            conditioning = conditioning | each.of_request(weight, count).to(level.logsnr.device, torch.float32)
        return conditioning

    @cached_property
    def whole(self) -> Conditioning:
        """The conditioning of whole videos, all variants stacked."""
        return self.conditioning(Window.whole(self.stage.shape))

    def in_dtype(self, compute: Callable[[], Tensor]) -> Tensor:
        """The network's output, computed in `dtype`."""
        with torch.autocast(self.device, self.dtype, enabled=self.dtype != torch.float32):
            return compute()

    def x_hat(self, output: Tensor, z: Tensor, level: NoiseLevel, frames: Sequence[int]) -> Tensor:
        """x_hat (B, C, f, h, w) from the outputs of all variants at z: guided, and clipped if `clips`.

        `frames` are those of the video that z holds.
        """
        if self.variants > 1:
            output = combined(output.chunk(self.variants), self._shares(level, frames))
        x_hat = x_from(self.stage.prediction, output, z, level)
        return x_hat.clamp(-1, 1) if self.clips and self.stage.sampling.threshold == "static" else x_hat

    def _shares(self, level: NoiseLevel, frames: Sequence[int]) -> list[Share]:
        """The share of each variant's output in these frames at a level."""
        sampling, count = self.stage.sampling, self.stage.shape.frames
        told = (sampling.guidance.shares_of_frames(step, sampling.steps, count) for step in range(sampling.steps))
        every = [[_of_frames(share, frames) for share in shares] for shares in told]
        return [_value_at(self.step(level), [shares[variant] for shares in every]) for variant in range(self.variants)]

    def _in_window(self, window: Window) -> Conditioning:
        conditioning = self.given.window(window)
        with torch.autocast(self.device, enabled=False):
            for each in self.stage.inputs:
                conditioning = conditioning | each.in_window(self.stage.shape, self.video, self.noise, window)
        return conditioning

    def _variant_conditionings(self, conditioning: Conditioning) -> list[Conditioning]:
        sampling = self.stage.sampling
        if self.stage.network.guided or not sampling.guided:
            return [conditioning]
        return sampling.guidance.variants(conditioning, self.negative)


def _of_frames(share: Share, frames: Sequence[int]) -> Share:
    """A share in these frames of the video; one number holds for all of them."""
    return share[..., list(frames)] if isinstance(share, Tensor) else share


def _value_at(step: float | Tensor, values: Sequence[Share]) -> Share:
    """The value of a step; for the steps (B, F) of frames, that of each frame, (B, F)."""
    if not isinstance(step, Tensor):
        return values[int(step)]
    each = [_number(value, step.device) for value in values]
    table = torch.stack([value.expand(step.shape) for value in each])
    return table.gather(0, step.long()[None])[0]


def _number(value: Share, device: torch.device) -> Tensor:
    """A share in float64 on a device, which a plain number is filled in there: it need not be copied."""
    if isinstance(value, Tensor):
        return sent(value, device, torch.float64)
    return torch.full((), value, dtype=torch.float64, device=device)


def in_one_call(calls: Calls, window: Window) -> Denoise:
    """The denoiser of a window, static threshold included, which needs no other part of the video."""
    return _called(calls, calls.conditioning(window), window.frames)


def of_frames(calls: Calls, frames: Sequence[int]) -> Denoise:
    """The denoiser of some frames, in this order, for which they are the whole video."""
    return _called(calls, calls.whole.at_frames(frames), frames)


def _called(calls: Calls, given: Conditioning, frames: Sequence[int]) -> Denoise:
    def run(z: Tensor, level: NoiseLevel) -> Tensor:
        seen, logsnr = calls.repeated(z), calls.repeated(level.logsnr.to(z.dtype))
        conditioning = calls.at_level(level, len(z), given)
        output = calls.in_dtype(lambda: calls.network(seen, logsnr, conditioning))
        return calls.x_hat(output, z, level, frames)

    return run
