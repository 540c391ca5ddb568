"""Everybody can use the page: axe finds nothing serious, and nothing needs a mouse or width."""

from pathlib import Path

import pytest
from paths import CLIPS
from playwright.sync_api import Page, expect

from .conftest import Open, Site

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
CLIP = CLIPS / "en-0.flac"

FINDINGS = """
async () => {
    const { violations } = await axe.run(document, {
        preload: false, // it would put a style into the page, which the policy forbids
        runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    });
    return violations.flatMap(({ id, impact, nodes }) =>
        nodes.map(({ target, failureSummary }) => `${impact} ${id} ${target}: ${failureSummary}`));
}
"""


def findings(page: Page) -> list[str]:
    """What axe holds against the page as it is; evaluated, for the policy lets no script in."""
    page.evaluate(AXE.read_text())
    found: list[str] = page.evaluate(FINDINGS)
    return found


def show_everything(page: Page) -> None:
    """A transcript, with a line under edit."""
    page.get_by_label("Choose files").set_input_files(CLIP)
    expect(page.locator("#segments")).to_contain_text("Oscar buys the picture.")
    page.locator("#segments .word").first.click()
    page.locator("#segments .time").first.focus()
    page.keyboard.press("F2")
    expect(page.locator("#segments textarea")).to_be_focused()


def clean_up(page: Page) -> None:
    """Delete what `show_everything` has made."""
    page.get_by_role("tab", name="Files").click()
    page.locator(".job.chosen").get_by_role("button", name="Delete").click()


@pytest.mark.skipif(not AXE.is_file(), reason="`make install-test` could not install tests/web")
@pytest.mark.parametrize(
    ("scheme", "width", "height"), [("light", 1280, 860), ("dark", 360, 740)], ids=["light", "dark"]
)
def test_axe_finds_nothing(open_site: Open, scheme: str, width: int, height: int) -> None:
    """In no room, empty or full, in neither scheme of colours: not even small things."""
    page = open_site(
        color_scheme=scheme, viewport={"width": width, "height": height}, reduced_motion="reduce"
    ).go()
    assert findings(page) == []
    show_everything(page)
    assert findings(page) == []
    page.get_by_role("tab", name="Live").click()
    assert findings(page) == []
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#open-line")).to_be_visible()
    assert findings(page) == []
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("tab", name="Server").click()
    expect(page.locator("#facts")).to_contain_text("demo")
    assert findings(page) == []
    clean_up(page)


def test_nothing_scrolls_sideways(site: Site) -> None:
    """In no room, not on the narrowest phone."""
    page = site.go()
    for width in (320, 360, 700, 768, 960, 1280):
        page.set_viewport_size({"width": width, "height": 700})
        for room in ("Files", "Live", "Server"):
            page.get_by_role("tab", name=room).click()
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (room, width)


def test_the_tabs_are_worked_by_arrows(site: Site) -> None:
    """As everywhere; the address follows, so that a reload comes back."""
    page = site.go()
    page.get_by_role("tab", name="Files").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Live")).to_be_focused()
    expect(page.get_by_role("tabpanel", name="Live")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("tab", name="Server")).to_be_focused()
    page.reload()
    expect(page.get_by_role("tabpanel", name="Server")).to_be_visible()


def test_a_keyboard_reaches_all_of_it_and_sees_where_it_is(site: Site) -> None:
    """Tab goes through every control in the order in which they stand, each with a visible ring."""
    page = site.go()
    seen: list[str] = []
    for _ in range(13):
        page.keyboard.press("Tab")
        name, has_ring = page.evaluate(
            """() => {
                const focused = document.activeElement;
                const isPicker = focused.id === "picker"; // its label stands for it
                const seen = isPicker ? document.querySelector(".drop label") : focused;
                const name = focused.id || focused.outerHTML.slice(0, 60);
                return [name, getComputedStyle(seen).outlineStyle !== "none"];
            }"""
        )
        if name.startswith("<body"):
            continue  # the page itself, before its first control
        assert has_ring, name
        seen.append(name)
    wanted = ["tab-files", "picker", "url", "language", "task", "model-choice", "words"]
    wanted += ["multilingual", "audio-track", "sample"]
    assert [name for name in seen if name in wanted] == wanted


def test_live_text_is_announced_politely(site: Site) -> None:
    """Final lines only, each once: open text changes too often to be listened to."""
    page = site.go("live")
    assert page.get_by_role("log", name="Final text").get_attribute("aria-live") == "polite"
    assert page.locator("#open-line").evaluate("e => !e.closest('[aria-live], [role=log]')")


def test_nothing_moves_for_those_who_asked(open_site: Open) -> None:
    """`prefers-reduced-motion` ends every animation."""
    page = open_site(reduced_motion="reduce").go("live")
    page.locator("#live-state").evaluate("e => e.dataset.state = 'listening'")
    assert page.locator(".dot").evaluate("e => getComputedStyle(e).animationName") == "none"
