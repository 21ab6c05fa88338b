"""Keeps what the README shows of `--help` as it is.

python tests/readme_help.py
"""

from pathlib import Path

from click import Context

from edgecap.cli import COMMANDS, edgecap_command

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- help: written by  make readme -->\n", "<!-- end of help -->"


def renewed(readme: str) -> str:
    """The README's text with the help of today."""
    before, _, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{README}: expected {BEGIN.strip()} and then {END}")
    return f"{before}{BEGIN}\n{_help()}{END}{after}"


def _help() -> str:
    settings = edgecap_command.context_settings
    top = Context(edgecap_command, info_name="edgecap", terminal_width=96, **settings)
    blocks = []
    for name in COMMANDS:
        command = edgecap_command.get_command(top, name)
        assert command is not None
        text = command.get_help(Context(command, parent=top, info_name=name))
        blocks.append(f"```text\n$ edgecap {name} --help\n{text}\n```\n\n")
    return "".join(blocks)


if __name__ == "__main__":
    README.write_text(renewed(README.read_text(encoding="utf-8")), encoding="utf-8")
