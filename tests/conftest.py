"""What holds for every test."""

from hypothesis import settings

# A time limit for each example measures how busy the machine is.
settings.register_profile("scenewright", deadline=None)
settings.load_profile("scenewright")
