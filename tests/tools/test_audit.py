"""What the audit makes of the answers of its two tools."""

import subprocess

import audit
import pytest

pytestmark = pytest.mark.static


@pytest.mark.parametrize(
    "license",
    [
        "MIT",
        "Apache Software License",
        "BSD-2-Clause AND Apache-2.0 WITH LLVM-exception",
        "GPL-2.0-only OR MIT",
        "Mozilla Public License 2.0 (MPL 2.0); MIT License",
        "GNU Lesser General Public License v3 (LGPLv3)",
    ],
)
def test_suitable(license):
    assert audit.suitable(license)


@pytest.mark.parametrize(
    "license",
    [
        "",
        "GPL-3.0-or-later",
        "AGPL-3.0",
        "GNU General Public License v3 (GPLv3)",
        "MIT AND GPL-2.0-only",
        "MIT License; GNU Affero General Public License v3",
        "Other/Proprietary License",
        "Permitted",
    ],
)
def test_unsuitable(license):
    assert not audit.suitable(license)


def test_the_license_that_is_stated():
    nothing = dict.fromkeys(["License-Expression", "License-Classifier"], "UNKNOWN")
    text = {"License-Metadata": "BSD 3-Clause License\n\nCopyright (c) 2026"}
    assert audit.stated(nothing | text) == "BSD 3-Clause License"
    assert audit.stated(nothing | text | {"License-Expression": "MIT"}) == "MIT"
    assert audit.stated(nothing | {"License-Metadata": "UNKNOWN"}) == ""


def _answer(monkeypatch, stdout, stderr="", returncode=0):
    answer = subprocess.CompletedProcess([], returncode, stdout, stderr)
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: answer)


VULNERABLE = """{"dependencies": [
    {"name": "a", "version": "1.0", "vulns": [{"id": "X-1", "fix_versions": ["1.1"]}]},
    {"name": "b", "version": "2.0", "vulns": []},
    {"name": "convae-keras", "skip_reason": "distribution marked as editable"}
]}"""


def test_a_vulnerability_is_found(monkeypatch, capsys):
    _answer(monkeypatch, VULNERABLE, returncode=1)
    lines = audit.vulnerabilities("python")
    assert lines[0] == "FOUND a 1.0: X-1, mended in 1.1"
    assert lines[1:] == ["2 packages audited for known vulnerabilities"]
    monkeypatch.setattr(audit, "licenses", lambda python: [])
    assert audit.main("python") == 1


@pytest.mark.parametrize(
    "stdout, stderr",
    [
        ('{"dependencies": [{"name": "a", "skip_reason": "not found"}]}', ""),
        ("", "Traceback (most recent call last):\n  ...\nConnectionError: no name"),
        ("", ""),
    ],
)
def test_a_service_out_of_reach_takes_one_line(monkeypatch, capsys, stdout, stderr):
    _answer(monkeypatch, stdout, stderr, returncode=1)
    (line,) = audit.vulnerabilities("python")
    assert line.startswith("NOT AUDITED") and "\n" not in line
    monkeypatch.setattr(audit, "licenses", lambda python: [])
    assert audit.main("python") == 0
