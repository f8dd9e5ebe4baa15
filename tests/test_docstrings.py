"""The examples in the docstrings give what they say, on every backend."""

import doctest
import importlib
import inspect
import pkgutil

import numpy as np
import pytest

import convae_keras

MODULES = [
    module.name
    for module in pkgutil.walk_packages(convae_keras.__path__, "convae_keras.")
    if not module.name.endswith("__main__")
]
TENSORFLOW = pytest.param("convae_keras.export", marks=pytest.mark.tensorflow)
MODULES = [TENSORFLOW if "export" in name else name for name in MODULES]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def _names():
    names = {name: getattr(convae_keras, name) for name in convae_keras.__all__}
    return {"np": np, **names}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_examples(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    result = doctest.testmod(module, extraglobs=_names(), optionflags=FLAGS)
    assert result.failed == 0, capsys.readouterr().out


def test_public_names_have_a_docstring():
    bare = [name for name, value in _names().items() if not inspect.getdoc(value)]
    assert not bare
