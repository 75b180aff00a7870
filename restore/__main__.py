"""`python -m restore` is the same as `restore`."""

from restore.cli.app import main

if __name__ == "__main__":
    main()
