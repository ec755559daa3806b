"""What `zoetrope data` says of arrays: `check`, `preview` and `statistics` of them."""

import json as json_text
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoetrope.commands._talk import Talk

if TYPE_CHECKING:
    from zoetrope.data import Source
    from zoetrope.data.arrays import Arrays
    from zoetrope.data.arrays.dataset import ArraysDataset
    from zoetrope.data.arrays.statistics import Statistics
    from zoetrope.shapes import VideoShape

Variables = Annotated[
    str | None, typer.Option(metavar="NAMES", help="Of arrays: which variables, such as u,v. [as a JSON source says]")
]
Axes = Annotated[str | None, typer.Option(metavar="AXES", help="Of arrays: their axes, such as n,t,y,x. [t,y,x]")]

LOOKED_AT = 64  # frames of which `check` tells ranges
MOST_TOLD = 20
HINT = "zoetrope data check DATA --variables u,v --axes t,y,x tells more"
BARS = " ▁▂▃▄▅▆▇█"


def source_named(data: str, variables: str | None = None, axes: str | None = None) -> "Source | None":
    """The source that JSON, or a .json file with an object, describes, or arrays by variables and axes; else None.

    Raises ValueError that names the field for JSON that is no source.
    """
    from zoetrope.data import Source

    path = Path(os.path.expanduser(data))
    described: Any = data if data.lstrip().startswith("{") else None
    if described is None and path.suffix.lower() == ".json" and path.is_file():
        from zoetrope.files.plain import read_json

        value = read_json(path)
        described = value if isinstance(value, dict) else None
    if described is not None:
        if variables is not None or axes is not None:
            raise ValueError("--variables and --axes: expected a path, got a source that says them itself")
        return Source.from_json(described)
    if variables is None:
        if axes is not None:
            raise ValueError("--axes: expected --variables too")
        return None
    from zoetrope.data.arrays import Arrays

    unscaled: dict[str, Any] = {"scale": {"type": "deviation", "deviation": 1.0}}
    names = [name.strip() for name in variables.split(",")]
    named = {name: unscaled | _named(name, place) for place, name in enumerate(names)}
    return Arrays.from_json({"path": data, "variables": named, "missing": "mask"} | ({"axes": axes} if axes else {}))


def _named(variable: str, place: int) -> dict[str, Any]:
    """A name for the channel of a variable whose own is none for channels."""
    plain = variable.rpartition("/")[2].replace("[", "_").replace("]", "").strip("_") or f"channel{place}"
    return {"name": plain if not plain[0].isdigit() or len(plain) > 2 else f"channel{plain}"}


def expect_said(data: str) -> None:
    """Raise ValueError for a path of arrays of which nothing else is said."""
    from zoetrope.data.arrays.inventory import are_arrays

    if are_arrays(Path(os.path.expanduser(data))):
        raise ValueError(f"{data}: expected a source of arrays as JSON, for arrays need variables and axes; {HINT}")


def told_inventory(talk: Talk, data: str) -> bool:
    """Whether a path is one of arrays, in which case it is told what is in them."""
    from zoetrope.data.arrays.inventory import are_arrays, inventory

    path = Path(os.path.expanduser(data))
    if not are_arrays(path) or not path.exists():
        return False
    found = inventory(path)
    lines = [line for file in found for line in (f"{file.path}:", *(f"  {each}" for each in file.lines))]
    value = {"files": [{"path": str(file.path), "arrays": file.lines} for file in found]}
    talk.result(value, "" if talk.quiet else "\n".join([*lines, f"say which are to be read: {HINT}"]))
    return True


def check_arrays(talk: Talk, source: "Arrays", grid: "VideoShape | None") -> None:
    """Tell the recordings, what is left out, and the ranges and gaps of the variables, of some of the frames."""
    from zoetrope.data.arrays.dataset import too_short
    from zoetrope.data.arrays.statistics import statistics
    from zoetrope.wording import counted, one_line

    opened = source.open()
    survey = opened.survey
    clips = None if grid is None else opened.count(grid)
    dropped = [*survey.dropped, *(too_short(opened, grid) if grid is not None else [])]
    with talk.bars() as bars:
        bars.begin("frames", LOOKED_AT)
        found, frames = statistics(opened, LOOKED_AT, lambda done, _: bars.advance(min(done, LOOKED_AT)))
    total = sum(one.frames for one in survey.recordings)
    held = survey.files[survey.recordings[0].file][1]
    rate = "" if survey.rate is None else f", {survey.rate:.6g} frames a second"
    recordings = counted(len(survey.recordings), "recording")
    lines = [f"{recordings} of {counted(total, 'frame')} in all, {held.height}x{held.width}{rate}"]
    lines += [] if clips is None else [f"{counted(clips, 'clip')} of {grid}"]
    lines += _table(found, f"of {frames} of the {total} frames" if frames < total else "of all frames")
    lines.append(f"{len(dropped)} dropped" + (":" if dropped else ""))
    lines += [f"  {one_line(item.name)}: {one_line(item.reason)}" for item in dropped[:MOST_TOLD]]
    lines += [f"  and {len(dropped) - MOST_TOLD} more"] if len(dropped) > MOST_TOLD else []
    notes = [*survey.notes, *_fills(found)]
    lines += notes
    value = {
        "recordings": len(survey.recordings), "frames": total, "height": held.height, "width": held.width,
        "rate": survey.rate, "clips": clips, "variables": [_as_json(one) for one in found],
        "dropped": [{"name": one_line(item.name), "reason": one_line(item.reason)} for item in dropped],
        "notes": notes,
    }  # fmt: skip
    talk.result(value, "" if talk.quiet else "\n".join(lines))


def preview_arrays(talk: Talk, opened: "ArraysDataset", grid: "VideoShape", count: int, out: str) -> None:
    """Draw the first clips, a strip for every channel, and tell the ends of the colours."""
    from zoetrope.data.arrays.pictures import array_sheet, colour_ends
    from zoetrope.video import save_image
    from zoetrope.wording import counted

    sheet = array_sheet(opened, grid, count)
    save_image(out, sheet.picture)
    lines = [f"{out}: {counted(count, 'clip')} of {grid}, in rows; grey has no value"]
    lines += [f"  {line}" for line in [*colour_ends(opened.channels(), sheet.ends), *sheet.names]]
    value = {"path": out, "shape": grid.to_json(), "captions": sheet.names, "ends": sheet.ends}
    talk.result(value, "" if talk.quiet else "\n".join(lines))


def tell_statistics(talk: Talk, source: "Arrays", most: int | None) -> None:
    """Tell what the values of every variable are like, and scales for its channel, where there are any.

    Raises ValueError that names file and variable for one that is constant.
    """
    from zoetrope.data.arrays.statistics import expect_varied, statistics

    opened = source.open()
    total = sum(one.frames for one in opened.survey.recordings)
    with talk.bars() as bars:
        bars.begin("frames", total)
        found, frames = statistics(opened, most, lambda done, _: bars.advance(done))
    lines = _table(found, f"of {frames} of the {total} frames" if frames < total else "of all frames", quantiles=True)
    notes = _fills(found)
    lines += notes
    for one in found:
        if not one.constant and one.present and (scales := one.scales()):
            lines += [f"{one.variable}: scales for its channel, of which one is to be chosen:"]
            channels = [{"unit": one.unit, "scale": scale.to_json()} for scale in scales]
            lines += [f"  {json_text.dumps({one.variable: channel})[1:-1]}" for channel in channels]
    value = {"frames": frames, "of": total, "variables": [_as_json(one) for one in found], "notes": notes}
    talk.result(value, "" if talk.quiet else "\n".join(lines))
    expect_varied(opened, found)


def _table(found: "list[Statistics]", of: str, quantiles: bool = False) -> list[str]:
    from zoetrope.data.arrays.statistics import QUANTILES

    lines = [f"values {of}:"]
    for one in found:
        if not one.present:
            lines.append(f"  {one.variable}: no values, all are missing")
            continue
        bars = "".join(BARS[round(share / one.histogram().max() * (len(BARS) - 1))] for share in one.histogram())
        beyond = f", {100 * one.beyond():.3g} % beyond the ends of its scale" if one.beyond() else ""
        named = f"{one.variable} [{one.unit}]" if one.unit else one.variable
        lines.append(
            f"  {named}: {one.lowest:.6g} |{bars}| {one.highest:.6g}; mean {one.mean:.6g}, deviation "
            f"{one.deviation:.6g}, {100 * one.gaps:.3g} % missing{beyond}{', constant' if one.constant else ''}"
        )
        if quantiles:
            lines.append("    " + ", ".join(f"{100 * share:g} %: {one.quantile(share):.6g}" for share in QUANTILES))
    return lines


def _fills(found: "list[Statistics]") -> list[str]:
    """Notes on values that are larger than those of any scale."""
    from zoetrope.scales import LARGEST

    return [
        f"{one.variable}: {end:g} looks like a fill value, as scales take values up to {LARGEST:g}: if it stands for "
        f'no value, say so in the source as JSON, with "fill": [{end!r}]'
        for one in found
        for end in one.too_large
    ]


def _finite(value: float) -> float | None:
    """A number that JSON can hold: deviations from fill values may be too large for any."""
    return value if math.isfinite(value) else None


def _as_json(one: "Statistics") -> dict[str, Any]:
    from zoetrope.data.arrays.statistics import QUANTILES

    known = bool(one.present)
    numbers = {name: _finite(getattr(one, name)) for name in ("mean", "deviation", "lowest", "highest")}
    quantiles = {f"{share:g}": _finite(one.quantile(share)) for share in QUANTILES} if known else {}
    scales = [scale.to_json() for scale in one.scales()] if known and not one.constant else []
    return {
        "variable": one.variable, "channel": one.channel.name, "unit": one.unit, "count": one.present,
        "missing": one.missing, **numbers, "quantiles": quantiles, "histogram": one.histogram().tolist(),
        "beyond": one.beyond() if known else 0.0, "scales": scales,
    }  # fmt: skip
