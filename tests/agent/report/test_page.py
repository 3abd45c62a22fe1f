"""The page of a run in a real browser: what it shows, what its switches and filters do, and what no prompt can do."""

import base64
import copy
import io
import json
import shutil
from pathlib import Path

import psutil
import pytest
from PIL import Image
from typer.testing import CliRunner

from agent.cli import app
from agent.kept import read_run
from agent.report.data import page_data
from agent.report.page import page
from eval.manifest import BATCH_FILE, MANIFEST, Round, read_manifest
from tests.agent.kept_runs import keep_batch, plans
from tests.eval.oracle import box, changed, moved, scene, without

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
EVIL = '</script><script>window.harmed = 1</script><img src="x" onerror="window.harmed = 1"><b>& "\u2028'
LEFT, RIGHT = (0.05, 0.4, 0.35, 0.7), (0.6, 0.4, 0.9, 0.7)
PLAN = scene(("a red ball", LEFT), ("a blue cube", RIGHT))


def fault(layout, seed):
    """One picture with a missing thing, one with a wrong colour, one with a thing elsewhere; the others as planned."""
    match seed:
        case 1:
            return without(layout, "i1")
        case 2:
            return changed(layout, "i1", caption="a green ball")
        case 3:
            return moved(layout, "i1", box(0.4, 0.0, 0.6, 0.2))
    return layout


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = keep_batch(
        tmp_path_factory.mktemp("pages") / "run",
        [PLAN, PLAN, PLAN, PLAN, *plans(2)],
        fault,
        prompts=[EVIL, *["a red ball and a blue cube"] * 3, "a third", "a fourth"],
        failed=["lost"],
    )
    _give_two_rounds(folder, "item-1", "item-0")
    return folder


def _give_two_rounds(folder, item, other):
    """The item's first round becomes another item's picture, its second its own."""
    lines = read_manifest(folder)
    first = next(line for line in lines if line.id == other).rounds[0]
    changed_lines = [
        line.model_copy(update={"rounds": (first, Round(**{**dict(line.rounds[0]), "number": 2}))})
        if line.id == item
        else line
        for line in lines
    ]
    (folder / MANIFEST).write_text("".join(line.to_line() for line in changed_lines), encoding="utf-8")


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: the page cannot be opened (Debian's package is called chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def visit(browser):
    """Opens a page from its file and collects what it asks for and complains of."""
    contexts = []

    def open_page(path: Path):
        context = browser.new_context(offline=True)
        contexts.append(context)
        tab = context.new_page()
        tab.asked, tab.complaints = [], []
        tab.on("request", lambda request: tab.asked.append(request.url))
        tab.on("pageerror", lambda error: tab.complaints.append(str(error)))
        tab.on("console", lambda message: tab.complaints.append(message.text) if message.type == "error" else None)
        tab.goto(path.as_uri())
        tab.wait_for_selector(".card")
        return tab

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def file(run):
    result = CliRunner().invoke(app, ["report", str(run), "--json"])
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["items"] == 7
    return Path(told["page"])


@pytest.fixture
def tab(visit, file):
    return visit(file)


def ids(tab):
    return tab.locator(".card .facts span:first-child").evaluate_all("all => all.map(one => one.textContent)")[::2]


def test_it_shows_every_item_worst_first_and_asks_for_nothing(tab, file):
    assert tab.locator(".card").count() == 7
    assert ids(tab)[0] == "lost" and set(ids(tab)[-3:]) == {"item-0", "item-4", "item-5"}
    assert "7 items, 3 accepted; detector tiny" in tab.locator("#summary").inner_text()
    assert tab.complaints == []
    assert {url.split(":")[0] for url in tab.asked} <= {"file", "data"}
    assert [url for url in tab.asked if url.startswith("file:")] == [file.as_uri()]
    broken = tab.locator(".card img").evaluate_all("all => all.filter(i => i.complete && !i.naturalWidth).length")
    assert broken == 0 and tab.locator(".card img").count() == 6
    assert "the server is down" in tab.locator(".card", has_text="lost").inner_text()


def test_boxes_can_be_switched_on_and_off(tab):
    def visible(kind):
        return tab.locator(f".card rect.{kind}").evaluate_all(
            "all => all.filter(one => getComputedStyle(one).display !== 'none').length"
        )

    planned, detected, unplanned = visible("planned"), visible("detected"), visible("unplanned")
    assert planned == 8 + sum(len(plan.instances) for plan in plans(2))
    assert (planned - detected, unplanned) == (2, 1)
    tab.uncheck("#show-planned")
    assert (visible("planned"), visible("detected")) == (0, detected)
    tab.uncheck("#show-detected")
    tab.uncheck("#show-unplanned")
    assert (visible("detected"), visible("unplanned")) == (0, 0)
    tab.check("#show-planned")
    assert (visible("planned"), visible("detected")) == (planned, 0)


def test_a_box_stands_where_it_was_planned(tab):
    card = tab.locator(".card", has_text="item-0")
    picture, drawn = card.locator("img").bounding_box(), card.locator("rect.planned").first.bounding_box()
    x0, y0, x1, y1 = LEFT
    assert (drawn["x"] - picture["x"]) / picture["width"] == pytest.approx(x0, abs=0.02)
    assert drawn["width"] / picture["width"] == pytest.approx(x1 - x0, abs=0.03)
    assert (drawn["y"] - picture["y"]) / picture["height"] == pytest.approx(y0, abs=0.02)
    assert drawn["height"] / picture["height"] == pytest.approx(y1 - y0, abs=0.03)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        ("accepted", {"item-0", "item-4", "item-5"}),
        ("missing", {"item-1", "item-3"}),
        ("wrong attribute", {"item-2"}),
        ("unplanned", {"item-3"}),
        ("failed", {"lost"}),
    ],
)
def test_filters_by_failure(tab, failure, expected):
    tab.select_option("#failure", failure)
    assert set(ids(tab)) == expected
    assert tab.locator("#count").inner_text() == f"{len(expected)} of 7 shown"


def test_filters_by_score_category_and_text(tab):
    tab.fill("#least", "0.9")
    assert "item-1" not in ids(tab) and "item-0" in ids(tab)
    tab.fill("#least", "0")
    tab.fill("#most", "0.6")
    assert set(ids(tab)) == {"item-1", "item-3", "lost"}
    tab.fill("#most", "1")
    tab.select_option("#category", "cube")
    assert {"item-0", "item-1", "item-2", "item-3"} <= set(ids(tab)) and "lost" not in ids(tab)
    tab.select_option("#category", "")
    tab.fill("#text", "A FOURTH")
    assert ids(tab) == ["item-5"]
    tab.fill("#text", "")
    tab.select_option("#order", "id")
    assert ids(tab) == [*(f"item-{n}" for n in range(6)), "lost"]


def test_charts_count_what_is_shown(tab):
    def counts(chart):
        return json.loads(tab.locator(chart).get_attribute("data-counts"))

    things = 8 + sum(len(plan.instances) for plan in plans(2))
    assert sum(counts("#histogram-items")) == 6 and counts("#histogram-items")[-1] >= 4
    assert sum(counts("#histogram-things")) == things and counts("#histogram-things")[0] == 2
    for chart in ("#scatter-area", "#scatter-overlap"):
        assert tab.locator(chart).get_attribute("data-points") == str(things)
    tab.select_option("#failure", "wrong attribute")
    assert sum(counts("#histogram-items")) == 1 and sum(counts("#histogram-things")) == 2
    painted = tab.locator("#scatter-area").evaluate(
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v, i) => i % 4 === 2 && v > 150)"
    )
    assert painted
    assert "mean IoU, missing as 0" in tab.locator("#scores").inner_text()


def test_an_item_shows_its_plan_its_verdicts_and_its_rounds_side_by_side(tab):
    tab.locator(".card", has_text="item-1").click()
    dialog = tab.locator("#detail")
    assert dialog.is_visible()
    assert "a blue cube" in dialog.locator("#detail-things").inner_text()
    assert json.loads(dialog.locator("#detail-plan").inner_text())["instances"][1]["id"] == "i2"
    rounds = dialog.locator(".round")
    assert rounds.count() == 2 and rounds.locator("img").count() == 2
    places = [rounds.nth(n).bounding_box() for n in (0, 1)]
    assert places[0]["y"] == places[1]["y"] and places[0]["x"] < places[1]["x"]
    assert "round 1: accepted" in rounds.nth(0).inner_text() and "missing" in rounds.nth(1).inner_text()
    dialog.locator("button").click()
    assert not dialog.is_visible()


def test_a_prompt_cannot_become_markup_or_script(tab, visit, tmp_path, run):
    assert tab.evaluate("window.harmed") is None
    assert tab.locator(".card", has_text="item-0").locator("p").inner_text().startswith("</script><script>")
    assert tab.locator("script:not([type])").count() == 1 and tab.locator("img[src=x], .card b b").count() == 0
    tab.locator(".card", has_text="item-0").click()
    assert tab.locator("#detail-prompt").text_content() == EVIL
    data = page_data(read_run(run), 64)
    data["title"] = EVIL
    for item in data["items"]:
        for key in ("id", "state", "message", "plan"):
            item[key] = EVIL
        item["failures"], item["reasons"] = [EVIL], [EVIL]
        for thing in item["things"]:
            thing.update(id=EVIL, category=EVIL, caption=EVIL, reason=EVIL)
    evil = tmp_path / "evil.html"
    # Without the policy that forbids foreign scripts: the escaping has to hold by itself.
    evil.write_text(page(data).replace("Content-Security-Policy", "x"), encoding="utf-8")
    harmless = visit(evil)
    harmless.locator(".card").first.click()
    assert harmless.evaluate("window.harmed") is None and harmless.locator("img[src=x]").count() == 0
    assert harmless.title().startswith("</script><script>")
    assert harmless.locator("#detail-plan").text_content() == EVIL


def test_it_says_how_many_items_of_a_batch_are_not_finished(visit, tmp_path):
    folder = keep_batch(tmp_path / "run", [PLAN])
    (folder / BATCH_FILE).write_text(json.dumps({"version": 1, "items": 3}))
    assert CliRunner().invoke(app, ["report", str(folder)]).exit_code == 0
    tab = visit(folder / "report.html")
    assert tab.locator("#summary").inner_text().startswith("1 items, 1 accepted, 2 more not finished yet;")


def processor_seconds(browser_process):
    every = [browser_process, *browser_process.children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in every if process.is_running())


def test_a_thousand_items_open_within_three_seconds(visit, tmp_path, run):
    """Of a machine that is busy otherwise, three seconds of a processor's time. A picture takes more bytes here than
    sixteen of the bundled model's would, drawn into one."""
    small = page_data(read_run(run), 256)
    buffer = io.BytesIO()
    Image.effect_noise((256, 256), 8).convert("RGB").save(buffer, "WEBP", quality=80)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    assert len(encoded) > 15_000
    large = {**small, "items": [], "points": [], "pictures": [f"data:image/webp;base64,{encoded}"] * 1000}
    for number in range(1000):
        large["items"].append({**copy.deepcopy(small["items"][number % 6]), "id": f"n{number}", "image": number})
        large["points"] += [{"item": number, "iou": 0.5, "area": 0.1, "overlap": 0.0}] * 4
    file = tmp_path / "large.html"
    file.write_text(page(large), encoding="utf-8")
    driver = next(child for child in psutil.Process().children() if "playwright" in " ".join(child.cmdline()))
    before = processor_seconds(driver)
    tab = visit(file)
    busy = processor_seconds(driver) - before
    opened = tab.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") / 1000
    assert min(opened, busy) < 3, (opened, busy)
    assert tab.locator("#count").inner_text() == "1000 of 1000 shown"
    for _ in range(200):
        if tab.locator(".card").count() == 1000:
            break
        tab.mouse.wheel(0, 20_000)
        tab.wait_for_timeout(50)
    assert tab.locator(".card").count() == 1000


def test_a_page_is_written_where_it_is_asked_for(run, tmp_path):
    result = CliRunner().invoke(app, ["report", str(run), "-o", str(tmp_path / "my page.html"), "--side", "64"])
    assert result.exit_code == 0 and (tmp_path / "my page.html").stat().st_size < 200_000
    assert CliRunner().invoke(app, ["report", str(tmp_path)]).exit_code == 2
