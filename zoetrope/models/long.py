"""Videos of minutes from a cascade: given frames, or none, and what the cascade makes after them."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveInt

from zoetrope.cascade.execution.layout import expect_memory
from zoetrope.cascade.graph import expect_chain, expect_videos, vectors_for
from zoetrope.cascade.long.film import Film, Made, frames_in
from zoetrope.cascade.long.frames import Frames
from zoetrope.cascade.long.journal import Journal, alone
from zoetrope.cascade.sample import Draw, text_length
from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.cascade.start import stages_after
from zoetrope.channels import RGB, Channel, are_rgb
from zoetrope.conditioning import Conditioning
from zoetrope.config import Config
from zoetrope.fields import Fields, Look, read_values
from zoetrope.inputs.first_frame import NAME as FIRST_FRAME
from zoetrope.inputs.region import REGION
from zoetrope.known import Method
from zoetrope.models.asking import about_values, askable, conditioning_of, expect_askable, told_by
from zoetrope.models.beside import of_cascade
from zoetrope.models.folder import portable
from zoetrope.models.known import FOLLOWING
from zoetrope.models.known_fields import expect_own, known_tensor
from zoetrope.models.places import memory_told
from zoetrope.networks import Network
from zoetrope.schemes import SamplingScheme
from zoetrope.schemes.autoregressive import Autoregressive
from zoetrope.shapes import VideoShape
from zoetrope.video import Video, pictures, probe, rate_to_read, stream

if TYPE_CHECKING:
    from zoetrope.models.cascade import Cascade

Beginning = str | os.PathLike[str] | Video
"""A file, a folder of pictures, or a video of the first stage's size and frame rate."""


class Long(Config):
    """Which long video is made.

    Attributes:
        seconds: how long it lasts, given frames included; a whole number of the first stage's frames.
        prompt: what it shows; None: no text.
        negative: text that guidance leads away from.
        scheme: the order in which the first stage makes frames, such as "long_range".
        known: how the first stage is made to agree with frames that are done; None: as it has learnt it.
        seed, sample: equal numbers give equal videos.
        until: the last stage to run; None: the model's default.
        memory: the largest peak of the process, in bytes.
        given: values for other inputs of the stages, by name.
    """

    seconds: float
    prompt: str | None = None
    negative: str | None = None
    scheme: SamplingScheme = Autoregressive()
    known: Method | None = None
    seed: NonNegativeInt = 0
    sample: NonNegativeInt = 0
    until: str | None = None
    memory: PositiveInt | None = None
    given: Annotated[dict[str, Any], Field(default_factory=dict)]


class OpeningFrames(NamedTuple):
    """The frames that are known from the start.

    Attributes:
        source: where they come from; None: there are none.
        frames: how many; digest: 16 letters that identify them.
    """

    source: Beginning | None
    frames: int = 0
    digest: str = ""

    @classmethod
    def of(cls, source: Beginning | None, shape: VideoShape, channels: Sequence[Channel] = RGB) -> "OpeningFrames":
        """Those of a video, at the size and rate of `shape`. Raises ValueError if it cannot be read.

        Of other channels than RGB it is a `Fields`, or a file of values at the rate of `shape`, which is read as a
        whole and stays in memory; all of them finite.
        """
        if source is None:
            return cls(None)
        where = "video" if isinstance(source, Video) else os.fspath(source)
        if not are_rgb(channels) and isinstance(source, str | os.PathLike):
            source = Fields(read_values(source, channels), channels, shape.fps)
        if isinstance(source, Video):
            expect_own("video", source, channels)
        found, count = hashlib.blake2b(digest_size=8), 0
        for picture in _pictures_of(source, shape):
            if picture.dtype != np.uint8 and not np.isfinite(picture).all():
                raise ValueError(f"{where}: expected finite values, got NaN or infinity in frame {count}")
            found.update(np.ascontiguousarray(picture).tobytes())
            count += 1
        return cls(source, count, found.hexdigest())

    def tensors(self, shape: VideoShape) -> Iterator[torch.Tensor]:
        """The frames (C, H, W), as networks see them, one by one."""
        assert self.source is not None
        for picture in _pictures_of(self.source, shape):
            yield known_tensor(picture[None], shape.fps)[0, :, 0]


@dataclass(frozen=True)
class LongRun:
    """A long video that can be made.

    Attributes:
        film: how; footage: its known frames; made: everything that it depends on, as JSON values.
        imagined: makes the vectors that stages of the film read, by the stage that makes them.
        channels: of the video.
    """

    film: Film
    footage: OpeningFrames
    made: dict[str, Any]
    network: Callable[[StageSpec], Network]
    imagined: Callable[[], Mapping[str, torch.Tensor]]
    channels: tuple[Channel, ...] = RGB

    @property
    def video(self) -> Frames:
        """The frames of the finished video."""
        return self.film.made()[-1]

    def at(self, folder: Path) -> "LongRun":
        """The same with its frames in another folder."""
        return replace(self, film=replace(self.film, folder=folder))

    def run(self, *, resume: bool) -> Iterator[Made]:
        """Make it in the film's folder, with one Made after each block of each stage.

        With `resume` what the folder holds already is not made again. Raises ValueError if the folder holds a video, or
        another one than this, if another process makes one there, or if the disk has no room; OSError where the disk is
        full later.
        """
        self.film.expect_room()
        with alone(self.film.folder):
            journal = Journal.begin(self.film.folder, self.made, resume=resume)
            first = self.film.made()[0].shape
            if self.footage.source is not None:
                self.film.give(self.footage.tensors(first), journal)
            film = replace(self.film, conditioning=_told(self.film.conditioning, self.imagined()))
            told = ", ".join(stage.name for stage in self.film.stages)
            with memory_told(f"the long video of {told}"):
                yield from film.run(self.network, journal)

    def pictures(self, look: Look | None = None) -> Iterator[np.ndarray]:
        """The pictures (H, W, 3) uint8 of the finished video, read one by one; of other channels than RGB as by `look`.

        Raises ValueError, with the nearest name, for an unknown channel.
        """
        video, rgb = self.video, are_rgb(self.channels)
        for number in range(video.shape.frames):
            frame = video.read([number])
            shown = None if rgb else Fields.of_model(frame, self.channels, video.shape.fps).pictured(look or Look())
            yield from pictures(frame) if shown is None else shown.frames

    def fields(self) -> Fields:
        """The values of the whole finished video, in units; all of it is in memory."""
        video = self.video
        return Fields.of_model(video.read(range(video.shape.frames)), self.channels, video.shape.fps)


def long_run(cascade: "Cascade", wanted: Long, folder: Path, source: Beginning | None = None) -> LongRun:
    """A long video of a cascade, with its frames in `folder`, which is made when it runs.

    Raises ValueError, before anything is sampled: for seconds that are no whole number of frames or that the known
    frames last already, for a scheme that needs more context than the network has, for a network that did not learn to
    continue frames, and what `Cascade.stream` raises.
    """
    spec, every = cascade.spec, stages_after(cascade.spec, None, wanted.until, wanted.given)
    expect_videos(every)
    stages, priors = [one for one in every if not one.makes_vectors], [one for one in every if one.makes_vectors]
    made = {each.name for stage in stages for each in vectors_for(stage)}
    what, told = "a video of several clips", {*wanted.given, *made}
    expect_chain(stages[:1], what, told, latents=True)
    expect_chain(stages[1:], what, told)
    stages[0] = _with_method(stages[0], wanted.known)
    every = tuple(stages[0] if one.name == stages[0].name else one for one in every)
    expect_askable(every, wanted.given)
    _expect_of_whole(every, wanted.given)
    for stage in every:
        if stage.sampling.routine.in_parts:
            routine = stage.sampling.routine.kind()
            raise ValueError(
                f"stage {stage.name!r}: expected a single clip (frames) with routine {routine!r}, got seconds"
            )
        stage.check_sampling()
    total, footage = _lengths(stages, wanted, source, spec.channels)
    text, against = cascade._encode([wanted.prompt], wanted.negative)
    if wanted.memory is not None:
        if cascade._texts is not None:
            cascade._texts.release()
        expect_memory(every, 1, text_length(text), wanted.memory, cascade.device)
    draw = Draw(
        seed=wanted.seed,
        samples=[wanted.sample],
        negative=against,
        device=cascade.device,
        dtype=cascade.dtype,
        memory=wanted.memory,
        scheme=spec.noise,
    )

    def conditioning(stage: StageSpec) -> Conditioning:
        return text | conditioning_of(stage, wanted.given, 1).to(cascade.device, torch.float32)

    film = Film(
        stages=stages,
        frames=total,
        scheme=wanted.scheme,
        draw=draw,
        conditioning=conditioning,
        folder=folder,
        given=footage.frames,
        pictured=are_rgb(spec.channels),
        codec=cascade._codec if stages[0].codec.encodes else None,
    )
    film.check()
    imagined = partial(_imagined, cascade, priors, wanted)
    made_of = _identity(cascade, every, wanted, footage)
    return LongRun(film, footage, made_of, cascade._network, imagined, spec.channels)


def _with_method(first: StageSpec, method: Method | None) -> StageSpec:
    """The first stage, made to agree with frames that are done by this method; None: as it has learnt it."""
    if method is None and first.sampling.known is None and first.input(REGION) is not None:
        method = FOLLOWING
    return first if method is None else first.with_(sampling=first.sampling.with_(known=method))


def _imagined(cascade: "Cascade", priors: Sequence[StageSpec], wanted: Long) -> dict[str, torch.Tensor]:
    """The vectors that each of these stages makes of the prompt, once for the whole video; the same with each call."""
    made = dict[str, torch.Tensor]()
    if priors:
        known = askable(priors)
        given = {name: value for name, value in wanted.given.items() if name in known}
        run = partial(cascade.run, priors, [wanted.prompt], seed=wanted.seed, samples=[wanted.sample])
        for now in run(negative=wanted.negative, memory=wanted.memory, given=given):
            if now.done:
                made[now.stage] = now.x_hat
    return made


def _told(
    conditioning: Callable[[StageSpec], Conditioning], made: Mapping[str, torch.Tensor]
) -> Callable[[StageSpec], Conditioning]:
    """The conditioning of stages with the vectors that others have `made` for them."""

    def told(stage: StageSpec) -> Conditioning:
        known = conditioning(stage)
        for each in vectors_for(stage):
            if (vectors := made.get(str(each.stage))) is not None:
                known = known | each.of_output(vectors).to(vectors.device, torch.float32)
        return known

    return told


def pictures_of(
    cascade: "Cascade",
    wanted: Long,
    source: Beginning | None,
    folder: str | Path | None,
    resume: bool,
    progress: Callable[[Made], object] | None,
) -> Iterator[np.ndarray]:
    """See `Cascade.extend`."""
    with _folder(folder) as place:
        run = long_run(cascade, wanted, place, source)
        for now in run.run(resume=resume or folder is None):
            if progress is not None:
                progress(now)
        yield from run.pictures()


@contextmanager
def _folder(folder: str | Path | None) -> Iterator[Path]:
    if folder is not None:
        yield Path(os.path.expanduser(folder))
        return
    with tempfile.TemporaryDirectory(prefix="zoetrope-") as temporary:
        yield Path(temporary)


def _lengths(
    stages: Sequence[StageSpec], wanted: Long, source: Beginning | None, channels: Sequence[Channel]
) -> tuple[int, OpeningFrames]:
    """How many frames the first stage's video has, and those that are known."""
    shape = stages[0].made
    total = frames_in(wanted.seconds, shape.fps, times=stages[-1].made.frames // shape.frames)
    footage = OpeningFrames.of(source, shape, channels)
    if footage.frames >= total:
        raise ValueError(
            f"seconds: expected more than {footage.frames / shape.fps:g}, which the given video lasts, for all of the "
            f"longer one, got {wanted.seconds:g}"
        )
    return total, footage


def _expect_of_whole(stages: Sequence[StageSpec], values: Mapping[str, Any]) -> None:
    """Raise ValueError for values that differ from frame to frame: every block would have the same ones."""
    for stage in stages:
        for each in stage.inputs:
            if each.name == FIRST_FRAME and told_by(each.name, values) is not None:
                raise ValueError(
                    f"picture: expected none, for each of the clips that stage {stage.name!r} makes would begin with "
                    "it; give it as the video to go on from"
                )
            if values.get(each.name) is not None and each.aligned:
                raise ValueError(f"{each.name}: expected none, for it controls the frames of one clip, not of several")
            if values.get(each.name) is None or not {"action", "map"} & {*each.tells.values()}:
                continue
            given = each.fitted(values[each.name], stage.shape)
            axis = 1 if "map" in each.tells.values() else -2
            first = given.narrow(axis, 0, 1).expand_as(given)
            if not torch.equal(given.nan_to_num(), first.nan_to_num()):
                raise ValueError(
                    f"{each.name}: expected the same in all frames, for a long video is made of several clips, each of "
                    f"which would have these {stage.shape.frames}"
                )


def _pictures_of(source: Beginning, shape: VideoShape) -> Iterator[np.ndarray]:
    """The pictures (H, W, 3) uint8 of a source at a size and rate, or frames (H, W, C) as networks see them."""
    if not isinstance(source, Video):
        rate = rate_to_read(probe(source), shape.fps)
        yield from stream(source, fps=rate, size=(shape.height, shape.width))
        return
    height, width = source.frames.shape[1:3]
    if (height, width, source.fps) != (shape.height, shape.width, shape.fps):
        raise ValueError(
            f"video: expected {shape.height}x{shape.width} at {shape.fps:g} fps, got {height}x{width} at {source.fps:g}"
        )
    yield from source.to_tensor().permute(1, 2, 3, 0).numpy() if isinstance(source, Fields) else source.frames


def digest_of(spec: CascadeSpec, stages: Sequence[StageSpec]) -> str:
    """16 letters that identify everything in a cascade that determines the videos of these stages."""
    names = {stage.name for stage in stages}
    told = portable(spec)[0].to_json()  # wherever the model's folder is
    description = {name: value for name, value in told.items() if name not in ("teachers", "default_until")}
    description["stages"] = [_known_before(stage) for stage in description["stages"] if stage["name"] in names]
    if are_rgb(spec.channels):  # unknown to earlier versions
        del description["channels"]
    return hashlib.blake2b(json.dumps(description, sort_keys=True).encode(), digest_size=8).hexdigest()


def _known_before(stage: dict[str, Any]) -> dict[str, Any]:
    """A stage's description without the fields that earlier versions did not know, where they say nothing."""
    return {name: value for name, value in stage.items() if name not in ("fills", "weights_of") or value is not None}


def _identity(cascade: "Cascade", stages: Sequence[StageSpec], wanted: Long, footage: OpeningFrames) -> dict[str, Any]:
    """Everything that the video depends on."""
    origins: Mapping[str, Any] = cascade.origins
    told = wanted.with_(given={}).to_json() | {"given": about_values(stages, wanted.given)}
    return {
        "model": cascade.spec.name,
        "stages": [stage.name for stage in stages],
        "cascade": digest_of(cascade.spec, stages),
        "weights": {stage.name: origins[stage.name].fingerprint() for stage in stages if stage.name in origins},
        **of_cascade(cascade, stages),
        "dtype": str(cascade.dtype).removeprefix("torch."),
        "given frames": footage.digest,
        **{name: value for name, value in told.items() if name not in ("memory", "until")},
    }
