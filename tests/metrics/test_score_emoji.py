"""The scores of animated emoji: which captions are asked, what is nearest, and the whole script on a small model."""

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.inputs.text import Text
from zoetrope.metrics.features import FeatureNetwork
from zoetrope.models.folder import write_model
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.shapes import VideoShape
from zoetrope.text.words import Words
from zoetrope.video import Video

SHAPE = VideoShape(frames=2, height=8, width=8, fps=4)
SKIN = ((250, 200, 60), (250, 220, 180), (220, 180, 140), (190, 140, 100), (150, 100, 60), (90, 60, 40))
COLOURS = FeatureNetwork("colours", "0" * 64, "pixels", 3, lambda pictures: (pictures.mean((2, 3)) + 1) / 2)


@pytest.fixture
def scoring(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return importlib.import_module("score_emoji")


def square(colour: tuple[int, int, int], side: int = 4) -> Video:
    """A square on white."""
    frames = np.full((SHAPE.frames, SHAPE.height, SHAPE.width, 3), 255, np.uint8)
    frames[:, :side, :side] = colour
    return Video(frames, SHAPE.fps)


@pytest.fixture
def emoji() -> list[dict[str, Any]]:
    """A hand in six tones, of which the last is not for training; a blue box, which is; a green one, which is not."""
    names = ("", ", light", ", medium-light", ", medium", ", medium-dark", ", dark")
    rows = [
        {"label": "hand", "variant": tone, "text": f"a hand{name}", "split": "test" if tone == 5 else "train"}
        for tone, name in enumerate(names)
    ]
    rows += [{"label": "box", "variant": 0, "text": "a blue box", "split": "train"}]
    rows += [{"label": "leaf", "variant": 0, "text": "a green leaf", "split": "test"}]
    rows += [{"label": "crowd", "variant": n, "text": "a crowd", "split": "train"} for n in range(8)]
    return rows


def coloured(row: dict[str, Any]) -> Video:
    paint = {"box": (20, 20, 250), "leaf": (20, 200, 20), "crowd": (128, 128, 128)}
    return square(paint.get(row["label"], SKIN[row["variant"] % 6]))


@pytest.fixture
def library(scoring: ModuleType, emoji: list[dict[str, Any]]) -> Any:
    made = [scoring.Emoji(r["text"], r["label"], r["variant"], r["split"] == "train", coloured(r)) for r in emoji]
    features = torch.stack([scoring.features_of(COLOURS, one.video) for one in made])
    return scoring.Library(made, features, scoring.colours_of([one.video for one in made]))


def test_three_sets_of_captions(scoring: ModuleType, library: Any) -> None:
    asked = scoring.sets_of(library, 64)
    assert [one.text for one in asked["tones"]] == ["a hand, dark"]
    assert [one.text for one in asked["labels"]] == ["a green leaf"]
    assert len(asked["seen"]) == 6 and "a crowd" not in {one.text for one in asked["seen"]}
    assert [one.text for one in scoring.sets_of(library, 2)["seen"]] == ["a hand", "a hand, medium"]
    told = [one._replace(text="a blue box") if one.label == "leaf" else one for one in library.emoji]
    assert "labels" not in scoring.sets_of(library._replace(emoji=told), 64)  # training has this caption


def test_true_clips_are_right_and_other_tones_are_not(scoring: ModuleType, library: Any) -> None:
    for name, asked in scoring.sets_of(library, 64).items():
        shares = scoring.judged(library, COLOURS, name, asked, [[one.video, one.video] for one in asked])
        assert all(share["right"] == share["samples"] == 2 * len(asked) for share in shares.values())
        assert all(share["clusters"] == len(asked) for share in shares.values())
    [dark] = scoring.sets_of(library, 64)["tones"]
    shares = scoring.judged(library, COLOURS, "tones", [dark], [[square(SKIN[4])]])
    assert {aspect: share["right"] for aspect, share in shares.items()} == {"nearest": 0, "colour": 0}
    [leaf] = scoring.sets_of(library, 64)["labels"]
    assert scoring.judged(library, COLOURS, "labels", [leaf], [[square((20, 20, 240))]])["nearest"]["right"] == 0


def test_colours_are_those_of_what_is_drawn(scoring: ModuleType) -> None:
    found = scoring.colours_of([square(SKIN[5], side) for side in (2, 6)] + [square((255, 255, 255))])
    torch.testing.assert_close(found[0], torch.tensor(SKIN[5]).double() / 255)
    torch.testing.assert_close(found[0], found[1])
    assert found[2].tolist() == [1, 1, 1]


def test_through_the_base_keeps_what_a_base_can_tell(scoring: ModuleType) -> None:
    small = VideoShape(frames=1, height=2, width=2, fps=2)
    kept = scoring.through(square(SKIN[0]), small, SHAPE)
    assert kept.frames.shape == (2, 8, 8, 3) and (kept.frames[0] == kept.frames[1]).all()
    assert kept.frames[0, 0, 0].tolist() == pytest.approx(list(SKIN[0]), abs=60)  # antialiased
    assert kept.frames[0, 7, 7].min() > 240


@pytest.mark.shared
def test_the_whole_script(
    scoring: ModuleType, emoji: list[dict[str, Any]], tmp_path: Path, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "emoji"
    folder.mkdir()
    for number, row in enumerate(emoji):
        row["file_name"] = f"{number}.mp4"
        coloured(row).save(folder / row["file_name"])
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in emoji))
    network = VideoUNetConfig(text_width=8, embedding=16, head=8, levels=(Level(width=8, text_attention=True),))
    stage = StageSpec(name="base", shape=SHAPE, inputs=(Text(),), network=network, sampling=SamplingSpec(steps=1))
    spec = CascadeSpec(name="tiny", text=Words(width=8, limit=16), stages=(stage,))
    write_model(tmp_path / "model", spec, {"base": stage.network.build()}, "# tiny\n")
    weights = shared / "data" / "weights" / "mobilenet_v2" / "mobilenet_v2_1.0_backbone.safetensors"
    told = ["--model", str(tmp_path / "model"), "--data", str(folder), "--features", str(weights)]
    scoring.main([*told, "--out", str(tmp_path / "out"), "--noises", "1"])
    sets = json.loads((tmp_path / "out" / "scores.json").read_text())["sets"]
    assert list(sets) == ["seen", "tones", "labels"]
    assert list(sets["seen"]) == ["model", "through the base", "nearest caption", "chance"]
    assert sets["seen"]["model"]["nearest"]["samples"] == 6
    assert (tmp_path / "out" / "table.md").read_text() in capsys.readouterr().out
    (folder / "metadata.jsonl").write_text('{"text": "a hand"}\n')
    with pytest.raises(ValueError, match=r"expected a metadata.jsonl that tells file_name, label, variant, text"):
        scoring.main([*told, "--out", str(tmp_path / "again")])
    (folder / "metadata.jsonl").write_text('{"text": "a hand"')
    with pytest.raises(ValueError, match=r"metadata.jsonl: line 1: expected JSON"):
        scoring.main([*told, "--out", str(tmp_path / "again")])
    (folder / "metadata.jsonl").unlink()
    with pytest.raises(ValueError, match=r"emoji: expected a folder of clips with a metadata.jsonl"):
        scoring.main([*told, "--out", str(tmp_path / "again")])
