"""Applications of language models, built from the stages above. A beginning: what finds chunks, and what a generator is told of them.

In:   documents of any kind, questions, and models that embed
Out:  the chunks that answer a question, messages for a model that generates, and the sources that its answer cites

    documents/  what is read: files of any kind as Markdown, with where each part stands
    chunking/   how documents are cut into the parts that are found and cited
    embedding/  texts as vectors, and how well a text answers a question
    index/      chunks with their vectors, to be searched by meaning and by words
    retrieval/  which chunks answer a question: rankings, and conditions on what may be found
    generation/ what is said to a model, and the sources that its answer cites
"""
