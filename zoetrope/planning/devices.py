"""Devices and the time they take for an operation: GPUs by published figures, this machine's CPU by measurement.

A GPU is assumed to reach a share of its published peak, see `SHARES`.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import torch

from zoetrope.config import unknown
from zoetrope.planning.count import Operation, OperationKind, Tally

GB = 10**9
LAUNCH = 6e-6  # seconds from one operation to the next when PyTorch issues them one by one
BANDWIDTH_SHARE = 0.8  # of the published bandwidth, in operations on whole tensors
HOST_RANDOM = 0.5 * GB  # bytes of noise a second: it is drawn on the host, so that seeds mean the same everywhere
SHARES: dict[OperationKind, float] = {"convolution": 0.4, "matmul": 0.5, "attention": 0.25}  # of the published peak

_PLAIN_WORD = re.compile(r"nvidia|tesla|geforce|gpu|sxm\d?|pcie|hbm\d\w?")
"""Words in the titles of cards that do not tell one with published figures from another."""


class Figures(NamedTuple):
    """What a maker publishes: FLOP/s of dense products in `dtype` summed in float32, bytes, bytes a second."""

    title: str
    flops: float
    memory: int
    bandwidth: float
    dtype: torch.dtype = torch.bfloat16


GPUS = {
    # NVIDIA H200 Tensor Core GPU datasheet, SXM; 1979 TFLOP/s are with sparsity.
    "h200": Figures("NVIDIA H200 141 GB", 989e12, 141 * GB, 4.8e12),
    # NVIDIA H100 Tensor Core GPU datasheet, SXM and PCIe; halved from the figures with sparsity.
    "h100": Figures("NVIDIA H100 SXM 80 GB", 989e12, 80 * GB, 3.35e12),
    "h100-pcie": Figures("NVIDIA H100 PCIe 80 GB", 756e12, 80 * GB, 2.0e12),
    # NVIDIA A100 Tensor Core GPU datasheet, SXM.
    "a100-80gb": Figures("NVIDIA A100 SXM 80 GB", 312e12, 80 * GB, 2.039e12),
    "a100-40gb": Figures("NVIDIA A100 SXM 40 GB", 312e12, 40 * GB, 1.555e12),
    # NVIDIA L40S datasheet; 733 TFLOP/s are with sparsity.
    "l40s": Figures("NVIDIA L40S 48 GB", 362e12, 48 * GB, 0.864e12),
    # NVIDIA L4 datasheet; 242 TFLOP/s are with sparsity.
    "l4": Figures("NVIDIA L4 24 GB", 121e12, 24 * GB, 0.3e12),
    # NVIDIA A10 datasheet.
    "a10": Figures("NVIDIA A10 24 GB", 125e12, 24 * GB, 0.6e12),
    # NVIDIA Ada GPU architecture whitepaper, appendix A: BF16 tensor with FP32 accumulate, dense.
    "rtx4090": Figures("NVIDIA GeForce RTX 4090 24 GB", 165.2e12, 24 * GB, 1.008e12),
    # NVIDIA Ampere GA102 GPU architecture whitepaper, table 2: BF16 tensor with FP32 accumulate, dense.
    "rtx3090": Figures("NVIDIA GeForce RTX 3090 24 GB", 71e12, 24 * GB, 0.936e12),
    # NVIDIA V100 and T4 datasheets. Neither multiplies bfloat16, so networks compute in float32 there.
    "v100": Figures("NVIDIA V100 SXM 32 GB", 15.7e12, 32 * GB, 0.9e12, torch.float32),
    "t4": Figures("NVIDIA T4 16 GB", 8.1e12, 16 * GB, 0.32e12, torch.float32),
}


class Device(NamedTuple):
    """A device that stages run on: its memory in bytes, the dtype of networks, and the seconds of an operation."""

    name: str
    title: str
    memory: int
    dtype: torch.dtype
    price: Callable[[Operation], float]

    def seconds(self, tally: Tally) -> float:
        """How long these operations take, one after the other."""
        return sum(self.price(operation) * count for operation, count in tally.items())


def gpu(name: str) -> Device:
    """A GPU by its name, however it is spelt. Raises ValueError, with the nearest name, for one not known."""
    known = {_plain(key): key for key in GPUS}
    key = known.get(_plain(name).removeprefix("nvidia").removeprefix("geforce"))
    if key is None:
        raise ValueError("--device: " + unknown("device", name, ("cpu", *GPUS)))
    figures = GPUS[key]

    def price(operation: Operation) -> float:
        if operation.kind == "view":
            return 0.0
        if operation.kind == "random":
            return operation.moved / HOST_RANDOM
        moving = operation.moved / (figures.bandwidth * BANDWIDTH_SHARE)
        computing = operation.flops / (figures.flops * SHARES.get(operation.kind, 1.0))
        return max(moving, computing, LAUNCH)

    return Device(key, figures.title, figures.memory, figures.dtype, price)


def torch_device(name: str) -> torch.device:
    """What PyTorch runs on there: layouts of a GPU are others than a CPU's."""
    return torch.device("cpu" if name == "cpu" else "cuda")


def of_card(title: str) -> str:
    """Our name for a card with this title, such as "NVIDIA A100-SXM4-80GB".

    Raises ValueError if it has no published figures here: another model, such as a laptop's, or one with other memory.
    """
    words = re.findall(r"[a-z0-9.]+", title.lower().replace("rtx ", "rtx"))
    fits = [key for key in GPUS if set(key.split("-")) <= set(words)]
    key = max(fits, key=len, default="")
    of_key = {*key.split("-"), f"{GPUS[key].memory // GB}gb"} if key else set[str]()
    if not key or any(word not in of_key and not _PLAIN_WORD.fullmatch(word) for word in words):
        raise ValueError(f"--device: expected a card with published figures ({', '.join(GPUS)}), got {title!r}")
    return key


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
