"""The card: what it says is counted, what comes from data is harmless, and the hub's own readers take it."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from pathlib import Path

import datasets
import pytest
import yaml
from huggingface_hub import DatasetCard
from lxml import etree, html
from markdown_it import MarkdownIt
from PIL import Image
from tests.release.made_statistics import CATEGORIES, made
from tests.release.nights_of_samples import DATES, MODEL, planned, publish_samples, sample, samples
from tests.release.test_plots import HOSTILE
from tests.release.test_statistics import assembled, removal

from ultralink.errors import PartMissing
from ultralink.release.card import Card
from ultralink.release.markdown import code, link, plain, table
from ultralink.release.metadata import licence_id, licence_ids
from ultralink.release.pictures import PICTURES
from ultralink.release.recipe import Decontamination, EvaluationSet, Format, ReleaseRecipe
from ultralink.release.statistics import LicenceRows, ReleaseStatistics, RemovedRows
from ultralink.schemas import LEDGER, PLACES, REJECTS, STAGED_FILES, Stage
from ultralink.stages.assembly import CARD, PROVENANCE, Assembly
from ultralink.stages.release_card import write_card
from ultralink.stages.release_decontaminate import decontaminate
from ultralink.stages.release_exact import drop_exact
from ultralink.stages.release_export import export
from ultralink.stages.release_features import measure_samples
from ultralink.stages.release_near import drop_near
from ultralink.stages.release_split import split_rows
from ultralink.store import Store


def rendered(text: str) -> html.HtmlElement:
    """The card as a reader's browser gets it."""
    body = text.split("---\n", 2)[2]
    markdown = MarkdownIt("commonmark", {"html": True}).enable(["table"])
    return html.document_fromstring(f"<body>{markdown.render(body)}</body>")


def card(statistics: ReleaseStatistics, recipe: ReleaseRecipe | None = None) -> str:
    files = [f"data/{each.name}/train-00000-of-00001.parquet" for each in statistics.filled]
    return Card(statistics, recipe or ReleaseRecipe(), tuple(Format), files, PICTURES).text()


def _before_card(store: Store, each: int = 25) -> Assembly:
    """A run that is exported, by the real stages."""
    for language in ("en", "zh"):
        for number, date in enumerate(DATES[:2]):
            publish_samples(store, language, date, samples(language, date, each, first=(each - 1) * number))
    return _exported(planned(store))


def _exported(run: Assembly) -> Assembly:
    for shard in range(run.shards):
        measure_samples(run, shard)
    drop_exact(run)
    drop_near(run)
    for shard in range(run.shards):
        decontaminate(run, shard)
    split_rows(run)
    for number in range(len(run.configurations)):
        export(run, number)
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    run = _before_card(Store.at(str(tmp_path_factory.mktemp("store"))))
    write_card(run)
    return run


@pytest.fixture(scope="module")
def folder(run: Assembly) -> Path:
    return Path(run.staging)


# --- the stage --------------------------------------------------------------------------------------


def test_all_files_are_there_as_they_are_listed(run: Assembly, folder: Path) -> None:
    rows = list(run.part(STAGED_FILES, CARD).rows())
    paths = {str(row["path"]) for row in rows}
    assert {"README.md", "LICENSE.md", "statistics.json", "attribution/en.csv", "attribution/zh.csv"} < paths
    assert paths == {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file()
        and path.relative_to(folder).parts[0] in {"README.md", "LICENSE.md", "statistics.json", "attribution", "plots"}
    }
    for row in rows:
        content = (folder / str(row["path"])).read_bytes()
        assert (row["format"], row["rows"], row["bytes"]) == ("card", 0, len(content))
        assert row["sha256"] == hashlib.sha256(content).hexdigest()


def test_a_second_run_has_nothing_to_do_and_a_rebuild_makes_the_same_bytes(tmp_path: Path) -> None:
    run = _before_card(Store.at(str(tmp_path)), each=3)
    write_card(run)
    listed = list(run.part(STAGED_FILES, CARD).rows())
    assert "Nothing to do" in write_card(run).line
    Path(run.staging, "README.md").write_text("shortened", encoding="utf-8")
    assert "Nothing to do" not in write_card(run).line
    assert list(run.part(STAGED_FILES, CARD).rows()) == listed
    part = run.part(PLACES, "en", "math")
    part.write(list(part.rows())[1:], "fewer")
    assert "Nothing to do" not in write_card(run).line
    found = ReleaseStatistics.model_validate_json(Path(run.staging, "statistics.json").read_text(encoding="utf-8"))
    assert found.lengths.dialogues < found.samples


def test_a_store_in_memory_takes_a_card(tmp_path: Path) -> None:
    run = _before_card(Store.at("memory://card-test"), each=3)
    write_card(run)
    assert run.store.fs.exists(run.staged("plots/dialogues-dark.svg"))
    DatasetCard(str(run.store.read_text(run.staged("README.md"))))
    run.store.fs.rm("/card-test", recursive=True)


def test_an_export_that_lacks_is_named(tmp_path: Path) -> None:
    run = assembled(Store.at(str(tmp_path)), {("en", DATES[0]): samples("en", DATES[0], 2)})
    with pytest.raises(PartMissing, match=f"{PROVENANCE}.*staged_files"):
        write_card(run)


def test_a_release_of_no_rows_has_a_card_that_says_so(tmp_path: Path) -> None:
    rows = samples("en", DATES[0], 2)
    removed = [removal("en", DATES[0], number) for number in range(len(rows))]
    run = assembled(Store.at(str(tmp_path)), {("en", DATES[0]): rows}, removed)
    run.part(STAGED_FILES, PROVENANCE).write([], "provenance")
    write_card(run)
    assert "0 dialogues" in Path(run.staging, "README.md").read_text(encoding="utf-8")


# --- what readers make of it ------------------------------------------------------------------------


def test_the_hubs_own_reader_takes_the_head(folder: Path) -> None:
    data = DatasetCard.load(folder / "README.md").data
    assert data.license == "cc-by-sa-4.0"
    assert data.language == ["en", "zh"]
    assert data.pretty_name == "UltraLink 2026-11-02"
    assert data.size_categories == ["n<1K"]
    assert [each["config_name"] for each in data.configs][:2] == ["default", "en_chat_specific"]
    for config in data.configs:
        for file in config["data_files"]:
            assert list(folder.glob(file["path"])), file


@pytest.mark.parametrize("name", ["zh_chat_specific", "en_code", None])
def test_datasets_loads_what_the_card_names(run: Assembly, folder: Path, tmp_path: Path, name: str | None) -> None:
    found = datasets.load_dataset(str(folder), name, cache_dir=str(tmp_path))
    figures = ReleaseStatistics.model_validate_json((folder / "statistics.json").read_text(encoding="utf-8"))
    wanted = [each for each in figures.configurations if name in {each.name, None}]
    assert found["train"].num_rows == sum(each.train for each in wanted)
    assert found["validation"].num_rows == sum(each.validation for each in wanted)


def test_every_picture_and_link_of_the_card_is_there(folder: Path) -> None:
    page = rendered((folder / "README.md").read_text(encoding="utf-8"))
    shown = [*page.xpath("//img/@src"), *page.xpath("//source/@srcset")]
    assert len(shown) == 2 * len(page.xpath("//picture")) == 2 * len(PICTURES)
    for path in shown:
        with Image.open(folder / path) as image:
            image.load()
        etree.parse((folder / path).with_suffix(".svg"))
    links = [str(url) for url in page.xpath("//a/@href") if not str(url).startswith("https://")]
    assert {"provenance/removed.parquet", "attribution/zh.csv", "statistics.json"} < set(links)
    assert all((folder / url).exists() for url in links if url != "release.json")  # which is written after this
    assert all(page.xpath("//img/@alt"))


def test_tables_are_whole(folder: Path) -> None:
    page = rendered((folder / "README.md").read_text(encoding="utf-8"))
    tables = page.xpath("//table")
    assert len(tables) > 10
    for found in tables:
        widths = {len(row.xpath("./th|./td")) for row in found.xpath(".//tr")}
        assert len(widths) == 1
    assert "|" not in "".join(page.itertext())


def test_attribution_names_every_article_at_its_revision(tmp_path: Path) -> None:
    title = 'A "title", with\ncomma =1+1'
    rows = [sample(number=number, page=1 + number // 2, passage=(number, 9)) for number in range(4)]
    rows[0]["source"]["title"] = rows[1]["source"]["title"] = title  # type: ignore[index]
    run = assembled(Store.at(str(tmp_path)), {("en", DATES[0]): [*rows, *samples("en", DATES[0], 1, first=50)[1:]]})
    run.part(STAGED_FILES, PROVENANCE).write([], "provenance")
    write_card(run)
    text = Path(run.staging, "attribution/en.csv").read_bytes().decode()
    assert list(csv.reader(io.StringIO(text, newline=""))) == [
        ["title", "page_id", "revision_id", "url", "licence", "rows"],
        [title, "1", "9001", "https://en.wikipedia.org/wiki/Article_1", "CC BY-SA 4.0", "2"],
        [rows[2]["source"]["title"], "2", "9002", "https://en.wikipedia.org/wiki/Article_2", "CC BY-SA 4.0", "2"],  # type: ignore[index]
    ]


# --- what it says -----------------------------------------------------------------------------------


def test_a_rehearsal_says_so_before_anything_else(folder: Path) -> None:
    page = rendered((folder / "README.md").read_text(encoding="utf-8"))
    warning = page.xpath("//body/*")[1]
    assert warning.tag == "blockquote"
    assert "not training data" in warning.text_content()
    assert "rehearsal" not in card(made(["fr"]))
    assert "not training data" in card(made(["fr"], model=MODEL))


def test_table_1_stands_beside_the_papers() -> None:
    text = card(made(["zh", "de"], rows=1234))
    assert "| zh | 1,234 / 36K | 1,234 / 11K | 1,234 / 32K | 1,234 / 16K | 4,936 / 95K |" in text
    assert "| de | 1,234 / – |" in text
    assert (
        "| **all** | **2,468 / 147K** | **2,468 / 112K** | **2,468 / 523K** | **2,468 / 250K** | **9,872 / 1,032K** |"
        in text
    )
    assert "| UltraLink (the paper) | 1,032K | 1,623K | 87.86 | 290.35 | 378.21 |" in text
    assert "| zh | 61.0 / 55.2 | 340.0 / 553.8 |" in text
    assert "cl100k_base" in text


def test_missing_subsets_unknown_costs_and_unmeasured_words_are_named() -> None:
    figures = made(["ja", "ru"], cost_usd=None).model_copy(update={"missing": {"ru": ("code",)}})
    text = card(figures)
    assert "- ru: code" in text
    assert "No price is known" in text
    assert "$0" not in text
    assert "| ja | not measured | not measured | not measured | not measured |" in text
    assert "| ru | 73.0 / 0.800 | 73.0 / 0.800 | 64.0 / 0.800 | 64.0 / 0.800 |" in text


def test_test_items_and_private_data_are_one_thing_each_among_what_was_removed() -> None:
    sets = [RemovedRows(language="fr", subset="math", stage="decontaminate", reason=n, rows=20) for n in "ab"]
    figures = made(["fr"])
    figures = figures.model_copy(update={"removed": (*figures.removed, *sets)})
    assert figures.left_out == {"same English row": 60, "test items": 40, "similar text": 30, "private data": 10}
    assert "| test items | 40 | 1.0% |" in card(figures)
    assert "Nothing: all of the nights' 4,100 samples are here." in card(figures.model_copy(update={"removed": ()}))


def test_every_picture_is_shown_though_the_gates_turned_nothing_away() -> None:
    page = rendered(card(made(["fr"]).model_copy(update={"rejected": ()})))
    assert "plots/language-scores-light.png" in page.xpath("//img/@src")


@pytest.mark.parametrize("lost", [(), (REJECTS,), (LEDGER,), (REJECTS, LEDGER)])
def test_a_night_of_samples_alone_is_released_and_what_is_not_known_of_it_is_told(
    tmp_path: Path, lost: tuple[Stage, ...]
) -> None:
    store = Store.at(str(tmp_path))
    for date in DATES[:2]:
        publish_samples(store, "zh", date, samples("zh", date, 2, first=int(date[-1]) * 10))
    for stage in lost:
        Path(store.part(stage, "zh", DATES[0]).path).unlink()
    run = _exported(planned(store, languages=("zh",)))
    write_card(run)
    text = Path(run.staging, "README.md").read_text(encoding="utf-8")
    assert ("1 night of a language without a ledger" in text) == (LEDGER in lost)
    assert ("1 night of a language without a list of rejects" in text) == (REJECTS in lost)
    assert f"| {8 if LEDGER in lost else 16} |" in text.partition("## Teachers and cost")[2]
    assert "Nothing to do" in write_card(run).line
    if lost:
        publish_samples(store, "zh", DATES[0], samples("zh", DATES[0], 2, first=10))
        assert "Nothing to do" not in write_card(run).line


def test_the_card_names_only_files_that_are_there(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    publish_samples(store, "zh", DATES[0], samples("zh", DATES[0], 1))
    run = _exported(planned(store, languages=("zh",), recipe=ReleaseRecipe(validation_share=1.0)))
    write_card(run)
    text = Path(run.staging, "README.md").read_text(encoding="utf-8")
    named = re.findall(r"(?:data|messages|sharegpt|ultralink)/[\w./-]+\.(?:parquet|jsonl|json)", text)
    assert len(named) == 5
    assert all(Path(run.staging, path).exists() for path in named)


def test_what_the_head_says_of_licences_leads_to_a_file_that_is_there(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    publish_samples(store, "zh", DATES[0], [sample("zh"), sample("zh", "math", licence="not known")])
    run = _exported(planned(store, languages=("zh",)))
    write_card(run)
    data = DatasetCard.load(Path(run.staging, "README.md")).data
    assert (data.license, data.license_name, data.license_link) == (["cc-by-sa-4.0", "other"], "mixed", "LICENSE.md")
    text = Path(run.staging, data.license_link).read_text(encoding="utf-8")
    assert "not known" in text
    assert "[zh](attribution/zh.csv): 1 article, 1 row" in text


def test_decontamination_is_told_and_so_is_its_absence() -> None:
    assert "**None.** This release was not compared with any evaluation set" in card(made(["fr"]))
    sets = [EvaluationSet(name="mgsm_fr", path="/x.jsonl", fields=["question"])]
    text = card(made(["fr"]), ReleaseRecipe(decontamination=Decontamination(sets=sets)))
    assert "| mgsm\\_fr | question | 0 |" in text
    assert "compared with no" not in text


def test_text_from_data_stays_text() -> None:
    evil = made(["ru"], categories={"ru": HOSTILE}, model=HOSTILE[0], gates=HOSTILE).model_copy(
        update={"licences": (LicenceRows(licence=HOSTILE[0], kind="english", rows=1),), "version": "2026-11-23"}
    )
    text = card(evil, ReleaseRecipe(title=HOSTILE[0]))
    yaml.safe_load(text.split("---\n")[1])
    page = rendered(text)
    assert not page.xpath("//script")
    assert "<script>alert(1)</script>" in page.text_content()
    assert not re.search("[\x00\u202e\ud800]", text)
    assert max(map(len, text.splitlines())) < 2000
    for found in page.xpath("//table"):
        assert len({len(row.xpath("./th|./td")) for row in found.xpath(".//tr")}) == 1


@pytest.mark.parametrize(
    "text",
    ["a|b", "`code`", "*bold* _it_ ~~no~~", "[x](javascript:alert(1))", "<b>&amp;", "# head", "$x$", "www.evil.example",
     "https://evil.example", "a@b.example", "back\\slash", "!![i](x)", "==mark==", '"quoted"'],
)  # fmt: skip
def test_plain_text_reads_as_it_was(text: str) -> None:
    markdown = MarkdownIt("gfm-like", {"linkify": False, "html": True})
    shown = html.document_fromstring(markdown.render(table(["head"], [[f"x {plain(text)} y"]])))
    assert shown.xpath("//td")[0].text_content() == f"x {text} y"
    assert not shown.xpath("//td//*")


def test_links_lead_to_pages_only() -> None:
    assert link("a", "https://example.org/x(y)") == "[a](<https://example.org/x(y)>)"
    for url in ("javascript:alert(1)", "file:///etc/passwd", "https://x> [y](z)", "", "https://x\ny"):
        assert link("a", url) == "a"
    assert code("a`b|c") == "`a’b¦c`"


@pytest.mark.parametrize(
    ("licence", "name"),
    [("CC BY-SA 4.0", "cc-by-sa-4.0"), ("CC-BY-SA-3.0", "cc-by-sa-3.0"), ("MIT", "mit"), ("Apache-2.0", "apache-2.0"),
     ("own writing, Apache-2.0", "apache-2.0"), ("not known; conversations that users shared", "other"),
     ("CC0", "cc0-1.0"), ("CC BY-NC 4.0", "cc-by-nc-4.0"), ("a permit", "other"), ("", "other")],
)  # fmt: skip
def test_licences_have_the_hubs_names(licence: str, name: str) -> None:
    assert licence_id(licence) == name


def test_share_alike_governs_and_what_does_not_go_with_it_is_named() -> None:
    assert licence_ids(["MIT", "CC BY-SA 4.0", "Apache-2.0"]) == ["cc-by-sa-4.0"]
    assert licence_ids(["CC BY-SA 4.0", "not known"]) == ["cc-by-sa-4.0", "other"]
    assert licence_ids(["CC BY-SA 4.0", "CC BY-NC 4.0"]) == ["cc-by-sa-4.0", "cc-by-nc-4.0"]
    assert licence_ids(["MIT", "Apache-2.0"]) == ["apache-2.0", "mit"]


def test_the_largest_card_is_no_longer_than_a_person_reads() -> None:
    text = card(made(list(CATEGORIES), gates=[f"gate {number}" for number in range(300)]))
    assert "more reasons" not in card(made(["fr"]))
    assert "more reasons are in [statistics.json]" in text
    assert len(text) < 60_000
