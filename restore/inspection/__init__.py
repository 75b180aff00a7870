"""What is wrong with a picture, in words and numbers, and which steps mend it."""
