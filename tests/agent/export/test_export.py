"""Datasets read back by the libraries that own their formats: pycocotools, Hugging Face datasets, webdataset."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from agent.cli import app
from agent.kept import read_run
from diffusion.formats import read_any
from diffusion.masks import mask_to_array
from diffusion.tiny.world import sample_scene
from eval.manifest import MANIFEST
from tests.agent.kept_runs import keep_batch
from tests.eval.oracle import box, moved, scene, without

PLANS = [sample_scene(seed).layout(masks=True) for seed in (1, 2, 3)]
PROMPT = "a **bold** | prompt <script>alert(1)</script>\n\u2028ボール"
LEFT, RIGHT = (0.05, 0.4, 0.35, 0.7), (0.6, 0.4, 0.9, 0.7)


def spoilt(layout, seed):
    """The fourth picture lacks two of its three things; the third has one more than planned."""
    return without(without(layout, "i1"), "i2") if seed == 3 else layout


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    last = scene(("a red ball", LEFT), ("a blue cube", RIGHT), ("a tree", (0.4, 0.0, 0.58, 0.3)))
    folder = tmp_path_factory.mktemp("run")
    prompts = [PROMPT, *(plan.caption for plan in PLANS[1:]), last.caption]
    return keep_batch(folder, [*PLANS, last], spoilt, prompts=prompts, failed=["lost"])


def command(*arguments):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def exported(run, folder, form, *arguments):
    result = command(run, "--to", form, "-o", folder, "--json", *arguments)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def verdicts(run, index):
    return read_run(run).items[index].read_report().instances


def test_coco_is_read_by_pycocotools(run, tmp_path):
    from pycocotools.coco import COCO

    told = exported(run, tmp_path / "set", "coco")
    assert told["exported"] == 3 and told["of"] == 5
    assert told["left_out"] == {"without a picture (failed)": 1, "below a mean IoU of 0.5": 1}
    coco = COCO(str(tmp_path / "set/annotations/instances_train.json"))
    assert len(coco.getImgIds()) == 3 and len(coco.getAnnIds()) == told["labels"]
    for index, image in enumerate(coco.loadImgs(coco.getImgIds())):
        with Image.open(tmp_path / "set/images" / image["file_name"]) as picture:
            assert picture.size == (image["width"], image["height"])
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        for annotation, verdict in zip(annotations, verdicts(run, index), strict=True):
            left, top, width, height = annotation["bbox"]
            found = verdict.detected
            assert [left, top, left + width, top + height] == pytest.approx([128 * side for side in found.xyxy()])
            assert annotation["planned_bbox"][0] == pytest.approx(128 * verdict.planned.x0)
            assert annotation["instance"] == verdict.id and annotation["caption"] == verdict.caption
            assert coco.loadCats(annotation["category_id"])[0]["name"] == verdict.label
            mask = mask_to_array(PLANS[index].instance(verdict.id).mask, 128, 128)
            assert np.array_equal(coco.annToMask(annotation).astype(bool), mask)
    captions = COCO(str(tmp_path / "set/annotations/captions_train.json"))
    assert [captions.anns[n]["caption"] for n in (1, 2, 3)] == [plan.caption for plan in PLANS]
    assert coco.imgs[1]["prompt"] == PROMPT


def test_coco_comes_back_as_layouts(run, tmp_path):
    exported(run, tmp_path / "set", "coco", "--labels", "planned")
    readings = read_any(tmp_path / "set/annotations/instances_train.json")
    assert [len(reading.layout.instances) for reading in readings] == [len(plan.instances) for plan in PLANS]
    for reading, plan in zip(readings, PLANS, strict=True):
        for ours, theirs in zip(reading.layout, plan, strict=True):
            assert ours.box.xyxy() == pytest.approx(theirs.box.xyxy(), abs=1e-6)


def test_the_label_is_the_box_that_was_asked_for(run, tmp_path):
    spoilt_item = read_run(run).items[3]
    planned = exported(run, tmp_path / "planned", "coco", "--all", "--labels", "planned")
    matched = exported(run, tmp_path / "matched", "coco", "--all")
    assert planned["exported"] == matched["exported"] == 4
    assert planned["labels"] - matched["labels"] == sum(v.detected is None for v in spoilt_item.read_report().instances)


def test_things_that_nobody_planned_are_labels_when_all_detections_are_asked_for(tmp_path):
    plan = scene(("a red ball", LEFT), ("a blue cube", RIGHT))
    elsewhere = lambda layout, seed: moved(layout, "i2", box(0.4, 0.0, 0.6, 0.2))  # noqa: E731
    folder = keep_batch(tmp_path / "run", [plan], elsewhere)
    told = {
        labels: exported(folder, tmp_path / labels, "webdataset", "--all", "--labels", labels)["labels"]
        for labels in ("matched", "planned", "detected")
    }
    assert told == {"matched": 1, "planned": 2, "detected": 2}


def test_yolo_follows_the_folder_convention(run, tmp_path):
    told = exported(run, tmp_path / "set", "yolo", "--val", 0.5)
    data = yaml.safe_load((tmp_path / "set/data.yaml").read_text())
    assert data["nc"] == len(data["names"]) and list(data["names"]) == list(range(data["nc"]))
    lines = 0
    for split in {data["train"], data["val"]}:
        for image in (tmp_path / "set" / split).iterdir():
            # Ultralytics finds a picture's labels by exchanging the last "images" of its path.
            labels = Path(str(image.with_suffix(".txt")).replace("/images/", "/labels/"))
            rows = np.loadtxt(io.StringIO(labels.read_text()), ndmin=2)
            index = int(image.stem.removeprefix("item-"))
            for row, verdict in zip(rows, verdicts(run, index), strict=True):
                number, x, y, width, height = row
                assert data["names"][int(number)] == verdict.label
                corners = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
                assert corners == pytest.approx(verdict.detected.xyxy(), abs=2e-6)
            lines += len(rows)
    assert lines == told["labels"]


def test_a_picture_without_labels_has_an_empty_label_file(tmp_path):
    folder = keep_batch(tmp_path / "run", [scene(("a red ball", LEFT))], lambda layout, seed: scene())
    exported(folder, tmp_path / "set", "yolo", "--all")
    assert (tmp_path / "set/labels/train/item-0.txt").read_text() == ""
    assert yaml.safe_load((tmp_path / "set/data.yaml").read_text())["val"] == "images/train"


def test_imagefolder_is_read_by_datasets(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    told = exported(run, tmp_path / "set", "imagefolder")
    data = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"))
    rows = list(data["train"])
    assert len(rows) == 3 and rows[0]["image"].size == (128, 128)
    assert rows[0]["prompt"] == PROMPT and rows[0]["accepted"] is True
    objects = [row["objects"] for row in rows]
    assert sum(len(each["bbox"]) for each in objects) == told["labels"]
    first = verdicts(run, 0)[0]
    left, top, *_ = objects[0]["bbox"][0]
    assert [left / 128, top / 128] == pytest.approx([first.detected.x0, first.detected.y0])
    assert objects[0]["category"][0] == first.label and objects[0]["caption"][0] == first.caption


def test_imagefolder_keeps_what_is_missing_in_its_place(tmp_path, monkeypatch):
    """The one picture of the second split has no mask at all, and a thing that was not found before one that was."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    plans = [PLANS[0], scene(("a red ball", LEFT), ("a blue cube", RIGHT)), *PLANS[1:]]
    folder = keep_batch(tmp_path / "run", plans, lambda layout, seed: without(layout, "i1") if seed == 1 else layout)
    exported(folder, tmp_path / "set", "imagefolder", "--all", "--labels", "planned", "--val", 0.38)
    data = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"))
    (row,) = data["validation"]
    missing, found = row["objects"]["detected_bbox"]
    assert row["id"] == "item-1" and (missing, len(found)) == ([], 4)
    assert row["objects"]["iou"][0] == 0.0 < row["objects"]["iou"][1] and row["objects"]["segmentation"] == ["", ""]
    assert all(all(row["objects"]["segmentation"]) for row in data["train"])


def test_webdataset_is_read_by_webdataset(run, tmp_path):
    import webdataset

    told = exported(run, tmp_path / "set", "webdataset")
    shard = tmp_path / "set/train-000000.tar"
    samples = list(webdataset.WebDataset(str(shard), shardshuffle=False).decode("pil"))
    assert len(samples) == 3
    for index, sample in enumerate(samples):
        assert sample["png"].size == (128, 128) and sample["txt"] == PLANS[index].caption
        assert len(sample["json"]["objects"]) == len(PLANS[index].instances)
        things = zip(sample["json"]["objects"], verdicts(run, index), strict=True)
        assert all(thing["box"] == verdict.detected.model_dump() for thing, verdict in things)
    assert sum(len(sample["json"]["objects"]) for sample in samples) == told["labels"]
    exported(run, tmp_path / "again", "webdataset")
    assert (tmp_path / "again/train-000000.tar").read_bytes() == shard.read_bytes()


def test_the_card_has_the_settings_the_scores_and_their_distribution(run, tmp_path):
    exported(run, tmp_path / "set", "coco", "--all")
    text = (tmp_path / "set/README.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert "object-detection" in front["task_categories"]
    assert "4 of the 5 items" in text and "left out: 1 without a picture" in text
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| 0.") or line.startswith("| 1.")]
    assert sum(int(count) for _, count in rows) == 4
    assert "mean IoU, missing as 0" in text and "planned instances" in text
    assert "`[left, top, width, height]` in pixels" in text


def test_what_a_batch_has_not_finished_yet_is_said(tmp_path):
    folder = keep_batch(tmp_path / "run", PLANS)
    (folder / "batch.json").write_text(json.dumps({"items": 5}))
    told = exported(folder, tmp_path / "set", "webdataset")
    assert (told["exported"], told["of"], told["left_out"]) == (3, 5, {"not finished yet": 2})
    assert "3 of the 5 items" in (tmp_path / "set/README.md").read_text()


def test_the_same_item_stays_in_its_split(run, tmp_path):
    exported(run, tmp_path / "a", "imagefolder", "--val", 0.5)
    exported(run, tmp_path / "b", "imagefolder", "--val", 0.5, "--all")
    held = {path.name for path in (tmp_path / "a/validation").glob("*.png")}
    assert held <= {path.name for path in (tmp_path / "b/validation").glob("*.png")}


def test_a_dataset_is_replaced_only_on_demand_and_nothing_else_ever(run, tmp_path):
    exported(run, tmp_path / "set", "coco")
    assert "--overwrite" in command(run, "--to", "yolo", "-o", tmp_path / "set").stderr
    exported(run, tmp_path / "set", "yolo", "--overwrite")
    assert (tmp_path / "set/data.yaml").is_file() and not (tmp_path / "set/annotations").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("mine")
    refused = command(run, "--to", "coco", "-o", tmp_path / "mine", "--overwrite")
    assert refused.exit_code == 2 and (tmp_path / "mine/thesis.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_a_spoilt_run_leaves_no_half_dataset(run, tmp_path):
    own = Path(shutil.copytree(run, tmp_path / "own"))
    (own / "images/item-1.png").write_bytes((own / "images/item-0.png").read_bytes())
    refused = command(own, "--to", "coco", "-o", tmp_path / "set")
    assert refused.exit_code == 2 and "SHA-256" in refused.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"own"}


def test_a_name_that_leads_elsewhere_is_refused(run, tmp_path):
    own = Path(shutil.copytree(run, tmp_path / "own"))
    text = (own / MANIFEST).read_text().replace('"name":"item-1"', '"name":"../item-1"')
    (own / MANIFEST).write_text(text)
    refused = command(own, "--to", "coco", "-o", tmp_path / "set")
    assert refused.exit_code == 2 and "'../item-1': not a file name" in refused.stderr


def test_when_nothing_is_good_enough_it_says_why(tmp_path):
    folder = keep_batch(tmp_path / "run", [scene(("a red ball", LEFT))], lambda layout, seed: scene(), failed=["lost"])
    refused = command(folder, "--to", "coco", "-o", tmp_path / "set")
    assert refused.exit_code == 2
    assert "none of 2 items" in refused.stderr and "1 below a mean IoU of 0.5" in refused.stderr
    assert not (tmp_path / "set").exists()
