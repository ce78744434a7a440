"""Guardrails: what may go into an application, and what may come out of it.

In:   questions, the chunks that were found, and answers, whole or in parts
Out:  decisions with reasons, texts with placeholders for what was redacted, and log records without a word of what was found
"""

from noria.llm.guardrails.credentials import Secrets
from noria.llm.guardrails.declared import guardrails_of, policy_of
from noria.llm.guardrails.groundedness import Grounded, Support, grounded
from noria.llm.guardrails.guardrails import Blocked, Checked, Guardrails
from noria.llm.guardrails.injection import Injection
from noria.llm.guardrails.judged import Judged
from noria.llm.guardrails.leaks import Leak, Searched, searched
from noria.llm.guardrails.limits import Languages, Length, OutputSchema, Topics
from noria.llm.guardrails.markup import SafeMarkup
from noria.llm.guardrails.personal import PersonalData
from noria.llm.guardrails.placeholders import Restorer
from noria.llm.guardrails.policy import Policy
from noria.llm.guardrails.rule import Action, BadRule, Context, Decision, DeclaredRule, Finding, Rule, RuleFailed, Where
from noria.llm.guardrails.stream import GuardedStream
from noria.llm.guardrails.toxicity import Toxicity

__all__ = [
    "Action",
    "BadRule",
    "Blocked",
    "Checked",
    "Context",
    "Decision",
    "DeclaredRule",
    "Finding",
    "Grounded",
    "GuardedStream",
    "Guardrails",
    "Injection",
    "Judged",
    "Languages",
    "Leak",
    "Length",
    "OutputSchema",
    "PersonalData",
    "Policy",
    "Restorer",
    "Rule",
    "RuleFailed",
    "SafeMarkup",
    "Searched",
    "Secrets",
    "Support",
    "Topics",
    "Toxicity",
    "Where",
    "grounded",
    "guardrails_of",
    "policy_of",
    "searched",
]
