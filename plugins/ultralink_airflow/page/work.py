"""What each task does: a sentence, the stage that it reads, what it writes, its rejects, its steps of the teacher."""

from __future__ import annotations

from dataclasses import dataclass

from ultralink.pool.row import Kind
from ultralink.schemas import (
    ARTICLE_REJECTS,
    ARTICLES,
    CHOICE,
    DIALOGUE_REJECTS,
    DIALOGUES,
    DISTINCT_ROWS,
    DUPLICATES,
    ENGLISH_REJECTS,
    ENGLISH_ROWS,
    PASSAGES,
    POOL,
    POOL_REJECTS,
    REJECTS,
    SAMPLES,
    SCREEN_REJECTS,
    SCREENED_ROWS,
    SELECTION,
    TRANSLATION_REJECTS,
    TRANSLATIONS,
    Stage,
)
from ultralink.stages.rehearsal import CALIBRATION, shard_name, translation_name


@dataclass(frozen=True)
class Work:
    """A task's work. ``steps`` are the beginnings of the names of what it asks the teacher."""

    does: str = ""
    reads: Stage | None = None
    writes: tuple[Stage, ...] = ()
    rejects: Stage | None = None
    steps: tuple[str, ...] = ()


_NIGHT = {
    "wikipedia.select": Work("Chooses the night's articles.", None, (SELECTION,)),
    "wikipedia.extract": Work("Reads the articles and cuts passages.", None, (ARTICLES, PASSAGES), ARTICLE_REJECTS),
    "dialogue.calibrate": Work("Measures the judge before it may turn anything away.", steps=("calibrate",)),
    "dialogue.generate": Work(
        "Has the teacher write a dialogue about each passage.",
        PASSAGES, (DIALOGUES,), DIALOGUE_REJECTS, ("question.", "answer.", "judge"),
    ),
    "english.choose": Work("Chooses English rows from the pool.", None, (CHOICE,)),
    **{
        f"english.{kind}": Work(
            "Translates the chosen rows.",
            None, (TRANSLATIONS[kind],), TRANSLATION_REJECTS[kind], (f"translate.{kind}",),
        )
        for kind in Kind
    },
    "publish.publish": Work("Gathers the shards, and sums the bill.", None, (SAMPLES,), REJECTS),
}  # fmt: skip
_POOL = {
    "read.read": Work("Reads one source, and turns away what is not clean.", None, (ENGLISH_ROWS,), ENGLISH_REJECTS),
    "read.distinct": Work("Takes out duplicates over all sources.", ENGLISH_ROWS, (DISTINCT_ROWS,), DUPLICATES),
    "screen.screen": Work(
        "Has the teacher judge each chat: is it bound to a culture?",
        None, (SCREENED_ROWS,), SCREEN_REJECTS, ("screen",),
    ),
    "publish.publish": Work("Gathers the rows, clusters them, and sums the bill.", None, (POOL,), POOL_REJECTS),
}  # fmt: skip
_RELEASE = {
    "collect.plan": Work("Chooses the version and the nights that the release is made of."),
    "collect.measure": Work("Measures the rows of its nights: hashes, signatures, tokens."),
    "clean.exact": Work("Takes out rows that say the same as an earlier one."),
    "clean.near": Work("Takes out rows that say nearly the same as an earlier one."),
    "clean.decontaminate": Work("Finds test items, private data and blocked words."),
    "write.split": Work("Decides for each row: train, validation, or left out."),
    "write.export": Work("Writes the files of one language and subset."),
    "write.card": Work("Writes the data set's card with its figures and pictures."),
    "publish.publish": Work("Puts the release on the shelf, whole and at once."),
    "publish.push": Work("Pushes the release to the hub, if the run names a repository."),
}
_NOTHING = Work()


def work_of_night(task_id: str) -> Work:
    """Of a task of a language's Dag."""
    return _NIGHT.get(task_id, _NOTHING)


def work_of_pool(task_id: str) -> Work:
    """Of a task of the English pool's Dag."""
    return _POOL.get(task_id, _NOTHING)


def work_of_release(task_id: str) -> Work:
    """Of a task of the Dag of releases."""
    return _RELEASE.get(task_id, _NOTHING)


def batch_name(task_id: str, shard: int) -> str:
    """The name of a task's shard among the tickets of batch mode."""
    group, _, name = task_id.partition(".")
    if task_id == "dialogue.calibrate":
        return CALIBRATION
    return translation_name(Kind(name), shard) if group == "english" and name in list(Kind) else shard_name(shard)
