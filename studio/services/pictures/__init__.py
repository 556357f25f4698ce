"""Pictures from words: from the request to the kept picture."""
