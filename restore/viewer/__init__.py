"""The page that compares pictures before and after, and the sheet for those who want a picture."""
