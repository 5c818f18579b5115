"""Tests of pycrumbs, through its front door: decorated functions, records, the command line."""

from __future__ import annotations

import argparse
import array
import asyncio
import atexit
import collections
import contextlib
import contextvars
import ctypes
import dataclasses
import datetime
import decimal
import enum
import errno
import fcntl
import functools
import gc
import getpass
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import io
import itertools
import json
import os
import pickle
import platform
import pty
import random
import re
import shlex
import shutil
import signal
import sqlite3
import stat
import string
import struct
import subprocess
import sys
import sysconfig
import tempfile
import termios
import textwrap
import threading
import time
import traceback
import tracemalloc
import types
import typing
import uuid
import warnings
import weakref
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import click
import numpy
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir
from packaging.requirements import Requirement

import pycrumbs
from pycrumbs import get_environment_info, get_git_info, get_installed_packages, seed_tasks, tracked

HERE = Path(__file__).resolve().parent
# nohup, and a shell's `&`, have them ignored, also by the children of these tests.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)


# ------------------------------------------------------------------------------
# What the tests stand on
# ------------------------------------------------------------------------------


class Repo:
    """A git repository in a temporary folder."""

    def __init__(self, path: Path, *options: str) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main", *options)
        self.git("config", "user.name", "Ada")
        self.git("config", "user.email", "ada@example.com")

    def git(self, *arguments: str, check: bool = True) -> str:
        """Run git there; return what it printed, stripped."""
        done = subprocess.run(
            ["git", *arguments], cwd=self.path, capture_output=True, env=clean_environment()
        )
        assert not check or done.returncode == 0, done.stderr
        return os.fsdecode(done.stdout).strip()

    def write(self, name: str, text: str = "") -> Path:
        """Write a file, dedented; folders are made."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def commit(self, message: str = "a change") -> str:
        """Commit everything; return the hash."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def run(self, script: str, *arguments: str, **options: Any) -> str:
        """Run a script of the repository in a new interpreter; return what it printed."""
        return run_python(str(self.path / script), *arguments, cwd=self.path, **options).stdout


def clean_environment(**extra: str) -> dict[str, str]:
    """This process's environment without what would change the children's behaviour."""
    dropped = ("GIT_", "SLURM", "COV_", "PYTEST", "RANK", "WORLD_SIZE", "LOCAL_RANK", "OMPI", "PMI")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    return {**environment, "PYTHONPATH": str(HERE), **extra}


def run_python(
    *arguments: str, cwd: Path, status: int = 0, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a new interpreter that can import pycrumbs; its exit status must be the given one."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=clean_environment(**(env or {})),
        capture_output=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == status, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def read(path: Path | str) -> Any:
    """A record file's content; its name may be left out where the folder has only one."""
    path = Path(path)
    if path.is_dir():
        (path,) = path.glob("*.json")
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """A repository with nothing in it yet."""
    return Repo(tmp_path / "repo")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder for a function's files, not there yet."""
    return tmp_path / "out"


# ------------------------------------------------------------------------------
# What the specification shows
# ------------------------------------------------------------------------------

F = TypeVar("F")
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
KINDS = ("plain", "coroutine", "generator", "async_generator")


def quick(**options: Any) -> Callable[[F], F]:
    """`tracked` without what takes time or a repository."""
    return tracked(**{"disable_git_tracking": True, "include_package_inventory": False, **options})


def load(path: Path, name: str = "") -> Any:
    """Run a source file as a module that nobody else sees."""
    spec = importlib.util.spec_from_file_location(name or path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def list_files(folder: Path) -> list[str]:
    """Everything below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def make(kind: str, act: Callable[[], Any]) -> Any:
    """A function of that kind that calls `act`, the generators between their two items."""

    def plain() -> Any:
        return act()

    async def coroutine() -> Any:
        await asyncio.sleep(0)
        return act()

    def generator() -> Any:
        yield "first"
        yield act()

    async def async_generator() -> Any:
        yield "first"
        yield act()

    return locals()[kind]


def drive(awaitable: Any) -> Any:
    """Await what waits for nothing outside, without an event loop."""
    steps = awaitable.__await__()
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def step(generator: Any, name: str, *arguments: Any) -> Any:
    """Do to a generator of either kind: "next", "send", "throw" or "close"."""
    if inspect.isasyncgen(generator):
        return drive(getattr(generator, {"next": "__anext__"}.get(name, f"a{name}"))(*arguments))
    return getattr(generator, {"next": "__next__"}.get(name, name))(*arguments)


def finish(called: Any) -> Any:
    """What a call of a function of any kind comes to; the last item, of a generator."""
    if inspect.iscoroutine(called):
        return drive(called)
    items = list(called) if inspect.isgenerator(called) else [called]
    with contextlib.suppress(StopAsyncIteration):
        while inspect.isasyncgen(called):
            items.append(drive(called.__anext__()))
    return items[-1]


EXAMPLES = """
@tracked(literal_directory=Path('/home/user/proj/'))
def my_train_fun():
    # Do something...
    pass
# Record will be placed at /home/user/proj/my_train_fun_record.json
my_train_fun()

@tracked(directory_parameter='model_output_dir')
def my_train_fun(model_output_dir: Path):
    # Do something...
    pass
# Record will be placed at
# /home/user/proj/my_model/my_train_fun_record.json
my_train_fun(model_output_dir=Path('/home/user/proj/my_model'))

@tracked(
    literal_directory=Path('/home/user/proj/'),
    subdirectory_name_parameter='model_name'
)
def my_train_fun(model_name: str):
    # Do something...
    pass
# Record will be placed at
# /home/user/proj/my_model/my_train_fun_record.json
my_train_fun(model_name='my_model')

@tracked(
    literal_directory=Path('/home/user/proj/'),
    subdirectory_name_parameter='model_name',
    include_uuid=True,
)
def my_train_fun(model_name: str):
    print(model_name)
    # Do something...
    pass
# Record will be placed at, e.g.
# /home/user/proj/my_model_2dddbaa6-620f-4aaa-9883-eb3557dbbdb2/my_train_fun_record.json
my_train_fun(model_name='my_model')
# prints my_model_2dddbaa6-620f-4aaa-9883-eb3557dbbdb2

@tracked(
    literal_directory=Path('/home/user/proj/'),
    include_uuid=True,
    directory_injection_parameter='model_directory'
)
def my_train_fun(
    model_directory: Path | None
):
    print(model_directory)
    # Do something...
    pass
# Record will be placed at, e.g.
# /home/user/proj_2dddbaa6-620f-4aaa-9883-eb3557dbbdb2/my_train_fun_record.json
my_train_fun()
# prints /home/user/proj_2dddbaa6-620f-4aaa-9883-eb3557dbbdb2

@tracked(
    literal_directory=Path('/home/user/proj/'),
    subdirectory_name_parameter='model_name',
    seed_parameter='seed'
)
def my_train_fun(model_name: str, seed: int | None = None):
    # Do something...
    print(seed)
# Seed will be injected at runtime by the decorator mechanism and stored in the
# record file, you don't have to do anything else
my_train_fun(model_name='my_model')
# prints e.g. 272428
# But you can manually specify the seed later to reproduce, without
# having to alter the function signature
my_train_fun(model_name='my_model', seed=272428)
# prints 272428

import click
@click.command()
@click.argument('model_name')
@click.option('--seed', '-s', type=int, help='Random seed.')
@tracked(
    literal_directory=Path('/home/user/proj/'),
    subdirectory_name_parameter='model_name',
    seed_parameter='seed'
)
def my_train_fun(model_name: str, seed: int | None = None):
    # Do something...
    print(seed)
my_train_fun(['my_model', '--seed', '7'])
# prints 7
"""


@pytest.mark.parametrize("example", EXAMPLES.split("\n\n"))
def test_example_of_the_specification(repo: Repo, tmp_path: Path, example: str) -> None:
    """It runs as written, its record lies where its comment says, and it prints what that says."""
    home = tmp_path / "home"
    (home / "proj").mkdir(parents=True)
    example = example.replace("/home/user", str(home))
    imports = "from pathlib import Path\nfrom pycrumbs import tracked\n"
    repo.write("train.py", f"from __future__ import annotations\n{imports}{example}")
    printed = repo.run("train.py").splitlines()
    (path,) = home.rglob("*.json")
    uuid = read(path)["uuid"]
    example = re.sub(UUID, uuid, example)
    assert re.findall(r"placed at(?:, e\.g\.)?\n?#? (.*)", example) in ([str(path)], [])
    promised = re.findall(r"# prints (e\.g\. )?(.*)", example)
    assert len(printed) == len(promised)
    assert all(line == text or eg for line, (eg, text) in zip(printed, promised))
    assert path.parent.name.startswith(("proj", "my_model"))


# Names, types and order of a record's keys. In brackets: what only some records have.
KEYS = {
    "": "pycrumbs:str uuid:str [parent:str rerun_of:str] status:str timing:dict environment:dict "
    "package_inventory:dict [package_origins:dict] called_function:dict tracked_module:dict "
    "[extra_tracked_modules:dict] seed:int [inputs:list] result:int [error:dict] outputs:list "
    "resources:dict",
    "timing": "start_time:str end_time:str run_time:str",
    "environment": "argv:list orig_argv:list platform:str platform_info:str python_version:str "
    "python_implementation:str python_executable:str cwd:str hostname:str python_path:list "
    "cpu_count:int user:str [git_hash_at_docker_build:str] process:dict [gpus:list rank:dict] "
    "environment_variables:dict",
    "called_function": "name:str qualname:str module:str source_file:str parameters:dict "
    "altered_parameters:dict parameter_types:dict",
    "tracked_module": "module_path:str name:str git_active_branch:str git_commit_hash:str "
    "git_is_dirty:bool git_remotes:dict git_working_dir:str git_patch:list "
    "[git_patch_omitted:str source_edited_after_import:bool]",
}


def run_shown(repo: Repo, out: Path) -> Any:
    """The record of a run like the one whose record the specification shows."""
    repo.write(
        "train.py",
        f"""
        from pathlib import Path
        from pycrumbs import tracked
        @tracked(literal_directory={str(out)!r}, seed_parameter="seed")
        def my_train_fun(model_name: str, where: Path, seed=None):
            Path(where, "made.txt").write_text("made")
            return 42
        my_train_fun("my_model", Path({str(out)!r}))
        """,
    )
    repo.git("remote", "add", "origin", "ssh://git@github.com:/example/project.git")
    repo.commit()
    repo.write("train.py", (repo.path / "train.py").read_text("utf-8") + "# changed\n")
    repo.run("train.py", env={"CUDA_VISIBLE_DEVICES": "0,1"})
    return read(out)


def test_keys_of_a_record(repo: Repo, out: Path) -> None:
    """A record has the specification's keys, with their types, in the design's order."""
    record = run_shown(repo, out)
    for section, keys in KEYS.items():
        found = record[section] if section else record
        kinds = {key: f"{key}:{type(value).__name__}" for key, value in found.items()}
        order = re.findall(r"\w+(?=:)", keys)
        needed = re.sub(r"\[.*?\]", "", keys).split()
        assert [key for key in kinds if key in order] == [key for key in order if key in kinds]
        assert {kinds[key] for key in kinds if key in order} <= set(re.findall(r"\w+:\w+", keys))
        assert set(needed) <= set(kinds.values())


def test_values_of_a_record(repo: Repo, out: Path) -> None:
    """They say of such a run what the specification's record says."""
    record = run_shown(repo, out)
    variables = record["environment"]["environment_variables"]
    assert variables["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert {"VIRTUAL_ENV", "PYENV_VIRTUAL_ENV", "PYTHONPATH"} <= set(variables)
    assert record["package_inventory"]["pytest"] == pytest.__version__
    source, kind = str(repo.path / "train.py"), type(out).__name__
    parameters = {"model_name": "my_model", "where": f"{kind}({str(out)!r})"}
    called, module = record["called_function"], record["tracked_module"]
    expected = {
        "name": "my_train_fun", "qualname": "my_train_fun", "module": "__main__",
        "source_file": source, "parameters": {**parameters, "seed": None},
        "altered_parameters": {**parameters, "seed": record["seed"]},
        "parameter_types": {"where": f"pathlib.{kind}"},
    }  # fmt: skip
    assert {key: called[key] for key in expected} == expected
    assert module.pop("git_patch")[-1] == "+# changed"
    assert module == {
        "module_path": source, "name": "__main__", "git_active_branch": "main",
        "git_commit_hash": repo.git("rev-parse", "HEAD"), "git_is_dirty": True,
        "git_remotes": {"origin": "ssh://git@github.com:/example/project.git"},
        "git_working_dir": str(repo.path),
    }  # fmt: skip


def test_order_of_a_record_whose_inputs_are_known_late(tmp_path: Path, out: Path) -> None:
    """What was read while the function ran stands before what came of it all the same."""
    path = write_files(tmp_path, "in.txt") / "in.txt"

    @quick(literal_directory=out, capture_files=True)
    def work() -> str:
        return path.read_text()

    work()
    keys = list(read(out))
    assert keys[keys.index("seed") :] == [
        *("seed", "inputs", "capture", "result", "outputs", "resources"),
    ]


def test_times_of_a_record(out: Path) -> None:
    """They are local, with their offset from UTC, and agree with each other."""
    before = datetime.datetime.now(datetime.timezone.utc)
    quick(literal_directory=out)(make("plain", int))()
    after = datetime.datetime.now(datetime.timezone.utc)
    timing = read(out)["timing"]
    for key in ("start_time", "end_time"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d", timing[key])
    start, end = (datetime.datetime.fromisoformat(timing[k]) for k in ("start_time", "end_time"))
    assert before <= start <= end <= after
    assert re.fullmatch(r"0:0\d:\d\d(\.\d{6})?", timing["run_time"])


WRITES_ALL = """
import signal, sys
from pathlib import Path
import helper
from pycrumbs import tracked

@tracked(directory_parameter="out", seed_parameter="seed", input_parameters=["data"],
         extra_modules=["helper"], capture_files=True, create_parents=True)
def work(out, what="", data=("data.txt", "lib"), point=1j, seed=None):
    Path(out, "made.txt").write_text(Path("notes.txt").read_text())
    for number in range(10_001 * (what == "many")):
        Path(out, str(number)).touch()
    if what == "nest":
        work(f"{out}/inner")
    if what == "end":
        signal.raise_signal(signal.SIGTERM)
    return {"loss": 1 / (what != "fail")}

if "edit" in sys.argv:
    Path(__file__).write_text(Path(__file__).read_text() + "#")
work(*sys.argv[1:])
"""
# What only images, and file systems without locks, have in their records; and what reading adds.
RARE_KEYS = {("", "chain_lock"), ("environment", "git_hash_at_docker_build")}
ADDED_KEYS = {("", "record_path"), ("", "record_number")}
NAMES_OF_THEIR_OWN = re.compile(
    r"called_function\.\w*parameter\w*|result|package_\w+|extra_tracked_modules|environment\.env.*"
)


class Noting(dict):  # type: ignore[type-arg]
    """A part of a record that notes which keys it is asked for, with the path to itself."""

    def __init__(self, part: Any, path: str, asked: Any) -> None:
        super().__init__({k: watch_keys(v, f"{path}.{k}", asked) for k, v in part.items()})
        self.note = lambda key: asked.add((path[1:], key))


def note_and(method: Any) -> Any:
    """A method of dictionaries that notes its key first."""
    return lambda self, key, *default: (self.note(key), method(self, key, *default))[1]


for method in (dict.__getitem__, dict.__contains__, dict.get, dict.pop):
    setattr(Noting, method.__name__, note_and(method))


def watch_keys(value: Any, path: str, asked: Any) -> Any:
    """The same value, whose dictionaries note what they are asked for."""
    if isinstance(value, list):
        return [watch_keys(item, path, asked) for item in value]
    return Noting(value, path, asked) if isinstance(value, dict) else value


def find_keys(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The keys of a record, each with the path to where it is."""
    for item in value if isinstance(value, list) else [value]:
        for key, part in item.items() if isinstance(item, dict) else ():
            yield path[1:], key
            yield from find_keys(part, f"{path}.{key}")


def sort_keys(pairs: Any) -> set[tuple[str, str]]:
    """Without those that are names of arguments, packages, variables; a state of code is one."""
    states = re.compile(r"^(?:package_origins|extra_tracked_modules)\.[^.]+|^tracked_module")
    return {(states.sub("code", p), key) for p, key in pairs if not NAMES_OF_THEIR_OWN.fullmatch(p)}


@pytest.mark.slow
def test_what_readers_ask_for_is_written(
    repo: Repo, on_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nvidia_smi: Any
) -> None:
    """Each key occurs in the record of a run as people make them, or in one of 0.4's."""
    nvidia_smi(printing(TWO_GPUS))
    monkeypatch.chdir(repo.path)
    for name in ("work.py", "helper.py", "notes.txt", "data.txt", "lib/.git/x", ".gitignore"):
        repo.write(name, {"work.py": WRITES_ALL, ".gitignore": "runs"}.get(name, "A = 1\n"))
    repo.commit()
    repo.write("helper.py", "A = 2\n")
    Repo(tmp_path / "library").commit()
    leave_package(on_path, "lib", editable(tmp_path / "library"))
    for number, (left, _) in enumerate(DIRECT_URLS.values()):
        leave_package(on_path, f"lib{number}", left)

    def run(line: str, status: int = 0, **more: str) -> None:
        path = f"{HERE}{os.pathsep}{on_path}"
        run_python(*line.split(), cwd=repo.path, status=status, env={"PYTHONPATH": path, **more})

    run("work.py runs/plain")
    run("work.py runs/nest nest")
    run("work.py runs/many many")
    run("work.py runs/fail fail", 1)
    run("work.py runs/end end", -15)
    run("work.py runs/rank", RANK="1", WORLD_SIZE="4", LOCAL_RANK="1", MASTER_ADDR="x")
    run(f"{pycrumbs.__file__} run -o runs/run helper.py")
    run(f"{pycrumbs.__file__} rerun --yes -o runs/again runs/plain")
    repo.write("notes.txt", "password = 'hunter2hunter2'")
    run("work.py runs/edit edit")
    paths = [str(path) for path in Path("runs").rglob("*.json")]
    records = [json.loads(RECORD_0_4), *map(read, paths)]
    asked: set[tuple[str, str]] = set()
    loads = json.loads
    monkeypatch.setattr(json, "loads", lambda *a, **k: watch_keys(loads(*a, **k), "", asked))
    options = ["show", "show --patch", "show --requirements", "show --checksums", "show --json"]
    for path in paths:
        for line in (*options, "verify", "trace", "diff runs/nest", "rerun"):
            pycrumbs.main([*line.split(), path])
        # The command line copies the outermost part; Python's functions take it as it is.
        given = watch_keys(read(path), "", asked)
        pycrumbs.verify_record(given), pycrumbs.diff_records(given, given)
    pycrumbs.main(["log", "runs"])
    assert len(asked) > 100
    assert sort_keys(asked) <= sort_keys(find_keys(records)) | RARE_KEYS | ADDED_KEYS


# ------------------------------------------------------------------------------
# Code written for 0.4
# ------------------------------------------------------------------------------

SEEDED = "seed_numpy=True, seed_tensorflow=True, seed_torch=True"
SIGNATURES = {
    "get_environment_info": "()",
    "get_git_info": "(module, allow_dirty=False)",
    "get_installed_packages": "()",
    "seed_tasks": f"(seed=None, {SEEDED})",
    "write_record": "(record_path, record)",
    "tracked": "(*, literal_directory=None, directory_parameter=None, "
    "subdirectory_name_parameter=None, directory_injection_parameter=None, "
    "include_timestamp=False, include_uuid=False, record_filename=None, extra_modules=None, "
    f"extra_environment_variables=None, seed_parameter=None, {SEEDED}, "
    "disable_git_tracking=False, allow_dirty_repo=True, include_package_inventory=True, "
    "create_parents=False, require_empty_directory=False, chain_records=False, "
    "input_parameters=None, capture_files=False, hash_limit=1073741824)",  # these three are new
}


@pytest.mark.parametrize(("name", "expected"), SIGNATURES.items())
def test_signature_since_0_4(name: str, expected: str) -> None:
    """A public function of 0.4 keeps its parameters, their order, kinds and defaults."""
    signature = inspect.signature(getattr(pycrumbs, name))
    bare = [
        p.replace(annotation=p.empty)
        for p in signature.parameters.values()
        if p.kind is not p.VAR_POSITIONAL  # which only has a better error
    ]
    assert str(inspect.Signature(bare)) == expected
    assert name in pycrumbs.__all__


def test_git_info(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a module or its name, and refuses a dirty repository unless told otherwise."""
    path = repo.write("crumbs_of_a_module.py")
    commit = repo.commit()
    monkeypatch.syspath_prepend(str(repo.path))
    expected = {
        "module_path": str(path), "name": "crumbs_of_a_module", "git_active_branch": "main",
        "git_commit_hash": commit, "git_is_dirty": False, "git_remotes": {},
        "git_working_dir": str(repo.path),
    }  # fmt: skip
    assert get_git_info("crumbs_of_a_module") == expected
    module = sys.modules.pop("crumbs_of_a_module")
    assert get_git_info(module) == expected
    path.write_text("changed = True\n", encoding="utf-8")
    assert get_git_info(module, allow_dirty=True)["git_is_dirty"] is True
    with pytest.raises(RuntimeError, match=r"'crumbs_of_a_module' .* is dirty .* commit first"):
        get_git_info(module)


@pytest.mark.parametrize(("module", "error", "message"), [
    ("sys", RuntimeError, r"'sys': it isn't defined in a file \(but in an interactive"),
    (types.ModuleType("m"), RuntimeError, r"of 'm': it isn't defined in a file \(but"),
    ("loose", RuntimeError, "'loose' .*: not a git repository .* disable_git_tracking=True"),
    ("no_such_mod", ModuleNotFoundError, "cannot record the git state of 'no_such_mod'"),
])  # fmt: skip
def test_no_git_info(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    error: type[Exception],
    message: str,
) -> None:
    """A module without a file or a repository is the error that it was in 0.4."""
    (tmp_path / "loose.py").touch()
    monkeypatch.setitem(sys.modules, "loose", load(tmp_path / "loose.py"))
    with pytest.raises(error, match=message):
        get_git_info(module)


def test_git_info_of_a_module_whose_import_fails_in_its_own_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that takes other arguments is told as an ordinary one."""
    code = (
        "class Own(ImportError):\n  def __init__(self, a, b): super().__init__(a)\nraise Own(1, 2)"
    )
    (tmp_path / "fails_to_import.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ImportError, match="git state of 'fails_to_import': 1") as caught:
        get_git_info("fails_to_import")
    assert type(caught.value) is ImportError


def test_seed_tasks() -> None:
    """It returns the seed that it was given or has drawn, and the generators follow it."""
    state, numpy_state = random.getstate(), np.random.get_state()
    try:
        seed = pycrumbs.seed_tasks()
        drawn = random.random(), np.random.random()
        assert pycrumbs.seed_tasks(seed, True, True, True) == seed
        assert (random.random(), np.random.random()) == drawn
        pycrumbs.seed_tasks(seed=seed, seed_numpy=False)
        assert random.random() == drawn[0]
        assert np.random.random() != drawn[1]
        with pytest.raises(ValueError, match=r"expected 0 to 2\*\*32 - 1, not -1"):
            pycrumbs.seed_tasks(-1)
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)


@pytest.mark.parametrize("name", ["own", "own.json"])
def test_write_record(tmp_path: Path, name: str) -> None:
    """It writes a record as 0.4 did: '.json' is implied, the folder must exist."""
    pycrumbs.write_record(tmp_path / name, {"uuid": "1", "list": [1, {"a": None}]})
    expected = json.dumps({"uuid": "1", "list": [1, {"a": None}]}, indent=4)
    assert (tmp_path / "own.json").read_text("utf-8") == expected
    with pytest.raises(FileNotFoundError):
        pycrumbs.write_record(record_path=tmp_path / "missing" / name, record={})
    with pytest.raises(TypeError, match="not JSON serializable"):
        pycrumbs.write_record(tmp_path / name, {"uuid": object()})
    assert list_files(tmp_path) == ["own.json"]
    assert (tmp_path / "own.json").read_text("utf-8") == expected


def test_a_chain_begun_by_0_4(out: Path) -> None:
    """A record that 0.4 wrote is the first of a chain, and stays as it is."""
    old = {"uuid": "1", "timing": {"start_time": "2023-01-16 22:38:54.484040"}, "seed": 3}
    old["called_function"] = {"name": "plain"}
    out.mkdir()
    (out / "plain_record.json").write_text(json.dumps(old), encoding="utf-8")
    quick(literal_directory=out, chain_records=True)(make("plain", int))()
    first, second = read(out)
    assert first == old
    assert second["status"] == "completed"


# ------------------------------------------------------------------------------
# Options
# ------------------------------------------------------------------------------


def parse_refusals(table: str) -> pytest.MarkDecorator:
    """A table's rows: a call, and indented below it the error that it must raise."""
    rows = (row.partition("\n") for row in re.split(r"\n(?=\S)", table.strip()))
    return pytest.mark.parametrize(
        ("call", "error"), [(call, " ".join(error.split())) for call, _, error in rows]
    )


@parse_refusals("""
tracked()
    TypeError: tracked: give exactly one of literal_directory and directory_parameter
tracked(literal_directory="d", directory_parameter="out")
    TypeError: tracked: give exactly one of literal_directory and directory_parameter
tracked(literal_directory=5)
    TypeError: tracked: literal_directory must be a str or os.PathLike, not 5
tracked(directory_parameter="out", include_timestamp=True, include_uuid=True)
    ValueError: tracked: include_timestamp and include_uuid exclude each other
tracked(literal_directory="d", include_timestamp=True)
    TypeError: tracked: with include_timestamp the function must learn the new directory: name a
    parameter in directory_injection_parameter, directory_parameter or subdirectory_name_parameter
tracked(literal_directory="d", include_uuid=True)
    TypeError: tracked: with include_uuid the function must learn the new directory: name a
    parameter in directory_injection_parameter, directory_parameter or subdirectory_name_parameter
tracked(literal_directory="d", extra_modules="json")
    TypeError: tracked: extra_modules takes a list, even for one
tracked(literal_directory="d", extra_modules=json)
    TypeError: tracked: extra_modules takes a list, even for one
tracked(literal_directory="d", extra_environment_variables="HOME")
    TypeError: tracked: extra_environment_variables takes a list, even for one
tracked(literal_directory="d", input_parameters="out")
    TypeError: tracked: input_parameters takes a list, even for one
tracked(literal_directory="d", extra_environment_variables=3)
    TypeError: tracked: extra_environment_variables takes a list, even for one
tracked(literal_directory="d", extra_modules=[3])
    TypeError: tracked: extra_modules takes modules and names of modules, not 3
tracked(literal_directory="d", extra_environment_variables=["HOME", 3])
    TypeError: tracked: extra_environment_variables takes names of environment variables, not 3
tracked(literal_directory="d", input_parameters=[None])
    TypeError: tracked: input_parameters takes names of parameters, not None
tracked(literal_directory="d", record_filename="")
    ValueError: tracked: record_filename='' must be a file name without a folder; the folder comes
    from literal_directory or directory_parameter
tracked(literal_directory="d", record_filename="a/b")
    ValueError: tracked: record_filename='a/b' must be a file name without a folder; the folder
    comes from literal_directory or directory_parameter
tracked(literal_directory="d", hash_limit=-1)
    ValueError: tracked: hash_limit=-1 must be a number of bytes, or None
tracked(literal_directory="d", hash_limit="1 GB")
    ValueError: tracked: hash_limit='1 GB' must be a number of bytes, or None
tracked(directory_parameter="nope")(work)
    ValueError: tracked: directory_parameter='nope', but work() has no such parameter; it has:
    out, seed, flag
tracked(literal_directory="d", subdirectory_name_parameter="nope")(work)
    ValueError: tracked: subdirectory_name_parameter='nope', but work() has no such parameter; it
    has: out, seed, flag
tracked(literal_directory="d", directory_injection_parameter="rest")(work)
    ValueError: tracked: directory_injection_parameter='rest', but work() has no such parameter;
    it has: out, seed, flag
tracked(literal_directory="d", seed_parameter="more")(work)
    ValueError: tracked: seed_parameter='more', but work() has no such parameter; it has: out,
    seed, flag
tracked(literal_directory="d", input_parameters=["out", "nope"])(work)
    ValueError: tracked: input_parameters='nope', but work() has no such parameter; it has: out,
    seed, flag
""")
def test_refused_at_decoration(call: str, error: str) -> None:
    """Options that can't work are an error before any call; it says what would work."""

    def work(out: Any, /, *rest: Any, seed: Any = None, flag: Any, **more: Any) -> None:
        """Never called."""

    work.__qualname__ = "work"
    with pytest.raises((TypeError, ValueError)) as caught:
        eval(call, globals(), {"work": work})
    assert f"{caught.type.__name__}: {caught.value}" == error


def test_names_from_an_iterator(tmp_path: Path, out: Path) -> None:
    """They hold for every call."""
    folder = write_files(tmp_path / "data", "a")

    @quick(literal_directory=out, input_parameters=iter(["path"]))
    def work(path: Path) -> None:
        pass

    for _ in range(2):
        work(folder)
        assert names(read(out)["inputs"], folder) == ["a"]


WAYS: dict[str, dict[str, Any]] = {
    "named": {"directory_parameter": "out"},
    "below": {"literal_directory": "new", "subdirectory_name_parameter": "name"},
}


def call_refused(options: dict[str, Any], **given: Any) -> None:
    """Call a function that must not run; what is given are its arguments and further options."""
    more = {
        name: given.pop(name) for name in set(given) & set(inspect.signature(tracked).parameters)
    }

    def work(out: Any = "new", name: Any = "sub", seed: Any = None) -> None:
        raise AssertionError("called")

    work.__qualname__ = "work"
    quick(**options, **more)(work)(**given)


@parse_refusals("""
named(nope=1)
    TypeError: work() got an unexpected keyword argument 'nope'
named(out=None)
    TypeError: work(): parameter 'out' must be a str or os.PathLike, not None
named(out=5)
    TypeError: work(): parameter 'out' must be a str or os.PathLike, not 5
below(name=b"bytes")
    TypeError: work(): parameter 'name' must be a str or os.PathLike, not b'bytes'
below(name=Path("../up"))
    ValueError: work(): parameter 'name' must name a folder inside the directory (a relative path
    without '..'), not '../up'
named(out="a/b")
    FileNotFoundError: work(): cannot create the directory TMP/a/b: No such file or directory;
    create_parents=True creates parents
below(name="a/b")
    FileNotFoundError: work(): cannot create the directory TMP/new/a/b: No such file or directory;
    create_parents=True creates parents
named(out="a/b/" + "c" * 300 + "/d", create_parents=True)
    OSError: work(): cannot create the directory TMP/a/b/LONG/d: File name too long
named(out="file")
    FileExistsError: work(): cannot create the directory TMP/file: File exists
named(out="full", require_empty_directory=True)
    FileExistsError: work(): the directory TMP/full is not empty (require_empty_directory)
named(out="taken")
    IsADirectoryError: work(): cannot write the record TMP/taken/work_record.json: Is a directory
""")
def test_refused_at_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: str
) -> None:
    """The function isn't called, nothing is left behind, and the message says what is wrong."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken" / "work_record.json").mkdir(parents=True)
    (tmp_path / "file").touch()
    (tmp_path / "full" / "of").mkdir(parents=True)
    before = list_files(tmp_path)
    ways = {name: functools.partial(call_refused, options) for name, options in WAYS.items()}
    ways["Path"] = Path  # type: ignore[assignment]
    with pytest.raises((TypeError, ValueError, OSError)) as caught:
        eval(call, ways)
    message = re.sub(r"^\[Errno \d+\] ", "", str(caught.value)).replace("c" * 300, "LONG")
    assert f"{caught.type.__name__}: {message}".replace(str(tmp_path), "TMP") == error
    assert list_files(tmp_path) == before


@pytest.mark.parametrize("name", ["link", "link/below"])
def test_refused_link(tmp_path: Path, name: str) -> None:
    """A subdirectory that is a link doesn't lead out of the directory either."""
    for folder in ("out", "outside"):
        (tmp_path / folder).mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "outside")
    options = {"literal_directory": tmp_path / "out", "subdirectory_name_parameter": "name"}
    with pytest.raises(OSError, match=r"^\[Errno \d+\] work\(\): cannot .*link"):
        call_refused(options, name=name, create_parents=True)
    assert list_files(tmp_path) == ["out", "out/link", "outside"]


@pytest.mark.parametrize("kind", KINDS)
def test_refused_of_every_kind(tmp_path: Path, kind: str) -> None:
    """A call that can't be tracked doesn't begin, whatever the function's kind."""
    calls: list[int] = []
    function = tracked(literal_directory=tmp_path / "a" / "b")(make(kind, lambda: calls.append(1)))
    with pytest.raises(FileNotFoundError, match=rf"^\[Errno 2\] make.<locals>.{kind}\(\): cannot"):
        finish(function())
    assert (list_files(tmp_path), calls) == ([], [])


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
def test_literal_directory(
    out: Path, monkeypatch: pytest.MonkeyPatch, kind: type, relative: bool
) -> None:
    """It is a str or a Path, absolute or from the working directory of the call."""
    function = quick(literal_directory=kind(out.name if relative else out))(make("plain", int))
    monkeypatch.chdir(out.parent)
    function()
    assert list_files(out) == ["plain_record.json"]


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("sub", [None, "name"])
@pytest.mark.parametrize(("function", "names"), [
    (lambda out, name="sub": None, ()), (lambda out, name="sub", /: None, ()),
    (lambda *, out, name="sub": None, ("out",)),
    (lambda out="OUT", name="sub": None, None),
], ids=["any", "by position", "by keyword", "by default"])  # fmt: skip
def test_directory_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, sub: Any, function: Any, names: Any
) -> None:
    """Directory and subdirectory are read wherever the call's arguments put them."""
    monkeypatch.chdir(tmp_path)
    call = quick(directory_parameter="out", subdirectory_name_parameter=sub)(function)
    call(*([kind("OUT")] if names == () else []), **({"out": kind("OUT")} if names else {}))
    (path,) = tmp_path.rglob("*.json")
    assert path.parent == (tmp_path / "OUT" / "sub" if sub else tmp_path / "OUT")


@pytest.mark.parametrize(
    ("name", "where"),
    [("a/b/c", "a/b/c"), (Path("a", "b"), "a/b"), ("a/", "a"), ("./a//b", "a/b"), ("..a", "..a")],
)
def test_nested_subdirectory(out: Path, name: Any, where: str) -> None:
    """A subdirectory's name may have several parts; its parents are created as all are."""
    options = {"literal_directory": out, "subdirectory_name_parameter": "name"}
    quick(**options, create_parents=True)(lambda name: None)(name)
    (path,) = out.rglob("*.json")
    assert path.parent == out / where


OUT: dict[str, Any] = {"directory_parameter": "out"}
SUB: dict[str, Any] = {"literal_directory": "new", "subdirectory_name_parameter": "name"}
INJECTED = {"directory_injection_parameter": "d"}


@pytest.mark.parametrize("option", ["include_uuid", "include_timestamp"])
@pytest.mark.parametrize(("options", "given", "received"), [
    (OUT, {"out": "new"}, {"out": "TMP/new_X"}),
    (OUT, {"out": Path("new")}, {"out": Path("TMP/new_X")}),
    (SUB, {"name": "a"}, {"name": "a_X"}),
    (SUB, {"name": Path("a")}, {"name": Path("a_X")}),
    (SUB, {"name": "a/b"}, {"name": "a/b_X"}), (SUB, {"name": "a/"}, {"name": "a_X"}),
    ({**OUT, "subdirectory_name_parameter": "name"}, {"out": "o", "name": "a"}, {"name": "a_X"}),
    ({**SUB, **INJECTED}, {"name": "a"}, {"d": Path("TMP/new/a_X")}),
    ({**OUT, **INJECTED}, {"out": "o/"}, {"d": Path("TMP/o_X")}),
    ({"literal_directory": "new/", **INJECTED}, {}, {"d": Path("TMP/new_X")}),
])  # fmt: skip
def test_suffix(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    options: Any,
    given: Any,
    received: Any,
) -> None:
    """The name with its suffix reaches the function, in the type that the caller used."""
    monkeypatch.chdir(tmp_path)
    function: Any = lambda out=None, name=None, d=None: {"out": out, "name": name, "d": d}  # noqa: E731
    result = quick(**options, **{option: True}, create_parents=True)(function)(**given)
    (path,) = tmp_path.rglob("*.json")
    record = read(path)
    start = datetime.datetime.fromisoformat(record["timing"]["start_time"])
    suffix = record["uuid"] if option == "include_uuid" else f"{start:%Y_%m_%d_%H_%M_%S}"
    text = repr({**function(), **given, **received})
    assert repr(result) == text.replace("X", suffix).replace("TMP", str(tmp_path))
    assert path.parent.name.endswith(f"_{suffix}")


@pytest.mark.parametrize(("function", "args", "kwargs"), [
    (lambda d: d, (), {}), (lambda d: d, ("given",), {}),
    (lambda d: d, (), {"d": "given"}), (lambda d, x: d, (), {"x": 1}),
    (lambda x, d: d, (1,), {}), (lambda x, d: d, (), {"x": 1}),
    (lambda x, d, /: d, (1,), {}), (lambda x, d, /: d, (1, "given"), {}),
    (lambda *, d, x=0: d, (), {"x": 1}), (lambda x=0, d="default": d, (), {}),
    (lambda d, /, *rest, **more: d, (), {"y": 1}),
])  # fmt: skip
def test_injected_directory(out: Path, function: Any, args: Any, kwargs: Any) -> None:
    """It is a Path, and the caller may leave it out."""
    tracked_function: Any = quick(literal_directory=str(out), **INJECTED)(function)
    assert tracked_function(*args, **kwargs) == out
    called = read(out)["called_function"]
    assert called["altered_parameters"]["d"] == repr(out)
    assert called["parameters"]["d"] in ("given", "default", None)


@pytest.mark.parametrize(
    ("function", "args", "message"),
    [
        (lambda d: d, (1, 2), "too many positional arguments"),
        (lambda d, x: d, (), "missing a required argument: 'x'"),
        (lambda x, d: d, (), "missing a required argument: 'x'"),
        (lambda x, d, /: d, (), "missing a required( positional-only)? argument: 'x'"),
    ],
)
def test_wrong_call_with_an_injected_directory(
    out: Path, function: Any, args: Any, message: str
) -> None:
    """Arguments that don't fit are an error about them, not about the injected one."""
    with pytest.raises(TypeError, match=rf"<lambda>\(\) {message}$"):
        quick(literal_directory=out, directory_injection_parameter="d")(function)(*args)
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "file"),
    [(None, "plain_record.json"), ("a", "a.json"), ("a.json", "a.json"), ("v1.2", "v1.2.json")],
)
def test_record_filename(out: Path, name: str | None, file: str) -> None:
    """'.json' is implied."""
    quick(literal_directory=out, record_filename=name)(make("plain", int))()
    assert list_files(out) == [file]


def test_extra_modules(repo: Repo, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their git state is recorded, whether they are named or given, and asked to be clean."""
    modules = []
    for name in ("crumbs_by_name", "crumbs_by_object"):
        repo.write(f"{name}.py", "")
        modules.append(load(repo.path / f"{name}.py"))
        monkeypatch.setitem(sys.modules, name, modules[-1])
    commit = repo.commit()
    options = {"literal_directory": out, "extra_modules": ["crumbs_by_name", modules[1]]}
    quick(**options)(make("plain", int))()
    record = read(out)
    assert "tracked_module" not in record
    assert list(record["extra_tracked_modules"]) == ["crumbs_by_name", "crumbs_by_object"]
    for module, state in zip(modules, record["extra_tracked_modules"].values()):
        assert (state["module_path"], state["git_commit_hash"]) == (module.__file__, commit)
    repo.write("crumbs_by_object.py", "changed = True")
    with pytest.raises(RuntimeError, match=r"the repository of 'crumbs_by_\w+' .* is dirty"):
        quick(**options, allow_dirty_repo=False)(make("plain", int))()


def test_extra_environment_variables(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read at every call, and null where they aren't set."""
    options = {"extra_environment_variables": ("CRUMBS_A", "CRUMBS_B")}
    function = quick(literal_directory=out, **options)(make("plain", int))
    for value in ("1", "2"):
        monkeypatch.setenv("CRUMBS_A", value)
        monkeypatch.setenv("OMP_NUM_THREADS", value)
        function()
        variables = read(out)["environment"]["environment_variables"]
        assert list(variables.items())[-2:] == [("CRUMBS_A", value), ("CRUMBS_B", None)]
        assert variables["OMP_NUM_THREADS"] == value


def test_allow_dirty_repo(repo: Repo, out: Path) -> None:
    """A repository that must be clean is asked at every call; one that needn't is asked once."""
    source = "@pycrumbs.tracked(literal_directory={!r}, allow_dirty_repo={}, record_filename='r')\n"
    strict, lax = (source.format(str(out), allowed) for allowed in (False, True))
    text = f"import pycrumbs\n{strict}def strict(): return 1\n{lax}def lax(): return 2\n"
    path = repo.write("train.py", text)
    repo.commit()
    module = load(path)
    assert (module.strict(), read(out)["tracked_module"]["git_is_dirty"]) == (1, False)
    repo.write("other.py", "untracked = True")
    assert module.strict() == 1
    path.write_text(f"{text}# edited\n", encoding="utf-8")
    problem = r"^the repository of 'train' \(.*repo\) is dirty \(has uncommitted changes\); commit"
    for _ in range(2):
        with pytest.raises(RuntimeError, match=problem):
            module.strict()
    assert (module.lax(), read(out / "r_2.json")["tracked_module"]["git_is_dirty"]) == (2, True)
    repo.commit()
    assert (module.strict(), read(out / "r.json")["tracked_module"]["git_is_dirty"]) == (1, False)


@pytest.mark.parametrize(("option", "key"), [
    ("include_package_inventory", "package_inventory"),
    ("disable_git_tracking", "tracked_module"),
])  # fmt: skip
def test_evidence_left_out(repo: Repo, out: Path, option: str, key: str) -> None:
    """What isn't wanted isn't in the record; the rest is."""
    value = option == "disable_git_tracking"
    source = f"@pycrumbs.tracked(literal_directory={str(out)!r}, {option}={value})"
    repo.write("train.py", f"import pycrumbs\n{source}\ndef train(): pass\n")
    repo.commit()
    load(repo.path / "train.py").train()
    assert {"package_inventory", "tracked_module"} - set(read(out)) == {key}


def test_create_parents(out: Path) -> None:
    """Missing parents are created where that is asked for, and what exists is used."""
    for _ in range(2):
        quick(literal_directory=out / "a" / "b", create_parents=True)(make("plain", int))()
    assert list_files(out) == ["a", "a/b", "a/b/plain_record.json"]


def test_require_empty_directory(out: Path) -> None:
    """A directory that is there and empty will do; one that the last run filled won't."""
    out.mkdir()
    function = quick(literal_directory=out, require_empty_directory=True)(make("plain", int))
    function()
    uuid = read(out)["uuid"]
    with pytest.raises(FileExistsError, match=r"is not empty \(require_empty_directory\)$"):
        function()
    assert read(out)["uuid"] == uuid


def test_chain_records(out: Path) -> None:
    """The first record is an object; with the second the file becomes a list, oldest first."""
    function = quick(literal_directory=out, chain_records=True)(make("plain", lambda: read(out)))
    assert function()["status"] == "running"
    first_uuid = read(out)["uuid"]
    assert [record["status"] for record in function()] == ["completed", "running"]
    function()
    records = read(out)
    assert [record["status"] for record in records] == ["completed"] * 3
    assert records[0]["uuid"] == first_uuid
    assert len({record["uuid"] for record in records}) == 3


def test_the_last_run_replaces_the_record(out: Path) -> None:
    """Without `chain_records`; a chain that is there stays, and the record has the next name."""
    function = make("plain", int)
    for chain in (True, True, False, False):
        quick(literal_directory=out, chain_records=chain)(function)()
    assert len(read(out / "plain_record.json")) == 2
    assert read(out / "plain_record_2.json")["status"] == "completed"
    assert len([*out.glob("*.json")]) == 2


@pytest.mark.parametrize("workers", [1, 8])
def test_runs_of_one_second(out: Path, workers: int) -> None:
    """Runs that would get the same timestamped directory get different ones."""
    options = {"include_timestamp": True, "directory_parameter": "out"}
    function = quick(**options, require_empty_directory=True)(lambda out: out)
    with ThreadPoolExecutor(workers) as pool:
        folders = list(pool.map(function, [out] * 8))
    assert len(set(folders)) == 8
    for folder in folders:
        assert re.fullmatch(r"out(_\d{4})(_\d\d){5}(_\d)?", folder.name)
        assert list_files(folder) == ["<lambda>_record.json"]


@pytest.mark.parametrize("given", [(lambda: None,), ("out",)], ids=["no brackets", "no name"])
def test_a_decorator_without_options(given: Any) -> None:
    """The commonest mistake: it is said what to write."""
    with pytest.raises(TypeError, match=r"named options only, and one at least: write @tracked\("):
        tracked(*given)


def test_a_suffix_keeps_the_type_of_path(tmp_path: Path) -> None:
    """Also one that is derived from Path."""

    class OwnPath(type(Path())):  # type: ignore[misc]
        pass

    @tracked(directory_parameter="out", include_uuid=True, **QUIET_RUN)
    def work(out: Path) -> bool:
        return type(out) is OwnPath

    assert work(OwnPath(tmp_path / "a")) is True


def test_a_directory_behind_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`link/..` is where the system goes, for the record and for what is read and written."""
    monkeypatch.chdir(write_files(tmp_path, "in.csv", "big/in.csv", "big/data/x"))
    os.symlink("big/data", "data")

    @tracked(directory_parameter="out", capture_files=True, **QUIET_RUN)
    def work(out: str, source: str) -> None:
        Path("data/../elsewhere").write_text(Path("data/../read").read_text())
        Path(out, "made").write_text(Path(source).read_text())

    (tmp_path / "big/read").touch()
    work("data/../runs", "data/../in.csv")
    record = read(tmp_path / "big/runs")
    assert names(record["inputs"], tmp_path) == ["big/in.csv", "big/read"]
    assert names(record["outputs"]) == ["made", str(tmp_path / "big/elsewhere")]
    assert not (tmp_path / "runs").exists()


# ------------------------------------------------------------------------------
# Calls of every kind
# ------------------------------------------------------------------------------


def takes_all(a: Any, /, b: Any, c: Any = 3, *rest: Any, d: Any, e: Any = 5, **more: Any) -> Any:
    """Every kind of parameter."""
    return a, b, c, rest, d, e, more


TAKEN = {"a": 1, "b": 2, "c": 3, "rest": [], "d": 4, "e": 5, "more": {}}


@pytest.mark.parametrize(("function", "args", "kwargs", "parameters"), [
    (takes_all, (1, 2), {"d": 4}, TAKEN),
    (takes_all, (1,), {"b": 2, "d": 4, "e": 0}, {**TAKEN, "e": 0}),
    (takes_all, (1, 2, 3, 8, 9), {"d": 4, "a": 6, "self": 7}, {**TAKEN, "rest": [8, 9],
     "more": {"a": 6, "self": 7}}),
    (lambda *a, **k: (a, k), (1,), {"a": 2}, {"a": [1], "k": {"a": 2}}),
    (lambda: None, (), {}, {}), (lambda x=[]: x, (), {}, {"x": []}),
    (lambda self, tracker, run: self, (1, 2, 3), {}, {"self": 1, "tracker": 2, "run": 3}),
])  # fmt: skip
def test_arguments(out: Path, function: Any, args: Any, kwargs: Any, parameters: Any) -> None:
    """They reach the function as they would without the decorator, and the record."""
    assert quick(literal_directory=out)(function)(*args, **kwargs) == function(*args, **kwargs)
    assert read(out)["called_function"]["parameters"] == parameters


def test_values_pass_untouched(out: Path) -> None:
    """Arguments and the result are the very same objects."""
    given = [object()]
    assert quick(literal_directory=out)(lambda x: x)(given) is given


@pytest.mark.parametrize("kind", KINDS)
def test_wrapper_is_of_its_kind(out: Path, kind: str) -> None:
    """It is what the function is, by `inspect`, name, doc and signature."""

    def described(a: int, *, b: str = "") -> None:
        """A doc."""

    function = make(kind, int)
    function.__doc__, function.__signature__ = described.__doc__, inspect.signature(described)
    function.__annotations__, function.mark = {"a": int}, "mark"
    wrapper: Any = quick(literal_directory=out)(function)
    tests = ("function", "coroutinefunction", "generatorfunction", "asyncgenfunction")
    found = [[getattr(inspect, f"is{test}")(f) for test in tests] for f in (wrapper, function)]
    assert found[0] == found[1]
    for name in ("name", "qualname", "doc", "module", "annotations"):
        assert getattr(wrapper, f"__{name}__") == getattr(function, f"__{name}__")
    assert inspect.signature(wrapper) == inspect.signature(described)
    assert (wrapper.__wrapped__, wrapper.mark) == (function, "mark")


@pytest.mark.parametrize("kind", KINDS)
def test_result_of_every_kind(out: Path, kind: str) -> None:
    """Each gives its caller what it would, and the record is complete once it has ended."""
    called = quick(literal_directory=out)(make(kind, lambda: (read(out)["status"], 42)))()
    assert finish(called) == ("running", 42)
    record = read(out)
    assert record["status"] == "completed"
    assert record.get("result") == (["running", 42] if kind in ("plain", "coroutine") else None)


class Model:
    """Methods of every kind."""

    @quick(directory_parameter="out")
    def method(self, out: Path) -> Any:
        return self

    @quick(directory_parameter="out")
    async def coroutine(self, out: Path) -> Any:
        return self

    @quick(directory_parameter="out")
    def generator(self, out: Path) -> Iterator[Any]:
        yield self

    @staticmethod
    @quick(directory_parameter="out")
    def static_above(out: Path) -> Any:
        return None

    @quick(directory_parameter="out")
    @staticmethod
    def static_below(out: Path) -> Any:
        return None

    @classmethod
    @quick(directory_parameter="out")
    def class_above(cls, out: Path) -> Any:
        return cls

    @quick(directory_parameter="out")
    @classmethod
    def class_below(cls, out: Path) -> Any:
        return cls

    @quick(directory_parameter="out")
    def __call__(self, out: Path) -> Any:
        return self


class SmallModel(Model):
    """Inherits them."""


@pytest.mark.parametrize(("name", "kind"), [
    ("method", object), ("coroutine", object), ("generator", object),
    ("static_above", staticmethod), ("static_below", staticmethod),
    ("class_above", classmethod), ("class_below", classmethod), ("__call__", object),
])  # fmt: skip
def test_methods(out: Path, name: str, kind: type) -> None:
    """Methods of every kind work on instances of subclasses; the record names the class."""
    model = SmallModel()
    expected = {object: model, staticmethod: None, classmethod: SmallModel}[kind]
    assert finish(getattr(model, name)(out)) is expected
    assert isinstance(inspect.getattr_static(SmallModel, name), kind)
    called = read(out)["called_function"]
    assert (called["name"], called["qualname"]) == (name, f"Model.{name}")
    first_names = {object: ["self", "out"], staticmethod: ["out"], classmethod: ["cls", "out"]}
    assert list(called["parameters"]) == first_names[kind]


def test_bound_method(out: Path) -> None:
    """A method that is already bound can be tracked."""
    items: list[int] = []

    class Box:
        def add(self, item: int) -> None:
            items.append(item)

    quick(literal_directory=out)(Box().add)(item=3)
    assert items == [3]
    assert read(out)["called_function"]["parameters"] == {"item": 3}


def log_calls(function: Any) -> Any:
    """Somebody else's decorator."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        wrapper.count += 1  # type: ignore[attr-defined]
        return function(*args, **kwargs)

    wrapper.count = 0  # type: ignore[attr-defined]
    return wrapper


@pytest.mark.parametrize("kind", KINDS)
def test_below_another_decorator(out: Path, kind: str) -> None:
    """A decorator above sees a function like the one that is tracked."""
    function = log_calls(quick(literal_directory=out)(make(kind, lambda: 42)))
    assert (finish(function()), function.count) == (42, 1)
    assert read(out)["called_function"]["name"] == kind


@pytest.mark.parametrize("function", [
    lambda *_: None, functools.partial(slice), slice, print,
], ids=["function", "partial", "class", "builtin"])  # fmt: skip
def test_above_another_decorator(out: Path, function: Any) -> None:
    """What another decorator made of a function can be tracked, if that is a function."""
    logged = log_calls(function)
    logged.__signature__ = inspect.signature(lambda out, name="sub": None)
    quick(directory_parameter="out", record_filename="r")(logged)(out)
    assert logged.count == 1
    assert read(out)["status"] == "completed"


def test_a_tracked_context_manager(out: Path) -> None:
    """Below `contextlib.contextmanager`, the block is part of the run."""
    manager = contextlib.contextmanager(quick(literal_directory=out)(make("generator", int)))
    with pytest.raises(RuntimeError, match="generator didn't stop"), manager():
        assert read(out)["status"] == "running"
    assert read(out)["status"] != "running"


def test_click(out: Path) -> None:
    """Below click's decorators, arguments and options arrive as they do without it."""

    @click.group()
    @click.pass_context
    def main(context: click.Context) -> None:
        context.obj = "object"

    @main.command()
    @click.argument("folder", type=click.Path(path_type=Path))
    @click.option("--epochs", "-e", default=3, show_default=True, help="How long.")
    @click.option("--flag/--no-flag")
    @click.pass_obj
    @quick(directory_parameter="folder", seed_parameter="seed")
    def train(thing: str, folder: Path, epochs: int, flag: bool, seed: int | None = None) -> None:
        """Train a model."""
        click.echo(f"{thing} {epochs} {flag} {seed}")
        raise click.ClickException("no data")

    done = CliRunner().invoke(main, ["train", str(out), "-e", "5", "--flag"])
    record = read(out)
    assert done.exit_code == 1
    assert done.output == f"object 5 True {record['seed']}\nError: no data\n"
    assert record["error"]["type"] == "click.exceptions.ClickException"
    assert record["called_function"]["parameters"]["epochs"] == 5
    shown = CliRunner().invoke(main, ["train", "--help"]).output
    assert "Train a model." in shown
    assert "[default: 3]" in shown


@pytest.mark.integration
def test_typer(out: Path) -> None:
    """Below typer's decorator, its parameters are read from the function's signature."""
    import typer
    from typer.testing import CliRunner as TyperRunner

    app = typer.Typer()

    @quick(directory_parameter="folder", seed_parameter="seed")
    def train(folder: Path, epochs: int = 3, seed: typing.Optional[int] = None) -> None:  # noqa: UP045
        """Train a model."""
        typer.echo(f"{epochs} {seed}")
        raise typer.Exit(4)

    app.command()(train)
    done = TyperRunner().invoke(app, [str(out), "--epochs", "5"])
    record = read(out)
    assert (done.exit_code, done.output) == (4, f"5 {record['seed']}\n")
    assert record["called_function"]["parameters"]["epochs"] == 5
    assert "Train a model." in TyperRunner().invoke(app, ["--help"]).output


@pytest.mark.parametrize(("thing", "name"), [
    (Model, "type 'Model'"),
    (click.command(name="train")(lambda: None), "Command 'train'"),
    (functools.partial(takes_all), "partial 'functools.partial"),
    (functools.lru_cache(takes_all), "_lru_cache_wrapper 'takes_all'"),
    (len, "builtin_function_or_method 'len'"), (SmallModel(), "SmallModel '<"),
    (property(log_calls), "property '"), (None, "NoneType 'None'"),
    (staticmethod(len), "builtin_function_or_method 'len'"),
])  # fmt: skip
def test_not_a_function(out: Path, thing: Any, name: str) -> None:
    """What isn't a function can't be tracked; the message says where `tracked` belongs."""
    with pytest.raises(TypeError) as caught:
        tracked(literal_directory=out)(thing)
    message = str(caught.value)
    assert message.startswith(f"tracked: cannot track {name}")
    assert message.endswith(
        ", only a function; put @tracked last, nearest the function, below other decorators"
    )


# ------------------------------------------------------------------------------
# Generators
# ------------------------------------------------------------------------------


def collect() -> Any:
    """Keeps what is sent; a ValueError too."""
    got: list[Any] = []
    while len(got) < 4:
        try:
            got.append((yield len(got)))
        except ValueError as error:
            got.append(str(error))
    return got


def delegate() -> Any:
    """Has another one do it, and shows what came of it."""
    yield (yield from collect())
    return "delegated"


def linger() -> Any:
    """Doesn't stop the first time it is closed."""
    try:
        yield 1
    except GeneratorExit:
        yield 2
    return "lingered"


def leave() -> Any:
    """Ends in peace when it is closed, or asked to by a KeyError."""
    try:
        yield 1
    except (GeneratorExit, KeyError):
        return "left"
    yield 3


def break_down() -> Any:
    """Fails while it is being closed."""
    try:
        yield 1
    finally:
        raise LookupError("in the end")


async def async_collect() -> Any:
    """The same for async generators, which return nothing."""
    got: list[Any] = []
    while len(got) < 4:
        try:
            got.append((yield list(got)))
        except ValueError as error:
            got.append(str(error))


async def async_linger() -> Any:
    try:
        yield 1
    except GeneratorExit:
        yield 2


async def async_leave() -> Any:
    try:
        yield 1
    except (GeneratorExit, KeyError):
        return
    yield 3


async def async_break_down() -> Any:
    try:
        yield 1
    finally:
        raise LookupError("in the end")


THROWN = (ValueError("value"), KeyError("key"), GeneratorExit("exit"), StopIteration("stop"))
STEPS = st.one_of(
    st.just(("next",)),
    st.tuples(st.just("send"), st.one_of(st.none(), st.integers(0, 9))),
    st.tuples(st.just("throw"), st.sampled_from(THROWN)),
    st.just(("close",)),
)


def play(generator: Any, steps: list[tuple[Any, ...]]) -> list[Any]:
    """What a generator of either kind answers to each step, and to being closed at last."""
    log: list[tuple[Any, ...]] = []
    for name, *arguments in [*steps, ("close",), ("close",)]:
        try:
            log.append(("answered", step(generator, name, *arguments)))
        except BaseException as error:
            same = bool(arguments) and error is arguments[0]
            log.append((type(error), str(error), same, getattr(error, "value", None)))
    return log


@pytest.mark.parametrize(
    "function",
    [
        *(collect, delegate, linger, leave, break_down),
        *(async_collect, async_linger, async_leave, async_break_down),
    ],
)
def test_generator_behaves_as_without(tmp_path: Path, function: Any) -> None:
    """Whatever is sent and thrown into it, it answers as the undecorated one does (PEP 380)."""
    decorated = quick(literal_directory=tmp_path)(function)

    @settings(max_examples=40, deadline=None, database=None)
    @given(st.lists(STEPS, max_size=6))
    def compare(steps: list[tuple[Any, ...]]) -> None:
        assert play(decorated(), steps) == play(function(), steps)

    compare()


def test_generator_s_return_value(out: Path) -> None:
    """`yield from` gets it, and it is the recorded result."""

    def outer() -> Any:
        return [(yield from quick(literal_directory=out)(collect)())]

    generator = outer()
    sent = [generator.send(value) for value in (None, "a", "b", "c")]
    with pytest.raises(StopIteration) as stop:
        generator.send("d")
    assert (sent, stop.value.value) == ([0, 1, 2, 3], [["a", "b", "c", "d"]])
    assert read(out)["result"] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("how", ["close", "throw", "drop"])
@pytest.mark.parametrize("kind", ["generator", "async_generator"])
def test_generator_closed_early(out: Path, kind: str, how: str) -> None:
    """Its run was interrupted then, and the record says by what."""
    generator = quick(literal_directory=out)(make(kind, int))()
    assert (step(generator, "next"), read(out)["status"]) == ("first", "running")
    with contextlib.suppress(GeneratorExit):
        if how != "drop":
            step(generator, how, *([GeneratorExit()] if how == "throw" else []))
    del generator
    gc.collect()
    record = read(out)
    assert (record["status"], record["error"]["type"]) == ("interrupted", "GeneratorExit")
    assert record["error"]["message"] == "closed before it was exhausted"
    assert "end_time" in record["timing"]


def test_coroutine_closed_early(out: Path) -> None:
    """So it is with a coroutine that nobody awaits to its end."""
    coroutine = quick(literal_directory=out)(make("coroutine", int))()
    coroutine.send(None)
    coroutine.close()
    record = read(out)
    assert (record["status"], record["error"]["type"]) == ("interrupted", "GeneratorExit")


def test_generator_never_begun(out: Path) -> None:
    """A generator that nobody steps into runs nothing, and leaves no record."""
    quick(literal_directory=out)(collect)().close()
    assert not out.exists()


# ------------------------------------------------------------------------------
# Runs inside runs, beside runs
# ------------------------------------------------------------------------------


def run_beside(folder: Path) -> Any:
    """The record of a run that begins here and now."""
    quick(literal_directory=folder, create_parents=True)(make("plain", int))()
    return read(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_nested_run(tmp_path: Path, kind: str) -> None:
    """A run that begins inside another names it as its parent; one that begins later doesn't."""
    outer = quick(literal_directory=tmp_path / "outer")(
        make(kind, lambda: run_beside(tmp_path / "inner"))
    )
    inner = finish(outer())
    record = read(tmp_path / "outer")
    assert (inner["parent"], "parent" in record) == (record["uuid"], False)
    assert "parent" not in run_beside(tmp_path / "later")


@pytest.mark.parametrize("kind", ["generator", "async_generator"])
def test_generator_s_caller_is_not_inside(tmp_path: Path, kind: str) -> None:
    """Between two steps the caller's own runs aren't the generator's children."""
    generator = quick(literal_directory=tmp_path / "outer")(
        make(kind, lambda: run_beside(tmp_path / "inner"))
    )()
    for _ in range(2):
        item = step(generator, "next")
        assert "parent" not in run_beside(tmp_path / "between")
    assert item["parent"] == read(tmp_path / "outer")["uuid"]


@pytest.mark.parametrize("how", [("close",), ("next",), ("throw", KeyError())])
@pytest.mark.parametrize("kind", ["generator", "async_generator"])
def test_generator_s_cleanup_is_inside(tmp_path: Path, kind: str, how: Any) -> None:
    """What a generator does in the end, even when it is closed, belongs to its run."""

    def generator() -> Iterator[int]:
        try:
            yield 1
        finally:
            run_beside(tmp_path / "inner")

    async def async_generator() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            run_beside(tmp_path / "inner")

    begun = quick(literal_directory=tmp_path / "outer")(locals()[kind])()
    step(begun, "next")
    with contextlib.suppress(StopIteration, StopAsyncIteration, KeyError):
        step(begun, *how)
    assert read(tmp_path / "inner")["parent"] == read(tmp_path / "outer")["uuid"]


def test_parent_after_closing_a_coroutine_of_another_context(tmp_path: Path) -> None:
    """The run that closes it stays the one that later runs are nested in."""

    @quick(directory_parameter="out")
    async def other(out: Path) -> None:
        await asyncio.sleep(60)

    @quick(directory_parameter="out")
    def inner(out: Path) -> None:
        pass

    @quick(directory_parameter="out")
    def outer(out: Path, suspended: Any) -> None:
        suspended.close()
        inner(tmp_path / "inner")

    async def begin() -> Any:
        suspended = other(tmp_path / "other")
        contextvars.copy_context().run(suspended.send, None)
        return suspended

    outer(tmp_path / "outer", asyncio.run(begin()))
    assert read(tmp_path / "inner")["parent"] == read(tmp_path / "outer")["uuid"]


def test_parent_after_a_failure(tmp_path: Path) -> None:
    """A run that failed inside another is no longer anybody's parent."""

    def fail() -> None:
        raise KeyError

    def act() -> Any:
        with contextlib.suppress(KeyError):
            quick(literal_directory=tmp_path / "failed")(fail)()
        return run_beside(tmp_path / "inner")

    inner = quick(literal_directory=tmp_path / "outer")(make("plain", act))()
    assert inner["parent"] == read(tmp_path / "outer")["uuid"]


def test_a_thread_has_no_parent(tmp_path: Path) -> None:
    """Nobody knows for whom a thread works; a run in it begins a story of its own."""

    def act() -> Any:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(run_beside, tmp_path / "inner").result()

    assert "parent" not in quick(literal_directory=tmp_path / "outer")(make("plain", act))()


def test_gather(tmp_path: Path) -> None:
    """Tasks that take turns keep their runs apart, and their parent is who gathered them."""

    @quick(directory_parameter="out", create_parents=True)
    async def task(out: Path, number: int) -> tuple[int, Any]:
        for _ in range(number % 3):
            await asyncio.sleep(0)
        return number, run_beside(out / "inner")["parent"]

    @quick(literal_directory=tmp_path)
    async def gather() -> Any:
        return await asyncio.gather(*(task(tmp_path / str(number), number) for number in range(6)))

    for number, (result, parent) in enumerate(asyncio.run(gather())):
        record = read(tmp_path / str(number))
        assert (record["result"], result) == ([number, parent], number)
        assert (record["uuid"], record["parent"]) == (parent, read(tmp_path)["uuid"])


def test_threads(tmp_path: Path) -> None:
    """Runs at the same time in many threads keep apart."""
    barrier = threading.Barrier(6)

    @quick(directory_parameter="out")
    def work(out: Path) -> tuple[str, Any]:
        barrier.wait(30)
        parent = run_beside(out / "inner")["parent"]
        barrier.wait(30)
        return out.name, parent

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(work, [tmp_path / str(number) for number in range(6)]))
    records = [read(tmp_path / str(number)) for number in range(6)]
    assert results == [(str(number), record["uuid"]) for number, record in enumerate(records)]
    assert [record["result"] for record in records] == [list(result) for result in results]
    assert not any("parent" in record for record in records)


@pytest.mark.parametrize(
    ("kind", "seconds"), [("coroutine", 0.5), ("generator", 0.05), ("async_generator", 0.05)]
)
def test_run_time_covers_the_whole(out: Path, kind: str, seconds: float) -> None:
    """It counts until a coroutine has been awaited, and until a generator is exhausted."""

    async def coroutine() -> None:
        await asyncio.sleep(seconds)

    if kind == "coroutine":
        asyncio.run(quick(literal_directory=out)(coroutine)())
    else:
        finish(quick(literal_directory=out)(make(kind, lambda: time.sleep(seconds)))())
    timing = read(out)["timing"]
    assert timing["run_time"] >= f"0:00:{seconds:09.6f}"
    start, end = (datetime.datetime.fromisoformat(timing[k]) for k in ("start_time", "end_time"))
    assert (end - start).total_seconds() >= seconds - 0.01  # of another clock


@pytest.mark.parametrize("how", [("close",), ("throw", KeyError())])
@pytest.mark.parametrize("kind", ["generator", "async_generator"])
def test_run_time_of_a_generator_that_is_ended(out: Path, kind: str, how: Any) -> None:
    """It counts until the generator is closed or raises, its caller's time included."""
    generator = quick(literal_directory=out)(make(kind, int))()
    step(generator, "next")
    time.sleep(0.05)
    with contextlib.suppress(KeyError):
        step(generator, *how)
    assert read(out)["timing"]["run_time"] >= "0:00:00.05"


def test_a_run_does_not_write_over_the_one_around_it(out: Path) -> None:
    """Two methods of one name may call each other: each has its record."""

    class A:
        @quick(literal_directory=out)
        def train(self) -> int:
            return 1

    class B(A):
        @quick(literal_directory=out)
        def train(self) -> int:
            return super().train() + 1

    assert B().train() == 2
    outer, inner = (read(out / f"train_record{n}.json") for n in ("", "_2"))
    assert (outer["result"], inner["result"]) == (2, 1)
    assert inner["parent"] == outer["uuid"]
    assert outer["outputs"] == []


def test_a_file_of_the_function_s_own_by_the_record_s_name(out: Path) -> None:
    """It stays, and the record takes another name; one that was there before stops the run."""

    @quick(literal_directory=out, record_filename="results")
    def work() -> None:
        (out / "results.json").write_text("[1]")

    with pytest.warns(RuntimeWarning, match=r"results.json itself; its record is .*results_2.json"):
        work()
    assert (out / "results.json").read_text() == "[1]"
    record = read(out / "results_2.json")
    assert [entry["path"] for entry in record["outputs"]] == ["results.json"]
    again = quick(literal_directory=out, record_filename="other")(inspect.unwrap(work))
    for _ in range(2):
        (out / "other.json").write_text("[2]")
        with pytest.raises(FileExistsError, match=r"other.json is there and holds no record: move"):
            again()
        assert (out / "other.json").read_text() == "[2]"
        # Whether this process has written a record there or not.
        (out / "other.json").unlink()
        again()


def test_a_generator_that_can_be_awaited(out: Path) -> None:
    """`types.coroutine` makes one; its wrapper can be awaited, too."""

    @quick(literal_directory=out)
    @types.coroutine
    def pause() -> Any:
        yield
        return 42

    async def main() -> Any:
        return await pause()

    assert asyncio.run(main()) == 42
    assert read(out)["result"] == 42


def test_an_async_generator_that_is_left_to_the_event_loop(out: Path) -> None:
    """The loop closes the wrapper alone, which closes the function's own."""
    problems: list[Any] = []

    @quick(literal_directory=out)
    async def steps() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0.01)

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, problem: problems.append(problem)
        )
        left.append(steps())
        assert await left[0].__anext__() == 1

    left: list[Any] = []
    before = handlers()
    asyncio.run(main())
    assert (problems, handlers()) == ([], before)
    assert read(out / "steps_record.json")["status"] == "interrupted"


def test_runs_hold_no_arguments_once_they_have_ended(out: Path) -> None:
    """A context that outlives a run, as a pending task's does, keeps nothing large alive."""
    context: list[Any] = []

    @quick(literal_directory=out)
    def work(thing: Any) -> None:
        context.append(contextvars.copy_context())

    thing = Weights(numpy.eye(2))
    gone = weakref.ref(thing)
    work(thing)
    del thing
    assert gone() is None


# ------------------------------------------------------------------------------
# Functions that travel
# ------------------------------------------------------------------------------


@quick(directory_parameter="out")
def travels(out: Path, times: int = 2) -> int:
    """A module's function."""
    return times * 21


@pytest.mark.parametrize("protocol", [0, pickle.HIGHEST_PROTOCOL])
@pytest.mark.parametrize("thing", [travels, Model.class_above, Model.static_below, Model().method])
def test_pickle(out: Path, thing: Any, protocol: int) -> None:
    """What could be pickled can still be."""
    arrived = pickle.loads(pickle.dumps(thing, protocol))
    if thing is travels:
        assert arrived is thing
    arrived(out)
    assert read(out)["called_function"]["name"] == thing.__name__


@pytest.mark.integration
@pytest.mark.parametrize("kind", KINDS)
def test_cloudpickle(tmp_path: Path, kind: str) -> None:
    """A function that no module holds travels by value, and runs in another process."""
    import cloudpickle

    function = quick(literal_directory="out")(make(kind, lambda: 42))
    (tmp_path / "function.pickle").write_bytes(cloudpickle.dumps(function))
    script = """
        import asyncio, pickle
        from pathlib import Path
        function = pickle.loads(Path("function.pickle").read_bytes())
        async def last(items):
            return [item async for item in items][-1]
        called = function()
        KIND = function.__name__
        if KIND == "coroutine":
            called = asyncio.run(called)
        elif KIND == "generator":
            *_, called = called
        elif KIND == "async_generator":
            called = asyncio.run(last(called))
        print(called)
    """
    assert run_python("-c", textwrap.dedent(script), cwd=tmp_path).stdout == "42\n"
    assert read(tmp_path / "out")["status"] == "completed"


@pytest.mark.integration
def test_evidence_does_not_travel(repo: Repo, out: Path) -> None:
    """Where a function arrives that was called before, its first call reads the evidence anew."""
    import cloudpickle

    source = f"import pycrumbs\n@pycrumbs.tracked(literal_directory={str(out)!r})\n"
    path = repo.write("train.py", f"{source}def train(): pass\n")
    first = repo.commit()
    function, found = load(path).train, []
    function()
    second = repo.commit()
    for called in (function, pickle.loads(cloudpickle.dumps(function))):
        called()
        found.append(read(out)["tracked_module"]["git_commit_hash"])
    assert found == [first, second]


@pytest.mark.integration
def test_types(tmp_path: Path) -> None:
    """To a type checker the decorated function is the one that was decorated."""
    shutil.copy(pycrumbs.__file__, tmp_path / "pycrumbs.py")
    source = """
        from collections.abc import AsyncIterator, Iterator
        from pathlib import Path
        from pycrumbs import tracked

        @tracked(literal_directory=Path("out"))
        def plain(a: int, *, b: str = "") -> float:
            return a

        @tracked(directory_parameter="out")
        async def coroutine(out: str) -> int:
            return 1

        @tracked(directory_parameter="out")
        def generator(out: str) -> Iterator[int]:
            yield 1

        @tracked(directory_parameter="out")
        async def async_generator(out: str) -> AsyncIterator[int]:
            yield 1

        class Model:
            @tracked(directory_parameter="out")
            def method(self, out: str) -> "Model":
                return self

            @classmethod
            @tracked(directory_parameter="out")
            def make(cls, out: str) -> "Model":
                return cls()

        reveal_type(plain)
        reveal_type(coroutine)
        reveal_type(generator("out"))
        reveal_type(async_generator("out"))
        reveal_type(Model().method("out"))
        reveal_type(Model.make("out"))
        plain("a")
        tracked(directory_parameter=1)
    """
    (tmp_path / "use.py").write_text(textwrap.dedent(source), encoding="utf-8")
    command = ["-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context", "use.py"]
    shown = run_python(*command, cwd=tmp_path, status=1, env={"PYTHONPATH": ""}).stdout
    shown = re.sub(r"\b(builtins|typing|use)\.(?=[A-Za-z]+\b[^:])", "", shown)
    assert re.findall(r'(?m)(?<=type is ").*(?="$)', shown) == [
        "def (a: int, *, b: str =) -> float",
        "def (out: str) -> Coroutine[Any, Any, int]",
        "Iterator[int]",
        "AsyncIterator[int]",
        "Model",
        "Model",
    ]
    assert re.findall(r"use\.py:\d+: error: (.*?);", shown) == [
        'Argument 1 to "plain" has incompatible type "str"',
        'Argument "directory_parameter" to "tracked" has incompatible type "int"',
    ]


@pytest.mark.integration
def test_a_copied_source_is_not_an_edited_one(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where a pickled wrapper arrives, the same commit may have been checked out anew."""
    import cloudpickle

    repo.write("copied.py", "from pycrumbs import tracked\n" + WORK)
    repo.commit()
    monkeypatch.syspath_prepend(repo.path)
    module = importlib.import_module("copied")
    cloudpickle.register_pickle_by_value(module)
    text = cloudpickle.dumps(module.work)
    shutil.copy(repo.path / "copied.py", tmp_path / "new")
    os.replace(tmp_path / "new", repo.path / "copied.py")
    monkeypatch.chdir(tmp_path)
    pickle.loads(text)()
    assert "source_edited_after_import" not in read(tmp_path / "out")["tracked_module"]


# ------------------------------------------------------------------------------
# How runs end
# ------------------------------------------------------------------------------


class OwnError(Exception):
    """A project's own exception, that can't even be shown."""

    def __str__(self) -> str:
        raise RuntimeError("cannot be shown")


ENDINGS = [  # an exception, the status it gives, its recorded type and message
    (ValueError("bad value"), "failed", "ValueError", "bad value"),
    (SystemExit(3), "failed", "SystemExit", "3"),
    (SystemExit("why"), "failed", "SystemExit", "why"),
    (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt", ""),
    (asyncio.CancelledError("stop"), "interrupted", "asyncio.exceptions.CancelledError", "stop"),
    (MemoryError(), "failed", "MemoryError", ""),
    (OwnError(), "failed", f"{__name__}.OwnError", "<no text: its __str__ raised RuntimeError>"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("error", "status", "name", "message"), ENDINGS)
def test_failure(
    out: Path, kind: str, error: BaseException, status: str, name: str, message: str
) -> None:
    """It reaches the caller as it is, and the record tells how the run ended."""

    def fail() -> None:
        raise error.with_traceback(None)

    with pytest.raises(type(error)) as caught:
        finish(quick(literal_directory=out)(make(kind, fail))())
    assert caught.value is error
    assert (error.__cause__, error.__context__) == (None, None)
    record = read(out)
    assert record["status"] == status
    assert (record["error"]["type"], record["error"]["message"]) == (name, message)
    assert "result" not in record
    assert record["timing"]["end_time"] >= record["timing"]["start_time"]
    lines = record["error"]["traceback"]
    assert lines[0] == "Traceback (most recent call last):"
    assert re.findall(r", in (\w+)", "\n".join(lines)) == [kind, "fail"]


def test_an_exit_whose_code_is_no_number(out: Path) -> None:
    """Python itself ends with status 1 then; the code isn't even compared."""

    class Code:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            raise RuntimeError("no")

    @quick(literal_directory=out)
    def leave(code: Any) -> None:
        sys.exit(code)

    for code in (Code(), numpy.int64(0), "0"):
        with pytest.raises(SystemExit):
            leave(code)
        assert read(out)["status"] == "failed"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", [0, None, False])
def test_successful_exit(out: Path, kind: str, code: Any) -> None:
    """`sys.exit(0)` ends a run that has done its work."""
    with pytest.raises(SystemExit) as caught:
        finish(quick(literal_directory=out)(make(kind, lambda: sys.exit(code)))())
    assert caught.value.code is code
    record = read(out)
    assert (record["status"], "error" in record) == ("completed", False)
    assert "end_time" in record["timing"]


def test_traceback_has_none_of_our_frames(tmp_path: Path) -> None:
    """Not even in the middle, where a tracked function calls another, nor in a cause's."""

    def fail() -> None:
        raise KeyError("inside")

    def translate() -> None:
        try:
            quick(literal_directory=tmp_path / "inner")(fail)()
        except KeyError as error:
            raise ValueError("outside") from error

    with pytest.raises(ValueError, match="outside") as caught:
        quick(literal_directory=tmp_path / "outer")(make("plain", translate))()
    text = "\n".join(read(tmp_path / "outer")["error"]["traceback"])
    assert f'"{pycrumbs.__file__}"' not in text
    assert re.findall(r", in (\w+)", text) == ["translate", "fail", "plain", "translate"]
    assert text.splitlines()[-1] == "ValueError: outside"
    assert pycrumbs.__file__ in "".join(traceback.format_tb(caught.value.__traceback__))


def test_traceback_of_thousands_of_errors(out: Path) -> None:
    """Each was raised while the one before was handled."""

    def fail() -> None:
        error: Any = None
        for number in range(3000):
            later = ValueError(number)
            later.__context__, error = error, later
        raise error

    with pytest.raises(ValueError, match="2999"):
        quick(literal_directory=out)(fail)()
    lines = read(out)["error"]["traceback"]
    # Before Python 3.11 its own formatting goes from one to the next by recursion.
    assert sys.version_info < (3, 11) or lines[-1] == "ValueError: 2999"


@pytest.mark.parametrize("kind", ["generator", "async_generator"])
def test_failure_thrown_into_a_generator(out: Path, kind: str) -> None:
    """What its caller threw into it is how it failed, and it failed in its own line."""
    generator, error = quick(literal_directory=out)(make(kind, int))(), KeyError("thrown")
    step(generator, "next")
    with pytest.raises(KeyError) as caught:
        step(generator, "throw", error)
    assert caught.value is error
    lines = read(out)["error"]["traceback"]
    assert re.findall(r", in (\w+)", "\n".join(lines)) == [kind]
    assert lines[-1] == "KeyError: 'thrown'"


def test_cancelled_task(out: Path) -> None:
    """A cancelled task's run was interrupted; its own cleanup is part of it."""
    done: list[str] = []

    @quick(literal_directory=out)
    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            done.append(read(out)["status"])

    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(work(), 0.01)

    asyncio.run(main())
    record = read(out)
    assert (done, record["status"]) == (["running"], "interrupted")
    assert record["error"]["type"] == "asyncio.exceptions.CancelledError"


@pytest.mark.parametrize(("ending", "exit_status", "status"), [
    ("return", 0, "completed"), ("sys.exit(0)", 0, "completed"),
    ("sys.exit(3)", 3, "failed"), ("raise ValueError", 1, "failed"),
    ("signal.raise_signal(signal.SIGINT)", -2, "interrupted"),
])  # fmt: skip
def test_exit_status(tmp_path: Path, ending: str, exit_status: int, status: str) -> None:
    """The process ends as it would without the decorator."""
    script = f"""
        import signal, sys, pycrumbs
        @pycrumbs.tracked(literal_directory="out", disable_git_tracking=True)
        def work():
            {ending}
        work()
    """
    run_python("-c", textwrap.dedent(script), cwd=tmp_path, status=exit_status)
    assert read(tmp_path / "out")["status"] == status


def test_click_s_own_way_to_end(tmp_path: Path) -> None:
    """`ctx.exit(0)`, which typer's Exit is, too, ends well; another status doesn't."""

    @click.command()
    @click.argument("status", type=int)
    @tracked(literal_directory=tmp_path, **QUIET_RUN)
    def work(status: int) -> None:
        click.get_current_context().exit(status)

    for status, told in ((0, "completed"), (3, "failed")):
        assert CliRunner().invoke(work, [str(status)]).exit_code == status
        assert read(tmp_path / "work_record.json")["status"] == told


@pytest.mark.parametrize("chained", [False, True])
def test_a_directory_that_is_renamed_is_followed(tmp_path: Path, chained: bool) -> None:
    """Results are published like that."""

    @tracked(directory_parameter="out", chain_records=chained, **QUIET_RUN)
    def work(out: Path, final: Path) -> None:
        (out / "made").touch()
        out.rename(final)

    work(tmp_path / "draft", tmp_path / "final")
    record = read(tmp_path / "final")
    assert (record["status"], names(record["outputs"])) == ("completed", ["made"])
    assert sorted(os.listdir(tmp_path)) == ["final"]
    if chained:
        work(tmp_path / "final", tmp_path / "last")
        assert [record["status"] for record in read(tmp_path / "last")] == ["completed"] * 2


def test_a_directory_that_is_moved_aside(tmp_path: Path) -> None:
    """The record belongs to what is made now, and not to what was there before."""

    @tracked(directory_parameter="out", **QUIET_RUN)
    def work(out: Path) -> None:
        out.rename(tmp_path / "before")
        out.mkdir()
        (out / "made").touch()

    work(tmp_path / "out")
    record = read(tmp_path / "out")
    assert (record["status"], names(record["outputs"])) == ("completed", ["made"])


@pytest.mark.parametrize("thread", [False, True], ids=["main thread", "another thread"])
def test_forked_workers_draw_numbers_of_their_own(tmp_path: Path, thread: bool) -> None:
    """What they import first isn't seeded alike in all of them."""
    code = """
        def draw():
            import numpy
            os.write(1, str(numpy.random.rand()).encode().ljust(30))

        @tracked(literal_directory=".", **QUIET)
        def work():
            for pid in [fork(draw) for _ in range(3)]:
                assert wait(pid) == 0

        if len(sys.argv) > 1:
            thread = threading.Thread(target=work)
            thread.start(), thread.join()
        else:
            work()
    """
    code = PRELUDE + "import threading\n" + textwrap.dedent(code)
    done = run_python("-W", "ignore", "-c", code, *["thread"] * thread, cwd=tmp_path)
    assert len({*done.stdout.split()}) == 3


def test_runs_at_once_in_one_directory(tmp_path: Path) -> None:
    """Each keeps its record; in a chained file all have their place."""

    async def work() -> None:
        await asyncio.sleep(0.01)

    async def work_together(**options: Any) -> None:
        function = tracked(literal_directory=tmp_path, **QUIET_RUN, **options)(work)
        await asyncio.gather(*(function() for _ in range(3)))

    asyncio.run(work_together())
    files = ["work_record.json", "work_record_2.json", "work_record_3.json"]
    assert sorted(os.listdir(tmp_path)) == files
    assert len({read(tmp_path / name)["uuid"] for name in files}) == 3
    asyncio.run(work_together(chain_records=True, record_filename="chain"))
    assert len(read(tmp_path / "chain.json")) == 3


@pytest.mark.parametrize("count", [2, 20])
def test_threads_at_once_in_one_directory(tmp_path: Path, count: int) -> None:
    """Also those that begin in the same moment."""
    start, end = threading.Barrier(count), threading.Barrier(count)

    def work_together(**options: Any) -> None:
        @tracked(literal_directory=tmp_path, **QUIET_RUN, **options)
        def work() -> None:
            end.wait(60)

        def begin() -> None:
            start.wait(60)
            work()

        with ThreadPoolExecutor(count) as pool:
            for future in [pool.submit(begin) for _ in range(count)]:
                future.result()

    work_together()
    records = [read(path) for path in tmp_path.iterdir()]
    assert len({record["uuid"] for record in records}) == count
    assert {record["status"] for record in records} == {"completed"}
    work_together(chain_records=True, record_filename="chain")
    assert len({record["uuid"] for record in read(tmp_path / "chain.json")}) == count
    # Those that come later have the same names again.
    work_together()
    assert len([*tmp_path.glob("work_record*.json")]) == count


@pytest.mark.parametrize("last", [False, True], ids=["the first ends first", "ends last"])
def test_processes_at_once_in_one_directory(tmp_path: Path, last: bool) -> None:
    """Each keeps its record and its name, whichever ends first and however."""
    code = """
        @tracked(literal_directory="out", **QUIET)
        def work(name):
            print(flush=True)
            sys.stdin.read()
            Path("out", name).write_text(name)

        work(sys.argv[1])
    """
    (tmp_path / "script.py").write_text(PRELUDE + textwrap.dedent(code))
    processes = []
    for number in "0123":
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "script.py", number],
            cwd=tmp_path, env=clean_environment(), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
        )  # fmt: skip
        assert process.stdout
        process.stdout.readline()
        processes.append(process)
    processes[1].terminate()
    order = [processes.pop(1), *(processes[::-1] if last else processes)]
    assert [process.communicate()[1] for process in order] == [""] * 4
    records = [read(tmp_path / f"out/work_record{n}.json") for n in ("", "_2", "_3", "_4")]
    told = [(r["called_function"]["parameters"]["name"], r["status"]) for r in records]
    assert told == [(n, "terminated" if n == "1" else "completed") for n in "0123"]
    # None takes another's record for a file, nor is one taken for another's maker.
    verdicts = pycrumbs.verify_records(pycrumbs.load_records(tmp_path))
    assert not {v["state"] for v in verdicts} & {"changed", "missing"}
    for name in "023":
        maker = pycrumbs.find_record(tmp_path / "out" / name)
        assert maker["called_function"]["parameters"]["name"] == name


def test_an_older_record_that_is_copied_over_is_replaced(tmp_path: Path) -> None:
    """As by someone who goes on from the results of an earlier run."""

    @tracked(directory_parameter="out", **QUIET_RUN)
    def work(out: Path, before: Path | None = None) -> None:
        if before:
            shutil.copytree(before, out, dirs_exist_ok=True)

    work(tmp_path / "first")
    work(tmp_path / "second", tmp_path / "first")
    assert read(tmp_path / "second")["called_function"]["parameters"]["before"]


def run_in_process_1(record: Any, late: int = 0) -> Any:
    """The record of a run that goes on in process 1, or did in another one of that number."""
    start = Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19]
    process = {**record["environment"]["process"], "pid": 1, "start_time": int(start) + late}
    return change(record, status="running", environment__process=process, timing__end_time=DROP)


def age(record: Any) -> Any:
    """The record as 0.4 would have written it."""
    new = ("pycrumbs", "status", "resources", "called_function__qualname", "environment__process")
    # It knew only names: of most functions, those at the top of a module, that is the same.
    name = record["called_function"]["qualname"]
    return change(record, called_function__name=name, **dict.fromkeys(new, DROP))


# What lies where a record belongs, made of one of the same function; whether it is replaced.
OCCUPANTS: dict[str, tuple[Callable[[Any], Any], bool]] = {
    "finished": (lambda record: record, True),
    "failed": (lambda record: change(record, status="failed"), True),
    "died": (lambda record: run_in_process_1(record, late=1), True),
    "in progress": (run_in_process_1, False),
    "of 0.4": (age, True),
    "another function": (lambda record: change(record, called_function__qualname="A.work"), False),
    "another file's": (
        lambda record: change(record, called_function__source_file="/srv/train.py"), False,
    ),
    "a chain": (lambda record: [record, record], False),
}  # fmt: skip


@pytest.mark.parametrize("style", [{"indent": 4}, {"sort_keys": True}, {"indent": 0}], ids=str)
@pytest.mark.parametrize(("make_other", "is_replaced"), OCCUPANTS.values(), ids=OCCUPANTS)
def test_a_record_s_name(
    tmp_path: Path, make_other: Callable[[Any], Any], is_replaced: bool, style: Any
) -> None:
    """The first that is free or a finished record's of the same function, however it is laid out."""

    @tracked(literal_directory=tmp_path, **QUIET_RUN)
    def work() -> None: ...

    work()
    path = tmp_path / "work_record.json"
    path.write_text(json.dumps(make_other(change(read(path), uuid=str(uuid.UUID(int=1)))), **style))
    before = path.read_bytes()
    work()
    assert (path.read_bytes() != before) is is_replaced
    assert list_files(tmp_path) == ["work_record.json", "work_record_2.json"][: 2 - is_replaced]
    work()
    assert len(list_files(tmp_path)) == 2 - is_replaced


def test_a_run_that_cannot_start_takes_no_name(tmp_path: Path) -> None:
    """The next one has it."""

    @tracked(literal_directory=tmp_path, **QUIET_RUN)
    def work() -> None:
        pass

    (tmp_path / "work_record.json").mkdir()
    with pytest.raises(OSError, match=r"work_record\.json"):
        work()
    (tmp_path / "work_record.json").rmdir()
    work()
    assert os.listdir(tmp_path) == ["work_record.json"]


def test_a_forked_child_leaves_its_parents_record_alone(tmp_path: Path) -> None:
    """Its calls in the same directory have records of their own."""
    code = """
        @tracked(literal_directory=".", **QUIET)
        def work(level):
            if level:
                assert wait(fork(lambda: work(level - 1))) == 0

        work(2)
    """
    run_python("-c", PRELUDE + textwrap.dedent(code), cwd=tmp_path)
    records = {path.name: read(path) for path in tmp_path.iterdir()}
    levels = {n: record["called_function"]["parameters"]["level"] for n, record in records.items()}
    assert levels == {"work_record.json": 2, "work_record_2.json": 1, "work_record_3.json": 0}
    assert {record["status"] for record in records.values()} == {"completed"}


# ------------------------------------------------------------------------------
# Records that can't be written, and how they are
# ------------------------------------------------------------------------------


def remove_folder(out: Path) -> None:
    shutil.rmtree(out)


def put_file_in_its_place(out: Path) -> None:
    shutil.rmtree(out)
    out.touch()


def block_record(out: Path) -> None:
    (path,) = out.glob("*.json")
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fails", [False, True], ids=["returns", "raises"])
@pytest.mark.parametrize("spoil", [remove_folder, put_file_in_its_place, block_record])
def test_record_that_cannot_be_completed(out: Path, kind: str, fails: bool, spoil: Any) -> None:
    """It is one warning: the function's result or exception stays what it is."""

    def act() -> int:
        spoil(out)
        return 1 // (0 if fails else 1)

    function = quick(literal_directory=out)(make(kind, act))
    expected: Any = pytest.raises(ZeroDivisionError) if fails else contextlib.nullcontext()
    with pytest.warns() as caught, expected:
        assert finish(function()) == 1
    (warning,) = caught
    assert (warning.category, warning.filename) == (RuntimeWarning, __file__)  # the caller's line
    path = re.escape(str(out / f"{kind}_record.json"))
    message = rf"pycrumbs: make\.<locals>\.{kind}\(\) ran, but its record {path} could not be "
    assert re.match(rf"{message}completed: \w+Error: ", str(warning.message))


@pytest.mark.parametrize("fails", [False, True], ids=["returns", "raises"])
def test_warnings_as_errors(out: Path, capsys: pytest.CaptureFixture[str], fails: bool) -> None:
    """Even then recording raises nothing: the warning is printed."""

    def act() -> int:
        remove_folder(out)
        return 1 // (0 if fails else 1)

    function = quick(literal_directory=out)(make("plain", act))
    expected: Any = pytest.raises(ZeroDivisionError) if fails else contextlib.nullcontext()
    with warnings.catch_warnings(), expected:
        warnings.simplefilter("error")
        assert function() == 1
    shown = capsys.readouterr().err
    assert shown.startswith("pycrumbs: make.<locals>.plain() ran, but its record ")
    assert len(shown.splitlines()) == 1


def test_record_is_replaced_whole(out: Path) -> None:
    """Who opened a record goes on reading that one, though the run has written another."""
    file = quick(literal_directory=out)(make("plain", (out / "plain_record.json").open))()
    with file:
        assert json.load(file)["status"] == "running"
    assert read(out)["status"] == "completed"
    assert list_files(out) == ["plain_record.json"]


def test_reader_never_sees_half_a_record(out: Path) -> None:
    """While runs replace a record and append to it, each reading finds JSON, and no debris."""
    function = quick(literal_directory=out)(make("plain", int))
    function()
    stop, seen = threading.Event(), set()

    def watch() -> None:
        while not stop.is_set():
            seen.add(read(out / "plain_record.json")["status"])

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        while len(seen) < 2 and not watching.done():
            for _ in range(20):
                function()
        stop.set()
        watching.result()
    assert seen == {"running", "completed"}
    assert list_files(out) == ["plain_record.json"]


@pytest.mark.parametrize("chained", [False, True])
@pytest.mark.parametrize("letter", ["x", "\u00e4", "\U0001f600"])
def test_a_name_as_long_as_may_be(tmp_path: Path, letter: str, chained: bool) -> None:
    """The hidden files beside it have names that are no longer."""
    name = "x" * (250 % len(letter.encode())) + letter * (250 // len(letter.encode())) + ".json"
    assert len(os.fsencode(name)) == 255
    for _ in range(2):
        options = {"record_filename": name, "chain_records": chained}
        quick(literal_directory=tmp_path, **options)(make("plain", int))()
    assert [n for n in os.listdir(tmp_path) if not n.endswith(".lock")] == [name]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions(tmp_path: Path, umask: int) -> None:
    """Records and directories get those that the umask leaves."""
    script = f"""
        import os, pycrumbs
        os.umask({umask})
        @pycrumbs.tracked(literal_directory="a/b", disable_git_tracking=True, create_parents=True)
        def work(): pass
        work()
        pycrumbs.write_record("own.json", {{}})
    """
    run_python("-c", textwrap.dedent(script), cwd=tmp_path)
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in list_files(tmp_path)}
    folder, file = 0o777 & ~umask, 0o666 & ~umask
    assert modes == {"a": folder, "a/b": folder, "a/b/work_record.json": file, "own.json": file}


def test_a_program_s_tests_replace_open(tmp_path: Path) -> None:
    """Only the function has what they put in its place."""

    @tracked(literal_directory=tmp_path, disable_git_tracking=True)
    def work() -> str:
        with open("settings.txt") as file:
            return file.read()

    for _ in range(2):
        with mock.patch("builtins.open", mock.mock_open(read_data="hello")) as replaced:
            assert work() == "hello"
        assert replaced.call_args_list == [mock.call("settings.txt")]
    assert read(tmp_path)["status"] == "completed"


# ------------------------------------------------------------------------------
# Evidence: the seeds
# ------------------------------------------------------------------------------


# A PyTorch that imports in no time, for what depends on the moment of its import alone.
TORCH = """
import platform
import random
random.random()  # as TensorFlow does while it is imported
generator = random.Random()
manual_seed, rand = generator.seed, generator.random
"""


def draw_in_child(
    folder: Path, before: str, within: str, options: str = "", env: dict[str, str] | None = None
) -> Any:
    """Run a tracked function (a seed of 7) in a new process; what it draws, as JSON."""
    folder.mkdir(exist_ok=True)
    script = f"""
import importlib, importlib.util, json, sys, threading
from pycrumbs import seed_tasks, tracked
{textwrap.dedent(before)}
@tracked(literal_directory="out", disable_git_tracking=True, include_package_inventory=False,
         seed_parameter="seed", {options})
def draw(seed):
{textwrap.indent(textwrap.dedent(within), "    ")}

print(json.dumps(draw(7)))
left = [finder for finder in sys.meta_path if "pycrumbs" in type(finder).__module__]
assert not left or {"seed_tasks(" in before}, sys.meta_path
"""
    return json.loads(run_python("-c", script, cwd=folder, env=env).stdout)


@pytest.mark.parametrize("attributes", [
    "exec_module = classmethod(give); create_module = classmethod(lambda *_: None)",
    "__slots__ = (); exec_module = give; create_module = lambda *_: None",
], ids=["a class", "without attributes"])  # fmt: skip
def test_loaders_of_other_kinds(tmp_path: Path, attributes: str) -> None:
    """Frozen programs have such: the library is imported and seeded, or a warning says it wasn't."""
    before = f"""
import importlib.machinery, warnings
seeds = []
def give(_, module):
    module.manual_seed = seeds.append
    return module
class Loader: {attributes}
class Finder:
  def find_spec(name, path=None, target=None):
    if name == "torch":
      return importlib.machinery.ModuleSpec(name, Loader if "class" in {attributes!r} else Loader())
sys.meta_path.insert(0, Finder)
"""
    within = """
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import torch
torch.manual_seed
return seeds or [str(w.message) for w in caught if "pycrumbs" in str(w.message)]
"""
    (told,) = draw_in_child(tmp_path, before, within)
    assert told == 7 or re.fullmatch(
        r"pycrumbs: could not seed torch, as <.*Loader.*> loads it: import it before the call", told
    )


def numbers(seed: int) -> list[float]:
    """What NumPy's own generator draws first."""
    return list(map(float, numpy.random.RandomState(seed).random_sample(3)))


NUMPY = "import numpy\nreturn numpy.random.rand(3).tolist()"
FAIL_ONCE = """
sys.modules["numpy.random.mtrand"] = None
try:
    import numpy.random
except ImportError as error:
    del sys.modules["numpy.random.mtrand"]
"""
IN_THREADS = """
def work():
    barrier.wait()
    importlib.util.find_spec("numpy")
    import numpy.random
barrier = threading.Barrier(8)
threads = [threading.Thread(target=work) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


@pytest.mark.parametrize(("before", "within"), [
    pytest.param("import numpy", NUMPY, id="imported before"),
    pytest.param("import numpy.random", NUMPY, id="imported before, wholly"),
    pytest.param("", NUMPY, id="imported within"),
    pytest.param("", "from numpy.random import rand\nreturn rand(3).tolist()", id="a name"),
    pytest.param("", "importlib.util.find_spec('numpy.random')\n" + NUMPY, id="find_spec"),
    pytest.param("", FAIL_ONCE + NUMPY, id="an import that failed"),
    pytest.param("", "import numpy.random\nimportlib.reload(numpy.random)\n" + NUMPY, id="reload"),
    pytest.param("import numpy.random as r", "importlib.reload(r)\n" + NUMPY, id="only reload"),
    pytest.param("", IN_THREADS + NUMPY, id="8 threads"),
])  # fmt: skip
def test_numpy_is_seeded_however_it_is_imported(tmp_path: Path, before: str, within: str) -> None:
    """In every process the same seed gives the numbers that NumPy itself gives for it."""
    assert draw_in_child(tmp_path, before, within) == numbers(7)


@pytest.mark.parametrize(("before", "within", "options", "expected"), [
    ("", "", "", 7),
    ("import torch", "", "", 7),
    ("@tracked(literal_directory='in', disable_git_tracking=True, seed_torch=False)\n"
     "def inner(): pass", "inner()", "", 7),
    ("seed_tasks(3)", "", "", 7),
    ("seed_tasks(3)", "", "seed_torch=False", 3),
], ids=["imported within", "imported before", "an inner run that doesn't want it",
        "the last seed counts", "seeded from outside alone"])  # fmt: skip
def test_the_moment_of_seeding(
    tmp_path: Path, before: str, within: str, options: str, expected: int
) -> None:
    """A library gets the seed that counts when the function uses it, and gets it once."""
    (tmp_path / "torch.py").write_text(TORCH)
    draw = f"{within}\nimport random, torch\nreturn [torch.rand(), random.random()]"
    drawn, from_random = draw_in_child(tmp_path, before, draw, options)
    assert drawn == random.Random(expected).random()
    # What the import itself draws doesn't count.
    assert within or from_random == random.Random(7).random()


def test_a_library_keeps_its_loader(tmp_path: Path) -> None:
    """Whoever asks a seeded module where it comes from learns what is true without us."""
    within = """
        import numpy.random, inspect
        seen = numpy.random.__spec__.loader, numpy.random.__loader__
        return [[type(x).__name__ for x in seen], len(inspect.getsource(numpy.random)) > 1000]
    """
    assert draw_in_child(tmp_path, "", within) == [["SourceFileLoader"] * 2, True]


def test_seed_tasks_outlasts_runs(tmp_path: Path) -> None:
    """What it has still to seed is seeded after them, by its own seed."""
    (tmp_path / "torch.py").write_text("drawn = []\nmanual_seed = drawn.append")
    code = """
        import pycrumbs
        sys.path.insert(0, "")

        @tracked(literal_directory="out", seed_parameter="seed", **QUIET)
        def work(seed): pass

        pycrumbs.seed_tasks(42)
        for _ in range(2):
            work(7)
        import torch
        work(7)
        print(torch.drawn)
    """
    assert run_code(tmp_path, code) == "[42, 7]\n"


@pytest.mark.parametrize("library", ["numpy", "torch", "tensorflow"])
@pytest.mark.parametrize("when", ["before", "within"])
def test_a_library_can_be_left_unseeded(tmp_path: Path, library: str, when: str) -> None:
    """seed_numpy=False and its kin hold, whenever the library is imported."""
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "__init__.py").touch()
    (tmp_path / "numpy" / "random.py").write_text("drawn = []\nseed = drawn.append")
    (tmp_path / "torch.py").write_text("drawn = []\nmanual_seed = drawn.append")
    (tmp_path / "tensorflow.py").write_text(
        "class random:\n    set_seed = lambda seed: drawn.append(seed)\ndrawn = []"
    )
    imports = "import numpy.random, torch, tensorflow\n"
    within = imports + "return [m.drawn for m in (numpy.random, torch, tensorflow)]"
    before = imports if when == "before" else ""
    drawn = draw_in_child(tmp_path, before, within, f"seed_{library}=False")
    assert drawn == [[] if name == library else [7] for name in ("numpy", "torch", "tensorflow")]


def test_no_library_is_imported_for_the_seed(tmp_path: Path) -> None:
    """What the function doesn't import is not imported, although it could be."""
    for name in ("torch", "tensorflow"):
        (tmp_path / f"{name}.py").write_text("print('imported')")
    within = "return [m for m in ('numpy', 'torch', 'tensorflow') if m in sys.modules]"
    assert draw_in_child(tmp_path, "", within) == []


TORCH_DRAWS = """
import random, torch
layer = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Dropout(0.5))
shuffled = torch.utils.data.DataLoader(range(9), shuffle=True)
return [
    torch.rand(3).tolist(), layer(torch.ones(3)).tolist(), [int(x) for x in shuffled],
    random.random(),
]
"""
TENSORFLOW_DRAWS = """
import random, tensorflow
drawn = random.random()
import keras
layer = keras.layers.Dense(2)(tensorflow.ones((1, 3)))
return [tensorflow.random.uniform([3]).numpy().tolist(), layer.numpy().tolist(), drawn]
"""
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "TF_ENABLE_ONEDNN_OPTS": "0"}


@pytest.mark.integration
@pytest.mark.parametrize(("library", "draws"), [
    pytest.param("torch", TORCH_DRAWS, id="torch"),
    pytest.param("tensorflow", TENSORFLOW_DRAWS, id="tensorflow"),
])  # fmt: skip
def test_real_libraries_draw_the_same(tmp_path: Path, library: str, draws: str) -> None:
    """Imported before or by the function, and whatever importing draws from `random`."""
    first = draw_in_child(tmp_path / "a", f"import {library}", draws, env=QUIET)
    probe = f"importlib.util.find_spec({library!r})"
    assert draw_in_child(tmp_path / "b", "", probe + draws, env=QUIET) == first
    assert first[-1] == random.Random(7).random()


@pytest.fixture
def seeded(out: Path) -> Callable[..., Any]:
    """A tracked function that draws from `random` and NumPy."""

    @tracked(
        literal_directory=out,
        seed_parameter="seed",
        disable_git_tracking=True,
        include_package_inventory=False,
    )
    def draw(seed: Any = None) -> Any:
        return seed, random.random(), numpy.random.random()

    return draw


@pytest.fixture
def undisturbed() -> Iterator[None]:
    """Generators and finders as they were, once the test is over."""
    state, finders = random.getstate(), sys.meta_path[:]
    yield
    random.setstate(state)
    sys.meta_path[:] = finders


@pytest.mark.usefixtures("undisturbed")
def test_a_drawn_seed_reproduces_the_run(seeded: Callable[..., Any], out: Path) -> None:
    """The function receives it, the record keeps it, and passing it draws the same again."""
    seed, *drawn = seeded()
    record = read(out)
    assert record["seed"] == seed == record["called_function"]["altered_parameters"]["seed"]
    assert record["called_function"]["parameters"] == {"seed": None}
    assert seeded(seed) == (seed, *drawn)


@pytest.mark.usefixtures("undisturbed")
def test_a_fixed_state_fixes_a_drawn_seed(seeded: Callable[..., Any]) -> None:
    """It comes from `random`, as with pycrumbs 0.4: the same seed, and the same numbers."""
    drawn = []
    for _ in range(2):
        random.seed(42)
        drawn.append(seeded())
    assert drawn[0] == drawn[1] != seeded()


@pytest.mark.usefixtures("undisturbed")
def test_a_run_that_cannot_start_leaves_random_alone(tmp_path: Path) -> None:
    """What fails before the function has seeded nothing, and drawn none of its numbers."""
    (tmp_path / "file").touch()
    state, numpy_state = random.getstate(), str(numpy.random.get_state())
    options = {"require_empty_directory": True, "seed_parameter": "seed"}
    work: Any = quick(literal_directory=tmp_path, **options)(lambda seed: seed)
    with pytest.raises(FileExistsError):
        work(5)
    assert (random.getstate(), str(numpy.random.get_state())) == (state, numpy_state)


@pytest.mark.usefixtures("undisturbed")
def test_the_outer_seed_fixes_an_inner_drawn_one(seeded: Callable[..., Any], out: Path) -> None:
    """Seeds that nobody gives inside another run are the same when that run is repeated."""

    @tracked(literal_directory=out, seed_parameter="seed", disable_git_tracking=True)
    def outer(seed: int) -> list[Any]:
        return [seeded() for _ in range(3)]

    assert outer(5) == outer(5) != outer(6)
    assert len({seed for seed, *_ in outer(5)}) == 3


def test_a_library_that_cannot_be_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is one warning, and no reason to stop."""
    torch = types.ModuleType("torch")
    torch.manual_seed = lambda seed: 1 / 0  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    with pytest.warns(RuntimeWarning, match="could not seed torch: ZeroDivisionError"):
        assert pycrumbs.seed_tasks(7) == 7
    assert random.random() == random.Random(7).random()


@pytest.mark.parametrize("call", ["work(1)", "work(0)", "work('')", "s = steps(); next(s); del s"])
def test_no_finder_is_left_behind(tmp_path: Path, call: str) -> None:
    """However the run ended, sys.meta_path is the same list, and as it was."""
    code = f"""
        finders, before = sys.meta_path, sys.meta_path[:]

        @tracked(literal_directory="out", seed_parameter="seed", **QUIET)
        def work(seed): 1 / (seed - 1)

        @tracked(literal_directory="out", **QUIET)
        def steps(): yield 1

        try: {call}
        except (ZeroDivisionError, TypeError): pass
        assert sys.meta_path is finders and finders == before
    """
    run_code(tmp_path, code)


@pytest.mark.usefixtures("undisturbed")
@pytest.mark.parametrize(
    "seed",
    [0, 2**32 - 1, numpy.int64(5), numpy.uint32(2**32 - 1), numpy.int8(3), numpy.array(4)],
    ids=repr,
)
def test_integers_that_are_seeds(seeded: Callable[..., Any], out: Path, seed: Any) -> None:
    """Python's and NumPy's integers seed, and are recorded as plain numbers."""
    received, drawn, numpy_drawn = seeded(seed)
    assert received is seed
    assert drawn == random.Random(int(seed)).random()
    assert numpy_drawn == numpy.random.RandomState(int(seed)).random_sample()
    assert read(out)["seed"] == seed_tasks(seed) == int(seed)
    assert type(seed_tasks(seed)) is int


@pytest.mark.parametrize(("seed", "kind", "text"), [
    (True, TypeError, "expected an integer or None, not True (bool)"),
    (numpy.True_, TypeError, f"expected an integer or None, not {numpy.True_!r} (bool"),
    (1.0, TypeError, "expected an integer or None, not 1.0 (float)"),
    (numpy.float32(1), TypeError, f"expected an integer or None, not {numpy.float32(1)!r}"),
    ("5", TypeError, "expected an integer or None, not '5' (str)"),
    (b"5", TypeError, "expected an integer or None, not b'5' (bytes)"),
    ([5], TypeError, "expected an integer or None, not [5] (list)"),
    (-1, ValueError, "expected 0 to 2**32 - 1, not -1"),
    (numpy.int16(-1), ValueError, "expected 0 to 2**32 - 1, not -1"),
    (2**32, ValueError, "expected 0 to 2**32 - 1, not 4294967296"),
], ids=repr)  # fmt: skip
def test_values_that_are_no_seeds(
    seeded: Callable[..., Any], out: Path, seed: Any, kind: type[Exception], text: str
) -> None:
    """They are refused before anything is written, by type or by range."""
    with pytest.raises(kind, match=re.escape(text)):
        seed_tasks(seed)
    text = f"draw(): parameter 'seed' holds the seed: {text}"
    with pytest.raises(kind, match=re.escape(text)):
        seeded(seed)
    assert not out.exists()


LIGHT_IMPORT = """
import sys
events, finders, modules = [], sys.meta_path[:], set(sys.modules)
sys.addaudithook(lambda event, arguments: events.append((event, str(arguments[:1]))))
sys.path.insert(0, sys.argv[1])
import pycrumbs
seen, imported = events[:], sorted(set(sys.modules) - modules)
assert sys.meta_path == finders
import json
print(json.dumps([imported, seen]))
"""
HEAVY = (
    "json inspect subprocess importlib.metadata importlib.util argparse hashlib html typing "
    "dataclasses pathlib re random logging threading uuid datetime platform shutil tempfile numpy"
).split()


def test_importing_pycrumbs_costs_nothing(tmp_path: Path) -> None:
    """It starts nothing, opens nothing but modules, installs nothing, imports nothing heavy."""
    command = ("-I", "-S", "-B", "-c", LIGHT_IMPORT, str(HERE))
    imported, events = json.loads(run_python(*command, cwd=tmp_path).stdout)
    assert "pycrumbs" in imported
    assert set(imported).isdisjoint(HEAVY)
    opened = [what for event, what in events if event == "open" and ".py" not in what]
    assert opened == []
    begun = ("subprocess", "os.", "_thread", "socket", "sys.add", "sys.set", "signal")
    assert [e for e, _ in events if e.startswith(begun) and e != "os.listdir"] == []


# ------------------------------------------------------------------------------
# Evidence: the code
# ------------------------------------------------------------------------------


def module_at(path: Path) -> types.ModuleType:
    """A module as if it had been imported from there."""
    module = types.ModuleType("m")
    module.__file__ = str(path)
    return module


def git_state(path: Path) -> Any:
    """What get_git_info tells of a source file there, dirty or not."""
    return get_git_info(module_at(path), allow_dirty=True)


@pytest.fixture
def source(repo: Repo) -> Path:
    """A source file, committed."""
    path = repo.write("m.py", "x = 1\n")
    repo.write("other.txt", "1\n")
    repo.commit()
    return path


@pytest.mark.parametrize(("command", "branch"), [
    ("status", "main"), ("checkout -q --detach", "detached"),
    ("switch -qc feature/a/b", "feature/a/b"), ("switch -qc größe/数据", "größe/数据"),
    ("switch -q --orphan unborn/one", "unborn/one"),
    ("branch -m with.dots-and_#", "with.dots-and_#"),
])  # fmt: skip
def test_branches(repo: Repo, source: Path, command: str, branch: str) -> None:
    """A branch has its name, a detached HEAD says so."""
    repo.git(*command.split())
    source.touch()
    assert git_state(source)["git_active_branch"] == branch


@pytest.mark.parametrize("staged", [False, True])
def test_no_commit_yet(repo: Repo, staged: bool) -> None:
    """There is no hash to tell, and running on a clean tree only isn't possible."""
    path = repo.write("m.py", "x = 1\n")
    if staged:
        repo.git("add", "m.py")
    state = git_state(path)
    assert "git_commit_hash" not in state
    assert state["git_is_dirty"] is staged
    with pytest.raises(RuntimeError, match=r"of 'm' \(.*repo\) has no commit yet; commit first"):
        get_git_info(module_at(path))


@pytest.mark.parametrize("remotes", [
    {},
    {"origin": "https://example.com/ada/m.git"},
    {"origin": "../m.git", "up.stream": "ssh://git@example.com/m", "größe": "/srv/größe"},
], ids=["none", "one", "several"])  # fmt: skip
def test_remotes(repo: Repo, source: Path, remotes: dict[str, str]) -> None:
    """All of them, by name; the first URL of each."""
    for name, url in remotes.items():
        repo.git("remote", "add", name, url)
        repo.git("remote", "set-url", "--add", name, "second")
        repo.git("remote", "set-url", "--push", name, "third")
    assert git_state(source)["git_remotes"] == remotes


DIRTY: list[Any] = [
    ("nothing", lambda repo: None, False),
    ("touched", lambda repo: os.utime(repo.path / "m.py", (1, 1)), False),
    ("untracked", lambda repo: repo.write("new.py"), False),
    ("untracked, showUntrackedFiles", lambda r: (
        r.git("config", "status.showUntrackedFiles", "all"), r.write("new.py")), False),
    ("modified", lambda repo: repo.write("other.txt", "2\n"), True),
    ("staged and taken back", lambda repo: (repo.write("other.txt", "2\n"), repo.git("add", "-A"),
        repo.write("other.txt", "1\n")), True),
    ("staged deletion", lambda repo: repo.git("rm", "-q", "--cached", "other.txt"), True),
]  # fmt: skip


@pytest.mark.parametrize(("change", "dirty"), [row[1:] for row in DIRTY], ids=[r[0] for r in DIRTY])
def test_dirty(repo: Repo, source: Path, change: Any, dirty: bool) -> None:
    """Changes to what git tracks make a repository dirty, untracked files and times don't."""
    change(repo)
    assert git_state(source)["git_is_dirty"] is dirty
    if dirty:
        advice = "commit first, or allow it (allow_dirty_repo=True for tracked, allow_dirty=True"
        problem = f"of 'm' ({repo.path}) is dirty (has uncommitted changes); {advice} for get_git"
        with pytest.raises(RuntimeError, match=re.escape(problem)):
            get_git_info(module_at(source))
    else:
        assert get_git_info(module_at(source))["git_is_dirty"] is False


@pytest.mark.parametrize("ignored", [False, True])
def test_repository_inside_another(repo: Repo, source: Path, ignored: bool) -> None:
    """The innermost repository is the source's, also where the outer one ignores its folder."""
    repo.write(".gitignore", "inner/\n" if ignored else "")
    inner = Repo(repo.path / "inner")
    path = inner.write("src/m.py")
    commit = inner.commit("another")
    repo.write("other.txt", "dirty\n")
    state = git_state(path)
    assert (state["git_working_dir"], state["git_commit_hash"]) == (str(inner.path), commit)
    assert state["git_is_dirty"] is False


@pytest.mark.parametrize(
    ("parent", "name"),
    [(b"repo", b"caf\xe9/m.py"), (b"repo", b"caf\xe9.py"), (b"repo", b"a b/'q\" \\$x.py"),
     (b"repo", b"new\nline.py"), (b"repo", b"-n.py"), (b"repo", b":(top)m.py"),
     (b"repo", b"sub/*.py"), (b"repo", b"t\tab/#m.py"), (b"repo", "größe/数据.py".encode()),
     (b"r\xe9po", b"caf\xe9.py"), (b"re\npo\n", b"m.py"), ("größe/数据".encode(), b"m.py"),
     (b" ", b" .py"), (b"-C", b"m.py")],
    ids=repr,
)  # fmt: skip
@pytest.mark.slow
def test_odd_names(tmp_path: Path, parent: bytes, name: bytes, out: Path) -> None:
    """Files, folders and repositories may have any name that the file system allows."""
    repo = Repo(tmp_path / os.fsdecode(parent))
    path = repo.write(os.fsdecode(name), "x = 1\n")
    commit = repo.commit()
    path.write_text("x = 2\n")
    state = git_state(path)
    assert (state["git_working_dir"], state["module_path"]) == (str(repo.path), str(path))
    assert (state["git_commit_hash"], state["git_is_dirty"]) == (commit, True)
    assert "+x = 2" in state["git_patch"]
    pycrumbs.write_record(out, state)
    assert read(f"{out}.json") == state


def test_a_record_of_a_source_whose_name_is_not_utf8(repo: Repo) -> None:
    """Running it leaves a record that reads back as the same name."""
    script = os.fsdecode(b"caf\xe9.py")
    repo.write(script, TRACKED_SCRIPT)
    repo.commit()
    repo.run(script, "../out")
    record = read(repo.path.parent / "out")
    assert record["called_function"]["source_file"] == str(repo.path / script)
    assert record["tracked_module"]["git_is_dirty"] is False


TRACKED_SCRIPT = """
import sys
from pycrumbs import tracked

@tracked(literal_directory=sys.argv[1], include_package_inventory=False)
def work():
    pass

work()
"""


# --- Where there is no state to tell


IGNORED = "the repository {top} ignores that file"
OTHER_OWNER = r"""
[ $(id -u) = 0 ] && exec chown 54321 . .git
printf '#!/bin/sh\nGIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec %s "$@"\n' $(command -v git) > ../bin/git
chmod +x ../bin/git
"""
STATELESS = {  # shell commands, the source (made if they don't), and what is wrong with it
    "no repository": ("", "../m.py", "not a git repository"),
    ".venv linked out": (
        "echo .venv/ > .gitignore; mkdir ../else; ln -s ../else .venv", ".venv/m.py",
        "not a git repository",
    ),
    ".venv": ("echo .venv/ > .gitignore", ".venv/lib/site-packages/m.py", IGNORED),
    ".venv ignores itself": ("mkdir .venv; echo '*' > .venv/.gitignore", ".venv/m.py", IGNORED),
    "link to ignored": (
        "echo .venv/ > .gitignore; mkdir .venv; touch .venv/m.py; ln -s .venv/m.py .; git add m.py",
        "m.py", IGNORED,
    ),
    "info/exclude": ("echo '/m.*' > .git/info/exclude", "m.py", IGNORED),
    "excludesFile": ("echo '*.py' > x; git config core.excludesFile $PWD/x", "m.py", IGNORED),
    "in .git": ("", ".git/hooks/m.py", "this operation must be run in a work tree"),
    "no HEAD": ("echo '[bad' > .git/HEAD", "m.py", "not a git repository"),
    "bad config": ("echo '[bad' > .git/config", "m.py", "bad config line"),
    "other owner": (OTHER_OWNER, "m.py", "detected dubious ownership in repository at '{top}'"),
    "no git": ("", "m.py", "git could not be started: No such file or directory"),
}  # fmt: skip


def place_source(repo: Repo, commands: str, name: str) -> Path:
    """Run shell commands in a repository, and have a source there."""
    subprocess.run(["sh", "-ec", commands], cwd=repo.path, check=True)
    path = repo.path / name
    return path if path.exists() else repo.write(name)


@pytest.mark.parametrize("name", STATELESS)
def test_no_git_state(repo: Repo, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error gives the reason, in git's words where it is git's, and the way out."""
    (repo.path.parent / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{repo.path.parent}/bin{os.pathsep}{os.environ['PATH']}")
    for variable in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(variable, str(repo.path.parent))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.delenv("SUDO_UID", raising=False)
    repo.commit()
    *where, problem = STATELESS[name]
    path = place_source(repo, *where)
    if name == "no git":
        monkeypatch.setenv("PATH", str(repo.path))
    with pytest.raises(RuntimeError) as caught:
        git_state(path)
    text = str(caught.value)
    assert text.startswith(f"cannot record the git state of 'm' ({path}): ")
    assert problem.format(top=repo.path) in text
    assert "\n" not in text
    assert text.endswith("or pass disable_git_tracking=True to tracked")


@pytest.mark.parametrize(("commands", "name"), [
    ("", "new.py"),
    ("", "new/package/__init__.py"),
    ("echo '*.py' > .gitignore; touch a.py; git add -f a.py .gitignore; git commit -qm a", "a.py"),
    ("echo .venv/ > .gitignore; mkdir .venv; ln -s ../m.py .venv", ".venv/m.py"),
], ids=["not added", "in a new folder", "tracked, though ignored", "tracked, linked from .venv"])  # fmt: skip
def test_sources_that_are_not_ignored(repo: Repo, source: Path, commands: str, name: str) -> None:
    """What git tracks, or would, has the repository's state."""
    path = place_source(repo, commands, name)
    state = git_state(path)
    assert state["module_path"] == str(path)
    assert state["git_commit_hash"] == repo.git("rev-parse", "HEAD")
    assert state["git_is_dirty"] is False


@pytest.mark.parametrize(("arguments", "name"), [
    (["-c", "{script}"], "__main__"), (["-"], "__main__"), (["exec.py"], "m"),
    (["app.zip"], "z"), (["../loose.py"], "__main__"),
], ids=["-c", "stdin", "exec", "zip", "no repository"])  # fmt: skip
def test_functions_without_a_file(
    tmp_path: Path, repo: Repo, arguments: Sequence[str], name: str
) -> None:
    """In a session, an archive, or no repository: the error says so and what to do, leaves nothing."""
    script = TRACKED_SCRIPT.replace("sys.argv[1]", "'out'")
    (repo.path.parent / "loose.py").write_text(script)
    repo.write("exec.py", f"exec({script!r}, {{'__name__': 'm'}})")
    with zipfile.ZipFile(repo.path / "app.zip", "w") as archive:
        archive.writestr("__main__.py", "import z")
        archive.writestr("z.py", script)
    repo.commit()
    done = subprocess.run(
        [sys.executable, *(argument.format(script=script) for argument in arguments)],
        cwd=repo.path, env=clean_environment(), input=script, capture_output=True, text=True,
    )  # fmt: skip
    problem = r"\(.*\): not a git repo" if "loose" in str(arguments) else ": it isn't "
    assert re.search(
        f"RuntimeError: cannot record the git state of {name!r} ?{problem}", done.stderr
    )
    assert "or pass disable_git_tracking=True to tracked" in done.stderr
    assert not (repo.path / "out").exists()


def test_odd_entries_in_sys_modules(repo: Repo, source: Path, monkeypatch: Any) -> None:
    """None, which blocks an import, and objects that are no modules don't matter."""
    monkeypatch.setitem(sys.modules, "blocked", None)
    monkeypatch.setitem(sys.modules, "odd", object())
    assert git_state(source)["git_is_dirty"] is False


# --- What must not reach git, and what git must not do


@pytest.mark.parametrize("own", [True, False], ids=["its own", "another's"])
def test_inside_a_hook(repo: Repo, tmp_path: Path, own: bool) -> None:
    """A run that a commit hook starts records the repository of its source."""
    committed = repo if own else Repo(tmp_path / "other")
    repo.write("work.py", TRACKED_SCRIPT)
    committed.write("m.py", "x = 1\n")
    commit = committed.commit("first") if own else (committed.commit(), repo.commit("another"))[1]
    out = tmp_path / "out"
    hook = committed.write(".git/hooks/pre-commit", f"""\
        #!/bin/sh
        PYTHONPATH="{HERE}" exec "{sys.executable}" "{repo.path / "work.py"}" "{out}"
        """)  # fmt: skip
    hook.chmod(0o755)
    committed.write("m.py", "x = 2\n")
    committed.git("commit", "-qam", "second")
    state = read(out)["tracked_module"]
    assert state["git_commit_hash"] == commit
    assert (state["git_working_dir"], state["git_is_dirty"]) == (str(repo.path), own)


# ------------------------------------------------------------------------------
# Evidence: the packages
# ------------------------------------------------------------------------------


METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nAuthor: Zo\u00eb\n\n# {name}\n"


def install(
    site: Path, folder: str, name: str = "", version: str = "", file: str = "METADATA"
) -> Path:
    """Write a distribution's folder as an installer would; the path of its metadata."""
    path = site / folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name("RECORD").write_text("")
    if name:
        path.write_text(METADATA.format(name=name, version=version), encoding="utf-8")
    return path


def test_packages(on_path: Path) -> None:
    """All names and versions, canonical and sorted, whatever installed them and on which system."""
    versions = "1.0 2!1.0rc1+local.1 2024.7.4 0.0.0.dev0".split()
    for i, name in enumerate("A-Package b.__c D--e_F.9".split()):
        written = re.sub("[-.]+", "_", name)
        install(on_path, f"{written}-{versions[i]}.dist-info", name, versions[i])
    egg = install(on_path, "g.egg-info", "g", versions[3], "PKG-INFO")
    egg.write_bytes(egg.read_bytes().replace(b"\n", b"\r\n"))
    packages = get_installed_packages()
    assert [packages[name] for name in ("a-package", "b-c", "d-e-f-9", "g")] == versions
    assert list(packages) == sorted(packages)
    assert packages["pytest"] == pytest.__version__


def test_broken_packages(on_path: Path) -> None:
    """They are left out or read as far as they can be; none hides a good one of its name."""
    before = get_installed_packages()
    install(on_path, "empty-1.0.dist-info").with_name("RECORD").unlink()
    install(on_path, "no_metadata-1.0.dist-info")
    install(on_path, "no_version-1.0.dist-info").write_text("Name: no-version\n\nVersion: 1")
    install(on_path, "no_name-1.0.dist-info").write_text("Version: 1.0\n\nName: no-name")
    install(on_path, "~ame-1.0.dist-info", "name", "1.0")
    install(on_path, "~-host-1.0.dist-info", "ghost", "1.0")
    install(on_path, "name-2.0.dist-info", "name", "2.0")
    install(on_path, "a_folder-1.0.dist-info", file="METADATA/METADATA", name="x", version="1")
    path = install(on_path, "latin-1.0.dist-info", "latin", "1.0")
    path.write_bytes(path.read_text(encoding="utf-8").encode("latin-1"))
    install(on_path, "egg_folder.egg-info", "egg.folder", "3.0", "PKG-INFO")
    egg_file = on_path / "egg_file-4.0-py3.9.egg-info"
    egg_file.write_text(METADATA.format(name="egg_file", version="4.0"), encoding="utf-8")
    (on_path / "dangling-1.0.dist-info").symlink_to("nowhere")
    assert {n: v for n, v in get_installed_packages().items() if n not in before} == {
        "latin": "1.0", "egg-folder": "3.0", "egg-file": "4.0", "name": "2.0",
    }  # fmt: skip


def test_the_first_on_the_path_wins(on_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for imports; but what can't be read there doesn't count."""
    second = on_path.parent / "second"
    monkeypatch.setattr(sys, "path", [str(on_path), str(second), *sys.path[1:]])
    install(on_path, "twice-1.0.dist-info", "Twice", "1.0")
    install(second, "twice-2.0.dist-info", "twice", "2.0")
    install(on_path, "half-1.0.dist-info")
    install(second, "half-2.0.dist-info", "half", "2.0")
    packages = get_installed_packages()
    assert (packages["twice"], packages["half"]) == ("1.0", "2.0")


def test_a_distribution_that_breaks_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever somebody else's finder raises, the others are listed."""

    class Broken(importlib.metadata.Distribution):
        def read_text(self, filename: str) -> str | None:
            raise OSError("not mounted")

        def locate_file(self, path: Any) -> Any:
            raise OSError("not mounted")

    class Finder(importlib.metadata.DistributionFinder):
        def find_distributions(self, context: Any = None) -> Any:
            return [Broken()]

        def find_spec(self, *arguments: Any) -> None:
            return None

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    assert get_installed_packages()["pytest"] == pytest.__version__


# ------------------------------------------------------------------------------
# Evidence: the GPUs
# ------------------------------------------------------------------------------

A100 = "GPU-5a10{0}fa1-88b1-2e66-b54a-6aa7dd4bc0f3, NVIDIA A100-SXM4-80GB, 535.216.01"
TWO_GPUS = f"""
0, {A100.format(0)}, 81920, 00000000:07:00.0
1, {A100.format(1)}, 81920, 00000000:0F:00.0
"""


def a100(index: int) -> dict[str, Any]:
    return {
        "index": index,
        "uuid": f"GPU-5a10{index}fa1-88b1-2e66-b54a-6aa7dd4bc0f3",
        "name": "NVIDIA A100-SXM4-80GB",
        "driver_version": "535.216.01",
        "memory_mib": 81920,
        "pci_bus_id": ("00000000:07:00.0", "00000000:0F:00.0")[index],
    }


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a script on the PATH that stands for nvidia-smi; it leaves its process's number."""
    path = tmp_path / "stub" / "nvidia-smi"
    path.parent.mkdir()
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")

    def install(script: str, interpreter: str = "/bin/sh") -> None:
        pid = path.with_name("pid")
        path.write_text(f"#!{interpreter}\necho $$ > {pid}.new; mv {pid}.new {pid}\n{script}")
        path.chmod(0o755)

    return install


@pytest.fixture
def gpus(nvidia_smi: Callable[..., None], tmp_path: Path) -> Callable[[str], Any]:
    """What the record tells of GPUs, by what a run's nvidia-smi does; a busy machine has time."""

    def tell(script: str) -> Any:
        nvidia_smi(script)
        record = record_run(lambda: await_death(tmp_path / "stub" / "pid"), tmp_path / "out")
        return record["environment"]["gpus"]

    return tell


def printing(text: str, status: int = 0) -> str:
    return f"cat <<'END'\n{text.strip()}\nEND\nexit {status}\n"


def test_gpus(gpus: Callable[[str], Any], tmp_path: Path) -> None:
    """By the fields that every driver knows, asked for in a form that is made to be parsed."""
    assert gpus(f'echo "$@" > "{tmp_path}/asked"\n' + printing(TWO_GPUS)) == [a100(0), a100(1)]
    asked = (tmp_path / "asked").read_text().strip()
    fields = "index,uuid,name,driver_version,memory.total,pci.bus_id"
    assert asked == f"--query-gpu={fields} --format=csv,noheader,nounits"


@pytest.mark.parametrize(
    "blank", ["[N/A]", "N/A", "[Not Supported]", "[Insufficient Permissions]", ""]
)
def test_gpu_fields_without_a_value(gpus: Callable[[str], Any], blank: str) -> None:
    """Whatever the driver writes in their place, they are left out."""
    told = gpus(printing(f"0, GPU-1, NVIDIA GB10, 580.95, {blank}, 0000000F:01:00.0"))
    assert told == [
        {
            "index": 0, "uuid": "GPU-1", "name": "NVIDIA GB10", "driver_version": "580.95",
            "pci_bus_id": "0000000F:01:00.0",
        }
    ]  # fmt: skip


MISMATCH = "Failed to initialize NVML: Driver/library version mismatch"
NO_DRIVER = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."


@pytest.mark.parametrize(("script", "expected"), [
    pytest.param("", [], id="nothing"),
    pytest.param(printing("No devices were found"), [], id="no devices"),
    pytest.param(printing("No devices were found", 6), "6: No devices were found", id="none"),
    pytest.param(printing(TWO_GPUS + "WARNING: infoROM is corrupted at gpu 0000:07:00.0"),
     [a100(0), a100(1)], id="a warning"),
    pytest.param(printing(MISMATCH + "\nNVML library version: 535.161", 18), f"18: {MISMATCH}",
     id="mismatch"),
    pytest.param(printing(NO_DRIVER + " Make sure\n\n", 9), f"9: {NO_DRIVER} Make sure",
     id="no driver"),
    pytest.param("echo 'libnvidia-ml.so: not found' >&2; exit 12",
     "12: libnvidia-ml.so: not found", id="on stderr"),
    pytest.param("exit 255", "255: no output", id="silent"),
    pytest.param("printf '\\377\\376 broken'; exit 1", "1: \ufffd\ufffd broken", id="bytes"),
    pytest.param("kill -SEGV $$", "-11: no output", id="crash"),
])  # fmt: skip
def test_nvidia_smi_that_finds_none_or_fails(
    gpus: Callable[[str], Any], script: str, expected: Any
) -> None:
    """An empty list where it says so, else its exit status and first words."""
    if isinstance(expected, str):
        expected = f"unavailable: nvidia-smi exited with status {expected}"
    assert gpus(script) == expected


def test_nvidia_smi_that_does_not_start(nvidia_smi: Callable[..., None]) -> None:
    """The system's reason is told."""
    nvidia_smi("", interpreter="/no/such/shell")
    text = "unavailable: nvidia-smi could not be started: No such file or directory"
    assert get_environment_info()["gpus"] == text


def test_no_nvidia_smi(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a driver there is nothing to tell; with one, it is said what is missing."""
    monkeypatch.setenv("PATH", str(tmp_path))
    gpus = get_environment_info().get("gpus")
    problem = "unavailable: there is an NVIDIA driver, but no nvidia-smi on PATH"
    assert gpus == (problem if os.path.exists("/proc/driver/nvidia") else None)


HANGING = """\
trap '' TERM INT HUP
sleep 60 &
echo $$ $! > "{pids}.new" && mv "{pids}.new" "{pids}"
wait
sleep 60
"""


def await_death(pids: Path) -> None:
    """Wait until none of these processes is alive; a dead one that nobody reaped is none."""
    deadline = time.monotonic() + 10
    while not pids.exists():
        assert time.monotonic() < deadline
    for pid in pids.read_text().split():
        state = "?"
        while state and not state.startswith("Z"):
            assert time.monotonic() < deadline, f"{pid} is still alive ({state})"
            command = ("ps", "-o", "stat=", "-p", pid)
            state = subprocess.run(command, capture_output=True, text=True).stdout.strip()


def test_nvidia_smi_that_hangs(nvidia_smi: Callable[..., None], tmp_path: Path, out: Path) -> None:
    """It holds the function up for half a second, the record tells, and nothing of it lives on."""
    nvidia_smi(HANGING.format(pids=tmp_path / "pids"))
    start = time.monotonic()

    def work() -> Any:
        return time.monotonic() - start, read(out)["environment"]["gpus"]

    record = record_run(work, out)
    seconds, first = record["result"]
    assert seconds < 10  # it would hang for a minute
    assert first == "unavailable: nvidia-smi has not answered yet"
    silent = r"unavailable: nvidia-smi did not answer within \d\.\d s"
    assert re.fullmatch(silent, record["environment"]["gpus"])
    assert re.fullmatch(silent, get_environment_info()["gpus"])
    await_death(tmp_path / "pids")


@pytest.mark.slow
def test_nvidia_smi_is_asked_once(
    nvidia_smi: Callable[..., None], tmp_path: Path, out: Path
) -> None:
    """What hasn't answered when a function's first run ends isn't asked again by its later runs."""
    nvidia_smi(f"echo >> {tmp_path}/asked\nsleep 1\n" + printing(TWO_GPUS))
    work: Any = quick(directory_parameter="out")(lambda out, seconds: time.sleep(seconds))
    for seconds in (0, 2):
        work(out, seconds)
        assert read(out)["environment"]["gpus"].startswith("unavailable: nvidia-smi ")
    assert (tmp_path / "asked").read_text() == "\n"
    assert record_run(lambda: time.sleep(2), out)["environment"]["gpus"] == [a100(0), a100(1)]


def test_nvidia_smi_that_hangs_where_the_run_cannot_start(
    nvidia_smi: Callable[..., None], tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it lives on then either, whatever the run failed for."""
    pids = tmp_path / "pids"
    nvidia_smi(HANGING.format(pids=pids))
    code = f"import os, time\nwhile not os.path.exists({str(pids)!r}): time.sleep(0.01)"
    (tmp_path / "waits_for_it.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))

    @tracked(literal_directory=out, disable_git_tracking=True, extra_modules=["waits_for_it"])
    def work() -> None:
        raise AssertionError("must not run")

    with pytest.raises(RuntimeError, match="cannot record the git state of 'waits_for_it'"):
        work()
    monkeypatch.delitem(sys.modules, "waits_for_it")
    await_death(pids)


# ------------------------------------------------------------------------------
# Evidence: the environment
# ------------------------------------------------------------------------------

ALWAYS_RECORDED = "CUDA_VISIBLE_DEVICES VIRTUAL_ENV PYENV_VIRTUAL_ENV PYTHONPATH".split()
RECORDED_IF_SET = """
    CONDA_DEFAULT_ENV CONDA_PREFIX CONDA_PYTHON_EXE PYTHONHASHSEED
    NVIDIA_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES HIP_VISIBLE_DEVICES
    OMP_NUM_THREADS MKL_NUM_THREADS OPENBLAS_NUM_THREADS NUMEXPR_NUM_THREADS
    CUBLAS_WORKSPACE_CONFIG TF_DETERMINISTIC_OPS TF_CUDNN_DETERMINISTIC TF_ENABLE_ONEDNN_OPTS
    RANK WORLD_SIZE LOCAL_RANK TORCHELASTIC_RUN_ID TORCHELASTIC_RESTART_COUNT
    OMPI_COMM_WORLD_RANK OMPI_COMM_WORLD_SIZE OMPI_COMM_WORLD_LOCAL_RANK PMIX_NAMESPACE
    PMI_RANK PMI_SIZE PMI_JOBID
    container APPTAINER_CONTAINER SINGULARITY_CONTAINER KUBERNETES_SERVICE_HOST
""".split()
UNRECORDED = "HOME PATH AWS_PROFILE MY_VARIABLE SLURM_CONF SLURM_NTASKS".split()


def variables_recorded(environment: dict[str, str], tmp_path: Path, extra: Any = None) -> Any:
    """The environment variables in the record of a new process that has just these."""
    script = f"""
from pycrumbs import tracked
@tracked(literal_directory="out", disable_git_tracking=True, include_package_inventory=False,
         extra_environment_variables={extra!r})
def work(): pass
work()
"""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.append({str(HERE)!r})\n{script}"],
        cwd=tmp_path, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return read(tmp_path / "out")["environment"]["environment_variables"]


def test_variables_that_are_set(tmp_path: Path) -> None:
    """All that are documented, as they are, and no others."""
    values = {name: f"/{name}" for name in ALWAYS_RECORDED}
    values.update((name, "0") for name in RECORDED_IF_SET)
    environment = {**values, **dict.fromkeys(UNRECORDED, "x")}
    assert variables_recorded(environment, tmp_path) == values


def test_variables_that_are_not_set(tmp_path: Path) -> None:
    """The four that were always recorded are null, those that were asked for too."""
    recorded = variables_recorded({"MY_VARIABLE": ""}, tmp_path, ["MY_VARIABLE", "ANOTHER"])
    recorded.pop("LC_CTYPE", None)
    assert recorded == {**dict.fromkeys(ALWAYS_RECORDED), "MY_VARIABLE": "", "ANOTHER": None}


def test_variables_of_a_slurm_job(tmp_path: Path) -> None:
    """Inside a job all of SLURM's are recorded, but no credential."""
    job = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "SLURMD_NODENAME": "n1", "SLURM_NEW": "x"}
    environment = {**job, "SLURM_JWT": "short", "NOT_SLURM": "x"}
    recorded = variables_recorded(environment, tmp_path)
    slurm = {name: value for name, value in recorded.items() if "SLURM" in name}
    assert slurm == {**job, "SLURM_JWT": "<redacted>"}


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variable that leads to a SLURM: one that runs, else one for as long as the tests do."""
    if shutil.which("sinfo") and not subprocess.run(["sinfo"], capture_output=True).returncode:
        yield {name: os.environ[name] for name in ("SLURM_CONF",) if name in os.environ}
        return
    script, folder = str(HERE / ".ci" / "slurm.sh"), str(tmp_path_factory.mktemp("slurm"))
    up = subprocess.run(["bash", script, "up", folder], stdout=subprocess.PIPE, text=True)
    try:
        assert up.returncode == 0
        yield {"SLURM_CONF": up.stdout.strip()}
    finally:
        subprocess.run(["bash", script, "down", folder], check=True)


def test_environment_info_evidence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every fact, under its documented name, in the documented order."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py", "--epochs", "3"])
    info = get_environment_info()
    assert list(info) == [
        "argv", "orig_argv", "platform", "platform_info", "python_version",
        "python_implementation", "python_executable", "cwd", "hostname", "python_path",
        "cpu_count", "user", "process", *(["gpus"] if "gpus" in info else []),
    ]  # fmt: skip
    expected = {
        "argv": ["train.py", "--epochs", "3"], "platform": sys.platform, "cwd": str(tmp_path),
        "python_version": sys.version, "python_implementation": "cpython",
        "python_executable": sys.executable, "python_path": sys.path, "cpu_count": os.cpu_count(),
        "platform_info": platform.platform(), "hostname": platform.node(),
        "user": getpass.getuser(),
    }  # fmt: skip
    assert {name: info[name] for name in expected} == expected
    assert sys.executable in info["orig_argv"][0] or os.path.basename(info["orig_argv"][0])


def test_process_identity(tmp_path: Path) -> None:
    """It is what /proc says of a process, also of one with an odd name."""
    script = """
import json, os, pycrumbs
open("/proc/self/comm", "w").write("a) R 1 (2 3")
stat = open("/proc/self/stat").read().rpartition(")")[2].split()
said = {"pid": os.getpid(), "start_time": int(stat[19])}
said["pid_namespace"] = os.readlink("/proc/self/ns/pid")
said["boot_id"] = open("/proc/sys/kernel/random/boot_id").read().strip()
print(json.dumps([said, pycrumbs.get_environment_info()["process"]]))
"""
    said, process = json.loads(run_python("-c", script, cwd=tmp_path).stdout)
    assert process == said


def test_deleted_working_directory(repo: Repo, out: Path, tmp_path: Path) -> None:
    """The run goes on, and the record tells that there is none."""
    (tmp_path / "gone").mkdir()
    repo.write("work.py", """
        import os
        import sys
        os.chdir("../gone")
        os.rmdir("../gone")
        from pycrumbs import tracked

        @tracked(directory_parameter="out", input_parameters=["data"])
        def work(out, name, data="data.csv"):
            return name

        work(sys.argv[1], "relative/name")
        """)  # fmt: skip
    repo.commit()
    repo.run("work.py", str(out))
    record = read(out)
    reason = "unavailable: FileNotFoundError: [Errno 2] No such file or directory"
    assert (record["environment"]["cwd"], record["result"]) == (reason, "relative/name")
    assert record["tracked_module"]["git_is_dirty"] is False
    assert [(entry["path"], entry["size"]) for entry in record["inputs"]] == [("data.csv", None)]


@pytest.mark.parametrize(("content", "expected"), [
    (b"2a38ea37ee41466612f312d082445528df9f8d9d\n", "2a38ea37ee41466612f312d082445528df9f8d9d"),
    (b"abc123 \r\nmore\n", "abc123"), (None, None),
], ids=["a hash", "more lines", "no file"])  # fmt: skip
def test_commit_of_the_docker_build(
    tmp_path: Path, content: bytes | None, expected: str | None
) -> None:
    """An image may carry the commit that it was built from."""
    if content is not None:
        (tmp_path / "hash").write_bytes(content)
    script = """
import json, pycrumbs
pycrumbs.DOCKER_BUILD_HASH_FILE = "hash"
print(json.dumps(pycrumbs.get_environment_info().get("git_hash_at_docker_build")))
"""
    assert json.loads(run_python("-c", script, cwd=tmp_path).stdout) == expected


# ------------------------------------------------------------------------------
# Values
# ------------------------------------------------------------------------------


SUPPRESSED = "<suppressed due to excessive length>"
REDACTED = "<redacted>"
QUIET_RUN: dict[str, Any] = {"disable_git_tracking": True, "include_package_inventory": False}


def read_strictly(text: str | bytes) -> Any:
    """Parse JSON as the standard has it: without NaN and Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def record_call(folder: Path, value: Any) -> dict[str, Any]:
    """Pass a value to a tracked function; return what its record says of the call."""

    @tracked(literal_directory=folder, **QUIET_RUN)
    def function(value: Any) -> bool:
        return value is received[0]

    received = [value]
    assert function(value), "the function must get the very object"
    record = read_strictly((folder / "function_record.json").read_bytes())
    assert (record["status"], record["result"]) == ("completed", True)
    called: dict[str, Any] = record["called_function"]
    return called


class Color(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Options:
    depth: int
    path: Path


@dataclasses.dataclass
class Partial:
    depth: int
    only_passed: dataclasses.InitVar[int]
    shared: typing.ClassVar[int] = 1
    unset: int = dataclasses.field(init=False)


Point = collections.namedtuple("Point", "x y")


class Reading(collections.abc.Mapping):  # type: ignore[type-arg]
    def __getitem__(self, key: str) -> int:
        return {"a": 1}[key]

    def __iter__(self) -> Iterator[str]:
        return iter("a")

    def __len__(self) -> int:
        return 1


class Refusing(Reading):
    def __getitem__(self, key: str) -> int:
        raise LookupError("missing")

    def __repr__(self) -> str:
        return "Refusing(x='???')"


class Cache(collections.abc.MutableMapping):  # type: ignore[type-arg]
    """Reading from one of cachetools' counts as using; so nothing is read."""

    currsize = 0

    def __repr__(self) -> str:
        return "LRUCache([])"

    def touch(self, *_: Any) -> Any:
        raise AssertionError("touched")

    __getitem__ = __setitem__ = __delitem__ = __iter__ = __len__ = touch


Cache.__module__, Cache.__qualname__ = "cachetools", "LRUCache"


def count_up() -> Iterator[int]:
    yield 1


CYCLIC_LIST: list[Any] = [1]
CYCLIC_LIST.append(CYCLIC_LIST)
CYCLIC_DICT: dict[str, Any] = {}
CYCLIC_DICT["self"] = [CYCLIC_DICT]
ARRAY = "<numpy.ndarray shape {} dtype {}>"
CYCLE = "<cycle: this {} is inside itself>"
HERE_TYPE = f"{__name__}."

# name: a value, how it is described, and the types told of it (of all of it, or by path)
VALUES: dict[str, tuple[Any, Any, Any]] = {
    "none": (None, None, ""),
    "bool": (True, True, ""),
    "int": (-7, -7, ""),
    "big int": (10**400, 10**400, ""),
    "float": (0.1, 0.1, ""),
    "nan": (float("nan"), "nan", "float"),
    "infinity": (float("-inf"), "-inf", "float"),
    "nan in a list": ([1, float("nan")], [1, "nan"], {"value[1]": "float"}),
    "complex": (1 + 2j, "(1+2j)", "complex"),
    "decimal": (decimal.Decimal("0.1"), "Decimal('0.1')", "decimal.Decimal"),
    "str": ("caf\u00e9 \U0001f40d", "caf\u00e9 \U0001f40d", ""),
    "lone surrogate and nul": ("a\ud800\0b", "a\ud800\0b", ""),
    "bytes": (b"\x00a", "b'\\x00a'", "bytes"),
    "bytearray": (bytearray(b"a"), "bytearray(b'a')", "bytearray"),
    "path": (Path("/x"), "PosixPath('/x')", "pathlib.PosixPath"),
    "list": ([1, [None, "a"]], [1, [None, "a"]], ""),
    "tuple": ((1, 2), [1, 2], "tuple"),
    "tuple in a dict": ({"a": {"b": (1,)}}, {"a": {"b": [1]}}, {"value.a.b": "tuple"}),
    "set": ({3, 1, 2}, [1, 2, 3], "set"),
    "frozenset": (frozenset("ba"), ["a", "b"], "frozenset"),
    "set of paths": ({Path("a")}, ["PosixPath('a')"], "set[pathlib.PosixPath]"),
    "mixed set": ({"a", 1, (2, 3)}, [1, [2, 3], "a"], "set[tuple]"),
    "numpy int": (np.int64(5), 5, "numpy.int64"),
    "numpy bool": (np.bool_(True), True, None),
    "numpy float": (np.float64(0.5), 0.5, "numpy.float64"),
    "numpy nan": (np.float32("nan"), "nan", "numpy.float32"),
    "numpy str": (np.str_("a"), "a", "numpy.str_"),
    "numpy array": (np.zeros((3, 4), "f4"), ARRAY.format("(3, 4)", "float32"), "numpy.ndarray"),
    "numpy scalar array": (np.array(1), ARRAY.format("()", "int64"), "numpy.ndarray"),
    "enum": (Color.RED, "<Color.RED: 1>", HERE_TYPE + "Color"),
    "int enum": (Level.HIGH, 3, HERE_TYPE + "Level"),
    "dataclass": (
        Options(2, Path("a")),
        {"depth": 2, "path": "PosixPath('a')"},
        {"value": HERE_TYPE + "Options", "value.path": "pathlib.PosixPath"},
    ),
    "dataclass with more than fields": (
        Partial(2, 5), {"depth": 2}, {"value": HERE_TYPE + "Partial"},
    ),
    "dtype": (np.dtype("f4"), "dtype('float32')", None),
    "mapping that refuses": (Refusing(), "Refusing(x='???')", HERE_TYPE + "Refusing"),
    "argparse": (argparse.Namespace(lr=0.1), {"lr": 0.1}, "argparse.Namespace"),
    "simple namespace": (types.SimpleNamespace(lr=[1]), {"lr": [1]}, "types.SimpleNamespace"),
    "mapping": (Reading(), {"a": 1}, HERE_TYPE + "Reading"),
    "mapping proxy": (types.MappingProxyType({"a": 1}), {"a": 1}, "mappingproxy"),
    "ordered dict": (collections.OrderedDict(b=1), {"b": 1}, "collections.OrderedDict"),
    "default dict": (collections.defaultdict(int, a=1), {"a": 1}, "collections.defaultdict"),
    "named tuple": (Point(1, 2), [1, 2], HERE_TYPE + "Point"),
    "deque": (collections.deque([1]), [1], "collections.deque"),
    "user list": (collections.UserList([1]), [1], "collections.UserList"),
    "values of a dict": ({"a": 1}.values(), "dict_values([1])", "dict_values"),
    "a cache that notes what is read": (Cache(), "LRUCache([])", "cachetools.LRUCache"),
    "array": (array.array("i", [1]), "array('i', [1])", "array.array"),
    "range": (range(10**12), "range(0, 1000000000000)", "range"),
    "function": (count_up, f"<function {__name__}.count_up>", "function"),
    "lambda": (lambda: 0, f"<function {__name__}.<lambda>>", "function"),
    "method": ([].append, "<built-in method append of list object>", "builtin_function_or_method"),
    "class": (Options, f"<class '{HERE_TYPE}Options'>", "type"),
    "module": (types.ModuleType("tool"), "<module 'tool'>", "module"),
    "object": (object(), "<object object>", "object"),
    "mock": (mock.Mock(), "<Mock>", "unittest.mock.Mock"),
    "magic mock": (mock.MagicMock(name="m"), "<MagicMock name='m'>", "unittest.mock.MagicMock"),
    "mock of an int": (mock.Mock(spec=int), "<Mock spec='int'>", "unittest.mock.Mock"),
    "exception": (ValueError("no"), "ValueError('no')", "ValueError"),
    "cyclic list": (CYCLIC_LIST, [1, CYCLE.format("list")], {"value[1]": "list"}),
    "cyclic dict": (CYCLIC_DICT, {"self": [CYCLE.format("dict")]}, {"value.self[0]": "dict"}),
    "the same twice": ([CYCLIC_DICT["self"][:0]] * 2, [[], []], ""),
    "keys that are no text": ({1: 2, 3.5: 4}, {"1": 2, "3.5": 4}, {"value{}": "float"}),
    "colliding keys": (
        {1: "a", "1": "b", "1_2": "c", 2: 0},
        {"1": "a", "1_2": "b", "1_2_2": "c", "2": 0},
        {"value{}": "int"},
    ),
    "keys of one text": (
        dict.fromkeys([object(), object(), object()], 1),
        dict.fromkeys(["<object object>" + more for more in ("", "_2", "_3")], 1),
        {"value{}": "object"},
    ),
    "tuple as key": ({("a", 1): 2}, {"['a', 1]": 2}, {"value{}": "tuple"}),
}  # fmt: skip


@pytest.mark.parametrize(("value", "described", "kinds"), VALUES.values(), ids=VALUES)
def test_a_value_is_described(tmp_path: Path, value: Any, described: Any, kinds: Any) -> None:
    """What JSON has stays as it is; the rest becomes text or containers, with its type told."""
    called = record_call(tmp_path, value)
    assert called["parameters"] == called["altered_parameters"] == {"value": described}
    assert json.dumps(called["parameters"]["value"]) == json.dumps(described)  # 1 isn't True
    if kinds is not None:  # numpy renamed some of its own
        expected = {"value": kinds} if isinstance(kinds, str) else kinds
        assert called.get("parameter_types", {"value": ""}) == expected


@pytest.mark.integration
def test_attrs_and_pydantic(tmp_path: Path) -> None:
    """Their objects are told by their fields, as dataclasses are."""
    import attrs
    import pydantic

    model = pydantic.create_model("Model", rate=(float, ...), path=(Path, ...), api_key=(str, ""))
    plain = attrs.make_class("Plain", {"_rate": attrs.field(), "shape": attrs.field()})
    told = record_call(tmp_path, [model(rate=1, path="a", api_key="k"), plain(2, "circle")])
    assert told["parameters"]["value"] == [
        {"rate": 1.0, "path": "PosixPath('a')", "api_key": REDACTED},
        {"_rate": 2, "shape": "circle"},
    ]


def test_a_result_is_not_asked_for_its_repr(tmp_path: Path) -> None:
    """It could take long, or query a database; and what isn't JSON isn't recorded."""
    asked = []

    class Query:
        def __repr__(self) -> str:
            asked.append(self)
            return "Query"

    @tracked(literal_directory=tmp_path, **QUIET_RUN)
    def work() -> Query:
        return Query()

    work()
    assert (asked, "result" in read(tmp_path)) == ([], False)


def test_mocks_are_not_touched(tmp_path: Path) -> None:
    """A MagicMock is a path, too, and would remember that it was asked."""
    value = mock.MagicMock()
    record_call(tmp_path, value)
    assert value.mock_calls == []


def test_an_open_file_and_a_generator_are_left_alone(tmp_path: Path) -> None:
    """They are named, and nothing is read from them."""
    generator = count_up()
    with open(__file__, encoding="utf-8") as file:
        told = record_call(tmp_path, [file, generator])["parameters"]["value"]
        assert file.tell() == 0
    assert next(generator) == 1
    name = f"<_io.TextIOWrapper name={__file__!r} mode='r' encoding='utf-8'>"
    assert told == [name, "<generator object count_up>"]


def test_no_memory_address_gets_into_a_record(tmp_path: Path) -> None:
    """Nested in other texts neither: they would differ from run to run."""
    things = [object(), print, mock.Mock(), sqlite3.Connection, np.random.default_rng(0)]
    value = [collections.deque(things), iter(things), count_up, types.SimpleNamespace(x=things)]
    described = json.dumps(record_call(tmp_path, value)["parameters"])
    assert "0x" not in described
    assert not [thing for thing in things if str(id(thing)) in described]


def test_what_the_function_does_to_its_arguments_is_not_recorded(tmp_path: Path) -> None:
    """The record holds the values of before, while the function runs and afterwards."""
    path, seen = tmp_path / "function_record.json", []

    @tracked(literal_directory=tmp_path, **QUIET_RUN)
    def function(items: list[Any], options: argparse.Namespace, *rest: Any, **more: Any) -> None:
        for thing in (items[1], items, vars(options), rest[0]):
            thing.clear()
        more["cache"]["a"] = 1
        seen.append(read(path)["called_function"])

    function([1, {"a": {2}}], argparse.Namespace(lr=0.1), [3], cache={})
    seen.append(read(path)["called_function"])
    told = {"items": [1, {"a": [2]}], "options": {"lr": 0.1}, "rest": [[3]], "more": {"cache": {}}}
    for called in seen:
        assert called["parameters"] == called["altered_parameters"] == told


def hostile(base: type, **attributes: Any) -> Any:
    """An instance of a class derived from `base`, most of whose methods fail."""

    def fail(self: Any, *args: Any) -> Any:
        raise RuntimeError("no")

    return type("Hostile", (base,), {"__module__": "m", "fail": fail, **attributes})


def fail(*arguments: Any, **named: Any) -> Any:
    raise RuntimeError("no")


def throw(error: BaseException) -> str:
    raise error


FAILING: dict[str, Any] = dict.fromkeys(
    "__str__ __repr__ __len__ __iter__ __eq__ __lt__ __bool__ __getitem__ __contains__ "
    "__format__ __int__ __float__ __index__ __fspath__ items keys get".split(),
    fail,
)
FAILING["__hash__"] = lambda self: 0
LYING_CLASS = property(lambda self: int)
HOSTILE = {
    "repr raises": (hostile(object, __repr__=fail)(), "<m.Hostile: RuntimeError: no>"),
    "repr is no text": (
        hostile(object, __repr__=lambda self: 3)(),
        "<m.Hostile: TypeError: __repr__ returned non-string (type int)>",
    ),
    "repr is huge": (hostile(object, __repr__=lambda self: "x" * 10**6)(), SUPPRESSED),
    "repr recurses": (hostile(object, __repr__=lambda self: f"{self!r}")(), SUPPRESSED),
    "all methods raise": (hostile(object, **FAILING)(), "<m.Hostile: RuntimeError: no>"),
    "getattr raises": (hostile(object, __getattribute__=fail, __repr__=lambda self: "me")(), "me"),
    "class lies": (hostile(object, __class__=LYING_CLASS, __repr__=lambda self: "me")(), "me"),
    "class raises": (hostile(object, __class__=property(fail), __repr__=lambda self: "me")(), "me"),
    "shape is no tuple": (hostile(object, shape=5, __repr__=lambda self: "me")(), "me"),
    "shape raises": (hostile(object, shape=property(fail), __array__=1)(), "<m.Hostile: RuntimeError: no>"),
    "type without a hash": (
        type("Meta", (type,), {"__eq__": lambda a, b: a is b, "__hash__": None})(
            "Thing", (), {"__repr__": lambda self: "me"})(), "me",
    ),
    "module is no text": (hostile(object, __module__=5, __repr__=lambda self: "me")(), "me"),
    "str": (hostile(str, **FAILING)("a"), "a"),
    "int": (hostile(int, **FAILING)(7), 7),
    "float": (hostile(float, **FAILING)(0.5), 0.5),
    "bytes": (hostile(bytes, **FAILING)(b"a"), "b'a'"),
    "list": (hostile(list, **FAILING)([1]), [1]),
    "tuple": (hostile(tuple, **FAILING)([1]), [1]),
    "set": (hostile(set, **FAILING)([1]), [1]),
    "dict": (hostile(dict, **FAILING)(a=1), {"a": 1}),
    "dict of hostile keys": ({hostile(str, **FAILING)("a"): 1}, {"a": 1}),
    "path": (hostile(object, __fspath__=fail, __repr__=lambda self: "me")(), "me"),
    "list of paths": ([hostile(object, __fspath__=fail, __repr__=lambda self: "me")()], ["me"]),
    "endless list": (hostile(list, __iter__=lambda self: iter(int, 1))(), []),
    "endless sequence": (
        hostile(collections.UserList, __iter__=lambda self: iter(int, 1))(),
        SUPPRESSED,
    ),
    "error raises": (
        hostile(object, __repr__=lambda self: throw(hostile(Exception, __str__=fail)()))(),
        "<m.Hostile: Hostile: <no text: its __str__ raised RuntimeError>>",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("value", "described"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_value_stops_nothing(tmp_path: Path, value: Any, described: Any) -> None:
    """Whatever an argument's own methods do, the function runs and the record says what it can."""
    for nested, expected in ((value, described), ([value], [described])):
        told = record_call(tmp_path, nested)["parameters"]["value"]
        assert told == (SUPPRESSED if described == SUPPRESSED else expected)


def test_a_type_that_is_no_more_in_its_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object that has taken the module's place isn't looked into."""
    kind = type("Thing", (), {"__module__": "replaced", "__slots__": ()})
    monkeypatch.setitem(sys.modules, "replaced", object())
    assert record_call(tmp_path, kind())["parameter_types"] == {"value": "replaced.Thing"}


def test_fields_are_asked_for_and_nothing_else(tmp_path: Path) -> None:
    """A dataclass that answers for any attribute isn't asked for those of other libraries."""
    asked = []

    @dataclasses.dataclass
    class Config:
        rate: float = 0.1

        def __getattr__(self, name: str) -> Any:
            asked.append(name)
            raise KeyError(name)

    told = record_call(tmp_path, Config())["parameters"]
    assert (told, asked) == ({"value": {"rate": 0.1}}, [])


def test_times_of_numpy_keep_their_unit(tmp_path: Path) -> None:
    """Of nanoseconds NumPy makes a plain integer, and of years another."""
    times = [numpy.timedelta64(5, "ns"), numpy.timedelta64(5, "Y"), numpy.datetime64(1, "ns")]
    called = record_call(tmp_path, times)
    assert called["parameters"]["value"] == list(map(repr, times))
    assert called["parameter_types"]["value[0]"] == "numpy.timedelta64"


def test_a_hostile_metaclass_stops_nothing(tmp_path: Path) -> None:
    """A type that won't tell its own name is described without one."""
    hidden = type("Meta", (type,), {"__module__": property(fail), "__getattribute__": fail})
    told = record_call(tmp_path, hidden("Thing", (), {})())
    assert "RuntimeError: no" in told["parameters"]["value"]
    assert told["parameter_types"] == {"value": "a type without a name"}


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: (v,), lambda v: {"k": v}])
def test_deep_nesting_is_cut(tmp_path: Path, wrap: Any) -> None:
    """10,000 levels are described to the fortieth."""
    value: Any = 0
    for _ in range(10_000):
        value = wrap(value)
    told = record_call(tmp_path, value)["parameters"]["value"]
    for _ in range(40):
        told = told["k"] if isinstance(told, dict) else told[0]
    assert told == "<nested deeper than 40 levels>"


class Counting(collections.UserList):  # type: ignore[type-arg]
    """A sequence that counts the items that are visited."""

    visited = 0

    def __iter__(self) -> Iterator[Any]:
        for item in self.data:
            self.visited += 1
            yield item


@pytest.mark.parametrize("item", [None, []], ids=["list", "list of lists"])
def test_few_items_of_a_huge_container_are_visited(tmp_path: Path, item: Any) -> None:
    """What passes the limit is left before its text is made, its first 2,000 items seen at most."""
    value = Counting([item] * 10**5)
    assert record_call(tmp_path, value)["parameters"] == {"value": SUPPRESSED}
    visits = 2  # as given, and as passed on
    assert 0 < value.visited <= visits * 2100


def test_containers_are_walked_by_their_base_s_methods(tmp_path: Path) -> None:
    """What a derived class does when it is walked, like loading data, isn't set off."""
    seen: list[str] = []

    class Lazy(list):  # type: ignore[type-arg]
        def __iter__(self) -> Iterator[Any]:
            seen.append("list")
            return super().__iter__()

    class Keyed(dict):  # type: ignore[type-arg]
        def items(self) -> Any:
            seen.append("dict")
            return super().items()

    class Chosen(set):  # type: ignore[type-arg]
        def __iter__(self) -> Iterator[Any]:
            seen.append("set")
            return super().__iter__()

    told = record_call(tmp_path, [Lazy([1]), Keyed(a=Lazy([2])), Chosen([3])])["parameters"]
    assert (told, seen) == ({"value": [[1], {"a": [2]}, [3]]}, [])


BIG = {
    "str": lambda: "x" * 10**8, "derived str": lambda: hostile(str)("x" * 10**7),
    "bytes": lambda: bytes(10**8), "bytearray": lambda: bytearray(10**8),
    "int": lambda: 1 << 10**7, "list": lambda: [0] * 10**7,
    "list of one": lambda: ["x" * 10**7], "key": lambda: {"x" * 10**7: 1},
    "dict": lambda: dict.fromkeys(range(10**5)), "set": lambda: set(range(10**5)),
    "deque": lambda: collections.deque([0] * 10**6),
    "user list": lambda: collections.UserList([0] * 10**6),
    "array": lambda: array.array("d", bytes(8 * 10**6)), "numpy array": lambda: np.zeros(10**8),
    "numpy bytes": lambda: np.bytes_(b"x" * 10**7),
}  # fmt: skip


@pytest.mark.parametrize("make", BIG.values(), ids=BIG)
def test_a_big_value_is_not_copied(tmp_path: Path, make: Any) -> None:
    """Its text isn't made only to be thrown away: less than a megabyte is taken for a call."""
    record_call(tmp_path, 0)
    value = make()
    tracemalloc.start()
    try:
        told = record_call(tmp_path, value)["parameters"]["value"]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert told in (SUPPRESSED, "<numpy.ndarray shape (100000000,) dtype float64>")
    assert peak < 10**6


TEXT_LIMIT = 4096
LIMITS = {  # values that are just short enough, and just too long
    "str": ("x" * TEXT_LIMIT, "x" * (TEXT_LIMIT + 1)),
    "bytes": (b"x" * (TEXT_LIMIT - 3), b"x" * (TEXT_LIMIT - 2)),
    "int": (10 ** (TEXT_LIMIT - 1), 10**TEXT_LIMIT),
    "int that python won't print": (0, 10**4299),
    "list": ([10**n for n in (1, 2, TEXT_LIMIT - 12)], [10**n for n in (1, 2, TEXT_LIMIT - 11)]),
    "dict": ({"a": 10 ** (TEXT_LIMIT - 8)}, {"a": 10 ** (TEXT_LIMIT - 7)}),
    "nested str": (["x" * (TEXT_LIMIT - 4)], ["x" * (TEXT_LIMIT - 3)]),
    "repr": (Path("/" + "x" * (TEXT_LIMIT - 14)), Path("/" + "x" * (TEXT_LIMIT - 13))),
}


@pytest.mark.parametrize(("short", "long"), LIMITS.values(), ids=LIMITS)
def test_a_text_of_4096_characters_is_the_longest(tmp_path: Path, short: Any, long: Any) -> None:
    """At the limit a value is written, one character beyond it is not; its type is told."""
    assert record_call(tmp_path, short)["parameters"]["value"] != SUPPRESSED
    assert len(json.dumps(record_call(tmp_path, short)["parameters"]["value"])) <= TEXT_LIMIT + 2
    called = record_call(tmp_path, long)
    assert called["parameters"] == called["altered_parameters"] == {"value": SUPPRESSED}
    assert list(called["parameter_types"]) == ["value"]


def test_one_long_argument_hides_no_other(tmp_path: Path) -> None:
    """The limit is each parameter's own."""

    @tracked(literal_directory=tmp_path, **QUIET_RUN)
    def function(a: str, b: str, c: int = 3) -> None: ...

    function("x" * 4000, "y" * 5000)
    told = read(tmp_path)["called_function"]["parameters"]
    assert told == {"a": "x" * 4000, "b": SUPPRESSED, "c": 3}


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=30)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT
SECRET_KEYS = PLAIN | st.binary() | st.dates() | st.tuples(st.integers(), ANY_TEXT)
LEAVES = PLAIN | st.binary() | st.decimals(allow_nan=False) | st.complex_numbers() | st.uuids()
ANYTHING = st.recursive(
    LEAVES | st.sampled_from([Color.RED, print, np.zeros(2), object(), np.float32(1), Options]),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(SECRET_KEYS, inner)
        | st.dictionaries(ANY_TEXT, inner).map(lambda fields: types.SimpleNamespace(**fields))
        | st.sets(SECRET_KEYS)
        | st.frozensets(LEAVES)
        | st.lists(inner).map(collections.deque)
        | st.builds(Options, inner, inner)
    ),
    max_leaves=30,
)
# without what makes a text look like `name=value` or a URL
HONEST_TEXT = st.text("abc xyz \u00e9\U0001f40d\0\n\ud800\"'\\/.-_<>{}[]0123")
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e300, 1e300) | HONEST_TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(HONEST_TEXT, inner),
    max_leaves=30,
)  # fmt: skip
# Hypothesis would leave a folder where the tests are started, as early as it collects them.
HYPOTHESIS_HOME = tempfile.mkdtemp(prefix="hypothesis-")
atexit.register(shutil.rmtree, HYPOTHESIS_HOME, ignore_errors=True)
set_hypothesis_home_dir(HYPOTHESIS_HOME)
GENERATED = settings(
    deadline=None,
    database=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@GENERATED
@given(value=ANYTHING)
def test_any_value_becomes_strict_json_of_bounded_size(value: Any) -> None:
    """Arbitrary nested values reach the function; they are told in JSON, alike, and never at length."""
    called, again = (record_call(Path(HYPOTHESIS_HOME, "values"), value) for _ in range(2))
    assert called == again
    assert len(json.dumps(called["parameters"], ensure_ascii=False)) <= 2 * TEXT_LIMIT  # escapes
    assert all(type(kind) is str for kind in called.get("parameter_types", {}).values())


@GENERATED
@given(value=JSON_VALUES)
def test_any_json_value_stays_as_it_is(value: Any) -> None:
    """JSON of honest names and texts comes back unchanged unless it is too long."""
    called = record_call(Path(HYPOTHESIS_HOME, "values"), value)
    same = called["parameters"] == {"value": value} and "parameter_types" not in called
    assert same or len(json.dumps(value, ensure_ascii=False)) > TEXT_LIMIT


# ------------------------------------------------------------------------------
# Secrets
# ------------------------------------------------------------------------------

# Texts that say a secret, which takes the place of {}; each gets one of its own.
LINES = r"""
password={}
password: {}
password:{}
Password = {}
password = two words, {}
db.password={}
++db.password={}
secret => '{}'
the login failed: password='{}' is wrong
{"password": "{}"}
{"user":"u","password":"a {}","lr":0.1}
{'api_key': '{}', 'lr': 0.1}
{\"password\": \"a {}\"}
{"passwords": ["a", "{}"]}
{"credentials": {"user": "u", "key": "{}"}}
{"name": "x", "token": "{}"}
{"headers": {"Authorization": "Bearer {}"}}
--password {}
--password={}
--api-key={}
--token {}
--token={}
--auth.client-secret {}
run --lr 3 --password {} --epochs 3
Authorization: Bearer {}
Authorization: Basic {}==
authorization: token {}
X-Api-Key: {}
X-Auth-Token: {}
Cookie: {}
Proxy-Authorization: Negotiate {}
connect(host, password="{}")
connect(password=get("x", "{}"))
set_password("{}")
PASSWORD: str = "{}"
PASSWORD: Optional[str] = "{}"
if password == "{}":
password = "a" + "{}"
self.secret_key, self.password = "{}", "{}"
os.environ["API_KEY"] = "{}"
config['db']['password'] = '{}'
Config(user='u', password='{}', lr=0.1)
Namespace(client_secret='{}')
Server=db;User=u;Password={};Encrypt=1
AccountName=a;AccountKey={}==;Suffix=core
host=db user=u password={} dbname=d
export DB_PASSWORD={}
PGPASSWORD={} psql
DB_PASS={}
API key: {}
aws_secret_access_key = {}
aws_session_token={}
client_secret={}&grant_type=x
clientSecret={}
openaiApiKey={}
a\npassword={}
a\napi_key={}
password={},{}
password='{} {}'
https://u:{}@host/x
https://u:p/{}@host
https://u:p/{}@host/path?x=1
https://u:{}?x@host
https://u:p@{}/w@host
https://u:p#{}@host
https://{}@host/x
https://oauth2:{}@gitlab.com/g/p.git
git+https://{}:x@github.com/g/p.git@v1
https://github.com/a,https://u:{}@host/y
see <https://u:{}@host/x> or "https://v:{}@host"
https:\/\/u:{}@host
PosixPath('https:/u:{}@host/x')
redis://:{}@cache:6379/0
mongodb://u:{}@a,b/db
jdbc:postgresql://u:{}@db/x
postgresql+psycopg://u:{}@db:5432/x
could not connect as ada:{}@db.example.com
ada:{}@localhost
https://host/x?password={}&lr=3
https://host/x?access_token={}
https://host/x?token={}#top
https://blob.core/x?sv=1&sig={}%3D
https://s3/x?X-Amz-Credential={}&X-Amz-Signature={}
ghp_{}{}
my_ghp_{}{}
a\nghp_{}{}
github_pat_{}_{}
glpat-{}
AKIA{}
sk-{}{}
sk-proj-{}{}
sk-ant-api03-{}{}
hf_{}{}
xoxb-123-{}
AIza{}{}abc
npm_{}{}abcd
pypi-{}{}{}{}
sk_live_{}{}
eyJhbGciOiJIUzI1NiJ9.eyJ{}.{}
Bearer {}
-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----
-----BEGIN OPENSSH PRIVATE KEY----- {}
""".strip().splitlines()
MULTILINE = [
    "-----BEGIN PRIVATE KEY-----\nMIIE{}\n{}\n-----END PRIVATE KEY-----\n",
    "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{}\n",
    'x = 1\npassword = """{}\n{}"""\ny = 2',
    '{\n  "secrets": {\n    "a": "{}"\n  },\n  "lr": 1\n}',
    "API_KEYS = [\n    '{}',\n    '{}',\n]",
    "[db]\npassword = {}\nuser = u\n",
    "model: x\npassword: {}\nlr: 1\n",
    "curl: 401\nauthorization: Bearer {}\nhost: x",
]


@pytest.mark.parametrize(
    ("start", "length"), [("sk-ant-api03-", 95), ("sk-proj-", 156), ("sk-or-v1-", 64)]
)
def test_keys_of_any_letters(start: str, length: int) -> None:
    """Wherever in them a dash or underscore is, none of a key's letters stay."""
    letters, draw = string.ascii_letters + string.digits + "-_", random.Random(1)
    for _ in range(500):
        key = start + "".join(draw.choices(letters, k=length))
        assert pycrumbs.redact_text(f"--key {key} --lr 3") == f"--key {REDACTED} --lr 3"


# Names that make their value a secret, however it is passed.
SECRET_NAMES = """
    password passwd db_password PGPASSWORD password1 clientSecret client_secret api_key apikey
    openaiApiKey apiKeys aws_secret_access_key private_key privatekey ssh_key auth_token
    access_token hf_token token token2 session cookie auth authorization credentials credential
    jwt SLURM_JWT passphrase pass_phrase db_pass signing_key bearer secrets pwd wandb_api_key
    NPM_AUTH oauth service_account_key
""".split()


def number_secrets(things: list[str], tail: str) -> dict[str, str]:
    """A secret for each, of 16 characters that many kinds of keys are made of."""
    return {f"{number:04d}{tail}": thing for number, thing in enumerate(things)}


SECRET = "0000Q8ZR5TN2VW7Y"
SECRET_TEXTS = number_secrets([*LINES, *MULTILINE], SECRET[4:])
SECRETS = {**SECRET_TEXTS, **number_secrets(SECRET_NAMES, "K4XP9LM3HJ6T")}
TELLTALES = {
    f"text_{number}": text.replace("{}", secret)
    for number, (secret, text) in enumerate(SECRET_TEXTS.items())
}
NAMED = {name: secret for secret, name in SECRETS.items() if name in SECRET_NAMES}


def assert_clean(raw: bytes, planted: dict[str, str]) -> None:
    """A record's bytes hold none of the secrets; told are the texts or names of those they do."""
    read_strictly(raw)
    assert REDACTED.encode() in raw
    assert [text for secret, text in planted.items() if secret.encode() in raw] == []


def writes_of(folder: Path, *args: Any, act: Any = None, **kwargs: Any) -> list[bytes]:
    """Call a tracked function; return its record's bytes from within the call, and afterwards."""

    @tracked(literal_directory=folder, **QUIET_RUN)
    def function(*args: Any, **kwargs: Any) -> Any:
        writes.append((folder / "function_record.json").read_bytes())
        return act() if act else None

    writes: list[bytes] = []
    with contextlib.suppress(ValueError):
        function(*args, **kwargs)
    return [*writes, (folder / "function_record.json").read_bytes()]


def fail_with(text: str, cause: str | None = None) -> None:
    raise ValueError(text) from (OSError(cause) if cause else None)


def in_parts(pairs: dict[str, Any], size: int = 15) -> Iterator[dict[str, Any]]:
    """A few at a time: all together would be too long to be written, and hide nothing."""
    items = list(pairs.items())
    return (dict(items[start : start + size]) for start in range(0, len(items), size))


class Printed:
    """What a configuration object of somebody else's looks like."""

    def __init__(self, fields: dict[str, str]) -> None:
        self.text = f"Config({', '.join(f'{k}={v!r}' for k, v in fields.items())})"

    def __repr__(self) -> str:
        return self.text


HOLDERS: dict[str, Any] = {  # how an argument may hold named texts
    "keywords": dict,
    "dict": lambda pairs: {"value": [{"deep": (pairs,)}]},
    "namespace": lambda pairs: {"value": argparse.Namespace(**pairs)},
    "simple namespace": lambda pairs: {"value": types.SimpleNamespace(**pairs)},
    "dataclass": lambda pairs: {"value": dataclasses.make_dataclass("D", pairs)(**pairs)},
    "mapping": lambda pairs: {"value": types.MappingProxyType(pairs)},
    "repr": lambda pairs: {"value": Printed(pairs)},
    "repr in a deque": lambda pairs: {"value": collections.deque([pairs])},
    "bytes": lambda pairs: {"value": {name: text.encode() for name, text in pairs.items()}},
    "numpy text": lambda pairs: {name: np.str_(text) for name, text in pairs.items()},
    "json": lambda pairs: {"value": json.dumps(pairs)},
    "json in json": lambda pairs: {"value": json.dumps({"config": json.dumps(pairs)})},
}


@pytest.mark.parametrize("hold", HOLDERS.values(), ids=HOLDERS)
@pytest.mark.parametrize("planted", [TELLTALES, NAMED], ids=["texts", "names"])
def test_no_secret_in_an_argument(tmp_path: Path, hold: Any, planted: dict[str, str]) -> None:
    """Neither a text that holds one nor the value of a secret name is written, at any time."""
    for part in in_parts(planted):
        for raw in writes_of(tmp_path, **hold(part)):
            assert_clean(raw, SECRETS)


@pytest.mark.parametrize("value", [
    {"passwords": [SECRET, "b"]},
    {"credentials": {"user": "u", "value": SECRET}}, {"auth": ("u", SECRET)},
    {"cookies": {"id": SECRET}},
    {"headers": {"X-Api-Key": SECRET, "lr": 1}},
    {"config": {"db": {"users": [{"password": SECRET}]}}}, {f"password={SECRET}": 2},
    {"key": {f"ghp_{SECRET}{SECRET}": {f"https://u:{SECRET}@host": Path("x")}}},
    [Path(f"https://u:{SECRET}@host/x"), Path(f"password={SECRET}")],
    {(f"api_key={SECRET}", 1): 2}, {f"password={SECRET}"},
], ids=str)  # fmt: skip
def test_no_secret_in_a_container(tmp_path: Path, value: Any) -> None:
    """A secret name counts for all below it; keys and paths may hold secrets too."""
    for raw in writes_of(tmp_path, value):
        assert_clean(raw, {SECRET: "it"})


@pytest.mark.parametrize("chained", [False, True], ids=["message", "cause"])
@pytest.mark.slow
def test_no_secret_in_an_error(tmp_path: Path, chained: bool) -> None:
    """Nor in an error's message and traceback, or in those of what caused it."""
    for text in TELLTALES.values():
        arguments = ("no", text) if chained else (text,)
        raw = writes_of(tmp_path, act=functools.partial(fail_with, *arguments))[1]
        assert_clean(raw, SECRETS)
        assert b'"failed"' in raw


def test_no_secret_in_a_result(tmp_path: Path) -> None:
    """A result is redacted like an argument."""
    for part in (*in_parts(TELLTALES), *in_parts(NAMED)):
        raw = writes_of(tmp_path, act=functools.partial(dict, made=[part]))[1]
        assert_clean(raw, SECRETS)
        assert b'"result"' in raw


SOURCE_LINES = [
    'connect(host, password="{}")',
    'connect(host, "u", token="{}", lr=1)',
    'password = "{}" + host',
    'PASSWORD: str = "{}" + host',
    'password = host + "a b" + "{}"',
    'connect(headers={"Authorization": "Bearer {}"})',
    'client = connect(api_key=get("KEY", "{}"))',
    'connect("https://u:{}@host/x")',
    'host["API_TOKEN"] = "{}"',
    'if host.password == "{}": pass',
    'connect("ghp_{}{}")',
    'host.set_password("{}")',
    'connect(password=(\n        "{}"\n    ))',
]


@pytest.mark.parametrize("line", SOURCE_LINES)
def test_no_secret_in_a_line_of_source(tmp_path: Path, line: str) -> None:
    """A traceback shows source, with what is written in it."""
    source = tmp_path / "module.py"
    prelude = """
        def get(*_): raise ValueError
        def connect(*_, **__): raise ValueError
        class Host: __add__ = __radd__ = __setitem__ = __getattr__ = get
        host = Host()
        def act():
    """
    source.write_text(f"{textwrap.dedent(prelude)}\n    {line.replace('{}', SECRET)}\n")
    assert_clean(writes_of(tmp_path, act=load(source).act)[1], {SECRET: line})
    assert "in act" in str(read(tmp_path)["error"]["traceback"])


def test_no_secret_in_a_command_line(tmp_path: Path) -> None:
    """Nor in what the interpreter was started with: options, hydra's settings, code after -c."""
    code = f"""
        import pathlib, pycrumbs
        password = "{SECRET}"

        @pycrumbs.tracked(literal_directory=".", disable_git_tracking=True)
        def work():
            pathlib.Path("running").write_bytes(pathlib.Path("work_record.json").read_bytes())

        work()
    """
    arguments = [
        *TELLTALES.values(),
        *(part for name, secret in NAMED.items() for part in (f"--{name}", secret)),
        *(f"--{name.replace('_', '-')}={secret} {secret}" for name, secret in NAMED.items()),
        *(f"db.{name}={secret}" for name, secret in NAMED.items()),
        *(f"++a.b.{name.lower()}={secret}" for name, secret in NAMED.items()),
        *("-H", f"Authorization: Bearer {SECRET}", f'{{"api_key":"{SECRET}=="}}'),
    ]
    run_python("-c", textwrap.dedent(code), *arguments, cwd=tmp_path)
    for name in ("running", "work_record.json"):
        assert_clean((tmp_path / name).read_bytes(), {**SECRETS, SECRET: "code"})
    told = read(tmp_path)["environment"]
    assert (len(told["argv"]), len(told["orig_argv"])) == (len(arguments) + 1, len(arguments) + 3)


def test_no_secret_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables are redacted by name and by content, and only those of the list are recorded."""
    variables = {
        **NAMED,
        **TELLTALES,
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_COMMENT": TELLTALES["text_0"],
    }
    for name, value in {**variables, "UNLISTED": "not to be recorded"}.items():
        monkeypatch.setenv(name, value)

    @tracked(
        literal_directory=tmp_path, extra_environment_variables=[*NAMED, *TELLTALES], **QUIET_RUN
    )
    def function() -> bytes:
        return (tmp_path / "function_record.json").read_bytes()

    for raw in (function(), (tmp_path / "function_record.json").read_bytes()):
        assert_clean(raw, {**SECRETS, "not to be recorded": "UNLISTED"})
    assert set(variables) <= set(read(tmp_path)["environment"]["environment_variables"])


REMOTES = """
https://u:{}@host/x.git
https://{}@host/x.git
https://u:p/{}@host/x.git
https://u:{}?x@host/x.git
https://u:p@{}/w@host/x.git
https://u:two words {}@host/x.git
https://u:a://{}@host/x.git
https://host/x.git?private_token={}
https://x-access-token:ghp_{}{}@github.com/x/y
ssh://{}@host:22/x.git
{}@host:path/x.git
u:{}@host:path/x.git
git@host:{}@other:x.git
ext::https://u:{}@host/x.git
""".strip().splitlines()
HONEST_REMOTES = """
git@github.com:a/b.git
ssh://git@github.com:22/a/b.git
https://github.com/a/b.git
https://host:8443/a/b
/srv/git/a@b.git
../b.git
file:///srv/a@b.git
""".strip().splitlines()


def test_no_secret_in_a_remote(repo: Repo) -> None:
    """Remotes lose their credentials, whatever these are made of; honest ones stay."""
    planted = number_secrets(REMOTES, SECRET[4:])
    urls = [url.replace("{}", secret) for secret, url in planted.items()]
    with (repo.path / ".git" / "config").open("a") as config:
        for number, url in enumerate([*urls, *HONEST_REMOTES]):
            config.write(f'[remote "r{number}"]\n\turl = "{url}"\n')
    source = "from pycrumbs import tracked\n@tracked(literal_directory='o')\ndef f(): ...\nf()\n"
    repo.write("script.py", source)
    repo.run("script.py")
    assert_clean((repo.path / "o" / "f_record.json").read_bytes(), planted)
    remotes = list(read(repo.path / "o")["tracked_module"]["git_remotes"].values())
    assert remotes[0] == f"https://{REDACTED}@host/x.git"
    assert remotes[len(urls) :] == HONEST_REMOTES


# What programs of machine learning call things, with values that they have there.
HONEST: dict[str, Any] = vars(types.SimpleNamespace(
    tokenizer="bert-base-uncased", tokenizer_name="meta-llama/Llama-3.1-8B-Instruct",
    tokenizer_path="/data/tokenizers/sentencepiece.model", max_tokens=512, max_new_tokens=64,
    min_tokens=1, num_tokens=10**9, tokens_per_second=81.5, tokens=["the", "cat"],
    stop_tokens=["<|im_end|>", "</s>"], special_tokens={"bos_token": "<s>"}, pad_token="<pad>",
    bos_token="<|begin_of_text|>", eos_token="<|end_of_text|>", unk_token="[UNK]",
    mask_token="[MASK]", cls_token="[CLS]", image_token="<image>",
    finetune_token="<|finetune_right_pad_id|>", token=17, token_ids=[1, 2, 3], token_type_ids=True,
    pad_token_id=0, token_dim=64, token_count="1,000", token_embedding="learned",
    token_dropout=0.1, token_mixer="poolformer_pool", subtoken="##ing", detokenize=True,
    use_auth_token=True, use_token=False, token_budget="unlimited for this run",
    prompt_tokens_details=None, next_token_logits="float32 array of logits", n_vocab_tokens="50k",
    auth_dim=8, author="Ada Lovelace, Charles Babbage", authors=["Ada Lovelace", "Alan Turing"],
    authority="the ministry of education", authentic=True, author_email="ada@example.com",
    oauth=False, unauthorized=3, session="baseline", session_name="monday_second_recording",
    num_session_steps=40, sessions=["2024-05-01_m1", "2024-05-02_m1_long_recording"],
    session_id="mouse12_2023-04-05_001", session_length="90 minutes exactly", sessions_per_day=3,
    session_index=2, tf_session_config="allow_growth=True", cookie_cutter="data-science-template",
    cookie_cutter_template="gh:drivendata/cookiecutter", cookies=4, cookie="oatmeal",
    secretary_problem_size=100, secretary="first to the interviews", secretion_rate=0.3,
    secretome="human_plasma_v3.fasta", password_length=12, password_max_length="unlimited",
    num_passwords=10, n_secrets=3, secret_size=32, has_password=False, is_secret=True,
    password=None, passes=3, pass_rate=0.9, n_pass=2, second_pass="refine the first estimate",
    forward_pass="gradient checkpointing on", single_pass=True, bypass="residual connection",
    compass="north by north-west", passage="a paragraph about something", passive=False,
    hidden_key_size=64, key_dim=32, key="accuracy of the validation set", keys=["loss", "acc"],
    keypoints=[[1, 2], [3, 4]], keypoint_names=["nose", "left_eye"], num_keypoints=17,
    key_padding_mask="causal", query_key_norm=True, key_value_heads=8, sort_key="validation_loss",
    cache_key="imagenet-1k-224px-normalized", primary_key="patient_identifier", keyword="cat",
    rng_key=0, prng_key="threefry2x32", image_key="observation/image", label_key="target_class",
    monkey="macaca mulatta", keyframe=10, key_metric="val/f1_macro", foreign_key="study_uid",
    group_key="split", keyboard="qwerty", key_frames_per_second=24, hotkey="ctrl+s",
    api_version="2024-05-01-preview", api_base="https://api.example.com/v1", api="rest",
    api_url="http://localhost:8080/v1/models", private_dataset="hospital_a_internal",
    is_private=True, private_layers=4, access="read-only file system", accessory="lens cap",
    access_mode="r", signed_distance="truncated at five voxels", signature="serving_default",
    credit_score="fico", accreditation="board of examiners", credible_interval=0.95,
    bearer_capacity=5.0, bearing="north", jitter=0.1, saltwater="pacific", hash="blake2b",
    model="resnet50", model_name="google/flan-t5-large", checkpoint="/ckpt/epoch=3-step=1000.ckpt",
    data_url="https://data.example.org/sets/v1.tar.gz?download=1", bucket="s3://bucket/key@2x.png",
    repository="git+https://github.com/org/repo@v1.0", profile="https://medium.com/@user/post",
    remote="ssh://git@github.com:22/org/repo.git", host="localhost:6379", user="ada",
    copy_to="ada@cluster:/scratch/run1", login="ssh://ada@cluster.example.org/home/ada",
    image="python:3.11@sha256:0123456789abcdef", metric="val:mAP@0.5", monitor="recall@10:max",
    commit="2a38ea37ee41466612f312d082445528df9f8d9d", uuid="51af8c51-0de5-48f5-a7da-9ec9688d56b6",
    md5="d41d8cd98f00b204e9800998ecf8427e", lr=0.1, learning_rate="1e-3", optimizer="adamw",
    classifier="sk-learn-random-forest-2024", filters="a=1, b=2, c>=3", note="time: 12:30 at site",
    loss="basic cross entropy with label smoothing", override="model.token_dim=64",
    command="train.py --max-tokens 512 --tokenizer gpt2", query="SELECT key, value FROM params",
    device="cuda:0", scheduler="cosine", prompt="You are a helpful assistant. Answer briefly:",
    text="The bearer of this letter is honest.", license="MIT", pwdist="euclidean", ssh=False,
    description="tokens: subword units; session: one recording", patch="16x16",
))  # fmt: skip


def test_honest_names_and_values_stay(tmp_path: Path) -> None:
    """Of 150 real names none is taken for a secret; 2 % would still be bearable."""
    changed = []
    for part in in_parts(HONEST):
        told = record_call(tmp_path, part)["parameters"]["value"]
        changed += [name for name in part if told[name] != part[name]]
    assert len(HONEST) >= 150
    assert changed == []


def test_honest_options_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same on a command line, where all is text."""
    texts = {name: str(value) for name, value in HONEST.items() if not isinstance(value, list)}
    joined = [f"--{name}={text}" for name, text in texts.items()]
    split = [part for name, text in texts.items() for part in (f"--{name}", text)]
    monkeypatch.setattr(sys, "argv", ["train.py", *joined, *split])
    record_call(tmp_path, 0)
    told = read(tmp_path)["environment"]["argv"]
    changed = [given for given, text in zip(sys.argv, told) if given != text]
    assert len(told) == len(sys.argv)
    assert changed == []


HONEST_MESSAGES = [
    "tokenizer = AutoTokenizer.from_pretrained(name)",
    "outputs = model(input_ids, attention_mask=mask, max_new_tokens=20)",
    "key 'layer.0.weight' is missing: check the state dict",
    'File "/home/ada/train.py", line 3, in tokenize',
    "password=None, token=None, lr=0.1",
    "Config(password=None, api_key=None)",
    "expected 10 tokens: got 12 (session: 3)",
    "see https://docs.example.org/@latest/token?page=2#auth",
]


@pytest.mark.parametrize("message", HONEST_MESSAGES)
def test_honest_messages_stay(tmp_path: Path, message: str) -> None:
    """A message that only speaks of tokens, keys and sessions is written as it is."""
    writes_of(tmp_path, act=functools.partial(fail_with, message))
    assert read(tmp_path)["error"]["message"] == message


def test_what_surrounds_a_secret_stays(tmp_path: Path) -> None:
    """Only the secret goes."""
    texts = {
        'connect(host, password="a", lr=1)': f'connect(host, password="{REDACTED}", lr=1)',
        '{"api_key": "a", "lr": 1}': f'{{"api_key": "{REDACTED}", "lr": 1}}',
        "get https://u:p@host/x now": f"get https://{REDACTED}@host/x now",
        "lr=1 password=a b=2": f"lr=1 password={REDACTED} b=2",
        "password = a b\nb = 2": f"password = {REDACTED}\nb = 2",
        "--api-key a --lr 1": f"--api-key {REDACTED} --lr 1",
        f"key ghp_{'a1' * 18}, lr=1": f"key {REDACTED}, lr=1",
    }
    assert record_call(tmp_path, list(texts))["parameters"]["value"] == list(texts.values())


def test_secrets_among_other_things(tmp_path: Path) -> None:
    """In sequences, in Kubernetes' way, under a vendor's name, in the address of a webhook."""
    hexadecimal = "3f9c1b7e5a2d4c6f8091a2b3c4d5e6f708192a3b"
    value = [
        ["tool", "--password", "hunter2", Path("x"), 3],
        ("api_key", "hunter2"),
        ["token", "end"],
        {"name": "DB_PASSWORD", "value": "hunter2"},
        {"wandb_key": hexadecimal, "github_pat": hexadecimal, "sort_key": "rate"},
    ]
    assert record_call(tmp_path, value)["parameters"]["value"] == [
        ["tool", "--password", REDACTED, "PosixPath('x')", 3],
        ["api_key", REDACTED],
        ["token", "end"],
        {"name": "DB_PASSWORD", "value": REDACTED},
        {"wandb_key": REDACTED, "github_pat": REDACTED, "sort_key": "rate"},
    ]
    hook = "https://hooks.slack.com/services/T000/B000/hunter2Zq9hunter2Zq9"
    assert "hunter2" not in str(record_call(tmp_path, [hook]))


def test_what_surrounds_a_secret_option_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a command line too."""
    given = ["--password", "a", "b", "--api-key=a b", "db.password=a", "--pad-token", "<pad>"]
    given += ["--password a", "c", "--password", "--lr", "1", "-H", "Authorization: Bearer a"]
    told = ["--password", REDACTED, "b", f"--api-key={REDACTED}", f"db.password={REDACTED}"]
    told += ["--pad-token", "<pad>", f"--password {REDACTED}", "c", "--password", "--lr", "1"]
    monkeypatch.setattr(sys, "argv", given)
    record_call(tmp_path, 0)
    assert read(tmp_path)["environment"]["argv"] == [*told, "-H", f"Authorization: {REDACTED}"]


# Repeated, these would make careless patterns try everything from everywhere.
HOSTILE_PIECES = [
    *("a", "a=", "a: ", "a://b:c", "aaa://", "a.b:", "u:p@", "u:P", "@", "--", "--a ", "api key "),
    *("password=", 'password="', "password='", "password=[", "password=(", "password=\\", " = "),
    *("password = ", "password = x = ", 'password="""', "password: a b", "token=", "token='", "'"),
    *("token: ", "sk-", "sk-a-", "eyJ-", "-eyJaaaaaaaaa.", r"\neyJaaaaaaaaa", "glpat-", "Bearer a"),
    *("-----BEGIN ", "-----BEGIN RSA PRIVATE KEY-----", "ghp_", "AKIA", '{"a": ', r"\"", "Bearer "),
]


@pytest.mark.slow
@pytest.mark.timeout(10)
@pytest.mark.parametrize("piece", HOSTILE_PIECES)
def test_redacting_takes_linear_time(piece: str) -> None:
    """What makes careless patterns backtrack takes a moment, not hours."""
    text = f"@ {piece * (2**17 // len(piece))} @"
    assert pycrumbs.redact_text(text)
    assert pycrumbs.redact_remote(text)
    assert len(pycrumbs.redact_argv(["--" + text[2:], text])) == 2


@pytest.mark.timeout(20)
@pytest.mark.slow
def test_a_huge_error_message_is_cut(tmp_path: Path) -> None:
    """A hundred megabytes of message neither delay the error nor fill the record."""
    raw = writes_of(tmp_path, act=functools.partial(fail_with, "password=a, " * 10**7))[1]
    error = read(tmp_path)["error"]
    assert error["message"].startswith(f"password={REDACTED} password={REDACTED}")
    assert max(map(len, error["traceback"])) <= pycrumbs.TEXT_LIMIT
    assert len(raw) < 10**5


# ------------------------------------------------------------------------------
# Real training
# ------------------------------------------------------------------------------

TRAINING = """
    import sys
    import torch
    from sklearn.datasets import load_digits
    from pycrumbs import tracked


    @tracked(directory_parameter="out", seed_parameter="seed", create_parents=True)
    def train(out, widths=(64, 32, 10), dropout=0.2, seed=None):
        images, labels = load_digits(return_X_y=True)
        tensors = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
        data = torch.utils.data.TensorDataset(*tensors)
        loader = torch.utils.data.DataLoader(data, batch_size=64, shuffle=True)
        first, hidden, last = widths
        layers = torch.nn.Linear(first, hidden), torch.nn.Dropout(dropout), torch.nn.ReLU()
        model = torch.nn.Sequential(*layers, torch.nn.Linear(hidden, last))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(3):
            for batch, target in loader:
                loss = torch.nn.functional.cross_entropy(model(batch), target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        torch.save(model.state_dict(), f"{out}/model.pt")
        return (model.eval()(tensors[0]).argmax(1) == tensors[1]).float().mean().item()


    for run in sys.argv[1:]:  # folder,seed
        out, seed = run.split(",")
        assert train(out, seed=int(seed) if seed else None) > 0.8
"""


def read_weights(out: Path) -> bytes:
    """The bits of all weights that a training run saved."""
    import torch

    network = torch.load(out / "model.pt")
    return b"".join(tensor.numpy().tobytes() for tensor in network.values())


@pytest.mark.integration
def test_real_training_can_be_told_and_repeated(repo: Repo, tmp_path: Path) -> None:
    """The record of a real training tells the truth, and its seed gives the same weights."""
    repo.write("train.py", TRAINING)
    commit = repo.commit()
    first, again, other = (tmp_path / name for name in ("first", "again", "other"))
    threads = {"OMP_NUM_THREADS": "1"}
    repo.run("train.py", f"{first},", env=threads)
    record = read(first)
    repo.run("train.py", f"{other},1", f"{again},{record['seed']}", env=threads)
    assert read_weights(first) == read_weights(again) != read_weights(other)
    assert record["status"] == "completed"
    assert record["result"] > 0.8
    module, environment = record["tracked_module"], record["environment"]
    assert (module["git_commit_hash"], module["git_is_dirty"]) == (commit, False)
    assert environment["argv"] == [str(repo.path / "train.py"), f"{first},"]
    assert ("gpus" in environment) == bool(shutil.which("nvidia-smi"))
    for package in ("numpy", "torch", "scikit-learn", "joblib"):
        assert record["package_inventory"][package] == importlib.metadata.version(package)
    digest = sha256(first / "model.pt")
    assert [(made["path"], made["sha256"]) for made in record["outputs"]] == [("model.pt", digest)]
    called, given = record["called_function"], {"widths": [64, 32, 10], "dropout": 0.2}
    assert called["parameters"] == {"out": str(first), **given, "seed": None}
    assert called["altered_parameters"]["seed"] == record["seed"]


@pytest.mark.integration
def test_tensors_and_frames_are_described_by_their_shape(tmp_path: Path) -> None:
    """Not by their content, which is large and belongs into an output."""
    import pandas as pd
    import torch

    frame = pd.DataFrame({"a": [1, 2, 3], "b": [4, 5, 6]})
    value = {
        "tensor": torch.zeros(3, 4),
        "parameter": torch.nn.Parameter(torch.zeros(2)),
        "size": torch.Size([3, 4]),
        "dtype": torch.float16,
        "device": torch.device("cpu"),
        "frame": frame,
        "series": frame["a"],
        "index": frame.index,
        "time": pd.Timestamp("2026-01-01"),
    }
    called = record_call(tmp_path, value)
    kinds = {path.rpartition(".")[2]: kind for path, kind in called["parameter_types"].items()}
    assert called["parameters"]["value"] == {
        "tensor": "<torch.Tensor shape (3, 4) dtype torch.float32>",
        "parameter": "<torch.nn.parameter.Parameter shape (2,) dtype torch.float32>",
        "size": [3, 4],
        "dtype": "torch.float16",
        "device": "device(type='cpu')",
        "frame": f"<{kinds['frame']} shape (3, 2)>",
        "series": f"<{kinds['series']} shape (3,) dtype int64>",
        "index": f"<{kinds['index']} shape (3,) dtype int64>",
        "time": "Timestamp('2026-01-01 00:00:00')",
    }
    assert {kinds[name].partition(".")[0] for name in value} == {"torch", "pandas"}


# ------------------------------------------------------------------------------
# Rebuilding the code
# ------------------------------------------------------------------------------


def read_files(top: Path) -> dict[str, tuple[bool, bytes]]:
    """Of each file in a tree: whether it is executable, and its content; for a link its target."""
    files = {}
    for folder, folders, names in os.walk(top):
        folders[:] = [name for name in folders if name not in (".git", "__pycache__")]
        for name in names:
            path = Path(folder, name)
            link = path.is_symlink()
            content = os.fsencode(os.readlink(path)) if link else path.read_bytes()
            runs = not link and bool(path.stat().st_mode & stat.S_IXUSR)
            files[str(path.relative_to(top))] = (runs, b"link to " + content if link else content)
    return files


def record_of(repo: Repo, out: Path, **options: Any) -> Any:
    """Run the repository's `train` in this process; return its record."""
    train = load(repo.path / "train.py").train
    tracked(literal_directory=out, **{"include_package_inventory": False, **options})(train)()
    return read(out)


def rebuild(repo: Repo, module: Any, folder: Path, *, jq: Path | None = None) -> Path:
    """A new clone at the recorded commit with the recorded patch applied."""
    environment = clean_environment(GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM="1")
    run: Any = {"env": environment, "check": True, "capture_output": True}
    clone = ("git", "-c", "protocol.file.allow=always", "clone", "-q", "--no-checkout")
    subprocess.run([*clone, repo.path, folder], **run)
    subprocess.run(["git", "checkout", "-q", module["git_commit_hash"]], cwd=folder, **run)
    if jq:
        line = "set -o pipefail; jq -r '.tracked_module.git_patch[]' \"$0\" | git apply"
        subprocess.run(["bash", "-c", line, jq], cwd=folder, **run)
    else:
        patch = "".join(f"{line}\n" for line in module["git_patch"]).encode()
        subprocess.run(["git", "apply"], cwd=folder, input=patch, **run)
    return folder


def read_storage(folder: Path) -> dict[str, tuple[bytes, int]]:
    """The bytes and time of all that a repository keeps: index, objects, refs, logs."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def dirty(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> Repo:
    """A repository with ordinary changes, and with a new module that has been imported."""
    repo.write("train.py", "def train(): pass")
    for name in ("text.txt", "moved.txt", "gone.txt"):
        repo.write(name, "".join(f"{name}, line {n}\n" for n in range(40)))
    repo.commit()
    repo.write("text.txt", "".join(f"line {n} \n" for n in range(40) if n % 9))
    repo.git("mv", "moved.txt", "moved here.txt")
    (repo.path / "gone.txt").unlink()
    new = load(repo.write("helper.py", "A = 1\n"), "helper")
    monkeypatch.setitem(sys.modules, "helper", new)
    return repo


SETTINGS: dict[str, dict[str, str]] = {  # CANARY is a program that leaves a mark
    "none": {},
    "no prefix": {"diff.noprefix": "true"},
    "mnemonic prefix": {"diff.mnemonicPrefix": "true"},
    "other prefixes": {"diff.srcPrefix": "x/", "diff.dstPrefix": "y/"},
    "external diff": {"diff.external": "CANARY"},
    "colour": {"color.ui": "always", "color.diff": "always"},
    "white space colour": {"diff.wsErrorHighlight": "all", "diff.colorMoved": "zebra"},
    "order file": {"diff.orderFile": "ORDER"},
    "no context": {"diff.context": "0"},
    "inter-hunk context": {"diff.interHunkContext": "99"},
    "relative": {"diff.relative": "true"},
    "renames and copies": {"diff.renames": "copies", "status.renames": "copies"},
    "suppress blank empty": {"diff.suppressBlankEmpty": "true"},
    "submodule log": {"diff.submodule": "log", "status.submoduleSummary": "true"},
    "ignored submodules": {"diff.ignoreSubmodules": "all"},
    "patience": {"diff.algorithm": "patience", "diff.indentHeuristic": "false"},
    "no refresh": {"diff.autoRefreshIndex": "false"},
    "status": {"status.showUntrackedFiles": "all", "status.short": "true", "status.branch": "true"},
    "plain names": {"core.quotePath": "false"},
    "short hashes": {"core.abbrev": "4", "core.preloadIndex": "false"},
    "comments": {"core.commentChar": ";", "status.displayCommentPrefix": "true"},
    "more status": {"status.showStash": "true", "status.relativePaths": "true"},
    "white space rules": {"core.whitespace": "cr-at-eol,tab-in-indent", "apply.whitespace": "fix"},
    "all files are big": {"core.bigFileThreshold": "1"},
    "pager": {"core.pager": "CANARY", "pager.diff": "CANARY", "pager.status": "CANARY"},
    "monitor": {"core.fsmonitor": "CANARY"},
    "hooks": {"core.hooksPath": "HOOKS"},
    "aliases": {"alias.diff": "!CANARY", "alias.status": "!CANARY", "alias.ls-files": "!CANARY"},
    "many files": {"feature.manyFiles": "true", "core.untrackedCache": "true"},
    "lax stat": {"core.checkStat": "minimal", "core.trustctime": "false"},
    "stat ignored": {"core.ignoreStat": "true"},
    "ignored case": {"core.ignoreCase": "true", "core.precomposeUnicode": "true"},
    "carriage returns": {"core.autocrlf": "true", "core.safecrlf": "true"},
    "carriage returns in": {"core.autocrlf": "input", "core.safecrlf": "warn"},
    "carriage returns out": {"core.eol": "crlf"},
    "editors": {"core.editor": "CANARY", "core.askPass": "CANARY", "diff.tool": "CANARY"},
    "transports": {"core.sshCommand": "CANARY", "core.gitProxy": "CANARY"},
}
ATTRIBUTES = {
    "all binary": "* -diff", "all text": "* diff", "a driver": "* diff=evil",
    "a merge driver": "* merge=evil", "carriage returns": "*.txt text eol=crlf",
    "automatic text": "* text=auto", "ident": "*.txt ident", "filter": "* filter=evil",
    "filter process": "* filter=worse", "white space": "* whitespace=trailing-space,cr-at-eol",
}  # fmt: skip
DRIVERS = {  # that attributes can name
    "diff.evil.command": "CANARY", "diff.evil.textconv": "CANARY",
    "diff.evil.cachetextconv": "true", "diff.evil.wordRegex": "x",
    "merge.evil.driver": "CANARY", "filter.evil.clean": "CANARY",
    "filter.evil.smudge": "CANARY", "filter.evil.required": "true",
    "filter.worse.process": "CANARY", "filter.worse.required": "true",
}  # fmt: skip
ENVIRONMENT = {  # OTHER is another repository
    "GIT_EXTERNAL_DIFF": "CANARY", "GIT_DIFF_OPTS": "--unified=0", "GIT_PAGER": "CANARY",
    "GIT_DIR": "OTHER/.git", "GIT_WORK_TREE": "OTHER", "GIT_INDEX_FILE": "OTHER/.git/index",
    "GIT_OBJECT_DIRECTORY": "OTHER/.git/objects", "GIT_COMMON_DIR": "OTHER/.git",
    "GIT_SHALLOW_FILE": "OTHER/train.py", "GIT_CONFIG": "OTHER/.git/config",
    "GIT_PREFIX": "no/such/", "GIT_NAMESPACE": "other", "GIT_ATTR_SOURCE": "HEAD",
    "GIT_LITERAL_PATHSPECS": "0", "GIT_ICASE_PATHSPECS": "1",
    "GIT_CONFIG_PARAMETERS": "'diff.noprefix'='true'", "GIT_TRACE": "1",
}  # fmt: skip


def be_hostile(repo: Repo, tmp_path: Path, settings: dict[str, str], attributes: str = "") -> Path:
    """Give a repository these settings; return the mark that CANARY would leave."""
    mark = tmp_path / "canary ran"
    canary, hooks, order = tmp_path / "canary", tmp_path / "hooks", tmp_path / "order"
    canary.write_text(f"#!/bin/sh\ntouch '{mark}'\necho canary\n", encoding="utf-8")
    canary.chmod(0o755)
    order.write_text("*.sh\ntext.txt\n", encoding="utf-8")
    hooks.mkdir()
    for hook in ("post-index-change", "post-checkout", "reference-transaction", "pre-commit"):
        shutil.copy(canary, hooks / hook)
        shutil.copy(canary, repo.path / ".git/hooks" / hook)
    values = {"CANARY": str(canary), "!CANARY": f"!{canary}"}
    values.update(HOOKS=str(hooks), ORDER=str(order))
    for key, value in settings.items():
        repo.git("config", key, values.get(value, value))
    if attributes:
        (repo.path / ".git/info").mkdir(exist_ok=True)
        (repo.path / ".git/info/attributes").write_text(attributes, encoding="utf-8")
    return mark


def check_rebuilt(repo: Repo, module: Any, folder: Path, **left_out: str) -> None:
    """What the record rebuilds must be all there is, but for the files that it names as left out."""
    rebuilt, files = read_files(rebuild(repo, module, folder)), read_files(repo.path)
    told = [name_left_out(repo.path / name, why) for name, why in left_out.items()]
    assert module.get("git_patch_omitted", "left out: ") == f"left out: {'; '.join(told)}"
    for name in left_out:
        rebuilt.pop(name, None)
        del files[name]
    assert rebuilt == files


def name_left_out(path: Path, why: str) -> str:
    """How a record names a file that isn't in its patch."""
    return f"{path.name} ({why}; {path.stat().st_size} bytes, sha256 {sha256(path)})"


@dataclasses.dataclass
class Odd:
    """A kind of change: files before and after it, and shell commands that follow on each."""

    old: dict[str, bytes] = dataclasses.field(default_factory=dict)
    new: dict[str, bytes] = dataclasses.field(default_factory=dict)
    setup: str = ""
    act: str = ""
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)


QUOTED_NAMES = [
    "with space.txt", 'quo"te.txt', "tab\there.txt", "new\nline.txt", "back\\slash.txt",
    "\u00fc\u2028.txt", os.fsdecode(b"caf\xe9.txt"), "-dash.txt", ":(top)magic.txt", "[g]lob*.txt",
]  # fmt: skip
NOT_UTF_8, SECRETIVE = "not UTF-8", "what looks like a secret"
ODDITIES = {
    "line ends": Odd(
        {"crlf.txt": b"one\r\ntwo\r\n", "mixed.txt": b"one\r\ntwo\nthree\r\r\nfour\rfive\n"},
        {"crlf.txt": b"one\r\n2\r\n3\r\n", "mixed.txt": b"one\ntwo\r\nthree\r\r\n4\rfive\x0c\n\n \n"},
    ),
    "no newline at the end": Odd({"a": b"none", "b": b"one\n"}, {"a": b"one\n", "b": b"none"}),
    "filled and emptied": Odd({"a": b"", "b": b"full\n"}, {"a": b"full\n", "b": b""}),
    "white space": Odd({"a/b/c/d.txt": b"deep\n"}, {"a/b/c/d.txt": b"deep \t\n\tdown  \n"}),
    "text like a patch": Odd(
        {"a": b"a\n"},
        {"a": b"a\ndiff --git a/x b/x\n--- a/x\n+++ b/x\n-- \n\\ No newline at end of file\n"},
    ),
    "odd names": Odd(dict.fromkeys(QUOTED_NAMES, b"old\n"), dict.fromkeys(QUOTED_NAMES, b"new\nnew\n")),
    "binary": Odd(
        {"a.bin": bytes(range(256)) * 8, "b": b"a\0b\n", "c.bin": bytes(range(255, -1, -1)) * 8},
        {"a.bin": bytes(range(256)) * 8 + b"\0more", "b": b"a\0b\n\0\n", "d.bin": b"\0\1\2"},
        act="rm c.bin; git add d.bin",
    ),
    "NUL in what is told to be text": Odd(
        {"nul.txt": b"a\0b\n"}, {"nul.txt": b"a\0b\n\0\n"},
        setup="echo '*.txt diff' > .git/info/attributes",
    ),
    "an identifier": Odd({"id": b"$Id$\n"}, {"id": b"$Id$\n$Id: spelt out $\n"}),
    "modes": Odd(
        {"on": b"#!/bin/sh\n", "off": b"#!/bin/sh\n", "both": b"#!/bin/sh\n"},
        {"both": b"#!/bin/sh\necho\n"},
        setup="chmod +x off", act="chmod +x on both; chmod -x off",
    ),
    "moved": Odd({"a.txt": b"as it is\n" * 20}, act="git mv a.txt 'a b.txt'"),
    "deleted": Odd({"a": b"a\n", "b": b"b\n"}, act="rm a; git rm -q b"),
    "links": Odd(
        {"file": b"a file\n"}, setup="ln -s a link; ln -s file gone; ln -s file other",
        act="ln -sf b link; rm gone other file; echo 1 > other; ln -s b file; ln -s c d; git add d",
    ),
    "a file for a folder": Odd(
        {"a/1": b"1\n", "a/2": b"2\n", "b": b"a file\n"},
        act="rm -r a b; echo 1 > a; mkdir b; echo 1 > b/c; git add a b",
    ),
    "staged": Odd(
        {"a": b"old\n"}, {"a": b"staged\n", "b": b"new\r\n", "c": b""},
        act="chmod +x c; git add .; echo again > a",
    ),
    "to be added": Odd(new={"a": b"later\r\n"}, act="git add --intent-to-add a"),
    "not UTF-8": Odd(
        {"a": b"caf\xe9\n", "b": b"old\n", "c": b"old\n"},
        {"a": b"caf\xe9 \xff\n", "b": b"\xff\n", "c": b"new\n", "e": b"\xe9\n"},
        act="git add e", left_out=dict.fromkeys("abe", NOT_UTF_8),
    ),
    "secrets": Odd(
        {"a": b"x = 1\n", "b": b"password = 'hunter2hunter2'\n", "c": b"x = 1\n"},
        {"a": b"password = 'hunter2hunter2'\n", "b": b"x = 1\n", "c": b"x = 2\n"},
        left_out=dict.fromkeys("ab", SECRETIVE),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ODDITIES)
def test_patch_is_exact(repo: Repo, tmp_path: Path, name: str) -> None:
    """A file is in it whole, or named with the reason, its size and its hash."""
    odd = ODDITIES[name]
    repo.write("train.py", "def train(): pass")
    for files, commands in ((odd.old, odd.setup), (odd.new, odd.act)):
        for file, content in files.items():
            repo.write(file).write_bytes(content)
        subprocess.run(["sh", "-ec", commands], cwd=repo.path, check=True)
        if files is odd.old:
            repo.commit()
    module = record_of(repo, tmp_path / "out")["tracked_module"]
    assert module["git_is_dirty"] is True
    check_rebuilt(repo, module, tmp_path / "new", **odd.left_out)


@pytest.mark.parametrize("content", [b"na\xefve\n", b"password = 'hunter2hunter2'\n"])
def test_a_deleted_file_that_is_left_out(repo: Repo, tmp_path: Path, content: bytes) -> None:
    """It is named; there is nothing to be hashed."""
    repo.write("train.py", "def train(): pass")
    repo.write("old.ini").write_bytes(content)
    repo.commit()
    (repo.path / "old.ini").unlink()
    module = record_of(repo, tmp_path / "out")["tracked_module"]
    why = NOT_UTF_8 if content[:1] == b"n" else SECRETIVE
    assert module["git_patch_omitted"].startswith(f"left out: old.ini ({why}")


@pytest.mark.parametrize(
    ("settings", "attributes"),
    [
        *(pytest.param(settings, "", id=name) for name, settings in SETTINGS.items()),
        *(
            pytest.param(DRIVERS, text, id=f"attributes: {name}")
            for name, text in ATTRIBUTES.items()
        ),
    ],
)
@pytest.mark.slow
def test_patch_is_exact_under_any_settings(
    dirty: Repo, tmp_path: Path, settings: dict[str, str], attributes: str
) -> None:
    """The commit and the patch give the very same files; nothing is run, and git only read."""
    mark = be_hostile(dirty, tmp_path, settings, attributes)
    before = read_storage(dirty.path / ".git")
    module = record_of(dirty, tmp_path / "out")["tracked_module"]
    assert read_storage(dirty.path / ".git") == before
    assert not mark.exists()
    check_rebuilt(dirty, module, tmp_path / "rebuilt")


@pytest.mark.parametrize("name", ENVIRONMENT)
@pytest.mark.slow
def test_patch_is_exact_under_any_environment(
    dirty: Repo, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables that are meant for git, left by a hook or a shell, change nothing."""
    other = Repo(tmp_path / "other")
    other.write("train.py", "another")
    other.commit()
    mark = be_hostile(dirty, tmp_path, {})
    value = ENVIRONMENT[name].replace("CANARY", str(tmp_path / "canary"))
    with monkeypatch.context() as patched:
        patched.setenv(name, value.replace("OTHER", str(other.path)))
        module = record_of(dirty, tmp_path / "out")["tracked_module"]
    assert not mark.exists()
    check_rebuilt(dirty, module, tmp_path / "rebuilt")


def test_the_repository_is_only_read(dirty: Repo, tmp_path: Path) -> None:
    """Not a byte, a time or a name changes in .git, although the index could be refreshed."""
    os.utime(dirty.path / "train.py", (1, 1))
    before = read_storage(dirty.path / ".git")
    record_of(dirty, tmp_path / "out")
    assert read_storage(dirty.path / ".git") == before
    dirty.git("status")
    assert read_storage(dirty.path / ".git") != before, "the index was not worth refreshing"


def test_jq_and_git_apply_rebuild_the_tree(tmp_path: Path, dirty: Repo) -> None:
    """The command line of the README works as it stands there, odd bytes and all."""
    (dirty.path / ".git/info/attributes").write_text("*.txt diff\n", encoding="utf-8")
    dirty.write("text.txt", "a\0b \u2028\u00fc\r\n")
    module = record_of(dirty, tmp_path / "out")["tracked_module"]
    assert any("\0" in line for line in module["git_patch"])
    folder = rebuild(dirty, module, tmp_path / "new", jq=tmp_path / "out/train_record.json")
    assert read_files(folder) == read_files(dirty.path)


def test_patch_of_first_files(repo: Repo, tmp_path: Path) -> None:
    """Before the first commit the patch holds all that is staged, and the source."""
    repo.write("staged.bin").write_bytes(b"\0\1")
    repo.git("add", ".")
    repo.write("train.py", "def train(): pass")
    module = record_of(repo, tmp_path / "out")["tracked_module"]
    assert "git_commit_hash" not in module
    folder = Repo(tmp_path / "new").path
    patch = "".join(f"{line}\n" for line in module["git_patch"]).encode()
    subprocess.run(["git", "apply"], cwd=folder, input=patch, check=True)
    assert read_files(folder) == read_files(repo.path)


def test_patch_of_a_merge_in_progress(repo: Repo, tmp_path: Path) -> None:
    """Conflicts of every kind are recorded as they lie there."""
    for name in ("both", "we_delete", "they_delete", "rename", "clean"):
        repo.write(name, "a\nb\nc\n")
    repo.write("train.py", "def train(): pass")
    repo.commit()
    for branch, gone in (("theirs", "they_delete"), ("main", "we_delete")):
        repo.git("checkout", "--quiet", "-B", branch, *(["HEAD^"] if branch == "main" else []))
        for name in {"both", "they_delete", "we_delete", "added"} - {gone}:
            repo.write(name, f"a\n{branch}\nc\n")
        repo.git("rm", "--quiet", gone)
        repo.git("mv", "rename", f"renamed_{branch}")
        repo.commit()
    repo.git("merge", "theirs", check=False)
    assert repo.git("ls-files", "--unmerged")
    check_rebuilt(repo, record_of(repo, tmp_path / "out")["tracked_module"], tmp_path / "new")


@pytest.fixture
def with_submodules(repo: Repo, tmp_path: Path) -> Repo:
    """A repository with two submodules, committed and clean."""
    library = Repo(tmp_path / "library")
    library.write("lib.py", "A = 1")
    library.commit()
    repo.write("train.py", "def train(): pass")
    add = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add")
    for name in ("moved", "kept"):
        repo.git(*add, str(library.path), name)
    repo.commit()
    return repo


def test_submodule_on_another_commit(with_submodules: Repo, tmp_path: Path) -> None:
    """The patch names a submodule's new commit, and the record says that git apply ignores it."""
    commit = Repo(with_submodules.path / "moved").commit()
    with_submodules.git("config", "diff.submodule", "diff")
    with_submodules.write("train.py", "def train(): return 1")
    module = record_of(with_submodules, tmp_path / "out")["tracked_module"]
    assert f"+Subproject commit {commit}" in module["git_patch"]
    assert module["git_patch_omitted"] == (
        "left out: the submodule moved (its commit is in the patch, but git apply doesn't check "
        "it out)"
    )
    folder = rebuild(with_submodules, module, tmp_path / "new")
    assert (folder / "train.py").read_text(encoding="utf-8") == "def train(): return 1"


@pytest.mark.parametrize(("command", "dirty", "said"), [
    ("touch new.txt", False, None),
    ("echo A = 3 > lib.py", True, "what is uncommitted inside the submodule kept"),
    ("rm lib.py", True, "what is uncommitted inside the submodule kept"),
    ("echo A = 3 > new.py", False, "what is uncommitted inside the submodule kept"),
    ("git commit -q --allow-empty -m 2", True, "the submodule kept (its commit is in the patch,"),
])  # fmt: skip
@pytest.mark.parametrize("config", ["", "diff.ignoreSubmodules", "submodule.kept.ignore"])
@pytest.mark.slow
def test_submodule_with_changes(
    with_submodules: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    command: str, dirty: bool, said: str | None, config: str,
) -> None:  # fmt: skip
    """What is uncommitted inside a submodule is said; of untracked files, those that ran."""
    kept = Repo(with_submodules.path / "kept")
    subprocess.run(command, shell=True, cwd=kept.path, check=True)
    if config:
        with_submodules.git("config", config, "all")
    if "new.py" in command:
        monkeypatch.setitem(sys.modules, "new", load(kept.path / "new.py"))
    module = record_of(with_submodules, tmp_path / "out")["tracked_module"]
    assert module["git_is_dirty"] is dirty
    assert module.get("git_patch_omitted", "").startswith(f"left out: {said}" if said else "")
    assert ("git_patch_omitted" in module) is bool(said)
    state = git_state(kept.path / "lib.py")
    assert state["git_working_dir"] == str(kept.path)
    assert state["git_commit_hash"] == kept.git("rev-parse", "HEAD")


def test_submodule_that_git_refuses(with_submodules: Repo, tmp_path: Path) -> None:
    """A submodule that can't be looked into is no reason not to run, but is said."""
    (with_submodules.path / "kept/.git").write_text("gitdir: /nowhere", encoding="utf-8")
    with_submodules.git("config", "diff.ignoreSubmodules", "all")
    module = record_of(with_submodules, tmp_path / "out")["tracked_module"]
    said = "left out: what may be uncommitted inside the submodule kept ("
    assert module["git_patch_omitted"].startswith(said)


@pytest.mark.parametrize("driver", ["filter.evil.clean", "filter.evil.process"])
@pytest.mark.slow
def test_programs_of_a_submodule_do_not_run(
    with_submodules: Repo, tmp_path: Path, driver: str
) -> None:
    """Not only the outer repository's own settings name programs."""
    inner = Repo(with_submodules.path / "kept")
    (tmp_path / "canary").touch()
    with_submodules.git("config", "core.fsmonitor", "false")
    mark = be_hostile(with_submodules, tmp_path, {})
    inner.git("config", driver, str(tmp_path / "canary"))
    inner.git("config", "core.fsmonitor", str(tmp_path / "canary"))
    inner.write("lib.py", "A = 22")
    info = Path(inner.git("rev-parse", "--path-format=absolute", "--git-path", "info/attributes"))
    info.parent.mkdir(exist_ok=True)
    info.write_text("* filter=evil", encoding="utf-8")
    mark.unlink(missing_ok=True)
    assert record_of(with_submodules, tmp_path / "out")["tracked_module"]["git_is_dirty"] is True
    assert not mark.exists()


def test_partial_clone_fetches_nothing(repo: Repo, tmp_path: Path) -> None:
    """What a partial clone lacks is not fetched, as that runs a program that its settings name."""
    repo.write("train.py", "def train(): pass")
    repo.write("lacking.txt", "old")
    repo.commit()
    blob = repo.git("rev-parse", "HEAD:lacking.txt")
    (repo.path / ".git/objects" / blob[:2] / blob[2:]).unlink()
    repo.write("lacking.txt", "new")
    settings = {"core.repositoryFormatVersion": "1", "extensions.partialClone": "origin"}
    settings.update({"remote.origin.promisor": "true", "remote.origin.url": str(tmp_path)})
    mark = be_hostile(repo, tmp_path, {**settings, "remote.origin.uploadpack": "CANARY"})
    module = record_of(repo, tmp_path / "out")["tracked_module"]
    assert not mark.exists()
    assert module["git_patch_omitted"].startswith("left out: all of it (")


def test_a_users_own_filter_runs(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filter of the user's global settings, as git-lfs is one, works even if repeated."""
    home = tmp_path / "gitconfig"
    home.write_text('[filter "upper"]\nclean = tr a-z A-Z\nrequired\n', encoding="utf-8")
    repo.write("train.py", "def train(): pass")
    repo.write("data.txt", "OLD")
    repo.write(".gitattributes", "data.txt filter=upper")
    repo.commit()
    mark = be_hostile(repo, tmp_path, {"filter.upper.clean": "CANARY"})
    repo.write("data.txt", "new")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home))
    module = record_of(repo, tmp_path / "out")["tracked_module"]
    assert [line for line in module["git_patch"] if line[1:] in ("OLD", "NEW")] == ["-OLD", "+NEW"]
    assert not mark.exists()


def test_filter_that_cannot_be_switched_off(repo: Repo, tmp_path: Path) -> None:
    """A filter with such a name can't be overridden on git's command line."""
    repo.write("train.py", "def train(): pass")
    repo.commit()
    repo.git("config", "filter.a=b.clean", "cat")
    with pytest.raises(RuntimeError, match=r"filter\.a=b\.clean in .* can't be switched off"):
        record_of(repo, tmp_path / "out")


def test_index_that_is_locked(dirty: Repo, tmp_path: Path) -> None:
    """Another git at work, or one that died, is in nobody's way."""
    (dirty.path / ".git/index.lock").touch()
    before = read_storage(dirty.path / ".git")
    module = record_of(dirty, tmp_path / "out")["tracked_module"]
    assert read_storage(dirty.path / ".git") == before
    check_rebuilt(dirty, module, tmp_path / "new")


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_changes_that_git_is_told_not_to_see(repo: Repo, tmp_path: Path, flag: str) -> None:
    """The code that ran is recorded, also where git was told not to look."""
    names = ["sub folder/config.py", ":(top)x", "added.py"]
    repo.write("train.py", "def train(): pass")
    for name in names:
        repo.write(name, "A = 1")
        if name == ":(top)x":
            repo.commit()
    repo.git("add", ".")
    repo.git("--literal-pathspecs", "update-index", flag, "train.py", *names)
    for name in names:
        repo.write(name, "A = 2").chmod(0o755 if "sub" in name else 0o644)
    module = record_of(repo, tmp_path / "out")["tracked_module"]
    check_rebuilt(repo, module, tmp_path / "new")


def test_many_files_that_git_is_told_not_to_see(repo: Repo, tmp_path: Path) -> None:
    """Too many to be compared, they are said to be there."""
    repo.write("train.py", "def train(): pass")
    names = [repo.write(f"{number}.txt", "").name for number in range(101)]
    repo.commit()
    repo.git("update-index", "--assume-unchanged", *names)
    module = record_of(repo, tmp_path / "out")["tracked_module"]
    said = "what may be changed in 101 files that are marked assume-unchanged or skip-worktree"
    assert module["git_patch_omitted"] == f"left out: {said}"


def test_file_modes_that_git_ignores(dirty: Repo, tmp_path: Path) -> None:
    """With core.fileMode off, changed modes can't be told, and that is told."""
    dirty.git("config", "core.fileMode", "false")
    module = record_of(dirty, tmp_path / "out")["tracked_module"]
    said = "left out: changed file modes, if any (core.fileMode is false)"
    assert module.pop("git_patch_omitted") == said
    check_rebuilt(dirty, module, tmp_path / "new")


@pytest.mark.slow
def test_more_files_than_a_command_line_holds(repo: Repo, tmp_path: Path) -> None:
    """They are in one patch all the same, and git's warning of each fills no pipe."""
    repo.write("train.py", "def train(): pass")
    names = [f"{number:030}.txt" for number in range(700)]
    for content in ("old\r\n", "new\r\n"):
        for name in names:
            repo.write(name).write_bytes(content.encode())
        repo.write("a_record.json", f'{{"pycrumbs": {content!r}}}'.replace("'", '"'))
        if content == "old\r\n":
            repo.git("config", "core.autocrlf", "input")
            repo.commit()
    module = record_of(repo, tmp_path / "out")["tracked_module"]
    assert module["git_patch_omitted"] == "left out: the record a_record.json"
    assert files_in(module["git_patch"]) == names


def test_another_worktree(repo: Repo, tmp_path: Path) -> None:
    """The tree that the source lies in counts, not the one that `.git` lies in."""
    repo.write("train.py", "def train(): pass")
    repo.commit()
    repo.git("worktree", "add", "--quiet", str(tmp_path / "tree"))
    (tmp_path / "tree/train.py").write_text("def train(): return 1", encoding="utf-8")
    tree = Repo.__new__(Repo)
    tree.path = tmp_path / "tree"
    module = record_of(tree, tmp_path / "out")["tracked_module"]
    assert module["git_working_dir"] == str(tmp_path / "tree")
    assert module["git_active_branch"] == "tree"
    assert "+def train(): return 1" in module["git_patch"]


# ------------------------------------------------------------------------------
# New and large files
# ------------------------------------------------------------------------------

SCRIPT = """
import sys
from pycrumbs import tracked

@tracked(literal_directory=sys.argv[1], include_package_inventory=False)
def main():
    pass

"""
LAZY = """
import importlib.util
spec = importlib.util.find_spec("lazy")
spec.loader = importlib.util.LazyLoader(spec.loader)
lazy = importlib.util.module_from_spec(spec)
sys.modules["lazy"] = lazy
spec.loader.exec_module(lazy)
sys.modules["forbidden"] = None
"""


def files_in(patch: Sequence[str]) -> list[str]:
    """The names of the files that a patch changes."""
    return [line.split(" b/")[1] for line in patch if line.startswith("diff --git ")]


@pytest.mark.parametrize("through", ["repo", "link", "link/pkg/.."])
@pytest.mark.slow
def test_new_sources_that_ran_are_in_the_patch(repo: Repo, tmp_path: Path, through: str) -> None:
    """The script, modules and packages that it imports; no data, no secrets, nothing unused."""
    repo.write("old.py")
    repo.commit()
    imports = "sys.path.insert(0, sys.argv[2])\nimport helper, pkg.module, sub.name.space, old\n"
    repo.write("main.py", SCRIPT + imports + LAZY + "main()\nprint(type(lazy).__name__)")
    repo.write("lazy.py", "raise SystemExit('woken')")
    for name in ("helper.py", "pkg/__init__.py", "pkg/module.py", "sub/name/space.py"):
        repo.write(name)
    for name in ("unused.py", "data.csv", ".env", "helper.txt"):
        repo.write(name, "secret")
    (tmp_path / "link").symlink_to("repo")
    folder = str(tmp_path / through)
    done = run_python(f"{folder}/main.py", str(tmp_path / "out"), folder, cwd=tmp_path)
    assert done.stdout == "_LazyModule\n"
    module = read(tmp_path / "out")["tracked_module"]
    ran = ["helper.py", "lazy.py", "main.py", "pkg/__init__.py", "pkg/module.py"]
    assert files_in(module["git_patch"]) == [*ran, "sub/name/space.py"]
    assert module["git_is_dirty"] is False
    assert "git_patch_omitted" not in module
    rebuilt = read_files(rebuild(repo, module, tmp_path / "new"))
    assert rebuilt == {name: read_files(repo.path)[name] for name in rebuilt}


def test_a_script_without_a_suffix(repo: Repo, tmp_path: Path) -> None:
    """A new program is in the patch by any name, mode and all, also if it only calls others."""
    repo.write("job.py", SCRIPT)
    repo.commit()
    repo.write("train", "#!/usr/bin/env python\nimport job\njob.main()").chmod(0o755)
    repo.run("train", str(tmp_path / "out"))
    module = read(tmp_path / "out")["tracked_module"]
    check_rebuilt(repo, module, tmp_path / "new")


def test_a_source_that_left_the_index_but_ran(repo: Repo, tmp_path: Path) -> None:
    """Files that git was told to forget are deleted in the patch, but for sources in use."""
    repo.write("train.py", "def train(): pass")
    repo.write("other.py", "A = 1")
    repo.write("data.csv", "1")
    repo.write("gone.csv", "1")
    repo.commit()
    repo.git("rm", "--quiet", "--cached", "train.py", "data.csv", "gone.csv")
    (repo.path / "gone.csv").unlink()
    repo.write("train.py", "def train(): return 1")
    module = record_of(repo, tmp_path / "out")["tracked_module"]
    assert module.pop("git_patch_omitted") == (
        "left out: what may be read of data.csv, which git no longer tracks"
    )
    (repo.path / "data.csv").unlink()
    check_rebuilt(repo, module, tmp_path / "new")


def test_ignored_module_is_said(repo: Repo, tmp_path: Path) -> None:
    """What git is told to ignore may be secret: it is named and not copied."""
    repo.write(".gitignore", "_version.py\nenv/\n")
    repo.commit()
    repo.write("_version.py", "key = 'secret'")
    repo.write("env/lib/site-packages/installed.py")
    Repo(repo.path / "cloned").write("other.py")
    path = "sys.path += ['env/lib/site-packages', 'cloned']\n"
    repo.write("main.py", SCRIPT + path + "import _version, installed, other\nmain()")
    repo.run("main.py", str(tmp_path / "out"))
    module = read(tmp_path / "out")["tracked_module"]
    assert module["git_patch_omitted"] == (
        "left out: the ignored _version.py; the ignored cloned/other.py"
    )
    assert files_in(module["git_patch"]) == ["main.py"]


def test_code_that_lies_in_no_file(repo: Repo, tmp_path: Path) -> None:
    """Standard input as a script, and a module with an odd `__file__`, are no files of the tree."""
    repo.write("train.py", "def train(): pass")
    repo.commit()
    code = "import sys, types\nm = sys.modules['odd'] = types.ModuleType('odd')\n"
    code += f"m.__file__ = {str(repo.path / 'odd.py')!r}\nimport train\n"
    code += "from pycrumbs import get_git_info\nprint(get_git_info('train'))"
    command = [sys.executable, "-"]
    environment = clean_environment(PYTHONPATH=f"{HERE}{os.pathsep}{repo.path}")
    environment["PYTHONPATH"] += os.pathsep + str(Path(pycrumbs.__file__).parent)
    done = subprocess.run(
        command, input=code, cwd=repo.path, env=environment, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert "git_patch" not in done.stdout


LARGE = 10 * 2**20


@pytest.mark.parametrize("change", ["grown", "shrunk", "deleted", "added", "text"])
@pytest.mark.slow
def test_large_file_is_omitted_and_said(repo: Repo, tmp_path: Path, change: str) -> None:
    """However it changed, the rest of the patch is there; and nobody waits for git's delta."""
    repo.write("train.py", "def train(): pass")
    noise = os.urandom(LARGE) if change != "text" else b"some text\n" * (LARGE // 10)
    before, after = {
        "grown": (b"small", noise),
        "shrunk": (noise, b"small"),
        "deleted": (noise, None),
        "added": (None, noise),
        "text": (b"small", noise),
    }[change]
    for content in (before, after):
        if content is None:
            (repo.path / "large").unlink(missing_ok=True)
        else:
            repo.write("large").write_bytes(content)
        repo.git("add", ".")
        if content is before:
            repo.commit()
    repo.write("train.py", "def train(): return 1")
    module = record_of(repo, tmp_path / "out")["tracked_module"]
    assert re.fullmatch(r"left out: large \(.*over the 4\.0 MiB.*\)", module["git_patch_omitted"])
    assert after is None or sha256(repo.path / "large") in module["git_patch_omitted"]
    assert files_in(module["git_patch"]) == ["train.py"]


def test_much_in_many_files(repo: Repo, tmp_path: Path) -> None:
    """Where all together is too much, the smallest are kept, and the others named."""
    repo.write("train.py", "def train(): pass")
    for number in range(3):
        repo.write(f"{number}.bin").write_bytes(b"")
    repo.commit()
    repo.write("train.py", "def train(): return 1")
    for number in range(3):
        repo.write(f"{number}.bin").write_bytes(os.urandom(2 * 2**20))
    module = record_of(repo, tmp_path / "out")["tracked_module"]
    told = r"(\d)\.bin \(over the 4\.0 MiB of a patch; 2\.0 MiB, sha256 \w{64}\)"
    omitted = re.fullmatch(f"left out: {told}; {told}", module["git_patch_omitted"])
    assert omitted
    (kept,) = {"0", "1", "2"} - {*omitted.groups()}
    assert files_in(module["git_patch"]) == [f"{kept}.bin", "train.py"]


@pytest.mark.slow
def test_too_much_in_small_files(repo: Repo, tmp_path: Path) -> None:
    """As many as there is room for are kept; a list of reasons has an end."""
    repo.write("train.py", "def train(): pass")
    for number in range(70):
        repo.write(f"{number}.bin").write_bytes(os.urandom(2**16))
    for number in range(101):
        repo.write(f"{number}_record.json", '{"pycrumbs": "0"}')
    repo.commit()
    for number in range(70):
        repo.write(f"{number}.bin").write_bytes(b"")
    module = record_of(repo, tmp_path / "out")["tracked_module"]
    told = re.findall(r"(\d+)\.bin \(over the 4\.0 MiB of a patch; ", module["git_patch_omitted"])
    kept = {name.partition(".")[0] for name in files_in(module["git_patch"])}
    assert kept | {*told} == {str(number) for number in range(70)}
    assert 0 < len(told) < 30
    repo.git("checkout", ".")
    for number in range(101):
        repo.write(f"{number}_record.json", '{"pycrumbs": "1"}')
    module = record_of(repo, tmp_path / "out2")["tracked_module"]
    assert module["git_patch_omitted"].count("; ") == 100
    assert module["git_patch_omitted"].endswith("; 1 more")


def test_patches_of_committed_records_do_not_nest(repo: Repo, tmp_path: Path) -> None:
    """A record in the repository isn't in the patch of the next one, nor does it stop growing."""
    repo.write("train.py", "def train(): pass")
    repo.write("other.txt", "old")
    record_of(repo, repo.path / "out")
    repo.commit()
    repo.write("other.txt", "new")
    for _ in range(3):
        module = record_of(repo, repo.path / "out")["tracked_module"]
        assert files_in(module["git_patch"]) == ["other.txt"]
    assert module["git_patch_omitted"] == "left out: the record out/train_record.json"


def test_a_new_module_that_the_function_imports(repo: Repo) -> None:
    """It is in the patch of the run that imports it, and of those after."""
    repo.write(
        "work.py",
        """
        from pycrumbs import tracked

        @tracked(directory_parameter="out", include_package_inventory=False)
        def work(out):
            import helper

        work("first")
        work("second")
        """,
    )
    repo.commit()
    repo.write("helper.py", "X = 1\n")
    repo.run("work.py")
    for name in ("first", "second"):
        state = read(repo.path / name)["tracked_module"]
        assert (state["git_is_dirty"], "+X = 1" in state.get("git_patch", [])) == (False, True)


LATE = """
import os, subprocess
from pathlib import Path
from pycrumbs import tracked

@tracked(literal_directory="out", include_package_inventory=False)
def work():
    {}

work()
"""


LATE_SAID = "the changes of {} after the run began, and before it was loaded"


@pytest.mark.parametrize(("lines", "omitted"), [
    ("Path('old.py').write_text('X = 2'); import old", LATE_SAID.format("old.py")),
    ("Path('dirty.py').write_text('X = 1\\n'); import dirty", LATE_SAID.format("dirty.py")),
    ("subprocess.run(['git', 'add', 'helper.py']); "
     "subprocess.run(['git', 'commit', '-qm', '2']); import helper, old",
     r"what may be other in helper\.py, old\.py by a commit made meanwhile"),
    ("os.environ['PATH'] = '/nowhere'; import helper",
     r"whatever isn't committed of helper.py, loaded later \(unavailable: .*"),
], ids=["edited", "reverted", "committed", "no git in the end"])  # fmt: skip
def test_sources_that_are_loaded_as_the_run_goes_on(repo: Repo, lines: str, omitted: str) -> None:
    """Where the patch can't hold them as they were loaded, the record says so."""
    repo.write("work.py", LATE.format(lines))
    repo.write("old.py", "X = 1\n")
    repo.write("dirty.py", "X = 1\n")
    repo.commit()
    repo.write("helper.py", "X = 1\n")
    repo.write("dirty.py", "password = 'hunter2hunter2'\n")
    repo.run("work.py")
    module = read(repo.path / "out")["tracked_module"]
    first = r"dirty\.py \(what looks like a secret; 28 bytes, sha256 \w{64}\)"
    assert re.fullmatch(f"left out: {first}; {omitted}", module["git_patch_omitted"])


def test_a_module_that_is_a_link(repo: Repo) -> None:
    """The file that a new link leads to is in the patch, too."""
    repo.write("work.py", "import helper\nfrom pycrumbs import tracked\n" + WORK)
    repo.commit()
    repo.write("real/helper.py", "X = 1\n")
    (repo.path / "helper.py").symlink_to("real/helper.py")
    run_python("-c", "import work; work.work()", cwd=repo.path)
    module = read(repo.path / "out")["tracked_module"]
    assert set(files_in(module["git_patch"])) == {"helper.py", "real/helper.py"}


def test_a_partial_clone_with_something_staged(repo: Repo, tmp_path: Path) -> None:
    """What git would have to fetch to tell its size stops no run."""
    repo.write("train.py", "def train(): pass")
    repo.commit()
    repo.write("data.txt", "1")
    repo.commit()
    repo.git("config", "uploadpack.allowFilter", "true")
    clone = Repo(tmp_path / "clone")
    source = ("clone", "--quiet", "--filter=blob:none", repo.path.as_uri(), str(tmp_path / "part"))
    clone.git(*source)
    part = Repo(tmp_path / "part")
    part.git("reset", "--quiet", "--soft", "HEAD~1")
    part.write("data.txt", "2")
    repo.write("data.txt", "3")
    repo.commit()
    part.git("fetch", "--quiet")
    part.git("reset", "--quiet", "--soft", "FETCH_HEAD")
    module = record_of(part, tmp_path / "out")["tracked_module"]
    assert module["git_commit_hash"] == repo.git("rev-parse", "HEAD")
    assert module["git_patch_omitted"].startswith("left out: all of it (")


def test_many_new_modules_and_few_descriptors(repo: Repo) -> None:
    """Git isn't started for all of them at once."""
    repo.write("work.py", f"import resource, helpers\nfrom pycrumbs import tracked\n{WORK}")
    repo.commit()
    for number in range(80):
        repo.write(f"helper{number}.py", f"X = {number}\n")
    imports = "\n".join(f"import helper{number}" for number in range(80))
    repo.write("helpers.py", imports)
    limit = "resource.setrlimit(resource.RLIMIT_NOFILE, (90, 90))"
    repo.write("main.py", f"import resource, work\n{limit}\nwork.work()\n")
    repo.run("main.py")
    state = read(repo.path / "out")["tracked_module"]
    patch = "\n".join(state["git_patch"])
    assert "git_patch_omitted" not in state
    assert all(f"+X = {number}\n" in f"{patch}\n" for number in range(80))


@pytest.mark.slow
def test_our_own_file_in_a_patch(repo: Repo) -> None:
    """Whoever has just copied it, and not committed it, needs no patch of all its lines."""
    repo.write("work.py", "from pycrumbs import tracked\n" + WORK + "\nwork()\n")
    repo.commit()
    shutil.copy(HERE / "pycrumbs.py", repo.path)
    repo.run("work.py", env={"PYTHONPATH": ""})
    state = read(repo.path / "out")["tracked_module"]
    told = left_out(repo.path / "pycrumbs.py", "pycrumbs itself")
    assert re.fullmatch(f"left out: {told}", state["git_patch_omitted"])
    assert "git_patch" not in state
    again = rerun(repo.path / "out", "--yes", cwd=repo.path.parent)
    assert (again.status, "1 identical" in again.stdout) == (0, True), again.report


@pytest.mark.parametrize("handler", ["signal.SIG_IGN", "lambda *_: os.waitpid(-1, os.WNOHANG)"])
def test_children_that_somebody_else_waits_for(repo: Repo, handler: str) -> None:
    """Then Python takes every exit status for 0: what is printed tells as much."""
    code = f"""
        import os, signal
        from pycrumbs import get_git_info
        signal.signal(signal.SIGCHLD, {handler})
        import work
        work.work()
        os.chdir("..")
        open("outside.py", "w").close()
        try:
            get_git_info("outside")
        except RuntimeError as error:
            print(error)
    """
    repo.write("work.py", f"from pycrumbs import tracked\n{WORK}")
    repo.write("main.py", "import sys; sys.path.append('..')" + textwrap.dedent(code))
    repo.commit()
    assert "not a git repository" in repo.run("main.py")
    state = read(repo.path / "out")["tracked_module"]
    assert state["git_commit_hash"] == repo.git("rev-parse", "HEAD")


# ------------------------------------------------------------------------------
# Edited libraries
# ------------------------------------------------------------------------------


def leave_package(on_path: Path, name: str, origin: Any) -> None:
    """Leave what pip leaves of an installation from elsewhere (PEP 610)."""
    folder = on_path / f"{name}-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\n\n", encoding="utf-8")
    text = origin if isinstance(origin, str) else json.dumps(origin)
    (folder / "direct_url.json").write_text(text, encoding="utf-8")


def editable(folder: Path) -> Any:
    """The direct_url.json of a package that is installed in editable mode."""
    return {"url": folder.as_uri(), "dir_info": {"editable": True}}


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path that packages can be installed in."""
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return tmp_path / "site"


@pytest.fixture
def origins(repo: Repo, tmp_path: Path) -> Any:
    """A function that runs a function of a clean repository; returns the package_origins."""
    repo.write("train.py", "def train(): pass")
    repo.commit()

    def read_origins(**options: Any) -> Any:
        run = record_of(repo, tmp_path / "out", include_package_inventory=True, **options)
        found = run.get("package_origins", {})
        found.pop("pycrumbs", None)  # as its own development environment has it
        return found

    return read_origins


def test_editable_library_that_is_dirty(
    origins: Any, on_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commit, state and patch of another repository, new modules of it that ran included."""
    library = Repo(tmp_path / "the library")
    library.write("src/mylib/__init__.py", "A = 1")
    commit = library.commit()
    library.git("remote", "add", "origin", "https://me:secret@example.com/lib.git")
    library.write("src/mylib/__init__.py", "A = 2")
    library.write("src/mylib/new.py", "B = 1")
    library.write("notes.txt", "not code")
    leave_package(on_path, "My_Lib", editable(library.path))
    new = load(library.path / "src/mylib/new.py", "mylib.new")
    monkeypatch.setitem(sys.modules, "mylib.new", new)
    origin = origins()["my-lib"]
    assert origin["url"] == library.path.as_uri()
    assert origin["editable"] is True
    assert origin["git_commit_hash"] == commit
    assert origin["git_is_dirty"] is True
    assert origin["git_remotes"] == {"origin": "https://<redacted>@example.com/lib.git"}
    assert files_in(origin["git_patch"]) == ["src/mylib/__init__.py", "src/mylib/new.py"]
    (library.path / "notes.txt").unlink()
    check_rebuilt(library, origin, tmp_path / "new")


def test_two_packages_of_one_repository(origins: Any, on_path: Path, tmp_path: Path) -> None:
    """Their patch is there once."""
    library = Repo(tmp_path / "library")
    library.write("a/a.py", "A = 1")
    library.commit()
    library.write("a/a.py", "A = 2")
    (library.path / "b").mkdir()
    for name in ("a", "b"):
        leave_package(on_path, name, editable(library.path / name))
    found = origins()
    assert "+A = 2" in found["a"]["git_patch"]
    assert found["b"]["git_patch_omitted"] == "the same as that of a"
    assert found["b"]["git_commit_hash"] == found["a"]["git_commit_hash"]
    assert "git_patch" not in found["b"]


@pytest.mark.parametrize("where", ["", "pkg"])
def test_editable_package_of_the_tracked_repository(
    origins: Any, repo: Repo, on_path: Path, where: str
) -> None:
    """Its state is the tracked module's."""
    (repo.path / "pkg").mkdir()
    leave_package(on_path, "own", editable(repo.path / where))
    url = (repo.path / where).as_uri()
    state = {"url": url, "editable": True, "git_working_dir": str(repo.path)}
    assert origins() == {"own": state}


def test_editable_package_with_a_similar_name(origins: Any, repo: Repo, on_path: Path) -> None:
    """That one folder's name begins like another's says nothing."""
    library = Repo(repo.path.parent / "rep")
    commit = library.commit()
    leave_package(on_path, "lib", editable(library.path))
    assert origins()["lib"]["git_commit_hash"] == commit


def test_editable_packages_outside_of_git(origins: Any, repo: Repo, on_path: Path) -> None:
    """In no repository, in an ignored folder or gone: there is no state to be told."""
    (repo.path / ".git/info").mkdir(exist_ok=True)
    (repo.path / ".git/info/exclude").write_text("env/\n", encoding="utf-8")
    folders = {"alone": repo.path.parent / "alone", "ignored": repo.path / "env/lib"}
    for name, folder in folders.items():
        folder.mkdir(parents=True)
        leave_package(on_path, name, editable(folder))
    leave_package(on_path, "gone", editable(repo.path / "gone"))
    for entry in origins().values():
        assert sorted(entry) == ["editable", "url"]


def test_editable_package_that_git_refuses(origins: Any, on_path: Path, tmp_path: Path) -> None:
    """The reason that git gives is recorded, and the function runs."""
    (tmp_path / "library").mkdir()
    (tmp_path / "library/.git").write_text("gitdir: /nowhere", encoding="utf-8")
    leave_package(on_path, "lib", editable(tmp_path / "library"))
    state = origins()["lib"]["git_commit_hash"]
    assert state.startswith("unavailable: RuntimeError: cannot record the git state of 'lib'")
    assert "not a git repository: /nowhere" in state


URL = "https://example.com/a.zip"
DIRECT_URLS: dict[str, tuple[Any, Any]] = {  # what an installer left, what is recorded
    "a repository": (
        {
            "url": "https://me:secret@example.com/lib.git", "subdirectory": "py",
            "vcs_info": {"vcs": "git", "commit_id": "abc", "requested_revision": "main"},
        },
        {
            "url": "https://<redacted>@example.com/lib.git", "vcs": "git", "commit": "abc",
            "subdirectory": "py",
        },
    ),
    "older": ({"url": URL, "archive_info": {"hash": "md5=12"}}, {"url": URL, "hash": "md5=12"}),
    "newer": (
        {"url": URL, "archive_info": {"hash": "md5=12", "hashes": {"md5": "12", "sha256": "ab"}}},
        {"url": URL, "hash": "sha256=ab"},
    ),
    "another kind": (
        {"url": URL, "archive_info": {"hashes": {"sha512": "cd"}}}, {"url": URL, "hash": "sha512=cd"},
    ),
    "no hash": ({"url": URL, "archive_info": {"hashes": {}}}, {"url": URL}),
    "no JSON": ("{", None),
    "a list": ("[1]", None),
    "wrong types": ({"url": 5, "vcs_info": "x", "dir_info": [], "archive_info": None}, None),
    "an odd URL": (
        {"url": "file://[", "dir_info": {"editable": True}}, {"url": "file://[", "editable": True},
    ),
    "empty": ({}, None),
}  # fmt: skip


@pytest.mark.parametrize("name", DIRECT_URLS)
def test_packages_that_come_from_elsewhere(origins: Any, on_path: Path, name: str) -> None:
    """URL and commit or hash as they were noted; what another tool left broken stops no run."""
    left, told = DIRECT_URLS[name]
    leave_package(on_path, "lib", left)
    origin = origins().get("lib", {})
    assert "git_commit_hash" not in origin
    assert told is None or origin == told


@pytest.mark.integration
def test_packages_that_pip_installed(repo: Repo, tmp_path: Path) -> None:
    """Traces that pip itself leaves of an editable install and one from a repository's URL."""
    python = make_environment(tmp_path / "env")
    commits = {}
    for name in ("edited", "fetched"):
        library = Repo(tmp_path / name)
        library.write("pyproject.toml", f"[project]\nname = '{name}'\nversion = '1'\n")
        library.write(f"{name}.py", "A = 1")
        commits[name] = library.commit()
    url = (tmp_path / "fetched").as_uri()
    pip_install(python, "--editable", str(tmp_path / "edited"), f"git+{url}")
    (tmp_path / "edited/edited.py").write_text("A = 2", encoding="utf-8")
    repo.write("main.py", SCRIPT.replace("False", "True") + "import edited, fetched\nmain()")
    repo.commit()
    command = [python, str(repo.path / "main.py"), str(tmp_path / "out")]
    subprocess.run(command, cwd=tmp_path, env=clean_environment(), check=True)
    origins = read(tmp_path / "out")["package_origins"]
    assert origins["fetched"] == {"url": url, "vcs": "git", "commit": commits["fetched"]}
    assert origins["edited"]["git_commit_hash"] == commits["edited"]
    assert origins["edited"]["git_is_dirty"] is True
    assert "+A = 2" in origins["edited"]["git_patch"]


def make_environment(folder: Path) -> str:
    """A virtual environment that also sees this one's packages, to build with; its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "ours.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return str(folder / "bin/python")


def pip_install(python: str, *what: str) -> None:
    """Install with pip, from local sources alone."""
    options = ("--quiet", "--no-build-isolation", "--no-deps", "--no-index", "--ignore-installed")
    command = [sys.executable, "-m", "pip", "--python", python, "install", *options, *what]
    environment = clean_environment(PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_CONFIG_FILE=os.devnull)
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr


# ------------------------------------------------------------------------------
# Inputs
# ------------------------------------------------------------------------------


def record_run(function: Any, out: Path, *args: Any, **options: Any) -> Any:
    """Call a function as a tracked one, without git; return its record."""
    tracked(literal_directory=out, **QUIET_RUN, **options)(function)(*args)
    return read(out / f"{function.__name__}_record.json")


def sha256(path: Path) -> str:
    """The checksum of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def names(entries: Any, folder: Path | None = None) -> list[str]:
    """The paths of entries; relative to a folder if one is given."""
    paths = [entry["path"] for entry in entries]
    return paths if folder is None else [os.path.relpath(path, folder) for path in paths]


def write_files(folder: Path, *files: str) -> Path:
    """Files whose content is their name."""
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    return folder


def ignore(*args: Any) -> None:
    """Do nothing with the arguments."""


def take(path: Any, more: Any = None) -> None:
    """Do nothing with two arguments."""


def test_hashes_are_those_of_sha256sum(tmp_path: Path, out: Path) -> None:
    """Of small files and large ones, one after the other and on several cores."""
    folder = tmp_path / "data"
    folder.mkdir()
    for number, size in enumerate((0, 1, 2**20 - 1, 2**20, 2**20 + 1, 9 * 2**20)):
        (folder / str(number)).write_bytes(os.urandom(size))
    entries = record_run(take, out, folder, input_parameters=["path"])["inputs"]
    command = ["sha256sum", *names(entries)]
    sums = subprocess.run(command, capture_output=True, check=True, encoding="utf-8").stdout
    assert [f"{entry['sha256']}  {entry['path']}" for entry in entries] == sums.splitlines()
    assert len(entries) == 6


def test_an_input_as_it_is_told(tmp_path: Path, out: Path) -> None:
    """Absolute path, size, time with offset, hash, and how it was found."""
    path = write_files(tmp_path, "in.txt") / "in.txt"
    os.utime(path, (1, 1))
    (entry,) = record_run(take, out, path)["inputs"]
    assert re.match(r"19(69|70)-..-.. ..:..:01\.000000[+-]..:..$", entry.pop("mtime"))
    expected = {"path": str(path), "size": 6, "sha256": sha256(path), "found": "parameter"}
    assert entry == expected


@dataclasses.dataclass
class PathLike:
    """A path of somebody else's making."""

    path: Any

    def __fspath__(self) -> Any:
        """Return the path, if it isn't an error."""
        if isinstance(self.path, Exception):
            raise self.path
        return self.path


PARAMETERS: dict[str, tuple[Callable[[Path], Any], list[str]]] = {
    "text": (lambda d: str(d / "a"), ["a"]), "path": (lambda d: d / "a", ["a"]),
    "path-like": (lambda d: PathLike(str(d / "a")), ["a"]),
    "relative": (lambda d: os.path.relpath(d / "a"), ["a"]),
    "list": (lambda d: [d / "b", str(d / "a"), 3, None, "x"], ["a", "b"]),
    "tuple": (lambda d: (d / "b",), ["b"]),
    "twice": (lambda d: [d / "a", d / "." / "a"], ["a"]), "folder": (lambda d: d, []),
    "list of folders": (lambda d: [d / "sub"], []), "missing": (lambda d: d / "missing", []),
    "bytes": (lambda d: os.fsencode(d / "a"), ["a"]), "descriptor": (lambda d: 0, []),
    "empty": (lambda d: "", []), "NUL": (lambda d: f"{d}/a\0", []),
    "surrogate": (lambda d: "\udcff\ud800", []), "long": (lambda d: "x" * 10**6, []),
    "not a file": (lambda d: "/dev/null", []),
    "raises": (lambda d: PathLike(ValueError("no")), []),
    "no text": (lambda d: PathLike(b"a"), []), "set": (lambda d: {str(d / "a")}, ["a"]),
    "mapping": (lambda d: {"train": d / "a", "test": [(d / "b",)]}, ["a", "b"]),
    "deep": (lambda d: [[[[[d / "a"]]]]], []), "mock": (lambda d: mock.MagicMock(), []),
}  # fmt: skip


@pytest.mark.parametrize("name", PARAMETERS)
def test_file_parameters_are_found(tmp_path: Path, out: Path, name: str) -> None:
    """A parameter that holds an existing file, or a list of them, is an input."""
    folder = write_files(tmp_path / "data", "a", "b", "sub/c")
    make, expected = PARAMETERS[name]
    record = record_run(take, out, 1, make(folder))
    assert names(record.get("inputs", []), folder) == expected
    assert {entry["found"] for entry in record.get("inputs", [])} <= {"parameter"}
    assert "inputs_omitted" not in record


def test_declared_inputs(tmp_path: Path, out: Path) -> None:
    """Folders with all in them, lists of both, links to files; git's and Python's own excluded."""
    files = ("one/a", "one/deep/er/b", "one/.git/x", "one/__pycache__/y", "two/c", "d")
    folder = write_files(tmp_path / "data", *files)
    (folder / "one/link").symlink_to(folder / "d")
    (folder / "one/broken").symlink_to("nowhere")
    (folder / "one/two").symlink_to(folder / "two")
    (folder / "two/back").symlink_to(folder / "one")
    os.mkfifo(folder / "one/pipe")
    paths = [folder / "one", str(folder / "d"), folder / "missing"]
    record = record_run(take, out, paths, 5, input_parameters=["path", "more"])
    entries = record["inputs"]
    seen = ["d", "missing", "one/a", "one/deep/er/b", "one/link", "one/two/c"]
    assert names(entries, folder) == seen
    left_out = f"whatever lies in folders named .git in {folder / 'one'}"
    assert left_out in record["inputs_omitted"]
    assert {entry["found"] for entry in entries} == {"declared"}
    assert entries[1] == {
        "path": str(folder / "missing"),
        "size": None,
        "mtime": None,
        "sha256": None,
        "found": "declared",
    }
    assert entries[-2]["sha256"] == sha256(folder / "d")


def test_records_in_a_declared_folder_are_no_inputs(tmp_path: Path) -> None:
    """The run itself replaces one of them, and every other run has one of its own."""
    out = write_files(tmp_path / "out", "model.txt")

    @tracked(literal_directory=out, input_parameters=["path"], **QUIET_RUN)
    def evaluate(path: Path) -> None:
        (path / "report.txt").write_text("fine")

    for _ in range(2):
        evaluate(out)
    record = read(out)
    assert [Path(e["path"]).name for e in record["inputs"]] == ["model.txt", "report.txt"]
    assert record["inputs_omitted"] == f"the records in {out}"


@dataclasses.dataclass
class WithPaths:
    data: str
    password_file: str = ""


def test_inputs_in_fields(tmp_path: Path, out: Path) -> None:
    """A namespace's or dataclass's files are inputs as a dict's are."""
    folder = write_files(tmp_path / "data", "a")
    path = str(folder / "a")
    arguments = (
        argparse.Namespace(data=path),
        WithPaths(path),
        {"deep": types.SimpleNamespace(data=[Path(path)])},
    )
    for value in arguments:
        assert names(record_run(take, out, value)["inputs"], folder) == ["a"]


@pytest.mark.parametrize("wrap", [
    lambda path: {"password_file": path}, lambda path: ["--password-file", path],
    lambda path: [{"deep": {"secret_key": path}}], lambda path: WithPaths("", path),
    lambda path: argparse.Namespace(api_key=path),
])  # fmt: skip
def test_files_of_secrets_are_no_inputs(tmp_path: Path, out: Path, wrap: Any) -> None:
    """The hash of a short secret would be as good as the secret."""
    path = write_files(tmp_path, "secret") / "secret"
    record = record_run(take, out, wrap(str(path)))
    assert "inputs" not in record
    assert REDACTED in json.dumps(record["called_function"]["parameters"])


def test_what_follows_a_thousand_items(tmp_path: Path, out: Path) -> None:
    """It is said, whatever the next item is; of a declared list all counts."""
    folder = write_files(tmp_path / "data", "a", "b")
    value = [str(folder / "a")] * 1000 + [None, str(folder / "b")]
    record = record_run(take, out, value)
    assert record["inputs_omitted"] == "what follows the first 1,000 items of path"
    assert names(record["inputs"], folder) == ["a"]
    record = record_run(take, out, [*value[:1000], value[-1]], input_parameters=["path"])
    assert names(record["inputs"], folder) == ["a", "b"]
    assert "inputs_omitted" not in record


def test_inputs_are_hashed_before_they_change(tmp_path: Path, out: Path) -> None:
    """What a function reads and then overwrites is recorded as it was."""
    path = write_files(tmp_path, "in.txt") / "in.txt"
    before = sha256(path)

    def overwrite(path: Path) -> None:
        path.write_text("something else", encoding="utf-8")

    (entry,) = record_run(overwrite, out, path)["inputs"]
    assert (entry["sha256"], entry["size"]) == (before, 6)


def test_hash_of_a_file_that_changed_between_two_runs(tmp_path: Path, out: Path) -> None:
    """What is remembered of a file counts only while it is the same one, whatever its times."""
    path = tmp_path / "in"
    for content in (b"one", b"two"):
        path.write_bytes(content)
        os.utime(path, (1, 1))
        for _ in range(2):
            (entry,) = record_run(take, out, path)["inputs"]
            assert entry["sha256"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(("make", "options"), [
    (str, {"input_parameters": ["path"]}),
    (lambda path: sorted(os.listdir(path)), {"input_parameters": ["path"]}),
    (bool, {"capture_files": True}),
], ids=["folder", "list", "opened"])  # fmt: skip
@pytest.mark.slow
def test_too_many_files(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, make: Any, options: Any
) -> None:
    """The first 10,000 by name are listed, and the record says how many aren't."""
    numbered = [f"{number:05}" for number in range(10_003)]
    for name in numbered:
        write_files(tmp_path / "data", name)
    monkeypatch.chdir(tmp_path / "data")

    def work(path: Any) -> None:
        for name in numbered:
            "capture_files" in options and Path(name).read_bytes()
            os.close(os.open(out / name, os.O_CREAT))

    record = record_run(work, out, make(tmp_path / "data"), **options)
    for kind in ("inputs", "outputs"):
        assert [Path(path).name for path in names(record[kind])] == numbered[:10_000]
        said = "3 of 10,003 files|what follows the first 10,000 items of path"
        assert re.match(said, record[f"{kind}_omitted"])


@pytest.mark.parametrize(
    ("limit", "hashed"),
    [(0, "e"), (1, "ea"), (3, "eab"), (6, "eabc"), (9, "eabc"), (10, "eabcd"), (None, "eabcd")],
)
def test_hash_limit(tmp_path: Path, out: Path, limit: int | None, hashed: str) -> None:
    """The smallest files are hashed, as many as the limit has room for; the rest is null."""
    for size, name in enumerate("eabcd"):
        (tmp_path / name).write_bytes(b"x" * size)
    paths = [tmp_path / name for name in "dbeca"]
    entries = record_run(take, out, paths, hash_limit=limit)["inputs"]
    told = sorted(entries, key=lambda entry: entry["size"])
    assert "".join(entry["path"][-1] for entry in told if entry["sha256"]) == hashed
    assert [entry["size"] for entry in told] == [0, 1, 2, 3, 4]


def test_hash_limit_holds_for_inputs_and_outputs_together(tmp_path: Path, out: Path) -> None:
    """What the inputs leave of it is for the outputs."""
    (tmp_path / "in").write_bytes(b"x" * 6)

    def write_two(path: Path) -> None:
        (out / "five").write_bytes(b"x" * 5)
        (out / "four").write_bytes(b"x" * 4)

    record = record_run(write_two, out, tmp_path / "in", hash_limit=10)
    assert [bool(entry["sha256"]) for entry in record["outputs"]] == [False, True]


def test_huge_file_is_not_read(tmp_path: Path, out: Path) -> None:
    """50 GiB (of holes) as input and output: size and no hash, within the test's time limit."""
    size = 50 * 2**30
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(size)

    def make_huge(path: Path) -> None:
        with open(out / "huge", "wb") as file:
            file.truncate(size)

    record = record_run(make_huge, out, tmp_path / "huge")
    for kind in ("inputs", "outputs"):
        (entry,) = record[kind]
        assert (entry["size"], entry["sha256"]) == (size, None)


def test_declared_inputs_that_are_no_paths(out: Path) -> None:
    """What can't be looked at is said."""
    record = record_run(take, out, 3, input_parameters=["path"])
    assert record["inputs_omitted"] == "whatever path holds, which is no path"


# ------------------------------------------------------------------------------
# Outputs
# ------------------------------------------------------------------------------


def copy_with_times(out: Path) -> None:
    """Put another file in one's place, with the times and the size that it had."""
    (out.parent / "other").write_bytes(b"OLD")
    shutil.copystat(out / "old", out.parent / "other")
    shutil.copy2(out.parent / "other", out / "old")
    shutil.copy2(out / "kept", out / "copy")


def write_what_is_not_a_product(out: Path) -> None:
    """Write files that aren't outputs, records of any layout among them, and two that are."""
    write_files(out, ".git/x", "sub/__pycache__/y.pyc", "real.json")
    (out / "own.json").write_text(json.dumps({"uuid": RUN["uuid"], "loss": 1}))
    (out / "old.json").write_text(RECORD_0_4)
    (out / "nested_record.json").write_text(json.dumps(RUN, indent=4))
    (out / "chain.json").write_text(json.dumps([RUN, RUN], indent=4))
    (out / "sorted.json").write_text(json.dumps(RUN, indent=2, sort_keys=True))
    (out / "compact.json").write_text(json.dumps(RUN, separators=(",", ":")))
    (out / ".job.json.0123abcd-1-2.ff.tmp").touch()
    (out / ".job.json.lock").touch()
    (out / "link").symlink_to("old")
    os.mkfifo(out / "pipe.json")


def write_by_child(path: Any) -> None:
    """Have another program write a file, which is thus not noticed."""
    run_child(CHILD, path)


def run_child(code: str, *arguments: Any) -> None:
    """Have a child process do it."""
    subprocess.run([sys.executable, "-c", f"import sys\n{code}", *map(str, arguments)], check=True)


CHILD = "open(sys.argv[1], 'w').write('x')"
WRITERS: dict[str, tuple[Callable[[Path], Any], list[str]]] = {
    "nothing": (ignore, []),
    "only read": (lambda out: (out / "old").read_bytes(), []),
    "opened to write": (lambda out: run_child("open(sys.argv[1], 'a').close()", out / "old"), []),
    "created": (lambda out: write_files(out, "new"), ["new"]),
    "in subfolders": (lambda out: write_files(out, "a/b/new", "a/new"), ["a/b/new", "a/new"]),
    "changed": (lambda out: (out / "old").write_bytes(b"new"), ["old"]),
    "rewritten": (lambda out: (out / "old").write_bytes(b"old"), ["old"]),
    "appended": (lambda out: run_child("open(sys.argv[1], 'a').write('x')", out / "old"), ["old"]),
    "replaced": (lambda out: os.replace(write_files(out, "new") / "new", out / "old"), ["old"]),
    "renamed": (lambda out: (out / "old").rename(out / "renamed"), ["renamed"]),
    "old times": (copy_with_times, ["copy", "old"]),
    "deleted": (lambda out: shutil.rmtree(out / "sub"), []),
    "created and deleted": (lambda out: shutil.rmtree(write_files(out / "t", "t")), []),
    "no products": (write_what_is_not_a_product, ["own.json", "real.json"]),
    "odd names": (lambda out: write_files(out, "\u00e9 \n'", ".hidden"), [".hidden", "\u00e9 \n'"]),
    "numpy": (lambda out: numpy.save(out / "a.npy", numpy.eye(3)), ["a.npy"]),
    "numpy archive": (lambda out: numpy.savez(out / "a.npz", a=numpy.eye(3)), ["a.npz"]),
    "numpy memmap": (lambda out: numpy.memmap(out / "m", "u1", "w+", shape=9)[:].fill(1), ["m"]),
    "sqlite": (lambda out: use_database(out / "a.db"), ["a.db"]),
    "child": (lambda out: run_child(CHILD, out / "child.txt"), ["child.txt"]),
}


@pytest.mark.parametrize("name", WRITERS)
def test_outputs_are_found(out: Path, name: str) -> None:
    """What the run created or changed in its directory, by relative path, with size and hash."""
    write_files(out, "old", "kept", "sub/kept")
    time.sleep(0.02)  # longer than the clock of files ticks

    def write() -> None:
        WRITERS[name][0](out)

    outputs = record_run(write, out)["outputs"]
    assert names(outputs) == WRITERS[name][1]
    for entry in outputs:
        path = out / entry["path"]
        assert entry == {**entry, "size": path.stat().st_size, "sha256": sha256(path)}
        assert len(entry) == 3


def test_outputs_of_a_failed_run(out: Path) -> None:
    """What a run left before it failed is an output, too."""

    def write_and_fail() -> None:
        write_files(out, "half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        record_run(write_and_fail, out)
    assert names(read(out)["outputs"]) == ["half"]


def test_folder_that_changes_while_it_is_scanned(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is gone before it can be looked at doesn't hide the ones after it."""
    write_files(out, *"abcdef")
    scandir = os.scandir

    @contextlib.contextmanager
    def scan(path: str) -> Iterator[Any]:
        with scandir(path) as entries:
            found = list(entries)
        (out / "c").unlink(missing_ok=True)
        yield found

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", scan)
        record = record_run(take, out.parent / "run", out, input_parameters=["path"])
    assert names(record["inputs"], out) == list("abdef")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_200_000_files(tmp_path: Path, out: Path) -> None:
    """What is looked at is bounded, before the run and after it, and what isn't is said."""
    for folder in range(200):
        write_empty(out / str(folder), 1000)

    def write_many() -> None:
        write_empty(out / "more", 20_000)

    def remove_many() -> None:
        for folder in range(150):
            shutil.rmtree(out / str(folder))

    def open_many() -> None:
        for name in range(100_001):
            os.close(os.open(out / f"{name // 1000}/{name % 1000}", os.O_RDONLY))

    start = time.perf_counter()
    record = record_run(ignore, out)
    spent = time.perf_counter() - start
    beyond = "whatever lies beyond the first 100,000 entries of the directory"
    assert (record["outputs_omitted"], record["outputs"]) == (beyond, [])
    start = time.perf_counter()
    sum(len(names) for _, _, names in os.walk(out))
    for folder in range(200):
        for name in range(1000):
            os.stat(out / str(folder) / str(name))
    assert spent < 3 * (time.perf_counter() - start)
    elsewhere = tmp_path / "elsewhere"
    told = record_run(take, elsewhere, out, input_parameters=["path"])["inputs_omitted"]
    assert beyond.replace("the directory", str(out)) in told
    told = record_run(open_many, elsewhere, capture_files=True)["inputs_omitted"]
    assert told.startswith("whatever was opened after the first 100,000 files")
    record = record_run(write_many, out)
    assert len(record["outputs"]) <= 10_000
    assert beyond in record["outputs_omitted"]
    assert all(name.startswith("more/") for name in names(record["outputs"]))
    # Old files that weren't seen before don't pass for new ones.
    assert record_run(remove_many, out)["outputs"] == []
    shutil.rmtree(out)


def write_empty(folder: Path, count: int) -> None:
    """Make a folder with that many empty files."""
    folder.mkdir(parents=True)
    for name in range(count):
        os.close(os.open(folder / str(name), os.O_CREAT))


# ------------------------------------------------------------------------------
# Captured files
# ------------------------------------------------------------------------------


def open_in_c(path: str, mode: bytes) -> None:
    """Open a file with the C library's function."""
    libc = ctypes.CDLL(None)
    libc.fopen.restype, libc.fclose.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    libc.fclose(libc.fopen(os.fsencode(path), mode))


@contextlib.contextmanager
def within(folder: str) -> Iterator[None]:
    """Change into a folder for a while."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def run_in_thread(function: Any, *arguments: Any) -> None:
    """Have another thread do it."""
    thread = threading.Thread(target=function, args=arguments)
    thread.start()
    thread.join()


def use_database(path: Any) -> None:
    """Make a database, or read one."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("create table if not exists t (x)")
        database.commit()


SAMPLE = numpy.arange(4.0)
FRAME = {"a": [1.0, 2.0]}


def parse_openings(table: str) -> dict[str, tuple[str, str]]:
    """Ways to open a file from text: a name, below it the code that reads and the one that writes."""
    ways = {}
    for name, code in re.findall(r"(?m)^(\S.*)\n((?:    .*\n)+)", table):
        ways[name] = tuple("\n".join(re.findall(f"(?m)^    {kind} (.*)", code)) for kind in "rw")
    return ways  # type: ignore[return-value]


OPENINGS = parse_openings("""
`open(path)`, `open(path, "w")`
    r with open(path) as file: file.read()
    w with open(path, "w") as file: file.write("x")
`open(path, "rb")`, `"wb"`
    r with open(path, "rb") as file: file.read()
    w with open(path, "wb") as file: file.write(b"x")
`open(path, "x")`
    w with open(path, "x") as file: file.write("x")
`open(path, "a")`
    w write_by_child(path)
    w with open(path, "a") as file: file.write("x")
`open(path, "r+")`
    r with open(path, "r+") as file: file.write("x")
    w write_by_child(path)
    w with open(path, "r+") as file: file.write("x")
`open` with a path that is relative
    r with within(os.path.dirname(path)), open(os.path.basename(path)) as file: file.read()
    w with within(os.path.dirname(path)), open(os.path.basename(path), "a") as file: file.write("x")
`open` with a path in bytes
    r open(os.fsencode(path), "rb").close()
    w open(os.fsencode(path), "wb").close()
`Path.read_text`, `Path.write_bytes`
    r Path(path).read_text()
    w Path(path).write_bytes(b"x")
`os.open`
    r os.close(os.open(path, os.O_RDONLY))
    w os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
`io.FileIO(Path(path))`
    r io.FileIO(Path(path)).close()
    w io.FileIO(Path(path), "w").close()
in another thread
    r run_in_thread(Path(path).read_bytes)
    w run_in_thread(Path(path).write_bytes, b"x")
`mmap` of an open file
    r import mmap
    r with open(path, "rb") as file: mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ).close()
    w import mmap; write_by_child(path)
    w with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped: mapped[:1] = b"y"
`gzip`, `bz2`, `lzma`
    r import gzip
    r with gzip.open(path) as file: file.read()
    w import gzip
    w with gzip.open(path, "wb") as file: file.write(b"x")
`zipfile`
    r zipfile.ZipFile(path).close()
    w with zipfile.ZipFile(path, "w") as file: file.writestr("a", "a")
`tarfile`
    r import tarfile; tarfile.open(path).close()
    w import tarfile; tarfile.open(path, "w").close()
`fileinput`, also in place
    r import fileinput
    r with fileinput.input(path) as lines: list(lines)
    w import fileinput; write_by_child(path)
    w with fileinput.input(path, inplace=True) as lines: [print("y", end="") for _ in lines]
`logging.FileHandler`
    w import logging; handler = logging.FileHandler(path)
    w handler.emit(logging.makeLogRecord({"msg": "x"})), handler.close()
`shutil.copy`
    r shutil.copy(path, path + ".copy")
    w shutil.copy(__file__, path)
`tempfile`, then `os.replace`
    w with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(path), delete=False) as file: file.write("x")
    w os.replace(file.name, path)
in a folder that is renamed afterwards
    w folder = Path(path).parent
    w write_files(folder.with_suffix(".tmp"), Path(path).name), folder.rmdir()
    w folder.with_suffix(".tmp").rename(folder)
`numpy.load`, `numpy.save`
    r numpy.load(path)
    w numpy.save(path, SAMPLE)
`numpy.loadtxt`, `numpy.savetxt`
    r numpy.loadtxt(path)
    w numpy.savetxt(path, SAMPLE)
`numpy.fromfile`, `ndarray.tofile`
    r numpy.fromfile(path)
    w SAMPLE.tofile(path)
`numpy.memmap`
    r numpy.memmap(path, "u1", "r")
    w numpy.memmap(path, "u1", "w+", shape=9)
`os.link`
    w write_by_child(path + ".other")
    w os.link(path + ".other", path)
`sqlite3`
    r use_database(path)
    w use_database(path)
C code (`ctypes`)
    r open_in_c(path, b"r")
    w open_in_c(path, b"a")
a child process
    r run_child("open(sys.argv[1]).read()", path)
    w write_by_child(path)
""")
HEAVY_OPENINGS = parse_openings("""
pandas, CSV
    r import pandas; pandas.read_csv(path)
    w import pandas; pandas.DataFrame(FRAME).to_csv(path)
pandas, Parquet
    r import pandas; pandas.read_parquet(path)
    w import pandas; pandas.DataFrame(FRAME).to_parquet(path)
pyarrow, Parquet
    r import pyarrow.parquet; pyarrow.parquet.read_table(path)
    w import pyarrow.parquet; pyarrow.parquet.write_table(pyarrow.table(FRAME), path)
h5py
    r import h5py; h5py.File(path, "r").close()
    w import h5py; h5py.File(path, "a").close()
Pillow
    r import PIL.Image; PIL.Image.open(path).load()
    w import PIL.Image; PIL.Image.new("L", (2, 2)).save(path, "PNG")
matplotlib's `savefig`
    w import matplotlib.figure; matplotlib.figure.Figure().savefig(path, format="png")
joblib, scikit-learn
    r import joblib; joblib.load(path)
    w import joblib; joblib.dump(FRAME, path)
`torch.load`, `torch.save`
    r import torch; torch.load(path)
    w import torch; torch.save(FRAME, path)
TensorFlow's `tf.io`
    r import tensorflow; tensorflow.io.read_file(path)
    w import tensorflow; tensorflow.io.write_file(path, "x")
""")


def see(ways: tuple[str, str], tmp_path: Path, out: Path) -> tuple[str, ...]:
    """What `capture_files` sees of code that reads a file, and of code that writes one."""
    to_read, to_write = ways
    source, made = tmp_path / "source.npy", tmp_path / "made/a.npy"
    made.parent.mkdir()
    if to_read:
        exec(to_write, {**globals(), "path": str(made)})
        made.rename(source)

    def use() -> None:
        for code, path in ((to_read, source), (to_write, made)):
            exec(code, {**globals(), "path": str(path)})

    record = record_run(use, out, capture_files=True)
    assert made.exists()
    seen = (str(source) in names(record.get("inputs", [])), str(made) in names(record["outputs"]))
    return tuple(("no", "yes")[is_seen] if code else "\u2013" for code, is_seen in zip(ways, seen))


def read_table() -> dict[str, tuple[str, ...]]:
    """The README's table of what `capture_files` sees, by way of opening."""
    text = (HERE / "README.md").read_text(encoding="utf-8")
    table = text.partition("<!-- capture table -->")[2].partition("<!-- end -->")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.split("\n")]
    cells = [row for row in rows if len(row) == 3 and "---" not in row[0]]
    return {name: (seen, made) for way, seen, made in cells for name in way.split("; ")}


@pytest.mark.parametrize("name", OPENINGS)
def test_capture_sees_what_the_readme_says(tmp_path: Path, out: Path, name: str) -> None:
    """The table is neither too modest nor a promise that isn't kept."""
    assert see(OPENINGS[name], tmp_path, out) == read_table()[name]


@pytest.mark.integration
@pytest.mark.parametrize("name", HEAVY_OPENINGS)
def test_capture_sees_what_the_readme_says_of_libraries(
    tmp_path: Path, out: Path, name: str
) -> None:
    """The libraries' own ways to read and write, too."""
    assert see(HEAVY_OPENINGS[name], tmp_path, out) == read_table()[name]


def test_readme_tells_of_every_way() -> None:
    """The table has a row for each way that is tested, and no other."""
    heading, *rows = read_table()
    assert heading == "way of opening"
    assert sorted(rows) == sorted([*OPENINGS, *HEAVY_OPENINGS])


def capture(function: Callable[[], Any], out: Path, **options: Any) -> tuple[list[str], list[str]]:
    """What is recorded of a function's files: inputs, and outputs, by name."""
    record = record_run(function, out, capture_files=True, **options)
    inputs, outputs = record.get("inputs", []), record["outputs"]
    assert record["capture"].startswith("partial: ")
    assert {entry["found"] for entry in inputs} <= {"opened"}
    return names(inputs, out.parent), names(outputs, out.parent)


def test_opened_file_as_it_is_told(tmp_path: Path, out: Path) -> None:
    """Inputs and outputs by absolute path, with size and hash; an input says how it was found."""
    write_files(tmp_path, "source")

    def copy() -> None:
        shutil.copy(tmp_path / "source", tmp_path / "made")

    record = record_run(copy, out, capture_files=True)
    (entry,) = record["inputs"]
    assert entry.pop("mtime")[4] == "-"
    digest = sha256(tmp_path / "source")
    source = {"path": str(tmp_path / "source"), "size": 6, "sha256": digest, "found": "opened"}
    assert entry == source
    assert record["outputs"] == [{"path": str(tmp_path / "made"), "size": 6, "sha256": digest}]


def open_own_files(path: Path) -> None:
    """Open what belongs to Python, its packages, the system, git and pycrumbs."""
    write_files(path / "repo", ".git/index")
    files: list[Any] = [textwrap.__file__, pytest.__file__, __file__, os.devnull, "/proc/self/stat"]
    for name in (*files, path / "repo/.git/index", importlib.util.cache_from_source(__file__)):
        with contextlib.suppress(FileNotFoundError), open(name, "rb") as file:
            file.read(1)
    pycrumbs.write_record(path / "kept.json", RUN)
    (path / "kept.json").read_text(encoding="utf-8")


CAPTURED: dict[str, tuple[str, list[str], list[str]]] = {  # code, inputs, outputs
    "failed opens": (
        """
        for name, mode in [("a/b", "r"), ("a/b", "w"), ("none", "r"), ("old", "x"), ("", "w")]:
            with contextlib.suppress(OSError), open(path / name, mode): pass
        write_by_child(path / "none")
        """, [], [],
    ),
    "temporaries": (
        """
        with tempfile.TemporaryDirectory(dir=path) as folder:
            (write_files(Path(folder), "a") / "a").read_text()
            write_by_child(f"{folder}/b")
            Path(folder, "b").read_text()
        for kind in (tempfile.TemporaryFile, tempfile.NamedTemporaryFile):
            with kind(dir=path) as file: file.write(b"x")
        """, [], [],
    ),
    "own files": ("open_own_files(path)", [], []),
    "pipe": (
        """
        os.mkfifo(path / "pipe.json")
        os.close(os.open(path / "pipe.json", os.O_RDWR | os.O_NONBLOCK))
        """, [], [],
    ),
    "read, then written": ("old.write_text(old.read_text() + 'more')", ["old"], ["old"]),
    "written, then read": ("(write_files(path, 'new') / 'new').read_text()", [], ["new"]),
    "truncated": (
        "with open(old, 'w+') as file: file.write(file.read() + 'new')", [], ["old"],
    ),
    "read, then removed": ("old.read_text(), old.unlink()", ["old"], []),
    "opened to write, not written": (
        "with open(old, 'a'), open(old, 'r+'): pass", ["old"], [],
    ),
    "product that is read": (
        """
        write_by_child(path / "out/new")
        (path / "out/new").read_text()
        """, [], ["new"],
    ),
    "in the directory": ("write_files(path, 'out/a')", [], ["a"]),
    "in the directory, by another name": ("write_files(path, 'link/a')", [], ["a"]),
    "twice": ("old.read_text(), old.read_text()", ["old"], []),
}  # fmt: skip


@pytest.mark.parametrize("name", CAPTURED)
def test_what_counts_as_opened(tmp_path: Path, out: Path, name: str) -> None:
    """Files that were really read, and really written, by the run."""
    write_files(tmp_path, "old")
    out.mkdir()
    (tmp_path / "link").symlink_to(out)
    code, inputs, outputs = CAPTURED[name]

    def use() -> None:
        scope = {**globals(), "path": tmp_path, "old": tmp_path / "old"}
        exec(textwrap.dedent(code), scope)

    record = record_run(use, out, capture_files=True)
    assert names(record.get("inputs", []), tmp_path) == inputs
    assert [Path(path).name for path in names(record["outputs"])] == outputs


def test_input_that_changed_after_it_was_read(tmp_path: Path, out: Path) -> None:
    """It is recorded with the size it had, and with no hash, as nobody knows it any more."""
    write_files(tmp_path, "old")

    def change() -> None:
        (tmp_path / "old").write_text((tmp_path / "old").read_text() + "more")

    record = record_run(change, out, capture_files=True)
    (entry,) = record["inputs"]
    assert (entry["size"], entry["sha256"]) == (3, None)
    (entry,) = record["outputs"]
    assert (entry["size"], entry["sha256"]) == (7, sha256(tmp_path / "old"))


def test_declared_input_that_is_opened_is_listed_once(tmp_path: Path, out: Path) -> None:
    """As declared, with the hash from before."""
    write_files(tmp_path, "old")

    def read_it(path: Path) -> None:
        path.read_text(encoding="utf-8")

    record = record_run(read_it, out, tmp_path / "old", capture_files=True)
    assert [entry["found"] for entry in record["inputs"]] == ["parameter"]


def test_nested_runs_attribute_to_all_around_them(tmp_path: Path, out: Path) -> None:
    """A file counts for the run that opened it and for those around it, if they capture."""
    write_files(tmp_path, "outer", "inner", "middle")

    @tracked(literal_directory=tmp_path / "inner out", capture_files=True, **QUIET_RUN)
    def inner() -> None:
        (tmp_path / "inner").read_text(encoding="utf-8")

    @tracked(literal_directory=tmp_path / "middle out", **QUIET_RUN)
    def middle() -> None:
        (tmp_path / "middle").read_text(encoding="utf-8")
        inner()

    def outer() -> None:
        (tmp_path / "outer").read_text(encoding="utf-8")
        middle()

    assert capture(outer, out)[0] == ["inner", "middle", "outer"]
    assert names(read(tmp_path / "inner out")["inputs"], tmp_path) == ["inner"]
    assert "inputs" not in read(tmp_path / "middle out")


def test_what_a_nested_run_records_is_not_opened_by_the_outer_one(
    repo: Repo, tmp_path: Path, out: Path
) -> None:
    """Neither its hashing nor its evidence counts; what it wrote outside does."""
    repo.write("train.py", "def train(): pass")
    repo.write("latin.txt").write_bytes(b"old")
    repo.commit()
    repo.write("latin.txt").write_bytes(b"\xe9")

    def child_writes(path: Path) -> None:
        write_by_child(tmp_path / "inner/new")
        write_files(tmp_path, "inner/own")

    def outer() -> None:
        record_run(child_writes, tmp_path / "inner", tmp_path / "inner")
        record_of(repo, tmp_path / "other", include_package_inventory=True)

    opened = [name for name in capture(outer, out)[0] if name != "repo/train.py"]
    assert opened == []
    assert capture(outer, out)[1] == ["inner/own"]


def test_threads_of_a_run(tmp_path: Path, out: Path) -> None:
    """A thread has no run of its own: it counts for every run that captures at that time."""
    write_files(tmp_path, "thread", "other")
    barrier = threading.Barrier(2)

    def other() -> None:
        (tmp_path / "other").read_text(encoding="utf-8")
        barrier.wait(10)
        barrier.wait(10)

    def main() -> None:
        barrier.wait(10)
        run_in_thread((tmp_path / "thread").read_text)
        barrier.wait(10)

    beside = threading.Thread(target=capture, args=(other, tmp_path / "other out"))
    beside.start()
    assert capture(main, out)[0] == ["thread"]
    beside.join()
    opened = names(read(tmp_path / "other out")["inputs"], tmp_path)
    assert opened == ["other", "thread"]


def test_generator_and_its_consumer(tmp_path: Path, out: Path) -> None:
    """What the consumer opens between two items isn't the generator's doing."""
    write_files(tmp_path, "first", "second", "consumer")

    @tracked(literal_directory=out, capture_files=True, **QUIET_RUN)
    def items() -> Iterator[str]:
        yield (tmp_path / "first").read_text(encoding="utf-8")
        yield (tmp_path / "second").read_text(encoding="utf-8")

    for _ in items():
        (tmp_path / "consumer").read_text(encoding="utf-8")
    assert names(read(out)["inputs"], tmp_path) == ["first", "second"]


def test_coroutines_side_by_side(tmp_path: Path) -> None:
    """Tasks that take turns in one thread don't mix, nor does what has no run."""
    write_files(tmp_path, "a", "b", "c")

    @tracked(directory_parameter="where", capture_files=True, **QUIET_RUN)
    async def job(where: Path, name: str) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
            (tmp_path / name).read_text(encoding="utf-8")

    async def untracked() -> None:
        for _ in range(3):
            await asyncio.sleep(0)
            (tmp_path / "c").read_text(encoding="utf-8")

    async def main() -> None:
        await asyncio.gather(job(tmp_path / "1", "a"), untracked(), job(tmp_path / "2", "b"))

    asyncio.run(main())
    for folder, name in (("1", "a"), ("2", "b")):
        assert names(read(tmp_path / folder)["inputs"], tmp_path) == [name]


HOOKS = """
import sys
added = []
sys.addaudithook(lambda event, _: event == "sys.addaudithook" and added.append(event))
from pycrumbs import tracked

@tracked(literal_directory="out", capture_files=sys.argv[1] == "on", disable_git_tracking=True)
def job():
    open(__file__).close()

job(), job()
print(len(added))
"""


@pytest.mark.parametrize(("capture_files", "hooks"), [("off", 0), ("on", 1)])
def test_audit_hook_is_installed_where_asked_for(
    tmp_path: Path, capture_files: str, hooks: int
) -> None:
    """One hook for all runs, as it can never be removed; none if no run asked."""
    (tmp_path / "job.py").write_text(HOOKS, encoding="utf-8")
    assert run_python("job.py", capture_files, cwd=tmp_path).stdout == f"{hooks}\n"


def test_hook_leaves_the_program_alone(tmp_path: Path, out: Path) -> None:
    """Errors of odd paths are the program's own, in a folder that is gone too."""

    def be_odd() -> list[str]:
        errors = []
        (tmp_path / "gone").mkdir()
        before = os.getcwd()
        os.chdir(tmp_path / "gone")
        os.rmdir(tmp_path / "gone")
        paths: Any = ("relative", "a\0b", b"\xff", PathLike(ValueError("no")))
        for path in paths:
            try:
                with open(path, "rb"):
                    pass
            except (OSError, ValueError) as error:
                errors.append(type(error).__name__)
        os.chdir(before)
        return errors

    record = record_run(be_odd, out, capture_files=True)
    expected = ["FileNotFoundError", "ValueError", "FileNotFoundError", "ValueError"]
    assert record["result"] == expected


# ------------------------------------------------------------------------------
# Small facts
# ------------------------------------------------------------------------------


@dataclasses.dataclass
class Weights:
    """Something that isn't JSON."""

    weights: Any


RESULTS: dict[str, tuple[Any, Any]] = {  # what is returned, what is recorded
    "number": (0.5, 0.5), "none": (None, None),
    "nested": ({"a": [1, {"b": True}]}, {"a": [1, {"b": True}]}),
    "tuples": ((1, (2, "x")), [1, [2, "x"]]),
    "numpy scalars": ({"loss": numpy.float32(0.5), "n": numpy.int64(3)}, {"loss": 0.5, "n": 3}),
    "numpy bool": (numpy.bool_(True), True), "longest": ("x" * 4094, "x" * 4094),
    "text": ("\u00e9\n", "\u00e9\n"), "keys that are numbers": ({3: 1}, {"3": 1}),
    "no numbers": ({"loss": float("nan"), "best": float("inf")}, {"loss": "nan", "best": "inf"}),
}  # fmt: skip
A_CYCLE: list[Any] = []
A_CYCLE.append(A_CYCLE)
NO_RESULTS = {
    "keys that are paths": {Path("x"): 1}, "keys that are tuples": {(1, 2): 1},
    "mapping": Reading(), "time": numpy.timedelta64(5, "ns"), "array": numpy.eye(2),
    "model": Weights(numpy.eye(2)), "list of models": [1, Weights(object())],
    "object": object(), "path": Path("x"), "bytes": b"x", "complex": 1j, "function": ignore,
    "too long": "x" * 4095, "many": list(range(2000)), "cycle": A_CYCLE,
}  # fmt: skip


@pytest.mark.parametrize("name", RESULTS)
def test_result(out: Path, name: str) -> None:
    """What is JSON is recorded, tuples and NumPy's scalars as what they are there."""
    result, expected = RESULTS[name]

    def give() -> Any:
        return result

    assert record_run(give, out)["result"] == expected


@pytest.mark.parametrize("name", NO_RESULTS)
def test_no_result(out: Path, name: str) -> None:
    """What isn't JSON, or is long, is left out."""

    def give() -> Any:
        return NO_RESULTS[name]

    assert "result" not in record_run(give, out)


def test_peak_of_memory(tmp_path: Path) -> None:
    """The process's so far, failed or not, whatever the program needed that started this one."""
    code = """
        @tracked(directory_parameter="out", **QUIET)
        def fill(out, size):
            b"x" * size
            assert size <= 100_000_000

        for number, size in enumerate([0, 100, 200, 0]):
            try: fill(f"out{number}", size * 1_000_000)
            except AssertionError: pass
    """
    (tmp_path / "fill.py").write_text(PRELUDE + textwrap.dedent(code), encoding="utf-8")
    starter = "import subprocess, sys; b'x' * 400_000_000; subprocess.run(sys.argv[1:], check=True)"
    run_python("-c", starter, sys.executable, "fill.py", cwd=tmp_path)
    told = [read(tmp_path / f"out{n}")["resources"]["max_rss_bytes"] for n in range(4)]
    first, *peaks = (peak / 1e6 for peak in told)
    assert 5 < first < 60
    assert [peak - first for peak in peaks] == pytest.approx([100, 200, 200], abs=15)


def spend(seconds: float) -> None:
    """Keep the processor busy for some of its own time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


SPEND = "import time\nwhile time.process_time() < 0.2: pass"


@pytest.mark.slow
def test_processor_time(out: Path) -> None:
    """What this process spent, all its threads, and the children that have ended; not sleeping."""
    spend(0.2)  # before the run

    def work() -> None:
        spend(0.1)
        thread = threading.Thread(target=spend, args=(0.1,))
        thread.start()
        thread.join()
        run_child(SPEND)

    def rest() -> None:
        time.sleep(0.3)

    assert 0.35 <= record_run(work, out)["resources"]["cpu_seconds"] < 0.9
    assert record_run(rest, out)["resources"]["cpu_seconds"] < 0.2


# ------------------------------------------------------------------------------
# Reading back: what the tests stand on
# ------------------------------------------------------------------------------


Command = Callable[..., str]
Feed = Callable[..., list[str]]
Patch = pytest.MonkeyPatch
Capture = pytest.CaptureFixture[str]
COMMAND_LINE = [sys.executable, pycrumbs.__file__]
PLAIN_OUTPUT = {"COLUMNS": "", "NO_COLOR": "", "FORCE_COLOR": ""}  # as if nobody had set them


@pytest.fixture
def command(capsys: Capture, monkeypatch: Patch) -> Command:
    """The command line: takes arguments and the status to expect, returns what it prints."""
    for name, value in PLAIN_OUTPUT.items():
        monkeypatch.setenv(name, value)

    def call(*arguments: object, status: int = 0) -> str:
        capsys.readouterr()
        assert (
            pycrumbs.main([os.fspath(a) if isinstance(a, Path) else str(a) for a in arguments])
            == status
        )
        out, err = capsys.readouterr()
        if status != 2:
            assert not re.sub(r"pycrumbs: [^\n]+; left out\n", "", err)
            return out
        assert out == ""
        assert re.fullmatch(r"pycrumbs: [^\n]+\n", err)
        return err[len("pycrumbs: ") : -1]

    return call


@pytest.fixture
def here(tmp_path: Path, monkeypatch: Patch) -> Path:
    """A folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def start_command(*arguments: object, cwd: Path, **options: Any) -> subprocess.Popen[bytes]:
    """Start the command line in a process of its own."""
    env = clean_environment(**{**PLAIN_OUTPUT, **options.pop("env", {})})
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen([*COMMAND_LINE, *map(str, arguments)], cwd=cwd, env=env, **pipes)


RUN: dict[str, Any] = {
    # a record as a run leaves it, with something in most of its places
    "pycrumbs": pycrumbs.__version__,
    "uuid": "51af8c51-0de5-48f5-a7da-9ec9688d56b6",
    "status": "completed",
    "timing": {"start_time": "2026-11-23 14:10:02.123456+01:00",
        "end_time": "2026-11-23 14:10:43.125456+01:00", "run_time": "0:00:41.002000"},
    "environment": {"argv": ["train.py", "--share", "0.8"], "platform": "linux",
        "python_version": "3.11.7 (main, Nov 1 2026, 10:00:00) [GCC 12.2.0]", "cwd": "/home/ada/project",
        "hostname": "node7", "cpu_count": 64, "user": "ada", "process": {"pid": 17, "start_time": 99,
        "boot_id": "b", "pid_namespace": "pid:[1]"}, "gpus": [{"index": 0, "name": "NVIDIA H200",
        "memory_mib": 143771}] * 2, "environment_variables": {"CUDA_VISIBLE_DEVICES": "0,1",
        "OMP_NUM_THREADS": "8"}},
    "package_inventory": {"numpy": "2.1.0", "torch": "2.13.0"},
    "called_function": {"name": "train", "qualname": "train", "module": "__main__",
        "source_file": "/home/ada/project/train.py", "parameters": {"data": "clean.json", "share": 0.8,
        "layers": [64, {"drop": 0.1}], "seed": 7}, "altered_parameters": {"data": "clean.json",
        "share": 0.8, "layers": [64, {"drop": 0.1}], "seed": 7},
        "directory": "/home/ada/project/runs/first"},
    "tracked_module": {"module_path": "/home/ada/project/train.py", "name": "__main__",
        "git_active_branch": "main", "git_commit_hash": "2a38ea37ee41466612f312d082445528df9f8d9d",
        "git_is_dirty": True, "git_remotes": {"origin": "ssh://git@github.com:/example/project.git"},
        "git_working_dir": "/home/ada/project", "git_patch": ["diff --git a/train.py b/train.py",
        "--- a/train.py", "+++ b/train.py"]},
    "seed": 7,
    "inputs": [{"path": "/data/clean.json", "size": 8192, "mtime": "2026", "sha256": "c1" * 32,
        "found": "parameter"}],
    "result": {"loss": 0.25},
    "outputs": [{"path": "model.pt", "size": 4194304, "sha256": "5e" * 32}],
    "resources": {"cpu_seconds": 40.1},
}  # fmt: skip
DROP = object()


def change(record: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A copy of a record with other values; keys are paths with `__` for dots; DROP removes."""
    record = json.loads(json.dumps(record))
    for path, value in changes.items():
        *parents, name = path.split("__")
        place = functools.reduce(
            lambda place, parent: place.setdefault(parent, {}), parents, record
        )
        place[name] = value
        if value is DROP:
            del place[name]
    return record


def leave_record(path: Path, *others: dict[str, Any], **changes: Any) -> Path:
    """Leave a record like RUN, or a chain of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    records = [*others, change(RUN, **changes)]
    path.write_text(json.dumps(records if others else records[0], indent=4), encoding="utf-8")
    return path


def entry(path: Path, name: str = "", **more: Any) -> dict[str, Any]:
    """A file's entry in a record, as the file is now."""
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    return {"path": name or str(path), "size": len(content), "sha256": sha256, **more}


def count_columns(text: str) -> int:
    """How wide a terminal shows a text."""
    import unicodedata

    widths = {"W": 2, "F": 2}
    return sum(
        widths.get(unicodedata.east_asian_width(c), 1) for c in text if not unicodedata.combining(c)
    )


def parse_cases(table: str) -> list[Any]:
    """Cases from text: `path = JSON` and `path gone` are changes; the lines after are what is told.

    What is told begins in the column after `|`. Where nothing is, a blank line is between cases.
    """
    cases: list[tuple[str, dict[str, Any], list[str]]] = []
    last = ""
    for line in textwrap.dedent(table).strip().split("\n"):
        found = re.fullmatch(r"([\w.]+) (?:= (.*)|gone)", line)
        if found and last[:1] in ("", "|"):
            cases.append((line, {}, []))
        if found:
            value = DROP if found[2] is None else json.loads(found[2])
            cases[-1][1][found[1].replace(".", "__")] = value
        elif line:
            cases[-1][2].append(line.lstrip()[1:])
        last = line
    return [pytest.param(changes, told, id=name) for name, changes, told in cases]


# As in the specification, though on fewer lines.
RECORD_0_4 = """
{
"uuid": "51af8c51-0de5-48f5-a7da-9ec9688d56b6",
"timing": {"start_time": "2023-01-16 22:38:54.484040", "end_time": "2023-01-16 22:38:54.534795",
    "run_time": "0:00:00.050755"},
"environment": {"argv": ["thing.py"],
    "orig_argv": ["/Users/chris/.pyenv/versions/pycrumbs/bin/python", "thing.py"],
    "platform": "darwin", "platform_info": "macOS-12.3.1-arm64-arm-64bit",
    "python_version": "3.10.3 (main, Sep 26 2022, 17:17:59) [Clang 13.1.6 (clang-1316.0.21.2.5)]",
    "python_implementation": "cpython",
    "python_executable": "/Users/chris/.pyenv/versions/pycrumbs/bin/python",
    "cwd": "/Users/chris/Developer/project", "hostname": "hostname.example.com",
    "python_path": ["/Users/chris/Developer/project",
    "/Users/chris/.pyenv/versions/3.10.3/lib/python310.zip"], "cpu_count": 10, "user": "cpb28",
    "environment_variables": {"CUDA_VISIBLE_DEVICES": null,
    "VIRTUAL_ENV": "/Users/chris/.pyenv/versions/3.10.3/envs/pycrumbs",
    "PYENV_VIRTUAL_ENV": "/Users/chris/.pyenv/versions/3.10.3/envs/pycrumbs", "PYTHONPATH": null}},
"package_inventory": {"setuptools": "65.6.3", "types-setuptools": "57.4.0", "Pillow": "9.0.0"},
"called_function": {"name": "my_train_fun", "module": "__main__",
    "source_file": "/Users/chris/Developer/project/train.py",
    "parameters": {"model_name": "my_model", "seed": null},
    "altered_parameters": {"model_name": "my_model", "seed": 106543}},
"tracked_module": {"module_path": "/Users/chris/Developer/project/train.py", "name": "__main__",
    "git_active_branch": "master", "git_commit_hash": "2a38ea37ee41466612f312d082445528df9f8d9d",
    "git_is_dirty": true, "git_remotes": {"origin": "ssh://git@github.com:/example/project.git"},
    "git_working_dir": "/Users/chris/Developer/project"},
"seed": 106543
}
"""


# ------------------------------------------------------------------------------
# From a file to its story
# ------------------------------------------------------------------------------


@pytest.fixture
def made(tmp_path: Path, monkeypatch: Patch) -> Path:
    """A folder in which a tracked function has made files, in folders of their own too."""

    @quick(directory_parameter="out", chain_records=True)
    def train(out: Path, share: float = 0.8) -> None:
        (out / "deep" / "er").mkdir(parents=True, exist_ok=True)
        for name in ("model.pt", "deep/er/state.bin", "metrics.json"):
            (out / name).write_text(json.dumps(share))

    train(tmp_path / "runs")
    train(tmp_path / "runs", 0.9)
    (tmp_path / "elsewhere.txt").write_text("made by nobody")
    monkeypatch.chdir(tmp_path)
    return tmp_path


TARGETS = """
    runs/train_record.json 2|runs/train_record.json@1 1|runs/train_record.json@2 2|runs 2|runs/ 2|runs@1 1
    . 2|runs/model.pt 2|runs/model.pt@1 1|runs/metrics.json 2|runs/deep 2|runs/deep/er/state.bin 2
    runs/deep/../model.pt 2
"""


@pytest.mark.parametrize("line", re.findall(r"[^|\s][^|\n]*", TARGETS))
def test_finds_the_record(made: Path, command: Command, line: str) -> None:
    """A record, a directory and any file that a run made lead to the record; @N to the N-th."""
    target, number = line.split()
    record = json.loads(command("show", "--json", target))
    assert record == pycrumbs.find_record(target) == pycrumbs.find_record(Path(target))
    assert record["record_number"] == int(number)
    assert record["called_function"]["parameters"]["share"] == {"1": 0.8, "2": 0.9}[number]
    assert os.path.samefile(record["record_path"], made / "runs/train_record.json")


def test_finds_the_record_of_a_file_that_is_gone(made: Path, command: Command) -> None:
    """A file that a run made is known after it was removed, and after its folder moved."""
    (made / "runs/model.pt").unlink()
    (made / "runs").rename(made / "moved")
    assert "train" in command("show", "moved/model.pt")
    assert "train" in command("show", "moved/deep/er/state.bin")


def test_content_decides_between_runs(tmp_path: Path, command: Command) -> None:
    """Of the runs that wrote to a path, the one that made its content is shown; then the newest."""
    model = tmp_path / "a/b/model.pt"
    model.parent.mkdir(parents=True)
    model.write_text("first")
    made_it = [entry(model, "b/model.pt")]
    other = [{"path": "model.pt", "size": 5, "sha256": "0" * 64}]
    leave_record(tmp_path / "a/outer_record.json", seed=1, outputs=made_it)
    newer = {"seed": 2, "timing__start_time": "2027-01-01 00:00:00"}
    leave_record(tmp_path / "a/b/newer_record.json", outputs=other, **newer)
    leave_record(tmp_path / "a/b/older_record.json", seed=3, outputs=other)
    assert "seed     1" in command("show", model)
    model.write_text("other")
    assert "seed     2" in command("show", model)


NOT_JSON = "FILE: is not JSON, or cut short: "
NOT_FOUND = {
    "nothing": "nothing: there is no such file or directory",
    "elsewhere.txt": "elsewhere.txt: no record beside it or in a folder above names this file; "
    "if it was written elsewhere, trace --root DIR looks for it by content",
    "runs@3": "runs/train_record.json: holds 2 runs; there is no number 3",
    "runs@0": "runs/train_record.json: holds 2 runs; there is no number 0",
    "nothing@1": "nothing: there is no such file or directory",
    "runs@x": "runs@x: there is no such file or directory",
    "runs@\u00b2": "runs@\u00b2: there is no such file or directory",
    f"runs@{'9' * 5000}": f"runs@{'9' * 5000}: there is no such file or directory",
    "empty": "empty: there is no record in this directory, below or above it",
    "loop": "loop: there is no such file or directory",
    "loop/x": "loop/x: there is no such file or directory",
    "elsewhere.txt/x": "elsewhere.txt/x: there is no such file or directory",
    "pipe": "pipe: no record beside it or in a folder above names this file; "
    "if it was written elsewhere, trace --root DIR looks for it by content",
    "pipe.json": "pipe.json: is not a file",
    "dead.json": "dead.json: there is no such file or directory",
    "empty.json": f"{NOT_JSON}Expecting value: line 1 column 1 (char 0)",
    "torn.json": f"{NOT_JSON}Unterminated string starting at: line 1 column 2 (char 1)",
    "binary.json": f"{NOT_JSON}'utf-8' codec can't decode byte 0x80 in position 0: invalid start "
    "byte",
    "other.json": "other.json: is JSON, but not a record of pycrumbs",
    "number.json": "number.json: is JSON, but not a record of pycrumbs",
    "list.json": "list.json: is JSON, but not a record of pycrumbs",
    "null.json": "null.json: is JSON, but not a record of pycrumbs",
    "deeper.json": "deeper.json: is nested too deeply to be a record",
    "huge.json": "huge.json: is larger than 32.0 MiB",
    "digits.json": NOT_JSON,
}


@pytest.fixture
def hostile_folder(made: Path) -> Path:
    """A folder with files that look like records to various degrees, and with other traps."""
    (made / "empty").mkdir()
    (made / "loop").symlink_to("loop")
    (made / "dead.json").symlink_to("nowhere")
    for name in ("pipe", "pipe.json"):
        os.mkfifo(made / name)
    record = json.dumps(RUN)
    nested = '{"pycrumbs": "1", "called_function": %s}'
    texts = {
        "empty": "",
        "torn": '{"pycrum',
        "other": '{"pycrumbs": "1"}',
        "number": "7",
        "list": "[]",
        "null": "null",
        "deeper": nested % ("[" * 100_000 + "]" * 100_000),
        "digits": nested % ("9" * 100_000) if sys.version_info >= (3, 11) else "9x",
    }
    for name, text in texts.items():
        (made / f"{name}.json").write_text(text)
    (made / "binary.json").write_bytes(b"\x80")
    with open(made / "huge.json", "w") as file:
        file.write(record)
        file.truncate(64 * 2**20 + 1)
    return made


@pytest.mark.parametrize("target", [pytest.param(t, id=t[:20]) for t in NOT_FOUND])
@pytest.mark.slow
def test_says_in_a_line_why_there_is_no_record(
    hostile_folder: Path, command: Command, target: str
) -> None:
    """What is no record, or has none, is said in one line by every command; status 2."""
    told = command("show", target, status=2)
    reason = NOT_FOUND[target].replace("FILE", target)
    assert told[:4096] == reason[:4096] or (reason.endswith(": ") and told.startswith(reason))
    assert command("diff", target, "runs", status=2) == told
    assert command("rerun", target, status=2) == told
    if target != "empty":
        assert command("verify", target, status=2) == told
        command("log", target, status=2)
        command("trace", "--root", target, "runs/model.pt", status=2)
    with pytest.raises(pycrumbs.RecordError):
        pycrumbs.find_record(target)


def test_traps_in_a_folder_are_passed_over(
    hostile_folder: Path, command: Command, capsys: Capture
) -> None:
    """Files that are no records don't hide those that are, nor do pipes hold anything up."""
    with pytest.warns(RuntimeWarning) as caught:
        assert len(pycrumbs.load_records(hostile_folder)) == 2
    told = "\n".join(str(warning.message) for warning in caught)
    assert re.search(r"deeper.json: is nested too deeply .*; left out", told)
    assert len(command("log").splitlines()) == 2
    assert pycrumbs.main(["verify", "."]) == 2
    assert capsys.readouterr().out == "3 ok, 3 replaced\n"
    assert "runs/model.pt  <- made by train" in command("trace", "--root", ".", "runs/model.pt")
    (hostile_folder / "runs/torn.json").write_text('{"pycrumbs": "0.5.0", "uuid"')
    assert pycrumbs.main(["show", "runs"]) == 0
    assert re.fullmatch(
        r"pycrumbs: .*torn.json: is not JSON.*; left out\n", capsys.readouterr().err
    )


def test_loads_newest_first(tmp_path: Path) -> None:
    """All runs below a folder come newest first, whatever their offset from UTC."""
    times = {
        "a": "2026-11-23 14:00:00+01:00",
        "b": "2026-11-23 13:30:00+00:00",
        "c/d": "2026-01-01",
    }
    for name, start in times.items():
        leave_record(tmp_path / name / "x.json", timing__start_time=start)
    older = change(RUN, timing__start_time="2025-05-05 05:05:05")
    leave_record(tmp_path / "e/y.json", older, timing__start_time="2024")
    records = pycrumbs.load_records(str(tmp_path))
    places = [os.path.relpath(record["record_path"], tmp_path) for record in records]
    assert places == ["b/x.json", "a/x.json", "c/d/x.json", "e/y.json", "e/y.json"]
    assert [record["record_number"] for record in records] == [1, 1, 1, 1, 2]
    assert pycrumbs.load_records(tmp_path / "a/x.json") == records[1:2]


SUMMARY = """\
run      train (train.py)
status   completed, took 41.0 s, started 2026-11-23 14:10:02
where    ada on node7, 2 x NVIDIA H200, Python 3.11.7, in /home/ada/project
code     2a38ea37ee41 on main, dirty, patch of 3 lines
seed     7
argument data = clean.json
         share = 0.8
         layers = [64, {"drop": 0.1}]
         seed = 7
input    /data/clean.json  8.0 KiB  c1c1c1c1c1c1
output   model.pt  4.0 MiB  5e5e5e5e5e5e
result   {"loss": 0.25}
unusual  the code had uncommitted changes
record   train_record.json
"""
SUMMARY_0_4 = """\
run      my_train_fun (/Users/chris/Developer/project/train.py)
status   completed, took 0.05 s, started 2023-01-16 22:38:54
where    cpb28 on hostname.example.com, Python 3.10.3, in /Users/chris/Developer/project
code     2a38ea37ee41 on master, dirty
seed     106543 (drawn)
argument model_name = my_model
         seed = 106543
unusual  the code had uncommitted changes
record   old_record.json
"""


def test_summary(here: Path, command: Command) -> None:
    """A summary says what ran, how it ended, where, on which code, with what, and what it made."""
    leave_record(here / "train_record.json", called_function__source_file=str(here / "train.py"))
    assert command("show", ".") == SUMMARY


def test_summary_of_0_4(here: Path, command: Command) -> None:
    """A record that pycrumbs 0.4 made reads too, found from a file beside it."""
    Path("old_record.json").write_text(RECORD_0_4)
    Path("model.pt").write_text("a model")
    assert command("show", "model.pt") == command("show", "old_record.json") == SUMMARY_0_4
    pins = "setuptools==65.6.3\ntypes-setuptools==57.4.0\nPillow==9.0.0\n"
    assert command("show", "--requirements", ".") == pins
    assert command("show", "--patch", ".") == command("show", "--checksums", ".") == ""
    assert command("log") == "2023-01-16 22:38:54  completed  0.05 s  my_train_fun  .\n"
    assert command("diff", ".", "model.pt") == "no difference\n"
    assert command("verify", ".") == "no files recorded\n"
    assert without_times(command("trace", "model.pt")) == ["model.pt  <- made by my_train_fun"]
    Path("made").write_text("from it")
    inputs = [entry(Path("model.pt").absolute())]
    leave_record(Path("x.json"), inputs=inputs, outputs=[entry(Path("made"))])
    assert command("trace", "made").splitlines()[1] == "`-- model.pt"


SUMMARIES = """
    status = "failed"
    error = {"type": "ValueError", "message": "no"}
    |error    ValueError: no
    |unusual  the run did not complete: failed
    |status   failed, took 41.0 s, started 2026-11-23 14:10:02
    timing = {}
    |status   completed, started at an unknown time
    timing.run_time = "1 day, 2:03:04.5"
    |status   completed, took 1 day, 2:03:04, started 2026-11-23 14:10:02
    tracked_module gone
    |code     not under git
    tracked_module.git_commit_hash gone
    |code     no commit on main, dirty, patch of 3 lines
    tracked_module.source_edited_after_import = true
    |unusual  the code had uncommitted changes
    |         the code was edited after it had been imported: what ran is not in git
    tracked_module.git_patch_omitted = "left out: big.bin"
    |         the code: left out: big.bin
    extra_tracked_modules = {"lib": {"git_is_dirty": true}}
    |         lib had uncommitted changes
    package_origins = {"lib": {"git_is_dirty": true}}
    |         lib had uncommitted changes
    outputs_omitted = "5 of 10,005 files"
    |         outputs left out: 5 of 10,005 files
    environment.gpus = "unavailable: broken"
    |         GPUs unavailable: broken
    capture = "partial: some"
    |files    partial: some
    seed = 8
    |seed     8 (drawn)
    rerun_of = "the-first"
    |rerun    of the-first
    called_function.altered_parameters = {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4, "f": 5, "g": 6, "h": 7}
    |         h = 7
    called_function.altered_parameters = {"share": "0.8", "note": "", "text": "a b", "x": "2.1.0"}
    |argument share = "0.8"
    |         note = ""
    |         text = "a b"
    |         x = 2.1.0
    inputs = [{"path": "/x", "size": null, "sha256": null}]
    |input    /x  missing  not hashed
    |         there was no input /x
    outputs = [{"path": "x", "size": 0, "sha256": null}]
    |output   x  0 bytes  not hashed
"""


@pytest.mark.parametrize(("changes", "told"), parse_cases(SUMMARIES))
def test_summary_says(
    tmp_path: Path, command: Command, changes: dict[str, Any], told: list[str]
) -> None:
    """What is unusual of a run, and where it stands."""
    leave_record(tmp_path / "train_record.json", **changes)
    lines = command("show", tmp_path).splitlines()
    assert [line for line in told if line in lines] == told


@pytest.mark.parametrize("width", [30, 80, 200])
def test_summary_fits_a_screen(
    tmp_path: Path, command: Command, monkeypatch: Patch, width: int
) -> None:
    """However much there is to say, 24 lines and the terminal's width suffice."""
    monkeypatch.setenv("COLUMNS", str(width))
    files = [{"path": f"/{'x' * 100}/{n}", "size": n, "sha256": "ab" * 32} for n in range(1000)]
    module = {"git_is_dirty": True, "source_edited_after_import": True}
    module["git_patch_omitted"] = "\u6f22" * 300  # type: ignore[assignment]
    changes = {
        "status": "failed", "error": {"type": "ValueError", "message": "line\n" * 100},
        "called_function__altered_parameters": {f"a_{n}": "\u6f22\u5b57" * 40 for n in range(1000)},
        "extra_tracked_modules": {f"module_{n}": module for n in range(100)},
        "capture": "partial: whatever", "result": DROP, "inputs": files, "outputs": files,
    }  # fmt: skip
    leave_record(tmp_path / "train_record.json", **changes)
    lines = command("show", tmp_path).splitlines()
    assert len(lines) == 24
    assert max(map(count_columns, lines)) <= width
    assert "... and 996" in " ".join(lines)


# ------------------------------------------------------------------------------
# Parts of a record for other programs
# ------------------------------------------------------------------------------

LOCALES = [
    pytest.param({"LC_ALL": "C.UTF-8"}, id="UTF-8"),
    pytest.param({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, id="C"),
    pytest.param({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}, id="ascii"),
    pytest.param({"PYTHONIOENCODING": "utf-16"}, id="utf-16"),
]


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.slow
def test_patch_is_what_git_apply_takes(repo: Repo, out: Path, locale: dict[str, str]) -> None:
    """`show --patch | git apply` rebuilds the files, byte by byte, whatever the locale."""
    repo.write(
        "train.py",
        f"from pycrumbs import tracked\ntracked(literal_directory={str(out)!r})(lambda: 0)()\n",
    )
    files = {
        "bin": b"\0\xff\x80",
        "eol": b"a\r\nb\x0cc",
        "\u00fc \u6f22": "\u00fc\u2028\u202e\n".encode(),
    }
    for name in files:
        repo.write(name, "before")
    commit = repo.commit()
    for name, content in files.items():
        (repo.path / name).write_bytes(content)
    repo.run("train.py")
    patch = start_command("show", "--patch", out, cwd=out, env=locale).communicate()[0]
    repo.git("reset", "--quiet", "--hard", commit)
    subprocess.run(["git", "apply"], input=patch, cwd=repo.path, check=True)
    assert {name: (repo.path / name).read_bytes() for name in files} == files


COMMIT = "2a38ea37ee41466612f312d082445528df9f8d9d"
ORIGINS: dict[str, tuple[dict[str, Any], str]] = {
    # an origin as a record tells it: its line in a file of requirements; "#" where pip needs more
    "index": ({}, "lib==1.0"),
    "vcs": ({"url": "https://example.org/lib.git", "vcs": "git", "commit": COMMIT},
        f"lib @ git+https://example.org/lib.git@{COMMIT}"),
    "vcs, subdirectory": ({"url": "ssh://git@example.org/a.git", "vcs": "git", "commit": COMMIT,
        "subdirectory": "sub/lib"}, f"lib @ git+ssh://git@example.org/a.git@{COMMIT}#subdirectory=sub/lib"),
    "vcs of another kind": ({"url": "https://example.org/lib", "vcs": "hg", "commit": "ab12"},
        "lib @ hg+https://example.org/lib@ab12"),
    "vcs with a secret left out": ({"url": "https://<redacted>@example.org/lib", "vcs": "git",
        "commit": COMMIT}, f"lib @ git+https://example.org/lib@{COMMIT}"),
    "archive": ({"url": "https://example.org/lib-1.0.tar.gz", "hash": f"sha256={'ab' * 32}"},
        f"lib @ https://example.org/lib-1.0.tar.gz#sha256={'ab' * 32}"),
    "folder": ({"url": "file:///srv/a%20b/lib"}, "lib @ file:///srv/a%20b/lib"),
    "editable": ({"url": "file:///srv/lib", "editable": True}, "#"),
    "editable, with a remote": ({"url": "file:///srv/lib", "editable": True, "git_commit_hash": COMMIT,
        "git_remotes": {"origin": "https://e.org/a"}, "git_working_dir": "/srv/lib"}, "#"),
    "an option": ({"url": "--index-url=http://x"}, "#"),
    "an option, editable": ({"url": "-r", "editable": True}, "#"),
    "two lines": ({"url": "http://x\n--pre"}, "#"),
    "a secret within": ({"url": "http://x?<redacted>"}, "#"),
}  # fmt: skip


@pytest.mark.parametrize(("origin", "line"), ORIGINS.values(), ids=ORIGINS)
def test_requirements_of_each_origin(
    tmp_path: Path, command: Command, origin: dict[str, Any], line: str
) -> None:
    """A package is required from where it came; what pip can't be told of is a comment."""
    changes = {"package_inventory": {"lib": "1.0"}, "package_origins": {"lib": origin}}
    told = command("show", "--requirements", leave_record(tmp_path / "x.json", **changes))
    if line == "#":
        assert re.fullmatch(r"# [^\n]*\blib\b[^\n]*\n", told)
    else:
        assert told == f"{line}\n"
        Requirement(line)


def test_requirements_of_any_version(tmp_path: Path, command: Command) -> None:
    """Versions are pinned; what is none is a comment, so that no line is an option of pip."""
    versions = "1 1.0 2!1.0 1.0a1 1.0.post2 1.0.dev4 1.0+cu118".split()
    plain = {f"p{number}": version for number, version in enumerate(versions)}
    odd = {"--index-url http://x": "1", "a\n-r /etc/passwd": "1", "b": "1\n-r x", "d": ""}
    odd |= {"c": "unavailable: it broke", "tz": "2004d", "old": "0.1-alpha-x"}
    leave_record(tmp_path / "x.json", package_inventory={**plain, **odd})
    lines = command("show", "--requirements", tmp_path).splitlines()
    assert len(lines) == len(plain) + len(odd)
    kept = [line for line in lines if not line.startswith("# ")]
    assert kept == [f"{name}=={version}" for name, version in plain.items()]
    assert [str(Requirement(line)) for line in kept] == kept


@pytest.mark.integration
def test_pip_takes_the_requirements(repo: Repo, tmp_path: Path, command: Command) -> None:
    """What each kind of origin leads to, pip finds: VCS, in a subdirectory, folder, archive."""
    project = (
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "NAME"\nversion = "1"\n[tool.setuptools]\npy-modules = []\n'
    )
    for name, folder in {"top": ".", "sub": "packages/sub"}.items():
        repo.write(f"{folder}/pyproject.toml", project.replace("NAME", name))
    archive, url = tmp_path / "top.zip", repo.path.as_uri()
    vcs = {"url": url, "vcs": "git", "commit": repo.commit()}
    repo.git("archive", "-o", str(archive), "HEAD")
    zipped = {"url": archive.as_uri(), "hash": f"sha256={entry(archive)['sha256']}"}
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--no-index"]
    below = {**vcs, "subdirectory": "packages/sub"}
    for name, origin in (("top", vcs), ("top", {"url": url}), ("top", zipped), ("sub", below)):
        changes = {"package_inventory": {name: "1"}, "package_origins": {name: origin}}
        record = leave_record(tmp_path / "x.json", **changes)
        (tmp_path / "requirements.txt").write_text(command("show", "--requirements", record))
        done = subprocess.run(
            [*pip, "--no-build-isolation", "-r", "requirements.txt"],
            cwd=tmp_path,
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr.decode()
        assert f"Would install {name}-1".encode() in done.stdout


ODD_NAMES = [
    b"a b", b"new\nline", b"back\\slash", b"\\n", b"cr\rx", b"tab\t", b"quote'\"", b"\xff\xfe",
    "\u6f22".encode(), b" x ", b"-c", b"*",
]  # fmt: skip


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.slow
def test_checksums_are_what_sha256sum_takes(tmp_path: Path, locale: dict[str, str]) -> None:
    """`show --checksums | sha256sum -c` checks every file, whatever its name and the locale."""

    @quick(directory_parameter="out", input_parameters=["data"])
    def work(data: Path, out: Path) -> None:
        for name in ODD_NAMES:
            Path(os.fsdecode(os.fsencode(out) + b"/" + name)).write_text("made")

    (tmp_path / "in").mkdir()
    for name in ODD_NAMES:
        Path(os.fsdecode(os.fsencode(tmp_path / "in") + b"/" + name)).write_text("read")
    work(tmp_path / "in", tmp_path / "out")
    sums = start_command("show", "--checksums", "out", cwd=tmp_path, env=locale).communicate()[0]
    told = subprocess.run(
        ["sha256sum", "-c", "--strict"], input=sums, cwd="/", capture_output=True, check=True
    )
    assert told.stdout.count(b": OK\n") == sums.count(b"\n") == 2 * len(ODD_NAMES)
    (tmp_path / "out/new\nline").write_text("changed")
    told = subprocess.run(["sha256sum", "-c", "--quiet"], input=sums, capture_output=True)
    assert told.returncode == 1


def test_checksums_of_a_folder_that_was_moved(tmp_path: Path, command: Command) -> None:
    """The files are where they are now, as for verify."""

    @quick(directory_parameter="out", create_parents=True)
    def work(data: str, out: str) -> None:
        Path(out, "made").write_text("made")

    (tmp_path / "then").mkdir()
    (tmp_path / "then/data").write_text("read")
    work(str(tmp_path / "then/data"), str(tmp_path / "then/runs/a"))
    now = (tmp_path / "then").rename(tmp_path / "now")
    paths = [line.split("  ")[1] for line in command("show", "--checksums", now).splitlines()]
    assert paths == [str(now / "data"), str(now / "runs/a/made")]
    (now / "data").write_text("else")
    assert str(tmp_path / "then/data") in command("show", "--checksums", now)


def test_unhashed_files_have_no_checksum(tmp_path: Path, command: Command) -> None:
    """What isn't a hash doesn't get among the checksums; there may be none."""
    entries = [
        {"path": "x", "size": 1, "sha256": sha256}
        for sha256 in (None, "", "AB" * 32, "a" * 63, 5, "ab\n" * 32)
    ]
    leave_record(tmp_path / "x.json", inputs=[], outputs=entries)
    assert command("show", "--checksums", tmp_path) == ""


# ------------------------------------------------------------------------------
# log: what ran
# ------------------------------------------------------------------------------


def test_log(here: Path, command: Command) -> None:
    """Newest first: how each run ended, its target, and the arguments that vary."""
    first = {"data": "clean.json", "out": "runs/a", "share": 0.8, "layers": [1, 2]}
    second = {**first, "out": "runs/b", "share": "0.8", "layers": [1], "new": None}
    died = {
        "status": "running", "timing": {"start_time": "2026-11-24 09:00:00+01:00"},
        "environment__hostname": os.uname().nodename, "environment__process": {"boot_id": "long ago"},
    }  # fmt: skip
    for name, parameters, changes in (("a", first, {}), ("b", second, died)):
        called = {
            "called_function__directory": str(here / "runs" / name),
            "called_function__parameters": parameters,
        }
        path = here / f"runs/{name}/train_record.json"
        leave_record(path, **called, **changes, environment__cwd=str(here))
    leave_record(here / "runs/c/clean_record.json", called_function__name="clean", timing={})
    assert command("log", "runs") == (
        '2026-11-24 09:00:00  died               train  runs/b  share="0.8" layers=[1] new=null\n'
        "2026-11-23 14:10:02  completed  41.0 s  train  runs/a  share=0.8 layers=[1, 2]\n"
        "                     completed          clean  runs/c\n"
    )
    (here / "empty").mkdir()
    assert command("log", "empty") == "no runs below this folder\n"
    assert "runs/b/train_record.json: cannot" not in command("log", "nothing", status=2)


def test_log_names_targets(made: Path, command: Command) -> None:
    """What the table calls a run is what the other commands find it by."""
    leave_record(made / "two/a_record.json", seed=1)
    leave_record(made / "two/b_record.json", seed=2)
    lines = command("log").splitlines()
    targets = ["runs@2", "runs@1", "two/a_record.json", "two/b_record.json"]
    assert sorted(line.split()[6] for line in lines) == sorted(targets)
    for run in json.loads(command("log", "--json")):
        number = f"@{run['record_number']}"
        assert pycrumbs.find_record(run["record_path"] + number)["uuid"] == run["uuid"]
    assert {pycrumbs.find_record(t)["uuid"] for t in targets[:2]} == {
        r["uuid"] for r in pycrumbs.load_records("runs")
    }
    assert [pycrumbs.find_record(target)["seed"] for target in targets[2:]] == [1, 2]


def test_targets_in_a_log_are_whole(here: Path, command: Command, monkeypatch: Patch) -> None:
    """They are what the other commands take."""
    monkeypatch.setenv("COLUMNS", "80")
    for name in (long := f"model_{uuid.UUID(int=0)}", "-odd"):
        leave_record(here / name / "r.json", timing={})
    assert {long, "./-odd"} <= set(command("log").split())


def test_log_as_json(tmp_path: Path, command: Command) -> None:
    """A list of objects, with what the table leaves out; of one record, too."""
    path = leave_record(tmp_path / "a/train_record.json")
    (run,) = json.loads(command("log", "--json", tmp_path))
    assert [run] == json.loads(command("log", "--json", path))
    called, timing = RUN["called_function"], RUN["timing"]
    assert run == {
        "start_time": timing["start_time"], "status": "completed", "run_time": timing["run_time"],
        "function": "train", "arguments": called["parameters"], "seed": 7, "uuid": RUN["uuid"],
        "directory": called["directory"], "directory_parameter": None, "cwd": "/home/ada/project",
        "record_path": str(path), "record_number": 1,
    }  # fmt: skip


@pytest.mark.parametrize("width", [30, 50, 80, 120])
def test_log_fits_the_terminal(
    tmp_path: Path, command: Command, monkeypatch: Patch, width: int
) -> None:
    """No line is wider than the terminal, whatever is long and whatever is wide in it."""
    monkeypatch.setenv("COLUMNS", str(width))
    for number in range(3):
        leave_record(
            tmp_path / ("d" * 60) / str(number) / "r.json",
            called_function__name="train_" + "\u6f22\u5b57e\u0301" * 9,
            called_function__parameters={"text": f"{number} " * 50, "\u6f22": number},
        )
    lines = command("log", tmp_path).splitlines()
    assert [count_columns(line) for line in lines] == [width] * 3


@pytest.mark.slow
def test_log_of_ten_thousand(tmp_path: Path) -> None:
    """Ten thousand runs are listed in at most 150 MB of memory."""
    inventory = {f"package-{number:03d}": "1.2.3" for number in range(120)}
    text = json.dumps(
        change(RUN, package_inventory=inventory, called_function__parameters={"share": "SHARE"})
    )
    for number in range(10_000):
        folder = tmp_path / f"{number // 100}/{number}"
        folder.mkdir(parents=True)
        start = f"2026-01-{1 + number % 28:02d} 00:{number // 60 % 60:02d}:{number % 60:02d}"
        run = text.replace('"SHARE"', str(number)).replace(RUN["timing"]["start_time"], start)
        (folder / "r.json").write_text(run)
    code = (
        "import pycrumbs, re; pycrumbs.main(['log', '.']); "
        "print(int(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1]) / 1e3)"
    )
    *lines, peak = run_python("-c", code, cwd=tmp_path, env=PLAIN_OUTPUT).stdout.splitlines()
    starts = [line[:19] for line in lines]
    assert len(lines) == 10_000
    assert starts == sorted(starts, reverse=True)
    assert len({line.rpartition("share=")[2] for line in lines}) == 10_000
    assert float(peak) < 150


# ------------------------------------------------------------------------------
# diff: what differs
# ------------------------------------------------------------------------------

DIFFERENCES = """
    called_function.parameters.share = 0.9
    |arguments
    |  share: 0.8 -> 0.9
    called_function.parameters.share = "0.8"
    |arguments
    |  share: 0.8 -> "0.8"
    called_function.parameters.share gone
    called_function.parameters.layers = [64, {"drop": 0.2}]
    called_function.parameters.new = null
    |arguments
    |  layers[1].drop: 0.1 -> 0.2
    |  new: only in the second: null
    |  share: only in the first: 0.8
    called_function.parameters.layers = [64]
    |arguments
    |  layers: [64, {"drop": 0.1}] -> [64]
    called_function.name = "fit"
    called_function.qualname = "Model.fit"
    called_function.module = "lib.train"
    |function
    |  module: __main__ -> lib.train
    |  name: train -> Model.fit
    tracked_module.git_commit_hash = "abababababababababababababababababababab"
    |code
    |  git_commit_hash: 2a38ea37ee41 -> abababababab
    tracked_module.git_patch = ["diff --git a/train.py b/train.py", "+x", "diff --git a/x b/x", "+"]
    |code
    |  git_patch.train.py: 3 lines -> 2 lines
    |  git_patch.x: only in the second: 2 lines
    tracked_module gone
    |code
    |  git_commit_hash: only in the first: 2a38ea37ee41
    |  git_is_dirty: only in the first: true
    |  git_patch: only in the first: {"train.py": "diff --git a/train.py b/train.py\\n\
--- a/train.py\\n+++ b/train.py"}
    extra_tracked_modules = {"lib": {"git_commit_hash": "abababababababababababababababababababab"}}
    |code
    |  lib: only in the second: {"git_commit_hash": "abababababab", "git_patch": {}}
    package_origins = {"numpy": {"commit": "abababababababababababababababababababab"}}
    |code
    |  numpy: only in the second: {"commit": "abababababab", "git_patch": {}}
    called_function.parameter_types = {"layers{}": "int"}
    |arguments
    |  layers{} (type): plain -> int
    environment.orig_argv = ["python", "-O", "-X", "utf8", "-u", "-W", "error", "train.py", "-b"]
    |environment
    |  flags: [] -> ["-O", "-Xutf8", "-Werror"]
    package_inventory.numpy = "2.2.0"
    package_inventory.torch gone
    package_inventory.six = "1.16.0"
    |packages
    |  numpy: 2.1.0 -> 2.2.0
    |  six: only in the second: 1.16.0
    |  torch: only in the first: 2.13.0
    seed = 8
    called_function.parameters.seed = 8
    |arguments
    |  seed: 7 -> 8
    |seed
    |  seed: 7 -> 8
    inputs = [{"path": "/data/clean.json", "size": 8192, "sha256": "HASH"}]
    |inputs
    |  /data/clean.json: c1c1c1c1c1c1 -> HASH
    inputs = [{"path": "/data/clean.json", "size": 8, "sha256": null}]
    |inputs
    |  /data/clean.json: 8192 -> 8
    inputs = []
    |inputs
    |  /data/clean.json: only in the first: c1c1c1c1c1c1
    outputs = [{"path": "a.pt", "size": 4194304, "sha256": "HASH"}]
    |outputs
    |  a.pt: only in the second: HASH
    |  model.pt: only in the first: 5e5e5e5e5e5e
    result = {"loss": 0.5}
    |result
    |  loss: 0.25 -> 0.5
    result gone
    |result
    |  result: only in the first: {"loss": 0.25}
    status = "failed"
    error = {"message": "no"}
    |status
    |  error: only in the second: no
    |  status: completed -> failed
    environment.python_version = "3.12.0"
    environment.environment_variables.OMP_NUM_THREADS = "1"
    environment.environment_variables.SLURM_JOB_NAME = "x"
    environment.gpus = []
    |environment
    |  environment_variables.OMP_NUM_THREADS: "8" -> "1"
    |  environment_variables.SLURM_JOB_NAME: only in the second: x
    |  gpus: [{"index": 0, "name": "NVIDIA H200", "memory_mib": 143771}, \
{"index": 0, "name":... -> []
    |  python_version: "3.11.7 (main, Nov 1 2026, 10:00:00) [GCC 12.2.0]" -> 3.12.0
"""


@pytest.mark.parametrize(("changes", "told"), parse_cases(DIFFERENCES))
def test_diff_tells(
    tmp_path: Path, command: Command, changes: dict[str, Any], told: list[str]
) -> None:
    """Each difference stands in its section, by its path, with both values; status 1, both ways."""
    a, b = leave_record(tmp_path / "a.json"), leave_record(tmp_path / "b.json", **changes)
    assert command("diff", a, b, status=1).splitlines() == told
    found = json.loads(command("diff", "--json", a, b, status=1))
    assert found == pycrumbs.diff_records(pycrumbs.find_record(a), pycrumbs.find_record(b))
    sections = list(dict.fromkeys(difference["section"] for difference in found))
    assert sections == [line for line in told if line[0] != " "]
    back = json.loads(command("diff", "--json", b, a, status=1))
    assert [{**d, "a": d.get("b"), "b": d.get("a")} for d in back] == [
        {**d, "a": d.get("a"), "b": d.get("b")} for d in found
    ]


NO_DIFFERENCES = """
    uuid = "other"
    parent = "p"
    timing = {"start_time": "2020"}
    resources = {}
    pycrumbs = "9"
    environment.process = {"pid": 1}
    environment.orig_argv = ["python3"]
    environment.environment_variables.SLURM_JOB_ID = "5"
    environment.environment_variables.MASTER_PORT = "1"
    tracked_module.git_active_branch = "detached"
    tracked_module.git_working_dir = "/x"
    inputs = [{"path": "/data/clean.json", "size": 8192, "sha256": null}]
    package_inventory = {"NumPy": "2.1.0", "Torch": "2.13.0"}
"""


@pytest.mark.parametrize(("changes", "told"), parse_cases(NO_DIFFERENCES.replace("\n", "\n\n")))
def test_diff_passes_over(
    tmp_path: Path, command: Command, changes: dict[str, Any], told: list[str]
) -> None:
    """What always differs, or says nothing about the run, is no difference."""
    a, b = leave_record(tmp_path / "a.json"), leave_record(tmp_path / "b.json", **changes)
    assert command("diff", a, b) == command("diff", b, a)
    assert command("diff", a, b).splitlines()[0] == "no difference"
    assert json.loads(command("diff", "--json", a, b)) == told == []


LIB = {"url": "file:///srv/lib", "editable": True, "git_working_dir": "/srv/lib"}
UNHASHED = [{"path": f"{n}.bin", "size": 1000, "sha256": None} for n in range(9)]
PATCHES = [
    [f"diff --git a/{name} b/{name}", "@@ -1 +1 @@", f"+{line}"]
    for name, line in (("f.txt", "1"), ("x b/f.txt", "1"), ("f.txt", "2"))
]
TYPED = {"called_function__parameters": {"x": [1, 2], "y": {"z": 2}, "out": "runs/a"},
         "called_function__directory_parameter": "out"}  # fmt: skip
TOO_LONG = {"texts": SUPPRESSED, "x": SUPPRESSED}
PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    # changes of the first record and of the second one; what is told
    "an editable package that is a module": (
        {"package_origins": {"lib": LIB}, "extra_tracked_modules": {"lib": {"git_commit_hash": "a" * 40}}},
        {"package_origins": {"lib": LIB}, "extra_tracked_modules": {"lib": {"git_commit_hash": "b" * 40}}},
        f"code\n  lib.git_commit_hash: {'a' * 12} -> {'b' * 12}\n"),
    "another archive at the same address": (
        {"package_origins": {"lib": {"url": "https://x/a.zip", "hash": f"sha256={'a' * 64}"}}},
        {"package_origins": {"lib": {"url": "https://x/a.zip", "hash": f"sha256={'b' * 64}"}}},
        f"code\n  lib.hash: sha256={'a' * 12} -> sha256={'b' * 12}\n"),
    "types, but the directory's": (
        {"called_function__parameter_types": {"x": "tuple", "out": "pathlib.PosixPath"}, **TYPED},
        {"called_function__parameter_types": {"y.z": "numpy.int64"}, **TYPED},
        "arguments\n  x (type): tuple -> plain\n  y.z (type): plain -> numpy.int64\n"),
    "an input elsewhere, with the same content": (
        {}, {"inputs": [{**RUN["inputs"][0], "path": "/elsewhere/clean.json"}]}, "no difference\n"),
    "drawn seeds": (
        {"seed": 1, "called_function__parameters__seed": None},
        {"seed": 2, "called_function__parameters__seed": None}, "no difference\n"),
    "drawn seeds, and what came out": (
        {"seed": 1, "called_function__parameters__seed": None},
        {"seed": 2, "called_function__parameters__seed": None, "result": 0},
        'seed\n  seed: 1 -> 2\nresult\n  result: {"loss": 0.25} -> 0\n'),
    "drawn seeds, and nobody knows what came out": (
        {"seed": 10**9, "outputs": UNHASHED[:1], "result": DROP},
        {"seed": 10**9 + 1, "outputs": UNHASHED[:1], "result": DROP},
        "seed\n  seed: 1000000000 -> 1000000001\n"
        "not hashed, so only their sizes were compared: 0.bin\n"),
    "names of files that end alike": (
        {"tracked_module__git_patch": PATCHES[0] + PATCHES[1]},
        {"tracked_module__git_patch": PATCHES[2] + PATCHES[1]},
        "code\n  git_patch.f.txt: 3 lines -> 3 lines\n"),
    "what was not hashed": (
        {"outputs": UNHASHED}, {"outputs": UNHASHED},
        "no difference\nnot hashed, so only their sizes were compared: 0.bin, 1.bin, 2.bin, 3.bin, "
        "4.bin, ... and 4 more\n"),
    "what was too long": (
        {"called_function__parameters": TOO_LONG}, {"called_function__parameters": TOO_LONG},
        "no difference\ntoo long for the records, so not compared: texts, x\n"),
    "what was too long, in one of them": (
        {"called_function__parameters": TOO_LONG}, {"called_function__parameters": {**TOO_LONG, "x": "short"}},
        f'arguments\n  x: "{SUPPRESSED}" -> short\ntoo long for the records, so not compared: texts\n'),
}  # fmt: skip


@pytest.mark.parametrize(("first", "second", "told"), PAIRS.values(), ids=PAIRS)
def test_diff_of_two(
    tmp_path: Path, command: Command, first: dict[str, Any], second: dict[str, Any], told: str
) -> None:
    """What is compared by its meaning, and what can't be known."""
    a, b = leave_record(tmp_path / "a.json", **first), leave_record(tmp_path / "b.json", **second)
    is_same = told.startswith("no difference")
    assert command("diff", a, b, status=0 if is_same else 1) == told
    assert (command("diff", "--json", a, b, status=0 if is_same else 1) == "[]\n") is is_same


def test_diff_of_long_texts(tmp_path: Path, command: Command) -> None:
    """They are shown from shortly before they differ."""
    start = "Translate the following English text to French, and keep every proper noun as it is: "
    a, b = (
        leave_record(tmp_path / f"{end}.json", called_function__parameters={"prompt": start + end})
        for end in ("hello", "world")
    )
    line = command("diff", a, b, status=1).splitlines()[1]
    assert line == '  prompt: ...proper noun as it is: hello" -> ...proper noun as it is: world"'
    same = ["train.py", "--data", "/home/ada/clean.json", "--out", "/home/ada/project/else/where"]
    a, b = (
        leave_record(tmp_path / f"{len(more)}.json", environment__argv=[*same, *more])
        for more in ([], ["--more"])
    )
    shown = '..."/home/ada/project/else/where"'
    line = command("diff", a, b, status=1).splitlines()[1]
    assert line == f'  argv: {shown}] -> {shown}, "--more"]'
    a, b = (leave_record(tmp_path / end, result="x" * 90 + end) for end in ("a.json", "b.json"))
    line = command("diff", a, b, status=1).splitlines()[1]
    assert line == f"  result: ...{'x' * 20}a.json -> ...{'x' * 20}b.json"


def test_diff_of_words_that_name_the_directory(
    tmp_path: Path, command: Command, repo: Repo
) -> None:
    """They are something else unless they say where the run's files go."""
    repo.write(
        "score.py",
        """
        import sys
        from pycrumbs import tracked
        @tracked(directory_parameter="out")
        def score(model, out):
            pass
        score(sys.argv[1], out=sys.argv[1])
        """,
    )
    repo.commit()
    for name in ("resnet", "vgg"):
        repo.run("score.py", name)
    found = pycrumbs.diff_records(repo.path / "resnet", repo.path / "vgg")
    assert found == [{"section": "arguments", "path": "model", "a": "resnet", "b": "vgg"}]
    log = command("log", repo.path)
    assert ("model=vgg" in log, "model=resnet" in log, "directory>" in log) == (True, True, False)


OWN_DIRECTORIES = [
    pytest.param("runs/a", "runs/b", True, id="relative"),
    pytest.param("./runs/a/", "runs/b", True, id="relative with a slash"),
    pytest.param("/p/runs/a", "/p/runs/b", True, id="absolute"),
    pytest.param("../p/runs/a", "../p/runs/b", True, id="upwards"),
    pytest.param("PosixPath('/p/runs/a')", "PosixPath('/p/runs/b')", True, id="a Path"),
    pytest.param("runs/a/model.pt", "runs/b/model.pt", True, id="below"),
    pytest.param("--out=runs/a", "--out=runs/b", True, id="an option"),
    pytest.param(["x", {"y": "runs/a"}], ["x", {"y": "runs/b"}], True, id="nested"),
    pytest.param("a", "b", False, id="a bare name, of something else"),
    pytest.param("mnist/a", "cifar/b", False, id="a folder of that name elsewhere"),
    pytest.param("dir=runs/a", "dir=runs/b", True, id="hydra's way"),
    pytest.param("runs/b", "runs/b", False, id="the same directory, not its own"),
    pytest.param("other/a", "other/b", False, id="another directory"),
    pytest.param("runs/a/x", "runs/b/y", False, id="different files below"),
    pytest.param("/runs/a", "/runs/b", False, id="absolute, elsewhere"),
]


@pytest.mark.parametrize(("x", "y", "is_same"), OWN_DIRECTORIES)
def test_diff_of_where_each_run_went(
    tmp_path: Path, command: Command, x: Any, y: Any, is_same: bool
) -> None:
    """That two runs had directories of their own is no difference; what else they were told is."""
    records = [
        leave_record(
            tmp_path / f"{name}.json",
            called_function__directory=f"/p/runs/{name}",
            called_function__parameters={"out": value},
            environment__cwd="/p",
            environment__argv=["train.py", value] if isinstance(value, str) else [],
            inputs=[{"path": f"/p/runs/{name}/cache", "size": 1, "sha256": "0" * 64}],
        )
        for name, value in (("a", x), ("b", y))
    ]
    assert (command("diff", *records, status=0 if is_same else 1) == "no difference\n") == is_same


OWN_WORDS = [
    pytest.param("DIR/o.txt", True, id="a path"),
    pytest.param("[Errno 2] No such file: 'DIR/an o'", True, id="in quotes"),
    pytest.param('can\'t open "/p/DIR/an o"', True, id="in other quotes"),
    pytest.param("(see ./DIR/o.txt: it is empty)", True, id="among words"),
    pytest.param("NAME", False, id="a bare name, of something else"),
    pytest.param("my DIR/o", True, id="after a word"),
    pytest.param("'my DIR/o'", False, id="another directory"),
]
SAID_IN_RESULTS = [("DIR/o.txt", True), (["x", {"at": "/p/DIR"}], True), ("NAME", False)]


@pytest.mark.parametrize(
    ("place", "value", "is_same"),
    [
        *(
            pytest.param("error__message", f"x {p.values[0]}", p.values[1], id=p.id)
            for p in OWN_WORDS
        ),
        *(("result", value, is_same) for value, is_same in SAID_IN_RESULTS),
    ],
)
def test_diff_of_what_tells_where_each_run_went(
    tmp_path: Path, command: Command, place: str, value: Any, is_same: bool
) -> None:
    """The run's own directory, in an error's message or a result, is no difference."""
    records = []
    for name in ("a", "b"):
        said = json.dumps(value).replace("DIR", f"runs/{name}").replace("NAME", name)
        changes = {"called_function__directory": f"/p/runs/{name}", "environment__cwd": "/p"}
        path = tmp_path / f"{name}.json"
        records.append(leave_record(path, **changes, **{place: json.loads(said)}))
    assert (command("diff", *records, status=0 if is_same else 1) == "no difference\n") == is_same


@pytest.mark.slow
def test_diff_of_real_runs(tmp_path: Path, command: Command, repo: Repo) -> None:
    """Real runs of one script into two directories, and into one chain, differ in nothing else."""
    repo.write(
        "train.py",
        """
        import random, sys
        from pathlib import Path
        from pycrumbs import tracked
        @tracked(directory_parameter="out", chain_records=True, create_parents=True)
        def train(out, data, noise=0):
            Path(out, "model.txt").write_text(Path(data).read_text() + noise * str(random.random()))
            return int(noise)
        train(sys.argv[1], "train.py", int(sys.argv[2]))
        """,
    )
    first = repo.commit()
    for folder in ("runs/a", "runs/b", "runs/chain", "runs/chain"):
        repo.run("train.py", folder, "0")
    a, b, chain = (repo.path / "runs" / name for name in ("a", "b", "chain"))
    assert command("diff", a, b) == command("diff", f"{chain}@1", chain) == "no difference\n"
    repo.commit()
    repo.commit()
    script = repo.path / "train.py"
    script.write_text(script.read_text() + "# changed\n")
    repo.run("train.py", "runs/c", "1")
    told = command("diff", a, repo.path / "runs/c", status=1).splitlines()
    sections = "arguments|code|seed|inputs|outputs|result|environment"
    assert [line for line in told if line[0] != " "] == sections.split("|")
    assert "  noise: 0 -> 1" in told
    assert f"  git_commit_hash: {first[:12]} -> {repo.git('rev-parse', 'HEAD')[:12]}" in told
    assert "  git_patch.train.py: only in the second: 9 lines" in told
    (repo.path / ".git").rename(tmp_path / "gone")
    assert "code" in command("diff", a, repo.path / "runs/c", status=1).splitlines()


# ------------------------------------------------------------------------------
# verify: are the files what they were
# ------------------------------------------------------------------------------


@pytest.fixture
def verified(tmp_path: Path, monkeypatch: Patch) -> Path:
    """A real run with an input and outputs, of which one is too large to be hashed."""
    (tmp_path / "data.csv").write_text("1,2\n")

    @quick(literal_directory=tmp_path / "runs/a", create_parents=True, hash_limit=10)
    def work(data: str) -> None:
        for name, size in {"small": 2, "medium": 3, "large": 100}.items():
            (tmp_path / "runs/a" / name).write_text("x" * size)

    monkeypatch.chdir(tmp_path)
    work("data.csv")
    return tmp_path


DAMAGES = """
    $ true
    unhashed  output  runs/a/large
    3 ok, 1 unhashed
    $ echo y > runs/a/small; truncate -s 2 runs/a/small
    changed   output  runs/a/small
    unhashed  output  runs/a/large
    1 changed, 2 ok, 1 unhashed
    $ echo x > runs/a/large
    changed   output  runs/a/large
    1 changed, 3 ok
    $ echo 1,3 > data.csv
    changed   input   data.csv
    unhashed  output  runs/a/large
    1 changed, 2 ok, 1 unhashed
    $ rm data.csv
    missing   input   data.csv
    unhashed  output  runs/a/large
    1 missing, 2 ok, 1 unhashed
    $ rm runs/a/large; mkdir runs/a/large
    missing   output  runs/a/large
    1 missing, 3 ok
    $ touch -d 2001-01-01 runs/a/*
    unhashed  output  runs/a/large
    3 ok, 1 unhashed
    $ mv runs moved
    unhashed  output  moved/a/large
    3 ok, 1 unhashed
"""


@pytest.mark.parametrize("damage", textwrap.dedent(DAMAGES).strip()[2:].split("\n$ "))
def test_verify_tells(verified: Path, command: Command, damage: str) -> None:
    """Changed, missing and unhashed files are told apart; the first two are status 1."""
    shell, *told = damage.split("\n")
    subprocess.run(shell, shell=True, check=True)
    status = 1 if "changed" in told[-1] or "missing" in told[-1] else 0
    target = "runs/a" if Path("runs/a").exists() else "moved/a"
    for where in (target, ".", f"{target}/medium"):
        assert command("verify", where, status=status).splitlines() == told
    found = json.loads(command("verify", "--json", target, status=status))
    record = pycrumbs.find_record(target)
    assert pycrumbs.verify_record(record) == found
    assert {v["record_path"] for v in found} == {record["record_path"]}
    problems = [v for v in found if v["state"] != "ok"]
    lines = [f"{v['state']:8}  {v['kind']:6}  {os.path.relpath(v['path'])}" for v in problems]
    assert sorted(lines) == told[:-1]


def test_verify_of_many(made: Path, command: Command) -> None:
    """Of several runs, what a later one made anew is replaced, not changed; alone it is changed."""
    assert command("verify", ".") == "3 ok, 3 replaced\n"
    assert command("verify", "runs@1", "runs@2") == "3 ok, 3 replaced\n"
    assert command("verify", "runs/model.pt", "runs/deep") == "3 ok\n"
    assert command("verify", "runs@1", status=1).splitlines()[-1] == "3 changed"
    (made / "runs/model.pt").write_text("x")
    assert (
        command("verify", ".", status=1)
        == "changed   output  runs/model.pt\n1 changed, 2 ok, 3 replaced\n"
    )
    states = [
        verdict["state"] for verdict in json.loads(command("verify", "--json", ".", status=1))
    ]
    assert sorted(states) == ["changed", "ok", "ok", *["replaced"] * 3]


class Terminal:
    """A pseudo-terminal that one stream of a command goes to; `other` is what the other said."""

    def __init__(self, columns: int = 80) -> None:
        self.end, self.fd = pty.openpty()
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.other = b""

    def run(self, *arguments: object, **options: Any) -> str:
        """Run the command line with one of its streams here; return what came."""
        return self.show([*COMMAND_LINE, *map(str, arguments)], **options)

    def show(
        self, command: list[str], cwd: Path, status: int = 0, stream: str = "stdout", **environ: str
    ) -> str:
        env = clean_environment(**{**PLAIN_OUTPUT, "TERM": "xterm", **environ})
        streams: dict[str, Any] = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
        streams[stream] = self.fd
        process = subprocess.Popen(command, cwd=cwd, env=env, **streams)
        os.close(self.fd)
        shown = b""
        with contextlib.suppress(OSError):  # what reading ends with
            while part := os.read(self.end, 4096):
                shown += part
        os.close(self.end)
        self.other = b"".join(filter(None, process.communicate()))
        assert process.returncode == status
        return shown.decode().replace("\r\n", "\n")


# ------------------------------------------------------------------------------
# trace: where a file comes from
# ------------------------------------------------------------------------------

PIPELINE = """
    import csv, json, statistics, sys
    from pathlib import Path
    from pycrumbs import tracked
    lightly = {"create_parents": True, "include_package_inventory": False}
    @tracked(directory_parameter="out", **lightly)
    def prepare(source, out):
        with open(source, newline="") as file:
            rows = [row for row in csv.DictReader(file) if all(row.values())]
        Path(out, "clean.json").write_text(json.dumps(rows))
    @tracked(directory_parameter="out", **lightly)
    def train(data, out):
        rows = json.loads(Path(data).read_text())
        mean = statistics.mean(float(row["mass"]) for row in rows)
        Path(out, "model.json").write_text(json.dumps(mean))
    @tracked(directory_parameter="out", **lightly)
    def evaluate(model, data, out):
        mean, rows = json.loads(Path(model).read_text()), json.loads(Path(data).read_text())
        errors = [abs(float(row["mass"]) - mean) for row in rows]
        Path(out, "report.txt").write_text(f"mean error {statistics.mean(errors):.1f} g")
    globals()[sys.argv[1]](*sys.argv[2:])
"""


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three runs in processes of their own: prepare, train, evaluate."""
    top = tmp_path_factory.mktemp("pipeline")
    repo = Repo(top / "project")
    repo.write("pipeline.py", PIPELINE)
    repo.write("penguins.csv", "species,mass\nAdelie,3750\nGentoo,\nGentoo,5100\n")
    repo.write(".gitignore", "runs/\n")
    repo.commit()
    repo.run("pipeline.py", "prepare", "penguins.csv", "runs/data")
    repo.run("pipeline.py", "train", "runs/data/clean.json", "runs/model")
    repo.run(
        "pipeline.py", "evaluate", "runs/model/model.json", "runs/data/clean.json", "runs/report"
    )
    return repo.path


@pytest.fixture
def project(pipeline: Path, tmp_path: Path, monkeypatch: Patch) -> Path:
    """That folder as if the runs had been made in a place of this test's own."""
    project = tmp_path / "project"
    shutil.copytree(pipeline, project)
    for path in project.rglob("*_record.json"):
        path.write_text(path.read_text().replace(str(pipeline), str(project)))
    monkeypatch.chdir(project)
    return project


def without_times(text: str) -> list[str]:
    """The lines of a trace without its times."""
    return re.sub(r", \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "", text).splitlines()


TREE = [
    "runs/report/report.txt  <- made by evaluate",
    "|-- runs/data/clean.json  <- made by prepare",
    "|   `-- penguins.csv",
    "`-- runs/model/model.json  <- made by train",
    "    `-- runs/data/clean.json  <- made by prepare  (as above)",
]


def amend(changes: dict[int, tuple[str, str]]) -> list[str]:
    """The tree with something replaced in some lines."""
    return [line.replace(*changes.get(number, ("", ""))) for number, line in enumerate(TREE)]


TRACES: dict[str, tuple[str, list[str]]] = {
    # what happens in a shell; the trace afterwards
    "nothing": ("", TREE),
    "moved": ("mv ../project ../moved", TREE),
    "moved, and another folder between": ("mkdir x; mv runs x", [line.replace("runs/",
        "x/runs/") for line in TREE]),
    "copied, and the first changed": ("cp -r . ../moved; echo x | tee penguins.csv runs/*/*.json", TREE),
    "a source changed": ("echo x > penguins.csv", amend({2: ("csv", "csv  (changed since)")})),
    "a source gone": ("rm penguins.csv", amend({2: ("csv", "csv  (no longer there)")})),
    "a product gone": ("rm runs/model/model.json", amend({3: ("train", "train  (no longer there)")})),
    "a product changed": ("echo x > runs/data/clean.json", amend({1: ("prepare",
        "prepare  (changed since)"), 4: ("(as", "(changed since, as")})),
    "a product made anew, the same": ("PYTHON pipeline.py prepare penguins.csv runs/data",
        amend(dict.fromkeys((1, 4), ("made by", "made again by")))),
    "a product made anew, another": (
        "echo 'mass\n1' > penguins.csv; PYTHON pipeline.py prepare penguins.csv runs/data", [TREE[0],
        "|-- runs/data/clean.json  <- overwritten by prepare  (changed since)", TREE[3],
        "    `-- runs/data/clean.json  <- overwritten by prepare  (changed since)"]),
    "edited between two runs": ("""sed -i s/3750/3751/ runs/data/clean.json
        PYTHON pipeline.py train runs/data/clean.json runs/model
        PYTHON pipeline.py evaluate runs/model/model.json runs/data/clean.json runs/report""",
        amend({1: ("prepare", "prepare  (changed since)"), 4: ("(as", "(changed since, as")})),
    "the file changed": ("echo x > runs/report/report.txt", amend({0: ("evaluate",
        "evaluate  (changed since)")})),
    "the file gone": ("rm runs/report/report.txt", amend({0: ("evaluate", "evaluate  (no longer there)")})),
    "a record gone": ("rm runs/model/*_record.json", [*TREE[:3], "`-- runs/model/model.json"]),
    "all records gone": ("rm runs/*/*_record.json", ["runs/report/report.txt"]),
    "a run failed": ("""sed -i 's/"completed"/"failed"/' runs/data/*_record.json""", amend({1: ("prepare",
        "prepare  (failed)"), 4: ("(as", "(failed, as")})),
}  # fmt: skip


@pytest.mark.parametrize("event", TRACES)
def test_trace(project: Path, command: Command, monkeypatch: Patch, event: str) -> None:
    """A pipeline's report is traced back to its source, each run once, whatever happened since."""
    shell, tree = TRACES[event]
    shell = shell.replace("PYTHON", shlex.quote(sys.executable))
    subprocess.run(
        shell, shell=True, check=True, env=clean_environment(), stdout=subprocess.DEVNULL
    )
    moved = project.parent / "moved"
    monkeypatch.chdir(moved if moved.exists() else project)
    report = tree[0].split()[0]
    assert without_times(command("trace", report)) == tree
    assert without_times(command("trace", Path(report).absolute())) == tree


@pytest.mark.parametrize(
    "root", ["project", "project/runs", "project/runs/report/evaluate_record.json"]
)
def test_trace_of_a_file_moved_alone(project: Path, command: Command, root: str) -> None:
    """--root finds a file's run by its content, wherever the file went."""
    alone = project.parent / "figures/the report.txt"
    alone.parent.mkdir()
    (project / "runs/report/report.txt").rename(alone)
    assert command("trace", alone) == f"{alone}\n"
    traced = without_times(command("trace", "--root", project.parent / root, alone))
    assert traced == [f"{alone}  <- made by evaluate", *TREE[1:]]
    assert (
        pycrumbs.trace_file(alone, [project])["run"] == pycrumbs.trace_file(alone, project)["run"]
    )
    assert pycrumbs.trace_file(alone, project)["run"]["made_this"] is True


@pytest.mark.parametrize(
    ("path", "lines"), [("penguins.csv", [2]), ("runs/data/clean.json", [1, 4])]
)
def test_trace_of_another_file_moved_alone(
    project: Path, command: Command, path: str, lines: list[int]
) -> None:
    """--root finds an input by its content, be it a source or what a run made."""
    (moved := project.parent / "archive/2026").parent.mkdir()
    (project / path).rename(moved)
    traced = without_times(command("trace", "--root", "../archive", "runs/report/report.txt"))
    assert traced == amend(dict.fromkeys(lines, (path, str(moved))))


def test_trace_as_json(project: Path, command: Command) -> None:
    """The tree as nested objects."""
    node = json.loads(command("trace", "--json", "runs/report/report.txt"))
    assert node == pycrumbs.trace_file("runs/report/report.txt")
    clean, model = node["inputs"]
    (again,), (source,) = model["inputs"], clean["inputs"]
    record = pycrumbs.find_record(project / "runs/data")
    run = {key: record[key] for key in ("record_path", "record_number", "uuid", "status")}
    run.update(function="prepare", start_time=record["timing"]["start_time"], made_this=True)
    for told, name, maker in ((clean, "runs/data/clean.json", run), (source, "penguins.csv", None)):
        path = project / name
        expected = {"path": str(path), "sha256": entry(path)["sha256"], "state": "ok", "run": maker}
        assert told == {**expected, "inputs": told["inputs"]}
    assert source["inputs"] == []
    assert again == {**clean, "inputs": [], "repeated": True}


def test_trace_as_a_graph(project: Path, command: Command) -> None:
    """Each file and each run is one node, however often it stands in the tree."""
    lines = command("trace", "--dot", "runs/report/report.txt").splitlines()
    assert lines[0] == "digraph trace {"
    assert lines[-1] == "}"
    labels = re.findall(r'label="(.*?)"', "".join(lines))
    assert sorted(labels) == [
        "clean.json",
        "evaluate",
        "model.json",
        "penguins.csv",
        "prepare",
        "report.txt",
        "train",
    ]
    assert sum(" -> " in line for line in lines) == 7


@pytest.mark.integration
def test_graphviz_draws_the_graph(project: Path, command: Command) -> None:
    """Graphviz draws it, also with names that its language has other meanings for."""
    name = 'a "b" \\N \\ {c|d} <e>\n\x1b[31m\u202e\u00e9.txt'
    (project / "runs/report/report.txt").rename(project / "runs/report" / name)
    for arguments in (["runs/model/model.json"], ["--root", ".", f"runs/report/{name}"]):
        dot = command("trace", "--dot", *arguments)
        drawn = subprocess.run(
            ["dot", "-Tsvg"], input=dot, capture_output=True, encoding="utf-8", check=True
        )
        assert drawn.stderr == ""
    assert "a &quot;b&quot; \\N \\ {c|d} &lt;e&gt;\\n\\x1b[31m\\u202e\u00e9.txt" in drawn.stdout


def test_trace_of_a_cycle(here: Path, command: Command) -> None:
    """A file that was read and overwritten by the same run, and a ring of runs, come to an end."""
    for name in ("a", "b"):
        Path(name).write_text(name)
    for name, other in (("a", "b"), ("b", "a")):
        leave_record(
            Path(f"{name}.json"),
            called_function__name=f"make_{name}",
            inputs=[entry(Path(other))],
            outputs=[entry(Path(name))],
        )
    assert without_times(command("trace", "a")) == [
        "a  <- made by make_a",
        "`-- b  <- made by make_b",
        "    `-- a  <- made by make_a  (as above)",
    ]
    Path("state").write_text("new")
    files = {"inputs": [{"path": "state", "size": 3, "sha256": "0d" * 32}]}
    files["outputs"] = [entry(Path("state"))]
    leave_record(Path("x.json"), called_function__name="step", **files)
    told = without_times(command("trace", "state"))[1:]
    assert told == ["`-- state  <- overwritten by step  (changed since)"]


@pytest.mark.slow
def test_trace_of_a_long_chain(here: Path, command: Command) -> None:
    """A state that each of 300 chained runs read and wrote is followed as far as 100 runs."""
    states = [{"path": str(here / "state"), "size": 1, "sha256": f"{n:064x}"} for n in range(301)]
    files = [{"inputs": [states[n]], "outputs": [states[n + 1]]} for n in range(300)]
    records = [
        change(RUN, **f, timing__start_time=f"{2000 + n}-01-01") for n, f in enumerate(files)
    ]
    end = [{"path": "end", "size": 0, "sha256": "0"}]
    leave_record(here / "chain.json", *records, inputs=[states[300]], outputs=end)
    lines = command("trace", "end").splitlines()
    assert len(lines) == 101
    assert re.search(r"\((changed since|no longer there), and so on\)$", lines[-1])
    assert json.loads(command("trace", "--json", "end"))["inputs"][0]["run"]["record_number"] == 300


def test_trace_of_many_sources(here: Path, command: Command) -> None:
    """Of a run's many sources the first few are shown in the tree, and how many more there are."""
    Path("made").write_text("x")
    inputs = [{"path": str(here / f"{n:03d}.png"), "size": 1, "sha256": None} for n in range(100)]
    leave_record(Path("x.json"), inputs=inputs, outputs=[entry(Path("made"))])
    lines = command("trace", "made").splitlines()
    assert lines[1:3] == ["|-- 000.png  (no longer there)", "|-- 001.png  (no longer there)"]
    told = "`-- ... and 95 more sources"
    assert lines[6:] == [f"{told}, 95 of them changed or missing"]
    for number in range(100):
        Path(f"{number:03d}.png").write_text("x")
    assert command("trace", "made").splitlines()[6:] == [told]
    Path("050.png").unlink()
    lines = command("trace", "made").splitlines()
    assert [line for line in lines if "050" in line] == ["|-- 050.png  (no longer there)"]
    assert len(json.loads(command("trace", "--json", "made"))["inputs"]) == 100


UNTRACEABLE = """
    nothing|nothing: there is no such file, and no record names it
    runs|runs: is a directory; trace follows one file
    --root nothing pipeline.py|nothing: cannot be read: No such file or directory
    --root pipe .git/HEAD|pipe: is not a file
"""


@pytest.mark.parametrize("line", textwrap.dedent(UNTRACEABLE).strip().split("\n"))
def test_trace_refuses(project: Path, command: Command, line: str) -> None:
    """What can't be traced, and where nothing can be searched, is said."""
    os.mkfifo("pipe")
    arguments, _, told = line.partition("|")
    assert command("trace", *shlex.split(arguments), status=2) == f"{project}/{told}"


# ------------------------------------------------------------------------------
# run: scripts and modules that nobody edited
# ------------------------------------------------------------------------------


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """A folder in no repository for the scripts of a test."""
    (tmp_path / "pkg/sub").mkdir(parents=True)
    (tmp_path / "pkg/__init__.py").write_text("")
    return tmp_path


PROGRAMS_TEXT = """
== globals
import os, sys
print(__name__, __file__, sys.argv, sys.path[0], __package__, type(__loader__), __builtins__.len)
print(sorted(globals()), sys.modules["__main__"].__dict__ is globals(), sys.flags, __doc__)
== prints
import sys
print('out')
print('err', file=sys.stderr)
sys.stdout.write('no newline')
== bytes
import sys; sys.stdout.buffer.write(b'\\xff\\0')
== unprintable
import sys; print(sys.stdout.errors, sys.stdin.read())
== raises
def f():
    raise ValueError('no')
try:
    f()
except ValueError as error:
    raise KeyError(1) from error
== raises in context
try:
    1/0
except ZeroDivisionError:
    [][0]
== raises OSError
open('nothing')
== raises BrokenPipeError
raise BrokenPipeError(32, 'gone')
== raises RuntimeError
raise RuntimeError('cannot record the git state')
== does not compile
x =
== in latin-1
# coding: latin-1
print(ascii('\udce9'))
== asserts
assert 0, 'never'
== groups
import sys
if sys.version_info < (3, 11):
    raise SystemExit(3)
raise ExceptionGroup('g', [ValueError(1)])
== exits 3
import sys; sys.exit(3)
== exits with a text
import sys; sys.exit('a text')
== exits None
import sys; sys.exit()
== exits True
raise SystemExit(True)
== exits hard
import os; os._exit(5)
== is killed
import signal; signal.raise_signal(9)
== is interrupted
import signal; signal.raise_signal(2)
== raises KeyboardInterrupt
def f(): raise KeyboardInterrupt
f()
== hooks
import sys, traceback
sys.excepthook = lambda *error: print('hook', *traceback.format_exception(*error))
1/0
== goes on after
import atexit, threading, time
atexit.register(lambda: print('bye', x))
def work():
    time.sleep(0.2)
    print(x)
threading.Thread(target=work).start()
x = 1
== warns
import warnings; warnings.warn('old', DeprecationWarning)
== pickles
import pickle, dataclasses
@dataclasses.dataclass
class Point:
    x: int
print(pickle.loads(pickle.dumps(Point(1))), Point.__module__)
== spawns
import multiprocessing
class C: pass
def f(x): return type(x).__name__, __name__
if __name__ == '__main__':
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        print(pool.map(f, [C()]))
== forks
import multiprocessing
def f(x): return x, __name__
if __name__ == '__main__':
    with multiprocessing.get_context('fork').Pool(1) as pool:
        print(pool.map(f, [1]))
== inspects
import inspect
def f(): pass
print(inspect.getsource(f), inspect.getsourcefile(f))
== imports beside it
import beside; print(beside.__file__)
== deletes itself
import os; os.remove(__file__); print('gone'); 1/0
"""  # what `pycrumbs run` must do just as python does
PROGRAMS = dict(re.findall(r"(?ms)^== (.*?)\n(.*?)(?=^== |\Z)", PROGRAMS_TEXT))

FORMS = {  # where the program is, and how it is named
    "script": ("work.py", ["work.py"]),
    "path": ("pkg/sub/work.py", ["./pkg/sub/../sub/work.py"]),
    "link": ("work.py", ["pkg/link.py"]),
    "module": ("work.py", ["-m", "work"]),
    "submodule": ("pkg/sub/work.py", ["-m", "pkg.sub.work"]),
    "package": ("pkg/__main__.py", ["-m", "pkg"]),
}


AT_ONCE = {"raises", "raises OSError", "does not compile", "exits 3", "exits with a text"}
AT_ONCE |= {"is interrupted", "hooks", "goes on after", "pickles", "spawns", "unprintable"}
IN_MODULES = ("raises", "exits 3", "does not compile", "spawns", "pickles", "hooks")


@pytest.mark.parametrize(
    ("program", "form"),
    [
        *(("globals", form) for form in FORMS),
        *(
            pytest.param(program, "script", marks=[] if program in AT_ONCE else pytest.mark.slow)
            for program in PROGRAMS
        ),
        *(pytest.param(program, "module", marks=pytest.mark.slow) for program in IN_MODULES),
    ],
)
def test_run_is_as_python(scripts: Path, program: str, form: str) -> None:
    """Output, errors, traceback and status are python's own, to the byte."""
    place, arguments = FORMS[form]
    (scripts / "pkg/link.py").symlink_to("../work.py")
    for name in ("pkg/sub/__init__.py", "beside.py"):
        (scripts / name).write_text("")
    seen = []
    for command in ([], [*COMMAND_LINE[1:], "run", "--no-git", "-o", "out"]):
        (scripts / place).write_bytes(PROGRAMS[program].encode("utf-8", "surrogateescape"))
        done = subprocess.run(
            [sys.executable, *command, *arguments, "-o", "x", "--y"],
            cwd=scripts,
            env=clean_environment(),
            capture_output=True,
            stdin=subprocess.DEVNULL,
        )
        seen.append((done.returncode, done.stdout.decode("latin-1"), done.stderr.decode("latin-1")))
    assert seen[1] == seen[0]


@pytest.mark.parametrize("start", ["file", "module", "command"])
def test_run_however_it_is_started(scripts: Path, start: str) -> None:
    """As a file, as a module or as the installed command, `run` adds nothing to what is seen."""
    text = PROGRAMS["pickles"] + PROGRAMS["globals"] + PROGRAMS["raises"]
    (scripts / "work.py").write_text(text)
    (scripts / "command").write_text("import sys\nfrom pycrumbs import main\nsys.exit(main())\n")
    ways = {
        "file": COMMAND_LINE[1:],
        "module": ["-m", "pycrumbs"],
        "command": [str(scripts / "command")],
    }
    done = [
        run_python(*command, "work.py", cwd=scripts, status=1)
        for command in ([], [*ways[start], "run", "--no-git", "-o", "out"])
    ]
    assert done[0].stdout == done[1].stdout
    assert done[0].stderr == done[1].stderr


def test_run_in_isolation_adds_no_folder(scripts: Path) -> None:
    """Where python puts no script's folder on sys.path, no other entry is lost for it either."""
    (scripts / "work.py").write_text("import sys; print(sys.path)")
    run = [*COMMAND_LINE[1:], "run", "--no-git", "-o", "out"]
    paths = [run_python("-I", *command, "work.py", cwd=scripts).stdout for command in ([], run)]
    assert paths[0] == paths[1]


@pytest.fixture
def launch(repo: Repo) -> Callable[..., Any]:
    """`pycrumbs run`: takes a script's text and a command line, returns the record."""

    def launch(text: str, *arguments: str, status: int = 0, **environ: str) -> Any:
        repo.write("work.py", text)
        repo.commit()
        run_python(COMMAND_LINE[1], "run", *arguments, cwd=repo.path, status=status, env=environ)
        return read(next(repo.path.rglob("*_record.json")))

    return launch


def test_run_records(launch: Callable[..., Any], repo: Repo) -> None:
    """A script's record has its arguments, its code, and the files it read and wrote."""
    repo.write("data.csv", "1\n")
    repo.write("helper.py", "")
    text = (
        "import helper; open('new.txt', 'w').write(open('data.csv').read())\nopen('out/b.txt', 'w')"
    )
    record = launch(text, "-o", "out", "work.py", "--rate", "0.1", "-s", "5")
    called = record["called_function"]
    assert (called["name"], called["qualname"], called["module"]) == ("work", "work", "__main__")
    assert called["source_file"] == str(repo.path / "work.py")
    assert called["source_file"] == record["tracked_module"]["module_path"]
    assert called["parameters"] == {"argv": ["--rate", "0.1", "-s", "5"], "seed": None}
    assert record["environment"]["argv"] == ["work.py", "--rate", "0.1", "-s", "5"]
    assert record["status"] == "completed"
    assert record["tracked_module"]["git_commit_hash"] == repo.git("rev-parse", "HEAD")
    assert [e["path"] for e in record["inputs"]] == [str(repo.path / "data.csv")]
    assert [e["path"] for e in record["outputs"]] == ["b.txt", str(repo.path / "new.txt")]
    assert (repo.path / "out/work_record.json").exists()


def test_run_of_a_module_records(launch: Callable[..., Any], repo: Repo) -> None:
    """A module's record is named after the module, and lies here if no place is named."""
    repo.write("pkg/__init__.py", "")
    repo.write("pkg/train.py", "import sys; print(sys.argv)")
    record = launch("", "-m", "pkg.train", "x")
    assert record["called_function"]["source_file"] == str(repo.path / "pkg/train.py")
    assert record["called_function"]["parameters"]["argv"] == ["x"]
    assert record["environment"]["argv"] == [str(repo.path / "pkg/train.py"), "x"]
    assert (repo.path / "pkg.train_record.json").exists()


def test_run_seeds(launch: Callable[..., Any], repo: Repo) -> None:
    """The seed that is asked for, or the one drawn, is what the script's numbers come from."""
    numbers = []
    for arguments in (["-s", "7"], [], ["--seed=7"]):
        seed = launch(
            "import random; open('n', 'w').write(str(random.random()))", *arguments, "work.py"
        )["seed"]
        numbers.append((repo.path / "n").read_text())
        assert numbers[-1] == str(random.Random(seed).random())
    assert numbers[0] == numbers[2] != numbers[1]


ENDS = """
    1 failed {"type": "ValueError", "message": "no"} def f(): raise ValueError('no')\\nf()
    1 failed {"type": "SystemExit", "message": "text"} raise SystemExit('text')
    3 failed {"type": "SystemExit", "message": "3"} import sys; sys.exit(3)
    0 completed {} import sys; sys.exit(0)
    1 failed {"type": "SyntaxError"} x =
    -2 interrupted {"type": "KeyboardInterrupt"} import signal; signal.raise_signal(2)
    -15 terminated {"signal": "SIGTERM"} import signal; signal.raise_signal(15)
    4 running {} import os; os._exit(4)
"""


@pytest.mark.parametrize("line", textwrap.dedent(ENDS).strip().split("\n"))
@pytest.mark.slow
def test_run_records_how_a_script_ends(launch: Callable[..., Any], line: str) -> None:
    """The status is the script's own; the traceback recorded begins in the script."""
    ((status, ending, error, text),) = re.findall(r"(\S+) (\S+) ({.*?}) (.*)", line)
    record = launch(text.replace("\\n", "\n"), "work.py", status=int(status))
    recorded = record.get("error", {})
    assert record["status"] == ending
    assert {key: recorded[key] for key in json.loads(error)} == json.loads(error)
    assert bool(recorded) == (error != "{}")
    lines = recorded.get("traceback", [])
    assert not [line for line in lines if "pycrumbs" in line]
    assert len(lines) < 3 or "work.py" in "".join(lines[:2])


def test_run_is_the_parent_of_what_it_tracks(launch: Callable[..., Any], repo: Repo) -> None:
    """A tracked function that the script calls is nested in the script's run."""
    record = launch(
        """
        import sys, pycrumbs
        from pycrumbs import tracked
        @tracked(literal_directory="inner")
        def inner():
            return __file__
        inner()
        assert pycrumbs is sys.modules["pycrumbs"]
        """,
        "-o",
        "outer",
        "work.py",
    )
    records = {name: read(repo.path / name) for name in ("inner", "outer")}
    assert records["inner"]["parent"] == records["outer"]["uuid"]
    assert records["inner"]["called_function"]["source_file"] == str(repo.path / "work.py")
    assert record in records.values()


@pytest.mark.parametrize(
    "init",
    ["", pytest.param("from .pycrumbs import tracked", marks=pytest.mark.slow)],
    ids=["plain", "imported before"],
)
def test_run_by_a_vendored_copy(scripts: Path, init: str) -> None:
    """What the script imports from the package is what runs it, also if it was there before."""
    (scripts / "pkg/__init__.py").write_text(init)
    (scripts / "pkg/pycrumbs.py").symlink_to(pycrumbs.__file__)
    text = """
        import pkg.pycrumbs
        @pkg.pycrumbs.tracked(literal_directory="inner", disable_git_tracking=True)
        def inner():
            pass
        inner()
    """
    (scripts / "work.py").write_text(textwrap.dedent(text))
    run = ["-m", "pkg.pycrumbs", "run", "--no-git", "-o", "outer", "work.py"]
    run_python(*run, cwd=scripts, env={"PYTHONPATH": ""})
    assert read(scripts / "inner")["parent"] == read(scripts / "outer")["uuid"]


EXECUTED = "import sys; sys.argv.pop(0); exec(open(sys.argv[0]).read(), {'__name__': '__main__'})"


@pytest.mark.parametrize("start", [("-m", "cProfile"), ("-c", EXECUTED)], ids=["profiled", "exec"])
def test_a_command_that_another_program_starts(tmp_path: Path, start: tuple[str, str]) -> None:
    """It may not tell where the code is from."""
    told = run_python(*start, pycrumbs.__file__, "--version", cwd=tmp_path).stdout
    assert told.startswith(f"pycrumbs {pycrumbs.__version__}\n")


def test_run_keeps_secrets_out(launch: Callable[..., Any], repo: Repo) -> None:
    """A secret on the script's command line reaches the script, and no record."""
    text = "import sys; assert 'hunter2secret' in sys.argv[2], sys.argv"
    launch(text, "-o", "out", "work.py", "--password", "hunter2secret", "--api-key=hunter2secret")
    assert "hunter2secret" not in (repo.path / "out/work_record.json").read_text()


REFUSALS = """
    work.py: cannot record the git state of '__main__' (HERE/work.py): \
not a git repository (or any of the parent directories): .git; put it into one, or pass --no-git
    --no-git: run: name a script, or a module with -m
    --no-git '': run: name a script, or a module with -m
    nothing.py: nothing.py: there is no such script
    .: .: there is no such script
    -m nothing: nothing: there is no such module
    -m pkg: pkg: there is no such module
    -m pkg.nothing.more: pkg.nothing.more: there is no such module
    -m ..x: ..x: there is no such module
    -m sys: sys: there is no such module
    -m __main__: __main__: there is no such module
    --no-git -o work.py work.py: work(): cannot create the directory HERE/work.py: File exists
    --no-git -o work.py/x work.py: work(): cannot create the directory HERE/work.py/x: File exists
    --no-git -s 4294967296 work.py: work(): parameter 'seed' holds the seed: \
expected 0 to 2**32 - 1, not 4294967296
    -s x work.py: argument -s/--seed: invalid int value: 'x'; see pycrumbs run --help
"""


@pytest.mark.parametrize("line", textwrap.dedent(REFUSALS).strip().split("\n"))
@pytest.mark.slow
def test_run_refuses(scripts: Path, line: str) -> None:
    """What can't be run or recorded is said in a line before anything ran; status 2."""
    (scripts / "work.py").write_text("print('ran')")
    arguments, _, told = line.partition(": ")
    process = start_command("run", *shlex.split(arguments), cwd=scripts)
    out, err = process.communicate()
    assert (process.returncode, out) == (2, b"")
    assert err.decode() == f"pycrumbs: {told}\n".replace("HERE", str(scripts))


def test_errors_of_ours_that_a_script_lets_out_are_its_own(
    launch: Callable[..., Any], repo: Repo
) -> None:
    """A script that uses pycrumbs and fails fails with a traceback, as any other."""
    launch("import pycrumbs; pycrumbs.find_record('nothing')", "work.py", status=1)
    process = start_command("run", "work.py", cwd=repo.path)
    assert b"Traceback" in process.communicate()[1]


def test_trace_takes_the_run_that_was_there_before(here: Path, command: Command) -> None:
    """Of two runs that made the same bytes, the one that began before they were read."""
    write_files(here, "model", "report", "one", "two")
    Path("model").write_text("the same")
    for name, hour, read_one, made_one in (
        ("one", "09", "one", "model"), ("report", "10", "model", "report"), ("two", "11", "two", "model"),
    ):  # fmt: skip
        leave_record(
            Path(f"{name}.json"),
            called_function__name=f"train_on_{name}",
            timing__start_time=f"2026-11-23 {hour}:00:00+01:00",
            inputs=[entry(Path(read_one))],
            outputs=[entry(Path(made_one))],
        )
    expected = ["`-- {}  <- made by train_on_one", "    `-- one"]
    told = without_times(command("trace", "report"))[1:]
    assert told == [line.format("model") for line in expected]
    (here / "elsewhere").mkdir()
    shutil.move("model", "elsewhere/model")
    told = without_times(command("trace", "--root", ".", "report"))[1:]
    assert told == [line.format("elsewhere/model") for line in expected]


def test_trace_of_what_a_nested_run_made(here: Path, command: Command) -> None:
    """What the run around it had read goes on to it."""
    Path("data").write_text("1")

    @tracked(directory_parameter="out", create_parents=True, **QUIET_RUN)
    def train(rows: int, out: str) -> None:
        Path(out, "model").write_text(str(rows))

    @tracked(directory_parameter="out", create_parents=True, **QUIET_RUN)
    def work(data: str, out: str) -> None:
        train(int(Path(data).read_text()), out)

    work("data", "runs")
    os.symlink("runs/model", "latest")
    for name in ("runs/model", "latest"):
        lines = without_times(command("trace", name))
        assert lines == [f"{name}  <- made by train", "`-- data"]


def test_an_empty_file_comes_from_nobody_in_particular(
    tmp_path: Path, command: Command, monkeypatch: Patch
) -> None:
    """All of them are the same."""
    monkeypatch.chdir(write_files(tmp_path))
    for name in ("empty", "other"):
        Path(name).touch()
    leave_record(Path("x.json"), outputs=[entry(Path("other"))])
    assert command("trace", "--root", ".", "empty") == "empty\n"


def test_verify_of_an_input_that_the_run_has_copied(tmp_path: Path, command: Command) -> None:
    """The copy isn't the input, nor is another file of that name elsewhere."""

    @tracked(directory_parameter="out", create_parents=True, **QUIET_RUN)
    def train(config: Path, out: Path) -> None:
        shutil.copy(config, out)

    project = tmp_path / "project"
    config = write_files(project, "config.yaml") / "config.yaml"
    train(config, project / "runs/a")
    shutil.copy(config, project / "runs")
    assert command("verify", project) == "2 ok\n"
    moved = project.rename(tmp_path / "moved")
    assert command("verify", moved) == "2 ok\n"
    tree = pycrumbs.trace_file(moved / "runs/a/config.yaml")
    assert [node["path"] for node in tree["inputs"]] == [str(moved / "config.yaml")]
    moved.rename(project)
    config.write_text("edited")
    assert command("verify", project, status=1).startswith(f"changed   input   {config}\n")
    config.unlink()
    assert command("verify", project, status=1).startswith(f"missing   input   {config}\n")


def test_verify_of_runs_that_links_lead_to(tmp_path: Path, command: Command) -> None:
    """Each run is judged once, and listed by its own name."""

    @tracked(directory_parameter="out", create_parents=True, **QUIET_RUN)
    def work(out: Path) -> None:
        (out / "made").write_text("x")

    work(tmp_path / "runs/z")
    (tmp_path / "runs/latest").symlink_to("z")
    (tmp_path / "runs/z/made").write_text("y")
    assert "runs/z" in command("log", tmp_path)
    targets = [tmp_path / "runs/z", tmp_path / "runs/latest", tmp_path / "runs"]
    told = command("verify", *targets, status=1)
    assert told.splitlines() == [f"changed   output  {tmp_path / 'runs/z/made'}", "1 changed"]


def test_what_another_user_keeps_to_himself(tmp_path: Path) -> None:
    """Records and folders are named; a file that can't be read hasn't changed for that."""
    if os.geteuid() != 0:
        return
    data = write_files(tmp_path, "data") / "data"
    for name in ("a", "b", "c"):
        leave_record(tmp_path / name / "work_record.json", inputs=[], outputs=[entry(data)])
    for name in ("a/work_record.json", "b", "data"):
        (tmp_path / name).chmod(0o700)
    code = """
        import pycrumbs
        # All that it imports, which nobody may read.
        pycrumbs.main(["verify", "."])
        os.setuid(65534)
        sys.exit(pycrumbs.main(["verify", "."]))
    """
    for folder in [tmp_path, *tmp_path.parents][:-2]:
        folder.chmod(folder.stat().st_mode | 0o055)
    done = run_python("-c", PRELUDE + textwrap.dedent(code), cwd=tmp_path, status=2)
    assert re.search(r"a/work_record.json: .*ermission denied", done.stderr)
    assert re.search(r"/b: cannot be read: Permission denied; left out", done.stderr)
    assert done.stdout.endswith("\n1 unreadable\n")


def test_an_output_that_begins_like_a_record(tmp_path: Path, command: Command) -> None:
    """Its own record tells of it."""
    path = tmp_path / "result.json"
    path.write_text('{"uuid": "abc", "accuracy": 1}')
    leave_record(tmp_path / "r.json", outputs=[entry(path, "result.json")])
    assert "result.json" in command("show", path)


PYTHON = shlex.quote(sys.executable)
FORMATTERS = {  # a shell's command that writes a record anew
    "sorted": "jq -S .", "compact": "jq -c .", "sorted, compact, escaped": "jq -acS .",
    "tabs": "jq --tab .", "json.tool": f"{PYTHON} -m json.tool",
    "json.tool, sorted": f"{PYTHON} -m json.tool --sort-keys --indent 1",
    "json.tool, compact": f"{PYTHON} -m json.tool --compact",
    "Windows's line ends": f"{PYTHON} -m json.tool | sed 's/$/\\r/'",
    "blank lines around": "(echo; jq -S .; echo; echo)",
}  # fmt: skip


@pytest.mark.parametrize("chained", [False, True], ids=["single", "chained"])
@pytest.mark.parametrize("formatter", FORMATTERS)
@pytest.mark.slow
def test_a_record_that_a_formatter_has_rewritten(
    repo: Repo, tmp_path: Path, command: Command, formatter: str, chained: bool
) -> None:
    """It is a record for every command and for the next run, and a chain goes on."""
    options = f'directory_parameter="out", chain_records={chained}'
    repo.write("data.txt", "data")
    repo.write(".gitignore", "out")
    repo.write("main.py", script(READER, 'main("out", "data.txt")', options))
    repo.commit()
    for _ in range(1 + chained):
        repo.run("main.py")
    path = repo.path / "out/main_record.json"
    before = pycrumbs.load_records(path)
    text = path.read_bytes()
    written = subprocess.run(
        ["bash", "-o", "pipefail", "-c", FORMATTERS[formatter]], input=text, capture_output=True
    )
    assert (written.returncode, written.stderr) == (0, b"")
    path.write_bytes(written.stdout)
    assert pycrumbs.load_records(repo.path) == before != []
    assert len(command("log", repo.path).splitlines()) == 1 + chained
    made = repo.path / "out/a.txt"
    assert pycrumbs.find_record(made) == pycrumbs.find_record(path)
    assert "run      main (" in command("show", made)
    assert command("diff", path, made) == "no difference\n"
    assert "changed" not in command("verify", repo.path)
    assert without_times(command("trace", made))[0] == f"{made}  <- made by main"
    again = rerun(path, "--yes", cwd=tmp_path)
    assert (again.status, again.stdout.splitlines()[0]) == (0, "identical  a.txt"), again.report
    repo.run("main.py")
    after = pycrumbs.load_records(path)
    assert names_in(repo.path / "out") == ["a.txt", "main_record.json"]
    assert [record["uuid"] for record in after[1:]] == [r["uuid"] for r in before] * chained


def test_paths_do_for_records(tmp_path: Path) -> None:
    """From Python, too, wherever one record is meant."""
    path = leave_record(tmp_path / "r.json", outputs=[], inputs=[])
    assert pycrumbs.diff_records(path, str(path)) == []
    assert pycrumbs.verify_record(path) == []
    with pytest.raises(pycrumbs.RecordError, match="there is no such file"):
        pycrumbs.rerun_record(tmp_path / "none")


# ------------------------------------------------------------------------------
# Running, died, unknown
# ------------------------------------------------------------------------------


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A run in a process of its own that goes on until it is killed; and its record."""
    code = (
        "import time; from pycrumbs import tracked\n"
        "@tracked(literal_directory='out', disable_git_tracking=True, chain_records=True)\n"
        "def work():\n    print('running', flush=True); time.sleep(60)\n"
        "work()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=clean_environment(), stdout=subprocess.PIPE
    )
    assert process.stdout
    assert process.stdout.readline() == b"running\n"
    yield process, tmp_path / "out/work_record.json"
    process.kill()
    process.communicate()


def test_running_then_died(running: tuple[subprocess.Popen[bytes], Path], command: Command) -> None:
    """A run is running while its process lives, and died after it was killed; the file stays."""
    process, path = running
    before = path.read_bytes()
    assert "  running  " in command("log", path)
    assert "status   running, started" in command("show", path)
    assert "unusual" not in command("show", path)
    process.kill()
    process.wait()
    assert "  died  " in command("log", path)
    assert json.loads(command("log", "--json", path))[0]["status"] == "died"
    assert "status   died, started" in command("show", path)
    assert path.read_bytes() == before


STATES = """
    environment.hostname = "elsewhere"
    |unknown (other host)
    environment.hostname gone
    |unknown (other host)
    environment.process.boot_id = "earlier"
    |died
    environment.process.boot_id = "earlier, and in another container"
    environment.process.pid_namespace = "pid:[1]"
    |died
    environment.process.pid_namespace = "pid:[1]"
    |unknown (other container)
    environment.process gone
    |unknown (no process identity)
    environment.process = "unavailable: it broke"
    |unknown (no process identity)
    environment.process.boot_id gone
    |unknown (no process identity)
    environment.process.start_time = 1
    |died
    environment.process.start_time = null
    |died
    environment.process.pid = 4194305
    |died
    environment.process.pid = "self"
    |died
    environment.process.pid = "\\u0000"
    |died
    status = "completed"
    |completed
    status gone
    |unknown (no end time)
    status gone
    timing.end_time = "2026"
    |completed
    seed = 7
    |running
"""


@pytest.mark.parametrize(("changes", "told"), parse_cases(STATES))
def test_states(tmp_path: Path, command: Command, changes: dict[str, Any], told: list[str]) -> None:
    """Who reads a record judges by host, boot, container, process and start time if it goes on."""
    running = {"status": "running", "environment": pycrumbs.get_environment_info()}
    leave_record(tmp_path / "x.json", **{**running, "timing__end_time": DROP, **changes})
    assert [json.loads(command("log", "--json", tmp_path))[0]["status"]] == told
    assert f"status   {told[0]}, took" in command("show", tmp_path)


# ------------------------------------------------------------------------------
# Manners
# ------------------------------------------------------------------------------

COMMANDS = ("run", "show", "log", "diff", "verify", "trace", "rerun")


@pytest.mark.parametrize("columns", ["1", "40", "80"])
def test_help(capsys: Capture, monkeypatch: Patch, columns: str) -> None:
    """The help of each command has a summary, an example, all options and the exit status."""
    monkeypatch.setenv("COLUMNS", columns)
    assert pycrumbs.main(["--help"]) == 0
    overview = capsys.readouterr().out
    for name in COMMANDS:
        assert pycrumbs.main([name, "-h"]) == 0
        text, errors = capsys.readouterr()
        assert errors == ""
        assert re.search(rf"(?m)^  pycrumbs {name} ", text)
        assert "Exit status: " in text
        summary = text.partition("\n\n")[2].partition(".\n")[0]
        assert summary.split()[0] in overview
        assert name != "run" or "[--no-git] (-m MODULE | SCRIPT) [ARG...]" in text
        assert not [line for line in text.splitlines() if len(line) > 80]


STATUSES = {
    0: "show .|show --json runs|show --patch .|log|log runs|log void|diff runs runs|verify ."
    "|trace runs/model.pt|--version|show --help",
    1: "diff runs@1 runs|diff --json runs@1 runs|verify runs@1|verify --json runs@1",
    2: "|nothing|show|show nothing|show . .|show --nothing .|show --patch --json .|log nothing"
    "|log . .|diff .|diff . nothing|verify|verify . nothing|trace|trace nothing|trace ."
    "|trace --json --dot .|run|run nothing.py|rerun|rerun nothing",
}
CASES = [(status, line) for status, lines in STATUSES.items() for line in lines.split("|")]


@pytest.mark.parametrize(("status", "line"), CASES)
def test_exit_status_reading(made: Path, command: Command, status: int, line: str) -> None:
    """0: fine or the same; 1: something differs; 2: trouble, told in one line."""
    (made / "void").mkdir()
    command(*shlex.split(line), status=status)


WRONG_LINES = {
    "": "the following arguments are required: COMMAND; see pycrumbs --help",
    "show": "the following arguments are required: TARGET; see pycrumbs show --help",
    "show --patch --json x": "argument --json: not allowed with argument --patch; see pycrumbs show --help",
    "log x --tabel": "unrecognized arguments: --tabel; see pycrumbs --help",
    "trace --root": "argument --root: expected one argument; see pycrumbs trace --help",
}  # fmt: skip


@pytest.mark.parametrize("line", WRONG_LINES)
def test_wrong_command_lines(command: Command, line: str) -> None:
    """A command line that makes no sense is told of in a line that names the help."""
    assert command(*shlex.split(line), status=2) == WRONG_LINES[line]


RED, GREEN, END = "\033[31m", "\033[32m", "\033[0m"


COLORS = [  # variables, whether it is a terminal, whether there are colours
    ({}, True, True), ({}, False, False), ({"NO_COLOR": "1"}, True, False), ({"TERM": "dumb"}, True, False),
    ({"FORCE_COLOR": "1"}, False, True), ({"FORCE_COLOR": "1", "TERM": "dumb"}, True, True),
    ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
]  # fmt: skip


@pytest.mark.parametrize(("environ", "is_terminal", "is_colored"), COLORS)
@pytest.mark.slow
def test_colors(
    tmp_path: Path, environ: dict[str, str], is_terminal: bool, is_colored: bool
) -> None:
    """Colours come on a terminal, unless NO_COLOR; elsewhere where FORCE_COLOR asks for them."""
    leave_record(tmp_path / "x.json", status="failed")
    terminal, stream = Terminal(), "stdout" if is_terminal else "stderr"
    shown = terminal.run("log", cwd=tmp_path, stream=stream, **environ)
    text = shown if is_terminal else terminal.other.decode()
    plain = "2026-11-23 14:10:02  failed  41.0 s  train  .\n"
    assert text == (plain.replace("failed", f"{RED}failed{END}") if is_colored else plain)


def test_colors_of_each_command(made: Path, command: Command, monkeypatch: Patch) -> None:
    """What is good and bad is coloured alike everywhere; nothing else is."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    (made / "runs/model.pt").unlink()
    assert f"{RED}missing {END}  output  runs/model.pt" in command("verify", "runs", status=1)
    leave_record(
        made / "x/r.json", status="failed", called_function__altered_parameters={"failed": "failed"}
    )
    shown = command("show", "x")
    assert shown.count("\033[") == 4
    assert f"{RED}status   {END}" not in shown
    assert f"{RED}unusual  {END}the run did not complete: failed" in shown
    assert f"{GREEN}completed{END}" in command("log", "runs")


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.slow
def test_terminal_width(made: Path, columns: int) -> None:
    """On a terminal, lines are as wide as it is; elsewhere as wide as they need to be."""
    leave_record(made / "x.json", called_function__parameters={"note": "x" * 400})
    leave_record(made / "y.json", called_function__parameters={"note": "y" * 400})
    terminal = Terminal(columns)
    lines = terminal.run("diff", "x.json", "y.json", cwd=made, status=1).splitlines()
    assert len(lines[1]) == columns
    assert lines[1].endswith("...")
    terminal = Terminal(columns)
    terminal.run("diff", "x.json", "y.json", cwd=made, status=1, stream="stderr")
    assert len(terminal.other.splitlines()[1]) == 2 + len("note: ") + 2 * 83 + len(" -> ")


@pytest.mark.slow
@pytest.mark.parametrize("end", ["close", "interrupt"])
def test_a_reader_that_has_enough(tmp_path: Path, end: str) -> None:
    """A closed pipe (`pycrumbs log | head -1`) is no trouble; Control-C gives a shell's status."""
    for number in range(200):
        leave_record(tmp_path / f"{number}/x.json")
    process = start_command("log", "--json", cwd=tmp_path)
    assert process.stdout
    assert process.stderr
    assert process.stdout.readline() == b"[\n"  # it goes on writing until somebody reads
    if end == "interrupt":
        process.send_signal(signal.SIGINT)
        process.stdout.read()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == (130 if end == "interrupt" else 0)


@pytest.mark.parametrize("line", ["log", "show .", "show --patch .", "show --json .", "diff . ."])
@pytest.mark.parametrize("target", ["/dev/full", None])
@pytest.mark.slow
def test_nowhere_to_print_to(tmp_path: Path, line: str, target: str | None) -> None:
    """A full disk is told of in one line; a closed standard output is nobody's wish to read."""
    leave_record(tmp_path / "x.json")
    shell = shlex.join([*COMMAND_LINE, *line.split()]) + (f" > {target}" if target else " >&-")
    done = subprocess.run(
        shell, shell=True, cwd=tmp_path, capture_output=True, env=clean_environment(**PLAIN_OUTPUT)
    )
    told = b"pycrumbs: [Errno 28] No space left on device\n"
    assert (done.returncode, done.stderr) == ((2, told) if target else (0, b""))


@pytest.mark.parametrize("locale", LOCALES)
def test_locales(tmp_path: Path, locale: dict[str, str]) -> None:
    """What a locale can't print is escaped; nothing fails."""
    leave_record(
        tmp_path / "x.json", called_function__altered_parameters={"name": "\u00e9\u6f22\U0001f600"}
    )
    shown, errors = start_command("show", ".", cwd=tmp_path, env=locale).communicate()
    told = start_command("show", "nothing-\u6f22", cwd=tmp_path, env=locale).communicate()[1]
    text = r"\xe9\u6f22\U0001f600" if "PYTHONUTF8" in locale else "\u00e9\u6f22\U0001f600"
    encoding = locale.get("PYTHONIOENCODING", "utf-8")
    assert f"argument name = {text}" in shown.decode(encoding).splitlines()
    assert errors == b""
    assert told.decode(encoding).endswith(": there is no such file or directory\n")


# ------------------------------------------------------------------------------
# Records from elsewhere
# ------------------------------------------------------------------------------

FULL = change(  # RUN, and the rest of what a record can hold
    RUN,
    parent="0f0f",
    error={"type": "ValueError", "message": "no", "traceback": ["Traceback", "ValueError: no"]},
    capture="partial: some",
    inputs_omitted="some",
    outputs_omitted="some",
    environment__orig_argv=["python", "train.py"],
    environment__python_path=["/home/ada/project"],
    environment__rank={"rank": 0, "world_size": 2, "job": "7"},
    called_function__parameter_types={"layers": "tuple"},
    extra_tracked_modules={"lib": RUN["tracked_module"]},
    package_origins={
        "numpy": {"url": "file:///srv/numpy", "editable": True, **RUN["tracked_module"]},
        "torch": {"url": "https://e.org/t", "vcs": "git", "commit": "ab", "subdirectory": "x"},
    },
)


def paths_into(value: Any, *path: Any) -> Iterator[tuple[Any, ...]]:
    """The path of every value inside a value."""
    if path:
        yield path
    children = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, child in children:
        yield from paths_into(child, *path, key)


NASTY = (
    "\x1b[31m\x1b]0;title\x07\x9b2J\r\n\b\x7f\0\u202e\u2066\u200b\u200f\u2028\ufeff\ud800\xad\t"
    "\U000e0041"
)
FORBIDDEN = re.compile(
    "[\0-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\U000e0000-\U000e007f\ud800-\udfff]"
)


def make_nasty(value: Any, in_keys: bool = False) -> Any:
    """A value with traps for a terminal in every text, and in every name that isn't ours."""
    if isinstance(value, dict):
        theirs = (
            "parameters altered_parameters package_inventory environment_variables result".split()
        )
        return {k + NASTY * in_keys: make_nasty(v, k in theirs) for k, v in value.items()}
    if isinstance(value, list):
        return [make_nasty(item, in_keys) for item in value]
    return value + NASTY if isinstance(value, str) else value


@pytest.fixture
def nasty(tmp_path: Path, monkeypatch: Patch) -> Path:
    """A folder with a record that is nasty throughout, and with a file of that kind of name."""
    record = {**make_nasty(FULL), "pycrumbs": "1"}
    name = NASTY.replace("\0", "").replace("\ud800", "\udcff")
    (tmp_path / name).write_text("x")
    record["outputs"].append(entry(tmp_path / name, name))
    record["inputs"] += [entry(tmp_path / name), {"path": f"/missing{name}", "size": 1}]
    (tmp_path / "nasty.json").write_text(json.dumps(record))
    leave_record(tmp_path / "plain.json", record)
    for variable, value in PLAIN_OUTPUT.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.chdir(tmp_path)
    return tmp_path


DIFF_LINES = """
    show nasty.json|show --json nasty.json|show --requirements nasty.json|log|log --json
    diff nasty.json plain.json|diff plain.json nasty.json|diff --json nasty.json plain.json
    verify nasty.json|verify --json nasty.json|trace NAME|trace --json NAME|trace --dot NAME
    show NASTY|log NASTY|NASTY|show . --NASTY|show . NASTY|diff NASTY@1 .|verify NASTY|trace NASTY
    run NASTY|run -m NASTY|run -s NASTY x|rerun NASTY|rerun --yes nasty.json
"""


@pytest.mark.parametrize("line", re.findall(r"[^|\s][^|\n]*", DIFF_LINES))
def test_nothing_raw_reaches_the_terminal(nasty: Path, capsys: Capture, line: str) -> None:
    """Control characters, escape sequences and bidi marks of records and names come out escaped."""
    (name,) = (path.name for path in nasty.iterdir() if path.suffix != ".json")
    words = [word.replace("NAME", name).replace("NASTY", f"x{name}") for word in line.split()]
    pycrumbs.main(words)
    out, err = capsys.readouterr()
    assert not FORBIDDEN.findall(out + err)
    shown = r"\u001b[31m" if "--json" in line else r"\x1b[31m"
    assert shown in out + err or line == "rerun --yes nasty.json"


@pytest.mark.parametrize("form", ["--patch", "--requirements", "--checksums"])
@pytest.mark.slow
def test_exact_parts_are_escaped_on_a_terminal_only(nasty: Path, form: str) -> None:
    """What is for other programs is exact for them, and harmless on a terminal."""
    terminal = Terminal()
    shown = terminal.run("show", form, "nasty.json", cwd=nasty)
    assert not FORBIDDEN.findall(shown)
    assert r"\x1b[31m" in shown
    exact = start_command("show", form, "nasty.json", cwd=nasty).communicate()[0]
    assert (b"\x1b[31m" in exact) == (form != "--requirements")


def test_writing_imports_nothing_for_reading(tmp_path: Path) -> None:
    """A tracked call loads no module that only reading back, or the command line, needs."""
    code = (
        "import sys; from pycrumbs import tracked\n"
        "tracked(literal_directory='out', disable_git_tracking=True)(lambda: print('ran'))()\n"
        "print(*sorted(sys.modules))"
    )
    loaded = run_python("-S", "-c", code, cwd=tmp_path).stdout.split()
    heavy = "argparse runpy shlex difflib html unicodedata multiprocessing".split()
    assert "json" in loaded
    assert not set(heavy) & set(loaded)


# ------------------------------------------------------------------------------
# The story that the README tells
# ------------------------------------------------------------------------------


def read_story() -> str:
    """The part of the README between its two marks."""
    text = (HERE / "README.md").read_text(encoding="utf-8")
    return text.partition("<!-- story -->")[2].partition("<!-- end of story -->")[0]


def level(text: str) -> list[str]:
    """The lines of a shown output without what is another one in each run and on each machine."""
    for pattern, name in {
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d": "TIME",
        r"\b\d+\.\d+ s\b *": "SPAN ",
        r"\b[0-9a-f]{12}\b": "HASH",
        r"(?m)^seed     \d+ \(drawn\)$": "SEED",
        r"(?m)^where    .*$": "PLACE",
        r"(?m)^code      commit .*$": "CODE",
        r"(?m)^seed      \d{2,}$": "DRAWN",
    }.items():
        text = re.sub(pattern, name, text)
    return text.splitlines()


@pytest.mark.slow
def test_the_readme_tells_what_happens(repo: Repo) -> None:
    """The pipeline's commands, typed one after another, print what the README shows."""
    story = read_story()
    (code,) = re.findall(r"(?ms)^```python\n(.*?)^```$", story)
    consoles = re.findall(r"(?ms)^```console\n(.*?)^```$", story)
    (repo.path / "pipeline.py").write_text(code, encoding="utf-8")
    repo.write(".gitignore", "runs/\npenguins.csv\n")
    repo.commit()
    python = shlex.quote(sys.executable)
    shell = f'python() {{ {python} "$@"; }}; pycrumbs() {{ {python} -m pycrumbs "$@"; }}\n'
    for text in re.findall(r"(?m)^\$ .*\n(?:[^$].*\n)*", "".join(consoles)):
        line, _, shown = text.partition("\n")
        done = subprocess.run(
            ["bash", "-c", shell + line[2:]],
            cwd=repo.path,
            env=clean_environment(**PLAIN_OUTPUT),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        assert level(done.stdout) == level(shown), line
        differs = "diff runs/first runs/half" in line or "verify" in line
        assert done.returncode == (2 if shown.startswith("pycrumbs: ") else int(differs)), line


@pytest.mark.integration
def test_the_readme_makes_a_table(made: Path) -> None:
    """The line that the README shows makes a pandas DataFrame of all runs."""
    import pandas

    names: dict[str, Any] = {"pandas": pandas, "pycrumbs": pycrumbs}
    (line,) = re.findall(r"(?ms)^```py\n(.*?)^```$", read_story())
    exec(line, names)
    table = names["table"]
    assert list(table["called_function.parameters.share"]) == [0.9, 0.8]
    assert list(table["record_number"]) == [2, 1]


# ------------------------------------------------------------------------------
# Running again
# ------------------------------------------------------------------------------


@dataclasses.dataclass
class Rerun:
    """What `pycrumbs rerun` printed and left."""

    status: int
    stdout: str
    stderr: str
    made: Path

    @property
    def report(self) -> str:
        """What went wrong."""
        return self.stderr + self.stdout.partition('"record"')[0]

    @property
    def verdicts(self) -> dict[str, str]:
        """The verdict on each output."""
        verdicts = json.loads(self.stdout or '{"verdicts": []}')["verdicts"]
        return {verdict["name"]: verdict["verdict"] for verdict in verdicts}


def rerun(target: Path | str, *options: str, cwd: Path, **env: str) -> Rerun:
    """Rerun a record in a new interpreter, into `again` in that folder."""
    made = cwd / "again"
    command = [sys.executable, "-m", "pycrumbs", "rerun", str(target), "-o", str(made), *options]
    done = subprocess.run(
        command,
        cwd=cwd,
        env=clean_environment(**{"TMPDIR": str(temporary(cwd)), **env}),
        capture_output=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
    )
    return Rerun(done.returncode, done.stdout, done.stderr, made)


def record_main(repo: Repo, text: str, **env: str) -> None:
    """Commit and run a script."""
    repo.write("main.py", text)
    repo.commit()
    repo.run("main.py", env=env)


def record_and_rerun(repo: Repo, text: str, **env: str) -> Rerun:
    """Do so with a script that writes into `out`, and rerun the record beside the repository."""
    record_main(repo, text)
    return rerun("repo/out", "--yes", cwd=repo.path.parent, **env)


def temporary(folder: Path) -> Path:
    """A folder for temporary files, in which a rerun leaves nothing."""
    path = folder / "tmp"
    path.mkdir(exist_ok=True)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """The files below a folder that aren't records, with what they hold."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in files
        if not path.name.endswith("_record.json")
    }


def write_stage(repo: Repo, files: dict[str, str], stage: int) -> None:
    """Write a project's files; STAGE in them becomes a number, +name ones are there for 1 only."""
    for name, text in files.items():
        path = name.lstrip("+")
        if stage == 1 or path == name:
            repo.write(path, textwrap.dedent(text).replace("STAGE", str(stage)))
        elif (repo.path / path).exists():
            (repo.path / path).unlink()


def record_first_run(
    repo: Repo, files: dict[str, str], *command: str, cwd: str = ".", **env: str
) -> None:
    """Commit a project, change it, run it, change it again and commit that."""
    write_stage(repo, files, 0)
    repo.commit()
    write_stage(repo, files, 1)
    command = command or ("main.py",)
    run_python(*command, cwd=repo.path / cwd, env=env)
    write_stage(repo, files, 2)
    repo.commit()
    repo.commit("another")


IMPORTS = """\
import dataclasses, enum, json, os, pathlib, pickle, random, sys
from pycrumbs import tracked"""


def script(body: str, call: str, options: str = 'directory_parameter="out"', head: str = "") -> str:
    """A script whose tracked main() has that signature and body, and is called like that."""
    signature, _, rest = textwrap.dedent(body).strip("\n").partition("\n")
    return "\n".join(
        [
            IMPORTS,
            textwrap.dedent(head),
            f"@tracked({options})",
            signature,
            rest,
            "",
            'if __name__ == "__main__":',
            f"    {call}",
        ]
    )


BODY = """
    def main(out, data="x"):
        pathlib.Path(out, "a.txt").write_text(f"STAGE {data} {random.random()}")
        return random.random()
"""
PLAIN_RERUN = script(BODY, 'main("out")')
SITE = """
    import os, site
    site.addsitedir(os.path.dirname(__file__))
"""
FINDER = """
    import importlib.util, sys
    from importlib.machinery import PathFinder
    class Finder:  # as setuptools makes them
        @classmethod
        def find_spec(cls, name, path=None, target=None):
            if name == "pkg":
                folder = SOURCE + "/pkg"
                return importlib.util.spec_from_file_location(
                    name, folder + "/__init__.py", submodule_search_locations=[folder])
    def install():
        sys.meta_path.append(Finder)
"""
PACKAGE = {
    "site/sitecustomize.py": SITE,
    "src/pkg/__init__.py": "",
    "src/pkg/util.py": "VALUE = STAGE",
    "src/pkg/core.py": "import pathlib\nfrom pycrumbs import tracked\nfrom .util import VALUE\n"
    '@tracked(directory_parameter="out")\ndef main(out):\n'
    '    pathlib.Path(out, "a.txt").write_text(f"{VALUE} STAGE")\n',
    "main.py": 'from pkg.core import main\nmain("out")',
}


@dataclasses.dataclass
class Case:
    """A project, and how a call in it is recorded; RECORD names what is rerun."""

    files: dict[str, str]
    command: str = "main.py"
    record: str = "out"
    cwd: str = "."
    env: dict[str, str] = dataclasses.field(default_factory=dict)
    needs: str = ""  # what must be in the function's outputs
    again: dict[str, str] = dataclasses.field(default_factory=dict)  # the rerun's environment
    status: str = "0"
    says: str = ""


# Projects and how a call in them is recorded, one after another: what distinguishes a `Case`, then
# its files, each after its name (main.py, if there is none). A script with a bare @tracked gets what
# all of them begin with, and the call.
PROJECTS = r"""
== random
needs: 1 x
@tracked
BODY
== numpy
import numpy
@tracked
def main(out, size=(3, 2)):
    numpy.save(pathlib.Path(out, "a.npy"), numpy.random.normal(STAGE, 1, size))
    return numpy.random.random()
== folders of its own
@tracked(directory_parameter="out", require_empty_directory=True)
def main(out):
    (pathlib.Path(out) / "plots/deep").mkdir(parents=True)
    pathlib.Path(out, "empty").mkdir()
    pathlib.Path(out, "plots/deep/a.txt").write_text("STAGE")
== logs by the module's name
needs: INFO:__main__:1
import logging
log = logging.getLogger(__name__)
@tracked
def main(out):
    logging.basicConfig(filename=pathlib.Path(out, "log.txt"), level=logging.INFO)
    log.info("STAGE")
== goes to another folder as it is loaded
command: main.py
cwd: sub
needs: 1 x
-- sub/main.py
os.chdir('..')
@tracked
BODY
== module that spawns workers
command: -m pkg.main
env: {"PYTHONPATH": "REPO/src:HERE"}
needs: [1, 2, 5, 10]
-- src/pkg/__init__.py
-- src/pkg/near.py
def square(x):
    return STAGE + x * x
-- src/pkg/main.py
import multiprocessing
from .near import square
@tracked
def main(out):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pathlib.Path(out, "a.txt").write_text(str(pool.map(square, range(4))))
== method of a dataclass
needs: 0.5 [7] 3 1
@dataclasses.dataclass
class Trainer:
    rate: float
    out: pathlib.Path
    steps: list = dataclasses.field(default_factory=list, init=False)
    @tracked
    def fit(self, out, epochs=2):
        text = f"{self.rate} {self.steps} {epochs} STAGE {random.random()}"
        (self.out / "a.txt").write_text(text)
if __name__ == "__main__":
    trainer = Trainer(0.5, pathlib.Path("out"))
    trainer.steps.append(7)
    trainer.fit("out", epochs=3)
== staticmethod
call: Tools.make("out")
class Tools:
    @staticmethod
    @tracked
    def make(out):
        pathlib.Path(out, "a.txt").write_text(f"STAGE {random.random()}")
== classmethod
call: Other.make("out")
needs: Other 1
class Tools:
    @tracked
    @classmethod
    def make(cls, out):
        pathlib.Path(out, "a.txt").write_text(f"{cls.__name__} STAGE")
class Other(Tools):
    pass
== async
call: asyncio.run(main("out"))
import asyncio
@tracked
async def main(out):
    await asyncio.sleep(0)
    pathlib.Path(out, "a.txt").write_text(f"STAGE {random.random()}")
    return [random.random()]
== generator
call: list(main("out"))
@tracked
def main(out):
    for n in range(3):
        pathlib.Path(out, f"{n}.txt").write_text(f"STAGE {random.random()}")
        yield n
== async generator
call: asyncio.run(consume())
import asyncio
@tracked
async def main(out):
    for n in range(3):
        pathlib.Path(out, f"{n}.txt").write_text(f"STAGE {random.random()}")
        yield n
async def consume():
    async for _ in main("out"):
        pass
== pipeline
@tracked(directory_parameter="out", seed_parameter="seed")
def prepare(out, seed=None):
    pathlib.Path(out, "a.txt").write_text(f"STAGE {seed} {random.random()}")
@tracked(directory_parameter="out")
def train(data, out):
    text = pathlib.Path(data).read_text()
    pathlib.Path(out, "b.txt").write_text(f"{text} {random.random()}")
@tracked
def main(out):
    prepare(pathlib.Path(out, "data"))
    train(pathlib.Path(out, "data", "a.txt"), pathlib.Path(out, "model"))
== nested in a pipeline
record: out/inner
@tracked(directory_parameter="out")
def train(out, rate):
    pathlib.Path(out, "b.txt").write_text(f"STAGE {rate} {random.random()}")
@tracked
def main(out):
    train("out/inner", random.random())
== pycrumbs run
command: -m pycrumbs run -o out my-script.py out
-- my-script.py
import pathlib, random, sys
from helper import VALUE
assert __name__ == "__main__"
pathlib.Path(sys.argv[1], "a.txt").write_text(f"{VALUE} {random.random()}")
-- +helper.py
VALUE = STAGE
== pycrumbs run -m
command: -m pycrumbs run -o out -m pkg out
-- pkg/__init__.py
-- pkg/__main__.py
import pathlib, random, sys
from .helper import VALUE
pathlib.Path(sys.argv[1], "a.txt").write_text(f"{VALUE} {random.random()}")
-- +pkg/helper.py
VALUE = STAGE
== untracked helper
call: main("out", helper.VALUE)
needs: 1 1
-- main.py
import helper
@tracked
BODY
-- +helper.py
VALUE = 'STAGE'
== ignored data file
call: main("out", pathlib.Path("data/a.csv"))
needs: ignored1
-- main.py
@tracked
def main(out, data):
    pathlib.Path(out, "a.txt").write_text(pathlib.Path(data).read_text() + "STAGE")
-- .gitignore
data/
-- data/a.csv
ignored
== tracked data that changed since
call: main("out", "data.csv")
needs: data 1
-- main.py
@tracked
def main(out, data):
    pathlib.Path(out, "a.txt").write_text(pathlib.Path(data).read_text())
-- data.csv
data STAGE
== subfolder, relative paths
call: main("../results/first", "../data/a.csv", "../../outside.csv")
command: ../code/main.py
record: results/first
cwd: work
needs: AB1C 1
-- code/main.py
@tracked(directory_parameter="out", create_parents=True)
def main(out, data, table):
    text = pathlib.Path(data).read_text() + pathlib.Path(table).read_text()
    pathlib.Path(out, "a.txt").write_text(text + "STAGE" + open("c.txt").read())
-- work/c.txt
C STAGE
-- .gitignore
data/
-- data/a.csv
A
-- ../outside.csv
B
== working directory elsewhere
call: main("out", open("in.txt").read())
command: ../repo/main.py
record: ../work/out
cwd: ../work
needs: 1 I
-- main.py
@tracked
BODY
-- ../work/in.txt
I
== output elsewhere, captured
@tracked(directory_parameter="out", capture_files=True)
def main(out, model):
    pathlib.Path(model, "m.bin").write_bytes(random.randbytes(9) + b"STAGE")
if __name__ == "__main__":
    os.makedirs("REPO/../far", exist_ok=True)
    main("out", "REPO/../far")
== timestamp
record: out_*
@tracked(directory_parameter="out", include_timestamp=True)
BODY
== uuid, subdirectory, literal relative
call: main("model")
record: runs/model_*
@tracked(literal_directory="runs", subdirectory_name_parameter="name", include_uuid=True)
def main(name):
    assert name.startswith("model_")
    pathlib.Path("runs", name, "a.txt").write_text(f"STAGE {random.random()}")
== uuid, subdirectory, literal absolute
call: main("model")
record: ../runs/model_*
@tracked(literal_directory="REPO/../runs", subdirectory_name_parameter="name",
         include_uuid=True, directory_injection_parameter="where")
def main(name, where):
    assert name == "model" and where.name.startswith("model_")
    (where / "a.txt").write_text(f"STAGE {random.random()}")
== literal, from __file__
call: main()
record: runs
HERE = pathlib.Path(__file__).resolve().parent
@tracked(literal_directory=HERE / "runs")
def main():
    (HERE / "runs" / "a.txt").write_text(f"STAGE {random.random()}")
== pickled classes
call: main("out", Config, Config())
needs: __main__
@dataclasses.dataclass
class Config:
    rate: float = STAGE
    class Inner:
        pass
class Color(enum.Enum):
    RED = 1
def make():
    pass
@tracked
def main(out, kind, config):
    objects = [Config, kind(), Config.Inner(), Color.RED, config, make]
    pathlib.Path(out, "a.pickle").write_bytes(pickle.dumps(objects))
== class of the calling script
needs: 1 Config(rate=0.5)
-- lib.py
@tracked
BODY
-- main.py
import dataclasses, lib
@dataclasses.dataclass(frozen=True)
class Config:
    rate: float
lib.main("out", Config(0.5))
== flags, hash seed, argv, variables
call: main("out", sys.argv[1:])
command: -O main.py --rate 3
env: {"PYTHONHASHSEED": "7", "MY_ROOT": "mine", "TZ": "Asia/Tokyo"}
needs: 1 [False, ['main.py', '--rate', '3'], 'mine'
@tracked(directory_parameter="out", extra_environment_variables=["MY_ROOT"])
def main(out, data):
    state = [__debug__, sys.argv, os.environ["MY_ROOT"], hash("x"), os.getcwd()]
    state[-1] = os.path.basename(state[-1])
    pathlib.Path(out, "a.txt").write_text(f"STAGE {state}")
    return os.environ["TZ"]
== arguments of all kinds
import argparse, collections, datetime, decimal, fractions, numpy, uuid
UTC, INF = datetime.timezone.utc, float("inf")
Point = collections.namedtuple("Point", "x y")
class Color(enum.Enum):
    RED = 1
class Mode(str, enum.Enum):
    FAST = "fast"
class Text(str):
    pass
class Size(tuple):
    pass
@dataclasses.dataclass
class Inner:
    x: int
@tracked
def main(out, *args, **named):
    text = repr([type(a) for a in args]) + repr(args) + repr(sorted(named.items()))
    pathlib.Path(out, "a.txt").write_text(f"STAGE {text}")
if __name__ == "__main__":
    main("out", pathlib.Path("a/b"), datetime.datetime(2020, 1, 2, tzinfo=UTC),
         datetime.timedelta(days=1), decimal.Decimal("1.50"), {3, 1}, (1, (2, "x")), {1, INF},
         {pathlib.Path("p")}, Point(1, 2), Color.RED, Mode.FAST, frozenset(["z"]), b"\0x",
         float("nan"), [None, True, 1.5, -3], range(3), {"a": {"b": (1,)}}, 1 + 2j,
         argparse.Namespace(a=pathlib.Path("x")), int, Inner, slice(1, None), uuid.UUID(int=5),
         fractions.Fraction(1, 3), Text("t"), numpy.float32(0.1), numpy.int64(3), numpy.bool_(True),
         numpy.float64("nan"), numpy.str_("x"), collections.OrderedDict(b=1, a=2), Size([1, 2]),
         collections.UserDict(a=1), collections.Counter("aab"), name="PosixPath(1)")
== functions
call: main("out", double, lib.negate, int)
needs: 1 [-4, 2, -2]
-- main.py
import lib
def double(x):
    return 2 * x
@tracked
def main(out, *functions):
    text = repr([function(-2) for function in functions])
    pathlib.Path(out, "a.txt").write_text(f"STAGE {text}")
-- lib.py
def negate(x):
    return -x
== in the directory of another run
call: main("runs/1", "runs/1/eval")
record: runs/1/eval
needs: 1 model
-- .gitignore
runs
-- main.py
if not os.path.exists("runs/1"):
    os.makedirs("runs/1")
    pathlib.Path("runs/1/model.txt").write_text("model")
@tracked
def main(run, out):
    text = pathlib.Path(run, "model.txt").read_text()
    pathlib.Path(out, "a.txt").write_text(f"STAGE {text}")
== in its own directory, read before
record: out/main_record.json
needs: 1 model
-- .gitignore
out
-- main.py
if not os.path.exists("out"):
    os.makedirs("out")
    pathlib.Path("out/model.txt").write_text("model")
    os.utime("out/model.txt", (1, 1))
@tracked
def main(out):
    text = pathlib.Path(out, "model.txt").read_text()
    pathlib.Path(out, "a.txt").write_text(f"STAGE {text}")
== a new input with an odd name
needs: 1 12
-- main.py
@tracked
def main(out, *data):
    text = "".join(pathlib.Path(path).read_text() for path in data)
    pathlib.Path(out, "a.txt").write_text(f"STAGE {text}")
if __name__ == "__main__":
    os.system("git add -A")
    main("out", "a new file.txt", "café.txt")
-- +a new file.txt
1
-- +café.txt
2
== chained, renamed
record: out/log.json@2
needs: 1 2
@tracked(directory_parameter="out", chain_records=True, record_filename="log")
BODY
if __name__ == "__main__":
    main("out", 1)
    main("out", 2)
== a directory that is renamed
call: main("runs/new")
record: runs/final
-- .gitignore
runs
-- main.py
@tracked(directory_parameter="out")
def inner(out):
    pathlib.Path(out, "b.txt").write_text("STAGE")
@tracked(directory_parameter="out", create_parents=True)
def main(out):
    inner(pathlib.Path(out, "inner"))
    pathlib.Path(out, "a.txt").write_text(f"STAGE {random.random()}")
    os.rename(out, "runs/final")
== without a guard
@tracked
BODY
main("out")
== click
command: main.py out --data clicked
call: main()
needs: 1 clicked
import click
@click.command()
@click.argument("out")
@click.option("--data")
@tracked
BODY
== vendored
env: {"PYTHONPATH": ""}
-- mylib/__init__.py
-- mylib/pycrumbs.py
PYCRUMBS
-- main.py
import pathlib, random
from mylib.pycrumbs import tracked
@tracked(directory_parameter="out")
BODY
main("out")
== vendored by another name
env: {"PYTHONPATH": ""}
-- _crumbs.py
PYCRUMBS
-- main.py
import pathlib, random
from _crumbs import tracked
@tracked(directory_parameter="out")
BODY
main("out")
== called on import
-- main.py
import lib
-- lib.py
@tracked
BODY
main("out")
== large input, linked
call: main("out", "big.txt")
needs: 1 5242880
-- .gitignore
big.txt
-- main.py
if not os.path.exists("big.txt"):
    pathlib.Path("big.txt").write_text("x" * 5 * 2**20)
@tracked
def main(out, data):
    pathlib.Path(out, "a.txt").write_text(f"STAGE {len(open(data).read())}")
== same name twice
needs: 1 x
-- main.py
import first, second
first.main("out")
second.main("other")
-- first.py
@tracked
BODY
-- second.py
@tracked
def main(out):
    pathlib.Path(out, "a.txt").write_text("second STAGE")
"""
HEAVY_PROJECTS = r"""
== attrs and pydantic
call: main("out", Plain(1, ("a",)), Model(path="a", inner=Model(path="b"), more=(1,)))
needs: 1 (Plain(_rate=1, shape=('a',), twice=2), Model(
import attrs, pydantic
@attrs.define
class Plain:
    _rate: int
    shape: tuple
    twice: int = attrs.field(init=False)
    def __attrs_post_init__(self):
        self.twice = 2 * self._rate
class Model(pydantic.BaseModel):
    model_config = {"extra": "allow"}
    path: pathlib.Path
    inner: "Model" = None
@tracked
def main(out, *values):
    pathlib.Path(out, "a.txt").write_text(f"STAGE {values}")
== scikit-learn
import joblib
from sklearn import datasets, ensemble
@tracked
def main(out):
    x, y = datasets.make_classification(200, random_state=STAGE)
    model = ensemble.RandomForestClassifier(10, random_state=None).fit(x, y)
    joblib.dump(model, pathlib.Path(out, "model.joblib"))
    return model.score(x, y)
== PyTorch, workers, an untracked module
env: {"TMPDIR": "/tmp"}
-- main.py
import lib, torch
@tracked
def main(out, kind=torch.float32, device=torch.device("cpu")):
    loader = torch.utils.data.DataLoader(
        lib.Data(), 4, shuffle=True, num_workers=2, multiprocessing_context="spawn"
    )
    batches = [batch.to(device, kind) for batch in loader]
    torch.save(batches, str(pathlib.Path(out, "batches.pt")))
-- +lib.py
import torch
class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 16
    def __getitem__(self, index):
        return torch.rand(2) + STAGE
== Keras
import numpy, tensorflow as tf
from tensorflow import keras
@tracked
def main(out):
    dense, dropout = keras.layers.Dense, keras.layers.Dropout
    layers = [keras.Input((4,)), dense(8), dropout(0.5), dense(1)]
    model = keras.Sequential(layers)
    model.compile("sgd", "mse")
    x, y = tf.random.normal((64, 4)), tf.random.normal((64, 1)) * STAGE
    history = model.fit(x, y, epochs=2, batch_size=16, verbose=0).history
    numpy.savez(pathlib.Path(out, "w.npz"), *model.get_weights())
    return history["loss"]
== matplotlib
import matplotlib, numpy
matplotlib.use('Agg')
from matplotlib import pyplot
@tracked
def main(out):
    matplotlib.rcParams["svg.hashsalt"] = "pycrumbs"
    figure, axes = pyplot.subplots()
    axes.scatter(*numpy.random.random((2, 20)), label="STAGE")
    axes.legend()
    figure.savefig(pathlib.Path(out, "a.svg"), metadata={"Date": None})
    figure.savefig(pathlib.Path(out, "a.png"))
== typer
command: main.py out --data typed
call: typer.run(main)
needs: 1 typed
import typer
@tracked
def main(out: str, data: str = "x"):
    pathlib.Path(out, "a.txt").write_text(f"STAGE {data} {random.random()}")
"""


def parse_projects(text: str) -> dict[str, Case]:
    """The cases that a text holds."""
    cases = {}
    for name, body in re.findall(r"(?ms)^== (.*?)\n(.*?)(?=^== |\Z)", text):
        head = re.match(r"(?:(?:command|record|cwd|env|needs|call|again|status|says): .*\n)*", body)
        assert head
        options: dict[str, Any] = {}
        for key, value in (line.split(": ", 1) for line in head[0].splitlines()):
            options[key] = f"{options[key]}\n{value}" if key in options else value
        for key in {"env", "again"} & options.keys():
            options[key] = json.loads(options[key].replace("HERE", str(HERE)))
        call = options.pop("call", 'main("out")')
        files = re.split(
            r"(?m)^-- (.*)\n", "-- main.py\n" * (body[head.end()] != "-") + body[head.end() :]
        )
        texts = {
            path: complete(text.rstrip("\n"), call) for path, text in zip(files[1::2], files[2::2])
        }
        cases[name] = Case(texts, **options)
    return cases


def complete(text: str, call: str) -> str:
    """A file of a project, from what the text of all of them has of it."""
    is_tracked = "@tracked" in text and "import tracked" not in text
    for line, whole in {"BODY": textwrap.dedent(BODY).strip("\n"), "PYCRUMBS": SOURCE}.items():
        text = re.sub(rf"(?m)^{line}$", whole.replace("\\", r"\\"), text)
    if not is_tracked:
        return text
    text = re.sub(r"(?m)^( *@tracked)$", r'\1(directory_parameter="out")', text)
    if not re.search(r"(?m)^(if __name__|main\()", text):
        text += f'\nif __name__ == "__main__":\n    {call}'
    return f"{IMPORTS}\n{text}"


SOURCE = (HERE / "pycrumbs.py").read_text(encoding="utf-8")
CORPUS = {
    **parse_projects(PROJECTS),
    "src layout, .pth": Case(
        {**PACKAGE, "site/pkg.pth": "REPO/src"}, env={"PYTHONPATH": f"{HERE}:REPO/site"}, needs="1 1"),
    "src layout, finder": Case(
        {**PACKAGE, "site/pkg.pth": "import pkg_finder; pkg_finder.install()",
         "site/pkg_finder.py": FINDER.replace("SOURCE", "'REPO/src'"),
         "tool.py": "from pkg.util import VALUE\n" + PLAIN_RERUN.replace("STAGE", "{VALUE} STAGE")},
        "tool.py", env={"PYTHONPATH": f"{HERE}:REPO/site"}, needs="1 1"),
}  # fmt: skip
HEAVY_CALLS = parse_projects(HEAVY_PROJECTS)
QUICK = ("random", "pycrumbs run", "untracked helper", "subfolder, relative paths")
RERUN_CASES = {**CORPUS, **HEAVY_CALLS}


def mark(name: str) -> Any:
    """A row of the table, marked by how long it takes."""
    heavy = [pytest.mark.integration, pytest.mark.timeout(600)]
    kinds = heavy if name in HEAVY_CALLS else [pytest.mark.slow]
    return pytest.param(name, marks=[] if name in QUICK else kinds)


def fill_in(files: dict[str, str], repo: Repo) -> dict[str, str]:
    """A project's files with the repository's path in them."""
    return {name: text.replace("REPO", str(repo.path)) for name, text in files.items()}


@pytest.mark.parametrize("name", [mark(name) for name in RERUN_CASES])
def test_rerun_gives_the_same_bytes(repo: Repo, tmp_path: Path, name: str) -> None:
    """The tree was dirty, has changed since, and commits have moved on."""
    case = RERUN_CASES[name]
    env = {key: value.replace("REPO", str(repo.path)) for key, value in case.env.items()}
    (repo.path / case.cwd).mkdir(exist_ok=True)
    record_first_run(repo, fill_in(case.files, repo), *case.command.split(), cwd=case.cwd, **env)
    stem, at, number = case.record.partition("@")
    (target,) = repo.path.glob(stem)
    here = {"PYTHONPATH": env.get("PYTHONPATH") or str(HERE)}
    here.update((key, value) for key, value in env.items() if key == "TMPDIR")
    again = rerun(f"{target}{at}{number}", "--yes", "--json", cwd=tmp_path, **here)
    assert (again.status, set(again.verdicts.values())) == (0, {"identical"}), again.report
    made = contents(again.made)
    assert case.needs.encode() in b"".join(made.values())
    if target.is_dir() and "elsewhere" not in name:
        assert made == contents(target) != {}
    assert not list(temporary(tmp_path).glob("pycrumbs-*"))


# -- what a rerun refuses, before it executes anything


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    """A repository with one recorded run in `out`; nobody may change it."""
    repo = Repo(tmp_path_factory.mktemp("first") / "repo")
    record_first_run(repo, {"main.py": PLAIN_RERUN})
    return repo


def forge(record: Path, path: Path, changes: dict[str, Any]) -> Path:
    """Write a copy of a record in which the values under dotted names are others."""
    path.write_text(json.dumps(put(read(record), changes)))
    return path


def link(name: str, target: str, mode: str = "100644") -> list[str]:
    """A patch that plants a symbolic link, or does so by the mode given."""
    return [
        f"diff --git a/{name} b/{name}",
        f"new file mode {mode}",
        "--- /dev/null",
        f"+++ b/{name}",
        "@@ -0,0 +1 @@",
        f"+{target}",
        "\\ No newline at end of file",
    ]


CODE, CALL = "tracked_module", "called_function"
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "patch climbs": ({f"{CODE}.git_patch": link("../evil", "x")}, "patch leads elsewhere"),
    "patch climbs within": ({f"{CODE}.git_patch": link("a/../../evil", "x")}, "leads elsewhere"),
    "patch climbs in quotes": (
        {f"{CODE}.git_patch": ['diff --git "a/\\056./\\056./x" "b/\\056./\\056./x"']}, "leads elsewhere"),
    "patch writes a hook": ({f"{CODE}.git_patch": link(".git/hooks/x", "x")}, "leads elsewhere"),
    "patch writes a Hook": ({f"{CODE}.git_patch": link("a/.GIT/config", "x")}, "leads elsewhere"),
    "patch is absolute": ({f"{CODE}.git_patch": link("/etc/evil", "x")}, "leads elsewhere"),
    "patch of two names": ({f"{CODE}.git_patch": ["diff --git a/x b/d/e/f", *link("x", "..")[1:]]},
        "leads elsewhere"),
    "patch without a header": ({f"{CODE}.git_patch": ["--- a/../x", "+++ b/../x", "@@ -0,0 +1 @@", "+x"]},
        "patch is none that git makes"),
    "patch with half a character": ({f"{CODE}.git_patch": link("x", "\ud800")},
        "patch is none that git makes"),
    "patch with a zero byte in a name": ({f"{CODE}.git_patch": link("x\0", "x")},
        "patch is none that git makes"),
    "patch of numbers": ({f"{CODE}.git_patch": [1]}, "git_patch is no list of texts"),
    "link is absolute": ({f"{CODE}.git_patch": link("x", "/etc", "120000")}, "plants a link"),
    "link turns back": ({f"{CODE}.git_patch": link("x", "a/z/../b", "120000")}, "plants a link"),
    "link climbs and turns back": ({f"{CODE}.git_patch": link("a/b/x", "../z/..", "120000")},
        "plants a link"),
    "link climbs": ({f"{CODE}.git_patch": link("a/x", "../../e", "120000")}, "plants a link"),
    "link with a zero": ({f"{CODE}.git_patch": link("x", "/etc", "0120000")}, "sets a mode"),
    "link with odd bits": ({f"{CODE}.git_patch": link("x", "/etc", "120777")}, "sets a mode"),
    "link with a blank": ({f"{CODE}.git_patch": link("x", "/etc", "120000 ")}, "sets a mode"),
    "link as index": ({f"{CODE}.git_patch": ["diff --git a/x b/x", "index 0..1 120000", "-a", "+/etc"]},
        "plants a link"),
    "link, binary": ({f"{CODE}.git_patch": [*link("x", "", "120000")[:2], "GIT binary patch", "literal 1",
        "A"]}, "plants a link"),
    "source outside": ({f"{CODE}.module_path": "/etc/passwd"}, "is outside its repository"),
    "source is no path": ({f"{CODE}.module_path": 3}, "module_path is missing, or not what"),
    "module is a statement": ({f"{CALL}.module": "os;x"}, "is no module's name"),
    "module climbs": ({f"{CALL}.module": "..evil"}, "is no module's name"),
    "module with a line": ({f"{CALL}.module": "main\n"}, "is no module's name"),
    "module to run": ({f"{CALL}.run_as": "module", f"{CALL}.qualname": "-c"}, "is no module's name"),
    "function in a function": ({f"{CALL}.qualname": "f.<locals>.g"}, "cannot be reached"),
    "commit is an option": ({f"{CODE}.git_commit_hash": "--upload-pack=touch"}, "names no commit"),
    "commit with a line": ({f"{CODE}.git_commit_hash": "a" * 40 + "\n"}, "names no commit"),
    "commit is a branch": ({f"{CODE}.git_commit_hash": "main"}, "names no commit, but 'main'"),
    "commit is gone": ({f"{CODE}.git_commit_hash": "a" * 40},
        f"has no commit {'a' * 40}; fetch it, or name a clone that has it with --repo"),
    "no commit yet": ({f"{CODE}.git_commit_hash": None}, "its repository had none yet"),
    "repository is a URL": ({f"{CODE}.git_working_dir": "ext::sh -c x"}, "is no absolute path"),
    "repository is an option": ({f"{CODE}.git_working_dir": "--exec=x"}, "is no absolute path"),
    "repository is gone": ({f"{CODE}.git_working_dir": "/gone", f"{CODE}.module_path": "/gone/main.py"},
        "the repository /gone is not there any more; name a clone that has it with --repo"),
    "repository is none": ({f"{CODE}.git_working_dir": "/", f"{CODE}.module_path": "/main.py"},
        "(fatal: not a git repository"),
    "0.4's": ({"pycrumbs": DROP}, "pycrumbs 0.4 wrote this record, which is not enough to run it again"),
    "no git": ({CODE: None}, "the record names no commit (git tracking was off)"),
    "patch left out": ({f"{CODE}.git_patch_omitted": "left out: x.txt (not UTF-8; 2 bytes, sha256 ab)"},
        "the record's patch is not whole; left out: x.txt (not UTF-8; 2 bytes, sha256 ab)"),
    "patch is missing": ({f"{CODE}.git_patch": None}, "tells of uncommitted changes, and does not"),
    "zero byte": ({"environment.cwd": "/a\0b"}, "environment.cwd is missing, or not what"),
    "working directory is relative": ({"environment.cwd": "a"}, "cwd is no absolute path, but 'a'"),
    "argv is a text": ({"environment.argv": "x"}, "environment.argv is missing, or not what"),
    "variables are a list": ({"environment.environment_variables": []}, "is missing, or not what"),
    "seed is a text": ({"seed": "1"}, "the record's seed: expected an integer or None"),
    "seed is too big": ({"seed": 2**32}, "the record's seed: expected 0 to 2**32 - 1"),
    "one of many": ({"environment.rank": {"world_size": 4}}, "the run was one of 4 processes"),
    "arguments are a list": ({f"{CALL}.parameters": []}, "parameters is missing, or not what"),
    "an array": ({f"{CALL}.parameters.x": "<numpy.ndarray shape (3, 4) dtype float32>",
        f"{CALL}.parameter_types": {"x": "numpy.ndarray"}},
        "cannot give back x (numpy.ndarray); plain values, paths, functions and dataclasses can "
        "be given back"),
    "an object by its repr": ({f"{CALL}.parameters.x": "Model(3)",
        f"{CALL}.parameter_types": {"x": "lib.Model"}}, "cannot give back x (lib.Model)"),
    "a long one": ({f"{CALL}.parameters.x": SUPPRESSED, f"{CALL}.parameter_types": {"x": "list"}},
        "cannot give back x (list)"),
    "a secret": ({f"{CALL}.parameters.x": ["a", {"b": "c <redacted>"}]},
        "cannot give back x[1].b (c <redacted>)"),
    "a secret as key": ({f"{CALL}.parameters.x": {"<redacted>": 1}}, "cannot give back x"),
    "numbers as keys": ({f"{CALL}.parameters.x": {"1": 2}, f"{CALL}.parameter_types": {"x{}": "int"}},
        "cannot give back x"),
    "two values of one name": ({f"{CALL}.parameters.x": {"a.b": [1], "a": {"b": [1]}},
        f"{CALL}.parameter_types": {"x.a.b": "tuple"}},
        "cannot give back x.a.b (one of two values has the type tuple)"),
    "a mixed set": ({f"{CALL}.parameters.x": [1], f"{CALL}.parameter_types": {"x": "set[a.B | c.D]"}},
        "cannot give back x (set[a.B | c.D])"),
    "a local class": ({f"{CALL}.parameters.x": {}, f"{CALL}.parameter_types": {"x": "m.f.<locals>.C"}},
        "cannot give back x (m.f.<locals>.C)"),
    "a call in a path": ({f"{CALL}.parameters.x": "PosixPath(__import__('os').system('touch canary'))",
        f"{CALL}.parameter_types": {"x": "pathlib.PosixPath"}}, "cannot give back x (pathlib.PosixPath)"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_rerun_refuses(first: Repo, tmp_path: Path, capsys: Capture, name: str) -> None:
    """A record that isn't enough, or can't be innocent, ends in one line before all else."""
    changes, message = REFUSED[name]
    record = forge(first.path / "out/main_record.json", tmp_path / "r.json", changes)
    assert pycrumbs.main(["rerun", "--yes", str(record)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("pycrumbs: ")
    assert message in line


@pytest.mark.slow
@pytest.mark.parametrize(("rank", "size"), [(0, 4), (1, 4), (3, 4), (0, 1), (None, None)], ids=str)
def test_rerun_of_one_process_of_many(repo: Repo, rank: int | None, size: int | None) -> None:
    """It is refused, whichever it was; what ran alone is run again."""
    repo.write("main.py", PLAIN_RERUN)
    repo.commit()
    job = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank, "MASTER_ADDR": "x"}
    repo.run("main.py", env={} if rank is None else {name: str(job[name]) for name in job})
    again = rerun("repo/out", "--yes", cwd=repo.path.parent)
    if size != 4:
        assert (again.status, "2 identical" in again.stdout) == (0, True), again.report
        return
    told = read(repo.path / "out")["environment"]["rank"]
    assert (told["rank"], told["world_size"], told["local_rank"]) == (rank, 4, rank)
    assert isinstance(told["launcher"], str)
    assert (again.status, again.stdout, again.made.exists()) == (2, "", False)
    assert re.fullmatch(r"pycrumbs: [^\n]*the run was one of 4 processes[^\n]*\n", again.stderr)


# Types of arguments, with a text that each of them has; and texts that none of them has.
TEXT_OF = {
    "pathlib.PosixPath": "PosixPath('a')", "decimal.Decimal": "Decimal('1.5')",
    "datetime.datetime": "datetime.datetime(2020, 1, 2, 3, 4)", "datetime.date": "datetime.date(2020, 1, 2)",
    "datetime.timedelta": "datetime.timedelta(days=1)", "uuid.UUID": f"UUID('{uuid.UUID(int=5)}')",
    "fractions.Fraction": "Fraction(1, 3)", "range": "range(0, 3)", "slice": "slice(1, None, None)",
    "bytes": "b'x'", "complex": "(1+2j)", "pathlib.PurePosixPath": "PurePosixPath('a')",
}  # fmt: skip
TEXTS_OF_NONE = [
    "UUID(int=-1)", "UUID('x')", "Decimal('x')", "Fraction(1, 0)", "Fraction('a')", "PosixPath('a', 1)",
    "PosixPath(1)", "PosixPath(x='a')", "PosixPath(*'ab')", "PosixPath('a').parent", "slice()", "bytes(-1)",
    "range('a')", "range(1, 2, 0)", "datetime.date(2020, 13, 1)", "datetime.timedelta(days=10**12)",
    "datetime.datetime(2020, 1, 2, tzinfo=1)", "datetime.datetime()", "b'\\x'", "(1+2j", "(((", "", "\0", "None",
    "x", "lambda: 1", "1 +", "PosixPath('\ud800", "9" * 5000, "__import__('os').system('touch canary')",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", TEXT_OF)
def test_rerun_refuses_texts_of_another_type(
    first: Repo, tmp_path: Path, capfd: Capture, kind: str
) -> None:
    """What can't be evaluated, or is another type's, is told in a line, and the function isn't run."""
    texts = [*TEXTS_OF_NONE, *(TEXT_OF[other] for other in TEXT_OF if other != kind)]
    for text in texts if "Path" in kind else texts[[*TEXT_OF].index(kind) :: 8]:
        changes = {f"{CALL}.parameters.data": text, f"{CALL}.parameter_types": {"data": kind}}
        record = forge(first.path / "out/main_record.json", tmp_path / "r.json", changes)
        arguments = ["rerun", "--yes", "-o", str(tmp_path / "again"), str(record)]
        assert pycrumbs.main(arguments) == 2, text
        told = capfd.readouterr().err
        assert re.search(rf"(?:\A|\n)pycrumbs: [^\n]*data \({kind}\)[^\n]*\n\Z", told), text
        assert "Traceback" not in told
        assert not (tmp_path / "again").exists()


def test_a_planted_repository_runs_nothing_before_consent(
    first: Repo, tmp_path: Path, capsys: Capture
) -> None:
    """A partial clone would fetch what it lacks, through a program of its own choice."""
    planted, canary = Repo(tmp_path / "planted"), tmp_path / "canary"
    planted.commit()
    for key, value in {
        "extensions.partialClone": "origin",
        "remote.origin.promisor": "true",
        "remote.origin.url": str(tmp_path / "none"),
        "remote.origin.uploadpack": f"touch {canary}; false",
        "core.fsmonitor": f"touch {canary}",
        "core.sshCommand": f"touch {canary}",
    }.items():
        planted.git("config", key, value)
    changes = {
        f"{CODE}.git_working_dir": str(planted.path),
        f"{CODE}.module_path": str(planted.path / "main.py"),
    }
    record = forge(first.path / "out/main_record.json", tmp_path / "r.json", changes)
    assert pycrumbs.main(["rerun", str(record)]) == 2
    assert "has no commit" in capsys.readouterr().err
    assert not canary.exists()


HOSTILE_RECORDS: dict[str, tuple[dict[str, Any], int, str]] = {
    # what a record may say, and a rerun must not do even after consent
    "a class that runs": ({f"{CALL}.parameters.data": {"args": ["touch", "CANARY"]},
        f"{CALL}.parameter_types": {"data": "subprocess.Popen"}}, 2,
        "data (subprocess.Popen) cannot be made again: it is no class of plain data"),
    "a function as class": ({f"{CALL}.parameters.data": ["touch CANARY"],
        f"{CALL}.parameter_types": {"data": "os.system"}}, 2, "data (os.system) cannot be made again"),
    "variables of programs": ({"environment.environment_variables": {"PYTHONPATH": "EVIL",
        "PYTHONHOME": "EVIL", "LD_PRELOAD": "EVIL/evil.so", "PATH": "EVIL", "GIT_SSH": "EVIL/random.py"}},
        1, "differs  a.txt"),
    "import path outside": ({"environment.python_path": ["EVIL"]}, 1, "differs  a.txt"),
    "a class that is gone": ({f"{CALL}.parameters.data": {"a": 1},
        f"{CALL}.parameter_types": {"data": "lib.Gone"}}, 2,
        "data (lib.Gone) cannot be made again: there is no lib.Gone here"),
    "a default that is gone": ({f"{CALL}.parameters.data": {"a": 1},
        f"{CALL}.parameter_types": {"data": "collections.defaultdict"}}, 2,
        "data (collections.defaultdict) cannot be made again: first argument must be callable"),
    "an unknown repr": ({f"{CALL}.parameters.data": "x",
        f"{CALL}.parameter_types": {"data": "decimal.Context"}}, 2,
        "data (decimal.Context) cannot be made again: its text does not tell all of it"),
    "no such function": ({f"{CALL}.qualname": "train"}, 2,
        "train() could not be called: loading main.py defines no tracked train(); define it at"),
    "no such parameter": ({f"{CALL}.parameters.extra": 1}, 2,
        "main() could not be called: main() has no parameter extra"),
    "no such file": ({f"{CODE}.module_path": "REPO/train.py"}, 2, "and its patch hold no train.py"),
    "not a patch of this": ({f"{CODE}.git_patch": link("main.py", "x")}, 2,
        "git could not check the commit out: error: main.py: already exists in working directory"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE_RECORDS)
def test_rerun_after_consent(first: Repo, tmp_path: Path, name: str) -> None:
    """What a record could have set up for the child has no effect, or is refused."""
    changes, status, message = HOSTILE_RECORDS[name]
    (evil := tmp_path / "evil").mkdir()
    canary = tmp_path / "canary"
    (evil / "random.py").write_text(f"open({str(canary)!r}, 'w')\nrandom = lambda: 0\n")
    text = json.dumps({f"{CALL}.parameters.data": "other", **changes})
    for word, path in (("EVIL", evil), ("CANARY", canary), ("REPO", first.path)):
        text = text.replace(word, str(path))
    record = first.path / "out/main_record.json"
    again = rerun(forge(record, tmp_path / "r.json", json.loads(text)), "--yes", cwd=tmp_path)
    assert (again.status, canary.exists()) == (status, False), again.report
    assert message in again.stderr + again.stdout
    assert not list(temporary(tmp_path).iterdir())


# -- what a rerun asks


def ask(command: list[str], answer: bytes, cwd: Path) -> tuple[int, str]:
    """Run a command on a terminal of its own, answer its question; exit status and all it said."""
    env = clean_environment(TMPDIR=str(temporary(cwd)), TERM="dumb")
    child, main = pty.fork()
    if not child:
        os.execve(command[0], command, env)
    said, answered = b"", False
    while True:
        try:
            said += os.read(main, 4096)
        except OSError:  # the child has closed its end
            break
        if b"[y/N] " in said and not answered:
            os.write(main, answer)
            answered = True
    os.close(main)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said.decode().replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("answer", "status"),
    [(b"y\n", 0), (b"YES\n", 0), (b"n\n", 2), (b"\n", 2), (b"\x04", 2), (b"\x03", 2)],
    ids=["y", "yes", "n", "enter", "end of file", "interrupt"],
)
@pytest.mark.slow
def test_rerun_asks(first: Repo, tmp_path: Path, answer: bytes, status: int) -> None:
    """It says what it will execute, and executes it only if told to."""
    message = "pycrumbs: nothing was executed" if status else "identical  a.txt"
    made = tmp_path / "again"
    command = [sys.executable, "-m", "pycrumbs", "rerun", str(first.path / "out"), "-o", str(made)]
    ended, said = ask(command, answer, tmp_path)
    commit = read(first.path / "out")["tracked_module"]["git_commit_hash"]
    lines = said.splitlines()
    assert lines[:4] == [
        "execute   main() of main.py",
        f"code      commit {commit[:12]} of {first.path}, with a patch of 13 lines to 1 file",
        f"directory {first.path / 'out'} (of which the rerun makes a copy)",
        "argument  out = out",
    ]
    assert (ended, message in said, made.exists()) == (status, True, status == 0)


def test_rerun_does_not_execute_where_nobody_can_be_asked(first: Repo, tmp_path: Path) -> None:
    """Without a terminal it takes --yes."""
    again = rerun(first.path / "out", cwd=tmp_path)
    message = "pycrumbs: rerun executes this code: say --yes where nobody can be asked"
    assert (again.status, again.stderr.splitlines()[-1]) == (2, message)
    assert not again.made.exists()


def test_what_it_asks_cannot_be_forged(first: Repo, tmp_path: Path) -> None:
    """A record's texts reach the terminal without control characters, on one line each."""
    evil = "x\r\n\x1b[2Jcode      commit \u202eabc\x9b1A"
    changes = {
        f"{CALL}.qualname": evil,
        f"{CALL}.parameters": {evil: evil},
        "environment.argv": ["main.py", evil],
        "environment.environment_variables": {"TZ": evil, "MINE": evil},
        "package_inventory": {evil: evil},
        f"{CODE}.source_edited_after_import": True,
        "extra_tracked_modules": {evil: {"git_working_dir": evil}},
    }
    record = forge(first.path / "out/main_record.json", tmp_path / "r.json", changes)
    again = rerun(record, cwd=tmp_path)
    assert again.status == 2
    assert [line for line in again.stderr.split("\n") if line.startswith("code")] == [
        again.stderr.split("\n")[1]
    ]
    assert not set(again.stderr) & set("\r\x1b\u202e\x9b")


# The variables of a record that a rerun sets, of a run whose code is at stage 1, and the others.
SET = {
    "TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "3", "CUDA_VISIBLE_DEVICES": "1",
    "PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "5", "MY_ROOT": "mine", "AT_1": "one",
}  # fmt: skip
NOT_SET = """
    AT_0 AT_2 COMPUTED OTHERS UNNAMED PERL5OPT RUBYOPT NODE_OPTIONS HF_ENDPOINT MPLBACKEND JAVA_TOOL_OPTIONS
    HTTPS_PROXY all_proxy LD_PRELOAD LD_AUDIT PYTHONSTARTUP PYTHONWARNINGS GIT_DIR GIT_SSH_COMMAND CLASSPATH
    MYPATH SLURM_JOB_ID MASTER_ADDR BASH_ENV
""".split()
ASKS = script(
    """
    def main(out):
        pathlib.Path(out, "seen.json").write_text(json.dumps(dict(os.environ)))
    """,
    'main("out")',
    'directory_parameter="out", extra_environment_variables=["MY_ROOT", "AT_STAGE", NAME, "LD_AUDIT", '
    '"PYTHONSTARTUP", "GIT_DIR", "HTTPS_PROXY", "all_proxy", "MYPATH", "BASH_ENV"]',
    """
    NAME = "COMPUTED"
    @tracked(literal_directory="x", extra_environment_variables=["OTHERS"])
    def other(extra_environment_variables=("UNNAMED",)):
        pass
    """,
)


@pytest.mark.slow
@pytest.mark.parametrize("packages", [0, 50])
def test_consent_tells_every_variable(repo: Repo, tmp_path: Path, packages: int) -> None:
    """Of a record's only those of a short list, and the literals in the function's decorator, are set."""
    record_first_run(repo, {"main.py": ASKS})
    changes = {
        "environment.environment_variables": {**SET, **dict.fromkeys(NOT_SET, "evil")},
        "package_inventory": {f"aaa{number}": "1" for number in range(packages)},
    }
    record = forge(repo.path / "out/main_record.json", tmp_path / "r.json", changes)
    again = rerun(record, "--yes", cwd=tmp_path)
    seen = json.loads((again.made / "seen.json").read_text())
    assert {name: seen.get(name) for name in SET} == SET
    assert [name for name in NOT_SET if seen.get(name) == "evil"] == []
    for name, value in SET.items():
        assert f"{name} is set to {value}\n" in again.stderr
    assert re.search(r"\bCOMPUTED\b.*\bnot set", again.stderr)
    assert "UNNAMED is set" not in again.stderr


WRITES_AT_HOME = """
    def main(out):
        pathlib.Path(out, "a.txt").write_text("x")
        if "PROFILE" in os.environ:
            subprocess.run(["sh", "-c", 'echo evil > "$PROFILE"'])
            pathlib.Path(os.environ["PROFILE"]).write_text("evil")
"""
WIDENING = ["", "XDG_CACHE_HOME=/", "XDG_CACHE_HOME={home}", "HOME=/"]
WIDENING.append("TMPDIR={home} TEMP={home} TMP={home}")


@pytest.fixture
def home() -> Iterator[Path]:
    """A home that isn't below the temporary folder, where a rerun may write, with a file in it."""
    with tempfile.TemporaryDirectory(prefix=".pycrumbs-test-", dir=Path.home()) as folder:
        Path(folder, "profile").write_text("mine")
        yield Path(folder)


@pytest.mark.slow
@pytest.mark.parametrize("variables", WIDENING)
def test_no_variable_widens_where_a_rerun_may_write(
    repo: Repo, tmp_path: Path, home: Path, variables: str
) -> None:
    """That is worked out before any is set, be it one that the decorator names."""
    names = ["XDG_CACHE_HOME", "TMPDIR", "TEMP", "TMP", "HOME"]
    options = f'directory_parameter="out", extra_environment_variables={names}'
    record_main(repo, script(WRITES_AT_HOME, 'main("out")', options, "import subprocess"))
    chosen = dict(word.split("=") for word in variables.format(home=home).split())
    changes = {"environment.environment_variables": chosen}
    record = forge(repo.path / "out/main_record.json", tmp_path / "r.json", changes)
    again = rerun(record, "--yes", cwd=tmp_path, HOME=str(home), PROFILE=str(home / "profile"))
    assert again.made.exists(), again.report
    assert (home / "profile").read_text() == "mine"


# -- what a rerun leaves alone


def fingerprint(folder: Path) -> dict[str, tuple[Any, ...]]:
    """All there is below a folder, .git included: kinds, modes, times and contents."""
    found = {}
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.lstat()
        content = b"" if path.is_dir() or path.is_symlink() else path.read_bytes()
        facts = (status.st_mode, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        found[str(path)] = (*facts, hashlib.sha256(content).hexdigest())
    return found


MISCHIEF = """
    import multiprocessing, os, pathlib, shutil, signal, sqlite3, subprocess, sys, time
    from pycrumbs import tracked
    HOME, SPAWN = pathlib.Path("REPO"), multiprocessing.get_context("spawn")
    def touch(path):
        pathlib.Path(path).write_text("evil")
    @tracked(directory_parameter="out", extra_environment_variables=[])
    def main(out):
        pathlib.Path(out, "a.txt").write_text("STAGE")
        if "MISCHIEF" in os.environ:
            print("before", file=sys.stderr, flush=True)
            exec(os.environ["MISCHIEF"])
    if __name__ == "__main__":
        main("out")
"""
STOPPED = "PermissionError: a rerun must not write to the first run's files, which the code names"
DENIED = "Permission denied"
DEEDS = {  # what code does in the rerun, and what is said about it
    "crash": ("1 / 0", "ZeroDivisionError"),
    "exit": ("sys.exit(3)", 'SystemExit", "message": "3"'),
    "vanish": ("os._exit(3)", "main() did not end; its process did, with status 3"),
    "kill": ("os.kill(os.getpid(), 9)", "main() did not end; its process did, with signal 9"),
    "write": ("touch(HOME / 'new.txt')", STOPPED),
    "overwrite": ("(HOME / 'out/a.txt').write_text('evil')", STOPPED),
    "append": ("open(HOME / 'main.py', 'a')", STOPPED),
    "descriptor": ("os.open(bytes(HOME / 'new'), os.O_CREAT | os.O_WRONLY)", STOPPED),
    "remove": ("os.unlink(HOME / 'main.py')", STOPPED),
    "remove all": ("shutil.rmtree(HOME)", STOPPED),
    "make a folder": ("(HOME / 'new').mkdir()", STOPPED),
    "rename": ("os.replace('main.py', HOME / 'main.py')", STOPPED),
    "rename away": ("os.rename(HOME / 'main.py', 'away.py')", STOPPED),
    "link": ("os.symlink('a', HOME / 'new')", STOPPED),
    "hard link": ("os.link(HOME / 'main.py', 'same'); open('same', 'a')", STOPPED),
    "truncate": ("os.truncate(HOME / 'main.py', 0)", STOPPED),
    "mode": ("(HOME / 'main.py').chmod(0)", STOPPED),
    "time": ("os.utime(HOME / 'main.py')", STOPPED),
    "through a link": ("os.symlink(HOME, 'here'); touch('here/new')", STOPPED),
    "old directory": ("touch(HOME / 'out' / 'b.txt')", STOPPED),
    "elsewhere": ("touch('/pycrumbs-was-here')", "a rerun writes into its own folder only, not to"),
    "push": ("subprocess.run(['git', 'push', 'origin', 'HEAD:evil'])", "/dev/null"),
}
UNSEEN = {
    # by Python; the system stops it, where it is a Linux that can
    "git": ("subprocess.run(['git', '-C', HOME, 'commit', '--allow-empty', '-mx'])", DENIED),
    "child process": ("subprocess.run(['touch', HOME / 'new'], check=True)", DENIED),
    "spawned": ("p = SPAWN.Process(target=touch, args=(HOME / 'new',)); p.start(); p.join()", DENIED),
    "child process, elsewhere": ("subprocess.run(['touch', '/pycrumbs-was-here'], check=True)", DENIED),
    "library": ("sqlite3.connect(HOME / 'new.db').execute('create table t (x)')", "unable to open"),
}  # fmt: skip
RELEASE = tuple(int(number) for number in re.findall(r"\d+", os.uname().release)[:2])
if sys.platform == "linux" and RELEASE >= (5, 19):
    DEEDS.update(UNSEEN)


@pytest.fixture(scope="session")
def mischief(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    """A repository with a recorded run, whose rerun does what MISCHIEF says."""
    repo = Repo(tmp_path_factory.mktemp("mischief") / "repo")
    repo.git("remote", "add", "origin", str(repo.path))
    record_first_run(repo, fill_in({"main.py": MISCHIEF}, repo))
    repo.write("staged.txt")
    repo.git("stash", "--include-untracked")
    repo.write("staged.txt", "staged")
    repo.git("add", "staged.txt")
    return repo


def mark_deed(name: str) -> Any:
    """A row of the table; most would take a second."""
    return pytest.param(name, marks=[] if name in ("crash", "write", "git") else pytest.mark.slow)


@pytest.mark.slow
@pytest.mark.parametrize("name", [mark_deed(name) for name in DEEDS])
def test_rerun_leaves_the_user_s_files_alone(mischief: Repo, tmp_path: Path, name: str) -> None:
    """Whatever its code does: tree, index, stash, branches, reflog, objects, records, outputs."""
    code, message = DEEDS[name]
    before = fingerprint(mischief.path)
    again = rerun(mischief.path / "out", "--yes", cwd=tmp_path, MISCHIEF=code)
    assert "before" in again.stderr
    assert fingerprint(mischief.path) == before
    assert message in again.stderr + again.stdout
    assert not list(temporary(tmp_path).iterdir())
    assert (again.status, again.made.exists()) in ((1, True), (2, False), (0, True))


def start_slow_rerun(repo: Repo, folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start a rerun of a function that takes for ever; return it and its child's pid."""
    started = folder / "started"
    code = f"pathlib.Path({str(started)!r}).write_text(str(os.getpid())); time.sleep(600)"
    command = [sys.executable, "-m", "pycrumbs", "rerun", "--yes", str(repo.path / "out")]
    env = clean_environment(TMPDIR=str(temporary(folder)), MISCHIEF=code)
    process = subprocess.Popen(command, env=env, stdout=-3, stderr=-3, stdin=-3)
    while not (started.exists() and started.read_text()):
        assert process.poll() is None
        time.sleep(0.01)
    return process, int(started.read_text())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.slow
def test_an_interrupted_rerun_leaves_nothing(
    mischief: Repo, tmp_path: Path, number: signal.Signals
) -> None:
    """Control-C, or a scheduler, ends the child and removes what there is of the rerun."""
    before = fingerprint(mischief.path)
    process, child = start_slow_rerun(mischief, tmp_path)
    process.send_signal(number)
    assert process.wait(30) == 2
    assert not list(temporary(tmp_path).iterdir())
    while Path("/proc", str(child)).exists():  # killed, and soon buried
        time.sleep(0.01)
    assert fingerprint(mischief.path) == before


@pytest.mark.slow
def test_a_killed_rerun_is_swept_by_the_next(mischief: Repo, tmp_path: Path) -> None:
    """What it left is removed; what one leaves that is at work, or isn't one, is not."""
    process, child = start_slow_rerun(mischief, tmp_path)
    dead = list(temporary(tmp_path).iterdir())
    process.kill()
    process.wait()
    os.kill(child, signal.SIGKILL)
    (tmp_path / "started").unlink()
    other, child = start_slow_rerun(mischief, tmp_path)
    alive = [path for path in temporary(tmp_path).iterdir() if path not in dead]
    (temporary(tmp_path) / "pycrumbs-rerun-notes.txt").touch()
    assert rerun(mischief.path / "out", "--yes", cwd=tmp_path).status == 0
    assert {path.name for path in temporary(tmp_path).iterdir()} == {
        "pycrumbs-rerun-notes.txt",
        *(path.name for path in alive),
    }
    other.send_signal(signal.SIGINT)
    other.wait(30)


# -- where the bytes differ, and why


DRIFT = """
    import json, os, pathlib, random
    import numpy
    from pycrumbs import tracked
    DRIFT = int(os.environ.get("DRIFT", 0))
    @tracked(directory_parameter="out")
    def main(out):
        def write(name, text):
            pathlib.Path(out, name).write_bytes(text.encode() if isinstance(text, str) else text)
        def save(name, values):
            numpy.save(pathlib.Path(out, name), values)
        write("line.txt", f"one\\ntwo\\x1b {DRIFT}\\n")
        write("lines.txt", "one\\n" * (1 + DRIFT))
        write("ends.txt", "one" + "\\r" * DRIFT + "\\ntwo")
        write("more.txt", "1\\n2" + "\\n3" * DRIFT)
        write("a.json", json.dumps({"a": "x" * 200, "b": DRIFT}))
        write("numbers.csv", f"x,y\\nrow,{1 + DRIFT / 4}\\nb,{2 - DRIFT}\\n")
        write("texts.csv", f"x,y\\nrow {DRIFT},{1 + DRIFT / 4}\\n")
        write("a.bin", b"\\xff" * (1 + DRIFT))
        save("floats.npy", numpy.arange(4) * (1 + DRIFT / 2))
        save("unsigned.npy", numpy.array([3, 5 - DRIFT], "uint8"))
        save("missing.npy", numpy.array([numpy.nan, 1.0 + DRIFT]))
        save("shape.npy", numpy.zeros(3 + DRIFT))
        save("words.npy", numpy.array(["a", str(DRIFT)]))
        save("objects.npy", numpy.array([None, DRIFT]))
        write("new.txt" if DRIFT else "old.txt", "")
        write("same.txt", "same")
        return {"loss": DRIFT}
    if __name__ == "__main__":
        main("out")
"""


@pytest.fixture(scope="session")
def drifted(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What a rerun said of code whose output depends on a variable that no record holds."""
    folder = tmp_path_factory.mktemp("drifted")
    repo = Repo(folder / "repo")
    record_main(repo, DRIFT)
    again = rerun("repo/out", "--yes", cwd=folder, DRIFT="1")
    assert again.status == 1, again.report
    return again.stdout.splitlines()


OBJECTS = "Object arrays cannot be loaded when allow_pickle=False"


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        r"differs  line.txt  (line 2: two\x1b 0 -> two\x1b 1)",
        "differs  lines.txt  (line 2:  -> one)",
        r"differs  ends.txt  (line 1: one -> one\r)",
        "differs  more.txt  (2 and 3 lines)",
        'differs  a.json  (line 1: xxxxxxxxxxxx", "b": 0} -> xxxxxxxxxxxx", "b": 1})',
        "differs  numbers.csv  (line 2: row,1.0 -> row,1.25; largest difference 1)",
        "differs  texts.csv  (line 2: row 0,1.0 -> row 1,1.25)",
        "differs  a.bin  (1 and 2 bytes)",
        "differs  floats.npy  (largest difference 1.5, in 3 of 4 values)",
        "differs  unsigned.npy  (largest difference 1, in 1 of 2 values)",
        "differs  missing.npy  (largest difference 1, in 1 of 2 values)",
        "differs  shape.npy  (float64 (3,) and float64 (4,))",
        "differs  words.npy  (1 of 2 values)",
        f"differs  objects.npy  (unavailable: ValueError: {OBJECTS})",
        "missing  old.txt",
        "new  new.txt",
        "identical  same.txt",
        'differs  result  ({"loss": 0} -> {"loss": 1})',
        "15 differs, 1 identical, 1 missing, 1 new",
    ],
)
def test_a_rerun_that_differs_says_where(drifted: list[str], line: str) -> None:
    """One verdict per output, with the first differing line or the largest difference."""
    assert line in drifted


# Projects as above, and how their reruns end: what is said, in lines that begin so.
OTHER_ENDS = r"""
== what no seed fixes
status: 1
says: differs  a.npy  (largest difference 0.
says: differs  time.json  (line 1: {"time": 1
says: 2 differs, 1 identical
import numpy, time
@tracked
def main(out):
    numpy.save(pathlib.Path(out, "a.npy"), numpy.random.default_rng().random(3))
    pathlib.Path(out, "time.json").write_text(json.dumps({"time": time.time()}))
    pathlib.Path(out, "same.txt").write_text("same")
== a function that fails now
again: {"AGAIN": "1"}
status: 1
says: differs  error  (null -> {"type": "FileNotFoundError", "message": "[Errno 2] No such file or dir
says: note: what the code reads must be in git, named by an argument, or recorded: input_para
@tracked
def main(out):
    return "AGAIN" in os.environ and open("data.txt")
== a failure that is the same
says: 2 identical
@tracked
def main(out):
    pathlib.Path(out, "a.txt").touch()
    raise ValueError(out)
if __name__ == "__main__":
    try: main("out")
    except ValueError: pass
== what was not hashed
status: 1
says: unhashed  a.txt  (the first run's record has no hash (hash_limit))
@tracked(directory_parameter="out", hash_limit=0)
BODY
== an input that the run overwrote
again: {"AGAIN": "1"}
status: 1
says: note      the run overwrote
says: differs  state.txt  (line 1: 2 -> 1)
call: main("out", "out/state.txt")
-- .gitignore
out
-- main.py
if "AGAIN" not in os.environ:
    os.mkdir("out")
    pathlib.Path("out/state.txt").write_text("1")
@tracked
def main(out, state):
    path = pathlib.Path(state)
    path.write_text(str(int(path.read_text()) + 1 if path.exists() else 1))
== a source that git ignores
call: main("out", VALUE)
says: note: neither git nor the record holds REPO/_version.py: it is used as
-- .gitignore
_version.py
-- _version.py
VALUE = 7
-- main.py
from _version import VALUE
@tracked
BODY
== a database that an argument names, outside the repository
command: ../repo/main.py
cwd: ../work
record: ../work/out
call: main("out", "state")
status: 1
says: differs  error  (null -> {"type": "PermissionError"
-- ../work/state/count
0
-- main.py
@tracked
def main(out, state):
    path = pathlib.Path(state, "count")
    path.write_text(str(int(path.read_text()) + 1))
    os.utime(path, (1, 1))
== the tracking refuses
again: {"AGAIN": "1"}
status: 2
says: pycrumbs: main() could not be called:
if "AGAIN" in os.environ:
    os.makedirs("out/main_record.json")
@tracked
BODY
== an import fails
again: {"AGAIN": "1"}
status: 2
says: pycrumbs: main() could not be called: ModuleNotFoundError: No module named 'gone_package'
if "AGAIN" in os.environ:
    import gone_package
@tracked
BODY
== the script exits
again: {"AGAIN": "1"}
status: 2
says: pycrumbs: main() could not be called: status 1
if "AGAIN" in os.environ:
    sys.exit("no")
@tracked
BODY
"""
OTHERS = parse_projects(OTHER_ENDS)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_how_else_reruns_end(repo: Repo, tmp_path: Path, name: str) -> None:
    """What differs, what could not be called, and why, is said."""
    case = OTHERS[name]
    files = fill_in(case.files, repo)
    (repo.path / case.cwd).mkdir(exist_ok=True)
    record_first_run(repo, files, *case.command.split(" ", 1), cwd=case.cwd)
    before = [path.read_text() for path in tmp_path.glob("work/state/*")]
    again = rerun(repo.path / case.record, "--yes", cwd=tmp_path, **case.again)
    said = (again.stderr + again.stdout).splitlines()
    assert again.status == int(case.status), again.report
    for start in case.says.replace("REPO", str(repo.path)).split("\n"):
        assert [line for line in said if line.startswith(start)], (start, said[-1])
    assert [path.read_text() for path in tmp_path.glob("work/state/*")] == before


@pytest.mark.slow
@pytest.mark.parametrize("found", [False, True], ids=["elsewhere", "where it was"])
def test_a_script_whose_input_nobody_saw(repo: Repo, tmp_path: Path, found: bool) -> None:
    """What can be done about it is said, and helps."""
    repo.write(".gitignore", "*.bin")
    path = repo.write("data.bin")
    named, given = (str(path), ["data.bin"]) if found else ("data.bin", [])
    text = f"print([os.stat(path) and path for path in [{named!r}, *sys.argv[1:]]])"
    repo.write("main.py", f"import os, sys\n{text}")
    repo.commit()
    run_python("-m", "pycrumbs", "run", "-o", "out", "main.py", *given, cwd=repo.path)
    again = rerun("repo/out", "--yes", cwd=tmp_path)
    hint = "note: what the code reads must be in git, named by an argument, or recorded: "
    assert (again.status, hint in again.stdout) == (not found, not found)


READER = """
    def main(out, data):
        pathlib.Path(out, "a.txt").write_text(pathlib.Path(data).read_text())
"""


@pytest.mark.parametrize("place", ["../data.csv", "data.csv"], ids=["outside", "ignored"])
@pytest.mark.parametrize("text", ["other", None], ids=["changed", "missing"])
@pytest.mark.slow
def test_rerun_needs_the_inputs(repo: Repo, tmp_path: Path, place: str, text: str | None) -> None:
    """Nothing runs on another input than the recorded one."""
    data = repo.write(place, "data")
    repo.write(".gitignore", "data.csv\n")
    record_main(repo, script(READER, f'main("out", "{place}")'))
    data.unlink() if text is None else data.write_text(text)
    again = rerun("repo/out", "--yes", cwd=tmp_path)
    why = "is missing" if text is None else "has changed since the run"
    problem = f"pycrumbs: the input {os.path.relpath(data, tmp_path)} {why}; put it back as it was"
    assert (again.status, again.stderr.splitlines()[-1]) == (2, problem)
    assert not again.made.exists()
    assert not list(temporary(tmp_path).iterdir())


@pytest.mark.slow
def test_an_input_that_moved_with_the_record_is_found(tmp_path: Path) -> None:
    """So is the repository where --repo tells it."""
    repo = Repo(tmp_path / "old/repo")
    repo.write("../data/a.csv", "data")
    record_main(repo, script(READER, 'main("../out", "../data/a.csv")'))
    (tmp_path / "old").rename(tmp_path / "new")
    lost = rerun("new/out", "--yes", cwd=tmp_path)
    assert "is not there any more; name a clone that has it with --repo" in lost.stderr
    again = rerun("new/out", "--yes", "--repo", "new/repo", cwd=tmp_path)
    assert (again.status, "1 identical" in again.stdout) == (0, True), again.report


@pytest.mark.slow
def test_what_neither_git_nor_the_record_holds_is_used_and_said(repo: Repo, tmp_path: Path) -> None:
    """A folder of ignored data is named by an argument and read; a file, too deep in another."""
    read_all = """
        def main(out, data, deep, mode="main.py", device="/dev/null"):
            files = [*sorted(pathlib.Path(data).iterdir()), pathlib.Path(deep[0][0][0][0][0])]
            pathlib.Path(out, "a.txt").write_text("".join(p.read_text() for p in files))
    """
    repo.write(".gitignore", "data")
    paths = [repo.path / "data", repo.write("../deep.csv").resolve()]
    repo.write("data/a.csv", "A")
    again = record_and_rerun(repo, script(read_all, f'main("out", "data", [[[[["{paths[1]}"]]]]])'))
    notes = [
        f"note: neither git nor the record holds {path}: it is used as it is now" for path in paths
    ]
    told = [line for line in again.stdout.splitlines() if line.startswith("note")]
    assert (again.status, told) == (0, notes), again.report


@pytest.mark.slow
def test_rerun_where_what_was_staged_is_undone(repo: Repo, tmp_path: Path) -> None:
    """The repository is dirty, and the files are the commit's: the record says so."""
    main = repo.write("main.py", PLAIN_RERUN)
    repo.commit()
    text = main.read_text()
    main.write_text("broken")
    repo.write("new.txt")
    repo.git("add", "--all")
    main.write_text(text)
    (repo.path / "new.txt").unlink()
    repo.run("main.py")
    module = read(repo.path / "out")["tracked_module"]
    assert (module["git_is_dirty"], module["git_patch"]) == (True, [])
    again = rerun("repo/out", "--yes", cwd=tmp_path)
    assert (again.status, "2 identical" in again.stdout) == (0, True), again.report


@pytest.mark.slow
def test_another_version_of_a_package_is_said(repo: Repo, tmp_path: Path) -> None:
    """Before it runs, with what else differs here."""
    site = tmp_path / "site"
    env = {"PYTHONPATH": f"{HERE}{os.pathsep}{site}", "OMP_NUM_THREADS": "3"}
    (metadata := site / "mattering.dist-info/METADATA").parent.mkdir(parents=True)
    metadata.write_text("Name: mattering\nVersion: 1.0\n\n")
    repo.write("main.py", script(BODY, 'main("out", mattering.VALUE)', head="import mattering"))
    repo.commit()
    (site / "mattering.py").write_text("VALUE = 1")
    run_python("main.py", cwd=repo.path, env=env)
    metadata.write_text("Name: mattering\nVersion: 2.0\n\n")
    again = rerun("repo/out", "--yes", cwd=tmp_path, PYTHONPATH=env["PYTHONPATH"])
    assert 'changed   mattering: "1.0" -> "2.0"\n' in again.stderr
    assert "variable  OMP_NUM_THREADS is set to 3\n" in again.stderr
    assert again.status == 0


# -- what a rerun leaves


@pytest.mark.slow
def test_a_rerun_is_recorded(repo: Repo, tmp_path: Path) -> None:
    """Its record names the first run, and whatever lay in the checkout by its place in that."""
    repo.write("data.txt", "data")
    repo.write("main.py", script(READER, 'main("out", "data.txt")'))
    repo.commit()
    repo.write("main.py", script(READER, 'main("out", "data.txt")') + "# dirty\n")
    repo.run("main.py")
    again = rerun("repo/out", "--yes", "--json", cwd=tmp_path)
    old, new = read(repo.path / "out"), read(again.made)
    assert new["rerun_of"] == old["uuid"] != new["uuid"]
    assert "pycrumbs-rerun" not in json.dumps({**new, "environment": {}})
    for key in ("outputs", "inputs", "seed", "called_function", "package_inventory"):
        assert new.get(key) == old[key] or key == "inputs"
    assert new["inputs"][0]["path"] == str(repo.path / "data.txt")
    assert new["tracked_module"]["git_patch"] == old["tracked_module"]["git_patch"]
    assert json.loads(again.stdout)["record"]["record_path"] == str(again.made / "main_record.json")


@pytest.mark.slow
def test_a_rerun_can_be_compared_verified_and_rerun(
    first: Repo, tmp_path: Path, capsys: Capture
) -> None:
    """It is a run like any other."""
    made = rerun(first.path / "out", "--yes", cwd=tmp_path).made
    made.rename(tmp_path / "once")
    assert pycrumbs.main(["diff", str(first.path / "out"), str(tmp_path / "once")]) == 0
    assert capsys.readouterr().out == "no difference\n"
    assert pycrumbs.main(["verify", str(tmp_path / "once")]) == 0
    again = rerun("once", "--yes", "--json", cwd=tmp_path)
    assert (again.status, again.verdicts) == (0, {"a.txt": "identical", "result": "identical"})


@pytest.mark.slow
def test_a_rerun_of_a_project_in_editable_mode(repo: Repo, tmp_path: Path) -> None:
    """Its code came from the checkout: neither today's commit is recorded, nor the checkout."""
    for name, url in (("origin", "https://me:secret@example.com/x.git"), ("mine", "../mine")):
        repo.git("remote", "add", name, url)
    (tmp_path / "site").mkdir()
    for name, folder in (("project", repo.path), ("part", repo.path / "part")):
        folder.mkdir(exist_ok=True)
        leave_package(tmp_path / "site", name, editable(folder))
    site = f"{HERE}{os.pathsep}{tmp_path / 'site'}"
    files = {"main.py": PLAIN_RERUN, "part/lib.py": ""}
    record_first_run(repo, files, PYTHONPATH=site)
    made = rerun("repo/out", "--yes", cwd=tmp_path, PYTHONPATH=site).made
    old, new = read(repo.path / "out"), read(made)
    assert new["package_origins"] == old["package_origins"]
    assert list(old["tracked_module"]["git_remotes"]) == ["origin", "mine"]
    done = run_python("-m", "pycrumbs", "diff", "repo/out", "again", cwd=tmp_path)
    assert done.stdout == "no difference\n"


@pytest.mark.slow
def test_a_rerun_of_a_click_command_is_the_same_function(repo: Repo, tmp_path: Path) -> None:
    """What click makes a command of, it hides."""
    case = CORPUS["click"]
    record_first_run(repo, case.files, *case.command.split())
    rerun("repo/out", "--yes", cwd=tmp_path)
    run_python("-m", "pycrumbs", "diff", "repo/out", "again", cwd=tmp_path)


@pytest.mark.slow
def test_a_rerun_that_has_no_place_for_its_files(first: Repo, tmp_path: Path) -> None:
    """It is said before the work that would be lost."""
    (tmp_path / "again").write_text("")
    (tmp_path / "again").chmod(0o600)
    done = subprocess.run(
        [sys.executable, "-m", "pycrumbs", "rerun", "--yes", "-o", "again/x", first.path / "out"],
        cwd=tmp_path,
        env=clean_environment(TMPDIR=str(temporary(tmp_path))),
        capture_output=True,
        encoding="utf-8",
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.search("Not a directory|File exists", done.stderr.splitlines()[-1])
    assert not list(temporary(tmp_path).iterdir())


@pytest.mark.slow
def test_a_rerun_of_a_rerun_that_wrote_elsewhere(repo: Repo, tmp_path: Path) -> None:
    """What it would have written there is compared, kept beside the rest, and nothing more."""
    body = """
        def main(out, report):
            pathlib.Path(report).write_text("report")
            pathlib.Path(out, "a.txt").write_text("x")
    """
    options = 'directory_parameter="out", capture_files=True'
    repo.write("main.py", script(body, "main(*sys.argv[1:])", options))
    repo.commit()
    report = write_files(tmp_path / "reports", "old") / "report.txt"
    repo.run("main.py", "out", str(report))
    made = rerun(repo.path / "out", "--yes", cwd=tmp_path).made
    made.rename(tmp_path / "once")
    run_python("-m", "pycrumbs", "diff", "repo/out", "once", cwd=tmp_path)
    report.unlink()
    again = rerun("once", "--yes", "--json", cwd=tmp_path)
    identical = {"a.txt": "identical", str(report): "identical"}
    assert (again.status, again.verdicts) == (0, identical), again.report
    assert not report.exists()


# -- repositories of all kinds, and what else a run can have been


@pytest.mark.slow
def test_rerun_of_what_a_submodule_holds(repo: Repo, tmp_path: Path) -> None:
    """It is checked out at the commit that the patch leads to."""
    library = Repo(tmp_path / "library")
    for value in (0, 1):
        library.write("values.py", f"VALUE = {value}")
        library.commit()
    repo.git("-c", "protocol.file.allow=always", "submodule", "add", str(library.path), "a lib")
    submodule = Repo(repo.path / "a lib")
    submodule.git("checkout", "--quiet", "HEAD~1")
    head = "sys.path.insert(0, 'a lib')\nfrom values import VALUE"
    repo.write("main.py", script(BODY, 'main("out", VALUE)', head=head))
    repo.commit()
    submodule.git("checkout", "--quiet", "-")
    repo.run("main.py")
    submodule.git("checkout", "--quiet", "HEAD~1")
    again = rerun("repo/out", "--yes", cwd=tmp_path)
    assert again.status == 0, again.report
    assert b"STAGE 1" in contents(again.made)["a.txt"]


@pytest.mark.slow
def test_rerun_of_a_submodule_that_is_only_staged(repo: Repo, tmp_path: Path) -> None:
    """It is checked out, too: the patch alone names its commit."""
    library = Repo(tmp_path / "library")
    library.write("values.py", "VALUE = 7")
    library.commit()
    repo.write("main.py", "")
    repo.commit()
    repo.git("-c", "protocol.file.allow=always", "submodule", "add", str(library.path), "lib")
    head = "sys.path.insert(0, 'lib')\nfrom values import VALUE"
    repo.write("main.py", script(BODY, 'main("out", VALUE)', head=head))
    repo.run("main.py")
    again = rerun("repo/out", "--yes", cwd=tmp_path)
    assert again.status == 0, again.report


@pytest.mark.slow
def test_rerun_of_calls_that_chain_their_records(repo: Repo, tmp_path: Path) -> None:
    """The records of the calls inside the rerun are all kept."""
    inner = """
    @tracked(directory_parameter="out", chain_records=True)
    def inner(out, number):
        pathlib.Path(out, f"{number}.txt").write_text("x")
    """
    body = "def main(out):\n    [inner(out, number) for number in range(3)]"
    record_main(repo, script(body, 'main("out")', head=inner))
    again = rerun("repo/out/main_record.json", "--yes", cwd=tmp_path)
    assert again.status == 0, again.report
    chain = read(again.made / "inner_record.json")
    assert [run["called_function"]["parameters"]["number"] for run in chain] == [0, 1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("given", ["loss", "Loss", "Loss()", "[loss, {Color.RED}]"])
def test_rerun_with_what_the_calling_script_defines(repo: Repo, tmp_path: Path, given: str) -> None:
    """Functions, classes, instances and members of enums as arguments of another module's function."""
    body = "def main(out, given):\n    pathlib.Path(out, 'a.txt').write_text(str(type(given)))"
    repo.write("lib.py", "\n".join(script(body, "").splitlines()[:-2]))
    repo.write(
        "main.py",
        f"""
import dataclasses, enum, lib
def loss(): pass
@dataclasses.dataclass
class Loss: pass
class Color(enum.Enum):
    RED = 1
if __name__ == "__main__":
    lib.main("out", {given})
""",
    )
    repo.commit()
    repo.run("main.py")
    again = rerun("repo/out", "--yes", cwd=tmp_path)
    assert again.status == 0, again.report


@pytest.mark.slow
def test_consent_to_variables_that_are_empty_or_partly_secret(repo: Repo, tmp_path: Path) -> None:
    """An empty one is set; one of which a part is redacted isn't."""
    options = 'directory_parameter="out", extra_environment_variables=["MY_ROOT"]'
    repo.write("main.py", script(BODY, 'main("out")', options))
    repo.commit()
    root = "postgres://ada:hunter2hunter2@db/x"
    repo.run("main.py", env={"CUDA_VISIBLE_DEVICES": "", "MY_ROOT": root})
    again = rerun("repo/out", "--yes", cwd=tmp_path, CUDA_VISIBLE_DEVICES="1")
    assert again.status == 0, again.report
    assert "CUDA_VISIBLE_DEVICES is set to \n" in again.stderr
    assert "MY_ROOT is set" not in again.stderr


@pytest.mark.slow
@pytest.mark.parametrize("size", [3, 2**31], ids=["small", "large"])
def test_ignored_data_where_the_system_protects_nothing(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, size: int
) -> None:
    """As on macOS, or a kernel without Landlock: what is small is copied, and else nothing runs."""
    repo.write(".gitignore", "data\nout")
    os.truncate(repo.write("data/a.bin"), size)
    body = "def main(out, data):\n    pathlib.Path(out, 'a.txt').write_text(str(os.listdir(data)))"
    record_main(repo, script(body, 'main("out", "data")'))
    # The system call says that there is no such call.
    kernel = types.SimpleNamespace(syscall=lambda *_: -1)
    monkeypatch.setattr("ctypes.CDLL", lambda *_: kernel)
    made, kept = tmp_path / "again", ["--keep"] if size == 3 else []
    command = ["rerun", "--yes", *kept, "-o", str(made), str(repo.path / "out")]
    assert pycrumbs.main(command) == (0 if size == 3 else 2)
    told = capsys.readouterr()
    if size == 3:
        (checkout,) = re.findall("checkout kept in (.*)", told.out)
        data = Path(checkout, "data")
        assert (data.is_symlink(), (data / "a.bin").stat().st_size) == (False, 3)
        shutil.rmtree(re.match(".*pycrumbs-kept-[^/]*", checkout)[0])  # type: ignore[index]
    else:
        assert "data, which is too large to be copied (2.0 GiB)" in told.err
        assert not made.exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["amended", "worktree", "link", "shallow", "sha256"])
def test_rerun_from_other_kinds_of_repositories(tmp_path: Path, kind: str) -> None:
    """Wherever git can find the commit."""
    options = ["--object-format=sha256"] if kind == "sha256" else []
    repo = Repo(tmp_path / "repo", *options)
    repo.write("lib/values.py", "VALUE = 1")
    repo.write("main.py", script(BODY, 'main("out", VALUE)', head="from lib.values import VALUE"))
    repo.commit()
    here = repo.path
    if kind == "worktree":
        here = tmp_path / "tree"
        repo.git("worktree", "add", "--detach", str(here))
    if kind == "link":
        here = tmp_path / "link"
        here.symlink_to(repo.path)
    if kind == "shallow":
        here = tmp_path / "clone"
        repo.commit()
        repo.git("clone", "--quiet", "--depth=1", f"file://{repo.path}", str(here))
    (here / "lib/values.py").write_text("VALUE = 2")
    run_python(str(here / "main.py"), cwd=here)
    (here / "lib/values.py").write_text("VALUE = 3")
    if kind == "amended":
        repo.git("commit", "--quiet", "--all", "--amend", "--message=other")
    before = fingerprint(tmp_path / "repo")
    again = rerun(here / "out", "--yes", cwd=tmp_path)
    assert (again.status, "2 identical" in again.stdout) == (0, True), again.report
    assert b"STAGE 2" in contents(again.made)["a.txt"]
    assert fingerprint(tmp_path / "repo") == before


NOTED: dict[str, tuple[dict[str, Any], str]] = {
    "modes": ({f"{CODE}.git_patch_omitted": "left out: the record r.json; changed file modes, if any"},
        "the record's patch does not hold changed file modes, if any"),
    "died": ({"status": "running", "environment.process": {"boot_id": "x"}}, "complete: died"),
    "failed": ({"status": "failed"}, "the first run did not complete: failed"),
    "edited": ({f"{CODE}.source_edited_after_import": True},
        "the source was edited after it had been imported: what ran is not in git"),
    "other repository": ({"package_origins": {"lib": {"git_working_dir": "/lib"}}},
        "lib is used as it is now, not as it was: /lib"),
    "other module": ({"extra_tracked_modules": {"lib": {"git_working_dir": "/lib"}}},
        "lib is used as it is now, not as it was: /lib"),
    "outputs": ({"outputs_omitted": "7 of 9 files"}, "does not list all outputs: 7 of 9 files"),
    "inputs": ({"inputs_omitted": "7 of 9 files"}, "does not list all inputs: 7 of 9 files"),
    "secret": ({"environment.argv": ["x", "<redacted>"]}, "the command line held a secret"),
    "overwritten": ({"inputs": [{"path": "REPO/out/a.txt", "size": 1, "sha256": "0" * 64}]},
        "the run overwrote REPO/out/a.txt: what it read there is lost"),
    "unhashed": ({"inputs": [{"path": "REPO/main.py", "size": "SIZE", "sha256": None}]},
        "the record has no hash of REPO/main.py: it is used as it is now"),
}  # fmt: skip


@pytest.mark.parametrize("name", NOTED)
def test_rerun_notes_what_could_make_a_difference(
    first: Repo, tmp_path: Path, capsys: Capture, name: str
) -> None:
    """Before it asks."""
    changes, note = NOTED[name]
    size = str((first.path / "main.py").stat().st_size)
    text = json.dumps(changes).replace("REPO", str(first.path)).replace('"SIZE"', size)
    path = first.path / "out/main_record.json"
    record = forge(path, tmp_path / "main_record.json", json.loads(text))
    content = read(record)
    content["outputs"][0]["path"] = str(first.path / "out/a.txt")
    record.write_text(json.dumps(content))
    assert pycrumbs.main(["rerun", str(record)]) == 2
    notes = [line[10:] for line in capsys.readouterr().err.splitlines() if line.startswith("note")]
    assert any(note.replace("REPO", str(first.path)) in line for line in notes)


@pytest.mark.slow
def test_rerun_says_once_which_libraries_have_changed(repo: Repo, tmp_path: Path) -> None:
    """Those that are as they were are none of them, be they clean or not."""
    site = f"{HERE}{os.pathsep}{tmp_path / 'site'}"
    libraries = {name: Repo(tmp_path / name) for name in ("same", "dirty", "moved", "edited")}
    for name, library in libraries.items():
        library.write("lib.py", "A = 1")
        library.commit()
        leave_package(tmp_path / "site", name, editable(library.path))
    commit = libraries["moved"].git("rev-parse", "--short=12", "HEAD")
    libraries["dirty"].write("lib.py", "A = 2")
    repo.write("main.py", PLAIN_RERUN)
    repo.commit()
    run_python("main.py", cwd=repo.path, env={"PYTHONPATH": site})
    commit += f" -> {libraries['moved'].commit()[:12]}"
    libraries["edited"].write("lib.py", "A = 2")
    again = rerun("repo/out", "--yes", cwd=tmp_path, PYTHONPATH=site)
    changes = [
        ("edited", "what is not committed there may be other than it was"),
        ("moved", f"commit {commit}"),
    ]
    told = re.findall(rf"note:? +((?:{'|'.join(libraries)}) .*)", again.stderr + again.stdout)
    assert told == [
        f"{name} is used as it is now, not as it was: {tmp_path / name} ({change})"
        for name, change in changes
    ]


def record_with_link(repo: Repo, target: Path | str) -> None:
    """A run that reads data/a, where the commit has `data` as a link."""
    body = """
        def main(out, data, folder):
            found = [path.read_text() for path in sorted(pathlib.Path(folder).iterdir())]
            pathlib.Path(out, "a.txt").write_text(pathlib.Path(data).read_text() + str(found))
    """
    repo.write(".gitignore", "/real")
    (repo.path / "data").symlink_to(target)
    record_main(repo, script(body, 'main("out", "data/a", "data")'))


def point_to(link: Path, target: Path) -> None:
    """Have a link lead elsewhere."""
    link.unlink()
    link.symlink_to(target)


@pytest.mark.slow
@pytest.mark.parametrize("outside", [True, False], ids=["outside", "inside"])
def test_rerun_through_links_of_the_commit(repo: Repo, tmp_path: Path, outside: bool) -> None:
    """What they lead to outside is read where it is, and never written to."""
    data = write_files(tmp_path / "ext" if outside else repo.path / "real", "old/a") / "old"
    record_with_link(repo, data if outside else "real/old")
    assert rerun(repo.path / "out", "--yes", cwd=tmp_path).status == 0
    new = data.parent / "new"
    shutil.copytree(data, new)
    (new / "b").write_text("b")
    point_to(repo.path / "data", new)
    repo.commit()
    before = contents(data.parent)
    again = rerun(repo.path / "out", "--yes", "-o", str(tmp_path / "second"), cwd=tmp_path)
    assert (again.status in (0, 1), contents(data.parent)) == (True, before)
    (data / "a").write_text("changed")
    point_to(repo.path / "data", data)
    again = rerun(repo.path / "out", "--yes", "-o", str(tmp_path / "third"), cwd=tmp_path)
    assert (again.status, (data / "a").read_text()) == (2, "changed")


@pytest.mark.slow
def test_rerun_does_not_write_through_a_link_of_the_commit(repo: Repo, tmp_path: Path) -> None:
    """Not even where a copy beside the record has what the run read."""
    record_with_link(repo, write_files(tmp_path / "ext", "a"))
    shutil.copytree(repo.path, tmp_path / "copy")
    (tmp_path / "ext/a").write_text("changed")
    again = rerun(tmp_path / "copy/out", "--yes", cwd=tmp_path)
    told = "is not what it was, and lies behind a link to outside that is in the repository"
    assert (again.status, told in again.stderr) == (2, True)
    assert (tmp_path / "ext/a").read_text() == "changed"


@pytest.mark.slow
def test_rerun_makes_no_folders_behind_links_of_the_commit(repo: Repo, tmp_path: Path) -> None:
    """Not even where they lead to what is no longer there."""
    (gone := tmp_path / "gone").mkdir()
    (repo.path / "data").symlink_to(gone)
    body = 'def main(out):\n    pathlib.Path("data/made").write_text("made")'
    options = 'directory_parameter="out", capture_files=True'
    record_main(repo, script(body, 'main("out")', options))
    shutil.rmtree(gone)
    again = rerun(repo.path / "out", "--yes", cwd=tmp_path)
    assert (again.status, gone.exists()) == (1, False)


FOLDERS = """
    def main(out, data):
        names = sorted(path.name for path in pathlib.Path(data).iterdir())
        pathlib.Path(out, "a.txt").write_text(str(names))
"""


@pytest.mark.slow
@pytest.mark.parametrize("place", ["data", "ABSOLUTE"])
@pytest.mark.parametrize("declared", [True, False], ids=["declared", "not declared"])
def test_rerun_with_folders(repo: Repo, tmp_path: Path, declared: bool, place: str) -> None:
    """One that git doesn't hold is used whole, which is said where the record doesn't list it."""
    outside = place == "ABSOLUTE"
    folder = write_files(tmp_path / "ext" if outside else repo.path / "data", "x", "deep/y")
    options = 'directory_parameter="out"' + ', input_parameters=["data"]' * declared
    repo.write(".gitignore", "/data")
    call = f'main("out", {str(folder if outside else "data")!r})'
    again = record_and_rerun(repo, script(FOLDERS, call, options))
    assert (again.status, "it is used as it is now" in again.stdout) == (0, not declared)
    (folder / "later").touch()
    if not declared:
        again = rerun("repo/out", "--yes", "-o", str(tmp_path / "second"), cwd=tmp_path)
        assert (again.status, "it is used as it is now" in again.stdout) == (1, True)


# What code does to a folder that git ignores, and that an argument names, when it is run again.
DEEDS_IN_DATA = {
    "Python": "open(data + '/a.txt', 'w').write('evil')",
    "a new file": "open(data + '/new.txt', 'w').write('evil')",
    "a child process": "subprocess.run(['sh', '-c', 'echo evil > a.txt'], cwd=data)",
    "a child's new file": "subprocess.run(['sh', '-c', 'echo evil > new; mkdir folder'], cwd=data)",
    "a child that removes": "subprocess.run(['rm', '-rf', data, data + '/deep/b.txt'])",
    "a child that renames": "subprocess.run(['mv', data + '/a.txt', data + '/b.txt'])",
    "sqlite": "db = sqlite3.connect(data + '/db'); db.execute('insert into t values (2)'); db.commit()",
    "a new database": "sqlite3.connect(data + '/new.db').execute('create table t (x)')",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("outside", [False, True], ids=["ignored", "outside"])
@pytest.mark.parametrize("deed", DEEDS_IN_DATA.values(), ids=DEEDS_IN_DATA)
def test_rerun_leaves_ignored_folders_alone(
    repo: Repo, tmp_path: Path, deed: str, outside: bool
) -> None:
    """Whatever writes into them, they are read, and stay as they were to the byte."""
    body = """
        def main(out, data):
            rows = sqlite3.connect(data + "/db").execute("select * from t").fetchall()
            pathlib.Path(out, "a.txt").write_text(open(data + "/a.txt").read() + str(rows))
            exec(os.environ.get("DEED", ""), globals(), {"data": data})
    """
    folder = write_files(tmp_path / "ext" if outside else repo.path / "data", "a.txt", "deep/b.txt")
    with contextlib.closing(sqlite3.connect(folder / "db")) as database:
        database.executescript("create table t (x); insert into t values (1)")
    repo.write(".gitignore", "/data")
    call = f'main("out", {str(folder) if outside else "data"!r})'
    record_main(repo, script(body, call, head="import sqlite3, subprocess"))
    before = fingerprint(folder)
    again = rerun("repo/out", "--yes", cwd=tmp_path, DEED=deed)
    assert fingerprint(folder) == before
    assert (again.status, "identical  a.txt" in again.stdout) in ((0, True), (1, True)), (
        again.report
    )


@pytest.mark.slow
def test_rerun_makes_a_folder_of_its_own(first: Repo, tmp_path: Path) -> None:
    """Without -o; the folder stays and is named."""
    temporary(tmp_path)
    done = run_python(
        *("-m", "pycrumbs", "rerun", "--yes", str(first.path / "out/a.txt")),
        cwd=tmp_path,
        env={"TMPDIR": str(temporary(tmp_path))},
    )
    (made,) = temporary(tmp_path).iterdir()
    assert done.stdout.splitlines()[-1] == f"made in tmp/{made.name}"
    assert contents(made) == contents(first.path / "out")


def test_rerun_writes_into_no_folder_that_holds_something(first: Repo, tmp_path: Path) -> None:
    """It says so before it asks."""
    (tmp_path / "again").mkdir()
    (tmp_path / "again/mine.txt").touch()
    again = rerun(first.path / "out", cwd=tmp_path)
    message = f"{again.made}: must be a folder that is empty, or not there yet"
    assert (again.status, again.stderr) == (2, f"pycrumbs: {message}\n")
    with pytest.raises(pycrumbs.RecordError, match=re.escape(message)):
        pycrumbs.rerun_record(first.path / "out", again.made)


@pytest.mark.slow
def test_a_kept_checkout_stays(first: Repo, tmp_path: Path) -> None:
    """Also when a later rerun sweeps."""
    again = rerun(first.path / "out", "--yes", "--keep", cwd=tmp_path)
    place = re.fullmatch(r"checkout kept in (.+)", again.stdout.splitlines()[-1])
    assert place
    checkout = tmp_path / place[1]
    shutil.rmtree(again.made)
    assert rerun(first.path / "out", "--yes", cwd=tmp_path).status == 0
    assert "1 {data}" in (checkout / "main.py").read_text()


@pytest.mark.slow
def test_rerun_of_a_run_in_a_spawned_worker(first: Repo, tmp_path: Path) -> None:
    """Where the script is called `__mp_main__`."""
    text = (first.path / "out" / "main_record.json").read_text()
    path = tmp_path / "worker_record.json"
    path.write_text(text.replace('"__main__"', '"__mp_main__"'))
    assert rerun(path, "--yes", cwd=tmp_path).status == 0


def test_rerun_record_does_the_same(first: Repo, tmp_path: Path) -> None:
    """For programs."""
    record = pycrumbs.find_record(first.path / "out")
    result = pycrumbs.rerun_record(record, tmp_path / "again")
    assert [(v["name"], v["verdict"]) for v in result["verdicts"]] == [
        ("a.txt", "identical"),
        ("result", "identical"),
    ]
    assert result["directory"] == str(tmp_path / "again")
    assert result["record"]["rerun_of"] == record["uuid"]


@pytest.mark.slow
def test_the_records_of_nested_runs_are_kept(repo: Repo, tmp_path: Path) -> None:
    """A rerun's folder is like that of the first run."""
    record_first_run(repo, CORPUS["pipeline"].files)
    made = rerun("repo/out", "--yes", cwd=tmp_path).made
    outer, data, model = (read(made / name) for name in (".", "data", "model"))
    assert data["parent"] == model["parent"] == outer["uuid"]
    assert "pycrumbs-rerun" not in json.dumps(model["inputs"])


@pytest.mark.slow
def test_what_lies_in_a_read_only_folder_is_taken_from_there(repo: Repo, tmp_path: Path) -> None:
    """And nothing stays where it was."""
    body = """
        def main(out):
            for folder in (pathlib.Path(out, "kept"), pathlib.Path("lost")):
                folder.mkdir(exist_ok=True)
                (folder / "a.txt").touch()
                folder.chmod(0o555)
    """
    record_main(repo, script(body, 'main("out")'))
    # Root may write to all folders unless it does without CAP_DAC_OVERRIDE (1).
    command = [sys.executable, "-m", "pycrumbs", "rerun", "--yes", "-o", "again", "repo/out"]
    start = f"import ctypes, os\nctypes.CDLL(None).prctl(24, 1, 0, 0, 0)\nos.execv({command[0]!r}, "
    env = {"TMPDIR": str(temporary(tmp_path))}
    told = run_python("-c", f"{start}{command})", cwd=tmp_path, env=env).stdout
    assert told.splitlines()[0] == "identical  kept/a.txt"
    assert list(contents(tmp_path / "again")) == ["kept/a.txt"]
    assert not list(temporary(tmp_path).iterdir())


@pytest.mark.slow
def test_rerun_with_the_project_s_own_environment(repo: Repo, tmp_path: Path) -> None:
    """What a virtual environment inside the repository holds is the interpreter's, and stays."""
    run_python("-m", "venv", "--without-pip", ".venv", cwd=repo.path)
    (site,) = repo.path.glob(".venv/lib/*/site-packages")
    (site / "installed.py").write_text("VALUE = 3")
    (site / "pycrumbs.pth").write_text(str(HERE))
    repo.write(".gitignore", ".venv")
    head = "from installed import VALUE\nfrom lib import OWN"
    repo.write("main.py", script(BODY, 'main("out", f"{VALUE} {OWN}")', head=head))
    repo.write("lib.py", "OWN = 4")
    repo.commit()
    python, env = repo.path / ".venv/bin/python", clean_environment()
    subprocess.run([python, "main.py"], cwd=repo.path, env=env, check=True)
    repo.write("lib.py", "OWN = 5")
    command = ("-m", "pycrumbs", "rerun", "--yes", "repo/out", "-o", "again")
    subprocess.run([python, *command], cwd=tmp_path, env=env, check=True, capture_output=True)
    assert b"STAGE 3 4" in contents(tmp_path / "again")["a.txt"]


FLAGS = {  # the interpreter's options, and which of them count; a module
    "": ([], ""), "main.py -O": ([], ""), "- -O": ([], ""), "-m": ([], ""), "-m ../evil": ([], ""),
    "-O -X utf8 -Xdev -W error -bb -B -u main.py": (["-O", "-Xutf8", "-Xdev", "-Werror", "-bb"], ""),
    "-um pkg.train -x": ([], "pkg.train"),
    "-OO -m pkg.main -O": (["-OO"], "pkg.main"),
    "-X importtime -W error::evil.Kind -X presite=evil -I -c print()": ([], ""),
}  # fmt: skip


@pytest.mark.parametrize("words", FLAGS)
def test_the_interpreter_s_options_that_count_are_restored(words: str) -> None:
    """And none that could load or write anything."""
    assert pycrumbs.read_flags(["python", *words.split()]) == FLAGS[words]


def test_what_classes_are_made_is_said(first: Repo, tmp_path: Path, capsys: Capture) -> None:
    """As making an object is executing code."""
    changes = {
        f"{CALL}.parameters.data": {"rate": 1},
        f"{CALL}.parameter_types": {"data": "lib.Config"},
    }
    record = forge(first.path / "out/main_record.json", tmp_path / "r.json", changes)
    assert pycrumbs.main(["rerun", str(record)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert 'argument  data = {"rate": 1}' in lines
    assert "class     data is one of lib.Config" in lines


# ------------------------------------------------------------------------------
# Faults: what stands in for a cruel world
# ------------------------------------------------------------------------------


# Most of what follows happens in another interpreter, which is killed, starved or misled there.
PRELUDE = """
import json, os, random, signal, sys, time
from pathlib import Path
from pycrumbs import tracked
QUIET = {"disable_git_tracking": True, "include_package_inventory": False}

def fork(child):
    pid = os.fork()
    if not pid:
        try:
            child()
        except KeyboardInterrupt:
            os._exit(130)
        finally:
            os._exit(0)
    return pid

def wait(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def kill_at_random(child, number, seconds):
    "Fork; some time after the child has begun, end it by a signal; return how it ended."
    begun, begin = os.pipe()
    pid = fork(lambda: (os.write(begin, b"."), child()))
    os.read(begun, 1), os.close(begun), os.close(begin)
    time.sleep(random.uniform(0, seconds))
    os.kill(pid, number)
    return wait(pid)

def judge(path):
    "What `log` says of the runs there, the newest first."
    import contextlib, io, pycrumbs
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert pycrumbs.main(["log", "--json", str(path)]) == 0
    return [run["status"] for run in json.loads(out.getvalue())]

@tracked(literal_directory="warm", **QUIET)

def warm_up(): "Has all that is needed imported, so that children don't spend their time on that."

"""
# Where an exception comes at any moment, coverage can leave a lock of its own behind; and it
# renames files as the process ends.
UNMEASURED = {"COVERAGE_PROCESS_CONFIG": ""}
# A machine's parts can be replaced in a namespace of its own, which ends with the process.
UNSHARE = ["unshare", *(["--user", "--map-root-user"] if os.geteuid() else []), "--mount"]


def run_code(folder: Path, code: str, *options: str, **expected: Any) -> str:
    """Run code in a new interpreter in that folder; return what it printed on either stream."""
    done = run_python(*options, "-c", PRELUDE + textwrap.dedent(code), cwd=folder, **expected)
    return done.stdout + done.stderr


def run_unshared(folder: Path, code: str, *options: str, status: int = 0) -> str:
    """Run code in a namespace of its own, where it is root and may mount file systems."""
    done = subprocess.run(
        [*UNSHARE, *options, sys.executable, "-c", PRELUDE + textwrap.dedent(code)],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def names_in(folder: Path) -> list[str]:
    """What a folder holds, but for the files that chained records are locked by."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


# ------------------------------------------------------------------------------
# Faults: a kill at any moment
# ------------------------------------------------------------------------------

# Children write one record over and over and are killed; after each, the record must be whole.
KILLED_AT_RANDOM = """
    import pycrumbs
    chained, kills = sys.argv[1] == "chained", int(sys.argv[2])
    @tracked(literal_directory="out", chain_records=chained, **QUIET)
    def work(number):
        return number
    def child():
        for number in range(5 if chained else 1000):
            work(number)
    def strays():
        return [name for name in os.listdir("out") if name.endswith((".tmp", ".claim"))]
    warm_up()
    path, left, statuses = Path("out/work_record.json"), 0, set()
    for kill in range(kills):
        kill_at_random(child, signal.SIGKILL, 0.015)
        if path.exists():
            told = [record["status"] for record in pycrumbs.load_records(path)]
            assert judge(path) == [{"running": "died"}.get(status, status) for status in told]
            statuses.update(told)
            left += len(strays())
            # A claim that is only half written is left alone for a minute.
            [os.utime(f"out/{name}", (1, 1)) for name in strays()]
        if chained and kill % 50 == 49:
            path.unlink(missing_ok=True)
    assert left > kills / 50, "no kill came while a record was written"
    assert statuses == {"completed", "running"}, statuses
    wait(fork(lambda: work(0)))
    assert strays() == []
"""


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "kills"), [("plain", 1000), ("chained", 500)])
def test_killed_at_any_moment(tmp_path: Path, kind: str, kills: int) -> None:
    """The record is always whole, a run that was killed has died, and its strays are swept."""
    code = textwrap.dedent(KILLED_AT_RANDOM)
    run_python("-c", PRELUDE + code, kind, str(kills), cwd=tmp_path)


# ptrace(2) stops a child before and after each of its system calls; there it is killed.
KILLED_AT_EVERY_SYSTEM_CALL = """
    import ctypes, pycrumbs
    chained = sys.argv[1] == "chained"
    ptrace = ctypes.CDLL(None).ptrace
    ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    TRACEME, SYSCALL = 0, 24
    @tracked(literal_directory="out", chain_records=chained, **QUIET)
    def work(number):
        return number
    def child():
        ptrace(TRACEME, 0, None, None)
        os.kill(os.getpid(), signal.SIGSTOP)
        work(1)
    def stop_at(count):
        pid = fork(child)
        os.waitpid(pid, 0)
        for _ in range(count):
            ptrace(SYSCALL, pid, None, None)
            if os.WIFEXITED(os.waitpid(pid, 0)[1]):
                return False
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return True
    warm_up()
    wait(fork(lambda: work(0)))
    path, seen, strays = Path("out/work_record.json"), set(), 0
    old = path.read_bytes()
    for count in range(10**6):
        path.write_bytes(old)
        is_killed = stop_at(count)
        records = pycrumbs.load_records(path)
        statuses = judge(path)[::-1]
        arguments = [record["called_function"]["parameters"]["number"] for record in records]
        if chained:
            assert arguments[-1] == 0 and statuses[0] == "completed", (count, arguments)
        assert len(records) <= 1 + chained, (count, len(records))
        seen.add((arguments[0], statuses[-1]))
        left = [f"out/{name}" for name in os.listdir("out") if name.endswith((".tmp", ".claim"))]
        # A claim that is only half written is left alone for a minute.
        strays += len([os.utime(name, (1, 1)) for name in left])
        if not is_killed:
            break
    assert seen == {(0, "completed"), (1, "died"), (1, "completed")}, seen
    assert count > 100 and strays > 5, (count, strays)
    wait(fork(lambda: work(2)))
    assert not any(name.endswith((".tmp", ".claim")) for name in os.listdir("out"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "chained"])
def test_killed_at_every_system_call(tmp_path: Path, kind: str) -> None:
    """Before and after each one, the file holds the old record or the new, and never half."""
    code = textwrap.dedent(KILLED_AT_EVERY_SYSTEM_CALL)
    run_python("-c", PRELUDE + code, kind, cwd=tmp_path)


WRITES_FOR_EVER = """
    sys.addaudithook(lambda event, _: event == "os.rename" and (print(flush=True), time.sleep(60)))
    @tracked(literal_directory="out", **QUIET)
    def work(): pass
    work()
"""
WRITES = """
    @tracked(literal_directory="out", **QUIET)
    def work(): pass
    work()
"""


def test_strays_of_the_dead_are_swept_and_the_living_are_spared(tmp_path: Path) -> None:
    """A later run removes the temporary files of killed runs only: not even a zombie's stays."""
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(WRITES_FOR_EVER)]
    options: Any = {"cwd": tmp_path, "env": clean_environment(), "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **options) as writer:
        assert writer.stdout
        writer.stdout.readline()
        (temporary,) = names_in(tmp_path / "out")
        run_code(tmp_path, WRITES)
        assert names_in(tmp_path / "out") == [temporary, "work_record_2.json"]
        writer.kill()
        os.waitid(os.P_PID, writer.pid, os.WEXITED | os.WNOWAIT)  # a zombie by now
        run_code(tmp_path, WRITES)
        assert names_in(tmp_path / "out") == ["work_record.json", "work_record_2.json"]


def test_strays_of_others_are_left_to_them(tmp_path: Path) -> None:
    """Another record's, and those of other machines until they are a week old."""
    old, new = ".work_record.json.00000000-7-7.old.tmp", ".work_record.json.00000000-7-7.new.tmp"
    others = [".other.json.00000000-7-7.x.tmp", ".work_record.json.x", "work_record.json.tmp"]
    odd = [".work_record.json.tmp", ".work_record.json..tmp", ".work_record.json.--.tmp"]
    (tmp_path / "out").mkdir()
    for name in (old, new, *others, *odd):
        (tmp_path / "out" / name).touch()
    os.utime(tmp_path / "out" / old, (time.time() - 8 * 86400,) * 2)
    run_code(tmp_path, WRITES)
    assert names_in(tmp_path / "out") == sorted([new, *others, *odd, "work_record.json"])


def test_a_zombie_has_died(tmp_path: Path) -> None:
    """A killed run that nobody has asked for its status yet isn't running."""
    code = """
        @tracked(literal_directory="out", **QUIET)
        def work():
            os.kill(os.getpid(), signal.SIGKILL)
        pid = fork(work)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert judge("out") == ["died"]
    """
    run_code(tmp_path, code)


# ------------------------------------------------------------------------------
# Faults: signals
# ------------------------------------------------------------------------------

SIGNALLED_AT_RANDOM = """
    @tracked(literal_directory=Path("out"), subdirectory_name_parameter="name", **QUIET)
    def work(name):
        for _ in range(10):
            time.sleep(0.0003)
    warm_up()
    seen = set()
    for count in range(int(sys.argv[1])):
        number = random.choice([signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
        status = kill_at_random(lambda: work(str(count)), number, 0.012)
        path = Path("out", str(count), "work_record.json")
        record = json.loads(path.read_text()) if path.exists() else {"status": "none"}
        error = record.get("error", {})
        ended = (signal.Signals(number).name, record["status"], error.get("signal"), status)
        seen.add(ended)
        assert not path.exists() or len(os.listdir(path.parent)) == 1, os.listdir(path.parent)
    print(json.dumps(sorted(seen, key=str)))
"""


@pytest.mark.slow
def test_signals_at_any_moment(tmp_path: Path) -> None:
    """The record says how the run ended, unless there was none yet, or it had completed."""
    code = PRELUDE + textwrap.dedent(SIGNALLED_AT_RANDOM)
    done = run_python("-c", code, "500", cwd=tmp_path, env=UNMEASURED)
    seen = {tuple(ended) for ended in json.loads(done.stdout)}
    told = {
        *((name, "terminated", name, -getattr(signal, name)) for name in ("SIGTERM", "SIGHUP")),
        ("SIGINT", "interrupted", None, 130),
    }
    assert told <= seen
    late = {(name, "completed", None, 0) for name, *_ in told}
    early = {
        (name, status, None, code) for name, *_, code in told for status in ("none", "completed")
    }
    assert seen <= told | late | early


@pytest.mark.slow
def test_signals_where_a_library_has_threads(tmp_path: Path) -> None:
    """Whichever thread hears SIGTERM: every record is completed, and no temporary file stays."""
    code = """
        import itertools, numpy, threading
        @tracked(directory_parameter="out", create_parents=True, **QUIET)
        def work(out): pass
        def child():
            matrix = numpy.ones((300, 300))
            matrix @ matrix  # starts numpy's threads
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
            for number in itertools.count():
                work(f"out/{count}/{number % 5}")
        warm_up()
        for count in range(200):
            assert kill_at_random(child, signal.SIGTERM, 0.03) == -15
    """
    run_code(tmp_path, code, env=UNMEASURED)
    left = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {path.name for path in left} == {"work_record.json"}
    assert {read(path)["status"] for path in left} == {"completed", "terminated"}


# What a program does about signals, and how it ends; the record's status, and the error's type.
SIGNAL_ENDINGS = {
    "SIGTERM": ("work(signal.SIGTERM)", -15, "terminated", "Signal"),
    "SIGHUP": ("work(signal.SIGHUP)", -1, "terminated", "Signal"),
    "SIGINT": ("work(signal.SIGINT)", -2, "interrupted", "KeyboardInterrupt"),
    "SIGUSR1": ("work(signal.SIGUSR1)", -10, "running", None),
    "SIGUSR2": ("work(signal.SIGUSR2)", -12, "running", None),
    "twice": ("work(signal.SIGTERM, signal.SIGHUP)", -15, "terminated", "Signal"),
    "ignored": ("on(signal.SIGTERM, signal.SIG_IGN); work(signal.SIGTERM)", 0, "completed", None),
    "exits": ("on(signal.SIGTERM, leave); work(signal.SIGTERM)", 3, "terminated", "Signal"),
    "exits on SIGINT": ("on(signal.SIGINT, leave); work(signal.SIGINT)", 3, "interrupted", "Signal"),
    "leaves at once": ("on(signal.SIGTERM, lambda *_: os._exit(4)); work(signal.SIGTERM)", 4, "terminated",
        "Signal"),
    "is told": ("on(signal.SIGTERM, note); work(signal.SIGTERM)", 0, "completed", None),
    "is told of USR1": ("on(signal.SIGUSR1, note); work(signal.SIGUSR1)", 0, "completed", None),
    "raises later": ("on(signal.SIGTERM, note); work(signal.SIGTERM, error=True)", 1, "failed",
        "ValueError"),
    "handled within": ("work(signal.SIGTERM, within=leave)", 3, "failed", "SystemExit"),
    "handled within, and passed on": ("work(signal.SIGTERM, within=pass_on)", -15, "terminated", "Signal"),
    "handled within, and the one before called": ("work(signal.SIGTERM, within=call_before)", 0,
        "completed", None),
    "nested": ("outer(signal.SIGTERM)", -15, "terminated", "Signal"),
    "in a generator": ("list(steps(signal.SIGTERM))", -15, "terminated", "Signal"),
    "in a coroutine": ("asyncio.run(wait_for(signal.SIGTERM))", -15, "terminated", "Signal"),
    "after a run in a thread": ("in_thread(); work(signal.SIGTERM)", -15, "terminated", "Signal"),
    "while in a thread": ("work(thread=in_thread); suicide()", -15, "completed", None),
}  # fmt: skip
PROGRAM = """
    import asyncio, threading
    on, before = signal.signal, {}
    track = tracked(literal_directory="out", record_filename="record", **QUIET)
    def leave(*_): raise SystemExit(3)
    def note(number, frame): noted.append(number)
    def pass_on(number, frame):
        on(number, signal.SIG_DFL)
        before[number](number, frame) if callable(before[number]) else suicide(number)
    def call_before(number, frame): callable(before[number]) and before[number](number, frame)
    def suicide(*numbers):
        for number in numbers or [signal.SIGTERM]:
            os.kill(os.getpid(), number)
    noted = []
    @track
    def work(*numbers, within=None, error=False, thread=None):
        if within:
            before.update({number: on(number, within) for number in numbers})
        if thread:
            thread()
        else:
            suicide(*numbers)
        if error:
            raise ValueError
    @tracked(literal_directory="out", record_filename="outer", **QUIET)
    def outer(number): work(number)
    @track
    def steps(number):
        yield
        suicide(number)
        yield
    @track
    async def wait_for(number):
        await asyncio.sleep(0)
        suicide(number)
    @tracked(literal_directory="out", record_filename="thread", **QUIET)
    def nothing(): pass
    def in_thread():
        thread = threading.Thread(target=nothing)
        thread.start()
        thread.join()

"""


@pytest.mark.parametrize(
    ("code", "status", "told", "kind"), SIGNAL_ENDINGS.values(), ids=SIGNAL_ENDINGS
)
def test_endings_by_signals(tmp_path: Path, code: str, status: int, told: str, kind: str) -> None:
    """The process ends as it would without us, and the record says how."""
    program = textwrap.dedent(PROGRAM) + code
    script = tmp_path / "script.py"
    script.write_text(PRELUDE + program)
    run_python(str(script), cwd=tmp_path, status=status)
    record = read(tmp_path / "out" / "record.json")
    error = record.get("error", {})
    assert (record["status"], error.get("type")) == (told, kind)
    if "outer" in code:
        assert read(tmp_path / "out" / "outer.json")["status"] == told
    if kind == "Signal":
        assert re.fullmatch(rf"{told} by {error['signal']}", error["message"])
        assert "in suicide" in "".join(error["traceback"])
        assert "pycrumbs.py" not in "".join(error["traceback"])
    bare = "def tracked(**_): return lambda function: function\n"
    program = PRELUDE.replace("from pycrumbs import tracked\n", bare) + program
    run_python("-c", program, cwd=tmp_path, status=status)


def handlers() -> list[Any]:
    return [signal.getsignal(number) for number in range(1, signal.NSIG)]


@pytest.mark.parametrize("fails", [False, True])
def test_handlers_are_given_back(tmp_path: Path, fails: bool) -> None:
    """After the run all is as it was before; within, Ctrl-C and the user's own signals are."""

    @tracked(literal_directory=tmp_path, disable_git_tracking=True)
    def work() -> None:
        within = handlers()
        changed = {signal.Signals(n + 1).name for n, h in enumerate(before) if within[n] != h}
        assert changed == {"SIGTERM", "SIGHUP"}
        assert not fails

    before = handlers()
    with pytest.raises(AssertionError) if fails else contextlib.nullcontext():
        work()
    assert handlers() == before


def test_asyncio_is_interrupted_as_without_us(tmp_path: Path) -> None:
    """Asyncio (from Python 3.11 on) takes SIGINT over where Python's own handler is in place."""
    code = """
        import asyncio
        async def main():
            os.kill(os.getpid(), signal.SIGINT)
            try:
                await asyncio.sleep(9)
            finally:
                print("tidied up")
        {}
        def work():
            asyncio.run(main())
        work()
    """
    ways = ("", '@tracked(literal_directory="out", **QUIET)')
    plain, ours = (run_code(tmp_path, code.format(way), status=-2) for way in ways)
    assert ("tidied up" in ours) is ("tidied up" in plain) is (sys.version_info >= (3, 11))
    assert read(tmp_path / "out")["status"] == "interrupted"


@pytest.mark.slow
def test_a_signal_within_c_code(tmp_path: Path) -> None:
    """It is heard when the code returns, and the record says where that was."""
    code = """
        import hashlib, subprocess
        @tracked(literal_directory="out", **QUIET)
        def work():
            subprocess.Popen(["sh", "-c", f"sleep 0.2; kill -TERM {os.getpid()}"])
            hashlib.pbkdf2_hmac("sha256", b"a", b"b", 3_000_000)
        work()
    """
    script = tmp_path / "script.py"
    script.write_text(PRELUDE + textwrap.dedent(code))
    run_python(str(script), cwd=tmp_path, status=-15)
    record = read(tmp_path / "out")
    assert (record["status"], record["error"]["signal"]) == ("terminated", "SIGTERM")
    assert "pbkdf2_hmac" in "".join(record["error"]["traceback"])


def test_a_signal_while_the_outputs_are_hashed(tmp_path: Path) -> None:
    """A process that is to end has no time for it: the record is completed without."""
    code = """
        import subprocess
        @tracked(literal_directory="out", hash_limit=None, **QUIET)
        def work():
            with open("out/large", "wb") as file:
                file.truncate(2**40)
            subprocess.Popen(["sh", "-c", f"sleep 0.2; kill -TERM {os.getpid()}"])
        work()
    """
    run_code(tmp_path, code, status=-15)
    record = read(tmp_path / "out")
    assert record["status"] == "completed"
    assert record["outputs"] == [{"path": "large", "size": 2**40, "sha256": None}]
    assert record["outputs_omitted"] == "hashes, as a signal came"


@pytest.mark.parametrize("error", ["Timeout", "KeyboardInterrupt"])
def test_timeouts_at_any_moment(tmp_path: Path, error: str) -> None:
    """Whatever their handler raises, at the program's end all records are complete."""
    code = f"""
        class Timeout(Exception): pass
        def stop(*_):
            if armed: raise {error}
        @tracked(directory_parameter="out", create_parents=True, **QUIET)
        def work(out): pass
        signal.signal(signal.SIGALRM, stop)
        armed, raised = [], 0
        for count in range(400):
            try:
                armed = [signal.setitimer(signal.ITIMER_REAL, 0.0002 * (count % 60 + 1))]
                work(f"out/{{count}}")
                armed.clear()
            except {error}:
                armed.clear()
                raised += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert raised
        assert signal.getsignal(signal.SIGALRM) is stop
    """
    run_code(tmp_path, code, env=UNMEASURED)
    left = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {path.name for path in left} == {"work_record.json"}
    assert {read(path)["status"] for path in left} <= {"completed", "failed", "interrupted"}


# In a namespace of its own a process has the id 1, and the kernel spares it what has no handler.
INIT = {
    "SIGTERM": ("", "SIGTERM", 0, "completed"),
    "SIGINT": ("", "SIGINT", 130, "interrupted"),
    "with a handler": ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(6))", "SIGTERM", 6, "terminated"),
}  # fmt: skip


@pytest.mark.integration
@pytest.mark.parametrize(("code", "name", "status", "told"), INIT.values(), ids=INIT)
def test_as_init(tmp_path: Path, code: str, name: str, status: int, told: str) -> None:
    """As process 1, as containers have it, a run is ended by what would have ended it."""
    program = f"""
        @tracked(literal_directory="out", **QUIET)
        def work():
            assert os.getpid() == 1
            os.kill(1, signal.{name})
        {code}
        try:
            work()
        except KeyboardInterrupt:
            sys.exit(130)
        except SystemExit as error:
            sys.exit(error.code)
    """
    run_unshared(tmp_path, program, "--pid", "--fork", "--mount-proc", status=status)
    assert read(tmp_path / "out")["status"] == told


# What a job in a real SLURM does, and what SLURM does to it.
JOB = """
    import os, signal, sys, time
    from pathlib import Path
    try:
        from pycrumbs import tracked
    except ImportError:  # the control
        def tracked(**_): return lambda function: function
    def checkpoint(*_):
        Path("checkpoint").touch()
        os.system("scontrol requeue $SLURM_JOB_ID")
    @tracked(literal_directory="out", chain_records=True, disable_git_tracking=True)
    def work():
        signal.signal(signal.SIGUSR1, checkpoint)
        Path("begun").touch()
        while not Path("checkpoint").exists() or "SLURM_RESTART_COUNT" not in os.environ:
            time.sleep(0.05)
        return "resumed"
    work()
"""
JOB_ENDINGS = {  # how it is submitted, and what ends it (nothing: its time limit)
    "scancel of a batch job": ("", "exec {python} job.py", "scancel {job}"),
    "scancel of a step": ("", "srun {python} job.py", "scancel {job}.0"),
    "scancel of a job with a step": ("", "srun {python} job.py", "scancel {job}"),
    "scancel of a task of an array": ("--array=7", "exec {python} job.py", "scancel {job}_7"),
    "time limit": ("--time=1", "exec {python} job.py", ""),
}


def wait_until(is_so: Callable[[], Any], seconds: float = 90) -> None:
    """Wait for something that SLURM is to do."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "SLURM didn't do it in time"
        time.sleep(0.1)


class Job:
    """A job of SLURM, in a folder of its own."""

    def __init__(self, folder: Path, variables: dict[str, str], *options: str, start: str) -> None:
        folder.mkdir()
        (folder / "job.py").write_text(textwrap.dedent(JOB))
        self.folder, self.environment = folder, clean_environment(**variables)
        start = start.format(python=shlex.quote(sys.executable))
        self.number = self.call("sbatch", "--parsable", *options, "--wrap", start).strip()
        wait_until((folder / "begun").exists)

    def call(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, check=True
        )
        return done.stdout.decode()

    def ending(self) -> tuple[str, ...]:
        """The state and exit status that SLURM tells."""
        told = self.call("scontrol", "show", "job", self.number)
        return tuple(re.findall(r"(?:JobState|DerivedExitCode|ExitCode)=(\S+)", told))


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.xdist_group("slurm")
@pytest.mark.parametrize(("option", "start", "end"), JOB_ENDINGS.values(), ids=JOB_ENDINGS)
def test_slurm_ends_a_job(
    tmp_path: Path, command: Command, slurm: dict[str, str], option: str, start: str, end: str
) -> None:
    """The record says by which signal; to SLURM the job ended as it would have without us.

    A step that is cancelled alone gets no warning, but SIGKILL at once.
    """
    options = option.split()
    bare = Job(tmp_path / "bare", {**slurm, "PYTHONPATH": ""}, *options, start=start)
    job = Job(tmp_path / "ours", slurm, *options, start=start)
    for each in (bare, job):
        each.call(*end.format(job=each.number).split() or ["true"])
    over = ("CANCELLED", "TIMEOUT", "FAILED")
    wait_until(lambda: bare.ending()[0] in over and job.ending()[0] in over, 150)
    assert job.ending() == bare.ending()
    record = read(job.folder / "out")
    (run,) = json.loads(command("log", "--json", job.folder / "out"))
    told = run["status"], record.get("error", {}).get("signal")
    assert told == (("died", None) if end.endswith(".0") else ("terminated", "SIGTERM"))
    variables = record["environment"]["environment_variables"]
    assert variables.get("SLURM_ARRAY_TASK_ID") == ("7" if "array" in option else None)


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.xdist_group("slurm")
def test_slurm_requeues_a_job(tmp_path: Path, slurm: dict[str, str]) -> None:
    """A program's own handler of USR1 works on, and each of the two runs has its record."""
    job = Job(tmp_path / "ours", slurm, "--requeue", start="exec {python} job.py")
    job.call("scancel", "--signal=USR1", "--full", job.number)
    wait_until(lambda: job.ending()[0] == "PENDING")

    # SLURM puts it off by two minutes: not here. But not by less than a second either: until then
    # the node takes the second run's credential for the first one's, which is revoked.
    start = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() + 3))

    def is_through() -> bool:
        state = job.ending()[0]
        if state == "PENDING":
            with contextlib.suppress(subprocess.CalledProcessError):  # it may have begun by now
                job.call("scontrol", "update", f"JobId={job.number}", f"StartTime={start}")
        assert state != "FAILED"
        return state == "COMPLETED"

    wait_until(is_through)
    first, second = json.loads((job.folder / "out" / "work_record.json").read_text())
    assert (first["status"], first["error"]["signal"]) == ("terminated", "SIGTERM")
    assert (second["status"], second["result"]) == ("completed", "resumed")
    numbers = [
        [record["environment"]["environment_variables"].get(name) for record in (first, second)]
        for name in ("SLURM_JOB_ID", "SLURM_RESTART_COUNT")
    ]
    assert numbers == [[job.number] * 2, [None, "1"]]


# ------------------------------------------------------------------------------
# Faults: forked workers
# ------------------------------------------------------------------------------

# What a tracked function does with child processes, none of which may write its record.
WORKERS_TEXT = """
== killed: [-15, -15, -9, -9, -1, -1, 130, 130]
begun, begin = os.pipe()  # before Python has seen to the fork, it forgets a SIGINT
pids = [fork(lambda: (os.write(begin, b"."), time.sleep(60))) for _ in range(8)]
for _ in pids: os.read(begun, 1)
signals = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL] * 2
for pid, number in zip(pids, signals):
    os.kill(pid, number)
return sorted(wait(pid) for pid in pids)
== killed at once: [-15, -15, -15, -15, -15, -15, -15, -15]
def kill(pid):
    os.kill(pid, signal.SIGTERM)
    return wait(pid)
return [kill(fork(lambda: time.sleep(60))) for _ in range(8)]
== killed in C code: -15
import hashlib
begun, begin = os.pipe()
def child():
    os.write(begin, b".")
    hashlib.pbkdf2_hmac("sha256", b"", b"", 300_000_000)
pid = fork(child)
os.read(begun, 1)
os.kill(pid, signal.SIGTERM)
return wait(pid)
== os._exit: 3
return wait(fork(lambda: os._exit(3)))
== sys.exit: 3
pid = os.fork()
if not pid:
    sys.exit(3)
return wait(pid)
== returns: 0
pid = os.fork()
return wait(pid) if pid else "the child's"
== raises: 1
pid = os.fork()
if not pid:
    raise ValueError
return wait(pid)
== a run in a child: -15
def child():
    inner()
    os.kill(os.getpid(), signal.SIGTERM)
return wait(fork(child))
== multiprocessing: [-15, -15, -15, -15, -15, -15, -15, -15]
import multiprocessing
processes = [multiprocessing.Process(target=time.sleep, args=(60,)) for _ in range(8)]
for process in processes: process.start()
for process in processes: process.terminate()
for process in processes: process.join()
return [process.exitcode for process in processes]
== a pool: [1, 2]
import multiprocessing
with multiprocessing.Pool(2) as pool:
    return pool.map(abs, [-1, -2])
"""
WORKERS = {
    name: (body, json.loads(result))
    for name, result, body in re.findall(r"(?ms)^== (.*?): (.*?)\n(.*?)(?=^== |\Z)", WORKERS_TEXT)
}


@pytest.mark.parametrize("name", WORKERS)
def test_the_record_is_the_parents_alone(repo: Repo, name: str) -> None:
    """However the children end, they leave the parent's record as it is, and no warning rises."""
    script = """
        @tracked(literal_directory="inner")
        def inner(): pass
        @tracked(literal_directory="out")
        def work():
            before = Path("out/work_record.json").read_bytes()
            result = act()
            assert Path("out/work_record.json").read_bytes() == before
            return result
        def act():
            {}
        if __name__ == "__main__":
            work()
    """
    body, result = WORKERS[name]
    body = textwrap.indent(body.strip(), " " * 4)
    code = PRELUDE + textwrap.dedent(script).replace("    {}", body)
    repo.write("work.py", code.replace("def fork", "# caf\u00e9\ndef fork"))
    repo.commit()
    repo.write("work.py", code)  # a dirty file, so that every kind of probe has been at work
    done = run_python("-W", "error", "work.py", cwd=repo.path)
    record = read(repo.path / "out")
    assert (record["status"], record["result"]) == ("completed", result)
    assert "git_patch" in record["tracked_module"]
    assert "Warning" not in done.stderr
    if name == "a run in a child":
        assert read(repo.path / "inner")["status"] == "completed"
        assert read(repo.path / "inner")["parent"] == record["uuid"]


POOLS = {  # how a function is called in workers of each kind
    name: f"multiprocessing.get_context({name!r}).Pool(2).map(work, places)"
    for name in ("fork", "spawn", "forkserver")
}
POOLS |= {
    name: f"joblib.Parallel(2, {name!r})(joblib.delayed(work)(place) for place in places)"
    for name in ("loky", "multiprocessing", "threading")
}
HEAVY_POOLS = [
    pytest.param(name, marks=[pytest.mark.integration] if "joblib" in pool else [])
    for name, pool in POOLS.items()
]


@pytest.mark.parametrize("name", HEAVY_POOLS)
def test_tracked_functions_in_workers(tmp_path: Path, name: str) -> None:
    """Every worker writes its own records, without a warning."""
    pool = POOLS[name]
    script = f"""
        import {pool.partition(".")[0]}
        @tracked(directory_parameter="out", create_parents=True, **QUIET)
        def work(out):
            return os.getpid()
        @tracked(literal_directory="all", **QUIET)
        def work_together(places):
            return {pool}
        if __name__ == "__main__":
            work_together([f"each/{{number}}" for number in range(6)])
    """
    (tmp_path / "work.py").write_text(PRELUDE + textwrap.dedent(script))
    options = [] if "joblib" in pool else ["-W", "error::RuntimeWarning"]
    run_python(*options, "work.py", cwd=tmp_path)
    together = read(tmp_path / "all")
    records = [read(tmp_path / f"each/{number}") for number in range(6)]
    assert {record["status"] for record in [*records, together]} == {"completed"}
    pids = [record["environment"]["process"]["pid"] for record in records]
    assert pids == [record["result"] for record in records] == together["result"]
    assert (together["environment"]["process"]["pid"] in pids) == (name == "threading")
    assert {record.get("parent") for record in records} <= {together["uuid"], None}


def test_a_lock_does_not_pass_to_children(tmp_path: Path) -> None:
    """A child that is forked while a chain is locked doesn't keep it locked."""
    code = """
        sys.addaudithook(lambda event, _: event == "os.rename" and pids.append(fork(child)))
        @tracked(literal_directory="out", chain_records=True, **QUIET)
        def work(): pass
        pids, child = [], lambda: time.sleep(60)
        work()
        began = time.monotonic()
        work()
        assert time.monotonic() - began < 5
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
    """
    run_code(tmp_path, code, env=UNMEASURED)
    assert len(read(tmp_path / "out")) == 2


# ------------------------------------------------------------------------------
# Faults: the disk
# ------------------------------------------------------------------------------

# What is mounted on ./disk, what has writing fail there, and how it fails.
STARVING = {
    "file size": ("", "lower(resource.RLIMIT_FSIZE, 100)", "File too large"),
    "open files": ("", "lower(resource.RLIMIT_NOFILE, len(os.listdir('/proc/self/fd')) - 1)",
        "Too many open files"),
    "a full disk": ("mount -t tmpfs -o size=64k tmpfs disk",
        "open('disk/filler', 'wb', 0).write(bytes(2**17))", "No space left on device"),
    "a read-only disk": ("mkdir other && mount --bind other disk",
        "os.system('mount -o remount,bind,ro disk') and sys.exit(9)", "Read-only file system"),
}  # fmt: skip
STARVING_CASES = [
    pytest.param(*case, id=name, marks=[pytest.mark.integration] * bool(case[0]))
    for name, case in STARVING.items()
]
STARVED = """
    import resource
    def lower(limit, soft):
        resource.setrlimit(limit, (soft, resource.getrlimit(limit)[1]))
    def starve():
        {starve}
    @tracked(literal_directory="disk/out", **QUIET)
    def work(within):
        if within:
            starve()
        return 42
    os.mkdir("disk")
    assert not os.system({mount!r})
    warm_up()
    if {after}:
        work(False)
        assert work(True) == 42
    else:
        starve()
        try:
            work(False)
        except OSError as error:
            print(error)
        else:
            raise AssertionError("the function ran")
    lower(resource.RLIMIT_NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    assert set(os.listdir("disk")) - {{"filler"}} == ({{"out"}} if {after} else set())
    if {after}:
        assert os.listdir("disk/out") == ["work_record.json"]
        record = json.load(open("disk/out/work_record.json"))
        assert (record["status"], record["called_function"]["parameters"]["within"]) == ("running", True)
"""


@pytest.mark.parametrize(("mount", "starve", "reason"), STARVING_CASES)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_writing_fails(tmp_path: Path, mount: str, starve: str, reason: str, after: bool) -> None:
    """Before the run the error is clear, and nothing is left; after it there is one warning."""
    code = STARVED.format(mount=mount or "true", starve=starve, after=after)
    said = (run_unshared if mount else run_code)(tmp_path, textwrap.dedent(code))
    assert reason in said
    path = f"{tmp_path}/disk/out/work_record.json"
    problem = f"work() ran, but its record {path} could not be completed: OSError:"
    assert (said.count("Warning: "), problem in said) == (after, after)
    start = r"\[Errno \d+\] work\(\): cannot (create the directory|write the record) "
    assert bool(re.match(start, said)) is not after


def test_a_limit_where_the_record_takes_another_name(tmp_path: Path) -> None:
    """There's no half of it under that name either."""
    code = """
        import resource
        @tracked(literal_directory="out", **QUIET)
        def work():
            another = {"pycrumbs": "0.5.0", "uuid": "0" * 36}
            Path("out/work_record.json").write_text(json.dumps(another))
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        work()
    """
    assert "could not be completed: OSError: [Errno 27] File too large" in run_code(tmp_path, code)
    assert names_in(tmp_path / "out") == ["work_record.json"]


def test_too_many_open_files_where_the_function_fails(tmp_path: Path) -> None:
    """Its own exception is what the caller gets, though nothing can be imported any more."""
    code = """
        import resource
        @tracked(literal_directory="out", **QUIET)
        def work():
            limit = len(os.listdir("/proc/self/fd")) - 1
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            open("x")
        work()
    """
    assert "OSError: [Errno 24] Too many open files: 'x'" in run_code(tmp_path, code, status=1)


@pytest.mark.parametrize("chained", [False, True])
def test_the_directory_is_deleted_and_made_again(tmp_path: Path, chained: bool) -> None:
    """The record is completed in the new one."""

    @tracked(literal_directory=tmp_path / "out", disable_git_tracking=True, chain_records=chained)
    def work() -> None:
        shutil.rmtree(tmp_path / "out")
        (tmp_path / "out").mkdir()

    work()
    assert read(tmp_path / "out")["status"] == "completed"
    assert names_in(tmp_path / "out") == ["work_record.json"]


# ------------------------------------------------------------------------------
# Faults: many processes, one file
# ------------------------------------------------------------------------------

APPENDING = """
    @tracked(literal_directory="out", chain_records=True, **QUIET)
    def work(worker, number):
        return number
    def child(worker):
        def append():
            with open(f"acknowledged-{worker}", "w") as file:
                for number in range(200):
                    work(worker, number)
                    print(number, file=file, flush=True)
        return append
    warm_up()
    pids = {worker: fork(child(worker)) for worker in range(16)}
    for worker in range(12):
        while len(Path(f"acknowledged-{worker}").read_text().split()) < 4 * worker:
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.05))
        os.kill(pids[worker], signal.SIGKILL)
    assert [wait(pid) for pid in pids.values()] == [-9] * 12 + [0] * 4
"""


@pytest.mark.slow
def test_appends_from_many_processes(tmp_path: Path) -> None:
    """16 processes append 200 times, 12 of them are killed: no run that ended is lost."""
    for worker in range(12):
        (tmp_path / f"acknowledged-{worker}").touch()
    run_code(tmp_path, APPENDING)
    acknowledged = {
        (worker, int(number))
        for worker in range(16)
        for number in (tmp_path / f"acknowledged-{worker}").read_text().split()
    }
    records = read(tmp_path / "out" / "work_record.json")
    ended = [record for record in records if record["status"] == "completed"]
    told = {tuple(record["called_function"]["parameters"].values()) for record in ended}
    assert acknowledged <= told
    assert len(acknowledged) >= 4 * 200
    assert len(ended) == len(told) <= len(acknowledged) + 12, "a run is there twice"
    assert len(records) - len(ended) <= 12


@pytest.mark.slow
def test_directories_of_one_second(tmp_path: Path) -> None:
    """64 processes that start in one second get a directory each."""
    code = """
        @tracked(directory_parameter="out", include_timestamp=True, create_parents=True, **QUIET)
        def work(out):
            return out
        def child():
            time.sleep(max(0, begin - time.time()))
            work("a/b/run")
        warm_up()
        begin = int(time.time()) + 2.1
        pids = [fork(child) for _ in range(64)]
        assert {wait(pid) for pid in pids} == {0}
    """
    run_code(tmp_path, code)
    folders = list((tmp_path / "a" / "b").iterdir())
    assert len(folders) == 64
    assert {read(folder)["result"] for folder in folders} == {str(folder) for folder in folders}
    stamps = [re.fullmatch(r"run_(\d{4}(?:_\d\d){5})(_\d+)?", folder.name) for folder in folders]
    assert len({stamp[1] for stamp in stamps if stamp}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("finished", [0, 1])
def test_fifty_processes_at_once(tmp_path: Path, finished: int) -> None:
    """Of runs that overlap each has its record, also where one of the function's has finished."""
    code = f"""
        @tracked(literal_directory="out", **QUIET)
        def work(number, seconds=1):
            time.sleep(seconds)
        warm_up()
        for _ in range({finished}):
            work(-1, 0)
        begin = time.time() + 0.5
        def child(number):
            time.sleep(max(0, begin - time.time()))
            work(number)
        pids = [fork(lambda number=number: child(number)) for number in range(50)]
        assert {{wait(pid) for pid in pids}} == {{0}}
    """
    (tmp_path / "script.py").write_text(PRELUDE + textwrap.dedent(code))
    assert run_python("-W", "error", "script.py", cwd=tmp_path).stderr == ""
    records = [read(path) for path in (tmp_path / "out").iterdir()]
    assert {record["status"] for record in records} == {"completed"}
    numbers = [record["called_function"]["parameters"]["number"] for record in records]
    assert sorted(numbers) == [*range(50)]


RECORD = '{\n    "pycrumbs": "0.5.0",\n    "called_function": {}\n}'
CHAIN = '[\n    {\n        "pycrumbs": "0.5.0",\n        "called_function": {}\n    }\n]'
WHOLE_FILES = {
    "a record": RECORD, "a chain": CHAIN, "on one line": '[{"uuid": "a", "called_function": {}}]',
    "indented otherwise": json.dumps(json.loads(CHAIN), indent=1),
    "with a line break": CHAIN + "\n",
    "a sorted record": json.dumps(json.loads(RECORD), sort_keys=True, indent=2) + "\n",
    "a sorted, compact chain": json.dumps(json.loads(CHAIN), sort_keys=True, separators=(",", ":")),
    "not in UTF-8": CHAIN.replace("0.5.0", "\udcff"),
}  # fmt: skip
BROKEN_FILES = {
    "cut short": CHAIN[:-3], "without its beginning": CHAIN[9:],
    "overwritten within": CHAIN.replace("called_function", "called_\0\0\0\0\0\0\0\0"),
    "merged by git": CHAIN.replace("    {", "<<<<<<< HEAD\n    {").replace("}}", "}}\n======="),
    "edited by hand": CHAIN.replace("{}", "{\n  x}"), "of another kind": '["a"]', "empty": "",
}  # fmt: skip


@pytest.mark.parametrize("text", WHOLE_FILES.values(), ids=WHOLE_FILES)
def test_a_whole_chain_goes_on(out: Path, text: str) -> None:
    """Whoever wrote it: what is there stays there."""
    append_to(out, text)
    content = (out / "work_record.json").read_text("utf-8", "surrogateescape")
    first, second = json.loads(content)
    assert [first] == (json.loads(text) if text.startswith("[") else [json.loads(text)])
    assert second["status"] == "completed"
    assert names_in(out) == ["work_record.json"]


@pytest.mark.parametrize("text", BROKEN_FILES.values(), ids=BROKEN_FILES)
def test_a_broken_chain_is_set_aside(out: Path, text: str) -> None:
    """It isn't overwritten, nor appended to, and there is one warning."""
    with pytest.warns(RuntimeWarning, match="holds no records; it was set aside as ") as caught:
        append_to(out, text)
    assert len(caught) == 1
    aside, name = sorted(names_in(out), key=len, reverse=True)
    assert (out / aside).read_text("utf-8", "surrogateescape") == text
    assert read(out / name)["status"] == "completed"
    assert str(caught[0].message).endswith(str(out / aside))


def append_to(out: Path, text: str) -> None:
    """Write a file and append a run to it."""

    @tracked(literal_directory=out, chain_records=True, disable_git_tracking=True)
    def work() -> None:
        pass

    out.mkdir()
    (out / "work_record.json").write_text(text, "utf-8", "surrogateescape")
    work()


@pytest.mark.parametrize(
    ("kind", "chained"), [("pipe", True), ("folder", True), ("link", True), ("link", False)]
)
def test_a_record_that_is_no_file(out: Path, kind: str, chained: bool) -> None:
    """It is neither waited for nor followed, and the function doesn't run."""
    out.mkdir()
    path, elsewhere = out / "work_record.json", out / "elsewhere"
    elsewhere.write_text(CHAIN if chained else RECORD)
    make: dict[str, Any] = {"pipe": os.mkfifo, "folder": os.mkdir}
    make.get(kind, lambda path: path.symlink_to(elsewhere))(path)

    @quick(literal_directory=out, chain_records=chained)
    def work() -> None:
        raise AssertionError("the function ran")

    with pytest.raises(OSError, match=r"work\(\): .*(a file|a link)"):
        work()
    assert elsewhere.read_text() == (CHAIN if chained else RECORD)
    assert path.is_symlink() == (kind == "link")


@pytest.mark.parametrize("options", [{}, {"create_parents": True}])
def test_a_directory_that_is_a_link_to_itself(out: Path, options: Any) -> None:
    """It is an error of the directory, and not of ours."""
    out.symlink_to(out)

    @quick(literal_directory=out, **options)
    def work() -> None:
        raise AssertionError("the function ran")

    with pytest.raises(OSError, match="cannot create the directory"):
        work()


def test_a_directory_below_one_that_is_gone(tmp_path: Path) -> None:
    """Where the working directory was deleted, nothing is looked for without end."""
    code = """
        os.mkdir("gone"), os.chdir("gone"), os.rmdir("../gone")
        @tracked(literal_directory="a/b", create_parents=True, **QUIET)
        def work(): pass
        try: work()
        except FileNotFoundError as error: print(error)
    """
    assert "cannot create the directory" in run_code(tmp_path, code)


def test_a_name_that_no_number_fits_behind(out: Path) -> None:
    """As it is taken by another function, the run can't start."""
    options: Any = {"literal_directory": out, "record_filename": "n" * 250}
    work: Any = quick(**options)(lambda: 1)
    work()

    @quick(**options)
    def other() -> None:
        raise AssertionError("the function ran")

    with pytest.raises(OSError, match="File name too long"):
        other()


def test_a_library_that_seed_tasks_leaves_out(tmp_path: Path) -> None:
    """A seed of the run around it doesn't outlast that run either."""
    code = """
        from pycrumbs import seed_tasks
        @tracked(literal_directory="out", seed_parameter="seed", **QUIET)
        def work(seed): seed_tasks(5, seed_numpy=False)
        work(1)
        import numpy
        print(numpy.random.random() == numpy.random.RandomState(1).random_sample())
    """
    assert run_code(tmp_path, code) == "False\n"


def test_files_of_others_that_are_named_like_ours(out: Path) -> None:
    """They are outputs like all others, and nobody sweeps them."""
    others = {".state.json.tmp", ".state.json.claim.old", ".x.json.part.tmp"}

    @quick(literal_directory=out)
    def work() -> None:
        for name in others:
            (out / name).write_text("mine")
            os.utime(out / name, (1, 1))

    work()
    run_code(out.parent, f"tracked(literal_directory={str(out)!r}, **QUIET)(lambda: 1)()")
    record = json.loads((out / "work_record.json").read_bytes())
    assert others == {entry["path"] for entry in record["outputs"]} <= {*os.listdir(out)}


@pytest.mark.parametrize("code", ["ENOSYS", "ENOLCK", "ENOTSUP"])
def test_locks_that_are_refused(tmp_path: Path, code: str) -> None:
    """Where the file system has no locks, runs go on without, and say so once."""
    program = f"""
        import errno, fcntl
        def flock(*_):
            raise OSError(errno.{code}, os.strerror(errno.{code}))
        @tracked(literal_directory="out", chain_records=True, **QUIET)
        def work():
            return json.loads(Path("out/work_record.json").read_text())
        fcntl.flock = flock
        reason = "unavailable: " + os.strerror(errno.{code})
        assert [work()["chain_lock"], work()[-1]["chain_lock"]] == [reason] * 2
    """
    said = run_code(tmp_path, program, "-W", "always")
    records = read(tmp_path / "out" / "work_record.json")
    reason = os.strerror(getattr(errno, code))
    ended = ("completed", f"unavailable: {reason}")
    assert [(record["status"], record["chain_lock"]) for record in records] == [ended] * 2
    assert said.count(f"no lock, so parallel runs can lose records: {reason}") == 2


@pytest.mark.slow
def test_a_lock_that_is_never_released(out: Path) -> None:
    """After half a minute the run is refused, before the function is called."""

    @tracked(literal_directory=out, chain_records=True, disable_git_tracking=True)
    def work() -> None:
        raise AssertionError("the function ran")

    out.mkdir()
    with (out / ".work_record.json.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(
            OSError, match=r"cannot write the record .*somebody has locked .*\.work"
        ):
            work()


# ------------------------------------------------------------------------------
# Faults: programs that don't answer
# ------------------------------------------------------------------------------

# A git that does what the real one does, but for one command.
ODD_GIT = """\
#!/bin/sh
for argument; do
    case $argument in
        {command}) {act} ;;
    esac
done
exec {git} "$@"
"""
SLEEPS = "sleep 60 & wait"
LEAVES_GRANDCHILD = "trap '' TERM HUP INT; (setsid sleep 12 &) ; sleep 60"
DIES = "kill -KILL $$"


@pytest.fixture
def odd_git(repo: Repo, monkeypatch: Patch) -> Any:
    """A repository with a dirty file; and a way to have git do odd things about one command."""
    programs = repo.path.parent / "programs"
    programs.mkdir()
    git = shutil.which("git")
    repo.write("work.py", "from pycrumbs import tracked\n" + WORK)
    repo.commit()
    repo.write("work.py", "from pycrumbs import tracked\n\n" + WORK)

    def make(command: str, act: str) -> None:
        program = programs / "git"
        program.write_text(ODD_GIT.format(command=command, act=act, git=git))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        monkeypatch.setattr(pycrumbs, "GIT_TIMEOUT", 0.6)

    return make


WORK = """
@tracked(literal_directory="out", include_package_inventory=False)
def work():
    return 42
"""


def run_here(repo: Repo) -> Any:
    """Run the repository's function in this process; return what its record says of the code."""
    scope: dict[str, Any] = {"tracked": tracked, "__name__": "work"}
    source = repo.path / "work.py"
    exec(compile(source.read_text(), str(source), "exec"), scope)
    folder = os.getcwd()
    os.chdir(repo.path)
    try:
        assert scope["work"]() == 42
    finally:
        os.chdir(folder)
    return read(repo.path / "out")["tracked_module"]


@pytest.mark.parametrize(
    ("command", "act"),
    [
        *itertools.product(["rev-parse", "config", "check-ignore", "status", "ls-files"], [DIES]),
        *itertools.product(["rev-parse", "status"], [SLEEPS, LEAVES_GRANDCHILD]),
    ],
)
@pytest.mark.slow
def test_git_that_does_not_answer(repo: Repo, odd_git: Any, command: str, act: str) -> None:
    """The function is held up for no longer than git may take, and the record says why."""
    odd_git(command, act)
    began = time.monotonic()
    state = run_here(repo)
    assert time.monotonic() - began < 8  # what hangs does so for 12 s at least
    assert list(state) == ["module_path", "name", "git_commit_hash"]
    reason = "was killed by signal 9" if act == DIES else r"did not answer within \d\.\d s"
    assert re.fullmatch(f"unavailable: git {reason}", state["git_commit_hash"])


@pytest.mark.parametrize("command", ["ls-tree", "diff", "hash-object"])
@pytest.mark.parametrize("act", [SLEEPS, LEAVES_GRANDCHILD, DIES], ids=["sleeps", "stays", "dies"])
@pytest.mark.slow
def test_git_that_does_not_answer_in_the_end(
    repo: Repo, odd_git: Any, command: str, act: str
) -> None:
    """If all but the patch is known, it is told; so is what can be before the first commit."""
    odd_git(command, act)
    commit: str | None = repo.git("rev-parse", "HEAD")
    if command == "hash-object":
        commit = repo.git("update-ref", "-d", "HEAD") or None
    state = run_here(repo)
    assert (state["git_is_dirty"], state["git_active_branch"]) == (True, "main")
    assert state.get("git_commit_hash") == commit
    told = r"left out: all of it \(git (did not|ended with|was killed)"
    assert re.match(told, state["git_patch_omitted"])


@pytest.mark.slow
def test_git_that_is_slow_each_time(repo: Repo, odd_git: Any, monkeypatch: Patch) -> None:
    """All that is asked of it has one limit, not each question one of its own."""
    odd_git("ls-tree", f"sleep 4 ;; diff) {SLEEPS}")
    monkeypatch.setattr(pycrumbs, "GIT_TIMEOUT", 5.0)
    began = time.monotonic()
    omitted = run_here(repo)["git_patch_omitted"]
    assert re.fullmatch(r"left out: all of it \(git did not answer within 5\.\d s\)", omitted)
    assert time.monotonic() - began < 8  # with a limit of its own `diff` would have had until 9


@pytest.mark.slow
def test_git_that_hangs_in_every_repository(
    odd_git: Any, repo: Repo, on_path: Path, tmp_path: Path
) -> None:
    """Those of editable packages wait together, and the record says of each that it isn't known."""
    for name in ("one", "two"):
        Repo(tmp_path / name).commit()
        leave_package(on_path, name, editable(tmp_path / name))
    source = (repo.path / "work.py").read_text()
    repo.write("work.py", source.replace(", include_package_inventory=False", ""))
    odd_git("rev-parse", SLEEPS)
    run_here(repo)
    record = read(repo.path / "out")
    told = r"unavailable: git did not answer within \d\.\d s"
    for state in (
        record["tracked_module"],
        *(record["package_origins"][n] for n in ("one", "two")),
    ):
        assert re.fullmatch(told, state["git_commit_hash"])
        assert "git_working_dir" not in state


@pytest.mark.slow
def test_git_that_does_not_answer_where_a_clean_tree_is_asked_for(
    repo: Repo, odd_git: Any, monkeypatch: Patch
) -> None:
    """Then nothing runs."""
    odd_git("status", SLEEPS)
    monkeypatch.syspath_prepend(repo.path)
    source = (repo.path / "work.py").read_text()
    repo.write("work.py", source.replace("literal", "allow_dirty_repo=False, literal"))
    with pytest.raises(RuntimeError, match=r"git did not answer within \d\.\d s; keep the source"):
        run_here(repo)


@pytest.mark.slow
def test_git_that_sleeps_for_a_minute(repo: Repo, odd_git: Any) -> None:
    """With the limit as it is, the function begins after ten seconds."""
    odd_git("*", SLEEPS)
    environment = {"PATH": os.environ["PATH"]}
    began = time.monotonic()
    run_code(repo.path, "import work; assert work.work() == 42", env=environment)
    assert 9 < time.monotonic() - began < 40
    reason = read(repo.path / "out")["tracked_module"]["git_commit_hash"]
    assert re.fullmatch(r"unavailable: git did not answer within 1\d\.\d s", reason)


@pytest.mark.slow
def test_nvidia_smi_that_cannot_be_ended(tmp_path: Path) -> None:
    """Not even the last look at it is waited for; nothing is said on stderr."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{LEAVES_GRANDCHILD}\n")
    program.chmod(0o755)
    code = """
        @tracked(literal_directory="out", **QUIET)
        def work():
            return time.monotonic()
        began = time.monotonic()
        assert work() - began < 8  # the grandchild holds the pipes for 12 s
        assert time.monotonic() - began < 8
    """
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert run_code(tmp_path, code, "-W", "error", env=environment) == ""
    gpus = read(tmp_path / "out")["environment"]["gpus"]
    assert re.fullmatch(r"unavailable: nvidia-smi did not answer within \d\.\d s", gpus)


# ------------------------------------------------------------------------------
# Faults: bad surroundings
# ------------------------------------------------------------------------------

# A script that runs beside one that isn't tracked, in whatever a row puts around it.
SURROUNDED = """
{before}
import os, sys
sys.path.append({here!r})
from pycrumbs import tracked
OUT = os.fsdecode({out!r})
{after}
@tracked(literal_directory=OUT, {options})
def work():
    "Makes a file."
    os.makedirs(OUT, exist_ok=True)
    with open(OUT + "/made", "wb") as file:
        file.write(b"made")
    {within}
    return 42
{call}
"""
# In a row: `start`, the command (default: the script); Python code `before` the import of pycrumbs,
# `after` it, `within` the function, and that `call`s it; `files`, what lies beside the script;
# `options` of tracked; and what is `missing` in the record, with the beginning of the reason.
IN_THREAD = "import threading\nthreading.stack_size(65536)\nthread = threading.Thread(target=work)"
NO_STREAMS = "import sys\nsys.stdin = sys.stdout = sys.stderr = "
NO_GIT = "disable_git_tracking=True"
BAD_FINDER = """
import sys
class Finder:
    def find_spec(self, *_): return None
    def find_distributions(self, context): raise OSError("not mounted")
"""
NOT_IMPORTED = "ModuleNotFoundError: import of "
BACKWARDS = """
import itertools, time
steps = itertools.count()
real, exact = time.time, time.perf_counter
time.time, time.perf_counter = lambda: real() - next(steps), lambda: exact() - next(steps)
"""
ASCII = "env LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 {python} {script} Käse"
LATIN_1 = """
localedef --no-archive -i en_US -f ISO-8859-1 ./latin-1 || exit 77
LOCPATH=. LC_ALL=latin-1 PYTHONUTF8=0 exec {python} {script} Käse"""
FULL_OF_THREADS = """
import threading
def start(self): raise RuntimeError("can't start new thread")
threading.Thread.start = start
"""
ROOT = "unshare --user --map-root-user --uts "
SURROUNDINGS: dict[str, dict[str, Any]] = {
    "nothing set": {"start": "env -i {python} {script}"},
    "no user": {"start": "env -i unshare --user --map-user=54321 {python} {script}",
        "missing": {"environment.user": r"\w+Error: "}},
    "no home to write in": {"start": "env HOME=/proc TMPDIR=/none XDG_CACHE_HOME=/none {python} {script}"},
    "no working directory": {"start": "mkdir gone; cd gone; rmdir ../gone; exec {python} {script}",
        "missing": {"environment.cwd": "FileNotFoundError: "}},
    "no name of the host": {"start": ROOT + "{python} {script}",
        "before": "import socket; socket.sethostname('')"},
    "closed descriptors": {"start": "exec {python} {script} <&- >&- 2>&-"},
    "no streams": {"before": NO_STREAMS + "None"},
    "closed streams": {"before": NO_STREAMS + "open(0, closefd=False)\nsys.stdin.close()"},
    "no argv": {"before": "import sys; del sys.argv", "missing": {"environment.argv": "AttributeError: "}},
    "argv of anything": {"before": "import sys; sys.argv = [None, 3, b'x', chr(0xdc80)]"},
    **{flags: {"start": "exec {python} " + flags + " {script}"}
       for flags in ("-I", "-S", "-I -S", "-O", "-OO", "-E -B", "-bb -W error -X dev")},
    "a safe path": {"start": "env PYTHONSAFEPATH=1 {python} {script}"},
    "warnings are errors": {"start": "env PYTHONWARNINGS=error {python} {script}"},
    "ASCII": {"start": ASCII},
    "Latin-1": {"start": LATIN_1},
    "no such zone": {"start": "env TZ=Atlantis/Poseidonis:1 {python} {script}"},
    "time goes backwards": {"after": BACKWARDS},
    "nobody counts processors": {"after": "os.cpu_count = lambda: None",
        "missing": {"environment.cpu_count": "Python can't"}},
    "no executable": {"before": "import sys; sys.executable = None",
        "missing": {"environment.python_executable": "Python can't"}},
    "a finder that breaks": {"before": BAD_FINDER, "after": "sys.meta_path.append(Finder())",
        "missing": {"package_inventory": "OSError: not mounted"}},
    "odd entries of sys.path": {
        "before": "import pathlib, sys; sys.path[:0] = [None, b'/x', pathlib.Path('/y'), 3, '']"},
    "odd entries of sys.modules": {
        "before": "import sys; sys.modules.update(dict.fromkeys(['platform', 'getpass', 'zlib']), odd=3)",
        "missing": {"environment.platform_info": NOT_IMPORTED, "environment.user": NOT_IMPORTED}},
    "modules named like Python's": {"files": ["platform.py", "getpass.py", "stat.py", "http.py",
        "secrets.py"], "missing": {"environment.platform_info": "AttributeError: ",
        "environment.user": "AttributeError: "}},
    "no file of the main module": {"after": "del sys.modules['__main__'].__file__"},
    "no main module": {"after": "del sys.modules['__main__']"},
    "a small stack": {"call": IN_THREAD + "\nthread.start()\nthread.join()"},
    "no more threads": {"after": FULL_OF_THREADS,
        "within": "os.truncate(os.open(file.name + '2', 65), 2**25)"},
    "little memory": {"after": "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**28, 2**28))"},
    "imports that break meanwhile": {
        "within": "sys.path.clear(); sys.meta_path.clear(); sys.modules['hashlib'] = None",
        "missing": {"outputs_omitted": NOT_IMPORTED}},
    "as a module": {"start": "exec {python} -m work"},
    "as a command": {"start": 'exec {python} -c "$(cat {script})"', "options": NO_GIT},
    "from standard input": {"start": "exec {python} - <{script}", "options": NO_GIT},
    "in a notebook": {"start": "exec {python} -c 'import sys; "
        'exec(compile(open(sys.argv[1]).read(), "/tmp/ipykernel_7/8.py", "exec"))\' {script}',
        "options": NO_GIT},
}  # fmt: skip


def run_surrounded(
    repo: Repo, out: Path, is_bare: bool, case: dict[str, Any]
) -> subprocess.CompletedProcess[bytes]:
    """Run a row of SURROUNDINGS."""
    parts = {"before": "", "after": "", "within": "", "options": "", "call": "work()", **case}
    text = SURROUNDED.format(here=str(HERE), out=os.fsencode(out), **parts)
    if is_bare:
        bare = "def tracked(**_): return lambda function: function"
        text = text.replace("from pycrumbs import tracked", bare)
    script = repo.write("work.py", text)
    for name in case.get("files", ()):
        repo.write(name, "# the project's own\n")
    repo.commit()
    start = case.get("start", "exec {python} {script}")
    command = start.format(python=shlex.quote(sys.executable), script=shlex.quote(str(script)))
    env = clean_environment(**UNMEASURED)
    return subprocess.run(["sh", "-c", command], cwd=repo.path, env=env, capture_output=True)


def find_missing(record: dict[str, Any], path: str = "") -> dict[str, str]:
    """What a record says is unavailable, and why."""
    found: dict[str, str] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            found.update(find_missing(value, f"{path}{key}."))
        elif isinstance(value, str) and value.startswith("unavailable: "):
            found[path + key] = value[len("unavailable: ") :]
    return found


@pytest.mark.parametrize("case", SURROUNDINGS.values(), ids=SURROUNDINGS)
def test_bad_surroundings(tmp_path: Path, case: dict[str, Any]) -> None:
    """The program goes on as it does untracked; the record says all that could be had."""
    repo, out = Repo(tmp_path / "répo"), tmp_path / "öut"
    bare = run_surrounded(repo, out, True, case)
    if bare.returncode == 77 or b"unshare" in bare.stderr:
        pytest.skip("there is no such locale, or there are no user namespaces")
    shutil.rmtree(out)
    done = run_surrounded(repo, out, False, case)
    for ended in (bare, done):
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
    record = read(out)
    missing, expected = find_missing(record), case.get("missing", {})
    assert missing.keys() == expected.keys()
    assert all(re.match(expected[key], reason) for key, reason in missing.items()), missing
    assert (record["status"], record["result"]) == ("completed", 42)
    assert re.fullmatch(r"0:\d\d:\d\d(\.\d+)?", record["timing"]["run_time"])
    assert {"argv", "orig_argv", "hostname", "user", "cpu_count"} <= record["environment"].keys()
    if "options" not in case:
        assert len(record["tracked_module"]["git_commit_hash"]) == 40
    if "outputs_omitted" not in expected:
        sums = {entry["path"]: entry["sha256"] for entry in record["outputs"]}
        assert sums.pop("made") == hashlib.sha256(b"made").hexdigest()
        zeros = (bytes(size) for size in (0, 2**25))
        assert set(sums.values()) <= {hashlib.sha256(content).hexdigest() for content in zeros}


@pytest.mark.parametrize("name", "inspect json subprocess threading".split())
def test_module_that_hides_one_of_python_s(repo: Repo, out: Path, name: str) -> None:
    """Without what Python's own module does there is no record: that is said, and nothing runs."""
    done = run_surrounded(repo, out, False, {"files": [f"{name}.py"]})
    assert done.returncode == 1
    assert re.search(rf"\nAttributeError: module '{name}' has no attribute ".encode(), done.stderr)
    assert not out.exists()


def test_module_named_like_ours(repo: Repo, out: Path) -> None:
    """A project may have its own `pycrumbs`, and ours in another place."""
    repo.write("pycrumbs.py", "TRAIL = 'of its own'\n")
    shutil.copy(pycrumbs.__file__, repo.write("lab/pycrumbs.py"))
    script = TRACKED_SCRIPT.replace("from pycrumbs", "import pycrumbs\nfrom lab.pycrumbs")
    repo.write("work.py", script.replace("pass", "return pycrumbs.TRAIL"))
    repo.commit()
    repo.run("work.py", str(out))
    assert read(out)["result"] == "of its own"
    assert run_python("lab/pycrumbs.py", "show", "../out", cwd=repo.path).stdout


def test_help_without_docstrings(tmp_path: Path) -> None:
    """With `-OO` there is less of it, and all options are still there."""
    for command in ([], ["show"]):
        shown = run_python("-OO", pycrumbs.__file__, *command, "--help", cwd=tmp_path).stdout
        assert ("--patch" if command else "rerun") in shown


# How a program that vendors this file may be packed: without sources, without files, in an archive.
PACKED = {
    "compiled": "compileall.compile_file('pycrumbs.py', legacy=True, quiet=1); os.unlink('pycrumbs.py')",
    "frozen": """
        class Frozen:
            def find_spec(self, name, path, target=None):
                return importlib.machinery.ModuleSpec(name, self) if name == "pycrumbs" else None
            def create_module(self, spec): pass
            def exec_module(self, module):
                exec(compile(open("pycrumbs.py").read(), "<frozen pycrumbs>", "exec"), vars(module))
        sys.meta_path.insert(0, Frozen())
    """,
    "zipped": """
        with zipfile.ZipFile("packed.zip", "w") as archive:
            archive.write("pycrumbs.py")
        os.unlink("pycrumbs.py")
        sys.path.insert(0, "packed.zip")
    """,
}


@pytest.mark.parametrize("pack", PACKED.values(), ids=PACKED)
def test_packed_program(tmp_path: Path, pack: str) -> None:
    """Wherever our code is from, records and warnings don't mistake it for the program's."""
    shutil.copy(pycrumbs.__file__, tmp_path)
    script = f"""
import compileall, importlib.machinery, os, shutil, sys, zipfile
sys.path.insert(0, "")
{textwrap.dedent(pack)}
from pycrumbs import tracked
@tracked(directory_parameter="out", disable_git_tracking=True, include_package_inventory=False)
def work(out, remove):
    if remove: shutil.rmtree(out)
    raise ValueError
for remove in (False, True):
    try:
        work(f"out-{{remove}}", remove)
    except ValueError as error:
        own = error.__traceback__.tb_next.tb_frame
print(own.f_code.co_filename)
"""
    done = run_python("-c", script, cwd=tmp_path, env={"PYTHONPATH": ""})
    traceback = "".join(read(tmp_path / "out-False")["error"]["traceback"])
    assert (frames := re.findall(r'File "(.*?)"', traceback))
    assert done.stdout.strip() not in frames
    assert re.match(r"<string>:\d+: RuntimeWarning: pycrumbs: ", done.stderr)


EMBEDDING = r"""
#include <Python.h>
int main(int count, char **arguments) {
    Py_InitializeEx(%d);
    int failed = PyRun_SimpleFile(fopen(arguments[1], "r"), arguments[1]);
    return Py_FinalizeEx() || failed;
}
"""


@pytest.mark.integration
@pytest.mark.parametrize("handles_signals", [False, True])
def test_embedded_interpreter(repo: Repo, out: Path, handles_signals: bool) -> None:
    """In a C program there is a record, too; there may be nothing on any command line."""
    build, program = sysconfig.get_config_var, repo.path / "program"
    repo.write("program.c", EMBEDDING % handles_signals)
    library = f"-L{build('LIBDIR')} -Wl,-rpath,{build('LIBDIR')} -lpython{build('LDVERSION')}"
    flags = f"-I{sysconfig.get_path('include')} {library} {build('LIBS')} -lm -rdynamic"
    subprocess.run(["cc", "program.c", "-o", program, *flags.split()], cwd=repo.path, check=True)
    done = run_surrounded(repo, out, False, {"start": f"exec {program} {{script}}"})
    assert (done.returncode, done.stderr) == (0, b"")
    record = read(out)
    assert (record["status"], record["environment"]["argv"]) == ("completed", [""])
    assert find_missing(record) == {}


SUBINTERPRETER = """
try:
    import _interpreters as interpreters
except ImportError:  # before Python 3.13
    import _xxsubinterpreters as interpreters
print(interpreters.run_string(interpreters.create(), open("{script}").read()) or "")
"""


def test_subinterpreter(repo: Repo, out: Path) -> None:
    """Where it may start no process, the record says what is unknown for that."""
    answer = "s/.*=//; s/[a-z_]*index/0/; s/name/A100/; s/memory[a-z.]*/4096/; s/,/, /g"
    stub = f'#!/bin/sh\nfor word; do case $word in --query-gpu=*) echo $word | sed "{answer}";; esac; done\n'
    repo.write("bin/nvidia-smi", stub).chmod(0o755)
    start = "PATH=$PWD/bin:$PATH exec {python} -c '" + SUBINTERPRETER + "'"
    # In one of Python 3.12's, hashlib.sha256(b"") ends the process: nothing is hashed here.
    options = f"{NO_GIT}, hash_limit=0"
    done = run_surrounded(repo, out, False, {"start": start, "options": options})
    assert (done.returncode, done.stdout, done.stderr) == (0, b"\n", b"")
    record = read(out)
    reason = "could not be started: subprocess not supported for isolated subinterpreters"
    gpus = record["environment"]["gpus"]
    assert gpus == f"unavailable: nvidia-smi {reason}" or gpus[0]["name"] == "A100"
    assert record["status"] == "completed"


# What a program may leave unfinished: how it is made, what begins it.
UNFINISHED = {
    "a generator": ("def", "yield", "unfinished = work(); next(unfinished)"),
    "a generator of a module": ("def", "yield", "sys.left = work(); next(sys.left)"),
    "an async generator": ("async def", "yield", "left = work(); step = left.__anext__().send\n"
        "try: step(None)\nexcept StopIteration: pass"),
    "a coroutine": ("async def", "await Pause()", "left = work(); left.send(None)"),
    "a daemon's thread": ("def", "begun.set(), time.sleep(60)",
        "threading.Thread(target=work, daemon=True).start(); begun.wait()"),
}  # fmt: skip


@pytest.mark.parametrize(("define", "wait", "begin"), UNFINISHED.values(), ids=UNFINISHED)
def test_end_of_the_program(tmp_path: Path, define: str, wait: str, begin: str) -> None:
    """What is unfinished when the program ends was interrupted; nothing else is said of it."""
    program = f"""
import sys, threading, time
from pycrumbs import tracked
begun = threading.Event()
class Pause:
    def __await__(self): yield
@tracked(literal_directory="out", disable_git_tracking=True, include_package_inventory=False)
{define} work():
    open("out/made", "w").close()
    try:
        {wait}
    finally:
        print("tidied up")
{begin}
"""
    (tmp_path / "script.py").write_text(program)
    done = run_python("script.py", cwd=tmp_path)
    bare = "def tracked(**_): return lambda function: function\n"
    bare = program.replace("from pycrumbs import tracked\n", bare)
    expected = run_python("-c", bare, cwd=tmp_path)
    assert (done.stdout, done.stderr) == (expected.stdout, expected.stderr)
    record = read(tmp_path / "out")
    assert record["status"] == "interrupted"
    assert record["error"]["message"] == "the program ended before it did"
    assert record["outputs"][0]["sha256"] == hashlib.sha256().hexdigest()


# ------------------------------------------------------------------------------
# Faults: a hostile repository
# ------------------------------------------------------------------------------

# Where a repository may name a program, and the plain command that runs it if nobody objects.
# PROGRAM leaves a file that tells.
SLOTS = {
    "core.fsmonitor": ("config core.fsmonitor PROGRAM", "status"),
    "core.fsmonitor in an included file": (
        "config include.path ../evil; config --file evil core.fsmonitor PROGRAM", "status"),
    "core.fsmonitor in a worktree's settings": (
        "config extensions.worktreeConfig true; config --worktree core.fsmonitor PROGRAM", "status"),
    "hook": ("link .git/hooks/post-index-change", "status"),
    "core.hooksPath": ("link evil/post-index-change; config core.hooksPath evil", "status"),
    "diff.external": ("config diff.external PROGRAM", "diff"),
    "diff driver": ("attribute diff=x; config diff.x.command PROGRAM", "diff"),
    "textconv": ("attribute diff=x; config diff.x.textconv PROGRAM", "diff"),
    "clean filter": ("attribute filter=x; config filter.x.clean PROGRAM", "status"),
    "clean filter of new files": ("attribute filter=x; config filter.x.clean PROGRAM",
        "diff --no-index /dev/null new.py"),
    "required filter": ("attribute filter=x; config filter.x.clean PROGRAM; config filter.x.required true",
        "status"),
    "process filter": ("attribute filter=x; config filter.x.process PROGRAM", "status"),
    "smudge filter": ("attribute filter=x; config filter.x.smudge PROGRAM", "checkout -- data.txt"),
    "submodule's core.fsmonitor": ("-C sub config core.fsmonitor PROGRAM", "status"),
    "submodule's hook": ("link .git/modules/sub/hooks/post-index-change", "status"),
    "submodule's filter": (
        "-C sub config filter.x.clean PROGRAM; -C sub config core.attributesFile REPOSITORY/.all",
        "status"),
    "core.sshCommand": ("config core.sshCommand PROGRAM; lose", "diff HEAD"),
    "remote helper": ("config remote.origin.url ext::PROGRAM; lose", "diff HEAD"),
    "upload pack": ("config remote.origin.url .; config remote.origin.uploadpack PROGRAM; lose",
        "diff HEAD"),
    "core.pager": ("config core.pager PROGRAM", "-p status"),
    "alias": ("config alias.stat !PROGRAM", "stat"),
    "core.editor": ("config core.editor PROGRAM", "commit --allow-empty"),
    "GIT_EXTERNAL_DIFF": ("environment GIT_EXTERNAL_DIFF PROGRAM", "diff"),
    "GIT_CONFIG_COUNT": ("environment GIT_CONFIG_COUNT 1; environment GIT_CONFIG_KEY_0 core.fsmonitor; "
        "environment GIT_CONFIG_VALUE_0 PROGRAM", "status"),
    "GIT_CONFIG_PARAMETERS": ("environment GIT_CONFIG_PARAMETERS 'core.fsmonitor=PROGRAM'", "status"),
    "GIT_SSH_COMMAND": ("environment GIT_SSH_COMMAND PROGRAM; lose", "diff HEAD"),
    "GIT_PAGER": ("environment GIT_PAGER PROGRAM", "-p status"),
}  # fmt: skip


class Hostile:
    """A repository with a submodule, changes and a source to track; and the means to spoil it."""

    def __init__(self, repo: Repo, folder: Path) -> None:
        inner = Repo(folder / "inner")
        inner.write("data.txt", "1\n")
        inner.commit()
        self.repo, self.canary, self.program = repo, folder / "canary", folder / "program"
        self.program.write_text(f'#!/bin/sh\necho "$0 $*" >> {shlex.quote(str(self.canary))}\n')
        self.program.chmod(0o755)
        repo.write("data.txt", "1\n")
        repo.write("lost.txt", "1\n" * 9)
        repo.write(".all", "* filter=x\n")
        repo.write("work.py", "import new\nfrom pycrumbs import tracked\n" + WORK + "\nwork()\n")
        options = ("-c", "protocol.file.allow=always")
        repo.git(*options, "submodule", "--quiet", "add", str(inner.path), "sub")
        repo.commit()
        repo.write("new.py")
        self.environment: dict[str, str] = {}

    def obey(self, line: str) -> None:
        """Do one thing that spoils it."""
        line = line.replace("REPOSITORY", str(self.repo.path))
        words = shlex.split(line.replace("PROGRAM", str(self.program)))
        path = self.repo.path / words[-1]
        if words[0] == "link":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(self.program)
        elif words[0] == "attribute":
            self.repo.write(".git/info/attributes", f"* {words[1]}\n")
        elif words[0] == "environment":
            value = words[2] if "=" not in words[2] else f"'{words[2]}'"
            self.environment[words[1]] = value
        elif words[0] == "lose":
            self.lose()
        else:
            self.repo.git(*words)

    def lose(self) -> None:
        """Make it a partial clone that lacks a file's content, which git would fetch."""
        blob = self.repo.git("rev-parse", "HEAD:lost.txt")
        (self.repo.path / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
        self.repo.write("lost.txt", "2\n" * 9)
        settings = {
            "remote.origin.promisor": "true",
            "remote.origin.partialclonefilter": "blob:none",
        }
        settings.update({"extensions.partialClone": "origin", "core.repositoryFormatVersion": "1"})
        if not self.repo.git("config", "remote.origin.url", check=False):
            settings["remote.origin.url"] = "ssh://host/x"
        for key, value in settings.items():
            self.repo.git("config", key, value)

    def age(self) -> None:
        """Have git look at every file again, and find some of them changed."""
        for path in (self.repo.path / "data.txt", self.repo.path / "sub" / "data.txt"):
            path.write_text("1\n")
            os.utime(path, (1, 1))

    def run(self, *command: str) -> None:
        """Run a command there as careless users do: in its environment, and on a terminal."""
        for path in (self.repo.path / "work.py", self.repo.path / "sub" / "data.txt"):
            with path.open("a") as file:
                file.write("# changed\n")
        self.age()
        extra = {"GIT_ALLOW_PROTOCOL": "ext:ssh:file", "TERM": "xterm", "PAGER": "cat"}
        environment = clean_environment(**extra, **self.environment)
        ours, theirs = os.openpty()  # a pager runs on a terminal only
        options: Any = {"stdin": subprocess.DEVNULL, "stdout": theirs, "stderr": theirs}
        subprocess.run(command, cwd=self.repo.path, env=environment, timeout=20, **options)
        os.close(ours)
        os.close(theirs)


@pytest.mark.slow
@pytest.mark.parametrize(("setup", "plain"), SLOTS.values(), ids=SLOTS)
def test_programs_of_a_repository(repo: Repo, tmp_path: Path, setup: str, plain: str) -> None:
    """What a plain git command runs is not run for a record, which tells all the rest."""
    hostile = Hostile(repo, tmp_path)
    for line in setup.split("; "):
        hostile.obey(line)
    hostile.run("git", *plain.split())
    assert hostile.canary.exists(), "the plain command doesn't run it either"
    hostile.canary.unlink()
    hostile.run(sys.executable, "work.py")
    assert not hostile.canary.exists(), hostile.canary.read_text()
    state = read(repo.path / "out")["tracked_module"]
    assert (state["git_is_dirty"], len(state["git_commit_hash"])) == (True, 40)
    if "lose" not in setup:
        assert "+# changed" in state["git_patch"]
        assert "diff --git a/new.py b/new.py" in state["git_patch"]


# ------------------------------------------------------------------------------
# Faults: secrets in every place at once
# ------------------------------------------------------------------------------

# What says a secret, which takes the place of {}; each is planted in each of ten places.
SAYINGS = """
password={}
password: {}
{"api_key": "{}"}
run --lr 3 --password {} --epochs 3
Authorization: Bearer {}
https://u:{}@host/x
postgresql://u:{}@db:5432/x
ada:{}@db.example.com
client_secret={}&grant_type=x
aws_secret_access_key = {}
export DB_PASS={}
X-Api-Key: {}
ghp_{}{}
AKIA{}
sk-proj-{}{}
hf_{}{}
xoxb-123-{}
github_pat_{}_{}
eyJhbGciOiJIUzI1NiJ9.eyJ{}.{}
-----BEGIN RSA PRIVATE KEY-----{}-----END RSA PRIVATE KEY-----
""".strip().splitlines()
PLACES = "argument nested variable message cause result option settings source untracked".split()
LEAKY = """
    import json, sys
    import untracked
    from pycrumbs import tracked
    sayings = json.load(open(sys.argv[1]))
    @tracked(literal_directory="out", extra_environment_variables=list(sayings["variable"]))
    def work(part, text, nested):
        return {"made": [list(sayings["result"].values())[part::5]]}
    @tracked(literal_directory="out", record_filename="failed")
    def fail(part):
        try:
            raise ValueError(list(sayings["cause"].values())[part::5])
        except ValueError as error:
            raise RuntimeError(list(sayings["message"].values())[part::5]) from error
    for part in range(5):
        nested = {"deep": [(list(sayings["nested"].values())[part::5],)]}
        work(part, list(sayings["argument"].values())[part::5], nested)
        print(open("out/work_record.json").read())
        try:
            fail(part)
        except RuntimeError:
            print(open("out/failed.json").read())
"""


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> tuple[Repo, dict[str, str], str]:
    """A repository whose runs meet 200 secrets; what is planted; and all that was written."""
    folder = tmp_path_factory.mktemp("leaky")
    repo, number = Repo(folder / "repo"), itertools.count()
    said: dict[str, dict[str, str]] = {}
    planted: dict[str, str] = {}
    for place, saying in itertools.product(PLACES, SAYINGS):
        secret = f"{next(number):04d}Q8ZR5TN2VW7Y"
        planted[secret] = f"{place}: {saying}"
        name = f"text_{secret[:4]}"
        said.setdefault(place, {})[name] = saying.replace("{}", secret)
    repo.write("work.py", LEAKY)
    repo.write("settings.env", "a = 1\n")
    repo.write("source.py", "a = 1\n")
    repo.write("plain.txt", "a = 1\n")
    repo.commit()
    repo.write("plain.txt", "a = 2\n")
    repo.write("settings.env", "\n".join(["a = 2", *said["settings"].values(), ""]))
    repo.write("source.py", "\n".join(f"{n} = {v!r}" for n, v in said["source"].items()) + "\n")
    repo.write("untracked.py", "\n".join(f'"""{v}"""' for v in said["untracked"].values()) + "\n")
    (folder / "said.json").write_text(json.dumps(said))
    arguments = ("work.py", str(folder / "said.json"), *said["option"].values())
    return repo, planted, run_python(*arguments, cwd=repo.path, env=said["variable"]).stdout


def test_two_hundred_secrets(leaky: tuple[Repo, dict[str, str], str]) -> None:
    """None of them is in any byte written, though what surrounds them is."""
    _, planted, written = leaky
    assert len(planted) == 200
    assert [place for secret, place in planted.items() if secret in written] == []
    assert written.count("<redacted>") > 5 * 100
    for kept in ("@db:5432/x", "export DB_PASS=", "run --lr 3", "X-Api-Key: "):
        assert kept in written
    assert len(json.loads(written.partition("\n}\n{")[0] + "}")["environment"]["argv"]) == 22


def left_out(path: Path, why: str) -> str:
    """How a patch names a file that it doesn't hold, but for its size."""
    name, sha256 = re.escape(path.name), entry(path)["sha256"]
    return rf"{name} \({why}; [\d.,]+ (bytes|KiB), sha256 {sha256}\)"


def test_a_patch_holds_no_file_with_secrets(leaky: tuple[Repo, dict[str, str], str]) -> None:
    """Such files are named, with their sizes and hashes; what is there is whole."""
    repo, _, _ = leaky
    module = read(repo.path / "out" / "work_record.json")["tracked_module"]
    told = module["git_patch_omitted"]
    assert told.startswith("left out: ")
    for name in ("settings.env", "source.py", "untracked.py"):
        assert re.search(left_out(repo.path / name, "what looks like a secret"), told)
    assert (
        module["git_patch"]
        == repo.git("diff", "--full-index", "HEAD", "--", "plain.txt").splitlines()
    )


PATCHED = {  # lines of a dirty file, its name, and whether it is left out for them
    "a literal": ("x.py", 'password = "hunter2"', True),
    "an argument": ("x.py", 'f(1, password="hunter2", lr=1)', True),
    "a default": ("x.py", 'api_key = os.getenv("API_KEY", "hunter2")', True),
    "within a text": ("x.py", "dsn = 'host=db password=hunter2'", True),
    "a bare key": ("x.py", "# password: hunter2hunter2hunter2", True),
    "a setting": ("x.yaml", "password: hunter2", True),
    "a variable of a shell": ("x.sh", "export API_KEY=hunter2", True),
    "a key": ("x.py", 'K = """-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----"""', True),
    "a block": ("x.py", 'credentials = {\n    "user": "ada",\n    "key": "hunter2",\n}', True),
    "an expression": ("x.py", "connect(password=args.password)", False),
    "a variable": ("x.py", 'api_key = os.environ["API_KEY"]', False),
    "a question": ("x.py", 'password = getpass.getpass("Password: ")', False),
    "a signature": ("x.py", "def login(user: str, password: str | None = None) -> None:", False),
    "a dictionary": ("x.py", 'config = {"password": args.password, "lr": 1}', False),
    "a comparison": ("x.py", "if secret == other.secret:", False),
    "training": ("x.py", 'tokens = tokenizer(text, return_tensors="pt", max_length=512)', False),
    "keys": ("x.py", "for key, value in sorted(state.items(), key=lambda item: item[0]):", False),
    "an honest setting": ("x.yaml", "tokenizer: bert-base-uncased  # max_tokens: 512", False),
}  # fmt: skip


@pytest.mark.parametrize("side", ["new", "old", "around"])
@pytest.mark.parametrize(("name", "text", "is_left_out"), PATCHED.values(), ids=PATCHED)
@pytest.mark.slow
def test_secrets_in_a_patch(repo: Repo, name: str, text: str, is_left_out: bool, side: str) -> None:
    """A file with a literal one is left out, on whichever side; code that says where one is stays."""
    path = repo.write(name, "a\n" + f"{text}\n" * (side != "new"))
    repo.write("work.py", "from pycrumbs import tracked\n" + WORK)
    repo.commit()
    path.write_text("a\n" + f"{text}\n" * (side != "old") + "b\n")
    state = run_here(repo)
    if is_left_out:
        told = f"left out: {left_out(path, 'what looks like a secret')}"
        assert re.fullmatch(told, state["git_patch_omitted"])
        assert "git_patch" not in state
        assert "hunter2" not in json.dumps(state)
    else:
        assert "git_patch_omitted" not in state
        assert state["git_patch"] == repo.git("diff", "--full-index", "HEAD").splitlines()


def test_a_patch_holds_no_file_that_is_not_utf8(repo: Repo) -> None:
    """It would go into the record in a form in which nobody sees what is in it."""
    repo.write("work.py", "from pycrumbs import tracked\n" + WORK)
    (path := repo.path / "latin.ini").write_bytes(b"a\n")
    repo.write("plain.ini", "a\n")
    repo.commit()
    path.write_bytes(b"\xe9\npassword = hunter2\n")
    repo.write("plain.ini", "b\n")
    state = run_here(repo)
    assert (
        state["git_patch"]
        == repo.git("diff", "--full-index", "HEAD", "--", "plain.ini").splitlines()
    )
    assert re.fullmatch(f"left out: {left_out(path, 'not UTF-8')}", state["git_patch_omitted"])


# ------------------------------------------------------------------------------
# Faults: names and links that lead elsewhere
# ------------------------------------------------------------------------------

# Names of a subdirectory: which are refused on POSIX, and which on Windows.
HOSTILE_NAMES = {
    "..": "both", ".": "both", "": "both", "/": "both", "//": "both", "./": "both", "/etc": "both",
    "../x": "both", "a/..": "both", "a/../..": "both", "a/../../x": "both", "./..": "both",
    "a//../..": "both", "a\0b": "both", "\0": "both", "a/./..": "both", "//server/share": "both",
    "a": "none", "a/b": "none", "a/./b": "none", "a//b": "none", "a/": "none", "...a": "none",
    "..a": "none", "a..": "windows", "...": "windows", "~": "none", "~root": "none", "-rf": "none",
    "a b": "none", "$HOME": "none", "%TEMP%": "none", "a;b": "none", "`id`": "none", "caf\xe9": "none",
    "a\nb": "none", "\x1b[31m": "none", "\u202eexe": "none", "con": "windows", "NUL": "windows",
    "nul.txt": "windows", "a/AUX": "windows", "com1": "windows", "COM\xb9": "windows",
    "LPT9.tar.gz": "windows", "CONIN$": "windows", "console": "none", "nullable": "none",
    "..\\x": "windows", "a\\..\\..": "windows", "\\": "windows", "\\etc": "windows", "C:": "windows",
    "C:x": "windows", "C:\\x": "windows", "C:/x": "windows", "a:b": "windows", "a/b:c": "windows",
    "\\\\server\\share": "windows", "\\\\?\\C:\\x": "windows", "\\\\.\\PhysicalDrive0": "windows",
    ".. ": "windows", ". .": "windows", "a/.. ./x": "windows", "a ": "windows", "a.": "windows",
    " ": "windows", "NUL ": "windows", "nul .txt": "windows",
}  # fmt: skip


@pytest.mark.parametrize(("name", "refused"), HOSTILE_NAMES.items(), ids=map(repr, HOSTILE_NAMES))
def test_names_of_a_subdirectory(out: Path, name: str, refused: str) -> None:
    """Either the name is refused, or the record is written inside the directory."""

    @tracked(
        literal_directory=out, subdirectory_name_parameter="name", create_parents=True,
        disable_git_tracking=True,
    )  # fmt: skip
    def work(name: str) -> None:
        pass

    if refused == "both":
        with pytest.raises(ValueError, match="must name a folder inside the directory"):
            work(name)
        assert not list(out.rglob("*"))
    else:
        work(name)
        assert len(list(out.rglob("work_record.json"))) == 1
    assert {path.name for path in out.parent.iterdir()} <= {"out"}


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder that everybody may write in, as /tmp, in which another user has placed links."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (tmp_path / "elsewhere").mkdir()
    for name in ("out", "record.json", ".record.json.lock"):
        place(shared / name, tmp_path / "elsewhere", 65534)
    return shared


def place(link: Path, target: Path, user: int) -> None:
    link.symlink_to(target)
    os.chown(link, user, user, follow_symlinks=False)


LINKED = {  # a directory, and options
    "the directory": ("out", {}), "of a chain": ("out", {"chain_records": True}),
    "above it": ("out/below", {"create_parents": True}), "the record": ("", {}),
    "far above it": ("out/below/it", {"create_parents": True}), "the lock": ("", {"chain_records": True}),
}  # fmt: skip


@pytest.mark.integration
@pytest.mark.parametrize(("directory", "options"), LINKED.values(), ids=LINKED)
def test_links_that_another_user_has_placed(shared: Path, directory: str, options: Any) -> None:
    """They are refused before anything is written, be it only a folder."""

    @tracked(literal_directory=shared / directory, disable_git_tracking=True,
             record_filename="record", **options)  # fmt: skip
    def work() -> None:
        raise AssertionError("the function ran")

    # Linux itself refuses the lock; in a folder like /tmp that can be so for all.
    told = r"another user has placed the link|is a link|Permission denied"
    with pytest.raises(OSError, match=told):
        work()
    assert not list((shared.parent / "elsewhere").iterdir())
    assert len(list(shared.iterdir())) == 3


@pytest.mark.parametrize("name", ["link", "link/new", "there/back", "there/back/new"])
def test_a_subdirectory_that_leads_out_through_a_link(out: Path, name: str) -> None:
    """It is refused before the function runs, and nothing is made there."""
    (elsewhere := out.parent / "elsewhere").mkdir()
    (out / "there").mkdir(parents=True)
    (out / "link").symlink_to(elsewhere)
    (out / "there/back").symlink_to("../../elsewhere")

    @quick(literal_directory=out, subdirectory_name_parameter="name", create_parents=True)
    def work(name: str) -> None:
        raise AssertionError("the function ran")

    with pytest.raises((OSError, ValueError), match="link"):
        work(name)
    assert not list(elsewhere.iterdir())


@pytest.mark.integration
@pytest.mark.parametrize("user", [0, 65534], ids=["root's", "the folder's owner's"])
def test_links_that_may_lead_on(tmp_path: Path, user: int) -> None:
    """Links of root, and in a folder of their owner's, are what whole clusters are made of."""
    home, disk = tmp_path / "home", tmp_path / "disk"
    for folder in (home, disk):
        folder.mkdir()
        os.chown(folder, user, user)
    place(home / "data", Path("../disk"), user)
    place(home / "there", home / "data" / ".", user)

    @tracked(literal_directory=home / "there" / "out", disable_git_tracking=True)
    def work() -> None:
        pass

    work()
    assert read(disk / "out")["status"] == "completed"


def test_our_own_links_lead_on(tmp_path: Path) -> None:
    """A directory that the user reaches by links, relative and absolute, is a directory."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "one").symlink_to("disk")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    (tmp_path / "loop").symlink_to("loop")

    @tracked(directory_parameter="out", disable_git_tracking=True, create_parents=True)
    def work(out: Path) -> None:
        pass

    work(tmp_path / "two" / "out")
    assert read(tmp_path / "disk" / "out")["status"] == "completed"
    work(tmp_path / "two")
    assert read(tmp_path / "disk")["status"] == "completed"
    with pytest.raises(OSError, match="loop"):
        work(tmp_path / "loop" / "out")


@pytest.mark.integration
def test_folders_that_cannot_be_listed(tmp_path: Path) -> None:
    """To write in a folder, and below it, the right to enter it is all that's needed."""
    code = """
        assert not os.system("mount -t tmpfs tmpfs /mnt && mkdir -p /mnt/a/b && chmod 333 /mnt/a/b")
        os.chmod("/mnt/a", 0o311)
        @tracked(literal_directory="/mnt/a/b", **QUIET)
        def work():
            pass
        warm_up()
        os.setuid(65534)
        work()
        assert os.path.exists("/mnt/a/b/work_record.json")
    """
    run_unshared(tmp_path, code)


# ------------------------------------------------------------------------------
# Faults: hostile records
# ------------------------------------------------------------------------------

# R is the hostile record, P a harmless one, M a file that both claim to have made, D their folder.
READING = """
    show R|show --json R|show --patch R|show --requirements R|show --checksums R|show M|log D
    log --json D|diff R P|diff P R|diff --json R P|verify R|verify --json D|trace M|trace --json M
    trace --dot M|trace --root D M|rerun R
"""
STANDS_FOR = {"R": "d/r.json", "P": "d/p.json", "Q": "d/q.json", "M": "d/model.pt", "D": "d"}
READING_LINES = re.findall(r"[^|\s][^|\n]*", READING)


class Screen(io.StringIO):
    """A terminal: what is exact for other programs is escaped there."""

    def isatty(self) -> bool:
        return True


def complain(line: str) -> str:
    """Run a command as on a terminal; what is wrong with how it ends, '' if nothing."""
    out, err = Screen(), io.StringIO()
    words = [STANDS_FOR.get(word, word) for word in line.split()]
    to_out, to_err = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    try:
        with to_out, to_err, warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            status = pycrumbs.main(words)
    except BaseException:
        return f"{line}: {traceback.format_exc()}"
    err.writelines(f"{warning.message}\n" for warning in warned)
    return judge_ending(line, status, out.getvalue(), err.getvalue())


def judge_ending(line: str, status: int, out: str, err: str) -> str:
    """What is wrong with how a command ended: 0 or 1, or 2 and a line that says why."""
    *others, last = err.splitlines(keepends=True) or [""]
    if status == 2:
        # verify tells of the others, too
        is_fine = re.fullmatch(r"pycrumbs: [^\n]+\n", last) and (not out or "left out" in last)
    else:
        others.append(last)
        is_fine = status in (0, 1)
    if "rerun" not in line:  # which says more first, to whoever is to consent
        is_fine = is_fine and not re.sub(r"pycrumbs: [^\n]+; left out\n", "", "".join(others))
    raw = {hex(ord(character)) for character in FORBIDDEN.findall(out + err)}
    wrong = (not is_fine) * f"status {status}, {err[:500]!r}" + bool(raw) * f"raw {raw}"
    return wrong and f"{line}: {wrong}"


RECORDING = """
    import pathlib, sys
    from pycrumbs import tracked
    @tracked(directory_parameter="out", seed_parameter="seed", input_parameters=["data"],
             create_parents=True, chain_records="chained" in sys.argv)
    def main(out, data, path=pathlib.Path("x"), share=0.5, layers=(64, {"drop": 0.1}), seed=None):
        pathlib.Path(out, "model.pt").write_text("x")
        assert "failed" not in sys.argv, "it failed"
        return {"loss": share}
    with open("data.txt", "a" if "dirty" in sys.argv else "r") as file:
        "dirty" in sys.argv and file.write("# dirty")
    try:
        main("out/" + sys.argv[1], "data.txt")
    except AssertionError:
        pass
"""


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What record files hold: of a plain run, a dirty one, chained, one that failed, and 0.4's."""
    repo = Repo(tmp_path_factory.mktemp("recorded") / "repo")
    repo.write("main.py", RECORDING)
    repo.write("data.txt", "1\n")
    repo.write(".gitignore", "out")
    repo.commit()
    texts = {"0.4": RECORD_0_4}
    for kind in ("plain", "failed", "dirty", "chained", "chained"):
        repo.run("main.py", kind)
        texts[kind] = next((repo.path / "out" / kind).glob("*.json")).read_text()
    return texts


@pytest.fixture
def feed(recorded: dict[str, str], tmp_path: Path, monkeypatch: Patch) -> Feed:
    """A function that has commands read a record, and tells what they do wrong, execute or write."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "p.json").write_text(recorded["plain"])
    (tmp_path / "d" / "model.pt").write_text("x")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary(tmp_path)))
    for name, value in {**PLAIN_OUTPUT, "NO_COLOR": "1", "COLUMNS": "4000"}.items():
        monkeypatch.setenv(name, value)
    ran: list[Any] = []

    class Popen(subprocess.Popen[Any]):
        def __init__(self, command: Any, *arguments: Any, **options: Any) -> None:
            super().__init__(command, *arguments, **options)
            ran.extend([command] if os.path.basename(command[0]) not in GIT_AND_PROBES else [])

    monkeypatch.setattr(subprocess, "Popen", Popen)
    monkeypatch.setattr(os, "system", ran.append)

    def call(text: str | bytes, lines: Sequence[str] = READING_LINES) -> list[str]:
        Path("d/r.json").write_bytes(text if isinstance(text, bytes) else text.encode())
        before = list_all(tmp_path)
        wrong = [*filter(None, map(complain, lines)), *(f"executed {command}" for command in ran)]
        return wrong + [f"changed {path}" for path, _ in before ^ list_all(tmp_path)]

    return call


GIT_AND_PROBES = ("git", "nvidia-smi")


def list_all(folder: Path) -> set[tuple[str, Any]]:
    """All there is below a folder, with what tells whether it was changed."""
    found = [*folder.rglob("*"), folder]
    return {(str(p), (s.st_mode, s.st_size, s.st_mtime_ns)) for p in found for s in [p.lstat()]}


ODD: list[Any] = [
    None, True, 0, -1, 7, 10**4000, -(10**4000), 1e308, -0.0, float("nan"), float("inf"), "", "x", "\0",
    "\ud800", "\udc80", "a/\udfff", NASTY, "/", "..", "../" * 50 + "etc/passwd", "/a" * 3000, "-x", "a\nb",
    "--upload-pack=touch x", "/dev/zero", "/proc/self/mem", "/proc/self/pagemap", "9999-12-31T23:59:59",
    "0001-01-01", "running", "set[", "(", "(a+)+$", "<(: >", "os.system", "builtins.eval", "{x", "\\",
    "'\\\x1b'", "diff --git a/x b/x", 'diff --git "a/\udc80" "b/\udc80"', "0" * 40, "é漢\U0001f600" * 99,
    [], [[]], [None] * 9, ["/a", {"b": NASTY}], {}, {"": {"": None}}, {"path": "x", "size": -(10**4000)},
    [{"path": "/proc/self/pagemap", "size": 0, "sha256": "0" * 64}], {"name": 5, "x": [1e400]},
]  # fmt: skip


def put(record: Any, changes: dict[str, Any]) -> Any:
    """A copy of a record with other values under dotted names."""
    return change(record, **{name.replace(".", "__"): value for name, value in changes.items()})


def fill_with(value: Any, odd: Any, depth: int) -> Any:
    """A record in which everything at that depth, or every text and number, is something odd."""
    if isinstance(value, dict) and depth:
        return {k: v if k == "pycrumbs" else fill_with(v, odd, depth - 1) for k, v in value.items()}
    if isinstance(value, list) and depth:
        return [fill_with(item, odd, depth - 1) for item in value]
    return odd


@pytest.mark.slow
def test_any_value_of_any_type_can_be_read(feed: Feed) -> None:
    """Whatever stands anywhere in a record, every command reads it, or says why not."""
    number = itertools.count()
    for *parents, key in paths_into(FULL):
        for value in (None, -0.5, True, "x", [], [None], {}, {"": None}):
            record = put(FULL, {})
            pick(record, parents)[key] = value
            lines = READING_LINES[next(number) % 8 :: 8]
            assert feed(json.dumps(record), lines) == [], (*parents, key, value)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(ODD)))
def test_a_record_that_is_odd_throughout(recorded: dict[str, str], feed: Feed, number: int) -> None:
    """The same odd value in all places at once, or in all of one level."""
    for depth in (1, 2, 3, 99):
        record = fill_with(put(FULL, {}), ODD[number], depth)
        assert feed(json.dumps({"pycrumbs": "1", "called_function": 1, **record})) == []
    record = json.loads(recorded["plain"])
    for path in ("parameters", "parameter_types", "qualname", "module", "directory"):
        value = {"data": ODD[number], "x": ODD[number]} if path.startswith("param") else ODD[number]
        assert feed(json.dumps(put(record, {f"{CALL}.{path}": value})), ["rerun R"]) == []


REAL = f"{CODE}.git_working_dir"
CLASSES = {
    "os.system": ["touch x"], "builtins.eval": "1", "builtins.exec": {"x": 1}, "posix.system": "touch x",
    "subprocess.Popen": {"args": ["touch", "x"]}, "importlib.import_module": "x", "m.(a+)+$": "<aaa: b>",
    "m.[": "<[.x: 1>", "set[" * 1000: [1], "decimal.Decimal": "'\\\x1b'", "pathlib.PosixPath": "P(" * 2000,
    "bytes": "-" * 4000 + "1", "uuid.UUID": "\ud800", "complex": "1" * 5000,
}  # fmt: skip
CRAFTED: dict[str, dict[str, Any] | str | bytes] = {  # changes of a record, or all that a file holds
    **{f"a class {kind[:30]}": {f"{CALL}.parameters.data": value, f"{CALL}.parameter_types.data": kind}
       for kind, value in CLASSES.items()},
    **{f"commit {text}": {f"{CODE}.git_commit_hash": text}
       for text in ("--upload-pack=touch x", "HEAD", "-h", "0" * 40 + "\n", "a" * 41, "\0" * 40)},
    **{f"a name like {name!r}"[:40]: {"package_inventory": {name: "1.0"}, "package_origins": {name: {
            "url": f"x{name}", "editable": True, "git_remotes": {"origin": f"/{name}"},
            "git_commit_hash": "a" * 40, "git_working_dir": f"/{name}"}}}
       for name in ("--index-url=http://x", "a\n-r x", "a @ http://x", "a#\r\n-e .", "\ud800", "-e ..")},
    **{f"a version like {text!r}"[:40]: {"package_inventory": {"a": text}}
       for text in ("1\n--index-url=http://x", "1 -r x", "1\\", "1;", "${HOME}", "1" * 99_999, "1.1" * 9999)},
    **{f"seen at {text}": {"timing": {"start_time": text, "end_time": text, "run_time": text}}
       for text in ("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "1e400", "2026-02-30")},
    **{f"a file {path}"[:40]: {"inputs": [{"path": path, "size": 5, "sha256": "0" * 64}] * 9, "outputs": [
            {"path": path, "size": 0, "sha256": "0" * 64}, {"path": "model.pt", "size": 1, "sha256": "a\nb"}]}
       for path in ("/dev/zero", "/proc/self/mem", "/proc/self/pagemap", "pipe", "loop", "sparse", ".", "/",
                    "../" * 99 + "etc/passwd", "x\0y", "a\n" + "b" * 64 + "  /etc/passwd", "/" + "a/" * 9999)},
    **{f"a patch {name}": {f"{CODE}.git_patch": lines} for name, lines in {
        "of two names": ["diff --git a/x" + " b/x" * 20_000 + "y"], "of dots": ["diff --git a/x b/x", "index " + "." * 99_999],
        "with a half": ['diff --git "a/\udc80" "b/\udc80"'], "of escapes": ['diff --git "a/\\1" "b/\\1"'],
        "of links": link("x", "../y", "120000") * 99, "of newlines": ["\n" * 9999, "diff --git a/../x b/../x"]}.items()},
    "a code folder that is odd": {REAL: "/proc/self/root/" * 9, f"{CODE}.module_path": "/proc/self/root/x"},
    "a process of ours": {"status": "running", "environment.hostname": platform.node(), "environment.process": {
        **get_environment_info()["process"], "pid": -1, "start_time": [NASTY]}},
    "a rank": {"environment.rank": {"rank": NASTY, "world_size": [NASTY] * 99}},
    "a seed": {"seed": "9" * 4000}, "flags": {"environment.orig_argv": ["-c", "x", "-X", "-W", "-m", "os;x", NASTY]},
    "a cycle": {"inputs": [{"path": "model.pt", "size": 1, "sha256": hashlib.sha256(b"x").hexdigest()}] * 9},
    "many graphics cards": {"environment.gpus": [{"name": f"{n}"} for n in range(30_000)]},
    "wide arguments": {f"{CALL}.parameters": {f"{n}": "漢" * 400 for n in range(900)}},
    "one key twice": '{"pycrumbs": "1", "called_function": 1, "called_function": {"name": [], "name": {}}}',
    "no list": "[]", "lists in a list": "[[[]], [{}]]", "a number": "1e999", "a huge number": "9" * 9999,
    "nothing": b"", "zeros": b"\0" * 9999, "UTF-16": '{"pycrumbs": "1", "called_function": 1}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"pycrumbs": "1", "called_function": 1}', "no UTF-8": b'{"pycrumbs": "\xff"}',
    "a constant": '{"pycrumbs": "1", "called_function": NaN, "inputs": -Infinity, "seed": Infinity}',
    "half a record": '{"pycrumbs": "1", "called_function": {"name": "', "brackets": "[" * 10**6, "braces": '{"":' * 10**6,
}  # fmt: skip


@pytest.mark.parametrize("name", CRAFTED)
@pytest.mark.slow
def test_a_crafted_record(recorded: dict[str, str], feed: Feed, name: str) -> None:
    """Every command ends well, at once, and does nothing but tell."""
    os.mkfifo("d/pipe")
    os.symlink("loop", "d/loop")
    os.truncate(os.open("d/sparse", os.O_CREAT | os.O_WRONLY), 2**42)
    made = CRAFTED[name]
    record = json.loads(recorded["plain"])
    assert feed(json.dumps(put(record, made)) if isinstance(made, dict) else made) == []


@pytest.mark.parametrize("path", ["/proc/self/pagemap", "/dev/zero", "pipe", "loop", "d", "sparse"])
def test_a_record_file_that_is_none(feed: Feed, path: str) -> None:
    """Where a link leads that bears a record's name is looked at before it is read."""
    os.mkfifo("pipe")
    os.symlink("loop", "loop")
    os.truncate(os.open("sparse", os.O_CREAT | os.O_WRONLY), 2**42)
    os.symlink(os.path.abspath(path), "d/l.json")
    assert (
        feed("", ["show d/l.json", "log D", "verify D", "trace --root D M", "rerun d/l.json"]) == []
    )


@pytest.mark.slow
def test_a_repository_that_never_answers(
    recorded: dict[str, str], feed: Feed, tmp_path: Path
) -> None:
    """A git that hangs gets 4 seconds for a look at what a record names."""
    (tmp_path / "d" / ".git").mkdir()
    os.mkfifo("d/.git/HEAD")
    code = {REAL: str(tmp_path / "d"), f"{CODE}.module_path": str(tmp_path / "d" / "main.py")}
    text, start = json.dumps(put(json.loads(recorded["plain"]), code)), time.monotonic()
    assert feed(text, ["diff P R", "rerun R"]) == []
    assert time.monotonic() - start < 8


@pytest.mark.parametrize("text", ['{"uuid": "1", "called_function": {}}', '{"uuid": "1"'])
def test_reading_leaves_the_garbage_collector_as_it_was(tmp_path: Path, text: str) -> None:
    """It may be off only while JSON is parsed, also when that fails."""
    (tmp_path / "x_record.json").write_text(text)
    with contextlib.suppress(pycrumbs.RecordError):
        pycrumbs.load_records(tmp_path / "x_record.json")
    assert gc.isenabled()


def test_files_that_do_not_tell_their_size(tmp_path: Path) -> None:
    """Below /proc lie files of size 0, some of them without an end: as much of them is read."""
    os.symlink("/proc/self/oom_score", tmp_path / "l.json")
    with pytest.raises(pycrumbs.RecordError, match="Expecting value"):  # not the number in it
        pycrumbs.find_record(tmp_path / "l.json")


def pick(record: Any, path: Sequence[Any]) -> Any:
    """What stands at a path into a record."""
    return functools.reduce(lambda place, name: place[name], path, record)


def mutate(text: str, others: Sequence[str], dice: random.Random) -> bytes:
    """A record file's text with a few things changed: values, names, places; or some of its bytes."""
    if dice.random() < 0.3:
        data, at, to = text.encode(), dice.randrange(len(text)), dice.randrange(99)
        new: str = dice.choice(
            [*'"\\[{,\0\x1b]', "1e999", "null", dice.choice(others)[at : at + 99]]
        )
        return data[:at] + dice.choice([b"", new.encode() + data[at + to * dice.randrange(2) :]])
    record = json.loads(text)
    for _ in range(dice.randrange(1, 4)):
        found = [*paths_into(record)]
        (*parents, key), (*theirs, other) = dice.choice(found), dice.choice(found)
        place, there = pick(record, parents), pick(record, theirs)
        kind = dice.randrange(5)
        if kind < 2:
            place[key] = json.loads(json.dumps(dice.choice(ODD)))
        elif kind == 2:
            del place[key]
        elif kind == 3:
            place[key] = json.loads(json.dumps(there[other]))
        elif isinstance(place, list):
            place.append(place[key])
        else:
            place[dice.choice(("", "path", "size", "sha256", "\ud800", NASTY))] = place.pop(key)
    return json.dumps(record).encode()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "dirty", "chained", "failed", "0.4"])
def test_mutated_records(recorded: dict[str, str], feed: Feed, kind: str) -> None:
    """400 changed records of each kind, each read by 5 of the commands, drawn anew."""
    for seed in range(400):
        dice = random.Random(f"{kind} {seed}")
        text = mutate(recorded[kind], [*recorded.values()], dice)
        lines = dice.sample(READING_LINES, 5)
        assert feed(text, lines) == [], f"{kind} {seed}: {text!r}"


@pytest.mark.slow
@pytest.mark.parametrize("setup", [setup for setup, _ in SLOTS.values()], ids=SLOTS)
def test_programs_of_a_repository_that_a_record_names(
    repo: Repo, recorded: dict[str, str], feed: Feed, tmp_path: Path, setup: str
) -> None:
    """Reading a record runs no program of the repository that it says it is from."""
    (tmp_path / "hostile").mkdir()
    hostile = Hostile(repo, tmp_path / "hostile")
    for line in setup.split("; "):
        hostile.obey(line)
    hostile.age()
    code = {REAL: str(repo.path), f"{CODE}.module_path": str(repo.path / "work.py")}
    commits = [repo.git("rev-parse", "HEAD"), "a" * 40]
    for index, commit in enumerate(commits):
        record = put(json.loads(recorded["plain"]), {**code, f"{CODE}.git_commit_hash": commit})
        paths = (f"{repo.path}/lost.txt", f"{repo.path}/\ud800")
        record["inputs"] = [{"path": path, "size": 1, "sha256": "0" * 64} for path in paths]
        with contextlib.ExitStack() as stack:
            for name, value in hostile.environment.items():
                stack.enter_context(mock.patch.dict(os.environ, {name: value.strip("'")}))
            assert feed(json.dumps(record)) == [], index
    assert not hostile.canary.exists(), hostile.canary.read_text()


# ------------------------------------------------------------------------------
# The README
# ------------------------------------------------------------------------------


README = (HERE / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The README's code blocks of one language."""
    return re.findall(rf"(?m)^```{language}\n(.*?)^```$", README, re.DOTALL)


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python_blocks_of_the_readme_run(repo: Repo, number: int) -> None:
    """Each Python block runs as a script of its own, in a git repository."""
    repo.write("block.py", "")
    (repo.path / "block.py").write_text(blocks("python")[number], encoding="utf-8")
    repo.run("block.py")


def test_shell_blocks_of_the_readme_run(repo: Repo) -> None:
    """All but the tests' own command, in a clone with a vendored copy and the first example's run."""
    shutil.copytree(HERE / ".ci", repo.path / ".ci")
    for copy in ("pycrumbs.py", "mypkg/pycrumbs.py"):
        shutil.copy(HERE / "pycrumbs.py", repo.write(copy))
    repo.write("train.py")
    repo.commit()
    (repo.path / "train.py").write_text(blocks("python")[0], encoding="utf-8")
    repo.run("train.py")
    repo.git("checkout", "train.py")
    python = shlex.quote(sys.executable)
    shell = f'python() {{ {python} "$@"; }}; python3() {{ {python} "$@"; }}\n'
    commands = [block for block in blocks("bash") if "pytest" not in block]
    for block in reversed(commands):  # the first one makes another record in the same place
        subprocess.run(
            ["bash", "-euo", "pipefail", "-c", shell + block],
            cwd=repo.path,
            env=clean_environment(),
            check=True,
        )
    assert (repo.path / "train.py").read_text(encoding="utf-8") == blocks("python")[0]
    assert list((repo.path / "mypkg/__pycache__").glob("pycrumbs.*.pyc"))


@pytest.mark.integration
def test_settings_of_the_readme_satisfy_mypy(tmp_path: Path, repo: Repo) -> None:
    """With them mypy finds no fault with a vendored copy, and knows its types."""
    shutil.copy(HERE / "pycrumbs.py", repo.write("mypkg/pycrumbs.py"))
    (settings,) = blocks("toml")
    (repo.path / "pyproject.toml").write_text(settings, encoding="utf-8")
    repo.write("mypkg/__init__.py")
    repo.write("mypkg/use.py", "from .pycrumbs import seed_tasks\nreveal_type(seed_tasks)\n")
    shown = run_python("-m", "mypy", "--strict", "-p", "mypkg", cwd=repo.path).stdout
    assert "-> builtins.int" in shown or "-> int" in shown


def test_readme_begins_with_code_and_the_record_it_leaves(repo: Repo) -> None:
    """The first 40 lines hold the example and its record, whose keys are those of a real one."""
    start = "\n".join(README.splitlines()[:40])
    (shown,) = blocks("json")
    assert "@tracked(" in start
    assert shown in start
    (repo.path / "train.py").write_text(blocks("python")[0], encoding="utf-8")
    repo.commit()
    repo.run("train.py")
    record = read(repo.path / "runs/first")

    def compare(shown: Any, real: Any, path: str) -> None:
        for key, value in shown.items() if isinstance(shown, dict) else ():
            assert "package_inventory" in path or key in real, f"{path}.{key}"
            if path != ".package_inventory":
                compare(value, real[key], f"{path}.{key}")

    compare(json.loads(shown), record, "")
    assert list(json.loads(shown)) == [key for key in record if key in json.loads(shown)]


def test_readme_names_every_option_and_command() -> None:
    """Options, record keys, commands and public functions that exist are described, and no others."""
    import inspect

    table = README.partition("| option |")[2].partition("\n\n")[0]
    names = re.findall(r"(?m)^\| (`.*?) \|", table)
    parameters = inspect.signature(tracked).parameters.values()
    options = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    assert re.findall(r"`(\w+)`", " ".join(names)) == options
    for name in pycrumbs.__all__:
        assert name in README or name == "RecordError", name
    for command in ("run", "show", "log", "diff", "verify", "trace", "rerun"):
        assert f"| `pycrumbs {command} " in README
