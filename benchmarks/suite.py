"""Everything that is measured of speed and memory, in one run: `make bench`.

    python benchmarks/suite.py                       # all parts
    python benchmarks/suite.py --quick               # about a minute, numbers of little worth
    python benchmarks/suite.py --only startup networks

Parts: networks (ours beside their peers, see unet_vs_peers.py), sampling (one stage, and mini's cascade as it runs by
default), training (examples a second of mini's base), memory (of sampling and training, in fresh processes), startup.
Repetitions of a part take turns, and each begins with the machine's own peaks: a product of large matrices, and a copy.
The fractions of these are medians over repetitions of what was reached and what the machine could do at that moment.

Results go into a folder: results.json, table.md, and plot.png where matplotlib is installed. A line is added to
history.jsonl, and what changed since the last run on the same machine is printed.
"""

import argparse
import datetime
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import startup
from _history import QUANTITIES, Numbers, add_entry, changes, read_history, table, told
from _machine import CLOCKS, DTYPES, PROBES, Place, described, matmul_of, memory_of, place, probe
from _options import positive
from _work import learning, lesson, moved, network_of, run_cascade, sample

from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.planning.count import Tally, flops_of
from zoetrope.planning.work import sampling, training
from zoetrope.recipes import load_recipe

ROOT = Path(__file__).parents[1]
HISTORY = Path(__file__).parent / "history.jsonl"
PARTS = ("networks", "sampling", "training", "memory", "startup")
BATCH = 4
QUICK_STEPS = 2


class Suite:
    """One run: its options, where it runs, and the stages that it runs."""

    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.here: Place = place(options.device, options.dtype, options.clock)
        spec = load_recipe("mini").cascade
        self.model = hashlib.sha256(json.dumps(spec.to_json(), sort_keys=True).encode()).hexdigest()[:12]
        self.stages = _shortened(spec) if options.quick else spec.until(spec.default_until)
        self.repetitions = 1 if options.quick else options.repetitions

    def fractions(
        self, what: str, seconds: Sequence[float], probes: Sequence[dict[str, float]], tally: Tally
    ) -> Numbers:
        """Seconds of some work, and the machine's peaks that it reached a part of, repetition by repetition."""
        rate = matmul_of(self.here.dtype)
        pairs = list(zip(seconds, probes, strict=True))
        return {
            f"{what}/seconds": statistics.median(seconds),
            f"{what}/of_peak": statistics.median(flops_of(tally) / took / peak[rate] for took, peak in pairs),
            f"{what}/of_bandwidth": statistics.median(moved(tally) / took / peak["copy"] for took, peak in pairs),
        }

    def turns(self, runs: dict[str, Callable[[], Any]]) -> tuple[dict[str, list[float]], list[dict[str, float]]]:
        """Seconds of each, and the machine's peaks, in turns after one that warms up."""
        took: dict[str, list[float]] = {name: [] for name in runs}
        probes = []
        for run in runs.values():
            run()
        for _ in range(self.repetitions):
            probes.append(probe(self.here))
            for name, run in runs.items():
                took[name].append(self.here.seconds(run))
        return took, probes

    def networks(self) -> tuple[Numbers, Any]:
        """Ours beside their peers."""
        options = self.options
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "networks.json"
            command = [options.peers or sys.executable, str(ROOT / "benchmarks/unet_vs_peers.py"), "--json", str(file)]
            command += ["--device", self.here.device.type, "--threads", str(torch.get_num_threads())]
            command += ["--dtype", next(name for name, dtype in DTYPES.items() if dtype == self.here.dtype)]
            command += ["--clock", options.clock, "--repetitions", str(self.repetitions)]
            subprocess.run([*command, *(["--no-memory"] if options.quick else [])], check=True, stdout=sys.stderr)
            raw = json.loads(file.read_text())
        numbers = {}
        mine = {name: one for name, one in raw["networks"].items() if name.startswith("zoetrope")}
        for name, one in raw["networks"].items():
            for way, work in (("forward", 1), ("both", 3)):
                what = f"{name}, {'forward' if way == 'forward' else 'forward + backward'}"
                pairs = list(zip(one[way], raw["probes"], strict=True))
                rate = matmul_of(self.here.dtype)
                numbers[f"{what}/seconds"] = statistics.median(one[way])
                numbers[f"{what}/of_peak"] = statistics.median(work * one["flops"] / t / p[rate] for t, p in pairs)
                if way == "forward":
                    numbers[f"{what}/of_bandwidth"] = statistics.median(one["moved"] / t / p["copy"] for t, p in pairs)
                if not name.startswith("zoetrope"):
                    for rival, own in mine.items():
                        ratios = (a / b for a, b in zip(one[way], own[way], strict=True))
                        against = what if rival == "zoetrope" else f"{what}, against {rival}"
                        numbers[f"{against}/times"] = statistics.median(ratios)
            if "memory_mib" in one:
                numbers[f"{name}, forward + backward/bytes"] = one["memory_mib"] * 2**20
                if not name.startswith("zoetrope"):
                    numbers[f"{name}, forward + backward/times_bytes"] = (
                        one["memory_mib"] / mine["zoetrope"]["memory_mib"]
                    )
        return numbers, raw

    def sampling(self) -> tuple[Numbers, Any]:
        """A video of the first stage, and one of the whole cascade, networks in memory."""
        here, stages = self.here, self.stages
        networks = [network_of(stage, here) for stage in stages]
        base, until = f"sampling {stages[0].name}", f"sampling the cascade until {stages[-1].name}"
        runs = {
            base: lambda: sample(stages[0], networks[0], here),
            until: lambda: run_cascade(stages, networks, here),
        }
        took, probes = self.turns(runs)
        tallies = [sampling(stage, here.dtype, device=here.device).whole for stage in stages]
        numbers = dict(self.fractions(base, took[base], probes, tallies[0]))
        numbers.update(self.fractions(until, took[until], probes, sum(tallies[1:], tallies[0])))
        return numbers, {"seconds": took, "probes": probes}

    def training(self) -> tuple[Numbers, Any]:
        """Whole steps of training on one batch."""
        stage, what = self.stages[0], f"training {self.stages[0].name}, batches of {BATCH}"
        took, probes = self.turns({what: learning(stage, self.here, BATCH)})
        [(_, tally, _)] = training(stage, lesson(BATCH), self.here.dtype).phases
        numbers = dict(self.fractions(what, took[what], probes, tally))
        numbers[f"{what}/examples_per_second"] = BATCH / numbers[f"{what}/seconds"]
        return numbers, {"seconds": took, "probes": probes}

    def memory(self) -> tuple[Numbers, Any]:
        """What sampling each stage, and training the first, adds to a fresh process at its peak."""
        numbers: dict[str, float] = {}
        cases = [("sampling", stage) for stage in self.stages] + [("training", self.stages[0])]
        for verb, stage in cases:
            command = [sys.executable, __file__, *self.words(), "--memory-of", verb, stage.name]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            held = json.loads(done.stdout.splitlines()[-1])
            if held is None:
                print("memory: left out, it is measured on Linux and on GPUs", file=sys.stderr)
                return {}, None
            what = f"{verb} {stage.name}" + (f", batches of {BATCH}" if verb == "training" else "")
            numbers[f"{what}/bytes"] = held
            numbers[f"{what}/of_memory"] = held / memory_of(self.here)
        return numbers, numbers

    def words(self) -> list[str]:
        """The options that another process needs to run the same."""
        words = ["--device", self.here.device.type, "--threads", str(torch.get_num_threads())]
        words += ["--dtype", next(name for name, dtype in DTYPES.items() if dtype == self.here.dtype)]
        return [*words, *(["--quick"] if self.options.quick else [])]

    def memory_here(self, verb: str, name: str) -> int | None:
        """Bytes that sampling a stage, or training it on two batches, adds to this process."""
        stage, here = next(stage for stage in self.stages if stage.name == name), self.here
        short = stage.with_(sampling=stage.sampling.with_(steps=1))
        if verb == "sampling":
            sample(short, network_of(short, here), here)  # libraries set themselves up at the first use
            return here.held(lambda: sample(short, network_of(short, here), here))
        probe(here)

        def twice() -> None:
            learn = learning(stage, here, BATCH)
            learn()
            learn()

        return here.held(twice)

    def startup(self) -> tuple[Numbers, Any]:
        """Fresh interpreters: an empty one, one that imports the package, one that prints the help."""
        cases = {"import zoetrope": startup.IMPORT, "zoetrope --help": startup.HELP}
        startup.run(startup.HELP)  # the disk's cache is warm after it
        took: dict[str, list[float]] = {name: [] for name in ("python -c pass", *cases)}
        for _ in range(self.repetitions):
            for name, code in {"python -c pass": startup.NOTHING, **cases}.items():
                took[name].append(startup.seconds(code, self.here.clock))
        numbers = {f"{name}/seconds": statistics.median(times) for name, times in took.items()}
        for name in cases:
            ratios = (a / b for a, b in zip(took[name], took["python -c pass"], strict=True))
            numbers[f"{name}/times_python"] = statistics.median(ratios)
        return numbers, took


def _shortened(spec: CascadeSpec) -> tuple[StageSpec, ...]:
    """The first two stages with few steps, for `--quick`."""
    return tuple(stage.with_(sampling=stage.sampling.with_(steps=QUICK_STEPS)) for stage in spec.stages[:2])


def commit() -> str:
    """The commit that is checked out, with a + if files differ from it; "" outside of a repository."""
    try:
        git = ["git", "-C", str(ROOT)]
        name = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], check=True, capture_output=True, text=True)
        differs = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return name.stdout.strip() + ("+" if differs.stdout.strip() else "")


def plot(numbers: Numbers, file: Path) -> None:
    """Bars: the fractions of the machine's peaks, and how many times as long and as much memory peers take."""
    try:
        import matplotlib

        matplotlib.use("agg")
        import matplotlib.pyplot as plt
    except ModuleNotFoundError:
        print("plot: left out, matplotlib is not installed", file=sys.stderr)
        return
    panels = {
        "part of the machine's peak": ("of_peak", "of_bandwidth"),
        "times ours": ("times", "times_bytes"),
    }
    figure, axes = plt.subplots(1, len(panels), figsize=(14, 0.4 * len(numbers) / 3 + 2), layout="constrained")
    for axis, (title, quantities) in zip(axes, panels.items(), strict=True):
        rows = list(dict.fromkeys(n.rpartition("/")[0] for n in numbers if n.rpartition("/")[2] in quantities))
        for offset, quantity in enumerate(quantities):
            places = [row + 0.4 * offset for row in range(len(rows))]
            values = [numbers.get(f"{row}/{quantity}", 0) for row in rows]
            axis.barh(places, values, height=0.4, label=QUANTITIES[quantity][0])
        axis.set_yticks([row + 0.2 for row in range(len(rows))], rows)
        axis.invert_yaxis()
        axis.set_title(title)
        if rows:
            axis.legend()
        else:
            axis.axis("off")
    figure.savefig(file, dpi=120)
    plt.close(figure)


def write(folder: Path, about: dict[str, Any], numbers: Numbers, raw: dict[str, Any]) -> None:
    """results.json, table.md and plot.png; a file is there as a whole or as it was before."""
    folder.mkdir(parents=True, exist_ok=True)
    head = ", ".join(f"{key}: {value}" for key, value in {**about, **about["machine"]}.items() if key != "machine")
    value = {**about, "numbers": numbers, "raw": raw}
    for name, text in (
        ("results.json", json.dumps(value, indent=1) + "\n"),
        ("table.md", f"{head}\n\n{table(numbers)}\n"),
    ):
        part = folder / (name + ".part")
        part.write_text(text, "utf-8")
        os.replace(part, folder / name)
    plot(numbers, folder / "plot.png")


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one repetition of little, to see that all goes through")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--repetitions", type=positive, default=7)
    parser.add_argument("--device", choices=("cpu", "cuda"), help="[cuda if there is one]")
    parser.add_argument("--dtype", choices=DTYPES, help="what networks compute in [what training would choose]")
    parser.add_argument("--threads", type=positive, help="of a CPU [all cores]")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: for a busy machine, with --threads 1")
    parser.add_argument("--peers", metavar="PYTHON", help="the Python that has the peers installed [this one]")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="folder of the results [runs/bench]")
    parser.add_argument("--history", type=Path, default=HISTORY)
    parser.add_argument("--no-history", action="store_true", help="compare, but add no entry")
    parser.add_argument("--tolerance", type=float, default=0.1, help="changes beyond it are flagged [0.1]")
    parser.add_argument("--memory-of", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure, write, compare."""
    options = arguments()
    if options.threads:
        torch.set_num_threads(options.threads)
    suite = Suite(options)
    if options.memory_of:
        print(json.dumps(suite.memory_here(*options.memory_of)))
        return
    about = described(suite.here) | {"quick": options.quick, "model": suite.model, "commit": commit()}
    about["date"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    peaks = probe(suite.here)
    numbers: dict[str, float] = {f"{name}/per_second": peaks[name] for name in PROBES}
    raw: dict[str, Any] = {}
    for part in options.only:
        print(f"{part} ...", file=sys.stderr, flush=True)
        found, raw[part] = getattr(suite, part)()
        for name, value in found.items():
            numbers[name] = value
    write(options.out, about, numbers, raw)
    print(table(numbers))
    print()
    print(told(changes(read_history(options.history), about, numbers, options.tolerance), options.tolerance))
    if not options.no_history:
        add_entry(options.history, {**about, "numbers": numbers})


if __name__ == "__main__":
    main()
