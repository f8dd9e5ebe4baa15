"""The examples in the docstrings do what they say, on every backend."""

import doctest
import importlib
import inspect
from pathlib import Path

import numpy as np
import pytest

import convae_keras

NAMES = sorted(path.stem for path in Path(convae_keras.__file__).parent.glob("*.py"))
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def _names():
    names = {name: getattr(convae_keras, name) for name in convae_keras.__all__}
    return {"np": np, **names}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "__main__"])
def test_examples(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(f"convae_keras.{name}")
    result = doctest.testmod(module, extraglobs=_names(), optionflags=FLAGS)
    assert result.failed == 0, capsys.readouterr().out


def test_public_names_have_a_docstring():
    bare = [name for name, value in _names().items() if not inspect.getdoc(value)]
    assert not bare
