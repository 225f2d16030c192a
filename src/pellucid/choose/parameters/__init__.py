"""The table of generation parameters: names, allowed values, what each does, how they combine.

Names are those of transformers' GenerationConfig, and OpenAI's where transformers has none.
Validation, the options of the command line and the documentation are read from this table. A file
here is a group of rows; `generation.py` joins them.
"""

from pellucid.choose.parameters.generation import (
    PARAMETERS,
    GenerationParameters,
    parameters,
)
from pellucid.choose.parameters.lengths import DEFAULT_NEW_TOKENS
from pellucid.choose.parameters.table import Parameter

__all__ = ["DEFAULT_NEW_TOKENS", "PARAMETERS", "GenerationParameters", "Parameter", "parameters"]
