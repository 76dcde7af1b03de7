"""Private directories for temporary media: only our own are removed, and only we may own them."""

import os

import pytest

from shared import objects
from shared.errors import SettingsInvalid
from shared.settings import Settings

pytestmark = pytest.mark.unit


def test_a_sweep_removes_what_ended_processes_left_and_nothing_else(tmp_path):
    settings = Settings(work_dir=tmp_path)
    for name in ("1-1-left", "1--left", "photographs", "2026-letters"):
        (tmp_path / name).mkdir()
    with objects.workspace(settings) as ours:
        assert objects.sweep_workspaces(settings) == 2
        assert ours.is_dir()
        assert objects.sweep_workspaces(settings, own=True) == 1
        ours.mkdir()

    assert sorted(path.name for path in tmp_path.iterdir()) == ["2026-letters", "photographs"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a directory away")
def test_a_directory_that_somebody_else_made_in_a_place_for_all_is_refused(tmp_path):
    tmp_path.chmod(0o1777)
    settings = Settings(work_dir=tmp_path / "work")
    settings.work_dir.mkdir()
    os.chown(settings.work_dir, 12345, 12345)

    with pytest.raises(SettingsInvalid, match="somebody else"), objects.workspace(settings):
        pass
