"""The defects of UltraLink's published code and data, one by one: this code does not have them."""

from __future__ import annotations

import ast
import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import aclosing
from itertools import groupby
from pathlib import Path

import pytest
from tests.dialogue.material import dump_passages
from tests.gates.cases import LANGUAGES, cases, of_question, recipe
from tests.teacher.fake_teacher import Asked, Reply, echo, error, good, opened, say

from ultralink.errors import RecipeError
from ultralink.gates import Gate, answer_findings
from ultralink.language import language_score
from ultralink.pool.formats import read
from ultralink.pool.recipe import load_pool_recipe
from ultralink.pool.row import EnglishRow, Kind
from ultralink.prompts import Step, TranslationStep, load_prompts
from ultralink.recipe import INCLUDE, Recipe, read_yaml
from ultralink.recipe import LANGUAGES as RECIPES
from ultralink.teacher.ask import Ask
from ultralink.teacher.program import run_rows
from ultralink.translation.masks import mask
from ultralink.wikipedia.article import Candidate
from ultralink.wikipedia.selection import choose

ROOT = Path(__file__).parents[1]
TARGETS = ("es", "fr", "ru", "zh")


def test_1_system_prompts_keep_their_spaces() -> None:
    """Every task prompt went through ``replace(" ", "")``."""
    for language in LANGUAGES:
        book = load_prompts(language)
        systems = [book.system(step) for step in Step]
        if book.translation:
            systems += [book.translation.system(step) for step in TranslationStep]
        for system in systems:
            longest = max(re.findall(r"[^\W\d_]+", system), key=len)
            assert len(longest) <= 30 or language == "zh", longest


@pytest.mark.parametrize("language", LANGUAGES)
def test_2_segmentation_loses_no_text(language: str) -> None:
    """A paragraph that overflowed the buffer was thrown away."""
    by_article = groupby(dump_passages(recipe(language)), key=lambda passage: passage.article)
    articles = 0
    for article, group in by_article:
        articles += 1
        assert "".join(passage.text for passage in group) == article.text
    assert articles >= 4


@pytest.mark.parametrize("language", LANGUAGES)
def test_3_the_labels_are_the_detector_s(language: str) -> None:
    """The documented model had other labels than the configuration, so every document was rejected."""
    labels = recipe(language).text.detector_labels
    for other in LANGUAGES:
        score = language_score(cases(other).passage, labels)
        assert score is not None
        assert (score >= 0.8) == (other == language)


def test_4_a_failed_call_is_tried_again(tmp_path: Path) -> None:
    """The wrapper caught every exception and returned "", so the retry decorator saw success."""

    def script(asked: Asked) -> Reply:
        return good("fine") if asked.attempt > 2 else error(500)

    async def main() -> tuple[str, int]:
        async with opened(script, str(tmp_path)) as (ask, _):
            said = await ask("step", say("hello"))
            return said.text, ask.tally.total.tries

    assert asyncio.run(main()) == ("fine", 3)


def test_5_an_empty_pattern_drops_nothing() -> None:
    """An empty filter file became an empty regular expression, which matches everything."""
    for overlay in ({"text.leaks": [""]}, {"text.refusals": ["a*"]}, {"wikipedia.cleaning.list_title": ""}):
        with pytest.raises(RecipeError, match="matches every text"):
            read_yaml(RECIPES / "fr.yaml", Recipe, RecipeError, dict(overlay))
    known, rules = cases("fr"), recipe("fr")
    nothing = rules.text.model_copy(update={"leaks": [], "refusals": [], "meta_openings": []})
    assert answer_findings(known.pairs[0].a, "stop", known.pairs[0].q, [], known.passage, nothing, rules.gates) == []


@pytest.mark.parametrize("value", ["False", "false", "no", 0, 1])
def test_6_a_word_is_no_boolean(value: object) -> None:
    """Of ``type=bool`` flags any text was true, "False" too."""
    with pytest.raises(RecipeError, match="simplify_chinese"):
        read_yaml(RECIPES / "zh.yaml", Recipe, RecipeError, {"wikipedia.simplify_chinese": value})


@pytest.mark.parametrize(("rows", "concurrency"), [(1, 32), (7, 1), (3, 2), (40, 8)])
def test_7_and_8_every_row_comes_out_whatever_the_concurrency(tmp_path: Path, rows: int, concurrency: int) -> None:
    """Nested work in one pool could deadlock; fewer rows than workers wrote nothing; the last ones were lost."""

    async def program(row: int, ask: Ask) -> str:
        first = await ask("step", say(f"{row}"))
        both = await asyncio.gather(
            ask("step", say(f"{row} {first.text} a")), ask("step", say(f"{row} {first.text} b"))
        )
        return " ".join(said.text for said in both)

    async def main() -> list[int]:
        async with (
            opened(echo, str(tmp_path)) as (ask, _),
            aclosing(run_rows(program, range(rows), ask, concurrency=concurrency)) as outcomes,
        ):
            return [outcome.row async for outcome in outcomes if outcome.result]

    assert asyncio.run(asyncio.wait_for(main(), 60)) == list(range(rows))


def test_9_a_prompt_names_its_own_language_and_no_other() -> None:
    """Prompts for other languages asked for the most common *Chinese* expressions."""
    names = {
        "es": r"español|castellan", "fr": r"français", "ru": r"русск", "zh": r"中文|汉语|简体",
    }  # fmt: skip
    foreign = {
        "es": r"chino|francés|ruso", "fr": r"chinois|espagnol|russe", "ru": r"китайск|француз|испанск",
        "zh": r"法语|俄语|西班牙语|法文|俄文",
    }  # fmt: skip
    for language in TARGETS:
        book = load_prompts(language)
        assert book.translation is not None
        texts = json.dumps([book.model_dump(mode="json")], ensure_ascii=False).casefold()
        assert re.search(names[language], texts)
        assert not re.search(foreign[language], texts)


def test_10_knowing_what_was_taken_does_not_cost_a_pass_per_page() -> None:
    """The output file was parsed again for every document."""
    read_once = 0

    def candidates() -> Iterator[Candidate]:
        nonlocal read_once
        for number in range(20_000):
            read_once += 1
            yield Candidate(number, f"Page {number}", 1)

    earlier = {(number, 1) for number in range(19_000)}
    assert len(choose(candidates(), earlier, 2_000, seed=0)) == 1_000
    assert read_once == 20_000


def test_11_no_file_holds_a_secret() -> None:
    """An early commit held keys and addresses of endpoints."""
    secret = re.compile(
        rb"sk-[A-Za-z0-9_-]{20,}|AKIA[0-9A-Z]{16}|hf_[A-Za-z0-9]{30,}|gh[pousr]_[A-Za-z0-9]{30,}"
        rb"|-----BEGIN [A-Z ]*PRIVATE KEY"
    )
    folders = ("include", "dags", "plugins", "benchmarks", ".ci")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    files += [path for path in ROOT.iterdir() if path.is_file() and path.name != ".env"]
    assert len(files) > 100
    assert [str(path) for path in files if secret.search(path.read_bytes())] == []


@pytest.mark.parametrize("language", TARGETS)
def test_12_translated_code_is_the_english_code(language: str) -> None:
    """Import lines, types and function names of the translated HumanEval were translated: 12 to 24% were broken."""
    sources = [source for source in load_pool_recipe().sources if source.kind is Kind.CODE]
    blocks = parsed = 0
    for source in sources:
        path = INCLUDE / "samples" / "translations" / language / Path(source.path).name
        translations = {line["row"]: line["messages"] for line in map(json.loads, path.read_text("utf-8").splitlines())}
        for row in read(source):
            if not isinstance(row, EnglishRow) or row.row not in translations:
                continue
            for message, text in zip(row.messages, translations[row.row], strict=True):
                masked = mask(message.content)
                restored = masked.restore(_translated(masked.text))
                for span in masked.spans:
                    assert span.text in restored
                for block in re.findall(r"^```python\n(.*?)^```", message.content, re.DOTALL | re.MULTILINE):
                    blocks += 1
                    assert block in text
                    assert block in restored
                    parsed += bool(ast.parse(block))
    assert blocks == parsed > 20


def _translated(masked: str) -> str:
    """What a careless translator makes of it: every word that it is shown becomes another."""
    return re.sub(r"[A-Za-z]+", "mot", masked)


@pytest.mark.parametrize("language", LANGUAGES)
def test_13_what_the_prompt_forbids_is_checked(language: str) -> None:
    """21% of the sampled rows said "according to the text" against the prompt's own rule."""
    leaks = cases(language).questions[Gate.LEAK]
    assert leaks
    for question in leaks:
        assert Gate.LEAK in {finding.gate for finding in of_question(language, question)}
