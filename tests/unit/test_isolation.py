"""One test leaves nothing of Dagster's behind for the next; the two below run in this order."""

from __future__ import annotations

import gc
from pathlib import Path

import dagster as dg
from dagster._core.storage.defs_state.base import DefsStateStorage, set_defs_state_storage

LEFT_OPEN: list[object] = []


@dg.asset
def nothing() -> None: ...


def test_an_instance_is_left_open_and_is_gone(tmp_path: Path):
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        storage = instance.defs_state_storage
    del instance
    opened = set_defs_state_storage(storage)
    opened.__enter__()
    LEFT_OPEN.append(opened)  # closed when it is collected
    gc.collect()
    assert DefsStateStorage.get() is storage


def test_the_next_test_does_not_ask_it():
    assert DefsStateStorage.get() is None
    assert dg.materialize([nothing]).success
