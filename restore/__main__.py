"""`python -m restore` is the same as `restore`."""

from restore.cli.start import main

if __name__ == "__main__":
    main()
