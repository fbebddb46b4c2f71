"""Private names of Hydra's Optuna sweeper.

Missing: a public hook before its first trial, and one for each trial that it starts.
"""

from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl

__all__ = ["METHODS", "OptunaSweeperImpl"]

# Those that :class:`thaw.commands.studies.Search` calls or extends.
METHODS = ("_configure_trials", "_parse_sweeper_params_config", "_get_directions")
