"""One folder, several processes: the same bytes as from one, whatever happens."""

import contextlib
import os
import shutil
import signal
import socket
import warnings
from pathlib import Path

import distributed
import pytest
from distributed import LocalCluster
from distributed.comm import CommClosedError
from helpers import negative
from PIL import Image

from convae_cli import checks, opened
from convae_cli.main import main
from convae_keras.files import batches, workers
from convae_keras.pretrained import load_pretrained

pytestmark = pytest.mark.slow

VERBS = {
    "apply": ("denoiser", "pictures", "out"),
    "encode": ("reference", "pictures", "features.npz"),
    "compress": ("digits", "pictures", "pictures.cae"),
}
THREADS = {"processes": False, "protocol": "tcp"}


@pytest.fixture
def folder(digits, tmp_path, monkeypatch):
    """Digits, one of them of another size, and what is none."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "pictures"
    (path / "more").mkdir(parents=True)
    for i in range(18):
        image = Image.fromarray(digits.x_test[i, ..., 0])
        image.save(path / ("more" if i % 3 else "") / f"{i}.png")
    Image.new("L", (30, 28), 99).save(path / "wide.png")
    (path / "broken.png").write_bytes(b"no image")
    return path


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(batches, "BATCH_SIZE", 4)
    monkeypatch.setattr(batches, "BLOCK_IMAGES", 4)
    workers._opened.cache_clear()


@contextlib.contextmanager
def cluster(count=2, **options):
    """The address of a scheduler with so many workers of one thread."""
    options |= {"n_workers": count, "threads_per_worker": 1}
    with LocalCluster(**options, dashboard_address="127.0.0.1:0") as started:
        yield started.scheduler_address


def run(capsys, verb, *flags):
    """Status, words and files of a command; the files are deleted."""
    *_, name = VERBS[verb]
    status = main([verb, *VERBS[verb], *flags])
    paths = [Path(name)] if Path(name).is_file() else sorted(Path(name).rglob("*.*"))
    written = {str(path): path.read_bytes() for path in paths}
    Path(name).unlink() if Path(name).is_file() else shutil.rmtree(name)
    return status, capsys.readouterr(), written


def test_alone_computes_one_item_after_the_other():
    done = workers.alone(lambda model, item: (model, item), "m", iter([1, 2]))
    assert next(done) == ("m", 1) and [*done] == [("m", 2)]


# --- what a worker does ------------------------------------------------------


def warned(model, item):
    warnings.warn(f"about {item}", stacklevel=1)
    return item + 1


def opened_again(opening, expected):
    return workers._work(3, warned, opening, expected)


@pytest.mark.filterwarnings("default")
def test_a_worker_opens_the_model_once_and_hands_back_warnings(tmp_path):
    opening = str(tmp_path), negative, (1,)
    expected = workers._about(negative(1))
    result, caught = opened_again(opening, expected)
    assert result == 4 and str(caught[0][0]) == "about 3"
    assert caught[0][1] is UserWarning
    opened_again(opening, expected)
    assert workers._opened.cache_info().misses == 1


@pytest.mark.float32
def test_a_worker_that_cannot_do_its_part_says_so(tmp_path):
    model = load_pretrained("reference")
    opening = str(tmp_path), load_pretrained, ("digits",)
    with pytest.raises(ValueError, match="^The worker on .*: weights .*, not weights"):
        opened_again(opening, workers._about(model))
    opening = str(tmp_path / "elsewhere"), load_pretrained, ("reference",)
    with pytest.raises(ValueError, match="no such folder: .*elsewhere"):
        opened_again(opening, workers._about(model))
    opening = str(tmp_path), load_pretrained, ("reference",)
    another = ("convae-keras 0.0", *workers._about(model)[1:])
    with pytest.raises(ValueError, match="not convae-keras 0.0$"):
        opened_again(opening, another)


# --- a scheduler -------------------------------------------------------------


@pytest.mark.float32
@pytest.mark.filterwarnings("always::UserWarning")
@pytest.mark.parametrize("verb", VERBS)
def test_workers_write_and_say_what_one_process_does(verb, folder, capsys):
    alone = run(capsys, verb)
    assert alone[0] == 1 and len(alone[2]) > 0 and "broken.png" in alone[1].err
    with cluster(**THREADS) as address:
        assert run(capsys, verb, "--workers", address) == alone


def refuse(model, item):
    raise ValueError(f"no {item}")


def test_errors_of_a_task_are_raised_here(tmp_path):
    with (
        cluster(**THREADS) as address,
        pytest.raises(ValueError, match="^no 1$"),
        workers.connected(address, tmp_path, negative) as shared,
    ):
        [*shared(refuse, negative(), [1, 2])]


@pytest.mark.parametrize("verb", VERBS)
def test_a_lost_cluster(verb, folder, monkeypatch, capsys):
    """Also where its results are being written into one file."""
    result, calls = distributed.Future.result, []

    def lose(future, *_):
        calls.append(future)
        if len(calls) > 1:
            raise CommClosedError("gone")
        return result(future)

    monkeypatch.setattr(distributed.Future, "result", lose)
    with cluster(**THREADS) as address:
        assert main([verb, *VERBS[verb], "--workers", address]) == 3
    said = capsys.readouterr().err
    assert f"convae: The workers of {address} were lost: gone" in said
    assert not Path("features.npz").exists() and not Path("pictures.cae").exists()


def test_an_address_without_a_scheduler(folder, monkeypatch, capsys):
    monkeypatch.setattr(workers, "PATIENCE", 0.5)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        words = ["reference", str(folder), "features.npz", "--workers"]
        for received in (address, "ftp://nowhere:1"):
            assert main(["encode", *words, received]) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert line.startswith("convae: `workers` must be") and received in line
    assert not Path("features.npz").exists()


def test_a_scheduler_without_workers(monkeypatch, tmp_path):
    monkeypatch.setattr(workers, "PATIENCE", 0.5)
    with (
        cluster(0, **THREADS) as address,
        pytest.raises(ValueError, match="Dask scheduler with workers"),
        workers.connected(address, tmp_path, negative),
    ):
        pass


@pytest.mark.static
def test_without_dask_a_line_says_what_to_install(folder, monkeypatch, capsys):
    find = checks.find_spec

    def missing(name):
        return None if name == "distributed" else find(name)

    monkeypatch.setattr(checks, "find_spec", missing)
    assert main(["apply", *VERBS["apply"], "--workers", "2"]) == 2
    assert 'pip install ".[workers]"' in capsys.readouterr().err


# --- processes of their own --------------------------------------------------


@pytest.fixture
def one_is_killed(monkeypatch):
    """Each command has the process of one of its workers killed as it works."""
    connected = workers.connected

    @contextlib.contextmanager
    def losing(*arguments):
        with connected(*arguments) as shared:

            def compute(*given):
                for i, result in enumerate(shared(*given)):
                    if i == 0:
                        client, _ = shared.args
                        # The worker lost before may not be forgotten yet.
                        pids = client.run(os.getpid, on_error="ignore")
                        os.kill(max(pids.values()), signal.SIGKILL)
                    yield result

            yield compute

    monkeypatch.setattr(opened, "connected", losing)


@pytest.mark.float32
@pytest.mark.filterwarnings("always::UserWarning")
@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_killed_worker_changes_nothing(folder, one_is_killed, capsys):
    alone = {verb: run(capsys, verb) for verb in VERBS}
    with cluster(silence_logs="CRITICAL") as address:
        for verb, expected in alone.items():
            assert run(capsys, verb, "--workers", address) == expected


@pytest.mark.float32
@pytest.mark.filterwarnings("always::UserWarning")
def test_a_number_starts_processes(folder, capsys):
    alone = run(capsys, "encode")
    with socket.socket() as another:  # has the port that Dask would take
        with contextlib.suppress(OSError):
            another.bind(("", 8787))
        assert run(capsys, "encode", "--workers", "2") == alone
