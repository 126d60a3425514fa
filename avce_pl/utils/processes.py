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
