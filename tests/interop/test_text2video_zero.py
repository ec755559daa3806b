"""Routine `zero_shot` on an imported pipeline makes the video that diffusers' TextToVideoZeroPipeline makes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from zoetrope.cascade.grid import on_grid
from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.cascade.tuning import Tuning, tuned
from zoetrope.codecs import decoded
from zoetrope.inputs.text import text_given
from zoetrope.interop.pipelines import import_pipeline
from zoetrope.models.opening import OpenModel, open_model
from zoetrope.networks.hub_controlnet import HubControlNetConfig
from zoetrope.networks.hub_unet2d import HubUNet2DConfig
from zoetrope.routines.zero_shot import ZeroShot
from zoetrope.shapes import Window

FRAMES, STEPS, SCALE, SIZE = 4, 10, 7.5, 8
MOTION = (-1.5, 1.0)  # pixels of z a frame, down and to the right
ROUTINE = ZeroShot(motion=MOTION, moved_at=0.6, noised_to=0.8)  # after 4 of 10 steps, back to where 2 had led
PROMPT = "a red cat"


@pytest.fixture(scope="module")
def zero(theirs: Any) -> Any:
    """The pipeline of diffusers for videos, of the same components."""
    from diffusers import TextToVideoZeroPipeline

    parts = {name: part for name, part in theirs.components.items() if name != "image_encoder"}
    made = TextToVideoZeroPipeline(**parts, requires_safety_checker=False)
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture(scope="module")
def model(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> OpenModel:
    """The pipeline as our model, with the routine, for videos of four frames."""
    opened = open_model(import_pipeline(folder, tmp_path_factory.mktemp("models") / "sd").folder)
    spec = tuned(on_grid(opened.spec, frames=FRAMES), Tuning(routine=ROUTINE, steps=STEPS))
    return opened._replace(spec=spec)


@pytest.fixture(scope="module")
def start() -> Tensor:
    """The noise (1, C, H, W) of the first frame."""
    return torch.randn(1, 4, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def motion_noise() -> torch.Generator:
    """What draws the noise of the other frames between the two times, in both."""
    return torch.Generator().manual_seed(1)


def ours(model: OpenModel, start: Tensor) -> Tensor:
    """z (1, C, F, H, W) of our video."""
    added = torch.randn(FRAMES - 1, 4, SIZE, SIZE, generator=motion_noise()).movedim(0, 1)[None]

    def noise(purpose: str, window: Window) -> Tensor:
        if purpose == "motion":
            return torch.cat([torch.zeros_like(added[:, :, :1]), added], dim=2)
        return start[:, :, None].repeat(1, 1, FRAMES, 1, 1)

    [stage] = model.spec.stages
    assert model.spec.text is not None
    given = text_given(*model.spec.text.load()([PROMPT]))
    return stage_video(stage, model.network(stage), given, None, Draw(seed=0, samples=[0], noise=noise))


def diffusers_video(zero: Any, start: Tensor, **more: Any) -> Tensor:
    """The video of diffusers, in which things move against the sign of its field, of 512 pixels."""
    down, right = (-512 * amount / SIZE for amount in MOTION)
    told = {"num_inference_steps": STEPS, "guidance_scale": SCALE, "latents": start, "t0": 5, "t1": 7}
    told |= {"motion_field_strength_x": right, "motion_field_strength_y": down, "generator": motion_noise()}
    sizes = {"height": 2 * SIZE, "width": 2 * SIZE, "video_length": FRAMES}
    made: Tensor = zero(PROMPT, **told, **sizes, **more).images
    return made


def test_the_video_is_that_of_diffusers(
    zero: Any, model: OpenModel, start: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ours(model, start)
    alphas = zero.scheduler.alphas
    plain = diffusers_video(zero, start, output_type="latent").movedim(0, 1)[None]
    # diffusers multiplies the alphas of the timesteps t0, ..., t1 - 1, which leads from t0 - 1 to t1 - 1. Those from
    # t0 to t1, as here and in the paper, are one further.
    monkeypatch.setattr(zero.scheduler, "alphas", alphas.roll(-1))
    exact = diffusers_video(zero, start, output_type="latent").movedim(0, 1)[None]
    assert made.shape == exact.shape == (1, 4, FRAMES, SIZE, SIZE) and exact.std() > 0.1
    torch.testing.assert_close(made, exact, rtol=0, atol=1e-4)
    torch.testing.assert_close(made[:, :, 0], plain[:, :, 0], rtol=0, atol=1e-4)
    assert 1e-4 < (made - plain).abs().max() < 0.05 * plain.std()
    differences = (made[:, :, 1:] - made[:, :, :1]).abs().amax((0, 1, 3, 4))
    assert (differences > 0.1).all()  # the frames are not all the same
    assert model.codec is not None
    pictures = (decoded(model.codec(), made)[0].movedim(0, -1) + 1) / 2
    wanted = torch.from_numpy(diffusers_video(zero, start, output_type="np"))
    torch.testing.assert_close(pictures.clamp(0, 1), wanted, rtol=0, atol=1e-4)


def test_without_attention_to_the_first_frame_it_is_another(model: OpenModel, start: Tensor) -> None:
    """The equality above is also one of attention: own attention gives other frames after the first."""
    [stage] = model.spec.stages
    own = stage.with_(network=stage.network.looking("own"))
    apart = model._replace(spec=model.spec.with_(stages=(own,)))
    video, other = ours(model, start), ours(apart, start)
    assert torch.equal(video[:, :, 0], other[:, :, 0]) and (video - other)[:, :, 1:].abs().max() > 0.01


def test_imported_networks_look_at_other_frames_with_the_same_weights() -> None:
    unet = HubUNet2DConfig(widths=(8, 16), attends=(True, False), heads=(2, 2), groups=4, text_width=8)
    for network in (unet, HubControlNetConfig(unet=unet)):
        looking = network.looking("first")
        assert looking != network and looking.looking("own") == network
        assert looking.bare().state_dict().keys() == network.bare().state_dict().keys()
    with pytest.raises(ValueError, match="expected true for some level, whose attention can look"):
        unet.with_(attends=(False, False)).looking("first")
