"""Leave a record beside the files a function makes, so that they can be traced and made again.

    from pycrumbs import tracked

    @tracked(directory_parameter="out", seed_parameter="seed")
    def train(out, epochs=5, seed=None):
        ...                                   # write files into `out`

    train("runs/first")                       # leaves runs/first/train_record.json

The record tells which code, arguments, packages, machine and seed made those files:

    {
        "pycrumbs": "0.5.0",
        "uuid": "51af8c51-0de5-48f5-a7da-9ec9688d56b6",
        "status": "completed",
        "timing": {"start_time": "2026-11-23 14:10:02.123456+01:00", "run_time": "0:00:41.002"},
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
    "RecordError",
    "diff_records",
    "find_record",
    "get_environment_info",
    "get_git_info",
    "get_installed_packages",
    "load_records",
    "rerun_record",
    "seed_tasks",
    "trace_file",
    "tracked",
    "verify_record",
    "write_record",
]
__version__ = "0.5.0"

TIMESTAMP_FORMAT = "%Y_%m_%d_%H_%M_%S"
TEXT_LIMIT = 4096  # characters of one described parameter, result or message
DEPTH_LIMIT = 40  # levels of nesting that a description follows
GIT_TIMEOUT = 10.0  # seconds for all of one run's git; a status of 50,000 files takes 0.1
PROBE_WAIT = 0.5  # seconds that a probe may hold the function up
GPU_ATTEMPTS = 10  # runs that end before nvidia-smi answers, after which it isn't asked any more
PATCH_LIMIT = 4 * 2**20  # bytes of one git_patch
SOURCE_LIMIT = 2**16  # bytes of the files that are kept where the patch of all would pass that
DIFFS_AT_ONCE = 20  # processes
FEW_PATHS = 50  # that git finds in a large index faster than it looks at every file
INDEX_LIMIT = 2**30  # bytes that git may say of the files in a commit
HIDDEN_LIMIT = 100  # files that git is told not to look at and are compared nevertheless
OMITTED_LIMIT = 100  # things that a git_patch_omitted names
SECRET_LINES = 100  # that one secret in a patch may go on for
LOCK_TIMEOUT = 30.0  # seconds to wait for the lock of a chained file
TEMPORARY_LIFE = 7 * 86400  # seconds after which another machine's temporary file is a stray
LOAD_LIMIT = 32 * 2**20  # bytes of a record file that is read back
VALUE_LIMIT = 1_000_000  # and the values in it; a list or mapping counts as two
RUN_LIMIT = 50_000  # and the runs
ARGUMENT_LIMIT = 50_000  # and the values in the arguments of a call that is run again
LOOK_TIMEOUT = 4.0  # seconds, for a look at the repository that a record names
LIBRARY_LIMIT = 20  # other repositories that are compared with what a record says of them
COMPARE_LIMIT = 64 * 2**20  # bytes of an output of which a rerun tells where it differs
PATH_LIMIT = 4096  # characters of a recorded path or of a class's name, as long as systems allow

DEEPEST = 2 * DEPTH_LIMIT  # levels of nesting of a record that is read back
TRACE_LIMIT = 100  # runs that a trace follows back, one after another
HASH_LIMIT = 2**30  # bytes hashed per run, unless the caller says otherwise
THREADED_HASHING = 8 * 2**20  # bytes from which hashing on several cores pays
FILE_LIMIT = 10_000  # inputs, and outputs, that one record lists
LIST_LIMIT = 1000  # items of an argument that are looked at for paths
PATH_DEPTH = 4  # and the levels of lists and mappings
FILE_TIME_LAG = 0.01  # seconds by which some kernels' file times lag behind the clock, at most
VISIT_LIMIT = 100_000  # directory entries that are looked at, and opened files noted
SEED_LIMIT = 2**32  # NumPy takes 0 to 2**32 - 1
DOCKER_BUILD_HASH_FILE = "/etc/docker-build-git-hash"
TRACEBACK_LINES = 100  # kept of a long traceback, at either end
TRACEBACK_LENGTH = 2**17  # and the characters
SOCKET_FOLDER_LENGTH = 70  # of the 104 characters of a socket's path, 34 are multiprocessing's
COPY_SIZE = 2**17  # bytes that a copy of this file has at least
LINK_LIMIT = 10_000  # files of one argument that a rerun links to one by one
CHECKOUT_TIMEOUT = 600.0  # seconds, for the repository of a rerun
ELSEWHERE = "elsewhere"  # folder for what a rerun would have written outside its directory
RERUN_PREFIX = "pycrumbs-rerun-"
KEPT_PREFIX = "pycrumbs-kept-"
MADE_PREFIX = "pycrumbs-made-"
REDACTED = "<redacted>"
SUPPRESSED = "<suppressed due to excessive length>"

_open = open  # what a program's tests may put in its place isn't meant for us


# ------------------------------------------------------------------------------
# Tracking a function
# ------------------------------------------------------------------------------
# `tracked` validates its options once and wraps the function once. The wrapper
# holds a `_Tracker` (the function, its signature, its options); every call
# makes a `_Run`.


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
    literal_directory
        Directory of the record, as a value. Give either this or `directory_parameter`.
    directory_parameter
        Name of the function's parameter whose value is that directory.
    subdirectory_name_parameter
        Name of the parameter whose value is a subdirectory of it: a relative path inside it.
    directory_injection_parameter
        Name of the parameter that receives the final directory as a `pathlib.Path`; callers
        may leave it out.
    include_timestamp, include_uuid
        Append the start time (`_%Y_%m_%d_%H_%M_%S`) or the record's uuid to the directory's name.
        The new name goes to the injection parameter if there is one, else to the subdirectory
        or directory parameter, in the type the caller used.
    record_filename
        Name of the record; `.json` is implied. Default: `<function>_record`.
    extra_modules
        Names or modules whose git state is recorded too.
    extra_environment_variables
        Names of environment variables to record beside the built-in list.
    seed_parameter
        Name of the parameter that holds the seed: an integer 0 to 2**32 - 1 is used; for None
        one is drawn, passed to the function and recorded.
    seed_numpy, seed_tensorflow, seed_torch
        Whether to seed these libraries (at once, or as the function imports them).
    disable_git_tracking
        Leave git out; for functions that are in no repository.
    allow_dirty_repo
        If False, refuse to run while a recorded repository has uncommitted changes.
    include_package_inventory
        Whether to list the installed packages.
    create_parents
        Whether to create missing parents of the directory; the directory itself always is.
    require_empty_directory
        Refuse to run if the directory holds anything.
    chain_records
        Append to the record file (a JSON list from the second run on) instead of replacing it.
    input_parameters
        Names of parameters whose values are input files or folders, to be recorded with their
        hashes. A parameter that holds an existing file is found without being named.
    capture_files
        Also record every file that the run opens through Python (an audit hook, PEP 578).
    hash_limit
        Bytes to hash per run, smallest files first; None: all, 0: none.

    Raises
    ------
    TypeError
        At decoration: not exactly one of the two directories; a suffix that no parameter could
        carry back; a list of something else; something that isn't a function. At a call: wrong
        arguments; a seed that is neither an integer nor None; a directory that is no path.
    ValueError
        At decoration: both suffixes; a parameter that the function lacks. At a call: a seed out
        of range; a subdirectory that isn't inside the directory.
    RuntimeError
        At a call: git tracking is on and the source is in no git repository, or is ignored
        there; or the repository is dirty and `allow_dirty_repo` is False.
    OSError
        At a call: the directory can't be created, isn't empty where it must be
        (`FileExistsError`), or the record can't be written. The function hasn't run then.
    """
    # The arguments, by their names, are the options: they are listed nowhere else.
    options = _Options(**locals(), run_as=None, source_file=None)
    if misplaced:
        raise TypeError(
            "tracked takes named options only, and one at least: write "
            '@tracked(directory_parameter="out"), or @tracked(literal_directory="runs")'
        )
    options.check()

    def decorate(function: _F) -> _F:
        wrapped: _F = _wrap(function, options)
        return wrapped

    return decorate


class _Options(types.SimpleNamespace):
    """The options of one `tracked`, fixed once made; the attributes are its parameters."""

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
        for option, (kinds, what) in _LIST_OPTIONS.items():
            given = getattr(self, option)
            if given is None:
                continue
            if isinstance(given, (str, bytes, types.ModuleType)) or not hasattr(given, "__iter__"):
                raise TypeError(f"tracked: {option} takes a list, even for one")
            # A copy: an iterator would be used up by the first call.
            vars(self)[option] = items = tuple(given)
            for item in items:
                if not isinstance(item, kinds):
                    raise TypeError(f"tracked: {option} takes {what}, not {item!r:.80}")
        limit = self.hash_limit
        if limit is not None and (not isinstance(limit, int) or limit < 0):
            raise ValueError(f"tracked: hash_limit={limit!r} must be a number of bytes, or None")
        if not isinstance(self.literal_directory, (str, os.PathLike, type(None))):
            problem = f"must be a str or os.PathLike, not {self.literal_directory!r:.80}"
            raise TypeError(f"tracked: literal_directory {problem}")
        if self.record_filename is not None and not _is_file_name(self.record_filename):
            raise ValueError(
                f"tracked: record_filename={self.record_filename!r} must be a file name without "
                "a folder; the folder comes from literal_directory or directory_parameter"
            )

    @property
    def suffix_option(self) -> str:
        """The option in force that appends to the directory's name; '' if there is none."""
        names = ("include_timestamp", "include_uuid")
        return next((name for name in names if getattr(self, name)), "")

    @property
    def carrier(self) -> str:
        """The parameter through which the function learns its final directory, or ''."""
        return (
            self.directory_injection_parameter
            or self.subdirectory_name_parameter
            or self.directory_parameter
            or ""
        )


_LIST_OPTIONS = {
    "extra_modules": ((str, types.ModuleType), "modules and names of modules"),
    "extra_environment_variables": ((str,), "names of environment variables"),
    "input_parameters": ((str,), "names of parameters"),
}
_PARAMETER_OPTIONS = (
    "directory_parameter",
    "subdirectory_name_parameter",
    "directory_injection_parameter",
    "seed_parameter",
)


def _is_file_name(name: object) -> bool:
    """Whether that is a name that a file in a folder can have."""
    return isinstance(name, str) and name not in ("", ".", "..") and not set(name) & set("/\\\0")


class _Tracker:
    """One tracked function: its options, its signature, and the evidence its first call read."""

    def __init__(self, function: Callable[..., Any], options: _Options) -> None:
        import inspect

        self.function = function
        self.options = options
        self.name = function.__qualname__
        self.signature = inspect.signature(function)
        # The file of the function that does the work, not that of the decorators around it.
        inner: Any = inspect.unwrap(function, stop=_wraps_no_function)
        self.source_file = options.source_file or _find_source(inner)
        self.source_signature = sign_file(self.source_file or "")
        self.evidence: _Evidence | None = None
        parameters = self.signature.parameters.values()
        self.names = [*self.signature.parameters]
        self.by_name = {p.name for p in parameters if p.kind > p.POSITIONAL_ONLY}
        self.positional = [p.name for p in parameters if p.kind == p.POSITIONAL_OR_KEYWORD]
        self.required = {p.name for p in parameters if p.default is p.empty}
        # None unless all can be passed by name.
        is_plain = all(p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) for p in parameters)
        self.defaults = {p.name: p.default for p in parameters} if is_plain else None
        self.check_parameters()

    def __getstate__(self) -> Record:
        # What was read in this process isn't true where a pickled wrapper arrives.
        return {**self.__dict__, "evidence": None}

    def __setstate__(self, state: Record) -> None:
        self.__dict__.update(state)
        self.source_signature = sign_file(self.source_file or "")

    def check_parameters(self) -> None:
        """Raise ValueError for an option that names a parameter the function lacks."""
        parameters = self.signature.parameters.values()
        known = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        named = [(option, getattr(self.options, option)) for option in _PARAMETER_OPTIONS]
        named += [("input_parameters", name) for name in self.options.input_parameters or ()]
        for option, name in named:
            if name is not None and name not in known:
                raise ValueError(
                    f"tracked: {option}={name!r}, but {self.name}() has no such parameter; "
                    f"it has: {', '.join(known) or 'none'}"
                )

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> inspect.BoundArguments:
        """Bind a call's arguments, defaults filled in; the injected one may be missing."""
        plain = self.bind_plainly(args, kwargs)
        if plain is not None:
            return plain
        bind, injected = self.signature.bind, self.options.directory_injection_parameter
        try:
            try:
                bound = bind(*args, **kwargs)
            except TypeError:
                if injected is None:
                    raise
                # Bound again with the injected one, so that Python's own message names what else is
                # missing.
                partial = self.signature.bind_partial(*args, **kwargs)
                partial.arguments.setdefault(injected, None)
                bound = bind(*partial.args, **partial.kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}() {error}") from None
        bound.apply_defaults()
        return bound

    def bind_plainly(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> inspect.BoundArguments | None:
        """Bind a call that is right and has nothing special; None for any other.

        Most are so, and inspect's own way takes three times as long.
        """
        if self.defaults is None:
            return None
        import inspect

        given = {**dict(zip(self.positional, args)), **kwargs}
        arguments = {**self.defaults, **given}
        is_right = (
            len(given) == len(args) + len(kwargs)  # none too many, none given twice
            and len(arguments) == len(self.defaults)  # none unknown
            and self.required <= given.keys()
        )
        # A plain dict since Python 3.9, whatever typeshed says.
        return inspect.BoundArguments(self.signature, arguments) if is_right else None  # type: ignore[arg-type]

    def is_source_edited(self) -> bool:
        """Whether the source file is another one than when the function was decorated."""
        now, then = sign_file(self.source_file or ""), self.source_signature
        # chmod changes the ctime, and not what was imported.
        return (now and (now[0], *now[2:])) != (then and (then[0], *then[2:]))

    def read_evidence(self) -> _Evidence:
        """Read what a record says of code, packages and GPUs; once, but a strict git each time."""
        if self.evidence is None:
            self.evidence = _Evidence(self)
            return self.evidence
        if not self.options.allow_dirty_repo:
            self.evidence.read(self)
        self.evidence.gpus = self.evidence.gpus.again()
        return self.evidence


def _wraps_no_function(function: Any) -> bool:
    """Whether `functools.wraps` was told of a class, a partial or a builtin."""
    return not hasattr(function.__wrapped__, "__code__")


def _find_source(function: types.FunctionType) -> str | None:
    """The file a function was compiled from, or None if there is no such file (a REPL, exec)."""
    path = _absolute(function.__code__.co_filename)
    return path if os.path.isfile(path) else None


def _wrap(function: Any, options: _Options) -> Any:
    """Wrap a function in one of its own kind."""
    # Decorated from within, these stay what they are: descriptors.
    if isinstance(function, (staticmethod, classmethod)):
        return type(function)(_wrap(function.__func__, options))
    if not isinstance(function, (types.FunctionType, types.MethodType)):
        raise TypeError(
            f"tracked: cannot track {type(function).__name__} {_name_of(function)!r}, only a "
            "function; put @tracked last, nearest the function, below other decorators"
        )
    import functools
    import inspect

    wrappers = (
        (inspect.iscoroutinefunction, _wrap_coroutine),
        (inspect.isasyncgenfunction, _wrap_async_generator),
        (inspect.isgeneratorfunction, _wrap_generator),
    )
    wrap = next((wrap for is_kind, wrap in wrappers if is_kind(function)), _wrap_plain)
    tracker = _Tracker(function, options)
    wrapped = functools.wraps(function)(wrap(tracker))
    if function.__code__.co_flags & inspect.CO_ITERABLE_COROUTINE:
        # A generator that can be awaited (types.coroutine).
        wrapped = types.coroutine(wrapped)
    if _rerun is not None:
        _rerun.note(tracker, wrapped)
    return wrapped


def _name_of(thing: object) -> str:
    """What to call a thing that may have no name of its own."""
    return str(getattr(thing, "__name__", None) or getattr(thing, "name", None) or thing)


# The run is entered twice: if Ctrl-C comes just as the inner __exit__ begins, there is the outer.


def _wrap_plain(tracker: _Tracker) -> Callable[..., Any]:
    """The wrapper of a function that is none of the others."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with _Run(tracker, args, kwargs) as run, run, run.active():
            return run.returned(tracker.function(*run.args, **run.kwargs))

    return wrapper


def _wrap_coroutine(tracker: _Tracker) -> Callable[..., Any]:
    """The wrapper of a coroutine function: a coroutine function."""

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        with _Run(tracker, args, kwargs) as run, run, run.active():
            return run.returned(await tracker.function(*run.args, **run.kwargs))

    return wrapper


# A generator's caller runs between its steps, so the run is the active one only within them.
# The loops below are what `yield from` does (PEP 380), with that added.


def _wrap_generator(tracker: _Tracker) -> Callable[..., Any]:
    """The wrapper of a generator function: a generator function."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with _Run(tracker, args, kwargs) as run, run:
            generator = tracker.function(*run.args, **run.kwargs)
            resume, value = generator.send, None
            while True:
                try:
                    with run.active():
                        item = resume(value)
                except StopIteration as stop:
                    return run.returned(stop.value)
                finally:
                    # An error's traceback holds this frame, and all that it holds.
                    value = None
                try:
                    resume, value = generator.send, (yield item)
                except BaseException as error:
                    run.thrown(error)
                    resume, value = generator.throw, error

    return wrapper


def _wrap_async_generator(tracker: _Tracker) -> Callable[..., Any]:
    """The wrapper of an asynchronous generator function: of that kind, too."""

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        with _Run(tracker, args, kwargs) as run, run:
            generator = tracker.function(*run.args, **run.kwargs)
            # Only the wrapper is the event loop's to close, which closes this one in turn.
            hooks = sys.get_asyncgen_hooks()
            sys.set_asyncgen_hooks(None, None)
            step = generator.asend(None)
            sys.set_asyncgen_hooks(*hooks)
            while True:
                try:
                    with run.active():
                        item = await step
                except StopAsyncIteration:
                    return
                try:
                    step = generator.asend((yield item))
                except BaseException as error:
                    run.thrown(error)
                    step = generator.athrow(error)

    return wrapper


# ------------------------------------------------------------------------------
# The life of a run
# ------------------------------------------------------------------------------
# `with _Run(...)`: entering does all that may fail, in order (arguments, seed,
# directory, evidence, first record, seeding); leaving completes the record and
# never raises. A run left in another process than it was entered in (a forked
# child's copy) writes nothing.

_active_run: contextvars.ContextVar[_Run | None] = contextvars.ContextVar("run", default=None)


class _Run:
    """One call of a tracked function, from its arguments to its final record."""

    def __init__(self, tracker: _Tracker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.tracker, self.options = tracker, tracker.options
        self.plan = _rerun.claim(self) if _rerun is not None else None
        self.pid = os.getpid()
        self.uuid = draw_uuid()
        self.parent = _active_run.get()
        # The wall clock tells when; how long, a clock that nobody sets.
        self.start, self.clock = time.time(), time.perf_counter()
        self.cpu_seconds = read_cpu_seconds()
        self.outcome: Record = {"status": "completed"}
        self.has_begun = self.has_ended = self.guarded = False
        # Held while the run ends: the program's end may come to one that a thread is just ending.
        self.ending = _thread.RLock()
        self.directory = self.path = ""
        self.file: _RecordFile
        self.signature: tuple[int, ...] | None = None
        # The directories that are to be removed if the run can't start.
        self.created: list[str] = []
        self.hash_room = self.options.hash_limit
        self.capture = _Capture(tracker.function) if self.options.capture_files else None
        self.args, self.kwargs = args, kwargs
        self.bound = tracker.bind(args, kwargs)
        self.given = dict(self.bound.arguments)
        # What the function receives may differ: a drawn seed, a stamped directory.
        self.described = describe_arguments(self.given)

    def __enter__(self) -> _Run:
        if self.has_begun:
            # Not before: only now is there a `with` that completes the record, whatever comes.
            _signals.__exit__()
            return self
        options = self.options
        try:
            self.prepare()
            _signals.__enter__()
            try:
                self.begin()
                # Here, as PyTorch notes all its callers at each seeding: 5 us for a frame more.
                seed_tasks(
                    self.seed, options.seed_numpy, options.seed_tensorflow, options.seed_torch
                )
                if self.capture:
                    self.capture.begin()
            except BaseException:
                _signals.__exit__()
                raise
            return self
        except BaseException as error:
            if self.uuid in _runs:
                # A signal came while the run began: there is a record to complete.
                self.__exit__(type(error), error, error.__traceback__)
            else:
                _claims.pop(self.uuid, None)
                _remove_directories(self.created)
            raise

    def prepare(self) -> None:
        """Do all that comes before the first record."""
        self.seed = self.read_seed()
        self.create_directory()
        self.record = self.make_record()
        self.pass_arguments()

    def find_altered(self) -> Record:
        """The arguments that aren't those of the caller any more."""
        arguments = self.bound.arguments.items()
        return {name: value for name, value in arguments if value is not self.given[name]}

    def pass_arguments(self) -> None:
        """Put the altered arguments among the caller's, by name where that can be.

        A decorator below may take keywords only, whatever its signature claims (functools.wraps).
        """
        altered, tracker = self.find_altered(), self.tracker
        if altered:
            if altered.keys() <= tracker.by_name.difference(tracker.names[: len(self.args)]):
                self.kwargs = {**self.kwargs, **altered}
            else:
                self.args, self.kwargs = self.bound.args, self.bound.kwargs

    def begin(self) -> None:
        """Write the first record, and look at what is there before the function runs."""
        self.save_first()
        self.has_begun = True
        _runs[self.uuid] = self
        if not _exit_hook:
            import atexit

            _exit_hook.append(atexit.register(_end_with_program))
        self.guarded = _signals.install()
        self.tree = scan_tree(self.directory)
        self.fresh = hash_fresh(self.directory, self.tree[0], self.path, self.hash_room)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self.complete(error)
        if self.record:
            self.forget()

    def complete(self, error: BaseException | None) -> None:
        """End the run, unless that has been done; also where a signal's handler raises then."""
        try:
            if self.uuid in _runs and os.getpid() == self.pid and not sys.is_finalizing():
                with self.ending, _signals:
                    if self.uuid in _runs:
                        self.end(error)
        except BaseException as signal:
            # Only a signal's handler raises here. Did it come before the record was complete?
            if self.uuid in _runs:
                self.complete(signal)
            raise

    def end(self, error: BaseException | None) -> None:
        """Complete the record, and leave no trace else; what fails here is one warning."""
        try:
            if self.capture:
                self.capture.end()
            self.note_end(error)
            if self.evidence.note_late_sources():
                self.record["tracked_module"] = self.evidence.tracked_module
            self.evidence.gpus.stop()
            self.save(self.outcome, self.hash_room)
        except Exception as problem:
            _warn(
                f"{self.tracker.name}() ran, but its record {self.path} could not be completed: "
                f"{_describe_briefly(problem)}"
            )
        # Not in a `finally`: what a signal's handler raises meanwhile has this done once more.
        _claims.pop(self.uuid, None)
        _runs.pop(self.uuid, None)
        if not _runs:
            _seed_on_import.forget()
        if self.guarded:
            _signals.uninstall()

    def save(self, outcome: Record | None, hash_room: int | None) -> None:
        """Write the record of a run that ends like that; None: that goes on after all."""
        self.follow_directory()
        record = self.completed(outcome, hash_room) if outcome else self.record
        # Only now, as hashing may have taken long.
        self.make_way(self.look())
        # The last record is worth an fsync: nobody writes it again.
        self.file.write(record, durable=outcome is not None)
        if not self.has_ended:
            # It will be written again.
            self.signature = sign_file(self.path)

    def follow_directory(self) -> None:
        """Look for the record beside where its directory was: results are published by renaming."""
        if os.path.isdir(self.directory):
            return
        above, name = os.path.dirname(self.directory), os.path.basename(self.path)
        for entry in _scan_folder(above):
            path = os.path.join(above, entry.name, name)
            if self.signature and sign_file(path) == self.signature:
                self.directory, self.path = os.path.dirname(path), path
                self.file.path, self.file.folder = path, self.directory
                return

    def look(self) -> tuple[int, ...] | None:
        """The signature of what is at the record's path, which only chained runs share."""
        return None if self.options.chain_records else sign_file(self.path)

    def make_way(self, signature: tuple[int, ...] | None) -> None:
        """Leave what others have written to the record's path since the run began; take another."""
        if signature is None or signature == self.signature:
            return
        taken, name = self.path, f"{self.tracker.name}()"
        # File times may lag. At its start that doesn't count: a call may just have ended.
        since = self.start - (FILE_TIME_LAG if self.signature else 0)
        # utime sets but one of them. And where the clock is wrong, an earlier run may seem later.
        is_new = min(signature[:2]) >= since * 1e9
        if is_new and read_uuid(taken) not in ("", self.uuid, self.file.earlier[0]):
            what = f"another run has written {taken}; the record of {name} is"
        elif self.signature and holds_something_else(taken):
            what = f"{name} has written {taken} itself; its record is"
        else:
            return
        for self.path in _number(taken):
            self.file = _RecordFile(self.path, self.base, chain=False)
            _claims[self.uuid] = self.path, False
            if self.file.create(self.record):
                break
        _warn(f"{what} {self.path}")

    def forget(self) -> None:
        """Let go of what is large: a task or context that the run left may hold it for long."""
        self.given, self.described, self.record, self.tree = {}, {}, {}, ({}, True)
        self.args, self.kwargs = (), {}
        self.bound.arguments.clear()

    def note_end(self, error: BaseException | None) -> None:
        """Note how the run ended."""
        closed = isinstance(error, GeneratorExit) and self.outcome["status"] != "completed"
        if error is not None and not closed:
            self.outcome = _signals.find_outcome(error) or describe_outcome(error)
        self.has_ended = True

    def note_signal(self, outcome: Record | None) -> None:
        """The process is about to end; there may be little time left, so nothing is hashed.

        None: it goes on after all.
        """
        try:
            # A signal that comes while the record is completed doesn't change how the run ended.
            self.save(self.outcome if self.has_ended else outcome, hash_room=0)
        except Exception as problem:
            _say(f"{self.path}: {_describe_briefly(problem)}")

    def active(self) -> _Active:
        """A context in which tracked functions that are called are this run's children."""
        return _Active(self)

    def returned(self, result: Any) -> Any:
        """Note what the function returned, and pass it on."""
        self.outcome.update(describe_result(result))
        return result

    def thrown(self, error: BaseException) -> None:
        """Note that its consumer closed the generator, if that is what was thrown into it."""
        if isinstance(error, GeneratorExit) and self.uuid in _runs:
            self.outcome = describe_outcome(GeneratorExit("closed before it was exhausted"))

    def fail(self, kind: type[Exception], problem: str) -> Exception:
        """An error of that kind whose message begins with the function."""
        return kind(f"{self.tracker.name}(): {problem}")

    def read_seed(self) -> int:
        """The seed the caller gave, or a new one, which the function then receives."""
        name = self.options.seed_parameter
        value = None if name is None else self.bound.arguments[name]
        if value is None:
            nested = self.parent is not None
            seed: int = self.plan["seed"] if self.plan else draw_seed(nested)
            if name is not None:
                self.bound.arguments[name] = seed
            return seed
        try:
            return check_seed(value)
        except (TypeError, ValueError) as error:
            raise self.fail(type(error), f"parameter {name!r} holds the seed: {error}") from None

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

    def create_directory(self) -> None:
        """Work out the directory, create and check it, and let the function know its name."""
        options = self.options
        if options.directory_parameter is None:
            # Resolved at the call: it may be relative, and the function may change directory later.
            base = _absolute(os.fspath(options.literal_directory))
        else:
            base = _absolute(self.read_path(options.directory_parameter))
        base = relocate(base, self.plan) if self.plan else base
        self.base = base if options.subdirectory_name_parameter else ""
        if self.plan:
            # A rerun has its directory told, suffix and all.
            self.directory = relocate(self.plan["directory"], self.plan)
        else:
            self.directory = self.create_target(base)
        self.create(self.directory)
        if options.require_empty_directory and os.listdir(self.directory):
            problem = f"the directory {self.directory} is not empty (require_empty_directory)"
            raise self.fail(FileExistsError, problem)
        name = options.record_filename or f"{self.tracker.function.__name__}_record"
        self.path = self.claim_path(_with_json(name))
        self.inject_directory(base)

    def claim_path(self, name: str) -> str:
        """Where the record goes: not over that of another run in progress; chained ones share."""
        path, chained = os.path.join(self.directory, name), self.options.chain_records
        numbered = _number(path)
        while True:
            # Who comes first has it: dicts keep the order, whichever threads write to them.
            _claims.pop(self.uuid, None)
            _claims[self.uuid] = path, chained
            for uuid, (taken, is_chain) in [*_claims.items()]:
                if uuid == self.uuid:
                    return path
                if taken == path and not (is_chain and chained):
                    break
            path = next(numbered)

    def create_target(self, target: str) -> str:
        """Add subdirectory and suffix to the directory, and create what must be there first."""
        options = self.options
        if options.subdirectory_name_parameter is not None:
            self.create(target)
            target = os.path.join(target, self.read_subdirectory())
        if options.include_uuid:
            target += f"_{self.uuid}"
        return self.create_stamped(target) if options.include_timestamp else target

    def create_stamped(self, target: str) -> str:
        """Create the directory named after the start time; no two runs get the same one."""
        stem = target + time.strftime(f"_{TIMESTAMP_FORMAT}", time.localtime(self.start))
        # mkdir decides who gets a name: of any number of processes just one.
        name, count = stem, 1
        while not self.create(name):
            count += 1
            name = f"{stem}_{count}"
        return name

    def create(self, directory: str) -> bool:
        """Create a directory, tell whether it is new, and say what to do where it can't be."""
        try:
            parents = self.options.create_parents or self.plan is not None
            created = create_directories(directory, parents, self.base)
        except OSError as error:
            orphan = isinstance(error, FileNotFoundError) and not parents
            advice = "; create_parents=True creates parents" if orphan else ""
            problem = f"cannot create the directory {directory}: {error.strerror}"
            raise OSError(error.errno, f"{self.tracker.name}(): {problem}{advice}") from None
        self.created += created
        return directory in created

    def inject_directory(self, base: str) -> None:
        """Give the final directory to the parameter that carries it to the function."""
        options, arguments = self.options, self.bound.arguments
        if not (options.directory_injection_parameter or options.suffix_option):
            return
        import pathlib

        if options.directory_injection_parameter is not None:
            arguments[options.directory_injection_parameter] = pathlib.Path(self.directory)
        else:
            below = options.subdirectory_name_parameter is not None
            text = os.path.relpath(self.directory, base) if below else self.directory
            given = arguments[options.carrier]
            kind = type(given) if isinstance(given, pathlib.PurePath) else pathlib.Path
            arguments[options.carrier] = text if isinstance(given, str) else kind(text)

    def make_record(self) -> Record:
        """The record as it is before the function runs."""
        self.evidence = self.tracker.read_evidence()
        function = self.tracker.function
        final = {**self.described, **describe_arguments(self.find_altered())}
        kinds = {path: kind for _, found in final.values() for path, kind in found.items()}
        called = {
            "name": function.__name__,
            "qualname": self.tracker.name,
            "module": function.__module__,
            "source_file": self.tracker.source_file,
            "parameters": {name: value for name, (value, _) in self.described.items()},
            "altered_parameters": {name: value for name, (value, _) in final.items()},
            "parameter_types": kinds or None,
            "run_as": self.options.run_as,
            "directory": self.directory,
            "directory_parameter": self.options.directory_parameter,
        }
        record = {
            "pycrumbs": __version__,
            "uuid": self.uuid,
            "parent": self.parent and self.parent.uuid,
            "rerun_of": self.plan and self.plan["uuid"],
            "status": "running",
            "timing": {"start_time": format_time(self.start)},
            "environment": self.read_environment(),
            "package_inventory": self.evidence.packages,
            "package_origins": self.evidence.origins,
            "called_function": _Fixed(called),
            "tracked_module": self.evidence.tracked_module,
            "extra_tracked_modules": self.evidence.extra_modules,
            "seed": self.seed,
            **self.find_inputs(),
        }
        return _without_none(record)

    def find_inputs(self) -> Record:
        """The input files that the arguments name, hashed before the function may change them."""
        declared = self.options.input_parameters or ()
        inputs, omitted = find_inputs(self.bound.arguments, declared)
        self.hash_room = hash_files(inputs, self.hash_room)
        return {"inputs": inputs or None, "inputs_omitted": omitted}

    def read_environment(self) -> Record:
        """The environment; while nothing in it changes, the one of the call before."""
        names = self.options.extra_environment_variables or ()
        # nvidia-smi may have answered since the first call.
        gpus, evidence = self.evidence.gpus.read(), self.evidence
        state = [*read_process_state(), gpus]
        if state != evidence.state:
            info, variables = get_process_info(), read_variables(names)
            evidence.environment = _Fixed(info, gpus=gpus, environment_variables=variables)
            evidence.state = state
        return evidence.environment

    def save_first(self) -> None:
        """Write the record of a run that begins; an error here stops it."""
        self.file = _RecordFile(self.path, self.base, self.options.chain_records)
        # Before the first write, as that leaves a temporary file, too, if it is killed.
        self.file.sweep()
        found = self.look()
        # What this process has written itself needs no second look; its size is enough to tell.
        if found and found[2] != self.file.earlier[1] and holds_something_else(self.path):
            problem = f"{self.path} is there and holds no record: move it, or name another file"
            raise self.fail(FileExistsError, f"{problem} in record_filename")
        try:
            self.make_way(found)
            self.file.write(self.record, durable=False)
            self.signature = sign_file(self.path)
        except OSError as error:
            problem = f"cannot write the record {self.path}: {error.strerror or error}"
            raise OSError(error.errno, f"{self.tracker.name}(): {problem}") from None

    def completed(self, outcome: Record, hash_room: int | None) -> Record:
        """The record with what is known once the function has ended."""
        end, elapsed = time.time(), max(0.0, time.perf_counter() - self.clock)
        timing = {"end_time": format_time(end), "run_time": format_span(elapsed)}
        record = {**self.record, "timing": {**self.record["timing"], **timing}, **outcome}
        # What came too late for the first record goes into the last.
        gpus = self.evidence.gpus.read()
        if gpus != record["environment"].get("gpus"):
            record["environment"] = _Fixed(record["environment"], gpus=gpus)
        # A record without its files still says most of what it is for.
        files = _attempt(self.find_files, hash_room)
        record.update({"outputs_omitted": files} if isinstance(files, str) else files)
        record["resources"] = read_resources(since=self.cpu_seconds)
        if self.capture:
            # Its inputs are known only now; their place is before what came of the run.
            keys = dict.fromkeys([*self.record, *_INPUT_KEYS, *record])
            record = {key: record[key] for key in keys if key in record}
        return record

    def find_files(self, hash_room: int | None) -> Record:
        """The files that the run opened, where that was asked for, and those that it made."""
        # In the record's own tree files are found by looking, however they were written.
        outputs, unseen = find_outputs(self.directory, self.tree, self.start, self.fresh)
        found: Record = {}
        if self.capture:
            inputs, missing = list(self.record.get("inputs", [])), self.capture.overflow
            # What the run made and then read is an output, and no input.
            real = os.path.realpath(self.directory)
            made = {os.path.join(top, e["path"]) for e in outputs for top in (self.directory, real)}
            unchanged = self.capture.find_inputs(inputs, made, self.start)
            outputs += self.capture.find_outputs(self.directory)
            inputs, cut = limit_files(inputs)
            hash_room = hash_files([e for e in inputs if e["path"] in unchanged], hash_room)
            omitted = _join(self.record.get("inputs_omitted"), missing, cut)
            found.update(inputs=inputs or None, inputs_omitted=omitted, capture=CAPTURE_COVERAGE)
            unseen = _join(unseen, missing)
        outputs, cut = limit_files(outputs)
        hash_files(outputs, hash_room, self.directory)
        is_whole = all(entry["sha256"] for entry in outputs)
        unhashed = None if is_whole or not _signals.hurry() else "hashes, as a signal came"
        found.update(outputs=outputs, outputs_omitted=_join(cut, unseen, unhashed))
        return _without_none(found)


_INPUT_KEYS = ("inputs", "inputs_omitted", "capture")


class _Active:
    """A context in which one run is the one that new runs are nested in."""

    def __init__(self, run: _Run) -> None:
        self.run = run

    def __enter__(self) -> None:
        self.token = _active_run.set(self.run)

    def __exit__(self, *error: object) -> None:
        try:
            _active_run.reset(self.token)
        except ValueError:
            # A coroutine that is closed in another context than it ran in.
            if _active_run.get() is self.run:
                _active_run.set(None)


_runs: dict[str, _Run] = {}  # in progress, by uuid
# Their records' paths, and whether those are chained. A forked child keeps its parent's.
_claims: dict[str, tuple[str, bool]] = {}


_exit_hook: list[object] = []  # registered by the first run


def _end_with_program() -> None:
    """End the runs that the program's end cuts off: suspended generators, and daemon threads'.

    Later, when Python closes the generators, nothing can be imported any more.
    """
    for run in reversed(list(_runs.values())):
        error = {"type": "Exit", "message": "the program ended before it did", "traceback": []}
        run.outcome = {"status": "interrupted", "error": error}
        # A daemon thread may be about to call the function: its arguments are left alone.
        run.complete(None)
    # Through it a suspended coroutine's run would outlive the streams that its `finally` prints on.
    _active_run.set(None)


class _Signals:
    """Has the signals that end a process complete the records of its runs first.

    What the signals do is otherwise what it was: the handler calls the one before, or gives the
    signal its default effect, so that the process ends with the status it would have had. As a
    context it holds signals back, so that a record is written to its end. Some handlers are
    replaced within that context only: Python's own of SIGINT, and asyncio's, which end a run by
    themselves, and those of timeouts, which may raise anything. All this happens in the main
    thread, the only one that Python runs handlers in.
    """

    def __init__(self) -> None:
        # The handlers before ours: those that go back when the context ends,
        self.held: dict[int, Any] = {}
        # and those that go back when the last run ends.
        self.kept: dict[int, Any] = {}
        self.runs = 0
        self.depth = 0
        self.pending: list[tuple[int, types.FrameType | None]] = []
        self.raised: tuple[BaseException | None, Record] = (None, {})
        # The signal masks of threads that are forking; None while forks aren't watched.
        self.masks: dict[int, Any] | None = None

    def __enter__(self) -> None:
        if _in_main_thread():
            self.depth += 1
            try:
                self.take()
            except BaseException:
                # Ctrl-C came before SIGINT was taken over.
                self.__exit__()
                raise

    def __exit__(self, *error: object) -> None:
        if _in_main_thread():
            self.depth -= 1
            try:
                self.deliver()
            finally:
                self.give_back()

    def take(self) -> None:
        """Take over the signals that would end the process, and those with a handler in Python."""
        # Ignored; set by C code, which can't be called from here; ours already.
        harmless = [_signal.SIG_IGN, None, self.handle]
        if os.getpid() == 1:
            # Process 1 of a container: the kernel doesn't end it by a signal without a handler.
            harmless.append(_signal.SIG_DFL)
        for number in (*_ENDING, *_HANDLED_LATER):
            before = _signal.getsignal(number)
            if before not in harmless and (number in _ENDING or callable(before)):
                # Noted first, as it is asked for from the moment that ours is in place.
                self.held[number] = before
                try:
                    _signal.signal(number, self.handle)
                except ValueError:
                    # In a subinterpreter, which gets no signals, this is an object of the main
                    # one's.
                    del self.held[number]
                    return

    def give_back(self) -> None:
        """Give the signals back that nobody else has taken meanwhile."""
        if self.held and not self.depth:
            for number, before in list(self.held.items()):
                if _signal.getsignal(number) == self.handle:
                    _signal.signal(number, before)
                self.held.pop(number, None)

    def install(self) -> bool:
        """Within the context: keep the signals until the run ends; tell whether that is needed."""
        self.watch_forks()
        if not _in_main_thread():
            return False
        self.runs += 1
        if self.runs == 1:
            for number, before in [*self.held.items()]:
                if not _is_left(number, before):
                    self.kept[number] = self.held.pop(number)
        return True

    def watch_forks(self) -> None:
        """From now on give forked children the state and handlers that they would have without us.

        Ours would hear a signal only when C code returns, and never one that comes before Python
        has seen to the fork, as CPython then forgets what is pending: so that waits for its turn.
        """
        if self.masks is None and hasattr(os, "register_at_fork"):
            self.masks = {}
            os.register_at_fork(
                before=self.before_fork,
                after_in_parent=self.after_fork,
                after_in_child=self.after_fork_in_child,
            )

    def before_fork(self) -> None:
        """Hold the signals back."""
        if self.masks is not None and (self.runs or self.depth):
            numbers = {*self.held, *self.kept}
            mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, numbers)
            self.masks[_thread.get_ident()] = mask

    def after_fork(self) -> None:
        """Let them through again, in the parent or the child."""
        mask = (self.masks or {}).pop(_thread.get_ident(), None)
        if mask is not None:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)

    def after_fork_in_child(self) -> None:
        """The parent's runs are its own affair: here it is as if the last one had ended."""
        _runs.clear()
        # Else all workers would draw the same numbers from what they import first.
        _seed_on_import.forget()
        self.pending, self.runs, self.depth = [], 1, 0
        self.uninstall()
        self.give_back()
        self.after_fork()

    def uninstall(self) -> None:
        """A run has ended: with the last one all signals go back."""
        self.runs -= 1
        if not self.runs:
            self.held = {**self.kept, **self.held}
            self.raised = (None, {})

    def handle(self, number: int, frame: types.FrameType | None) -> None:
        if number not in [waiting for waiting, _ in self.pending]:
            # As with Python's own: of one kind only one waits.
            self.pending.append((number, frame))
        try:
            self.deliver()
        finally:
            # This may have come, and raised, while they were being given back.
            self.give_back()

    def deliver(self) -> None:
        """Complete the records, and pass on what came, unless it is held back."""
        while self.pending and not self.depth:
            try:
                number, frame = self.pending.pop(0)
            except IndexError:
                # Another signal came in between, and has seen to it.
                return
            try:
                self.pass_on(number, frame)
            finally:
                self.deliver()

    def hurry(self) -> bool:
        """Whether a signal is held back that is to end the process, so that time is short."""
        return any(number in _ENDING for number, _ in self.pending)

    def pass_on(self, number: int, frame: types.FrameType | None) -> None:
        """Do what a signal would have done without us, the records first."""
        before = self.held.get(number, self.kept.get(number))
        if before is None:
            # It was given back just now, as another came.
            before = _signal.getsignal(number)
        if _is_left(number, before):
            before(number, frame)
            return
        now = _signal.getsignal(number)
        if not callable(before) and callable(now) and not self.is_reached(number, now):
            # The program's own handler calls the one before it, which without us there wasn't.
            return
        outcome = describe_signal(number, frame)
        self.complete_records(outcome)
        if not callable(before):
            # The process has to end as it would have, also by its exit status: so by the signal.
            _signal.signal(number, _signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        try:
            before(number, frame)
        except BaseException as error:
            self.raised = (error, outcome)
            raise
        # The program goes on.
        self.complete_records(None)

    def is_reached(self, number: int, handler: Any) -> bool:
        """Whether a handler is ours, or another copy's of this file that calls ours at once."""
        while handler != self.handle and getattr(handler, "__qualname__", "") == _HANDLER_NAME:
            other = handler.__self__
            handler = other.held.get(number, other.kept.get(number))
        return bool(handler == self.handle)

    def complete_records(self, outcome: Record | None) -> None:
        """Have the records of this process's runs say how they end; None: that they go on."""
        self.depth += 1
        try:
            for run in list(_runs.values()):
                # A child that C code has forked has its parent's runs, too.
                if run.pid == os.getpid():
                    run.note_signal(outcome)
        finally:
            self.depth -= 1

    def find_outcome(self, error: BaseException) -> Record | None:
        """How a run ends that this exception leaves, if a signal's handler has raised it."""
        raised, outcome = self.raised
        return outcome if raised is error else None


_ENDING, _HANDLED_LATER = (
    [getattr(_signal, name) for name in names.split() if hasattr(_signal, name)]
    # The second are what programs use for timeouts and preemption: what their handlers raise is
    # for the function, and not for the record that is being written.
    for names in ("SIGINT SIGTERM SIGHUP", "SIGALRM SIGVTALRM SIGPROF SIGUSR1 SIGUSR2")
)
_HANDLER_NAME = _Signals.handle.__qualname__
_signals = _Signals()


def _is_left(number: int, handler: Any) -> bool:
    """Whether a handler stays in place while a run goes on, as what it raises ends the run anyway.

    asyncio's of SIGINT lasts as long as its event loop, and is put back by whoever put it there.
    """
    function = getattr(handler, "func", handler)
    is_asyncio = getattr(function, "__module__", None) == "asyncio.runners"
    return number in _HANDLED_LATER or is_asyncio or handler is _signal.default_int_handler


def _in_main_thread() -> bool:
    """Whether this is the thread that Python runs signal handlers in."""
    import threading

    return _thread.get_ident() == threading.main_thread().ident


def draw_uuid() -> str:
    """A random UUID (RFC 9562, version 4), drawn from the OS; importing `uuid` would take 2 ms."""
    text = os.urandom(16).hex()
    variant = "89ab"[int(text[16], 16) % 4]
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"


def _without_none(mapping: Mapping[str, Any]) -> Record:
    """A mapping without the keys that have no value."""
    return {key: value for key, value in mapping.items() if value is not None}


def _warn(message: str) -> None:
    """Warn once, at the caller's line; where that can't be, print: recording must not raise."""
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and _is_own(frame.f_code.co_filename):
        frame, level = frame.f_back, level + 1
    try:
        import warnings

        warnings.warn(f"pycrumbs: {message}", RuntimeWarning, stacklevel=level)
    except Exception:
        # The user has warnings raise, or has closed stderr.
        _say(message)


def _is_own(file: str) -> bool:
    """Whether code is from this file, which in a frozen program is called otherwise, or nothing."""
    return file == _is_own.__code__.co_filename


def _say(message: str) -> None:
    """Print on stderr, if that can be: whoever started the program may have closed it."""
    try:
        if sys.stderr is not None:
            print(f"pycrumbs: {message}", file=sys.stderr)
    except Exception:
        return


def format_time(seconds: float) -> str:
    """Seconds since the epoch as local time with its UTC offset; in UTC where that is no zone's."""
    import datetime

    utc = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    try:
        return utc.astimezone().isoformat(" ", "microseconds")
    except ValueError:
        # TZ can say anything, also a zone that is more than a day away.
        return utc.isoformat(" ", "microseconds")


def read_cpu_seconds() -> float:
    """Processor time of this process and its ended children so far, in seconds."""
    return sum(os.times()[:4])


def read_resources(since: float) -> Record:
    """What a run used: processor seconds, and the process's peak memory so far."""
    used: Record = {"cpu_seconds": round(read_cpu_seconds() - since, 3)}
    return _without_none({**used, "max_rss_bytes": _attempt(_read_peak_memory)})


def _read_peak_memory() -> int | None:
    """The peak of this process's resident memory, in bytes.

    On Linux that is proc(5)'s VmHWM: getrusage(2) there also counts what the process was before it
    started the interpreter.
    """
    if sys.platform == "win32":
        return None
    import resource

    usage = resource.getrusage(resource.RUSAGE_SELF)
    if sys.platform != "linux":
        return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    # Without a page fault no memory is added; reading the file would take a tenth of a call's time.
    state = os.getpid(), usage.ru_minflt + usage.ru_majflt
    known, peak = _remembered.get("peak", (None, 0))
    if state != known:
        status = _read_bytes("/proc/self/status").partition(b"VmHWM:")[2]
        peak = int(status.split()[0]) * 1024
        _remembered["peak"] = state, peak
    return int(peak)


def format_span(seconds: float) -> str:
    """Seconds as hours, minutes and seconds: '0:00:50.005000'."""
    import datetime

    return str(datetime.timedelta(seconds=seconds))


# ------------------------------------------------------------------------------
# Evidence: the machine
# ------------------------------------------------------------------------------
# A probe that fails yields "unavailable: <reason>"; what doesn't apply here is
# None and left out. Processes are started by `_Process` alone.


class _Evidence:
    """What a tracked function's first call reads; its processes run side by side."""

    def __init__(self, tracker: _Tracker) -> None:
        # nvidia-smi first, as it takes longest.
        self.gpus = _GpuProbe()
        self.packages: Record | str | None = None
        self.origins: Record | str | None = None
        self.tracked_module: Record | None = None
        # What was loaded, and how many modules in all, when the code was looked at.
        self.sources: set[str] = set()
        self.module_count = 0
        self.environment: Record = {}
        # The process's state when the environment was read.
        self.state: list[Any] = []
        try:
            self.read(tracker)
        except BaseException:
            _attempt(self.gpus.stop)
            raise
        self.gpus.wait()

    def read(self, tracker: _Tracker) -> None:
        """Read code and, the first time, packages; what fails here stops the run."""
        probes: list[_GitProbe] = []
        try:
            self.gather(tracker, probes)
        except BaseException:
            for probe in probes:
                _attempt(probe.abandon)
            raise

    def gather(self, tracker: _Tracker, probes: list[_GitProbe]) -> None:
        """Do that; the probes that are started join the list given."""
        options = tracker.options
        # Each starts its git at once; they are asked in turn.
        probes.extend(_probe_module(module) for module in options.extra_modules or ())
        if not options.disable_git_tracking:
            probes.append(_GitProbe(tracker.function.__module__, tracker.source_file))
        # Its slow parts are read while git works.
        get_process_info()
        for probe in probes:
            probe.advance()
        if options.include_package_inventory and self.packages is None:
            # A finder of somebody else's may break; then the inventory says why.
            found = _attempt(read_packages)
            packages, origins = (found, {}) if isinstance(found, str) else found
            self.packages = found if packages is found else _Fixed(packages)
            self.origins = _attempt(read_origins, origins, probes)
        states = [_Fixed(probe.describe(options.allow_dirty_repo)) for probe in probes]
        if not options.disable_git_tracking:
            edited = tracker.is_source_edited() or None
            self.tracked_module = _Fixed(states.pop(), source_edited_after_import=edited)
            self.sources = set(probes[-1].loaded)
        self.extra_modules = {state["name"]: state for state in states} or None

    def note_late_sources(self) -> bool:
        """Add the new sources to the patch that have been loaded since; tell whether there are any.

        Most modules that a function imports are not of its repository, or committed.
        """
        count, self.module_count = self.module_count, len(sys.modules)
        if self.tracked_module is None or count == self.module_count:
            return False
        top = self.tracked_module.get("git_working_dir")
        sources = set(loaded_sources(top, "")) - self.sources if top else set()
        if sources:
            self.sources |= sources
            self.tracked_module = add_late_sources(self.tracked_module, sources)
        return bool(sources)


class _Unavailable(Exception):
    """A probe got no answer; the message says why."""


class _Process:
    """A child process that is started now and asked for its output later."""

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
            raise _Unavailable(f"{self.name} could not be started: {reason}") from None

    def read(self, timeout: float) -> tuple[int, bytes, str] | None:
        """Exit status, output and error text; None if it hasn't ended within `timeout` s."""
        import subprocess

        try:
            # Without any time communicate() wouldn't even look at what is there.
            out, err = self.popen.communicate(timeout=max(timeout, 0.02))
        except subprocess.TimeoutExpired:
            return None
        return self.popen.returncode, out, err.decode("utf-8", "replace").strip()

    def read_up_to(self, limit: int, timeout: float) -> bytes:
        """Its output; `_Unavailable` where that is over `limit` bytes, late, or ends in error."""
        deadline = time.monotonic() + timeout
        parts = [b"", b""] if sys.platform == "win32" else self.read_parts(limit, deadline)
        ended = self.read(deadline - time.monotonic()) if len(parts[0]) <= limit else None
        if ended is None:
            reason = self.abandon()
            too_much = len(parts[0]) > limit
            raise _Unavailable(f"more than {format_size(limit)}" if too_much else reason)
        code, out, err = ended[0], parts[0] + ended[1], parts[1].decode("utf-8", "replace")
        if code not in (0, 1):
            reason = " ".join((err + ended[2]).split())
            raise _Unavailable(reason or f"{self.name} ended with status {code}")
        return out

    def read_parts(self, limit: int, deadline: float) -> list[bytes]:
        """What it writes on stdout, up to `limit` and a bit more, and on stderr, until then."""
        import selectors

        parts: dict[Any, bytes] = {self.popen.stdout: b"", self.popen.stderr: b""}
        with selectors.DefaultSelector() as selector:
            for pipe in parts:
                selector.register(pipe, selectors.EVENT_READ)
            while selector.get_map() and len(parts[self.popen.stdout]) <= limit:
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready:
                    break
                for key, _ in ready:
                    data = os.read(key.fd, 2**16)
                    parts[key.fileobj] += data
                    if not data:
                        selector.unregister(key.fileobj)
        return list(parts.values())

    def abandon(self) -> str:
        """Kill it and its children without waiting for what can't be killed; say how it ended."""
        import signal

        try:
            if self.popen.returncode is None and hasattr(os, "killpg"):
                # The whole group, which start_new_session made: a child of its own may hold the
                # pipes.
                os.killpg(self.popen.pid, signal.SIGKILL)
            else:
                self.popen.kill()
        except OSError:
            pass
        if self.read(0.05) is None:
            # Nothing can kill it, or a grandchild has the pipes.
            self.popen.poll()
            for pipe in filter(None, (self.popen.stdout, self.popen.stderr)):
                pipe.close()
        return f"{self.name} did not answer within {time.monotonic() - self.started:.1f} s"


def get_environment_info() -> Record:
    """Describe the machine and this process.

    Returns
    -------
    dict
        argv, orig_argv, platform, platform_info, python_version, python_implementation,
        python_executable, cwd, hostname, python_path, cpu_count, user,
        git_hash_at_docker_build (in images that carry it), process and, where there are GPUs,
        gpus. What could not be read says "unavailable: <reason>".
    """
    probe = _GpuProbe()
    info = get_process_info()
    probe.wait()
    probe.stop()
    return _without_none({**info, "gpus": probe.read()})


def get_process_info() -> Record:
    """The part of the environment that costs nothing to read again."""
    info = {key: _attempt(read) for key, read in _PROCESS_FACTS.items()}
    return _without_none(info)


def read_process_state() -> list[Any]:
    """All in the environment that can change while a process runs, as it is: quick to read."""
    # CPython's own dictionary of bytes: decoding it would take ten times as long.
    variables = getattr(os.environ, "_data", os.environ)
    lists = [list(getattr(sys, name, ())) for name in ("argv", "path")]
    return [os.getpid(), _attempt(os.getcwd), dict(variables), *lists]


def _attempt(read: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """What `read` returns, or why it could not."""
    try:
        return read(*arguments, **named)
    except Exception as error:
        return f"unavailable: {_describe_briefly(error)}"


_remembered: Record = {}  # facts that are slow to read and the same for the whole process


def _remember(read: Callable[[], Any]) -> Callable[[], Any]:
    """Let a reader of unchanging facts work once."""

    def reader() -> Any:
        key = read.__name__
        if key not in _remembered:
            _remembered[key] = read()
        return _remembered[key]

    return reader


def _read_orig_argv() -> list[str] | None:
    """The interpreter's whole command line; before Python 3.10 from /proc, where there is one."""
    if hasattr(sys, "orig_argv"):
        return redact_argv(sys.orig_argv)
    if not os.path.exists("/proc/self/cmdline"):
        return None
    return redact_argv(os.fsdecode(_read_bytes("/proc/self/cmdline")).split("\0")[:-1])


@_remember
def _read_platform_info() -> str:
    import platform

    return platform.platform()


@_remember
def _read_hostname() -> str:
    import platform

    return platform.node()


@_remember
def _read_cpu_count() -> int | str:
    return os.cpu_count() or "unavailable: Python can't tell"


@_remember
def _read_user() -> str:
    import getpass

    return getpass.getuser()


@_remember
def _read_docker_build_hash() -> str | None:
    """The commit that images built with the cookiecutter-qtim template note in a file."""
    if not os.path.exists(DOCKER_BUILD_HASH_FILE):
        return None
    return _read_bytes(DOCKER_BUILD_HASH_FILE).decode().split("\n")[0].strip()


def _read_process_identity() -> Record:
    """What tells this process from every other one, also of later boots and other containers.

    `start_time` counts clock ticks since the boot (proc(5), field 22 of /proc/<pid>/stat).
    """
    pid = os.getpid()
    if get(_remembered, "identity", "pid") == pid:
        return dict(_remembered["identity"])
    identity: Record = {"pid": pid}
    try:
        # Only Linux tells, unless /proc is hidden.
        identity["start_time"] = _read_start_time(pid)
        identity["boot_id"] = _read_bytes("/proc/sys/kernel/random/boot_id").decode().strip()
        identity["pid_namespace"] = os.readlink("/proc/self/ns/pid")
    except OSError:
        identity = _without_none(identity)
    _remembered["identity"] = identity
    return dict(identity)


def _read_start_time(pid: object) -> int | None:
    """When a process started, in clock ticks since the boot; None if there is none.

    One that has ended, and nobody has asked how, is there for nobody: -1.
    """
    try:
        # The name in brackets may hold spaces and brackets itself; the last one ends it.
        fields = _read_bytes(f"/proc/{pid}/stat").rpartition(b")")[2].split()
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
    except ProcessLookupError:
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return False


def _absolute(path: str) -> str:
    """An absolute path; a relative one as it is where the working directory is gone."""
    try:
        plain = os.path.abspath(path)
    except FileNotFoundError:
        return path
    # Behind a link `..` leads elsewhere than it seems to.
    is_plain = os.pardir not in path.split(os.sep)
    real = plain if is_plain else os.path.realpath(path)
    return plain if is_plain or os.path.realpath(plain) == real else real


def _read_bytes(path: str, limit: int = -1) -> bytes:
    """The content of a file, or its beginning."""
    with _open(_Unnoted(path), "rb") as file:
        return file.read(limit)


_PROCESS_FACTS: dict[str, Callable[[], Any]] = {
    "argv": lambda: redact_argv(sys.argv),
    "orig_argv": _read_orig_argv,
    "platform": lambda: sys.platform,
    "platform_info": _read_platform_info,
    "python_version": lambda: sys.version,
    "python_implementation": lambda: sys.implementation.name,
    "python_executable": lambda: sys.executable or "unavailable: Python can't tell",
    "cwd": os.getcwd,
    "hostname": _read_hostname,
    "python_path": lambda: [str(entry) for entry in sys.path],
    "cpu_count": _read_cpu_count,
    "user": _read_user,
    "git_hash_at_docker_build": _read_docker_build_hash,
    "process": _read_process_identity,
}

# Recorded even where they aren't set, as null.
_VARIABLES = ("CUDA_VISIBLE_DEVICES", "VIRTUAL_ENV", "PYENV_VIRTUAL_ENV", "PYTHONPATH")
# Recorded where they are set: what chooses interpreters, devices, threads, determinism, ranks.
_VARIABLES_IF_SET = (
    *("CONDA_DEFAULT_ENV", "CONDA_PREFIX", "CONDA_PYTHON_EXE", "PYTHONHOME", "PYTHONHASHSEED"),
    *("PYTHONSAFEPATH", "PYTHONOPTIMIZE", "PYTHONUTF8", "LANG", "LC_ALL", "TZ", "LD_PRELOAD"),
    *("NVIDIA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"),
    *("CUDA_DEVICE_ORDER", "CUDA_LAUNCH_BLOCKING", "NVIDIA_TF32_OVERRIDE", "XLA_FLAGS"),
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"),
    *("VECLIB_MAXIMUM_THREADS", "BLIS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"),
    *("TF_NUM_INTEROP_THREADS", "OMP_PROC_BIND", "KMP_AFFINITY", "MKL_CBWR"),
    *("CUBLAS_WORKSPACE_CONFIG", "TF_DETERMINISTIC_OPS", "TF_CUDNN_DETERMINISTIC"),
    *("TF_ENABLE_ONEDNN_OPTS", "KERAS_BACKEND", "JAX_PLATFORMS", "JAX_ENABLE_X64"),
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT"),
    *("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "PYCRUMBS_JOB_ID"),
    *("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    *("PMIX_NAMESPACE", "PMI_RANK", "PMI_SIZE", "PMI_JOBID"),
    *("container", "APPTAINER_CONTAINER", "SINGULARITY_CONTAINER", "KUBERNETES_SERVICE_HOST"),
)


def read_variables(extra: Iterable[str] = ()) -> dict[str, str | None]:
    """The environment variables that a record keeps; all of SLURM's inside a SLURM job."""
    environ = copy_environment()
    names = [*_VARIABLES, *(name for name in _VARIABLES_IF_SET if name in environ)]
    if "SLURM_JOB_ID" in environ:
        names += sorted(name for name in environ if name.startswith("SLURM"))
    names += extra
    return {name: redact(name, environ.get(name)) for name in names}


def copy_environment() -> dict[str, str]:
    """All environment variables, also while another thread changes them."""
    # `os.environ` looks each up anew; its own dictionary, of bytes, is copied in one step.
    data = dict(getattr(os.environ, "_data", os.environ))
    return {os.fsdecode(name): os.fsdecode(value) for name, value in data.items()}


# What a rerun sets as the first run had it: that which numbers may depend on, and no program's.
_VARIABLES_RESTORED = {
    *("CUDA_VISIBLE_DEVICES", "PYTHONHASHSEED", "PYTHONOPTIMIZE", "PYTHONUTF8"),
    *("LANG", "LC_ALL", "TZ"),
    *("NVIDIA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"),
    *_VARIABLES_IF_SET[
        _VARIABLES_IF_SET.index("CUDA_DEVICE_ORDER") : _VARIABLES_IF_SET.index("RANK")
    ],
}

_GPU_FIELDS = {  # nvidia-smi's name of a field: the record's
    "index": "index",
    "uuid": "uuid",
    "name": "name",
    "driver_version": "driver_version",
    "memory.total": "memory_mib",
    "compute_cap": "compute_capability",
    "mig.mode.current": "mig_mode",
    "pci.bus_id": "pci_bus_id",
}
_GPU_NUMBERS = ("index", "memory_mib")
# What drivers print where a card has no such thing, or they may not tell.
_GPU_BLANKS = ("", "[N/A]", "N/A", "[Not Supported]", "[Insufficient Permissions]")


class _GpuProbe:
    """The GPUs, from an nvidia-smi that may take long, or hang: never waited for without bound.

    `read` says what is known so far: a list of GPUs, "unavailable: <reason>", or None where
    there is no NVIDIA driver at all.
    """

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.fields = list(_GPU_FIELDS)
        self.process: _Process | None = None
        self.answer: list[Record] | str | None = None
        # How often it was asked without an answer, and whether it could be ended then.
        self.attempts, self.is_gone = 1, False
        # Runs in several threads share it; and a forked child must leave its parent's alone.
        self.lock, self.pid = _thread.allocate_lock(), os.getpid()
        program = _find_nvidia_smi()
        if program:
            self.program = program
            self.ask()
        elif os.path.exists("/proc/driver/nvidia"):
            self.answer = "unavailable: there is an NVIDIA driver, but no nvidia-smi on PATH"

    def ask(self) -> None:
        query = f"--query-gpu={','.join(self.fields)}"
        try:
            self.process = _Process([self.program, query, "--format=csv,noheader,nounits"])
        except _Unavailable as error:
            self.process, self.answer = None, f"unavailable: {error}"

    def wait(self) -> None:
        """Wait for an answer until PROBE_WAIT seconds after the start."""
        while self.process and self.look(max(0.0, self.started + PROBE_WAIT - time.monotonic())):
            pass

    def read(self) -> list[Record] | str | None:
        if self.process and self.pid == os.getpid() and self.lock.acquire(blocking=False):
            try:
                while self.process and self.look(0.0):
                    pass
            finally:
                self.lock.release()
        return "unavailable: nvidia-smi has not answered yet" if self.process else self.answer

    def stop(self) -> None:
        """The run is over: what hasn't answered by now is given up."""
        self.read()
        if self.pid != os.getpid():
            return
        with self.lock:
            process, self.process = self.process, None
            if process:
                self.answer = f"unavailable: {process.abandon()}"
                self.is_gone = process.popen.returncode is not None

    def again(self) -> _GpuProbe:
        """The probe for another run: a new one if this one's first run was too short for it."""
        if not self.is_gone or self.attempts >= GPU_ATTEMPTS:
            return self
        probe = _GpuProbe()
        probe.attempts = self.attempts + 1
        return probe

    def look(self, timeout: float) -> bool:
        """Take an answer if there is one; True if that led to another, smaller question."""
        assert self.process is not None
        ended = self.process.read(timeout)
        if ended is None:
            return False
        code, out, err = ended
        text = out.decode("utf-8", "replace")
        unknown = [f for f in self.fields if f'Field "{f}" is not a valid field' in text + err]
        if unknown:
            # One unknown field rejects the whole query: ask again without.
            self.fields = [field for field in self.fields if field not in unknown]
            self.ask()
            return True
        self.process, gpus = None, parse_gpus(text, self.fields)
        if code == 0 and (gpus or "No devices" in text or not text.strip()):
            self.answer = gpus
        else:
            reason = (text.strip() or err or "no output").splitlines()[0]
            self.answer = f"unavailable: nvidia-smi exited with status {code}: {reason}"
        return False


def _find_nvidia_smi() -> str | None:
    """The program's path; looking for it in `shutil`'s way would take 3 ms to import."""
    name = "nvidia-smi.exe" if sys.platform == "win32" else "nvidia-smi"
    # WSL doesn't always have it on PATH.
    folders = [*os.get_exec_path(), "/usr/lib/wsl/lib"]
    paths = (os.path.join(folder, name) for folder in folders)
    return next((path for path in paths if os.access(path, os.X_OK) and os.path.isfile(path)), None)


def parse_gpus(text: str, fields: Sequence[str]) -> list[Record]:
    """Parse the CSV that nvidia-smi prints for a query of these fields."""
    gpus = []
    for line in text.splitlines():
        values = [value.strip() for value in line.split(",")]
        if len(values) != len(fields):
            # "No devices were found", or a warning among the rows.
            continue
        pairs = zip((_GPU_FIELDS[field] for field in fields), values)
        gpus.append(
            {
                key: int(value) if key in _GPU_NUMBERS and value.isdigit() else value
                for key, value in pairs
                if value not in _GPU_BLANKS
            }
        )
    return gpus


# ------------------------------------------------------------------------------
# Evidence: the code
# ------------------------------------------------------------------------------
# git only reads: hardened against what the environment and a repository's own
# settings could make it do, taking no locks, writing no index.

# Whatever else begins with GIT_ could point to another repository or change the output.
_GIT_KEPT_VARIABLES = (
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_EXEC_PATH",
    "GIT_CEILING_DIRECTORIES",
    "GIT_DISCOVERY_ACROSS_FILESYSTEM",
)
_GIT_VARIABLES = {
    # Its messages are recognized by their text, and a terminal that nobody looks at isn't asked.
    "LC_ALL": "C",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
}
# Both name programs that git would run while it only looks.
_GIT_SETTINGS = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")


def _start_git(folder: str, *arguments: str, since: float | None = None) -> _Process:
    """Start a hardened git in a folder; `since` is when the wait for it and others began."""
    env = {
        name: value
        for name, value in copy_environment().items()
        if not name.startswith("GIT_") or name in _GIT_KEPT_VARIABLES
    }
    env.update(_GIT_VARIABLES)
    # A partial clone would fetch what it lacks, through a program of the repository's choice.
    env["GIT_ALLOW_PROTOCOL"] = "file" if arguments[:1] == ("clone",) else ""
    process = _Process(["git", *_GIT_SETTINGS, "-C", folder, *arguments], env)
    process.started = since or process.started
    return process


_GIT_ADVICE = (
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
# All that settings and attributes could change in a patch is said here. git would refresh the
# index's stat cache in spite of GIT_OPTIONAL_LOCKS, and warn about every CRLF.
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


class _GitSilent(Exception):
    """git didn't answer, or was killed: no reason to stop a run that doesn't insist on it."""


class _GitProbe:
    """The state of the repository that holds a source file or folder.

    git starts on it at once; `advance` has it go on to what depends on the first answers, and
    `read` waits for the rest.
    """

    def __init__(self, name: str, path: str | None, started: float | None = None) -> None:
        self.name, self.path = name, path
        # All that one run asks of git has to be answered GIT_TIMEOUT seconds from then.
        self.started = started or time.monotonic()
        if path is None:
            raise RuntimeError(
                f"cannot record the git state of {name!r}: it isn't defined in a file (but in an "
                f"interactive session, perhaps); {_GIT_ADVICE}"
            )
        self.real_path = os.path.realpath(path)
        self.folder, file = self.real_path, ""
        if not os.path.isdir(path):
            self.folder, file = os.path.split(self.real_path)
        self.processes: dict[str, _Process] = {}
        # Those of the submodules.
        self.inner: dict[str, _GitProbe | str] = {}
        self.top = ""
        # Why git said nothing, if it didn't.
        self.silence = ""
        self.filters: tuple[str, ...] = ()
        # What the patch will lack.
        self.omitted: list[str] = []
        # The output of `git ls-files`,
        self.index = ""
        # the files that differ from the commit,
        self.changed: set[str] = set()
        # and the sources that the process runs.
        self.loaded: list[str] = []
        # A folder is ignored if whatever it could hold is: git can't be asked about "here".
        self.asked = os.path.join(self.folder, file or "pyproject.toml")
        self.start("config", *_CONFIG, _CONFIG_KEYS)
        self.start("top", "rev-parse", "--show-toplevel")

    def start(self, key: str, *arguments: str) -> None:
        try:
            folder = self.top or self.folder
            self.processes[key] = _start_git(folder, *arguments, since=self.started)
        except _Unavailable as error:
            advice = _GIT_INSTALL if "No such file" in str(error) else ""
            raise self.error(str(error), advice) from None

    @property
    def time_left(self) -> float:
        """Seconds that git may still take."""
        return self.started + GIT_TIMEOUT - time.monotonic()

    def answer(self, key: str) -> tuple[int, bytes]:
        """Exit status and output of one git; its failure (status 128 and above) is an error."""
        process = self.processes.pop(key)
        ended = process.read(self.time_left)
        if ended is None:
            raise _GitSilent(process.abandon())
        code, out, err = ended
        if code < 0:
            raise _GitSilent(f"git was killed by signal {-code}")
        if code == 129 and key == "config":
            raise self.error("this git is too old: pycrumbs needs version 2.26 or later")
        # Where SIGCHLD is ignored, every status is 0.
        if code >= 128 or (not out and err.startswith("fatal: ")):
            reason = err.replace("fatal: ", "").replace("\n", " ")
            raise self.error(reason or f"git ended with status {code}")
        return code, out

    def abandon(self) -> None:
        """End whatever git still does for it."""
        for process in self.processes.values():
            process.abandon()
        for probe in [p for p in self.inner.values() if isinstance(p, _GitProbe)]:
            probe.abandon()

    def error(self, problem: str, advice: str = "") -> RuntimeError:
        """The error of a probe that failed; whatever git still does for it ends."""
        self.abandon()
        where = f"cannot record the git state of {self.name!r} ({self.path})"
        return RuntimeError(f"{where}: {problem}; {advice or _GIT_ADVICE}")

    def advance(self) -> None:
        """Start what depends on the repository's place and settings."""
        try:
            if not self.top and not self.silence:
                self.continue_in_repository()
        except _GitSilent as silence:
            self.silence = str(silence)

    def continue_in_repository(self) -> None:
        """Ask for what depends on the repository's top and settings."""
        top = os.fsdecode(self.answer("top")[1])[:-1]
        self.config = parse_config(os.fsdecode(self.answer("config")[1]))
        self.top = top
        self.filters = self.choose_filters()
        self.start("status", *self.filters, *_STATUS)
        self.start("index", *_INDEX)
        self.start("ignored", "check-ignore", "--no-index", self.asked)

    def choose_filters(self) -> tuple[str, ...]:
        """Arguments that have git run the user's filters (git-lfs), but not the repository's."""
        # What the user has set up for all repositories (git-lfs) is trusted; a clone's own isn't.
        users = {key: value for scope, key, value in self.config if scope in ("system", "global")}
        scopes = ("local", "worktree")
        own = {key for scope, key, _ in self.config if scope in scopes and key[:7] == "filter."}
        arguments = []
        for key in sorted(own):
            if "=" in key:
                raise self.error(f"the setting {key} in {self.top} can't be switched off")
            # An empty program is none.
            arguments += ["-c", f"{key}={users.get(key, '')}"]
            if key not in users:
                arguments += ["-c", f"{key.rpartition('.')[0]}.required=false"]
        return tuple(arguments)

    def describe(self, allow_dirty: bool) -> Record:
        """The repository's state; where git is silent, that, unless a clean one is insisted on."""
        try:
            return self.read(allow_dirty)
        except _GitSilent as silence:
            if not allow_dirty:
                raise self.error(str(silence)) from None
            self.abandon()
            state = {"module_path": self.path, "name": self.name}
            return {**state, "git_commit_hash": f"unavailable: {silence}"}

    def read(self, allow_dirty: bool) -> Record:
        """The repository's state, as a record tells it."""
        self.advance()
        if self.silence:
            raise _GitSilent(self.silence)
        self.index = os.fsdecode(self.answer("index")[1])
        hidden, submodules = parse_index(self.index)
        self.check_ignored()
        self.inner = self.start_submodules(submodules)
        untracked = self.find_untracked()
        state, changed = parse_status(os.fsdecode(self.answer("status")[1]))
        commit = state.get("git_commit_hash")
        # git was told to leave submodules alone, as looking would run what their settings name.
        state["git_is_dirty"] |= self.read_submodules()
        if not allow_dirty:
            self.check_clean(commit, state["git_is_dirty"])
        state = {"module_path": self.path, "name": self.name, **state}
        state.update(git_remotes=self.find_remotes(), git_working_dir=self.top)
        paths = self.check_changed(changed)
        # Of these the index may say what isn't so, or that they are deleted while they were run.
        paths.update({**self.find_hidden(hidden), **dict.fromkeys(untracked, "untracked")})
        try:
            patch = self.read_patch(commit, paths)
            if state["git_is_dirty"] and not patch:
                # What is staged has been undone in the working tree.
                patch = {"git_patch": []}
            return {**state, **patch}
        except _GitSilent as silence:
            # What has been told so far holds without the patch. (Where a partial clone lacks an
            # object, git can die of SIGPIPE as it may not fetch it.)
            self.abandon()
            return {**state, "git_patch_omitted": f"left out: all of it ({silence})"}

    def check_ignored(self) -> None:
        """Raise RuntimeError if git ignores the file, and hasn't been told to track it anyway."""
        own = os.path.relpath(self.asked, self.top).replace(os.sep, "/")
        if self.is_ignored() and not find_tracked(self.index, {own}):
            raise self.error(f"the repository {self.top} ignores that file")

    def is_ignored(self) -> bool:
        """Whether git ignores the file, as far as it has been asked."""
        return "ignored" in self.processes and self.answer("ignored")[1] != b""

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

    def start_submodules(self, paths: Iterable[str]) -> dict[str, _GitProbe | str]:
        """Probes of the submodules that are checked out.

        A git that looked into them from here would run what their own settings name.
        """
        folders = {path: os.path.join(self.top, path) for path in paths}
        return {
            path: _attempt(_GitProbe, path, folder, self.started)
            for path, folder in folders.items()
            if os.path.lexists(os.path.join(folder, ".git"))
        }

    def read_submodules(self) -> bool:
        """Whether anything is uncommitted inside submodules, which no patch of ours holds."""
        dirty = False
        for path, probe in self.inner.items():
            state = probe if isinstance(probe, str) else _attempt(probe.read, allow_dirty=True)
            inside = f"uncommitted inside the submodule {path}"
            if isinstance(state, str):
                self.omitted.append(f"what may be {inside} ({state})")
            elif state["git_is_dirty"] or "git_patch" in state:
                self.omitted.append(f"what is {inside}")
                dirty = dirty or state["git_is_dirty"]
        return dirty

    def find_untracked(self) -> list[str]:
        """The sources in use that git neither tracks nor ignores."""
        self.loaded = loaded_sources(self.top, self.real_path)
        new = set(self.loaded) - find_tracked(self.index, set(self.loaded))
        # What is in a submodule is told with that.
        inner = tuple(f"{path}/" for path in self.inner)
        new = {path for path in new if not path.startswith(inner)}
        files = [path for path in self.loaded if path in new and _is_file_in(self.top, path)]
        sources = [path for path in files if not is_foreign(self.top, path)]
        links = (path for path in new if os.path.isdir(os.path.join(self.top, path)))
        self.omitted += [f"the link {path}, through which modules were loaded" for path in links]
        untracked = set()
        for batch in _in_batches(sources):
            options = ("--others", "--exclude-standard", "-z")
            self.start("untracked", "--literal-pathspecs", "ls-files", *options, "--", *batch)
            untracked.update(os.fsdecode(self.answer("untracked")[1]).split("\0"))
        # Ignored files may hold secrets: they are named, not copied. Nor does git look into another
        # repository that lies in this one.
        self.omitted += [f"the ignored {path}" for path in files if path not in untracked]
        return [path for path in sources if path in untracked]

    def find_hidden(self, tags: Mapping[str, str]) -> dict[str, str]:
        """The files that git was told not to look at; many may be left out of the checkout."""
        present = {path for path in tags if os.path.lexists(os.path.join(self.top, path))}
        gone = [path for path, tag in tags.items() if tag == "h" and path not in present]
        self.omitted += [f"the deletion of {path} (marked assume-unchanged)" for path in gone]
        if len(present) <= HIDDEN_LIMIT:
            return dict.fromkeys(present, "hidden")
        count = f"{len(present):,} files that are marked assume-unchanged or skip-worktree"
        self.omitted.append(f"what may be changed in {count}")
        return {}

    def check_changed(self, changes: Iterable[tuple[str, str]]) -> dict[str, str]:
        """The files whose changes git sees; what their patch can't tell is noted."""
        changed = dict(changes)
        self.changed = set(changed)
        if changed and not self.minds_modes and os.name != "nt":
            self.omitted.append("changed file modes, if any (core.fileMode is false)")
        for path, submodule in changed.items():
            if submodule.startswith("S"):
                advice = "its commit is in the patch, but git apply doesn't check it out"
                self.omitted.append(f"the submodule {path} ({advice})")
        return dict.fromkeys(changed, "changed")

    @property
    def minds_modes(self) -> bool:
        """Whether git looks at file modes there (core.fileMode)."""
        modes = [value for _, key, value in self.config if key == "core.filemode"]
        return modes[-1:] != ["false"]

    def read_patch(self, commit: str | None, paths: Mapping[str, str]) -> Record:
        """The patch that leads from the commit to the files as they are, and what it lacks.

        `paths` says of each file in question what it is: 'changed', 'hidden' or 'untracked'.
        """
        lines: list[str] = []
        omitted: list[str] = []
        if paths:
            # Before the first commit, everything is new.
            commit = commit or self.hash_empty_tree()
            for limit in (PATCH_LIMIT, SOURCE_LIMIT):
                try:
                    sizes = self.read_sizes(commit, paths)
                    # If all of it is too much, at least what is small goes in.
                    kept, omitted = self.select(paths, sizes, limit)
                    lines = self.make_patch(commit, kept, sizes, omitted)
                    break
                except _Unavailable as error:
                    omitted = [f"all of it ({error})"]
        omitted = self.omitted + omitted
        if len(omitted) > OMITTED_LIMIT:
            omitted[OMITTED_LIMIT:] = [f"{len(omitted) - OMITTED_LIMIT:,} more"]
        left_out = f"left out: {'; '.join(omitted)}" if omitted else None
        return _without_none({"git_patch": lines or None, "git_patch_omitted": left_out})

    def hash_empty_tree(self) -> str:
        """What stands in for the commit that isn't there yet."""
        self.start("empty", "hash-object", "-t", "tree", "--stdin")
        return self.answer("empty")[1].decode().strip()

    def read_sizes(self, commit: str, paths: Iterable[str]) -> dict[str, int]:
        """The sizes in the commit of those files that it has."""
        sizes = {}
        for batch in _in_batches(paths):
            look = ("--literal-pathspecs", "ls-tree", "--full-tree", "-l", "-z", commit, "--")
            self.start("sizes", *look, *batch)
            # A partial clone may lack them.
            answer = self.processes.pop("sizes").read_up_to(INDEX_LIMIT, self.time_left)
            for entry in os.fsdecode(answer).split("\0")[:-1]:
                facts, _, path = entry.partition("\t")
                _, kind, _, size = facts.split()
                if kind == "blob":
                    sizes[path] = int(size) if size.isdigit() else 0
        return sizes

    def select(
        self, paths: Mapping[str, str], sizes: Mapping[str, int], limit: int
    ) -> tuple[dict[str, str], list[str]]:
        """Which of these files go into the patch, and which are left out, and why."""
        kept, omitted = {}, []
        for path, kind in paths.items():
            full = os.path.join(self.top, path)
            size = max(_size_of(full), sizes.get(path, 0))
            if is_record(full):
                # It would hold the patch before it, and so on.
                omitted.append(f"the record {path}")
            elif size > limit:
                omitted.append(f"{path} ({format_size(size)}, over the {format_size(limit)})")
            else:
                kept[path] = kind
        return kept, omitted

    def make_patch(
        self, commit: str, paths: Mapping[str, str], old: Container[str], omitted: list[str]
    ) -> list[str]:
        """One patch of these files, as lines; `old` are those that the commit has."""
        changed = [path for path, kind in paths.items() if kind == "changed"]
        single = [path for path, kind in paths.items() if kind != "changed"]
        is_all = len(changed) > FEW_PATHS and set(changed) == self.changed
        batches = [[]] if is_all else _in_batches(changed)
        diffs: list[tuple[str, ...]] = [(commit, "--", *batch) for batch in batches]
        for path in single:
            # The index doesn't know the file: compared with nothing, it is new as a whole.
            new = ("--no-index", "--", "/dev/null", path)
            diffs.append((f"{commit}:{path}", "--", path) if path in old else new)
        patch = self.read_diffs(diffs)
        lines = redact_patch(portable_patch(patch, self.top, omitted), omitted)
        sections = split_patch(lines)
        names = [read_name(section[0]) for section in sections]
        for name, section in zip(names, sections):
            is_gone = section[1].startswith("deleted file ") and names.count(name) == 1
            if is_gone and _is_file_in(self.top, name):
                omitted.append(f"what may be read of {name}, which git no longer tracks")
        if sum(map(len, lines)) + len(lines) > PATCH_LIMIT:
            raise _Unavailable(f"more than {format_size(PATCH_LIMIT)}")
        return lines

    def read_diffs(self, diffs: Sequence[Sequence[str]]) -> bytes:
        """What these diffs say, which work side by side; `_Unavailable` if that is too much."""
        options = ("--literal-pathspecs", *self.filters, *_DIFF)
        patch = b""
        try:
            # Not all at once: a process may have so many pipes and no more.
            for start in range(0, len(diffs), DIFFS_AT_ONCE):
                for number, diff in enumerate(diffs[start : start + DIFFS_AT_ONCE]):
                    process = _start_git(self.top, *options, *diff, since=self.started)
                    self.processes[f"diff {number}"] = process
                for key in list(self.processes):
                    room = PATCH_LIMIT - len(patch)
                    patch += self.processes.pop(key).read_up_to(room, self.time_left)
        finally:
            self.abandon()
            self.processes.clear()
        return patch


def parse_status(text: str) -> tuple[Record, list[tuple[str, str]]]:
    """Parse `git status --porcelain=v2 --branch -z`.

    Returns branch, commit and whether it is dirty, as a record tells them; and the path of each
    changed file, with what git says of submodules ('N...' for none).
    """
    lines = text.split("\0")[:-1]
    headers = dict(line[2:].partition(" ")[::2] for line in lines if line.startswith("# "))
    branch, commit = headers.get("branch.head", ""), headers.get("branch.oid", "")
    state: Record = {"git_active_branch": "detached" if branch == "(detached)" else branch}
    if commit != "(initial)":
        state["git_commit_hash"] = commit
    changes = []
    for line in lines:
        if not line.startswith("# "):
            fields = line.split(" ", 10 if line.startswith("u") else 8)
            changes.append((fields[-1], fields[2]))
    state["git_is_dirty"] = bool(changes)
    return state, changes


def parse_config(text: str) -> list[tuple[str, str, str]]:
    """Parse `git config --show-scope --null --get-regexp`: scopes, keys and values."""
    parts = text.split("\0")
    return [(scope, *entry.partition("\n")[::2]) for scope, entry in zip(parts[::2], parts[1::2])]


def parse_index(text: str) -> tuple[dict[str, str], list[str]]:
    """Parse what is special in the output of `git ls-files -v --stage -z`.

    Returns the paths that git was told not to look at, with its tag for that ('h' for
    assume-unchanged; 'S', 's' for skip-worktree), and the submodules.
    """
    hidden, submodules = {}, set()
    # Of the lines, which may be a hundred thousand, the plain ones never become Python objects.
    for tag, mode, path in _pattern(_ODD_ENTRY).findall(f"\0{text}"):
        if mode == "160000":
            submodules.add(path)
        elif tag not in "HM":
            hidden[path] = tag
    return hidden, sorted(submodules)


_ODD_ENTRY = r"\0(?!H 1(?!60000))(.) (\d+) [^\0\t]*\t([^\0]*)"


def find_tracked(index: str, paths: set[str]) -> set[str]:
    """Which of these paths the output of `git ls-files --stage -z` lists."""
    if len(paths) > 20:
        # Searching for each would take longer than taking the whole text apart.
        return paths & {entry.partition("\t")[2] for entry in index.split("\0")}
    return {path for path in paths if any(f" {n}\t{path}\0" in index for n in range(4))}


def add_late_sources(module: Record, sources: Iterable[str]) -> Record:
    """A state whose patch also has the new sources that a program has loaded only as it ran."""

    def read() -> Record:
        return _GitProbe(module["name"], module["module_path"]).read(allow_dirty=True)

    later = _attempt(read)
    if isinstance(later, str):
        what = f"whatever isn't committed of {', '.join(sorted(sources))}, loaded later ({later})"
        later = {"git_patch_omitted": f"left out: {what}"}
    patch = list(module.get("git_patch", []))
    before, after = (
        {read_name(section[0]): section for section in split_patch(state.get("git_patch", []))}
        for state in (module, later)
    )
    # What was left out of the first patch still is.
    omitted = [*list_omitted(module), *list_omitted(later)]
    committed = list_recommitted(module, later, sources)
    omitted += [f"what {name} became by a commit that was made meanwhile" for name in committed]
    for name in sorted(sources):
        section = after.get(name, [])
        if section == before.get(name, []):
            continue
        if name not in before and section[1].startswith("new file mode "):
            patch += section
        else:
            omitted.append(f"the changes of {name} after the run began, and before it was loaded")
    left_out = f"left out: {'; '.join(dict.fromkeys(omitted))}" if omitted else None
    return _Fixed(module, git_patch=patch or None, git_patch_omitted=left_out)


def list_recommitted(module: Record, later: Record, sources: Iterable[str]) -> list[str]:
    """Which of these sources differ between the commits of two states of a repository."""
    commits = [state.get("git_commit_hash", "") for state in (module, later)]
    if len({*commits, ""}) < 3:
        return []
    names = sorted(sources)
    look = ("--literal-pathspecs", "diff", "--name-only", "-z", "--no-renames", *commits, "--")
    try:
        status, said = run_git(module["git_working_dir"], *look, *names)
    except RecordError:
        return names
    return names if status else [name for name in names if name in said.split("\0")]


def loaded_sources(top: str, real_path: str) -> list[str]:
    """The source files below `top` that this process runs, relative to it: modules and script.

    `real_path` is one of them. The standard library and installed packages don't count.
    """
    top = os.path.join(os.path.normpath(top), "")
    library = os.path.join(os.path.dirname(os.__file__), "")
    # What pip has made there only calls a package's function.
    scripts = os.path.join(os.path.dirname(sys.executable or "-"), "")
    found = {real_path} if os.path.isfile(real_path) else set()
    # A real path costs too much to ask it for every module.
    folders: dict[str, str] = {}
    for attributes in _module_attributes():
        file, name = attributes.get("__file__"), attributes.get("__name__")
        if not isinstance(file, str) or file.startswith(library):
            continue
        if f"{os.sep}site-packages{os.sep}" in file or file.startswith(scripts):
            continue
        if file.endswith(".py") or name in ("__main__", "__mp_main__"):
            folder, file = os.path.split(_absolute(file))
            if folder not in folders:
                folders[folder] = os.path.realpath(folder)
                found.update(_links_in(folder) if folders[folder] != folder else ())
            path = os.path.join(folders[folder], file)
            # What a link leads to is as needed as the link.
            found |= {path, os.path.realpath(path)} if os.path.islink(path) else {path}
    return sorted(path[len(top) :].replace(os.sep, "/") for path in found if path.startswith(top))


def _links_in(path: str) -> Iterator[str]:
    """The links on the way along a path, each where it really is."""
    while path != os.path.dirname(path):
        if os.path.islink(path):
            yield os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        path = os.path.dirname(path)


def _is_file_in(top: str, path: str) -> bool:
    return os.path.isfile(os.path.join(top, path))


def is_foreign(top: str, path: str) -> bool:
    """Whether a file is one of another repository inside this one."""
    while path := os.path.dirname(path):
        if os.path.lexists(os.path.join(top, path, ".git")):
            return True
    return False


def _in_batches(paths: Iterable[str], room: int = 20_000) -> Iterator[list[str]]:
    """The paths in parts that a command line has room for, also on Windows."""
    batch: list[str] = []
    length = 0
    for path in paths:
        length += len(path) + 3
        if batch and length > room:
            yield batch
            batch, length = [], len(path) + 3
        batch.append(path)
    if batch:
        yield batch


def _module_attributes() -> list[Record]:
    """The attributes of the loaded modules; asked in a way that doesn't wake lazy ones.

    `sys.modules` also holds None for modules that must not be imported, and odd objects.
    """
    modules = [m for m in list(sys.modules.values()) if issubclass(type(m), types.ModuleType)]
    return [object.__getattribute__(module, "__dict__") for module in modules]


_SECTION = r"(?m)^(?=diff --git )"  # where one file's patch begins


def portable_patch(patch: bytes, top: str, omitted: list[str]) -> list[str]:
    """A patch as lines of text; files that aren't UTF-8 go in as git's binary patches.

    Names need no such care: git writes them in ASCII. A file whose content can't be told from
    the patch (it changes meanwhile, or an attribute converts it) is added to `omitted`.
    """
    try:
        return patch.decode("utf-8").split("\n")[:-1]
    except UnicodeDecodeError:
        pass
    lines: list[str] = []
    for section in _pattern(_SECTION).split(patch.decode("utf-8", "surrogateescape")):
        if section and _is_utf8(section):
            lines += section.split("\n")[:-1]
        elif section:
            plain = section.split("\n")
            binary = format_binary_patch(section, top) if redact_file(plain) == plain else []
            lines += binary
            if not binary:
                omitted.append(f"{_name_in(section)} (not UTF-8, and not as git would store it)")
    return lines


def split_patch(lines: list[str]) -> list[list[str]]:
    """A patch's lines by file."""
    starts = [number for number, line in enumerate(lines) if line.startswith("diff --git ")]
    return [lines[start:end] for start, end in zip(starts, [*starts[1:], len(lines)])]


def redact_patch(lines: list[str], omitted: list[str]) -> list[str]:
    """A patch without secrets; the files whose patch no longer applies by that join `omitted`."""
    redacted: list[str] = []
    for section in split_patch(lines):
        # Our own file speaks of secrets all the time, and holds none.
        clean = section if _attempt(is_own_patch, section) is True else redact_file(section)
        if clean != section:
            omitted.append(
                f"the secrets in {read_name(section[0])}, so that its patch is not exact"
            )
        redacted += clean
    return redacted


def is_own_patch(lines: Sequence[str]) -> bool:
    """Whether one file's patch adds this very file, as whoever vendors it does."""
    if "new file mode 100644" not in lines[:2] or not lines[0].endswith("pycrumbs.py"):
        return False
    own = {f"+{line}" for line in _read_bytes(__file__).decode().split("\n")}
    return own >= {line for line in lines if line.startswith("+") and line[:4] != "+++ "}


def redact_file(lines: list[str]) -> list[str]:
    """One file's patch without secrets, line for line."""
    headers = next((n for n, line in enumerate(lines) if line.startswith("@@ ")), len(lines))
    marks, texts = [line[:1] for line in lines[headers:]], [line[1:] for line in lines[headers:]]
    is_code = lines[0].endswith(_CODE_SUFFIXES)
    for number, text in enumerate(texts):
        if any(word in text.lower() for word in _SUSPICIOUS):
            end = _find_end(texts, number)
            texts[number:end] = redact_lines(texts[number:end], is_code)
        if "-----END" in text:
            _hide_key(texts, number)
    return [*lines[:headers], *map("".join, zip(marks, texts))]


def _hide_key(lines: list[str], end: int) -> None:
    """Redact the lines of a key whose beginning a patch doesn't show."""
    is_key = _pattern(_KEY_LINE).fullmatch
    for number in range(end - 1, -1, -1):
        if not is_key(lines[number]):
            return
        lines[number] = REDACTED


def _find_end(lines: Sequence[str], start: int) -> int:
    """Behind the line where it closes, what a line opens: brackets, quotes, or a key."""
    for opening, closing in _BLOCKS:
        _, is_there, rest = lines[start].rpartition(opening)
        if is_there and closing not in rest:
            following = range(start + 1, min(start + SECRET_LINES, len(lines)))
            return next((n for n in following if closing in lines[n]), start) + 1
    return start + 1


def redact_lines(lines: list[str], is_code: bool) -> list[str]:
    """Lines without secrets; there are as many of them as before."""
    redacted = redact_text("\n".join(lines), is_code).split("\n")
    if len(redacted) == len(lines):
        return redacted
    start, tail = _count_equal(lines, redacted), _count_equal(lines[::-1], redacted[::-1])
    end = max(start + 1, len(lines) - tail)
    hidden = [line if line.startswith("@ -") else REDACTED for line in lines[start + 1 : end]]
    return [*redacted[: start + 1], *hidden, *lines[end:]]


def _count_equal(some: Sequence[str], others: Sequence[str]) -> int:
    """How many lines two texts have in common before the first that differs."""
    pairs = enumerate(zip(some, others))
    least = min(len(some), len(others)) - 1
    return next((number for number, (one, other) in pairs if one != other), least)


def _name_in(section: str) -> str:
    """The name of the file that one file's patch is of."""
    return read_name(section.partition("\n")[0])


def _is_utf8(text: str) -> bool:
    """Whether a text can be written in UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def format_binary_patch(section: str, top: str) -> list[str]:
    """One file's text patch as a binary one (git's `literal` form); nothing if it can't be."""
    header = section.partition("\n--- ")[0].split("\n")
    _, new = _pattern(r"(?m)^index (\w+)\.\.(\w+)").search(section).groups()
    # A blob's name of zeros stands for no file: it is deleted.
    content = b"" if not new.strip("0") else _find_content(section, top, new)
    if content is None:
        return []
    import base64
    import zlib

    data = zlib.compress(content)
    lines = [*header, "GIT binary patch", f"literal {len(content)}"]
    for start in range(0, len(data), 52):
        chunk = data[start : start + 52]
        # git's base85: a letter for the length (A-Z: 1-26, a-z: 27-52), then five characters a
        # word.
        length = chr(64 + len(chunk)) if len(chunk) <= 26 else chr(70 + len(chunk))
        lines.append(length + base64.b85encode(chunk, pad=True).decode())
    return [*lines, ""]


def _find_content(section: str, top: str, blob: str) -> bytes | None:
    """A changed file's content as git would store it, checked against the blob's name."""
    import hashlib

    path = os.path.join(top, _name_in(section))
    try:
        link = os.path.islink(path)
        content = os.fsencode(os.readlink(path)) if link else _read_bytes(path)
    except OSError:
        return None
    # As it is, and as autocrlf would store it: the blob's name tells which.
    for candidate in (content, content.replace(b"\r\n", b"\n")):
        digest = hashlib.new("sha256" if len(blob) == 64 else "sha1")
        digest.update(b"blob %d\0%b" % (len(candidate), candidate))
        if digest.hexdigest() == blob:
            return candidate
    return None


def _unquote(name: str) -> bytes:
    """A name as git quotes it: with C's escapes, bytes in octal."""
    escapes = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13}

    def replace(match: Any) -> bytes:
        code = match[1].decode("latin-1")
        is_octal = code[0] in "01234567"
        return bytes([int(code, 8) & 255 if is_octal else escapes.get(code, ord(code))])

    import re

    return re.sub(rb"\\([0-7]{3}|.)", replace, os.fsencode(name))


def _size_of(path: str) -> int:
    """A file's size; 0 if there is none."""
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def _probe_module(module: str | types.ModuleType) -> _GitProbe:
    """A probe of the repository that a module, or the one of that name, is in."""
    import importlib

    if isinstance(module, str):
        try:
            module = importlib.import_module(module)
        except ImportError as error:
            problem = f"cannot record the git state of {module!r}: {error}"
            is_missing = isinstance(error, ModuleNotFoundError)
            kind = ModuleNotFoundError if is_missing else ImportError
            raise kind(problem, name=error.name) from error
    return _GitProbe(module.__name__, getattr(module, "__file__", None))


def get_git_info(module: str | types.ModuleType, allow_dirty: bool = False) -> Record:
    """Read the state of the git repository that holds a module's source.

    Parameters
    ----------
    module
        A module, or its name, which is then imported.
    allow_dirty
        If False, a repository with uncommitted changes to tracked files is an error.

    Returns
    -------
    dict
        module_path, name, git_active_branch ('detached' if there is none), git_commit_hash (left
        out before the first commit), git_is_dirty, git_remotes and git_working_dir.

    Raises
    ------
    RuntimeError
        The module has no file, is in no git repository, is ignored there, or git is missing or
        refuses (in git's own words); or the repository is dirty and `allow_dirty` is False.
    """
    return _probe_module(module).describe(allow_dirty)


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
    packages: dict[str, str] = {}
    origins: Record = {}
    for read_text in find_distributions():
        name, version = parse_metadata(read_metadata(read_text))
        # The first on the path is the one that imports find.
        if not name or not version or name in packages:
            continue
        packages[name] = version
        origin = _attempt(read_text, "direct_url.json")
        if origin and origin.startswith("{"):
            import json

            origins[name] = _attempt(json.loads, origin)
    return dict(sorted(packages.items())), origins


def find_distributions() -> Iterator[Callable[[str], str | None]]:
    """For each distribution on `sys.path`, a function that reads one of its metadata files.

    What importlib.metadata finds, in its order. While all finders are Python's own and all
    entries are folders it needn't be asked: importing it takes longer than all the rest.
    """
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_distributions")]
    # Like imports, pass over entries that are no text.
    folders = [entry for entry in sys.path if isinstance(entry, str)]
    entries = [folder or "." for folder in folders]
    if len(finders) > 1 or any(os.path.isfile(e) or e.endswith(".egg") for e in entries):
        import importlib.metadata

        for distribution in importlib.metadata.distributions(path=folders):
            if not _is_leftover(os.path.basename(str(getattr(distribution, "_path", "")))):
                yield distribution.read_text
        return
    for entry in entries:
        for name in _names_in(entry):
            if name.lower().endswith((".dist-info", ".egg-info")) and not _is_leftover(name):
                yield _MetadataFolder(os.path.join(entry, name)).read_text


def _names_in(folder: str) -> list[str]:
    """The names in a folder; none if it is none, or can't be read."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _is_leftover(name: str) -> bool:
    """Whether a pip that was stopped left this behind, renamed to be removed."""
    return name.startswith("~")


class _MetadataFolder:
    """The folder of a distribution's metadata, or the file that is all of an old one's."""

    def __init__(self, path: str) -> None:
        self.path = path

    def read_text(self, name: str) -> str | None:
        try:
            return _read_bytes(os.path.join(self.path, name) if name else self.path).decode()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError):
            return None


def read_metadata(read_text: Callable[[str], str | None]) -> str:
    """The METADATA of a wheel or the PKG-INFO of an egg; '' if it has none that can be read."""
    for file in ("METADATA", "PKG-INFO", ""):
        try:
            text = read_text(file)
        except UnicodeDecodeError as error:
            text = error.object.decode("utf-8", "replace")
        except Exception:
            # Somebody else's finder may raise anything.
            text = None
        if text:
            return text
    return ""


def parse_metadata(text: str) -> tuple[str | None, str | None]:
    """Canonical name and version from the headers of METADATA; None where it is broken.

    Parsing just these takes a fifth of the time of importlib.metadata's `Distribution.metadata`.
    """
    header = _pattern(r"\r?\n\r?\n").split(text, maxsplit=1)[0]
    lines = _pattern(r"(?im)^(name|version)[ \t]*:[ \t]*(.*?)[ \t\r]*$").findall(header)
    # Of several the first counts, as for importlib.metadata.
    fields = {key.lower(): value for key, value in reversed(lines)}
    name = fields.get("name")
    return name and canonical_name(name), fields.get("version")


def read_origins(origins: Record, probes: Sequence[_GitProbe]) -> Record | None:
    """Where packages come from that no index holds; editable ones with their repository's state.

    `probes` are at work already: a package that holds one's source needs no other.
    """
    origins = {name: origin for name, origin in origins.items() if isinstance(origin, dict)}
    described = {name: describe_origin(origins[name]) for name in sorted(origins)}
    known = [probe for probe in probes if probe.top]
    since = min((probe.started for probe in probes), default=None)
    started: dict[str, _GitProbe | str] = {}
    for name, entry in described.items():
        folder = find_editable_folder(origins[name])
        own = [probe for probe in known if folder and is_below(probe.real_path, folder)]
        if own:
            entry["git_working_dir"] = own[0].top
        elif folder:
            started[name] = _attempt(_GitProbe, name, folder, since)
    started = {
        name: _attempt(found.advance) or found if isinstance(found, _GitProbe) else found
        for name, found in started.items()
    }
    seen: dict[str, Record] = {probe.top: {"git_working_dir": probe.top} for probe in known}
    for name, found in started.items():
        described[name].update(read_origin(name, found, seen))
    return described or None


def read_origin(name: str, probe: _GitProbe | str, seen: dict[str, Record]) -> Record:
    """The state of the repository that a package lies in, or why it isn't known.

    `seen` holds what has been said of repositories before, so that a patch is there once.
    """
    state = probe if isinstance(probe, str) else None
    if isinstance(probe, _GitProbe):
        if probe.top in seen:
            is_ignored = _attempt(probe.is_ignored) is True
            probe.abandon()
            return {} if is_ignored else seen[probe.top]
        state = _attempt(probe.describe, allow_dirty=True)
    if not isinstance(state, dict):
        outside = ("not a git repository (or any", "ignores that file")
        is_outside = any(reason in str(state) for reason in outside)
        return {} if is_outside else {"git_commit_hash": state}
    state = {key: value for key, value in state.items() if key.startswith("git_")}
    if "git_working_dir" in state:
        again = {"git_patch_omitted": f"the same as that of {name}"} if "git_patch" in state else {}
        seen[state["git_working_dir"]] = _without_none({**state, "git_patch": None, **again})
    return state


def is_below(path: str, folder: str) -> bool:
    """Whether a path leads into a folder; both are absolute."""
    return path.startswith(os.path.join(folder, ""))


def describe_origin(origin: Record) -> Record:
    """What a direct_url.json says, as a record tells it."""
    hashes = _items(get(origin, "archive_info", "hashes"))
    hashes.sort(key=lambda item: item[0] != "sha256")
    return _without_none(
        {
            "url": redact_remote(str(origin.get("url"))),
            "vcs": get(origin, "vcs_info", "vcs"),
            "commit": get(origin, "vcs_info", "commit_id"),
            "subdirectory": origin.get("subdirectory"),
            "hash": next((f"{kind}={text}" for kind, text in hashes), None)
            # The older form, of one hash.
            or get(origin, "archive_info", "hash"),
            "editable": get(origin, "dir_info", "editable"),
        }
    )


def find_editable_folder(origin: Record) -> str | None:
    """The folder of a package that is installed in editable mode."""
    if not get(origin, "dir_info", "editable"):
        return None
    from urllib.parse import unquote, urlsplit

    try:
        path = urlsplit(str(origin.get("url"))).path
    except ValueError:
        return None
    folder = unquote(path)
    if sys.platform == "win32":
        # It imports urllib's client side with it, in 20 ms, and only Windows needs it.
        from urllib.request import url2pathname

        folder = url2pathname(path)
    folder = os.path.realpath(folder)
    if _rerun is not None:
        # The code comes from the checkout, which stands for the repository.
        folder = _map_import(folder, _rerun.plan)
    return folder if os.path.isdir(folder) else None


def canonical_name(name: str) -> str:
    """A distribution's name as PEP 503 writes it."""
    return str(_pattern(r"[-_.]+").sub("-", name)).lower()


# ------------------------------------------------------------------------------
# Evidence: the seeds
# ------------------------------------------------------------------------------
# A library that is imported is seeded at once; one that isn't, at the moment
# somebody imports it while a run is in progress. pycrumbs imports none itself.

# TensorFlow's and PyTorch's also seed their GPU generators.
_SEEDERS = {  # the module that must have been loaded: the function to call, from its attributes
    "numpy.random": ("seed",),
    "torch": ("manual_seed",),
    "tensorflow": ("random", "set_seed"),
}


def draw_seed(nested: bool = False) -> int:
    """Draw a seed from the OS, so that no generator is disturbed.

    Inside another tracked run it comes from `random`, so that the outer run's seed fixes it.
    """
    if nested:
        import random

        return random.getrandbits(32)
    return int.from_bytes(os.urandom(4), "big")


def check_seed(seed: object) -> int:
    """The seed as an int; TypeError if it is no integer, ValueError if out of range."""
    import operator

    try:
        if type(seed).__name__ in ("bool", "bool_"):
            # bool is an int in Python, and NumPy's has __index__, too.
            raise TypeError
        number = operator.index(seed)  # type: ignore[arg-type]
    except TypeError:
        kind = type(seed).__name__
        raise TypeError(f"expected an integer or None, not {seed!r:.80} ({kind})") from None
    if not 0 <= number < SEED_LIMIT:
        raise ValueError(f"expected 0 to 2**32 - 1, not {number}")
    return number


def seed_tasks(
    seed: int | None = None,
    seed_numpy: bool = True,
    seed_tensorflow: bool = True,
    seed_torch: bool = True,
) -> int:
    """Seed `random`, NumPy, TensorFlow and PyTorch.

    Libraries that are imported are seeded at once; the others when they are imported, so this
    imports nothing that the program doesn't use.

    Parameters
    ----------
    seed
        An integer 0 to 2**32 - 1 (NumPy's range), or None to draw one from the OS.
    seed_numpy, seed_tensorflow, seed_torch
        Whether to seed that library.

    Returns
    -------
    int
        The seed.

    Raises
    ------
    TypeError
        The seed is no integer.
    ValueError
        It is out of range.
    """
    import random

    seed = draw_seed() if seed is None else check_seed(seed)
    random.seed(seed)
    for name, is_wanted in zip(_SEEDERS, (seed_numpy, seed_torch, seed_tensorflow)):
        if is_wanted and not _seed_on_import.postpone(name, seed):
            _seed_library(name, seed)
    return seed


def _seed_library(name: str, seed: int) -> None:
    """Seed a library that is loaded."""
    try:
        first, *rest = _SEEDERS[name]
        function = object.__getattribute__(sys.modules[name], "__dict__")[first]
        for attribute in rest:
            function = getattr(function, attribute)
        function(seed)
    except Exception as error:
        _warn(f"could not seed {name}: {_describe_briefly(error)}")


class _SeedOnImport:
    """Seeds libraries as they are imported: a finder in `sys.meta_path` (PEP 451) while needed.

    `waiting` maps the modules still to be seeded to their seeds, and `outside` those that were to
    be seeded outside any run. The finder lets the others find the module and only has its loader
    call back.
    """

    def __init__(self) -> None:
        self.waiting: dict[str, int] = {}
        self.outside: dict[str, int] = {}
        self.asking: set[str] = set()

    def postpone(self, name: str, seed: int) -> bool:
        """Seed a module when it is loaded; False if it is loaded already."""
        self.waiting[name] = seed
        if not _runs:
            self.outside[name] = seed
        module = sys.modules.get(name)
        if type(module).__name__ == "_LazyModule":
            # A lazy module (importlib.util.LazyLoader) loads at any touch.
            self.arm(object.__getattribute__(module, "__spec__").loader, name)
        elif module is not None and not self.watch(module, name):
            # Another thread may have loaded it just now, and seeded it.
            return self.waiting.pop(name, None) is None
        if self not in sys.meta_path:
            # First, or another finder would load the module before we hear of it.
            sys.meta_path.insert(0, self)
        return True

    def forget(self) -> None:
        """Seed nothing more because of a run; what waited before it waits on."""
        waited = [*self.outside.items()]
        self.waiting = {name: seed for name, seed in waited if name in self.waiting}
        if not self.waiting and self in sys.meta_path:
            others = [finder for finder in sys.meta_path if finder is not self]
            if _thread._count():
                # Another thread's import may be walking the old list, and would skip a finder.
                sys.meta_path = others
            else:
                sys.meta_path[:] = others

    def watch(self, module: Any, name: str) -> bool:
        """Seed a module that is being executed as soon as that is done; False if it is done."""
        spec = _attempt(object.__getattribute__, module, "__spec__")
        if not getattr(spec, "_initializing", False):
            return False

        def finish(spec: Any, value: bool) -> None:
            # Before another thread gets the module. One that couldn't be imported isn't there.
            if name in sys.modules:
                self.seed(name)
            spec.__class__, spec._initializing = kind, value

        kind = type(spec)
        if not hasattr(kind, "_initializing"):
            # importlib sets this to False in the end: that is all that it does then.
            members = {"_initializing": property(lambda spec: True, finish)}
            spec.__class__ = type(kind.__name__, (kind,), members)
            if not vars(spec)["_initializing"]:
                finish(spec, False)
        return True

    def seed(self, name: str) -> None:
        """Seed a module now, if that is still to be done."""
        seed = self.waiting.pop(name, None)
        if seed is not None:
            _seed_library(name, seed)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in self.waiting or name in self.asking:
            return None
        import importlib.util

        # find_spec asks all finders, this one too: it must not ask again.
        self.asking.add(name)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.asking.discard(name)
        if spec is not None and spec.loader is not None:
            self.arm(spec.loader, name)
        return spec

    def arm(self, loader: Any, name: str) -> None:
        """Have this loader seed the module once it has executed it; a warning where it can't."""
        import random

        execute = getattr(loader, "exec_module", None)
        if execute is None or type(getattr(loader, "__dict__", None)) is not dict:
            # A class (the loaders of frozen modules are), or nothing that takes a method.
            del self.waiting[name]
            _warn(f"could not seed {name}, as {loader!r} loads it: import it before the call")
            return

        def exec_module(module: types.ModuleType) -> None:
            if module.__name__ != name:
                # The loader is shared (a zip file's is), and the library is still to come.
                execute(module)
                return
            # What it loads later isn't our affair: it gets its own method back.
            vars(loader).pop("exec_module", None)
            # Importing TensorFlow draws from it.
            state = random.getstate()
            try:
                execute(module)
            finally:
                random.setstate(state)
            self.seed(name)

        if not hasattr(execute, "is_pycrumbs"):
            exec_module.is_pycrumbs = True  # type: ignore[attr-defined]
            loader.exec_module = exec_module


_seed_on_import = _SeedOnImport()


# ------------------------------------------------------------------------------
# Evidence: the files
# ------------------------------------------------------------------------------
# A file is an entry {path, size, mtime, sha256}; a sha256 of None says that it
# was not hashed. Whether a file changed is asked of its signature: times to the
# nanosecond, size and inode, which a copy with old timestamps changes too.

CAPTURE_COVERAGE = "partial: what was opened through Python, not by C libraries or child processes"
# What git and the interpreter write there is no product of the function.
_SKIPPED_FOLDERS = (".git", "__pycache__", ".venv", "node_modules", "site-packages")
_PACKAGE_FOLDERS = ("site-packages", "dist-packages")
_NO_ATIME = getattr(os, "O_NOATIME", 0)  # Linux's
# Literal, as `inspect` is imported only where it is needed.
_SUSPENDABLE = 0x20 | 0x80 | 0x200  # inspect.CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR


def sign_file(path: str) -> tuple[int, ...] | None:
    """A regular file's signature, or None if there is no such file."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return _sign(found) if stat.S_ISREG(found.st_mode) else None


def _sign(found: os.stat_result) -> tuple[int, ...]:
    """The signature of a file that was looked at."""
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def describe_file(path: str, signature: tuple[int, ...] | None) -> Record:
    """A file's entry, not yet hashed."""
    if signature is None:
        return {"path": path, "size": None, "mtime": None, "sha256": None}
    # Some file systems know the year 30000.
    mtime = _attempt(format_time, signature[0] / 1e9)
    return {"path": path, "size": signature[2], "mtime": mtime, "sha256": None}


def limit_files(entries: list[Record]) -> tuple[list[Record], str | None]:
    """As many entries as a record lists; and what was left out."""
    count = len(entries)
    if count <= FILE_LIMIT:
        return entries, None
    return entries[:FILE_LIMIT], f"{count - FILE_LIMIT:,} of {count:,} files"


def _join(*reasons: str | None) -> str | None:
    """Several reasons as one, or None."""
    return "; ".join(reason for reason in reasons if reason) or None


def find_inputs(
    arguments: Mapping[str, Any], declared: Sequence[str]
) -> tuple[list[Record], str | None]:
    """The files that arguments name: whole folders where declared, else existing files.

    Returns their entries, and what was left out.
    """
    found: dict[str, Record] = {}
    omitted: list[str] = []
    for name in declared:
        paths = [*_paths_in(arguments[name], FILE_LIMIT)]
        if not paths and arguments[name] is not None:
            omitted.append(f"whatever {name} holds, which is no path")
        if _holds_more(arguments[name], FILE_LIMIT):
            omitted.append(f"what follows the first {FILE_LIMIT:,} items of {name}")
        for path in map(_absolute, paths):
            for file, signature in find_declared(path, omitted):
                found[file] = {**describe_file(file, signature), "found": "declared"}
    for name, value in arguments.items():
        # No path; or, as in `password_file`, the hash of a short secret is as good as the secret.
        if issubclass(type(value), _PATHLESS) or _attempt(is_secret, name, value) is True:
            continue
        files = [_absolute(p) for p in _paths_in(value, LIST_LIMIT) if os.path.isfile(p)]
        for path in files:
            found.setdefault(path, {**describe_file(path, sign_file(path)), "found": "parameter"})
        if files and name not in declared and _holds_more(value, LIST_LIMIT):
            omitted.append(f"what follows the first {LIST_LIMIT:,} items of {name}")
    entries, cut = limit_files([found[path] for path in sorted(found)])
    return entries, _join(cut, *omitted)


_PATHLESS = (type(None), bool, int, float)


def find_declared(path: str, omitted: list[str]) -> Iterable[tuple[str, tuple[int, ...] | None]]:
    """A declared input, or the files in it if it is a folder, with their signatures."""
    if not os.path.isdir(path):
        return [(path, sign_file(path))]
    skipped: set[str] = set()
    tree, is_all = scan_tree(path, links=True, skipped=skipped)
    if not is_all:
        omitted.append(f"whatever lies beyond the first {VISIT_LIMIT:,} entries of {path}")
    omitted += [f"whatever lies in folders named {name} in {path}" for name in sorted(skipped)]
    files = [(os.path.join(path, below), signature) for below, signature in tree.items()]
    # Whatever run wrote them, this one among others, may write them again.
    inputs = [(file, signature) for file, signature in files if not is_record(file)]
    if len(inputs) < len(files):
        omitted.append(f"the records in {path}")
    return inputs


def _paths_in(value: object, room: int) -> Iterator[str]:
    """What could be paths in an argument: itself, or what it holds, up to `room` of that."""
    import itertools

    for path in map(_path_text, itertools.islice(_leaves(value, room), room)):
        if path and "\0" not in path:
            yield path


def _holds_more(value: object, count: int) -> bool:
    """Whether more than so many values lie within one."""
    import itertools

    return any(True for _ in itertools.islice(_leaves(value, count + 1), count, None))


def _leaves(value: Any, room: int, depth: int = 0) -> Iterator[object]:
    """What lists, sets, mappings and fields hold, within each other; else the value itself.

    What their names or places say is a secret isn't among it.
    """
    kind = type(value)
    is_leaf = issubclass(kind, (str, bytes, *_PATHLESS))
    items = None if is_leaf else value if issubclass(kind, dict) else _attempt(read_fields, value)
    if not isinstance(items, dict) and not issubclass(kind, _SEQUENCES):
        yield value
    elif depth < PATH_DEPTH:
        import itertools

        inner = _open_values(items) if isinstance(items, dict) else _hide_secrets(value)
        for item in [*itertools.islice(inner, room)]:
            yield from _leaves(item, room, depth + 1)


def _open_values(items: Record) -> Iterator[object]:
    """A mapping's values, without those that its keys say are secrets."""
    for key, item in dict.items(items):
        if type(key) is not str or _attempt(is_secret, key, item) is not True:
            yield item


_SEQUENCES = (list, tuple, set, frozenset)


def _items_of(value: Any) -> Iterator[Any]:
    """The items of a sequence or set by its base's own method.

    A derived class may have overridden it with anything.
    """
    base = next((base for base in _SEQUENCES if issubclass(type(value), base)), None)
    return iter(value) if base is None else base.__iter__(value)


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

    At most VISIT_LIMIT directory entries are visited. Links are followed where asked, but to no
    folder that they lie in. The names of folders that hold no data are added to `skipped`.
    """
    files: dict[str, tuple[int, ...]] = {}
    # Each with what identifies it and those around it, if that matters.
    folders: list[tuple[str, tuple[object, ...]]] = [("", ())]
    visited = 0
    while folders:
        folder, around = folders.pop()
        if links:
            identity = _attempt(_identify, f"{root}{os.sep}{folder}")
            if identity in around:
                continue
            around = (*around, identity)
        for entry in _scan_folder(f"{root}{os.sep}{folder}"):
            visited += 1
            if visited > VISIT_LIMIT:
                return files, False
            path = folder + entry.name
            try:
                if entry.is_dir(follow_symlinks=links):
                    if entry.name not in _SKIPPED_FOLDERS:
                        folders.append((path + os.sep, around))
                    elif skipped is not None and entry.name != "__pycache__":
                        skipped.add(entry.name)
                elif entry.is_file(follow_symlinks=links):
                    files[path] = _sign(entry.stat(follow_symlinks=links))
            except OSError:
                # Removed meanwhile.
                continue
    return files, True


def _scan_folder(path: str) -> Iterator[os.DirEntry[str]]:
    """The entries of a folder; none if it was removed meanwhile, or is not ours to read.

    That it was read is noted nowhere: it is none of the program's doing, and slows the next fsync.
    """
    try:
        descriptor = os.open(_Unnoted(path), os.O_RDONLY | _NO_ATIME) if _NO_ATIME else None
    except OSError:
        # Only its owner may ask for that.
        descriptor = None
    try:
        with os.scandir(path if descriptor is None else descriptor) as entries:
            yield from entries
    except OSError:
        return
    finally:
        if descriptor is not None:
            os.close(descriptor)


def find_outputs(
    directory: str,
    tree: tuple[Mapping[str, tuple[int, ...]], bool],
    start: float,
    fresh: Mapping[str, str | None],
) -> tuple[list[Record], str | None]:
    """The files in a directory that are new or changed since its `tree` was scanned.

    `fresh` are the hashes of those whose times can't tell.
    Returns their entries, and what was not looked at.
    """
    before, knew_all = tree
    after, is_all = scan_tree(directory)
    # Where not all could be visited before, being unknown isn't being new.
    since = (start - FILE_TIME_LAG) * 1e9
    outputs = []
    for path in sorted(after):
        signature = after[path]
        is_new = path not in before and (knew_all or signature[1] >= since)
        is_changed = path in before and before[path] != signature
        if fresh.get(path) and not is_changed:
            # None: it can't be read, or a signal came.
            is_changed = hash_file(os.path.join(directory, path)) not in (fresh[path], None)
        if (is_new or is_changed) and not is_record(os.path.join(directory, path)):
            entry = describe_file(path.replace(os.sep, "/"), signature)
            del entry["mtime"]
            outputs.append(entry)
    unseen = f"whatever lies beyond the first {VISIT_LIMIT:,} entries of the directory"
    return outputs, None if is_all else unseen


def hash_fresh(
    directory: str, files: Mapping[str, tuple[int, ...]], record: str, room: int | None
) -> dict[str, str | None]:
    """The hashes of files so young that they could be written again at the very same time.

    File times are as coarse as the kernel's clock before Linux 6.13 (git calls such files racily
    clean). Large ones, which can't be written twice in that time, aren't hashed; nor is what there
    is no room for, as in `hash_files`.
    """
    since = time.time_ns() - 20_000_000
    limit = THREADED_HASHING if room is None else min(room, THREADED_HASHING)
    return {
        path: hash_file(os.path.join(directory, path))
        for path, signature in files.items()
        if signature[1] >= since and signature[2] <= limit
        if os.path.join(directory, path) != record
    }


def holds_something_else(path: str) -> bool:
    """Whether a file has a content, and that is no record."""
    return _size_of(path) > 0 and os.path.isfile(path) and not is_record(path)


def is_record(path: str) -> bool:
    """Whether a file is a record, or the temporary or lock of one: never a run's own product."""
    name = os.path.basename(path)
    if not name.endswith(".json"):
        return name.startswith(".") and ".json." in name and name.endswith((".tmp", ".lock"))
    return _pattern(_RECORD_START).match(_read_start(path)) is not None


def read_uuid(path: str) -> str:
    """The uuid of a record, or of the first of a chain; '' if the file is neither."""
    start = _read_start(path)
    found = _pattern(_RECORD_START).match(start) and _pattern(_UUID).search(start)
    return found[1] if found else ""


def _read_start(path: str) -> str:
    """The beginning of a regular file, as far as a record tells there that it is one."""
    try:
        return _read_bytes(path, 120).decode("utf-8", "replace") if os.path.isfile(path) else ""
    except OSError:
        return ""


# pycrumbs 0.4 began with the uuid; a function's own file may, too, so what follows counts.
_RECORD_START = r'\s*\[?\s*\{\s*"(?:pycrumbs": "|uuid": "[0-9a-f-]{36}",\s*"timing": \{)'
_UUID = r'"uuid": "([0-9a-f-]{36})"'


def hash_files(
    entries: Iterable[Record],
    room: int | None,
    root: str = "",
    on_progress: Callable[[int], object] | None = None,
) -> int | None:
    """Fill in the entries' sha256, smallest files first, while there is room; return what is left.

    Paths are relative to `root`. None is boundless room.
    """
    chosen = []
    for entry in sorted((e for e in entries if e["size"] is not None), key=_entry_size):
        if room is not None and entry["size"] > room:
            break
        room = room if room is None else room - entry["size"]
        chosen.append(entry)
    if not chosen:
        return room
    total = sum(map(_entry_size, chosen))
    helpers = min(len(chosen), _count_cores()) - 1 if total > THREADED_HASHING else 0
    # The largest first, so that the threads end together.
    chosen.reverse()

    def work() -> None:
        while chosen and not _signals.hurry():
            try:
                entry = chosen.pop(0)
            except IndexError:
                # Another thread took the last one.
                return
            entry["sha256"] = hash_file(os.path.join(root, entry["path"]), on_progress)

    import threading

    threads = [threading.Thread(target=work) for _ in range(helpers)]
    # Starting a thread may fail (ulimit -u); then the others do its work.
    started = [thread for thread in threads if _attempt(thread.start) is None]
    work()
    for thread in started:
        thread.join()
    return room


def _entry_size(entry: Record) -> int:
    return int(entry["size"])


def _count_cores() -> int:
    """The processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_hashes: dict[tuple[Any, ...], str] = {}  # of files that had settled when they were hashed


def hash_file(path: str, on_progress: Callable[[int], object] | None = None) -> str | None:
    """A file's SHA-256 in hexadecimal, None if it can't be read; remembered while it's the same."""
    import hashlib

    signature = sign_file(path)
    key = (path, signature)
    if signature is None or key in _hashes:
        return _hashes.get(key)
    # Files of size 0 below /proc may have no end: read no more than the size says.
    digest, left = hashlib.sha256(), signature[2]
    try:
        with _open(_Unnoted(path), "rb", buffering=0) as file:
            buffer = memoryview(bytearray(min(2**20, left)))
            while size := file.readinto(buffer[:left]):
                digest.update(buffer[:size])
                left -= size
                if on_progress:
                    on_progress(size)
                if _signals.hurry():
                    return None
    except OSError:
        return None
    # A file written in this very second can change again without its times telling.
    if signature == sign_file(path) and time.time() - signature[0] / 1e9 > 2:
        if len(_hashes) >= FILE_LIMIT:
            _hashes.clear()
        _hashes[key] = digest.hexdigest()
    return digest.hexdigest()


_captures: list[_Capture] = []  # of the runs in progress that asked for one
_hook_installed: list[bool] = []  # once installed, an audit hook stays


class _Capture:
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
        # While a generator or coroutine is suspended, others work in the thread that it runs in.
        self.thread = _thread.get_ident() if function.__code__.co_flags & _SUSPENDABLE else None

    def begin(self) -> None:
        if not _hook_installed:
            _hook_installed.append(True)
            # It can't be removed any more: from here on it looks whether any run wants to know.
            sys.addaudithook(_note_event)
        _captures.append(self)

    def end(self) -> None:
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
            inputs.append({**describe_file(path, signature), "found": "opened"})
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
                entries.append(describe_file(path, signature))
                del entries[-1]["mtime"]
        return entries

    def select(self, paths: Iterable[str]) -> list[str]:
        """The paths that aren't the interpreter's, the packages', the system's or ours."""
        # Reproducing these is the package inventory's business.
        ignored = (*_interpreter_folders(), "/proc/", "/sys/", "/dev/", "/usr/share/zoneinfo/")
        modules = {attributes.get("__file__") for attributes in _module_attributes()}
        skipped = {f"{os.sep}{folder}{os.sep}" for folder in _SKIPPED_FOLDERS}
        return sorted(
            path
            for path in list(paths)
            if not path.startswith(ignored)
            and path not in modules
            and not any(folder in path for folder in skipped)
            and not is_record(path)
        )


def _interpreter_folders() -> list[str]:
    """The folders of the standard library and of installed packages."""
    import sysconfig

    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = {sysconfig.get_paths().get(name) for name in names}
    folders |= {path for path in map(str, sys.path) if path.endswith(_PACKAGE_FOLDERS)}
    if sys.prefix != sys.base_prefix:
        # Everything in a virtual environment is installed.
        folders.add(sys.prefix)
    return [os.path.join(folder, "") for folder in folders if folder]


class _Unnoted(str):
    """A path that is opened by pycrumbs itself, and for no run."""


def _note_event(event: str, arguments: tuple[Any, ...]) -> None:
    """Python's audit hook: must be quick, and neither raise, lock nor open anything."""
    if event != "open" and event != "os.rename":
        return
    try:
        path, other, flags = arguments[:3]
        if not _captures or isinstance(path, (int, _Unnoted)):
            # An opened descriptor has been an event before; ours are nobody's.
            return
        path = _absolute(os.fsdecode(path))
        for capture in _find_captures():
            if event == "open":
                capture.note(path, flags)
            else:
                capture.note_rename(path, _absolute(os.fsdecode(other)))
    except Exception:
        # The program's own opening must go on, whatever this one was.
        return


def _find_captures() -> list[_Capture]:
    """The captures that what happens now counts for."""
    run = _active_run.get()
    if run is None:
        thread = _thread.get_ident()
        return [capture for capture in _captures if capture.thread != thread]
    captures = []
    while run:
        captures += [run.capture] if run.capture in _captures else []
        run = run.parent
    return captures


# ------------------------------------------------------------------------------
# Describing values
# ------------------------------------------------------------------------------
# Any value becomes JSON of bounded size, at bounded cost: the walk stops as
# soon as the text would pass TEXT_LIMIT. Nothing secret survives it.


class _TooLong(Exception):
    """The text passed its limit."""


def describe_arguments(arguments: Mapping[str, Any]) -> dict[str, tuple[Any, dict[str, str]]]:
    """Describe each of a call's arguments."""
    return {name: describe(value, name) for name, value in arguments.items()}


def describe(value: Any, name: str = "") -> tuple[Any, dict[str, str]]:
    """Describe one value as JSON, or as SUPPRESSED if that takes more than TEXT_LIMIT characters.

    Returns that, and the types of all in it that isn't plain JSON, by path.

    Parameters
    ----------
    value
        Anything.
    name
        What it is called; decides whether it is taken for a secret.
    """
    describer = _Describer()
    # The quotes around a text that is all there is don't count.
    describer.room += 2
    try:
        described = describer.walk(value, name, name)
        describer.spend(0 if isinstance(described, str) else 2)
    except (_TooLong, RecursionError):
        return SUPPRESSED, {name: _type_name(value)}
    return described, describer.kinds


class _Describer:
    """One bounded walk through a value."""

    def __init__(self) -> None:
        self.room = TEXT_LIMIT
        self.kinds: dict[str, str] = {}
        # No repr or description stands for anything so far.
        self.exact = True
        # Anything else is worth nothing.
        self.exact_only = False
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
        kind = type(value)
        try:
            # First, as no description of a secret is harmless.
            if is_secret(name, value):
                self.spend(len(REDACTED))
                return REDACTED
            if kind not in _PLAIN_TYPES:
                self.kinds[path] = _type_name(value)
            describe_one = next((f for base, f in _DESCRIBERS if issubclass(kind, base)), None)
            if describe_one is not None:
                return describe_one(self, value, path)
            return self.walk_object(value, path)
        except (_TooLong, RecursionError):
            raise
        except Exception as error:
            self.kinds[path] = _type_name(value)
            if not issubclass(kind, dict) and _is_mapping(kind):
                # OmegaConf's can't be walked while a value is missing.
                return self.text(_attempt(lambda: remove_addresses(repr(value))))
            return self.text(f"<{_type_name(value)}: {_describe_briefly(error)}>")

    def text(self, text: str) -> str:
        """A text that stands for a value."""
        self.exact = False
        return self.walk_str(text, "")

    def cut(self, reason: str, value: Any, path: str) -> str:
        """A text that stands for a container which is not walked."""
        self.kinds[path] = _type_name(value)
        return self.text(reason)

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
        if text in _NUMBERS:
            self.kinds.setdefault(path, _type_name(value))
            return self.walk_str(text, path)
        self.spend(len(text))
        return number

    def walk_bytes(self, value: bytes, path: str) -> str:
        kind = bytes if isinstance(value, bytes) else bytearray
        self.check(kind.__len__(value))
        return self.text(kind.__repr__(value))

    def walk_list(self, value: Iterable[Any], path: str) -> Any:
        """The description of a list or tuple."""
        with _Nesting(self, value) as obstacle:
            if obstacle:
                return self.cut(obstacle, value, path)
            items, holder = [], _secret_holder(path)
            for index, item in enumerate(_hide_secrets(value)):
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
        with _Nesting(self, value) as obstacle:
            if obstacle:
                return self.cut(obstacle, value, path)
            items: Record = {}
            holder = _secret_holder(path)
            # {"name": "DB_PASSWORD", "value": "..."}
            label = dict.get(value, "name") if isinstance(value, dict) else None
            # A derived class may have overridden it with anything.
            pairs = dict.items(value) if isinstance(value, dict) else value.items()
            for key, item in pairs:
                name = self.key_text(key, path)
                self.spend(len(name) + (6 if items else 4))
                if name in items:
                    stem = f"{name} ({_type_name(key)}"
                    name = next(n for n in _numbered(stem) if n not in items)
                below = f"{path}.{name}" if path else name
                called = label if type(label) is str and name == "value" else name
                items[name] = self.walk(item, below, f"{called} {holder}" if holder else called)
            return items

    def key_text(self, key: Any, path: str) -> str:
        """A key as JSON objects have them, which is as a string."""
        if not issubclass(type(key), str):
            self.kinds[f"{path}{{}}"] = _type_name(key)
        inner = _Describer()
        inner.room = self.room
        text = inner.walk(key, "", "")
        self.exact = self.exact and inner.exact and not isinstance(text, (list, dict))
        return text if isinstance(text, str) else str(text)

    def walk_object(self, value: Any, path: str) -> Any:
        """Anything else: by its fields, its shape or its repr."""
        kind = type(value)
        # By name, as importing NumPy to ask would take 100 ms.
        if any(c.__module__ == "numpy" and c.__name__ == "generic" for c in kind.__mro__):
            item = value.item()
            # Of times in nanoseconds Python makes plain integers.
            plain = type(item) in _PLAIN_TYPES and kind.__name__ not in _NUMPY_TIMES
            return self.walk(item, path, "") if plain else self.text(repr(value))
        fields = read_fields(value)
        if fields is not None:
            return self.walk_mapping(fields, path)
        if self.exact_only:
            # It isn't even asked for its repr or items, which may take long, or query a database.
            raise _TooLong
        if _is_mapping(kind):
            return self.walk_mapping(value, path)
        if hasattr(kind, "shape") and any(hasattr(kind, name) for name in _ARRAY_PROTOCOLS):
            dtype = f" dtype {value.dtype}" if hasattr(kind, "dtype") else ""
            return self.text(f"<{_type_name(value)} shape {tuple(value.shape)}{dtype}>")
        if _is_sequence(kind):
            return self.walk_list(value, path)
        if _is_long_in_print(kind):
            self.check(len(value))
        if kind is types.FunctionType:
            return self.text(f"<function {value.__module__}.{value.__qualname__}>")
        return self.text(remove_addresses(repr(value)))


class _Nesting:
    """A container being walked; entering tells if it is inside itself, or too deep."""

    def __init__(self, describer: _Describer, value: object) -> None:
        self.open, self.value = describer.open, value
        describer.spend(2)

    def __enter__(self) -> str | None:
        cycle = id(self.value) in self.open
        deep = len(self.open) >= DEPTH_LIMIT
        self.open.append(id(self.value))
        if cycle:
            return f"<cycle: this {_type_name(self.value)} is inside itself>"
        return f"<nested deeper than {DEPTH_LIMIT} levels>" if deep else None

    def __exit__(self, *error: object) -> None:
        self.open.pop()


def _hide_secrets(items: Iterable[Any]) -> Iterator[Any]:
    """The items of a sequence without secrets: those of a command line, or of a name and value."""
    is_pair = type(items) in (list, tuple) and len(items) == 2  # type: ignore[arg-type]
    name = ""
    for item in _items_of(items):
        text = item if type(item) is str and len(item) <= TEXT_LIMIT else ""
        is_value = name and not text.startswith("--") and is_secret(name, item)
        yield REDACTED if is_value else redact_argv([text])[0] if "=" in text else item
        name = text if is_pair or _pattern(r"--?[\w.-]+").fullmatch(text) else ""


_PLAIN_TYPES = (str, int, float, bool, type(None), list, dict)
_NUMPY_TIMES = ("datetime64", "timedelta64")
_DESCRIBERS: tuple[tuple[type, Callable[[_Describer, Any, str], Any]], ...] = (
    (str, _Describer.walk_str),
    (int, _Describer.walk_int),
    (float, _Describer.walk_float),
    (bytes, _Describer.walk_bytes),
    (bytearray, _Describer.walk_bytes),
    (dict, _Describer.walk_mapping),
    (list, _Describer.walk_list),
    (tuple, _Describer.walk_list),
    (set, _Describer.walk_set),
    (frozenset, _Describer.walk_set),
)


def _is_mapping(kind: type) -> bool:
    """Whether a type is one of mappings that can be read without changing them."""
    import collections.abc

    # A metaclass may have made its types unhashable; a cache (cachetools') notes what is read.
    is_mapping = _attempt(issubclass, kind, collections.abc.Mapping) is True
    return is_mapping and not hasattr(kind, "currsize")


# What arrays and tensors have, and neither what describes their type nor other things with a shape.
_ARRAY_PROTOCOLS = ("__array__", "__cuda_array_interface__", "__dlpack__")


def read_fields(value: Any) -> Record | None:
    """What an object holds that consists of named fields (a namespace, too); None for others."""
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
    if any((c.__module__, c.__name__) == ("pydantic.main", "BaseModel") for c in kind.__mro__):
        # Pydantic 1 calls them __fields__.
        fields: Any = getattr(kind, "model_fields", None)
        return list(getattr(kind, "__fields__", ()) if fields is None else fields)
    return None


def _is_sequence(kind: type) -> bool:
    """Whether a type is one of Python's own that can be walked like a list, at no other cost."""
    modules = ("builtins", "collections")
    names = ("deque", "UserList", "dict_keys", "dict_values")
    return any(c.__module__ in modules and c.__name__ in names for c in kind.__mro__)


def _is_long_in_print(kind: type) -> bool:
    """Whether values of a type have a repr that is at least as long as they are."""
    import collections.abc as abc

    # array.array is registered as a sequence from Python 3.10 on only
    is_array = any(base.__module__ == "array" for base in kind.__mro__)
    long_ones = (abc.MutableSequence, abc.MappingView)
    # A metaclass may have made its types unhashable.
    return is_array or _attempt(issubclass, kind, long_ones) is True


def _secret_holder(path: str) -> str:
    """The name of a container whose items are to be taken for what it is called, or ''."""
    words = _split_name(path[-20:])
    return words[-1] if words and words[-1] in _SECRET_HOLDERS else ""


def _count(start: int) -> Iterator[int]:
    """All numbers from that one on."""
    import itertools

    return itertools.count(start)


def _numbered(stem: str) -> Iterator[str]:
    """Names for keys whose own is taken: 'stem)', 'stem, 2)', 'stem, 3)' and so on."""
    return (f"{stem}, {n})" if n > 1 else f"{stem})" for n in _count(1))


def _type_name(value: object) -> str:
    """A value's type as it would be imported: 'pathlib.PosixPath', 'list'."""
    kind = type(value)
    try:
        module, name = kind.__module__, kind.__qualname__
        # Python 3.13 has pathlib._local.PosixPath.
        public = module.partition("._")[0]
        home = sys.modules.get(public)
        is_module = issubclass(type(home), types.ModuleType)
        if is_module and object.__getattribute__(home, "__dict__").get(name) is kind:
            module = public
        return name if module == "builtins" else f"{module}.{name}"
    except Exception:
        # A metaclass can refuse to tell even that.
        return "a type without a name"


def remove_addresses(text: str) -> str:
    """A repr without memory addresses, which differ from run to run."""
    return str(_pattern(r" at 0x[0-9a-fA-F]+| id='\d+'").sub("", text))


def describe_result(result: Any) -> Record:
    """What a function returned, if that is JSON (tuples and NumPy's scalars count) and not long."""
    describer = _Describer()
    describer.exact_only = True
    try:
        described = describer.walk(result, "result", "result")
    except (_TooLong, RecursionError):
        return {}
    return {"result": described} if describer.exact else {}


def describe_outcome(error: BaseException) -> Record:
    """How a run ended that an exception left: its status and error."""
    names = {kind.__name__ for kind in type(error).__mro__}
    # By name, as none is imported for this: click's and typer's Exit; asyncio's, and trio's.
    for name, attribute in (("SystemExit", "code"), ("Exit", "exit_code")):
        code = getattr(error, attribute, 1) if name in names else 1
        if code is None or (isinstance(code, int) and int(code) == 0):
            return {"status": "completed"}
    interrupted = names & {"KeyboardInterrupt", "GeneratorExit", "CancelledError", "Cancelled"}
    return {
        "status": "interrupted" if interrupted else "failed",
        "error": {
            "type": _type_name(error),
            "message": _shorten(redact_text(_text_of(error))),
            "traceback": format_traceback(error),
        },
    }


def describe_signal(number: int, frame: types.FrameType | None) -> Record:
    """The outcome of a run that a signal ends, with where it was."""
    import signal

    name = signal.Signals(number).name
    status = "interrupted" if name == "SIGINT" else "terminated"
    stack = format_stack(frame) if frame else []
    error = {"type": "Signal", "message": f"{status} by {name}", "traceback": stack}
    return {"status": status, "error": {**error, "signal": name}}


def format_stack(frame: types.FrameType) -> list[str]:
    """The lines that lead to a frame, as tracebacks have them, without our own frames."""
    try:
        import traceback

        stack = traceback.extract_stack(frame, TRACEBACK_LINES)
        lines = traceback.format_list([entry for entry in stack if not _is_own(entry.filename)])
        return _clean_traceback("".join(lines))
    except Exception as problem:
        return [f"unavailable: {_describe_briefly(problem)}"]


def format_traceback(error: BaseException) -> list[str]:
    """The traceback's lines, as Python prints them, without our own frames."""
    try:
        import traceback

        report = traceback.TracebackException(type(error), error, error.__traceback__)
        _drop_own_frames(report)
        return _clean_traceback("".join(report.format()))
    except Exception as problem:
        return [f"unavailable: {_describe_briefly(problem)}"]


def _clean_traceback(text: str) -> list[str]:
    """The lines of a traceback without secrets, and not too many of them."""
    if len(text) > 2 * TRACEBACK_LENGTH:
        # Redacting more would take noticeable time.
        head, tail = text[:TRACEBACK_LENGTH], text[-TRACEBACK_LENGTH:].partition("\n")[2]
        text = f"{head}\n... characters left out ...\n{tail}"
    lines = redact_text(text).splitlines()
    if len(lines) > 2 * TRACEBACK_LINES:
        omitted = [f"... {len(lines) - 2 * TRACEBACK_LINES} lines left out ..."]
        lines = lines[:TRACEBACK_LINES] + omitted + lines[-TRACEBACK_LINES:]
    return [_shorten(line) for line in lines]


def _drop_own_frames(report: Any) -> None:
    """Remove this file's frames from a `TracebackException`, its causes and its group's members."""
    # Without recursion, as there may be thousands.
    reports = [report]
    for one in reports:
        one.stack[:] = [frame for frame in one.stack if not _is_own(frame.filename)]
        others = (one.__cause__, one.__context__, *(getattr(one, "exceptions", None) or ()))
        reports += [other for other in others if other is not None]


def _text_of(error: BaseException) -> str:
    """An error as text, or what hindered that."""
    try:
        return str(error)[: 16 * TEXT_LIMIT]
    except Exception as problem:
        return f"<no text: its __str__ raised {type(problem).__name__}>"


def _describe_briefly(error: BaseException) -> str:
    return _shorten(f"{type(error).__name__}: {redact_text(_text_of(error))}", 500)


def _shorten(text: str, limit: int = TEXT_LIMIT) -> str:
    return text if len(text) <= limit else f"{text[:limit]}..."


# What may never be written. Names are taken apart, so that `tokenizer` holds no token: strong ones
# always count, weak ones with a text long enough to be a key. Values count by how well-known keys
# begin, and as passwords in URLs. Within a text, `name=value` and `"name": "value"` count too.
# Every search takes linear time: none goes twice over the same stretch, or is bounded there.
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
# A line without any of these holds no secret; looking for one would take a hundred times longer.
_SUSPICIOUS = (
    *"pass pwd secret credential auth jwt key token bearer cookie csrf sid sig session @".split(),
    *(start.lower() for start, _ in _KEYS),
)
# Languages in which a text has quotes; elsewhere (settings, shells) it may go without.
_CODE_SUFFIXES = tuple(".py .pyi .pyx .R .jl .m .c .h .cc .cpp .cu .rs .go .js .ts .java".split())
# What goes on over several lines, and how it ends.
_BLOCKS = (("-----BEGIN", "-----END"), *zip(('"' * 3, "'" * 3, *"([{"), ('"' * 3, "'" * 3, *")]}")))
# A line of nothing but base64, as keys have them.
_KEY_LINE = r"[\s\"']*[A-Za-z0-9+/=]{16,}(?:\\n)?[\s\"'+]*"
# Settings that a strong name may have without holding a secret: `password: yes`.
_HONEST_VALUES = {"", *"none null true false yes no on off auto".split()}
_patterns: dict[str, Any] = {}


def _pattern(text: str) -> Any:
    """A compiled pattern, compiled when first needed."""
    import re

    if text not in _patterns:
        _patterns[text] = re.compile(text)
    return _patterns[text]


def _split_name(name: str) -> list[str]:
    """The words of a name, in lower case: 'myAPI_Key' has my, api and key."""
    found = _pattern(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+").findall(name[:TEXT_LIMIT])
    return [word.lower() for word in found]


def _rate_name(name: str) -> str:
    """Whether a name says that it holds a secret: 'strong', 'weak' or ''."""
    rating = _ratings.get(name)
    if rating is None:
        rating = _judge_name(name)
        if len(_ratings) < 10_000:
            _ratings[name] = rating
    return rating


_ratings: dict[str, str] = {}


def _judge_name(name: str) -> str:
    """What `_rate_name` says of a name that it doesn't know yet."""
    words = f"_{'_'.join(_split_name(name))}_"
    if name in _HONEST_NAMES or _pattern(_COUNTING_NAMES).search(words):
        return ""
    if _pattern(_STRONG_NAMES).search(words):
        return "strong"
    return "weak" if _pattern(_WEAK_NAMES).search(words) else ""


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


def redact(name: str, value: str | None) -> str | None:
    """A named text, or REDACTED in its place."""
    if value is None:
        return None
    return REDACTED if is_secret(name, value) else redact_text(value)


def redact_text(text: str, is_code: bool = False) -> str:
    """A text without the parts that look like secrets; in code, a text that is named is quoted."""
    if text.isalnum() and len(text) < _WEAK_LENGTH:
        # A short word: no key that is known by its shape is one.
        return text
    if "@" in text:
        text = _pattern(_BARE_CREDENTIALS).sub(REDACTED, _redact_urls(text))
    # `in` first: it is a hundred times faster than a pattern that doesn't match.
    for start, rest in _KEYS:
        if start in text:
            text = _pattern(f"{_KEY_EDGE}{start}{rest}").sub(REDACTED, text)
    return _redact_named(text, is_code)


def _redact_urls(text: str) -> str:
    """A text whose URLs have no credentials."""
    # What comes back alternates: text, scheme, text, scheme, text.
    parts = _pattern(_SCHEMES).split(text)
    return "".join([*parts[:2], *map(_redact_authority, parts[2:])])


def _redact_authority(text: str) -> str:
    """What follows `scheme://` without its user and password, whatever they are made of."""
    url = _pattern(r"[^\s\"'<>]*").match(text).group()
    credentials, at, _ = url.rpartition("@")
    if not at:
        return text
    authority = _pattern(r"[^/?#\\]*").match(url).group()
    user, at, _ = authority.rpartition("@")
    if at:
        harmless = ":" not in user and len(user) < _WEAK_LENGTH
    else:
        # The @ belongs to the path, unless what should be a host and port can't be.
        harmless = _pattern(_HOSTS).fullmatch(authority)
    return text if harmless else REDACTED + text[len(credentials) :]


def _redact_named(text: str, is_code: bool) -> str:
    """A text without what it says the values of secret names are."""
    kept: list[str] = []
    end = 0
    for name in _pattern(_NAMES).finditer(text):
        rating = _rate_name(name.group(2)) if name.start() >= end else ""
        if rating:
            values = _STRONG_VALUES if rating == "strong" else _WEAK_VALUES
            value = _pattern(values).match(text, name.end())
            honest = is_code and value and _is_expression(text, name.end(), value.group())
            if value and not honest:
                mark = value.group("mark") or ""
                kept += text[end : name.end()], mark, REDACTED, mark
                end = value.end()
    return "".join(kept) + text[end:]


def _is_expression(code: str, start: int, value: str) -> bool:
    """Whether code says no text there, but where to get one: `args.key`, `os.environ["KEY"]`."""
    before = code[code.rfind("\n", 0, start) + 1 : start]
    if before.count('"') % 2 or before.count("'") % 2:
        # It is within a text that the code prints or parses, say.
        return _pattern(r"\w").search(value) is None
    texts = _pattern(r"([\"'])(.*?)(?:\1|$)").findall(value)
    if any(not _pattern(r"[A-Z][A-Z0-9_]*|\W*").fullmatch(text) for _, text in texts):
        return _pattern(r"\b(?:getpass|input)\(").search(value) is not None
    key = r"\W*\d|.*?(?<!\w)(?=\w*\d)[\w+/=-]{16}"
    return _pattern(key).match(value) is None


def redact_argv(argv: Sequence[str]) -> list[str]:
    """A command line without secrets: `--token=x`, `--token x`, `db.password=x`."""
    redacted, flag = [], ""
    for argument in map(str, argv):
        name, equals, value = argument.partition("=")
        is_name = _pattern(r"[\w./@~+-]+").fullmatch(name)
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
    """A remote's URL without credentials; an `@` that nothing but `git@` explains goes too."""
    start = url.find("://") + 3 if "://" in url else 0
    # urlsplit would miss `user:p/ss@host`, and git's short form `user@host:path` altogether.
    user, at, _ = url[start:].rpartition("@")
    if not at or user == "git" or url.startswith(("/", ".", "file:///")):
        return redact_text(url)
    return redact_text(url[:start] + REDACTED + url[start + len(user) :])


# ------------------------------------------------------------------------------
# Storing records
# ------------------------------------------------------------------------------
# Every record goes through `_RecordFile` and `replace_file`: a new file in the
# same folder, then a rename, so that a reader meets the old or the new record
# and never half of one.


class _Fixed(dict):  # type: ignore[type-arg]
    """A part of records that doesn't change: it is turned into text once."""

    text: str | None = None

    def __init__(self, *parts: Mapping[str, Any], **more: Any) -> None:
        super().__init__()
        for part in (*parts, more):
            self.update(_without_none(part))


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
    replace_file(_with_json(os.fspath(record_path)), format_record(record), durable=True)


def _with_json(path: str) -> str:
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
    # NaN and infinity aren't 0 then, and json has names of its own for them.
    if kind is int or (kind is float and value - value == 0):
        return repr(value)
    deeper = f"{indent}    "
    if isinstance(value, dict) and value:
        fixed = value if isinstance(value, _Fixed) and indent == _PART_INDENT else None
        if fixed is not None and fixed.text:
            return fixed.text
        # Most are texts: asking here saves a call for each.
        items = [
            f"{quote(key)}: {quote(v) if type(v) is str else _format_json(v, deeper, quote)}"
            for key, v in value.items()
        ]
        text = f"{{{deeper}{f',{deeper}'.join(items)}{indent}}}"
        if fixed is not None:
            fixed.text = text
        return text
    if isinstance(value, (list, tuple)) and value:
        items = [_format_json(item, deeper, quote) for item in value]
        return f"[{deeper}{f',{deeper}'.join(items)}{indent}]"
    if value is None:
        return "null"
    if kind is list and not value:
        return "[]"
    import json

    return json.dumps(value)


_PART_INDENT = "\n    "  # of a record's top-level values


# The records that this process has written, or swept: the uuid and size as it left them.
_written: dict[str, tuple[str, int]] = {}


def _number(path: str) -> Iterator[str]:
    """Names for a record whose own is taken: `x_2.json`, `x_3.json` and so on."""
    stem = path[: -len(".json")]
    return (f"{stem}_{number}.json" for number in _count(2))


class _RecordFile:
    """The file of one run's record, or the run's place in a chained one."""

    def __init__(self, path: str, base: str, chain: bool) -> None:
        self.path, self.base, self.chain = path, base, chain
        self.folder, self.name = os.path.split(path)
        # The run's record as it was written last, and the file as an earlier run left it.
        self.entry = ""
        self.earlier = _written.get(path, ("", 0))

    def create(self, record: Record) -> bool:
        """Write a record where nothing is, so that nobody else takes the name; else False."""
        with _Folder(self.folder, self.base) as folder:
            try:
                os.close(folder.open(self.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return False
            try:
                folder.replace(self.name, format_record(record), durable=False)
            except BaseException:
                # Nothing there is better than an empty file.
                folder.remove(self.name)
                raise
        return True

    def write(self, record: Record, durable: bool) -> None:
        entry = format_record(record)
        with _Folder(self.folder, self.base) as folder:
            if not self.chain:
                folder.replace(self.name, entry, durable)
                _written[self.path] = record["uuid"], len(entry)
                return
            with _Lock(folder, f"{_begin_hidden(self.name)}lock") as problem:
                if problem:
                    entry = self.note_no_lock(record, problem)
                text = place_in_chain(self.read_chain(folder), self.entry, entry)
                folder.replace(self.name, text, durable)
                self.entry = entry

    def note_no_lock(self, record: Record, problem: str) -> str:
        """Say in the record, and once to the user, that there is no lock."""
        if "chain_lock" not in record:
            _warn(f"{self.path}: no lock, so parallel runs can lose records: {problem}")
        record["chain_lock"] = f"unavailable: {problem}"
        return format_record(record)

    def read_chain(self, folder: _Folder) -> str:
        """The text of the file; one that is broken is set aside, and the chain begins anew."""
        try:
            text = folder.read(self.name).decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return ""
        if is_chain(text):
            return text
        now, token = time.strftime("%Y%m%d%H%M%S"), os.urandom(4).hex()
        aside = f"{self.name}.broken-{now}-{token}"
        folder.rename(self.name, aside)
        aside = os.path.join(self.folder, aside)
        _warn(f"{self.path} holds no records; it was set aside as {aside}")
        return ""

    def sweep(self) -> None:
        """Remove the temporary files that killed runs left of this record; once a process."""
        if self.path in _written:
            return
        _make_room(_written)
        _written[self.path] = self.earlier
        try:
            with _Folder(self.folder, self.base) as folder:
                for name in folder.names():
                    if self.is_stray(folder, name):
                        folder.remove(name)
        except OSError:
            # One may be free to write in a folder, and not to list it.
            return

    def is_stray(self, folder: _Folder, name: str) -> bool:
        """Whether a file is a temporary one of this record, of a run that is no more."""
        start = _begin_hidden(self.name)
        if not (name.startswith(start) and name.endswith(".tmp")):
            return False
        machine, _, process = name[len(start) :].partition(".")[0].partition("-")
        if machine == _owner().partition("-")[0] and sys.platform != "win32":
            return is_gone(*process.partition("-")[::2])
        return folder.age(name) > TEMPORARY_LIFE


def _begin_hidden(name: str) -> str:
    """How the names of the hidden files beside a file begin; they may have 255 bytes, as it may."""
    if len(name) <= 50:
        return f".{name}."
    # No character has more than four bytes, or is cut through.
    short = os.fsencode(name)[:200].decode(errors="ignore")
    return f".{name}." if short == name else f".{short}.json."


def _owner() -> str:
    """This process in the names of its temporary files: machine (boot, container), pid, start."""
    pid, name = _remembered.get("owner", (0, ""))
    if pid != os.getpid():
        import binascii

        identity, host = _read_process_identity(), _attempt(_read_hostname)
        boot = f"{identity.get('boot_id')}{identity.get('pid_namespace')}{host}"
        pid, start = identity["pid"], identity.get("start_time")
        name = f"{binascii.crc32(boot.encode()):08x}-{pid}-{start}"
        _remembered["owner"] = pid, name
    return str(name)


def is_chain(text: str) -> bool:
    """Whether a file's text is a record or a list of them.

    It is parsed only if its lines aren't indented as ours: that would take as long as all the rest.
    """
    ends = text[:1] + text.rstrip()[-1:]
    if ends not in ("{}", "[]") or not _pattern(r'\[?\s*\{\s*"(?:pycrumbs|uuid)"').match(text):
        return False
    if text.count("\n") == text.count("\n    ") + 1 and "\0" not in text:
        return True
    import json

    try:
        return bool(json.loads(text))
    except (ValueError, RecursionError):
        return False


def place_in_chain(text: str, old: str, new: str) -> str:
    """The text of a chained file with one run's record in it: in the place of its old one, or last.

    The other records' text stays as it is, to the byte.
    """
    if not text or text == old:
        return new
    if not text.startswith("["):
        text = f"[\n    {_indent(text.rstrip())}\n]"
    place = text.rfind(_indent(old)) if old else -1
    if place >= 0:
        return text[:place] + _indent(new) + text[place + len(_indent(old)) :]
    return f"{text.rstrip()[:-1].rstrip()},\n    {_indent(new)}\n]"


def _indent(text: str) -> str:
    """Lines, one level further to the right."""
    return text.replace("\n", "\n    ")


class _Lock:
    """A lock on a chained file, held by a file beside it, which is never replaced.

    Entering returns why there is no lock, if the file system refuses locks (some NFS and Lustre).
    """

    def __init__(self, folder: _Folder, name: str) -> None:
        self.folder, self.name = folder, name

    def __enter__(self) -> str | None:
        self.descriptor = self.folder.open(self.name, os.O_RDWR | os.O_CREAT)
        deadline = time.monotonic() + LOCK_TIMEOUT
        try:
            while not _lock_file(self.descriptor):
                if time.monotonic() > deadline:
                    problem = f"somebody has locked {self.name} for {LOCK_TIMEOUT:.0f} s"
                    raise TimeoutError(errno.ETIMEDOUT, problem)
                time.sleep(0.005)
        except TimeoutError:
            os.close(self.descriptor)
            raise
        except OSError as error:
            return str(error.strerror)
        return None

    def __exit__(self, *error: object) -> None:
        # Closing alone would leave it locked while a child that was forked meanwhile lives.
        _attempt(_lock_file, self.descriptor, unlock=True)
        os.close(self.descriptor)


def _lock_file(descriptor: int, unlock: bool = False) -> bool:
    """Lock an open file, unless somebody else has; OSError where files can't be locked."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_UNLCK if unlock else msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            # flock belongs to the open file: unlike lockf's, no other descriptor's closing releases
            # it.
            fcntl.flock(descriptor, fcntl.LOCK_UN if unlock else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            raise
        return False
    return True


def replace_file(path: str, text: str, durable: bool) -> None:
    """Write a text file in the way of `_Folder.replace`."""
    above, name = os.path.split(path)
    with _Folder(above) as folder:
        folder.replace(name, text, durable)


_STEP_ONLY = getattr(os, "O_PATH", 0)  # Linux's: needs no right to list the folder
_STEP = _STEP_ONLY | getattr(os, "O_DIRECTORY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


_known_folders: set[tuple[str, int, int]] = set()  # that no link of others led to


def _make_room(known: set[Any] | dict[Any, Any]) -> None:
    """Forget all, if it is much: what is asked for again costs less than memory without end."""
    if len(known) >= FILE_LIMIT:
        known.clear()


class _Folder:
    """A folder to write in, opened step by step so that no link can lead elsewhere.

    On the way to `base`, those links are followed that root, this user, or the owner of the folder
    they are in has placed; so in a shared folder nobody can lead another's run astray. From there
    on, none is. Where folders can't be opened so, paths must do (Windows).
    """

    def __init__(self, path: str, base: str = "") -> None:
        self.path = self.base = path or "."
        if base and os.path.join(path, "").startswith(os.path.join(base, "")):
            self.base = base
        self.descriptor: Any = None
        # As many links may be followed as the kernel would.
        self.links = 40

    def __enter__(self) -> _Folder:
        if os.open in os.supports_dir_fd:
            self.descriptor = os.open(_Unnoted(self.base), _STEP)
            try:
                if _STEP_ONLY and self.identity() not in _known_folders:
                    self.walk()
                self.links = 0
                self.go(self.path[len(self.base) :])
            except BaseException:
                os.close(self.descriptor)
                raise
        return self

    def __exit__(self, *error: object) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)

    def identity(self) -> tuple[str, int, int]:
        """What tells that a path still leads to the folder that it was found to lead to."""
        found = os.fstat(self.descriptor)
        return self.base, found.st_dev, found.st_ino

    def walk(self) -> None:
        """Go to `base` step by step; once that has gone well, the next time needn't."""
        start = os.open(_Unnoted("/" if os.path.isabs(self.base) else "."), _STEP)
        self.move(start)
        self.go(self.base)
        _make_room(_known_folders)
        _known_folders.add(self.identity())

    def go(self, path: str) -> None:
        """Go on along a path, and the links on it."""
        for part in filter(None, path.split("/")):
            try:
                self.step(part)
            except NotADirectoryError:
                target = self.read_link(part)
                if target.startswith("/"):
                    self.step("/")
                self.go(target)

    def step(self, part: str) -> None:
        below = os.open(_Unnoted(part), _STEP | _NO_LINK, dir_fd=self.descriptor)
        self.move(below)

    def move(self, descriptor: int) -> None:
        """Go on to another folder; in this order, as Ctrl-C may come between."""
        before, self.descriptor = self.descriptor, descriptor
        os.close(before)

    def read_link(self, part: str) -> str:
        """Where a link leads; OSError if it isn't one to follow."""
        link = os.open(_Unnoted(part), _STEP_ONLY | _NO_LINK, dir_fd=self.descriptor)
        try:
            found, around = os.fstat(link), os.fstat(self.descriptor)
            if not stat.S_ISLNK(found.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            if found.st_uid not in (0, os.geteuid(), around.st_uid):
                raise PermissionError(errno.EPERM, f"another user has placed the link {part}")
            self.links -= 1
            if self.links < 0:
                raise OSError(errno.ELOOP, f"{part} is a link")
            return os.readlink("", dir_fd=link)
        finally:
            os.close(link)

    def at(self, name: str) -> _Unnoted:
        """What a file in it is called along with `dir_fd`."""
        return _Unnoted(os.path.join(self.path, name) if self.descriptor is None else name)

    def open(self, name: str, flags: int) -> int:
        """A descriptor of a file, new ones with the permissions that the umask gives."""
        try:
            return os.open(self.at(name), flags | _NO_LINK, 0o666, dir_fd=self.descriptor)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise OSError(errno.ELOOP, f"{name} is a link") from None
            raise

    def read(self, name: str) -> bytes:
        """What a file holds; a pipe, which would have to be waited for, is an error."""
        descriptor = self.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, f"{name} is not a file")
            with _open(descriptor, "rb", closefd=False) as file:
                return file.read()
        finally:
            os.close(descriptor)

    def replace(self, name: str, text: str, durable: bool) -> None:
        """Write a text file through a temporary one beside it.

        `durable` has it reach the disk (fsync) before it takes the old one's place.
        """
        # Its name says whose it is, so that a later run knows whether it is a stray.
        temporary = f"{_begin_hidden(name)}{_owner()}.{os.urandom(4).hex()}.tmp"
        # O_EXCL: never through a link, or into a file, that somebody has put there.
        descriptor = self.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        data = memoryview(text.encode("utf-8", "surrogateescape"))
        try:
            try:
                while data:
                    data = data[os.write(descriptor, data) :]
                if durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self.rename(temporary, name)
        except BaseException:
            self.remove(temporary)
            raise

    def rename(self, old: str, new: str) -> None:
        """Rename; where Windows refuses because somebody reads the file, try again for 2 s."""
        at, deadline = self.descriptor, 0.0
        while True:
            try:
                os.replace(self.at(old), self.at(new), src_dir_fd=at, dst_dir_fd=at)
                return
            except PermissionError:
                deadline = deadline or time.monotonic() + (2 if sys.platform == "win32" else 0)
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.01)

    def remove(self, name: str) -> None:
        try:
            os.unlink(self.at(name), dir_fd=self.descriptor)
        except OSError:
            # Somebody else was quicker.
            return

    def make(self, name: str) -> None:
        """Make a folder in it."""
        os.mkdir(self.at(name), dir_fd=self.descriptor)

    def names(self) -> list[str]:
        """What is in it."""
        if self.descriptor is None:
            return os.listdir(self.path)
        descriptor = os.open(_Unnoted("."), os.O_RDONLY, dir_fd=self.descriptor)
        try:
            return os.listdir(descriptor)
        finally:
            os.close(descriptor)

    def age(self, name: str) -> float:
        """Seconds since a file was changed."""
        found = os.stat(self.at(name), dir_fd=self.descriptor, follow_symlinks=False)
        return time.time() - found.st_mtime


def create_directories(path: str, parents: bool, base: str = "") -> list[str]:
    """Create a directory, its parents too if asked; return what wasn't there, outermost first."""
    missing = [] if os.path.isdir(path) else [path]
    while missing and parents and not os.path.isdir(os.path.dirname(missing[-1])):
        missing.append(os.path.dirname(missing[-1]))
    created: list[str] = []
    for folder in reversed(missing):
        above, name = os.path.split(folder)
        try:
            with _Folder(above, base) as place:
                place.make(name)
            created.append(folder)
        except OSError as error:
            if not isinstance(error, FileExistsError) or not os.path.isdir(folder):
                _remove_directories(created)
                raise
    return created


# Windows takes these for devices, whatever suffix follows.
_DEVICE = r"(?i)(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\xb9\xb2\xb3])\s*(?:\..*)?"


def leads_inside(path: str, system: Any = os.path) -> bool:
    """Whether a path stays inside the folder that it is joined to, and names one in there.

    `system` is `os.path`, or that of another system. Windows drops spaces and dots at the end of
    names, so that '.. ' is '..', and takes 'a:b' for a stream of the file 'a'.
    """
    parts = path.replace(system.altsep or system.sep, system.sep).split(system.sep)
    named = [part for part in parts if part not in ("", ".")]
    if system.isabs(path) or system.splitdrive(path)[0] or ".." in parts or "\0" in path:
        return False
    if system.sep == "\\":
        odd = [p for p in named if ":" in p or p[-1] in " ." or _pattern(_DEVICE).fullmatch(p)]
        return bool(named) and not odd and parts[0] != ""
    return bool(named)


def _remove_directories(created: Iterable[str]) -> None:
    """Remove directories that were created for nothing."""
    for folder in reversed(list(created)):
        try:
            os.rmdir(folder)
        except OSError:
            return


# ------------------------------------------------------------------------------
# Reading back
# ------------------------------------------------------------------------------
# Records are data from elsewhere: nothing in them is executed, their size and
# depth are bounded, and whatever they hold may have any type. Everything here
# takes records and returns values; what is printed is made in 'Showing'.


class RecordError(Exception):
    """A record that can't be found, read or used; the message says which, why and what to do."""


class _NoRecord(RecordError):
    """A file that is fine, and something else."""


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
    return sorted(iterate_records(os.fsdecode(root), _warn), key=_start_of, reverse=True)


def iterate_records(
    root: str, on_problem: Callable[[str], object] = lambda problem: None
) -> Iterator[Record]:
    """The records below a folder, or in one file, one after another in no order.

    `on_problem` is told what looks like a record below the folder, and is left out, and why.
    """
    if not os.path.isdir(root):
        yield from read_records(root)
        return
    # Says why, if it can't be read.
    _list_folder(root)
    for folder, files in walk_folders(root, on_problem):
        for name in files:
            path = os.path.join(folder, name)
            if name.endswith(".json") and _looks_like_record(path):
                try:
                    yield from read_records(path)
                except _NoRecord:
                    # A function's own file begins in the same way.
                    continue
                except RecordError as error:
                    on_problem(f"{error}; left out")


def walk_folders(root: str, on_problem: Callable[[str], object]) -> Iterator[tuple[str, list[str]]]:
    """Each folder below one, with the names of its files; those that links lead to come last."""

    def tell(error: OSError) -> None:
        on_problem(f"{error.filename}: cannot be read: {error.strerror}; left out")

    seen: set[object] = set()
    roots = [root]
    for top in roots:
        for folder, folders, files in os.walk(top, onerror=tell):
            # A link may lead to another disk, or back.
            identity = _attempt(_identify, folder)
            if identity in seen:
                folders.clear()
                continue
            seen.add(identity)
            folders[:] = [name for name in folders if name not in _SKIPPED_FOLDERS]
            paths = (os.path.join(folder, name) for name in folders)
            roots += [path for path in paths if os.path.islink(path)]
            yield folder, files


def _identify(path: str) -> tuple[int, int]:
    """What tells a folder from all others, whichever path led there."""
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _list_folder(folder: str) -> list[str]:
    """The names in a folder, sorted; RecordError if it cannot be read."""
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise RecordError(f"{folder}: cannot be read: {error.strerror}") from None


def _looks_like_record(path: str) -> bool:
    """Whether a file begins as records do, those of pycrumbs 0.4 included."""
    try:
        if not os.path.isfile(path):
            # Opening a named pipe would wait for whoever writes to it.
            return False
        head = _read_bytes(path, min(100, os.path.getsize(path))).decode("utf-8", "replace")
    except PermissionError:
        # Whoever reads it tells.
        return path.endswith("_record.json")
    except OSError:
        return False
    # Other programs (jq) may have sorted its keys, or taken the blanks out.
    start = r'\s*\[?\s*\{\s*"(?:(?:pycrumbs|uuid)"\s*:\s*"|called_function"\s*:\s*\{)'
    return _pattern(start).match(head) is not None


def read_records(path: str) -> list[Record]:
    """The records in a file, oldest first, with their place in it."""
    records = parse_records(_load_text(path), path)
    return [
        {**record, "record_path": path, "record_number": number}
        for number, record in enumerate(records, 1)
    ]


def _load_text(path: str) -> bytes:
    """What a record file holds; RecordError if it can't be read, or is too large."""
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise RecordError(f"{path}: is not a file")
        size = os.path.getsize(path)
        if size > LOAD_LIMIT:
            raise RecordError(f"{path}: is larger than {format_size(LOAD_LIMIT)}")
        # Files of size 0 below /proc may have no end: read no more than the size says.
        return _read_bytes(path, size)
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from None


def parse_records(text: bytes, path: str) -> list[Record]:
    """Parse what a record file holds: one record, or a list of them."""
    import gc
    import json

    if count_values(text) > VALUE_LIMIT:
        raise RecordError(f"{path}: holds more than {VALUE_LIMIT:,} values")
    if len(text) > LOAD_LIMIT // 4 and not text.isascii():
        # One wide character makes Python keep all of a text in four bytes each.
        raise RecordError(f"{path}: is larger than {format_size(LOAD_LIMIT // 4)}, and not ASCII")
    # JSON has no cycles, and looking for them takes most of the time that a large record does.
    was_enabled = gc.isenabled()
    try:
        gc.disable()
        content = json.loads(text)
        problem = find_excess(content, may_be_long=len(text) > PATCH_LIMIT)
    except RecursionError:
        problem = _TOO_DEEP
    except ValueError as error:
        raise RecordError(f"{path}: is not JSON, or cut short: {error}") from None
    finally:
        if was_enabled:
            gc.enable()
    if problem:
        raise RecordError(f"{path}: {problem}")
    records = content if isinstance(content, list) else [content]
    if not records or not all(isinstance(r, dict) and "called_function" in r for r in records):
        raise _NoRecord(f"{path}: is JSON, but not a record of pycrumbs")
    if len(records) > RUN_LIMIT:
        raise RecordError(f"{path}: holds more than {RUN_LIMIT:,} runs")
    return records


def count_values(text: bytes) -> int:
    """How many values a JSON text holds, before they take any memory; exactly only if too many."""
    import re

    count = text.count(b",") + 2 * (text.count(b"[") + text.count(b"{"))
    if count <= VALUE_LIMIT:
        return count
    # Texts hold commas, too, which are no values. Most vanish with all that is neither.
    bare = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    bare = bare.translate(None, bytes({*range(256)}.difference(b'",[{'))).replace(b'""', b"")
    count = 0
    for token in re.finditer(rb'"[^"]*"?|([^"]+)', bare):
        values = token[1] or b""
        count += 2 * len(values) - values.count(b",")
        if count > VALUE_LIMIT:
            break
    return count


_TOO_DEEP = "is nested too deeply to be a record"


def find_excess(content: object, may_be_long: bool) -> str | None:
    """What no record has and not all code can follow: deep nesting, or an endless text."""
    level: list[Any] = [[content]]
    # Exactly these are what json makes; asked for so, it takes half the time.
    kinds = {dict, list}
    for _ in range(DEEPEST):
        children = [value.values() if isinstance(value, dict) else value for value in level]
        if may_be_long:
            texts = (v for values in (*children, *level) for v in values if isinstance(v, str))
            if max(map(len, texts), default=0) > PATCH_LIMIT:
                return _TOO_LONG
        level = [v for values in children for v in values if type(v) in kinds]
        if not level:
            return None
    return _TOO_DEEP


_TOO_LONG = f"holds a text of more than {PATCH_LIMIT:,} characters"


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
    return find_run(os.fsdecode(target), _warn)


def find_run(path: str, on_problem: Callable[[str], object]) -> Record:
    """`find_record`; `on_problem` is told what looks like a record there, and can't be read."""
    stem, _, number = path.rpartition("@")
    # A file may be called so itself, and then is meant.
    if stem and _pattern("[0-9]{1,9}$").match(number) and not os.path.lexists(path):
        return _find_numbered(stem, int(number))
    if os.path.isdir(path):
        return find_record_in(path, on_problem)
    is_alike = _looks_like_record(path)
    maker = None if is_alike else find_maker(path)
    if maker is not None:
        return maker
    if not os.path.exists(path):
        raise RecordError(f"{path}: there is no such file or directory")
    if is_alike or path.endswith(".json"):
        try:
            return read_records(path)[-1]
        except RecordError:
            # A file that a run has made may begin like a record.
            maker = find_maker(path)
            if maker is not None:
                return maker
            raise
    advice = "if it was written elsewhere, trace --root DIR looks for it by content"
    raise RecordError(f"{path}: no record beside it or in a folder above names this file; {advice}")


def as_record(record: Record | _StrPath) -> Record:
    """A record, or the one that a path stands for."""
    return record if isinstance(record, dict) else find_record(record)


def _find_numbered(target: str, number: int) -> Record:
    """The run of that number, from 1, in the record file that a path stands for."""
    path = find_record(target)["record_path"]
    records = read_records(path)
    if not 1 <= number <= len(records):
        runs = "run" if len(records) == 1 else "runs"
        raise RecordError(f"{path}: holds {len(records)} {runs}; there is no number {number}")
    return records[number - 1]


def find_record_in(folder: str, on_problem: Callable[[str], object]) -> Record:
    """The newest record of a directory; if it has none, of the folders below it, or above."""
    problems: list[str] = []
    nearest = records_in(folder, problems.append) or iterate_records(folder, problems.append)
    record = max(nearest, key=_start_of, default=None) or _Makers().find_for_folder(folder)
    if record is None:
        missing = f"{folder}: there is no record in this directory, below or above it"
        raise RecordError(problems[0] if problems else missing)
    for problem in dict.fromkeys(problems):
        on_problem(problem)
    return record


def records_in(
    folder: str, on_problem: Callable[[str], object] = lambda problem: None
) -> list[Record]:
    """The records in one directory; `on_problem` is told what looks like one and can't be read."""
    paths = [os.path.join(folder, name) for name in _list_folder(folder) if name.endswith(".json")]
    found: list[Record] = []
    for path in filter(_looks_like_record, paths):
        try:
            found += read_records(path)
        except _NoRecord:
            continue
        except RecordError as error:
            on_problem(f"{error}; left out")
    return found


def find_maker(path: str) -> Record | None:
    """The run that made a file, by the records beside it and in the folders above."""
    path = os.path.abspath(path)
    maker = _Makers().find(path) or _find_maker_0_4(path)
    return maker.record if maker else None


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
        newest, or the one that `choose_maker` takes of several at once.
        """
        claims = [
            (folder, claim)
            for folder in _folders_above(path)
            for claim in self.claims_in(folder).get(path, ())
        ]
        if not claims:
            real = os.path.realpath(path)
            return None if real == path else self.find(real, sha256, before)
        if sha256 is None and len(claims) > 1:
            sha256 = hash_file(path)
        # The longest folder is the nearest one.
        ranked = [
            ((claim.made(sha256) is True, _start_of(claim.record) < before, len(folder)), claim)
            for folder, claim in claims
        ]
        best = max(rank for rank, _ in ranked)
        return choose_maker([claim for rank, claim in ranked if rank == best])

    def find_for_folder(self, folder: str) -> Record | None:
        """The newest run of the nearest folder above that has outputs below this one."""
        folder = os.path.abspath(folder)
        for above in _folders_above(folder):
            claims = self.claims_in(above).items()
            found = [c.record for path, cs in claims for c in cs if is_below(path, folder)]
            if found:
                return max(found, key=_start_of)
        return None

    def claims_in(self, folder: str) -> dict[str, list[_Maker]]:
        """The outputs that the records in one folder name, by path."""
        if folder not in self.claims:
            claims = self.claims[folder] = {}
            for record in _attempt_list(records_in, folder):
                self.by_uuid[str(record.get("uuid"))] = record
                for entry in entries_of(record, "outputs", folder):
                    maker = _Maker(record=record, sha256=entry["sha256"])
                    claims.setdefault(entry["path"], []).append(maker)
        return self.claims[folder]


def choose_maker(claims: Sequence[_Maker]) -> _Maker:
    """The newest run; of runs at once the one that ended first, as the others saw the file, too."""
    newest = max(claims, key=lambda claim: _start_of(claim.record))
    start = _start_of(newest.record)
    at_once = [claim for claim in claims if _end_of(claim.record) > start]
    return min(at_once, key=lambda claim: _end_of(claim.record), default=newest)


def _folders_above(path: str) -> Iterator[str]:
    """The folder that a path is in, and those above it."""
    import itertools
    import pathlib

    # From the top down, as below a folder that isn't there none is looked for.
    above = reversed(pathlib.PurePath(path).parents)
    folders = itertools.takewhile(os.path.isdir, map(str, above))
    yield from reversed([*folders])


def _find_maker_0_4(path: str) -> _Maker | None:
    """As pycrumbs 0.4 listed no outputs, the newest of its records beside the file must do."""
    if not os.path.isfile(path):
        return None
    records = _attempt_list(records_in, os.path.dirname(path))
    old = [record for record in records if "pycrumbs" not in record]
    return _Maker(record=max(old, key=_start_of), sha256=None) if old else None


def _attempt_list(read: Callable[[str], list[Record]], argument: str) -> list[Record]:
    """What a reader of records finds, or none where it fails."""
    try:
        return read(argument)
    except RecordError:
        return []


def get(record: object, *keys: str) -> Any:
    """What a record holds under nested keys; None where it isn't, or isn't a record's shape."""
    for key in keys:
        record = record.get(key) if isinstance(record, dict) else None
    return record


def _start_of(record: Record) -> float:
    """When a run started, in seconds since the epoch; 0 where that isn't told."""
    return _seconds(get(record, "timing", "start_time"))


def _end_of(record: Record) -> float:
    """When a run ended; never where that isn't told."""
    return _seconds(get(record, "timing", "end_time")) or float("inf")


def _seconds(text: object) -> float:
    """A recorded time in seconds since the epoch; 0 if it is none."""
    import datetime

    try:
        return datetime.datetime.fromisoformat(str(text)).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def entries_of(record: Record, kind: str, folder: str | None = None) -> list[Record]:
    """A record's inputs or outputs, by absolute path; what isn't an entry is left out.

    `folder` is where the record lies, unless its own path tells. `name` is the path as recorded;
    a size that is no number, or a hash that is no text, becomes None.
    """
    if folder is None:
        folder = os.path.dirname(os.path.abspath(str(record.get("record_path", "."))))
    entries = record.get(kind)
    found = []
    for entry in entries[:FILE_LIMIT] if isinstance(entries, list) else ():
        name, size, sha256 = (get(entry, key) for key in ("path", "size", "sha256"))
        if isinstance(name, str) and len(name) <= PATH_LIMIT and _is_text(name):
            place = {"path": os.path.normpath(os.path.join(folder, name)), "name": name}
            size = size if isinstance(size, int) and 0 <= size < 2**63 else None
            sha256 = sha256 if isinstance(sha256, str) else None
            found.append({**entry, **place, "size": size, "sha256": sha256})
    return found


def judge_status(record: Record) -> str:
    """A run's status; one recorded as running is looked for: running, died, or unknown (why)."""
    status = record.get("status")
    if status is None:
        # pycrumbs 0.4 wrote no status, but an end time.
        return "completed" if get(record, "timing", "end_time") else "unknown (no end time)"
    if status != "running":
        return str(status)
    # A pid says nothing about another machine,
    if get(record, "environment", "hostname") != _attempt(_read_hostname):
        return "unknown (other host)"
    then, here = get(record, "environment", "process"), _attempt(_read_process_identity)
    if not get(then, "boot_id") or not get(here, "boot_id"):
        return "unknown (no process identity)"
    # no process outlives a boot,
    if then["boot_id"] != here["boot_id"]:
        return "died"
    # and a container counts its own.
    if get(then, "pid_namespace") != get(here, "pid_namespace"):
        return "unknown (other container)"
    pid = get(then, "pid")
    gone = not isinstance(pid, int) or is_gone(pid, get(then, "start_time"))
    return "died" if gone else "running"


def verify_record(
    record: Record | _StrPath, on_progress: Callable[[int], object] | None = None
) -> list[Record]:
    """Compare a run's inputs and outputs with the files as they are now.

    Parameters
    ----------
    record
        From `find_record` or `load_records`; or a path that `find_record` takes.
    on_progress
        Called, from the threads that hash, with the number of bytes after each stretch of them.

    Returns
    -------
    list of dict
        record_path, path, kind ('input' or 'output') and state: 'ok', 'changed', 'missing',
        'unreadable', or 'unhashed' for a file of the right size that the record has no hash of.
    """
    return verify_records([as_record(record)], on_progress)


def verify_records(
    records: Sequence[Record], on_progress: Callable[[int], object] | None = None
) -> list[Record]:
    """Verify several runs at once.

    One state more than `verify_record` has is possible: 'replaced', for an output that isn't the
    recorded one because a later one of these runs made it anew.
    """
    entries, newest = [], {}
    for record in sorted(leave_out_links(records), key=_start_of):
        for kind in ("inputs", "outputs"):
            for entry in entries_of(record, kind):
                entries.append({**entry, "kind": kind[:-1], "record": record})
                if kind == "outputs":
                    newest[entry["path"]] = record
    judge_files(entries, on_progress)
    moved: dict[int, _Moved] = {}
    for entry in entries:
        if entry["kind"] == "input" and entry["state"] in ("changed", "missing"):
            follow_moved(entry, moved)
        is_newest = newest.get(entry["path"]) is entry["record"]
        if entry["kind"] == "output" and entry["state"] != "ok" and not is_newest:
            entry["state"] = "replaced"
        entry["record_path"] = entry["record"].get("record_path")
    return [_pick(entry, ("record_path", "path", "kind", "state")) for entry in entries]


def leave_out_links(records: Iterable[Record]) -> Iterable[Record]:
    """Records without those that are there by another name already."""
    unique: dict[object, Record] = {}
    for record in records:
        path = os.path.realpath(str(record.get("record_path", id(record))))
        unique.setdefault((path, record.get("record_number")), record)
    return unique.values()


def follow_moved(entry: Record, moved: dict[int, _Moved]) -> None:
    """Judge an input by where it is now, if it has moved together with the record.

    `moved` keeps what is known of each record.
    """
    record = entry["record"]
    if id(record) not in moved:
        moved[id(record)] = _Moved(record)
    path = moved[id(record)].find(entry)
    if path != entry["path"]:
        entry.update(path=path, state="ok")


def judge_files(
    entries: Sequence[Record], on_progress: Callable[[int], object] | None = None
) -> None:
    """Set each entry's state: whether its file is still what it says."""
    worth_hashing = []
    for entry in entries:
        signature = sign_file(entry["path"])
        if signature is None:
            # A file without a recorded size wasn't there when it was recorded, either.
            entry["state"] = "ok" if entry["size"] is None else "missing"
        elif signature[2] != entry["size"]:
            entry["state"] = "changed"
        elif entry["sha256"] is None:
            entry["state"] = "unhashed"
        else:
            worth_hashing.append((entry, {"path": entry["path"], "size": signature[2]}))
    hash_files([now for _, now in worth_hashing], None, on_progress=on_progress)
    for entry, now in worth_hashing:
        sha256 = now.get("sha256")
        is_same = sha256 == entry["sha256"]
        entry["state"] = "ok" if is_same else "changed" if sha256 else "unreadable"


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

    What always differs (uuids, times, process ids, resources) is not compared; nor is where each
    run left its files, by whatever argument it was told. Two seeds that nobody gave are listed
    only where what came out differs.

    Returns
    -------
    list of dict
        section ('function', 'arguments', 'code', 'seed', 'packages', 'inputs', 'outputs',
        'result', 'status', 'environment'), path within it, and the values `a` and `b`; one of
        them is missing where only one run has it. Arguments that are alike but for their types
        have the path "NAME (type)", and the types as values.
    """
    import itertools

    a, b = as_record(a), as_record(b)
    differences = []
    for section, (view, compare) in _DIFF_SECTIONS.items():
        views = view(a), view(b)
        found = list(itertools.islice(compare(*views), 2 * FILE_LIMIT + 1))
        for path, x, y in found if len(found) <= 2 * FILE_LIMIT else [("", *views)]:
            difference = {"section": section, "path": path, "a": x, "b": y}
            differences.append({k: v for k, v in difference.items() if v is not _ABSENT})
    sections = {difference["section"] for difference in differences}
    is_drawn = is_seed_drawn(a) and is_seed_drawn(b) and tells_outputs(a) and tells_outputs(b)
    if is_drawn and not sections & {"outputs", "result", "status"}:
        differences = [d for d in differences if d["section"] != "seed"]
    return differences


def tells_outputs(record: Record) -> bool:
    """Whether a record knows the content of all that the run made."""
    is_whole = "pycrumbs" in record and "outputs_omitted" not in record
    return is_whole and all(entry["sha256"] for entry in entries_of(record, "outputs"))


def is_seed_drawn(record: Record) -> bool:
    """Whether a run's seed was drawn, not given."""
    parameters = get(record, "called_function", "parameters")
    given = parameters.values() if isinstance(parameters, dict) else ()
    return record.get("seed") is not None and record["seed"] not in given


def forget_directory(value: Any, directory: str, cwd: str, bare: bool = True) -> Any:
    """A value in which every path into a run's own directory begins with OWN_DIRECTORY instead.

    Relative paths lead on from `cwd`, the run's working directory. A bare word counts only if it
    names the directory itself, and where `bare` ones do: it may well be something else.
    """
    if isinstance(value, dict):
        return {key: forget_directory(item, directory, cwd, bare) for key, item in value.items()}
    if isinstance(value, list):
        return [forget_directory(item, directory, cwd, bare) for item in value]
    if not isinstance(value, str) or len(value) > PATH_LIMIT:
        return value
    if not value.startswith(".") and os.path.basename(directory) not in value:
        return value
    before = _pattern(_BEFORE_PATH).match(value)[0]
    after = "')" if value.endswith("')") else ""
    text = value[len(before) : len(value) - len(after)]
    path = os.path.normpath(os.path.join(cwd, text))
    is_own = path == directory and bare
    if os.sep in text:
        is_own = path == directory or is_below(path, directory)
    if not is_own:
        return value
    return before + OWN_DIRECTORY + path[len(directory) :] + after


OWN_DIRECTORY = "<the run's directory>"
_BEFORE_PATH = r"(?:\w+Path\('|[\w.-]+=)?"
# What may be a path in a sentence: what stands in quotes, or a word.
_PATH_IN_TEXT = r"(?<=\W')[^'\n]+(?=')|(?<=\W\")[^\"\n]+(?=\")|[^\s'\"(),:;]+"


def forget_own_directory(arguments: object, call: Record) -> Record:
    """The arguments of a run without where it left its files, which its `describe_place` tells."""
    # Not every record says which one it was told by.
    told_by, here = call["directory_parameter"], (call["directory"], call["cwd"])
    return {
        name: forget_directory(value, *here, bare=told_by in (None, name))
        for name, value in _items(arguments)
    }


def describe_place(record: Record) -> Record:
    """Where a run left its files, by which parameter it was told, and where it was itself."""
    return {
        "directory": directory_of(record),
        "directory_parameter": get(record, "called_function", "directory_parameter"),
        "cwd": cwd_of(record),
    }


def directory_of(record: Record) -> str:
    """The directory that a run left its record in, as it was then; else where the record is now."""
    then = get(record, "called_function", "directory")
    if isinstance(then, str) and len(then) <= PATH_LIMIT:
        return then
    return os.path.dirname(os.path.abspath(str(record.get("record_path", ""))))


def cwd_of(record: Record) -> str:
    """A run's working directory."""
    cwd = get(record, "environment", "cwd")
    return cwd if isinstance(cwd, str) and len(cwd) <= PATH_LIMIT else os.sep


def _pick(mapping: object, keys: Iterable[str]) -> Record:
    """These keys of a mapping, as far as it has them."""
    return (
        {key: mapping[key] for key in keys if key in mapping} if isinstance(mapping, dict) else {}
    )


def _items(mapping: object) -> list[tuple[Any, Any]]:
    """The items of what should be a mapping; none if it isn't one."""
    return list(mapping.items()) if isinstance(mapping, dict) else []


def describe_call(record: Record) -> tuple[Record, Record | None]:
    """A run's arguments, and the types of those that aren't plain JSON, where it tells them."""
    called, place = record.get("called_function"), describe_place(record)
    types, told_by = get(called, "parameter_types"), place["directory_parameter"]
    kinds = {path: kind for path, kind in _items(types) if path != told_by}
    arguments = forget_own_directory(get(called, "parameters"), place)
    return arguments, kinds if "pycrumbs" in record else None


def describe_function(record: Record) -> Record:
    """What tells the functions of two runs apart."""
    called = record.get("called_function")
    return {
        "name": get(called, "qualname") or get(called, "name"),
        "module": get(called, "module"),
    }


def describe_packages(record: Record) -> Record:
    """The inventory; pycrumbs 0.4 didn't write its names in one canonical form."""
    packages = _items(record.get("package_inventory"))
    return {canonical_name(name): version for name, version in packages}


def summarize_error(record: Record) -> list[str]:
    """An error in a line, if there was one."""
    error = record.get("error")
    told = [clean(get(error, key)) for key in ("type", "message") if get(error, key)]
    return [": ".join(told)] if told else []


def _ending(record: Record) -> Record:
    """How a run ended, as far as that can differ."""
    error, own = dict(_items(record.get("error"))), (directory_of(record), cwd_of(record))
    if isinstance(error.get("message"), str):
        error["message"] = _pattern(_PATH_IN_TEXT).sub(
            lambda path: forget_directory(path[0], *own, bare=False),
            error["message"][:TEXT_LIMIT],
        )
    told = ": ".join(summarize_error({"error": error})) or None
    return _without_none({"status": judge_status(record), "error": told})


def _result(record: Record) -> Any:
    """What a run returned, without where its directory was."""
    result = record.get("result", _ABSENT)
    if describe(result)[0] == SUPPRESSED:
        # No run has recorded that, and walking through all of it takes time.
        return result
    return forget_directory(result, directory_of(record), cwd_of(record), bare=False)


def describe_code(record: Record) -> Record:
    """What tells the code of two runs apart, of the tracked module, the others and packages."""
    code: dict[str, Record] = {}
    for kind in ("extra_tracked_modules", "package_origins"):
        for name, state in _items(record.get(kind)):
            # Of a package that is one of the modules, only the module's entry tells the state.
            code[name] = {**_describe_state(state), **code.get(name, {})}
    return {**_describe_state(record.get("tracked_module")), **code}


def _describe_state(state: object) -> Record:
    """A repository's state as far as it counts, the patch by file."""
    described = _pick(state, _CODE_THAT_COUNTS)
    patch = described.get("git_patch")
    text = "\n".join(map(str, patch)) if isinstance(patch, list) else ""
    parts = _pattern(_SECTION).split(text)
    headers = [part.partition("\n")[0] for part in parts]
    files = {read_name(line) or line: part.rstrip() for line, part in zip(headers, parts)}
    return {**described, "git_patch": {k: v for k, v in files.items() if v}} if described else {}


def describe_surroundings(record: Record) -> Record:
    """The part of the environment in which two runs could differ to some effect."""
    environment = _pick(record.get("environment"), _ENVIRONMENT_THAT_COUNTS)
    always = _pattern(_ALWAYS_DIFFERENT)
    variables = _items(environment.pop("environment_variables", None))
    kept = {k: v for k, v in variables if v is not None and not always.match(k)}
    rank = {k: v for k, v in _items(environment.pop("rank", None)) if k != "job"}
    # It may have been started as python, or as python3.
    python = environment.get("python_executable")
    environment["python_executable"] = (
        os.path.dirname(python) if isinstance(python, str) else python
    )
    argv = forget_directory(environment.get("argv"), directory_of(record), cwd_of(record))
    orig_argv = get(record, "environment", "orig_argv")
    flags, _ = read_flags([*map(str, orig_argv)] if isinstance(orig_argv, list) else [])
    changed = {"argv": argv, "flags": flags, "rank": rank, "environment_variables": kept}
    return {**environment, **changed}


def name_in_run(record: Record, entry: Record) -> str:
    """What a file was called in its run; what a rerun would have written elsewhere it has kept."""
    name: str = entry["name"]
    is_kept = "rerun_of" in record and name.startswith(f"{ELSEWHERE}/")
    return name[len(ELSEWHERE) :] if is_kept else name


def describe_files(record: Record, kind: str) -> dict[str, Record]:
    """A run's inputs or outputs by path; within the run's directory that is relative to it."""
    directory = os.path.join(directory_of(record), "")
    return {
        os.path.normpath(name_in_run(record, entry).removeprefix(directory)): entry
        for entry in entries_of(record, kind)
    }


def diff_files(a: dict[str, Record], b: dict[str, Record]) -> Iterator[tuple[str, Any, Any]]:
    """The files whose content differs: by hash, or by size where one of the two has no hash.

    A file outside the run's directory is the same in the other run if its content is, wherever.
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


def list_uncompared(a: Record, b: Record) -> list[str]:
    """The files that both runs have in one size, and at least one of the two without a hash."""
    names = []
    for kind in ("inputs", "outputs"):
        files, others = describe_files(a, kind), describe_files(b, kind)
        for path in sorted(files.keys() & others.keys()):
            pair = (files[path], others[path])
            sizes = {entry["size"] for entry in pair}
            if len(sizes) == 1 and sizes != {None} and not all(e["sha256"] for e in pair):
                names.append(path)
    return names


def list_suppressed(a: Record, b: Record) -> list[str]:
    """The arguments of both runs that were too long for either's record."""
    some, others = (dict(_items(get(run, "called_function", "parameters"))) for run in (a, b))
    return [name for name, value in some.items() if value == SUPPRESSED == others.get(name)]


def diff_values(a: Any, b: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any, Any]]:
    """The paths into two JSON values at which they differ, with what is there."""
    # Else a long key would stand in each of a thousand paths.
    depth = DEPTH_LIMIT if len(path) > 500 else depth
    if isinstance(a, dict) and isinstance(b, dict) and depth < DEPTH_LIMIT:
        for key in sorted({**a, **b}):
            below = f"{path}.{key}" if path else key
            yield from diff_values(a.get(key, _ABSENT), b.get(key, _ABSENT), below, depth + 1)
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b) and depth < DEPTH_LIMIT:
        for index, (one, other) in enumerate(zip(a, b)):
            yield from diff_values(one, other, f"{path}[{index}]", depth + 1)
    elif a != b or type(a) is not type(b):
        yield path, a, b


def diff_arguments(a: Any, b: Any) -> Iterator[tuple[str, Any, Any]]:
    """The arguments that differ, or look the same in JSON and were of another type."""
    (values, kinds), (others, other_kinds) = a, b
    yield from diff_values(values, others)
    if kinds is not None and other_kinds is not None:
        for path in sorted(kinds.keys() | other_kinds.keys()):
            kind, other = (types.get(path, "plain") for types in (kinds, other_kinds))
            name = _pattern(r"[^.\[{]*").match(path)[0]
            if kind != other and name in values and name in others:
                yield f"{path} (type)", kind, other


# What is compared of each run, and how.
_DIFF_SECTIONS: dict[str, tuple[Callable[[Record], Any], Callable[[Any, Any], Iterator[Any]]]] = {
    "function": (describe_function, diff_values),
    "arguments": (describe_call, diff_arguments),
    "code": (describe_code, diff_values),
    "seed": (lambda run: run.get("seed", _ABSENT), diff_values),
    "packages": (describe_packages, diff_values),
    "inputs": (lambda run: describe_files(run, "inputs"), diff_files),
    "outputs": (lambda run: describe_files(run, "outputs"), diff_files),
    "result": (_result, diff_values),
    "status": (_ending, diff_values),
    "environment": (describe_surroundings, diff_values),
}


def count_commits_apart(a: Record, b: Record) -> tuple[int, int] | None:
    """How many commits each of two runs has that the other hasn't, where the repository is here."""
    commits = [str(get(r, "tracked_module", "git_commit_hash")) for r in (a, b)]
    folder = str(get(b, "tracked_module", "git_working_dir"))
    if not os.path.isdir(folder) or not all(map(_pattern(r"[0-9a-f]{40,64}$").match, commits)):
        return None
    try:
        count = ("rev-list", "--count", "--left-right", "...".join(commits))
        status, counts = run_git(folder, *count, timeout=LOOK_TIMEOUT)
    except RecordError:
        return None
    left, _, right = counts.partition("\t")
    return (int(left), int(right)) if status == 0 else None


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
        path; sha256; state: 'ok', 'missing', 'unhashed', or 'changed' (the file at this path is
        no longer the one meant); run, None for a source: record_path, record_number, uuid,
        function, start_time and status of the run that made the file, and made_this: False if it
        wrote another content to this path, None if nobody knows; inputs: the same for each input
        of that run. Only where it holds: overwritten (True: that run began later than the one
        that read the file, and its inputs are not followed), made_again (True: it made the same
        content, after the one that read the file had ended), repeated (True: its inputs stand
        elsewhere in the tree), cut (True: they are TRACE_LIMIT runs away).

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
    """Follows files back. It knows the runs it has met, and what lies below the roots."""

    def __init__(self, roots: Iterable[str]) -> None:
        super().__init__()
        self.seen: set[str] = set()
        # The runs that made a content: their start, record and number.
        self.by_content: dict[str, list[tuple[float, str, int]]] = {}
        self.by_size: dict[int, list[str]] = {}
        self.alike: dict[int, dict[str | None, str]] = {}
        self.files: dict[str, list[Record]] = {}
        for root in roots:
            self.add_root(root)

    def add_root(self, root: str) -> None:
        """Note what the runs below a folder made, and which files lie there."""
        for record in iterate_records(root):
            run = (_start_of(record), record["record_path"], record["record_number"])
            for entry in entries_of(record, "outputs"):
                # All empty files are the same, and made by nobody in particular.
                if entry["sha256"] is not None and entry["size"]:
                    self.by_content.setdefault(entry["sha256"], []).append(run)
        for path, signature in scan_tree(root)[0].items():
            self.by_size.setdefault(signature[2], []).append(os.path.join(root, path))

    def trace(self, entry: Record, consumer: Record | None = None, depth: int = 0) -> Record:
        """One file's node of the tree; `consumer` is the run that read it."""
        before = _start_of(consumer) if consumer else float("inf")
        sha256, maker = entry["sha256"], self.find_maker(entry, before)
        if consumer is None and maker is None:
            maker = _find_maker_0_4(entry["path"])
        state = "missing" if sign_file(entry["path"]) is None else entry.get("state", "ok")
        node = {"path": entry["path"], "sha256": sha256, "state": state, "run": None, "inputs": []}
        if maker is None:
            return node
        node["run"] = describe_maker(maker, sha256)
        start = _start_of(maker.record)
        # That run wrote the path only after it had been read: not what was read came from it.
        if not maker.made(sha256) and start >= before:
            return {**node, "overwritten": True}
        if consumer and start >= _end_of(consumer):
            node["made_again"] = True
        identity = f"{maker.record['record_path']}@{maker.record['record_number']}"
        if identity in self.seen:
            return {**node, "repeated": True}
        if depth == TRACE_LIMIT:
            return {**node, "cut": True}
        self.seen.add(identity)
        inputs = self.find_inputs(maker.record)
        node["inputs"] = [self.trace(below, maker.record, depth + 1) for below in inputs]
        return node

    def find_maker(self, entry: Record, before: float) -> _Maker | None:
        """The run that made a file where it is or was, by content also one below the roots."""
        sha256 = entry["sha256"]
        places = dict.fromkeys((entry["path"], entry.get("recorded_path", entry["path"])))
        makers = filter(None, (self.find(place, sha256, before) for place in places))
        maker = max(makers, key=lambda maker: maker.made(sha256) is True, default=None)
        if sha256 in self.by_content and not (maker and maker.made(sha256)):
            runs = self.by_content[sha256]
            _, path, number = max(runs, key=lambda run: (run[0] < before, run))
            if path not in self.files:
                self.files[path] = read_records(path)
            return _Maker(record=self.files[path][number - 1], sha256=sha256)
        return maker

    def find_inputs(self, record: Record) -> list[Record]:
        """A run's inputs, and those of the runs around it: where each is now, and its state."""
        entries: dict[str, Record] = {}
        moved, seen = _Moved(record), set()
        around: Record | None = record
        while around is not None and id(around) not in seen:
            seen.add(id(around))
            for entry in entries_of(around, "inputs"):
                place = {"path": self.locate(entry, moved), "recorded_path": entry["path"]}
                entries.setdefault(entry["path"], {**entry, **place})
            around = self.by_uuid.get(str(around.get("parent")))
        judge_files([*entries.values()])
        return [*entries.values()]

    def locate(self, entry: Record, moved: _Moved) -> str:
        """Where an input is now: at its place, moved with its record, or below a root."""
        path = moved.find(entry)
        size, sha256 = entry["size"], entry["sha256"]
        if sha256 is None or size not in self.by_size or is_as_recorded(entry, path):
            return path
        if size not in self.alike:
            self.alike[size] = {hash_file(path): path for path in reversed(self.by_size[size])}
        return self.alike[size].get(sha256, path)


def describe_maker(maker: _Maker, sha256: str | None) -> Record:
    """A run as a trace names it."""
    record = maker.record
    return {
        "record_path": record["record_path"],
        "record_number": record["record_number"],
        "uuid": record.get("uuid"),
        "function": get(record, "called_function", "name"),
        "start_time": get(record, "timing", "start_time"),
        "status": judge_status(record),
        "made_this": maker.made(sha256),
    }


def is_as_recorded(entry: Record, path: str) -> bool:
    """Whether a file has the content of a record's entry; only one of the right size is read."""
    signature = sign_file(path)
    is_alike = signature is not None and signature[2] == entry["size"]
    return is_alike and entry["sha256"] is not None and hash_file(path) == entry["sha256"]


class _Moved:
    """Where the inputs of a record are that moved together with it, if it did.

    Only the same content counts, and nothing that the run itself has made.
    """

    def __init__(self, record: Record) -> None:
        path = os.path.abspath(str(record.get("record_path")))
        then, now = directory_of(record), os.path.dirname(path)
        # The folders that the record was moved from, and to.
        tail = _count_equal(then.split(os.sep)[::-1], now.split(os.sep)[::-1])
        self.then, self.now = (os.sep.join(p.split(os.sep)[: -tail or None]) for p in (then, now))
        self.made = {entry["path"] for entry in entries_of(record, "outputs")}
        # The names in each folder above, nearest first.
        self.above: dict[str, set[str]] = {}
        if _attempt(os.path.realpath, then) != os.path.realpath(now):
            above = [*_folders_above(path)][:12]
            self.above = {folder: {e.name for e in _scan_folder(folder)} for folder in above}

    def find(self, entry: Record) -> str:
        """The path of an entry's file now, or the recorded one where it isn't found."""
        path: str = entry["path"]
        if not self.above or entry["sha256"] is None or is_as_recorded(entry, path):
            return path
        places = (place for place in self.list_places(path) if place not in self.made)
        return next((place for place in places if is_as_recorded(entry, place)), path)

    def list_places(self, path: str) -> Iterator[str]:
        """Where a file may be: displaced like the record; or, if it is gone, anywhere above it."""
        if is_below(path, self.then):
            yield self.now + path[len(self.then) :]
        parts = [] if os.path.lexists(path) else path.split(os.sep)[1:][-12:]
        for folder, names in self.above.items():
            for start in (start for start, name in enumerate(parts) if name in names):
                yield os.path.join(folder, *parts[start:])


# ------------------------------------------------------------------------------
# Running again
# ------------------------------------------------------------------------------
# `plan_rerun` makes a plan of a record and executes nothing; `carry_out` has a
# child interpreter execute it. What the run could write to gets a copy below the
# plan's `root`, under the same path: /home/ada/proj becomes ROOT/home/ada/proj,
# so that relative paths still lead from one to the other.


class _Rerun:
    """In the child of a rerun: the plan, and the functions that loading the code has tracked."""

    def __init__(self, plan: Record) -> None:
        self.plan = plan
        self.loading = True
        self.found: dict[tuple[str, str], tuple[_Tracker, Callable[..., Any]]] = {}
        self.target: _Tracker | None = None
        self.run: _Run | None = None

    def note(self, tracker: _Tracker, wrapped: Callable[..., Any]) -> None:
        """Note a function that is being decorated."""
        self.found[os.path.realpath(tracker.source_file or ""), tracker.name] = tracker, wrapped

    def choose(self, source: str, name: str) -> Callable[..., Any] | None:
        """Make a function the one that is run again; None if there is no such function."""
        self.target, wrapped = self.found.get((os.path.realpath(source), name), (None, None))
        return wrapped

    def claim(self, run: _Run) -> Record | None:
        """The plan, for the one run that it is for; while code is loaded, no tracked call runs."""
        if self.loading:
            raise _Reached
        if run.tracker is not self.target:
            return None
        self.target, self.run = None, run
        return self.plan


class _Reached(BaseException):
    """Code that is being loaded calls a tracked function: it has defined what is needed."""


_rerun: _Rerun | None = None


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
        Where the new files and their record go: a folder that is empty or not there yet.
        Default: a new one in the system's folder for temporary files.
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
        The record isn't enough to run the call again, or what it names isn't there any more;
        the function has not been called then. Or it was killed.
    """
    record = as_record(record)
    return carry_out(plan_rerun(record, repository), record, directory, keep)


def plan_rerun(
    record: Record,
    repository: _StrPath | None = None,
    on_progress: Callable[[int], object] | None = None,
) -> Record:
    """What a rerun would execute; RecordError where the record doesn't tell enough."""
    if "pycrumbs" not in record:
        raise RecordError("pycrumbs 0.4 wrote this record, which is not enough to run it again")
    if not isinstance(record.get("tracked_module"), dict):
        raise RecordError("the record names no commit (git tracking was off): no code to run")
    # One of many processes can't be repeated without the others.
    ranks = get(record, "environment", "rank", "world_size") or 1
    if ranks != 1:
        raise RecordError(f"the run was one of {ranks} processes: start it again as they were")
    plan = {
        "uuid": _take(record, str, "uuid"),
        "span": (_start_of(record), _seconds(get(record, "timing", "end_time"))),
        **plan_code(record, repository),
        **plan_call(record),
        **plan_surroundings(record),
        "outputs": [
            {**entry, "name": name_in_run(record, entry)} for entry in entries_of(record, "outputs")
        ],
    }
    plan["moved"] = list_moved(plan)
    plan["inputs"] = check_inputs(record, plan, on_progress)
    plan["listed"] = find_listed_folders(record, plan)
    plan["notes"] = list(list_doubts(record, plan))
    return plan


def _take(record: Record, kind: type, *keys: str, default: Any = None) -> Any:
    """What a record holds under nested keys; RecordError if that isn't of the kind it must be."""
    value = get(record, *keys)
    value = default if value is None else value
    texts = value if isinstance(value, list) else [value]
    if not isinstance(value, kind) or any(isinstance(t, str) and not _is_text(t) for t in texts):
        raise RecordError(f"the record's {'.'.join(keys)} is missing, or not what a record holds")
    return value


def _is_text(text: str) -> bool:
    """Whether a text from JSON can be passed to a system, if perhaps not to one of this locale."""
    try:
        return b"\0" not in text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False


def _take_texts(record: Record, *keys: str) -> list[str]:
    """A list of texts in a record; RecordError if it is something else."""
    texts: list[str] = _take(record, list, *keys, default=[])
    if not all(isinstance(text, str) for text in texts):
        raise RecordError(f"the record's {'.'.join(keys)} is no list of texts")
    return texts


def _take_folder(record: Record, *keys: str) -> str:
    """An absolute path in a record; RecordError if it is something else."""
    path: str = _take(record, str, *keys)
    if not os.path.isabs(path) or len(path) > PATH_LIMIT:
        raise RecordError(f"the record's {'.'.join(keys)} is no absolute path, but {path!r}")
    return os.path.normpath(path)


# -- the plan: code


def plan_code(record: Record, repository: _StrPath | None) -> Record:
    """The code of a plan: a commit, the patch to it, and the function's file."""
    module = record["tracked_module"]
    top = _take_folder(record, "tracked_module", "git_working_dir")
    commit = _take(record, str, "tracked_module", "git_commit_hash", default="")
    patch = [] if module.get("git_patch") is None else module["git_patch"]
    check_patch(patch)
    check_patch_is_whole(module)
    source, alias = locate_source(_take_folder(record, "tracked_module", "module_path"), top)
    repository = os.path.abspath(os.fspath(repository or top))
    check_commit(repository, commit)
    return {
        "repository": repository,
        "top": top,
        "alias": alias,
        "remotes": {n: u for n, u in _items(module.get("git_remotes")) if _is_text(f"{n}{u}")},
        "commit": commit,
        "patch": patch,
        "ignored": [part for part in list_omitted(module) if part.startswith(_IGNORED)],
        "source": source,
    }


def locate_source(path: str, top: str) -> tuple[str, str | None]:
    """A source file relative to its repository, and the other name by which that was known."""
    real_top = os.path.realpath(top)
    pairs = ((path, top), (os.path.realpath(path), real_top))
    source = next((os.path.relpath(p, t) for p, t in pairs if is_below(p, t)), None)
    if source is None:
        raise RecordError(f"the function's source {path} is outside its repository {top}")
    alias = path[: -len(source) - 1] if path.endswith(os.sep + source) else top
    return source, None if alias == top else alias


def check_commit(repository: str, commit: str) -> None:
    """Make sure that the repository is there and has the commit."""
    if not commit:
        raise RecordError("the record names no commit: its repository had none yet")
    if not _pattern(_COMMIT).fullmatch(commit):
        raise RecordError(f"the record names no commit, but {commit!r}")
    advice = "name a clone that has it with --repo"
    if not os.path.isdir(repository):
        raise RecordError(f"the repository {repository} is not there any more; {advice}")
    look = ("cat-file", "-e", f"{commit}^{{commit}}")
    status, said = run_git(repository, *look, timeout=LOOK_TIMEOUT)
    if status != 0:
        reason = "" if "Not a valid object name" in said else f" ({said})"
        raise RecordError(f"{repository} has no commit {commit}{reason}; fetch it, or {advice}")


_COMMIT = r"[0-9a-f]{40}(?:[0-9a-f]{24})?"


def run_git(folder: str, *arguments: str, timeout: float = GIT_TIMEOUT) -> tuple[int, str]:
    """Run git to its end; its exit status, and what it printed, complaints included."""
    try:
        process = _start_git(folder, *arguments)
        ended = process.read(timeout)
        if ended is None:
            raise _Unavailable(process.abandon())
    except _Unavailable as error:
        raise RecordError(str(error)) from None
    return ended[0], os.fsdecode(ended[1]).strip() or ended[2]


def check_patch_is_whole(module: Record) -> None:
    """Refuse a patch of which parts were left out, or that should be there and isn't."""
    parts = list_omitted(module)
    missing = [part for part in parts if not part.startswith((*_HARMLESS, *_DOUBTFUL))]
    if missing:
        problem = f"the record's patch is not whole; left out: {'; '.join(missing)}"
        raise RecordError(f"{problem}; {_COMMIT_FIRST}")
    if module.get("git_is_dirty") and not parts and module.get("git_patch") is None:
        raise RecordError("the record tells of uncommitted changes, and does not hold them")


def list_omitted(module: Record) -> list[str]:
    """What a patch lacks, as its record tells."""
    text = str(module.get("git_patch_omitted") or "").replace("left out: ", "")
    return [part for part in text.split("; ") if part]


_COMMIT_FIRST = "what is committed before a run can always be run again"
_IGNORED = "the ignored "  # sources, which are then used as they are now
_HARMLESS = (_IGNORED, "the record ", "the submodule ")  # a submodule's commit is in the patch
_DOUBTFUL = ("changed file modes", "what may be ")


# In hashes git takes whatever is no longer than one.
_SECTION_MODE = (
    r"(?m)^(?:(?:old|new|deleted file|new file) mode |index [^.\n]{0,64}\.\.[^ \n]{0,64} )(.*)$"
)


def check_patch(patch: object) -> None:
    """Refuse a patch that git would not have made of a tree, or that leads out of it."""
    if not isinstance(patch, list) or not all(isinstance(line, str) for line in patch):
        raise RecordError("the record's tracked_module.git_patch is no list of texts")
    text = "\n".join(patch)
    first, *sections = _pattern(_SECTION).split(text)
    # git takes a file for text if its zero bytes come late; names have none.
    headers = "".join(section.partition("\n@@ ")[0] for section in sections)
    if first.strip() or "\0" in headers or not _is_text(text.replace("\0", "")):
        raise RecordError("the record's patch is none that git makes")
    for section in sections:
        header = section.partition("\n")[0]
        name = read_name(header)
        parts = name.lower().split("/")
        if "" in parts or {".git", ".."} & set(parts):
            raise RecordError(f"the record's patch leads elsewhere: {header}")
        modes = set(_pattern(_SECTION_MODE).findall(section))
        if not modes <= {"100644", "100755", "120000", "160000"}:
            raise RecordError(f"the record's patch sets a mode that git never does: {name}")
        if "120000" in modes:
            check_link(name, section)


def read_name(header: str) -> str:
    """The name that a header `diff --git a/NAME b/NAME` gives twice; '' if it is none of that."""
    twice = header.partition("diff --git ")[2]
    quote = '"' if twice.startswith('"') else ""
    half = len(twice) // 2
    name = twice[len(f"{quote}a/") : half - len(quote)]
    if header != f"diff --git {quote}a/{name}{quote} {quote}b/{name}{quote}":
        return ""
    return os.fsdecode(_unquote(name)) if quote else name


def check_link(name: str, section: str) -> None:
    """Refuse a section of a patch that makes a symbolic link to outside the repository."""
    targets = _pattern(r"(?m)^\+(?!\+\+ )(.*)$").findall(section)
    leads = [os.path.normpath(os.path.join(os.path.dirname(name), target)) for target in targets]
    climbs = any(os.path.isabs(path) or path.split(os.sep)[0] == ".." for path in leads)
    # Behind another link, `..` leads elsewhere than it seems to.
    turns = any(".." in target.lstrip("./").split("/") for target in targets)
    if climbs or turns or len(targets) > 1 or "\nGIT binary patch" in section:
        problem = f"the record's patch plants a link that leads elsewhere: {name}"
        raise RecordError(f"{problem}; {_COMMIT_FIRST}")


# -- the plan: the call and its surroundings


def plan_call(record: Record) -> Record:
    """The call of a plan: the function's names, its arguments and the directory."""
    called = ("called_function",)
    name = _take(record, str, *called, "qualname")
    module = _take(record, str, *called, "module").replace("__mp_main__", "__main__")
    run_as = _take(record, str, *called, "run_as", default="")
    if not _pattern(_MODULE_NAME).fullmatch(name if run_as == "module" else module):
        raise RecordError(f"the function's module {module!r} is no module's name")
    if "<locals>" in name:
        raise RecordError(f"{name}() is defined inside another function and cannot be reached")
    arguments = _take(record, dict, *called, "parameters", default={})
    kinds = _take(record, dict, *called, "parameter_types", default={})
    if any(len(str(kind)) > PATH_LIMIT for kind in kinds.values()):
        raise RecordError("the record's called_function.parameter_types are no names of classes")
    walk = walk_arguments(arguments, kinds)
    if any(n >= ARGUMENT_LIMIT or len(path) > PATH_LIMIT for n, (path, *_) in enumerate(walk)):
        raise RecordError("the record's called_function.parameters are more than a record holds")
    unknown = list_unrebuildable(arguments, kinds)
    if unknown:
        advice = "plain values, paths, functions and dataclasses can be given back"
        if any(REDACTED in name for name in unknown):
            advice = "secrets aren't recorded: have the function read them from the environment"
        raise RecordError(f"the record cannot give back {', '.join(unknown)}; {advice}")
    directory = _take_folder(record, *called, "directory")
    call = {"module": module, "qualname": name, "run_as": run_as, "directory": directory}
    return {**call, "arguments": arguments, "kinds": kinds}


_MODULE_NAME = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"


def plan_surroundings(record: Record) -> Record:
    """The surroundings of a plan: how the interpreter was started, where, and the seed."""
    argv = _take_texts(record, "environment", "argv") or [""]
    flags, main = read_flags(_take_texts(record, "environment", "orig_argv"))
    variables = _take(record, dict, "environment", "environment_variables", default={})
    try:
        seed = check_seed(record.get("seed"))
    except (TypeError, ValueError) as error:
        raise RecordError(f"the record's seed: {error}") from None
    return {
        "seed": seed,
        "argv": argv,
        "flags": flags,
        "main": main,
        "variables": select_variables(variables),
        "cwd": _take_folder(record, "environment", "cwd"),
        "python_path": _take_texts(record, "environment", "python_path"),
    }


def read_flags(orig_argv: Sequence[str]) -> tuple[list[str], str]:
    """The interpreter's options that results may depend on; and its `-m` module, or ''."""
    flags: list[str] = []
    words = iter(orig_argv[1:])
    for option in words:
        word = option + next(words, "") if option in ("-X", "-W", "-m") else option
        if word.startswith("-m") and _pattern(_MODULE_NAME).fullmatch(word[2:]):
            return flags, word[2:]
        if not word.startswith("-") or word == "-" or word.startswith("-c"):
            break
        if _pattern(_FLAGS_RESTORED).fullmatch(word):
            flags.append(word)
    return flags, ""


# None that names a file, a module or a hook.
_FLAGS_RESTORED = (
    r"-O{1,2}|-b{1,2}|-X(?:utf8|dev|int_max_str_digits)(?:=\w+)?|-W(?:error|ignore)(?:::\w+)?"
)


def select_variables(recorded: Record) -> dict[str, str | None]:
    """The environment variables to set as they were, and those to unset (None).

    Those that results may depend on, and those that the function asked to be recorded; none that
    could have another program run, or another library loaded.
    """
    known = {*_VARIABLES, *_VARIABLES_IF_SET}
    chosen: dict[str, str | None] = dict.fromkeys(_VARIABLES_RESTORED)
    for name, value in recorded.items():
        asked_for = name not in known and _pattern(r"[A-Za-z_]\w*").fullmatch(name)
        if asked_for and _pattern(_VARIABLES_NEVER_SET).match(name):
            continue
        if (asked_for or name in chosen) and value != REDACTED:
            chosen[name] = value if isinstance(value, str) and _is_text(value) else None
    return chosen


# They choose programs, libraries and code; a record from elsewhere must not.
_VARIABLES_NEVER_SET = (
    "(?i)LD_|DYLD_|PYTHON|GIT_|SLURM|(?:PATH|HOME|SHELL|IFS|ENV|BASH_ENV|TMPDIR|EDITOR|PAGER)$"
)


def list_moved(plan: Record) -> list[str]:
    """The folders and files of the first run that the rerun finds copies of.

    The repository, the record's directory, and what was written elsewhere: an argument that
    names such a file, or a folder of such files, is to lead to the copy.
    """
    import bisect

    names = (entry["name"] for entry in plan["outputs"])
    elsewhere = sorted(os.path.normpath(name) for name in names if os.path.isabs(name))
    folders = set()
    for path in map(os.path.normpath, find_paths(plan)):
        start = bisect.bisect(elsewhere, os.path.join(path, ""))
        if any(is_below(output, path) for output in elsewhere[start : start + 1]):
            folders.add(path)
    alias = [plan["alias"]] if plan["alias"] else []
    return [plan["top"], *alias, plan["directory"], *sorted(folders), *elsewhere]


def find_paths(plan: Record) -> Iterator[str]:
    """What could be a path among the arguments."""
    for _, value, kind in walk_arguments(plan["arguments"], plan["kinds"]):
        if isinstance(value, str) and kind in _PATHS:
            yield str(evaluate(value, lambda _: os.path.join))
        elif isinstance(value, str):
            yield value


def relocate(path: str, plan: Record) -> str:
    """Where an absolute path of the first run is in the rerun."""
    inside = path == plan["root"] or is_below(path, plan["root"])
    return path if inside else plan["root"] + path


def map_path(text: str, plan: Record) -> str:
    """A text; the path that it is, or that follows its first '=', then leads to the copy."""
    for start in (0, text.find("=") + 1):
        path = os.path.normpath(text[start:])
        if any(path == moved or is_below(path, moved) for moved in plan["moved"]):
            return text[:start] + relocate(path, plan) + os.sep * text.endswith(os.sep)
    return text


def check_inputs(
    record: Record, plan: Record, on_progress: Callable[[int], object] | None = None
) -> list[Record]:
    """A run's inputs, with where each is found as it was; RecordError if one can't be.

    What comes with the repository is judged only once that is checked out.
    """
    entries = [entry for entry in entries_of(record, "inputs") if entry.get("size") is not None]
    judge_files(entries, on_progress)
    made = {entry["path"] for entry in plan["outputs"]}
    displaced = _Moved(record)
    inputs = []
    for entry in entries:
        path, sha256 = entry["path"], entry.get("sha256")
        places = [path] if entry["state"] in ("ok", "unhashed") else []
        if sha256 and not places:
            moved = os.path.join(plan["repository"], os.path.relpath(path, plan["top"]))
            others = (moved, displaced.find(entry))
            places = [other for other in others if is_as_recorded(entry, other)]
        found = {"found": places[0] if places else None, "made": path in made}
        inputs.append({**_pick(entry, ("path", "size", "sha256", "state")), **found})
        if places and places[0] != path:
            plan["moved"].append(path)
    lost = [entry for entry in inputs if not entry["found"]]
    known = find_in_code([entry["path"] for entry in lost], plan)
    for entry in lost:
        if entry["path"] not in known:
            _require_input(entry)
    return inputs


def find_listed_folders(record: Record, plan: Record) -> list[str]:
    """The folders among the arguments of which the record lists every file, as was declared."""
    entries = entries_of(record, "inputs") if "inputs_omitted" not in record else []
    declared = [entry["path"] for entry in entries if entry.get("found") == "declared"]
    folders = (os.path.normpath(os.path.join(plan["cwd"], path)) for path in find_paths(plan))
    return [path for path in folders if any(is_below(file, path) for file in declared)]


def find_in_code(paths: Iterable[str], plan: Record) -> set[str]:
    """Which files the commit or its patch has, with whatever content."""
    top = plan["top"]
    names = sorted({os.path.relpath(path, top) for path in paths if is_below(path, top)})
    found = [read_name(line) for line in plan["patch"] if line.startswith("diff --git ")]
    for start in range(0, len(names), 100):
        # One process for each name would take long, one for all a line without end.
        look = ("ls-tree", "--full-tree", "--name-only", "-z", plan["commit"], "--")
        chunk = names[start : start + 100]
        status, listed = run_git(plan["repository"], *look, *chunk, timeout=LOOK_TIMEOUT)
        found += listed.split("\0") if status == 0 else []
    return {os.path.join(top, name) for name in found}


def _require_input(entry: Record) -> None:
    """Raise RecordError if an input is found nowhere; not for one that the run itself overwrote."""
    if not entry["found"] and not entry["made"]:
        state = "is missing" if entry["state"] == "missing" else "has changed since the run"
        raise RecordError(f"the input {format_path(entry['path'])} {state}; put it back as it was")


def list_doubts(record: Record, plan: Record) -> Iterator[str]:
    """What could make a rerun come out differently, as far as the record tells."""
    if judge_status(record) != "completed":
        yield f"the first run did not complete: {judge_status(record)}"
    yield from list_doubts_about_code(record, plan)
    for entry in plan["inputs"]:
        if entry["made"] and not entry["found"]:
            yield f"the run overwrote {entry['path']}: what it read there is lost"
        elif entry["state"] == "unhashed":
            yield f"the record has no hash of {entry['path']}: it is used as it is now"
    if REDACTED in "".join(plan["argv"]):
        yield "the command line held a secret, which the record does not"
    for kind in ("inputs", "outputs"):
        if record.get(f"{kind}_omitted"):
            yield f"the record does not list all {kind}: {record[f'{kind}_omitted']}"


def list_doubts_about_code(record: Record, plan: Record) -> Iterator[str]:
    """What code the rerun could run that the first run didn't."""
    module = record["tracked_module"]
    for part in list_omitted(module):
        if part.startswith(_DOUBTFUL):
            yield f"the record's patch does not hold {part}"
    if module.get("source_edited_after_import"):
        yield "the source was edited after it had been imported: what ran is not in git"
    yield from list_doubts_about_libraries(record, plan["top"])


def list_doubts_about_libraries(record: Record, own: str) -> Iterator[str]:
    """Which of the other repositories that the run took code from aren't as they were."""
    states: Record = {}
    for kind in ("extra_tracked_modules", "package_origins"):
        for name, state in _items(record.get(kind)):
            top = get(state, "git_working_dir")
            if top is not None and top != own:
                # Of several packages in one repository, the first has its patch.
                states.setdefault(str(top), (name, state))
    since = time.monotonic()
    for number, (top, (name, then)) in enumerate(states.items()):
        is_looked_at = number < LIBRARY_LIMIT and os.path.isabs(top)
        change = describe_move(then, _attempt(read_library, top, since) if is_looked_at else None)
        if change is not None:
            yield f"{name} is used as it is now, not as it was: {top}{change}"


def read_library(top: str, since: float) -> Record:
    """The state of a repository; `since` is when the look at the first of them began."""
    return _GitProbe(top, top, since).describe(allow_dirty=True)


def describe_move(then: Record, now: object) -> str | None:
    """How a repository has changed since a run, as far as that can be told; None if it hasn't."""
    commits = [str(get(state, "git_commit_hash")) for state in (then, now)]
    if not all(map(_pattern(_COMMIT).fullmatch, commits)):
        return ""
    if commits[0] != commits[1]:
        return f" (commit {commits[0][:12]} -> {commits[1][:12]})"
    if get(then, "git_patch") == get(now, "git_patch") and not list_omitted(then):
        return None
    return " (what is not committed there may be other than it was)"


# -- arguments from their descriptions

_PATHS = {f"pathlib.{kind}Path" for kind in ("Posix", "Windows", "PurePosix", "PureWindows")}
_REPRS = {  # types whose repr is a literal, or a call that makes them again
    *("bytes", "bytearray", "complex", "range", "slice"),
    *("datetime.datetime", "datetime.date", "datetime.time", "datetime.timedelta"),
    *("datetime.timezone", "decimal.Decimal", "fractions.Fraction", "uuid.UUID", "torch.device"),
    *_PATHS,
}
# Floats that JSON has no number for.
_NUMBERS = ("nan", "inf", "-inf")


def walk_arguments(
    value: Any, kinds: Mapping[str, Any], path: str = "", inherited: str = ""
) -> Iterator[tuple[str, Any, str]]:
    """All values in described arguments, containers included: their paths, values and types."""
    kind = _normal_kind(kinds.get(path, inherited))
    yield path, value, kind
    if isinstance(value, dict):
        for name, child in value.items():
            yield from walk_arguments(child, kinds, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from walk_arguments(child, kinds, f"{path}[{index}]", _inner_kind(kind))


def _inner_kind(kind: str) -> str:
    """The type of a set's elements, which is told with its own: 'set[int]'."""
    return kind.partition("[")[2][:-1]


def _normal_kind(kind: object) -> str:
    """The name of a type as it is written now."""
    # Python 3.13 alone calls them that; multiprocessing's children call the script that.
    return str(kind).replace("pathlib._local.", "pathlib.").replace("__mp_main__.", "__main__.")


def list_unrebuildable(arguments: Record, kinds: Mapping[str, Any]) -> list[str]:
    """The arguments, by path, that their description doesn't suffice to make again."""
    found, seen = [], set()
    for path, value, kind in walk_arguments(arguments, kinds):
        # Keys with a dot or bracket make the paths of two values the same.
        if path in seen and path in kinds:
            found.append(f"{path} (one of two values has the type {kind})")
            continue
        seen.add(path)
        has_odd_keys = f"{path}{{}}" in kinds
        if isinstance(value, dict):
            has_odd_keys |= any(REDACTED in name for name in value)
        is_mixed = " | " in kind or "<locals>" in kind or kind in _WALKED_ONLY
        if has_odd_keys or is_mixed or (isinstance(value, str) and not _tells_all(value, kind)):
            found.append(f"{path} ({kind or value})")
    return found


# Of a deque isn't told how long it may get, and views aren't made by calling a class.
_WALKED_ONLY = ("collections.deque", "dict_keys", "dict_values")


def _tells_all(text: str, kind: str) -> bool:
    """Whether a text tells all of the value of some type that it stands for."""
    if text == SUPPRESSED or REDACTED in text:
        return False
    if not kind:
        return True
    name = kind.rpartition(".")[2]
    if kind in _REPRS:
        try:
            evaluate(text, lambda _: lambda *values, **named: None)
        except ValueError:
            return False
        return True
    is_object = _pattern(r"<(?:class '[\w.]+'|function [\w.]+)>").fullmatch(text)
    start = f"<{name}."
    is_member = text.startswith(start) and _pattern(r"\w+: .*>").fullmatch(text, len(start))
    return bool(is_object or is_member) or not text.startswith(("<", f"{name}(", "functools."))


def rebuild(
    value: Any, kinds: Mapping[str, Any], path: str, plan: Record, inherited: str = ""
) -> Any:
    """Make a value again from its description; paths of the first run lead to their copies."""
    kind = _normal_kind(kinds.get(path, inherited))
    if isinstance(value, dict):
        below = f"{path}." if path else ""
        value = {name: rebuild(v, kinds, f"{below}{name}", plan) for name, v in value.items()}
    elif isinstance(value, list):
        inner, kind = _inner_kind(kind), kind.partition("[")[0]
        value = [rebuild(v, kinds, f"{path}[{i}]", plan, inner) for i, v in enumerate(value)]
    # Of a set with a NaN the others, which JSON can hold, aren't told to be floats.
    if not kind or value is None or (kind == "float" and value not in _NUMBERS):
        # The types tell of what the run itself has put there, as a drawn seed.
        return map_path(value, plan) if isinstance(value, str) else value
    try:
        made = evaluate(value, find_object) if kind in _REPRS else remake(value, kind)
        if _normal_kind(_type_name(made)) != kind:
            raise TypeError("its text does not tell all of it")
    except Exception as error:
        raise RecordError(f"{path} ({kind}) cannot be made again: {error}") from None
    return type(made)(map_path(str(made), plan)) if kind in _PATHS else made


def remake(value: Any, kind: str) -> Any:
    """An instance of a class from what describes it: its fields, items, name, text or number."""
    named = _pattern(r"<(?:class|function) '?([\w.]+)'?>").fullmatch(str(value))
    if named:
        return find_object(named[1])
    cls = find_object(kind)
    bases = tuple(base.__name__ for base in cls.__mro__)
    if isinstance(value, dict):
        return _remake_object(cls, bases, value)
    if isinstance(value, list) and {"list", "tuple", "set", "frozenset", "UserList"} & set(bases):
        return cls(*value) if hasattr(cls, "_fields") else cls(value)
    if isinstance(value, str) and value.startswith("<"):
        return cls[value.partition(".")[2].partition(":")[0]]
    if isinstance(value, str) and "str" in bases:
        return cls(value)
    is_number = isinstance(value, (int, float)) or value in _NUMBERS
    if is_number and {"int", "float", "generic"} & set(bases):
        return cls(float(value) if isinstance(value, str) else value)
    package = kind.partition(".")[0]
    # A text of its own kind may name a constant: torch.float32.
    return find_object(value) if value.startswith(f"{package}.") else value


def _remake_object(cls: Any, bases: Sequence[str], fields: Record) -> Any:
    """An object with these fields: a mapping, a namespace, or of a class that lists its fields."""
    if list_fields(cls) is None:
        if _is_mapping(cls):
            return cls(fields)
        if not {"Namespace", "SimpleNamespace"} & set(bases):
            raise TypeError("it is no class of plain data")
        return cls(**fields)
    # Pydantic's way to have them as they were, unchecked.
    construct = getattr(cls, "model_construct", None) or getattr(cls, "construct", None)
    if construct is not None:
        return construct(**fields)
    known = getattr(cls, "__dataclass_fields__", {})
    attributes = {attribute.name: attribute for attribute in getattr(cls, "__attrs_attrs__", ())}
    # attrs calls the argument for a field `_x` just x.
    made = cls(
        **{
            getattr(attributes.get(name), "alias", None) or name: value
            for name, value in fields.items()
            if getattr(known.get(name, attributes.get(name)), "init", True)
        }
    )
    for name, value in fields.items():
        # As they were, whatever the class makes of them.
        object.__setattr__(made, name, value)
    return made


def find_object(name: str) -> Any:
    """A class or other object by its dotted name; one without a dot is built in."""
    import builtins
    import importlib

    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
            for part in parts[length:]:
                found = getattr(found, part)
            return found
        except (ImportError, AttributeError):
            continue
    if name not in vars(builtins):
        raise LookupError(f"there is no {name} here")
    return getattr(builtins, name)


def evaluate(text: str, find: Callable[[str], Any]) -> Any:
    """The value of a repr: literals, and calls of the types in `_REPRS`, which `find` finds.

    ValueError for everything else.
    """
    import ast
    import warnings

    kinds = {kind.rpartition(".")[2]: kind for kind in _REPRS}

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
    except (SyntaxError, LookupError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f"{clean(text, 80)} is no value's text: {error}") from None


# -- carrying the plan out


def carry_out(
    plan: Record,
    record: Record,
    directory: _StrPath | None = None,
    keep: bool = False,
    on_step: Callable[[str], object] = lambda step: None,
) -> Record:
    """Check the code out, run the function in a child, compare, and leave the rest as it was."""
    import tempfile

    target = None if directory is None else check_target(os.path.abspath(os.fspath(directory)))
    # Before making another: what a killed rerun left may be large.
    sweep_reruns()
    prefix = KEPT_PREFIX if keep else f"{RERUN_PREFIX}{_owner()}-"
    # Before the work, which would be lost if it couldn't be put there.
    created = create_directories(target, parents=True) if target else []
    work = os.path.realpath(tempfile.mkdtemp(prefix=prefix))
    try:
        on_step(f"checking out commit {plan['commit'][:12]}")
        lay_out(plan, work)
        on_step(f"running {plan['qualname']}()")
        made = find_rerun(plan, run_child(plan, work), work)
        result = {"verdicts": judge_rerun(plan, record, made), "notes": plan["notes"]}
        result["notes"] += list_hints(made)
        target = target or tempfile.mkdtemp(prefix=MADE_PREFIX)
        collect_outputs(plan, made, target)
    except BaseException:
        _remove_directories(created)
        raise
    finally:
        if not keep:
            _remove_tree(work)
    result.update(record=made, directory=target)
    return {**result, "checkout": relocate(plan["top"], plan)} if keep else result


def check_target(path: str) -> str:
    """A folder for new files, that doesn't mix them with others."""
    if os.path.lexists(path) and (not os.path.isdir(path) or os.listdir(path)):
        raise RecordError(f"{path}: must be a folder that is empty, or not there yet")
    return path


def _remove_tree(path: str) -> None:
    """Remove a folder with all that is in it, as far as that can be."""
    import shutil

    shutil.rmtree(path, ignore_errors=True)
    if os.path.isdir(path):
        _attempt(_make_writable, path)
        shutil.rmtree(path, ignore_errors=True)


def _make_writable(path: str) -> None:
    """Let the owner change a folder and those in it, which a function may have made read-only."""
    # By descriptors, so that no link leads elsewhere meanwhile.
    for *_, descriptor in os.fwalk(path):
        os.fchmod(descriptor, 0o700)


def sweep_reruns() -> None:
    """Remove the working folders of this machine's reruns that were killed."""
    import tempfile

    machine = _owner().partition("-")[0]
    for entry in _scan_folder(tempfile.gettempdir()):
        found = _pattern(rf"{RERUN_PREFIX}{machine}-(\d+)-(\d+)-").match(entry.name)
        if found and str(_read_start_time(found[1])) != found[2]:
            # Fails where it is another user's.
            _remove_tree(os.path.join(tempfile.gettempdir(), entry.name))


def lay_out(plan: Record, work: str) -> None:
    """Make the copies: the repository with the patch, the inputs, and the folders around them."""
    plan["root"] = os.path.join(work, "root")
    code = relocate(plan["top"], plan)
    check_out(plan["repository"], plan["commit"], code, plan["patch"])
    set_remotes(code, plan["remotes"])
    source = os.path.join(code, plan["source"])
    if not os.path.isfile(source):
        raise RecordError(f"commit {plan['commit']} and its patch hold no {plan['source']}")
    alias = relocate(plan["alias"], plan) if plan["alias"] else ""
    if alias and make_folder(os.path.dirname(alias), plan):
        os.symlink(code, alias)
    for folder in (plan["cwd"], *map(os.path.dirname, plan["moved"])):
        make_folder(relocate(folder, plan), plan)
    for entry in plan["inputs"]:
        place_input(entry, relocate(entry["path"], plan), plan)
    place_unrecorded(plan)
    plan["protected"] = list_protected(plan, work)


def check_out(repository: str, commit: str, code: str, patch: Sequence[str] = ()) -> None:
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
    for folder, needed in list_submodules(code, patch):
        submodule = os.path.join(repository, folder)
        if os.path.exists(os.path.join(submodule, ".git")):
            check_commit(submodule, needed)
            check_out(submodule, needed, os.path.join(code, folder))


def set_remotes(code: str, remotes: Mapping[str, Any]) -> None:
    """Give a clone the remotes that the record tells of, none of which can be pushed to."""
    _require_git(code, "config", "--remove-section", "remote.origin")
    for name, url in remotes.items():
        _require_git(code, "config", f"remote.{name}.url", str(url))
        _require_git(code, "config", f"remote.{name}.pushurl", os.devnull)


# What git-lfs holds would come from its server; what the run read of it is among the inputs.
_NO_LFS = (
    *("-c", "filter.lfs.smudge=", "-c", "filter.lfs.process=", "-c", "filter.lfs.required=false"),
)


def _require_git(folder: str, *arguments: str) -> str:
    """Run git; RecordError if it fails."""
    status, said = run_git(folder, *arguments, timeout=CHECKOUT_TIMEOUT)
    if status != 0:
        raise RecordError(f"git could not check the commit out: {said}")
    return said


def list_submodules(code: str, patch: Sequence[str]) -> Iterator[tuple[str, str]]:
    """A checkout's submodules, and the commits that its patch, else its index, leads to."""
    if not os.path.isfile(os.path.join(code, ".gitmodules")):
        return
    moved = dict(_pattern(_SUBMODULE_MOVE).findall("\n".join(patch)))
    for entry in _require_git(code, "ls-files", "--stage", "-z").split("\0"):
        facts, _, path = entry.partition("\t")
        if facts.startswith("160000 "):
            yield path, moved.get(path, facts.split(" ")[1])


# What a patch says of a submodule, and `git apply` only puts into the index.
_SUBMODULE_MOVE = r"(?m)^\+\+\+ b/(.*?)\t?\n@@.*\n(?:-.*\n)?\+Subproject commit ([0-9a-f]+)$"


def is_in_copies(path: str, plan: Record) -> bool:
    """Whether a path really leads into the copies: a link that is in the commit may lead out."""
    real, root = os.path.realpath(path), os.path.realpath(plan["root"])
    return real == root or is_below(real, root)


def make_folder(path: str, plan: Record) -> bool:
    """Make a folder, unless it would lie outside the copies; tell whether it lies inside."""
    is_inside = is_in_copies(path, plan)
    if is_inside:
        # A link may lead to what git ignores, and isn't there yet.
        os.makedirs(os.path.realpath(path), exist_ok=True)
    return is_inside


def place_input(entry: Record, place: str, plan: Record) -> None:
    """Put an input where the function will look for it, unless it came with the repository."""
    import shutil

    same = sign_file(place) and hash_file(place) == entry["sha256"] is not None
    if same:
        return
    if not entry["found"]:
        _require_input(entry)
        return
    if not make_folder(os.path.dirname(place), plan):
        why = "is not what it was, and lies behind a link to outside that is in the repository"
        raise RecordError(f"the input {format_path(entry['path'])} {why}; put it back as it was")
    if os.path.lexists(place):
        os.unlink(place)
    if entry["size"] > PATCH_LIMIT:
        # Large inputs are linked: the guard keeps the function from writing through it.
        os.symlink(entry["found"], place)
    else:
        shutil.copy2(entry["found"], place)


def place_unrecorded(plan: Record) -> None:
    """Link to what is needed of the user's tree and neither git nor the record holds.

    That is what arguments name, and the sources that git ignores.
    """
    known = {entry["path"] for entry in (*plan["outputs"], *plan["inputs"])}
    known |= {_output_path(entry, plan) for entry in plan["outputs"]}
    known |= list_brought(plan) | list_later(plan)
    sources = [os.path.join(plan["top"], part[len(_IGNORED) :]) for part in plan["ignored"]]
    for text in filter(None, (*sources, *find_paths(plan))):
        path = os.path.normpath(os.path.join(plan["cwd"], text))
        if path in plan["listed"] or not os.path.exists(path):
            continue
        if os.path.isabs(text) and map_path(path, plan) == path:
            # It is where it was. Of most single files the record says what they held.
            is_used = os.path.isdir(path) or (path not in known and sign_file(path) is not None)
        else:
            room = [LINK_LIMIT]
            is_used = link_missing(path, relocate(path, plan), known, plan, room)
            for file in list_ignored(path, plan):
                is_used |= link_missing(file, relocate(file, plan), known, plan, room)
        if is_used:
            problem = f"neither git nor the record holds {path}"
            plan["notes"].append(f"{problem}: it is used as it is now")


def list_ignored(path: str, plan: Record) -> list[str]:
    """The files in a folder of the repository that git ignores: data beside what it tracks."""
    if not is_below(path, plan["top"]) or not os.path.isdir(path):
        return []
    below = os.path.relpath(path, plan["top"])
    ignored = ("--others", "--ignored", "--exclude-standard", "-z")
    status, names = run_git(
        plan["top"], "--literal-pathspecs", "ls-files", *ignored, "--", below, timeout=LOOK_TIMEOUT
    )
    files = [os.path.join(plan["top"], name) for name in names.split("\0")[:-1]]
    return files if status == 0 and len(files) <= LINK_LIMIT else []


def list_brought(plan: Record) -> set[str]:
    """The folders of the repository that the checkout has brought, with all that belongs there."""
    names = _require_git(relocate(plan["top"], plan), "ls-files", "-z").split("\0")
    names += [read_name(line) for line in plan["patch"] if line.startswith("diff --git ")]
    # Not those that are kept by a .gitkeep only.
    files = (name for name in names if not os.path.basename(name).startswith(".git"))
    folders = {folder for folder in map(os.path.dirname, files) if folder}
    return {os.path.join(plan["top"], folder) for folder in folders}


def list_later(plan: Record) -> set[str]:
    """The files in the run's own directory that came after it had begun."""
    files = scan_tree(plan["directory"])[0].items()
    return {
        os.path.join(plan["directory"], path)
        for path, signature in files
        if signature[0] >= plan["span"][0] * 1e9
    }


def link_missing(
    path: str, place: str, known: Container[str], plan: Record, room: list[int]
) -> bool:
    """Link to a file, or to those in a folder, that aren't known; tell whether there are any.

    The folders are real ones, so that the function may write new files there; unless there are
    more entries than there is `room` for. What changed in the span of the run, it has made.
    """
    if not is_in_copies(place, plan):
        return True
    place = os.path.realpath(place)
    room[0] -= 1
    signature, span = sign_file(path), plan["span"]
    is_made = signature is not None and span[0] <= signature[0] / 1e9 <= span[1]
    if path in known or is_made or is_record(path):
        return False
    if os.path.isdir(path) and (room[0] > 0 or os.path.isdir(place)):
        names = [name for name in _list_folder(path) if not name.startswith(".git")]
        pairs = [(os.path.join(path, name), os.path.join(place, name)) for name in names]
        is_needed = sum(link_missing(*pair, known, plan, room) for pair in pairs) > 0
        # In its own directory, the function makes its folders itself.
        is_old = not names and os.stat(path).st_mtime < span[0]
        if is_old or not is_below(path, plan["directory"]):
            os.makedirs(place, exist_ok=True)
        return is_needed
    if os.path.lexists(place):
        return False
    os.makedirs(os.path.dirname(place), exist_ok=True)
    os.symlink(path, place)
    return True


def list_protected(plan: Record, work: str) -> list[str]:
    """The files and folders, without links on the way, that a rerun must not write to."""
    inputs = [entry["found"] for entry in plan["inputs"] if entry["found"]]
    named = [os.path.normpath(os.path.join(plan["cwd"], path)) for path in find_paths(plan) if path]
    named = [path for path in named if os.path.isdir(path) or sign_file(path)]
    others = [path for path in map(os.path.realpath, (*inputs, *named)) if not is_below(work, path)]
    shared = os.path.join(relocate(plan["top"], plan), ".git", "objects", "info", "alternates")
    objects = os.fsdecode(_read_bytes(shared)).splitlines() if os.path.isfile(shared) else ()
    # A worktree's objects lie elsewhere, and are shared with all the others.
    own = (plan["repository"], *map(os.path.dirname, objects), *plan["moved"])
    real = {*map(os.path.realpath, own), *others} - {os.sep}
    return sorted(path for path in real if not any(is_below(path, other) for other in real))


def run_child(plan: Record, work: str) -> int:
    """Run the plan in a child interpreter, its output on our stderr; return its exit status."""
    import json
    import subprocess

    path, temporary = os.path.join(work, "plan.json"), os.path.join(work, "tmp")
    replace_file(path, json.dumps(plan), durable=False)
    os.mkdir(temporary)
    environment = {**os.environ, **plan["variables"]}
    if len(temporary) < SOCKET_FOLDER_LENGTH:
        environment["TMPDIR"] = temporary
    if "PYTHONPATH" in environment:
        # For the interpreters that the function may start.
        paths = environment["PYTHONPATH"].split(os.pathsep)
        environment["PYTHONPATH"] = os.pathsep.join(map_path(path, plan) for path in paths)
    command = [sys.executable, *plan["flags"], "-c", _START, os.path.abspath(__file__), path]
    return subprocess.run(  # not a _Process: nothing is read from it, and it may take for ever
        command,
        cwd=relocate(plan["cwd"], plan),
        env={name: value for name, value in environment.items() if value is not None},
        stdin=subprocess.DEVNULL,
        stdout=2,
        check=False,
    ).returncode


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
pycrumbs.execute_plan(sys.argv[2])
"""


def find_rerun(plan: Record, status: int, work: str) -> Record:
    """The record that the child left."""
    plan["made_in"] = os.path.normpath(_read_left("directory", plan, work) or plan["directory"])
    folder = relocate(plan["made_in"], plan)
    records = _attempt_list(records_in, folder) if os.path.isdir(folder) else []
    found = [record for record in records if record.get("rerun_of") == plan["uuid"]]
    if not found:
        reason = _read_left("problem", plan, work) or f"status {status}"
        raise RecordError(f"{plan['qualname']}() could not be called: {reason}")
    if found[-1].get("status") == "running":
        ended = f"signal {-status}" if status < 0 else f"status {status}"
        raise RecordError(f"{plan['qualname']}() did not end; its process did, with {ended}")
    return bring_back(found[-1], plan)


def _read_left(name: str, plan: Record, work: str) -> str:
    """What the child has left under that name, its paths those of the first run; or ''."""
    left = _attempt(_read_bytes, os.path.join(work, name))
    text = left.decode("utf-8", "surrogateescape") if isinstance(left, bytes) else ""
    return text.replace(plan["root"], "")


def bring_back(record: Record, plan: Record) -> Record:
    """A record of the rerun, its paths those of the first run again: the copies won't stay."""
    import json

    root = json.dumps(plan["root"])[1:-1]
    returned: Record = json.loads(json.dumps(record).replace(root, ""))
    return returned


# -- in the child


def execute_plan(path: str) -> None:
    """Load the code, make the arguments again, and call the function."""
    import json

    global _rerun
    plan = json.loads(_read_bytes(path))
    _rerun = _Rerun(plan)
    sys.argv = [map_path(argument, plan) for argument in plan["argv"]]
    sys.path[:] = find_import_paths(plan)
    sys.meta_path.insert(0, _Redirected(plan))
    # The hook gives Python code a clear error; what it can't see, the system stops.
    sys.addaudithook(_Guard(plan["protected"], os.path.dirname(path)))
    forbid_writing(plan["protected"], os.path.dirname(path))
    try:
        function = load_function(plan)
        arguments = rebuild_arguments(function, plan)
        # The code may have gone elsewhere while it was loaded, as it had then.
        os.chdir(relocate(plan["cwd"], plan))
        _rerun.loading = False
        call_again(function, arguments)
    except RecordError as error:
        _leave_problem(str(error), path)
    except Exception as error:
        print(*format_traceback(error), sep="\n", file=sys.stderr)
        _leave_problem(_describe_briefly(error), path)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    finally:
        if _rerun.run:
            # The function may have renamed it.
            _leave("directory", _rerun.run.directory, path)


def _leave_problem(problem: str, path: str) -> None:
    """Tell the parent why the function could not be called, if it finds no record; and end."""
    _leave("problem", problem, path)
    raise SystemExit(1)


def _leave(name: str, text: str, path: str) -> None:
    """Leave the parent a text, beside the plan."""
    replace_file(os.path.join(os.path.dirname(path), name), text, durable=False)


def find_import_paths(plan: Record) -> list[str]:
    """`sys.path`: what the first run had of the repository, the module's root, what is here."""
    source = relocate(os.path.join(plan["top"], plan["source"]), plan)
    levels = 0
    if plan["module"] != "__main__":
        levels = plan["module"].count(".") + source.endswith("__init__.py")
    root = os.path.normpath(os.path.join(os.path.dirname(source), *[".."] * levels))
    recorded = [map_path(os.path.join(plan["cwd"], path), plan) for path in plan["python_path"]]
    here = [_map_import(path, plan) for path in sys.path]
    inside = [path for path in recorded if is_below(path, plan["root"])]
    return list(dict.fromkeys([*inside, root, *here]))


def _map_import(path: str, plan: Record) -> str:
    """Where something importable is in the rerun: what is the interpreter's stays, wherever."""
    own = [folder for folder in _interpreter_folders() if not is_below(plan["top"], folder)]
    if path.startswith(tuple(own)):
        return path
    # Where the repository has moved, what is installed from it may have followed.
    is_moved = path == plan["repository"] or is_below(path, plan["repository"])
    return map_path(plan["top"] + path[len(plan["repository"]) :] if is_moved else path, plan)


class _Redirected:
    """A finder before all others: what they find in the user's tree comes from the checkout.

    That is what is installed in editable mode. And each copy of this module is this one.
    """

    def __init__(self, plan: Record) -> None:
        self.plan = plan

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None) if finder is not self else None
            spec = find(name, path, target) if find else None
            if spec is not None:
                return self.redirect(spec)
        return None

    def redirect(self, spec: Any) -> Any:
        """A spec that leads to the checkout, if it led to the user's tree."""
        import importlib.util

        if not spec.origin or not spec.has_location:
            return spec
        if _is_this_module(spec.origin):
            return importlib.util.spec_from_loader(spec.name, self)  # type: ignore[arg-type]
        origin = _map_import(spec.origin, self.plan)
        if origin == spec.origin:
            return spec
        if not os.path.isfile(origin):
            raise ImportError(f"{spec.origin} is not in the commit", name=spec.name)
        folders = spec.submodule_search_locations and [os.path.dirname(origin)]
        return importlib.util.spec_from_file_location(
            spec.name, origin, submodule_search_locations=folders
        )

    def create_module(self, spec: Any) -> types.ModuleType:
        return sys.modules[__name__]

    def exec_module(self, module: types.ModuleType) -> None:
        """It is loaded already."""


def _is_this_module(path: str) -> bool:
    """Whether a source file is a copy of this one, of whatever name and version."""
    # Most are too short for it, and needn't be read.
    is_long = path.endswith(".py") and _size_of(path) > COPY_SIZE
    return is_long and b"\nclass _Redirected:" in _read_bytes(path)


_WRITING_EVENTS = {  # audit events, and which of their arguments are paths that change
    **dict.fromkeys(("os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.chmod"), (0,)),
    **dict.fromkeys(("os.utime", "os.chown", "os.setxattr", "shutil.rmtree"), (0,)),
    **dict.fromkeys(("os.rename", "os.link"), (0, 1)),
    "os.symlink": (1,),
}


def list_writable() -> list[str]:
    """Where a rerun may write besides its own folder: devices, temporary files and caches."""
    import tempfile

    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folders = ("/dev", "/proc", "/tmp", "/var/tmp", tempfile.gettempdir(), cache)
    return [path for path in map(os.path.realpath, folders) if os.path.isdir(path)]


class _Guard:
    """An audit hook that stops Python code that would write to the first run's files, or others."""

    def __init__(self, protected: Sequence[str], work: str) -> None:
        self.protected, self.work = protected, work
        self.writable = list_writable()

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
            if isinstance(arguments[2], int) and arguments[2] & writing:
                self.check(arguments[0])
        elif event in _WRITING_EVENTS:
            for place in _WRITING_EVENTS[event]:
                self.check(arguments[place])

    def check(self, path: object) -> None:
        """Raise PermissionError where a path is not to be written to."""
        if not isinstance(path, (str, bytes, os.PathLike)):
            return
        real = os.path.realpath(os.fsdecode(path))
        if is_below(real, self.work):
            return
        if any(real == folder or is_below(real, folder) for folder in self.protected):
            problem = "a rerun must not write to the first run's files, which the code names"
            raise PermissionError(f"{problem}: {real}")
        if not any(is_below(real, folder) for folder in self.writable):
            raise PermissionError(f"a rerun writes into its own folder only, not to {real}")


def forbid_writing(protected: Sequence[str], work: str) -> None:
    """Have the system stop what Python doesn't see: C libraries and child processes.

    Landlock (Linux 5.19, for everyone) is told what to allow. Where it is missing, `_Guard` has to
    do.
    """
    if sys.platform != "linux":
        return
    import ctypes

    system, prctl = ctypes.CDLL(None).syscall, ctypes.CDLL(None).prctl
    create, add, restrict, is_version, is_path = 444, 445, 446, 1, 1
    version = system(create, None, 0, is_version)
    if version < 2:
        # There is no Landlock; or its first version, which forbids all renaming between folders.
        return
    # LANDLOCK_ACCESS_FS_*: write, make, remove ...
    rights = 0x7FF2 if version > 2 else 0x3FF2
    rules = system(create, rights.to_bytes(8, sys.byteorder), 8, 0)
    for path in [*list_unprotected(protected, list_writable()), work]:
        # A file can only be written and truncated.
        granted = rights if os.path.isdir(path) else rights & 0x4002
        descriptor = _attempt(os.open, path, os.O_PATH | os.O_CLOEXEC)
        if isinstance(descriptor, str):
            # It has been removed meanwhile.
            continue
        rule = granted.to_bytes(8, sys.byteorder) + descriptor.to_bytes(4, sys.byteorder)
        system(add, rules, is_path, rule, 0)
        os.close(descriptor)
    # Landlock asks for PR_SET_NO_NEW_PRIVS.
    prctl(38, 1, 0, 0, 0)
    system(restrict, rules, 0)
    os.close(rules)


def list_unprotected(protected: Sequence[str], writable: Sequence[str]) -> Iterator[str]:
    """What lies in the writable folders, beside the protected paths and the folders above them."""
    above = {folder for path in protected for folder in _folders_above(path)}
    for top in writable:
        if top not in above:
            yield from [] if any(top == p or is_below(top, p) for p in protected) else [top]
            continue
        for folder in (folder for folder in above if folder == top or is_below(folder, top)):
            for entry in _scan_folder(folder):
                path = os.path.join(folder, entry.name)
                if path not in above and path not in protected and not os.path.islink(path):
                    yield path


def load_function(plan: Record) -> Callable[..., Any]:
    """Load the code up to the first call of a tracked function, and take the function from it."""
    assert _rerun is not None
    source = relocate(os.path.join(plan["top"], plan["source"]), plan)
    name = plan["qualname"]
    if plan["run_as"]:
        make_script(source, name if plan["run_as"] == "module" else None, literal_directory=".")
    elif plan["module"] != "__main__":
        load_module(plan)
    else:
        load_main(source, plan["main"])
    function = _rerun.choose(source, name)
    if function is None:
        advice = "define it at the top level, before anything tracked is called"
        raise RecordError(f"loading {plan['source']} defines no tracked {name}(); {advice}")
    return function


def load_module(plan: Record) -> None:
    """Import the function's module; its caller's too, if an argument's class is from there."""
    import importlib

    script = relocate(os.path.join(plan["cwd"], plan["argv"][0]), plan)
    kinds = [str(kind) for kind in plan["kinds"].values()]
    if any(kind.startswith("__main__.") for kind in kinds) and os.path.isfile(script):
        load_main(script, plan["main"])
    try:
        importlib.import_module(plan["module"])
    except _Reached:
        return


def load_main(source: str, name: str) -> None:
    """Load a script without what it does only as `__main__`, the way multiprocessing does.

    `name` is the module's if it was started with `-m`. The script's classes are then said to be
    `__main__`'s again, as they are in what the first run pickled.
    """
    import importlib.util

    # Not `__main__`, so that what a script does when it is run isn't done again.
    module = types.ModuleType("__mp_main__")
    module.__dict__.update(__file__=source, __builtins__=__builtins__)
    path = name.replace(".", os.sep)
    if source.endswith((f"{os.sep}{path}.py", f"{os.sep}{path}{os.sep}__main__.py")):
        is_package = not source.endswith(f"{path}.py")
        module.__package__ = name if is_package else name.rpartition(".")[0]
        # By this multiprocessing knows how its workers, too, have to load it.
        name = f"{name}.__main__" if is_package else name
        module.__spec__ = importlib.util.spec_from_file_location(name, source)
    if module.__package__:
        importlib.import_module(module.__package__)
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module
    try:
        exec(compile(_read_bytes(source), source, "exec", dont_inherit=True), module.__dict__)
    except _Reached:
        return
    finally:
        module.__name__ = "__main__"
        # What click makes a command of, it hides.
        found = _rerun.found.values() if _rerun else ()
        functions = [f for tracker, wrapped in found for f in (tracker.function, wrapped)]
        _rename_module([*vars(module).values(), *functions], set())
        if "logging" in sys.modules:
            _rename_logger(sys.modules["logging"].root.manager.loggerDict)


def _rename_logger(loggers: dict[str, Any]) -> None:
    """Have the script's own logger be called as in the first run: what it logs tells its name."""
    logger = loggers.pop("__mp_main__", None)
    if logger is not None:
        logger.name = "__main__"
        loggers["__main__"] = logger


def _rename_module(values: Iterable[Any], seen: set[int]) -> None:
    """Say of these values, and of what they hold, that they are __main__'s."""
    for value in [getattr(value, "__func__", value) for value in values]:
        if getattr(value, "__module__", None) != "__mp_main__" or id(value) in seen:
            continue
        seen.add(id(value))
        value.__module__ = "__main__"
        if isinstance(value, type):
            _rename_module(vars(value).values(), seen)
        if hasattr(value, "__wrapped__"):
            _rename_module([value.__wrapped__], seen)


def rebuild_arguments(function: Callable[..., Any], plan: Record) -> inspect.BoundArguments:
    """The call's arguments, made again from their descriptions."""
    import collections
    import inspect

    signature = inspect.signature(function)
    unknown = set(plan["arguments"]) - set(signature.parameters)
    if unknown:
        raise RecordError(f"{plan['qualname']}() has no parameter {', '.join(sorted(unknown))}")
    arguments = collections.OrderedDict(
        (name, rebuild(value, plan["kinds"], name, plan))
        for name, value in plan["arguments"].items()
    )
    return inspect.BoundArguments(signature, arguments)


def call_again(function: Callable[..., Any], arguments: inspect.BoundArguments) -> None:
    """Call a tracked function of any kind, to its end."""
    import collections
    import inspect

    result = function(*arguments.args, **arguments.kwargs)
    if inspect.isgenerator(result):
        collections.deque(result, maxlen=0)
    elif inspect.iscoroutine(result) or inspect.isasyncgen(result):
        import asyncio

        async def exhaust() -> None:
            if inspect.iscoroutine(result):
                await result
            else:
                async for _ in result:
                    pass

        asyncio.run(exhaust())


# -- comparing what was made


def judge_rerun(plan: Record, record: Record, made: Record) -> list[Record]:
    """One verdict per output, and for the result and the way the run ended."""
    before = {_output_path(entry, plan): entry for entry in plan["outputs"]}
    after = {_output_path(entry, plan): entry for entry in entries_of(made, "outputs")}
    verdicts = []
    for path in sorted({*before, *after}):
        old, new = before.get(path), after.get(path)
        name = (old or new or {})["name"]
        verdict = compare_outputs(old, new, _made_path(name, plan))
        verdicts.append({"name": name, **verdict})
    for key in ("result", "error"):
        one, other = record.get(key), made.get(key)
        if key == "error":
            # Tracebacks name other folders.
            one, other = (_pick(error, ("type", "message")) or None for error in (one, other))
        if one is not None or other is not None:
            detail = "" if one == other else f"{clean(one, 200)} -> {clean(other, 200)}"
            verdict = {"verdict": "identical" if one == other else "differs", "detail": detail}
            verdicts.append({"name": key, **verdict})
    return verdicts


def list_hints(made: Record) -> list[str]:
    """What to do about how the rerun failed, where that can be told."""
    advice = "recorded: input_parameters, capture_files"
    if get(made, "called_function", "run_as"):
        # All that a script is seen to open is recorded anyway.
        advice = "named by an argument or an absolute path"
    hints = {
        "FileNotFoundError": f"what the code reads must be in git, or {advice}",
        "PermissionError": "a rerun may write into its own directory, temporary folders and caches",
    }
    hint = hints.get(get(made, "error", "type"))
    return [hint] if hint else []


def _output_path(entry: Record, plan: Record) -> str:
    """Where an output lay in the first run, or would have."""
    return os.path.normpath(os.path.join(plan["directory"], entry["name"]))


def _made_path(name: str, plan: Record) -> str:
    """Where an output of the rerun lies."""
    return relocate(os.path.normpath(os.path.join(plan["made_in"], name)), plan)


def compare_outputs(old: Record | None, new: Record | None, path: str) -> Record:
    """The verdict on one output; where it differs, how, as far as the first one is still there."""
    if old is None or new is None:
        return {"verdict": "new" if old is None else "missing", "detail": ""}
    if not old.get("sha256"):
        return {"verdict": "unhashed", "detail": "the first run's record has no hash (hash_limit)"}
    if hash_file(path) == old["sha256"]:
        return {"verdict": "identical", "detail": ""}
    if hash_file(old["path"]) != old["sha256"]:
        return {"verdict": "differs", "detail": "the first run's file is not there to compare"}
    return {"verdict": "differs", "detail": _attempt(describe_difference, old["path"], path)}


def describe_difference(a: str, b: str) -> str:
    """Where two files first differ, in words: numbers by their largest difference, else by line."""
    sizes = f"{os.path.getsize(a):,} and {os.path.getsize(b):,} bytes"
    if max(os.path.getsize(a), os.path.getsize(b)) > COMPARE_LIMIT:
        return sizes
    if a.endswith(".npy"):
        return compare_arrays(a, b)
    try:
        lines = [_read_bytes(path).decode("utf-8").split("\n") for path in (a, b)]
    except UnicodeDecodeError:
        return sizes
    largest = find_largest_difference(*lines) if a.endswith(".csv") else None
    return compare_lines(*lines) + (f"; largest difference {largest:g}" if largest else "")


def compare_arrays(a: str, b: str) -> str:
    """How two files of NumPy arrays differ."""
    # Not a dependency: who has made such files has it installed.
    numpy = __import__("numpy")
    x, y = (numpy.load(path, allow_pickle=False) for path in (a, b))
    if (x.shape, x.dtype) != (y.shape, y.dtype):
        return f"{x.dtype} {x.shape} and {y.dtype} {y.shape}"
    # Two NaN are equal here.
    differ = (x != y) & ((x == x) | (y == y))
    count = f"{differ.sum()} of {x.size} values"
    if x.dtype.kind not in "biuf":
        return count
    with numpy.errstate(invalid="ignore"):
        gaps = abs(x.astype("longdouble") - y.astype("longdouble"))[differ]
    return f"largest difference {max(gaps):g}, in {count}" if differ.any() else count


def compare_lines(a: Sequence[str], b: Sequence[str]) -> str:
    """The first line in which two texts differ, from where it does."""
    for number, (one, other) in enumerate(zip(a, b), 1):
        if one != other:
            start = max(0, len(os.path.commonprefix([one, other])) - 20)
            return f"line {number}: {clean(one[start:], 80)} -> {clean(other[start:], 80)}"
    return f"{len(a)} and {len(b)} lines"


def find_largest_difference(a: Sequence[str], b: Sequence[str]) -> float | None:
    """The largest difference of numbers in the same cells of two tables, if they match at all."""
    import csv

    largest = None
    try:
        for row, other in zip(csv.reader(a), csv.reader(b)):
            for x, y in zip(row, other):
                if x != y:
                    largest = max(largest or 0.0, abs(float(x) - float(y)))
    except (ValueError, csv.Error):
        return None
    return largest


def collect_outputs(plan: Record, made: Record, target: str) -> None:
    """Take what the rerun made, and its records, to the folder where they are to stay."""
    import shutil

    for entry in made.get("outputs", ()):
        place = _made_path(entry["path"], plan)
        if os.path.isabs(entry["path"]):
            entry["path"] = f"{ELSEWHERE}{entry['path']}"
        os.makedirs(os.path.dirname(os.path.join(target, entry["path"])), exist_ok=True)
        if os.path.isfile(place):
            folder = os.path.dirname(place)
            if not os.access(folder, os.W_OK) and is_in_copies(folder, plan):
                _make_writable(folder)
            shutil.move(place, os.path.join(target, entry["path"]))
    for record in [*find_nested(plan, made), made]:
        name = os.path.relpath(record["record_path"], plan["made_in"])
        record["record_path"] = os.path.join(target, name)
        os.makedirs(os.path.dirname(record["record_path"]), exist_ok=True)
        kept = {k: v for k, v in record.items() if k not in ("record_path", "record_number")}
        write_record(record["record_path"], kept)


def find_nested(plan: Record, made: Record) -> Iterator[Record]:
    """The records of the tracked runs inside the rerun, as far as they lie in its directory."""
    uuids = {made["uuid"]}
    for record in sorted(iterate_records(relocate(plan["made_in"], plan)), key=_start_of):
        if record.get("parent") in uuids:
            uuids.add(record.get("uuid"))
            yield bring_back(record, plan)


# ------------------------------------------------------------------------------
# Showing
# ------------------------------------------------------------------------------
# Values in, text out. Whatever comes from a record passes `clean` before it can
# reach a terminal.


def clean(value: object, limit: int = 500) -> str:
    """A value as one line of text without control characters, escape sequences or bidi marks."""
    import json

    text, encoder = "", json.JSONEncoder(ensure_ascii=False)
    chunks: Iterable[str]
    if isinstance(value, str):
        chunks = [value]
    elif _holds_few(value):
        # In one go, which takes a twentieth of the time, if it is deep.
        chunks = [encoder.encode(value)]
    else:
        chunks = encoder.iterencode(value)
    for chunk in chunks:
        text += chunk
        if len(text) > limit:
            # The rest of a long value isn't even turned into text.
            break
    text = text if len(text) <= limit else f"{text[:limit]}..."
    return str(_pattern(_UNPRINTABLE).sub(_escape, text))


def _holds_few(value: object) -> bool:
    """Whether a value from JSON holds no more than a few hundred others."""
    items = [value]
    for item in items:
        if isinstance(item, (dict, list)):
            if len(items) + len(item) > 500:
                return False
            items += item.values() if isinstance(item, dict) else item
    return True


_UNPRINTABLE = (  # control characters, marks without a shape, halves of characters
    "[\0-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def _escape(match: Any) -> str:
    return str(match[0].encode("unicode_escape").decode())


def format_path(path: object) -> str:
    """A path for people: relative to the working directory where it lies below that."""
    if not isinstance(path, str):
        return clean(path)
    here = os.path.join(_attempt(os.getcwd), "")
    return clean(path[len(here) :] if path.startswith(here) else path.removeprefix("./"))


def format_value(value: object, limit: int = 500) -> str:
    """An argument's value; a text in quotes where it could be taken for something else."""
    is_quoted = isinstance(value, str) and _pattern(_AMBIGUOUS).match(value)
    return clean(f'"{value}"' if is_quoted else value, limit)


# Empty, a number, a constant, the beginning of JSON, or with blanks in it.
_AMBIGUOUS = r'(?s)$|(?:true|false|null|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)$|[\[{"]|.*\s'


def format_size(size: int) -> str:
    """A number of bytes for people: '4.0 MiB'."""
    amount, units = float(min(size, 2**70)), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while amount >= 1024 and len(units) > 1:
        amount, units = amount / 1024, units[1:]
    return f"{size} bytes" if units[0] == "bytes" else f"{amount:.1f} {units[0]}"


def format_duration(text: object) -> str:
    """A recorded run time for people: '0.04 s', '41.2 s', '2:05:03'."""
    if not isinstance(text, str):
        return ""
    found = _pattern(r"0:00:(\d\d(?:\.\d+)?)$").match(text)
    if not found:
        return clean(text).partition(".")[0]
    seconds = float(found[1])
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"


def format_moment(text: object) -> str:
    """A recorded time for people: without what is smaller than a second."""
    return clean(text)[:19] if isinstance(text, str) else ""


_COLORS = {
    **dict.fromkeys(("completed", "ok", "identical"), "32"),
    **dict.fromkeys(("running", "unhashed", "unknown", "new"), "33"),
    **dict.fromkeys(("failed", "died", "interrupted", "terminated", "unusual", "error"), "31"),
    **dict.fromkeys(("changed", "missing", "differs", "unreadable"), "31"),
}


class _Style:
    """How text may look where it is printed: its width, and whether it has colours."""

    def __init__(self, width: int = 80, color: bool = False) -> None:
        self.width, self.color = width, color

    def paint(self, text: str, word: str = "") -> str:
        """Colour a text by what its first word, or the given one, stands for."""
        code = _COLORS.get(word or text.split(" ")[0].strip(",")) if text else None
        return f"\033[{code}m{text}\033[0m" if self.color and code else text

    def cut(self, text: str, width: int | None = None) -> str:
        """As much of a text as fits into a line, or into so many columns."""
        import itertools

        width = max(0, self.width if width is None else width)
        if count_columns(text) <= width:
            return text
        ends = itertools.accumulate(map(count_columns, text))
        end = sum(1 for _ in itertools.takewhile(max(0, width - 3).__ge__, ends))
        return text[:end] + "..."[:width]

    def join(self, cells: Sequence[str], widths: Sequence[int], words: Mapping[int, str]) -> str:
        """A line of a table; `words` say how to paint some of its cells."""
        line, room = "", self.width
        for index, (cell, width) in enumerate(zip(cells, widths)):
            text = self.cut(cell, min(width, room))
            blank = " " * min(width + 2 - count_columns(text), room - count_columns(text))
            room -= count_columns(text) + len(blank)
            line += self.paint(text, words.get(index, "-")) + blank
        return line.rstrip(" ")


def shorten(text: str, width: int) -> str:
    """A text with its middle left out where it is too wide; its end tells most."""
    width = max(width, 20)
    if count_columns(text) <= width:
        return text
    start = width // 3
    return f"{text[:start]}...{text[start + 3 - width :]}"


def count_columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    import unicodedata

    widths = ((unicodedata.east_asian_width(c) in "WF") + 1 for c in text)
    return sum(width for c, width in zip(text, widths) if not unicodedata.combining(c))


def format_summary(record: Record, style: _Style) -> str:
    """A record in a screenful: what ran, when, where, on which code, and what is unusual."""
    lines = []
    for name, texts in summarize(record).items():
        for number, text in enumerate(texts):
            label = f"{'' if number else name:9}"
            lines.append(style.paint(label, name) + style.cut(text, style.width - 9))
    return "\n".join(lines)


def summarize(record: Record) -> dict[str, list[str]]:
    """What a summary says of each thing, at most 24 lines in all."""
    parameters = get(record, "called_function", "altered_parameters")
    inputs, outputs = (entries_of(record, kind) for kind in ("inputs", "outputs"))
    summary = {
        "run": [summarize_function(record)],
        "status": [summarize_status(record)],
        "error": summarize_error(record),
        "rerun": [f"of {clean(record['rerun_of'])}"] if "rerun_of" in record else [],
        "where": [summarize_place(record)],
        "code": [summarize_code(record.get("tracked_module"))],
        "seed": summarize_seed(record),
        "argument": [],
        "input": limit_texts([summarize_file(entry, entry["path"]) for entry in inputs], 3),
        "output": limit_texts([summarize_file(entry, entry["name"]) for entry in outputs], 3),
        "files": [clean(record["capture"])] if "capture" in record else [],
        "result": [clean(record["result"])] if record.get("result") is not None else [],
        "unusual": limit_texts(list(list_unusual(record)), 2),
        "record": [format_path(record.get("record_path"))],
    }
    room = 23 - sum(map(len, summary.values()))
    return {**summary, "argument": limit_texts(_assignments(parameters), max(room, 3))}


def limit_texts(texts: Sequence[str], limit: int) -> list[str]:
    """The first few texts, and how many more there are; never more than `limit + 1` in all."""
    more = [f"... and {len(texts) - limit:,} more"] if len(texts) > limit + 1 else []
    return [*texts[: limit if more else limit + 1], *more]


def _assignments(parameters: object) -> list[str]:
    return [f"{clean(name)} = {format_value(value)}" for name, value in _items(parameters)]


def summarize_function(record: Record) -> str:
    """The function and the file that it is in."""
    called = record.get("called_function")
    name = get(called, "qualname") or get(called, "name")
    return f"{clean(name)} ({format_path(get(called, 'source_file') or get(called, 'module'))})"


def summarize_status(record: Record) -> str:
    """How a run ended, how long it took, and when it began."""
    timing = record.get("timing")
    took = format_duration(get(timing, "run_time"))
    text = clean(judge_status(record)) + (f", took {took}" if took else "")
    return f"{text}, started {format_moment(get(timing, 'start_time')) or 'at an unknown time'}"


def summarize_seed(record: Record) -> list[str]:
    """The seed, and whether anybody gave it."""
    if "seed" not in record:
        return []
    return [clean(record["seed"]) + (" (drawn)" if is_seed_drawn(record) else "")]


def summarize_place(record: Record) -> str:
    """Who ran it, on which machine, with which Python, and where."""
    environment = record.get("environment")
    python = clean(get(environment, "python_version")).split(" ")[0]
    text = f"{clean(get(environment, 'user'))} on {clean(get(environment, 'hostname'))}"
    gpus = get(environment, "gpus")
    if isinstance(gpus, list) and gpus:
        names = [clean(get(gpu, "name")) for gpu in gpus[:LIST_LIMIT]]
        text += ", " + ", ".join(f"{names.count(name)} x {name}" for name in sorted(set(names)))
    return f"{text}, Python {python}, in {clean(get(environment, 'cwd'))}"


def summarize_code(module: object) -> str:
    """A repository's state: commit, branch, and how far the files differed from it."""
    if not isinstance(module, dict):
        return "not under git"
    commit = clean(module.get("git_commit_hash") or "no commit")[:12]
    text = f"{commit} on {clean(module.get('git_active_branch'))}"
    if module.get("git_is_dirty"):
        text += ", dirty"
    patch = module.get("git_patch")
    if isinstance(patch, list):
        text += f", patch of {len(patch)} lines"
    return text


def summarize_file(entry: Record, name: str) -> str:
    """A file by name, size and hash."""
    size, sha256 = entry["size"], entry["sha256"]
    text = f"{format_path(name)}  {'missing' if size is None else format_size(size)}"
    return f"{text}  {clean(sha256)[:12]}" if sha256 else f"{text}  not hashed"


def list_unusual(record: Record) -> Iterator[str]:
    """What whoever relies on this record should know first."""
    status = judge_status(record)
    if status not in ("completed", "running"):
        yield f"the run did not complete: {clean(status)}"
    modules = [("the code", record.get("tracked_module"))]
    modules += _items(record.get("extra_tracked_modules"))
    modules += _items(record.get("package_origins"))
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
    """The packages as pip's requirements; those from elsewhere by their origin (PEP 508)."""
    origins = record.get("package_origins")
    lines = []
    for name, version in _items(record.get("package_inventory")):
        origin = complete_origin(get(origins, name) or {}, record)
        line = format_requirement(name, str(version), origin)
        is_safe = _pattern(_REQUIREMENT).match(line) and REDACTED not in line
        lines.append(line if is_safe else f"# left out: {clean(name)} {clean(version)}")
    return "\n".join(lines)


def complete_origin(origin: Any, record: Record) -> Any:
    """A package's origin with its repository's state, where a module of the run has that."""
    top = get(origin, "git_working_dir")
    states: list[Any] = [record.get("tracked_module")]
    states += [state for _, state in _items(record.get("extra_tracked_modules"))]
    same = [state for state in states if top and get(state, "git_working_dir") == top]
    return {**same[0], **origin} if same else origin


def format_requirement(name: str, version: str, origin: object) -> str:
    """One line of a requirements file."""
    url = str(get(origin, "url") or "").replace(f"{REDACTED}@", "")
    commit = get(origin, "commit")
    fragments = [f"subdirectory={folder}" for folder in [get(origin, "subdirectory")] if folder]
    if get(origin, "editable"):
        return f"-e {format_editable(name, url, origin)}"
    if commit:
        url = f"{get(origin, 'vcs') or 'git'}+{url}@{commit}"
    elif get(origin, "hash"):
        fragments.append(str(get(origin, "hash")))
    if url:
        return f"{name} @ {'#'.join([url, *(['&'.join(fragments)] if fragments else [])])}"
    is_usual = len(version) < 100 and _pattern(_VERSION).match(version.lower())
    return f"{name}{'==' if is_usual else '==='}{version}"


def format_editable(name: str, url: str, origin: object) -> str:
    """Where pip finds an editable package: its repository's remote, else the folder it was in."""
    remotes = dict(_items(get(origin, "git_remotes")))
    remote = str(remotes.get("origin") or next(iter(remotes.values()), ""))
    place = _to_url(remote.replace(f"{REDACTED}@", ""))
    commit = str(get(origin, "git_commit_hash"))
    if not place or not _pattern("[0-9a-f]{40,64}$").match(commit):
        return url
    top = _to_url(str(get(origin, "git_working_dir")))
    below = url[len(top) :].strip("/") if url.startswith(f"{top}/") else ""
    return f"git+{place}@{commit}#egg={name}" + (f"&subdirectory={below}" if below else "")


def _to_url(remote: str) -> str:
    """A remote, or a folder, as a URL: git's short form `user@host:path` isn't one."""
    from urllib.parse import quote

    if "://" in remote:
        return remote
    if remote.startswith("/"):
        return f"file://{quote(remote, errors='surrogatepass')}"
    host, colon, path = remote.partition(":")
    return f"ssh://{host}/{path.lstrip('/')}" if colon else ""


# One requirement and nothing else: a record from elsewhere could give pip options.
_REQUIREMENT = r"(?:-e (?!-)|[A-Za-z0-9][\w.-]*(?: @ |===?(?!=)))[\w.+!:/@#&=%~,?*()\[\]-]+\Z"
_VERSION = (  # of PEP 440; others can only be asked for to the letter
    r"v?(\d+!)?\d+(\.\d+)*([-_.]?(a|b|c|rc|alpha|beta|pre|preview)[-_.]?\d*)?"
    r"(-\d+|[-_.]?(post|rev|r)[-_.]?\d*)?([-_.]?dev[-_.]?\d*)?(\+[a-z0-9]+([-_.][a-z0-9]+)*)?$"
)


def format_checksums(record: Record) -> str:
    """The hashes of inputs and outputs, where they are now, as `sha256sum -c` reads them."""
    lines, moved = [], _Moved(record)
    for kind in ("inputs", "outputs"):
        for entry in entries_of(record, kind):
            sha256 = entry["sha256"]
            if sha256 and _pattern(r"[0-9a-f]{64}\Z").match(sha256):
                place = moved.find(entry) if kind == "inputs" else entry["path"]
                path = place.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
                escaped = "" if path == place else "\\"
                lines.append(f"{escaped}{sha256}  {path}")
    return "\n".join(lines)


def format_patch(record: Record) -> str:
    """The patch of the tracked module's repository."""
    patch = get(record, "tracked_module", "git_patch")
    return "\n".join(map(str, patch)) if isinstance(patch, list) else ""


def summarize_run(record: Record) -> Record:
    """A run as `log` lists it."""
    return {
        "start_time": get(record, "timing", "start_time"),
        "status": judge_status(record),
        "run_time": get(record, "timing", "run_time"),
        "function": get(record, "called_function", "name"),
        "arguments": get(record, "called_function", "parameters"),
        "seed": record.get("seed"),
        **describe_place(record),
        "record_path": record["record_path"],
        "record_number": record["record_number"],
        "uuid": record.get("uuid"),
    }


def format_log(runs: Sequence[Record], style: _Style) -> str:
    """A table of runs, with the arguments in which the runs of one function vary."""
    if not runs:
        return ""
    moment = slice(5, 16) if style.width < 80 else slice(19)
    rows = [
        (
            format_moment(run["start_time"])[moment],
            clean(run["status"]),
            format_duration(run["run_time"]),
            clean(run["function"]),
            target,
            arguments[: style.width + 1],
        )
        for run, target, arguments in zip(runs, name_runs(runs), list_varying_arguments(runs))
    ]
    limits = (19, 30, 16, max(8, style.width // 4), style.width, style.width)
    columns = list(zip(*rows))
    widths = [min(limit, max(map(count_columns, column))) for column, limit in zip(columns, limits)]
    # Of a target, all is needed, and its end most.
    widths[4] = min(widths[4], max(20, style.width - sum(widths[:4]) - 8))
    rows = [(*row[:4], shorten(row[4], widths[4]), row[5]) for row in rows]
    return "\n".join(style.join(row, widths, {1: row[1].split(" ")[0]}) for row in rows)


def name_runs(runs: Sequence[Record]) -> list[str]:
    """The shortest TARGET that stands for each run: its folder, else its record, with its place."""
    records: dict[str, set[str]] = {}
    lengths: dict[str, int] = {}
    for run in runs:
        path = run["record_path"]
        records.setdefault(os.path.dirname(path), set()).add(path)
        lengths[path] = lengths.get(path, 0) + 1
    names = []
    for run in runs:
        path = run["record_path"]
        folder = os.path.dirname(path)
        name = format_path(os.path.normpath(folder if len(records[folder]) == 1 else path))
        name = f"./{name}" if name.startswith("-") else name
        names.append(f"{name}@{run['record_number']}" if lengths[path] > 1 else name)
    return names


def list_varying_arguments(runs: Sequence[Record]) -> list[str]:
    """For each run, the arguments that aren't the same in all runs of that function."""
    texts: dict[str, dict[str, set[str]]] = {}
    counts: dict[str, dict[str, int]] = {}
    functions = [str(run["function"]) for run in runs]
    shown = []
    for function, run in zip(functions, runs):
        arguments = forget_own_directory(run["arguments"], run)
        values = [leaf for name, value in arguments.items() for leaf in _flatten(value, name)]
        shown.append({path: value for path, value, _ in values})
        known, count = texts.setdefault(function, {}), counts.setdefault(function, {})
        for path, _, text in [("", None, ""), *values]:
            known.setdefault(path, set()).add(text)
            count[path] = count.get(path, 0) + 1
    return [
        " ".join(
            f"{clean(path)}={format_value(value, 40)}"
            for path, value in values.items()
            if len(texts[function][path]) > 1 or counts[function][path] < counts[function][""]
        )
        for function, values in zip(functions, shown)
    ]


def _flatten(value: Any, path: str, levels: int = 3) -> Iterator[tuple[str, Any, str]]:
    """The values within an argument: path, value, JSON text; what is short stays together."""
    import json

    text = json.dumps(value)
    is_long = isinstance(value, (dict, list)) and len(text) > 40 and len(value) <= LIST_LIMIT
    if not (is_long and levels):
        yield path, value, text
        return
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        below = f"{path}.{key}" if isinstance(value, dict) else f"{path}[{key}]"
        yield from _flatten(item, below, levels - 1)


def format_differences(
    differences: Sequence[Record], apart: tuple[int, int] | None, style: _Style
) -> str:
    """What differs between two runs, section by section."""
    lines, section = [], ""
    for difference in differences:
        if difference["section"] != section:
            section = difference["section"]
            lines.append(section)
            if section == "code" and apart and any(apart):
                lines[-1] += f" ({apart[0]} and {apart[1]} commits apart)"
        path = clean(difference["path"] or section)
        lines.append(style.cut(f"  {path}: {_format_change(difference)}"))
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
    text = format_value(value, 10_000)
    return str(_pattern(r"\b([0-9a-f]{12})[0-9a-f]{28,52}\b").sub(r"\1", text))


def format_trace(node: Record, style: _Style) -> str:
    """A file's history as a tree: each file, the run that made it, and below, that run's inputs."""
    return "\n".join(style.cut(line) for line in _draw_trace(node, style.width, "", ""))


def _draw_trace(node: Record, width: int, first: str, others: str) -> Iterator[str]:
    """The lines of one node; the first and the others begin with what joins them to the tree."""
    path, told = format_path(node["path"]), describe_maker_of(node)
    yield first + shorten(path, width - count_columns(first + told)) + told
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


_STATES = {"changed": "changed since", "missing": "no longer there", "unhashed": "not hashed"}


def describe_maker_of(node: Record) -> str:
    """What follows the path of a trace's file: the run that made it, and what is remarkable."""
    run, state, text = node["run"], node["state"], ""
    told = [_STATES.get(state, "")]
    if run:
        verb = "overwritten by" if "overwritten" in node else "made by"
        verb = "made again by" if "made_again" in node else verb
        text += f"  <- {verb} {clean(run['function'])}, {format_moment(run['start_time'])}"
        if run["made_this"] is False and state == "ok":
            told.append("changed since")
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


def format_plan(plan: Record, record: Record) -> str:
    """What a rerun is about to execute, and in which other surroundings; never cut short."""
    count = sum(line.startswith("diff --git ") for line in plan["patch"])
    files = "1 file" if count == 1 else f"{count} files"
    patch = f", with a patch of {len(plan['patch'])} lines to {files}" if count else ""
    texts = [text for text in plan["argv"][1:] if plan["run_as"] or plan["module"] == "__main__"]
    rows = [
        ("execute", f"{clean(plan['qualname'])}() of {clean(plan['source'])}"),
        ("code", f"commit {plan['commit'][:12]} of {clean(plan['repository'])}{patch}"),
        ("directory", f"{format_path(plan['directory'])} (of which the rerun makes a copy)"),
        *[("argument", text) for text in _assignments(plan["arguments"])],
        *[("class", f"{clean(path)} is one of {clean(kind)}") for path, kind in list_classes(plan)],
        *[("argv", clean(" ".join(texts)))][: len(texts)],
        ("seed", str(plan["seed"])),
        *_limit_rows("changed", list(list_changes(plan, record))),
        *_limit_rows("note", [clean(note) for note in plan["notes"]]),
    ]
    return "\n".join(f"{name:10}{text}" for name, text in rows)


def list_classes(plan: Record) -> list[tuple[str, str]]:
    """The arguments, by path, that are made again by calling a class of some module."""
    kinds = [(path, _normal_kind(kind)) for path, kind in plan["kinds"].items()]
    return [(path, kind) for path, kind in kinds if "." in kind and kind not in _REPRS]


def _limit_rows(name: str, texts: Sequence[str], limit: int = 12) -> list[tuple[str, str]]:
    """The first few texts as rows of that name."""
    return [(name, text) for text in limit_texts(texts, limit)]


def list_changes(plan: Record, record: Record) -> Iterator[str]:
    """How the surroundings differ here from those of the first run, and what will be set."""
    then, now = record.get("environment"), get_environment_info()
    pairs = [(_pick(then, _SURROUNDINGS_OF_RERUN), _pick(now, _SURROUNDINGS_OF_RERUN))]
    if isinstance(record.get("package_inventory"), dict):
        pairs.append((record["package_inventory"], get_installed_packages()))
    for old, new in pairs:
        for path, a, b in diff_values(old, new):
            change = {k: v for k, v in (("path", path), ("a", a), ("b", b)) if v is not _ABSENT}
            yield f"{clean(path)}: {_format_change(change)}"
    for name, value in sorted(plan["variables"].items()):
        if value != os.environ.get(name):
            yield f"{clean(name)} is set to {clean(value, 80)}" if value else f"{name} is unset"


_SURROUNDINGS_OF_RERUN = (
    *("platform_info", "python_version", "python_implementation", "cpu_count", "gpus"),
)


def format_rerun(result: Record, style: _Style) -> str:
    """A rerun's verdicts."""
    lines = [
        f"{style.paint(v['verdict'])}  {clean(v['name'])}"
        + (f"  ({clean(v['detail'])})" if v["detail"] else "")
        for v in result["verdicts"]
    ]
    lines += [f"note: {clean(note)}" for note in result["notes"]]
    verdicts = [verdict["verdict"] for verdict in result["verdicts"]]
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in sorted(set(verdicts)))
    places = [f"made in {format_path(result['directory'])}"]
    if "checkout" in result:
        places.append(f"checkout kept in {format_path(result['checkout'])}")
    return "\n".join([*lines, counts or "nothing to compare", *places])


def format_verdicts(verdicts: Sequence[Record], style: _Style) -> str:
    """Files that aren't what the record says, and a count of all."""
    states = [verdict["state"] for verdict in verdicts]
    lines = [
        style.paint(f"{v['state']:8}", v["state"]) + f"  {v['kind']:6}  {format_path(v['path'])}"
        for v in sorted(verdicts, key=lambda verdict: str(verdict["state"]))
        if v["state"] not in ("ok", "replaced")
    ]
    counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    return "\n".join([*lines, counts or "no files recorded"])


# ------------------------------------------------------------------------------
# Command line
# ------------------------------------------------------------------------------
# The only part that prints and exits. Exit status: 0 fine or same, 1 differs,
# 2 trouble, told in one line on stderr.


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
    formats = {
        "patch": format_patch,
        "requirements": format_requirements,
        "checksums": format_checksums,
    }
    chosen = next((name for name in formats if getattr(arguments, name)), None)
    if chosen is None:
        return _print(format_summary(record, _make_style()))
    return _print_exactly(formats[chosen](record))


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
    runs.sort(key=lambda run: _seconds(run["start_time"]), reverse=True)
    if arguments.json:
        return _print_json(runs)
    return _print(format_log(runs, _make_style()) or "no runs below this folder")


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
    elif differences:
        _print(format_differences(differences, count_commits_apart(a, b), _make_style()))
    else:
        _print("no difference")
    remarks = {
        "not hashed, so only their sizes were compared": map(format_path, list_uncompared(a, b)),
        "too long for the records, so not compared": map(clean, list_suppressed(a, b)),
    }
    for remark, names in remarks.items():
        unknown = [] if arguments.json else limit_texts([*names], 5)
        if unknown:
            _print(f"{remark}: {', '.join(unknown)}")
    return 1 if differences else 0


def _cmd_verify(arguments: Any) -> int:
    """Tell whether inputs and outputs are still what the record says.

    Hashes the files that a record names, or all records below a folder, and lists
    those that are changed, missing, or were never hashed. What a later one of
    these runs made anew counts as replaced.

      pycrumbs verify runs
    """
    kept = ("record_path", "record_number", "timing", "inputs", "outputs")
    problems: list[str] = []
    found = (record for target in arguments.targets for record in list_records(target, problems))
    records = [
        {**_pick(record, kept), "called_function": {"directory": directory_of(record)}}
        for record in found
    ]
    with _Progress("hashed") as progress:
        verdicts = verify_records(records, progress)
    if arguments.json:
        _print_json(verdicts)
    else:
        _print(format_verdicts(verdicts, _make_style()))
    for problem in problems:
        _complain(problem)
    is_fine = all(verdict["state"] in ("ok", "replaced", "unhashed") for verdict in verdicts)
    return 2 if problems else 0 if is_fine else 1


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
        # Before anything is hashed, or asked.
        check_target(os.path.abspath(arguments.output))
    with _Progress("hashing") as progress:
        plan = plan_rerun(record, arguments.repo, progress)
    told = format_plan(plan, record)
    print(told, file=sys.stderr)
    try:
        if not arguments.yes:
            _ask_to_execute()
        with _EndingAsByCtrlC():
            result = carry_out(plan, record, arguments.output, arguments.keep, _print_step)
    except KeyboardInterrupt:
        raise RecordError("interrupted; what the rerun had made is removed") from None
    if arguments.json:
        _print_json(result)
    else:
        notes = [note for note in result["notes"] if clean(note) not in told]
        _print(format_rerun({**result, "notes": notes}, _make_style()))
    return 1 if any(v["verdict"] != "identical" for v in result["verdicts"]) else 0


class _EndingAsByCtrlC:
    """A context that the signals by which a program is ended leave as Ctrl-C does: tidily."""

    def __enter__(self) -> None:
        numbers = _ENDING if _in_main_thread() else []
        self.numbers = [n for n in numbers if _signal.getsignal(n) == _signal.SIG_DFL]
        for number in self.numbers:
            _signal.signal(number, _signal.default_int_handler)

    def __exit__(self, *error: object) -> None:
        for number in self.numbers:
            _signal.signal(number, _signal.SIG_DFL)


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


def _print_step(step: str) -> None:
    """Say on a terminal what is being done, as it may take long."""
    if _is_terminal(sys.stderr):
        print(f"{clean(step)} ...", file=sys.stderr)


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


def list_records(target: str, problems: list[str]) -> Iterator[Record]:
    """The records below a directory; or the one that a path stands for."""
    records = iterate_records(target, problems.append) if os.path.isdir(target) else iter(())
    first = next(records, None)
    yield first or find_run(target, problems.append)
    yield from records


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
    path = find_program(program, arguments.module)
    options = {"literal_directory": arguments.output, "disable_git_tracking": arguments.no_git}
    script = make_script(path, program if arguments.module else None, **options)
    # As `python` would have it.
    sys.argv = [path if arguments.module else program, *argv]
    try:
        script(*redact_argv(argv), seed=arguments.seed)
    except BaseException as error:
        if not _program_started and isinstance(error, Exception):
            text = str(getattr(error, "strerror", None) or error)
            text = text.replace(_GIT_ADVICE, "put it into one, or pass --no-git")
            raise RecordError(text) from None
        sys.excepthook = functools.partial(_print_without_our_frames, sys.excepthook)
        raise
    return 0


_program_started: list[bool] = []  # from then on, what is raised is the program's affair


def find_program(program: str, is_module: bool) -> str:
    """The file that `python PROGRAM`, or `python -m PROGRAM`, would run; imports come from there.

    The path of a script is put together as `python` does: not tidied up.
    """
    path = os.path.join(os.getcwd(), program)
    folder = os.getcwd() if is_module else os.path.dirname(os.path.realpath(path))
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        sys.path[0] = folder
    if is_module:
        path = find_module(program) or ""
    if not os.path.isfile(path):
        raise RecordError(f"{program}: there is no such {'module' if is_module else 'script'}")
    return path


def find_module(name: str) -> str | None:
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


def make_script(path: str, module: str | None, **options: Any) -> Callable[..., None]:
    """A tracked function that executes a script (or a module, by its name) as `__main__`."""
    # What the script imports is this very module.
    sys.modules["pycrumbs"] = sys.modules[__name__]

    def script(*argv: str, seed: int | None = None) -> None:
        _program_started.append(True)
        sys.modules["__main__"] = main = types.ModuleType("__main__")
        vars(main).update(__annotations__={}, __builtins__=sys.modules["builtins"])
        if module is None:
            _execute_script(path, main)
        else:
            import runpy

            runpy._run_module_as_main(module)  # type: ignore[attr-defined]  # as `python -m` does

    name = module or os.path.splitext(os.path.basename(path))[0]
    script.__name__, script.__qualname__, script.__module__ = name, name, "__main__"
    given = dict(tracked.__kwdefaults__ or {}, seed_parameter="seed", create_parents=True)
    given.update(capture_files=True, run_as="module" if module else "script")
    given["source_file"] = _absolute(path)
    wrapped: Callable[..., None] = _wrap(script, _Options(**{**given, **options}))
    return wrapped


def _execute_script(path: str, main: types.ModuleType) -> None:
    """Execute a script in the module `__main__`, which has what `python SCRIPT` gives it."""
    from importlib.machinery import SourceFileLoader

    loader = SourceFileLoader("__main__", path)
    vars(main).update(__cached__=None, __file__=path, __loader__=loader)
    code = compile(_read_bytes(path), path, "exec", dont_inherit=True)
    exec(code, vars(main))


def _print_without_our_frames(
    print_error: Callable[..., None], kind: Any, error: BaseException, traceback: Any
) -> None:
    """An excepthook that leaves out how the program was started, down to our last frame there."""
    for is_ours in (False, True):
        # A console script's or runpy's frames may come before ours.
        while traceback and (traceback.tb_frame.f_globals is globals()) is is_ours:
            traceback = traceback.tb_next
    print_error(kind, error.with_traceback(traceback), traceback)


class _Progress:
    """Says on a terminal how far work has come that takes longer than a second."""

    def __init__(self, deed: str) -> None:
        import threading

        self.deed, self.lock = deed, threading.Lock()
        self.done, self.text, self.next = 0, "", time.monotonic() + 1

    def __enter__(self) -> _Progress:
        return self

    def __call__(self, size: int) -> None:
        with self.lock:
            self.done += size
            if time.monotonic() > self.next and _is_terminal(sys.stderr):
                self.next = time.monotonic() + 0.2
                self.show(f"{self.deed} {format_size(self.done)}")

    def __exit__(self, *error: object) -> None:
        if self.text:
            self.show("")
            self.show("")

    def show(self, text: str) -> None:
        print(f"\r{text.ljust(len(self.text))}", end="", file=sys.stderr, flush=True)
        self.text = text


def _make_style() -> _Style:
    """The style of standard output: https://no-color.org, https://force-color.org."""
    import shutil

    terminal = _is_terminal(sys.stdout)
    color = terminal and os.environ.get("TERM") != "dumb"
    if os.environ.get("FORCE_COLOR"):
        color = True
    if os.environ.get("NO_COLOR"):
        color = False
    known_width = terminal or os.environ.get("COLUMNS")
    return _Style(shutil.get_terminal_size().columns if known_width else 10_000, color)


def _is_terminal(stream: Any) -> bool:
    """Whether a stream leads to a terminal."""
    return stream is not None and bool(stream.isatty())


def _print(text: str, end: str = "\n") -> int:
    """Print a text; return the exit status of what went well."""
    if hasattr(sys.stdout, "reconfigure"):
        # Whatever the locale, printing doesn't fail.
        sys.stdout.reconfigure(errors="backslashreplace")
    print(text, end=end)
    return 0


def _print_exactly(text: str) -> int:
    """Print what another program is to read: in its bytes, whatever the locale."""
    if not text:
        return 0
    if _is_terminal(sys.stdout) or not hasattr(sys.stdout, "buffer"):
        return _print("\n".join(clean(line, TEXT_LIMIT) for line in text.split("\n")))
    text = _pattern(_HALVES_OF_NO_BYTE).sub("?", text)
    sys.stdout.buffer.write(f"{text}\n".encode("utf-8", "surrogateescape"))
    return 0


_HALVES_OF_NO_BYTE = "[\ud800-\udc7f\udd00-\udfff]"  # other surrogates stand for bytes (PEP 383)


def _print_json(value: Any) -> int:
    """Print a value as JSON."""
    import itertools

    chunks = iterate_json(value)
    while text := "".join(itertools.islice(chunks, 1000)):
        # Part by part, as the whole text may take more memory than the records.
        _print(text.replace("\x7f", "\\u007f"), end="")
    return _print("")


def iterate_json(value: Any, indent: str = "\n", levels: int = 3) -> Iterator[str]:
    """The JSON text of a value in parts: those of its first levels.

    The json module's own parts would come from as many levels as there are, one through the other.
    """
    import json

    quote, deeper = json.encoder.encode_basestring_ascii, f"{indent}    "
    if not isinstance(value, (dict, list)) or not value:
        yield _format_json(value, indent, quote)
        return
    is_dict = isinstance(value, dict)
    before, end = ("{", "}") if is_dict else ("[", "]")
    pairs: Any = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in pairs:
        start = f"{before}{deeper}{quote(key)}: " if is_dict else f"{before}{deeper}"
        if levels > 1 and isinstance(item, (dict, list)):
            yield start
            yield from iterate_json(item, deeper, levels - 1)
        else:
            yield start + _format_json(item, deeper, quote)
        before = ","
    yield f"{indent}{end}"


_TARGET = "a record, a directory, or any file a run made; PATH@N: the N-th run of a chained record"
_EXIT_STATUS = "Exit status: 0 fine or same, 1 something differs, 2 trouble."


def _argument(*names: str, **settings: Any) -> tuple[tuple[str, ...], Record]:
    """What one `add_argument` is called with."""
    return names, settings


_COMMANDS: dict[str, tuple[Callable[[Any], int], Sequence[Any]]] = {  # lists exclude each other
    "run": (
        _cmd_run,
        (
            _argument(
                "-o", "--output", default=".", metavar="DIR", help="for the record; default: here"
            ),
            _argument("-s", "--seed", type=int, help="default: one is drawn"),
            _argument("--no-git", action="store_true", help="for what is in no git repository"),
            _argument("-m", "--module", action="store_true", help="a module's name follows"),
            _argument("program", nargs="...", metavar="SCRIPT [ARG ...]", help="what to run"),
        ),
    ),
    "show": (
        _cmd_show,
        (
            _argument("target", metavar="TARGET", help=_TARGET),
            [
                _argument("--patch", action="store_true", help="the uncommitted changes"),
                _argument("--requirements", action="store_true", help="the packages, for pip"),
                _argument("--checksums", action="store_true", help="the files, for sha256sum"),
                _argument("--json", action="store_true", help="the record itself"),
            ],
        ),
    ),
    "log": (
        _cmd_log,
        (
            _argument("directory", nargs="?", default=".", metavar="DIR", help="default: here"),
            _argument("--json", action="store_true", help="a list of objects"),
        ),
    ),
    "diff": (
        _cmd_diff,
        (
            _argument("a", metavar="A", help=_TARGET),
            _argument("b", metavar="B", help="likewise"),
            _argument("--json", action="store_true", help="a list of objects"),
        ),
    ),
    "verify": (
        _cmd_verify,
        (
            _argument("targets", nargs="+", metavar="TARGET", help=_TARGET),
            _argument("--json", action="store_true", help="a list of objects"),
        ),
    ),
    "trace": (
        _cmd_trace,
        (
            _argument("file", metavar="FILE", help="any file, record or none"),
            _argument(
                "--root",
                action="append",
                default=[],
                metavar="DIR",
                help="search this folder by content; can be given several times",
            ),
            [
                _argument("--json", action="store_true", help="a tree of objects"),
                _argument("--dot", action="store_true", help="a graph for Graphviz"),
            ],
        ),
    ),
    "rerun": (
        _cmd_rerun,
        (
            _argument("target", metavar="TARGET", help=_TARGET),
            _argument("-o", "--output", metavar="DIR", help="where the new files go"),
            _argument("--repo", metavar="DIR", help="the repository, if it has moved"),
            _argument("--yes", action="store_true", help="do not ask before executing"),
            _argument("--keep", action="store_true", help="keep the checkout"),
            _argument("--json", action="store_true", help="the verdicts, and the new record"),
        ),
    ),
}


def _report(error: BaseException) -> int:
    """Tell in one line what stopped a command; return the exit status."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    if getattr(error, "errno", None) in (errno.EPIPE, errno.ENOSPC):
        # Nothing more can be printed, nor may Python try to as it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        # `pycrumbs log | head`: the reader has seen enough.
        return 0
    _complain(str(error))
    return 2


def _complain(problem: str) -> None:
    """Tell in one line what isn't as it should be."""
    _say(clean(problem, TEXT_LIMIT))


_USAGE = {"run": "pycrumbs run [-o DIR] [-s SEED] [--no-git] (-m MODULE | SCRIPT) [ARG...]"}


def make_parser() -> Any:
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
    for name, (run, options) in _COMMANDS.items():
        status = "Exit status: the program's own." if name == "run" else _EXIT_STATUS
        about = f"{inspect.getdoc(run) or ''}\n\n{status}"
        summary = about.partition(".\n")[0]
        command = commands.add_parser(name, help=summary, description=about, formatter_class=raw)
        # None has argparse write its own.
        command.usage = _USAGE.get(name)
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
        arguments = make_parser().parse_args(argv)
        status = int(arguments.command(arguments))
        if sys.stdout is not None and not _program_started:
            sys.stdout.flush()
        return status
    except SystemExit as ended:
        # argparse exits after --help and --version.
        if _program_started:
            raise
        return int(ended.code or 0)
    except (RecordError, OSError, KeyboardInterrupt) as error:
        if _program_started:
            raise
        return _report(error)


if __name__ == "__main__":
    # Where a debugger or profiler sets none, the plain name would be that of `builtins`.
    own_spec = globals().get("__spec__")
    if own_spec is not None and own_spec.name != "__main__":
        # `python -m`: what the program imports by that name must be the module that works here.
        import importlib

        main = importlib.import_module(own_spec.name).main
    raise SystemExit(main())
