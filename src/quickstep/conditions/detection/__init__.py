"""People found in pictures and their 133 keypoints, by two networks with DWPose's interface."""
