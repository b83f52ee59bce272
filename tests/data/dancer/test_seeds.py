import pytest

from quickstep.data.dancer.seeds import (
    TEST_START,
    VALIDATION_START,
    DancerSeeds,
    split_of,
    stream,
)


def test_splits_meet_at_their_constants():
    edges = (0, VALIDATION_START - 1, VALIDATION_START, TEST_START - 1, TEST_START)
    assert [split_of(seed) for seed in edges] == [
        "train",
        "train",
        "validation",
        "validation",
        "test",
    ]


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="-3"):
        split_of(-3)
    with pytest.raises(ValueError, match="camera=-1"):
        DancerSeeds(identity=0, motion=0, camera=-1, scene=0)


def test_roles_draw_from_unrelated_streams():
    assert stream(5, role="identity").random() != stream(5, role="motion").random()
    assert stream(5, role="scene").random() == stream(5, role="scene").random()
