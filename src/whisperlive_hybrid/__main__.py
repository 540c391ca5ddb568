"""`python -m whisperlive_hybrid` is the command `whisperlive`."""

from whisperlive_hybrid.cli import main

if __name__ == "__main__":
    main()
