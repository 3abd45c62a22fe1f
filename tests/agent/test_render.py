"""The renderer as the commands use it: samplers by name, LoRA weights, and SDXL's refiner where it is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLImg2ImgPipeline, UNet2DConditionModel
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from agent.exits import Stop
from agent.render import RenderSettings, load_renderer
from diffusion.pipeline import InstanceDiffusionPipeline
from diffusion.places import ModelUnavailable
from diffusion.tiny.text import MAX_TOKENS, build_tokenizer
from tests.diffusion.small import WORDS, plan, small_pipeline, thing

LAYOUT = plan(thing(0), thing(1), side=32)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("model")
    small_pipeline().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def refiner(tmp_path_factory) -> Path:
    """An SDXL refiner with random weights: one text encoder, and an aesthetics score as a condition."""
    folder = tmp_path_factory.mktemp("refiner")
    tokenizer = build_tokenizer(WORDS)
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    text_encoder = CLIPTextModelWithProjection(
        CLIPTextConfig(vocab_size=len(tokenizer), max_position_embeddings=MAX_TOKENS, projection_dim=16, **sizes, **ids)
    )
    unet = UNet2DConditionModel(
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=8,
        norm_num_groups=8,
        cross_attention_dim=16,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=16 + 5 * 8,
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        norm_num_groups=4,
    )
    StableDiffusionXLImg2ImgPipeline(
        vae=vae,
        text_encoder=None,
        tokenizer=None,
        text_encoder_2=text_encoder,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=EulerDiscreteScheduler(beta_schedule="scaled_linear"),
        requires_aesthetics_score=True,
    ).save_pretrained(folder)
    return folder


def draw(model: str, **settings) -> tuple[bytes, tuple[int, int]]:
    image = load_renderer(model, RenderSettings(device="cpu", **settings)).render(LAYOUT, seed=1)
    return image.tobytes(), image.size


def test_the_refiner_redraws_the_finished_picture(model, refiner):
    plain = draw(model, steps=2)
    weak, strong = (draw(model, steps=2, refine=refine, refiner=str(refiner)) for refine in (0.1, 0.6))
    assert plain[1] == weak[1] == strong[1] == (32, 32)
    assert len({plain[0], weak[0], strong[0]}) == 3
    assert draw(model, steps=2, refine=0.6, refiner=str(refiner)) == strong


def test_each_picture_is_refined_with_its_own_caption_and_seed(model, refiner):
    renderer = load_renderer(model, RenderSettings(device="cpu", steps=2, refine=0.4, refiner=str(refiner)))
    other = plan(thing(2), caption="snow", side=32)
    together = renderer.render_many([LAYOUT, other], [3, 4], rows=2)
    apart = [renderer.render_many([layout], [seed], rows=2)[0] for layout, seed in ((LAYOUT, 3), (other, 4))]
    assert [image.tobytes() for image in together] == [image.tobytes() for image in apart]


def test_a_refiner_is_not_looked_for_unless_asked_for(model, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    draw(model, steps=1)
    with pytest.raises(ModelUnavailable, match="hf download stabilityai/stable-diffusion-xl-refiner"):
        draw(model, steps=1, refine=0.3)


def test_a_folder_that_is_no_refiner(model, tmp_path):
    with pytest.raises(ModelUnavailable, match="cannot be loaded as an SDXL refiner"):
        draw(model, refine=0.3, refiner=str(tmp_path))
    with pytest.raises(ModelUnavailable, match="it has no text_encoder_2, tokenizer_2; expected an SDXL pipeline"):
        draw(model, refine=0.3, refiner=model)
    with pytest.raises(Stop, match="--refiner without --refine"):
        RenderSettings(refiner=model)


@pytest.fixture(scope="module")
def lora(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("lora")
    unet = small_pipeline().unet
    unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    InstanceDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=get_peft_model_state_dict(unet))
    return str(folder / "pytorch_lora_weights.safetensors")


def test_lora_weights_work_as_strongly_as_asked(model, lora):
    plain, weak, strong = (draw(model, lora=given) for given in (None, (f"{lora}:0.3",), (lora,)))
    assert len({plain[0], weak[0], strong[0]}) == 3
    assert draw(model, lora=(f"{lora}:0",)) == plain
    assert draw(model, lora=(f"{lora}:0.6", f"{lora}:0.4")) == strong


@pytest.mark.parametrize(
    ("text", "read"), [("a.safetensors", ("a.safetensors", 1.0)), ("C:\\a", ("C:\\a", 1.0)), ("x:y:-2", ("x:y", -2.0))]
)
def test_a_colon_belongs_to_the_file_unless_a_number_follows(text: str, read: tuple[str, float]):
    assert RenderSettings(lora=(text,)).loras() == [read]


@pytest.mark.parametrize("text", ["a:nan", "a:inf", ":1"])
def test_a_scale_that_is_none(text: str):
    with pytest.raises(Stop, match=f"--lora {text}: expected a file"):
        RenderSettings(lora=(text,))


def test_pasting_needs_instances_that_were_drawn_alone():
    with pytest.raises(Stop, match="--merge depth with --mis 0"):
        RenderSettings(merge="depth", mis=0.0)


def test_a_sampler_by_name_takes_its_own_number_of_steps(model):
    def steps(**settings) -> tuple[int, str, int]:
        renderer = load_renderer(model, RenderSettings(device="cpu", **settings))
        done = []
        renderer.render(LAYOUT, 0, lambda step, total: done.append((step, total)))
        return done[-1][0], type(renderer._pipeline.scheduler).__name__, renderer.describe()["steps"]

    assert steps(scheduler="unipc") == (20, "UniPCMultistepScheduler", 20)
    assert steps(scheduler="dpm++", steps=3) == (3, "DPMSolverMultistepScheduler", 3)
    assert steps()[:2] == (4, "DDIMScheduler")


def test_other_settings_begin_from_the_models_own_sampler(model):
    """Also after something was drawn with another one."""
    renderer = load_renderer(model, RenderSettings(device="cpu", steps=2))
    own, first = renderer.own_settings(), renderer.render(LAYOUT, 1)
    assert (own["scheduler"], own["steps"]) == ("ddim", 4)
    renderer.changed(scheduler="unipc").render(LAYOUT, 1)
    again = renderer.changed(guidance=own["guidance"])
    assert again.render(LAYOUT, 1).tobytes() == first.tobytes() and again.own_settings() == own


def test_from_the_command_line(model, refiner, lora, tmp_path):
    from typer.testing import CliRunner

    from agent.cli import app

    (tmp_path / "plan.json").write_text(LAYOUT.to_json())
    command = ["render", str(tmp_path / "plan.json"), "-o", str(tmp_path / "run"), "--model", model, "--json"]
    options = ["--scheduler", "dpm++", "--steps", "2", "--refine", "0.4", "--refiner", str(refiner), "--device", "cpu"]
    options += ["--lora", f"{lora}:0.5", "--lora", lora]
    result = CliRunner().invoke(app, [*command, *options])
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert {key: record["renderer"][key] for key in ("scheduler", "steps", "refine", "refiner", "lora")} == {
        "scheduler": "dpm++",
        "steps": 2,
        "refine": 0.4,
        "refiner": str(refiner),
        "lora": [f"{lora}:0.5", lora],
    }
