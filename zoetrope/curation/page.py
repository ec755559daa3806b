"""The page of a curation, which opens from disk: thumbnails, measures, and why each scene was kept or left out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

from zoetrope.curation.scenes import JudgedScene
from zoetrope.wording import counted, one_line

SHOWN = 2000  # scenes on the page; all are in the table beside it

_STYLE = """
:root { --paper: #fbfaf7; --card: #ffffff; --ink: #22252b; --soft: #6b7078; --rule: #e3e0d8; --good: #2c7a4b;
  --bad: #b5483a; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --paper: #15171b; --card: #1d2025; --ink: #e8e6e1; --soft: #9aa0a8;
  --rule: #32363d; --good: #63c29a; --bad: #e07a6c; } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 36px 28px 80px; }
h1 { font-size: 28px; margin: 0 0 6px; } h2 { font-size: 18px; margin: 44px 0 12px; }
p { margin: 6px 0; } .soft, small { color: var(--soft); } small { font-size: 12.5px; display: block; }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top; padding: 10px 14px; }
thead th { font-size: 12.5px; color: var(--soft); border-bottom: 1px solid var(--rule); }
tbody tr + tr > * { border-top: 1px solid var(--rule); } td { overflow-wrap: anywhere; min-width: 110px; }
td.n { font-variant-numeric: tabular-nums; white-space: nowrap; font-size: 13px; }
img { display: block; height: 72px; border-radius: 4px; } .kept { color: var(--good); } .out { color: var(--bad); }
"""


def page(folder: str, scenes: Sequence[JudgedScene], clips: Mapping[int, tuple[str, str]]) -> str:
    """The whole page; `clips` are the name and the making of the clip of each kept scene, by its number."""
    kept = [(number, scene) for number, scene in enumerate(scenes) if scene.reason is None]
    left = [(number, scene) for number, scene in enumerate(scenes) if scene.reason is not None]
    title = f"{counted(len(kept), 'scene')} kept of {len(scenes)}"
    body = [
        f"<h1>{title}</h1>",
        f'<p class="soft">{_text(folder)}</p>',
        _reasons([scene.reason or "" for _, scene in left]),
        _scenes("Kept", kept[:SHOWN], clips, len(kept)),
        _scenes("Left out", left[:SHOWN], clips, len(left)),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body><main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main></body></html>\n"
    )


def _text(value: str) -> str:
    """Untrusted text, on one line, as HTML."""
    return escape(one_line(value))


def _reasons(reasons: Sequence[str]) -> str:
    """How many scenes were left out for each reason; a scene with several counts for each."""
    words = Counter(part.partition(":")[0] for why in reasons for part in why.split("; "))
    if not words:
        return ""
    rows = "".join(f"<tr><th>{_text(word)}</th><td>{count}</td></tr>" for word, count in words.most_common(20))
    head = "<thead><tr><th>Reason</th><th>Scenes</th></tr></thead>"
    return f'<h2>Reasons</h2><div class="card"><table>{head}<tbody>{rows}</tbody></table></div>'


def _scenes(
    title: str, scenes: Sequence[tuple[int, JudgedScene]], clips: Mapping[int, tuple[str, str]], number: int
) -> str:
    """A table of scenes, of `number` in all."""
    if not scenes:
        return ""
    more = f'<p class="soft">The first {len(scenes)} of {number}.</p>' if number > len(scenes) else ""
    head = "<thead><tr><th>Pictures</th><th>Scene</th><th>Captions</th><th>Measures</th><th>Verdict</th></tr></thead>"
    rows = "".join(_row(scene, clips.get(at)) for at, scene in scenes)
    return f'<h2>{title}</h2>{more}<div class="card"><table>{head}<tbody>{rows}</tbody></table></div>'


def _row(scene: JudgedScene, clip: tuple[str, str] | None) -> str:
    image = f'<img alt="first, middle, last" src="data:image/jpeg;base64,{escape(scene.strip)}">' if scene.strip else ""
    where = f"{_text(scene.name)}<small>{scene.start:.2f} s, {scene.seconds:.2f} s long</small>"
    texts = "<br>".join(map(_text, scene.texts))
    measures = "<br>".join(f"{_text(name)} {value:.3f}" for name, value in scene.measures.items())
    if scene.reason is not None:
        verdict = f'<span class="out">{_text(scene.reason)}</span>'
    else:
        name, how = clip or ("", "")
        verdict = f'<span class="kept">kept</span><small>{_text(name)}, {_text(how)}</small>'
    return f'<tr><td>{image}</td><td>{where}</td><td>{texts}</td><td class="n">{measures}</td><td>{verdict}</td></tr>'
