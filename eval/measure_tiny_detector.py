"""How well the tiny world's detector sees: ``python -m eval.measure_tiny_detector``, on scenes it never saw.

AP by pycocotools (COCO's definition) on full boxes, things that are partly hidden included; colour and texture
accuracy over the things that a detection of the right kind matches with IoU >= 0.5.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from diffusion.tiny.vocabulary import KINDS
from diffusion.tiny.world import Scene, sample_scene
from eval.boxes import iou
from eval.places import BUNDLED
from eval.report import Detection
from eval.thresholds import TINY
from eval.tiny_detector import TinyDetector

AP_THRESHOLD = 0.02
"""Average precision ranks also the peaks that ``detect`` would not report."""
BATCH = 25


def measure(
    detector: TinyDetector, scenes: Sequence[Scene], seen: Callable[[list[Image.Image]], list[Image.Image]] = list
) -> dict[str, Any]:
    """AP50, AP75, AP50 per kind, precision and recall as reported, colour and texture accuracy with denominators.

    ``seen`` turns the scenes' pictures into those that the detector looks at, e.g. their VAE reconstructions.
    """
    ranked: list[list[Detection]] = []
    for start in range(0, len(scenes), BATCH):
        images = seen([scene.image for scene in scenes[start : start + BATCH]])
        ranked += detector.detect_batch(images, AP_THRESHOLD)
    reported = [[d for d in found if d.score >= TINY.report] for found in ranked]
    return {**_average_precision(scenes, ranked), **_as_reported(scenes, reported), "pictures": len(scenes)}


def _as_reported(scenes: Sequence[Scene], reported: Sequence[Sequence[Detection]]) -> dict[str, Any]:
    things = found = correct = colour = texture = 0
    overlaps: list[float] = []
    for scene, detections in zip(scenes, reported, strict=True):
        left = list(detections)
        found += len(left)
        for thing in scene.things:
            things += 1
            same = [d for d in left if d.label == thing.kind]
            best = max(same, key=lambda d: iou(d.box, thing.box), default=None)
            if best is None or iou(best.box, thing.box) < 0.5:
                continue
            left.remove(best)
            correct += 1
            overlaps.append(iou(best.box, thing.box))
            colour += best.colour == thing.colour
            texture += best.texture == thing.texture
    return {
        "things": things,
        "recall": correct / things,
        "precision": correct / max(found, 1),
        "mean_iou_of_matched": float(np.mean(overlaps)) if overlaps else 0.0,
        "colour_accuracy": colour / max(correct, 1),
        "texture_accuracy": texture / max(correct, 1),
    }


def _average_precision(scenes: Sequence[Scene], ranked: Sequence[Sequence[Detection]]) -> dict[str, Any]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    number = {kind: index + 1 for index, kind in enumerate(KINDS)}
    things = [(image, thing) for image, scene in enumerate(scenes) for thing in scene.things]
    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": image} for image in range(len(scenes))],
        "categories": [{"id": index, "name": kind} for kind, index in number.items()],
        "annotations": [
            {
                "id": index + 1,
                "image_id": image,
                "category_id": number[thing.kind],
                "bbox": [thing.box.x0, thing.box.y0, thing.box.width, thing.box.height],
                "area": thing.box.area,
                "iscrowd": 0,
            }
            for index, (image, thing) in enumerate(things)
        ],
    }
    results = [
        {
            "image_id": image,
            "category_id": number[d.label],
            "bbox": [d.box.x0, d.box.y0, d.box.width, d.box.height],
            "score": d.score,
        }
        for image, found in enumerate(ranked)
        for d in found
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        coco = COCOeval(truth, truth.loadRes(results), "bbox")
        coco.params.areaRng, coco.params.areaRngLbl = [[0, 2]], ["all"]
        coco.params.maxDets = [100]
        coco.evaluate()
        coco.accumulate()
    precision = coco.eval["precision"][:, :, :, 0, 0]
    per_kind = {kind: float(precision[0, :, index].mean()) for index, kind in enumerate(KINDS)}
    present = [per_kind[kind] for kind in KINDS if per_kind[kind] >= 0]
    at_75 = precision[5][:, [per_kind[kind] >= 0 for kind in KINDS]]
    return {"ap50": float(np.mean(present)), "ap75": float(at_75.mean()), "ap50_per_kind": per_kind}


def _reconstructions(directory: Path) -> Callable[[list[Image.Image]], list[Image.Image]]:
    import torch

    from eval.tiny_detector import to_pixels
    from eval.train_tiny_detector import reconstruction

    reconstruct = reconstruction(directory, torch.device("cpu"), latent_noise=0.0)

    def seen(images: list[Image.Image]) -> list[Image.Image]:
        pixels = reconstruct(torch.stack([to_pixels(image) for image in images]))
        levels = ((pixels + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        return [Image.fromarray(array) for array in levels]

    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the tiny world's detector on fresh scenes.")
    parser.add_argument("--weights", type=Path, default=BUNDLED["tiny"])
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--vae", type=Path, help="look at this AutoencoderDC's reconstructions instead")
    options = parser.parse_args()
    scenes = [sample_scene(options.first_seed + index, "any") for index in range(options.pictures)]
    seen = _reconstructions(options.vae) if options.vae is not None else list
    print(json.dumps(measure(TinyDetector.load(options.weights), scenes, seen), indent=2))


if __name__ == "__main__":
    main()
