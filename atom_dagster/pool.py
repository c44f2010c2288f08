"""The pool in which loads queue, claimed by a step for only as long as it loads.

Belongs here: the one slot of the writer's pool, by hand. Does not belong here: the lock that makes
writing safe (``warehouse``): the pool only makes the queue visible.

Dagster claims a step's pool for the whole step, and a pull may take hours in which others could
load. Two steps, a pull that hands over to a load (a graph-backed asset), would hold the pool only
for the load, but then a run re-executed from its failure would skip the pull: the months that failed
because their source did would never be asked for again, and what was handed over in memory would be
gone. So a step that pulls stays one step, queues in its source's pool, and claims a slot of the
writer's pool here.

All steps that pull do so. In a run whose steps go one after the other, a slot that Dagster has assigned to
a step that is not yet begun would never be given back while another step of that run waits for it here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from dagster._core.instance.config import PoolConfig, PoolGranularity

from atom_dagster import progress
from atom_dagster.instance import RECOVER_S, recover

WRITER_POOL = "duckdb_writer"
WAIT_S = 0.5
"""Seconds between two looks at the queue."""
WAITING = "waiting for the writer's pool (s)"
"""What is told while a load waits, with the seconds."""


@contextmanager
def writer_slot(context: dg.AssetExecutionContext, step: str) -> Iterator[None]:
    """A slot of the writer's pool for the length of a ``with`` block; waits for one.

    Whoever ends the run frees the slot, as one that Dagster claimed. An instance without limits has no
    queue.
    """
    storage, run_id, holder = context.instance.event_log_storage, context.run.run_id, f"{step} (load)"
    config = storage.get_pool_config()
    is_limited = WRITER_POOL in {pool.name for pool in storage.get_pool_limits()}
    if not is_limited and config.default_pool_limit is not None:
        is_limited = storage.initialize_concurrency_limit_to_default(WRITER_POOL)
    if not is_limited or not _queues_steps(config):
        yield
        return
    try:
        waited = 0
        began = looked = time.monotonic()
        while not storage.claim_concurrency_slot(WRITER_POOL, run_id, holder).is_claimed:
            waited = int(time.monotonic() - began) + 1
            progress.report(WAITING, waited)
            if time.monotonic() - looked >= RECOVER_S:
                # Whoever holds the slot may have been killed, and then nobody else would give it back.
                recover(context.instance)
                looked = time.monotonic()
            time.sleep(WAIT_S)
        if waited:
            progress.report(WAITING, waited, waited)
        yield
    finally:
        storage.free_concurrency_slot_for_step(run_id, holder)


def _queues_steps(config: PoolConfig) -> bool:
    """Whether the instance's pools hold back steps, rather than whole runs."""
    return config.pool_granularity is not PoolGranularity.RUN
