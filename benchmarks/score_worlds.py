"""Two worlds whose right answers are known, trained in miniature: digits that travel, a ball that is moved by actions.

    python benchmarks/score_worlds.py make digits runs/digits
    zoetrope train runs/digits/recipe.json --out runs/digits/run
    python benchmarks/score_worlds.py score digits runs/digits --json runs/digits/scores.json

and the same with "ball". `make` writes files of arrays, an index and a recipe; `score` samples the trained model.

Digits (scikit-learn's, 8x8) travel on a torus of 12x12 pixels by up to 2 pixels a frame, for 4 frames. A label that is
asked for is read back by matched filters ("reader": how often these are right for true digits that training never
showed); two known frames determine the others; first and last frame leave a velocity of 2 pixels open to its opposite,
and both should be as frequent.

A ball travels on a torus of 16x16 pixels by a pixel a frame in each direction, as actions say. Its place is read from
the phase of the first wave. Without actions all nine steps should be as frequent.
"""

import argparse
import csv
import json
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _options import least, positive
from scipy.stats import binomtest, chisquare
from torch import Tensor

from zoetrope.cascade.tuning import Tuning, tuned
from zoetrope.channels import Channel, to_model, to_units
from zoetrope.data.arrays import Arrays
from zoetrope.data.arrays.beside import BesideArray
from zoetrope.inputs.action import Action
from zoetrope.inputs.label import Label
from zoetrope.metrics.generation import Wanted, WorkShare, generate
from zoetrope.metrics.intervals import Proportion
from zoetrope.metrics.shelf import Shelf
from zoetrope.models.cascade import Cascade
from zoetrope.recipes._fields import fields_recipe
from zoetrope.scales.range import Range
from zoetrope.shapes import VideoShape
from zoetrope.training.known.any import AnyFrames
from zoetrope.training.known.mixture import KnownMixture, KnownPart
from zoetrope.training.known.none import NoKnown
from zoetrope.training.known.prefix import Prefix
from zoetrope.training.spec import Recipe

CLASSES = tuple(map(str, range(10)))
DIGITS, FASTEST, TRAINING = 12, 2, 1500  # pixels of a side, pixels a frame, pictures for training
BALL, WIDTH, NEAR = 16, 1.5, 0.5  # pixels of a side, of the ball, and by which a place may be off
INK = Channel(name="ink", scale=Range(lo=0, hi=16))
LIGHT = Channel(name="light", scale=Range(lo=0, hi=1))
OF_DIGITS = VideoShape(frames=4, height=DIGITS, width=DIGITS, fps=1)
OF_BALL = VideoShape(frames=6, height=BALL, width=BALL, fps=1)
STEPS = torch.cartesian_prod(torch.arange(-1, 2), torch.arange(-1, 2))
KNOWN = KnownMixture(
    parts=(KnownPart(known=NoKnown(), weight=2), KnownPart(known=Prefix(), weight=1), KnownPart(known=AnyFrames()))
)


def pictures() -> tuple[Tensor, Tensor]:
    """All digits (N, 12, 12) in 0 to 16, float32, and their classes (N,)."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return torch.from_numpy(np.pad(found.images, ((0, 0), (0, 4), (0, 4)))).float(), torch.from_numpy(found.target)


def travelling(digits: Tensor, count: int, draw: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Videos (count, F, 12, 12) of these digits (N, 12, 12), and velocities (count, 2), pixels a frame."""
    chosen = digits[torch.from_numpy(draw.integers(len(digits), size=count))]
    speeds = draw.integers(-FASTEST, FASTEST + 1, (count, 2))
    places = draw.integers(DIGITS, size=(count, 2))
    return moved(chosen, torch.from_numpy(places), torch.from_numpy(speeds)), torch.from_numpy(speeds)


def moved(digits: Tensor, places: Tensor, speeds: Tensor) -> Tensor:
    """Digits (N, 12, 12) at places (N, 2) with speeds (N, 2), as videos (N, F, 12, 12)."""
    frames = [
        [one.roll(tuple((place + t * speed).tolist()), (0, 1)) for t in range(OF_DIGITS.frames)]
        for one, place, speed in zip(digits, places, speeds, strict=True)
    ]
    return torch.stack([torch.stack(one) for one in frames])


def make_digits(folder: Path, count: int) -> Recipe:
    """Files, one for each class, and the recipe of a model that is told the class."""
    draw = np.random.default_rng(0)
    images, classes = pictures()
    with (folder / "index.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "digit"])
        for label in range(10):
            own = images[:TRAINING][classes[:TRAINING] == label]
            np.save(folder / f"{label}.npy", travelling(own, count // 10, draw)[0].numpy().astype(np.uint8))
            rows.writerow([f"{label}.npy", label])
    data = Arrays(
        path=str(folder / "index.csv"), axes="n,t,y,x", variables={"ink": INK}, rate=1, told={"digit": "label"}
    )
    label = Label(told="digit", classes=CLASSES)
    return fields_recipe("digits", OF_DIGITS, data, 150_000, inputs=(label,), guidance=0.5, known=KNOWN)


def make_ball(folder: Path, count: int) -> Recipe:
    """A file of videos and actions, and the recipe of a model that is told the actions."""
    videos, actions = rolling(count, np.random.default_rng(0))
    np.savez(folder / "ball.npz", light=videos.numpy(), action=actions.numpy())
    beside = {"action": BesideArray(kind="action", array="action", axes="n,t,c")}
    data = Arrays(
        path=str(folder / "ball.npz"), axes="n,t,y,x", variables={"light": LIGHT}, rate=1, beside=beside
    )  # fmt: skip
    action = Action(entries=2, dropout=0.5)
    return fields_recipe("ball", OF_BALL, data, 160_000, inputs=(action,), known=KNOWN)


def rolling(count: int, draw: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Videos (count, F, 16, 16) float32 of balls, and actions (count, F, 2); those of a frame lead to it."""
    actions = torch.from_numpy(draw.integers(-1, 2, (count, OF_BALL.frames, 2)))
    first = torch.from_numpy(draw.uniform(0, BALL, (count, 1, 2)))
    return ball(first + actions.cumsum(1)).float(), actions.float()


def ball(places: Tensor) -> Tensor:
    """Pictures (..., 16, 16) in 0 to 1 of balls at places (..., 2)."""
    away = (torch.arange(BALL) - places[..., None] + BALL / 2) % BALL - BALL / 2
    line = torch.exp(-away.square() / (2 * WIDTH**2))
    return line[..., 0, :, None] * line[..., 1, None, :]


def place_of(frames: Tensor) -> Tensor:
    """The places (..., 2) of balls, from the phases of the first waves down and across."""
    waves = torch.fft.fft2(frames.double())
    return -torch.stack([waves[..., 1, 0], waves[..., 0, 1]], -1).angle() * BALL / (2 * math.pi)


def apart(one: Tensor, other: Tensor) -> Tensor:
    """How far places (..., 2) are apart on the torus, pixels."""
    return ((one - other + BALL / 2) % BALL - BALL / 2).norm(dim=-1)


Sampled = Callable[[Tensor, Sequence[int], dict[str, Any]], Tensor]
"""(true videos (B, F, H, W), known frames, values of inputs) -> as many videos in units."""


def sampler_of(model: Path, guidance: float | None = None) -> Sampled:
    """What a trained model makes, with guidance over what it is told."""
    cascade, seeds = Cascade.from_pretrained(model), iter(range(10**9))
    cascade.spec = tuned(cascade.spec, Tuning(guidance=guidance))
    stage, channels = cascade.spec.stages[0], cascade.spec.channels

    def sampled(truth: Tensor, known: Sequence[int], given: dict[str, Any]) -> Tensor:
        x = to_model(truth[:, None].double(), channels, axis=1).float()
        told = {name: one.numpy() if isinstance(one, Tensor) else one for name, one in given.items()}
        wanted = Wanted(
            prompts=[""] * len(x), seed=next(seeds), real=x.__getitem__, known=tuple(known),
            told=lambda row: {name: one[row] for name, one in told.items()},
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            shelf = Shelf(Path(folder), stage.made, channels)
            for _ in generate(cascade, shelf, wanted, WorkShare()):
                pass
            made = torch.stack([shelf.read(row) for row in range(len(x))])
        return to_units(made.double(), channels, axis=1)[:, 0]

    return sampled


def score_digits(sampled: Sampled, count: int) -> dict[str, Any]:
    """Labels, the rest of two known frames, and the velocities that ends leave open."""
    draw = np.random.default_rng(1)
    images, classes = pictures()
    asked = [CLASSES[number % 10] for number in range(count)]
    shown = sampled(torch.zeros(count, *OF_DIGITS.sizes), [], {"digit": asked})
    right = [own == wanted for own, wanted in zip(read_classes(shown[:, 0]), asked, strict=True)]
    true = [own == str(int(one)) for own, one in zip(read_classes(images[TRAINING:]), classes[TRAINING:], strict=True)]
    truth, speeds = travelling(images[TRAINING:], count, draw)
    rest = sampled(truth, [0, 1], {})[:, 2:] - truth[:, 2:]
    ends = torch.where(speeds.abs() == FASTEST, speeds, FASTEST)  # each axis leaves its sign open
    places = torch.from_numpy(draw.integers(DIGITS, size=(count, 2)))
    open_ = moved(images[TRAINING:][torch.arange(count) % len(images[TRAINING:])], places, ends)
    made = sampled(open_, [0, OF_DIGITS.frames - 1], {})
    found = [read_velocity(one) for one in made]
    legal = [abs(down) == FASTEST and abs(across) == FASTEST for down, across in found]
    signs = [value > 0 for pair, own in zip(found, legal, strict=True) if own for value in pair]
    return {
        "label": Proportion.of(right).to_json() | {"share": sum(right) / count},
        "reader": Proportion.of(true).to_json() | {"share": sum(true) / len(true)},
        "rest": float(rest.square().mean().sqrt() / truth.std()),
        "legal": sum(legal) / count,
        "forward": sum(signs) / max(1, len(signs)),
        "forward_p": float(binomtest(sum(signs), len(signs)).pvalue) if signs else None,
    }


def read_classes(frames: Tensor) -> list[str]:
    """The classes of digits (N, 12, 12): of the picture, at any place, whose matched filter answers most."""
    images, classes = pictures()
    images, classes = images[:TRAINING], classes[:TRAINING]
    filters = torch.fft.fft2((images - images.mean((1, 2), keepdim=True)).double())
    filters /= filters.abs().square().sum((1, 2), keepdim=True).sqrt()
    found = list[str]()
    for one in frames:
        answers = torch.fft.ifft2(torch.fft.fft2(one.double()) * filters.conj()).real.flatten(1).amax(1)
        found.append(str(int(classes[answers.argmax()])))
    return found


def read_velocity(video: Tensor) -> tuple[int, int]:
    """Pixels a frame, down and across, by which the first frame of a video (F, 12, 12) gives best those after it.

    The last frame does not count.
    """
    steps = range(-FASTEST, FASTEST + 1)
    places = torch.zeros(1, 2, dtype=torch.long)

    def away(speed: tuple[int, int]) -> float:
        return float((moved(video[:1], places, torch.tensor([speed]))[0] - video)[:-1].square().sum())

    return min(((down, across) for down in steps for across in steps), key=away)


def score_ball(sampled: Sampled, count: int) -> dict[str, Any]:
    """Places with actions, and steps without."""
    truth, actions = rolling(count, np.random.default_rng(1))
    made = sampled(truth, [0], {"action": actions})
    away = apart(place_of(made[:, 1:]), place_of(truth[:, 1:]))
    free = place_of(sampled(truth, [0], {}))
    steps = torch.stack([apart(free[:, 1:], free[:, :-1] + step) for step in STEPS], -1).min(-1)
    counts = torch.bincount(steps.indices.flatten(), minlength=len(STEPS))
    return {
        "away": float(away.mean()),
        "near": float((away < NEAR).double().mean()),
        "by_frame": away.mean(0).tolist(),
        "steps": counts.tolist(),
        "steps_p": float(chisquare(counts.numpy()).pvalue),
        "steps_near": float((steps.values < NEAR).double().mean()),
    }


MAKERS = {"digits": make_digits, "ball": make_ball}
SCORES = {"digits": score_digits, "ball": score_ball}


def main() -> None:
    """Make or score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["make", "score"])
    parser.add_argument("world", choices=sorted(MAKERS))
    parser.add_argument("folder", type=Path, help="of files and recipe; its run/ is the trained model")
    parser.add_argument("--recordings", type=least(10), default=20_000, help="for training")
    parser.add_argument("--count", type=positive, default=200, help="videos of each score")
    parser.add_argument("--guidance", type=float, help="over labels and actions; 0 is as in training")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    if asked.verb == "make":
        asked.folder.mkdir(parents=True, exist_ok=True)
        recipe = MAKERS[asked.world](asked.folder.absolute(), asked.recordings)
        (asked.folder / "recipe.json").write_text(json.dumps(recipe.to_json(), indent=1) + "\n")
        return
    scores = SCORES[asked.world](sampler_of(asked.folder / "run", asked.guidance), asked.count)
    for name, value in scores.items():
        print(f"{name:12} {value}")
    if asked.json is not None:
        asked.json.write_text(json.dumps(scores, indent=1) + "\n")


if __name__ == "__main__":
    main()
