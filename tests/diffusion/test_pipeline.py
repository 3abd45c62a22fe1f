"""The pipeline as a diffusers user meets it: batches, seeds, settings, callbacks, saving and loading, refusals."""

from __future__ import annotations

import weakref

import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler, PNDMScheduler

from diffusion import gated_attention
from diffusion.checkpoints import load_pipeline
from diffusion.layout import Layout, LayoutError, Mask, Point, RunLength, Scribble
from diffusion.pipeline import InstanceDiffusionPipeline
from diffusion.tiny.world import sample_scene
from tests.diffusion.small import MAX_INSTANCES, SIDE, box, noise, plan, small_pipeline, thing

ONE, TWO = plan(thing(0), negative_prompt="birds"), plan(thing(1), thing(2), caption="snow")


@pytest.fixture(scope="module")
def pipeline() -> InstanceDiffusionPipeline:
    return small_pipeline()


def latents(pipeline, layouts, start=None, **settings) -> torch.Tensor:
    start = noise() if start is None and "generator" not in settings else start
    return pipeline(layouts, latents=start, output_type="latent", **settings).images


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a, b, atol=2e-5, rtol=1e-4)


def test_different_layouts_in_one_call_equal_single_runs(pipeline):
    start = noise(3)
    plans = [ONE, TWO, plan()]
    together = latents(pipeline, plans, start)
    for row, layout, own in zip(together, plans, start, strict=True):
        assert close(row[None], latents(pipeline, layout, own[None]))


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_rows_at_once_bounds_memory_and_changes_nothing_else(pipeline, rows: int):
    start = noise(2)
    assert close(latents(pipeline, [ONE, TWO], start, rows_at_once=rows), latents(pipeline, [ONE, TWO], start))


def test_instance_masks_of_other_passes_take_no_memory_where_they_are_large(pipeline, monkeypatch):
    """Those of the pass that runs are there, and of those before it nothing."""
    monkeypatch.setattr(gated_attention, "KEPT_MASKS", 0)
    alive, read, seen = weakref.WeakSet(), pipeline.unet.read_instances, []

    def reading(instances):
        read(instances)
        alive.update(instances.for_fusers(pipeline.unet, pipeline.unet.fusers).masks.values())
        seen.append(len(alive))

    monkeypatch.setattr(pipeline.unet, "read_instances", reading)
    start, settings = noise(2), {"instance_mask": True, "rows_at_once": 2}
    kept = latents(pipeline, [ONE, TWO], start, **settings)
    assert len(seen) > 8 and max(seen) == 1
    monkeypatch.undo()
    assert torch.equal(latents(pipeline, [ONE, TWO], start, **settings), kept)


def test_a_stochastic_scheduler_with_a_generator_each_equals_single_runs():
    pipeline = small_pipeline(EulerAncestralDiscreteScheduler(beta_schedule="scaled_linear"))
    start = noise(2)

    def generators():
        return [torch.Generator().manual_seed(seed) for seed in (3, 4)]

    together = latents(pipeline, [ONE, TWO], start, generator=generators())
    for i, (layout, generator) in enumerate(zip([ONE, TWO], generators(), strict=True)):
        assert close(together[i : i + 1], latents(pipeline, layout, start[i : i + 1], generator=generator))


def test_the_generator_decides_the_noise(pipeline):
    def run(seed: int) -> torch.Tensor:
        return latents(pipeline, ONE, generator=torch.Generator().manual_seed(seed))

    assert torch.equal(run(1), run(1))
    assert not close(run(1), run(2))


def test_several_pictures_of_a_layout(pipeline):
    start = noise(2)
    first, second = latents(pipeline, ONE, start, num_images_per_prompt=2)
    assert close(first[None], latents(pipeline, ONE, start[:1]))
    assert close(second[None], latents(pipeline, ONE, start[1:]))


def test_as_many_generators_as_pictures(pipeline):
    with pytest.raises(ValueError, match="3 generators for 2 pictures"):
        pipeline([ONE, TWO], generator=[torch.Generator() for _ in range(3)])


def test_a_seeds_noise_is_the_same_whatever_the_networks_type():
    """Drawn on the CPU in float32, before any device or type comes in."""
    first = []

    def keep(pipe, entry, timestep, tensors):
        first.append(tensors["latents"])
        return {}

    for dtype in (torch.float32, torch.bfloat16):
        model = small_pipeline().to(dtype)
        model(ONE, generator=torch.Generator().manual_seed(5), alpha=0.0, mis=0.0, callback_on_step_end=keep)
    exact, rounded = first[0], first[len(first) // 2]
    assert (rounded - exact).norm() / exact.norm() < 2e-2


def test_saved_and_loaded_it_draws_the_same(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    again = InstanceDiffusionPipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    assert again.config.defaults == pipeline.config.defaults
    assert close(latents(again, TWO), latents(pipeline, TWO))


def test_another_pipeline_of_the_same_parts(pipeline):
    again = InstanceDiffusionPipeline.from_pipe(pipeline)
    again.set_progress_bar_config(disable=True)
    assert again.unet is pipeline.unet and again.config.defaults == pipeline.config.defaults
    assert torch.equal(latents(again, TWO), latents(pipeline, TWO))


def test_loaded_in_another_type_it_draws_nearly_the_same(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    again = InstanceDiffusionPipeline.from_pretrained(tmp_path, torch_dtype=torch.bfloat16)
    again.set_progress_bar_config(disable=True)
    assert {again.unet.dtype, again.vae.dtype, again.text_encoder.dtype} == {torch.bfloat16}
    exact, rounded = latents(pipeline, TWO), latents(again, TWO)
    assert (rounded - exact).norm() / exact.norm() < 2e-2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_seed_draws_the_same_on_a_gpu(pipeline):
    def drawn(model) -> torch.Tensor:
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in (3, 4)]
        return latents(model, [ONE, TWO], generator=generators).cpu()

    on_gpu, expected = drawn(small_pipeline().to("cuda")), drawn(pipeline)
    assert (on_gpu - expected).norm() / expected.norm() < 1e-3


def test_the_callback_sees_every_entry_and_may_replace_the_latents(pipeline):
    entries = []

    def replace_last(pipe, entry, timestep, tensors):
        assert pipe is pipeline and tensors["latents"].shape == (2, 4, 8, 8)
        entries.append((entry, int(timestep)))
        return {"latents": torch.full_like(tensors["latents"], 7.0)} if entry == 3 else {}

    final = latents(pipeline, [ONE, TWO], noise(2), callback_on_step_end=replace_last)
    assert (final == 7).all()
    assert entries == [(0, 751), (1, 501), (2, 251), (3, 1)]


def test_latents_that_the_callback_replaces_go_on(pipeline):
    def restart(pipe, entry, timestep, tensors):
        return {"latents": noise(seed=9)} if entry == 1 else tensors

    first = latents(pipeline, ONE, noise(seed=1), callback_on_step_end=restart, mis=0)
    second = latents(pipeline, ONE, noise(seed=2), callback_on_step_end=restart, mis=0)
    assert torch.equal(first, second)


def test_latents_replaced_within_an_update_go_on_too():
    """PNDM evaluates its first update twice, the second time from the latents before the first."""
    pipeline = small_pipeline(PNDMScheduler(skip_prk_steps=True, steps_offset=1))

    def run(entry_of_change: int) -> torch.Tensor:
        def change(pipe, entry, timestep, tensors):
            return {"latents": noise(seed=9)} if entry == entry_of_change else tensors

        return latents(pipeline, ONE, callback_on_step_end=change, mis=0)

    plain = run(-1)
    moved = [(run(entry) - plain).norm() / plain.norm() for entry in (0, 1)]
    assert moved[0] > 0.5 * moved[1]


def rows(pipeline, layouts, count=1, **settings) -> list[int]:
    """UNet rows of every entry of a run."""
    counted: list[int] = []
    handle = pipeline.unet.conv_in.register_forward_pre_hook(lambda module, args: counted.append(len(args[0])))
    latents(pipeline, layouts, noise(count), **{"rows_at_once": 64, **settings})
    handle.remove()
    return counted


def test_without_guidance_there_is_no_unconditional_pass(pipeline):
    assert rows(pipeline, ONE, guidance_scale=1.0, mis=0) == [1, 1, 1, 1]
    assert rows(pipeline, ONE, guidance_scale=3.0, mis=0) == [2, 2, 2, 2]


def test_guidance_below_1_lies_between_the_two_estimates(pipeline):
    """Only 1 leaves the unconditional pass out, as published."""
    without, halfway, alone = (
        latents(pipeline, ONE, guidance_scale=scale, num_inference_steps=1, mis=0) for scale in (0.0, 0.5, 1.0)
    )
    assert not close(without, alone) and close(halfway, (without + alone) / 2)


def test_instances_are_drawn_alone_for_the_first_updates(pipeline):
    """All instances together, and each alone: 2 + 3 inputs, for half of the updates."""
    assert rows(pipeline, [ONE, TWO], count=2, guidance_scale=1.0, mis=0.5) == [5, 5, 2, 2]


def test_inputs_that_start_from_the_same_noise_share_their_first_unconditional_row(pipeline):
    """One a picture, then one an input: 2 pictures with 5 inputs."""
    assert rows(pipeline, [ONE, TWO], count=2, mis=0.5) == [7, 10, 4, 4]


def test_passes_are_as_equal_as_can_be(pipeline):
    assert rows(pipeline, [ONE, TWO], count=2, mis=0.5, rows_at_once=6)[:4] == [4, 3, 5, 5]


@pytest.mark.parametrize("count", [0, -1])
def test_at_least_one_row_must_run(pipeline, count: int):
    with pytest.raises(ValueError, match=f"rows_at_once = {count}"):
        latents(pipeline, ONE, rows_at_once=count)


def test_at_alpha_0_instances_do_not_matter(pipeline):
    without = latents(pipeline, plan(), alpha=0.0, mis=0)
    assert torch.equal(latents(pipeline, plan(thing(0), thing(1)), alpha=0.0, mis=0), without)
    assert not close(latents(pipeline, plan(thing(0), thing(1)), alpha=0.5, mis=0), without)


SQUARE = Mask(rle=RunLength(size=(SIDE, SIDE), counts=(SIDE * 8, *(8, 24) * 8, SIDE * 16)))
LOCATIONS = {
    "box": {"box": thing(0).box},
    "another box": {"box": thing(1).box},
    "point": {"point": Point(x=0.2, y=0.3)},
    "another point": {"point": Point(x=0.7, y=0.3)},
    "box and point": {"box": thing(0).box, "point": Point(x=0.2, y=0.3)},
    "scribble": {"scribble": Scribble(points=(Point(x=0.2, y=0.3), Point(x=0.5, y=0.6)))},
    "another scribble": {"scribble": Scribble(points=(Point(x=0.2, y=0.3), Point(x=0.5, y=0.7)))},
    "box and scribble": {"box": thing(0).box, "scribble": Scribble(points=(Point(x=0.2, y=0.3),))},
    "mask": {"mask": SQUARE},
    "box and mask": {"box": thing(0).box, "mask": SQUARE},
}


def test_every_location_format_changes_the_picture(pipeline):
    results = {name: latents(pipeline, plan(thing(0, **where))) for name, where in LOCATIONS.items()}
    names = list(results)
    for i, first in enumerate(names):
        for second in names[:i]:
            assert not close(results[first], results[second]), (first, second)


def test_the_seed_decides_the_points_drawn_in_masks(pipeline):
    layout = plan(thing(0, mask=SQUARE), thing(1, scribble=LOCATIONS["scribble"]["scribble"]))
    assert torch.equal(latents(pipeline, layout, seed=1), latents(pipeline, layout, seed=1))
    assert not close(latents(pipeline, layout, seed=1), latents(pipeline, layout, seed=2))
    both = latents(pipeline, [layout, layout], noise().expand(2, -1, -1, -1), seed=[1, 2])
    for row, seed in zip(both, (1, 2), strict=True):
        assert close(row[None], latents(pipeline, layout, seed=seed))


def test_as_many_seeds_as_layouts(pipeline):
    with pytest.raises(ValueError, match="3 seeds for 2 layouts"):
        latents(pipeline, [ONE, TWO], noise(2), seed=[1, 2, 3])


def test_the_instance_mask_changes_the_picture(pipeline):
    assert not close(latents(pipeline, ONE, instance_mask=True), latents(pipeline, ONE, instance_mask=False))


def overlapping(first: int | None, second: int | None) -> Layout:
    return plan(thing(0, depth=first, box=thing(0).box), thing(1, depth=second, box=box((0.2, 0.3, 0.9, 0.9))))


@pytest.mark.parametrize("settings", [{"merge": "depth"}, {"instance_mask": "nearest"}])
def test_depth_matters_when_asked_for(pipeline, settings):
    front, back = overlapping(0, 1), overlapping(1, 0)
    assert torch.equal(latents(pipeline, front), latents(pipeline, back))
    assert not close(latents(pipeline, front, **settings), latents(pipeline, back, **settings))


def test_a_layout_in_a_batch_keeps_its_own_merge(pipeline):
    start, plans = noise(2), [overlapping(0, 1), overlapping(1, 0)]
    settings = {"merge": "depth", "instance_mask": "nearest"}
    for row, layout, own in zip(latents(pipeline, plans, start, **settings), plans, start, strict=True):
        assert close(row[None], latents(pipeline, layout, own[None], **settings))


def test_the_nearest_of_one_instance_is_the_plain_mask(pipeline):
    assert torch.equal(latents(pipeline, ONE, instance_mask="nearest"), latents(pipeline, ONE, instance_mask=True))


@pytest.mark.parametrize("merge", ["paste", "depth"])
def test_pasting_is_another_merge_and_needs_an_extent(pipeline, merge):
    assert not close(latents(pipeline, TWO, merge=merge), latents(pipeline, TWO))
    with pytest.raises(LayoutError, match="i0 has neither a box nor a mask"):
        latents(pipeline, plan(thing(0, point=Point(x=0.2, y=0.3))), merge=merge)


def test_what_the_caption_leaves_unsaid_of_the_background_is_drawn_too(pipeline):
    def among(background: str) -> torch.Tensor:
        return latents(pipeline, ONE.model_copy(update={"background": background}))

    snowy = latents(pipeline, ONE.model_copy(update={"caption": f"{ONE.caption}, snow"}))
    assert torch.equal(among("snow"), snowy) and torch.equal(among("Grass, snow,"), snowy)
    assert torch.equal(among("on grass"), latents(pipeline, ONE)) and not close(snowy, latents(pipeline, ONE))


def test_prompts_and_captions_matter(pipeline):
    base = latents(pipeline, ONE)
    assert not close(base, latents(pipeline, ONE.model_copy(update={"caption": "a blue cube"})))
    assert not close(base, latents(pipeline, plan(thing(0).model_copy(update={"caption": "snow"}), **_rest(ONE))))
    assert not close(base, latents(pipeline, ONE, negative_prompt="snow"))
    assert torch.equal(base, latents(pipeline, ONE, negative_prompt="birds"))


def _rest(layout: Layout) -> dict[str, str]:
    return {"caption": layout.caption, "negative_prompt": layout.negative_prompt}


def test_as_many_instances_as_slots(pipeline):
    assert latents(pipeline, plan(*(thing(i) for i in range(MAX_INSTANCES)))).isfinite().all()


@pytest.mark.parametrize(("width", "height"), [(96, 64), (40, 72)])
def test_canvases_beyond_the_trained_size(pipeline, width: int, height: int):
    """Also such whose latent's sides are no multiple of what the UNet halves, with the instance mask."""
    layout = Layout(version=1, caption="a red ball", width=width, height=height, instances=TWO.instances)
    drawn = pipeline([layout, layout], num_images_per_prompt=2, instance_mask=True).images
    assert [image.size for image in drawn] == [(width, height)] * 4


def test_pictures_have_the_canvas_size(pipeline):
    wide = Layout(version=1, caption="a red ball", width=48, height=24, instances=ONE.instances)
    assert pipeline(wide).images[0].size == (48, 24)
    assert pipeline([ONE, TWO], output_type="pt", return_dict=False)[0].shape == (2, 3, SIDE, SIDE)


@pytest.mark.parametrize("mis", [0, 0.5])
def test_texts_longer_than_the_text_encoder_reads_are_reported_once(pipeline, caplog, mis):
    """The plan's, the instances' and the negative prompt."""
    texts = ["red " * 60, "blue " * 60, "snow " * 60]
    long = thing(0).model_copy(update={"caption": texts[1]})
    latents(pipeline, [plan(long, caption=texts[0], negative_prompt=texts[2])] * 2, noise(2), mis=mis)
    lost = [message for message in caplog.messages if "are lost" in message]
    assert [f"the last 14 of {text!r}" in message for text, message in zip(texts, lost, strict=True)] == [True] * 3


def test_half_precision(pipeline):
    half = small_pipeline().to(torch.float16)
    exact, rounded = latents(pipeline, TWO), latents(half, TWO)
    assert rounded.dtype == torch.float32
    assert (rounded - exact).norm() / exact.norm() < 2e-2


def test_in_full_passes_a_picture_does_not_depend_on_its_company():
    """Bit for bit, with the trained miniature: what is drawn after an interruption is what would have been drawn."""
    pipeline = load_pipeline("tiny", device="cpu")
    pipeline.set_progress_bar_config(disable=True)
    layouts = [sample_scene(seed, "held_out").layout() for seed in range(4)]

    def draw(*chosen: int) -> dict[int, bytes]:
        images = pipeline(
            [layouts[i] for i in chosen],
            generator=[torch.Generator().manual_seed(i) for i in chosen],
            num_inference_steps=2,
            rows_at_once=4,
            full_passes=True,
        ).images
        return {i: image.tobytes() for i, image in zip(chosen, images, strict=True)}

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        together = draw(0, 1, 2, 3)
        for company in ((3,), (2, 0)):
            for i, picture in draw(*company).items():
                assert picture == together[i]
    finally:
        torch.set_num_threads(threads)
