"""Verdicts: one of each person for a row, kept with what was judged, and what can be made of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from tests.insight.night_rows import DATES, PASSAGE, dialogue, messages, publish, reject, translation

from ultralink.dataset import Reject, Sample
from ultralink.dialogue.labelled import load_labelled
from ultralink.insight.browse import Place, RowKind, read_row
from ultralink.insight.verdicts import Fault, Thumb, Verdict, VerdictBook, digest, judge_items, judged
from ultralink.store import Store

WHEN = datetime(2026, 11, 23, 12, tzinfo=UTC)
FIRST = Place(DATES[0], 0)
SECOND = Place(DATES[0], 1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    one = messages(("user", "Q?"), ("assistant", "An answer."))
    return publish(tmp_path, DATES[0], [dialogue(1), dialogue(2, messages=one), translation(3, "a", "b")], [reject(4)])


def row(store: Store, place: Place = FIRST, kind: RowKind = RowKind.SAMPLES) -> Sample | Reject:
    return read_row(store, "fr", kind, place)


def verdict(store: Store, place: Place = FIRST, kind: RowKind = RowKind.SAMPLES, **changes: object) -> Verdict:
    given: dict[str, object] = {"user": "anna", "time": WHEN, "thumb": Thumb.UP, **changes}
    return judged(row(store, place, kind), place, **given)  # type: ignore[arg-type]


# --- keeping ------------------------------------------------------------------------------------


def test_a_verdict_is_kept_with_person_time_and_what_was_judged(store: Store) -> None:
    book = VerdictBook(store)
    book.put(verdict(store, thumb=Thumb.DOWN, fault=Fault.LANGUAGE, answer=2, note=" Stiff.\n"))
    kept = book.of("fr", DATES[0], RowKind.SAMPLES, row(store).id, "anna")
    assert kept is not None
    assert (kept.user, kept.time, kept.thumb, kept.fault, kept.answer, kept.note) == (
        "anna", WHEN, Thumb.DOWN, Fault.LANGUAGE, 2, "Stiff.",
    )  # fmt: skip
    assert kept.row == row(store)
    assert (kept.place, kept.is_of(row(store))) == (FIRST, True)


def test_a_new_verdict_replaces_the_persons_own_only(store: Store) -> None:
    book = VerdictBook(store)
    for given in (verdict(store), verdict(store, user="bert"), verdict(store, thumb=Thumb.DOWN)):
        book.put(given)
    assert {(one.user, one.thumb) for one in book.all("fr")} == {("anna", Thumb.DOWN), ("bert", Thumb.UP)}
    assert len(list(Path(store.folder("verdicts", "fr", DATES[0])).iterdir())) == 2


def test_a_verdict_can_be_taken_back(store: Store) -> None:
    book, name = VerdictBook(store), row(store).id
    book.put(verdict(store))
    for _ in range(2):
        book.take_back("fr", DATES[0], RowKind.SAMPLES, name, "anna")
    assert book.of("fr", DATES[0], RowKind.SAMPLES, name, "anna") is None


def test_the_rows_of_a_list_that_a_person_judged(store: Store) -> None:
    book = VerdictBook(store)
    book.put(verdict(store, SECOND))
    ids = [row(store, place).id for place in (FIRST, SECOND)]
    listed = [(DATES[0], name) for name in ids] + [(DATES[1], "never")]
    assert set(book.marks("fr", RowKind.SAMPLES, listed, "anna")) == {ids[1]}
    assert book.marks("fr", RowKind.SAMPLES, listed, "bert") == {}
    assert book.marks("fr", RowKind.REJECTS, listed, "anna") == {}


def test_a_night_that_was_made_anew_has_another_row(store: Store) -> None:
    given = verdict(store)
    publish(store, DATES[0], [dialogue(1, messages=messages(("user", "Q?"), ("assistant", "Anew.")))])
    assert not given.is_of(row(store))
    assert digest(row(store).messages) != given.digest


def test_nights_and_languages_are_apart(store: Store) -> None:
    book = VerdictBook(store)
    book.put(verdict(store))
    assert (len(list(book.all("fr", DATES[0]))), len(list(book.all("fr", DATES[1]))), len(list(book.all("de")))) == (
        1,
        0,
        0,
    )


def test_ids_and_names_lead_to_no_other_folder(store: Store, tmp_path: Path) -> None:
    hostile = verdict(store, user="../../../x/\x00")
    VerdictBook(store).put(hostile)
    (path,) = (tmp_path / "verdicts").rglob("*.json")
    assert path.parent == tmp_path / "verdicts" / "fr" / DATES[0]
    assert path.stem.isalnum()
    for language, date in (("../fr", DATES[0]), ("fr", "../x"), ("fr", "")):
        with pytest.raises(ValueError, match=r"not the code|not a date|of a night"):
            VerdictBook(store).of(language, date, RowKind.SAMPLES, "id", "anna")
    with pytest.raises(ValueError, match="not a date"):
        VerdictBook(store).all("fr", "../x")


def test_an_answer_that_is_not_there_and_a_long_note_are_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="answer 3: the row has 2"):
        verdict(store, thumb=Thumb.DOWN, answer=3)
    with pytest.raises(ValueError, match="note"):
        verdict(store, note="x" * 2001)


def test_a_thumb_up_names_no_fault(store: Store) -> None:
    given = verdict(store, fault=Fault.OTHER, answer=1)
    assert (given.fault, given.answer) == (Fault.NONE, None)


def test_a_row_of_a_megabyte_is_not_copied(tmp_path: Path) -> None:
    store = publish(tmp_path, DATES[0], [dialogue(1, messages=messages(("user", "x" * 1_100_000), ("assistant", "y")))])
    given = verdict(store)
    assert given.row is None
    assert given.is_of(row(store))


def test_a_file_that_is_no_verdict_is_left_out_and_logged(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    book = VerdictBook(store)
    book.put(verdict(store))
    store.write_text(store.folder("verdicts", "fr", DATES[0], "0.json"), '{"thumb": "sideways"}')
    Path(store.folder("verdicts", "fr", DATES[0], "1.json")).write_bytes(b"\xff\xfe{")
    assert len(list(book.all("fr"))) == 1
    assert "is not a verdict" in caplog.text
    assert "sideways" not in caplog.text


def test_an_exported_line_is_the_verdict_again(store: Store) -> None:
    given = verdict(store, FIRST, RowKind.REJECTS, note='two\nlines, "quoted"\u2028')
    line = given.model_dump_json()
    assert "\n" not in line
    again = Verdict.model_validate_json(line)
    assert again == given
    assert isinstance(again.row, Reject)
    assert again.row.gate == "leak"


# --- labelled sets ------------------------------------------------------------------------------


def test_a_thumb_up_makes_every_answer_a_grounded_item(store: Store) -> None:
    items = judge_items([verdict(store)])
    assert [(item.question, item.grounded) for item in items] == [
        ("When was the canal opened?", True),
        ("What holds the banks?", True),
    ]
    assert {(item.title, item.passage) for item in items} == {("Canal 1", PASSAGE)}


@pytest.mark.parametrize(
    ("place", "fault", "answer", "questions"),
    [
        (FIRST, Fault.UNGROUNDED, 2, ["What holds the banks?"]),
        (FIRST, Fault.UNGROUNDED, None, []),  # of several answers nobody says which
        (FIRST, Fault.LANGUAGE, 2, []),  # bad, but that says nothing of the passage
        (SECOND, Fault.UNGROUNDED, None, ["Q?"]),
        (Place(DATES[0], 2), Fault.UNGROUNDED, 1, []),  # a translation has no passage
    ],
)
def test_a_thumb_down_makes_an_item_where_it_says_which_answer(
    store: Store, place: Place, fault: Fault, answer: int | None, questions: list[str]
) -> None:
    items = judge_items([verdict(store, place, thumb=Thumb.DOWN, fault=fault, answer=answer)])
    assert [(item.question, item.grounded) for item in items] == [(question, False) for question in questions]


def test_what_people_disagree_about_is_left_out_and_what_they_agree_on_is_there_once(store: Store) -> None:
    down = verdict(store, user="bert", thumb=Thumb.DOWN, fault=Fault.UNGROUNDED, answer=2)
    items = judge_items([verdict(store), down, verdict(store, user="carl")])
    assert [item.question for item in items] == ["When was the canal opened?"]


def test_items_can_be_pasted_into_a_labelled_set(tmp_path: Path, store: Store) -> None:
    """Each line of JSON is a line of YAML."""
    lines = []
    for number in range(6):
        text = messages(("user", f"Q{number}: {{why}}?"), ("assistant", f"A{number} # \"no\" 'comment'\nÉté."))
        publish(store, DATES[1], [dialogue(number, messages=text)])
        place = Place(DATES[1], 0)
        for thumb in Thumb:
            changed = {"thumb": thumb, "fault": Fault.UNGROUNDED}
            if thumb is Thumb.DOWN:
                publish(
                    store, DATES[1], [dialogue(number, messages=[*text[:1], {"role": "assistant", "content": "No."}])]
                )
            lines += [item.model_dump_json() for item in judge_items([verdict(store, place, **changed)])]
    path = tmp_path / "fr.yaml"
    path.write_text("items:\n" + "".join(f"  - {line}\n" for line in lines), encoding="utf-8")
    labelled = load_labelled("fr", tmp_path)
    assert labelled is not None
    assert sum(item.grounded for item in labelled.items) == 6
    assert len(labelled.items) == 12
    assert yaml.safe_load(path.read_text(encoding="utf-8"))["items"][0]["answer"].endswith("Été.")
