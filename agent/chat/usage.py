"""What requests to LLMs used: tokens, and what they cost where prices are configured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from agent.planner import PlannerError
from diffusion.layout import explain

Usage: TypeAlias = dict[str, float]
"""Sums by kind: "input_tokens" and "output_tokens", and "cost" where the model's price is configured."""

PRICES_VARIABLE = "SCENEWRIGHT_PRICES"


class Price(BaseModel):
    """What a million tokens cost, in any one currency; cached input costs as much as other input unless given."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    input: Annotated[float, Field(ge=0)]
    output: Annotated[float, Field(ge=0)]
    cached_input: Annotated[float, Field(ge=0)] | None = None

    def cost(self, input_tokens: int, output_tokens: int, cached: int = 0) -> float:
        """``cached`` counts among the input tokens."""
        known = min(cached, input_tokens)
        of_cached = self.input if self.cached_input is None else self.cached_input
        return ((input_tokens - known) * self.input + known * of_cached + output_tokens * self.output) / 1e6


def price_of(model: str, environ: Mapping[str, str]) -> Price | None:
    """The model's price in SCENEWRIGHT_PRICES, such as ``{"gpt-5.4-mini": {"input": 0.25, "output": 2.0}}``.

    None when the variable or the model in it is missing; PlannerError when it cannot be read.
    """
    text = environ.get(PRICES_VARIABLE, "").strip()
    if not text:
        return None
    try:
        return TypeAdapter(dict[str, Price]).validate_json(text).get(model)
    except ValidationError as error:
        raise PlannerError(
            f"{explain(error, PRICES_VARIABLE)}\nIt holds the price of a million tokens by model: "
            '{"name-of-a-model": {"input": 0.25, "output": 2.0}}'
        ) from error


def add_usage(total: Usage, more: Mapping[str, float]) -> None:
    """Adds ``more`` to ``total``, kind by kind."""
    for kind, count in more.items():
        total[kind] = round(total.get(kind, 0) + count, 9)


def usage_in_words(usage: Mapping[str, float]) -> str:
    """Such as "1200 input tokens, 340 output tokens, cost 0.0031"."""
    return ", ".join(
        f"cost {count:.4g}" if kind == "cost" else f"{count:.0f} {kind.replace('_', ' ')}"
        for kind, count in usage.items()
    )
