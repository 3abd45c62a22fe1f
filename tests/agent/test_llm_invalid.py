"""Invalid plans go back to the model by field path, so many times; every token counts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.chat import errors
from tests.agent.fake_openai_server import FakeOpenAI, completion, says, sends
from tests.agent.llm_answers import GOOD, answer, cup, plan


@pytest.mark.parametrize(
    ("bad", "path"),
    [
        ("Two cups, I think.", "no JSON object"),
        ('{"caption": ', "not JSON"),
        (answer(cup(1, 100), cup(2, 950)), "instances[1].box.x1: must lie on the grid, from 0 to 1000 (got 1100"),
        (answer(cup(1, 100), cup(1, 500)), "instances[1].id = 'cup_1' is already used"),
        (answer(cup(1, 100, box={"x0": 9, "y0": 9, "x1": 5, "y1": 50})), "instances[0].box: x0 = 9"),
    ],
)
def test_an_invalid_plan_goes_back_with_the_path_of_the_field(bad: Any, path: str) -> None:
    with FakeOpenAI(says(bad, tokens=(10, 5)), says(GOOD, tokens=(30, 7))) as server:
        result = plan(server)
    assert len(result.layout.instances) == 2
    assert result.usage == {"input_tokens": 40, "output_tokens": 12}
    first, second = (request.body["messages"] for request in server.requests)
    assert second[:2] == first
    assert [message["role"] for message in second[2:]] == ["assistant", "user"]
    assert path in second[3]["content"]


def test_thoughts_are_not_sent_back() -> None:
    with FakeOpenAI(says("<think>hmm</think>no plan"), says(GOOD)) as server:
        plan(server)
    assert server.requests[1].body["messages"][2]["content"] == "no plan"


def test_a_plan_that_stays_invalid_ends_with_the_last_problem() -> None:
    bad = answer(cup(1, 950))
    with (
        FakeOpenAI(says("nothing"), says("nothing"), says(bad)) as server,
        pytest.raises(errors.AnswerInvalid, match=r"no valid answer in 3 tries[^$]*instances\[0\]\.box\.x1"),
    ):
        plan(server)
    assert len(server.requests) == 3


def test_tokens_of_an_empty_answer_are_counted_too() -> None:
    with FakeOpenAI(sends({**completion(""), "choices": []}), says(GOOD)) as server:
        assert plan(server).usage == {"input_tokens": 200, "output_tokens": 40}


def test_a_server_that_reports_no_usage_is_fine() -> None:
    with FakeOpenAI(sends({"choices": completion(json.dumps(GOOD))["choices"]})) as server:
        assert plan(server).usage == {}
