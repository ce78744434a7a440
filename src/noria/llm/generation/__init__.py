"""Generation: what is said to a model that writes, and what it answers.

In:   a question, the chunks that were found for it, and a prompt
Out:  messages for a model; its answer with the chunks that it cites

Every `Generator` (a server's, one in this process, several behind one another, one within a budget, one whose answers are kept) is used
alike; what goes wrong is a `NoAnswer`. Prompts are files in `prompts/`, with tests beside them.
"""

from noria.llm.generation.budget import Budget, Limit
from noria.llm.generation.cached import Cached
from noria.llm.generation.citations import Cited, CitedStream, cited
from noria.llm.generation.definitions import generator_of
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
from noria.llm.generation.fallbacks import Fallbacks
from noria.llm.generation.local import Local
from noria.llm.generation.openai_compatible import OpenAICompatible
from noria.llm.generation.port import Completion, Finish, Generator, Options, Usage
from noria.llm.generation.prices import FREE, Prices
from noria.llm.generation.prompt import BadPrompt, Message, Prompt
from noria.llm.generation.prompt_cases import PromptCase, PromptResult, prompt_cases, prompt_results
from noria.llm.generation.retries import Retries
from noria.llm.generation.rewriting import Rewritten, SeveralWays, rewritten, several_ways
from noria.llm.generation.sources import told
from noria.llm.generation.structured import Structured, structured

__all__ = [
    "DONT_KNOW",
    "FREE",
    "AnswerTimedOut",
    "BadAnswer",
    "BadKey",
    "BadPrompt",
    "BadRequest",
    "Budget",
    "Cached",
    "Cited",
    "CitedStream",
    "Completion",
    "ContextTooLong",
    "Fallbacks",
    "Finish",
    "Generator",
    "Limit",
    "Local",
    "Message",
    "NoAnswer",
    "NoSuchModel",
    "NotAnswered",
    "OpenAICompatible",
    "Options",
    "OverBudget",
    "Prices",
    "Prompt",
    "PromptCase",
    "PromptResult",
    "Retries",
    "Rewritten",
    "SeveralWays",
    "Structured",
    "TooManyRequests",
    "Usage",
    "cited",
    "extracted",
    "generator_of",
    "prompt_cases",
    "prompt_results",
    "rewritten",
    "several_ways",
    "structured",
    "told",
]
