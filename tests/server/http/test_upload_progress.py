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
ANYBODY = Caller("192.0.2.1")


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


async def everything(watch: UploadWatch) -> list[UploadState]:
    """All that a watcher is told."""
    news = []
    while each := await watch.next():
        news.append(each)
    return news


async def test_an_upload_is_followed_to_its_end() -> None:
    """Its length, how far it is, the end of its text, and that it is done."""
    board = UploadBoard()
    with board.watch(ANYBODY, ID) as watch:
        with board.upload(ANYBODY, ID) as progress:
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
    told: list[UploadState] = []

    async def look() -> None:
        with board.watch(ANYBODY, ID) as watch:
            told.extend(await everything(watch))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look)
        await anyio.wait_all_tasks_blocked()
        with board.upload(ANYBODY, ID):
            await anyio.wait_all_tasks_blocked()
    assert [news.stage for news in told] == [Stage.PROGRESS, Stage.COMPLETED]


async def test_a_late_watcher_still_learns_the_end() -> None:
    """For a while; then the id is forgotten."""
    clock = Clock()
    board = UploadBoard(clock)
    with board.upload(ANYBODY, ID):
        pass
    with board.watch(ANYBODY, ID) as watch:
        assert [news.stage for news in await everything(watch)] == [Stage.COMPLETED]
    clock.now += SHOWN_AFTER_END_S
    with board.watch(ANYBODY, ID) as watch, anyio.move_on_after(0) as waited:
        await watch.next()
    assert waited.cancelled_caught


async def test_a_failure_is_told_and_goes_on() -> None:
    """With what the error object of the answer says."""
    board = UploadBoard()
    with board.watch(ANYBODY, ID) as watch:
        with pytest.raises(BadAudio), board.upload(ANYBODY, ID):
            raise BadAudio("Not audio.", param="file")
        [news] = await everything(watch)
    assert news.stage is Stage.FAILED
    assert news.failure is not None
    assert (news.failure.message, news.failure.param) == ("Not audio.", "file")


async def test_an_upload_that_was_given_up_is_told() -> None:
    """Its client has gone; who else watches learns it."""
    board = UploadBoard()
    with board.watch(ANYBODY, ID) as watch:
        with anyio.CancelScope() as scope, board.upload(ANYBODY, ID):
            scope.cancel()
            await anyio.sleep_forever()
        [news] = await everything(watch)
    assert news.failure is not None
    assert news.failure.message == "The upload was given up."


async def test_one_upload_at_a_time_has_an_id() -> None:
    """Two would be told as one; after its end the id may be used again."""
    board = UploadBoard()
    with board.upload(ANYBODY, ID), pytest.raises(Conflict, match=ID), board.upload(ANYBODY, ID):
        pass
    with board.upload(ANYBODY, ID), board.watch(ANYBODY, ID) as watch:
        news = await watch.next()
    assert news == UploadState(ID)


async def test_a_slow_watcher_gets_the_newest_state() -> None:
    """States in between are not kept for it."""
    board = UploadBoard()
    with board.watch(ANYBODY, ID) as watch:
        with board.upload(ANYBODY, ID) as progress:
            for n in range(1000):
                progress.advance(n, " a")
        assert len(await everything(watch)) == 1


async def test_only_so_many_are_remembered() -> None:
    """Those that ended first go first; what is under way or watched stays, and bounds the rest."""
    clock = Clock()
    board = UploadBoard(clock, limit=2)
    for name in ("one", "two"):
        clock.now += 1
        with board.upload(ANYBODY, name):
            pass
    with board.upload(ANYBODY, "three"), board.watch(ANYBODY, "two") as watch:
        assert [news.stage for news in await everything(watch)] == [Stage.COMPLETED]
        with pytest.raises(Overloaded), board.upload(ANYBODY, "four"):
            pass
    with (
        board.watch(ANYBODY, "two"),
        board.watch(ANYBODY, "four"),
        pytest.raises(Overloaded),
        board.watch(ANYBODY, "five"),
    ):
        pass


async def test_ids_of_two_keys_never_meet() -> None:
    """Each may use the same id at once, and sees its own; whoever may see all sees another's."""
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
