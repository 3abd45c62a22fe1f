"""Whatever a layout file holds, reading it ends with a layout or a LayoutError, soon and within little memory."""

import copy
import json
import random
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco

from diffusion.formats import Reading, parse_each, parse_one
from diffusion.layout import Layout, LayoutError, Mask, RunLength, layout_from_dict, parse_layout
from diffusion.masks import array_to_rle, mask_to_array

DATA = Path(__file__).parents[1] / "data" / "layouts"

PLAN = {
    "version": 1,
    "caption": "two balls",
    "background": "grass",
    "negative_prompt": "fog",
    "width": 64,
    "height": 64,
    "instances": [
        {"id": "a", "category": "ball", "caption": "a red ball", "box": {"x0": 0.1, "y0": 0.2, "x1": 0.4, "y1": 0.5}},
        {
            "id": "b",
            "category": "ball",
            "caption": "a blue ball",
            "point": {"x": 0.5, "y": 0.5},
            "scribble": {"points": [{"x": 0, "y": 1}, {"x": 0.5, "y": 1}]},
            "mask": {"rle": {"size": [64, 64], "counts": [10, 20, 4066]}},
            "depth": 3,
        },
        {
            "id": "c",
            "category": "kite",
            "caption": "a kite",
            "mask": {"polygons": [[{"x": 0, "y": 0}, {"x": 0.5, "y": 0.1}, {"x": 0.2, "y": 0.9}]]},
        },
    ],
}
COCO = {
    "images": [{"id": 7, "file_name": "dog.jpg", "width": 200, "height": 100}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 1, "bbox": [10, 10, 50, 50], "segmentation": [[9, 9, 60, 10, 10, 60]]},
        {"id": 2, "image_id": 7, "category_id": 1, "bbox": [60, 10, 50, 60], "iscrowd": 1},
    ],
    "categories": [{"id": 1, "name": "dog"}],
}
LMD = (
    "Caption: a car and a truck\nObjects: [('a green car', [21, 281, 211, 159]), ('a truck', [269, 283, 209, 160])]\n"
    "Background prompt: a landscape\nNegative prompt: people\n"
)
OBJECTS = [
    PLAN,
    COCO,
    *(json.loads((DATA / f"demo_{name}.json").read_text()) for name in ("corgi_kitchen", "palm_point", "eagle_left")),
    json.loads((DATA / "gpt4o_layouts.jsonl").read_text().splitlines()[0]),
]
TEXTS = [LMD, f"{json.dumps(PLAN)}\n{json.dumps(OBJECTS[4])}\n", *map(json.dumps, OBJECTS)]
VALUES = [
    *(None, True, False, 0, -1, 1, 0.5, -0.0, 1e-320, 1e308, -1e308, 10**18, 10**400, 2**31, 2**63, 513, 8193),
    *(float("nan"), float("inf"), -float("inf"), "", " ", "\x00", "\ud800", "\udfff\ud800", "猫", "e\u0301", "\u202e"),
    *("x" * 5000, "\x1b[31m", "0", "NaN", [], {}, [[]], [None], [{}], {"x": 1}, [0, 0, 0, 0], [1, 2, 3, 4], [9] * 50),
    *(
        "\U0001f600",
        "a\nb",
        "'",
        '"',
        "-1",
        "oooooooooooooooo",
        "PPP8",
        [[1, 2]] * 30,
        {"size": [64, 64], "counts": "0"},
    ),
]
BYTES = [
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\n",
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b",",
    b"\\u",
    b"\\",
    b"(",
    b"'",
    b"-",
    b"9e9",
]
OPTIONS = [{}, {}, {"bbox": "xyxy"}, {"clip": True}, {"bbox": "cxcywh-norm", "clip": True}, {"resample": True}]


def places(value, path=()):
    """Every path in nested JSON but the root's."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield (*path, key)
        yield from places(part, (*path, key))


def mutate_object(rng: random.Random) -> bytes:
    """One of the objects with one to three of its members changed, dropped, copied or nested."""
    data = json.loads(json.dumps(rng.choice(OBJECTS)))
    for _ in range(rng.choice([1, 1, 2, 3])):
        *above, key = rng.choice(list(places(data)) or [()])
        target = data
        for step in above:
            target = target[step]
        match rng.randrange(6):
            case 0 | 1 | 2:
                target[key] = copy.deepcopy(rng.choice(VALUES))
            case 3:
                del target[key]
            case 4:
                copies = [target[key]] * rng.choice([2, 31, 300])
                target[key] = copies
            case 5 if isinstance(target, dict):
                target[rng.choice(["x", "", "bbox", "\ud800", "instances", "a" * 300, "\n"])] = copy.deepcopy(
                    rng.choice(VALUES)
                )
    text = json.dumps(data, ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.05:
        text = text.replace('"caption"', '"width"', 1)
    encoding = rng.choice(["utf-8"] * 12 + ["utf-8-sig", "utf-16", "utf-32-le", "latin-1", "cp1252"])
    return text.encode(encoding, errors="surrogatepass" if encoding.startswith("utf") else "replace")


def mutate_text(rng: random.Random) -> bytes:
    """One of the texts with bytes cut, flipped, repeated or put in."""
    data = bytearray(rng.choice(TEXTS).encode())
    for _ in range(rng.choice([1, 1, 2, 5])):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0:
                del data[at:]
            case 1:
                del data[at : at + rng.randrange(40)]
            case 2:
                data[at:at] = rng.choice(BYTES) * rng.choice([1, 1, 3, 20_000])
            case 3:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 4:
                data[at:at] = data[max(0, at - rng.randrange(200)) : at]
    return bytes(data)


def assert_clean(error: LayoutError, name: str):
    """Lines that a terminal can show, the file's name first, no wall of text."""
    assert all(line.isprintable() for line in str(error).split("\n")), repr(str(error))
    assert str(error).startswith(name)
    assert len(str(error)) < 3000


@pytest.mark.parametrize("mutate", [mutate_object, mutate_text])
def test_five_thousand_mutations_end_with_a_layout_or_a_layout_error(mutate):
    rng = random.Random(2024)
    read = refused = 0
    for _ in range(5000):
        data = mutate(rng)
        try:
            results = [*parse_each(data, "mutant", **rng.choice(OPTIONS))]
        except LayoutError as error:
            results = [error]
        try:
            results.append(Reading(parse_layout(data, "mutant"), (), ""))
        except LayoutError as error:
            results.append(error)
        for result in results:
            if isinstance(result, LayoutError):
                assert_clean(result, "mutant")
                refused += 1
            else:
                assert parse_layout(result.layout.to_json()) == result.layout
                assert all(note.isprintable() for note in result.notes), result.notes
                read += 1
    assert read > 200 and refused > 4000


def mutate_code(rng: random.Random, good: RunLength) -> str | tuple[int, ...]:
    """The counts with characters changed, or with pixels moved between runs, sometimes too many."""
    if rng.random() < 0.5:
        counts = list(good.counts)
        for _ in range(rng.choice([1, 1, 2, 4])):
            at = rng.randrange(len(counts))
            counts[at : at + rng.randrange(3)] = rng.choice([*map(chr, range(48, 112)), "~", "\x00", "é"])
        return "".join(counts)
    runs = good.runs()
    for _ in range(rng.choice([1, 3, 10])):
        source, target, moved = rng.randrange(len(runs)), rng.randrange(len(runs)), rng.randrange(4)
        runs[source] -= moved
        runs[target] += moved
    if min(runs) >= 0 and rng.random() < 0.5:
        return coco.frPyObjects({"size": [48, 64], "counts": runs}, 48, 64)["counts"].decode()
    return tuple(runs)


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
def test_mutated_run_length_codes_are_refused_or_decode_as_pycocotools_does():
    rng = random.Random(7)
    good = array_to_rle(np.add.outer(np.arange(48), np.arange(64)) % 11 < 4)
    decoded = {str: 0, tuple: 0}
    for _ in range(2000):
        counts = mutate_code(rng, good)
        try:
            mask = Mask(rle=RunLength(size=(48, 64), counts=counts))
        except ValueError:
            continue
        text = isinstance(counts, str)
        code = {"size": [48, 64], "counts": counts.encode() if text else list(counts)}
        expected = coco.decode(code if text else coco.frPyObjects(code, 48, 64))
        assert np.array_equal(mask_to_array(mask, 48, 64), expected)
        assert mask.extent().area > 0
        decoded[type(counts)] += 1
    assert decoded[str] > 100 and decoded[tuple] > 100


SIZE = 10_000_000
MANY = 2_000_000
"""Characters of what is parsed into many small parts: the time grows with the size, and 2 MB show how fast."""
INSTANCE = PLAN["instances"][0]


def plan_with(**members) -> str:
    return json.dumps({**PLAN, **members})


def plan_with_mask(**rle) -> str:
    return plan_with(instances=[{**INSTANCE, "mask": {"rle": {"size": [64, 64], **rle}}}])


LARGE = {
    "one long caption": lambda: plan_with(caption="x" * SIZE),
    "one long key": lambda: plan_with(**{"k" * SIZE: 1}),
    "many keys": lambda: plan_with(**{f"key{index}": index for index in range(MANY // 20)}),
    "many wrong points": lambda: plan_with(
        instances=[{**INSTANCE, "mask": {"polygons": [[{}] * 4000] * (MANY // 16000)}}]
    ),
    "many instances": lambda: plan_with(instances=[INSTANCE] * (MANY // 130)),
    "many points": lambda: plan_with(
        instances=[{**INSTANCE, "scribble": {"points": [{"x": 0, "y": 0}] * (MANY // 18)}}]
    ),
    "one long code": lambda: plan_with_mask(counts="0" * SIZE),
    "many codes": lambda: plan_with_mask(counts="0" * 1_000_000) + " " * SIZE,
    "a code of many runs": lambda: plan_with_mask(counts=[0] * (MANY // 3)),
    "a code of huge runs": lambda: plan_with_mask(counts=[10**18] * (MANY // 21)),
    "deep brackets": lambda: "[" * SIZE,
    "deep objects": lambda: '{"annos":' * (SIZE // 9),
    "a long number": lambda: '{"version": ' + "1" * SIZE + "}",
    "blanks": lambda: " " * SIZE,
    "lines": lambda: '{"annos": []}\n' * (MANY // 140),
    "official boxes": lambda: json.dumps(
        {
            "caption": "c",
            "width": 512,
            "height": 512,
            "annos": [{"bbox": [1, 2, 3, 4], "caption": "c"}] * (MANY // 40),
        }
    ),
    "official scribble": lambda: json.dumps(
        {"caption": "c", "width": 512, "height": 512, "annos": [{"scribble": [1] * (MANY // 3), "caption": "c"}]}
    ),
    "an LMD list": lambda: "[" + "('a', [1, 2, 3, 4])," * (MANY // 20) + "]\nBackground prompt: x",
    "LMD brackets": lambda: "[(" + "(" * SIZE + "\nBackground prompt: x",
    "LMD signs": lambda: "[('a', " + "-" * 99_000 + "1)]\nBackground prompt: x",
    "LMD labels": lambda: "Objects:\n" * (MANY // 9),
    "COCO annotations": lambda: json.dumps({**COCO, "annotations": COCO["annotations"][1:] * (MANY // 80)}),
}


@pytest.mark.parametrize("make", LARGE.values(), ids=LARGE.keys())
def test_megabytes_are_refused_in_seconds(make):
    text = make()
    for parse in (parse_layout, parse_one):
        started = time.process_time()
        with pytest.raises(LayoutError) as caught:
            parse(text, "large")
        assert time.process_time() - started < 6
        assert_clean(caught.value, "large")


def test_the_largest_mask_takes_no_more_memory_than_its_pixels():
    side = 8192
    data = {**PLAN, "width": side, "height": side}
    data["instances"] = [{**INSTANCE, "mask": {"rle": {"size": [side, side], "counts": [1, side * side - 1]}}}]
    tracemalloc.start()
    layout: Layout = layout_from_dict(data)
    array = mask_to_array(layout.instances[0].mask, side, side)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert array.sum() == side * side - 1
    assert peak < 2 * side * side
