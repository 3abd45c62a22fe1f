"""Random plans of every location format through the whole engine: a picture, or an error that names the instance."""

from __future__ import annotations

import functools

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from diffusion.conditions import regions
from diffusion.layout import Box, Instance, Layout, LayoutError, Mask, Point, Scribble
from diffusion.masks import array_to_rle
from diffusion.sampler import SettingsError
from tests.diffusion.small import CELL, MAX_INSTANCES, small_pipeline
from tests.diffusion.test_layout import boxes, points

pipeline = functools.cache(lambda: small_pipeline(num_inference_steps=2))


@st.composite
def plans(draw):
    width, height = (CELL * draw(st.integers(2, 8)) for _ in range(2))
    instances = tuple(draw(things(f"i{n}", width, height)) for n in range(draw(st.integers(0, MAX_INSTANCES + 1))))
    return Layout(version=1, caption="a red ball on grass", width=width, height=height, instances=instances)


@st.composite
def things(draw, name, width, height):
    found = {
        "box": draw(boxes()),
        "point": draw(points),
        "scribble": Scribble(points=tuple(draw(st.lists(points, min_size=1, max_size=20)))),
        "mask": draw(masks(width, height)),
    }
    kept = draw(st.sets(st.sampled_from(list(found)), min_size=1))
    depth = draw(st.none() | st.integers(0, 2))
    return Instance(id=name, category="ball", caption="a red ball", depth=depth, **{k: found[k] for k in kept})


@st.composite
def masks(draw, width, height):
    if draw(st.booleans()):
        corner = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(lambda xy: Point(x=xy[0], y=xy[1]))
        ring = draw(st.lists(corner, min_size=3, max_size=5))
        assume(len({p.x for p in ring}) > 1 and len({p.y for p in ring}) > 1)
        return Mask(polygons=(tuple(ring),))
    pixels = np.zeros((height, width), bool)
    y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    pixels[y : y + draw(st.integers(1, height)), x : x + draw(st.integers(1, width))] = True
    return Mask(rle=array_to_rle(pixels))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    plans(),
    st.sampled_from(["average", "paste", "depth"]),
    st.sampled_from([True, False, "nearest"]),
    st.sampled_from([0.0, 0.5]),
)
def test_a_plan_is_drawn_or_refused_by_name(plan, merge, mask, mis):
    try:
        drawn = pipeline()(plan, merge=merge, instance_mask=mask, mis=mis, output_type="latent").images
    except SettingsError:
        assert merge != "average" and mis == 0
        return
    except LayoutError as error:
        assert "instances" in str(error) or any(instance.id in str(error) for instance in plan)
        return
    assert np.isfinite(drawn.numpy()).all()
    cells = regions(plan, plan.height // CELL, plan.width // CELL)
    assert cells.flatten(1).any(1).all()


def test_a_box_that_touches_no_cell_by_rounding_is_still_somewhere():
    sliver = Box(x0=0.24999, y0=0.24999, x1=0.25001, y1=0.25001)
    thing = Instance(id="i0", category="ball", caption="a red ball", box=sliver)
    plan = Layout(version=1, caption="x", width=32, height=32, instances=(thing,))
    assert regions(plan, 8, 8)[0].nonzero().tolist() == [[2, 2]]
