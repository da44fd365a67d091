"""What a user owns and what it is worth."""
