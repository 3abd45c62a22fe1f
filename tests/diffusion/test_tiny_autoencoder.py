"""The miniature's autoencoder learns, resumes and keeps its encoder; encoded scenes survive an interruption."""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderDC

from diffusion.tiny import autoencoder
from diffusion.tiny.autoencoder import build_autoencoder, latent_moments, reconstruction_psnr
from diffusion.tiny.pictures import draw_pictures, encode_scenes, read_scenes, ready, to_tensor
from diffusion.tiny.world import sample_scene

BUNDLED = Path(autoencoder.__file__).parent / "weights" / "vae"


def options(out: Path, **changes) -> argparse.Namespace:
    values = {
        "initial": None,
        "decoder_only": False,
        "pictures": 20,
        "steps": 4,
        "batch": 4,
        "lr": 1e-3,
        "save_every": 2,
    }
    return argparse.Namespace(out=out, **{**values, **changes})


@pytest.fixture
def few_test_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoencoder, "TEST_PICTURES", 4)


def test_drawn_pictures_are_the_worlds_and_are_drawn_once(tmp_path: Path):
    path = tmp_path / "pictures.npy"
    drawn = draw_pictures(path, 7, first_seed=11, split="any", processes=2)
    assert drawn.shape == (7, 128, 128, 3) and drawn.dtype == np.uint8
    assert np.array_equal(drawn[3], np.asarray(sample_scene(14, split="any").image))
    before = path.stat().st_mtime_ns
    draw_pictures(path, 7, first_seed=11, split="any")
    assert path.stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="holds 7 pictures, not 8"):
        draw_pictures(path, 8, first_seed=11, split="any")


def test_an_interrupted_encoding_goes_on_and_equals_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("diffusion.tiny.pictures.SHARD", 3)
    model = build_autoencoder().eval()
    model.register_to_config(scaling_factor=2.0)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert list(encode_scenes(whole, model, scenes=8, first_seed=5)) == [3, 6, 8]
    assert list(islice(encode_scenes(broken, model, scenes=8, first_seed=5), 1)) == [3]
    assert ready(broken) == 3 and len(read_scenes(broken)[1]) == 3
    assert list(encode_scenes(broken, model, scenes=8, first_seed=5)) == [6, 8]

    latents, layouts = read_scenes(whole)
    again, same_layouts = read_scenes(broken)
    assert np.array_equal(latents, again) and layouts == same_layouts
    scene = sample_scene(5 + 7, split="train")
    assert layouts[7] == scene.layout(masks=True)
    with torch.no_grad():
        expected = 2.0 * model.encode(to_tensor(np.asarray(scene.image)[None])).latent[0]
    assert np.allclose(latents[7], expected, atol=5e-3)


def test_encoding_into_a_folder_of_another_size_is_refused(tmp_path: Path):
    model = build_autoencoder().eval()
    list(encode_scenes(tmp_path, model, scenes=2, first_seed=5))
    with pytest.raises(ValueError, match=r"shape \(2, 8, 16, 16\), not \(3, 8, 16, 16\)"):
        list(encode_scenes(tmp_path, model, scenes=3, first_seed=5))


def test_training_resumes_where_it_stopped(tmp_path: Path, few_test_pictures: None, monkeypatch: pytest.MonkeyPatch):
    autoencoder.train(options(tmp_path / "whole"))

    class Interrupted(Exception):
        pass

    def interrupt(step: int, *rest):
        if step == 3:
            raise Interrupted
        return learning_rate(step, *rest)

    learning_rate = autoencoder.learning_rate
    with monkeypatch.context() as context, pytest.raises(Interrupted):
        context.setattr(autoencoder, "learning_rate", interrupt)
        autoencoder.train(options(tmp_path / "broken"))
    autoencoder.train(options(tmp_path / "broken"))
    whole, resumed = (
        AutoencoderDC.from_pretrained(tmp_path / name / "vae").state_dict() for name in ("whole", "broken")
    )
    assert all(torch.allclose(whole[name], resumed[name], atol=1e-3) for name in whole)


def test_training_the_decoder_leaves_the_latents_as_they_are(tmp_path: Path, few_test_pictures: None):
    start = build_autoencoder().half()
    start.register_to_config(scaling_factor=1.25)
    start.save_pretrained(tmp_path / "start")
    autoencoder.train(options(tmp_path / "out", initial=tmp_path / "start", decoder_only=True))
    before = AutoencoderDC.from_pretrained(tmp_path / "start")
    after = AutoencoderDC.from_pretrained(tmp_path / "out" / "vae")
    old, new = before.state_dict(), after.state_dict()
    assert all(torch.equal(old[name], new[name]) for name in old if name.startswith("encoder."))
    assert not torch.equal(old["decoder.conv_in.weight"], new["decoder.conv_in.weight"])
    assert after.config["scaling_factor"] == 1.25
    assert str(tmp_path) not in (tmp_path / "out" / "vae" / "config.json").read_text()


def test_psnr_of_a_known_error():
    class Shifted:
        def encode(self, pictures):
            return argparse.Namespace(latent=pictures)

        def decode(self, latents):
            return argparse.Namespace(sample=latents + 0.2)

    pictures = np.full((3, 8, 8, 3), 100, dtype=np.uint8)
    assert reconstruction_psnr(Shifted(), pictures).tolist() == pytest.approx([20.0] * 3, abs=1e-3)  # type: ignore[arg-type]


def test_the_bundled_autoencoder_reconstructs_scenes_it_never_saw():
    model = AutoencoderDC.from_pretrained(BUNDLED).eval()
    pictures = np.stack([np.asarray(sample_scene(9_000_000 + i, split="any").image) for i in range(32)])
    assert reconstruction_psnr(model, pictures).mean() > 29
    assert reconstruction_psnr(model, pictures, noise=0.1).mean() > 28.5
    mean, deviation = latent_moments(model, pictures)
    scaled = deviation * model.config["scaling_factor"]
    assert mean.abs().max() < 0.25 and scaled.min() > 0.75 and scaled.max() < 1.3


def test_crops_and_whole_pictures_have_the_same_latents_away_from_the_border():
    model = AutoencoderDC.from_pretrained(BUNDLED).eval()
    picture = to_tensor(np.asarray(sample_scene(9_000_100, split="any").image)[None])
    with torch.no_grad():
        whole = model.encode(picture).latent[..., 4:12, 4:12]
        crop = model.encode(picture[..., 32:96, 32:96]).latent
    inner = (slice(None), slice(None), slice(3, 5), slice(3, 5))
    assert torch.allclose(whole[inner], crop[inner], atol=0.05)
