"""Datasets that clients upload to the loopback Hub, as huggingface_hub uploads and reads them.

Belongs here: repositories, their commits and files, and the wire format of both. Does not belong here:
HTTP itself (``server``), or the datasets a world is born with (``sample_archives``).

A file goes one of two ways, which ``preupload`` tells the client: as text within the commit, or by
Git LFS before it. Xet storage, which the public Hub offers beside LFS, is another service and is not
here. Nothing outlives the server.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from atom_dagster.worlds.sample_archives import MOST, page
from atom_dagster.worlds.server import Answer, Request, json_answer

TOKEN = "hf_sample_not_a_secret"  # noqa: S105 - invented, and accepted here only
READ_TOKEN = "hf_sample_read_only"  # noqa: S105
"""The invented tokens this Hub knows: one that may write everywhere, one that may write nowhere."""
LFS_FROM = 10 * 1024 * 1024
"""Bytes from which text goes by LFS too."""
_LFS_NAMES = re.compile(r"\.(parquet|arrow|gz|zip|zst|bin|h5|npy|pickle)$")
_NAME = re.compile(r"[\w.-]{1,96}")
_ATTRIBUTES = b"*.parquet filter=lfs diff=lfs merge=lfs -text\n*.gz filter=lfs diff=lfs merge=lfs -text\n"


@dataclass(frozen=True)
class Blob:
    """A file's content, by its digests."""

    sha256: str
    size: int
    oid: str
    """Git's name of it; of an LFS file, that of its pointer."""
    is_lfs: bool


@dataclass(frozen=True)
class Commit:
    """A state of a repository."""

    oid: str
    title: str
    at: datetime
    files: Mapping[str, Blob]


@dataclass
class Repository:
    """A dataset, with its commits in order."""

    name: str
    is_private: bool
    commits: list[Commit] = field(default_factory=list)

    def at(self, revision: str) -> Commit | None:
        """The commit of a revision: ``main`` or a commit's name."""
        if revision == "main":
            return self.commits[-1]
        return next((commit for commit in self.commits if commit.oid == revision), None)


class Datasets:
    """Answers below ``/hub`` about uploaded datasets."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._repositories: dict[str, Repository] = {}
        self._lock = threading.Lock()

    @cached_property
    def _folder(self) -> Path:
        """Where content lies, made by the first upload: most servers see none."""
        folder = Path(tempfile.mkdtemp(prefix="atom-hub-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    def answer(self, request: Request, rest: str) -> Answer | None:
        """The answer to a GET of ``rest``, the path below /hub; None where there is none."""
        found = re.fullmatch(r"(api/)?datasets/([^/]+/[^/]+)(?:/(.+))?", rest)
        if not found:
            return None
        if _token(request) not in {"", TOKEN, READ_TOKEN}:
            return self._refusal(request)
        is_api, name, below = bool(found[1]), found[2], found[3] or ""
        repository = self._repositories.get(name)
        if repository is None or (repository.is_private and self._refusal(request)):
            return _missing("Repo", "Repository not found", 404 if _token(request) else 401)
        verb, _, tail = below.partition("/")
        revision, _, path = tail.partition("/")
        commit = repository.at(revision or "main")
        if commit is None:
            return _missing("Revision", f"Invalid rev id: {revision}")
        if is_api and verb in {"", "revision"}:
            return json_answer(_info(repository, commit), bucket="api")
        if is_api and verb == "tree":
            return _tree(request, commit, path)
        if is_api and verb == "commits":
            listed = [_shown(one) for one in reversed(repository.commits)]
            return page(request, listed, MOST)
        if not is_api and verb == "resolve":
            return self._file(commit, path)
        return None

    def receive(self, request: Request, rest: str) -> Answer | None:
        """The answer to a POST or PUT of ``rest``, the path below /hub; None where there is none."""
        if found := re.fullmatch(r"lfs/([0-9a-f]{64})", rest):
            return self._store(found[1], request.body)
        refusal = self._refusal(request)
        if rest == "api/validate-yaml":
            return _validated(json.loads(request.body))
        if refusal:
            return refusal
        if rest == "api/repos/create":
            return self._create(request)
        found = re.fullmatch(
            r"(?:api/)?datasets/([^/]+/[^/]+?)(?:\.git/info/lfs/objects)?/(preupload|commit|batch|verify)(?:/.+)?",
            rest,
        )
        if not found:
            return None
        repository = self._repositories.get(found[1])
        if repository is None:
            return _missing("Repo", "Repository not found")
        if found[2] == "preupload":
            return _modes(repository, json.loads(request.body))
        if found[2] == "batch":
            return self._batch(request, json.loads(request.body))
        if found[2] == "verify":
            wanted = json.loads(request.body)
            is_there = self._object(wanted["oid"]).is_file()
            return json_answer({}, 200 if is_there else 404, bucket="api")
        return self._commit(request, repository)

    def _refusal(self, request: Request) -> Answer | None:
        """Why this client may not write; None when it may."""
        token = _token(request)
        if token == TOKEN:
            return None
        if token == READ_TOKEN:
            said, status = "You don't have the rights to write in this namespace", 403
        else:
            said, status = "Invalid credentials in Authorization header", 401
        return json_answer({"error": said}, status, headers={"X-Error-Message": said}, bucket="api")

    def _create(self, request: Request) -> Answer:
        asked = json.loads(request.body)
        name = f"{asked.get('organization') or 'sample'}/{asked['name']}"
        if asked.get("type") != "dataset" or not all(_NAME.fullmatch(part) for part in name.split("/")):
            return json_answer({"error": "Only datasets with plain names are kept here"}, 400, bucket="api")
        url = f"{request.base}/hub/datasets/{name}"
        with self._lock:
            if name in self._repositories:
                said = "You already created this dataset repo"
                return json_answer({"error": said, "url": url}, 409, bucket="api")
            repository = Repository(name, asked.get("visibility") == "private" or bool(asked.get("private")))
            blob = self._keep(_ATTRIBUTES, is_lfs=False)
            repository.commits.append(self._state("initial commit", {".gitattributes": blob}, ""))
            self._repositories[name] = repository
        return json_answer({"url": url, "name": name, "id": _oid(name.encode())}, bucket="api")

    def _batch(self, request: Request, asked: Mapping[str, Any]) -> Answer:
        root = request.path.removesuffix("/batch")
        objects: list[dict[str, Any]] = []
        for wanted in asked["objects"]:
            entry = {"oid": wanted["oid"], "size": wanted["size"]}
            if not self._object(wanted["oid"]).is_file():
                entry["actions"] = {
                    "upload": {"href": f"{request.base}/hub/lfs/{wanted['oid']}"},
                    "verify": {"href": f"{request.base}{root}/verify"},
                }
            objects.append(entry)
        return json_answer({"transfer": "basic", "objects": objects}, bucket="api")

    def _store(self, sha256: str, content: bytes) -> Answer:
        """Keep an LFS object; its address is its permission, as that of a signed one is."""
        if hashlib.sha256(content).hexdigest() != sha256:
            return json_answer({"error": "The content does not have this digest"}, 400)
        self._keep(content, is_lfs=True)
        return json_answer({})

    def _commit(self, request: Request, repository: Repository) -> Answer:
        lines = [json.loads(line) for line in request.body.splitlines() if line.strip()]
        header = lines[0]["value"]
        with self._lock:
            head = repository.commits[-1]
            if header.get("parentCommit") not in {None, head.oid}:
                said = "A commit has happened since. Please refresh and try again."
                return json_answer({"error": said}, 412, headers={"X-Error-Message": said}, bucket="api")
            files = dict(head.files)
            for line in lines[1:]:
                key, value = line["key"], line["value"]
                if key == "file":
                    files[value["path"]] = self._keep(base64.b64decode(value["content"]), is_lfs=False)
                elif key == "lfsFile":
                    kept = self._object(value["oid"])
                    if not kept.is_file():
                        said = f"LFS object {value['oid']} was not uploaded"
                        return json_answer({"error": said}, 422, bucket="api")
                    files[value["path"]] = _lfs_blob(value["oid"], kept.stat().st_size)
                elif key == "deletedFile":
                    if files.pop(value["path"], None) is None:
                        return _missing("Entry", "A file with this name doesn't exist")
                elif key == "deletedFolder":
                    prefix = value["path"].rstrip("/") + "/"
                    files = {path: blob for path, blob in files.items() if not path.startswith(prefix)}
            commit = self._state(str(header["summary"]), files, head.oid)
            repository.commits.append(commit)
        url = f"{request.base}/hub/datasets/{repository.name}/commit/{commit.oid}"
        return json_answer({"success": True, "commitOid": commit.oid, "commitUrl": url}, bucket="api")

    def _state(self, title: str, files: Mapping[str, Blob], parent: str) -> Commit:
        content = json.dumps([parent, title, sorted((path, blob.oid) for path, blob in files.items())])
        return Commit(_oid(content.encode()), title, self._clock(), files)

    def _object(self, sha256: str) -> Path:
        return self._folder / sha256

    def _keep(self, content: bytes, *, is_lfs: bool) -> Blob:
        sha256 = hashlib.sha256(content).hexdigest()
        self._object(sha256).write_bytes(content)
        if is_lfs:
            return _lfs_blob(sha256, len(content))
        return Blob(sha256, len(content), _oid(content), is_lfs=False)

    def _file(self, commit: Commit, path: str) -> Answer:
        blob = commit.files.get(path)
        if blob is None:
            return _missing("Entry", "Entry not found", bucket="resolvers")
        tag = f'"{blob.sha256 if blob.is_lfs else blob.oid}"'
        linked = {"X-Linked-Etag": tag, "X-Linked-Size": str(blob.size)} if blob.is_lfs else {}
        return Answer(
            self._object(blob.sha256).read_bytes(),
            content_type="application/octet-stream",
            headers={"X-Repo-Commit": commit.oid, "ETag": tag, **linked},
            bucket="resolvers",
        )


def _token(request: Request) -> str:
    return request.headers.get("authorization", "").removeprefix("Bearer ")


def _missing(what: str, said: str, status: int = 404, bucket: str = "api") -> Answer:
    return json_answer({"error": said}, status, headers={"X-Error-Code": f"{what}NotFound"}, bucket=bucket)


def _validated(asked: Mapping[str, Any]) -> Answer:
    """A card's front matter, judged: it must be YAML, a mapping."""
    found = re.match(r"---\n(.*?)\n---\n", str(asked.get("content", "")), re.DOTALL)
    try:
        is_right = found is None or isinstance(yaml.safe_load(found[1]), dict)
    except yaml.YAMLError:
        is_right = False
    errors = [] if is_right else [{"message": "The metadata is no YAML mapping"}]
    warnings = [] if found else [{"message": "empty or missing yaml metadata in repo card"}]
    return json_answer({"errors": errors, "warnings": warnings}, 400 if errors else 200, bucket="api")


def _modes(repository: Repository, asked: Mapping[str, Any]) -> Answer:
    """How each file is to be uploaded, and what stands there under its name."""
    standing = repository.commits[-1].files
    files = []
    for wanted in asked["files"]:
        path, sample = str(wanted["path"]), base64.b64decode(wanted["sample"])
        is_lfs = bool(_LFS_NAMES.search(path)) or int(wanted["size"]) >= LFS_FROM or b"\0" in sample
        blob = standing.get(path)
        files.append(
            {
                "path": path,
                "uploadMode": "lfs" if is_lfs else "regular",
                "shouldIgnore": False,
                "oid": blob and (blob.sha256 if blob.is_lfs else blob.oid),
            }
        )
    return json_answer({"files": files}, bucket="api")


def _info(repository: Repository, commit: Commit) -> dict[str, Any]:
    return {
        "_id": _oid(repository.name.encode())[:24],
        "id": repository.name,
        "author": repository.name.partition("/")[0],
        "sha": commit.oid,
        "private": repository.is_private,
        "gated": False,
        "disabled": False,
        "lastModified": f"{commit.at:%Y-%m-%dT%H:%M:%S}.000Z",
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "siblings": [{"rfilename": path} for path in sorted(commit.files)],
    }


def _tree(request: Request, commit: Commit, below: str) -> Answer:
    """Files of a folder and, with ``recursive=true``, of all folders in it; the folders with them."""
    prefix, is_recursive = f"{below}/" if below else "", request.one("recursive") == "true"
    entries: dict[str, dict[str, Any]] = {}
    for path, blob in sorted(commit.files.items()):
        if not path.startswith(prefix):
            continue
        parts = path.removeprefix(prefix).split("/")
        for depth in range(1, len(parts) if is_recursive else min(2, len(parts))):
            folder = prefix + "/".join(parts[:depth])
            entries[folder] = {"type": "directory", "oid": _oid(folder.encode()), "size": 0, "path": folder}
        if is_recursive or len(parts) == 1:
            lfs = {
                "oid": blob.sha256,
                "size": blob.size,
                "pointerSize": len(_pointer(blob.sha256, blob.size)),
            }
            entries[path] = {
                "type": "file",
                "oid": blob.oid,
                "size": blob.size,
                "path": path,
                **({"lfs": lfs} if blob.is_lfs else {}),
            }
    if below and not entries:
        return _missing("Entry", "Entry not found")
    return page(request, list(entries.values()), MOST)


def _shown(commit: Commit) -> dict[str, Any]:
    return {
        "id": commit.oid,
        "title": commit.title,
        "message": "",
        "date": f"{commit.at:%Y-%m-%dT%H:%M:%S}.000Z",
        "authors": [{"user": "sample"}],
    }


def _pointer(sha256: str, size: int) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def _lfs_blob(sha256: str, size: int) -> Blob:
    return Blob(sha256, size, _oid(_pointer(sha256, size)), is_lfs=True)


def _oid(content: bytes) -> str:
    """Git's name of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
