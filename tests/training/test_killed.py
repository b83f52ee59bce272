"""A run killed at any moment goes on to the same bits (invariant 28): weights, averages, optimiser.

Noise and times of a micro-batch depend on its number alone, so no generator has a state to lose.
"""

from pathlib import Path

from test_trainer import assert_same_bits


def test_a_run_killed_at_any_moment_ends_with_the_same_bits(tmp_path, run_script):
    output = run_script(Path(__file__).with_name("kill_script.py"), tmp_path)
    assert "kills 32\n" in output
    step = int(output.split("step-")[1])
    assert 10 < step < 40  # killed runs made their way, and the last one had something left to do
    assert_same_bits(tmp_path / "whole", tmp_path / "killed")
    names = sorted(place.name for place in (tmp_path / "killed" / "checkpoints").iterdir())
    assert names == ["step-00000039", "step-00000040"]
