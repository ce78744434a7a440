"""An A/B test over HTTP: who asks stays in one arm, an answer is logged as its arm's, and feedback is on what was shown. And a shadow that
may answer a part only: how many, and that it failed is told."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import msgspec
import pytest

from applications import SOURCE, application, as_json
from noria.core.files import LocalFiles
from noria.serving.batching.allowance import Allowance, drawn
from noria.serving.log.predictions import Predictions
from noria.serving.log.segments import read_log
from servers import Standalone, make_bundle, soon
from texts import FOREVER

USERS = 40
PATIENCE = 30.0  # seconds
OTHER = SOURCE.replace('yield word + " "', 'yield word + "! "', 2)
FAILING = SOURCE.replace('what, *words = question.split(" ")', 'what, *words = question.split(" ")\n        assert what == "say"')


def chat(server: Standalone, text: str, *before: str, **more: Any) -> dict[str, Any]:
    roles = ["user", "assistant"] * (len(before) + 1)
    messages = [{"role": role, "content": each} for role, each in zip(roles, (*before, text), strict=False)]
    status, told = server.http("POST", "/v1/chat/completions", as_json({"model": "small", "messages": messages, **more}))
    assert status == 200, told
    return dict(told)


def logged(server: Standalone, rows: int) -> Predictions:
    def read() -> Predictions | None:
        return read_log(server.folder / "log", *FOREVER, LocalFiles())

    soon(lambda: len(read() or ()) >= rows, PATIENCE)
    found = read()
    assert found is not None
    return found


def test_both_arms_answer_and_who_asks_stays_in_one(tmp_path: Path) -> None:
    champion = application(tmp_path / "bundles")
    candidate = application(tmp_path / "bundles", OTHER, "other", "golden! rows! ")
    order = {"trust": True, "candidate": str(candidate.path), "share": 0.5}
    server = Standalone(tmp_path / "server", champion.path, order=order, feedback_comments="false")
    try:
        arms = defaultdict[str, set[str]](set)
        answers = dict[str, str]()
        for number in range(2 * USERS):
            user = f"user {number % USERS}"
            told = chat(server, f"say {number}", user=user)
            arms[user].add(told["noria"]["bundle"])
            answers[told["id"]] = told["noria"]["bundle"]
            assert told["choices"][0]["message"]["content"] == (f"{number} " if told["noria"]["bundle"] == champion.id else f"{number}! ")
        assert all(len(bundles) == 1 for bundles in arms.values())
        of = Counter(next(iter(bundles)) for bundles in arms.values())
        assert set(of) == {champion.id, candidate.id}
        assert min(of.values()) > USERS // 5  # a binomial of 40: under 9 with a chance of 0.01 %, and it is the same in each run
        first = chat(server, "say begun")["noria"]["bundle"]
        assert chat(server, "say more", "say begun", "begun ")["noria"]["bundle"] == first  # a conversation goes on where it began
        found = logged(server, 2 * USERS + 2)
        variants = dict(zip(found.ids, found.variant, strict=True))
        assert {variants[each] for each, bundle in answers.items() if bundle == candidate.id} == {"candidate"}
        assert {variants[each] for each, bundle in answers.items() if bundle == champion.id} == {"champion"}
        for identifier, bundle in answers.items():
            status, told = server.http(
                "POST", "/v1/feedback", as_json({"prediction_id": identifier, "helpful": float(bundle == candidate.id)})
            )
            assert status == 200, told
        given = [
            msgspec.json.decode(line) for path in (server.folder / "log" / "feedback").iterdir() for line in path.read_bytes().splitlines()
        ]
        assert {row["id"]: row["helpful"] for row in given} == {each: int(bundle == candidate.id) for each, bundle in answers.items()}
        body = {"model": "small", "messages": [{"role": "user", "content": "say parts"}], "stream": True}
        assert server.http("POST", "/v1/chat/completions", as_json(body))[0] == 200
        status, state = server.admin("/status")
        assert (status, server.stop()[0]["holds"]) == (200, True), state
    finally:
        server.kill()


def test_rows_of_other_models_are_split_by_their_keys(tmp_path: Path) -> None:
    bundles = tmp_path / "bundles"
    candidate = make_bundle(bundles, 10.0)
    order = {"candidate": str(candidate.path), "share": 0.25}
    server = Standalone(tmp_path / "server", make_bundle(bundles, 0.0).path, order=order)
    try:
        told = {key: [server.ask(keys=[key])[1]["predictions"][0] for _ in range(2)] for key in map(str, range(80))}
        assert {tuple(each) for each in told.values()} == {(1.0, 1.0), (11.0, 11.0)}
        mine = {key for key, each in told.items() if each[0] == 11.0}
        assert mine == {key for key in told if drawn(f"{candidate.id}/{key}", 0.25)}
        assert Counter(variant for variant, _, _ in server.logged().values()) == {
            "candidate": 2 * len(mine),
            "champion": 160 - 2 * len(mine),
        }
        server.aim(candidate.path)  # it is promoted: from now on it answers all, as the champion
        soon(lambda: all(server.ask(keys=[key])[1]["predictions"] == [11.0] for key in ("1", "2", "3", "4", "5", "6", "7", "8")), PATIENCE)
    finally:
        server.kill()


def test_a_shadow_answers_so_many_and_what_it_failed_is_logged(tmp_path: Path) -> None:
    champion, failing = application(tmp_path / "bundles"), application(tmp_path / "bundles", FAILING, "failing")
    terms = {"share": 1.0, "answers": 12, "since": "2020-01-01T00:00:00Z"}
    order = {"trust": True, "shadow_terms": terms}
    server = Standalone(tmp_path / "server", champion.path, failing.path, order=order, workers=2)
    try:
        for number in range(20):
            told = chat(server, f"{'tell' if number % 2 else 'say'} {number}")
            assert told["choices"][0]["message"]["content"] == f"{number} "
            assert told["noria"]["bundle"] == champion.id
            server.http("POST", "/v1/search", as_json({"model": "small", "query": "say nothing"}))  # which costs nothing of it
        soon(lambda: {"answered", "failed"} <= {row["finish"] for row in shadowed(server)}, PATIENCE)
        found = shadowed(server)
        assert len(found) <= 12
        for row in found:
            assert (row["finish"], row["answer"]) == (
                ("answered", row["question"][4:] + " ") if row["question"].startswith("say") else ("failed", "")
            )
        assert {"answered", "failed"} <= {row["finish"] for row in found}
        status, told = server.http("POST", "/v1/feedback", as_json({"prediction_id": found[0]["id"], "helpful": True}))
        assert status == 404, told  # nobody was shown it
    finally:
        server.kill()


def shadowed(server: Standalone) -> list[dict[str, Any]]:
    found = read_log(server.folder / "log", *FOREVER, LocalFiles())
    if found is None:
        return []
    rows = found.by("challenger")
    asked = [row for values in rows.values.values() for row in values.inputs.dicts()]
    said = [row for values in rows.values.values() for row in values.outputs.dicts()]
    return [{"id": each, "question": one["question"], **other} for each, one, other in zip(rows.ids, asked, said, strict=True)]


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_a_share_is_drawn(share: float) -> None:
    """Of 4,000 requests: 5 standard deviations are 4 %."""
    allowed = Allowance(share, 4_000)
    taken = sum(allowed.takes(1_000 * number, 0) for number in range(4_000))
    assert abs(taken / 4_000 - share) < 0.04
    assert allowed.left == 4_000 - taken
    few = Allowance(1.0, 3)
    assert [few.takes(number, 0) for number in range(5)] == [True, True, True, False, False]
