"""The record of every pull: written once, found again, proof against kills."""

from __future__ import annotations

import gzip
import multiprocessing
import os
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from atom_dagster.landing import DRAFTS, Landing, LandingError, Pull
from tests.unit._loopback import NOW, at


def make(
    landing: Landing, *bodies: bytes, now: datetime = NOW, scope: str = "2026-05-23", **more: Any
) -> Pull:
    with landing.open(source="hub_live", scope=scope, world="test", now=at(now)) as draft:
        for number, body in enumerate(bodies):
            draft.add(f"page-{number}.json", body, request=f"/api/models?page={number}")
        return draft.commit(**more)


def test_a_pull_is_found_again_with_everything_it_was_given(tmp_path: Path) -> None:
    as_of = NOW - timedelta(hours=1)
    pull = make(Landing(tmp_path / "landing"), b"[1]", b"[2]", as_of=as_of, facts={"rows": 2})
    again = Landing(tmp_path / "landing").get(pull.pull_id)
    assert again == pull
    assert (again.fetched_at, again.as_of, again.facts) == (NOW, as_of, {"rows": 2})
    assert [again.read(page) for page in again.pages] == [b"[1]", b"[2]"]
    assert [page.request for page in again.pages] == ["/api/models?page=0", "/api/models?page=1"]
    assert again.record() == {
        "pull_id": pull.pull_id,
        "source": "hub_live",
        "world": "test",
        "scope": "2026-05-23",
        "fetched_at": datetime(2026, 5, 23, 9, 30),
        "as_of": datetime(2026, 5, 23, 8, 30),
        "is_complete": False,
        "requests": 2,
        "bytes": 6,
        "path": f"landing/hub_live/{pull.pull_id}",
    }


def test_without_as_of_a_pull_stands_for_the_instant_it_was_made(tmp_path: Path) -> None:
    assert make(Landing(tmp_path), b"x").as_of == NOW


def test_the_same_content_later_is_the_same_pull_in_one_folder(tmp_path: Path) -> None:
    landing = Landing(tmp_path)
    first = make(landing, b"[1]")
    second = make(landing, b"[1]", now=NOW + timedelta(hours=3))
    assert second == first
    assert second.fetched_at == NOW
    assert [entry.name for entry in (tmp_path / "hub_live").iterdir()] == [first.pull_id]
    assert make(landing, b"[2]").pull_id != first.pull_id
    assert make(landing, b"[1]", scope="other").pull_id.startswith("hub_live-other-")


def test_stored_bytes_do_not_depend_on_time(tmp_path: Path) -> None:
    files = []
    for name, later in (("a", 0), ("b", 86_400)):
        pull = make(Landing(tmp_path / name), b"[1]" * 99, now=NOW + timedelta(seconds=later))
        files.append(pull.file(pull.pages[0]).read_bytes())
    assert files[0] == files[1]
    assert gzip.decompress(files[0]) == b"[1]" * 99
    assert files[0][3:8] == bytes(5), "neither a name nor a time in the header"


def test_parquet_is_stored_as_it_came(tmp_path: Path) -> None:
    with Landing(tmp_path).open(source="a", scope="b", world="w", now=at()) as draft:
        page = draft.add("models.parquet", [b"PAR", b"1"], request="/x")
        pull = draft.commit()
    assert pull.file(page).read_bytes() == b"PAR1" == pull.read(page)
    assert page.bytes == 4


def test_pulls_are_complete_ones_in_order_of_time(tmp_path: Path) -> None:
    landing = Landing(tmp_path)
    late = make(landing, b"late", now=NOW + timedelta(days=1), scope="s1")
    early = make(landing, b"early", now=NOW, scope="s2")
    with landing.open(source="registry", scope="lists", world="w", now=at()) as draft:
        draft.add("page.json", b"x", request="/x")  # never committed
    assert landing.pulls() == [early, late] == landing.pulls("hub_live")
    assert landing.pulls("registry") == []
    with pytest.raises(LandingError, match="holds no pull 'nothing'"):
        landing.get("nothing")


def test_a_killed_attempt_goes_on_the_same_day(tmp_path: Path) -> None:
    landing = Landing(tmp_path)

    def opened() -> Any:
        return landing.open(source="hub_live", scope="s", world="w", now=at())

    with pytest.raises(KeyboardInterrupt), opened() as draft:
        draft.add("page-0.json", b"[0]", request="/0", notes={"next": "/1"})
        draft.add("page-1.json", b"[1]", request="/1", notes={"next": "/2"})
        raise KeyboardInterrupt
    with opened() as draft:
        assert [page.notes["next"] for page in draft.pages] == ["/1", "/2"]
        assert [draft.read(page) for page in draft.pages] == [b"[0]", b"[1]"]
        draft.add("page-2.json", b"[2]", request="/2")
        pull = draft.commit()
    assert [pull.read(page) for page in pull.pages] == [b"[0]", b"[1]", b"[2]"]
    assert not (tmp_path / DRAFTS / "hub_live-s").exists()


@pytest.mark.parametrize(("world", "now"), [("w", NOW + timedelta(days=1)), ("other world", NOW)])
def test_a_draft_of_another_day_or_world_is_thrown_away(tmp_path: Path, world: str, now: datetime) -> None:
    landing = Landing(tmp_path)
    with landing.open(source="hub_live", scope="s", world="w", now=at()) as draft:
        draft.add("page-0.json", b"[0]", request="/0")
    with landing.open(source="hub_live", scope="s", world=world, now=at(now)) as draft:
        assert draft.pages == []


def test_drafts_of_other_days_are_swept_whatever_they_were_for(tmp_path: Path) -> None:
    landing = Landing(tmp_path)
    with landing.open(source="hub_live", scope="2026-05-23", world="w", now=at()) as draft:
        draft.add("page-0.json", b"[0]", request="/0")
    make(landing, b"x", now=NOW + timedelta(days=1), scope="2026-05-24")
    assert list((tmp_path / DRAFTS).iterdir()) == []


@pytest.mark.parametrize("damage", ["truncate", "change", "delete"])
def test_a_damaged_page_of_a_draft_and_all_after_it_are_asked_for_again(tmp_path: Path, damage: str) -> None:
    landing = Landing(tmp_path)
    with landing.open(source="a", scope="s", world="w", now=at()) as draft:
        for number in range(3):
            draft.add(f"page-{number}.json", b"[%d]" % number, request=f"/{number}")
        file = draft.file(draft.pages[1])
    if damage == "truncate":
        file.write_bytes(file.read_bytes()[:-5])
    elif damage == "change":
        file.write_bytes(gzip.compress(b"[9]"))
    else:
        file.unlink()
    with landing.open(source="a", scope="s", world="w", now=at()) as draft:
        assert [page.request for page in draft.pages] == ["/0"]
        draft.add("page-1.json", b"[1]", request="/1")
        pull = draft.commit()
    assert [entry.name for entry in sorted(pull.path.iterdir())] == [
        "manifest.json", "page-0.json.gz", "page-1.json.gz"
    ]  # fmt: skip


def test_a_transfer_that_breaks_leaves_no_page(tmp_path: Path) -> None:
    def body() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionError

    with Landing(tmp_path).open(source="a", scope="s", world="w", now=at()) as draft:
        with pytest.raises(ConnectionError):
            draft.add("models.parquet", body(), request="/x")
        assert draft.pages == []
        draft.add("models.parquet", b"whole", request="/x")
        pull = draft.commit()
    assert sorted(entry.name for entry in pull.path.iterdir()) == [
        "manifest.json",
        "models.parquet",
    ]


def test_discard_begins_anew(tmp_path: Path) -> None:
    with Landing(tmp_path).open(source="a", scope="s", world="w", now=at()) as draft:
        draft.add("page.json", b"wrong", request="/x")
        draft.discard()
        assert draft.pages == []
        page = draft.add("page.json", b"right", request="/x")
        assert draft.commit().read(page) == b"right"


def test_names_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    landing = Landing(tmp_path)
    with (
        pytest.raises(ValueError, match="cannot be part"),
        landing.open(source="a", scope="../b", world="w", now=at()),
    ):
        pass
    with landing.open(source="a", scope="b", world="w", now=at()) as draft:
        draft.add("x.json", b"", request="/x")
        for name in ("../x.json", "x.json"):
            with pytest.raises(ValueError, match="cannot be the name"):
                draft.add(name, b"", request="/x")


def test_verify_tells_of_every_change(tmp_path: Path) -> None:
    landing = Landing(tmp_path)
    pull = make(landing, b"[0]", b"[1]", b"[2]")
    assert landing.verify(pull) == []
    pull.file(pull.pages[0]).write_bytes(gzip.compress(b"[7]"))
    pull.file(pull.pages[1]).unlink()
    pull.file(pull.pages[2]).write_bytes(pull.file(pull.pages[2]).read_bytes()[:-6])
    wrong = landing.verify(pull)
    assert len(wrong) == 3
    assert "page-0.json.gz does not hold the bytes" in wrong[0]
    assert "page-1.json.gz cannot be read" in wrong[1]
    assert "page-2.json.gz cannot be read" in wrong[2]
    with pytest.raises(LandingError, match=r"page-2\.json\.gz cannot be read"):
        pull.read(pull.pages[2])


def test_verify_tells_of_an_edited_manifest(tmp_path: Path) -> None:
    pull = make(Landing(tmp_path), b"[0]")
    manifest = pull.path / "manifest.json"
    manifest.write_text(manifest.read_text().replace("/api/models?page=0", "/elsewhere"))
    fresh = Landing(tmp_path)
    (wrong,) = fresh.verify(fresh.get(pull.pull_id))
    assert "was changed after the pull" in wrong


def _hold(root: Path, ready: Any, go: Any) -> None:
    with Landing(root).open(source="a", scope="s", world="w", now=at()) as draft:
        draft.add("page-0.json", b"[0]", request="/0")
        ready.set()
        go.wait(10)
        os._exit(9)  # a kill: nothing is cleaned up


def test_a_second_process_waits_and_a_killed_one_leaves_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = multiprocessing.get_context("spawn")
    ready, go = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(tmp_path, ready, go))
    process.start()
    assert ready.wait(20)
    landing = Landing(tmp_path)
    monkeypatch.setattr("atom_dagster.landing.LOCK_WAIT", 0.2)
    with (
        pytest.raises(LandingError, match="Another process is making the pull a-s"),
        landing.open(source="a", scope="s", world="w", now=at()),
    ):
        pass
    go.set()
    process.join(10)
    assert process.exitcode == 9
    with landing.open(source="a", scope="s", world="w", now=at()) as draft:
        assert [page.request for page in draft.pages] == ["/0"]


def _go_on(root: Path, ready: Any) -> None:
    with Landing(root).open(source="hub_live", scope="one", world="test", now=at()) as draft:
        ready.set()
        for number in range(8):
            time.sleep(0.25)
            draft.add(f"page-{number}", b"1", request="/")


def test_whoever_goes_on_is_waited_for_however_long_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atom_dagster.landing.LOCK_WAIT", 1.0)
    processes = multiprocessing.get_context("fork")
    ready = processes.Event()
    process = processes.Process(target=_go_on, args=(tmp_path, ready))
    process.start()
    assert ready.wait(10)
    with Landing(tmp_path).open(source="hub_live", scope="one", world="test", now=at()) as draft:
        assert len(draft.pages) == 8
    process.join()


def test_a_manifest_that_cannot_be_read_costs_no_other_pull(tmp_path: Path) -> None:
    bad, good = make(Landing(tmp_path), b"[1]"), make(Landing(tmp_path), b"[2]")
    (bad.path / "manifest.json").write_text("{")
    with pytest.raises(LandingError, match=bad.pull_id):
        Landing(tmp_path).pulls()
    unreadable: dict[str, str] = {}
    assert Landing(tmp_path).pulls("hub_live", unreadable=unreadable) == [good]
    assert list(unreadable) == [bad.pull_id]
    assert "cannot be read" in unreadable[bad.pull_id]
    # Pulled again, it lies beside the damaged folder.
    again = make(Landing(tmp_path), b"[1]")
    assert again.pull_id == f"{bad.pull_id}-2"
    assert Landing(tmp_path).verify(again) == []


def test_a_content_that_comes_back_is_a_newer_pull(tmp_path: Path) -> None:
    landing = Landing(tmp_path)
    whole = make(landing, b"[1, 2]", scope="lists")
    cut = make(landing, b"[1]", scope="lists", now=NOW + timedelta(days=1))
    back = make(landing, b"[1, 2]", scope="lists", now=NOW + timedelta(days=2))
    assert [pull.pull_id for pull in landing.pulls()] == [whole.pull_id, cut.pull_id, back.pull_id]
    assert back.read(back.pages[0]) == b"[1, 2]"
    again = make(landing, b"[1, 2]", scope="lists", now=NOW + timedelta(days=3))
    assert again == back


def test_answers_that_take_turns_are_the_same_pulls_each_time(tmp_path: Path) -> None:
    """A recorded world answers with each of its vintages in every run."""
    landing, older, newer = Landing(tmp_path), NOW - timedelta(days=9), NOW - timedelta(days=2)
    for day in range(3):
        now = NOW + timedelta(days=day)
        make(landing, b"[1]", scope="catalogue", now=now, as_of=older)
        make(landing, b"[2]", scope="catalogue", now=now, as_of=newer)
    assert [pull.as_of for pull in landing.pulls()] == [older, newer]


def test_a_content_that_came_back_is_not_called_changed(tmp_path: Path) -> None:
    landing = Landing(tmp_path)
    for day, body in enumerate((b"[1, 2]", b"[1]", b"[1, 2]")):
        back = make(landing, body, scope="lists", now=NOW + timedelta(days=day))
    assert len(landing.pulls()) == 3
    assert landing.verify(back) == []
