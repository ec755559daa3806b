"""Heartbeats between processes that work together: if one stops or is lost, the others end and say why.

Otherwise a process that waits for another in the middle of a step would hang for hours.
"""

import atexit
import logging
import os
import threading

from torch.distributed.distributed_c10d import PrefixStore, _get_default_store

log = logging.getLogger(__name__)
BEAT, SILENT = 2.0, 60.0  # seconds between heartbeats, and without one until a process counts as lost
GRACE = 20.0  # seconds for this process to end by itself and save what it can


class Heartbeat:
    """Sends this process's heartbeat and watches those of the others, until `end`."""

    def __init__(self, rank: int, world: int):
        """Every process of the default group must make one."""
        self.rank, self.others = rank, [other for other in range(world) if other != rank]
        self._store = PrefixStore("heartbeat", _get_default_store())
        self._store.add(f"beat {rank}", 1)
        self.orphaned = False  # whether torchrun is gone
        self._over, self._leaves = threading.Event(), False
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        atexit.register(self.end, leaves=False)  # querying the store during shutdown would abort

    def end(self, *, leaves: bool = True) -> None:
        """Stop the heartbeat. With `leaves` the others no longer expect one."""
        atexit.unregister(self.end)
        self._leaves = leaves
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        seen, silent = dict.fromkeys(self.others, 0), dict.fromkeys(self.others, 0.0)
        try:
            while not self._over.wait(BEAT):
                self._store.add(f"beat {self.rank}", 1)
                for other in self.others:
                    # Counted in polls, not by a clock: if all processes are suspended and resumed, all were silent.
                    beats = self._store.add(f"beat {other}", 0)
                    silent[other] = silent[other] + BEAT if beats == seen[other] and not self._left(other) else 0.0
                    seen[other] = beats
                    if silent[other] >= SILENT and beats:
                        self._give_up(f"process {other} has given no sign of life for {SILENT:.0f} s: it is stopped")
            if self._leaves:
                self._store.add(f"left {self.rank}", 1)
        except RuntimeError:  # the store's host is gone: torchrun, or else the leading process
            if not self._over.is_set() and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
                self.orphaned = True
                log.error("process %d ends after this step, because torchrun, which began it, is gone", self.rank)

    def _left(self, other: int) -> bool:
        return self._store.add(f"left {other}", 0) > 0

    def _give_up(self, reason: str) -> None:
        log.error("process %d ends, because %s", self.rank, reason)
        if not self._over.wait(GRACE):
            os._exit(1)
