"""Price alerts of users: what fires one, what is stored of it, and where the word of it goes."""
