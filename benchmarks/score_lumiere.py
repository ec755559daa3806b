"""A model that makes 80 frames in one pass: the motions that it is told, the seams of its windows, and regularity.

    python benchmarks/score_lumiere.py --model runs/lumiere --out runs/score_lumiere
    python benchmarks/score_lumiere.py --model runs/lumiere/base --out runs/score_lumiere --parts captions

"captions": whether the recogniser names the colour, the shape and the motion of prompts that combine what training
never combines, after every stage.

"seams": how much more the videos of the stage that works in windows change where windows end than elsewhere, 1 where
nothing shows of them: with its own windows, which overlap and are averaged at every step (MultiDiffusion), with plain
ones that do not overlap, and with none. All three enlarge the same videos, with the same noise. Windows of one kind end
elsewhere than those of another, where more or less may happen in the clip; "beyond no windows" is what is left after
the seam energy of the video without windows at the same places is taken off. Videos that hardly change are left out.

"regularity": of prompts that spin or bounce, how regularly they do over the first five seconds, from 0 to 1: for a
bounce the highest peak of the autocorrelation of the places that the recogniser sees, for a spin that of the
periodogram of its angles. Beside them stand videos of the same prompts from a cascade that makes few frames first and
those between them later (--other mini, up to stage --other-until), true clips, and true clips with their frames in
another order. A video of which an object is seen in less than 60 % of the frames has a regularity of 0.

Intervals hold 95 %: shares are clustered by combination, differences by prompt. An aim counts as reached if all of the
interval reaches it.

Prints the tables; writes table.md, scores.json and sheets of pictures. Videos are kept: started again after it was
stopped, it goes on.
"""

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np
from _judging import summary, verdicts
from _making import key, videos_of
from _moving import (
    CHANCE,
    SHUFFLED,
    TRUE,
    Clips,
    above,
    arguments_of,
    cascade_of,
    mean_told,
    opened,
    shuffled,
    true_clips,
)
from _options import positive
from _scores import counted, lines, reached, share_told, write_scores, write_whole
from score_image import others
from score_known import mean

from zoetrope.cascade.spec import StageSpec
from zoetrope.cascade.tuning import Tuning, tuned
from zoetrope.cascade.windows import Windows
from zoetrope.data.toybox.prompts import Prompt, combinations
from zoetrope.metrics.recogniser import follow, recognise
from zoetrope.metrics.recogniser.silhouette import PERIODS
from zoetrope.metrics.seams import seam_energy
from zoetrope.metrics.steadiness import evenness, repetition, together
from zoetrope.models.opening import OpenModel
from zoetrope.shapes import VideoShape
from zoetrope.video import Video, contact_sheet, save_image
from zoetrope.video.resample import degrade

PARTS = ("captions", "seams", "regularity")
MULTI, PLAIN, WHOLE = "MultiDiffusion", "plain windows", "no windows"
AIM = 0.80  # of motions
MOST = 128  # frames of a video that are kept
SECONDS, RATE = 5.0, 16.0  # in which regularity is measured, and how often a second
SEEN = 0.6  # the least share of frames that show the object
FLAT = 1e-6  # mean squared change of a frame below which a video stands still


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate, judge, write. Raises ValueError for a model of pictures."""
    parser = arguments_of(__doc__)
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seams", type=positive, default=32, help="prompts whose seams are measured")
    parser.add_argument("--repeating", type=positive, default=32, help="prompts that spin or bounce, half of them each")
    parser.add_argument("--other", nargs="+", default=["mini"], help="the cascade that regularity is compared with")
    parser.add_argument("--other-until", default="tsr3", help="its last stage")
    options = parser.parse_args(arguments)
    model, cascade = opened(options.model, options.steps)
    options.out.mkdir(parents=True, exist_ok=True)
    scores: dict[str, Any] = {}
    if "captions" in options.parts:
        scores["captions"] = captions(model, options)
    if "seams" in options.parts:
        if (stage := windowed(model)) is None:
            print("seams: no stage of the model works in windows; left out", flush=True)
        else:
            scores["seams"] = seams(model, stage, options)
    if "regularity" in options.parts:
        scores["regularity"] = regularity(model, options)
    every = write_scores(options.out, model, cascade.dtype, scores)
    write_whole(options.out / "table.md", table(every) + "\n")
    print(table(scores), flush=True)


def made(model: OpenModel, prompts: Sequence[Prompt], options: argparse.Namespace, name: str) -> dict[str, Clips]:
    """Videos of the prompts after every stage; `name` begins the names of their files."""
    cascade = cascade_of(model)
    stages = [stage.name for stage in model.spec.until(options.until) if not stage.makes_vectors]
    names = {stage: f"{name}-{key(model, cascade, stage)}" for stage in stages}
    return videos_of(cascade, [prompt.text for prompt in prompts], options, names, MOST)


def captions(model: OpenModel, options: argparse.Namespace) -> dict[str, Any]:
    """What is seen in videos of held-out combinations, after every stage and in true clips."""
    prompts = combinations(options.prompts)
    videos = made(model, prompts, options, "combinations")
    last = model.spec.stage(list(videos)[-1])
    true = true_clips([one.script for one in prompts], options.noises, last.shape)
    some = [one for row in zip(true[:8], videos[last.name][:8], strict=True) for one in (row[0][0], *row[1][:2])]
    save_image(options.out / "videos.png", contact_sheet(some, 1, picks=10))
    rows = {**videos, TRUE: true} | ({CHANCE: others(true)} if len(prompts) > 1 else {})
    return {row: summary(verdicts("combinations", prompts, clips)) for row, clips in rows.items()}


def windowed(model: OpenModel) -> StageSpec | None:
    """The last stage that works in windows."""
    return next((one for one in reversed(model.spec.videos) if one.sampling.windows is not None), None)


def seams(model: OpenModel, stage: StageSpec, options: argparse.Namespace) -> dict[str, Any]:
    """The seam energy of each kind of windows, and how they differ, video by video."""
    prompts = combinations(options.seams)
    own = stage.sampling.windows
    assert own is not None
    ways: dict[str, Windows | None] = {MULTI: own, PLAIN: own.with_(overlap=0, overlap_pixels=0), WHOLE: None}
    asked = argparse.Namespace(**{**vars(options), "until": stage.name})
    videos: dict[str, Clips] = {}
    for way, windows in ways.items():
        field = (f"{stage.name}.sampling.windows", None if windows is None else windows.to_json())
        other = model._replace(spec=tuned(model.spec, Tuning(fields=[field])))
        videos[way] = made(other, prompts, asked, "combinations")[stage.name]
    videos[TRUE] = true_clips([one.script for one in prompts], options.noises, stage.shape)
    values: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for number in range(len(prompts)):
        for noise in range(options.noises):
            found = energies({way: clips[number][noise] for way, clips in videos.items()}, own, ways[PLAIN] or own)
            for name, value in found.items():
                values[name].append((value, number))
    save_image(options.out / "seams.png", contact_sheet([videos[way][0][0] for way in videos], 1, picks=20))
    return {name: mean(numbers) for name, numbers in values.items()}


def energies(videos: Mapping[str, Video], own: Windows, plain: Windows) -> dict[str, float]:
    """The seam energies of one prompt's videos, made in different ways, and their differences; none if one is still."""
    tensors = {way: together([video.frames]) for way, video in videos.items()}
    if any(float(one.diff(dim=2).square().mean()) < FLAT for one in tensors.values()):
        return {}
    ends = {MULTI: own, PLAIN: plain}
    at = {(way, kind): float(seam_energy(one, ends[kind])[0]) for way, one in tensors.items() for kind in ends}
    if not all(np.isfinite(value) for value in at.values()):
        return {}
    told = {MULTI: at[MULTI, MULTI], PLAIN: at[PLAIN, PLAIN], f"{MULTI} - {PLAIN}": at[MULTI, MULTI] - at[PLAIN, PLAIN]}
    beyond = {way: at[way, way] - at[WHOLE, way] for way in ends}
    told |= {f"{way}, beyond no windows": value for way, value in beyond.items()}
    told[f"{MULTI} - {PLAIN}, beyond no windows"] = beyond[MULTI] - beyond[PLAIN]
    return told | {f"{way}, where {kind} end": at[way, kind] for way in (WHOLE, TRUE) for kind in ends}


def repeating(number: int) -> list[Prompt]:
    """Prompts of held-out combinations, in turns of a thing that spins and one that bounces."""
    for more in count(1):
        found = combinations(24 * more * number)
        kinds = [[one for one in found if one.script.motion == motion] for motion in ("spin", "bounce")]
        if min(map(len, kinds)) >= (number + 1) // 2:
            break
    return [one for pair in zip(*kinds, strict=False) for one in pair][:number]


def regularity(model: OpenModel, options: argparse.Namespace) -> dict[str, Any]:
    """How regularly things spin and bounce in videos of the model and of another cascade, and in true clips."""
    prompts, first = repeating(options.repeating), model.spec.videos[0]
    one = argparse.Namespace(**{**vars(options), "until": first.name})
    clips: dict[str, Clips] = {first.name: made(model, prompts, one, "repeating")[first.name]}
    other, _ = opened(options.other, None)
    asked = argparse.Namespace(**{**vars(options), "until": other.spec.stage(options.other_until).name})
    beside = f"{'+'.join(options.other)}, {asked.until}"
    videos = made(other, prompts, asked, "repeating")[asked.until]
    clips[beside] = [[reduced(one, first.shape) for one in several] for several in videos]
    clips[TRUE] = true_clips([one.script for one in prompts], options.noises, first.shape)
    clips[SHUFFLED] = [[shuffled(one, number) for one in several] for number, several in enumerate(clips[TRUE])]
    some = [clips[row][number][0] for number in range(min(4, len(prompts))) for row in (TRUE, first.name)]
    save_image(options.out / "repeating.png", contact_sheet(some, 1, picks=10))
    values: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for number, prompt in enumerate(prompts):
        motion = prompt.script.motion
        found = {row: [regular(video, prompt) for video in videos[number]] for row, videos in clips.items()}
        for row, several in found.items():
            for noise, value in enumerate(several):
                values[f"{row}, {motion}"].append((value, number))
                video = clips[row][number][noise]
                if row != SHUFFLED and recognise(video.frames, video.fps).motion == motion:
                    values[f"{row}, {motion}, where it is seen"].append((value, number))
        for pair in zip(found[first.name], found[beside], strict=True):
            for kind in (f"{motion}: ", ""):
                values[f"{kind}{first.name} - {beside}"].append((pair[0] - pair[1], number))
    return {name: mean(numbers) for name, numbers in sorted(values.items())}


def reduced(video: Video, shape: VideoShape) -> Video:
    """The video with frames as small as those of `shape`, so that the recogniser sees both equally well."""
    size = VideoShape(frames=len(video.frames), height=shape.height, width=shape.width, fps=video.fps)
    return Video.from_tensor(degrade(video.to_tensor()[None], size)[0], video.fps)


def regular(video: Video, prompt: Prompt) -> float:
    """How regularly a thing that should spin or bounce does so in the first seconds, from 0 to 1."""
    shape = prompt.script.things[0].shape
    last = round(SECONDS * video.fps)
    frames = video.frames[:last]
    path, turns = follow(frames, video.fps, shape)
    if len(path.times) < SEEN * len(frames):
        return 0.0
    if prompt.script.motion == "spin":
        return evenness(turns, path.times, PERIODS[shape])
    times = np.arange(path.times[0], path.times[-1] + 1e-9, 1 / RATE)
    return repetition(np.stack([np.interp(times, path.times, one) for one in (path.x, path.y)], 1))


def table(scores: Mapping[str, Any]) -> str:
    """All tables."""
    parts = []
    if told := scores.get("captions"):
        parts += _captions(told)
    for name, sign in (("seams", -1), ("regularity", 1)):
        if told := scores.get(name):
            rows = [(row, str(one["samples"]), mean_told(one)) for row, one in told.items()]
            parts.append(lines((name, "videos", "mean"), rows))
            word = "lower" if sign < 0 else "higher"
            better = [(row, above(one, sign)) for row, one in told.items() if " - " in row]
            parts.append(lines((name, f"the first is {word}"), better))
    return "\n\n".join(parts)


def _captions(told: Mapping[str, Any]) -> list[str]:
    aspects, rows = ("colour", "shape", "motion", "all"), []
    for row, one in told.items():
        shares = (share_told(one["aspects"][aspect]) for aspect in aspects)
        rows.append((row, f"{one['prompts']} x {one['videos'] // one['prompts']}", *shares))
    shares = {row: one["aspects"]["motion"] for row, one in told.items() if row not in (TRUE, CHANCE)}
    aims = [(row, f"motion {100 * AIM:.0f} %", share_told(share), reached(share, AIM)) for row, share in shares.items()]
    motions = dict.fromkeys(motion for one in told.values() for motion in one["classes"]["motion"])
    each = []
    for motion in motions:
        counts = (one["classes"]["motion"].get(motion) for one in told.values())
        each.append((f"motion {motion}", *map(counted, counts)))
    return [
        lines(("videos", "number", *aspects), rows),
        lines(("videos", "aim", "measured", "reached"), aims),
        lines(("held-out combinations", *told), each),
    ]


if __name__ == "__main__":
    main()
