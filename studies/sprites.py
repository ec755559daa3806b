"""Pixel-art characters in combinations that training never showed: which of their attributes are right.

python studies/sprites.py SHEETS

SHEETS is the folder of the Sprites data's sheets, with the folders body, shoes, bottomwear, topwear and hair
(github.com/YingzhenLi/Sprites; CC BY-SA 3.0 or GPL 3.0). Training takes about 45 minutes of a core, measuring ten; an
interrupted study goes on where it was. Pictures in OUT/measured show generated videos, nearest training clips, true
clips, and these blurred and noisy, side by side.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _arms import Arm
from _characters import ATTRIBUTES, EVERY, FRAMES, SIDE, WORN, Characters, Sprites, is_held_out
from _claims import (
    Claim,
    Table,
    above,
    clustered,
    markdown,
    of_one_seed,
    of_shares,
    points,
    share,
    share_interval,
    unit,
)
from _intervals import Interval, by_prompt, over_prompts
from _main import main
from _measured import Json, Kept
from _recipes import painter
from _sampler import Sampler, sampled_with
from _sprites import CLEAR, Columns, blur, chance, clear, films, hits, nearest, read
from _study import Folders, Page, Study
from torch import Tensor

from zoetrope.config.foreign import trusting
from zoetrope.metrics.psnr import decibels, squared_error_of_frames
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.schedules.cosine import Cosine
from zoetrope.shapes import VideoShape
from zoetrope.training.spec import Phase
from zoetrope.video import Video, contact_sheet, save_image

CLIP = VideoShape(frames=FRAMES, height=SIDE // 2, width=SIDE // 2, fps=8)
PHASES = (
    # What layers look like from pictures, how actions go from clips of four frames, then smooth motion.
    Phase(examples=128_000, batch=64, frames=1, peak=2e-3),
    Phase(examples=20_000, batch=16, frames=4, images=0.1, peak=2e-3),
    Phase(examples=8_000, batch=8, images=0.1, peak=1.4e-3),
)
PROMPTS, NOISES, STEPS = 96, 2, 16
SETS = {"familiar": False, "held_out": True}
TOLD = {"familiar": "combinations of the training", "held_out": "held-out combinations"}
MADE, NEAREST, TRUE, SOFT = "generated", "nearest training clip", "true clip", "true clip, blurred and noisy"
SOFTENED, NOISE = 0.6, 0.2  # standard deviations: of the blur in pixels, and of the noise of values in [-1, 1]
CEILING = 60.0  # dB, of a video that equals the true one
LOSS = 0.1  # of the share with everything right, that held-out combinations may have less
LIMIT = "not shown. One training tells nothing of how much another would differ."
SHOWN, ZOOM = 8, 2  # videos in the picture, and pixels of it for one of theirs


def arm(source: Sprites) -> Arm:
    """The training on clips of characters."""
    recipe = painter(
        CLIP,
        PHASES,
        data=source,
        warm_up=3_200,
        cool_down=16_000,
        half_life=400,
        checkpoint_every=4_000,
        keep=2,
        sample_every=40_000,
        log_every=640,
    )
    network = VideoUNetConfig(
        patch=2,
        positions=True,
        fps=CLIP.fps,
        levels=(
            Level(width=64, temporal=("attention",)),
            Level(width=192, blocks=3, spatial_attention=True, text_attention=True, temporal=("attention",)),
        ),
    )
    recipe = recipe.override("base.network", network.to_json())
    return Arm(recipe.override("base.schedule", Cosine(shift=-3.0).to_json()))


def softened(videos: Tensor) -> Tensor:
    """Videos as a mediocre model might draw them."""
    spread, draw = blur(videos.shape[-1], SOFTENED), torch.Generator().manual_seed(0)
    return spread @ videos @ spread.T + NOISE * torch.randn(videos.shape, generator=draw)


def generated(folder: Path, told: Sequence[str]) -> list[Tensor]:
    """Videos (B, 3, F, H, W) that a run makes of captions, once for each noise."""
    with trusting(Sprites.__module__):
        sampler = Sampler.of_run(folder)
    return [sampler(told, seed=noise, stage=sampled_with(sampler.stage, steps=STEPS)) for noise in range(NOISES)]


def judged(characters: Characters, videos: Tensor, asked: np.ndarray) -> Columns:
    """What is right in videos (R * B, 3, F, H, W) of combinations (B, 6), R times, and their PSNR."""
    times = len(videos) // len(asked)
    error = squared_error_of_frames(videos, films(characters, asked, CLIP.height).repeat(times, 1, 1, 1, 1)).mean(1)
    shown = hits(read(characters, videos), np.tile(asked, (times, 1)))
    return {**shown, "psnr": decibels(error).clamp(max=CEILING).tolist()}


def of_set(source: Sprites, folder: Path, held_out: bool, picture: Path) -> Json:
    """What videos of held-out combinations show, or of those of the training, and what comes close to them.

    By way tables (R, PROMPTS), and how many attributes the nearest training clips lack; some videos as a picture.
    """
    data, side = source.open(), CLIP.height
    characters = data.characters
    among = characters.drawn(held_out=True, seed=source.seed) if held_out else data.chosen
    asked = clear(characters, among, PROMPTS, side)
    like = nearest(data.chosen, asked)
    made, true = generated(folder, [characters.told(one) for one in asked.tolist()]), films(characters, asked, side)
    ways = {MADE: made, NEAREST: [films(characters, like, side)], TRUE: [true], SOFT: [softened(true)]}
    picture.parent.mkdir(parents=True, exist_ok=True)
    save_image(picture, sheet([each[0] for each in ways.values()]))
    columns = judged(characters, torch.cat([videos for each in ways.values() for videos in each]), asked)
    names = [way for way, each in ways.items() for _ in each]
    tables = {key: [values[n : n + PROMPTS] for n in range(0, len(values), PROMPTS)] for key, values in columns.items()}
    found = {
        way: {key: [row for name, row in zip(names, rows, strict=True) if name == way] for key, rows in tables.items()}
        for way in ways
    }
    return {**found, "lacking": (like != asked).sum(1).tolist()}


def sheet(ways: Sequence[Tensor]) -> np.ndarray:
    """The first videos of each way, side by side and enlarged, (H, W, 3) uint8."""
    large = [videos[:SHOWN].repeat_interleave(ZOOM, -1).repeat_interleave(ZOOM, -2) for videos in ways]
    strips = [Video.from_tensor(video, CLIP.fps) for row in zip(*large, strict=True) for video in row]
    return contact_sheet(strips, columns=len(ways), picks=4)


def measure(source: Sprites, folders: Folders, kept: Kept) -> Json:
    """What videos of either kind of combination show, their nearest training clips, true clips, and a guess."""
    folder = folders["characters"][0]
    sets = {
        name: kept(name, partial(of_set, source, folder, held_out, kept.folder / f"{name}.png"))
        for name, held_out in SETS.items()
    }
    return {"sets": sets, "chance": chance(source.counts)}


def of_six(one: Json) -> Interval:
    """The share of the six attributes that is right, with Wilson's interval of all of them, clustered by prompt."""
    found = clustered([row for name in ATTRIBUTES for row in one[name]])
    return Interval(found.value, found.low, found.high)


def cells(one: Json) -> list[str]:
    """What is right of each attribute, which share of them, and all: with intervals clustered by prompt."""
    own = {key: f"{share(one[key])} ({share_interval(one[key])})" for key in (*ATTRIBUTES, "all")}
    six = of_six(one)
    return [*(own[name] for name in ATTRIBUTES), f"{six.value:.1%} ({six.low:.0%} to {six.high:.0%})", own["all"]]


def claims_of(sets: Json, guessed: Json) -> list[Claim]:
    """What is claimed: that words were learnt, and that their combinations are more than those of the training.

    Intervals are of this one network, over prompts.
    """
    familiar, apart = sets["familiar"][MADE], sets["held_out"]
    learnt = Claim(
        "combinations of the training: more of the six attributes are right than by chance",
        above(of_six(familiar), guessed["attributes"]),
        points,
        precondition=True,
    )
    testable = learnt.verdict == "shown"
    like = {key: apart[NEAREST][key] * NOISES for key in ("attributes", "psnr")}
    return [
        learnt,
        of_shares(
            "held-out combinations: more of the six attributes are right than in the nearest training clip",
            apart[MADE]["attributes"],
            like["attributes"],
        )._replace(testable=testable),
        Claim(
            "held-out combinations: nearer to the true clip than the nearest training clip is",
            over_prompts(by_prompt(apart[MADE]["psnr"], like["psnr"])),
            unit("dB"),
            testable=testable,
        ),
        of_shares(
            f"all six right: no more than {LOSS:.0%} fewer of held-out combinations than of those of the training",
            apart[MADE]["all"],
            familiar["all"],
            beyond=-LOSS,
        )._replace(testable=testable),
    ]


def page(numbers: Json) -> Page:
    """The findings and the plot."""
    sets, guessed = numbers["sets"], numbers["chance"]
    learnt, *compared = claims_of(sets, guessed)
    notes = "\n\n".join([alone(compared), independent(sets), lacking(sets["held_out"])])
    rows = [["combinations", "video", *ATTRIBUTES, "of the six", "all six", "PSNR, dB"]]
    for name, held_out in SETS.items():
        for way in (MADE, NEAREST, SOFT, TRUE):
            one = sets[name][way]
            near = f"{mean(one['psnr']):.1f}" if way == MADE or (way == NEAREST and held_out) else ""
            rows.append([TOLD[name], way, *cells(one), near])
    rows.append(["", "chance", *(f"{guessed[key]:.1%}" for key in (*ATTRIBUTES, "attributes", "all")), ""])
    claims = [learnt, *map(of_one_seed, compared)]
    return Page(claims, rows, partial(draw, sets, guessed), notes, limit=LIMIT)


def alone(compared: Sequence[Claim]) -> str:
    """How sure each difference is of this one network, as a table."""
    return markdown(
        [["of this training alone", "estimate", "95 % interval over prompts"], *(one.row()[:3] for one in compared)]
    )


def independent(sets: Json) -> str:
    """Whether attributes are right independently of each other, in words."""
    told = []
    for name, of in TOLD.items():
        one = sets[name][MADE]
        product = float(np.prod([mean(one[attribute]) for attribute in ATTRIBUTES]))
        told.append(f"{product:.1%} of {of}, where {mean(one['all']):.1%} are")
    return f"If attributes were right independently of each other, all six would be in {', and in '.join(told)}."


def lacking(held_out: Json) -> str:
    """What is right of held-out combinations, by how many attributes their nearest training clips lack, as a table."""
    rows = [["attributes that the nearest training clip lacks", "prompts", "of the six", "all six"]]
    for count in sorted(set(held_out["lacking"])):
        own = [number for number, lacks in enumerate(held_out["lacking"]) if lacks == count]
        part = {key: [[row[n] for n in own] for row in held_out[MADE][key]] for key in ("attributes", "all")}
        found = f"{share(part['all'])} ({share_interval(part['all'])})"
        rows.append([str(count), str(len(own)), share(part["attributes"]), found])
    return markdown(rows)


def draw(sets: Json, guessed: Json, axes: Any) -> None:
    """Shares of each attribute, and of all, with intervals."""
    bars = [
        ("familiar", MADE, "C0", "generated, combinations of the training"),
        ("held_out", MADE, "C1", "generated, held-out combinations"),
        ("held_out", NEAREST, "grey", "nearest training clips of these"),
    ]
    for axis, keys in zip(axes, (WORN, (*ATTRIBUTES[len(WORN) :], "all")), strict=True):
        for number, (name, way, colour, label) in enumerate(bars):
            found = [clustered(sets[name][way][key]) for key in keys]
            places = [place + 0.27 * (number - 1) for place in range(len(keys))]
            reach = [[each.value - each.low for each in found], [each.high - each.value for each in found]]
            axis.bar(places, [each.value for each in found], 0.25, color=colour, label=label)
            axis.errorbar(places, [each.value for each in found], reach, fmt="none", ecolor="black", linewidth=1)
        for place, key in enumerate(keys):
            axis.plot([place - 0.4, place + 0.4], [guessed[key]] * 2, color="black", linestyle=":")
        axis.set_xticks(range(len(keys)), [key.replace("all", "all six") for key in keys])
        axis.set(ylim=(0, 1.3), yticks=[0, 0.25, 0.5, 0.75, 1], ylabel="share right; dotted: chance")
    axes[0].legend(frameon=False, fontsize=7, loc="upper left")


def mean(table: Table) -> float:
    """The mean of all values of a table."""
    return sum(map(sum, table)) / sum(map(len, table))


def study(sheets: Path) -> Study:
    """The study on the sheets in a folder."""
    source = Sprites(sheets=str(sheets.absolute()))
    return STUDY._replace(arms={"characters": arm(source)}, measure=partial(measure, source))


def lengths(phase: Phase) -> str:
    """What a phase shows, in words."""
    return "pictures" if phase.frames == 1 else f"clips of {phase.frames or CLIP.frames} frames"


SOURCE = Sprites(sheets="SHEETS")
COUNTS = SOURCE.counts
COMBINATIONS, HELD_OUT = int(np.prod(COUNTS)), int(is_held_out(COUNTS).sum())
STUDY = Study(
    name="sprites",
    title="Characters in combinations that training never showed",
    finding="diffusion models put together what they saw apart: a model that is told the attributes of pictures makes "
    "combinations that no training picture has, and is as good at them as the product of what it can do of each "
    "attribute (Okawa et al. 2023, arXiv:2310.09336). Li and Mandt (2018, arXiv:1803.02991) made videos of these "
    "characters first, without captions.",
    design={
        "characters": f"the Sprites data: a body ({COUNTS[0]}), hair ({COUNTS[1]}), clothes above ({COUNTS[2]}) and "
        f"below ({COUNTS[3]}), in {COUNTS[4]} actions seen from {COUNTS[5]} directions: {COMBINATIONS:,} combinations. "
        f"Layers are composed at full size and shrunk to {CLIP.height}x{CLIP.width} by means over 2x2 pixels; "
        f"{CLIP.frames} frames",
        "held out": f"of each two layers every {EVERY}th pair of values. {HELD_OUT:,} combinations have such a pair "
        "and are in no training clip; each value is in many, in all actions and from all directions",
        "training": f"{SOURCE.clips:,} clips of other combinations with captions such as *a pale man with "
        "red hair, chain mail and teal trousers, walking, facing left*. "
        + ", then ".join(f"{phase.examples:,} {lengths(phase)}" for phase in PHASES)
        + ". Muon, v prediction, weights averaged; text by all-MiniLM-L6-v2",
        "judged": f"{PROMPTS} combinations of each kind in which every layer is clearly seen (any other value of it is "
        f"a squared error of {CLEAR:g} or more away, summed over the video), {NOISES} clips each, {STEPS} steps of "
        "DDIM, guidance 2",
        "reader": f"compares a video with all {COMBINATIONS:,} combinations, sharp and blurred, by squared error over "
        "all pixels of all frames, and says the nearest; nothing in it is learnt",
        "baselines": "the training clip that has most of the asked attributes (of several the first), which of a "
        "held-out combination never has all; true clips, which show the most that can be read; true clips with a blur "
        f"of {SOFTENED:g} pixels and noise of {NOISE:g}; chance",
        "intervals": "of the claims none, as the network was trained once. Of this training alone, clustered by "
        "prompt: Wilson's of shares, that of the six among them, and Student's over prompts of differences "
        "(`studies/README.md`). They do not cover what another training would give",
    },
    arms={"characters": arm(SOURCE)},
    measure=partial(measure, SOURCE),
    page=page,
    doubts={
        "Is the reader fair to soft videos?": "It compares with blurred combinations too, and the row of blurred and "
        "noisy true clips shows what it then reads. It always says something: a video without any character counts as "
        "a guess, and is right by chance.",
        "Can the nearest clip be beaten by luck?": "It lacks at least one attribute of six, and has the rest without "
        "any fault. Whoever is above it has put together what it was never shown; a model that copied training clips "
        "would not be.",
        "Is this hard?": "Less than with photographs: layers are drawn apart, and lie in the same place in all clips "
        "of an action. Actions and directions are not held out, as no clip would tell what they look like together.",
        "Would another training do the same?": "Unknown: one network, trained once, so nothing is shown. Intervals of "
        "this training alone are over prompts and noises.",
    },
    moves="three seeds; fewer pairs in the training, down to where combinations fail; another order of the words in "
    "the caption.",
    seeds=(0,),
    given="SHEETS",
)

if __name__ == "__main__":
    main(STUDY, study)
