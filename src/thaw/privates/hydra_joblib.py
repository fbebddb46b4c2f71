"""Private names of Hydra's joblib launcher.

Missing: a public way to run one of its jobs in a process of one's own.
"""

from hydra_plugins.hydra_joblib_launcher._core import execute_job, process_joblib_cfg

__all__ = ["execute_job", "process_joblib_cfg"]
