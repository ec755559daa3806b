"""The look of the report's page, which opens from disk: everything is in it but the videos beside it."""

STYLE = """
:root { --paper: #fbfaf7; --card: #ffffff; --ink: #22252b; --soft: #6b7078; --rule: #e3e0d8; --best: #e8f3ec;
  --s0: #8a8f98; --s1: #2f6db3; --s2: #d9822b; --s3: #3d9970; --s4: #a4508b; --s5: #b5483a; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --paper: #15171b; --card: #1d2025; --ink: #e8e6e1; --soft: #9aa0a8;
  --rule: #32363d; --best: #1f3529; --s0: #8d939c;
  --s1: #6ba7ea; --s2: #f0a45a; --s3: #63c29a; --s4: #cf83ba; --s5: #e07a6c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 36px 28px 80px; }
h1 { font-size: 28px; line-height: 1.25; margin: 0 0 6px; letter-spacing: -0.01em; }
h2 { font-size: 18px; margin: 44px 0 12px; }
p { margin: 6px 0; max-width: 80ch; } .soft, small { color: var(--soft); } small { font-size: 12.5px; }
code, .mono { font: 12px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  overflow-wrap: anywhere; }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top; padding: 11px 16px; }
thead th { font-size: 12.5px; font-weight: 600; color: var(--soft); white-space: nowrap;
  border-bottom: 1px solid var(--rule); }
tbody tr + tr > * { border-top: 1px solid var(--rule); }
tbody th { font-weight: 600; min-width: 190px; } tbody th small { display: block; font-weight: 400; }
td.n { font-variant-numeric: tabular-nums; white-space: nowrap; font-size: 16px; } td.n small { display: block; }
td.best { background: var(--best); font-weight: 650; } td.real { color: var(--soft); }
td.protocol { min-width: 260px; font-size: 12.5px; color: var(--soft); } details { margin-top: 2px; }
summary { cursor: pointer; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 12px; margin: 8px 0 2px; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(420px, 1fr)); gap: 18px; }
.plots figure { margin: 0; padding: 16px 18px 12px; } figcaption { font-weight: 600; margin-bottom: 8px; }
figcaption small { display: block; font-weight: 400; } svg { width: 100%; height: auto; display: block; }
.grid { stroke: var(--rule); }
.axis { font-size: 11.5px; fill: var(--soft); } .value { font-size: 11px; fill: var(--ink); }
.line { fill: none !important; stroke-width: 2; }
.keys { display: flex; flex-wrap: wrap; gap: 4px 18px; margin-top: 6px; font-size: 13px; }
.key i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 6px; }
SERIES
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, SHEETpx), 1fr)); gap: 18px; }
.shot { padding: 12px 14px 14px; } .shot p { margin: 0 0 10px; font-size: 14px; } .row { display: flex; gap: 10px; }
.row figure { margin: 0; flex: 1 1 0; min-width: 0; } 
.row figcaption { font-size: 12px; font-weight: 400; color: var(--soft); margin: 4px 0 0; }
video, .row img { width: 100%; display: block; border-radius: 6px; background: #000; image-rendering: pixelated; }
""".replace(
    "SERIES",
    "\n".join(
        f"rect.s{k}, circle.s{k} {{ fill: var(--s{k}); }} .line.s{k} {{ stroke: var(--s{k}); }} "
        f".key i.s{k} {{ background: var(--s{k}); }}"
        for k in range(6)
    ),
)
