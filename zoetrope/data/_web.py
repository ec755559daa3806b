"""Shards from the web and their indices, in a folder of the cache: downloaded, built, and checked for changes."""

import functools
import logging
import urllib.error
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from zoetrope.data._fetch import Refused, cached, fetch, forget, is_changed
from zoetrope.data._room import make_room
from zoetrope.data._tar import SUFFIX, Index, index_of, not_a_tar, not_an_index, read_index
from zoetrope.data._unused import Dropped

log = logging.getLogger(__name__)
TOGETHER = 8  # requests at a time


class Web(NamedTuple):
    """The folder that shards from the web are kept in, and how many bytes of them; None for as many as it can hold."""

    folder: Path
    most: int | None

    def shard(self, url: str, size: int | None = None) -> Path:
        """A shard, downloaded unless it is here. Raises ValueError if it cannot be had, or is not of `size` bytes."""
        room = functools.partial(make_room, folder=self.folder, most=self.most, keep=_partial(cached(url, self.folder)))
        return fetch(url, self.folder, not_a_tar, room, size)

    def index_for(self, url: str) -> Index:
        """The index of a shard, from beside it there; if it has none, the shard is downloaded, and it is made."""
        address = _index_address(url)
        path = cached(address, self.folder)
        if path.exists() and read_index(path) is None:
            forget(path)  # of another version of zoetrope
        if cached(url, self.folder).exists() and not path.exists():
            return self._made_index(url)  # as it was when the shard was downloaded
        room = functools.partial(make_room, folder=self.folder, most=self.most, keep=_partial(path))
        try:
            found = read_index(fetch(address, self.folder, not_an_index, room))
            if found is not None:
                return found
        except Refused as error:  # some servers say of what is not there that it is forbidden, or send a page
            log.info("%s; the shard is downloaded to make one", error)
        return self._made_index(url)

    def _made_index(self, url: str) -> Index:
        local = self.shard(url)
        made = index_of(local, local.with_name(f"{local.name}.local{SUFFIX}"))
        faults = tuple(Dropped(item.name, f"{item.reason} (downloaded to {local})") for item in made.faults)
        return made.with_(faults=faults)

    def indices(self, urls: Sequence[str]) -> list[Index | ValueError]:
        """The indices of shards, each as `index_for` gives it, or the error."""
        alone = self.most is not None  # so that none has to make room for another while it is read
        with ThreadPoolExecutor(1 if alone else TOGETHER) as pool:
            return list(pool.map(self._index_or_error, urls))

    def refresh(self, urls: Sequence[str]) -> None:
        """Delete downloads that have changed on the server; if it does not answer, they are used as they are."""
        known = [(url, cached(url, self.folder)) for own in urls for url in (_index_address(own), own)]
        known = [(url, path) for url, path in known if path.exists()]
        with ThreadPoolExecutor(TOGETHER) as pool:
            for some in (known[k : k + TOGETHER] for k in range(0, len(known), TOGETHER)):
                answers = list(pool.map(_changed_or_error, *zip(*some, strict=True)))
                for (url, path), answer in zip(some, answers, strict=True):
                    if isinstance(answer, urllib.error.HTTPError):
                        log.warning(
                            "%s: HTTP %d %s; what was downloaded before is used", url, answer.code, answer.reason
                        )
                    elif answer is True:
                        _replace(url, path)
                silent = [(url, answer) for (url, _), answer in zip(some, answers, strict=True) if _silent(answer)]
                if silent:
                    log.warning("%s: %s; what was downloaded before is used", *silent[0])
                    return

    def _index_or_error(self, url: str) -> Index | ValueError:
        try:
            return self.index_for(url)
        except ValueError as error:
            return error


def _replace(url: str, path: Path) -> None:
    """Delete a copy that is out of date, where that can be."""
    try:
        forget(path)
        log.info("%s: has changed since it was downloaded", url)
    except OSError as error:
        log.warning("%s: has changed, but %s cannot be replaced (%s) and is used", url, path, error.strerror)


def _index_address(url: str) -> str:
    where, sign, query = url.partition("?")
    return f"{where}{SUFFIX}{sign}{query}"


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


def _changed_or_error(url: str, path: Path) -> bool | OSError:
    try:
        return is_changed(url, path)
    except OSError as error:
        return error


def _silent(answer: bool | OSError) -> bool:
    """Whether there was no answer."""
    return isinstance(answer, OSError) and not isinstance(answer, urllib.error.HTTPError)
