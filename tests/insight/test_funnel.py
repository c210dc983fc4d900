"""The funnel of a night, before and after it is published."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.insight.made_nights import night
from tests.insight.night_rows import dialogue, reject

from ultralink.insight.damage import Damages
from ultralink.insight.funnel import Funnel, Reason, Rows, funnels, is_tidied, rows_of
from ultralink.pool.row import Kind
from ultralink.schemas import (
    ARTICLE_REJECTS,
    CHOICE,
    DIALOGUE_REJECTS,
    DIALOGUES,
    SELECTION,
    TRANSLATIONS,
)
from ultralink.stages.statistics import Statistics
from ultralink.store import Store

NIGHT = ("fr", "2026-11-01")
WHEN = datetime(2026, 11, 1, tzinfo=UTC)


def selected(position: int) -> dict[str, object]:
    return {"position": position, "page_id": position, "title": "t", "revision_id": None}


def chosen(position: int, kind: Kind) -> dict[str, object]:
    texts = dict.fromkeys(("id", "source", "type", "licence", "url"), "x")
    return {"position": position, "edition": "2026-11-01", "kind": kind.value, "messages": [], "row": 1, **texts}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A night that is not published: two shards of dialogues, three math rows of which one is done."""
    made = Store.at(str(tmp_path))
    made.part(SELECTION, *NIGHT).write(map(selected, range(5)), "made")
    made.part(ARTICLE_REJECTS, *NIGHT).write([reject(1, "stub", stage="articles", reason="only 12 tokens")], "made")
    for shard in (0, 1):
        made.part(DIALOGUES, *NIGHT, shard).write([dialogue(shard), dialogue(shard + 10)], "made")
        made.part(DIALOGUE_REJECTS, *NIGHT, shard).write([reject(shard + 20), reject(shard + 30)], "made")
    made.part(CHOICE, *NIGHT).write([chosen(number, Kind.MATH) for number in range(3)], "made")
    made.part(TRANSLATIONS[Kind.MATH], *NIGHT).write([dialogue(7, subset="math")], "made")
    return made


def counted(store: Store) -> Rows:
    return rows_of(store, *NIGHT, Damages())


def ways(store: Store, statistics: Statistics | None = None) -> list[Funnel]:
    return funnels(store, *NIGHT, counted(store), statistics, Damages())


def test_rows_are_counted_by_stage_and_shard(store: Store) -> None:
    rows = counted(store)
    assert rows.total(SELECTION) == 5
    assert rows.total(DIALOGUES) == 4
    assert [rows.shard(DIALOGUES, shard) for shard in (0, 1, 2)] == [2, 2, None]
    assert rows.total(TRANSLATIONS[Kind.CODE]) is None


def test_a_night_in_the_making_has_its_funnel(store: Store) -> None:
    dialogues, math = (each for each in ways(store) if each.levels[0].rows)
    assert [(level.name, level.rows) for level in dialogues.levels] == [
        ("articles chosen", 5),
        ("articles read", None),
        ("passages", None),
        ("dialogues", 4),
    ]
    assert dialogues.reasons == (
        Reason("dialogues", "leak", "names_the_text", 4),
        Reason("articles", "stub", "", 1),
    )
    assert dialogues.rejected == 5
    assert dialogues.widest == 5
    assert (math.subset, [level.rows for level in math.levels], math.reasons) == ("math", [3, 1], ())


def test_a_published_night_tells_its_reasons_from_the_statistics(store: Store) -> None:
    rejects = {
        "chat_specific": {"article · stub": 7, "leak: names: the text": 9},
        "math": {"answer: differs": 2, "odd": 1},
    }
    found = ways(store, night(*NIGHT, rejects=rejects))
    reasons = {each.subset: each.reasons for each in found}
    assert reasons["chat_specific"] == (
        Reason("dialogues", "leak", "names: the text", 9),
        Reason("articles", "stub", "", 7),
    )
    assert reasons["math"] == (Reason("translation", "answer", "differs", 2), Reason("translation", "odd", "", 1))


def test_statistics_of_another_time_may_lack_a_subset(store: Store) -> None:
    older = night(*NIGHT).model_copy(update={"subsets": {}})
    assert all(each.reasons == () for each in ways(store, older))


def test_a_part_that_is_made_again_is_counted_again(store: Store) -> None:
    assert counted(store).total(DIALOGUES) == 4
    store.part(DIALOGUES, *NIGHT, 1).write([dialogue(number) for number in range(6)], "again")
    assert counted(store).total(DIALOGUES) == 8


def test_a_part_that_did_not_change_is_not_opened_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    counted(store)
    monkeypatch.setattr(store.fs, "open", lambda *_, **__: pytest.fail("opened a part again"))
    assert counted(store).total(DIALOGUES) == 4


def test_a_night_without_anything_has_no_funnel(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    assert ways(store) == []


ARROWS = b"PAR1" + b"\x15\x04\xff" * 30 + (90).to_bytes(4, "little") + b"PAR1"  # a footer that cannot be parsed


@pytest.mark.parametrize("content", [b"", b"not parquet", b"PAR1", ARROWS])
def test_a_damaged_part_is_named_and_the_rest_is_counted(store: Store, content: bytes) -> None:
    for stage, shard in ((DIALOGUES, 1), (DIALOGUE_REJECTS, 1), (CHOICE, 0)):
        Path(store.part(stage, *NIGHT, shard).path).write_bytes(content)
    damages = Damages()
    rows = rows_of(store, *NIGHT, damages)
    assert rows.total(DIALOGUES) == 2
    found = funnels(store, *NIGHT, rows, None, damages)
    assert found[0].reasons == (
        Reason("dialogues", "leak", "names_the_text", 2),
        Reason("articles", "stub", "", 1),
    )
    named = [line.partition("/fr/")[0].rpartition("/")[2] for line in damages.lines]
    assert sorted(named) == ["choice", "dialogue_rejects", "dialogues"]
    assert all("rebuild" in line for line in damages.lines)


def test_a_part_whose_pages_are_torn_is_named(store: Store) -> None:
    path = Path(store.part(DIALOGUE_REJECTS, *NIGHT, 1).path)
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + b"\xff" * (len(whole) // 2) + whole[4 + len(whole) // 2 :])
    damages = Damages()
    funnels(store, *NIGHT, counted(store), None, damages)
    assert len(damages.lines) == 1
    assert "dialogue_rejects/fr/2026-11-01/00001.parquet: " in damages.lines[0]


def test_a_store_that_breaks_is_no_damage(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ConnectionError("the disk has gone")

    monkeypatch.setattr(store.fs, "open", broken)
    path = Path(store.part(DIALOGUES, *NIGHT, 1).path)
    path.write_bytes(path.read_bytes() + b" ")  # so that it is opened
    with pytest.raises(ConnectionError):
        counted(store)


def test_a_night_whose_parts_are_tidied_away_is_told_by_its_figures(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    store.part(SELECTION, *NIGHT).write(map(selected, range(5)), "made")
    statistics = night(*NIGHT, chat_specific=40, math=9)
    levels = {each.subset: [level.rows for level in each.levels] for each in ways(store, statistics)}
    assert levels == {"chat_specific": [5, 40, 40, 40], "math": [None, 9]}
    assert is_tidied(counted(store), statistics)
    assert not is_tidied(counted(store), None)


def test_a_published_night_with_its_parts_is_not_tidied(store: Store) -> None:
    assert not is_tidied(counted(store), night(*NIGHT, chat_specific=4))


@pytest.mark.parametrize("key", ["..", "../fr", "a/b", ""])
def test_a_forged_key_reads_nothing(store: Store, key: str) -> None:
    with pytest.raises(ValueError, match="cannot be part of a path"):
        rows_of(store, "fr", key, Damages())
