"""The offline teacher's bad behaviour, on purpose and seeded, so that every gate has real work.

About one first attempt in eight breaks a rule, and mostly puts it right when told. About one dialogue in
twelve has a place that stays bad however often it is told. About one judgement in twenty finds a fault.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from ultralink.dialogue.judge import Verdicts
from ultralink.offline_teacher import checking, compose
from ultralink.offline_teacher.facts import sentences
from ultralink.offline_teacher.reading import Task, digest
from ultralink.offline_teacher.templates import MischiefPhrases, fill, templates_of
from ultralink.prompts import Step

FIRST_ATTEMPTS = 8  # one in so many misbehaves
NEW_ATTEMPTS = 6  # of those that were told: one in so many misbehaves again
DIALOGUES = 12  # one in so many has a stubborn place
JUDGEMENTS = 40  # one in so many finds an answer unsupported, one misquotes
_ANSWERS = (Step.ANSWER_FIRST, Step.ANSWER_FOLLOWING)
_STUBBORN = ("question.first/0", "answer.first/0", "question.*/1", "answer.following/1", "answer.following/2")


@dataclass(frozen=True, slots=True)
class Said:
    """The text of an answer and how it ended."""

    text: str
    finish_reason: str = "stop"


def say(task: Task) -> Said:
    """The offline teacher's answer to ``task``, good or bad."""
    if task.step is Step.JUDGE:
        return Said(_judged(task).model_dump_json())
    behaved = compose.answer(task) if task.step in _ANSWERS else compose.question(task)
    if not misbehaves(task):
        return Said(behaved)
    draw = random.Random("mischief" + task.content)
    templates = templates_of(task.language)
    phrases = templates.mischief if templates else None
    if task.step in _ANSWERS:
        return _bad_answer(task, behaved, phrases, draw)
    return _bad_question(behaved, phrases, draw)


def misbehaves(task: Task) -> bool:
    """Drawn from the passage and the place in the dialogue; for a new attempt from the request."""
    if stubborn_place(task.passage) == _any_question(task.place):
        return True
    if task.told:
        return _one_in(NEW_ATTEMPTS, "again" + task.content)
    return _one_in(FIRST_ATTEMPTS, f"first {task.place} {task.passage}")


def stubborn_place(passage: str) -> str | None:
    """The place of the dialogue about ``passage`` that stays bad, if it has one."""
    if not _one_in(DIALOGUES, "dialogue" + passage):
        return None
    return random.Random("place" + passage).choice(_STUBBORN)


def _any_question(place: str) -> str:
    return place.replace("question.depth", "question.*").replace("question.width", "question.*")


def _one_in(number: int, what: str) -> bool:
    return int(digest(what)[:12], 16) % number == 0


def _bad_question(behaved: str, phrases: MischiefPhrases | None, draw: random.Random) -> Said:
    if phrases is None:
        return Said(f"{behaved} {behaved}")
    return Said(
        draw.choice(
            (
                fill(phrases.leak_question, question=compose.lowered(behaved)),
                compose.joined(behaved, phrases.second_question),
                phrases.dangling_question,
                phrases.foreign_question,
            )
        )
    )


def _bad_answer(task: Task, behaved: str, phrases: MischiefPhrases | None, draw: random.Random) -> Said:
    whole = sentences(task.passage, task.language)
    longest = max(whole, key=len, default=behaved)
    bad = [
        Said(behaved[: len(behaved) * 2 // 3].rstrip(" .。!?"), "length"),
        Said(compose.joined(*[longest] * 5)),
        Said(compose.joined(*(whole[:6] or [behaved]))),
    ]
    if phrases is not None:
        bad += [
            Said(fill(phrases.leak_answer, answer=compose.lowered(behaved))),
            Said(phrases.foreign_answer),
            Said(phrases.refusal),
        ]
    return draw.choice(bad)


def _judged(task: Task) -> Verdicts:
    """Verdicts, at times with one answer that is found unsupported, or with a quotation that is none.

    A lone answer is judged as well as it can be: the labelled items that measure the judge are such.
    """
    given = checking.verdicts(task)
    draw = random.Random("judge" + task.content)
    fault = draw.randrange(JUDGEMENTS)
    if len(given.answers) < 2 or fault > 1:
        return given
    at = draw.randrange(len(given.answers))
    doubted = given.answers[at]
    wrong = (
        doubted.model_copy(update={"supported": False, "quote": ""})
        if fault == 0
        else doubted.model_copy(update={"quote": compose.misquoted(doubted.quote)})
    )
    return Verdicts(answers=[*given.answers[:at], wrong, *given.answers[at + 1 :]])
