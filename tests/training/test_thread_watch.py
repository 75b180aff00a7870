"""Threads that wait are told of once."""

import pytest

from restore.training.thread_watch import ThreadWatch


@pytest.mark.parametrize(
    ("threads", "processor_seconds", "is_told"),
    [
        (2, 31.0, True),  # half of what two threads could have had in 31 s
        (2, 55.0, False),  # nine tenths
        (1, 3.0, False),  # one thread waits for no other
    ],
)
def test_little_processor_time_for_several_threads_is_told(
    threads: int, processor_seconds: float, is_told: bool
) -> None:
    wall, cpu = [0.0], [0.0]
    watch = ThreadWatch(threads, wall=lambda: wall[0], cpu=lambda: cpu[0])
    assert not watch.note()  # no half minute has passed
    wall[0], cpu[0] = 31.0, processor_seconds
    told = watch.note()
    assert bool(told) is is_told
    assert not told or told == [
        "the threads computed 50 % of the time: there is other work on this machine, or too little for 2 threads; "
        "fewer --threads may be faster"
    ]


def test_it_is_told_once_even_if_it_begins_late() -> None:
    wall, cpu = [0.0], [0.0]
    watch = ThreadWatch(2, wall=lambda: wall[0], cpu=lambda: cpu[0])
    told = []
    for wall[0], cpu[0] in ((40.0, 78.0), (80.0, 100.0), (120.0, 120.0)):
        told.append(len(watch.note()))
    assert told == [0, 1, 0]
