"""A complete archive's snapshot that lost models is judged alike in whatever order months are filled."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import permutations

import pytest

from atom_dagster.settings import Archive
from atom_dagster.sources import Shrunk
from atom_dagster.sources.archive_listing import Snapshot
from atom_dagster.sources.archive_shrink import LOOK_BACK, Size, before, judged, may_follow, rows_of
from tests.unit._archive import PATH, columns, parquet
from tests.unit._loopback import Asked, Clock, Loopback, Reply, endpoints

FIRST = date(2026, 3, 4)


def weeks(*rows: int | None) -> tuple[dict[date, Snapshot], dict[date, int | None]]:
    days = [FIRST + timedelta(weeks=week) for week in range(len(rows))]
    return (
        {day: Snapshot(day, f"models/{day}/models.parquet", 1) for day in days},
        dict(zip(days, rows, strict=True)),
    )


def filled(
    order: list[list[date]],
    listed: dict[date, Snapshot],
    rows: dict[date, int | None],
    accepted: frozenset[date] = frozenset(),
) -> dict[date, dict[str, int] | None]:
    """What is decided of each day when they are pulled group by group; None of one that was refused."""
    landed: dict[date, Size] = {}
    decided: dict[date, dict[str, int] | None] = {}
    for group in order:
        for day in sorted(group):
            found = rows[day]
            if found is None:
                continue
            earlier = before(
                listed[day], listed, landed, landed.get, lambda one: rows[one.folder_date], accepted
            )
            try:
                facts = judged(found, earlier, listed[day], accepted)
            except Shrunk:
                decided[day] = None
            else:
                decided[day] = facts
                landed[day] = Size(found, facts.get("rows_before_shrink"))
    return decided


@pytest.mark.parametrize(
    ("rows", "refused"),
    [
        ((100, 110, 40, 120), [2]),
        ((100, 40, 45, 120), [1, 2]),
        ((100, None, 49, 50), [2]),
        ((100, 60, 31, 16), []),
    ],
)
def test_in_every_order_the_same_snapshots_are_refused(
    rows: tuple[int | None, ...], refused: list[int]
) -> None:
    listed, told = weeks(*rows)
    days = list(listed)
    for order in permutations([[day] for day in days]):
        decided = filled(list(order), listed, told)
        assert [days.index(day) for day in sorted(decided) if decided[day] is None] == refused, order
    assert filled([days], listed, told) == filled([[day] for day in reversed(days)], listed, told)


def test_an_accepted_shrink_lasts_until_the_archive_has_grown_back() -> None:
    listed, told = weeks(100, 40, 45, 22, 50, 120)
    days = list(listed)
    accepted = frozenset({days[1], days[3]})
    decided = filled([days], listed, told, accepted)
    assert [decided[day] for day in days] == [
        {},
        {"shrink_accepted_from_rows": 100, "rows_before_shrink": 100},
        {"rows_before_shrink": 100},
        {"shrink_accepted_from_rows": 45, "rows_before_shrink": 100},
        {},
        {},
    ]
    backwards = filled([[day] for day in reversed(days)], listed, told, accepted)
    assert backwards == decided


def test_no_more_than_two_months_of_weeks_are_asked_for() -> None:
    listed, _ = weeks(*[100] * 30)
    asked: list[date | None] = []

    def rows(one: Snapshot) -> int:
        asked.append(one.folder_date)
        return 100

    assert before(listed[max(listed)], listed, {}, lambda _: None, rows, ()) == Size(100)
    assert asked == sorted(listed)[-1 - LOOK_BACK : -1]


def test_a_selection_is_not_judged(server: Loopback) -> None:
    listed, _ = weeks(1, 2)
    several = list(listed.values())
    assert may_follow(Archive(server.url, "a/b", "selection", "observed_on"), several, 7) == {}
    assert may_follow(Archive(server.url, "a/b", "complete", "observed_on"), several, 7) == listed


def test_the_rows_of_a_file_are_read_from_its_end(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    body = parquet(columns(likes=[5, 6, 7]))
    source = Archive(server.url, "owner/weekly", "complete", "week_start")
    world = endpoints(server.url, archives=(source,))

    def answer(asked: Asked) -> Reply:
        start = int(asked.headers["range"][6:-1])
        span = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
        return Reply(body[start:], status=206, headers=span)

    server.answer = answer

    def rows(size: int | None) -> int | None:
        return rows_of(world, source, Snapshot(FIRST, PATH, size), Clock().patience())

    # A footer that is longer than what is asked for at first.
    monkeypatch.setattr("atom_dagster.sources.archive_shrink._TAIL", 64)
    assert rows(len(body)) == 3
    footer = int.from_bytes(body[-8:-4], "little") + 8
    assert [asked.headers["range"] for asked in server.asked] == [
        f"bytes={len(body) - 64}-", f"bytes={len(body) - footer}-"
    ]  # fmt: skip
    assert rows(None) is None, "its end cannot be asked for"
    body = body[:-4] + b"PAR0"
    assert rows(len(body)) is None
