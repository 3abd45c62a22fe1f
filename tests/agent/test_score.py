"""``scenewright score`` on runs, on layouts with pictures, and on detections made elsewhere."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from agent.cli import app
from diffusion.tiny.world import sample_scene
from eval.manifest import BATCH_FILE, MANIFEST
from eval.referee import with_roles
from tests.agent.kept_runs import keep_batch, plans
from tests.eval.oracle import box, moved, scene, without

DATA = Path(__file__).parents[1] / "data"
COGVLM = DATA / "cogvlm_detections.jsonl"
LEFT, RIGHT = (0.05, 0.4, 0.35, 0.7), (0.6, 0.4, 0.9, 0.7)


def score(*arguments):
    return CliRunner().invoke(app, ["score", *map(str, arguments)], env={"COLUMNS": "200"})


def scored(*arguments):
    result = score(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def refused(*arguments):
    result = score(*arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.stderr
    return result.stderr


def lost_one(layout, seed):
    """Every third picture lacks the first thing of its plan."""
    return without(layout, layout.instances[0].id) if seed % 3 == 0 and len(layout.instances) > 1 else layout


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    return keep_batch(tmp_path_factory.mktemp("batch"), plans(9), lost_one)


@pytest.fixture
def own(batch, tmp_path):
    """A copy of the batch to spoil."""
    return Path(shutil.copytree(batch, tmp_path / "own"))


def test_a_run_is_scored_with_floor_and_ceiling_beside_it(batch):
    record = scored(batch)
    missing = sum(1 for number, plan in enumerate(plans(9)) if number % 3 == 0 and len(plan.instances) > 1)
    things = sum(len(plan.instances) for plan in plans(9))
    assert (record["pictures"], record["planned"], record["scored"]) == (9, things, things)
    for name in ("mean_iou", "recall_50", "ap", "ap_50", "ap_75", "ar_100"):
        value, floor, ceiling = (record[part][name]["value"] for part in ("scores", "floor", "ceiling"))
        assert floor < 0.3 < value <= 1 and ceiling > 0.8
        assert record["scores"][name]["of"] == things
    assert record["scores"]["mean_iou_matched"]["of"] == things - missing
    assert record["scores"]["accepted"]["value"] == pytest.approx(1 - missing / 9)
    low, high = record["scores"]["mean_iou"]["ci95"]
    assert low < record["scores"]["mean_iou"]["value"] < high
    assert set(record["by"]) == {"category", "size", "overlap", "number"}
    assert sum(group["mean_iou"]["of"] for group in record["by"]["size"].values()) == things


def test_the_worst_items_come_first_with_their_pictures(batch):
    items = scored(batch, "--no-ceiling")["items"]
    assert [item["accepted"] for item in items] == sorted(item["accepted"] for item in items)
    assert all(Path(item["image"]).is_file() for item in items)
    assert "missing" in items[0]["reasons"][0]
    table = score(batch, "--no-ceiling", "--worst", 2).stdout
    assert "worst 2 of 9" in table and "images/item-" in table
    assert "9 pictures" in table and "detector tiny" in table and "normalised xyxy" in table


def test_a_generated_folder_is_a_run_of_one(tmp_path):
    from agent.run import RunFolder
    from tests.agent.test_run import drawn

    with RunFolder.create(tmp_path / "one", {"prompt": "a ball", "seed": 1, "options": {}}, overwrite=False) as run:
        best = drawn(0.8)
        run.save_round(best)
        run.save_best(best)
        run.finish("done")
    record = scored(tmp_path / "one", "--no-ceiling")
    assert record["pictures"] == 1 and record["floor"] is None
    assert any("no floor" in note for note in record["notes"])


@pytest.mark.parametrize("name", ["images/item-2.png", "plans/item-2.json", "reports/item-2.json"])
def test_a_file_that_is_not_the_runs_own_is_refused(own, name):
    other = own / name.replace("2", "3")
    (own / name).write_bytes(other.read_bytes())
    message = refused(own)
    assert name in message and "SHA-256" in message
    (own / name).unlink()
    assert "missing" in refused(own)


def test_a_picture_of_another_size_is_refused_whatever_its_hash(own):
    image = own / "images/item-2.png"
    with Image.open(image) as picture:
        picture.resize((64, 64)).save(image)
    lines = [json.loads(line) for line in (own / MANIFEST).read_text().splitlines()]
    for line in lines:
        line["image_sha256"] = None
    (own / MANIFEST).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "64 x 64 pixels, but its plan is for 128 x 128" in refused(own)


def test_items_without_a_picture_are_refused_and_can_be_left_out(tmp_path):
    folder = keep_batch(tmp_path, plans(3), failed=["lost"])
    assert "1 of 4 items have no picture (1 failed), the first is 'lost'" in refused(folder)
    record = scored(folder, "--partial", "--no-ceiling")
    assert record["pictures"] == 3 and "1 of 4 items have no picture" in record["notes"][0]


def test_it_is_said_when_the_judge_was_the_referee(tmp_path):
    record = scored(keep_batch(tmp_path, plans(2), signed=with_roles), "--no-ceiling")
    assert len([note for note in record["notes"] if "both checked and scored" in note]) == 1


def test_a_batch_that_was_interrupted_is_not_taken_for_a_whole_one(tmp_path):
    folder = keep_batch(tmp_path, plans(3))
    (folder / BATCH_FILE).write_text(json.dumps({"version": 1, "items": 5}))
    assert "2 of 5 items have no picture (2 unfinished)" in refused(folder)
    assert scored(folder, "--partial", "--no-ceiling")["pictures"] == 3


def test_a_manifest_that_leads_out_of_its_folder_is_refused(own):
    text = (own / MANIFEST).read_text().replace("images/item-1.png", "../item-1.png", 1)
    (own / MANIFEST).write_text(text)
    assert "outside of its folder" in refused(own)


@pytest.fixture
def pictured(tmp_path):
    """A folder of layouts and one of their pictures."""
    for seed in (1, 2, 3):
        drawn = sample_scene(seed)
        for folder in ("plans", "pictures"):
            (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / "plans" / f"s{seed}.json").write_text(drawn.layout().to_json())
        drawn.image.save(tmp_path / "pictures" / f"s{seed}.png")
    return tmp_path / "plans", tmp_path / "pictures"


def test_layouts_and_pictures_are_looked_at_by_the_detector(pictured):
    layouts, pictures = pictured
    record = scored(layouts, "--images", pictures, "--real", layouts, "--real-images", pictures)
    assert record["detector"] == "tiny" and record["pictures"] == 3
    assert record["scores"]["mean_iou"]["value"] > 0.7
    assert record["ceiling"]["mean_iou"]["value"] == pytest.approx(record["scores"]["mean_iou"]["value"])


def test_pictures_and_layouts_must_be_each_others(pictured):
    layouts, pictures = pictured
    shutil.copy(pictures / "s1.png", pictures / "stranger.png")
    assert "4 pictures for 3 layouts; 1 pictures have no layout, the first is 'stranger.png'" in refused(
        layouts, "--images", pictures
    )
    (pictures / "stranger.png").unlink()
    (pictures / "s2.png").rename(pictures / "s4.png")
    assert "1 layouts have no picture, the first is 's2'" in refused(layouts, "--images", pictures)
    Image.new("RGB", (100, 128)).save(pictures / "s2.png")
    (pictures / "s4.png").unlink()
    assert "100 x 128 pixels, but its plan is for 128 x 128" in refused(layouts, "--images", pictures)


def test_lines_of_layouts_are_paired_by_number_and_coco_by_file_name(pictured, tmp_path):
    folder, pictures = pictured
    lines, numbered = tmp_path / "plans.jsonl", tmp_path / "numbered"
    numbered.mkdir()
    files = sorted(folder.glob("*.json"))
    lines.write_text("".join(json.dumps(json.loads(file.read_text())) + "\n" for file in files))
    for number, file in enumerate(files, start=1):
        shutil.copy(pictures / f"{file.stem}.png", numbered / f"{number:03d}.png")
    run = keep_batch(tmp_path / "run", plans(3, 1))
    command = ["export", run, "--to", "coco", "--labels", "planned", "-o", tmp_path / "coco"]
    exported = CliRunner().invoke(app, [*map(str, command)])
    assert exported.exit_code == 0, exported.stderr
    truth = tmp_path / "coco/annotations/instances_train.json"
    by_stem, by_line, by_file_name = (
        scored(layouts, "--images", images, "--no-ceiling")["scores"]["mean_iou"]
        for layouts, images in ((folder, pictures), (lines, numbered), (truth, tmp_path / "coco/images"))
    )
    assert by_stem == by_line and by_file_name["of"] == by_stem["of"] and by_file_name["value"] > 0.7


COCO = {
    "images": [
        {"id": 7, "file_name": "a.png", "width": 200, "height": 100},
        {"id": 9, "file_name": "b.png", "width": 100, "height": 100},
    ],
    "categories": [{"id": 1, "name": "cat"}, {"id": 3, "name": "traffic light"}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 1, "bbox": [20, 10, 40, 40]},
        {"id": 2, "image_id": 7, "category_id": 3, "bbox": [100, 20, 20, 60]},
        {"id": 3, "image_id": 9, "category_id": 1, "bbox": [10, 10, 50, 50]},
    ],
}


@pytest.fixture
def coco(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_text(json.dumps(content) if not isinstance(content, str) else content)
        return path

    return write("truth.json", COCO), write


def test_coco_results_are_read_as_corner_and_size_in_pixels(coco):
    truth, write = coco
    results = [
        {"image_id": 7, "category_id": 1, "bbox": [20, 10, 40, 20], "score": 0.9},
        {"image_id": 7, "category_id": 3, "bbox": [100, 20, 20, 60], "score": 0.8},
    ]
    record = scored(truth, "--detections", write("results.json", results))
    assert record["scores"]["mean_iou"]["value"] == pytest.approx(1.5 / 3)
    assert record["scores"]["mean_iou_matched"]["value"] == pytest.approx(1.5 / 2)
    assert record["scores"]["count"]["value"] == pytest.approx(2 / 3)
    assert record["scores"]["ap_50"]["value"] is not None
    assert "xywh" in record["readings"]["detections"]


def test_faint_detections_count_from_the_score_that_is_asked_for(coco):
    truth, write = coco
    results = [
        {"image_id": 7, "category_id": 1, "bbox": [20, 10, 40, 40], "score": 0.01},
        {"image_id": 9, "category_id": 1, "bbox": [10, 10, 50, 50], "score": 0.9},
    ]
    file = write("results.json", results)
    every, sure = scored(truth, "--detections", file), scored(truth, "--detections", file, "--min-score", 0.5)
    assert every["scores"]["recall_50"]["value"] == pytest.approx(2 / 3)
    assert any("--min-score" in note for note in every["notes"])
    assert sure["scores"]["recall_50"]["value"] == pytest.approx(1 / 3)
    assert sure["scores"]["ar_100"] == every["scores"]["ar_100"]


def test_the_floor_ranks_faint_detections_as_the_score_does(coco):
    truth, write = coco
    # Where the other picture's cat is planned: seen faintly in the first one.
    faint = [{"image_id": 7, "category_id": 1, "bbox": [20, 10, 100, 50], "score": 0.01}]
    record = scored(truth, "--detections", write("results.json", faint), "--min-score", 0.5)
    assert record["floor"]["mean_iou"]["value"] == 0.0
    assert record["floor"]["ap_50"]["value"] == pytest.approx(1 / 4, abs=0.01)


def test_results_of_pictures_or_categories_that_are_not_planned_are_refused(coco):
    truth, write = coco
    stranger = {"image_id": 8, "category_id": 1, "bbox": [0, 0, 10, 10], "score": 0.5}
    assert "[0].image_id = 8: no picture with this name is planned" in refused(
        truth, "--detections", write("r.json", [stranger])
    )
    unknown = {"image_id": 7, "category_id": 2, "bbox": [0, 0, 10, 10], "score": 0.5}
    assert "[0].category_id = 2: no category has this id" in refused(truth, "--detections", write("r.json", [unknown]))
    outside = {"image_id": 9, "category_id": 1, "bbox": [60, 60, 90, 90], "score": 0.5}
    message = refused(truth, "--detections", write("r.json", [outside]))
    assert "[0].bbox" in message and "read as xywh" in message and "--detections-bbox" in message
    assert scored(truth, "--detections", write("r.json", [outside]), "--detections-bbox", "xyxy")


def test_our_lines_name_their_coordinates(coco):
    truth, write = coco
    cat = {"box": {"x0": 0.1, "y0": 0.1, "x1": 0.3, "y1": 0.5}, "label": "cats", "score": 0.7}
    lines = [{"id": "a.png", "detector": "owl", "detections": [cat]}, {"id": 9, "detections": []}]
    file = write("lines.jsonl", "\n".join(json.dumps(line) for line in lines))
    record = scored(truth, "--detections", file)
    assert record["detector"] == "owl" and record["scores"]["mean_iou"]["value"] == pytest.approx(1 / 3)
    assert "named coordinates" in record["readings"]["detections"]
    one = write("one.jsonl", json.dumps(lines[0]))
    assert "1 of 2 pictures have no line, the first is 'b.png'" in refused(truth, "--detections", one)
    bare = {"id": "a.png", "detections": [{"bbox": [20, 10, 60, 50], "label": "cat"}]}
    both = write("bare.jsonl", json.dumps(bare) + "\n" + json.dumps(lines[1]))
    assert "four numbers without a meaning" in refused(truth, "--detections", both)
    record = scored(truth, "--detections", both, "--detections-bbox", "xyxy")
    assert record["scores"]["mean_iou_matched"]["value"] == pytest.approx(1.0)
    assert "ap" not in record["scores"] and any("no average precision" in note for note in record["notes"])


def test_attributes_count_where_the_file_names_them(coco):
    _, write = coco
    plan = scene(("a red ball", LEFT), ("a striped blue cube", RIGHT))
    layouts = write("layout.json", plan.to_json())
    ball = {"box": plan.instances[0].box.model_dump(), "label": "ball", "score": 0.7}
    plain = write("plain.jsonl", json.dumps({"id": "layout", "detections": [ball]}) + "\n")
    coloured = write("coloured.jsonl", json.dumps({"id": "layout", "detections": [{**ball, "colour": "red"}]}) + "\n")
    assert scored(layouts, "--detections", plain)["scores"]["attributes"]["of"] == 0
    told = scored(layouts, "--detections", coloured)["scores"]
    assert (told["attributes"]["value"], told["attributes"]["of"]) == (pytest.approx(0.5), 2)


def test_the_published_number_and_what_it_left_out():
    result = score(COGVLM, "--readings", "--canvas", "512x512", "--json")
    rows = {(row["counting"], row["planned_as"], row["detected_as"]): row for row in json.loads(result.stdout)}
    published = rows["best pair a label", "xywh", "xywh"]
    assert round(published["mean_matched"], 4) == 0.4166
    assert published["planned"] - published["matched"] == 108 and published["planned"] == 140
    assert published["mean"] == pytest.approx(published["mean_matched"] * 32 / 140)
    assert published["off_canvas"] > 100
    as_written = rows["one to one", "xyxy", "xyxy"]
    assert as_written["off_canvas"] == 0
    record = scored(COGVLM, "--bbox", "xyxy", "--canvas", "512x512")
    assert record["scores"]["mean_iou"]["value"] == pytest.approx(as_written["mean"])
    assert record["scores"]["mean_iou"]["of"] == 140


def test_pairs_are_not_read_before_their_convention_is_said():
    assert "--bbox xyxy --canvas 512x512" in refused(COGVLM)
    assert "--bbox" in refused(COGVLM, "--bbox", "xywh", "--canvas", "512x512")


def shifted(layout, seed):
    place = layout.instances[0].box
    width, height = min(place.width, 0.5), min(place.height, 0.5)
    x0, y0 = (0.0 if place.x0 > 0.25 else 0.5), (0.0 if place.y0 > 0.25 else 0.5)
    return moved(layout, layout.instances[0].id, box(x0, y0, x0 + width, y0 + height))


def test_two_runs_of_the_same_items_are_compared_by_a_paired_test(batch, tmp_path):
    worse = keep_batch(tmp_path / "worse", plans(9), shifted)
    kept = tmp_path / "a.json"
    assert score(batch, "--no-ceiling", "-o", kept).exit_code == 0
    result = json.loads(score(kept, "--against", worse, "--no-ceiling", "--json").stdout)
    mean = result["scores"]["mean_iou"]
    a, b = (scored(folder, "--no-ceiling")["scores"]["mean_iou"]["value"] for folder in (batch, worse))
    assert (mean["a"], mean["b"], mean["difference"]) == (pytest.approx(a), pytest.approx(b), pytest.approx(a - b))
    assert mean["pictures"] == 9 and 0 < mean["p_value"] <= 1
    assert mean["ci95"][0] < mean["difference"] < mean["ci95"][1]
    text = score(kept, "--against", worse, "--no-ceiling").stdout
    assert "A - B" in text and "9 pictures" in text


def test_scores_of_different_detectors_or_items_are_not_compared(batch, tmp_path, coco):
    truth, write = coco
    elsewhere, kept = tmp_path / "b.json", tmp_path / "a.json"
    score(batch, "--no-ceiling", "-o", kept)
    score(truth, "--detections", write("r.json", []), "-o", elsewhere)
    assert "the difference would be one of detectors" in refused(kept, "--against", elsewhere)
    record = json.loads(kept.read_text())
    for item in record["items"]:
        item["id"] = "other-" + item["id"]
    elsewhere.write_text(json.dumps(record))
    assert "no item in common" in refused(kept, "--against", elsewhere)


def test_what_is_no_run_and_no_score_file_is_said(tmp_path):
    assert "no such file or folder" in refused(tmp_path / "nowhere")
    assert "--images DIR or --detections FILE" in refused(tmp_path)
    plan = tmp_path / "plan.json"
    plan.write_text(scene(("a ball", LEFT)).to_json())
    assert "--images DIR or --detections FILE" in refused(plan)
    broken = tmp_path / "score.json"
    broken.write_text('{"record": "scenewright score"}')
    assert "score.json" in refused(broken)
