"""A whole run of the reduced network through the pipeline: PLMS, guidance, fading fusers, Multi-Instance Sampling."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from diffusers import AutoencoderKL
from torch import nn
from transformers import BatchEncoding

from diffusion.layout import Box, Instance, Layout
from diffusion.pipeline import InstanceDiffusionPipeline
from eval.bench.published_schedule import PublishedRun
from tests.reference.published import drawn, facts, golden, relative_error
from tests.reference.test_sampler import plms

TOLERANCE = 1e-4
TEXTS = {"everything": "context0", "first": "context1", "second": "context2", "": "context_uncond"}


class TextIndex:
    """In place of a tokenizer: a text's number in TEXTS."""

    model_max_length = 1

    def __call__(self, texts, **kwargs):
        texts = [texts] if isinstance(texts, str) else texts
        return BatchEncoding({"input_ids": torch.tensor([[list(TEXTS).index(text)] for text in texts])})


class RecordedText(nn.Module):
    """In place of a text encoder: the embeddings that the golden run was fed."""

    device = torch.device("cpu")

    def __init__(self):
        super().__init__()
        self.contexts = torch.cat([drawn(f"pub.e2e.{name}", (1, 77, 64)) for name in TEXTS.values()])
        self.pooled = torch.zeros(len(TEXTS), 64)
        self.pooled[1:3] = drawn("pub.e2e.text_embeddings", (2, 64))

    def forward(self, ids):
        return SimpleNamespace(last_hidden_state=self.contexts[ids[:, 0]], pooler_output=self.pooled[ids[:, 0]])


@pytest.fixture(scope="module")
def pipeline(reduced) -> InstanceDiffusionPipeline:
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4,) * 4,
        norm_num_groups=1,
    )
    built = InstanceDiffusionPipeline(vae, RecordedText(), TextIndex(), reduced, plms())
    built.set_progress_bar_config(disable=True)
    return built


@pytest.fixture(scope="module")
def layout() -> Layout:
    instances = [
        Instance(
            id=name, category="thing", caption=name, box=Box(**dict(zip(("x0", "y0", "x1", "y1"), box, strict=True)))
        )
        for name, box in zip(("first", "second"), facts("cases")["layouts"]["pub.A"], strict=False)
    ]
    return Layout(version=1, caption="everything", width=128, height=128, instances=tuple(instances))


@pytest.mark.parametrize("mis", [0, 0.3])
def test_every_global_latent_of_a_run(pipeline, layout, mis: float):
    trace = []

    def watch(pipe, entry, timestep, tensors):
        trace.append(tensors["latents"].clone())
        return tensors

    final = pipeline(
        layout,
        num_inference_steps=10,
        guidance_scale=7.5,
        alpha=0.8,
        mis=mis,
        latents=drawn("pub.e2e.x", (1, 4, 16, 16)),
        output_type="latent",
        callback_on_step_end=watch,
    ).images
    expected = golden("reduced")
    updates = expected[f"e2e_mis{mis}_n2.trace"]  # in order of execution: global alone, both instances alone, together
    if mis:
        updates = torch.cat((updates[:3], updates[9:]))
    assert relative_error(torch.cat(trace[1:]), updates) < TOLERANCE
    assert relative_error(final, expected[f"e2e_mis{mis}_n2.final"]) < TOLERANCE


@pytest.mark.parametrize("mis", [0, 0.3])
def test_the_slow_schedule_that_the_engine_is_measured_against(pipeline, layout, mis: float):
    run = PublishedRun(steps=10, guidance=7.5, alpha=0.8, mis=mis, reads_empty_maps=False)
    final = run.draw(pipeline, layout, drawn("pub.e2e.x", (1, 4, 16, 16)))
    assert relative_error(final, golden("reduced")[f"e2e_mis{mis}_n2.final"]) < TOLERANCE
    estimates = 3 * 4 + 7 if mis else 11  # the first update of an input takes two
    assert run.spent.passes == 2 * estimates
