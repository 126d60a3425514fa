"""Seeds of single batches."""

from hashlib import blake2b


def batch_seed(seed: int, batch: int, purpose: str) -> int:
    """A seed for one purpose in one batch of one run, all of whose bits depend on all three.

    torch's generator of a CPU keeps the lower 32 bits of a seed, so neither number may live in the upper ones alone.

    Args:
        seed: the run's seed.
        batch: the number of the batch in the training, from 0.
        purpose: what draws, such as ``dropout``: two purposes draw different numbers.

    Returns:
        An integer in [0, 2^63).
    """
    digest = blake2b(f"{seed} {batch} {purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
