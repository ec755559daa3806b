"""TensorBoard: event files in the run's folder, which `tensorboard --logdir RUN` shows."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoetrope.training.trackers import Connection, Tracker
from zoetrope.video import read

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter


class TensorBoard(Tracker):
    """Event files in the folder `tensorboard` of the run."""

    def check(self) -> None:
        """See `Tracker`."""
        try:
            import torch.utils.tensorboard.writer  # noqa: F401
        except ImportError as error:
            raise ValueError(
                f"tensorboard: expected the package to be installed ({error}); try: pip install tensorboard"
            ) from None

    def open(self, run: Path, examples: int, recipe: Mapping[str, Any]) -> Connection:
        self.check()
        from torch.utils.tensorboard.writer import SummaryWriter

        writer = SummaryWriter(str(run / "tensorboard"), purge_step=examples + 1 if examples else None)
        return _Events(writer)


class _Events(Connection):
    def __init__(self, writer: "SummaryWriter") -> None:
        self.writer = writer

    def scalars(self, examples: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, examples)

    def sheet(self, examples: int, picture: Path) -> None:
        self.writer.add_image("samples", read(picture).frames[0], examples, dataformats="HWC")

    def close(self) -> None:
        self.writer.close()
