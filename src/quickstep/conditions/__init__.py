"""What a network is told about a dance: keypoints, drawn skeletons, alignment, maps."""
