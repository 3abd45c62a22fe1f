"""What holds for every test."""

import os

import pytest
from hypothesis import settings

# A time limit for each example measures how busy the machine is.
settings.register_profile("scenewright", deadline=None)
settings.load_profile("scenewright")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Plans that a test's LLM gave are kept in a folder of the session, not in the person's cache."""
    os.environ["SCENEWRIGHT_CACHE"] = str(tmp_path_factory.mktemp("cache"))
