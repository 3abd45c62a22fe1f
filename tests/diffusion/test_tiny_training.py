"""Training the miniature: batches by step number; a run stopped and started again ends where it would have."""

import argparse

import numpy as np
import pytest
import torch
from PIL import Image

from diffusion.pipeline import InstanceDiffusionPipeline
from diffusion.tiny import bundle, train_unet
from diffusion.tiny.autoencoder import build_autoencoder
from diffusion.tiny.dataset import TinyDataset, with_text
from diffusion.tiny.model import LATENT_CHANNELS, LATENT_SIDE, build_unet
from diffusion.tiny.pictures import encode_scenes
from diffusion.tiny.text import build_text_encoder, build_tokenizer
from diffusion.tiny.world import sample_scene
from diffusion.unet import InstanceDiffusionUNet

SCENES = 8


@pytest.fixture(scope="module")
def layouts():
    return [sample_scene(seed).layout(masks=True) for seed in range(SCENES)]


@pytest.fixture(scope="module")
def tokenizer(layouts):
    return build_tokenizer(text for layout in layouts for text in (layout.caption, *(i.caption for i in layout)))


@pytest.fixture(scope="module")
def data(layouts, tokenizer):
    latents = np.random.default_rng(0).standard_normal((SCENES, LATENT_CHANNELS, LATENT_SIDE, LATENT_SIDE))
    return TinyDataset(latents.astype(np.float16), layouts, tokenizer, build_unet().slots)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    assert list(encode_scenes(folder, build_autoencoder().eval(), SCENES, first_seed=1)) == [SCENES]
    return folder


def options(scenes, out, steps, initial=None, part="all", autoencoder=None):
    return argparse.Namespace(
        data=scenes, out=out, initial=initial, part=part, steps=steps, batch=2, lr=1e-3, seed=0, save_every=1,
        autoencoder=autoencoder, draw_every=2,
    )  # fmt: skip


def test_a_batch_is_decided_by_its_step(data):
    one, again, other = data.batch(3, 4), data.batch(3, 4), data.batch(4, 4)
    assert torch.equal(one.latents, again.latents) and torch.equal(one.grounding.boxes, again.grounding.boxes)
    assert not torch.equal(one.latents, other.latents)


def test_training_shows_every_way_to_say_where_a_thing_is(data):
    """Alone, as plans of points or scribbles have them, and next to boxes in one layout."""
    seen, mixed = set(), 0
    for step in range(20):
        g = data.batch(step, 16).grounding
        for boxes, maps, valid, uses in zip(g.boxes, g.maps, g.valid, g.uses, strict=True):
            if valid.any():
                seen.add(tuple(uses.tolist()))
                boxed = boxes.any(-1)[valid > 0]
                mixed += bool(boxed.any() and not boxed.all())
                assert not (maps.any(-1).any(-1) & ~boxes.any(-1)).any()
    points, scribbles, boxes_alone = (False, True, False, False), (False, True, True, False), (True, True, False, False)
    assert {points, scribbles, boxes_alone, (True, True, False, True), (True, True, True, True)} <= seen
    assert mixed > 10


def test_every_valid_slot_gets_its_own_phrase(data, tokenizer):
    batch = data.batch(0, 16)
    assert len(batch.owner) == int(batch.grounding.valid.sum())
    marks = torch.arange(1.0, len(batch.owner) + 1)[:, None].expand(-1, data.slots.text_dim)
    text = with_text(batch, marks).text[..., 0]
    assert torch.equal(text > 0, batch.grounding.valid > 0)
    assert len(text[text > 0].unique()) == len(batch.owner)


def test_all_formats_and_both_kinds_of_dropping_are_seen(data):
    grounding = data.batch(0, 400).grounding
    assert {tuple(row) for row in grounding.uses.tolist()} >= {(True, True, False, False), (False, True, False, False)}
    assert grounding.maps.flatten(1).any(1).any() and grounding.scribbles.flatten(1).any(1).any()
    assert 0.08 < float((grounding.valid.sum(1) == 0).float().mean()) < 0.22


def test_unknown_words_become_one_token(tokenizer):
    known, unknown = tokenizer("a zyzzyva qwfp")["input_ids"][1:3]
    assert known != tokenizer.unk_token_id and unknown == tokenizer.unk_token_id


def test_the_phrase_embedding_is_read_at_the_end_token(tokenizer):
    encoder = build_text_encoder(tokenizer).eval()
    short = encoder(torch.tensor(tokenizer(["a red ball"])["input_ids"])).pooler_output
    padded = tokenizer(["a red ball"], padding="max_length", max_length=12)["input_ids"]
    assert torch.allclose(encoder(torch.tensor(padded)).pooler_output, short, atol=1e-5)


def test_a_stopped_run_ends_with_the_weights_of_an_unbroken_one(scenes, tmp_path):
    train_unet.train(options(scenes, tmp_path / "unbroken", 3))
    for steps in (1, 2, 3):
        resumed = options(scenes, tmp_path / "stopped", 3)
        stop_after(resumed, steps)
    unbroken, stopped = (torch.load(tmp_path / name / "checkpoint.pt") for name in ("unbroken", "stopped"))
    assert unbroken["step"] == stopped["step"] == 3
    for part in ("modules", "ema"):
        for name in ("unet", "text_encoder"):
            for key, value in unbroken[part][name].items():
                assert torch.equal(value, stopped[part][name][key]), (part, key)


def test_two_stages_train_the_base_and_then_the_instances_alone(scenes, tmp_path):
    def weights(name):
        return torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["modules"]["unet"]

    torch.manual_seed(0)
    untrained = build_unet().state_dict()
    train_unet.train(options(scenes, tmp_path / "base", 2, part="base"))
    train_unet.train(options(scenes, tmp_path / "instances", 2, initial=tmp_path / "base", part="instances"))
    saved = InstanceDiffusionUNet.from_pretrained(tmp_path / "base" / "unet", dtype=torch.float32).state_dict()
    base, both = weights("base"), weights("instances")
    added = {key for key in base if train_unet.is_of_instances(key)}
    assert 0 < len(added) < len(base)
    assert all(torch.equal(both[key], saved[key]) for key in base.keys() - added)
    assert any(not torch.equal(base[key], untrained[key]) for key in base.keys() - added)
    assert all(torch.equal(base[key], untrained[key]) for key in added)
    assert any(not torch.equal(both[key], saved[key]) for key in added)


def stop_after(run, steps):
    """Runs the training until it has saved that many steps, as an interruption would end it."""
    save, seen = train_unet.save_checkpoint, []

    def saving(path, step, *rest):
        save(path, step, *rest)
        seen.append(step)
        if step == steps < run.steps:
            raise KeyboardInterrupt

    train_unet.save_checkpoint = saving
    try:
        train_unet.train(run)
    except KeyboardInterrupt:
        assert seen[-1] == steps
    finally:
        train_unet.save_checkpoint = save


def test_training_goes_on_from_bundled_parts(scenes, tmp_path):
    train_unet.train(options(scenes, tmp_path / "first", 1))
    train_unet.train(options(scenes, tmp_path / "second", 1, initial=tmp_path / "first"))
    first, second = (torch.load(tmp_path / name / "checkpoint.pt") for name in ("first", "second"))
    name = "conv_in.weight"
    moved = (first["ema"]["unet"][name] - second["ema"]["unet"][name]).abs().max()
    assert 0 < moved < 1e-3
    assert (tmp_path / "second" / "tokenizer" / "tokenizer.json").read_bytes() == (
        tmp_path / "first" / "tokenizer" / "tokenizer.json"
    ).read_bytes()


def test_trained_parts_become_a_pipeline_that_draws(scenes, tmp_path, layouts):
    train_unet.train(options(scenes, tmp_path, 1))
    build_autoencoder().half().save_pretrained(tmp_path / "vae")
    bundle.bundle(tmp_path / "vae", tmp_path, tmp_path / "bundle")
    pipeline = InstanceDiffusionPipeline.from_pretrained(tmp_path / "bundle", torch_dtype=torch.float32)
    assert pipeline.config.defaults["size"] == 128
    assert pipeline(layouts[0], num_inference_steps=2).images[0].size == (128, 128)


def test_a_training_shows_what_it_has_learned(scenes, tmp_path):
    build_autoencoder().save_pretrained(tmp_path / "vae")
    train_unet.train(options(scenes, tmp_path, 1, autoencoder=tmp_path / "vae"))
    (path,) = (tmp_path / "samples").iterdir()
    assert path.name == "000001.png"
    sheet, world = np.asarray(Image.open(path)), np.asarray(sample_scene(9_000_000).image)
    side = len(world)
    assert (sheet[:side, :side] == world).all() and (sheet[side:, :side] != world).any()
