"""Published nights for the tests of releases: samples as the pipelines make them, a store with them, a planned run."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ultralink.release.plan import Plan, SourcePart
from ultralink.release.recipe import SUBSETS, Format, ReleaseRecipe
from ultralink.schemas import LEDGER, REJECTS, SAMPLES, SOURCE
from ultralink.stages.assembly import Assembly
from ultralink.stages.release_decontaminate import Measures
from ultralink.stages.statistics import Statistics, Subset, statistics_path
from ultralink.store import Part, Row, Store

DATES = ("2026-11-01", "2026-11-02", "2026-11-03")
MODEL = "offline-teacher (not an LLM)"
DATASETS = {"chat_agnostic": "chats_sharegpt", "math": "math_metamath", "code": "code_oss_instruct"}
QUESTIONS = {
    "en": "What should a visitor know about {}?",
    "es": "¿Qué debería saber un visitante sobre {}?",
    "fr": "Que devrait savoir un visiteur sur {} ?",
    "ru": "Что следует знать гостю о теме «{}»?",
    "zh": "关于{}，游客应该了解些什么？",
}
WORDS = {
    "en": "river stone market winter bridge lantern copper garden harbour weaver candle orchard saddle meadow "
    "kettle thunder village needle barley anchor chapel feather granite hollow ladder mirror",
    "es": "río piedra mercado invierno puente farol cobre jardín puerto tejedor vela huerto montura pradera "
    "caldero trueno aldea aguja cebada ancla capilla pluma granito hueco escalera espejo",
    "fr": "rivière pierre marché hiver pont lanterne cuivre jardin port tisserand bougie verger selle prairie "
    "bouilloire tonnerre village aiguille orge ancre chapelle plume granit creux échelle miroir",
    "ru": "река камень рынок зима мост фонарь медь сад гавань ткач свеча яблоня седло луг "
    "чайник гром деревня игла ячмень якорь часовня перо гранит дупло лестница зеркало",
    "zh": "河流 石头 市场 冬天 桥梁 灯笼 铜器 花园 港口 织工 蜡烛 果园 马鞍 草地 "
    "水壶 雷声 村庄 绣针 大麦 船锚 教堂 羽毛 花岗岩 空洞 梯子 镜子",
}


def prose(language: str, seed: object, words: int = 90) -> str:
    """Sentences of drawn words with numbers among them: two seeds give two texts that share hardly any run."""
    draw = random.Random(f"{language} {seed}")
    space, stop = ("", "。") if language == "zh" else (" ", ". ")
    vocabulary = WORDS[language].split()
    # A number stands alone among words, so that no two of them look like somebody's telephone.
    drawn = [
        str(draw.randrange(1000)) if place % 5 == 3 and draw.random() < 0.5 else draw.choice(vocabulary)
        for place in range(words)
    ]
    return "".join(space.join(drawn[start : start + 12]) + stop for start in range(0, words, 12)).strip()


def sample(
    language: str = "en",
    subset: str = "chat_specific",
    number: int = 0,
    *,
    text: str | None = None,
    messages: Sequence[tuple[str, str]] | None = None,
    page: int | None = None,
    revision: int | None = None,
    passage: tuple[int, int] = (0, 1200),
    dataset: str | None = None,
    row_id: str | None = None,
    date: str = DATES[0],
    sample_id: str | None = None,
    licence: str | None = None,
    scores: Mapping[str, float] | None = None,
) -> dict[str, object]:
    """A row of SAMPLES; ``number`` makes it another article or English row, and another text.

    ``text`` is the last answer; ``messages`` (role, content) are the whole conversation.
    """
    source = (
        _article(language, page or 1000 + number, revision, passage, licence)
        if subset == "chat_specific"
        else _english(subset, number, dataset, row_id, licence)
    )
    key = source["passage_id"] or source["row_id"]
    turns = messages or _conversation(language, subset, number, text)
    taken_as_is = language == "en" and subset != "chat_specific"
    return {
        "id": sample_id or f"{language}-{subset}-{key}",
        "language": language,
        "subset": subset,
        "messages": [{"role": role, "content": content} for role, content in turns],
        "source": source,
        "teacher": None if taken_as_is else _teacher(number),
        "scores": dict(scores) if scores is not None else {"language": 1.0, "grounded": 0.5 + number % 50 / 100},
        "created": datetime.fromisoformat(f"{date}T03:{number % 60:02d}:00").replace(tzinfo=UTC),
        "fingerprint": "f1b715931dcd6e48",
    }


def samples(language: str, date: str, each: int = 3, *, first: int = 0) -> list[dict[str, object]]:
    """``each`` samples of every subset, numbered from ``first``."""
    numbers = range(first, first + each)
    return [sample(language, subset, number, date=date) for subset in SUBSETS for number in numbers]


def publish_samples(store: Store, language: str, date: str, rows: Iterable[Row]) -> Part:
    """A published night as the store has it: SAMPLES, two REJECTS, a LEDGER of one account, statistics."""
    published = list(rows)
    part, rejects, bill = (store.part(stage, language, date) for stage in (SAMPLES, REJECTS, LEDGER))
    part.write(published, "samples")
    turned_away = [_reject(language, subset, date) for subset in ("chat_specific", "math")]
    rejects.write(turned_away, "rejects")
    bill.write([_account(len(published))], "ledger")
    path = statistics_path(store, language, date)
    statistics = Statistics(
        language=language,
        date=date,
        articles=4,
        passages=6,
        subsets={name: _subset(published, turned_away, name) for name in SUBSETS},
        pool=date,
        calls=max(len(published), 1),
        prompt_tokens=900 * len(published),
        cached_tokens=300 * len(published),
        completion_tokens=450 * len(published),
        cost_usd=0.002 * len(published),
        models=[MODEL],
        outputs={"samples": part.path, "rejects": rejects.path, "ledger": bill.path, "statistics": path},
    )
    store.write_text(path, statistics.model_dump_json(indent=1))
    return part


def assembly(store: Store | Path | str, **changes: object) -> Assembly:
    """A run on ``store`` (or at that path or URL) of two languages, not planned; ``changes`` replace its fields."""
    settings: dict[str, object] = {
        "store": store if isinstance(store, Store) else Store.at(str(store)),
        "run_id": "manual__1",
        "shards": 2,
        "recipe": ReleaseRecipe(validation_share=0.1, rows_per_file=50),
        "languages": ("en", "zh"),
        "formats": tuple(Format),
    }
    return Assembly(**{**settings, **changes})  # type: ignore[arg-type]


def planned(store: Store | Path | str, **changes: object) -> Assembly:
    """A run whose plan is written: every night of its languages that has samples, none missing."""
    run = assembly(store, **changes)
    nights = sorted(
        (date, place)
        for place, language in enumerate(run.languages)
        for date in run.store.dates(SAMPLES, language)
        if (run.since or "") <= date <= (run.until or "9")
    )
    sources = []
    for date, place in nights:
        language = run.languages[place]
        part = run.store.part(SAMPLES, language, date)
        stamp = part.stamp()
        assert stamp is not None
        sources.append(SourcePart(language=language, date=date, path=part.path, rows=stamp.rows, digest=stamp.digest))
    plan = Plan(
        version=run.version or (sources[-1].date if sources else "none"),
        run_id=run.run_id,
        languages=run.languages,
        since=run.since,
        until=run.until,
        formats=run.formats,
        missing={},
        sources=tuple(sources),
        recipe=run.recipe,
        measures=Measures.of(run.recipe, run.languages).digest,
    )
    run.store.write_text(run.plan_path, plan.model_dump_json())
    return run


# --- pieces of a night ------------------------------------------------------------------------------


def _conversation(language: str, subset: str, number: int, text: str | None) -> list[tuple[str, str]]:
    turns = 1 if subset in ("math", "code") else 1 + number % 3
    said: list[tuple[str, str]] = []
    for turn in range(turns):
        topic = prose(language, f"{subset} {number} topic {turn}", 3).rstrip("。.")
        answer = prose(language, f"{subset} {number} answer {turn}")
        if subset == "math":
            answer += f"\n#### {number * 7 + 3}"
        if subset == "code":
            answer = f"{answer}\n\n```python\ndef step_{number}(value):\n    return value * {number} + 1\n```"
        said += [("user", QUESTIONS[language].format(topic)), ("assistant", answer)]
    if text is not None:
        said[-1] = ("assistant", text)
    return said


_NO_SOURCE: dict[str, object] = dict.fromkeys(field.name for field in SOURCE)


def _article(
    language: str, page: int, revision: int | None, passage: tuple[int, int], licence: str | None
) -> dict[str, object]:
    revision = revision or 9000 + page
    start, end = passage
    return {
        **_NO_SOURCE,
        "kind": "wikipedia",
        "url": f"https://{language}.wikipedia.org/wiki/Article_{page}",
        "licence": licence or "CC BY-SA 4.0",
        "page_id": page,
        "revision_id": revision,
        "title": f"{WORDS[language].split()[page % 26]} {page}",
        "fetched": datetime(2026, 10, 30, 12, tzinfo=UTC),
        "categories": [WORDS[language].split()[page % 7], WORDS[language].split()[7 + page % 5]],
        "passage_id": f"{page}-{revision}-{start // 1200}",
        "passage_start": start,
        "passage_end": end,
        "passage": prose(language, f"passage {page} {start}", 200),
    }


def _english(
    subset: str, number: int, dataset: str | None, row_id: str | None, licence: str | None
) -> dict[str, object]:
    dataset = dataset or DATASETS[subset]
    return {
        **_NO_SOURCE,
        "kind": "english",
        "url": f"https://ultralink.example/samples/english/{dataset}.jsonl",
        "licence": licence or "own writing, Apache-2.0",
        "dataset": dataset,
        "row_id": row_id or f"{dataset}-{number:016x}",
        "row": number,
        "type": "",
        "english": [{"role": role, "content": content} for role, content in _conversation("en", subset, number, None)],
    }


def _teacher(number: int) -> dict[str, object]:
    return {
        "model": MODEL,
        "requested_model": "offline-teacher",
        "prompts": "39acbd9c881c790f",
        "temperature": 0.7,
        "top_p": 1.0,
        "asks": 1 + number % 3,
        "prompt_tokens": 900,
        "cached_tokens": 300,
        "completion_tokens": 450,
        "cost_usd": 0.002,
    }


def _reject(language: str, subset: str, date: str) -> Row:
    row = sample(language, subset, 999, date=date)
    return {
        **{name: row[name] for name in ("id", "language", "subset", "messages", "source", "created", "fingerprint")},
        "stage": "dialogues" if subset == "chat_specific" else "math_rows",
        "gate": "language" if subset == "chat_specific" else "numbers",
        "reason": "language" if subset == "chat_specific" else "numbers differ",
        "attempts": 2,
    }


def _account(calls: int) -> Row:
    return {
        "run": "scheduled__1",
        "shard": 0,
        "step": "dialogues",
        "model": MODEL,
        "paid": max(calls, 1),
        "lost": 0,
        "tries": max(calls, 1),
        "limited": 0,
        "prompt_tokens": 900 * calls,
        "cached_tokens": 300 * calls,
        "completion_tokens": 450 * calls,
        "cost_usd": 0.002 * calls,
        "latency_mean_s": 0.8,
        "latency_p50_s": 0.7,
        "latency_p95_s": 1.9,
    }


def _subset(rows: Sequence[Row], turned_away: Sequence[Row], name: str) -> Subset:
    mine = [row for row in rows if row["subset"] == name]
    return Subset(
        samples=len(mine),
        turns=sum(len(row["messages"]) // 2 for row in mine),  # type: ignore[arg-type, misc]
        rejects={f"{row['gate']}: {row['reason']}": 1 for row in turned_away if row["subset"] == name},
    )
