"""The Hugging Face hub: a folder of weights, uploaded."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from thaw.provenance import install_command


class Hub:
    """A model repository ``USER/NAME`` that may be written to, asked for before any work.

    ValueError in one line: no such name is possible, the package or the token is missing, or the
    hub does not answer or does not know the token.
    """

    def __init__(self, name: str) -> None:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", name, re.ASCII):
            raise ValueError(f"push must be USER/NAME of the Hugging Face hub, got {name}")
        self.name = name
        self.api = _api()
        with _errors_of(f"push={name}"):
            self.api.whoami()

    def upload(self, folder: Path) -> str:
        """Create the repository where it is not there, upload the folder; the answer is its URL."""
        with _errors_of(f"push={self.name}"):
            url = self.api.create_repo(self.name, exist_ok=True)
            self.api.upload_folder(
                repo_id=self.name, folder_path=folder, commit_message=f"Upload {folder.name}"
            )
        return str(url)


def _api() -> Any:
    try:
        from huggingface_hub import HfApi, get_token
    except ImportError as error:
        raise ValueError(f"push needs huggingface_hub: {install_command('export')}") from error
    if not get_token():
        raise ValueError("push needs a token: `hf auth login`, or the variable HF_TOKEN")
    return HfApi(library_name="thaw-diffusion")


@contextmanager
def _errors_of(what: str) -> Iterator[None]:
    """The hub's and the network's many errors as one line."""
    try:
        yield
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        raise ValueError(f"{what}: the hub says: {first}") from error
