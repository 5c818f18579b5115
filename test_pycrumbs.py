"""Tests of pycrumbs, through its front door: decorated functions, records, the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import pycrumbs
from pycrumbs import tracked

HERE = Path(__file__).resolve().parent


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
# ==== END OF HEAD
