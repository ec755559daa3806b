"""The small picture encoder of the shipped models, trained on toybox: pictures and their captions, contrastively.

As CLIP is [Radford et al. 2021, arXiv:2103.00020, Sec. 2.3], but against the frozen text features of MiniLM. The recipe
`pictures` trains it; the weights that ship saw all of its 400,000 examples. A prior and its decoder are trained
for one encoder: new weights need both anew.
"""

import os
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file

from zoetrope.files.store import checksum
from zoetrope.layers.picture_tower import PictureTower
from zoetrope.pictures import EncodePictures, PictureEncoder
from zoetrope.video.resample import resize

SHIPPED = Path(__file__).with_name("small.safetensors")
PREFIX = "picture."
"""Before the names of its tensors in a file of the network `towers`, which has a tower for texts too."""


class SmallPictures(PictureEncoder):
    """A network of 0.4 M parameters that sees pictures of 24 x 40.

    Attributes:
        path: weights of the recipe `pictures`, such as the average of a checkpoint; None: those that ship.
    """

    width: Annotated[int, Field(ge=1, le=4096)] = 128
    path: str | None = None

    @property
    def identity(self) -> str:
        """See `PictureEncoder`."""
        file = self._file
        return f"small {checksum(file) if file.is_file() else 'no file'} {self.width}"

    @property
    def local(self) -> bool:
        """See `PictureEncoder`."""
        return self.path is not None

    @property
    def _file(self) -> Path:
        return SHIPPED if self.path is None else Path(os.path.expanduser(self.path))

    def load(self) -> EncodePictures:
        """See `PictureEncoder`."""
        path = self._file
        tower = PictureTower(self.width)
        try:
            stored = {
                name.removeprefix(PREFIX): value.float()
                for name, value in load_file(path).items()
                if name.startswith(PREFIX)
            }
            tower.load_state_dict(stored)
        except FileNotFoundError:
            raise ValueError(f"pictures.path: {path}: no such file") from None
        except (SafetensorError, RuntimeError, OSError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise ValueError(f"{path}: not the weights of a picture encoder of width {self.width} ({reason})") from None
        tower.eval().requires_grad_(False)

        def encode(pictures: torch.Tensor) -> torch.Tensor:
            made: torch.Tensor = tower(resize(pictures[:, :, None], *self.size)[:, :, 0])
            return made

        return encode
