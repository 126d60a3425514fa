"""Trains and evaluates one configuration, or sweeps over many with ``-m``; ``python run.py --help`` lists them.

``run.py`` -> ``avce_pl/training/main.py`` -> ``training/experiment.py: run_experiment`` -> ``training/build.py:
build_module`` -> ``method/avce.py: training_step`` -> ``crl_formula/avce.py`` -> ``functional/contrastive.py``.
"""

from avce_pl.training.main import main

if __name__ == "__main__":
    main()
