"""Networks whose blocks are compiled, by torch.compile."""

import torch

from zoetrope.networks import Network

SHAPES = 64  # of batches that each block may be compiled for


def expect_blocks(network: Network) -> None:
    """Raise ValueError if there is nothing to compile."""
    if not list(network.blocks()):
        raise ValueError(f"compile: a {type(network).__name__} names no blocks to compile")


def compile_blocks(network: Network) -> None:
    """Compile every block at its first call with tensors of each shape.

    Names of parameters do not change. Raises ValueError if there is nothing to compile, or no compiler.
    """
    from torch._dynamo import config  # its import accesses a folder of its own
    from torch._dynamo.exc import TorchDynamoException

    expect_blocks(network)
    blocks = list(network.blocks())
    device = next(network.parameters()).device
    try:
        torch.compile(lambda x: x * x + 1)(torch.ones(8, device=device))
    except (RuntimeError, TorchDynamoException) as error:
        first = str(error).strip().partition("\n")[0]
        raise ValueError(f"compile: expected a working compiler for {device.type}, got: {first}") from error
    # All blocks are of one class, whose method counts as one function.
    config.recompile_limit = max(config.recompile_limit, SHAPES * len(blocks))
    config.accumulated_recompile_limit = max(config.accumulated_recompile_limit, SHAPES * len(blocks))
    for block in blocks:
        block.forward = torch.compile(block.forward, dynamic=False)
