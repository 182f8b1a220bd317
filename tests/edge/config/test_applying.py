"""A file that is read again: only what changed notices."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import edge
from edge.config.applying import Changes, apply, changes
from edge.config.keys import Config
from edge.config.reading import config_of
from edge.daemon.service import Service
from edge.errors import BadConfig

LAMP = {"address": "synthetic://?live=1&seed=3"}


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service(edge.load("pocket", device="cpu"))
    yield service
    service.close()


def config(**cameras: dict[str, object]) -> Config:
    return config_of({"cameras": cameras})


def test_changes_are_told_apart() -> None:
    old = config(same=LAMP, gone=LAMP, other=LAMP, off=LAMP)
    new = config_of(
        {
            "model": {"device": "cpu"},
            "cameras": {"same": LAMP, "new": LAMP, "other": {**LAMP, "fps": 1}, "off": {**LAMP, "enabled": False}},
        }
    )
    found = changes(old, new)
    assert found == Changes(added=("new",), removed=("gone", "off"), changed=("other",), waiting=("model",))
    assert str(found) == "added: new; removed: gone, off; changed: other; next start: model"
    assert str(changes(old, old)) == "nothing changed"


def test_only_cameras_that_changed_are_watched_anew(service: Service) -> None:
    first = config(a=LAMP, b=LAMP)
    apply(service, Config(), first)
    before = service.judged("a")
    apply(service, first, config(a=LAMP, c=LAMP))
    assert service.names() == ["a", "c"]
    assert service.judged("a") is before


def test_a_camera_that_can_never_work_changes_nothing(service: Service) -> None:
    first = config(a=LAMP)
    apply(service, Config(), first)
    with pytest.raises(BadConfig, match=r"cameras\.b"):
        apply(service, first, config(b={"address": "nonsense://x"}))
    assert service.names() == ["a"]
