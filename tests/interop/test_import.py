"""`zoetrope import`: a pipeline as a model gives what diffusers' own pipeline gives; what cannot be read is named."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub.utils import filter_repo_objects
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.interop.pipelines import LIMIT, WIDTH, controlnet, unet
from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.codecs import decoded
from zoetrope.inputs.text import text_given
from zoetrope.interop.pipelines import import_pipeline
from zoetrope.interop.schedulers import SCHEDULERS
from zoetrope.models.cascade import Cascade
from zoetrope.models.opening import open_model
from zoetrope.samplers.ddim import DDIM

STEPS, SCALE = 4, 7.5


@pytest.fixture(scope="module")
def model(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The imported pipeline."""
    out = tmp_path_factory.mktemp("models") / "sd"
    made = import_pipeline(folder, out)
    assert made.folder == out.resolve() and made.notes == []
    return out


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A copy of the pipeline to break."""
    return Path(shutil.copytree(folder, tmp_path / "broken"))


def change(file: Path, **values: Any) -> None:
    """Change entries of a JSON file."""
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def pictures(model: Path, prompts: list[str], latents: Tensor, steps: int = STEPS) -> Tensor:
    """What a model makes of noise, in [-1, 1], with the text encoder's features as they are."""
    opened = open_model(model)
    [stage] = opened.spec.stages
    assert opened.spec.text is not None and opened.codec is not None
    given = text_given(*opened.spec.text.load()(prompts))
    draw = Draw(seed=0, samples=[0] * len(latents), noise=lambda purpose, window: latents[:, :, None])
    stage = stage.with_(sampling=stage.sampling.with_(steps=steps))
    z = stage_video(stage, opened.network(stage), given, None, draw)
    return decoded(opened.codec(), z)[:, :, 0]


def test_an_imported_pipeline_makes_the_same_pictures(theirs: Any, model: Path) -> None:
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    prompts = ["a red cat", "snow"]
    told = {"num_inference_steps": STEPS, "guidance_scale": SCALE, "latents": latents, "output_type": "pt"}
    wanted = theirs(prompts, **told).images
    made = (pictures(model, prompts, latents) + 1) / 2
    assert made.shape == (2, 3, 16, 16) and wanted.std() > 0.1
    torch.testing.assert_close(made, wanted, rtol=0, atol=1e-4)


def test_its_features_are_rounded_as_those_of_any_model(theirs: Any, model: Path) -> None:
    """Text features are stored in float16: pictures differ by that alone."""
    cascade = Cascade.from_pretrained(model).tuned(steps=STEPS)
    for now in cascade.stream(["a red cat"], seed=3):
        last = now
    noise = torch.randn(1, 4, 8, 8)  # of another seed: other pictures
    told = {"num_inference_steps": STEPS, "guidance_scale": SCALE, "output_type": "pt"}
    with torch.no_grad():
        own, null = (text.half().float() for text in theirs.encode_prompt("a red cat", "cpu", 1, True))
    null = theirs.encode_prompt("", "cpu", 1, False)[0].detach()
    start = start_noise(cascade, seed=3)
    wanted = theirs(prompt_embeds=own, negative_prompt_embeds=null, latents=start, **told).images[0]
    made = torch.from_numpy(last.videos()[0].frames[0]).permute(2, 0, 1) / 255
    torch.testing.assert_close(made, wanted, rtol=0, atol=0.5 / 255 + 1e-4)
    other = theirs(prompt_embeds=own, negative_prompt_embeds=null, latents=noise, **told).images[0]
    assert (other - wanted).abs().max() > 0.1


def start_noise(cascade: Cascade, seed: int) -> Tensor:
    """The noise (1, C, H, W) that a cascade starts from."""
    from zoetrope.cascade.noise import window_noise
    from zoetrope.shapes import Window

    [stage] = cascade.spec.stages
    whole, channels = Window.whole(stage.shape), stage.network.channels
    return window_noise(seed, [0], "base start", stage.shape, channels, whole, cascade.spec.noise)[:, :, 0]


def test_a_model_stays_whole_where_it_is_moved(model: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(model, tmp_path / "elsewhere"))
    spec = open_model(moved).spec
    assert spec.text is not None and Path(spec.text.to_json()["model"]) == moved.resolve() / "text"
    assert json.loads((model / "cascade.json").read_text())["text"]["model"] == "./text"
    change(moved / "cascade.json", text={**json.loads((model / "cascade.json").read_text())["text"], "model": "./../x"})
    with pytest.raises(ValueError, match=r"expected an encoder inside it, got './../x', which leads out of it"):
        open_model(moved)


@pytest.mark.long
def test_from_the_command_line_to_a_picture(folder: Path, tmp_path: Path) -> None:
    def zoetrope(*words: str) -> subprocess.CompletedProcess[str]:
        words = (sys.executable, "-m", "zoetrope", *words)
        return subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=dict(os.environ))

    done = zoetrope("import", str(folder), "-o", "sd", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["path"] == str(tmp_path / "sd") and told["cascade"]["stages"][0]["network"]["type"] == "hub_unet2d"
    done = zoetrope("generate", "a red cat", "--model", "sd", "--steps", "2", "-o", "cat.png")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "cat.png").stat().st_size > 100


def test_several_frames_are_as_many_pictures(model: Path) -> None:
    video = Cascade.from_pretrained(model).generate("snow", frames=3, steps=2, seed=1)
    assert video.frames.shape == (3, 16, 16, 3) and video.fps == 4


def halve(folder: Path, variant: str = "fp16") -> None:
    """Store a pipeline in 16 bits, as a variant of the hub."""
    for part, stem in (
        ("unet", "diffusion_pytorch_model"),
        ("vae", "diffusion_pytorch_model"),
        ("text_encoder", "model"),
    ):
        file = folder / part / f"{stem}.safetensors"
        save_file(
            {name: value.half() for name, value in load_file(file).items()},
            file.with_name(f"{stem}.{variant}.safetensors"),
        )
        file.unlink()


@pytest.mark.parametrize("variant", ["fp16", "bf16"])
def test_weights_of_sixteen_bits_stay_so(copy: Path, tmp_path: Path, variant: str) -> None:
    halve(copy, variant)
    out = import_pipeline(copy, tmp_path / "half").folder
    stored = load_file(out / "base" / "model.safetensors")
    assert stored.pop("null").dtype == torch.float32  # computed here
    assert {value.dtype for value in stored.values()} == {torch.float16}
    original = load_file(copy / "unet" / f"diffusion_pytorch_model.{variant}.safetensors")
    assert all(torch.equal(stored[f"unet.{name}"], value) for name, value in original.items())
    assert open_model(out).network(open_model(out).spec.stages[0]).null.dtype == torch.float32


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_the_hub_gives_a_variant_where_there_is_nothing_else(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str | None
) -> None:
    """And only there: a repository with both is downloaded in one precision."""
    hub, control = tmp_path / "hub", tmp_path / "hub" / "controls"
    shutil.copytree(folder, hub / "pipeline")
    controlnet(1).save_pretrained(control, variant=variant)
    kept = {path: path.read_bytes() for path in hub.rglob("*.safetensors") if path.parent != control}
    halve(hub / "pipeline")
    for path, content in kept.items() if variant is None else ():
        path.write_bytes(content)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub_of(hub, tmp_path / "cache"))
    made = import_pipeline("some/pipeline", tmp_path / "model", controlnets={"edges": "some/controls"})
    got = {path.name.removesuffix(".safetensors").rpartition(".")[2] for path in tmp_path.glob("cache/*/*/*.safe*")}
    assert got == ({"fp16"} if variant else {"diffusion_pytorch_model", "model"})
    assert [each.name for each in made.spec.stages[0].inputs] == ["text", "edges"]


def hub_of(root: Path, cache: Path) -> Callable[..., str]:
    """`snapshot_download` from the folders below a root, which are the repositories of one owner."""

    def downloaded(name: str, *, allow_patterns: list[str]) -> str:
        own = root / name.partition("/")[2]
        files = [str(path.relative_to(own)) for path in own.rglob("*") if path.is_file()]
        for file in filter_repo_objects(files, allow_patterns=allow_patterns):
            (cache / own.name / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(own / file, cache / own.name / file)
        return str(cache / own.name)

    return downloaded


def test_former_names_of_an_autoencoders_attention(model: Path, copy: Path, tmp_path: Path) -> None:
    file = copy / "vae" / "diffusion_pytorch_model.safetensors"
    former = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors, renamed = load_file(file), 0
    for name in list(tensors):
        for today, before in former.items():
            if f".{today}." in name:
                value = tensors.pop(name)
                value = value[..., None, None] if value.ndim == 2 and today == "to_q" else value
                tensors[name.replace(f".{today}.", f".{before}.")] = value.contiguous()
                renamed += 1
    assert renamed == 16
    save_file(tensors, file)
    out = import_pipeline(copy, tmp_path / "old").folder
    ours, theirs = (load_file(each / "codec" / "model.safetensors") for each in (out, model))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("values", "sampler", "spacing", "prediction", "note"),
    [
        ({}, DDIM(sample="z"), "leading", "eps", 0),
        ({"set_alpha_to_one": True, "timestep_spacing": "trailing"}, DDIM(), "trailing", "eps", 0),
        ({"prediction_type": "v_prediction"}, DDIM(sample="z"), "leading", "v", 0),
    ],
)
def test_the_schedulers_rules(
    copy: Path, tmp_path: Path, values: dict[str, Any], sampler: DDIM, spacing: str, prediction: str, note: int
) -> None:
    change(copy / "scheduler" / "scheduler_config.json", **values)
    [stage] = import_pipeline(copy, tmp_path / "model").spec.stages
    assert stage.sampling.sampler == sampler and stage.prediction == prediction
    assert stage.schedule.to_json()["spacing"] == spacing and stage.sampling.weights()[0] == SCALE - 1


@pytest.mark.parametrize("solver", SCHEDULERS)
def test_replaced_timesteps_are_told(copy: Path, tmp_path: Path, solver: str) -> None:
    """Those that a solver has where its configuration does not say."""
    change(copy / "model_index.json", scheduler=["diffusers", solver])
    file = copy / "scheduler" / "scheduler_config.json"
    settings = {key: value for key, value in json.loads(file.read_text()).items() if key != "timestep_spacing"}
    file.write_text(json.dumps(settings))
    notes = import_pipeline(copy, tmp_path / "model").notes
    leading = solver in ("DDIMScheduler", "PNDMScheduler", "DDPMScheduler")
    assert ("timesteps spaced evenly (linspace) are replaced by leading ones" in notes) == (not leading)
    if solver == "DPMSolverSinglestepScheduler":  # which has no such setting
        return
    change(file, timestep_spacing="other")
    with pytest.raises(
        ValueError, match="timestep_spacing: expected 'leading' or 'trailing' or 'linspace', got 'other'"
    ):
        import_pipeline(copy, tmp_path / "none")


def test_another_solver_is_replaced_and_unused_components_left_out(copy: Path, tmp_path: Path) -> None:
    change(
        copy / "model_index.json",
        scheduler=["diffusers", "PNDMScheduler"],
        safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"],
    )
    settings = json.loads((copy / "scheduler" / "scheduler_config.json").read_text())
    del settings["set_alpha_to_one"]
    (copy / "scheduler" / "scheduler_config.json").write_text(json.dumps(settings))
    made = import_pipeline(copy, tmp_path / "model")
    assert made.notes == ["safety_checker is left out", "PNDMScheduler is replaced by DDIM, on the same schedule"]
    assert made.spec.stages[0].sampling.sampler == DDIM(sample="z")
    assert "PNDMScheduler is replaced" in (made.folder / "README.md").read_text()


def index(**values: Any) -> Callable[[Path], None]:
    return lambda folder: change(folder / "model_index.json", **values)


def settings(part: str, **values: Any) -> Callable[[Path], None]:
    return lambda folder: change(folder / part, **values)


def pickled(folder: Path) -> None:
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.rename(file.with_suffix(".bin"))


def pickled_text(folder: Path) -> None:
    (folder / "text_encoder" / "model.safetensors").rename(folder / "text_encoder" / "pytorch_model.bin")


def cut(folder: Path) -> None:
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def not_finite(folder: Path) -> None:
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors["conv_in.bias"][0] = float("nan")
    save_file(tensors, file)


def sharded(variant: str | None) -> Callable[[Path], None]:
    """Stores a U-Net in several files."""

    def spoil(folder: Path) -> None:
        (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
        unet().save_pretrained(folder / "unet", variant=variant, max_shard_size="50KB")

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            index(_class_name="StableDiffusionXLPipeline"),
            "expected a pipeline of Stable Diffusion 1 or 2.*got 'StableD",
        ),
        (
            index(unet=["diffusers", "SD3Transformer2DModel"]),
            "unet: expected UNet2DConditionModel, got SD3Transformer2D",
        ),
        (index(unet=[None, None]), "unet: expected UNet2DConditionModel, got none"),
        (index(adapter=["diffusers", "T2IAdapter"]), "adapter: a component that cannot be read, T2IAdapter"),
        (
            index(unet=["my_unet", "Mine"]),
            "unet: .* got Mine of 'my_unet': a component with code of its own, which is ne",
        ),
        (index(unet=["diffusers"]), r"unet: expected \[library, class\], got \['diffusers'\]"),
        (
            settings("unet/config.json", class_embed_type="timestep"),
            "class_embed_type: expected None, others cannot be",
        ),
        (
            settings("unet/config.json", novelty=3),
            "unet/config.json: novelty: expected None, others cannot be read, got 3",
        ),
        (settings("unet/config.json", in_channels=9), "unet/config.json: out_channels: expected 9, got 4"),
        (settings("unet/config.json", down_block_types=["Odd", "DownBlock2D"]), "down_block_types: .* got 'Odd'"),
        (settings("unet/config.json", block_out_channels=[10**9, 16]), "unet/config.json: widths.0"),
        (settings("unet/config.json", sample_size="big"), "sample_size: expected a height and a width up to 4096"),
        (
            settings("vae/config.json", latent_channels=16),
            "vae/config.json: latent_channels: expected 4, those of the U",
        ),
        (
            settings("vae/config.json", layers_per_block=2),
            "vae/.*safetensors: decoder.*: expected .*, got none: not the ",
        ),
        (settings("vae/config.json", use_quant_conv=False), "vae/config.json: use_quant_conv: expected True"),
        (settings("scheduler/scheduler_config.json", beta_schedule="squaredcos_cap_v2"), "beta_schedule: expected"),
        (settings("scheduler/scheduler_config.json", rescale_betas_zero_snr=True), "rescale_betas_zero_snr: expected"),
        (index(scheduler=["diffusers", "LCMScheduler"]), "scheduler: expected one of DDIMScheduler.*got LCMScheduler"),
        (
            pickled,
            r"unet: expected the weights of unet in .*only pickled weights \(diffusion_pytorch_model.bin\), which",
        ),
        (pickled_text, r"only pickled weights \(pytorch_model.bin\), which can run code and are never read"),
        (cut, "vae/diffusion_pytorch_model.safetensors: not a whole safetensors file"),
        (not_finite, "expected finite weights, got NaN or infinity in 'conv_in.bias'"),
        (sharded(None), r"several files \(diffusion_pytorch_model.safetensors.index.json\), which are not read"),
        (sharded("fp16"), r"several files \(diffusion_pytorch_model.safetensors.index.fp16.json\), which are not read"),
        (lambda folder: (folder / "model_index.json").write_text("[1]"), "expected a pipeline of .*got None"),
        (lambda folder: (folder / "model_index.json").write_text("{"), "model_index.json: not readable as JSON"),
        (lambda folder: (folder / "model_index.json").unlink(), "expected the folder of a pipeline .*got none"),
        (lambda folder: (folder / "unet" / "config.json").unlink(), "expected the configuration of unet, got no such"),
        (settings("text_encoder/config.json", hidden_size=32), "text"),
    ],
)
def test_what_cannot_be_read_is_named(copy: Path, tmp_path: Path, spoil: Callable[[Path], Any], message: str) -> None:
    spoil(copy)
    with pytest.raises(ValueError, match=message) as error:
        import_pipeline(copy, tmp_path / "model")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "model").exists() and not list(tmp_path.glob(".*"))


def test_where_a_model_may_be_written(folder: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("a text")
    with pytest.raises(ValueError, match="expected a new folder or one with a model, got one with other files"):
        import_pipeline(folder, tmp_path)
    with pytest.raises(
        ValueError, match="expected a folder or an id on the Hugging Face hub, got no such folder, and "
    ):
        import_pipeline("nothing/here/at/all", tmp_path / "model")
    with pytest.raises(ValueError, match="expected a folder of diffusers, got a file"):
        import_pipeline(tmp_path / "mine", tmp_path / "model")
    again = Path(shutil.copytree(model, tmp_path / "again"))
    (again / "base" / "model.safetensors").write_bytes(b"")
    import_pipeline(folder, again)
    assert (again / "base" / "model.safetensors").read_bytes() == (model / "base" / "model.safetensors").read_bytes()


def test_a_link_out_of_the_pipeline_is_refused(copy: Path, tmp_path: Path) -> None:
    file = copy / "unet" / "diffusion_pytorch_model.safetensors"
    file.rename(tmp_path / "elsewhere.safetensors")
    file.symlink_to(tmp_path / "elsewhere.safetensors")
    with pytest.raises(ValueError, match="got a link out of it"):
        import_pipeline(copy, tmp_path / "model")


def test_the_missing_package_is_named(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ValueError, match=r"import: expected the package diffusers .*'zoetrope\[diffusers\]'"):
        import_pipeline(folder, tmp_path / "model")


def test_the_limit_of_texts_is_the_tokenizers(model: Path) -> None:
    spec = open_model(model).spec
    assert spec.text is not None and (spec.text.limit, spec.text.width) == (LIMIT, WIDTH)


@pytest.fixture(scope="module")
def hints(controlled: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Folders of ControlNets alone."""
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "other")]
    for net, folder in zip(controlled.controlnet.nets, folders, strict=True):
        net.save_pretrained(folder)
    return folders


def test_controls_of_an_imported_pipeline(
    folder: Path, hints: list[Path], controlled: Any, theirs: Any, tmp_path: Path
) -> None:
    made = import_pipeline(folder, tmp_path / "sd", controlnets={"edges": hints[0], "pose": hints[1]})
    cascade = Cascade.from_pretrained(made.folder)
    assert "--control edges=FILE" in cascade.card
    shown = torch.randint(0, 256, (2, 16, 16, 3), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    told = {"control": {"edges": shown[0].numpy(), "pose": shown[1].numpy()}, "steps": STEPS, "seed": 3}
    video = cascade.generate("a red cat", control_scale={"edges": 0.8, "pose": 0.5}, **told)
    with torch.no_grad():
        own, _ = (text.half().float() for text in theirs.encode_prompt("a red cat", "cpu", 1, True))
        null = theirs.encode_prompt("", "cpu", 1, False)[0]
    wanted = controlled(
        image=[one.permute(2, 0, 1)[None] / 255 for one in shown],
        controlnet_conditioning_scale=[0.8, 0.5],
        prompt_embeds=own,
        negative_prompt_embeds=null,
        latents=start_noise(cascade, seed=3),
        num_inference_steps=STEPS,
        guidance_scale=SCALE,
        output_type="pt",
    ).images[0]
    picture = torch.from_numpy(video.frames[0]).permute(2, 0, 1) / 255
    torch.testing.assert_close(picture, wanted, rtol=0, atol=0.5 / 255 + 1e-4)
    plain = cascade.generate("a red cat", steps=STEPS, seed=3)
    one = cascade.generate("a red cat", steps=STEPS, seed=3, control={"edges": shown[0].numpy()}, control_scale=0.0)
    assert (plain.frames == one.frames).all() and (plain.frames != video.frames).any()
    with pytest.raises(
        ValueError, match=r"control edges: expected a size of 16x16 or a multiple of it.*base' makes 1x16"
    ):
        cascade.generate("a red cat", control={"edges": shown[0, :8].numpy()})
    with pytest.raises(ValueError, match=r"control_from edges: expected what the control reads itself"):
        cascade.generate("a red cat", control_from={"edges": shown[0].numpy()})


def test_a_pipeline_with_controls(controlled: Any, folder: Path, tmp_path: Path) -> None:
    controlled.save_pretrained(tmp_path / "pipeline")
    shutil.copytree(folder / "tokenizer", tmp_path / "pipeline" / "tokenizer", dirs_exist_ok=True)
    made = import_pipeline(tmp_path / "pipeline", tmp_path / "sd")
    assert [each.name for each in made.spec.stages[0].inputs] == ["text", "hint", "hint_1"]
    with pytest.raises(
        ValueError, match="controlnets: expected another name, for the pipeline has one itself, got 'hint'"
    ):
        import_pipeline(tmp_path / "pipeline", tmp_path / "sd", controlnets={"hint": tmp_path})


def test_controls_that_do_not_fit_are_refused(folder: Path, hints: list[Path], tmp_path: Path) -> None:
    spoilt = Path(shutil.copytree(hints[0], tmp_path / "spoilt"))
    for values, message in (
        ({"norm_num_groups": 2}, "expected a ControlNet of the pipeline's U-Net, groups 4, got 2"),
        (
            {"conditioning_embedding_out_channels": [4, 8, 8]},
            "conditioning_embedding_out_channels: expected 2, the pix",
        ),
        ({"global_pool_conditions": True}, "global_pool_conditions: expected False, others cannot be read, got True"),
        ({"_class_name": "T2IAdapter"}, "expected a ControlNetModel, got 'T2IAdapter'"),
    ):
        shutil.copyfile(hints[0] / "config.json", spoilt / "config.json")
        change(spoilt / "config.json", **values)
        with pytest.raises(ValueError, match=message):
            import_pipeline(folder, tmp_path / "sd", controlnets={"edges": spoilt})
    assert not (tmp_path / "sd").exists()


@pytest.mark.parametrize("values", [["a"], ["=x"], ["A=x"], ["a="], ["a=x", "a=y"]])
def test_controls_have_names_on_the_command_line(values: list[str], folder: Path, tmp_path: Path) -> None:
    from zoetrope.commands.importing import import_

    with pytest.raises(ValueError, match=r"--controlnet .*: expected"):
        import_(str(folder), str(tmp_path / "sd"), values)
