"""Model files: models that already exist, as files or folders of any framework, ready to become bundles.

In:  a path, and what the command says beyond it (`ReadOptions`)
Out: what the file holds (`kinds.read_model`), and the bundle that it becomes (`bundled.bundled`)

Each format is a module with a function `read(path, asked)`. None of them runs code that a file carries unless `asked.trust` says so.
"""
