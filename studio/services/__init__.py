"""One module per thing a person does: the rules and transactions of the studio.

Services are handed a store and engines, and know neither gradio nor torch.
"""
