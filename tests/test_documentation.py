"""The examples in the README and in docs/ run, and what they claim to show is what they show.

The blocks of one page run in their order in a folder of their own, the Python ones in one namespace and one
event loop.

- `expression  # → repr` is compared with the expression's `repr`, `print(…)  # → text` with what is
  printed; more lines of it may follow as `# → …` comments of their own. `…` stands for anything.
- `statement  # raises Error: text` must raise exactly that.
- A block with `title="name.py"` is written to that file, for later ones to import; the tests in a
  `title="test_name.py"` are run, those in classes by pytest as a reader would.
- What a block of TOML announces as `[project.entry-points.…]` is announced from then on.

Of console blocks, commands `eliza-state …` are run, in this process because starting another takes longer
than most of them, and their output is compared where it is shown; of `make …` the targets must exist.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import importlib
import inspect
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer.main
from typer.testing import CliRunner

from eliza_serializers import tags
from eliza_state.cli.application import application
from eliza_state.journal import schema
from eliza_state.lifecycle import TRANSITIONS, Phase

_PATIENCE_S = 60
ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)(?P<options>[^\n]*)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL
)
MARK = re.compile(r"(?:(?P<code>.*?\S)\s+|\s*)# (?P<kind>→|raises) ?(?P<text>.*)")
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
NAME = re.compile(r"`((?:eliza_state|eliza_modules|eliza_serializers)(?:\.\w+)+)`")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


class Block(NamedTuple):
    """One fenced block of a page: its language, where its text begins, the text, and its title."""

    language: str
    line: int
    text: str
    title: str | None


def blocks(page: Path, *languages: str) -> list[Block]:
    source = page.read_text(encoding="utf-8")
    found: list[Block] = []
    for match in FENCE.finditer(source):
        title = re.search(r'title="([^"]+)"', match["options"])
        line = source.count("\n", 0, match.start("text")) + 1
        text = "".join(row.removeprefix(match["indent"]) for row in match["text"].splitlines(keepends=True))
        found.append(Block(match["language"], line, text, title[1] if title else None))
    return [block for block in found if not languages or block.language in languages]


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


# Python


def same(expected: str, actual: str, where: str) -> None:
    pattern = ".*".join(re.escape(part.strip()) for part in expected.split("…"))

    assert re.fullmatch(pattern, actual, re.DOTALL), f"{where} shows\n  {expected}\nbut it is\n  {actual}"


def show(value: Any, expected: str, where: str) -> None:
    same(expected, repr(value), where)


def printed(expected: str, where: str) -> Any:
    def print_(*values: Any, sep: str = " ") -> None:
        lines = sep.join(map(str, values)).splitlines()
        same(expected, "\n".join(line.rstrip() for line in lines), where)

    return print_


@contextlib.contextmanager
def raises(expected: str, where: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001  # whatever it is, it is compared
        same(expected, f"{type(error).__name__}: {error}", where)
    else:
        pytest.fail(f"{where} raises nothing, not {expected}")


class Marks(ast.NodeTransformer):
    """Put the comparison that a comment asks for around its statement."""

    def __init__(self, block: Block, page: Path) -> None:
        self._where = f"{named(page)}:{{}}"
        self._first = block.line
        self.marks: dict[int, list[str]] = {}
        last = 0
        for number, line in enumerate(block.text.splitlines(), 1):
            match = MARK.fullmatch(line)
            if match is None:
                last = number if line.strip() else 0
                continue
            if match["code"]:
                last = number
                self.marks[last] = [match["kind"], match["text"]]
            elif last in self.marks:
                self.marks[last].append(match["text"])
            elif last:
                self.marks[last] = [match["kind"], match["text"]]
            else:
                raise AssertionError(f"{named(page)}:{block.line + number - 1}: shows a result of nothing")

    def visit(self, node: ast.AST) -> Any:
        node = self.generic_visit(node)
        mark = self.marks.pop(node.end_lineno or 0, None) if type(node) in (ast.Expr, ast.Assign) else None
        if mark is None:
            return node
        kind, *lines = mark
        where = self._where.format(self._first + node.lineno - 1)
        arguments = [ast.Constant("\n".join(lines).rstrip()), ast.Constant(where)]
        if kind == "raises":
            item = ast.withitem(ast.Call(ast.Name("_raises", ast.Load()), arguments, []))
            return ast.copy_location(ast.With([item], [node]), node)
        assert isinstance(node, ast.Expr), f"{where} shows the result of a statement that has none"
        value = node.value
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "print":
            value.func = ast.Call(ast.Name("_printed", ast.Load()), arguments, [])
        else:
            node.value = ast.Call(ast.Name("_show", ast.Load()), [value, *arguments], [])
        return node


def compiled(block: Block, page: Path) -> types.CodeType:
    marks = Marks(block, page)
    tree = ast.fix_missing_locations(marks.visit(ast.parse(block.text)))
    assert not marks.marks, f"{named(page)}: no statement is compared with {list(marks.marks.values())}"
    ast.increment_lineno(tree, block.line - 1)
    code: Any = compile(tree, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    return code


def run_python(block: Block, page: Path, names: dict[str, Any], runner: asyncio.Runner) -> None:
    code = compiled(block, page)
    if code.co_flags & inspect.CO_COROUTINE:
        runner.run(asyncio.wait_for(eval(code, names), _PATIENCE_S))
    else:
        exec(code, names)


def take_in_file(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a block to its file, which may be imported from now on, and run the tests in it."""
    assert block.title is not None
    file = Path(block.title)
    file.write_text(block.text, encoding="utf-8")
    monkeypatch.setitem(sys.modules, file.stem, types.ModuleType(file.stem))  # what is imported goes again
    del sys.modules[file.stem]
    importlib.invalidate_caches()
    if file.stem.startswith("test_"):
        if "\nclass Test" in block.text:
            run_suites(file)
            return
        tests = [
            value for name, value in vars(importlib.import_module(file.stem)).items() if name[:5] == "test_"
        ]
        assert tests, f"{block.title} holds no tests"
        for test in tests:
            test()


def run_suites(file: Path) -> None:
    """Run the classes of tests in a file, in a process without the project's own settings."""
    settings = ["asyncio_mode = strict", "asyncio_default_fixture_loop_scope = function"]
    settings += ["filterwarnings = error"]
    Path("pytest.ini").write_text("\n".join(["[pytest]", *settings, ""]))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(file)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=300)

    assert done.returncode == 0, f"{file} fails\n{done.stdout}\n{done.stderr}"


def announce(block: Block) -> None:
    """Announce the entry points in a block of TOML, as an installed distribution does."""
    found = tomllib.loads(block.text).get("project", {}).get("entry-points", {})
    lines = [
        line
        for group, points in found.items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in points.items()))
    ]
    folder = Path(f"announced_{block.line}-1.dist-info")
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: announced-{block.line}\nVersion: 1\n")
    (folder / "entry_points.txt").write_text("\n".join(lines) + "\n")
    importlib.invalidate_caches()


# Console and data


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """Yield each command of a console block with the output shown below it."""
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert not parts[0].strip(), f"line {block.line}: a console block begins with '$ '"
    for part in parts[1:]:
        command, _, output = part.partition("\n")
        yield command.split("  #")[0].strip(), output.strip()


def run_command(command: str, output: str, where: str) -> None:
    program, *arguments = shlex.split(command)
    if program == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert set(arguments) <= set(targets), f"{where}: the Makefile has {targets}"
    elif program == "eliza-state":
        environment = {"COLUMNS": "100", "NO_COLOR": "1"}
        done = CliRunner().invoke(application, arguments, env=environment, prog_name=program)
        if output:
            same(output, "\n".join(line.rstrip() for line in done.output.splitlines()).strip(), where)
        else:
            assert done.exit_code == 0, f"{where}: {command}\n{done.output}"
    else:
        assert program in {"cd", "git", "pip", "python", "source"}, f"{where}: unknown command {program!r}"


def check_json(block: Block) -> None:
    is_lines = block.title is not None and block.title.endswith(".jsonl")
    for text in block.text.splitlines() if is_lines else [block.text]:
        json.loads(text)


# The pages


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_examples_run_and_show_what_they_say(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("ELIZA_STATE_STORE", raising=False)
    module = types.ModuleType(f"documentation_{page.stem}")  # type hints are resolved in a class's module
    monkeypatch.setitem(sys.modules, module.__name__, module)
    names = vars(module)
    names.update(_show=show, _printed=printed, _raises=raises)
    with asyncio.Runner() as runner:
        for block in blocks(page):
            if block.title:
                take_in_file(block, monkeypatch)
            elif block.language == "python":
                run_python(block, page, names, runner)
            if block.language == "toml":
                announce(block)
            if block.language == "json":
                check_json(block)
            if block.language == "console":
                for command, output in commands(block):
                    run_command(command, output, f"{named(page)}:{block.line}")


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_javascript_examples_show_what_they_say():
    program = "\n".join(block.text for page in PAGES for block in blocks(page, "javascript"))
    shown = re.findall(r"// → (.*)", program)
    done = subprocess.run(
        ["node", "-e", program], capture_output=True, encoding="utf-8", check=True, timeout=20
    )

    assert shown == done.stdout.splitlines()


# What the pages say of the project


def slug(heading: str) -> str:
    text = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower())


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_within_the_project_resolve(page: Path):
    source = FENCE.sub("", page.read_text(encoding="utf-8"))
    for link in LINK.findall(source):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page

        assert target.exists(), f"{named(page)}: {link}"
        if anchor:
            text = FENCE.sub("", target.read_text(encoding="utf-8"))
            headings = [slug(heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]
            assert anchor in headings, f"{named(page)}: {link}; {headings}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_names_in_the_text_exist(page: Path):
    for name in NAME.findall(page.read_text(encoding="utf-8")):
        found = name in PROJECT["entry-points"] or resolve(name) is not None

        assert found, f"{named(page)}: there is no {name}"


def resolve(name: str) -> object | None:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        with contextlib.suppress(ImportError):
            found: Any = importlib.import_module(".".join(parts[:length]))
            for part in parts[length:]:
                found = getattr(found, part, None)
            return found
    return None


def lifecycle_diagram() -> str:
    """The table of transitions as a mermaid diagram."""
    rows = [f"    [*] --> {Phase.INITIALIZED}"]
    rows += [f"    {start} --> {end}: {step}" for (start, step), end in TRANSITIONS.items()]
    return "stateDiagram-v2\n" + "\n".join(rows) + "\n"


def test_the_lifecycle_diagram_is_the_table():
    shown = [block.text for block in blocks(ROOT / "docs" / "architecture.md", "mermaid")]

    assert lifecycle_diagram() in shown, f"the table says\n{lifecycle_diagram()}"


def test_the_journals_tables_are_all_there():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    missing = [name for name in schema.metadata.tables if f"| `{name}` |" not in text]

    assert not missing


def leaves(group: Any, *above: str) -> Iterator[tuple[str, Any]]:
    """Yield the commands of a group by name, those of the groups in it included."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, *above, name)
        else:
            yield " ".join([*above, name]), command


def test_the_commands_and_their_options_are_all_there_and_no_others():
    text = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    commands = dict(leaves(typer.main.get_command(application)))
    options = {name for command in commands.values() for option in command.params for name in option.opts}
    told = set(re.findall(r"`(--[a-z]+(?:-[a-z]+)*)", text)) - {"--help"}

    assert {name for name in options if name.startswith("--")} == told
    assert set(commands) == {
        name.strip() for name in re.findall(r"^\| `eliza-state ([a-z -]+)", text, re.MULTILINE)
    }


def test_the_table_of_tags_is_complete():
    text = (ROOT / "docs" / "serializers.md").read_text(encoding="utf-8")
    table = tags.built_in_table()
    missing = {name for name, _ in table.by_name if f'"_type": "{name}"' not in text}

    assert not missing


def test_the_readme_names_the_supported_versions():
    versions = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert f"Python {', '.join(versions[:-1])} or {versions[-1]}" in text


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")

    assert all(f": {page.relative_to(DOCS).as_posix()}\n" in navigation for page in PAGES[1:])
