"""What a process may take of main memory, as the system tells it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from zoetrope.cascade.room import allowed, available, installed

GB = 10**9


def system(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_what_is_there() -> None:
    assert 0 < available() <= installed()


def test_memory_that_is_free(tmp_path: Path) -> None:
    root = system(tmp_path, {"proc/meminfo": "MemTotal: 8000000 kB\nMemAvailable: 3000000 kB\n"})
    assert available(root) == 3_072_000_000 and allowed(root) is None
    assert available(tmp_path / "elsewhere") == installed()  # a system that does not tell


V2 = {
    "proc/self/cgroup": "0::/user/job\n",
    "sys/fs/cgroup/user/job/memory.max": "max\n",
    "sys/fs/cgroup/user/job/memory.current": f"{GB}\n",
    "sys/fs/cgroup/user/job/memory.stat": "anon 5\ninactive_file 7\n",
    "sys/fs/cgroup/user/memory.max": f"{4 * GB}\n",  # the group above has the limit
    "sys/fs/cgroup/user/memory.current": f"{3 * GB}\n",
    "sys/fs/cgroup/user/memory.stat": f"anon 5\ninactive_file {GB}\n",
}
V1 = {
    "proc/self/cgroup": "5:cpu,cpuacct:/job\n4:memory:/job\n",
    "sys/fs/cgroup/memory/job/memory.limit_in_bytes": f"{4 * GB}\n",
    "sys/fs/cgroup/memory/job/memory.usage_in_bytes": f"{3 * GB}\n",
    "sys/fs/cgroup/memory/job/memory.stat": f"cache 9\ntotal_inactive_file {GB}\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2**63 - 4096}\n",  # none
}
INSIDE = {  # a container that sees its own group as the root of all
    "proc/self/cgroup": "0::/../../docker/abc\n",
    "sys/fs/cgroup/memory.max": f"{4 * GB}\n",
    "sys/fs/cgroup/memory.current": f"{2 * GB}\n",
    "sys/fs/cgroup/memory.stat": "inactive_file 0\n",
}


@pytest.mark.parametrize("files", [V2, V1, INSIDE], ids=["v2", "v1", "inside"])
def test_limits_of_containers(tmp_path: Path, files: dict[str, str]) -> None:
    root = system(tmp_path, {**files, "proc/meminfo": "MemAvailable: 64000000 kB\n"})
    assert allowed(root) == available(root) == 2 * GB
    system(tmp_path, {name: f"{9 * GB}\n" for name in files if name.endswith(("current", "usage_in_bytes"))})
    assert allowed(root) == 0  # more is taken than may be


def test_groups_that_do_not_tell(tmp_path: Path) -> None:
    assert allowed(system(tmp_path, {"proc/self/cgroup": "0::/gone\n3:pids:/x\n"})) is None


LIMITED = """
import resource, sys
from pathlib import Path
import torch
from zoetrope.cascade.execution.layout import plan_layout
from zoetrope.cascade.room import allowed
from zoetrope.cascade.sample import Draw, sample_stage
from zoetrope.cascade.spec import SamplingSpec, StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.shapes import VideoShape

size = next(1024 * int(row.split()[1]) for row in open("/proc/self/status") if row.startswith("VmSize"))
resource.setrlimit(resource.RLIMIT_AS, (size + 600_000_000, resource.RLIM_INFINITY))
assert 590_000_000 < allowed() <= 600_000_000
network = VideoUNetConfig(text_width=8, embedding=16, head=8, levels=(Level(width=int(sys.argv[1]), convolution=True),))
shape = VideoShape(frames=8, height=int(sys.argv[2]), width=512, fps=8)
stage = StageSpec(name="base", shape=shape, network=network, sampling=SamplingSpec(steps=1))
try:
    made = list(sample_stage(stage, network.build().eval(), Conditioning(), None, Draw(seed=0, samples=[0])))
    print("made", tuple(made[-1].shape))
except ValueError as error:
    print(error)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no other system limits address space")
def test_a_limit_of_the_shell_is_kept_to_or_named() -> None:
    def run(width: int, height: int) -> str:
        program = [sys.executable, "-c", LIMITED, str(width), str(height)]
        # glibc reserves 64 MB of addresses for each thread that allocates, whenever that is.
        env = {**os.environ, "MALLOC_ARENA_MAX": "1"}
        done = subprocess.run(program, capture_output=True, text=True, cwd=Path(__file__).parents[2], env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    resource = pytest.importorskip("resource")
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
    assert run(32, 512) == "made (1, 3, 8, 512, 512)"
    refused = run(32, 8192)
    assert refused.startswith("memory: stage 'base' (8x8192x512@8fps) needs ") and "in its smallest tiles" in refused
