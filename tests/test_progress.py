"""Progress: lines now and then in a log, a bar on a terminal, nothing of what is quick."""

import io
import logging
import sys
import threading
import time

import pytest

from thaw import progress as module
from thaw.progress import progress


class Terminal(io.StringIO):
    """A screen that remembers all that was written."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Ten seconds pass in 50 ms."""
    caplog.set_level(logging.INFO)
    for name in ("FIRST_S", "EVERY_S", "REDRAW_S"):
        monkeypatch.setattr(module, name, 0.05)


def wait_for(caplog: pytest.LogCaptureFixture, text: str) -> None:
    deadline = time.monotonic() + 20
    while not any(text in message for message in caplog.messages):
        assert time.monotonic() < deadline, caplog.messages
        time.sleep(0.01)


def test_what_takes_long_says_how_far_it_is(caplog: pytest.LogCaptureFixture) -> None:
    done = 7  # of something before
    with progress("sampling", 4, lambda: done):
        wait_for(caplog, "sampling: 0 % after 0 s")
        done = 10
        wait_for(caplog, "sampling: 75 % after 0 s")
        done = 99
        wait_for(caplog, "sampling: 100 % after 0 s")
    with progress("fitting the prior"):
        wait_for(caplog, "fitting the prior: 0 s so far")
    assert not any("_log" in thread.name for thread in threading.enumerate())


def test_of_several_the_innermost_alone_speaks(caplog: pytest.LogCaptureFixture) -> None:
    with progress("epoch 1"), progress("scores"):
        wait_for(caplog, "scores")
        caplog.clear()  # the outer one may have spoken before the inner one began
        wait_for(caplog, "scores")
    assert not any("epoch" in message for message in caplog.messages)


def test_what_is_quick_or_of_another_process_says_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    with progress("sampling"):
        time.sleep(0.2)
    monkeypatch.delenv("RANK")
    monkeypatch.setattr(module, "FIRST_S", 10)
    with progress("sampling"):
        time.sleep(0.1)
    assert not caplog.messages


def test_it_ends_with_an_error(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ZeroDivisionError), progress("sampling"):
        raise ZeroDivisionError
    time.sleep(0.2)
    assert not caplog.messages


def test_on_a_terminal_there_is_a_bar_and_no_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    done = 0
    deadline = time.monotonic() + 20
    with progress("sampling", 4, lambda: done):
        done = 2
        while "sampling:  50%|" not in screen.getvalue():
            assert time.monotonic() < deadline, screen.getvalue()
            time.sleep(0.01)
    assert screen.getvalue().endswith("\r")  # and is wiped out
    assert not caplog.messages
