"""A text-to-video model that never saw text with its video: what it shows, how smoothly, and what it makes between.

    python benchmarks/score_make_a_video.py --model runs/mav --out runs/score_mav --features FILE
    python benchmarks/score_make_a_video.py --model runs/mav/base runs/prior --out runs/score_mav --parts content

Prompts are those that combine a colour with a shape that no training picture shows so, told as pictures are: without a
motion, of which the model never read. "content": whether the recogniser names the colour, the shape and, where the
prompt tells it, the background. "motion": how smoothly things move, as ratios to true clips of the same prompts:

- path error: how far the places that the recogniser sees are from the nearest course of toybox: rest, travel, orbit
  or bounce (root mean square, frame heights);
- shake: how far they are from the smooth path through the places before and after (the same);
- flicker: how far frames are from the mean of their neighbours, a share of the range;
- way: how far a thing moves in all: a video that stands still has no flicker.

True clips of other prompts say what is right by chance, true clips with their frames in another order what no motion
at all amounts to.

"interpolation": the 16 frames of a true clip, 3 a second, become 76, 15 a second, by scheme `interpolation`, without
text and with the picture embedding of the first one. The 60 new ones are compared with those of the clip beside a
cross-fade, by PSNR (up to 50 dB) and with --features by MobileNetV2's features. The clips show the same unseen
combinations, or with --clips-of seen what training shows; --clips-guidance sets another weight of guidance.

Intervals hold 95 % and are clustered by prompt; that of "further combinations" is by combination. An aim counts as
reached if all of the interval reaches it.

Prints the tables; writes table.md, scores.json and sheets of pictures. Videos are kept: started again after it was
stopped, it goes on.
"""

import argparse
import hashlib
import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _making import key, videos_of
from _moving import (
    CHANCE,
    MEASURES,
    SHUFFLED,
    TRUE,
    WAY,
    above,
    against,
    arguments_of,
    mean_told,
    movement,
    opened,
    shuffled,
    true_clip,
    true_clips,
    within,
)
from _options import positive
from _scores import lines, reached, share_told, weights_of, write_scores, write_whole
from score_image import SETS, Asked, Judged, others, summary, unseen
from score_known import CEILING, decibels, mean, tensor_of

from zoetrope.cascade.grid import on_grid
from zoetrope.cascade.long.blocks import Rollout
from zoetrope.cascade.long.frames import Frames
from zoetrope.cascade.long.journal import Journal
from zoetrope.cascade.sample import Draw
from zoetrope.cascade.spec import StageSpec
from zoetrope.cascade.tuning import Tuning, tuned
from zoetrope.conditioning import Conditioning
from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.inputs.picture import NAME as PICTURE
from zoetrope.layers.fused import fused
from zoetrope.metrics.features import FeatureNetwork, feature_distance
from zoetrope.metrics.features.mobilenet_v2 import MobileNetV2
from zoetrope.metrics.recogniser import recognise
from zoetrope.models.asking import conditioning_of
from zoetrope.models.beside import left_open
from zoetrope.models.cascade import Cascade
from zoetrope.models.opening import OpenModel
from zoetrope.models.texts import encoded
from zoetrope.networks import Network
from zoetrope.schemes.interpolation import Interpolation
from zoetrope.video import Video, contact_sheet, save_image

PARTS = ("content", "motion", "interpolation")
AIM, NEAR = {"colour": 0.90, "shape": 0.90}, 0.25
NONE = "not measured"  # of an aim: no video shows what it is about
BETWEEN = "interpolation"
SKIP = 5  # Make-A-Video's: 16 frames become 76
ASPECTS = ("colour", "shape", "background", "colour and shape")


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate, judge, write. Raises ValueError for a model of pictures."""
    parser = arguments_of(__doc__)
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--clips", type=positive, default=32, help="true clips that are interpolated")
    parser.add_argument("--clips-of", choices=("unseen", "seen"), default="unseen", help="what these show")
    parser.add_argument("--clips-guidance", type=float, help="guidance weight of the stage that interpolates")
    parser.add_argument("--features", type=Path, metavar="FILE", help="weights of MobileNetV2, for a feature distance")
    options = parser.parse_args(arguments)
    model, cascade = opened(options.model, options.steps)
    options.out.mkdir(parents=True, exist_ok=True)
    scores: dict[str, Any] = {}
    if {"content", "motion"} & set(options.parts):
        scores |= generated(model, cascade, options)
    if "interpolation" in options.parts:
        scores[_between_what(options)] = interpolation(model, cascade, options)
    every = write_scores(options.out, model, cascade.dtype, scores)
    write_whole(options.out / "table.md", table(every) + "\n")
    print(table(scores), flush=True)


def generated(model: OpenModel, cascade: Cascade, options: argparse.Namespace) -> dict[str, Any]:
    """The scores of "content" and "motion" after every stage."""
    prompts = unseen(options.prompts)
    stages = [stage for stage in model.spec.until(options.until) if not stage.makes_vectors]
    names = {stage.name: f"video-{key(model, cascade, stage.name)}" for stage in stages}
    videos = videos_of(cascade, [one.text for one in prompts], options, names)
    content, motion = {stage: judged(prompts, made) for stage, made in videos.items()}, dict[str, Any]()
    true = {stage.name: true_clips([one.script for one in prompts], options.noises, stage.shape) for stage in stages}
    last = stages[-1].name
    content[TRUE] = judged(prompts, true[last])
    if len(prompts) > 1:
        content[CHANCE] = judged(prompts, others(true[last]))
    if "motion" in options.parts:
        for stage, clips in true.items():
            usual = moved(clips)
            motion[stage] = against(moved(videos[stage]), usual)
        mixed = [[shuffled(one, number) for one in several] for number, several in enumerate(true[last])]
        motion |= {TRUE: against(usual, usual), SHUFFLED: against(moved(mixed), usual)}
    some = [one for row in zip(true[last][:8], videos[last][:8], strict=True) for one in (row[0][0], *row[1][:2])]
    save_image(options.out / "videos.png", contact_sheet(some, 1, picks=8))
    return {name: told for name, told in (("content", content), ("motion", motion)) if name in options.parts}


def judged(prompts: Sequence[Asked], videos: Sequence[Sequence[Video]]) -> dict[str, Any]:
    """The share of videos that show what their prompt tells."""
    found = []
    for number, (one, several) in enumerate(zip(prompts, videos, strict=True)):
        for video in several:
            shown = recognise(video.frames, video.fps)
            saw = {aspect: getattr(shown, aspect) for aspect in one.aspects}
            found.append(Judged(number, one.truth, saw, one.pairs, one.words))
    return summary(found)


def moved(videos: Sequence[Sequence[Video]]) -> list[list[dict[str, Any]]]:
    """How every video moves."""
    return [[movement(one) for one in several] for several in videos]


def _between_what(options: argparse.Namespace) -> str:
    """The name of the scores of interpolation, which tells the clips and the weight if they are not the usual ones."""
    weight = options.clips_guidance
    clips = "" if options.clips_of == "unseen" else f", {options.clips_of} clips"
    return f"{BETWEEN}{clips}" + ("" if weight is None else f", guidance {weight:g}")


def interpolation(model: OpenModel, cascade: Cascade, options: argparse.Namespace) -> dict[str, Any]:
    """How near the frames between the known ones are to those of true clips: the model's, and a cross-fade's."""
    prompts, own = SETS[options.clips_of](options.clips), model.spec.videos[0].shape
    weight, first = options.clips_guidance, model.spec.videos[0].name
    fields = [] if weight is None else [(f"{first}.sampling.guidance.weight", weight)]
    stage = on_grid(tuned(model.spec, Tuning(fields=fields)), fps=own.fps * SKIP).videos[0]
    shape = stage.shape.with_(frames=(own.frames - 1) * SKIP + 1)
    extractor = None if options.features is None else MobileNetV2(weights=str(options.features)).open(cascade.device)
    own_weights, more = weights_of(model, stage), left_open(model, [stage])
    settings = [options.clips_of, stage.to_json(), str(cascade.device), str(cascade.dtype), own_weights]
    settings += [more] if more else []
    name = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:12]
    network = fused(model.network(stage).eval().to(cascade.device), channels_last=True)
    cache = None if model.spec.text is None else EmbeddingCache(model.spec.text, None, cascade.device)
    values: dict[str, list[tuple[float, int]]] = defaultdict(list)
    sheet: list[Video] = []
    for number, one in enumerate(prompts):
        clip = true_clip(one.script, number, shape)
        given = partial(asked, cascade, cache, one, clip)
        faded = Video(fade(clip.frames, SKIP), clip.fps)
        plain = apart(faded, clip, extractor)
        still = one.script.motion == "still"
        for noise in range(options.noises):
            file = (
                options.out / f"between-{name}-{hashlib.sha256(one.text.encode()).hexdigest()[:8]}-{number}-{noise}.npz"
            )
            if not file.exists():
                draw = Draw(seed=noise, samples=[number], device=cascade.device, dtype=cascade.dtype)
                _keep(file, between(stage, network, given, clip, draw))
            video = Video(np.load(file)["frames"], clip.fps)
            for what, value in apart(video, clip, extractor).items():
                values[f"model, {what}"].append((value, number))
                values[f"cross-fade, {what}"].append((plain[what], number))
                values[f"model - cross-fade, {what}"].append((value - plain[what], number))
                if not still:
                    values[f"model - cross-fade, {what}, moving"].append((value - plain[what], number))
        if number < 6:
            sheet += [clip, faded, video]
    save_image(options.out / "interpolation.png", contact_sheet(sheet, 1, picks=12))
    return {own: mean(numbers) for own, numbers in sorted(values.items())}


def asked(cascade: Cascade, cache: EmbeddingCache | None, one: Asked, clip: Video, stage: StageSpec) -> Conditioning:
    """What the stage is told of a clip: the embedding of its first frame and no text; where it reads none, the text."""
    seen = any(each.name == PICTURE for each in stage.inputs)
    text, _ = encoded(cascade.spec, cache, [None if seen else one.text], None, cascade.device)
    picture = {PICTURE: Video(clip.frames[:1], clip.fps)} if seen else {}
    return text | conditioning_of(stage, picture, 1).to(cascade.device, torch.float32)


def between(
    stage: StageSpec, network: Network, given: Callable[[StageSpec], Conditioning], clip: Video, draw: Draw
) -> Video:
    """The clip with all but every fifth frame made anew; `given` tells the stage of it at the rate of a block."""
    shape = stage.shape.with_(frames=len(clip.frames))
    known = tuple(range(0, len(clip.frames), SKIP))
    with tempfile.TemporaryDirectory() as folder:
        frames = Frames(path=Path(folder) / "frames.raw", shape=shape)
        frames.write(known, tensor_of(clip.frames[list(known)]))
        scheme = Interpolation(skip=SKIP)
        rollout = Rollout(stage=stage, given=given, draw=draw, scheme=scheme, frames=frames, known=known)
        for _ in rollout.run(lambda: network, Journal.begin(Path(folder) / "journal", {}, resume=False)):
            pass
        return Video.from_tensor(frames.read(range(len(clip.frames))), clip.fps)


def fade(frames: np.ndarray, skip: int) -> np.ndarray:
    """The clip (F, H, W, 3) uint8 with all but every skip-th frame faded from those around it."""
    place = np.arange(len(frames))
    share = (place % skip / skip)[:, None, None, None]
    before = place - place % skip
    after = np.minimum(before + skip, before[-1])
    return np.asarray((frames[before] * (1 - share) + frames[after] * share).round(), np.uint8)


def apart(video: Video, clip: Video, extractor: FeatureNetwork | None) -> dict[str, float]:
    """The PSNR of the frames that were not known, and the distance of their features."""
    new = np.arange(len(clip.frames)) % SKIP != 0
    one, other = video.frames[new], clip.frames[new]
    found = {"PSNR": min(decibels(one, other), CEILING)}
    if extractor is not None:
        found["features"] = feature_distance(extractor, tensor_of(one)[None], tensor_of(other)[None]).value
    return found


def _keep(file: Path, video: Video) -> None:
    """Write the frames; the file appears whole or not at all."""
    unfinished = file.with_name(f".{file.stem}.unfinished.npz")
    np.savez_compressed(unfinished, frames=video.frames)
    unfinished.replace(file)


def table(scores: dict[str, Any]) -> str:
    """All tables."""
    parts = []
    if content := scores.get("content"):
        parts += _content(content)
    if motion := scores.get("motion"):
        parts += _motion(motion)
    for kind in (kind for kind in scores if kind.startswith(BETWEEN)):
        told = scores[kind]
        rows = [(name, mean_told(value)) for name, value in told.items()]
        better = {what: 1 if what == "PSNR" else -1 for what in ("PSNR", "features")}
        for what, sign in better.items():
            for which in (what, f"{what}, moving"):
                if (value := told.get(f"model - cross-fade, {which}")) is not None:
                    rows.append((f"better than a cross-fade, {which}", above(value, sign)))
        parts.append(lines((f"{kind}, 16 to 76", "mean"), rows))
    return "\n\n".join(parts)


def _content(content: dict[str, Any]) -> list[str]:
    rows = []
    for row, told in content.items():
        cells = (share_told(told["aspects"].get(aspect)) for aspect in ASPECTS)
        rows.append((row, f"{told['prompts']} x {told['pictures'] // told['prompts']}", *cells))
        new = (share_told(told["by what is new"].get(aspect)) for aspect in ASPECTS)
        rows.append((f"{row}: of further combinations", "", *new))
    aims = [
        (row, f"{aspect} {100 * aim:.0f} %", share_told(told["aspects"][aspect]), reached(told["aspects"][aspect], aim))
        for row, told in content.items()
        if row not in (TRUE, CHANCE)
        for aspect, aim in AIM.items()
    ]
    return [
        lines(("videos", "number", *ASPECTS), rows),
        lines(("videos", "aim", "measured", "reached"), aims),
    ]


def _motion(motion: dict[str, Any]) -> list[str]:
    rows, aims = [], []
    for row, told in motion.items():
        for name in (*MEASURES, WAY):
            one = told["measures"].get(name)
            counted = f"{one['ratio']['samples'] if one else 0} of {told['videos']}"
            cells = (mean_told(one and one[kind], 3) for kind in ("mean", "ratio", "at equal motions"))
            rows.append((row, name, counted, *cells))
            if row not in (TRUE, SHUFFLED) and name != WAY:
                near = (within(one[kind], NEAR) if one else NONE for kind in ("ratio", "at equal motions"))
                aims.append((row, f"{name} within {100 * NEAR:.0f} % of true clips'", *near))
    heads = ("videos", "measure", "measured", "mean", "ratio to true clips", "at equal motions")
    return [lines(heads, rows), lines(("videos", "aim", "reached", "at equal motions"), aims)]


if __name__ == "__main__":
    main()
