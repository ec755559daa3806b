"""Which attributes a video of a character shows, and what the most similar training clip would have shown.

The reader compares a video with every combination there is, sharp and blurred, pixel by pixel in all frames, and says
the nearest one. Nothing in it is learnt, and a true video is read without any error. Were there no blurred ones, a
softly drawn character would be read as one of a darker skin, for its dark outlines run into the skin.
"""

from collections.abc import Sequence
from itertools import islice, product

import numpy as np
import torch
from _characters import ATTRIBUTES, FRAMES, WORN, Characters, ground, over, shrunk
from torch import Tensor

Columns = dict[str, list[float]]
BLURS = (0.0, 0.5, 0.75, 1.0)  # standard deviations of Gaussian blur, in pixels
CLEAR = 20.0  # squared error, summed over a video, from which on a layer counts as clearly seen


def read(characters: Characters, videos: Tensor) -> np.ndarray:
    """The combination (B, 6) that is nearest to each video (B, 3, FRAMES, side, side), by squared error.

    Each video is compared with combinations of any of the BLURS. Raises ValueError for other frames.
    """
    if videos.shape[1:3] != (3, FRAMES):
        raise ValueError(f"videos: expected (B, 3, {FRAMES}, side, side), got {tuple(videos.shape)}")
    seen, blurs = videos.float().flatten(1).T, [blur(videos.shape[-1], each) for each in BLURS]
    least = torch.full((len(videos),), torch.inf)
    found = np.zeros((len(videos), len(ATTRIBUTES)), int)
    bodies, hairs, _, bottoms, actions, directions = characters.counts
    for action, direction, body, hair in product(range(actions), range(directions), range(bodies), range(hairs)):
        sharp = _clothed(characters, videos.shape[-1], body, hair, action, direction)
        for spread in blurs:
            known = (spread @ sharp @ spread.T).flatten(1)
            errors = known.square().sum(1)[:, None] - 2 * known @ seen  # but for that of the video itself
            error, place = errors.min(0)
            for number in (error < least).nonzero().flatten().tolist():
                above, below = divmod(int(place[number]), bottoms)
                found[number] = (body, hair, above, below, action, direction)
            least = torch.minimum(least, error)
    return found


def blur(side: int, deviation: float) -> Tensor:
    """The matrix (side, side) that blurs rows of pixels, whose weights add up to 1 at the edges too."""
    if not deviation:
        return torch.eye(side)
    apart = torch.arange(side) - torch.arange(side)[:, None]
    weights = torch.exp(-0.5 * (apart / deviation) ** 2)
    return weights / weights.sum(1, keepdim=True)


def _clothed(characters: Characters, side: int, body: int, hair: int, action: int, direction: int) -> Tensor:
    """A character in all clothes, (above x below, 3, FRAMES, side, side)."""

    def layer(name: str, value: int | slice = slice(None)) -> Tensor:
        return characters.layer(name, value, action, direction)

    picture = over(over(ground(), layer("body", body)), layer("shoes"))
    picture = over(picture, layer("bottomwear"))
    picture = over(over(picture, layer("topwear")[:, None]), layer("hair", hair))
    return shrunk(picture.flatten(0, 1), side)


def films(characters: Characters, asked: np.ndarray, side: int) -> Tensor:
    """The true videos (B, 3, FRAMES, side, side) of combinations (B, 6)."""
    return torch.stack([characters.video(one, side) for one in asked.tolist()])


def clear(characters: Characters, among: np.ndarray, count: int, side: int) -> np.ndarray:
    """The first so many of some combinations (N, 6) in which every layer is clearly seen.

    Raises ValueError if there are fewer.
    """
    found = list(islice((one for one in among if clearness(characters, one, side) >= CLEAR), count))
    if len(found) < count:
        raise ValueError(
            f"prompts: expected {count} combinations in which every layer is clearly seen, got {len(found)}"
        )
    return np.stack(found)


def clearness(characters: Characters, one: np.ndarray, side: int) -> float:
    """The squared error, summed over pixels in [-1, 1], between a true video and the nearest with one other layer."""
    others = [
        [*one[:number], value, *one[number + 1 :]]
        for number in range(len(WORN))
        for value in range(characters.counts[number])
        if value != one[number]
    ]
    apart = films(characters, np.array(others), side) - characters.video(one.tolist(), side)
    return float(apart.flatten(1).square().sum(1).min())


def nearest(clips: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The clip (B, 6) that has most of what is asked (B, 6) in common with it; of several the first."""
    return np.stack([clips[(clips == one).sum(1).argmax()] for one in asked])


def hits(shown: np.ndarray, asked: np.ndarray) -> Columns:
    """Of combinations (B, 6) that are shown, whether each attribute is the one asked for, which share, and all."""
    right = shown == asked
    own = {name: right[:, number].astype(float).tolist() for number, name in enumerate(ATTRIBUTES)}
    return {**own, "attributes": right.mean(1).tolist(), "all": right.all(1).astype(float).tolist()}


def chance(counts: Sequence[int]) -> dict[str, float]:
    """What a guess has right, of each attribute, of all together, and which share of them."""
    own = {name: 1 / count for name, count in zip(ATTRIBUTES, counts, strict=True)}
    return {**own, "attributes": float(np.mean(list(own.values()))), "all": 1 / float(np.prod(counts))}
