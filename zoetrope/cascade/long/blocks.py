"""The first stage's long video, block by block: each given the frames that its scheme observes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from zoetrope.cascade.finite import expect_finite
from zoetrope.cascade.long.frames import Frames
from zoetrope.cascade.long.journal import Journal
from zoetrope.cascade.noise import window_noise
from zoetrope.cascade.sample import Draw, ready, sample_stage, sampling_levels
from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.inputs.region import REGION
from zoetrope.known import Known
from zoetrope.networks import Network
from zoetrope.samplers import CORRECTIONS
from zoetrope.schemes import FrameBlock, LongVideo, SamplingScheme
from zoetrope.schemes.adaptive import small_pixels
from zoetrope.shapes import VideoShape, Window, expect_shape

BEYOND = 2  # levels beyond those of a part of a sampling; samplers look at most so far ahead


class FinishedBlock(NamedTuple):
    """One finished block of a stage, or window.

    Attributes:
        number: of those that are finished.
        total: of all.
    """

    number: int
    total: int


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """A stage whose network makes a video longer than it sees.

    Attributes:
        stage: on the grid of one call; its frames are the most that the network sees.
        given: the stage, at the rate of a block's frames -> the conditioning of the one video, without times and what a
            block observes.
        draw: of the one video; noise is drawn by the number of the frame in the long video.
        scheme: in which order frames are made.
        frames: where they go, on the grid of the long video.
        known: the numbers of those that are there already.
    """

    stage: StageSpec
    given: Callable[[StageSpec], Conditioning]
    draw: Draw
    scheme: SamplingScheme
    frames: Frames
    known: tuple[int, ...] = ()

    def video(self) -> LongVideo:
        """The video as its scheme sees it."""
        return LongVideo(
            total=self.frames.shape.frames,
            most=self.stage.shape.frames,
            given=self.known,
            steps=self.stage.sampling.steps,
            features=lambda number: small_pixels(self.frames.read([number])[:, 0]),
        )

    def check(self) -> int:
        """The number of blocks.

        Raises ValueError, before anything is sampled, for a scheme that needs more context than the network has, for a
        network that did not learn known frames, and for one that cannot process a block: its size, or frames at uneven
        distances.
        """
        planned = replace(self.video(), features=lambda number: torch.zeros(1))
        count, sizes = 0, set[int]()
        for count, block in enumerate(self.scheme.blocks(planned), start=1):  # noqa: B007
            if block.observed or block.places is not None:
                self._expect_method(block)
            sizes.add(len(block.frames))
            if self.scheme.free and block.observed:  # a plan does not know which frames
                self._expect_any_distances("chosen by what they show")
            self._expect_even(block)
        for size in sorted(sizes):
            try:
                on_frames(self.stage, size)
            except ValueError as error:
                raise ValueError(
                    f"scheme {self.scheme.kind()}: it would have blocks of {size} frames: {error}"
                ) from None
        return count

    def _expect_method(self, block: FrameBlock) -> None:
        method, where = self.stage.sampling.known, f"stage {self.stage.name!r}"
        if method is None:
            raise ValueError(
                f"{where}: expected a network that learnt to continue known frames, as a long video is made; "
                f"--known-method reconstruction (known) guides another one to, in more than twice the time"
            )
        if block.places is not None and not method.holds:
            raise ValueError(
                f"scheme {self.scheme.kind()}: expected a network that learnt a noise level per frame, sampling.known "
                f"'learnt', got {method.kind()!r}"
            )

    def _expect_even(self, block: FrameBlock) -> None:
        if len({b - a for a, b in pairwise(block.frames)}) > 1:
            self._expect_any_distances(f"such as {', '.join(map(str, block.frames))}")

    def _expect_any_distances(self, which: str) -> None:
        if self.stage.network.needs_even_frames:
            raise ValueError(
                f"scheme {self.scheme.kind()}: its blocks are of frames at uneven distances, {which}, and the network "
                f"of stage {self.stage.name!r} mixes neighbours in time; expected autoregressive, pyramid or "
                "interpolation"
            )

    def run(self, load: Callable[[], Network], journal: Journal) -> Iterator[FinishedBlock]:
        """Make the blocks that the journal does not have yet, and yield after each. `load` gives the network.

        Raises what `check` raises, and OSError where the disk is full; what the journal has stays.
        """
        total = self.check()
        if journal.done(self.stage.name) >= total:
            return
        network = load()
        for number, block in enumerate(self.scheme.blocks(self.video()), start=1):
            if number <= journal.done(self.stage.name):
                continue
            self._expect_even(block)
            state = self._make(network, block, journal.state(self.stage.name))
            journal.finish(self.stage.name, number, state)
            yield FinishedBlock(number, total)

    def _make(self, network: Network, block: FrameBlock, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Sample a block, store the frames that it finishes, and return the z of the others, by number."""
        stage, draw = on_frames(self.stage, len(block.frames)), self._draw(block)
        times = torch.tensor([block.frames], dtype=torch.float64) / self.frames.shape.fps
        given = replace(self.given(_at_rate(stage, block, self.frames.shape.fps)), times=times.to(draw.device))
        if draw.known is not None and (region := stage.input(REGION)) is not None:
            given = given | region.of_request(draw.known, 1).to(draw.device, torch.float32)
        if block.places is None:
            for x_hat in sample_stage(stage, network, given, None, draw):
                z = x_hat
        else:
            x_hat, z = _partly(stage, network, given, draw, block, state)
        expect_finite(stage, x_hat, draw.dtype)
        finished = block.finished(stage.sampling.steps)
        self.frames.write(finished, x_hat[0, :, [block.frames.index(own) for own in finished]])
        rest = [own for own in block.latent if own not in finished]
        return {str(own): z[0, :, block.frames.index(own)] for own in rest}

    def _draw(self, block: FrameBlock) -> Draw:
        """The draw of a block: its known frames, and noise by the number of a frame in the long video."""
        numbers = block.frames
        known = None
        if block.observed:
            there = torch.tensor([own in block.observed for own in numbers])
            shape = (1, self.frames.channels, len(numbers), self.frames.shape.height, self.frames.shape.width)
            video = torch.zeros(shape)
            video[0, :, there] = self.frames.read([own for own in numbers if own in block.observed])
            known = Known(there, video)

        def noise(purpose: str, window: Window) -> Tensor:
            return numbered_noise(self.stage, self.draw, purpose, [numbers[own] for own in window.frames], window)

        return replace(self.draw, noise=noise, known=known)


def on_frames(stage: StageSpec, frames: int) -> StageSpec:
    """The stage on its grid, with so many frames. Raises ValueError if its network cannot process them."""
    return stage if frames == stage.shape.frames else stage.on(stage.shape.with_(frames=frames), stage.source)


def _at_rate(stage: StageSpec, block: FrameBlock, fps: float) -> StageSpec:
    """The stage at the rate of a block's frames, which are some of those of a video of `fps`; as in training."""
    if len(block.frames) < 2:
        return stage
    gap = torch.tensor(block.frames).diff().median().item()
    return stage.with_(shape=stage.shape.with_(fps=fps / gap))


def numbered_noise(
    stage: StageSpec, draw: Draw, purpose: str, numbers: Sequence[int], window: Window | None = None
) -> Tensor:
    """The noise (B, C, n, H, W) of these frames of a long video, whatever the video's length.

    It is that of a short video of the stage in its frames, if draw.noise is None.
    """
    rows, columns = Window.whole(stage.shape)[1:] if window is None else window[1:]
    longest = VideoShape(**{**stage.shape.to_json(), "frames": max(numbers) + 1})
    what, channels = f"{stage.name} {purpose}", stage.network.channels
    parts = []
    for number in [0] * len(numbers) if stage.sampling.shared_noise and draw.noise is None else numbers:
        one = Window(range(number, number + 1), rows, columns)
        if draw.noise is not None:
            parts.append(draw.noise(purpose, one))
        else:
            parts.append(window_noise(draw.seed, draw.samples, what, longest, channels, one, draw.scheme))
    return torch.cat(parts, dim=2)


def _partly(
    stage: StageSpec, network: Network, given: Conditioning, draw: Draw, block: FrameBlock, state: dict[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """x_hat and z, (1, C, F, H, W), after the steps of a block whose frames are at places of their own."""
    assert block.places is not None
    prepared = ready(stage, network, given, None, draw)
    steps = stage.sampling.steps
    rows = [*block.places, *(tuple(min(p + b, steps) for p in block.places[-1]) for b in range(1, BEYOND + 1))]
    levels = [_levels(stage, draw, block, row) for row in rows]
    z = prepared.start().clone()
    for number, place in zip(block.latent, block.places[0], strict=True):
        if place > 0:
            kept = state[str(number)]
            expect_shape(f"the state of frame {number}", kept, *z.shape[1:2], *z.shape[3:])
            z[0, :, block.frames.index(number)] = kept.to(z)

    def noise(step: int) -> Tensor:
        """Fresh noise, which depends on the place of each frame in its own sampling."""
        drawn, (turn, step) = torch.zeros_like(z), divmod(step, CORRECTIONS)
        for number, place in zip(block.latent, rows[step], strict=True):
            own = block.frames.index(number)
            one = Window(range(own, own + 1), *Window.whole(stage.shape)[1:])
            assert draw.noise is not None
            drawn[:, :, own : own + 1] = draw.noise(f"step {turn * CORRECTIONS + place}", one).to(drawn)
        return drawn

    # The sampler would end at its last level without noise: it is stopped before.
    running = prepared.sampler(prepared.denoise, z.clone(), levels, noise=noise)
    for step in islice(running, len(block.places) - 1):
        last = step
    return last.x_hat, last.z


def _levels(stage: StageSpec, draw: Draw, block: FrameBlock, row: tuple[int, ...]) -> NoiseLevel:
    """The level of each frame, (B, F), with the latent frames at these places of the sampling."""
    ladder = sampling_levels(stage, draw)
    clean = NoiseLevel.clean(len(draw.samples), device=draw.device)
    place = dict(zip(block.latent, row, strict=True))
    each = [clean if own not in place else ladder[place[own]] for own in block.frames]
    return NoiseLevel(*(torch.stack(values, dim=1) for values in zip(*each, strict=True)))
