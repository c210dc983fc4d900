"""Which failed tasks Airflow tries again: what a person has to mend fails at once."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from ultralink.errors import PermanentError, StoreFull, TransientError

POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(exception=PermanentError, action=RetryAction.FAIL, reason="no retry can mend it"),
        RetryRule(exception=StoreFull, retry_delay=timedelta(minutes=10), reason="space may be freed"),
        RetryRule(exception=TransientError, reason="may be over soon"),
    ]
)
