"""Videos of minutes from a cascade: as long as asked, the same after a kill, and in memory that does not grow."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.models.test_cascade import random_network, spec
from zoetrope.cascade.execution.layout import least_memory
from zoetrope.cascade.long.film import frames_in
from zoetrope.cascade.long.frames import Frames
from zoetrope.cascade.long.journal import Journal
from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.inputs.region import Region
from zoetrope.known.learnt import Learnt
from zoetrope.known.reconstruction import Reconstruction
from zoetrope.known.replacement import Replacement
from zoetrope.models.cascade import Cascade
from zoetrope.models.long import Long, long_run
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.schemes import SamplingScheme
from zoetrope.shapes import VideoShape
from zoetrope.text.words import Words
from zoetrope.video import Video, read

LEARNT = Learnt()


def learnt(known: Learnt | None = LEARNT) -> CascadeSpec:
    """The tiny cascade, whose base attends to frames at any times and learnt to continue known ones."""
    plain = spec(guidance=1.0)
    base = plain.stages[0]
    levels = tuple(level.with_(temporal=("attention",)) for level in base.network.levels)  # type: ignore[attr-defined]
    base = base.with_(network=base.network.with_(levels=levels, fps=2.0), sampling=base.sampling.with_(known=known))
    return plain.with_(stages=(base, *plain.stages[1:]))


@pytest.fixture(scope="module")
def cascade() -> Cascade:
    return Cascade(learnt(), random_network)


def clip(frames: int = 3) -> Video:
    pictures = np.random.default_rng(0).integers(0, 256, (frames, 8, 8, 3), np.uint8)
    return Video(pictures, 2.0)


def made(cascade: Cascade, video: Any = None, **wanted: Any) -> np.ndarray:
    return np.stack(list(cascade.extend(video, **{"seconds": 9, "prompt": "fog", **wanted})))


@pytest.mark.parametrize("scheme", SamplingScheme.names())
def test_every_scheme_makes_a_video_of_the_length(cascade: Cascade, scheme: str) -> None:
    pictures = made(cascade, scheme=scheme)
    assert pictures.shape == (36, 16, 16, 3)  # 9 s at 4 fps
    assert np.array_equal(pictures, made(cascade, scheme=scheme))
    assert len({picture.tobytes() for picture in pictures}) == 36


def test_every_option_does_what_it_says(cascade: Cascade) -> None:
    plain = made(cascade, until="base", seconds=4)
    assert np.array_equal(plain, made(cascade, until="base", seconds=4, memory=10**10))
    for changed in ({"seed": 1}, {"sample": 1}, {"prompt": "rain"}, {"prompt": None}, {"negative": "rain"}):
        assert not np.array_equal(plain, made(cascade, until="base", seconds=4, **changed)), changed
    guided = made(cascade, until="base", seconds=4, known=Learnt(history=1.0))
    assert np.array_equal(plain[:4], guided[:4]) and not np.array_equal(plain[4:], guided[4:])


def test_a_video_as_long_as_a_clip_is_the_clip(cascade: Cascade) -> None:
    assert np.array_equal(made(cascade, seconds=2), cascade.generate("fog").frames)


def test_given_frames_come_first_and_count(cascade: Cascade, tmp_path: Path) -> None:
    pictures = made(cascade, clip(), until="base")
    assert pictures.shape == (18, 8, 8, 3) and np.array_equal(pictures[:3], clip().frames)
    clip().save(f"{tmp_path}/clip/")
    assert np.array_equal(pictures, made(cascade, tmp_path / "clip", until="base"))
    other = made(cascade, Video(255 - clip().frames, 2.0), until="base")
    assert not np.array_equal(pictures[3:], other[3:])


def test_a_stage_may_have_any_name(cascade: Cascade, tmp_path: Path) -> None:
    """What the journal notes of the frames that are given is not of a stage."""
    first, *later = cascade.spec.stages
    for name in ("given", "known", "lock", "journal"):
        named = Cascade(cascade.spec.with_(stages=(first.with_(name=name), *later)), random_network)
        pictures = made(named, clip(), until=name, folder=tmp_path / name)
        assert pictures[len(clip().frames) :].std(axis=(1, 2, 3)).min() > 0


def test_a_file_is_read_at_the_size_and_rate_of_the_first_stage(cascade: Cascade, tmp_path: Path) -> None:
    y = np.linspace(0, 255, 30).astype(np.uint8)
    Video(np.broadcast_to(y[:, None, None, None], (30, 24, 32, 3)).copy(), 10.0).save(f"{tmp_path}/long/")
    pictures = made(cascade, tmp_path / "long", until="base")
    given = read(tmp_path / "long", fps=2.0, size=(8, 8)).frames
    assert len(given) == 6 and np.array_equal(pictures[:6], given)


def test_killed_anywhere_and_resumed_it_is_the_same(cascade: Cascade, tmp_path: Path) -> None:
    expected = made(cascade, clip())

    class Killed(BaseException):
        pass

    def stop(now: Any) -> None:
        seen.append((now.stage, now.number))
        raise Killed

    seen: list[tuple[str, int]] = []
    for _ in range(200):
        running = cascade.extend(clip(), folder=tmp_path / "film", resume=True, progress=stop, seconds=9, prompt="fog")
        try:
            pictures = np.stack(list(running))
            break
        except Killed:
            continue
    assert np.array_equal(pictures, expected) and len(seen) == len(set(seen))
    assert {stage for stage, _ in seen} == {"base", "tsr1", "ssr1"} and len(seen) > 10


def test_the_folder_and_those_around_it_are_made(cascade: Cascade, tmp_path: Path) -> None:
    assert len(made(cascade, folder=tmp_path / "a" / "b", until="base", seconds=4)) == 8
    assert (tmp_path / "a" / "b" / "journal.json").is_file()


def test_another_video_is_not_resumed(cascade: Cascade, tmp_path: Path) -> None:
    folder = tmp_path / "film"
    made(cascade, clip(), folder=folder)
    with pytest.raises(ValueError, match="holds the beginning of a video; resume it"):
        made(cascade, clip(), folder=folder)
    assert len(made(cascade, clip(), folder=folder, resume=True)) == 36
    for video, changed, told in (
        (clip(), {"seed": 1}, "now seed 1 instead of 0"),
        (clip(), {"prompt": "rain"}, "now prompt 'rain' instead of 'fog'"),
        (clip(), {"scheme": "long_range"}, "now scheme {'step': None, 'type': 'long_range'} instead of "),
        (clip(), {"seconds": 8}, "now seconds 8.0 instead of 9.0"),
        (clip(2), {}, "now given frames '"),
    ):
        with pytest.raises(ValueError, match="was begun with other settings: ") as caught:
            made(cascade, video, folder=folder, resume=True, **changed)
        assert told in str(caught.value)
    slower = cascade.tuned(steps=3)
    with pytest.raises(ValueError, match="other settings: now cascade '"):
        made(slower, clip(), folder=folder, resume=True)


def test_other_weights_are_not_resumed(cascade: Cascade, tmp_path: Path) -> None:
    cascade.save_pretrained(tmp_path / "model")
    made(Cascade.from_pretrained(tmp_path / "model"), folder=tmp_path / "film")
    other = Cascade(learnt(), lambda stage: random_network(stage.with_(name=stage.name + "x")))
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(ValueError, match="other settings: now weights"):
        made(Cascade.from_pretrained(tmp_path / "other"), folder=tmp_path / "film", resume=True)


BAD: list[tuple[Any, dict[str, Any], str]] = [
    (None, {"seconds": 9.3}, r"seconds: expected a whole number of frames at 2 a second, such as 9 or 9.5, got 9.3"),
    (None, {"seconds": 0.2}, r"seconds: expected a whole number of frames at 2 a second, such as 0.5, got 0.2"),
    (None, {"seconds": 0}, "seconds: expected a positive number, got 0"),
    (None, {"scheme": "long-range"}, "did you mean 'long_range'"),
    (
        None,
        {"scheme": {"type": "autoregressive", "step": 4}},
        "autoregressive: step: expected at most 3, for the network",
    ),
    (None, {"scheme": {"type": "pyramid", "delay": 1, "step": 1}}, "pyramid: expected either step or delay"),
    (
        clip(4),
        {"seconds": 2},
        "seconds: expected more than 2, which the given video lasts, for all of the longer",
    ),
    (Video(np.zeros((3, 8, 9, 3), np.uint8), 2.0), {}, "video: expected 8x8 at 2 fps, got 8x9 at 2"),
    ("nowhere.mp4", {}, "nowhere.mp4"),
    (None, {"until": "ssr2"}, "unknown stage 'ssr2'; did you mean 'ssr1'"),
    (None, {"given": {"speed": 1}}, "unknown input 'speed'"),
    (None, {"colour": 1}, "unknown field 'colour'"),
]


@pytest.mark.parametrize(("video", "wanted", "message"), BAD)
def test_what_cannot_be_made_is_refused_at_once(
    cascade: Cascade, tmp_path: Path, video: Any, wanted: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        made(cascade, video, folder=tmp_path / "film", **wanted)
    assert not (tmp_path / "film").exists()


def test_a_model_that_did_not_learn_to_continue_is_refused() -> None:
    plain = Cascade(learnt(known=None), random_network)
    with pytest.raises(ValueError, match="stage 'base': expected a network that learnt to continue known frames"):
        made(plain)


def test_such_a_model_may_be_guided_instead(tmp_path: Path) -> None:
    plain = Cascade(learnt(known=None), random_network)
    few = {"seconds": 3, "until": "base"}
    replaced, guided = (made(plain, clip(), known=known, **few) for known in ("replacement", "reconstruction"))
    for pictures in (replaced, guided):
        assert np.array_equal(pictures[:3], clip().frames) and len(pictures) == 6
    assert not np.array_equal(replaced, guided)
    with pytest.raises(ValueError, match="scheme pyramid: expected a network that learnt a noise level per frame, "):
        made(plain, clip(), known="replacement", scheme="pyramid")


def test_memory_is_checked_with_the_method_for_known_frames(tmp_path: Path) -> None:
    """Whole videos and gradients of the network do not fit where its tiles do."""
    levels = (Level(width=8, temporal=("attention",)),)
    network = VideoUNetConfig(text_width=8, embedding=16, head=8, fps=2.0, levels=levels)
    shape = VideoShape(frames=4, height=256, width=256, fps=2)
    base = StageSpec(name="base", shape=shape, network=network, sampling=SamplingSpec(steps=2))
    plain = Cascade(CascadeSpec(name="large", text=Words(width=8), stages=(base,)), random_network)
    guided = base.with_(sampling=base.sampling.with_(known=Reconstruction()))
    less, more = (least_memory(stage, 1, 2, plain.device) for stage in (base, guided))
    asked = Long(seconds=4, prompt="fog", memory=(less + more) // 2, known=Replacement())
    assert less < 0.8 * more and long_run(plain, asked, tmp_path)
    with pytest.raises(ValueError, match=r"memory: stage 'base' .* one video at a time, whole for its gradient"):
        long_run(plain, asked.with_(known=Reconstruction()), tmp_path)


def told_regions() -> Cascade:
    """The cascade, whose base has learnt regions, and no levels per frame."""
    plain = learnt(known=None)
    base = plain.stages[0]
    base = base.with_(inputs=(*base.inputs, Region()), network=base.network.with_(region=True))
    return Cascade(plain.with_(stages=(base, *plain.stages[1:])), random_network)


def test_a_stage_that_learnt_regions_goes_on() -> None:
    """By what it is told, without another method, as `generate` does."""
    cascade = told_regions()
    few: dict[str, Any] = {"until": "base", "seconds": 2, "scheme": {"type": "autoregressive", "step": 1}}
    expected = cascade.generate("fog", until="base", known={"0:3": clip().frames}).frames
    assert np.array_equal(made(cascade, clip(), **few), expected)
    assert not np.array_equal(made(cascade, clip(), known="replacement", **few), expected)
    longer = made(cascade, clip(), until="base", seconds=4)
    assert longer.shape == (8, 8, 8, 3) and np.array_equal(longer[:3], clip().frames)
    assert made(cascade, until="base", seconds=4).shape == (8, 8, 8, 3)
    with pytest.raises(ValueError, match="scheme pyramid: expected a network that learnt a noise level per frame"):
        made(cascade, clip(), scheme="pyramid")


def test_a_full_disk_is_told_and_leaves_what_is_finished(
    cascade: Cascade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, usual = made(cascade), Frames.write
    count = 0

    def full(self: Frames, numbers: Any, video: Any) -> None:
        nonlocal count
        count += 1
        if count == 6:
            with open("/dev/full", "wb", buffering=0) as file:
                try:
                    file.write(b"0")
                except OSError as error:
                    raise OSError(error.errno, error.strerror, os.fspath(self.path)) from error
        usual(self, numbers, video)

    monkeypatch.setattr(Frames, "write", full)
    with pytest.raises(OSError, match=r"film/base\.raw") as caught:
        made(cascade, folder=tmp_path / "film")
    assert caught.value.errno == errno.ENOSPC
    assert json.loads((tmp_path / "film" / "journal.json").read_text())["done"] == {"base": 5}
    monkeypatch.undo()
    assert np.array_equal(made(cascade, folder=tmp_path / "film", resume=True), expected)


def test_frames_on_a_full_disk_name_the_file() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no device that is always full")
    frames = Frames(path=Path("/dev/full"), shape=VideoShape(frames=2, height=64, width=64, fps=1))
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        frames.write([0], torch.zeros(3, 1, 64, 64))


def test_without_room_on_the_disk_nothing_begins(
    cascade: Cascade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = long_run(cascade, Long(seconds=9, prompt="fog"), tmp_path / "film")
    needed = 18 * 8 * 8 * 12 + 36 * 8 * 8 * 12 + 36 * 16 * 16 * 3
    assert sum(frames.total_bytes for frames in run.film.made()) == needed
    usage = type("Usage", (), {"free": needed - 1})
    monkeypatch.setattr("zoetrope.cascade.long.film.shutil.disk_usage", lambda path: usage)
    with pytest.raises(ValueError, match="film: expected 1 MB free on the disk for the frames of all stages, got 0 MB"):
        next(run.run(resume=False))
    assert not (tmp_path / "film").exists()


def test_holes_before_frames_that_were_made_first_are_not_taken_for_frames(
    cascade: Cascade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A video that is gone on with needs room for them still."""
    run = long_run(cascade, Long(seconds=9, prompt="fog"), tmp_path)
    large = Frames(path=tmp_path / "large.raw", shape=VideoShape(frames=9, height=128, width=128, fps=4))
    large.write([8], torch.zeros(3, 1, 128, 128))
    if large.path.stat().st_blocks * 512 >= large.total_bytes:
        pytest.skip("this disk stores holes")
    monkeypatch.setattr(type(run.film), "made", lambda film: [large])
    for left, numbers in ((8, []), (3, [0, 1, 2, 6, 7]), (0, [3, 4, 5])):
        large.write(numbers, torch.zeros(3, len(numbers), 128, 128))
        monkeypatch.setattr(shutil, "disk_usage", lambda path, left=left: usage_of(left * large.size))
        run.film.expect_room()
        if left:
            monkeypatch.setattr(shutil, "disk_usage", lambda path, left=left: usage_of(left * large.size - 1))
            with pytest.raises(ValueError, match="expected 2 MB free" if left == 8 else "expected 1 MB free"):
                run.film.expect_room()
        assert large.stored_bytes() == large.total_bytes - left * large.size


def usage_of(free: int) -> Any:
    return type("Usage", (), {"free": free})


def test_what_has_no_finished_block_is_no_beginning(cascade: Cascade, tmp_path: Path) -> None:
    for seed in (0, 1):
        run = long_run(cascade, Long(seconds=9, prompt="fog", seed=seed), tmp_path / "film")
        Journal.begin(tmp_path / "film", run.made, resume=False)
    (tmp_path / "film" / "journal.json").write_text('{"format": 2, "made": {}, "done": {}}')
    with pytest.raises(ValueError, match=r"journal\.json: expected format 1, got 2"):
        made(cascade, folder=tmp_path / "film")
    (tmp_path / "film" / "journal.json").write_text("[]")
    with pytest.raises(ValueError, match=r"journal\.json: expected the journal of a long video, got something else"):
        made(cascade, folder=tmp_path / "film")
    (tmp_path / "film" / "journal.json").unlink()
    (tmp_path / "film" / "mine.txt").touch()
    with pytest.raises(ValueError, match="film: expected a new or empty folder, got one with files"):
        made(cascade, folder=tmp_path / "film")


def test_only_one_process_makes_a_video_in_a_folder(cascade: Cascade, tmp_path: Path) -> None:
    run = long_run(cascade, Long(seconds=9, prompt="fog"), tmp_path / "film")
    first = run.run(resume=False)
    next(first)
    with pytest.raises(ValueError, match="film: another process is making this video; wait for it, or end it"):
        next(run.run(resume=True))
    first.close()
    assert len(list(run.run(resume=True))) > 0


def test_too_little_memory_is_told_before_anything_is_made(cascade: Cascade, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"memory: stage 'ssr1' .* needs .* MB even in its smallest tiles, got 1 MB"):
        made(cascade, folder=tmp_path / "film", memory=10**6)
    assert not (tmp_path / "film").exists()


def test_frames_are_stored_as_video_files_store_them(tmp_path: Path) -> None:
    shape = VideoShape(frames=3, height=4, width=4, fps=1)
    video = torch.from_numpy(np.random.default_rng(0).uniform(-1.2, 1.2, (3, 3, 4, 4))).float()
    exact = Frames(path=tmp_path / "a.raw", shape=shape)
    exact.write([2, 0, 1], video[:, [2, 0, 1]])
    assert torch.equal(exact.read([1, 0]), video[:, [1, 0]])
    coarse = Frames(path=tmp_path / "b.raw", shape=shape, coarse=True)
    coarse.write(range(3), video)
    assert torch.equal(coarse.read(range(3)), Video.from_tensor(video, 1.0).to_tensor())
    for bad in (3, -1):
        with pytest.raises(ValueError, match="expected a frame number from 0 to 2"):
            exact.read([bad])
    coarse.path.write_bytes(coarse.path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"b\.raw: damaged, it ends before frame 2"):
        coarse.read([2])


def test_seconds_are_frames() -> None:
    assert [frames_in(seconds, 3) for seconds in (1, 5.3333, 5.33, 60)] == [3, 16, 16, 180]
    assert frames_in(1001 / 24000 * 7, 24000 / 1001) == 7
    with pytest.raises(ValueError, match=r"--seconds: expected a positive number, got inf"):
        frames_in(float("inf"), 3, "--seconds")


@pytest.mark.parametrize("seconds", [4e6, 1e12, 1e307])
def test_more_seconds_than_a_video_may_last_are_named(cascade: Cascade, seconds: float) -> None:
    """The last stage makes 4 frames a second, the base 2."""
    with pytest.raises(ValueError, match=r"^seconds: expected at most 2500000, for videos of up to 10000000 frames, "):
        long_run(cascade, Long(seconds=seconds), Path("nowhere"))
    with pytest.raises(ValueError, match=r"^seconds: expected at most 5000000, for .* frames, got [28]e\+"):
        long_run(cascade, Long(seconds=2 * seconds, until="base"), Path("nowhere"))
    assert frames_in(5_000_000, 2) == 10_000_000
    with pytest.raises(ValueError, match=r"^seconds: expected at most 416666\.666667, for"):
        frames_in(416_667, 24)
    assert frames_in(416_666.666667, 24) == 10_000_000


MEMORY = """
import json, sys
import torch
from zoetrope.training.meters import peak_memory
from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.known.learnt import Learnt
from zoetrope.models.cascade import Cascade
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.shapes import VideoShape
from zoetrope.text.words import Words

stages = []
for name, size in (("base", 32), ("ssr1", 192)):
    source = stages[-1].shape if stages else None
    temporal = ("convolution",) if stages else ("attention",)
    levels = (Level(width=8, temporal=temporal),)
    network = VideoUNetConfig(
        low_res=bool(stages), text_width=8, embedding=16, head=8, patch=size // 8, levels=levels
    )
    shape = VideoShape(frames=8, height=size, width=size, fps=8)
    own = SamplingSpec(steps=1, known=None if stages else Learnt())
    stages.append(StageSpec(name=name, shape=shape, inputs=usual_inputs(source), network=network, sampling=own))
torch.manual_seed(0)
spec = CascadeSpec(name="wide", text=Words(width=8), stages=stages)
cascade = Cascade(spec, lambda stage: stage.network.build().eval().requires_grad_(False))
count = sum(1 for _ in cascade.extend(None, seconds=float(sys.argv[1]), prompt="fog", scheme=sys.argv[2]))
print(json.dumps([count, peak_memory(torch.device("cpu")) // 1024]))
"""


def test_memory_does_not_grow_with_the_length() -> None:
    """60 s at 8 fps and 192 x 192 are 53 MB in 256 levels and 212 MB as float32."""
    peaks = []
    for seconds in (5, 60):
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, str(seconds), "autoregressive"], capture_output=True, text=True, check=True
        )
        count, peak = json.loads(done.stdout)
        assert count == 8 * seconds
        peaks.append(peak)
    assert peaks[1] < 1.1 * peaks[0], peaks
