"""What every test shares: how hard hypothesis looks."""

from hypothesis import settings

settings.register_profile("suite", max_examples=50, deadline=None)
settings.register_profile("proof", max_examples=5_000, deadline=None)
settings.load_profile("suite")
