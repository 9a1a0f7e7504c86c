"""The [history] section of the configuration."""

from pathlib import Path

import pytest

from agent import config
from agent.errors import ConfigError
from agent.telemetry.journal import Drop
from tests.agent.room import TOML, write_robot


def load(directory: Path, history: str) -> config.Config:
    return config.load(write_robot(directory, f"{TOML}\n[history]\n{history}\n"), {})


def test_there_is_none_unless_asked_for(tmp_path: Path) -> None:
    assert config.load(write_robot(tmp_path, TOML), {}).history.journal is None
    assert load(tmp_path, 'journal = ""').history.journal is None


def test_a_relative_directory_lies_beside_the_configuration(tmp_path: Path) -> None:
    assert load(tmp_path, 'journal = "history"').history.journal == tmp_path / "history"
    assert load(tmp_path, 'journal = "/var/h"').history.journal == Path("/var/h")


def test_the_journal_consists_of_many_segments_however_small(tmp_path: Path) -> None:
    history = load(tmp_path, 'most_bytes = 1_000_000\ndrop = "newest"').history
    assert history.limits.segment_bytes == 62_500
    assert history.limits.drop is Drop.NEWEST


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("window = 0", "history.window"),
        ("most_per_s = 0", "history.most_per_s"),
        ('drop = "all"', "history.drop"),
        ("jornal = 1", "did you mean journal"),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(tmp_path, line)
