"""Completion in shells: asked of bash itself, where there is one."""

import shutil
import subprocess
import sys

import pytest

from convae_cli.completion import SHELLS
from convae_cli.main import main

pytestmark = pytest.mark.static

# What bash does when the tabulator is pressed behind the last word.
PRESS_TAB = """
source "$1"; shift
COMP_WORDS=(convae "$@"); COMP_CWORD=$#
function=$(complete -p convae | sed 's/.*-F \\([^ ]*\\).*/\\1/')
$function convae "${@: -1}" "${COMP_WORDS[$#-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def script(shell, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--print-completion", shell])
    assert stopped.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_for_each_shell(shell, capsys):
    text = script(shell, capsys)
    assert "super-resolution" in text and "--part" in text


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    "words, expected",
    [
        ("ex", {"export"}),
        ("export --pa", {"--part"}),
        ("export --part en", {"encoder"}),
        ("train --task su", {"super-resolution"}),
        ("apply de", {"denoiser", "denoiser_grey", "delta.png"}),
        ("export --model en", {"enlarger_x2", "enlarger_x3"}),
        ("info d", {"delta.png"}),
    ],
)
def test_bash_completes(words, expected, capsys, tmp_path):
    (tmp_path / "delta.png").touch()
    (tmp_path / ".script").write_text(script("bash", capsys))
    command = ["bash", "-c", PRESS_TAB, "bash", ".script", *words.split()]
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert {*found.stdout.split()} == expected, found.stderr


def test_without_shtab(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    with pytest.raises(SystemExit) as stopped:
        main(["--print-completion", "bash"])
    assert stopped.value.code == 2
    assert "needs shtab: pip install shtab" in capsys.readouterr().err
