from __future__ import annotations

import numpy as np
import pytest
from drawn_pictures import at

from restore.degradations import Image
from restore.degradations.motion import Motion, mean_frame, mean_frame_of_two, moving


def still(frames: int = 1) -> Motion:
    return Motion(np.zeros((frames, 2)), np.zeros(frames), np.ones(frames))


def point(y: int, x: int, side: int = 41) -> Image:
    picture = np.zeros((side, side, 3), np.float32)
    picture[y, x] = 1
    return picture


def brightest(picture: Image) -> tuple[int, int]:
    y, x = np.unravel_index(int(picture[..., 0].argmax()), picture.shape[:2])
    return int(y), int(x)


def test_a_point_is_seen_for_the_same_time_in_each_frame_where_it_was_shifted_to() -> None:
    motion = Motion(np.array([[0, -3], [0, 0], [2, 5]]), np.zeros(3), np.ones(3))
    seen = mean_frame(point(20, 20), motion)[..., 0]
    lit = {(20, 17), (20, 20), (22, 25)}
    assert {tuple(place) for place in np.argwhere(seen > 0.01).tolist()} == lit
    np.testing.assert_allclose([seen[place] for place in lit], 1 / 3, atol=1e-5)


def test_turns_are_clockwise_and_zooms_enlarge_about_the_centre() -> None:
    # The middle of 41 pixels is the pixel 20.
    turned = Motion(np.zeros((1, 2)), np.array([np.pi / 2]), np.ones(1))
    assert brightest(mean_frame(point(20, 30), turned)) == (30, 20)
    zoomed = Motion(np.zeros((1, 2)), np.zeros(1), np.full(1, 2.0))
    assert brightest(mean_frame(point(20, 25), zoomed)) == (20, 30)
    cornered = Motion(np.zeros((1, 2)), np.zeros(1), np.full(1, 2.0), centre=(0, 0))
    assert brightest(mean_frame(point(4, 9), cornered)) == (8, 18)


def test_no_motion_leaves_the_picture() -> None:
    light = at(0).random((30, 40, 3), dtype=np.float32)
    np.testing.assert_allclose(mean_frame(light, still(7)), light, atol=1e-6)


def test_an_object_covers_what_is_behind_it_and_bares_it_when_it_moves_on() -> None:
    white, grey = np.ones((20, 60, 3), np.float32), np.full((20, 60, 3), 0.25, np.float32)
    mask = np.zeros((20, 60), np.float32)
    mask[:, 20:40] = 1
    motion = Motion(np.array([[0, -10], [0, 0], [0, 10]]), np.zeros(3), np.ones(3))
    for behind in (None, still(3)):
        row = mean_frame_of_two(white, mask, motion, grey, behind)[10, :, 0]
        # Columns 30 to 39 are covered in all but the first frame, 20 to 29 in all but the last; 45 in the last alone.
        np.testing.assert_allclose(row[[5, 15, 25, 35, 45, 55]], np.array([3, 6, 9, 9, 6, 3]) / 12, atol=1e-5)


def test_the_background_of_an_object_can_stand_still_or_move_by_itself() -> None:
    light = at(0).random((60, 60, 3), dtype=np.float32)
    mask = np.zeros((60, 60), np.float32)
    mask[20:40, 20:40] = 1
    motion = Motion(np.array([[-5, 0], [0, 0], [5, 0]]), np.zeros(3), np.ones(3))
    sharp = mean_frame_of_two(light, mask, motion, light, None)
    np.testing.assert_allclose(sharp[:, 45:], light[:, 45:], atol=1e-5)
    np.testing.assert_allclose(sharp[26:34, 22:38], mean_frame(light, motion)[26:34, 22:38], atol=1e-5)
    other = Motion(np.array([[0, 3], [0, 0], [0, -3]]), np.zeros(3), np.ones(3))
    moved = mean_frame_of_two(light, mask, motion, light, other)
    np.testing.assert_allclose(moved[:, 46:], mean_frame(light, other)[:, 46:], atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_the_reference_is_the_middle_frame_or_the_mean_place(seed: int) -> None:
    middle, mean = (
        moving(25, at(seed), restlessness=1, jerks=1, turn=0.02, approach=0.02, is_by_middle=is_by_middle)
        for is_by_middle in (True, False)
    )
    half = len(middle.shifts) // 2
    assert len(middle.shifts) in range(7, 18, 2)
    np.testing.assert_array_equal(middle.shifts[half], 0)
    assert middle.turns[half] == 0 and middle.zooms[half] == pytest.approx(1)
    np.testing.assert_allclose(mean.shifts.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(np.diff(mean.shifts, axis=0), np.diff(middle.shifts, axis=0), atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_no_point_of_a_crop_moves_farther_than_the_reach(seed: int) -> None:
    motion = moving(20, at(seed), restlessness=1.0, turn=0.03, approach=0.02, is_by_middle=True)
    # Each pixel holds its own position.
    places = np.indices((256, 256)).transpose(1, 2, 0).astype(np.float32)
    inner = np.s_[motion.reach : -motion.reach, motion.reach : -motion.reach]
    gone = [motion.frame(places, index)[inner] - places[inner] for index in range(len(motion.shifts))]
    assert motion.reach / 3 < np.abs(gone).max() <= motion.reach
