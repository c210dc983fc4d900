"""Pages of rows: order, filters, going on and back, bounds, and what is damaged."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.insight.night_rows import DATES, article, dialogue, messages, publish, reject, translation

from ultralink.dataset import Reject, Sample
from ultralink.errors import PartMissing, RowMissing, SchemaMismatch
from ultralink.insight.browse import Bounds, Place, Query, RowKind, choices, nights, page, read_row
from ultralink.schemas import SAMPLES
from ultralink.stages.statistics import Statistics, Subset, statistics_path
from ultralink.store import Store

FRENCH = Query(language="fr")
NO_HURRY = Bounds(seconds=1e9)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three nights: 600 dialogues and 300 translations, in row groups of 256; rejects by three gates."""
    place = Store.at(str(tmp_path_factory.mktemp("store")))
    for night, date in enumerate(DATES):
        rows = [dialogue(1000 * night + number) for number in range(200)]
        rows += [translation(1000 * night + number, "Use `x`.", "Prends `x`.") for number in range(100)]
        gates = ("leak", "language", "judge")
        publish(place, date, rows, [reject(1000 * night + n, gates[n % 3]) for n in range(60)])
    return place


def walked(store: Store, query: Query, **settings: object) -> list[tuple[str, int]]:
    """The places of all rows, page by page."""
    found, start = [], None
    for _ in range(2000):
        part = page(store, query, start, **settings)  # type: ignore[arg-type]
        found += [(row.place.date, row.place.number) for row in part.rows]
        if part.after is None:
            return found
        start = part.after
    raise AssertionError("the pages do not end")


def walked_back(store: Store, query: Query, start: Place | None, **settings: object) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for _ in range(2000):
        part = page(store, query, start, backward=True, **settings)  # type: ignore[arg-type]
        found = [(row.place.date, row.place.number) for row in part.rows] + found
        if part.before is None:
            return found
        start = part.before
    raise AssertionError("the pages do not end")


# --- order and pages ----------------------------------------------------------------------------


def test_the_newest_night_comes_first_and_every_row_once(store: Store) -> None:
    everything = [(date, number) for date in reversed(DATES) for number in range(300)]
    assert walked(store, FRENCH, bounds=NO_HURRY) == everything
    assert walked_back(store, FRENCH, None, bounds=NO_HURRY) == everything


def test_a_first_page_reads_one_row_group(store: Store) -> None:
    first = page(store, FRENCH)
    assert (len(first.rows), first.examined, first.before, first.stopped) == (25, 256, None, False)
    assert first.after == Place(DATES[2], 25)


def test_back_from_the_second_page_is_the_first(store: Store) -> None:
    first = page(store, FRENCH)
    second = page(store, FRENCH, first.after)
    back = page(store, FRENCH, second.before, backward=True)
    assert back.rows == first.rows
    assert (back.before, back.after) == (None, first.after)


def test_back_goes_over_the_end_of_a_night(store: Store) -> None:
    back = page(store, FRENCH, Place(DATES[1], 3), backward=True, size=5)
    places = [(row.place.date, row.place.number) for row in back.rows]
    assert places == [(DATES[2], 298), (DATES[2], 299), (DATES[1], 0), (DATES[1], 1), (DATES[1], 2)]


def test_a_page_that_takes_the_last_row_has_none_after_it(store: Store) -> None:
    query = Query(language="fr", kind=RowKind.REJECTS, date=DATES[0])
    assert page(store, query, size=60).after is None
    assert page(store, query, size=59).after == Place(DATES[0], 59)


@settings(max_examples=30)
@given(st.randoms(use_true_random=False))
def test_any_filter_size_and_bound_gives_the_rows_that_fit(store: Store, draw: random.Random) -> None:
    subset = draw.choice(("", "code", "chat_specific", "math"))
    low, high = draw.choice(((None, None), (1.05, None), (None, 2.01), (1.01, 3)))
    date = draw.choice(("", *DATES))
    text = draw.choice(("", "prends", "CANAL 10", "code-205", "opened IN 1681", "nowhere"))
    query = Query(language="fr", subset=subset, score="length_ratio", low=low, high=high, date=date, text=text)
    kept = [place for place in walked(store, FRENCH, bounds=NO_HURRY) if _fits(place, query)]
    bounds = Bounds(rows=draw.choice((1, 300, 10**6)), seconds=1e9)
    size = draw.choice((1, 7, 25)) if len(kept) < 200 else 40
    assert walked(store, query, size=size, bounds=bounds) == kept
    assert walked_back(store, query, None, size=size, bounds=bounds) == kept


def _fits(place: tuple[str, int], query: Query) -> bool:
    """The filters once more, in plain words of how the rows were made."""
    date, number = place
    night = DATES.index(date)
    is_code = number >= 200
    own = 1000 * night + (number - 200 if is_code else number)
    said = f"Explique. Prends `x`. fr-code-{own}" if is_code else (
        "When was the canal opened? It was opened in 1681, some months after the death of Riquet. "
        f"fr-chat_specific-{own}-1-0 Canal {own}"
    )  # fmt: skip
    ratio = 1.0 + own / 1000
    scored = (query.low is None and query.high is None) or (
        is_code and ratio >= (query.low or 0) and ratio <= (query.high or 99)
    )  # fmt: skip
    return (
        query.subset in ("", "code" if is_code else "chat_specific")
        and query.date in ("", date)
        and scored
        and query.text.casefold() in said.casefold()
    )


# --- filters ------------------------------------------------------------------------------------


def test_rejects_by_gate(store: Store) -> None:
    found = page(store, Query(language="fr", kind=RowKind.REJECTS, gate="judge"), size=100)
    assert len(found.rows) == 60
    assert {(row.gate, row.stage, row.reason) for row in found.rows} == {("judge", "dialogues", "names_the_text")}


def test_row_groups_that_cannot_hold_a_subset_are_not_read(store: Store) -> None:
    """Of a night's two row groups the second holds translations only."""
    found = page(store, Query(language="fr", subset="chat_specific", date=DATES[0]), size=1000)
    assert (len(found.rows), found.examined) == (200, 256)


def test_text_is_found_in_any_letters_of_any_script(tmp_path: Path) -> None:
    rows = [
        dialogue(1, messages=messages(("user", "ГДЕ КАНАЛ?"), ("assistant", "Там."))),
        dialogue(2, messages=messages(("user", "运河在哪里？"), ("assistant", "100% (.*) там"))),
        dialogue(3, source=article(3, title="Été à Sète")),
    ]
    store = publish(tmp_path, DATES[0], rows)

    def ids(text: str) -> list[int]:
        return [row.place.number for row in page(store, Query(language="fr", text=text)).rows]

    assert [ids(text) for text in ("канал", "运河", "ÉTÉ", "(.*)", "%", "там", "fr-chat_specific-3")] == [
        [0], [1], [2], [1], [1], [0, 1], [2],
    ]  # fmt: skip


def test_rows_without_messages_title_or_scores_are_shown_and_not_found(tmp_path: Path) -> None:
    rejects = [
        reject(1, messages=[], stage="articles", gate="too_short", created=None),
        reject(2, source={"kind": "english", "url": "", "licence": "", "dataset": "d", "row_id": "r"}),
    ]
    store = publish(tmp_path, DATES[0], [dialogue(1, scores=[])], rejects)
    shown = page(store, Query(language="fr", kind=RowKind.REJECTS)).rows
    assert [(row.opening, row.messages, row.name) for row in shown] == [
        ("", 0, "Canal 1"),
        ("When was the canal opened?", 4, "d, r"),
    ]
    assert [row.id for row in page(store, Query(language="fr", kind=RowKind.REJECTS, text="opened")).rows] == [
        shown[1].id
    ]
    assert page(store, Query(language="fr", score="grounded", low=0)).rows == ()
    assert page(store, FRENCH).rows[0].scores == {}


def test_a_megabyte_in_a_row_is_clipped_in_the_list(tmp_path: Path) -> None:
    long = dialogue(1, messages=messages(("user", "é" * 1_000_000), ("assistant", "b")))
    row = page(publish(tmp_path, DATES[0], [long]), FRENCH).rows[0]
    assert (row.opening, row.length, row.messages) == ("é" * 240, 1_000_001, 2)


@pytest.mark.parametrize(
    "fields",
    [
        {"language": "../fr"},
        {"language": ""},
        {"language": "fr", "date": "../x"},
        {"language": "fr", "date": "2026-02-30"},
        {"language": "fr", "text": "x" * 201},
    ],
)
def test_what_no_row_could_have_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"not|longer"):
        Query(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "x", "2026-11-01", "2026-11-01.-1", "2026-11-31.1", "2026-11-01.٣", "../..1"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a place"):
        Place.parse(text)


def test_a_place_reads_what_it_writes() -> None:
    assert Place.parse(str(Place("2026-11-01", 17))) == Place("2026-11-01", 17)


# --- bounds -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bounds", [Bounds(rows=256, seconds=1e9), Bounds(bytes=1, seconds=1e9), Bounds(seconds=0)])
def test_a_search_stops_at_its_bound_says_so_and_can_go_on(store: Store, bounds: Bounds) -> None:
    query = Query(language="fr", text="chat_specific-199-")
    first = page(store, query, bounds=bounds)
    assert (first.rows, first.stopped, first.examined, first.after) == ((), True, 256, Place(DATES[2], 256))
    assert walked(store, query, bounds=bounds) == [(DATES[0], 199)]
    assert walked_back(store, query, None, bounds=bounds) == [(DATES[0], 199)]


def test_a_full_page_has_not_stopped(store: Store) -> None:
    assert not page(store, FRENCH, bounds=Bounds(rows=1)).stopped


def test_the_clock_decides_as_well(store: Store) -> None:
    seconds = iter([0.0, 0.1, 0.2, 0.7, 0.8])
    found = page(store, Query(language="fr", text="nowhere"), clock=lambda: next(seconds))
    assert (found.stopped, found.examined) == (True, 512 - 256 + 44)


# --- one row ------------------------------------------------------------------------------------


def test_a_row_is_read_whole(store: Store) -> None:
    sample = read_row(store, "fr", RowKind.SAMPLES, Place(DATES[1], 5))
    assert isinstance(sample, Sample)
    assert (sample.id, sample.date, sample.scores["grounded"]) == ("fr-chat_specific-1005-1-0", DATES[1], 0.5)
    turned_away = read_row(store, "fr", RowKind.REJECTS, Place(DATES[1], 5))
    assert isinstance(turned_away, Reject)
    assert (turned_away.gate, turned_away.source.title) == ("judge", "Canal 1005")


def test_a_row_that_is_not_there_is_named(store: Store) -> None:
    with pytest.raises(RowMissing, match="no row 300"):
        read_row(store, "fr", RowKind.SAMPLES, Place(DATES[1], 300))
    with pytest.raises(PartMissing):
        read_row(store, "fr", RowKind.SAMPLES, Place("2020-01-01", 0))
    with pytest.raises(ValueError, match="not the code"):
        read_row(store, "../fr", RowKind.SAMPLES, Place(DATES[1], 0))


# --- choices and damage -------------------------------------------------------------------------


def test_choices_are_told_by_statistics_and_rows(tmp_path: Path) -> None:
    store = publish(tmp_path, DATES[0], [dialogue(1), translation(2, "a", "b")], [reject(1)])
    statistics = Statistics(
        language="fr", date=DATES[0], articles=1, passages=1, pool=None, calls=1, prompt_tokens=1, cached_tokens=0,
        completion_tokens=1, cost_usd=0, models=[], outputs={},
        subsets={
            "chat_specific": Subset(samples=1, rejects={"leak: names_the_text": 1, "article · too_short": 2}),
            "math": Subset(),
            "code": Subset(samples=1),
        },
    )  # fmt: skip
    store.write_text(statistics_path(store, "fr", DATES[0]), statistics.model_dump_json())
    found = choices(store, "fr", RowKind.SAMPLES)
    assert (found.dates, found.subsets, found.gates) == ((DATES[0],), ("chat_specific", "code"), ())
    assert found.scores == ("grounded", "language", "length_ratio")
    assert choices(store, "fr", RowKind.REJECTS).gates == ("leak", "too_short")


def test_a_language_without_nights_has_an_empty_page(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    assert page(store, Query(language="de")).rows == ()
    assert choices(store, "de", RowKind.SAMPLES).dates == ()
    assert nights(store, "de", RowKind.SAMPLES) == []


def test_a_damaged_night_is_left_out_and_named(tmp_path: Path) -> None:
    store = publish(tmp_path, DATES[0], [dialogue(1)])
    publish(store, DATES[1], [dialogue(2)])
    publish(store, DATES[2], [dialogue(3)])
    cut = Path(store.part(SAMPLES, "fr", DATES[2]).path)
    cut.write_bytes(cut.read_bytes()[:-20])
    torn = Path(store.part(SAMPLES, "fr", DATES[1]).path)
    content = torn.read_bytes()
    column = pq.ParquetFile(torn).metadata.row_group(0).column(0)
    begin = column.dictionary_page_offset or column.data_page_offset
    torn.write_bytes(
        content[:begin] + b"\xff" * column.total_compressed_size + content[begin + column.total_compressed_size :]
    )
    found = page(store, FRENCH)
    assert [row.place.date for row in found.rows] == [DATES[0]]
    assert len(found.unreadable) == 2
    assert DATES[2] in found.unreadable[0]
    assert DATES[1] in found.unreadable[1]


@pytest.fixture(scope="module")
def nine(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, bytes]:
    """A night of nine rows, and its file."""
    store = publish(tmp_path_factory.mktemp("nine"), DATES[0], [dialogue(number) for number in range(9)])
    return store, Path(store.part(SAMPLES, "fr", DATES[0]).path).read_bytes()


@settings(max_examples=60, deadline=None)
@given(draw=st.randoms(use_true_random=False))
def test_any_flipped_bytes_are_told_as_damage(nine: tuple[Store, bytes], draw: random.Random) -> None:
    """Of pages, not of the footer: Arrow ends the process at some of those."""
    store, sound = nine
    content, pages = bytearray(sound), len(sound) - 8 - int.from_bytes(sound[-8:-4], "little")
    for _ in range(draw.choice((1, 3, 30))):
        content[draw.randrange(pages)] ^= draw.randrange(1, 256)
    read_all(store, bytes(content))


def test_a_footer_that_is_no_text_is_told_as_damage(nine: tuple[Store, bytes]) -> None:
    store, sound = nine
    for name in (b"page_id", b"ultralink.stage"):
        broken = sound.replace(name, b"\xff" + name[1:])
        assert broken != sound
        read_all(store, broken)


def read_all(store: Store, content: bytes) -> None:
    """Everything that is read of a night, of which the file holds ``content``."""
    Path(store.part(SAMPLES, "fr", DATES[0]).path).write_bytes(content)
    page(store, FRENCH)
    page(store, Query(language="fr", text="canal", subset="chat_specific"))
    choices(store, "fr", RowKind.SAMPLES)
    for number in (0, 8):
        with suppress(SchemaMismatch, RowMissing):
            read_row(store, "fr", RowKind.SAMPLES, Place(DATES[0], number))


@pytest.mark.parametrize("content", [b"{", b"\xff", b"", b"null"])
def test_damaged_statistics_leave_the_rows_to_be_seen(tmp_path: Path, content: bytes) -> None:
    store = publish(tmp_path, DATES[0], [dialogue(1)])
    figures = Path(statistics_path(store, "fr", DATES[0]))
    figures.parent.mkdir(parents=True, exist_ok=True)
    figures.write_bytes(content)
    assert choices(store, "fr", RowKind.SAMPLES).dates == (DATES[0],)


def test_a_store_that_does_not_answer_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = publish(tmp_path, DATES[0], [dialogue(1)])

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionRefusedError(111, "refused")

    monkeypatch.setattr(store.fs, "open", refuse)
    with pytest.raises(ConnectionRefusedError):
        page(store, FRENCH)
