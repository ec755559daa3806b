"""A model of animated emoji: does a caption get its emoji, and a tone of skin that training never showed with it?

    python benchmarks/score_emoji.py --model runs/emoji --data FOLDER --features FILE --out runs/score_emoji

FOLDER has a metadata.jsonl that tells of each clip its `label`, its `variant` (0 alone; 0 to 5 are yellow and five
tones of skin), its `text` and its `split`. Three sets of captions:

- "seen": captions of training, spread over it. Right if, of all clips of the folder, the one nearest to the video has
  the caption's label.
- "tones": captions of unseen clips, new ones, whose label training shows in other tones. Right if, of the clips with
  this label, the nearest has the caption's tone; "colour": the same by the mean colour of what is not white.
- "labels": captions with labels that training never shows; judged as "seen" are, the unseen clips among
  those that can be nearest.

Clips are compared by the features of MobileNetV2, averaged over frames. Beside the model stand true clips that went
through the base's size ("through the base": what an enlargement without any detail would get), the training clip whose
caption is nearest to the asked one ("nearest caption"), and the videos of other captions ("chance").

Intervals hold 95 % and are clustered by caption. An aim counts as reached if all of the interval reaches it.
Prints the table; writes table.md, scores.json and a sheet of each set. Videos are kept: started again after it was
stopped, it goes on.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from _making import key, videos_of
from _moving import arguments_of, opened
from _scores import lines, reached, share_told, write_scores, write_whole
from torch import Tensor

from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.metrics.features import FeatureNetwork, frame_distances
from zoetrope.metrics.features.mobilenet_v2 import MobileNetV2
from zoetrope.metrics.intervals import Proportion
from zoetrope.models.cascade import Cascade
from zoetrope.shapes import VideoShape
from zoetrope.video import Video, contact_sheet, read, save_image
from zoetrope.video.resample import degrade, upsample

AIMS = {"seen": 0.90, "tones": 0.80}
TONES = 6
WHITE = 0.94  # brighter in all three colours is paper


class Emoji(NamedTuple):
    """A clip of the folder: its caption, its label, its tone, whether training shows it, and its frames on the grid."""

    text: str
    label: str
    tone: int
    seen: bool
    video: Video


class Library(NamedTuple):
    """All clips of the folder, with the features (N, D) and mean colours (N, 3) that videos are compared with."""

    emoji: list[Emoji]
    features: Tensor
    colours: Tensor

    def nearest(self, features: Tensor, among: Sequence[int]) -> Emoji:
        """Of the clips `among`, the one with the nearest features (D,)."""
        apart = frame_distances(features.expand(len(among), -1), self.features[list(among)])
        return self.emoji[among[int(apart.argmin())]]

    def nearest_colour(self, colour: Tensor, among: Sequence[int]) -> Emoji:
        """Of the clips `among`, the one with the nearest mean colour (3,)."""
        return self.emoji[among[int((self.colours[list(among)] - colour).norm(dim=-1).argmin())]]

    def with_label(self, label: str) -> list[int]:
        """The clips of a label in its tones."""
        return [place for place, one in enumerate(self.emoji) if one.label == label and one.tone < TONES]


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate, judge, write. Raises ValueError for a folder that tells no labels."""
    parser = arguments_of(__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="the clips, with metadata.jsonl")
    parser.add_argument("--features", type=Path, required=True, metavar="FILE", help="weights of MobileNetV2")
    options = parser.parse_args(arguments)
    model, cascade = opened(options.model, options.steps)
    options.out.mkdir(parents=True, exist_ok=True)
    network = MobileNetV2(weights=str(options.features)).open()
    stages = model.spec.until(options.until)
    library = opened_library(options.data, stages[-1].shape, network)
    names = {stages[-1].name: f"video-{key(model, cascade, options.until)}"}
    scores: dict[str, Any] = {}
    for name, asked in sets_of(library, options.prompts).items():
        videos = next(iter(videos_of(cascade, [one.text for one in asked], options, names).values()))
        small = stages[0].shape
        ways = {
            "model": videos,
            "through the base": [[through(one.video, small, stages[-1].shape)] for one in asked],
            "nearest caption": [[one.video] for one in nearest_captions(cascade, library, asked)],
        } | ({"chance": videos[len(videos) // 2 :] + videos[: len(videos) // 2]} if len(videos) > 1 else {})
        scores[name] = {way: judged(library, network, name, asked, made) for way, made in ways.items()}
        sheet = [video for one, made in zip(asked[:12], videos, strict=False) for video in (one.video, made[0])]
        save_image(options.out / f"{name}.png", contact_sheet(sheet, 1))
    every = write_scores(options.out, model, cascade.dtype, scores)
    write_whole(options.out / "table.md", table(every) + "\n")
    print(table(every), flush=True)


def opened_library(folder: Path, shape: VideoShape, network: FeatureNetwork) -> Library:
    """The clips of a folder as a stage of this shape sees them. Raises ValueError if its metadata tell no labels."""
    rows, path = list[dict[str, Any]](), folder / "metadata.jsonl"
    if not path.is_file():
        raise ValueError(f"{folder}: expected a folder of clips with a metadata.jsonl, got none there")
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}: line {number}: expected JSON: {error}") from None
    fields = ("file_name", "label", "variant", "text", "split")
    if not rows or any(field not in row for row in rows for field in fields):
        raise ValueError(
            f"{folder}: expected a metadata.jsonl that tells file_name, label, variant, text and split of every clip"
        )
    emoji = [
        Emoji(row["text"], row["label"], row["variant"], row["split"] == "train", clip_of(folder, row, shape))
        for row in rows
    ]
    videos = [one.video for one in emoji]
    return Library(emoji, torch.stack([features_of(network, one) for one in videos]), colours_of(videos))


def clip_of(folder: Path, row: dict[str, Any], shape: VideoShape) -> Video:
    """The first frames of a clip, as many as a video has."""
    return read(folder / row["file_name"], fps=shape.fps, frames=shape.frames, size=(shape.height, shape.width))


def sets_of(library: Library, number: int) -> dict[str, list[Emoji]]:
    """The captions that are asked, at most `number` of each set, spread over it; no caption twice.

    Of unseen clips only captions that no clip of training has.
    """
    known = {one.label for one in library.emoji if one.seen}
    told: dict[str, dict[str, Emoji]] = {"seen": {}, "tones": {}, "labels": {}}
    several = {one.label for one in library.emoji if one.tone >= TONES}  # variants that captions do not tell apart
    trained = {one.text for one in library.emoji if one.seen}
    for one in library.emoji:
        if one.label not in several and (one.seen or one.text not in trained):
            name = "seen" if one.seen else "tones" if one.label in known else "labels"
            told[name].setdefault(one.text, one)
    return {name: spread(list(found.values()), number) for name, found in told.items() if found}


def spread(found: list[Emoji], number: int) -> list[Emoji]:
    """`number` of them, or all if there are fewer, at equal distances."""
    count = min(number, len(found))
    return [found[place * len(found) // count] for place in range(count)]


def through(video: Video, small: VideoShape, shape: VideoShape) -> Video:
    """A clip with the frames and the size of the base, enlarged again by repetition and bilinearly."""
    return video_of(upsample(degrade(tensor_of(video), small), shape), video.fps)


def tensor_of(video: Video) -> Tensor:
    """(1, 3, F, H, W) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(video.frames)).permute(3, 0, 1, 2)[None].float() / 127.5 - 1


def video_of(video: Tensor, fps: float) -> Video:
    """The pictures of (1, 3, F, H, W) in [-1, 1]."""
    return Video(((video[0].permute(1, 2, 3, 0).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy(), fps)


def features_of(network: FeatureNetwork, video: Video) -> Tensor:
    """(D,), the mean over the frames."""
    return network.of_frames(tensor_of(video))[0].mean(0)


def colours_of(videos: Sequence[Video]) -> Tensor:
    """(N, 3) in [0, 1]: the mean colours of what is not white."""
    found = []
    for video in videos:
        pixels = torch.from_numpy(video.frames.reshape(-1, 3)).double() / 255
        drawn = pixels[pixels.amin(1) < WHITE]
        found.append(drawn.mean(0) if len(drawn) else pixels.mean(0))
    return torch.stack(found)


def nearest_captions(cascade: Cascade, library: Library, asked: Sequence[Emoji]) -> list[Emoji]:
    """For each asked caption the training clip whose caption is the nearest other one, by the mean of its tokens."""
    assert cascade.spec.text is not None
    seen = [one for one in library.emoji if one.seen]
    cache = EmbeddingCache(cascade.spec.text, None)
    means = {
        text: (embedding * mask[:, None]).sum(0) / mask.sum()
        for chunk in _chunks(sorted({one.text for one in [*seen, *asked]}), 64)
        for text, embedding, mask in zip(chunk, *_encoded(cache, chunk), strict=True)
    }
    found = []
    for one in asked:
        others = [other for other in seen if other.text != one.text]
        alike = [torch.cosine_similarity(means[one.text], means[other.text], dim=0) for other in others]
        found.append(others[int(torch.stack(alike).argmax())])
    return found


def _encoded(cache: EmbeddingCache, texts: list[str]) -> tuple[Tensor, Tensor]:
    embeddings, mask = cache.encode(texts)
    return embeddings.double(), mask.double()


def _chunks(texts: list[str], size: int) -> list[list[str]]:
    return [texts[start : start + size] for start in range(0, len(texts), size)]


def judged(
    library: Library, network: FeatureNetwork, name: str, asked: Sequence[Emoji], videos: Sequence[Sequence[Video]]
) -> dict[str, Any]:
    """The shares that are right, clustered by caption."""
    hits: dict[str, list[bool]] = {"nearest": []} | ({"colour": []} if name == "tones" else {})
    clusters: list[str] = []
    for one, several in zip(asked, videos, strict=True):
        for video, colour in zip(several, colours_of(several), strict=True):
            clusters.append(one.text)
            features = features_of(network, video)
            if name == "tones":
                among = library.with_label(one.label)
                hits["nearest"].append(library.nearest(features, among).tone == one.tone)
                hits["colour"].append(library.nearest_colour(colour, among).tone == one.tone)
            else:
                hits["nearest"].append(library.nearest(features, range(len(library.emoji))).label == one.label)
    return {aspect: Proportion.of(found, clusters).to_json() for aspect, found in hits.items()}


def table(scores: dict[str, Any]) -> str:
    """What was measured, beside the aims."""
    rows = []
    for name, ways in scores.items():
        for way, shares in ways.items():
            for aspect, share in shares.items():
                aim = AIMS.get(name) if way == "model" and aspect == "nearest" else None
                told = ("", "") if aim is None else (f"{100 * aim:.0f} %", reached(share, aim))
                rows.append((name, way, aspect, f"{share['clusters']}", share_told(share), *told))
    return lines(("set", "way", "by", "captions", "right", "aim", "reached"), rows)


if __name__ == "__main__":
    main()
