"""The failure note: what went wrong and what a person can do, at the end of the task's log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseNotifier

from ultralink import errors

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

_KEPT = "Clear the failed task when that is done: all answers paid so far are in the journal and cost nothing again."
_NEW_RUN = "Start a new run: this one keeps to what it planned. Nothing is measured twice."
_NEEDS_NEW_RUN = (errors.PartitionChanged, errors.SampleUnfit, errors.ReleaseExists)

_REMEDIES: tuple[tuple[type[BaseException], str], ...] = (
    (errors.KeyRejected, "Set the key in Admin > Connections > the recipe's teacher.conn_id (password)."),
    (errors.ModelUnknown, "Correct teacher.model in the recipe, or add the model to include/models.yaml."),
    (errors.BatchRefused, "Read the provider's words above; mend what they name, or trigger the night with mode live."),
    (errors.BatchCancelled, "Nothing, if that was meant: clearing sends what is left as a new batch."),
    (errors.BatchUnsupported, "Check the connection's host and key, or take mode live: this endpoint has no batches."),
    (errors.BudgetExceeded, "Raise budget in the recipe, or take fewer articles."),
    (
        errors.RecipeError,
        "Correct the named field of the recipe, or bring the named file; what the trigger form says needs a new run.",
    ),
    (errors.PromptError, "Correct the named field of the prompt file."),
    (errors.TeacherUnfit, "Take another model, or mend the prompts or thresholds that the example above points to."),
    (errors.PartMissing, "Clear the task that writes the named part, with its downstream tasks."),
    (errors.SelectionEmpty, "Correct wikipedia.api.selection in the recipe, or wikipedia.dump.path."),
    (errors.DumpError, "Bring the dump again: its download is incomplete, or it is another file."),
    (errors.TimeUnknown, "Keep the dump or the store where files have a time of writing."),
    (errors.SourceError, "Correct the named source in include/pool.yaml, or bring its file again."),
    (
        errors.SourceUnreachable,
        "Wait until the source's server answers again; a release that is to read a copy instead needs a new run.",
    ),
    (errors.PoolChanged, "Nothing: another try reads the new pool."),
    (errors.PoolEmpty, "Look at the rejects: the sources or the screen in include/pool.yaml are too strict."),
    (errors.NoPartitions, "Publish nights of these languages first, or trigger the release again with other dates."),
    (errors.SubsetMissing, "Publish nights that have it, or trigger the release again with allow_missing."),
    (errors.PartitionChanged, "Nothing is wrong: a night was published again while the release was made of it."),
    (errors.SampleUnfit, "Run the named night again with rebuild, or remove its samples."),
    (errors.ReleaseExists, "Trigger the release again with another version, or with none."),
    (
        errors.ReleaseMissing,
        "Bring the release back as it was: python -m ultralink.release verify names the files that are not.",
    ),
    (
        errors.EvaluationSetError,
        "Bring the file again; where the path or the fields in include/release.yaml are wrong, correct them and start "
        "a new run, for a run that has planned keeps its recipe.",
    ),
    (errors.HubRefused, "Set a token with the right to write in Admin > Connections > release.yaml's hub_conn_id."),
    (errors.HubUnreachable, "Wait until the hub answers again."),
    (errors.WikiRefused, "Read the wiki's answer above; often the contact or a title is wrong."),
    (errors.WikiUnreachable, "Wait until the wiki answers again."),
    (errors.RowMissing, "Name a row that is there: python -m ultralink nights lists the nights."),
    (errors.SchemaMismatch, "Run this date again with rebuild, or remove the named part."),
    (errors.StoreFull, "Free space on the store."),
    (errors.StoreMissing, "Set ULTRALINK_STORE to the store's path or URL."),
    (errors.StoreRefused, "Correct key and secret in the store's connection, and what they may do with the bucket."),
    (errors.StoreUnreachable, "Wait until the store answers again."),
    (errors.StoreReadOnly, "Make the store writable for Airflow's user."),
    (
        errors.RequestRefused,
        "Read the endpoint's answer above; a sampling setting of the recipe may be wrong.",
    ),
    (errors.AnswerInvalid, "Take a model that keeps to a JSON schema for the judge (judge.model)."),
    (errors.TeacherUnavailable, "Wait until the endpoint answers again, or lower teacher.concurrency."),
)


def remedy_for(kind: type[object]) -> str | None:
    """What a person can do about an error of this kind; None where nothing is known."""
    return next((text for known, text in _REMEDIES if issubclass(kind, known)), None)


class FailureNote(BaseNotifier):
    """Log a note for the person who finds the failed task."""

    def notify(self, context: Context) -> None:
        """Write the note into the task's log."""
        error = context.get("exception")
        remedy = remedy_for(type(error)) or "Read the error above."
        after = _NEW_RUN if isinstance(error, _NEEDS_NEW_RUN) else _KEPT
        task = context["ti"]
        self.log.error(
            "FAILED: %s[%s] of %s.\nWhy: %s\nWhat to do: %s %s",
            task.task_id, task.map_index, task.run_id, error, remedy, after,
        )  # fmt: skip
