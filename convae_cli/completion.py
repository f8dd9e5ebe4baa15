"""Completion of verbs, flags and paths in shells, which the package shtab writes."""

import argparse

from convae_cli.checks import pretrained_names

# The shells for which shtab writes it.
SHELLS = ("bash", "fish", "zsh")
# What is a path, by the name of its argument.
PATHS = ("run", "data", "out", "input", "output", "where", "query")


# The models that ship, beside files; other shells list files only.
RUNS = """_convae_runs() {{ compgen -W "{}" -- "$1"; compgen -f -- "$1"; }}"""


class PrintCompletion(argparse.Action):
    """Prints the script for one shell, and ends. Imports shtab only then.

    Args:
        verbs: what `add_subparsers` returned.
        *args, **kwargs: as in `argparse.Action`.
    """

    def __init__(self, *args, verbs, **kwargs):
        super().__init__(*args, **kwargs)
        self.verbs = verbs

    def __call__(self, parser, namespace, values, option_string=None):
        try:
            import shtab
        except ImportError:
            parser.error(f"{option_string} needs shtab: pip install shtab")
        for verb in self.verbs.choices.values():
            for action in verb._actions:  # for which argparse has no public name
                if action.dest in PATHS:
                    action.complete = dict(shtab.FILE)
                if action.dest == "run":
                    action.complete["bash"] = "_convae_runs"
        preamble = {"bash": RUNS.format(" ".join(pretrained_names()))}
        print(shtab.complete(parser, values, preamble=preamble))
        parser.exit()
