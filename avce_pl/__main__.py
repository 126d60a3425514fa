"""``python -m avce_pl`` is ``avce``."""

from avce_pl.cli import main

if __name__ == "__main__":
    main()
