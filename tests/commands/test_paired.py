"""Super-resolution from low-resolution videos that the data have, such as a coarse simulation of the same days."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from zoetrope.channels import to_model
from zoetrope.data import Source
from zoetrope.data.arrays import Arrays
from zoetrope.inputs import Examples
from zoetrope.inputs.low_res import LowRes
from zoetrope.metrics.generation import Wanted, WorkShare, generate, keep_reference
from zoetrope.metrics.reference import open_reference
from zoetrope.metrics.shelf import Shelf
from zoetrope.models.cascade import Cascade
from zoetrope.shapes import VideoShape, Window
from zoetrope.video.resample import degrade, upsample

from .conftest import Cli

SMALL = VideoShape(frames=4, height=4, width=6, fps=1)
LARGE = VideoShape(frames=4, height=8, width=12, fps=1)
NAMES = ("rain", "wind")
CHANNELS = [
    {"name": "rain", "unit": "mm", "scale": {"type": "deviation", "mean": 10, "deviation": 2}},
    {"name": "wind", "unit": "m s-1", "scale": {"type": "deviation", "mean": 0, "deviation": 3}},
]


def source(path: Path, names: tuple[str, ...] = NAMES, **fields: Any) -> dict[str, Any]:
    variables = dict(zip(names, CHANNELS, strict=True))
    return {"type": "arrays", "path": str(path), "axes": "n,t,y,x", "rate": 1, "variables": variables, **fields}


def beside(*arrays: str, **fields: Any) -> dict[str, Any]:
    return {"coarse": {"kind": "video", "array": list(arrays), "axes": "n,t,y,x", **fields}}


PAIR = beside("rain_coarse", "wind_coarse")


def network(low_res: bool) -> dict[str, Any]:
    levels = [{"width": 8, "temporal": ["attention"]}]
    return {
        "type": "video_unet", "channels": 2, "text_width": None, "embedding": 8, "head": 8, "low_res": low_res,
        "levels": levels,
    }  # fmt: skip


def recipe(path: Path, pair: dict[str, Any], told: str = "coarse") -> dict[str, Any]:
    sampling = {"steps": 2, "threshold": None}
    low = [{"type": "low_res", "shape": SMALL.to_json(), "told": told}]
    base = {"name": "base", "shape": SMALL.to_json(), "inputs": [], "network": network(False), "sampling": sampling}
    ssr = {"name": "ssr", "shape": LARGE.to_json(), "inputs": low, "network": network(True), "sampling": sampling}
    phases = [{"examples": 8, "batch": 4}]
    coarse = source(path, ("rain_coarse", "wind_coarse"))
    training = {"ssr": {"phases": phases, "crop": [4, 6], "sample_every": 8, "data": source(path, beside=pair)}}
    return {
        "name": "days",
        "cascade": {"name": "days", "channels": CHANNELS, "text": None, "stages": [base, ssr]},
        "training": training | {"base": {"phases": phases, "sample_every": 0, "data": coarse}},
    }


@pytest.fixture
def days(tmp_path: Path) -> Path:
    """Two quantities of six recordings, and the same half as fine, but with a bias, so that no reduction makes them."""
    draw = np.random.default_rng(0)
    arrays = dict[str, np.ndarray]()
    for name, (mean, deviation) in zip(NAMES, ((10, 2), (0, 3)), strict=True):
        arrays[name] = draw.normal(mean, deviation, (6, 8, 8, 12)).astype(np.float32)
        arrays[f"{name}_coarse"] = arrays[name][:, :, ::2, ::2] + 1
    np.savez(tmp_path / "days.npz", **arrays)
    return tmp_path / "days.npz"


def opened(path: Path, **fields: Any) -> Any:
    return Source.from_json(source(path, **fields)).open()


def test_examples_have_both_resolutions_of_the_same_frames(days: Path) -> None:
    data = opened(days, beside=PAIR, stride=4)
    assert data.tells() == {"coarse": "video"}
    with np.load(days) as file:
        fine, coarse = (np.stack([file[f"{name}{end}"] for name in NAMES], 1) for end in ("", "_coarse"))
    channels = data.channels()
    for index in range(4):
        one = data.example(index, LARGE)
        number, half = next(
            (n, h)
            for n in range(6)
            for h in (0, 4)
            if torch.allclose(to_model(torch.from_numpy(fine[n][:, h : h + 4]), channels), one.video, atol=1e-5)
        )
        wanted = to_model(torch.from_numpy(coarse[number][:, half : half + 4]), channels)
        torch.testing.assert_close(one.beside["coarse"], wanted)
        part = data.part(index, LARGE, Window(range(1, 3), range(4, 8), range(6, 12)))
        assert torch.equal(part.beside["coarse"], one.beside["coarse"][:, 1:3, 2:4, 3:6])
        some = data.frames(index, LARGE, [3, 1])
        assert torch.equal(some.beside["coarse"], one.beside["coarse"][:, [3, 1]])


def test_the_network_is_given_what_the_data_have(days: Path) -> None:
    data = opened(days, beside=PAIR)
    low, samples = LowRes(shape=SMALL, told="coarse", augment=0), [data.example(n, LARGE) for n in range(3)]
    examples = Examples(
        x=torch.stack([one.video for one in samples]),
        samples=[[one] for one in samples],
        draws=[torch.Generator().manual_seed(n) for n in range(3)],
        packed=None,
        encode=lambda texts: pytest.fail(f"no text is told, got {texts}"),
    )
    made = low.of_examples(LARGE, examples).maps["low_res"]
    assert torch.equal(made, upsample(torch.stack([one.beside["coarse"] for one in samples]), LARGE))
    reduced = LowRes(shape=SMALL, augment=0).of_examples(LARGE, examples).maps["low_res"]
    assert torch.equal(reduced, upsample(degrade(examples.x, SMALL), LARGE)) and not torch.allclose(
        made, reduced, atol=0.1
    )


def test_training_generating_and_judging(days: Path, cli: Cli) -> None:
    Path("recipe.json").write_text(json.dumps(recipe(days, PAIR)))
    trained = cli("train", "recipe.json", "--out", "run", "--device", "cpu", "--quiet")
    assert trained.code == 0, trained.err
    assert list(Path("run/ssr").rglob("*.png"))
    with np.load(days) as file:
        np.savez("coarse.npz", **{name: file[f"{name}_coarse"][0, :4] for name in NAMES})
        np.savez("fine.npz", **{name: file[name][0, :4] for name in NAMES})
    words = ("generate", "--model", "run", "--device", "cpu", "--quiet", "-o", "made.npz")
    done = cli(*words, "--from", "coarse.npz")
    assert done.code == 0, done.err
    with np.load("made.npz") as file:
        assert file["rain"].shape == LARGE.sizes and np.isfinite(file["rain"]).all()
    ensemble = (*words[:-1], "both.npz", "--members", "2", "--resume", "--from")
    assert cli(*ensemble, "coarse.npz").code == 0
    with np.load("coarse.npz") as file:
        np.savez("windy.npz", rain=file["rain"], wind=file["wind"] + 1)  # pictures show rain
    other = cli(*ensemble, "windy.npz")
    assert other.code == 2 and "both.npz" in other.err
    refused = cli(*words, "--from", "fine.npz")
    assert refused.code == 2
    assert "expected frames, rows and columns (4, 4, 6) (what base makes), got (4, 8, 12)" in refused.err
    cascade = Cascade.from_pretrained("run")
    reference = open_reference(json.dumps(source(days, beside=PAIR)))
    real, made = (Shelf(Path(name), LARGE, cascade.spec.channels) for name in ("real", "made"))
    alone = WorkShare(0, 1)
    assert [*keep_reference(reference, real, 2, alone)] == [1, 2]
    wanted = Wanted([""] * 2, after="base", real=real.read, told=real.told)
    assert [*generate(cascade, made, wanted, alone)][-1] == 2
    low = torch.from_numpy(real.told(1)["coarse"])[None]
    *_, last = cascade.run(cascade.spec.stages[1:], [None], video=low, seed=0, samples=[1])
    assert torch.equal(made.read(1), last.x_hat[0])
    words = ("evaluate", "run", "--device", "cpu", "--quiet", "--after", "base", "--members", "2", "--count", "2")
    judged = cli(*words, "--metrics", "crps", "--data", json.dumps(source(days, beside=PAIR)))
    assert judged.code == 0, judged.err
    with np.load(days) as file:
        arrays = dict(file)
    arrays["rain"][:, :, 0, 0] = np.nan
    np.savez("gaps.npz", **arrays)
    gaps = json.dumps(source(Path("gaps.npz"), beside=PAIR, missing="mask"))
    judged = cli(*words, "--metrics", "crps", "-o", "gaps", "--data", gaps)
    assert judged.code == 0, judged.err  # the coarse ones are whole
    judged = cli(*words, "--metrics", "crps", "-o", "other", "--data", json.dumps(source(days)))
    assert judged.code == 2 and "--data: expected a video 'coarse' beside its clips, which ssr is told" in judged.err
    assert not Path("other").exists()


@pytest.mark.parametrize(
    ("pair", "told", "why"),
    [
        (PAIR, "corse", "unknown video 'corse'; did you mean 'coarse'"),
        (beside("rain_coarse"), "coarse", "rain_coarse: expected 2 channels, as the videos have, got 1"),
        (beside("rain_coarse", "wind"), "coarse", "wind: expected the shape (6, 8, 4, 6), got (6, 8, 8, 12)"),
        (beside("rain_coarse", "wind_corse"), "coarse", "did you mean 'wind_coarse'"),
        (beside("rain_coarse", "wind_coarse", axes="n,y,x"), "coarse", "axes: expected those of a video"),
        (beside("rain_coarse", "wind_coarse", axes="n,t,c,y,x"), "coarse", "array: expected one name"),
        (
            {"coarse": {"kind": "map", "array": "rain_coarse", "axes": "n,t,y,x"}},
            "coarse",
            "expected a video, got 'coarse'",
        ),
    ],
)
def test_pairs_that_do_not_fit(days: Path, pair: dict[str, Any], told: str, why: str, cli: Cli) -> None:
    Path("recipe.json").write_text(json.dumps(recipe(days, pair, told)))
    done = cli("train", "recipe.json", "--stage", "ssr", "--out", "run", "--device", "cpu", "--quiet")
    assert done.code == 2 and why in done.err, done.err
    assert "Traceback" not in done.err and not Path("run").exists()


def test_other_sizes_and_missing_values(days: Path) -> None:
    data = opened(days, beside=beside("rain", "wind"))
    low, one = LowRes(shape=SMALL, told="coarse"), data.example(0, LARGE)
    assert torch.equal(low.beside([one], SMALL, 4), degrade(one.video[None], SMALL)[0])  # a multiple is reduced
    with pytest.raises(ValueError, match=r"coarse: expected a video of 3x5 pixels or a multiple of both, got 8x12$"):
        low.beside([one], SMALL.with_(height=3, width=5), 4)
    with pytest.raises(ValueError, match=r'fit: expected "mean", for parts of any place cut pixels of \'coarse\''):
        Arrays.from_json({**source(days, beside=PAIR), "fit": "crop"})
    with np.load(days) as file:
        arrays = dict(file)
    arrays["wind_coarse"][:] = 2
    arrays["wind_coarse"][:, :, 1, 2] = np.nan
    np.savez(days, **arrays)
    with pytest.raises(
        ValueError, match=r"beside 'coarse': expected values everywhere, got 4 missing values; missing="
    ):
        opened(days, beside=PAIR).example(0, LARGE)
    one = opened(days, beside=PAIR, missing="mask").example(0, LARGE)
    seen = low.beside([one], SMALL, 4)
    assert (seen[1, :, 1, 2] == 0).all() and int((seen == 0).sum()) == 4 and seen.isfinite().all()
    half = low.beside([one], SMALL.with_(height=2, width=3), 4)  # of what is there, not of zeros beside it
    assert half[1].flatten().tolist() == pytest.approx([2 / 3] * 24)


def test_frames_after_the_end_of_a_recording(days: Path) -> None:
    data = opened(days, beside=PAIR, missing="mask", short="mask")
    longer, small = (one.with_(frames=12) for one in (LARGE, SMALL))
    one = data.example(0, longer)
    assert one.present is not None and not one.present[:, 8:].any()
    seen = LowRes(shape=small, told="coarse").beside([one], small, 12)
    assert seen.isfinite().all() and not seen[:, 8:].any() and seen[:, :8].all()
