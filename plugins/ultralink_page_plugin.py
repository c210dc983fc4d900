"""The UltraLink page in Airflow's UI: an app under /ultralink, and views that show it in the navigation and in tabs."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from ultralink_airflow.page.app import app
from ultralink_airflow.page.links import NAME, PREFIX, views


class UltraLinkPagePlugin(AirflowPlugin):
    """Registers the page; all of it is in ``ultralink_airflow.page``."""

    name = "ultralink_page"
    fastapi_apps: list[Any] = [{"app": app, "url_prefix": PREFIX, "name": NAME}]  # noqa: RUF012  # as Airflow declares it
    external_views: list[Any] = views()
