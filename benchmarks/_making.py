"""Videos of prompts, as every stage of a cascade makes them, kept batch by batch so that an interrupted run goes on."""

import argparse
import hashlib
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from _scores import weights_of

from zoetrope.cascade.spec import StageSpec
from zoetrope.cascade.start import Start
from zoetrope.models.beside import left_open
from zoetrope.models.cascade import Cascade, Progress
from zoetrope.models.opening import OpenModel
from zoetrope.shapes import VideoShape
from zoetrope.video import Video
from zoetrope.video.resample import degrade

BATCH, TOGETHER = 8, 2**24  # videos that are made together: so many, or fewer whose last stage has so many pixels
FRAMES, HEIGHT = 32, 192


def key(model: OpenModel, cascade: Cascade, until: str | None) -> str:
    """A name for all that decides what videos become, but the prompts and seeds: weights, settings, where it runs."""
    stages = model.spec.until(until)
    settings = [model.spec.text.to_json(), *(stage.to_json() for stage in stages)]
    told = hashlib.sha256(json.dumps([settings, str(cascade.device), str(cascade.dtype)]).encode())
    for stage in stages:
        told.update(bytes.fromhex(weights_of(model, stage)))
    if more := left_open(model, stages):
        told.update(json.dumps(more).encode())
    return told.hexdigest()[:12]


def videos_of(
    cascade: Cascade,
    prompts: Sequence[str],
    options: argparse.Namespace,
    names: dict[str, str],
    most: int = FRAMES,
) -> dict[str, list[list[Video]]]:
    """options.noises videos of each prompt, as the stages in `names` made them up to options.until.

    `names` begins, for each stage, the names of the files in options.out that its videos are kept in: reduced to at
    most HEIGHT rows, and to about `most` frames. Stages that are not in it, such as a prior, are run but not kept.
    """
    made: dict[str, list[list[Video]]] = {stage: [[] for _ in prompts] for stage in names}
    first = next(iter(names))
    batch = _batch(cascade.spec.until(options.until)[-1])
    for noise in range(options.noises):
        for start in range(0, len(prompts), batch):
            part = range(start, min(start + batch, len(prompts)))
            texts = [prompts[i] for i in part]
            asked = hashlib.sha256(json.dumps([texts, noise, *part]).encode()).hexdigest()[:12]
            files = {stage: options.out / f"{name}-{asked}.npz" for stage, name in names.items()}
            sizes = {stage: kept_size(cascade.spec.stage(stage).made, most) for stage in files}
            there = {stage for stage, file in files.items() if _is_kept(file, sizes[stage])}
            if there != files.keys():
                given = _passed_on(first, files[first]) if first in there and len(files) > 1 else None
                for now in cascade.stream(texts, seed=noise, samples=part, until=options.until, start=given):
                    if now.done and now.stage in files:
                        _keep(files[now.stage], now, sizes[now.stage], whole=now.stage == first)
            for stage, file in files.items():
                with np.load(file) as stored:
                    for i, frames in zip(part, stored["frames"], strict=True):
                        made[stage][i].append(Video(frames, float(stored["fps"])))
    return made


def _batch(last: StageSpec) -> int:
    """How many videos are made together."""
    pixels = last.shape.frames * last.shape.height * last.shape.width
    return min(BATCH, max(1, TOGETHER // pixels))


def _passed_on(stage: str, file: Path) -> Start:
    """What the stage handed to the next one."""
    with np.load(file) as stored:
        return Start(stage=stage, video=torch.from_numpy(stored["x"]))


def kept_size(shape: VideoShape, most: int) -> VideoShape:
    """The grid that videos of a shape are kept on: with at most HEIGHT rows, and about `most` frames."""
    less, height = max(1, shape.frames // most), min(shape.height, HEIGHT)
    width = shape.width * height // shape.height
    return VideoShape(frames=shape.frames // less, height=height, width=width, fps=shape.fps / less)


def _is_kept(file: Path, size: VideoShape) -> bool:
    """Whether videos are there, with as many frames a second as are asked for; others may have been kept with fewer."""
    if not file.exists():
        return False
    with np.load(file) as stored:
        return math.isclose(float(stored["fps"]), size.fps)


def _keep(file: Path, progress: Progress, size: VideoShape, whole: bool) -> None:
    """Write what a stage made, reduced to what is judged, and `whole` as well; the file appears whole or not at all."""
    videos = [Video.from_tensor(x, size.fps) for x in degrade(progress.x_hat.clamp(-1, 1).float().cpu(), size)]
    partial = file.with_name(f".{file.stem}.partial.npz")
    also = {"x": progress.x_hat.clamp(-1, 1).float().cpu().numpy()} if whole else {}
    np.savez_compressed(partial, frames=np.stack([video.frames for video in videos]), fps=np.asarray(size.fps), **also)
    os.replace(partial, file)
