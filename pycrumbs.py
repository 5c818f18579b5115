# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pycrumbs authors
"""Leave a record beside the files a function makes, so that they can be traced and made again.

    from pycrumbs import tracked

    @tracked(directory_parameter="out", seed_parameter="seed")
    def train(out, epochs=5, seed=None):
        ...                                   # write files into `out`

    train("runs/first")                       # leaves runs/first/train_record.json

The record tells which code, arguments, packages, machine and seed made those files:

    {
        "pycrumbs": "0.6.0",
        "uuid": "51af8c51-0de5-48f5-a7da-9ec9688d56b6",
        "status": "completed",
        "timing": {"start_time": "2026-11-23 14:10:02.123456+01:00", "run_time": "0:00:41.002000"},
        "environment": {"argv": ["train.py"], "hostname": "node7", "gpus": [...], ...},
        "package_inventory": {"numpy": "2.1.0", ...},
        "called_function": {"name": "train", "parameters": {"out": "runs/first", ...}, ...},
        "tracked_module": {"git_commit_hash": "2a38ea37...", "git_is_dirty": true, ...},
        "seed": 272428
    }

Read it back with `python pycrumbs.py show runs/first`.

This file is all there is: standard library only, Python 3.9 and later. Importing it starts no
process, reads no file and installs no hook. Recording never changes what the function returns,
raises or draws (the seeding aside): what can fail for a good reason fails before the function
runs, and afterwards a recording failure is one warning.

Left out on purpose: metrics, a server, a database, a user interface.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` wraps it, at ten times the cost
import _thread
import contextvars
import errno
import os
import stat
import sys
import time
import types

TYPE_CHECKING = False  # `typing` itself would cost a third of the import budget
if TYPE_CHECKING:
    import inspect
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
    from typing import Any, Callable, NoReturn, TypeVar, Union

    _F = TypeVar("_F")
    _StrPath = Union[str, os.PathLike[str]]
    Record = dict[str, Any]

__all__ = [
    "RecordError", "diff_records", "find_record", "get_environment_info", "get_git_info",
    "get_installed_packages", "load_records", "rerun_record", "seed_tasks", "trace_file",
    "tracked", "verify_record", "write_record",
]  # fmt: skip
__version__ = "0.6.0"

# What a user may want to know; the other limits stand with their sections.
TIMESTAMP_FORMAT = "%Y_%m_%d_%H_%M_%S"
TEXT_LIMIT = 4096  # characters of one described parameter, result or message
GIT_TIMEOUT = 10.0  # seconds for git at a run's start, and again at its end; 50,000 files take 0.1
PROBE_WAIT = 0.5  # seconds that nvidia-smi may hold the function up
PATCH_LIMIT = 4 * 2**20  # characters of one git_patch, and bytes of a file in it
HASH_LIMIT = 2**30  # bytes hashed per run, unless the caller says otherwise
FILE_LIMIT = 10_000  # inputs, and outputs, that one record lists
VISIT_LIMIT = 100_000  # folder entries that are looked at, and opened files noted
LOAD_LIMIT = 32 * 2**20  # bytes of a record file that is read back
DOCKER_BUILD_HASH_FILE = "/etc/docker-build-git-hash"
REDACTED = "<redacted>"
SUPPRESSED = "<suppressed due to excessive length>"

# A name with an underscore is used in its own section only.


# == Tracking a function =======================================================
# `tracked` validates its options once and wraps the function once. The wrapper
# holds a `Tracker` (the function, its signature, its options); every call
# makes a `Call` and a `Run`.


def tracked(
    *misplaced: NoReturn,
    literal_directory: _StrPath | None = None,
    directory_parameter: str | None = None,
    subdirectory_name_parameter: str | None = None,
    directory_injection_parameter: str | None = None,
    include_timestamp: bool = False,
    include_uuid: bool = False,
    record_filename: str | None = None,
    extra_modules: Sequence[str | types.ModuleType] | None = None,
    extra_environment_variables: Sequence[str] | None = None,
    seed_parameter: str | None = None,
    seed_numpy: bool = True,
    seed_tensorflow: bool = True,
    seed_torch: bool = True,
    disable_git_tracking: bool = False,
    allow_dirty_repo: bool = True,
    include_package_inventory: bool = True,
    create_parents: bool = False,
    require_empty_directory: bool = False,
    chain_records: bool = False,
    input_parameters: Sequence[str] | None = None,
    capture_files: bool = False,
    hash_limit: int | None = HASH_LIMIT,
) -> Callable[[_F], _F]:
    """Record every call of the decorated function in a JSON file beside what it makes.

    Put it last, nearest the function: other decorators (click's, say) change the signature.
    It takes functions, coroutine functions, generator functions of both kinds, methods,
    `staticmethod` and `classmethod` objects; the wrapper is of the same kind.

    Parameters
    ----------
    literal_directory, directory_parameter
        Exactly one of them: the record's directory, or the name of the parameter that holds it.
    subdirectory_name_parameter
        Name of the parameter that holds a subdirectory of it: a relative path inside it.
    directory_injection_parameter
        Name of the parameter that receives the final directory as a `Path`; callers may omit it.
    include_timestamp, include_uuid
        Append the start time (`_%Y_%m_%d_%H_%M_%S`) or the record's uuid to the directory's name.
        The new path goes to the injection parameter, else to the subdirectory's or directory's.
    record_filename, chain_records
        Name of the record, without `.json`; default: `<function>_record`. Whether to append to
        that file, which becomes a JSON list, instead of replacing it.
    extra_modules, extra_environment_variables
        Modules, or their names, to record the git state of; names of variables to record.
    seed_parameter
        Name of the parameter that holds the seed, 0 to 2**32 - 1; for None one is drawn.
    seed_numpy, seed_tensorflow, seed_torch
        Whether to seed these libraries (at once, or as the function imports them).
    disable_git_tracking, allow_dirty_repo, include_package_inventory
        Whether to leave git out; to run in spite of uncommitted changes; to list the packages.
    create_parents, require_empty_directory
        Whether to create the directory's parents, too; to refuse one that holds anything.
    input_parameters, capture_files
        Names of parameters that hold input files or folders (existing files are found anyway);
        whether to record every file that the run opens through Python (PEP 578).
    hash_limit
        Bytes to hash per run, smallest files first; None: all, 0: of empty files only.

    Raises
    ------
    TypeError, ValueError
        At decoration: options that exclude each other, name no parameter of the function or are of
        the wrong type; something that isn't a function. At a call: wrong arguments, a seed that is
        no integer or out of range, a directory that is no path, or leads outside.
    RuntimeError, ImportError
        At a call: the source is in no git repository, or ignored there, or it is dirty and
        `allow_dirty_repo` is False; an extra module can't be imported.
    OSError
        At a call: the directory can't be created, or isn't empty where it must be
        (`FileExistsError`), or the record can't be written. The function hasn't run then.
    """
    # The arguments, by their names, are the options: they are listed nowhere else.
    options = Options(**locals(), run_as=None, source_file=None)
    if misplaced:
        raise TypeError(
            "tracked takes named options only, and one at least: write "
            '@tracked(directory_parameter="out"), or @tracked(literal_directory="runs")'
        )
    options.check()
    return lambda function: _wrap(function, options)


class Options(types.SimpleNamespace):
    """The options of one `tracked`, fixed once checked; the attributes are its parameters."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"the options of tracked are fixed; cannot set {name}")

    def check(self) -> None:
        """Raise what `tracked` promises to raise before it has seen the function."""
        if (self.literal_directory is None) == (self.directory_parameter is None):
            raise TypeError(
                "tracked: give exactly one of literal_directory and directory_parameter"
            )
        if self.include_timestamp and self.include_uuid:
            raise ValueError("tracked: include_timestamp and include_uuid exclude each other")
        if self.suffix_option and not self.carrier:
            raise TypeError(
                f"tracked: with {self.suffix_option} the function must learn the new directory: "
                "name a parameter in directory_injection_parameter, directory_parameter or "
                "subdirectory_name_parameter"
            )
        for option, (kind, what) in _LIST_OPTIONS.items():
            given = getattr(self, option) or ()
            if isinstance(given, (str, bytes, types.ModuleType)) or not hasattr(given, "__iter__"):
                raise TypeError(f"tracked: {option} takes a list, even for one")
            # A copy: an iterator would be used up by the first call.
            vars(self)[option] = items = tuple(given)
            for item in items:
                if not isinstance(item, (str, kind)):
                    raise TypeError(f"tracked: {option} takes {what}, not {item!r:.80}")
        limit = self.hash_limit
        if limit is not None and (not isinstance(limit, int) or limit < 0):
            raise ValueError(f"tracked: hash_limit={limit!r} must be a number of bytes, or None")
        if not isinstance(self.literal_directory, (str, os.PathLike, type(None))):
            problem = f"must be a str or os.PathLike, not {self.literal_directory!r:.80}"
            raise TypeError(f"tracked: literal_directory {problem}")
        name = self.record_filename
        is_wrong = not isinstance(name, str) or name in ("", ".", "..") or set(name) & set("/\\\0")
        if name is not None and is_wrong:
            raise ValueError(
                f"tracked: record_filename={name!r} must be a file name without a folder; "
                "the folder comes from literal_directory or directory_parameter"
            )

    @property
    def suffix_option(self) -> str:
        """The option in force that appends to the directory's name; '' if there is none."""
        return next((n for n in ("include_timestamp", "include_uuid") if getattr(self, n)), "")

    @property
    def carrier(self) -> Any:
        """The name of the parameter that tells the function its final directory, or None."""
        below = self.subdirectory_name_parameter or self.directory_parameter
        return self.directory_injection_parameter or below


_LIST_OPTIONS = {
    "extra_modules": (types.ModuleType, "modules and names of modules"),
    "extra_environment_variables": (str, "names of environment variables"),
    "input_parameters": (str, "names of parameters"),
}


class Tracker:
    """One tracked function: its options, its signature, and the evidence its first call read."""

    def __init__(self, function: Callable[..., Any], options: Options) -> None:
        import inspect

        self.function = function
        self.options = options
        self.name = function.__qualname__
        self.signature = inspect.signature(function)
        # The file of the function that does the work, not that of the decorators around it.
        # `functools.wraps` may have been told of a class, a partial or a builtin.
        inner: Any = inspect.unwrap(
            function, stop=lambda f: not hasattr(getattr(f, "__wrapped__", f), "__code__")
        )
        file = absolute(inner.__code__.co_filename)
        # In a REPL or in `exec` there is no such file.
        self.source_file = options.source_file or (file if os.path.isfile(file) else None)
        self.source_signature = sign_file(self.source_file or "")
        self.evidence: Evidence | None = None
        self.check_parameters()

    def __reduce__(self) -> tuple[Any, ...]:
        # What was read in this process isn't true where a pickled wrapper arrives. Its file's path
        # still is, but cloudpickle keeps only the last part.
        options = Options(**{**vars(self.options), "source_file": self.source_file})
        return Tracker, (self.function, options)

    def check_parameters(self) -> None:
        """Raise ValueError for an option that names a parameter the function lacks."""
        parameters = self.signature.parameters.values()
        known = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        named = [item for item in vars(self.options).items() if item[0].endswith("_parameter")]
        named += [("input_parameters", name) for name in self.options.input_parameters]
        for option, name in named:
            if name is not None and name not in known:
                raise ValueError(
                    f"tracked: {option}={name!r}, but {self.name}() has no such parameter; "
                    f"it has: {', '.join(known) or 'none'}"
                )

    def start(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Run:
        """Make the run of one call. A rerun puts its own method in the place of this one."""
        return Run(Call(self, args, kwargs))

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> inspect.BoundArguments:
        """Bind a call's arguments, defaults filled in; the injected one may be missing."""
        bind, injected = self.signature.bind, self.options.directory_injection_parameter
        try:
            try:
                bound = bind(*args, **kwargs)
            except TypeError:
                if injected is None:
                    raise
                # With the injected one Python's own message names what else is missing.
                partial = self.signature.bind_partial(*args, **kwargs)
                partial.arguments.setdefault(injected, None)
                bound = bind(*partial.args, **partial.kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}() {error}") from None
        bound.apply_defaults()
        return bound

    def is_source_edited(self) -> bool:
        """Whether the source file has changed since the function was decorated."""
        now, then = sign_file(self.source_file or ""), self.source_signature
        # chmod changes the ctime, and not what was imported.
        return (now and (now[0], *now[2:])) != (then and (then[0], *then[2:]))

    def read_evidence(self, locate: Callable[[str], str]) -> Evidence:
        """Read code, packages and GPUs at the first call; code that must be clean, each time."""
        if self.evidence is None:
            self.evidence = Evidence(self, locate)
        elif not self.options.allow_dirty_repo:
            self.evidence.read(self)
        return self.evidence


def _wrap(function: Any, options: Options) -> Any:
    """Wrap a function in one of its own kind."""
    if isinstance(function, (staticmethod, classmethod)):
        return type(function)(_wrap(function.__func__, options))
    if not isinstance(function, (types.FunctionType, types.MethodType)):
        name = getattr(function, "__name__", None) or getattr(function, "name", function)
        raise TypeError(
            f"tracked: cannot track {type(function).__name__} {str(name)!r}, only a function; "
            "put @tracked last, nearest the function, below other decorators"
        )
    import functools
    import inspect

    wrappers = (
        (inspect.iscoroutinefunction, _wrap_coroutine),
        (inspect.isasyncgenfunction, _wrap_async_generator),
        (inspect.isgeneratorfunction, _wrap_generator),
    )
    wrap = next((wrap for is_kind, wrap in wrappers if is_kind(function)), _wrap_plain)
    tracker = Tracker(function, options)
    wrapped = functools.wraps(function)(wrap(tracker))
    if function.__code__.co_flags & inspect.CO_ITERABLE_COROUTINE:
        # A generator that can be awaited (types.coroutine).
        wrapped = types.coroutine(wrapped)
    tracked_functions[tracker.source_file, tracker.name] = wrapped
    return wrapped


def _wrap_plain(tracker: Tracker) -> Callable[..., Any]:
    """The wrapper of a function that is none of the others."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with tracker.start(args, kwargs) as run:
            run.begin()
            with Active(run):
                return run.returned(tracker.function(*run.call.args, **run.call.kwargs))

    return wrapper


def _wrap_coroutine(tracker: Tracker) -> Callable[..., Any]:
    """The wrapper of a coroutine function: a coroutine function."""

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        with tracker.start(args, kwargs) as run:
            run.begin()
            with Active(run):
                return run.returned(await tracker.function(*run.call.args, **run.call.kwargs))

    return wrapper


# A generator's caller runs between its steps, so the run is the active one only within them.
# The loops below are what `yield from` does (PEP 380), with that added.


def _wrap_generator(tracker: Tracker) -> Callable[..., Any]:
    """The wrapper of a generator function: a generator function."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with tracker.start(args, kwargs) as run:
            run.begin()
            generator = tracker.function(*run.call.args, **run.call.kwargs)
            resume, value = generator.send, None
            while True:
                try:
                    with Active(run):
                        item = resume(value)
                except StopIteration as stop:
                    return run.returned(stop.value)
                finally:
                    # Let go of what was sent in: an error's traceback keeps this frame alive.
                    value = None
                try:
                    resume, value = generator.send, (yield item)
                except BaseException as error:
                    run.thrown(error)
                    resume, value = generator.throw, error

    return wrapper


def _wrap_async_generator(tracker: Tracker) -> Callable[..., Any]:
    """The wrapper of an asynchronous generator function: of that kind, too."""

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        with tracker.start(args, kwargs) as run:
            run.begin()
            generator = tracker.function(*run.call.args, **run.call.kwargs)
            # The event loop is to close the wrapper only, which closes this one in turn.
            hooks = sys.get_asyncgen_hooks()
            sys.set_asyncgen_hooks(None, None)
            step = generator.asend(None)
            sys.set_asyncgen_hooks(*hooks)
            while True:
                try:
                    with Active(run):
                        item = await step
                except StopAsyncIteration:
                    return
                try:
                    step = generator.asend((yield item))
                except BaseException as error:
                    run.thrown(error)
                    step = generator.athrow(error)

    return wrapper


def make_script(path: str, module: str | None, **options: Any) -> Callable[..., None]:
    """A tracked function that executes a script (or a module, by its name) as `__main__`."""
    # What the script imports is this very module.
    sys.modules["pycrumbs"] = sys.modules[__name__]

    def script(*argv: str, seed: int | None = None) -> None:
        program_started.append(True)
        sys.modules["__main__"] = entry = types.ModuleType("__main__")
        vars(entry).update(__annotations__={}, __builtins__=sys.modules["builtins"])
        if module is not None:
            import runpy

            runpy._run_module_as_main(module)  # type: ignore[attr-defined]  # as `python -m` does
        else:
            from importlib.machinery import SourceFileLoader

            loader = SourceFileLoader("__main__", path)
            vars(entry).update(__cached__=None, __file__=path, __loader__=loader)
            exec(compile(read_bytes(path), path, "exec", dont_inherit=True), vars(entry))

    name = module or os.path.splitext(os.path.basename(path))[0]
    script.__name__, script.__qualname__, script.__module__ = name, name, "__main__"
    given = {**(tracked.__kwdefaults__ or {}), "seed_parameter": "seed", "create_parents": True}
    given.update(capture_files=True, run_as="module" if module else "script")
    given.update(options, source_file=absolute(path))
    (checked := Options(**given)).check()
    wrapped: Callable[..., None] = _wrap(script, checked)
    return wrapped


program_started: list[bool] = []  # from then on, what is raised is the program's affair


# == A call ====================================================================
# What the caller gave, and what the function is to get: arguments, seed,
# directory. All that may fail here fails before the function runs.


class Call:
    """One call of a tracked function: its arguments, its seed and its directory.

    A rerun overrides `draw_seed`, `read_base` and `create_target`, and has its own `locate`.
    """

    rerun_of: str | None = None

    def __init__(self, tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.tracker, self.options = tracker, tracker.options
        self.create_parents = self.options.create_parents
        # Resolves a path; in a rerun, one in the repository becomes one in its checkout.
        self.locate: Callable[[str], str] = os.path.realpath
        self.uuid, self.start = draw_uuid(), time.time()
        self.args, self.kwargs = args, kwargs
        self.bound = tracker.bind(args, kwargs)
        # Before the run changes them: it may draw a seed, or stamp a directory.
        self.given = dict(self.bound.arguments)
        self.described = describe_arguments(self.given)
        # The directories to be removed if the run can't start.
        self.created: list[str] = []

    def prepare(self) -> None:
        """Settle seed, directory and arguments."""
        self.seed = self.read_seed()
        self.directory = self.create_directory()
        name = self.options.record_filename or f"{self.tracker.function.__name__}_record"
        self.path = os.path.join(self.directory, with_json(name))
        if self.find_altered():
            self.args, self.kwargs = self.bound.args, self.bound.kwargs

    def find_altered(self) -> Record:
        """The arguments that aren't those of the caller any more."""
        arguments = self.bound.arguments.items()
        return {name: value for name, value in arguments if value is not self.given[name]}

    def describe(self) -> Record:
        """The call as a record tells it."""
        tracker, function = self.tracker, self.tracker.function
        final = {**self.described, **describe_arguments(self.find_altered())}
        kinds = {path: kind for _, found in final.values() for path, kind in found.items()}
        return {
            "name": function.__name__,
            "qualname": tracker.name,
            "module": function.__module__,
            "source_file": tracker.source_file,
            "parameters": {name: value for name, (value, _) in self.described.items()},
            "altered_parameters": {name: value for name, (value, _) in final.items()},
            "parameter_types": kinds or None,
            "run_as": self.options.run_as,
            "directory": self.directory,
            "directory_parameter": self.options.directory_parameter,
        }

    def forget(self) -> None:
        """Let go of the arguments, which may be large."""
        self.given, self.described = {}, {}
        self.args, self.kwargs = (), {}
        self.bound.arguments.clear()

    def fail(self, kind: type[Exception], problem: str, *code: int | None) -> Exception:
        """An error of that kind whose message begins with the function; `code` is an errno."""
        return kind(*code, f"{self.tracker.name}(): {problem}")

    def read_seed(self) -> int:
        """The seed the caller gave, or a new one, which the function then receives."""
        name = self.options.seed_parameter
        value = None if name is None else self.bound.arguments[name]
        if value is None:
            seed = self.draw_seed()
            if name is not None:
                self.bound.arguments[name] = seed
            return seed
        try:
            return check_seed(value)
        except (TypeError, ValueError) as error:
            raise self.fail(type(error), f"parameter {name!r} holds the seed: {error}") from None

    def draw_seed(self) -> int:
        """The seed of a call that was given none."""
        return draw_seed()

    def read_path(self, parameter: str) -> str:
        """The path that a parameter holds, as text."""
        value = self.bound.arguments[parameter]
        path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
        if not isinstance(path, str):
            problem = f"parameter {parameter!r} must be a str or os.PathLike, not {value!r:.80}"
            raise self.fail(TypeError, problem)
        return path

    def read_subdirectory(self) -> str:
        """The subdirectory's name: relative, and never one that leads out of the directory."""
        parameter = self.options.subdirectory_name_parameter
        name = self.read_path(parameter)
        if not leads_inside(name):
            problem = f"parameter {parameter!r} must name a folder inside the directory"
            raise self.fail(ValueError, f"{problem} (a relative path without '..'), not {name!r}")
        return os.path.normpath(name)

    def read_base(self) -> str:
        """The directory as it was given, made absolute: the function may go elsewhere later."""
        options = self.options
        if options.directory_parameter is None:
            return absolute(os.fspath(options.literal_directory))
        return absolute(self.read_path(options.directory_parameter))

    def create_directory(self) -> str:
        """Create and check the directory, and let the function know its name."""
        base = self.read_base()
        directory = self.create_target(base)
        self.create(directory)
        if self.options.require_empty_directory and os.listdir(directory):
            problem = f"the directory {directory} is not empty (require_empty_directory)"
            raise self.fail(FileExistsError, problem)
        self.inject_directory(base, directory)
        return directory

    def create_target(self, target: str) -> str:
        """Add subdirectory and suffix to the directory, and create what must be there first."""
        options = self.options
        if options.subdirectory_name_parameter is not None:
            self.create(target)
            base, target = target, os.path.join(target, self.read_subdirectory())
            if not is_below(os.path.realpath(target), os.path.realpath(base)):
                problem = f"cannot create the directory {target}: a link leads out of {base}"
                raise self.fail(OSError, problem, errno.ELOOP)
        if options.include_uuid:
            target += f"_{self.uuid}"
        if options.include_timestamp:
            stem = target + time.strftime(f"_{TIMESTAMP_FORMAT}", time.localtime(self.start))
            # mkdir decides who gets a name: of any number of processes just one.
            target = next(name for name in number_names(stem) if self.create(name))
        return target

    def create(self, directory: str) -> bool:
        """Create a directory, tell whether it is new, and say what to do where it can't be."""
        try:
            check_links(directory)
            created = create_directories(directory, self.create_parents)
        except OSError as error:
            orphan = isinstance(error, FileNotFoundError) and not self.create_parents
            advice = "; create_parents=True creates parents" if orphan else ""
            problem = f"cannot create the directory {directory}: {error.strerror}{advice}"
            raise self.fail(OSError, problem, error.errno) from None
        self.created += created
        return directory in created

    def inject_directory(self, base: str, directory: str) -> None:
        """Give the final directory to the parameter that carries it to the function."""
        options, arguments = self.options, self.bound.arguments
        if not (options.directory_injection_parameter or options.suffix_option):
            return
        import pathlib

        if options.directory_injection_parameter is not None:
            arguments[options.carrier] = pathlib.Path(directory)
        else:
            below = options.subdirectory_name_parameter is not None
            text = os.path.relpath(directory, base) if below else directory
            given = arguments[options.carrier]
            kind = type(given) if isinstance(given, pathlib.PurePath) else pathlib.Path
            arguments[options.carrier] = text if isinstance(given, str) else kind(text)


# == A run =====================================================================
# `with Run(call) as run` completes the record however the block ends; an error
# in that is a warning. `begin`, within the block, writes the first record. A run
# that is left in another process than it began in (a forked child) writes none.
# `_Endings` handles what ends a process before its runs have ended, as signals do.

_active_run: contextvars.ContextVar[Run | None] = contextvars.ContextVar("run", default=None)
# By source file and qualified name: a rerun finds here what other decorators hide.
tracked_functions: dict[tuple[str | None, str], Callable[..., Any]] = {}


class Run:
    """One recorded call, from its first record to its last."""

    def __init__(self, call: Call) -> None:
        self.call, self.tracker, self.options = call, call.tracker, call.options
        self.uuid, self.pid = call.uuid, os.getpid()
        self.parent = _active_run.get()
        # The wall clock tells when; how long, a clock that nobody sets.
        self.clock, self.cpu_seconds = time.perf_counter(), sum(os.times()[:4])
        self.outcome: Record = {"status": "completed"}
        self.has_ended = False
        # Held while the run ends: the program may end while a thread is ending the run.
        self.ending = _thread.RLock()
        self.record: Record = {}
        self.file: RecordFile
        self.hash_room = self.options.hash_limit
        # What lay in the directory before the function ran, and whether that is all.
        self.tree: tuple[Mapping[str, tuple[int, ...]], bool] = ({}, False)
        self.capture = Capture(self.tracker.function) if self.options.capture_files else None
        self.captures: tuple[Capture, ...] = self.parent.captures if self.parent else ()
        if self.capture:
            self.captures += (self.capture,)

    def __enter__(self) -> Run:
        return self

    def begin(self) -> None:
        """Do all that may fail, write the first record, and seed."""
        call, options = self.call, self.options
        call.prepare()
        self.evidence = self.tracker.read_evidence(call.locate)
        self.record = self.make_record()
        self.file = RecordFile(call.path, options.chain_records)
        with _endings:
            _endings.add(self)
            self.write_first()
            self.tree = scan_tree(call.directory)
            # Not called deeper down: PyTorch notes the call stack at each seeding, 5 us a frame.
            seed_run(call.seed, options.seed_numpy, options.seed_tensorflow, options.seed_torch)
            if self.capture:
                self.capture.begin()

    def write_first(self) -> None:
        """Write the record of a run that begins; an error here stops it."""
        try:
            self.file.begin(self.record)
        except FileExistsError as error:
            raise self.call.fail(FileExistsError, str(error.strerror)) from None
        except OSError as error:
            problem = f"cannot write the record {self.file.path}: {error.strerror or error}"
            raise self.call.fail(OSError, problem, error.errno) from None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        try:
            self.complete(error)
        except BaseException as late:
            # Ctrl-C, or a timeout's handler: neither may keep the record from its end.
            self.complete(late)
            raise
        finally:
            if self.pid == os.getpid():
                # A task or context that the run left may hold it for long.
                self.record, self.tree = {}, ({}, False)
                self.call.forget()

    def complete(self, error: BaseException | None) -> None:
        """End the run, unless that has been done."""
        if not _endings.holds(self):
            if not self.record:
                remove_directories(self.call.created)
        elif not sys.is_finalizing():
            with self.ending, _endings:
                if _endings.holds(self):
                    self.end(error)

    def end(self, error: BaseException | None) -> None:
        """Write the last record, and leave no trace else; what fails here is one warning."""
        # Two tries: a timeout's handler may raise in the first, but does so only once.
        for _ in range(2):
            try:
                self.write_last(error)
                break
            except Exception as raised:
                problem = raised
        else:
            what = f"{self.tracker.name}() ran, but its record {self.file.path}"
            warn(f"{what} could not be completed: {describe_briefly(problem)}")
        # Not in a `finally`: after Ctrl-C in the lines above the run is still to be completed.
        _endings.remove(self)

    def write_last(self, error: BaseException | None) -> None:
        """Write how the run ended; a run that has no record leaves no directories either."""
        if self.capture:
            self.capture.end()
        if self.file.signature is None and not self.file.holds(self.uuid):
            remove_directories(self.call.created)
        else:
            self.note_end(error)
            self.record.update(self.evidence.note_late_sources())
            self.evidence.gpus.read(is_last=True)
            self.save(self.outcome, self.hash_room)

    def save(self, outcome: Record | None, hash_room: int | None) -> None:
        """Write the record of a run that ends with `outcome`; with None it goes on after all."""
        self.file.follow()
        record = self.complete_record(outcome, hash_room) if outcome else self.record
        # A record that says how the run ended is worth an fsync: it is mostly the last.
        taken = self.file.write(record, durable=outcome is not None)
        if taken:
            name = self.tracker.name
            warn(f"{name}() has written {taken} itself; its record is {self.file.path}")

    def note_end(self, error: BaseException | None) -> None:
        """Note how the run ended."""
        closed = isinstance(error, GeneratorExit) and self.outcome["status"] != "completed"
        if error is not None and not closed:
            raised, outcome = _endings.raised
            self.outcome = outcome if raised is error else describe_outcome(error)
        self.has_ended = True

    def note_signal(self, outcome: Record | None) -> None:
        """Write how a signal ends the run, or (None) that it goes on; there is no time to hash."""
        try:
            # A signal that comes while the record is completed doesn't change how the run ended.
            self.save(self.outcome if self.has_ended else outcome, hash_room=0)
        except Exception as problem:
            say(f"{self.file.path}: {describe_briefly(problem)}")

    def returned(self, result: Any) -> Any:
        """Note what the function returned, and pass it on."""
        self.outcome.update(describe_result(result))
        return result

    def thrown(self, error: BaseException) -> None:
        """Note that its consumer closed the generator, if that is what was thrown into it."""
        if isinstance(error, GeneratorExit) and _endings.holds(self):
            self.outcome = describe_outcome(GeneratorExit("closed before it was exhausted"))

    def make_record(self) -> Record:
        """The record as it is before the function runs."""
        omitted: list[str] = []
        declared = self.options.input_parameters
        inputs = find_inputs(self.call.bound.arguments, declared, omitted)
        self.hash_room = hash_files(inputs, self.hash_room)
        record = {
            "pycrumbs": __version__,
            "uuid": self.uuid,
            "parent": self.parent and self.parent.uuid,
            "rerun_of": self.call.rerun_of,
            "status": "running",
            "timing": {"start_time": format_time(self.call.start)},
            "environment": self.evidence.read_environment(self.options),
            "package_inventory": self.evidence.packages,
            "package_origins": self.evidence.origins,
            "called_function": Fixed(self.call.describe()),
            "tracked_module": self.evidence.tracked_module,
            "extra_tracked_modules": self.evidence.extra_modules,
            "seed": self.call.seed,
            "inputs": inputs or None,
            "inputs_omitted": join_reasons(omitted),
        }
        return without_none(record)

    def complete_record(self, outcome: Record, hash_room: int | None) -> Record:
        """The record with what is known once the function has ended."""
        import datetime

        end, elapsed = time.time(), max(0.0, time.perf_counter() - self.clock)
        run_time = str(datetime.timedelta(seconds=elapsed))
        timing = {"end_time": format_time(end), "run_time": run_time}
        # A record without its files still says most of what it is for.
        files = attempt(self.find_files, hash_room)
        files = {"outputs_omitted": files} if isinstance(files, Missing) else files
        record = {**self.record, "timing": {**self.record["timing"], **timing}}
        # What a capture read stands before the run's outcome; what it wrote, after it.
        record.update({key: files[key] for key in files if not key.startswith("outputs")})
        record.update(outcome, **files)
        # What came too late for the first record goes into the last.
        gpus = self.evidence.gpus.read()
        if gpus != record["environment"].get("gpus"):
            record["environment"] = Fixed(record["environment"], gpus=gpus)
        used = round(sum(os.times()[:4]) - self.cpu_seconds, 3)
        record["resources"] = {"cpu_seconds": used, "max_rss_bytes": attempt(_read_peak_memory)}
        return record

    def find_files(self, hash_room: int | None) -> Record:
        """The files that the run made, and, where that was asked for, those that it opened."""
        directory = os.path.dirname(self.file.path)
        unseen: list[str | None] = []
        found: Record = {}
        # In the record's own tree files are found by looking, however they were written.
        outputs = find_outputs(directory, self.tree, self.call.start, unseen)
        if self.capture:
            inputs, missing = list(self.record.get("inputs", [])), self.capture.overflow
            # What the run made and then read is an output, and no input.
            tops = (directory, os.path.realpath(directory))
            made = {os.path.join(top, entry["path"]) for entry in outputs for top in tops}
            unchanged = self.capture.find_inputs(inputs, made, self.call.start)
            outputs += self.capture.find_outputs(directory)
            omitted = [self.record.get("inputs_omitted"), missing]
            inputs = limit_files(inputs, omitted)
            hashable = [entry for entry in inputs if entry["path"] in unchanged]
            hash_room = hash_files(hashable, hash_room, stop=_endings.hurry)
            found.update(inputs=inputs or None, inputs_omitted=join_reasons(omitted))
            found["capture"] = CAPTURE_COVERAGE
            unseen.append(missing)
        outputs = limit_files(outputs, unseen)
        hash_files(outputs, hash_room, directory, stop=_endings.hurry)
        if _endings.hurry() and not all(entry["sha256"] for entry in outputs):
            unseen.append("hashes, as a signal came")
        return without_none({**found, "outputs": outputs, "outputs_omitted": join_reasons(unseen)})


class Active:
    """A context: while it is open, new runs are nested in this one."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def __enter__(self) -> None:
        self.tokens = _active_run.set(self.run), active_captures.set(self.run.captures)

    def __exit__(self, *error: object) -> None:
        try:
            _active_run.reset(self.tokens[0])
            active_captures.reset(self.tokens[1])
        except ValueError:
            # A coroutine that is closed in another context than it ran in.
            if _active_run.get() is self.run:
                _active_run.set(None)
                active_captures.set(None)


class _Endings:
    """The runs in progress, and all ways in which a process can end before they do.

    **Exit**: the runs that it cuts off read `interrupted`. **Forks**: a child forgets its parent's
    runs. **Signals**: SIGTERM and SIGHUP, and SIGINT where the program has its own handler, have
    the records completed first. Then the handler from before is called, or the signal has its
    default effect, so that the process ends as it would have. As a context it holds these signals
    back while a record is written. Our handlers are in place while the main thread has a run.
    """

    def __init__(self) -> None:
        self.is_registered = False
        self.runs: dict[str, Run] = {}  # by uuid
        # The runs of the main thread. While there is one, our handlers are in place.
        self.guarded: set[str] = set()
        # The handlers that ours stand in for; kept, as code may put ours back after the last run.
        self.before: dict[int, Any] = {}
        self.depth = 0  # of the contexts that hold signals back
        self.waiting: list[tuple[int, types.FrameType | None]] = []
        # What a signal's own handler raised, and how the runs that it leaves end.
        self.raised: tuple[BaseException | None, Record] = (None, {})
        self.masks: dict[int, Any] = {}  # of threads that are forking

    def holds(self, run: Run) -> bool:
        """Whether a run is in progress, in this process."""
        return run.uuid in self.runs and run.pid == os.getpid()

    def add(self, run: Run) -> None:
        """Watch over a run that begins."""
        self.register()
        self.runs[run.uuid] = run
        if _in_main_thread():
            self.guarded.add(run.uuid)
            if len(self.guarded) == 1:
                self.install()

    def remove(self, run: Run) -> None:
        """A run has ended; with the last one the signals go back, unless others have taken them."""
        self.runs.pop(run.uuid, None)
        if not self.runs:
            seed_on_import.forget()
        self.guarded.discard(run.uuid)
        if not self.guarded and _in_main_thread():
            self.uninstall()

    def register(self) -> None:
        """Hear of the program's end and of forks, from the first run on."""
        if not self.is_registered:
            import atexit

            self.is_registered = True
            atexit.register(self.end_with_program)
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(
                    before=self.before_fork,
                    after_in_parent=self.after_fork,
                    after_in_child=self.after_fork_in_child,
                )

    def end_with_program(self) -> None:
        """End the runs that the program's end cuts off: suspended generators, daemon threads'.

        Later, when Python closes the generators, nothing can be imported any more.
        """
        for run in reversed(list(self.runs.values())):
            error = {"type": "Exit", "message": "the program ended before it did", "traceback": []}
            run.outcome = {"status": "interrupted", "error": error}
            run.complete(None)
        # Else suspended generators would live until stdout is gone; their `finally` may print.
        _active_run.set(None)
        tracked_functions.clear()

    def install(self) -> None:
        """Put our handler in the place of those that are there."""
        for number in _ENDING:
            handler = _signal.getsignal(number)
            if handler == self.handle or _is_left(handler):
                continue
            # Noted first: ours asks for it from the moment that it is in place.
            self.before[number] = handler
            try:
                _signal.signal(number, self.handle)
            except ValueError:
                # A subinterpreter gets no signals.
                del self.before[number]

    def uninstall(self) -> None:
        """Give the signals back that nobody else has taken meanwhile."""
        for number, handler in self.before.items():
            if _signal.getsignal(number) == self.handle:
                _signal.signal(number, handler)
        self.raised = (None, {})

    def before_fork(self) -> None:
        """Block the signals: CPython drops those that a child gets before it notices the fork."""
        if self.guarded:
            mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, [*self.before])
            self.masks[_thread.get_ident()] = mask

    def after_fork(self) -> None:
        """Let them through again, in the parent or the child."""
        mask = self.masks.pop(_thread.get_ident(), None)
        if mask is not None:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)

    def after_fork_in_child(self) -> None:
        """The parent's runs are its own affair: here it is as if the last one had ended."""
        self.runs, self.guarded, self.waiting, self.depth = {}, set(), [], 0
        # Else all workers would draw the same numbers from what they import first.
        seed_on_import.forget()
        self.uninstall()
        self.after_fork()

    def __enter__(self) -> None:
        if _in_main_thread():
            self.depth += 1

    def __exit__(self, *error: object) -> None:
        if _in_main_thread():
            self.depth -= 1
            while self.waiting and not self.depth:
                self.pass_on(*self.waiting.pop(0))

    def handle(self, number: int, frame: types.FrameType | None) -> None:
        """Our handler of a signal."""
        if not self.depth:
            self.pass_on(number, frame)
        elif number not in [waiting for waiting, _ in self.waiting]:
            # As in the kernel, of one kind only one waits.
            self.waiting.append((number, frame))

    def hurry(self) -> bool:
        """Whether a signal waits that is to end the process, so that time is short."""
        return bool(self.waiting)

    def pass_on(self, number: int, frame: types.FrameType | None) -> None:
        """Complete the records; then do what the signal would have done without us."""
        handler, now = self.before[number], _signal.getsignal(number)
        if not callable(handler) and callable(now) and now != self.handle:
            # Nobody handled the signal before us; the program's own handler has called ours.
            return
        outcome = describe_signal(number, frame)
        self.complete_records(outcome)
        if not callable(handler):
            # The exit status must be that of a process which the signal has ended.
            _signal.signal(number, _signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        try:
            handler(number, frame)
        except BaseException as error:
            self.raised = (error, outcome)
            raise
        self.complete_records(None)

    def complete_records(self, outcome: Record | None) -> None:
        """Have the records say how their runs end; None: that they go on."""
        with self:
            for run in list(self.runs.values()):
                # A child that C code has forked has its parent's runs, too.
                if self.holds(run):
                    run.note_signal(outcome)


_ENDING = [getattr(_signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(_signal, n)]
_endings = _Endings()


def _is_left(handler: Any) -> bool:
    """Whether a handler stays: with it the run ends properly, or the process goes on."""
    # Left are: what is ignored; what C code has set; the Ctrl-C handlers of Python and asyncio.
    function = getattr(handler, "func", handler)
    is_harmless = handler in (_signal.SIG_IGN, None, _signal.default_int_handler)
    is_asyncio = getattr(function, "__module__", None) == "asyncio.runners"
    # The kernel doesn't end process 1 of a container by a signal without a handler.
    return is_harmless or is_asyncio or (handler == _signal.SIG_DFL and os.getpid() == 1)


def _in_main_thread() -> bool:
    """Whether this is the thread that Python runs signal handlers in."""
    import threading

    return _thread.get_ident() == threading.main_thread().ident


def _read_peak_memory() -> int:
    """The peak of this process's resident memory so far, in bytes."""
    if sys.platform == "linux":
        # proc(5). getrusage(2) also counts the program that became the interpreter by exec.
        status = read_bytes("/proc/self/status").partition(b"VmHWM:")[2]
        return int(status.split()[0]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


# == Evidence: the machine =====================================================
# A probe starts at once and is read later. One that fails yields `Missing`
# ("unavailable: <reason>"); what doesn't apply here is None and left out.
# `Evidence` reads what this section and the next two find.


class Evidence:
    """What a tracked function's first call reads; the programs it asks run side by side."""

    def __init__(self, tracker: Tracker, locate: Callable[[str], str]) -> None:
        # nvidia-smi first, as it takes longest.
        self.gpus = _GpuProbe()
        self.locate = locate
        self.packages: Record | Missing | None = None
        self.origins: Record | Missing | None = None
        self.tracked_module: Record | None = None
        # The sources loaded when the code was read; the number of modules when a run last ended.
        self.sources: set[str] = set()
        self.module_count = 0
        # The environment, and the process's state when it was read.
        self.environment: Record = {}
        self.state: list[Any] = []
        self.read(tracker)
        self.gpus.read(PROBE_WAIT)

    def read(self, tracker: Tracker) -> None:
        """Read the code and, the first time, the packages; what fails here stops the run."""
        probes: list[GitProbe] = []
        try:
            self.gather(tracker, probes)
        except BaseException:
            attempt(self.gpus.read, is_last=True)
            for probe in probes:
                attempt(probe.abandon)
            raise

    def gather(self, tracker: Tracker, probes: list[GitProbe]) -> None:
        """Read them; the probes that this starts join `probes`."""
        options = tracker.options
        # Each starts its git at once; they are asked in turn.
        probes.extend(probe_module(module) for module in options.extra_modules)
        if not options.disable_git_tracking:
            probes.append(GitProbe(tracker.function.__module__, tracker.source_file))
        # Slow imports and reads go on while git works.
        _get_process_info()
        for probe in probes:
            probe.advance()
        if options.include_package_inventory and self.packages is None:
            # Somebody else's finder may break; then the inventory says why.
            self.packages = found = attempt(read_packages)
            if not isinstance(found, Missing):
                self.packages = Fixed(found[0])
                self.origins = attempt(read_origins, found[1], probes, self.locate)
        states = [Fixed(probe.describe(options.allow_dirty_repo)) for probe in probes]
        if not options.disable_git_tracking:
            edited = tracker.is_source_edited() or None
            self.tracked_module = Fixed(states.pop(), source_edited_after_import=edited)
            self.sources = set(probes[-1].loaded)
        self.extra_modules = {state["name"]: state for state in states} or None

    def note_late_sources(self) -> Record:
        """Add to the patch the new sources that have been loaded since; return the code's state."""
        count, self.module_count = self.module_count, len(sys.modules)
        if self.tracked_module and count != self.module_count:
            top = self.tracked_module.get("git_working_dir")
            sources = set(loaded_sources(top, "")) - self.sources if top else set()
            # Mostly there are none: what functions import is installed, or committed.
            if sources:
                self.sources |= sources
                self.tracked_module = add_late_sources(self.tracked_module, sources)
        return without_none({"tracked_module": self.tracked_module})

    def read_environment(self, options: Options) -> Record:
        """The environment; while nothing in it changes, the one of the call before."""
        gpus = self.gpus.read()
        # CPython's own dictionary of bytes: decoding it would take ten times as long.
        variables = dict(getattr(os.environ, "_data", os.environ))
        lists = [list(getattr(sys, name, ())) for name in ("argv", "path")]
        state = [os.getpid(), attempt(os.getcwd), variables, *lists, gpus]
        if state != self.state:
            self.environment = Fixed(
                _get_process_info(),
                gpus=gpus,
                rank=read_rank(os.environ),
                environment_variables=_read_variables(options.extra_environment_variables),
            )
            self.state = state
        return self.environment


def get_environment_info() -> Record:
    """Describe the machine and this process.

    Returns
    -------
    dict
        What a record's `environment` holds but for variables and rank: argv, platform, cwd, user,
        gpus and so on. What could not be read says "unavailable: <reason>".
    """
    probe = _GpuProbe()
    info = _get_process_info()
    return without_none({**info, "gpus": probe.read(PROBE_WAIT, is_last=True)})


def _get_process_info() -> Record:
    """The part of the environment that costs little to read again."""
    return without_none({key: attempt(read) for key, read in _PROCESS_FACTS.items()})


def _read_command_line() -> list[str]:
    return os.fsdecode(read_bytes("/proc/self/cmdline")).split("\0")[:-1]


def _read_docker_build_hash() -> str | None:
    """The commit that images built with the cookiecutter-qtim template note in a file."""
    if not os.path.exists(DOCKER_BUILD_HASH_FILE):
        return None
    return read_bytes(DOCKER_BUILD_HASH_FILE).decode().split("\n")[0].strip()


_PROCESS_FACTS: dict[str, Callable[[], Any]] = {
    "argv": lambda: redact_argv(sys.argv),
    # Before Python 3.10 only Linux tells.
    "orig_argv": lambda: redact_argv(getattr(sys, "orig_argv", None) or _read_command_line()),
    "platform": lambda: sys.platform,
    "platform_info": lambda: __import__("platform").platform(),
    "python_version": lambda: sys.version,
    "python_implementation": lambda: sys.implementation.name,
    "python_executable": lambda: sys.executable or Missing("Python can't tell"),
    "cwd": os.getcwd,
    "hostname": lambda: read_hostname(),  # noqa: PLW0108  # defined below
    "python_path": lambda: [str(entry) for entry in sys.path],
    "cpu_count": lambda: os.cpu_count() or Missing("Python can't tell"),
    "user": lambda: __import__("getpass").getuser(),
    "git_hash_at_docker_build": _read_docker_build_hash,
    "process": lambda: identify_process(),  # noqa: PLW0108
}

# Recorded even where they aren't set, as null.
_ALWAYS_RECORDED = ("CUDA_VISIBLE_DEVICES", "VIRTUAL_ENV", "PYENV_VIRTUAL_ENV", "PYTHONPATH")
# Recorded where they are set, and set again by a rerun: numbers may depend on them.
RESTORED_VARIABLES = (
    "CUDA_VISIBLE_DEVICES PYTHONHASHSEED PYTHONOPTIMIZE PYTHONUTF8 LANG LC_ALL TZ "
    "SOURCE_DATE_EPOCH NVIDIA_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES HIP_VISIBLE_DEVICES "
    "CUDA_DEVICE_ORDER CUDA_LAUNCH_BLOCKING NVIDIA_TF32_OVERRIDE OMP_NUM_THREADS MKL_NUM_THREADS "
    "OPENBLAS_NUM_THREADS NUMEXPR_NUM_THREADS VECLIB_MAXIMUM_THREADS BLIS_NUM_THREADS "
    "TF_NUM_INTRAOP_THREADS TF_NUM_INTEROP_THREADS OMP_PROC_BIND KMP_AFFINITY MKL_CBWR "
    "CUBLAS_WORKSPACE_CONFIG TF_DETERMINISTIC_OPS TF_CUDNN_DETERMINISTIC TF_ENABLE_ONEDNN_OPTS "
    "JAX_ENABLE_X64"
).split()
# Recorded where set: those, and what chooses interpreters, backends, ranks and containers.
_RECORDED_IF_SET = [
    *RESTORED_VARIABLES,
    *"CONDA_DEFAULT_ENV CONDA_PREFIX CONDA_PYTHON_EXE PYTHONHOME PYTHONSAFEPATH".split(),
    *"LD_PRELOAD XLA_FLAGS KERAS_BACKEND JAX_PLATFORMS".split(),
    *"RANK WORLD_SIZE LOCAL_RANK GROUP_RANK MASTER_ADDR MASTER_PORT PYCRUMBS_JOB_ID".split(),
    *"TORCHELASTIC_RUN_ID TORCHELASTIC_RESTART_COUNT PMIX_NAMESPACE PMI_RANK PMI_SIZE".split(),
    *"OMPI_COMM_WORLD_RANK OMPI_COMM_WORLD_SIZE OMPI_COMM_WORLD_LOCAL_RANK PMI_JOBID".split(),
    *"container APPTAINER_CONTAINER SINGULARITY_CONTAINER KUBERNETES_SERVICE_HOST".split(),
]


def _read_variables(extra: Iterable[str] = ()) -> dict[str, str | None]:
    """The environment variables that a record keeps; all of SLURM's inside a SLURM job."""
    environ = copy_environment()
    known = [name for name in _RECORDED_IF_SET if name in environ]
    slurm = sorted(name for name in environ if name.startswith("SLURM"))
    names = [*_ALWAYS_RECORDED, *known, *(slurm if "SLURM_JOB_ID" in environ else ()), *extra]
    values = {name: environ.get(name) for name in names}
    return {
        name: REDACTED if is_secret(name, value) else value and redact_text(value)
        for name, value in values.items()
    }


def is_asked_for(name: str) -> bool:
    """Whether a variable is recorded only where a function's decorator asks for it."""
    return not name.startswith("SLURM") and name not in (*_ALWAYS_RECORDED, *_RECORDED_IF_SET)


def read_rank(variables: Mapping[str, Any]) -> Record | None:
    """Which of a job's processes this is, where torchrun or its like says so; else None."""
    texts = [str(variables.get(name)) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")]
    if not variables.get("MASTER_ADDR") or not all(text.isdecimal() for text in texts):
        return None
    rank, size, local = map(int, texts)
    if not rank < size > 1:
        return None
    return {"rank": rank, "world_size": size, "local_rank": local, "launcher": "torchrun"}


# nvidia-smi's fields, which every driver since 2012 knows, and what a record calls them.
_GPU_QUERY = "--query-gpu=index,uuid,name,driver_version,memory.total,pci.bus_id"
_GPU_KEYS = ("index", "uuid", "name", "driver_version", "memory_mib", "pci_bus_id")
# What drivers print where a card has no such thing, or they may not tell.
_GPU_BLANKS = ("", "[N/A]", "N/A", "[Not Supported]", "[Insufficient Permissions]")


class _GpuProbe:
    """The GPUs, from an nvidia-smi that may take long, or hang: never waited for without bound."""

    def __init__(self) -> None:
        import shutil

        self.process: Program | None = None
        # What is known so far; None where there is no NVIDIA driver at all.
        self.answer: list[Record] | Missing | None = None
        # Runs in several threads share it; and a forked child must leave its parent's alone.
        self.lock, self.pid = _thread.allocate_lock(), os.getpid()
        # WSL doesn't always have it on PATH.
        program = shutil.which("nvidia-smi") or shutil.which("nvidia-smi", path="/usr/lib/wsl/lib")
        try:
            if program:
                self.answer = Missing("nvidia-smi has not answered yet")
                self.process = Program([program, _GPU_QUERY, "--format=csv,noheader,nounits"])
            elif os.path.exists("/proc/driver/nvidia"):
                self.answer = Missing("there is an NVIDIA driver, but no nvidia-smi on PATH")
        except Unavailable as error:
            self.answer = Missing(error)

    def read(self, wait: float = 0.0, is_last: bool = False) -> list[Record] | Missing | None:
        """What is known after at most `wait` seconds; the last look gives up what is not."""
        if self.process and self.pid == os.getpid() and self.lock.acquire(blocking=is_last):
            try:
                ended = self.process.read(wait) if self.process else None
                if self.process and (ended or is_last):
                    self.answer = _parse_gpus(*ended) if ended else Missing(self.process.abandon())
                    self.process = None
            finally:
                self.lock.release()
        return self.answer


def _parse_gpus(code: int, output: bytes, error: str) -> list[Record] | Missing:
    """Parse what nvidia-smi prints for our query: CSV, a line each."""
    text = output.decode("utf-8", "replace")
    rows = [[value.strip() for value in line.split(",")] for line in text.splitlines()]
    gpus = [
        {
            key: int(value) if value.isdigit() else value
            for key, value in zip(_GPU_KEYS, row)
            if value not in _GPU_BLANKS
        }
        for row in rows
        # "No devices were found", or a warning among the rows.
        if len(row) == len(_GPU_KEYS)
    ]
    if code == 0 and (gpus or "No devices" in text or not text.strip()):
        return gpus
    reason = (text.strip() or error or "no output").splitlines()[0]
    return Missing(f"nvidia-smi exited with status {code}: {reason}")


# == Evidence: the code ========================================================
# The state of a repository, and the patch that leads from its commit to the
# files as they are. A file goes into the patch whole, or is left out and named.

_DIFF_LIMIT = 16 * PATCH_LIMIT  # bytes of all files that one patch is made of, before and after
_OMITTED_HASH_LIMIT = 64 * 2**20  # bytes of a file left out that is hashed nevertheless
_DIFFS_AT_ONCE = 20  # processes
_FEW_PATHS = 50  # up to so many, a diff of named paths is faster than one of all files
_HIDDEN_LIMIT = 100  # files that git is told not to look at and are compared nevertheless
_OMITTED_LIMIT = 100  # things that a git_patch_omitted names

GIT_ADVICE = (
    "keep the source in a git repository (install it with pip's --editable option), or pass "
    "disable_git_tracking=True to tracked"
)
_GIT_INSTALL = "install git, or put it on PATH, or pass disable_git_tracking=True to tracked"
# Untracked files are asked for by name only: to look for all of them can take minutes.
_STATUS = (
    *("status", "--porcelain=v2", "--branch", "-z", "--untracked-files=no"),
    *("--no-ahead-behind", "--no-renames", "--ignore-submodules=dirty"),
)
_INDEX = ("ls-files", "-v", "--stage", "-z")
_CONFIG = ("config", "--show-scope", "--null", "--get-regexp")
# The scope tells what the user has set up from what the repository brings along.
_CONFIG_KEYS = r"^(remote\..*\.url|core\.filemode|filter\..*\.(clean|process))$"
# What settings and attributes could change in a patch is fixed here. Without this, git would
# refresh the index's stat cache despite GIT_OPTIONAL_LOCKS, and warn about every CRLF.
_DIFF = (
    # Names in ASCII, whatever their encoding; blank context lines with their blank.
    *("-c", "core.quotePath=true", "-c", "diff.suppressBlankEmpty=false"),
    *("-c", "diff.autoRefreshIndex=false", "-c", "core.safecrlf=false"),
    # The files' own bytes, not what a program makes of them for reading.
    *("diff", "--binary", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv"),
    # What `git apply` takes without options, wherever it is called.
    *("--no-renames", "--src-prefix=a/", "--dst-prefix=b/", "-U3", "--inter-hunk-context=0"),
    # A submodule's commit only: looking into it would run what its settings name.
    *("--submodule=short", "--ignore-submodules=dirty", "--no-relative", "-O/dev/null"),
)
COMMIT = r"[0-9a-f]{40}(?:[0-9a-f]{24})?"  # SHA-1 or SHA-256


class GitProbe:
    """The state of the repository that holds a source file or folder.

    git starts on it at once; `advance` starts what depends on the first answers, and `read` waits
    for the rest.
    """

    def __init__(self, name: str, path: str | None, started: float | None = None) -> None:
        self.name, self.path = name, path
        # git has to give this probe all its answers within GIT_TIMEOUT seconds of then.
        self.started = started or time.monotonic()
        if path is None:
            raise RuntimeError(
                f"cannot record the git state of {name!r}: it isn't defined in a file (but in an "
                f"interactive session, perhaps); {GIT_ADVICE}"
            )
        self.real_path = self.asked = os.path.realpath(path)
        if os.path.isdir(path):
            # git can't be asked about a folder itself: ask about a file that could be in it.
            self.asked = os.path.join(self.real_path, "pyproject.toml")
        self.programs: dict[str, Program] = {}
        self.submodules: dict[str, GitProbe | Missing] = {}
        self.top = ""
        self.silence = ""  # why git said nothing, if it didn't
        self.loaded: list[str] = []  # the sources that the process runs
        self.omitted: list[str] = []  # what the patch will lack
        self.start("config", *_CONFIG, _CONFIG_KEYS)
        self.start("top", "rev-parse", "--show-toplevel")

    def start(self, key: str, *arguments: str) -> None:
        """Start a git whose answer is asked for by that key."""
        folder = self.top or os.path.dirname(self.asked)
        try:
            self.programs[key] = start_git(folder, *arguments, since=self.started)
        except Unavailable as error:
            advice = _GIT_INSTALL if "No such file" in str(error) else ""
            raise self.error(str(error), advice) from None

    def answer(self, key: str, needed: bool = True) -> bytes:
        """A git's output. Unavailable if it is late; if it fails, RuntimeError where needed."""
        time_left = self.started + GIT_TIMEOUT - time.monotonic()
        code, output, complaint = self.programs.pop(key).wait(time_left)
        if code == 129 and key == "config":
            raise self.error("this git is too old: pycrumbs needs version 2.26 or later")
        # Where SIGCHLD is ignored, every status is 0.
        if code >= 128 or (not output and complaint.startswith("fatal: ")):
            reason = complaint.replace("fatal: ", "").replace("\n", " ")
            reason = reason or f"git ended with status {code}"
            raise self.error(reason) if needed else Unavailable(reason)
        return output

    def ask(self, *arguments: str) -> str:
        """The output of a git that is started and waited for; Unavailable if there is none."""
        self.start("now", *arguments)
        return os.fsdecode(self.answer("now", needed=False))

    def list_paths(self, paths: Iterable[str], *arguments: str) -> Iterator[str]:
        """What git lists of these paths, entry by entry."""
        for batch in in_batches(paths):
            yield from self.ask("--literal-pathspecs", *arguments, "--", *batch).split("\0")[:-1]

    def abandon(self) -> None:
        """End whatever git still does for it."""
        for program in self.programs.values():
            program.abandon()
        for probe in self.submodules.values():
            if isinstance(probe, GitProbe):
                probe.abandon()

    def error(self, problem: str, advice: str = "") -> RuntimeError:
        """The error of a probe that failed; whatever git still does for it ends."""
        self.abandon()
        where = f"cannot record the git state of {self.name!r} ({self.path})"
        return RuntimeError(f"{where}: {problem}; {advice or GIT_ADVICE}")

    def advance(self) -> None:
        """Start what depends on the repository's top and settings."""
        if self.top or self.silence:
            return
        try:
            top = os.fsdecode(self.answer("top"))[:-1]
            texts = os.fsdecode(self.answer("config")).split("\0")
        except Unavailable as silence:
            self.silence = str(silence)
            return
        self.top = top
        # The scope of each setting, its key and value.
        entries = (entry.partition("\n")[::2] for entry in texts[1::2])
        self.config = [(scope, *entry) for scope, entry in zip(texts[::2], entries)]
        self.filters = self.choose_filters()
        self.start("status", *self.filters, *_STATUS)
        self.start("index", *_INDEX)
        self.start("ignored", "check-ignore", "--no-index", self.asked)

    def choose_filters(self) -> tuple[str, ...]:
        """Arguments that have git run the user's filters (git-lfs), but not the repository's."""
        # What the user has set up for all repositories is trusted; a clone's own isn't.
        users = {key: value for scope, key, value in self.config if scope in ("system", "global")}
        settings = {key for scope, key, _ in self.config if scope in ("local", "worktree")}
        own = {key for key in settings if key.startswith("filter.")}
        arguments = []
        for key in sorted(own):
            if "=" in key:
                raise self.error(f"the setting {key} in {self.top} can't be switched off")
            arguments += ["-c", f"{key}={users.get(key, '')}"]
            if key not in users:
                arguments += ["-c", f"{key.rpartition('.')[0]}.required=false"]
        return tuple(arguments)

    def describe(self, allow_dirty: bool) -> Record:
        """The repository's state; where git is silent, that, unless a clean one is insisted on."""
        try:
            return self.read(allow_dirty)
        except Unavailable as silence:
            if not allow_dirty:
                raise self.error(str(silence)) from None
            self.abandon()
            state = {"module_path": self.path, "name": self.name}
            return {**state, "git_commit_hash": Missing(silence)}

    def read(self, allow_dirty: bool) -> Record:
        """The repository's state, as a record tells it."""
        self.advance()
        if self.silence:
            raise Unavailable(self.silence)
        index = os.fsdecode(self.answer("index"))
        own = os.path.relpath(self.asked, self.top).replace(os.sep, "/")
        # A tracked file isn't ignored, whatever the patterns say.
        if self.is_ignored() and not _find_tracked(index, {own}):
            raise self.error(f"the repository {self.top} ignores that file")
        hidden, submodules = _parse_index(index)
        self.start_submodules(submodules)
        untracked = self.find_untracked(index)
        state, changed = _parse_status(os.fsdecode(self.answer("status")))
        # git was told to leave submodules alone, as looking would run what their settings name.
        state["git_is_dirty"] |= self.read_submodules()
        commit, is_dirty = state.get("git_commit_hash"), state["git_is_dirty"]
        if not allow_dirty:
            self.check_clean(commit, is_dirty)
        self.note_changes(changed, untracked)
        try:
            patch = self.read_patch(commit, changed, [*self.find_hidden(hidden), *untracked])
        except Unavailable as error:
            # What has been told so far holds without the patch. (A partial clone may lack objects.)
            self.abandon()
            patch, self.omitted = [], [f"all of it ({error})"]
        # An empty patch says that what is staged has been undone in the working tree.
        is_told = patch or (is_dirty and not self.omitted)
        state = {"module_path": self.path, "name": self.name, **state}
        state.update(git_remotes=self.find_remotes(), git_working_dir=self.top)
        state.update(git_patch=patch if is_told else None, **_tell_omitted(self.omitted))
        return without_none(state)

    def is_ignored(self) -> bool:
        """Whether git ignores the file, if it has been asked."""
        return "ignored" in self.programs and self.answer("ignored") != b""

    def check_clean(self, commit: str | None, dirty: bool) -> None:
        """Raise RuntimeError unless the commit says all."""
        if commit is None or dirty:
            reason = "has no commit yet" if commit is None else "is dirty (has uncommitted changes)"
            raise RuntimeError(
                f"the repository of {self.name!r} ({self.top}) {reason}; commit first, or "
                "allow it (allow_dirty_repo=True for tracked, allow_dirty=True for get_git_info)"
            )

    def find_remotes(self) -> dict[str, str]:
        """The first URL of each remote."""
        remotes: dict[str, str] = {}
        for _, key, value in self.config:
            if key.startswith("remote."):
                remotes.setdefault(key[len("remote.") : -len(".url")], redact_remote(value))
        return remotes

    def start_submodules(self, paths: Iterable[str]) -> None:
        """Start probes of the submodules that are checked out.

        A git that looked into them from here would run what their own settings name.
        """
        for path in paths:
            folder = os.path.join(self.top, path)
            if os.path.lexists(os.path.join(folder, ".git")):
                self.submodules[path] = attempt(GitProbe, path, folder, self.started)

    def read_submodules(self) -> bool:
        """Whether anything is uncommitted inside submodules, which no patch of ours holds."""
        dirty = False
        for path, probe in self.submodules.items():
            state = probe if isinstance(probe, Missing) else attempt(probe.read, allow_dirty=True)
            inside = f"uncommitted inside the submodule {path}"
            if isinstance(state, Missing):
                self.omitted.append(f"what may be {inside} ({state})")
            elif state["git_is_dirty"] or "git_patch" in state:
                self.omitted.append(f"what is {inside}")
                dirty = dirty or state["git_is_dirty"]
        return dirty

    def find_untracked(self, index: str) -> list[str]:
        """The sources in use that git neither tracks nor ignores."""
        self.loaded = loaded_sources(self.top, self.real_path)
        # What is in a submodule is told with that.
        inner = tuple(f"{path}/" for path in self.submodules)
        new = {path for path in self.loaded if not path.startswith(inner)}
        new -= _find_tracked(index, new)
        files = [path for path in sorted(new) if os.path.isfile(os.path.join(self.top, path))]
        listed = {*self.list_paths(files, "ls-files", "--others", "--exclude-standard", "-z")}
        # Ignored files may hold secrets: they are named, not copied. Nor does git look into another
        # repository that lies in this one.
        self.omitted += [f"the ignored {path}" for path in files if path not in listed]
        return [path for path in files if path in listed]

    def find_hidden(self, tags: Mapping[str, str]) -> list[str]:
        """The files that git was told not to look at; many may be left out of the checkout."""
        present = [path for path in tags if os.path.lexists(os.path.join(self.top, path))]
        gone = [path for path, tag in tags.items() if tag == "h" and path not in present]
        self.omitted += [f"the deletion of {path} (marked assume-unchanged)" for path in gone]
        if len(present) <= _HIDDEN_LIMIT:
            return present
        count = f"{len(present):,} files that are marked assume-unchanged or skip-worktree"
        self.omitted.append(f"what may be changed in {count}")
        return []

    def note_changes(self, changed: Mapping[str, str], untracked: Container[str]) -> None:
        """Note what the patch of these changes can't tell."""
        modes = [value for _, key, value in self.config if key == "core.filemode"]
        if changed and modes[-1:] == ["false"] and os.name != "nt":
            self.omitted.append("changed file modes, if any (core.fileMode is false)")
        for path, entry in changed.items():
            if " S" in entry:
                advice = "its commit is in the patch, but git apply doesn't check it out"
                self.omitted.append(f"the submodule {path} ({advice})")
            is_removed = entry.startswith("1 D") and path not in untracked
            if is_removed and os.path.isfile(os.path.join(self.top, path)):
                self.omitted.append(f"what may be read of {path}, which git no longer tracks")

    def read_patch(
        self, commit: str | None, changed: Mapping[str, str], others: Sequence[str]
    ) -> list[str]:
        """The patch that leads from the commit to the files as they are.

        `others` are files that the index may be wrong about: hidden and untracked ones.
        """
        paths = [*dict.fromkeys([*changed, *others])]
        if not paths:
            return []
        commit = commit or self.ask("hash-object", "-t", "tree", "--stdin").strip()
        sizes = self.read_sizes(commit, paths)
        paths = self.select(paths, sizes)
        diffs: list[tuple[str, ...]] = []
        for path in (path for path in paths if path in others):
            # Compared with nothing, a file that the commit lacks is new as a whole.
            new = ("--no-index", "--", "/dev/null", path)
            diffs.append((f"{commit}:{path}", "--", path) if path in sizes else new)
        seen = [path for path in paths if path not in others]
        is_all = len(seen) > _FEW_PATHS and len(seen) == len(changed)
        batches = [[]] if is_all else in_batches(seen)
        diffs[:0] = [(commit, "--", *batch) for batch in batches]
        return self.choose_sections(self.read_diffs(diffs))

    def read_sizes(self, commit: str, paths: Iterable[str]) -> dict[str, int]:
        """The sizes in the commit of those files that it has."""
        sizes = {}
        for entry in self.list_paths(paths, "ls-tree", "--full-tree", "-l", "-z", commit):
            facts, _, path = entry.partition("\t")
            _, kind, _, size = facts.split()
            if kind == "blob":
                sizes[path] = int(size) if size.isdigit() else 0
        return sizes

    def select(self, paths: Iterable[str], sizes: Mapping[str, int]) -> list[str]:
        """The files that a patch is made of, by name; the others are noted."""
        places = {path: os.path.join(self.top, path) for path in paths}
        largest = {path: max(size_of(places[path]), sizes.get(path, 0)) for path in places}
        kept, room = [], _DIFF_LIMIT
        for path in sorted(places, key=lambda path: largest[path]):
            room -= largest[path]
            if is_record(places[path]):
                # It would hold the patch before it, and so on.
                self.omitted.append(f"the record {path}")
            elif path not in sizes and attempt(_is_pycrumbs, places[path]) is True:
                self.omit(path, "pycrumbs itself")
            elif largest[path] > PATCH_LIMIT or room < 0:
                self.omit(path)
            else:
                kept.append(path)
        return sorted(kept)

    def omit(self, path: str, reason: str = "") -> None:
        """Note that a file is left out, with what tells whether it is still the same."""
        reason = reason or f"over the {format_size(PATCH_LIMIT)} of a patch"
        full = os.path.join(self.top, path)
        size = size_of(full)
        known = hash_file(full) if size <= _OMITTED_HASH_LIMIT else None
        content = f", sha256 {known}" if known else ""
        told = f"{format_size(size)}{content}" if os.path.lexists(full) else "deleted"
        self.omitted.append(f"{path} ({reason}; {told})")

    def read_diffs(self, diffs: Sequence[Sequence[str]]) -> list[_FilePatch]:
        """What these diffs say, which work side by side."""
        options = ("--literal-pathspecs", *self.filters, *_DIFF)
        text = b""
        # Not all at once: a process may have so many pipes and no more.
        for start in range(0, len(diffs), _DIFFS_AT_ONCE):
            batch = diffs[start : start + _DIFFS_AT_ONCE]
            for number, diff in enumerate(batch):
                self.start(f"diff {number}", *options, *diff)
            text += b"".join(self.answer(f"diff {n}", needed=False) for n in range(len(batch)))
        return parse_patch(text.decode("utf-8", "surrogateescape").split("\n")[:-1])

    def choose_sections(self, sections: Sequence[_FilePatch]) -> list[str]:
        """The lines of the files that go into the patch; the others are noted."""
        room, left_out = PATCH_LIMIT, {}
        for section in sorted(sections, key=lambda section: section.size):
            room -= section.size
            reason = section.find_obstacle()
            if reason or room < 0:
                left_out[section.name] = reason
        for name in sorted(left_out):
            self.omit(name, left_out[name])
        return [line for s in sections if s.name not in left_out for line in s.lines]


def _parse_status(text: str) -> tuple[Record, dict[str, str]]:
    """Parse `git status --porcelain=v2 --branch -z`.

    Returns branch, commit and whether it is dirty, as a record tells them; and the changed paths,
    each with git's first words on it ('1 D. N...': deleted in the index, no submodule).
    """
    lines = text.split("\0")[:-1]
    headers = dict(line[2:].partition(" ")[::2] for line in lines if line.startswith("# "))
    branch, commit = headers.get("branch.head", ""), headers.get("branch.oid", "")
    state: Record = {"git_active_branch": "detached" if branch == "(detached)" else branch}
    if commit != "(initial)":
        state["git_commit_hash"] = commit
    entries = [line for line in lines if not line.startswith("# ")]
    # An entry of an unmerged path has two words more.
    changed = {line.split(" ", 10 if line[0] == "u" else 8)[-1]: line[:9] for line in entries}
    state["git_is_dirty"] = bool(changed)
    return state, changed


def _parse_index(text: str) -> tuple[dict[str, str], list[str]]:
    """Parse what is special in the output of `git ls-files -v --stage -z`.

    Returns the paths that git was told not to look at, with its tag for that ('h' for
    assume-unchanged; 'S', 's' for skip-worktree), and the submodules.
    """
    hidden, submodules = {}, set()
    # Of the lines, which may be a hundred thousand, the plain ones never become Python objects.
    for tag, mode, path in pattern(_ODD_ENTRY).findall(f"\0{text}"):
        if mode == "160000":
            submodules.add(path)
        elif tag not in "HM":
            hidden[path] = tag
    return hidden, sorted(submodules)


_ODD_ENTRY = r"\0(?!H 1(?!60000))(.) (\d+) [^\0\t]*\t([^\0]*)"


def _find_tracked(index: str, paths: set[str]) -> set[str]:
    """Which of these paths the output of `git ls-files --stage -z` lists."""
    if len(paths) > 20:
        # Searching for each would take longer than taking the whole text apart.
        return paths & {entry.partition("\t")[2] for entry in index.split("\0")}
    return {path for path in paths if any(f" {n}\t{path}\0" in index for n in range(4))}


def _tell_omitted(omitted: Sequence[str]) -> Record:
    """What a patch lacks, as a record tells it."""
    omitted = list(dict.fromkeys(omitted))
    if len(omitted) > _OMITTED_LIMIT:
        omitted[_OMITTED_LIMIT:] = [f"{len(omitted) - _OMITTED_LIMIT:,} more"]
    return {"git_patch_omitted": f"left out: {'; '.join(omitted)}" if omitted else None}


def list_omitted(module: Record) -> list[str]:
    """What a patch lacks, as its record tells."""
    text = str(module.get("git_patch_omitted") or "").replace("left out: ", "")
    return [part for part in pattern(_BETWEEN_OMITTED).split(text) if part]


# Not the one before the size in `notes.txt (not UTF-8; 7 bytes, sha256 ...)`.
_BETWEEN_OMITTED = r"; (?!(?:deleted|[\d.]+ \w+(?:, sha256 \w+)?)\))"


def add_late_sources(module: Record, sources: Iterable[str]) -> Record:
    """A state whose patch also has the new sources that a program has loaded only as it ran."""
    names, commit = sorted(sources), module.get("git_commit_hash")
    later = attempt(lambda: GitProbe(module["name"], module["module_path"]).read(True))
    if isinstance(later, Missing):
        reason = f"{', '.join(names)}, loaded later ({later})"
        later = _tell_omitted([f"whatever isn't committed of {reason}"])
    omitted = [*list_omitted(module), *list_omitted(later)]
    if later.get("git_commit_hash", commit) != commit:
        omitted.append(f"what may be other in {', '.join(names)} by a commit made meanwhile")
    patch = [*module.get("git_patch", [])]
    before, after = _tell_by_name(module), _tell_by_name(later)
    for name in names:
        then, now = before.get(name), after.get(name, [])
        if then is None and now[1:2] and now[1].startswith("new file"):
            patch += now
        elif then != now and (then or len(now) > 1):
            omitted.append(f"the changes of {name} after the run began, and before it was loaded")
    return Fixed(module, git_patch=patch or None, **_tell_omitted(omitted))


def _tell_by_name(state: Record) -> dict[str, list[str]]:
    """The lines that a state's patch has of each file; of one left out, what is said of that."""
    told = {part.partition(" (")[0]: [part] for part in list_omitted(state)}
    return {**told, **{s.name: s.lines for s in parse_patch(state.get("git_patch", []))}}


def loaded_sources(top: str, real_path: str) -> list[str]:
    """The source files below `top` that this process runs, relative to it: modules and script.

    `real_path` is one if it is a file. The standard library and installed packages don't count.
    """
    import functools

    top = os.path.join(os.path.normpath(top), "")
    site_packages = f"{os.sep}site-packages{os.sep}"
    # The standard library, and scripts that pip made, which only call a package's function.
    beside = (os.path.dirname(os.__file__), os.path.dirname(sys.executable or os.__file__))
    installed = tuple(os.path.join(folder, "") for folder in beside)
    found = {real_path} if os.path.isfile(real_path) else set()
    # A real path costs too much to ask it for every module.
    real = functools.lru_cache(maxsize=None)(os.path.realpath)
    for attributes in module_attributes():
        file, name = attributes.get("__file__"), attributes.get("__name__")
        if not isinstance(file, str) or file.startswith(installed) or site_packages in file:
            continue
        if file.endswith(".py") or name in ("__main__", "__mp_main__"):
            folder, file = os.path.split(absolute(file))
            path = os.path.join(real(folder), file)
            # What a link leads to is as needed as the link.
            found |= {path, os.path.realpath(path)} if os.path.islink(path) else {path}
    return sorted(path[len(top) :].replace(os.sep, "/") for path in found if path.startswith(top))


class _FilePatch:
    """One file's part of a patch, as git writes it (git-diff(1), "Generating patch text")."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.name = _read_name(lines[0])
        self.size = sum(map(len, lines)) + len(lines)

    @property
    def modes(self) -> set[str]:
        """The file's modes before and after, as far as the patch tells."""
        return set(pattern(_MODE).findall("\n".join(self.lines)))

    def find_obstacle(self) -> str:
        """Why a record must not hold it; '' if it may."""
        text = "\n".join(self.lines)
        if text != text.encode("utf-8", "replace").decode():
            return "not UTF-8"
        start = text.find("\n@@ ")
        body = pattern(r"(?m)^[ +-]").sub("", text[start:]) if start >= 0 else ""
        return "what looks like a secret" if holds_secret(body, self.name) else ""


# git takes any text for the hashes of an `index` line, up to the length of a hash.
_MODE = r"(?m)^(?:(?:old|new|deleted file|new file) mode |index [^.\n]{0,64}\.\.[^ \n]{0,64} )(.*)$"


def parse_patch(lines: Sequence[str]) -> list[_FilePatch]:
    """A patch's parts, file by file."""
    starts = [number for number, line in enumerate(lines) if line.startswith("diff --git ")]
    ends = [*starts[1:], len(lines)]
    return [_FilePatch(list(lines[start:end])) for start, end in zip(starts, ends)]


def _read_name(header: str) -> str:
    """The name that a header `diff --git a/NAME b/NAME` gives twice; '' if it is none of that."""
    twice = header.partition("diff --git ")[2]
    quote = '"' if twice.startswith('"') else ""
    half = len(twice) // 2
    name = twice[len(f"{quote}a/") : half - len(quote)]
    if header != f"diff --git {quote}a/{name}{quote} {quote}b/{name}{quote}":
        return ""
    if not quote:
        return name
    try:
        # C's escapes, with bytes in octal, are Python's, too.
        return os.fsdecode(os.fsencode(name).decode("unicode_escape").encode("latin-1"))
    except UnicodeError:
        return ""


def _is_pycrumbs(path: str) -> bool:
    """Whether a file is a copy of this one, as whoever vendors it has."""
    is_alike = size_of(path) == size_of(__file__)
    return is_alike and hash_file(path) == hash_file(__file__) is not None


def probe_module(module: str | types.ModuleType) -> GitProbe:
    """A probe of the repository that a module, or the one of that name, is in."""
    import importlib

    if isinstance(module, str):
        try:
            module = importlib.import_module(module)
        except ImportError as error:
            problem = f"cannot record the git state of {module!r}: {error}"
            kind = ModuleNotFoundError if isinstance(error, ModuleNotFoundError) else ImportError
            raise kind(problem, name=error.name) from error
    return GitProbe(module.__name__, getattr(module, "__file__", None))


def get_git_info(module: str | types.ModuleType, allow_dirty: bool = False) -> Record:
    """Read the state of the git repository that holds a module's source.

    Parameters
    ----------
    module
        A module, or its name, which is then imported.
    allow_dirty
        If False, uncommitted changes to tracked files are an error.

    Returns
    -------
    dict
        module_path, name, git_active_branch (or 'detached'), git_commit_hash (not before the first
        commit), git_is_dirty, git_remotes, git_working_dir, and the patch of a dirty repository.

    Raises
    ------
    RuntimeError
        The module has no file, lies in no repository or is ignored there; git is missing or
        refuses; or the repository is dirty and `allow_dirty` is False.
    """
    return probe_module(module).describe(allow_dirty)


# == Evidence: the packages ====================================================
# What importlib.metadata finds, in its order: the first of a name is the one
# that imports find.


def get_installed_packages() -> dict[str, str]:
    """List the installed distributions.

    Returns
    -------
    dict
        Canonical names (PyPA's name normalization, PEP 503) and versions, sorted by name. Of
        several with one name the first on `sys.path` counts, the one that imports would find.
    """
    return read_packages()[0]


def read_packages() -> tuple[dict[str, str], Record]:
    """The installed distributions, and the direct_url.json (PEP 610) of those that have one."""
    import importlib.metadata
    import json

    packages: dict[str, str] = {}
    origins: Record = {}
    folders = [entry for entry in sys.path if isinstance(entry, str)]
    for distribution in importlib.metadata.distributions(path=folders):
        name, version = _parse_metadata(_read_metadata(distribution.read_text))
        # A pip that was stopped leaves behind what it had renamed, to be removed.
        is_leftover = os.path.basename(str(getattr(distribution, "_path", ""))).startswith("~")
        if not name or not version or name in packages or is_leftover:
            continue
        packages[name] = version
        origin = attempt(distribution.read_text, "direct_url.json")
        if origin and not isinstance(origin, Missing):
            origins[name] = attempt(json.loads, origin)
    return dict(sorted(packages.items())), origins


def _read_metadata(read_text: Callable[[str], str | None]) -> str:
    """The METADATA of a wheel or the PKG-INFO of an egg; '' if it has none that can be read."""
    try:
        return next(filter(None, map(read_text, ("METADATA", "PKG-INFO", ""))), "")
    except UnicodeDecodeError as error:
        return error.object.decode("utf-8", "replace")
    except Exception:
        # Somebody else's finder may raise anything.
        return ""


def _parse_metadata(text: str) -> tuple[str | None, str | None]:
    """Canonical name and version from the headers of METADATA; None where it is broken.

    Parsing just these takes a fifth of the time of importlib.metadata's `Distribution.metadata`.
    """
    header = pattern(r"\r?\n\r?\n").split(text, maxsplit=1)[0]
    lines = pattern(r"(?im)^(name|version)[ \t]*:[ \t]*(.*?)[ \t\r]*$").findall(header)
    fields = {key.lower(): value for key, value in reversed(lines)}
    name = fields.get("name")
    return name and canonical_name(name), fields.get("version")


def read_origins(
    origins: Record, probes: Sequence[GitProbe], locate: Callable[[str], str]
) -> Record | None:
    """Where packages come from that no index holds; editable ones with their repository's state.

    `probes` run already: a package that holds the source of one of them needs no new probe.
    """
    origins = {name: origin for name, origin in origins.items() if isinstance(origin, dict)}
    described = {name: _describe_origin(origins[name]) for name in sorted(origins)}
    known = [probe for probe in probes if probe.top]
    # What has been said of repositories, so that a patch is there once.
    seen: dict[str, Record] = {probe.top: {"git_working_dir": probe.top} for probe in known}
    since = min((probe.started for probe in probes), default=None)
    started: dict[str, GitProbe | Missing] = {}
    for name, entry in described.items():
        folder = _find_editable_folder(origins[name], locate)
        own = [probe.top for probe in known if folder and is_below(probe.real_path, folder)]
        if own:
            entry.update(seen[own[0]])
        elif folder:
            started[name] = attempt(GitProbe, name, folder, since)
    for name, found in started.items():
        if isinstance(found, GitProbe):
            # All of them first, so that their programs work side by side.
            started[name] = attempt(found.advance) or found
    for name, found in started.items():
        described[name].update(_read_origin(name, found, seen))
    return described or None


def _read_origin(name: str, probe: GitProbe | Missing, seen: dict[str, Record]) -> Record:
    """The state of the repository that a package lies in, or why it isn't known."""
    if isinstance(probe, GitProbe) and probe.top in seen:
        is_ignored = attempt(probe.is_ignored) is True
        probe.abandon()
        return {} if is_ignored else seen[probe.top]
    state = attempt(probe.describe, allow_dirty=True) if isinstance(probe, GitProbe) else probe
    if isinstance(state, Missing):
        outside = ("not a git repository (or any", "ignores that file")
        is_outside = any(reason in state for reason in outside)
        return {} if is_outside else {"git_commit_hash": state}
    state = {key: value for key, value in state.items() if key.startswith("git_")}
    if "git_working_dir" in state:
        again = {"git_patch_omitted": f"the same as that of {name}"} if "git_patch" in state else {}
        seen[state["git_working_dir"]] = without_none({**state, "git_patch": None, **again})
    return state


def _describe_origin(origin: Record) -> Record:
    """What a direct_url.json says, as a record tells it."""
    hashes = [*get(origin, "archive_info", "hashes", kind=dict).items()]
    hashes.sort(key=lambda item: item[0] != "sha256")
    return without_none(
        {
            "url": redact_remote(str(origin.get("url"))),
            "vcs": get(origin, "vcs_info", "vcs"),
            "commit": get(origin, "vcs_info", "commit_id"),
            "subdirectory": origin.get("subdirectory"),
            # The older form has one hash, and its kind in it.
            "hash": "=".join(map(str, hashes[0]))
            if hashes
            else get(origin, "archive_info", "hash"),
            "editable": get(origin, "dir_info", "editable"),
        }
    )


def _find_editable_folder(origin: Record, locate: Callable[[str], str]) -> str | None:
    """The folder of a package that is installed in editable mode."""
    from urllib.parse import unquote, urlsplit

    if not get(origin, "dir_info", "editable"):
        return None
    try:
        path = unquote(urlsplit(str(origin.get("url"))).path)
    except ValueError:
        return None
    # Windows: `/C:/folder`.
    folder = locate(path.lstrip("/") if os.name == "nt" else path)
    return folder if os.path.isdir(folder) else None


def canonical_name(name: str) -> str:
    """A distribution's name as PEP 503 writes it."""
    return str(pattern(r"[-_.]+").sub("-", name)).lower()


# == Evidence: the seeds =======================================================
# A library that is imported is seeded at once; one that isn't, at the moment
# somebody imports it while a run is in progress. pycrumbs imports none itself.

# TensorFlow's and PyTorch's also seed their GPU generators.
_SEEDERS = {  # the module that must have been loaded: the function to call, from its attributes
    "numpy.random": ("seed",),
    "torch": ("manual_seed",),
    "tensorflow": ("random", "set_seed"),
}


def draw_seed() -> int:
    """Draw a seed from `random`: a program that has seeded it draws the same one each time."""
    import random

    return random.getrandbits(32)


def check_seed(seed: object) -> int:
    """The seed as an int; TypeError if it is no integer, ValueError if out of range."""
    import operator

    kind = type(seed).__name__
    # bool is an int in Python, and NumPy's has __index__, too.
    given: Any = None if kind in ("bool", "bool_") else seed
    try:
        number = operator.index(given)
    except TypeError:
        raise TypeError(f"expected an integer or None, not {seed!r:.80} ({kind})") from None
    # NumPy's range.
    if not 0 <= number < 2**32:
        raise ValueError(f"expected 0 to 2**32 - 1, not {number}")
    return number


def seed_tasks(
    seed: int | None = None,
    seed_numpy: bool = True,
    seed_tensorflow: bool = True,
    seed_torch: bool = True,
) -> int:
    """Seed `random`, NumPy, TensorFlow and PyTorch.

    A library that isn't imported yet is seeded when it is: this imports none.

    Parameters
    ----------
    seed
        An integer 0 to 2**32 - 1 (NumPy's range), or None to draw one from `random`.
    seed_numpy, seed_tensorflow, seed_torch
        Whether to seed that library.

    Returns
    -------
    int
        The seed.

    Raises
    ------
    TypeError, ValueError
        The seed is no integer, or out of range.
    """
    seed = draw_seed() if seed is None else check_seed(seed)
    seed_run(seed, seed_numpy, seed_tensorflow, seed_torch)
    # What the user asks for outlasts the runs.
    lasting = {n: s for n, s in seed_on_import.waiting.items() if s == seed}
    seed_on_import.lasting.update(lasting)
    return seed


def seed_run(seed: int, seed_numpy: bool, seed_tensorflow: bool, seed_torch: bool) -> None:
    """Seed `random` and these libraries; those that aren't imported yet, while runs go on."""
    import random

    random.seed(seed)
    for name, is_wanted in zip(_SEEDERS, (seed_numpy, seed_torch, seed_tensorflow)):
        if is_wanted and name in sys.modules:
            _seed_library(name, seed)
        elif is_wanted:
            seed_on_import.postpone(name, seed)


def _seed_library(name: str, seed: int) -> None:
    """Seed a library that is loaded."""
    try:
        first, *rest = _SEEDERS[name]
        function = object.__getattribute__(sys.modules[name], "__dict__")[first]
        for attribute in rest:
            function = getattr(function, attribute)
        function(seed)
    except Exception as error:
        warn(f"could not seed {name}: {describe_briefly(error)}")


class _SeedOnImport:
    """Seeds libraries as they are imported: a finder in `sys.meta_path` (PEP 451) while needed.

    `waiting` maps modules to the seeds that they wait for; `lasting` are those that wait on when
    the last run has ended. Later finders find the module; this one puts a loader around theirs.
    """

    def __init__(self) -> None:
        self.waiting: dict[str, int] = {}
        self.lasting: dict[str, int] = {}

    def postpone(self, name: str, seed: int) -> None:
        """Seed a module when it is loaded."""
        self.waiting[name] = seed
        if self not in sys.meta_path:
            # First, or another finder would load the module before we hear of it.
            sys.meta_path.insert(0, self)

    def forget(self) -> None:
        """The last run has ended: seed nothing more because of it."""
        self.waiting = {name: self.lasting[name] for name in self.waiting if name in self.lasting}
        if not self.waiting and self in sys.meta_path:
            others = [finder for finder in sys.meta_path if finder is not self]
            if _thread._count():
                # Another thread's import may be walking the old list, and would skip a finder.
                sys.meta_path = others
            else:
                sys.meta_path[:] = others

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in self.waiting or self not in sys.meta_path:
            return None
        # Not those before: another copy of this file would ask us, and we it.
        others = sys.meta_path[sys.meta_path.index(self) + 1 :]
        finds = (f.find_spec(name, path, target) for f in others if hasattr(f, "find_spec"))
        spec: Any = next((found for found in finds if found), None)
        if hasattr(spec and spec.loader, "exec_module"):
            spec.loader = _SeedingLoader(spec.loader)
        return spec


class _SeedingLoader:
    """Stands in for a library's loader until that has loaded it."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def exec_module(self, module: Any) -> None:
        import random

        # Whoever asks the module for its loader gets its own.
        module.__spec__.loader = module.__loader__ = self.loader
        # Importing TensorFlow draws from it.
        state = random.getstate()
        try:
            self.loader.exec_module(module)
        finally:
            random.setstate(state)
        name = module.__name__
        seed = seed_on_import.waiting.pop(name, None)
        seed_on_import.lasting.pop(name, None)
        if seed is not None:
            _seed_library(name, seed)


seed_on_import = _SeedOnImport()


# == Evidence: the files =======================================================
# A file is an entry {path, size, mtime, sha256}; a sha256 of None says that it
# was not hashed. Whether a file changed is asked of its signature: times to the
# nanosecond, size and inode, which a copy with old timestamps changes too.

CAPTURE_COVERAGE = "partial: what was opened through Python, not by C libraries or child processes"
# What git and the interpreter write there is no product of the function.
_SKIPPED_FOLDERS = (".git", "__pycache__", ".venv", "node_modules", "site-packages")
_PACKAGE_FOLDERS = ("site-packages", "dist-packages")
_THREADED_HASHING = 8 * 2**20  # bytes from which hashing on several cores pays
_LIST_LIMIT = 1000  # items of an argument that are looked at for paths
_PATH_DEPTH = 4  # and the levels of lists and mappings
_FILE_TIME_LAG = 0.01  # seconds by which some kernels' file times lag behind the clock, at most
# Literal, as `inspect` is imported only where it is needed.
_SUSPENDABLE = 0x20 | 0x80 | 0x200  # inspect.CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR


def sign_file(path: str) -> tuple[int, ...] | None:
    """A regular file's signature, or None if there is no such file."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return sign(found) if stat.S_ISREG(found.st_mode) else None


def sign(found: os.stat_result) -> tuple[int, ...]:
    """The signature of a file that was looked at."""
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _describe_input(path: str, signature: tuple[int, ...] | None, found: str) -> Record:
    """An input's entry, not yet hashed."""
    mtime = attempt(format_time, signature[0] / 1e9) if signature else None
    size = signature[2] if signature else None
    return {"path": path, "size": size, "mtime": mtime, "sha256": None, "found": found}


def limit_files(entries: list[Record], omitted: list[Any]) -> list[Record]:
    """As many entries as a record lists; the others are noted as omitted."""
    count = len(entries)
    if count > FILE_LIMIT:
        omitted.append(f"{count - FILE_LIMIT:,} of {count:,} files")
    return entries[:FILE_LIMIT]


def join_reasons(reasons: Iterable[str | None]) -> str | None:
    """Several reasons as one, or None."""
    return "; ".join(reason for reason in reasons if reason) or None


def find_inputs(
    arguments: Mapping[str, Any], declared: Sequence[str], omitted: list[str]
) -> list[Record]:
    """The entries of the files that arguments name: whole folders where declared, else files.

    What is left out joins `omitted`.
    """
    found: dict[str, Record] = {}
    for name in declared:
        paths, is_all = _paths_in(arguments[name], FILE_LIMIT)
        if not paths and arguments[name] is not None:
            omitted.append(f"whatever {name} holds, which is no path")
        if not is_all:
            omitted.append(f"what follows the first {FILE_LIMIT:,} items of {name}")
        for path in map(absolute, paths):
            for file, signature in _find_declared(path, omitted):
                found[file] = _describe_input(file, signature, "declared")
    for name, value in arguments.items():
        # A number is no path. A secret isn't hashed: the hash of a short one would give it away.
        if issubclass(type(value), _PATHLESS) or attempt(is_secret, name, value) is True:
            continue
        paths, is_all = _paths_in(value, _LIST_LIMIT)
        files = [absolute(path) for path in paths if os.path.isfile(path)]
        for path in files:
            found.setdefault(path, _describe_input(path, sign_file(path), "parameter"))
        if files and name not in declared and not is_all:
            omitted.append(f"what follows the first {_LIST_LIMIT:,} items of {name}")
    return limit_files([found[path] for path in sorted(found)], omitted)


_PATHLESS = (type(None), bool, int, float)


def _find_declared(path: str, omitted: list[str]) -> Iterable[tuple[str, tuple[int, ...] | None]]:
    """A declared input, or the files in it if it is a folder, with their signatures."""
    if not os.path.isdir(path):
        return [(path, sign_file(path))]
    skipped: set[str] = set()
    tree, is_all = scan_tree(path, links=True, skipped=skipped)
    if not is_all:
        omitted.append(f"whatever lies beyond the first {VISIT_LIMIT:,} entries of {path}")
    omitted += [f"whatever lies in folders named {name} in {path}" for name in sorted(skipped)]
    files = [(os.path.join(path, below), signature) for below, signature in tree.items()]
    # Records are no inputs: a run, this one included, may write them again.
    inputs = [(file, signature) for file, signature in files if not is_record(file)]
    if len(inputs) < len(files):
        omitted.append(f"the records in {path}")
    return inputs


def _paths_in(value: object, count: int) -> tuple[list[str], bool]:
    """The texts among an argument's first values that may be paths; and whether these are all."""
    import itertools

    values = [*itertools.islice(_leaves(value, count + 1), count + 1)]
    texts = map(_path_text, values[:count])
    return [text for text in texts if text and "\0" not in text], len(values) <= count


def _leaves(value: Any, room: int, depth: int = 0) -> Iterator[object]:
    """What lists, sets, mappings and fields hold, within each other; else the value itself.

    Left out is what is a secret by its name or place.
    """
    is_leaf = issubclass(type(value), (str, bytes, *_PATHLESS))
    items = None if is_leaf else attempt(open_value, value)
    if items is None or isinstance(items, Missing):
        yield value
    elif depth < _PATH_DEPTH:
        import itertools

        for item in [*itertools.islice(items, room)]:
            yield from _leaves(item, room, depth + 1)


def _path_text(item: Any) -> str | None:
    """A short text, or a path as text; None for anything else, and a path that won't tell."""
    try:
        kind = type(item)
        if not issubclass(kind, (str, bytes, os.PathLike)) or kind.__module__ == "unittest.mock":
            # A mock is a path, too, and notes that it was asked.
            return None
        path = os.fspath(item)
        length = bytes.__len__(path) if isinstance(path, bytes) else str.__len__(path)
        return str.__str__(os.fsdecode(path)) if length < PATH_LIMIT else None
    except Exception:
        return None


def scan_tree(
    root: str, links: bool = False, skipped: set[str] | None = None
) -> tuple[dict[str, tuple[int, ...]], bool]:
    """The regular files below a folder, as relative paths, with their signatures; is that all?

    At most VISIT_LIMIT entries are visited.
    """
    files: dict[str, tuple[int, ...]] = {}
    for visited, (path, entry) in enumerate(walk_tree(root, links, skipped)):
        if visited == VISIT_LIMIT:
            return files, False
        found = attempt(entry.stat, follow_symlinks=links)
        if not isinstance(found, Missing) and stat.S_ISREG(found.st_mode):
            files[path] = sign(found)
    return files, True


def walk_tree(
    root: str,
    links: bool = False,
    skipped: set[str] | None = None,
    on_error: Callable[[OSError], object] = bool,
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """All entries below a folder, with their relative paths.

    Links are followed where asked, after all else, but to no folder that they lie in. The names of
    folders that hold no data are added to `skipped`.
    """
    # Each with the inode and device of those around it, if that matters.
    folders: list[tuple[str, tuple[object, ...]]] = [("", ())]
    while folders:
        folder, around = folders.pop()
        if links:
            identity = attempt(os.stat, os.path.join(root, folder))[1:3]
            if identity in around:
                continue
            around = (*around, identity)
        for entry in scan_folder(os.path.join(root, folder), on_error):
            path = folder + entry.name
            yield path, entry
            is_folder = attempt(entry.is_dir, follow_symlinks=links) is True
            if is_folder and entry.name not in _SKIPPED_FOLDERS:
                folders.insert(0 if entry.is_symlink() else len(folders), (path + os.sep, around))
            elif is_folder and skipped is not None and entry.name != "__pycache__":
                skipped.add(entry.name)


def scan_folder(
    path: str, on_error: Callable[[OSError], object] = bool
) -> Iterator[os.DirEntry[str]]:
    """The entries of a folder; `on_error` is told why there are none."""
    try:
        with os.scandir(path) as entries:
            yield from entries
    except OSError as error:
        error.filename = path.rstrip(os.sep)
        on_error(error)


def find_outputs(
    directory: str,
    tree: tuple[Mapping[str, tuple[int, ...]], bool],
    start: float,
    omitted: list[Any],
) -> list[Record]:
    """The files in a directory that are new or changed since its `tree` was scanned.

    What is not looked at joins `omitted`.
    """
    before, knew_all = tree
    after, is_all = scan_tree(directory)
    # Where not all could be visited before, being unknown isn't being new.
    since = (start - _FILE_TIME_LAG) * 1e9
    outputs = []
    for path in sorted(after):
        signature = after[path]
        is_new = path not in before and (knew_all or signature[1] >= since)
        is_changed = path in before and before[path] != signature
        if (is_new or is_changed) and not is_record(os.path.join(directory, path)):
            name = path.replace(os.sep, "/")
            outputs.append({"path": name, "size": signature[2], "sha256": None})
    if not is_all:
        omitted.append(f"whatever lies beyond the first {VISIT_LIMIT:,} entries of the directory")
    return outputs


def hash_files(
    entries: Iterable[Record], room: int | None, root: str = "", stop: Callable[[], bool] = bool
) -> int | None:
    """Fill in the entries' sha256, smallest files first, while there is room; return what is left.

    Paths are relative to `root`. None is boundless room. Once `stop` is true, it hashes no more.
    """
    chosen: list[Record] = []
    for entry in sorted((e for e in entries if e["size"] is not None), key=lambda e: e["size"]):
        if room is not None and entry["size"] > room:
            break
        room = room if room is None else room - entry["size"]
        chosen.append(entry)
    if not chosen:
        return room
    is_much = sum(entry["size"] for entry in chosen) > _THREADED_HASHING
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    helpers = min(len(chosen), cores or 1) - 1 if is_much else 0

    def work() -> None:
        while not stop():
            try:
                # The largest first, so that the threads end together.
                entry = chosen.pop()
            except IndexError:
                return
            entry["sha256"] = hash_file(os.path.join(root, entry["path"]), stop)

    import threading

    threads = [threading.Thread(target=work) for _ in range(helpers)]
    # Starting a thread may fail (ulimit -u); then the others do its work.
    started = [thread for thread in threads if attempt(thread.start) is None]
    work()
    for thread in started:
        thread.join()
    return room


_hashes: dict[tuple[Any, ...], str] = {}  # of files that had settled when they were hashed


def hash_file(path: str, stop: Callable[[], bool] = bool) -> str | None:
    """A file's SHA-256 in hexadecimal, None if it can't be read; remembered while it's the same."""
    import hashlib

    signature = sign_file(path)
    key = (path, signature)
    if signature is None or key in _hashes:
        return _hashes.get(key)
    # Files of size 0 below /proc may have no end: read no more than the size says.
    digest, left = hashlib.sha256(), signature[2]
    try:
        descriptor = open_quietly(path, os.O_RDONLY)
        try:
            while left and (data := os.read(descriptor, min(2**20, left))):
                digest.update(data)
                left -= len(data)
                if stop():
                    return None
        finally:
            os.close(descriptor)
    except OSError:
        return None
    # A file written in this very second can change again without its times telling.
    if time.time() - signature[0] / 1e9 > 2 and signature == sign_file(path):
        make_room(_hashes)
        _hashes[key] = digest.hexdigest()
    return digest.hexdigest()


# Of the run that goes on here and those around it; None where there is no run.
active_captures: contextvars.ContextVar[tuple[Capture, ...] | None] = contextvars.ContextVar(
    "captures", default=None
)
_captures: list[Capture] = []  # of all runs in progress that asked for one
_hook_installed: list[bool] = []  # once installed, an audit hook stays


class Capture:
    """The files that one run opens, as Python's audit events tell them (PEP 578).

    An event counts for the run it happens in and for those that one is nested in. Threads that
    the function starts have no run of their own: what they open counts for every capturing run.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        # The signatures of files when they were first opened for reading,
        self.read: dict[str, tuple[int, ...]] = {}
        # and of others before they were opened for writing.
        self.written: dict[str, tuple[int, ...] | None] = {}
        self.overflow: str | None = None
        # In this thread, what happens outside any run isn't ours: we are suspended then.
        self.thread = _thread.get_ident() if function.__code__.co_flags & _SUSPENDABLE else None

    def begin(self) -> None:
        if not _hook_installed:
            _hook_installed.append(True)
            # It can't be removed any more: from here on it looks whether any run wants to know.
            sys.addaudithook(_note_event)
        _captures.append(self)

    def end(self) -> None:
        if self in _captures:
            _captures.remove(self)

    def note(self, path: str, flags: int) -> None:
        """Note that a file is about to be opened; what the run has written itself is no input."""
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        reads = not flags & (os.O_WRONLY | os.O_TRUNC)
        if (path in self.read or not reads) and (path in self.written or not writes):
            return
        if len(self.read) + len(self.written) >= VISIT_LIMIT:
            self.overflow = f"whatever was opened after the first {VISIT_LIMIT:,} files"
            return
        signature = sign_file(path)
        if reads and signature and signature == self.written.get(path, signature):
            self.read.setdefault(path, signature)
        if writes:
            self.written.setdefault(path, signature)

    def note_rename(self, old: str, new: str) -> None:
        """Note that a file, or a folder with what was written in it, is about to be renamed."""
        below = os.path.join(old, "")
        if os.path.isdir(old):
            for path in [path for path in [*self.written] if path.startswith(below)]:
                self.written.setdefault(os.path.join(new, path[len(below) :]), None)
        elif new not in self.written:
            self.written[new] = sign_file(new)

    def find_inputs(self, inputs: list[Record], made: Container[str], start: float) -> set[str]:
        """Add the files that were read to `inputs`; return those worth hashing, the unchanged.

        Left out are what the run made and then read (`made` are the files that have changed
        since its `start`), and what came and went meanwhile.
        """
        known = {entry["path"] for entry in inputs}
        unchanged = set()
        for path in self.select(self.read):
            signature, now = self.read[path], sign_file(path)
            came_later = now is None and signature[1] >= start * 1e9
            if path in known or came_later or (path in made and now == signature):
                continue
            inputs.append(_describe_input(path, signature, "opened"))
            if now == signature:
                unchanged.add(path)
        return unchanged

    def find_outputs(self, directory: str) -> list[Record]:
        """The files that were written outside the record's directory, by absolute path."""
        entries = []
        directory = os.path.realpath(directory)
        for path in self.select(self.written):
            signature = sign_file(path)
            is_listed = is_below(os.path.realpath(path), directory)
            if signature and signature != self.written[path] and not is_listed:
                entries.append({"path": path, "size": signature[2], "sha256": None})
        return entries

    def select(self, paths: Iterable[str]) -> list[str]:
        """The paths that aren't the interpreter's, the packages', the system's or ours."""
        # Reproducing these is the package inventory's business.
        ignored = (*interpreter_folders(), "/proc/", "/sys/", "/dev/", "/usr/share/zoneinfo/")
        modules = {attributes.get("__file__") for attributes in module_attributes()}
        skipped = {f"{os.sep}{folder}{os.sep}" for folder in _SKIPPED_FOLDERS}
        return sorted(
            path
            for path in list(paths)
            if not path.startswith(ignored)
            and path not in modules
            and not any(folder in path for folder in skipped)
            and not is_record(path)
        )


def interpreter_folders() -> list[str]:
    """The folders of the standard library and of installed packages."""
    import sysconfig

    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = {sysconfig.get_paths().get(name) for name in names}
    folders |= {path for path in map(str, sys.path) if path.endswith(_PACKAGE_FOLDERS)}
    if sys.prefix != sys.base_prefix:
        folders.add(sys.prefix)
    return [os.path.join(folder, "") for folder in folders if folder]


def _note_event(event: str, arguments: tuple[Any, ...]) -> None:
    """Python's audit hook: must be quick, and neither raise, lock nor open anything."""
    if event != "open" and event != "os.rename":
        return
    try:
        path, other, flags = arguments[:3]
        if not _captures or isinstance(path, (int, OwnPath)):
            # Descriptors were reported when opened; our own opens don't count.
            return
        path = absolute(os.fsdecode(path))
        for capture in _find_captures():
            if event == "open":
                capture.note(path, flags)
            else:
                capture.note_rename(path, absolute(os.fsdecode(other)))
    except Exception:
        return


def _find_captures() -> list[Capture]:
    """The captures in progress that what happens now counts for."""
    active = active_captures.get()
    if active is not None:
        return [capture for capture in active if capture in _captures]
    thread = _thread.get_ident()
    return [capture for capture in _captures if capture.thread != thread]


# == Describing values =========================================================
# Any value becomes JSON of bounded size, at bounded cost: the walk stops as
# soon as the text would pass TEXT_LIMIT. Nothing secret survives it.

_DEPTH_LIMIT = 40  # levels of nesting that a description follows
_TRACEBACK_LINES = 100  # kept of a long traceback, at either end


class Missing(str):
    """Stands in a record for what could not be had: "unavailable: <reason>"."""

    def __new__(cls, reason: object) -> Missing:
        return super().__new__(cls, f"unavailable: {reason}")


def attempt(read: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """What `read` returns, or `Missing` with the reason why it could not."""
    try:
        return read(*arguments, **named)
    except Exception as error:
        return Missing(describe_briefly(error))


class _TooLong(Exception):
    """Text over its limit; or, with `exact_only`, one in place of a value that JSON lacks."""


def describe_arguments(arguments: Mapping[str, Any]) -> dict[str, tuple[Any, dict[str, str]]]:
    """Describe each of a call's arguments."""
    return {name: _describe(value, name) for name, value in arguments.items()}


def _describe(value: Any, name: str = "") -> tuple[Any, dict[str, str]]:
    """Describe one value as JSON, or as SUPPRESSED if that takes more than TEXT_LIMIT characters.

    Returns the description and, by path, the type of everything that isn't plain JSON. The
    value's name decides whether it is taken for a secret.
    """
    # The quotes around a text that is all there is don't count.
    describer = _Describer(TEXT_LIMIT + 2)
    try:
        described = describer.walk(value, name, name)
        describer.spend(0 if isinstance(described, str) else 2)
    except (_TooLong, RecursionError):
        return SUPPRESSED, {name: type_name(value)}
    return described, describer.kinds


class _Describer:
    """One bounded walk through a value."""

    def __init__(self, room: int, exact_only: bool = False) -> None:
        self.room = room
        self.kinds: dict[str, str] = {}
        # Whether a text in place of a value that JSON lacks is an error (NaN and infinity aside).
        self.exact_only = exact_only
        # Ids of the containers around the current value.
        self.open: list[int] = []

    def spend(self, length: int) -> None:
        self.room -= length
        if self.room < 0:
            raise _TooLong

    def check(self, length: int) -> None:
        """Stop before making a text that would be at least this long."""
        if length > self.room:
            raise _TooLong

    def walk(self, value: Any, path: str, name: str) -> Any:
        """Describe a value; `path` leads to it, `name` is the last name on that path."""
        if value is None or value is True or value is False:
            self.spend(4)
            return value
        kind, depth = type(value), len(self.open)
        try:
            if is_secret(name, value):
                self.spend(len(REDACTED))
                return REDACTED
            if kind not in _PLAIN_TYPES:
                self.kinds[path] = type_name(value)
            describe_one = next(walk for base, walk in _DESCRIBERS if issubclass(kind, base))
            return describe_one(self, value, path)
        except (_TooLong, RecursionError):
            raise
        except Exception as error:
            self.kinds[path] = type_name(value)
            if not issubclass(kind, dict) and is_mapping(kind):
                # OmegaConf's can't be walked while a value is missing.
                return self.text(attempt(lambda: _remove_addresses(repr(value))))
            return self.text(f"<{type_name(value)}: {describe_briefly(error)}>")
        finally:
            del self.open[depth:]

    def text(self, text: str) -> str:
        """A text that stands for a value."""
        if self.exact_only:
            raise _TooLong
        return self.walk_str(text, "")

    def enter(self, value: object, path: str) -> str | None:
        """Begin to walk a container; a text in its place if it is inside itself, or too deep."""
        self.spend(2)
        if id(value) in self.open:
            obstacle = f"<cycle: this {type_name(value)} is inside itself>"
        elif len(self.open) == _DEPTH_LIMIT:
            obstacle = f"<nested deeper than {_DEPTH_LIMIT} levels>"
        else:
            self.open.append(id(value))
            return None
        self.kinds[path] = type_name(value)
        return self.text(obstacle)

    def walk_str(self, value: str, path: str) -> str:
        self.spend(str.__len__(value) + 2)
        return redact_text(str.__str__(value))

    def walk_int(self, value: int, path: str) -> int:
        # Of very long ones Python makes no text.
        self.check(int.bit_length(value) * 3 // 10)
        self.spend(len(int.__repr__(value)))
        return int.__int__(value)

    def walk_float(self, value: float, path: str) -> float | str:
        number = float.__float__(value)
        text = float.__repr__(number)
        if text in NUMBERS:
            self.kinds.setdefault(path, type_name(value))
            return self.walk_str(text, path)
        self.spend(len(text))
        return number

    def walk_bytes(self, value: bytes, path: str) -> str:
        kind = bytes if isinstance(value, bytes) else bytearray
        self.check(kind.__len__(value))
        return self.text(kind.__repr__(value))

    def walk_list(self, value: Iterable[Any], path: str) -> Any:
        """The description of a list or tuple."""
        obstacle = self.enter(value, path)
        if obstacle:
            return obstacle
        items, holder = [], secret_holder(path)
        for index, item in enumerate(hide_secrets(value)):
            self.spend(2 if index else 0)
            items.append(self.walk(item, f"{path}[{index}]", holder))
        return items

    def walk_set(self, value: Iterable[Any], path: str) -> Any:
        """The description of a set, in an order that doesn't depend on hashes."""
        import json

        items = self.walk_list(value, path)
        if isinstance(items, list):
            # Paths by index would say nothing of a set: the elements' types go with the set's.
            kinds = [key for key in self.kinds if key.startswith(f"{path}[")]
            inner = sorted({self.kinds.pop(key) for key in kinds})
            if inner:
                self.kinds[path] += f"[{' | '.join(inner)}]"
            # A set's order differs from process to process (PYTHONHASHSEED), and its record
            # shouldn't.
            items.sort(key=lambda item: (str(type(item)), json.dumps(item, sort_keys=True)))
        return items

    def walk_mapping(self, value: Mapping[Any, Any], path: str) -> Any:
        """The description of a mapping; secrets in it are known by their keys."""
        obstacle = self.enter(value, path)
        if obstacle:
            return obstacle
        items: Record = {}
        holder = secret_holder(path)
        # {"name": "DB_PASSWORD", "value": "..."}
        label = dict.get(value, "name") if isinstance(value, dict) else None
        # A derived class may have overridden it with anything.
        for key, item in dict.items(value) if isinstance(value, dict) else value.items():
            name = self.key_text(key, path)
            self.spend(len(name) + (6 if items else 4))
            if name in items:
                name = next(n for n in number_names(name) if n not in items)
            below = f"{path}.{name}" if path else name
            called = label if type(label) is str and name == "value" else name
            items[name] = self.walk(item, below, f"{called} {holder}" if holder else called)
        return items

    def key_text(self, key: Any, path: str) -> str:
        """A key as JSON objects have them, which is as a string."""
        if not issubclass(type(key), str):
            self.kinds[f"{path}{{}}"] = type_name(key)
        text = _Describer(self.room, self.exact_only).walk(key, "", "")
        if self.exact_only and isinstance(text, (list, dict)):
            raise _TooLong
        return text if isinstance(text, str) else str(text)

    def walk_object(self, value: Any, path: str) -> Any:
        """Anything else: by its fields, its shape or its repr."""
        kind = type(value)
        if _inherits(kind, "numpy.generic"):
            item = value.item()
            # Of times in nanoseconds Python makes plain integers.
            is_time = kind.__name__ in ("datetime64", "timedelta64")
            plain = type(item) in _PLAIN_TYPES and not is_time
            return self.walk(item, path, "") if plain else self.text(repr(value))
        fields = _read_fields(value)
        if fields is not None:
            return self.walk_mapping(fields, path)
        if self.exact_only:
            # It isn't even asked for its repr or items, which may take long, or query a database.
            raise _TooLong
        if is_mapping(kind):
            return self.walk_mapping(value, path)
        if hasattr(kind, "shape") and any(hasattr(kind, name) for name in _ARRAY_PROTOCOLS):
            dtype = f" dtype {value.dtype}" if hasattr(kind, "dtype") else ""
            return self.text(f"<{type_name(value)} shape {tuple(value.shape)}{dtype}>")
        if _inherits(kind, "collections.deque", "collections.UserList"):
            return self.walk_list(value, path)
        if _inherits(kind, "array.array") or _implements(kind, "MutableSequence", "MappingView"):
            self.check(len(value))
        if kind is types.FunctionType:
            return self.text(f"<function {value.__module__}.{value.__qualname__}>")
        return self.text(_remove_addresses(repr(value)))


def open_value(value: Any) -> Iterator[Any] | None:
    """What a container holds, without its secrets; None for what isn't a container."""
    kind = type(value)
    if issubclass(kind, SEQUENCES):
        return hide_secrets(value)
    items = value if issubclass(kind, dict) else _read_fields(value)
    if items is None:
        return None
    return (
        item
        for key, item in dict.items(items)
        if type(key) is not str or attempt(is_secret, key, item) is not True
    )


_PLAIN_TYPES = (str, int, float, bool, type(None), list, dict)
_DESCRIBERS: tuple[tuple[Any, Callable[[_Describer, Any, str], Any]], ...] = (
    (str, _Describer.walk_str),
    (int, _Describer.walk_int),
    (float, _Describer.walk_float),
    ((bytes, bytearray), _Describer.walk_bytes),
    (dict, _Describer.walk_mapping),
    ((list, tuple), _Describer.walk_list),
    ((set, frozenset), _Describer.walk_set),
    (object, _Describer.walk_object),
)
# Floats that JSON has no number for.
NUMBERS = ("nan", "inf", "-inf")


def is_mapping(kind: type) -> bool:
    """Whether a type is a mapping."""
    return _implements(kind, "Mapping")


def _implements(kind: type, *names: str) -> bool:
    """Whether a type is one of collections.abc's types of these names."""
    import collections.abc

    bases = tuple(getattr(collections.abc, name) for name in names)
    # A metaclass may have made its types unhashable.
    return attempt(issubclass, kind, bases) is True


def _inherits(kind: type, *names: str) -> bool:
    """Whether a type is or extends one of these; importing NumPy to ask would take 100 ms."""
    return any(f"{base.__module__}.{base.__name__}" in names for base in kind.__mro__)


# Arrays and tensors have one; descriptions of their type, and other things with a shape, don't.
_ARRAY_PROTOCOLS = ("__array__", "__cuda_array_interface__", "__dlpack__")


def _read_fields(value: Any) -> Record | None:
    """The fields of a namespace, dataclass, attrs object or pydantic model; None for others."""
    kind = type(value)
    if any(c.__name__ in ("Namespace", "SimpleNamespace") for c in kind.__mro__):
        return {**vars(value)}
    fields = list_fields(kind)
    if fields is None:
        return None
    held = {name: getattr(value, name) for name in fields if hasattr(value, name)}
    # What a pydantic model has beside its fields, where it allows that.
    extra = hasattr(kind, "__pydantic_extra__") and value.__pydantic_extra__
    return {**held, **(extra if isinstance(extra, dict) else {})}


def list_fields(kind: type) -> list[str] | None:
    """The names of a dataclass's, attrs class's or pydantic model's fields; None for others."""
    if isinstance(getattr(kind, "__dataclass_fields__", None), dict):
        import dataclasses

        return [field.name for field in dataclasses.fields(kind)]
    attributes: Any = getattr(kind, "__attrs_attrs__", None)
    if isinstance(attributes, tuple):
        return [attribute.name for attribute in attributes]
    if _inherits(kind, "pydantic.main.BaseModel"):
        # Pydantic 1 calls them __fields__.
        fields: Any = getattr(kind, "model_fields", None)
        return list(getattr(kind, "__fields__", ()) if fields is None else fields)
    return None


def type_name(value: object) -> str:
    """A value's type as it would be imported: 'pathlib.PosixPath', 'list'."""
    kind = type(value)
    try:
        module, name = kind.__module__, kind.__qualname__
        # Python 3.13 has pathlib._local.PosixPath.
        public = module.partition("._")[0]
        if public != module and vars(sys.modules.get(public, types)).get(name) is kind:
            module = public
        return name if module == "builtins" else f"{module}.{name}"
    except Exception:
        # A metaclass can refuse to tell even that.
        return "a type without a name"


def _remove_addresses(text: str) -> str:
    """A repr without memory addresses, which differ from run to run."""
    return str(pattern(r" at 0x[0-9a-fA-F]+| id='\d+'").sub("", text))


def describe_result(result: Any) -> Record:
    """What a function returned, if short and JSON (or a tuple, a NumPy scalar, NaN as text)."""
    try:
        return {"result": _Describer(TEXT_LIMIT, exact_only=True).walk(result, "result", "result")}
    except (_TooLong, RecursionError):
        return {}


def describe_outcome(error: BaseException) -> Record:
    """The status and error of a run that an exception ended."""
    names = {kind.__name__ for kind in type(error).__mro__}
    # Known by name: click's and typer's Exit; asyncio's CancelledError, trio's Cancelled.
    for name, attribute in (("SystemExit", "code"), ("Exit", "exit_code")):
        code = getattr(error, attribute, 1) if name in names else 1
        if code is None or (isinstance(code, int) and int(code) == 0):
            return {"status": "completed"}
    interrupted = names & {"KeyboardInterrupt", "GeneratorExit", "CancelledError", "Cancelled"}
    return {
        "status": "interrupted" if interrupted else "failed",
        "error": {
            "type": type_name(error),
            "message": shorten(redact_text(_text_of(error)), TEXT_LIMIT),
            "traceback": format_traceback(error),
        },
    }


def describe_signal(number: int, frame: types.FrameType | None) -> Record:
    """The status and error of a run that a signal ends, with its stack."""
    import signal

    name = signal.Signals(number).name
    status = "interrupted" if name == "SIGINT" else "terminated"
    stack = format_traceback(frame) if frame else []
    error = {"type": "Signal", "message": f"{status} by {name}", "traceback": stack}
    return {"status": status, "error": {**error, "signal": name}}


def format_traceback(source: BaseException | types.FrameType) -> list[str]:
    """The lines of an error's traceback, or of a frame's stack, without our own frames."""
    lines = attempt(lambda: _clean_traceback(_read_traceback(source)))
    return [lines] if isinstance(lines, Missing) else lines


def _read_traceback(source: BaseException | types.FrameType) -> str:
    """What Python would print, without our own frames."""
    import traceback

    if isinstance(source, types.FrameType):
        stack = traceback.extract_stack(source, _TRACEBACK_LINES)
        return "".join(traceback.format_list([f for f in stack if not is_own(f.filename)]))
    reports = [traceback.TracebackException.from_exception(source)]
    # The causes, and the members of groups, without recursion, as there may be thousands.
    for report in reports:
        report.stack[:] = [frame for frame in report.stack if not is_own(frame.filename)]
        others = (
            report.__cause__,
            report.__context__,
            *(getattr(report, "exceptions", None) or ()),
        )
        reports += [other for other in others if other is not None]
    return "".join(reports[0].format())


def _clean_traceback(text: str) -> list[str]:
    """The lines of a traceback without secrets, and not too many of them."""
    # To redact more would take noticeable time.
    lines = [line[: 4 * TEXT_LIMIT] for line in text.splitlines()]
    if len(lines) > 2 * _TRACEBACK_LINES:
        omitted = [f"... {len(lines) - 2 * _TRACEBACK_LINES} lines left out ..."]
        lines = lines[:_TRACEBACK_LINES] + omitted + lines[-_TRACEBACK_LINES:]
    return [shorten(line, TEXT_LIMIT) for line in redact_text("\n".join(lines)).splitlines()]


def _text_of(error: BaseException) -> str:
    """An error's text, or why it has none."""
    try:
        return str(error)[: 16 * TEXT_LIMIT]
    except Exception as problem:
        return f"<no text: its __str__ raised {type(problem).__name__}>"


def describe_briefly(error: BaseException) -> str:
    return shorten(f"{type(error).__name__}: {redact_text(_text_of(error))}", 500)


# == Secrets ===================================================================
# What may never be written. Names are taken apart, so that `tokenizer` holds no
# token: strong ones always count, weak ones with a text long enough to be a key.
# Values count by how well-known keys begin, and as passwords in URLs. Within a
# text, `name=value` and `"name": "value"` count too. Where a pattern could scan
# text again and again, its repeats are limited, so that the time is linear.

_SECRET_LENGTH = 2000  # characters after a suspicious word in which a secret is looked for

_STRONG_NAMES = r"""(?x)
    passw(?:or)?d | pass_?(?:phrase|code) | (?:secret|credential|authorization|jwt)s?_ | _pwd_
  | _(?:access|account|admin|app|auth|consumer|deploy|encryption|license|master|private|secret
     |service|shared|signing|ssh|storage|subscription)_?keys?_ | api_?(?:key|token)s?_
  | _(?:access|auth|bearer|csrf|refresh|security|session)_?tokens?_
  | _(?:anthropic|aws|azure|clearml|cohere|comet|gcp|github|gitlab|google|groq|hf|huggingface|kaggle
     |mistral|neptune|openai|openrouter|replicate|sendgrid|stripe|wandb)_(?:keys?|pat)_
  | _(?:account|admin|db|database|mail|mysql|postgres|proxy|redis|root|smtp|user)_?pass_
"""
# `password_length` and `token_count` hold numbers of them.
_COUNTING_NAMES = r"_(?:count|enabled|len|length|limit|required|size)_$"
# These words end many honest names (`end_token`): the value must look like a key, too.
_WEAK_NAMES = r"_(?:o?auth|bearer|cookie|csrf|sid|sig|amz_signature|session|token)s?_(?:\d+_)?$"
_WEAK_LENGTH = 16
# The shell's working directories.
_HONEST_NAMES = {"PWD", "OLDPWD"}
# requests.get(url, auth=("user", "password")): the items have no names of their own.
_SECRET_HOLDERS = {"auth", "cookie", "cookies"}
_KEY_SHAPES = {  # how keys begin: what follows
    "ghp_ gho_ ghu_ ghs_ ghr_ hf_ npm_ gsk_ r8_": r"[A-Za-z0-9]{20,}",
    "github_pat_ dop_v1_ shpat_": r"\w{20,}",
    "glpat- xapp- xoxa- xoxb- xoxe- xoxp- xoxr- xoxs-": r"[\w-]{10,}",
    "sk_live_ sk_test_ rk_live_ whsec_": r"[A-Za-z0-9]{16,}",
    "sk-ant- sk-proj- sk-svcacct- sk-admin- sk-or-": r"(?=[\w-]{0,100}\d)[\w-]{20,}",
    "sk-": r"(?=[\w-]{0,100}\d)(?:[a-z0-9]{1,20}-){0,4}[A-Za-z0-9_]{20,}[\w-]*",
    "AKIA ASIA": r"[0-9A-Z]{16}(?![0-9A-Za-z])",
    "AIza": r"[\w-]{35}",
    "hooks.slack.com/services/ discord.com/api/webhooks/": r"[\w/-]{20,}",
    "pypi-": r"[\w-]{50,}",
    "eyJ": r"(?<![_-]eyJ)[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?",
    "Bearer bearer Basic basic": r"[ ]+(?=[\w.+/=~-]{0,100}[\d=])[\w.+/=~-]{16,}",
    "-----BEGIN": r"[A-Z ]{1,40}PRIVATE KEY[\s\S]*?(?:-----END[A-Z ]{1,40}-----|\Z)",
}
_KEYS = [(start, rest) for starts, rest in _KEY_SHAPES.items() for start in starts.split()]
_KEY_EDGE = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))"  # not within a word, but after an escaped newline
# A scheme, with slashes that JSON or a repr may have escaped.
_SCHEMES = r"((?<![\w+.-])[A-Za-z][\w+.-]{1,30}:(?:\\{0,8}/){1,2})"
# A host that may stand before an @ in a path: a name or an address, with a port.
_HOSTS = r"(?:\[[\da-fA-F:.]*\]|[^:]*)(?::\d{0,5})?"
# user:password@host without a scheme; not an image's digest (@sha256:), nor an e-mail address.
_BARE_CREDENTIALS = r"""(?x)
    (?<![\w.+/@:-]) (?!mailto:) [\w.+-]{1,64} : (?=[^\s@]{0,128}[\dA-Z$%^&*!~]) [^\s:@/"']{1,128}
    (?= @ (?!sha\d) (?: localhost | [A-Za-z][\w-]{0,60}\.[A-Za-z] | [\w.-]{1,100}:\d ))
"""
# A name and what says that its value follows: `=`, `:`, `=>`, a call's bracket; a space for flags.
_NAMES = r"""(?x)
    (?: (?<![\w.-]) | (?<=\\[nrt]) ) (--?)? ([A-Za-z_][\w.-]{0,80} (?:[ ](?i:key|token))?)
    (?: ["'\]\\]{0,9} \s{0,3} (?:[:=!]=|=>|[=:]) [ \t]{0,3} | \((?=["']) | (?(1)[ ]+(?!-)|(?!)) )
"""
# Whatever follows a strong name, unless it can't be a secret: as far as its quotes or brackets go.
_STRONG_VALUES = r"""(?xi)
    (?! (?:none|null|true|false|\d{1,3}) (?: [,;)}\]] | [ ]{0,4} (?:\n|\Z) ) )
    (?: (?P<block> \"{3} [\s\S]*? (?:\"{3}|\Z) | [\w.]* [\[{(] [^\]})]* [^\n]* )
      | (?<=[ ]=[ ]) [^\n]+
      | [bfru]{0,2} (?P<mark>\\*["']) (?: (?!(?P=mark)) (?:\\.|[^\n]) )* (?P=mark)?
      | (?:basic|bearer|digest|negotiate|token)[ ]+\S+
      | \S+ (?:[ ]=[ ][^\n]+)? )
"""
# What follows a weak one only counts if it is long, in one piece, and has a digit.
_WEAK_VALUES = r"(?P<mark>\\{0,7}[\"']|)(?=[^\s\"']{0,100}\d)[\w+/=.~%-]{16,500}(?P=mark)"
# A part without any of these holds no secret; to search all would take 50 times longer.
_SUSPICIOUS = (  # alternatives of one pattern
    *"pass pwd secret credential auth jwt key token bearer cookie csrf sid sig session @".split(),
    *(start.lower() for start, _ in _KEYS),
)
# Languages in which a text has quotes; elsewhere (settings, shells) it may go without.
_CODE_SUFFIXES = tuple(".py .pyi .pyx .R .jl .m .c .h .cc .cpp .cu .rs .go .js .ts .java".split())
# Settings that a strong name may have without holding a secret: `password: yes`.
_HONEST_VALUES = {"", *"none null true false yes no on off auto".split()}


def _split_name(name: str) -> list[str]:
    """The words of a name, in lower case: 'myAPI_Key' has my, api and key."""
    found = pattern(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+").findall(name[:TEXT_LIMIT])
    return [word.lower() for word in found]


def _rate_name(name: str) -> str:
    """Whether a name says that it holds a secret: 'strong', 'weak' or ''."""
    rating = _ratings.get(name)
    if rating is None:
        words = f"_{'_'.join(_split_name(name))}_"
        rating = "weak" if pattern(_WEAK_NAMES).search(words) else ""
        if pattern(_STRONG_NAMES).search(words):
            rating = "strong"
        if name in _HONEST_NAMES or pattern(_COUNTING_NAMES).search(words):
            rating = ""
        if len(_ratings) < 10_000:
            _ratings[name] = rating
    return rating


_ratings: dict[str, str] = {}


def is_secret(name: str, value: Any) -> bool:
    """Whether what a name holds must not be written; numbers and booleans always may."""
    kind = type(value)
    is_text = issubclass(kind, (str, bytes, bytearray))
    if value is None or (hasattr(kind, "__float__") and not is_text):
        return False
    rating = _rate_name(name)
    if not rating or not is_text:
        return rating == "strong"
    start = value[:8] if issubclass(kind, str) else str(value[:8], "latin-1")
    if rating == "strong":
        return not (start.lower() in _HONEST_VALUES or (len(start) < 4 and start.isdigit()))
    # <|end_of_text|> is what a model's token looks like, and no key does
    return len(value) >= _WEAK_LENGTH and start[0] not in "<[{("


def secret_holder(path: str) -> str:
    """The name that a container's items inherit, as those of `cookies` do, or ''."""
    words = _split_name(path[-20:])
    return words[-1] if words and words[-1] in _SECRET_HOLDERS else ""


def hide_secrets(items: Iterable[Any]) -> Iterator[Any]:
    """A sequence's items without secrets: `["--token", "x"]` is a command line, or a pair."""
    is_pair = type(items) in (list, tuple) and len(items) == 2  # type: ignore[arg-type]
    base = next((base for base in SEQUENCES if issubclass(type(items), base)), None)
    name = ""
    # By its base's own method: a derived class may have overridden it with anything.
    for item in items if base is None else base.__iter__(items):  # type: ignore[arg-type]
        text = item if type(item) is str and len(item) <= TEXT_LIMIT else ""
        is_value = name and not text.startswith("--") and is_secret(name, item)
        yield REDACTED if is_value else redact_argv([text])[0] if "=" in text else item
        name = text if is_pair or pattern(r"--?[\w.-]+").fullmatch(text) else ""


SEQUENCES = (list, tuple, set, frozenset)


def redact_text(text: str, is_code: bool = False) -> str:
    """A text without what looks like a secret; in code, expressions like `args.key` stay."""
    if text.isalnum() and len(text) < _WEAK_LENGTH:
        # A short word: no key that is known by its shape is one.
        return text
    if "@" in text:
        # What follows a scheme, and the schemes themselves, which have no @.
        start, *parts = pattern(_SCHEMES).split(text)
        text = start + "".join(map(_redact_authority, parts))
        text = pattern(_BARE_CREDENTIALS).sub(REDACTED, text)
    # `in` first: it is a hundred times faster than a pattern that doesn't match.
    for start, rest in _KEYS:
        if start in text:
            text = pattern(f"{_KEY_EDGE}{start}{rest}").sub(REDACTED, text)
    return _redact_named(text, is_code)


def holds_secret(text: str, file: str) -> bool:
    """Whether something in the text of a file looks like a secret."""
    is_code = file.endswith(_CODE_SUFFIXES)
    return any(
        # A patch may show only the end of a key.
        "-----END" in part or redact_text(part, is_code) != part
        for part in _find_suspicious(text)
    )


def _find_suspicious(text: str) -> Iterator[str]:
    """The parts of a text near suspicious words; searching all would take 50 times longer."""
    start = end = 0
    for word in pattern(f"(?i){'|'.join(_SUSPICIOUS)}").finditer(text):
        if word.start() > end:
            yield text[start:end]
            start = max(end, text.rfind("\n", 0, word.start()) + 1)
        # A secret may go on over some lines.
        end = max(end, word.end() + _SECRET_LENGTH)
    yield text[start:end]


def _redact_authority(text: str) -> str:
    """What follows `scheme://` without its user and password, whatever they are made of."""
    url = pattern(r"[^\s\"'<>]*").match(text).group()
    credentials, at, _ = url.rpartition("@")
    if not at:
        return text
    authority = pattern(r"[^/?#\\]*").match(url).group()
    user, at, _ = authority.rpartition("@")
    if at:
        harmless = ":" not in user and len(user) < _WEAK_LENGTH
    else:
        # The @ belongs to the path, unless what should be a host and port can't be.
        harmless = pattern(_HOSTS).fullmatch(authority)
    return text if harmless else REDACTED + text[len(credentials) :]


def _redact_named(text: str, is_code: bool) -> str:
    """A text without the values that follow secret names."""
    kept: list[str] = []
    end = 0
    for name in pattern(_NAMES).finditer(text):
        rating = _rate_name(name.group(2)) if name.start() >= end else ""
        if rating:
            values = _STRONG_VALUES if rating == "strong" else _WEAK_VALUES
            value = pattern(values).match(text, name.end())
            honest = is_code and value and _is_expression(text, name.end(), value.group())
            if value and not honest:
                mark = value.group("mark") or ""
                kept += text[end : name.end()], mark, REDACTED, mark
                end = value.end()
    return "".join(kept) + text[end:]


def _is_expression(code: str, start: int, value: str) -> bool:
    """Whether code gets a value from elsewhere: `args.key`, `os.environ["KEY"]`."""
    before = code[code.rfind("\n", 0, start) + 1 : start]
    if before.count('"') % 2 or before.count("'") % 2:
        return pattern(r"\w").search(value) is None
    texts = pattern(r"([\"'])(.*?)(?:\1|$)").findall(value)
    if any(not pattern(r"[A-Z][A-Z0-9_]*|\W*").fullmatch(text) for _, text in texts):
        return pattern(r"\b(?:getpass|input)\(").search(value) is not None
    key = r"\W*\d|.*?(?<!\w)(?=\w*\d)[\w+/=-]{16}"
    return pattern(key).match(value) is None


def redact_argv(argv: Sequence[str]) -> list[str]:
    """A command line without secrets: `--token=x`, `--token x`, `db.password=x`."""
    redacted, flag = [], ""
    for argument in map(str, argv):
        name, equals, value = argument.partition("=")
        is_name = pattern(r"[\w./@~+-]+").fullmatch(name)
        # `--token` and its value are two arguments.
        if flag and not argument.startswith("--") and is_secret(flag, argument):
            redacted.append(REDACTED)
        elif equals and is_name and is_secret(name, value):
            redacted.append(f"{name}={REDACTED}")
        else:
            redacted.append(redact_text(argument))
        flag = name if is_name and name.startswith("-") and not equals else ""
    return redacted


def redact_remote(url: str) -> str:
    """A remote's URL without credentials: all before its last `@` goes, unless it is `git`."""
    start = url.find("://") + 3 if "://" in url else 0
    # urlsplit would miss `user:p/ss@host`, and git's short form `user@host:path` altogether.
    user, at, _ = url[start:].rpartition("@")
    if not at or user == "git" or url.startswith(("/", ".", "file:///")):
        return redact_text(url)
    return redact_text(url[:start] + REDACTED + url[start + len(user) :])


# == Storing records ===========================================================
# Every record is written to a new file in the same folder, which then takes the
# record's name: a reader meets the old or the new record and never half of one.
# A run takes a name through a hidden file that claims it from its holder. That
# file can be made only once, so of any number of runs each keeps its record.

_LOCK_TIMEOUT = 30.0  # seconds to wait for the lock of a chained file
_TEMPORARY_LIFE = 7 * 86400  # seconds after which another machine's temporary file is a stray
_CLAIM_LIFE = 60.0  # seconds after which a claim that is only half written is a stray


class Fixed(dict):  # type: ignore[type-arg]
    """A part of records that never changes, so that its JSON is made only once."""

    text: str | None = None

    def __init__(self, *parts: Mapping[str, Any], **more: Any) -> None:
        super().__init__()
        for part in (*parts, more):
            self.update(without_none(part))


def write_record(record_path: _StrPath, record: Any) -> None:
    """Write a record as JSON, atomically.

    Parameters
    ----------
    record_path
        The file; `.json` is appended unless it is there. Its folder must exist.
    record
        A dict, or a list of them.

    Raises
    ------
    TypeError
        Something in the record can't be written as JSON; the file is left as it was.
    OSError
        The file can't be written; what was there before is left as it was.
    """
    replace_file(with_json(os.fspath(record_path)), format_record(record), durable=True)


def with_json(path: str) -> str:
    """A path that ends in .json."""
    return path if path.endswith(".json") else f"{path}.json"


def format_record(record: Any) -> str:
    """A record's JSON text, as `json.dumps(record, indent=4)` would write it."""
    import json

    try:
        return _format_json(record, "\n", json.encoder.encode_basestring_ascii)
    except TypeError:
        # Keys that are no strings, which json converts; or no JSON at all, which it says better.
        return json.dumps(record, indent=4)


def _format_json(value: Any, indent: str, quote: Callable[[str], str]) -> str:
    """JSON text, indented; json's own encoder takes 8 us to begin with each part of a record."""
    kind = type(value)
    if kind is str:
        return quote(value)
    # For NaN and infinity the difference is NaN; json has its own names for these.
    if kind is int or (kind is float and value - value == 0):
        return repr(value)
    deeper = f"{indent}    "
    if isinstance(value, dict) and value:
        # The text is kept for a part one level deep, where every record has it.
        fixed = value if isinstance(value, Fixed) and indent == "\n    " else None
        if fixed and fixed.text:
            return fixed.text
        items = [f"{quote(key)}: {_format_json(v, deeper, quote)}" for key, v in value.items()]
        text = f"{{{deeper}{f',{deeper}'.join(items)}{indent}}}"
        if fixed:
            fixed.text = text
        return text
    if isinstance(value, (list, tuple)) and value:
        items = [_format_json(item, deeper, quote) for item in value]
        return f"[{deeper}{f',{deeper}'.join(items)}{indent}]"
    if value is None:
        return "null"
    import json

    return json.dumps(value)


class RecordFile:
    """The file of one run's record, or the run's place in a chained one."""

    def __init__(self, path: str, is_chain: bool) -> None:
        self.path = self.wanted = path
        self.is_chain = is_chain
        # The file, and in a chain the run's text, as they were written last.
        self.signature: tuple[int, ...] | None = None
        self.entry = ""
        self.function: object = None  # as `identify_function` tells it

    def begin(self, record: Record) -> None:
        """Write a run's first record: under a name that nobody else has, or into the chain.

        FileExistsError if a file is there that holds no record.
        """
        # Before the first write, as that leaves a temporary file, too, if it is killed.
        _sweep(os.path.dirname(self.path))
        if self.is_chain:
            self.write(record, durable=False)
        else:
            self.take_name(record, is_strict=True)

    def take_name(self, record: Record, is_strict: bool) -> None:
        """Write a record under the first name that is free, or an earlier run's of this function.

        A file without a record is passed over; with `is_strict`, one named `wanted` is an error.
        """
        text, self.function = format_record(record), identify_function(record)
        for path in number_names(self.wanted[: -len(".json")], ".json"):
            try:
                holder = _find_holder(path, self.function)
            except OSError as error:
                if (is_strict and path == self.wanted) or error.errno == errno.ENAMETOOLONG:
                    raise
                continue
            # Before it is taken, so that after Ctrl-C the file is found.
            self.path = path
            if holder is not None and _take_over(path, holder, text, self.function):
                self.signature = sign_file(path)
                return

    def holds(self, uuid: str) -> bool:
        """Whether the file holds the record of that run."""
        return any(record.get("uuid") == uuid for record in attempt_records(self.path))

    def write(self, record: Record, durable: bool) -> str | None:
        """Write the record again. If the function took its path, take another, return the old.

        `durable` has it reach the disk (fsync) first.
        """
        taken = None
        if self.is_chain:
            with _Lock(_hidden_path(self.path, "lock")) as problem:
                self.write_to_chain(record, durable, problem)
        elif sign_file(self.path) in (None, self.signature) or self.holds(record["uuid"]):
            replace_file(self.path, format_record(record), durable)
        else:
            taken = self.path
            self.take_name(record, is_strict=False)
        self.signature = sign_file(self.path)
        if durable and not self.is_chain:
            make_room(_own_records)
            _own_records[self.path] = self.signature, record["uuid"], self.function
        return taken

    def follow(self) -> None:
        """Find the record where the run has moved its folder: results are published by renaming."""
        folder, name = os.path.split(self.path)
        if self.signature and not os.path.isdir(folder):
            above = os.path.dirname(folder)
            paths = (os.path.join(above, entry.name, name) for entry in scan_folder(above))
            found = (path for path in paths if sign_file(path) == self.signature)
            self.path = next(found, self.path)

    def write_to_chain(self, record: Record, durable: bool, problem: str | None) -> None:
        """Put the record into the chain; `problem` says why there is no lock."""
        if problem:
            if "chain_lock" not in record:
                warn(f"{self.path}: no lock, so parallel runs can lose records: {problem}")
            record["chain_lock"] = Missing(problem)
        entry = format_record(record)
        replace_file(self.path, _place_in_chain(self.read_chain(), self.entry, entry), durable)
        self.entry = entry

    def read_chain(self) -> str:
        """The text of the file; one that is broken is set aside, and the chain begins anew."""
        if not os.path.lexists(self.path):
            return ""
        if os.path.islink(self.path) or not os.path.isfile(self.path):
            raise OSError(errno.EINVAL, f"{self.path} is a link, or not a file")
        text = read_bytes(self.path).decode("utf-8", "surrogateescape")
        if _is_chain(text):
            return text
        aside = f"{self.path}.broken-{time.strftime('%Y%m%d%H%M%S')}-{os.urandom(4).hex()}"
        os.replace(OwnPath(self.path), OwnPath(aside))
        warn(f"{self.path} holds no records; it was set aside as {aside}")
        return ""


# The finished records of this process: their signature, uuid and function.
_own_records: dict[str, tuple[tuple[int, ...] | None, str, object]] = {}
_swept: set[str] = set()  # the folders


def _find_holder(path: str, own: object) -> str | None:
    """Who holds a name that function `own` may take: a run (its uuid), `nobody`, an `empty` file.

    None if the name is somebody else's; OSError if what is there is no record.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return "nobody"
    if stat.S_ISLNK(found.st_mode) or stat.S_ISDIR(found.st_mode):
        kind = errno.EISDIR if stat.S_ISDIR(found.st_mode) else errno.ELOOP
        raise OSError(kind, os.strerror(kind) if kind == errno.EISDIR else "it is a link")
    signature, uuid, function = _own_records.get(path, (None, "", None))
    if signature != sign(found):
        if stat.S_ISREG(found.st_mode) and not found.st_size:
            return "empty"
        if not is_record(path):
            problem = f"{path} is there and holds no record: move it, or name another file"
            raise FileExistsError(errno.EEXIST, f"{problem} in record_filename")
        records = attempt_records(path)
        # Kept are the runs of a chain, one that goes on, and one that ended after we had begun.
        if len(records) != 1 or is_in_progress(records[0]) or _is_of_our_time(records[0]):
            return None
        uuid, function = str(records[0].get("uuid")), identify_function(records[0])
    return str(uuid) if function == own else None


def _is_of_our_time(record: Record) -> bool:
    """Whether a run of another process ended after this process had begun."""
    here, then = identify_process(), get(record, "environment", "process")
    if then in (here, None) or "start_time" not in here:
        return False
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - here["start_time"] / os.sysconf("SC_CLK_TCK")
    return bool(time.time() - age < parse_time(get(record, "timing", "end_time")))


def _take_over(path: str, holder: str, text: str, own: object) -> bool:
    """Replace a name's holder by a record, unless another process is doing just that.

    The new file is a claim on that holder: only one process can make it, and it looks again before
    it takes the name.
    """
    claim = _hidden_path(path, f"{pattern('[^0-9a-z-]').sub('', holder)[:40]}.claim")
    try:
        return _write_through(claim, path, text, lambda: _find_holder(path, own) == holder)
    except FileExistsError:
        return False


def _sweep(folder: str) -> None:
    """Remove what killed runs have left in a folder; once in a process."""
    if folder not in _swept:
        make_room(_swept)
        _swept.add(folder)
        for entry in scan_folder(folder):
            path = os.path.join(folder, entry.name)
            if is_hidden(entry.name) and attempt(_is_stray, path, entry.name) is True:
                attempt(os.unlink, path)


def _is_stray(path: str, name: str) -> bool:
    """Whether a temporary file or a claim was left by a run that has died."""
    age = time.time() - os.lstat(path).st_mtime
    if name.endswith(".claim"):
        records = attempt_records(path)
        return not is_in_progress(records[0]) if records else age > _CLAIM_LIFE
    machine, _, process = name.rsplit(".", 3)[1].partition("-")
    if machine == owner().partition("-")[0] and sys.platform != "win32":
        return name.endswith(".tmp") and is_gone(*process.partition("-")[::2])
    return name.endswith(".tmp") and age > _TEMPORARY_LIFE


def _hidden_path(path: str, end: str) -> str:
    """A hidden file beside a record; its name may have 255 bytes, as the record's may."""
    folder, name = os.path.split(path)
    stem = os.fsencode(name.removesuffix(".json"))[:200].decode(errors="ignore")
    return os.path.join(folder, f".{stem}.json.{end}")


def owner() -> str:
    """This process in the names of its temporary files: machine (boot, container), pid, start."""
    import binascii

    identity = identify_process()
    boot = f"{identity.get('boot_id')}{identity.get('pid_namespace')}{read_hostname()}"
    return f"{binascii.crc32(boot.encode()):08x}-{identity['pid']}-{identity.get('start_time')}"


def _is_chain(text: str) -> bool:
    """Whether a file's text is a record or a list of them."""
    # Parsing takes as long as all the rest: text that is indented as ours is spared that.
    is_ours = text.count("\n") == text.count("\n    ") + 1 and pattern(RECORD_START).match(text)
    if is_ours and text[0] + text.rstrip()[-1] in ("{}", "[]") and "\0" not in text:
        return True
    return isinstance(attempt(parse_records, text, ""), list)


def _place_in_chain(text: str, old: str, new: str) -> str:
    """The text of a chain with a run's record in the place of its old one, or last."""
    if not text or text == old:
        return new
    if not text.lstrip().startswith("["):
        text = f"[\n    {_indent(text.rstrip())}\n]"
    # No chain holds a NUL.
    before, found, after = text.rpartition(_indent(old) or "\0")
    if found:
        return before + _indent(new) + after
    return f"{text.rstrip()[:-1].rstrip()},\n    {_indent(new)}\n]"


def _indent(text: str) -> str:
    """Lines, one level further to the right."""
    return text.replace("\n", "\n    ")


class _Lock:
    """A lock on a chained file, held by a file beside it, which is never replaced.

    Entering returns why there is no lock, if the system has none (Windows, some NFS and Lustre).
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> str | None:
        # Never through a link that somebody has put there.
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        self.descriptor = open_quietly(self.path, flags)
        deadline = time.monotonic() + _LOCK_TIMEOUT
        while time.monotonic() < deadline:
            try:
                import fcntl

                self.flock, self.unlock = fcntl.flock, fcntl.LOCK_UN
                # Unlike lockf's, flock's lock isn't lost when another descriptor is closed.
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return None
            except (BlockingIOError, PermissionError):
                time.sleep(0.005)
            except (OSError, ImportError) as error:
                return str(getattr(error, "strerror", error))
        os.close(self.descriptor)
        problem = f"somebody has locked {self.path} for {_LOCK_TIMEOUT:.0f} s"
        raise TimeoutError(errno.ETIMEDOUT, problem)

    def __exit__(self, *error: object) -> None:
        # Closing alone would leave it locked while a child that was forked meanwhile lives.
        attempt(lambda: self.flock(self.descriptor, self.unlock))
        os.close(self.descriptor)


def replace_file(path: str, text: str, durable: bool) -> None:
    """Write a text file through a temporary one beside it."""
    # Its name says whose it is, so that a later run knows whether it is a stray.
    temporary = _hidden_path(path, f"{owner()}.{os.urandom(4).hex()}.tmp")
    _write_through(temporary, path, text, lambda: True, durable)


def _write_through(
    new: str, path: str, text: str, may_replace: Callable[[], bool], durable: bool = False
) -> bool:
    """Write a new file, and rename it to `path` if it may replace that; return whether it has.

    FileExistsError if the new file is there already.
    """
    descriptor = None
    try:
        # O_EXCL: never through a link, or into a file, that somebody has put there.
        descriptor = open_quietly(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        data = memoryview(text.encode("utf-8", "surrogateescape"))
        try:
            while data:
                data = data[os.write(descriptor, data) :]
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if may_replace():
            os.replace(OwnPath(new), OwnPath(path))
            return True
        os.unlink(new)
        return False
    except BaseException as error:
        if descriptor is not None or not isinstance(error, FileExistsError):
            attempt(os.unlink, new)
        raise


def create_directories(path: str, parents: bool) -> list[str]:
    """Create a directory, its parents too if asked; return what wasn't there, outermost first."""
    missing = [] if os.path.isdir(path) else [path]
    while missing and parents and not os.path.isdir(os.path.dirname(missing[-1]) or "."):
        missing.append(os.path.dirname(missing[-1]))
    created: list[str] = []
    for folder in reversed(missing):
        try:
            os.mkdir(folder)
            created.append(folder)
        except OSError as error:
            if not isinstance(error, FileExistsError) or not os.path.isdir(folder):
                remove_directories(created)
                raise
    return created


def check_links(path: str) -> None:
    """Raise PermissionError if another user's link lies on the way: it could lead a run astray.

    Trusted are those of root, of this user, and of the owner of the folder that they are in.
    """
    place = path if hasattr(os, "geteuid") else ""
    while place:
        if os.path.islink(place) and os.path.exists(place):
            found, around = os.lstat(place), os.stat(os.path.dirname(place))
            if found.st_uid not in (0, os.geteuid(), around.st_uid):
                raise PermissionError(errno.EPERM, f"another user has placed the link {place}")
            check_links(os.path.join(os.path.dirname(place), os.readlink(place)))
        place = place.rpartition(os.sep)[0]


def remove_directories(created: Iterable[str]) -> None:
    """Remove directories that were created for nothing."""
    for folder in reversed([*created]):
        attempt(os.rmdir, folder)


def leads_inside(path: str) -> bool:
    """Whether a path stays inside the folder that it is joined to, and names one in there."""
    parts = path.replace(os.altsep or os.sep, os.sep).split(os.sep)
    is_absolute = not parts[0] or os.path.splitdrive(path)[0]
    if is_absolute or os.pardir in parts or "\0" in path:
        return False
    return any(part not in ("", os.curdir) for part in parts)


# == Records ===================================================================
# Records are data from elsewhere: nothing in them is executed, their size is
# bounded, and whatever they hold may have any type. `get` and the functions on
# top of it give what they are asked for in the type it should have.

PATH_LIMIT = 4096  # characters of a recorded path or of a class's name, as long as systems allow

# A record begins with its version; one of pycrumbs 0.4 with the uuid, then the times;
# one whose keys another program has sorted, with the function.
RECORD_START = (
    r'\s*\[?\s*\{\s*"(?:pycrumbs"\s*:\s*"|uuid"\s*:\s*"[^"]{1,64}"\s*,\s*"timing"\s*:'
    r'|called_function"\s*:\s*\{)'
)


class RecordError(Exception):
    """A record that can't be found, read or used; the message says which, why and what to do."""


class _NotARecord(RecordError):
    """A file that is fine, and something else."""


def is_record(path: str) -> bool:
    """Whether a file begins like a record (a run's output may), or is a record's hidden file."""
    if not path.endswith(".json"):
        return is_hidden(os.path.basename(path))
    try:
        # Opening a named pipe would wait for whoever writes to it.
        start = read_bytes(path, 200) if os.path.isfile(path) else b""
        return pattern(RECORD_START).match(start.decode("utf-8", "replace")) is not None
    except OSError as error:
        # Whoever reads it says why it can't be read.
        return isinstance(error, PermissionError) and path.endswith("_record.json")


def is_hidden(name: str) -> bool:
    """Whether a file beside a record is a temporary one, a claim or a lock."""
    own = r"(?s)\..*\.json\.(?:[0-9a-f]{8}-\d+-\w+\.\w+\.tmp|[0-9a-z-]+\.claim|lock)"
    return name.startswith(".") and pattern(own).fullmatch(name) is not None


def read_records(path: str) -> list[Record]:
    """The records in a file, oldest first, with their place in it; RecordError if it holds none."""
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise RecordError(f"{path}: is not a file")
        if found.st_size > LOAD_LIMIT:
            raise RecordError(f"{path}: is larger than {format_size(LOAD_LIMIT)}")
        # Files of size 0 below /proc may have no end: read no more than the size says.
        text = read_bytes(path, found.st_size)
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from None
    return [
        {**record, "record_path": path, "record_number": number}
        for number, record in enumerate(parse_records(text, path), 1)
    ]


def parse_records(text: str | bytes, path: str) -> list[Record]:
    """Parse what a record file holds: one record, or a list of them."""
    import json

    try:
        content = json.loads(text)
    except RecursionError:
        raise RecordError(f"{path}: is nested too deeply to be a record") from None
    except ValueError as error:
        raise RecordError(f"{path}: is not JSON, or cut short: {error}") from None
    records = content if isinstance(content, list) else [content]
    if not records or not all(isinstance(r, dict) and "called_function" in r for r in records):
        raise _NotARecord(f"{path}: is JSON, but not a record of pycrumbs")
    return records


def attempt_records(path: str, on_problem: Callable[[str], object] = bool) -> list[Record]:
    """The records in a file; none where it can't be read, which `on_problem` is told."""
    try:
        return read_records(path)
    except _NotARecord:
        # A function's own JSON file may begin like a record.
        return []
    except RecordError as error:
        on_problem(f"{error}; left out")
        return []


def get(record: object, *keys: str, kind: Any = None) -> Any:
    """What a record holds under nested keys; None if it isn't there.

    With a `kind`, anything else counts as an empty one: get(record, "a", kind=dict).items().
    """
    for key in keys:
        record = record.get(key) if isinstance(record, dict) else None
    return record if kind is None or isinstance(record, kind) else kind()


def pick(mapping: object, keys: Iterable[str]) -> Record:
    """Those of these keys that a mapping has, with their values."""
    held = mapping if isinstance(mapping, dict) else {}
    return {key: held[key] for key in keys if key in held}


def start_of(record: Record) -> float:
    """When a run started, in seconds since the epoch; 0 where that isn't told."""
    return parse_time(get(record, "timing", "start_time"))


def end_of(record: Record) -> float:
    """When a run ended; never where that isn't told."""
    return parse_time(get(record, "timing", "end_time")) or float("inf")


def folder_of(record: Record) -> str:
    """The folder that a record lies in now."""
    return os.path.dirname(os.path.abspath(str(record.get("record_path"))))


def directory_of(record: Record) -> str:
    """The directory that a run left its record in, as it was then; else where the record is now."""
    then: str = get(record, "called_function", "directory", kind=str)
    if then and len(then) <= PATH_LIMIT:
        return then
    return folder_of(record)


def cwd_of(record: Record) -> str:
    """A run's working directory."""
    cwd: str = get(record, "environment", "cwd", kind=str)
    return cwd if cwd and len(cwd) <= PATH_LIMIT else os.sep


def entries_of(record: Record, kind: str) -> list[Record]:
    """A record's inputs or outputs, by absolute path; what isn't an entry is left out.

    `name` is the path as recorded. A size that is no number, or a hash that is no text, is None.
    """
    folder, found = folder_of(record), []
    for entry in get(record, kind, kind=list)[:FILE_LIMIT]:
        name, size, sha256 = (get(entry, key) for key in ("path", "size", "sha256"))
        if isinstance(name, str) and len(name) <= PATH_LIMIT and is_text(name):
            place = {"path": os.path.normpath(os.path.join(folder, name)), "name": name}
            size = size if isinstance(size, int) and 0 <= size < 2**63 else None
            sha256 = sha256 if isinstance(sha256, str) else None
            found.append({**entry, **place, "size": size, "sha256": sha256})
    return found


def identify_function(record: Record) -> tuple[str, str]:
    """A run's function, by its name and its file in the project."""
    called = get(record, "called_function", kind=dict)
    name = get(called, "qualname") or get(called, "name")
    top = get(record, "tracked_module", "git_working_dir") or cwd_of(record)
    source = get(called, "source_file", kind=str)
    return str(name), os.path.relpath(source, str(top)) if source else ""


def judge_status(record: Record) -> str:
    """A run's status; one recorded as running is looked for: running, died, or unknown (why)."""
    status = record.get("status")
    if status is None:
        # pycrumbs 0.4 wrote no status, but an end time.
        return "completed" if get(record, "timing", "end_time") else "unknown (no end time)"
    if status != "running":
        return str(status)
    # A pid says nothing about another machine or container, and no process outlives a boot.
    if get(record, "environment", "hostname") != attempt(read_hostname):
        return "unknown (other host)"
    then, here = get(record, "environment", "process", kind=dict), identify_process()
    if not then.get("boot_id") or not here.get("boot_id"):
        return "unknown (no process identity)"
    if then["boot_id"] != here["boot_id"]:
        return "died"
    if then.get("pid_namespace") != here.get("pid_namespace"):
        return "unknown (other container)"
    pid = then.get("pid")
    gone = not isinstance(pid, int) or is_gone(pid, then.get("start_time"))
    return "died" if gone else "running"


def is_in_progress(record: Record) -> bool:
    """Whether a run may still go on."""
    return record.get("status") == "running" and judge_status(record) != "died"


def read_flags(orig_argv: Sequence[str]) -> tuple[list[str], str]:
    """The interpreter's options that results may depend on; and its `-m` module, or ''."""
    flags: list[str] = []
    words = iter(orig_argv[1:])
    for option in words:
        takes_more = pattern(r"-[bBdEiIOPqsSuvx]*[XWm]").fullmatch(option)
        word = option + next(words, "") if takes_more else option
        module = pattern(rf"-[bBdEiIOPqsSuvx]*m({MODULE_NAME})").fullmatch(word)
        if module:
            return flags, module[1]
        if not word.startswith("-") or word == "-" or word.startswith("-c"):
            break
        if pattern(_FLAGS_RESTORED).fullmatch(word):
            flags.append(word)
    return flags, ""


# The options a rerun restores; none that names a file, a module or a hook.
_FLAGS_RESTORED = (
    r"-O{1,2}|-b{1,2}|-X(?:utf8|dev|int_max_str_digits)(?:=\w+)?|-W(?:error|ignore)(?:::\w+)?"
)
MODULE_NAME = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"


def normal_kind(kind: object) -> str:
    """The name of a type as it is written now."""
    # Python 3.13 alone writes the first; the second is the script in multiprocessing's children.
    return str(kind).replace("pathlib._local.", "pathlib.").replace("__mp_main__.", "__main__.")


def is_seed_drawn(record: Record) -> bool:
    """Whether a run's seed was drawn, not given."""
    given = get(record, "called_function", "parameters", kind=dict).values()
    return record.get("seed") is not None and record["seed"] not in given


def open_json(value: Any) -> list[tuple[str, str, Any]]:
    """What a JSON value holds, as (step, name, value); nothing if it is no container.

    A step is `.name` or `[index]`; those on the way to a value make its path: `model.layers[2]`.
    """
    if isinstance(value, dict):
        return [(f".{name}", name, child) for name, child in value.items()]
    if isinstance(value, list):
        return [(f"[{index}]", "", child) for index, child in enumerate(value)]
    return []


def join_path(path: str, step: str) -> str:
    """The path of what is one step further."""
    return path + step if path or step[:1] != "." else step[1:]


def map_json(value: Any, change: Callable[[Any, str], Any], path: str = "") -> Any:
    """A copy of a JSON value; `change` remakes each value in it, inner ones first, by its path."""
    if isinstance(value, dict):
        value = {n: map_json(v, change, join_path(path, s)) for s, n, v in open_json(value)}
    elif isinstance(value, list):
        value = [map_json(v, change, join_path(path, s)) for s, _, v in open_json(value)]
    return change(value, path)


# == Reading back ==============================================================
# Everything here takes records, or paths that lead to them, and returns values;
# what is printed is made in 'Showing'.

_TRACE_LIMIT = 100  # runs that a trace follows back, one after another
LOOK_TIMEOUT = 4.0  # seconds, for a look at the repository that a record names


def load_records(root: _StrPath) -> list[Record]:
    """Load all records below a folder, or in one file; newest first.

    Each record has two keys more than its file: `record_path`, and `record_number` (from 1, its
    place in a chained file). For a table: `pandas.json_normalize(load_records("runs/"))`.

    Raises
    ------
    RecordError
        The folder or file doesn't exist, or can't be read. Files below a folder that aren't
        records are passed over; one that begins like a record and can't be read is a warning.
    """
    return sorted(iterate_records(os.fsdecode(root), warn), key=start_of, reverse=True)


def iterate_records(root: str, on_problem: Callable[[str], object] = bool) -> Iterator[Record]:
    """The records below a folder, or in one file, one after another in no order.

    `on_problem` is told of each file below the folder that looks like a record and can't be read.
    """
    if not os.path.isdir(root):
        yield from read_records(root)
        return

    def tell(error: OSError) -> None:
        problem = f"{error.filename}: cannot be read: {error.strerror}"
        if error.filename == root.rstrip(os.sep):
            raise RecordError(problem) from None
        on_problem(f"{problem}; left out")

    seen: set[object] = set()
    for name, _ in walk_tree(root, links=True, on_error=tell):
        path = os.path.join(root, name)
        if name.endswith(".json") and is_record(path):
            # Behind links it may be there by several names: inode and device tell.
            identity = attempt(os.stat, path)[1:3]
            if identity not in seen:
                seen.add(identity)
                yield from attempt_records(path, on_problem)


def attempt_records_in(folder: str, on_problem: Callable[[str], object] = bool) -> list[Record]:
    """The records in one directory; none where it can't be read."""
    names = sorted(e.name for e in scan_folder(folder) if e.name.endswith(".json"))
    paths = [os.path.join(folder, name) for name in names]
    return [r for path in paths if is_record(path) for r in attempt_records(path, on_problem)]


def find_record(target: _StrPath) -> Record:
    """Find the record that a path stands for.

    Parameters
    ----------
    target
        A record file; a directory, whose newest run is meant; or any file that a run made, whose
        record lies beside it or in a folder above. Of a chained record the last run is meant,
        `PATH@N` is the N-th.

    Raises
    ------
    RecordError
        There is none. Where another one in the directory can't be read, that is a warning.
    """
    return find_run(os.fsdecode(target), warn)


def find_run(path: str, on_problem: Callable[[str], object]) -> Record:
    """`find_record`; `on_problem` is told what looks like a record there, and can't be read."""
    stem, _, number = path.rpartition("@")
    # A file may be called so itself, and then is meant.
    if stem and pattern("[0-9]{1,9}$").match(number) and not os.path.lexists(path):
        return _pick_run(find_run(stem, on_problem)["record_path"], int(number))
    if os.path.isdir(path):
        return _find_record_in(path, on_problem)
    # A file that a run has made may begin like a record.
    is_alike = is_record(path)
    records = attempt_records(path) if is_alike else []
    if records:
        return records[-1]
    full = os.path.abspath(path)
    maker = _Makers().find(full) or _find_maker_0_4(full)
    if maker is not None:
        return maker.record
    if not os.path.exists(path):
        raise RecordError(f"{path}: there is no such file or directory")
    if is_alike or path.endswith(".json"):
        return read_records(path)[-1]
    advice = "if it was written elsewhere, trace --root DIR looks for it by content"
    raise RecordError(f"{path}: no record beside it or in a folder above names this file; {advice}")


def as_record(record: Record | _StrPath) -> Record:
    """A record, or the one that a path stands for."""
    return record if isinstance(record, dict) else find_record(record)


def _pick_run(path: str, number: int) -> Record:
    """The run of that number, from 1, in a record file."""
    records = read_records(path)
    if not 1 <= number <= len(records):
        runs = "run" if len(records) == 1 else "runs"
        raise RecordError(f"{path}: holds {len(records)} {runs}; there is no number {number}")
    return records[number - 1]


def _find_record_in(folder: str, on_problem: Callable[[str], object]) -> Record:
    """The newest record of a directory; if it has none, of the folders below it, or above."""
    problems: list[str] = []
    tell = problems.append
    nearest = attempt_records_in(folder, tell) or iterate_records(folder, tell)
    record = max(nearest, key=start_of, default=None) or _Makers().find_for_folder(folder)
    if record is None:
        missing = f"{folder}: there is no record in this directory, below or above it"
        raise RecordError(problems[0] if problems else missing)
    for problem in dict.fromkeys(problems):
        on_problem(problem)
    return record


class _Maker(types.SimpleNamespace):
    """The `record` of a run, and the hash it gave of the file that it was found for."""

    record: Record
    sha256: str | None

    def made(self, sha256: str | None) -> bool | None:
        """Whether the run made this very content; None where that can't be known."""
        return None if sha256 is None or self.sha256 is None else self.sha256 == sha256


class _Makers:
    """The runs that made files, found from the files; each folder's records are read once."""

    def __init__(self) -> None:
        self.claims: dict[str, dict[str, list[_Maker]]] = {}
        self.by_uuid: dict[str, Record] = {}

    def find(
        self, path: str, sha256: str | None = None, before: float = float("inf")
    ) -> _Maker | None:
        """The run that made a file, by the records beside it and in the folders above.

        One that made this content (by default, what is there now) goes before one that only wrote
        to this path; then one that began `before` the file was read; then the nearest; then the
        newest.
        """
        claims = [
            (folder, claim)
            for folder in folders_above(path)
            for claim in self.claims_in(folder).get(path, ())
        ]
        if not claims:
            real = os.path.realpath(path)
            return None if real == path else self.find(real, sha256, before)
        if sha256 is None and len(claims) > 1:
            sha256 = hash_file(path)
        # The longest folder is the nearest one.
        ranked = [
            ((claim.made(sha256) is True, start_of(claim.record) < before, len(folder)), claim)
            for folder, claim in claims
        ]
        best = max(rank for rank, _ in ranked)
        makers = sorted((c for rank, c in ranked if rank == best), key=lambda c: start_of(c.record))
        # Of runs that overlapped, the first to end made it; the others only saw its file.
        at_once = (c for c in makers if end_of(c.record) > start_of(makers[-1].record))
        return min(at_once, key=lambda claim: end_of(claim.record), default=makers[-1])

    def find_for_folder(self, folder: str) -> Record | None:
        """The newest run of the nearest folder above that has outputs below this one."""
        folder = os.path.abspath(folder)
        for above in folders_above(folder):
            claims = self.claims_in(above).items()
            found = [c.record for path, cs in claims for c in cs if is_below(path, folder)]
            if found:
                return max(found, key=start_of)
        return None

    def claims_in(self, folder: str) -> dict[str, list[_Maker]]:
        """The outputs that the records in one folder name, by path."""
        if folder not in self.claims:
            claims = self.claims[folder] = {}
            for record in attempt_records_in(folder):
                self.by_uuid[str(record.get("uuid"))] = record
                for entry in entries_of(record, "outputs"):
                    maker = _Maker(record=record, sha256=entry["sha256"])
                    claims.setdefault(entry["path"], []).append(maker)
        return self.claims[folder]


def _find_maker_0_4(path: str) -> _Maker | None:
    """The newest record of pycrumbs 0.4, which listed no outputs, beside a file."""
    if not os.path.isfile(path):
        return None
    records = attempt_records_in(os.path.dirname(path))
    old = [record for record in records if "pycrumbs" not in record]
    return _Maker(record=max(old, key=start_of), sha256=None) if old else None


def verify_record(record: Record | _StrPath) -> list[Record]:
    """Compare a run's inputs and outputs with the files as they are now.

    Parameters
    ----------
    record
        From `find_record` or `load_records`; or a path that `find_record` takes.

    Returns
    -------
    list of dict
        record_path, path, kind ('input' or 'output') and state: 'ok', 'changed', 'missing',
        'unreadable', or 'unhashed' for a file of the right size that the record has no hash of.
    """
    return verify_records([as_record(record)])


def verify_records(records: Iterable[Record]) -> list[Record]:
    """Verify several runs; what a later one of them made anew is 'replaced'."""
    # Links lead to some of them by other names.
    unique: dict[object, Record] = {}
    for record in records:
        path = os.path.realpath(str(record.get("record_path", id(record))))
        unique.setdefault((path, record.get("record_number")), record)
    runs, newest = [], {}
    for record in sorted(unique.values(), key=start_of):
        inputs, outputs = entries_of(record, "inputs"), entries_of(record, "outputs")
        runs.append((record, inputs, outputs))
        newest.update({entry["path"]: record for entry in outputs})
    judge_files([entry for _, *kinds in runs for files in kinds for entry in files])
    verdicts = []
    for record, inputs, outputs in runs:
        moved: Moved | None = None
        for entry in inputs:
            if entry["state"] in ("changed", "missing"):
                moved = moved or Moved(record)
                path = moved.find(entry)
                entry.update({} if path == entry["path"] else {"path": path, "state": "ok"})
        for entry in outputs:
            if entry["state"] != "ok" and newest[entry["path"]] is not record:
                entry["state"] = "replaced"
        for kind, entries in (("input", inputs), ("output", outputs)):
            place = {"record_path": record.get("record_path"), "kind": kind}
            verdicts += [{**place, **pick(entry, ("path", "state"))} for entry in entries]
    return verdicts


def judge_files(entries: Sequence[Record]) -> None:
    """Set each entry's state: whether its file is still what it says."""
    unread = [e for e in entries if _judge_file(e, e["path"], lambda _: None) == "unreadable"]
    # By path, as each file is hashed once, however many records name it.
    files = {entry["path"]: pick(entry, ("path", "size")) for entry in unread}
    hash_files(files.values(), None)
    for entry in entries:
        entry["state"] = _judge_file(entry, entry["path"], lambda p: get(files, p, "sha256"))


def _judge_file(entry: Record, path: str, read: Callable[[str], str | None] = hash_file) -> str:
    """Whether a file is what an entry says; only one of the right size is read, by `read`."""
    signature = sign_file(path)
    if signature is None:
        # A file without a recorded size wasn't there when it was recorded, either.
        return "ok" if entry["size"] is None else "missing"
    if signature[2] != entry["size"]:
        return "changed"
    if entry["sha256"] is None:
        return "unhashed"
    sha256 = read(path)
    return "ok" if sha256 == entry["sha256"] else "changed" if sha256 else "unreadable"


def is_as_recorded(entry: Record, path: str) -> bool:
    """Whether a file has the content of a record's entry."""
    return entry["size"] is not None and _judge_file(entry, path) == "ok"


# -- what differs between two runs

_ENVIRONMENT_THAT_COUNTS = (
    *("argv", "platform_info", "python_version", "python_implementation", "python_executable"),
    *("cwd", "hostname", "cpu_count", "user", "git_hash_at_docker_build", "gpus", "rank"),
    "environment_variables",
)
_CODE_THAT_COUNTS = (
    *("git_commit_hash", "git_is_dirty", "git_patch", "git_patch_omitted"),
    *("source_edited_after_import", "url", "commit", "hash"),
)
_ALWAYS_DIFFERENT = (
    r"SLURM_(?!JOB_NAME|JOB_PARTITION|.*CPUS|.*MEM|.*GPU|NNODES|NTASKS|NPROCS)|RANK$"
    r"|MASTER_PORT$|TORCHELASTIC_RUN_ID$|PMIX_NAMESPACE$|PMI_JOBID$|PYCRUMBS_JOB_ID$"
)
# None is a value that a record may hold.
_ABSENT: Any = object()  # stands for what only one of two runs has


def diff_records(a: Record | _StrPath, b: Record | _StrPath) -> list[Record]:
    """Tell by meaning what differs between two runs: records, or paths that `find_record` takes.

    What always differs (uuids, times, process ids, resources) is not compared, nor is the place
    of each run's directory. Two drawn seeds are left out if both records hash all outputs, and
    outputs, result and status are the same.

    Returns
    -------
    list of dict
        section ('function', 'arguments', 'code', 'seed', 'packages', 'inputs', 'outputs',
        'result', 'status', 'environment'), path within it, and the values `a` and `b`; one of
        them is missing where only one run has it. Arguments that are alike but for their types
        have the path "NAME (type)", and the types as values.
    """
    a, b = as_record(a), as_record(b)
    differences = []
    for section, (view, compare) in _DIFF_SECTIONS.items():
        found = compare(view(a), view(b))
        differences += [{"section": section, **as_difference(*triple)} for triple in found]
    sections = {difference["section"] for difference in differences}
    is_drawn = is_seed_drawn(a) and is_seed_drawn(b) and _tells_outputs(a) and _tells_outputs(b)
    if is_drawn and not sections & {"outputs", "result", "status"}:
        differences = [d for d in differences if d["section"] != "seed"]
    return differences


def as_difference(path: str, a: Any, b: Any) -> Record:
    """A difference as `diff_records` lists it."""
    sides = {"path": path, "a": a, "b": b}
    return {key: value for key, value in sides.items() if value is not _ABSENT}


def _tells_outputs(record: Record) -> bool:
    """Whether a record knows the content of all that the run made."""
    is_whole = "pycrumbs" in record and "outputs_omitted" not in record
    return is_whole and all(entry["sha256"] for entry in entries_of(record, "outputs"))


def _forget_directory(value: Any, place: Record, bare: bool = True) -> Any:
    """A value in which every path into a run's own directory begins with _OWN_DIRECTORY instead.

    `place` is from `_describe_place`. A word without a slash counts only where `bare` says so, and
    only if it is the directory itself: it may well mean something else.
    """
    directory, cwd = place["directory"], place["cwd"]

    def forget(value: Any, path: str) -> Any:
        if not isinstance(value, str) or len(value) > PATH_LIMIT:
            return value
        if not value.startswith(".") and os.path.basename(directory) not in value:
            return value
        before, text, after = pattern(_AROUND_PATH).match(value).groups("")
        full = os.path.normpath(os.path.join(cwd, text))
        is_own = full == directory and (bare or os.sep in text)
        if is_own or (os.sep in text and is_below(full, directory)):
            return before + _OWN_DIRECTORY + full[len(directory) :] + after
        return value

    return map_json(value, forget)


_OWN_DIRECTORY = "<the run's directory>"
# A path is also one within `PosixPath('...')` and after `--option=`.
_AROUND_PATH = r"(?s)(\w+Path\('|[\w.-]+=)?(.*?)('\))?\Z"
# What may be a path in a sentence: what stands in quotes, or a word.
_PATH_IN_TEXT = r"(?<=\W')[^'\n]+(?=')|(?<=\W\")[^\"\n]+(?=\")|[^\s'\"(),:;]+"


def forget_own_directory(arguments: object, call: Record) -> Record:
    """A run's arguments without where its directory was; `call` is from `_describe_place`."""
    # Not every record names the argument that told the directory.
    told_by = call["directory_parameter"]
    return {
        name: _forget_directory(value, call, bare=told_by in (None, name))
        for name, value in get(arguments, kind=dict).items()
    }


def _describe_place(record: Record) -> Record:
    """Where a run left its files, by which parameter it was told, and where it was itself."""
    return {
        "directory": directory_of(record),
        "directory_parameter": get(record, "called_function", "directory_parameter"),
        "cwd": cwd_of(record),
    }


def _describe_call(record: Record) -> tuple[Record, Record | None]:
    """A run's arguments, and the types of those that aren't plain JSON, where it tells them."""
    called, place = record.get("called_function"), _describe_place(record)
    types = get(called, "parameter_types", kind=dict)
    kinds = {path: kind for path, kind in types.items() if path != place["directory_parameter"]}
    arguments = forget_own_directory(get(called, "parameters"), place)
    return arguments, kinds if "pycrumbs" in record else None


def _describe_function(record: Record) -> Record:
    """What tells the functions of two runs apart."""
    called = get(record, "called_function", kind=dict)
    return {"name": called.get("qualname") or called.get("name"), "module": called.get("module")}


def _describe_packages(record: Record) -> Record:
    """The inventory; pycrumbs 0.4 didn't write its names in one canonical form."""
    packages = get(record.get("package_inventory"), kind=dict).items()
    return {canonical_name(name): version for name, version in packages}


def _describe_ending(record: Record) -> Record:
    """A run's status and error, without where its directory was."""
    error, place = get(record, "error", kind=dict), _describe_place(record)
    message = pattern(_PATH_IN_TEXT).sub(
        lambda path: _forget_directory(path[0], place, bare=False),
        get(error, "message", kind=str)[:TEXT_LIMIT],
    )
    told = summarize_error({**error, "message": message or error.get("message")})
    return {"status": judge_status(record), **({"error": told[0]} if told else {})}


def summarize_error(error: object) -> list[str]:
    """An error in a line, if there was one."""
    told = [clean(get(error, key)) for key in ("type", "message") if get(error, key)]
    return [": ".join(told)] if told else []


def _describe_code(record: Record) -> Record:
    """The code of a run: of the tracked module, the extra ones, and packages from elsewhere."""
    code: dict[str, Record] = {}
    for kind in ("extra_tracked_modules", "package_origins"):
        for name, state in get(record, kind, kind=dict).items():
            # Of a package that is one of the modules, only the module's entry tells the state.
            code[name] = {**_describe_state(state), **code.get(name, {})}
    return {**_describe_state(record.get("tracked_module")), **code}


def _describe_state(state: object) -> Record:
    """What counts of a repository's state, with the patch by file."""
    described = pick(state, _CODE_THAT_COUNTS)
    sections = parse_patch([*map(str, get(described, "git_patch", kind=list))])
    files = {s.name or s.lines[0]: "\n".join(s.lines) for s in sections}
    return {**described, "git_patch": files} if described else {}


def _describe_surroundings(record: Record) -> Record:
    """The part of the environment that may have had an effect on the run."""
    environment = pick(record.get("environment"), _ENVIRONMENT_THAT_COUNTS)
    variables = get(environment, "environment_variables", kind=dict)
    is_always_different = pattern(_ALWAYS_DIFFERENT).match
    kept = {k: v for k, v in variables.items() if v is not None and not is_always_different(k)}
    # It may have been started as python, or as python3.
    python = os.path.dirname(get(environment, "python_executable", kind=str))
    argv = _forget_directory(environment.get("argv"), _describe_place(record))
    flags, _ = read_flags([*map(str, get(record, "environment", "orig_argv", kind=list))])
    changed = {"argv": argv, "flags": flags, "python_executable": python}
    return {**environment, **changed, "environment_variables": kept}


def name_in_run(record: Record, entry: Record) -> str:
    """A file's path in its run; a rerun keeps below ELSEWHERE what lay outside its directory."""
    name: str = entry["name"]
    is_kept = "rerun_of" in record and name.startswith(f"{ELSEWHERE}/")
    return name[len(ELSEWHERE) :] if is_kept else name


ELSEWHERE = "elsewhere"  # folder for what a rerun would have written outside its directory


def _describe_files(record: Record, kind: str) -> dict[str, Record]:
    """A run's inputs or outputs by path; within the run's directory that is relative to it."""
    directory = os.path.join(directory_of(record), "")
    return {
        os.path.normpath(name_in_run(record, entry).removeprefix(directory)): entry
        for entry in entries_of(record, kind)
    }


def _diff_files(a: dict[str, Record], b: dict[str, Record]) -> Iterator[tuple[str, Any, Any]]:
    """The files whose content differs: by hash, or by size where one of the two has no hash.

    A file outside the run's directory doesn't differ if the other run has its content anywhere.
    """
    contents = [{entry["sha256"] for entry in files.values()} - {None} for files in (b, a)]
    for path in sorted({*a, *b}):
        pair = (a.get(path), b.get(path))
        if None in pair and os.path.isabs(path):
            hashes = [get(entry, "sha256") for entry in pair]
            if any(sha256 in others for sha256, others in zip(hashes, contents)):
                continue
        key = "sha256" if all(entry["sha256"] for entry in pair if entry) else "size"
        x, y = (_ABSENT if entry is None else entry[key] for entry in pair)
        if x != y:
            yield path, x, y


def list_uncompared(a: Record, b: Record) -> dict[str, list[str]]:
    """The files and arguments that both runs have and diff can't compare, by the reason why."""
    sized = []
    for kind in ("inputs", "outputs"):
        files, others = _describe_files(a, kind), _describe_files(b, kind)
        for path in sorted(files.keys() & others.keys()):
            x, y = files[path], others[path]
            if x["size"] == y["size"] is not None and not (x["sha256"] and y["sha256"]):
                sized.append(path)
    calls = [get(run, "called_function", "parameters", kind=dict) for run in (a, b)]
    common = [name for name in calls[0] if name in calls[1]]
    return {
        "not hashed, so only their sizes were compared": sized,
        "too long for the records, so not compared": [
            name for name in common if all(call[name] == SUPPRESSED for call in calls)
        ],
    }


def diff_values(a: Any, b: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The paths into two JSON values at which they differ, with what is there."""
    steps, others = ({step: child for step, _, child in open_json(value)} for value in (a, b))
    is_alike = isinstance(a, dict) or len(steps) == len(others)
    # A long path isn't followed further: it would stand in each of a thousand differences.
    if type(a) is type(b) and isinstance(a, (dict, list)) and is_alike and len(path) <= 500:
        for step in sorted({**steps, **others}) if isinstance(a, dict) else steps:
            one, other = steps.get(step, _ABSENT), others.get(step, _ABSENT)
            yield from diff_values(one, other, join_path(path, step))
    elif a != b or type(a) is not type(b):
        yield path, a, b


def _diff_arguments(a: Any, b: Any) -> Iterator[tuple[str, Any, Any]]:
    """The arguments that differ, also by type alone: a tuple and a list read the same in JSON."""
    (values, kinds), (others, other_kinds) = a, b
    yield from diff_values(values, others)
    if kinds is not None and other_kinds is not None:
        for path in sorted(kinds.keys() | other_kinds.keys()):
            kind, other = (normal_kind(types.get(path, "plain")) for types in (kinds, other_kinds))
            name = pattern(r"[^.\[{]*").match(path)[0]
            if kind != other and name in values and name in others:
                yield f"{path} (type)", kind, other


_DIFF_SECTIONS: dict[str, tuple[Callable[[Record], Any], Callable[[Any, Any], Iterator[Any]]]] = {
    "function": (_describe_function, diff_values),
    "arguments": (_describe_call, _diff_arguments),
    "code": (_describe_code, diff_values),
    "seed": (lambda run: run.get("seed", _ABSENT), diff_values),
    "packages": (_describe_packages, diff_values),
    "inputs": (lambda run: _describe_files(run, "inputs"), _diff_files),
    "outputs": (lambda run: _describe_files(run, "outputs"), _diff_files),
    "result": (
        lambda run: _forget_directory(run.get("result", _ABSENT), _describe_place(run), bare=False),
        diff_values,
    ),
    "status": (_describe_ending, diff_values),
    "environment": (_describe_surroundings, diff_values),
}


# -- where a file comes from


def trace_file(file: _StrPath, roots: _StrPath | Iterable[_StrPath] = ()) -> Record:
    """Trace a file back to its sources.

    Parameters
    ----------
    file
        Any file that is there, or that a record beside it or in a folder above names.
    roots
        A folder, or several, searched by content for files that were moved and for their records.

    Returns
    -------
    dict
        path; sha256; state, as in `verify_record`; run, None for a source:
        record_path, record_number, uuid, function, start_time and status of the run that made the
        file, and made_this: False if it wrote another content there, None if nobody knows; inputs:
        the same for each input of that run. Only where True: overwritten (that run began after the
        one that read the file, and isn't followed), made_again (it made the same content later),
        repeated (its inputs stand elsewhere in the tree), cut (they are 100 runs away).

    Raises
    ------
    RecordError
        There is no such file, or no such root.
    """
    path = os.path.abspath(os.fsdecode(file))
    if os.path.isdir(path):
        raise RecordError(f"{path}: is a directory; trace follows one file")
    roots = [roots] if isinstance(roots, (str, os.PathLike)) else roots
    tracer = _Tracer(os.path.abspath(os.fsdecode(root)) for root in roots)
    node = tracer.trace({"path": path, "sha256": hash_file(path)})
    if node["run"] is None and not os.path.exists(path):
        raise RecordError(f"{path}: there is no such file, and no record names it")
    return node


class _Tracer(_Makers):
    """Follows files back to the runs that made them, also by content below some folders."""

    def __init__(self, roots: Iterable[str]) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.by_content: dict[str, list[_Maker]] = {}
        self.by_size: dict[int, list[str]] = {}
        self.alike: dict[int, dict[str | None, str]] = {}
        for root in roots:
            for record in iterate_records(root):
                # What takes most memory isn't needed.
                kept = {**record, "package_inventory": None, "tracked_module": None}
                self.by_uuid.setdefault(str(record.get("uuid")), kept)
                for entry in entries_of(record, "outputs"):
                    # All empty files are the same, and made by nobody in particular.
                    if entry["sha256"] is not None and entry["size"]:
                        maker = _Maker(record=kept, sha256=entry["sha256"])
                        self.by_content.setdefault(entry["sha256"], []).append(maker)
            for path, signature in scan_tree(root)[0].items():
                self.by_size.setdefault(signature[2], []).append(os.path.join(root, path))

    def trace(self, entry: Record, consumer: Record | None = None, depth: int = 0) -> Record:
        """One file's node of the tree; `consumer` is the run that read it."""
        before = start_of(consumer) if consumer else float("inf")
        sha256, maker = entry["sha256"], self.find_maker(entry, before)
        if consumer is None and maker is None:
            maker = _find_maker_0_4(entry["path"])
        state = "missing" if sign_file(entry["path"]) is None else entry.get("state", "ok")
        node = {"path": entry["path"], "sha256": sha256, "state": state, "run": None, "inputs": []}
        if maker is None:
            return node
        node["run"] = _describe_maker(maker, sha256)
        start = start_of(maker.record)
        # The run wrote this path only after it had been read, so it didn't make what was read.
        if not maker.made(sha256) and start >= before:
            return {**node, "overwritten": True}
        if consumer and start >= end_of(consumer):
            node["made_again"] = True
        identity = f"{maker.record['record_path']}@{maker.record['record_number']}"
        if identity in self.seen:
            return {**node, "repeated": True}
        if depth == _TRACE_LIMIT:
            return {**node, "cut": True}
        self.seen.add(identity)
        inputs = self.find_inputs(maker.record)
        node["inputs"] = [self.trace(below, maker.record, depth + 1) for below in inputs]
        return node

    def find_maker(self, entry: Record, before: float) -> _Maker | None:
        """The run that made a file: by its path now or then, else by content below the roots."""
        sha256 = entry["sha256"]
        places = dict.fromkeys((entry["path"], entry.get("recorded_path", entry["path"])))
        makers = filter(None, (self.find(place, sha256, before) for place in places))
        maker = max(makers, key=lambda maker: maker.made(sha256) is True, default=None)
        if sha256 in self.by_content and not (maker and maker.made(sha256)):
            starts = [(start_of(maker.record), maker) for maker in self.by_content[sha256]]
            return max(starts, key=lambda pair: (pair[0] < before, pair[0]))[1]
        return maker

    def find_inputs(self, record: Record) -> list[Record]:
        """A run's inputs, and those of the runs around it: where each is now, and its state."""
        entries: dict[str, Record] = {}
        moved, seen = Moved(record), set()
        around: Record | None = record
        while around is not None and id(around) not in seen:
            seen.add(id(around))
            for entry in entries_of(around, "inputs"):
                place = {"path": self.locate(entry, moved), "recorded_path": entry["path"]}
                entries.setdefault(entry["path"], {**entry, **place})
            around = self.by_uuid.get(str(around.get("parent")))
        judge_files([*entries.values()])
        return [*entries.values()]

    def locate(self, entry: Record, moved: Moved) -> str:
        """Where an input is now: at its place, moved with its record, or below a root."""
        path = moved.find(entry)
        size, sha256 = entry["size"], entry["sha256"]
        if sha256 is None or size not in self.by_size or is_as_recorded(entry, path):
            return path
        if size not in self.alike:
            self.alike[size] = {hash_file(path): path for path in reversed(self.by_size[size])}
        return self.alike[size].get(sha256, path)


def summarize_run(record: Record) -> Record:
    """A run as `log` lists it."""
    return {
        "start_time": get(record, "timing", "start_time"),
        "status": judge_status(record),
        "run_time": get(record, "timing", "run_time"),
        "function": get(record, "called_function", "name"),
        "arguments": get(record, "called_function", "parameters"),
        "seed": record.get("seed"),
        **_describe_place(record),
        "record_path": record["record_path"],
        "record_number": record["record_number"],
        "uuid": record.get("uuid"),
    }


def _describe_maker(maker: _Maker, sha256: str | None) -> Record:
    """A run as a trace names it."""
    keys = ("record_path", "record_number", "uuid", "function", "start_time", "status")
    return {**pick(summarize_run(maker.record), keys), "made_this": maker.made(sha256)}


class Moved:
    """Finds the inputs of a record that were moved together with it.

    Only the same content counts, and nothing that the run itself has made.
    """

    def __init__(self, record: Record) -> None:
        then, now = directory_of(record), folder_of(record)
        # The folders that the record was moved from, and to.
        tail = len(os.path.commonprefix([p.split(os.sep)[::-1] for p in (then, now)]))
        self.then, self.now = (os.sep.join(p.split(os.sep)[: -tail or None]) for p in (then, now))
        self.made = {entry["path"] for entry in entries_of(record, "outputs")}
        # The names in each folder above, nearest first.
        self.above: dict[str, set[str]] = {}
        if attempt(os.path.realpath, then) != os.path.realpath(now):
            above = [now, *folders_above(now)][:12]
            self.above = {folder: {e.name for e in scan_folder(folder)} for folder in above}

    def find(self, entry: Record) -> str:
        """The path of an entry's file now, or the recorded one where it isn't found."""
        path: str = entry["path"]
        if not self.above or entry["sha256"] is None or is_as_recorded(entry, path):
            return path
        places = (place for place in self.list_places(path) if place not in self.made)
        return next((place for place in places if is_as_recorded(entry, place)), path)

    def list_places(self, path: str) -> Iterator[str]:
        """Where a file may be: moved like the record; if gone, also in the folders above it."""
        if is_below(path, self.then):
            yield self.now + path[len(self.then) :]
        parts = [] if os.path.lexists(path) else path.split(os.sep)[1:][-12:]
        for folder, names in self.above.items():
            for start in (start for start, name in enumerate(parts) if name in names):
                yield os.path.join(folder, *parts[start:])


# == Running again =============================================================
# `plan_rerun` makes a `Plan` of a record and executes nothing; `carry_out` has a
# child interpreter execute it. What the run could write to gets a copy below the
# plan's `root`, under the same path: /home/ada/proj becomes ROOT/home/ada/proj,
# so that relative paths still lead from one to the other.

_LIBRARY_LIMIT = 20  # other repositories that are compared with what a record says of them
_COMPARE_LIMIT = 64 * 2**20  # bytes of an output of which a rerun tells where it differs
_COPY_LIMIT = 2**30  # bytes of a folder that is copied where it can't be protected
_COPY_SIZE = 2**17  # bytes that a copy of this file has at least
_CHECKOUT_TIMEOUT = 600.0  # seconds, for the repository of a rerun
_RERUN_PREFIX = "pycrumbs-rerun-"


def rerun_record(
    record: Record | _StrPath,
    directory: _StrPath | None = None,
    *,
    repository: _StrPath | None = None,
    keep: bool = False,
) -> Record:
    """Run a recorded call again, in isolation, and compare what it makes.

    This executes the code that the record names.

    Parameters
    ----------
    record
        From `find_record` or `load_records`; or a path that `find_record` takes.
    directory
        For the new files and their record: empty, or not there yet. Default: a new temporary one.
    repository
        The repository, where it isn't at its recorded place any more.
    keep
        Keep the checkout, for looking into it.

    Returns
    -------
    dict
        verdicts: a list of {name, verdict: 'identical', 'differs', 'missing', 'new' or
        'unhashed', detail}; notes: what to know when reading them; record: the new run's;
        directory; checkout, where it was kept.

    Raises
    ------
    RecordError
        The record, or what is left of what it names, isn't enough to run the call again; or it
        was killed.
    """
    record = as_record(record)
    return carry_out(plan_rerun(record, repository), record, directory, keep)


# For each field of a plan: its type (a PathLike is an absolute path), its key in the record,
# and its default. A field without a default is required.
_RECORDED: dict[str, tuple[Any, ...]] = {
    "uuid": (str, "uuid"),
    # The repository as it was, the commit, and the function's file.
    "top": (os.PathLike, "tracked_module.git_working_dir"),
    "commit": (str, "tracked_module.git_commit_hash", ""),
    "source": (os.PathLike, "tracked_module.module_path"),
    # The call.
    "module": (str, "called_function.module"),
    "qualname": (str, "called_function.qualname"),
    "run_as": (str, "called_function.run_as", ""),
    "directory": (os.PathLike, "called_function.directory"),
    "arguments": (dict, "called_function.parameters", {}),
    "kinds": (dict, "called_function.parameter_types", {}),
    # Its surroundings.
    "argv": (list, "environment.argv", []),
    "flags": (list, "environment.orig_argv", []),
    "variables": (dict, "environment.environment_variables", {}),
    "cwd": (os.PathLike, "environment.cwd"),
    "python_path": (list, "environment.python_path", []),
}


class Plan(types.SimpleNamespace):
    """What a rerun is to do, as JSON can hold it; paths are those of the first run.

    It begins as what the record says, see `_RECORDED`. `plan_rerun` makes `source` relative to the
    repository, keeps those of `flags` and `variables` that are restored, and adds the rest.
    """

    span: tuple[float, float]  # when the run began and ended
    seed: int
    repository: str  # where it is now
    alias: str  # the other name by which its folder was known, or ''
    patch: list[str]
    left_out: dict[str, str]  # files that are not in the patch, and where they are found
    ignored: list[str]  # sources that git ignores
    main: str  # the module that was started with -m, or ''
    unset: list[str]  # recorded variables that a rerun doesn't set
    inputs: list[Record]
    outputs: list[Record]
    moved: list[str]  # what the rerun finds copies of
    notes: list[str]
    # Where it is carried out.
    root: str
    made_in: str  # the run's directory, as it ended
    protected: list[str]
    writable: list[str]

    def relocate(self, path: str) -> str:
        """Where an absolute path of the first run is in the rerun."""
        inside = path == self.root or is_below(path, self.root)
        return path if inside else self.root + path

    def map_path(self, text: str) -> str:
        """A text; a path in it, alone or after its first '=', becomes the one of the copy."""
        for start in (0, text.find("=") + 1):
            path = os.path.normpath(text[start:])
            if any(path == moved or is_below(path, moved) for moved in self.moved):
                return text[:start] + self.relocate(path) + os.sep * text.endswith(os.sep)
        return text

    def map_import(self, path: str) -> str:
        """Where an import path is in the rerun; the interpreter's folders stay where they are."""
        own = [folder for folder in interpreter_folders() if not is_below(self.top, folder)]
        if path.startswith(tuple(own)):
            return path
        # Where the repository has moved, what is installed from it may have followed.
        is_moved = path == self.repository or is_below(path, self.repository)
        return self.map_path(self.top + path[len(self.repository) :] if is_moved else path)

    def restore_paths(self, value: Any) -> Any:
        """A JSON value, its paths those of the first run again: the copies won't stay."""
        import json

        root = json.dumps(self.root)[1:-1]
        return json.loads(json.dumps(value).replace(root, ""))


def plan_rerun(record: Record, repository: _StrPath | None = None) -> Plan:
    """What a rerun would execute; RecordError where the record doesn't tell enough."""
    if "pycrumbs" not in record:
        raise RecordError("pycrumbs 0.4 wrote this record, which is not enough to run it again")
    if not isinstance(record.get("tracked_module"), dict):
        raise RecordError("the record names no commit (git tracking was off): no code to run")
    plan = Plan(**{name: _take(record, *field) for name, field in _RECORDED.items()})
    # One of many processes can't be repeated without the others. 0.5 recorded the variables only.
    rank = get(record, "environment", "rank") or read_rank(plan.variables)
    if rank:
        size = get(rank, "world_size")
        raise RecordError(f"the run was one of {size} processes: start it again as they were")
    try:
        plan.seed = check_seed(record.get("seed"))
    except (TypeError, ValueError) as error:
        raise RecordError(f"the record's seed: {error}") from None
    plan.span = (start_of(record), end_of(record))
    plan.repository = os.path.abspath(os.fspath(repository or plan.top))
    plan.flags, plan.main = read_flags(plan.flags)
    outputs = entries_of(record, "outputs")
    plan.outputs = [{**entry, "name": name_in_run(record, entry)} for entry in outputs]
    _plan_code(record["tracked_module"], plan)
    _check_call(plan)
    _select_variables(plan)
    _plan_files(record, plan)
    plan.notes = list(_list_doubts(record, plan))
    return plan


def _take(record: Record, kind: Any, keys: str, default: Any = None) -> Any:
    """What a record holds under keys joined by dots; RecordError if it isn't of that kind."""
    value = get(record, *keys.split("."))
    value = default if value is None else value
    is_path = kind is os.PathLike
    texts = value if isinstance(value, list) else [value]
    are_fine = all(is_text(t) if isinstance(t, str) else kind is not list for t in texts)
    if not are_fine or not isinstance(value, str if is_path else kind):
        raise RecordError(f"the record's {keys} is missing, or not what a record holds")
    if is_path and (not os.path.isabs(value) or len(value) > PATH_LIMIT):
        raise RecordError(f"the record's {keys} is no absolute path, but {value!r}")
    return os.path.normpath(value) if is_path else value


def _git(folder: str, *arguments: str, timeout: float = LOOK_TIMEOUT) -> tuple[int, str]:
    """Run git; its exit status and what it printed. RecordError if it doesn't end."""
    try:
        return run_git(folder, *arguments, timeout=timeout)
    except Unavailable as error:
        raise RecordError(str(error)) from None


# -- the plan: code


def _plan_code(module: Record, plan: Plan) -> None:
    """Settle the code of a plan: a commit, the patch to it, and the function's file."""
    plan.patch = [] if module.get("git_patch") is None else module["git_patch"]
    _check_patch(plan.patch)
    path = plan.source
    pairs = ((path, plan.top), (os.path.realpath(path), os.path.realpath(plan.top)))
    plan.source = next((os.path.relpath(p, top) for p, top in pairs if is_below(p, top)), "")
    if not plan.source:
        raise RecordError(f"the function's source {path} is outside its repository {plan.top}")
    alias = path.removesuffix(os.sep + plan.source)
    plan.alias = alias if alias not in (path, plan.top) else ""
    _check_commit(plan.repository, plan.commit)
    plan.left_out = _find_left_out(module, plan.repository)
    ignored = (part for part in list_omitted(module) if part.startswith(_IGNORED))
    plan.ignored = [os.path.join(plan.top, part[len(_IGNORED) :]) for part in ignored]


def _check_commit(repository: str, commit: str) -> None:
    """Make sure that the repository is there and has the commit."""
    if not commit:
        raise RecordError("the record names no commit: its repository had none yet")
    if not pattern(COMMIT).fullmatch(commit):
        raise RecordError(f"the record names no commit, but {commit!r}")
    advice = "name a clone that has it with --repo"
    if not os.path.isdir(repository):
        raise RecordError(f"the repository {repository} is not there any more; {advice}")
    status, said = _git(repository, "cat-file", "-e", f"{commit}^{{commit}}")
    if status != 0:
        reason = "" if "Not a valid object name" in said else f" ({said})"
        raise RecordError(f"{repository} has no commit {commit}{reason}; fetch it, or {advice}")


def _find_left_out(module: Record, repository: str) -> dict[str, str]:
    """The files that a patch lacks, and where each still is as it was.

    RecordError if others were left out, or the patch should be there and isn't.
    """
    parts = list_omitted(module)
    found, missing = {}, []
    for part in parts:
        named = pattern(_LEFT_OUT).fullmatch(part)
        places = (os.path.join(repository, named[1]), os.path.abspath(__file__)) if named else ()
        place = next((place for place in places if hash_file(place) == named[2]), None)
        if place:
            found[named[1]] = place
        elif not part.startswith((*_HARMLESS, *_DOUBTFUL)):
            missing.append(part)
    if missing:
        problem = f"the record's patch is not whole; left out: {'; '.join(missing)}"
        raise RecordError(f"{problem}; {_COMMIT_FIRST}")
    if module.get("git_is_dirty") and not parts and module.get("git_patch") is None:
        raise RecordError("the record tells of uncommitted changes, and does not hold them")
    return found


_COMMIT_FIRST = "what is committed before a run can always be run again"
_LEFT_OUT = r"(.+?) \(.*, sha256 ([0-9a-f]{64})\)"
_IGNORED = "the ignored "  # sources, which are then used as they are now
_HARMLESS = (_IGNORED, "the record ", "the submodule ")  # a submodule's commit is in the patch
_DOUBTFUL = ("changed file modes", "what may be ")


def _check_patch(patch: object) -> None:
    """Refuse a patch that git would not have made of a tree, or that leads out of it."""
    if not isinstance(patch, list) or not all(isinstance(line, str) for line in patch):
        raise RecordError("the record's tracked_module.git_patch is no list of texts")
    # A line of a record may hold several.
    lines = "\n".join(patch).split("\n")
    is_whole = not patch or lines[0].startswith("diff --git ")
    sections = parse_patch(lines)
    # Contents may hold NUL bytes: git calls a file text if they come late. Names may not.
    headers = "".join("\n".join(s.lines).partition("\n@@ ")[0] for s in sections)
    if not is_whole or "\0" in headers or not is_text("".join(lines).replace("\0", "")):
        raise RecordError("the record's patch is none that git makes")
    for section in sections:
        parts = section.name.lower().split("/")
        if "" in parts or {".git", ".."} & set(parts):
            raise RecordError(f"the record's patch leads elsewhere: {section.lines[0]}")
        if not section.modes <= {"100644", "100755", "120000", "160000"}:
            raise RecordError(f"the record's patch sets a mode that git never does: {section.name}")
        # Behind another link, `..` leads elsewhere than it seems to.
        text = "\n".join(section.lines)
        targets = pattern(r"(?m)^\+(?!\+\+ )(.*)$").findall(text)
        is_odd = len(targets) > 1 or "\nGIT binary patch" in text
        leads_out = any(target[:1] == "/" or ".." in target.split("/") for target in targets)
        if "120000" in section.modes and (is_odd or leads_out):
            problem = f"the record's patch plants a link that leads elsewhere: {section.name}"
            raise RecordError(f"{problem}; {_COMMIT_FIRST}")


# -- the plan: the call and its surroundings


def _check_call(plan: Plan) -> None:
    """Refuse a function that can't be reached, and arguments that can't be made again."""
    plan.module = plan.module.replace("__mp_main__", "__main__")
    module = plan.qualname if plan.run_as == "module" else plan.module
    if not pattern(MODULE_NAME).fullmatch(module):
        raise RecordError(f"the function's module {module!r} is no module's name")
    if "<locals>" in plan.qualname:
        problem = "is defined inside another function and cannot be reached"
        raise RecordError(f"{plan.qualname}() {problem}")
    unknown = [*_list_unrebuildable(plan)]
    if unknown:
        advice = "plain values, paths, functions and dataclasses can be given back"
        if any(REDACTED in name for name in unknown):
            advice = "secrets aren't recorded: have the function read them from the environment"
        raise RecordError(f"the record cannot give back {', '.join(unknown)}; {advice}")


def _select_variables(plan: Plan) -> None:
    """Settle the environment variables to set as they were, to unset (None), and to leave alone.

    Set are those that results may depend on, and those that the function's own decorator names.
    """
    recorded = plan.variables
    recorded = {name: value for name, value in recorded.items() if REDACTED not in str(value)}
    others = {n for n, value in recorded.items() if is_asked_for(n) and value is not None}
    named = {name for name in others if pattern(_MAY_BE_SET).fullmatch(name)}
    named &= _read_named_variables(plan) if named else set()
    plan.variables = {
        name: value if isinstance(value, str) and is_text(value) else None
        for name, value in ((name, recorded.get(name)) for name in (*RESTORED_VARIABLES, *named))
    }
    plan.unset = sorted(others - named)


# None that chooses programs, libraries or code.
_MAY_BE_SET = (
    r"(?!(?i:LD_|DYLD_|PYTHON|GIT_|SLURM|PERL|RUBY|NODE_|JAVA|_JAVA|JDK_|BASH|ZDOTDIR|XDG_"
    r"|CUDA_CACHE|.*(?:PATH|HOME|SHELL|IFS|ENV|TMPDIR|TEMP|TMP|EDITOR|PAGER|BROWSER|DISPLAY"
    r"|OPTIONS|OPTS?|FLAGS|BACKEND|PLUGINS?|PROXY|ENDPOINT|URL|RANK|WORLD_SIZE|PRELOAD|STARTUP)$))"
    r"[A-Za-z_]\w*"
)


def _read_named_variables(plan: Plan) -> set[str]:
    """The variables that the function's decorator names, as literals, in the recorded source."""
    import ast

    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    try:
        found: list[Any] = [ast.parse(_read_source(plan))]
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return set()
    for name in plan.qualname.split("."):
        inner = (node for outer in found for node in ast.walk(outer) if isinstance(node, kinds))
        found = [node for node in inner if node.name == name]
    lists = [
        keyword.value
        for function in found
        for call in function.decorator_list
        for keyword in getattr(call, "keywords", ())
        if keyword.arg == "extra_environment_variables"
    ]
    items = (getattr(item, "value", None) for given in lists for item in getattr(given, "elts", ()))
    return {item for item in items if isinstance(item, str)}


def _read_source(plan: Plan) -> str:
    """The function's source file at the recorded commit, with its patch; nothing is executed."""
    import tempfile

    look = ("show", f"{plan.commit}:{plan.source}")
    shown = attempt(lambda: start_git(plan.repository, *look).wait(LOOK_TIMEOUT))
    own = [line for s in parse_patch(plan.patch) if s.name == plan.source for line in s.lines]
    with tempfile.TemporaryDirectory(prefix=_RERUN_PREFIX) as folder:
        path, patch = os.path.join(folder, "code", plan.source), os.path.join(folder, "patch")
        os.makedirs(os.path.dirname(path))
        if not isinstance(shown, Missing) and shown[0] == 0:
            replace_file(path, shown[1].decode(), durable=False)
        if own:
            replace_file(patch, "\n".join([*own, ""]), durable=False)
            apply = ("apply", "--whitespace=nowarn", patch)
            if _git(os.path.join(folder, "code"), *apply)[0] != 0:
                return ""
        return read_bytes(path).decode() if os.path.isfile(path) else ""


# -- the plan: files


def _find_paths(plan: Plan) -> Iterator[str]:
    """What could be a path among the arguments."""
    for _, value, kind in _walk_arguments(plan.arguments, plan.kinds):
        if isinstance(value, str) and kind in _PATHS:
            yield str(_evaluate(value, lambda _: os.path.join))
        elif isinstance(value, str):
            yield value


def _plan_files(record: Record, plan: Plan) -> None:
    """Settle what the rerun finds copies of, and where each input is found as it was.

    Copies are made of the repository, the record's directory, and what was written elsewhere: an
    argument that names such a file, or a folder of such files, is to lead to the copy.
    """
    import pathlib

    names = (entry["name"] for entry in plan.outputs)
    elsewhere = sorted(os.path.normpath(name) for name in names if os.path.isabs(name))
    above = {str(folder) for path in elsewhere for folder in pathlib.PurePath(path).parents}
    folders = above.intersection(map(os.path.normpath, _find_paths(plan)))
    own = filter(None, (plan.top, plan.alias, plan.directory))
    plan.moved = [*own, *sorted(folders), *elsewhere]
    entries = [entry for entry in entries_of(record, "inputs") if entry["size"] is not None]
    judge_files(entries)
    displaced, made = Moved(record), {entry["path"] for entry in plan.outputs}
    patched = {section.name for section in parse_patch(plan.patch)}
    plan.inputs = []
    for entry in entries:
        path, place = entry["path"], entry["path"]
        if entry["state"] not in ("ok", "unhashed"):
            moved = os.path.join(plan.repository, os.path.relpath(path, plan.top))
            places = (moved, displaced.find(entry))
            place = next((other for other in places if is_as_recorded(entry, other)), None)
            plan.moved += [path] if place else []
        is_declared = entry.get("found") == "declared" and "inputs_omitted" not in record
        found = {"found": place, "is_made": path in made, "is_declared": is_declared}
        plan.inputs.append({**pick(entry, ("path", "size", "sha256", "state")), **found})
        # What comes with the repository is judged once that is checked out.
        name = os.path.relpath(path, plan.top)
        look = ("cat-file", "-e", f"{plan.commit}:{name}")
        if not place and name not in patched and _git(plan.repository, *look)[0] != 0:
            _require_input(plan.inputs[-1])


def _require_input(entry: Record) -> None:
    """Raise RecordError if an input is found nowhere; not for one that the run itself overwrote."""
    if not entry["found"] and not entry["is_made"]:
        told = {"missing": "is missing", "unreadable": "cannot be read"}
        state = told.get(entry["state"], "has changed since the run")
        raise RecordError(f"the input {format_path(entry['path'])} {state}; put it back as it was")


def _list_doubts(record: Record, plan: Plan) -> Iterator[str]:
    """What could make a rerun come out differently, by what the record tells."""
    module, status = record["tracked_module"], judge_status(record)
    if status != "completed":
        yield f"the first run did not complete: {status}"
    for part in list_omitted(module):
        if part.startswith(_DOUBTFUL):
            yield f"the record's patch does not hold {part}"
    if module.get("source_edited_after_import"):
        yield "the source was edited after it had been imported: what ran is not in git"
    yield from _list_library_doubts(record, plan.top)
    for entry in plan.inputs:
        if entry["is_made"] and not entry["found"]:
            yield f"the run overwrote {entry['path']}: what it read there is lost"
        elif entry["state"] == "unhashed":
            yield f"the record has no hash of {entry['path']}: it is used as it is now"
    if REDACTED in "".join(plan.argv):
        yield "the command line held a secret, which the record does not"
    for kind in ("inputs", "outputs"):
        if record.get(f"{kind}_omitted"):
            yield f"the record does not list all {kind}: {record[f'{kind}_omitted']}"


def _list_library_doubts(record: Record, own: str) -> Iterator[str]:
    """Which of the other repositories that the run took code from aren't as they were."""
    states: Record = {}
    for kind in ("extra_tracked_modules", "package_origins"):
        for name, state in get(record, kind, kind=dict).items():
            # Of several packages in one repository, the first has its patch.
            states.setdefault(str(get(state, "git_working_dir")), (name, state))
    for top, (name, then) in [*states.items()][:_LIBRARY_LIMIT]:
        if top not in (own, "None"):
            now = attempt(lambda top=top: GitProbe(top, top).describe(allow_dirty=True))
            a, b = (str(get(state, "git_commit_hash")) for state in (then, now))
            change = f" (commit {a[:12]} -> {b[:12]})"
            if a == b:
                change = " (what is not committed there may be other than it was)"
            is_same = a == b != "None" and get(then, "git_patch") == get(now, "git_patch")
            if not is_same or list_omitted(then):
                yield f"{name} is used as it is now, not as it was: {top}{change}"


# -- arguments from their descriptions

_PATHS = {f"pathlib.{kind}Path" for kind in ("Posix", "Windows", "PurePosix", "PureWindows")}
REPRS = {  # types whose repr is a literal, or a call that makes them again
    *("bytes", "bytearray", "complex", "range", "slice"),
    *("datetime.datetime", "datetime.date", "datetime.time", "datetime.timedelta"),
    *("datetime.timezone", "decimal.Decimal", "fractions.Fraction", "uuid.UUID", "torch.device"),
    *_PATHS,
}


def _walk_arguments(
    value: Any, kinds: Mapping[str, Any], path: str = ""
) -> Iterator[tuple[str, Any, str]]:
    """All values in described arguments, containers included: their paths, values and types."""
    yield path, value, _kind_at(path, kinds)
    for step, _, child in open_json(value):
        yield from _walk_arguments(child, kinds, join_path(path, step))


def _kind_at(path: str, kinds: Mapping[str, Any]) -> str:
    """The type of the value at a path, '' for plain JSON; a set tells that of its elements."""
    if path in kinds:
        return normal_kind(kinds[path])
    holder = normal_kind(kinds.get(path.rpartition("[")[0], "")) if path.endswith("]") else ""
    return holder.partition("[")[2][:-1]


def _list_unrebuildable(plan: Plan) -> Iterator[str]:
    """The arguments, by path, that their description doesn't suffice to make again."""
    seen = set()
    for path, value, kind in _walk_arguments(plan.arguments, plan.kinds):
        # Keys with a dot or bracket make the paths of two values the same.
        if path in seen and path in plan.kinds:
            yield f"{path} (one of two values has the type {kind})"
        # How long a deque may get isn't told.
        is_odd = " | " in kind or "<locals>" in kind or kind == "collections.deque"
        is_secret = isinstance(value, dict) and any(REDACTED in name for name in value)
        is_cut = isinstance(value, str) and not _tells_all(value, kind)
        if is_odd or is_secret or is_cut or f"{path}{{}}" in plan.kinds:
            yield f"{path} ({kind or value})"
        seen.add(path)


def _tells_all(text: str, kind: str) -> bool:
    """Whether a text tells all of a value of some type."""
    if text == SUPPRESSED or REDACTED in text:
        return False
    if kind in REPRS:
        # Stand-ins are called, not these types: os.path.join for a path, a no-op for the rest.
        stand_in = os.path.join if kind in _PATHS else lambda *values, **named: None
        return not isinstance(attempt(_evaluate, text, lambda _: stand_in), Missing)
    name = kind.rpartition(".")[2]
    is_named = pattern(r"<(?:class '[\w.]+'|function [\w.]+|\w+\.\w+: .*)>").fullmatch(text)
    return bool(not kind or is_named or not text.startswith(("<", f"{name}(", "functools.")))


def _rebuild_arguments(function: Callable[..., Any], plan: Plan) -> inspect.BoundArguments:
    """The call's arguments, made again; paths of the first run lead to their copies."""
    import collections
    import inspect

    def make(value: Any, path: str) -> Any:
        kind = _kind_at(path, plan.kinds)
        if isinstance(value, list):
            kind = kind.partition("[")[0]
        # In a set with a NaN all elements are typed float: those that JSON can hold are kept.
        if not kind or value is None or (kind == "float" and value not in NUMBERS):
            # A None can be typed: with the type of what replaced it in the run (a drawn seed).
            return plan.map_path(value) if isinstance(value, str) else value
        try:
            made = _evaluate(value, _find_object) if kind in REPRS else _remake(value, kind)
            if normal_kind(type_name(made)) != kind:
                raise TypeError("its text does not tell all of it")
        except Exception as error:
            raise RecordError(f"{path} ({kind}) cannot be made again: {error}") from None
        return type(made)(plan.map_path(str(made))) if kind in _PATHS else made

    signature = inspect.signature(function)
    unknown = set(plan.arguments) - set(signature.parameters)
    if unknown:
        raise RecordError(f"{plan.qualname}() has no parameter {', '.join(sorted(unknown))}")
    made = collections.OrderedDict(map_json(plan.arguments, make))
    return inspect.BoundArguments(signature, made)


def _remake(value: Any, kind: str) -> Any:
    """An instance of a class from what describes it: its fields, items, name, text or number."""
    named = pattern(r"<(?:class|function) '?([\w.]+)'?>").fullmatch(str(value))
    if named:
        return _find_object(named[1])
    cls = _find_object(kind)
    bases = {base.__name__ for base in cls.__mro__}
    if isinstance(value, dict):
        return _remake_object(cls, bases, value)
    if isinstance(value, list) and {"list", "tuple", "set", "frozenset", "UserList"} & bases:
        return cls(*value) if hasattr(cls, "_fields") else cls(value)
    if isinstance(value, str) and value.startswith("<"):
        return cls[value.partition(".")[2].partition(":")[0]]
    if isinstance(value, str) and "str" in bases:
        return cls(value)
    is_number = isinstance(value, (int, float)) or value in NUMBERS
    if is_number and {"int", "float", "generic"} & bases:
        return cls(float(value) if isinstance(value, str) else value)
    # A text of its own kind may name a constant: torch.float32.
    package = kind.partition(".")[0]
    return _find_object(value) if value.startswith(f"{package}.") else value


def _remake_object(cls: Any, bases: set[str], fields: Record) -> Any:
    """An object with these fields: a mapping, a namespace, or of a class that lists its fields."""
    if list_fields(cls) is None:
        if is_mapping(cls):
            return cls(fields)
        if not {"Namespace", "SimpleNamespace"} & bases:
            raise TypeError("it is no class of plain data")
        return cls(**fields)
    # Pydantic's way to have them as they were, unchecked.
    construct = getattr(cls, "model_construct", None) or getattr(cls, "construct", None)
    if construct is not None:
        return construct(**fields)
    attributes = {a.name: a for a in getattr(cls, "__attrs_attrs__", ())}
    known = getattr(cls, "__dataclass_fields__", attributes)
    # attrs calls the argument for a field `_x` just x.
    names = {name: getattr(known[name], "alias", None) or name for name in fields}
    made = cls(**{names[name]: value for name, value in fields.items() if known[name].init})
    for name, value in fields.items():
        # As they were, whatever the class makes of them.
        object.__setattr__(made, name, value)
    return made


def _find_object(name: str) -> Any:
    """A class or other object by its dotted name; one without a dot is built in."""
    import pkgutil

    try:
        return pkgutil.resolve_name(name if "." in name else f"builtins.{name}")
    except (ImportError, AttributeError):
        raise LookupError(f"there is no {name} here") from None


def _evaluate(text: str, find: Callable[[str], Any]) -> Any:
    """The value of a repr: literals, and calls of the types in `REPRS`, which `find` finds.

    ValueError for everything else.
    """
    import ast
    import warnings

    kinds = {kind.rpartition(".")[2]: kind for kind in REPRS}

    def value_of(node: Any) -> Any:
        if isinstance(node, ast.Call):
            function = find(kinds[ast.unparse(node.func).rpartition(".")[2]])
            named = {str(word.arg): value_of(word.value) for word in node.keywords}
            return function(*map(value_of, node.args), **named)
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "datetime.timezone.utc":
            return find("datetime.timezone")(find("datetime.timedelta")(0))
        return ast.literal_eval(node)

    try:
        with warnings.catch_warnings():
            # Python warns of odd literals, and quotes them raw.
            warnings.simplefilter("ignore")
            parsed = ast.parse(text[: TEXT_LIMIT + 1], mode="eval")
        return value_of(parsed.body)
    except Exception as error:
        raise ValueError(f"{clean(text, 80)} is no value's text: {error}") from None


# -- carrying the plan out


def carry_out(
    plan: Plan, record: Record, directory: _StrPath | None = None, keep: bool = False
) -> Record:
    """Check the code out, run the function in a child, compare, and leave the rest as it was."""
    import shutil
    import tempfile

    target = None if directory is None else check_target(os.path.abspath(os.fspath(directory)))
    # Before making another: what a killed rerun left may be large.
    _sweep_reruns()
    prefix = "pycrumbs-kept-" if keep else f"{_RERUN_PREFIX}{owner()}-"
    # Before the work, which would be lost if it couldn't be put there.
    created = create_directories(target, parents=True) if target else []
    work = os.path.realpath(tempfile.mkdtemp(prefix=prefix))
    try:
        _lay_out(plan, work)
        made = _find_rerun(plan, _run_child(plan, work), work)
        result: Record = {"verdicts": _judge_rerun(plan, record, made)}
        target = target or tempfile.mkdtemp(prefix="pycrumbs-made-")
        _collect_outputs(plan, made, target)
    except BaseException:
        remove_directories(created)
        if keep:
            say(f"the checkout is kept in {work}")
        raise
    finally:
        if not keep:
            shutil.rmtree(work, ignore_errors=True)
    # What to do about how the rerun failed.
    hint = _HINTS.get(get(made, "error", "type", kind=str))
    notes = [*plan.notes, hint] if hint else plan.notes
    result.update(notes=notes, record=made, directory=target)
    return {**result, "checkout": plan.relocate(plan.top)} if keep else result


def check_target(path: str) -> str:
    """Refuse a folder for new files that holds others; else return it."""
    if os.path.lexists(path) and (not os.path.isdir(path) or os.listdir(path)):
        raise RecordError(f"{path}: must be a folder that is empty, or not there yet")
    return path


def _sweep_reruns() -> None:
    """Remove the working folders of this machine's reruns that were killed."""
    import shutil
    import tempfile

    machine = owner().partition("-")[0]
    for entry in scan_folder(tempfile.gettempdir()):
        found = pattern(rf"{_RERUN_PREFIX}{machine}-(\d+)-(\d+)-").match(entry.name)
        if found and is_gone(found[1], found[2]):
            shutil.rmtree(os.path.join(tempfile.gettempdir(), entry.name), ignore_errors=True)


def _lay_out(plan: Plan, work: str) -> None:
    """Make the copies: the repository with the patch, the inputs, and the folders around them."""
    import shutil

    plan.root = os.path.join(work, "root")
    code = plan.relocate(plan.top)
    _check_out(plan.repository, plan.commit, code, plan.patch)
    for name, found in plan.left_out.items():
        if _make_folder_of(os.path.join(code, name), plan):
            shutil.copy2(found, os.path.join(code, name))
    if not os.path.isfile(os.path.join(code, plan.source)):
        raise RecordError(f"commit {plan.commit} and its patch hold no {plan.source}")
    alias = plan.relocate(plan.alias) if plan.alias else ""
    if alias and _make_folder_of(alias, plan):
        os.symlink(code, alias)
    for path in (os.path.join(plan.cwd, ""), *plan.moved):
        _make_folder_of(plan.relocate(path), plan)
    for entry in plan.inputs:
        _place_input(entry, plan.relocate(entry["path"]), plan)
    _place_unrecorded(plan)
    # Before the record's variables are set, which could name other folders.
    plan.protected, plan.writable = _list_protected(plan, work), _list_writable()


def _check_out(repository: str, commit: str, code: str, patch: Sequence[str] = ()) -> None:
    """Check a commit out into a clone that shares the repository's objects; submodules, too."""
    os.makedirs(code, exist_ok=True)
    shared = ("clone", "--quiet", "--shared", "--no-checkout", "--template=")
    no_push = ("--origin=origin", "--config", "remote.origin.pushurl=/dev/null")
    # Shared objects: nothing is copied, and nothing written to the repository, not even a
    # worktree's entry.
    _require_git("/", *shared, *no_push, repository, code)
    _require_git(code, *_NO_LFS, "checkout", "--quiet", "--detach", commit)
    if patch:
        path = os.path.join(code, ".git", "patch")
        replace_file(path, "\n".join([*patch, ""]), durable=False)
        # The user's apply.* settings would repair what isn't broken.
        exact = ("--whitespace=nowarn", "--no-ignore-whitespace")
        _require_git(code, *_NO_LFS, "apply", *exact, path)
    if not os.path.isfile(os.path.join(code, ".gitmodules")):
        return
    # `git apply` leaves the index alone: a submodule's new commit is told by the patch only.
    parts = [e.partition("\t") for e in _require_git(code, "ls-files", "-s", "-z").split("\0")]
    needed = {folder: facts.split(" ")[1] for facts, _, folder in parts if facts[:7] == "160000 "}
    subs = (s for s in parse_patch(patch) if "160000" in s.modes and s.lines[-1][:1] == "+")
    needed.update({section.name: section.lines[-1].rpartition(" ")[2] for section in subs})
    for folder, pinned in needed.items():
        submodule = os.path.join(repository, folder)
        if os.path.exists(os.path.join(submodule, ".git")):
            _check_commit(submodule, pinned)
            _check_out(submodule, pinned, os.path.join(code, folder))


# What git-lfs holds would come from its server; what the run read of it is among the inputs.
_NO_LFS = (
    *("-c", "filter.lfs.smudge=", "-c", "filter.lfs.process=", "-c", "filter.lfs.required=false"),
)


def _require_git(folder: str, *arguments: str) -> str:
    """Run git; RecordError if it fails."""
    status, said = _git(folder, *arguments, timeout=_CHECKOUT_TIMEOUT)
    if status != 0:
        raise RecordError(f"git could not check the commit out: {said}")
    return said


def _make_folder_of(path: str, plan: Plan) -> bool:
    """Make the folder that a path is in, unless a link in the commit leads it out of the copies."""
    folder = os.path.realpath(os.path.dirname(path))
    root = os.path.realpath(plan.root)
    is_inside = folder == root or is_below(folder, root)
    if is_inside:
        # The real one: a link may lead to what git ignores, and isn't there yet.
        os.makedirs(folder, exist_ok=True)
    return is_inside


def _place_input(entry: Record, place: str, plan: Plan) -> None:
    """Put an input where the function will look for it, unless it came with the repository."""
    import shutil

    if sign_file(place) and hash_file(place) == entry["sha256"] is not None:
        return
    if not entry["found"]:
        _require_input(entry)
        return
    if not _make_folder_of(place, plan):
        why = "is not what it was, and lies behind a link to outside that is in the repository"
        raise RecordError(f"the input {format_path(entry['path'])} {why}; put it back as it was")
    if os.path.lexists(place):
        os.unlink(place)
    # Large inputs are linked: the guard keeps the function from writing through it.
    put = os.symlink if entry["size"] > PATCH_LIMIT else shutil.copy2
    put(entry["found"], place)


def _place_unrecorded(plan: Plan) -> None:
    """Link to what the run needs of the user's tree, where neither git nor the record holds it.

    That is what arguments name, and the sources that git ignores.
    """
    known = {entry["path"] for entry in (*plan.outputs, *plan.inputs)} | {plan.directory}
    known |= {_output_path(entry, plan) for entry in plan.outputs}
    texts = [*filter(None, (*plan.ignored, *_find_paths(plan)))]
    for text in texts:
        path = os.path.normpath(os.path.join(plan.cwd, text))
        place = plan.relocate(path)
        if path in known or not _is_the_users(path, plan):
            continue
        if not os.path.isabs(text) or plan.map_path(path) != path:
            if os.path.lexists(place):
                if is_below(plan.directory, path):
                    # Made only to hold the record's directory: link to its other contents.
                    texts += [os.path.join(text, entry.name) for entry in scan_folder(path)]
                continue
            if _make_folder_of(place, plan):
                _link_whole(path, place)
        plan.notes.append(f"neither git nor the record holds {path}: it is used as it is now")


def _is_the_users(path: str, plan: Plan) -> bool:
    """Whether a path is a file unchanged during the run, or a folder without declared inputs."""
    signature, (start, end) = sign_file(path), plan.span
    if signature is not None:
        # What changed while the run went on is taken for its product.
        return not start <= signature[0] / 1e9 <= end
    is_listed = any(e["is_declared"] and is_below(e["path"], path) for e in plan.inputs)
    return os.path.isdir(path) and not is_listed


def _link_whole(path: str, place: str) -> None:
    """Link to a file or folder of the user's; where the system can't protect it, copy it."""
    import shutil

    if _find_landlock() >= 2:
        os.symlink(path, place)
        return
    files, is_all = scan_tree(path)
    size = sum(signature[2] for signature in files.values()) or size_of(path)
    if not is_all or size > _COPY_LIMIT:
        raise RecordError(
            f"neither git nor the record holds {path}, which is too large to be copied "
            f"({format_size(size)}), and can't be protected from the function on this system"
        )
    copy = shutil.copytree if os.path.isdir(path) else shutil.copy2
    copy(path, place)


def _list_protected(plan: Plan, work: str) -> list[str]:
    """The files and folders, without links on the way, that a rerun must not write to."""
    inputs = [entry["found"] for entry in plan.inputs if entry["found"]]
    named = [os.path.normpath(os.path.join(plan.cwd, path)) for path in _find_paths(plan) if path]
    named = [path for path in named if os.path.isdir(path) or sign_file(path)]
    others = [path for path in map(os.path.realpath, (*inputs, *named)) if not is_below(work, path)]
    shared = os.path.join(plan.relocate(plan.top), ".git", "objects", "info", "alternates")
    objects = os.fsdecode(read_bytes(shared)).splitlines() if os.path.isfile(shared) else ()
    # A worktree's objects lie elsewhere, and are shared with all the others.
    own = (plan.repository, *map(os.path.dirname, objects), *plan.moved)
    real = {*map(os.path.realpath, own), *others} - {os.sep}
    return sorted(path for path in real if not any(is_below(path, other) for other in real))


def _run_child(plan: Plan, work: str) -> int:
    """Run the plan in a child interpreter, its output on our stderr; return its exit status."""
    import json
    import subprocess

    path = os.path.join(work, "plan.json")
    replace_file(path, json.dumps(vars(plan)), durable=False)
    environment = {**os.environ, **plan.variables}
    if "PYTHONPATH" in environment:
        # For the interpreters that the function may start.
        paths = environment["PYTHONPATH"].split(os.pathsep)
        environment["PYTHONPATH"] = os.pathsep.join(map(plan.map_path, paths))
    command = [sys.executable, *plan.flags, "-c", _START, os.path.abspath(__file__), path]
    done = subprocess.run(  # not a Program: nothing is read from it, and it may take for ever
        command,
        cwd=plan.relocate(plan.cwd),
        env={name: value for name, value in environment.items() if value is not None},
        stdin=subprocess.DEVNULL,
        stdout=2,
        check=False,
    )
    for folder, *_ in os.walk(work):
        if not os.access(folder, os.W_OK):
            # The function has made it read-only, and we are to empty it.
            attempt(os.chmod, folder, 0o700)
    return done.returncode


# What the child begins with: this very file as pycrumbs, and nothing from the working directory.
_START = """
import sys
sys.path[:] = [path for path in sys.path if path]
sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
import importlib.util
spec = importlib.util.spec_from_file_location("pycrumbs", sys.argv[1])
pycrumbs = sys.modules["pycrumbs"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pycrumbs)
sys.dont_write_bytecode = before
pycrumbs._execute_plan(sys.argv[2])
"""
_LEFT = "left.json"  # beside the plan: what the child tells the parent


def _find_rerun(plan: Plan, status: int, work: str) -> Record:
    """The record that the child left; RecordError where the function didn't come to its end."""
    import json

    left = attempt(lambda: json.loads(read_bytes(os.path.join(work, _LEFT))))
    # The function may have renamed its directory.
    plan.made_in = plan.restore_paths(get(left, "directory")) or plan.directory
    folder = plan.relocate(plan.made_in)
    records = attempt_records_in(folder) if os.path.isdir(folder) else []
    found = [record for record in records if record.get("rerun_of") == plan.uuid]
    if not found:
        reason = plan.restore_paths(get(left, "problem")) or f"status {status}"
        raise RecordError(f"{plan.qualname}() could not be called: {reason}")
    if found[-1].get("status") == "running":
        ended = f"signal {-status}" if status < 0 else f"status {status}"
        raise RecordError(f"{plan.qualname}() did not end; its process did, with {ended}")
    return dict(plan.restore_paths(found[-1]))


# -- in the child


class _RerunCall(Call):
    """The recorded call: its seed and its directory are the plan's."""

    plan: Plan

    def draw_seed(self) -> int:
        return int(self.plan.seed)

    def read_base(self) -> str:
        return self.plan.relocate(super().read_base())

    def create_target(self, target: str) -> str:
        return self.plan.relocate(self.plan.directory)


class _Rerun:
    """In the child: begins the calls of tracked functions in the place of `Tracker.start`."""

    run: Run | None = None  # the first one
    is_loading = True

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        source = plan.relocate(os.path.join(plan.top, plan.source))
        self.target: Any = (os.path.realpath(source), plan.qualname)

    def start(self, tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Run:
        """Begin a call: the recorded one as it was, those within it as ever."""
        if self.is_loading:
            raise _Reached
        is_target = self.target == (os.path.realpath(tracker.source_file or ""), tracker.name)
        call: Any = (_RerunCall if is_target else Call)(tracker, args, kwargs)
        if is_target:
            self.target, call.plan = None, self.plan
            call.rerun_of, call.create_parents = self.plan.uuid, True
        # The checkout stands for the repository.
        call.locate = lambda path: self.plan.map_import(os.path.realpath(path))
        run = Run(call)
        self.run = self.run or run
        return run

    def find_function(self) -> Callable[..., Any]:
        """The function to run again, among those that loading the code has tracked."""
        for (file, qualname), found in tracked_functions.items():
            if (os.path.realpath(file or ""), qualname) == self.target:
                return found
        problem = f"loading {self.plan.source} defines no tracked {self.plan.qualname}()"
        advice = "define it at the top level, before anything tracked is called"
        raise RecordError(f"{problem}; {advice}")


class _Reached(BaseException):
    """Code that is being loaded calls a tracked function: it has defined what is needed."""


def _execute_plan(path: str) -> None:
    """Load the code, make the arguments again, and call the function."""
    import json

    plan, work = Plan(**json.loads(read_bytes(path))), os.path.dirname(path)
    rerun, left = _Rerun(plan), {}
    # A bound method alone would not get the tracker.
    Tracker.start = lambda *call: rerun.start(*call)  # type: ignore[method-assign]  # noqa: PLW0108
    sys.argv = [plan.map_path(argument) for argument in plan.argv]
    recorded = (plan.map_path(os.path.join(plan.cwd, path)) for path in plan.python_path)
    copied = [path for path in recorded if is_below(path, plan.root)]
    sys.path[:] = dict.fromkeys([*copied, *map(plan.map_import, sys.path)])
    sys.meta_path.insert(0, _Redirected(plan))
    # The hook gives Python code a clear error; what it can't see, the system stops.
    sys.addaudithook(_make_guard(plan, work))
    _forbid_writing(plan, work)
    try:
        _load_code(plan)
        function = rerun.find_function()
        arguments = _rebuild_arguments(function, plan)
        # The code may have gone elsewhere while it was loaded, as it had then.
        os.chdir(plan.relocate(plan.cwd))
        rerun.is_loading = False
        _call_again(function, arguments)
    except RecordError as error:
        left["problem"] = str(error)
    except Exception as error:
        print(*format_traceback(error), sep="\n", file=sys.stderr)
        left["problem"] = describe_briefly(error)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    finally:
        if rerun.run and hasattr(rerun.run, "file"):
            left["directory"] = os.path.dirname(rerun.run.file.path)
        replace_file(os.path.join(work, _LEFT), json.dumps(left), durable=False)
    raise SystemExit(1 if "problem" in left else 0)


class _Redirected:
    """A finder before all others. A file they find in the user's tree is taken from the checkout.

    So it is with packages installed in editable mode. Any copy of pycrumbs becomes this module.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        import importlib.util

        # Only the finders after this one: an earlier one could call us back, without end.
        finders = sys.meta_path[sys.meta_path.index(self) + 1 :]
        specs = (f.find_spec(name, path, target) for f in finders if hasattr(f, "find_spec"))
        spec: Any = next(filter(None, specs), None)
        if not spec or not spec.origin or not spec.has_location:
            return spec
        # Most files are too short to be a copy of pycrumbs, and needn't be read.
        real = os.path.realpath(spec.origin)
        is_long = real.endswith(".py") and size_of(real) > _COPY_SIZE
        if is_long and b"\nclass _Redirected:" in read_bytes(real):
            return importlib.util.spec_from_loader(name, self)  # type: ignore[arg-type]
        origin = self.plan.map_import(spec.origin)
        if origin == spec.origin:
            return spec
        if not os.path.isfile(origin):
            raise ImportError(f"{spec.origin} is not in the commit", name=name)
        folders = spec.submodule_search_locations and [os.path.dirname(origin)]
        return importlib.util.spec_from_file_location(
            name, origin, submodule_search_locations=folders
        )

    def create_module(self, spec: Any) -> types.ModuleType:
        return sys.modules[__name__]

    def exec_module(self, module: types.ModuleType) -> None:
        """It is loaded already."""


_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
# Audit events, and which of their arguments are paths that change.
_WRITING_EVENTS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.chmod"), (0,)),
    **dict.fromkeys(("os.utime", "os.chown", "os.setxattr", "shutil.rmtree"), (0,)),
    **dict.fromkeys(("os.rename", "os.link"), (0, 1)),
    "os.symlink": (1,),
}


def _list_writable() -> list[str]:
    """Where a rerun may write besides its own folder: devices, temporary files and caches."""
    import tempfile

    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folders = ("/dev", "/proc", "/tmp", "/var/tmp", tempfile.gettempdir(), cache)
    return [path for path in map(os.path.realpath, folders) if os.path.isdir(path)]


def _make_guard(plan: Plan, work: str) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook: Python may write to `work` and `plan.writable`, but nothing protected."""

    def guard(event: str, arguments: tuple[Any, ...]) -> None:
        places = _WRITING_EVENTS.get(event, ())
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING:
            places = (0,)
        for path in (arguments[place] for place in places):
            if isinstance(path, (str, bytes, os.PathLike)):
                check(os.path.realpath(os.fsdecode(path)))

    def check(real: str) -> None:
        if is_below(real, work):
            return
        if any(real == folder or is_below(real, folder) for folder in plan.protected):
            problem = "a rerun must not write to the first run's files, which the code names"
            raise PermissionError(f"{problem}: {real}")
        if not any(is_below(real, folder) for folder in plan.writable):
            raise PermissionError(f"a rerun writes into its own folder only, not to {real}")

    return guard


def _find_landlock() -> int:
    """The version of Landlock (landlock(7), Linux 5.13) that this system has; 0 for none.

    It lets a process give up the right to write to files, for good and for its children, too.
    """
    if sys.platform != "linux":
        return 0
    import ctypes

    is_version = 1
    return max(0, int(ctypes.CDLL(None).syscall(_LANDLOCK_CREATE, None, 0, is_version)))


# The numbers of Landlock's system calls, the same on all architectures.
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446


def _forbid_writing(plan: Plan, work: str) -> None:
    """Have the system stop what Python doesn't see: C libraries and child processes.

    Landlock is told what to allow. Where it is missing, or in its first version, which forbids all
    renaming between folders, the guard has to do.
    """
    version = _find_landlock()
    if version < 2:
        return
    import ctypes

    system, prctl = ctypes.CDLL(None).syscall, ctypes.CDLL(None).prctl
    # LANDLOCK_ACCESS_FS_*: write, make, remove ...
    rights, is_path = 0x7FF2 if version > 2 else 0x3FF2, 1
    rules = system(_LANDLOCK_CREATE, rights.to_bytes(8, sys.byteorder), 8, 0)
    free = (path for top in plan.writable for path in _list_unprotected(top, plan.protected))
    for path in (*free, work):
        # A file can only be written and truncated.
        granted = rights if os.path.isdir(path) else rights & 0x4002
        descriptor = attempt(os.open, path, os.O_PATH | os.O_CLOEXEC)
        if isinstance(descriptor, Missing):
            continue
        rule = granted.to_bytes(8, sys.byteorder) + descriptor.to_bytes(4, sys.byteorder)
        system(_LANDLOCK_ADD, rules, is_path, rule, 0)
        os.close(descriptor)
    # Landlock asks for PR_SET_NO_NEW_PRIVS.
    prctl(38, 1, 0, 0, 0)
    system(_LANDLOCK_RESTRICT, rules, 0)
    os.close(rules)


def _list_unprotected(folder: str, protected: Sequence[str]) -> Iterator[str]:
    """The folder if nothing in it is protected; else the parts of which that is true."""
    if any(folder == path or is_below(folder, path) for path in protected):
        return
    if not any(is_below(path, folder) for path in protected):
        yield folder
        return
    for entry in scan_folder(folder):
        if not entry.is_symlink():
            yield from _list_unprotected(os.path.join(folder, entry.name), protected)


def _load_code(plan: Plan) -> None:
    """Load the code up to the first call of a tracked function."""
    import importlib

    source = plan.relocate(os.path.join(plan.top, plan.source))
    script = plan.relocate(os.path.join(plan.cwd, *plan.argv[:1]))
    try:
        if plan.run_as:
            module = plan.qualname if plan.run_as == "module" else None
            make_script(source, module, literal_directory=".")
        elif plan.module == "__main__":
            _load_main(source, plan.main)
        else:
            # Load the caller's script, too, if an argument is, or holds, something it defines.
            if os.path.isfile(script) and "main__." in str((plan.kinds, plan.arguments)):
                _load_main(script, plan.main)
            importlib.import_module(plan.module)
    except _Reached:
        return


def _load_main(source: str, name: str) -> None:
    """Load a script as `__main__`, but skip its `if __name__ == "__main__":` blocks.

    `name` is the module's if it was started with `-m`.
    """
    import ast
    import contextlib
    import importlib.util

    module = types.ModuleType("__main__")
    module.__dict__.update(__file__=source, __builtins__=__builtins__)
    spec = importlib.util.find_spec(name) if name else None
    if spec and spec.submodule_search_locations is not None:
        spec = importlib.util.find_spec(f"{name}.__main__")
    if spec and spec.origin == source:
        # By this multiprocessing knows how its workers, too, have to load it.
        module.__spec__, module.__package__ = spec, spec.parent
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module
    tree = ast.parse(read_bytes(source), source)
    for test in (node.test for node in tree.body if isinstance(node, ast.If)):
        for word in ast.walk(test):
            if isinstance(word, ast.Name) and word.id == "__name__":
                # `if __name__ == "__main__"` is to be false, though that is its name.
                word.id = "__spec__"
    with contextlib.suppress(_Reached):
        exec(compile(tree, source, "exec", dont_inherit=True), module.__dict__)


def _call_again(function: Callable[..., Any], arguments: inspect.BoundArguments) -> None:
    """Call a tracked function of any kind, to its end."""
    import inspect

    async def exhaust() -> None:
        async for _ in result:
            pass

    result = function(*arguments.args, **arguments.kwargs)
    if inspect.isgenerator(result):
        for _ in result:
            pass
    elif inspect.iscoroutine(result) or inspect.isasyncgen(result):
        import asyncio

        asyncio.run(result if inspect.iscoroutine(result) else exhaust())


# -- comparing what was made


def _judge_rerun(plan: Plan, record: Record, made: Record) -> list[Record]:
    """One verdict per output, and for the result and the way the run ended."""
    before = {_output_path(entry, plan): entry for entry in plan.outputs}
    after = {_output_path(entry, plan): entry for entry in entries_of(made, "outputs")}
    verdicts = []
    for path in sorted({*before, *after}):
        old, new = before.get(path), after.get(path)
        name = (old or new or {})["name"]
        verdicts.append((name, *_compare_outputs(old, new, _made_path(name, plan))))
    results = [run.get("result") for run in (record, made)]
    errors = [pick(run.get("error"), ("type", "message")) or None for run in (record, made)]
    for name, (one, other) in {"result": results, "error": errors}.items():
        if one != other:
            verdicts.append((name, "differs", f"{clean(one, 200)} -> {clean(other, 200)}"))
        elif one is not None:
            verdicts.append((name, "identical", ""))
    return [dict(zip(("name", "verdict", "detail"), verdict)) for verdict in verdicts]


_HINTS = {
    "PermissionError": "a rerun may write into its own directory, temporary folders and caches",
    "FileNotFoundError": "what the code reads must be in git, named by an argument, or recorded: "
    "input_parameters, capture_files",
}


def _output_path(entry: Record, plan: Plan) -> str:
    """Where an output lay in the first run, or would have."""
    return os.path.normpath(os.path.join(str(plan.directory), entry["name"]))


def _made_path(name: str, plan: Plan) -> str:
    """Where an output of the rerun lies."""
    return plan.relocate(os.path.normpath(os.path.join(plan.made_in, name)))


def _compare_outputs(old: Record | None, new: Record | None, path: str) -> tuple[str, str]:
    """The verdict on one output; where it differs, how, if the first one is still there."""
    if old is None or new is None:
        return "new" if old is None else "missing", ""
    if not old.get("sha256"):
        return "unhashed", "the first run's record has no hash (hash_limit)"
    if hash_file(path) == old["sha256"]:
        return "identical", ""
    if hash_file(old["path"]) != old["sha256"]:
        return "differs", "the first run's file is not there to compare"
    return "differs", attempt(_describe_difference, old["path"], path)


def _describe_difference(a: str, b: str) -> str:
    """How two files differ: arrays by value, texts by their first other line, else by size."""
    sizes = f"{os.path.getsize(a):,} and {os.path.getsize(b):,} bytes"
    if max(os.path.getsize(a), os.path.getsize(b)) > _COMPARE_LIMIT:
        return sizes
    if a.endswith(".npy"):
        return _compare_arrays(a, b)
    try:
        lines = [read_bytes(path).decode("utf-8").split("\n") for path in (a, b)]
    except UnicodeDecodeError:
        return sizes
    largest = _find_largest_difference(*lines) if a.endswith(".csv") else 0.0
    more = f"; largest difference {largest:g}" if largest else ""
    for number, (one, other) in enumerate(zip(*lines), 1):
        if one != other:
            start = max(0, len(os.path.commonprefix([one, other])) - 20)
            return f"line {number}: {clean(one[start:], 80)} -> {clean(other[start:], 80)}{more}"
    return f"{len(lines[0])} and {len(lines[1])} lines"


def _compare_arrays(a: str, b: str) -> str:
    """How two files of NumPy arrays differ."""
    # Not a dependency: who has made such files has it installed.
    numpy = __import__("numpy")
    x, y = (numpy.load(path, allow_pickle=False) for path in (a, b))
    if (x.shape, x.dtype) != (y.shape, y.dtype):
        return f"{x.dtype} {x.shape} and {y.dtype} {y.shape}"
    # Two NaN are equal here.
    differ = (x != y) & ((x == x) | (y == y))
    count = f"{differ.sum()} of {x.size} values"
    if x.dtype.kind not in "biuf" or not differ.any():
        return count
    x, y = (array[differ].astype("longdouble") for array in (x, y))
    return f"largest difference {max(abs(x - y)):g}, in {count}"


def _find_largest_difference(a: Sequence[str], b: Sequence[str]) -> float:
    """The largest difference of numbers in two tables, cell by cell; 0 if any text differs."""
    import csv

    rows = zip(csv.reader(a), csv.reader(b))
    try:
        pairs = [pair for two in rows for pair in zip(*two) if pair[0] != pair[1]]
        return max((abs(float(x) - float(y)) for x, y in pairs), default=0.0)
    except (ValueError, csv.Error):
        return 0.0


def _collect_outputs(plan: Plan, made: Record, target: str) -> None:
    """Take what the rerun made, and its records, to the folder where they are to stay."""
    import shutil

    for entry in made.get("outputs", ()):
        place = _made_path(entry["path"], plan)
        if os.path.isabs(entry["path"]):
            entry["path"] = f"{ELSEWHERE}{entry['path']}"
        os.makedirs(os.path.dirname(os.path.join(target, entry["path"])), exist_ok=True)
        if os.path.isfile(place):
            shutil.move(place, os.path.join(target, entry["path"]))
    # The tracked runs inside the rerun leave records, too.
    records, uuids = [made], {made["uuid"]}
    for record in sorted(iterate_records(plan.relocate(plan.made_in)), key=start_of):
        if record.get("parent") in uuids:
            uuids.add(record.get("uuid"))
            records.append(plan.restore_paths(record))
    files: dict[str, list[Record]] = {}
    for record in records:
        name = os.path.relpath(record["record_path"], plan.made_in)
        record["record_path"] = os.path.join(target, name)
        os.makedirs(os.path.dirname(record["record_path"]), exist_ok=True)
        kept = {k: v for k, v in record.items() if k not in ("record_path", "record_number")}
        # A chained file holds several.
        files.setdefault(record["record_path"], []).append(kept)
    for path, held in files.items():
        write_record(path, held if held[1:] else held[0])


# == Showing ===================================================================
# Values in, text out. Whatever comes from a record passes `clean` before it can
# reach a terminal.


def _format_value(value: object, limit: int = 500) -> str:
    """An argument's value; a text in quotes where it could be taken for something else."""
    is_quoted = isinstance(value, str) and pattern(_AMBIGUOUS).match(value)
    return clean(f'"{value}"' if is_quoted else value, limit)


# Empty, a number, a constant, the beginning of JSON, or with blanks in it.
_AMBIGUOUS = r'(?s)$|(?:true|false|null|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)$|[\[{"]|.*\s'


def _format_duration(text: object) -> str:
    """A recorded run time for people: '0.04 s', '41.2 s', '2:05:03'."""
    if not isinstance(text, str):
        return ""
    found = pattern(r"0:00:(\d\d(?:\.\d+)?)$").match(text)
    if not found:
        return clean(text).partition(".")[0]
    seconds = float(found[1])
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"


def _format_moment(text: object) -> str:
    """A recorded time for people: without what is smaller than a second."""
    return clean(text)[:19] if isinstance(text, str) else ""


_COLORS = {
    **dict.fromkeys(("completed", "ok", "identical"), "32"),
    **dict.fromkeys(("running", "unhashed", "unknown", "new"), "33"),
    **dict.fromkeys(("failed", "died", "interrupted", "terminated", "unusual", "error"), "31"),
    **dict.fromkeys(("changed", "missing", "differs", "unreadable"), "31"),
}


class Style:
    """How text may look where it is printed: its width, and whether it has colours."""

    def __init__(self, width: int, color: bool) -> None:
        self.width, self.color = width, color

    def paint(self, text: str, word: str = "") -> str:
        """Colour a text by what its first word, or the given one, stands for."""
        code = _COLORS.get(word or text.split(" ")[0].strip(",")) if text else None
        return f"\033[{code}m{text}\033[0m" if self.color and code else text

    def join(self, cells: Sequence[str], widths: Sequence[int], painted: int) -> str:
        """A line of a table, in which one cell is painted."""
        line, room = "", self.width
        for index, (cell, width) in enumerate(zip(cells, widths)):
            text = shorten(cell, min(width, room))
            blank = " " * min(width + 2 - count_columns(text), room - count_columns(text))
            room -= count_columns(text) + len(blank)
            line += (self.paint(text) if index == painted else text) + blank
        return line.rstrip(" ")


def format_summary(record: Record, style: Style) -> str:
    """A record in a screenful: what ran, when, where, on which code, and what is unusual."""
    lines = []
    for name, texts in _summarize(record).items():
        labels = [name, *[""] * len(texts)]
        for label, text in zip(labels, texts):
            lines.append(style.paint(f"{label:9}", name) + shorten(text, style.width - 9))
    return "\n".join(lines)


def _summarize(record: Record) -> dict[str, list[str]]:
    """What a summary says of each thing, at most 24 lines in all."""
    called, timing = record.get("called_function"), record.get("timing")
    name = clean(get(called, "qualname") or get(called, "name"))
    took = _format_duration(get(timing, "run_time"))
    status = clean(judge_status(record)) + (f", took {took}" if took else "")
    start = _format_moment(get(timing, "start_time")) or "at an unknown time"
    summary = {
        "run": [f"{name} ({format_path(get(called, 'source_file') or get(called, 'module'))})"],
        "status": [f"{status}, started {start}"],
        "error": summarize_error(record.get("error")),
        "rerun": _tell(record, "rerun_of", "of {}"),
        "where": [_summarize_place(record.get("environment"))],
        "code": [_summarize_code(record.get("tracked_module"))],
        "seed": _tell(record, "seed", "{} (drawn)" if is_seed_drawn(record) else "{}"),
        "argument": [],
        "input": _list_files(record, "inputs", "path"),
        "output": _list_files(record, "outputs", "name"),
        "files": _tell(record, "capture"),
        "result": _tell(record, "result"),
        "unusual": limit_texts([*_list_unusual(record)], 2),
        "record": [format_path(record.get("record_path"))],
    }
    room = 23 - sum(map(len, summary.values()))
    arguments = _list_assignments(get(called, "altered_parameters"))
    return {**summary, "argument": limit_texts(arguments, max(room, 3))}


def _tell(record: Record, key: str, form: str = "{}") -> list[str]:
    """The line on one key, if the record has it."""
    value = record.get(key)
    return [] if value is None else [form.format(clean(value))]


def _list_assignments(parameters: object) -> list[str]:
    """The lines on arguments."""
    pairs = get(parameters, kind=dict).items()
    return [f"{clean(name)} = {_format_value(value)}" for name, value in pairs]


def _summarize_place(environment: object) -> str:
    """Who ran it, on which machine, with which Python, and where."""
    user, host, python, cwd = (
        clean(get(environment, key)) for key in ("user", "hostname", "python_version", "cwd")
    )
    gpus = get(environment, "gpus", kind=list)
    counted = _count((clean(get(gpu, "name")) for gpu in gpus), "{} x {}")
    machine = f"{host}, {counted}" if counted else host
    return f"{user} on {machine}, Python {python.split(' ')[0]}, in {cwd}"


def _count(words: Iterable[str], form: str = "{} {}") -> str:
    """How often each word is there: '2 changed, 1 ok'."""
    import collections

    counts = sorted(collections.Counter(words).items())
    return ", ".join(form.format(count, word) for word, count in counts)


def _summarize_code(module: object) -> str:
    """A repository's state: commit, branch, and how far the files differed from it."""
    if not isinstance(module, dict):
        return "not under git"
    commit = clean(module.get("git_commit_hash") or "no commit")[:12]
    dirty = ", dirty" if module.get("git_is_dirty") else ""
    patch = module.get("git_patch")
    lines = f", patch of {len(patch)} lines" if isinstance(patch, list) else ""
    return f"{commit} on {clean(module.get('git_active_branch'))}{dirty}{lines}"


def _list_files(record: Record, kind: str, name: str) -> list[str]:
    """The lines on inputs or outputs: the name (one key of an entry), size and hash of each."""
    lines = []
    for entry in entries_of(record, kind):
        size = "missing" if entry["size"] is None else format_size(entry["size"])
        sha256 = clean(entry["sha256"])[:12] if entry["sha256"] else "not hashed"
        lines.append(f"{format_path(entry[name])}  {size}  {sha256}")
    return limit_texts(lines, 3)


def _list_unusual(record: Record) -> Iterator[str]:
    """What a reader should know before they rely on this record."""
    status = judge_status(record)
    if status not in ("completed", "running"):
        yield f"the run did not complete: {clean(status)}"
    modules = [("the code", record.get("tracked_module"))]
    for kind in ("extra_tracked_modules", "package_origins"):
        modules += get(record, kind, kind=dict).items()
    for name, module in modules:
        if get(module, "git_is_dirty"):
            yield f"{clean(name)} had uncommitted changes"
        if get(module, "git_patch_omitted"):
            yield f"{clean(name)}: {clean(get(module, 'git_patch_omitted'))}"
        if get(module, "source_edited_after_import"):
            yield f"{clean(name)} was edited after it had been imported: what ran is not in git"
    for entry in entries_of(record, "inputs"):
        if entry["size"] is None:
            yield f"there was no input {format_path(entry['path'])}"
    for key in ("inputs_omitted", "outputs_omitted"):
        if record.get(key):
            yield f"{key.partition('_')[0]} left out: {clean(record[key])}"
    gpus = get(record, "environment", "gpus")
    if isinstance(gpus, str):
        yield f"GPUs {clean(gpus)}"


def format_requirements(record: Record) -> str:
    """The packages as pip's requirements (PEP 508); a comment for what no index or URL has."""
    origins = get(record, "package_origins", kind=dict)
    lines = []
    for name, version in get(record, "package_inventory", kind=dict).items():
        line = _format_requirement(name, str(version), get(origins, name, kind=dict))
        is_safe = pattern(_REQUIREMENT).match(line) and REDACTED not in line
        lines.append(line if is_safe else f"# left out: {clean(name)} {clean(version)}")
    return "\n".join(lines)


def _format_requirement(name: str, version: str, origin: Record) -> str:
    """One line of a requirements file."""
    url = str(get(origin, "url") or "").replace(f"{REDACTED}@", "")
    if get(origin, "editable"):
        where = f"editable, in {url}, at {get(origin, 'git_commit_hash') or 'no known commit'}"
        return f"# left out: {clean(name)} {clean(version)} ({clean(where)})"
    fragments = [f"subdirectory={folder}" for folder in [get(origin, "subdirectory")] if folder]
    if get(origin, "commit"):
        url = f"{get(origin, 'vcs') or 'git'}+{url}@{get(origin, 'commit')}"
    elif get(origin, "hash"):
        fragments.append(str(get(origin, "hash")))
    if url:
        return f"{name} @ {'#'.join(filter(None, (url, '&'.join(fragments))))}"
    return f"{name}=={version}"


# One requirement and nothing else: a record from elsewhere could give pip options.
# Versions as in PEP 440; pip refuses a whole file for one line with another.
_REQUIREMENT = (
    r"(?:# .*|[A-Za-z0-9][\w.-]*(?: @ (?!-)[\w.+!:/@#&=%~,?*()\[\]-]+|==(?:\d+!)?\d[\d.]*"
    r"(?:[._-]?(?:a|b|c|rc|alpha|beta|pre|preview|post|rev|r|dev)[._-]?\d*)*(?:\+[\w.-]+)?))\Z"
)


def format_checksums(record: Record) -> str:
    """The hashes of inputs and outputs, where they are now, as `sha256sum -c` reads them."""
    lines, moved = [], Moved(record)
    places = [(entry, moved.find(entry)) for entry in entries_of(record, "inputs")]
    places += [(entry, entry["path"]) for entry in entries_of(record, "outputs")]
    for entry, place in places:
        if pattern(r"[0-9a-f]{64}\Z").match(entry["sha256"] or ""):
            path = place.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
            escaped = "" if path == place else "\\"
            lines.append(f"{escaped}{entry['sha256']}  {path}")
    return "\n".join(lines)


def format_patch(record: Record) -> str:
    """The patch of the tracked module's repository."""
    patch = get(record, "tracked_module", "git_patch")
    return "\n".join(map(str, patch)) if isinstance(patch, list) else ""


def format_log(runs: Sequence[Record], style: Style) -> str:
    """A table of runs, with the arguments in which the runs of one function vary."""
    if not runs:
        return ""
    moment = slice(5, 16) if style.width < 80 else slice(19)
    rows = [
        (
            _format_moment(run["start_time"])[moment],
            clean(run["status"]),
            _format_duration(run["run_time"]),
            clean(run["function"]),
            target,
            arguments[: style.width + 1],
        )
        for run, target, arguments in zip(runs, _name_runs(runs), _list_varying_arguments(runs))
    ]
    limits = (19, 30, 16, max(8, style.width // 4), style.width, style.width)
    columns = list(zip(*rows))
    widths = [min(limit, max(map(count_columns, column))) for column, limit in zip(columns, limits)]
    # Of a target, all is needed, and its end most.
    widths[4] = min(widths[4], max(20, style.width - sum(widths[:4]) - 8))
    rows = [(*row[:4], shorten(row[4], widths[4], keep_end=True), row[5]) for row in rows]
    return "\n".join(style.join(row, widths, painted=1) for row in rows)


def _name_runs(runs: Sequence[Record]) -> list[str]:
    """The shortest TARGET that stands for each run: its folder, else its record, with its place."""
    import collections

    lengths = collections.Counter(run["record_path"] for run in runs)
    records = collections.Counter(map(os.path.dirname, lengths))
    names = []
    for run in runs:
        path = run["record_path"]
        folder = os.path.dirname(path)
        name = format_path(os.path.normpath(folder if records[folder] == 1 else path))
        name = f"./{name}" if name.startswith("-") else name
        names.append(f"{name}@{run['record_number']}" if lengths[path] > 1 else name)
    return names


def _list_varying_arguments(runs: Sequence[Record]) -> list[str]:
    """For each run, the arguments that aren't the same in all runs of that function."""
    import collections
    import json

    functions = [str(run["function"]) for run in runs]
    told = []
    for run in runs:
        arguments = forget_own_directory(run["arguments"], run).items()
        told.append(dict(leaf for name, value in arguments for leaf in _flatten(value, name)))
    totals = collections.Counter(functions)
    alike = collections.Counter(
        (function, *leaf) for function, leaves in zip(functions, told) for leaf in leaves.items()
    )
    return [
        " ".join(
            f"{clean(path)}={_format_value(json.loads(text), 40)}"
            for path, text in leaves.items()
            if alike[function, path, text] < totals[function]
        )
        for function, leaves in zip(functions, told)
    ]


def _flatten(value: Any, path: str, levels: int = 3) -> Iterator[tuple[str, str]]:
    """The values within an argument, as path and JSON text; what is short stays together."""
    import json

    text = json.dumps(value)
    if isinstance(value, (dict, list)) and len(text) > 40 and levels:
        for step, _, item in open_json(value):
            yield from _flatten(item, path + step, levels - 1)
    else:
        yield path, text


def format_differences(differences: Sequence[Record], style: Style) -> str:
    """What differs between two runs, section by section."""
    lines, section = [], ""
    for difference in differences:
        if difference["section"] != section:
            section = difference["section"]
            lines.append(section)
        path = clean(difference["path"] or section)
        lines.append(shorten(f"  {path}: {_format_change(difference)}", style.width))
    return "\n".join(lines)


def _format_change(difference: Record) -> str:
    """One difference: `a -> b`; of long texts, from a word shortly before they differ."""
    a, b = texts = [_format_side(difference, side) for side in ("a", "b")]
    same = len(os.path.commonprefix(texts))
    if max(map(len, texts)) > 80 and same > 40:
        start = a.rfind(" ", same - 40, same - 20) + 1 or same - 20
        a, b = (f"...{text[start:]}" for text in texts)
    a, b = (clean(text, 80) for text in (a, b))
    if "a" not in difference:
        return f"only in the second: {b}"
    return f"{a} -> {b}" if "b" in difference else f"only in the first: {a}"


def _format_side(difference: Record, side: str) -> str:
    """A value that differs; hashes cut short, a patch by its size."""
    value = difference.get(side)
    if "git_patch." in difference["path"] and isinstance(value, str):
        return f"{len(value.splitlines())} lines"
    text = _format_value(value, 10_000)
    return str(pattern(r"\b([0-9a-f]{12})[0-9a-f]{28,52}\b").sub(r"\1", text))


def format_trace(node: Record, style: Style) -> str:
    """A file's history as a tree: each file, the run that made it, and below, that run's inputs."""
    return "\n".join(shorten(line, style.width) for line in _draw_trace(node, style.width, "", ""))


def _draw_trace(node: Record, width: int, first: str, others: str) -> Iterator[str]:
    """The lines of one node; `first` and `others` are the branches drawn before them."""
    path, told = format_path(node["path"]), _describe_maker_of(node)
    yield first + shorten(path, max(20, width - count_columns(first + told)), keep_end=True) + told
    sources = [child for child in node["inputs"] if child["run"] is None]
    # Those that aren't as they were go before the others.
    sources.sort(key=lambda child: child["state"] not in ("changed", "missing"))
    hidden = {id(child) for child in (sources[5:] if len(sources) > 6 else ())}
    children = [child for child in node["inputs"] if id(child) not in hidden]
    for child in children:
        is_last = child is children[-1] and not hidden
        joints = ("`-- ", "    ") if is_last else ("|-- ", "|   ")
        yield from _draw_trace(child, width, *(others + joint for joint in joints))
    if hidden:
        odd = sum(id(c) in hidden and c["state"] in ("changed", "missing") for c in sources)
        remark = f", {odd:,} of them changed or missing" if odd else ""
        yield f"{others}`-- ... and {len(hidden):,} more sources{remark}"


_VERBS = {"made_again": "made again by", "overwritten": "overwritten by"}
_STATES = {"changed": "changed since", "missing": "no longer there", "unhashed": "not hashed"}


def _describe_maker_of(node: Record) -> str:
    """The text after a file's path in a trace: which run made it, and remarks."""
    run, state, text = node["run"], node["state"], ""
    told = ["" if state == "ok" else _STATES.get(state, state)]
    if run:
        verb = next((verb for key, verb in _VERBS.items() if key in node), "made by")
        text = f"  <- {verb} {clean(run['function'])}, {_format_moment(run['start_time'])}"
        told.append("changed since" if run["made_this"] is False and state == "ok" else "")
        told.append("" if run["status"] == "completed" else clean(run["status"]))
        told.append("as above" if "repeated" in node else "and so on" if "cut" in node else "")
    remarks = ", ".join(filter(None, told))
    return f"{text}  ({remarks})" if remarks else text


def format_dot(node: Record) -> str:
    """A file's history as a graph in Graphviz's language: files are boxes, runs ellipses."""
    lines: dict[str, None] = {"  rankdir=LR;": None}

    def quote(text: object) -> str:
        return '"' + clean(text, TEXT_LIMIT).replace("\\", "\\\\").replace('"', '\\"') + '"'

    def add(node: Record) -> None:
        file, run = quote(node["path"]), node["run"]
        told = "" if node["state"] == "ok" else f" ({_STATES.get(node['state'], node['state'])})"
        label = quote(os.path.basename(node["path"]) + told)
        lines[f"  {file} [shape=box, label={label}];"] = None
        if run:
            name = quote(f"{run['record_path']}@{run['record_number']}")
            lines[f"  {name} [label={quote(run['function'])}];"] = None
            is_other = "overwritten" in node or run["made_this"] is False
            look = ' [style=dashed, label="another content"]' if is_other else ""
            lines[f"  {name} -> {file}{look};"] = None
            for child in node["inputs"]:
                add(child)
                lines[f"  {quote(child['path'])} -> {name};"] = None

    add(node)
    return "digraph trace {\n" + "\n".join(lines) + "\n}"


def format_plan(plan: Plan, record: Record) -> str:
    """What a rerun is about to execute, and in which other surroundings; one line for each."""
    count = len(parse_patch(plan.patch))
    files = "1 file" if count == 1 else f"{count} files"
    patch = f", with a patch of {len(plan.patch)} lines to {files}" if count else ""
    texts = [text for text in plan.argv[1:] if plan.run_as or plan.module == "__main__"]
    rows = [
        ("execute", f"{clean(plan.qualname)}() of {clean(plan.source)}"),
        ("code", f"commit {plan.commit[:12]} of {clean(plan.repository)}{patch}"),
        ("directory", f"{format_path(plan.directory)} (of which the rerun makes a copy)"),
        *[("argument", text) for text in _list_assignments(plan.arguments)],
        *[("class", text) for text in _list_classes(plan)],
        *[("argv", clean(" ".join(texts))) for _ in texts[:1]],
        ("seed", str(plan.seed)),
        *[("variable", text) for text in _list_variables(plan)],
        *[("changed", text) for text in limit_texts([*_list_changes(record)], 12)],
        *[("note", text) for text in limit_texts([clean(note) for note in plan.notes], 12)],
    ]
    return "\n".join(f"{name:10}{text}" for name, text in rows)


def _list_classes(plan: Plan) -> Iterator[str]:
    """The arguments that are made again by calling a class of some module."""
    for path, recorded in plan.kinds.items():
        kind = normal_kind(recorded)
        if "." in kind and kind not in REPRS:
            yield f"{clean(path)} is one of {clean(kind)}"


def _list_variables(plan: Plan) -> Iterator[str]:
    """The environment variables that the rerun sets, unsets, or leaves as they are here."""
    for name, value in sorted(plan.variables.items()):
        if value != os.environ.get(name):
            yield f"{clean(name)} is " + ("unset" if value is None else f"set to {clean(value)}")
    for name in plan.unset:
        why = "the decorator doesn't name it literally, or it may choose programs or code"
        yield f"{clean(name)} is not set: {why}"


def _list_changes(record: Record) -> Iterator[str]:
    """How the surroundings differ here from those of the first run."""
    then, now = record.get("environment"), get_environment_info()
    pairs = [(pick(then, _SURROUNDINGS), pick(now, _SURROUNDINGS))]
    if isinstance(record.get("package_inventory"), dict):
        pairs.append((record["package_inventory"], get_installed_packages()))
    for old, new in pairs:
        for path, a, b in diff_values(old, new):
            yield f"{clean(path)}: {_format_change(as_difference(path, a, b))}"


_SURROUNDINGS = ("platform_info", "python_version", "python_implementation", "cpu_count", "gpus")


def format_rerun(result: Record, style: Style) -> str:
    """A rerun's verdicts."""
    lines = []
    for verdict in result["verdicts"]:
        detail = f"  ({clean(verdict['detail'])})" if verdict["detail"] else ""
        lines.append(f"{style.paint(verdict['verdict'])}  {clean(verdict['name'])}{detail}")
    lines += [f"note: {clean(note)}" for note in result["notes"]]
    lines.append(_count([v["verdict"] for v in result["verdicts"]]) or "nothing to compare")
    lines.append(f"made in {format_path(result['directory'])}")
    if "checkout" in result:
        lines.append(f"checkout kept in {format_path(result['checkout'])}")
    return "\n".join(lines)


def format_verdicts(verdicts: Sequence[Record], style: Style) -> str:
    """Files that aren't what the record says, or can't be checked, and a count of all."""
    lines = [
        style.paint(f"{v['state']:8}", v["state"]) + f"  {v['kind']:6}  {format_path(v['path'])}"
        for v in sorted(verdicts, key=lambda verdict: str(verdict["state"]))
        if v["state"] not in ("ok", "replaced")
    ]
    counts = _count([verdict["state"] for verdict in verdicts])
    return "\n".join([*lines, counts or "no files recorded"])


# == Command line ==============================================================
# The only part that prints and exits. Exit status: 0 fine or same, 1 differs,
# 2 trouble, told in one line on stderr.

_TARGET = "a record, a directory, or any file a run made; PATH@N: the N-th run of a chained record"
_EXIT_STATUS = "Exit status: 0 fine or same, 1 something differs, 2 trouble."
# By name: the function, the end of its help, its usage, and its arguments.
_commands: dict[str, tuple[Callable[[Any], int], str, str | None, Sequence[Any]]] = {}


def _command(
    *arguments: Any, usage: str | None = None, status: str = _EXIT_STATUS
) -> Callable[[Callable[[Any], int]], Callable[[Any], int]]:
    """Make a function a command; of the arguments in a list only one may be given."""

    def add(run: Callable[[Any], int]) -> Callable[[Any], int]:
        _commands[run.__name__.removeprefix("_cmd_")] = (run, status, usage, arguments)
        return run

    return add


def _argument(*names: str, **settings: Any) -> tuple[tuple[str, ...], Record]:
    """What one `add_argument` is called with."""
    return names, settings


def _flag(*names: str, **settings: Any) -> tuple[tuple[str, ...], Record]:
    """The same for an option that takes no value."""
    return names, {"action": "store_const", "const": True, "default": False, **settings}


@_command(
    _argument("-o", "--output", default=".", metavar="DIR", help="for the record; default: here"),
    _argument("-s", "--seed", type=int, help="default: one is drawn"),
    _flag("--no-git", help="for what is in no git repository"),
    _flag("-m", "--module", help="a module's name follows"),
    _argument("program", nargs="...", metavar="SCRIPT [ARG ...]", help="what to run"),
    usage="pycrumbs run [-o DIR] [-s SEED] [--no-git] (-m MODULE | SCRIPT) [ARG...]",
    status="Exit status: the program's own.",
)
def _cmd_run(arguments: Any) -> int:
    """Run a script as a tracked function.

    Runs a script, or with -m a module, just as `python` would, and leaves a record
    beside what it makes: arguments, code, packages, seed, and every file it opens
    through Python. Options of pycrumbs go before the script; what follows it is
    the script's own.

      pycrumbs run -o runs/first -s 7 train.py --epochs 5
      pycrumbs run -m package.train --epochs 5
    """
    import functools

    words = arguments.program
    program, *argv = (words[1:] if words[:1] == ["--"] else words) or [""]
    if not program:
        raise RecordError("run: name a script, or a module with -m")
    path = _find_program(program, arguments.module)
    options = {"literal_directory": arguments.output, "disable_git_tracking": arguments.no_git}
    script = make_script(path, program if arguments.module else None, **options)
    sys.argv = [path if arguments.module else program, *argv]
    try:
        script(*redact_argv(argv), seed=arguments.seed)
    except BaseException as error:
        if not program_started and isinstance(error, Exception):
            text = str(getattr(error, "strerror", None) or error)
            text = text.replace(GIT_ADVICE, "put it into one, or pass --no-git")
            raise RecordError(text) from None
        sys.excepthook = functools.partial(_print_without_our_frames, sys.excepthook)
        raise
    return 0


def _find_program(program: str, is_module: bool) -> str:
    """The file that `python PROGRAM`, or `python -m PROGRAM`, would run; imports come from there.

    The path of a script is put together as `python` does: not tidied up.
    """
    path = os.path.join(os.getcwd(), program)
    folder = os.getcwd() if is_module else os.path.dirname(os.path.realpath(path))
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        sys.path[0] = folder
    if is_module:
        path = _find_module(program) or ""
    if not os.path.isfile(path):
        raise RecordError(f"{program}: there is no such {'module' if is_module else 'script'}")
    return path


def _find_module(name: str) -> str | None:
    """The file that `python -m NAME` would run, found without importing anything."""
    from importlib.machinery import PathFinder
    from importlib.util import find_spec

    first, *rest = name.split(".")
    try:
        spec = find_spec(first)
        for part in rest:
            inside = spec and spec.submodule_search_locations
            spec = PathFinder.find_spec(f"{spec.name}.{part}", inside) if spec and inside else None
    except (ImportError, ValueError):
        return None
    if spec and spec.submodule_search_locations is not None:
        spec = PathFinder.find_spec(f"{name}.__main__", spec.submodule_search_locations)
    return spec.origin if spec else None


def _print_without_our_frames(
    print_error: Callable[..., None], kind: Any, error: BaseException, traceback: Any
) -> None:
    """An excepthook that leaves out how the program was started, down to our last frame there."""
    for is_ours in (False, True):
        # A console script's or runpy's frames may come before ours.
        while traceback and (traceback.tb_frame.f_globals is globals()) is is_ours:
            traceback = traceback.tb_next
    print_error(kind, error.with_traceback(traceback), traceback)


@_command(
    _argument("target", metavar="TARGET", help=_TARGET),
    [
        _flag("--patch", dest="part", const=format_patch, help="the uncommitted changes"),
        _flag(
            "--requirements", dest="part", const=format_requirements, help="the packages, for pip"
        ),
        _flag("--checksums", dest="part", const=format_checksums, help="the files, for sha256sum"),
        _flag("--json", help="the record itself"),
    ],
)
def _cmd_show(arguments: Any) -> int:
    """Summarise the run that made a file.

    Finds the record and prints what matters of it on one screen; or one part of
    it, for another program and nothing else.

      pycrumbs show runs/first/model.pt
      pycrumbs show --patch runs/first | git apply
      pycrumbs show --requirements runs/first > requirements.txt
      pycrumbs show --checksums runs/first | sha256sum -c
    """
    record = find_run(arguments.target, _complain)
    if arguments.json:
        return _print_json(record)
    if arguments.part:
        return _print_exactly(arguments.part(record))
    return _print(format_summary(record, _make_style()))


@_command(
    _argument("directory", nargs="?", default=".", metavar="DIR", help="default: here"),
    _flag("--json", help="a list of objects"),
)
def _cmd_log(arguments: Any) -> int:
    """List the runs below a folder, newest first.

    One line each: when it started, how it ended and how long it took, the
    function, where it is (a TARGET for the other commands), and the arguments in
    which the runs of that function differ. `died` is a run whose process ended
    without a word.

      pycrumbs log runs
      pycrumbs log --json runs | jq '.[] | select(.status == "failed").record_path'
    """
    records = iterate_records(arguments.directory, _complain)
    runs = [summarize_run(record) for record in records]
    runs.sort(key=lambda run: parse_time(run["start_time"]), reverse=True)
    if arguments.json:
        return _print_json(runs)
    return _print(format_log(runs, _make_style()) or "no runs below this folder")


@_command(
    _argument("a", metavar="A", help=_TARGET),
    _argument("b", metavar="B", help="likewise"),
    _flag("--json", help="a list of objects"),
)
def _cmd_diff(arguments: Any) -> int:
    """Tell by meaning what differs between two runs.

    Compares arguments, code, seed, packages, the content of inputs and outputs,
    results, endings and environments. What always differs isn't listed: times,
    ids, the names of the runs' own directories, and drawn seeds while what came
    out is the same. What the records don't tell is named below, and changes no
    exit status.

      pycrumbs diff runs/first runs/second
      pycrumbs diff runs/chained@1 runs/chained
    """
    a, b = (find_run(target, _complain) for target in (arguments.a, arguments.b))
    differences = diff_records(a, b)
    if arguments.json:
        _print_json(differences)
        return 1 if differences else 0
    _print(format_differences(differences, _make_style()) or "no difference")
    for reason, names in list_uncompared(a, b).items():
        if names:
            _print(f"{reason}: {', '.join(limit_texts([*map(format_path, names)], 5))}")
    return 1 if differences else 0


@_command(
    _argument("targets", nargs="+", metavar="TARGET", help=_TARGET),
    _flag("--json", help="a list of objects"),
)
def _cmd_verify(arguments: Any) -> int:
    """Tell whether inputs and outputs are still what the record says.

    Hashes the files that a record names, or all records below a folder, and lists
    those that are changed, missing, or were never hashed. What a later one of
    these runs made anew counts as replaced.

      pycrumbs verify runs
    """
    problems: list[str] = []
    found = (record for target in arguments.targets for record in _list_records(target, problems))
    verdicts = verify_records(found)
    if arguments.json:
        _print_json(verdicts)
    else:
        _print(format_verdicts(verdicts, _make_style()))
    for problem in problems:
        _complain(problem)
    is_fine = all(verdict["state"] in ("ok", "replaced", "unhashed") for verdict in verdicts)
    return 2 if problems else 0 if is_fine else 1


def _list_records(target: str, problems: list[str]) -> Iterator[Record]:
    """The records below a directory; or the one that a path stands for."""
    records = iterate_records(target, problems.append) if os.path.isdir(target) else iter(())
    first = next(records, None)
    yield first or find_run(target, problems.append)
    yield from records


@_command(
    _argument("file", metavar="FILE", help="any file, whether a record names it or not"),
    _argument(
        "--root",
        action="append",
        default=[],
        metavar="DIR",
        help="search this folder by content; can be given several times",
    ),
    [_flag("--json", help="a tree of objects"), _flag("--dot", help="a graph for Graphviz")],
)
def _cmd_trace(arguments: Any) -> int:
    """Trace a file back to its sources.

    Draws the tree of runs that led to a file: which run made it, from which
    inputs, which runs made those. Files are known by their content, so the folder
    may have moved.

      pycrumbs trace runs/report/figure.png
      pycrumbs trace --root runs elsewhere/figure.png
      pycrumbs trace --dot runs/report/figure.png | dot -Tsvg > figure.svg
    """
    node = trace_file(arguments.file, arguments.root)
    if arguments.json:
        return _print_json(node)
    return _print(format_dot(node) if arguments.dot else format_trace(node, _make_style()))


@_command(
    _argument("target", metavar="TARGET", help=_TARGET),
    _argument("-o", "--output", metavar="DIR", help="where the new files go"),
    _argument("--repo", metavar="DIR", help="the repository, if it has moved"),
    _flag("--yes", help="do not ask before executing"),
    _flag("--keep", help="keep the checkout"),
    _flag("--json", help="the verdicts, and the new record"),
)
def _cmd_rerun(arguments: Any) -> int:
    """Run a recorded call again from its record alone, and compare.

    Checks the recorded commit out in a temporary folder, applies the patch, and
    calls the function with the recorded arguments and seed, into a new directory.
    It says first what it will execute, and asks; then, of each file, whether it
    came out identical.

      pycrumbs rerun runs/first
      pycrumbs rerun --yes -o runs/again runs/first
    """
    record = find_run(arguments.target, _complain)
    if arguments.output is not None:
        check_target(os.path.abspath(arguments.output))
    plan = plan_rerun(record, arguments.repo)
    told = format_plan(plan, record)
    print(told, file=sys.stderr)
    try:
        if not arguments.yes:
            _ask_to_execute()
        # SIGTERM and SIGHUP, too, let the rerun tidy up as Ctrl-C does.
        _change_handlers(_signal.SIG_DFL, _signal.default_int_handler)
        result = carry_out(plan, record, arguments.output, arguments.keep)
    except KeyboardInterrupt:
        raise RecordError("interrupted before the new directory was complete") from None
    finally:
        _change_handlers(_signal.default_int_handler, _signal.SIG_DFL)
    if arguments.json:
        _print_json(result)
    else:
        notes = [note for note in result["notes"] if clean(note) not in told]
        _print(format_rerun({**result, "notes": notes}, _make_style()))
    return 1 if any(v["verdict"] != "identical" for v in result["verdicts"]) else 0


def _change_handlers(old: Any, new: Any) -> None:
    """Give SIGTERM and SIGHUP the handler `new`, where they have `old`."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(_signal, name, None)
        if number is not None and _signal.getsignal(number) == old:
            attempt(_signal.signal, number, new)


def _ask_to_execute() -> None:
    """Ask on the terminal; RecordError if the answer isn't yes."""
    if not _is_terminal(sys.stdin):
        raise RecordError("rerun executes this code: say --yes where nobody can be asked")
    try:
        print("Execute it? [y/N] ", end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline()
    except KeyboardInterrupt:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise RecordError("nothing was executed")


def _make_style() -> Style:
    """The style of standard output: https://no-color.org, https://force-color.org."""
    import shutil

    terminal = _is_terminal(sys.stdout)
    color = bool(os.environ.get("FORCE_COLOR")) or (terminal and os.environ.get("TERM") != "dumb")
    color = color and not os.environ.get("NO_COLOR")
    known_width = terminal or os.environ.get("COLUMNS")
    return Style(shutil.get_terminal_size().columns if known_width else 10_000, color)


def _is_terminal(stream: Any) -> bool:
    """Whether a stream leads to a terminal."""
    return stream is not None and bool(stream.isatty())


def _print(text: str) -> int:
    """Print a text; return the exit status of what went well."""
    if hasattr(sys.stdout, "reconfigure"):
        # Whatever the locale, printing doesn't fail.
        sys.stdout.reconfigure(errors="backslashreplace")
    print(text)
    return 0


def _print_exactly(text: str) -> int:
    """Print what another program is to read: in its bytes, whatever the locale."""
    if not text:
        return 0
    if _is_terminal(sys.stdout) or not hasattr(sys.stdout, "buffer"):
        return _print("\n".join(clean(line, TEXT_LIMIT) for line in text.split("\n")))
    # Surrogates stand for bytes (PEP 383), unless some of them can't.
    errors = "surrogateescape" if is_text(text) else "replace"
    sys.stdout.buffer.write(f"{text}\n".encode("utf-8", errors))
    return 0


def _print_json(value: Any) -> int:
    """Print a value as JSON; DEL, the control character that JSON leaves as it is, is escaped."""
    return _print(format_record(value).replace("\x7f", "\\u007f"))


def _complain(problem: str) -> None:
    """Tell in one line what isn't as it should be."""
    say(clean(problem, TEXT_LIMIT))


def _report(error: BaseException) -> int:
    """Tell in one line what stopped a command; return the exit status."""
    if isinstance(error, SystemExit):
        # argparse exits after --help and --version.
        return int(error.code or 0)
    if isinstance(error, KeyboardInterrupt):
        return 130
    if getattr(error, "errno", None) in (errno.EPIPE, errno.ENOSPC):
        # Nothing more can be printed, nor may Python try to as it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        # `pycrumbs log | head`: the reader has seen enough.
        return 0
    is_deep = isinstance(error, RecursionError)
    _complain("a record is nested too deeply" if is_deep else str(error))
    return 2


def _make_parser() -> Any:
    """The command line's grammar: of each command, its function's docstring is the help."""
    import argparse
    import inspect

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            raise RecordError(f"{message}; see {self.prog} --help")

    raw = argparse.RawDescriptionHelpFormatter
    purpose = (__doc__ or "").partition("\n")[0]
    parser = Parser(prog="pycrumbs", description=purpose, epilog=_EXIT_STATUS)
    parser.add_argument("--version", action="version", version=f"pycrumbs {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (run, status, usage, options) in _commands.items():
        about = f"{inspect.getdoc(run) or ''}\n\n{status}"
        summary = about.partition(".\n")[0]
        command = commands.add_parser(
            name, usage=usage, help=summary, description=about, formatter_class=raw
        )
        command.set_defaults(command=run)
        for option in options:
            # Of a list of options one may be given.
            exclusive = isinstance(option, list)
            group = command.add_mutually_exclusive_group() if exclusive else command
            for flags, settings in option if exclusive else [option]:
                group.add_argument(*flags, **settings)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    try:
        arguments = _make_parser().parse_args(argv)
        status = int(arguments.command(arguments))
        if sys.stdout is not None and not program_started:
            sys.stdout.flush()
        return status
    except (RecordError, OSError, RecursionError, KeyboardInterrupt, SystemExit) as error:
        if program_started:
            raise
        return _report(error)


# == Running programs ==========================================================
# Every program is started by `Program`, and git by `start_git` alone: hardened
# against what the environment and a repository's own settings could make it do,
# taking no locks, writing no index.


class Unavailable(Exception):
    """A program gave no answer; the message says why."""


class Program:
    """A program that is started now and asked for its output later."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        import subprocess

        self.name = os.path.basename(command[0])
        self.started = time.monotonic()
        pipe, null = subprocess.PIPE, subprocess.DEVNULL
        try:
            self.popen = subprocess.Popen(
                command, env=env, stdin=null, stdout=pipe, stderr=pipe, start_new_session=True
            )
        except (OSError, RuntimeError) as error:
            # A subinterpreter may start no process, nor may one that is ending.
            reason = getattr(error, "strerror", None) or error
            raise Unavailable(f"{self.name} could not be started: {reason}") from None

    def read(self, timeout: float) -> tuple[int, bytes, str] | None:
        """Exit status, output and error text; None if it hasn't ended within `timeout` s."""
        import subprocess

        try:
            # Without any time communicate() wouldn't even look at what is there.
            out, err = self.popen.communicate(timeout=max(timeout, 0.02))
        except subprocess.TimeoutExpired:
            return None
        return self.popen.returncode, out, err.decode("utf-8", "replace").strip()

    def wait(self, timeout: float) -> tuple[int, bytes, str]:
        """The same; Unavailable if it is late, or was killed."""
        ended = self.read(timeout)
        if ended is None:
            raise Unavailable(self.abandon())
        if ended[0] < 0:
            raise Unavailable(f"{self.name} was killed by signal {-ended[0]}")
        return ended

    def abandon(self) -> str:
        """Kill it and its children without waiting for what can't be killed; say how it ended."""
        import signal

        if self.popen.returncode is None and hasattr(os, "killpg"):
            # The whole group (start_new_session): a child of its own may hold the pipes.
            attempt(os.killpg, self.popen.pid, signal.SIGKILL)
        attempt(self.popen.kill)
        if self.read(0.05) is None:
            # Nothing can kill it, or a grandchild has the pipes.
            self.popen.poll()
            for pipe in filter(None, (self.popen.stdout, self.popen.stderr)):
                pipe.close()
        return f"{self.name} did not answer within {time.monotonic() - self.started:.1f} s"


# Whatever else begins with GIT_ could point to another repository or change the output.
_GIT_KEPT_VARIABLES = (
    *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH"),
    *("GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM"),
)
_GIT_VARIABLES = {
    # Its messages are recognized by their text, and a terminal that nobody looks at isn't asked.
    "LC_ALL": "C",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
}
# Both name programs that git would run while it only looks.
_GIT_SETTINGS = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")


def start_git(folder: str, *arguments: str, since: float | None = None) -> Program:
    """Start a hardened git in a folder; `since` is when the wait for it and others began."""
    env = {
        name: value
        for name, value in copy_environment().items()
        if not name.startswith("GIT_") or name in _GIT_KEPT_VARIABLES
    }
    env.update(_GIT_VARIABLES)
    # A partial clone would fetch what it lacks, through a program of the repository's choice.
    env["GIT_ALLOW_PROTOCOL"] = "file" if arguments[:1] == ("clone",) else ""
    program = Program(["git", *_GIT_SETTINGS, "-C", folder, *arguments], env)
    program.started = since or program.started
    return program


def run_git(folder: str, *arguments: str, timeout: float = GIT_TIMEOUT) -> tuple[int, str]:
    """Run git to its end; its exit status, and what it printed, or else complained of.

    Unavailable if it can't be started, or doesn't end.
    """
    code, output, complaint = start_git(folder, *arguments).wait(timeout)
    return code, os.fsdecode(output).strip() or complaint


def in_batches(paths: Iterable[str]) -> Iterator[list[str]]:
    """The paths in parts that a command line has room for, also on Windows."""
    batch: list[str] = []
    length = 0
    for path in paths:
        if batch and length + len(path) > 20_000:
            yield batch
            batch, length = [], 0
        batch.append(path)
        length += len(path) + 3
    if batch:
        yield batch


def copy_environment() -> dict[str, str]:
    """All environment variables, also while another thread changes them."""
    # `os.environ` looks each up anew; its own dictionary, of bytes, is copied in one step.
    data = dict(getattr(os.environ, "_data", os.environ))
    return {os.fsdecode(name): os.fsdecode(value) for name, value in data.items()}


# == Small tools ===============================================================
# What several sections use: they know nothing of runs and records.

_patterns: dict[str, Any] = {}


def pattern(text: str) -> Any:
    """A compiled pattern, compiled when first needed."""
    import re

    if text not in _patterns:
        _patterns[text] = re.compile(text)
    return _patterns[text]


class OwnPath(str):
    """A path opened by pycrumbs itself, not by a run."""


def open_quietly(path: str, flags: int) -> int:
    """A file's descriptor, opened by pycrumbs itself; new files get the umask's permissions."""
    return os.open(OwnPath(path), flags | getattr(os, "O_BINARY", 0), 0o666)


def read_bytes(path: str, limit: int = -1) -> bytes:
    """The content of a file, or its beginning."""
    with os.fdopen(open_quietly(path, os.O_RDONLY), "rb") as file:
        return file.read(limit)


def size_of(path: str) -> int:
    """The size of a file, or of the link itself; 0 if there is none."""
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def absolute(path: str) -> str:
    """An absolute path; a relative one as it is where the working directory is gone."""
    try:
        # Behind a link `..` leads elsewhere than it seems to.
        has_turn = os.pardir in path.split(os.sep)
        return os.path.realpath(path) if has_turn else os.path.abspath(path)
    except FileNotFoundError:
        return path


def is_below(path: str, folder: str) -> bool:
    """Whether a path leads into a folder; both are absolute."""
    return path.startswith(os.path.join(folder, ""))


def folders_above(path: str) -> Iterator[str]:
    """The folder that a path is in, and those above it."""
    import pathlib

    return filter(os.path.isdir, map(str, pathlib.PurePath(path).parents))


def number_names(start: str, end: str = "") -> Iterator[str]:
    """Names to try one after another: `x.json`, `x_2.json`, `x_3.json` and so on."""
    import itertools

    yield start + end
    yield from (f"{start}_{number}{end}" for number in itertools.count(2))


def draw_uuid() -> str:
    """A random UUID (RFC 9562, version 4); `uuid` would import what a project may have replaced."""
    text = os.urandom(16).hex()
    variant = "89ab"[int(text[16], 16) % 4]
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"


def read_hostname() -> str:
    """The name of this machine in its network."""
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")


def identify_process() -> Record:
    """What tells this process from every other one, also of later boots and other containers.

    `start_time` counts clock ticks since the boot (proc(5), field 22 of /proc/<pid>/stat).
    """
    pid = os.getpid()
    if pid not in _identities:
        identity: Record = {"pid": pid}
        try:
            # Only Linux tells, unless /proc is hidden.
            identity["start_time"] = _read_start_time(pid)
            identity["boot_id"] = read_bytes("/proc/sys/kernel/random/boot_id").decode().strip()
            identity["pid_namespace"] = os.readlink("/proc/self/ns/pid")
        except OSError:
            pass
        # Drops the entry of the process that forked this one.
        _identities.clear()
        _identities[pid] = without_none(identity)
    return dict(_identities[pid])


_identities: dict[int, Record] = {}


def _read_start_time(pid: object) -> int | None:
    """When a process started, in clock ticks since the boot; -1 for a zombie, None for none."""
    try:
        # The name in brackets may hold spaces and brackets itself; the last one ends it.
        fields = read_bytes(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        return -1 if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, IndexError, ValueError):
        return None


def is_gone(pid: Any, start: object) -> bool:
    """Whether a process of this machine has ended; never so where that can't be known.

    Where /proc hides the processes of others (hidepid), `kill` tells.
    """
    found = _read_start_time(pid)
    if found is not None:
        return str(found) != str(start)
    try:
        os.kill(int(pid), 0)
    except (OSError, ValueError, OverflowError) as error:
        return isinstance(error, ProcessLookupError)
    return False


def module_attributes() -> list[Record]:
    """The loaded modules' attributes, without waking lazy ones; what is no module is left out."""
    modules = [m for m in list(sys.modules.values()) if issubclass(type(m), types.ModuleType)]
    return [object.__getattribute__(module, "__dict__") for module in modules]


def warn(message: str) -> None:
    """Warn once, at the caller's line; where that can't be, print: recording must not raise."""
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and is_own(frame.f_code.co_filename):
        frame, level = frame.f_back, level + 1
    try:
        import warnings

        warnings.warn(f"pycrumbs: {message}", RuntimeWarning, stacklevel=level)
    except Exception:
        # The user has warnings raise, or has closed stderr.
        say(message)


def is_own(file: str) -> bool:
    """Whether code is from this file; a frozen program gives it another name, or none."""
    return file == is_own.__code__.co_filename


def say(message: str) -> None:
    """Print on stderr, if that can be: whoever started the program may have closed it."""
    try:
        if sys.stderr is not None:
            print(f"pycrumbs: {message}", file=sys.stderr)
    except Exception:
        return


def make_room(known: set[Any] | dict[Any, Any]) -> None:
    """Empty a cache when it is full; refilling it is cheap."""
    if len(known) >= FILE_LIMIT:
        known.clear()


def without_none(mapping: Mapping[str, Any]) -> Record:
    """A mapping without the keys that have no value."""
    return {key: value for key, value in mapping.items() if value is not None}


def is_text(text: str) -> bool:
    """Whether a text from JSON can be a path or an argument: bytes without NUL."""
    try:
        return b"\0" not in text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False


def format_time(seconds: float) -> str:
    """Seconds since the epoch as local time with its UTC offset."""
    import datetime

    return datetime.datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "microseconds")


def parse_time(text: object) -> float:
    """A recorded time in seconds since the epoch; 0 if it is none."""
    import datetime

    try:
        return datetime.datetime.fromisoformat(str(text)).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def format_size(size: int) -> str:
    """A number of bytes for people: '4.0 MiB'."""
    amount, units = float(min(size, 2**70)), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while amount >= 1024 and len(units) > 1:
        amount, units = amount / 1024, units[1:]
    return f"{size} bytes" if units[0] == "bytes" else f"{amount:.1f} {units[0]}"


def clean(value: object, limit: int = 500) -> str:
    """A value as one line of text without control characters, escape sequences or bidi marks."""
    import json

    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text if len(text) <= limit else f"{text[:limit]}..."
    return str(pattern(_UNPRINTABLE).sub(lambda m: m[0].encode("unicode_escape").decode(), text))


_UNPRINTABLE = (  # control characters, marks without a shape, halves of characters
    "[\0-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def format_path(path: object) -> str:
    """A path for people: relative to the working directory where it lies below that."""
    if not isinstance(path, str):
        return clean(path)
    here = os.path.join(absolute(os.curdir), "")
    return clean(path[len(here) :] if path.startswith(here) else path.removeprefix("./"))


def count_columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    import unicodedata

    widths = ((unicodedata.east_asian_width(c) in "WF") + 1 for c in text)
    return sum(width for c, width in zip(text, widths) if not unicodedata.combining(c))


def shorten(text: str, width: int, keep_end: bool = False) -> str:
    """A text cut to at most `width` columns: at its end, or in the middle to keep the end."""
    if count_columns(text) <= width:
        return text
    import itertools

    room = max(0, width - 3)
    end = text[2 * room // -3 :] if keep_end and room > 2 else ""
    while count_columns(end) > room:
        end = end[1:]
    room -= count_columns(end)
    columns = itertools.accumulate(map(count_columns, text))
    start = sum(1 for _ in itertools.takewhile(room.__ge__, columns))
    return text[:start] + "..."[: max(0, width)] + end


def limit_texts(texts: Sequence[str], limit: int) -> list[str]:
    """The first few texts, and how many more there are; never more than `limit + 1` in all."""
    more = [f"... and {len(texts) - limit:,} more"] if len(texts) > limit + 1 else []
    return [*texts[: limit if more else limit + 1], *more]


if __name__ == "__main__":
    # Some debuggers and profilers set no `__spec__`: the bare name would be that of `builtins`.
    own_spec = globals().get("__spec__")
    if own_spec is not None and own_spec.name != "__main__":
        # `python -m`: what the program imports by that name must be the module that works here.
        import importlib

        main = importlib.import_module(own_spec.name).main
    raise SystemExit(main())
