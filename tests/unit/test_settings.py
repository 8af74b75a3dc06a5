"""The settings: read in one place, listed on one page, and explained when one is missing."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import pytest
from settings_page import OTHERS, PAGE, settings_page

from perennial import settings
from perennial.errors import RefusedError
from perennial.settings import Settings, describe_missing, get_settings, load_environment, server_environment, variables_of

REPO = Path(__file__).resolve().parents[2]

READS_THE_ENVIRONMENT = {
    "include/perennial/settings.py": "the settings themselves",
    "include/perennial/__init__.py": "sets a variable of ONNX Runtime before any import",
    "include/perennial/score/worker.py": "sets the same variable in Spark's workers, which lack the package",
    "include/perennial/train/keras_training.py": "sets variables of TensorFlow and Keras before their import",
    "include/perennial/train/pytorch_model.py": "sets a variable of CUDA before the import of PyTorch",
    "include/stack/airflow_import.py": "puts on the environment that a service is started with",
    "include/stack/config.py": "builds the environment of the stack's processes",
    "include/stack/executor.py": "tasks inherit its imports, and must run the current files of Perennial",
    "include/stack/jars.py": "runs in Spark's image, which has no pydantic-settings",
    "include/stack/machine.py": "runs before anything is installed",
    "include/stack/spark_archive.py": "builds the environment of a Spark job",
}


def reads_the_environment(source: str) -> bool:
    """Tell whether a module uses the environment of its process in any way."""
    names = {"environ", "environb", "getenv", "getenvb"}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in names and isinstance(node.value, ast.Name) and node.value.id == "os":
            return True
        if isinstance(node, ast.ImportFrom) and node.module == "os" and names & {alias.name for alias in node.names}:
            return True
        if isinstance(node, ast.Import) and any(alias.name == "os" and alias.asname for alias in node.names):
            return True
    return False


@pytest.mark.parametrize(
    "source",
    ["import os\nos.environ.get('A')", "import os\nos.getenv('A')", "from os import environ as e", "import os as o\no.environ"],
)
def test_every_way_to_read_the_environment_is_seen(source: str) -> None:
    assert reads_the_environment(source)
    assert not reads_the_environment("import os\nos.getpid()")


def test_the_environment_is_read_in_one_place() -> None:
    files = [
        file for folder in ("include/perennial", "include/stack", "plugins", "dags") for file in (REPO / folder).rglob("*.py")
    ]
    found = {str(file.relative_to(REPO)) for file in files if reads_the_environment(file.read_text(encoding="utf-8"))}
    assert found == set(READS_THE_ENVIRONMENT), "Read it through perennial.settings, or list the module here with the reason."


def test_the_page_is_the_one_that_the_class_makes() -> None:
    assert PAGE.read_text(encoding="utf-8") == settings_page(), "Run `make settings-page`."


def test_the_page_lists_every_variable_of_the_project() -> None:
    files = [REPO / "Makefile", REPO / "docker-compose.yaml", REPO / "README.md"]
    files += [file for name in ("include", "plugins", "dags", "docs") for file in (REPO / name).rglob("*") if file != PAGE]
    texts = [
        file.read_text(encoding="utf-8") for file in files if file.is_file() and file.suffix not in (".png", ".pyc", ".lock")
    ]
    used = set(re.findall(r"\bPERENNIAL_[A-Z0-9_]*[A-Z0-9]\b", "\n".join(texts))) - {"PERENNIAL_FAULTY_IMAGE"}  # of a test
    listed = {name for field in Settings.model_fields for name in variables_of(field)} | set(OTHERS)
    assert used == {name for name in listed if name.startswith("PERENNIAL_")}


def test_each_setting_has_one_sentence_and_variables_of_its_own() -> None:
    variables = [name for field in Settings.model_fields for name in variables_of(field)]
    assert len(set(variables)) == len(variables)
    for name, field in Settings.model_fields.items():
        assert re.fullmatch(r"[A-Z].{10,}\.", field.description or ""), name
        assert ". " not in str(field.description), name


def test_a_change_of_the_environment_is_seen_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("s3://one", "s3://two", "s3://one"):
        monkeypatch.setenv("PERENNIAL_LAKE", value)
        assert get_settings().lake == value
    monkeypatch.delenv("PERENNIAL_LAKE")
    assert get_settings().lake == "s3://perennial"


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_RUNTIME", "")
    monkeypatch.setenv("PERENNIAL_ENDPOINT_PORT", "")
    monkeypatch.setenv("perennial_endpoint_port", "9")
    monkeypatch.setenv("AWS_REGION", "")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    found = get_settings()
    assert (found.runtime, found.endpoint_port, found.region) == (None, 8090, "eu-west-1")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    assert get_settings().region == "eu-north-1"


def test_a_value_of_the_wrong_type_is_refused_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_ENDPOINT_PORT", "many")
    with pytest.raises(RefusedError, match=r"PERENNIAL_ENDPOINT_PORT is 'many': .*integer.*docs/reference/settings\.md"):
        get_settings()


def test_a_missing_setting_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PERENNIAL_SPARK_SUBMIT", raising=False)
    monkeypatch.setenv("PERENNIAL_VAR", str(tmp_path))
    begin = "PERENNIAL_SPARK_SUBMIT is not set (Program that submits Spark jobs). Looked in the environment; "
    file = tmp_path / "stack.env"
    assert describe_missing("spark_submit") == f"{begin}{file}, which does not exist"
    file.write_text("PERENNIAL_LAKE=s3://x\n", encoding="utf-8")
    assert describe_missing("spark_submit") == f"{begin}{file}, which does not set it"
    file.write_text("PERENNIAL_SPARK_SUBMIT=/bin/true\n", encoding="utf-8")
    assert describe_missing("spark_submit") == f"{begin}{file}, which sets it now, after this process started"


def test_the_file_of_the_checkout_is_looked_at_for_its_own_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PERENNIAL_VAR", raising=False)
    monkeypatch.delenv("PERENNIAL_TRAINER_IMAGE", raising=False)
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    (tmp_path / ".env").write_text("PERENNIAL_RUNTIME=kubernetes\n", encoding="utf-8")
    found = describe_missing("trainer_image")
    assert f"; {tmp_path}/.env, which does not set it; {tmp_path}/var/stack.env, which does not exist" in found


def test_a_staged_model_server_has_the_keys_of_model_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/keys/jobs")
    monkeypatch.delenv("PERENNIAL_SERVING_CREDENTIALS", raising=False)
    assert server_environment()["AWS_SHARED_CREDENTIALS_FILE"] == "/keys/jobs"
    monkeypatch.setenv("PERENNIAL_SERVING_CREDENTIALS", "/keys/serving")
    assert server_environment()["AWS_SHARED_CREDENTIALS_FILE"] == "/keys/serving"


@pytest.mark.parametrize(("mark", "keys"), [("server-orders", "/keys/serving"), (None, "/keys/owner")], ids=["service", "shell"])
def test_a_service_keeps_the_keys_that_it_was_started_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: str | None, keys: str
) -> None:
    """On AWS no endpoint is set, and the keys of a shell are those of another account."""
    monkeypatch.setattr(os, "environ", dict(os.environ))  # what is set below ends with this test
    (tmp_path / "stack.env").write_text("AWS_SHARED_CREDENTIALS_FILE=/keys/owner\n")
    monkeypatch.setenv("PERENNIAL_VAR", str(tmp_path))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/keys/serving")
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    if mark:
        monkeypatch.setenv("PERENNIAL_SERVICE", mark)
    assert load_environment()
    assert os.environ["AWS_SHARED_CREDENTIALS_FILE"] == keys
