"""What an image model is worth to a video model: a base that begins as mini_image against one from scratch.

python studies/image_prior.py

Six trainings of about 6.5 minutes of a core and eighteen measurements of about 40 seconds: 52 minutes in all, reckoned
from the 161 pictures a second of mini_image's training, a third of it for a call, and a quarter more for the temporal
layers. An interrupted study goes on where it was.
"""

from functools import partial
from pathlib import Path
from typing import Any

from _arms import Arm, checkpoints
from _claims import Claim, Table, above, of_trained, points, seeds_interval, share, trained_share
from _judge import CHANCE_MOVING, Columns, filmed, hits
from _main import main
from _measured import Json, Kept
from _recipes import painter
from _sampler import Sampler, sampled_with
from _study import Folders, Page, Study

from zoetrope.data.toybox.prompts import combinations
from zoetrope.recipes._mini_image import BASE, inflated
from zoetrope.schedules.cosine import Cosine
from zoetrope.shapes import VideoShape
from zoetrope.training.rates.inverse_sqrt import InverseSqrt
from zoetrope.training.spec import Phase

MODEL = "mini_image"
SCRATCH, INHERITED = "from scratch", "from mini_image"
CLIP = VideoShape(frames=8, height=24, width=40, fps=1.5)
EXAMPLES, BATCH, PEAK = 6_144, 8, 2e-3
PARTS = (0.25, 0.5, 1.0)  # of the examples, after which is measured
PROMPTS, STEPS = 64, 16
ASPECTS = ("colour", "shape", "look", "motion", "all")
TOLD = {
    "colour": "colour",
    "shape": "shape",
    "look": "colour and shape",
    "motion": "motion",
    "all": "colour, shape and motion",
}
CHANCE = {**CHANCE_MOVING, "look": CHANCE_MOVING["colour"] * CHANCE_MOVING["shape"]}


def arm(init: str | None) -> Arm:
    """A training whose rate falls with the root of the examples and knows no end, so that it is read at any place."""
    recipe = painter(
        CLIP,
        (Phase(examples=EXAMPLES, batch=BATCH, peak=PEAK),),
        rate=InverseSqrt(after=1_536),
        warm_up=384,
        cool_down=0,
        half_life=256,
        init_missing="fresh",
        checkpoint_every=round(EXAMPLES * PARTS[0]),
        keep=9,
    )
    temporal = {"temporal": ("attention",)}
    network = inflated(BASE, (temporal, temporal), fps=CLIP.fps)
    recipe = recipe.override("base.network", network.to_json())
    return Arm(recipe.override("base.schedule", Cosine(shift=-4.0).to_json()), init=init)


ARMS = {SCRATCH: arm(None), INHERITED: arm(MODEL)}


def _judged(folder: Path, checkpoint: Path) -> Columns:
    prompts = combinations(PROMPTS)
    sampler = Sampler.of_run(folder, checkpoint)
    made = sampler([prompt.text for prompt in prompts], stage=sampled_with(sampler.stage, steps=STEPS))
    return with_look(hits(made, prompts, CLIP.fps))


def with_look(columns: Columns) -> Columns:
    """The columns, and whether colour and shape are right together."""
    both = [min(pair) for pair in zip(columns["colour"], columns["shape"], strict=True)]
    return {**columns, "look": both}


def nearest(folder: Path, part: float) -> Path:
    """The checkpoint of a finished run that is nearest to this part of its examples."""
    found = [each for each in checkpoints(folder) if int(each.name) > 0]
    return min(found, key=lambda each: abs(int(each.name) - part * int(found[-1].name)))


def course(folders: list[Path], name: str, kept: Kept) -> list[Json]:
    """What an arm has right after each part of its examples: tables (seeds, prompts)."""
    told = []
    for part in PARTS:
        places = [nearest(folder, part) for folder in folders]
        rows = [
            kept(f"{name}-{folder.name}-{place.name}".replace(" ", "-"), partial(_judged, folder, place))
            for folder, place in zip(folders, places, strict=True)
        ]
        tables = {aspect: [row[aspect] for row in rows] for aspect in ASPECTS}
        told.append({"examples": int(places[0].name), **tables})
    return told


def measure(folders: Folders, kept: Kept) -> Json:
    """What both arms have right after each part of their examples, and what true clips have."""
    prompts = combinations(PROMPTS)
    truth = kept("truth", lambda: with_look(hits(filmed(prompts, CLIP), prompts, CLIP.fps)))
    arms = {name: course(list(each), name, kept) for name, each in folders.items()}
    return {"arms": arms, "truth": truth}


def claims_of(arms: Json) -> list[Claim]:
    """What is claimed: that each arm learnt its words; the same with half of the clips; more with as many."""
    scratch, inherited = arms[SCRATCH], arms[INHERITED]
    learnt = [
        Claim(
            f"{name}: more colours are right than by chance",
            above(trained_share(each[-1]["colour"]), CHANCE["colour"]),
            points,
            precondition=True,
        )
        for name, each in arms.items()
    ]
    testable = all(claim.verdict == "shown" for claim in learnt)
    half, whole = inherited[1], scratch[-1]
    found = [
        of_trained(
            f"{TOLD[aspect]}: after {half['examples']:,} clips from the image model more is right than after "
            f"{whole['examples']:,} from scratch",
            half[aspect],
            whole[aspect],
        )._replace(testable=testable)
        for aspect in ("all", "look", "motion")
    ]
    equal = [
        of_trained(
            f"{TOLD[aspect]}: after {one['examples']:,} clips more is right from the image model",
            one[aspect],
            other[aspect],
        )._replace(testable=testable)
        for aspect in ("all", "look")
        for one, other in zip(inherited, scratch, strict=True)
    ]
    return [*learnt, *found, *equal]


def needed(arms: Json, aspect: str) -> str:
    """The fewest clips after which the inheriting arm has as much right as the other has at its end, in words."""
    goal = _mean(arms[SCRATCH][-1][aspect])
    enough = [one["examples"] for one in arms[INHERITED] if _mean(one[aspect]) >= goal]
    end = f"what {arms[SCRATCH][-1]['examples']:,} clips from scratch reach ({goal:.1%})"
    if goal <= CHANCE[aspect]:
        return f"- {TOLD[aspect]}: {end} is no more than chance ({CHANCE[aspect]:.1%}), so nothing is to be reached."
    found = f"is reached after {enough[0]:,} from the image model" if enough else "is not reached from the image model"
    return f"- {TOLD[aspect]}: {end} {found}."


def page(numbers: Json) -> Page:
    """The findings and the plot."""
    arms = numbers["arms"]
    rows = [["training", "clips", "seeds", *(TOLD[aspect] for aspect in ASPECTS)]]
    for name, each in arms.items():
        for one in each:
            cells = (f"{share(one[aspect])} ({seeds_interval(one[aspect])})" for aspect in ASPECTS)
            rows.append([name, f"{one['examples']:,}", str(len(one["all"])), *cells])
    rows.append(["true clips", "", "", *(share([numbers["truth"][aspect]]) for aspect in ASPECTS)])
    rows.append(["chance", "", "", *(f"{CHANCE[aspect]:.1%}" for aspect in ASPECTS)])
    lines = "\n".join(needed(arms, aspect) for aspect in ("all", "look", "motion"))
    notes = f"Of the checkpoints that were measured, by the mean over seeds and without an interval:\n\n{lines}"
    return Page(claims_of(arms), rows, partial(_draw, arms), notes)


def _draw(arms: Json, axes: Any) -> None:
    for axis, aspect in zip(axes, ("look", "all"), strict=True):
        for number, (name, each) in enumerate(arms.items()):
            clips = [one["examples"] for one in each]
            axis.plot(clips, [_mean(one[aspect]) for one in each], color=f"C{number}", label=name)
            for one in each:
                seeds = [sum(row) / len(row) for row in one[aspect]]
                axis.plot([one["examples"]] * len(seeds), seeds, "o", color=f"C{number}", markersize=4)
        axis.axhline(CHANCE[aspect], color="grey", linestyle=":", label="chance")
        axis.set(xlabel="clips seen in training", ylabel=f"{TOLD[aspect]} right", ylim=(0, 1), xscale="log")
    axes[0].legend(frameon=False)


def _mean(table: Table) -> float:
    return sum(map(sum, table)) / sum(map(len, table))


STUDY = Study(
    name="image_prior",
    title="What an image model is worth to a video model",
    finding="a video model that begins as a text-to-image model need not learn from videos how things look and what "
    "words mean, only how they move; so it learns faster (Singer et al. 2022, arXiv:2209.14792, Sec. 1 and 3; Bar-Tal "
    "et al. 2024, arXiv:2401.12945, Sec. 3).",
    design={
        "network": "the base of mini_image with temporal attention in both of its levels. Once with fresh weights, and "
        "once with those of the shipped mini_image and fresh temporal layers, so that it begins exactly as the image "
        "model, frame by frame. Everything learns in both",
        "training": f"{EXAMPLES:,} captioned clips of {CLIP.frames} frames of {CLIP.height}x{CLIP.width}, the same in "
        f"the same order, batches of {BATCH}, Muon, weights averaged. The rate falls with the root of the examples and "
        "knows no end, so that checkpoints stand for shorter trainings",
        "image model": "saw 600,000 captioned pictures of toybox before, which count for nothing here; it saw none of "
        "the held-out combinations of colour and shape either",
        "judged": f"{PROMPTS} prompts of held-out combinations, one clip each, {STEPS} steps of DDIM, guidance 2, by "
        "the recogniser, after a quarter, half and all of the clips",
        "verdict": "the image model halves the clips that are needed if it has more right after half of them than the "
        "other after all. Intervals are over seeds and prompts (`studies/README.md`)",
        "baselines": "true clips of the same prompts, and chance",
    },
    arms=ARMS,
    measure=measure,
    page=page,
    doubts={
        "Is the comparison fair?": "In clips it is, in pictures and minutes it is not: the image model was trained "
        "for 157 minutes before. That is the claim of the papers, to whom pictures are cheap. Whether a "
        "model from scratch would do better with pictures and clips mixed from the start is not shown "
        "(`studies/joint_training.py`).",
        "Could it come from the learning rate?": f"Both have a peak of {PEAK:g}, that of mini's base; a network that "
        "begins with learnt weights may want less. If so, the image model is worth more than is seen here.",
        "Was motion learnt?": "Not shown: neither has it right more often than by chance, so that claims about it, and "
        "about all three, could not show much. After 3,072 clips from the image model all three are right for 5 of the "
        "64 prompts, each in a seed or more, and for none from scratch; the exact p is 0.06.",
        "Is it long enough?": "No: from scratch such a network learns for several times as long before its score "
        "stops growing. What is seen is the beginning; the difference may shrink at the end of long trainings.",
        "Could it come from noise?": "Three seeds of the video training, one clip for each prompt. There is one image "
        "model: how much another one would be worth is not in the interval.",
    },
    moves="ten times the clips; image models of several seeds and of fewer pictures; only the temporal layers "
    "learning, as in Lumiere.",
)

if __name__ == "__main__":
    main(STUDY)
