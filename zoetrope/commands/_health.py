"""Checks of what `generate` and `train` need from a machine: failures are problems or notes, with remedies."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOM = 50_000_000
"""Free bytes that a disk should have for videos."""
SPACE = 1_200_000_000
"""Bytes of addresses that the first stage of the shipped model takes."""
SHARED = 64_000_000
"""Bytes of /dev/shm below which workers pass batches in other ways."""
OPEN_FILES = 256
_LIMIT = "/sys/fs/cgroup/memory.max"


class Finding(NamedTuple):
    """A problem; if `fatal`, generating a video with the shipped model would fail."""

    told: str
    fatal: bool = True


def findings(writes: dict[str, Any], cache: dict[str, Any]) -> Iterator[Finding]:
    """All problems; `writes` and `cache` describe encoders and the cache, as far as they could be told."""

    def unwritable() -> Iterator[Finding]:
        return (Finding(f"cannot write .{suffix}: {why}") for suffix, why in _unwritable(writes))

    checks: list[Callable[[], Iterator[Finding]]] = [unwritable, _models, _device, _folder, _memory, _shared, _files]
    for check in checks:
        try:
            yield from check()
        except (ValueError, OSError, RuntimeError, ImportError) as error:
            yield Finding(first_line(error))
    if not cache.get("writable", True):
        told = (
            f"cannot write to the cache folder {cache['folder']}; nothing is kept there, unless ZOETROPE_CACHE is set"
        )
        yield Finding(told, fatal=False)


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _unwritable(writes: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The suffixes of files that cannot be written, and why; each is tried with two frames."""
    import numpy as np

    from zoetrope.video import Video

    video = Video(np.zeros((2, 32, 32, 3), np.uint8), 2.0)
    for suffix, codec in writes.items():
        if codec is None:
            yield suffix, f"{_without_encoder()}; pip install --force-reinstall av"
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                video.save(f"{folder}/a_%04d.png" if suffix == "png" else f"{folder}/a.{suffix}")
            except (ValueError, OSError, RuntimeError) as error:
                yield suffix, str(error).partition("\n")[0]


def _without_encoder() -> str:
    """Why PyAV does not write a format."""
    try:
        import av  # noqa: F401 - whether it is there
    except ImportError as error:
        return f"PyAV cannot be imported ({first_line(error)})"
    return "PyAV has no encoder for it"


def _models() -> Iterator[Finding]:
    """The weights of every shipped model, and the encoder that reads its prompts."""
    from zoetrope.models.finding import shipped
    from zoetrope.models.opening import open_model
    from zoetrope.text import TextEncoder

    if not shipped():
        yield Finding("no model comes with this installation; install the package again")
    encoders: dict[TextEncoder, list[str]] = {}
    for name in shipped():
        model = open_model(name)
        model.check(model.spec.stages)
        if model.spec.text is not None:
            encoders.setdefault(model.spec.text, []).append(name)
    for encoder, names in encoders.items():
        if missing := absent(encoder):
            yield Finding(f"text encoder {encoder.kind()} of {', '.join(names)}: {missing}")
        else:
            encoder.load()(["a red star"])


def absent(encoder: Any) -> str:
    """What is missing for an encoder, "" if its files are here; nothing is downloaded."""
    from zoetrope.text import minilm

    if isinstance(encoder, minilm.MiniLM) and (encoder.path is not None or minilm.packaged() is not None):
        return ""
    name = minilm.HUB if isinstance(encoder, minilm.MiniLM) else getattr(encoder, "model", None)
    if name is None or Path(os.path.expanduser(name)).is_dir() or in_hub_cache(name):
        return ""
    helps = minilm.REMEDY if name == minilm.HUB else "be online when it is first used"
    return f"{name} is not here; {helps}"


def in_hub_cache(name: str) -> bool:
    """Whether a model of the hub has been downloaded."""
    from huggingface_hub import try_to_load_from_cache

    from zoetrope.pretrained import REVISIONS

    return isinstance(try_to_load_from_cache(name, "config.json", revision=REVISIONS.get(name)), str)


def _device() -> Iterator[Finding]:
    """Whether the default device can compute."""
    import torch

    from zoetrope.commands._options import device_named

    device = device_named(None)
    try:
        ok = bool((torch.ones(8, 8, device=device) @ torch.ones(8, 8, device=device)).eq(8).all())
    except RuntimeError as error:
        yield Finding(f"{device}: {str(error).strip().partition(chr(10))[0]}; --device cpu does without it")
    else:
        if not ok:
            yield Finding(f"{device}: gives wrong results; --device cpu does without it")


def _folder() -> Iterator[Finding]:
    """Whether the current folder, where videos go by default, is writable."""
    here = Path.cwd()
    try:
        with tempfile.NamedTemporaryFile(dir=here) as file:
            file.write(bytes(2**16))
    except OSError as error:
        yield Finding(f"cannot write in the current folder {here} ({error.strerror}); name another place with --out")
        return
    if (free := shutil.disk_usage(here).free) < ROOM:
        yield Finding(f"the disk of {here} has {free / 1e6:.0f} MB free; make room or name another place with --out")


def _memory() -> Iterator[Finding]:
    """The limits on this process's memory."""
    limits = {"the limit on addresses (ulimit -v)": _limit("RLIMIT_AS"), f"the limit in {_LIMIT}": _cgroup()}
    for name, limit in limits.items():
        if limit is not None and limit < SPACE:
            yield Finding(f"{name} is {limit / 1e6:.0f} MB; raise it to {SPACE / 1e6:.0f} MB or more")


def _shared() -> Iterator[Finding]:
    """The shared memory through which processes pass batches."""
    place = Path("/dev/shm")
    if place.is_dir() and (free := shutil.disk_usage(place).free) < SHARED:
        told = f"/dev/shm has {free / 1e6:.0f} MB free; training with workers is slower than with more"
        yield Finding(f"{told} (in a container: --shm-size=1g)", fatal=False)


def _files() -> Iterator[Finding]:
    """The limit on open files: workers of a training open many."""
    limit = _limit("RLIMIT_NOFILE")
    if limit is not None and limit < OPEN_FILES:
        yield Finding(f"only {limit} files may be open at once; ulimit -n 1024 gives a training more", fatal=False)


def _limit(name: str) -> int | None:
    """A resource limit of this process, None if there is none."""
    try:
        import resource
    except ImportError:  # not a Unix
        return None
    soft, _ = resource.getrlimit(getattr(resource, name))
    return None if soft == resource.RLIM_INFINITY else soft


def _cgroup() -> int | None:
    """The container's memory limit, None if there is none."""
    try:
        told = Path(_LIMIT).read_text().strip()
    except OSError:
        return None
    return int(told) if told.isdigit() else None


def writable(folder: Path) -> bool:
    """Whether a folder, or its nearest existing parent, is writable."""
    near = next(place for place in (folder, *folder.parents) if place.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=near) as file:
            file.write(bytes(2**16))
        return os.access(near, os.W_OK)
    except OSError:
        return False
