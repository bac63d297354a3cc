"""Every test of a command may run one."""

from command_line import run

__all__ = ["run"]
