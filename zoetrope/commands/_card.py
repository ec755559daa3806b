"""A model's card for people: its Markdown as text, with tables in columns and links spelt out."""

import io
import shutil
import sys

from zoetrope.wording import printable


def readable(card: str) -> str:
    """A card's text, as wide as the terminal, or 100 letters; unchanged if the terminal lacks the characters."""
    from rich.console import Console
    from rich.markdown import ImageItem, Markdown

    class Pictures(ImageItem):  # which rich marks with a sign that few terminals have
        def __rich_console__(self, console, options):  # type: ignore[no-untyped-def]
            yield f"({self.text.plain})"

    class Card(Markdown):
        elements = Markdown.elements | {"image": Pictures}

    width = max(40, shutil.get_terminal_size((100, 24)).columns)
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False, legacy_windows=False)
    with console.capture() as captured:
        console.print(Card(printable(card), hyperlinks=False), markup=False)
    text = "\n".join(line.rstrip() for line in captured.get().strip("\n").splitlines())
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return card
    return text
