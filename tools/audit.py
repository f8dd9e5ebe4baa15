"""Looks for known vulnerabilities and unsuitable licenses in an environment.

    .venv-tools/bin/python tools/audit.py .venv/bin/python

The status is 1 if something was found. Vulnerabilities need a network: where their
service is out of reach, a line says that they were not looked for.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

OURS = "convae-keras"
NOT_AUDITED = "NOT AUDITED for known vulnerabilities"
# What any project may use, also a closed one: permissive licenses, and those whose
# copyleft ends at their own files or library.
FAMILIES = r"""
    Apache | BSD | MIT\b | ISCL?\b | Zlib | Unlicense | CC0 | BSL-1\.0 | Public\ Domain
    | PSF | Python\ Software\ Foundation | HPND | Historical\ Permission
    | LGPL | GNU\ Lesser | MPL | Mozilla\ Public
"""
# Packages that may stay although their metadata name no such license, and why.
EXCEPTIONS = {
    "namex": "no entry for a license; its file LICENSE is that of Apache, 2.0",
}


def main(python):
    """Audits the environment of an interpreter, and prints what was found."""
    lines = vulnerabilities(python) + licenses(python)
    print("\n".join(lines))
    return int(any(line.startswith("FOUND") for line in lines))


def vulnerabilities(python):
    """Asks pip-audit.

    Args:
        python: str, path of the environment's interpreter.

    Returns:
        list of str: `FOUND …` for each vulnerability, and a line that says how many
        packages were audited, or that none could be.
    """
    # pip-audit finds the packages of this interpreter, not of its own.
    audited = {**os.environ, "PIPAPI_PYTHON_LOCATION": str(Path(python).absolute())}
    command = _tool("pip-audit"), "--format=json", "--progress-spinner=off"
    done = subprocess.run(command, env=audited, capture_output=True, text=True)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:
        reason = (done.stderr.strip() or "no answer").splitlines()[-1]
        return [f"{NOT_AUDITED}: {reason:.200}"]
    return _vulnerable(packages)


def _vulnerable(packages):
    found = [
        f"FOUND {package['name']} {package['version']}: {problem['id']}, "
        f"mended in {', '.join(problem['fix_versions']) or 'no version'}"
        for package in packages
        for problem in package.get("vulns", [])
    ]
    unknown = [p["name"] for p in packages if "skip_reason" in p and p["name"] != OURS]
    audited = sum("skip_reason" not in package for package in packages)
    if not audited:
        return [f"{NOT_AUDITED}: the service knows none of the packages, or is away"]
    if unknown:
        found.append(f"unknown to the service: {', '.join(unknown)}")
    return [*found, f"{audited} packages audited for known vulnerabilities"]


def licenses(python):
    """Asks pip-licenses.

    Args:
        python: str, path of the environment's interpreter.

    Returns:
        list of str: `FOUND …` for each license that is not in `FAMILIES`, and a line
        that counts the packages.
    """
    command = _tool("pip-licenses"), f"--python={python}", "--from=all", "--format=json"
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"pip-licenses failed: {done.stderr}")
    packages = json.loads(done.stdout)
    found = []
    for package in packages:
        license = stated(package)
        if package["Name"] not in EXCEPTIONS and not suitable(license):
            found.append(f"FOUND {package['Name']} {package['Version']}: {license!r}")
    return [*found, f"{len(packages)} packages audited for licenses"]


def stated(package):
    """Returns the license of a package: an SPDX expression, or in its own words."""
    keys = "License-Expression", "License-Classifier", "License-Metadata"
    texts = [package[key].strip() for key in keys if package[key] != "UNKNOWN"]
    # Some have the whole text there; its title or first sentence tells.
    return texts[0].splitlines()[0][:100] if texts and texts[0] else ""


def suitable(license):
    """Says whether a license, or one of its alternatives, is in `FAMILIES`.

    Args:
        license: str, such as `"MIT OR GPL-2.0"`.

    Returns:
        bool. Where several apply at once, all must be.
    """
    choices = [re.split(r" AND |; ", choice) for choice in license.split(" OR ")]
    families = re.compile(FAMILIES, re.VERBOSE)
    return any(all(map(families.search, together)) for together in choices)


def _tool(name):
    return str(Path(sys.executable).parent / name)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
