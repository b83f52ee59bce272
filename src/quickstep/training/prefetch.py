"""Micro-batches made ahead of the step that needs them."""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from quickstep.methods.protocol import Batch, Batches


def batches_ahead(
    batches: Batches, indices: Iterable[int], *, ahead: int
) -> Generator[tuple[int, Batch], None, None]:
    """Each index with its batch, in order, up to `ahead` of them made early in another thread.

    As a batch is a pure function of its index, this changes when a batch is made and never what
    it is. `ahead` 0 makes each when it is asked for, in the calling thread.
    """
    if ahead == 0:
        for index in indices:
            yield index, batches.batch(index)
        return
    waiting: deque[tuple[int, Future[Batch]]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as maker:
        try:
            for index in indices:
                waiting.append((index, maker.submit(batches.batch, index)))
                if len(waiting) > ahead:
                    ready, batch = waiting.popleft()
                    yield ready, batch.result()
            for ready, batch in waiting:
                yield ready, batch.result()
        finally:
            maker.shutdown(wait=False, cancel_futures=True)
