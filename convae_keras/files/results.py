"""Result files: the names they may have, written beside what is there already."""

import errno
import os
import re
import unicodedata
import warnings
from pathlib import PurePosixPath, PureWindowsPath

from PIL import Image

from convae_keras.compression.container import InvalidFile
from convae_keras.saving import atomic_write
from convae_keras.validation import require

# What is wrong with one name, which other files need not have.
NAME_ERRORS = {errno.EEXIST, errno.EILSEQ, errno.EINVAL, errno.EISDIR}
NAME_ERRORS |= {errno.ENAMETOOLONG, errno.ENOTDIR}

# Bytes of a name, and folders around a file, at most.
MAX_BYTES, MAX_FOLDERS = 255, 100

# Names that Windows does not have, and there also those with its special characters.
RESERVED = r"(con|prn|aux|nul|(com|lpt)[1-9])\s*(\..*)?|.*[. ]"
RESERVED += r'|.*[<>:"|?*\x00-\x1f].*' if os.name == "nt" else ""
RESERVED = re.compile(RESERVED, re.IGNORECASE | re.DOTALL)


def check_writable(path):
    """Raises an error if a file, or the folders on the way to it, cannot be created.

    Args:
        path: `Path` of the file.

    Raises:
        ValueError: if permission is denied.
    """
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    writable = os.access(folder, os.W_OK)
    require(writable, f"Cannot write to '{folder}': permission denied.")


def check_folder(path, kinds=()):
    """Raises an error for the name of a file where a folder is to be.

    Args:
        path: `Path`, of a folder that may be missing. A missing one must not have
            an ending of letters, such as `.txt`: that would be a mistake.
        kinds: tuple of str, endings of files that it could have been.

    Raises:
        ValueError: if it is a file, or looks like one.
    """
    suffix, known = path.suffix.lower(), Image.registered_extensions()
    looks = suffix in known or re.fullmatch(r"\.[a-z]{2}([a-z]{0,3}|\d)", suffix)
    fits = path.is_dir() if looks else not path.is_file()
    expected = "`destination` must be a folder"
    expected += f", or end in one of {kinds}" if kinds else ""
    require(fits, f"{expected}. Received: '{path}'")


def check_outside(destination, source):
    """Raises an error for a destination in the folder that is read, or for that folder.

    Results in there would be read again by the next call.

    Args:
        destination, source: `Path`.

    Raises:
        ValueError: naming both.
    """
    expected = f"`destination` must be outside `source`, '{source}'"
    inside = destination.resolve().is_relative_to(source.resolve())
    require(not inside, f"{expected}. Received: '{destination}'")


def check_not_existing(paths, overwrite):
    """Raises an error if files would be overwritten.

    Args:
        paths: list of `Path`, the files to be written.
        overwrite: bool, whether existing files may be replaced.

    Raises:
        ValueError: naming the first five that exist.
    """
    existing = [str(path) for path in paths if os.path.lexists(path)]
    expected = "`destination` must be files that do not exist yet"
    hint = f"(`overwrite` or --overwrite replaces them): {', '.join(existing[:5])}"
    require(overwrite or not existing, f"{expected} {hint}")


def check_options(overwrite, skip_existing):
    """Raises an error if files would be both replaced and left alone."""
    message = "`overwrite` and `skip_existing` must not both be true"
    require(not (overwrite and skip_existing), message)


def write_files(paths, contents, overwrite, skip_existing):
    """Writes files, atomically, and the folders on the way to them.

    A file that exists and is what would be written is left as it is: the same
    command, given again, goes on where it stopped. Any other is refused before
    something is written, so that it is not mistaken for a result.

    Args:
        paths: list of `Path`; None for what is not written.
        contents: function of a list of indices into `paths`, in order, that yields a
            pair for each: the index, and bytes or an exception.
        overwrite: bool, whether existing files are replaced.
        skip_existing: bool, whether they are left alone, whatever they are.

    Returns:
        `(written, kept, errors)`: list of `Path`; int, number of files that were
        there already; dict from the index of each other file to an exception:
        what `contents` yielded, or an `OSError` of the file's name.

    Raises:
        ValueError: if another file exists.
        OSError: if the disk is full, or otherwise takes no file.
    """
    indices = [i for i, path in enumerate(paths) if path is not None]
    existing = {i for i in indices if not overwrite and os.path.lexists(paths[i])}
    written, errors = {}, {}
    if not skip_existing:
        for i, data in contents(sorted(existing)):
            if isinstance(data, bytes):
                _check_same(paths[i], data)
            else:
                errors[i] = data
    kept = len(existing) - len(errors)
    for i, data in contents([i for i in indices if i not in existing]):
        error = data
        if isinstance(data, bytes):
            error = _write(paths[i], data, overwrite, written.values())
        if error is None:
            written[paths[i]] = _identity(paths[i])
        else:
            errors[i] = error
    return [*written], kept, errors


def _check_same(path, data):
    # A pipe of that name would be waited for.
    is_same = path.is_file() and path.stat().st_size == len(data)
    is_same = is_same and path.read_bytes() == data
    expected = "`destination` must be files that do not exist yet, or are the same"
    hint = "`overwrite` or --overwrite replaces what exists, `skip_existing` or "
    hint += "--skip-existing leaves it as it is"
    require(is_same, f"{expected} ({hint}). Received: '{path}', which is another")


def _write(path, data, overwrite, others):
    """Writes a file. Returns an error if it cannot have this name, else None."""
    try:
        identity = _identity(path)
        if identity is not None and identity in others:
            # As where capital letters do not count.
            raise FileExistsError(errno.EEXIST, "another of these images has this name")
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, overwrite) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        if error.errno not in NAME_ERRORS:
            raise
        return error
    return None


def _identity(path):
    if not os.path.lexists(path):
        return None
    status = os.lstat(path)
    return status.st_dev, status.st_ino


def warn_of_kept(kept, count, destination):
    """Warns if files were there already, and so were not written.

    Args:
        kept, count: ints, such files, and all.
        destination: path that they are in.
    """
    if kept:
        message = f"{kept} of {count} files were there already, and are as they were"
        warnings.warn(f"{message}: '{destination}'", stacklevel=3)


def paths_inside(folder, names):
    """Returns paths in a folder for PNG files of given names.

    They have the suffix `.png` in place of their own; or all have it behind their
    own, if more of them differ that way. Names that differ only in capital letters,
    or in how accents are encoded, count as the same.

    Args:
        folder: `Path`.
        names: list of str, relative paths separated by `/`, from anywhere.

    Returns:
        `(paths, skipped)`: list of `Path`, None for a name that cannot be used;
        dict from each such name to the reason.

    Raises:
        InvalidFile: a `ValueError`, for a name that leads out of the folder.
    """
    for name in names:
        if _leads_out(PurePosixPath(name)) or "\0" in name:
            raise InvalidFile(f"Invalid name: {name!r} leads out of the folder.")
    given = [PurePosixPath(name) for name in names]
    replaced = [str(file.with_suffix(".png")) for file in given]
    appended = [f"{file}.png" for file in given]
    files = max(replaced, appended, key=lambda each: len({*map(_folded, each)}))
    paths, skipped, taken = [], {}, set()
    for name, file in zip(names, files, strict=True):
        problem = "another image has this name" if file in taken else _fault(name, file)
        taken.add(file)
        paths.append(None if problem else folder / file)
        skipped |= {name: problem} if problem else {}
    return paths, skipped


def _leads_out(path):
    return not path.parts or path.anchor or ".." in path.parts


def _folded(file):
    """Returns what names have in common that are one on some disks."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", file).casefold())


def _fault(name, file):
    """Returns why a disk may refuse a name, or None."""
    # Windows has both kinds of separators, and letters for disks.
    if _leads_out(PureWindowsPath(name)) or file[1:2] == ":":
        return "a name that leads out of the folder on Windows"
    parts = re.split(r"[/\\]", file)
    if len(parts) > MAX_FOLDERS:
        return f"in more than {MAX_FOLDERS} folders"
    for part in parts:
        try:
            size = len(os.fsencode(part))
        except UnicodeEncodeError:
            return "a name that cannot be written"
        if size > MAX_BYTES:
            return f"a name of more than {MAX_BYTES} bytes"
        if RESERVED.fullmatch(part):
            return "a name that Windows does not have"
    return None
