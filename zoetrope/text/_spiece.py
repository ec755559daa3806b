"""Reading a SentencePiece unigram vocabulary (`spiece.model`) into a fast tokenizer.

The original T5 releases come with nothing else, and the usual converters need protobuf and sentencepiece for it. The
file is one protobuf message, of which three fields matter: the pieces with their scores, and the normaliser's table
[sentencepiece_model.proto].
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PIECE, NORMALIZER, CHARSMAP = 1, 3, 2
UNKNOWN = 2


def read_spiece(path: Path, extra: int = 100) -> "PreTrainedTokenizerFast":
    """The tokenizer of a T5 vocabulary: its pieces, then `extra` sentinels; every text ends with </s>.

    Raises ValueError if the file is not a SentencePiece unigram vocabulary with <pad>, </s> and <unk>.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces, unknown, charsmap = _vocabulary(path)
    names = [name for name, _ in pieces]
    if unknown is None or not {"<pad>", "</s>", "<unk>"} <= set(names):
        raise ValueError(f"{path}: expected a T5 vocabulary with <pad>, </s> and <unk>, got {len(pieces)} pieces")
    sentinels = [f"<extra_id_{i}>" for i in reversed(range(extra))]
    fast = Tokenizer(models.Unigram(pieces + [(name, 0.0) for name in sentinels], unk_id=unknown, byte_fallback=False))
    if charsmap:
        fast.normalizer = normalizers.Precompiled(charsmap)
    fast.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    fast.decoder = decoders.Metaspace()
    fast.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", names.index("</s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=fast, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", extra_special_tokens=sentinels
    )


def _vocabulary(path: Path) -> tuple[list[tuple[str, float]], int | None, bytes]:
    """The pieces with their scores, the position of the unknown piece, and the normaliser's table."""
    pieces: list[tuple[str, float]] = []
    unknown, charsmap = None, b""
    try:
        for field, value in _fields(path.read_bytes()):
            if field == PIECE:
                piece = dict(_fields(value))
                if piece.get(3) == UNKNOWN:
                    unknown = len(pieces)
                pieces.append((piece[1].decode(), struct.unpack("<f", piece.get(2, bytes(4)))[0]))
            elif field == NORMALIZER:
                charsmap = dict(_fields(value)).get(CHARSMAP, b"")
    except (IndexError, KeyError, TypeError, AttributeError, UnicodeDecodeError, struct.error) as error:
        raise ValueError(f"{path}: expected a SentencePiece vocabulary, got something else ({error})") from None
    return pieces, unknown, charsmap


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message: numbers for varints, bytes for everything else."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            number, at = _varint(message, at)
            yield tag >> 3, number
            continue
        if kind == 2:
            size, at = _varint(message, at)
        else:
            size = {1: 8, 5: 4}[kind]
        yield tag >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
