"""What a reader is shown of a row's texts: nothing hidden, nothing lost, words and masks marked where they are."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.insight.night_rows import DATES, PASSAGE, article, dialogue, evidence, messages, publish, reject, translation

from ultralink.dataset import Reject, Sample
from ultralink.insight.browse import Place, RowKind, read_row
from ultralink.insight.evidence import (
    CLIP,
    MOST,
    MOST_SIGNS,
    Mark,
    Passage,
    Shown,
    conversation,
    masked_in_both,
    quotation_marks,
    revision_link,
    safe_link,
    shown,
    spans,
)
from ultralink.translation.masks import mask

HIDDEN = "\u202e\u2066\u200f\u061c\u200b\ufeff\x00\x1b\x7f\x85\r\u00ad\U000e0041"


def read(tmp_path_factory: pytest.TempPathFactory, row: dict[str, object]) -> Sample | Reject:
    """The row as it comes out of a store."""
    is_reject = "gate" in row
    store = publish(tmp_path_factory.mktemp("store"), DATES[0], [] if is_reject else [row], [row] if is_reject else [])
    return read_row(store, "fr", RowKind.REJECTS if is_reject else RowKind.SAMPLES, Place(DATES[0], 0))


def texts(text: Shown, kind: str) -> list[str]:
    return [piece.text for piece in text.pieces if piece.kind == kind]


# --- hidden characters --------------------------------------------------------------------------


@pytest.mark.parametrize("character", HIDDEN)
def test_a_hidden_character_becomes_a_sign_with_its_name(character: str) -> None:
    left, sign, right = shown(f"a{character}b").pieces
    assert (left.text, right.text, sign.kind) == ("a", "b", "sign")
    assert f"U+{ord(character):04X}" in sign.title
    assert character not in sign.text + sign.title


@pytest.mark.parametrize("text", ["a\tb\nc", "a\r\nb", "نمی\u200cخواهم", "👩\u200d🚀", "<script>&\"'", "عربي", "é"])
def test_what_a_text_needs_stays_as_it_is(text: str) -> None:
    assert "".join(texts(shown(text), "text")) == text.replace("\r\n", "\n")


def test_a_run_of_one_hidden_character_is_one_sign() -> None:
    assert texts(shown("\u202e" * 700 + "\x1b"), "sign") == ["RLO ×700", "ESC"]


def test_a_flood_of_signs_is_bounded() -> None:
    flood = shown("\u202ex" * 300_000)
    assert len(flood.pieces) == 2 * MOST_SIGNS
    assert not set(flood.pieces[-1].text) - {"x", "\N{REPLACEMENT CHARACTER}"}


@given(st.text(st.sampled_from("ab \n" + HIDDEN), max_size=60), st.lists(st.integers(0, 70), max_size=8))
def test_no_piece_holds_a_hidden_character_and_all_others_are_there(text: str, cuts: list[int]) -> None:
    ordered = sorted(cuts)
    marks = [Mark(*pair, "shared") for pair in zip(ordered[::2], ordered[1::2], strict=False)]
    pieces = shown(text, marks).pieces
    said = "".join(piece.text for piece in pieces if piece.kind != "sign")
    assert said == "".join(character for character in text if character not in HIDDEN)
    assert not any(set(piece.text + piece.title) & set(HIDDEN) for piece in pieces)


def test_a_long_text_is_clipped_shown_on_demand_and_cut_at_last() -> None:
    long = "x" * (CLIP + 1)
    clipped = shown(long, (), CLIP)
    assert (len(clipped.pieces[0].text), clipped.length, clipped.clipped, clipped.cut) == (CLIP, CLIP + 1, True, False)
    assert shown(long).pieces[0].text == long
    most = shown("x" * (MOST + 1))
    assert (len(most.pieces[0].text), most.clipped, most.cut) == (MOST, False, True)
    assert not shown("x" * CLIP, (), CLIP).clipped


# --- words shared with the passage --------------------------------------------------------------


def test_shared_words_are_found_in_answer_and_passage() -> None:
    answer = "Yes: it WAS opened in 1681, some months after that."
    (run,) = Passage(PASSAGE).runs(answer)
    assert answer[run.start : run.stop] == "it WAS opened in 1681, some months after"
    assert PASSAGE[run.other_start : run.other_stop] == "It was opened in 1681, some months after"


def test_the_longest_of_several_places_is_taken() -> None:
    passage = "we saw a red fox. Then we saw a red fox in the deep snow of the north."
    (run,) = Passage(passage).runs("we saw a red fox in the deep snow")
    assert passage[run.other_start : run.other_stop] == "we saw a red fox in the deep snow"


@pytest.mark.parametrize("answer", ["", "It was.", "of the in a", "一二三", "Something else is said here today."])
def test_what_is_chance_is_not_marked(answer: str) -> None:
    assert Passage(PASSAGE + " of the in a 一二三四").runs(answer) == []


def test_scripts_without_blanks_are_compared_by_characters() -> None:
    answer = "它于一六八一年通航。"
    (run,) = Passage("运河于一六八一年通航，在建造者去世数月之后。").runs(answer)
    assert answer[run.start : run.stop] == "于一六八一年通航"


@given(st.text(st.sampled_from("ab 一"), max_size=80), st.text(st.sampled_from("ab 一"), max_size=80))
def test_runs_are_in_order_and_the_same_words_in_both(answer: str, passage: str) -> None:
    end = 0
    for run in Passage(passage).runs(answer):
        assert end <= run.start < run.stop <= len(answer)
        assert answer[run.start : run.stop].split() == passage[run.other_start : run.other_stop].split()
        end = run.stop


def test_repetitive_text_takes_no_time() -> None:
    """Quadratic time would take hours."""
    assert len(Passage("a " * 150_000).runs("a " * 150_000 + "b" + " a" * 40_000)) >= 1


def test_a_dialogue_marks_what_answers_share_and_where_it_is(tmp_path_factory: pytest.TempPathFactory) -> None:
    told = conversation(read(tmp_path_factory, dialogue(1)))
    assert [(one.role, one.answer) for one in told.said] == [
        ("user", 0),
        ("assistant", 1),
        ("user", 0),
        ("assistant", 2),
    ]
    answer = told.said[1].text
    assert answer is not None
    assert texts(answer, "shared") == ["It was opened in 1681, some months after the death of"]
    assert told.passage is not None
    assert texts(told.passage, "shared") == texts(answer, "shared")
    assert [piece.number for piece in answer.pieces if piece.kind == "shared"] == [1]
    assert not told.said[0].text.is_marked  # type: ignore[union-attr]  # a question proves nothing


# --- what the judge quoted ----------------------------------------------------------------------


def test_what_the_judge_quoted_is_marked_instead_and_joined_to_its_answer(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    quotes = evidence("«it was opened in 1681 , some months after»".replace(" ,", ","), "plane  trees hold the banks…")
    told = conversation(read(tmp_path_factory, dialogue(1, evidence=quotes)))
    assert told.passage is not None
    assert texts(told.passage, "quoted") == [
        "It was opened in 1681, some months after",
        "Plane trees hold the banks",
    ]
    assert [piece.number for piece in told.passage.pieces if piece.kind == "cite"] == [1, 2]
    assert "".join(piece.text for piece in told.passage.pieces if piece.kind != "cite") == PASSAGE
    assert texts(told.passage, "shared") == []
    assert [one.found.is_marked if one.found else None for one in told.said] == [None, True, None, True]
    assert not any(one.text.is_marked for one in told.said if one.text)


def test_where_nothing_was_quoted_shared_words_stay(tmp_path_factory: pytest.TempPathFactory) -> None:
    old = conversation(read(tmp_path_factory, dialogue(1)))
    assert (old.is_judged, [one.found for one in old.said]) == (False, [None] * 4)
    lost = [{"answer": 2, "grounded": False, "quote": "Plane trees hold the banks"}, *evidence("no such words in it")]
    for quotes in (evidence(None, None), lost):
        told = conversation(read(tmp_path_factory, reject(1, gate="judge", evidence=quotes)))
        assert told.is_judged
        assert told.passage is not None
        assert old.passage is not None
        assert told.passage.pieces == old.passage.pieces
        assert not any(one.found.is_marked for one in told.said if one.found)


def test_a_quotation_beyond_what_is_shown_has_no_link(tmp_path_factory: pytest.TempPathFactory) -> None:
    passage = "x " * CLIP + PASSAGE
    row = read(
        tmp_path_factory, dialogue(1, source=article(1, passage=passage), evidence=evidence("trees hold the banks"))
    )
    found = [conversation(row, whole=whole).said[1].found for whole in (False, True)]
    assert [one.is_marked for one in found if one] == [False, True]


@given(st.dictionaries(st.integers(1, 6), st.tuples(st.integers(0, 20), st.integers(1, 10)), max_size=6))
def test_marks_of_quotations_cover_them_and_cite_each_where_it_begins(lengths: dict[int, tuple[int, int]]) -> None:
    places = {answer: (start, start + length) for answer, (start, length) in lengths.items()}
    marks = quotation_marks(places)
    assert all(one.stop <= other.start for one, other in pairwise(marks))
    covered = {at for mark in marks for at in range(mark.start, mark.stop)}
    assert covered == {at for place in places.values() for at in range(*place)}
    cited = {answer: mark.start for mark in marks for answer in mark.cites}
    assert cited == {answer: start for answer, (start, _) in places.items()}
    assert sum(len(mark.cites) for mark in marks) == len(places)


@pytest.mark.parametrize(
    ("passage", "quote", "marked"),
    [
        ("运河于一六八一年通航，去世数月之后。", "于一六八一年通航,去世数月", "于一六八一年通航，去世数月"),
        ("ВОЙНА и\u00a0мир — роман.", "война и мир - роман", "ВОЙНА и\u00a0мир — роман"),
        ("كتبها \u200fسنة ١٦٨١ بعد وفاته.", "كتبها سنة ١٦٨١", "كتبها سنة ١٦٨١"),
        ("It ends with </document> as old ones do.", "ends with ‹/document> as old", "ends with </document> as old"),
    ],
)
def test_quotations_are_marked_in_every_script(
    tmp_path_factory: pytest.TempPathFactory, passage: str, quote: str, marked: str
) -> None:
    row = read(tmp_path_factory, dialogue(1, source=article(1, passage=passage), evidence=evidence(quote)))
    told = conversation(row)
    assert told.passage is not None
    assert "".join(texts(told.passage, "quoted")) == marked


# --- words shared, in a dialogue ------------------------------------------------------------------


def test_numbers_join_an_answer_with_its_place_in_the_passage(tmp_path_factory: pytest.TempPathFactory) -> None:
    said = messages(
        ("user", "?"), ("assistant", "Plane trees hold the banks together."),
        ("user", "?"), ("assistant", "The canal links the Garonne at Toulouse."),
    )  # fmt: skip
    told = conversation(read(tmp_path_factory, dialogue(1, messages=said)))
    numbers = [[piece.number for piece in one.text.pieces if piece.kind == "shared"] for one in told.said if one.text]
    assert numbers == [[], [2], [], [1]]


def test_a_reject_without_messages_or_passage_is_shown(tmp_path_factory: pytest.TempPathFactory) -> None:
    row = reject(1, messages=[], source=article(1, passage=None))
    told = conversation(read(tmp_path_factory, row))
    assert (told.said, told.passage, told.is_translation) == ((), None, False)


def test_whole_shows_what_is_clipped(tmp_path_factory: pytest.TempPathFactory) -> None:
    long = read(tmp_path_factory, dialogue(1, messages=messages(("user", "x" * 1_000_000), ("assistant", "y"))))
    clipped, whole = conversation(long).said[0].text, conversation(long, whole=True).said[0].text
    assert clipped is not None
    assert whole is not None
    assert (clipped.clipped, len(clipped.pieces[0].text)) == (True, CLIP)
    assert (whole.clipped, len(whole.pieces[0].text)) == (False, 1_000_000)


# --- masks --------------------------------------------------------------------------------------


@given(st.text(st.sampled_from("a $`⟦1⟧\n\\(){}/:.%<>https"), max_size=60))
def test_spans_are_what_the_translator_does_not_see(text: str) -> None:
    masked = mask(text)
    assert [text[start:stop] for start, stop in spans(text)] == [span.text for span in masked.spans]


def test_masks_are_marked_in_both_and_what_is_lost_is_shown() -> None:
    english = "Use `x=1` and $a^2$ at https://a.example/b, `y`."
    told = "Sur https://a.example/b, prends `x=1` et $a^3$, `y`."
    marks, others = masked_in_both(english, told)
    assert [(english[mark.start : mark.stop], mark.kind) for mark in marks] == [
        ("`x=1`", "kept"), ("$a^2$", "lost"), ("https://a.example/b", "kept"), ("`y`", "kept"),
    ]  # fmt: skip
    by_number = {mark.number: told[mark.start : mark.stop] for mark in others}
    assert by_number == {1: "`x=1`", 3: "https://a.example/b", 4: "`y`"}


def test_each_mask_is_found_once() -> None:
    marks, others = masked_in_both("`x` `x` `x`", "`x` et `x`")
    assert [mark.kind for mark in marks] == ["kept", "kept", "lost"]
    assert [(mark.start, mark.number) for mark in others] == [(0, 1), (7, 2)]


def test_a_translation_stands_beside_its_source(tmp_path_factory: pytest.TempPathFactory) -> None:
    told = conversation(read(tmp_path_factory, translation(1, "Call `f()` now.", "Appelle `f()`.")))
    assert told.is_translation
    question, answer = told.said
    assert (question.role, answer.answer) == ("user", 1)
    assert answer.english is not None
    assert answer.text is not None
    assert (texts(answer.english, "kept"), texts(answer.text, "kept")) == (["`f()`"], ["`f()`"])


def test_a_reject_may_have_fewer_messages_than_its_source(tmp_path_factory: pytest.TempPathFactory) -> None:
    row = reject(1, source=translation(1, "a", "b")["source"], messages=messages(("user", "Explique.")))
    told = conversation(read(tmp_path_factory, row))
    assert [(one.role, one.text is None, one.english is None) for one in told.said] == [
        ("user", False, False),
        ("assistant", True, False),
    ]


# --- links --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)", "JavaScript:alert(1)", " javascript:alert(1)", "java\nscript:alert(1)",
        "data:text/html,x", "vbscript:x", "//evil.example/", "/etc/passwd", "https://", "https:///x", "http://a b/", 
        "https://a@evil.example/", "https://x\u202e.example/", "https:\\\\evil.example", "file:///etc/passwd", "ftp://a.example/",
        "", "https://[::1",
    ],
)  # fmt: skip
def test_what_is_no_plain_web_address_is_no_link(url: str) -> None:
    assert safe_link(url) is None


@pytest.mark.parametrize("url", ["https://fr.wikipedia.org/wiki/%C3%89t%C3%A9", "http://a.example/é?x=1#y"])
def test_plain_web_addresses_are_links(url: str) -> None:
    assert safe_link(url) == url


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("https://fr.wikipedia.org/wiki/Canal", "https://fr.wikipedia.org/wiki/Canal?oldid=7"),
        ("https://fr.wikipedia.org/w/index.php?title=C", "https://fr.wikipedia.org/w/index.php?title=C&oldid=7"),
        ("https://fr.wikipedia.org/w/index.php?oldid=3", "https://fr.wikipedia.org/w/index.php?oldid=3"),
        ("https://fr.wikipedia.org/wiki/C#s", "https://fr.wikipedia.org/wiki/C?oldid=7#s"),
        ("javascript:alert(1)", None),
    ],
)
def test_an_article_is_linked_at_its_revision(
    tmp_path_factory: pytest.TempPathFactory, url: str, link: str | None
) -> None:
    assert revision_link(read(tmp_path_factory, dialogue(1, source=article(1, url=url)))) == link
