"""What the offline teacher says when it behaves: question and answer, drawn from the request."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from ultralink.gates.turn import units
from ultralink.offline_teacher.facts import Fact, facts, sentences
from ultralink.offline_teacher.reading import Task
from ultralink.offline_teacher.templates import templates_of
from ultralink.prompts import Step
from ultralink.tokens import count_tokens

SPOKEN_TOKENS = 170  # of the passage's sentences in one answer: the frame must stay a good part of it
MOST_COPIED = 0.72  # of a question: the gate's 0.8 with some room
NEAR = 6  # facts around the last one that a question in depth may take up
CLAUSE_WORDS = 9  # the gate against copying counts runs of 10 words
CLAUSE_CHARACTERS = 19  # or of 20 characters where words are not spaced
_CLAUSE = re.compile(r"[,;:，；：、«»„“”\"()]\s*")
_PLACEHOLDER = re.compile(r"\{\w+\}")


def question(task: Task) -> str:
    """A question about a fact of the passage that the dialogue has not used."""
    draw = random.Random(task.content)
    asked = _next_fact(task, draw)
    templates = templates_of(task.language)
    if templates is None or asked.bare is None:
        return f"{task.title}: {', '.join(_clauses(task, 2, draw))}?"
    kinds = {
        Step.QUESTION_FIRST: templates.question.first,
        Step.QUESTION_DEPTH: templates.question.depth,
        Step.QUESTION_WIDTH: templates.question.width,
    }
    possible = [
        _capitalised(templates.fill(template, fact=asked.bare, title=task.title)) for template in kinds[task.step]
    ]
    framed = [text for text in possible if _share(asked.bare, text) <= MOST_COPIED]
    return draw.choice(framed or [max(possible, key=len)])


def answer(task: Task) -> str:
    """Sentences of the passage near what was asked about, in a frame of their own."""
    draw = random.Random(task.content)
    chosen = _supporting(task, draw)
    templates = templates_of(task.language)
    if templates is None:
        clauses = _clauses(task, 10, draw)
        return ". ".join(_capitalised(", ".join(part)) for part in (clauses[:5], clauses[5:]) if part) + "."
    phrases = templates.answer
    before = "\n".join(turn.answer for turn in task.turns)
    said = [templates.fill(_fresh(phrases.openings, before, draw), title=task.title)]
    for fact in chosen:
        links = phrases.links if len(said) > 1 else phrases.first
        fitting = [link for link in links if fact.bare is not None or "{sentence}" in link]
        link = _fresh(fitting, "\n".join(said), draw)
        said.append(_capitalised(templates.fill(link, sentence=fact.sentence, fact=fact.bare or "")))
    said.append(templates.fill(_fresh(phrases.closings, before, draw), title=task.title))
    return joined(*said)


# --- choosing ---------------------------------------------------------------------------------


def _next_fact(task: Task, draw: random.Random) -> Fact:
    known = facts(task.passage, task.language)
    asked = "\n".join(turn.question for turn in task.turns)
    said = asked + "\n".join(turn.answer for turn in task.turns)
    askable = [fact for fact in known if fact.askable]
    fresh = [fact for fact in askable if not _holds(asked, fact)]
    unused = [fact for fact in fresh if not _holds(said, fact)]
    unused = unused or fresh or askable or list(known) or [_last_resort(task)]
    if task.step is Step.QUESTION_FIRST:
        return draw.choice(unused)
    last = _asked_index(known, task.turns[-1].question)
    by_distance = sorted(unused, key=lambda fact: (abs(fact.index - last), fact.index))
    if task.step is Step.QUESTION_DEPTH:
        return draw.choice(by_distance[:NEAR])
    return draw.choice(by_distance[len(by_distance) // 2 :])


def _supporting(task: Task, draw: random.Random) -> list[Fact]:
    """Two or three facts around the asked one, in the passage's order, that were not said yet."""
    known = facts(task.passage, task.language) or (_last_resort(task),)
    said = "\n".join(turn.answer for turn in task.turns)
    at = _asked_index(known, task.question)
    others = [fact for fact in known if not _holds(task.question, fact)]
    unused = [fact for fact in others if not _holds(said, fact)]
    pool = unused if len(unused) >= 2 else others or list(known)
    near = sorted(pool, key=lambda fact: (abs(fact.index - at), fact.index))[: NEAR - 2]
    chosen: list[Fact] = []
    for fact in draw.sample(near, min(len(near), draw.choice((2, 2, 3)))):
        if not chosen or sum(count_tokens(other.sentence) for other in [*chosen, fact]) <= SPOKEN_TOKENS:
            chosen.append(fact)
    return sorted(chosen, key=lambda fact: fact.index)


def _asked_index(known: Sequence[Fact], asked: str) -> int:
    held = [fact for fact in known if _holds(asked, fact)]
    return max(held, key=lambda fact: len(fact.sentence)).index if held else 0


def _holds(text: str, fact: Fact) -> bool:
    return fact.sentence[1:-1].rstrip() in text


def _last_resort(task: Task) -> Fact:
    """A passage without one sentence that stands alone: its first one, or its title."""
    first = next(iter(sentences(task.passage, task.language)), task.title)
    return Fact(index=0, sentence=first, bare=None, askable=False)


# --- wording ----------------------------------------------------------------------------------


def _fresh(phrases: Sequence[str], said: str, draw: random.Random) -> str:
    """One of ``phrases`` that was not said yet, if there is one left."""
    fresh = [phrase for phrase in phrases if _PLACEHOLDER.split(phrase)[0] not in said]
    return draw.choice(fresh or phrases)


def joined(*said: str) -> str:
    """Sentences one after the other, with a space where the script has one."""
    text = said[0]
    for sentence in said[1:]:
        text += ("" if text.endswith(("。", "？", "！")) else " ") + sentence
    return text


def lowered(text: str) -> str:
    """``text`` with a small first letter, to follow an introduction."""
    return text[:1].lower() + text[1:]


def misquoted(quote: str) -> str:
    """``quote`` with its second half before its first: the same words, but in no passage."""
    return quote[len(quote) // 2 :] + quote[: len(quote) // 2]


def _capitalised(text: str) -> str:
    """``text`` with its first letter in upper case, behind an inverted question mark too."""
    return re.sub(r"\w", lambda found: found[0].upper(), text, count=1)


def _clauses(task: Task, number: int, draw: random.Random) -> list[str]:
    """Short stretches of the passage, for a language without templates: its own words at least."""
    known = [
        clause.strip(" .。")
        for sentence in sentences(task.passage, task.language)
        for clause in _CLAUSE.split(sentence)
        if 2 <= len(units(clause)) <= (CLAUSE_WORDS if " " in clause else CLAUSE_CHARACTERS)
    ]
    return draw.sample(known, min(len(known), number)) or [task.title]


def _share(part: str, whole: str) -> float:
    return len(units(part)) / len(units(whole))
