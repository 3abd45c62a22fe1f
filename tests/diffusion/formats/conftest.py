"""How the tests of the formats read a layout, and what they make it of."""

import json

import numpy as np
import pytest

from diffusion.formats import Reading, parse_one
from diffusion.layout import Layout, LayoutError
from diffusion.masks import mask_to_array


@pytest.fixture(scope="session")
def read():
    """Reads one layout from a text, or from JSON data."""

    def read(data, **options) -> Reading:
        return parse_one(data if isinstance(data, str) else json.dumps(data), "in.json", **options)

    return read


@pytest.fixture(scope="session")
def refusal(read):
    """The message by which a layout is refused."""

    def refusal(data, **options) -> str:
        with pytest.raises(LayoutError) as caught:
            read(data, **options)
        assert str(caught.value).startswith("in.json: ")
        return str(caught.value)

    return refusal


@pytest.fixture(scope="session")
def official():
    """InstanceDiffusion's JSON with one annotation for each bbox."""

    def official(*boxes, width=512, height=512):
        annos = [{"bbox": list(box), "mask": [], "category_name": "cat", "caption": "a cat"} for box in boxes]
        return {"caption": "cats", "width": width, "height": height, "annos": annos}

    return official


@pytest.fixture(scope="session")
def anno(official):
    """InstanceDiffusion's JSON with one annotation, and those members in it."""

    def anno(**members):
        data = official((10, 20, 300, 400))
        data["annos"][0].update(members)
        return data

    return anno


@pytest.fixture(scope="session")
def assert_close():
    """Equal but for the noise of floating point and the spelling of run-length codes."""

    def flatten(value, path=""):
        if isinstance(value, dict):
            parts = [(key, part) for key, part in value.items() if key != "counts"]
            return {leaf: end for key, part in parts for leaf, end in flatten(part, f"{path}.{key}").items()}
        if isinstance(value, list):
            return {leaf: end for i, part in enumerate(value) for leaf, end in flatten(part, f"{path}[{i}]").items()}
        return {path: pytest.approx(value, abs=1e-9) if isinstance(value, float) else value}

    def assert_close(one: Layout, other: Layout):
        assert flatten(one.to_dict()) == flatten(other.to_dict())
        for a, b in zip(one, other, strict=True):
            if a.mask is not None:
                assert np.array_equal(*(mask_to_array(i.mask, one.height, one.width) for i in (a, b)))

    return assert_close
