"""An auth manager with rights per Dag: the simple one, but the user ``zoe`` may read no Dag but the Chinese."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager


class DagWise(SimpleAuthManager):
    """Rights per Dag, as other auth managers have them."""

    def is_authorized_dag(self, *, method: Any, user: Any, access_entity: Any = None, details: Any = None) -> bool:
        allowed = super().is_authorized_dag(method=method, user=user, access_entity=access_entity, details=details)
        return allowed and (user.username != "zoe" or getattr(details, "id", None) == "ultralink_zh")
