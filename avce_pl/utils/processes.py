"""What processes that work for another one share."""

import os
import threading
import time


def end_with_parent(parent: int) -> None:
    """Ends this process within a second of the one that it works for, however that one ended.

    Without it a killed program would leave workers behind that hold locks and memory. `multiprocessing` knows the
    parent too, but not in a process that joblib started.

    Args:
        parent: the number of the process that had this one started.
    """
    starter = os.getppid()  # the parent, or its fork server, which ends with it

    def follow() -> None:
        while os.getppid() == starter and _runs(parent):
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def is_first_process() -> bool:
    """Whether this process writes the files and talks: it is alone, or the first of several that train one run.

    Lightning's `rank_zero_only` looks at one of these variables alone, and takes the first process of every node.
    """
    numbers = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
    return not any(int(os.environ.get(number, "0")) for number in numbers)
