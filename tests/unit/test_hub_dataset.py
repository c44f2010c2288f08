"""Uploads to the loopback Hub by huggingface_hub's own client, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, HfApi, constants, hf_hub_download

from atom_dagster import hub_dataset
from atom_dagster.settings import Settings
from atom_dagster.worlds.server import Answer, Request, json_answer, serving
from atom_dagster.worlds.server_datasets import LFS_FROM, READ_TOKEN, TOKEN, Datasets
from tests.unit import _worlds

REPO = "atom/measured"


class App:
    """A Hub of nothing but uploaded datasets."""

    def __init__(self) -> None:
        self.datasets = Datasets(lambda: _worlds.NOW)
        self.asked: list[tuple[str, str]] = []

    def answer(self, request: Request) -> Answer:
        return self._found(request, self.datasets.answer)

    def receive(self, request: Request) -> Answer:
        return self._found(request, self.datasets.receive)

    def _found(self, request, ask) -> Answer:
        self.asked.append((request.method, request.path))
        return ask(request, request.path.removeprefix("/hub/")) or json_answer({"error": "no"}, 404)


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def faults(tmp_path: Path) -> Path:
    return tmp_path / "faults.json"


@pytest.fixture
def endpoint(app: App, faults: Path) -> Iterator[str]:
    with serving(app, lambda: _worlds.NOW, faults) as base:
        yield f"{base}/hub"


@pytest.fixture
def settings(endpoint: str, tmp_path: Path) -> Settings:
    """A home with a small build in it: text, binary, and text that is large."""
    home = tmp_path / "home"
    publish(
        home,
        "one",
        {
            "README.md": b"---\nlicense: apache-2.0\n---\n\n# Card\n",
            "parquet/a.parquet": b"PAR1\0\1\2PAR1",
            "parquet/b.parquet": b"PAR1\0\3PAR1",
            "csv/a.csv": b"x\n1\n",
            "csv/large.csv": b"x\n" + b"1234567\n" * (LFS_FROM // 8),
        },
    )
    return replace(_worlds.settings(folder=home), hub_endpoint=endpoint, hf_token=TOKEN)


def publish(home: Path, name: str, files: dict[str, bytes], *, is_synthetic: bool = True) -> None:
    folder = home / "builds" / name
    build = {"build_id": name, "world": "sample", "is_synthetic": is_synthetic, "inputs": "0a1b"}
    files = files | {"build.json": json.dumps(build).encode()}
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    sums = [f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, content in sorted(files.items())]
    (folder / "SHA256SUMS").write_text("".join(sums))
    (home / "published").unlink(missing_ok=True)
    (home / "published").symlink_to(folder)


def client(settings: Settings) -> HfApi:
    return HfApi(settings.hub_endpoint, token=TOKEN)


def put(settings: Settings, files: dict[str, bytes]) -> None:
    """Somebody else's commit."""
    client(settings).create_repo(REPO, repo_type="dataset", exist_ok=True)
    added = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=text) for name, text in files.items()]
    with hub_dataset._transfer(settings.hub_endpoint):
        client(settings).create_commit(REPO, added, commit_message="theirs", repo_type="dataset")


def there(settings: Settings) -> list[str]:
    return sorted(client(settings).list_repo_files(REPO, repo_type="dataset"))


def messages(settings: Settings) -> list[str]:
    return [commit.title for commit in client(settings).list_repo_commits(REPO, repo_type="dataset")]


def test_what_is_sent_is_what_was_published(settings: Settings, app: App, tmp_path: Path):
    done = hub_dataset.upload(settings, REPO)
    folder = (settings.home / "published").resolve()
    sent = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
    assert (done.added, done.deleted, done.build_id) == (len(sent), 0, "one")
    assert there(settings) == sorted([".gitattributes", *sent])
    assert messages(settings) == ["Build one (sample world, synthetic)", "initial commit"]
    for name in sent:
        found = hf_hub_download(
            REPO,
            name,
            repo_type="dataset",
            cache_dir=tmp_path / "cache",
            endpoint=settings.hub_endpoint,
            token=TOKEN,
        )
        assert (
            hashlib.sha256(Path(found).read_bytes()).digest()
            == hashlib.sha256((folder / name).read_bytes()).digest()
        )
    by_lfs = {path for method, path in app.asked if method == "PUT"}
    assert len(by_lfs) == 3


def test_the_same_build_again_changes_nothing(settings: Settings, app: App):
    hub_dataset.upload(settings, REPO)
    app.asked.clear()
    again = hub_dataset.upload(settings, REPO)
    assert (again.commit, again.added, again.deleted) == (None, 0, 0)
    assert len(messages(settings)) == 2
    assert not [path for _, path in app.asked if "/commit/" in path or "/lfs/" in path]


def test_the_next_build_is_one_commit_and_leaves_nothing_of_the_last(settings: Settings, app: App):
    hub_dataset.upload(settings, REPO)
    app.asked.clear()
    publish(
        settings.home,
        "two",
        {
            "README.md": b"---\nlicense: apache-2.0\n---\n\n# Card\n",
            "parquet/a.parquet": b"PAR1\0\1\2PAR1",
            "csv/a.csv": b"x\n2\n",
        },
    )
    done = hub_dataset.upload(settings, REPO)
    # build.json, SHA256SUMS and csv/a.csv are other; the large CSV and one Parquet file are gone.
    assert (done.added, done.deleted) == (3, 2)
    assert there(settings) == [
        ".gitattributes",
        "README.md",
        "SHA256SUMS",
        "build.json",
        "csv/a.csv",
        "parquet/a.parquet",
    ]
    assert messages(settings)[0] == "Build two (sample world, synthetic)"
    assert len([path for _, path in app.asked if "/commit/" in path]) == 1


def test_private_is_made_private_and_nobody_else_reads_it(settings: Settings):
    hub_dataset.upload(settings, REPO, is_private=True)
    assert client(settings).dataset_info(REPO).private is True
    with pytest.raises(Exception, match="401"):
        HfApi(settings.hub_endpoint, token=False).dataset_info(REPO)


def test_private_is_refused_where_the_dataset_is_public(settings: Settings):
    hub_dataset.upload(settings, REPO)
    with pytest.raises(hub_dataset.Refused, match="public; make it private in its settings"):
        hub_dataset.upload(settings, REPO, is_private=True)


def test_a_dataset_of_somebody_elses_files_is_left_alone(settings: Settings):
    put(settings, {"theirs.csv": b"1\n"})
    with pytest.raises(hub_dataset.Refused, match="holds files that are no build of this project"):
        hub_dataset.upload(settings, REPO)
    assert there(settings) == [".gitattributes", "theirs.csv"]


BUILD = json.dumps({"build_id": "b", "world": "live", "inputs": "0a1b"}).encode()
SUM_OF_BUILD = f"{hashlib.sha256(BUILD).hexdigest()}  build.json\n".encode()


@pytest.mark.parametrize(
    "files",
    [
        {"build.json": BUILD},
        {"build.json": BUILD, "SHA256SUMS": b"another tool's\n"},
        {"build.json": BUILD, "SHA256SUMS": b""},
        {"build.json": BUILD, "SHA256SUMS": b"\xff"},
        {"build.json": BUILD + b"\n", "SHA256SUMS": SUM_OF_BUILD},
        {"build.json": b'{"steps": []}', "SHA256SUMS": SUM_OF_BUILD},
        {"build.json": b"[]", "SHA256SUMS": f"{hashlib.sha256(b'[]').hexdigest()}  build.json\n".encode()},
        {"build.json": b"not json", "SHA256SUMS": SUM_OF_BUILD},
    ],
)
def test_a_build_json_alone_makes_no_build_of_ours(settings: Settings, files: dict[str, bytes]):
    put(settings, files | {"theirs.csv": b"1\n"})
    before = there(settings)
    with pytest.raises(hub_dataset.Refused, match="holds files that are no build of this project"):
        hub_dataset.upload(settings, REPO)
    assert there(settings) == before
    assert messages(settings)[0] == "theirs"


def test_files_that_no_build_brought_stay(settings: Settings):
    hub_dataset.upload(settings, REPO)
    put(settings, {"theirs.csv": b"1\n", "csv/theirs.csv": b"1\n"})
    publish(settings.home, "two", {"README.md": b"---\na: b\n---\n"})
    done = hub_dataset.upload(settings, REPO)
    assert (done.deleted, done.kept) == (4, 2)
    assert there(settings) == [
        ".gitattributes",
        "README.md",
        "SHA256SUMS",
        "build.json",
        "csv/theirs.csv",
        "theirs.csv",
    ]
    again = hub_dataset.upload(settings, REPO)
    assert (again.commit, again.kept) == (None, 2)


def test_a_file_that_no_build_brought_is_not_replaced(settings: Settings):
    hub_dataset.upload(settings, REPO)
    put(settings, {"csv/new.csv": b"theirs\n"})
    publish(settings.home, "two", {"README.md": b"---\na: b\n---\n", "csv/new.csv": b"ours\n"})
    with pytest.raises(hub_dataset.Refused, match=r"holds csv/new\.csv, which no build of this project"):
        hub_dataset.upload(settings, REPO)
    assert messages(settings)[0] == "theirs"


def described(*licences: str) -> bytes:
    sources = [{"title": f"Source {n}", "license": name} for n, name in enumerate(licences)]
    return json.dumps({"sources": [*sources, {"title": "Source 0 (simulated)"}]}).encode()


def test_rows_without_a_licence_are_passed_on_only_when_told(settings: Settings, monkeypatch):
    """A Hub that everybody reads: whoever comes as far as the session was let through."""
    public = replace(settings, hub_endpoint="https://huggingface.co")

    class Through(Exception):
        pass

    def through() -> None:
        raise Through

    monkeypatch.setattr(hub_dataset, "prepare_session", through)
    files = {"README.md": b"x", "datapackage.json": described("ODbL-1.0", "other-unstated", "other-unstated")}
    publish(settings.home, "real", files, is_synthetic=False)
    with pytest.raises(hub_dataset.Refused, match="for rows of Source 1 and Source 2: ask their owners"):
        hub_dataset.upload(public, REPO)
    for told in ({"is_private": True}, {"takes_unlicensed": True}):
        with pytest.raises(Through):
            hub_dataset.upload(public, REPO, **told)
    publish(settings.home, "stated", files | {"datapackage.json": described("ODbL-1.0")}, is_synthetic=False)
    with pytest.raises(Through):
        hub_dataset.upload(public, REPO)


def test_a_build_that_states_no_licences_at_all_is_not_passed_on(settings: Settings):
    publish(settings.home, "real", {"README.md": b"x"}, is_synthetic=False)
    with pytest.raises(hub_dataset.Damaged, match="does not say under which licences it stands"):
        hub_dataset.upload(replace(settings, hub_endpoint="https://huggingface.co"), REPO)


def test_a_damaged_build_is_not_sent(settings: Settings, app: App):
    (settings.home / "published" / "csv" / "a.csv").write_bytes(b"x\n9\n")
    with pytest.raises(hub_dataset.Damaged, match=r"csv/a\.csv of build one is not what was published"):
        hub_dataset.upload(settings, REPO)
    assert not app.asked


@pytest.mark.parametrize("name", ["measured", "a/b/c", "a b/c", "", "atom/-x"])
def test_a_wrong_name_is_refused(settings: Settings, app: App, name: str):
    with pytest.raises(hub_dataset.Refused, match="write ORG/NAME"):
        hub_dataset.upload(settings, name)
    assert not app.asked


def test_nothing_published_is_said(settings: Settings):
    (settings.home / "published").unlink()
    with pytest.raises(hub_dataset.Refused, match="Nothing is published in this home yet; run `atom run`"):
        hub_dataset.upload(settings, REPO)


def test_a_token_is_needed(settings: Settings, app: App):
    with pytest.raises(hub_dataset.Refused, match="HF_TOKEN is not set"):
        hub_dataset.upload(replace(settings, hf_token=None), REPO)
    assert not app.asked


def test_a_token_that_may_not_write_is_refused(settings: Settings):
    with pytest.raises(hub_dataset.Refused, match=r"may not write atom/measured \(You don't have the rights"):
        hub_dataset.upload(replace(settings, hf_token=READ_TOKEN), REPO)


@pytest.mark.parametrize("has_dataset", [True, False])
def test_a_token_nobody_knows_is_refused_and_shown_nowhere(
    settings: Settings, caplog: pytest.LogCaptureFixture, has_dataset: bool
):
    if has_dataset:
        hub_dataset.upload(settings, REPO)
    caplog.set_level(logging.DEBUG)
    with pytest.raises(hub_dataset.Refused, match="does not accept HF_TOKEN") as caught:
        hub_dataset.upload(replace(settings, hf_token="hf_sample_unknown"), REPO)
    said = caplog.text + repr(caught.value) + repr(caught.value.__cause__) + str(caught.value.__cause__)
    assert "hf_sample_unknown" not in said


def test_synthetic_numbers_stay_on_this_machine_unless_told(settings: Settings):
    public = replace(settings, hub_endpoint="https://huggingface.co", hf_token=None)
    with pytest.raises(hub_dataset.Refused, match=r"numbers are synthetic.*add --synthetic"):
        hub_dataset.upload(public, REPO)
    # Told, it goes as far as the missing token.
    with pytest.raises(hub_dataset.Refused, match="HF_TOKEN is not set"):
        hub_dataset.upload(public, REPO, takes_synthetic=True)
    publish(settings.home, "real", {"README.md": b"x"}, is_synthetic=False)
    with pytest.raises(hub_dataset.Refused, match="HF_TOKEN is not set"):
        hub_dataset.upload(public, REPO)


def test_a_hub_that_is_not_there_is_said(settings: Settings):
    with pytest.raises(
        hub_dataset.Failed, match=r"127\.0\.0\.1:9 cannot be reached \(.*\); check the address"
    ):
        hub_dataset.upload(replace(settings, hub_endpoint="http://127.0.0.1:9"), REPO)


@pytest.mark.parametrize("token", ["hf_sample_SECRET\n", "hf_sample_SÉCRET"])
def test_a_header_that_cannot_be_sent_is_not_shown(settings: Settings, token: str):
    """Settings let no such token through; what the client says of one quotes it."""
    with pytest.raises(hub_dataset.Failed) as caught:
        hub_dataset.upload(replace(settings, hf_token=token), REPO)
    assert "SECRET" not in str(caught.value)
    assert "CRET" not in str(caught.value)


def test_a_token_of_the_public_hub_is_not_sent_to_this_machine(settings: Settings, app: App):
    with pytest.raises(hub_dataset.Refused, match="where HF_TOKEN is never sent") as caught:
        hub_dataset.upload(replace(settings, hf_token="hf_MineAlone"), REPO)
    assert not app.asked
    assert "MineAlone" not in str(caught.value)


def test_a_client_told_to_stay_offline_is_said_once(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(hub_dataset.Refused) as caught:
        hub_dataset.upload(settings, REPO)
    assert str(caught.value) == "HF_HUB_OFFLINE keeps huggingface_hub from asking anything; unset it."


def test_a_commit_that_came_between_is_said_and_nothing_is_lost(settings: Settings, faults: Path):
    hub_dataset.upload(settings, REPO)
    publish(settings.home, "two", {"README.md": b"---\na: b\n---\n"})
    told = "A commit has happened since. Please refresh and try again."
    faults.write_text(json.dumps([{"path": "/commit/main", "status": 412, "body": told, "times": 1}]))
    with pytest.raises(hub_dataset.Failed, match="Somebody else changed atom/measured meanwhile"):
        hub_dataset.upload(settings, REPO)
    assert messages(settings)[0] == "Build one (sample world, synthetic)"
    assert hub_dataset.upload(settings, REPO).commit


def test_a_card_the_hub_does_not_take_is_said_before_anything_is_sent(settings: Settings, app: App):
    publish(settings.home, "two", {"README.md": b"---\n- no mapping\n---\n"})
    with pytest.raises(hub_dataset.Failed, match=r"refused the dataset card \(.*no YAML mapping\)"):
        hub_dataset.upload(settings, REPO)
    assert not [path for _, path in app.asked if "/commit/" in path or "/lfs/" in path]


def test_the_loopback_hub_keeps_no_content_under_a_wrong_digest(settings: Settings, endpoint: str):
    import httpx

    wrong = httpx.put(f"{endpoint}/lfs/{'0' * 64}", content=b"something")
    assert wrong.status_code == 400


def test_the_loopback_hub_takes_no_commit_on_an_old_state(settings: Settings):
    hub_dataset.upload(settings, REPO)
    [newest, first] = client(settings).list_repo_commits(REPO, repo_type="dataset")
    late = CommitOperationAdd(path_in_repo="late.txt", path_or_fileobj=b"late")
    with pytest.raises(Exception, match=re.escape("A commit has happened since")):
        client(settings).create_commit(
            REPO, [late], commit_message="late", repo_type="dataset", parent_commit=first.commit_id
        )
    assert newest.commit_id == client(settings).dataset_info(REPO).sha
