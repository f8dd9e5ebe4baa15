"""The `convae` command: parses, runs one verb, and reports what went wrong.

Keras takes seconds to import, so it is imported only when a verb runs: help and
mistakes are answered at once.
"""

import contextlib
import importlib
import json
import os
import signal
import sys
import tempfile
import warnings

from convae_cli.parser import VERBS, check, parser

LOST = 3


def entry():
    """Runs the command as a process of its own.

    Returns:
        int, the exit status of `main`.
    """
    try:
        status = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:  # as after `convae … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    if status == LOST:
        os._exit(status)  # JAX would wait for the other
    # Nothing is lost from here on, and libraries would print tracebacks.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return status


def main(argv=None):
    """Runs `convae VERB …`.

    Args:
        argv: list of str; None for the command line's.

    Returns:
        int, the exit status: 0 if done, 1 if some files were skipped, 2 for input
        that cannot be used and disks that are full, 3 if other processes of the same
        work were lost, 130 after Ctrl-C.

    Raises:
        SystemExit: with 2 for arguments that cannot be parsed, with 0 after the help
            or the version.
    """
    for stream in (sys.stdout, sys.stderr):
        # A file may have a name that the terminal cannot show.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    arguments = parser().parse_args(argv)
    verb = VERBS[arguments.verb]
    try:
        check(arguments)
        # A script reads the summary, and nothing else.
        printed = sys.stderr if arguments.json else sys.stdout
        with warnings.catch_warnings(), contextlib.redirect_stdout(printed):
            run = getattr(_commands(verb, arguments), arguments.verb)
            warnings.showwarning = _one_line
            summary = run(arguments)
    except BrokenPipeError:
        raise
    except ConnectionError as error:
        print(f"convae: {error}", file=sys.stderr, flush=True)
        return LOST
    except (ValueError, OSError, MemoryError) as error:
        print(f"convae: {str(error) or 'not enough memory'}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nInterrupted. {verb.interrupted}", file=sys.stderr)
        return 130
    if arguments.json:
        print(json.dumps(summary))
    return 1 if summary.get("skipped") else 0


def _one_line(message, *_):
    message = getattr(message, "short", message)  # of files, it names ten at most
    print(f"convae: {message}", file=sys.stderr)


def _commands(verb, arguments):
    """Imports what runs a verb, and, if that needs Keras, prepares it, in silence."""
    if verb.module is not None:
        return importlib.import_module(verb.module)
    # 3: TensorFlow prints fatal errors only. What is wrong with a GPU is said by
    # `set_up_device`.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _interruptible(), _quiet():
        commands = importlib.import_module("convae_cli.commands")
        commands.prepare(arguments)
    return commands


@contextlib.contextmanager
def _interruptible():
    """Ends the process on Ctrl-C, which libraries would catch as they load."""

    def stop(*_):
        os.write(saved_stderr, b"\nInterrupted. Nothing was written.\n")
        os._exit(130)

    saved_stderr = os.dup(2)
    try:
        previous = signal.signal(signal.SIGINT, stop)
    except ValueError:  # not the main thread
        previous = None
    try:
        yield
    finally:
        if previous is not None:
            signal.signal(signal.SIGINT, previous)
        os.close(saved_stderr)


@contextlib.contextmanager
def _quiet():
    """Keeps C++ libraries from greeting on standard error; shown if all fails."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except (ValueError, OSError):  # `main` says what is wrong
            raise
        except BaseException:
            kept.seek(0)
            os.write(saved, kept.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
