"""The errors of UltraLink, sorted by what mends them.

The module imports nothing, so a Dag file may name these classes in a retry policy at no cost.
Every message says what happened, where (file, field, row or URL) and what a person can do.
"""


class UltraLinkError(Exception):
    """Base of every error that this library raises on purpose."""


class PermanentError(UltraLinkError):
    """No retry can mend it; a person has to change something first."""


class TransientError(UltraLinkError):
    """The same call may succeed later; the caller has already retried nearby."""


# --- settings ---------------------------------------------------------------------------------


class RecipeError(PermanentError):
    """A recipe or model file is missing, or has a wrong key, type or value (file and field named)."""


class PromptError(PermanentError):
    """A prompt file is missing, or lacks a prompt or a placeholder (file and field named)."""


# --- store ------------------------------------------------------------------------------------


class SchemaMismatch(PermanentError):
    """A part was written by another schema version, or is not a part of that stage at all."""


class PartMissing(PermanentError):
    """A stage's input part is not in the store."""


class RowMissing(PermanentError):
    """A part has no row of that number, or no longer the one that was asked for."""


class StoreMissing(PermanentError):
    """There is no store at the place that was named, or it cannot be opened from here."""


class StoreReadOnly(PermanentError):
    """The store refuses writes."""


class StoreRefused(PermanentError):
    """The store, somewhere behind a network, refuses the key or what was asked of it."""


class StoreUnreachable(TransientError, ConnectionError):
    """The store, somewhere behind a network, is down or limiting, and stayed so through the nearby retries.

    A ConnectionError too: who can do without the store for a moment need not know the difference.
    """


class TimeUnknown(PermanentError):
    """The file system does not tell when a file was written, and the time is needed."""


class StoreFull(TransientError):
    """No space left for a part or the journal; nothing half-written is left behind."""


# --- Wikipedia --------------------------------------------------------------------------------


class SelectionEmpty(PermanentError):
    """The category, title list or dump has no article at all."""


class NothingNew(UltraLinkError):
    """Earlier nights have taken every article of the source: this night has nothing to do."""


class DumpError(PermanentError):
    """The dump is missing, truncated or not a MediaWiki export."""


class WikiRefused(PermanentError):
    """The wiki answers, but will not serve this request however often it is sent."""


class WikiUnreachable(TransientError):
    """The wiki is down, lagging or limiting, and stayed so through the nearby retries."""


# --- pool -------------------------------------------------------------------------------------


class SourceError(PermanentError):
    """A source of the pool is missing, refused, damaged, or not what the recipe says (source, file, row named)."""


class SourceUnreachable(TransientError):
    """A source of the pool is on a server that cannot be reached."""


class PoolChanged(TransientError):
    """The English pool was made anew while it was read; the next try reads the new one."""


class PoolEmpty(PermanentError):
    """The pool has no row to choose from."""


# --- release ----------------------------------------------------------------------------------


class NoPartitions(PermanentError):
    """No published night lies in the release's range."""


class SubsetMissing(PermanentError):
    """A language has no sample of a subset that its recipe makes (both named)."""


class PartitionChanged(PermanentError):
    """A night was made anew after the release was planned: a new run plans with what is there now."""


class SampleUnfit(PermanentError):
    """A sample cannot be trained on: its messages do not take turns, or one is empty (part and row named)."""


class ReleaseExists(PermanentError):
    """The version is taken: a release is never changed."""


class ReleaseMissing(PermanentError):
    """There is no such release in the store, or it is not whole."""


class EvaluationSetError(PermanentError):
    """An evaluation set is missing, unreadable or not what release.yaml says (set, file, row named)."""


class HubRefused(PermanentError):
    """The hub refuses the token, or this account may not write to the repository."""


class HubUnreachable(TransientError):
    """The hub is down or limiting, and stayed so through the nearby retries."""


# --- teacher ----------------------------------------------------------------------------------


class BatchRefused(PermanentError):
    """The provider refuses a batch as a whole (its words are in the message)."""


class BatchCancelled(PermanentError):
    """Somebody cancelled a batch at the provider; what it had answered is in the journal."""


class BatchUnsupported(PermanentError):
    """The endpoint has no Batch API."""


class KeyRejected(PermanentError):
    """The teacher endpoint has no key, or refuses it."""


class QuotaExhausted(KeyRejected):
    """The key is good, but its account has no credit left: waiting does not help."""


class ModelUnknown(PermanentError):
    """The teacher endpoint, or the model file, does not know the model."""


class RequestRefused(PermanentError):
    """The teacher endpoint refuses this one request for good (a 4xx that is not about load)."""


class ContextOverflow(RequestRefused):
    """The prompt and the answer's allowance do not fit the model's context."""


class BudgetExceeded(PermanentError):
    """The run's budget in USD or tokens has no room for the next call."""


class TeacherUnfit(PermanentError):
    """Row after row fails its checks: this model, with these prompts, cannot do the work."""


class TeacherUnavailable(TransientError):
    """The teacher endpoint failed, limited or timed out through all nearby retries."""


class AnswerInvalid(UltraLinkError):
    """The teacher's answers kept breaking their schema; costs one row, never a shard."""
