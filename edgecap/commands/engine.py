"""The options by which commands choose the engine and how much of the machine it may use."""

import click

from edgecap_runtime import options

threads_option = click.option(
    "--threads",
    type=click.IntRange(1, options.MAXIMUM_THREADS),
    help=f"Cores to use.  [default: all, at most {options.DEFAULT_THREADS}]",
)
backend_option = click.option(
    "--backend",
    type=click.Choice(options.BACKENDS),
    default="auto",
    show_default=True,
    help="The engine.",
)
