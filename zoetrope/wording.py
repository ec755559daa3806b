"""Words for people: text from anywhere made safe to print, and numbers of things."""

import json
import re
from typing import Any

UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Untrusted text made safe for a terminal: control and bidirectional characters are escaped."""
    return UNPRINTABLE.sub(lambda found: _spelt(found[0]), text)


def readable_json(value: Any, encoding: str = "utf-8") -> str:
    """JSON that `encoding` can represent, without control characters for terminals."""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    text = UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(value, indent=1)
    return text


def one_line(text: str) -> str:
    """`printable`, with line breaks and tabs escaped as well: for names."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def _spelt(sign: str) -> str:
    return f"\\x{ord(sign):02x}" if ord(sign) < 256 else f"\\u{ord(sign):04x}"


def counted(number: int, what: str, plural: str | None = None) -> str:
    """ "1 shard", "2 shards", or with a `plural` of its own "2 men"."""
    return f"{number} {what if number == 1 else plural or what + 's'}"
