"""The card of a release, README.md: made of its figures, so that it says nothing that was not counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ultralink.release import paper
from ultralink.release.fonts import one_line
from ultralink.release.formats import Lines, lines_path
from ultralink.release.limits import limits
from ultralink.release.markdown import code, link, plain, table
from ultralink.release.markdown import picture as picture_tag
from ultralink.release.metadata import head, licence_id
from ultralink.release.pictures import Picture, dollars
from ultralink.release.plots import share
from ultralink.release.recipe import SUBSETS, Action, Format, ReleaseRecipe
from ultralink.release.splitting import TRAIN, VALIDATION
from ultralink.release.statistics import Configuration, Lengths, ReleaseStatistics

_LICENCE_URLS = {
    "cc-by-sa-4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
    "cc-by-sa-3.0": "https://creativecommons.org/licenses/by-sa/3.0/",
    "cc-by-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "cc0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
    "mit": "https://opensource.org/license/mit",
}
_SUBSETS = {
    "chat_specific": "dialogues of several turns, written in the language itself about a passage of its Wikipedia",
    "chat_agnostic": "English chats without what is bound to a culture, translated",
    "math": "English word problems with worked solutions, translated",
    "code": "English programming tasks with solutions, translated; the code itself is untouched",
}
_SHOWN_REJECTS = 12


@dataclass(frozen=True)
class Card:
    """What a card is made of. ``files``: paths of the release's exports; ``pictures``: those that were drawn."""

    statistics: ReleaseStatistics
    recipe: ReleaseRecipe
    formats: tuple[Format, ...]
    files: Sequence[str]
    pictures: Sequence[Picture]

    def text(self) -> str:
        """README.md: YAML between dashes, then Markdown."""
        parquet = [path for path in self.files if path.startswith("data/")]
        body = _sections(
            self._opening(),
            self._loading(),
            self._sizes(),
            self._lengths(),
            self._diversity(),
            self._topics(),
            self._removed(),
            self._decontamination(),
            self._privacy(),
            self._gates(),
            self._language_scores(),
            self._models(),
            self._nights(),
            self._licences(),
            self._provenance(),
            self._limits(),
            self._citation(),
        )
        return f"---\n{head(self.recipe.title, self.statistics, parquet)}---\n\n{body}\n"

    def licence(self) -> str:
        """LICENSE.md: what the card says of licences and attribution."""
        return f"# Licences of {self._name()}\n\n{self._licences_of_rows()}\n"

    def _name(self) -> str:
        return f"{plain(self.recipe.title)} {plain(self.statistics.version)}"

    # --- what it is, and how it is read ---------------------------------------------------------

    def _opening(self) -> str:
        figures = self.statistics
        lines = [f"# {self._name()}"]
        if figures.rehearsal:
            lines.append(
                "> ⚠️ **This is a rehearsal, not training data.** Texts in it were put together by the offline\n"
                "> teacher, a program that follows templates and is not an LLM. All is as in a real release except\n"
                "> what the rows say. Do not train on it."
            )
        lines.append(
            f"Conversations to fine-tune language models on: {_count(figures.lengths.dialogues, 'dialogue')} "
            f"with {_count(figures.lengths.turns, 'turn')} in {_count(len(figures.languages), 'language')} "
            f"({', '.join(map(plain, figures.languages))}). Dialogues about a language's culture are written in that "
            "language, grounded on its own Wikipedia; chat, math and code are translated from English. It follows "
            f"the recipe of [UltraLink]({paper.URL}), and every row says where it came from."
        )
        known = [f"- **{_subset(subset)}**: {meaning}" for subset, meaning in _SUBSETS.items()]
        return _sections(*lines, "\n".join(known))

    def _loading(self) -> str:
        if not self.statistics.filled:
            return ""
        shown = next((each for each in self.statistics.filled if each.train), self.statistics.filled[0])
        name, split = shown.name, TRAIN if shown.train else VALIDATION
        first = next((path for path in self.files if path.startswith(f"data/{name}/")), f"data/{name}/*.parquet")
        return _sections(
            "## How to load it",
            "```python\n"
            "from datasets import load_dataset\n\n"
            f'rows = load_dataset("path/of/this/folder", "{name}", split="{split}")\n'
            f'everything = load_dataset("path/of/this/folder", split="{split}")\n'
            "```",
            f'```python\nimport pandas as pd\n\nrows = pd.read_parquet("{first}")\n```',
            "```sql\n-- DuckDB\n"
            "SELECT language, subset, count(*) AS dialogues FROM 'data/*/*.parquet' GROUP BY ALL;\n```",
            *([self._lines_of_json(name, split)] if self.formats else []),
        )

    def _lines_of_json(self, name: str, split: str) -> str:
        readers = {
            Format.MESSAGES: "TRL, axolotl, OpenAI's fine-tuning: `messages`",
            Format.SHAREGPT: "LLaMA-Factory, with `sharegpt/dataset_info.json`",
            Format.ULTRALINK: "UltraLink's own: `id` and a flat list `data`; `ultralink_with_document/` asks with the "
            "passage",
        }
        rows = [(code(lines_path(Lines(kind.value), name, split)), readers[kind]) for kind in self.formats]
        return "The same rows as JSON Lines:\n\n" + table(["File", "For"], rows, numbers=2)

    # --- sizes and lengths ----------------------------------------------------------------------

    def _sizes(self) -> str:
        figures = self.statistics
        rows = [self._size_row(plain(language), language) for language in figures.languages]
        ours = [figures.of_subset(subset).dialogues for subset in SUBSETS]
        theirs = [paper.TOTALS[subset] for subset in SUBSETS]
        totals = [_beside(mine, 1000 * yours) for mine, yours in zip(ours, theirs, strict=True)]
        whole = _beside(figures.lengths.dialogues, 1000 * paper.ULTRALINK.dialogues)
        rows.append([f"**{cell}**" for cell in ("all", *totals, whole)])
        missing = [
            f"- {plain(language)}: {', '.join(map(_subset, subsets))}" for language, subsets in figures.missing.items()
        ]
        allowed = "**Missing**, and released all the same because it was asked for:" if missing else ""
        return _sections(
            "## Dialogues (the paper's Table 1)",
            "This release / the paper, which rounds to thousands.",
            table(["Language", *map(_subset, SUBSETS), "all"], rows),
            allowed,
            "\n".join(missing),
            self._picture("dialogues"),
        )

    def _size_row(self, label: str, language: str) -> list[str]:
        found = [self.statistics.configuration(language, subset) for subset in SUBSETS]
        cells = [
            _beside(each.lengths.dialogues if each else 0, paper.dialogues(language, subset))
            for subset, each in zip(SUBSETS, found, strict=True)
        ]
        theirs = 1000 * sum(paper.TABLE_1.get(language, {}).values()) or None
        return [label, *cells, _beside(self.statistics.of_language(language).dialogues, theirs)]

    def _lengths(self) -> str:
        figures = self.statistics
        tokens = ["turns", "question", "answer", "turn"]
        others = [_published(each) for each in paper.TABLE_2]
        ours = [f"**{cell}**" for cell in ("this release", *_length_cells(figures.lengths))]
        by_language = [
            [plain(language), *_pair(figures.of_language(language), paper.LENGTHS[language])]
            for language in figures.languages
            if language in paper.LENGTHS
        ]
        return _sections(
            "## Lengths (the paper's Table 2)",
            f"Mean tokens of a question, of an answer and of both, counted with `{figures.tokenizer}`, the encoding "
            "of the paper's teacher. The passage that a dialogue is grounded on is not counted.",
            table(["Data set", "dialogues", *tokens], [*others, ours]),
            "By language, this release / the paper, which does not say of which subsets:" if by_language else "",
            table(["Language", "question", "answer"], by_language) if by_language else "",
            "By configuration, as `load_dataset` names them:",
            table(["Configuration", "train", "validation", *tokens, "Parquet"], map(_row_of, figures.filled)),
            self._picture("turns"),
            self._picture("tokens"),
        )

    def _diversity(self) -> str:
        figures = self.statistics
        rows = [
            [plain(language), *(_diversity_of(figures.configuration(language, subset)) for subset in SUBSETS)]
            for language in figures.languages
        ]
        return _sections(
            "## Lexical diversity",
            "MTLD (threshold 0.72, both directions; McCarthy and Jarvis, 2010) and HD-D (42 draws) of single "
            "dialogues of 50 words or more, questions and answers together; means over a fixed draw of at most "
            "1,000 rows. Words are runs of letters; Chinese is segmented with rjieba. Where words are not spaced "
            "and there is no segmenter, nothing is measured. Languages are not comparable with each other.",
            "MTLD / HD-D:",
            table(["Language", *map(_subset, SUBSETS)], rows),
            self._picture("diversity"),
        )

    def _topics(self) -> str:
        rows = [
            [
                plain(topics.language),
                ", ".join(f"{plain(one.name, 40)} {share(one.rows, topics.rows)}" for one in topics.top[:5]),
                f"{topics.rows:,}",
                f"{topics.categories:,}",
                f"{topics.effective:,.1f}",
            ]
            for topics in self.statistics.topics
            if topics.rows
        ]
        if not rows:
            return ""
        return _sections(
            "## Topics",
            "Wikipedia's categories of the articles behind the grounded dialogues. *Effective* is how many equally "
            "large categories would be as diverse (e to the power of the entropy).",
            table(["Language", "largest categories", "rows", "categories", "effective"], rows, numbers=2),
            self._picture("topics"),
        )

    # --- what went ------------------------------------------------------------------------------

    def _removed(self) -> str:
        figures = self.statistics
        counts = figures.left_out
        if not counts:
            return f"## What was removed\n\nNothing: all of the nights' {_count(figures.samples, 'sample')} are here."
        rows = [[plain(found), f"{rows:,}", share(rows, figures.samples)] for found, rows in counts.items()]
        return _sections(
            "## What was removed",
            f"The nights hold {_count(figures.samples, 'sample')}; {sum(counts.values()):,} of them are left out. Each "
            "counts once, for what was found first, and is listed with the row or test item that it was left out for "
            "in [provenance/removed.parquet](provenance/removed.parquet).",
            table(["Found", "rows", "share"], rows),
            self._picture("removed"),
        )

    def _decontamination(self) -> str:
        rules = self.recipe.decontamination
        if not rules.sets:
            said = (
                "**None.** This release was not compared with any evaluation set: test items may be in it. Scores of "
                "models that were trained on it are to be read with that in mind."
            )
        else:
            hits: Counter[str] = Counter()
            for each in self.statistics.removed:
                if each.stage == "decontaminate":
                    hits[each.reason] += each.rows
            rows = [[plain(one.name), ", ".join(map(plain, one.fields)), f"{hits[one.name]:,}"] for one in rules.sets]
            said = (
                f"A row goes if it shares a run of {rules.words} words with a test item ({rules.characters} characters "
                "where words are not spaced), or holds the whole of a shorter item.\n\n"
                + table(["Evaluation set", "columns", "rows removed"], rows, numbers=2)
            )
        return f"## Decontamination\n\n{said}"

    def _privacy(self) -> str:
        removed: Counter[str] = Counter()
        counted: Counter[str] = Counter()
        for gone in self.statistics.removed:
            if gone.stage == "privacy":
                removed[gone.reason] += gone.rows
        for seen in self.statistics.counted:
            if seen.stage == "privacy":
                counted[seen.reason] += seen.rows
        actions: dict[str, Action] = self.recipe.privacy.model_dump()
        meanings = {"remove": "the row goes", "count": "the row stays and is counted", "off": "nobody looked"}
        rows = [
            [
                plain(kind),
                meanings[action],
                f"{removed[kind]:,}" if action == "remove" else "–",
                f"{counted[kind]:,}" if action == "count" else "–",
            ]
            for kind, action in actions.items()
        ]
        lists = ", ".join(map(plain, sorted(self.recipe.blocklists))) or "none"
        return _sections(
            "## Privacy and blocked words",
            table(["Found", "then", "removed", "counted"], rows, numbers=2),
            f"Lists of blocked words: {lists}. Names of people are not looked for: Wikipedia is full of them.",
        )

    def _gates(self) -> str:
        counts: Counter[tuple[str, str, str]] = Counter()
        for each in self.statistics.rejected:
            counts[each.subset, each.gate, each.reason] += each.rows
        if not counts and not self.statistics.without_rejects:
            return ""
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        rows = [[_subset(s), plain(gate), plain(reason), f"{n:,}"] for (s, gate, reason), n in ordered[:_SHOWN_REJECTS]]
        more = len(ordered) - _SHOWN_REJECTS
        rest = [f"{more} more reasons are in [statistics.json](statistics.json)."] if more > 0 else []
        return _sections(
            "## What the gates turned away",
            "While the nights were made, before anything of the above. None of these rows is in the release.",
            *([table(["Subset", "Gate", "Reason", "rows"], rows, numbers=3)] if rows else []),
            *rest,
            _lost(self.statistics.without_rejects, "list of rejects"),
            self._picture("rejects"),
        )

    def _language_scores(self) -> str:
        if not (picture := self._picture("language-scores")):
            return ""
        said = "The `language` score of the rows that are here: how sure the detector is of their language."
        return _sections("## Language", said, picture)

    # --- where it comes from --------------------------------------------------------------------

    def _models(self) -> str:
        figures = self.statistics
        asked = [
            [
                plain(each.model),
                f"{each.calls:,}",
                f"{each.prompt_tokens:,}",
                f"{each.cached_tokens:,}",
                f"{each.completion_tokens:,}",
                dollars(each.cost_usd).replace("$", "\\$"),
            ]
            for each in figures.models
        ]
        wrote = [[plain(each.model), f"{each.rows:,}"] for each in figures.teachers]
        taken = figures.lengths.dialogues - sum(each.rows for each in figures.teachers)
        if taken:
            wrote.append(["no model: English rows as they are", f"{taken:,}"])
        cost = dollars(figures.cost_usd).replace("$", "\\$")
        unknown = " No price is known of at least one model." if figures.cost_usd is None else ""
        parts = ["## Teachers and cost", table(["Written or translated by", "rows"], wrote)]
        if asked:
            parts += [
                f"All that the nights asked, for rows that were rejected or removed too. In all: {cost}.{unknown} The "
                "screening of the English pool is not in it.",
                table(
                    ["Model asked for", "calls", "prompt tokens", "of them cached", "completion tokens", "cost"], asked
                ),
                self._picture("cost"),
            ]
        parts.append(_lost(figures.without_ledger, "ledger"))
        return _sections(*parts)

    def _nights(self) -> str:
        nights = sorted({night.date for night in self.statistics.nights})
        if not nights:
            return ""
        span = (
            f"{_count(len(nights), 'night')}, {nights[0]} to {nights[-1]}"
            if len(nights) > 1
            else f"One night, {nights[0]}"
        )
        return _sections("## Nights", f"{span}.", self._picture("nights"))

    def _licences(self) -> str:
        return f"## Licences and attribution\n\n{self._licences_of_rows()}"

    def _licences_of_rows(self) -> str:
        figures = self.statistics
        rows = [
            [
                _licence(each.licence),
                "articles of Wikipedia" if each.kind == "wikipedia" else "English rows",
                f"{each.rows:,}",
            ]
            for each in figures.licences
        ]
        parts = [table(["Licence", "of", "rows"], rows, numbers=2)]
        if figures.attribution:
            lists = [
                f"- [{plain(one.language)}]({one.path}): {_count(one.articles, 'article')}, {_count(one.rows, 'row')}"
                for one in figures.attribution
            ]
            parts += [
                "Rows that were made from articles of Wikipedia hold text of it. **Changes were made**: articles "
                "were cut to passages and freed of markup, and the dialogues were written from them. Wikipedia's "
                "licence is share-alike: what you make of these rows and pass on, you pass on under the same licence, "
                "naming the articles. They are listed with title, revision, address, licence and rows:",
                "\n".join(lists),
            ]
        if figures.english:
            sources = [
                [link(each.dataset, each.url), _licence(each.licence), f"{each.rows:,}"] for each in figures.english
            ]
            parts += [
                "All other rows come from English data sets, whose licences stand for their rows and the translations "
                "of these. Where a licence is not known, look at the source before you use its rows.",
                table(["Data set", "Licence", "rows"], sources, numbers=2),
            ]
        return _sections(*parts)

    def _provenance(self) -> str:
        rows = [
            ["`id`, `language`, `subset`", "the row, and its configuration"],
            ["`messages`", "`role` and `content`, by turns"],
            ["`source`", "article (title, page, revision, address, passage and its place) or English row; its licence"],
            ["`teacher`", "model, fingerprint of the prompts, sampling, tokens, cost; null where no model took part"],
            ["`scores`", "language, groundedness, length ratio, faithfulness: those that were measured"],
            ["`licence`", "of the row"],
            ["`date`, `created`", "the night, and the moment"],
        ]
        return _sections(
            "## Columns",
            table(["Column", "Meaning"], rows, numbers=2),
            "[provenance/index.parquet](provenance/index.parquet) lists all rows without their texts, "
            "[statistics.json](statistics.json) has every figure of this card, [release.json](release.json) every "
            "file with its checksum, `plots/` every picture as PNG and SVG, light and dark. Rows that were made from "
            "one article or one English row are on the same side of train and validation.",
        )

    def _limits(self) -> str:
        return "## Known limits\n\n" + "\n".join(f"- {limit}" for limit in limits(self.statistics, self.recipe))

    def _citation(self) -> str:
        version = self.statistics.version
        key = "".join(letter for letter in version if letter.isalnum())
        title = "".join(letter for letter in one_line(self.recipe.title, 200) if letter not in "{}\\`")
        entry = f"@misc{{release{key},\n  title   = {{{title}}},\n  version = {{{version}}},\n}}"
        return _sections(
            "## How to cite",
            "This release by its version, and the paper whose recipe it follows:",
            f"```bibtex\n{entry}\n\n{paper.CITATION}\n```",
        )

    def _picture(self, name: str) -> str:
        return next((picture_tag(each.name, each.alt) for each in self.pictures if each.name == name), "")


def _subset(subset: str) -> str:
    return subset.replace("_", " ") if subset in SUBSETS else plain(subset)


def _diversity_of(each: Configuration | None) -> str:
    if each is None or not each.lengths.dialogues:
        return "–"
    if each.diversity.mtld is None or each.diversity.hdd is None:
        return "not measured"
    return f"{each.diversity.mtld:.1f} / {each.diversity.hdd:.3f}"


def _lost(nights: int, what: str) -> str:
    """What has to be known of figures that nights are missing in; nothing if none is."""
    return f"Not counted: {_count(nights, 'night')} of a language without a {what}." if nights else ""


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def _beside(ours: int, theirs: int | None) -> str:
    return f"{ours:,} / {f'{theirs // 1000:,}K' if theirs else '–'}"


def _length_cells(lengths: Lengths) -> list[str]:
    means = (lengths.mean_question_tokens, lengths.mean_answer_tokens, lengths.mean_turn_tokens)
    return [f"{lengths.dialogues:,}", f"{lengths.turns:,}", *("–" if mean is None else f"{mean:.2f}" for mean in means)]


def _pair(ours: Lengths, theirs: paper.MeanTokens) -> list[str]:
    asked, answered = ours.mean_question_tokens, ours.mean_answer_tokens
    return [
        f"{'–' if mine is None else f'{mine:.1f}'} / {yours:.1f}"
        for mine, yours in ((asked, theirs.question), (answered, theirs.answer))
    ]


def _published(each: paper.PublishedSet) -> list[str]:
    name = "UltraLink (the paper)" if each is paper.ULTRALINK else each.name
    means = (each.question_tokens, each.answer_tokens, each.turn_tokens)
    return [name, f"{each.dialogues:,}K", f"{each.turns:,}K", *(f"{mean:.2f}" for mean in means)]


def _row_of(each: Configuration) -> list[str]:
    cells = _length_cells(each.lengths)[1:]
    return [code(each.name), f"{each.train:,}", f"{each.validation:,}", *cells, _megabytes(each.parquet_bytes)]


def _sections(*parts: str) -> str:
    """Blocks of Markdown; those that are empty are left out."""
    return "\n\n".join(part for part in parts if part)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size / 1e3:,.1f} KB"


def _licence(licence: str) -> str:
    url = _LICENCE_URLS.get(licence_id(licence))
    return link(licence, url) if url else plain(licence)
