"""Training without a text-video pair: pictures with captions, clips without; and clips at several frame rates."""

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import numbered

from zoetrope.commands.train import expect_data
from zoetrope.conditioning import Conditioning
from zoetrope.data import Source
from zoetrope.data.folder import Folder, scan
from zoetrope.data.mixture import Mixture, Part
from zoetrope.data.toybox import Toybox
from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.inputs import Examples
from zoetrope.inputs.picture import Picture
from zoetrope.inputs.text import Text
from zoetrope.pictures import embed
from zoetrope.shapes import VideoShape
from zoetrope.training.batch import Batch, Batches
from zoetrope.training.known import KnownFrames
from zoetrope.training.known.every import EveryNth
from zoetrope.training.known.none import NoKnown
from zoetrope.training.known.prefix import Prefix
from zoetrope.training.loop import Run
from zoetrope.training.preview import on_grid, subjects
from zoetrope.training.spec import Phase
from zoetrope.video import Video, save_image

from .stages import BASE, CPU, TEXT, batches, recipe, stage
from .test_batch import tensors_of

PICTURES = Toybox(pictures=True, scripts=20)
PHASES = (
    Phase(examples=16, batch=4, frames=1, peak=1e-3),
    Phase(examples=24, batch=4, images=0.5, peak=1e-3),
    Phase(examples=24, batch=4, appended=2, peak=1e-3),
)


def clips(folder: Path, *captions: str) -> Folder:
    """A folder of clips with these captions; none for ""."""
    folder.mkdir()
    for number, text in enumerate(captions):
        Video(numbered(12, 8, 16) // (1 + number), 6).save(folder / f"film{number}.mp4")
        if text:
            (folder / f"film{number}.txt").write_text(text)
    return Folder(path=str(folder))


def unpaired(source: Source) -> Mixture:
    """Pictures of toybox with captions, and clips of a source without."""
    return Mixture(parts=(Part(source=PICTURES), Part(source=source, only="clips", captions=False)))


def of(cache: Path, data: Source, **fields: Any) -> Batches:
    return batches(cache, dropout=0.0, data=data, phases=PHASES, **fields)


def test_clips_are_told_no_text_and_pictures_their_own(cache: Path, tmp_path: Path) -> None:
    made = of(cache, unpaired(clips(tmp_path / "films", "a secret", "another secret")))
    packs = whole = 0
    for position in range(0, 64, 4):
        batch = made.at(position)
        assert isinstance(batch, Batch)
        text, images = batch.conditioning.tokens["text"], batch.conditioning.images
        known = text.mask.any(-1)
        if position < 16:
            assert known.all() and batch.x.shape[2] == 1
        elif position < 40:
            assert images is not None and torch.equal(known, images[:, None].expand_as(known))
            packs, whole = packs + int(images.sum()), whole + int((~images).sum())
        else:
            assert images is not None and torch.equal(known, images) and images.sum(1).tolist() == [2] * 4
        assert not text.values[~text.mask].any()
    assert packs == whole == 12


def test_clips_are_told_one_of_their_frames_and_pictures_themselves(cache: Path, tmp_path: Path) -> None:
    """As in sampling a clip has one embedding, beside packs of pictures and appended ones too."""
    made, seen = of(cache, unpaired(clips(tmp_path / "films", "a secret", "another secret"))), Picture(dropout=0.0)
    network = stage("base").network.with_(picture_width=seen.vector)
    own = made.stage.with_(network=network, inputs=(*made.stage.inputs, seen))
    made, chosen = replace(made, stage=own), set[int]()
    for position in range(16, 64, 4):
        batch = made.at(position)
        assert isinstance(batch, Batch)
        told, images = batch.conditioning.tokens[seen.name].values[:, :, 0], batch.conditioning.images
        every = embed(seen.encoder, batch.x.transpose(1, 2).flatten(0, 1)).unflatten(0, batch.x.shape[:3:2])
        assert images is not None
        alone = images[:, None].expand(told.shape[:2]) if images.ndim == 1 else images
        torch.testing.assert_close(told[alone], every[alone])
        for row in (~alone.all(1)).nonzero().flatten().tolist():
            clip = ~alone[row]
            assert (told[row, clip] == told[row, 0]).all()
            near = (every[row, clip] - told[row, 0]).norm(dim=-1)
            assert near.min() < 1e-3
            chosen |= {int(near.argmin())}
    assert len(chosen) > 1


def test_no_caption_of_a_clip_reaches_the_network(cache: Path, tmp_path: Path) -> None:
    """Batches are the same whatever the captions of clips say, and if there are none; no caption is encoded."""
    told = ("a secret", "another secret")
    sources = [
        clips(tmp_path / "one", *told),
        clips(tmp_path / "other", "it says", "something else"),
        clips(tmp_path / "none", "", "").with_(captions=False),
    ]
    first, *others = (of(cache, unpaired(source)) for source in sources)
    for position in range(0, 64, 4):
        expected = list(tensors_of(first.at(position)))  # type: ignore[arg-type]
        for other in others:
            assert all(map(torch.equal, expected, tensors_of(other.at(position))))  # type: ignore[arg-type]
    opened = unpaired(sources[0]).open()
    assert set(opened.captions()) == set(PICTURES.open().captions())
    assert {opened.example(index, BASE).text for index in range(8)} == {""}
    assert opened.listing() == PICTURES.open().listing() and opened.features() == []


def test_a_run_without_pairs_encodes_nothing_of_clips(tmp_path: Path) -> None:
    data = unpaired(clips(tmp_path / "films", "a secret", "another secret"))
    all_stages = recipe(data=data)
    spec = all_stages.training["base"].with_(phases=PHASES, sample_every=32)
    made = all_stages.with_(training={"base": spec})
    expect_data(made, "base")
    run = Run(made, "base", tmp_path / "run", CPU)
    losses = [progress.loss for progress in run.train(tmp_path / "cache")]
    assert all(loss is not None and math.isfinite(loss) for loss in losses)
    cache = EmbeddingCache(TEXT, tmp_path / "cache")
    assert cache.prepare(PICTURES.open().captions()) == 0
    assert cache.prepare(["a secret", "another secret"]) == 2
    resumed = Run(made, "base", tmp_path / "run", CPU)
    assert resumed.state.examples == 64


def test_sheets_show_captions_of_pictures(cache: Path, tmp_path: Path) -> None:
    made = of(cache, unpaired(clips(tmp_path / "films", "a secret")))
    seen = subjects(made, 30)
    assert seen.shape == BASE and seen.given.tokens["text"].mask.any(-1).all()
    alone = of(cache, Mixture(parts=(Part(source=clips(tmp_path / "lone", "b"), captions=False, only="clips"),)))
    assert not subjects(alone, 30).given.tokens


def test_pictures_of_a_later_phase_are_expected_before_the_first(tmp_path: Path) -> None:
    data = Mixture(parts=(Part(source=clips(tmp_path / "films", "a secret"), only="clips"),))
    whole, first = recipe(data=data), Phase(examples=8, batch=4)
    for later in (first.with_(images=0.5), first.with_(appended=1)):
        made = whole.with_(training={"base": whole.training["base"].with_(phases=(first, later))})
        with pytest.raises(ValueError, match="expected a part that gives single pictures, got parts that give only cl"):
            expect_data(made, "base")
    expect_data(whole, "base")


def test_sheets_of_pictures_alone(cache: Path) -> None:
    """Where no phase takes clips, frames of a sheet are pictures, as in training."""
    data = Mixture(parts=(Part(source=PICTURES, only="pictures"),))
    made = batches(cache, data=data, phases=(Phase(examples=16, batch=4, images=1.0),))
    seen = subjects(made, 16)
    assert seen.shape == BASE and seen.given.tokens["text"].mask.any(-1).all()
    opened = data.open()
    shown = on_grid(opened, 3, BASE).video
    assert torch.equal(shown[:, 1:], opened.example(4, BASE.with_(frames=1)).video)


def test_a_folder_without_captions(tmp_path: Path) -> None:
    folder = clips(tmp_path / "films", "a caption", "", "")
    save_image(tmp_path / "films/README.png", numbered(1, 8, 16)[0])
    (tmp_path / "films/lone.txt").write_text("no film")
    assert len(scan(folder).kept) == 1
    report = scan(folder.with_(captions=False))
    assert [clip.name for clip in report.kept] == ["README.png", "film0.mp4", "film1.mp4", "film2.mp4"]
    assert {clip.text for clip in report.kept} == {""} and not report.dropped
    assert folder.with_(captions=False).open().captions() == []


def test_what_each_part_gives() -> None:
    parts = (Part(source=Toybox(scripts=3), only="pictures"), Part(source=Toybox(scripts=3, seed=1), only="clips"))
    mixed, still = Mixture(parts=parts).open(), BASE.with_(frames=1)
    first, second = (part.source.open() for part in parts)
    for index in range(4):
        assert torch.equal(mixed.example(index, still).video, first.example(index, still).video)
        assert torch.equal(mixed.example(index, BASE).video, second.example(index, BASE).video)
    lone = Mixture(parts=parts[:1]).open()
    assert lone.gives(still) and not lone.gives(BASE)
    with pytest.raises(ValueError, match="expected a part that gives clips of 2 frames, got parts that give only pict"):
        lone.example(0, BASE)
    with pytest.raises(ValueError, match="only"):
        Part.from_json({"source": {"type": "toybox"}, "only": "picture"})


class RatedText(Text):
    """Text, and the frame rate beside it."""

    @property
    def name(self) -> str:
        """As the text is called."""
        return "text"

    def of_examples(self, shape: VideoShape, examples: Examples) -> Conditioning:
        """See `Input`."""
        assert examples.rates is not None
        return super().of_examples(shape, examples) | Conditioning(numbers={"rate": examples.rates})


def test_clips_are_taken_at_the_rates_of_their_phase_and_inputs_are_told(cache: Path) -> None:
    """High rates first; each clip is the data's own at its rate."""
    high, low = (24, 12), (6, 3, 1.5)
    phases = (Phase(examples=120, batch=8, rates=high), Phase(examples=120, batch=8, rates=low, images=0.25))
    made = replace(batches(cache, phases=phases), stage=stage("base").with_input(RatedText()))
    world, seen = Toybox(scripts=3).open(), Counter[float]()
    for position in range(0, 240, 8):
        batch, again = made.at(position), made.at(position)
        assert isinstance(batch, Batch)
        assert all(map(torch.equal, tensors_of(batch), tensors_of(again)))  # type: ignore[arg-type]
        for row, name in enumerate(batch.names):
            if batch.conditioning.images is None or not batch.conditioning.images[row]:
                rate = float(batch.conditioning.numbers["rate"][row])
                clip = world.example(int(name.split()[1]), BASE.with_(fps=rate))
                assert torch.equal(clip.video, batch.x[row]) and rate in (low if position >= 120 else high)
                seen[rate] += 1
    assert sum(seen.values()) == 120 + 90
    assert all(40 < seen[rate] < 80 for rate in high) and all(15 < seen[rate] < 45 for rate in low)


def test_known_frames_at_other_rates_have_other_times(cache: Path) -> None:
    made = batches(cache, phases=(Phase(examples=40, batch=8, rates=(8, 2)),), known=Prefix())
    steps = set[float]()
    for position in range(0, 40, 8):
        batch = made.at(position)
        assert isinstance(batch, Batch) and batch.conditioning.times is not None
        steps |= set(batch.conditioning.times.diff(dim=1).flatten().tolist())
    assert steps == {1 / 8, 1 / 2}


@pytest.mark.parametrize("known", [None, NoKnown(), EveryNth(skips=(2,))])
def test_fewer_frames_at_other_rates_are_spread_over_the_same_seconds(cache: Path, known: KnownFrames | None) -> None:
    """Two of four frames: inputs are told how fast those follow each other that are shown."""
    phases = (Phase(examples=40, batch=8, frames=2, rates=(8, 2)),)
    made = batches(cache, phases=phases, known=known)
    own = stage("base").on(BASE.with_(frames=4)).with_input(RatedText())
    batch = replace(made, stage=own).at(0)
    assert isinstance(batch, Batch)
    rates = batch.conditioning.numbers["rate"]
    spread = 1 if isinstance(known, EveryNth) else 2  # which shows frames in a row
    assert set(rates.tolist()) == {8 / spread, 2 / spread}
    if known is not None:
        assert batch.conditioning.times is not None
        torch.testing.assert_close(1 / batch.conditioning.times.diff(dim=1)[:, 0], rates)


def test_rates_that_data_or_grids_do_not_have() -> None:
    slow = recipe(phases=(Phase(examples=8, batch=4, rates=(3, 0.1)),))
    with pytest.raises(ValueError, match=r"its clips last up to 5.33 s, not 20.00 s"):
        expect_data(slow, "base")
    with pytest.raises(ValueError, match="rates"):
        Phase.from_json({"examples": 8, "rates": [0]})
    grids = ({"frames": 2, "height": 4, "width": 8},)
    with pytest.raises(ValueError, match="phases: expected no rates with grids, which have frame rates of their own"):
        recipe().override("base.training.phases", [{"examples": 8, "rates": [3]}]).override(
            "base.training.grids", grids
        )
