"""What builds, deploys and operates Flywheel; nothing of it is in the bundle."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The project's own folder, whatever the working directory."""

STACK = "Flywheel"
"""The CloudFormation stack, unless a command is told of another."""
