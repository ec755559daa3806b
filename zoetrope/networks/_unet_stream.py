"""The space-time U-Net on a video that arrives in parts."""

from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from torch import Tensor, nn

from zoetrope.conditioning import Conditioning
from zoetrope.networks import FrameChunk
from zoetrope.networks._unet_block import Block, BlockContext, PartContext

if TYPE_CHECKING:
    from zoetrope.networks._unet import VideoUNet

Value = TypeVar("Value")


def streamed(
    network: "VideoUNet", parts: Iterable[FrameChunk], logsnr: Tensor, conditioning: Conditioning
) -> Iterator[Tensor]:
    """Outputs part by part: every layer passes a part on once it has seen the frame after it."""
    parts = iter(parts)
    first = next(parts)
    context = network.context(first.z, logsnr, conditioning)
    videos, known = _twice(network.videos(part) for part in chain([first], parts))
    del first
    h: Iterator[Tensor] = map(network.enter, videos)
    skips = []
    for index, blocks in enumerate(network.down):
        if index > 0:
            h, kept = _twice(h)
            skips.append(kept)
            h = map(network.coarser[index - 1], h)
        h = _through(blocks, h, context)
    for index in reversed(range(len(skips))):
        h = _through(network.up[index], map(partial(network.merged, index), h, skips[index]), context)
    part_context, start = PartContext(context), 0
    for each, video in zip(h, known, strict=True):
        frames = slice(start, start := start + each.shape[1])
        level = logsnr if logsnr.ndim == 1 else logsnr[:, frames]
        yield network.answer(each, part_context(each).e, video, level, _numbers_cut(conditioning, frames))
        del each, video


def _through(blocks: nn.Module, h: Iterator[Tensor], context: BlockContext) -> Iterator[Tensor]:
    """Run parts through some blocks."""
    for block in blocks.children():
        assert isinstance(block, Block)
        h = block.stream(h, context)
    return h


def _numbers_cut(conditioning: Conditioning, frames: slice) -> Conditioning:
    """The conditioning with numbers cut to these frames."""
    numbers = {name: x if x.ndim == 1 else x[:, frames] for name, x in conditioning.numbers.items()}
    return Conditioning(numbers=numbers)


def _twice(values: Iterable[Value]) -> tuple[Iterator[Value], Iterator[Value]]:
    """The values twice, the second time for a later consumer. `itertools.tee` would keep many of them alive."""
    queue: deque[Value] = deque()

    def now() -> Iterator[Value]:
        for value in values:
            queue.append(value)
            yield value

    def later() -> Iterator[Value]:
        while queue:
            yield queue.popleft()

    return now(), later()
