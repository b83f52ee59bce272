"""Feature networks of the published metrics, by the names in the public weight files."""

from quickstep.networks.features.i3d import InceptionI3d
from quickstep.networks.features.inception import InceptionV3
from quickstep.networks.features.lpips import Lpips
from quickstep.networks.features.resnet3d import ResNet3d

__all__ = ["InceptionI3d", "InceptionV3", "Lpips", "ResNet3d"]
