"""The words of the command line: quick, complete, and the module's own."""

import os
import subprocess
import sys
from importlib import import_module

import pytest

from convae_cli import checks, commands, data, flags, parser, tasks
from convae_keras import corruption, export, features, pretrained, validation
from convae_keras.data import image_files, patches, sources

pytestmark = pytest.mark.static

# Runs a command in a process that may not import Keras, and prints its seconds; those
# of the CPU, from the start of Python on, since tests run beside others.
WITHOUT_KERAS = """
import sys, time
from convae_cli.main import main
try:
    status = main(sys.argv[1:])
except SystemExit as stopped:
    status = stopped.code
heavy = {"keras", "tensorflow", "numpy", "convae_keras"} & set(sys.modules)
assert not heavy, heavy
print(time.process_time())
sys.exit(status)
"""


def run(*arguments):
    command = [sys.executable, "-c", WITHOUT_KERAS, *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.static
@pytest.mark.parametrize("verb", [(), *[(verb,) for verb in parser.VERBS]])
def test_help_needs_no_keras(verb):
    result = run(*verb, "--help")
    assert result.returncode == 0 and not result.stderr
    example = parser.VERBS[verb[0]].example.split()[:3] if verb else ["VERB"]
    assert " ".join(example) in " ".join(result.stdout.split())
    assert float(result.stdout.splitlines()[-1]) < 0.5


@pytest.mark.static
@pytest.mark.skipif(os.name == "nt", reason="no pipe of this kind")
def test_a_reader_that_has_read_enough():
    program = "import sys; from convae_cli.main import entry; sys.exit(entry())"
    command = [sys.executable, "-c", program, "models"]
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer) as closed:
        result = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE)
    assert result.returncode == 0 and not result.stderr


@pytest.mark.static
@pytest.mark.parametrize(
    "arguments, expected",
    [
        ("--version", ""),
        ("draw", "invalid choice"),
        ("train --epochs many", "invalid int"),
        ("train --data nowhere", "`--data` must be"),
        ("train --seed -1", "`--seed` must be from 0 to"),
        ("train --noise 0.2", "`--noise` requires --task denoise"),
        ("train --task compress --preset keras", "`--preset` cannot be used"),
        ("train --epochs 0", "`--epochs` must be at least 1. Received: 0"),
        ("train --learning-rate -1", "`--learning-rate` must be above 0"),
        ("train --task denoise --noise 25", "where white is 1 (51 of 255 is 0.2)"),
        ("train --task super-resolution --scale 0", "`--scale` must be at least 2"),
        ("generate generator a.png --count 0", "`--count` must be at least 1"),
        ("generate generator a.png --seed -1", "`--seed` must be from 0 to"),
        ("anomalies reference in out --rate 2", "`--rate` must be between 0 and 1"),
        ("evaluate nowhere", "RUN must be a run folder"),
        ("apply denoiser missing.png out.png", "No such file or folder: missing.png"),
        ("search reference missing query.png", "No such file or folder: missing"),
        ("apply denoiser . out --workers 0", "`--workers` must be a number, or"),
        ("encode reference . a.npz --workers host", "`--workers` must be a number"),
        ("compress digits README.md a.cae --workers 2", "requires a folder of images"),
        ("info missing.cae", "No such file or folder: missing.cae"),
        ("export --model nowhere --out a.onnx", "RUN must be a run folder"),
        ("export --model reference --out a --format h5", "invalid choice: 'h5'"),
        ("export --model reference", "required: --out"),
        ("models --limit 3", "unrecognized arguments"),
    ],
)
def test_mistakes_are_answered_without_keras(arguments, expected):
    result = run(*arguments.split())
    assert result.returncode == (0 if arguments == "--version" else 2)
    assert expected in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "value, read, is_folder",
    [
        ("photos", "{folder}/photos", True),  # by PWD
        ("{folder}/photos", "{folder}/photos", True),
        ("mnist5k", "mnist5k", False),  # the set, though there is such a folder
        ("", "mnist", False),
    ],
)
def test_the_environment_names_the_data(value, read, is_folder, tmp_path, monkeypatch):
    for name in ("photos", "mnist5k"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "photos")
    monkeypatch.setenv("PWD", str(tmp_path))
    monkeypatch.setenv("CONVAE_DATA", value.format(folder=tmp_path))
    arguments = parser.parser().parse_args(["train"])
    parser.check(arguments)
    assert arguments.data == read.format(folder=tmp_path)
    assert data.is_folder(arguments) is is_folder


def test_what_the_environment_names_must_exist(monkeypatch):
    monkeypatch.setenv("CONVAE_DATA", "nowhere")
    result = run("train")
    assert result.returncode == 2
    assert "`CONVAE_DATA` must be one of" in result.stderr
    assert "'nowhere', which does not exist" in result.stderr


def test_every_verb_has_a_command():
    for name, verb in parser.VERBS.items():
        module = import_module(verb.module) if verb.module else commands
        assert callable(getattr(module, name))


def test_the_choices_are_those_of_the_module():
    """They are spelt again in the parser, which may not import the module."""
    assert checks.pretrained_names() == pretrained.pretrained_names()
    assert {*checks.NAMED_SETS} == {*sources.CLASS_NAMES}
    assert {*flags.FITS} == {*image_files.FITS}
    assert {*parser.POOLINGS} == {*features.POOLS}
    assert {*flags.COLORS} >= {*image_files.MODES}
    assert parser.FORMATS == (*export.FORMATS,) and parser.PARTS == (*export.PARTS,)
    arguments = parser.parser().parse_args("export --model a --out b".split())
    assert arguments.tolerance == export.TOLERANCE
    assert arguments.limit == validation.LIMIT // 2**20
    assert tasks.DOWNSAMPLING["choices"] == corruption.DOWNSAMPLING
    assert data.PATCH_SIZE == patches.PATCH_SIZE
    undone = {task.undoes for task in tasks.TASKS.values()} - {None}
    assert all(hasattr(corruption, name) for name in undone)


def test_old_words_are_accepted():
    words = ["train", "--task", "compress", "--price", "3", "--turn"]
    arguments = parser.parser().parse_args(words)
    assert arguments.rate_weight == 3.0 and arguments.augment is True
    arguments = parser.parser().parse_args(["train", "--no-turn"])
    assert arguments.augment is False
