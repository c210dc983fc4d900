"""Pushing a release to a hub that works, refuses, limits, breaks off, and is pushed to by others meanwhile."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, HfFileSystem, constants, snapshot_download
from huggingface_hub.utils import are_progress_bars_disabled
from huggingface_hub.utils import logging as client_logging
from tests.release.fake_hub import REPOSITORY, TOKEN, Answer, FakeHub, Repository, fake_hub
from tests.release.nights_of_samples import samples
from tests.release.small_release import NIGHT, small_release

from ultralink.dataset import open_release
from ultralink.errors import (
    HubRefused,
    HubUnreachable,
    ReleaseExists,
    ReleaseMissing,
    TransientError,
)
from ultralink.release.hub import Hub, Pushed, push_release
from ultralink.store import Store

FIRST, SECOND = "2026.11.01", "2026.11.02"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A working hub; waiting takes no time."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with fake_hub() as served:
        yield served


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(str(tmp_path / "store"))


def push(store: Store, hub: FakeHub, version: str = FIRST, *, token: str = TOKEN, private: bool = True) -> Pushed:
    target = Hub(repository=REPOSITORY, token=token, connection="hub_conn", endpoint=hub.url, private=private)
    return push_release(store, version, target)


def on_shelf(store: Store, version: str) -> dict[str, bytes]:
    """The files of a release as they lie on the shelf."""
    folder = store.folder("releases", version)
    return {str(path).removeprefix(f"{folder}/"): store.fs.cat_file(path) for path in store.fs.find(folder)}


def beside_git(files: dict[str, bytes]) -> dict[str, bytes]:
    return {path: content for path, content in files.items() if path != ".gitattributes"}


# --- what works -----------------------------------------------------------------------------------------


def test_a_first_push_makes_the_repository(store: Store, hub: FakeHub) -> None:
    small_release(store)
    pushed = push(store, hub)
    assert beside_git(hub.repository.files("main")) == on_shelf(store, FIRST)
    assert hub.repository.tags == {FIRST: pushed.commit}
    assert hub.repository.private
    assert len(hub.repository.commits) == 2  # its own first one, and ours
    assert hub.seen["verify"] == hub.seen["upload"] == len(hub.stored) > 0
    assert pushed.url == f"{hub.url}/datasets/{REPOSITORY}/tree/{FIRST}"
    assert f"Pushed {FIRST}" in pushed.line
    assert pushed.commit[:8] in pushed.line


def test_a_push_is_quiet(store: Store, hub: FakeHub, capfd: pytest.CaptureFixture[str]) -> None:
    small_release(store)
    push(store, hub)
    printed = capfd.readouterr()
    assert printed.out + printed.err == ""


def test_a_public_repository(store: Store, hub: FakeHub) -> None:
    small_release(store)
    push(store, hub, private=False)
    assert not hub.repository.private


def test_what_was_pushed_loads_back_byte_by_byte(store: Store, hub: FakeHub, tmp_path: Path) -> None:
    small_release(store)
    push(store, hub)
    snapshot_download(
        REPOSITORY,
        repo_type="dataset",
        revision=FIRST,
        endpoint=hub.url,
        token=TOKEN,
        local_dir=tmp_path / "back",
        cache_dir=tmp_path / "cache",
    )
    for path, content in on_shelf(store, FIRST).items():
        assert (tmp_path / "back" / path).read_bytes() == content


def test_what_was_pushed_is_read_where_it_is(store: Store, hub: FakeHub) -> None:
    small_release(store, FIRST, rows=samples("zh", NIGHT, 2))
    small_release(store, SECOND)
    for version in (FIRST, SECOND):
        push(store, hub, version)
    there = HfFileSystem(endpoint=hub.url, token=TOKEN, skip_instance_cache=True)
    for revision, rows, math in ((f"@{FIRST}", 8, 2), (f"@{SECOND}", 40, 5), ("", 40, 5)):
        data = open_release(Store(there, f"datasets/{REPOSITORY}{revision}"))
        assert data.count() == len(list(data)) == rows
        assert data.where(language="zh", subset="math").count() == math


def test_a_second_push_does_nothing(store: Store, hub: FakeHub) -> None:
    small_release(store)
    pushed = push(store, hub)
    hub.seen.clear()
    again = push(store, hub)
    assert dict(hub.seen) == {"refs": 1, "paths": 1}
    assert (again.commit, again.url) == (pushed.commit, pushed.url)
    assert again.line.startswith("Nothing to do")


def test_a_new_version_takes_the_place_of_the_old(store: Store, hub: FakeHub) -> None:
    small_release(store, FIRST, rows_per_file=2)  # train-00000-of-00002, train-00001-of-00002
    small_release(store, SECOND)  # train-00000-of-00001
    push(store, hub, FIRST)
    uploads = hub.seen["upload"]
    push(store, hub, SECOND)
    assert beside_git(hub.repository.files("main")) == on_shelf(store, SECOND)
    assert beside_git(hub.repository.files(FIRST)) == on_shelf(store, FIRST)
    same = [path for path in on_shelf(store, SECOND) if "validation" in path and path.endswith(".parquet")]
    others = [path for path in on_shelf(store, SECOND) if path.endswith((".parquet", ".png")) and path not in same]
    assert len(same) == 8
    assert hub.seen["upload"] - uploads == len(others)  # what is there already is not sent again


def test_a_format_that_is_no_longer_there_goes(store: Store, hub: FakeHub) -> None:
    small_release(store, FIRST, files={"README.md": b"one", "sharegpt/zh_math.train.jsonl": b"{}\n"})
    small_release(store, SECOND, files={"README.md": b"two"})
    push(store, hub, FIRST)
    push(store, hub, SECOND)
    assert "sharegpt/zh_math.train.jsonl" not in hub.repository.files("main")


def test_what_somebody_put_at_the_top_stays(store: Store, hub: FakeHub) -> None:
    small_release(store, FIRST)
    small_release(store, SECOND)
    push(store, hub, FIRST)
    hub.repository.commit(hub.repository.files("main") | {"CITATION.cff": b"cff", "data/zh_math/old.parquet": b"old"})
    push(store, hub, SECOND)
    files = hub.repository.files("main")
    assert files["CITATION.cff"] == b"cff"
    assert ".gitattributes" in files
    assert "data/zh_math/old.parquet" not in files


def test_object_storage(hub: FakeHub) -> None:
    store = Store.at("memory://push-from-here")
    small_release(store)
    push(store, hub)
    assert beside_git(hub.repository.files(FIRST)) == on_shelf(store, FIRST)


def test_the_newest_by_its_name(store: Store, hub: FakeHub) -> None:
    small_release(store, FIRST)
    small_release(store, SECOND)
    push(store, hub, "latest")
    assert list(hub.repository.tags) == [SECOND]


def test_settings_of_the_client_are_as_before(store: Store, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    small_release(store)
    push(store, hub)
    assert constants.HF_HUB_DISABLE_XET is False
    assert not are_progress_bars_disabled()


# --- tries ------------------------------------------------------------------------------------------------

CALLS = ("refs", "create", "tree", "yaml", "preupload", "batch", "upload", "verify", "commit", "tag")


@pytest.mark.parametrize("route", CALLS)
def test_a_hub_that_fails_for_a_while(store: Store, hub: FakeHub, route: str) -> None:
    small_release(store)
    hub.fails[route] = 2
    push(store, hub)
    assert beside_git(hub.repository.files(FIRST)) == on_shelf(store, FIRST)


@pytest.mark.parametrize("route", CALLS)
def test_an_answer_that_is_lost(store: Store, hub: FakeHub, route: str) -> None:
    small_release(store)
    hub.loses[route] = 1
    pushed = push(store, hub)
    assert beside_git(hub.repository.files(FIRST)) == on_shelf(store, FIRST)
    assert hub.repository.tags == {FIRST: pushed.commit}
    assert len(hub.repository.commits) == 2


def test_a_crash_between_commit_and_tag(store: Store, hub: FakeHub) -> None:
    small_release(store)
    hub.fails["tag"] = 1000
    with pytest.raises(HubUnreachable):
        push(store, hub)
    assert hub.repository.tags == {}
    committed, uploads = hub.repository.head, hub.seen["upload"]
    hub.fails.clear()
    pushed = push(store, hub)
    assert hub.repository.tags == {FIRST: committed} == {FIRST: pushed.commit}
    assert len(hub.repository.commits) == 2
    assert hub.seen["upload"] == uploads


def test_a_crash_amid_the_uploads(store: Store, hub: FakeHub) -> None:
    small_release(store)
    hub.refuses["commit"] = 500
    with pytest.raises(HubUnreachable):
        push(store, hub)
    uploads = hub.seen["upload"]
    hub.refuses.clear()
    push(store, hub)
    assert hub.seen["upload"] == uploads
    assert beside_git(hub.repository.files(FIRST)) == on_shelf(store, FIRST)


def test_somebody_commits_meanwhile(store: Store, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    small_release(store)
    push(store, hub)
    small_release(store, SECOND)
    commit, calls = HfApi.create_commit, []

    def overtaken(*args: object, **kwargs: object) -> object:
        calls.append(args)
        if len(calls) == 1:
            hub.repository.commit(hub.repository.files("main") | {"data/zh_math/theirs.parquet": b"theirs"})
        return commit(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(HfApi, "create_commit", overtaken)
    push(store, hub, SECOND)
    assert len(calls) == 2
    assert beside_git(hub.repository.files(SECOND)) == on_shelf(store, SECOND)


def test_waits_as_long_as_it_is_told(store: Store, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    small_release(store)
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    hub.fails["refs"], hub.retry_after = 1, "7"
    push(store, hub)
    assert waited == [7.0]


def test_does_not_wait_for_an_hour(store: Store, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    small_release(store)
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    hub.fails["refs"], hub.retry_after = 1, "3600"
    with pytest.raises(HubUnreachable):
        push(store, hub)
    assert waited == []


# --- refusals -----------------------------------------------------------------------------------------------


def test_a_refused_token(store: Store, hub: FakeHub) -> None:
    small_release(store)
    with pytest.raises(HubRefused, match=r"refuses the token of the connection 'hub_conn'"):
        push(store, hub, token="hf_wrong")
    assert hub.repositories == {}


@pytest.mark.parametrize("token", ["", "hf_a b", "hf_a\n", "hf_ü"])
def test_a_token_that_is_none(store: Store, hub: FakeHub, token: str) -> None:
    small_release(store)
    with pytest.raises(HubRefused, match=r"the connection 'hub_conn' has") as caught:
        push(store, hub, token=token)
    assert not token or token not in str(caught.value)
    assert not hub.seen


@pytest.mark.parametrize("route", ["create", "preupload", "batch", "commit", "tag"])
def test_a_token_that_may_only_read(store: Store, hub: FakeHub, route: str) -> None:
    small_release(store)
    hub.refuses[route] = 403
    with pytest.raises(HubRefused, match=rf"datasets/{REPOSITORY}: the token of the connection 'hub_conn' may not"):
        push(store, hub)
    assert route == "create" or hub.repository.tags == {}


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_hub_that_stays_down(store: Store, hub: FakeHub, status: int) -> None:
    small_release(store)
    hub.refuses["*"] = status
    with pytest.raises(HubUnreachable, match=hub.url) as caught:
        push(store, hub)
    assert isinstance(caught.value, TransientError)
    assert hub.seen["refs"] == 4


def test_no_hub_at_all(store: Store, hub: FakeHub) -> None:
    small_release(store)
    with fake_hub() as gone:
        pass
    with pytest.raises(HubUnreachable, match="cannot be reached"):
        push(store, gone)


@pytest.mark.parametrize("body", [b"<html>login</html>", b"{}"])
def test_an_address_of_something_else(store: Store, hub: FakeHub, monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    small_release(store)
    monkeypatch.setattr(FakeHub, "answer", lambda *_: Answer(200, body))
    with pytest.raises(HubUnreachable, match="does not answer as a hub"):
        push(store, hub)


def test_an_address_that_is_none(store: Store) -> None:
    small_release(store)
    target = Hub(repository=REPOSITORY, token=TOKEN, connection="hub_conn", endpoint="hub.example")
    with pytest.raises(HubRefused, match="must begin with https://"):
        push_release(store, FIRST, target)


@pytest.mark.parametrize("name", ["nobody", "a/b/c", "a b/c", "", "a/..", "a--b/c"])
def test_a_name_that_is_none(store: Store, hub: FakeHub, name: str) -> None:
    small_release(store)
    target = Hub(repository=name, token=TOKEN, connection="hub_conn", endpoint=hub.url)
    with pytest.raises(HubRefused, match="is no repository of a hub"):
        push_release(store, FIRST, target)
    assert not hub.seen


def test_a_hub_that_is_switched_off(store: Store, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    small_release(store)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubRefused, match="HF_HUB_OFFLINE"):
        push(store, hub)


def test_a_tag_of_something_else(store: Store, hub: FakeHub, tmp_path: Path) -> None:
    small_release(store)
    push(store, hub)
    other = Store.at(str(tmp_path / "other"))
    small_release(other, files={"README.md": b"another"})
    before = dict(hub.repository.commits)
    with pytest.raises(ReleaseExists, match=rf"tag '{FIRST}' of another release"):
        push(other, hub)
    assert hub.repository.commits == before


def test_a_tag_without_a_release(store: Store, hub: FakeHub) -> None:
    small_release(store)
    hub.repositories[REPOSITORY] = Repository(private=True)
    hub.repository.tags[FIRST] = hub.repository.commit({"README.md": b"somebody's"})
    with pytest.raises(ReleaseExists):
        push(store, hub)


def test_a_version_that_is_a_branch(store: Store, hub: FakeHub) -> None:
    small_release(store, "main")
    with pytest.raises(HubRefused, match="branch 'main'"):
        push(store, hub, "main")


def test_a_repository_of_something_else_is_left_alone(store: Store, hub: FakeHub) -> None:
    small_release(store)
    hub.repositories[REPOSITORY] = Repository(private=True)
    theirs = hub.repository.commit({"README.md": b"theirs", "data/train.parquet": b"theirs"})
    with pytest.raises(HubRefused, match="holds folders, but no release"):
        push(store, hub)
    assert hub.repository.head == theirs


def test_a_file_that_the_hub_leaves_out(store: Store, hub: FakeHub) -> None:
    small_release(store)
    hub.repositories[REPOSITORY] = Repository(private=True)
    hub.repository.commit({".gitignore": b"*.svg\n"})
    with pytest.raises(HubRefused, match=r"leaves out 1 files, the first is plots/turns\.svg"):
        push(store, hub)
    assert hub.repository.tags == {}


def test_no_such_release(store: Store, hub: FakeHub) -> None:
    small_release(store)
    with pytest.raises(ReleaseMissing, match=FIRST):
        push(store, hub, SECOND)
    assert not hub.seen


@pytest.mark.parametrize("place", ["disk", "memory"])
def test_a_release_that_is_not_whole(hub: FakeHub, tmp_path: Path, place: str) -> None:
    store = Store.at(str(tmp_path) if place == "disk" else "memory://push-damaged")
    small_release(store)
    readme = store.folder("releases", FIRST, "README.md")
    store.fs.pipe_file(readme, b"changed")
    with pytest.raises(ReleaseMissing, match=r"README\.md: is not as it was published"):
        push(store, hub)
    store.fs.rm_file(readme)
    with pytest.raises(ReleaseMissing, match=r"README\.md: is not there"):
        push(store, hub)
    assert hub.repository.tags == {}
    assert hub.stored == {}


# --- secrets ------------------------------------------------------------------------------------------------


@pytest.fixture
def chatty() -> Iterator[None]:
    """The client's own log tells all, and tells it to ours."""
    before = client_logging.get_verbosity()
    client_logging.set_verbosity_debug()
    client_logging.enable_propagation()
    yield
    client_logging.disable_propagation()
    client_logging.set_verbosity(before)


ROUTES = ("*", "create", "yaml", "preupload", "batch", "upload", "commit", "tag")


@pytest.mark.usefixtures("chatty")
@pytest.mark.parametrize(
    ("route", "status"), [*((one, 401) for one in ROUTES), *((one, 500) for one in ROUTES), ("*", 403), ("commit", 400)]
)
def test_the_token_is_never_told(
    store: Store,
    hub: FakeHub,
    route: str,
    status: int,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    small_release(store, rows=samples("zh", NIGHT, 2))
    hub.refuses[route] = status  # with an answer that repeats the token
    caplog.set_level(logging.DEBUG)
    with pytest.raises(HubUnreachable if status == 500 or route == "upload" else HubRefused) as caught:
        push(store, hub)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    printed = capfd.readouterr()
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + caplog.text
    assert TOKEN not in told + printed.out + printed.err
    assert f"POST {hub.url}/api/" in caplog.text or route == "*"


def test_a_hub_does_not_show_its_token() -> None:
    assert TOKEN not in repr(Hub(repository=REPOSITORY, token=TOKEN, connection="hub_conn"))
