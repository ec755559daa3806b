"""Batches in shares and ahead of time: always the ones that a single thread would have made."""

import multiprocessing
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from zoetrope.cascade.spec import Distilled, StageSpec
from zoetrope.data import pack
from zoetrope.data.folder import Folder
from zoetrope.data.shards import Shards
from zoetrope.data.toybox import Toybox
from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.inputs.text import Text
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.shapes import VideoShape
from zoetrope.text.words import Words
from zoetrope.training.batch import Batch, Batches, BatchSlice
from zoetrope.training.loading import Loader
from zoetrope.training.spec import Phase, TrainSpec
from zoetrope.training.walk import items
from zoetrope.video import Video, save_image

BASE = VideoShape(frames=2, height=4, width=8, fps=3)
SSR = VideoShape(frames=2, height=8, width=16, fps=3)
MIXED = (Phase(examples=7, batch=3, frames=1), Phase(examples=23, batch=5, images=0.4))


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingCache:
    """Features of the captions of three toybox scripts and of a few words."""
    cache = EmbeddingCache(Words(width=8), tmp_path_factory.mktemp("cache"))
    cache.prepare([*Toybox(scripts=3).open().captions(), "a clip"])
    return cache


def stage(shape: VideoShape = BASE, source: VideoShape | None = None, **fields: Any) -> StageSpec:
    network = VideoUNetConfig(low_res=source is not None, text_width=8, embedding=16, head=8, levels=(Level(width=8),))
    network = network.with_(guided="distilled" in fields)
    return StageSpec(
        name="ssr1" if source else "base", shape=shape, inputs=usual_inputs(source), network=network, **fields
    )


def batches(texts: EmbeddingCache, of: StageSpec, **fields: Any) -> Batches:
    spec = TrainSpec(**{"data": Toybox(scripts=3), "phases": (Phase(examples=40, batch=5),)} | fields)
    return Batches(stage=of, spec=spec, dataset=spec.data.open(), texts=texts)


def tensors(batch: Batch) -> Iterator[tuple[str, Tensor | None]]:
    yield from (("x", batch.x), ("eps", batch.eps), ("t", batch.t), ("part", batch.part))
    given = batch.conditioning
    for name, tokens in given.tokens.items():
        yield from ((name, tokens.values), (f"{name} mask", tokens.mask))
    yield from (*given.maps.items(), *given.numbers.items(), ("images", given.images))


def expect_equal(one: Batch, other: Batch) -> None:
    assert (one.names, one.size) == (other.names, other.size) and torch.equal(one.times, other.times)
    for (name, left), (_, right) in zip(tensors(one), tensors(other), strict=True):
        assert (left is None) == (right is None), name
        assert left is None or right is None or torch.equal(left, right), name


def joined(shares: list[Batch], name: str) -> Tensor | None:
    """One field of all shares in the order of the whole batch, texts padded to the longest of all."""
    found = [dict(tensors(share))[name] for share in shares]
    values = [value for value in found if value is not None]
    if not values:
        return None
    if name in ("text", "text mask"):
        tail = [0, 0] if name == "text" else []
        axis = -2 if name == "text" else -1
        longest = max(value.shape[axis] for value in values)
        values = [pad(value, [*tail, 0, longest - value.shape[axis]]) for value in values]
    order = torch.cat([share.part for share in shares]).argsort()
    return torch.cat(values)[order]


@pytest.mark.parametrize("world", [2, 3, 7])
@pytest.mark.parametrize(
    ("of", "fields"),
    [
        (stage(), {"phases": MIXED}),
        (stage(SSR, BASE).with_input(Text(dropout=0.5)), {"crop": (4, 8)}),
        (stage(distilled=Distilled(steps=2, weights=(0.0, 3.0))), {}),
    ],
    ids=["base", "ssr", "distilled"],
)
def test_shares_put_together_are_the_whole_batch(
    texts: EmbeddingCache, of: StageSpec, fields: dict[str, Any], world: int
) -> None:
    made = batches(texts, of, **fields)
    for position in (10, 25):
        whole = made.at(position)
        shares = [made.at(position, BatchSlice(rank, world)) for rank in range(world)]
        assert [share.size for share in shares] == [whole.size] * world == [5] * world
        assert [len(share.x) for share in shares] == [len(range(rank, 5, world)) for rank in range(world)]
        assert all(share.names == whole.names[rank::world] for rank, share in enumerate(shares))
        for name, value in tensors(whole):
            both = joined(shares, name)
            assert (both is None) == (value is None), name
            assert both is None or value is None or torch.equal(both, value), name


def test_a_share_loads_only_what_it_holds(texts: EmbeddingCache, monkeypatch: pytest.MonkeyPatch) -> None:
    made = batches(texts, stage())
    seen = []
    part = type(made.dataset).part
    monkeypatch.setattr(
        type(made.dataset), "part", lambda self, index, *at: seen.append(index) or part(self, index, *at)
    )
    batch = made.at(10, BatchSlice(1, 2))
    assert seen == [11, 13] and batch.names == ("clip 11 of toybox", "clip 13 of toybox")


def test_every_clip_and_every_picture_comes_once(texts: EmbeddingCache) -> None:
    spec = TrainSpec(data=Toybox(), phases=(*MIXED, Phase(examples=100, batch=8, images=0.3)))
    clips, pictures, position, sizes = [], [], 0, []
    while position < spec.examples:
        phase, left = spec.phase_at(position)
        size = min(phase.batch, left)
        draw = torch.Generator().manual_seed(position)
        for item in items(stage(), spec, position, size, draw):
            frames = 1 if phase.frames == 1 else BASE.frames
            still = item.pack or frames == 1
            (pictures if still else clips).extend(range(item.number, item.number + (frames if still else 1)))
        sizes.append(size)
        position += size
    assert clips == list(range(len(clips))) and pictures == list(range(len(pictures)))
    assert len(clips) == (23 - 9) + (100 - 30) and len(pictures) == 7 + 2 * (9 + 30)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_gives_the_same_batches_with_processes_and_without(texts: EmbeddingCache, workers: int) -> None:
    made = batches(texts, stage(), phases=MIXED)
    stop = threading.Event()
    busy = threading.Thread(target=lambda: stop.wait(60))
    busy.start()
    torch.set_num_threads(2)  # the threads of OpenMP are there before workers begin
    try:
        (torch.randn(200, 200) @ torch.randn(200, 200)).sum()
        loader = Loader(made, 3, 30, BatchSlice(1, 2), workers)
        coming = iter(loader)
        found = [next(coming)]
        for child in multiprocessing.active_children():  # Ctrl-C reaches the whole group; the training ends its step
            os.kill(child.pid or 0, signal.SIGINT)
            os.kill(child.pid or 0, signal.SIGTERM)
        found += coming
        assert loader.call(lambda: threading.get_ident()) != threading.get_ident()
        loader.close()
    finally:
        torch.set_num_threads(1)
        stop.set()
        busy.join()
    positions = [3, 6, 7, 12, 17, 22, 27]
    assert list(loader.positions()) == positions
    for batch, position in zip(found, positions, strict=True):
        expect_equal(batch, made.at(position, BatchSlice(1, 2)))
    assert 0 < loader.waited < 600


def test_what_is_wrong_with_the_data_is_told_as_it_is(texts: EmbeddingCache, tmp_path: Path) -> None:
    save_image(tmp_path / "still.png", Video.from_tensor(torch.zeros(3, 1, 8, 8), 1).frames[0])
    (tmp_path / "still.txt").write_text("a clip")
    made = batches(texts, stage(), data=Folder(path=str(tmp_path)))
    said = f"{tmp_path}: no clip has 2 frames at 3 fps; the most that fit is 1"
    for workers in (0, 1):
        loader = Loader(made, 0, 40, workers=workers)
        with pytest.raises(ValueError) as caught:
            next(iter(loader))
        assert str(caught.value) == said
        loader.close()


@pytest.mark.parametrize("workers", [0, 1])
def test_damaged_samples_are_counted_and_named(
    texts: EmbeddingCache, tmp_path: Path, caplog: pytest.LogCaptureFixture, workers: int
) -> None:
    (tmp_path / "set").mkdir()
    for number in range(4):
        Video.from_tensor(torch.full((3, 6, 8, 16), number / 4), 3).save(tmp_path / f"set/{number}.mp4")
        (tmp_path / f"set/{number}.txt").write_text("a clip")
    folder = Folder(path=str(tmp_path / "set"))
    (shard,) = pack(tmp_path / "set", folder.open().report.kept, tmp_path / "shards")
    source = Shards(path=str(tmp_path / "shards"))
    victim, state = source.open().shards[0].samples[1], shard.stat()
    with shard.open("r+b") as file:  # damage that neither the size nor the time of the file tells
        file.seek(victim.offset)
        file.write(bytes(victim.size))
    os.utime(shard, ns=(state.st_atime_ns, state.st_mtime_ns))
    made = batches(texts, stage(), data=source, phases=(Phase(examples=12, batch=4),))
    loader = Loader(made, 0, 12, workers=workers)
    names = [name for batch in loader for name in batch.names]
    loader.close()
    called = f"zoetrope-000000.tar/{victim.name}"
    expect_told(loader, made, called, "not a media file, or cut off", caplog)
    assert called not in names and len(names) == 12


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_goes_away_is_named_and_counted(
    texts: EmbeddingCache, tmp_path: Path, caplog: pytest.LogCaptureFixture, workers: int
) -> None:
    for number in range(4):
        Video.from_tensor(torch.full((3, 6, 8, 16), number / 4), 3).save(tmp_path / f"{number}.mp4")
        (tmp_path / f"{number}.txt").write_text("a clip")
    made = batches(texts, stage(), data=Folder(path=str(tmp_path)), phases=(Phase(examples=12, batch=4),))
    (tmp_path / "2.mp4").unlink()
    loader = Loader(made, 0, 12, workers=workers)
    names = [name for batch in loader for name in batch.names]
    loader.close()
    expect_told(loader, made, "2.mp4", "there is no such file", caplog)
    assert set(names) == {"0.mp4", "1.mp4", "3.mp4"} and len(names) == 12


def expect_told(loader: Loader, made: Batches, name: str, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    """Fail unless a file that cannot be read was named once, and counted as often as it was passed over."""
    passed = [item.name for number in range(12) for item in made.dataset.example(number, BASE).skipped]
    assert len(passed) >= 3 and loader.skipped == Counter(passed) == {name: len(passed)}
    said = [record.getMessage() for record in caplog.records if "in for" in record.getMessage()]
    assert len(said) == 2 and said[0].startswith(f"{name}: {reason}")
    assert said[0].endswith("; another clip stands in for it")
    assert said[1] == f"1 clip could not be read, {len(passed)} times in all; others stood in for them"


def test_an_empty_stretch_has_no_batches(texts: EmbeddingCache) -> None:
    loader = Loader(batches(texts, stage()), 40, 40)
    assert list(loader) == []
    loader.close()
