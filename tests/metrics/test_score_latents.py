"""The scores of codecs, of models of latents beside pixels, and of videos of a picture: scripts whole, and rules."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from cascade import latent

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.codecs import save_codec
from zoetrope.codecs.autoencoder import Autoencoder
from zoetrope.guidance.over_frames import OverFrames
from zoetrope.inputs.first_frame import FirstFrame
from zoetrope.inputs.motion_strength import NAME, MotionStrength
from zoetrope.inputs.picture import Picture
from zoetrope.inputs.text import Text
from zoetrope.models.folder import write_model
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.pictures.small import SmallPictures
from zoetrope.text.words import Words


@pytest.fixture
def scoring(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return importlib.import_module


def test_what_is_lost_is_told_by_detail_and_by_steadiness(scoring: Any) -> None:
    codec = scoring("score_codec")
    clip = torch.zeros(1, 3, 4, 8, 8)
    steady, turning = clip + 0.2, clip + 0.2 * torch.tensor([1.0, -1, 1, -1]).view(1, 1, 4, 1, 1)
    assert codec.lost(clip, clip) == (100, 0)
    assert codec.lost(steady, clip) == pytest.approx((20, 0))  # an error of a tenth of the range in every value
    assert codec.lost(turning, clip) == pytest.approx((20, 200))  # whose change is a fifth of it
    ramp = torch.linspace(-1, 1, 8).expand(1, 3, 4, 8, 8)
    assert codec.reduced(clip + 0.3, 4).allclose(clip + 0.3) and not codec.reduced(ramp, 4).allclose(ramp, atol=1e-2)


def test_a_third_less_flicker_is_told_clip_by_clip(scoring: Any) -> None:
    codec = scoring("score_codec")
    first = [codec.Lost(34.0, 3.0 + number) for number in range(8)]
    ways = {"half": 0.5, "three quarters": 0.75}
    every = {"first": first} | {
        name: [one._replace(flicker=w * one.flicker) for one in first] for name, w in ways.items()
    }
    told = codec.summary(every)
    rows = {row.split(" | ")[0].strip("| "): row.split(" | ") for row in codec.table(told).splitlines()}
    assert rows["half"][-1].strip("| ") == "yes" and rows["three quarters"][-1].strip("| ") == "no"
    assert rows["half"][-2].strip() == "0.5" and rows["first"][2].strip() == "yes"
    assert told["half"]["psnr, more"]["value"] == 0


def test_codecs_are_scored_side_by_side(scoring: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codec = scoring("score_codec")
    save_codec(latent.codec(), tmp_path / "one")
    save_codec(latent.codec(seed=3), tmp_path / "other")
    names = [str(tmp_path / name) for name in ("one", "other")]
    out = tmp_path / "out"
    codec.main(["--codec", *names, "--out", str(out), "--clips", "3", "--frames", "2"])
    told = json.loads((out / "scores.json").read_text())
    assert list(told["scores"]) == [*names, "reduced"] and len(set(told["of"].values())) == 2
    reduced = told["scores"]["reduced"]["psnr"]
    assert reduced["samples"] == 3 and reduced["value"] > told["scores"][names[0]]["psnr"]["value"]
    assert (out / "table.md").read_text() in capsys.readouterr().out and (out / "codecs.png").exists()
    with pytest.raises(ValueError, match="--codec: expected different ones"):
        codec.main(["--codec", names[0], names[0], "--out", str(out)])
    save_codec(latent.codec(codec=Autoencoder(f=16, channels=1, width=4, blocks=1)), tmp_path / "coarse")
    with pytest.raises(ValueError, match="height: expected a multiple of the codec's factor 16, got 24"):
        codec.main(["--codec", str(tmp_path / "coarse"), "--out", str(out)])


def written(folder: Path, stage: StageSpec, **beside: Any) -> str:
    """A model of one stage in a folder, with random weights."""
    spec = CascadeSpec(name="untrained", text=Words(width=8, limit=16), stages=(stage,))
    write_model(folder, spec, {stage.name: latent.random_network(stage)}, "# untrained\n", **beside)
    return str(folder)


def test_latents_are_scored_beside_pixels(scoring: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    latents = scoring("score_latents")
    one = written(tmp_path / "latents", latent.BASE, codec=latent.codec())
    pixels = StageSpec(
        name="video", shape=latent.MADE, network=latent.network(3, False), sampling=SamplingSpec(steps=1)
    )
    other, out = written(tmp_path / "pixels", pixels), tmp_path / "out"
    asked = f"--latents {one} --pixels {other} --out {out} --prompts 3 --noises 2 --repeats 2".split()
    latents.main(asked)
    told = json.loads((out / "scores.json").read_text())["scores"]
    shares = told["combinations"]["shares"]
    assert list(shares) == ["latents", "pixels", "true clips", "true clips, encoded and decoded"]
    assert all(share["videos"] == 6 and share["prompts"] == 3 for share in shares.values())
    for aspect, apart in told["combinations"]["differences"].items():
        ours, theirs = (shares[kind]["aspects"][aspect] for kind in ("latents", "pixels"))
        assert apart["value"] == pytest.approx((ours["right"] - theirs["right"]) / 6)
    works = [f"{work}, {kind}" for kind in ("latents", "pixels") for work in ("training", "sampling")]
    assert list(told["seconds"]) == [*works, "encoding"]
    assert all(len(each) == 2 and min(each) > 0 for each in told["seconds"].values())
    assert "| encoding |" in capsys.readouterr().out
    kept = {path: path.stat().st_mtime_ns for path in out.glob("*.npz")}
    latents.main([*asked, "--parts", "captions"])
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.npz")} == kept
    assert json.loads((out / "captions.json").read_text())["scores"]["familiar"] == told["familiar"]


def test_models_that_cannot_be_compared_are_told(scoring: Any, tmp_path: Path) -> None:
    latents = scoring("score_latents")
    one = written(tmp_path / "latents", latent.BASE, codec=latent.codec())
    pixels = StageSpec(name="video", shape=latent.LARGE, network=latent.network(3, False))
    other = written(tmp_path / "pixels", pixels)
    with pytest.raises(
        ValueError, match="expected videos of the same grid, got 2x8x12@3fps of latents, 2x16x24@3fps of"
    ):
        latents.sides([one], [other])
    with pytest.raises(ValueError, match="expected a model of latents, got one of pixels"):
        latents.sides([other], [other])


@pytest.mark.parametrize(
    ("value", "half", "told"),
    [
        (-0.02, 0.03, "yes"),
        (-0.02, 0.04, "not decided"),
        (-0.09, 0.03, "no"),
        (0.3, 0.2, "yes"),
    ],
)
def test_lower_by_at_most_5_points_is_told_by_the_interval(scoring: Any, value: float, half: float, told: str) -> None:
    assert scoring("score_latents").verdict({"value": value, "half": half}).startswith(told)


def test_videos_of_pictures_are_scored_and_go_on(scoring: Any, tmp_path: Path) -> None:
    svd, encoder = scoring("score_svd"), SmallPictures()
    levels = (Level(width=8, text_attention=True, temporal="convolution"),)
    network = VideoUNetConfig(
        channels=2, text_width=8, embedding=16, head=8, levels=levels,
        picture_width=encoder.width, first_frame=True, numbers=(NAME,),
    )  # fmt: skip
    inputs = (Text(), Picture(encoder=encoder), FirstFrame(), MotionStrength())
    sampling = latent.SAMPLING.with_(guidance=OverFrames(first=0.0, last=1.5))
    stage = latent.BASE.with_(inputs=inputs, network=network, sampling=sampling)
    model, out = written(tmp_path / "model", stage, codec=latent.codec()), tmp_path / "out"
    asked = ["--model", model, "--out", str(out), "--pictures", "2", "--noises", "2", "--strengths", "1", "8"]
    svd.main(asked)
    told = json.loads((out / "scores.json").read_text())["scores"]
    assert list(told["kept"]) == [svd.ALONE, svd.TOLD, "strength 1", "strength 8", svd.RECODED]
    assert told["motion"][svd.STILL]["value"] == 0 < told["motion"][svd.TRUE]["value"]
    apart = told["more motion"]["strength 8 - strength 1"]
    ends = [told["motion"][f"strength {value}"]["value"] for value in (1, 8)]
    assert apart["value"] == pytest.approx(ends[1] - ends[0]) and apart["value"] != 0
    kept = {path: path.stat().st_mtime_ns for path in (out / "videos").glob("*.npz")}
    assert len(kept) == 2 * 4  # of each picture in each way
    svd.main(asked)
    assert {path: path.stat().st_mtime_ns for path in (out / "videos").glob("*.npz")} == kept
    with pytest.raises(ValueError, match="got one without first_frame, motion_strength, picture"):
        svd.opened([written(tmp_path / "other", latent.BASE, codec=latent.codec())])
