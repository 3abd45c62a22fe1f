"""The overlay: every planned and detected box is on the picture, for any shape of picture."""

from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from diffusion.layout import Box, Instance, Layout, Point, Scribble
from eval.overlay import PALETTE, UNPLANNED, draw_overlay
from eval.report import Detection, FidelityReport, InstanceVerdict


def layout_of(*instances: Instance, width: int = 128, height: int = 128) -> Layout:
    return Layout(version=1, caption="a scene", width=width, height=height, instances=instances)


def ball(place: Box | None = None, **more) -> Instance:
    return Instance(id="ball-1", category="ball", caption="a red ball", box=place, **more)


def report_of(planned: Box, detected: Box | None, unplanned: tuple[Detection, ...] = ()) -> FidelityReport:
    verdict = InstanceVerdict(
        id="ball-1",
        category="ball",
        caption="a red ball",
        planned=planned,
        detected=detected,
        iou=0.5 if detected else 0.0,
        label="ball" if detected else None,
        score=0.9 if detected else None,
        accepted=bool(detected),
        reason="ok" if detected else "missing",
    )
    return FidelityReport(
        detector="tiny",
        instances=(verdict,),
        unplanned=unplanned,
        mean_iou=verdict.iou,
        mean_iou_ci95=None,
        scored=1,
        recall_50=1.0 if detected else 0.0,
        accepted=bool(detected),
        reasons=(),
    )


def count(image: Image.Image, colour: str) -> int:
    wanted = Image.new("RGB", (1, 1), colour).getpixel((0, 0))
    return sum(number for number, found in image.getcolors(1 << 24) if found == wanted)


PLANNED = Box(x0=0.25, y0=0.25, x1=0.75, y1=0.75)
ELSEWHERE = Box(x0=0.1, y0=0.6, x1=0.4, y1=0.9)


def test_a_small_picture_is_enlarged_and_its_planned_box_is_where_the_plan_says():
    overlay = draw_overlay(Image.new("RGB", (128, 128), "white"), layout_of(ball(PLANNED)))
    assert overlay.width == 512
    colour = Image.new("RGB", (1, 1), PALETTE[0]).getpixel((0, 0))
    assert overlay.getpixel((300, 128)) == colour == overlay.getpixel((383, 300))
    assert overlay.getpixel((300, 300)) == (255, 255, 255)


def test_detected_and_unplanned_boxes_are_drawn_too():
    blank, layout = Image.new("RGB", (128, 128), "white"), layout_of(ball(PLANNED))
    missing = draw_overlay(blank, layout, report_of(PLANNED, None))
    found = draw_overlay(blank, layout, report_of(PLANNED, ELSEWHERE))
    stray = Detection(box=ELSEWHERE, label="cat", score=0.8)
    with_stray = draw_overlay(blank, layout, report_of(PLANNED, None, (stray,)))
    assert count(found, PALETTE[0]) > count(missing, PALETTE[0])
    assert count(missing, UNPLANNED) == 0 < count(with_stray, UNPLANNED)


def test_points_and_scribbles_are_drawn_without_a_box():
    scribble = Scribble(points=(Point(x=0.2, y=0.2), Point(x=0.8, y=0.8)))
    overlay = draw_overlay(
        Image.new("RGB", (128, 128), "white"), layout_of(ball(point=Point(x=0.5, y=0.1), scribble=scribble))
    )
    colour = Image.new("RGB", (1, 1), PALETTE[0]).getpixel((0, 0))
    assert overlay.getpixel((256, 256)) == colour == overlay.getpixel((256, 51))


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(8, 300),
    height=st.integers(8, 300),
    corner=st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)),
    size=st.floats(1e-9, 1.0, exclude_min=True),
    mode=st.sampled_from(["RGB", "L", "RGBA"]),
)
def test_any_box_on_any_picture_can_be_drawn(width, height, corner, size, mode):
    x0, y0 = corner
    place = Box(x0=x0, y0=y0, x1=max(min(1.0, x0 + size), x0 + 1e-9), y1=max(min(1.0, y0 + size), y0 + 1e-9))
    layout = layout_of(ball(place), width=width, height=height)
    overlay = draw_overlay(Image.new(mode, (width, height)), layout, report_of(place, place))
    assert overlay.mode == "RGB"
    assert overlay.width >= width
    assert count(overlay, PALETTE[0]) > 0
