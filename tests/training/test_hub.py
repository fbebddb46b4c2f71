"""The hub: what is uploaded is the folder; what is wrong is one line. A stand-in plays the hub."""

import base64
import json
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from huggingface_hub import constants

from thaw.training.hub import Hub

TOKEN = "hf_of_this_test"


class Handler(BaseHTTPRequestHandler):
    """The hub's API, as far as an upload of small files goes: every file is part of the commit."""

    server: "StandIn"

    def do_GET(self) -> None:
        self._answer({"type": "user", "name": "somebody", "orgs": []})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.path.endswith("/repos/create"):
            self.server.created.append(json.loads(body)["name"])
            self._answer({"url": f"{self.server.url}/somebody/model"})
        elif "/preupload/" in self.path:
            answers = {"uploadMode": "regular", "shouldIgnore": False}
            self._answer({"files": [each | answers for each in json.loads(body)["files"]]})
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.server.files[line["value"]["path"]] = content
            url = f"{self.server.url}/somebody/model/commit/1"
            self._answer({"commitUrl": url, "commitOid": "1", "success": True})
        else:  # such as the check of a card
            self._answer({"errors": [], "warnings": []})

    def _answer(self, value: dict[str, Any]) -> None:
        is_known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        body = json.dumps(value if is_known else {"error": "Invalid token"}).encode()
        self.send_response(200 if is_known else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


class StandIn(ThreadingHTTPServer):
    """What was created and committed."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.created: list[str] = []
        self.files: dict[str, bytes] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    server = StandIn()
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield server
    server.shutdown()
    server.server_close()


def test_the_folder_is_uploaded_as_it_is(stand_in: StandIn, tmp_path: Path) -> None:
    contents = {"README.md": b"# a model\n", "run.json": b"{}", "model.safetensors": bytes(100)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    assert Hub("somebody/model").upload(tmp_path) == f"{stand_in.url}/somebody/model"
    assert stand_in.created == ["model"]
    assert stand_in.files == contents


def test_a_token_that_the_hub_does_not_know_is_one_line(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    assert_refused("somebody/model", "push=somebody/model: the hub says: ")
    assert not stand_in.created


def test_without_a_network_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert_refused("somebody/model", "push=somebody/model: the hub says: ")


def test_a_name_without_a_user_a_missing_token_and_package_are_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert_refused("model", "push must be USER/NAME of the Hugging Face hub, got model")
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    assert_refused("somebody/model", "push needs a token: `hf auth login`")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert_refused("somebody/model", "push needs huggingface_hub: pip install ")


def assert_refused(name: str, words: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        Hub(name)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
