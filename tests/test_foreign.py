"""Kinds by name: one class a file in the folders, others by dotted name and entry point, and nothing untrusted."""

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import zoetrope
from zoetrope.cascade.spec import SamplingSpec
from zoetrope.config import Kind, expect_importable, packages_of
from zoetrope.config.foreign import GROUP, only, running_a_program, trusting
from zoetrope.data import Source
from zoetrope.data.toybox import Toybox
from zoetrope.models.cascade import Cascade
from zoetrope.networks import NetworkConfig
from zoetrope.recipes.mini import recipe
from zoetrope.samplers import Sampler
from zoetrope.samplers.ddim import DDIM

SHARP = """
from zoetrope.samplers.ddim import DDIM

class {name}(DDIM):
    eta: float = 0.0
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path in which packages can be put; what is imported of them is forgotten."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def write(folder: Path, **files: str) -> None:
    """Modules of the package `their_lab`."""
    package = folder / "their_lab"
    package.mkdir(exist_ok=True)
    for name, text in ({"__init__": ""} | files).items():
        (package / f"{name}.py").write_text(text)
    importlib.invalidate_caches()


def install(folder: Path, package: str, points: str) -> None:
    """The metadata of an installed package with entry points of our group."""
    at = folder / f"{package}-1.0.dist-info"
    at.mkdir()
    (at / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (at / "entry_points.txt").write_text(f"[{GROUP}]\n{points}\n")
    importlib.invalidate_caches()


def interfaces() -> list[type[Kind]]:
    """Every interface that has a folder, wherever in the package."""
    for module in pkgutil.walk_packages(zoetrope.__path__, "zoetrope."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return [kind for kind in Kind.__subclasses__() if "folder" in vars(kind)]


def test_every_file_in_a_folder_of_kinds_is_exactly_one_of_them() -> None:
    found = interfaces()
    assert len(found) >= 9
    for interface in found:
        classes = interface.every()  # which raises ValueError where there are none or two
        assert [kind.kind() for kind in classes] == interface.names()
        assert len(set(classes)) == len(classes) and not any(kind.is_foreign() for kind in classes)


def test_a_module_with_two_classes_or_none_names_no_kind(lab: Path) -> None:
    write(lab, two=SHARP.format(name="B") + SHARP.format(name="A"), none="from zoetrope.samplers.ddim import DDIM")
    with trusting("their_lab"):
        with pytest.raises(
            ValueError, match=r"their_lab\.two: expected one class in it that is a Sampler, got A and B"
        ):
            Sampler.named("their_lab.two")
        with pytest.raises(ValueError, match=r"their_lab\.none: expected one class .*, got none"):
            Sampler.named("their_lab.none")
    with pytest.raises(ValueError, match="expected one class in it that is a Sampler, got none"):
        only(importlib.import_module("zoetrope.samplers"), Sampler)


def test_dotted_names_are_classes_and_modules(lab: Path) -> None:
    write(lab, one=SHARP.format(name="Sharp"), __init__="from their_lab.one import Sharp")
    with trusting("their_lab"):
        sharp = Sampler.named("their_lab.one.Sharp")
        assert sharp is Sampler.named("their_lab.one") is Sampler.named("their_lab.Sharp")
        assert sharp.kind() == "their_lab.one.Sharp" and sharp.is_foreign() and issubclass(sharp, DDIM)
        spec = SamplingSpec.from_json({"sampler": {"type": "their_lab.Sharp", "eta": 0.5}})
        assert (
            SamplingSpec.from_json(spec.to_json()) == spec and SamplingSpec(sampler="their_lab.one").sampler == sharp()
        )
    assert spec.to_json()["sampler"] == {"type": "their_lab.one.Sharp", "sample": "x_hat", "eta": 0.5}
    assert packages_of(spec) == ("their_lab",) and packages_of(recipe(), {"a": [spec]}) == ("their_lab",)
    expect_importable(spec)
    changed = recipe().override("base.sampling.sampler", sharp(eta=0.25))
    assert changed.override("base.sampling.steps", 8).cascade.stages[0].sampling.sampler == sharp(eta=0.25)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("their_lab.one.Sharpe", "their_lab.one has no 'Sharpe'"),
        ("their_lab.other", "their_lab has no 'other'"),
        ("their_lab.one.Sharp.more", "their_lab.one.Sharp has no 'more'"),
        ("their_lab.one.DDIM", None),
        ("their_lab.broken.X", r"their_lab.broken cannot be imported \(ZeroDivisionError: division by zero\)"),
        (
            "their_lab.lacking.X",
            r"their_lab.lacking cannot be imported \(ModuleNotFoundError: No module named 'nope'\)",
        ),
        ("their_lab.one.np", "is a Sampler, got"),
        ("their_lab.data.Mine", "expected a class that is a Sampler, got <class"),
        ("nowhere.X", "no module 'nowhere' is found; install it or set PYTHONPATH"),
        ("zoetrope.samplers.ddim.DDIM", "unknown sampler 'zoetrope.samplers.ddim.DDIM'"),
        ("their_lab..one", "unknown sampler"),
        (".their_lab", "unknown sampler"),
        ("../their_lab.one", "unknown sampler"),
        ("their_lab.one:Sharp", "unknown sampler"),
    ],
)
def test_names_that_lead_to_nothing_say_so(lab: Path, name: str, told: str | None) -> None:
    mine = "from zoetrope.data.toybox import Toybox\nclass Mine(Toybox):\n    pass\n"
    sharp = SHARP.format(name="Sharp") + "np = 3\n"
    write(lab, one=sharp, broken="1 / 0", lacking="import nope", data=mine)
    with trusting("their_lab", "nowhere"):
        if told is None:
            assert Sampler.named(name) is DDIM  # an alias, which is written as what it is
            return
        with pytest.raises(ValueError, match=told) as caught:
            Sampler.named(name)
        assert "\n" not in str(caught.value)


def test_nothing_is_imported_before_the_check(lab: Path) -> None:
    write(lab, __init__="raise SystemExit('was run')", one=SHARP.format(name="Sharp"))
    refusal = (
        r"names code of the package 'their_lab' \('their_lab.one.Sharp'\), which would run; to allow it: --trust th"
    )
    for name in ("their_lab.one.Sharp", {"type": "their_lab.one.Sharp"}):
        with pytest.raises(ValueError, match=refusal):
            SamplingSpec.from_json({"sampler": name})
        with trusting("another"), pytest.raises(ValueError, match=refusal):
            SamplingSpec.from_json({"sampler": name})
    for name in ("os.path", "subprocess.Popen", "their_lab", "builtins.type"):
        with pytest.raises(ValueError, match=r"names code of the package|unknown sampler"):
            Sampler.named(name)
    assert "their_lab" not in sys.modules


def test_trust_ends_with_its_block_and_does_not_reach_other_threads(lab: Path) -> None:
    write(lab, one=SHARP.format(name="Sharp"))
    told: list[str] = []

    def elsewhere() -> None:
        try:
            Sampler.named("their_lab.one")
        except ValueError as error:
            told.append(str(error))

    with trusting("another"), trusting("their_lab"):
        other = Thread(target=elsewhere)
        other.start()
        other.join()
        assert Sampler.named("their_lab.one")
    elsewhere()
    with running_a_program():
        assert Sampler.named("their_lab.one")
        with trusting():  # a model that a program opens is not the program
            elsewhere()
    assert len(told) == 3 and all("--trust their_lab" in one for one in told)
    with (
        pytest.raises(ValueError, match=r"trust: expected the name of a package such as my_lab, got 'a\.b'"),
        trusting("a.b"),
    ):
        pass


@pytest.mark.parametrize("trust", ["my_lab", 3, None, [3], ("",), ("my_lab.samplers",)])
def test_trust_is_a_list_of_packages(trust: Any) -> None:
    with pytest.raises(ValueError, match=r"trust: expected .* such as .*my_lab"):
        Cascade.from_pretrained("mini", trust=trust)


def test_entry_points_are_short_names(lab: Path) -> None:
    write(lab, one=SHARP.format(name="Sharp"))
    install(lab, "their-lab", "sharp = their_lab.one:Sharp\nby_module = their_lab.one")
    with pytest.raises(ValueError, match=r"names code of the package 'their_lab' \('sharp'\)"):
        Sampler.from_json({"type": "sharp"})
    assert "their_lab" not in sys.modules
    with trusting("their_lab"):
        made = Sampler.from_json({"type": "sharp", "eta": 1})
        assert Sampler.named("by_module") is type(made)
    assert made.to_json() == {"type": "their_lab.one.Sharp", "sample": "x_hat", "eta": 1.0}


def test_entry_points_that_clash_are_errors_that_name_both(lab: Path) -> None:
    write(lab, one=SHARP.format(name="Sharp"))
    install(lab, "their-lab", "sharp = their_lab.one:Sharp\nddim = their_lab.one:Sharp")
    install(lab, "copy-of-it", "sharp = copy_of_it:Sharp")
    with pytest.raises(ValueError, match=r"'ddim' is both zoetrope.samplers.ddim and their_lab.one:Sharp of their-lab"):
        Sampler.from_json({"type": "ddim"})
    with trusting("their_lab"), pytest.raises(ValueError, match=r"'sharp' is both .*name the class in full") as caught:
        Sampler.named("sharp")
    assert "their_lab.one:Sharp of their-lab" in str(caught.value)
    assert "copy_of_it:Sharp of copy-of-it" in str(caught.value)
    assert Sampler.from_json({"type": "heun"}) and Source.from_json({"type": "toybox"}) == Toybox()
    assert NetworkConfig.from_json({"type": "video_unet"})


def test_with_gives_a_validated_copy() -> None:
    stage = recipe().cascade.stages[0]
    sampling = stage.sampling.with_(steps=7, sampler=DDIM())
    assert (sampling.steps, sampling.sampler, sampling.threshold) == (7, DDIM(), stage.sampling.threshold)
    assert stage.sampling.with_() == stage.sampling and hash(stage.with_()) == hash(stage)
    assert stage.with_(sampling={"steps": 3}).sampling.steps == 3
    with pytest.raises(ValueError, match=r"SamplingSpec: unknown field 'step'; did you mean 'steps'\?"):
        stage.sampling.with_(step=7)
    with pytest.raises(ValueError, match=r"steps: expected at least 1 and at most [0-9]+, got 0"):
        stage.sampling.with_(steps=0)
    with pytest.raises(ValueError, match=r"height: expected a multiple of [0-9]+, got 25"):
        stage.with_(shape=stage.shape.with_(height=25))
