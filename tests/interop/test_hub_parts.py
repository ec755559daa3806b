"""Networks, codec, text encoder and schedule of Stable Diffusion's layout, against diffusers' own."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pixel_unshuffle

from tests.interop.pipelines import LIMIT, WIDTH, scheduler
from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.cascade.spec import SamplingSpec, StageSpec
from zoetrope.codecs import Codec
from zoetrope.codecs.hub_kl import HubKL
from zoetrope.conditioning import Conditioning, Tokens
from zoetrope.diffusion.denoise import denoiser
from zoetrope.guidance import combined
from zoetrope.guidance.text import TextGuidance
from zoetrope.inputs.text import text_given
from zoetrope.layers.fused import fused
from zoetrope.networks import NetworkConfig
from zoetrope.networks.hub_controlnet import Hint, HubControlNetConfig
from zoetrope.networks.hub_unet2d import HubUNet2DConfig
from zoetrope.samplers.ddim import DDIM
from zoetrope.schedules.discrete import Discrete
from zoetrope.shapes import VideoShape
from zoetrope.text import Encode
from zoetrope.text.clip import CLIPText

SMALL = HubUNet2DConfig(
    text_width=WIDTH, widths=(8, 16), attends=(True, False), heads=(2, 2), blocks=1, groups=4, null=LIMIT
)
CODEC = HubKL(widths=(4, 8), blocks=1, groups=2, scaling=0.25)
STEPS, SCALE = 4, 3.0


@pytest.fixture(scope="module")
def encode(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Encode:
    """The pipeline's text encoder, as ours."""
    here = tmp_path_factory.mktemp("text")
    for part in ("text_encoder", "tokenizer"):
        shutil.copytree(folder / part, here, dirs_exist_ok=True)
    return CLIPText(model=str(here), width=WIDTH, limit=LIMIT, padded=True).load()


@pytest.fixture(scope="module")
def network(theirs: Any, encode: Encode) -> Any:
    """The pipeline's U-Net, as ours."""
    made: Any = SMALL.build()
    made.unet.load_state_dict(theirs.unet.state_dict())
    made.null.copy_(encode([""]).text[0])
    return made.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def latents() -> Tensor:
    return torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(5))


def stage(**sampling: Any) -> StageSpec:
    told = {"sampler": DDIM(sample="z"), "steps": STEPS, "guidance": SCALE - 1, "threshold": None}
    return StageSpec(
        name="base",
        shape=VideoShape(frames=1, height=8, width=8, fps=1),
        network=SMALL,
        prediction="eps",
        schedule=Discrete(),
        sampling=SamplingSpec(**{**told, **sampling}),
    )


def drawn(latents: Tensor) -> Draw:
    return Draw(seed=0, samples=[0] * len(latents), noise=lambda purpose, window: latents[:, :, None])


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("steps", [50, 25, 4])
def test_the_schedule_is_that_of_diffusers(spacing: Any, steps: int) -> None:
    own, reference = Discrete(spacing=spacing), scheduler(timestep_spacing=spacing)
    reference.set_timesteps(steps)
    times = own.times(steps)
    level = own(times)
    assert own.timestep(level.logsnr[:-1]).round().tolist() == reference.timesteps.tolist()
    wanted = torch.cat([reference.alphas_cumprod[reference.timesteps], reference.final_alpha_cumprod[None]])
    torch.testing.assert_close(level.alpha**2, wanted.double(), rtol=0, atol=1e-6)


def test_timesteps_are_told_between_those_of_the_table() -> None:
    own = Discrete()
    times = torch.tensor([0.0, 0.2503, 0.98198198, 1.0], dtype=torch.float64)
    logsnr = own(times).logsnr
    torch.testing.assert_close(own.time(logsnr), times, rtol=0, atol=1e-12)
    torch.testing.assert_close(own.timestep(logsnr.float()), 999 * times, rtol=0, atol=1e-3)
    assert own.time(logsnr[:1] + 1) < 0 < 1 < own.time(logsnr[-1:] - 1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"first": 0.1, "last": 0.01}, "first: expected a beta of at most last = 0.01, got 0.1"),
        ({"count": 2, "offset": 2}, "offset: expected a timestep below count = 2, got 2"),
        ({"first": 0.5, "last": 0.5}, "last: expected betas that leave a logsnr above -55"),
    ],
)
def test_impossible_schedules_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Discrete(**fields)


@pytest.mark.parametrize(("spacing", "most"), [("leading", 999), ("trailing", 666)])
def test_more_steps_than_timesteps_are_refused(spacing: Any, most: int) -> None:
    assert Discrete(spacing=spacing).times(most).diff().max() < 0
    with pytest.raises(ValueError, match=f"steps: expected at most {most}, for a schedule of 1000 timesteps, got 1000"):
        Discrete(spacing=spacing).times(1000)


@pytest.mark.parametrize("offset", [1, 2, 5, 19])
def test_no_step_begins_beyond_the_last_timestep(offset: int) -> None:
    own = Discrete(offset=offset)
    for steps in range(1, 1000 - offset + 1):
        try:
            assert own.times(steps)[0] <= 1
        except ValueError as error:
            assert "would begin at timestep" in str(error) and (steps - 1) * (1000 // steps) + offset > 999


def test_texts_are_padded_without_a_mask(theirs: Any, encode: Encode) -> None:
    long = "a b c d e f g h i j k l m n"
    given = encode(["a red cat", "", long])
    with torch.no_grad():
        wanted, null = theirs.encode_prompt(["a red cat", "x", long], "cpu", 1, True)
    assert given.mask.all() and given.text.shape == (3, LIMIT, WIDTH)
    torch.testing.assert_close(given.text[[0, 2]], wanted[[0, 2]], rtol=0, atol=1e-6)
    torch.testing.assert_close(given.text[1], null[0], rtol=0, atol=1e-6)
    assert encode.cut(long) == "k l m n" and encode.cut("a red cat") == ""
    with pytest.raises(ValueError, match="prompt: expected some text, got only blanks"):
        encode(["  "])


def test_padding_is_part_of_an_encoders_identity(folder: Path) -> None:
    plain = CLIPText(model=str(folder / "text_encoder"), width=WIDTH, limit=LIMIT)
    assert plain.identity != plain.with_(padded=True).identity


def test_the_codec_is_that_of_diffusers(theirs: Any) -> None:
    own = CODEC.build().eval()
    own.vae.load_state_dict(theirs.vae.state_dict())
    video = torch.randn(2, 3, 3, 16, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        z = own.encode(video)
        wanted = theirs.vae.encode(video[:, :, 1]).latent_dist.mean * theirs.vae.config.scaling_factor
        torch.testing.assert_close(z[:, :, 1], wanted, rtol=0, atol=1e-6)
        again = theirs.vae.decode(z[:, :, 2] / theirs.vae.config.scaling_factor).sample
        torch.testing.assert_close(own.decode(z)[:, :, 2], again, rtol=0, atol=1e-5)
        parts = torch.cat(list(own.stream((z / own.scale).split(2, dim=2))), dim=2)
        torch.testing.assert_close(parts, own.decode(z), rtol=0, atol=1e-6)
    assert CODEC.factor == 2 and Codec.from_json(CODEC.to_json()) == CODEC


def test_frames_are_independent_pictures_each_with_its_level_and_text(network: Any, encode: Encode) -> None:
    z = torch.randn(2, 4, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    timesteps = torch.tensor([[981.0, 500.0, 1.0], [41.0, 41.0, 999.0]], dtype=torch.float64)
    logsnr = SMALL.timesteps(timesteps / 999).logsnr
    text = encode(["dog", "cat", "red", "a", "b", "c"]).text.unflatten(0, (2, 3))
    mask = torch.tensor([[True, True, False], [True, True, True]])[..., None].expand(2, 3, LIMIT)
    out = network(z, logsnr, Conditioning(tokens={"text": Tokens(text, mask)}))
    for video, frame in ((0, 0), (0, 2), (1, 2)):
        told = text[video, frame] if mask[video, frame, 0] else network.null
        one = z[video : video + 1, :, frame]
        alone = network.unet(one, timesteps[video, frame], encoder_hidden_states=told[None]).sample
        torch.testing.assert_close(out[video : video + 1, :, frame], alone, rtol=0, atol=1e-5)


def test_without_text_the_empty_text_is_told(network: Any) -> None:
    z, logsnr = torch.randn(1, 4, 2, 8, 8), torch.tensor([-1.0])
    nothing = network(z, logsnr, Conditioning())
    unknown = Conditioning(tokens={"text": Tokens(torch.randn(1, 1, WIDTH), torch.zeros(1, 1, dtype=torch.bool))})
    assert torch.equal(nothing, network(z, logsnr, unknown))
    assert torch.equal(nothing, network(z, logsnr, text_given(network.null[None])))
    assert not torch.allclose(nothing, network(z, logsnr, text_given(network.null[None].flip(1))))


@pytest.mark.parametrize("form", ["plain", "fused"])
@pytest.mark.parametrize("negative", [None, "dog"])
def test_text_to_image_is_that_of_diffusers(
    theirs: Any, network: Any, encode: Encode, latents: Tensor, form: str, negative: str | None
) -> None:
    prompts = ["a red cat", "snow"]
    told = {"num_inference_steps": STEPS, "guidance_scale": SCALE, "latents": latents, "output_type": "latent"}
    wanted = theirs(prompts, negative_prompt=None if negative is None else [negative] * 2, **told).images
    against = None if negative is None else text_given(*encode([negative, negative]))
    given, draw = text_given(*encode(prompts)), drawn(latents)
    draw = Draw(seed=0, samples=[0, 0], noise=draw.noise, negative=against)
    made = stage_video(stage(), fused(network) if form == "fused" else network, given, None, draw)
    assert wanted.std() > 1
    torch.testing.assert_close(made[:, :, 0], wanted, rtol=0, atol=1e-4)


def test_v_and_trailing_timesteps(theirs: Any, network: Any, encode: Encode, latents: Tensor) -> None:
    from diffusers import StableDiffusionPipeline

    rules = scheduler(timestep_spacing="trailing", prediction_type="v_prediction", set_alpha_to_one=True)
    other = StableDiffusionPipeline(**{**theirs.components, "scheduler": rules}, requires_safety_checker=False)
    other.set_progress_bar_config(disable=True)
    told = {"num_inference_steps": STEPS, "guidance_scale": SCALE, "latents": latents, "output_type": "latent"}
    wanted = other(["a red cat", "snow"], **told).images
    own = stage(sampler=DDIM()).with_(prediction="v", schedule=Discrete(spacing="trailing"))
    made = stage_video(own, network, text_given(*encode(["a red cat", "snow"])), None, drawn(latents))
    torch.testing.assert_close(made[:, :, 0], wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("scales", [(1.0, 0.5), (0.7, 0.0)])
def test_controls_are_those_of_diffusers(
    controlled: Any, network: Any, encode: Encode, latents: Tensor, scales: tuple[float, float]
) -> None:
    hints = (Hint(name="hint", widths=(4, 8)), Hint(name="other", widths=(4, 8)))
    own: Any = HubControlNetConfig(unet=SMALL, hints=hints).build().eval().requires_grad_(False)
    own.unet.load_state_dict(network.unet.state_dict())
    own.null.copy_(network.null)
    pictures = torch.rand(2, 2, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    for name, net in zip(own.controls, controlled.controlnet.nets, strict=True):
        own.controls[name].load_state_dict(net.state_dict())
    told = {"num_inference_steps": STEPS, "guidance_scale": SCALE, "latents": latents, "output_type": "latent"}
    prompts = ["a red cat", "snow"]
    wanted = controlled(prompts, image=[*pictures], controlnet_conditioning_scale=list(scales), **told).images

    maps = {hint.name: pixel_unshuffle(each, 2)[:, :, None] for hint, each in zip(hints, pictures, strict=True)}
    numbers = {f"{hint.name}_scale": torch.full((2,), s) for hint, s in zip(hints, scales, strict=True)}
    given = text_given(*encode(prompts)) | Conditioning(maps=maps, numbers=numbers)
    made = sampled(own, given, latents[:, :, None])[:, :, 0]
    torch.testing.assert_close(made, wanted, rtol=0, atol=1e-4)
    plain = sampled(network, text_given(*encode(prompts)), latents[:, :, None])[:, :, 0]
    assert (plain - made).abs().max() > 0.05


def sampled(network: Any, given: Conditioning, z: Tensor) -> Tensor:
    """DDIM with text guidance, put together from the parts."""
    guidance, rules = TextGuidance(weight=SCALE - 1), Discrete()

    def guided(z: Tensor, logsnr: Tensor) -> Tensor:
        outputs = [network(z, logsnr, each) for each in guidance.variants(given, None)]
        return combined(outputs, guidance.shares(0, STEPS))

    levels = [rules(t.expand(len(z))) for t in rules.times(STEPS)]
    for step in DDIM(sample="z")(denoiser(guided, "eps"), z.clone(), levels, noise=lambda number: torch.zeros(())):
        made = step.x_hat
    return made


def test_frames_may_look_at_the_first_as_in_text2video_zero(theirs: Any, network: Any, encode: Encode) -> None:
    from diffusers import TextToVideoZeroPipeline

    own = SMALL.with_(looks="first").build().eval().requires_grad_(False)
    own.load_state_dict(network.state_dict())
    z = torch.randn(2, 4, 3, 8, 8, generator=torch.Generator().manual_seed(4))
    text = encode(["dog", "cat"]).text
    level = SMALL.timesteps(torch.full((2,), 500 / 999, dtype=torch.float64))
    made = own(z, level.logsnr, text_given(text))
    reference: Any = SMALL.build().eval()
    reference.load_state_dict(network.state_dict())
    home = sys.modules[TextToVideoZeroPipeline.__module__]  # which has moved between versions
    reference.unet.set_attn_processor(home.CrossFrameAttnProcessor2_0(batch_size=2))
    with torch.no_grad():
        frames = z.movedim(2, 1).flatten(0, 1)
        wanted = reference.unet(frames, 500, encoder_hidden_states=text.repeat_interleave(3, 0)).sample
    torch.testing.assert_close(made.movedim(2, 1).flatten(0, 1), wanted, rtol=0, atol=1e-5)
    apart = network(z, level.logsnr, text_given(text))
    torch.testing.assert_close(made[:, :, 0], apart[:, :, 0], rtol=0, atol=1e-5)
    assert (made - apart)[:, :, 1:].abs().max() > 1e-2


@pytest.mark.parametrize("looks", ["first", "first_and_previous"])
def test_independent_pictures_look_at_themselves(network: Any, looks: Any) -> None:
    own = SMALL.with_(looks=looks).build().eval().requires_grad_(False)
    own.load_state_dict(network.state_dict())
    z, logsnr = torch.randn(1, 4, 3, 8, 8), torch.tensor([0.0])
    alone = own(z, logsnr, Conditioning(images=torch.ones(1, dtype=torch.bool)))
    torch.testing.assert_close(alone, network(z, logsnr, Conditioning()), rtol=0, atol=1e-5)


def test_where_all_frames_are_seen_there_are_no_independent_pictures(network: Any) -> None:
    config = SMALL.with_(looks="all")
    with pytest.raises(ValueError, match="images: expected none, for each frame looks at all others"):
        config.build()(torch.randn(1, 4, 3, 8, 8), torch.zeros(1), Conditioning(images=torch.ones(1, dtype=torch.bool)))
    assert not config.takes_packs and SMALL.takes_packs


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"heads": (2,)}, "heads: expected one for each of 2 widths, got 1"),
        ({"widths": (8, 18)}, "widths.1: expected a multiple of groups = 4, got 18; nearest 16"),
        ({"heads": (3, 2)}, "widths.0: expected a multiple of heads.0 = 3, got 8; nearest 9"),
        ({"widths": (8192, 8192)}, "widths: expected a sum of blocks x width\\^2 of at most"),
        ({"text_width": None}, "text_width"),
    ],
)
def test_impossible_networks_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SMALL.with_(**fields)


def test_impossible_sizes_texts_and_controls_are_refused(network: Any) -> None:
    with pytest.raises(ValueError, match="height: expected a multiple of 2, got 7; the nearest is 8"):
        SMALL.check(1, 7, 8)
    z, logsnr = torch.randn(1, 4, 1, 8, 8), torch.zeros(1)
    half = torch.arange(LIMIT)[None] < 3
    for mask in (half, torch.ones(1, 3, dtype=torch.bool)):
        tokens = Tokens(torch.randn(*mask.shape, WIDTH), mask)
        with pytest.raises(ValueError, match=rf"text: expected {LIMIT} tokens, all real .*of which 3 are real"):
            network(z, logsnr, Conditioning(tokens={"text": tokens}))
    with pytest.raises(ValueError, match="text: expected width 16, got 4: another encoder"):
        network(z, logsnr, text_given(torch.randn(1, LIMIT, 4)))
    with pytest.raises(ValueError, match="hints: expected different names"):
        HubControlNetConfig(unet=SMALL, hints=(Hint(), Hint()))
    with pytest.raises(ValueError, match="hints: expected names of other inputs than the U-Net's, got 'text'"):
        HubControlNetConfig(unet=SMALL, hints=(Hint(name="text"),))
    with pytest.raises(ValueError, match="text_width: expected 16, that of its U-Net, got 8"):
        HubControlNetConfig(unet=SMALL, text_width=8)
    control = HubControlNetConfig(unet=SMALL, hints=(Hint(widths=(4, 8)),))
    assert NetworkConfig.from_json(control.to_json()) == control
    own = control.build()
    with pytest.raises(ValueError, match="maps: expected 'hint'"):
        own(z, logsnr, Conditioning())
    with pytest.raises(ValueError, match="expected 'hint_scale', the strength of hint"):
        own(z, logsnr, Conditioning(maps={"hint": torch.zeros(1, 12, 1, 8, 8)}))


@pytest.mark.parametrize("part", [SMALL, CODEC, HubControlNetConfig(unet=SMALL)])
def test_a_missing_package_is_named_with_its_extra(part: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(
        ValueError, match=r"hub_.*: expected the package diffusers .*pip install 'zoetrope\[diffusers\]'"
    ):
        part.build()
