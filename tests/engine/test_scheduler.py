from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from whisperlive_hybrid.engine.scheduler import Item, Scheduler
from whisperlive_hybrid.errors import Overloaded
from whisperlive_hybrid.types import Urgency

FINAL, UPDATE, SHORT_FILE, BULK = Urgency


def item(
    job: int,
    urgency: Urgency,
    deadline: float = 0.0,
    key: str = "encode",
    batch_limit: int = 4,
    *,
    alone: bool = False,
) -> Item:
    """An item; generates gather for a second, as the engine makes them."""
    gathers_until = 1.0 if key.startswith("generate") else None
    return Item(job, urgency, deadline, key, batch_limit, gathers_until, alone)


def filled(*items: Item, workers: int = 1, limit: int = 100) -> Scheduler:
    """A scheduler in which these items wait."""
    scheduler = Scheduler(workers=workers, limit=limit)
    for each in items:
        scheduler.admit(each)
    return scheduler


def order(scheduler: Scheduler) -> Iterator[list[int]]:
    """The jobs of each batch, run one after the other, until nothing may start."""
    while batch := scheduler.take(0.0):
        yield [each.job for each in batch]
        scheduler.finish(batch, 0.01)
        for each in batch:
            scheduler.end(each.job)


def test_live_work_goes_before_files() -> None:
    """The most urgent class goes first, whatever the deadlines say."""
    scheduler = filled(
        item(1, BULK, deadline=1, key="a"),
        item(2, SHORT_FILE, deadline=2, key="b"),
        item(3, UPDATE, deadline=3, key="c"),
        item(4, FINAL, deadline=4, key="d"),
    )
    assert repr(scheduler) == (
        "<Scheduler 0/1 busy, waiting: final 1, update 1, short_file 1, bulk 1>"
    )
    assert [each.job for each in scheduler.take(0.0)] == [4]
    assert repr(scheduler) == "<Scheduler 1/1 busy, waiting: update 1, short_file 1, bulk 1>"


def test_the_earliest_deadline_goes_first_inside_a_class() -> None:
    """Among equals the one that is due first runs, then the one that came first."""
    scheduler = filled(
        item(1, UPDATE, deadline=5, key="a"),
        item(2, UPDATE, deadline=3, key="b"),
        item(3, UPDATE, deadline=3, key="c"),
        item(4, UPDATE, deadline=4, key="d"),
    )
    assert list(order(scheduler)) == [[2], [3], [4], [1]]


def test_an_idle_scheduler_says_so() -> None:
    """Nothing waits, nothing starts."""
    scheduler = filled()
    assert repr(scheduler) == "<Scheduler 0/1 busy, waiting: nothing>"
    assert scheduler.take(0.0) == []


def test_companions_share_the_key() -> None:
    """Only work of the same key may share a call."""
    scheduler = filled(item(1, UPDATE, key="a"), item(2, UPDATE, key="b"), item(3, UPDATE, key="a"))
    assert list(order(scheduler)) == [[1, 3], [2]]


def test_companions_are_on_the_same_side() -> None:
    """A live call never grows by a file's work; a final may take updates along."""
    scheduler = filled(item(1, FINAL), item(2, UPDATE), item(3, SHORT_FILE), item(4, BULK))
    assert list(order(scheduler)) == [[1, 2], [3], [4]]


def test_a_long_file_does_not_ride_with_a_short_one() -> None:
    """Each window more makes the call longer, and somebody waits for the short one."""
    scheduler = filled(item(1, SHORT_FILE), item(2, BULK, deadline=1), item(3, SHORT_FILE))
    assert list(order(scheduler)) == [[1, 3], [2]]


def test_a_short_file_may_ride_with_a_long_one_that_is_due() -> None:
    """The call of a long file that was overtaken long enough takes it along."""
    scheduler = filled(item(1, BULK, deadline=0), item(2, SHORT_FILE, deadline=1))
    assert list(order(scheduler)) == [[1, 2]]


def test_a_batch_takes_the_most_urgent_up_to_its_limit() -> None:
    """What does not fit is what could wait longest."""
    items = [item(n, UPDATE, deadline=-n, batch_limit=3) for n in range(5)]
    assert list(order(filled(*items))) == [[4, 3, 2], [1, 0]]


def test_a_suspect_runs_alone() -> None:
    """An item whose batch has failed takes no companions and is nobody's companion."""
    scheduler = filled(
        item(1, UPDATE), item(2, UPDATE, alone=True), item(3, UPDATE, alone=True), item(4, UPDATE)
    )
    assert list(order(scheduler)) == [[1, 4], [2], [3]]


def test_generates_gather_while_there_are_encodes() -> None:
    """Encodes of files run ahead until a full batch is ready to be generated together."""
    generates = [item(n, BULK, key="generate", batch_limit=3) for n in range(2)]
    scheduler = filled(*generates, item(2, BULK, batch_limit=1), item(3, BULK, batch_limit=1))
    encode = scheduler.take(0.0)
    assert [each.job for each in encode] == [2]
    scheduler.finish(encode, 0.1)
    scheduler.resume(item(2, BULK, key="generate", batch_limit=3))
    assert list(order(scheduler)) == [[0, 1, 2], [3]]


def test_generates_wait_no_longer_when_no_encode_waits() -> None:
    """A batch that nothing could fill up any more starts as it is."""
    scheduler = filled(*(item(n, BULK, key="generate", batch_limit=8) for n in range(3)))
    assert list(order(scheduler)) == [[0, 1, 2]]


def test_a_generate_gathers_only_so_long() -> None:
    """However many encodes keep coming, a rare generate runs when its time is up."""
    rare = item(0, BULK, deadline=0, key="generate hot")
    scheduler = filled(rare, *(item(n, BULK, deadline=n, batch_limit=1) for n in (1, 2)))
    assert [each.job for each in scheduler.take(0.9)] == [1]
    assert [each.job for each in scheduler.take(1.0)] == [0]


def test_a_final_does_not_gather_for_updates() -> None:
    """Work that is more urgent never waits for work that is less so."""
    scheduler = filled(item(1, FINAL, key="generate"), item(2, UPDATE))
    assert list(order(scheduler)) == [[1], [2]]


def test_updates_of_many_streams_gather() -> None:
    """Encodes first, then one batched generate: under load that holds more streams."""
    scheduler = filled(
        item(1, UPDATE, key="generate"),
        item(2, UPDATE, key="generate"),
        item(3, UPDATE, batch_limit=1),
    )
    assert list(order(scheduler)) == [[3], [1, 2]]


def test_a_short_file_overtakes_a_long_one_but_not_for_ever() -> None:
    """Among files the deadline decides: a window of a long file has its turn when it is old."""
    scheduler = filled(
        item(1, BULK, deadline=600, key="a"),
        item(2, SHORT_FILE, deadline=10, key="b"),
        item(3, SHORT_FILE, deadline=700, key="c"),
    )
    assert list(order(scheduler)) == [[2], [1], [3]]


def test_calls_for_files_are_short_while_somebody_speaks() -> None:
    """What a call may take is learned: of items that take 0.2 s, two share a call of 0.5 s."""
    scheduler = filled(*(item(n, BULK, key="generate", batch_limit=4) for n in range(4)))
    scheduler.finish(scheduler.take(0.0), 0.8)
    for n in range(4):
        scheduler.resume(item(n, BULK, key="generate", batch_limit=4))
    scheduler.live_streams = 1
    assert [len(batch) for batch in order(scheduler)] == [2, 2]


def test_a_suspect_does_not_gather() -> None:
    """It must run alone, so there is nothing to wait for."""
    scheduler = filled(item(1, BULK, key="generate", alone=True), item(2, BULK))
    assert list(order(scheduler)) == [[1], [2]]


def test_an_open_live_stream_keeps_one_worker_free() -> None:
    """While somebody may speak, files never hold the last free worker."""
    files = [item(n, BULK, batch_limit=1) for n in range(4)]
    scheduler = filled(*files, workers=3)
    scheduler.live_streams = 1
    assert len(scheduler.take(0.0)) == 1
    assert len(scheduler.take(0.0)) == 1
    assert scheduler.take(0.0) == []
    scheduler.admit(item(9, FINAL))
    assert [each.job for each in scheduler.take(0.0)] == [9]
    assert repr(scheduler) == "<Scheduler 3/3 busy, waiting: bulk 2>"


def test_without_live_streams_files_use_every_worker() -> None:
    """A worker kept free for nobody would be waste."""
    scheduler = filled(*(item(n, BULK, batch_limit=1) for n in range(4)), workers=3)
    assert [len(scheduler.take(0.0)) for _ in range(3)] == [1, 1, 1]


def test_a_single_worker_serves_files_while_nobody_speaks() -> None:
    """With one worker, files run in the pauses of live streams."""
    scheduler = filled(item(1, BULK))
    scheduler.live_streams = 1
    assert list(order(scheduler)) == [[1]]


@pytest.mark.parametrize(("live_s", "file_s"), [(0.1, 0.1), (0.1, 1.0), (0.5, 0.05), (0.2, 0.3)])
@pytest.mark.parametrize("workers", [1, 2])
def test_files_get_their_share_under_endless_live_load(
    live_s: float, file_s: float, workers: int
) -> None:
    """However long its calls are, file work gets a tenth of the time: not nothing, not half."""
    scheduler, jobs = Scheduler(workers=workers, limit=100), count()
    scheduler.live_streams = 3
    spent = {True: 0.0, False: 0.0}
    running: list[tuple[float, int, list[Item]]] = []
    now = 0.0
    for _ in range(2000):
        while sum(scheduler.waiting[u] for u in (FINAL, UPDATE)) < 3:
            scheduler.admit(item(next(jobs), UPDATE, batch_limit=1))
        while scheduler.waiting[BULK] < 3:
            scheduler.admit(item(next(jobs), BULK, batch_limit=1))
        while len(running) < workers and (batch := scheduler.take(0.0)):
            seconds = live_s if batch[0].urgency.is_live else file_s
            running.append((now + seconds, batch[0].job, batch))
        running.sort()
        now, _, batch = running.pop(0)
        is_live = batch[0].urgency.is_live
        spent[is_live] += live_s if is_live else file_s
        scheduler.finish(batch, live_s if is_live else file_s)
        scheduler.end(batch[0].job)
    assert spent[False] / (spent[True] + spent[False]) == pytest.approx(0.1, abs=0.02)


def test_what_files_used_in_a_pause_is_not_held_against_them() -> None:
    """Idle time is free: after an hour of it, files still get their share at once."""
    scheduler = filled(item(1, BULK))
    scheduler.finish(scheduler.take(0.0), 3600.0)
    scheduler.resume(item(1, BULK))
    scheduler.admit(item(2, UPDATE))
    scheduler.admit(item(3, UPDATE, key="generate"))
    assert list(order(scheduler)) == [[2], [1], [3]]


def test_nothing_is_owed_to_files_that_did_not_wait() -> None:
    """A file that comes after an hour of live work has lost nothing by it."""
    scheduler = filled(item(1, UPDATE))
    scheduler.finish(scheduler.take(0.0), 3600.0)
    for each in (item(2, BULK), item(3, UPDATE)):
        scheduler.admit(each)
    assert next(order(scheduler)) == [3]


def test_what_files_are_owed_is_paid_in_a_pause() -> None:
    """Idle time that files used counts against what live work owed them."""
    scheduler = filled(item(1, UPDATE), item(2, BULK))
    scheduler.finish(scheduler.take(0.0), 9.0)
    scheduler.finish(scheduler.take(0.0), 5.0)
    for each in (item(3, BULK), item(4, UPDATE)):
        scheduler.admit(each)
    assert next(order(scheduler)) == [4]


def test_files_are_refused_past_the_bound() -> None:
    """A queue that only grows helps nobody: the caller is told to come back."""
    scheduler = filled(item(1, BULK), item(2, SHORT_FILE), limit=2)
    with pytest.raises(Overloaded, match="2 windows are waiting") as refusal:
        scheduler.admit(item(3, SHORT_FILE))
    assert refusal.value.retry_after_s > 0
    assert scheduler.admitted == 2


def test_live_work_takes_no_room_from_files() -> None:
    """Twenty streams in mid-sentence are no reason to refuse an upload."""
    scheduler = filled(item(1, UPDATE), item(2, FINAL), limit=1)
    scheduler.admit(item(3, SHORT_FILE))
    assert scheduler.admitted == 3


def test_a_recording_that_was_begun_is_read_to_its_end() -> None:
    """Its later windows are taken however full the queue is: nobody wants half a transcript."""
    scheduler = filled(item(1, BULK), limit=1)
    scheduler.admit(item(2, BULK), continues=True)
    assert scheduler.admitted == 2


def test_live_work_is_never_refused() -> None:
    """Streams are bounded where they connect, not in the middle of a sentence."""
    scheduler = filled(item(1, BULK), limit=1)
    scheduler.admit(item(2, UPDATE))
    scheduler.admit(item(3, FINAL))
    assert scheduler.admitted == 3


def test_work_that_runs_counts_against_the_bound() -> None:
    """A window makes room when it is read, not when it starts."""
    scheduler = filled(item(1, BULK), limit=1)
    scheduler.take(0.0)
    with pytest.raises(Overloaded):
        scheduler.admit(item(2, BULK))
    scheduler.end(1)
    scheduler.admit(item(2, BULK))
    assert scheduler.admitted == 1


def test_cancelled_work_that_waits_never_runs() -> None:
    """A job that is ended takes its item with it."""
    scheduler = filled(item(1, BULK), item(2, BULK))
    scheduler.end(1)
    assert list(order(scheduler)) == [[2]]


def test_cancelled_work_that_runs_is_not_resumed() -> None:
    """What comes back for a job that has ended is ignored."""
    scheduler = filled(item(1, BULK))
    batch = scheduler.take(0.0)
    scheduler.end(1)
    assert (scheduler.admitted, repr(scheduler)) == (
        0,
        "<Scheduler 1/1 busy, waiting: nothing>",
    )
    scheduler.finish(batch, 0.1)
    scheduler.resume(item(1, BULK, key="generate"))
    assert repr(scheduler) == "<Scheduler 0/1 busy, waiting: nothing>"


class AnyTraffic(RuleBasedStateMachine):
    """Jobs of three quanta each come, run, are cancelled and blamed in any order."""

    WORKERS = 3

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler(workers=self.WORKERS, limit=1000)
        self.numbers = count()
        self.left: dict[int, int] = {}  # quanta still to run, by job
        self.urgency: dict[int, Urgency] = {}
        self.running: list[list[Item]] = []

    @rule(urgency=st.sampled_from(Urgency), key=st.sampled_from(["encode", "generate a"]))
    def arrive(self, urgency: Urgency, key: str) -> None:
        """A new job."""
        job = next(self.numbers)
        self.left[job], self.urgency[job] = 3, urgency
        self.scheduler.admit(item(job, urgency, deadline=job % 5, key=key))

    @rule(streams=st.integers(0, 2))
    def listen(self, streams: int) -> None:
        """Live streams open and close."""
        self.scheduler.live_streams = streams

    @precondition(lambda self: len(self.running) < self.WORKERS)
    @rule()
    def start(self) -> None:
        """A free worker asks for work."""
        if batch := self.scheduler.take(0.0):
            self.running.append(batch)

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 2), seconds=st.floats(0.01, 5), died=st.booleans())
    def finish(self, which: int, seconds: float, died: bool) -> None:
        """A worker comes back; a batch that died is tried again one by one."""
        batch = self.running.pop(which % len(self.running))
        self.scheduler.finish(batch, seconds)
        for each in batch:
            if died:
                self.scheduler.resume(item(each.job, each.urgency, key=str(each.key), alone=True))
            else:
                self._advance(each.job)

    @precondition(lambda self: self.left)
    @rule(which=st.integers(0, 100))
    def cancel(self, which: int) -> None:
        """A caller goes away."""
        job = sorted(self.left)[which % len(self.left)]
        del self.left[job]
        self.scheduler.end(job)

    def _advance(self, job: int) -> None:
        if job not in self.left:
            self.scheduler.resume(item(job, self.urgency[job]))  # too late: must be ignored
            return
        self.left[job] -= 1
        if self.left[job]:
            self.scheduler.resume(item(job, self.urgency[job], key="generate b"))
        else:
            del self.left[job]
            self.scheduler.end(job)

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        """Each job either waits once or runs once; the scheduler knows all of them."""
        runs = [each.job for batch in self.running for each in batch]
        waits = list(self.scheduler._waiting)
        alive = sorted(job for job in [*runs, *waits] if job in self.left)
        assert alive == sorted(self.left)
        assert set(waits) <= self.left.keys()
        assert self.scheduler.admitted == len(self.left)
        assert len(set(runs)) == len(runs)

    @invariant()
    def batches_keep_their_law(self) -> None:
        """One key, one side, no more than the limit, and suspects by themselves."""
        for batch in self.running:
            assert len({(each.key, each.urgency.is_live) for each in batch}) == 1
            assert len(batch) <= (1 if batch[0].alone else batch[0].batch_limit)
            assert len(batch) == 1 or not any(each.alone for each in batch)
        assert repr(self.scheduler).startswith(f"<Scheduler {len(self.running)}/{self.WORKERS} ")

    def teardown(self) -> None:
        """Once the streams close, all that was admitted comes to its end."""
        self.scheduler.live_streams = 0
        while self.running or (batch := self.scheduler.take(0.0)):
            batch = self.running.pop() if self.running else batch
            self.scheduler.finish(batch, 0.1)
            for each in batch:
                self._advance(each.job)
        assert not self.left


TestAnyTraffic = AnyTraffic.TestCase


def test_lateness_is_that_of_the_most_overdue_final() -> None:
    """Updates and files may be late: nobody loses words by that."""
    scheduler = filled(
        item(1, FINAL, deadline=5.0, key="a"),
        item(2, FINAL, deadline=4.0, key="b"),
        item(3, UPDATE, deadline=1.0, key="c"),
        item(4, BULK, deadline=0.0, key="d"),
    )
    assert scheduler.lateness(3.0) == 0.0
    assert scheduler.lateness(6.5) == 2.5
    scheduler.end(1)
    scheduler.end(2)
    assert scheduler.lateness(6.5) == 0.0
