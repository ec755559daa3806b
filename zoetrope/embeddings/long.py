"""Captions that a text encoder truncates."""

from collections.abc import Iterable, Sequence

from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.wording import counted

_TOGETHER = 64
_MOST = 1024  # captions to check
_SHOWN = 60  # letters of a caption
_SPECIAL = 3  # tokens that are no letters


def cut_short(captions: Iterable[str], texts: EmbeddingCache) -> str | None:
    """The message about captions that exceed the encoder's limit and are truncated; None if there are none.

    Captions are checked from the longest on, until some are short enough; those without features need the encoder, and
    so do all where it pads texts. If it is not there for these, the message says so.
    """
    limit, pads = texts.encoder.limit, texts.encoder.pads
    long = sorted((text for text in captions if len(text.encode()) + _SPECIAL > limit), key=len, reverse=True)
    count = 0
    for start in range(0, min(len(long), _MOST), _TOGETHER):
        batch = long[start : start + _TOGETHER]
        try:
            full = sum(bool(texts.cut(text)) for text in batch) if pads else _filling(batch, texts)
        except ValueError as error:
            if not pads:
                raise
            return f"whether the {limit} tokens that {texts.encoder.kind()} reads hold all captions is unknown: {error}"
        count += full
        if full < len(batch):
            break
    if not count:
        return None
    least = "at least " if count >= _MOST else ""
    message = f"{least}{counted(count, 'caption')} {'fills' if count == 1 else 'fill'} the {limit} tokens"
    begins = long[0] if len(long[0]) <= _SHOWN else long[0][:_SHOWN] + "..."
    return f"{message} that {texts.encoder.kind()} reads, and what is beyond is not used; the longest: {begins!r}"


def _filling(captions: Sequence[str], texts: EmbeddingCache) -> int:
    """How many captions have as many tokens as the encoder reads."""
    return int((texts.encode(captions).mask.sum(1) >= texts.encoder.limit).sum())
