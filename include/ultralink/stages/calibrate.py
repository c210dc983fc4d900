"""Calibrate: measure the judge with labelled items, once per change, before it may reject anything."""

from __future__ import annotations

import logging

from ultralink.dialogue.agreement import Agreement, measure
from ultralink.dialogue.labelled import LabelledSet, load_labelled
from ultralink.prompts import Step
from ultralink.stages.casting import casting
from ultralink.stages.desks import desk_of
from ultralink.stages.night import Night
from ultralink.stages.partition import Built
from ultralink.stages.rehearsal import CALIBRATION, rehearsed
from ultralink.store import fingerprint
from ultralink.teacher.ask import Ask, Style
from ultralink.teacher.desk import Desk, rehearsal, teacher
from ultralink.teacher.endpoint import Endpoint
from ultralink.teacher.tally import Counts

log = logging.getLogger(__name__)

FIRST_SHARD = 0
VERSION = 1  # of the measurement: the check of the quotation, and the file that is written


async def calibrate(night: Night, endpoint: Endpoint) -> Built:
    """Write the judge's agreement with the language's labelled items, unless it is known.

    It is paid for once, by the night that measures, from the first shard's part of its budget. Raises RecipeError,
    and what asking the teacher raises.
    """
    recipe, judge = night.recipe, casting(night, endpoint).judge
    if not recipe.judge.sampling_rate:
        return _nothing_to_do(night, "no dialogue is judged")
    labelled = load_labelled(night.language)
    if labelled is None:
        return _nothing_to_do(night, _no_labels(night))
    path = agreement_path(night, labelled, judge)
    known = _known(night, path)
    if known:
        return _nothing_to_do(night, f"{judge.model} was measured before, {known.line()}", path)
    if night.dry_run:
        return await _rehearse(night, labelled, judge)
    async with teacher(_desk(night, judge), endpoint) as ask:
        agreement = await _measured(night, labelled, ask)
        paid = ask.tally.line()
    night.store.write_text(path, agreement.model_dump_json(indent=1))
    may = "may" if agreement.share >= recipe.judge.min_agreement else "may not"
    wrong = ", ".join(str(ruling.number) for ruling in agreement.wrong) or "none"
    return Built((path,), f"{judge.model} {may} reject: {agreement.line()}; wrong items: {wrong}; {paid}")


def judge_may_reject(night: Night, judge: Style) -> bool:
    """Whether the judge was measured and agrees with enough of the labelled items; if not, the log says why."""
    recipe = night.recipe
    if not recipe.judge.sampling_rate:
        return False
    labelled = load_labelled(night.language)
    known = _known(night, agreement_path(night, labelled, judge)) if labelled else None
    if known and known.share >= recipe.judge.min_agreement:
        return True
    if known:
        reason = f"{known.line()}, judge.min_agreement is {recipe.judge.min_agreement:g}"
    else:
        reason = f"{judge.model} was not measured yet; run calibrate first" if labelled else _no_labels(night)
    log.warning("The judge only scores and rejects nothing: %s", reason)
    return False


def agreement_path(night: Night, labelled: LabelledSet, judge: Style) -> str:
    """Where the result lies: it names all that the judge's answers depend on."""
    made_by = fingerprint(
        VERSION,
        labelled.model_dump(mode="json"),
        night.book.fingerprint([Step.JUDGE]),
        judge.model,
        (judge.sampling.temperature, judge.sampling.top_p, judge.sampling.max_tokens),
    )
    return night.store.folder(CALIBRATION, night.language, f"{made_by}.json")


def _known(night: Night, path: str) -> Agreement | None:
    text = night.store.read_text(path)
    return None if text is None else Agreement.model_validate_json(text)


def _no_labels(night: Night) -> str:
    return f"there is no include/judge/{night.language}.yaml to measure it with"


async def _measured(night: Night, labelled: LabelledSet, ask: Ask) -> Agreement:
    recipe = night.recipe
    return await measure(
        labelled,
        ask,
        night.book,
        new_attempts=recipe.dialogue.new_attempts,
        concurrency=recipe.teacher.concurrency,
    )


async def _rehearse(night: Night, labelled: LabelledSet, judge: Style) -> Built:
    expected = night.recipe.teacher.expected_answer_tokens
    async with rehearsal(_desk(night, judge), lambda request: expected) as ask:
        await _measured(night, labelled, ask)
        about = f"{len(labelled.items)} labelled items with {judge.model}"
        return rehearsed(night, CALIBRATION, about, ask.tally.total)


def _nothing_to_do(night: Night, reason: str, *kept: str) -> Built:
    if night.dry_run:
        return rehearsed(night, CALIBRATION, reason, Counts())
    return Built(kept, f"Nothing to do: {reason}")


def _desk(night: Night, judge: Style) -> Desk:
    return desk_of(night, CALIBRATION, FIRST_SHARD, judge, night.dialogue_budget)
