"""The stage that finds test items, private things and blocked words: what it writes, and when it has nothing to do."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.release.nights_of_samples import DATES, planned, publish_samples, sample, samples

from ultralink.errors import EvaluationSetError, PartitionChanged, RecipeError
from ultralink.release.recipe import Decontamination, EvaluationSet, Privacy, ReleaseRecipe
from ultralink.schemas import FINDINGS
from ultralink.stages.assembly import Assembly
from ultralink.stages.release_decontaminate import decontaminate, examined_parts
from ultralink.store import Store

DATA = Path(__file__).parents[1] / "data" / "evaluation"
FRENCH = (DATA / "mgsm_fr.tsv").read_text(encoding="utf-8").partition("\t")[0]
ENGLISH = (DATA / "mgsm_en.tsv").read_text(encoding="utf-8").partition("\t")[0]


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return Store.at(str(tmp_path / "store"))
    return Store.at(f"memory://{tmp_path.name}-{os.getpid()}")


@pytest.fixture
def items(tmp_path: Path) -> Path:
    path = tmp_path / "mgsm.jsonl"
    rows = [{"id": f"item-{number}", "question": text} for number, text in enumerate([FRENCH, ENGLISH])]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def recipe(items: Path, **changes: object) -> ReleaseRecipe:
    mgsm = EvaluationSet(name="mgsm", path=str(items), fields=["question"], ignore_numbers=True)
    return ReleaseRecipe.model_validate({"decontamination": Decontamination(sets=[mgsm]), **changes})


def publish(store: Store) -> None:
    publish_samples(store, "zh", DATES[0], samples("zh", DATES[0]))
    planted = [
        sample(number=1),
        sample(number=2, text=f"Hm: {FRENCH.replace('120', '1 250')} Yes."),
        sample(number=3, text="Write to jane@gmail.com or to joe@gmail.com, or call +1 415 555 2671."),
        sample(number=4, text="This is a wicked  WORD."),
        sample(subset="math", number=5),
        sample(number=6),
    ]
    planted[4]["source"]["english"][0]["content"] = ENGLISH  # type: ignore[index]
    planted[5]["source"]["passage"] = "The museum can be reached at +44 20 7946 0958."  # type: ignore[index]
    publish_samples(store, "en", DATES[1], planted)


def run(store: Store, recipe: ReleaseRecipe, attempt: int = 1) -> tuple[Assembly, list[str]]:
    """The run, and what its tasks say."""
    assembly = replace(planned(store, recipe=recipe, shards=2), attempt=attempt)
    return assembly, [decontaminate(assembly, shard).line for shard in range(2)]


def findings(assembly: Assembly) -> list[tuple[object, ...]]:
    return [
        (row["row"], row["stage"], row["reason"], row["removes"], row["item"], row["detail"])
        for part in examined_parts(assembly)
        for row in part.rows()
    ]


def test_what_is_found(store: Store, items: Path, tmp_path: Path) -> None:
    (tmp_path / "en.txt").write_text("wicked word\n")
    publish(store)
    settings = recipe(items, blocklists={"en": str(tmp_path / "en.txt")}, privacy=Privacy(phone="count"))
    assembly, lines = run(store, settings)
    found = findings(assembly)
    assert [one[:5] for one in found] == [
        (1, "decontaminate", "mgsm", True, "item-0"),
        (2, "privacy", "email", True, None),
        (2, "privacy", "phone", False, None),
        (3, "blocklist", "en", True, None),
        (4, "decontaminate", "mgsm", True, "item-1"),
        (5, "privacy", "phone", False, None),
    ]
    assert str(found[0][5]).startswith("la boulangerie de marta vend 1 250 petits pains")
    assert [one[5] for one in found[1:4]] == ["ja… and 1 more", "+1…", "wicked word"]
    assert any("1 blocklist en, 2 decontaminate mgsm, 1 privacy email, 2 privacy phone" in line for line in lines)
    written = json.dumps([list(part.rows()) for part in examined_parts(assembly)])
    assert not any(secret in written for secret in ("gmail", "415", "7946"))


def test_a_blocked_phrase_is_told_as_it_is_written(store: Store, tmp_path: Path) -> None:
    (tmp_path / "zh.txt").write_text("壞詞\n")
    publish_samples(store, "zh", DATES[0], [sample("zh", text="这里有坏词。")])
    assembly, _ = run(store, ReleaseRecipe(blocklists={"zh": str(tmp_path / "zh.txt")}))
    assert [one[1:] for one in findings(assembly)] == [("blocklist", "zh", True, None, "坏词")]


def test_rows_keep_their_numbers_beyond_a_batch(store: Store, items: Path) -> None:
    rows = [sample(number=number) for number in range(600)]
    rows[599] = sample(number=599, text=FRENCH)
    publish_samples(store, "en", DATES[0], rows)
    assembly, _ = run(store, recipe(items))
    [part] = examined_parts(assembly)
    assert [(row["row"], row["id"], row["subset"]) for row in part.rows()] == [(599, rows[599]["id"], "chat_specific")]


def test_what_is_off_is_not_looked_for(store: Store) -> None:
    publish(store)
    off = ReleaseRecipe(privacy=Privacy(email="off", phone="off", credential="off"))
    assert findings(run(store, off)[0]) == []


def test_a_night_is_examined_once_for_all_releases(store: Store, items: Path) -> None:
    publish(store)
    _, first = run(store, recipe(items))
    assert all("1 nights examined" in line for line in first)
    assert all("Nothing to do" in line for line in run(store, recipe(items))[1])
    publish_samples(store, "en", DATES[2], samples("en", DATES[2]))
    again = " ".join(run(store, recipe(items))[1])
    assert "12 rows of 1 nights examined" in again


def test_changed_items_settings_and_lists_are_looked_for_anew(store: Store, items: Path, tmp_path: Path) -> None:
    publish(store)
    blocked = tmp_path / "en.txt"
    blocked.write_text("lantern\n")
    settings = recipe(items, blocklists={"en": str(blocked)})
    before, _ = run(store, settings)
    items.write_text(json.dumps({"question": "Something else entirely, which no row of any language has ever said?"}))
    with pytest.raises(PartitionChanged, match="start a new run"):
        examined_parts(before)
    assembly, lines = run(store, settings)
    assert all("1 nights examined" in line for line in lines)
    assert "mgsm" not in {reason for _, _, reason, *_ in findings(assembly)}
    assert all("1 nights examined" in line for line in run(store, recipe(items, privacy=Privacy(email="off")))[1])
    run(store, settings)
    blocked.write_text("no such word in it\n")
    assert sorted("Nothing" in line for line in run(store, settings)[1]) == [False, True]  # the list is of one language


def test_a_cleared_task_examines_again(store: Store, items: Path) -> None:
    publish(store)
    run(store, recipe(items))
    _, lines = run(store, recipe(items), attempt=2)
    assert all("1 nights examined" in line for line in lines)


def test_a_task_that_was_cut_short_goes_on_where_it_stopped(store: Store, items: Path) -> None:
    for date in DATES:
        publish_samples(store, "en", date, samples("en", date))
    assembly = planned(store, recipe=recipe(items), shards=1)
    decontaminate(assembly, 0)
    store.fs.rm(assembly.of_source(FINDINGS, assembly.plan.sources[1]).path)
    assert (
        "12 rows of 1 nights examined: nothing found; 2 nights are up to date"
        in decontaminate(replace(assembly, attempt=2), 0).line
    )


def test_a_night_that_was_made_anew(store: Store, items: Path) -> None:
    publish(store)
    assembly = planned(store, recipe=recipe(items), shards=1)
    publish_samples(store, "en", DATES[1], samples("en", DATES[1]))
    with pytest.raises(PartitionChanged, match="start a new run"):
        decontaminate(assembly, 0)
    assert store.parts(FINDINGS, "en", DATES[1]) == []


def test_a_set_or_a_list_that_cannot_be_read_leaves_nothing(store: Store, items: Path, tmp_path: Path) -> None:
    publish(store)
    with pytest.raises(RecipeError, match=r"blocklists\.en"):
        run(store, recipe(items, blocklists={"en": str(tmp_path / "none.txt")}))
    items.write_text('{"question": "Which?"}\n{"query": "Who?"}\n')
    with pytest.raises(EvaluationSetError, match=r"mgsm .* row 2: field 'question' is missing"):
        run(store, recipe(items))
    items.unlink()
    with pytest.raises(EvaluationSetError, match=r"mgsm .* no such file"):
        run(store, recipe(items))
    assert store.parts(FINDINGS, "en", DATES[1]) == []
    assert store.parts(FINDINGS, "zh", DATES[0]) == []


def test_findings_are_the_same_in_every_run(store: Store, items: Path) -> None:
    publish(store)
    before = [part.stamp() for part in examined_parts(run(store, recipe(items))[0])]
    again = planned(store, recipe=recipe(items), rebuild=True)
    for shard in range(2):
        decontaminate(again, shard)
    assert [part.stamp() for part in examined_parts(again)] == before
