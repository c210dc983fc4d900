"""A stage that is killed in the middle of its writing: the next try ends as if nothing had happened, byte for byte."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.release.nights_of_samples import assembly
from tests.release.shelves import nights, tree

from ultralink.release.shelf import Shelf
from ultralink.stages.release_card import write_card
from ultralink.stages.release_decontaminate import decontaminate
from ultralink.stages.release_exact import drop_exact
from ultralink.stages.release_export import export
from ultralink.stages.release_features import measure_samples
from ultralink.stages.release_near import drop_near
from ultralink.stages.release_plan import plan_release
from ultralink.stages.release_publish import publish_release
from ultralink.stages.release_split import split_rows
from ultralink.store import Store

KILLS = 5  # per stage, at moments that are spread over all that it writes
_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.chmod"}
_CREATED = re.compile(rb'"created": "[^"]*"')


def stages(root: Path) -> Iterator[tuple[str, Callable[[int], object]]]:
    """All stages of a run in order, each to be called with the number of the try."""

    def of_run(stage: Callable[..., object], attempt: int, *, number: int | None = None) -> object:
        run = assembly(root, attempt=attempt)
        return stage(run) if number is None else stage(run, number)

    for stage, numbers in (
        (plan_release, None),
        (measure_samples, 2),
        (drop_exact, None),
        (drop_near, None),
        (decontaminate, 2),
        (split_rows, None),
        (export, 8),
        (write_card, None),
        (publish_release, None),
    ):
        if numbers is None:
            yield stage.__name__, partial(of_run, stage)
        else:
            yield from ((f"{stage.__name__}[{n}]", partial(of_run, stage, number=n)) for n in range(numbers))


def in_a_process(root: Path, stage: Callable[[int], object], *, kill_at: int | None = None) -> int:
    """How often ``stage`` changed a name below ``root`` in a process of its own, which ends with the change given."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        changes = 0

        def seen(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal changes
            writes = event in _CHANGES or (
                event == "open" and isinstance(arguments[1], str) and "r" not in arguments[1]
            )
            if writes and str(arguments[0]).startswith(str(root)):
                changes += 1
                if changes == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(seen)
        try:
            stage(1)
            os.write(writing, str(changes).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        said = told.read()
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1]) is (kill_at is not None)
    return int(said or 0)


def content(root: Path) -> dict[str, bytes]:
    """All files of the store but those that are half-written; of a release without the minute of its publishing."""
    return {
        path: _CREATED.sub(b"", data) if path.endswith("release.json") else data
        for path, data in tree(root).items()
        if not path.endswith(".tmp")
    }


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forks of this process")
def test_whatever_is_killed_the_next_try_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # outlives a power cut, not needed to outlive a process
    root = tmp_path / "store"
    store = Store.at(str(root))
    nights(store, each=3)
    for name, stage in stages(root):
        if name.endswith("]") and not name.endswith("[0]"):  # one task of a stage is as good as another
            stage(1)
            continue
        before, after = tmp_path / f"before {name}", tmp_path / f"after {name}"
        shutil.copytree(root, before, symlinks=True)
        changes = in_a_process(root, stage)
        shutil.copytree(root, after, symlinks=True)
        expected = content(root)
        assert changes, name
        kills = 2 if name == "write_card" else KILLS  # which takes its time
        for moment in sorted({1 + changes * number // kills for number in range(kills)}):
            shutil.rmtree(root)
            shutil.copytree(before, root, symlinks=True)
            in_a_process(root, stage, kill_at=moment)
            assert all(list(Shelf(store).verify(version)) == [] for version in Shelf(store).versions())
            stage(2)
            assert content(root) == expected, f"{name} killed at change {moment} of {changes}"
        shutil.rmtree(root)
        shutil.copytree(after, root, symlinks=True)
    assert list(Shelf(store).verify("latest")) == []
