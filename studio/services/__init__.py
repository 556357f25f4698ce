"""One module per thing a person does: the rules and transactions of the studio.

Services are handed a store and engines, and know neither gradio nor torch.

Long work has two names. `render`, `train`, `download` and the like do it here
and now, tell an `on_progress` how far they are, and return what came of it.
`submit_render`, `submit_train`, `submit_download` check the same things, put it
into the queue and return the Job; the worker then does it by the first name.
"""
