"""Champ (Zhu et al. 2024): a denoiser told a reference network's tokens and four pose maps."""

from quickstep.networks.champ.bank import ReferenceBank
from quickstep.networks.champ.denoiser import DenoisingUNet
from quickstep.networks.champ.features import POSE_MAPS, ChampConditions, ChampFeatures
from quickstep.networks.champ.network import ChampNetwork
from quickstep.networks.champ.pose_maps import PoseMapEncoders
from quickstep.networks.champ.reference import ReferenceUNet
from quickstep.networks.champ.shape import ChampShape

__all__ = [
    "POSE_MAPS",
    "ChampConditions",
    "ChampFeatures",
    "ChampNetwork",
    "ChampShape",
    "DenoisingUNet",
    "PoseMapEncoders",
    "ReferenceBank",
    "ReferenceUNet",
]
