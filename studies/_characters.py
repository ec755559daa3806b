"""Pixel-art characters made of layers: every pixel of every combination of their attributes is known.

A character has a body, hair, clothes above and below, and shoes that are the same for all; it is seen from one of four
directions in one of five actions of eight frames. The layers are sheets of the Liberated Pixel Cup, as the Sprites data
have them (github.com/YingzhenLi/Sprites; Li and Mandt 2018, arXiv:1803.02991).

Some pairs of values of two layers are in no training clip, though each value is in many, with every action and from
every direction: whoever shows such a pair has put it together.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveInt, field_validator
from torch import Tensor
from torch.nn.functional import avg_pool2d

from zoetrope.config import unknown
from zoetrope.data import Contents, Dataset, Example, Source
from zoetrope.shapes import VideoShape

FRAMES, FPS = 8, 8.0
CELL = 64  # pixels of a side of a sheet's cells
TOP, LEFT, SIDE = 8, 4, 56  # the part of a cell that is shown: all that any layer draws
GROUND = (200, 208, 200)
EVERY = 5  # of the pairs of values of two layers one of so many is held out

WORN = ("body", "hair", "topwear", "bottomwear")
ATTRIBUTES = (*WORN, "action", "direction")
BELOW_TO_ABOVE = ("body", "shoes", "bottomwear", "topwear", "hair")
SHOES = 0

WORDS: Mapping[str, Mapping[int, str]] = {
    "body": {
        0: "a pale man",
        1: "a tan man",
        2: "a grey man",
        3: "a blue-grey man",
        4: "a brown man",
        5: "a dark brown man",
        6: "a green orc",
    },
    "hair": {
        0: "green spiky hair",
        1: "a blue ponytail",
        2: "orange spiky hair",
        3: "white hair",
        4: "rose hair",
        5: "purple curly hair",
        6: "a grey mohawk",
        7: "red hair",
        8: "pink spiky hair",
        9: "orange curly hair",
    },
    "topwear": {
        0: "a maroon shirt",
        1: "a turquoise shirt",
        2: "a white shirt",
        3: "a steel breastplate",
        4: "a brown leather vest",
        6: "chain mail",
    },
    "bottomwear": {
        0: "white trousers",
        1: "golden leg armour",
        2: "red trousers",
        3: "steel leg armour",
        4: "teal trousers",
        6: "a brown skirt",
    },
}
"""What layers are called, by the number of their sheet. Topwear and bottomwear 5 are not drawn in all actions."""


class Action(NamedTuple):
    """Where an action is in a sheet: its first row, that of the character seen from behind, and its cells there."""

    row: int
    cells: range


ACTIONS: Mapping[str, Action] = {
    "casting a spell": Action(0, range(0, 7)),
    "thrusting": Action(4, range(0, 8)),
    "walking": Action(8, range(1, 9)),
    "slashing": Action(12, range(0, 6)),
    "shooting": Action(16, range(0, 13)),
}
DIRECTIONS = ("seen from behind", "facing left", "facing the viewer", "facing right")
ROWS = max(action.row for action in ACTIONS.values()) + len(DIRECTIONS)
COLUMNS = max(action.cells.stop for action in ACTIONS.values())

Combination = Sequence[int]
"""The number of the value of each attribute, in the order of ATTRIBUTES."""


def over(below: Tensor, layer: Tensor) -> Tensor:
    """A layer (..., 4, F, H, W) uint8 over pictures (..., 3, F, H, W) in [-1, 1], as alpha says."""
    colour, alpha = layer[..., :3, :, :, :] / 127.5 - 1, layer[..., 3:, :, :, :] / 255
    return torch.lerp(below, colour, alpha)


def shrunk(pictures: Tensor, side: int) -> Tensor:
    """Pictures (..., H, W) of `side` rows, the mean over squares of whole pixels."""
    factor = pictures.shape[-2] // side
    if factor == 1:
        return pictures
    rows = pictures.flatten(0, -3)
    return avg_pool2d(rows, factor).unflatten(0, pictures.shape[:-2])


def fits(shape: VideoShape) -> bool:
    """Whether a grid has squares of whole pixels, and frames evenly spread."""
    return shape.height == shape.width and SIDE % shape.height == 0 and FRAMES % shape.frames == 0


def expect_fit(shape: VideoShape) -> None:
    """Raise ValueError unless characters fit the grid."""
    if not fits(shape):
        raise ValueError(
            f"sprites: expected {FRAMES} frames of {SIDE}x{SIDE} pixels, both divided by whole numbers or not, such as "
            f"{FRAMES // 2} of {SIDE // 2}x{SIDE // 2}, got {shape}"
        )


class Characters:
    """All characters of some sheets.

    Attributes:
        words: the names of the values of each attribute, in order.
        layers: uint8 (values, actions, directions, 4, FRAMES, SIDE, SIDE) of each layer: red, green, blue, alpha.
    """

    def __init__(self, words: Mapping[str, Sequence[str]], layers: Mapping[str, Tensor]):
        self.words, self.layers = words, layers
        self.counts = tuple(len(words[name]) for name in ATTRIBUTES)

    def told(self, one: Combination) -> str:
        """The caption of a combination."""
        names = (self.words[attribute][value] for attribute, value in zip(ATTRIBUTES, one, strict=True))
        body, hair, above, below, action, direction = names
        return f"{body} with {hair}, {above} and {below}, {action}, {direction}"

    def layer(self, name: str, value: int | slice, action: int, direction: int) -> Tensor:
        """What a sheet of a layer, or several, show of an action from a direction."""
        return self.layers[name][SHOES if name == "shoes" else value, action, direction]

    def video(self, one: Combination, side: int = SIDE, frames: Sequence[int] = range(FRAMES)) -> Tensor:
        """These frames of a character, (3, F, side, side) in [-1, 1]: layer by layer, then the mean over squares."""
        values = dict(zip(ATTRIBUTES, one, strict=True))
        picture = ground()
        for name in BELOW_TO_ABOVE:
            drawn = self.layer(name, values.get(name, SHOES), values["action"], values["direction"])
            picture = over(picture, drawn[:, list(frames)])
        return shrunk(picture, side)

    def drawn(self, held_out: bool, seed: int) -> np.ndarray:
        """The combinations (N, 6) that are held out, or all others, in random order."""
        every = np.argwhere(is_held_out(self.counts) == held_out)
        return every[np.random.default_rng([seed, held_out]).permutation(len(every))]


def is_held_out(counts: Sequence[int]) -> np.ndarray:
    """Whether a combination, an index of this array of so many values, has two layers whose pair is held out."""
    shape = tuple(counts[: len(WORN)])
    numbers = np.indices(shape)
    found = np.zeros(shape, bool)
    for number, (one, other) in enumerate(combinations(range(len(WORN)), 2)):
        found |= (numbers[one] + 2 * numbers[other] + number) % EVERY == 0
    return np.broadcast_to(found[..., None, None], tuple(counts))


def ground() -> Tensor:
    """An empty picture (3, 1, 1, 1), in [-1, 1]."""
    return (torch.tensor(GROUND) / 127.5 - 1)[:, None, None, None]


class Sprites(Source):
    """Clips of characters with captions; single pictures are any of a clip's frames.

    Attributes:
        sheets: the folder of the sheets, with a folder of numbered PNG for each layer.
        clips: how many there are, of different combinations, none of them held out.
        seed: which ones, and in which order.
        most: how many values an attribute has, the first ones, where these are not all.
    """

    sheets: str
    clips: PositiveInt = 8192
    seed: NonNegativeInt = 0
    most: dict[str, PositiveInt] = Field(default_factory=dict)

    @field_validator("most")
    @classmethod
    def _known(cls, most: dict[str, int]) -> dict[str, int]:
        for name in most:
            if name not in ATTRIBUTES:
                raise ValueError(unknown("attribute", name, ATTRIBUTES))
        return most

    @property
    def words(self) -> dict[str, list[str]]:
        """The names of the values of each attribute."""
        every = {**{name: WORDS[name].values() for name in WORN}, "action": ACTIONS, "direction": DIRECTIONS}
        return {name: list(values)[: self.most.get(name)] for name, values in every.items()}

    @property
    def counts(self) -> tuple[int, ...]:
        """How many values each attribute has."""
        return tuple(len(values) for values in self.words.values())

    def characters(self) -> Characters:
        """All characters. Raises ValueError for a sheet that is missing or of another size."""
        words = self.words
        actions, directions = [ACTIONS[name] for name in words["action"]], len(words["direction"])
        numbers = {name: list(WORDS[name])[: len(words[name])] for name in WORN} | {"shoes": [SHOES]}
        layers = {
            name: torch.stack([self._cells(name, number, actions, directions) for number in numbers[name]])
            for name in BELOW_TO_ABOVE
        }
        return Characters(words, layers)

    def _cells(self, layer: str, number: int, actions: Sequence[Action], directions: int) -> Tensor:
        """What a sheet has of these actions, (actions, directions, 4, FRAMES, SIDE, SIDE) uint8."""
        sheet = read_sheet(Path(self.sheets) / layer / f"{number}.png")
        cells = torch.from_numpy(sheet).unfold(0, CELL, CELL).unfold(1, CELL, CELL)  # (rows, columns, 4, 64, 64)
        seen = cells[..., TOP : TOP + SIDE, LEFT : LEFT + SIDE]
        rows = [action.row + direction for action in actions for direction in range(directions)]
        places = [
            [action.cells[frame * len(action.cells) // FRAMES] for frame in range(FRAMES)]
            for action in actions
            for _ in range(directions)
        ]
        found = seen[torch.tensor(rows)[:, None], torch.tensor(places)]  # (poses, FRAMES, 4, SIDE, SIDE)
        return found.transpose(1, 2).unflatten(0, (len(actions), directions)).contiguous()

    def open(self) -> "SpritesClips":
        """The training clips. Raises ValueError for unsuitable sheets, and if none is left that is not held out."""
        return SpritesClips(self, self.characters())


class SpritesClips(Dataset):
    """Clips of combinations that are not held out, each pass in an order of its own."""

    def __init__(self, source: Sprites, characters: Characters):
        self.source, self.characters = source, characters
        self.chosen = characters.drawn(held_out=False, seed=source.seed)[: source.clips]
        if not len(self.chosen):
            raise ValueError(f"sprites: all {np.prod(characters.counts)} combinations are held out; take more values")

    def gives(self, shape: VideoShape) -> bool:
        """See `Dataset`."""
        return fits(shape)

    def example(self, index: int, shape: VideoShape) -> Example:
        """Clip `index`, or any of its frames."""
        expect_fit(shape)
        turn, place = divmod(index, len(self.chosen))
        number = int(order(len(self.chosen), self.source.seed, turn)[place])
        frames = [frame * FRAMES // shape.frames for frame in range(shape.frames)]
        if shape.frames == 1:
            frames = [int(np.random.default_rng([self.source.seed, index]).integers(FRAMES))]
        one = self.chosen[number].tolist()
        video = self.characters.video(one, shape.height, frames)
        return Example(video, self.characters.told(one), f"clip {number} of sprites")

    def contents(self) -> Contents:
        """See `Dataset`."""
        return Contents(len(self.chosen), hashlib.sha256("\n".join(self.captions()).encode()).hexdigest())

    def captions(self) -> list[str]:
        """See `Dataset`."""
        return [self.characters.told(one) for one in self.chosen.tolist()]


@lru_cache(maxsize=4)
def order(count: int, seed: int, turn: int) -> np.ndarray:
    """The order of so many clips in a pass over them."""
    return np.random.default_rng([seed, turn, count]).permutation(count)


def read_sheet(path: Path) -> np.ndarray:
    """A sheet (ROWS * CELL or more, COLUMNS * CELL, 4) uint8. Raises ValueError if there is none, or a smaller one."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            sheet = np.array(image.convert("RGBA"))
    except (FileNotFoundError, UnidentifiedImageError) as error:
        raise ValueError(
            f"{path}: expected a sheet, a PNG of {COLUMNS * CELL}x{ROWS * CELL} pixels ({error})"
        ) from None
    height, width = sheet.shape[:2]
    if height < ROWS * CELL or width < COLUMNS * CELL:
        raise ValueError(f"{path}: expected {COLUMNS * CELL}x{ROWS * CELL} pixels or more, got {width}x{height}")
    return sheet
