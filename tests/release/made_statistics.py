"""Figures of releases that never were, small and large, for the tests of pictures and cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from ultralink.release.recipe import SUBSETS
from ultralink.release.statistics import (
    Attribution,
    Category,
    Configuration,
    CountedRows,
    Diversity,
    EnglishSource,
    Lengths,
    LicenceRows,
    ModelUse,
    NightRows,
    RejectedRows,
    ReleaseStatistics,
    RemovedRows,
    Scores,
    TeacherRows,
    Topics,
    total,
)

CATEGORIES: Mapping[str, Sequence[str]] = {
    "en": ("Living people", "Rivers of Wales", "Articles with a very long name that nobody can read at a glance"),
    "zh": ("中国历史", "北京市建筑物", "中华人民共和国非物质文化遗产代表性项目名录", "四川菜"),
    "ru": ("Реки Московской области", "Писатели России XIX века и начала XX века, умершие в эмиграции"),
    "fr": ("Fromage au lait cru", "Château fort en ruine"),
    "es": ("Fiestas de interés turístico", "Ríos de España"),
    "ja": ("東京都の歴史", "昭和時代の映画作品"),
    "ko": ("서울특별시의 역사", "조선의 왕"),
    "ar": ("تاريخ مصر القديمة", "مدن وبلدات في المغرب"),
    "de": ("Straßenbahn", "Größe"),
    "it": ("Comuni della Toscana",),
    "pt": ("Música do Brasil", "Educação"),
    "el": ("Ελληνική μυθολογία",),
}
GATES = ("language", "leak", "too_short", "numbers", "untranslated", "code_blocks", "repetition", "article · stub")


def made(
    languages: Sequence[str],
    rows: int = 1000,
    nights: int = 3,
    *,
    categories: Mapping[str, Sequence[str]] = CATEGORIES,
    model: str = "a-teacher",
    gates: Sequence[str] = GATES,
    cost_usd: float | None = 12.5,
) -> ReleaseStatistics:
    """A release of ``rows`` dialogues per language and subset."""
    configurations = [_configuration(language, subset, rows) for language in languages for subset in SUBSETS]
    dates = [(date(2026, 9, 1) + timedelta(day)).isoformat() for day in range(nights)]
    samples = sum(each.lengths.dialogues for each in configurations) + 100
    return ReleaseStatistics(
        version="2026-11-23",
        languages=tuple(languages),
        missing={},
        samples=samples,
        lengths=total(each.lengths for each in configurations),
        configurations=tuple(configurations),
        removed=(
            RemovedRows(language=languages[0], subset="math", stage="exact", reason="same English row", rows=60),
            RemovedRows(language=languages[0], subset="math", stage="near", reason="similar text", rows=30),
            RemovedRows(language=languages[0], subset="code", stage="privacy", reason="email", rows=10),
        ),
        counted=(CountedRows(language=languages[0], stage="privacy", reason="phone", rows=7),),
        rejected=tuple(
            RejectedRows(language=language, subset=SUBSETS[place % 4], gate=gate, reason=gate, rows=5 + place)
            for language in languages
            for place, gate in enumerate(gates)
        ),
        scores=tuple(Scores(language=each, bins=(0,) * 16 + (3, 7, rows, 3 * rows)) for each in languages),
        teachers=(TeacherRows(model=model, rows=rows),),
        models=(
            ModelUse(
                model=model,
                calls=12 * rows,
                prompt_tokens=9000 * rows,
                cached_tokens=3000 * rows,
                completion_tokens=800 * rows,
                cost_usd=cost_usd,
            ),
        ),
        nights=tuple(
            NightRows(language=language, date=night, made=rows + place % 7, released=rows - place % 11)
            for language in languages
            for place, night in enumerate(dates)
        ),
        topics=tuple(_topics(language, categories[language]) for language in languages),
        licences=(
            LicenceRows(licence="CC BY-SA 4.0", kind="wikipedia", rows=rows),
            LicenceRows(licence="MIT", kind="english", rows=3 * rows),
        ),
        english=(EnglishSource(dataset="math_x", url="https://example.org/x", licence="MIT", rows=rows),),
        attribution=tuple(
            Attribution(language=each, path=f"attribution/{each}.csv", articles=5, rows=rows) for each in languages
        ),
    )


def _configuration(language: str, subset: str, rows: int) -> Configuration:
    turns = {1: rows} if subset in ("math", "code") else {2: rows // 2, 3: rows // 4, 9: rows - rows // 2 - rows // 4}
    count = sum(turns * times for turns, times in turns.items())
    return Configuration(
        language=language,
        subset=subset,
        lengths=Lengths(dialogues=rows, turns=count, question_tokens=61 * count, answer_tokens=340 * count),
        train=rows - rows // 100,
        validation=rows // 100,
        parquet_bytes=2000 * rows,
        turns={turns: times for turns, times in turns.items() if times},
        diversity=Diversity(rows=0, mtld=None, hdd=None)
        if language == "ja"
        else Diversity(rows=rows, mtld=60 + len(subset), hdd=0.8),
    )


def _topics(language: str, names: Sequence[str]) -> Topics:
    top = tuple(Category(name=name, rows=100 // place, share=1 / place / 5) for place, name in enumerate(names, 1))
    return Topics(language=language, rows=500, categories=4321, effective=812.3, top=top)
