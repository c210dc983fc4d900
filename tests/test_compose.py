"""docker-compose.yaml: the services of a cluster, healthy before they are used, with no secret in the file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from tests.cluster.cluster import settings
from tests.cluster.compose import ComposeError, Service, fill, load, read_settings
from tests.cluster.places import IMAGES, PORTS, Place, Ports
from tests.real.debian import have_program

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "docker-compose.yaml"
EXAMPLE = (ROOT / ".env.example").read_text()
TEXT = FILE.read_text()
SETTINGS = settings(EXAMPLE, {"ULTRALINK_STORE": "s3://aws_default@bucket/ultralink"})
SERVICES = load(FILE, SETTINGS)
AIRFLOW = {
    "airflow-apiserver",
    "airflow-scheduler",
    "airflow-dag-processor",
    "airflow-worker",
    "airflow-triggerer",
}
PLACES = Ports({(name, number): 20000 + 10 * place + number for place, name in enumerate(PORTS) for number in (1, 2)})


def test_all_services_are_there() -> None:
    assert set(SERVICES) == AIRFLOW | {"airflow-init", "postgres", "redis"}


@pytest.mark.parametrize("name", sorted(AIRFLOW | {"postgres", "redis"}))
def test_a_service_has_a_healthcheck_and_waits_for_healthy_ones(name: str) -> None:
    service = SERVICES[name]
    assert service.health
    assert set(service.depends_on.values()) <= {"service_healthy", "service_completed_successfully"}
    assert service.restart == "unless-stopped"


@pytest.mark.parametrize("name", sorted(AIRFLOW))
def test_airflow_runs_as_a_user_and_shares_store_and_logs(name: str) -> None:
    service = load(FILE, settings(EXAMPLE, {}))[name]
    assert service.user == f"{os.getuid()}:0"
    targets = {volume.target for volume in service.volumes}
    assert {service.environment["ULTRALINK_STORE"], "/opt/airflow/logs"} <= targets
    assert {"postgres", "redis", "airflow-init"} <= set(service.depends_on)


def test_all_of_airflow_has_one_environment() -> None:
    shared = SERVICES["airflow-init"].environment
    for name in AIRFLOW:
        own = {key: value for key, value in SERVICES[name].environment.items() if shared.get(key) != value}
        assert own == ({"DUMB_INIT_SETSID": "0"} if name == "airflow-worker" else {})


def test_the_store_may_be_object_storage() -> None:
    environment = load(FILE, {**SETTINGS, "AIRFLOW_CONN_AWS_DEFAULT": '{"conn_type": "aws"}'})[
        "airflow-worker"
    ].environment
    assert environment["ULTRALINK_STORE"] == "s3://aws_default@bucket/ultralink"
    assert environment["AIRFLOW_CONN_AWS_DEFAULT"] == '{"conn_type": "aws"}'


def test_an_empty_connection_is_none_to_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.secrets.environment_variables import EnvironmentVariablesBackend

    assert SERVICES["airflow-worker"].environment["AIRFLOW_CONN_AWS_DEFAULT"] == ""
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", "")
    assert EnvironmentVariablesBackend().get_connection("aws_default") is None


def test_a_worker_gives_a_task_up_before_the_scheduler_gives_it_away() -> None:
    seconds = {
        name: float(value) for name, value in SERVICES["airflow-worker"].environment.items() if _is_number(value)
    }
    tries = seconds["AIRFLOW__WORKERS__EXECUTION_API_RETRIES"] - 1
    shortest = tries * seconds["AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MIN"]
    longest = tries * seconds["AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX"]
    reported_every = 5  # [workers] min_heartbeat_interval
    assert shortest > 20
    assert seconds["AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS"] == 1
    assert reported_every + longest < seconds["AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT"]


def test_a_worker_can_be_scaled() -> None:
    worker = yaml.safe_load(TEXT)["services"]["airflow-worker"]
    assert not {"container_name", "ports", "hostname"} & set(worker)


def test_secrets_come_from_the_environment_and_are_demanded() -> None:
    for name in re.findall(r"^ +[A-Z_]*(?:PASSWORD|SECRET|KEY)[A-Z_]*: *(\S.*)", TEXT, re.MULTILINE):
        assert name.startswith("${") or name.startswith("/opt/airflow/config/"), name
    for variable in (
        "POSTGRES_PASSWORD",
        "REDIS_PASSWORD",
        "FERNET_KEY",
        "AIRFLOW_JWT_SECRET",
        "AIRFLOW_API_SECRET_KEY",
    ):
        assert f"${{{variable}:?" in TEXT
        assert re.search(rf"^{variable}=$", EXAMPLE, re.MULTILINE)
        with pytest.raises(ComposeError, match=f"{variable}: set it in .env"):
            load(FILE, {**SETTINGS, variable: ""})


def test_every_setting_is_in_the_example_but_the_one_for_developers() -> None:
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", TEXT))
    assert used - set(read_settings(EXAMPLE)) == {"WIKI_SOURCE"}
    assert set(read_settings(EXAMPLE)) <= used


def test_the_image_has_the_lock_and_the_code() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    airflow = re.search(r"^apache-airflow==(\S+)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert airflow is not None
    assert f"FROM apache/airflow:{airflow[1]}-" in dockerfile
    for folder in ("requirements.txt", "dags", "plugins", "include"):
        assert f" {folder} " in dockerfile


# --- read as Docker Compose reads it ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("$A ${A} ${A:-x} ${A-x} ${A:?x}", "a a a a a"),
        ("${NONE} ${NONE:-x} ${NONE-x} ${EMPTY:-x} ${EMPTY-x}", " x x x "),
        ("$$A $${A} a$$", "$A ${A} a$"),
        ("${NONE:-}", ""),
    ],
)
def test_settings_are_filled_in(text: str, filled: str) -> None:
    assert fill(text, {"A": "a", "EMPTY": ""}, "here") == filled


@pytest.mark.parametrize("text", ["${NONE:?why}", "${EMPTY:?why}", "${A:+b}", "a$", "${A:-${B}}", "$ {A}"])
def test_what_cannot_be_filled_in_is_refused(text: str) -> None:
    with pytest.raises(ComposeError, match="here"):
        fill(text, {"A": "a", "EMPTY": ""}, "here")


def test_docker_compose_takes_the_file_and_reads_it_as_we_do(tmp_path: Path) -> None:
    shutil.copy(FILE, tmp_path)
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in SETTINGS.items()))
    told = subprocess.run(
        [_compose(), "config"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, told.stderr) == (0, "")
    services = yaml.safe_load(told.stdout)["services"]
    assert set(services) == set(SERVICES)
    for name, service in SERVICES.items():
        read = services[name]
        environment = {key: _plain(value) for key, value in read.get("environment", {}).items()}
        assert environment == dict(service.environment)
        assert {key: how["condition"] for key, how in read.get("depends_on", {}).items()} == dict(service.depends_on)
        volumes = [volume.split(":")[-2] for volume in read.get("volumes", [])]
        assert volumes == [volume.target for volume in service.volumes]
        assert read["restart"] == service.restart
        command = read.get("command", [])
        assert _plain(command if isinstance(command, str) else " ".join(command)) == " ".join(service.command or ())


def _compose() -> str:
    """Debian's docker-compose: it reads the file without an engine."""
    have_program("docker-compose", "docker-compose")
    return "docker-compose"


def _plain(text: str) -> str:
    """``config`` writes dollars twice, so that its output can be read again."""
    return text.replace("$$", "$")


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


# --- without Docker, for the cluster test ----------------------------------------------------------------


def place(service: Service, number: int = 1) -> Place:
    return Place(service, number, Path("/scratch") / f"{service.name}-{number}", PLACES)


def test_a_container_here_has_the_environment_of_the_file_but_for_names_ports_and_paths() -> None:
    here = place(SERVICES["airflow-worker"], 2)
    environment, file = here.environment(), SERVICES["airflow-worker"].environment
    same = {name for name in file if environment[name] == file[name]}
    assert set(file) - same == {
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
        "AIRFLOW__CELERY__RESULT_BACKEND",
        "AIRFLOW__CELERY__BROKER_URL",
    }
    assert set(environment) - set(file) == {
        "PATH", "HOME", "HOSTNAME", "LANG", "PYTHONPATH", "AIRFLOW_HOME", "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT",
    }  # fmt: skip
    port = PLACES.here("postgres")
    assert environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].endswith(f"@127.0.0.1:{port}/airflow")
    assert environment["PYTHONPATH"] == f"{here.root}/opt/airflow/include:{here.root}/opt/airflow/plugins"
    assert here.hostname == environment["HOSTNAME"] == "airflow-worker-2"
    assert here.command() == ["dumb-init", "--", "airflow", "celery", "worker"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_name_port_or_path_of_a_container_is_left(name: str) -> None:
    here = place(SERVICES[name])
    texts = [*here.command(), *here.environment().values(), *map(here.text, SERVICES[name].health or ())]
    for text in texts:
        text = text.replace(str(here.root), "")
        assert not re.search(r"(//|@)(postgres|redis|airflow-\w+)|localhost|:(5432|6379|8080|8974)\b", text)
    assert SERVICES[name].image in IMAGES


@pytest.mark.parametrize("target", ["/opt/airflow/dags", "/opt/airflow/include", "/opt/airflow/config", "/data"])
def test_a_path_that_no_volume_has_is_an_error(target: str) -> None:
    name = "redis" if target == "/data" else "airflow-worker"
    document = yaml.safe_load(TEXT)["services"][name]
    assert any(volume.split(":")[1] == target for volume in document["volumes"])
    lacking = SERVICES[name]
    rest = tuple(volume for volume in lacking.volumes if volume.target != target)
    lacking = Service(**{**{key: getattr(lacking, key) for key in Service.__dataclass_fields__}, "volumes": rest})
    with pytest.raises(ComposeError, match="on none of its volumes"):
        place(lacking).path(target)
