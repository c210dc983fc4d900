"""An ApiWiki for a test: the recipe's sections with what the test cares about, and little patience."""

from __future__ import annotations

from ultralink.recipe import ApiSource, CategoryWalk, Cleaning, RandomDraw, TitleList, Wikipedia
from ultralink.wikipedia.api import ApiWiki
from ultralink.wikipedia.transport import Patience

CLEANING = Cleaning(
    drop_sections=[],
    disambiguation_templates=[],
    stub_templates=[],
    list_title="^List of ",
    file_namespaces=["File"],
    category_namespaces=["Category", "分类"],
)
QUICK = Patience(attempts=4, put_off_s=60, first_wait_s=0.02, longest_wait_s=6)


def category(name: str, depth: int = 0) -> CategoryWalk:
    return CategoryWalk(kind="category", category=name, depth=depth)


def titles(*names: str) -> TitleList:
    return TitleList(kind="titles", titles=list(names))


RANDOM = RandomDraw(kind="random")


def open_wiki(
    base_url: str,
    selection: CategoryWalk | TitleList | RandomDraw = RANDOM,
    *,
    language: str = "en",
    seed: int = 0,
    requests_per_second: float = 1000,
    concurrency: int = 3,
    timeout_s: float = 20,
    patience: Patience = QUICK,
) -> ApiWiki:
    settings = ApiSource(
        base_url=base_url,
        article_url="https://en.wikipedia.org/wiki/{title}",
        contact="tests@example.org",
        selection=selection,
        requests_per_second=requests_per_second,
        concurrency=concurrency,
        timeout_s=timeout_s,
    )
    wikipedia = Wikipedia(
        source="api",
        articles_per_night=5,
        seed=seed,
        cleaning=CLEANING,
        api=settings,
    )
    return ApiWiki(settings, wikipedia, language, patience)
