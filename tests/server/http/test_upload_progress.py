import anyio
import pytest

from whisperlive_hybrid.auth.caller import ApiKey, Caller
from whisperlive_hybrid.errors import BadAudio, Conflict, Overloaded
from whisperlive_hybrid.server.http.upload_progress import (
    SHOWN_AFTER_END_S,
    Stage,
    UploadBoard,
    UploadState,
    UploadWatch,
)

pytestmark = pytest.mark.anyio

ID = "an-id-of-mine"
CALLER = Caller("192.0.2.1")


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


async def everything(watch: UploadWatch) -> list[UploadState]:
    """All updates that a watcher gets."""
    update = []
    while each := await watch.next():
        update.append(each)
    return update


async def test_an_upload_is_followed_to_its_end() -> None:
    """Its length, how far it is, the end of its text, and that it is done."""
    board = UploadBoard()
    with board.watch(CALLER, ID) as watch:
        with board.upload(CALLER, ID) as progress:
            assert await watch.next() == UploadState(ID)
            progress.expect(60.0)
            progress.advance(12.0, " hello")
            progress.advance(13.0, " you")
            assert await watch.next() == UploadState(ID, Stage.PROGRESS, 13.0, 60.0, " hello you")
        assert await everything(watch) == [
            UploadState(ID, Stage.COMPLETED, 60.0, 60.0, " hello you")
        ]


async def test_a_watcher_may_come_first() -> None:
    """It waits until the upload begins."""
    board = UploadBoard()
    updates: list[UploadState] = []

    async def look() -> None:
        with board.watch(CALLER, ID) as watch:
            updates.extend(await everything(watch))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look)
        await anyio.wait_all_tasks_blocked()
        with board.upload(CALLER, ID):
            await anyio.wait_all_tasks_blocked()
    assert [update.stage for update in updates] == [Stage.PROGRESS, Stage.COMPLETED]


async def test_a_late_watcher_still_learns_the_end() -> None:
    """For a while; then the id is forgotten."""
    clock = Clock()
    board = UploadBoard(clock)
    with board.upload(CALLER, ID):
        pass
    with board.watch(CALLER, ID) as watch:
        assert [update.stage for update in await everything(watch)] == [Stage.COMPLETED]
    clock.now += SHOWN_AFTER_END_S
    with board.watch(CALLER, ID) as watch, anyio.move_on_after(0) as waited:
        await watch.next()
    assert waited.cancelled_caught


async def test_a_failure_is_told_and_goes_on() -> None:
    """With what the error object of the answer says."""
    board = UploadBoard()
    with board.watch(CALLER, ID) as watch:
        with pytest.raises(BadAudio), board.upload(CALLER, ID):
            raise BadAudio("Not audio.", param="file")
        [update] = await everything(watch)
    assert update.stage is Stage.FAILED
    assert update.failure is not None
    assert (update.failure.message, update.failure.param) == ("Not audio.", "file")


async def test_an_upload_that_was_given_up_is_told() -> None:
    """Its client has gone; who else watches learns it."""
    board = UploadBoard()
    with board.watch(CALLER, ID) as watch:
        with anyio.CancelScope() as scope, board.upload(CALLER, ID):
            scope.cancel()
            await anyio.sleep_forever()
        [update] = await everything(watch)
    assert update.failure is not None
    assert update.failure.message == "The upload was given up."


async def test_one_upload_at_a_time_has_an_id() -> None:
    """Their progress would be mixed; after the end of one its id may be used again."""
    board = UploadBoard()
    with board.upload(CALLER, ID), pytest.raises(Conflict, match=ID), board.upload(CALLER, ID):
        pass
    with board.upload(CALLER, ID), board.watch(CALLER, ID) as watch:
        update = await watch.next()
    assert update == UploadState(ID)


async def test_a_slow_watcher_gets_the_newest_state() -> None:
    """States in between are not kept for it."""
    board = UploadBoard()
    with board.watch(CALLER, ID) as watch:
        with board.upload(CALLER, ID) as progress:
            for n in range(1000):
                progress.advance(n, " a")
        assert len(await everything(watch)) == 1


async def test_only_so_many_are_remembered() -> None:
    """Those that ended first go first; what is under way or watched stays, and bounds the rest."""
    clock = Clock()
    board = UploadBoard(clock, limit=2)
    for name in ("one", "two"):
        clock.now += 1
        with board.upload(CALLER, name):
            pass
    with board.upload(CALLER, "three"), board.watch(CALLER, "two") as watch:
        assert [update.stage for update in await everything(watch)] == [Stage.COMPLETED]
        with pytest.raises(Overloaded), board.upload(CALLER, "four"):
            pass
    with (
        board.watch(CALLER, "two"),
        board.watch(CALLER, "four"),
        pytest.raises(Overloaded),
        board.watch(CALLER, "five"),
    ):
        pass


async def test_ids_of_two_keys_never_meet() -> None:
    """Both may use the same id at once and see their own; an admin sees another's."""
    board = UploadBoard()
    one, other = Caller("a", ApiKey("1", "one")), Caller("a", ApiKey("2", "other"))
    admin = Caller("a", ApiKey("3", "admin", is_admin=True))
    with board.upload(one, ID) as progress:
        progress.advance(1.0, "mine")
        with board.upload(other, ID) as others:
            others.advance(2.0, "yours")
            with board.watch(one, ID) as watch, board.watch(other, ID) as watch_of_other:
                first, second = await watch.next(), await watch_of_other.next()
        with board.watch(admin, ID) as watch:
            seen = await watch.next()
    assert (first and first.text, second and second.text) == ("mine", "yours")
    assert seen is not None
    assert seen.text in {"mine", "yours"}


async def test_two_without_keys_share_their_ids() -> None:
    """As ever: a watcher may come from another address than the upload."""
    board = UploadBoard()
    with board.upload(Caller("a"), ID), pytest.raises(Conflict), board.upload(Caller("b"), ID):
        pass
