"""COCO annotations."""

import json

import numpy as np
import pytest

from diffusion.formats import Reading, read_any, read_each
from diffusion.layout import LayoutError
from diffusion.masks import array_to_rle, mask_to_array

SQUARE = [10, 10, 60, 10, 60, 60, 10, 60]


def coco_file(**annotation):
    first = {
        "id": 1,
        "image_id": 7,
        "category_id": 18,
        "bbox": [10, 10, 50, 50],
        "segmentation": [SQUARE],
        "area": 2500,
    }
    return {
        "info": {},
        "images": [
            {"id": 7, "file_name": "dog.jpg", "width": 200, "height": 100},
            {"id": 8, "file_name": "empty.jpg", "width": 200, "height": 100},
            {"id": 9, "file_name": "two.jpg", "width": 100, "height": 100, "caption": "a dog chases a cat"},
        ],
        "annotations": [
            {**first, "iscrowd": 0, **annotation},
            {"id": 2, "image_id": 9, "category_id": 18, "bbox": [60.5, 10, 30, 80]},
            {"id": 3, "image_id": 9, "category_id": 17, "caption": "a fast cat", "bbox": [5, 10, 50, 30]},
        ],
        "categories": [{"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}],
    }


@pytest.mark.parametrize("entry", [7, "7", "dog.jpg"])
def test_a_coco_image_is_chosen_by_id_or_file_name(entry, read):
    reading = read(coco_file(), entry=entry)
    (dog,) = reading.layout
    assert dog.box.xyxy() == (0.05, 0.1, 0.3, 0.6)
    assert mask_to_array(dog.mask, 100, 200).sum() == 2500
    assert reading.layout.caption == "dog"
    assert reading.source == "in.json: image dog.jpg"


def test_a_coco_file_is_as_many_layouts_as_images(tmp_path):
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(coco_file(), indent=1))
    dog, empty, two = read_each(path)
    assert isinstance(dog, Reading) and "nothing to draw" in str(empty)
    assert two.layout.caption == "a dog chases a cat"
    assert [instance.caption for instance in two.layout] == ["dog", "a fast cat"]
    with pytest.raises(LayoutError, match="1 of 3 layouts are refused"):
        read_any(path)


def test_coco_run_length_codes_and_crowds(read):
    pixels = np.zeros((100, 200), dtype=bool)
    pixels[10:60, 10:60] = True
    rle = {"size": [100, 200], "counts": array_to_rle(pixels).runs()}
    reading = read(coco_file(segmentation=rle, iscrowd=1), entry=7)
    assert np.array_equal(mask_to_array(reading.layout.instances[0].mask, 100, 200), pixels)
    assert any("annotations[0].iscrowd" in note for note in reading.notes)


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"category_id": 99}, "annotations[0].category_id = 99: no category has this id"),
        ({"image_id": 99}, "annotations[0].image_id = 99: no image has this id"),
        ({"image_id": [1]}, "annotations[0].image_id = [1]: expected an id"),
        ({"bbox": [10, 10, 500, 50]}, "annotations[0].bbox = [10, 10, 500, 50]"),
        ({"segmentation": [[1, 2, 3]]}, "annotations[0].segmentation[0] = [1, 2, 3]: expected pairs"),
        (
            {"segmentation": [[1, 2, 3, 4]]},
            "annotations[0].segmentation.polygons[0]: Tuple should have at least 3 items",
        ),
        ({"segmentation": [[1, 2, 3, 4, 300, 6]]}, "point 2 = (300, 6) leaves the 200 x 100 canvas by 100 px"),
        ({"segmentation": 3}, "annotations[0].segmentation = 3: expected a list"),
    ],
)
def test_what_is_wrong_in_a_coco_annotation_is_named(annotation, message, refusal):
    assert message in refusal(coco_file(**annotation), entry=7)


def test_coco_images_with_the_same_id_are_refused(refusal):
    data = coco_file()
    data["images"][2]["id"] = 7
    assert "images[2].id = 7: an earlier image has the same id" in refusal(data, entry="dog.jpg")


def test_coco_corners_are_refused_with_the_reading_that_fits(refusal):
    assert "--bbox xyxy" in refusal(coco_file(bbox=[150, 10, 190, 60]), entry=7)
