"""Budgets of tokens and money, by day and by tenant, refused before they are spent."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any, Self

from noria.core.clock import Clock, SystemClock
from noria.llm.generation.failures import AnswerTimedOut, BadRequest, NoAnswer, NotAnswered, OverBudget
from noria.llm.generation.port import Completion, Generator, Options, Usage, parts_of, waits
from noria.llm.generation.prices import Prices, tokens_in, tokens_of
from noria.llm.generation.prompt import Message
from noria.stores.spending import Amount, SpendingLedger, Spent

FILE = "spending.sqlite"
FOLDER_ENV = "NORIA_SPENDING_FOLDER"


@dataclass(frozen=True)
class Limit:
    """What may be spent on a day (UTC). None: as much as is asked"""

    tokens: int | None = None
    dollars: float | None = None


class Budget:
    """A `Generator` within limits: of all tenants together, and of each.

    The most that an answer can take (its prompt, by estimate, and `Options.most_tokens`) is reserved before it is asked for, and what it
    took is put in its place after: parallel requests never spend the same rest. A prompt's estimate may be short by a few percent, and
    a day may go over by so much. prices: of `Limit.dollars`; tenants: limits of some, in place of `tenant`; folder: shared by processes

    A bundle has the limits and the folder. Where a server keeps its files elsewhere, `NORIA_SPENDING_FOLDER` says where.
    """

    def __init__(
        self,
        generator: Generator,
        folder: str | Path,
        *,
        a_day: Limit = Limit(),
        tenant: Limit = Limit(),
        tenants: Mapping[str, Limit] | None = None,
        prices: Prices | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._generator, self._all, self._each, self._tenants = generator, a_day, tenant, dict(tenants or {})
        self._prices, self._clock = prices, clock or SystemClock()
        if prices is None and any(limit.dollars is not None for limit in (a_day, tenant, *self._tenants.values())):
            raise BadRequest("Budget", "a limit is in dollars, and there are no prices", "give prices=Prices(prompt, completion)")
        self._folder = Path(folder).absolute()
        self._path = self._folder / FILE
        with self._failures():
            self._ledger = SpendingLedger(self._path)

    @property
    def limited(self) -> Generator:
        """The generator that it limits."""
        return self._generator

    def limits(self) -> dict[str, Any]:
        """What it allows, and where it keeps what was spent, as plain data."""
        tenants = {name: asdict(limit) for name, limit in self._tenants.items()}
        limits = {"a_day": asdict(self._all), "tenant": asdict(self._each), "tenants": tenants}
        return limits | {"prices": asdict(self._prices) if self._prices else None, "folder": str(self._folder)}

    @classmethod
    def opened(cls, generator: Generator, limits: Mapping[str, Any]) -> Self:
        """A budget of these limits."""
        prices = Prices(**limits["prices"]) if limits["prices"] else None
        tenants = {name: Limit(**limit) for name, limit in limits["tenants"].items()}
        folder = os.environ.get(FOLDER_ENV) or limits["folder"]
        return cls(generator, folder, a_day=Limit(**limits["a_day"]), tenant=Limit(**limits["tenant"]), tenants=tenants, prices=prices)

    @property
    def waits(self) -> bool:
        """Whether it waits for a network."""
        return waits(self._generator)

    @property
    def provider(self) -> str:
        return str(getattr(self._generator, "provider", ""))

    def generate(self, messages: Sequence[Message], options: Options = Options()) -> Completion:
        """The answer as a whole. Raises `OverBudget`."""
        reserved = self._reserve(messages, options)
        spent = Amount()
        try:
            made = self._generator.generate(messages, options)
            spent = self._taken(made)
        except NoAnswer as failure:
            spent = self._of_failure(messages, failure)
            raise
        finally:
            self._settle(reserved, options, spent)
        return made

    def stream(self, messages: Sequence[Message], options: Options = Options()) -> Iterator[str | Completion]:
        """Its parts, and last the whole. Who stops reading has spent what was written. Raises `OverBudget`."""
        reserved = self._reserve(messages, options)
        spent, written = Amount(), 0
        try:
            with closing(parts_of(self._generator, messages, options)) as parts:
                for part in parts:
                    if isinstance(part, Completion):
                        spent = self._taken(part)
                    else:
                        written += tokens_in(part)
                        spent = self._amount(Usage(tokens_of(messages), written))
                    yield part
        except NoAnswer as failure:
            spent = self._of_failure(messages, failure)
            raise
        finally:
            self._settle(reserved, options, spent)

    def definition(self) -> dict[str, Any]:
        """Of what it limits: no answer depends on a budget."""
        return self._generator.definition()

    def spent(self, day: str | None = None) -> dict[str, Spent]:
        """What was spent on a day such as 2026-11-30 (None: today, UTC), by tenant; with what is reserved just now."""
        with self._failures():
            return self._ledger.spent(day or self._today())

    def _reserve(self, messages: Sequence[Message], options: Options) -> tuple[str, Amount]:
        day, whose = self._today(), options.tenant
        amount = self._amount(Usage(tokens_of(messages), options.most_tokens))
        own = self._tenants.get(whose, self._each)
        limits: dict[str | None, tuple[int | None, float | None]] = {
            whose: (own.tokens, own.dollars),
            None: (self._all.tokens, self._all.dollars),
        }
        with self._failures():
            left = self._ledger.reserve(day, whose, amount, limits)
        if left is not None:
            needed = f"{amount.tokens:,} tokens" if left.endswith("tokens") else f"${amount.dollars:.4f}"
            raise OverBudget(f"tenant {whose!r}" if whose else "this application", needed, left, day, self._until_tomorrow())
        return day, amount

    def _settle(self, reserved: tuple[str, Amount], options: Options, spent: Amount) -> None:
        day, amount = reserved
        with self._failures():
            self._ledger.settle(day, options.tenant, amount, spent)

    def _taken(self, made: Completion) -> Amount:
        if made.attempts == 0:  # it was kept from before
            return Amount()
        amount = self._amount(made.usage)
        return amount if made.usage.cost is None else Amount(amount.tokens, made.usage.cost)

    def _of_failure(self, messages: Sequence[Message], failure: NoAnswer) -> Amount:
        """What a failed answer took, to our knowledge: a model that began has read its prompt."""
        if failure.partial or isinstance(failure, AnswerTimedOut):
            return self._amount(Usage(tokens_of(messages), tokens_in(failure.partial)))
        return Amount()

    def _amount(self, usage: Usage) -> Amount:
        return Amount(usage.prompt_tokens + usage.completion_tokens, self._prices.cost(usage) if self._prices else 0.0)

    def _today(self) -> str:
        return f"{self._clock.now():%Y-%m-%d}"

    def _until_tomorrow(self) -> int:
        now = self._clock.now()
        return int((datetime.combine(now.date() + timedelta(days=1), time(), UTC) - now).total_seconds()) + 1

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Without its ledger a budget lets nothing through."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            failure = NotAnswered("the budget's ledger", f"{self._path}: {error}")
            failure.again = False
            raise failure from error
