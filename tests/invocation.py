"""What Lambda tells an invocation, where nothing depends on it."""

from __future__ import annotations

from aws_lambda_powertools.utilities.typing import LambdaContext


class Context(LambdaContext):
    """There is plenty of time."""

    def __init__(self) -> None:
        self._function_name = self._aws_request_id = "here"
        self._memory_limit_in_mb = 512
        self._invoked_function_arn = "arn:aws:lambda:eu-west-1:000000000000:function:here"

    def get_remaining_time_in_millis(self) -> int:  # type: ignore[override]
        """Fifteen minutes."""
        return 900_000
