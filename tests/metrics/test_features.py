"""Features against the same network in another library, and what their distance means."""

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import interpolate

from zoetrope.data.toybox.held_out import held_out
from zoetrope.metrics.features import Extractor, feature_distance, frame_distances
from zoetrope.metrics.features.mobilenet_v2 import MobileNetV2
from zoetrope.models.weights import write_weights
from zoetrope.networks.mobilenet_v2 import MobileNetV2Config
from zoetrope.shapes import VideoShape


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the right shapes, at random, large enough for features to be far from zero."""
    torch.manual_seed(0)
    network = MobileNetV2Config().build()
    for name, value in network.named_parameters():
        torch.nn.init.normal_(value, std=0.3 if name.endswith("bias") else math.sqrt(2 / value[0].numel()))
    path = tmp_path_factory.mktemp("weights") / "mobilenet_v2.safetensors"
    write_weights(network, path, torch.float32)
    return path


def elsewhere(weights: dict[str, Tensor], pictures: Tensor) -> Tensor:
    """The pooled features as transformers computes them, its batch normalisation made to add the bias alone."""
    from transformers import MobileNetV2Config, MobileNetV2Model

    network = MobileNetV2Model(MobileNetV2Config(tf_padding=True, finegrained_output=True)).eval()
    own = network.state_dict()
    names = {"stem": "conv_stem.first_conv", "head": "conv_1x1"}
    names |= {"block0.depthwise": "conv_stem.conv_3x3", "block0.project": "conv_stem.reduce_1x1"}
    kinds = {"expand": "expand_1x1", "depthwise": "conv_3x3", "project": "reduce_1x1"}
    names |= {f"block{n}.{ours}": f"layer.{n - 1}.{theirs}" for n in range(1, 17) for ours, theirs in kinds.items()}
    for ours, theirs in names.items():
        own[f"{theirs}.convolution.weight"] = weights[f"{ours}.weight"].float()
        own[f"{theirs}.normalization.bias"] = weights[f"{ours}.bias"].float()
        own[f"{theirs}.normalization.weight"].fill_(1)
        own[f"{theirs}.normalization.running_mean"].fill_(0)
        own[f"{theirs}.normalization.running_var"].fill_(1 - network.config.layer_norm_eps)
    network.load_state_dict(own)
    with torch.no_grad():
        return network(pictures).pooler_output


def test_features_are_those_of_transformers(file: Path) -> None:
    pictures = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    network = MobileNetV2(weights=str(file)).open()
    ours = network.of_frames(pictures[None].transpose(1, 2))[0]
    theirs = elsewhere(load_file(file), pictures)
    assert ours.shape == (2, network.width) and (theirs > 0.01).float().mean() > 0.5
    torch.testing.assert_close(ours.float(), theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.shared
def test_features_of_the_trained_weights_are_those_of_transformers(shared: Path) -> None:
    path = shared / "data/weights/mobilenet_v2/mobilenet_v2_1.0_backbone.safetensors"
    video = torch.stack([held_out(n, VideoShape(frames=1, height=96, width=160, fps=3)).video for n in range(2)])
    theirs = elsewhere(load_file(path), interpolate(video[:, :, 0], (224, 224), mode="bilinear"))
    ours = MobileNetV2(weights=str(path)).open().of_frames(video)[:, 0]
    torch.testing.assert_close(ours.float(), theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.shared
def test_the_distance_grows_with_damage(shared: Path) -> None:
    path = shared / "data/weights/mobilenet_v2/mobilenet_v2_1.0_backbone.safetensors"
    network = MobileNetV2(weights=str(path)).open()
    shape = VideoShape(frames=2, height=48, width=80, fps=0.375)
    truth, other = (held_out(n, shape).video[None] for n in (0, 3))
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    made = (truth, truth + 0.03 * noise, truth + 0.3 * noise, other)
    told = [feature_distance(network, video, truth) for video in made]
    same, little, much, elsewhere = (one.value for one in told)
    assert same == 0 and little < 0.6 * much and little < elsewhere < 1 and much < 1
    hash_ = hashlib.sha256(path.read_bytes()).hexdigest()
    assert {(one.extractor, one.sha256, one.samples) for one in told} == {("mobilenet_v2", hash_, 2)}


def test_what_zero_and_one_mean() -> None:
    features = torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, 2.0], [6.0, 8.0, 0.0], [0.0, 0.0, 0.0]])
    told = frame_distances(features, features[:1].expand(4, 3))
    np.testing.assert_allclose(told, [0, 1, 5 / math.sqrt(125), 1], rtol=1e-6)
    assert frame_distances(features[3], features[3]).item() == 0
    with pytest.raises(ValueError, match="one shape"):
        frame_distances(features, features[0])


def test_wrong_files_are_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file"):
        Extractor.from_json({"type": "mobilenet_v2", "weights": str(tmp_path / "none.safetensors")}).open()
    other = tmp_path / "other.safetensors"
    save_file({name: value for name, value in load_file(file).items() if name != "head.bias"}, other)
    with pytest.raises(ValueError, match=r"head\.bias"):
        MobileNetV2(weights=str(other)).open()
    (tmp_path / "model.pt").write_bytes(b"pickle")
    with pytest.raises(ValueError, match="never read"):
        MobileNetV2(weights=str(tmp_path / "model.pt")).open()
