"""Text: the share of the picture that an OCR detector marks as text."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from zoetrope.curation.measures import SceneMeasure, imported, opencv

_SIDE = 384  # pictures are resized to this height: the detector misses letters of a few pixels
_LARGEST = 0.5  # of the picture: a line of text covers less, and things in a row look like letters to the reader


class TextCover(SceneMeasure):
    """The largest share of a picture's area, 0 to 1, that text covers; scenes with overlays are left out.

    Attributes:
        most: a scene with more is left out.
        score: how sure, 0 to 1, the reader has to be of what it reads in a box for the box to count, which also takes
            two letters or digits: lone signs may be things of that shape.
    """

    higher_is_better = False
    most: float = 0.01
    score: float = 0.7

    def of(self, pictures: np.ndarray, texts: Sequence[str]) -> float:
        """See `SceneMeasure`; of the first and the last picture."""
        cv2 = opencv()
        shares = [0.0]
        for number in sorted({0, len(pictures) - 1}):
            picture = pictures[number]
            width = round(picture.shape[1] * _SIDE / picture.shape[0])
            large = cv2.resize(picture[..., ::-1], (width, _SIDE), interpolation=cv2.INTER_CUBIC)
            found = _reader()(large, use_cls=False)
            if found.boxes is None or found.scores is None or found.txts is None:
                continue
            boxes = [
                cv2.contourArea(np.asarray(box, np.float32)) / (width * _SIDE)
                for box, score, text in zip(found.boxes, found.scores, found.txts, strict=True)
                if score >= self.score and sum(sign.isalnum() for sign in text) > 1
            ]
            shares.append(sum(share for share in boxes if share <= _LARGEST))
        return float(max(shares))

    def expect_usable(self) -> None:
        """See `SceneMeasure`."""
        opencv()
        imported("rapidocr")
        imported("onnxruntime")

    def fault(self, value: float) -> str | None:
        """See `SceneMeasure`."""
        return f"text: covers {value:.1%}, expected at most {self.most:.1%}" if value > self.most else None


@cache
def _reader() -> Any:
    """The reader, whose weights come in its package."""
    imported("onnxruntime")
    quiet = {"EngineConfig.onnxruntime.intra_op_num_threads": 1, "Global.log_level": "critical"}
    sizes = {"Det.limit_side_len": _SIDE}  # the detector would enlarge pictures once more
    return imported("rapidocr").RapidOCR(params=quiet | sizes)
