"""What is deployed is valid, and fits the program."""
