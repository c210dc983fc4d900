"""From a page to an article: prose only, normal characters, and the gates that turn pages away.

An article's text has one paragraph per line. A heading is a line of its own, without marks, after a blank
line: a passage from the middle of an article needs it to be understood, and the blank line is where
passages are best cut. What stands in the text is what its passages hold, to the last character.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from urllib.parse import quote

from opencc import OpenCC

from ultralink.language import language_score
from ultralink.recipe import Cleaning, TextRules, Wikipedia
from ultralink.tokens import count_tokens
from ultralink.wikipedia.article import Article, Page, TurnedAway
from ultralink.wikipedia.debris import mended_opening
from ultralink.wikipedia.segment import sentences
from ultralink.wikipedia.wikitext import categories, plain, template_names

CLIP = 2000  # characters of a turned-away page that are kept
LONGEST_PAGE = 1 << 21  # characters; MediaWiki stores no longer page ($wgMaxArticleSize, 2 MiB)
SAMPLE = 16_000  # characters of an article whose language is looked at
PROSE_SHARE = 0.5  # of an article's characters that stand in lines ending like a sentence; under it: a list

Verdict = tuple[str, str]  # gate, reason


def clean(page: Page, wikipedia: Wikipedia, rules: TextRules) -> Article | TurnedAway:
    """The article of ``page``, or why there is none.

    Gates: redirect, disambiguation, list, stub, length (document_tokens, inclusive), language. The title
    stays as the wiki writes it, also where the text is converted to simplified Chinese.
    """
    if verdict := _not_an_article(page, wikipedia.cleaning):
        return _turned_away(page, page.text, verdict)
    text = _prose(page, wikipedia, rules)
    tokens = count_tokens(text)
    if verdict := _unfit(text, tokens, wikipedia):
        return _turned_away(page, text, verdict)
    score = language_score(_sample(text), rules.detector_labels)
    if score is None or score < wikipedia.min_language_score:
        said = "the language cannot be told" if score is None else f"language score {score:.2f}"
        verdict = "language", f"{said}, must be {wikipedia.min_language_score:.2f} or more"
        return _turned_away(page, text, verdict)
    return Article(
        page_id=page.page_id,
        revision_id=page.revision_id,
        title=page.title,
        url=article_url(wikipedia, page.title),
        licence=wikipedia.licence,
        fetched=page.fetched,
        text=text,
        tokens=tokens,
        language_score=score,
        categories=page.categories or _own_categories(page, wikipedia.cleaning),
    )


def article_url(wikipedia: Wikipedia, title: str) -> str:
    """The page's address, percent-encoded as MediaWiki does it."""
    return wikipedia.article_url.replace("{title}", quote(title.replace(" ", "_"), safe=";@$!*(),/~:"))


def _turned_away(page: Page, judged: str, verdict: Verdict) -> TurnedAway:
    gate, reason = verdict
    return TurnedAway(page.page_id, page.revision_id, page.title, gate, reason, judged[:CLIP])


def _own_categories(page: Page, cleaning: Cleaning) -> tuple[str, ...]:
    return categories(page.text, cleaning.category_namespaces) if page.form == "wikitext" else ()


# --- gates ----------------------------------------------------------------------------------------------

_REDIRECT = re.compile(r"\s*#\w+\s*:?\s*\[\[")


def _not_an_article(page: Page, cleaning: Cleaning) -> Verdict | None:
    """What title, markup and page properties say."""
    if re.search(cleaning.list_title, page.title):
        return "list", "the title is that of a list"
    if page.is_disambiguation or "__DISAMBIG__" in page.text:
        return "disambiguation", "marked as a disambiguation page"
    if len(page.text) > LONGEST_PAGE:
        return "length", f"a page of {len(page.text)} characters, must be {LONGEST_PAGE} or fewer"
    if page.form == "extract":
        return None
    if _REDIRECT.match(page.text):
        return "redirect", "the text begins as a redirect"
    names = template_names(page.text)
    if found := _first_like(names, cleaning.disambiguation_templates):
        return "disambiguation", f"has the template {found!r}"
    if found := _first_like(names, cleaning.stub_templates):
        return "stub", f"has the template {found!r}"
    return None


def _first_like(names: Iterable[str], patterns: Sequence[str]) -> str | None:
    """The first of ``names`` (sorted) that one of ``patterns`` covers; ``*`` stands for anything."""
    covers = _like_any(tuple(patterns))
    return next((name for name in sorted(names) if covers.fullmatch(name)), None)


@cache
def _like_any(patterns: tuple[str, ...]) -> re.Pattern[str]:
    spelled = (re.escape(pattern.replace("_", " ").casefold()).replace(r"\*", ".*") for pattern in patterns)
    return re.compile("|".join(spelled) or r"(?!)")


def _unfit(text: str, tokens: int, wikipedia: Wikipedia) -> Verdict | None:
    """What the shape of the cleaned text says."""
    if text and _prose_share(text) < PROSE_SHARE:
        return "list", f"{_prose_share(text):.0%} of the text is in sentences, the rest is items"
    bounds = wikipedia.document_tokens
    if not bounds.min <= tokens <= bounds.max:
        return "length", f"{tokens} tokens of text, must be {bounds.min} to {bounds.max}"
    return None


def _sample(text: str) -> str:
    """Lines from all over the text, for the language: it is the same throughout, or the article is unfit."""
    return "\n".join(text.split("\n")[:: 1 + len(text) // SAMPLE])[:SAMPLE]


_SENTENCE_LIKE = re.compile(r"[.!?…。！？；;:：।؟۔][\"'”’»)\]）」』】》›]*\Z")


def _prose_share(text: str) -> float:
    """Share of the characters that stand in lines ending like a sentence; headings don't count."""
    lines = text.split("\n")
    body = [line for before, line in pairwise(["(no heading)", *lines]) if before and line]
    prose = sum(len(line) for line in body if _SENTENCE_LIKE.search(line, max(0, len(line) - 6)))
    return prose / max(1, sum(map(len, body)))


# --- sections --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Section:
    level: int  # 0: the lead, before the first heading
    title: str
    lines: list[str]


def _prose(page: Page, wikipedia: Wikipedia, rules: TextRules) -> str:
    """The page's text without the sections that are no prose, in normal characters."""
    cleaning = wikipedia.cleaning
    source = plain(page.text, cleaning) if page.form == "wikitext" else _inline_formulas(page.text)
    sections = _sections(normal(source).split("\n"), _Leftovers.of(cleaning))
    if page.form == "extract" and (lead := sections[0].lines):
        start, end = sentences(lead[0], rules)[0]
        lead[0] = mended_opening(lead[0][start:end]) + lead[0][end:]
    kept = _with_body(_without(sections, {_title_key(title) for title in cleaning.drop_sections}))
    blocks = ["\n".join(filter(None, [section.title, *section.lines])) for section in kept]
    text = "\n\n".join(blocks)
    return unicodedata.normalize("NFC", _to_simplified(text) if wikipedia.simplify_chinese else text)


_HEADING = re.compile(r"(={1,6})([^=].{0,300}?)(={1,6})")


def _sections(lines: Iterable[str], leftovers: _Leftovers) -> list[_Section]:
    """Sections of an extract; a heading may have any spacing, and stands alone on its line."""
    sections = [_Section(0, "", [])]
    for line in lines:
        line = " ".join(line.split())
        heading = _HEADING.fullmatch(line)
        title = heading[2].strip(" =") if heading else ""
        if heading and title:
            sections.append(_Section(min(len(heading[1]), len(heading[3])), title, []))
        elif line and not leftovers.has(line):
            sections[-1].lines.append(line)
    return sections


def _title_key(title: str) -> str:
    return unicodedata.normalize("NFC", " ".join(title.split())).strip(" .:：").casefold()


def _without(sections: Iterable[_Section], unwanted: set[str]) -> Iterator[_Section]:
    dropped_above = 7  # deeper sections than the one being dropped go with it
    for section in sections:
        if section.level > dropped_above:
            continue
        drop = section.level > 0 and _title_key(section.title) in unwanted
        dropped_above = section.level if drop else 7
        if not drop:
            yield section


def _with_body(sections: Iterable[_Section]) -> list[_Section]:
    """The sections that have a paragraph of their own or in a subsection."""
    kept: list[_Section] = []
    for section in reversed(list(sections)):
        if section.lines or (section.level and kept and kept[-1].level > section.level):
            kept.append(section)
    return kept[::-1]


# --- what both forms leave behind -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Leftovers:
    """Lines that are no text: links to files, categories and templates that the wiki could not show."""

    spaces: frozenset[str]

    @classmethod
    def of(cls, cleaning: Cleaning) -> _Leftovers:
        return cls(
            frozenset(
                space.casefold()
                for space in (
                    *cleaning.file_namespaces,
                    *cleaning.category_namespaces,
                    *cleaning.template_namespaces,
                )
            )
        )

    def has(self, line: str) -> bool:
        if not _WORD.search(line):
            return True
        space, colon, rest = line.partition(":")
        named = bool(colon) and space.casefold() in self.spaces and rest[:1] not in ("", " ")
        return named and len(rest) < 256 and not _SENTENCE_LIKE.search(rest)


_WORD = re.compile(r"\w")


def _inline_formulas(extract: str) -> str:
    """``$…$`` for each formula, in extracts a tower of indented lines over ``{\\displaystyle …}``."""
    if "{\\displaystyle" not in extract:
        return extract
    kept: list[str] = []
    joins = False
    for line in extract.split("\n"):
        bare = line.strip()
        if bare.startswith("{\\displaystyle") and bare.endswith("}"):
            while len(kept) > 1 and (not kept[-1].strip() or kept[-1].startswith("  ")):
                kept.pop()
            formula = " ".join(bare[len("{\\displaystyle") : -1].split())
            kept.append(f"{kept.pop() if kept else ''} ${formula}$")
            joins = True
        elif joins and bare and not line.startswith(("  ", "==")):
            kept[-1] += line if line[0] in " ,.;:)" else f" {line}"
            joins = False
        elif bare or not joins:
            kept.append(line)
    return "\n".join(kept)


# --- characters -------------------------------------------------------------------------------------------

_LINE_END = re.compile("\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
_SPACE = re.compile("[\t\x1f\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
# Controls, marks of direction, zero-width and invisible characters, tags, private use, surrogates.
_UNWANTED = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\uffff\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff\U000f0000-\U0010ffff]"
)
# Persian, Indic and other scripts from Hebrew to Mongolian spell with joiners; elsewhere they hide.
_JOINER = re.compile("(?<![\u0590-\u109f\u1700-\u18af])[\u200c\u200d]")


def normal(text: str) -> str:
    """NFC text with plain spaces and line ends, and no character that shows nothing."""
    text = _SPACE.sub(" ", _LINE_END.sub("\n", text))
    return unicodedata.normalize("NFC", _JOINER.sub("", _UNWANTED.sub("", text)))


def _to_simplified(text: str) -> str:
    return str(_converter().convert(text))


@cache
def _converter() -> OpenCC:
    return OpenCC("t2s")
