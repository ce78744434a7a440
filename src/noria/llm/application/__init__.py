"""Applications: retrieval, a prompt and a generator as one model, which the loop builds, judges, releases and watches like any other.

In:   a corpus (a table of documents), questions that were asked, and the parts that answer them
Out:  a model whose bundle holds the index as of a moment, the prompt, and the settings of all parts

    application.py  the declaration, and how it is built
    questions.py    what it reads of a question
    answering.py    how a question is answered
    opening.py      the same from a bundle, in a process of its own
    parts.py        parts as plain data
    judged.py       gates on a set of questions
    endpoint_evaluation.py    an endpoint's champion, and a candidate beside it, on a set
"""

from noria.llm.application.answering import Answering, Terms
from noria.llm.application.application import Application
from noria.llm.application.judged import Judged, judged
from noria.llm.application.parts import LostPart, NotAPart
from noria.llm.application.questions import questions

__all__ = ["Answering", "Application", "Judged", "LostPart", "NotAPart", "Terms", "judged", "questions"]
