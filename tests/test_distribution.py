"""The distribution and the layout: what is built is what is there, and the floors hold."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.once

PACKAGES = {"eliza_state", "modules/eliza_modules", "serializers/eliza_serializers"}
OPENERS = {
    "eliza_state/archive/archive.py",
    "eliza_state/archive/parts.py",
    "eliza_state/cli/keys.py",
    "eliza_state/cli/store/formats.py",
    "eliza_state/feed/source.py",
    "eliza_state/journal/databases/opening.py",
    "eliza_state/journal/source.py",
    "eliza_state/plugins/registry.py",
    "eliza_state/query/elsewhere.py",
    "eliza_state/snapshot_source.py",
    "eliza_state/snapshot_store.py",
    "eliza_state/storage/urls.py",
}


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """Run a command outside the checkout's influence and return what it prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_"))}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=kept | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from the tree."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_the_three_packages_and_nothing_of_the_shelves(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    top = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert top == {"eliza_state", "eliza_modules", "eliza_serializers"}
    assert {f"{package}/py.typed" for package in top} <= set(names)


def test_the_demo_runs_from_the_wheel_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "empty")
    python = tmp_path / "empty" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python)
    run(*pip, "install", "--quiet", "--no-compile", wheel, cwd=tmp_path)

    shown = run(tmp_path / "empty" / "bin" / "eliza-state", "demo", cwd=tmp_path)

    assert "conversation" in shown


def test_every_entry_point_can_be_loaded() -> None:
    for group in ("eliza_state.backends", "eliza_state.modules", "eliza_state.serializers"):
        found = entry_points(group=group)

        assert found
        assert all(callable(loaded) or isinstance(loaded, tuple) for loaded in (e.load() for e in found))


def test_the_shelves_are_not_packages() -> None:
    assert not (ROOT / "modules" / "__init__.py").exists()
    assert not (ROOT / "serializers" / "__init__.py").exists()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert PACKAGES == set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])


def put_off(path: Path) -> Iterator[str]:
    """Yield what the functions of a file import."""
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Import):
                    yield from (alias.name for alias in node.names)
                elif isinstance(node, ast.ImportFrom):
                    yield node.module or ""


def test_imports_stand_at_the_top_of_files() -> None:
    """An import inside a function hides a cycle; only what takes an extra, or a driver, may be put off."""
    found = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if any(name.startswith("eliza_") for name in put_off(path))
    }

    assert found == OPENERS
