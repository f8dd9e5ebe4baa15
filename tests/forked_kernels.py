"""A pytest plugin: kernels of notebooks are forked, not started.

    PYTHONPATH=tests pytest -p forked_kernels --nbval-lax notebooks

What a short notebook takes is mostly the import of TensorFlow and Keras. Here one
process imports them, and each kernel is a copy of it. A kernel's namespace is as
empty as that of any other.
"""

import gc
import multiprocessing
import os
import threading
import time

from ipykernel.kernelapp import launch_new_instance
from jupyter_client.provisioning import local_provisioner

# What ipykernel sets for a kernel; matplotlib reads it when it is imported.
os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["convae_keras", "forked_kernels"])


class Kernel(FORKS.Process):
    """A process with the methods of `subprocess.Popen` that a notebook needs."""

    stdin = stdout = stderr = None

    def poll(self):
        return self.exitcode

    def wait(self):
        self.join()
        return self.exitcode

    def send_signal(self, number):
        os.kill(self.pid, number)


def _run(arguments, environment, cwd):
    os.setsid()  # signals to a kernel go to its group
    os.environ.update(environment)
    os.chdir(cwd)
    for descriptor in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
    gc.freeze()  # garbage is looked for among what the notebook makes
    threading.Thread(target=_end_with_the_tests, daemon=True).start()
    launch_new_instance(argv=arguments)


def _end_with_the_tests():
    """Ends this kernel when its tests end, even if they are killed."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _launch(command, env=None, cwd=None, **kwargs):
    kernel = Kernel(target=_run, args=(command[-2:], env or {}, cwd or os.getcwd()))
    kernel.start()
    while os.getpgid(kernel.pid) != kernel.pid:
        time.sleep(0.01)
    return kernel


local_provisioner.launch_kernel = _launch
