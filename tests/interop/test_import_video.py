"""`zoetrope import` of Stable Video Diffusion's layout: the model's videos are those of diffusers' own pipeline."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from zoetrope.__main__ import main
from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.codecs import decoded
from zoetrope.conditioning import Conditioning
from zoetrope.guidance.over_frames import OverFrames
from zoetrope.inputs import Setting
from zoetrope.interop.pipelines import import_pipeline
from zoetrope.models.asking import conditioning_of, silent_setting
from zoetrope.models.cascade import Cascade
from zoetrope.models.folder import read_spec
from zoetrope.models.opening import open_model
from zoetrope.schedules.karras import Karras
from zoetrope.video import Video, probe

FRAMES, STEPS, SIZE, WIDTH = 3, 3, (16, 16), 8


def unet() -> Any:
    """A fresh UNetSpatioTemporalConditionModel."""
    from diffusers import UNetSpatioTemporalConditionModel

    return UNetSpatioTemporalConditionModel(
        sample_size=8,
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        block_out_channels=(64, 64),
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=24,
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        num_attention_heads=(2, 4),
        num_frames=FRAMES,
    ).eval()


def image_encoder() -> Any:
    """A fresh CLIPVisionModelWithProjection."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    return CLIPVisionModelWithProjection(CLIPVisionConfig(**sizes, patch_size=56, projection_dim=WIDTH)).eval()


def pipeline(folder: Path) -> Any:
    """A tiny random pipeline, also saved to `folder`."""
    from diffusers import AutoencoderKLTemporalDecoder, EulerDiscreteScheduler, StableVideoDiffusionPipeline
    from transformers import CLIPImageProcessor

    torch.manual_seed(0)
    made = StableVideoDiffusionPipeline(
        unet=unet(),
        vae=AutoencoderKLTemporalDecoder(
            block_out_channels=(32, 32), down_block_types=("DownEncoderBlock2D",) * 2, sample_size=16
        ).eval(),
        image_encoder=image_encoder(),
        feature_extractor=CLIPImageProcessor(),
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            prediction_type="v_prediction",
            timestep_spacing="leading",
            timestep_type="continuous",
            steps_offset=1,
            use_karras_sigmas=True,
            sigma_min=0.002,
            sigma_max=700.0,
        ),
    )
    with torch.no_grad():
        for module in (made.unet, made.vae.decoder):  # time matters, and the picture
            for name, weight in module.named_parameters():
                if name.endswith("mix_factor"):
                    weight.fill_(0.3)
    made.set_progress_bar_config(disable=True)
    made.save_pretrained(folder)
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hub") / "svd"


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Any:
    return pipeline(folder)


@pytest.fixture(scope="module")
def model(theirs: Any, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "svd"
    assert import_pipeline(folder, out).notes == []
    return out


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def asked(stage: Any, picture: np.ndarray, noise: Tensor, network: Any, **values: Any) -> Conditioning:
    """What a network is told, where the noise (1, 3, 1, H, W) is added to the picture."""
    own = silent_setting(stage, 1)
    setting = Setting(**{**own.__dict__, "noise": lambda *what: noise, "encode": network.encode})
    return conditioning_of(stage, {"picture": picture, **values}, 1, None, setting)


@pytest.mark.parametrize(
    ("scales", "told"),
    [
        ((1.0, 3.0), {}),
        ((2.0, 2.0), {"fps": 12, "motion_bucket_id": 40, "noise_aug_strength": 0.3}),
    ],
)
def test_an_imported_pipeline_makes_the_same_videos(
    theirs: Any, model: Path, picture: np.ndarray, scales: tuple[float, float], told: dict[str, Any]
) -> None:
    start = torch.randn(1, FRAMES, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    strength = told.get("noise_aug_strength", 0.02)
    noise = torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(2))
    wanted = theirs(
        Image.fromarray(picture),
        *SIZE,
        num_inference_steps=STEPS,
        min_guidance_scale=scales[0],
        max_guidance_scale=scales[1],
        generator=torch.Generator().manual_seed(2),
        latents=start,
        output_type="pt",
        **told,
    ).frames
    opened = open_model(model)
    [stage] = opened.spec.stages
    assert stage.sampling.guidance == OverFrames(first=0.0, last=2.0) and opened.codec is not None
    guidance = OverFrames(first=scales[0] - 1, last=scales[1] - 1)
    still: Any = stage.input("first_frame")
    stage = stage.with_input(still.with_(sigma=strength))
    stage = stage.with_(sampling=stage.sampling.with_(steps=STEPS, guidance=guidance))
    codec = opened.codec()
    values = {"fps": told.get("fps", 7), "motion_bucket": told.get("motion_bucket_id", 127)}
    values = values if told else {}  # the usual ones
    given = asked(stage, picture, noise[:, :, None], codec, **values)
    draw = Draw(seed=0, samples=[0], noise=lambda purpose, window: start.movedim(1, 2))
    z = stage_video(stage, opened.network(stage), given, None, draw)
    made = (decoded(codec, z).movedim(1, 2) + 1) / 2
    assert made.shape == wanted.shape == (1, FRAMES, 3, *SIZE) and wanted.std() > 0.05
    torch.testing.assert_close(made, wanted, rtol=0, atol=1e-4)
    assert (made[:, 0] - made[:, 2]).abs().max() > 1e-3


def test_each_thing_that_it_is_told_matters(model: Path, picture: np.ndarray) -> None:
    opened = open_model(model)
    [stage] = opened.spec.stages
    network, noise = opened.network(stage), torch.zeros(1, 3, 1, *SIZE)
    codec: Any = opened.codec() if opened.codec else None
    z, logsnr = torch.randn(1, 4, FRAMES, 8, 8, generator=torch.Generator().manual_seed(0)), torch.zeros(1)
    plain = network(z, logsnr, asked(stage, picture, noise, codec))
    same = asked(stage, picture, noise, codec, fps=7, motion_bucket=127)
    torch.testing.assert_close(network(z, logsnr, same), plain, rtol=1e-4, atol=1e-5)  # the usual ones
    for changed in ({"fps": 20}, {"motion_bucket": 3}):
        assert (network(z, logsnr, asked(stage, picture, noise, codec, **changed)) - plain).abs().max() > 1e-4
    told = asked(stage, picture, noise, codec)
    for name in ("picture", "first_frame"):
        assert (network(z, logsnr, told.without(name)) - plain).abs().max() > 1e-4
    with pytest.raises(ValueError, match=r"numbers\['fps'\]: expected the frames per second"):
        network(z, logsnr, told.without("fps") if told.without("fps") != told else told)


def test_from_the_command_line_to_a_video(
    folder: Path,
    theirs: Any,
    picture: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture).save("fox.png")
    assert main(["import", str(folder), "-o", "svd"]) == 0
    assert "a picture to a video of 3 frames of 16x16, 25 steps" in capsys.readouterr().out
    assert main(["generate", "--picture", "fox.png", "--model", "svd", "--steps", "2", "-o", "fox.mp4"]) == 0
    info = probe("fox.mp4")
    assert (info.frames, info.height, info.width, info.fps) == (3, *SIZE, 7)


def test_it_runs_from_python_wherever_it_is(model: Path, picture: np.ndarray, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(model, tmp_path / "elsewhere"))
    video = Cascade.from_pretrained(moved).generate(picture=picture, frames=2, steps=2, seed=1)
    assert isinstance(video, Video) and video.frames.shape == (2, *SIZE, 3) and video.fps == 7
    [stage] = read_spec(moved).stages
    assert stage.inputs[0].to_json()["encoder"]["model"] == str(moved.resolve() / "pictures")
    other = Cascade.from_pretrained(moved).generate(picture=255 - picture, frames=2, steps=2, seed=1)
    assert np.abs(video.frames.astype(int) - other.frames).max() > 1
    file = moved / "cascade.json"
    file.write_text(file.read_text().replace("./pictures", "./../x"))
    with pytest.raises(ValueError, match=r"expected an encoder inside it, got './../x', which leads out of it"):
        open_model(moved)


def change(file: str, **values: Any) -> Callable[[Path], None]:
    """Change entries of a JSON file of a pipeline."""

    def broken(folder: Path) -> None:
        path = folder / file
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return broken


def encoder_weights(changed: Callable[[dict[str, Tensor]], object]) -> Callable[[Path], None]:
    """Change the weights of the encoder of pictures."""

    def broken(folder: Path) -> None:
        weights = load_file(folder / "image_encoder/model.safetensors")
        changed(weights)
        save_file(weights, folder / "image_encoder/model.safetensors", metadata={"format": "pt"})

    return broken


@pytest.mark.parametrize(
    ("breaks", "message"),
    [
        (
            encoder_weights(lambda weights: weights.__delitem__("visual_projection.weight")),
            "expected the weights of a CLIPVisionModelWithProjection, got none for visual_projection.weight",
        ),
        (
            encoder_weights(
                lambda weights: weights.update({"visual_projection.weight": torch.full((8, 16), torch.nan)})
            ),
            "pictures: expected weights that give finite embeddings, got NaN or infinity",
        ),
        (change("image_encoder/config.json", model_type="siglip_vision_model"), "got one of type siglip_vision_model"),
        (change("unet/config.json", in_channels=9), "unet/config.json: in_channels: expected 8, got 9"),
        (change("unet/config.json", novelty=3), "unet/config.json: novelty: expected None, others cannot be read"),
        (
            change("unet/config.json", down_block_types=["DownBlock2D", "DownBlockSpatioTemporal"]),
            "down_block_types: expected CrossAttnDownBlockSpatioTemporal or .*got 'DownBlock2D'",
        ),
        (change("unet/config.json", cross_attention_dim=9), "projection_dim: expected 9, got 8"),
        (change("unet/config.json", num_frames=0), "num_frames: expected a number up to 4096, got 0"),
        (change("vae/config.json", block_out_channels=[30, 32]), "widths.0: expected a multiple of 32, got 30"),
        (
            change("scheduler/scheduler_config.json", prediction_type="epsilon"),
            "prediction_type: expected 'v_prediction', got 'epsilon'",
        ),
        (
            change("scheduler/scheduler_config.json", use_karras_sigmas=False),
            "use_karras_sigmas: expected True, got False",
        ),
        (change("image_encoder/config.json", image_size=112), "image_size: expected 224, got 112"),
        (
            change("model_index.json", scheduler=["diffusers", "DDIMScheduler"]),
            "scheduler: expected EulerDiscreteScheduler, got DDIMScheduler",
        ),
        (
            change("model_index.json", vae=["diffusers", "AutoencoderKL"]),
            "vae: expected AutoencoderKLTemporalDecoder, got AutoencoderKL",
        ),
        (
            lambda folder: (folder / "image_encoder/model.safetensors").unlink(),
            "expected the weights of image_encoder in model.safetensors, got none",
        ),
    ],
)
def test_what_cannot_be_read_is_named(
    folder: Path, theirs: Any, tmp_path: Path, breaks: Callable[[Path], None], message: str
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "broken"))
    breaks(copy)
    with pytest.raises(ValueError, match=message):
        import_pipeline(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_setting_that_no_scheduler_has_is_told(folder: Path, theirs: Any, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "changed"))
    change("scheduler/scheduler_config.json", novelty=3, set_alpha_to_one=False)(copy)
    assert import_pipeline(copy, tmp_path / "out").notes == ["'novelty' of the scheduler is not read"]


def test_controls_are_for_other_pipelines(folder: Path, theirs: Any, tmp_path: Path) -> None:
    (tmp_path / "edges").mkdir()
    (tmp_path / "edges/config.json").write_text('{"_class_name": "ControlNetModel"}')
    with pytest.raises(ValueError, match="controlnets: expected none for StableVideoDiffusionPipeline, got 'edges'"):
        import_pipeline(folder, tmp_path / "out", controlnets={"edges": tmp_path / "edges"})


def test_the_last_step_begins_at_the_least_noise() -> None:
    """As diffusers' Euler scheduler, and Karras et al. 2022, Eq. 5, with t_N = 0."""
    from diffusers import EulerDiscreteScheduler

    theirs = EulerDiscreteScheduler(use_karras_sigmas=True, sigma_min=0.002, sigma_max=700.0)
    theirs.set_timesteps(5)
    own = Karras(sigma_min=0.002, sigma_max=700.0, reaches_least=True)
    level = own(own.times(5)[:-1])
    torch.testing.assert_close((level.sigma / level.alpha).float(), theirs.sigmas[:-1], rtol=1e-5, atol=1e-7)
    last = own(own.times(5)[-1:])
    assert float(last.sigma) < 1e-12 and own.times(1)[0] == 1 and len(own.times(1)) == 2
