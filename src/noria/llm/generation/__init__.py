"""Generation: what is said to a model that writes, and what it answers.

In:   a question, the chunks that were found for it, and a prompt
Out:  messages for a model; its answer with the chunks that it cites
"""

from noria.llm.generation.citations import Cited, CitedStream, cited
from noria.llm.generation.extractive import DONT_KNOW, extracted
from noria.llm.generation.failures import (
    AnswerTimedOut,
    BadAnswer,
    BadKey,
    BadRequest,
    ContextTooLong,
    NoAnswer,
    NoSuchModel,
    NotAnswered,
    OverBudget,
    TooManyRequests,
)
from noria.llm.generation.openai_compatible import OpenAICompatible
from noria.llm.generation.port import Completion, Finish, Generator, Options, Usage
from noria.llm.generation.prices import FREE, Prices
from noria.llm.generation.prompt import BadPrompt, Message, Prompt
from noria.llm.generation.retries import Retries
from noria.llm.generation.sources import told

__all__ = [
    "DONT_KNOW",
    "FREE",
    "AnswerTimedOut",
    "BadAnswer",
    "BadKey",
    "BadPrompt",
    "BadRequest",
    "Cited",
    "CitedStream",
    "Completion",
    "ContextTooLong",
    "Finish",
    "Generator",
    "Message",
    "NoAnswer",
    "NoSuchModel",
    "NotAnswered",
    "OpenAICompatible",
    "Options",
    "OverBudget",
    "Prices",
    "Prompt",
    "Retries",
    "TooManyRequests",
    "Usage",
    "cited",
    "extracted",
    "told",
]
