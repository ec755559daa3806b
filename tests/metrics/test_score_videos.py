"""The scores of videos that move: their ratios, seams and tables, and both scripts whole on small models."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from zoetrope.cascade.long.film import folder_of
from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.cascade.windows import Windows
from zoetrope.guidance.text import TextGuidance
from zoetrope.inputs.fps import FrameRate
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.inputs.picture import Picture
from zoetrope.inputs.text import Text
from zoetrope.known.learnt import Learnt
from zoetrope.models.cascade import Cascade
from zoetrope.models.folder import write_model
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.pictures.small import SmallPictures
from zoetrope.shapes import VideoShape
from zoetrope.text.words import Words
from zoetrope.video import Video

SHORT, LONG = VideoShape(frames=16, height=24, width=40, fps=3), VideoShape(frames=80, height=24, width=40, fps=16)


@pytest.fixture
def scoring(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return importlib.import_module


@pytest.fixture
def moving(scoring: Any) -> ModuleType:
    module: ModuleType = scoring("_moving")
    return module


def test_a_ratio_of_means_has_an_interval_by_cluster(moving: ModuleType) -> None:
    exact = moving.ratio([2.0, 4.0, 6.0], [1.0, 2.0, 3.0], [0, 1, 2])
    assert (exact["value"], exact["low"], exact["high"]) == (2, 2, 2) and exact["clusters"] == 3
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        below = rng.uniform(1, 2, 40)
        above = 1.3 * below + rng.normal(0, 0.3, 40)
        told = moving.ratio(list(above), list(below), list(range(40)))
        hits += told["low"] <= 1.3 <= told["high"]
    assert 180 <= hits <= 198
    twice = moving.ratio([1.0, 1.0, 3.0, 3.0], [2.0] * 4, [0, 0, 1, 1])
    once = moving.ratio([1.0, 3.0], [2.0] * 2, [0, 1])
    assert twice["high"] == pytest.approx(once["high"])  # copies tell nothing new
    assert moving.ratio([1.0], [0.0], [0])["value"] is None and moving.ratio([1.0], [2.0], [0])["low"] is None


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.8, 1.2, "yes"), (0.7, 1.2, "not decided"), (1.3, 1.5, "no"), (0.1, 0.7, "no"), (None, None, "not decided")],
)
def test_within_a_share_is_told_by_the_interval(moving: ModuleType, low: float, high: float, verdict: str) -> None:
    assert moving.within({"value": 1.0, "low": low, "high": high}, 0.25) == verdict


def test_signs_of_differences_are_told_by_the_interval(moving: ModuleType) -> None:
    assert [moving.above({"value": -2.0, "half": half}, -1) for half in (1.0, 3.0, None)] == [
        "yes",
        *["not decided"] * 2,
    ]
    assert moving.above({"value": -2.0, "half": 1.0}, 1) == "no"
    assert moving.mean_told({"value": 2.0, "half": 0.5}) == "2 (1.5 to 2.5)"
    assert moving.mean_told({"value": 2.0, "low": None, "high": None}) == "2" and moving.mean_told(None) == "-"


def test_ratios_are_of_true_clips_and_larger_for_shaken_ones(scoring: Any, moving: ModuleType) -> None:
    make_a_video = scoring("score_make_a_video")
    prompts = make_a_video.unseen(6)
    true = moving.true_clips([one.script for one in prompts], 2, SHORT)
    usual = make_a_video.moved(true)
    same = moving.against(usual, usual)["measures"]
    assert {name: one["ratio"]["value"] for name, one in same.items()} == dict.fromkeys((*moving.MEASURES, "way"), 1)
    mixed = [[moving.shuffled(one, 0) for one in several] for several in true]
    shaken = moving.against(make_a_video.moved(mixed), usual)
    assert shaken["videos"] == 12 and shaken["prompts"] == 6
    assert all(one["ratio"]["value"] > 1.5 for one in shaken["measures"].values())
    frozen = [[Video(np.repeat(one.frames[:1], 16, 0), one.fps) for one in several] for several in true]
    stopped = moving.against(make_a_video.moved(frozen), usual)
    still = stopped["measures"]
    assert still["way"]["ratio"]["value"] < 0.02 and still["flicker"]["ratio"]["value"] == 0
    table = make_a_video.table({"motion": {"base": stopped, moving.TRUE: {**shaken, "measures": same}}})
    assert "| base | flicker within 25 % of true clips' | no | not decided |" in table  # as still as what stands still
    assert "| true clips | way | 12 of 12 |" in table
    nowhere = make_a_video.table({"motion": {"base": {**stopped, "measures": {"way": still["way"]}}}})
    assert "| base | flicker | 0 of 12 | - | - | - |" in nowhere
    assert "| base | flicker within 25 % of true clips' | not measured | not measured |" in nowhere
    assert make_a_video.judged(prompts, true)["aspects"]["colour and shape"]["right"] >= 11
    wrong = make_a_video.judged(prompts, make_a_video.others(true))["aspects"]
    assert wrong["colour and shape"]["right"] <= 3


def test_a_cross_fade_is_exact_where_everything_fades(scoring: Any) -> None:
    make_a_video = scoring("score_make_a_video")
    even = np.arange(16, dtype=np.uint8)[:, None, None, None].repeat(3, 3)
    assert np.array_equal(make_a_video.fade(even, 5), even)
    random = np.random.default_rng(0).integers(0, 256, (16, 4, 4, 3)).astype(np.uint8)
    faded = make_a_video.fade(random, 5)
    assert np.array_equal(faded[::5], random[::5])
    assert np.array_equal(faded[6], (random[5] * 0.8 + random[10] * 0.2).round())
    found = make_a_video.apart(Video(faded, 15), Video(random, 15), None)["PSNR"]
    new = np.arange(16) % 5 != 0
    error = np.square(faded[new].astype(float) - random[new]).mean()
    assert found == pytest.approx(10 * np.log10(255**2 / error))


def jumping(frames: list[int]) -> Video:
    """A video that gets darker evenly, and jumps where each of these frames begins."""
    level = np.arange(80.0)
    for frame in frames:
        level[frame:] += 20
    return Video(np.repeat((200 - level).astype(np.uint8), 8 * 8 * 3).reshape(80, 8, 8, 3), 16)


def test_seams_are_told_at_their_own_ends_and_beyond_what_happens_there(scoring: Any) -> None:
    lumiere = scoring("score_lumiere")
    own, plain = Windows(frames=16, overlap=2), Windows(frames=16, overlap=0)
    even, torn = jumping([]), jumping([16, 32, 48, 64])
    videos = {lumiere.MULTI: even, lumiere.PLAIN: torn, lumiere.WHOLE: even, lumiere.TRUE: even}
    told = lumiere.energies(videos, own, plain)
    assert told[lumiere.MULTI] == pytest.approx(1) and told[lumiere.PLAIN] == pytest.approx(21**2)
    assert told["MultiDiffusion - plain windows"] == pytest.approx(1 - 21**2)
    assert told["MultiDiffusion - plain windows, beyond no windows"] == pytest.approx(1 - 21**2)
    happens = {**videos, lumiere.WHOLE: torn}  # if it happens without windows too, plain ones have no seams
    assert lumiere.energies(happens, own, plain)["plain windows, beyond no windows"] == 0
    still = Video(np.zeros((80, 8, 8, 3), np.uint8), 16)
    assert lumiere.energies({**videos, lumiere.WHOLE: still}, own, plain) == {}


def test_true_clips_are_regular_and_shuffled_ones_are_not(scoring: Any, moving: ModuleType) -> None:
    lumiere = scoring("score_lumiere")
    prompts = lumiere.repeating(4)
    assert [one.script.motion for one in prompts] == ["spin", "bounce"] * 2
    for number, prompt in enumerate(prompts):
        clip = moving.true_clip(prompt.script, number, LONG)
        assert lumiere.regular(clip, prompt) > 0.9
        assert lumiere.regular(moving.shuffled(clip, number), prompt) < 0.6
        slower = moving.true_clip(prompt.script, number, LONG.with_(frames=128, fps=24, height=48, width=80))
        assert lumiere.regular(lumiere.reduced(slower, LONG), prompt) > 0.9
    assert lumiere.regular(Video(np.zeros((80, 24, 40, 3), np.uint8), 16), prompts[0]) == 0


def network(**fields: Any) -> VideoUNetConfig:
    """A network of some thousand weights."""
    levels = (
        Level(width=8, temporal=("convolution",)),
        Level(width=8, text_attention=True, temporal=("attention",)),
    )
    return VideoUNetConfig(text_width=8, embedding=16, head=8, patch=2, levels=levels, **fields)


def written(folder: Path, *stages: StageSpec) -> str:
    """A folder with an untrained model of these stages."""
    torch.manual_seed(0)
    networks = {stage.name: stage.network.build() for stage in stages}
    model = CascadeSpec(name="untrained", text=Words(width=8, limit=16), stages=stages)
    write_model(folder, model, networks, "# untrained\n")
    return str(folder)


def test_make_a_video_is_scored_and_goes_on(scoring: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_a_video, encoder = scoring("score_make_a_video"), SmallPictures()
    base = StageSpec(
        name="base",
        shape=VideoShape(frames=8, height=12, width=20, fps=3),
        inputs=(Text(), Picture(encoder=encoder), FrameRate()),
        network=network(fps=3, picture_width=encoder.width, rate=True),
        sampling=SamplingSpec(steps=2, guidance=TextGuidance(weight=1.0), known=Learnt()),
    )
    asked = ["--model", written(tmp_path / "model", base), "--out", str(tmp_path / "out"), "--prompts", "2"]
    asked += ["--noises", "2", "--clips", "2"]
    make_a_video.main(asked)
    told = json.loads((tmp_path / "out/scores.json").read_text())["sets"]
    assert list(told) == ["content", "motion", "interpolation"]
    assert list(told["content"]) == ["base", "true clips", "another's clip"]
    assert list(told["motion"]) == ["base", "true clips", "true clips, shuffled"]
    assert told["interpolation"]["model - cross-fade, PSNR"]["samples"] == 4
    assert told["interpolation"]["model, PSNR"]["value"] < told["interpolation"]["cross-fade, PSNR"]["value"]
    table = (tmp_path / "out/table.md").read_text()
    assert table.strip() in capsys.readouterr().out and "| base | shape 90 % |" in table
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.npz")}
    assert len(kept) == 2 + 4
    between = next(path for path in kept if path.name.startswith("between"))
    frames = np.load(between)["frames"]
    assert frames.shape == (36, 12, 20, 3)
    make_a_video.main([*asked, "--parts", "content", "interpolation"])
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.npz")} == kept
    assert json.loads((tmp_path / "out/scores.json").read_text())["sets"] == told
    asked[-1] = "1"
    make_a_video.main([*asked, "--clips-of", "seen", "--clips-guidance", "0.5", "--parts", "interpolation"])
    more = json.loads((tmp_path / "out/scores.json").read_text())["sets"]
    other = more.pop("interpolation, seen clips, guidance 0.5")
    assert more == told and other["cross-fade, PSNR"]["samples"] == 2
    table = (tmp_path / "out/table.md").read_text()
    assert "| interpolation, 16 to 76 |" in table and "| interpolation, seen clips, guidance 0.5, 16 to 76 |" in table


def test_a_single_prompt_has_no_other_ones_clips(scoring: Any, tmp_path: Path) -> None:
    make_a_video = scoring("score_make_a_video")
    shape = VideoShape(frames=8, height=12, width=20, fps=3)
    model = written(tmp_path / "model", StageSpec(name="base", shape=shape, network=network()))
    asked = ["--model", model, "--out", str(tmp_path / "out"), "--prompts", "1", "--noises", "1", "--steps", "2"]
    make_a_video.main([*asked, "--parts", "content"])
    content = json.loads((tmp_path / "out/scores.json").read_text())["sets"]["content"]
    assert list(content) == ["base", "true clips"]


def test_stages_asked_for_other_motions_share_a_table(scoring: Any, moving: ModuleType) -> None:
    lumiere = scoring("score_lumiere")
    rows = {}
    for name, number in (("base", 2), ("ssr", 40)):
        prompts = lumiere.combinations(number)
        clips = moving.true_clips([one.script for one in prompts], 1, SHORT)
        rows[name] = lumiere.summary(lumiere.verdicts("combinations", prompts, clips))
    classes = [one["classes"]["motion"] for one in rows.values()]
    assert set(classes[1]) - set(classes[0])
    table = lumiere.table({"captions": rows})
    assert all(f"| motion {motion} |" in table for motion in classes[1]) and "| - |" in table


@pytest.mark.parametrize(
    ("script", "option"),
    [("score_make_a_video", "--clips"), ("score_lumiere", "--seams"), ("score_lumiere", "--repeating")],
)
def test_less_than_one_is_refused(scoring: Any, capsys: pytest.CaptureFixture[str], script: str, option: str) -> None:
    with pytest.raises(SystemExit):
        scoring(script).main(["--model", "mini", "--out", "out", option, "0"])
    assert f"argument {option}: expected a whole number of 1 or more, got '0'" in capsys.readouterr().err


def test_lumiere_is_scored_with_its_windows(scoring: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lumiere = scoring("score_lumiere")
    small = VideoShape(frames=20, height=12, width=20, fps=4)
    large = small.with_(height=24, width=40)
    base = StageSpec(name="base", shape=small, network=network(), sampling=SamplingSpec(steps=2))
    windows = SamplingSpec(steps=2, windows=Windows(frames=8, overlap=2))
    ssr = StageSpec(
        name="ssr", shape=large, inputs=usual_inputs(small), network=network(low_res=True), sampling=windows
    )
    model = written(tmp_path / "model", base, ssr)
    asked = ["--model", model, "--out", str(tmp_path / "out"), "--prompts", "2", "--noises", "1", "--seams", "2"]
    lumiere.main([*asked, "--repeating", "2", "--other", model, "--other-until", "ssr"])
    told = json.loads((tmp_path / "out/scores.json").read_text())["sets"]
    assert list(told) == ["captions", "seams", "regularity"]
    assert list(told["captions"]) == ["base", "ssr", "true clips", "another's clip"]
    assert told["captions"]["true clips"]["aspects"]["shape"]["right"] == 2
    assert told["regularity"]["true clips, bounce"]["samples"] == 1
    files = {path.name.split("-")[1] for path in (tmp_path / "out").glob("combinations-*.npz")}
    assert len(files) == 4  # of base, and of three kinds of windows
    out = capsys.readouterr().out
    assert (tmp_path / "out/table.md").read_text().strip() in out and "| ssr | motion 80 % |" in out
    alone = written(tmp_path / "alone", base)
    lumiere.main(["--model", alone, "--out", str(tmp_path / "two"), "--parts", "seams"])
    assert "no stage of the model works in windows" in capsys.readouterr().out


def test_a_model_of_pictures_is_refused(scoring: Any, tmp_path: Path) -> None:
    shape = VideoShape(frames=1, height=12, width=20, fps=1)
    still = StageSpec(name="base", shape=shape, network=network(), sampling=SamplingSpec(steps=2))
    model = written(tmp_path / "model", still)
    for name in ("score_make_a_video", "score_lumiere"):
        with pytest.raises(ValueError, match="expected a model of videos, got one of single pictures"):
            scoring(name).main(["--model", model, "--out", str(tmp_path / "out")])


def counted(patch: pytest.MonkeyPatch, owner: Any, name: str, stop: int | None = None) -> list[Any]:
    """The calls of a function from now on; number `stop` is interrupted, as by Ctrl-C."""
    real, calls = getattr(owner, name), list[Any]()

    def call(*words: Any, **named: Any) -> Any:
        calls.append(words)
        if len(calls) == stop:
            raise KeyboardInterrupt
        return real(*words, **named)

    patch.setattr(owner, name, call)
    return calls


def goes_on(main: Callable[[list[str]], None], owner: Any, name: str, words: list[str], every: int, out: Path) -> None:
    """Expect a script that is interrupted in its third piece of work to make what is missing alone, to equal scores."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        counted(patch, owner, name, stop=3)
        main([*words, "--out", str(out)])
    for missing in (every - 2, 0):
        with pytest.MonkeyPatch.context() as patch:
            calls = counted(patch, owner, name)
            main([*words, "--out", str(out)])
        assert len(calls) == missing
    main([*words, "--out", str(out) + "-whole"])
    scores = [json.loads((folder / "scores.json").read_text()) for folder in (out, Path(str(out) + "-whole"))]
    assert scores[0] == scores[1]


def learnt(folder: Path, size: tuple[int, int] = (12, 20)) -> str:
    """An untrained model that goes on from known frames, of this height and width."""
    sampling = SamplingSpec(steps=1, known=Learnt())
    shape = VideoShape(frames=4, height=size[0], width=size[1], fps=3)
    return written(folder, StageSpec(name="base", shape=shape, network=network(fps=3), sampling=sampling))


def test_known_frames_are_scored_and_go_on(scoring: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = scoring("score_known")
    monkeypatch.setattr(script, "BATCH", 2)
    words = ["--model", learnt(tmp_path / "model"), "--number", "3", "--noises", "1"]
    goes_on(script.main, script, "stage_video", words, 8, tmp_path / "out")


def test_long_videos_are_scored_and_go_on(scoring: Any, tmp_path: Path) -> None:
    words = ["--model", learnt(tmp_path / "model"), "--long", "2", "--noises", "2", "--seconds", "40"]
    words += ["--scheme", "autoregressive"]
    goes_on(scoring("score_known").main, Cascade, "extend", words, 4, tmp_path / "out")


def test_zero_shot_is_scored_and_goes_on(scoring: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = scoring("score_zero_shot")
    monkeypatch.setattr(script, "BATCH", 8)
    levels = (Level(width=8), Level(width=8, text_attention=True, spatial_attention=True))
    still = VideoUNetConfig(text_width=8, embedding=16, head=8, patch=2, levels=levels)
    shape = VideoShape(frames=1, height=12, width=20, fps=3)
    stage = StageSpec(name="base", shape=shape, network=still, sampling=SamplingSpec(steps=2))
    words = ["--model", written(tmp_path / "model", stage), "--prompts", "3", "--frames", "3"]
    words += ["--rows", "own attention", "pictures"]
    goes_on(script.main, Cascade, "stream", words, 8, tmp_path / "out")


@pytest.mark.long
def test_a_long_cascade_is_measured_and_goes_on(scoring: Any, tmp_path: Path) -> None:
    """What a video's interrupted process left is removed, and the video made anew."""
    script, out = scoring("long_cascade"), tmp_path / "out"
    words = ["--model", learnt(tmp_path / "model", (24, 40)), "--until", "base", "--number", "1", "--seconds", "40"]
    words += ["--scheme", "autoregressive", "--out", str(out)]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        calls = counted(patch, script.os, "posix_spawn", stop=2)
        script.main(words)
    left = folder_of(calls[-1][1][-1])
    left.mkdir()
    (left / "journal.json").write_text("{}")
    short = json.loads(next(out.glob("0-5-*.json")).read_text())
    for missing in (1, 0):
        with pytest.MonkeyPatch.context() as patch:
            calls = counted(patch, script.os, "posix_spawn")
            script.main(words)
        assert len(calls) == missing and not left.exists()
        [video] = json.loads((out / "scores.json").read_text())["videos"]
        assert video["memory against 5 seconds"] == video["peak_bytes"] / short["peak_bytes"]
