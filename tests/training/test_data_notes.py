"""What a training says of its data before it learns."""

import json
from pathlib import Path

import pytest
import torch

from zoetrope.data.folder import Folder
from zoetrope.data.mixture import Mixture, Part
from zoetrope.data.toybox import Toybox, ToyboxClips
from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.files.store import Store
from zoetrope.shapes import VideoShape
from zoetrope.text.words import Words
from zoetrope.training.batch import Batch, Batches
from zoetrope.training.data_notes import CONTENTS, log_notes
from zoetrope.training.loading import encoded
from zoetrope.video import Video

from .stages import plan, stage


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Two clips with captions, one of them long, and one without."""
    folder = tmp_path / "set"
    folder.mkdir()
    for number, text in enumerate(("a short one", "one two three four five six", None)):
        Video.from_tensor(torch.full((3, 4, 8, 16), number / 4), 4).save(folder / f"{number}.mp4")
        if text is not None:
            (folder / f"{number}.txt").write_text(text)
    return folder


def said(run: Path, source: Folder | Mixture | Toybox, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What is logged when a training begins."""
    caplog.clear()
    dataset = source.open()
    texts = EmbeddingCache(Words(width=8, limit=5), run.parent / "cache")
    log_notes(run, dataset, texts)
    return [record.getMessage() for record in caplog.records]


def test_what_is_not_learnt_from(clips: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = tmp_path / "run"
    run.mkdir()
    assert said(run, Folder(path=str(clips)), caplog) == [
        f"{clips}: 1 dropped:",
        "  2.mp4: has no caption",
        "1 caption fills the 5 tokens that words reads, and what is beyond is not used; "
        "the longest: 'one two three four five six'",
    ]


def test_what_is_too_short_is_told(clips: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Before the training, in its own process: workers are not heard."""
    data = Folder(path=str(clips), captions=False, short="drop")
    Video.from_tensor(torch.zeros(3, 8, 8, 16), 4).save(clips / "3.mp4")
    with caplog.at_level("INFO", "zoetrope"):
        log_notes(tmp_path, data.open(), None, [VideoShape(frames=f, height=8, width=16, fps=4) for f in (1, 8, 99)])
    assert [line for line in caplog.messages if "fit" in line] == [f"{clips}: 1 of 4 clips fit 8x8x16@4fps"]


def test_captions_that_go_by_a_name_are_listed_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later runs begin at once, say the same of them, and learn from the same batches."""
    listed: list[int] = []
    real = ToyboxClips.captions

    def counted(self: ToyboxClips) -> list[str]:
        listed.append(self.source.scripts)
        return real(self)

    monkeypatch.setattr(ToyboxClips, "captions", counted)

    def begun(source: Toybox | Mixture) -> tuple[list[str], list[Batch]]:
        dataset = source.open()
        texts = encoded(dataset, EmbeddingCache(Words(width=8, limit=5), tmp_path / "cache"), lambda *_: None)
        batches = Batches(stage=stage("base"), spec=plan(), dataset=dataset, texts=texts)
        caplog.clear()
        log_notes(tmp_path, dataset, texts)
        return [record.getMessage() for record in caplog.records], [batches.at(0), batches.at(4)]

    told, batches = begun(Toybox(scripts=30))
    assert set(listed) == {30} and "fill the 5 tokens that words reads" in told[0]
    listed.clear()
    again, same = begun(Toybox(scripts=30))
    assert again == told and not listed
    for one, other in zip(batches, same, strict=True):
        assert torch.equal(one.x, other.x) and one.names == other.names
        assert torch.equal(one.conditioning.tokens["text"].values, other.conditioning.tokens["text"].values)
    for source in (Toybox(scripts=31), Toybox(scripts=30, seed=1)):
        begun(source)
        assert listed
        listed.clear()
    two = Mixture(parts=(Part(source=Toybox(scripts=30)), Part(source=Toybox(scripts=30, motions=("orbit",)))))
    assert two.open().listing() == Toybox(scripts=30).open().listing()
    begun(two)
    assert not listed
    store = Store(tmp_path / "cache", most=0, grace=-1)
    store.put("words", {bytes(16): torch.ones(1, 8, dtype=torch.float16)})  # which makes room
    begun(Toybox(scripts=30))
    assert listed


def test_data_that_changed(clips: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run, source = tmp_path / "run", Folder(path=str(clips))
    run.mkdir()
    mixed = Mixture(parts=(Part(source=source), Part(source=Toybox(scripts=2))))
    for number, data in enumerate((source, mixed)):
        told = run / str(number)
        told.mkdir()
        before = said(told, data, caplog)
        assert said(told, data, caplog) == before
        (clips / "0.txt").write_text(f"another {number}")
        changed = said(told, data, caplog)[-1]
        assert changed.endswith(
            "the data have changed since this run was last trained (other names or captions): other examples follow"
        )
        assert said(told, data, caplog) == before
        (clips / "2.txt").write_text("now it has one")
        assert "(3 clips, before there were 2)" in said(told, data, caplog)[-1]
        (clips / "2.txt").unlink()
    for content in ("", "[]", '{"clips": "x"}'):
        (run / "0" / CONTENTS).write_text(content)
        assert not any("have changed" in line for line in said(run / "0", source, caplog))
        assert json.loads((run / "0" / CONTENTS).read_text())["clips"] == 2
    assert len(said(run, Toybox(scripts=2), caplog)) == 1 and not (run / CONTENTS).exists()
