"""What the shipped model makes of prompts that training never saw, judged by the analytic recogniser.

    python benchmarks/score_mini.py --model mini --out runs/scores --until ssr2

Prompts that combine what training never combines, and prompts in words that training never used, of which only what
these words tell is judged; then, reported as they are, familiar prompts, letters, 3-D objects, two objects and
styles. Of letters the shape is not judged. Of two objects both have to be right, each in its place: the left or upper
one of the video is compared with that of the prompt, and the relation is right if they stand side by side, or one
above the other, as the prompt says.

Every video has noise of its own: noise k of prompt n is that of seed k and sample n. Videos of different prompts are
then independent, those of one prompt are not, and those of one unseen word or combination have in common what is asked
here: intervals are clustered by word or combination, else by prompt (`zoetrope.metrics.intervals`), and say where the
share of endlessly many further ones lies. An aim counts as reached if all of its interval does.

Every video is judged after every stage: what super-resolution adds must not cost what the base has got right. Videos
larger or longer than 32 x 192 x 320 are judged and kept with frames skipped and reduced to that size.

Prints a row of a table for each set and stage, and writes table.md (with each class and each unseen word), scores.json
and contact sheets; sets and stages that scores.json has of the same weights stay in it. Videos are kept under a name
made of the weights, the settings and the prompts, and not made again, so an interrupted measurement goes on where it
stopped, those of the first stage as they were passed on: where only later stages have changed, it goes on from there.
"""

import argparse
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from _judging import summary, verdicts
from _scores import table, weights_of, write_scores, write_whole

from zoetrope.cascade.spec import StageSpec
from zoetrope.cascade.start import Start
from zoetrope.data.toybox.prompts import SETS, Prompt
from zoetrope.models.cascade import Cascade, Progress
from zoetrope.models.opening import OpenModel, open_model
from zoetrope.models.precision import compute_dtype
from zoetrope.shapes import VideoShape
from zoetrope.video import Video, contact_sheet, save_image
from zoetrope.video.resample import degrade

NUMBERS = {"combinations": 128, "wordings": 192, "familiar": 128, "hues": 32, "pairs": 32,
           "letters": 32, "solids": 32, "styles": 32}  # fmt: skip
BATCH, TOGETHER = 8, 2**24  # videos that are made together: so many, or fewer whose last stage has so many pixels
FRAMES, HEIGHT = 32, 192


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--until", help="last stage to run; the default is the whole cascade")
    parser.add_argument("--sets", nargs="*", choices=list(SETS), default=list(SETS))
    parser.add_argument("--noises", type=int, default=4, help="videos of each prompt")
    parser.add_argument("--limit", type=int, help="prompts of each set, for a quick look")
    options = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = open_model([options.model])
    cascade = Cascade.of(model, device=device, dtype=compute_dtype(device))
    stages = model.spec.until(options.until)
    judged = {stage.name: _key(model, cascade, stage.name) for stage in stages}
    options.out.mkdir(parents=True, exist_ok=True)
    scores: dict[str, dict[str, dict[str, object]]] = {}
    for name in options.sets:
        prompts = SETS[name](min(NUMBERS[name], options.limit or NUMBERS[name]))
        videos = _videos(cascade, prompts, options, {stage: f"{name}-{key}" for stage, key in judged.items()})
        scores[name] = {stage: summary(verdicts(name, prompts, made)) for stage, made in videos.items()}
        print(table({name: scores[name]}), flush=True)
        last = videos[stages[-1].name]
        save_image(options.out / f"{name}.png", contact_sheet([one[0] for one in last[:12]], 1))
    every = write_scores(options.out, model, cascade.dtype, scores)
    write_whole(options.out / "table.md", table(every) + "\n")


def _key(model: OpenModel, cascade: Cascade, until: str | None) -> str:
    """A name for all that decides what videos become, but the prompts and seeds: weights, settings, where it runs."""
    stages = model.spec.until(until)
    settings = [model.spec.text.to_json(), *(stage.to_json() for stage in stages)]
    told = hashlib.sha256(json.dumps([settings, str(cascade.device), str(cascade.dtype)]).encode())
    for stage in stages:
        told.update(bytes.fromhex(weights_of(model, stage)))
    return told.hexdigest()[:12]


def _videos(
    cascade: Cascade, prompts: list[Prompt], options: argparse.Namespace, names: dict[str, str]
) -> dict[str, list[list[Video]]]:
    """options.noises videos of each prompt, as the stages in `names` made them.

    `names` begins, for each stage, the names of the files that its videos are kept in.
    """
    made: dict[str, list[list[Video]]] = {stage: [[] for _ in prompts] for stage in names}
    first = next(iter(names))
    batch = _batch(cascade.spec.until(options.until)[-1])
    for noise in range(options.noises):
        for start in range(0, len(prompts), batch):
            part = range(start, min(start + batch, len(prompts)))
            texts = [prompts[i].text for i in part]
            asked = hashlib.sha256(json.dumps([texts, noise, *part]).encode()).hexdigest()[:12]
            files = {stage: options.out / f"{name}-{asked}.npz" for stage, name in names.items()}
            if not all(file.exists() for file in files.values()):
                given = _passed_on(first, files[first]) if len(files) > 1 else None
                for now in cascade.stream(texts, seed=noise, samples=part, until=options.until, start=given):
                    if now.done:
                        _keep(files[now.stage], now, whole=now.stage == first)
            for stage, file in files.items():
                stored = np.load(file)
                for i, frames in zip(part, stored["frames"], strict=True):
                    made[stage][i].append(Video(frames, float(stored["fps"])))
    return made


def _batch(last: StageSpec) -> int:
    """How many videos are made together."""
    pixels = last.shape.frames * last.shape.height * last.shape.width
    return min(BATCH, max(1, TOGETHER // pixels))


def _passed_on(stage: str, file: Path) -> Start | None:
    """What the stage handed to the next one, if it was kept."""
    if not file.exists():
        return None
    with np.load(file) as stored:
        return Start(stage=stage, video=torch.from_numpy(stored["x"]))


def _keep(file: Path, progress: Progress, whole: bool) -> None:
    """Write what a stage made, reduced to what is judged, and `whole` as well; the file appears whole or not at all."""
    shape = progress.shape
    less = max(1, shape.frames // FRAMES)
    height = min(shape.height, HEIGHT)
    size = VideoShape(
        frames=shape.frames // less, height=height, width=shape.width * height // shape.height, fps=shape.fps / less
    )
    videos = [Video.from_tensor(x, size.fps) for x in degrade(progress.x_hat.clamp(-1, 1).float().cpu(), size)]
    partial = file.with_name(f".{file.stem}.partial.npz")
    also = {"x": progress.x_hat.clamp(-1, 1).float().cpu().numpy()} if whole else {}
    np.savez_compressed(partial, frames=np.stack([video.frames for video in videos]), fps=np.asarray(size.fps), **also)
    os.replace(partial, file)


if __name__ == "__main__":
    main()
