"""The window: Gradio only. It asks services and shows what they answer."""
