"""The entry point of the command `whisperlive`, and of `python -m whisperlive_hybrid`."""

from whisperlive_hybrid.system import tune_process


def main() -> None:
    """Tune the process, then load the rest and run the command line."""
    tune_process()
    from whisperlive_hybrid.cli.main import main as run  # noqa: PLC0415 (numpy and all come with it)

    run()


if __name__ == "__main__":
    main()
