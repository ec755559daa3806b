"""Two towers, one for pictures and one for texts, whose vectors of a pair agree: no denoiser, but a picture encoder.

Trained by the objective `contrastive` [Radford et al. 2021, arXiv:2103.00020, Sec. 2.3]; the picture tower becomes the
encoder `zoetrope.pictures.small`. The text tower reads the frozen features of the cascade's text encoder.
"""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from zoetrope.networks import NetworkConfig, Width

if TYPE_CHECKING:
    from zoetrope.networks._towers import Towers


class TowersConfig(NetworkConfig):
    """A tower for pictures, a video's first frames, and one for texts.

    Attributes:
        low_res: always false.
        text_width: D of the text embeddings.
        width: of the vectors that both make.
    """

    denoises: ClassVar[bool] = False
    objective: ClassVar[str | None] = "contrastive"

    channels: Literal[3] = 3
    low_res: Literal[False] = False
    text_width: Width = 384
    width: Annotated[int, Field(ge=8, le=4096, multiple_of=8)] = 128

    def build(self) -> "Towers":
        """The network with fresh weights."""
        from zoetrope.networks._towers import Towers

        return Towers(self)

    def check(self, frames: int, height: int, width: int) -> None:
        """Raise ValueError unless it is a picture."""
        if frames != 1:
            raise ValueError(f"frames: expected 1, for it sees pictures, got {frames}; the nearest is 1")
