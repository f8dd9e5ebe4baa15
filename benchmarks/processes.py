"""What the benchmarks share: a process of its own for all that is measured.

A process's peak memory is at least what its parent held when it began. So nothing here
loads Keras before it is needed.
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).resolve().parent.parent / "results" / "benchmarks.json"
PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy")
THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")


@dataclass(frozen=True)
class Watched:
    """What was seen of a process.

    Attributes:
        seconds: float, from its start to its end.
        peak_megabytes: float, of memory.
        lines: list of `(seconds, line)`: what it printed, and when.
    """

    seconds: float
    peak_megabytes: float
    lines: list

    def when(self, line):
        """Seconds from the start to the first such line."""
        return next(seconds for seconds, found in self.lines if found == line)


def watch(*command, threads=None):
    """Runs Python in a process of its own.

    Args:
        *command: what follows `python` on the command line.
        threads: pair of int, how many TensorFlow may use within an operation, and for
            how many operations at once; None for its default.

    Returns:
        `Watched`; None if a library is missing.

    Raises:
        RuntimeError: with what it said, if it failed.
    """
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONUNBUFFERED": "1"}
    if threads:
        values = (*threads, threads[0])
        environment |= dict(zip(THREADS, map(str, values), strict=True))
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
        )
        with process.stdout as output:
            lines = [(time.perf_counter() - start, line.strip()) for line in output]
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        said = errors.read()
    if process.returncode:
        if "ModuleNotFoundError" in said:
            return None
        raise RuntimeError(f"{command} failed:\n{said}")
    return Watched(seconds, megabytes(usage), lines)


def megabytes(usage):
    """The peak memory of a process's `resource.struct_rusage`; macOS counts bytes."""
    return usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def alternate(functions, rounds, calls=1):
    """Times functions that take turns.

    Args:
        functions: dict of functions without arguments.
        rounds: int, turns of each; one before them is not counted.
        calls: int, in a turn.

    Returns:
        dict of lists of float, milliseconds a call, one of each turn.
    """
    times = {name: [] for name in functions}
    for turn in range(rounds + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            for _ in range(calls):
                function()
            if turn:
                times[name].append((time.perf_counter() - start) / calls * 1000)
    return times


def conditions():
    """What the figures depend on."""
    from convae_keras.ledger import hardware

    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    threads = {name: os.environ.get(name, "default") for name in THREADS}
    return {"hardware": hardware(), "threads": threads, "versions": versions}


def record(path, entries):
    """Writes entries into a file of results, beside those of other benchmarks."""
    from convae_keras.saving import write_json

    write_json(path, {**recorded(path), **entries})


def recorded(path):
    """The entries of a file of results, a dict; empty if there is no such file."""
    from convae_keras.saving import read_json

    return read_json(path) if Path(path).exists() else {}


def record_rows(path, name, entry, key, rows, kept):
    """Writes an entry with rows, some of which were not measured this time.

    Args:
        path: path of a file of results.
        name: str, of the entry; None for one whose keys are beside other entries.
        entry: dict, the conditions under which all of its rows were measured.
        key: str, under which the entry has its rows.
        rows: dict of what was measured.
        kept: collection of names of rows that stay, if they are in the file.

    Raises:
        SystemExit: if such rows were measured under other conditions.
    """
    before = recorded(path) if name is None else recorded(path).get(name, {})
    old = {n: row for n, row in before.get(key, {}).items() if n in kept or n in rows}
    stay = [each for each in old if each not in rows]
    changed = [each for each, value in entry.items() if before.get(each) != value]
    if stay and changed:
        message = f"Nothing was recorded: {stay} were measured with other {changed}."
        sys.exit(f"{message} Measure all, or write to another file (--out).")
    entry = {**entry, key: {**old, **rows}}  # in the order they had
    record(path, entry if name is None else {name: entry})
