"""The window: Gradio only. It asks services and shows what they answer."""

from studio.ui import quick_start

quick_start.without_stubs()
