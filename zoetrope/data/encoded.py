"""Latents on disk, as `zoetrope data encode` writes them: a folder with their codec, so that training decodes nothing.

`latents.json` describes them; `00000.safetensors` and so on hold the latents (N, C, F, h, w) of up to `PART` examples
each, and `00000.jsonl` their names and captions.
"""

import hashlib
import json
import logging
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from torch import Tensor

from zoetrope.codecs import FOLDER, CodecNetwork, copy_codec, decoded, encoded, identity, latent_identity, load_codec
from zoetrope.config import Config
from zoetrope.data import Contents, Dataset, Example, Source, expect_all_present
from zoetrope.data.latents import MOTION, expect_pictures, with_motion
from zoetrope.files import whole, write_text
from zoetrope.files.tensors import save_tensors
from zoetrope.shapes import VideoShape, Window

log = logging.getLogger(__name__)
DESCRIPTION, PART = "latents.json", 256
_Row = tuple[str, str, dict[str, float | str]]
"""The name and the caption of a clip, and numbers and labels of it."""


class EncodedClips(Config):
    """What a folder of latents holds.

    Attributes:
        shape: of the latents of each clip.
        count: of clips.
        codec: what latents depend on, see `zoetrope.codecs.latent_identity`. Earlier versions wrote the identity.
        source: what was encoded: as JSON, or a digest of data on disk.
    """

    shape: VideoShape
    count: Annotated[int, Field(ge=1, le=10**9)]
    codec: str
    source: str

    @property
    def parts(self) -> int:
        """How many files they are in."""
        return -(-self.count // PART)


class Encoded(Source):
    """A folder of latents.

    Attributes:
        path: the folder.
    """

    path: str

    @property
    def codec_folder(self) -> Path:
        """See `Source`: in the same folder."""
        return Path(os.path.expanduser(self.path)) / FOLDER

    def open(self) -> "EncodedDataset":
        """The latents. Raises ValueError if some are missing, or are of another codec than the one beside them."""
        return EncodedDataset(Path(os.path.expanduser(self.path)))

    def located(self) -> Self:
        """See `Source`."""
        return self.with_(path=str(Path(os.path.expanduser(self.path)).absolute()))


class EncodedDataset(Dataset):
    """Clips of scaled latents (C, F, h, w), over and over; also every one of their frames as a picture."""

    def __init__(self, folder: Path):
        self.folder, self.clips = folder, _description(folder)
        self.named: list[_Row] = []
        for number in range(self.clips.parts):
            self.named += _names(folder, number)
        if len(self.named) != self.clips.count:
            raise ValueError(f"{folder}: expected {self.clips.count} clips, got captions of {len(self.named)}")
        self.codec = load_codec(folder / FOLDER)
        if self.clips.codec not in _names_of(self.codec):
            raise ValueError(f"{folder}: expected latents of the codec in {FOLDER}/, got latents of another codec")

    def pixels(self, videos: Tensor) -> Tensor:
        """See `Dataset`: decoded."""
        return decoded(self.codec, videos)

    def gives(self, shape: VideoShape) -> bool:
        """See `Dataset`: clips with all frames, or with every n-th, and pictures, all of the stored size."""
        own = self.clips.shape
        if (shape.height, shape.width) != (own.height, own.width):
            return False
        return shape.frames == 1 or (
            own.frames % shape.frames == 0 and math.isclose(shape.seconds, own.seconds, rel_tol=1e-6)
        )

    def example(self, index: int, shape: VideoShape) -> Example:
        """Clip number `index`, or, for single pictures, the next frame of each clip in turn."""
        own = self.clips.shape
        if not self.gives(shape):
            wanted = self.codec.codec.pixels(shape)
            raise ValueError(
                f"{self.folder}: holds latents of {own}, or of every n-th of its frames, not of {shape}; encode clips "
                f"of {wanted}, or train at the one rate (training.phases.N.rates=[])"
            )
        turn, number = divmod(index, self.clips.count)
        if shape.frames == 1:
            first = turn % own.frames
            frames = slice(first, first + 1)
        else:
            frames = slice(0, own.frames, own.frames // shape.frames)
        name, text, told = self.named[number]
        path = self.folder / f"{number // PART:05d}.safetensors"
        try:
            with safe_open(path, framework="pt") as file:
                video = file.get_slice("latents")[number % PART]
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path}: expected latents ({error}); encode them again") from None
        made = Example(video[:, frames].clone(), text, name, told=told)
        return made if shape.frames == own.frames else _untold(made)

    def part(self, index: int, shape: VideoShape, window: Window) -> Example:
        """See `Dataset`."""
        some = super().part(index, shape, window)
        return some if len(window.frames) == shape.frames else _untold(some)

    def frames(self, index: int, shape: VideoShape, numbers: Sequence[int]) -> Example:
        """See `Dataset`."""
        some = super().frames(index, shape, numbers)
        return some if list(numbers) == list(range(shape.frames)) else _untold(some)

    def tells(self) -> dict[str, str]:
        """See `Dataset`: what the clips told when they were encoded."""
        kinds = {False: "number", True: "label"}
        return {name: kinds[isinstance(value, str)] for *_, told in self.named for name, value in told.items()}

    def contents(self) -> Contents:
        """See `Dataset`."""
        rows = [row if row[2] else row[:2] for row in self.named]
        digest = hashlib.sha256(json.dumps([self.clips.to_json(), rows]).encode()).hexdigest()
        return Contents(self.clips.count, digest)

    def captions(self) -> list[str]:
        """See `Dataset`."""
        return sorted({text for _, text, _ in self.named} - {""})


def _untold(example: Example) -> Example:
    """An example of some of a clip's frames without the motion strength, which is that of all of them."""
    return example._replace(told={what: value for what, value in example.told.items() if what != MOTION})


def is_encoded(path: str | Path) -> bool:
    """Whether this is a folder of latents."""
    return (Path(os.path.expanduser(path)) / DESCRIPTION).is_file()


def encode(
    source: Source,
    codec_folder: Path,
    clips: VideoShape,
    count: int | None,
    out: Path,
    progress: Callable[[int, int], None],
    device: torch.device,
) -> EncodedClips:
    """Write the latents of the first examples of a source on the grid `clips` of pixels into a folder.

    `count` is by default as many as the source has clips of that grid. Files that are there already are kept, so that
    an encoding that was interrupted goes on. `progress(done, total)` is called after every file. What gives no clip,
    and what stands in for one that can no longer be read, is logged.

    Raises ValueError for a grid that the codec cannot encode, for a source without an end where no `count` is given,
    and for a folder with other latents.
    """
    network, dataset = load_codec(codec_folder), source.open()
    expect_pictures(dataset)
    for line in (line for item in dataset.unused() for line in item.lines()):
        log.warning("%s", line)
    if lost := sorted(name for name, kind in dataset.tells().items() if kind in ("action", "map")):
        log.warning("%s: latents are kept without what lies beside clips, %s", out, ", ".join(lost))
    contents, shape = dataset.contents(), network.codec.latents(clips)
    number = dataset.count(clips) if count is None else count
    if number is None:
        raise ValueError("--count: expected how many clips to encode, for these data have no end")
    if count is None and not dataset.each_once(clips):
        raise ValueError(
            "--count: expected how many clips to encode, for parts of this mixture come as often as their weights say: "
            f"its first {number} clips are not each clip once"
        )
    what = json.dumps(source.to_json()) if contents is None else _digest(source, contents)
    made = EncodedClips(shape=shape, count=number, codec=latent_identity(network), source=what)
    if is_encoded(out):
        known, kept = _description(out), load_codec(out / FOLDER)
        alike = known.codec in _names_of(kept) and latent_identity(kept) == made.codec
        if not alike or known.with_(codec=made.codec) != made:
            raise ValueError(f"{out}: holds other latents, {known.count} of {known.shape}; choose another folder")
        if identity(kept) != identity(network):
            log.warning("%s: keeps its own decoder, not that of %s; latents are the same", out / FOLDER, codec_folder)
    else:
        if _others(out, network):
            raise ValueError(f"{out}: expected a new folder, or one of these latents, got one with other files")
        out.mkdir(parents=True, exist_ok=True)
        if not (out / FOLDER).exists():
            copy_codec(codec_folder, out / FOLDER)
        write_text(out / DESCRIPTION, json.dumps(made.to_json(), indent=1) + "\n")
    network = network.to(device)
    for part in range(made.parts):
        if not (out / f"{part:05d}.safetensors").is_file():
            _write(network, dataset, clips, range(part * PART, min(made.count, (part + 1) * PART)), out)
        progress(min(made.count, (part + 1) * PART), made.count)
    return made


def _digest(source: Source, contents: Contents) -> str:
    """What tells data on disk apart, wherever they are: their contents, and how the source makes examples of them."""

    def placeless(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: placeless(each) for key, each in value.items() if not key.startswith("cache")}
        if isinstance(value, list):
            return [placeless(each) for each in value]
        return "" if isinstance(value, str) and os.path.isabs(value) else value

    told = json.dumps([placeless(source.located().to_json()), contents.digest], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def _names_of(network: CodecNetwork) -> tuple[str, str]:
    """How a folder of a codec's latents may name it."""
    return latent_identity(network), identity(network)


def _others(out: Path, network: CodecNetwork) -> bool:
    """Whether a folder holds anything but this codec, with which an encoding begins, and remains of killed ones."""
    there = {path.name for path in out.iterdir() if not path.name.startswith(".")} if out.exists() else set[str]()
    return bool(there - {FOLDER}) or (FOLDER in there and identity(load_codec(out / FOLDER)) != identity(network))


def _write(network: CodecNetwork, dataset: Dataset, clips: VideoShape, numbers: range, out: Path) -> None:
    """Write one file of latents, after that of their captions."""
    device, rows, latents = network.scale.device, list[dict[str, Any]](), list[torch.Tensor]()
    for number in numbers:
        example = dataset.example(number, clips)
        for line in example.replaced():
            log.warning("%s", line)
        expect_all_present(example, "latents on disk keep no gaps")
        told = with_motion(example, clips.fps).told
        rows.append({"name": example.name, "text": example.text, "told": dict(told)})
        latents.append(encoded(network, example.video[None].to(device)).cpu())
    stem = f"{numbers.start // PART:05d}"
    write_text(out / f"{stem}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    with whole(out / f"{stem}.safetensors") as partial:
        save_tensors({"latents": torch.cat(latents).contiguous()}, partial)


def _description(folder: Path) -> EncodedClips:
    path = folder / DESCRIPTION
    try:
        return EncodedClips.from_json(path.read_text("utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: expected the description of latents ({error.strerror})") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _names(folder: Path, part: int) -> list[_Row]:
    """Names, captions and what else clips tell, in one file. Raises ValueError unless it and its latents are there."""
    path = folder / f"{part:05d}.jsonl"
    if not path.with_suffix(".safetensors").is_file():
        raise ValueError(f"{path.with_suffix('.safetensors')}: expected latents, got none; go on with their encoding")
    try:
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        return [(str(row["name"]), str(row["text"]), dict(row.get("told", {}))) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: expected a line of JSON for each clip, with name and text ({error})") from None
