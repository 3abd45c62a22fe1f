"""The pieces of training: loss, moving average, learning rate, checkpoints, several processes."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.multiprocessing as mp
from diffusers import DDPMScheduler
from torch import distributed as dist
from torch import nn

from diffusion.training import (
    Ema,
    average_gradients,
    diffusion_loss,
    learning_rate,
    load_checkpoint,
    save_checkpoint,
)

LATENTS = torch.randn(64, 4, 2, 2, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
def test_a_perfect_prediction_has_no_loss(prediction: str):
    scheduler = DDPMScheduler(prediction_type=prediction)

    def perfect(noisy, timesteps):
        signal = scheduler.alphas_cumprod[timesteps][:, None, None, None]
        noise = (noisy - signal.sqrt() * LATENTS) / (1 - signal).sqrt()
        return noise if prediction == "epsilon" else signal.sqrt() * noise - (1 - signal).sqrt() * LATENTS

    assert diffusion_loss(perfect, LATENTS, scheduler, torch.Generator().manual_seed(1)) < 1e-4
    assert diffusion_loss(lambda x, t: 0 * x, LATENTS, scheduler, torch.Generator().manual_seed(1)) > 0.1


def test_emphasis_says_how_much_each_cell_counts():
    left = torch.zeros(64, 1, 2, 2)
    left[..., 0] = 3.0

    def loss(predict, emphasis=None) -> float:
        return diffusion_loss(predict, LATENTS, DDPMScheduler(), torch.Generator().manual_seed(1), emphasis).item()

    def wrong_on_the_right(x, timesteps):
        return x + torch.tensor([0.0, 100.0])

    assert loss(wrong_on_the_right, left) == pytest.approx(loss(lambda x, timesteps: x, left))
    assert loss(wrong_on_the_right, torch.full_like(left, 3.0)) == pytest.approx(loss(wrong_on_the_right), rel=1e-5)
    assert loss(wrong_on_the_right) > 1000


def test_noise_and_timesteps_come_from_the_generator():
    def loss(seed: int) -> torch.Tensor:
        return diffusion_loss(lambda x, t: x, LATENTS, DDPMScheduler(), torch.Generator().manual_seed(seed))

    assert torch.equal(loss(1), loss(1)) and not torch.equal(loss(1), loss(2))


def test_the_moving_average_warms_up_and_then_follows_slowly():
    layer = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(layer.weight)
    ema = Ema({"layer": layer}, decay=0.5)
    nn.init.ones_(layer.weight)
    expected = 0.0
    for update in range(1, 60):
        ema.update({"layer": layer})
        decay = min(0.5, update / (update + 20))
        expected = decay * expected + (1 - decay)
        assert ema.modules["layer"].weight.item() == pytest.approx(expected, abs=1e-6)
    assert not ema.modules["layer"].weight.requires_grad


def test_the_learning_rate_warms_up_holds_and_falls():
    rates = [learning_rate(step, 1000, 1.0, 100) for step in range(1001)]
    assert rates[0] == 0.01 and rates[99:500] == [1.0] * 401
    assert all(a >= b for a, b in pairwise(rates[500:]))
    assert rates[1000] == pytest.approx(0.02)


def trained(steps: int, modules, ema, optimizer, start: int = 0) -> None:
    for step in range(start, steps):
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        modules["net"](x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        ema.update(modules)


def fresh() -> tuple[dict[str, nn.Module], Ema, torch.optim.Optimizer]:
    torch.manual_seed(0)
    modules: dict[str, nn.Module] = {"net": nn.Linear(3, 2)}
    return modules, Ema(modules, 0.9), torch.optim.AdamW(modules["net"].parameters(), lr=0.1)


def test_a_checkpoint_goes_on_as_if_it_had_never_stopped(tmp_path):
    unbroken, first, second = fresh(), fresh(), fresh()
    trained(6, *unbroken)
    trained(3, *first)
    save_checkpoint(tmp_path / "c.pt", 3, *first)
    step = load_checkpoint(tmp_path / "c.pt", *second)
    trained(6, *second, start=step)
    for modules, other in [(unbroken[0], second[0]), (unbroken[1].modules, second[1].modules)]:
        assert torch.equal(modules["net"].weight, other["net"].weight)


def test_an_interrupted_save_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    state = fresh()
    save_checkpoint(tmp_path / "c.pt", 1, *state)

    def disk_full(value, path):
        path.write_bytes(b"half a file")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", disk_full)
    with pytest.raises(OSError):
        save_checkpoint(tmp_path / "c.pt", 2, *state)
    assert load_checkpoint(tmp_path / "c.pt", *state) == 1


def share(rank: int, folder) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/join", rank=rank, world_size=2)
    net = nn.ModuleDict({"always": nn.Linear(1, 1, bias=False), "at times": nn.Linear(1, 1, bias=False)})
    for parameter in net.parameters():
        nn.init.ones_(parameter)
    out = net["always"](torch.tensor([[float(rank + 1)]]))
    if rank == 1:
        out = out + net["at times"](torch.tensor([[4.0]]))
    out.sum().backward()
    average_gradients(net.parameters())
    torch.save([p.grad.item() for p in net.parameters()], folder / f"{rank}.pt")
    dist.destroy_process_group()


def test_processes_average_their_gradients(tmp_path):
    """Also those of a part that only one of them used."""
    mp.spawn(share, (tmp_path,), nprocs=2)
    assert [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)] == [[1.5, 2.0]] * 2
