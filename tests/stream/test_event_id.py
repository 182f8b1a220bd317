from concurrent.futures import ThreadPoolExecutor
from uuid import RFC_4122, UUID

from hypothesis import given
from hypothesis import strategies as st

from stream.event_id import EventIds


@given(st.lists(st.floats(0, 4e9), min_size=1, max_size=30))
def test_ids_rise_whatever_the_wall_clock_does(times):
    clock = iter(times)
    ids = EventIds(lambda: next(clock))
    made = [ids.next() for _ in times]

    assert made == sorted(set(made))
    assert {(UUID(name).version, UUID(name).variant) for name in made} == {(7, RFC_4122)}
    assert UUID(made[0]).int >> 80 == int(times[0] * 1000)


def test_ids_of_several_threads_and_of_two_processes_differ():
    ids, others = EventIds(lambda: 1.0), EventIds(lambda: 1.0)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda number: (ids, others)[number % 2].next(), range(400)))

    assert len(set(made)) == 400
