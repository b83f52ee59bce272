import numpy as np

from quickstep.data.people import PeopleData, two_scenes


def test_people_keep_their_person_only():
    data = PeopleData(num_clips=6, num_frames=1, first_seed=100, scenes=3)
    seeds = [data.seeds(index) for index in range(6)]
    assert [each.identity for each in seeds] == [100, 100, 100, 101, 101, 101]
    assert [each.scene for each in seeds] == [each.motion for each in seeds] == [*range(100, 106)]


def test_two_scenes_are_of_one_person_and_differ():
    first, second = two_scenes(np.random.default_rng(0), count=7, clips=22, scenes=3)
    assert np.array_equal(first // 3, second // 3)
    assert (first != second).all()
    assert len(set(first // 3)) == 7
    assert max(*first, *second) < 21


def test_one_scene_a_person_is_the_clip_itself():
    first, second = two_scenes(np.random.default_rng(0), count=5, clips=5, scenes=1)
    assert sorted(first) == [0, 1, 2, 3, 4]
    assert np.array_equal(first, second)
