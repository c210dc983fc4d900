"""Push a release to a dataset repository of a Hugging Face hub: one commit, and a tag that is the version."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, get_session
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is of the client it has come to use
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.hf_api import GitRefs, RepoFile
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from ultralink.errors import HubRefused, HubUnreachable, ReleaseExists, ReleaseMissing, UltraLinkError
from ultralink.release.manifest import MANIFEST
from ultralink.release.shelf import RELEASES, Shelf
from ultralink.store import Store, disk_errors

TRIES = 4
LONGEST_WAIT_S = 60.0  # between tries; a hub that asks for more is left to Airflow's retry
SILENCE_S = 300.0  # without a byte, after which a connection is given up

_DATASET = "dataset"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_TOKEN = re.compile(r"[!-~]+\Z")
_PASSING = (408, 409, 412, 425, 429)  # of the 4xx, those that the same push may survive later
_PROBLEMS = (HTTPError, ConnectionError, TimeoutError, RuntimeError, ValueError, KeyError)


@dataclass(frozen=True, kw_only=True)
class Hub:
    """Where to push. ``connection``: the Airflow connection that the token is from; errors name it.

    ``endpoint``: None: HF_ENDPOINT, or huggingface.co. ``private``: a repository that is made here is.
    """

    repository: str
    token: str = field(repr=False)
    connection: str
    endpoint: str | None = None
    private: bool = True

    @property
    def address(self) -> str:
        """The hub's URL."""
        return (self.endpoint or constants.ENDPOINT).rstrip("/")

    @property
    def place(self) -> str:
        """The repository's URL."""
        return f"{self.address}/datasets/{self.repository}"


@dataclass(frozen=True)
class Pushed:
    """What the repository holds now: one line for the log, the commit's hash, and the page of the version."""

    line: str
    commit: str
    url: str


def push_release(store: Store, version: str, hub: Hub) -> Pushed:
    """Push the release ``version`` of ``store``, with nothing to do where its tag is there already.

    All folders of the repository belong to the release: what lies in them and is not of it goes in the same
    commit. Files that somebody put beside them, such as .gitattributes, stay. The main branch holds what was pushed
    last, each version is found by its tag. A release on object storage is copied to a temporary folder first.

    Raises ReleaseMissing (no such release, or its files are not those of its manifest), ReleaseExists (the tag is
    there with other content), HubRefused (token, rights, a repository that holds something else), HubUnreachable.
    """
    _must_be_usable(hub)
    with ExitStack() as stack:
        stack.enter_context(_plain_uploads())
        return _patiently(_Push(Shelf(store), version, hub, stack))


def _must_be_usable(hub: Hub) -> None:
    connection = f"the connection {hub.connection!r}"
    if not _NAME.match(hub.repository):
        raise HubRefused(f"{hub.repository!r} is no repository of a hub: its name is organisation/name")
    if not hub.address.startswith(("https://", "http://")):
        raise HubRefused(f"{hub.address}: the hub's address must begin with https://; look at {connection}")
    if not hub.token:
        raise HubRefused(f"{hub.place}: {connection} has no token; put it there as its password")
    if not _TOKEN.match(hub.token):
        raise HubRefused(f"{hub.place}: the token of {connection} has a space, a line break or a letter beyond ASCII")


class _Push:
    """One push, whose every try begins with what the hub holds by then: so none does a thing twice."""

    def __init__(self, shelf: Shelf, version: str, hub: Hub, stack: ExitStack) -> None:
        self.hub = hub
        self._manifest = shelf.manifest(version)
        self._version = self._manifest.version
        self._release = shelf.store.below(f"{RELEASES}/{self._version}")
        self._stack = stack
        self._api = HfApi(endpoint=hub.address, token=hub.token, library_name="ultralink")

    def attempt(self) -> Pushed:
        """Do what is left to do."""
        get_session().timeout = SILENCE_S  # by default the client waits for ever
        refs = self._refs()
        for tag in refs.tags:
            if tag.name == self._version:
                self._must_be_ours()
                return self._pushed("Nothing to do: {} is there already", tag.target_commit)
        heads = {branch.name: branch.target_commit for branch in refs.branches}
        if self._version in heads:
            raise HubRefused(f"{self.hub.place}: has a branch {self._version!r}, as the tag would be; delete it")
        commit = self._commit(heads.get(constants.DEFAULT_REVISION))
        self._must_be_whole(commit)
        self._api.create_tag(self.hub.repository, tag=self._version, revision=commit, repo_type=_DATASET)
        return self._pushed("Pushed {}", commit)

    def _refs(self) -> GitRefs:
        """Branches and tags of the repository, which is made if it is not there."""
        repository = self.hub.repository
        try:
            return self._api.list_repo_refs(repository, repo_type=_DATASET)
        except RepositoryNotFoundError:
            # So a hub also answers whom it does not know, or does not let in: to make it, it tells these apart.
            self._api.create_repo(repository, repo_type=_DATASET, private=self.hub.private, exist_ok=True)
            return self._api.list_repo_refs(repository, repo_type=_DATASET)

    def _commit(self, head: str | None) -> str:
        """Make the repository's folders those of the release; the hash of the commit that holds it.

        On top of ``head`` or not at all, so that two that push at once do not mix.
        """
        there = self._tree(head) if head else {}
        if MANIFEST not in there and any("/" in path for path in there):
            why = "holds folders, but no release; name a repository that is new, empty, or of releases alone"
            raise HubRefused(f"{self.hub.place}: {why}")
        additions = [CommitOperationAdd(path, self._folder / path) for path in sorted(self._paths)]
        self._must_be_as_published(additions)
        gone = sorted(path for path in there if "/" in path and path not in self._paths)
        made = self._api.create_commit(
            self.hub.repository,
            [*additions, *(CommitOperationDelete(path, is_folder=False) for path in gone)],
            commit_message=f"Release {self._version}",
            repo_type=_DATASET,
            parent_commit=head,
        )
        return made.oid

    def _tree(self, revision: str) -> dict[str, RepoFile]:
        found = self._api.list_repo_tree(self.hub.repository, recursive=True, revision=revision, repo_type=_DATASET)
        return {entry.path: entry for entry in found if isinstance(entry, RepoFile)}

    # --- checks ---------------------------------------------------------------------------------------

    def _must_be_ours(self) -> None:
        """Raises ReleaseExists where the tag is of something else."""
        found = self._api.get_paths_info(self.hub.repository, [MANIFEST], revision=self._version, repo_type=_DATASET)
        ours = self._release.fs.cat_file(f"{self._release.root}/{MANIFEST}")
        if not any(isinstance(entry, RepoFile) and _holds(entry, ours) for entry in found):
            why = f"has a tag {self._version!r} of another release; releases never change: release as a new version"
            raise ReleaseExists(f"{self.hub.place}: {why}")

    def _must_be_as_published(self, additions: list[CommitOperationAdd]) -> None:
        """Raises ReleaseMissing where a file's content is not that of the manifest."""
        published = {file.path: file.sha256 for file in self._manifest.files}
        for addition in additions:
            path = addition.path_in_repo
            if path in published and addition.upload_info.sha256.hex() != published[path]:
                raise ReleaseMissing(f"{self._release.root}/{path}: is not as it was published; bring it back first")

    def _must_be_whole(self, commit: str) -> None:
        """Raises HubRefused where the hub left a file out, as a repository's .gitignore may have it do."""
        if left_out := sorted(self._paths - self._tree(commit).keys()):
            why = f"leaves out {len(left_out)} files, the first is {left_out[0]}; look at its .gitignore"
            raise HubRefused(f"{self.hub.place}: {why}")

    # --- pieces ---------------------------------------------------------------------------------------

    @cached_property
    def _paths(self) -> frozenset[str]:
        """All files of the release, by their path within it."""
        return frozenset({MANIFEST, *(file.path for file in self._manifest.files)})

    @cached_property
    def _folder(self) -> Path:
        """The release on this machine's disk. Raises ReleaseMissing, StoreFull."""
        if self._release.is_local:
            folder = Path(self._release.root)
        else:
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="ultralink-push-")))
            with disk_errors(str(folder)):
                _copy(self._release, sorted(self._paths), folder)
        if missing := sorted(path for path in self._paths if not (folder / path).is_file()):
            raise ReleaseMissing(f"{self._release.root}/{missing[0]}: is not there; bring it back first")
        return folder

    def _pushed(self, line: str, commit: str) -> Pushed:
        url = f"{self.hub.address}/datasets/{self.hub.repository}/tree/{self._version}"
        files = f"{len(self._paths)} files, commit {commit[:8]}"
        return Pushed(f"{line.format(self._version)}: {url} ({files})", commit, url)


def _copy(release: Store, paths: list[str], folder: Path) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            release.fs.get_file(f"{release.root}/{path}", str(folder / path))


def _holds(entry: RepoFile, content: bytes) -> bool:
    """Whether a file of a repository has this content, told by git's hash or that of the large file storage."""
    if entry.lfs is not None:
        return entry.lfs.sha256 == hashlib.sha256(content).hexdigest()
    return entry.blob_id == hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@contextlib.contextmanager
def _plain_uploads() -> Iterator[None]:
    """Upload as every hub and mirror understands it, without bars that a log would hold a thousand lines of.

    Xet, the client's default, needs further hosts and native code that knows no proxy.
    """
    had_xet_off, had_bars = constants.HF_HUB_DISABLE_XET, not are_progress_bars_disabled()
    constants.HF_HUB_DISABLE_XET = True
    if had_bars:
        disable_progress_bars()
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_XET = had_xet_off
        if had_bars:
            enable_progress_bars()


# --- trouble ------------------------------------------------------------------------------------------


def _patiently(push: _Push) -> Pushed:
    """Try until it is done, or no further try can help."""
    for number in range(TRIES):
        try:
            return push.attempt()
        except _PROBLEMS as problem:
            error, wait = _typed(problem, push.hub), _wait(problem, number)
        if not isinstance(error, HubUnreachable) or wait > LONGEST_WAIT_S:
            break
        if number < TRIES - 1:
            time.sleep(wait)
    # Raised here and not where it was caught: what the client says of a request may hold its headers.
    raise error


def _typed(problem: BaseException, hub: Hub) -> UltraLinkError:
    """What happened, as one of our errors."""
    if isinstance(problem, OfflineModeIsEnabled):
        return HubRefused(f"{hub.place}: Hugging Face is switched off by HF_HUB_OFFLINE; unset it to push")
    told = _told(problem, hub)
    if isinstance(problem, HFValidationError):
        return HubRefused(f"{hub.repository!r} is no repository of a hub: {told}")
    for cause in _causes(problem):
        if isinstance(cause, HfHubHTTPError):
            return _answered(cause, told, hub)
        if isinstance(cause, HTTPError | ConnectionError | TimeoutError | json.JSONDecodeError | KeyError):
            return HubUnreachable(f"{hub.place}: cannot be reached, or does not answer as a hub ({told})")
    return HubRefused(f"{hub.place}: the hub does not take the release ({told})")


def _answered(problem: HfHubHTTPError, told: str, hub: Hub) -> UltraLinkError:
    status = problem.response.status_code
    # Files go to where they are stored without the token, by links that are good for a time.
    is_storage = "Authorization" not in problem.response.request.headers
    if status in _PASSING or status >= 500 or is_storage:
        return HubUnreachable(f"{hub.place}: the hub is down, busy or limiting ({told})")
    connection = f"the connection {hub.connection!r}"
    if status == 401:
        return HubRefused(f"{hub.place}: the hub refuses the token of {connection} ({told}); put a valid one there")
    if status in (402, 403, 404):
        why = f"the token of {connection} may not write there ({told}); give it write access or name another repository"
        return HubRefused(f"{hub.place}: {why}")
    return HubRefused(f"{hub.place}: the hub does not take the release ({told})")


def _told(problem: BaseException, hub: Hub) -> str:
    """What the client says, on one line, without the token."""
    said = " ".join(str(problem).split()).replace(hub.token, "***")
    return f"{type(problem).__name__}: {said[:300]}"


def _wait(problem: BaseException, number: int) -> float:
    """Seconds to the next try: those that the hub asks for, or 1, 2, 4."""
    for cause in _causes(problem):
        if isinstance(cause, HfHubHTTPError):
            asked = cause.response.headers.get("Retry-After", "")
            if asked.isdecimal():
                return float(asked)
    return float(2**number)


def _causes(problem: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = problem
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
