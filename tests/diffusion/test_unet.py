"""The UNet: configuration, saving, copies, gradients to every part."""

from __future__ import annotations

import copy

import pytest
import torch
from accelerate.hooks import ModelHook, add_hook_to_module
from diffusers import UNet2DConditionModel

from diffusion.mixed import to_mixed
from diffusion.unet import InstanceDiffusionUNet
from tests.diffusion.small import WIDTH, noise, small_unet
from tests.diffusion.test_unifusion import grounding


def predict(unet: InstanceDiffusionUNet, count: int = 3, **masking) -> torch.Tensor:
    context = torch.randn(1, 7, WIDTH, generator=torch.Generator().manual_seed(1))
    return unet(noise(), torch.tensor(300), context, unet.encode_instances(grounding(count), **masking)).sample


@torch.no_grad()
def test_saved_and_loaded_it_predicts_the_same(tmp_path):
    unet = small_unet(mask_levels=2)
    unet.save_pretrained(tmp_path)
    again = InstanceDiffusionUNet.from_pretrained(tmp_path)
    assert again.config.mask_levels == 2
    assert torch.allclose(predict(again), predict(unet), atol=1e-5)


@torch.no_grad()
def test_a_copy_predicts_the_same_and_is_its_own():
    unet = small_unet()
    twin, base = copy.deepcopy(unet), predict(unet)
    assert torch.equal(predict(twin), base)
    for parameter in twin.parameters():
        parameter.zero_()
    assert torch.equal(predict(unet), base)


def test_every_parameter_learns():
    unet = small_unet().train()
    predict(unet, 3).square().sum().backward()
    predict(unet, 0).square().sum().backward()  # null features learn from empty slots and pictures
    assert [name for name, p in unet.named_parameters() if p.grad is None or not p.grad.any()] == []


@torch.no_grad()
def test_the_instance_mask_covers_as_many_levels_as_configured():
    one, two = small_unet(mask_levels=1), small_unet(mask_levels=2)
    assert torch.equal(predict(one), predict(two))
    results = [predict(unet, instance_mask=True) for unet in (one, two)]
    assert not torch.allclose(*results) and not torch.allclose(results[0], predict(one))


@torch.no_grad()
def test_as_published_pictures_with_boxes_and_masks_off_are_not_masked():
    unet = small_unet()
    points = grounding(uses=(False, True, False, False))
    assert not unet.encode_instances(points, instance_mask=True, mask_axes="official").cells.any()
    assert unet.encode_instances(points, instance_mask=True).cells.any()
    assert unet.encode_instances(grounding(), instance_mask=True).cells.any()


def test_a_stock_configuration_that_differs_is_refused():
    stock = dict(UNet2DConditionModel(block_out_channels=(8, 8, 8, 8), norm_num_groups=4).config)
    with pytest.raises(ValueError, match="use_linear_projection = True"):
        InstanceDiffusionUNet.from_config({**stock, "use_linear_projection": True})


def test_a_stock_configuration_with_defaults_is_read():
    stock = dict(UNet2DConditionModel(block_out_channels=(8, 8, 8, 8), norm_num_groups=4).config)
    with torch.device("meta"):
        assert InstanceDiffusionUNet.from_config(stock).config.block_out_channels == (8, 8, 8, 8)


@torch.no_grad()
def test_encoding_instances_wakes_an_offloaded_network():
    class Count(ModelHook):
        woken = 0

        def pre_forward(self, module, *args, **kwargs):
            self.woken += 1
            return args, kwargs

    hook = Count()
    unet = add_hook_to_module(small_unet(), hook)
    unet.encode_instances(grounding())
    assert hook.woken == 1


@torch.no_grad()
@pytest.mark.parametrize("prepared", [lambda unet: unet, to_mixed])
def test_it_compiles_into_one_graph(prepared):
    """Whether that pays is the device's business; a break in the graph would be ours."""
    unet = prepared(small_unet())
    instances = unet.encode_instances(grounding(), instance_mask=True)
    context = torch.randn(1, 7, WIDTH)
    unet(noise(), torch.tensor(300), context, instances)  # the first call reads the instances, once for all steps
    explained = torch._dynamo.explain(unet)(noise(), torch.tensor(300), context, instances)
    assert (explained.graph_count, explained.graph_break_count) == (1, 0)
