"""Previews: which terminals get one, and what is sent to them."""

import base64
import io
import os
import re

import pytest
from PIL import Image

from agent.show import encode, preview, terminal_protocol

RED_OVER_BLUE = Image.new("RGB", (40, 40), "red")
RED_OVER_BLUE.paste("blue", (0, 20, 40, 40))


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, "blocks"),
        ({"TERM": "screen-256color", "KITTY_WINDOW_ID": "1", "COLORTERM": "truecolor"}, "blocks"),
        ({"TERM": "xterm-256color"}, None),
        ({"TERM": "xterm-kitty", "NO_COLOR": "1"}, None),
        ({}, None),
    ],
)
def test_the_protocol_follows_what_the_terminal_says(environment, protocol):
    assert terminal_protocol(environment) == protocol


def test_half_blocks_keep_the_colours_of_the_upper_and_the_lower_half():
    rows = encode(RED_OVER_BLUE, "blocks", 4).split("\n")
    assert len(rows) == 2
    assert rows[0].count("\x1b[38;2;255;0;0m") == 4
    assert rows[1].count("\x1b[48;2;0;0;255m") == 4


def test_kitty_and_iterm2_carry_the_whole_png():
    noise = Image.frombytes("RGB", (100, 100), os.urandom(30_000))
    kitty = "".join(re.findall(r"\x1b_G[^;]*;([^\x1b]*)\x1b\\", encode(noise, "kitty", 40)))
    iterm2 = re.findall(r":([A-Za-z0-9+/=]+)\a", encode(noise, "iterm2", 40))[0]
    for data in (kitty, iterm2):
        assert Image.open(io.BytesIO(base64.b64decode(data))).tobytes() == noise.tobytes()


def test_nothing_is_written_where_there_is_no_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-kitty")
    stream = io.StringIO()
    assert preview(RED_OVER_BLUE, stream) is False
    assert stream.getvalue() == ""
