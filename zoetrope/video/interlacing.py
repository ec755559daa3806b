"""Whole pictures from interlaced ones, whose odd and even lines are of different times."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import av


def progressive(frames: "Iterable[av.VideoFrame]") -> "Iterator[av.VideoFrame]":
    """The same pictures at the same times; interlaced ones with their second field drawn anew (FFmpeg's bwdif).

    A picture takes its neighbours into account, so the first one after a jump differs a little from what it would be
    otherwise.
    """
    import av

    field: _Deinterlacer | None = None
    for frame in frames:
        if field is None and not frame.interlaced_frame:
            yield frame
            continue
        if field is not None and not field.takes(frame):
            yield from field.rest()
            field = None
        try:
            field = field or _Deinterlacer(frame)
            yield from field.pictures(frame)
        except av.FFmpegError:  # such as a pixel format that the filter does not know
            field = None
            yield frame
    yield from field.rest() if field else ()


class _Deinterlacer:
    """The filter for pictures of one size and format.

    bwdif takes a picture without a predecessor for one in which nothing moves, and leaves its fields as they are; so
    the first one is filled in from its own lines (estdif).
    """

    def __init__(self, like: "av.VideoFrame") -> None:
        self._kind = _kind(like)
        self._graph = _graph(like, "bwdif", "mode=send_frame:deint=interlaced")
        alone = _graph(like, "estdif", "mode=frame:deint=interlaced")
        alone.vpush(like)
        alone.vpush(None)
        self._first: av.VideoFrame | None = alone.vpull()

    def takes(self, frame: "av.VideoFrame") -> bool:
        """Whether the filter was made for pictures such as this."""
        return _kind(frame) == self._kind

    def pictures(self, frame: "av.VideoFrame | None") -> "Iterator[av.VideoFrame]":
        """What is ready after one picture more; it keeps one back."""
        import av

        self._graph.vpush(frame)
        while True:
            try:
                ready = self._graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                return
            yield self._first or ready
            self._first = None

    def rest(self) -> "Iterator[av.VideoFrame]":
        """What was kept back."""
        return self.pictures(None)


def _graph(like: "av.VideoFrame", name: str, options: str) -> "av.filter.Graph":
    import av

    graph = av.filter.Graph()
    graph.threads = 1  # as in decoding
    source = graph.add_buffer(width=like.width, height=like.height, format=like.format, time_base=like.time_base)
    made, sink = graph.add(name, options), graph.add("buffersink")
    source.link_to(made)
    made.link_to(sink)
    graph.configure()
    return graph


def _kind(frame: "av.VideoFrame") -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name
