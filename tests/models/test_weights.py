"""Weights in 8 bits: what is kept of them, and files that are refused."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from zoetrope.models.checkpoints import size_and_crc
from zoetrope.models.weights import Origin, check_weights, read_weights, write_weights


def module() -> nn.Sequential:
    """A matrix with a row of zeros and rows of very different size, a convolution, and vectors."""
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(12, 4), nn.Conv2d(3, 5, 3), nn.LayerNorm(7))
    with torch.no_grad():
        made[0].weight[1] = 0
        made[0].weight[2] *= 1e-4
        made[2].weight.normal_()
    return made


def test_eight_bits_come_back_within_half_a_step_of_each_row(tmp_path: Path) -> None:
    original, copy, path = module(), module(), tmp_path / "w.safetensors"
    write_weights(original, path, torch.int8)
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.zero_()
    read_weights(copy, path)
    own, back, stored = original.state_dict(), copy.state_dict(), load_file(path)
    for name, value in own.items():
        if value.ndim < 2:
            assert stored[name].dtype == torch.bfloat16 and torch.equal(back[name], value.bfloat16().float())
            continue
        assert stored[name].dtype == torch.int8 and stored[f"{name}.scale"].shape == value.shape[:1]
        rows = value.flatten(1)
        step = rows.abs().amax(1, keepdim=True) / 127
        assert ((back[name].flatten(1) - rows).abs() <= step * 0.5001).all() and (stored[name].abs().amax() == 127)
    assert torch.equal(back["0.weight"][1], torch.zeros(12))
    again = tmp_path / "again.safetensors"  # what came back is stored without any further loss
    write_weights(copy, again, torch.int8)
    assert all(
        torch.equal(value, stored[name]) for name, value in load_file(again).items() if value.dtype == torch.int8
    )


def test_half_the_size_of_bfloat16(tmp_path: Path) -> None:
    large = nn.Linear(512, 512, bias=False)
    write_weights(large, tmp_path / "eight.safetensors", torch.int8)
    write_weights(large, tmp_path / "sixteen.safetensors")
    eight, sixteen = ((tmp_path / f"{name}.safetensors").stat().st_size for name in ("eight", "sixteen"))
    assert 0.5 < eight / sixteen < 0.51


def test_a_file_of_weights_is_as_readable_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    write_weights(module(), tmp_path / "w.safetensors")
    assert (tmp_path / "w.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_scales_that_are_missing_or_misshapen_are_told(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    write_weights(module(), path, torch.int8)
    whole = load_file(path)
    for scale, got in ((None, "got None"), (torch.ones(3), r"got \(3,\)")):
        changed = {name: value for name, value in whole.items() if name != "0.weight.scale"}
        save_file(changed if scale is None else {**changed, "0.weight.scale": scale}, path)
        with pytest.raises(ValueError, match=rf"'0.weight' is in 8 bits; expected '0.weight.scale' of \(4,\), {got}"):
            check_weights(module(), path)
    save_file({**whole, "1.scale": torch.ones(2)}, path)
    with pytest.raises(ValueError, match=r"1 tensors are unexpected, first '1.scale'"):
        read_weights(module(), path)


@pytest.mark.parametrize("name", ["0.weight", "2.bias"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8])
def test_weights_that_are_not_finite_are_named(tmp_path: Path, name: str, value: float, dtype: torch.dtype) -> None:
    path, own = tmp_path / "w.safetensors", module()
    write_weights(own, path, dtype)
    stored = load_file(path)
    place = name + ".scale" if f"{name}.scale" in stored else name
    stored[place] = stored[place].clone()
    stored[place].view(-1)[-1] = value
    save_file(stored, path)
    before = {key: weight.clone() for key, weight in own.state_dict().items()}
    with pytest.raises(ValueError, match=rf"w.safetensors: expected finite weights, got NaN or infinity in '{name}'"):
        read_weights(own, path)
    assert all(torch.equal(before[key], weight) for key, weight in own.state_dict().items())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"0.weight": torch.ones(4, 12, dtype=torch.int64)}, r"'0.weight': expected F64, F32, .*, got I64"),
        ({"2.bias": torch.ones(7, dtype=torch.int8), "2.bias.scale": torch.ones(7)}, r"'2.bias': expected .*, got I8"),
        (
            {"0.weight": torch.ones(4, 12, dtype=torch.int8), "0.weight.scale": torch.ones(4, dtype=torch.int8)},
            r"'0.weight.scale': expected F64, F32, .*, got I8",
        ),
        ({"2.bias": torch.ones(7, dtype=torch.bool)}, r"'2.bias': expected .*, got BOOL"),
    ],
    ids=["whole numbers", "a vector in 8 bits", "scales in 8 bits", "truth values"],
)
def test_numbers_of_other_types_are_refused(tmp_path: Path, changed: dict[str, torch.Tensor], message: str) -> None:
    path = tmp_path / "w.safetensors"
    write_weights(module(), path, torch.float32)
    save_file({**load_file(path), **changed}, path)
    with pytest.raises(ValueError, match=message):
        check_weights(module(), path)


def test_every_reader_of_a_checkpoint_verifies_it(tmp_path: Path) -> None:
    path = tmp_path / "average.safetensors"
    write_weights(module(), path, torch.float32)
    sums = {"average.safetensors": size_and_crc(path), "model.safetensors": [1, 2]}
    (tmp_path / "state.json").write_text(json.dumps({"examples": 4, "files": sums}))
    read_weights(module(), path)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1  # the last digits of a weight: a whole file, and a network like any other
    path.write_bytes(content)
    check_weights(module(), path)
    with pytest.raises(
        ValueError, match=r"average.safetensors: is not as it was written, by its checksum in state.json"
    ):
        read_weights(module(), path)
    (tmp_path / "state.json").write_text('{"examples": 4, "threads": 1}')  # of an earlier version, without sums
    read_weights(module(), path)


def test_fingerprints_tell_weights_apart(tmp_path: Path) -> None:
    own, path = nn.Linear(400, 400), tmp_path / "w.safetensors"
    write_weights(own, path)
    first = Origin("a", path).fingerprint()
    write_weights(own, tmp_path / "copy.safetensors")
    assert Origin("b", tmp_path / "copy.safetensors").fingerprint() == first and len(first) == 16
    with torch.no_grad():
        own.weight.mul_(1.01)
    write_weights(own, path)
    assert Origin("a", path).fingerprint() != first
    path.write_bytes(b"x")
    assert Origin("a", path).fingerprint() != first


def test_8_bit_weights_of_another_network_are_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    write_weights(nn.ModuleDict({"other": nn.Linear(4, 4)}), path, torch.int8)
    with pytest.raises(ValueError, match=r"not the weights of this network: .* missing, .* unexpected, first 'other"):
        check_weights(module(), path)
    write_weights(module(), path, torch.int8)
    save_file(load_file(path) | {"0.weight.scale": torch.ones(4, dtype=torch.int64)}, path)
    with pytest.raises(ValueError, match=r"'0.weight.scale': expected F64, F32, F16, BF16, .* got I64"):
        check_weights(module(), path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int8])
def test_weights_that_a_type_cannot_hold_are_not_written(tmp_path: Path, dtype: torch.dtype) -> None:
    """An older file stays."""
    made, path = module(), tmp_path / "w.safetensors"
    write_weights(made, path, dtype)
    before = path.read_bytes()
    with torch.no_grad():
        made[0].weight[0, 0] = 1e5 if dtype == torch.float16 else torch.nan
    with pytest.raises(ValueError, match=r"w\.safetensors: expected finite weights, got NaN or infinity in '0\.weight"):
        write_weights(made, path, dtype)
    assert path.read_bytes() == before


def test_weights_that_the_network_cannot_hold_are_named(tmp_path: Path) -> None:
    made, path = module(), tmp_path / "w.safetensors"
    own = {name: value.double() for name, value in made.state_dict().items()}
    own["0.bias"][1] = 1e39
    save_file(own, path)
    with pytest.raises(ValueError, match=r"expected finite weights, got NaN or infinity in '0\.bias'"):
        read_weights(made, path)
    assert all(value.isfinite().all() for value in made.state_dict().values())
