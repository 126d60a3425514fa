"""The checkpoint of the best epoch."""

from pathlib import Path
from typing import Any

from pytorch_lightning.callbacks import ModelCheckpoint


class BestCheckpoint(ModelCheckpoint):
    """Lightning's `ModelCheckpoint` for one file, ``best.ckpt``, in a folder that may be moved or copied.

    Lightning writes the folder's absolute path into every checkpoint and forgets the best score where a resumed run
    finds another one.
    """

    def __init__(self, folder: Path, monitor: str) -> None:
        """Prepares the callback.

        Args:
            folder: where the file is written.
            monitor: the validation score that chooses the epoch; the greater the better.
        """
        super().__init__(
            dirpath=folder,
            filename="best",
            monitor=monitor,
            mode="max",
            save_on_train_epoch_end=False,  # but after validation: `last.ckpt`, written at the epoch's end, knows of it
            enable_version_counter=False,
        )

    @property
    def state_key(self) -> str:
        """Lightning's key, which checkpoints of version 0.1 have."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__)

    def state_dict(self) -> dict[str, Any]:
        """The scores, without paths."""
        return {
            key: value for key, value in super().state_dict().items() if key in ("best_model_score", "current_score")
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the scores; the file is the one in this run's folder."""
        score = state_dict["best_model_score"]
        if score is None:
            return
        self.best_model_score = self.kth_value = score
        self.current_score = state_dict["current_score"]
        self.best_model_path = self.kth_best_model_path = str(Path(str(self.dirpath)) / "best.ckpt")
        self.best_k_models = {self.best_model_path: score}
