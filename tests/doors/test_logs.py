"""A log that cannot be written stops nothing."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from amends.doors import logs


class Broken(io.StringIO):
    """The reader of the pipe has gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize("closed", [True, False])
def test_a_log_without_a_reader(monkeypatch: pytest.MonkeyPatch, closed: bool) -> None:
    stream = io.StringIO() if closed else Broken()
    monkeypatch.setattr(sys, "stderr", stream)
    logs.set_up()
    if closed:
        stream.close()
    log = structlog.get_logger()
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        log.exception("a defect")
    log.info("goes on")
