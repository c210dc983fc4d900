"""The judge is measured once per change, and rejects nothing until it agrees: real stages, a scripted endpoint."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.dialogue.material import sample_passages
from tests.stages.nights import MODEL, files, night, recipe
from tests.teacher.fake_teacher import Asked, Reply, endpoint, error, fake_teacher, good

from ultralink.dialogue.labelled import Item, load_labelled
from ultralink.errors import BudgetExceeded, KeyRejected, PartMissing
from ultralink.offline_teacher import compose
from ultralink.offline_teacher.reading import PromptShelf, Task
from ultralink.prompts import PROMPTS, Step
from ultralink.schemas import DIALOGUE_REJECTS, DIALOGUES, PASSAGES, SELECTION
from ultralink.stages import calibrate as stage
from ultralink.stages.calibrate import calibrate
from ultralink.stages.generate import generate
from ultralink.stages.night import Night
from ultralink.stages.partition import Built
from ultralink.stages.rehearsal import rehearsed_in_all
from ultralink.teacher.journal import Journal
from ultralink.teacher.request import Message
from ultralink.wikipedia.rows import passage_row

ITEMS = 14
PASSAGES_USED = 3

_SHELF = PromptShelf([PROMPTS])


@dataclass
class Script:
    """An endpoint that writes dialogues, and judges items as ``rule`` says (None: no verdict)."""

    rule: Callable[[Item], bool | None]
    of_dialogues: bool | None = False  # what it finds each of the dialogues' answers
    judged: list[str] = field(default_factory=list)  # models that were asked to judge
    written: int = 0

    def __call__(self, asked: Asked) -> Reply:
        task = _SHELF.understand(self._messages(asked))
        if task.step is not Step.JUDGE:
            self.written += 1
            return good(compose.answer(task) if task.step.startswith("answer") else compose.question(task))
        self.judged.append(asked.body["model"])
        item = item_of(task)
        ruling = self.rule(item) if item else self.of_dialogues
        if ruling is None:
            return good("I would rather not say.")
        quote = max(task.passage.split(". "), key=len) if ruling else ""
        verdicts = [{"answer": at, "supported": ruling, "quote": quote} for at in range(1, len(task.turns) + 1)]
        return good(json.dumps({"answers": verdicts}))

    @staticmethod
    def _messages(asked: Asked) -> Sequence[Message]:
        return [Message(said["role"], said["content"]) for said in asked.body["messages"]]


def item_of(task: Task) -> Item | None:
    labelled = load_labelled(task.language)
    assert labelled is not None
    return next((item for item in labelled.items if item.passage == task.passage), None)


def agreeing(item: Item) -> bool:
    return item.grounded


def disagreeing(item: Item) -> bool:
    return not item.grounded


def silent(item: Item) -> None:
    return None


def calibrated(script: Callable[[Asked], Reply], *nights: Night) -> Built:
    """The last of several calibrations at one endpoint."""

    async def run() -> Built:
        async with fake_teacher(script) as fake:
            for one in nights:
                built = await calibrate(one, endpoint(fake.url))
            return built

    return asyncio.run(run())


def generated(script: Script, one: Night) -> Built:
    """Calibrated, then generated, over PASSAGES_USED passages."""
    one.part(PASSAGES).write([passage_row(each) for each in sample_passages("en")[:PASSAGES_USED]], "test")

    async def run() -> Built:
        async with fake_teacher(script) as fake:
            await calibrate(one, endpoint(fake.url))
            return await generate(one, 0, endpoint(fake.url))

    return asyncio.run(run())


def scores(one: Night) -> list[dict[str, float]]:
    return [dict(row["scores"]) for row in one.part(DIALOGUES).rows(["scores"])]  # type: ignore[call-overload]


def judge_s_rejects(one: Night) -> list[object]:
    return [row["reason"] for row in one.part(DIALOGUE_REJECTS).rows(["gate", "reason"]) if row["gate"] == "judge"]


# --- measured once ----------------------------------------------------------------------------


def test_the_judge_is_measured_and_the_result_kept(tmp_path: Path) -> None:
    script = Script(agreeing)
    built = calibrated(script, night(tmp_path))
    assert script.judged == [MODEL] * ITEMS
    assert f"{MODEL} may reject: agreement 1.00 on {ITEMS} labelled items" in built.line
    (path,) = built.outputs
    assert path.startswith(f"{tmp_path}/calibration/en/")
    assert len(json.loads(Path(path).read_text())["rulings"]) == ITEMS
    assert not (tmp_path / "journal" / "en" / "calibration").exists()  # the night that measures pays


def test_the_same_fingerprint_pays_nothing_in_any_night(tmp_path: Path) -> None:
    script = Script(agreeing)
    calibrated(script, night(tmp_path))
    before = files(tmp_path)
    other = night(tmp_path, date="2026-11-02", run_id="manual__2", overlay={"judge.min_agreement": 0.9}, attempt=2)
    assert "Nothing to do" in calibrated(script, other).line
    assert len(script.judged) == ITEMS
    assert files(tmp_path) == before


def test_what_was_answered_is_not_paid_again(tmp_path: Path) -> None:
    script = Script(agreeing)
    built = calibrated(script, night(tmp_path))
    written = Path(built.outputs[0])
    content = written.read_bytes()
    assert "Nothing to do" in calibrated(script, night(tmp_path, rebuild=True)).line
    written.unlink()
    again = calibrated(script, night(tmp_path))
    assert again.outputs == built.outputs
    assert "0 calls paid" in again.line
    assert len(script.judged) == ITEMS
    assert written.read_bytes() == content


def test_another_judge_or_another_prompt_is_measured_anew(tmp_path: Path) -> None:
    script = Script(agreeing)
    first = night(tmp_path)
    judge = first.book.judge.model_copy(update={"user": first.book.judge.user + "\n"})
    calibrated(
        script,
        first,
        night(tmp_path, model="gpt-4o"),
        night(tmp_path, overlay={"judge.model": "gpt-4o-mini", "teacher.model": MODEL}),
        night(tmp_path, book=first.book.model_copy(update={"judge": judge})),
    )
    assert script.judged == [MODEL] * ITEMS + ["gpt-4o"] * ITEMS + ["gpt-4o-mini"] * ITEMS + [MODEL] * ITEMS
    assert len(list((tmp_path / "calibration" / "en").glob("*.json"))) == 4


def test_it_is_a_part_of_the_run_and_of_its_budget(tmp_path: Path) -> None:
    script = Script(agreeing)
    with pytest.raises(BudgetExceeded):
        calibrated(script, night(tmp_path, overlay={"budget.usd": 0.0, "budget.tokens": 0}))
    assert script.judged == []
    one = night(tmp_path)
    calibrated(script, one)
    records = list(Journal.open(one.store.fs, one.journal_folder, "reader").records())
    assert [(record.run, record.step) for record in records] == [(one.run_id, "judge")] * ITEMS


def test_a_hopeless_endpoint_fails_the_task_and_leaves_no_result(tmp_path: Path) -> None:
    with pytest.raises(KeyRejected):
        calibrated(lambda asked: error(401), night(tmp_path))
    assert not (tmp_path / "calibration").exists()


# --- nobody is called -------------------------------------------------------------------------


def test_a_dry_run_prices_the_items_and_calls_nobody(tmp_path: Path) -> None:
    script = Script(agreeing)
    rehearsing = night(tmp_path, dry_run=True)
    rehearsing.part(SELECTION).write([], "test")
    generated(script, rehearsing)
    assert script.judged == []
    assert script.written == 0
    assert not (tmp_path / "calibration").exists()
    counts = json.loads((tmp_path / "rehearsals" / "counts" / "en" / rehearsing.date / "calibration.json").read_text())
    assert counts["calls"] == ITEMS
    shard = json.loads((tmp_path / "rehearsals" / "counts" / "en" / rehearsing.date / "00000.json").read_text())
    assert f"{ITEMS + shard['calls']} calls to pay for, 0 answers already in the journal" in rehearsed_in_all(
        rehearsing
    )


def test_a_dry_run_after_the_measurement_has_nothing_to_price(tmp_path: Path) -> None:
    script = Script(agreeing)
    calibrated(script, night(tmp_path), night(tmp_path, dry_run=True))
    counts = json.loads((tmp_path / "rehearsals" / "counts" / "en" / "2026-11-01" / "calibration.json").read_text())
    assert counts == {"calls": 0, "free": 0, "tokens": 0, "cost_usd": 0.0, "unpriced": 0}


def test_a_dry_run_that_lacks_a_task_is_not_summed(tmp_path: Path) -> None:
    rehearsing = night(tmp_path, dry_run=True)
    rehearsing.part(SELECTION).write([], "test")
    calibrated(Script(agreeing), rehearsing)
    with pytest.raises(PartMissing, match=r"00000\.json"):
        rehearsed_in_all(night(tmp_path, dry_run=True))


def test_a_judge_that_is_never_asked_is_not_measured(tmp_path: Path) -> None:
    script = Script(agreeing)
    built = calibrated(script, night(tmp_path, overlay={"judge.sampling_rate": 0}))
    assert (built.outputs, script.judged) == ((), [])
    assert "no dialogue is judged" in built.line


# --- what the judge may do ----------------------------------------------------------------------


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record for record in caplog.records if record.name == "ultralink.stages.calibrate"]
    return [record.getMessage() for record in found if record.levelno == logging.WARNING]


def test_a_judge_that_agrees_rejects(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = night(tmp_path)
    generated(Script(agreeing), one)
    assert scores(one) == []
    assert judge_s_rejects(one) == ["ungrounded"] * PASSAGES_USED
    assert warnings(caplog) == []


def test_a_judge_that_disagrees_only_scores(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = night(tmp_path)
    generated(Script(disagreeing), one)
    assert [each["grounded"] for each in scores(one)] == [0.0] * PASSAGES_USED
    assert judge_s_rejects(one) == []
    (warning,) = warnings(caplog)
    assert "rejects nothing: agreement 0.00 on 14 labelled items" in warning


def test_a_judge_that_gives_no_verdict_does_not_even_score(tmp_path: Path) -> None:
    one = night(tmp_path)
    generated(Script(silent, of_dialogues=None), one)
    assert len(scores(one)) == PASSAGES_USED
    assert all(each.keys() == {"language"} for each in scores(one))
    assert judge_s_rejects(one) == []


def test_a_verdict_that_never_comes_is_a_reject_where_the_judge_may_reject(tmp_path: Path) -> None:
    one = night(tmp_path)
    generated(Script(agreeing, of_dialogues=None), one)
    assert judge_s_rejects(one) == ["invalid_verdict"] * PASSAGES_USED


def test_without_labelled_items_the_judge_only_scores(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "load_labelled", lambda language: None)
    one, script = night(tmp_path), Script(agreeing)
    built = calibrated(script, one)
    assert (built.outputs, script.judged) == ((), [])
    assert "there is no include/judge/en.yaml" in built.line
    generated(script, one)
    assert [each["grounded"] for each in scores(one)] == [0.0] * PASSAGES_USED
    (warning,) = warnings(caplog)
    assert "there is no include/judge/en.yaml" in warning


def test_the_threshold_is_the_recipe_s(tmp_path: Path) -> None:
    labelled = load_labelled("en")
    assert labelled is not None
    script = Script(lambda item: item.grounded != (item in labelled.items[:3]))  # 11 of 14: 0.786
    strict, lenient = night(tmp_path / "a"), night(tmp_path / "b", overlay={"judge.min_agreement": 0.78})
    generated(script, strict)
    generated(script, lenient)
    assert len(scores(strict)) == PASSAGES_USED
    assert scores(lenient) == []


def test_dialogues_are_made_again_only_if_the_judge_s_power_changes(tmp_path: Path) -> None:
    script = Script(disagreeing)
    generated(script, night(tmp_path))
    paid = script.written, len(script.judged)
    assert "Nothing to do" in generated(script, night(tmp_path, overlay={"judge.min_agreement": 0.9})).line
    trusting = night(tmp_path, overlay={"judge.min_agreement": 0.0})
    assert "Nothing to do" not in generated(script, trusting).line
    assert judge_s_rejects(trusting) == ["ungrounded"] * PASSAGES_USED
    assert (script.written, len(script.judged)) == paid


def test_the_recipe_s_threshold_is_0_8() -> None:
    assert recipe().judge.min_agreement == 0.8
