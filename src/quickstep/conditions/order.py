"""The orders joints come in: COCO-WholeBody's 133 points and OpenPose's 18, and their colours."""

NUM_KEYPOINTS = 133
"""COCO-WholeBody: 17 body, 6 feet, 68 face and twice 21 hand points."""

BODY = slice(0, 17)
LEFT_FOOT = slice(17, 20)
RIGHT_FOOT = slice(20, 23)
FACE = slice(23, 91)
LEFT_HAND = slice(91, 112)
RIGHT_HAND = slice(112, 133)

NOSE, LEFT_EYE, RIGHT_EYE, LEFT_EAR, RIGHT_EAR = range(5)
LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_ELBOW, RIGHT_ELBOW, LEFT_WRIST, RIGHT_WRIST = range(5, 11)
LEFT_HIP, RIGHT_HIP, LEFT_KNEE, RIGHT_KNEE, LEFT_ANKLE, RIGHT_ANKLE = range(11, 17)

NECK = 1
LEFT_TOES, RIGHT_TOES = 18, 19

COCO_OF_JOINT = (0, -1, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
"""COCO's number of each of the 18 joints; the neck (-1) is no COCO point."""

COCO_OF_BODY_25 = (0, -1, 6, 8, 10, 5, 7, 9, -1, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3) + (
    *range(17, 20),
    *range(20, 23),
)
"""The same for OpenPose's 25 joints: neck and middle of the hips (-1) are no COCO points."""

LIMBS = (
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10)),
    *((1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17)),
    *((13, LEFT_TOES), (10, RIGHT_TOES)),
)
"""The 17 limbs of DWPose's pictures and UniAnimate's two feet, as pairs of joints."""

JOINT_COLOURS = (
    *((255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0)),
    *((0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255)),
    *((0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85)),
    *((170, 255, 255), (255, 255, 0)),
)
"""Colours of the 20 joints and, in the same order, of the 19 limbs (those at 60 per cent)."""

HAND_EDGES = tuple(
    (0 if step == 0 else finger * 4 + step, finger * 4 + step + 1)
    for finger in range(5)
    for step in range(4)
)
"""The 20 bones of a hand: five fingers of four, each beginning at the wrist (point 0)."""

MIRRORED = (
    *(0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15, 20, 21, 22, 17, 18, 19),
    *(23 + 16 - point for point in range(17)),
    *(23 + 43 - point for point in range(17, 27)),
    *range(23 + 27, 23 + 31),
    *(23 + 66 - point for point in range(31, 36)),
    *(23 + point for point in (45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40)),
    *(23 + point for point in (54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55)),
    *(23 + point for point in (64, 63, 62, 61, 60, 67, 66, 65)),
    *range(112, 133),
    *range(91, 112),
)
"""Which of the 133 points each of them becomes in a mirror: left and right change places."""
