"""The published build as a Hugging Face dataset: what differs there, and the one commit that makes it equal.

Belongs here: comparing a dataset with a build, uploading, and saying why it cannot be done. Does not
belong here: what a build holds (``exports``, ``assets.publish``), or reading the Hub (``sources.hub``).
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from atom_dagster import __version__
from atom_dagster.exports.contents import UNSTATED
from atom_dagster.settings import INVENTED_TOKENS, Settings
from atom_dagster.sources import SourceError
from atom_dagster.sources.hub_client import final, prepare_session

PUBLIC = "https://huggingface.co"
SUMS = "SHA256SUMS"
_OF_THE_HUB = (".gitattributes", ".gitignore")
_OF_NOBODY = {*_OF_THE_HUB, "README.md"}
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Refused(RuntimeError):
    """It cannot be done as it is asked for or configured; the message is a sentence that says what to do."""


class Damaged(RuntimeError):
    """The build is not what was published; the message names a file."""


class Failed(RuntimeError):
    """The Hub did not do it; the message says what it said."""


@dataclass(frozen=True)
class Upload:
    """What an upload did."""

    url: str
    build_id: str
    added: int
    """Files that were new or other than before."""
    deleted: int
    kept: int
    """Files there that no build brought, which stay."""
    size: int
    """Bytes of the added files."""
    commit: str | None
    """The commit's name; None: the dataset held this build already."""


def upload(
    settings: Settings,
    repo: str,
    *,
    is_private: bool = False,
    takes_synthetic: bool = False,
    takes_unlicensed: bool = False,
) -> Upload:
    """Make a dataset hold the published build, and nothing of an earlier one, by one commit.

    Args:
        settings: Whose home's build is sent to ``hub_endpoint`` with ``hf_token``.
        repo: ORG/NAME; made if it is not there.
        is_private: Make it for its owners only.
        takes_synthetic: Send simulated numbers off this machine too.
        takes_unlicensed: Send rows of sources that state no licence to where everybody may read them.

    Raises:
        Refused: nothing is published, the name or the token is wrong, the numbers are synthetic, a source
            states no licence, or the dataset holds what is none of ours.
        Damaged: a file is not what ``SHA256SUMS`` says.
        Failed: the Hub could not be reached, or refused.
    """
    # A later build may be published meanwhile: everything sent is of this one.
    folder = (settings.home / "published").resolve()
    try:
        build = json.loads((folder / "build.json").read_text())
    except (OSError, ValueError):
        raise Refused("Nothing is published in this home yet; run `atom run` first.") from None
    _require_name(repo)
    endpoint = settings.hub_endpoint
    if build["is_synthetic"] and not takes_synthetic and not settings.is_hub_on_loopback:
        raise Refused(
            f"The {build['world']} world's numbers are synthetic, and {endpoint} is not on this machine;"
            " choose --world live, or add --synthetic to send them all the same."
        )
    if not settings.hf_token:
        raise Refused(
            f"HF_TOKEN is not set; make a token that may write at {endpoint}/settings/tokens and set it."
        )
    if not settings.hub_token:
        raise Refused(
            f"{endpoint} is on this machine, where HF_TOKEN is never sent; set it to an invented one"
            f" ({INVENTED_TOKENS}not_a_secret)."
        )
    files = _files(folder)
    if not (is_private or takes_unlicensed or settings.is_hub_on_loopback):
        _require_licences(folder)
    prepare_session()
    api = HfApi(endpoint, token=settings.hub_token, library_name="atom-dagster", library_version=__version__)
    with _explained(endpoint, repo), _transfer(endpoint):
        return _send(api, repo, folder, files, build, is_private=is_private)


def _require_name(repo: str) -> None:
    try:
        validate_repo_id(repo)
        is_whole = repo.count("/") == 1
    except HFValidationError:
        is_whole = False
    if not is_whole:
        raise Refused(
            f"{repo!r} is no dataset's name; write ORG/NAME with letters, digits, '-', '_' and '.'."
        )


def _require_licences(folder: Path) -> None:
    """Refuse a build with rows of a source that does not say that they may be passed on."""
    try:
        described = json.loads((folder / "datapackage.json").read_text())
        sources = [source for source in described["sources"] if source.get("license") == UNSTATED.name]
    except (OSError, ValueError, KeyError) as error:
        raise Damaged(
            f"The build {folder.name} does not say under which licences it stands (datapackage.json);"
            " run `atom run` to publish anew."
        ) from error
    if sources:
        names = " and ".join(dict.fromkeys(str(source["title"]) for source in sources))
        raise Refused(
            f"No licence is stated for rows of {names}: ask their owners, then add --unstated-licences to"
            " pass them on; or add --private."
        )


def _files(folder: Path) -> dict[str, str]:
    """The build's files and their SHA-256, each read and compared with what publication wrote.

    Raises:
        Damaged: one is missing or other than it was.
    """
    try:
        found = _listed((folder / SUMS).read_text())
    except (OSError, ValueError) as error:
        raise Damaged(f"The build {folder.name} has no {SUMS}; run `atom run` to publish anew.") from error
    for name, digest in found.items():
        if _sha256(folder / name) != digest:
            raise Damaged(
                f"{name} of build {folder.name} is not what was published; nothing was sent. Delete the build"
                " and run `atom run` to publish anew."
            )
    return found | {SUMS: _sha256(folder / SUMS) or ""}


def _sha256(file: Path) -> str | None:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None


def _send(
    api: HfApi,
    repo: str,
    folder: Path,
    files: Mapping[str, str],
    build: Mapping[str, Any],
    *,
    is_private: bool,
) -> Upload:
    api.create_repo(repo, repo_type="dataset", private=is_private or None, exist_ok=True)
    info = api.dataset_info(repo)
    if is_private and not info.private:
        raise Refused(
            f"{repo} is there already, and public; make it private in its settings, or leave --private out."
        )
    standing = {
        entry.path: entry
        for entry in api.list_repo_tree(repo, recursive=True, repo_type="dataset", revision=info.sha)
        if isinstance(entry, RepoFile)
    }
    ours = set() if standing.keys() <= _OF_NOBODY else _of_the_last(api, repo, str(info.sha), standing)
    if theirs := sorted(standing.keys() & files.keys() - ours - _OF_NOBODY):
        raise Refused(
            f"{repo} holds {theirs[0]}, which no build of this project brought there and this one would"
            " replace; rename it there, or choose another name."
        )
    added = [
        name
        for name, digest in sorted(files.items())
        if not _is_same(standing.get(name), folder / name, digest)
    ]
    deleted = sorted(standing.keys() & ours - files.keys())
    kept = len(standing.keys() - files.keys() - ours - set(_OF_THE_HUB))
    url = f"{api.endpoint}/datasets/{repo}"
    size = sum((folder / name).stat().st_size for name in added)
    if not added and not deleted:
        return Upload(url, str(build["build_id"]), 0, 0, kept, 0, None)
    kind = ", synthetic" if build["is_synthetic"] else ""
    done = api.create_commit(
        repo,
        [
            *(CommitOperationDelete(path_in_repo=name, is_folder=False) for name in deleted),
            *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=folder / name) for name in added),
        ],
        commit_message=f"Build {build['build_id']} ({build['world']} world{kind})",
        repo_type="dataset",
        # What was compared must be what is changed.
        parent_commit=info.sha,
    )
    return Upload(url, str(build["build_id"]), len(added), len(deleted), kept, size, done.oid)


def _of_the_last(api: HfApi, repo: str, revision: str, standing: Mapping[str, RepoFile]) -> set[str]:
    """The files that the build in a dataset brought there, which its successor may replace and delete.

    Raises:
        Refused: what stands there does not say that it is a build of this project.
    """
    refusal = Refused(f"{repo} holds files that are no build of this project; choose another name.")
    if not {"build.json", SUMS} <= standing.keys():
        raise refusal
    with tempfile.TemporaryDirectory() as cache:
        build, sums = (
            Path(
                api.hf_hub_download(repo, name, repo_type="dataset", revision=revision, cache_dir=cache)
            ).read_bytes()
            for name in ("build.json", SUMS)
        )
    try:
        said = json.loads(build)
        digests = _listed(sums.decode())
    except ValueError:
        raise refusal from None
    is_ours = isinstance(said, dict) and all(
        isinstance(said.get(name), str) for name in ("build_id", "world", "inputs")
    )
    if not is_ours or digests.get("build.json") != hashlib.sha256(build).hexdigest():
        raise refusal
    return {*digests, SUMS}


def _listed(sums: str) -> dict[str, str]:
    """The digests by file of a ``SHA256SUMS``.

    Raises:
        ValueError: it is none.
    """
    found = {name: digest for digest, _, name in (line.partition("  ") for line in sums.splitlines())}
    if not all(name and _DIGEST.fullmatch(digest) for name, digest in found.items()):
        raise ValueError("a line is no digest and name")
    return found


def _is_same(standing: RepoFile | None, file: Path, sha256: str) -> bool:
    """Whether a dataset's file is this one, by the digest the Hub keeps of it."""
    if standing is None or standing.size != file.stat().st_size:
        return False
    if standing.lfs is not None:
        return standing.lfs.sha256 == sha256
    content = file.read_bytes()
    oid = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    return standing.blob_id == oid


@contextmanager
def _transfer(endpoint: str) -> Iterator[None]:
    """Let the client use Xet storage where there is one: it asks only whether its library is installed."""
    before = constants.HF_HUB_DISABLE_XET
    constants.HF_HUB_DISABLE_XET = before or endpoint != PUBLIC
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_XET = before


@contextmanager
def _explained(endpoint: str, repo: str) -> Iterator[None]:
    """Errors of the client, told in one sentence."""
    try:
        yield
    except (Refused, Damaged):
        raise
    except Exception as error:
        if str(error).startswith("Invalid metadata in README.md"):
            said = "; ".join(line.strip("- ") for line in str(error).splitlines()[1:] if line.strip())
            raise Failed(f"{endpoint} refused the dataset card ({said}); nothing was sent.") from error
        causes = list(_causes(error))
        told = next((cause for cause in causes if isinstance(cause, HfHubHTTPError)), None)
        if told is not None:
            raise _of_status(endpoint, repo, told) from error
        if any(isinstance(cause, OfflineModeIsEnabled) for cause in causes):
            raise Refused(str(final(OfflineModeIsEnabled(), endpoint, endpoint))) from error
        found = next((cause for cause in causes if isinstance(cause, httpx2.HTTPError)), None)
        if found is not None and isinstance(sentence := final(found, endpoint, endpoint), SourceError):
            raise Failed(str(sentence)) from error
        # What an error quotes may be what was sent, the token among it: only its kind is told.
        kind = type(causes[-1]).__name__
        if found is not None or any(isinstance(cause, ConnectionError) for cause in causes):
            raise Failed(f"{endpoint} cannot be reached ({kind}); try again later.") from error
        if isinstance(error, ValueError):
            raise Failed(f"{endpoint} answered what its client cannot use ({kind}).") from error
        raise


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _of_status(endpoint: str, repo: str, error: HfHubHTTPError) -> Refused | Failed:
    status = error.response.status_code
    said = error.response.headers.get("X-Error-Message") or error.server_message or f"status {status}"
    if status == 401:
        return Refused(
            f"{endpoint} does not accept HF_TOKEN; make one that may write at {endpoint}/settings/tokens."
        )
    if status in {403, 404}:
        return Refused(
            f"This token may not write {repo} ({said}); use one that may, or name a dataset of your own."
        )
    if status in {409, 412}:
        return Failed(f"Somebody else changed {repo} meanwhile; run the command again.")
    return Failed(f"{endpoint} refused the upload ({said}); what was published there is unchanged.")
