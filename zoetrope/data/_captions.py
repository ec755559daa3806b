"""Valid captions: text on one line that can be stored, printed and encoded."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from zoetrope.config.strict_json import is_deep

LONGEST = 2**20  # bytes of a caption, or of a line of metadata
_SHOWN = 6
_TOO_DEEP = "is not JSON that can be read (nested too deeply)"
# Whitespace is not among them: it becomes blanks.
_REFUSED = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff]")
_MEANT = {
    "text": {"caption", "captions", "prompt", "description", "sentence", "label", "title", "texts"},
    "file_name": {"file", "filename", "path", "file_path", "filepath", "name", "video", "image", "video_path", "url"},
}


def single_spaced(text: str) -> str:
    """A caption with every run of whitespace and line separators replaced by one blank; "" if there is nothing else.

    Raises ValueError, a reason that follows the name of the text, for characters that cannot be stored or printed.
    """
    if len(text) > LONGEST:
        raise ValueError(f"is longer than {LONGEST // 2**20} MB")
    if found := _REFUSED.search(text):
        code = ord(found[0])
        if 0xD800 <= code < 0xE000:
            raise ValueError(f"holds half of a surrogate pair (\\u{code:04x}), which is no character")
        raise ValueError(f"holds the control character U+{code:04X}" + (" (is it UTF-16?)" if not code else ""))
    return " ".join(text.split())


def decoded(content: bytes) -> str:
    """The text of a file. Raises ValueError, such a reason, if it is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None


def read_caption(path: Path) -> str:
    """The caption in a .txt file, or the "text" of a .json. Raises ValueError, such a reason, if there is none."""
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST + 1)
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None
    return caption_of(content, path.suffix.lower() == ".json")


def caption_of(content: bytes, as_json: bool) -> str:
    """The caption in the content of a .txt file, or of a .json. Raises ValueError, such a reason, if there is none."""
    if len(content) > LONGEST:
        raise ValueError(f"is longer than {LONGEST // 2**20} MB")
    text = decoded(content)
    if as_json:
        text = string_in(object_in(text), "text")
    return single_spaced(text)


def object_in(text: str) -> dict[str, object]:
    """A JSON object. Raises ValueError, such a reason, if the text is none."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON ({error.msg})") from None
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except ValueError:
        raise ValueError("is not JSON that can be read (a number with too many digits)") from None
    if is_deep(value):
        raise ValueError(_TOO_DEEP)
    if not isinstance(value, dict):
        raise ValueError(f"is not a JSON object, but {kind_of(value)}")
    return value


def string_in(fields: Mapping[str, object], name: str) -> str:
    """The string in a field. Raises ValueError, such a reason, if there is none."""
    if name not in fields:
        near = next((key for key in fields if str(key).lower() in _MEANT[name]), None)
        hint = "" if near is None else f"; is {near!r} meant? Then rename it"
        raise ValueError(f"has no {name!r}, {names_of(list(fields))}{hint}")
    value = fields[name]
    if not isinstance(value, str):
        hint = ", the words that a label stands for" if name == "text" and isinstance(value, int | float) else ""
        raise ValueError(f"has {kind_of(value)} for {name!r}; expected a string{hint}")
    return value


def names_of(fields: list[str]) -> str:
    """The names of the fields that there are, the first of many."""
    shown = [repr(str(field)[:40]) for field in fields[:_SHOWN]]
    more = len(fields) - len(shown)
    return f"only {', '.join(shown)}{f' and {more} more' if more else ''}" if fields else "no fields at all"


def kind_of(value: object) -> str:
    """What a value of JSON is, in words."""
    names = {dict: "an object", list: "a list", str: "a string", type(None): "null"}
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"the number {str(value)[:20]}" if abs(value) < 1e15 else "a number"
    return names.get(type(value), "something else")
