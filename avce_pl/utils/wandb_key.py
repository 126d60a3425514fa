"""Whether W&B would find a key; imports next to nothing, so that `avce doctor` works on a broken installation."""

import os

from requests.utils import get_netrc_auth


def has_key() -> bool:
    """Whether a W&B key is configured, without asking the network or the user."""
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
    return bool(os.environ.get("WANDB_API_KEY") or get_netrc_auth(host))
