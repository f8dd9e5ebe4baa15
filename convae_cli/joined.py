"""`convae train --join`: one of several processes that train a model."""

from convae_keras import distribution, load_run


def join(coordinator, processes, index):
    """Waits for the other processes.

    Args:
        coordinator, processes, index: str, as on the command line.
    """
    print(f"Waiting for {processes} processes at {coordinator}", flush=True)
    numbers = (int(n) if n.isdecimal() else n for n in (processes, index))
    distribution.join(coordinator, *numbers)


def leave(run):
    """Ends the training together.

    Args:
        run: `Path` of the run folder.

    Returns:
        `keras.Model` that was trained, in the first process, which does the rest
        alone; None in the others.
    """
    index, _ = distribution.share()
    distribution.leave()
    return None if index else load_run(run)
