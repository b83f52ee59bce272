"""The schedule of both teachers, for every test of the mathematics."""

import pytest

from quickstep.diffusion.schedule import Schedule


@pytest.fixture(scope="session")
def schedule() -> Schedule:
    return Schedule.scaled_linear().with_zero_terminal_snr()
