"""The page of a report."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from zoetrope.metrics.measures import Result, Unavailable
from zoetrope.metrics.report import ModelEntry, Report
from zoetrope.metrics.report._style import STYLE
from zoetrope.metrics.report.forecasts import forecast_plots, maps_shown
from zoetrope.metrics.report.plain import brief, number, places
from zoetrope.metrics.report.plots import bars, lines

_ASPECTS = ("colour", "shape", "motion", "relation")


def page(report: Report, videos: Mapping[str, Sequence[str]], maps: Sequence[tuple[str, str]] = ()) -> str:
    """The whole page; `videos` are file names by label, those of the real clips under "real".

    `maps` are captions and names of pictures, see `zoetrope.metrics.report.forecasts.write_maps`.
    """
    names = " and ".join(entry.label for entry in report.entries)
    title = f"{names} on {report.reference}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{_about(report)}</p>',
        *(f'<p class="soft">{escape(note)}.</p>' for note in _warnings(report)),
        "<h2>Numbers</h2>",
        _numbers(report),
        _missing(report),
        _plots(report),
        maps_shown(maps),
        _sheet(report, videos),
        "<h2>How the videos were made</h2>",
        _making(report),
    ]
    style = STYLE.replace("SHEET", str(200 * (1 + len(report.entries))))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n<body><main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main></body></html>\n"
    )


def _about(report: Report) -> str:
    how = report.settings
    shapes = ", ".join(dict.fromkeys(str(entry.shape) for entry in report.entries))
    start = f"Made from reduced real clips in the place of stage {how['after']}. " if how["after"] else ""
    members = how.get("members", 1)
    given = f"Given were the frames {', '.join(how['known'])} of real clips. " if how.get("known") else ""
    rolled = f"Made in blocks by {how.get('scheme') or 'autoregressive'}. " if how.get("seconds") else ""
    start = f"{start}{given}{rolled}"
    each = "one for each caption" if members == 1 else f"{members} for each of {how['count']} cases"
    return escape(
        f"{how['count'] * members} videos of each model, {shapes}, {each} of {report.reference}; "
        f"{how['reference']} real clips to compare with. {start}Seed {how['seed']}. zoetrope {report.version}."
    )


def _warnings(report: Report) -> list[str]:
    notes = list(report.notes)
    if len({entry.shape for entry in report.entries}) > 1:
        notes.append("The models make videos of different shapes: each is compared with real clips of its own shape")
    return notes


def _numbers(report: Report) -> str:
    """The table: a row for each measure, a column for each model, and how it was taken."""
    heads = "".join(f"<th>{escape(entry.label)}</th>" for entry in report.entries)
    rows = [_row(measured) for measured in _measured(report)]
    return (
        f'<div class="card"><table><thead><tr><th>Measure</th>{heads}<th>Real clips</th><th>Protocol</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _measured(report: Report) -> list[list[Result | Unavailable]]:
    """The measures, each with the results of all models, of which one at least has a number."""
    every = [[entry.results[k] for entry in report.entries] for k in range(len(report.entries[0].results))]
    return [results for results in every if any(isinstance(result, Result) for result in results)]


def _row(results: Sequence[Result | Unavailable]) -> str:
    there = [result for result in results if isinstance(result, Result)]
    first, best = there[0], _best(there)
    cells = "".join(
        f'<td class="n{" best" if len(there) > 1 and result is best else ""}">{number(result)}</td>'
        if isinstance(result, Result)
        else f'<td class="soft"><small>{escape(result.reason)}</small></td>'
        for result in results
    )
    real = "".join(dict.fromkeys(_of_real(result) for result in there))  # models of several shapes have one each
    how = "".join(_protocol(result) for result in there[: 1 if _same_protocol(there) else None])
    name = f"<small class='mono'>{escape(first.name)}</small><small>{first.better} is better</small>"
    ends = f'<td class="n real">{real}</td><td class="protocol">{how}</td>'
    return f"<tr><th>{escape(first.title)}{name}</th>{cells}{ends}</tr>"


def _of_real(result: Result) -> str:
    """What the real clips get, and plain ways."""
    value, plain = result.reference, result.plain.items()
    own = "" if value is None else f"<div>{value:.{places(value)}f} {escape(result.unit)}".rstrip() + "</div>"
    return own + "".join(f"<small>{escape(way)} {one:.{places(one)}f}</small>" for way, one in plain)


def _best(results: Sequence[Result]) -> Result:
    key = {"lower": lambda r: r.value, "higher": lambda r: -r.value, "nearer 0": lambda r: abs(r.value)}
    key["nearer 1"] = lambda r: abs(r.value - 1)
    return min(results, key=key[results[0].better])


def _same_protocol(results: Sequence[Result]) -> bool:
    return all(result.protocol == results[0].protocol for result in results)


def _protocol(result: Result) -> str:
    fields: dict[str, Any] = {k: v for k, v in result.protocol.to_json().items() if v is not None and v != []}
    fields |= {k: v for k, v in result.details.items() if isinstance(v, int | float)}
    rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(_plain(v))}</dd>" for k, v in fields.items())
    notes = "".join(f"<div>{escape(note)}</div>" for note in result.notes)
    return f"<details><summary>{escape(brief(result.protocol))}</summary><dl>{rows}</dl></details>{notes}"


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _missing(report: Report) -> str:
    """What could not be measured of any model, why, and what would help."""
    every = [[entry.results[k] for entry in report.entries] for k in range(len(report.entries[0].results))]
    none = [results[0] for results in every if all(isinstance(result, Unavailable) for result in results)]
    if not none:
        return ""
    rows = "".join(
        f"<tr><th>{escape(one.title)}<small class='mono'>{escape(one.name)}</small></th>"
        f"<td>{escape(one.reason)}</td><td>{escape(one.remedy)}</td></tr>"
        for one in none
        if isinstance(one, Unavailable)
    )
    head = "<thead><tr><th>Measure</th><th>Why there is no number</th><th>What would give one</th></tr></thead>"
    return f'<h2>Not measured</h2><div class="card"><table>{head}<tbody>{rows}</tbody></table></div>'


def _plots(report: Report) -> str:
    """A plot for each measure that has more to show than its number."""
    drawn = []
    for results in _measured(report):
        by_model = {e.label: r for e, r in zip(report.entries, results, strict=True) if isinstance(r, Result)}
        first = next(iter(by_model.values()))
        for about, plot in _plots_of(by_model):
            caption = f"{escape(first.title)}<small>{escape(about)}</small>"
            drawn.append(f'<figure class="card"><figcaption>{caption}</figcaption>{plot}</figure>')
    return f'<h2>Plots</h2><div class="plots">{"".join(drawn)}</div>' if drawn else ""


def _plots_of(results: Mapping[str, Result]) -> list[tuple[str, str]]:
    first = next(iter(results.values()))
    if drawn := forecast_plots(results):
        return drawn
    if any(len(result.details.get("by_frame", ())) > 1 for result in results.values()):
        curves = {label: result.details["by_frame"] for label, result in results.items()}
        return [("frame by frame, the mean over the videos", lines(curves, first.unit))]
    if "halves" in first.details:
        groups = ("half of the videos", "all videos", "endless (estimate)")
        series: dict[str, list[float | None]] = {"real, its own halves": [first.reference, None, None]} | {
            label: [r.details["halves"], r.value, r.details["endless"]] for label, r in results.items()
        }
        return [
            (f"{first.name}: the bias of small numbers of videos, at half of them and at all", bars(groups, series))
        ]
    if any(aspect in first.details for aspect in _ASPECTS):
        aspects = [aspect for aspect in _ASPECTS if aspect in first.details]
        real = [first.details.get(f"real_{aspect}") for aspect in aspects]
        series = {"real": [first.reference, *real]} | {
            label: [r.value, *(r.details[aspect] for aspect in aspects)] for label, r in results.items()
        }
        whole = ("videos in which it is recognised as the prompt says", bars(["all", *aspects], series, "%"))
        return [whole, *_classes(results)]
    if "mean_shift" in first.details:
        series = {"real": [100 * v for v in first.details["real_mean"]]} | {
            label: [100 * v for v in r.details["mean"]] for label, r in results.items()
        }
        return [
            (
                "the mean of each channel over all videos, in percent of the range",
                bars(first.details["named"], series),
            )
        ]
    return []


def _classes(results: Mapping[str, Result]) -> list[tuple[str, str]]:
    """A plot for each aspect: an average hides a motion that is never right."""
    details = next(iter(results.values())).details
    classes = {"real": details["real_classes"]} if "real_classes" in details else {}
    classes |= {label: result.details["classes"] for label, result in results.items()}
    drawn = []
    for aspect, first in details["classes"].items():
        series: dict[str, list[float | None]] = {"real": [None] * len(first)} | {
            label: [100 * share["right"] / share["videos"] for share in found[aspect].values()]
            for label, found in classes.items()
        }
        counts = ", ".join(f"{name} {share['videos']}" for name, share in first.items())
        drawn.append((f"right in {aspect}, by what was asked for; videos: {counts}", bars(list(first), series, "%")))
    return drawn


def _sheet(report: Report, videos: Mapping[str, Sequence[str]]) -> str:
    """The first videos, each with its prompt and the real clip of the same caption."""
    shots = []
    for k in range(min(len(names) for names in videos.values())):
        figures = "".join(
            f"<figure>{_moving(names[k])}<figcaption>{escape(label)}</figcaption></figure>"
            for label, names in videos.items()
        )
        shots.append(f'<div class="card shot"><p>{escape(report.prompts[k])}</p><div class="row">{figures}</div></div>')
    return f'<h2>Videos</h2><div class="sheet">{"".join(shots)}</div>'


def _moving(name: str) -> str:
    source = escape(name, quote=True)
    if name.endswith(".png"):
        return f'<img src="{source}" alt="">'
    return f'<video src="{source}" autoplay loop muted playsinline></video>'


def _making(report: Report) -> str:
    """The stages of each model and how they were sampled."""
    rows = "".join(_stages(entry) for entry in report.entries)
    head = "<thead><tr><th>Model</th><th>Stage</th><th>Shape</th><th>Sampling</th></tr></thead>"
    return f'<div class="card"><table>{head}<tbody>{rows}</tbody></table></div>'


def _in_words(value: Any) -> str:
    """A setting of sampling as JSON: of an object its kind, or where it has none its fields."""
    if not isinstance(value, dict):
        return str(value)
    return str(value.get("type") or " ".join(f"{key} {each}" for key, each in value.items() if each is not None))


def _stages(entry: ModelEntry) -> str:
    rows = []
    for number_, stage in enumerate(entry.stages):
        about = f"<small>{escape(entry.name)}</small><small>{entry.device}, {entry.dtype}</small>"
        name = f"{escape(entry.label)}{about}<small class='mono'>weights and settings {entry.key}</small>"
        told = ", ".join(f"{key} {_in_words(value)}" for key, value in stage.sampling.items() if value is not None)
        rows.append(
            f"<tr><th>{name if number_ == 0 else ''}</th><td>{escape(stage.name)}</td><td>{escape(stage.shape)}</td>"
            f"<td>{escape(told)}</td></tr>"
        )
    return "".join(rows)
