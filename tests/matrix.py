"""Run the tests under the other supported versions of Python that this machine has.

    python -m tests.matrix [--sample] [VERSION ...]

Each version gets an environment of its own, `.venv-3.12` and so on, made once. A version that is not on
this machine is named and left out. Random tests try a tenth of what they try elsewhere, and what one version
tells for all is left out. With `--sample` a sixtieth of the tests run, under the newest other version alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.effort import SAMPLE

ROOT = Path(__file__).resolve().parent.parent
SUPPORTED = ("3.11", "3.12", "3.13")


def candidates(version: str) -> Iterator[str]:
    """Yield what may be an interpreter of the version: on the path, and where pyenv keeps them."""
    found = shutil.which(f"python{version}")
    if found:
        yield found
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    yield from (str(path) for path in sorted(versions.glob(f"{version}.*/bin/python"), reverse=True))


def interpreter(version: str) -> str | None:
    """Return an interpreter of the version that runs, or `None`."""
    script = "import sys; print('%d.%d' % sys.version_info[:2])"
    for path in candidates(version):
        answer = subprocess.run([path, "-c", script], capture_output=True, text=True, check=False)
        if answer.stdout.strip() == version:
            return path
    return None


def environment(version: str, python: str) -> Path:
    """Return the environment's interpreter, the environment made and up to date."""
    folder = ROOT / f".venv-{version}"
    executable = folder / "bin" / "python"
    stamp = folder / "installed"
    if not stamp.exists() or stamp.stat().st_mtime < (ROOT / "pyproject.toml").stat().st_mtime:
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
        pip = [str(executable), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "--upgrade", "pip>=25.1"], check=True, cwd=ROOT)
        subprocess.run([*pip, "--editable", ".", "--group", "test"], check=True, cwd=ROOT)
        stamp.touch()
    return executable


def others(wanted: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the versions that are not the one that runs, with their interpreters; tell what is not there."""
    for version in wanted:
        if version == f"{sys.version_info.major}.{sys.version_info.minor}":
            continue
        python = interpreter(version)
        if python is None:
            print(f"Python {version} is not on this machine: left out", flush=True)
        else:
            yield version, python


def main(arguments: list[str]) -> int:
    """Run the tests under each version; return how many versions failed."""
    is_sample = "--sample" in arguments
    found = list(others([argument for argument in arguments if argument != "--sample"] or SUPPORTED))
    failed = 0
    for version, python in found[-1:] if is_sample else found:
        print(f"Python {version}", flush=True)
        executable = environment(version, python)
        tests = [str(executable), "-m", "pytest", "-n", "auto", "--quiet", "-m", "not once"]
        variables = {"ELIZA_STATE_TEST_EFFORT": "0.1", **os.environ}
        if is_sample:
            variables[SAMPLE] = version.rpartition(".")[2][-1]
        failed += subprocess.run(tests, check=False, cwd=ROOT, env=variables).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
