"""Where things are: the page within Airflow's UI, and Airflow's own views of runs and tasks."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from airflow.configuration import conf

NAME = "UltraLink"
PREFIX = "/ultralink"


def base_path() -> str:
    """The path that Airflow is served under, as in ``https://host/airflow``; usually empty."""
    return urlsplit(conf.get("api", "base_url", fallback="/")).path.rstrip("/")


def views() -> list[dict[str, str | bool]]:
    """The page as external views: in the navigation, and as a tab of a Dag, a run and a task instance."""
    page = base_path() + PREFIX
    places = {
        "nav": "/",
        "dag": "/dags/{DAG_ID}",
        "dag_run": "/runs/{DAG_ID}/{RUN_ID}",
        "task_instance": "/runs/{DAG_ID}/{RUN_ID}/tasks/{TASK_ID}?map_index={MAP_INDEX}",
    }
    return [
        {
            "name": NAME,
            "href": page + path,
            "destination": destination,
            # The UI finds a view by its route alone, so each place needs its own.
            "url_route": "ultralink" if destination == "nav" else f"ultralink-{destination}",
            "icon": f"{page}/static/icon.svg",
            "icon_dark_mode": f"{page}/static/icon-dark.svg",
            **({"nav_top_level": True} if destination == "nav" else {}),
        }
        for destination, path in places.items()
    ]


def dag_view(dag_id: str) -> str:
    """Airflow's view of a Dag."""
    return f"{base_path()}/dags/{quote(dag_id, safe='')}"


def run_view(dag_id: str, run_id: str) -> str:
    """Airflow's view of a run."""
    return f"{dag_view(dag_id)}/runs/{quote(run_id, safe='')}"


def task_view(dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
    """Airflow's view of a task instance: its log."""
    task = f"{run_view(dag_id, run_id)}/tasks/{quote(task_id, safe='')}"
    return task if map_index < 0 else f"{task}/mapped/{map_index}"


def login_view() -> str:
    """Where a user without a session starts."""
    return f"{base_path()}/"
