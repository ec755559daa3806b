"""Latents on disk: those that training would encode, whole, resumable, and of their codec alone."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from cascade.latent import BASE, CODEC, MADE, Z, codec, recipe

from tests.training.test_checkpoints import largest_file
from zoetrope.channels import RGB
from zoetrope.codecs import CodecNetwork, Posterior, identity, latent_identity, load_codec, save_codec
from zoetrope.data import Dataset, Example, Source
from zoetrope.data import encoded as encoding
from zoetrope.data.camera import Camera
from zoetrope.data.clip import OneClip
from zoetrope.data.encoded import Encoded, encode, is_encoded
from zoetrope.data.folder import Folder
from zoetrope.data.latents import MOTION, Latents, LatentsDataset
from zoetrope.data.mixture import Mixture, Part
from zoetrope.data.pictured import Pictured
from zoetrope.data.toybox import Toybox
from zoetrope.shapes import VideoShape, Window
from zoetrope.training.batch import Batches
from zoetrope.training.loop import Run
from zoetrope.training.preview import on_grid, subjects
from zoetrope.video import Video, save_image

CPU = torch.device("cpu")
CLIPS = Toybox(scripts=3)


def quiet(done: int, total: int) -> None:
    """Say nothing."""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A codec on disk; files of latents hold four clips."""
    monkeypatch.setattr(encoding, "PART", 4)
    save_codec(codec(), tmp_path / "mine")
    return tmp_path / "mine"


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Three captioned films of a second."""
    folder = tmp_path / "films"
    folder.mkdir()
    for number in range(3):
        frames = np.full((4, 8, 12, 3), 60 * number, np.uint8)
        Video(frames, 4).save(folder / f"{number}.mp4")
        (folder / f"{number}.txt").write_text(f"film {number}")
    return folder


def test_they_are_the_latents_that_training_would_encode(mine: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    told: list[tuple[int, int]] = []
    made = encode(CLIPS, mine, MADE, 10, out, lambda *how: told.append(how), CPU)
    assert made.shape == Z and told == [(4, 10), (8, 10), (10, 10)] and is_encoded(out) and not is_encoded(tmp_path)
    source = Encoded(path=str(out))
    assert Source.from_json(source.to_json()) == source and source.located().path == str(out)
    assert identity(load_codec(source.codec_folder)) == identity(codec())
    stored, live = source.open(), Latents(source=CLIPS, codec=str(mine)).open()
    for index in (0, 5, 9):
        one, two = stored.example(index, Z), live.example(index, Z)
        assert torch.equal(one.video, two.video) and (one.text, one.name) == (two.text, two.name)
    assert torch.equal(stored.example(13, Z).video, stored.example(3, Z).video)  # over and over
    assert stored.captions() == sorted({live.example(index, Z).text for index in range(10)})
    # Fewer frames of the same seconds, and every frame as a picture.
    half = Z.with_(frames=1, fps=Z.fps / 2)
    pictures = [stored.example(index, half).video for index in range(20)]
    assert torch.equal(torch.cat([pictures[3], pictures[13]], dim=1), stored.example(3, Z).video)
    assert stored.gives(half) and not stored.gives(MADE) and not stored.gives(Z.with_(fps=9))
    with pytest.raises(ValueError, match=r"holds latents of 2x4x6@3fps, .*, not of 2x8x12@3fps"):
        stored.example(0, MADE)


def test_folders_of_earlier_versions_name_the_whole_codec(mine: Path, tmp_path: Path) -> None:
    encode(CLIPS, mine, MADE, 10, tmp_path / "out", quiet, CPU)
    file = tmp_path / "out/latents.json"
    text, network = file.read_text(), load_codec(mine)
    assert latent_identity(network) in text
    file.write_text(text.replace(latent_identity(network), identity(network)))
    encode(CLIPS, mine, MADE, 10, tmp_path / "out", quiet, CPU)
    Encoded(path=str(tmp_path / "out")).open()
    file.write_text(text.replace(latent_identity(network), identity(codec(seed=4))))
    with pytest.raises(ValueError, match="expected latents of the codec in codec/, got latents of another codec"):
        Encoded(path=str(tmp_path / "out")).open()
    with pytest.raises(ValueError, match="holds other latents"):
        encode(CLIPS, mine, MADE, 10, tmp_path / "out", quiet, CPU)


def test_an_encoding_that_was_interrupted_goes_on(mine: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    encode(CLIPS, mine, MADE, 10, whole, quiet, CPU)

    def interrupt(done: int, total: int) -> None:
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode(CLIPS, mine, MADE, 10, parts, interrupt, CPU)
    with pytest.raises(ValueError, match=r"00002.safetensors: expected latents, got none; go on with their encoding"):
        Encoded(path=str(parts)).open()
    before = (parts / "00000.safetensors").stat().st_mtime_ns
    encode(CLIPS, mine, MADE, 10, parts, quiet, CPU)
    assert (parts / "00000.safetensors").stat().st_mtime_ns == before
    assert {path.name: path.read_bytes() for path in parts.iterdir() if path.is_file()} == {
        path.name: path.read_bytes() for path in whole.iterdir() if path.is_file()
    }


def test_a_training_on_them_is_that_on_the_clips(mine: Path, tmp_path: Path) -> None:
    encode(CLIPS, mine, MADE, 24, tmp_path / "out", quiet, CPU)
    live = recipe(mine)
    stored = live.override("base.training.data", Encoded(path=str(tmp_path / "out")).to_json())
    found = []
    for name, made in (("live", live), ("stored", stored)):
        list(Run(made, "base", tmp_path / name, CPU).train(tmp_path / "cache"))
        found.append((tmp_path / name / "checkpoints/000000024/average.safetensors").read_bytes())
    assert found[0] == found[1] and BASE.codec == CODEC


def test_sheets_of_a_training_on_longer_clips(mine: Path, tmp_path: Path) -> None:
    """Latents are of one length; a training that shows some frames of them shows the first ones on sheets."""
    encode(CLIPS, mine, MADE.with_(frames=6), 4, tmp_path / "out", quiet, CPU)
    data = Encoded(path=str(tmp_path / "out"))
    made = recipe(mine).override("base.training.data", data.to_json())
    levels = [{**made.cascade.stages[0].network.to_json()["levels"][0], "temporal": ["attention"]}]
    made = made.overridden({"base.network.levels": levels, "base.training.known": {"type": "any", "length": 6}})
    stage, spec = made.cascade.stage("base"), made.train_spec("base")
    seen = subjects(Batches(stage=stage, spec=spec, dataset=data.open(), texts=None), 8)
    assert seen.shape == Z
    longer, opened = Z.with_(frames=6), data.open()
    assert torch.equal(on_grid(opened, 2, Z, [longer]).video, opened.example(2, longer).video[:, : Z.frames])


def test_what_cannot_be_encoded_or_read(mine: Path, tmp_path: Path, films: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="height: expected a multiple of the codec's factor 2, got 9"):
        encode(CLIPS, mine, MADE.with_(height=9), 4, out, quiet, CPU)
    with pytest.raises(ValueError, match="--count: expected how many clips to encode, for these data have no end"):
        encode(CLIPS, mine, MADE, None, out, quiet, CPU)
    assert not out.exists()
    made = encode(Folder(path=str(films)), mine, MADE, None, out, quiet, CPU)
    assert made.count == 3 and len(Encoded(path=str(out)).open().captions()) == 3
    with pytest.raises(ValueError, match=r"holds other latents, 3 of 2x4x6@3fps; choose another folder"):
        encode(CLIPS, mine, MADE, 3, out, quiet, CPU)
    with pytest.raises(ValueError, match="got one with other files"):
        encode(CLIPS, mine, MADE, 3, films, quiet, CPU)
    save_codec(codec(seed=4), out / "codec", over=True)
    with pytest.raises(ValueError, match="expected latents of the codec in codec/, got latents of another codec"):
        Encoded(path=str(out)).open()
    (out / "00000.jsonl").write_text(json.dumps({"name": "x"}) + "\n")
    with pytest.raises(ValueError, match=r"00000.jsonl: expected a line of JSON for each clip"):
        Encoded(path=str(out)).open()
    with pytest.raises(ValueError, match=r"latents.json: expected the description of latents \(No such file"):
        Encoded(path=str(tmp_path / "nowhere")).open()


def test_all_clips_are_those_of_the_grid(
    mine: Path, tmp_path: Path, films: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each once: pictures and films that are too short are no clips, and what cannot be used is said."""
    save_image(films / "still.png", np.zeros((8, 12, 3), np.uint8))
    (films / "still.txt").write_text("a picture")
    (films / "broken.mp4").write_bytes(b"none")
    (films / "broken.txt").write_text("broken")
    made = encode(Folder(path=str(films)), mine, MADE, None, tmp_path / "out", quiet, CPU)
    assert made.count == 3 and "broken.mp4" in caplog.text
    stored = Encoded(path=str(tmp_path / "out")).open()
    assert sorted(name for name, *_ in stored.named) == ["0.mp4", "1.mp4", "2.mp4"]
    stills = encode(Folder(path=str(films)), mine, MADE.with_(frames=1), None, tmp_path / "stills", quiet, CPU)
    assert stills.count == 4
    both = Mixture(parts=(Part(source=Folder(path=str(films))), Part(source=CLIPS)))
    with pytest.raises(ValueError, match="--count: expected how many clips to encode, for these data have no end"):
        encode(both, mine, MADE, None, tmp_path / "both", quiet, CPU)


def test_an_encoding_that_had_only_copied_the_codec_goes_on(mine: Path, tmp_path: Path) -> None:
    save_codec(codec(), tmp_path / "out/codec")
    (tmp_path / "out/.latents.json.partial").write_text("")
    assert encode(CLIPS, mine, MADE, 2, tmp_path / "out", quiet, CPU).count == 2
    save_codec(codec(seed=4), tmp_path / "other/codec")
    with pytest.raises(ValueError, match="got one with other files"):
        encode(CLIPS, mine, MADE, 2, tmp_path / "other", quiet, CPU)


def test_some_frames_of_a_clip_do_not_tell_how_much_moves_in_all(mine: Path, tmp_path: Path) -> None:
    """Every n-th frame changes otherwise in a second: it is measured of these, as on clips that are encoded live."""
    clips, four = MADE.with_(frames=4, fps=6), Z.with_(frames=4, fps=6)
    encode(CLIPS, mine, clips, 2, tmp_path / "out", quiet, CPU)
    stored, live = Encoded(path=str(tmp_path / "out")).open(), Latents(source=CLIPS, codec=str(mine)).open()
    whole = Window.whole(four)
    assert stored.part(0, four, whole).told == live.part(0, four, whole).told == stored.example(0, four).told != {}
    some = (
        stored.example(0, four.with_(frames=2, fps=3)),
        stored.frames(0, four, [0, 2]),
        stored.part(0, four, whole._replace(frames=range(2))),
    )
    assert all(MOTION not in one.told for one in some) and MOTION in stored.frames(0, four, range(4)).told


def test_clips_are_encoded_a_few_frames_at_a_time(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live = Latents(source=CLIPS, codec=str(mine)).open()
    seen, own = list[int](), type(live.codec).posterior

    def watched(network: CodecNetwork, x: torch.Tensor) -> Posterior:
        seen.append(x.shape[2])
        return own(network, x)

    monkeypatch.setattr(type(live.codec), "posterior", watched)
    monkeypatch.setattr("zoetrope.codecs.AT_ONCE", 2 * 8 * 12)
    live.example(0, Z.with_(frames=5))
    assert seen == [2, 2, 1]


def test_codecs_are_of_pictures_alone(mine: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("zoetrope.data.toybox.ToyboxClips.channels", lambda _: RGB[:1])
    with pytest.raises(ValueError, match=r"expected the channels .*: codecs are of RGB pictures"):
        Latents(source=CLIPS, codec=str(mine)).open()
    with pytest.raises(ValueError, match="codecs are of RGB pictures"):
        encode(CLIPS, mine, MADE, 2, tmp_path / "out", quiet, CPU)


class Holed(Dataset):
    """Clips of toybox of which one pixel of the second frame is missing."""

    whole = CLIPS.open()

    def example(self, index: int, shape: VideoShape) -> Example:
        whole = self.whole.example(index, shape)
        present = torch.ones_like(whole.video, dtype=torch.bool)
        if shape.frames > 1:
            present[1, 1, 3, 5] = False
        else:
            present[0, 0, 0, 0] = False
        beside = {"map": whole.video[:1]}
        return whole._replace(video=torch.where(present, whole.video, 0), present=present, beside=beside, text="")

    def captions(self) -> list[str]:
        return []


def test_latents_are_present_of_which_all_pixels_are(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    latents = LatentsDataset(codec(), Holed())
    whole = latents.example(0, Z)
    assert whole.present is not None and whole.present.shape == whole.video.shape
    gone = torch.zeros_like(whole.present)
    gone[:, 1, 3 // CODEC.factor, 5 // CODEC.factor] = True
    assert torch.equal(~whole.present, gone)
    window = Window(range(1, 2), range(1, 3), range(2, 5))
    part = latents.part(0, Z, window)
    assert part.present is not None and torch.equal(part.present, window.of(whole.present))
    factor = CODEC.factor
    there = Window(window.frames, *(range(factor * side.start, factor * side.stop) for side in window[1:]))
    assert torch.equal(part.beside["map"], there.of(whole.beside["map"]))
    monkeypatch.setattr(Toybox, "open", lambda self: Holed())
    with pytest.raises(ValueError, match="expected values everywhere, got 1 missing value: latents on disk keep no g"):
        encode(CLIPS, mine, MADE, 2, tmp_path / "out", quiet, CPU)
    with pytest.raises(ValueError, match="expected values everywhere, got 1 missing value: embeddings are of whole pi"):
        Pictured(source=CLIPS).open().example(0, VideoShape(frames=1, height=1, width=1, fps=1))


def test_clips_without_captions_have_none_to_encode(mine: Path, tmp_path: Path, films: Path) -> None:
    encode(Folder(path=str(films), captions=False), mine, MADE, 3, tmp_path / "out", quiet, CPU)
    opened = Encoded(path=str(tmp_path / "out")).open()
    assert opened.captions() == [] and opened.example(0, Z).text == ""
    (film, *_) = films.glob("*.mp4")
    assert OneClip(path=str(film), text="").open().captions() == []


def test_a_full_disk_names_the_file(mine: Path, tmp_path: Path) -> None:
    """And files are readable to those whom the user's other files are."""
    other = tmp_path / "file"
    other.touch()
    encode(CLIPS, mine, MADE.with_(frames=16), 1, tmp_path / "out", quiet, CPU)
    mode = other.stat().st_mode
    assert {path.stat().st_mode for path in (tmp_path / "out").rglob("*.safetensors")} == {mode}
    (tmp_path / "out/00000.safetensors").unlink()
    with largest_file(1000), pytest.raises(OSError, match=r"00000\.safetensors: cannot be written .*File too large"):
        encode(CLIPS, mine, MADE.with_(frames=16), 1, tmp_path / "out", quiet, CPU)
    with largest_file(1000), pytest.raises(OSError, match=r"model\.safetensors: cannot be written .*File too large"):
        save_codec(codec(), tmp_path / "again")
    assert not any(path.name.endswith(".partial") for path in tmp_path.rglob("*"))


def test_latents_of_the_same_files_in_another_way_are_others(mine: Path, tmp_path: Path, films: Path) -> None:
    out, source = tmp_path / "out", Camera(source=Folder(path=str(films)), move="left")
    encode(source, mine, MADE, None, out, quiet, CPU)
    moved = films.rename(tmp_path / "elsewhere")
    source = source.with_(source=Folder(path=str(moved)))
    assert encode(source, mine, MADE, None, out, quiet, CPU).count == 3
    for other in (source.with_(move="right"), source.with_(amount=0.1), Folder(path=str(moved), seed=1)):
        with pytest.raises(ValueError, match="holds other latents, 3 of "):
            encode(other, mine, MADE, None, out, quiet, CPU)


def test_a_mixture_is_encoded_whole_or_by_count(mine: Path, tmp_path: Path, films: Path) -> None:
    """Parts come as often as their weights say, so that the first clips are each once only if these fit the numbers."""
    one = tmp_path / "one"
    one.mkdir()
    for name in ("0.mp4", "0.txt"):
        (one / name).write_bytes((films / name).read_bytes())
    sources = Folder(path=str(films)), Folder(path=str(one))

    def mixed(*weights: float) -> Mixture:
        return Mixture(parts=tuple(Part(source=each, weight=w) for each, w in zip(sources, weights, strict=True)))

    for source in (mixed(1, 1), Camera(source=mixed(4, 1), move="left")):
        with pytest.raises(ValueError, match="its first 4 clips are not each clip once"):
            encode(source, mine, MADE, None, tmp_path / "none", quiet, CPU)
        assert not (tmp_path / "none").exists()
    assert encode(mixed(1, 1), mine, MADE, 6, tmp_path / "six", quiet, CPU).count == 6
    encode(mixed(3, 1), mine, MADE, None, tmp_path / "out", quiet, CPU)
    names = sorted(name for name, *_ in Encoded(path=str(tmp_path / "out")).open().named)
    assert names == ["0.mp4", "0.mp4", "1.mp4", "2.mp4"]


def test_all_frames_of_a_clip_tell_how_much_moves(mine: Path, tmp_path: Path) -> None:
    """As a training with known frames asks for them, live and from disk."""
    clips, four = MADE.with_(frames=4, fps=6), Z.with_(frames=4, fps=6)
    encode(CLIPS, mine, clips, 2, tmp_path / "out", quiet, CPU)
    stored, live = Encoded(path=str(tmp_path / "out")).open(), Latents(source=CLIPS, codec=str(mine)).open()
    for numbers in ([0, 1, 2, 3], [0, 2], [1]):
        assert stored.frames(1, four, numbers).told == live.frames(1, four, numbers).told
    assert live.frames(1, four, range(4)).told[MOTION] == live.example(1, four).told[MOTION]
