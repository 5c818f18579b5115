#!/usr/bin/env python3
"""Benchmarks of pycrumbs, run by hand; no test depends on time.

    python3 .ci/bench.py                    the whole table, a few minutes
    python3 .ci/bench.py --quick            fewer repeats, about three minutes
    python3 .ci/bench.py run-5 git-50k      some rows; --list names them all

What is compared: `ours`, the pycrumbs.py of this checkout (or of --pycrumbs); `0.4`, the original
pycrumbs from PyPI; makeprov and runprov from PyPI; and plain yardsticks such as `git status`,
`sha256sum` or two bare file writes. Each lives in a virtual environment of its own below
${XDG_CACHE_HOME:-~/.cache}/pycrumbs-bench, built at the first run (a few minutes, 2 GB: the `120`
environments hold PyTorch) and kept. On Linux, PyPI's own torch wheel adds CUDA; where a
PIP_EXTRA_INDEX_URL offers a CPU build, pip heeds it, as it does the rest of its configuration.
Without PyPI ours is measured all the same, among made-up packages; a budget that compares it with
what could not be installed says `needs …`.

How to read it:

- A value is the median, with the 10th and 90th percentile in brackets. A ratio divides medians.
- Everything that is compared was measured in turns (A B C A B C …) in this one run, so a machine
  that slows down slows all of them. Absolute numbers don't carry over to another machine; ratios
  mostly do, but a busy second core costs ours more, as it asks several `git` at once.
- "Beyond" a baseline means the difference to its run in the same round, taken pair by pair:
    import     a process that imports the library, beyond one that does nothing
    run-*      a whole process that makes one tracked call, beyond one that calls the plain function
    outputs-8k a call that writes 8,000 small files to memory, beyond the plain function's writing
    big-*      a call with ten million elements, beyond one with three
    hash       a call with large input files, beyond one with a tiny file; from the page cache. Many
               files should gain as much over one as `xargs -P` with sha256sum gains here
- `run-5-source` imports a vendored copy that has no bytecode, with PYTHONDONTWRITEBYTECODE=1; what
  0.4 needs besides its own files has its bytecode.
- `call-*` is a later call in a warm process. `floor` there is what no recorder that survives a
  crash can go below: two atomic writes of the same bytes, the second with an fsync, and the seeding
  calls. 0.4 writes twice in place, without an fsync, and the floor alone can be more than
  all of that, so on disk 0.4 is no budget; `0.4, our writes` is 0.4 with the floor's writes in the
  place of its own. What the recorders cost besides shows in the line `in memory` (/dev/shm).
- `rerun-50k` checks out into memory (/dev/shm) where there is one, as does its `git worktree add`.
- Processes start from a clean environment, with compiled bytecode, after warm-up runs.
- `not there yet` says that this pycrumbs.py has no such option or command.
- The last lines count the budgets that are met, missed, or could not be measured.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import datetime
import fcntl
import hashlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, Callable

CHECKOUT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pycrumbs-bench"
RECIPE = "2"  # raise it to have everything below CACHE built anew

# Environments by name: what pip installs, and how many packages there are in the end.
COMPETITORS = {"0.4": "pycrumbs==0.4.0", "makeprov": "makeprov==0.8.0", "runprov": "runprov==0.9.0"}
SMALL, LARGE = 5, 120
LARGE_STOCK = ["torch==2.13.0", "numpy", "pandas", "matplotlib", "scikit-learn", "jupyterlab"]

FILES_IN_REPOSITORY = 50_000
RECORDS = 10_000
OUTPUTS = 8_000
MODIFIED = 10  # files in the dirty repository
MIB = 2**20

# ------------------------------------------------------------------------------
# Numbers and what is said about them
# ------------------------------------------------------------------------------


class NotThereYet(Exception):
    """This pycrumbs.py lacks the option or command that a row measures."""


class Failed(Exception):
    """Something could not be set up or run; the message says what."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """A limit on our median (`most`), or on its ratio to the other's (`ratio`, `at_least`)."""

    most: float | None = None
    ratio: float | None = None
    at_least: float | None = None

    def describe(self, unit: str) -> str:
        if self.most is not None:
            return "≤ " + format_value(self.most, unit)
        return f"≤ {self.ratio:.3g} ×" if self.ratio is not None else f"≥ {self.at_least:g} ×"

    def holds(self, ours: float, ratio: float | None) -> bool | None:
        if self.most is not None:
            return ours <= self.most
        if ratio is None:
            return None
        return ratio <= self.ratio if self.ratio is not None else ratio >= self.at_least


@dataclasses.dataclass
class Line:
    """One comparison: our samples, another's, and the budget between them."""

    ours: list[float]
    name: str = ""
    other: list[float] = dataclasses.field(default_factory=list)
    budget: Budget | None = None
    unit: str = "s"
    what: str = ""

    @property
    def ratio(self) -> float | None:
        if not self.other or statistics.median(self.other) <= 0:
            return None
        return statistics.median(self.ours) / statistics.median(self.other)

    @property
    def verdict(self) -> str:
        if self.budget is None:
            return "–"
        if statistics.median(self.ours) <= 0:  # a baseline that outweighs what lies beyond it
            return "unclear"
        holds = self.budget.holds(statistics.median(self.ours), self.ratio)
        return {True: "met", False: "MISSED", None: f"needs {self.name}"}[holds]


def percentile(samples: list[float], share: float) -> float:
    ordered = sorted(samples)
    position = share * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def format_value(value: float, unit: str) -> str:
    if unit != "s":
        return f"{value:.0f} {unit}" if abs(value) >= 10 else f"{value:.2g} {unit}"
    for scale, name in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if abs(value) * scale >= 1 or name == "µs":
            break
    return f"{value * scale:.{max(0, 3 - len(str(int(abs(value * scale)))))}f} {name}"


def format_samples(samples: list[float], unit: str) -> str:
    low, high = (format_value(percentile(samples, share), unit) for share in (0.1, 0.9))
    return f"{format_value(statistics.median(samples), unit)} ({low} – {high})"


def beyond(samples: list[float], baseline: list[float]) -> list[float]:
    return [sample - base for sample, base in zip(samples, baseline)]


# ------------------------------------------------------------------------------
# Processes
# ------------------------------------------------------------------------------

Finished = collections.namedtuple("Finished", "seconds rss_mb returncode output errors")


def clean_environment(home: Path) -> dict[str, str]:
    """Nothing of the caller's: no PYTHON* variables, no git configuration, no scheduler's."""
    git_folder = str(Path(shutil.which("git") or "/usr/bin/git").parent)
    return {
        "PATH": os.pathsep.join([git_folder, "/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "USER": "bench",
    }


def spawn(argv: list[Any], cwd: Path, environ: dict[str, str]) -> Finished:
    """Run a process and time it from its creation to its end, output going to files."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        streams = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": errors}
        process = subprocess.Popen([str(part) for part in argv], cwd=cwd, env=environ, **streams)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        exited = os.WIFEXITED(status)
        process.returncode = os.WEXITSTATUS(status) if exited else -os.WTERMSIG(status)
        rss = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
        output.seek(0), errors.seek(0)
        texts = [stream.read().decode("utf-8", "replace") for stream in (output, errors)]
        return Finished(seconds, rss, process.returncode, *texts)


def last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no output"])[-1][:150]


def checked(finished: Finished, what: str) -> Finished:
    if finished.returncode:
        raise Failed(
            f"{what} ended with {finished.returncode}: "
            + last_line(finished.errors or finished.output)
        )
    return finished


def in_turns(
    measures: dict[str, Callable[[], Any]], rounds: int, warmups: int = 1
) -> dict[str, list[Any]]:
    """What each measure gave, called once per round in an order that turns; [] for any other."""
    results: dict[str, list[Any]] = collections.defaultdict(list)
    names = list(measures)
    for number in range(-warmups, rounds):
        for name in names:
            result = measures[name]()
            if number >= 0:
                results[name].append(result)
        names.append(names.pop(0))
    return results


# ------------------------------------------------------------------------------
# Environments: one per competitor and size, kept in the cache
# ------------------------------------------------------------------------------


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def key_of(*parts: Any) -> str:
    facts = [RECIPE, sys.version, os.path.realpath(sys.executable), *parts]
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:12]


def kept(name: str, key: str, build: Callable[[Path], None]) -> Path:
    """The folder of this name and key in the cache, built when it isn't there whole."""
    folder = CACHE / f"{name}-{key}"
    done = folder / ".complete"
    if not done.exists():
        say(f"setting up {name} …")
        shutil.rmtree(folder, ignore_errors=True)
        for stale in CACHE.glob(f"{name}-" + "?" * len(key)):
            shutil.rmtree(stale)
        folder.mkdir(parents=True)
        build(folder)
        done.touch()
    return folder


def run_setup(*argv: Any, cwd: Path | None = None) -> None:
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GIT_"))
    }
    checked(spawn(list(argv), cwd or CACHE, environ), f"`{' '.join(map(str, argv[1:4]))}`")


def python_of(folder: Path) -> Path:
    return folder / "bin" / "python"


def packages_of(folder: Path) -> Path:
    return next(folder.glob("lib/python*/site-packages"))


def pip_install(folder: Path, requirements: list[str]) -> None:
    if requirements:
        options = ["--quiet", "--disable-pip-version-check", "--no-input"]
        options += ["--retries", "1", "--timeout", "15"]  # don't wait long where there is no PyPI
        run_setup(python_of(folder), "-m", "pip", "install", *options, *requirements)


def count_packages(folder: Path) -> int:
    return sum(1 for _ in packages_of(folder).glob("*.dist-info"))


def build_small(requirements: list[str], folder: Path) -> None:
    """pip itself, the requirements with what they need, and made-up packages up to SMALL."""
    run_setup(sys.executable, "-m", "venv", folder)
    pip_install(folder, requirements)
    run_setup(python_of(folder), "-m", "pip", "uninstall", "--quiet", "--yes", "setuptools")
    pad(folder, SMALL)


def build_stock(folder: Path) -> None:
    run_setup(sys.executable, "-m", "venv", folder)
    pip_install(folder, LARGE_STOCK)


@cache
def find_stock() -> Path | None:
    """The environment with LARGE_STOCK; None, after one try, where it can't be had."""
    try:
        return kept("stock-120", key_of(LARGE_STOCK), build_stock)
    except Failed as error:
        say(f"no stock of large packages: {error}")
        return None


def build_large(requirements: list[str], size: int, stock: Path | None, folder: Path) -> None:
    """The stock (hard links), the requirements and their needs, made-up packages up to `size`."""
    run_setup(sys.executable, "-m", "venv", "--without-pip", folder)
    if stock:
        source, target = packages_of(stock), packages_of(folder)
        shutil.copytree(source, target, copy_function=link_or_copy, dirs_exist_ok=True)
    pip_install(folder, requirements)
    pad(folder, size)


def pad(folder: Path, size: int) -> None:
    for number in range(size - count_packages(folder)):
        make_up_package(packages_of(folder), f"bench-padding-{number:03d}")


def link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def make_up_package(packages: Path, name: str) -> None:
    """What a small pure-Python wheel leaves behind, with a description of common length."""
    module = name.replace("-", "_")
    folder = packages / f"{module}-1.2.3.dist-info"
    folder.mkdir()
    header = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2.3\nSummary: Padding\n\n"
    (folder / "METADATA").write_text(header + "A line of a long description, as most have.\n" * 90)
    (folder / "RECORD").write_text(
        f"{module}.py,,\n{folder.name}/METADATA,,\n{folder.name}/RECORD,,\n"
    )
    (folder / "INSTALLER").write_text("pip\n")
    (packages / f"{module}.py").write_text("")


# ------------------------------------------------------------------------------
# The scripts that are measured; each is committed in a small repository
# ------------------------------------------------------------------------------

SCRIPTS = {}

SCRIPTS["plain.py"] = """
def job(seed=None):
    with open("out/data.txt", "w") as file:
        file.write("hello\\n")

job()
"""

SCRIPTS["run_pycrumbs.py"] = """
from pycrumbs import tracked

@tracked(literal_directory="out", seed_parameter="seed")
def job(seed=None):
    with open("out/data.txt", "w") as file:
        file.write("hello\\n")

job()
"""

SCRIPTS["run_makeprov.py"] = """
from makeprov import OutPath, rule

@rule(force=True)
def job(path: OutPath = OutPath("out/data.txt")):
    with open(path, "w") as file:
        file.write("hello\\n")

job()
"""

SCRIPTS["run_runprov.py"] = """
from runprov import Run, configure

def job(path):
    with open(path, "w") as file:
        file.write("hello\\n")

configure(root=".")
with Run("job", {}, provenance="out/job.json") as run:
    job(run.output("out/data.txt"))
"""

# Alternates tracked calls with the floor. Both start from the same bytes: the record as it
# stands while the function runs, and as it stands after.
SCRIPTS["calls.py"] = """
import json, os, random, sys, time
if sys.argv[1] == "loaded":
    import numpy, torch
from pycrumbs import tracked

RECORD = "out/job_record.json"
seen = []

@tracked(literal_directory="out", seed_parameter="seed")
def job(value, seed=None):
    if value == "look":
        seen.append(open(RECORD, "rb").read())
    return value

def write_atomically(path, data, sync):
    temporary = f"{path}.{random.getrandbits(32):x}.tmp"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    os.write(handle, data)
    if sync:
        os.fsync(handle)
    os.close(handle)
    os.replace(temporary, path)

def floor():
    seed = int.from_bytes(os.urandom(4), "little")
    random.seed(seed)
    if "torch" in sys.modules:
        numpy.random.seed(seed)
        torch.manual_seed(seed)
    write_atomically("floor/record.json", seen[0], sync=False)
    write_atomically("floor/record.json", seen[1], sync=True)

def timed(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start

os.makedirs("floor", exist_ok=True)
if sys.argv[3:] == ["our writes"]:
    import pycrumbs.track

    def write_record(path, record, is_last=[True]):
        is_last[0] = not is_last[0]
        path = path.with_name(path.name.replace(".json", "") + ".json")
        write_atomically(path, json.dumps(record, indent=4).encode(), sync=is_last[0])

    pycrumbs.track.write_record = write_record

for _ in range(5):
    job("short")
job("look")
seen.append(open(RECORD, "rb").read())
calls, floors = [], []
for _ in range(int(sys.argv[2])):
    calls.append(timed(job, "short"))
    floors.append(timed(floor))
print(json.dumps({"calls": calls, "floors": floors, "bytes": len(seen[1])}))
"""

SCRIPTS["big.py"] = """
import json, sys, time
from pycrumbs import tracked

@tracked(literal_directory="out", seed_parameter="seed")
def job(data, seed=None):
    return None

def timed(data):
    start = time.perf_counter()
    job(data)
    return time.perf_counter() - start

small, big = [1, 2, 3], list(range(10_000_000))
for _ in range(3):
    job(small)
print(json.dumps([timed(big) - timed(small) for _ in range(int(sys.argv[1]))]))
"""

SCRIPTS["git_info.py"] = """
import json, sys, time
import pycrumbs
sys.path.insert(0, sys.argv[1])
import measured

start = time.perf_counter()
info = pycrumbs.get_git_info(measured, allow_dirty=True)
seconds = time.perf_counter() - start
patch = "\\n".join(info.get("git_patch") or [])
files = patch.count("diff --git ")
print(json.dumps({"seconds": seconds, "dirty": info["git_is_dirty"], "files": files}))
"""

SCRIPTS["hash.py"] = """
import json, sys, time
from pycrumbs import tracked

kind, tiny, large = sys.argv[1:]
options = {"hash_limit": None, "seed_parameter": "seed"}
if kind == "many":
    options["input_parameters"] = ["data"]
try:
    decorate = tracked(literal_directory="out", **options)
except TypeError:
    sys.exit("not there yet")

@decorate
def job(data, seed=None):
    return None

def timed(path):
    start = time.perf_counter()
    job(path)
    return time.perf_counter() - start

base = sorted(timed(tiny) for _ in range(5))[2]
seconds = timed(large) - base
with open("out/job_record.json") as file:
    inputs = json.load(file).get("inputs", [])
hashed = [each for each in inputs if isinstance(each, dict) and each.get("sha256")]
print(json.dumps({"seconds": seconds, "bytes": sum(each["size"] for each in hashed)}))
"""

SCRIPTS["capture.py"] = """
import copy, json, os, sys, time
from pycrumbs import tracked

mode, folder = sys.argv[1:]
try:
    decorate = tracked(literal_directory="out", capture_files=mode == "on")
except TypeError:
    sys.exit("not there yet")
paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
tree = {
    str(n): {"name": f"layer {n}", "sizes": [(i, str(i)) for i in range(30)], "on": {"a": [n]}}
    for n in range(200)
}

@decorate
def opens():
    for path in paths:
        with open(path, "rb") as file:
            file.read()

@decorate
def copies():
    copy.deepcopy(tree)

def timed(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start

opens(), copies()
times = {"opens": [timed(opens) for _ in range(5)], "copies": [timed(copies) for _ in range(10)]}
print(json.dumps(times))
"""

# In one process, in turns: the plain function, the tracked one, and sha256sum of what it left.
SCRIPTS["outputs.py"] = """
import json, os, shutil, subprocess, sys, time
from pycrumbs import tracked

count, rounds = map(int, sys.argv[1:])

def write_files():
    os.mkdir("out/files")
    for number in range(count):
        with open(f"out/files/{number:05d}.txt", "w") as file:
            file.write(f"{number}\\n" * 20)

def hash_files():
    command = "find out/files -type f -print0 | xargs -0 sha256sum > /dev/null"
    subprocess.run(command, shell=True, check=True)

def timed(function):
    if function is not hash_files:
        shutil.rmtree("out/files")
    start = time.perf_counter()
    function()
    return time.perf_counter() - start

job = tracked(literal_directory="out", record_filename="job_record")(write_files)
job()
times = {"plain": [], "ours": [], "sha256sum": []}
for _ in range(rounds):
    times["plain"].append(timed(write_files))
    times["ours"].append(timed(job))
    times["sha256sum"].append(timed(hash_files))
with open("out/job_record.json") as file:
    outputs = json.load(file).get("outputs", [])
print(json.dumps({**times, "hashed": sum("sha256" in each for each in outputs)}))
"""

IGNORED = ["out", "prov", "provenance", "floor", "__pycache__"]


GIT_SETTINGS = ["user.name=Bench", "user.email=bench@example.com", "init.defaultBranch=main"]
GIT_SETTINGS += ["commit.gpgsign=false", "core.hooksPath=/dev/null", "core.autocrlf=false"]


def git_setup(folder: Path, *arguments: str) -> None:
    settings = [part for setting in GIT_SETTINGS for part in ("-c", setting)]
    run_setup("git", *settings, "-C", folder, *arguments)


def make_repository(folder: Path, files: dict[str, str]) -> None:
    git_setup(folder, "init", "--quiet")
    (folder / ".gitignore").write_text("".join(f"{name}/\n" for name in IGNORED))
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git_setup(folder, "add", "--all")
    git_setup(folder, "commit", "--quiet", "--message=Measured")
    git_setup(folder, "remote", "add", "origin", "https://example.com/bench/measured.git")
    (folder / "out").mkdir()


def make_large_repository(folder: Path) -> None:
    text = "A line of a source file, as there are many.\n"
    names = [
        f"part_{n // 1000:02d}/group_{n // 100 % 10}/file_{n:05d}.txt"
        for n in range(FILES_IN_REPOSITORY - 3)
    ]
    files = {name: f"{name}\n" + text * (number % 40) for number, name in enumerate(names)}
    make_repository(folder, {**files, "measured.py": "", "job.py": SCRIPTS["run_pycrumbs.py"]})
    git_setup(folder, "repack", "-a", "-d", "--quiet")
    time.sleep(1.1)  # younger than the index, every file would be read again by each `git status`
    git_setup(folder, "status")


# ------------------------------------------------------------------------------
# The bench: where everything is, and how often it's measured
# ------------------------------------------------------------------------------


class Bench:
    def __init__(self, pycrumbs: Path, quick: bool, workspace: Path) -> None:
        self.pycrumbs = pycrumbs
        self.quick = quick
        self.workspace = workspace
        self.notes: list[str] = []
        self.repository = workspace / "repository"
        self.home = workspace / "home"
        self.repository.mkdir()
        self.home.mkdir()
        self.environ = clean_environment(self.home)
        make_repository(self.repository, SCRIPTS)
        self._environments: dict[str, Path | None] = {}

    def times(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def python(self, name: str, size: int = SMALL) -> Path | None:
        """The interpreter of an environment; None, and a note, where it can't be had."""
        key = f"{name}-{size}"
        if key not in self._environments:
            try:
                self._environments[key] = self._set_up(name, size)
            except Failed as error:
                self.note(f"{name}, {size} packages, could not be installed: {error}")
                self._environments[key] = None
        folder = self._environments[key]
        return folder and python_of(folder)

    def pythons(self, *names: str, size: int = SMALL) -> dict[str, Path]:
        """The interpreters of those of the names that could be installed."""
        found = {name: self.python(name, size) for name in names}
        return {name: python for name, python in found.items() if python}

    def ours(self, size: int = SMALL) -> Path:
        python = self.python("ours", size)
        if python is None:
            raise Failed("no environment for ours")
        return python

    def _set_up(self, name: str, size: int) -> Path:
        requirements = [COMPETITORS[name]] if name in COMPETITORS else []
        if size == SMALL:
            build = partial(build_small, requirements)
            folder = kept(f"{name}-{size}", key_of(requirements), build)
        else:
            if name == "ours" and self.python("0.4", size):  # as many as the original brings along
                size = max(size, count_packages(self._environments[f"0.4-{size}"]))
            stock = find_stock()
            if requirements and not stock:
                raise Failed("no large packages from PyPI to put it among")
            folder = kept(
                f"{name}-{LARGE}" if stock else f"{name}-{LARGE}-made-up",
                key_of(requirements, LARGE_STOCK, size),
                partial(build_large, requirements, size, stock),
            )
            made_up = len(list(packages_of(folder).glob("bench_padding_*.dist-info")))
            total = count_packages(folder)
            real = total - made_up
            self.note(f"{name}, {total} packages: {real} real from PyPI, {made_up} made up")
        if name == "ours":
            self._install_ours(folder)
        return folder

    def _install_ours(self, folder: Path) -> None:
        target = packages_of(folder) / "pycrumbs.py"
        shutil.copyfile(self.pycrumbs, target)
        run_setup(python_of(folder), "-m", "py_compile", target)

    def run(self, *argv: Any, cwd: Path | None = None, **variables: str) -> Finished:
        environ = {**self.environ, **variables}
        finished = spawn(list(argv), cwd or self.repository, environ)
        return checked(finished, f"`{Path(str(argv[1])).name}`")

    def run_fresh(self, *argv: Any, **variables: str) -> Finished:
        """Run in the small repository, with no output of an earlier run there."""
        for name in IGNORED:
            shutil.rmtree(self.repository / name, ignore_errors=True)
        (self.repository / "out").mkdir()
        return self.run(*argv, **variables)

    def seconds(self, *argv: Any, **variables: str) -> float:
        return self.run_fresh(*argv, **variables).seconds

    def ask(self, *argv: Any) -> Any:
        """Run one of SCRIPTS that prints JSON, and return that."""
        try:
            return json.loads(self.run_fresh(*argv).output)
        except Failed as error:
            raise NotThereYet from None if "not there yet" in str(error) else error

    def command(self, *argv: Any, temporary: Path | None = None) -> Finished:
        """Run a command of ours, whatever its exit status, if this pycrumbs.py has it."""
        environ = {**self.environ, "TMPDIR": str(temporary or self.home)}
        script = packages_of(self.ours().parent.parent) / "pycrumbs.py"
        usage = spawn([self.ours(), script, "--help"], self.repository, self.environ)
        if usage.returncode or str(argv[0]) not in usage.output:
            raise NotThereYet
        return spawn([self.ours(), script, *argv], self.repository, environ)

    def large_repository(self) -> Path:
        key = key_of(FILES_IN_REPOSITORY, SCRIPTS["run_pycrumbs.py"])
        folder = kept("repository", key, make_large_repository)
        git_setup(folder, "checkout", "--quiet", "--force", "HEAD", "--", ".")
        git_setup(folder, "worktree", "prune")
        return folder


# ------------------------------------------------------------------------------
# The rows
# ------------------------------------------------------------------------------


def row_import(bench: Bench) -> list[Line]:
    """`import pycrumbs`, beyond the bare interpreter"""
    measures = {}
    for name, python in bench.pythons("ours", "0.4").items():
        measures[f"{name} bare"] = partial(bench.seconds, python, "-c", "pass")
        measures[name] = partial(bench.seconds, python, "-c", "import pycrumbs")
    times = in_turns(measures, bench.times(50, 20), warmups=3)
    ours, original = (beyond(times[name], times[f"{name} bare"]) for name in ("ours", "0.4"))
    return [Line(ours, "0.4", original, Budget(most=0.010))]


def row_run_large(bench: Bench) -> list[Line]:
    """a whole one-call process, 120 packages with numpy and torch installed, beyond plain Python"""
    times = time_runs(bench, ["ours", "0.4"], LARGE, bench.times(15, 5))
    return [Line(times["ours"], "0.4", times["0.4"], Budget(ratio=1 / 18))]


def row_run_small(bench: Bench) -> list[Line]:
    """a whole one-call process, 5 packages, beyond plain Python"""
    limits = {"0.4": 0.65, "makeprov": 1.0, "runprov": 1.0}
    times = time_runs(bench, ["ours", *limits], SMALL, bench.times(40, 12))
    return [
        Line(times["ours"], name, times[name], Budget(ratio=limit))
        for name, limit in limits.items()
    ]


def row_run_source(bench: Bench) -> list[Line]:
    """the same, from a vendored copy without bytecode and with PYTHONDONTWRITEBYTECODE=1"""
    pythons = bench.pythons("ours", "0.4")
    copies = {name: vendor(bench, name, python) for name, python in pythons.items()}
    git_setup(bench.repository, "add", "--all")
    git_setup(bench.repository, "commit", "--quiet", "--allow-empty", "--message=Vendored")
    times = time_runs(bench, ["ours", "0.4"], SMALL, bench.times(40, 12), copies)
    if any(path for folder in copies.values() for path in folder.rglob("*.pyc")):
        raise Failed("a vendored copy has bytecode")
    return [Line(times["ours"], "0.4", times["0.4"], Budget(ratio=1.3))]


def vendor(bench: Bench, name: str, python: Path) -> Path:
    """The library's source and the scripts that use it, in a folder of the small repository."""
    folder = bench.repository / f"vendored-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    if name == "ours":
        folder.mkdir()
        shutil.copy(bench.pycrumbs, folder / "pycrumbs.py")
    else:
        library = packages_of(python.parent.parent) / "pycrumbs"
        without = shutil.ignore_patterns("__pycache__")
        shutil.copytree(library, folder / "pycrumbs", ignore=without)
    for script in ("plain.py", SCRIPT_AND_RECORD[name][0]):
        shutil.copy(bench.repository / script, folder)
    return folder


SCRIPT_AND_RECORD = {
    "ours": ("run_pycrumbs.py", "out/job_record.json"),
    "0.4": ("run_pycrumbs.py", "out/job_record.json"),
    "makeprov": ("run_makeprov.py", "prov/job.json"),
    "runprov": ("run_runprov.py", "out/job.json"),
}


def time_runs(
    bench: Bench, names: list[str], size: int, rounds: int, copies: dict[str, Path] | None = None
) -> dict[str, list[float]]:
    """One tracked run in a process of its own, for each name; of a vendored copy, if `copies`."""
    variables = {"PYTHONDONTWRITEBYTECODE": "1"} if copies else {}
    measures = {}
    for name, python in bench.pythons(*names, size=size).items():
        folder = copies[name] if copies else bench.repository
        plain, tracked = folder / "plain.py", folder / SCRIPT_AND_RECORD[name][0]
        bench.run_fresh(python, tracked, **variables)
        check_record(bench, name, python)
        measures[f"{name} plain"] = partial(bench.seconds, python, plain, **variables)
        measures[name] = partial(bench.seconds, python, tracked, **variables)
    times = in_turns(measures, rounds)
    return {name: beyond(times[name], times[f"{name} plain"]) for name in names}


def check_record(bench: Bench, name: str, python: Path) -> None:
    """What is timed must leave a record, with the commit and, for pycrumbs, every package."""
    text = (bench.repository / SCRIPT_AND_RECORD[name][1]).read_text()
    commit = bench.run("git", "rev-parse", "HEAD").output.strip()
    if commit[:12] not in text:
        raise Failed(f"{name}: the record doesn't name the commit")
    if name in ("ours", "0.4"):
        found = len(json.loads(text)["package_inventory"])
        expected = count_packages(python.parent.parent)
        if found < expected:
            raise Failed(f"{name}: {found} of {expected} packages in the record")


def row_call_small(bench: Bench) -> list[Line]:
    """each later call in one process, 5 packages"""
    return time_calls(bench, SMALL, "bare", processes=bench.times(8, 3), calls=200)


def row_call_large(bench: Bench) -> list[Line]:
    """each later call in one process, 120 packages, numpy and torch imported where PyPI has them"""
    mode = "loaded" if find_stock() else "bare"
    return time_calls(bench, LARGE, mode, processes=bench.times(5, 2), calls=100)


def time_calls(bench: Bench, size: int, mode: str, processes: int, calls: int) -> list[Line]:
    measures = {
        name: partial(bench.ask, python, "calls.py", mode, calls)
        for name, python in bench.pythons("ours", "0.4", size=size).items()
    }
    if "0.4" in measures:
        measures["0.4, our writes"] = partial(measures["0.4"], "our writes")
    on_disk = in_turns(measures, processes, warmups=0)
    with moved_to_memory(bench):
        in_memory = in_turns(measures, processes, warmups=0)
    floors = flatten(answer["floors"] for answer in on_disk["ours"])
    bytes_ = on_disk["ours"][0]["bytes"]
    names = ("ours", "0.4", "0.4, our writes")
    disk, memory = (
        {name: flatten(answer["calls"] for answer in answers[name]) for name in names}
        for answers in (on_disk, in_memory)
    )
    return [
        Line(disk["ours"], f"floor, {bytes_} bytes", floors, Budget(ratio=2.0)),
        Line(disk["ours"], "0.4", disk["0.4"]),
        Line(disk["ours"], "0.4, our writes", disk["0.4, our writes"]),
        Line(memory["ours"], "0.4", memory["0.4"], Budget(ratio=1.25), what="in memory"),
    ]


@contextlib.contextmanager
def moved_to_memory(bench: Bench) -> Iterator[None]:
    """Have the small repository in memory for a while."""
    on_disk = bench.repository
    with scratch_folder(bench) as scratch:
        bench.repository = scratch / "repository"
        shutil.copytree(on_disk, bench.repository)
        try:
            yield
        finally:
            bench.repository = on_disk


def flatten(lists: Any) -> list[float]:
    return [value for each in lists for value in each]


def row_big_argument(bench: Bench) -> list[Line]:
    """a list of ten million elements as argument, beyond a short one"""
    repeats = {"ours": 9, "0.4": 1}
    measures = {
        name: partial(bench.ask, python, "big.py", repeats[name])
        for name, python in bench.pythons(*repeats).items()
    }
    answers = in_turns(measures, bench.times(3, 1), warmups=0)
    ours, original = (flatten(answers[name]) for name in repeats)
    return [Line(ours, "0.4", original, Budget(most=0.005))]


def row_git(bench: Bench) -> list[Line]:
    """git evidence in a repository of 50,000 files"""
    repository = bench.large_repository()
    lines = time_git(bench, repository, dirty=False)
    with modified_files(repository, MODIFIED):
        return lines + time_git(bench, repository, dirty=True)


def time_git(bench: Bench, repository: Path, dirty: bool) -> list[Line]:
    def status() -> float:
        return bench.run("git", "--no-optional-locks", "-C", repository, "status", "-uno").seconds

    def evidence(python: Path) -> float:
        answer = bench.ask(python, "git_info.py", repository)
        if answer["dirty"] != dirty:
            raise Failed(f"git_is_dirty is {answer['dirty']} in a repository where it is {dirty}")
        if python == bench.ours() and answer["files"] != (MODIFIED if dirty else 0):
            raise Failed(f"{answer['files']} files in the patch")
        return answer["seconds"]

    pythons = bench.pythons("ours", "0.4")
    measures = {name: partial(evidence, python) for name, python in pythons.items()}
    measures["git status -uno"] = status
    times = in_turns(measures, bench.times(15, 5))
    what, limit = (f"{MODIFIED} modified", 2.0) if dirty else ("clean", 1.5)
    statuses = times["git status -uno"]
    return [
        Line(times["ours"], "git status -uno", statuses, Budget(ratio=limit), what=what),
        Line(times["ours"], "0.4, no patch", times["0.4"], what=what),
    ]


@contextlib.contextmanager
def modified_files(repository: Path, count: int) -> Iterator[None]:
    files = sorted(repository.glob("part_00/group_0/*"))[:count]
    for path in files:
        path.write_bytes(path.read_bytes() + b"changed\n")
    try:
        yield
    finally:
        git_setup(repository, "checkout", "--quiet", "--", ".")


def row_hash(bench: Bench) -> list[Line]:
    """hashing input files: one large, and 64 of the same size together"""
    sha256sum = shutil.which("sha256sum")
    if not sha256sum:
        raise Failed("no sha256sum to compare with")
    size = bench.times(1024, 256) * MIB
    in_parallel = f"ls | xargs -P {count_cores()} -n 1 sha256sum"
    with files_to_hash(bench.workspace / "data", size) as (tiny, one, many):
        measures = {
            "ours": partial(hash_with_ours, bench, "one", tiny, one, size),
            "sha256sum": partial(bench.seconds, sha256sum, one),
            "ours many": partial(hash_with_ours, bench, "many", tiny, many, size),
            "sha256sum many": lambda: bench.run("sh", "-c", in_parallel, cwd=many).seconds,
        }
        times = in_turns(measures, bench.times(4, 3))
    speeds = {name: [size / 1e6 / value for value in values] for name, values in times.items()}
    one_file, together = f"one of {size // MIB} MiB", f"64 of {size // MIB // 64} MiB"
    ours, theirs = speeds["ours"], speeds["sha256sum"]
    gains = [many / one for many, one in zip(speeds["sha256sum many"], theirs)]
    scaled = [speed * gain for speed, gain in zip(ours, gains)]
    gain = f"one file × {statistics.median(gains):.2f} (xargs -P)"
    return [
        Line(ours, "sha256sum", theirs, Budget(at_least=0.9), "MB/s", one_file),
        Line(speeds["ours many"], gain, scaled, Budget(at_least=0.8), "MB/s", together),
    ]


def hash_with_ours(bench: Bench, kind: str, tiny: Path, large: Path, size: int) -> float:
    answer = bench.ask(bench.ours(), "hash.py", kind, tiny, large)
    if not answer["bytes"]:
        raise NotThereYet
    if answer["bytes"] != size:
        raise Failed(f"{answer['bytes']} of {size} bytes were hashed")
    return answer["seconds"]


@contextlib.contextmanager
def files_to_hash(folder: Path, size: int) -> Iterator[list[Path]]:
    """A tiny file, one of `size`, and a folder of 64 that have it together; in the page cache."""
    tiny, one, many = paths = [folder / "tiny", folder / "one", folder / "many"]
    many.mkdir(parents=True)
    tiny.write_bytes(b"tiny\n")
    block = os.urandom(size // 64)
    with one.open("wb") as whole:
        for number in range(64):
            whole.write(block)
            (many / f"part_{number:02d}").write_bytes(bytes([number]) + block[1:])
    os.sync()
    try:
        yield paths
    finally:
        shutil.rmtree(folder)


def row_outputs(bench: Bench) -> list[Line]:
    """what recording 8,000 small outputs adds, against `find | xargs sha256sum` of them"""
    rounds = bench.times(5, 3)
    ask = partial(bench.ask, bench.ours(), "outputs.py", OUTPUTS, rounds)
    with moved_to_memory(bench):  # a disk's writes differ by more than what is compared
        answers = [ask() for _ in range(bench.times(4, 2))]
    plain, ours, yardstick = (
        flatten(answer[name] for answer in answers) for name in ("plain", "ours", "sha256sum")
    )
    if answers[-1]["hashed"] != OUTPUTS:
        raise Failed(f"{answers[-1]['hashed']} of {OUTPUTS} outputs have a hash")
    return [Line(beyond(ours, plain), "find | xargs sha256sum", yardstick, Budget(ratio=2.0))]


def row_log(bench: Bench) -> list[Line]:
    """`python pycrumbs.py log` over 10,000 records of 120 packages each"""
    folder = bench.workspace / "runs"
    make_records(bench, folder, 1)
    if "job" not in bench.command("log", folder).output:
        raise NotThereYet
    make_records(bench, folder, RECORDS)
    log = partial(bench.command, "log", folder)
    runs = in_turns({"ours": lambda: checked(log(), "log")}, bench.times(7, 3))["ours"]
    shutil.rmtree(folder)
    return [
        Line([run.seconds for run in runs], budget=Budget(most=2.0), what="time"),
        Line([run.rss_mb for run in runs], budget=Budget(most=150), unit="MB", what="peak memory"),
    ]


def make_records(bench: Bench, folder: Path, count: int) -> None:
    """A real record of ours, copied with another uuid, start and inventory of 120 packages."""
    bench.run_fresh(bench.ours(), "run_pycrumbs.py")
    record = json.loads((bench.repository / "out/job_record.json").read_text())
    record["package_inventory"] = {f"package-{number:03d}": "1.2.3" for number in range(LARGE)}
    template = json.dumps(record, indent=4)
    day = record["timing"]["start_time"][:10]
    for number in range(count):
        run = folder / f"{number // 100:03d}" / f"{number:05d}"
        run.mkdir(parents=True, exist_ok=True)
        other_day = datetime.date(2020, 1, 1) + datetime.timedelta(days=number % 2000)
        uuid = f"{number:08x}{record['uuid'][8:]}"
        text = template.replace(record["uuid"], uuid).replace(day, str(other_day))
        (run / "job_record.json").write_text(text)


def row_capture(bench: Bench) -> list[Line]:
    """capture_files on, and off: a loop of 1,000 opens, and copy.deepcopy"""
    folder = bench.workspace / "opened"
    folder.mkdir(exist_ok=True)
    for number in range(1000):
        (folder / f"{number:03d}.txt").write_text(f"{number}\n" * 100)
    measures = {
        mode: partial(bench.ask, bench.ours(), "capture.py", mode, folder) for mode in ("on", "off")
    }
    answers = in_turns(measures, bench.times(6, 2), warmups=0)

    def line(key: str, what: str) -> Line:
        on, off = (flatten(answer[key] for answer in answers[mode]) for mode in ("on", "off"))
        return Line(on, "off", off, what=what)

    return [line("opens", "1,000 opens"), line("copies", "deepcopy")]


def row_rerun(bench: Bench) -> list[Line]:
    """`pycrumbs rerun` in a repository of 50,000 files, against one `git worktree add`"""
    repository = bench.large_repository()
    bench.run(bench.ours(), "job.py", cwd=repository)
    with scratch_folder(bench) as scratch:
        measures = {
            "ours": partial(rerun, bench, repository / "out/job_record.json", scratch),
            "worktree": partial(add_worktree, bench, repository, scratch / "worktree"),
        }
        times = in_turns(measures, bench.times(7, 3))
    return [Line(times["ours"], "git worktree add", times["worktree"], Budget(ratio=3.0))]


def rerun(bench: Bench, record: Path, scratch: Path) -> float:
    target = scratch / "again"
    shutil.rmtree(target, ignore_errors=True)
    finished = bench.command("rerun", record, "--yes", "-o", target, temporary=scratch)
    if not (target / "data.txt").exists():
        raise Failed(f"rerun: {last_line(finished.errors or finished.output)}")
    return finished.seconds


def add_worktree(bench: Bench, repository: Path, worktree: Path) -> float:
    git = ["git", "-C", repository, "worktree"]
    seconds: float = bench.run(*git, "add", "--detach", worktree, "HEAD").seconds
    bench.run(*git, "remove", "--force", worktree)
    return seconds


@contextlib.contextmanager
def scratch_folder(bench: Bench) -> Iterator[Path]:
    """In memory where there is some: a slow disk would hide what is compared, and take minutes."""
    memory = Path("/dev/shm")
    usable = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2**30
    if not usable:
        bench.note("no room in /dev/shm: what should be in memory was on disk")
    parent = memory if usable else bench.workspace
    with tempfile.TemporaryDirectory(prefix="pycrumbs-bench-", dir=parent) as folder:
        yield Path(folder)


ROWS: dict[str, Callable[[Bench], list[Line]]] = {
    "import": row_import,
    "run-120": row_run_large,
    "run-5": row_run_small,
    "run-5-source": row_run_source,
    "call-5": row_call_small,
    "call-120": row_call_large,
    "big-argument": row_big_argument,
    "git-50k": row_git,
    "hash": row_hash,
    "outputs-8k": row_outputs,
    "log-10k": row_log,
    "capture": row_capture,
    "rerun-50k": row_rerun,
}

# ------------------------------------------------------------------------------
# The report
# ------------------------------------------------------------------------------

HEADINGS = ["row", "ours", "against", "theirs", "ratio", "budget", "verdict"]


def count_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_machine(pycrumbs: Path) -> dict[str, Any]:
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    git = subprocess.check_output(["git", "--version"], text=True).split()[2]
    return {
        "cpu": cpu,
        "cores": count_cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "git": git,
        "date": datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        "load before": round(os.getloadavg()[0], 2),
        "pycrumbs.py sha256": hashlib.sha256(pycrumbs.read_bytes()).hexdigest()[:12],
    }


def format_line(row: str, line: Line, is_first: bool) -> list[str]:
    name = f"{row}: {line.what}" if line.what else row
    return [
        name if is_first else "",
        format_samples(line.ours, line.unit) if is_first else "",
        line.name,
        format_samples(line.other, line.unit) if line.other else line.name and "not installed",
        "" if line.ratio is None else f"{line.ratio:.3g}",
        line.budget.describe(line.unit) if line.budget else "",
        line.verdict,
    ]


def format_row(row: str, lines: list[Line]) -> list[list[str]]:
    """Table cells; what repeats the line above is left blank."""
    befores = [None, *lines]
    return [
        format_line(row, line, is_first=before is None or line.ours is not before.ours)
        for before, line in zip(befores, lines)
    ]


def format_table(table: list[list[str]]) -> str:
    widths = [max(len(cells[column]) for cells in table) for column in range(len(HEADINGS))]
    rows = [
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip()
        for cells in table
    ]
    return "\n".join([rows[0], "-" * len(rows[0]), *rows[1:]])


def summarise(row: str, line: Line) -> dict[str, Any]:
    def figures(samples: list[float]) -> dict[str, float] | None:
        if not samples:
            return None
        shares = {"median": 0.5, "p10": 0.1, "p90": 0.9}
        parts = {name: percentile(samples, share) for name, share in shares.items()}
        return {**parts, "count": len(samples)}

    return {
        "row": row,
        "what": line.what,
        "unit": line.unit,
        "ours": figures(line.ours),
        "against": line.name,
        "theirs": figures(line.other),
        "ratio": line.ratio,
        "budget": line.budget.describe(line.unit) if line.budget else None,
        "verdict": line.verdict,
    }


def measure_row(bench: Bench, row: str) -> dict[str, Any]:
    """The lines of one row, or the word that stands in their place."""
    say(f"measuring {row} …")
    try:
        return {"lines": ROWS[row](bench)}
    except NotThereYet:
        return {"instead": "not there yet"}
    except (Failed, OSError, ValueError, KeyError) as error:
        return {"instead": f"failed: {error}"}


def report(
    bench: Bench, machine: dict[str, Any], results: dict[str, dict[str, Any]], seconds: float
) -> str:
    table = [HEADINGS]
    for row, result in results.items():
        if "lines" in result:
            table += format_row(row, result["lines"])
        else:
            table.append([row, "", "", "", "", "", result["instead"]])
    facts = ", ".join(f"{name} {value}" for name, value in machine.items())
    notes = [f"note: {note}" for note in bench.notes]
    end = [count_verdicts(results), f"{seconds:.0f} s in all"]
    return "\n".join([facts, "", format_table(table), "", *notes, *end])


def count_verdicts(results: dict[str, dict[str, Any]]) -> str:
    """How many budgets are met; which are missed or couldn't be measured."""
    met, missed, unmeasured = [], [], [row for row in results if "instead" in results[row]]
    for row, result in results.items():
        for line in result.get("lines", []):
            if line.budget:
                group = {"met": met, "MISSED": missed}.get(line.verdict, unmeasured)
                group.append(f"{row}{line.what and ': ' + line.what} {line.name}".strip())
    parts = [f"{len(met)} met", f"{len(missed)} missed", f"{len(unmeasured)} not measured"]
    for position, group in ((1, missed), (2, unmeasured)):
        parts[position] += f" ({'; '.join(group)})" if group else ""
    return "budgets: " + ", ".join(parts)


def as_json(bench: Bench, machine: dict[str, Any], results: dict[str, dict[str, Any]]) -> str:
    lines = [
        summarise(row, line) for row, result in results.items() for line in result.get("lines", [])
    ]
    instead = {row: result["instead"] for row, result in results.items() if "instead" in result}
    everything = {"machine": machine, "lines": lines, "instead": instead, "notes": bench.notes}
    return json.dumps(everything, indent=4) + "\n"


@contextlib.contextmanager
def alone() -> Iterator[Path]:
    """A fresh workspace in the cache, once no other benchmark is running."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another benchmark to end …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for left_over in CACHE.glob("work-*"):
            shutil.rmtree(left_over)
        with tempfile.TemporaryDirectory(prefix="work-", dir=CACHE) as workspace:
            yield Path(workspace)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help="rows to measure (default: all)")
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    ours = CHECKOUT / "pycrumbs.py"
    parser.add_argument("--pycrumbs", type=Path, default=ours, metavar="PATH", help="our file")
    options = parser.parse_args(argv)
    if options.list:
        print("\n".join(f"{name:14}{row.__doc__}" for name, row in ROWS.items()))
        return 0
    unknown = [row for row in options.rows if row not in ROWS]
    if unknown:
        parser.error(f"no such row: {', '.join(unknown)} (see --list)")
    if not options.pycrumbs.is_file():
        parser.error(f"no file {options.pycrumbs}")
    with alone() as workspace:
        start = time.perf_counter()
        machine = describe_machine(options.pycrumbs)
        bench = Bench(options.pycrumbs, options.quick, workspace)
        results = {row: measure_row(bench, row) for row in options.rows or ROWS}
        print(report(bench, machine, results, time.perf_counter() - start))
        if options.json:
            options.json.write_text(as_json(bench, machine, results))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
