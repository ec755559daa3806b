"""`zoetrope import` of what pipelines of diffusers say and hold in other ways than the usual one."""

import inspect
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.interop.pipelines import controlnet, tokenizer
from tests.interop.test_import import SCALE, STEPS, change, pictures
from zoetrope.interop.pipelines import import_pipeline
from zoetrope.interop.schedulers import LEVELS, RULES, SCHEDULERS, SOLVING
from zoetrope.models.opening import open_model
from zoetrope.pretrained import tokenizer as read_tokenizer
from zoetrope.samplers.ddim import DDIM

SCHEDULER = "scheduler/scheduler_config.json"
LEADING = {"timestep_spacing": "leading"}


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A copy of the pipeline to change."""
    return Path(shutil.copytree(folder, tmp_path / "changed"))


def solved_by(copy: Path, solver: str, **values: Any) -> None:
    """Give the pipeline another scheduler."""
    change(copy / "model_index.json", scheduler=["diffusers", solver])
    change(copy / SCHEDULER, **values)


@pytest.mark.parametrize("solver", SCHEDULERS)
def test_every_setting_of_a_scheduler_is_read_replaced_or_refused(copy: Path, tmp_path: Path, solver: str) -> None:
    """None is left out in silence: another value than the usual one is read, replaced with a note, or refused."""
    settings = inspect.signature(getattr(diffusers, solver).__init__).parameters.values()
    solved_by(copy, solver, **LEADING)
    plain = import_pipeline(copy, tmp_path / "plain").notes
    for setting in settings:
        if setting.name in {"self", *RULES, *SOLVING}:
            continue
        shutil.copyfile(copy / SCHEDULER, tmp_path / "kept.json")
        change(copy / SCHEDULER, **{setting.name: not setting.default if setting.default in (True, False) else "other"})
        if setting.name in LEVELS:
            assert (
                f"{LEVELS[setting.name]} ({setting.name}) are replaced by those of the timesteps"
                in import_pipeline(copy, tmp_path / "model").notes
            )
            assert setting.name not in str(plain)
        else:
            with pytest.raises(ValueError, match=f"scheduler_config.json: {setting.name}: expected"):
                import_pipeline(copy, tmp_path / "model")
        shutil.copyfile(tmp_path / "kept.json", copy / SCHEDULER)


def test_settings_of_another_scheduler_do_not_count(copy: Path, tmp_path: Path) -> None:
    """They stay where one scheduler was made from another's configuration, and diffusers does not read them."""
    solved_by(copy, "EulerDiscreteScheduler", set_alpha_to_one=False, clip_sample=True, use_flow_sigmas=True, **LEADING)
    made = import_pipeline(copy, tmp_path / "model")
    assert made.notes == ["EulerDiscreteScheduler is replaced by DDIM, on the same schedule"]
    assert made.spec.stages[0].sampling.sampler == DDIM()  # Euler's method ends without noise
    solved_by(copy, "DPMSolverSinglestepScheduler", timestep_spacing="trailing", use_flow_sigmas=False)
    assert (
        "timesteps spaced evenly (linspace) are replaced by leading ones"
        in import_pipeline(copy, tmp_path / "model").notes
    )


def test_a_setting_that_no_scheduler_has_is_told(copy: Path, tmp_path: Path) -> None:
    change(copy / SCHEDULER, novelty=3)
    assert import_pipeline(copy, tmp_path / "model").notes == ["'novelty' of the scheduler is not read"]


def test_a_solver_that_ends_in_the_least_noise(copy: Path, tmp_path: Path) -> None:
    solved_by(copy, "DPMSolverMultistepScheduler", final_sigmas_type="sigma_min", **LEADING)
    assert import_pipeline(copy, tmp_path / "model").spec.stages[0].sampling.sampler == DDIM(sample="z")


@pytest.mark.parametrize("setting", ["clip_sample", "steps_offset"])
def test_old_rules_are_mended_where_diffusers_does(copy: Path, tmp_path: Path, setting: str) -> None:
    """StableDiffusionPipeline takes 1 and False for both, whatever is said; other pipelines take what is said."""
    change(copy / SCHEDULER, **{setting: {"clip_sample": True, "steps_offset": 0}[setting]})
    [stage] = import_pipeline(copy, tmp_path / "model").spec.stages
    assert stage.schedule.to_json()["offset"] == 1
    change(copy / "model_index.json", _class_name="TextToVideoZeroPipeline")
    with pytest.raises(ValueError, match=f"scheduler_config.json: {setting}: expected"):
        import_pipeline(copy, tmp_path / "none")


@pytest.mark.parametrize(
    ("said", "kind", "side"),
    [
        ({"sample_size": 32, "_diffusers_version": "0.6.0"}, "StableDiffusionPipeline", 64),
        ({"sample_size": 96, "_diffusers_version": "0.8.1"}, "StableDiffusionPipeline", 96),
        ({"sample_size": 32, "_diffusers_version": "0.10.2"}, "StableDiffusionPipeline", 32),
        ({"sample_size": 32, "_diffusers_version": "0.6.0"}, "TextToVideoZeroPipeline", 32),
    ],
)
def test_the_size_of_an_old_pipeline(copy: Path, tmp_path: Path, said: dict[str, Any], kind: str, side: int) -> None:
    """As StableDiffusionPipeline makes it: files from before diffusers 0.9 often say half of the side."""
    change(copy / "unet" / "config.json", **said)
    change(copy / "model_index.json", _class_name=kind)
    [stage] = import_pipeline(copy, tmp_path / "model").spec.stages
    assert (stage.shape.height, stage.shape.width) == (side, side)
    if kind == "StableDiffusionPipeline":
        theirs = diffusers.StableDiffusionPipeline.from_pretrained(copy)
        assert theirs.unet.config.sample_size == side


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        ("text_encoder/config.json", {"use_attention_mask": True}, "use_attention_mask: expected False"),
        ("text_encoder/config.json", {"max_position_embeddings": "12"}, "max_position_embeddings: expected a number"),
        (
            "tokenizer/tokenizer_config.json",
            {"model_max_length": "77"},
            "model_max_length: expected a number, got '77'",
        ),
        ("tokenizer/tokenizer_config.json", {"padding_side": "left"}, "padding_side: expected 'right', got 'left'"),
        ("tokenizer/tokenizer_config.json", {"truncation_side": "left"}, "truncation_side: expected 'right', got 'le"),
        ("unet/config.json", {"sample_size": True}, "sample_size: expected a height and a width up to 4096, got True"),
    ],
)
def test_what_would_be_read_otherwise_is_refused(
    copy: Path, tmp_path: Path, file: str, values: dict[str, Any], message: str
) -> None:
    change(copy / file, **values)
    with pytest.raises(ValueError, match=f"{file}: {message}"):
        import_pipeline(copy, tmp_path / "model")


def test_words_that_were_added_to_the_tokenizer(copy: Path, tmp_path: Path) -> None:
    """In a file of their own, as before transformers wrote tokenizer.json: by textual inversion, for example."""
    shutil.rmtree(copy / "tokenizer")
    tokenizer(copy / "tokenizer")  # writes vocab.json and merges.txt
    (copy / "tokenizer" / "tokenizer_config.json").write_text(
        '{"model_max_length": 12, "tokenizer_class": "CLIPTokenizer"}'
    )
    (copy / "tokenizer" / "added_tokens.json").write_text(json.dumps({"<cat>": 54}))
    made = import_pipeline(copy, tmp_path / "model").folder
    ours, theirs = (read_tokenizer(each, ["vocab.json"]) for each in (made / "text", copy / "tokenizer"))
    assert ours("a <cat>").input_ids == theirs("a <cat>").input_ids and 54 in ours("a <cat>").input_ids


def cast(file: Path, dtype: torch.dtype) -> dict[str, Tensor]:
    """Store a file in another type; gives its tensors."""
    made = {name: value.to(dtype) for name, value in load_file(file).items()}
    save_file(made, file)
    return made


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_of_16_bits_make_the_same_pictures(copy: Path, tmp_path: Path, dtype: torch.dtype) -> None:
    cast(copy / "unet" / "diffusion_pytorch_model.safetensors", dtype)
    theirs: Any = diffusers.StableDiffusionPipeline.from_pretrained(copy)
    theirs.set_progress_bar_config(disable=True)
    theirs.unet.float()
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    told = {"num_inference_steps": STEPS, "guidance_scale": SCALE, "latents": latents, "output_type": "pt"}
    wanted = theirs(["a red cat", "snow"], **told).images
    made = (pictures(import_pipeline(copy, tmp_path / "model").folder, ["a red cat", "snow"], latents) + 1) / 2
    torch.testing.assert_close(made, wanted, rtol=0, atol=2e-6)


def test_each_tensor_keeps_its_precision(copy: Path, tmp_path: Path) -> None:
    """Of a network whose parts have several."""
    file = copy / "unet" / "diffusion_pytorch_model.safetensors"
    stored = {
        name: value.to(torch.bfloat16 if number % 2 else torch.float16) * 1e-4
        for number, (name, value) in enumerate(load_file(file).items())
    }
    save_file(stored, file)
    controlnet(1).save_pretrained(tmp_path / "control")
    control = load_file(tmp_path / "control" / "diffusion_pytorch_model.safetensors")
    made = import_pipeline(copy, tmp_path / "model", controlnets={"edges": tmp_path / "control"})
    ours = load_file(made.folder / "base" / "model.safetensors")
    wanted = {f"unet.{name}": value for name, value in stored.items()}
    wanted |= {f"controls.edges.{name}": value for name, value in control.items()}
    assert ours.keys() == {*wanted, "null"}
    for name, value in wanted.items():
        assert ours[name].dtype == value.dtype and torch.equal(ours[name], value), name
    opened = open_model(made.folder)
    assert {value.dtype for value in opened.network(opened.spec.stages[0]).state_dict().values()} == {torch.float32}


def test_two_tensors_of_one_name(copy: Path, tmp_path: Path) -> None:
    file = copy / "vae" / "diffusion_pytorch_model.safetensors"
    name = "encoder.mid_block.attentions.0.to_q.weight"
    tensors = load_file(file)
    save_file({**tensors, name.replace("to_q", "query"): tensors[name] + 1}, file)
    with pytest.raises(ValueError, match=r"to_q.weight: expected one tensor, got two, .*query.weight"):
        import_pipeline(copy, tmp_path / "model")


def as_older_diffusers_did(folder: Path) -> None:
    (folder / "controlnet_2").rename(folder / "controlnet_1_2")
    change(folder / "model_index.json", controlnet=["controlnet", "MultiControlNetModel"])


@pytest.mark.parametrize("stored", [lambda folder: None, as_older_diffusers_did])
def test_all_of_three_controls(theirs: Any, folder: Path, tmp_path: Path, stored: Callable[[Path], None]) -> None:
    """Older versions of diffusers stored the third beside the second, and named another module of its own."""
    nets = [controlnet(seed) for seed in (1, 2, 3)]
    parts = {**theirs.components, "controlnet": nets}
    diffusers.StableDiffusionControlNetPipeline(**parts, requires_safety_checker=False).save_pretrained(tmp_path / "p")
    shutil.copytree(folder / "tokenizer", tmp_path / "p" / "tokenizer", dirs_exist_ok=True)
    stored(tmp_path / "p")
    made = import_pipeline(tmp_path / "p", tmp_path / "model")
    assert [each.name for each in made.spec.stages[0].inputs] == ["text", "hint", "hint_1", "hint_2"]
    ours = load_file(made.folder / "base" / "model.safetensors")
    for name, net in zip(("hint", "hint_1", "hint_2"), nets, strict=True):
        assert all(torch.equal(ours[f"controls.{name}.{key}"], value) for key, value in net.state_dict().items())


def test_a_name_of_no_home(tmp_path: Path) -> None:
    for name in ("~nobody-of-this-name/sd", "~nobody-of-this-name"):
        with pytest.raises(ValueError, match="expected a folder or an id on the Hugging Face hub"):
            import_pipeline(name, tmp_path / "model")
