"""What asking an LLM took: tokens over every attempt, and their cost where prices are configured."""

from __future__ import annotations

import json

import pytest

from agent.chat.usage import price_of, usage_in_words
from agent.llm import LLMPlanner
from agent.planner import PlannerError, PlannerUnavailable
from tests.agent.fake_openai_server import FakeOpenAI, Step, completion, fails, says, sends
from tests.agent.llm_answers import GOOD

PRICES = '{"fake": {"input": 2.0, "output": 10.0}, "other": {"input": 1, "output": 1}}'


def priced(server: FakeOpenAI, prices: str = PRICES) -> LLMPlanner:
    return LLMPlanner("fake", base_url=server.url, backoff=0.01, environ={"SCENEWRIGHT_PRICES": prices})


def test_every_answer_costs_also_the_ones_in_vain() -> None:
    script = [
        fails(500),
        says("", tokens=(1000, 0)),
        says("no plan", tokens=(1000, 50)),
        says(GOOD, tokens=(1100, 300)),
    ]
    with FakeOpenAI(*script) as server:
        plan = priced(server).plan("cups", width=64, height=64, seed=0)
    assert plan.usage == {"input_tokens": 3100, "output_tokens": 350, "cost": pytest.approx(0.0097)}


def test_a_planner_adds_up_what_its_failures_took_too() -> None:
    refusal: Step = says(None, refusal="no", tokens=(500, 20))
    with FakeOpenAI(says(GOOD, tokens=(100, 10)), refusal) as server:
        planner = priced(server)
        planner.plan("cups", width=64, height=64, seed=0)
        with pytest.raises(PlannerUnavailable):
            planner.plan("other cups", width=64, height=64, seed=0)
    assert planner.usage == {"input_tokens": 600, "output_tokens": 30, "cost": pytest.approx(0.0015)}


def test_cached_input_may_have_a_price_of_its_own() -> None:
    body = completion(json.dumps(GOOD), tokens=(1000, 100))
    body["usage"]["prompt_tokens_details"] = {"cached_tokens": 600}
    prices = '{"fake": {"input": 2.0, "output": 10.0, "cached_input": 0.5}}'
    with FakeOpenAI(sends(body)) as server:
        plan = priced(server, prices).plan("cups", width=64, height=64, seed=0)
    assert plan.usage["cost"] == pytest.approx((400 * 2 + 600 * 0.5 + 100 * 10) / 1e6)


def test_a_model_without_a_price_has_no_cost() -> None:
    with FakeOpenAI(says(GOOD)) as server:
        plan = priced(server, '{"other": {"input": 1, "output": 1}}').plan("cups", width=64, height=64, seed=0)
    assert "cost" not in plan.usage


@pytest.mark.parametrize(
    ("prices", "problem"),
    [
        ("0.5", "SCENEWRIGHT_PRICES: .*object"),
        ('{"m": {"input": 1}}', "SCENEWRIGHT_PRICES: m.output: Field required"),
        ('{"m": {"input": -1, "output": 1}}', "SCENEWRIGHT_PRICES: m.input: .*greater than or equal to 0"),
        ('{"m": {"input": 1, "output": 1, "per": "token"}}', "SCENEWRIGHT_PRICES: m.per: Extra inputs"),
    ],
)
def test_prices_that_can_not_be_read_are_refused(prices: str, problem: str) -> None:
    with pytest.raises(PlannerError, match=problem) as caught:
        price_of("m", {"SCENEWRIGHT_PRICES": prices})
    assert "price of a million tokens" in str(caught.value)


def test_usage_is_told_in_words() -> None:
    words = usage_in_words({"input_tokens": 1200, "output_tokens": 340, "cost": 0.00312})
    assert words == "1200 input tokens, 340 output tokens, cost 0.00312"
