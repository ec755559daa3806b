"""Trainings and evaluations on this machine, as pages show them. Clients name them by number, never by path."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoetrope.serving.uploads import Refusal
from zoetrope.wording import one_line

if TYPE_CHECKING:
    from zoetrope.training.standing import Standing

POINTS = 400
"""Points of a curve, at most."""
CURVES = ("loss", "examples_per_second", "learning_rate", "grad_norm", "data_wait", "peak_memory")
REPORT = "index.html"
SHOWN = {".html": "text/html", ".json": "application/json", ".mp4": "video/mp4", ".webm": "video/webm",
         ".gif": "image/gif", ".png": "image/png"}  # fmt: skip
"""Files of an evaluation that are shown, by their ending."""
_SHEET = re.compile(r"[\w-]{1,100}\.png")
_PART = re.compile(r"[\w@+-][\w@+. -]{0,150}")


class Views:
    """The trainings in some folders, and the evaluations in others."""

    def __init__(self, runs: Sequence[Path] = (), reports: Sequence[Path] = ()) -> None:
        self._runs, self._reports = ([Path(os.path.abspath(one)) for one in each] for each in (runs, reports))
        self.known: list[Path] = []  # runs and reports keep their numbers while the server runs
        self._pages: list[Path] = []

    def runs(self) -> list[dict[str, Any]]:
        """How each training stands: number, name, stage, state, examples of a total, loss, speed, and seconds left."""
        from zoetrope.training.standing import standing, trainings_in

        found = list[dict[str, Any]]()
        for folder in self._runs:
            try:
                every = trainings_in(folder)
            except (ValueError, OSError):  # none yet
                every = []
            for run in every:
                if run not in self.known:
                    self.known.append(run)
                try:
                    found.append(self._row(run, folder, standing(run)))
                except (ValueError, OSError) as error:
                    reason, name = one_line(str(error).replace(str(run), run.name)), one_line(run.name)
                    found.append({"number": self.known.index(run), "name": name, "state": "damaged", "error": reason})
        return found

    def _row(self, run: Path, folder: Path, now: "Standing") -> dict[str, Any]:
        names = ("stage", "state", "examples", "total", "loss", "examples_per_second", "eta")
        name = folder.name if run == folder else str(run.relative_to(folder if len(self._runs) < 2 else folder.parent))
        error = now.error and one_line(now.error.replace(str(run), run.name))
        told = {each: getattr(now, each) for each in names}
        number = self.known.index(run)
        return {"number": number, "name": one_line(name), "error": error, "samples": _sheets(run), **told}

    def run(self, number: int) -> dict[str, Any]:
        """The curves of a training, as (examples, value), and its sheets of samples. Raises Refusal for no number."""
        from zoetrope.training.state import read_metrics

        run = self._run(number)
        lines = read_metrics(run / "metrics.jsonl")
        chosen = lines[:: max(1, -(-len(lines) // POINTS))]
        chosen = chosen if not lines or chosen[-1] is lines[-1] else [*chosen, lines[-1]]
        curves = {
            name: [[line["examples"], line[name]] for line in chosen if isinstance(line.get(name), int | float)]
            for name in CURVES
        }
        by_time: list[float] = next((line["loss_by_time"] for line in reversed(lines) if line.get("loss_by_time")), [])
        shown = {name: points for name, points in curves.items() if points}
        return {"curves": shown, "loss_by_time": by_time, "samples": _sheets(run)}

    def sample(self, number: int, name: str) -> Path:
        """The file of a sheet. Raises Refusal for another name than those that `run` gives."""
        if _SHEET.fullmatch(name) is None:
            raise Refusal(404, "sample: expected the name of a sheet, there is none of this name")
        return self._run(number) / "samples" / name

    def reports(self) -> list[dict[str, Any]]:
        """The evaluations: number and name."""
        return [{"number": self._pages.index(path), "name": one_line(path.name)} for path in self._found()]

    def report(self, number: int, path: str) -> tuple[Path, str]:
        """A file of an evaluation and its type. Raises Refusal for what is not among its pages, videos and pictures."""
        if number >= len(self._pages):
            self._found()
        parts, found = path.split("/"), self._pages
        kind = SHOWN.get(Path(parts[-1]).suffix)
        if number >= len(found) or kind is None or len(parts) > 4 or not all(_PART.fullmatch(part) for part in parts):
            raise Refusal(404, "report: expected the name of one of its files, there is none of this name")
        root, file = found[number].resolve(), found[number].joinpath(*parts).resolve()
        if not file.is_relative_to(root):
            raise Refusal(404, "report: expected a file of its folder")
        return file, kind

    def _found(self) -> list[Path]:
        inside = (path for folder in self._reports for path in [folder, *sorted(folder.glob("*/"))])
        found = [path for path in inside if (path / REPORT).is_file() and (path / "results.json").is_file()]
        self._pages += [path for path in found if path not in self._pages]
        return found

    def _run(self, number: int) -> Path:
        if number >= len(self.known):
            self.runs()
        if number >= len(self.known):
            raise Refusal(404, "run: expected the number of a training, there is none of this number")
        return self.known[number]


def _sheets(run: Path) -> list[str]:
    """The newest sheets of samples, the last one first."""
    folder = run / "samples"
    names = sorted((path.name for path in folder.iterdir()), reverse=True) if folder.is_dir() else []
    return [name for name in names if _SHEET.fullmatch(name)][:60]
