"""What the pipeline refuses: settings, arguments and plans that cannot be drawn as asked, each named in the error."""

from __future__ import annotations

import pytest
from diffusers import UNet2DConditionModel
from diffusers.callbacks import SDCFGCutoffCallback

from diffusion.layout import LayoutError
from diffusion.pipeline import InstanceDiffusionPipeline
from tests.diffusion.small import CELL, MAX_INSTANCES, SIDE, noise, plan, small_pipeline, thing
from tests.diffusion.test_pipeline import ONE, latents


@pytest.fixture(scope="module")
def pipeline() -> InstanceDiffusionPipeline:
    return small_pipeline()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"merge": "glue"}, "average, paste, depth"),
        ({"instance_mask": "shared"}, "'nearest'"),
        ({"instance_mask": "nearest", "mask_axes": "official"}, "'official'"),
        ({"mask_axes": "yx"}, "mask_axes = 'yx'; it can be xy, official"),
        ({"num_inference_steps": 0}, "at least 1 whole step"),
        ({"num_inference_steps": 4.0}, "num_inference_steps = 4.0"),
        ({"num_inference_steps": 400}, "with 400 steps DDIMScheduler would begin at timestep 799 of 1000"),
        ({"merge": "paste", "mis": 0}, "mis = 0 of 4 updates.*none to paste"),
        ({"merge": "depth", "mis": 0.2}, "mis = 0.2 of 4 updates.*none to paste"),
        ({"mis": "some"}, "mis = 'some' is not a number"),
        ({"seed": -1}, "seed = -1"),
        ({"seed": [0.5]}, r"seed = \[0.5\]"),
        ({"guidance_scale": float("nan")}, "guidance_scale = nan"),
        ({"num_images_per_prompt": 0}, "at least 1 picture"),
        ({"alpha": 1.5}, "alpha = 1.5 must lie between 0 and 1"),
    ],
)
def test_settings_that_cannot_be_drawn_with(pipeline, settings, message):
    with pytest.raises(ValueError, match=message):
        latents(pipeline, ONE, **settings)


@pytest.mark.parametrize(
    ("layouts", "settings", "message"),
    [
        ("a red ball", {}, "draws Layouts, not str"),
        ([ONE.to_dict()], {}, "draws Layouts, not dict"),
        (ONE, {"negative_prompt": ["birds"]}, "negative_prompt is one text for all"),
        (ONE, {"output_type": "jpeg"}, "output_type = 'jpeg'; it can be pil"),
        ([], {}, "no layout to draw"),
    ],
)
def test_arguments_of_other_kinds(pipeline, layouts, settings, message):
    with pytest.raises((TypeError, ValueError), match=message):
        pipeline(layouts, **settings)


def test_defaults_of_another_name():
    with pytest.raises(ValueError, match=r"\['colour'\]; there are num_inference_steps"):
        small_pipeline(colour="red")


def test_a_callback_can_ask_for_latents_only(pipeline):
    with pytest.raises(ValueError, match=r"prompt_embeds.*latents"):
        latents(pipeline, ONE, callback_on_step_end=SDCFGCutoffCallback(cutoff_step_ratio=0.5))
    with pytest.raises(ValueError, match=r"prompt_embeds.*latents"):
        latents(
            pipeline,
            ONE,
            callback_on_step_end=lambda *_: {},
            callback_on_step_end_tensor_inputs=["latents", "prompt_embeds"],
        )


def test_a_stock_unet_is_refused(pipeline):
    components = {**pipeline.components, "unet": UNet2DConditionModel(block_out_channels=(32,) * 4)}
    with pytest.raises(ValueError, match="UNet2DConditionModel, which cannot place instances"):
        InstanceDiffusionPipeline(**components)


def test_noise_of_another_shape_is_refused(pipeline):
    with pytest.raises(ValueError, match=r"\(2, 4, 8, 8\).*\(1, 4, 8, 8\)"):
        latents(pipeline, ONE, noise(2))


def test_more_instances_than_the_model_has_slots(pipeline):
    crowd = plan(*(thing(i) for i in range(MAX_INSTANCES + 1)))
    with pytest.raises(LayoutError, match=f"{MAX_INSTANCES + 1} instances.*at most {MAX_INSTANCES}"):
        latents(pipeline, crowd)


def test_a_canvas_that_is_no_multiple_of_a_cell(pipeline):
    with pytest.raises(LayoutError, match=rf"{SIDE + 2} x {SIDE + 2}.*multiples of {CELL}"):
        latents(pipeline, plan(thing(0), side=SIDE + 2))


def test_canvases_of_different_sizes_in_one_call(pipeline):
    with pytest.raises(LayoutError, match="one size"):
        latents(pipeline, [ONE, plan(thing(0), side=2 * SIDE)])
