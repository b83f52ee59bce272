"""What a model's card says of its data."""

from quickstep.data.folder_sets import FolderData
from quickstep.data.prepared import DancerData
from quickstep.data.shards import ShardData
from quickstep.networks.folder import Settings
from quickstep.training.exports import _card


def test_a_card_says_what_was_learned_from():
    settings = Settings(role="student", method="dancelcm")
    drawn = _card("dancelcm_dancer", settings, DancerData())
    assert "procedural dancer" in drawn
    for footage in (FolderData(), ShardData()):
        told = _card("dancelcm_tiktok", settings, footage)
        assert "dancer" not in told
        assert "prepared from footage" in told
