"""Sentences and passages: nothing lost or repeated, no sentence cut, every passage within its bounds."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.wikipedia.markup import FETCHED, article, rules

from ultralink.recipe import TokenBounds, load_recipe
from ultralink.tokens import count_tokens
from ultralink.wikipedia.article import Passage, TurnedAway
from ultralink.wikipedia.clean import clean
from ultralink.wikipedia.dump import DumpWiki
from ultralink.wikipedia.segment import passages, sentences

BOUNDS = TokenBounds(min=1000, max=2000)


def split(text: str, language: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text, rules(language))]


# --- sentences ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "marked"),
    [
        ("en", "It rains. |It pours! |Does it? |Yes."),
        ("en", "Mr. Smith met Dr. J. R. R. Brown of the U.S. Navy at 5 p.m. on a Sunday."),
        (
            "en",
            "It costs 3.5, i.e. four. |See fig. 3 and No. 5 or no. 6 here. |He said no. |Then he left.",
        ),
        ("en", 'She said: "Go away." |He went (it was late. Very late.) home. |(He slept.) |It ended...|'),
        ("en", "Wait... what? |“No.” |‘Why?’ he asked. |Yahoo! is a site. |It was 1990. |In 1991 it grew."),
        ("en", "A heading\n|A line without a stop\n\n|Another heading\n|Text.  \n |More."),
        ("en", "Version 2.0 of node.js and v. 3 at example.com. |Done."),
        ("zh", "茶馆很老。|茶馆在哪里？|真好！|他说：“好。你来。”然后走了。"),
        ("zh", "《你好！世界》是一首歌。|价格为3.5元；很便宜。|书名（又名《茶。酒》）很长……结束"),
        ("zh", "他来了！？|她走了。」|「走吧。」|"),
        ("ru", "Построен в 1864 г. купцом М. О. Бритневым, т. е. давно. |Лёд — это вода. |Да."),
        ("ru", "Цена 5 тыс. руб. за штуку. |«Что это?» — спросил он. |«Лёд». |В XIX в. было иначе."),
        ("fr", "Il vit au Ier siècle av. J.-C. à Rome. |M. Martin dit : « Oui. Non. » |Il part !|"),
        ("fr", "Voir p. 5, cf. Dupont. |C'est-à-dire « rien ». |Est-ce vrai ? |Oui."),
        ("es", "El Sr. García vive en EE. UU. desde 1990. |¿Por qué? |¡Nadie lo sabe! |Véase la pág. 5."),
        ("es", "En el 44 a. C. murió. |Dijo «sí». |Fin."),
    ],
)
def test_where_sentences_end(language: str, marked: str) -> None:
    assert "|".join(split(marked.replace("|", ""), language)) == marked.rstrip("|")


GERMAN = rules().model_copy(update={"abbreviations": ["z. B", "d. h", "Dr", "Nr", "usw"]})


def test_a_language_that_is_only_data() -> None:
    text = "Am 3. Oktober kam Dr. Weiß, d. h. im 19. Jahrhundert, z. B. nach Ulm. |Er blieb („Warum?“). |Ja."
    found = sentences(text.replace("|", ""), GERMAN)
    assert "|".join(text.replace("|", "")[start:end] for start, end in found) == text


_MESSY = st.text(
    st.one_of(
        st.sampled_from("aA字.!?…。！？；;,«»“”\"'()（）《》「」 \n\t\r\u2028\u00a0\u200d0123\u0301\u0600é-—"),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=300,
)


@settings(max_examples=500, deadline=None)
@given(_MESSY, st.sampled_from(["en", "zh", "ru", "fr", "es"]))
def test_sentences_tile_any_text(text: str, language: str) -> None:
    parts = split(text, language)
    assert "".join(parts) == text
    assert all(parts)
    assert not any(part[0].isspace() for part in parts[1:])
    assert text.isspace() or not any(part.isspace() for part in parts)


# --- passages -------------------------------------------------------------------------------------------


def check(text: str, cut: list[Passage], bounds: TokenBounds, language: str = "en") -> None:
    """All that is promised of passages."""
    assert "".join(passage.text for passage in cut) == text
    ends = {end for _, end in sentences(text, rules(language))}
    at = 0
    for index, passage in enumerate(cut):
        assert (passage.index, passage.start, passage.text) == (index, at, text[at : passage.end])
        assert passage.id == f"7-70-{index}"
        assert passage.end in ends
        assert passage.tokens == count_tokens(passage.text)
        assert bounds.min <= passage.tokens <= bounds.max
        at = passage.end


def possible(text: str, bounds: TokenBounds, language: str) -> bool:
    """Whether any tiling of whole sentences fits, by trying all."""
    starts = [start for start, _ in sentences(text, rules(language))] + [len(text)]
    reached = {0}
    for number, end in enumerate(starts[1:], 1):
        if any(
            start in reached and bounds.min <= count_tokens(text[start:end]) <= bounds.max for start in starts[:number]
        ):
            reached.add(end)
    return len(text) in reached and len(text) > 0


@settings(max_examples=500, deadline=None)
@given(_MESSY, st.integers(0, 30), st.integers(1, 40), st.sampled_from(["en", "zh", "ru"]))
def test_passages_of_messy_text(text: str, least: int, spare: int, language: str) -> None:
    bounds = TokenBounds(min=least, max=least + spare)
    cut = passages(article(text), bounds, rules(language))
    if isinstance(cut, TurnedAway):
        assert cut.gate == "passages"
        assert not possible(text, bounds, language)
    else:
        check(text, cut, bounds, language)


_WORDS = st.lists(
    st.sampled_from(["tea", "leaf", "Wasser", "茶", "чай", "water,", "(cup)", "3.5", "Dr.", "and"]),
    min_size=3,
    max_size=40,
)
_PARAGRAPH = st.lists(_WORDS.map(lambda words: "The " + " ".join(words) + ". "), min_size=1, max_size=12)
_ARTICLE = st.lists(_PARAGRAPH.map(lambda lines: "".join(lines).strip()), min_size=8, max_size=60)


@settings(max_examples=60, deadline=None)
@given(_ARTICLE, st.integers(2, 6))
def test_passages_of_articles(paragraphs: list[str], every: int) -> None:
    """Wherever there is room for a choice, a tiling is found."""
    text = "\n".join(
        f"\nHeading {number}\n{line}" if number and number % every == 0 else line
        for number, line in enumerate(paragraphs)
    )
    assume(count_tokens(text) >= 300)
    bounds = TokenBounds(min=100, max=300)
    cut = passages(article(text), bounds, rules())
    assert isinstance(cut, list)
    check(text, cut, bounds)
    assert not any(passage.text.rstrip().rsplit("\n")[-1].startswith("Heading") for passage in cut)


def prose(tokens: int) -> str:
    """Sentences of ten tokens."""
    return "The old tea house stands by the river. " * (tokens // 9)


@pytest.mark.parametrize("tokens", [1020, 1500, 1990, 2060, 2500, 3100, 4300, 9990])
def test_a_short_tail_joins_its_neighbours(tokens: int) -> None:
    text = prose(tokens).strip()
    cut = passages(article(text), BOUNDS, rules())
    assert isinstance(cut, list)
    check(text, cut, BOUNDS)
    sizes = [passage.tokens for passage in cut]
    assert max(sizes) - min(sizes) < 40


def test_sections_are_kept_together() -> None:
    text = "\n\n".join(f"Part {number}\n{prose(700)}".strip() for number in range(1, 9))
    cut = passages(article(text), BOUNDS, rules())
    assert isinstance(cut, list)
    check(text, cut, BOUNDS)
    assert all(passage.text.startswith("Part ") for passage in cut)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "0 tokens"),
        (prose(500), "tokens in 55 sentences"),
        (("Water " + "and tea water " * 100 + "end. ") * 7, "tokens in 7 sentences"),
        ("water and tea " * 2000, "in 1 sentences"),
        (prose(900) + "water and tea " * 1200, "the longest 36"),
        ("茶" * 5000 + "。" + "水。" * 400, "cannot be cut into passages of 1000 to 2000"),
    ],
)
def test_what_cannot_be_cut_is_turned_away(text: str, said: str) -> None:
    away = passages(article(text), BOUNDS, rules("zh"))
    assert isinstance(away, TurnedAway)
    assert (away.gate, away.page_id, away.title) == ("passages", 7, "Tea")
    assert said in away.reason
    assert len(away.text) <= 2000


def test_a_long_sentence_stays_whole_among_others() -> None:
    text = prose(1200) + "water and tea " * 400 + "end. " + prose(1200)
    cut = passages(article(text), BOUNDS, rules())
    assert isinstance(cut, list)
    check(text, cut, BOUNDS)


def test_ten_megabytes_without_a_stop_and_of_tiny_sentences() -> None:
    assert len(sentences("water and tea " * 700_000, rules())) == 1
    assert len(sentences("Tea. " * 500_000, rules())) == 500_000
    assert len(sentences("(“《" * 700_000 + "。", rules())) == 1
    text = "Tea. " * 20_000
    cut = passages(article(text), BOUNDS, rules())
    assert isinstance(cut, list)
    check(text, cut, BOUNDS)


@pytest.mark.parametrize("language", ["en", "zh", "ru", "fr", "es"])
def test_samples_are_cut_whole(language: str) -> None:
    recipe = load_recipe(language)
    assert recipe.wikipedia.dump is not None
    wiki = DumpWiki(recipe.wikipedia.dump, FETCHED)
    several = 0
    for page in wiki.pages(list(wiki.candidates())):
        cleaned = page if isinstance(page, TurnedAway) else clean(page, recipe.wikipedia, recipe.text)
        if isinstance(cleaned, TurnedAway):
            continue
        cut = passages(cleaned, BOUNDS, recipe.text)
        assert isinstance(cut, list)
        assert "".join(passage.text for passage in cut) == cleaned.text
        assert all(BOUNDS.min <= count_tokens(passage.text) <= BOUNDS.max for passage in cut)
        assert all(passage.text.rstrip()[-1] in ".!?。！？”»…)）" for passage in cut)
        several += len(cut) > 1
    assert several
