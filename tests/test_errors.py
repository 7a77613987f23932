"""Texts from outside in messages: on one line, cut, and without a terminal's codes."""

from jaxgan.errors import one_line, printable, unknown


def test_printable_escapes_and_cuts():
    assert printable("plain é 日本") == "plain é 日本"
    assert printable("a\nb\t\x1b[31m\x9b\u202e\udce9") == (
        r"a\nb\t\x1b[31m\x9b\u202e\udce9"
    )
    assert printable("x" * 10**6) == "x" * 200 + "..."
    assert printable("abcdef", 3) == "abc..."
    assert printable(12) == "12"


def test_a_message_is_one_line_however_long_a_word_is():
    path = "/a/" + "x" * 5000 + "/name.png"
    line = one_line(f"--out = {path}:\n  is too\tlong \x07")
    assert line.startswith("--out = /a/xxx")
    assert line.endswith("xxx/name.png: is too long \\x07")
    assert len(line) < 350
    short = "/a/" + "x" * 200 + "/name.png"
    assert one_line(short) == short


def test_an_unknown_name_is_cut_too():
    line = str(unknown("gan.name", "\x1b" * 300, ["wgan"]))
    assert line.startswith(r"gan.name = \x1b\x1b")
    assert line.isprintable()
    assert "valid: wgan" in line
    assert len(line) < 1000
