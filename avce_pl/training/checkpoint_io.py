"""How checkpoints get onto the disk."""

import io
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from avce_pl.errors import AvceError
from avce_pl.utils.files import atomic_write


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it when it is complete.

    Lightning's own writer moves it from the system's temporary folder, on another disk byte by byte: a full disk or a
    kill then leaves half a file under the final name.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Writes the checkpoint; raises OSError, with what was there intact."""
        path = Path(path)
        content = io.BytesIO()
        torch.save(checkpoint, content)
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, content.getbuffer())

    def load_checkpoint(self, path: str | Path, *_: Any, **__: Any) -> dict[str, Any]:
        """Reads a checkpoint without executing anything it contains.

        Raises:
            AvceError: it is damaged, or holds more than tensors and plain values.
        """
        try:
            return cast(dict[str, Any], torch.load(path, map_location="cpu", weights_only=True))
        except Exception as error:  # torch raises half a dozen unrelated types
            raise AvceError(
                f"The checkpoint {path} cannot be read as tensors and plain values ({type(error).__name__}). It was "
                "not executed. Delete it and run the same command again: the training starts anew."
            ) from error
