"""What speeds a network up on a GPU leaves the latents alone: torch.compile, CUDA graphs, channels last."""

from __future__ import annotations

import torch
from torch._dynamo.testing import CompileCounter

from tests.diffusion.small import noise, plan, small_pipeline, thing

TWO = plan(thing(1), thing(2), caption="snow")


def latents(pipeline, layout, **settings) -> torch.Tensor:
    return pipeline(layout, latents=noise(), output_type="latent", **settings).images


def test_a_compiled_network_is_one_graph_for_every_number_of_rows_and_serves_other_plans():
    """Rows differ while instances are drawn alone, and the fusers' absence is a graph of its own."""
    plain, compiled, graphs = small_pipeline(), small_pipeline(), CompileCounter()
    compiled.unet.compile(backend=graphs, fullgraph=True, dynamic=False)
    seen = []
    for layout in (TWO, plan(thing(2), thing(0), caption="snow")):
        expected, drawn = (latents(pipeline, layout) for pipeline in (plain, compiled))
        assert torch.allclose(drawn, expected, atol=1e-5)
        seen.append(graphs.frame_count)
    assert 1 < seen[0] == seen[1] <= 4


def test_a_network_that_writes_over_its_last_estimate(monkeypatch):
    """As one does that runs as a CUDA graph."""
    pipeline = small_pipeline()
    expected, forward, kept = latents(pipeline, TWO, rows_at_once=2), pipeline.unet.forward, {}

    def reusing(*args, **kwargs):
        out = forward(*args, **kwargs)
        out.sample = kept.setdefault(out.sample.shape, out.sample.clone()).copy_(out.sample)
        return out

    monkeypatch.setattr(pipeline.unet, "forward", reusing)
    assert torch.equal(latents(pipeline, TWO, rows_at_once=2), expected)


def test_channels_last():
    pipeline = small_pipeline()
    expected = latents(pipeline, TWO)
    pipeline.unet.to(memory_format=torch.channels_last)
    assert torch.allclose(latents(pipeline, TWO), expected, atol=1e-5)
