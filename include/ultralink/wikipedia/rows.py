"""Articles, passages and pages turned away, as rows of their stages."""

from __future__ import annotations

from ultralink.recipe import Recipe
from ultralink.wikipedia.article import Article, Passage, TurnedAway
from ultralink.wikipedia.clean import article_url

Row = dict[str, object]


def article_row(article: Article) -> Row:
    """A row of the ARTICLES stage."""
    return {
        "page_id": article.page_id,
        "revision_id": article.revision_id,
        "title": article.title,
        "url": article.url,
        "licence": article.licence,
        "fetched": article.fetched,
        "text": article.text,
        "tokens": article.tokens,
        "language_score": article.language_score,
        "categories": list(article.categories),
    }


def passage_row(passage: Passage) -> Row:
    """A row of the PASSAGES stage."""
    article = article_row(passage.article)
    del article["text"], article["tokens"]
    return article | {
        "id": passage.id,
        "index": passage.index,
        "start": passage.start,
        "end": passage.end,
        "text": passage.text,
        "tokens": passage.tokens,
    }


def turned_away_row(page: TurnedAway, recipe: Recipe, made_by: str) -> Row:
    """A row of the ARTICLE_REJECTS stage; the text that was judged stands in ``source.passage``."""
    return {
        "id": f"{recipe.language}-article-{page.page_id}",
        "language": recipe.language,
        "subset": "chat_specific",
        "stage": "articles",
        "gate": page.gate,
        "reason": page.reason,
        "attempts": 1,
        "messages": [],
        "source": {
            "kind": "wikipedia",
            "page_id": page.page_id,
            "revision_id": page.revision_id,
            "title": page.title,
            "url": article_url(recipe.wikipedia, page.title),
            "licence": recipe.wikipedia.licence,
            "fetched": None,
            "categories": None,
            "passage_id": None,
            "passage_start": None,
            "passage_end": None,
            "passage": page.text,
        },
        "created": None,
        "fingerprint": made_by,
    }
