"""What processes that work for another one share."""

import os
import threading
import time


def end_with_parent(parent: int) -> None:
    """Ends this process within a second of the one that started it, however that one ended.

    Without it a killed program would leave workers behind that hold locks and memory. `multiprocessing` knows the
    parent too, but not in a process that joblib started.

    Args:
        parent: the number of the process that started this one.
    """

    def follow() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
