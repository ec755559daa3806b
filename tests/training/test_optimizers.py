"""Muon against the singular value decomposition and against PyTorch's own."""

import copy

import pytest
import torch
from torch import nn

from zoetrope.networks.video_unet import VideoUNetConfig
from zoetrope.training.optimizers import Muon, optimizers, orthogonal


@pytest.mark.parametrize("shape", [(8, 8), (12, 5), (5, 12)])
def test_orthogonal_keeps_directions_and_evens_out_their_sizes(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(3, *shape, dtype=torch.float64)
    u, s, vh = torch.linalg.svd(matrices, full_matrices=False)
    found = orthogonal(matrices, torch.float64)
    kept = u.mT @ found @ vh.mT
    assert torch.allclose(kept, torch.diag_embed(kept.diagonal(dim1=1, dim2=2)), atol=1e-6)
    sizes = kept.diagonal(dim1=1, dim2=2)[s / s.amax(1, keepdim=True) > 0.05]
    assert sizes.min() > 0.6 and sizes.max() < 1.3


def test_muon_is_pytorchs_muon() -> None:
    theirs = getattr(torch.optim, "Muon", None)
    if theirs is None:
        pytest.skip("this PyTorch has no Muon of its own")
    torch.manual_seed(0)
    ours = [nn.Parameter(torch.randn(shape)) for shape in ((6, 9), (9, 6), (6, 9))]
    copies = copy.deepcopy(ours)
    mine = Muon(ours, dtype=torch.bfloat16, weight_decay=0.1)
    reference = theirs(copies, lr=1e-3, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    for _ in range(4):
        for a, b in zip(ours, copies, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        mine.step()
        reference.step()
    for a, b in zip(ours, copies, strict=True):
        assert torch.allclose(a, b, atol=1e-4)  # of moves of 2e-3: the iteration is in bfloat16, rounded otherwise


def test_every_parameter_has_one_optimizer() -> None:
    network = VideoUNetConfig(text_width=16, positions=True).build()
    both = optimizers(network, "muon", betas=(0.9, 0.99), weight_decay=0.01, dtype=torch.float32)
    owned = [p for one in both for group in one.param_groups for p in group["params"]]
    assert len(owned) == len({id(p) for p in owned}) == len(list(network.parameters()))
    inner = {id(p) for group in both[1].param_groups for p in group["params"]}
    assert id(network.enter.conv.weight) not in inner and id(network.leave.conv.weight) not in inner
    assert id(network.down[0][0].spatial.conv_in.conv.weight) in inner
