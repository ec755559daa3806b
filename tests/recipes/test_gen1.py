"""Gen-1: structure that binds less the more it is blurred, guidance of time in closed form, and the whole of it."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.commands.conftest import Cli, cli  # noqa: F401
from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.cascade.spec import SamplingSpec, StageSpec
from zoetrope.conditioning import Conditioning, Tokens
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.guidance import combined
from zoetrope.guidance.temporal import TemporalGuidance
from zoetrope.guidance.text import TextGuidance
from zoetrope.inputs import ControlClip, Extent
from zoetrope.inputs.picture import Picture
from zoetrope.inputs.structure import CHANNELS, Structure, blur, steps_told
from zoetrope.inputs.text import Text, text_given
from zoetrope.networks import Network, SizedInput
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.recipes import load_recipe
from zoetrope.samplers.ddim import DDIM
from zoetrope.schedules.cosine import Cosine
from zoetrope.shapes import VideoShape
from zoetrope.training.spec import Recipe
from zoetrope.video import Video, read

SHAPE = VideoShape(frames=4, height=8, width=12, fps=4)
TEMPORAL = (0.0, 0.5, 0.75, 1.0, 1.25, 1.5)


def stage(guidance: TemporalGuidance | TextGuidance, frames: int = SHAPE.frames, **text: float) -> StageSpec:
    """A small stage of videos that is told structure and a picture, and could read text."""
    levels = (
        Level(width=8, temporal=("pseudo_3d",)),
        Level(width=16, spatial_attention=True, text_attention=True, temporal=("pseudo_3d", "attention")),
    )
    structure = SizedInput(name="structure", size=CHANNELS)
    told: dict[str, Any] = {"text_width": 6, "picture_width": 128, "aligned": (structure,)}
    network = VideoUNetConfig(embedding=16, head=8, positions=True, levels=levels, **told)
    sampling = SamplingSpec(sampler=DDIM(), steps=4, guidance=guidance, threshold=None)
    inputs = (Text(**text), Picture(), Structure())
    return StageSpec(name="base", shape=SHAPE.with_(frames=frames), network=network, inputs=inputs, sampling=sampling)


def network_of(stage: StageSpec) -> Network:
    """Its network with random weights everywhere."""
    network, draw = stage.network.build().eval().requires_grad_(False), torch.Generator().manual_seed(1)
    for weight in network.parameters():
        weight.copy_(0.2 * torch.randn(weight.shape, generator=draw))
    return network


def clip() -> Tensor:
    """A video (1, 3, F, H, W) with an edge that moves."""
    video = torch.full((1, 3, *SHAPE.sizes), -0.5)
    for frame in range(SHAPE.frames):
        video[:, :, frame, 2:6, 2 + frame : 6 + frame] = 0.7
    return video


def told(content: bool = True) -> Conditioning:
    """The structure of the clip, and a picture or none."""
    picture = torch.randn(1, 1, 128, generator=torch.Generator().manual_seed(5))
    given = Structure().of_clips(clip()) | Conditioning(tokens={"picture": Tokens.real(picture)})
    return given if content else given.without("picture")


NOISE = torch.randn(1, 3, *SHAPE.sizes, generator=torch.Generator().manual_seed(7))


def made(spec: StageSpec, given: Conditioning, noise: Tensor = NOISE) -> Tensor:
    """Its video of this noise."""
    draw = Draw(seed=0, samples=[0], noise=lambda purpose, window: noise)
    return stage_video(spec, network_of(spec), given, None, draw)


def test_the_formula_is_the_papers() -> None:
    """mu^pi(0) + w_t (mu(0) - mu^pi(0)) + w (mu(c) - mu(0)) with w = 1 + weight."""
    content, free, picture = torch.randn(3, 2, 3, 4, 2, 2, dtype=torch.float64)
    for weight in (0.0, 1.0, 6.5):
        for temporal in TEMPORAL:
            guidance = TemporalGuidance(weight=weight, temporal=temporal)
            outputs = [content, free, picture] if temporal != 1 else [content, free]
            wanted = picture + temporal * (free - picture) + (1 + weight) * (content - free)
            torch.testing.assert_close(combined(outputs, guidance.shares(0, 4)), wanted)
            assert len(guidance.variants(told(), None)) == len(outputs)
            assert guidance.active(4) == (weight != 0 or temporal != 1)


def test_without_guidance_of_time_it_is_the_video_model() -> None:
    plain = made(stage(TextGuidance()), told(content=False))
    for weight in (0.0, 3.0):  # of unknown content
        torch.testing.assert_close(made(stage(TemporalGuidance(weight=weight)), told(content=False)), plain)
    assert torch.equal(made(stage(TemporalGuidance()), told()), made(stage(TextGuidance()), told()))
    guided = made(stage(TemporalGuidance(weight=3.0)), told())
    assert (guided - made(stage(TextGuidance()), told())).abs().max() > 1e-2


def test_with_none_of_time_it_is_the_image_model() -> None:
    """Frames are what the same network makes of each by itself, with its own structure."""
    video = made(stage(TemporalGuidance(temporal=0.0)), told(content=False))
    for frame in range(SHAPE.frames):
        given, noise = told(content=False).at_frames([frame]), NOISE[:, :, frame : frame + 1]
        alone = Conditioning(images=torch.ones(1, dtype=torch.bool)) | given
        picture = made(stage(TextGuidance(), frames=1), alone, noise)
        torch.testing.assert_close(video[:, :, frame : frame + 1], picture, rtol=1e-4, atol=1e-4)
    together = made(stage(TextGuidance()), told(content=False))
    assert (video - together).abs().max() > 1e-2


def test_guidance_of_time_makes_a_gaussian_videos_frames_more_alike() -> None:
    """AR(1) frames, rho = 0.9, with exact denoisers: the lag-1 correlation of what DDIM makes rises with each w_t."""
    frames, steps = 8, 32
    places = torch.arange(frames, dtype=torch.float64)
    covariance = 0.9 ** (places[:, None] - places).abs()
    one = torch.eye(frames, dtype=torch.float64)
    levels = [Cosine()(torch.full((frames,), 1 - k / steps, dtype=torch.float64)) for k in range(steps + 1)]

    def correlation(temporal: float) -> float:
        shares = TemporalGuidance(temporal=temporal).shares(0, steps)

        def denoise(z: Tensor, level: NoiseLevel) -> Tensor:
            alpha, sigma = level.alpha[0].item(), level.sigma[0].item()
            video = alpha * covariance @ torch.linalg.inv(alpha**2 * covariance + sigma**2 * one)
            outputs = [z @ video.T, z @ video.T, z * alpha / (alpha**2 + sigma**2)]  # pictures: variance 1
            return combined([each[:, None, :, None, None] for each in outputs[: len(shares)]], shares)[:, 0, :, 0, 0]

        *_, last = DDIM()(denoise, one.clone(), levels, noise=lambda step: torch.zeros_like(one))
        made = last.x_hat.T @ last.x_hat  # of standard normal noise, whose unit vectors the rows come from
        scale = made.diagonal().sqrt()
        return float((made / scale[:, None] / scale).diagonal(1).mean())

    found = [correlation(temporal) for temporal in TEMPORAL]
    assert found[0] == pytest.approx(0, abs=1e-6) and found[3] == pytest.approx(0.9, abs=0.01)
    assert all(more > less + 0.01 for less, more in pairwise(found))


def test_each_step_of_blurring_leaves_less() -> None:
    """The energy of what varies within a frame falls strictly, and the mean stays; no step changes nothing."""
    maps = (torch.rand(4, 1, 2, 24, 40, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    energies, errors = [], []
    for steps in range(8):
        blurred = blur(maps, steps)
        energies.append(blurred.var((3, 4)).mean().item())
        errors.append((blurred - maps).square().mean().item())
        assert blurred.shape == maps.shape and blurred.min() >= 0 and blurred.max() <= 1
        assert (blurred.mean((3, 4)) - maps.mean((3, 4))).abs().max() < 0.05
    assert torch.equal(blur(maps, 0), maps)
    assert all(less < 0.9 * more for more, less in pairwise(energies))
    assert all(more > less for less, more in pairwise(errors))


def test_steps_of_blurring_are_told_apart() -> None:
    told = steps_told(torch.arange(16))
    assert told.shape == (16, 4) and (torch.cdist(told, told) + 9 * torch.eye(16)).min() > 0.3
    assert (told.norm(dim=1) > 1).all(), "never like unknown structure"


@pytest.mark.parametrize("estimate", ["edges", "luma"])
def test_a_clip_is_told_as_in_training(estimate: str) -> None:
    structure = Structure(estimate=estimate, blur=2)
    asked = structure.fitted(ControlClip(video=clip()[0], derive=True), SHAPE)
    given, wanted = structure.of_request(asked, 2), structure.of_clips(clip()).select(torch.tensor([0, 0]))
    assert given.maps["structure"].shape == (2, CHANNELS + 1, *SHAPE.sizes)
    assert torch.equal(given.maps["structure"], wanted.maps["structure"])
    sharp = Structure(estimate=estimate).of_clips(clip()).maps["structure"]
    assert not torch.equal(sharp[:, :5], given.maps["structure"][:1, :5]) and (sharp[:, -1] == 1).all()
    drawn = (sharp[:, :1] * 2 - 1 if estimate == "edges" else sharp[:, :1]).expand(-1, 3, -1, -1, -1)
    shown = Structure(estimate=estimate).of_request(ControlClip(video=drawn[0]), 1)
    torch.testing.assert_close(shown.maps["structure"], sharp)
    nothing = structure.of_request(ControlClip(video=clip()[0], derive=True, scale=0.0), 1)
    assert not nothing.maps["structure"].any()
    assert torch.equal(nothing.maps["structure"], structure.unknown(Extent(1, SHAPE.sizes, 0, 0)).maps["structure"])


def test_what_structure_cannot_be() -> None:
    with pytest.raises(ValueError, match="blur: expected at most 3, the most that training has, got 4"):
        Structure(most=3, blur=4)
    with pytest.raises(ValueError, match=r"structure: scale: expected 1, or 0 for none, got 0.5; its field blur"):
        Structure().fitted(ControlClip(video=clip()[0], scale=0.5), SHAPE)
    spec = stage(TextGuidance())
    with pytest.raises(ValueError, match="network: structure: expected the size 5, that of its input, got 1"):
        spec.with_(network=spec.network.with_(aligned=(SizedInput(name="structure", size=1),)))


def test_a_network_that_learnt_without_text_is_told_none() -> None:
    text = text_given(torch.randn(1, 4, 6, generator=torch.Generator().manual_seed(3)))
    deaf, hearing = stage(TextGuidance(), dropout=1.0), stage(TextGuidance())
    assert torch.equal(made(deaf, told() | text), made(deaf, told()))
    assert not torch.equal(made(hearing, told() | text), made(hearing, told()))


def test_the_recipe_begins_as_an_image_model_and_comes_back_from_json() -> None:
    recipe, other = load_recipe("gen1"), load_recipe("make_a_video@mini")
    assert Recipe.from_json(recipe.to_json()) == recipe
    for name in ("prior", "ssr"):  # their runs can be used as they are
        assert recipe.cascade.stage(name) == other.cascade.stage(name)
    base, image = recipe.cascade.stage("base"), load_recipe("mini_image").cascade.stage("base")
    still = base.network.framewise()
    assert isinstance(still, VideoUNetConfig)
    assert still.with_(aligned=(), picture_width=None, fps=image.shape.fps) == image.network


def test_from_training_to_a_video_of_a_clip_and_a_picture(cli: Cli) -> None:  # noqa: F811
    """Two steps from the shipped image model, two more after an interruption, a prior, and videos by all of it."""
    base: dict[str, Any] = {"phases": [{"examples": 4, "batch": 2, "frames": 2, "images": 0.5}], "checkpoint_every": 4}
    prior = {"phases": [{"examples": 64, "batch": 32}], "checkpoint_every": 64, "data.source.scripts": 4}
    base |= {"warm_up": 1, "cool_down": 0, "sample_every": 0}
    base |= {"data.parts.0.source.scripts": 4, "data.parts.1.source.scripts": 4}
    for name, fields, more in (("base", base, ("--init", "mini_image")), ("prior", prior, ())):
        sets = [
            word for key, value in fields.items() for word in ("--set", f"{name}.training.{key}={json.dumps(value)}")
        ]
        done = cli("train", "gen1", "--stage", name, "--out", f"runs/{name}", *more, *sets)
        assert done.code == 0, done.err
        if more:
            assert "base: its output begins exactly as the image network's, frame by frame" in done.err
    longer = json.dumps([{**base["phases"][0], "examples": 8}])
    assert cli("train", "--out", "runs/base", "--resume", "--set", f"base.training.phases={longer}").code == 0
    frames = np.zeros((16, 24, 40, 3), np.uint8)
    for number in range(16):
        frames[number, 8:16, 2 + 2 * number : 10 + 2 * number] = (255, 0, 0)
    Video(frames, 3).save("clip/")
    Video(np.full((1, 24, 40, 3), (0, 0, 200), np.uint8), 1).save("blue.png")
    words = ("generate", "--model", "runs/base", "--model", "runs/prior", "--until", "base", "--steps", 2)
    clip, picture = ("--control-from", "clip/"), ("--picture", "blue.png")
    ways: dict[str, tuple[str, ...]] = {
        "text": ("a blue heart", *clip),
        "picture": ("a blue heart", *clip, *picture),
        "other": ("a red star", *clip, *picture),
        "free": ("a blue heart", *picture),
        "blurred": ("a blue heart", *clip, *picture, "--set", "base.inputs.structure.blur=5"),
        "alike": ("a blue heart", *clip, *picture, "--set", "base.sampling.guidance.temporal=30"),
    }
    for name, way in ways.items():
        done = cli(*words, *way, "--dtype", "fp32", "--json", "-o", f"{name}/")
        assert done.code == 0, done.err
    shown = {name: read(f"{name}/", fps=3).frames for name in ways}
    assert all(video.shape == (16, 24, 40, 3) for video in shown.values())
    assert np.array_equal(shown["picture"], shown["other"]), "the base is told no text"
    for name in ("text", "free", "blurred", "alike"):
        assert not np.array_equal(shown[name], shown["picture"]), name
    assert cli("generate", "--again", "alike/", "-o", "again/").code == 0
    assert np.array_equal(read("again/", fps=3).frames, shown["alike"])
    refused = cli(*words, "fog", "--control-from", "clip/", "--control-scale", "0.5", "-o", "no/")
    assert refused.code == 2 and "scale: expected 1, or 0 for none" in refused.err and not Path("no").exists()
    missing = cli("generate", "fog", "--model", "runs/base", "-o", "no/")
    assert missing.code == 2 and "reads what stage 'prior' makes" in missing.err
