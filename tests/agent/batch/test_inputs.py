"""What people hand to a batch: every format, and every line that is wrong, with its place."""

import json

import pytest

from agent.batch.inputs import read_input
from agent.exits import Stop
from diffusion.layout import Box, Instance, Layout

LAYOUT = Layout(
    version=1,
    caption="a red ball",
    width=128,
    height=128,
    instances=(Instance(id="b", category="ball", caption="a red ball", box=Box(x0=0.1, y0=0.1, x1=0.5, y1=0.5)),),
)


def read(tmp_path, name, content, **options):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_input(path, batch_seed=0, **options)


def test_a_prompt_a_line(tmp_path):
    found = read(tmp_path, "p.txt", b"\xef\xbb\xbfa red ball\r\n\n  \nein gr\xc3\xbcner Ball\n")
    assert [item.prompt for item in found.items] == ["a red ball", "ein grüner Ball"]
    assert [item.place.rsplit(": ")[-1] for item in found.items] == ["line 1", "line 4"]
    assert found.problems == () and "2 blank lines" in found.notes[0]


def test_the_same_prompt_twice_is_two_items_wherever_they_stand(tmp_path):
    first = read(tmp_path, "p.txt", "a cat\na dog\na cat\n").items
    again = read(tmp_path, "q.txt", "a cat\na cat\na dog\n").items
    assert {(item.id, item.seed) for item in first} == {(item.id, item.seed) for item in again}
    assert len({item.seed for item in first}) == 3


def test_bad_lines_are_all_named_and_the_others_read(tmp_path):
    lines = [
        '{"prompt": "a red ball", "id": "one", "seed": 5, "options": {"steps": 4}}',
        '{"prompt": 3}',
        '{"promt": "a ball"}',
        "not json",
        '{"prompt": "a ball", "seed": -1}',
        '{"prompt": "a ball", "options": {"stepz": 4}}',
        '{"prompt": "a ball", "options": {"steps": 0}}',
        '{"prompt": "a cube", "id": "one"}',
        '{"id": "lonely"}',
        '{"prompt": "  "}',
        '{"prompt": "a ball", "id": "a\\nb"}',
        '{"layout": {"version": 1, "caption": "x"}}',
        "",
        json.dumps({"id": "two", "layout": LAYOUT.to_dict()}),
        '["a ball"]',
        '{"prompt": "x", "plan": null, "error": "too hard"}',
    ]
    found = read(tmp_path, "p.jsonl", "\n".join(lines))
    assert [item.id for item in found.items] == ["one", "two"]
    assert found.items[0].seed == 5 and found.items[0].options.given() == {"steps": 4}
    assert found.items[1].layout == LAYOUT
    wrong = sorted(int(problem.place.rsplit("line ")[-1]) for problem in found.problems)
    assert wrong == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 16]
    said = {int(problem.place.rsplit("line ")[-1]): problem.message for problem in found.problems}
    assert "options: stepz" in said[6] and "greater than or equal to 1 (got 0)" in said[7]
    assert "line 1" in said[8] and "too hard" in said[16]


def test_bytes_that_are_no_text_are_named_by_line(tmp_path):
    found = read(tmp_path, "p.txt", b"a ball\na \xff ball\na cube\n")
    assert [item.prompt for item in found.items] == ["a ball", "a cube"]
    assert str(found.problems[0]).endswith("line 2: the prompt is not valid UTF-8 (character 3)")


def test_csv_with_columns_for_options_and_cells_of_several_lines(tmp_path):
    rows = ['1,"a red\nball",3,4,,', "2,a cube,,,2.5,depth", "3,a cat,x,,,", "4,a dog,,,,no", "5"]
    text = "\n".join(["id,prompt,seed,steps,guidance,merge", *rows])
    found = read(tmp_path, "p.csv", text)
    one, two = found.items
    assert (one.id, one.prompt, one.seed, one.options.given()) == ("1", "a red\nball", 3, {"steps": 4})
    assert two.options.given() == {"guidance": 2.5, "merge": "depth"}
    assert [problem.place.rsplit(": ")[-1] for problem in found.problems] == ["line 5", "line 6", "line 7"]


def test_csv_with_json_in_its_cells(tmp_path):
    import csv
    import io

    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["id", "layout", "options"])
    writer.writerow(["x", LAYOUT.to_json(), '{"rounds": 1}'])
    (item,) = read(tmp_path, "p.csv", buffer.getvalue()).items
    assert item.layout == LAYOUT and item.options.rounds == 1 and item.prompt is None


@pytest.mark.parametrize("header", ["id,seed", "prompt,prompt", "prompt,colour", ""])
def test_a_csv_needs_a_header_that_says_something(tmp_path, header):
    with pytest.raises(Stop, match="line 1"):
        read(tmp_path, "p.csv", header + "\na,b\n")


def test_plans_of_the_plan_command_can_be_drawn(tmp_path):
    line = json.dumps({"prompt": "a ball, red", "plan": LAYOUT.to_dict(), "notes": ["a note"]})
    (item,) = read(tmp_path, "plans.jsonl", line).items
    assert (item.prompt, item.layout, item.notes) == ("a ball, red", LAYOUT, ("a note",))


def test_a_folder_of_layouts(tmp_path):
    folder = tmp_path / "layouts"
    folder.mkdir()
    (folder / "one.json").write_text(LAYOUT.to_json())
    (folder / "many.jsonl").write_text("\n".join([LAYOUT.to_json(None)] * 2))
    (folder / "broken.json").write_text('{"version": 1}')
    (folder / "readme.md").write_text("hello")
    (folder / "deeper").mkdir()
    found = read_input(folder, batch_seed=0)
    assert sorted(item.id for item in found.items) == ["many-1", "many-2", "one"]
    assert len(found.problems) == 1 and "broken.json" in found.problems[0].place
    assert ["deeper" in found.notes[0], "readme.md" in found.notes[1]] == [True, True]


def test_a_file_of_layouts_is_a_folder_of_one(tmp_path):
    (item,) = read(tmp_path, "mine.json", json.dumps(LAYOUT.to_dict(), indent=2)).items
    assert (item.id, item.layout, item.prompt) == ("mine", LAYOUT, None)
    two = read(tmp_path, "two.json", f"{LAYOUT.to_json(None)}\n" * 2)
    assert [item.id for item in two.items] == ["two-1", "two-2"]
    (problem,) = read(tmp_path, "list.json", '[{"prompt": "a ball"}]').problems
    assert problem.place.endswith("list.json") and "expected a JSON object" in problem.message
    assert read(tmp_path, "lines.json", '{"prompt": "a ball"}\n{"prompt": "a cube"}\n').items[1].prompt == "a cube"


def test_where_json_breaks_is_told_once(tmp_path):
    (problem,) = read(tmp_path, "p.jsonl", '{"prompt": "a ball"}\n{"prompt": \n').problems
    assert str(problem).endswith("p.jsonl: line 2: column 12: not JSON: Expecting value")


def test_a_layout_and_options_that_contradict_it(tmp_path):
    line = json.dumps({"layout": LAYOUT.to_dict(), "options": {"width": 256}})
    assert "width = 256" in read(tmp_path, "p.jsonl", line).problems[0].message


def test_without_a_known_ending_the_content_decides(tmp_path):
    assert read(tmp_path, "scenes", '\n{"prompt": "a ball"}\n').items[0].prompt == "a ball"
    assert read(tmp_path, "scenes2", "a ball\n").items[0].prompt == "a ball"
    assert read(tmp_path, "s.txt", '{"prompt": "a ball"}\n').items[0].prompt == '{"prompt": "a ball"}'
    assert read(tmp_path, "s.txt", '{"prompt": "a ball"}\n', format="jsonl").items[0].prompt == "a ball"


def test_nothing_to_do_is_said(tmp_path):
    with pytest.raises(Stop, match="nothing to do"):
        read(tmp_path, "p.txt", "\n\n")
    with pytest.raises(Stop, match="cannot be read"):
        read_input(tmp_path / "missing.txt", batch_seed=0)
