"""Stages that make the frames between another's, one network for two of them, in latents and in pixels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from zoetrope.__main__ import main
from zoetrope.cascade.between import expect_alone, filled, source_of
from zoetrope.cascade.execution.cost import stage_cost
from zoetrope.cascade.grid import on_grid
from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.cascade.tuning import Tuning, tuned
from zoetrope.cascade.windows import Windows
from zoetrope.codecs import encoded
from zoetrope.conditioning import Conditioning
from zoetrope.inputs.fps import FrameRate
from zoetrope.inputs.text import Text
from zoetrope.known import Known
from zoetrope.known.learnt import Learnt
from zoetrope.models.cascade import Cascade, Progress
from zoetrope.models.folder import write_model
from zoetrope.models.opening import open_model
from zoetrope.networks import Network
from zoetrope.planning.devices import gpu
from zoetrope.planning.plan import plan_stage, totals
from zoetrope.planning.work import sampling
from zoetrope.video import Video, probe

from .latent import BASE, MADE, SPEC, Z, codec, network, random_network

STEP = 2
FINE = SamplingSpec(steps=2, threshold=None, known=Learnt(), windows=Windows(frames=4, overlap=2))
NETWORK = network(2, False).with_(rate=True)
TELL = (Text(), FrameRate())
TSR1 = BASE.with_(name="tsr1", shape=Z.with_(frames=4, fps=6), network=NETWORK, inputs=TELL, sampling=FINE, fills=MADE)
TSR2 = TSR1.with_(name="tsr2", shape=Z.with_(frames=8, fps=12), fills=MADE.with_(frames=4, fps=6), weights_of="tsr1")
WHOLE = SPEC.with_(stages=(BASE, TSR1, TSR2))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cascade on disk."""
    folder = tmp_path_factory.mktemp("models") / "latent"
    networks = {stage.name: random_network(stage) for stage in (BASE, TSR1)}
    write_model(folder, WHOLE, networks, "# latent\n", codec=codec())
    return folder


def test_one_model_makes_four_times_as_many_frames(model: Path) -> None:
    assert sorted(path.name for path in model.iterdir() if path.is_dir()) == ["base", "codec", "tsr1"]
    opened = open_model(model)
    opened.check(opened.spec.stages)
    assert opened.spec == WHOLE and opened.weights["tsr2"] == opened.weights["tsr1"]
    steps = list[Progress]()
    cascade = Cascade.of(opened)
    video = cascade.generate("fog", seed=1, progress=steps.append)
    assert video.frames.shape == (8, 8, 12, 3) and video.fps == 12
    done = {now.stage: now for now in steps if now.done}
    z = {name: now.latents for name, now in done.items()}
    assert z["base"] is not None and z["tsr1"] is not None and z["tsr2"] is not None
    assert torch.equal(z["tsr1"][:, :, ::2], z["base"]) and torch.equal(z["tsr2"][:, :, ::2], z["tsr1"])
    assert not torch.equal(z["tsr1"][:, :, 1], z["base"][:, :, 0])
    # Frames are decoded one by one here, so that those of the base are the same in all videos.
    torch.testing.assert_close(done["tsr2"].x_hat[:, :, ::4], done["base"].x_hat, rtol=1e-5, atol=1e-5)
    saved = model.parent / "saved"
    cascade.save_pretrained(saved)
    assert np.array_equal(Cascade.from_pretrained(saved).generate("fog", seed=1).frames, video.frames)


def test_the_network_is_told_the_rate_and_the_known_frames() -> None:
    seen = list[tuple[float, list[bool]]]()

    class Watched(Network):
        def __init__(self, stage: StageSpec):
            super().__init__()
            self.config, self.inner = stage.network, random_network(stage)

        def forward(self, z: torch.Tensor, logsnr: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
            if "fps" in conditioning.numbers:
                seen.append((float(conditioning.numbers["fps"][0]), (logsnr[0] >= 59).tolist()))
            return self.inner(z, logsnr, conditioning)

    Cascade(WHOLE, Watched, codec=codec).generate("fog")
    assert {rate for rate, _ in seen} == {6.0, 12.0} and all(known == [True, False] * 2 for _, known in seen)


def test_a_start_from_a_video_is_encoded() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 8, 12, 3), dtype=np.uint8)
    steps = list[Progress]()
    start = Video(pictures, 3)
    Cascade(WHOLE, random_network, codec=codec).generate("fog", video=start, after="base", progress=steps.append)
    z = next(now.latents for now in steps if now.done and now.stage == "tsr1")
    assert z is not None
    torch.testing.assert_close(z[:, :, ::2], encoded(codec(), start.to_tensor()[None]))


def test_frames_of_a_file_are_added(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 8, 12, 3), dtype=np.uint8)
    Video(pictures, 3).save("long.mp4")
    words = ["--model", str(model), "--caption", "fog", "--add-frames", "--compare", "-o", "more.mp4"]
    assert main(["upscale", "long.mp4", *words]) == 0
    info = probe("more.mp4")
    assert (info.frames, info.height, info.width, info.fps) == (12, 8, 12, 12)


def test_frames_that_a_user_gives_are_known_too() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    learnt = WHOLE.with_(stages=(BASE.with_(sampling=BASE.sampling.with_(known=Learnt())), TSR1, TSR2))
    cascade = Cascade(learnt, random_network, codec=codec)
    made = cascade.generate("fog", known={3: picture})
    assert np.array_equal(made.frames[3], picture)
    hole = np.zeros((8, 12), bool)
    hole[:, 6:] = True
    with pytest.raises(ValueError, match="stage 'tsr1': mask: expected none, for it makes frames between whole ones"):
        cascade.generate("fog", known={3: picture}, mask=hole, known_method="replacement")


def test_pixels_are_filled_in_as_well_without_weights_of_others() -> None:
    stage = StageSpec(
        name="tsr1", shape=MADE.with_(frames=4, fps=6), inputs=(), fills=MADE, sampling=FINE,
        network=network(3, False).with_(text_width=None, levels=tuple(
            level.with_(text_attention=False) for level in network(3, False).levels)),
    )  # fmt: skip
    video = torch.rand(2, 3, *MADE.sizes) * 2 - 1
    made = stage_video(stage, random_network(stage), Conditioning(), video, Draw(seed=0, samples=[0, 1]))
    assert torch.equal(made[:, :, ::2], video) and made.shape == (2, 3, 4, 8, 12)
    assert torch.equal(source_of(stage, made), video)
    with pytest.raises(ValueError, match="stage 'tsr1': expected a video of 2x8x12@3fps, whose frames it is given"):
        filled(stage, None, Draw(seed=0, samples=[0]))
    part = Known(
        torch.tensor([False, True, False, False]), video[:, :, :1], mask=torch.ones(1, 8, 12, dtype=torch.bool)
    )
    coarse = Known(torch.zeros(4, dtype=torch.bool), video[:, :, :0], low_res=video[..., ::2, ::2])
    for known, name in ((part, "mask"), (coarse, "low_res")):
        with pytest.raises(ValueError, match=f"stage 'tsr1': known.{name}: expected none, for it makes frames between"):
            filled(stage, video, Draw(seed=0, samples=[0, 1], known=known))


def test_grids_plans_and_json() -> None:
    assert CascadeSpec.from_json(WHOLE.to_json()) == WHOLE
    longer = on_grid(WHOLE, size=(12, 16), frames=6)
    assert [stage.made.sizes for stage in longer.stages] == [(6, 12, 16), (12, 12, 16), (24, 12, 16)]
    assert longer.stages[2].fills == longer.stages[1].made and TSR1.kind == "tsr"
    assert stage_cost(TSR1, 1, 4).fixed > 0
    told = tuned(WHOLE, Tuning(windows=Windows(frames=1, overlap=0)))
    assert [stage.sampling.windows for stage in told.stages[1:]] == [FINE.windows] * 2
    for stage, other in (("tsr1", "tsr2"), ("tsr2", "tsr1")):
        with pytest.raises(ValueError, match=f"stage '{stage}': expected one with a network of its .*'{other}' runs"):
            expect_alone(WHOLE, stage)
    device = gpu("t4")
    plans = [plan_stage(stage, device, None, 10**9) for stage in WHOLE.stages]
    assert totals(plans, 10**9)["parameters"] == plans[0].parameters + plans[1].parameters
    work = sampling(TSR1, torch.float32, 10**9)
    assert work.parameters == sum(weight.numel() for weight in random_network(TSR1).parameters())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TSR1.with_(sampling=FINE.with_(known=None)), "expected a method for known frames.*, got none"),
        (lambda: TSR1.with_(fills=Z), "fills: expected 8x12, and a divisor of 4 frames, got 2x4x6@3fps"),
        (lambda: TSR1.with_(fills=MADE.with_(frames=4)), "fills: expected 8x12, and a divisor of 4 frames"),
        (lambda: TSR1.with_(fills=MADE.with_(fps=5)), "fills: expected a video of 0.666667 s"),
        (lambda: SPEC.with_(stages=(TSR1,)), "stage 'tsr1' expects 2x8x12@3fps, but it is the first stage"),
        (lambda: WHOLE.with_(stages=(BASE, TSR1, TSR2.with_(weights_of="tsr"))), "unknown stage before it 'tsr'"),
        (
            lambda: WHOLE.with_(stages=(BASE, TSR1, TSR2.with_(weights_of="base"))),
            r"stages.tsr2.network: expected that of 'base', whose weights it has",
        ),
    ],
)
def test_what_does_not_fit(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
